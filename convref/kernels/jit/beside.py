"""Depthwise with channels first: a vector of channels is brought side by side, in scratch.

    out[g, places[m]] = sum over d of  x[g, rows[m] + steps[d]] * w[g, taps[d]]

With positions in its lanes a tile would read a row anew for every tap, at addresses that straddle
lines of the cache. So squares of numbers are transposed in registers, from (channels, cells) to
(cells, channels): then every vector is read as it lies, whatever the stride and dilation, rows of
taps slide along rows of positions (`slide`), and the results go back by the same squares.

Large maps are done slab by slab: so many positions that what they see stays in the cache.
"""

from convref.kernels.jit.across import transpose
from convref.kernels.jit.dense import finite
from convref.kernels.jit.flat import aligned, data, empty_like, keep, load, shifted, store, word
from convref.kernels.jit.kept import compiled
from convref.kernels.jit.micro import pair_tile
from convref.kernels.jit.rows import MOST_ROWS
from convref.kernels.jit.slide import PIECE, TILE, WAY, slide_tile
from convref.kernels.jit.vectors import lanes_of

UNIT, SLAB, SPAN, SQUARE = 3, 6, 2, 3
"""Integers that say what a unit, a slab, a phase of a slab, and a square are."""


def contract(words, x, w, out, start, stop):
    """Units: block of channels, slab, sample; words as in plans.beside.contract."""
    tiles, spans, pieces, ways = word(words, 0), word(words, 1), word(words, 2), word(words, 3)
    slabs, squares, targets, holes = (
        word(words, 4), word(words, 5), word(words, 6), word(words, 7),
    )  # fmt: skip
    units, broken, lines = word(words, 8), word(words, 9), word(words, 10)
    x_lanes, w_lanes, out_lanes = word(words, 11), word(words, 12), word(words, 13)
    phases, covers, T, cells, most = (
        load(words, 14), load(words, 15), load(words, 16), load(words, 17), load(words, 18),
    )  # fmt: skip
    x_n, x_limit, w_limit, out_n = (
        load(words, 19), load(words, 20), load(words, 21), load(words, 22),
    )  # fmt: skip
    x_g, w_g, out_g = load(x_lanes, 1), load(w_lanes, 1), load(out_lanes, 1)
    LANES = lanes_of(out)
    canvas_, weights_ = empty_like(out, (cells + 1) * LANES), empty_like(out, (T + 1) * LANES)
    result_ = empty_like(out, (most + 1) * LANES)
    canvas, weights, result = (
        aligned(data(canvas_)),
        aligned(data(weights_)),
        aligned(data(result_)),
    )
    packed = laid = -1
    for unit in range(start, stop):
        line = shifted(units, unit * UNIT)
        lane, slab, sample = load(line, 0), load(line, 1), load(line, 2)
        if lane != packed:
            for t in range(0, T, LANES):
                to = shifted(lines, t)
                square(w, lane * w_g + t, w_lanes, w_limit, weights, to, min(LANES, T - t))
            packed = lane
            if load(broken, 0) >= 0 and not finite(weights, lines, T, LANES):
                store(broken, 0, 1)
        line = shifted(slabs, slab * SLAB)
        first, count = load(line, 4), load(line, 5)
        if slab != laid:
            clear(canvas, holes, load(line, 2), load(line, 3))
            for i in range(0 if covers else count * LANES):
                store(result, i, 0)
            laid = slab
        bring(
            x, sample * x_n + lane * x_g, x_lanes, x_limit, squares, load(line, 0), load(line, 1),
            targets, canvas,
        )  # fmt: skip
        slide_slab(slab, phases, spans, ways, pieces, tiles, canvas, weights, result, 0)
        send(result, lines, count, out, sample * out_n + lane * out_g + first, out_lanes)
    keep(canvas_, weights_, result_)


