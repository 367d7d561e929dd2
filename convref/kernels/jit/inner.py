"""Channels in the vectors: dot products, for few results a position of many channels side by side.

    out[places[m] + k * out_k] = sum over q, i of  a[rows[m] + starts[q] + i] * panel[k, at[q] + i]

All channels that a tap sees lie in a row, and so do those of taps that see one cell after the
other: such stretches are multiplied by weights in the same order, which a unit packs first.
"""

import numpy as np

from convref.kernels.jit.dots import ROWS, SUMS, columns_at_once, dot_tile
from convref.kernels.jit.flat import aligned, data, empty_like, keep, load, shifted, store, word
from convref.kernels.jit.kept import compiled
from convref.kernels.jit.vectors import lanes_of

TILE = 32
"""Positions that all rows of the panel meet before the next ones."""
UNIT, PHASE = 5, 4
"""Integers that say what a unit is, and what a phase."""


def contract(words, x, w, out, start, stop):
    """Units: sample, group, positions of all phases; words as in plans.inner.contract."""
    rows, places, starts, at, taps = (
        word(words, 0), word(words, 1), word(words, 2), word(words, 3), word(words, 4),
    )  # fmt: skip
    phases, units, T, lanes, channels = (
        word(words, 5), word(words, 6), load(words, 7), load(words, 8), load(words, 9),
    )  # fmt: skip
    x_n, x_g, w_g, w_c, w_k = (
        load(words, 10), load(words, 11), load(words, 12), load(words, 13), load(words, 14),
    )  # fmt: skip
    out_n, out_g, out_k = load(words, 15), load(words, 16), load(words, 17)
    depth, LANES = T * channels, lanes_of(out)
    panel_, sums_ = empty_like(out, lanes * depth + LANES), empty_like(out, SUMS)
    offsets = np.empty(lanes, np.int64)
    panel, sums, panel_rows = aligned(data(panel_)), data(sums_), data(offsets)
    packed = -1
    for unit in range(start, stop):
        line = shifted(units, unit * UNIT)
        sample, group, m, end = load(line, 0), load(line, 1), load(line, 2), load(line, 3)
        phase = load(line, 4)
        for k in range(lanes if packed != group else 0):
            store(panel_rows, k, k * depth)
            pack(w, group * w_g + k * w_k, w_c, channels, taps, T, panel, k * depth)
        packed = group
        seen, to = shifted(x, sample * x_n + group * x_g), sample * out_n + group * out_g
        while m < end:
            way = shifted(phases, phase * PHASE)
            first, until = load(way, 0), min(load(way, 3), end)
            for p in range(m, until, TILE):
                sum_up(
                    panel, panel_rows, shifted(at, first), lanes, seen, rows, p,
                    min(p + TILE, until), shifted(starts, first), load(way, 1), load(way, 2), sums,
                    out, to, out_k, places,
                )  # fmt: skip
            m, phase = until, phase + 1
    keep(panel_, sums_, offsets)


@compiled(fastmath=False)
def pack(w, w_at, w_c, channels, taps, T, panel, to):
    """The weights of a result's channel, all channels that a tap sees before the next tap."""
    for t in range(T):
        for c in range(channels):
            store(panel, to + t * channels + c, load(w, w_at + load(taps, t) + c * w_c))


@compiled(fastmath=False)
def sum_up(
    panel, panel_rows, at, lanes, x, rows, p, p_end, starts, stretches, length, sums, out, out_at,
    out_k, places,
):  # fmt: skip
    """The sums of positions p to p_end, by rows of the panel in tiles as equal as can be."""
    heights = -(-lanes // ROWS)
    for number in range(heights):
        k = lanes * number // heights
        height, q = lanes * (number + 1) // heights - k, p
        while q < p_end:
            width = columns_at_once(height, p_end - q)
            dot_tile(
                height, width, panel, panel_rows, k, at, x, rows, q, starts, stretches, length, sums
            )
            for r in range(height):
                to = out_at + (k + r) * out_k
                for j in range(width):
                    store(out, to + load(places, q + j), load(sums, r * width + j))
            q += width
