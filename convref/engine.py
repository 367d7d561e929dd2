"""From a user's arrays to a back end's and back: canonicalise, call, restore.

Inside, every array is C-contiguous, channels first, of the dtype that sums are taken in, with its
leading axes flattened to one batch axis and its channels split into groups. The result is rounded
once, to the promoted dtype, when it is written out in the user's layout.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from convref.backends import kernels
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


class Options(NamedTuple):
    """How to compute, as against what."""

    accumulate: DTypeLike | None = None
    out: Array | None = None
    backend: str | None = None
    threads: int | None = None


def forward(x: Array, w: Array, bias: Array | None, spec: ConvSpec, options: Options) -> Array:
    """``y`` of ``x (..., C, *input)`` and ``w (K, C/G, *kernel)``, in the layout of the spec."""
    dtype = promoted(x=x, w=w)
    total = accumulator(dtype, options.accumulate)
    seen = channels_first("x", x, spec)
    check_channels(seen.shape[-spec.rank - 1], x, w, spec)
    check_bias(bias, len(w), total)
    geometry = bind(spec, seen.shape[-spec.rank :], w.shape[2:])
    lead = seen.shape[: -spec.rank - 1]
    shape = (*lead, len(w), *geometry.output_size)
    result = allocate(shape, dtype, spec, options.out, x, w, bias)
    view = channels_first("out", result, spec)
    target = workspace(view, total)
    with using_threads(options.threads), np.errstate(all="ignore"):
        kernels(options.backend, total).forward(
            place(seen, geometry, total),
            fold_w(w, geometry, total),
            fold(target, geometry),
            geometry,
        )
        add_bias(target, bias, spec)
        return restore(target, view, result)


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
    seen = channels_first(name, dy, spec)
    check_groups(w, spec, "input" if name == "x" else "output")
    geometry = bind(spec, tuple(input_size), w.shape[2:])
    check_output(name, dy, seen, len(w), geometry)
    lead = seen.shape[: -spec.rank - 1]
    channels = w.shape[1] * spec.groups
    check_bias(bias, channels, total)
    shape = (*lead, channels, *geometry.input_size)
    result = allocate(shape, dtype, spec, options.out, dy, w, bias)
    view = channels_first("out", result, spec)
    target = workspace(view, total)
    with using_threads(options.threads), np.errstate(all="ignore"):
        y = contiguous(seen, total)
        canvas = target
        if not geometry.canvas_is_input:
            canvas = canvas_for(lead, channels, geometry, total)
        kernels(options.backend, total).input_grad(
            fold(canvas, geometry), fold_w(w, geometry, total), fold(y, geometry), geometry
        )
        if canvas is not target:
            geometry.take_back(canvas, target)
        add_bias(target, bias, spec)
        return restore(target, view, result)


def weight_grad(
    x: Array, dy: Array, kernel_size: tuple[int, ...], spec: ConvSpec, options: Options
) -> Array:
    """``dw (K, C/G, *kernel)`` of ``x (..., C, *input)`` and ``dy (..., K, *output)``."""
    dtype = promoted(x=x, dy=dy)
    total = accumulator(dtype, options.accumulate)
    seen, grad = channels_first("x", x, spec), channels_first("dy", dy, spec)
    if seen.shape[: -spec.rank - 1] != grad.shape[: -spec.rank - 1]:
        raise ShapeError(
            f"`x` (shape {x.shape}) and `dy` (shape {dy.shape}) differ in their batch axes",
            "pass the `dy` of the output that this `x` gives",
        )
    channels, filters = seen.shape[-spec.rank - 1], grad.shape[-spec.rank - 1]
    divide("x", x, "input", channels, spec)
    divide("dy", dy, "output", filters, spec)
    geometry = bind(spec, seen.shape[-spec.rank :], kernel_size)
    check_output("dy", dy, grad, filters, geometry)
    shape = (filters, channels // spec.groups, *kernel_size)
    result = allocate(shape, dtype, None, options.out, x, dy)
    target = workspace(result, total)
    with using_threads(options.threads), np.errstate(all="ignore"):
        y = contiguous(grad, total)
        kernels(options.backend, total).weight_grad(
            place(seen, geometry, total),
            fold_w(target, geometry, total),
            fold(y, geometry),
            geometry,
        )
        return restore(target, result, result)


def bias_grad(dy: Array, spec: ConvSpec, options: Options) -> Array:
    """``db (K,)``: the sum of ``dy (..., K, *output)`` over batch and positions."""
    seen = channels_first("dy", dy, spec)
    total = accumulator(dy.dtype, options.accumulate)
    # A contiguous copy, so that the order of summation does not depend on the layout of dy.
    rows = contiguous(seen, total).reshape(-1, *seen.shape[-spec.rank - 1 :])
    with np.errstate(all="ignore"):
        sums: Array = rows.sum(axis=(0, *range(2, rows.ndim)))
        return sums.astype(dy.dtype.newbyteorder("="))


def channels_first(name: str, array: Array, spec: ConvSpec) -> Array:
    """A view ``(..., C, *spatial)`` of an array in the layout of the spec."""
    if array.ndim < spec.rank + 1:
        axes = "(..., *spatial, C)" if spec.layout == "channels_last" else "(..., C, *spatial)"
        raise ShapeError(
            f"`{name}` (shape {array.shape}) has {array.ndim} axes, and {spec.rank} spatial axes "
            f"take at least {spec.rank + 1}",
            f"give it the shape {axes}",
        )
    return np.moveaxis(array, -1, -spec.rank - 1) if spec.layout == "channels_last" else array


def contiguous(array: Array, total: np.dtype[Any]) -> Array:
    """The array as kernels need it: C-contiguous, aligned, of this dtype; itself if it is so."""
    if array.dtype != total or not array.flags.c_contiguous:
        check_fits(array.size * total.itemsize, f"a copy of an array of shape {array.shape}")
    return np.require(array, total, ["C", "A"])


def fold(array: Array, geometry: Geometry) -> Array:
    """``(..., C, *spatial)`` as ``(N, G, C/G, cells)``; a view, for the array is contiguous."""
    rank = len(geometry.axes)
    *lead, channels = array.shape[:-rank]
    cells = prod(array.shape[-rank:])
    return array.reshape(prod(lead), geometry.groups, channels // geometry.groups, cells)


def fold_w(w: Array, geometry: Geometry, total: np.dtype[Any]) -> Array:
    """``(K, C/G, *kernel)`` as ``(G, K/G, C/G, T)``; a view where dtype and order allow."""
    per_group = len(w) // geometry.groups
    shape = (geometry.groups, per_group, w.shape[1], prod(geometry.kernel_size))
    return contiguous(w, total).reshape(shape)


def place(x: Array, geometry: Geometry, total: np.dtype[Any]) -> Array:
    """``x (..., C, *input)`` on its canvas ``(N, G, C/G, S)``; x itself if nothing is padded."""
    if geometry.canvas_is_input:
        return fold(contiguous(x, total), geometry)
    *lead, channels = x.shape[: -len(geometry.axes)]
    canvas = canvas_for(lead, channels, geometry, total)
    geometry.place(x, canvas)
    return fold(canvas, geometry)


def canvas_for(
    lead: Sequence[int], channels: int, geometry: Geometry, total: np.dtype[Any]
) -> Array:
    """An unfilled canvas ``(..., C, *canvas_size)``."""
    shape = (*lead, channels, *geometry.canvas_size)
    check_fits(prod(shape) * total.itemsize, f"the padded input, of shape {shape},")
    return np.empty(shape, total)


def allocate(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    spec: ConvSpec | None,
    out: Array | None,
    *inputs: Array | None,
) -> Array:
    """The array of the result: ``out``, if it can serve, or a fresh one.

    ``shape`` is channels first; it is put in the layout of the spec (weights have none).
    """
    if spec is not None and spec.layout == "channels_last":
        axis = len(shape) - spec.rank - 1
        shape = (*shape[:axis], *shape[axis + 1 :], shape[axis])
    if out is None:
        check_fits(prod(shape) * dtype.itemsize, f"the output, of shape {shape},")
        return np.empty(shape, dtype)
    check_out(out, shape, dtype, *inputs)
    return out


def workspace(view: Array, total: np.dtype[Any]) -> Array:
    """The result itself, where a kernel can write to it; else an array that it can."""
    if view.dtype == total and view.flags.c_contiguous and view.flags.aligned:
        return view
    check_fits(view.size * total.itemsize, f"the sums, of shape {view.shape},")
    return np.empty(view.shape, total)


def restore(target: Array, view: Array, result: Array) -> Array:
    """Round and permute the sums into the result."""
    if target is not view:
        view[...] = target
    return result


def add_bias(target: Array, bias: Array | None, spec: ConvSpec) -> None:
    """Add one number per channel to ``target (..., C, *spatial)``, in place."""
    if bias is not None:
        target += bias.astype(target.dtype).reshape(len(bias), *[1] * spec.rank)
