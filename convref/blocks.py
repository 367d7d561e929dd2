"""How a canvas is cut into blocks, for a back end that transforms as many cells as a window sees.

A block has so many output positions along each axis, and all the cells that their windows see; so
neighbours overlap. It is a canvas of its own, and its axes say where taps and positions lie on it.

Long blocks waste little on the overlap, and short ones take less time a cell. With many channels
it is the kernels that are transformed most, and they are as long as a block. So the sizes are
chosen by an estimate of the time that all this takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import product
from math import log2, prod
from typing import Any

from convref.geometry import Axis, Geometry, spread

Sizes = tuple[int, ...]

ODD = (1, 3, 5, 9, 15, 25, 27, 45, 75)
"""Lengths that transform fast are these, times a power of two."""
SHORTEST = 32
"""Cells of a block that is not worth cutting, however small the window."""


@dataclass(frozen=True)
class Blocks:
    """The blocks of a canvas, which are all transformed at the same lengths."""

    axes: tuple[Axis, ...]
    """Those of one block: as long as the transform, with as many positions as fit."""
    counts: Sizes
    """Blocks along each axis."""

    @cached_property
    def lengths(self) -> Sizes:
        """Cells of a transform along each axis."""
        return tuple(axis.size for axis in self.axes)

    @cached_property
    def strides(self) -> Sizes:
        """Cells from one position to the next."""
        return tuple(axis.stride for axis in self.axes)

    @cached_property
    def dilations(self) -> Sizes:
        """Cells from one tap to the next."""
        return tuple(axis.dilation for axis in self.axes)

    @cached_property
    def spans(self) -> list[tuple[Any, Any]]:
        """The cells that each block sees, and its positions; the last may reach past the end."""
        along = map(_spans, self.axes, self.counts)
        return [tuple(zip(*block, strict=True)) for block in product(*along)]

    def cost(self, filters: int, channels: int) -> float:
        """About how many nanoseconds a group of so many filters and channels takes."""
        cells, blocks = prod(self.lengths), prod(self.counts)
        spectra = filters * channels + blocks * (filters + channels)
        products = blocks * filters * channels
        return cells * (0.15 * log2(cells) * spectra + 0.4 * products) + 1e5 * blocks


@lru_cache(maxsize=128)
def cheapest(geometry: Geometry, filters: int, channels: int) -> Blocks:
    """The blocks that take least time, for one sample: it is cut alike in every batch."""
    cuts = (Blocks(*zip(*cut, strict=True)) for cut in product(*map(_cuts, geometry.axes)))
    return min(cuts, key=lambda blocks: blocks.cost(filters, channels))


def _cuts(axis: Axis) -> Iterator[tuple[Axis, int]]:
    """Ways to cut an axis: the axis of a block, and how many there are."""
    count = 1
    while True:
        positions = -(-axis.output // count)
        cells = spread(positions, axis.stride) - 1 + axis.window
        block = replace(axis, size=fast_length(cells), input_dilation=1, lo=0, hi=0)
        yield block, -(-axis.output // block.output)
        if positions == 1 or cells <= max(SHORTEST, 3 * axis.window // 2):
            return
        count += max(1, count // 2)


def _spans(axis: Axis, count: int) -> Iterator[tuple[slice, slice]]:
    """The cells and the positions of each block along an axis."""
    seen = spread(axis.output, axis.stride) - 1 + axis.window
    for first in range(0, count * axis.output, axis.output):
        start = first * axis.stride
        yield slice(start, start + seen), slice(first, first + axis.output)


def fast_length(cells: int) -> int:
    """The shortest length of at least so many cells that transforms fast.

    >>> [fast_length(cells) for cells in (1, 7, 31, 97, 1000)]
    [1, 8, 32, 100, 1024]
    """
    return min(odd << (-(-cells // odd) - 1).bit_length() for odd in ODD)
