"""Plans for kernels/jit/pairs: channels convolved apart, side by side in memory."""

from itertools import pairwise

import numpy as np

from convref.geometry import Geometry
from convref.kernels.jit import pairs
from convref.kernels.jit.crew import CHUNKS_PER_THREAD, Kernel, listed
from convref.kernels.jit.micro import VECTORS
from convref.kernels.jit.pieces import in_slides
from convref.kernels.jit.plans.plan import Plan, View, canvas_strides, placing
from convref.kernels.jit.units import best_height, ceil, cut, joined
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import Seen, stored

PAIRS, PAIRS_WEIGHTS = Kernel(pairs.contract), Kernel(pairs.weight_grad)


def contract(a: View, out: View, seen: Seen, itemsize: int, threads: int) -> Plan:
    """Each channel of a with its own weights, which lie as (T, G)."""
    a_n, _, _, a_i = canvas_strides(a, seen.placement)
    spans, (_, _, origins, positions) = joined(seen.phases)
    rows = np.array([(at, at + count) for at, count, _, _ in spans], np.int64)
    slides = in_slides(seen.phases, rows, origins * a_i, positions * out.strides[3], a_i, a.groups)
    each = max(1, a.samples * len(spans))
    wanted = ceil(CHUNKS_PER_THREAD * threads, each) if threads > 1 else 1
    lanes, own = vector_lanes(itemsize), []
    for phase, (first, last) in enumerate(slides.spans.tolist()):
        # The channels of a tile, then of the next: memory is read as it lies.
        blocks = max(1, min(wanted, last - first))
        parts = ceil(wanted, blocks)
        tiles = [first + cut(last - first, block, blocks, 1) for block in range(blocks + 1)]
        channels = [cut(a.groups, part, parts, lanes) for part in range(parts + 1)]
        own += [(phase, *some, *side) for some in pairwise(tiles) for side in pairwise(channels)]
    units = np.array([(sample, *line) for sample in range(a.samples) for line in own], np.int64)
    lists = slides.tiles, slides.pieces, slides.ways, units
    words = listed(*lists, a.groups, a_n, out.strides[0])
    return Plan(placing(a, seen.placement, itemsize), PAIRS, words, len(units), lists)


def weight_grad(g: Geometry, x: View, y: View, itemsize: int, threads: int) -> Plan:
    """The weights' gradient, as (T, G)."""
    seen = stored(g, False)
    x_n, _, _, x_i = canvas_strides(x, seen.placement)
    T, P = len(seen.taps), len(seen.origins)
    lanes = vector_lanes(itemsize)
    vectors = VECTORS if x.groups >= VECTORS * lanes * threads else 1
    width = vectors * lanes
    units = np.array([
        (begin, min(begin + pairs.BLOCK, T), min(lane, x.groups - width), vectors)
        for begin in range(0, T, pairs.BLOCK)
        for lane in range(0, x.groups, width)
    ], np.int64)  # fmt: skip
    lists = seen.taps * x_i, seen.origins * x_i, np.arange(P) * y.strides[3], units
    words = listed(
        *lists, best_height(min(T, pairs.BLOCK)), x.samples, P, x.groups, x_n, y.strides[0]
    )
    return Plan(placing(x, seen.placement, itemsize), PAIRS_WEIGHTS, words, len(units), lists)
