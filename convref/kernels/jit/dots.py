"""Dot products along stretches of neighbours, for sums over positions.

    sums[r * width + j] = sum over q, i of
        a[rows[r_at + r] + a_at[q] + i] * b[columns[c_at + j] + b_at[q] + i]

for i below ``length``. Each sum is kept as a vector of partial sums, which are added up at the end;
the numbers that don't fill a vector are read under a mask, so that nothing beyond them is touched.
What lies in ``sums`` beyond those of a tile, up to whole vectors, is undefined then.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from convref.kernels.jit.flat import load, pointer, store
from convref.kernels.jit.kept import compiled
from convref.kernels.jit.vectors import (
    below,
    by_shape,
    masked_load,
    multiply_add,
    totals,
    vector_lanes,
)

ROWS, COLUMNS = 4, 8
"""Rows of the highest tile, and columns of the broadest, which has at most half as many rows."""
SUMS = ROWS * COLUMNS
"""Room for the sums of any tile, in whole vectors."""
SHAPES = tuple(
    (height, width)
    for height in range(1, ROWS + 1)
    for width in (*range(1, COLUMNS // 2 + 1), COLUMNS)
    if height * width <= ROWS * COLUMNS // 2
)


@compiled()
def columns_at_once(height, left):
    """The width of the next tile of so many rows, where so many columns are left."""
    most = COLUMNS if 2 * height <= ROWS else COLUMNS // 2
    return most if left >= most else min(left, COLUMNS // 2)


def dot_tile(height, width, a, rows, r_at, a_at, b, columns, c_at, b_at, stretches, length, sums):
    """Fill ``sums``; the equation above, as it runs without JIT."""
    for r in range(height):
        for j in range(width):
            total = sums.dtype.type(0)
            for q in range(stretches):
                for i in range(length):
                    total += a[rows[r_at + r] + a_at[q] + i] * b[columns[c_at + j] + b_at[q] + i]
            sums[r * width + j] = total


@overload(dot_tile)
def _compiled(height, width, a, rows, r_at, a_at, b, columns, c_at, b_at, stretches, length, sums):
    def vectors(
        height, width, a, rows, r_at, a_at, b, columns, c_at, b_at, stretches, length, sums
    ):
        _dots(height, width, a, rows, r_at, a_at, b, columns, c_at, b_at, stretches, length, sums)

    def loops(height, width, a, rows, r_at, a_at, b, columns, c_at, b_at, stretches, length, sums):
        for r in range(height):
            for j in range(width):
                store(sums, r * width + j, 0)
                total = load(sums, r * width + j)
                for q in range(stretches):
                    left = load(rows, r_at + r) + load(a_at, q)
                    right = load(columns, c_at + j) + load(b_at, q)
                    for i in range(length):
                        total += load(a, left + i) * load(b, right + i)
                store(sums, r * width + j, total)

    return loops if isinstance(a.dtype, types.Complex) else vectors


@intrinsic
def _dots(
    typing_context,
    height,
    width,
    a,
    rows,
    r_at,
    a_at,
    b,
    columns,
    c_at,
    b_at,
    stretches,
    length,
    sums,
):
    i = types.int64
    signature = types.void(i, i, a, rows, i, a_at, b, columns, i, b_at, i, i, sums)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        def tile(height: int, width: int) -> None:
            _tile(context, builder, signature, args, height, width)

        by_shape(builder, args[0], args[1], SHAPES, tile)
        return context.get_dummy_value()

    return signature, generate


def _tile(
    context: Any, builder: ir.IRBuilder, signature: Any, args: Any, height: int, width: int
) -> None:
    """One tile of dot products, with all its partial sums in registers."""
    dtype = signature.args[2].dtype
    size, index = dtype.bitwidth // 8, ir.IntType(64)
    LANES = vector_lanes(size)
    vector = ir.VectorType(context.get_data_type(dtype), LANES)
    a_data, rows, a_at, b_data, columns, b_at, sums = (
        pointer(context, builder, signature, args, position) for position in (2, 3, 5, 6, 7, 9, 12)
    )
    r_at, c_at, stretches, length = (args[n] for n in (4, 8, 10, 11))
    partial = [cgutils.alloca_once(builder, vector) for _ in range(height * width)]
    for slot in partial:
        builder.store(ir.Constant(vector, None), slot)

    def operands(
        data: ir.Value, firsts: ir.Value, first: ir.Value, count: int, at: ir.Value
    ) -> Any:
        """Addresses of the stretches of ``count`` rows."""
        numbers = [builder.add(first, index(number)) for number in range(count)]
        starts = [builder.load(builder.gep(firsts, [number])) for number in numbers]
        return [builder.gep(data, [builder.add(start, at)]) for start in starts]

    def accumulate(read: Any) -> None:
        """Add the products of all pairs of what ``read`` gives for each address."""
        left, right = list(map(read, lefts)), list(map(read, rights))
        for r in range(height):
            for j in range(width):
                slot = partial[r * width + j]
                builder.store(multiply_add(builder, left[r], right[j], builder.load(slot)), slot)

    with cgutils.for_range(builder, stretches) as outer:
        a_first, b_first = (builder.load(builder.gep(at, [outer.index])) for at in (a_at, b_at))
        lefts = operands(a_data, rows, r_at, height, a_first)
        rights = operands(b_data, columns, c_at, width, b_first)
        whole = builder.and_(length, index(-LANES))
        with cgutils.for_range_slice(builder, index(0), whole, index(LANES), index) as (i, _):

            def read(address: ir.Value, i: ir.Value = i) -> ir.Value:
                at = builder.bitcast(builder.gep(address, [i]), vector.as_pointer())
                return builder.load(at, align=size)

            accumulate(read)
        rest = builder.sub(length, whole)
        with builder.if_then(builder.icmp_signed(">", rest, index(0))):
            mask = below(builder, rest, LANES)

            def read_masked(address: ir.Value) -> ir.Value:
                return masked_load(builder, builder.gep(address, [whole]), vector, mask, size)

            accumulate(read_masked)
    for first in range(0, len(partial), LANES):
        some = [builder.load(slot) for slot in partial[first : first + LANES]]
        to = builder.bitcast(builder.gep(sums, [index(first)]), vector.as_pointer())
        builder.store(totals(builder, some, LANES), to, align=size)
