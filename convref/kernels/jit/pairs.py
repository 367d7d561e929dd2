"""Depthwise with channels last: channel by channel the same contraction, channels in the lanes.

    out[places[m] + lane] = sum over d of  a[rows[m] + steps[d] + lane] * b[b_steps[d] + lane]

Neighbouring channels lie side by side in all three operands, so vectors are read and written as
they lie, for any stride and dilation; rows of taps slide along rows of positions (`slide`).
"""

import numpy as np

from convref.kernels.jit.dense import MOST_ROWS, spread
from convref.kernels.jit.flat import data, keep, load, shifted, store, word, zeros_like
from convref.kernels.jit.micro import VECTORS, pair_tile
from convref.kernels.jit.move import copy_vectors
from convref.kernels.jit.slide import PIECE, TILE, WAY, slide_tile
from convref.kernels.jit.vectors import lanes_of

BLOCK, DEPTH = 60, 1024
"""Taps whose sums are held at a time, and numbers summed before the next tap's turn."""
UNIT, WEIGHTS_UNIT = 6, 4
"""Integers that say what a unit of `contract` and one of `weight_grad` is."""


def contract(words, x, w, out, start, stop):
    """Units: sample, phase, block of tiles, block of channels; words as in plans.pairs.contract.

    The last vector of all channels overlaps the one before.
    """
    tiles, pieces, ways, units = word(words, 0), word(words, 1), word(words, 2), word(words, 3)
    channels, x_n, out_n = load(words, 4), load(words, 5), load(words, 6)
    LANES = lanes_of(out)
    for unit in range(start, stop):
        line = shifted(units, unit * UNIT)
        sample, way = load(line, 0), shifted(ways, load(line, 1) * WAY)
        begin, end, first, last = load(line, 2), load(line, 3), load(line, 4), load(line, 5)
        some, count = shifted(pieces, load(way, 0) * PIECE), load(way, 1)
        stride, cell, w_step = load(way, 2), load(way, 3), load(way, 4)
        for number in range(begin, end):
            tile = shifted(tiles, number * TILE)
            x_at, out_at = sample * x_n + load(tile, 0), sample * out_n + load(tile, 1)
            for block in range(first, last, LANES):
                lane = min(block, channels - LANES)
                slide_tile(
                    load(tile, 2), stride, x, x_at + lane, cell, shifted(w, lane), w_step, some,
                    count, out, out_at + lane, load(tile, 3),
                )  # fmt: skip


def weight_grad(words, x, y, w, start, stop):
    """``w[t, g] = sum over n, p of x[n, rows[t] + steps[p], g] * y[n, p, g]``.

    Units: block of taps, block of channels; words as in plans.pairs.weight_grad. The channels of a
    unit are a whole number of vectors: the last block overlaps the one before.
    """
    all_rows, all_steps, all_y, units = (
        word(words, 0), word(words, 1), word(words, 2), word(words, 3),
    )  # fmt: skip
    height, samples, positions, groups = (
        load(words, 4), load(words, 5), load(words, 6), load(words, 7),
    )  # fmt: skip
    x_n, y_n = load(words, 8), load(words, 9)
    LANES = lanes_of(w)
    WIDTH, depths = VECTORS * LANES, samples * positions
    sums_ = zeros_like(w, (BLOCK + MOST_ROWS) * WIDTH)
    offsets = np.empty(BLOCK + MOST_ROWS + 2 * DEPTH, np.int64)
    sums, rows = data(sums_), data(offsets)
    x_steps = shifted(rows, BLOCK + MOST_ROWS)
    y_steps = shifted(x_steps, DEPTH)
    for unit in range(start, stop):
        line = shifted(units, unit * WEIGHTS_UNIT)
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
        for r in range(end - begin):
            copy_vectors(sums, r * WIDTH, w, (begin + r) * groups + lane, vectors * LANES)
    keep(sums_, offsets)
