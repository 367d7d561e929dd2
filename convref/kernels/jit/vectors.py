"""What the kernels share: the width of vectors, and pieces of LLVM code that work on them."""

from collections.abc import Callable
from functools import cache
from itertools import zip_longest

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config
from numba.core import cgutils
from numba.extending import overload


@cache
def vector_bytes() -> int:
    """Width of the vectors that Numba compiles for: of the host, or of NUMBA_CPU_FEATURES."""
    told = config.CPU_FEATURES
    if told is None:
        features = llvm.get_host_cpu_features()
    else:
        features = {name[1:]: name.startswith("+") for name in told.split(",")}
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx") else 16


@cache
def vector_lanes(itemsize: int) -> int:
    """Numbers of this size in a vector."""
    return max(1, vector_bytes() // itemsize)


def lanes_of(a):
    """Numbers of the dtype of `a` in a vector; to the compiler a constant."""
    return vector_lanes(a.itemsize)


@overload(lanes_of)
def _lanes_of(a):
    LANES = vector_lanes(a.dtype.bitwidth // 8)
    return lambda a: LANES


def by_shape(
    builder: ir.IRBuilder,
    height: ir.Value,
    width: ir.Value,
    shapes: tuple[tuple[int, int], ...],
    tile: Callable[[int, int], None],
) -> None:
    """A branch to the code that ``tile`` writes for the shape that is asked for."""
    index = ir.IntType(64)
    wanted = builder.add(builder.mul(height, index(100)), width)
    done = builder.append_basic_block("done")
    switch = builder.switch(wanted, done)
    for rows, columns in shapes:
        block = builder.append_basic_block(f"tile{rows}x{columns}")
        switch.add_case(index(100 * rows + columns), block)
        builder.position_at_end(block)
        tile(rows, columns)
        builder.branch(done)
    builder.position_at_end(done)


def broadcast(builder: ir.IRBuilder, number: ir.Value, vector: ir.VectorType) -> ir.Value:
    """A vector that holds one number in every lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(first, undefined, lanes)


def prefetch(builder: ir.IRBuilder, address: ir.Value) -> None:
    """Ask for the line of memory at an address, which need not be valid, in the nearest cache."""
    byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag]), "llvm.prefetch.p0"
    )
    # To be read, near, as data.
    builder.call(function, [builder.bitcast(address, byte), flag(0), flag(3), flag(1)])


def in_this_order(builder: ir.IRBuilder, values: list[ir.Value]) -> list[ir.Value]:
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
    alone = len(values) == 1
    function = ir.FunctionType(types_[0] if alone else ir.LiteralStructType(types_), types_)
    outputs = [f"={register}"] * len(values)
    constraints = [*outputs, *map(str, range(len(values))), "~{memory}"]
    fenced = builder.asm(function, "", ",".join(constraints), values, side_effect=True)
    if alone:
        return [fenced]
    return [builder.extract_value(fenced, number) for number in range(len(values))]


def multiply_add(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, total: ir.Value) -> ir.Value:
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


def below(builder: ir.IRBuilder, count: ir.Value, LANES: int) -> ir.Value:
    """A mask of the first ``count`` lanes."""
    lanes = ir.VectorType(ir.IntType(64), LANES)
    numbers = ir.Constant(lanes, list(range(LANES)))
    one = builder.insert_element(ir.Constant(lanes, ir.Undefined), count, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    return builder.icmp_signed("<", numbers, builder.shuffle_vector(one, one, zeros))


def masked_load(
    builder: ir.IRBuilder, address: ir.Value, vector: ir.VectorType, mask: ir.Value, size: int
) -> ir.Value:
    """The lanes of the mask, the others zero and not read."""
    pointer = vector.as_pointer()
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [pointer, ir.IntType(32), mask.type, vector]),
        f"llvm.masked.load.{suffix(vector, size)}.p0",
    )
    at = builder.bitcast(address, pointer)
    return builder.call(function, [at, ir.IntType(32)(size), mask, ir.Constant(vector, None)])


def totals(builder: ir.IRBuilder, values: list[ir.Value], LANES: int) -> ir.Value:
    """A vector of the sums of all lanes of each value, of up to as many values as it has lanes.

    Two vectors become one that holds both in half as many lanes each, two of these again, until
    each has a lane; so a sum is taken by halves.
    """
    half, whole = LANES // 2, isinstance(values[0].type.element, ir.IntType)
    add = builder.add if whole else builder.fadd
    nothing = ir.Constant(values[0].type, ir.Undefined)
    while half:
        firsts = [lane for lane in range(2 * LANES) if lane % (2 * half) < half]
        pairs = zip_longest(values[::2], values[1::2], fillvalue=nothing)
        values = [
            add(
                shuffled(builder, *two, firsts), shuffled(builder, *two, [n + half for n in firsts])
            )
            for two in pairs
        ]
        half //= 2
    return values[0]


def shuffled(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, order: list[int]) -> ir.Value:
    """The lanes of a and b, numbered through, in this order."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
    return builder.shuffle_vector(a, b, mask)


def suffix(vector: ir.VectorType, size: int) -> str:
    """How LLVM's functions name a vector type."""
    kind = {ir.FloatType: "f32", ir.DoubleType: "f64"}.get(type(vector.element), f"i{8 * size}")
    return f"v{vector.count}{kind}"
