"""Many lanes: a contraction tile by tile, with channels in the lanes.

All three operators have one form:

    out[places[m] + out_lanes[lane]] = sum over d of
        a[rows[m] + steps[d]] * b[b_steps[d] + b_lanes[lane]]

| operator    | a, in place  | rows m       | b, packed | lanes   | depth d      |
| ----------- | ------------ | ------------ | --------- | ------- | ------------ |
| forward     | canvas       | n, positions | w         | filters | c, t         |
| input_grad  | dy or canvas | n, positions | w         | c       | filters, t   |
| weight_grad | canvas       | c, t         | dy        | filters | n, positions |

Numbers of `a` are read one by one from where they lie, so stride, dilation and layout cost nothing.
A tile takes rows that follow each other; or, where channels lie side by side and every tap sees
other cells, rows ``across`` apart, which are channels at one tap, on the same lines of the cache.
Only `b` is moved: one panel of a block of depth by the lanes of a tile, in the L2 cache, that all
rows of the unit share. Where these are a few tiles, `b` too is read in place, if it lies so.
"""

import numpy as np

from convref.kernels.jit.flat import aligned, data, empty_like, keep, load, shifted, store, word
from convref.kernels.jit.kept import compiled
from convref.kernels.jit.micro import HEIGHTS, MOST_VECTORS, high_tile, slim_tile
from convref.kernels.jit.move import pack, unpack
from convref.kernels.jit.vectors import lanes_of

DEPTH = 1024
"""Numbers summed from one panel: with the sums of a block it fills half of a small L2 cache."""
SHORT_DEPTH = 512
"""The same where each number is on a line of its own, which the next tile reads as well."""
FEW = 4
"""Most tiles of rows for which whole lines of `b` are not worth packing."""
BLOCK = 960
"""Most rows whose sums are held at a time: so a panel serves many, and so many positions of a
channel are written before the next channel's, which are on other pages of memory."""
MOST_ROWS = HEIGHTS[0]
"""Rows of the highest tile."""
UNIT = 15
"""Integers that say what a unit is."""


