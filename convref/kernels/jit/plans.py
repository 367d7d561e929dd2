"""Which kernel a convolution gets, and its operands as lists of offsets and units of work.

`choose` makes the choice. The rest writes down, once for every geometry and kept, what the kernels
then only follow: offsets, strides, and a line of integers for each unit of work.
"""

from functools import lru_cache
from math import lcm, prod
from typing import Any, NamedTuple

import numpy as np

from convref.geometry import Axis, Geometry, Offsets
from convref.kernels.jit import beside, dense, loops, move, pairs, thin
from convref.kernels.jit.crew import CHUNKS_PER_THREAD, Kernel, listed
from convref.kernels.jit.dense import MOST_ROWS
from convref.kernels.jit.micro import FULL, VECTORS
from convref.kernels.jit.slabs import in_slabs
from convref.kernels.jit.units import (
    ROWS_PER_UNIT,
    alike,
    best_height,
    ceil,
    cut,
    end_to_end,
    in_pieces,
    joined,
    longest_run,
    pairs_table,
    stretches,
    table,
    thin_table,
)
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import Phase, Placement, Stored, stored, transposed

Ints = tuple[int, ...]

DENSE, PAIRS = Kernel(dense.contract), Kernel(pairs.contract)
BESIDE, BESIDE_WEIGHTS = Kernel(beside.contract), Kernel(beside.weight_grad)
THIN, THIN_WEIGHTS = Kernel(thin.contract), Kernel(thin.weight_grad)
PLACE, PLACE_LAST, SCATTER = Kernel(move.place_all), Kernel(move.place_last), Kernel(loops.scatter)

REACH, LONG, MANY = 1 << 14, 1 << 11, 5
"""Cells from the first tap to the last up to which a slab holds both; and cells of a canvas whose
numbers are not worth moving for the sake of fewer than so many taps."""
FEW = 8
"""Channels of a group up to which a tile of them stays too empty: then positions fill the lanes."""
SCRATCH, SMALL = 1 << 16, 1 << 12
"""Numbers of a group's canvases that a unit may place in a scratch array of its own, and those that
one unit may place for all others."""
PIECE, PIECES = 2 * dense.DEPTH, 16
"""Least depth of a piece of a sum that is cut for the threads' sake, and most pieces."""
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


def choose(
    seen: View, other: View, cells: int, taps: Offsets, units: int, itemsize: int
) -> tuple[str, str]:
    """The kernel for an operator, and why.

    ``seen`` is the operand that is read in place, ``cells`` the size of its canvas, ``taps`` where
    it is seen, and ``units`` how many of its groups can be placed at once; ``other`` has its
    channels in the lanes.
    """
    lanes, apart = other.channels, other.channels == seen.channels == 1
    if apart and seen.groups >= vector_lanes(itemsize):
        if seen.last and other.last:
            return "pairs", "channels lie side by side and are convolved apart: each has a lane"
        first = not seen.last and not other.last
        if first and max(taps, default=0) <= REACH and (len(taps) >= MANY or cells < LONG):
            return "beside", "channels are convolved apart: brought side by side, each has a lane"
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
        seen = transposed(g)
        steps = end_to_end([phase.steps for phase in seen.phases])
        return choose(y, x, seen.cells, steps, y.samples * y.groups, itemsize)
    samples = x.samples if operator == "forward" else 1
    return choose(x, y, stored(g, True).cells, g.taps, samples * x.groups, itemsize)


