"""Plans for kernels/jit/grouped: groups of few channels, or of one, side by side in memory."""

from itertools import pairwise

import numpy as np

from convref.geometry import Geometry
from convref.kernels.jit import grouped
from convref.kernels.jit.crew import Kernel, listed
from convref.kernels.jit.micro import VECTORS
from convref.kernels.jit.pieces import Slides, in_slides
from convref.kernels.jit.plans.beside import grid, lane_blocks
from convref.kernels.jit.plans.plan import UNASKED, Ints, Plan, View
from convref.kernels.jit.rows import MOST_ROWS, best_height
from convref.kernels.jit.slabs import CELLS, in_slabs
from convref.kernels.jit.units import PIECE, ceil, cut
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import Seen, as_one_phase, stored

GROUPED, GROUPED_WEIGHTS = Kernel(grouped.contract), Kernel(grouped.weight_grad)

NUMBERS = 1 << 18
"""Those of all channels that a slab sees, for the next lanes to find them in the L2 cache."""
TAPS = 60
"""Those whose sums are held at a time."""
MANY = 8
"""Vectors of channels that are enough for all threads in blocks of two. Not a matter of how many
threads there are: the slabs, in whose order sums are taken, depend on it."""
BLOCKS = 24
"""Blocks of channels, in all pieces of a sum, that are enough for all threads."""


def fits(seen: View, other: View, itemsize: int) -> bool:
    """Whether groups have as many channels here as there, and several of them fill a vector."""
    channels, lanes = seen.channels, vector_lanes(itemsize)
    several = channels == other.channels <= max(1, lanes // 2) and lanes % channels == 0
    return seen.last and other.last and several and seen.groups * channels >= lanes


def contract(
    a: View, out: View, seen: Seen, w: Ints, flag: bool, itemsize: int, threads: int
) -> Plan:
    """Sums over the channels of a group and taps; strides of w for a group, a depth and a lane."""
    lanes, C, results = vector_lanes(itemsize), a.channels, max(1, out.strides[0] // out.strides[3])
    blocks = lane_blocks(a.groups * C, lanes)
    wanted = ceil(2 * threads, a.samples * len(blocks)) if threads > 1 else 1
    most = min(CELLS // C, NUMBERS // (a.groups * C))
    cuts = in_slabs(seen.phases, results, seen.placement, seen.cells, lanes * C, wanted, most)
    begins = np.repeat(cuts.table[:, 4], len(seen.phases))
    counts = cuts.spans[:, 1] - cuts.spans[:, 0]
    places = cuts.places // (lanes * C) + np.repeat(begins, counts)
    slides = by_channel(
        in_slides(
            seen.phases, cuts.spans, cuts.rows, places * out.strides[3], lanes * C, lanes * C
        ), C, lanes,
    )  # fmt: skip
    T = C * max((int(phase.taps.max(initial=-1)) + 1 for phase in seen.phases), default=0)
    lines, each = np.arange(max(lanes, T)) * lanes, np.arange(lanes)
    units = grid(*map(np.arange, (len(cuts.table), a.samples, len(blocks))))
    lists = *slides, cuts.table, cuts.squares, cuts.targets, cuts.holes, units
    sides = lines, each // C * w[0] + each % C * w[2], blocks
    words = listed(
        *lists, UNASKED, *sides, len(blocks), len(seen.phases), C, T, cuts.cells * C, a.strides[0],
        a.strides[3], *w[:2], out.strides[0],
    )  # fmt: skip
    return Plan(None, GROUPED, words, len(units), (*lists, *sides), flag=9 * flag)


def weight_grad(g: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int) -> Plan:
    """Of each channel its weights' gradient in every filter of its group."""
    seen, lanes, K = stored(g, False), vector_lanes(itemsize), y.channels
    T, channels = len(seen.taps), x.groups * K
    # In two vectors sums of few taps don't wait for each other, and memory is read in longer runs;
    # what many taps see would be more than the nearest cache holds.
    vectors = VECTORS if T <= MOST_ROWS and channels >= MANY * lanes else 1
    width = vectors * lanes
    cuts = in_slabs(
        as_one_phase(seen).phases, len(seen.origins), seen.placement, seen.cells, width, 1,
        CELLS // (K * vectors),
    )  # fmt: skip
    blocks = lane_blocks(channels, width)
    taps = ceil(T, max(ceil(T, TAPS), ceil(threads, len(blocks))))
    parts, size = len(cuts.table) * x.samples, x.groups * w[0]
    pieces = max(1, min(BLOCKS // len(blocks), parts, x.samples * len(seen.origins) // PIECE))
    units = np.array([
        (lane, begin, min(begin + taps, T), piece * size, *sides)
        for piece, sides in enumerate(pairwise(cut(parts, n, pieces, 1) for n in range(pieces + 1)))
        for lane in blocks
        for begin in range(0, T, taps)
    ], np.int64)  # fmt: skip
    each, lines = np.arange(width), np.arange(cuts.most) * K * width
    lists = (
        np.pad(seen.taps, (0, MOST_ROWS), "edge") * width, cuts.rows, cuts.table, cuts.spans,
        cuts.squares, cuts.targets, cuts.holes, units, lines, each // K * w[0] + each % K * w[2],
    )  # fmt: skip
    words = listed(
        *lists, x.samples, K, best_height(taps, vectors), vectors, cuts.cells,
        cuts.most, taps, x.strides[0], x.strides[3], y.strides[0], y.strides[3], *w[:2],
    )  # fmt: skip
    return Plan(None, GROUPED_WEIGHTS, words, len(units), lists, pieces=pieces)


def by_channel(slides: Slides, channels: int, lanes: int) -> Slides:
    """Each piece once for every channel of a group, which lie as neighbouring taps do."""
    of_each = np.arange(channels)[:, None] * np.array([lanes, lanes, 0])
    ways = slides.ways.copy()
    ways[:, :2] *= channels
    pieces = (slides.pieces[:, None] + of_each).reshape(-1, slides.pieces.shape[1])
    return slides._replace(pieces=pieces, ways=ways)
