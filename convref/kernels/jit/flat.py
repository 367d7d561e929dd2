"""Plain access to numbers in memory.

Kernels see arrays as addresses, which Numba neither counts references of nor bends negative indices
for: both cost more than the loops they stand in. Without JIT the same code sees the arrays.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from convref.kernels.jit.kept import compiled
from convref.kernels.jit.vectors import vector_bytes


def load(a, i):
    """``a[i]``."""
    return a[i]


def store(a, i, value):
    """``a[i] = value``."""
    a[i] = value


def data(a):
    """The address of an array; it does not keep the array, see `keep`."""
    return a


def word(words, i):
    """Entry i of a kernel's words as the address of integers."""
    return words[i]


def shifted(a, count):
    """The address ``count`` numbers on."""
    return a[count:]


def aligned(a):
    """The first address from here on, less than a vector on, at which vectors straddle no line."""
    return a


def empty_like(a, count):
    """A new array of so many numbers, of the dtype behind an address."""
    return np.empty(count, a.dtype)


def zeros_like(a, count):
    """A new array of so many zeros, of the dtype behind an address."""
    return np.zeros(count, a.dtype)


@overload(empty_like)
def _empty_like(a, count):
    dtype = np.dtype(str(a.dtype))
    return lambda a, count: np.empty(count, dtype)


@overload(zeros_like)
def _zeros_like(a, count):
    dtype = np.dtype(str(a.dtype))
    return lambda a, count: np.zeros(count, dtype)


@compiled()
def keep(*arrays):
    """Nothing: but up to here the arrays are in use."""


@overload(load)
def _load(a, i):
    return lambda a, i: _load_element(a, i)


@overload(store)
def _store(a, i, value):
    return lambda a, i, value: _store_element(a, i, value)


@overload(data)
def _data(a):
    return lambda a: _address_of(a)


@overload(word)
def _word(words, i):
    return lambda words, i: _integers_at(_load_element(words, i))


@overload(shifted)
def _shifted(a, count):
    return lambda a, count: _on(a, count)


@overload(aligned)
def _aligned(a):
    return lambda a: _aligned_address(a)


@intrinsic
def _aligned_address(typing_context, a):
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        index = ir.IntType(64)
        place = builder.add(builder.ptrtoint(args[0], index), index(vector_bytes() - 1))
        return builder.inttoptr(builder.and_(place, index(-vector_bytes())), args[0].type)

    return a(a), generate


@intrinsic
def _address_of(typing_context, a):
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return pointer(context, builder, signature, args, 0)

    return types.CPointer(a.dtype)(a), generate


@intrinsic
def _integers_at(typing_context, place):
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.inttoptr(args[0], ir.IntType(64).as_pointer())

    return types.CPointer(types.int64)(place), generate


@intrinsic
def _on(typing_context, a, count):
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.gep(args[0], [args[1]], inbounds=True)

    return a(a, types.int64), generate


@intrinsic
def _load_element(typing_context, a, i):
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        first = pointer(context, builder, signature, args, 0)
        address = builder.gep(first, [args[1]], inbounds=True)
        return context.unpack_value(builder, a.dtype, address)

    return a.dtype(a, types.int64), generate


@intrinsic
def _store_element(typing_context, a, i, value):
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        first = pointer(context, builder, signature, args, 0)
        address = builder.gep(first, [args[1]], inbounds=True)
        context.pack_value(builder, a.dtype, args[2], address)
        return context.get_dummy_value()

    return types.void(a, types.int64, a.dtype), generate


def pointer(
    context: Any, builder: ir.IRBuilder, signature: Any, args: Any, position: int
) -> ir.Value:
    """The address in the argument at this position, which may be an array."""
    if isinstance(signature.args[position], types.CPointer):
        return args[position]
    return context.make_array(signature.args[position])(context, builder, args[position]).data
