"""Plans for kernels/jit/thin, where positions fill the lanes."""

import numpy as np

from convref.geometry import Geometry, Offsets
from convref.kernels.jit import thin
from convref.kernels.jit.crew import CHUNKS_PER_THREAD, Kernel, listed
from convref.kernels.jit.plans.plan import (
    UNASKED,
    Ints,
    Placing,
    Plan,
    View,
    canvas_size,
    canvas_strides,
    placing,
    whole,
)
from convref.kernels.jit.units import (
    alike,
    ceil,
    cut,
    end_to_end,
    joined,
    lanes_of_phases,
    stretches,
    thin_table,
)
from convref.phases import Placement, Seen, stored

THIN, THIN_WEIGHTS = Kernel(thin.contract), Kernel(thin.weight_grad)


def contract(
    a: View, out: View, seen: Seen, w: Ints, local: bool, flag: bool, itemsize: int,
    threads: int,
) -> Plan:  # fmt: skip
    """Sums over channels and taps, with the strides of w for a group, a depth and a lane.

    Phases that see alike, and differ in their weights and places only, are lanes beside each other.
    With ``local`` a unit makes the canvas of a group in a scratch array of its own.
    """
    sets = alike(seen.phases)
    spans, (taps, steps, rows, positions) = joined(tuple(phases[0] for phases in sets))
    w_lanes, out_lanes = lanes_of_phases(sets, out.channels, w[2], out.strides[2], out.strides[3])
    counts = [len(own) for own in w_lanes]
    lists = (
        rows, stretches(rows, [row for row, _, _, _ in spans]), steps, taps,
        positions * out.strides[3], end_to_end(w_lanes), end_to_end(out_lanes),
    )  # fmt: skip
    together = len(seen.phases) == 1 and bool(np.all(np.diff(lists[4]) == 1))
    units = thin_table(spans, counts, a.samples, a.groups, a.channels, local, threads)
    kept, shown, limit, strides, first = _canvas(a, seen.placement, seen.cells, local, itemsize)
    depths = a.channels * max((count for _, _, _, count in spans), default=0)
    words = listed(
        *shown, *lists[:5], units, UNASKED, max(counts, default=0), together, depths, limit,
        *strides, seen.cells if local else strides[2], *w[:2], lists[5], out.strides[0],
        out.strides[1], lists[6],
    )  # fmt: skip
    return Plan(first, THIN, words, len(units), (*kept, *lists, units), flag=12 * flag)


def weight_grad(
    g: Geometry, x: View, y: View, w: Ints, local: bool, itemsize: int, threads: int
) -> Plan:
    """Dot products of rows of dy with what the taps see of the canvas."""
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
    return Plan(first, THIN_WEIGHTS, words, len(units), (*kept, seen.origins, seen.taps, units))


def _canvas(
    a: View, placement: Placement | None, cells: int, local: bool, itemsize: int
) -> tuple[tuple[Offsets, ...], tuple[int | Offsets, ...], int, Ints, Placing | None]:
    """How a kernel comes by its canvas: (arrays, words, size, strides, placing before)."""
    if local:
        placed = placement or whole(cells)
        kept = placed.row_cells, placed.row_sources, placed.runs
        shown = cells, len(placed.row_cells), len(placed.runs), *kept
        return kept, shown, 0, a.strides, None
    first = placing(a, placement, itemsize)
    size = canvas_size(a, first, cells)
    return (), (0, 0, 0, 0, 0, 0), size, canvas_strides(a, placement), first
