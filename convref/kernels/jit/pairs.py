"""Depthwise with channels last: channel by channel the same contraction, channels in the lanes.

    out[places[m] + lane] = sum over d of  a[rows[m] + steps[d] + lane] * b[b_steps[d] + lane]

Neighbouring channels lie side by side in all three operands, so vectors are read and written as
they lie, for any stride and dilation.
"""

import numpy as np

from convref.kernels.jit.dense import MOST_ROWS, spread
from convref.kernels.jit.flat import data, keep, load, shifted, store, word, zeros_like
from convref.kernels.jit.micro import VECTORS, pair_tile
from convref.kernels.jit.move import copy_vectors
from convref.kernels.jit.vectors import lanes_of

BLOCK, DEPTH = 60, 1024
"""Rows whose sums are held at a time, and numbers summed before the next row's turn."""
UNIT = 8
"""Integers that say what a unit is."""


def contract(words, a, b, out, start, stop):
    """Units: phase, block of rows, block of lanes; words as in plans.pairs.

    The lanes of a unit are a whole number of vectors: the last block overlaps the one before.
    """
    all_rows, all_steps, all_b, places = (
        word(words, 0), word(words, 1), word(words, 2), word(words, 3),
    )  # fmt: skip
    units, height, outer_depth = word(words, 4), load(words, 5), load(words, 6)
    a_row, a_step, b_step, out_row = (
        load(words, 7), load(words, 8), load(words, 9), load(words, 10),
    )  # fmt: skip
    LANES = lanes_of(out)
    WIDTH = VECTORS * LANES
    sums_ = zeros_like(out, (BLOCK + MOST_ROWS) * WIDTH)
    offsets = np.empty(2 * (BLOCK + MOST_ROWS) + 2 * DEPTH, np.int64)
    sums, rows = data(sums_), data(offsets)
    targets = shifted(rows, BLOCK + MOST_ROWS)
    a_steps = shifted(targets, BLOCK + MOST_ROWS)
    b_steps = shifted(a_steps, DEPTH)
    for unit in range(start, stop):
        line = shifted(units, unit * UNIT)
        row_at, row_count, step_at, step_count = (
            load(line, 0), load(line, 1), load(line, 2), load(line, 3),
        )  # fmt: skip
        lane, vectors, m_begin, m_end = load(line, 4), load(line, 5), load(line, 6), load(line, 7)
        whole = outer_depth * step_count
        for m in range(m_begin, m_end, BLOCK):
            count = min(BLOCK, m_end - m)
            spread(lane, a_row, all_rows, row_at, row_count, m, count, rows)
            for r in range(count, count + MOST_ROWS):
                store(rows, r, load(rows, count - 1))
            for d in range(0, max(1, whole), DEPTH):
                depth = min(DEPTH, whole - d)
                if m == m_begin or whole > DEPTH:
                    spread(0, a_step, all_steps, step_at, step_count, d, depth, a_steps)
                    spread(lane, b_step, all_b, step_at, step_count, d, depth, b_steps)
                for r in range(0, count, height):
                    pair_tile(
                        height, vectors, a, rows, r, a_steps, b, 0, b_steps, depth, sums,
                        r * WIDTH, WIDTH, d == 0,
                    )  # fmt: skip
            spread(lane, out_row, places, row_at, row_count, m, count, targets)
            for r in range(count):
                copy_vectors(sums, r * WIDTH, out, load(targets, r), vectors * LANES)
    keep(sums_, offsets)
