"""Plans for kernels/jit/dense: many channels in a group, so they fill the lanes.

Where positions are so few that they fit in one tile, it is the other way round: they fill the lanes
and filters are the rows. Then the weights, the larger operand by far, are read in place, and the
few numbers that positions see are what is packed. So it is too where a single tap is seen by many
filters: what is packed lies side by side, and so do the results, which need not be transposed.
"""

from itertools import accumulate
from typing import Literal

import numpy as np

from convref.geometry import Geometry, Offsets
from convref.kernels.jit import dense
from convref.kernels.jit.micro import MOST_VECTORS, VECTORS
from convref.kernels.jit.parts import near_ends, on_itself, pay, whole
from convref.kernels.jit.plans.matrices import Side, product
from convref.kernels.jit.plans.plan import (
    Ints,
    Plan,
    View,
    canvas_size,
    canvas_strides,
    placing,
)
from convref.kernels.jit.rows import MOST_ROWS
from convref.kernels.jit.units import (
    PIECE,
    ROWS_PER_UNIT,
    alike,
    ceil,
    end_to_end,
    joined,
    lane_tiles,
    lanes_of_phases,
    most_taps,
    table,
)
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import Phase, Seen, Stored, stored

PIECES = 16
"""Most pieces of a sum that is cut for the threads' sake."""
PARTIAL = 1 << 20
"""Numbers that partial sums may take."""
WAYS, PAGE = 8, 4096
"""Most rows of a tile that are a multiple of so many bytes apart, as those of weights often are: a
nearest cache of 8 ways holds only so many lines of such addresses."""
FAR = 32
"""Channels of weights in place, where each lies on a page of its own, that a tile takes before the
next tile takes what lies beside them: more lines of such addresses would not stay in a cache."""
EACH, MANY, RESULTS = 128, 512, 192
"""Fewest positions of a sample, and of all, for which what a tap sees is packed; and fewest results
that are made of each number, so that this does not count."""
LEAST, LISTED = 1 << 7, 1 << 13
"""Fewest depths in a list that a tile goes through before it begins anew a block of channels
further on, so that this does not count; and most depths in the lists of all parts together, so that
these stay in a cache."""

WIDE, MOST_TAPS = 128, 40
"""With channels side by side, a weight gradient has those that a tap sees as the rows of a tile, if
they take so many bytes, and if the taps are not more than this: a block holds tiles of all taps."""
SPREAD, PITCH = 1 << 20, 1 << 10
"""So many bytes from the first position of a panel to the last are more than a cache has ways for,
where positions are a multiple of so many bytes apart."""


def contract(
    a: View, out: View, seen: Seen, itself: Seen | None, w: Ints, flag: bool, itemsize: int,
    threads: int,
) -> Plan:  # fmt: skip
    """Sums over channels and taps, with the strides of w for a group, a depth and a lane.

    Phases that see alike, and differ in their weights and places only, are lanes beside each other.
    Where the operand is seen ``itself``, positions near the ends see fewer taps.
    """
    sets = alike(seen.phases)
    counts = [len(own) * out.channels for own in sets]
    row_counts = [a.samples * len(own[0].origins) for own in sets]
    few = turned(a, out, sets, w, itemsize)
    # Lanes go as the results do, or as the weights, where one tile of rows is all that reads them.
    by_channel = few or not out.last or max(row_counts, default=0) <= MOST_ROWS
    w_lanes, out_lanes = lanes_of_phases(
        sets, out.channels, w[2], out.strides[2], out.strides[3], by_channel
    )
    by_tap = a.last and not may_be_few(seen.phases, itemsize)
    phases = [own[0] for own in sets]
    seen = seen if itself is None else itself
    far, listed = few and w[1] * itemsize >= PAGE, 0
    if itself is not None and not by_tap:  # else the order of sums, too, would depend on it
        listed = sum(len(phase.taps) for phase in itself.phases)
    T = most_taps(tuple(phases))
    block = a.channels if far else side_by_side(a.channels, T, listed)
    if itself is not None:
        phases = [on_itself(phase, itself) for phase in phases]
    a_n, a_g, a_c, a_i = canvas_strides(a, seen.placement)
    first = placing(a, seen.placement, itemsize)
    spans, (taps, steps, origins, positions) = joined(
        tuple(in_blocks(phase, np.arange(block), w[1], a_c, a_i, by_tap) for phase in phases)
    )
    canvas = Side(
        origins * a_i, positions * out.strides[3], [(at, count) for at, count, _, _ in spans],
        a.samples, (a_n, out.strides[0]), steps, block * a_c, a_g,
        canvas_size(a, first, seen.cells),
    )  # fmt: skip
    filters = Side(
        end_to_end(w_lanes), end_to_end(out_lanes),
        list(zip(accumulate(counts, initial=0), counts, strict=False)), 1, (0, 0), taps,
        block * w[1], w[0], a.groups * w[0],
    )  # fmt: skip
    rows, lanes = (filters, canvas) if few else (canvas, filters)
    apart = int(np.gcd.reduce(np.diff(canvas.each), initial=0)) * itemsize
    highest = WAYS if few or (apart and apart % PAGE == 0) else MOST_ROWS
    units = table(
        [(*own, *span[2:]) for own, span in zip(rows.spans, spans, strict=True)], rows.outer,
        a.channels // block, a.groups, lanes.counts, itemsize, threads, highest,
        last=out.last and not few,
    )  # fmt: skip
    if far:
        units[:, 12] = np.minimum(units[:, 12], FAR * T)
    parts = whole(spans)
    if itself is not None:
        numbers = [numbered(len(phase.taps), block, by_tap) for phase in phases]
        parts = near_ends(phases, itself, spans, numbers)
    plan = product(
        first, rows, lanes, [span[2:] for span in spans], parts, units, out.strides[1], itemsize,
        flag, in_sums=few,
    )  # fmt: skip
    return plan._replace(swapped=few)


