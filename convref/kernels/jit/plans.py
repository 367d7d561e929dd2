"""Which kernel a convolution gets, and its operands as lists of offsets and units of work.

`choose` makes the choice. The rest writes down, once for every geometry and kept, what the kernels
then only follow: offsets, strides, and a line of integers for each unit of work.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import lcm, prod
from typing import Any, NamedTuple

import numpy as np

from convref.geometry import Axis, Geometry, Offsets
from convref.kernels.jit import dense, loops, move, pairs, thin
from convref.kernels.jit.crew import CHUNKS_PER_THREAD, Kernel, listed
from convref.kernels.jit.micro import FULL, HEIGHTS, VECTORS
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import Phase, Placement, stored, transposed

Ints = tuple[int, ...]
Span = tuple[int, int, int, int]
"""Where the rows of a phase begin, how many they are, and the same of its steps."""

DENSE, PAIRS = Kernel(dense.contract), Kernel(pairs.contract)
THIN, THIN_WEIGHTS = Kernel(thin.contract), Kernel(thin.weight_grad)
PLACE, PLACE_LAST, SCATTER = Kernel(move.place_all), Kernel(move.place_last), Kernel(loops.scatter)

FEW = 8
"""Channels of a group up to which a tile of them stays too empty: then positions fill the lanes."""
SCRATCH, SMALL = 1 << 16, 1 << 12
"""Numbers of a group's canvases that a unit may place in a scratch array of its own, and those that
one unit may place for all others."""
ROWS_PER_UNIT = 120
"""Rows that must share a packed panel for its packing not to count."""
PIECE, PIECES = 2 * dense.DEPTH, 16
"""Least depth of a piece of a sum that is cut for the threads' sake, and most pieces."""
RUN = 256
"""Longest run of cells that is placed at a time with channels last."""
PARTIAL = 1 << 20
"""Numbers that partial sums may take."""
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
    flag: int
    """Which word is the address of the flag for weights that are not finite; 0 for none."""
    pieces: int
    """Into how many partial sums the result is cut."""
    kept: tuple[Offsets, ...]
    """The arrays that the words point to."""


def choose(seen: View, other: View, cells: int, units: int, itemsize: int) -> tuple[str, str]:
    """The kernel for an operator, and why.

    ``seen`` is the operand that is read in place, ``cells`` the size of its canvas, and ``units``
    how many of its groups can be placed at once; ``other`` has its channels in the lanes.
    """
    lanes, apart = other.channels, other.channels == seen.channels == 1
    if apart and seen.last and other.last and seen.groups >= vector_lanes(itemsize):
        return "pairs", "channels lie side by side and are convolved apart: each has a lane"
    if lanes > FEW:
        return "dense", f"the {lanes} channels of a group fill the lanes of a tile"
    few = "few channels in a group would leave lanes empty, so positions fill them"
    size = seen.channels * cells
    if size <= SCRATCH and (units > 1 or seen.last or size <= SMALL):
        return "thin, in scratch", f"{few}; the canvas of a group is small enough to stay in cache"
    if seen.last:
        return "dense", "positions can't fill the lanes, for channels lie side by side"
    return "thin", f"{few}, on a canvas in memory"


def choice(operator: str, g: Geometry, x: View, y: View, itemsize: int) -> tuple[str, str]:
    """The kernel for an operator on these operands, and why."""
    if operator == "input_grad":
        return choose(y, x, transposed(g).cells, y.samples * y.groups, itemsize)
    samples = x.samples if operator == "forward" else 1
    return choose(x, y, stored(g, True).cells, samples * x.groups, itemsize)


