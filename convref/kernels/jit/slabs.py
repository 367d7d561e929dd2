"""The plan of `beside`: a map in slabs, and the squares that bring what each slab sees.

A slab is a range of results. What all its phases see is a range of the canvas, placed in scratch
from cell 0 on, so its rows count from there. A square is a run of input positions side by side that
is shown by any cells, at most as many as a vector has lanes.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from convref.geometry import Offsets
from convref.kernels.jit.beside import SLAB, SPAN, SQUARE
from convref.kernels.jit.units import ceil, cut, end_to_end, placed
from convref.phases import Phase, Placement

Line = tuple[int, ...]

CELLS = 2048
"""Cells of a slab that stay in the L2 cache, a vector in each."""
FEWEST = 256
"""Results below which a map is not cut for the threads' sake."""


class Slabs(NamedTuple):
    """A map in slabs; offsets count numbers where every cell holds a vector."""

    table: Offsets
    """(slabs, 6): first square, end of the squares, first hole, end of the holes, first result, how
    many results."""
    spans: Offsets
    """(slabs, phases, 2): first row, end of the rows."""
    squares: Offsets
    """(squares, 3): the first input position, where its targets begin, how many."""
    targets: Offsets
    """Where in scratch each shown position goes."""
    holes: Offsets
    """(holes, 2): begin and end of cells that show nothing, and hold zeros."""
    rows: Offsets
    """For each span its origins, from the slab's first cell on."""
    places: Offsets
    """For each of them its place among the slab's results."""
    cells: int
    """Most cells of a slab."""
    most: int
    """Most results of a slab."""


def in_slabs(
    phases: tuple[Phase, ...], results: int, placement: Placement | None, cells: int, lanes: int,
    blocks: int, most: int = CELLS,
) -> Slabs:  # fmt: skip
    """Slabs for ``results`` numbers of every channel, at least as many as make ``blocks`` units.

    A slab has about ``most`` cells.
    """
    shown, sources = placed(placement, cells)
    reach = max((int(phase.steps.max()) for phase in phases), default=0) + 1
    pieces = max(1, ceil(cells - reach, max(most - reach, reach)), min(blocks, results // FEWEST))
    bounds = [cut(results, piece, pieces, lanes) for piece in range(pieces + 1)]
    table: list[Line] = []
    spans: list[Line] = []
    squares: list[Line] = []
    holes: list[Line] = []
    targets, rows, places = [], [], []
    at = done = most_cells = 0
    for begin, end in pairwise(bounds):
        seen = [phase_of(phase, begin, end) for phase in phases]
        met = [phase for phase in seen if len(phase.origins)]
        if not met:  # results that no tap sees
            continue
        low = min(int(phase.origins[0] + phase.steps.min()) for phase in met)
        high = max(int(phase.origins[-1] + phase.steps.max()) for phase in met)
        for phase in seen:
            spans.append((at, at + len(phase.origins)))
            rows.append(phase.origins - low)
            places.append(phase.positions - begin)
            at += len(phase.origins)
        inside = slice(*np.searchsorted(shown, (low, high + 1)))
        lines = cut_squares(sources[inside], lanes)
        empty = gaps(shown[inside] - low, high + 1 - low)
        table.append((
            len(squares), len(squares) + len(lines), len(holes), len(holes) + len(empty),
            begin, end - begin,
        ))  # fmt: skip
        squares += [(source, done + first, length) for source, first, length in lines]
        holes += empty
        targets.append(shown[inside] - low)
        done, most_cells = done + len(targets[-1]), max(most_cells, high + 1 - low)
    return Slabs(
        np.array(table, np.int64).reshape(-1, SLAB),
        np.array(spans, np.int64).reshape(-1, SPAN),
        np.array(squares, np.int64).reshape(-1, SQUARE),
        end_to_end(targets) * lanes,
        np.array(holes, np.int64).reshape(-1, 2) * lanes,
        end_to_end(rows) * lanes,
        end_to_end(places) * lanes,
        most_cells,
        max((line[-1] for line in table), default=0),
    )


def phase_of(phase: Phase, begin: int, end: int) -> Phase:
    """What there is of a phase in a range of results."""
    some = slice(*np.searchsorted(phase.positions, (begin, end)))
    return phase._replace(origins=phase.origins[some], positions=phase.positions[some])


def cut_squares(sources: Offsets, lanes: int) -> list[Line]:
    """Runs of positions side by side, cut to the lanes: (position, index, length)."""
    breaks = np.flatnonzero(np.diff(sources) != 1) + 1
    ends = [0, *breaks.tolist(), len(sources)] if len(sources) else []
    return [
        (int(sources[at]), at, min(lanes, end - at))
        for begin, end in pairwise(ends)
        for at in range(begin, end, lanes)
    ]


def gaps(cells: Offsets, length: int) -> list[Line]:
    """Begin and end of the gaps that these cells, in order, leave in so many."""
    around = np.concatenate([[-1], cells, [length]])
    before = np.flatnonzero(np.diff(around) > 1)
    return [(int(around[at]) + 1, int(around[at + 1])) for at in before]
