"""Weights in files: all parameters of a layer by dotted name, running statistics among them.

The suffix says the format. ``.npz`` is NumPy's: one array for each name, read without pickles.
It has no bfloat16, which is stored as the uint16 of the same bits and listed in one more entry,
``@dtypes``, a JSON object such as {"0.weight": "bfloat16"}. ``.safetensors`` is Hugging Face's
(extra `weights`), and has no complex128.

A file is written under another name and then renamed, so that whatever happens there is either the
old one or the new one. A layer is changed only once everything has been read and fits.
"""

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref import npz
from convref.dtypes import as_array
from convref.errors import (
    ConvrefError,
    DtypeError,
    FileError,
    MissingExtraError,
    ShapeError,
    WordError,
    shown,
    verb,
)
from convref.layer import Layer, Parameter

Array = NDArray[Any]

DTYPES = "@dtypes"
"""Entry of an .npz file; no parameter can have such a name."""
SAFETENSORS = {
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
}
"""The dtypes that parameters can have and the format has."""


@verb
def save(layer: Layer, path: str | os.PathLike[str]) -> None:
    """Write all parameters to a file, .npz or .safetensors.

    Raises WordError for another suffix and for layers that still wait for their first input,
    DtypeError for a dtype that the format has not, FileError where the file can't be written, and
    MissingExtraError without the package safetensors.

    >>> import tempfile
    >>> from convref.layers import Conv1d
    >>> trained, fresh = Conv1d(2, 3, 5), Conv1d(2, 3, 5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(trained, f"{folder}/trained.npz")
    ...     load(fresh, f"{folder}/trained.npz")
    >>> bool(np.all(fresh.weight.value == trained.weight.value))
    True
    """
    file = as_path(path)
    _, write = FORMATS[suffix(file)]
    arrays = state(layer)
    try:
        with replacing(file) as stream:
            write(stream, arrays)
    except OSError as error:
        raise FileError(
            f"{file} can't be written: {error.strerror or error}", "check folder and disk"
        ) from error


@verb
def load(layer: Layer, path: str | os.PathLike[str]) -> None:
    """Fill all parameters, in place, from a file that `save` wrote for such a layer.

    Raises FileError for a file that can't be read, and the errors of `set_state`, before anything
    is changed; WordError for a suffix other than .npz and .safetensors, and MissingExtraError
    without the package safetensors.
    """
    file = as_path(path)
    read, _ = FORMATS[suffix(file)]
    if not os.path.isfile(file):  # False for names that no system has, too
        raise FileError(f"there is no file {file}", "check the path")
    try:
        with file.open("rb") as stream:
            arrays = read(stream)
    except ConvrefError:
        raise
    except Exception as error:  # a damaged file can go wrong anywhere in its decoder
        raise FileError(
            f"{file} can't be read as {file.suffix}: {error}", "write it with convref's save"
        ) from error
    set_state(layer, arrays)


@verb
def state(layer: Layer) -> dict[str, Array]:
    """Copies of all parameters by dotted name.

    Raises WordError for layers that still wait for their first input.
    """
    return {name: parameter.value.copy() for name, parameter in all_of(layer).items()}


@verb
def set_state(layer: Layer, arrays: Mapping[str, ArrayLike]) -> None:
    """Fill all parameters, in place, from arrays of the same names, shapes and dtypes.

    Raises WordError for names that are missing or unknown and for layers that still wait for their
    first input, ShapeError and DtypeError for arrays that differ; then nothing has been changed.
    """
    parameters = all_of(layer)
    if not isinstance(arrays, Mapping):
        raise WordError(f"`arrays` (={shown(arrays)}) has no names", "pass what state() gives")
    for what, names in (
        ("are missing", [name for name in parameters if name not in arrays]),
        ("are not the layer's", [name for name in arrays if name not in parameters]),
    ):
        if names:
            refuse(WordError, f"names {what}:", [f"`{name}`" for name in names])
    given = {name: as_array(name, arrays[name]) for name in parameters}
    pairs = {name: (given[name], parameter.value) for name, parameter in parameters.items()}
    if wrong := [
        f"`{name}` is {array.shape} and not {value.shape}"
        for name, (array, value) in pairs.items()
        if array.shape != value.shape
    ]:
        refuse(ShapeError, "shapes differ:", wrong)
    if wrong := [
        f"`{name}` is {array.dtype} and not {value.dtype}"
        for name, (array, value) in pairs.items()
        if array.dtype.newbyteorder("=") != value.dtype
    ]:
        refuse(DtypeError, "dtypes differ:", wrong)
    for array, value in pairs.values():
        np.copyto(value, array)


