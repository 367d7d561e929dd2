"""The plan of sliding tiles: taps in pieces, and positions in tiles, that go by equal steps.

Offsets of positions and taps are only lists here. What makes them a row of a map and of a kernel is
that neighbours lie a step apart: positions ``stride`` cells, and taps one cell. As the input's
gradient looks backwards, its cells may be a step back; then a tile begins at its last position.
"""

from typing import NamedTuple

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
    ways, lines = [], []
    pieces, tiles = [np.zeros((0, PIECE), np.int64)], [np.zeros((0, TILE), np.int64)]
    for phase in phases:
        steps, taps = phase.steps * cell, phase.taps * tap
        way, near = way_of(phase.origins * cell, steps, taps)
        at, lengths = cut_runs(near, TAPS)
        lines.append((sum(map(len, pieces)), len(at), *way))
        pieces.append(np.column_stack([steps[at], taps[at], lengths]))
        ways.append(way)
    for number, (begin, end) in enumerate(spans.reshape(-1, 2).tolist()):
        tiles.append(tiles_of(rows[begin:end], places[begin:end], ways[number % len(ways)]))
    ends = np.cumsum(list(map(len, tiles)))
    return Slides(
        np.concatenate(tiles),
        np.column_stack([ends[:-1], ends[1:]]),
        np.concatenate(pieces),
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


def tiles_of(origins: Offsets, places: Offsets, way: Way) -> Offsets:
    """The tiles of a phase in a slab."""
    pitch = int(places[1] - places[0]) if len(places) > 1 else 1
    near = (np.diff(origins) == way.stride * abs(way.cell)) & (np.diff(places) == pitch)
    first, lengths = cut_runs(near, POSITIONS) if len(origins) else (origins, origins)
    if way.cell < 0:
        first, pitch = first + lengths - 1, -pitch
    return np.column_stack([origins[first], places[first], lengths, np.full(len(first), pitch)])


def cut_runs(near: NDArray[np.bool_], lengths: tuple[int, ...]) -> tuple[Offsets, Offsets]:
    """Where each part begins, and its length, of a list that is cut where not ``near``.

    Runs of neighbours are cut to these lengths, the longest first.
    """
    begins = np.concatenate([[0], np.flatnonzero(~near) + 1, [len(near) + 1]])
    sizes = np.diff(begins).tolist()
    parts = {size: cut_greedily(size, lengths) for size in set(sizes)}
    cut = np.concatenate([parts[size] for size in sizes])
    return np.cumsum(cut) - cut, cut  # as the runs follow each other without a gap


def cut_greedily(size: int, lengths: tuple[int, ...]) -> Offsets:
    """A number as a sum of these, the largest first, which end with 1."""
    parts = []
    for length in sorted(lengths, reverse=True):
        parts.append(np.full(size // length, length, np.int64))
        size %= length
    return np.concatenate(parts)
