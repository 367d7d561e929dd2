"""Arguments as PyTorch takes them, checked as PyTorch checks them."""

from collections.abc import Sequence
from typing import Any, TypedDict

from numpy.typing import NDArray

from convref.dialects.torch.refusals import (
    ArgumentError,
    ArrayError,
    MissingDtypeError,
    RuntimeWordError,
    at_run_time,
)
from convref.dtypes import as_array
from convref.errors import DtypeError, ShapeError, WordError, shown
from convref.geometry import bind
from convref.integers import integer, is_sequence, members, per_axis
from convref.spec import Axes, ConvSpec
from convref.summary import Shape

Array = NDArray[Any]

MODES = ("zeros", "reflect", "replicate", "circular")
FLOATS = ("float16", "bfloat16", "float32", "float64")
INEXACT = (*FLOATS, "complex64", "complex128")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
FURTHEST = {"reflect": -1, "circular": 0}
"""How much further than the input is long padding reaches in a mode."""


class Geometry(TypedDict):
    """The words of a convolution; in this form they mean the same to PyTorch and convref."""

    stride: Shape
    padding: str | Shape
    dilation: Shape
    groups: int
    padding_mode: str


class Transposed(TypedDict):
    """The words of a transposed convolution, as PyTorch means them."""

    stride: Shape
    padding: Shape
    output_padding: Shape
    groups: int
    dilation: Shape


def read(name: str, value: object) -> Array:
    """An array; PyTorch takes tensors, and no lists of numbers."""
    if not hasattr(value, "__array__") and not hasattr(value, "__dlpack__"):
        raise ArrayError(f"`{name}` (a {type(value).__name__}) is not an array", "use np.array")
    try:
        return as_array(name, value)
    except DtypeError as error:
        raise ArrayError(error.rule, error.mend) from None


def optional(name: str, value: object) -> Array | None:
    """An array, unless it is None."""
    return None if value is None else read(name, value)


def whole(name: str, value: object) -> int:
    """An integer; what is none is refused with a TypeError."""
    try:
        return integer(name, value)
    except WordError as error:
        raise ArgumentError(error.rule, error.mend) from None


def count(name: str, value: object, least: int = 1) -> int:
    """A number of channels."""
    if whole(name, value) < least:
        raise RuntimeWordError(f"`{name}` (={value}) must be at least {least}", "use more")
    return whole(name, value)


def entries(name: str, value: object, rank: int, least: int | None = 0) -> Shape:
    """One integer per axis, from one for all of them or a sequence of one or of ``rank``."""
    if type(value) is int and (least is None or value >= least):  # as most are, and so at once
        return (value,) * rank
    numbers = sizes(name, value)
    return exactly(name, numbers * rank if len(numbers) == 1 else numbers, rank, least)


def exactly(name: str, value: object, rank: int, least: int | None = 1) -> Shape:
    """One integer per axis, from one for all of them or a sequence of ``rank``."""
    numbers = sizes(name, value) if is_sequence(value) else whole(name, value)
    with at_run_time():
        return per_axis(name, numbers, rank, -(2**62) if least is None else least)


def sizes(name: str, value: object) -> Shape:
    """Integers, of a sequence or one alone."""
    given = members(name, value) if is_sequence(value) else (value,)
    return tuple(whole(name, entry) for entry in given)


def geometry(
    rank: int,
    stride: Axes,
    padding: str | Axes,
    dilation: Axes,
    groups: int,
    padding_mode: str = "zeros",
) -> Geometry:
    """The words of a convolution."""
    if not isinstance(padding_mode, str) or padding_mode not in MODES:
        raise WordError(
            f"`padding_mode` (={shown(padding_mode)}) is unknown",
            f"use one of {', '.join(map(repr, MODES))}",
        )
    strides = entries("stride", stride, rank, 1)
    if not isinstance(padding, str):
        # Padding with other things than zeros may be negative, and crops.
        padding = entries("padding", padding, rank, 0 if padding_mode == "zeros" else None)
    elif padding not in ("same", "valid"):
        raise WordError(
            f"`padding` (={shown(padding)}) is unknown", "use 'same', 'valid' or integers"
        )
    elif padding == "same" and max(strides) > 1:
        raise WordError(
            f"`padding` (='same') takes a `stride` of 1, not {stride!r}",
            "give the padding as integers",
        )
    return {
        "stride": strides,
        "padding": padding,
        "dilation": entries("dilation", dilation, rank, 1),
        "groups": whole("groups", groups),
        "padding_mode": padding_mode,
    }


