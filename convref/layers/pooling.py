"""Pooling: what each channel shows in a window, as its maximum or its average.

The windows are those of a convolution: tap t of output position p reads

    canvas[tap[t] + origin[p]]

A maximum over taps takes the place of the sum; an average is a depthwise convolution with ones.
"""

from dataclasses import replace
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from convref import engine, shapes
from convref.checks import check_canvas
from convref.dtypes import accumulator, divisible
from convref.errors import DtypeError, ShapeError, verb
from convref.geometry import Geometry, bind
from convref.integers import flag
from convref.layer import Layer
from convref.memory import check_fits
from convref.padding import Padding
from convref.spec import Axes, ConvSpec
from convref.summary import Field, Shape
from convref.weighted import AS_SET, kernel_of

Array = NDArray[Any]


class Pool(Layer):
    """What pooling layers share: windows that slide as those of a convolution do."""

    rank: ClassVar[int | None] = None
    """Spatial axes; None: as many as kernel_size has entries."""

    @verb
    def __init__(
        self,
        kernel_size: Axes,
        *,
        stride: Axes | None = None,
        padding: Padding = "valid",
        dilation: Axes = 1,
        layout: str = "channels_first",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.kernel_size = kernel_of(kernel_size, self.rank)
        self.spec = ConvSpec.of(
            len(self.kernel_size),
            stride=self.kernel_size if stride is None else stride,
            padding=padding,
            dilation=dilation,
            layout=layout,
        )

    def sizes(self, shape: Shape) -> tuple[Shape, int, Shape]:
        """Batch sizes, channels and spatial sizes of an input; raise ShapeError."""
        lead, channels, size = shapes.sizes("x", shape, self.spec)
        if not channels:
            raise ShapeError(f"`x` (shape {shape}) has no channels", "give it one or more")
        return lead, channels, size

    def output_shape(self, shape: Shape) -> Shape:
        lead, channels, size = self.sizes(shape)
        geometry = bind(self.spec, size, self.kernel_size)
        return shapes.shape_of(lead, channels, geometry.output_size, self.spec)

    def field(self, field: Field) -> Field:
        return field.convolved(self.kernel_size, self.spec)


class MaxPool(Pool):
    """``y[n, c, o] = max over t of x[n, c, o*s + t*d - lo]``, channel by channel.

    ``x (..., C, *input)`` gives ``y (..., C, *output)``, or both with channels last, in the dtype
    of x. The stride is the kernel size, unless given; `padding`, `dilation` and `layout` are words
    of `convref.conv`. Padding is -infinity, or the smallest integer, so a window in which there is
    nothing else gives that. Of equal maxima the first, in the order of the taps, gets the gradient;
    NaN counts as larger than all numbers.

    Raises WordError for a word out of range, ShapeError for an input that does not fit, DtypeError
    for complex numbers, which have no order.

    >>> layer = MaxPool2d(2)
    >>> layer([[[1, 2, 3, 4], [8, 7, 6, 5]]])
    array([[[8, 6]]])
    >>> layer.backward([[[1, 1]]])
    array([[[0, 0, 0, 0],
            [1, 0, 1, 0]]])
    """

    def forward(self, x: Array) -> Array:
        if x.dtype.kind == "c":
            raise DtypeError(
                f"`x` ({x.dtype}) has no maximum, for complex numbers have no order",
                "pass real numbers, such as abs(x)",
            )
        lead, channels, size = self.sizes(x.shape)
        self.lead, self.geometry = lead, bind(self.spec, size, self.kernel_size)
        dtype = x.dtype.newbyteorder("=")
        check_canvas(shapes.canvases(lead, channels, self.geometry), dtype)
        x = engine.fold(engine.contiguous(x, dtype), self.spec)
        # (N, 1, C, S) -> (N, 1, C, P)
        self.canvas = canvas_for_maxima(x, self.geometry)
        self.highest = maxima(self.canvas, self.geometry)
        return self.unfolded(self.highest, self.geometry.output_size)

    def gradient(self, dy: Array) -> Array:
        dtype = dy.dtype
        total = accumulator(dtype, None)
        dy = engine.fold(engine.contiguous(dy, total), self.spec)
        winners = first_maxima(self.canvas, self.highest, self.geometry)
        sums = np.zeros(self.canvas.shape, total)
        add_at_winners(sums, winners, dy, self.geometry)
        dx = np.empty((*sums.shape[:-1], prod(self.geometry.input_size)), total)
        self.geometry.take_back(sums, dx)  # (N, 1, C, S) -> (N, 1, C, I)
        return self.unfolded(dx, self.geometry.input_size).astype(dtype, copy=False)

    def unfolded(self, rows: Array, size: Shape) -> Array:
        """``(N, 1, C, positions)`` in the layout of the spec."""
        channels = rows.shape[2]
        if self.spec.layout == "channels_last":
            rows = rows.swapaxes(2, 3)
        shape = shapes.shape_of(self.lead, channels, size, self.spec)
        return np.ascontiguousarray(rows).reshape(shape)


def canvas_for_maxima(x: Array, geometry: Geometry) -> Array:
    """The canvas of an input ``(..., I)``, with padding that is never larger than a number."""
    canvas = np.ascontiguousarray(geometry.canvas(x))
    if not geometry.canvas_is_input:
        canvas[..., geometry.sources < 0] = lowest(x.dtype)
    return canvas


def lowest(dtype: np.dtype[Any]) -> Any:
    """The value that no other is below."""
    if dtype.kind == "b":
        return False
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def maxima(canvas: Array, geometry: Geometry) -> Array:
    """The maximum ``(..., P)`` of each window on a canvas ``(..., S)``; NaN, if it has any."""
    first, *others = geometry.taps
    highest: Array = np.take(canvas, first + geometry.origins, axis=-1)
    seen = np.empty_like(highest)
    for tap in others:
        np.take(canvas, tap + geometry.origins, axis=-1, out=seen, mode="clip")
        np.maximum(highest, seen, out=highest)
    return highest


def first_maxima(canvas: Array, highest: Array, geometry: Geometry) -> Array:
    """Which tap ``(..., P)`` sees the maximum of its window first, padding left aside."""
    shown = None if geometry.canvas_is_input else geometry.sources >= 0
    with_nan = bool((highest != highest).any())
    winners = np.zeros(highest.shape, np.min_scalar_type(len(geometry.taps)))
    seen, won = np.empty_like(highest), np.empty(highest.shape, bool)
    for number in reversed(range(len(geometry.taps))):
        cells = geometry.taps[number] + geometry.origins
        np.take(canvas, cells, axis=-1, out=seen, mode="clip")
        np.equal(seen, highest, out=won)
        if with_nan:
            won |= seen != seen
        if shown is not None:
            won &= shown[cells]
        np.putmask(winners, won, number)
    return winners


def add_at_winners(canvas: Array, winners: Array, dy: Array, geometry: Geometry) -> None:
    """Add each number of ``dy (..., P)`` to the cell of the canvas ``(..., S)`` that won."""
    rows, size = prod(canvas.shape[:-1]), canvas.shape[-1]
    cells = geometry.taps[winners]
    cells += geometry.origins
    cells += (np.arange(rows) * size).reshape(*canvas.shape[:-1], 1)
    with np.errstate(all="ignore"):
        np.add.at(canvas.reshape(-1), cells.reshape(-1), dy.reshape(-1))


class MaxPool1d(MaxPool):
    """`MaxPool` with one spatial axis."""

    rank = 1


class MaxPool2d(MaxPool):
    """`MaxPool` with two spatial axes."""

    rank = 2


class MaxPool3d(MaxPool):
    """`MaxPool` with three spatial axes."""

    rank = 3


class AvgPool(Pool):
    """``y[n, c, o] = sum over t of x[n, c, o*s + t*d - lo] / count[o]``, channel by channel.

    ``x (..., C, *input)`` gives ``y (..., C, *output)``, or both with channels last. The count is
    that of the input's positions in the window, as in TensorFlow and Keras, and an average of none
    is 0; with ``count_padding`` it is that of all taps, as PyTorch has it unless told otherwise.
    The stride is the kernel size, unless given; `padding`, `dilation` and `layout` are words of
    `convref.conv`. Integers are averaged in float64.

    Raises WordError for a word out of range, ShapeError for an input that does not fit.

    >>> AvgPool1d(2, padding=1)([[2.0, 4.0, 6.0, 8.0]])
    array([[2., 5., 8.]])
    >>> AvgPool1d(2, padding=1, count_padding=True)([[2.0, 4.0, 6.0, 8.0]])
    array([[1., 5., 4.]])
    """

    @verb
    def __init__(
        self,
        kernel_size: Axes,
        *,
        stride: Axes | None = None,
        padding: Padding = "valid",
        dilation: Axes = 1,
        count_padding: bool = False,
        layout: str = "channels_first",
        name: str | None = None,
    ) -> None:
        super().__init__(
            kernel_size, stride=stride, padding=padding, dilation=dilation, layout=layout, name=name
        )
        self.count_padding = flag("count_padding", count_padding)

    def forward(self, x: Array) -> Array:
        x = divisible(x)
        dtype, total = x.dtype.newbyteorder("="), accumulator(x.dtype, None)
        _, channels, self.size = self.sizes(x.shape)
        ones, depthwise = self.depthwise(channels, total)
        y = engine.forward(x.astype(total, copy=False), ones, None, depthwise, AS_SET)
        with np.errstate(all="ignore"):
            y /= self.counts(total)
            return y.astype(dtype, copy=False)

    def gradient(self, dy: Array) -> Array:
        total = accumulator(dy.dtype, None)
        _, channels, _ = shapes.sizes("dy", dy.shape, self.spec)
        ones, depthwise = self.depthwise(channels, total)
        with np.errstate(all="ignore"):
            shares = dy.astype(total, copy=False) / self.counts(total)
            dx = engine.input_grad(shares, ones, None, self.size, depthwise, AS_SET)
            return dx.astype(dy.dtype, copy=False)

    def depthwise(self, channels: int, total: np.dtype[Any]) -> tuple[Array, ConvSpec]:
        """Weights (C, 1, *kernel) of 1, and the spec in which each channel meets its own."""
        shape = (channels, 1, *self.kernel_size)
        check_fits(prod(shape) * total.itemsize, f"weights of shape {shape}")
        ones = np.ones(shape, total)
        return ones, replace(self.spec, groups=channels)

    def counts(self, total: np.dtype[Any]) -> Array:
        """What each sum is divided by: the taps, or those that see the input, (1, *output)."""
        geometry = bind(self.spec, self.size, self.kernel_size)
        if self.count_padding or geometry.canvas_is_input:
            return np.array(prod(self.kernel_size), total)
        positions = np.ones(shapes.shape_of((), 1, self.size, self.spec), total)
        kernel = np.ones((1, 1, *self.kernel_size), total)
        counts = engine.forward(positions, kernel, None, self.spec, AS_SET)
        return np.maximum(counts, 1, out=counts)


class AvgPool1d(AvgPool):
    """`AvgPool` with one spatial axis."""

    rank = 1


class AvgPool2d(AvgPool):
    """`AvgPool` with two spatial axes."""

    rank = 2


class AvgPool3d(AvgPool):
    """`AvgPool` with three spatial axes."""

    rank = 3


class GlobalAvgPool(Layer):
    """The average of each channel over all spatial axes, of which there may be any number.

    ``x (N, C, *spatial)`` gives ``y (N, C)``, and so does ``(N, *spatial, C)`` with channels last;
    with ``keep_axes`` the spatial axes stay, with one position each. Integers are averaged in
    float64.

    Raises WordError for an unknown layout, ShapeError for an input without spatial axes or without
    positions.

    >>> GlobalAvgPool()([[[[1.0, 2.0], [3.0, 6.0]], [[5.0, 5.0], [5.0, 5.0]]]])
    array([[3., 5.]])
    """

    @verb
    def __init__(
        self,
        *,
        keep_axes: bool = False,
        layout: str = "channels_first",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.keep_axes = flag("keep_axes", keep_axes)
        self.layout = ConvSpec.of(1, layout=layout).layout

    def forward(self, x: Array) -> Array:
        x = divisible(x)
        self.shape = x.shape
        dtype, total = x.dtype.newbyteorder("="), accumulator(x.dtype, None)
        folded = engine.contiguous(x, total).reshape(self.folded(x.shape))
        with np.errstate(all="ignore"):
            y: Array = folded.sum(axis=self.axis) / np.array(folded.shape[self.axis], total)
            return y.astype(dtype, copy=False).reshape(self.output_shape(x.shape))

    def gradient(self, dy: Array) -> Array:
        total = accumulator(dy.dtype, None)
        folded = self.folded(self.shape)
        with np.errstate(all="ignore"):
            share = dy.astype(total, copy=False) / np.array(folded[self.axis], total)
            dx = np.empty(folded, dy.dtype)
            dx[...] = np.expand_dims(share.reshape(folded[0], -1), self.axis)
        return dx.reshape(self.shape)

    @property
    def axis(self) -> int:
        """Of the positions, in the shape that `folded` gives."""
        return 1 if self.layout == "channels_last" else 2

    def folded(self, shape: Shape) -> Shape:
        """``(N, C, P)`` or ``(N, P, C)``: all spatial axes as one; raise ShapeError."""
        samples, channels, size = self.sizes(shape)
        if self.layout == "channels_last":
            return samples, prod(size), channels
        return samples, channels, prod(size)

    def sizes(self, shape: Shape) -> tuple[int, int, Shape]:
        """Samples, channels and spatial sizes; raise ShapeError."""
        last = self.layout == "channels_last"
        if len(shape) < 3:
            axes = "(N, *spatial, C)" if last else "(N, C, *spatial)"
            raise ShapeError(
                f"`x` (shape {shape}) has no spatial axes", f"give it the shape {axes}"
            )
        channels, size = (shape[-1], shape[1:-1]) if last else (shape[1], shape[2:])
        if not prod(size):
            raise ShapeError(
                f"`x` (shape {shape}) has no positions to average", "give each axis one or more"
            )
        return shape[0], channels, size

    def output_shape(self, shape: Shape) -> Shape:
        samples, channels, size = self.sizes(shape)
        ones = (1,) * len(size) if self.keep_axes else ()
        if self.layout == "channels_last":
            return samples, *ones, channels
        return samples, channels, *ones

    def field(self, field: Field) -> Field:
        return field.everything()
