"""Positions in the vectors: for few channels, depthwise above all, for short sums, and for numbers
of channels that would leave lanes of their tiles empty. The contractions are those of `dense`.

On a canvas whose origins lie side by side, a tap's view of neighbouring positions is a vector as it
lies, so nothing is packed: a tile holds the sums of a few channels by some vectors of
neighbouring cells. Where a row of positions ends within a tile, the next row begins some cells
later; the cells in between are summed with the rest and not kept. The weight gradient sums along
the positions instead, in vectors of partial sums.

Where a group's canvas is small it is placed in a scratch array, unit by unit, and never in memory.
"""

import numpy as np

from convref.kernels.jit.copies import copy, copy_padded
from convref.kernels.jit.dense import even, spread
from convref.kernels.jit.dots import ROWS, SUMS, columns_at_once, dot_tile
from convref.kernels.jit.flat import data, empty_like, keep, load, shifted, store, word, zeros_like
from convref.kernels.jit.kept import compiled
from convref.kernels.jit.micro import FULL, TALLEST, wide_tile
from convref.kernels.jit.place import place
from convref.kernels.jit.vectors import lanes_of

SEEN, TILES = 1 << 14, 16
"""Numbers that the tiles may see which a few channels do before the next few; and most of them."""
UNIT = 10
"""Integers that say what a unit of `contract` is."""


def contract(words, x, w, out, start, stop):
    """Units: sample, phase, group, block of positions; words as in plans.thin.contract.

    With ``cells`` above 0 the canvases of a group, of so many cells each, are placed in scratch,
    where the strides of x are those of a sample, group, channel and position; else x is the canvas.
    """
    cells, rows_of_x, runs_end = load(words, 0), load(words, 1), load(words, 2)
    row_cells, row_sources, runs = word(words, 3), word(words, 4), word(words, 5)
    rows, ends, steps, w_all = word(words, 6), word(words, 7), word(words, 8), word(words, 9)
    places, units, broken = word(words, 10), word(words, 11), word(words, 12)
    most_lanes, together, depths, limit = (
        load(words, 13), load(words, 14), load(words, 15), load(words, 16),
    )  # fmt: skip
    x_n, x_g, x_c, x_i = load(words, 17), load(words, 18), load(words, 19), load(words, 20)
    a_step, w_group, w_outer, w_lanes = (
        load(words, 21), load(words, 22), load(words, 23), word(words, 24),
    )  # fmt: skip
    out_n, out_group, out_lanes = load(words, 25), load(words, 26), word(words, 27)
    channels, width = load(units, UNIT * start + 6), FULL * lanes_of(out)
    scratch = zeros_like(out, channels * cells + width)
    sums_ = zeros_like(out, TALLEST * width + width)
    copied = empty_like(out, depths * width if cells == 0 else 0)
    offsets = np.empty(3 * depths + most_lanes + TILES + 1, np.int64)
    sums, a_steps = data(sums_), data(offsets)
    copied_steps = shifted(a_steps, 2 * depths + most_lanes)
    begins = shifted(copied_steps, depths)
    w_steps = shifted(a_steps, depths)
    w_rows = shifted(w_steps, depths)
    a = x
    if cells > 0:
        a, limit = data(scratch), channels * cells + width
    placed = spread_at = spread_count = -1
    reach = 0
    for unit in range(start, stop):
        line = shifted(units, unit * UNIT)
        sample, group, p, p_end = load(line, 0), load(line, 1), load(line, 2), load(line, 3)
        step_at, step_count = load(line, 4), load(line, 5)
        lane_at, lanes = load(line, 7), load(line, 8)
        depth = channels * step_count
        at = sample * x_n + group * x_g
        if cells > 0:
            for c in range(channels if placed != at else 0):
                place(
                    x, at + c * x_c, x_i, a, c * cells, (c + 1) * cells, rows_of_x, row_cells,
                    row_sources, runs_end, runs,
                )  # fmt: skip
            placed, at = at, 0
        if spread_at != step_at or spread_count != step_count:
            spread(0, a_step, steps, step_at, step_count, 0, depth, a_steps)
            spread(0, w_outer, w_all, step_at, step_count, 0, depth, w_steps)
            spread_at, spread_count, reach = step_at, step_count, 0
            for d in range(depth):
                reach = max(reach, load(a_steps, d))
        for lane in range(lanes):
            store(w_rows, lane, group * w_group + load(w_lanes, lane_at + lane))
        if load(line, 9) and load(broken, 0) >= 0 and not finite(w, w_rows, lanes, w_steps, depth):
            store(broken, 0, 1)
        strip(
            a, at, limit, reach, rows, ends, p, p_end, a_steps, w, w_rows, w_steps, depth, out,
            sample * out_n + group * out_group, places, shifted(out_lanes, lane_at), together,
            lanes, sums, data(copied), copied_steps, begins,
        )  # fmt: skip
    keep(scratch, sums_, copied, offsets)


