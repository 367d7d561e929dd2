"""Convolutions that take their number of channels from the first input."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from convref.dialects.torch.convolutions import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvNd,
    Convolutional,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    ConvTransposeNd,
    check_zeros,
)
from convref.dialects.torch.module import IncompatibleKeys
from convref.errors import verb
from convref.spec import Axes


class Lazy(Convolutional):
    """A layer that becomes one of another class once it has its parameters."""

    becomes: ClassVar[type[Convolutional]]

    def make_parameters(self, in_channels: int) -> None:
        super().make_parameters(in_channels)
        if self.name == type(self).__name__:
            self.name = self.becomes.__name__
        self.__class__ = self.becomes  # type: ignore[assignment]

    def load_state_dict(
        self, state_dict: Mapping[str, ArrayLike], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Make parameters of the shapes that are given, and fill them."""
        if "weight" in state_dict:
            self.make_parameters(self.channels_of(np.shape(state_dict["weight"])))
        # No super(), for it is no Lazy any more.
        return Convolutional.load_state_dict(self, state_dict, strict, assign)


class LazyConvNd(Lazy, ConvNd):
    """`ConvNd` that takes ``in_channels`` from the first input, and then is of that class.

    >>> import numpy as np
    >>> layer = LazyConv2d(8, 3)
    >>> layer
    LazyConv2d(0, 8, kernel_size=(3, 3), stride=(1, 1))
    >>> y = layer(np.ones((3, 5, 5), np.float32))
    >>> layer
    Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
    """

    arguments = ConvNd.arguments[1:]

    @verb
    def __init__(
        self,
        out_channels: int,
        kernel_size: Axes,
        stride: Axes = 1,
        padding: str | Axes = 0,
        dilation: Axes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: object = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.begin(
            out_channels, kernel_size, bias, device, dtype, stride=stride, padding=padding,
            dilation=dilation, groups=groups, padding_mode=padding_mode,
        )  # fmt: skip


class LazyConvTransposeNd(Lazy, ConvTransposeNd):
    """`ConvTransposeNd` that takes ``in_channels`` from the first input, as `LazyConvNd` does."""

    arguments = ConvTransposeNd.arguments[1:]

    @verb
    def __init__(
        self,
        out_channels: int,
        kernel_size: Axes,
        stride: Axes = 1,
        padding: Axes = 0,
        output_padding: Axes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Axes = 1,
        padding_mode: str = "zeros",
        device: object = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        check_zeros(padding_mode)
        self.begin(
            out_channels, kernel_size, bias, device, dtype, stride=stride, padding=padding,
            output_padding=output_padding, groups=groups, dilation=dilation,
        )  # fmt: skip


class LazyConv1d(LazyConvNd, Conv1d):
    """`Conv1d` that takes ``in_channels`` from the first input."""

    becomes = Conv1d


class LazyConv2d(LazyConvNd, Conv2d):
    """`Conv2d` that takes ``in_channels`` from the first input."""

    becomes = Conv2d


class LazyConv3d(LazyConvNd, Conv3d):
    """`Conv3d` that takes ``in_channels`` from the first input."""

    becomes = Conv3d


class LazyConvTranspose1d(LazyConvTransposeNd, ConvTranspose1d):
    """`ConvTranspose1d` that takes ``in_channels`` from the first input."""

    becomes = ConvTranspose1d


class LazyConvTranspose2d(LazyConvTransposeNd, ConvTranspose2d):
    """`ConvTranspose2d` that takes ``in_channels`` from the first input."""

    becomes = ConvTranspose2d


class LazyConvTranspose3d(LazyConvTransposeNd, ConvTranspose3d):
    """`ConvTranspose3d` that takes ``in_channels`` from the first input."""

    becomes = ConvTranspose3d
