"""Convolutions as brainpy.dnn has them."""

from collections.abc import Callable, Sequence
from math import prod
from numbers import Number
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref import layers, shapes
from convref.dialects.brainpy.objects import (
    AssertedError,
    Initializer,
    Mode,
    TrainingMode,
    XavierNormal,
    ZeroInit,
    read,
    training_mode,
)
from convref.dtypes import as_array
from convref.errors import DtypeError, ShapeError, WordError, shown, verb
from convref.geometry import resolved, transposed_size
from convref.integers import integer
from convref.layer import cast_to
from convref.padding import Pair
from convref.spec import ConvSpec
from convref.summary import Shape
from convref.weighted import Weighted, as_mask, channel_count

Array = NDArray[Any]
Sizes = int | Sequence[int]
Pads = str | int | Sequence[int] | Sequence[Sequence[int]]
Values = ArrayLike | Callable[[Shape], Any] | Initializer | dict[str, Any]

XAVIER = XavierNormal()
XAVIER_TRANSPOSED = XavierNormal(in_axis=-1, out_axis=-2)
ZERO = ZeroInit()
PRECISIONS = ("DEFAULT", "HIGH", "HIGHEST")


class CountError(WordError, TypeError):
    """What is no positive integer for each axis; refused as ValueError or as TypeError there."""


class Brainpy(Weighted):
    """What all layers of this dialect share: arrays with channels last, and brainpy's attributes.

    ``w`` and ``b`` are the parameters in brainpy's shapes. Inputs are (*input, C) or
    (B, *input, C), of float32 or float64: others are refused, as JAX refuses two dtypes.
    """

    kernel_size: Shape
    spec: ConvSpec
    in_channels: int
    out_channels: int
    padding: str | tuple[Pair, ...]
    stride: Shape
    mask: Any
    mode: Mode

    def begin(self, w_initializer: Any, b_initializer: Any, mask: Any) -> None:
        """The first values of the parameters, once they are there, and the mask."""
        self.w_initializer, self.b_initializer = read(w_initializer), read(b_initializer)
        self.w = first_values("w_initializer", self.w_initializer, self.w.shape)
        if self.b is not None:
            shape = self.b.shape
            self.b = first_values("b_initializer", self.b_initializer, shape, one_for_all=True)
        self.mask, self.misfit = mask, None
        if mask is not None:
            try:
                self.weight.mask = self.canonical(as_mask(mask, self.w.shape, self.dtype))
            except ShapeError as error:  # brainpy compares the shapes when the layer is called
                self.misfit = error

    @property
    def num_spatial_dims(self) -> int:
        """Spatial axes."""
        return len(self.kernel_size)

    @property
    def w(self) -> Array:
        """The weights, a view (*kernel, C/groups, K)."""
        return self.own(self.weight.value)

    @w.setter
    def w(self, values: ArrayLike) -> None:
        with self._named():
            array = checked("w", values, self.w.shape)
        self.weight.value = np.array(cast_to(self.dtype, "w", self.canonical(array)), order="C")

    @property
    def b(self) -> Array | None:
        """The bias, a view (1, ..., 1, K), or None."""
        if self.bias is None:
            return None
        return self.bias.value.reshape(*[1] * self.num_spatial_dims, -1)

    @b.setter
    def b(self, values: ArrayLike) -> None:
        with self._named():
            if self.bias is None or self.b is None:
                raise WordError("the layer has no bias", "make it with a `b_initializer`")
            array = checked("b", values, self.b.shape)
        self.bias.value = cast_to(self.dtype, "b", array.reshape(-1)).copy()

    @staticmethod
    def own(w: Array) -> Array:
        """Weights of convref's shape in brainpy's."""
        raise NotImplementedError

    @staticmethod
    def canonical(w: Array) -> Array:
        """The inverse of `own`."""
        raise NotImplementedError

    def forward(self, x: Array) -> Array:
        rank = self.num_spatial_dims
        if x.ndim not in (rank + 1, rank + 2):
            raise ShapeError(
                f"`x` (shape {x.shape}) must have {rank + 1} or {rank + 2} axes",
                "give it the shape (*input, C) or (B, *input, C)",
            )
        if x.shape[-1] != self.in_channels:
            raise ShapeError(
                f"`x` (shape {x.shape}) has {x.shape[-1]} channels, and `in_channels` is "
                f"{self.in_channels}",
                "the channels are its last axis",
            )
        if x.dtype not in (np.float32, np.float64, self.dtype):
            raise DtypeError(
                f"`x` ({x.dtype}) must have the dtype of the weights ({self.dtype})", "convert it"
            )
        if self.misfit is not None:
            raise ShapeError(self.misfit.rule, self.misfit.mend)
        return super().forward(x)

    def without_positions(self, size: Shape) -> Shape | None:
        """The output's sizes where one is 0; None where there are positions, or no output."""
        raise NotImplementedError

    def affine(self, x: Array) -> Array:
        lead, _, size = shapes.sizes("x", x.shape, self.spec)
        if (output := self.without_positions(size)) is None:
            return super().affine(x)
        self.x = x
        return np.zeros(shapes.shape_of(lead, self.out_channels, output, self.spec), self.dtype)

    def affine_gradient(self, dy: Array) -> Array:
        if prod(dy.shape[-self.num_spatial_dims - 1 :]):
            return super().affine_gradient(dy)
        for parameter in self.trained().values():
            parameter.receive(np.zeros_like(parameter.value))
        return np.zeros_like(self.x)

    def __repr__(self) -> str:
        words = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
        given = ", ".join(f"{word}={getattr(self, word)}" for word in words)
        return f"{type(self).__name__}({given})"


