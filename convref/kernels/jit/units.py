"""A convolution as units of work: lines of integers, one for each unit of a kernel.

Units are cut so that the threads have enough of them, and few enough for what a unit begins with,
such as packing a panel, not to count. Nothing here changes the order in which a sum is taken, but
for the pieces of its depth, and these don't depend on the number of threads.
"""

from collections.abc import Sequence
from itertools import pairwise, product
from math import gcd, lcm

import numpy as np

from convref.geometry import Offsets
from convref.kernels.jit import dense, thin
from convref.kernels.jit.crew import CHUNKS_PER_THREAD
from convref.kernels.jit.micro import MOST_VECTORS, TALLEST
from convref.kernels.jit.rows import MOST_ROWS, best_height
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import Phase, Placement

Span = tuple[int, int, int, int]
"""Where the rows of a phase begin, how many they are, and the same of its steps."""

ROWS_PER_UNIT = 240
"""Rows that must share a packed panel for its packing not to count."""
FEWEST_ROWS = 48
"""Rows that are worth another packing for another thread."""
MANY_ROWS = 480
"""Rows for which the packing of all panels does not count."""
PIECE = 1 << 11
"""Least depth of a piece of a sum that is cut for the threads' sake."""
RUN = 256
"""Longest run of cells that is placed at a time with channels last."""


