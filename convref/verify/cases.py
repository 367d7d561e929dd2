"""Cases to judge: the outputs of frameworks that ship with the package, and a user's own files.

A case is a set of arrays with the words that tie them: x, w and perhaps bias; y; and perhaps dy
with the gradients dx, dw and db that it gives. Files are .npz without pickles. A user's file holds
one case, its arrays by name and `words`, a JSON object in a string. A corpus file holds many:
`cases`, a JSON list, and the arrays of each as ``name/x``, ``name/w`` and so on.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from os.path import isfile
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from convref.dtypes import as_array
from convref.errors import ConvrefError, FileError, shown
from convref.npz import read_npz
from convref.spec import Words
from convref.verify import report_on, sums_in
from convref.verify.bounds import FLOAT8
from convref.verify.problem import Problem
from convref.verify.report import Report

Array = NDArray[Any]

ARRAYS = ("x", "w", "bias", "y", "dy", "dx", "dw", "db")
OUTPUTS = ("y", "dx", "dw", "db")
FRAMEWORKS = ("pytorch", "tensorflow", "jax", "onnxruntime")
DAMAGED = (
    *(ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error),
    MemoryError,  # a header may claim any shape
    RuntimeError,  # of archives that are encrypted, or compressed in ways that Python has not
)
"""What reading a damaged archive raises."""
EXAMPLE = """write for example '{"stride": 2, "padding": "same"}'"""


@dataclass(frozen=True)
class Case:
    """Arrays of one computation, and how they came about.

    ``kind`` is "forward" or "transpose" ("quantised" where `problems` can't tell the output of
    levels and scales), ``dtype`` the format of the first output, ``formats``
    that of each array as it was stored, ``accumulate`` that of the sums, ``words`` the geometry.
    """

    name: str
    framework: str
    version: str
    configuration: str
    operator: str
    kind: str
    dtype: str
    accumulate: str
    formats: Mapping[str, str]
    words: Words
    arrays: Mapping[str, Array] = field(repr=False)


def corpus() -> Iterator[Case]:
    """The cases that ship with the package, framework by framework."""
    for framework in FRAMEWORKS:
        resource = files("convref.verify").joinpath("golden", f"{framework}.npz")
        with resource.open("rb") as file, opened(file, framework) as archive:
            for record in json.loads(str(archive["cases"])):
                keys = {name: f"{record['name']}/{name}" for name in ARRAYS}
                arrays = {name: archive[key] for name, key in keys.items() if key in archive}
                yield case_of(arrays, **record)


def read_case(path: Path) -> Case:
    """The case in a user's file; raise FileError where it can't be used.

    Besides the geometry, its words may say ``kind``, ``accumulate`` and ``dtype``: bfloat16 for
    arrays of uint16 that hold its bits, float8_e4m3fn or float8_e5m2 for such arrays of uint8.
    Arrays of ml_dtypes come out of .npz files as raw bytes, of which two are taken for bfloat16.
    """
    if not isfile(path):  # False for names that no system has, too
        raise FileError(f"there is no file {path}", "check the path")
    with path.open("rb") as file, opened(file, str(path)) as archive:
        names = ", ".join((*ARRAYS, "words"))
        for name in archive:
            if name not in (*ARRAYS, "words"):
                raise FileError(f"{path} has an unknown array `{name}`", f"the names are {names}")
        arrays = dict(archive)
    words = read_words(arrays.pop("words", np.array("{}")), path)
    outputs = [name for name in OUTPUTS if name in arrays]
    needed = ["x", "w"] + (["dy"] if set(outputs) - {"y"} else [])
    for name in needed if outputs else ["y"]:
        if name not in arrays:
            raise FileError(f"{path} has no array `{name}`", f"save it by this name, among {names}")
    kind = words.pop("kind", "forward")
    if kind not in ("forward", "transpose"):
        raise FileError(f"`kind` (={shown(kind)}) in {path} is unknown", "use forward or transpose")
    stored = arrays[outputs[0]].dtype
    dtype = words.pop("dtype", "bfloat16" if stored == "V2" else stored.name)
    if dtype not in (*CODED, stored.name):
        raise FileError(
            f"`dtype` (={shown(dtype)}) in {path} is not that of `{outputs[0]}`, {stored}",
            f"leave it out, or say {' or '.join(CODED)} for arrays that hold its bits",
        )
    for name, array in arrays.items():
        if array.dtype == "V1" and dtype not in FLOAT8:
            raise FileError(
                f"`{name}` in {path} holds raw bytes, of no known format",
                f"add to `words` the `dtype` {' or '.join(FLOAT8)}",
            )
    return case_of(
        arrays,
        name=path.stem,
        framework="file",
        version="",
        configuration=str(path),
        operator="transpose" if kind == "transpose" else "conv",
        kind=kind,
        dtype=dtype,
        words=words,
    )


def case_of(arrays: dict[str, Array], words: dict[str, Any], dtype: str, **record: str) -> Case:
    """A case from stored arrays: bits decoded, the dtype of the sums taken from the words."""
    formats = {name: format_of(array, dtype) for name, array in arrays.items()}
    arrays = {
        name: as_array(name, array)
        if formats[name] == array.dtype.name
        else CODED[formats[name]](array)
        for name, array in arrays.items()
    }
    geometry = {name: value for name, value in words.items() if name != "accumulate"}
    return Case(
        **record,
        dtype=dtype,
        formats=formats,
        accumulate=sums_in(np.result_type(arrays["x"], arrays["w"]), words.get("accumulate")),
        words=cast(Words, geometry),
        arrays=arrays,
    )


def format_of(array: Array, dtype: str) -> str:
    """The format of an array: as it is stored, or the one that its bits are declared to be."""
    # ml_dtypes' bfloat16 comes back from a file as two raw bytes; as uint16 it must be declared.
    if array.dtype == "V2":
        return "bfloat16"
    held = ("V1", np.uint8) if dtype in FLOAT8 else (np.uint16,)
    return dtype if dtype in CODED and array.dtype in held else array.dtype.name


def decode_bfloat16(array: Array) -> Array:
    """bfloat16 stored as 16 bits: the upper half of a float32."""
    return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def decode_float8_e4m3fn(array: Array) -> Array:
    """float8_e4m3fn stored as 8 bits: as those of a float32, whose bias is larger by 120."""
    bits = array.view(np.uint8).astype(np.uint32)
    size = ((bits & 0x7F) << 20).view(np.float32) * np.float32(2.0**120)
    size = np.where(bits & 0x7F == 0x7F, np.float32(np.nan), size)
    return np.where(bits & 0x80, -size, size)


def decode_float8_e5m2(array: Array) -> Array:
    """float8_e5m2 stored as 8 bits: the upper half of a float16."""
    return (array.view(np.uint8).astype(np.uint16) << 8).view(np.float16).astype(np.float32)


CODED: dict[str, Callable[[Array], Array]] = {
    "bfloat16": decode_bfloat16,
    "float8_e4m3fn": decode_float8_e4m3fn,
    "float8_e5m2": decode_float8_e5m2,
}
"""Formats that .npz files hold as bits, and how they become float32."""


def read_words(array: Array, path: Path) -> dict[str, Any]:
    """The words of a file: a JSON object in a string."""
    try:
        words = json.loads(str(array))
    except (ValueError, RecursionError) as error:
        raise FileError(f"`words` in {path} is not JSON: {error}", EXAMPLE) from error
    if not isinstance(words, dict):
        raise FileError(f"`words` in {path} is not a JSON object", EXAMPLE)
    return words


@contextmanager
def opened(file: IO[bytes], name: str) -> Iterator[Any]:
    """The arrays of an .npz archive; what goes wrong in it is a FileError."""
    try:
        yield read_npz(file)
    except ConvrefError:
        raise
    except DAMAGED as error:
        raise FileError(
            f"{name} is not an .npz file of plain arrays: {error}", "write it with numpy.savez"
        ) from error


def reports(case: Case) -> Iterator[tuple[str, Report]]:
    """Judge each output of a case: its name, and the report on it."""
    for name, problem in problems(case):
        yield name, report_on(problem, case.arrays[name], case.formats[name], case.accumulate)


def problems(case: Case) -> Iterator[tuple[str, Problem]]:
    """What each output of a case should be: its name, and the problem that it solves."""
    forward = case.kind == "forward"
    operands = {
        "y": (case.kind, "x", "w"),
        # The gradient of a transposed convolution is the convolution that it transposes, so that
        # dy and x change places.
        "dx": ("input_grad" if forward else "forward", "dy", "w"),
        "dw": ("weight_grad", *(("x", "dy") if forward else ("dy", "x"))),
        "db": ("bias_grad", "dy", "w"),
    }
    a = case.arrays
    for name, (kind, x, w) in operands.items():
        if name in a:
            bias = a.get("bias") if name == "y" else None
            yield name, Problem(kind, a[name].shape, a[x], a[w], bias, case.words)
