"""From a user's arrays to a back end's and back: canonicalise, call, restore.

Inside, every array is C-contiguous in the user's layout, of the dtype that sums are taken in, and
seen as (N, G, C/G, positions): leading axes flattened to one batch axis, channels split into
groups. The result is rounded once, to the promoted dtype, when it is written out.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import isqrt, prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from convref.backends import Kernels, backend_name, explained, kernels
from convref.checks import (
    check_bias,
    check_channels,
    check_groups,
    check_memory,
    check_out,
    check_output,
    divide,
)
from convref.dtypes import accumulator, promoted
from convref.errors import ShapeError
from convref.geometry import Geometry, bind
from convref.memory import check_fits, empty
from convref.spec import ConvSpec
from convref.threads import using_threads

Array = NDArray[Any]
Shape = tuple[int, ...]

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


class Call(NamedTuple):
    """What the shapes of the operands say, and allow: the same for every call with them."""

    geometry: Geometry
    result: Shape
    x: Shape
    """The shapes as `fold` needs them, of x,"""
    w: Shape
    """of w,"""
    y: Shape
    """and of y."""


def forward(x: Array, w: Array, bias: Array | None, spec: ConvSpec, options: Options) -> Array:
    """``y`` of ``x (..., C, *input)`` and ``w (K, C/G, *kernel)``, in the layout of the spec."""
    dtype = promoted(x=x, w=w)
    total = accumulator(dtype, options.accumulate)
    made = dtype if options.out is None else None
    call = forward_call(x.shape, w.shape, spec, total, made)
    check_bias(bias, len(w), total)
    result, target = room(call.result, dtype, total, options.out, x, w, bias)
    y = seen_as(call.y, target, spec)
    with using_threads(options.threads):
        x, w = seen_as(call.x, contiguous(x, total), spec), contiguous(w, total).reshape(call.w)
        run = kernels(options.backend, total, dtype, x=x, w=w)
        run, bias = rounding(run, options.form, dtype, bias)
        run.forward(x, w, y, call.geometry)
        if bias is not None:
            add_bias(run, y, bias)
        return restore(target, result)


@lru_cache(maxsize=256)
def forward_call(
    x: Shape, w: Shape, spec: ConvSpec, total: np.dtype[Any], made: np.dtype[Any] | None
) -> Call:
    """Check and resolve the shapes of x and w.

    Products are summed in the dtype ``total``; ``made`` is that of the result, if there is no array
    for it yet.
    """
    lead, channels, size = sizes("x", x, spec)
    check_channels(channels, x, w, spec)
    geometry = bind(spec, size, w[2:])
    y = shape_of(lead, w[0], geometry.output_size, spec)
    check_memory(y, made, canvases(lead, channels, geometry), total)
    return Call(geometry, y, folded(x, spec), folded_w(w, spec), folded(y, spec))


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
    dtype = promoted(**{name: dy}, w=w)
    total = accumulator(dtype, options.accumulate)
    made = dtype if options.out is None else None
    call = input_grad_call(name, dy.shape, w.shape, tuple(input_size), spec, total, made)
    check_bias(bias, w.shape[1] * spec.groups, total)
    result, target = room(call.result, dtype, total, options.out, dy, w, bias)
    x = seen_as(call.x, target, spec)
    with using_threads(options.threads):
        y, w = seen_as(call.y, contiguous(dy, total), spec), contiguous(w, total).reshape(call.w)
        operands = {name: y, "w": w}
        run = kernels(options.backend, total, dtype, **operands)
        run, bias = rounding(run, options.form, dtype, bias)
        run.input_grad(x, w, y, call.geometry)
        if bias is not None:
            add_bias(run, x, bias)
        return restore(target, result)


@lru_cache(maxsize=256)
def input_grad_call(
    name: str, dy: Shape, w: Shape, input_size: Shape, spec: ConvSpec, total: np.dtype[Any],
    made: np.dtype[Any] | None,
) -> Call:  # fmt: skip
    """Check and resolve the shapes of dy, by its name, and of w and the input."""
    lead, filters, size = sizes(name, dy, spec)
    check_groups(w, spec, "input" if name == "x" else "output")
    geometry = bind(spec, input_size, w[2:])
    check_output(name, dy, (filters, *size), w[0], geometry)
    channels = w[1] * spec.groups
    x = shape_of(lead, channels, geometry.input_size, spec)
    check_memory(x, made, canvases(lead, channels, geometry), total)
    return Call(geometry, x, folded(x, spec), folded_w(w, spec), folded(dy, spec))


def weight_grad(x: Array, dy: Array, kernel_size: Shape, spec: ConvSpec, options: Options) -> Array:
    """``dw (K, C/G, *kernel)`` of ``x (..., C, *input)`` and ``dy (..., K, *output)``."""
    dtype = promoted(x=x, dy=dy)
    total = accumulator(dtype, options.accumulate)
    made = dtype if options.out is None else None
    call = weight_grad_call(x.shape, dy.shape, kernel_size, spec, total, made)
    result, target = room(call.result, dtype, total, options.out, x, dy)
    with using_threads(options.threads):
        x = seen_as(call.x, contiguous(x, total), spec)
        y = seen_as(call.y, contiguous(dy, total), spec)
        run = kernels(options.backend, total, dtype, x=x, dy=y)
        run, _ = rounding(run, options.form, dtype, None)
        run.weight_grad(x, target.reshape(call.w), y, call.geometry)
        return restore(target, result)


@lru_cache(maxsize=256)
def weight_grad_call(
    x: Shape, dy: Shape, kernel_size: Shape, spec: ConvSpec, total: np.dtype[Any],
    made: np.dtype[Any] | None,
) -> Call:  # fmt: skip
    """Check and resolve the shapes of x, dy and the kernel."""
    lead, geometry, w = both_sides(x, dy, kernel_size, spec)
    check_memory(w, made, canvases(lead, w[1] * spec.groups, geometry), total)
    return Call(geometry, w, folded(x, spec), folded_w(w, spec), folded(dy, spec))


def both_sides(
    x: Shape, dy: Shape, kernel_size: Shape, spec: ConvSpec
) -> tuple[Shape, Geometry, Shape]:
    """Batch axes, geometry and shape of dw, of x and dy; raise ShapeError where they don't fit."""
    lead, channels, size = sizes("x", x, spec)
    grad_lead, filters, grad_size = sizes("dy", dy, spec)
    if lead != grad_lead:
        raise ShapeError(
            f"`x` (shape {x}) and `dy` (shape {dy}) differ in their batch axes",
            "pass the `dy` of the output that this `x` gives",
        )
    divide("x", x, "input", channels, spec)
    divide("dy", dy, "output", filters, spec)
    geometry = bind(spec, size, kernel_size)
    check_output("dy", dy, (filters, *grad_size), filters, geometry)
    return lead, geometry, (filters, channels // spec.groups, *kernel_size)


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


def sizes(name: str, shape: Shape, spec: ConvSpec) -> tuple[Shape, int, Shape]:
    """Batch sizes, channels and spatial sizes of an array in the layout of the spec."""
    lead = len(shape) - spec.rank - 1
    if lead < 0:
        axes = "(..., *spatial, C)" if spec.layout == "channels_last" else "(..., C, *spatial)"
        raise ShapeError(
            f"`{name}` (shape {shape}) has {len(shape)} axes, and {spec.rank} spatial axes "
            f"take at least {spec.rank + 1}",
            f"give it the shape {axes}",
        )
    if spec.layout == "channels_last":
        return shape[:lead], shape[-1], shape[lead:-1]
    return shape[:lead], shape[lead], shape[lead + 1 :]


def shape_of(lead: Shape, channels: int, size: Shape, spec: ConvSpec) -> Shape:
    """The shape of an array in the layout of the spec: the inverse of `sizes`."""
    if spec.layout == "channels_last":
        return (*lead, *size, channels)
    return (*lead, channels, *size)


def canvases(lead: Shape, channels: int, geometry: Geometry) -> Shape:
    """The shape of a whole input as the back ends may pad it."""
    return (*lead, channels, *geometry.canvas_size)


def contiguous(array: Array, total: np.dtype[Any]) -> Array:
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


def folded(shape: Shape, spec: ConvSpec) -> Shape:
    """The shape with one batch axis, groups, and one axis of positions, in the layout's order."""
    lead, channels, size = sizes("x", shape, spec)
    N, G, positions = prod(lead), spec.groups, prod(size)
    if spec.layout == "channels_last":
        return N, positions, G, channels // G
    return N, G, channels // G, positions


def seen_as(shape: Shape, array: Array, spec: ConvSpec) -> Array:
    """A contiguous array, seen as ``(N, G, C/G, positions)``, given what `folded` says."""
    seen = array.reshape(shape)
    return seen.transpose(0, 2, 3, 1) if spec.layout == "channels_last" else seen


def fold_w(w: Array, spec: ConvSpec, total: np.dtype[Any]) -> Array:
    """``(K, C/G, *kernel)`` as ``(G, K/G, C/G, T)``; a view where dtype and order allow."""
    return contiguous(w, total).reshape(folded_w(w.shape, spec))


def folded_w(w: Shape, spec: ConvSpec) -> Shape:
    """The shape of weights as ``(G, K/G, C/G, T)``."""
    return spec.groups, w[0] // spec.groups, w[1], prod(w[2:])


def room(
    shape: Shape, dtype: np.dtype[Any], total: np.dtype[Any], out: Array | None,
    *inputs: Array | None,
) -> tuple[Array, Array]:  # fmt: skip
    """The result, which is ``out`` if there is one, and where to sum: there, if a kernel can."""
    if out is None:
        result, direct = empty(shape, dtype), dtype == total
    else:
        check_out(out, shape, dtype, *inputs)
        result, direct = out, out.dtype == total and out.flags.c_contiguous and out.flags.aligned
    if direct:
        return result, result
    check_fits(result.size * total.itemsize, "the sums", shape)
    return result, empty(shape, total)


def restore(target: Array, result: Array) -> Array:
    """Round the sums into the result."""
    if target is not result:
        with np.errstate(all="ignore"):
            result[...] = target
    return result


def rounding(
    run: Kernels, form: str | None, dtype: np.dtype[Any], bias: Array | None
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
    call = forward_call(x_shape, w_shape, spec, total, total)
    # Never touched, these arrays take no memory.
    x, y = empty(x_shape, total), empty(call.result, total)
    return explained(fold(x, spec), fold(y, spec), call.geometry)
