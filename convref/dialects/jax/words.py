"""The words of JAX, each checked and brought to one form."""

from collections.abc import Sequence
from enum import Enum
from operator import index
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from convref.dtypes import SUMMED_IN, named_dtype
from convref.errors import DtypeError, ShapeError, WordError, shown, verb
from convref.integers import is_sequence, members

Array = NDArray[Any]
Shape = tuple[int, ...]
Pads = str | Sequence[tuple[int, int]]


class LaxError(WordError, TypeError):
    """A word that JAX refuses, with ValueError for one and TypeError for another: it is both."""


class PaddingError(WordError, RuntimeError):
    """A padding word that JAX does not know."""


class RankError(ShapeError, AssertionError):
    """Arrays of different numbers of axes in a transposed convolution."""


class Precision(Enum):
    """How much of float32 an accelerator must keep; all of it is kept here."""

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2


PRECISIONS = (
    *("default", "fastest", "bfloat16", "high", "bfloat16_3x", "tensorfloat32"),
    *("highest", "float32"),
)
"""What a Precision is called in strings."""


class ConvDimensionNumbers(NamedTuple):
    """The number of each axis: batch or output channels, channels, then the spatial ones."""

    lhs_spec: Sequence[int]
    rhs_spec: Sequence[int]
    out_spec: Sequence[int]


Numbers = ConvDimensionNumbers | Sequence[str] | None


@verb
def conv_dimension_numbers(
    lhs_shape: Sequence[int], rhs_shape: Sequence[int], dimension_numbers: Numbers
) -> ConvDimensionNumbers:
    """Axes by number, from three strings of letters: N, C; O, I; and others for spatial axes.

    Spatial axes are in the order that they have in rhs. None stands for NCHW, OIHW, NCHW.

    >>> conv_dimension_numbers((2, 9, 9, 3), (3, 3, 3, 8), ("NHWC", "WHIO", "NHWC"))
    ConvDimensionNumbers(lhs_spec=(0, 3, 2, 1), rhs_spec=(3, 2, 0, 1), out_spec=(0, 3, 2, 1))
    """
    if hasattr(dimension_numbers, "lhs_spec"):  # perhaps JAX's own
        return ConvDimensionNumbers(*cast(ConvDimensionNumbers, dimension_numbers))
    lhs, rhs = members("lhs_shape", lhs_shape), members("rhs_shape", rhs_shape)
    rank = len(lhs)
    if rank != len(rhs) or rank < 2:
        raise LaxError(
            f"`lhs` (shape {shown(lhs)}) and `rhs` (shape {shown(rhs)}) must have the "
            "same number of axes, two or more",
            "give both batch, channels and spatial axes",
        )
    if dimension_numbers is None:
        return ConvDimensionNumbers(*[tuple(range(rank))] * 3)
    if not isinstance(dimension_numbers, list | tuple) or len(dimension_numbers) != 3:
        raise unreadable(dimension_numbers, rank)
    words = tuple(zip(cast(Sequence[str], dimension_numbers), ("NC", "OI", "NC"), strict=True))
    if not all(isinstance(letters, str) for letters, _ in words):
        raise unreadable(dimension_numbers, rank)
    spatial = [letter for letter in words[1][0] if letter not in "OI"]
    for letters, others in words:
        if len(set(letters)) != rank or sorted(letters) != sorted([*others, *spatial]):
            raise unreadable(dimension_numbers, rank)
    return ConvDimensionNumbers(
        *(tuple(map(letters.index, [*others, *spatial])) for letters, others in words)
    )


def unreadable(dimension_numbers: object, rank: int) -> LaxError:
    """What is wrong with dimension numbers, whatever it is."""
    spatial = "HWDXYZ"[: rank - 2]
    return LaxError(
        f"`dimension_numbers` (={shown(dimension_numbers)}) must be three strings of {rank} "
        "different "
        "letters, with N and C, O and I, N and C among them and the same others in all three",
        f"such as ('N{spatial}C', '{spatial}IO', 'N{spatial}C')",
    )


def check_numbers(numbers: ConvDimensionNumbers, lhs: int, rhs: int) -> None:
    """Check that each axis has its place, in arrays of so many axes."""
    for name, axes, count in zip(numbers._fields, numbers, (lhs, rhs, lhs), strict=True):
        if sorted(axes) != list(range(count)):
            raise LaxError(
                f"`dimension_numbers` has `{name}` (={shown(axes)}), which must number the {count} "
                "axes",
                f"use each of 0 to {count - 1} once",
            )


