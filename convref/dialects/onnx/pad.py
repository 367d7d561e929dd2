"""Pad: cells added around an array along any of its axes, or taken away."""

from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref.dialects.onnx.attributes import axes_of, choice, ints, operator, scalar
from convref.dtypes import as_array
from convref.errors import DtypeError, ShapeError, shown
from convref.memory import check_fits
from convref.padding import Pair

Array = NDArray[Any]


@operator
def Pad(
    data: ArrayLike,
    pads: ArrayLike,
    constant_value: ArrayLike | None = None,
    axes: ArrayLike | None = None,
    *,
    mode: str | bytes = "constant",
) -> Array:
    """`numpy.pad` along all axes, or those that ``axes`` lists; negative ``pads`` crop first.

    ``pads`` lists all beginnings, then all ends. ``mode`` is "constant", "reflect", "edge" or
    "wrap", which convref's `padding_mode` calls zeros, reflect, replicate and circular.

    >>> Pad([1, 2, 3, 4], [2, -1], mode="reflect")
    array([3, 2, 1, 2, 3])
    >>> Pad([[1], [2]], [1, 0], 9, [-1])
    array([[9, 1],
           [9, 2]])
    """
    array = as_array("data", data)
    word = choice("mode", mode, ("constant", "reflect", "edge", "wrap"))
    chosen = axes_of(axes, array.ndim)
    amounts = ints("pads", as_array("pads", pads), 2 * len(chosen), default=0, minimum=None)
    if not chosen:
        return array.copy()
    ends = [(0, 0)] * array.ndim
    for axis, *pair in zip(chosen, amounts[: len(chosen)], amounts[len(chosen) :], strict=True):
        ends[axis] = (pair[0], pair[1])
    kept = tuple(map(remaining, ends, array.shape))
    check_added(array.shape, ends, kept, word)
    added = [(max(lo, 0), max(hi, 0)) for lo, hi in ends]
    shape = [lo + len(left) + hi for (lo, hi), left in zip(added, kept, strict=True)]
    check_fits(prod(shape) * array.itemsize, "the output", tuple(shape))
    array = array[tuple(slice(left.start, left.stop) for left in kept)]
    if word == "constant":
        return np.pad(array, added, constant_values=filling(constant_value, array.dtype))
    return np.pad(array, added, mode=cast(Any, word))


def remaining(ends: Pair, size: int) -> range:
    """The positions of an axis that negative amounts leave."""
    return range(max(-ends[0], 0), size + min(ends[1], 0))


def check_added(
    shape: tuple[int, ...], ends: list[Pair], kept: tuple[range, ...], mode: str
) -> None:
    """Check that no axis loses more than it has, and that there is something to repeat."""
    for axis, (size, (lo, hi), left) in enumerate(zip(shape, ends, kept, strict=True)):
        if left.start > left.stop:
            raise ShapeError(
                f"`pads` ({lo} and {hi}) take more than the {size} positions of `data` "
                f"(shape {shape}) along axis {axis}",
                "take less",
            )
        if mode != "constant" and max(lo, hi) > 0 and not left:
            raise ShapeError(
                f"`mode` (={shown(mode)}) has nothing to repeat along axis {axis}, which is empty",
                "use mode='constant'",
            )


def filling(value: ArrayLike | None, dtype: np.dtype[Any]) -> Array:
    """The number to fill up with; one that has a type must have that of the data."""
    if value is None:
        return np.zeros((), dtype)
    array = as_array("constant_value", value)
    if hasattr(value, "dtype") and array.dtype.name != dtype.name:
        raise DtypeError(
            f"`constant_value` ({array.dtype}) and `data` ({dtype}) must be of one type",
            "convert one of them",
        )
    return scalar("constant_value", array).astype(dtype)