def contract(words, a, b, out, start, stop):
    """Units: phase, group, rows, piece of depth, tile of lanes; words as in plans.dense."""
    all_rows, all_steps, all_b, all_places = (
        word(words, 0), word(words, 1), word(words, 2), word(words, 3),
    )  # fmt: skip
    units, broken, in_sums = word(words, 4), word(words, 5), load(words, 6)
    a_group, a_row, a_step = load(words, 7), load(words, 8), load(words, 9)
    b_group, b_outer, all_b_lanes, b_run = (
        load(words, 10), load(words, 11), word(words, 12), load(words, 13),
    )  # fmt: skip
    out_group, out_row, all_out_lanes, out_run = (
        load(words, 14), load(words, 15), word(words, 16), load(words, 17),
    )  # fmt: skip
    most, largest, limit, all_lines, across = (
        load(words, 18), load(words, 19), load(words, 20), word(words, 21), load(words, 22),
    )  # fmt: skip
    LANES = lanes_of(out)
    WIDTH = MOST_VECTORS * LANES
    panel_ = empty_like(out, most * WIDTH + LANES)
    sums_ = empty_like(out, (largest + MOST_ROWS * across) * WIDTH + LANES)
    lines = max(most, largest) + 1
    offsets = np.empty(2 * (largest + 2 * MOST_ROWS) + 3 * most + lines, np.int64)
    panel, sums, a_rows = aligned(data(panel_)), aligned(data(sums_)), data(offsets)
    targets = shifted(a_rows, largest + 2 * MOST_ROWS)
    a_steps = shifted(targets, largest + 2 * MOST_ROWS)
    b_steps = shifted(a_steps, most)
    b_lines = shifted(b_steps, most)
    panel_rows = shifted(b_lines, most)
    spread_at = spread_from = spread_count = spread_width = -1
    for unit in range(start, stop):
        line = shifted(units, unit * UNIT)
        row_at, row_count, step_at, step_count = (
            load(line, 0), load(line, 1), load(line, 2), load(line, 3),
        )  # fmt: skip
        group, lane, lanes, out_at = load(line, 4), load(line, 5), load(line, 6), load(line, 7)
        m_begin, m_end, d_begin, d_end = (
            load(line, 8), load(line, 9), load(line, 10), load(line, 11),
        )  # fmt: skip
        tall, block, chunk = load(line, 12), load(line, 13), load(line, 14)
        vectors = -(-lanes // LANES)
        width = vectors * LANES
        if width != spread_width:
            for i in range(lines):
                store(panel_rows, i, i * width)
            spread_width, spread_at = width, -1
        asked = load(broken, 0) >= 0
        b_lanes, out_lanes = shifted(all_b_lanes, lane), shifted(all_out_lanes, lane)
        b_at, at = group * b_group, group * out_group + out_at
        beside = in_a_row(out_lanes, lanes, 1)
        # What few tiles of rows read is read where it lies, if it lies as in a panel.
        few = m_end - m_begin <= FEW * tall and lanes == width and in_a_row(b_lanes, lanes, 1)
        for m in range(m_begin, m_end, block):
            count = min(block, m_end - m)
            some, inner = count // across, row_count // across
            for i in range(across):
                spread(
                    group * a_group, a_row, all_rows, row_at + i, inner, m // across, some,
                    shifted(a_rows, i * some),
                )  # fmt: skip
            for r in range(count, count + 2 * MOST_ROWS):
                store(a_rows, r, load(a_rows, count - 1))
            spread(at, out_row, all_places, row_at, row_count, m, count, targets)
            # Tiles whose lanes and rows lie evenly in the result are summed there.
            direct = across == 1 and lanes == width and beside and not (asked and in_sums)
            for d in range(d_begin, max(d_end, d_begin + 1), chunk):
                depth = min(chunk, d_end - d)
                if spread_at != step_at or spread_from != d or spread_count != depth:
                    spread(0, a_step, all_steps, step_at, step_count, d, depth, a_steps)
                    spread(0, b_outer, all_b, step_at, step_count, d, depth, b_steps)
                    spread(-d, step_count, all_lines, step_at, step_count, d, depth, b_lines)
                    for i in range(depth):
                        store(b_lines, i, load(b_lines, i) * width)
                    spread_at, spread_from, spread_count = step_at, d, depth
                read, read_at, read_rows, slim = panel, 0, panel_rows, vectors == 1
                if few and (in_sums or not asked) and in_a_row(b_lines, depth, width):
                    read, read_at, read_rows, slim = b, b_at + load(b_lanes, 0), b_steps, False
                elif m == m_begin or d_end - d_begin > chunk:
                    pack(
                        shifted(b, b_at), limit - b_at, b_steps, b_lanes, b_run, depth, lanes,
                        panel, b_lines,
                    )  # fmt: skip
                    clear(panel, panel_rows, depth, lanes, width)
                    if asked and not in_sums and not finite(panel, panel_rows, depth, width):
                        store(broken, 0, 1)
                for i in range(across):
                    for r in range(0, some, tall):
                        tile, tile_at, step = sums, (r * across + i) * width, across * width
                        if direct and in_place(targets, r, tall, count):
                            tile, tile_at = out, load(targets, r) + load(out_lanes, 0)
                            step = load(targets, r + 1) - load(targets, r)
                        first = i * some + r
                        if slim:
                            slim_tile(
                                tall, 1, a, a_rows, first, a_steps, read, read_at, read_rows,
                                depth, tile, tile_at, step, d == d_begin,
                            )  # fmt: skip
                            continue
                        following = load(a_rows, first + 2 * tall - 1) - load(a_rows, first)
                        high_tile(
                            tall, vectors, a, a_rows, first, a_steps, read, read_at, read_rows,
                            depth, tile, tile_at, step, d == d_begin, following,
                        )  # fmt: skip
            if asked and in_sums and not finite(sums, panel_rows, count, width):
                store(broken, 0, 1)
            r = 0
            while r < count:  # the other tiles, as many at a time as follow each other
                begin = r
                while r < count and not (direct and in_place(targets, r, tall, count)):
                    r += tall
                if begin < r:
                    unpack(
                        sums, shifted(panel_rows, begin), out, shifted(targets, begin), out_lanes,
                        out_run, min(r, count) - begin, lanes,
                    )  # fmt: skip
                r += tall
    keep(panel_, sums_, offsets)


@compiled(fastmath=False)
def spread(at, outer_step, inner, inner_at, inner_count, begin, count, offsets):
    """Offsets of ``count`` indices (outer, inner) from ``begin`` on, the inner one the faster."""
    done, outer, i = 0, begin // max(1, inner_count), begin % max(1, inner_count)
    while done < count:
        some, first = min(count - done, inner_count - i), at + outer * outer_step
        for j in range(some):
            store(offsets, done + j, first + load(inner, inner_at + i + j))
        done, outer, i = done + some, outer + 1, 0


@compiled(fastmath=False)
def in_place(targets, row, tall, count):
    """Whether a tile from this row on is whole, and its rows lie evenly in the result."""
    return row + tall <= count and even(shifted(targets, row), tall)


@compiled(fastmath=False)
def in_a_row(offsets, count, step):
    """Whether offsets go by such steps."""
    return even(offsets, count) and (count < 2 or load(offsets, 1) - load(offsets, 0) == step)


@compiled(fastmath=False)
def even(offsets, count):
    """Whether all offsets go by equal steps."""
    for i in range(2, count):
        if load(offsets, i) - load(offsets, i - 1) != load(offsets, 1) - load(offsets, 0):
            return False
    return True


@compiled(fastmath=False)
def clear(panel, lines, count, begin, end):
    """Zero the lanes from begin to end: of what memory held, the products could be slow."""
    for lane in range(begin, end):
        for i in range(count):
            store(panel, load(lines, i) + lane, 0)


@compiled(fastmath={"reassoc"})
def finite(numbers, lines, count, lanes):
    """Whether the first lanes of lines are all finite: of others, the product with zero is NaN."""
    total = load(numbers, load(lines, 0)) * 0
    for i in range(count):
        line = load(lines, i)
        for lane in range(lanes):
            total += load(numbers, line + lane) * 0
    return total == 0
