"""Groups of few channels, or of one, channels last: those of several groups in the lanes.

    out[places[m] + lane] = sum over t, c of  x[rows[m] + steps[t] + of(lane, c)] * w[t, c, lane]

where ``of(lane, c)`` is channel c of the lane's group. What a cell shows is brought to scratch once
for each c, in every lane what that lane needs of it; then channels are taps that see other cells,
and all slide along rows of positions (`slide`).

Maps are done slab by slab, as in `beside`, so that what a slab sees stays in the cache.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from convref.kernels.jit.beside import SLAB, SPAN, SQUARE, clear, slide_slab
from convref.kernels.jit.dense import finite
from convref.kernels.jit.flat import (
    aligned,
    data,
    empty_like,
    keep,
    load,
    pointer,
    shifted,
    store,
    word,
)
from convref.kernels.jit.kept import compiled
from convref.kernels.jit.micro import pair_tile
from convref.kernels.jit.rows import MOST_ROWS
from convref.kernels.jit.vectors import by_shape, lanes_of, shuffled, vector_lanes

UNIT, SUM = 3, 6
"""Integers that say what a unit is, and what one of the weight gradient is."""


def contract(words, x, w, out, start, stop):
    """Units: slab, sample, block of channels; words as in plans.grouped.contract.

    Neighbouring blocks share lines of memory, so they have their turn one after the other.
    """
    tiles, spans, pieces, ways = word(words, 0), word(words, 1), word(words, 2), word(words, 3)
    slabs, squares, targets, holes = (
        word(words, 4), word(words, 5), word(words, 6), word(words, 7),
    )  # fmt: skip
    units, broken, lines, w_lanes, lanes = (
        word(words, 8), word(words, 9), word(words, 10), word(words, 11), word(words, 12),
    )  # fmt: skip
    blocks, phases, channels, T, cells = (
        load(words, 13), load(words, 14), load(words, 15), load(words, 16), load(words, 17),
    )  # fmt: skip
    x_n, x_i, w_g, w_c, out_n = (
        load(words, 18), load(words, 19), load(words, 20), load(words, 21), load(words, 22),
    )  # fmt: skip
    LANES = lanes_of(out)
    canvas_ = empty_like(out, (cells + 1) * LANES)
    panels_ = empty_like(out, (blocks * T + 1) * LANES)
    packed_ = np.zeros(blocks, np.int64)
    canvas, panels, packed, laid = aligned(data(canvas_)), aligned(data(panels_)), data(packed_), -1
    for unit in range(start, stop):
        line = shifted(units, unit * UNIT)
        slab, sample, block = load(line, 0), load(line, 1), load(line, 2)
        lane, weights = load(lanes, block), shifted(panels, block * T * LANES)
        if load(packed, block) == 0:
            pack(w, lane // channels * w_g, w_lanes, w_c, channels, weights, T)
            store(packed, block, 1)
            if load(broken, 0) >= 0 and not finite(weights, lines, T, LANES):
                store(broken, 0, 1)
        line = shifted(slabs, slab * SLAB)
        if slab != laid:
            clear(canvas, holes, load(line, 2), load(line, 3))
            laid = slab
        bring(
            channels, x, sample * x_n + lane, x_i, squares, load(line, 0), load(line, 1), targets,
            canvas, LANES,
        )  # fmt: skip
        slide_slab(
            slab, phases, spans, ways, pieces, tiles, canvas, weights, out,
            sample * out_n + lane,
        )  # fmt: skip
    keep(canvas_, panels_, packed_)


def weight_grad(words, x, y, w, start, stop):
    """``w[g, k, c, t] = sum over n, p of x[n, rows[t] + steps[p], g, c] * y[n, p, g, k]``.

    A lane is a channel of x; to it y is brought once for each filter k of its group.
    Units: piece of all slabs of all samples, block of channels, block of taps; words as in
    plans.grouped.weight_grad.
    """
    rows, steps, slabs, spans = word(words, 0), word(words, 1), word(words, 2), word(words, 3)
    squares, targets, holes, units, lines, w_lanes = (
        word(words, 4), word(words, 5), word(words, 6), word(words, 7), word(words, 8),
        word(words, 9),
    )  # fmt: skip
    samples, filters, height, vectors, cells, most, taps = (
        load(words, 10), load(words, 11), load(words, 12), load(words, 13), load(words, 14),
        load(words, 15), load(words, 16),
    )  # fmt: skip
    x_n, x_i, y_n, y_i, w_g, w_k = (
        load(words, 17), load(words, 18), load(words, 19), load(words, 20), load(words, 21),
        load(words, 22),
    )  # fmt: skip
    LANES = lanes_of(w)
    width = vectors * LANES
    pitch = (taps + MOST_ROWS) * width
    canvas_ = empty_like(w, cells * width + LANES)
    dy_ = empty_like(w, most * filters * width + LANES)
    sums_ = empty_like(w, filters * pitch + LANES)
    canvas, dy, sums, laid = aligned(data(canvas_)), aligned(data(dy_)), aligned(data(sums_)), -1
    for unit in range(start, stop):
        line = shifted(units, unit * SUM)
        lane, begin, end, out_at = load(line, 0), load(line, 1), load(line, 2), load(line, 3)
        fresh = True
        for part in range(load(line, 4), load(line, 5)):
            slab, sample = part // samples, part % samples
            line = shifted(slabs, slab * SLAB)
            first, count = load(line, 4), load(line, 5)
            if slab != laid:
                clear(canvas, holes, load(line, 2), load(line, 3))
                laid = slab
            seen = shifted(steps, load(spans, slab * SPAN))
            bring(
                1, x, sample * x_n + lane, x_i, squares, load(line, 0), load(line, 1), targets,
                canvas, width,
            )  # fmt: skip
            at = sample * y_n + first * y_i + lane
            for p in range(count):
                deal_all(filters, y, at + p * y_i, dy, load(lines, p), width)
            for k in range(filters):
                for r in range(begin, end, height):
                    pair_tile(
                        height, vectors, canvas, rows, r, seen, dy, k * width, lines, count,
                        sums, k * pitch + (r - begin) * width, width, fresh,
                    )  # fmt: skip
            fresh = False
        for k in range(filters):
            at = out_at + lane // filters * w_g + k * w_k + begin
            send(shifted(sums, k * pitch), width, end - begin, w, at, w_lanes)
    keep(canvas_, dy_, sums_)


@compiled(fastmath=False)
def pack(w, at, lanes_at, c_step, channels, panel, T):
    """The weights of all lanes for ``T`` pairs of a tap and a channel, the channel the faster."""
    LANES = lanes_of(panel)
    for t in range(T):
        first = at + t // channels + t % channels * c_step
        for lane in range(LANES):
            store(panel, t * LANES + lane, load(w, first + load(lanes_at, lane)))


@compiled(fastmath=False, inline="always")
def bring(channels, source, at, step, squares, begin, end, targets, canvas, width):
    """What the cells of the canvas show, as `deal_all` has it, at their targets.

    Both stand in their callers' code, where the number of channels may be a constant.
    """
    for number in range(begin, end):
        run = shifted(squares, number * SQUARE)
        first, to = at + load(run, 0) * step, shifted(targets, load(run, 1))
        for i in range(load(run, 2)):
            deal_all(channels, source, first + i * step, canvas, load(to, i), width)


@compiled(fastmath=False)
def send(sums, width, count, target, at, lanes_at):
    """``target[at + t + lanes_at[lane]] = sums[t * width + lane]``."""
    for lane in range(width):
        to = at + load(lanes_at, lane)
        for t in range(count):
            store(target, to + t, load(sums, t * width + lane))


@compiled(fastmath=False, inline="always")
def deal_all(channels, source, at, target, to, width):
    """`deal` for the lanes of several vectors, ``width`` in all."""
    for lane in range(0, width, lanes_of(target)):
        deal(channels, source, at + lane, target, to + lane, width)


def deal(channels, source, at, target, to, pitch):
    """``target[to + c * pitch + lane] = source[at + lane - lane % channels + c]``."""
    LANES = lanes_of(target)
    for c in range(channels):
        for lane in range(LANES):
            store(target, to + c * pitch + lane, load(source, at + lane - lane % channels + c))


@overload(deal)
def _compiled(channels, source, at, target, to, pitch):
    def shuffles(channels, source, at, target, to, pitch):
        _deal(channels, source, at, target, to, pitch)

    return deal if isinstance(source.dtype, types.Complex) else shuffles


@intrinsic
def _deal(typing_context, channels, source, at, target, to, pitch):
    i = types.int64

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        size, index = source.dtype.bitwidth // 8, ir.IntType(64)
        LANES = vector_lanes(size)
        vector = ir.VectorType(context.get_data_type(source.dtype), LANES).as_pointer()
        first, last = (
            builder.gep(pointer(context, builder, signature, args, number), [args[number + 1]])
            for number in (1, 3)
        )
        seen = builder.load(builder.bitcast(first, vector), align=size)

        def dealt(channels: int, _: int) -> None:
            for c in range(channels):
                lanes = [lane - lane % channels + c for lane in range(LANES)]
                place = builder.bitcast(builder.gep(last, [builder.mul(index(c), args[5])]), vector)
                builder.store(shuffled(builder, seen, seen, lanes), place, align=size)

        shapes = tuple((2**power, 1) for power in range(LANES.bit_length() - 1))
        by_shape(builder, args[0], index(1), shapes, dealt)
        return context.get_dummy_value()

    return types.void(i, source, i, target, i, i), generate