class GeneralConv(Brainpy, layers.Conv):
    """A convolution with channels last: x (B, *input, C) to y (B, *output, K), or both without B.

    Defaults and words are brainpy's: "SAME" padding, ``padding`` as one of the words (in capitals),
    an int, a pair for all axes or a pair for each; ``lhs_dilation`` (only with pairs or an int) and
    ``rhs_dilation`` for input_dilation and dilation; ``stride``, or ``strides`` for it.
    ``w_initializer`` and ``b_initializer`` are initialisers, functions of a shape or arrays:
    weights (*kernel, in_channels/groups, out_channels), and a bias (1, ..., 1, out_channels), or
    None for no bias. ``mask`` multiplies the weights. ``mode`` says whether the layer learns, and
    does when left out, as brainpy's documentation has it (its code takes the mode of the
    environment, NonBatchingMode at first). An output that has no position is the empty array.

    Raises WordError, ShapeError and DtypeError, which are the errors of brainpy as well.
    """

    @verb
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        strides: Sizes | None = None,
        padding: Pads = "SAME",
        lhs_dilation: Sizes = 1,
        rhs_dilation: Sizes = 1,
        groups: int = 1,
        w_initializer: Values = XAVIER,
        b_initializer: Values | None = ZERO,
        mask: ArrayLike | None = None,
        mode: Mode | dict[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        if stride is not None and strides is not None:
            raise WordError(
                f"`stride` (={shown(stride)}) and `strides` (={shown(strides)}) are the same word",
                "give one of them",
            )
        rank = self.rank or 1
        given = strides if stride is None else stride
        self.stride = replicate("stride", 1 if given is None else given, rank)
        self.lhs_dilation = replicate("lhs_dilation", lhs_dilation, rank)
        self.rhs_dilation = replicate("rhs_dilation", rhs_dilation, rank)
        self.padding = as_padding(padding, rank)
        if isinstance(self.padding, str) and max(self.lhs_dilation) > 1:
            raise WordError(
                f"`padding` (={shown(padding)}) must be pairs where `lhs_dilation` "
                f"(={shown(lhs_dilation)}) is not 1",
                "such as padding=0 for 'VALID'",
            )
        self.in_channels = channel_count("in_channels", in_channels)
        out_channels = channel_count("out_channels", out_channels)
        self.groups = channel_count("groups", groups)
        if self.in_channels % self.groups or out_channels % self.groups:
            raise AssertedError(
                f"`groups` (={groups}) must divide `in_channels` (={in_channels}) and "
                f"`out_channels` (={out_channels})",
                "use 1",
            )
        self.mode = as_mode(mode)
        learning = isinstance(self.mode, TrainingMode)
        super().__init__(
            in_channels,
            out_channels,
            replicate("kernel_size", kernel_size, rank),
            stride=self.stride,
            padding=self.padding,
            dilation=self.rhs_dilation,
            input_dilation=self.lhs_dilation,
            groups=self.groups,
            layout="channels_last",
            weight_initialiser="zeros",
            bias=b_initializer is not None,
            name=name,
            trainable=learning,
        )
        self.training = learning
        self.begin(w_initializer, b_initializer, mask)

    @staticmethod
    def own(w: Array) -> Array:
        return np.moveaxis(w, (1, 0), (-2, -1))

    @staticmethod
    def canonical(w: Array) -> Array:
        return np.moveaxis(w, (-2, -1), (1, 0))

    def without_positions(self, size: Shape) -> Shape | None:
        axes = resolved(self.spec, size, self.kernel_size)
        if min(axis.output for axis in axes) > 0 or min(axis.canvas for axis in axes) < 0:
            return None
        return tuple(max(0, axis.output) for axis in axes)


class GeneralConvTranspose(Brainpy, layers.ConvTranspose):
    """A transposed convolution with channels last, as jax.lax.conv_transpose computes it.

    The kernel (*kernel, in_channels, out_channels) is not flipped: convref's ``weight`` is ``w``
    flipped. "SAME" gives ``stride`` times the input's size, "VALID" as much again as the kernel is
    longer than the stride; an int or pairs are what the spread-out input is padded with, not what
    convref cuts off the output. ``precision`` is how much of float32 an accelerator must keep, and
    all of it is kept here. Other words and the errors are those of `GeneralConv`.
    """

    @verb
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Pads = "SAME",
        w_initializer: Values = XAVIER_TRANSPOSED,
        b_initializer: Values | None = ZERO,
        mask: ArrayLike | None = None,
        precision: Any = None,
        mode: Mode | dict[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        rank = self.rank or 1
        self.stride = replicate("stride", stride, rank)
        self.padding = as_padding(padding, rank)
        named = getattr(precision, "name", precision)  # of JAX's Precision, or a string
        if precision is not None and shown(named, str).upper() not in PRECISIONS:
            raise WordError(
                f"`precision` (={shown(precision)}) is unknown", "leave it out: everything is kept"
            )
        self.precision = precision
        self.in_channels = channel_count("in_channels", in_channels)
        self.mode = as_mode(mode)
        learning = isinstance(self.mode, TrainingMode)
        taps = replicate("kernel_size", kernel_size, rank)
        cut_off, extra = transposed_padding(self.padding, taps, self.stride)
        super().__init__(
            in_channels,
            out_channels,
            taps,
            stride=self.stride,
            padding=cut_off,
            output_padding=extra,
            layout="channels_last",
            weight_initialiser="zeros",
            bias=b_initializer is not None,
            name=name,
            trainable=learning,
        )
        self.training = learning
        self.begin(w_initializer, b_initializer, mask)

    def without_positions(self, size: Shape) -> Shape | None:
        found = transposed_size(self.spec, size, self.kernel_size)
        padded = [length + taps for length, taps in zip(found, self.kernel_size, strict=True)]
        if min(found) > 0 or min(size) == 0 or min(padded) < 1:
            return None
        return tuple(max(0, length) for length in found)

    @staticmethod
    def own(w: Array) -> Array:
        return np.moveaxis(flipped(w), (0, 1), (-2, -1))

    @staticmethod
    def canonical(w: Array) -> Array:
        return flipped(np.moveaxis(w, (-2, -1), (0, 1)))


class Conv1d(GeneralConv, layers.Conv1d):
    """`GeneralConv` with one spatial axis: [H, C] or [B, H, C].

    >>> import numpy as np
    >>> layer = Conv1d(3, 32, kernel_size=3, strides=2)
    >>> layer(np.ones((2, 5, 3))).shape, layer(np.ones((5, 3))).shape, layer.w.shape
    ((2, 3, 32), (3, 32), (3, 3, 32))
    """


class Conv2d(GeneralConv, layers.Conv2d):
    """`GeneralConv` with two spatial axes: [H, W, C] or [B, H, W, C]."""


class Conv3d(GeneralConv, layers.Conv3d):
    """`GeneralConv` with three spatial axes: [H, W, D, C] or [B, H, W, D, C]."""


class ConvTranspose1d(GeneralConvTranspose, layers.ConvTranspose1d):
    """`GeneralConvTranspose` with one spatial axis.

    >>> import numpy as np
    >>> w = np.arange(3.0).reshape(3, 1, 1)
    >>> layer = ConvTranspose1d(1, 1, 3, padding="VALID", w_initializer=w)
    >>> layer([[1.0], [0.0], [0.0]]).ravel()
    array([2., 1., 0., 0., 0.], dtype=float32)
    """


class ConvTranspose2d(GeneralConvTranspose, layers.ConvTranspose2d):
    """`GeneralConvTranspose` with two spatial axes."""


class ConvTranspose3d(GeneralConvTranspose, layers.ConvTranspose3d):
    """`GeneralConvTranspose` with three spatial axes."""


def flipped(w: Array) -> Array:
    """Weights of convref's shape, flipped along the kernel's axes."""
    return np.flip(w, tuple(range(2, w.ndim)))


def replicate(name: str, value: object, rank: int) -> Shape:
    """One integer per axis, from one for all, in a sequence or not, or one for each."""
    entries = list(value) if isinstance(value, list | tuple) else [value]
    if len(entries) not in (1, rank):
        raise CountError(
            f"`{name}` (={shown(value)}) has {len(entries)} entries, and there are {rank} spatial "
            "axes",
            f"give one integer, or {rank} of them",
        )
    found = tuple(integer(name, entry) for entry in entries)
    if min(found) < 1:
        raise CountError(f"`{name}` (={shown(value)}) must be at least 1", "use 1 or more")
    return found * (rank // len(found))


def as_padding(padding: object, rank: int) -> str | tuple[Pair, ...]:
    """A word, or a pair per axis."""
    mend = "use 'SAME', 'VALID', an int, a pair (low, high), or one pair per axis"
    if isinstance(padding, str):
        if padding not in ("SAME", "VALID"):
            raise AssertedError(f"`padding` (={shown(padding)}) is not 'SAME' or 'VALID'", mend)
        return padding
    entries: Any = padding
    if not isinstance(padding, list | tuple):
        entries = [(padding, padding)]
    elif not any(isinstance(entry, list | tuple) for entry in padding):
        entries = [padding]
    pairs = tuple(
        tuple(integer("padding", amount) for amount in entry)
        for entry in entries
        if isinstance(entry, list | tuple) and len(entry) == 2
    )
    if len(pairs) != len(entries) or len(pairs) not in (1, rank):
        raise WordError(f"`padding` (={shown(padding)}) is not one pair, or {rank} of them", mend)
    return tuple((low, high) for low, high in pairs) * (rank // len(pairs))


def transposed_padding(
    padding: str | tuple[Pair, ...], taps: Shape, strides: Shape
) -> tuple[Any, Shape]:
    """What is cut off the output in convref's words, and the output padding."""
    if padding == "SAME":
        return "same", tuple(stride - 1 for stride in strides)
    if padding == "VALID":
        return "valid", tuple(max(step - tap, 0) for tap, step in zip(taps, strides, strict=True))
    # Padding the spread-out input by all but one tap cuts nothing off.
    pairs = [
        (tap - 1 - low, tap - 1 - high)
        for tap, (low, high) in zip(taps, cast(tuple[Pair, ...], padding), strict=True)
    ]
    return pairs, (0,) * len(taps)


def as_mode(mode: object) -> Mode:
    """A mode; None is training, as brainpy documents it."""
    found = training_mode if mode is None else read(mode)
    if not isinstance(found, Mode):
        raise WordError(
            f"`mode` (={shown(mode)}) is not a mode", "use training_mode, batching_mode or another"
        )
    return found


def first_values(name: str, given: Any, shape: Shape, one_for_all: bool = False) -> Array:
    """What an initialiser, a function or an array gives for a shape."""
    if callable(given) and not isinstance(given, type):
        given = given(shape)
    elif given is None or not (hasattr(given, "__array__") or isinstance(given, Number)):
        raise WordError(
            f"`{name}` (={shown(given)}) is not an initialiser",
            "give a function of the shape, or an array",
        )
    values = as_array(name, given)
    if one_for_all and values.shape in ((), (1,)):
        return np.broadcast_to(values, shape)
    return checked(name, values, shape)


def checked(name: str, values: ArrayLike, shape: Shape) -> Array:
    """The values as an array of this shape; raise ShapeError."""
    array = as_array(name, values)
    if array.shape != shape:
        raise ShapeError(f"`{name}` has the shape {array.shape}", f"give it the shape {shape}")
    return array
