"""From a user's arrays to a back end's and back: canonicalise, call, restore.

Inside, every array is C-contiguous in the user's layout, of the dtype that sums are taken in, and
seen as (N, G, C/G, positions): leading axes flattened to one batch axis, channels split into
groups. The result is rounded once, to the promoted dtype, when it is written out.
"""

from collections.abc import Sequence
from math import isqrt, prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from convref import calls
from convref.backends import Kernels, backend_name, explained, kernels
from convref.calls import PARTS, Asked, Call
from convref.checks import check_bias, check_out
from convref.dtypes import accumulator, sums_dtype
from convref.memory import check_fits, empty
from convref.shapes import Shape, folded, folded_w, sizes
from convref.spec import ConvSpec
from convref.threads import num_threads, using_threads, wanted

Array = NDArray[Any]
Dtype = np.dtype[Any]

SUMS_AT_ONCE = 1 << 16
"""Sums that are taken side by side, so that they stay in a cache."""


class Options(NamedTuple):
    """How to compute, as against what."""

    accumulate: DTypeLike | None = None
    out: Array | None = None
    backend: str | None = None
    threads: int | None = None
    form: str | None = None
    """The format that `exact` rounds to, by its name, where that is narrower than the result's."""


def forward(x: Array, w: Array, bias: Array | None, spec: ConvSpec, options: Options) -> Array:
    """``y`` of ``x (..., C, *input)`` and ``w (K, C/G, *kernel)``, in the layout of the spec."""
    call = calls.forward(x.shape, x.dtype, w.shape, w.dtype, spec, asked(options))
    check_bias(bias, len(w), call.total)
    return computed(call, options, x, w, bias)


def input_grad(
    dy: Array,
    w: Array,
    bias: Array | None,
    input_size: Sequence[int],
    spec: ConvSpec,
    options: Options,
    name: str = "dy",
) -> Array:
    """``dx (..., C, *input)`` of ``dy (..., K, *output)`` and ``w (K, C/G, *kernel)``.

    The bias, of the C channels, is there for transposed convolutions, which know dy as `x`.
    """
    call = calls.input_grad(
        name, dy.shape, dy.dtype, w.shape, w.dtype, tuple(input_size), spec, asked(options)
    )
    check_bias(bias, w.shape[1] * spec.groups, call.total)
    return computed(call, options, dy, w, bias)


def weight_grad(x: Array, dy: Array, kernel_size: Shape, spec: ConvSpec, options: Options) -> Array:
    """``dw (K, C/G, *kernel)`` of ``x (..., C, *input)`` and ``dy (..., K, *output)``."""
    call = calls.weight_grad(
        x.shape, x.dtype, dy.shape, dy.dtype, kernel_size, spec, asked(options)
    )
    return computed(call, options, x, dy, None)


def asked(options: Options) -> Asked:
    """What is asked for, checked."""
    accumulate = None if options.accumulate is None else sums_dtype(options.accumulate)
    return Asked(
        accumulate, options.out is None, backend_name(options.backend), wanted(options.threads)
    )


def computed(call: Call, options: Options, a: Array, b: Array, bias: Array | None) -> Array:
    """The result of an operator of two operands, with a bias for each of its channels."""
    result, target = room(call, options.out, a, b, bias)
    a, b = contiguous(a, call.total), contiguous(b, call.total)
    if call.ready:
        call.ready(a, b, target)
    if bias is not None or not call.ready:
        with using_threads(options.threads):
            fill_seen(call, options, a, b, target, bias)
    return restore(target, result)


def fill_seen(
    call: Call, options: Options, a: Array, b: Array, target: Array, bias: Array | None
) -> None:
    """Fill the target, unless that is done, and add the bias, as kernels see these arrays."""
    arrays = zip(PARTS[call.operator], (a, b, target), strict=True)
    seen = {part: seen_in(call, part, array) for part, array in arrays}
    first, second, filled = seen.values()
    operands = dict(zip(call.names, (first, second), strict=True))
    run = kernels(options.backend, call.total, call.dtype, **operands)
    run, bias = rounding(run, options.form, call.dtype, bias)
    if not call.ready:
        getattr(run, call.operator)(seen["x"], seen["w"], seen["y"], call.geometry)
    if bias is not None:
        add_bias(run, filled, bias)


def seen_in(call: Call, part: str, array: Array) -> Array:
    """A contiguous array as kernels see x, w or y."""
    if part == "w":
        return array.reshape(call.w)
    return seen_as(call.x if part == "x" else call.y, array, call.spec)


