"""Plain element access to flat arrays, for inner loops.

In Numba ``a[i]`` first tests whether i is negative, to count from the end as Python does. That
test keeps the compiler from using vectors. `load` and `store` are ``a[i]`` without it; the indices
of the kernels are sums of offsets and never negative. With NUMBA_BOUNDSCHECK=1 both check instead.
"""

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic, overload


def load(a, i):
    """``a[i]``."""
    return a[i]


def store(a, i, value):
    """``a[i] = value``."""
    a[i] = value


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
def _load_element(typing_context, a, i):
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        address = _address(context, builder, signature.args[0], args)
        return context.unpack_value(builder, a.dtype, address)

    return a.dtype(a, types.int64), generate


@intrinsic
def _store_element(typing_context, a, i, value):
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        address = _address(context, builder, signature.args[0], args)
        context.pack_value(builder, a.dtype, args[2], address)
        return context.get_dummy_value()

    return types.void(a, types.int64, a.dtype), generate


def _address(context: Any, builder: ir.IRBuilder, array: Any, args: Any) -> ir.Value:
    data = context.make_array(array)(context, builder, args[0]).data
    return builder.gep(data, [args[1]], inbounds=True)
