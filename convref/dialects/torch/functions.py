"""The functions of torch.nn.functional and torch.nn.grad.

Those of one kind differ in the number of spatial axes alone: they are made by one function.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref import columns, shapes
from convref.dialects.torch.arguments import (
    FLOATS,
    INEXACT,
    INTEGERS,
    check_axes,
    check_batched,
    check_channels,
    check_dtypes,
    check_weight,
    entries,
    exactly,
    geometry,
    in_own_words,
    optional,
    read,
    sizes,
    transposed_geometry,
)
from convref.dialects.torch.refusals import public
from convref.errors import ShapeError
from convref.functional import conv, conv_input_grad, conv_transpose, conv_weight_grad
from convref.geometry import bind
from convref.spec import Axes, ConvSpec, Words
from convref.summary import Shape

Array = NDArray[Any]
Function = Callable[..., Array]

COLUMNS = (*INEXACT, "bool")
"""The dtypes that columns may have."""


def convolution(rank: int) -> Function:
    """conv1d, conv2d or conv3d."""

    def convolve(
        input: ArrayLike,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        stride: Axes = 1,
        padding: str | Axes = 0,
        dilation: Axes = 1,
        groups: int = 1,
    ) -> Array:
        """Convolve ``input (N, C, *size)``, or without N, as `convref.conv` does.

        ``weight (K, C/groups, *kernel)`` and ``bias (K,)`` give ``(N, K, *output)``, or without N.
        Integers wrap.

        >>> import numpy as np
        >>> conv1d(np.array([[1, 2, 3, 4]]), np.array([[[1, 0, -1]]]), padding="same")
        array([[-2, -2, -2,  3]])
        """
        x, w, b = read("input", input), read("weight", weight), optional("bias", bias)
        words = geometry(rank, stride, padding, dilation, groups)
        check_weight(w.shape, rank)
        check_axes(x.shape, rank)
        check_dtypes((*INEXACT, *INTEGERS), input=x, weight=w, bias=b)
        check_channels(x.shape, w.shape, words["groups"])
        if not w.shape[1]:
            return without_channels(x, w.shape[2:], ConvSpec.of(rank, **words))
        return conv(x, w, b, **words)

    return public(convolve, f"conv{rank}d")


def without_channels(x: Array, kernel_size: Shape, spec: ConvSpec) -> Array:
    """What PyTorch makes of an input without channels: an output without channels."""
    lead, _, size = shapes.sizes("x", x.shape, spec)
    return np.zeros((*lead, 0, *bind(spec, size, kernel_size).output_size), x.dtype)


def transposed_convolution(rank: int) -> Function:
    """conv_transpose1d, conv_transpose2d or conv_transpose3d."""

    def convolve_transposed(
        input: ArrayLike,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        stride: Axes = 1,
        padding: Axes = 0,
        output_padding: Axes = 0,
        groups: int = 1,
        dilation: Axes = 1,
    ) -> Array:
        """Convolve ``input (N, C, *size)``, or without N, as `convref.conv_transpose` does.

        ``weight (C, K/groups, *kernel)`` and ``bias (K,)`` give ``(N, K, *output)``, or without N.
        Note that groups come before dilation. ``output_padding`` is less than the stride or less
        than the dilation.

        >>> import numpy as np
        >>> conv_transpose1d(np.array([[1, 2]]), np.array([[[1, 10, 100]]]), None, 2, 1)
        array([[ 10, 102,  20]])
        """
        x, w, b = read("input", input), read("weight", weight), optional("bias", bias)
        words = transposed_geometry(rank, stride, padding, output_padding, groups, dilation)
        check_weight(w.shape, rank)
        check_axes(x.shape, rank)
        check_dtypes((*INEXACT, "int64"), input=x, weight=w, bias=b)
        return conv_transpose(x, w, b, **in_own_words(words))

    return public(convolve_transposed, f"conv_transpose{rank}d")


def input_gradient(rank: int) -> Function:
    """conv1d_input, conv2d_input or conv3d_input."""

    def gradient(
        input_size: Sequence[int],
        weight: ArrayLike,
        grad_output: ArrayLike,
        stride: Axes = 1,
        padding: Axes = 0,
        dilation: Axes = 1,
        groups: int = 1,
    ) -> Array:
        """Gradient of a convolution by its input, which has the shape ``input_size``.

        >>> import numpy as np
        >>> conv1d_input((1, 1, 4), np.array([[[1.0, 0.0, -1.0]]]), np.array([[[1.0, 1.0]]]))
        array([[[ 1.,  1., -1., -1.]]])
        """
        shape, w = sizes("input_size", input_size), read("weight", weight)
        dy = read("grad_output", grad_output)
        words = geometry(rank, stride, entries("padding", padding, rank), dilation, groups)
        check_weight(w.shape, rank)
        check_batched(rank, input_size=shape, grad_output=dy.shape)
        check_dtypes(FLOATS, grad_output=dy, weight=w)
        check_channels(shape, w.shape, words["groups"])
        return conv_input_grad(dy, w, shape[2:], **words)

    return public(gradient, f"conv{rank}d_input")


def weight_gradient(rank: int) -> Function:
    """conv1d_weight, conv2d_weight or conv3d_weight."""

    def gradient(
        input: ArrayLike,
        weight_size: Sequence[int],
        grad_output: ArrayLike,
        stride: Axes = 1,
        padding: Axes = 0,
        dilation: Axes = 1,
        groups: int = 1,
    ) -> Array:
        """Gradient of a convolution by its weights, which have the shape ``weight_size``.

        >>> import numpy as np
        >>> conv1d_weight(np.array([[[1.0, 2.0, 3.0]]]), (1, 1, 2), np.array([[[1.0, 1.0]]]))
        array([[[3., 5.]]])
        """
        x, shape = read("input", input), sizes("weight_size", weight_size)
        dy = read("grad_output", grad_output)
        words = geometry(rank, stride, entries("padding", padding, rank), dilation, groups)
        check_weight(shape, rank)
        check_batched(rank, input=x.shape, grad_output=dy.shape)
        check_dtypes(FLOATS, input=x, grad_output=dy)
        check_channels(x.shape, shape, words["groups"])
        if dy.shape[1] != shape[0]:
            raise ShapeError(
                f"`grad_output` (shape {dy.shape}) has {dy.shape[1]} channels, and `weight_size` "
                f"(={shape}) makes {shape[0]}",
                "make them agree",
            )
        return conv_weight_grad(x, dy, shape[2:], **words)

    return public(gradient, f"conv{rank}d_weight")


conv1d, conv2d, conv3d = map(convolution, (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = map(transposed_convolution, (1, 2, 3))
conv1d_input, conv2d_input, conv3d_input = map(input_gradient, (1, 2, 3))
conv1d_weight, conv2d_weight, conv3d_weight = map(weight_gradient, (1, 2, 3))


def column_words(dilation: Axes, padding: Axes, stride: Axes) -> Words:
    """The words of `unfold` and `fold`, which know two spatial axes."""
    return {
        "dilation": exactly("dilation", dilation, 2),
        "padding": exactly("padding", padding, 2, 0),
        "stride": exactly("stride", stride, 2),
    }


@public
def unfold(
    input: ArrayLike, kernel_size: Axes, dilation: Axes = 1, padding: Axes = 0, stride: Axes = 1
) -> Array:
    """What windows see: ``(N, C, H, W)``, or without N, gives ``(N, C * taps, positions)``.

    As `convref.im2col`, for two spatial axes and no integers.

    >>> import numpy as np
    >>> unfold(np.arange(6.0).reshape(1, 2, 3), 2)
    array([[0., 1.],
           [1., 2.],
           [3., 4.],
           [4., 5.]])
    """
    x, kernel = read("input", input), exactly("kernel_size", kernel_size, 2)
    words = column_words(dilation, padding, stride)
    check_axes(x.shape, 2)
    check_dtypes(COLUMNS, input=x)
    return columns.im2col(x, kernel, **words)


@public
def fold(
    input: ArrayLike,
    output_size: Axes,
    kernel_size: Axes,
    dilation: Axes = 1,
    padding: Axes = 0,
    stride: Axes = 1,
) -> Array:
    """Transpose of `unfold`: columns ``(N, C * taps, positions)`` added up to (N, C, *output_size).

    As `convref.col2im`, for two spatial axes and no integers.

    >>> import numpy as np
    >>> fold(np.ones((4, 2)), (2, 3), 2)
    array([[[1., 2., 1.],
            [1., 2., 1.]]])
    """
    cols, size = read("input", input), exactly("output_size", output_size, 2)
    kernel = exactly("kernel_size", kernel_size, 2)
    words = column_words(dilation, padding, stride)
    check_axes(cols.shape, 1)
    if not cols.shape[-2]:
        raise ShapeError(f"`input` (shape {cols.shape}) has no channels", "give it one or more")
    check_dtypes(COLUMNS, input=cols)
    return columns.col2im(cols, size, kernel, **words)
