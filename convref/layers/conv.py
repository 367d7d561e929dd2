"""Convolution as a layer.

It is affine: its gradients are the other two contractions of one trilinear form, of x with dy for
the weights, of w with dy for the input.
"""

from math import prod
from typing import Any, ClassVar, Unpack

from numpy.typing import NDArray

from convref import engine, shapes
from convref.errors import verb
from convref.geometry import bind
from convref.spec import Axes, ConvSpec, Words
from convref.summary import Field, Shape
from convref.weighted import (
    AS_SET,
    Settings,
    Weighted,
    channel_count,
    check_grouped,
    kernel_of,
    split_words,
)

Array = NDArray[Any]


class ConvWords(Words, Settings, total=False):
    """The geometry words of `convref.conv`, and the settings of every layer of weights."""


class Conv(Weighted):
    """``y = activation(conv(x, weight) + bias)``, of as many axes as ``kernel_size`` has entries.

    ``x (N, C, *input)`` gives ``y (N, K, *output)``, or both with channels last. ``weight
    (K, C/groups, *kernel)`` has fan-in ``C/groups * T`` and fan-out ``K * T`` for T taps; ``bias``
    is ``(K,)``. With ``in_channels=None``, C is that of the first input. Words are those of
    `convref.conv`, and `convref.weighted.Settings`.

    Raises WordError for a word that is unknown or out of range, ShapeError for an input that does
    not fit, DtypeError for one that can't be converted.

    >>> import numpy as np
    >>> layer = Conv2d(3, 8, kernel_size=3, stride=2, padding="same", activation="relu", rng=0)
    >>> y = layer(np.ones((5, 3, 9, 9)))
    >>> dx = layer.backward(np.ones_like(y))
    >>> y.shape, dx.shape, layer.weight.grad.shape, layer.bias.grad.shape
    ((5, 8, 5, 5), (5, 3, 9, 9), (8, 3, 3, 3), (8,))
    """

    rank: ClassVar[int | None] = None
    """Spatial axes; None: as many as kernel_size has entries."""

    @verb
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Axes,
        **words: Unpack[ConvWords],
    ) -> None:
        geometry, settings = split_words(words, Words, Settings)
        super().__init__(**settings)
        self.kernel_size = kernel_of(kernel_size, self.rank)
        self.spec = ConvSpec.of(len(self.kernel_size), **geometry)
        self.out_channels = channel_count("out_channels", out_channels)
        check_grouped("out_channels", self.out_channels, self.spec.groups)
        if in_channels is not None:
            self.make_parameters(channel_count("in_channels", in_channels))

    def build(self, shape: Shape) -> None:
        self.make_parameters(shapes.sizes("x", shape, self.spec)[1])

    def make_parameters(self, in_channels: int) -> None:
        groups = self.spec.groups
        check_grouped("in_channels", in_channels, groups)
        self.weight = self.make_weight(
            (self.out_channels, in_channels // groups, *self.kernel_size)
        )
        self.bias = self.make_bias(self.out_channels)
        self.built = True

    def affine(self, x: Array) -> Array:
        self.x = x
        bias = None if self.bias is None else self.bias.value
        return engine.forward(x, self.weight.masked, bias, self.spec, AS_SET)

    def affine_gradient(self, dy: Array) -> Array:
        if self.trainable:
            grad = engine.weight_grad(self.x, dy, self.kernel_size, self.spec, AS_SET)
            self.weight.receive(grad)
            if self.bias is not None:
                self.bias.receive(engine.bias_grad(dy, self.spec, AS_SET))
        size = shapes.sizes("x", self.x.shape, self.spec)[2]
        return engine.input_grad(dy, self.weight.masked, None, size, self.spec, AS_SET)

    def output_shape(self, shape: Shape) -> Shape:
        lead, _, size = shapes.sizes("x", shape, self.spec)
        geometry = bind(self.spec, size, self.kernel_size)
        return shapes.shape_of(lead, self.out_channels, geometry.output_size, self.spec)

    def macs(self, shape: Shape) -> int:
        lead, channels, size = shapes.sizes("x", shape, self.spec)
        pairs = prod(lead) * self.out_channels * (channels // self.spec.groups)
        return pairs * bind(self.spec, size, self.kernel_size).macs

    def field(self, field: Field) -> Field:
        return field.convolved(self.kernel_size, self.spec)


class Conv1d(Conv):
    """`Conv` with one spatial axis."""

    rank = 1


class Conv2d(Conv):
    """`Conv` with two spatial axes."""

    rank = 2


class Conv3d(Conv):
    """`Conv` with three spatial axes."""

    rank = 3
