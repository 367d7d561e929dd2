"""Arrays that do not fit each other or the words, each by its full message."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from messages import refused

import convref
from convref import DtypeError, ShapeError, WordError


def ones(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


SHAPES = {
    "groups that do not divide the columns": (
        lambda: convref.im2col(ones(2, 8), (3,), groups=3),
        "im2col: `groups` (=3) must divide the 2 input channels of `x` (shape (2, 8)); use 1 or 2",
    ),
    "groups do not divide x": (
        lambda: convref.conv(ones(1, 4, 8, 8), ones(6, 1, 3, 3), groups=3),
        "conv: `groups` (=3) must divide the 4 input channels of `x` (shape (1, 4, 8, 8)); "
        "use 1, 2 or 4",
    ),
    "groups do not divide w": (
        lambda: convref.conv(ones(1, 6, 8), ones(4, 2, 3), groups=3),
        "conv: `groups` (=3) must divide the 4 output channels of `w` (shape (4, 2, 3)); "
        "use 1, 2 or 4",
    ),
    "groups do not divide dy": (
        lambda: convref.conv_weight_grad(ones(4, 4), ones(3, 3), (2,), groups=2),
        "conv_weight_grad: `groups` (=2) must divide the 3 output channels of `dy` "
        "(shape (3, 3)); use 1 or 3",
    ),
    "no channels in x": (
        lambda: convref.conv(ones(1, 0, 8), ones(4, 1, 3)),
        "conv: `groups` (=1) must divide the 0 input channels of `x` (shape (1, 0, 8)); "
        "give it at least one channel",
    ),
    "no output channels in w": (
        lambda: convref.conv(ones(1, 2, 8), ones(0, 2, 3)),
        "conv: `groups` (=1) must divide the 0 output channels of `w` (shape (0, 2, 3)); "
        "give it at least one channel",
    ),
    "no input channels in w": (
        lambda: convref.conv(ones(1, 2, 8), ones(4, 0, 3)),
        "conv: `w` (shape (4, 0, 3)) has no input channels; give it at least one",
    ),
    "channels differ": (
        lambda: convref.conv(ones(1, 3, 8), ones(4, 2, 3)),
        "conv: `w` (shape (4, 2, 3)) takes 2 input channels in `groups` (=1), and `x` "
        "(shape (1, 3, 8)) has 3; use weights of shape (4, 3, 3)",
    ),
    "channels differ by the groups": (
        lambda: convref.conv(ones(1, 4, 8), ones(4, 2, 3)),
        "conv: `w` (shape (4, 2, 3)) takes 2 input channels in `groups` (=1), and `x` "
        "(shape (1, 4, 8)) has 4; use weights of shape (4, 4, 3), or `groups`=2",
    ),
    "channels differ by the layout": (
        lambda: convref.conv(ones(1, 9, 9, 2), ones(4, 2, 3, 3)),
        "conv: `w` (shape (4, 2, 3, 3)) takes 2 input channels in `groups` (=1), and `x` "
        "(shape (1, 9, 9, 2)) has 9; use weights of shape (4, 9, 3, 3), "
        "or layout='channels_last' if the channels are the last axis",
    ),
    "too few axes": (
        lambda: convref.conv(ones(8, 8), ones(4, 2, 3, 3)),
        "conv: `x` (shape (8, 8)) has 2 axes, and 2 spatial axes take at least 3; "
        "give it the shape (..., C, *spatial)",
    ),
    "too few axes, channels last": (
        lambda: convref.conv_input_grad(ones(8), ones(4, 2, 3), 10, layout="channels_last"),
        "conv_input_grad: `dy` (shape (8,)) has 1 axes, and 1 spatial axes take at least 2; "
        "give it the shape (..., *spatial, C)",
    ),
    "weights without a kernel axis": (
        lambda: convref.conv(ones(1, 8), ones(4, 1)),
        "conv: `w` (shape (4, 1)) has 2 axes; weights have the shape (K, C/groups, *kernel), "
        "with at least one kernel axis",
    ),
    "sizes of dy": (
        lambda: convref.conv_input_grad(ones(2, 4, 5), ones(4, 1, 3), 8),
        "conv_input_grad: `dy` (shape (2, 4, 5)) must have 4 channels and the spatial sizes "
        "(6,), which an input of (8,) gives; check the sizes, `stride`, `padding` and `dilation`",
    ),
    "channels of dy": (
        lambda: convref.conv_vjp(ones(1, 8), ones(4, 1, 3), ones(3, 6)),
        "conv_vjp: `dy` (shape (3, 6)) must have 4 channels and the spatial sizes (6,), "
        "which an input of (8,) gives; check the sizes, `stride`, `padding` and `dilation`",
    ),
    "batch axes differ": (
        lambda: convref.conv_weight_grad(ones(2, 1, 8), ones(3, 4, 6), (3,)),
        "conv_weight_grad: `x` (shape (2, 1, 8)) and `dy` (shape (3, 4, 6)) differ in their "
        "batch axes; pass the `dy` of the output that this `x` gives",
    ),
    "bias of the wrong length": (
        lambda: convref.conv(ones(1, 8), ones(4, 1, 3), ones(3)),
        "conv: `bias` has shape (3,), and there are 4 output channels; give it the shape (4,)",
    ),
    "bias of the wrong rank": (
        lambda: convref.conv_transpose(ones(4, 8), ones(4, 1, 3), 1.5),
        "conv_transpose: `bias` has shape (), and there are 1 output channels; "
        "give it the shape (1,)",
    ),
    "transposed channels": (
        lambda: convref.conv_transpose(ones(2, 8), ones(4, 2, 3)),
        "conv_transpose: `w` (shape (4, 2, 3)) takes 4 input channels, and `x` (shape (2, 8)) "
        "has 2; transposed weights have the shape (C_in, C_out/groups, *kernel)",
    ),
    "transposed, no input": (
        lambda: convref.conv_transpose(ones(4, 2, 0), ones(4, 2, 3, 3)),
        "conv_transpose: `x` is empty along a spatial axis (sizes (2, 0)); give it positions",
    ),
    "transposed, a size that does not convolve back": (
        lambda: convref.conv_transpose(ones(1, 3), ones(1, 1, 3), stride=2, output_size=9),
        "conv_transpose: `output_size` 9 along spatial axis 0 does not convolve back to the "
        "3 positions of `x`; use 7 to 8",
    ),
    "transposed, the only size that convolves back": (
        lambda: convref.conv_transpose(ones(1, 3), ones(1, 1, 3), output_size=6),
        "conv_transpose: `output_size` 6 along spatial axis 0 does not convolve back to the "
        "3 positions of `x`; use 5",
    ),
    "transposed, everything cropped": (
        lambda: convref.conv_transpose(ones(1, 1), ones(1, 1, 3), padding=2),
        "conv_transpose: the output would be empty along spatial axis 0 (size -1); "
        "use less padding or a larger kernel",
    ),
    "depthwise weights that mix": (
        lambda: convref.depthwise_conv(ones(2, 8), ones(2, 2, 3)),
        "depthwise_conv: `w` (shape (2, 2, 3)) does not give each of the 2 channels of `x` "
        "(shape (2, 8)) kernels of its own; give it the shape (2*M, 1, *kernel) "
        "for M filters a channel",
    ),
    "depthwise weights that do not divide": (
        lambda: convref.separable_conv(ones(2, 8), ones(3, 1, 3), ones(1, 3, 1)),
        "separable_conv: `depthwise` (shape (3, 1, 3)) does not give each of the 2 channels of "
        "`x` (shape (2, 8)) kernels of its own; give it the shape (2*M, 1, *kernel) "
        "for M filters a channel",
    ),
    "pointwise of the wrong shape": (
        lambda: convref.separable_conv(ones(2, 8, 8), ones(4, 1, 3, 3), ones(5, 2, 1, 1)),
        "separable_conv: `pointwise` has shape (5, 2, 1, 1), and the depthwise step gives 4 "
        "channels with 2 spatial axes; give it the shape (K, 4, 1, 1)",
    ),
    "a name for another rank": (
        lambda: convref.conv2d(ones(1, 8), ones(4, 1, 3)),
        "conv2d: `w` (shape (4, 1, 3)) has 1 kernel axes, not 2; "
        "give weights of 4 axes, or use `conv` for any rank",
    ),
    "a transposed name for another rank": (
        lambda: convref.conv_transpose1d(ones(1, 8, 8), ones(1, 1, 3, 3)),
        "conv_transpose1d: `w` (shape (1, 1, 3, 3)) has 2 kernel axes, not 1; "
        "give weights of 3 axes, or use `conv_transpose` for any rank",
    ),
    "columns of the wrong shape": (
        lambda: convref.col2im(ones(4, 6), 8, (3,)),
        "col2im: `cols` (shape (4, 6)) must end in (3 taps times the channels, 6 positions); "
        "check `input_size`, `kernel_size` and the words",
    ),
}

WORDS = {
    "output_padding above the stride": (
        lambda: convref.conv_transpose(ones(1, 3), ones(1, 1, 3), stride=2, output_padding=2),
        "conv_transpose: `output_padding` (=2) must be smaller than `stride` (=2); "
        "only `stride` output sizes share one input size",
    ),
    "negative output_padding": (
        lambda: convref.conv_transpose(ones(1, 3), ones(1, 1, 3), stride=2, output_padding=-1),
        "conv_transpose: `output_padding` (=-1) must be at least 0 on every axis; use 0 or more",
    ),
    "two ways to choose the size": (
        lambda: convref.conv_transpose(
            ones(1, 3), ones(1, 1, 3), stride=2, output_padding=1, output_size=8
        ),
        "conv_transpose: `output_padding` (=1) and `output_size` (=8) both choose the output "
        "size; give one of them",
    ),
    "groups of a depthwise convolution": (
        lambda: convref.depthwise_conv(ones(2, 8), ones(2, 1, 3), groups=2),
        "depthwise_conv: `groups` is always the number of channels here; leave the word out",
    ),
}

Case = tuple[Callable[[], Any], str]


@pytest.mark.parametrize("case", SHAPES.values(), ids=SHAPES)
def test_shapes(case: Case) -> None:
    call, message = case
    with refused(ShapeError, message):
        call()


@pytest.mark.parametrize("case", WORDS.values(), ids=WORDS)
def test_words(case: Case) -> None:
    call, message = case
    with refused(WordError, message):
        call()


def test_kind_of_the_bias() -> None:
    message = (
        "conv: `bias` (float64) can't be added to sums of int64; convert it to the dtype of `x`"
    )
    with refused(DtypeError, message):
        convref.conv([[1, 2]], [[[1]]], [0.5])
    message = (
        "conv: `bias` (complex128) can't be added to sums of float32; "
        "convert it to the dtype of `x`"
    )
    with refused(DtypeError, message):
        convref.conv(ones(1, 2), ones(1, 1, 1), [1j])


def test_a_bias_of_the_same_kind_is_converted() -> None:
    for bias in (np.array([1], np.int8), np.array([1.0]), np.ones(1, np.float16)):
        y = convref.conv(ones(1, 2), ones(1, 1, 1), bias)
        np.testing.assert_array_equal(y, np.full((1, 2), 2, np.float32), strict=True)


def test_gradients_of_an_x_that_w_does_not_take() -> None:
    with pytest.raises(ShapeError, match=r"^conv_vjp: "):
        convref.conv_vjp(ones(1, 4, 5), ones(2, 3, 3), ones(1, 2, 3))


def test_groups_of_a_transposed_convolution_divide_its_input_channels() -> None:
    with pytest.raises(ShapeError, match=r"^conv_transpose: .* 4 input channels .* use 1, 2 or 4$"):
        convref.conv_transpose(ones(4, 5), ones(4, 1, 3), groups=3)


def test_output_sizes_that_are_offered_exist() -> None:
    """The smallest sizes that convolve back would be -1 and 0 here; only 1 can be had."""
    with pytest.raises(ShapeError, match=r"^conv_transpose: .*; use 1$"):
        convref.conv_transpose(ones(1, 2), ones(1, 1, 2), stride=3, padding=3, output_size=99)