def transposed_geometry(
    rank: int, stride: Axes, padding: Axes, output_padding: Axes, groups: int, dilation: Axes
) -> Transposed:
    """The words of a transposed convolution."""
    strides, dilations = entries("stride", stride, rank, 1), entries("dilation", dilation, rank, 1)
    extra = entries("output_padding", output_padding, rank)
    if any(more >= max(steps) for more, *steps in zip(extra, strides, dilations, strict=True)):
        raise RuntimeWordError(
            f"`output_padding` (={shown(output_padding)}) must be smaller than `stride` "
            f"(={shown(stride)}) "
            f"or `dilation` (={shown(dilation)})",
            "use less",
        )
    return {
        "stride": strides,
        "padding": entries("padding", padding, rank),
        "output_padding": extra,
        "groups": whole("groups", groups),
        "dilation": dilations,
    }


def in_own_words(words: Transposed) -> dict[str, Any]:
    """The same in convref's words: output padding from a stride on is less padding after."""
    extra, strides = words["output_padding"], words["stride"]
    if all(more < step for more, step in zip(extra, strides, strict=True)):
        return {**words}
    both = zip(words["padding"], extra, strict=True)
    return {**words, "padding": tuple((pad, pad - more) for pad, more in both), "output_padding": 0}


def check_axes(shape: Shape, rank: int) -> None:
    """Check that an input has one batch axis or none, and positions."""
    if len(shape) not in (rank + 1, rank + 2):
        raise ShapeError(
            f"`input` (shape {shape}) has {len(shape)} axes, not {rank + 1} or, in a batch, "
            f"{rank + 2}",
            "reshape it to (N, C, *spatial)",
        )
    if 0 in shape[-rank:] and (len(shape) == rank + 1 or shape[0]):
        raise ShapeError(
            f"`input` (shape {shape}) has no positions", "give each spatial axis one or more"
        )


def check_batched(rank: int, **shapes: Shape) -> None:
    """Check that all have a batch axis, and the same batch size."""
    for name, shape in shapes.items():
        if len(shape) != rank + 2:
            raise ShapeError(
                f"`{name}` {shape} has {len(shape)} axes, not {rank + 2}",
                "give it the shape (N, C, *spatial)",
            )
    if len({shape[0] for shape in shapes.values()}) > 1:
        found = " and ".join(f"`{name}` {shape}" for name, shape in shapes.items())
        raise ShapeError(f"{found} differ in the size of the batch", "make them agree")


def check_weight(shape: Shape, rank: int) -> None:
    """Check the number of axes of weights."""
    if len(shape) != rank + 2:
        raise ShapeError(
            f"`weight` (shape {shape}) has {len(shape)} axes, not {rank + 2}",
            "give it the shape (K, C/groups, *kernel), or (C, K/groups, *kernel) if transposed",
        )


def check_channels(x: Shape, w: Shape, groups: int) -> None:
    """Check that an input has the channels that weights (K, C/groups, *kernel) take."""
    channels = x[1 - len(w)]
    if groups > 0 and channels != w[1] * groups:
        raise ShapeError(
            f"`weight` (shape {w}) takes {w[1] * groups} channels in `groups` (={groups}), and "
            f"`input` (shape {x}) has {channels}",
            "make them agree",
        )


def check_dtypes(known: Sequence[str], **arrays: Array | None) -> None:
    """Check that all have one dtype, of those that PyTorch computes in."""
    given = {name: array.dtype for name, array in arrays.items() if array is not None}
    first, dtype = next(iter(given.items()))
    for name, other in given.items():
        if other.newbyteorder("=") != dtype.newbyteorder("="):
            raise DtypeError(
                f"`{first}` ({dtype}) and `{name}` ({other}) differ in dtype", "convert one of them"
            )
    if dtype.name not in known:
        raise MissingDtypeError(
            f"`{first}` ({dtype}) is of a dtype that PyTorch does not compute this in",
            f"use one of {', '.join(known)}",
        )


def check_reach(spec: ConvSpec, size: Shape, kernel_size: Shape) -> None:
    """Check that padding goes around the input no more than PyTorch's does."""
    if spec.padding_mode not in FURTHEST:
        return
    more = FURTHEST[spec.padding_mode]
    for length, amounts in zip(size, bind(spec, size, kernel_size).padding, strict=True):
        if max(amounts) > length + more:
            raise ShapeError(
                f"`padding` {amounts} in `padding_mode` {spec.padding_mode!r} is too much for the "
                f"{length} positions of `input`",
                f"use {length + more} or less",
            )
