"""Layers over Dask arrays that slide windows or interpolate: which slab each block needs."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from math import prod
from typing import Any

import dask.array as da
import numpy as np

from convref import engine
from convref.backends import using_backend
from convref.dtypes import accumulator, divisible
from convref.engine import Array, Options
from convref.geometry import Axis, bind, spread
from convref.intervals import Stretch, reads
from convref.layers import Upsample, ZeroPad
from convref.layers.pooling import Pool
from convref.layers.upsample import Table, apply, matrices
from convref.scale.blockwise import Part, by_blocks
from convref.scale.graph import arranged, bounded, followed, sorted_out, spans
from convref.scale.operators import of_block
from convref.spec import ConvSpec
from convref.threads import using_threads


def windowed(layer: Pool | ZeroPad, kernel: Sequence[int], x: da.Array, how: Options) -> da.Array:
    """The output of a layer whose windows are those of a convolution."""
    spec = layer.spec
    geometry = bind(spec, sorted_out(x.shape, spec)[2], tuple(kernel))
    small = arranged((1,) * (x.ndim - spec.rank - 1), 1, map(spread, kernel, spec.dilation), spec)
    bare = copy(layer)
    bare.spec = of_block(spec, [replace(axis, lo=0, hi=0) for axis in geometry.axes], 1)
    sample = bare.forward(np.zeros(small, x.dtype))
    ratios = [(1, stride) for stride in spec.stride]
    shape = layer.output_shape(x.shape)
    return cut_along(
        window_block, reads, geometry.axes, x, ratios, shape, sample.dtype, (spec, bare, how)
    )


def window_block(
    x: Array, _w: None, _b: None, axes: Sequence[Axis], _groups: int,
    spec: ConvSpec, layer: Pool | ZeroPad, how: Options,
) -> Array:  # fmt: skip
    """A block of the output of a layer with windows, from the slab that it reads."""
    own = copy(layer)
    own.spec = of_block(spec, axes, 1)
    with using_backend(str(how.backend)), using_threads(how.threads):
        return own.forward(x)


def upsampled(layer: Upsample, x: da.Array) -> da.Array:
    """The output of a layer that puts positions between those that there are."""
    spec, nearest = layer.spec, layer.mode == "nearest"
    axes = [
        (size, scale, layer.mode, layer.align_corners)
        for size, scale in zip(sorted_out(x.shape, spec)[2], layer.scale_factor, strict=True)
    ]
    ratios = [(scale, 1) for scale in layer.scale_factor]
    dtype = (x._meta if nearest else divisible(x._meta)).dtype.newbyteorder("=")
    total = dtype if nearest else accumulator(dtype, None)
    shape = layer.output_shape(x.shape)
    return cut_along(
        upsample_block, interpolated, axes, x, ratios, shape, dtype, (spec, total, dtype)
    )


def interpolated(
    axis: tuple[int, int, str, bool], first: int, stop: int
) -> tuple[tuple[Stretch], Table]:
    """The positions that a stretch of the output lies between, and the matrix of the two."""
    columns, weights = matrices(*axis)[0]
    rows = slice(first, stop)
    columns = columns[:, rows]
    begin, end = int(columns.min()), int(columns.max()) + 1
    table = Table(columns - begin, None if weights is None else weights[:, rows])
    return ((begin, end),), table


def upsample_block(
    x: Array, _w: None, _b: None, tables: Sequence[Table], _groups: int,
    spec: ConvSpec, total: np.dtype[Any], dtype: np.dtype[Any],
) -> Array:  # fmt: skip
    """A block of an upsampled array, from the positions that it lies between."""
    y = engine.contiguous(x, total)
    first = x.ndim - spec.rank - (spec.layout == "channels_last")
    for number in reversed(range(spec.rank)):
        y = apply(tables[number], y, first + number)
    return y.astype(dtype, copy=False)


def cut_along(
    run: Any, tie: Any, axes: Sequence[Any], x: da.Array, ratios: Sequence[tuple[int, int]],
    shape: tuple[int, ...], dtype: np.dtype[Any], settings: tuple[Any, ...],
) -> da.Array:  # fmt: skip
    """A result of this shape, channel by channel, whose chunks follow those of x."""
    spec = settings[0]
    lead, channels, size = sorted_out(x.chunks, spec)
    along = [
        followed(chunks, *ratio, length)
        for chunks, ratio, length in zip(size, ratios, sorted_out(shape, spec)[2], strict=True)
    ]
    chunks = bounded(
        arranged(lead, channels, along, spec),
        lambda longest: prod(longest) * dtype.itemsize,
        range(len(shape)),
    )
    parts = [Part(span, 1, span) for span in spans(sorted_out(chunks, spec)[1])]
    return by_blocks(run, tie, axes, parts, (x, None, None), chunks, dtype, settings)
