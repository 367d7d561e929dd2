"""Plans for kernels/jit/beside: channels convolved apart, brought side by side slab by slab."""

import numpy as np

from convref.geometry import Geometry, Offsets
from convref.kernels.jit import beside
from convref.kernels.jit.crew import Kernel, listed
from convref.kernels.jit.pieces import in_slides
from convref.kernels.jit.plans.plan import UNASKED, Ints, Plan, View
from convref.kernels.jit.rows import MOST_ROWS, best_height
from convref.kernels.jit.slabs import in_slabs
from convref.kernels.jit.units import ceil
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import Seen, as_one_phase, stored

BESIDE, BESIDE_WEIGHTS = Kernel(beside.contract), Kernel(beside.weight_grad)


def contract(
    a: View, out: View, seen: Seen, w: Ints, flag: bool, itemsize: int, threads: int
) -> Plan:
    """Each channel of a with its own weights."""
    lanes, results = vector_lanes(itemsize), out.strides[1]
    blocks = lane_blocks(a.groups, lanes)
    wanted = ceil(2 * threads, a.samples * len(blocks)) if threads > 1 else 1
    cuts = in_slabs(seen.phases, results, seen.placement, seen.cells, lanes, wanted)
    each = np.arange(max(lanes, 2))  # the second tells the step
    lines = np.arange(max(lanes, w[0], cuts.most)) * lanes
    units = grid(blocks, np.arange(len(cuts.table)), np.arange(a.samples))
    slides = in_slides(seen.phases, cuts.spans, cuts.rows, cuts.places, lanes, lanes)
    lists = *slides, cuts.table, cuts.squares, cuts.targets, cuts.holes, units
    sides = lines, each * a.strides[1], each * w[0], each * out.strides[1]
    words = listed(
        *lists, UNASKED, *sides, len(seen.phases), seen.covers, w[0], cuts.cells, cuts.most,
        a.strides[0], a.samples * a.strides[0], a.groups * w[0], out.strides[0],
    )  # fmt: skip
    return Plan(None, BESIDE, words, len(units), (*lists, *sides), flag=9 * flag)


def weight_grad(g: Geometry, x: View, y: View, w: Ints, itemsize: int) -> Plan:
    """Of each channel its own weights' gradient."""
    seen = stored(g, False)
    lanes, T = vector_lanes(itemsize), len(seen.taps)
    units = lane_blocks(x.groups, lanes)
    phases = as_one_phase(seen).phases
    cuts = in_slabs(phases, y.strides[1], seen.placement, seen.cells, lanes, 1)
    rows = np.pad(seen.taps, (0, MOST_ROWS), "edge") * lanes
    each, lines = np.arange(max(lanes, 2)), np.arange(max(lanes, T, cuts.most)) * lanes
    lists = (
        rows, cuts.rows, cuts.table, cuts.spans, cuts.squares, cuts.targets, cuts.holes, lines,
        units, each * x.strides[1], each * y.strides[1], each * w[0],
    )  # fmt: skip
    words = listed(
        *lists, len(cuts.table), best_height(T), T, cuts.cells, cuts.most, x.samples,
        x.strides[0], x.samples * x.strides[0], y.strides[0], y.samples * y.strides[0],
    )  # fmt: skip
    return Plan(None, BESIDE_WEIGHTS, words, len(units), lists)


def lane_blocks(groups: int, lanes: int) -> Offsets:
    """The first lane of each block of lanes; the last block overlaps the one before."""
    return np.minimum(np.arange(0, groups, lanes), groups - lanes)


def grid(*axes: Offsets) -> Offsets:
    """All combinations, the last axis the fastest."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
