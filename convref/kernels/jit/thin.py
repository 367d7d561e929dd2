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
from convref.kernels.jit.dots import DOT_COLUMNS, DOT_REST, dot_tile
from convref.kernels.jit.flat import load, store
from convref.kernels.jit.micro import FULL, TALLEST, lanes_of, wide_tile
from convref.kernels.jit.move import place


@njit(nogil=True, cache=True, fastmath=False)
def contract(
    x, x_strides, cells, row_cells, row_sources, runs, limit,
    rows, ends, steps, b, b_steps, out, places, strides, lanes, units, broken,
    start, stop,
):  # fmt: skip
    """Units: sample, phase, group, block of positions.

    With ``cells`` above 0 the canvases of a group, of so many cells each, are placed in scratch,
    where ``x_strides`` are those of a sample, group, channel and position of x. Else x is the canvas.
    """
    x_n, x_g, x_c, x_i = x_strides
    a_step, b_group, b_outer, b_step, out_n, out_group, out_step = strides
    width = FULL * lanes_of(out)
    sums = np.empty(TALLEST * width, out.dtype)
    a, end = x, limit
    channels, placed, depths = 0, -1, 0
    for unit in range(start, stop):
        channels, depths = max(channels, units[unit, 6]), max(depths, units[unit, 6] * units[unit, 5])
    if cells > 0:
        end = channels * cells + width
        a = np.zeros(end, out.dtype)
    a_steps, w_steps = np.empty(depths, np.int64), np.empty(depths, np.int64)
    b_rows = np.empty(lanes, np.int64)
    for unit in range(start, stop):
        sample, group, p_begin, p_end, step_at, step_count, channels = units[unit]
        at = sample * x_n + group * x_g
        if cells > 0:
            if placed != at:
                for c in range(channels):
                    place(x, at + c * x_c, x_i, a, c * cells, row_cells, row_sources, runs)
                placed = at
            at = 0
        depth = channels * step_count
        spread(0, a_step, steps, step_at, step_count, 0, depth, a_steps)
        spread(group * b_group, b_outer, b_steps, step_at, step_count, 0, depth, w_steps)
        for lane in range(lanes):
            b_rows[lane] = lane * b_step
            for d in range(depth if len(broken) else 0):
                value = load(b, lane * b_step + w_steps[d])
                if value - value != 0:  # infinite or NaN
                    broken[0] = True
        out_at = sample * out_n + group * out_group
        strip(
            a, at, end, rows, ends, p_begin, p_end, a_steps, b, b_rows, w_steps, depth,
            out, out_at, places, out_step, lanes, sums,
        )  # fmt: skip


@njit(nogil=True, cache=True, fastmath=False)
def strip(
    a, at, limit, rows, ends, p, p_end, a_steps, b, b_rows, b_steps, depth,
    out, out_at, places, out_step, lanes, sums,
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
        here, here_at, here_steps = a, at + origin, a_steps
        if here_at + reach + width > limit:
            here, here_at, here_steps = tail(a, here_at, limit, a_steps, depth, width)
        following = p
        for lane in range(0, lanes, TALLEST):
            height = min(lanes - lane, TALLEST)
            wide_tile(
                height, vectors, b, b_rows[lane:], b_steps, here, here_at, here_steps, depth,
                sums, 0, width, True,
            )  # fmt: skip
            following = p
            while following < p_end and load(rows, following) < origin + width:
                first = load(rows, following) - origin
                count = min(min(load(ends, following), p_end) - following, width - first)
                for r in range(height):
                    to = out_at + (lane + r) * out_step
                    emit(sums, r * width + first, out, to, places, following, count)
                following += count
        p = following


@njit(nogil=True, cache=True, fastmath=False)
def tail(a, at, limit, steps, depth, width):
    """A copy of what a tile reads, where that would run over the end of the array."""
    panel = np.zeros(depth * width, a.dtype)
    for d in range(depth):
        first = at + load(steps, d)
        for lane in range(min(width, limit - first)):
            store(panel, d * width + lane, load(a, first + lane))
    return panel, 0, np.arange(depth) * width


@njit(nogil=True, cache=True, fastmath=False)
def emit(sums, first, out, at, places, p, count):
    """Store neighbouring sums at the places of the positions from p on."""
    place_ = load(places, p)
    if load(places, p + count - 1) - place_ == count - 1:
        for j in range(count):
            store(out, at + place_ + j, load(sums, first + j))
    else:
        for j in range(count):
            store(out, at + load(places, p + j), load(sums, first + j))


@njit(nogil=True, cache=True, fastmath=False)
def weight_grad(
    x, x_strides, cells, row_cells, row_sources, runs,
    origins, length, steps, y, y_strides, w, w_strides, lanes, units, start, stop,
):  # fmt: skip
    """``w[k, c, t] = sum over n, p of y[n, k, p] * canvas[n, c, steps[t] + origins[p]]``.

    Units: group, block of channels. Positions come in stretches of ``length`` side by side.
    """
    samples, x_n, x_g, x_c, x_i = x_strides
    y_n, y_g, y_k, y_p = y_strides
    P, dy = len(origins), y
    if y_p != 1:
        dy = np.empty(lanes * P, w.dtype)
    w_g, w_k, w_c = w_strides
    a, taps = x, len(steps)
    if cells > 0:
        most = 0
        for unit in range(start, stop):
            most = max(most, units[unit, 2] - units[unit, 1])
        a = np.zeros(most * cells, w.dtype)
    stretches = len(origins) // length
    seen, starts = np.empty(stretches, np.int64), np.arange(stretches) * length
    for stretch in range(stretches):
        seen[stretch] = origins[stretch * length]
    sums = np.empty(TALLEST * DOT_COLUMNS, w.dtype)
    for unit in range(start, stop):
        group, c_begin, c_end = units[unit]
        columns = (c_end - c_begin) * taps
        a_columns = np.empty(columns + DOT_COLUMNS, np.int64)
        y_rows = np.empty(lanes, np.int64)
        for sample in range(samples):
            at, c_step = sample * x_n + group * x_g + c_begin * x_c, x_c
            if cells > 0:
                for c in range(c_end - c_begin):
                    place(x, at + c * x_c, x_i, a, c * cells, row_cells, row_sources, runs)
                at, c_step = 0, cells
            spread(at, c_step, steps, 0, taps, 0, columns, a_columns)
            for lane in range(lanes):
                y_at = sample * y_n + group * y_g + lane * y_k
                y_rows[lane] = y_at if y_p == 1 else lane * P
                if y_p != 1:
                    for p in range(P):
                        store(dy, lane * P + p, load(y, y_at + p * y_p))
            column = 0
            while column < columns:
                width = DOT_COLUMNS if columns - column >= DOT_COLUMNS else min(columns - column, DOT_REST)
                lane = 0
                while lane < lanes:
                    height = 4 if lanes - lane >= 4 else min(lanes - lane, 2)
                    wide = min(width, DOT_COLUMNS // 2) if height == 4 else width
                    for first in range(0, width, wide):
                        dot_tile(
                            height, wide, dy, y_rows[lane:], starts, a, a_columns[column + first :],
                            seen, stretches, length, sums,
                        )  # fmt: skip
                        for r in range(height):
                            for j in range(wide):
                                c, t = divmod(column + first + j, taps)
                                to = group * w_g + (lane + r) * w_k + (c_begin + c) * w_c + t
                                before = load(w, to) if sample else w.dtype.type(0)
                                store(w, to, before + load(sums, r * wide + j))
                    lane += height
                column += width
