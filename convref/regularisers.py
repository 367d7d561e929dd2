"""Regularisers: penalties on weights, biases and outputs, with their gradients.

Penalties are real, of complex arrays too. Gradients g are those of the package, transposes and not
adjoints: a small change h of w changes the penalty by the real part of ``sum(g * h)``. So g is the
complex conjugate of the direction of steepest ascent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convref.dtypes import as_array, wide
from convref.errors import ShapeError, verb
from convref.integers import real
from convref.memory import check_fits
from convref.names import one_of

Array = NDArray[Any]


class Regulariser(Protocol):
    """A penalty that is added to the loss."""

    def __call__(self, w: Array) -> float:
        """The penalty."""

    def gradient(self, w: Array) -> Array:
        """Its derivative by each element of w."""


@dataclass(frozen=True)
class L1L2:
    """``l1 * sum(|w|) + l2 * sum(|w|**2)``; the derivative of ``|w|`` at 0 is taken as 0.

    Raises WordError for a factor that is negative or no number.

    >>> w = np.array([3.0, 0.0, -4.0])
    >>> L1L2(l1=1, l2=0.5)(w), L1L2(l1=1, l2=0.5).gradient(w)
    (19.5, array([ 4.,  0., -5.]))
    """

    l1: float = 0.01
    l2: float = 0.01

    @verb
    def __post_init__(self) -> None:
        real("l1", self.l1, "of 0 or more")
        real("l2", self.l2, "of 0 or more")

    @np.errstate(all="ignore")
    def __call__(self, w: Array) -> float:
        size = np.abs(numbers(w))
        return float(float(self.l1) * np.sum(size) + float(self.l2) * np.sum(np.square(size)))

    @np.errstate(all="ignore")
    def gradient(self, w: Array) -> Array:
        w = numbers(w)
        return np.conjugate(float(self.l1) * np.sign(w) + 2 * float(self.l2) * w)


@dataclass(frozen=True)
class L1:
    """``factor * sum(|w|)``, with the gradient ``factor * sign(w)``, which is 0 at 0.

    Raises WordError for a factor that is negative or no number.
    """

    factor: float = 0.01

    @verb
    def __post_init__(self) -> None:
        real("factor", self.factor, "of 0 or more")

    @np.errstate(all="ignore")
    def __call__(self, w: Array) -> float:
        return float(float(self.factor) * np.sum(np.abs(numbers(w))))

    @np.errstate(all="ignore")
    def gradient(self, w: Array) -> Array:
        ascent: Array = np.conjugate(np.sign(numbers(w)))
        return float(self.factor) * ascent


@dataclass(frozen=True)
class L2:
    """``factor * sum(|w|**2)``, with the gradient ``2 * factor * w``, conjugated if complex.

    An optimiser's weight decay of d adds the gradient of ``d/2 * sum(|w|**2)``. Raises WordError
    for a factor that is negative or no number.
    """

    factor: float = 0.01

    @verb
    def __post_init__(self) -> None:
        real("factor", self.factor, "of 0 or more")

    @np.errstate(all="ignore")
    def __call__(self, w: Array) -> float:
        return float(float(self.factor) * np.sum(np.square(np.abs(numbers(w)))))

    @np.errstate(all="ignore")
    def gradient(self, w: Array) -> Array:
        ascent: Array = np.conjugate(numbers(w))
        return 2 * float(self.factor) * ascent


@dataclass(frozen=True)
class Orthogonal:
    """``factor`` times the mean of ``|cos(angle)|`` over all pairs of rows, or of columns.

    Weights are flattened to a matrix of one row per output channel: the mode "rows" asks that the
    filters be orthogonal, "columns" that the inputs of the sums be. This is Keras's
    OrthogonalRegularizer of the transposed matrix, since the kernels of Keras end in the output
    channels: its "columns" are these rows. A row of zeros is at right angles to every other.

    Raises WordError for an unknown mode, or a factor that is negative or no number.

    >>> Orthogonal(factor=0.5)(np.array([[1.0, 0.0], [3.0, 4.0]]))
    0.3
    """

    factor: float = 0.01
    mode: str = "rows"

    @verb
    def __post_init__(self) -> None:
        real("factor", self.factor, "of 0 or more")
        one_of("mode", self.mode, ("rows", "columns"))

    @np.errstate(all="ignore")
    def __call__(self, w: Array) -> float:
        directions, _ = self.normalised(w)
        return self.share(directions) * float(np.sum(np.abs(cosines(directions))))

    @np.errstate(all="ignore")
    def gradient(self, w: Array) -> Array:
        # The cosine of rows i and j counts twice, as (i, j) and as (j, i), so that the derivative
        # by the direction of i is the sum over j of 2 * sign(cosine) * direction of j. Directions
        # turn with w, at right angles to themselves, by as much as w moves over its length.
        directions, lengths = self.normalised(w)
        ascent = 2 * self.share(directions) * (np.sign(cosines(directions)) @ directions)
        along = np.sum((np.conjugate(directions) * ascent).real, axis=1, keepdims=True)
        turned: Array = np.conjugate(ascent - along * directions) / lengths
        return (turned if self.mode == "rows" else turned.T).reshape(w.shape)

    def normalised(self, w: Array) -> tuple[Array, Array]:
        """The rows, or columns, as rows of length 1, and their lengths; 1 for zeros."""
        found = numbers(w)
        if not found.ndim:
            raise ShapeError("`w` has no axes", "give it one row for each filter")
        matrix = found.reshape(len(found), prod(found.shape[1:]))
        if self.mode == "columns":
            matrix = matrix.T
        lengths = np.sqrt(np.sum(np.square(np.abs(matrix)), axis=1, keepdims=True))
        lengths[lengths == 0] = 1
        return matrix / lengths, lengths

    def share(self, directions: Array) -> float:
        """What each entry of the matrix of cosines counts for; one row has no angles."""
        return float(self.factor) / max(len(directions) * (len(directions) - 1), 1)


def numbers(w: Array) -> Array:
    """What a penalty is computed from; raise DtypeError for what is no array of numbers."""
    array = as_array("w", w)
    check_fits(8 * array.size, f"the squares of an array of shape {array.shape}")
    return wide(array)


def cosines(directions: Array) -> Array:
    """Of the angles between rows of length 1, with zeros on the diagonal."""
    found: Array = directions @ np.conjugate(directions.T)
    np.fill_diagonal(found, 0)
    return found


REGULARISERS: dict[str, Callable[[], Regulariser]] = {
    "l1": L1,
    "l2": L2,
    "l1_l2": L1L2,
    "l1l2": L1L2,
    "orthogonal": Orthogonal,
    "orthogonal_regularizer": Orthogonal,
}
"""What may be given by name."""