@lru_cache(maxsize=256)
def forward(g: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int) -> Plan:
    """``y = w @ cols``: rows are positions, lanes filters, depth (c, t)."""
    kernel, _ = choice("forward", g, x, y, itemsize)
    seen = stored(g, kernel.startswith("thin"))
    T, P = len(seen.taps), len(seen.origins)
    places, spans = np.arange(P) * y.strides[3], [(0, P, 0, T)]
    w_strides = w[0], w[2], w[1]
    a_n, a_g, a_c, a_i = canvas_strides(x, seen.placement, seen.cells)
    if kernel == "pairs":
        lists = seen.origins * a_i, seen.taps * a_i, np.arange(T) * x.groups, places
        units = pairs_table(spans, x.samples, x.groups, itemsize, threads)
        first = placing(x, seen.placement, itemsize)
        return _pairs(first, lists, units, 1, (a_n, 0, 0, y.strides[0]))
    if kernel == "beside":
        phases = (whole_phase(seen),)
        return _beside(x, y, seen.placement, seen.cells, phases, w, False, itemsize, threads)
    if kernel != "dense":
        return _thin(
            x, y, seen.placement, seen.cells, (whole_phase(seen),), w_strides, "scratch" in kernel,
            False, itemsize, threads,
        )  # fmt: skip
    lists = seen.origins * a_i, seen.taps * a_i, np.arange(T), places
    height = best_height(x.samples * P)
    units = table(spans, x.samples, x.channels, x.groups, [y.channels], itemsize, height, threads)
    strides = a_g, a_n, a_c, w[0], w[2], y.strides[1], y.strides[0]
    each = np.arange(y.channels)
    lanes = [each * w[1]], [each * y.strides[2]]
    first, size = placing(x, seen.placement, itemsize), x.groups * w[0]
    return _dense(first, lists, units, height, strides, *lanes, size, itemsize)


@lru_cache(maxsize=256)
def input_grad(g: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int) -> Plan:
    """``dx``, phase by phase: rows are input positions, lanes channels, depth (k, t)."""
    seen = transposed(g)
    kernel, _ = choice("input_grad", g, x, y, itemsize)
    margin = seen.placement is not None
    w_strides = w[0], w[1], w[2]
    a_n, a_g, a_k, a_i = canvas_strides(y, seen.placement, seen.cells)
    if kernel == "pairs":
        spans, (taps, steps, origins, positions) = joined(seen.phases)
        lists = origins * a_i, steps * a_i, taps * y.groups, positions * x.strides[3]
        units = pairs_table(spans, y.samples, y.groups, itemsize, threads)
        first = placing(y, seen.placement, itemsize)
        return _pairs(first, lists, units, 1, (a_n, 0, 0, x.strides[0]))
    if kernel == "beside":
        return _beside(y, x, seen.placement, seen.cells, seen.phases, w, margin, itemsize, threads)
    if kernel != "dense":
        return _thin(
            y, x, seen.placement, seen.cells, seen.phases, w_strides, "scratch" in kernel, margin,
            itemsize, threads,
        )  # fmt: skip
    sets = alike(seen.phases)
    spans, (taps, steps, origins, positions) = joined(tuple(own[0] for own in sets))
    lanes = lanes_of_phases(sets, x, w[2])
    counts = [len(own) for own in lanes[0]]
    height = best_height(y.samples * max((rows for _, rows, _, _ in spans), default=1))
    units = table(spans, y.samples, y.channels, y.groups, counts, itemsize, height, threads)
    lists = origins * a_i, steps * a_i, taps, positions * x.strides[3]
    strides = a_g, a_n, a_k, w[0], w[1], x.strides[1], x.strides[0]
    first, size = placing(y, seen.placement, itemsize), x.groups * w[0]
    return _dense(first, lists, units, height, strides, *lanes, size, itemsize, flag=margin)


