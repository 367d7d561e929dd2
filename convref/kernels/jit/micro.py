"""The micro-kernels: register tiles of a matrix product, near the rate of the multipliers.

A tile of rows x lanes sums receives the products of ``depth`` pairs:

    out[out_at + places[r_at + r] + lane] += sum over d of
        a[rows[r_at + r] + a_steps[d]] * b[b_at + b_steps[d] + lane]

where ``places`` may also be a number, and row r goes to ``r * places``. Rows of one place must be
the same row, which is then summed once.

Of `a`, one number at a time is read where it lies and broadcast to a vector. Its place is an outer
sum of two offset vectors: a matrix of any strides is of this form, and so are the columns of a
convolution, ``canvas[tap[t] + origin[p]]``; so this side is never packed. Of `b`, neighbours are
read as whole vectors: from a panel packed for the purpose, or in place where they lie side by side.
Every sum is taken in the order of d, by fused multiply-adds, in whichever tile it falls.

Why these tiles. Two multiply-add units of latency 4 need 8 independent sums in flight; what bounds
a tile from above is the register file: 24 of the 32 registers of AVX-512 or NEON hold sums, as 6
rows of 4 vectors, 8 of 3 or 12 of 2. All of them take 24 multiply-adds at each d, in 12 cycles or
more, but 10, 11 or 14 numbers and vectors to be read; and each row has an address of its own, for
which an x86 has registers with 6 or 8 rows, and not with 12: these are read too. A processor that
begins two multiply-adds a cycle begins two reads as well, so with 6 rows half of these are left
over, for the offsets, and to ask memory for what comes next. Lanes are cut into tiles of nearly
equal numbers of vectors, 4 at most (AVX2 has 16 registers, for 12 sums: 3 vectors by 4 rows, or 2
by 6). The lower tiles are for the rest of a matrix, the wide ones for matrices of few rows, as
those of positions in the lanes are.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from convref.kernels.jit.flat import empty_like, load, pointer, store
from convref.kernels.jit.kept import named_after
from convref.kernels.jit.vectors import (
    broadcast,
    by_shape,
    in_this_order,
    multiply_add,
    prefetch,
    vector_bytes,
    vector_lanes,
)

SCARCE = vector_bytes() == 32
"""Whether there are 16 vector registers (AVX2), not 32 (AVX-512, NEON)."""
HEIGHTS = (6, 4, 3, 2, 1) if SCARCE else (12, 10, 8, 6, 4, 2, 1)
"""Rows of the high tiles of one or two vectors."""
VECTORS = 2
"""Vectors in a row of those, at most."""
BROAD_HEIGHTS = {3: (4, 3, 2, 1)} if SCARCE else {3: (8, 7, 6, 4, 2, 1), 4: (6, 5, 4, 3, 2, 1)}
"""Rows of the high tiles of more vectors, by their number."""
MOST_VECTORS = max(BROAD_HEIGHTS)
FULL = 4 if SCARCE else 8
"""Vectors in a row of the wide tiles of one or two rows; half as many with more rows."""
TALLEST = 6
"""Rows of the highest wide tile."""
HIGH = tuple((rows, vectors) for rows in HEIGHTS for vectors in (VECTORS, 1))
SLIM = tuple((rows, 1) for rows in HEIGHTS)
BROAD = tuple((rows, vectors) for vectors, heights in BROAD_HEIGHTS.items() for rows in heights)
WIDE = (
    *((rows, vectors) for rows in (1, 2) for vectors in (FULL, FULL // 2, FULL // 4)),
    *((rows, vectors) for rows in range(3, TALLEST + 1) for vectors in (FULL // 2, FULL // 4)),
)


def high_tile(
    height, vectors, a, rows, r_at, a_steps, b, b_at, b_steps, depth, out, out_at, places, fresh,
    *ahead,
):  # fmt: skip
    """Add to (with ``fresh`` fill) a tile of HIGH or BROAD: the equation above, as without JIT.

    ``ahead``, if given, is (distance,). Then compiled code asks memory, at every depth, for what
    lies so far on in a from what the first row reads.
    """
    lanes, numbers = np.arange(vectors * vector_lanes(out.itemsize)), np.arange(height)
    to = out_at + np.add.outer(row_place(places, r_at, numbers), lanes)
    sums = np.zeros(to.shape, out.dtype) if fresh else out[to]
    for d in range(depth):
        column = a[rows[r_at + numbers] + a_steps[d]]
        sums += np.multiply.outer(column, b[b_at + b_steps[d] + lanes])
    out[to] = sums


def wide_tile(
    height, vectors, a, rows, r_at, a_steps, b, b_at, b_steps, depth, out, out_at, places, fresh,
    *ahead,
):  # fmt: skip
    """Add to (with ``fresh`` fill) a tile of WIDE.

    ``ahead``, if given, is (distance,). Then compiled code asks memory, at every depth, for what
    lies so far on in b.
    """
    high_tile(
        height, vectors, a, rows, r_at, a_steps, b, b_at, b_steps, depth, out, out_at, places, fresh
    )  # fmt: skip


def slim_tile(
    height, vectors, a, rows, r_at, a_steps, b, b_at, b_steps, depth, out, out_at, places, fresh
):  # fmt: skip
    """A tile of SLIM, on a panel in which each vector is followed by the next.

    It takes as many numbers as it does products, so the steps in b, which go without saying, are
    not read, and memory is not asked for anything ahead.
    """
    high_tile(
        height, vectors, a, rows, r_at, a_steps, b, b_at, b_steps, depth, out, out_at, places, fresh
    )  # fmt: skip


def pair_tile(
    height, vectors, a, rows, r_at, a_steps, b, b_at, b_steps, depth, out, out_at, places, fresh
):  # fmt: skip
    """A tile of HIGH, but of `a` too each lane has a number of its own."""
    lanes = np.arange(vectors * vector_lanes(out.itemsize))
    for r in range(height):
        to = out_at + r * places + lanes
        sums = np.zeros(to.shape, out.dtype) if fresh else out[to]
        for d in range(depth):
            sums += a[rows[r_at + r] + a_steps[d] + lanes] * b[b_at + b_steps[d] + lanes]
        out[to] = sums


def row_place(places, r_at, r):
    """Where row r of a tile goes."""
    return places[r_at + r] if isinstance(places, np.ndarray) else r * places


@overload(row_place)
def _row_place(places, r_at, r):
    if isinstance(places, types.Integer):
        return lambda places, r_at, r: r * places
    return lambda places, r_at, r: load(places, r_at + r)


def _compile(
    function: Callable[..., None], shapes: tuple[tuple[int, int], ...], asks: str = "",
    paired: int = 0, panel: bool = False,
) -> None:  # fmt: skip
    """Let Numba compile calls of a tile to vectors, or for complex numbers to loops.

    ``asks`` is the operand of which memory is asked for what comes next; with ``panel`` the lines
    of b follow each other.
    """

    @intrinsic
    def product(
        typing_context, height, vectors, a, rows, r_at, a_steps, b, b_at, b_steps, depth, out,
        out_at, places, fresh, ahead,
    ):  # fmt: skip
        i = types.int64
        signature = types.void(
            i, i, a, rows, i, a_steps, b, i, b_steps, i, out, i, places, fresh, ahead
        )

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            def tile(height: int, vectors: int) -> None:
                _tile(context, builder, signature, args, height, vectors, asks, paired, panel)

            by_shape(builder, args[0], args[1], shapes, tile)
            return context.get_dummy_value()

        return signature, generate

    @overload(function)
    def compiled(
        height, vectors, a, rows, r_at, a_steps, b, b_at, b_steps, depth, out, out_at, places,
        fresh, *ahead,
    ):  # fmt: skip
        LANES = vector_lanes(a.dtype.bitwidth // 8)

        def tile(
            height, vectors, a, rows, r_at, a_steps, b, b_at, b_steps, depth, out, out_at, places,
            fresh, *ahead,
        ):  # fmt: skip
            product(
                height, vectors, a, rows, r_at, a_steps, b, b_at, b_steps, depth, out, out_at,
                places, fresh, ahead,
            )  # fmt: skip

        def loops(
            height, vectors, a, rows, r_at, a_steps, b, b_at, b_steps, depth, out, out_at, places,
            fresh, *ahead,
        ):  # fmt: skip
            sums = empty_like(out, height * vectors * LANES)
            for i in range(sums.size):
                at = out_at + row_place(places, r_at, i // (vectors * LANES))
                lane = i % (vectors * LANES)
                total = sums.dtype.type(0) if fresh else load(out, at + lane)
                for d in range(depth):
                    row = load(rows, r_at + i // (vectors * LANES)) + load(a_steps, d)
                    total += load(a, row + paired * lane) * load(b, b_at + load(b_steps, d) + lane)
                sums[i] = total
            for i in range(sums.size):
                at = out_at + row_place(places, r_at, i // (vectors * LANES))
                store(out, at + i % (vectors * LANES), sums[i])

        return named_after(function, loops if isinstance(a.dtype, types.Complex) else tile)


_compile(high_tile, HIGH + BROAD, asks="a")
_compile(wide_tile, WIDE, asks="b")
_compile(slim_tile, SLIM, panel=True)
_compile(pair_tile, HIGH, paired=1)


def _tile(
    context: Any, builder: ir.IRBuilder, signature: Any, args: Any, height: int, vectors: int,
    asks: str, paired: int, panel: bool,
) -> None:  # fmt: skip
    """The product of one tile as LLVM vector code, with all its sums in registers."""
    dtype = signature.args[2].dtype
    size, index = dtype.bitwidth // 8, ir.IntType(64)
    vector = ir.VectorType(context.get_data_type(dtype), vector_lanes(size))
    a_data, rows_data, a_steps_data, b_data, b_steps_data, out_data = (
        pointer(context, builder, signature, args, position) for position in (2, 3, 5, 6, 8, 10)
    )
    r_at, b_at, depth, out_at, fresh = (args[n] for n in (4, 7, 9, 11, 13))
    listed = not isinstance(signature.args[12], types.Integer)
    places = pointer(context, builder, signature, args, 12) if listed else args[12]

    def vectors_at(address: ir.Value) -> list[ir.Value]:
        """Addresses of the vectors of one row of lanes."""
        first = builder.bitcast(address, vector.as_pointer())
        return [builder.gep(first, [index(v)]) for v in range(vectors)]

    def load_all(addresses: list[ir.Value]) -> list[ir.Value]:
        return [builder.load(address, align=size) for address in addresses]

    b_base, out_base = builder.gep(b_data, [b_at]), builder.gep(out_data, [out_at])
    a_rows, out_vectors = [], []
    for r in range(height):
        number = builder.add(r_at, index(r))
        a_rows.append(builder.gep(a_data, [builder.load(builder.gep(rows_data, [number]))]))
        if listed:
            place = builder.load(builder.gep(places, [number]))
        else:
            place = builder.mul(places, index(r))
        out_vectors += vectors_at(builder.gep(out_base, [place]))

    ahead = cgutils.unpack_tuple(builder, args[14])
    if ahead:
        asked = builder.gep(a_rows[0] if asks == "a" else b_base, ahead)

    zeros = [ir.Constant(vector, None)] * (height * vectors)
    with builder.if_else(fresh) as (then, otherwise):
        with then:
            from_zero = builder.block
        with otherwise:
            before = load_all(out_vectors)
            from_out = builder.block
    sums = [builder.phi(vector) for _ in zeros]
    for phi, zero, old in zip(sums, zeros, before, strict=True):
        phi.add_incoming(zero, from_zero)
        phi.add_incoming(old, from_out)

    entry, loop, done = builder.block, *map(builder.append_basic_block, ("depth", "stored"))
    builder.cbranch(builder.icmp_signed(">", depth, index(0)), loop, done)
    builder.position_at_end(loop)
    d = builder.phi(index)
    running = [builder.phi(vector) for _ in sums]
    if panel:
        b_step = builder.mul(d, index(vectors * vector.count))
    else:
        b_step = builder.load(builder.gep(b_steps_data, [d]))
    b_vectors = load_all(vectors_at(builder.gep(b_base, [b_step])))
    a_step = builder.load(builder.gep(a_steps_data, [d]))
    if ahead:
        prefetch(builder, builder.gep(asked, [a_step if asks == "a" else b_step]))
    after: list[ir.Value] = []
    for r in range(height):
        place = builder.gep(a_rows[r], [a_step])
        if paired:
            factors = load_all(vectors_at(place))
        else:
            factors = [broadcast(builder, builder.load(place), vector)] * vectors
        row = running[r * vectors : (r + 1) * vectors]
        products = [
            multiply_add(builder, factor, b_vector, total)
            for factor, b_vector, total in zip(factors, b_vectors, row, strict=True)
        ]
        after += in_this_order(builder, products) if height > 2 else products
    following = builder.add(d, index(1))
    d.add_incoming(index(0), entry)
    d.add_incoming(following, loop)
    for phi, start, end in zip(running, sums, after, strict=True):
        phi.add_incoming(start, entry)
        phi.add_incoming(end, loop)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)

    builder.position_at_end(done)
    final = [builder.phi(vector) for _ in sums]
    for phi, start, end in zip(final, sums, after, strict=True):
        phi.add_incoming(start, entry)
        phi.add_incoming(end, loop)
    for address, total in zip(out_vectors, final, strict=True):
        builder.store(total, address, align=size)