def bias_grad(dy: Array, spec: ConvSpec, options: Options) -> Array:
    """``db (K,)``: the sum of ``dy (..., K, *output)`` over batch and positions."""
    sizes("dy", dy.shape, spec)
    total = accumulator(dy.dtype, options.accumulate)
    if backend_name(options.backend) == "exact":  # a bias is a weight that sees ones
        y = fold(contiguous(dy, dy.dtype), spec)
        N, G, filters, P = y.shape
        y, ones = y.reshape(N, G * filters, P), np.ones((N, G, P), dy.dtype)
        return weight_grad(ones, y, (1,), ConvSpec.of(1, groups=G), options).reshape(-1)
    # Of the copy, where one is made, so that the order of sums does not depend on strides of dy.
    y = contiguous(dy, total)
    with np.errstate(all="ignore"):
        if spec.layout == "channels_last":
            sums = column_sums(y.reshape(prod(y.shape[:-1]), y.shape[-1]))
        else:
            sums = fold(y, spec).sum(axis=(0, 3)).reshape(-1)
        return sums.astype(dy.dtype.newbyteorder("="))


def column_sums(rows: Array) -> Array:
    """The sums along the first axis of ``(R, K)``, with some ``2 sqrt(R)`` roundings in a row.

    As many rows as stay in a cache are one long row, whose sums are then added up themselves.
    """
    count, columns = rows.shape
    together = max(1, min(isqrt(count), SUMS_AT_ONCE // max(1, columns)))
    whole = count // together * together
    sums = rows[:whole].reshape(whole // together, together * columns).sum(axis=0)
    total: Array = sums.reshape(together, columns).sum(axis=0) + rows[whole:].sum(axis=0)
    return total


def contiguous(array: Array, total: Dtype) -> Array:
    """The array as kernels need it: C-contiguous, aligned, of this dtype; itself if it is so."""
    flags = array.flags
    if array.dtype == total and flags.c_contiguous and flags.aligned:
        return array
    check_fits(array.size * total.itemsize, f"a copy of an array of shape {array.shape}")
    with np.errstate(all="ignore"):
        return np.require(array, total, ["C", "A"])


def fold(array: Array, spec: ConvSpec) -> Array:
    """A contiguous array in the layout of the spec, seen as ``(N, G, C/G, positions)``."""
    return seen_as(folded(array.shape, spec), array, spec)


def seen_as(shape: Shape, array: Array, spec: ConvSpec) -> Array:
    """A contiguous array, seen as ``(N, G, C/G, positions)``, given what `folded` says."""
    seen = array.reshape(shape)
    return seen.transpose(0, 2, 3, 1) if spec.layout == "channels_last" else seen


def fold_w(w: Array, spec: ConvSpec, total: Dtype) -> Array:
    """``(K, C/G, *kernel)`` as ``(G, K/G, C/G, T)``; a view where dtype and order allow."""
    return contiguous(w, total).reshape(folded_w(w.shape, spec))


def room(call: Call, out: Array | None, *inputs: Array | None) -> tuple[Array, Array]:
    """The result, which is ``out`` if there is one, and where to sum: there, if a kernel can."""
    if out is None:
        result, direct = empty(call.result, call.dtype), call.dtype == call.total
    else:
        check_out(out, call.result, call.dtype, *inputs)
        flags = out.flags
        result, direct = out, out.dtype == call.total and flags.c_contiguous and flags.aligned
    if direct:
        return result, result
    check_fits(result.size * call.total.itemsize, "the sums", call.result)
    return result, empty(call.result, call.total)


def restore(target: Array, result: Array) -> Array:
    """Round the sums into the result."""
    if target is not result:
        with np.errstate(all="ignore"):
            result[...] = target
    return result


def rounding(
    run: Kernels, form: str | None, dtype: Dtype, bias: Array | None
) -> tuple[Kernels, Array | None]:
    """Kernels for a result of this dtype, and the bias that they leave to be added.

    `exact` has the bias among the terms that it rounds once, and rounds to the result's format what
    it fills an array of the wider dtype of sums with.
    """
    once = vars(run).get("Rounding")  # of modules, an attribute that is not there costs far more
    return (run, bias) if once is None else (once(form or dtype.name, bias), None)


@np.errstate(all="ignore")
def add_bias(run: Kernels, y: Array, bias: Array) -> None:
    """Add one number per channel to ``y (N, G, K/G, P)``, in place: by the back end, if it can."""
    vars(run).get("add_bias", added)(y, bias.astype(y.dtype))


def added(y: Array, bias: Array) -> None:
    """Add a bias by NumPy."""
    y += bias.reshape(*y.shape[1:3], 1)


def reasons(x_shape: Shape, w_shape: Shape, spec: ConvSpec) -> dict[str, str]:
    """Which kernel of the `numba` back end each operator gets on float32 arrays, and why."""
    total = np.dtype(np.float32)
    how = Asked(None, made=True, backend="numba", threads=num_threads())
    call = calls.forward(x_shape, total, w_shape, total, spec, how)
    # Never touched, these arrays take no memory.
    x, y = empty(x_shape, total), empty(call.result, total)
    return explained(fold(x, spec), fold(y, spec), call.geometry)
