"""Depthwise and separable convolutions as layers: one group of channels for each input channel.

With a group for each channel, no products are shared between channels; a separable convolution
lets a pointwise one, of a single tap, mix them afterwards.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any, ClassVar, TypedDict, Unpack

from numpy.typing import NDArray

from convref import engine, shapes
from convref.constraints import Constraint
from convref.depthwise import refuse_groups
from convref.errors import verb
from convref.geometry import bind
from convref.initialisers import Initialiser
from convref.padding import Padding
from convref.regularisers import Regulariser
from convref.spec import Axes, ConvSpec
from convref.summary import Field, Shape
from convref.weighted import (
    AS_SET,
    Settings,
    Weighted,
    channel_count,
    check_takes,
    kernel_of,
    split_words,
)

Array = NDArray[Any]


class UngroupedWords(TypedDict, total=False):
    """The geometry words of `convref.depthwise_conv`."""

    stride: Axes
    padding: Padding
    dilation: Axes
    input_dilation: Axes
    padding_mode: str
    layout: str


class Multiplier(TypedDict, total=False):
    """How many filters each channel has."""

    multiplier: int
    """M (1)."""


class SeparableSettings(Settings, total=False):
    """Settings of a separable convolution; those that say weight are of the pointwise weights."""

    depthwise_initialiser: str | Initialiser
    """First depthwise weights ("glorot_uniform")."""
    depthwise_regulariser: str | Regulariser | None
    """A penalty on the depthwise weights (None)."""
    depthwise_constraint: str | Constraint | None
    """Where the depthwise weights are brought back to after each step (None)."""


class DepthwiseConvWords(UngroupedWords, Multiplier, Settings, total=False):
    """The words of `convref.depthwise_conv`, M, and the settings of every layer of weights."""


class SeparableConvWords(UngroupedWords, Multiplier, SeparableSettings, total=False):
    """The words of `convref.separable_conv`, M, and the settings of both steps."""


class PerChannel(Weighted):
    """What both layers share: the words of the depthwise step, whose groups are the channels."""

    rank: ClassVar[int | None] = None
    """Spatial axes; None: as many as kernel_size has entries."""

    def __init__(self, kernel_size: Axes, words: Mapping[str, Any], known_settings: Any) -> None:
        refuse_groups(words)
        geometry, multiplied, settings = split_words(
            words, UngroupedWords, Multiplier, known_settings
        )
        super().__init__(**settings)
        self.kernel_size = kernel_of(kernel_size, self.rank)
        self.multiplier = channel_count("multiplier", multiplied.get("multiplier", 1))
        self.spec = ConvSpec.of(len(self.kernel_size), **geometry)
        """Of one group, until the number of channels is known."""

    def build(self, shape: Shape) -> None:
        self.make_for(shapes.sizes("x", shape, self.spec)[1])

    def make_for(self, channels: int) -> None:
        """Make the parameters for this number of input channels."""
        channels = channel_count("in_channels", channels)
        self.spec = replace(self.spec, groups=channels)
        self.make_parameters(channels * self.multiplier)
        self.built = True

    def make_parameters(self, filters: int) -> None:
        """Make them for C*M filters."""
        raise NotImplementedError

    def sizes(self, shape: Shape) -> tuple[Shape, int, Shape]:
        """Batch sizes, channels and spatial sizes of an input; raise ShapeError."""
        lead, channels, size = shapes.sizes("x", shape, self.spec)
        check_takes(self.spec.groups, channels, shape, self.spec.layout)
        return lead, channels, size

    def output_shape(self, shape: Shape) -> Shape:
        lead, _, size = self.sizes(shape)
        geometry = bind(self.spec, size, self.kernel_size)
        return shapes.shape_of(lead, len(self.weight.value), geometry.output_size, self.spec)

    def field(self, field: Field) -> Field:
        return field.convolved(self.kernel_size, self.spec)


class DepthwiseConv(PerChannel):
    """``y = activation(depthwise_conv(x, weight) + bias)``: M filters for each input channel.

    ``x (N, C, *input)`` gives ``y (N, C*M, *output)``, or both with channels last; output channel
    ``c*M + m`` is filter m of input channel c. M is the word ``multiplier`` (1). ``weight
    (C*M, 1, *kernel)`` has fan-in ``T`` and fan-out ``C*M * T`` for T taps, as PyTorch counts them
    from its shape; ``bias`` is ``(C*M,)``. With ``in_channels=None``, C is that of the first input.
    Words are those of `convref.depthwise_conv`, and `convref.weighted.Settings`.

    Raises WordError for a word that is unknown or out of range, ShapeError for an input that does
    not fit, DtypeError for one that can't be converted.

    Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
    applications", https://arxiv.org/abs/1704.04861.

    >>> import numpy as np
    >>> layer = DepthwiseConv2d(3, kernel_size=3, multiplier=2, stride=2, padding="same", rng=0)
    >>> y = layer(np.ones((5, 3, 9, 9)))
    >>> dx = layer.backward(np.ones_like(y))
    >>> y.shape, dx.shape, layer.weight.grad.shape, layer.bias.grad.shape
    ((5, 6, 5, 5), (5, 3, 9, 9), (6, 1, 3, 3), (6,))
    """

    @verb
    def __init__(
        self, in_channels: int | None, kernel_size: Axes, **words: Unpack[DepthwiseConvWords]
    ) -> None:
        super().__init__(kernel_size, words, Settings)
        if in_channels is not None:
            self.make_for(in_channels)

    def make_parameters(self, filters: int) -> None:
        self.weight = self.make_weight((filters, 1, *self.kernel_size))
        self.bias = self.make_bias(filters)

    def affine(self, x: Array) -> Array:
        self.sizes(x.shape)
        self.x = x
        bias = None if self.bias is None else self.bias.value
        # y (N, C, M, *output) = w (C, M, *kernel) . x (N, C, *input), over taps
        return engine.forward(x, self.weight.masked, bias, self.spec, AS_SET)

    def affine_gradient(self, dy: Array) -> Array:
        if self.trainable:
            # dw (C, M, *kernel) = dy (N, C, M, *output) . x (N, C, *input), over N and positions
            grad = engine.weight_grad(self.x, dy, self.kernel_size, self.spec, AS_SET)
            self.weight.receive(grad)
            if self.bias is not None:
                self.bias.receive(engine.bias_grad(dy, self.spec, AS_SET))
        size = self.sizes(self.x.shape)[2]
        # dx (N, C, *input) = w (C, M, *kernel) . dy (N, C, M, *output), over M and positions
        return engine.input_grad(dy, self.weight.masked, None, size, self.spec, AS_SET)

    def macs(self, shape: Shape) -> int:
        lead, channels, size = self.sizes(shape)
        filters = prod(lead) * channels * self.multiplier
        return filters * bind(self.spec, size, self.kernel_size).macs


class DepthwiseConv1d(DepthwiseConv):
    """`DepthwiseConv` with one spatial axis."""

    rank = 1


class DepthwiseConv2d(DepthwiseConv):
    """`DepthwiseConv` with two spatial axes."""

    rank = 2


class DepthwiseConv3d(DepthwiseConv):
    """`DepthwiseConv` with three spatial axes."""

    rank = 3


class SeparableConv(PerChannel):
    """``y = activation(separable_conv(x, depthwise, weight) + bias)``: depthwise, then pointwise.

    ``x (N, C, *input)`` gives ``y (N, K, *output)``, or both with channels last. The geometry words
    are those of the depthwise step, of M filters a channel (the word ``multiplier``, 1); its output
    ``(N, C*M, *output)`` is rounded to the layer's dtype. For T taps,

    - ``depthwise (C*M, 1, *kernel)`` has fan-in ``T`` and fan-out ``C*M * T``,
    - ``weight (K, C*M, 1, ..., 1)``, the pointwise weights, has fan-in ``C*M`` and fan-out ``K``,
    - ``bias`` is ``(K,)``.

    With ``in_channels=None``, C is that of the first input. Words are those of
    `convref.separable_conv`, and `SeparableSettings`; ``mask`` is one of the pointwise weights.

    Raises WordError for a word that is unknown or out of range, ShapeError for an input that does
    not fit, DtypeError for one that can't be converted.

    Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017,
    https://arxiv.org/abs/1610.02357.

    >>> import numpy as np
    >>> layer = SeparableConv2d(3, 8, kernel_size=3, multiplier=2, padding="same", rng=0)
    >>> y = layer(np.ones((5, 3, 9, 9)))
    >>> dx = layer.backward(np.ones_like(y))
    >>> y.shape, dx.shape, layer.depthwise.grad.shape, layer.weight.grad.shape
    ((5, 8, 9, 9), (5, 3, 9, 9), (6, 1, 3, 3), (8, 6, 1, 1))
    """

    @verb
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Axes,
        **words: Unpack[SeparableConvWords],
    ) -> None:
        super().__init__(kernel_size, words, SeparableSettings)
        self.out_channels = channel_count("out_channels", out_channels)
        self.mixer = ConvSpec.of(self.spec.rank, layout=self.spec.layout)
        self.single_tap = (1,) * self.spec.rank
        if in_channels is not None:
            self.make_for(in_channels)

    def make_parameters(self, filters: int) -> None:
        self.depthwise = self.make_weight((filters, 1, *self.kernel_size), "depthwise")
        self.weight = self.make_weight((self.out_channels, filters, *self.single_tap))
        self.bias = self.make_bias(self.out_channels)

    def affine(self, x: Array) -> Array:
        self.sizes(x.shape)
        self.x = x
        bias = None if self.bias is None else self.bias.value
        # middle (N, C*M, *output) = depthwise (C*M, 1, *kernel) . x (N, C, *input), over taps
        self.middle = engine.forward(x, self.depthwise.masked, None, self.spec, AS_SET)
        # y (N, K, *output) = w (K, C*M) . middle (N, C*M, *output), over C*M
        return engine.forward(self.middle, self.weight.masked, bias, self.mixer, AS_SET)

    def affine_gradient(self, dy: Array) -> Array:
        output = shapes.sizes("dy", dy.shape, self.mixer)[2]
        # dmiddle (N, C*M, *output) = w (K, C*M) . dy (N, K, *output), over K
        dmiddle = engine.input_grad(dy, self.weight.masked, None, output, self.mixer, AS_SET)
        if self.trainable:
            self.receive_gradients(dy, dmiddle)
        size = self.sizes(self.x.shape)[2]
        # dx (N, C, *input) = depthwise (C*M, 1, *kernel) . dmiddle, over M and positions
        return engine.input_grad(dmiddle, self.depthwise.masked, None, size, self.spec, AS_SET)

    def receive_gradients(self, dy: Array, dmiddle: Array) -> None:
        """Give each parameter its gradient; both contractions are over N and positions."""
        # dw (K, C*M) = dy (N, K, *output) . middle (N, C*M, *output)
        grad = engine.weight_grad(self.middle, dy, self.single_tap, self.mixer, AS_SET)
        self.weight.receive(grad)
        # ddepthwise (C*M, 1, *kernel) = dmiddle (N, C*M, *output) . x (N, C, *input)
        grad = engine.weight_grad(self.x, dmiddle, self.kernel_size, self.spec, AS_SET)
        self.depthwise.receive(grad)
        if self.bias is not None:
            self.bias.receive(engine.bias_grad(dy, self.mixer, AS_SET))

    def macs(self, shape: Shape) -> int:
        lead, channels, size = self.sizes(shape)
        filters = prod(lead) * channels * self.multiplier
        geometry = bind(self.spec, size, self.kernel_size)
        return filters * (geometry.macs + self.out_channels * prod(geometry.output_size))


class SeparableConv1d(SeparableConv):
    """`SeparableConv` with one spatial axis."""

    rank = 1


class SeparableConv2d(SeparableConv):
    """`SeparableConv` with two spatial axes."""

    rank = 2


class SeparableConv3d(SeparableConv):
    """`SeparableConv` with three spatial axes."""

    rank = 3
