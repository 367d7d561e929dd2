"""DeformConv: each tap looks beside its place, by an offset of its own at each output position."""

from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref.dialects.onnx.attributes import (
    FLOATS,
    Attributes,
    Ints,
    check_group,
    check_weights,
    operator,
    tensors,
)
from convref.dtypes import wide
from convref.errors import ShapeError, WordError
from convref.functional import conv
from convref.geometry import Geometry, bind
from convref.integers import integer
from convref.memory import check_fits

Array = NDArray[Any]


@operator
def DeformConv(
    X: ArrayLike,
    W: ArrayLike,
    offset: ArrayLike,
    B: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    *,
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    offset_group: int = 1,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """`Conv`, of which each tap looks beside its place: by ``offset``, and times ``mask``.

    ``offset (N, offset_group * T * n, o1, ..., on)`` holds, for each block of channels and each of
    the T taps, a distance along each of the n axes; ``mask (N, offset_group * T, o1, ..., on)`` a
    factor. Between positions X is interpolated, linearly along each axis, with zeros beyond it.

    >>> DeformConv([[[1.0, 2.0, 4.0]]], [[[1.0]]], [[[0.5, 0.5, 0.5]]])
    array([[[1.5, 3. , 2. ]]])
    """
    x, w, moves, bias, factors = tensors(
        FLOATS, ("B", "mask"), X=X, W=W, offset=offset, B=B, mask=mask
    )
    rank = check_weights(x, w, kernel_shape)
    spec = Attributes("NOTSET", dilations, pads, strides, group).spec(rank)
    check_group(x, w, group)
    (N, C), blocks = x.shape[:2], integer("offset_group", offset_group)
    if blocks < 1 or C % blocks:
        raise WordError(
            f"`offset_group` (={blocks}) must divide the {C} channels of `X` (shape {x.shape})",
            "use 1, or another of its divisors",
        )
    geometry = bind(spec, x.shape[2:], w.shape[2:])
    T, P = len(geometry.taps), len(geometry.origins)
    check_shape("offset", moves, (N, blocks * T * rank, *geometry.output_size))
    canvas = geometry.canvas(wide(x).reshape(N, blocks, C // blocks, prod(x.shape[2:])))
    # (N, blocks, T, n, P) -> (n, N, blocks, T * P), beside as many columns
    along = np.moveaxis(wide(moves).reshape(N, blocks, T, rank, P), 3, 0)
    cols = sampled(canvas, along.reshape(rank, N, blocks, T * P), geometry)
    if factors is not None:
        check_shape("mask", factors, (N, blocks * T, *geometry.output_size))
        cols *= wide(factors).reshape(N, blocks, 1, T * P)
    weights = w.reshape(len(w), prod(w.shape[1:]), 1)
    y = conv(cols.reshape(N, C * T, P), weights, bias, groups=group)
    return y.reshape(N, len(w), *geometry.output_size).astype(x.dtype, copy=False)


def check_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Check that an input has the shape that the others ask for."""
    if array.shape != shape:
        raise ShapeError(f"`{name}` has shape {array.shape}", f"give it the shape {shape}")


def sampled(canvas: Array, moved: Array, geometry: Geometry) -> Array:
    """What the canvas ``(N, B, C/B, S)`` shows beside each tap: ``(N, B, C/B, T*P)``.

    ``moved (n, N, B, T*P)`` says how far beside. A place between 2**n cells shows their mean,
    weighted by how near each is; cells beyond the canvas, and those of weight zero, do not count.
    """
    size = geometry.canvas_size
    at = np.unravel_index(np.add.outer(geometry.taps, geometry.origins).ravel(), size)
    check_fits(2 * canvas[..., :1].nbytes * moved.shape[-1], "the columns")
    cols = np.zeros((*canvas.shape[:-1], moved.shape[-1]), canvas.dtype)
    with np.errstate(all="ignore"):
        places = [start + along for start, along in zip(at, moved, strict=True)]
        below = [np.floor(place) for place in places]
        for corner in product((0, 1), repeat=len(size)):
            cells = [low + step for low, step in zip(below, corner, strict=True)]
            weight = np.ones_like(places[0])
            for place, cell, length in zip(places, cells, size, strict=True):
                near = 1 - abs(place - cell)
                weight *= np.where((cell >= 0) & (cell < length), near, 0)
            flat = np.ravel_multi_index(
                [np.nan_to_num(cell).astype(np.int64) for cell in cells], size, mode="clip"
            )
            seen = np.take_along_axis(canvas, flat[:, :, None], axis=-1)
            weight = weight[:, :, None]
            cols += np.where(weight != 0, seen, 0) * weight
    return cols