def sees_itself(a: View, out: View, seen: Seen, itself: Seen, w: Ints, itemsize: int) -> bool:
    """Whether positions near the ends had better be parts of their own than see zeros."""
    sets, vector = alike(seen.phases), vector_lanes(itemsize)
    if turned(a, out, sets, w, itemsize):
        return False
    counts = [len(own) * out.channels for own in sets]
    tiles = [
        [ceil(some, vector) for _, some in lane_tiles(count, itemsize, 1, 1)] for count in counts
    ]
    return pay([own[0] for own in sets], itself, a.channels, tiles, seen.cells)


def may_be_few(phases: tuple[Phase, ...], itemsize: int) -> bool:
    """Whether some batch might have few positions: how sums go must not depend on it."""
    return all(len(phase.origins) <= VECTORS * vector_lanes(itemsize) for phase in phases)


def side_by_side(channels: int, T: int, listed: int = 0, most: int = dense.DEPTH) -> int:
    """How many channels make a block of depth: a tile takes so many from one list of offsets.

    As many as a panel holds, and as all lists together hold, with ``listed`` offsets for each
    channel. Where these are too few, a block has more than a panel holds, which gets it in pieces.
    Of a weight gradient it is samples, with as many positions each as a channel has taps else.
    """
    divisors = [n for n in range(1, channels + 1) if channels % n == 0]
    held = [n for n in divisors if n * T <= most and n * listed <= LISTED]
    enough = [n for n in divisors if n * T >= LEAST]
    block = max(held, default=1)
    return block if block * T >= LEAST else min(enough, default=channels)


def in_blocks(
    phase: Phase, block: Offsets, w_c: int, a_c: int, a_i: int, by_tap: bool
) -> Phase:  # fmt: skip
    """A phase with offsets in numbers, of all channels of a block.

    ``by_tap`` all channels are seen at a tap before the next tap: where these lie side by side,
    memory is read in its order, and taps may be far apart.
    """
    order: Literal["C", "F"] = "C" if by_tap else "F"
    return phase._replace(
        taps=np.add.outer(phase.taps, block * w_c).ravel(order),
        steps=np.add.outer(phase.steps * a_i, block * a_c).ravel(order),
    )


def numbered(taps: int, block: int, by_tap: bool) -> Offsets:
    """Which depths of `in_blocks` are (taps, channels of a block)."""
    numbers = np.arange(taps * block)
    return numbers.reshape(taps, block) if by_tap else numbers.reshape(block, taps).T


def turned(a: View, out: View, sets: list[list[Phase]], w: Ints, itemsize: int) -> bool:
    """Whether positions fill the lanes; then channels of the result are the rows."""
    lanes = vector_lanes(itemsize)
    counts = [(a.samples * len(own[0].origins), len(own) * out.channels) for own in sets]
    return all(one_tile(P, K, lanes) for P, K in counts) or (
        not a.last and not out.last and w[1] * itemsize < PAGE and one_tap_of_many(sets, counts)
    )


def one_tile(P: int, K: int, lanes: int) -> bool:
    """Whether positions fit in the lanes of one tile, and nearly fill its vectors."""
    return 2 * P <= K and VECTORS * lanes >= P and 3 * ceil(P, lanes) * lanes < 4 * P


