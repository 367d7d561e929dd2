"""Conv and its relatives: the transposed one, the causal one with a state, and Col2Im."""

from collections.abc import Sequence
from dataclasses import replace
from operator import ge, mul, sub
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref.activations import SiLU
from convref.checks import check_transposed_channels
from convref.columns import col2im
from convref.depthwise import depthwise_conv
from convref.dialects.onnx.attributes import (
    FLOATS,
    SINGLES,
    Attributes,
    Ints,
    check_group,
    check_weights,
    choice,
    ints,
    listed,
    operator,
    pairs,
    tensors,
)
from convref.dtypes import as_array
from convref.errors import ShapeError, WordError, shown
from convref.functional import conv, conv_transpose
from convref.geometry import transposed_size
from convref.padding import Pair
from convref.spec import Words

Array = NDArray[Any]


def convolve(
    x: Array, w: Array, bias: Array | None, attributes: Attributes, kernel_shape: Ints | None
) -> Array:
    """`convref.conv`, told in ONNX's attributes, for one batch axis."""
    return conv(x, w, bias, **conv_words(x, w, attributes, kernel_shape))


def conv_words(x: Array, w: Array, attributes: Attributes, kernel_shape: Ints | None) -> Words:
    """ONNX's attributes in the words of `convref.conv`; raise where x or w does not fit them."""
    words = attributes.words(check_weights(x, w, kernel_shape))
    check_group(x, w, attributes.group)
    return words


