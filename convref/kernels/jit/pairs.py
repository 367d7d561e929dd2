"""The weights' gradient of depthwise layers with channels last: channels in the lanes.

    w[lane, t] = sum over d of  x[rows[t] + x_steps[d] + lane] * y[y_steps[d] + lane]

Neighbouring channels lie side by side in x and y, so vectors are read as they lie, for any stride
and dilation; sums go to the weights by squares, as in `beside`.
"""

import numpy as np

from convref.kernels.jit.beside import send
from convref.kernels.jit.dense import MOST_ROWS, spread
from convref.kernels.jit.flat import data, keep, load, shifted, store, word, zeros_like
from convref.kernels.jit.micro import VECTORS, pair_tile
from convref.kernels.jit.vectors import lanes_of

BLOCK, DEPTH = 60, 1024
"""Taps whose sums are held at a time, and numbers summed before the next tap's turn."""
UNIT = 4
"""Integers that say what a unit is."""


def weight_grad(words, x, y, w, start, stop):
    """``w[g, t] = sum over n, p of x[n, rows[t] + steps[p], g] * y[n, p, g]``.

    Units: block of taps, block of channels; words as in plans.pairs.weight_grad. The channels of a
    unit are a whole number of vectors: the last block overlaps the one before.
    """
    all_rows, all_steps, all_y, units, w_lanes = (
        word(words, 0), word(words, 1), word(words, 2), word(words, 3), word(words, 4),
    )  # fmt: skip
    height, samples, positions, T = (
        load(words, 5), load(words, 6), load(words, 7), load(words, 8),
    )  # fmt: skip
    x_n, y_n = load(words, 9), load(words, 10)
    LANES = lanes_of(w)
    WIDTH, depths = VECTORS * LANES, samples * positions
    sums_ = zeros_like(w, (BLOCK + MOST_ROWS) * WIDTH)
    offsets = np.empty(2 * BLOCK + MOST_ROWS + 2 * DEPTH, np.int64)
    sums, rows = data(sums_), data(offsets)
    x_steps = shifted(rows, BLOCK + MOST_ROWS)
    y_steps = shifted(x_steps, DEPTH)
    lines = shifted(y_steps, DEPTH)
    for r in range(BLOCK):
        store(lines, r, r * WIDTH)
    for unit in range(start, stop):
        line = shifted(units, unit * UNIT)
        begin, end, lane, vectors = load(line, 0), load(line, 1), load(line, 2), load(line, 3)
        for r in range(end - begin + MOST_ROWS):
            store(rows, r, lane + load(all_rows, min(begin + r, end - 1)))
        for d in range(0, depths, DEPTH):
            depth = min(DEPTH, depths - d)
            spread(0, x_n, all_steps, 0, positions, d, depth, x_steps)
            spread(lane, y_n, all_y, 0, positions, d, depth, y_steps)
            for r in range(0, end - begin, height):
                pair_tile(
                    height, vectors, x, rows, r, x_steps, y, 0, y_steps, depth, sums, r * WIDTH,
                    WIDTH, d == 0,
                )  # fmt: skip
        for vector in range(vectors):
            first = lane + vector * LANES
            send(shifted(sums, vector * LANES), lines, end - begin, w, first * T + begin, w_lanes)
    keep(sums_, offsets)