def as_padding(padding: object, rank: int, spreading: Shape) -> Any:
    """A padding word of convref's, or one pair per axis."""
    if isinstance(padding, str):
        if padding.upper() not in ("VALID", "SAME", "SAME_LOWER"):
            raise PaddingError(
                f"`padding` (={shown(padding)}) is not a padding word",
                "use 'VALID', 'SAME', 'SAME_LOWER', or one pair (lo, hi) per axis",
            )
        if any(step != 1 for step in spreading):
            raise WordError(
                f"`padding` (={shown(padding)}) must be pairs where `lhs_dilation` (={spreading}) "
                "is "
                "not 1",
                "give one pair (lo, hi) per axis, or use conv_transpose",
            )
        return padding.lower()
    try:
        pairs = tuple((index(lo), index(hi)) for lo, hi in padding)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise WordError(
            f"`padding` (={shown(padding)}) must be a word or pairs of integers",
            f"such as {[(1, 1)] * rank}",
        ) from None
    if len(pairs) != rank:
        raise LaxError(
            f"`padding` (={shown(padding)}) must have one pair for each of the {rank} axes",
            f"such as {[(1, 1)] * rank}",
        )
    return pairs


def entries(name: str, value: object) -> Shape:
    """A sequence of integers."""
    try:
        return tuple(map(index, members(name, value)))
    except (TypeError, WordError):
        raise LaxError(
            f"`{name}` (={shown(value)}) must list integers, one per spatial axis", "such as (1, 1)"
        ) from None


def positive(name: str, value: object, rank: int) -> Shape:
    """One positive integer per spatial axis."""
    found = entries(name, value)
    if len(found) != rank or min(found, default=1) < 1:
        raise LaxError(
            f"`{name}` (={shown(value)}) must be a positive integer for each of the {rank} spatial "
            "axes",
            f"such as {(1,) * rank}",
        )
    return found


def dilations(name: str, value: object, rank: int) -> Shape:
    """One per spatial axis; None stands for 1."""
    return (1,) * rank if value is None else positive(name, value, rank)


def transposed_padding(
    padding: Pads, windows: list[int], strides: Shape
) -> tuple[tuple[int, int], ...]:
    """What the spread-out input is padded with, for the padding of what is transposed."""
    each = [padding] * len(windows) if isinstance(padding, str) else padding
    if not is_sequence(each) or len(each) != len(windows):
        raise LaxError(
            f"`padding` (={shown(padding)}) must have one pair for each of the {len(windows)} axes",
            f"such as {[(1, 1)] * len(windows)}",
        )
    return tuple(map(transposed_pair, each, windows, strides))


def transposed_pair(padding: object, window: int, stride: int) -> tuple[int, int]:
    """The padding of one axis."""
    full = window - 1  # on both sides, this reaches every product
    if padding == "VALID":
        return full, stride - 1 + max(window - stride, 0)
    if padding == "SAME":
        before = full if stride > full else -(-(full + stride - 1) // 2)
        return before, full + stride - 1 - before
    if isinstance(padding, tuple) and len(padding) == 2:
        before, after = entries("padding", padding)
        return full - before, full - after
    raise WordError(
        f"`padding` has an entry (={shown(padding)}) that is not 'SAME', 'VALID' or a pair",
        "write pairs as tuples: (lo, hi)",
    )


def check_precision(precision: object) -> None:
    """Check that a precision, or one for lhs and one for rhs, is one of JAX's."""
    pair = precision if isinstance(precision, list | tuple) and len(precision) == 2 else [precision]
    in_words = all(isinstance(each, str) and each in PRECISIONS for each in pair)
    in_kinds = all(getattr(each, "name", None) in Precision.__members__ for each in pair)
    if precision is not None and not in_words and not in_kinds:  # which are perhaps JAX's own
        raise WordError(
            f"`precision` (={shown(precision)}) is not a precision, or a pair of them",
            "leave it out: all of every dtype is kept",
        )


def result_dtype(lhs: Array, rhs: Array, preferred: DTypeLike | None) -> np.dtype[Any]:
    """The dtype to compute in, and of the result."""
    if lhs.dtype != rhs.dtype:
        raise DtypeError(
            f"`lhs` ({lhs.dtype}) and `rhs` ({rhs.dtype}) must have the same dtype",
            "convert one of them",
        )
    if preferred is None:
        return lhs.dtype
    dtype = named_dtype(preferred)
    if dtype is None:
        raise DtypeError(
            f"`preferred_element_type` (={shown(preferred)}) is not a dtype", "such as np.float32"
        )
    before, after = kind(lhs.dtype), kind(dtype)
    if after not in KINDS[before] or dtype.itemsize < lhs.dtype.itemsize:
        raise DtypeError(
            f"`preferred_element_type` (={dtype}) can't stand for {lhs.dtype}",
            "use one that is not narrower and of the same kind, or a float for integers",
        )
    return dtype


KINDS = {"b": "biufc", "u": "iuf", "i": "if", "f": "f", "c": "c"}
"""What each kind of numbers may be computed in."""


def kind(dtype: np.dtype[Any]) -> str:
    """The letter of a dtype's kind; NumPy does not know that bfloat16 is a float."""
    return "f" if dtype.name in SUMMED_IN else dtype.kind
