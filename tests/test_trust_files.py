"""Files that are damaged, wrong or malicious: one clear line, exit code 2, and nothing else.

Each is given to the command line and to the functions that read it. The process may not grow by
more than a little meanwhile, whatever a file promises; nothing is written.
"""

import contextlib
import io
import json
import os
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import convref
from convref import ConvrefError, cli, layers, weights
from convref.dialects import translate_config

X, W = np.ones((1, 2, 9), np.float32), np.ones((3, 2, 2), np.float32)
Y = np.full((1, 3, 8), 4, np.float32)
GOOD = {"x": X, "w": W, "y": Y}
GROWTH = 2**28


def npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(text: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """A .npy file whose header says anything."""
    line = text.encode("latin1") + b"\n"
    length = (
        struct.pack("<H", len(line) % 2**16) if version[0] == 1 else struct.pack("<I", len(line))
    )
    return b"\x93NUMPY" + version + length + line + data


def shaped(shape: str, descr: str = "'<f4'", order: str = "False", data: bytes = b"") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}", data)


def archive(
    members: dict[str, bytes], compression: int = zipfile.ZIP_STORED, twice: bool = False
) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as file:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, data in members.items():
            for _ in range(1 + twice):
                file.writestr(name, data)
    return stream.getvalue()


def npz(**changes: Any) -> bytes:
    """A file that is right but for these members: arrays, or what a member holds."""
    found = {**GOOD, **changes}
    return archive(
        {
            f"{name}.npy": value if isinstance(value, bytes) else npy(np.asarray(value))
            for name, value in found.items()
            if value is not None
        }
    )


def flipped(data: bytes, place: int) -> bytes:
    damaged = bytearray(data)
    damaged[place % len(data)] ^= 0xFF
    return bytes(damaged)


