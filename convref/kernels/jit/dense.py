"""Many lanes: a contraction tile by tile, with channels in the lanes.

All three operators have one form:

    out[places[m] + out_lanes[lane]] = sum over d of
        a[rows[m] + steps[d]] * b[b_steps[d] + b_lanes[lane]]

| operator    | a, in place  | rows m       | b, packed | lanes   | depth d      |
| ----------- | ------------ | ------------ | --------- | ------- | ------------ |
| forward     | canvas       | n, positions | w         | filters | c, t         |
| input_grad  | canvas of dy | n, positions | w         | c       | filters, t   |
| weight_grad | canvas       | c, t         | dy        | filters | n, positions |

Numbers of `a` are read one by one from where they lie, so stride, dilation and layout cost nothing.
A tile takes rows that follow each other; or, where channels lie side by side and every tap sees
other cells, rows ``across`` apart, which are channels at one tap, on the same lines of the cache.
Only `b` is moved: one panel of a block of depth by the lanes of a tile, in the L2 cache, that all
rows of the unit share. Where these are a few tiles, `b` too is read in place, if it lies so.
"""

import numpy as np

from convref.kernels.jit.flat import data, empty_like, keep, load, shifted, store, word
from convref.kernels.jit.kept import compiled
from convref.kernels.jit.micro import BROAD_HEIGHT, HEIGHTS, MOST_VECTORS, VECTORS, high_tile
from convref.kernels.jit.move import pack, unpack
from convref.kernels.jit.vectors import lanes_of

DEPTH = 2048
"""Numbers summed from one panel: with the sums of a block it fills half of a small L2 cache."""
SHORT_DEPTH = 512
"""The same where each number is on a line of its own, which the next tile reads as well."""
FEW = 4
"""Most tiles of rows for which whole lines of `b` are not worth packing."""
BLOCK, TALL_BLOCK = 160, 480
"""Most rows whose sums are held at a time; more of them where each needs several panels."""
TURNS = 13
"""Depths in which each row of the next tile has its turn to be asked for, if these are on lines of
their own; not a factor of the usual numbers of taps, so that it has its turn at each of them."""
MOST_ROWS = HEIGHTS[0]
"""Rows of the highest tile."""
UNIT = 12
"""Integers that say what a unit is."""


