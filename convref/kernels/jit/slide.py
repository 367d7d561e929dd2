"""A micro-kernel for channels convolved apart: a row of taps slides along a row of positions.

    out[out_at + j * pitch + lane] = sum over q, k of
        x[x_at + x_steps[q] + (j * stride + k) * cell + lane] * w[w_steps[q] + k * w_step + lane]

for the positions j of a row, and k below ``lengths[q]``: a kernel is cut into pieces of
neighbouring taps, a row of it into one or two. Every lane is a channel.

Why. A tile that reads a number of x for each product is bound by its reads: one vector of 64 bytes
a cycle, and one for each multiply-add, leaves no room for anything else. But neighbouring positions
see nearly the same. With the taps of a piece in registers, each vector of x is read once and meets
every position that sees it: 14 positions and 7 taps read 20 vectors of x and 7 of w for 98
multiply-adds. The sums are taken in the order of q and k, as in every other tile.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from convref.kernels.jit.flat import load, pointer, store
from convref.kernels.jit.micro import SCARCE
from convref.kernels.jit.vectors import by_shape, in_this_order, multiply_add, vector_lanes

POSITIONS = (8, 6, 4, 3, 2, 1) if SCARCE else (14, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1)
"""Positions of a tile: their sums, the taps of a piece and a vector of x fill the registers."""
TAPS = (1, 2, 3, 5) if SCARCE else (1, 2, 3, 4, 5, 7)
"""Taps of a piece."""
STRIDES = (1, 2)
"""Further apart, positions see hardly anything in common."""
PIECE, TILE, WAY = 3, 4, 5
"""Integers that say what a piece, a tile, and the way of the taps of a phase are: see `pieces`."""


def slide_tile(positions, stride, x, x_at, cell, w, w_step, pieces, count, out, out_at, pitch):
    """Fill a tile: the equation above, as it runs without JIT.

    A piece is three integers: ``x_steps[q]``, ``w_steps[q]``, ``lengths[q]``.
    """
    for j in range(positions):
        for lane in range(vector_lanes(out.itemsize)):
            total = out.dtype.type(0)
            for q in range(count):
                for k in range(pieces[q * PIECE + 2]):
                    seen = x_at + pieces[q * PIECE] + (j * stride + k) * cell
                    total += x[seen + lane] * w[pieces[q * PIECE + 1] + k * w_step + lane]
            out[out_at + j * pitch + lane] = total


@overload(slide_tile)
def _compiled(positions, stride, x, x_at, cell, w, w_step, pieces, count, out, out_at, pitch):
    LANES = vector_lanes(x.dtype.bitwidth // 8)

    def tile(positions, stride, x, x_at, cell, w, w_step, pieces, count, out, out_at, pitch):
        _slide(positions, stride, x, x_at, cell, w, w_step, pieces, count, out, out_at, pitch)

    def loops(positions, stride, x, x_at, cell, w, w_step, pieces, count, out, out_at, pitch):
        for j in range(positions):
            for lane in range(LANES):
                store(out, out_at + j * pitch + lane, 0)
                total = load(out, out_at + j * pitch + lane)
                for q in range(count):
                    seen = x_at + load(pieces, q * PIECE) + j * stride * cell + lane
                    tap = load(pieces, q * PIECE + 1) + lane
                    for k in range(load(pieces, q * PIECE + 2)):
                        total += load(x, seen + k * cell) * load(w, tap + k * w_step)
                store(out, out_at + j * pitch + lane, total)

    return loops if isinstance(x.dtype, types.Complex) else tile


@intrinsic
def _slide(
    typing_context, positions, stride, x, x_at, cell, w, w_step, pieces, count, out, out_at, pitch
):
    i = types.int64
    signature = types.void(i, i, x, i, i, w, i, pieces, i, out, i, i)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        def tile(positions: int, stride: int) -> None:
            _tile(context, builder, signature, args, positions, stride)

        shapes = tuple((positions, stride) for positions in POSITIONS for stride in STRIDES)
        by_shape(builder, args[0], args[1], shapes, tile)
        return context.get_dummy_value()

    return signature, generate


def _tile(
    context: Any, builder: ir.IRBuilder, signature: Any, args: Any, positions: int, stride: int
) -> None:
    """One tile with all its sums in registers: a loop over pieces, a branch for each length."""
    dtype = signature.args[2].dtype
    size, index = dtype.bitwidth // 8, ir.IntType(64)
    vector = ir.VectorType(context.get_data_type(dtype), vector_lanes(size))
    x, w, pieces, out = (
        pointer(context, builder, signature, args, position) for position in (2, 5, 7, 9)
    )
    x_at, cell, w_step, count, out_at, pitch = (args[n] for n in (3, 4, 6, 8, 10, 11))
    x = builder.gep(x, [x_at])

    def vector_at(address: ir.Value) -> ir.Value:
        return builder.bitcast(address, vector.as_pointer())

    def stepped(address: ir.Value, step: ir.Value, number: int) -> list[ir.Value]:
        """So many addresses, each a step after the one before."""
        addresses = [address]
        for _ in range(number - 1):
            addresses.append(builder.gep(addresses[-1], [step]))
        return addresses

    entry = builder.block
    loop, following, done = map(builder.append_basic_block, ("piece", "following", "stored"))
    builder.branch(loop)
    builder.position_at_end(loop)
    q = builder.phi(index)
    sums = [builder.phi(vector) for _ in range(positions)]
    line = builder.gep(pieces, [builder.mul(q, index(PIECE))])
    x_step, w_first, length = (
        builder.load(builder.gep(line, [index(number)])) for number in range(PIECE)
    )
    switch = builder.switch(length, following)
    ends = [(builder.block, sums)]
    for taps in TAPS:
        block = builder.append_basic_block(f"taps{taps}")
        switch.add_case(index(taps), block)
        builder.position_at_end(block)
        firsts = stepped(builder.gep(w, [w_first]), w_step, taps)
        weights = [builder.load(vector_at(address), align=size) for address in firsts]
        totals: list[ir.Value] = list(sums)
        cells = (positions - 1) * stride + taps
        for i, address in enumerate(stepped(builder.gep(x, [x_step]), cell, cells)):
            met = [(j, i - j * stride) for j in range(positions) if 0 <= i - j * stride < taps]
            if not met:
                continue
            seen = builder.load(vector_at(address), align=size)
            products = [multiply_add(builder, seen, weights[k], totals[j]) for j, k in met]
            for (j, _), value in zip(met, in_this_order(builder, products), strict=True):
                totals[j] = value
        ends.append((builder.block, totals))
        builder.branch(following)

    builder.position_at_end(following)
    after = [builder.phi(vector) for _ in sums]
    for block, totals in ends:
        for phi, value in zip(after, totals, strict=True):
            phi.add_incoming(value, block)
    next_q = builder.add(q, index(1))
    for phi, start, value in zip(
        (q, *sums),
        (index(0), *(ir.Constant(vector, None) for _ in sums)),
        (next_q, *after),
        strict=True,
    ):
        phi.add_incoming(start, entry)
        phi.add_incoming(value, following)
    builder.cbranch(builder.icmp_signed("<", next_q, count), loop, done)

    builder.position_at_end(done)
    for address, value in zip(
        stepped(builder.gep(out, [out_at]), pitch, positions), after, strict=True
    ):
        builder.store(value, vector_at(address), align=size)
