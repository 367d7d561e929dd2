"""Do the arrays fit each other and the settings? Checked before anything is allocated."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.errors import DtypeError, ShapeError, WordError, counted
from convref.geometry import Geometry
from convref.integers import divisors
from convref.memory import check_fits
from convref.spec import ConvSpec

Array = NDArray[Any]
Shape = tuple[int, ...]


def rank_of(name: str, shape: tuple[int, ...]) -> int:
    """Number of spatial axes of weights ``(K, C/groups, *kernel)``."""
    if len(shape) < 3:
        raise ShapeError(
            f"`{name}` (shape {shape}) has {len(shape)} axes",
            "weights have the shape (K, C/groups, *kernel), with at least one kernel axis",
        )
    return len(shape) - 2


def divide(name: str, shape: Shape, which: str, channels: int, spec: ConvSpec) -> None:
    """Check that the groups divide the channels of an array."""
    if channels % spec.groups or not channels:
        mend = f"use {counted(divisors(channels))}" if channels else "give it at least one channel"
        raise ShapeError(
            f"`groups` (={spec.groups}) must divide the {channels} {which} channels of `{name}` "
            f"(shape {shape})",
            mend,
        )


def check_groups(w: Shape, spec: ConvSpec, which: str = "output") -> None:
    """Check that the filters of weights of the shape ``(K, C/G, *kernel)`` split into groups.

    They are the output channels of a convolution, and the input channels of a transposed one.
    """
    divide("w", w, which, w[0], spec)
    if not w[1]:
        raise ShapeError(f"`w` (shape {w}) has no input channels", "give it at least one")


def check_channels(channels: int, x: Shape, w: Shape, spec: ConvSpec) -> None:
    """Check that the shapes of x and w and the groups agree on the channels."""
    divide("x", x, "input", channels, spec)
    check_groups(w, spec)
    if channels != w[1] * spec.groups:
        wanted = (w[0], channels // spec.groups, *w[2:])
        mend = f"use weights of shape {wanted}"
        if channels % w[1] == 0 and w[0] % (channels // w[1]) == 0:
            mend += f", or `groups`={channels // w[1]}"
        if spec.layout == "channels_first" and x[-1] == w[1] * spec.groups:
            mend += ", or layout='channels_last' if the channels are the last axis"
        raise ShapeError(
            f"`w` (shape {w}) takes {w[1] * spec.groups} input channels in "
            f"`groups` (={spec.groups}), and `x` (shape {x}) has {channels}",
            mend,
        )


def check_output(
    name: str, dy: Shape, found: tuple[int, ...], filters: int, geometry: Geometry
) -> None:
    """Check that the channels and sizes ``found`` in ``dy`` are those of the output."""
    if found != (filters, *geometry.output_size):
        raise ShapeError(
            f"`{name}` (shape {dy}) must have {filters} channels and the spatial sizes "
            f"{geometry.output_size}, which an input of {geometry.input_size} gives",
            "check the sizes, `stride`, `padding` and `dilation`",
        )


def check_bias(bias: Array | None, channels: int, total: np.dtype[Any]) -> None:
    """Check that a bias has one number per output channel, of a kind that the sums can hold."""
    if bias is None:
        return
    if bias.shape != (channels,):
        raise ShapeError(
            f"`bias` has shape {bias.shape}, and there are {channels} output channels",
            f"give it the shape ({channels},)",
        )
    if bias.dtype != total and not np.can_cast(bias.dtype, total, "same_kind"):
        raise DtypeError(
            f"`bias` ({bias.dtype}) can't be added to sums of {total}",
            "convert it to the dtype of `x`",
        )


def check_out(
    out: object, shape: tuple[int, ...], dtype: np.dtype[Any], *inputs: Array | None
) -> None:
    """Check that the user's array can take the result."""
    mend = f"pass np.empty({shape}, {dtype.name!r})"
    if not isinstance(out, np.ndarray):
        raise DtypeError(f"`out` is a {type(out).__name__}, not a NumPy array", mend)
    if out.shape != shape or out.dtype != dtype:
        raise ShapeError(
            f"`out` (shape {out.shape}, {out.dtype}) can't hold the output "
            f"(shape {shape}, {dtype})",
            mend,
        )
    if not out.flags.writeable:
        raise WordError("`out` is read-only", mend)
    if any(array is not None and overlap(out, array) for array in inputs):
        raise WordError("`out` overlaps an input, which would change while it is read", mend)


def check_transposed_channels(channels: int, x: Shape, w: Shape) -> None:
    """Check that the channels of x are the first axis of transposed weights."""
    if channels != w[0]:
        raise ShapeError(
            f"`w` (shape {w}) takes {w[0]} input channels, and `x` (shape {x}) has {channels}",
            "transposed weights have the shape (C_in, C_out/groups, *kernel)",
        )


def check_transposed_size(
    chosen: tuple[int, ...], smallest: tuple[int, ...], size: tuple[int, ...], spec: ConvSpec
) -> None:
    """Check that a transposed convolution of ``size`` can give the ``chosen`` sizes."""
    if min(size) < 1:
        raise ShapeError(f"`x` is empty along a spatial axis (sizes {size})", "give it positions")
    for axis, (length, least, stride) in enumerate(zip(chosen, smallest, spec.stride, strict=True)):
        least, most = max(1, least), least + stride - 1
        if length > most or 1 <= length < least:
            raise ShapeError(
                f"`output_size` {length} along spatial axis {axis} does not convolve back to the "
                f"{size[axis]} positions of `x`",
                f"use {least}" + (f" to {most}" if most > least else ""),
            )
        if length < 1:
            raise ShapeError(
                f"the output would be empty along spatial axis {axis} (size {length})",
                "use less padding or a larger kernel",
            )


def overlap(out: Array, array: Array) -> bool:
    """Whether two arrays share an element; taken as so where that is too hard to tell."""
    try:
        return np.shares_memory(out, array, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def check_memory(
    result: Shape, made: np.dtype[Any] | None, padded: Shape, total: np.dtype[Any]
) -> None:
    """Check that the machine can hold the result, if it is made, and the input as it is padded."""
    if made is not None:
        check_result(result, made)
    check_canvas(padded, total)


def check_result(shape: Shape, dtype: np.dtype[Any]) -> None:
    """Check that the machine can hold a result."""
    check_fits(largest(shape) * dtype.itemsize, "the output", shape)


def check_canvas(shape: Shape, total: np.dtype[Any]) -> None:
    """Check that the machine can hold the input as the back ends pad it."""
    check_fits(largest(shape) * total.itemsize, "the padded input", shape)


def largest(shape: Shape) -> int:
    """How many elements there are, or would be: an empty batch has samples of some size, too."""
    return prod(shape) or prod(size or 1 for size in shape)