def bomb(size: int) -> bytes:
    """An archive of zeros, a thousandth of their size."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("w", "y"):
            file.writestr(f"{name}.npy", npy(GOOD[name]))
        with file.open("x.npy", "w", force_zip64=True) as member:
            member.write(shaped(f"({size // 4},)"))
            for _ in range(size // 2**20):
                member.write(bytes(2**20))
    return stream.getvalue()


def words(value: Any) -> bytes:
    return npz(words=value if isinstance(value, str) else json.dumps(value))


def cases() -> dict[str, bytes]:
    """Files for `convref verify`, none of which can be used."""
    good, one = npz(), npy(X)
    deep = "[" * 100_000
    found = {
        "empty": b"",
        "text": b"x = 1, w = 2",
        "one array": one,
        "not an archive": os.urandom(1000),
        "zeros": bytes(4096),
        "an empty archive": archive({}),
        "an archive in an archive": archive({"x.npy": good}),
        "no arrays": archive({"readme.txt": b"hello"}),
        "names twice": archive({f"{n}.npy": npy(a) for n, a in GOOD.items()}, twice=True),
        "unknown name": npz(z=X),
        "no y": npz(y=None),
        "no w": npz(w=None),
        "no dy": npz(y=None, dx=X),
        "pickles": npz(x=header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"cos")),
        "a bomb": bomb(2**28),
        "trailing data": npz(x=one + b"more"),
        "words bytes": npz(words=np.frombuffer(b"\xff\xfe", np.uint8)),
        "words 0 long": npz(words=""),
        "words nested": words(deep),
        "words nested in braces": words('{"a":' * 50_000),
        "words of digits": words('{"stride": ' + "9" * 6000 + "}"),
        "dtype of nothing": words({"dtype": None}),
        "accumulate nested": words({"accumulate": [[[1]]]}),
    }
    length = len(good)
    for number in range(40):
        cut = length * number // 40
        found[f"cut at {number}/40"] = good[:cut]
    central = good.rindex(b"PK\x05\x06")
    for number in range(0, central, central // 30):  # what is not checked is names and dates
        data = flipped(good, number)
        found[f"byte {number} turned"] = data
    for path in ("../x", "/etc/x", "..\\x", "C:\\x", "x\0", "x/../../y", "con", "x" * 5000, "‮x"):
        found[f"a path: {path[:12]!r}"] = archive(
            {**{f"{n}.npy": npy(a) for n, a in GOOD.items()}, f"{path}.npy": one}
        )
    for shape in (
        "(1099511627776,)", "(4611686018427387904, 4)", "(-1,)", "(1, 2, -9)",
        "(9223372036854775808,)",
        "(1, 2, 10)", "(1, 2, 8)", "(1.5,)", "'abc'", "None", "(1, 2, 9", "9", "[1, 2, 9]",
        "(True, 2, 9)",
        "(" + "1, " * 100 + ")", "(0, 99999999999)", "(10**9,)", "__import__('os')",
        "(18,) if 1 else 2",
    ):  # fmt: skip
        found[f"shape {shape[:24]}"] = npz(x=shaped(shape, data=X.tobytes()))
    for descr in (
        "'<f3'", "'|O'", "'abc'", "None", "[('a', '<f4')]", "'<M8[s]'", "'<U9'", "'|S72'", "''",
        "'|V0'",
        "('<f4', (2,))", "{'names': ['a'], 'formats': ['<f4']}", "'<f4,<f4'", "'>c32'", "12",
        "b'<f4'",
    ):  # fmt: skip
        found[f"dtype {descr}"] = npz(x=shaped("(1, 2, 9)", descr, data=X.tobytes()))
    for number, text in enumerate((
        "", "{}", "{", "[]", "{'descr': '<f4'}", "1" * 60_000, "(" * 9000, "{'a': " * 200,
        "\0" * 60,
        "{'descr': '<f4', 'fortran_order': 7, 'shape': (18,)}", "x" * 65_000, "{**{}}", "lambda: 0",
    )):  # fmt: skip
        found[f"header {number}"] = npz(x=header(text, X.tobytes()))
    for version in (b"\x00\x00", b"\x03\x00", b"\x09\x01", b"\xff\xff"):
        text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 9)}"
        found[f"version {version!r}"] = npz(x=header(text, X.tobytes(), version))
    for value in (
        [1], 3, "same", None, True, {"stride": 0}, {"stride": "2"}, {"stride": [1, [2]]},
        {"padding": "x"},
        {"padding": None}, {"padding": {"lo": 1}}, {"dilation": -1}, {"groups": 3}, {"groups": 1.5},
        {"groups": 10**30}, {"layout": 1}, {"kind": "sideways"}, {"kind": ["forward"]},
        {"kind": {}},
        {"accumulate": "float12"}, {"accumulate": 3}, {"dtype": "float9"}, {"dtype": ["float32"]},
        {"dtype": {}}, {"": 1}, {"__class__": 1}, {"x": 1}, {"padding_mode": "mirror"},
        {"stride": 1e400},
        {"stride": [1] * 100_000}, {"padding": 10**13},
    ):  # fmt: skip
        found[f"words {str(value)[:30]}"] = words(value)
    for name, value in {
        "x of strings": {"x": np.array(["a"])}, "x of nothing": {"x": np.zeros((0, 0, 0))},
        "w of one axis": {"w": np.ones(3)}, "x of no axis": {"x": np.array(1.0)},
        "x of dates": {"x": np.zeros((1, 2, 9), "M8[s]")}, "w of other channels": {"w": W[:, :1]},
        "bias of 2": {"bias": np.ones(2)}, "complex bias": {"bias": np.ones(3, complex)},
        "dx of nothing": {"dy": Y, "dx": np.zeros(0)}, "dy of another shape": {"dy": X, "dx": X},
        "y of records": {"y": np.zeros(2, [("a", "i4")])}, "60 axes": {"x": np.ones((1,) * 60)},
    }.items():  # fmt: skip
        found[name] = npz(**value)
    return found


CASES = cases()


@pytest.fixture(autouse=True)
def nothing_written_nor_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder holds the one file that was put there, and the process is no larger."""
    import resource

    monkeypatch.chdir(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert len(list(tmp_path.rglob("*"))) <= 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < GROWTH


def refused_by(*arguments: str) -> None:
    """The command says what is wrong in one line."""
    done = CliRunner().invoke(cli.app, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert (done.exit_code, done.stdout) == (2, ""), (done.exit_code, done.output)
    assert done.stderr.startswith("convref: ")
    assert len(done.stderr) < 3000
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("name", CASES)
def test_verify_refuses(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(CASES[name])
    if "turned" in name and CliRunner().invoke(cli.app, ["verify", str(path)]).exit_code == 0:
        assert is_the_same(path)  # a date, or another byte that says nothing
    else:
        refused_by("verify", str(path))


def is_the_same(path: Path) -> bool:
    with np.load(path) as found:
        return all((found[name] == value).all() for name, value in GOOD.items())


def tensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A .safetensors file: the length of its header, the header, the numbers."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(**changes: Any) -> dict[str, Any]:
    return {"weight": {"dtype": "F32", "shape": [1, 1, 2], "data_offsets": [0, 8], **changes}}


def stored() -> dict[str, tuple[str, bytes]]:
    """Files for `convref.weights.load`, and their suffix."""
    data = bytes(8)
    good = tensors(entry(), data)
    found = {
        "empty": b"",
        "no header": struct.pack("<Q", 0),
        "header beyond the file": tensors(entry(), data, 2**62),
        "header of 2**64 - 1": tensors(entry(), data, 2**64 - 1),
        "not JSON": tensors(b"hello", data),
        "not UTF-8": tensors(b"\xff" * 20, data),
        "deep JSON": tensors(b"[" * 100_000, data),
        "deep objects": tensors(b'{"a":' * 50_000, data),
        "a list": tensors([1], data),
        "a number": tensors(3, data),
        "no tensors": tensors({}, b""),
        "another name": tensors({"bias": entry()["weight"]}, data),
        "a path": tensors({"../weight": entry()["weight"]}, data),
        "two names": tensors({**entry(), "b": entry()["weight"]}, data),
        "trailing data": good + data,
        "overlap": tensors({"weight": entry()["weight"], "a": entry(data_offsets=[4, 12])}, data),
    }
    for number in range(0, len(good), 6):
        found[f"cut at {number}"] = good[:number]
    for change in (
        {"dtype": "F99"}, {"dtype": 3}, {"dtype": None}, {"dtype": "I8"}, {"dtype": "F64"},
        {"shape": [2]},
        {"shape": [2**62, 4]}, {"shape": [-1]}, {"shape": "x"}, {"shape": None}, {"shape": [1.5]},
        {"shape": [[1]]}, {"data_offsets": [0, 2**60]}, {"data_offsets": [8, 0]},
        {"data_offsets": [0]},
        {"data_offsets": "0"}, {"data_offsets": [-8, 0]}, {"data_offsets": [0, 7]}, {"shape": []},
        {"shape": [1] * 100}, {"dtype": "BF16"},
    ):  # fmt: skip
        found[f"entry {change}"] = tensors(entry(**change), data)
    both = {f"{name}, .safetensors": (".safetensors", value) for name, value in found.items()}
    skipped = ("words", "no y", "no w", "no dy", "unknown", "dtype", "dx", "bias", "accumulate")
    for name, value in CASES.items():
        if not name.startswith(skipped):
            both[f"{name}, .npz"] = (".npz", value)
    coded = {"@dtypes.npy": npy(np.array("[1]")), "weight.npy": npy(np.ones((1, 1, 2), "f4"))}
    both["dtypes in a list"] = (".npz", archive(coded))
    both["dtypes nested"] = (".npz", archive({**coded, "@dtypes.npy": npy(np.array("[" * 50_000))}))
    return both


STORED = stored()


@pytest.mark.parametrize("name", STORED)
def test_load_refuses(name: str, tmp_path: Path) -> None:
    """And leaves the layer as it is."""
    if name.endswith(".safetensors"):
        pytest.importorskip("safetensors")
    suffix, data = STORED[name]
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(data)
    layer = layers.Conv1d(1, 1, 2, bias=False, weight_initialiser="ones")
    with pytest.raises(ConvrefError) as caught:
        weights.load(layer, path)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 3000
    assert (layer.weight.value == 1).all()


KERAS = {"class_name": "Conv2D", "config": {"filters": 2, "kernel_size": 3}}


def config(**changes: Any) -> str:
    return json.dumps({**KERAS, "config": {**KERAS["config"], **changes}})


CONFIGURATIONS = {
    "empty": "",
    "not JSON": "filters: 2",
    "truncated": config()[:-3],
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "a string": '"Conv2D"',
    "deep lists": "[" * 100_000,
    "deep objects": '{"class_name":' * 100_000,
    "long": '"' + "x" * 2**24 + '"',
    "digits": config().replace("2", "9" * 5000),
    "no config": '{"class_name": "Conv2D"}',
    "no class": '{"config": {}}',
    **{f"class {v!r}"[:30]: json.dumps({**KERAS, "class_name": v}) for v in (
        None, 3, [], {}, "", "Conv9D", "__init__", "Layer", "os", "../Conv2D", "x" * 9999)},
    **{f"config {v!r}"[:30]: json.dumps({**KERAS, "config": v}) for v in (None, 3, [], "x", [1])},
    **{f"{name}={v!r}"[:40]: config(**{name: v}) for name, v in (
        ("filters", 0), ("filters", -1), ("filters", "2"), ("filters", [2]), ("filters", 1.5),
        ("filters", None), ("filters", {}), ("filters", float("nan")), ("filters", float("inf")),
        ("kernel_size", 0), ("kernel_size", []), ("kernel_size", [1, 2, 3]), ("kernel_size", "3"),
        ("kernel_size", [[3, 3]]), ("kernel_size", {}), ("strides", 0), ("strides", [1]),
        ("strides", None), ("padding", "sideways"), ("padding", 1), ("padding", None),
        ("padding", []),
        ("data_format", "last"), ("data_format", 3), ("data_format", [[]]), ("groups", 0),
        ("groups", "1"), ("groups", 3), ("dilation_rate", 0), ("activation", "sideways"),
        ("activation", 3),
        ("activation", []), ("activation", {}), ("activation", {"class_name": []}),
        ("use_bias", "yes"),
        ("use_bias", 2), ("kernel_initializer", "sideways"),
        ("kernel_initializer", {"class_name": "Zeros", "config": {"a": 1}}),
        ("kernel_initializer", {"class_name": "Zeros", "config": [1]}),
        ("kernel_initializer", {"class_name": [], "config": {}}), ("kernel_regularizer", "l9"),
        ("kernel_regularizer", {"class_name": "L2", "config": {"l2": "x"}}),
        ("kernel_regularizer", 3),
        ("kernel_constraint", "sideways"), ("kernel_constraint", {"class_name": "MaxNorm",
        "config": 3}),
        ("name", 3), ("name", []), ("trainable", "yes"), ("dtype", "float9"), ("dtype", 3),
        ("dtype", {}),
        ("dtype", []), ("strid", 1), ("self", 1), ("__class__", 1), ("", 1), ("weights", 3),
        ("input_shape", 3), ("input_shape", [[1]]), ("batch_size", "x")
    )},
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_translate_refuses(name: str, tmp_path: Path) -> None:
    path = tmp_path / "layer.json"
    path.write_text(CONFIGURATIONS[name], encoding="utf-8")
    refused_by("translate", str(path), "--from", "keras", "--to", "torch")
    with contextlib.suppress(ValueError, RecursionError):  # what is JSON is refused as a value, too
        value = json.loads(CONFIGURATIONS[name])
        with pytest.raises(ConvrefError):
            translate_config(value, "keras", "torch")


@pytest.mark.parametrize("command", ["verify", "translate"])
def test_what_is_no_file(command: str, tmp_path: Path) -> None:
    rest = ("--from", "keras", "--to", "torch") if command == "translate" else ()
    for path in (tmp_path, tmp_path / "nowhere.npz", Path("/dev/null"), Path("/dev/zero")):
        refused_by(command, str(path), *rest)
    refused_by(command, "x" * 300, *rest)
    for path in ("\0", "\ud800"):  # which the command line itself does not take
        done = CliRunner().invoke(cli.app, [command, path, *rest])
        assert (done.exit_code, done.stdout) == (2, "")


def test_there_are_enough() -> None:
    assert len(CASES) + len(STORED) + len(CONFIGURATIONS) > 400


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
from convref.__main__ import main
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("size", [2**27, 2**32])
def test_bombs_where_memory_is_short(size: int, tmp_path: Path) -> None:
    """In a process of 2 GiB: a message, and not the end of the process by a signal."""
    path = tmp_path / "mine.npz"
    path.write_bytes(bomb(size))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "verify", str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(convref.__file__).parents[1])])},
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("convref: ")
    assert len(done.stderr.splitlines()) == 1