@lru_cache(maxsize=256)
def forward(g: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int) -> Plan:
    """``y = w @ cols``: rows are positions, lanes filters, depth (c, t)."""
    kernel, _ = choice("forward", g, x, y, itemsize)
    seen = stored(g, kernel.startswith("thin"))
    T, P = len(seen.taps), len(seen.origins)
    places, spans = np.arange(P) * y.strides[3], [(0, P, 0, T)]
    w_strides = w[0], w[2], w[1]
    if kernel == "pairs":
        lists = seen.origins, seen.taps, np.arange(T) * x.groups, places
        return _pairs(x, seen.placement, seen.cells, lists, spans, y.strides[0], itemsize, threads)
    if kernel != "dense":
        phase = Phase(np.arange(T), seen.taps, seen.origins, np.arange(P))
        return _thin(
            x, y, seen.placement, seen.cells, (phase,), w_strides, "scratch" in kernel, False,
            itemsize, threads,
        )  # fmt: skip
    a_n, a_g, a_c, a_i = canvas_strides(x, seen.placement, seen.cells)
    lists = seen.origins * a_i, seen.taps * a_i, np.arange(T), places
    height = best_height(x.samples * P)
    units = table(spans, x.samples, x.channels, x.groups, y.channels, itemsize, height, threads)
    strides = (a_g, a_n, a_c, *w_strides, y.strides[1], y.strides[0], y.strides[2])
    first, size = placing(x, seen.placement, itemsize), x.groups * w[0]
    return _dense(first, lists, units, height, strides, size, False)


@lru_cache(maxsize=256)
def input_grad(g: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int) -> Plan:
    """``dx``, phase by phase: rows are input positions, lanes channels, depth (k, t)."""
    seen = transposed(g)
    kernel, _ = choice("input_grad", g, x, y, itemsize)
    spans, (taps, steps, origins, positions) = joined(seen.phases)
    places, margin = positions * x.strides[3], seen.placement is not None
    w_strides = w[0], w[1], w[2]
    if kernel == "pairs":
        lists = origins, steps, taps * y.groups, places
        return _pairs(y, seen.placement, seen.cells, lists, spans, x.strides[0], itemsize, threads)
    if kernel != "dense":
        return _thin(
            y, x, seen.placement, seen.cells, seen.phases, w_strides, "scratch" in kernel, margin,
            itemsize, threads,
        )  # fmt: skip
    a_n, a_g, a_k, a_i = canvas_strides(y, seen.placement, seen.cells)
    height = best_height(y.samples * max((rows for _, rows, _, _ in spans), default=1))
    units = table(spans, y.samples, y.channels, y.groups, x.channels, itemsize, height, threads)
    lists = origins * a_i, steps * a_i, taps, places
    strides = (a_g, a_n, a_k, *w_strides, x.strides[1], x.strides[0], x.strides[2])
    first, size = placing(y, seen.placement, itemsize), x.groups * w[0]
    return _dense(first, lists, units, height, strides, size, margin)


