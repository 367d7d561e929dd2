"""Batch normalisation."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from convref.dtypes import accumulator, wide
from convref.errors import DtypeError, ShapeError, shown, verb
from convref.integers import flag, real
from convref.layer import Layer, Parameter
from convref.memory import check_fits
from convref.spec import ConvSpec
from convref.summary import Shape
from convref.weighted import channel_count, check_takes, inexact

Array = NDArray[Any]


class BatchNorm(Layer):
    """``y = (x - mean) / sqrt(variance + epsilon) * weight + bias``, channel by channel.

    ``x (N, C, *spatial)``, or ``(N, *spatial, C)`` with channels last, gives y of the same shape.
    While training, mean and variance are those of the batch over all axes but that of the channels,
    and ``running_mean`` and ``running_variance`` follow them,

        running = (1 - momentum) * running + momentum * that of the batch

    with the variance divided by one less than the number of values. Otherwise mean and variance are
    the running ones. ``weight``, 1 at first, ``bias``, 0 at first, and these two are ``(C,)``;
    without ``affine`` there are no weight and no bias. With ``channels=None``, C is that of the
    first input. Statistics of float16 and bfloat16 are taken in float32. ``trainable`` concerns
    weight and bias: to keep the statistics as they are, set ``training`` to False.

    Raises WordError for a word out of range, ShapeError for an input that does not fit, or with
    less than two values a channel while training, DtypeError for complex numbers.

    >>> layer = BatchNorm(1, epsilon=1e-12)
    >>> layer([[1.0], [3.0]])
    array([[-1.],
           [ 1.]], dtype=float32)
    >>> layer.running_mean.value, layer.running_variance.value
    (array([0.2], dtype=float32), array([1.1], dtype=float32))

    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal
    covariate shift", ICML 2015, https://arxiv.org/abs/1502.03167.
    """

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Parameter
    running_variance: Parameter

    @verb
    def __init__(
        self,
        channels: int | None = None,
        *,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        affine: bool = True,
        layout: str = "channels_first",
        dtype: DTypeLike = "float32",
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, trainable)
        self.built = False
        self.momentum = real("momentum", momentum, "from 0 to 1")
        self.epsilon = real("epsilon", epsilon, "above 0")
        self.affine = flag("affine", affine)
        self.layout = ConvSpec.of(1, layout=layout).layout
        self.dtype = inexact(dtype)
        if self.dtype.kind == "c":
            raise DtypeError(
                f"`dtype` (={shown(dtype)}) is complex, and the variance is one of real numbers",
                "use float16, bfloat16, float32 or float64",
            )
        if channels is not None:
            self.make_parameters(channel_count("channels", channels))

    def build(self, shape: Shape) -> None:
        self.make_parameters(self.channels_of(shape))

    def make_parameters(self, channels: int) -> None:
        total = accumulator(self.dtype, None)
        check_fits(channels * total.itemsize, f"statistics of {channels} channels")
        self.weight = Parameter(np.ones(channels, self.dtype)) if self.affine else None
        self.bias = Parameter(np.zeros(channels, self.dtype)) if self.affine else None
        self.running_mean = Parameter(np.zeros(channels, total), trainable=False)
        self.running_variance = Parameter(np.ones(channels, total), trainable=False)
        self.built = True

    # Below, arrays are seen as (N, C, P), and what there is one of per channel as (C, 1); einsum
    # adds up the positions of a sample, and then the samples are added. m = N*P values a channel.

    def forward(self, x: Array) -> Array:
        if x.dtype.kind == "c":
            raise DtypeError(
                f"`x` ({x.dtype}) is complex, and the variance is one of real numbers",
                "pass the real and the imaginary part as channels",
            )
        self.output_shape(x.shape)
        self.by_batch = self.training
        with np.errstate(all="ignore"):
            rows = self.rows_of(x.astype(self.dtype, copy=False))
            if self.by_batch:
                check_enough(self.count(rows), x.shape)
                mean = total_of("ncp->nc", rows) / self.count(rows)
                self.centred = rows - mean
                variance = total_of("ncp,ncp->nc", self.centred, self.centred) / self.count(rows)
                self.follow(mean, variance, rows)
            else:
                mean, variance = per_channel(self.running_mean), per_channel(self.running_variance)
                self.centred = rows - mean
            self.slope = 1 / np.sqrt(variance + rows.dtype.type(self.epsilon))
            y = self.centred * self.gain()
            if self.bias is not None:
                y += per_channel(self.bias)
        return self.restored(y, x.shape)

    def gradient(self, dy: Array) -> Array:
        # With c = x - mean, slope = 1 / sqrt(variance + epsilon) and y = c * slope * w + b,
        #
        #     db = sum(dy),    dw = sum(dy * c) * slope
        #
        # and, where mean and variance do not depend on x, dx = dy * slope * w. Where they do,
        # d(mean) = sum(dx) / m, d(variance) = 2 * sum(c * dx) / m, for c sums to 0, and so
        # d(slope) = -slope**3 * sum(c * dx) / m. What x changes through each of them, collected:
        #
        #     dx = (dy - sum(dy) / m - c * slope**2 * sum(dy * c) / m) * slope * w
        rows, m = self.rows_of(dy), self.count(self.centred)
        with np.errstate(all="ignore"):
            along = total_of("ncp,ncp->nc", rows, self.centred)
            total = total_of("ncp->nc", rows)
            if self.trainable and self.weight is not None and self.bias is not None:
                self.weight.receive((along * self.slope)[:, 0])
                self.bias.receive(total[:, 0])
            if not self.by_batch:
                return self.restored(rows * self.gain(), dy.shape)
            dx = self.centred * (-along * self.slope**2 / m)
            dx += rows
            dx -= total / m
            dx *= self.gain()
        return self.restored(dx, dy.shape)

    def gain(self) -> Array:
        """What the centred values are multiplied by."""
        slope: Array = self.slope
        return slope if self.weight is None else slope * per_channel(self.weight)

    def follow(self, mean: Array, variance: Array, rows: Array) -> None:
        """Move the running statistics towards those of a batch."""
        m = self.count(rows)
        unbiased = variance * (m / (m - 1))
        for running, new in ((self.running_mean, mean), (self.running_variance, unbiased)):
            old = running.value
            running.value = (1 - self.momentum) * old + self.momentum * new[:, 0]

    def rows_of(self, x: Array) -> Array:
        """``(N, C, P)``, to compute with; of one order in memory, so that sums are of one order."""
        x = np.ascontiguousarray(wide(x))
        if self.layout == "channels_last":
            return x.reshape(len(x), prod(x.shape[1:-1]), x.shape[-1]).swapaxes(1, 2)
        return x.reshape(len(x), x.shape[1], prod(x.shape[2:]))

    def restored(self, rows: Array, shape: Shape) -> Array:
        """``(N, C, P)`` in the layout and the dtype of the layer."""
        if self.layout == "channels_last":
            rows = rows.swapaxes(1, 2)
        with np.errstate(all="ignore"):
            return np.ascontiguousarray(rows, self.dtype).reshape(shape)

    def count(self, rows: Array) -> int:
        """Values a channel."""
        return prod((rows.shape[0], rows.shape[2]))

    def channels_of(self, shape: Shape) -> int:
        """Of an input of this shape; raise ShapeError."""
        last = self.layout == "channels_last"
        if len(shape) < 2:
            axes = "(N, *spatial, C)" if last else "(N, C, *spatial)"
            raise ShapeError(
                f"`x` (shape {shape}) has {len(shape)} axes, and batch and channels take two",
                f"give it the shape {axes}",
            )
        channels = shape[-1] if last else shape[1]
        if not channels:
            raise ShapeError(f"`x` (shape {shape}) has no channels", "give it one or more")
        return channels

    def output_shape(self, shape: Shape) -> Shape:
        channels = self.channels_of(shape)
        check_takes(len(self.running_mean.value), channels, shape, self.layout)
        return shape


def per_channel(parameter: Parameter) -> Array:
    """The values of a parameter as ``(C, 1)``, in a dtype to compute in."""
    return wide(parameter.masked)[:, None]


def total_of(product: str, *rows: Array) -> Array:
    """The sums ``(C, 1)`` of a product that einsum adds up to ``(N, C)``."""
    totals: Array = np.einsum(product, *rows).sum(axis=0)
    return totals[:, None]


def check_enough(count: int, shape: Shape) -> None:
    """Check that there is a variance."""
    if count < 2:
        raise ShapeError(
            f"`x` (shape {shape}) has {count} values a channel, and the variance of a batch takes "
            "two or more",
            "pass more samples, or set `training` to False to use the running statistics",
        )
