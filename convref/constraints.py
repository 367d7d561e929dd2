"""Constraints: what a parameter is brought back to after each step of an optimiser.

Norms are those of each filter's incoming weights: over all axes but the first, or over the whole of
a bias. ``axes`` chooses others: (0, 2, 3), for example, for the weights (C, K, *kernel) of a
transposed convolution. As in Keras, whose axes are [0, 1, 2] for the kernel layout (*kernel, C, K),
the norm is divided by with 1e-7 added, so that zeros stay zeros, and weights that meet a constraint
shrink by that small part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convref.dtypes import as_array, wide
from convref.errors import ShapeError, WordError, shown, verb
from convref.integers import integer, real
from convref.memory import check_fits

Array = NDArray[Any]
Axes = int | tuple[int, ...] | None
EPSILON = 1e-7


class Constraint(Protocol):
    """Where a parameter may be."""

    def __call__(self, w: Array) -> Array:
        """The array that meets the constraint in place of w."""


@dataclass(frozen=True)
class MaxNorm:
    """``w * min(norm, limit) / (norm + 1e-7)``: norms of at most ``limit``.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15,
    2014. Raises WordError for a limit that is negative; ShapeError for axes that w has not.

    >>> MaxNorm(1.0)(np.array([[3.0, 4.0], [0.0, 0.5]])).round(6)
    array([[0.6, 0.8],
           [0. , 0.5]])
    """

    limit: float = 2.0
    axes: Axes = None

    @verb
    def __post_init__(self) -> None:
        real("limit", self.limit, "of 0 or more")
        check_axes(self.axes)

    @np.errstate(all="ignore")
    def __call__(self, w: Array) -> Array:
        w = numbers(w)
        size = norms(w, self.axes)
        return scaled(w, np.minimum(size, float(self.limit)), size)


@dataclass(frozen=True)
class UnitNorm:
    """``w / (norm + 1e-7)``: norms of 1. Raises ShapeError for axes that w has not."""

    axes: Axes = None

    @verb
    def __post_init__(self) -> None:
        check_axes(self.axes)

    @np.errstate(all="ignore")
    def __call__(self, w: Array) -> Array:
        w = numbers(w)
        size = norms(w, self.axes)
        return scaled(w, np.ones_like(size), size)


@dataclass(frozen=True)
class MinMaxNorm:
    """``w * wanted / (norm + 1e-7)``: norms between ``low`` and ``high``, or on their way there.

    ``wanted = rate * clip(norm, low, high) + (1 - rate) * norm``; a rate below 1 goes that part of
    the way at each step. Raises WordError for limits that are negative or in the wrong order and
    for a rate that is not between 0 and 1; ShapeError for axes that w has not.
    """

    low: float = 0.0
    high: float = 1.0
    rate: float = 1.0
    axes: Axes = None

    @verb
    def __post_init__(self) -> None:
        low, high = real("low", self.low, "of 0 or more"), real("high", self.high, "of 0 or more")
        if low > high:
            raise WordError(f"`low` (={low}) is above `high` (={high})", "exchange them")
        real("rate", self.rate, "from 0 to 1")
        check_axes(self.axes)

    @np.errstate(all="ignore")
    def __call__(self, w: Array) -> Array:
        w = numbers(w)
        size = norms(w, self.axes)
        wanted = np.clip(size, float(self.low), float(self.high))
        rate = float(self.rate)
        return scaled(w, rate * wanted + (1 - rate) * size, size)


@dataclass(frozen=True)
class NonNegative:
    """``max(w, 0)``."""

    @np.errstate(all="ignore")
    def __call__(self, w: Array) -> Array:
        values = numbers(w)
        # NumPy 2.0 makes a float32 of a bfloat16 and a Python integer.
        met: Array = np.maximum(values, values.dtype.type(0))
        return met


def numbers(w: Array) -> Array:
    """What is constrained; raise DtypeError for what is no array of numbers."""
    array = as_array("w", w)
    check_fits(8 * array.size, f"the squares of an array of shape {array.shape}")
    return array


def check_axes(axes: Axes) -> None:
    """Check that axes are an integer, a tuple of them, or left out; raise WordError."""
    for axis in axes if isinstance(axes, tuple) else () if axes is None else (axes,):
        integer("axes", axis)


def norms(w: Array, axes: Axes) -> Array:
    """Euclidean, with axes of size 1 where they were taken over."""
    over = axes if axes is not None else tuple(range(1, w.ndim)) or None
    try:
        squares: Array = np.sum(np.square(np.abs(wide(w))), axis=over, keepdims=True)
    except (ValueError, OverflowError):
        raise ShapeError(
            f"`axes` (={shown(axes)}) are not axes of the shape {w.shape}",
            "leave them out for all but the first",
        ) from None
    return np.sqrt(squares)


def scaled(w: Array, wanted: Array, size: Array) -> Array:
    """w with other norms, in its dtype."""
    return np.asarray(wide(w) * (wanted / (size + EPSILON))).astype(w.dtype, copy=False)


CONSTRAINTS: dict[str, Callable[[], Constraint]] = {
    "max_norm": MaxNorm,
    "unit_norm": UnitNorm,
    "min_max_norm": MinMaxNorm,
    "non_negative": NonNegative,
    "non_neg": NonNegative,
}
"""What may be given by name."""
