"""The linear layer, which is a convolution of one tap over a row of samples."""

from math import prod
from typing import Any, Unpack

from numpy.typing import NDArray

from convref import engine
from convref.errors import ShapeError, verb
from convref.spec import ConvSpec
from convref.summary import Shape
from convref.weighted import AS_SET, Settings, Weighted, channel_count, split_words

Array = NDArray[Any]
POINTWISE = ConvSpec.of(1, layout="channels_last")


class Linear(Weighted):
    """``y = activation(x @ weight.T + bias)``, over the last axis.

    ``x (..., C)`` gives ``y (..., K)`` for any number of batch axes. ``weight (K, C)`` has fan-in C
    and fan-out K; ``bias`` is ``(K,)``. With ``in_features=None``, C is that of the first input.
    Words are `convref.weighted.Settings`.

    Raises WordError for a word that is unknown or out of range, ShapeError for an input that does
    not fit, DtypeError for one that can't be converted.

    >>> import numpy as np
    >>> layer = Linear(3, 4, activation="relu", rng=0)
    >>> y = layer(np.ones((5, 2, 3)))
    >>> dx = layer.backward(np.ones_like(y))
    >>> y.shape, dx.shape, layer.weight.grad.shape, layer.bias.grad.shape
    ((5, 2, 4), (5, 2, 3), (4, 3), (4,))
    """

    @verb
    def __init__(
        self, in_features: int | None, out_features: int, **words: Unpack[Settings]
    ) -> None:
        (settings,) = split_words(words, Settings)
        super().__init__(**settings)
        self.out_features = channel_count("out_features", out_features)
        if in_features is not None:
            self.make_parameters(channel_count("in_features", in_features))

    def build(self, shape: Shape) -> None:
        if not shape or not shape[-1]:
            raise ShapeError(f"`x` (shape {shape}) has no features", "give it the shape (..., C)")
        self.make_parameters(shape[-1])

    def make_parameters(self, in_features: int) -> None:
        self.weight = self.make_weight((self.out_features, in_features))
        self.bias = self.make_bias(self.out_features)
        self.built = True

    def affine(self, x: Array) -> Array:
        shape = self.output_shape(x.shape)
        self.x = x
        bias = None if self.bias is None else self.bias.value
        y = engine.forward(as_row(x), self.weight.masked[..., None], bias, POINTWISE, AS_SET)
        return y.reshape(shape)

    def affine_gradient(self, dy: Array) -> Array:
        row = as_row(dy)
        if self.trainable:
            # (1, M, C) with (1, M, K) -> (K, C, 1)
            grad = engine.weight_grad(as_row(self.x), row, (1,), POINTWISE, AS_SET)
            self.weight.receive(grad[..., 0])
            if self.bias is not None:
                self.bias.receive(engine.bias_grad(row, POINTWISE, AS_SET))
        weight = self.weight.masked[..., None]
        dx = engine.input_grad(row, weight, None, row.shape[1:2], POINTWISE, AS_SET)
        return dx.reshape(self.x.shape)

    def output_shape(self, shape: Shape) -> Shape:
        features = self.weight.value.shape[1]
        if not shape or shape[-1] != features:
            raise ShapeError(
                f"`x` (shape {shape}) does not end in the {features} features that the layer takes",
                f"give it the shape (..., {features})",
            )
        return (*shape[:-1], self.out_features)

    def macs(self, shape: Shape) -> int:
        return prod(shape) * self.out_features


def as_row(x: Array) -> Array:
    """``(..., C)`` as one sample ``(1, M, C)`` of M positions; no positions as no samples."""
    positions = prod(x.shape[:-1])
    return x.reshape(min(positions, 1), max(positions, 1), x.shape[-1])
