"""Transposed convolution as a layer: the input gradient of a convolution, used forward.

Of the trilinear form of a convolution it contracts dy with w, so its own gradients are the other
two contractions, with the roles of x and dy exchanged.
"""

from fractions import Fraction
from math import prod
from typing import Any, ClassVar, TypedDict, Unpack

from numpy.typing import NDArray

from convref import engine, shapes
from convref.checks import check_transposed_channels
from convref.errors import verb
from convref.functional import chosen_size, grown_size
from convref.geometry import bind, spread
from convref.padding import Padding
from convref.spec import Axes, ConvSpec
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


class TransposedWords(TypedDict, total=False):
    """The geometry words of `convref.conv_transpose`."""

    stride: Axes
    padding: Padding
    dilation: Axes
    groups: int
    layout: str


class SizeWords(TypedDict, total=False):
    """The words that choose one of the output sizes that share an input size."""

    output_padding: Axes
    output_size: Axes | None


class ConvTransposeWords(TransposedWords, SizeWords, Settings, total=False):
    """The words of `convref.conv_transpose`, and the settings of every layer of weights."""


class ConvTranspose(Weighted):
    """``y = activation(conv_transpose(x, weight) + bias)``, of as many axes as ``kernel_size``.

    ``x (N, C, *input)`` gives ``y (N, K, *output)``, or both with channels last. ``weight
    (C, K/groups, *kernel)`` has fan-in ``K/groups * T`` and fan-out ``C * T`` for T taps, as
    PyTorch and Keras count them from its shape; ``bias`` is ``(K,)``. With ``in_channels=None``, C
    is that of the first input. Words are those of `convref.conv_transpose`, and
    `convref.weighted.Settings`: ``output_padding`` adds to the smallest output size,
    ``output_size`` names the one that every input shall give.

    Raises WordError for a word that is unknown or out of range, ShapeError for an input that does
    not fit, DtypeError for one that can't be converted.

    The arithmetic: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning",
    https://arxiv.org/abs/1603.07285.

    >>> import numpy as np
    >>> layer = ConvTranspose2d(8, 3, kernel_size=3, stride=2, padding=1, output_padding=1, rng=0)
    >>> y = layer(np.ones((5, 8, 4, 4)))
    >>> dx = layer.backward(np.ones_like(y))
    >>> y.shape, dx.shape, layer.weight.grad.shape, layer.bias.grad.shape
    ((5, 3, 8, 8), (5, 8, 4, 4), (8, 3, 3, 3), (3,))
    """

    rank: ClassVar[int | None] = None
    """Spatial axes; None: as many as kernel_size has entries."""

    @verb
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Axes,
        **words: Unpack[ConvTransposeWords],
    ) -> None:
        geometry, choice, settings = split_words(words, TransposedWords, SizeWords, Settings)
        super().__init__(**settings)
        self.kernel_size = kernel_of(kernel_size, self.rank)
        self.spec = ConvSpec.of(len(self.kernel_size), **geometry)
        self.output_padding = choice.get("output_padding", 0)
        self.output_size = choice.get("output_size")
        self.chosen(self.spec.stride)  # a slip in the words shows now, whatever the sizes
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
            (in_channels, self.out_channels // groups, *self.kernel_size)
        )
        self.bias = self.make_bias(self.out_channels)
        self.built = True

    def affine(self, x: Array) -> Array:
        self.x = x
        w = self.weight.masked
        _, channels, size = shapes.sizes("x", x.shape, self.spec)
        check_transposed_channels(channels, x.shape, w.shape)
        bias = None if self.bias is None else self.bias.value
        # y (N, K, *output) = x (N, C, *input) . w (C, K/G, *kernel), over C
        return engine.input_grad(x, w, bias, self.grown(size), self.spec, AS_SET, name="x")

    def affine_gradient(self, dy: Array) -> Array:
        if self.trainable:
            # dw (C, K/G, *kernel) = x (N, C, *input) . dy (N, K, *output), over N and positions
            grad = engine.weight_grad(dy, self.x, self.kernel_size, self.spec, AS_SET)
            self.weight.receive(grad)
            if self.bias is not None:
                self.bias.receive(engine.bias_grad(dy, self.spec, AS_SET))
        # dx (N, C, *input) = dy (N, K, *output) . w (C, K/G, *kernel), over K and taps
        return engine.forward(dy, self.weight.masked, None, self.spec, AS_SET)

    def grown(self, size: Shape) -> Shape:
        """The spatial sizes of the output for those of an input."""
        spec, chosen = self.spec, (self.output_padding, self.output_size)
        return grown_size(size, self.kernel_size, *chosen, spec, spec.stride)

    def chosen(self, smallest: Shape) -> Shape:
        """The output sizes that the words choose, where these are the smallest."""
        spec = self.spec
        return chosen_size(smallest, self.output_padding, self.output_size, spec, spec.stride)

    def output_shape(self, shape: Shape) -> Shape:
        lead, _, size = shapes.sizes("x", shape, self.spec)
        return shapes.shape_of(lead, self.out_channels, self.grown(size), self.spec)

    def macs(self, shape: Shape) -> int:
        lead, channels, size = shapes.sizes("x", shape, self.spec)
        pairs = prod(lead) * channels * (self.out_channels // self.spec.groups)
        return pairs * bind(self.spec, self.grown(size), self.kernel_size).macs

    def field(self, field: Field) -> Field:
        rank = self.spec.rank
        spread_out = field.through((1,) * rank, [Fraction(1, step) for step in self.spec.stride])
        windows = list(map(spread, self.kernel_size, self.spec.dilation))
        return spread_out.through(windows, (1,) * rank)


class ConvTranspose1d(ConvTranspose):
    """`ConvTranspose` with one spatial axis."""

    rank = 1


class ConvTranspose2d(ConvTranspose):
    """`ConvTranspose` with two spatial axes."""

    rank = 2


class ConvTranspose3d(ConvTranspose):
    """`ConvTranspose` with three spatial axes."""

    rank = 3