@operator
def Conv(
    X: ArrayLike,
    W: ArrayLike,
    B: ArrayLike | None = None,
    *,
    auto_pad: str | bytes = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """`convref.conv` of ``X (N, C, D1, ..., Dn)``: exactly one batch axis, all of one float type.

    ``W (M, C/group, k1, ..., kn)``, ``B (M,)``. ``pads`` lists all beginnings, then all ends; SAME
    gives ``ceil(size / stride)`` and never crops, with the odd cell at the end (SAME_UPPER) or at
    the beginning (SAME_LOWER).

    >>> Conv([[[1.0, 2.0, 3.0]]], [[[1.0, 10.0]]], pads=[1, 0])
    array([[[10., 21., 32.]]])
    """
    x, w, bias = tensors(FLOATS, ("B",), X=X, W=W, B=B)
    attributes = Attributes(auto_pad, dilations, pads, strides, group)
    return convolve(x, w, bias, attributes, kernel_shape)


@operator
def ConvTranspose(
    X: ArrayLike,
    W: ArrayLike,
    B: ArrayLike | None = None,
    *,
    auto_pad: str | bytes = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    output_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """`convref.conv_transpose` of ``X (N, C, D1, ..., Dn)``, with ``W (C, M/group, k1, ..., kn)``.

    What the strides, the kernel and ``output_padding`` (below the stride or the dilation) make, is
    cut off by ``pads``; or by as much as leaves ``output_shape``, or with SAME ``size * stride``.
    Then an odd cell is cut off at the end with SAME_UPPER and otherwise at the beginning. Where
    they make too little, zeros come at the end.

    >>> ConvTranspose([[[1.0, 2.0]]], [[[1.0, 10.0, 100.0]]], strides=[2])
    array([[[  1.,  10., 102.,  20., 200.]]])
    >>> ConvTranspose([[[1.0, 2.0]]], [[[1.0, 10.0, 100.0]]], strides=[2], auto_pad="SAME_UPPER")
    array([[[  1.,  10., 102.,  20.]]])
    """
    x, w, bias = tensors(FLOATS, ("B",), X=X, W=W, B=B)
    attributes = Attributes(auto_pad, dilations, pads, strides, group)
    words = transposed_words(x, w, attributes, kernel_shape, output_padding, output_shape)
    return conv_transpose(x, w, bias, **words)  # type: ignore[misc]


def transposed_words(
    x: Array,
    w: Array,
    attributes: Attributes,
    kernel_shape: Ints | None,
    output_padding: Ints | None,
    output_shape: Ints | None,
) -> Words:
    """ONNX's attributes in the words of `convref.conv_transpose`, whose smallest output is ONNX's.

    Raises the errors of `ConvTranspose`.
    """
    rank = check_weights(x, w, kernel_shape)
    check_transposed_channels(x.shape[1], x.shape, w.shape)
    spec = attributes.spec(rank)
    made = transposed_size(replace(spec, padding="valid"), x.shape[2:], w.shape[2:])
    extra = ints("output_padding", output_padding, rank, default=0, minimum=0)
    limits = list(map(max, spec.stride, spec.dilation))
    if any(map(ge, extra, limits)):
        raise WordError(
            f"`output_padding` (={shown(output_padding)}) must be smaller than `strides` or "
            f"`dilations`, whichever is larger: {limits}",
            "use less of it",
        )
    sizes: Sequence[int | None] = (None,) * rank
    if output_shape is not None:
        sizes = ints("output_shape", output_shape, rank, default=1)
        if any(map(ge, map(sub, sizes, made), limits)):
            raise ShapeError(
                f"`output_shape` (={shown(output_shape)}) is too large for `x` (shape {x.shape}), "
                "whose "
                f"windows cover {list(made)} cells",
                "use a smaller one, or a larger stride",
            )
    elif spec.padding in ("same", "same_lower"):
        sizes = tuple(map(mul, x.shape[2:], spec.stride))
    upper = spec.padding == "same"
    pads = pairs(attributes.pads, rank)
    ends = [cut(*axis, upper) for axis in zip(made, extra, sizes, pads, strict=True)]
    return Words(stride=spec.stride, padding=ends, dilation=spec.dilation, groups=spec.groups)


def cut(made: int, extra: int, size: int | None, pads: Pair, upper: bool) -> Pair:
    """Cells to cut off at both ends of an axis, of those that were made; negative ones are added.

    By `pads`, unless a size is to be left.
    """
    if size is None:
        return pads[0], pads[1] - extra
    surplus = max(0, made + extra - size)
    lo = surplus // 2 if upper else surplus - surplus // 2
    return lo, made - size - lo


@operator
def CausalConvWithState(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    past_state: ArrayLike | None = None,
    *,
    activation: str | bytes = "none",
) -> tuple[Array, Array]:
    """`convref.depthwise_conv` after the ``k - 1`` positions before; with those for the next call.

    ``input (N, C, L)``, ``weight (C, 1, k)``, ``bias (C,)`` and ``past_state (N, C, k - 1)``, which
    is zeros if left out, give ``output (N, C, L)`` and ``present_state (N, C, k - 1)``.
    ``activation`` is "none", or "silu", which is "swish" too.

    >>> x, w = np.array([[[1, 2, 3]]], np.float32), np.array([[[10, 1]]], np.float32)
    >>> output, present_state = CausalConvWithState(x, w)
    >>> output, present_state
    (array([[[ 1., 12., 23.]]], dtype=float32), array([[[3.]]], dtype=float32))
    """
    x, w, b, past = tensors(
        SINGLES,
        ("bias", "past_state"),
        input=input,
        weight=weight,
        bias=bias,
        past_state=past_state,
    )
    activated = choice("activation", activation, ("none", "silu", "swish")) != "none"
    if x.ndim != 3 or w.ndim != 3 or w.shape[:2] != (x.shape[1], 1):
        raise ShapeError(
            f"`weight` (shape {w.shape}) does not give each channel of `input` (shape {x.shape}) a "
            "kernel of its own",
            "give them the shapes (C, 1, k) and (N, C, L)",
        )
    before = (*x.shape[:2], max(0, w.shape[2] - 1))
    if past is None:
        past = np.zeros(before, x.dtype)
    if past.shape != before:
        raise ShapeError(f"`past_state` has shape {past.shape}", f"give it the shape {before}")
    seen = np.concatenate([past, x], axis=2)
    output = depthwise_conv(seen, w, b)
    return SiLU()(output) if activated else output, seen[:, :, x.shape[2] :].copy()


@operator
def Col2Im(
    input: ArrayLike,
    image_shape: ArrayLike,
    block_shape: ArrayLike,
    *,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """`convref.col2im` of ``input (N, C*T, P)``: exactly one batch axis.

    >>> Col2Im([[[1.0, 2.0], [3.0, 4.0]]], [3], [2])
    array([[[1., 5., 4.]]])
    """
    cols = as_array("input", input)
    if cols.ndim != 3:
        raise ShapeError(
            f"`input` (shape {cols.shape}) has {cols.ndim} axes",
            "give it the shape (N, C * product of block_shape, L)",
        )
    size, block = listed("image_shape", image_shape), listed("block_shape", block_shape)
    words = Attributes("NOTSET", dilations, pads, strides).words(len(block))
    return col2im(cols, size, block, **words)
