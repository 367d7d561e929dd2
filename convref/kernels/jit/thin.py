"""Few lanes, depthwise above all: the same contractions with positions in the vectors.

A tile of channels would stay almost empty here. On a canvas whose origins lie side by side, a tap's
view of neighbouring positions is a vector as it lies, so nothing is packed: a tile holds the sums
of one to four channels by some vectors of neighbouring cells. Where a row of positions ends within
a tile, the next row begins some cells later; the cells in between are summed with the rest and not
kept. The weight gradient sums along the positions instead, in vectors of partial sums.

Where a group's canvas is small it is placed in a scratch array, unit by unit, and never in memory.
"""

import numpy as np
from numba import njit

from convref.kernels.jit.dense import spread
from convref.kernels.jit.dots import COLUMNS, FEW_COLUMNS, dot_tile
from convref.kernels.jit.flat import data, keep, load, store
from convref.kernels.jit.micro import FULL, TALLEST, wide_tile
from convref.kernels.jit.move import copy_padded, place
from convref.kernels.jit.vectors import lanes_of


@njit(nogil=True, cache=True, fastmath=False)
def contract(
    x, x_strides, cells, row_cells, row_sources, runs,
    rows, ends, steps, b, b_steps, out, places, strides, together, lanes, units, depths, broken,
    start, stop,
):  # fmt: skip
    """Units: sample, phase, group, block of positions; see plans.thin_table.

    With ``cells`` above 0 the canvases of a group, of so many cells each, are placed in scratch,
    where ``x_strides`` are those of a sample, group, channel and position of x; else x is the
    canvas. ``depths`` is the largest depth of a unit.
    """
    x_n, x_g, x_c, x_i = x_strides
    a_step, b_group, b_outer, b_step, out_n, out_group, out_step = strides
    channels, width = units[start, 6], FULL * lanes_of(out)
    scratch = np.zeros(channels * cells + width if cells > 0 else 0, out.dtype)
    a_, limit = (scratch, scratch.size) if cells > 0 else (x, x.size)
    sums_ = np.empty(TALLEST * width + width, out.dtype)
    offsets = np.empty((2, depths), np.int64)
    lanes_ = np.empty(lanes, np.int64)
    X, a, y, w, sums = data(x), data(a_), data(out), data(b), data(sums_)
    a_steps, w_steps, w_rows = data(offsets[0]), data(offsets[1]), data(lanes_)
    all_rows, all_ends, all_places = data(rows), data(ends), data(places)
    all_steps, all_b, lists = data(steps), data(b_steps), data(runs)
    cell_rows, source_rows = data(row_cells), data(row_sources)
    placed = spread_at = spread_count = -1
    for unit in range(start, stop):
        sample, group, p, p_end = units[unit, 0], units[unit, 1], units[unit, 2], units[unit, 3]
        step_at, step_count = units[unit, 4], units[unit, 5]
        depth = channels * step_count
        at = sample * x_n + group * x_g
        if cells > 0:
            for c in range(channels if placed != at else 0):
                place(
                    X, at + c * x_c, x_i, a, c * cells, (c + 1) * cells, len(row_cells), cell_rows,
                    source_rows, len(runs), lists,
                )  # fmt: skip
            placed, at = at, 0
        if spread_at != step_at or spread_count != step_count:
            spread(0, a_step, all_steps, step_at, step_count, 0, depth, a_steps)
            spread(0, b_outer, all_b, step_at, step_count, 0, depth, w_steps)
            spread_at, spread_count = step_at, step_count
        for lane in range(lanes):
            store(w_rows, lane, group * b_group + lane * b_step)
        if len(broken) and not finite(w, w_rows, lanes, w_steps, depth):
            broken[0] = True
        strip(
            a, at, limit, all_rows, all_ends, p, p_end, a_steps, w, w_rows, w_steps, depth,
            y, sample * out_n + group * out_group, all_places, out_step, together, lanes, sums,
        )  # fmt: skip
    keep(scratch, sums_, offsets, lanes_)


@njit(nogil=True, cache=True, fastmath=False)
def strip(
    a, at, limit, rows, ends, p, p_end, a_steps, w, w_rows, w_steps, depth,
    out, out_at, places, out_step, together, lanes, sums,
):  # fmt: skip
    """The sums of positions p to p_end, tile by tile."""
    LANES, reach = lanes_of(out), 0
    for d in range(depth):
        reach = max(reach, load(a_steps, d))
    while p < p_end:
        origin = load(rows, p)
        vectors = FULL if lanes <= 2 else FULL // 2
        if load(rows, p_end - 1) - origin < vectors // 2 * LANES:
            vectors //= 2
        width = vectors * LANES
        beyond = at + origin + reach + width > limit
        following = p
        for lane in range(0, lanes, TALLEST):
            height = min(lanes - lane, TALLEST)
            if beyond:
                edge_tile(
                    height, vectors, w, w_rows, lane, w_steps, a, at + origin, limit, a_steps,
                    depth, sums, width,
                )  # fmt: skip
            else:
                wide_tile(
                    height, vectors, w, w_rows, lane, w_steps, a, at + origin, a_steps, depth,
                    sums, 0, width, True,
                )  # fmt: skip
            following = p
            while following < p_end and load(rows, following) < origin + width:
                first = load(rows, following) - origin
                count = min(min(load(ends, following), p_end) - following, width - first)
                for r in range(height):
                    to = out_at + (lane + r) * out_step
                    emit(sums, r * width + first, out, to, places, following, count, p_end, together)
                following += count
        p = following