@lru_cache(maxsize=256)
def weight_grad(g: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int) -> Plan:
    """``dw = dy @ cols.T``: rows are (c, t), lanes filters, depth (n, p); or dot products."""
    kernel, _ = choice("weight_grad", g, x, y, itemsize)
    if kernel.startswith("thin"):
        return _thin_weights(g, x, y, w, "scratch" in kernel, itemsize, threads)
    seen = stored(g, False)
    a_n, a_g, a_c, a_i = canvas_strides(x, seen.placement, seen.cells)
    T, P = len(seen.taps), len(seen.origins)
    if kernel == "pairs":
        lists = seen.origins, seen.taps, np.arange(P) * y.strides[3], np.arange(T) * x.groups
        return _pairs_weights(x, y, seen.placement, seen.cells, lists, itemsize, threads)
    rows, size = x.channels * T, y.groups * y.channels * x.channels * T
    height = best_height(rows)
    tiles = y.groups * ceil(y.channels, VECTORS * vector_lanes(itemsize))
    # How a sum is cut must not depend on the number of threads, for its bits would.
    pieces = PIECES // (tiles * ceil(rows, 2 * ROWS_PER_UNIT))
    pieces = max(1, min(pieces, x.samples * P // PIECE, PARTIAL // size))
    units = table(
        [(0, T, 0, P)], x.channels, x.samples, x.groups, y.channels, itemsize, height, threads,
        pieces, size,
    )  # fmt: skip
    lists = seen.taps * a_i, seen.origins * a_i, np.arange(P) * y.strides[3], np.arange(T)
    strides = (a_g, a_c, a_n, y.strides[1], y.strides[0], y.strides[2], w[0], w[2], w[1])
    first, size = placing(x, seen.placement, itemsize), y.samples * y.groups * y.channels * P
    return _dense(first, lists, units, height, strides, size, False, pieces)


def _dense(
    placing: Placing | None,
    lists: tuple[Offsets, ...],
    units: Offsets,
    height: int,
    strides: Ints,
    limit: int,
    flag: bool,
    pieces: int = 1,
) -> Plan:
    """A plan for dense.contract; lists are those of rows, steps, steps of b, and places.

    ``limit`` is how many numbers b has.
    """
    deepest = int((units[:, 11] - units[:, 10]).max(initial=0))
    # Rows are computed by tiles and moved by squares of a vector's lanes: whole ones of both.
    both = lcm(height, vector_lanes(4))
    block = both * ((dense.BLOCK if deepest <= dense.DEPTH else dense.TALL_BLOCK) // both)
    words = listed(*lists, units, height, UNASKED, *strides, deepest, block, limit)
    return Plan(placing, DENSE, words, len(units), 6 * flag, pieces, (*lists, units))


def _pairs(
    a: View, placement: Placement | None, cells: int, lists: tuple[Offsets, ...],
    spans: Sequence[Span], out_n: int, itemsize: int, threads: int,
) -> Plan:  # fmt: skip
    """A plan for pairs.contract over positions; lists as in `_dense`, not yet times the channels.

    ``b`` is the weights as (T, G).
    """
    a_n, _, _, a_i = canvas_strides(a, placement, cells)
    rows, steps, b_steps, places = lists
    kept = rows * a_i, steps * a_i, b_steps, places
    units = pairs_table(spans, a.samples, a.groups, itemsize, threads)
    words = listed(*kept, units, 1, a_n, 0, 0, out_n)
    return Plan(placing(a, placement, itemsize), PAIRS, words, len(units), 0, 1, (*kept, units))


def _pairs_weights(
    x: View, y: View, placement: Placement | None, cells: int, lists: tuple[Offsets, ...],
    itemsize: int, threads: int,
) -> Plan:  # fmt: skip
    """A plan for pairs.contract over taps: the gradient of the weights as (T, G)."""
    a_n, _, _, a_i = canvas_strides(x, placement, cells)
    origins, taps, y_steps, places = lists
    kept = taps * a_i, origins * a_i, y_steps, places
    spans = [(0, len(taps), 0, len(origins))]
    units = pairs_table(spans, 1, x.groups, itemsize, threads)
    words = listed(*kept, units, x.samples, 0, a_n, y.strides[0], 0)
    return Plan(placing(x, placement, itemsize), PAIRS, words, len(units), 0, 1, (*kept, units))


def _thin(
    a: View, out: View, placement: Placement | None, cells: int, phases: tuple[Phase, ...],
    w: Ints, local: bool, flag: bool, itemsize: int, threads: int,
) -> Plan:  # fmt: skip
    """A plan for thin.contract, with the strides of w for a group, a depth and a lane.

    Phases that see alike, and differ in their weights and places only, are lanes beside each other.
    """
    sets = alike(phases)
    spans, (taps, steps, rows, positions) = joined(tuple(phases[0] for phases in sets))
    channels = np.arange(out.channels)
    w_lanes = [channels * w[2] + phase.taps[0] - own[0].taps[0] for own in sets for phase in own]
    out_lanes = [
        channels * out.strides[2] + (phase.positions[0] - own[0].positions[0]) * out.strides[3]
        for own in sets
        for phase in own
    ]
    counts = [len(own) * out.channels for own in sets]
    lists = (
        rows, stretches(rows, [row for row, _, _, _ in spans]), steps, taps,
        positions * out.strides[3], end_to_end(w_lanes), end_to_end(out_lanes),
    )  # fmt: skip
    together = len(phases) == 1 and bool(np.all(np.diff(lists[4]) == 1))
    units = thin_table(spans, counts, a.samples, a.groups, a.channels, local, threads)
    kept, shown, limit, strides, first = _canvas(a, placement, cells, local, itemsize)
    depths = a.channels * max((count for _, _, _, count in spans), default=0)
    words = listed(
        *shown, *lists[:5], units, UNASKED, max(counts, default=0), together, depths, limit,
        *strides, cells if local else strides[2], *w[:2], lists[5], out.strides[0],
        out.strides[1], lists[6],
    )  # fmt: skip
    return Plan(first, THIN, words, len(units), 12 * flag, 1, (*kept, *lists, units))


def _thin_weights(
    g: Geometry, x: View, y: View, w: Ints, local: bool, itemsize: int, threads: int
) -> Plan:
    """A plan for thin.weight_grad."""
    seen = stored(g, True)
    ends = stretches(seen.origins)
    blocks = max(1, min(x.channels, ceil(CHUNKS_PER_THREAD * threads, x.groups)))
    cuts = [cut(x.channels, part, blocks, 1) for part in range(blocks + 1)]
    units = np.array(
        [(group, *cuts[part : part + 2]) for group in range(x.groups) for part in range(blocks)]
    )
    most = int((units[:, 2] - units[:, 1]).max())
    kept, shown, _, strides, first = _canvas(x, seen.placement, seen.cells, local, itemsize)
    words = listed(
        *shown, seen.origins, seen.taps, units, len(seen.origins), len(seen.taps), int(ends[0]),
        y.channels, most, x.samples, *strides, *y.strides, *w[:3],
    )  # fmt: skip
    return Plan(
        first, THIN_WEIGHTS, words, len(units), 0, 1, (*kept, seen.origins, seen.taps, units)
    )


def _canvas(
    a: View, placement: Placement | None, cells: int, local: bool, itemsize: int
) -> tuple[tuple[Offsets, ...], tuple[int | Offsets, ...], int, Ints, Placing | None]:
    """How a thin kernel comes by its canvas: (arrays, words, size, strides, placing before)."""
    if local:
        placed = placement or whole(cells)
        kept = placed.row_cells, placed.row_sources, placed.runs
        shown = cells, len(placed.row_cells), len(placed.runs), *kept
        return kept, shown, 0, a.strides, None
    size = a.samples * a.groups * a.channels * cells
    nothing = (0, 0, 0, 0, 0, 0)
    if placement is None:
        return (), nothing, size, a.strides, None
    size += FULL * vector_lanes(itemsize)
    strides = a.groups * a.channels * cells, a.channels * cells, cells, 1
    return (), nothing, size, strides, placing(a, placement, itemsize)


def placing(a: View, placement: Placement | None, itemsize: int) -> Placing | None:
    """How to fill the canvas of an operand, in its layout."""
    if placement is None:
        return None
    channels, rows = a.groups * a.channels, len(placement.row_cells)
    size, lists = a.samples * channels * placement.cells, placement[1:]
    if a.last:
        lists = *lists[:2], in_pieces(placement.runs)
    first = placement.cells, rows, len(lists[2]), *lists, channels, a.strides[0]
    if a.last:
        units = a.samples * rows * (len(lists[2]) // 5)
        return Placing(PLACE_LAST, listed(*first), units, size, 0, lists)
    words = listed(*first, a.strides[2], a.strides[3])
    slack = FULL * vector_lanes(itemsize)
    return Placing(PLACE, words, a.samples * channels, size + slack, slack, lists)


def in_pieces(runs: Offsets) -> Offsets:
    """Runs of a placement, the long ones cut, so that threads can share a single row."""
    pieces = [
        (cell + begin * step, source + begin * x_step, min(RUN, length - begin), step, x_step)
        for cell, source, length, step, x_step in runs.reshape(-1, 5).tolist()
        for begin in range(0, length, RUN)
    ]
    return np.array(pieces, np.int64).ravel()


def canvas_strides(view: View, placement: Placement | None, cells: int) -> Ints:
    """Strides of a sample, group, channel and cell of the canvas, in the layout of the input."""
    if placement is None:
        return view.strides
    channels = view.groups * view.channels
    if view.last:
        return cells * channels, view.channels, 1, channels
    return channels * cells, view.channels * cells, cells, 1


def whole(cells: int) -> Placement:
    """The placement of an input that is its own canvas: one run."""
    one = np.zeros(1, np.int64)
    return Placement(cells, one, one, np.array([0, 0, cells, 1, 1]))


def best_height(rows: int) -> int:
    """The height of tiles that covers the rows in the fewest cycles, and half of one a tile."""
    return min(HEIGHTS, key=lambda height: ceil(rows, height) * (max(height, 4) + 0.5))


def table(
    spans: Sequence[Span], outer_rows: int, outer_depth: int, groups: int, lanes: int,
    itemsize: int, height: int, threads: int, pieces: int = 1, size: int = 0,
) -> Offsets:  # fmt: skip
    """Units of dense.contract, a line each.

    A phase has ``outer_rows`` times its rows and ``outer_depth`` times its steps. ``size`` is that
    of the result, of which there is one for each of the ``pieces`` of the depth.
    """
    width = VECTORS * vector_lanes(itemsize)
    tiles = ceil(lanes, width)
    total = max(1, groups * tiles * pieces * sum(outer_rows * count for _, count, _, _ in spans))
    lines = []
    for row_at, row_count, step_at, step_count in spans:
        rows, depth = outer_rows * row_count, outer_depth * step_count
        wanted = ceil(CHUNKS_PER_THREAD * threads * rows, total) if threads > 1 else 1
        blocks = max(1, min(wanted, rows // ROWS_PER_UNIT))
        for group in range(groups):
            for block in range(blocks):
                m = [cut(rows, part, blocks, height) for part in (block, block + 1)]
                for piece in range(pieces):
                    d = [cut(depth, part, pieces, dense.DEPTH) for part in (piece, piece + 1)]
                    for lane in range(0, lanes, width):
                        some = min(width, lanes - lane)
                        lines.append((
                            row_at, row_count, step_at, step_count, group, lane, some,
                            piece * size, *m, *d,
                        ))  # fmt: skip
    return np.array(lines, np.int64).reshape(-1, dense.UNIT)


def pairs_table(
    spans: Sequence[Span], outer_rows: int, lanes: int, itemsize: int, threads: int
) -> Offsets:
    """Units of pairs.contract, a line each."""
    vector = vector_lanes(itemsize)
    vectors = VECTORS if lanes >= VECTORS * vector * threads else 1
    lines = []
    for row_at, row_count, step_at, step_count in spans:
        rows = outer_rows * row_count
        # The lanes of a few rows, then of the next: memory is read as it lies.
        for begin in range(0, rows, pairs.BLOCK):
            m = begin, min(begin + pairs.BLOCK, rows)
            for lane in range(0, lanes, vectors * vector):
                first = max(0, min(lane, lanes - vectors * vector))
                lines.append((row_at, row_count, step_at, step_count, first, vectors, *m))
    return np.array(lines, np.int64).reshape(-1, pairs.UNIT)


def thin_table(
    spans: Sequence[Span], lanes: Sequence[int], samples: int, groups: int, channels: int,
    local: bool, threads: int,
) -> Offsets:  # fmt: skip
    """Units of thin.contract, a line each: for every sample and group its phases in blocks."""
    wanted = ceil(CHUNKS_PER_THREAD * threads, max(1, samples * groups * len(spans)))
    blocked, lane = [], 0
    for (row_at, row_count, step_at, step_count), count in zip(spans, lanes, strict=True):
        blocks = 1 if local or threads == 1 else max(1, min(wanted, row_count // 256))
        for block in range(blocks):
            begin, end = (row_at + cut(row_count, part, blocks, 64) for part in (block, block + 1))
            blocked.append((begin, end, step_at, step_count, channels, lane, count))
        lane += count
    lines = np.empty((samples, groups, len(blocked), thin.UNIT), np.int64)
    lines[..., 0] = np.arange(samples).reshape(-1, 1, 1)
    lines[..., 1] = np.arange(groups).reshape(-1, 1)
    lines[..., 2:] = np.array(blocked, np.int64).reshape(-1, thin.UNIT - 2)
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


def stretches(origins: Offsets, starts: Sequence[int] = (0,)) -> Offsets:
    """For each position, where the stretch of positions side by side that it is in ends."""
    breaks = np.ones(len(origins) + 1, bool)
    breaks[1:-1] = np.diff(origins) != 1
    breaks[list(starts) if len(origins) else []] = True
    ends = np.flatnonzero(breaks)
    return ends[np.searchsorted(ends, np.arange(len(origins)), side="right")]


@lru_cache(maxsize=128)
def scattering(g: Geometry, samples: int, w_shape: Ints) -> Plan:
    """The input gradient on the plain canvas, by its definition."""
    taps, origins = g.taps, g.origins
    G, K, C, T = w_shape
    words = listed(taps, origins, G, K, C, T, len(origins), prod(g.canvas_size))
    return Plan(None, SCATTER, words, samples * G * C, 0, 1, (taps, origins))


@lru_cache(maxsize=128)
def bare(geometry: Geometry) -> Geometry:
    """The same taps and positions over a canvas that is given as the input."""
    axes = tuple(
        Axis(axis.canvas, axis.kernel, axis.stride, axis.dilation, 1, 0, 0)
        for axis in geometry.axes
    )
    return Geometry(axes, geometry.groups, "zeros")
