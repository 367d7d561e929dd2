"""Convolutions and transposed convolutions as layers of torch.nn.

They are convref's own, made with PyTorch's words; `Word` keeps the two in step.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convref import layers, shapes
from convref.dialects.torch.arguments import (
    INEXACT,
    Transposed,
    check_axes,
    check_channels,
    check_dtypes,
    check_reach,
    count,
    exactly,
    geometry,
    in_own_words,
    read,
    sizes,
    transposed_geometry,
    whole,
)
from convref.dialects.torch.functions import without_channels
from convref.dialects.torch.module import IncompatibleKeys, Module
from convref.dialects.torch.refusals import ArgumentError, at_run_time
from convref.dialects.torch.settings import settings
from convref.errors import WordError, shown, verb
from convref.geometry import transposed_size
from convref.initialisers import Zeros
from convref.integers import is_sequence
from convref.spec import Axes, ConvSpec
from convref.summary import Shape
from convref.weighted import Weighted

Array = NDArray[Any]


class Word:
    """A word of a convolution; setting it changes what the next call computes."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        return self if layer is None else layer.words[self.name]

    def __set__(self, layer: Any, value: object) -> None:
        layer.use(**{**layer.words, self.name: value})


class Convolutional(Module, Weighted):
    """What convolutions and transposed convolutions share."""

    rank: ClassVar[Any]
    words: Any
    """PyTorch's, checked: a Geometry or a Transposed."""
    make_parameters: Callable[[int], None]
    kernel_size: Shape
    out_channels: int
    spec: ConvSpec
    stride, padding, dilation, groups = Word(), Word(), Word(), Word()

    def begin(
        self,
        out_channels: int,
        kernel_size: Axes,
        bias: bool,
        device: object,
        dtype: DTypeLike | None,
        **words: Any,
    ) -> None:
        """All that constructors do before there are parameters."""
        constructor_of_the_kind: Any = super().__init__
        constructor_of_the_kind(
            None,
            count("out_channels", out_channels),
            exactly("kernel_size", kernel_size, self.rank),
            groups=whole("groups", words["groups"]),
            **settings(bias, device, dtype),
        )
        self.use(**words)

    def use(self, **words: Any) -> None:
        """Check the words, keep them, and make the spec that follows from them."""
        raise NotImplementedError

    def channels_of(self, shape: Shape) -> int:
        """The input channels that weights of this shape take."""
        raise NotImplementedError

    @property
    def in_channels(self) -> int:
        """Input channels; 0 before the first input says how many."""
        return self.channels_of(self.weight.value.shape) if self.built else 0

    def load_state_dict(
        self, state_dict: Mapping[str, ArrayLike], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        result = super().load_state_dict(state_dict, strict, assign)
        if self.built:
            self.dtype = self.weight.value.dtype  # another one, if it was assigned
        return result

    def ensure_built(self, shape: Shape) -> None:
        check_axes(shape, self.rank)
        super().ensure_built(shape)

    def forward(self, x: Array) -> Array:
        check_dtypes(INEXACT, input=x, weight=self.weight.value)
        return super().forward(x)

    def argument(self, name: str) -> Any:
        has_bias = self.bias is not None if self.built else self.settings.get("bias")
        found = {**self.words, "bias": has_bias, "dtype": self.dtype.name}
        return found[name] if name in found else super().argument(name)

    def extra_repr(self) -> str:
        usual = {
            "kernel_size": None,
            "stride": None,
            "padding": (0,) * self.rank,
            "dilation": (1,) * self.rank,
            "output_padding": (0,) * self.rank,
            "groups": 1,
            "bias": True,
            "padding_mode": "zeros",
        }
        shown = {name: self.argument(name) for name in usual if name in self.arguments}
        told = [f"{name}={value}" for name, value in shown.items() if value != usual[name]]
        return ", ".join((str(self.in_channels), str(self.out_channels), *told))


class ConvNd(Convolutional, layers.Conv):
    """``input (N, C, *size)``, or without N, convolved to ``(N, K, *output)``.

    ``weight (K, C/groups, *kernel)`` and ``bias (K,)`` begin within 1 / sqrt(C/groups * taps).

    - ``padding`` is zeros before and after, "valid" or, for strides of 1, "same";
    - ``padding_mode`` "reflect", "replicate" or "circular" pads with the input's own numbers;
    - ``device`` is "cpu" or None; ``dtype`` is that of the parameters, which inputs must have.

    >>> import numpy as np
    >>> layer = Conv2d(4, 6, 3, padding="same", groups=2)
    >>> layer
    Conv2d(4, 6, kernel_size=(3, 3), stride=(1, 1), padding=same, groups=2)
    >>> layer(np.ones((5, 4, 7, 7), np.float32)).shape
    (5, 6, 7, 7)
    >>> {name: array.shape for name, array in layer.state_dict().items()}
    {'weight': (6, 2, 3, 3), 'bias': (6,)}
    """

    arguments: ClassVar[tuple[str, ...]] = (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
        "bias", "padding_mode", "dtype",
    )  # fmt: skip
    transposed = False
    padding_mode = Word()

    @verb
    def __init__(
        self,
        in_channels: int,
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
        in_channels = count("in_channels", in_channels, 0)
        if not in_channels:  # there is no fan-in to divide by
            self.settings["weight_initialiser"] = self.settings["bias_initialiser"] = Zeros()
        self.make_parameters(in_channels)

    def use(self, **words: Any) -> None:
        checked = geometry(self.rank, **words)
        self.words, self.spec = checked, ConvSpec.of(self.rank, **checked)

    def channels_of(self, shape: Shape) -> int:
        return shape[1] * self.spec.groups

    def affine(self, x: Array) -> Array:
        _, channels, size = shapes.sizes("x", x.shape, self.spec)
        check_channels(x.shape, self.weight.value.shape, self.spec.groups)
        check_reach(self.spec, size, self.kernel_size)
        if not channels:
            self.x = x
            return without_channels(x, self.kernel_size, self.spec)
        return super().affine(x)

    def affine_gradient(self, dy: Array) -> Array:
        if self.in_channels:
            return super().affine_gradient(dy)
        for parameter in self.trained().values():
            parameter.receive(np.zeros_like(parameter.value))
        return np.zeros_like(self.x)


class ConvTransposeNd(Convolutional, layers.ConvTranspose):
    """``input (N, C, *size)``, or without N, convolved to ``(N, K, *output)``, transposed.

    ``weight (C, K/groups, *kernel)`` and ``bias (K,)`` begin within 1 / sqrt(K/groups * taps). Note
    that dilation comes after groups and bias. ``output_padding`` adds to the smallest output, and
    ``layer(input, output_size)`` names the output of one call, with batch and channels or without.

    >>> import numpy as np
    >>> layer = ConvTranspose1d(2, 3, 3, stride=2)
    >>> layer(np.ones((2, 4), np.float32)).shape
    (3, 9)
    >>> layer(np.ones((2, 4), np.float32), output_size=[10]).shape
    (3, 10)
    """

    arguments: ClassVar[tuple[str, ...]] = (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding",
        "groups", "bias", "dilation", "dtype",
    )  # fmt: skip
    transposed = True
    padding_mode = "zeros"

    @verb
    def __init__(
        self,
        in_channels: int,
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
        self.make_parameters(count("in_channels", in_channels))

    def use(self, **words: Any) -> None:
        self.words = transposed_geometry(self.rank, **words)
        self.usual = self.spec, self.output_padding = placed(self.rank, self.words)

    def channels_of(self, shape: Shape) -> int:
        return shape[0]

    def __call__(self, input: ArrayLike, output_size: Axes | None = None) -> Array:
        self.spec, self.output_padding = self.usual
        if output_size is not None:
            with self._named():
                extra = self.chosen_by(read("input", input).shape, output_size)
            words = self.words | {"output_padding": extra}
            self.spec, self.output_padding = placed(self.rank, words)
        try:
            return super().__call__(input)
        finally:
            self.output_padding = self.usual[1]

    def forward(self, x: Array, output_size: Axes | None = None) -> Array:
        return super().forward(x) if output_size is None else self(x, output_size)

    def chosen_by(self, shape: Shape, output_size: Axes) -> Shape:
        """The output padding that gives an input of this shape that output size."""
        with at_run_time():
            check_axes(shape, self.rank)
        if not is_sequence(output_size):
            raise ArgumentError(
                f"`output_size` (={shown(output_size)}) is no sequence", "use a tuple"
            )
        asked, before = sizes("output_size", output_size), len(shape) - self.rank
        if len(asked) not in (self.rank, self.rank + before):
            raise WordError(
                f"`output_size` (={asked}) has {len(asked)} entries",
                f"give it {self.rank}, or {self.rank + before} as the output has",
            )
        smallest, _ = placed(self.rank, self.words | {"output_padding": (0,) * self.rank})
        least = transposed_size(smallest, shape[before:], self.kernel_size)
        extra = tuple(map(int.__sub__, asked[-self.rank :], least))
        if any(more not in range(step) for more, step in zip(extra, self.stride, strict=True)):
            most = tuple(size + step - 1 for size, step in zip(least, self.stride, strict=True))
            raise WordError(
                f"`output_size` (={asked}) is not one that an input of the shape {shape} gives",
                f"use {least} to {most}",
            )
        return extra


def check_zeros(padding_mode: str) -> None:
    """Check the padding mode of a transposed convolution."""
    if not isinstance(padding_mode, str) or padding_mode != "zeros":
        raise WordError(f"`padding_mode` (={shown(padding_mode)}) must be 'zeros'", "leave it out")


def placed(rank: int, words: Transposed) -> tuple[ConvSpec, Axes]:
    """The spec and the output padding, in convref's words."""
    own = in_own_words(words)
    extra = own.pop("output_padding")
    return ConvSpec.of(rank, **own), extra


class Conv1d(ConvNd, layers.Conv1d):
    """`ConvNd` with one spatial axis."""


class Conv2d(ConvNd, layers.Conv2d):
    """`ConvNd` with two spatial axes."""


class Conv3d(ConvNd, layers.Conv3d):
    """`ConvNd` with three spatial axes."""


class ConvTranspose1d(ConvTransposeNd, layers.ConvTranspose1d):
    """`ConvTransposeNd` with one spatial axis."""


class ConvTranspose2d(ConvTransposeNd, layers.ConvTranspose2d):
    """`ConvTransposeNd` with two spatial axes."""


class ConvTranspose3d(ConvTransposeNd, layers.ConvTranspose3d):
    """`ConvTransposeNd` with three spatial axes."""
