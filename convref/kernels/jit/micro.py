"""The micro-kernel: one register tile of a matrix product, near the rate of the multipliers.

It adds to a tile of ROWS x LANES sums the products of ``depth`` pairs:

    tile[r, lane] += sum over d of  a[rows[r] + steps[d]] * b[d, lane]

`b` is a packed panel: LANES numbers for each d, side by side, so that they load as whole vectors.
`a` is read where it lies, one number at a time, broadcast to a vector. Its place is an outer sum of
two offset vectors, ``rows[r] + steps[d]``: a matrix of any strides is of this form, and so are the
columns of a convolution, ``canvas[tap[t] + origin[p]]``; so this side need not be packed.

Why this tile. Two multiply-add units of latency 4 need 8 independent sums in flight; what bounds
the tile from above is the register file. With 12 rows of 2 vectors, 24 of the 32 registers of
AVX-512 or NEON hold sums, 2 hold b and 1 a broadcast number. Each d then takes 24 multiply-adds
(12 cycles) and 15 loads (8 cycles): the multipliers set the pace. AVX2 has 16 registers: 6 rows.
"""

from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

VECTORS = 2


@cache
def vector_bytes() -> int:
    """Width of the host's vectors."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx") else 16


@cache
def tile_shape(itemsize: int) -> tuple[int, int]:
    """(ROWS, LANES) of the tile for numbers of this size."""
    rows = 6 if vector_bytes() == 32 else 12
    return rows, VECTORS * max(1, vector_bytes() // itemsize)


def tile_product(a, a0, rows, r0, steps, d0, depth, b, b0, tile):
    """``tile[r, lane] += sum over d of a[a0 + rows[r0 + r] + steps[d0 + d]] * b[b0 + d, lane]``.

    All arrays are flat, and offsets count elements. This plain version runs where JIT is off.
    """
    ROWS, LANES = tile_shape(tile.itemsize)
    for d in range(depth):
        for r in range(ROWS):
            left = a[a0 + rows[r0 + r] + steps[d0 + d]]
            for lane in range(LANES):
                tile[r * LANES + lane] += left * b[b0 + d * LANES + lane]


@overload(tile_product)
def _compiled(a, a0, rows, r0, steps, d0, depth, b, b0, tile):
    """What Numba compiles a call of `tile_product` to: vectors, or for complex numbers loops."""
    ROWS, LANES = tile_shape(a.dtype.bitwidth // 8)

    def vectors(a, a0, rows, r0, steps, d0, depth, b, b0, tile):
        _vector_product(a, a0, rows, r0, steps, d0, depth, b, b0, tile)

    def loops(a, a0, rows, r0, steps, d0, depth, b, b0, tile):
        for d in range(depth):
            for r in range(ROWS):
                left = a[a0 + rows[r0 + r] + steps[d0 + d]]
                for lane in range(LANES):
                    tile[r * LANES + lane] += left * b[b0 + d * LANES + lane]

    return loops if isinstance(a.dtype, types.Complex) else vectors


@intrinsic
def _vector_product(typing_context, a, a0, rows, r0, steps, d0, depth, b, b0, tile):
    """`tile_product` as LLVM vector code, with the whole tile in registers."""
    signature = types.void(a, a0, rows, r0, steps, d0, depth, b, b0, tile)
    ROWS, LANES = tile_shape(a.dtype.bitwidth // 8)
    width = LANES // VECTORS

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        def data(number: int, *offsets: ir.Value) -> ir.Value:
            """Address of an array argument's data, moved by offsets."""
            array = context.make_array(signature.args[number])(context, builder, args[number])
            address = array.data
            for offset in offsets:
                address = builder.gep(address, [offset])
            return address

        number = context.get_data_type(a.dtype)
        vector = ir.VectorType(number, width)
        index = ir.IntType(64)

        def load(address: ir.Value, position: int) -> ir.Value:
            address = builder.gep(address, [index(position)])
            return builder.load(builder.bitcast(address, vector.as_pointer()), align=number_bytes)

        number_bytes = a.dtype.bitwidth // 8
        left = []
        for r in range(ROWS):
            offset = builder.load(data(2, args[3], index(r)))
            left.append(data(0, args[1], offset))
        step, right, sums_at = data(4, args[5]), data(7, args[8]), data(9)
        sums = [load(sums_at, position * width) for position in range(ROWS * VECTORS)]

        entry = builder.block
        loop = builder.append_basic_block("depth")
        done = builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed(">", args[6], index(0)), loop, done)

        builder.position_at_end(loop)
        d = builder.phi(index)
        running = [builder.phi(vector) for _ in sums]
        offset = builder.load(builder.gep(step, [d]))
        panel = builder.gep(right, [builder.mul(d, index(LANES))])
        b_vectors = [load(panel, v * width) for v in range(VECTORS)]
        updated = []
        for r in range(ROWS):
            broadcast = _broadcast(builder, builder.load(builder.gep(left[r], [offset])), vector)
            products = [
                _multiply_add(builder, broadcast, b_vectors[v], running[r * VECTORS + v])
                for v in range(VECTORS)
            ]
            updated += _in_this_order(builder, products)
        following = builder.add(d, index(1))
        d.add_incoming(index(0), entry)
        d.add_incoming(following, loop)
        for phi, before, after in zip(running, sums, updated, strict=True):
            phi.add_incoming(before, entry)
            phi.add_incoming(after, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[6]), loop, done)

        builder.position_at_end(done)
        for position, (before, after) in enumerate(zip(sums, updated, strict=True)):
            final = builder.phi(vector)
            final.add_incoming(before, entry)
            final.add_incoming(after, loop)
            sums[position] = final
        for position, final in enumerate(sums):
            address = builder.gep(sums_at, [index(position * width)])
            builder.store(final, builder.bitcast(address, vector.as_pointer()), align=number_bytes)
        return context.get_dummy_value()

    return signature, generate


def _broadcast(builder: ir.IRBuilder, number: ir.Value, vector: ir.VectorType) -> ir.Value:
    """A vector that holds one number in every lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(first, undefined, lanes)


def _in_this_order(builder: ir.IRBuilder, values: list[ir.Value]) -> list[ir.Value]:
    """The same values, at a point that no load may move across.

    Without it LLVM's scheduler loads the broadcasts of all rows ahead of their use, runs out of
    registers and spills sums, which halves the speed. An empty statement of assembler that claims
    to change the values and to touch memory costs no instruction.
    """
    machine = llvm.get_process_triple().split("-")[0]
    register = {"x86_64": "v", "aarch64": "w", "arm64": "w"}.get(machine)
    if register is None:
        return values
    types_ = [value.type for value in values]
    function = ir.FunctionType(ir.LiteralStructType(types_), types_)
    outputs = [f"={register}"] * len(values)
    constraints = [*outputs, *map(str, range(len(values))), "~{memory}"]
    fenced = builder.asm(function, "", ",".join(constraints), values, side_effect=True)
    return [builder.extract_value(fenced, number) for number in range(len(values))]


def _multiply_add(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, total: ir.Value) -> ir.Value:
    """``x * y + total``: for floats rounded once, for integers exact."""
    if isinstance(total.type.element, ir.IntType):
        return builder.add(builder.mul(x, y), total)
    kind = "f32" if isinstance(total.type.element, ir.FloatType) else "f64"
    fma = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(total.type, [total.type] * 3),
        f"llvm.fma.v{total.type.count}{kind}",
    )
    return builder.call(fma, [x, y, total])
