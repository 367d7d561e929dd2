"""A block of rows in tiles, where all rows of a tile see the same depths.

A row is a pair (outer, inner), the inner index the faster. Inner rows that see the same depths are
a *part*; which ones these are is said by runs: (first row, part), up to the first of the next run.
"""

from numba.extending import register_jitable

from convref.kernels.jit.flat import load, shifted, store
from convref.kernels.jit.kept import compiled
from convref.kernels.jit.micro import BROAD_HEIGHTS, HEIGHTS, VECTORS

RUN, TILE = 2, 3
"""Integers that say what a run is, and what a tile: its height, its first slot, its part."""
MOST_ROWS = HEIGHTS[0]
"""Rows of the highest tile."""
HEIGHTS_OF = tuple(
    heights + heights[-1:] * (len(HEIGHTS) - len(heights))
    for heights in (*[HEIGHTS] * VECTORS, *BROAD_HEIGHTS.values())
)
"""Heights of tiles of one vector, of two, and so on: equally many, the last one several times."""


@register_jitable
def best_height(rows, vectors=VECTORS, highest=MOST_ROWS):
    """The height of tiles that covers the rows in the fewest cycles."""
    best, least = 1, 1 << 62
    for height in HEIGHTS_OF[vectors - 1]:
        cost = -(-rows // height) * cost_of_tile(height, vectors)
        if height <= highest and cost < least:
            best, least = height, cost
    return best


@register_jitable
def cost_of_tile(height, vectors):
    """Half cycles at each depth.

    A tile takes a cycle for every two products of vectors, at least four, and those of half a row.
    """
    return 2 * max(height * vectors, 8) + vectors


@compiled(fastmath=False)
def cut_up(runs, run_count, part_count, inner_count, m, count, vectors, highest, begins, tiles):
    """Tiles of the rows m to m + count, and how many; rows of part p get the slots from begins[p].

    Where the last tile of a part is higher than what is left, there are slots for all its rows.
    """
    for part in range(part_count + 1):
        store(begins, part, 0)
    i = 0
    inner, run = found(runs, run_count, inner_count, m)
    if all_apart(run_count, part_count, inner_count):
        for inner in range(inner_count):
            i = (inner - m) % inner_count
            rows = max(0, count - i + inner_count - 1) // inner_count
            store(begins, load(runs, inner * RUN + 1), rows)
        i = count
    while i < count:
        rows = min(end_of(runs, run_count, inner_count, run) - inner, count - i)
        part = load(runs, run * RUN + 1)
        store(begins, part, load(begins, part) + rows)
        i, run = i + rows, run + 1 if run + 1 < run_count else 0
        inner = load(runs, run * RUN)
    number = slot = 0
    for part in range(part_count):
        rows = load(begins, part)
        store(begins, part, slot)
        height = best_height(rows, vectors, highest)
        while rows > 0:
            if rows < height:
                height = best_height(rows, vectors, height)
            tile = shifted(tiles, number * TILE)
            store(tile, 0, height)
            store(tile, 1, slot)
            store(tile, 2, part)
            number, slot, rows = number + 1, slot + height, rows - height
    store(begins, part_count, slot)
    return number


@compiled(fastmath=False)
def fill_slots(
    runs, run_count, part_count, at, outer_step, listed, inner_count, m, count, of_block, begins,
    filled, slots,
):  # fmt: skip
    """What a list holds for each of the rows m to m + count, in the slots of these.

    That is ``at + outer * outer_step + listed[inner]``, or of a list for rows of the block its
    i-th number for row m + i. Slots beyond the last row of a part hold the same as that.
    """
    for part in range(part_count):
        store(filled, part, load(begins, part))
    i, outer = 0, m // max(1, inner_count)
    inner, run = found(runs, run_count, inner_count, m)
    if all_apart(run_count, part_count, inner_count):
        for inner in range(inner_count):
            i, part = (inner - m) % inner_count, load(runs, inner * RUN + 1)
            slot, outer = load(filled, part), (m + i) // inner_count
            while i < count:
                first, source = (at, i) if of_block else (at + outer * outer_step, inner)
                store(slots, slot, first + load(listed, source))
                i, slot, outer = i + inner_count, slot + 1, outer + 1
            store(filled, part, slot)
        i = count
    while i < count:
        some = min(end_of(runs, run_count, inner_count, run) - inner, count - i)
        part = load(runs, run * RUN + 1)
        slot = load(filled, part)
        first, source = (at, i) if of_block else (at + outer * outer_step, inner)
        for j in range(some):
            store(slots, slot + j, first + load(listed, source + j))
        store(filled, part, slot + some)
        i, run = i + some, run + 1
        if run == run_count:
            outer, run = outer + 1, 0
        inner = load(runs, run * RUN)
    for part in range(part_count):
        for slot in range(load(filled, part), load(begins, part + 1)):
            store(slots, slot, load(slots, slot - 1))


@compiled(fastmath=False)
def all_apart(run_count, part_count, inner_count):
    """Whether each inner row is a part of its own: then the rows of a part are so far apart."""
    return run_count == part_count == inner_count


@compiled(fastmath=False)
def found(runs, run_count, inner_count, m):
    """The inner row of row m, and the run it is in."""
    inner, run = m % max(1, inner_count), 0
    while end_of(runs, run_count, inner_count, run) <= inner and run + 1 < run_count:
        run += 1
    return inner, run


@compiled(fastmath=False)
def end_of(runs, run_count, inner_count, run):
    """The inner row with which a run has ended."""
    return load(runs, (run + 1) * RUN) if run + 1 < run_count else inner_count
