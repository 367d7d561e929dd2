"""What the golden corpus's scripts share: drawing operands, recording cases, writing a file.

A corpus file is an ``.npz`` without pickles. Its entry ``cases`` is a JSON list with one object
for each case (name, framework, version, configuration, operator, kind, dtype, words); the arrays of
a case are the entries ``<name>/x``, ``/w``, ``/bias``, ``/y``, ``/dy``, ``/dx``, ``/dw``, ``/db``.

Stored arrays keep the framework's own layout of ``x`` and ``y``. Weights are always stored as
``(K, C/groups, *kernel)``, or ``(C, K/groups, *kernel)`` for a transposed convolution, whatever
order the framework uses: the scripts permute axes, they compute nothing. bfloat16 is stored as
uint16 bit patterns, because ``.npy`` has no name for it.

Inputs can be drawn again without the framework: see `draw`. This module needs NumPy only.
"""

import json
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).resolve().parents[2] / "convref" / "verify" / "golden"
DTYPES = {"f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64"}

STEPS = ("stride", "dilation", "input_dilation")
DEFAULTS = {
    "padding": "valid",
    "groups": 1,
    "padding_mode": "zeros",
    "layout": "channels_first",
}

Arrays = dict[str, np.ndarray]


def draw(key: str, shape: Sequence[int], dtype: str) -> np.ndarray:
    """Draw the stored array ``key``: standard normals, rounded once to ``dtype``.

    The seed is the CRC-32 of the key (``"<case name>/x"``), so every array has a stream of its
    own, and adding or removing a case changes no other one.
    """
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
    values = generator.standard_normal(shape)
    return bfloat16_bits(values) if dtype == "bfloat16" else values.astype(dtype)


def bfloat16_bits(values: np.ndarray) -> np.ndarray:
    """Round finite numbers to bfloat16, ties to even, and return the bit patterns as uint16."""
    bits = values.astype(np.float32).view(np.uint32)
    # Half a unit in the last kept place, less one where that place is even: the carry rounds.
    rounding = 0x7FFF + ((bits >> 16) & 1)
    return ((bits + rounding) >> 16).astype(np.uint16)


@dataclass(frozen=True)
class Layer:
    """One line of a script's table: a framework's function, its operands' shapes, its arguments.

    ``w`` is the stored shape. ``words`` holds what the script can't derive from the arguments.
    """

    function: str
    label: str
    x: tuple[int, ...]
    w: tuple[int, ...]
    dtypes: str
    bias: bool
    words: dict[str, Any]
    arguments: dict[str, Any]

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.w) - 2

    @property
    def kernel(self) -> tuple[int, ...]:
        """The kernel's size on each spatial axis."""
        return self.w[2:]

    @property
    def is_module(self) -> bool:
        """Whether the function is a layer's class, which makes its own weights."""
        return self.function[0].isupper()


def layer(
    function: str,
    label: str,
    x: tuple[int, ...],
    w: tuple[int, ...],
    dtypes: str = "f32",
    *,
    bias: bool = False,
    words: dict[str, Any] | None = None,
    **arguments: Any,
) -> Layer:
    """Write a `Layer` with the framework's arguments as keywords."""
    return Layer(function, label, x, w, dtypes, bias, words or {}, arguments)


@dataclass(frozen=True)
class Description:
    """What a script says about a layer: whose call it is, and what the call means."""

    framework: str
    version: str
    configuration: str
    kind: str
    words: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One object of the JSON list: everything about a case but its arrays."""

    name: str
    framework: str
    version: str
    configuration: str
    operator: str
    kind: str
    dtype: str
    words: dict[str, Any]


# What a script brings. ``evaluate(layer, inputs, dtype)`` returns the output and its pullback (None
# without gradients), which maps the cotangent ``dy`` to ``dx``, ``dw`` and, with a bias, ``db``.
Describe = Callable[[Layer, str], Description]
Pullback = Callable[[np.ndarray], Arrays]
Evaluate = Callable[[Layer, Arrays, str], tuple[np.ndarray, Pullback | None]]


def convref_words(rank: int, *, padding: Any = "valid", **words: Any) -> dict[str, Any]:
    """Write geometry words in the file's form: a value for each axis, defaults left out."""
    if not isinstance(padding, str):
        padding = [[p, p] if isinstance(p, int) else list(p) for p in per_axis(padding, rank)]
    words["padding"] = padding
    for word in words.keys() & STEPS:
        words[word] = per_axis(words[word], rank)
    defaults = DEFAULTS | dict.fromkeys(STEPS, [1] * rank)
    return {word: value for word, value in words.items() if value != defaults[word]}


def per_axis(value: Any, rank: int) -> list[Any]:
    """Return ``value`` as a list with one entry for each spatial axis."""
    return [value] * rank if isinstance(value, int) else list(value)


def call_text(function: str, operands: Sequence[Any], arguments: dict[str, Any]) -> str:
    """Write a call as a person would."""
    keywords = [f"{name}={value!r}" for name, value in arguments.items()]
    return f"{function}({', '.join([*map(str, operands), *keywords])})"


class Corpus:
    """The cases of one framework, in the order in which they are recorded."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self.arrays: Arrays = {}

    def record(self, prefix: str, line: Layer, describe: Describe, evaluate: Evaluate) -> None:
        """Evaluate a layer in each of its dtypes and keep the cases."""
        for suffix in line.dtypes.split():
            name, dtype = f"{prefix}-{line.label}-{suffix}", DTYPES[suffix]
            if any(case.name == name for case in self.cases):
                raise ValueError(f"two cases are named {name}")
            about = describe(line, dtype)
            shapes = {"x": line.x, "w": line.w}
            if line.bias:
                shapes["bias"] = (output_channels(line, about),)
            arrays = {part: draw(f"{name}/{part}", s, dtype) for part, s in shapes.items()}
            arrays["y"], pullback = evaluate(line, arrays, dtype)
            if pullback is not None:
                arrays["dy"] = draw(f"{name}/dy", arrays["y"].shape, dtype)
                arrays |= pullback(arrays["dy"])
            operator = operator_of(line, about)
            self.cases.append(Case(name=name, operator=operator, dtype=dtype, **asdict(about)))
            self.arrays |= {f"{name}/{part}": array for part, array in arrays.items()}

    def write(self, file_name: str) -> None:
        """Write the file to the folder named on the command line, or into the package."""
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN
        folder.mkdir(parents=True, exist_ok=True)
        cases = np.array(json.dumps([asdict(case) for case in self.cases]))
        arrays = {key: np.ascontiguousarray(array) for key, array in self.arrays.items()}
        np.savez_compressed(folder / file_name, allow_pickle=False, cases=cases, **arrays)
        size = (folder / file_name).stat().st_size
        print(f"{file_name}: {len(self.cases)} cases, {size:,} bytes")


def operator_of(line: Layer, about: Description) -> str:
    """Name the operator: conv, depthwise or transpose."""
    if about.kind == "transpose":
        return "transpose"
    return "depthwise" if about.words.get("groups", 1) > 1 and line.w[1] == 1 else "conv"


def output_channels(line: Layer, about: Description) -> int:
    """Count the output's channels, from the stored weight."""
    if about.kind == "transpose":
        return line.w[1] * about.words.get("groups", 1)
    return line.w[0]