@compiled(fastmath=False)
def strip(
    a, at, limit, reach, rows, ends, p, p_end, a_steps, w, w_rows, w_steps, depth,
    out, out_at, places, out_lanes, together, lanes, sums, copied, copied_steps, begins,
):  # fmt: skip
    """The sums of positions p to p_end; ``reach`` is the longest step.

    A few channels at a time have their turn in several tiles, if the nearest cache holds what these
    see, so that memory is written along the rows of a few channels, not to all of them at once.
    """
    LANES, pitch = lanes_of(out), load(out_lanes, min(1, lanes - 1)) - load(out_lanes, 0)
    beside, heights = together and even(out_lanes, lanes), -(-lanes // TALLEST)
    most = max(1, min(TILES, SEEN // (max(1, depth) * FULL * LANES)))
    while p < p_end:
        count = tiles_from(
            rows, ends, p, p_end, lanes, LANES, limit - at - reach, most, begins, together
        )
        source, source_at, source_steps = a, at, a_steps
        origin = load(rows, p)
        width = vectors_at(rows, ends, p, p_end, lanes, LANES, together) * LANES
        if at + origin + reach + width > limit:
            # It would read over the end of the array: it gets a copy of what is there.
            for d in range(depth):
                first = at + origin + load(a_steps, d)
                copy(a, first, copied, d * width, min(width, limit - first))
                store(copied_steps, d, d * width)
            source, source_at, source_steps = copied, -origin, copied_steps
        p = load(begins, count)
        for number in range(heights):
            lane = lanes * number // heights
            height = lanes * (number + 1) // heights - lane
            for tile in range(count):
                q, end = load(begins, tile), load(begins, tile + 1)
                vectors = vectors_at(rows, ends, q, p_end, lanes, LANES, together)
                origin, width, row_end = load(rows, q), vectors * LANES, load(ends, q)
                # A tile whose positions lie side by side in the result too is summed there, and so
                # is one that ends with its row: the next row's overwrites what is too much.
                straight = beside and q + width <= p_end
                straight = straight and (q + width <= row_end or (together and end == row_end))
                target, target_at, step = sums, 0, width
                if straight:
                    target, step = out, pitch
                    target_at = out_at + load(out_lanes, lane) + load(places, q)
                wide_tile(
                    height, vectors, w, w_rows, lane, w_steps, source, source_at + origin,
                    source_steps, depth, target, target_at, step, True,
                    width + min(number, vectors - 1) * LANES,
                )  # fmt: skip
                while not straight and q < end:
                    first = load(rows, q) - origin
                    some = min(min(load(ends, q), p_end) - q, width - first)
                    for r in range(height):
                        to = out_at + load(out_lanes, lane + r)
                        emit(sums, r * width + first, out, to, places, q, some, p_end, together)
                    q += some


@compiled(fastmath=False)
def tiles_from(rows, ends, p, p_end, lanes, LANES, limit, most, begins, together):
    """How many tiles from p on stay within a limit, or one that does not; and where they begin."""
    count, within = 0, True
    while count < most and p < p_end and within:
        vectors = vectors_at(rows, ends, p, p_end, lanes, LANES, together)
        end = load(rows, p) + vectors * LANES
        within = end <= limit
        if within or count == 0:
            store(begins, count, p)
            ends_there = ends_with_row(ends, p, p_end, vectors * LANES, together)
            p = load(ends, p) if ends_there else after(rows, ends, p, p_end, end)
            count += 1
    store(begins, count, p)
    return count


@compiled(fastmath=False)
def vectors_at(rows, ends, p, p_end, lanes, LANES, together):
    """Vectors of the tile that begins at a position: half as many where half of them would do."""
    vectors = FULL if lanes <= 2 else FULL // 2
    few = load(rows, p_end - 1) - load(rows, p) < vectors // 2 * LANES
    return (
        vectors // 2
        if few or ends_with_row(ends, p, p_end, vectors // 2 * LANES, together)
        else vectors
    )


@compiled(fastmath=False)
def ends_with_row(ends, p, p_end, width, together):
    """Whether a tile is to end where its row of positions does, for three quarters of it are used.

    Not the last rows', whose sums beyond the row no others would overwrite.
    """
    rest = load(ends, p) - p
    return together and rest <= width and 4 * rest >= 3 * width and p + width <= p_end


@compiled(fastmath=False)
def after(rows, ends, p, p_end, cell):
    """The first position from p on that is not seen before this cell."""
    while p < p_end and load(rows, p) < cell:
        p += min(min(load(ends, p), p_end) - p, cell - load(rows, p))
    return p


@compiled(fastmath=False, inline="always")
def emit(sums, first, out, at, places, p, count, p_end, together):
    """Store neighbouring sums at the places of the positions from p on.

    Where all positions have their places ``together``, whole vectors are stored: what is too much
    is overwritten when the next positions' turn comes.
    """
    LANES = lanes_of(out)
    if together and p + -(-count // LANES) * LANES <= p_end:
        copy_padded(sums, first, out, at + load(places, p), count)
    else:
        for j in range(count):
            store(out, at + load(places, p + j), load(sums, first + j))


@compiled(fastmath={"reassoc"})
def finite(w, rows, lanes, steps, depth):
    """Whether all weights of a unit are finite: of others, the product with zero is NaN."""
    total = load(w, load(rows, 0)) * 0
    for lane in range(lanes):
        row = load(rows, lane)
        for d in range(depth):
            total += load(w, row + load(steps, d)) * 0
    return total == 0


def weight_grad(words, x, y, w, start, stop):
    """``w[k, c, t] = sum over n, p of y[n, k, p] * canvas[n, c, steps[t] + origins[p]]``.

    Units: group, block of channels; words as in plans.thin.weight_grad. Positions come in stretches
    side by side. A canvas is placed as in `contract`; so is y where its positions are not so.
    """
    cells, rows_of_x, runs_end = load(words, 0), load(words, 1), load(words, 2)
    row_cells, row_sources, runs = word(words, 3), word(words, 4), word(words, 5)
    origins, steps, units = word(words, 6), word(words, 7), word(words, 8)
    positions, taps, length = load(words, 9), load(words, 10), load(words, 11)
    lanes, most, samples = load(words, 12), load(words, 13), load(words, 14)
    x_n, x_g, x_c, x_i = load(words, 15), load(words, 16), load(words, 17), load(words, 18)
    y_n, y_g, y_k, y_p = load(words, 19), load(words, 20), load(words, 21), load(words, 22)
    w_g, w_k, w_c = load(words, 23), load(words, 24), load(words, 25)
    stretches = positions // length
    scratch = zeros_like(w, most * cells)
    gathered = zeros_like(w, lanes * positions if y_p != 1 else 0)
    sums_ = zeros_like(w, SUMS)
    offsets = np.empty(most * taps + lanes + 2 * stretches, np.int64)
    sums, columns = data(sums_), data(offsets)
    y_rows = shifted(columns, most * taps)
    y_starts = shifted(y_rows, lanes)
    seen = shifted(y_starts, stretches)
    a = data(scratch) if cells > 0 else x
    dy = data(gathered) if y_p != 1 else y
    for stretch in range(stretches):
        store(y_starts, stretch, stretch * length)
        store(seen, stretch, load(origins, stretch * length))
    for unit in range(start, stop):
        line = shifted(units, unit * 3)
        group, c_begin, c_end = load(line, 0), load(line, 1), load(line, 2)
        count = (c_end - c_begin) * taps
        for sample in range(samples):
            at, c_step = sample * x_n + group * x_g + c_begin * x_c, x_c
            if cells > 0:
                for c in range(c_end - c_begin):
                    place(
                        x, at + c * x_c, x_i, a, c * cells, (c + 1) * cells, rows_of_x, row_cells,
                        row_sources, runs_end, runs,
                    )  # fmt: skip
                at, c_step = 0, cells
            spread(at, c_step, steps, 0, taps, 0, count, columns)
            for lane in range(lanes):
                y_at = sample * y_n + group * y_g + lane * y_k
                store(y_rows, lane, y_at if y_p == 1 else lane * positions)
                for p in range(positions if y_p != 1 else 0):
                    store(dy, lane * positions + p, load(y, y_at + p * y_p))
            add_dots(
                dy, y_rows, y_starts, lanes, a, columns, seen, count, stretches, length, sums, w,
                group * w_g + c_begin * w_c, w_k, sample == 0,
            )  # fmt: skip
    keep(scratch, gathered, sums_, offsets)


@compiled(fastmath=False)
def add_dots(
    y, y_rows, y_starts, lanes, a, columns, seen, count, stretches, length, sums, w, w_at, w_k,
    fresh,
):  # fmt: skip
    """Add the dot products of all rows of y with all columns to w, tile by tile."""
    for lane in range(0, lanes, ROWS):
        height, column = min(lanes - lane, ROWS), 0
        while column < count:
            width = columns_at_once(height, count - column)
            dot_tile(
                height, width, y, y_rows, lane, y_starts, a, columns, column, seen, stretches,
                length, sums,
            )  # fmt: skip
            for i in range(height):
                for j in range(width):
                    to, value = w_at + (lane + i) * w_k + column + j, load(sums, i * width + j)
                    store(w, to, value if fresh else load(w, to) + value)
            column += width
