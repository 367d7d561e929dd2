"""Pooling: maxima, averages and norms of windows, and of all positions."""

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref.depthwise import depthwise_conv
from convref.dialects.onnx.attributes import (
    BYTES,
    FLOATS,
    Attributes,
    Ints,
    flag,
    ints,
    operator,
    rank_of,
    tensor,
)
from convref.dtypes import wide
from convref.errors import ShapeError, WordError, shown
from convref.geometry import bind, spread
from convref.integers import integer
from convref.layers import pooling, shape
from convref.padding import Pair

Array = NDArray[Any]


def windows(
    X: Array, kernel_shape: Ints, attributes: Attributes, ceil_mode: int
) -> tuple[tuple[int, ...], dict[str, Any], tuple[Pair, ...]]:
    """Windows over X: the kernel, convref's words for them, and the padding as it was asked for.

    That of the words may reach further, or less far, for ceil_mode.
    """
    rank = rank_of("X", X)
    size = X.shape[2:]
    kernel = ints("kernel_shape", kernel_shape, rank, default=2)
    spec = attributes.spec(rank)
    ends = spec.padding
    if flag("ceil_mode", ceil_mode) and not isinstance(ends, str):
        axes = zip(ends, size, kernel, spec.stride, spec.dilation, strict=True)
        spec = replace(spec, padding=tuple(reaching(*axis) for axis in axes))
    found = bind(spec, size, kernel).padding
    words = {"stride": spec.stride, "padding": found, "dilation": spec.dilation}
    return kernel, words, found if isinstance(ends, str) else ends


def reaching(pads: Pair, size: int, taps: int, stride: int, dilation: int) -> Pair:
    """Padding of one axis up to the end of the last window of ceil_mode.

    That is the first to reach the end of the padded input, or else the last to start before the
    padding at the end.
    """
    lo, hi = pads
    window = spread(taps, dilation)
    last = min(-((window - lo - size - hi) // stride), (lo + size - 1) // stride)
    return lo, last * stride + window - lo - size


@operator
def MaxPool(
    X: ArrayLike,
    *,
    kernel_shape: Ints,
    auto_pad: str | bytes = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    storage_order: int = 0,
    strides: Ints | None = None,
    outputs: int = 1,
) -> Array | tuple[Array, Array]:
    """`convref.layers.MaxPool` of ``X (N, C, D1, ..., Dn)``; the stride is 1, unless given.

    A node of a graph lists the outputs it has; here ``outputs=2`` gives ``(Y, Indices)``: where in
    X, flattened, each maximum is, the first of equals. ``storage_order=1`` counts the positions of
    a channel with the first spatial axis fastest. ``ceil_mode`` lets the last window reach beyond
    the padding, and has no effect on automatic padding.

    >>> MaxPool([[[1.0, 5.0, 2.0, 3.0]]], kernel_shape=[2], strides=[2], outputs=2)
    (array([[[5., 3.]]]), array([[[1, 3]]]))
    """
    x = tensor("X", X, (*FLOATS, *BYTES))
    kernel, words, _ = windows(
        x, kernel_shape, Attributes(auto_pad, dilations, pads, strides), ceil_mode
    )
    column_major = flag("storage_order", storage_order)
    if integer("outputs", outputs) not in (1, 2):
        raise WordError(f"`outputs` (={shown(outputs)}) is neither 1 nor 2", "use one of them")
    layer = pooling.MaxPool(kernel, **words)
    Y = layer(x)
    return Y if outputs == 1 else (Y, indices(layer, column_major).reshape(Y.shape))


def indices(layer: pooling.MaxPool, column_major: bool) -> NDArray[np.int64]:
    """Where in its input, flattened, the layer found each maximum; 0 where all was padding."""
    geometry = layer.geometry
    winners = pooling.first_maxima(layer.canvas, layer.highest, geometry)
    positions = geometry.sources[geometry.taps[winners] + geometry.origins].clip(0)
    if column_major:
        grid = np.unravel_index(positions, geometry.input_size)
        positions = np.ravel_multi_index(grid, geometry.input_size, order="F")
    N, _, C, _ = positions.shape
    found: NDArray[np.int64] = positions + prod(geometry.input_size) * np.arange(N * C).reshape(
        N, 1, C, 1
    )
    return found


@operator
def AveragePool(
    X: ArrayLike,
    *,
    kernel_shape: Ints,
    auto_pad: str | bytes = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """`convref.layers.AvgPool` of ``X (N, C, D1, ..., Dn)``; the stride is 1, unless given.

    Padding counts with ``count_include_pad``, but not what ``ceil_mode`` adds to it.

    >>> AveragePool([[[1.0, 3.0]]], kernel_shape=[2], pads=[1, 0])
    array([[[1., 2.]]])
    >>> AveragePool([[[1.0, 3.0]]], kernel_shape=[2], pads=[1, 0], count_include_pad=1)
    array([[[0.5, 2. ]]])
    """
    x = tensor("X", X, FLOATS)
    kernel, words, ends = windows(
        x, kernel_shape, Attributes(auto_pad, dilations, pads, strides), ceil_mode
    )
    if flag("count_include_pad", count_include_pad):
        x = shape.ZeroPad(ends)(x)
        words["padding"] = tuple(
            (0, hi - there) for (_, hi), (_, there) in zip(words["padding"], ends, strict=True)
        )
    return pooling.AvgPool(kernel, **words)(x)


@operator
def LpPool(
    X: ArrayLike,
    *,
    kernel_shape: Ints,
    auto_pad: str | bytes = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    p: int = 2,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """The p-norm of each window: ``(sum of |x|**p)**(1/p)``, channel by channel.

    >>> LpPool([[[3.0, 4.0, 0.0]]], kernel_shape=[2])
    array([[[5., 4.]]])
    """
    x = tensor("X", X, FLOATS)
    kernel, words, _ = windows(
        x, kernel_shape, Attributes(auto_pad, dilations, pads, strides), ceil_mode
    )
    if integer("p", p) < 1:
        raise WordError(f"`p` (={p}) must be at least 1", "use 1 or more")
    with np.errstate(all="ignore"):
        powers = np.abs(wide(x)) ** p
        ones = np.ones((x.shape[1], 1, *kernel), powers.dtype)
        return (depthwise_conv(powers, ones, **words) ** (1 / p)).astype(x.dtype, copy=False)


@operator
def GlobalAveragePool(X: ArrayLike) -> Array:
    """The average of each channel, ``(N, C, 1, ..., 1)``.

    >>> GlobalAveragePool([[[1.0, 2.0, 6.0]]])
    array([[[3.]]])
    """
    return pooling.GlobalAvgPool(keep_axes=True)(tensor("X", X, FLOATS))


@operator
def GlobalMaxPool(X: ArrayLike) -> Array:
    """The maximum of each channel, ``(N, C, 1, ..., 1)``; NaN, if it has any.

    >>> GlobalMaxPool([[[1.0, 2.0, 6.0]]])
    array([[[6.]]])
    """
    x = tensor("X", X, FLOATS)
    rank = rank_of("X", x)
    if not prod(x.shape[2:]):
        raise ShapeError(f"`X` (shape {x.shape}) has no positions", "give each axis one or more")
    highest: Array = x.max(axis=tuple(range(2, rank + 2)), keepdims=True)
    return highest
