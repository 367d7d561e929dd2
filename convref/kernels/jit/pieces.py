"""The plan of sliding tiles: taps in pieces, and positions in tiles, that go by equal steps.

Offsets of positions and taps are only lists here. What makes them a row of a map and of a kernel is
that neighbours lie a step apart: positions ``stride`` cells, and taps one cell. As the input's
gradient looks backwards, its cells may be a step back; then a tile begins at its last position.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convref.geometry import Offsets
from convref.kernels.jit.slide import PIECE, POSITIONS, STRIDES, TAPS, TILE, WAY
from convref.phases import Phase


class Slides(NamedTuple):
    """Tables for `slide.slide_tile`."""

    tiles: Offsets
    """(tiles, 4): x_at, out_at, how many positions, the step from a place to the next."""
    spans: Offsets
    """(slabs, phases, 2): first tile, end of the tiles."""
    pieces: Offsets
    """(pieces, 3): the step of the first tap, its place in the weights, how many taps."""
    ways: Offsets
    """(phases, 5): first piece, how many pieces, then as in `Way`."""


class Way(NamedTuple):
    """How the taps of a phase slide along its positions."""

    stride: int
    """From a position to the next, in cells."""
    cell: int
    """From what a tap sees to what the next one does."""
    w_step: int
    """From a tap to the next, in the weights."""


def in_slides(
    phases: tuple[Phase, ...], spans: Offsets, rows: Offsets, places: Offsets, cell: int, tap: int
) -> Slides:
    """Sliding tiles for rows and their places, of which all phases have spans, slab by slab.

    Cells lie ``cell`` numbers apart, and taps ``tap``.
    """
    tiles: list[tuple[int, ...]] = []
    pieces: list[tuple[int, ...]] = []
    ways, lines, tile_spans = [], [], []
    for phase in phases:
        steps, taps = phase.steps * cell, phase.taps * tap
        way, near = way_of(phase.origins * cell, steps, taps)
        first = len(pieces)
        pieces += [(steps[at], taps[at], length) for at, length in cut_runs(near, TAPS)]
        ways.append(way)
        lines.append((first, len(pieces) - first, *way))
    for number, (begin, end) in enumerate(spans.reshape(-1, 2).tolist()):
        first = len(tiles)
        tiles += tiles_of(rows[begin:end], places[begin:end], ways[number % len(ways)])
        tile_spans.append((first, len(tiles)))
    return Slides(
        np.array(tiles, np.int64).reshape(-1, TILE),
        np.array(tile_spans, np.int64).reshape(-1, 2),
        np.array(pieces, np.int64).reshape(-1, PIECE),
        np.array(lines, np.int64).reshape(-1, WAY),
    )


def way_of(origins: Offsets, steps: Offsets, taps: Offsets) -> tuple[Way, NDArray[np.bool_]]:
    """The way that joins most taps with the next one, and which ones it joins."""
    along = int(origins[1] - origins[0]) if len(origins) > 1 else 1
    gaps, numbers = np.diff(steps), np.diff(taps)
    ways = [(stride, along // stride) for stride in STRIDES if along % stride == 0]
    stride, cell = max([*ways, (1, -along)], key=lambda way: np.count_nonzero(gaps == way[1]))
    near = gaps == cell
    w_step = int(numbers[near][0]) if near.any() else 1
    return Way(stride, cell, w_step), near & (numbers == w_step)


def tiles_of(origins: Offsets, places: Offsets, way: Way) -> list[tuple[int, ...]]:
    """The tiles of a phase in a slab, a line each."""
    if not len(origins):
        return []
    pitch = int(places[1] - places[0]) if len(places) > 1 else 1
    near = (np.diff(origins) == way.stride * abs(way.cell)) & (np.diff(places) == pitch)
    back = way.cell < 0
    return [
        (origins[first], places[first], length, -pitch if back else pitch)
        for at, length in cut_runs(near, POSITIONS)
        for first in [at + length - 1 if back else at]
    ]


def cut_runs(near: NDArray[Any], lengths: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """(Where it begins, its length) of each part of a list that is cut where not ``near``.

    Runs of neighbours are cut to these lengths, the longest first.
    """
    breaks = (np.flatnonzero(~near) + 1).tolist()
    for begin, end in pairwise([0, *breaks, len(near) + 1]):
        at = begin
        while at < end:
            length = max(length for length in lengths if length <= end - at)
            yield at, length
            at += length
