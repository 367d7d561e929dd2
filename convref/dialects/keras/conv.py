"""Keras's convolutions: kernels (*kernel, C, K), channels last unless told otherwise."""

from typing import Any, Unpack

from convref import layers, shapes
from convref.dialects.keras.layer import KerasWeighted
from convref.dialects.keras.layouts import Kernel, PerChannel
from convref.dialects.keras.signatures import LayerWords, exchanged, recorded
from convref.dialects.keras.variables import BIAS, Part, seen
from convref.dialects.keras.words import (
    Shape,
    layout_word,
    padding_word,
    refuse_both,
    steps,
)
from convref.errors import WordError, shown
from convref.geometry import bind, spread
from convref.integers import per_axis
from convref.layers import depthwise
from convref.spec import Axes
from convref.weighted import channel_count, check_grouped

Setting = Any
"""A name, a configuration, a function, or an object of convref."""


class AnyConv(KerasWeighted, layers.Conv):
    """What Conv1D, Conv2D and Conv3D share."""

    kernel = seen("kernel")

    @recorded
    def __init__(
        self,
        filters: int,
        kernel_size: Axes,
        strides: Axes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Axes = 1,
        groups: int = 1,
        activation: Setting = None,
        use_bias: bool = True,
        kernel_initializer: Setting = "glorot_uniform",
        bias_initializer: Setting = "zeros",
        kernel_regularizer: Setting = None,
        bias_regularizer: Setting = None,
        activity_regularizer: Setting = None,
        kernel_constraint: Setting = None,
        bias_constraint: Setting = None,
        **kwargs: Unpack[LayerWords],
    ) -> None:
        words = steps(strides, dilation_rate, self.axes)
        refuse_both(**words)
        check_grouped("filters", channel_count("filters", filters), channel_count("groups", groups))
        padding = padding_word(padding, causal=self.axes == 1)
        super().__init__(
            None,
            filters,
            kernel_size,
            **words,
            padding=padding,
            groups=groups,
            layout=layout_word(data_format),
            **self.settings_of(),
        )
        self.adopt(padding=padding)

    def parts(self) -> tuple[Part, ...]:
        return Part("kernel", "weight", "kernel", Kernel(self.axes)), BIAS


class Conv1D(AnyConv, layers.Conv1d):
    """``keras.layers.Conv1D``: (batch, steps, C) gives (batch, new steps, filters).

    Convref's words for Keras's: `out_channels` filters, `stride` strides, `dilation` dilation_rate,
    `layout` data_format (here channels last at first), `weight` kernel, whose axes are (steps, C,
    filters); C is that of the first input. Any number of batch axes will do, as in TensorFlow.

    >>> import numpy as np
    >>> x = np.ones((4, 10, 128))
    >>> Conv1D(32, 3, activation="relu", input_shape=x.shape[1:])(x).shape
    (4, 8, 32)
    >>> x = np.ones((4, 7, 10, 128))
    >>> Conv1D(32, 3, activation="relu", input_shape=x.shape[2:])(x).shape
    (4, 7, 8, 32)
    """


class Conv2D(AnyConv, layers.Conv2d):
    """``keras.layers.Conv2D``; words as in `Conv1D`.

    >>> import numpy as np
    >>> layer = Conv2D(8, (3, 5), strides=2, padding="same")
    >>> y = layer(np.ones((2, 9, 9, 3)))
    >>> dx = layer.backward(np.ones_like(y))
    >>> y.shape, dx.shape, [w.shape for w in layer.get_weights()]
    ((2, 5, 5, 8), (2, 9, 9, 3), [(3, 5, 3, 8), (8,)])
    """


class Conv3D(AnyConv, layers.Conv3d):
    """``keras.layers.Conv3D``; words as in `Conv1D`."""


