"""Dot products along stretches of neighbours, for sums over positions.

    sums[r * width + j] = sum over q, i of  a[rows[r] + a_at[q] + i] * b[columns[j] + b_at[q] + i]

for i below ``length``. Each sum is kept as a vector of partial sums, which are added up at the end;
the numbers that don't fill a vector are read under a mask, so that nothing beyond them is touched.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from convref.kernels.jit.micro import multiply_add, vector_lanes

DOT_COLUMNS = 8
"""Columns of a tile of one or two rows; half as many with four: 16 sums in flight at most."""
DOT_REST = 3
"""Columns of the tiles for what is left."""
SHAPES = tuple(
    (height, width)
    for height in (1, 2, 4)
    for width in ((DOT_COLUMNS // 2, 3, 2, 1) if height == 4 else (DOT_COLUMNS, 3, 2, 1))
)


def dot_tile(height, width, a, rows, a_at, b, columns, b_at, stretches, length, sums):
    """Fill ``sums``; the equation above, as it runs without JIT."""
    for r in range(height):
        for j in range(width):
            total = sums.dtype.type(0)
            for q in range(stretches):
                for i in range(length):
                    total += a[rows[r] + a_at[q] + i] * b[columns[j] + b_at[q] + i]
            sums[r * width + j] = total


@overload(dot_tile)
def _compiled(height, width, a, rows, a_at, b, columns, b_at, stretches, length, sums):
    def vectors(height, width, a, rows, a_at, b, columns, b_at, stretches, length, sums):
        _dots(height, width, a, rows, a_at, b, columns, b_at, stretches, length, sums)

    def loops(height, width, a, rows, a_at, b, columns, b_at, stretches, length, sums):
        for r in range(height):
            for j in range(width):
                total = sums.dtype.type(0)
                for q in range(stretches):
                    left, right = rows[r] + a_at[q], columns[j] + b_at[q]
                    for i in range(length):
                        total += a[left + i] * b[right + i]
                sums[r * width + j] = total

    return loops if isinstance(a.dtype, types.Complex) else vectors


@intrinsic
def _dots(typing_context, height, width, a, rows, a_at, b, columns, b_at, stretches, length, sums):
    signature = types.void(
        types.int64, types.int64, a, rows, a_at, b, columns, b_at, types.int64, types.int64, sums
    )

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        index = ir.IntType(64)
        wanted = builder.add(builder.mul(args[0], index(100)), args[1])
        done = builder.append_basic_block("done")
        switch = builder.switch(wanted, done)
        for rows_, columns_ in SHAPES:
            block = builder.append_basic_block(f"dots{rows_}x{columns_}")
            switch.add_case(index(100 * rows_ + columns_), block)
            builder.position_at_end(block)
            _tile(context, builder, signature, args, rows_, columns_)
            builder.branch(done)
        builder.position_at_end(done)
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
        context.make_array(signature.args[position])(context, builder, args[position]).data
        for position in (2, 3, 4, 5, 6, 7, 10)
    )
    stretches, length = args[8], args[9]
    partial = [cgutils.alloca_once(builder, vector) for _ in range(height * width)]
    for slot in partial:
        builder.store(ir.Constant(vector, None), slot)

    def operands(data: ir.Value, firsts: ir.Value, count: int, at: ir.Value) -> list[ir.Value]:
        """Addresses of the stretches of ``count`` rows."""
        starts = [builder.load(builder.gep(firsts, [index(number)])) for number in range(count)]
        return [builder.gep(data, [builder.add(start, at)]) for start in starts]

    def accumulate(read: Any) -> None:
        """Add the products of all pairs of what ``read`` gives for each address."""
        left, right = list(map(read, lefts)), list(map(read, rights))
        for r in range(height):
            for j in range(width):
                slot = partial[r * width + j]
                builder.store(multiply_add(builder, left[r], right[j], builder.load(slot)), slot)

    with cgutils.for_range(builder, stretches) as outer:
        lefts = operands(a_data, rows, height, builder.load(builder.gep(a_at, [outer.index])))
        rights = operands(b_data, columns, width, builder.load(builder.gep(b_at, [outer.index])))
        whole = builder.and_(length, index(-LANES))
        with cgutils.for_range_slice(builder, index(0), whole, index(LANES), index) as (i, _):

            def read(address: ir.Value, i: ir.Value = i) -> ir.Value:
                at = builder.bitcast(builder.gep(address, [i]), vector.as_pointer())
                return builder.load(at, align=size)

            accumulate(read)
        rest = builder.sub(length, whole)
        with builder.if_then(builder.icmp_signed(">", rest, index(0))):
            mask = _below(builder, rest, LANES)

            def read_masked(address: ir.Value) -> ir.Value:
                return _masked_load(builder, builder.gep(address, [whole]), vector, mask, size)

            accumulate(read_masked)
    for number, slot in enumerate(partial):
        total = _total(builder, builder.load(slot), LANES)
        builder.store(total, builder.gep(sums, [index(number)]))


def _below(builder: ir.IRBuilder, count: ir.Value, LANES: int) -> ir.Value:
    """A mask of the first ``count`` lanes."""
    lanes = ir.VectorType(ir.IntType(64), LANES)
    numbers = ir.Constant(lanes, list(range(LANES)))
    one = builder.insert_element(ir.Constant(lanes, ir.Undefined), count, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    return builder.icmp_signed("<", numbers, builder.shuffle_vector(one, one, zeros))


def _masked_load(
    builder: ir.IRBuilder, address: ir.Value, vector: ir.VectorType, mask: ir.Value, size: int
) -> ir.Value:
    """The lanes of the mask, the others zero and not read."""
    kind = {ir.FloatType: "f32", ir.DoubleType: "f64"}.get(type(vector.element), f"i{8 * size}")
    # Typed pointers: the name carries the type that the pointer points to.
    pointer = vector.as_pointer()
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [pointer, ir.IntType(32), mask.type, vector]),
        f"llvm.masked.load.v{vector.count}{kind}.p0",
    )
    at = builder.bitcast(address, pointer)
    return builder.call(function, [at, ir.IntType(32)(size), mask, ir.Constant(vector, None)])


def _total(builder: ir.IRBuilder, value: ir.Value, LANES: int) -> ir.Value:
    """The sum of all lanes, by halves."""
    half = LANES // 2
    while half:
        order = [(lane + half) % LANES for lane in range(LANES)]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), order)
        other = builder.shuffle_vector(value, value, mask)
        whole = isinstance(value.type.element, ir.IntType)
        value = builder.add(value, other) if whole else builder.fadd(value, other)
        half //= 2
    return builder.extract_element(value, ir.IntType(32)(0))
