"""From a user's arrays to a back end's and back: canonicalise, call, restore.

Inside, every array is C-contiguous in the user's layout, of the dtype that sums are taken in, and
seen as (N, G, C/G, positions): leading axes flattened to one batch axis, channels split into
groups. The result is rounded once, to the promoted dtype, when it is written out.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from convref.backends import Kernels, backend_name, explained, kernels
from convref.checks import (
    check_bias,
    check_channels,
    check_groups,
    check_out,
    check_output,
    divide,
)
from convref.dtypes import accumulator, promoted
from convref.errors import ShapeError
from convref.geometry import Geometry, bind
from convref.memory import check_fits
from convref.spec import ConvSpec
from convref.threads import using_threads

Array = NDArray[Any]
Shape = tuple[int, ...]


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
    dtype = promoted(x=x, w=w)
    total = accumulator(dtype, options.accumulate)
    lead, channels, size = sizes("x", x.shape, spec)
    check_channels(channels, x, w, spec)
    check_bias(bias, len(w), total)
    geometry = bind(spec, size, w.shape[2:])
    result = allocate(lead, len(w), geometry.output_size, dtype, spec, options.out, x, w, bias)
    check_canvas(lead, channels, geometry, total)
    target = workspace(result, total)
    y = fold(target, spec)
    with using_threads(options.threads), np.errstate(all="ignore"):
        x, w = fold(contiguous(x, total), spec), fold_w(w, spec, total)
        run = kernels(options.backend, total, dtype, x=x, w=w)
        run, bias = rounding(run, options.form, dtype, bias)
        run.forward(x, w, y, geometry)
        add_bias(y, bias)
        return restore(target, result)


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
    lead, filters, size = sizes(name, dy.shape, spec)
    check_groups(w, spec, "input" if name == "x" else "output")
    geometry = bind(spec, tuple(input_size), w.shape[2:])
    check_output(name, dy, (filters, *size), len(w), geometry)
    channels = w.shape[1] * spec.groups
    check_bias(bias, channels, total)
    result = allocate(lead, channels, geometry.input_size, dtype, spec, options.out, dy, w, bias)
    check_canvas(lead, channels, geometry, total)
    target = workspace(result, total)
    x = fold(target, spec)
    with using_threads(options.threads), np.errstate(all="ignore"):
        y, w = fold(contiguous(dy, total), spec), fold_w(w, spec, total)
        operands = {name: y, "w": w}
        run = kernels(options.backend, total, dtype, **operands)
        run, bias = rounding(run, options.form, dtype, bias)
        run.input_grad(x, w, y, geometry)
        add_bias(x, bias)
        return restore(target, result)


def weight_grad(
    x: Array, dy: Array, kernel_size: tuple[int, ...], spec: ConvSpec, options: Options
) -> Array:
    """``dw (K, C/G, *kernel)`` of ``x (..., C, *input)`` and ``dy (..., K, *output)``."""
    dtype = promoted(x=x, dy=dy)
    total = accumulator(dtype, options.accumulate)
    lead, geometry, shape = both_sides(x, dy, kernel_size, spec)
    result = fresh(shape, dtype, options.out, x, dy)
    check_canvas(lead, shape[1] * spec.groups, geometry, total)
    target = workspace(result, total)
    with using_threads(options.threads), np.errstate(all="ignore"):
        x, y = fold(contiguous(x, total), spec), fold(contiguous(dy, total), spec)
        w = fold_w(target, spec, total)
        run = kernels(options.backend, total, dtype, x=x, dy=y)
        run, _ = rounding(run, options.form, dtype, None)
        run.weight_grad(x, w, y, geometry)
        return restore(target, result)


def both_sides(
    x: Array, dy: Array, kernel_size: Shape, spec: ConvSpec
) -> tuple[Shape, Geometry, Shape]:
    """Batch axes, geometry and shape of dw, of x and dy; raise ShapeError where they don't fit."""
    lead, channels, size = sizes("x", x.shape, spec)
    grad_lead, filters, grad_size = sizes("dy", dy.shape, spec)
    if lead != grad_lead:
        raise ShapeError(
            f"`x` (shape {x.shape}) and `dy` (shape {dy.shape}) differ in their batch axes",
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
    # A contiguous copy, so that the order of summation does not depend on the layout of dy.
    rows = np.ascontiguousarray(fold(contiguous(dy, total), spec))
    with np.errstate(all="ignore"):
        sums: Array = rows.sum(axis=(0, 3)).reshape(-1)
        return sums.astype(dy.dtype.newbyteorder("="))


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


def check_canvas(lead: Shape, channels: int, geometry: Geometry, total: np.dtype[Any]) -> None:
    """Check that the machine can hold the input as the back ends pad it."""
    shape = (*lead, channels, *geometry.canvas_size)
    check_fits(largest(shape) * total.itemsize, "the padded input", shape)


def contiguous(array: Array, total: np.dtype[Any]) -> Array:
    """The array as kernels need it: C-contiguous, aligned, of this dtype; itself if it is so."""
    flags = array.flags
    if array.dtype == total and flags.c_contiguous and flags.aligned:
        return array
    check_fits(array.size * total.itemsize, f"a copy of an array of shape {array.shape}")
    return np.require(array, total, ["C", "A"])


def fold(array: Array, spec: ConvSpec) -> Array:
    """A contiguous array in the layout of the spec, seen as ``(N, G, C/G, positions)``."""
    lead, channels, size = sizes("x", array.shape, spec)
    N, G, positions = prod(lead), spec.groups, prod(size)
    if spec.layout == "channels_last":
        return array.reshape(N, positions, G, channels // G).transpose(0, 2, 3, 1)
    return array.reshape(N, G, channels // G, positions)


def fold_w(w: Array, spec: ConvSpec, total: np.dtype[Any]) -> Array:
    """``(K, C/G, *kernel)`` as ``(G, K/G, C/G, T)``; a view where dtype and order allow."""
    shape = (spec.groups, len(w) // spec.groups, w.shape[1], prod(w.shape[2:]))
    return contiguous(w, total).reshape(shape)


def allocate(
    lead: Shape,
    channels: int,
    size: Shape,
    dtype: np.dtype[Any],
    spec: ConvSpec,
    out: Array | None,
    *inputs: Array | None,
) -> Array:
    """The array of a result in the layout of the spec: ``out``, if it can serve, or a fresh one."""
    return fresh(shape_of(lead, channels, size, spec), dtype, out, *inputs)


def fresh(shape: Shape, dtype: np.dtype[Any], out: Array | None, *inputs: Array | None) -> Array:
    """``out``, if it can serve, or a fresh array."""
    if out is None:
        check_fits(largest(shape) * dtype.itemsize, "the output", shape)
        return np.empty(shape, dtype)
    check_out(out, shape, dtype, *inputs)
    return out


def largest(shape: Shape) -> int:
    """How many elements there are, or would be: an empty batch has samples of some size, too."""
    return prod(shape) or prod(size or 1 for size in shape)


def workspace(result: Array, total: np.dtype[Any]) -> Array:
    """The result itself, where a kernel can write to it; else an array that it can."""
    flags = result.flags
    if result.dtype == total and flags.c_contiguous and flags.aligned:
        return result
    check_fits(result.size * total.itemsize, "the sums", result.shape)
    return np.empty(result.shape, total)


def restore(target: Array, result: Array) -> Array:
    """Round the sums into the result."""
    if target is not result:
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


def add_bias(y: Array, bias: Array | None) -> None:
    """Add one number per channel to ``y (N, G, K/G, P)``, in place."""
    if bias is not None:
        y += bias.astype(y.dtype).reshape(*y.shape[1:3], 1)


def reasons(x_shape: Shape, w_shape: Shape, spec: ConvSpec) -> dict[str, str]:
    """Which kernel of the `numba` back end each operator gets on float32 arrays, and why."""
    total = np.dtype(np.float32)
    # Never touched, these arrays take no memory.
    x, w = fresh(x_shape, total, None), fresh(w_shape, total, None)
    lead, channels, size = sizes("x", x.shape, spec)
    check_channels(channels, x, w, spec)
    geometry = bind(spec, size, w_shape[2:])
    y = allocate(lead, len(w), geometry.output_size, total, spec, None)
    return explained(fold(x, spec), fold(y, spec), geometry)