def table(
    spans: Sequence[Span], outer_rows: int, outer_depth: int, groups: int, lanes: Sequence[int],
    itemsize: int, threads: int, highest: int = MOST_ROWS, across: int = 1, pieces: int = 1,
    size: int = 0, last: bool = False,
) -> Offsets:  # fmt: skip
    """Units of dense.contract, a line each.

    A phase has ``outer_rows`` times its rows, ``outer_depth`` times its steps, and its ``lanes``.
    Tiles are not higher than ``highest``, and take rows that are ``across`` apart. ``size`` is that
    of the result, of which there is one for each of the ``pieces`` of the depth. Where its channels
    lie ``last``, lanes of neighbouring tiles share lines of memory: then rows are cut, if there are
    many, so that a thread has all the lanes of its rows.
    """
    most_rows = outer_rows * max((row[1] for row in spans), default=0)
    # Of few rows, which are not cut, a thread each takes some lanes, and all of them equally many.
    parts = groups * pieces * len(spans)
    least = ceil(threads, max(1, parts * (most_rows // FEWEST_ROWS)))
    equally = threads // gcd(threads, parts) if most_rows < 2 * FEWEST_ROWS else 1
    tiles = [lane_tiles(count, itemsize, least, equally) for count in lanes]
    total = groups * pieces * outer_rows
    total *= sum(row[1] * len(own) for row, own in zip(spans, tiles, strict=True))
    lines, lane_at = [], 0
    for number, (span, lane_count, own) in enumerate(zip(spans, lanes, tiles, strict=True)):
        _, row_count, _, step_count = span
        rows, depth = outer_rows * row_count, outer_depth * step_count
        wanted = ceil(CHUNKS_PER_THREAD * threads * rows, max(1, total)) if threads > 1 else 1
        blocks = max(1, min(wanted, rows // ROWS_PER_UNIT))
        if rows == total:  # a single tile of lanes: else there would be less than one unit a thread
            blocks = max(blocks, min(threads, rows // FEWEST_ROWS))
        if last and threads > 1:
            blocks = max(blocks, min(CHUNKS_PER_THREAD * threads, rows // MANY_ROWS))
        # All threads get as many units.
        each, most = groups * pieces * len(own), max(blocks, rows // FEWEST_ROWS)
        blocks = next((n for n in range(blocks, most + 1) if n * each % threads == 0), blocks)
        heights = [
            best_height(ceil(rows, across), ceil(some, vector_lanes(itemsize)), highest)
            for _, some in own
        ]
        for group in range(groups):
            for block, piece in product(range(blocks), range(pieces)):
                # Whole blocks of depth, where a panel holds one.
                whole = step_count if 0 < step_count <= dense.DEPTH else dense.DEPTH
                d = [cut(depth, part, pieces, whole) for part in (piece, piece + 1)]
                for (lane, some), height in zip(own, heights, strict=True):
                    step = height * across
                    m = [cut(rows, part, blocks, step) for part in (block, block + 1)]
                    lines.append((
                        number, group, lane_at + lane, some, piece * size, *m, *d, height, highest,
                        *held(m[1] - m[0], step_count, step, across),
                    ))  # fmt: skip
        lane_at += lane_count
    return np.array(lines, np.int64).reshape(-1, dense.UNIT)


def held(rows: int, step_count: int, step: int, across: int) -> tuple[int, int]:
    """Rows of which a unit holds the sums at a time, and numbers that it sums from one panel."""
    most = dense.DEPTH if across == 1 else dense.SHORT_DEPTH
    # Whole blocks of depth, for within one the panel's lines are in another order.
    chunk = most // step_count * step_count if 0 < step_count <= most else most
    # Rows are computed by tiles and moved by squares of a vector's lanes: whole ones of both.
    both = lcm(step, vector_lanes(4)) if across == 1 else step
    return both * max(1, min(dense.BLOCK // both, ceil(rows, both))), chunk


def lane_tiles(count: int, itemsize: int, least: int, multiple: int) -> list[tuple[int, int]]:
    """Where tiles begin in so many lanes, and how many each has: as equal numbers of vectors.

    There are at least so many tiles, and a multiple of so many, if there are as many vectors.
    """
    lanes = vector_lanes(itemsize)
    vectors = max(1, ceil(count, lanes))
    tiles = max(ceil(vectors, MOST_VECTORS), min(vectors, least))
    more = ceil(tiles, multiple) * multiple
    tiles = more if more <= vectors else tiles
    starts = [lanes * (vectors * tile // tiles) for tile in range(tiles)]
    return list(zip(starts, np.diff([*starts, count]).tolist(), strict=True))


def thin_table(
    spans: Sequence[Span], lanes: Sequence[int], samples: int, groups: int, channels: int,
    local: bool, threads: int,
) -> Offsets:  # fmt: skip
    """Units of thin.contract, a line each: for every sample and group its phases in blocks.

    The first of those that share their weights is the one to ask whether these are finite.
    """
    wanted = ceil(CHUNKS_PER_THREAD * threads, max(1, samples * groups * len(spans)))
    blocked, lane = [], 0
    for (row_at, row_count, step_at, step_count), count in zip(spans, lanes, strict=True):
        shared, tiles = threads > 1 and not local, ceil(count, TALLEST)
        blocks = max(1, min(wanted, row_count // 256)) if shared else 1
        # Of few positions a block would end amid a tile; then lanes are cut.
        parts = min(ceil(wanted, blocks), tiles) if shared else 1
        edges = [count * cut(tiles, part, parts, 1) // max(1, tiles) for part in range(parts + 1)]
        for block in range(blocks):
            begin, end = (row_at + cut(row_count, part, blocks, 64) for part in (block, block + 1))
            blocked += [
                (begin, end, step_at, step_count, channels, lane + first, last - first, block == 0)
                for first, last in pairwise(edges)
            ]
        lane += count
    lines = np.empty((samples, groups, len(blocked), thin.UNIT), np.int64)
    lines[..., 0] = np.arange(samples).reshape(-1, 1, 1)
    lines[..., 1] = np.arange(groups).reshape(-1, 1)
    lines[..., 2:] = np.array(blocked, np.int64).reshape(-1, thin.UNIT - 2)
    lines[1:, ..., -1] = 0
    return lines.reshape(-1, thin.UNIT)


def cut(length: int, part: int, parts: int, step: int) -> int:
    """Where a part begins when a length is cut at multiples of ``step``."""
    return length if part == parts else length * part // parts // step * step


def ceil(length: int, step: int) -> int:
    """``length / step``, rounded up."""
    return -(-length // step)


def joined(phases: tuple[Phase, ...]) -> tuple[list[Span], list[Offsets]]:
    """The spans of all phases, and their lists end to end."""
    spans, row, step = [], 0, 0
    for phase in phases:
        spans.append((row, len(phase.origins), step, len(phase.taps)))
        row, step = row + len(phase.origins), step + len(phase.taps)
    names = "taps", "steps", "origins", "positions"
    return spans, [end_to_end([getattr(phase, name) for phase in phases]) for name in names]


def most_taps(phases: tuple[Phase, ...]) -> int:
    """Taps of the phase that has most."""
    return max((len(phase.taps) for phase in phases), default=0)


def end_to_end(lists: list[Offsets]) -> Offsets:
    """One list of several, or of none."""
    return np.concatenate([np.zeros(0, np.int64), *lists])


def alike(phases: tuple[Phase, ...]) -> list[list[Phase]]:
    """Phases sorted into sets of equal steps and origins.

    In a set, the taps of two phases differ by the same number everywhere, and so do the positions.
    """
    sets: dict[tuple[bytes, bytes], list[Phase]] = {}
    for phase in phases:
        sets.setdefault((phase.steps.tobytes(), phase.origins.tobytes()), []).append(phase)
    return list(sets.values())


def lanes_of_phases(
    sets: list[list[Phase]], channels: int, w_step: int, channel_step: int, position_step: int,
    by_channel: bool = True,
) -> tuple[list[Offsets], list[Offsets]]:  # fmt: skip
    """For each set of phases that see alike the offsets of its lanes in w and in the result.

    A lane is a channel and a phase: all phases of a channel follow each other, or all channels of a
    phase.
    """
    each, taps, positions = np.arange(channels), [], []
    for own in sets:
        tap = np.array([phase.taps[0] - own[0].taps[0] for phase in own])
        position = np.array([phase.positions[0] - own[0].positions[0] for phase in own])
        to_w = np.add.outer(each * w_step, tap)
        to_result = np.add.outer(each * channel_step, position * position_step)
        order = "C" if by_channel else "F"
        taps.append(to_w.ravel(order))
        positions.append(to_result.ravel(order))
    return taps, positions


def longest_run(lanes: Sequence[Offsets], vector: int) -> int:
    """Of how many lanes every whole vector has side by side: a power of two, at most all.

    ``lanes`` are the offsets of the lanes of each phase.
    """
    whole = end_to_end([own[: len(own) // vector * vector] for own in lanes])
    for run in (vector >> halved for halved in range(vector.bit_length() - 1)):
        if np.all(np.diff(whole.reshape(-1, run)) == 1):
            return run
    return 1


def stretches(origins: Offsets, starts: Sequence[int] = (0,)) -> Offsets:
    """For each position, where the stretch of positions side by side that it is in ends."""
    breaks = np.ones(len(origins) + 1, bool)
    breaks[1:-1] = np.diff(origins) != 1
    breaks[list(starts) if len(origins) else []] = True
    ends = np.flatnonzero(breaks)
    return ends[np.searchsorted(ends, np.arange(len(origins)), side="right")]


def placed(placement: Placement | None, cells: int) -> tuple[Offsets, Offsets]:
    """The cells that show an input position, in their order, and these positions."""
    if placement is None:
        return np.arange(cells), np.arange(cells)
    runs = placement.runs.reshape(-1, 5)
    lists = [
        (run[0] + np.arange(run[2]) * run[3], run[1] + np.arange(run[2]) * run[4]) for run in runs
    ]
    along, sources = (end_to_end([pair[side] for pair in lists]) for side in (0, 1))
    shown = np.add.outer(placement.row_cells, along).ravel()
    order = np.argsort(shown)
    return shown[order], np.add.outer(placement.row_sources, sources).ravel()[order]


def in_pieces(placement: Placement) -> Offsets:
    """A canvas from its first cell to its last, in pieces (cell, source, length).

    A piece is of zeros, with -1 for its source, or of cells that show input positions side by side.
    Long ones are cut, so that threads can share a single row.
    """
    shown, sources = placed(placement, placement.cells)
    breaks = np.flatnonzero((np.diff(shown) != 1) | (np.diff(sources) != 1)) + 1
    begins = np.concatenate([[0], breaks]) if len(shown) else breaks
    lengths = np.diff([*begins, len(shown)])
    lines, after = [], 0
    for cell, source, length in zip(shown[begins], sources[begins], lengths, strict=True):
        lines += [(after, -1, cell - after), (cell, source, length)]
        after = cell + length
    lines.append((after, -1, placement.cells - after))
    cut_lines = [
        (cell + begin, source if source < 0 else source + begin, min(RUN, length - begin))
        for cell, source, length in lines
        for begin in range(0, length, RUN)
    ]
    return np.array(cut_lines, np.int64).reshape(-1, 3)