@lru_cache(maxsize=256)
def weight_grad(g: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int) -> Plan:
    """``dw = dy @ cols.T``: rows are (c, t), lanes filters, depth (n, p); or dot products."""
    kernel, _ = choice("weight_grad", g, x, y, itemsize)
    if kernel.startswith("thin"):
        return _thin_weights(g, x, y, w, "scratch" in kernel, itemsize, threads)
    seen = stored(g, False)
    if kernel == "beside":
        return _beside_weights(x, y, seen, w, itemsize)
    a_n, a_g, a_c, a_i = canvas_strides(x, seen.placement, seen.cells)
    T, P = len(seen.taps), len(seen.origins)
    if kernel == "pairs":
        y_steps, places = np.arange(P) * y.strides[3], np.arange(T) * x.groups
        lists = seen.taps * a_i, seen.origins * a_i, y_steps, places
        units = pairs_table([(0, T, 0, P)], 1, x.groups, itemsize, threads)
        first = placing(x, seen.placement, itemsize)
        return _pairs(first, lists, units, x.samples, (0, a_n, y.strides[0], 0))
    rows, size = x.channels * T, y.groups * y.channels * x.channels * T
    height = best_height(rows)
    tiles = y.groups * ceil(y.channels, VECTORS * vector_lanes(itemsize))
    # How a sum is cut must not depend on the number of threads, for its bits would.
    pieces = PIECES // (tiles * ceil(rows, 2 * ROWS_PER_UNIT))
    pieces = max(1, min(pieces, x.samples * P // PIECE, PARTIAL // size))
    units = table(
        [(0, T, 0, P)], x.channels, x.samples, x.groups, [y.channels], itemsize, height, threads,
        pieces, size,
    )  # fmt: skip
    lists = seen.taps * a_i, seen.origins * a_i, np.arange(P) * y.strides[3], np.arange(T)
    strides = a_g, a_c, a_n, y.strides[1], y.strides[0], w[0], w[2]
    each = np.arange(y.channels)
    lanes = [each * y.strides[2]], [each * w[1]]
    first, size = placing(x, seen.placement, itemsize), y.samples * y.groups * y.channels * P
    return _dense(first, lists, units, height, strides, *lanes, size, itemsize, pieces=pieces)


def _dense(
    placing: Placing | None,
    lists: tuple[Offsets, ...],
    units: Offsets,
    height: int,
    strides: Ints,
    b_lanes: list[Offsets],
    out_lanes: list[Offsets],
    limit: int,
    itemsize: int,
    flag: bool = False,
    pieces: int = 1,
) -> Plan:
    """A plan for dense.contract; lists are those of rows, steps, steps of b, and places.

    ``strides`` are those of a group, outer row and outer step of a; of a group and outer step of b;
    and of a group and outer row of out. ``limit`` is how many numbers b has.
    """
    deepest = int((units[:, 11] - units[:, 10]).max(initial=0))
    # Rows are computed by tiles and moved by squares of a vector's lanes: whole ones of both.
    both = lcm(height, vector_lanes(4))
    block = both * ((dense.BLOCK if deepest <= dense.DEPTH else dense.TALL_BLOCK) // both)
    vector, lanes = vector_lanes(itemsize), (end_to_end(b_lanes), end_to_end(out_lanes))
    words = listed(
        *lists, units, height, UNASKED, *strides[:5], lanes[0], longest_run(b_lanes, vector),
        *strides[5:], lanes[1], longest_run(out_lanes, vector), deepest, block, limit,
    )  # fmt: skip
    return Plan(placing, DENSE, words, len(units), 6 * flag, pieces, (*lists, units, *lanes))


def _pairs(
    placing: Placing | None,
    lists: tuple[Offsets, ...],
    units: Offsets,
    outer_depth: int,
    strides: Ints,
) -> Plan:
    """A plan for pairs.contract; lists as in `_dense`, and the weights as (T, G)."""
    height = best_height(int((units[:, 7] - units[:, 6]).max(initial=1)))
    words = listed(*lists, units, height, outer_depth, *strides)
    return Plan(placing, PAIRS, words, len(units), 0, 1, (*lists, units))


def _beside(
    a: View, out: View, placement: Placement | None, cells: int, phases: tuple[Phase, ...],
    w: Ints, flag: bool, itemsize: int, threads: int,
) -> Plan:  # fmt: skip
    """A plan for beside.contract."""
    lanes, (_, (taps, steps, _, positions)) = vector_lanes(itemsize), joined(phases)
    blocks, results = lane_blocks(a.groups, lanes), out.strides[1]
    wanted = ceil(2 * threads, a.samples * len(blocks)) if threads > 1 else 1
    cuts = in_slabs(phases, results, placement, cells, lanes, wanted)
    each = np.arange(lanes)
    lines = np.arange(max(lanes, w[0], cuts.most)) * lanes
    units = grid(blocks, np.arange(len(cuts.table)), np.arange(a.samples))
    together = len(phases) == 1 and len(positions) == results
    height = best_height(cuts.most)
    lists = (
        cuts.rows, steps * lanes, taps * lanes, cuts.places, cuts.table, cuts.spans, cuts.squares,
        cuts.targets, units,
    )  # fmt: skip
    sides = lines, each * a.strides[1], each * w[0], each * out.strides[1]
    words = listed(
        *lists, UNASKED, *sides, len(phases), height, together, w[0], cuts.cells, cuts.most,
        a.strides[0], a.samples * a.strides[0], a.groups * w[0], out.strides[0],
    )  # fmt: skip
    return Plan(None, BESIDE, words, len(units), 9 * flag, 1, (*lists, *sides))


def _beside_weights(x: View, y: View, seen: Stored, w: Ints, itemsize: int) -> Plan:
    """A plan for beside.weight_grad."""
    lanes, T = vector_lanes(itemsize), len(seen.taps)
    units = lane_blocks(x.groups, lanes)
    cuts = in_slabs((whole_phase(seen),), y.strides[1], seen.placement, seen.cells, lanes, 1)
    rows = np.pad(seen.taps, (0, MOST_ROWS), "edge") * lanes
    each, lines = np.arange(lanes), np.arange(max(lanes, T, cuts.most)) * lanes
    lists = (
        rows, cuts.rows, cuts.table, cuts.spans, cuts.squares, cuts.targets, lines, units,
        each * x.strides[1], each * y.strides[1], each * w[0],
    )  # fmt: skip
    words = listed(
        *lists, len(cuts.table), best_height(T), T, cuts.cells, cuts.most, x.samples,
        x.strides[0], x.samples * x.strides[0], y.strides[0], y.samples * y.strides[0],
    )  # fmt: skip
    return Plan(None, BESIDE_WEIGHTS, words, len(units), 0, 1, lists)


def lane_blocks(groups: int, lanes: int) -> Offsets:
    """The first lane of each block of lanes; the last block overlaps the one before."""
    return np.minimum(np.arange(0, groups, lanes), groups - lanes)


def grid(*axes: Offsets) -> Offsets:
    """All combinations, the last axis the fastest."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def whole_phase(seen: Stored) -> Phase:
    """All positions and taps of a canvas as one phase."""
    T, P = len(seen.taps), len(seen.origins)
    return Phase(np.arange(T), seen.taps, seen.origins, np.arange(P))


def lanes_of_phases(
    sets: list[list[Phase]], out: View, w_step: int
) -> tuple[list[Offsets], list[Offsets]]:
    """For each set of phases that see alike the offsets of its lanes in w and in the result.

    A lane is a channel and a phase; those of a channel lie beside each other.
    """
    channels, taps, positions = np.arange(out.channels), [], []
    for own in sets:
        tap = np.array([phase.taps[0] - own[0].taps[0] for phase in own])
        position = np.array([phase.positions[0] - own[0].positions[0] for phase in own])
        taps.append(np.add.outer(channels * w_step, tap).ravel())
        positions.append(np.add.outer(channels * out.strides[2], position * out.strides[3]).ravel())
    return taps, positions


def _thin(
    a: View, out: View, placement: Placement | None, cells: int, phases: tuple[Phase, ...],
    w: Ints, local: bool, flag: bool, itemsize: int, threads: int,
) -> Plan:  # fmt: skip
    """A plan for thin.contract, with the strides of w for a group, a depth and a lane.

    Phases that see alike, and differ in their weights and places only, are lanes beside each other.
    """
    sets = alike(phases)
    spans, (taps, steps, rows, positions) = joined(tuple(phases[0] for phases in sets))
    w_lanes, out_lanes = lanes_of_phases(sets, out, w[2])
    counts = [len(own) for own in w_lanes]
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
    first = placing(a, placement, itemsize)
    size = first.size if first else a.samples * a.groups * a.channels * cells
    return (), (0, 0, 0, 0, 0, 0), size, canvas_strides(a, placement, cells), first


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
