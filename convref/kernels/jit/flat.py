"""Plain access to the numbers of flat arrays, for inner loops.

Numba does two things that cost more than the loops they stand in. For ``a[i]`` it first tests
whether i is negative, to count from the end as Python does, which keeps the compiler from using
vectors: `load` and `store` are ``a[i]`` without that, for the indices of the kernels are sums of
offsets and never negative. And for every call that takes an array it counts a reference up and down
again: `data` gives the array's address alone. It does not keep the array alive; `keep` does, at the
end of a function that made one.

With NUMBA_BOUNDSCHECK=1 addresses are the arrays and every access is checked.
"""

from typing import Any

from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic, overload


def data(a):
    """The numbers of a flat array; without JIT, the array."""
    return a


def load(a, i):
    """``a[i]``."""
    return a[i]


def store(a, i, value):
    """``a[i] = value``."""
    a[i] = value


@njit(nogil=True, cache=True)
def keep(*arrays):
    """Nothing: but up to here the arrays are in use."""


@overload(data)
def _data(a):
    if config.BOUNDSCHECK:
        return lambda a: a
    return lambda a: _address_of(a)


@overload(load)
def _load(a, i):
    if config.BOUNDSCHECK:
        return lambda a, i: a[i]
    return lambda a, i: _load_element(a, i)


@overload(store)
def _store(a, i, value):
    def checked(a, i, value):
        a[i] = value

    if config.BOUNDSCHECK:
        return checked
    return lambda a, i, value: _store_element(a, i, value)


@intrinsic
def _address_of(typing_context, a):
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return pointer(context, builder, signature, args, 0)

    return types.CPointer(a.dtype)(a), generate


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
    """The address of the argument at this position, an array or what `data` made of one."""
    if isinstance(signature.args[position], types.CPointer):
        return args[position]
    return context.make_array(signature.args[position])(context, builder, args[position]).data
