"""Weights in files: what is written comes back, and nothing else is changed by what can't."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from messages import refused
from safetensors.numpy import load_file, save_file

from convref import (
    ConvrefError,
    DtypeError,
    FileError,
    MissingExtraError,
    ShapeError,
    WordError,
    weights,
)
from convref.layer import Layer, Parameter
from convref.layers import Conv1d, Residual, Sequential
from convref.weights import load, save, set_state, state

SUFFIXES = [".npz", ".safetensors"]
REAL = ["float16", ml_dtypes.bfloat16, "float32", "float64", "complex64"]


class Statistics(Layer):
    """What is not learned: of no axis, and of one that is empty."""

    def __init__(self) -> None:
        super().__init__()
        self.count = Parameter(np.array(3.0), trainable=False)
        self.none = Parameter(np.zeros((0, 2)), trainable=False)


def net(seed: int, dtype: Any = "float32") -> Sequential:
    return Sequential(
        Conv1d(2, 3, 3, dtype=dtype, rng=seed),
        Residual(Conv1d(3, 3, 1, dtype=dtype, bias_initialiser="ones", rng=seed)),
        Statistics(),
    )


def bits(layer: Layer) -> dict[str, bytes]:
    return {name: parameter.value.tobytes() for name, parameter in layer.parameters().items()}


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".NPZ"])
@pytest.mark.parametrize("dtype", REAL)
def test_what_is_written_comes_back(dtype: Any, suffix: str, tmp_path: Path) -> None:
    """All of it to the last bit, into the arrays that are there."""
    first, second = net(1, dtype), net(2, dtype)
    first.parameters()["2.count"].value[...] = np.nan
    arrays = {name: parameter.value for name, parameter in second.parameters().items()}
    save(first, tmp_path / f"weights{suffix}")
    load(second, str(tmp_path / f"weights{suffix}"))
    assert bits(second) == bits(first)
    assert [*bits(first)] == [
        "0.weight", "0.bias", "1.body.weight", "1.body.bias", "2.count", "2.none",
    ]  # fmt: skip
    for name, parameter in second.parameters().items():
        assert parameter.value is arrays[name]
    assert os.listdir(tmp_path) == [f"weights{suffix}"]


def test_complex128(tmp_path: Path) -> None:
    first, second = net(1, "complex128"), net(2, "complex128")
    save(first, tmp_path / "weights.npz")
    load(second, tmp_path / "weights.npz")
    assert bits(second) == bits(first)
    with refused(
        DtypeError,
        "save: `0.weight` has dtype complex128, which .safetensors has not; use .npz",
    ):
        save(first, tmp_path / "weights.safetensors")
    assert os.listdir(tmp_path) == ["weights.npz"]


def test_others_read_the_files(tmp_path: Path) -> None:
    layer = net(1)
    for suffix, read in ((".npz", np.load), (".safetensors", load_file)):
        save(layer, tmp_path / f"weights{suffix}")
        found = read(tmp_path / f"weights{suffix}")
        assert {name: found[name].tobytes() for name in found} == bits(layer)


def test_files_of_others_are_read(tmp_path: Path) -> None:
    """Compressed, of the other byte order, in any order of names."""
    layer, other = net(1), net(2)
    arrays = dict(reversed(state(layer).items()))
    swapped = {name: array.astype(array.dtype.newbyteorder()) for name, array in arrays.items()}
    np.savez_compressed(tmp_path / "weights.npz", **swapped)
    load(other, tmp_path / "weights.npz")
    assert bits(other) == bits(layer)
    other = net(2)
    save_file(arrays, tmp_path / "weights.safetensors", {"format": "pt"})
    load(other, tmp_path / "weights.safetensors")
    assert bits(other) == bits(layer)


def test_bfloat16_in_npz_is_uint16_and_a_note(tmp_path: Path) -> None:
    layer = Conv1d(1, 1, 1, dtype=ml_dtypes.bfloat16, bias=False, weight_initialiser="ones")
    save(layer, tmp_path / "weights.npz")
    with np.load(tmp_path / "weights.npz") as archive:
        assert archive["weight"].dtype == np.uint16
        assert archive["weight"] == 0x3F80
        assert json.loads(str(archive["@dtypes"])) == {"weight": "bfloat16"}


def test_files_are_the_same_each_time(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        paths = [tmp_path / f"{number}{suffix}" for number in range(2)]
        for path in paths:
            save(net(1), path)
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_state_is_a_copy() -> None:
    layer = net(1)
    before = bits(layer)
    for array in state(layer).values():
        array[...] = 7
    assert bits(layer) == before


def test_set_state_takes_what_can_be_read_as_arrays() -> None:
    layer = Conv1d(1, 1, 2, bias=False, dtype="float64")
    set_state(layer, {"weight": [[[1.0, 2.0]]]})
    np.testing.assert_array_equal(layer.weight.value, [[[1, 2]]])


def changed(**changes: Any) -> Callable[[], dict[str, Any]]:
    """The state of a net with some arrays replaced, or left out."""

    def made() -> dict[str, Any]:
        arrays = {**state(net(1)), **{key.replace("_", "."): v for key, v in changes.items()}}
        return {name: array for name, array in arrays.items() if array is not None}

    return made


MEND = "make the layer as the saved one was made"
UNFIT: dict[str, tuple[Any, Callable[[], dict[str, Any]], str]] = {
    "missing names": (
        WordError,
        changed(**{"0_weight": None, "1_body_bias": None}),
        f"names are missing: `0.weight`, `1.body.bias`; {MEND}",
    ),
    "all missing": (
        WordError,
        dict,
        "names are missing: `0.weight`, `0.bias`, `1.body.weight`, and 3 more; " + MEND,
    ),
    "unknown names": (
        WordError,
        changed(**{"0_wait": np.zeros(1)}),
        f"names are not the layer's: `0.wait`; {MEND}",
    ),
    "shapes": (
        ShapeError,
        changed(**{"0_weight": np.zeros((3, 2, 4), "float32"), "0_bias": np.zeros((1, 3))}),
        f"shapes differ: `0.weight` is (3, 2, 4) and not (3, 2, 3), `0.bias` is (1, 3) and not "
        f"(3,); {MEND}",
    ),
    "dtypes": (
        DtypeError,
        changed(**{"1_body_bias": np.zeros(3)}),
        f"dtypes differ: `1.body.bias` is float64 and not float32; {MEND}",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_states_that_do_not_fit(name: str, tmp_path: Path) -> None:
    """From memory or from a file: the layer stays as it is."""
    kind, made, text = UNFIT[name]
    layer = net(2)
    before = bits(layer)
    with refused(kind, f"set_state: {text}"):
        set_state(layer, made())
    np.savez(tmp_path / "weights.npz", **made())
    save_file(made(), tmp_path / "weights.safetensors")
    for suffix in SUFFIXES:
        with refused(kind, f"load: {text}"):
            load(layer, tmp_path / f"weights{suffix}")
    assert bits(layer) == before


def test_what_is_no_array_of_numbers() -> None:
    layer = Conv1d(1, 1, 1, bias=False)
    with pytest.raises(DtypeError, match=r"^set_state: `weight` has dtype <U1"):
        set_state(layer, {"weight": "a"})


def test_layers_that_wait_for_their_first_input(tmp_path: Path) -> None:
    layer = Sequential(Conv1d(2, 3, 1), Residual(Conv1d(None, 3, 1)))
    text = "`1.body` has no parameters yet; call the layer once, or give it in_channels"
    path = tmp_path / "weights.npz"
    with refused(WordError, f"save: {text}"):
        save(layer, path)
    assert not path.exists()
    save(net(1), path)
    with refused(WordError, f"load: {text}"):
        load(layer, path)
    with refused(WordError, f"state: {text.replace('1.body', 'stem')}"):
        state(Conv1d(None, 3, 1, name="stem"))
    layer(np.zeros((1, 2, 1)))
    save(layer, path)


@pytest.mark.parametrize("call", [save, load])
def test_paths_that_are_refused(call: Callable[..., None], tmp_path: Path) -> None:
    for path in ("weights", "weights.pt"):
        text = f"`path` (='{path}') has no suffix of a format; use .npz or .safetensors"
        with refused(WordError, f"{call.__name__}: {text}"):
            call(net(1), path)


def test_no_such_file_or_folder(tmp_path: Path) -> None:
    path = tmp_path / "none" / "weights.npz"
    with refused(FileError, f"load: there is no file {path}; check the path"):
        load(net(1), path)
    with refused(
        FileError,
        f"save: {path} can't be written: No such file or directory; check folder and disk",
    ):
        save(net(1), path)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(FileError, match=r"^save: .* can't be written"):
        save(net(1), tmp_path / "folder.npz")
    assert os.listdir(tmp_path) == ["folder.npz"]


def test_what_is_not_a_layer(tmp_path: Path) -> None:
    with refused(WordError, "save: a dict is not a layer; pass the layer itself"):
        save(net(1).parameters(), tmp_path / "weights.npz")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_the_old_file_stays_where_writing_fails(
    error: BaseException, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"weights{suffix}"
    save(net(1), path)
    before = path.read_bytes()

    def failing(descriptor: int) -> None:
        raise error

    monkeypatch.setattr(weights.os, "fsync", failing)
    if isinstance(error, OSError):
        text = f"save: {path} can't be written: No space left on device; check folder and disk"
        with refused(FileError, text):
            save(net(2), path)
    else:
        with pytest.raises(KeyboardInterrupt):
            save(net(2), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_a_link_goes_on_pointing(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    link = tmp_path / "latest.npz"
    try:
        link.symlink_to(tmp_path / "runs" / "first.npz")
    except OSError:
        pytest.skip("no links here")
    save(net(1), link)
    assert link.is_symlink()
    assert (tmp_path / "runs" / "first.npz").is_file()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_truncated_files(suffix: str, tmp_path: Path) -> None:
    layer, path = net(2), tmp_path / f"weights{suffix}"
    save(net(1), path)
    whole, before = path.read_bytes(), bits(layer)
    for length in [0, 1, 7, 8, 9, *range(10, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(FileError, match=rf"^load: .* can't be read as {suffix}: "):
            load(layer, path)
        assert bits(layer) == before


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.filterwarnings("default")
def test_damaged_files(suffix: str, tmp_path: Path, rng: np.random.Generator) -> None:
    """Any byte: an error of the package and an untouched layer, or a layer that is filled.

    A zip archive has check sums of its contents, .safetensors has none.
    """
    layer, path = net(2), tmp_path / f"weights{suffix}"
    save(net(1), path)
    whole, wanted, before = path.read_bytes(), bits(net(1)), bits(layer)
    for place in rng.choice(len(whole), 300, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= rng.integers(1, 256)
        path.write_bytes(damaged)
        try:
            load(layer, path)
        except ConvrefError:
            assert bits(layer) == before
        else:
            assert suffix == ".safetensors" or bits(layer) == wanted
            set_state(layer, state(net(2)))


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    layer, path = Conv1d(1, 1, 1, bias=False), tmp_path / "weights.npz"
    np.savez(path, weight=np.array([print], object), allow_pickle=True)
    with refused(
        FileError,
        f"load: {path} can't be read as .npz: Object arrays cannot be loaded when "
        "allow_pickle=False; write it with convref's save",
    ):
        load(layer, path)
    np.save(tmp_path / "one.npy", np.ones(3))
    os.replace(tmp_path / "one.npy", path)
    with refused(
        FileError,
        f"load: {path} can't be read as .npz: it holds a single array; write it with convref's "
        "save",
    ):
        load(layer, path)


def test_without_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.safetensors"
    save(net(1), path)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    text = "the package safetensors is not installed; pip install 'convref[weights]'"
    with refused(MissingExtraError, f"load: {text}"):
        load(net(1), path)
    with refused(MissingExtraError, f"save: {text}"):
        save(net(1), path)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bfloat16_elsewhere(suffix: str, tmp_path: Path) -> None:
    layer, path = net(1, ml_dtypes.bfloat16), tmp_path / f"weights{suffix}"
    save(layer, path)
    with pytest.raises(DtypeError, match=r"^load: dtypes differ: `0.weight` is bfloat16 and not"):
        load(net(1), path)


def test_bfloat16_where_numpy_does_not_know_it() -> None:
    class Bits:
        """What an array does with the name of a dtype that is not there."""

        def view(self, name: str) -> None:
            raise TypeError

    with refused(
        DtypeError,
        "the weights are bfloat16, which NumPy knows only with ml_dtypes; make the layer with "
        "dtype=ml_dtypes.bfloat16",
    ):
        weights.as_bfloat16(Bits())
