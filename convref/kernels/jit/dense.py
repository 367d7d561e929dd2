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
Rows that see fewer depths than others, such as positions near the ends of an axis, are parts of
their own, with their own shares of the same panel: so nothing need be multiplied with the zeros of
a padding. A tile takes rows of one part. Where channels lie side by side and every tap sees other
cells, rows at one tap are made a part: what they read is on the same lines of the cache.
Only `b` is moved: one panel of a block of depth by the lanes of a tile, in the L2 cache, that all
rows of the unit share. Where these are a few tiles, `b` too is read in place, if it lies so.
"""

import numpy as np

from convref.kernels.jit.flat import aligned, data, empty_like, keep, load, shifted, store, word
from convref.kernels.jit.kept import compiled
from convref.kernels.jit.micro import MOST_VECTORS, high_tile, slim_tile
from convref.kernels.jit.move import pack, unpack
from convref.kernels.jit.rows import MOST_ROWS, RUN, TILE, cut_up, fill_slots
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
UNIT, SET, PART = 13, 9, 2
"""Integers that say what a unit is, a set of phases that see alike, and a part of its rows."""


def contract(words, a, b, out, start, stop):
    """Units: phases, group, rows, piece of depth, tile of lanes; words as in plans.matrices."""
    all_rows, all_places, all_b, all_lines = (
        word(words, 0), word(words, 1), word(words, 2), word(words, 3),
    )  # fmt: skip
    units, broken, in_sums = word(words, 4), word(words, 5), load(words, 6)
    a_group, a_row, a_step = load(words, 7), load(words, 8), load(words, 9)
    b_group, b_step, all_b_lanes, b_run = (
        load(words, 10), load(words, 11), word(words, 12), load(words, 13),
    )  # fmt: skip
    out_group, out_row, all_out_lanes, out_run = (
        load(words, 14), load(words, 15), word(words, 16), load(words, 17),
    )  # fmt: skip
    most, largest, limit, sets, all_parts, all_runs = (
        load(words, 18), load(words, 19), load(words, 20), word(words, 21), word(words, 22),
        word(words, 23),
    )  # fmt: skip
    seen, seen_b, seen_lines, listed, most_parts = (
        word(words, 24), word(words, 25), word(words, 26), load(words, 27), load(words, 28),
    )  # fmt: skip
    LANES = lanes_of(out)
    WIDTH = MOST_VECTORS * LANES
    panel_ = empty_like(out, most * WIDTH + LANES)
    sums_ = empty_like(out, (largest + MOST_ROWS) * WIDTH + LANES)
    lines, slots = max(most, largest + MOST_ROWS), largest + most_parts * MOST_ROWS
    offsets = np.empty(
        (2 + TILE) * slots + 2 * MOST_ROWS + largest + 2 * (most_parts + 1) + 2 * most + lines + 1
        + listed, np.int64,
    )  # fmt: skip
    panel, sums, a_rows = aligned(data(panel_)), aligned(data(sums_)), data(offsets)
    slot_places = shifted(a_rows, slots + 2 * MOST_ROWS)
    tiles = shifted(slot_places, slots)
    targets = shifted(tiles, TILE * slots)
    begins = shifted(targets, largest)
    filled = shifted(begins, most_parts + 1)
    b_steps = shifted(filled, most_parts + 1)
    b_lines = shifted(b_steps, most)
    panel_rows = shifted(b_lines, most)
    seen_rows = shifted(panel_rows, lines + 1)
    spread_at = spread_from = spread_count = spread_width = -1
    for unit in range(start, stop):
        line = shifted(units, unit * UNIT)
        own = shifted(sets, load(line, 0) * SET)
        row_at, row_count, depth_at, depth_count = (
            load(own, 0), load(own, 1), load(own, 2), load(own, 3),
        )  # fmt: skip
        parts, part_count, runs, run_count = (
            shifted(all_parts, load(own, 4) * PART), load(own, 5),
            shifted(all_runs, load(own, 6) * RUN), load(own, 7),
        )  # fmt: skip
        group, lane, lanes, out_at = load(line, 1), load(line, 2), load(line, 3), load(line, 4)
        m_begin, m_end, d_begin, d_end = (
            load(line, 5), load(line, 6), load(line, 7), load(line, 8),
        )  # fmt: skip
        tall, highest, block, chunk = load(line, 9), load(line, 10), load(line, 11), load(line, 12)
        vectors = -(-lanes // LANES)
        width = vectors * LANES
        if width != spread_width:
            for i in range(lines + 1):
                store(panel_rows, i, i * width)
            for i in range(listed):
                store(seen_rows, i, load(seen_lines, i) * width)
            spread_width, spread_at = width, -1
        asked = load(broken, 0) >= 0
        b_lanes, out_lanes = shifted(all_b_lanes, lane), shifted(all_out_lanes, lane)
        b_at, at = group * b_group, group * out_group + out_at
        # What few tiles of rows read is read where it lies, if it lies as in a panel.
        few = m_end - m_begin <= FEW * tall and lanes == width and in_a_row(b_lanes, lanes, 1)
        few = few and load(own, 8) and (in_sums or not asked)
        # Lanes that lie in the result as they do in vectors are summed there.
        direct = lanes == width and in_a_row(out_lanes, lanes, 1) and not (asked and in_sums)
        whole = max(1, depth_count)
        for m in range(m_begin, m_end, block):
            count = min(block, m_end - m)
            tile_count = cut_up(
                runs, run_count, part_count, row_count, m, count, vectors, highest, begins, tiles
            )
            fill_slots(
                runs, run_count, part_count, group * a_group, a_row, shifted(all_rows, row_at),
                row_count, m, count, False, begins, filled, a_rows,
            )  # fmt: skip
            places = panel_rows  # slots of one part are in the order of the rows
            if direct or part_count > 1:
                places = slot_places
                fill_slots(
                    runs, run_count, part_count, at + load(out_lanes, 0) if direct else 0, out_row,
                    shifted(all_places, row_at) if direct else panel_rows, row_count, m, count,
                    not direct, begins, filled, places,
                )  # fmt: skip
            if not direct:
                spread(at, out_row, all_places, row_at, row_count, m, count, targets)
            last = load(begins, part_count) - 1
            for i in range(last + 1, last + 1 + 2 * MOST_ROWS):
                store(a_rows, i, load(a_rows, last))
            d = d_begin
            while d < d_end or d == d_begin:
                # Whole blocks of depth, or a piece of one that is too much for a panel.
                begin = d % whole if chunk < whole else 0
                depth = min(min(chunk, d_end - d), whole - begin if chunk < whole else chunk)
                read, read_at, step = panel, 0, depth_count * width
                if few:
                    read, step = b, b_step
                    read_at = b_at + load(b_lanes, 0) + d // whole * b_step
                elif m == m_begin or d_end - d_begin > chunk:
                    if spread_at != depth_at or spread_from != d or spread_count != depth:
                        spread(0, b_step, all_b, depth_at, depth_count, d, depth, b_steps)
                        spread(-d, depth_count, all_lines, depth_at, depth_count, d, depth, b_lines)
                        for i in range(depth):
                            store(b_lines, i, load(b_lines, i) * width)
                        spread_at, spread_from, spread_count = depth_at, d, depth
                    pack(
                        shifted(b, b_at), limit - b_at, b_steps, b_lanes, b_run, depth, lanes,
                        panel, b_lines,
                    )  # fmt: skip
                    clear(panel, panel_rows, depth, lanes, width)
                    if asked and not in_sums and not finite(panel, panel_rows, depth, width):
                        store(broken, 0, 1)
                sum_tiles(
                    tiles, tile_count, vectors, parts, depth_count, begin, depth, seen, seen_b,
                    seen_lines, seen_rows, panel_rows, few, shifted(a, d // whole * a_step), a_rows,
                    a_step, read, read_at, step, out if direct else sums, places, d == d_begin,
                    width,
                )  # fmt: skip
                d += max(1, depth)
            if asked and in_sums and not finite(sums, panel_rows, count, width):
                store(broken, 0, 1)
            if not direct:
                unpack(sums, panel_rows, out, targets, out_lanes, out_run, count, lanes)
    keep(panel_, sums_, offsets)


@compiled(fastmath=False)
def sum_tiles(
    tiles, tile_count, vectors, parts, depth_count, begin, depth, seen, seen_b, seen_lines,
    seen_rows, panel_rows, few, a, a_rows, a_step, b, b_at, b_step, out, places, fresh, width,
):  # fmt: skip
    """All tiles of a block of rows, over the depths of a panel that their parts see."""
    last, turns = -1, depth // depth_count if begin == 0 and depth > depth_count > 0 else 1
    for number in range(tile_count):
        tile = shifted(tiles, number * TILE)
        height, slot, part = load(tile, 0), load(tile, 1), load(tile, 2)
        if part != last:
            first, end = load(parts, part * PART), load(parts, part * PART + 1)
            all_seen = end - first == depth_count
            if all_seen:
                first, end = first + begin, first + min(begin + depth, depth_count)
            else:
                first = first_from(seen_lines, first, end, begin)
                end = first_from(seen_lines, first, end, begin + depth)
            some, at, steps = end - first, b_at, shifted(seen, first)
            if few:
                b_steps = shifted(seen_b, first)
            elif all_seen:
                b_steps = panel_rows
            else:
                b_steps, at = shifted(seen_rows, first), b_at - begin * width
            slim, last = all_seen and not few and vectors == 1, part
        following = load(a_rows, slot + 2 * height - 1) - load(a_rows, slot)
        for turn in range(turns):
            on_a, on_b, anew = shifted(a, turn * a_step), at + turn * b_step, fresh and turn == 0
            if slim:
                slim_tile(
                    height, 1, on_a, a_rows, slot, steps, b, on_b, b_steps, some, out, 0, places,
                    anew,
                )  # fmt: skip
            else:
                high_tile(
                    height, vectors, on_a, a_rows, slot, steps, b, on_b, b_steps, some, out, 0,
                    places, anew, following,
                )  # fmt: skip


@compiled(fastmath=False)
def first_from(numbers, begin, end, least):
    """The first of ascending numbers that is not below ``least``."""
    while begin < end and load(numbers, begin) < least:
        begin += 1
    return begin


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
