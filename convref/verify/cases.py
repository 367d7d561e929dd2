"""Cases to judge: the outputs of frameworks that ship with the package, and a user's own files.

A case is a set of arrays with the words that tie them: x, w and perhaps bias; y; and perhaps dy
with the gradients dx, dw and db that it gives. Files are .npz without pickles. A user's file holds
one case, its arrays by name and `words`, a JSON object in a string. A corpus file holds many:
`cases`, a JSON list, and the arrays of each as ``name/x``, ``name/w`` and so on.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from convref.dtypes import as_array
from convref.errors import ConvrefError, FileError
from convref.spec import Words
from convref.verify import report_on, sums_in
from convref.verify.problem import Problem
from convref.verify.report import Report

Array = NDArray[Any]

ARRAYS = ("x", "w", "bias", "y", "dy", "dx", "dw", "db")
OUTPUTS = ("y", "dx", "dw", "db")
FRAMEWORKS = ("pytorch", "tensorflow", "jax", "onnxruntime")
EXAMPLE = """write for example '{"stride": 2, "padding": "same"}'"""


@dataclass(frozen=True)
class Case:
    """Arrays of one computation, and how they came about.

    ``kind`` is "forward" or "transpose", ``dtype`` the format of the first output, ``formats``
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

    Besides the geometry, its words may say ``kind``, ``accumulate`` and ``dtype`` (for bfloat16,
    which .npz files hold as uint16, or as raw bytes where ml_dtypes was used).
    """
    if not path.is_file():
        raise FileError(f"there is no file {path}", "check the path")
    with path.open("rb") as file, opened(file, str(path)) as archive:
        names = ", ".join((*ARRAYS, "words"))
        for name in archive.files:
            if name not in (*ARRAYS, "words"):
                raise FileError(f"{path} has an unknown array `{name}`", f"the names are {names}")
        arrays = {name: archive[name] for name in archive.files}
    words = read_words(arrays.pop("words", np.array("{}")), path)
    outputs = [name for name in OUTPUTS if name in arrays]
    needed = ["x", "w"] + (["dy"] if set(outputs) - {"y"} else [])
    for name in needed if outputs else ["y"]:
        if name not in arrays:
            raise FileError(f"{path} has no array `{name}`", f"save it by this name, among {names}")
    kind = words.pop("kind", "forward")
    if kind not in ("forward", "transpose"):
        raise FileError(f"`kind` (={kind!r}) in {path} is unknown", "use forward or transpose")
    stored = arrays[outputs[0]].dtype
    dtype = words.pop("dtype", "bfloat16" if stored == "V2" else stored.name)
    if dtype not in ("bfloat16", stored.name):
        raise FileError(
            f"`dtype` (={dtype!r}) in {path} is not that of `{outputs[0]}`, {stored}",
            "leave it out, or say bfloat16 for arrays that hold its bits",
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
    """A case from stored arrays: bfloat16 decoded, the dtype of the sums taken from the words."""
    # ml_dtypes' bfloat16 comes back from a file as two raw bytes; as uint16 it must be declared.
    coded = ("V2", np.uint16) if dtype == "bfloat16" else ("V2",)
    bits = {name for name, array in arrays.items() if array.dtype in coded}
    formats = {name: "bfloat16" if name in bits else arrays[name].dtype.name for name in arrays}
    arrays = {
        name: decode_bfloat16(array) if name in bits else as_array(name, array)
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


def decode_bfloat16(array: Array) -> Array:
    """bfloat16 stored as 16 bits: the upper half of a float32."""
    return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def read_words(array: Array, path: Path) -> dict[str, Any]:
    """The words of a file: a JSON object in a string."""
    try:
        words = json.loads(str(array))
    except ValueError as error:
        raise FileError(f"`words` in {path} is not JSON: {error}", EXAMPLE) from error
    if not isinstance(words, dict):
        raise FileError(f"`words` in {path} is not a JSON object", EXAMPLE)
    return words


@contextmanager
def opened(file: IO[bytes], name: str) -> Iterator[Any]:
    """An .npz archive open for reading; what goes wrong in it is a FileError."""
    try:
        archive = np.load(file, allow_pickle=False)
        if not hasattr(archive, "files"):
            raise ValueError("it holds a single array")
        yield archive
    except ConvrefError:
        raise
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
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
