"""Where Keras has the axes of a parameter: C and K come last, in convref first.

Keras draws kernels, counts their fans and takes their norms in its own layout.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Layout(Protocol):
    """Where Keras has the axes of a parameter."""

    def theirs(self, w: Array) -> Array:
        """convref's array as Keras has it: a view."""

    def ours(self, w: Array) -> Array:
        """Keras's array as convref has it."""

    def axes(self) -> tuple[tuple[int, ...], ...]:
        """For each axis here, what it is there."""


class Same:
    """A bias: (K,) in both."""

    def theirs(self, w: Array) -> Array:
        return w

    def ours(self, w: Array) -> Array:
        return w

    def axes(self) -> tuple[tuple[int, ...], ...]:
        return ((0,),)


@dataclass(frozen=True)
class Kernel:
    """``(K, C, *kernel)`` here is ``(*kernel, C, K)`` there; of transposed kernels C and K swap."""

    rank: int

    def theirs(self, w: Array) -> Array:
        return np.moveaxis(w, (0, 1), (-1, -2))

    def ours(self, w: Array) -> Array:
        return np.moveaxis(w, (-1, -2), (0, 1))

    def axes(self) -> tuple[tuple[int, ...], ...]:
        return (self.rank + 1,), (self.rank,), *((axis,) for axis in range(self.rank))


@dataclass(frozen=True)
class PerChannel:
    """``(C*M, 1, *kernel)`` here is ``(*kernel, C, M)`` there."""

    rank: int
    multiplier: int

    def theirs(self, w: Array) -> Array:
        split = w.reshape(-1, self.multiplier, *w.shape[2:])
        return np.moveaxis(split, (0, 1), (-2, -1))

    def ours(self, w: Array) -> Array:
        split = np.moveaxis(w, (-2, -1), (0, 1))
        return split.reshape(-1, 1, *split.shape[2:])

    def axes(self) -> tuple[tuple[int, ...], ...]:
        return (self.rank, self.rank + 1), (), *((axis,) for axis in range(self.rank))


def their_axes(axes: Any, layout: Layout) -> list[int]:
    """The axes of Keras's array that norms are taken over; None: all but the first of ours."""
    known = layout.axes()
    chosen = known[1:] or known
    if axes is not None:
        chosen = tuple(known[axis] for axis in (axes if isinstance(axes, tuple) else (axes,)))
    return sorted(axis for found in chosen for axis in found)