def one_tap_of_many(sets: list[list[Phase]], counts: list[tuple[int, int]]) -> bool:
    """Whether many results at many positions side by side see a single tap."""
    (phase, *others), (P, K) = sets[0], counts[0]
    alone = len(sets) == 1 and not others and len(phase.taps) == 1
    beside = bool(np.all(np.diff(phase.positions) == 1))
    return alone and beside and len(phase.positions) >= EACH and P >= MANY and K >= RESULTS


def weight_grad(g: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int) -> Plan:
    """Sums over samples and positions; rows are channels and taps, lanes filters.

    Or, where `channels_fill_lanes`, the other way round.
    """
    seen, vector = stored(g, False), vector_lanes(itemsize)
    a_n, a_g, a_c, a_i = canvas_strides(x, seen.placement)
    first = placing(x, seen.placement, itemsize)
    C, T, P, K = x.channels, len(seen.taps), len(seen.origins), y.channels
    block = max(1, side_by_side(x.samples, P, most=dense.SHORT_DEPTH))
    each, depth = np.arange(block), block * P
    columns = Side(
        seen.taps * a_i, np.arange(T), [(0, T)], C, (a_c, w[2]),
        np.add.outer(each * a_n, seen.origins * a_i).ravel(), block * a_n, a_g,
        canvas_size(x, first, seen.cells),
    )  # fmt: skip
    filters = Side(
        np.arange(K) * y.strides[2], np.arange(K) * w[1], [(0, K)], 1, (0, 0),
        np.add.outer(each * y.strides[0], np.arange(P) * y.strides[3]).ravel(),
        block * y.strides[0], y.strides[1], y.samples * y.groups * K * P,
    )  # fmt: skip
    other_way = channels_fill_lanes(x, K, seen, vector)
    rows, lanes = columns, filters
    if other_way:
        rows, lanes = filters, columns._replace(
            each=np.add.outer(columns.each, np.arange(C) * a_c).ravel(),
            places=np.add.outer(columns.places, np.arange(C) * w[2]).ravel(),
            spans=[(0, T * C)], outer=1,
        )  # fmt: skip
    (count,), size = rows.counts, y.groups * K * C * T
    wide = x.last and not other_way and C * itemsize >= WIDE
    again = found_again(seen, x.samples * P, a_i * itemsize)
    across = T if wide and 1 < T <= MOST_TAPS and not again else 1
    tiles = y.groups * ceil(lanes.counts[0], VECTORS * vector)
    # How a sum is cut must not depend on the number of threads, for its bits would; an even number
    # of pieces lets two of them, or four, end together.
    pieces = PIECES // (tiles * ceil(count, ROWS_PER_UNIT))
    pieces = max(1, min(pieces, x.samples * P // PIECE, PARTIAL // size) // 2 * 2)
    spans = [(*rows.spans[0], 0, depth)]
    units = table(
        spans, rows.outer, x.samples // block, x.groups, lanes.counts, itemsize, threads,
        across=across, pieces=pieces, size=size,
    )  # fmt: skip
    plan = product(first, rows, lanes, [(0, depth)], whole(spans, across), units, w[0], itemsize)
    return plan._replace(pieces=pieces, swapped=other_way)


def channels_fill_lanes(x: View, K: int, seen: Stored, vector: int) -> bool:
    """Whether a weight gradient of K filters has channels in the lanes, not filters."""
    C, least = x.channels, 2 * vector
    if len(seen.taps) == 1 and seen.placement is None and C % vector == 0:
        # Weights of a single tap lie as channels do, and are stored as they are summed.
        if least <= C <= K:
            return True
        if not x.last:
            return C < 2 * MOST_ROWS and 2 * C <= K  # dy would be packed for a tile or two of rows
        one_tile = least <= K <= MOST_VECTORS * vector and K % vector == 0
        return K <= C and not one_tile  # of filters in one tile, dy alone is packed, and once
    # Filters that leave half of the lanes empty; fewer, of channels that taps see much alike, if
    # there are few to be packed.
    little = least >= C and not sees_anew(seen) and (vector > K or len(seen.taps) <= MOST_ROWS)
    return x.last and (K if little else 2 * K) <= vector <= C


def found_again(seen: Stored, positions: int, pitch: int) -> bool:
    """Whether tiles of all taps of a channel find most of what they read in the nearest cache.

    That is what a tap's neighbour saw before, unless positions, so many bytes apart, all have their
    lines in the same few places of a cache.
    """
    crowded = pitch % PITCH == 0 and min(positions, dense.DEPTH) * pitch >= SPREAD
    return not crowded and not sees_anew(seen)


def sees_anew(seen: Stored) -> bool:
    """Whether what a tap sees is not what its neighbour sees next."""
    first, second = np.diff(seen.taps[:2]), np.diff(seen.origins[:2])
    return len(seen.taps) > 1 and not np.array_equal(first, second)
