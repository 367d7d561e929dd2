"""Convolutions of quantised numbers, which stand for ``(integer - zero point) * scale``."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref.dialects.onnx.attributes import (
    BYTES,
    Attributes,
    Ints,
    check_weights,
    operator,
    tensor,
    tensors,
)
from convref.dialects.onnx.convolution import convolve
from convref.dtypes import as_array
from convref.errors import ShapeError

Array = NDArray[Any]


@operator
def ConvInteger(
    x: ArrayLike,
    w: ArrayLike,
    x_zero_point: ArrayLike | None = None,
    w_zero_point: ArrayLike | None = None,
    *,
    auto_pad: str | bytes = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """`convref.conv` of int8 or uint8, less their zero points, in int32, which may wrap.

    ``w_zero_point`` is one number, or one for each filter. Padding is the zero point of x.

    >>> import numpy as np
    >>> x, w = np.array([[[2, 3, 4]]], np.uint8), np.array([[[1, 10]]], np.int8)
    >>> ConvInteger(x, w, np.uint8(1), pads=[1, 0])
    array([[[10, 21, 32]]], dtype=int32)
    """
    levels, centre = tensors(BYTES, ("x_zero_point",), x=x, x_zero_point=x_zero_point)
    weights, centres = tensors(BYTES, ("w_zero_point",), w=w, w_zero_point=w_zero_point)
    attributes = Attributes(auto_pad, dilations, pads, strides, group)
    return integer_conv(levels, centre, weights, centres, None, attributes, kernel_shape)


@operator
def QLinearConv(
    x: ArrayLike,
    x_scale: ArrayLike,
    x_zero_point: ArrayLike,
    w: ArrayLike,
    w_scale: ArrayLike,
    w_zero_point: ArrayLike,
    y_scale: ArrayLike,
    y_zero_point: ArrayLike,
    B: ArrayLike | None = None,
    *,
    auto_pad: str | bytes = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """`ConvInteger`, rescaled and rounded to int8 or uint8, as which ``y_zero_point`` is given.

    ``y = round(sums * (x_scale * w_scale / y_scale)) + y_zero_point``, in float32, with halves to
    even and what is out of range brought to its end. ``B``, int32, is added to the sums.
    ``w_scale`` and ``w_zero_point`` are one number, or one for each filter.

    >>> import numpy as np
    >>> x, w, none = np.array([[[1, 3, 200]]], np.uint8), np.ones((1, 1, 1), np.uint8), np.uint8(0)
    >>> QLinearConv(x, 1.0, none, w, 1.0, none, 2.0, np.uint8(200))
    array([[[200, 202, 255]]], dtype=uint8)
    """
    levels, centre = tensors(BYTES, (), x=x, x_zero_point=x_zero_point)
    weights, centres = tensors(BYTES, (), w=w, w_zero_point=w_zero_point)
    bias = None if B is None else tensor("B", B, ("int32",))
    attributes = Attributes(auto_pad, dilations, pads, strides, group)
    y = integer_conv(levels, centre, weights, centres, bias, attributes, kernel_shape)

    middle = tensor("y_zero_point", y_zero_point, BYTES)
    limits, aside = np.iinfo(middle.dtype), [1] * (y.ndim - 2)
    with np.errstate(all="ignore"):
        scale = one_or_each("x_scale", x_scale, 1) * one_or_each("w_scale", w_scale, len(weights))
        scale = scale / one_or_each("y_scale", y_scale, 1)
        y = np.rint(y.astype(np.float32) * scale.reshape(-1, *aside))
        y += one_or_each("y_zero_point", middle, 1)
        return y.clip(limits.min, limits.max).astype(middle.dtype)


def integer_conv(
    x: Array,
    x_zero_point: Array | None,
    w: Array,
    w_zero_point: Array | None,
    bias: Array | None,
    attributes: Attributes,
    kernel_shape: Ints | None,
) -> Array:
    """The convolution of integers less their zero points, in int32."""
    check_weights(x, w, kernel_shape)
    x = centred("x_zero_point", x, x_zero_point, 1)
    w = centred("w_zero_point", w, w_zero_point, len(w))
    return convolve(x, w, bias, attributes, kernel_shape)


def centred(name: str, array: Array, zero_point: Array | None, filters: int) -> Array:
    """The integers less their zero point, in int32; exact, for they have 8 bits."""
    if zero_point is None:
        return array.astype(np.int32)
    centre = one_or_each(name, zero_point, filters).astype(np.int32)
    return array - centre.reshape(-1, *[1] * (array.ndim - 1))


def one_or_each(name: str, value: ArrayLike, filters: int) -> Array:
    """One number, or one for each filter, as float32 of the shape (1,) or (M,)."""
    array = as_array(name, value)
    if array.size != 1 and array.shape != (filters,):
        mend = "give it one" if filters == 1 else f"give it one, or {filters} for as many filters"
        raise ShapeError(f"`{name}` (shape {array.shape}) holds {array.size} numbers", mend)
    return array.reshape(-1).astype(np.float32)
