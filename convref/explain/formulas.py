"""The output size as a formula, as a dialect's documentation writes it, with the numbers put in.

Letters: n input, k kernel, s stride, d dilation, p padding on each side, or lo before and hi after,
e input dilation, op output padding. `floor` and `ceil` are those of Python's math.

Sources: PyTorch's Conv2d and ConvTranspose2d, Keras's ("same" is ``ceil(n/s)``, transposed
``n*s``), XLA's ConvWithGeneralPadding, which JAX and brainpy call, ONNX's Conv and ConvTranspose.
"""

from dataclasses import replace
from operator import add
from typing import NamedTuple

from convref.explain.setting import Setting

WINDOW = "{d}*({k} - 1)"
"""One less than the extent of the dilated kernel."""
SAME = {
    "keras": ("same", "causal"),
    "jax": ("same", "same_lower"),
    "brainpy": ("same",),
    "babilim": ("same",),
    "onnx": ("same", "same_lower"),
}
"""Words with which each dialect gives ``ceil(n/s)``; of transposed ones "same" alone, ``n*s``."""


class Formula(NamedTuple):
    """An output size."""

    symbols: str
    axes: tuple[str, ...]
    """The same with numbers, for each axis, and what comes out: ``ceil(7/2) = 4``."""


def formula(setting: Setting, dialect: str) -> Formula:
    """The output size along each axis.

    >>> from convref.explain.setting import setting
    >>> formula(setting((7, 8), (3, 3), stride=2, padding=1), "torch").axes[1]
    'floor((8 + 2*1 - 1*(3 - 1) - 1)/2 + 1) = 4'
    """
    write = transposed if setting.transposed else forward
    template = write(setting, dialect)
    numbers = [values(setting, number) for number in range(len(setting.output_size))]
    letters = {letter: letter for letter in numbers[0]}
    sizes = zip(numbers, setting.output_size, strict=True)
    axes = (f"{template.format(**found)} = {size}" for found, size in sizes)
    return Formula(template.format(**letters), tuple(axes))


def values(setting: Setting, number: int) -> dict[str, int]:
    """What the letters stand for, along one axis."""
    axis = setting.geometry.axes[number]
    return {
        "n": setting.input_size[number],
        "k": axis.kernel,
        "s": axis.stride,
        "d": axis.dilation,
        "e": axis.input_dilation,
        "p": axis.lo,
        "lo": axis.lo,
        "hi": axis.hi,
        "op": replace(setting, word="").output_padding[number],
    }


def forward(setting: Setting, dialect: str) -> str:
    """The formula of a convolution."""
    if setting.word in SAME.get(dialect, ()):
        return "ceil({n}/{s})"
    pairs, spread = setting.geometry.padding, max(setting.spec.input_dilation) > 1
    size = "{n}" if not spread else "(({n} - 1)*{e} + 1)"
    if dialect == "keras":
        both = " + {lo} + {hi}" if any(map(any, pairs)) else ""
        return f"ceil(({size}{both} - {WINDOW})/{{s}})"
    if dialect == "torch" and symmetric(setting):
        return f"floor(({size} + 2*{{p}} - {WINDOW} - 1)/{{s}} + 1)"
    if dialect in ("torch", "onnx"):
        return f"floor(({size} + {{lo}} + {{hi}} - {WINDOW} - 1)/{{s}} + 1)"
    return f"floor(({{lo}} + {size} + {{hi}} - ({WINDOW} + 1))/{{s}}) + 1"


def transposed(setting: Setting, dialect: str) -> str:
    """The formula of a transposed convolution."""
    if dialect in SAME and dialect != "onnx":
        axes, counts = setting.geometry.axes, setting.input_size
        full = tuple(n * axis.stride for n, axis in zip(counts, axes, strict=True))
        if setting.word == "same" and setting.output_size == full:
            return "{n}*{s}"
        beyond = (max(axis.window - axis.stride, 0) for axis in axes)
        if setting.word == "valid" and setting.output_size == tuple(map(add, full, beyond)):
            return f"{{n}}*{{s}} + max({WINDOW} + 1 - {{s}}, 0)"
    if dialect == "torch" and symmetric(setting):
        return f"({{n}} - 1)*{{s}} - 2*{{p}} + {WINDOW} + {{op}} + 1"
    if dialect == "onnx":
        return f"{{s}}*({{n}} - 1) + {{op}} + ({WINDOW} + 1) - {{lo}} - {{hi}}"
    return f"({{n}} - 1)*{{s}} + {WINDOW} + 1 - {{lo}} - {{hi}} + {{op}}"


def symmetric(setting: Setting) -> bool:
    """Whether as much is padded after as before."""
    return all(lo == hi for lo, hi in setting.geometry.padding)