def grown(
    padding: str, output_padding: Axes | None, kernel: Shape, stride: Shape, dilation: Shape
) -> dict[str, Any]:
    """convref's padding and output padding of a transposed convolution of Keras.

    Of the output sizes that share one input size, "same" takes the largest, ``strides`` times the
    input, and "valid" one of at least that length, even where the kernel does not reach so far.
    With output_padding p and windows of w, "valid" adds p to the smallest, and "same" makes the
    output ``(input - 1) * strides + w % 2 + p`` long, cut out of the middle.
    """
    word = padding_word(padding, causal=False)
    windows = list(map(spread, kernel, dilation))
    if output_padding is None:
        reach = windows if word == "valid" else [1] * len(windows)
        surplus = tuple(max(step - w, 0) for step, w in zip(stride, reach, strict=True))
        return {"padding": word, "output_padding": surplus}
    extra = per_axis("output_padding", output_padding, len(kernel), minimum=0)
    if any(more >= step for more, step in zip(extra, stride, strict=True)):
        raise WordError(
            f"`output_padding` (={shown(output_padding)}) must be smaller than `strides` "
            f"(={stride})",
            "leave it out for an output of the usual size",
        )
    if word == "valid":
        return {"padding": word, "output_padding": extra}
    cut = [w - w % 2 - more for w, more in zip(windows, extra, strict=True)]
    before = [max(cells // 2, 0) for cells in cut]
    return {"padding": tuple((lo, cells - lo) for lo, cells in zip(before, cut, strict=True))}


class AnyConvTranspose(KerasWeighted, layers.ConvTranspose):
    """What Conv1DTranspose, Conv2DTranspose and Conv3DTranspose share."""

    kernel = seen("kernel")

    @recorded
    def __init__(
        self,
        filters: int,
        kernel_size: Axes,
        strides: Axes = 1,
        padding: str = "valid",
        output_padding: Axes | None = None,
        data_format: str | None = None,
        dilation_rate: Axes = 1,
        activation: Setting = None,
        use_bias: bool = True,
        kernel_initializer: Setting = "glorot_uniform",
        bias_initializer: Setting = "zeros",
        kernel_regularizer: Setting = None,
        bias_regularizer: Setting = None,
        activity_regularizer: Setting = None,
        kernel_constraint: Setting = None,
        bias_constraint: Setting = None,
        **kwargs: Unpack[LayerWords],
    ) -> None:
        words = steps(strides, dilation_rate, self.axes)
        refuse_both(**words)
        kernel = per_axis("kernel_size", kernel_size, self.axes, minimum=1)
        super().__init__(
            None,
            channel_count("filters", filters),
            kernel,
            **words,
            **grown(padding, output_padding, kernel, **words),
            layout=layout_word(data_format),
            **self.settings_of(),
        )
        if output_padding is not None:
            output_padding = per_axis("output_padding", output_padding, self.axes, minimum=0)
        self.adopt(padding=padding.lower(), output_padding=output_padding)

    def parts(self) -> tuple[Part, ...]:
        return Part("kernel", "weight", "kernel", Kernel(self.axes)), BIAS


class Conv1DTranspose(AnyConvTranspose, layers.ConvTranspose1d):
    """``keras.layers.Conv1DTranspose``: (batch, steps, C) gives (batch, new steps, filters).

    Words as in `Conv1D`, kernels (steps, filters, C). convref's `padding` and `output_padding` are
    those that give Keras's output: ``input * strides`` positions with "same", and
    ``input * strides + max(kernel - strides, 0)`` with "valid".

    >>> import numpy as np
    >>> x = np.ones((1, 4, 3))
    >>> Conv1DTranspose(2, 2, strides=3)(x).shape, Conv1DTranspose(2, 2, 3, "same")(x).shape
    ((1, 12, 2), (1, 12, 2))
    >>> Conv1DTranspose(2, 2, 3, "same", output_padding=1)(x).shape
    (1, 10, 2)
    """


class Conv2DTranspose(AnyConvTranspose, layers.ConvTranspose2d):
    """``keras.layers.Conv2DTranspose``; words and sizes as in `Conv1DTranspose`."""


class Conv3DTranspose(AnyConvTranspose, layers.ConvTranspose3d):
    """``keras.layers.Conv3DTranspose``; words and sizes as in `Conv1DTranspose`.

    Of this class alone, `data_format` comes before `output_padding` in Keras.
    """

    __init__ = exchanged(AnyConvTranspose.__init__, "output_padding")


class PerChannelShape(KerasWeighted, depthwise.PerChannel):
    """Sizes of a depthwise step, also while the number of channels is open."""

    def filters_of(self, channels: int) -> int:
        """The channels of the output for those of the input."""
        raise NotImplementedError

    def output_shape(self, shape: Shape) -> Shape:
        lead, channels, size = shapes.sizes("x", shape, self.spec)
        if self.built:
            self.sizes(shape)
        geometry = bind(self.spec, size, self.kernel_size)
        return shapes.shape_of(lead, self.filters_of(channels), geometry.output_size, self.spec)


class AnyDepthwiseConv(PerChannelShape, layers.DepthwiseConv):
    """What DepthwiseConv1D and DepthwiseConv2D share."""

    kernel = seen("kernel")

    @recorded
    def __init__(
        self,
        kernel_size: Axes,
        strides: Axes = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Axes = 1,
        activation: Setting = None,
        use_bias: bool = True,
        depthwise_initializer: Setting = "glorot_uniform",
        bias_initializer: Setting = "zeros",
        depthwise_regularizer: Setting = None,
        bias_regularizer: Setting = None,
        activity_regularizer: Setting = None,
        depthwise_constraint: Setting = None,
        bias_constraint: Setting = None,
        **kwargs: Unpack[LayerWords],
    ) -> None:
        super().__init__(
            None,
            kernel_size,
            **steps(strides, dilation_rate, self.axes),
            multiplier=channel_count("depth_multiplier", depth_multiplier),
            padding=padding_word(padding, causal=False),
            layout=layout_word(data_format),
            **self.settings_of(),
        )
        self.adopt(padding=self.spec.padding)

    def parts(self) -> tuple[Part, ...]:
        layout = PerChannel(self.axes, self.words["depth_multiplier"])
        return Part("depthwise", "weight", "kernel", layout), BIAS

    def filters_of(self, channels: int) -> int:
        return channels * self.multiplier


class DepthwiseConv1D(AnyDepthwiseConv, layers.DepthwiseConv1d):
    """``keras.layers.DepthwiseConv1D``; words as in `DepthwiseConv2D`."""


class DepthwiseConv2D(AnyDepthwiseConv, layers.DepthwiseConv2d):
    """``keras.layers.DepthwiseConv2D``: C channels give C times depth_multiplier.

    convref's `multiplier` is depth_multiplier, and `weight` the kernel (rows, columns, C, M). Its
    fans are C and M times the taps, as Keras counts them. Strides and dilation may both be above 1,
    as with JAX underneath.

    >>> import numpy as np
    >>> layer = DepthwiseConv2D(3, depth_multiplier=2)
    >>> layer(np.ones((1, 5, 5, 4))).shape, layer.kernel.shape
    ((1, 3, 3, 8), (3, 3, 4, 2))
    """


class AnySeparableConv(PerChannelShape, layers.SeparableConv):
    """What SeparableConv1D and SeparableConv2D share."""

    depthwise_kernel, pointwise_kernel = seen("depthwise_kernel"), seen("pointwise_kernel")

    @recorded
    def __init__(
        self,
        filters: int,
        kernel_size: Axes,
        strides: Axes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Axes = 1,
        depth_multiplier: int = 1,
        activation: Setting = None,
        use_bias: bool = True,
        depthwise_initializer: Setting = "glorot_uniform",
        pointwise_initializer: Setting = "glorot_uniform",
        bias_initializer: Setting = "zeros",
        depthwise_regularizer: Setting = None,
        pointwise_regularizer: Setting = None,
        bias_regularizer: Setting = None,
        activity_regularizer: Setting = None,
        depthwise_constraint: Setting = None,
        pointwise_constraint: Setting = None,
        bias_constraint: Setting = None,
        **kwargs: Unpack[LayerWords],
    ) -> None:
        super().__init__(
            None,
            channel_count("filters", filters),
            kernel_size,
            **steps(strides, dilation_rate, self.axes),
            multiplier=channel_count("depth_multiplier", depth_multiplier),
            padding=padding_word(padding, causal=False),
            layout=layout_word(data_format),
            **self.settings_of(),
        )
        self.adopt(padding=self.spec.padding)

    def parts(self) -> tuple[Part, ...]:
        layout = PerChannel(self.axes, self.words["depth_multiplier"])
        return (
            Part("depthwise", "depthwise", "depthwise_kernel", layout),
            Part("pointwise", "weight", "pointwise_kernel", Kernel(self.axes)),
            BIAS,
        )

    def filters_of(self, channels: int) -> int:
        return self.out_channels


class SeparableConv1D(AnySeparableConv, layers.SeparableConv1d):
    """``keras.layers.SeparableConv1D``; words as in `SeparableConv2D`."""


class SeparableConv2D(AnySeparableConv, layers.SeparableConv2d):
    """``keras.layers.SeparableConv2D``: a depthwise convolution, then one of single taps.

    convref's `depthwise` is depthwise_kernel (rows, columns, C, M), `weight` is pointwise_kernel
    (1, 1, C * M, filters).

    >>> import numpy as np
    >>> layer = SeparableConv2D(6, 3, depth_multiplier=2)
    >>> layer(np.ones((1, 5, 5, 4))).shape, layer.depthwise_kernel.shape
    ((1, 3, 3, 6), (3, 3, 4, 2))
    """


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