def contract(words, a, b, out, start, stop):
    """Units: phase, group, rows, piece of depth, tile of lanes; words as in plans.dense."""
    all_rows, all_steps, all_b, all_places = (
        word(words, 0), word(words, 1), word(words, 2), word(words, 3),
    )  # fmt: skip
    units, height, broken, in_sums = word(words, 4), load(words, 5), word(words, 6), load(words, 7)
    a_group, a_row, a_step = load(words, 8), load(words, 9), load(words, 10)
    b_group, b_outer, all_b_lanes, b_run = (
        load(words, 11), load(words, 12), word(words, 13), load(words, 14),
    )  # fmt: skip
    out_group, out_row, all_out_lanes, out_run = (
        load(words, 15), load(words, 16), word(words, 17), load(words, 18),
    )  # fmt: skip
    most, block, limit, all_lines = (
        load(words, 19), load(words, 20), load(words, 21), word(words, 22),
    )  # fmt: skip
    across, period = load(words, 23), load(words, 24)
    LANES = lanes_of(out)
    WIDTH = MOST_VECTORS * LANES
    panel_ = empty_like(out, most * WIDTH)
    sums_ = empty_like(out, (block + MOST_ROWS * across) * WIDTH)
    lines = max(most, block, 2)
    offsets = np.empty(2 * (block + 2 * MOST_ROWS) + 4 * most + lines + WIDTH, np.int64)
    panel, sums, a_rows = data(panel_), data(sums_), data(offsets)
    targets = shifted(a_rows, block + 2 * MOST_ROWS)
    a_steps = shifted(targets, block + 2 * MOST_ROWS)
    b_steps = shifted(a_steps, most)
    b_lines = shifted(b_steps, most)
    turns = shifted(b_lines, most)
    panel_rows = shifted(turns, most)
    soon = shifted(panel_rows, lines)
    for lane in range(WIDTH):
        store(soon, lane, 0)
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
        # Whole blocks of depth, for within one the panel's lines are in another order.
        chunk = most // step_count * step_count if 0 < step_count <= most else most
        vectors = -(-lanes // LANES)
        width = vectors * LANES
        tall = min(height, BROAD_HEIGHT) if vectors > VECTORS else height
        if width != spread_width:
            for i in range(lines):
                store(panel_rows, i, i * width)
            take_turns(tall, period, most, turns)
            spread_width, spread_at = width, -1
        asked = load(broken, 0) >= 0
        b_lanes, out_lanes = shifted(all_b_lanes, lane), shifted(all_out_lanes, lane)
        b_at, at = group * b_group, group * out_group + out_at
        beside = in_a_row(out_lanes, lanes, 1)
        # What few tiles of rows read is read where it lies, if it lies as in a panel.
        few = m_end - m_begin <= FEW * height and lanes == width and in_a_row(b_lanes, lanes, 1)
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
            pitch, straight = load(targets, min(1, count - 1)) - load(targets, 0), 0
            direct = across == 1 and lanes == width and beside and not (asked and in_sums)
            if direct and even(targets, count):
                straight = count // tall * tall
            for d in range(d_begin, max(d_end, d_begin + 1), chunk):
                depth = min(chunk, d_end - d)
                if spread_at != step_at or spread_from != d or spread_count != depth:
                    spread(0, a_step, all_steps, step_at, step_count, d, depth, a_steps)
                    spread(0, b_outer, all_b, step_at, step_count, d, depth, b_steps)
                    spread(-d, step_count, all_lines, step_at, step_count, d, depth, b_lines)
                    for i in range(depth):
                        store(b_lines, i, load(b_lines, i) * width)
                    spread_at, spread_from, spread_count = step_at, d, depth
                read, read_at, read_rows = panel, 0, panel_rows
                if few and (in_sums or not asked) and in_a_row(b_lines, depth, width):
                    read, read_at, read_rows = b, b_at + load(b_lanes, 0), b_steps
                elif m == m_begin or d_end - d_begin > chunk:
                    pack(
                        shifted(b, b_at), limit - b_at, b_steps, b_lanes, b_run, depth, lanes,
                        panel, b_lines,
                    )  # fmt: skip
                    clear(panel, panel_rows, depth, lanes, width)
                    if asked and not in_sums and not finite(panel, panel_rows, depth, width):
                        store(broken, 0, 1)
                # The next panel goes on in depth, or is of the next unit.
                if d + depth < d_end:
                    expect(line, b_group, d + depth, all_b_lanes, WIDTH, soon)
                elif unit + 1 < stop:
                    expect(shifted(line, UNIT), b_group, d_begin, all_b_lanes, WIDTH, soon)
                for i in range(across):
                    for r in range(0, some, tall):
                        tile, tile_at, step = sums, (r * across + i) * width, across * width
                        if r < straight:
                            tile, tile_at, step = out, load(targets, r) + load(out_lanes, 0), pitch
                        high_tile(
                            tall, vectors, a, a_rows, i * some + r, a_steps, read, read_at,
                            read_rows, depth, tile, tile_at, step, d == d_begin, b,
                            shifted(soon, min(r // tall, vectors - 1) * LANES), turns,
                        )  # fmt: skip
            if asked and in_sums and not finite(sums, panel_rows, count, width):
                store(broken, 0, 1)
            unpack(
                sums, shifted(panel_rows, straight), out, shifted(targets, straight), out_lanes,
                out_run, count - straight, lanes,
            )  # fmt: skip
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
def take_turns(height, period, depth, turns):
    """Which row after the first of a tile, one of the next tile, is asked for at each depth.

    It is the last one, which may be on another line of memory than those of this tile; or, with a
    longer period, each from the last back to the first.
    """
    for d in range(depth):
        store(turns, d, 2 * height - 1 - min(d % period, height - 1))


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


@compiled(fastmath=False)
def expect(line, b_group, d, all_b_lanes, width, soon):
    """Where the lanes of a unit begin in b at a depth, if its numbers lie side by side in depth.

    Where they do not, memory is asked for something in vain.
    """
    at, lane, lanes = load(line, 4) * b_group + d, load(line, 5), load(line, 6)
    for i in range(width):
        store(soon, i, at + load(all_b_lanes, lane + min(i, lanes - 1)))


@compiled(fastmath={"reassoc"})
def finite(numbers, lines, count, lanes):
    """Whether the first lanes of lines are all finite: of others, the product with zero is NaN."""
    total = load(numbers, load(lines, 0)) * 0
    for i in range(count):
        line = load(lines, i)
        for lane in range(lanes):
            total += load(numbers, line + lane) * 0
    return total == 0
