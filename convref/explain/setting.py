"""A setting: the geometry of one convolution and its channels, all that an explanation is of."""

from dataclasses import dataclass
from math import prod
from operator import sub
from typing import Any, Unpack

from convref.errors import ShapeError, WordError, shown, verb
from convref.functional import grown_size
from convref.geometry import Geometry, bind, transposed_size
from convref.integers import integer, is_sequence, members, per_axis
from convref.spec import Axes, ConvSpec, Words

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Setting:
    """A convolution, or a transposed one, without its numbers; `setting` makes and checks it.

    Of a transposed convolution the geometry is that of the convolution it transposes: what goes in
    has the geometry's output size, what comes out its input size.
    """

    geometry: Geometry
    transposed: bool = False
    in_channels: int = 1
    out_channels: int = 1
    word: str = ""
    """The padding, where it was asked for by a word; otherwise it is the geometry's pairs."""

    @property
    def input_size(self) -> Sizes:
        """Spatial sizes of what goes in."""
        return self.geometry.output_size if self.transposed else self.geometry.input_size

    @property
    def output_size(self) -> Sizes:
        """Spatial sizes of what comes out."""
        return self.geometry.input_size if self.transposed else self.geometry.output_size

    @property
    def spec(self) -> ConvSpec:
        """The words, free of sizes."""
        axes = self.geometry.axes
        return ConvSpec.of(
            len(axes),
            stride=tuple(axis.stride for axis in axes),
            padding=self.word or self.geometry.padding,
            dilation=tuple(axis.dilation for axis in axes),
            input_dilation=tuple(axis.input_dilation for axis in axes),
            groups=self.geometry.groups,
            padding_mode=self.geometry.padding_mode,
        )

    @property
    def output_padding(self) -> Sizes:
        """How far a transposed convolution's output exceeds the smallest that the words give."""
        if not self.transposed:
            return (0,) * len(self.geometry.axes)
        least = transposed_size(self.spec, self.input_size, self.geometry.kernel_size)
        return tuple(map(sub, self.output_size, least))

    @property
    def weight_shape(self) -> Sizes:
        """The shape of the weights that `conv` or `conv_transpose` takes."""
        first, last = self.out_channels, self.in_channels
        if self.transposed:
            first, last = last, first
        return first, last // self.geometry.groups, *self.geometry.kernel_size

    @property
    def parameters(self) -> int:
        """Numbers to learn: the weights and one bias for each output channel."""
        return prod(self.weight_shape) + self.out_channels

    @property
    def macs(self) -> int:
        """Multiply-adds for one batch item, those with padding zeros among them."""
        return prod(self.weight_shape[:2]) * self.geometry.macs


@verb
def setting(
    input_size: Axes,
    kernel_size: Axes,
    *,
    transposed: bool = False,
    output_padding: Axes = 0,
    in_channels: int = 1,
    out_channels: int = 1,
    **words: Unpack[Words],
) -> Setting:
    """The setting of `conv` with these words, or of `conv_transpose`, for these spatial sizes.

    An int stands for every axis of the other size. Raises WordError for a setting out of range,
    ShapeError for sizes or channels that do not fit.

    >>> made = setting((5, 5), (3, 3), stride=2, padding="same")
    >>> made.output_size, made.geometry.padding
    ((3, 3), ((1, 1), (1, 1)))
    >>> setting(3, 3, stride=2, padding=1, transposed=True, output_padding=1).output_size
    (6,)
    """
    size, kernel = sizes_of(input_size, kernel_size)
    rank = len(size)
    spec = ConvSpec.of(rank, **words)
    _check_channels("in_channels", in_channels, spec.groups)
    _check_channels("out_channels", out_channels, spec.groups)
    if transposed:
        _check_transposed(spec)
        size = grown_size(size, kernel, output_padding, None, spec, words.get("stride", 1))
    elif any(per_axis("output_padding", output_padding, rank, minimum=0)):
        raise WordError(
            f"`output_padding` (={shown(output_padding)}) is of transposed convolutions",
            "use transposed=True, or leave it out",
        )
    word = spec.padding if isinstance(spec.padding, str) else ""
    return Setting(bind(spec, size, kernel), transposed, in_channels, out_channels, word)


def sizes_of(input_size: Axes, kernel_size: Axes) -> tuple[Sizes, Sizes]:
    """Both with one size per axis, as many as the longer of them has; raise WordError."""
    given = {"input_size": input_size, "kernel_size": kernel_size}
    listed: dict[str, Any] = {  # once, for an iterator could not be listed again
        name: members(name, size) if is_sequence(size) else size for name, size in given.items()
    }
    rank = max(len(size) if isinstance(size, tuple) else 1 for size in listed.values())
    size = per_axis("input_size", listed["input_size"], rank, minimum=0)
    return size, per_axis("kernel_size", listed["kernel_size"], rank, minimum=1)


def _check_channels(name: str, channels: int, groups: int) -> None:
    if integer(name, channels) < 1:
        raise WordError(f"`{name}` (={channels}) must be at least 1", "use 1 or more")
    if channels % groups:
        raise ShapeError(
            f"`groups` (={groups}) must divide `{name}` (={channels})",
            f"use a multiple of {groups} channels",
        )


def _check_transposed(spec: ConvSpec) -> None:
    """Check that there are no words that transposed convolutions have not."""
    for name, value, plain in (
        ("input_dilation", spec.input_dilation, (1,) * spec.rank),
        ("padding_mode", spec.padding_mode, "zeros"),
    ):
        if value != plain:
            raise WordError(
                f"a transposed convolution has no `{name}` (={shown(value)})", "leave it out"
            )