def weight_grad(words, x, y, w, start, stop):
    """``w[g, taps[m]] = sum over n, p of x[n, g, rows[m] + steps[p]] * y[n, g, p]``.

    Units: block of channels; words as in plans.beside.weight_grad.
    """
    rows, steps, slabs, spans = word(words, 0), word(words, 1), word(words, 2), word(words, 3)
    squares, targets, holes = word(words, 4), word(words, 5), word(words, 6)
    lines, units = word(words, 7), word(words, 8)
    x_lanes, y_lanes, w_lanes = word(words, 9), word(words, 10), word(words, 11)
    slab_count, height, T, cells, most, samples = (
        load(words, 12), load(words, 13), load(words, 14), load(words, 15), load(words, 16),
        load(words, 17),
    )  # fmt: skip
    x_n, x_limit, y_n, y_limit = (
        load(words, 18), load(words, 19), load(words, 20), load(words, 21),
    )  # fmt: skip
    x_g, y_g, w_g = load(x_lanes, 1), load(y_lanes, 1), load(w_lanes, 1)
    LANES = lanes_of(w)
    canvas_, dy_ = empty_like(w, (cells + 1) * LANES), empty_like(w, (most + 1) * LANES)
    sums_ = empty_like(w, (T + MOST_ROWS + 1) * LANES)
    canvas, dy, sums = aligned(data(canvas_)), aligned(data(dy_)), aligned(data(sums_))
    laid = -1
    for unit in range(start, stop):
        lane = load(units, unit)
        fresh = True
        for slab in range(slab_count):
            line = shifted(slabs, slab * SLAB)
            first, count = load(line, 4), load(line, 5)
            if slab != laid:
                clear(canvas, holes, load(line, 2), load(line, 3))
                laid = slab
            seen = shifted(steps, load(spans, slab * SPAN))
            for sample in range(samples):
                bring(
                    x, sample * x_n + lane * x_g, x_lanes, x_limit, squares, load(line, 0),
                    load(line, 1), targets, canvas,
                )  # fmt: skip
                at = sample * y_n + lane * y_g + first
                for p in range(0, count, LANES):
                    to = shifted(lines, p)
                    square(y, at + p, y_lanes, y_limit, dy, to, min(LANES, count - p))
                for r in range(0, T, height):
                    pair_tile(
                        height, 1, canvas, rows, r, seen, dy, 0, lines, count,
                        sums, r * LANES, LANES, fresh,
                    )  # fmt: skip
                fresh = False
        send(sums, lines, T, w, lane * w_g, w_lanes)
    keep(canvas_, dy_, sums_)


@compiled(fastmath=False)
def slide_slab(slab, phases, spans, ways, pieces, tiles, canvas, weights, out, out_at):
    """Fill all tiles of a slab, phase by phase; their places count from ``out_at`` on."""
    for phase in range(phases):
        span, way = shifted(spans, (slab * phases + phase) * SPAN), shifted(ways, phase * WAY)
        some, piece_count = shifted(pieces, load(way, 0) * PIECE), load(way, 1)
        stride, cell, w_step = load(way, 2), load(way, 3), load(way, 4)
        for number in range(load(span, 0), load(span, 1)):
            tile = shifted(tiles, number * TILE)
            slide_tile(
                load(tile, 2), stride, canvas, load(tile, 0), cell, weights, w_step, some,
                piece_count, out, out_at + load(tile, 1), load(tile, 3),
            )  # fmt: skip


@compiled(fastmath=False)
def clear(panel, holes, begin, end):
    """Set to zero what no square brings."""
    for hole in range(begin, end):
        for i in range(load(holes, 2 * hole), load(holes, 2 * hole + 1)):
            store(panel, i, 0)


@compiled(fastmath=False)
def bring(source, at, lanes_at, limit, squares, begin, end, targets, panel):
    """``panel[targets[i + j] + lane] = source[at + s + j + lanes_at[lane]]``, j below a length.

    A square is (s, i, length), of at most LANES numbers side by side; ``limit`` is the source's.
    """
    for i in range(begin, end):
        line = shifted(squares, i * SQUARE)
        to = shifted(targets, load(line, 1))
        square(source, at + load(line, 0), lanes_at, limit, panel, to, load(line, 2))


@compiled(fastmath=False)
def square(source, at, lanes_at, limit, panel, lines, length):
    """``panel[lines[j] + lane] = source[at + j + lanes_at[lane]]``: whole vectors within limit."""
    LANES = lanes_of(panel)
    if at + load(lanes_at, LANES - 1) + LANES <= limit:
        transpose(source, at, lanes_at, panel, 0, lines, length, 1)
    else:
        for lane in range(LANES):
            for j in range(length):
                value = load(source, at + j + load(lanes_at, lane))
                store(panel, load(lines, j) + lane, value)


@compiled(fastmath=False)
def send(panel, lines, count, target, at, lanes_at):
    """``target[at + i + lanes_at[lane]] = panel[lines[i] + lane]``; the last square overlaps."""
    LANES = lanes_of(panel)
    if count < LANES:
        for lane in range(LANES):
            for i in range(count):
                value = load(panel, load(lines, i) + lane)
                store(target, at + i + load(lanes_at, lane), value)
    for i in range(0, count - LANES + 1, LANES):
        transpose(panel, 0, shifted(lines, i), target, at + i, lanes_at, LANES, 1)
    if count > LANES and count % LANES:
        i = count - LANES
        transpose(panel, 0, shifted(lines, i), target, at + i, lanes_at, LANES, 1)
