"""Convolution seen as a matrix product: the columns, and their transpose."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref import engine, shapes
from convref.checks import check_canvas, check_result, divide
from convref.dtypes import accumulator, as_array
from convref.errors import ShapeError, verb
from convref.geometry import bind
from convref.integers import kernel_sizes, per_axis
from convref.kernels.im2col import matrix_of_columns, scatter
from convref.memory import empty
from convref.spec import Axes, ConvSpec, Words

Array = NDArray[Any]


@verb
def im2col(x: ArrayLike, kernel_size: Sequence[int], **words: Unpack[Words]) -> Array:
    """The column matrix ``(..., C*T, P)``: what each tap sees at each output position.

    Row ``c*T + t`` is tap t of channel c, as in PyTorch's unfold, so that for one group
    ``w.reshape(K, C*T) @ im2col(x)`` is the output, flattened to ``(..., K, P)``. Of several groups
    each takes a block of ``C/groups * T`` rows; the columns are the same.

    >>> im2col([[1, 2, 3, 4]], (3,))
    array([[1, 2],
           [2, 3],
           [3, 4]])
    """
    x, size = as_array("x", x), kernel_sizes(kernel_size)
    spec = ConvSpec.of(len(size), **words)
    lead, channels, spatial = shapes.sizes("x", x.shape, spec)
    divide("x", x.shape, "input", channels, spec)
    geometry = bind(spec, spatial, size)
    check_canvas(shapes.canvases(lead, channels, geometry), x.dtype)
    operand = engine.fold(engine.contiguous(x, x.dtype.newbyteorder("=")), spec)
    cols = matrix_of_columns(geometry.canvas(operand), geometry)
    return cols.reshape(*lead, channels * len(geometry.taps), len(geometry.origins))


@verb
def col2im(
    cols: ArrayLike, input_size: Axes, kernel_size: Sequence[int], **words: Unpack[Words]
) -> Array:
    """Transpose of ``im2col``: add columns ``(..., C*T, P)`` where they came from.

    Gives ``(..., C, *input_size)`` in the layout of the words.

    >>> col2im([[1, 2], [2, 3], [3, 4]], 4, (3,))
    array([[1, 4, 6, 4]])
    """
    cols, size = as_array("cols", cols), kernel_sizes(kernel_size)
    spec = ConvSpec.of(len(size), **words)
    geometry = bind(spec, per_axis("input_size", input_size, spec.rank, minimum=0), size)
    taps, positions = len(geometry.taps), len(geometry.origins)
    if cols.ndim < 2 or cols.shape[-1] != positions or cols.shape[-2] % taps:
        raise ShapeError(
            f"`cols` (shape {cols.shape}) must end in ({taps} taps times the channels, "
            f"{positions} positions)",
            "check `input_size`, `kernel_size` and the words",
        )
    lead, channels = cols.shape[:-2], cols.shape[-2] // taps
    total = accumulator(cols.dtype, None)
    check_canvas(shapes.canvases(lead, channels, geometry), total)
    canvas = np.zeros((*lead, channels, prod(geometry.canvas_size)), total)
    scatter(cols.astype(total), canvas, geometry)
    dtype = cols.dtype.newbyteorder("=")
    shape = shapes.shape_of(lead, channels, geometry.input_size, spec)
    check_result(shape, dtype)
    x = empty(shape, dtype)
    per_channel = replace(spec, groups=1)
    geometry.take_back(canvas.reshape(-1, 1, *canvas.shape[-2:]), engine.fold(x, per_channel))
    return x
