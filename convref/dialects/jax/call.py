"""A call of JAX in convref's words, and what it computes."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convref import engine
from convref.dialects.jax.words import (
    ConvDimensionNumbers,
    LaxError,
    Numbers,
    Pads,
    RankError,
    as_padding,
    check_numbers,
    check_precision,
    conv_dimension_numbers,
    dilations,
    positive,
    result_dtype,
    transposed_padding,
)
from convref.dtypes import as_array
from convref.engine import Options
from convref.errors import ShapeError, WordError, shown
from convref.geometry import resolved, spread
from convref.integers import flag, integer
from convref.spec import ConvSpec

Array = NDArray[Any]
Shape = tuple[int, ...]


class Call(NamedTuple):
    """What a user wrote, in convref's words."""

    x: Array
    """(N, C, *input), with one spatial axis where JAX has none."""
    w: Array
    """(K, C/G, *kernel)"""
    spec: ConvSpec
    shape: Shape
    """(N, K, *output), where any may be 0."""
    numbers: ConvDimensionNumbers
    batches: int
    """Groups of samples, which are groups of channels in x."""

    @property
    def sums_nothing(self) -> bool:
        """Whether there is no product to sum."""
        return not prod(self.shape) or not self.w.shape[1]


def translated(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: Pads,
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    dimension_numbers: Numbers,
    feature_group_count: int,
    batch_group_count: int,
    precision: Any,
    preferred_element_type: DTypeLike | None,
    out_sharding: None,
) -> Call:
    """The call in convref's words, checked."""
    check_precision(precision)
    if out_sharding is not None:
        raise LaxError(f"`out_sharding` (={shown(out_sharding)}) has no devices", "leave it out")
    lhs, rhs = as_array("lhs", lhs), as_array("rhs", rhs)
    numbers = conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    check_numbers(numbers, lhs.ndim, rhs.ndim)
    dtype = result_dtype(lhs, rhs, preferred_element_type)
    x, w = (
        rounded(array.transpose(axes), dtype)
        for array, axes in ((lhs, numbers.lhs_spec), (rhs, numbers.rhs_spec))
    )
    features = integer("feature_group_count", feature_group_count)
    batches = integer("batch_group_count", batch_group_count)
    check_groups(x.shape, w.shape, features, batches)
    rank = x.ndim - 2
    spreading = dilations("lhs_dilation", lhs_dilation, rank)
    if not rank:
        x, w = x[..., None], w[..., None]
    spec = ConvSpec.of(
        max(rank, 1),
        stride=positive("window_strides", window_strides, rank) or 1,
        padding=as_padding(padding, rank, spreading) or "valid",
        dilation=dilations("rhs_dilation", rhs_dilation, rank) or 1,
        input_dilation=spreading or 1,
        groups=features * batches,
    )
    output = output_size(spec, x.shape[2:], w.shape[2:])[:rank]
    shape = (len(x) // batches, len(w), *output)
    return Call(by_channels(x, batches), w, spec, shape, numbers, batches)


def as_forward(
    lhs: ArrayLike,
    rhs: ArrayLike,
    strides: Sequence[int],
    padding: Pads,
    rhs_dilation: Sequence[int] | None,
    dimension_numbers: Numbers,
    transpose_kernel: bool,
    use_consistent_padding: bool,
) -> tuple[Array, dict[str, Any]]:
    """A transposed convolution as `conv_general_dilated`: its rhs and its words."""
    lhs, rhs = as_array("lhs", lhs), as_array("rhs", rhs)
    if lhs.ndim != rhs.ndim or lhs.ndim < 2:
        raise RankError(
            f"`lhs` (shape {lhs.shape}) and `rhs` (shape {rhs.shape}) must have the same number of "
            "axes, two or more",
            "give both batch, channels and spatial axes",
        )
    rank = lhs.ndim - 2
    if dimension_numbers is None:
        if rank > 3:
            raise WordError(
                f"there are no default `dimension_numbers` for {rank} spatial axes",
                "say where each axis is",
            )
        spatial = "HWD"[:rank]
        dimension_numbers = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    numbers = conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    check_numbers(numbers, lhs.ndim, rhs.ndim)
    steps = positive("strides", strides, rank)
    apart = dilations("rhs_dilation", rhs_dilation, rank)
    consistent = flag("use_consistent_padding", use_consistent_padding)
    if consistent or (isinstance(padding, str) and padding in ("SAME", "VALID")):
        windows = map(spread, np.take(rhs.shape, numbers.rhs_spec[2:]).tolist(), apart)
        padding = transposed_padding(padding, list(windows), steps)
    if flag("transpose_kernel", transpose_kernel):
        rhs = turned(rhs, numbers)
    return rhs, {
        "window_strides": (1,) * rank,
        "padding": padding,
        "lhs_dilation": steps,
        "rhs_dilation": apart,
        "dimension_numbers": numbers,
    }


def turned(rhs: Array, numbers: ConvDimensionNumbers) -> Array:
    """The kernel flipped along its spatial axes, its input and output channels exchanged."""
    flipped = np.flip(rhs, tuple(numbers.rhs_spec[2:]))
    return flipped.swapaxes(numbers.rhs_spec[0], numbers.rhs_spec[1])


def by_channels(x: Array, batches: int) -> Array:
    """Groups of samples as groups of channels: (B*N, C, ...) to (N, B*C, ...)."""
    samples, channels, *size = x.shape
    split = x.reshape(batches, samples // batches, channels, *size).swapaxes(0, 1)
    return split.reshape(samples // batches, batches * channels, *size)


def by_samples(x: Array, batches: int) -> Array:
    """The inverse of `by_channels`."""
    samples, channels, *size = x.shape
    split = x.reshape(samples, batches, channels // batches, *size).swapaxes(0, 1)
    return split.reshape(batches * samples, channels // batches, *size)


def arranged(array: Array, axes: Sequence[int]) -> Array:
    """An array (N, C, ...) with its axes where the numbers say."""
    return np.ascontiguousarray(array.transpose(np.argsort(axes)))


def rounded(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array in another dtype, in which large numbers may be infinite."""
    with np.errstate(over="ignore"):
        return array.astype(dtype, copy=False)


def output_size(spec: ConvSpec, size: Shape, kernel: Shape) -> Shape:
    """The spatial sizes of the output, of which any may be 0."""
    for number, axis in enumerate(axes := resolved(spec, size, kernel)):
        if axis.kernel < 1:
            raise LaxError(f"`rhs` has no taps along spatial axis {number}", "give it one or more")
        if axis.canvas < 0:
            raise ShapeError(
                f"`padding` ({axis.lo}, {axis.hi}) crops more than the {axis.spread} cells along "
                f"spatial axis {number}",
                "crop less",
            )
    return tuple(max(0, axis.output) for axis in axes)


def check_groups(x: Shape, w: Shape, features: int, batches: int) -> None:
    """Check the groups against (B*N, G*C, ...) and (K, C, ...)."""
    if features < 1 or batches < 1 or min(features, batches) > 1:
        raise WordError(
            f"`feature_group_count` (={features}) and `batch_group_count` (={batches}) must be "
            "positive, and one of them 1",
            "use 1 for both",
        )
    for name, count, size, what in (
        ("batch_group_count", batches, x[0], "samples of `lhs`"),
        ("batch_group_count", batches, w[0], "output channels of `rhs`"),
        ("feature_group_count", features, w[0], "output channels of `rhs`"),
    ):
        if size % count:
            raise ShapeError(f"`{name}` (={count}) must divide the {size} {what}", "use 1")
    if x[1] != w[1] * features:
        raise ShapeError(
            f"`rhs` takes {w[1]} input channels in each group of `feature_group_count` "
            f"(={features}), and `lhs` has {x[1]} channels in all",
            "check their axes against `dimension_numbers`",
        )


def forward(call: Call) -> Array:
    """The output, its axes where the numbers say."""
    if call.sums_nothing:
        return arranged(np.zeros(call.shape, call.x.dtype), call.numbers.out_spec)
    y = engine.forward(call.x, call.w, None, call.spec, Options())
    return arranged(y.reshape(call.shape), call.numbers.out_spec)


def backward(call: Call, dy: Array) -> tuple[Array, Array]:
    """The gradients of lhs and rhs, with the axes (N, C, ...) and (K, C, ...)."""
    shape = tuple(np.take(call.shape, np.argsort(call.numbers.out_spec)).tolist())
    if dy.shape != shape or dy.dtype != call.x.dtype:
        raise LaxError(
            f"`dy` (shape {dy.shape}, {dy.dtype}) must be like the output (shape {shape}, "
            f"{call.x.dtype})",
            "pass the gradient of the loss with respect to that output",
        )
    if call.sums_nothing:
        return by_samples(np.zeros_like(call.x), call.batches), np.zeros_like(call.w)
    x, w, spec = call.x, call.w, call.spec
    dy = dy.transpose(call.numbers.out_spec)
    dy = dy if dy.ndim > 2 else dy[..., None]
    dw = engine.weight_grad(x, dy, w.shape[2:], spec, Options())
    dx = engine.input_grad(dy, w, None, x.shape[2:], spec, Options())
    return by_samples(dx, call.batches), dw
