"""Numbers that lie across: a vector of them gathered, or squares transposed in registers.

As in `copies`, each function stands here as Python and as the instructions that Numba puts there.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from convref.kernels.jit.copies import runs
from convref.kernels.jit.flat import load, pointer, store
from convref.kernels.jit.vectors import (
    broadcast,
    by_shape,
    lanes_of,
    shuffled,
    suffix,
    vector_lanes,
)


def gather(source, at, lanes_at, target, to):
    """``target[to + lane] = source[at + lanes_at[lane]]``, for the lanes of a vector."""
    for lane in range(lanes_of(target)):
        store(target, to + lane, load(source, at + load(lanes_at, lane)))


def transpose(source, at, source_lines, target, to, target_lines, rows, run):
    """A square of runs, transposed.

        target[to + target_lines[i * run] + j * run + e] =
            source[at + source_lines[j] + i * run + e]

    for i below rows, j below LANES / run and e below run, a power of two below LANES. Whole vectors
    of the source are read, however few rows there are.
    """
    for i in range(rows):
        for j in range(lanes_of(source) // run):
            for e in range(run):
                line = target_lines[i * run]
                target[to + line + j * run + e] = source[at + source_lines[j] + i * run + e]


@intrinsic
def _gather_in_register(typing_context, source, at, lanes_at, target, to):
    i = types.int64
    signature = types.void(source, i, lanes_at, target, i)
    size, index = source.dtype.bitwidth // 8, ir.IntType(64)
    LANES = vector_lanes(size)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        number, flag = context.get_data_type(source.dtype), ir.IntType(1)
        vector, pointers = (ir.VectorType(n, LANES) for n in (number, number.as_pointer()))
        offsets, mask = (ir.VectorType(n, LANES) for n in (index, flag))
        data, lanes, target_data = (
            pointer(context, builder, signature, args, position) for position in (0, 2, 3)
        )
        first = builder.ptrtoint(builder.gep(data, [args[1]]), index)
        steps = builder.load(builder.bitcast(lanes, offsets.as_pointer()), align=8)
        steps = builder.mul(steps, ir.Constant(offsets, [size] * LANES))
        places = builder.inttoptr(builder.add(broadcast(builder, first, offsets), steps), pointers)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [pointers, ir.IntType(32), mask, vector]),
            f"llvm.masked.gather.{suffix(vector, size)}.v{LANES}p0",
        )
        everywhere, nothing = ir.Constant(mask, [1] * LANES), ir.Constant(vector, ir.Undefined)
        value = builder.call(function, [places, ir.IntType(32)(size), everywhere, nothing])
        into = builder.bitcast(builder.gep(target_data, [args[4]]), vector.as_pointer())
        builder.store(value, into, align=size)
        return context.get_dummy_value()

    return signature, generate


@overload(gather)
def _gather(source, at, lanes_at, target, to):
    def by_vector(source, at, lanes_at, target, to):
        _gather_in_register(source, at, lanes_at, target, to)

    return gather if isinstance(source.dtype, types.Complex) else by_vector


@intrinsic
def _transpose_in_registers(
    typing_context, source, at, source_lines, target, to, target_lines, rows, run
):  # fmt: skip
    """`transpose` as a perfect shuffle of LANES / run vectors, that many times halved."""
    i = types.int64
    signature = types.void(source, i, source_lines, target, i, target_lines, i, i)
    size = source.dtype.bitwidth // 8
    LANES, index = vector_lanes(size), ir.IntType(64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(context.get_data_type(source.dtype), LANES)
        data, lines, target_data, target_lines = (
            pointer(context, builder, signature, args, position) for position in (0, 2, 3, 5)
        )
        first, into = builder.gep(data, [args[1]]), builder.gep(target_data, [args[4]])

        def address(base: ir.Value, lines: ir.Value, number: int) -> ir.Value:
            line = builder.load(builder.gep(lines, [index(number)]))
            return builder.bitcast(builder.gep(base, [line]), vector.as_pointer())

        def square(run: int, _: int) -> None:
            height = LANES // run

            def interleaved(a: ir.Value, b: ir.Value, start: int) -> ir.Value:
                # Elements of a run each: those of a and b by turns, from the start-th on.
                order = [
                    (start + element // 2 + element % 2 * height) * run + e
                    for element in range(height)
                    for e in range(run)
                ]
                return shuffled(builder, a, b, order)

            vectors = [
                builder.load(address(first, lines, line), align=size) for line in range(height)
            ]
            half = height // 2
            for _ in range(height.bit_length() - 1):
                vectors = [
                    interleaved(vectors[pair], vectors[pair + half], start)
                    for pair in range(half)
                    for start in (0, half)
                ]
            for row, value in enumerate(vectors):
                with builder.if_then(builder.icmp_signed("<", index(row), args[6]), likely=True):
                    place = address(into, target_lines, row * run)
                    builder.store(value, place, align=size)

        shapes = tuple((run, 0) for run in runs(LANES))
        by_shape(builder, args[7], index(0), shapes, square)
        return context.get_dummy_value()

    return signature, generate


@overload(transpose)
def _transpose(source, at, source_lines, target, to, target_lines, rows, run):
    def vectors(source, at, source_lines, target, to, target_lines, rows, run):
        _transpose_in_registers(source, at, source_lines, target, to, target_lines, rows, run)

    def loops(source, at, source_lines, target, to, target_lines, rows, run):
        for i in range(rows):
            line = to + load(target_lines, i * run)
            for j in range(lanes_of(source) // run):
                for e in range(run):
                    value = load(source, at + load(source_lines, j) + i * run + e)
                    store(target, line + j * run + e, value)

    return loops if isinstance(source.dtype, types.Complex) else vectors