def refuse(kind: type[ConvrefError], rule: str, found: list[str]) -> NoReturn:
    """Raise an error that lists the first of what was found."""
    rest = [f"and {len(found) - 3} more"] if len(found) > 3 else []
    raise kind(f"{rule} {', '.join(found[:3] + rest)}", "make the layer as the saved one was made")


def all_of(layer: Layer) -> dict[str, Parameter]:
    """Its parameters; raise WordError if some are still to be made."""
    if not isinstance(layer, Layer):
        raise WordError(f"a {type(layer).__name__} is not a layer", "pass the layer itself")
    for path in waiting(layer, ""):
        raise WordError(
            f"`{path}` has no parameters yet", "call the layer once, or give it in_channels"
        )
    return layer.parameters()


def waiting(layer: Layer, path: str) -> Iterator[str]:
    """The layers that wait for their first input, by dotted name."""
    if not layer.built:
        yield path.removesuffix(".") or layer.name
    for key, child in layer.children().items():
        yield from waiting(child, f"{path}{key}.")


def as_path(path: object) -> Path:
    """A path; raise WordError for what is none."""
    if not isinstance(path, str | os.PathLike) or "\0" in os.fspath(path):
        raise WordError(f"`path` (={shown(path)}) is not a path", 'such as "weights.npz"')
    return Path(path)


def suffix(file: Path) -> str:
    """The format of a file; raise WordError."""
    if file.suffix.lower() not in FORMATS:
        raise WordError(
            f"`path` (={shown(str(file))}) has no suffix of a format", f"use {' or '.join(FORMATS)}"
        )
    return file.suffix.lower()


@contextmanager
def replacing(file: Path) -> Iterator[IO[bytes]]:
    """A new file, which takes the place of the old one once it is on the disk as a whole."""
    target = Path(os.path.realpath(file))  # a link goes on pointing to what it points to
    temporary = target.with_name(f".{token_hex(8)}.tmp")  # a rename works within one file system
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    with suppress(OSError):  # Windows can't open a folder, and some file systems can't sync one
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_npz(stream: IO[bytes], arrays: dict[str, Array]) -> None:
    """What numpy.savez writes, with bfloat16 as bits."""
    coded = {name: "bfloat16" for name, array in arrays.items() if array.dtype.name == "bfloat16"}
    stored = {
        name: array.view(np.uint16) if name in coded else array for name, array in arrays.items()
    }
    if coded:
        stored[DTYPES] = np.array(json.dumps(coded))
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in stored.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_npz(stream: IO[bytes]) -> dict[str, Array]:
    """The arrays of an .npz file."""
    arrays = npz.read_npz(stream)
    coded = json.loads(str(arrays.pop(DTYPES, "{}")))
    if not isinstance(coded, dict):
        raise ValueError(f"{DTYPES} in it is not a JSON object")
    return {
        name: as_bfloat16(array) if coded.get(name) == "bfloat16" else array
        for name, array in arrays.items()
    }


def write_safetensors(stream: IO[bytes], arrays: dict[str, Array]) -> None:
    """The package's own encoding; raise DtypeError for a dtype that it has not."""
    for name, array in arrays.items():
        if array.dtype.name not in SAFETENSORS.values():
            raise DtypeError(
                f"`{name}` has dtype {array.dtype}, which .safetensors has not", "use .npz"
            )
    stream.write(package().numpy.save(arrays))


def read_safetensors(stream: IO[bytes]) -> dict[str, Array]:
    """Decoded here: the package gives NumPy no bfloat16."""
    arrays = {}
    for name, found in package().deserialize(stream.read()):
        dtype = SAFETENSORS[found["dtype"]]
        bits = np.frombuffer(found["data"], np.uint16 if dtype == "bfloat16" else dtype)
        array = as_bfloat16(bits) if dtype == "bfloat16" else bits
        arrays[name] = array.reshape(found["shape"])
    return arrays


def package() -> Any:
    """The package safetensors, with what it has for NumPy; raise MissingExtraError."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise MissingExtraError(
            "the package safetensors is not installed", "pip install 'convref[weights]'"
        ) from error
    return safetensors


def as_bfloat16(bits: Array) -> Array:
    """The numbers of these bits; raise DtypeError where nobody has defined them."""
    try:
        return bits.view("bfloat16")
    except TypeError:  # ml_dtypes teaches NumPy this name, and no layer can be bfloat16 without it
        raise DtypeError(
            "the weights are bfloat16, which NumPy knows only with ml_dtypes",
            "make the layer with dtype=ml_dtypes.bfloat16",
        ) from None


Read = Callable[[IO[bytes]], dict[str, Array]]
Write = Callable[[IO[bytes], dict[str, Array]], None]
FORMATS: dict[str, tuple[Read, Write]] = {
    ".npz": (read_npz, write_npz),
    ".safetensors": (read_safetensors, write_safetensors),
}
"""How each is read and written, by suffix."""
