"""Copies by whole vectors, and of runs of less than one.

A function that LLVM would not compile so by itself stands here twice: in Python, as what it means
and what runs without compilation, and as the instructions that Numba puts in its place.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from convref.kernels.jit.flat import load, pointer, store
from convref.kernels.jit.kept import compiled, named_after
from convref.kernels.jit.vectors import (
    below,
    by_shape,
    lanes_of,
    masked_load,
    shuffled,
    vector_lanes,
)


@compiled(fastmath=False)
def copy(source, at, target, to, count):
    """``target[to + i] = source[at + i]``."""
    whole = count // lanes_of(source) * lanes_of(source)
    copy_vectors(source, at, target, to, whole)
    for i in range(whole, count):
        store(target, to + i, load(source, at + i))


def copy_vectors(source, at, target, to, count):
    """`copy` of a whole number of vectors."""
    target[to : to + count] = source[at : at + count]


def copy_padded(source, at, target, to, count):
    """`copy`, and zeros after it up to a whole number of vectors."""
    whole = -(-count // lanes_of(source)) * lanes_of(source)
    target[to + count : to + whole] = 0
    target[to : to + count] = source[at : at + count]


def copy_second_padded(source, at, target, to, count):
    """`copy_padded` of every second number."""
    whole = -(-count // lanes_of(source)) * lanes_of(source)
    target[to + count : to + whole] = 0
    target[to : to + count] = source[at : at + 2 * count - 1 : 2]


def _compile_copy(function: Callable[..., None], step: int, padded: bool = True) -> None:
    """Let Numba compile a copy of every step-th number to whole vectors."""

    @intrinsic
    def vectors(typing_context, source, at, target, to, count):
        signature = types.void(source, types.int64, target, types.int64, types.int64)
        size, index = source.dtype.bitwidth // 8, ir.IntType(64)
        LANES = vector_lanes(size)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            vector = ir.VectorType(context.get_data_type(source.dtype), LANES)
            data, target_data = (
                pointer(context, builder, signature, args, position) for position in (0, 2)
            )
            first, into = builder.gep(data, [args[1]]), builder.gep(target_data, [args[3]])
            # The numbers from the first that is copied to the last.
            reach = builder.sub(builder.mul(args[4], index(step)), index(step - 1))

            def read(i: ir.Value, part: int) -> ir.Value:
                at = builder.add(builder.mul(i, index(step)), index(part * LANES))
                if not padded:
                    place = builder.bitcast(builder.gep(first, [at]), vector.as_pointer())
                    return builder.load(place, align=size)
                mask = below(builder, builder.sub(reach, at), LANES)
                return masked_load(builder, builder.gep(first, [at]), vector, mask, size)

            loop = cgutils.for_range_slice(builder, index(0), args[4], index(LANES), index)
            with loop as (i, _):
                value = read(i, 0)
                if step == 2:
                    evens = [2 * lane for lane in range(LANES)]
                    value = shuffled(builder, value, read(i, 1), evens)
                to = builder.bitcast(builder.gep(into, [i]), vector.as_pointer())
                builder.store(value, to, align=size)
            return context.get_dummy_value()

        return signature, generate

    @overload(function)
    def compiled(source, at, target, to, count):
        LANES = vector_lanes(source.dtype.bitwidth // 8)

        def by_vectors(source, at, target, to, count):
            vectors(source, at, target, to, count)

        def by_numbers(source, at, target, to, count):
            for i in range(count):
                store(target, to + i, load(source, at + step * i))
            for i in range(count, -(-count // LANES) * LANES):
                store(target, to + i, 0)

        made = by_numbers if isinstance(source.dtype, types.Complex) else by_vectors
        return named_after(function, made)


_compile_copy(copy_vectors, 1, padded=False)
_compile_copy(copy_padded, 1)
_compile_copy(copy_second_padded, 2)


def copy_run(source, at, target, to, run):
    """`copy` of at most a vector: one number, a power of two, or LANES."""
    target[to : to + run] = source[at : at + run]


def runs(LANES: int) -> list[int]:
    """Powers of two below LANES, and 1."""
    return [1, *(2**power for power in range(1, LANES.bit_length() - 1))]


@intrinsic
def _copy_in_register(typing_context, source, at, target, to, run):
    """`copy_run` by one load and one store."""
    i = types.int64
    signature = types.void(source, i, target, i, i)
    size = source.dtype.bitwidth // 8
    LANES = vector_lanes(size)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        data, target_data = (
            pointer(context, builder, signature, args, position) for position in (0, 2)
        )
        first, into = builder.gep(data, [args[1]]), builder.gep(target_data, [args[3]])

        def copied(run: int, _: int) -> None:
            kind = ir.VectorType(context.get_data_type(source.dtype), run).as_pointer()
            value = builder.load(builder.bitcast(first, kind), align=size)
            builder.store(value, builder.bitcast(into, kind), align=size)

        shapes = tuple((run, 0) for run in {*runs(LANES), LANES})
        by_shape(builder, args[4], ir.IntType(64)(0), shapes, copied)
        return context.get_dummy_value()

    return signature, generate


@overload(copy_run)
def _copy_run(source, at, target, to, run):
    def by_vector(source, at, target, to, run):
        _copy_in_register(source, at, target, to, run)

    def by_numbers(source, at, target, to, run):
        for i in range(run):
            store(target, to + i, load(source, at + i))

    return by_numbers if isinstance(source.dtype, types.Complex) else by_vector
