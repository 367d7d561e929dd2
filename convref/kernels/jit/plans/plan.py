"""What every plan is made of: operands as views, canvases and how they are filled."""

from typing import Any, NamedTuple

import numpy as np

from convref.geometry import Offsets
from convref.kernels.jit.crew import Kernel, listed
from convref.kernels.jit.micro import FULL
from convref.kernels.jit.place import place_all, place_last
from convref.kernels.jit.units import ceil, in_pieces
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import Placement

Ints = tuple[int, ...]

PLACE, PLACE_LAST = Kernel(place_all), Kernel(place_last)

SHARES, FEWEST_ROWS = 16, 8
"""Parts of all samples' rows that are enough for threads to share, and the fewest rows in one."""

UNASKED = np.array([-1])
"""In place of the flag that says whether weights are not finite, where nobody asks."""


class View(NamedTuple):
    """An operand (N, G, C/G, I) in memory: its sizes, and its strides in numbers."""

    samples: int
    groups: int
    channels: int
    strides: Ints

    @property
    def last(self) -> bool:
        """Whether channels lie side by side, as in channels_last."""
        return self.strides[3] != 1


class Placing(NamedTuple):
    """How to fill a canvas."""

    kernel: Kernel
    words: Any
    units: int
    size: int
    """Numbers of the canvas."""
    slack: int
    """Those beyond its last cell, which a wide tile may read."""
    kept: tuple[Offsets, ...]
    """The arrays that the words point to."""


class Plan(NamedTuple):
    """What to run."""

    placing: Placing | None
    """How to make the canvas from the first operand; None where the kernel reads that itself."""
    kernel: Kernel
    words: Any
    units: int
    kept: tuple[Offsets, ...]
    """The arrays that the words point to."""
    flag: int = 0
    """Which word is the address of the flag for weights that are not finite; 0 for none."""
    pieces: int = 1
    """Into how many partial sums the result is cut."""
    swapped: bool = False
    """Whether the kernel gets the weights first, and the canvas second."""
    covers: bool = True
    """Whether every number of the result is filled."""


def placing(a: View, placement: Placement | None, itemsize: int) -> Placing | None:
    """How to fill the canvas of an operand, in its layout."""
    if placement is None:
        return None
    channels, (cells, *lists) = a.groups * a.channels, placement
    size = a.samples * channels * cells
    if a.last:
        pieces = in_pieces(placement)
        words = listed(pieces, len(pieces), cells, channels, a.strides[0])
        return Placing(PLACE_LAST, words, a.samples * len(pieces), size, 0, (pieces,))
    rows, planes, ordered = len(placement.row_cells), a.samples * channels, in_order(placement)
    parts = max(1, min(ceil(SHARES, a.samples), rows // FEWEST_ROWS)) if ordered else 1
    words = listed(
        cells, rows, len(placement.runs), *lists, channels, a.strides[0], *a.strides[2:], ordered,
        parts,
    )  # fmt: skip
    slack = FULL * vector_lanes(itemsize)
    return Placing(PLACE, words, planes * parts, size + slack, slack, tuple(lists))


def in_order(placement: Placement) -> bool:
    """Whether an input is shown row by row, each as it lies: then only the gaps need zeros."""
    runs, between = placement.runs, np.diff(placement.row_cells)
    return len(runs) == 5 and runs[3] == 1 and bool(np.all(between >= runs[2]))


def canvas_strides(a: View, placement: Placement | None) -> Ints:
    """Strides of a sample, group, channel and cell of the canvas, in the layout of the input."""
    if placement is None:
        return a.strides
    channels, cells = a.groups * a.channels, placement.cells
    if a.last:
        return cells * channels, a.channels, 1, channels
    return channels * cells, a.channels * cells, cells, 1


def canvas_size(a: View, first: Placing | None, cells: int) -> int:
    """Numbers of a canvas with so many cells, and of its slack."""
    return first.size if first else a.samples * a.groups * a.channels * cells


def whole(cells: int) -> Placement:
    """The placement of an input that is its own canvas: one run."""
    one = np.zeros(1, np.int64)
    return Placement(cells, one, one, np.array([0, 0, cells, 1, 1]))
