"""Unfold and Fold as layers: what windows see as columns, and the transpose of that."""

from math import prod
from typing import Any

from numpy.typing import NDArray

from convref.dialects.torch.arguments import check_axes, exactly
from convref.dialects.torch.functions import column_words, fold, unfold
from convref.dialects.torch.module import Module
from convref.errors import verb
from convref.geometry import Geometry, bind
from convref.spec import Axes, ConvSpec
from convref.summary import Shape

Array = NDArray[Any]


class Columns(Module):
    """What both share: windows on two spatial axes. Arguments are checked in each call."""

    kernel_size: Axes
    dilation: Axes
    padding: Axes
    stride: Axes

    def words(self) -> dict[str, Axes]:
        """The arguments that both functions have."""
        return {
            "kernel_size": self.kernel_size,
            "dilation": self.dilation,
            "padding": self.padding,
            "stride": self.stride,
        }

    def geometry(self, size: Shape) -> Geometry:
        """Of windows on an image of this size."""
        words = column_words(self.dilation, self.padding, self.stride)
        return bind(ConvSpec.of(2, **words), size, exactly("kernel_size", self.kernel_size, 2))


class Unfold(Columns):
    """`unfold` as a layer: ``(N, C, H, W)``, or without N, gives ``(N, C * taps, positions)``.

    >>> import numpy as np
    >>> Unfold((2, 3))(np.ones((2, 5, 3, 4))).shape
    (2, 30, 4)
    """

    arguments = ("kernel_size", "dilation", "padding", "stride")

    @verb
    def __init__(
        self, kernel_size: Axes, dilation: Axes = 1, padding: Axes = 0, stride: Axes = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, x: Array) -> Array:
        self.size = x.shape[-2:]
        return unfold(x, **self.words())

    def gradient(self, dy: Array) -> Array:
        return fold(dy, self.size, **self.words())

    def output_shape(self, shape: Shape) -> Shape:
        check_axes(shape, 2)
        geometry = self.geometry(shape[-2:])
        channels = shape[-3] * prod(geometry.kernel_size)
        return (*shape[:-3], channels, prod(geometry.output_size))


class Fold(Columns):
    """`fold` as a layer: ``(N, C * taps, positions)`` adds up to ``(N, C, *output_size)``.

    >>> import numpy as np
    >>> Fold(output_size=(4, 5), kernel_size=(2, 2))(np.ones((1, 12, 12))).shape
    (1, 3, 4, 5)
    """

    arguments = ("output_size", "kernel_size", "dilation", "padding", "stride")

    @verb
    def __init__(
        self,
        output_size: Axes,
        kernel_size: Axes,
        dilation: Axes = 1,
        padding: Axes = 0,
        stride: Axes = 1,
    ) -> None:
        super().__init__()
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, x: Array) -> Array:
        return fold(x, self.output_size, **self.words())

    def gradient(self, dy: Array) -> Array:
        return unfold(dy, **self.words())

    def output_shape(self, shape: Shape) -> Shape:
        check_axes(shape, 1)
        size = exactly("output_size", self.output_size, 2)
        return (*shape[:-2], shape[-2] // prod(self.geometry(size).kernel_size), *size)