@njit(nogil=True, cache=True, fastmath=False)
def edge_tile(
    height, vectors, w, w_rows, lane, w_steps, a, at, limit, a_steps, depth, sums, width
):  # fmt: skip
    """A wide tile where that would read over the end of the array: number by number."""
    for r in range(height):
        for j in range(width):
            to = r * width + j
            store(sums, to, 0)
            total = load(sums, to)
            for d in range(depth):
                seen = at + load(a_steps, d) + j
                if seen < limit:
                    total += load(w, load(w_rows, lane + r) + load(w_steps, d)) * load(a, seen)
            store(sums, to, total)


@njit(nogil=True, cache=True, fastmath=False, inline="always")
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


@njit(nogil=True, cache=True, fastmath=False)
def finite(w, rows, lanes, steps, depth):
    """Whether all weights of a unit are finite: for others, less themselves is NaN."""
    for lane in range(lanes):
        for d in range(depth):
            value = load(w, load(rows, lane) + load(steps, d))
            if value - value != 0:
                return False
    return True


@njit(nogil=True, cache=True, fastmath=False)
def weight_grad(
    x, x_strides, cells, row_cells, row_sources, runs,
    origins, length, steps, y, y_strides, w, w_strides, lanes, units, most, start, stop,
):  # fmt: skip
    """``w[k, c, t] = sum over n, p of y[n, k, p] * canvas[n, c, steps[t] + origins[p]]``.

    Units: group, block of at most ``most`` channels. Positions come in stretches of ``length`` side
    by side. A canvas is placed as in `contract`; so is y where its positions are not side by side.
    """
    samples, x_n, x_g, x_c, x_i = x_strides
    y_n, y_g, y_k, y_p = y_strides
    w_g, w_k, w_c = w_strides
    P, taps, stretches = len(origins), len(steps), len(origins) // length
    scratch = np.zeros(most * cells, w.dtype)
    gathered = np.empty(lanes * P if y_p != 1 else 0, w.dtype)
    sums_ = np.empty(TALLEST * COLUMNS, w.dtype)
    columns_ = np.empty(most * taps + lanes + 2 * stretches, np.int64)
    X, Y, W, sums, columns = data(x), data(y), data(w), data(sums_), data(columns_)
    a = data(scratch) if cells > 0 else X
    dy = data(gathered) if y_p != 1 else Y
    y_rows, y_starts = data(columns_[most * taps :]), data(columns_[most * taps + lanes :])
    seen = data(columns_[most * taps + lanes + stretches :])
    all_steps, lists = data(steps), data(runs)
    cell_rows, source_rows = data(row_cells), data(row_sources)
    for stretch in range(stretches):
        store(y_starts, stretch, stretch * length)
        store(seen, stretch, origins[stretch * length])
    for unit in range(start, stop):
        group, c_begin, c_end = units[unit, 0], units[unit, 1], units[unit, 2]
        for sample in range(samples):
            at, c_step = sample * x_n + group * x_g + c_begin * x_c, x_c
            if cells > 0:
                for c in range(c_end - c_begin):
                    place(
                        X, at + c * x_c, x_i, a, c * cells, (c + 1) * cells, len(row_cells),
                        cell_rows, source_rows, len(runs), lists,
                    )  # fmt: skip
                at, c_step = 0, cells
            spread(at, c_step, all_steps, 0, taps, 0, (c_end - c_begin) * taps, columns)
            for lane in range(lanes):
                y_at = sample * y_n + group * y_g + lane * y_k
                store(y_rows, lane, y_at if y_p == 1 else lane * P)
                for p in range(P if y_p != 1 else 0):
                    store(dy, lane * P + p, load(Y, y_at + p * y_p))
            add_dots(
                dy, y_rows, y_starts, lanes, a, columns, seen, (c_end - c_begin) * taps,
                stretches, length, sums, W, group * w_g + c_begin * w_c, w_k, sample == 0,
            )  # fmt: skip
    keep(scratch, gathered, sums_, columns_)


@njit(nogil=True, cache=True, fastmath=False)
def add_dots(
    y, y_rows, y_starts, lanes, a, columns, seen, count, stretches, length, sums, w, w_at, w_k,
    fresh,
):  # fmt: skip
    """Add the dot products of all rows of y with all columns to w, tile by tile."""
    for lane in range(0, lanes, TALLEST):
        rows = min(lanes - lane, TALLEST)
        # Heights are 1, 2 and 4: three rows are two and one.
        for r in range(0, rows, 2 if rows < TALLEST else TALLEST):
            height = min(rows - r, 2) if rows < TALLEST else TALLEST
            widest = COLUMNS // 2 if height == TALLEST else COLUMNS
            column = 0
            while column < count:
                left = count - column
                width = widest if left >= widest else min(left, FEW_COLUMNS)
                dot_tile(
                    height, width, y, y_rows, lane + r, y_starts, a, columns, column, seen,
                    stretches, length, sums,
                )  # fmt: skip
                for i in range(height):
                    for j in range(width):
                        to = w_at + (lane + r + i) * w_k + column + j
                        value = load(sums, i * width + j)
                        store(w, to, value if fresh else load(w, to) + value)
                column += width
