"""The micro-kernel: one register tile of a matrix product, near the rate of the multipliers.

It adds to a tile of ROWS x LANES sums the products of ``depth`` pairs:

    out[r * pitch + lane] += sum over d of  a[rows[r] + a_steps[d]] * b[b_steps[d] + lane]

Of `a`, one number at a time is read where it lies and broadcast to a vector. Its place is an outer
sum of two offset vectors: a matrix of any strides is of this form, and so are the columns of a
convolution, ``canvas[tap[t] + origin[p]]``; so this side is never packed. Of `b`, LANES neighbours
are read as whole vectors: from a panel packed for the purpose, or in place where they lie side by
side.

Why this tile. Two multiply-add units of latency 4 need 8 independent sums in flight; what bounds
the tile from above is the register file. With 12 rows of 2 vectors, 24 of the 32 registers of
AVX-512 or NEON hold sums, 2 hold b and 1 a broadcast number. Each d then takes 24 multiply-adds
(12 cycles) and 16 loads (8 cycles): the multipliers set the pace. AVX2 has 16 registers: 6 rows.
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


def rows_of(a):
    """ROWS of the tile for an array's dtype; to the compiler a constant."""
    return tile_shape(a.itemsize)[0]


def lanes_of(a):
    """LANES of the tile for an array's dtype; to the compiler a constant."""
    return tile_shape(a.itemsize)[1]


@overload(rows_of)
def _rows_of(a):
    ROWS, _ = tile_shape(a.dtype.bitwidth // 8)
    return lambda a: ROWS


@overload(lanes_of)
def _lanes_of(a):
    _, LANES = tile_shape(a.dtype.bitwidth // 8)
    return lambda a: LANES


def tile_product(a, rows, a_steps, b, b_steps, depth, out, pitch, fresh):
    """``out[r * pitch + lane] += sum over d of a[rows[r] + a_steps[d]] * b[b_steps[d] + lane]``.

    All arrays are flat, and d runs to ``depth``. With ``fresh`` the sums start from zero, whatever
    ``out`` held. This plain version runs where JIT is off.
    """
    ROWS, LANES = tile_shape(out.itemsize)
    for r in range(ROWS):
        for lane in range(LANES):
            total = out.dtype.type(0) if fresh else out[r * pitch + lane]
            for d in range(depth):
                total += a[rows[r] + a_steps[d]] * b[b_steps[d] + lane]
            out[r * pitch + lane] = total


@overload(tile_product)
def _compiled(a, rows, a_steps, b, b_steps, depth, out, pitch, fresh):
    """What Numba compiles a call of `tile_product` to: vectors, or for complex numbers loops."""
    ROWS, LANES = tile_shape(a.dtype.bitwidth // 8)

    def vectors(a, rows, a_steps, b, b_steps, depth, out, pitch, fresh):
        _vector_product(a, rows, a_steps, b, b_steps, depth, out, pitch, fresh)

    def loops(a, rows, a_steps, b, b_steps, depth, out, pitch, fresh):
        for r in range(ROWS):
            sums = out[r * pitch : r * pitch + LANES]
            if fresh:
                sums[:] = 0
            for d in range(depth):
                left = a[rows[r] + a_steps[d]]
                for lane in range(LANES):
                    sums[lane] += left * b[b_steps[d] + lane]

    return loops if isinstance(a.dtype, types.Complex) else vectors


@intrinsic
def _vector_product(typing_context, a, rows, a_steps, b, b_steps, depth, out, pitch, fresh):
    """`tile_product` as LLVM vector code, with the whole tile in registers."""
    ROWS, LANES = tile_shape(a.dtype.bitwidth // 8)
    signature = types.void(a, rows, a_steps, b, b_steps, types.int64, out, types.int64, fresh)
    index, size = ir.IntType(64), a.dtype.bitwidth // 8

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(context.get_data_type(a.dtype), LANES // VECTORS)
        a_data, rows_data, a_steps_data, b_data, b_steps_data, out_data = (
            context.make_array(signature.args[position])(context, builder, args[position]).data
            for position in (0, 1, 2, 3, 4, 6)
        )
        depth, pitch, fresh = args[5], args[7], args[8]

        def vectors_at(address: ir.Value) -> list[ir.Value]:
            """Addresses of the vectors of one row of lanes."""
            first = builder.bitcast(address, vector.as_pointer())
            return [builder.gep(first, [index(v)]) for v in range(VECTORS)]

        def load_all(addresses: list[ir.Value]) -> list[ir.Value]:
            return [builder.load(address, align=size) for address in addresses]

        a_rows, out_vectors = [], []
        for r in range(ROWS):
            offset = builder.load(builder.gep(rows_data, [index(r)]))
            a_rows.append(builder.gep(a_data, [offset]))
            at = builder.mul(pitch, index(r))
            out_vectors += vectors_at(builder.gep(out_data, [at]))

        zeros = [ir.Constant(vector, None)] * (ROWS * VECTORS)
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

        entry, loop, done = builder.block, *map(builder.append_basic_block, ("depth", "done"))
        builder.cbranch(builder.icmp_signed(">", depth, index(0)), loop, done)
        builder.position_at_end(loop)
        d = builder.phi(index)
        running = [builder.phi(vector) for _ in sums]
        b_step = builder.load(builder.gep(b_steps_data, [d]))
        b_vectors = load_all(vectors_at(builder.gep(b_data, [b_step])))
        a_step = builder.load(builder.gep(a_steps_data, [d]))
        after: list[ir.Value] = []
        for r in range(ROWS):
            number = builder.load(builder.gep(a_rows[r], [a_step]))
            factor = _broadcast(builder, number, vector)
            row = running[r * VECTORS : (r + 1) * VECTORS]
            products = [
                _multiply_add(builder, factor, b_vector, total)
                for b_vector, total in zip(b_vectors, row, strict=True)
            ]
            after += _in_this_order(builder, products)
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
