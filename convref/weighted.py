"""Weighted: what layers of weights share, around the affine map that each of them is.

y = activation(affine(x)),   affine(x) = some product of weights and x, plus a bias
"""

from collections.abc import Mapping
from math import prod
from typing import Any, TypedDict, Unpack, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convref.activations import activation
from convref.constraints import CONSTRAINTS, Constraint
from convref.dtypes import SUMMED_IN, as_array, named_dtype
from convref.engine import Options
from convref.errors import DtypeError, ShapeError, WordError, counted, shown
from convref.initialisers import INITIALISERS, Fans, Initialiser
from convref.integers import divisors, flag, integer, kernel_sizes, per_axis
from convref.layer import Layer, Parameter, cast_to, generator
from convref.memory import check_fits
from convref.names import named, nearest
from convref.regularisers import REGULARISERS, Regulariser
from convref.spec import Axes
from convref.summary import Shape

Array = NDArray[Any]
AS_SET = Options()
"""Compute with the back end and the threads that are set."""


class Settings(TypedDict, total=False):
    """Keywords of every layer of weights, with their defaults; a name stands for the thing."""

    bias: bool
    """Whether there is one (True)."""
    mask: ArrayLike | None
    """Ones and zeros that broadcast to the weights; where it is zero, so are they (None)."""
    activation: str | Layer | None
    """What follows (None)."""
    weight_initialiser: str | Initialiser
    """First weights ("glorot_uniform")."""
    bias_initialiser: str | Initialiser
    """First bias ("zeros")."""
    weight_regulariser: str | Regulariser | None
    """A penalty on the weights (None)."""
    bias_regulariser: str | Regulariser | None
    """A penalty on the bias (None)."""
    activity_regulariser: str | Regulariser | None
    """A penalty on the output, divided by the size of the batch (None)."""
    weight_constraint: str | Constraint | None
    """Where the weights are brought back to after each step (None)."""
    bias_constraint: str | Constraint | None
    """Where the bias is brought back to (None)."""
    dtype: DTypeLike
    """Of the parameters ("float32"); inputs are converted to it."""
    rng: np.random.Generator | int | None
    """What first values are drawn from: a generator, or a seed (None: unpredictable)."""
    name: str | None
    """What messages call the layer (its class)."""
    trainable: bool
    """Whether training changes it (True)."""


class Weighted(Layer):
    """A layer with weights, perhaps a bias and perhaps an activation."""

    weight: Parameter
    bias: Parameter | None

    def __init__(self, **settings: Unpack[Settings]) -> None:
        super().__init__(settings.get("name"), settings.get("trainable", True))
        self.built = False
        self.activation = activation(settings.get("activation"))
        self.activity_regulariser = named(
            "activity_regulariser", settings.get("activity_regulariser"), REGULARISERS
        )
        self.dtype = inexact(settings.get("dtype", "float32"))
        self.rng = generator(settings.get("rng"))
        self.has_bias = flag("bias", settings.get("bias", True))
        self.settings = settings

    # What a layer of weights writes

    def affine(self, x: Array) -> Array:
        """The output before the activation, of an x in the layer's dtype."""
        raise NotImplementedError

    def affine_gradient(self, dy: Array) -> Array:
        """dx; gives each parameter its gradient, if the layer is trainable."""
        raise NotImplementedError

    # What it is called through

    def forward(self, x: Array) -> Array:
        y = self.affine(cast_to(self.dtype, "x", x))
        if self.activation is not None:
            y = self.activation(y)
        return self.penalised(y)

    def gradient(self, dy: Array) -> Array:
        dy = self.penalised_gradient(dy)
        if self.activation is not None:
            dy = self.activation.backward(dy)
        return self.affine_gradient(dy.astype(self.dtype, copy=False))

    def penalised(self, y: Array) -> Array:
        """The output, once its penalty is noted."""
        if self.activity_regulariser is not None:
            self.y = y
            self.activity = self.activity_regulariser(y) / max(1, len(y))
        return y

    def penalised_gradient(self, dy: Array) -> Array:
        """The gradient of the loss and of that penalty."""
        if self.activity_regulariser is not None:
            dy = dy + self.activity_regulariser.gradient(self.y) / max(1, len(self.y))
        return dy

    # Parameters

    def make_weight(
        self, shape: Shape, which: str = "weight", fans: Fans | None = None
    ) -> Parameter:
        """Weights as the keywords ``{which}_initialiser`` and so on ask for."""
        made = self.make(shape, which, "glorot_uniform", fans)
        mask = self.settings.get("mask")
        if which == "weight" and mask is not None:
            made.mask = as_mask(mask, shape, self.dtype)
        return made

    def make_bias(self, channels: int) -> Parameter | None:
        """A bias, if there is to be one; it is drawn with the fans of the weights, made before."""
        if not self.has_bias:
            return None
        return self.make((channels,), "bias", "zeros", Fans.of(self.weight.value.shape))

    def make(self, shape: Shape, which: str, default: str, fans: Fans | None = None) -> Parameter:
        """A parameter as the keywords that begin with its name ask for."""
        given = cast(Mapping[str, Any], self.settings)
        drawn = given.get(f"{which}_initialiser")
        initialiser = named(
            f"{which}_initialiser", default if drawn is None else drawn, INITIALISERS
        )
        check_fits(8 * prod(shape), f"a parameter of shape {shape}")
        values = as_array(f"{which}_initialiser", initialiser(shape, self.rng, fans))
        return Parameter(
            cast_to(self.dtype, f"{which}_initialiser", values),
            regulariser=named(
                f"{which}_regulariser", given.get(f"{which}_regulariser"), REGULARISERS
            ),
            constraint=named(f"{which}_constraint", given.get(f"{which}_constraint"), CONSTRAINTS),
        )


def split_words(given: Mapping[str, Any], *kinds: Any) -> list[dict[str, Any]]:
    """Keywords sorted by the TypedDicts that list them; raise WordError for one in none."""
    known = [word for kind in kinds for word in kind.__annotations__]
    for word in given:
        if word not in known:
            raise WordError(f"there is no word `{word}`", nearest(word, known))
    return [
        {word: value for word, value in given.items() if word in kind.__annotations__}
        for kind in kinds
    ]


def channel_count(name: str, value: int) -> int:
    """A number of channels; raise WordError."""
    if integer(name, value) < 1:
        raise WordError(f"`{name}` (={value}) must be at least 1", "use 1 or more")
    return integer(name, value)


def check_grouped(name: str, channels: int, groups: int) -> None:
    """Check that the groups divide the channels."""
    if channels % groups:
        raise WordError(
            f"`groups` (={groups}) must divide `{name}` (={channels})",
            f"use {counted(divisors(channels))}",
        )


def check_takes(taken: int, channels: int, shape: Shape, layout: str) -> None:
    """Check that an input has as many channels as the parameters were made for."""
    if channels != taken:
        raise ShapeError(
            f"`x` (shape {shape}) has {channels} channels, and the layer takes {taken}",
            f"check its axes against `layout` (={shown(layout)})",
        )


def kernel_of(kernel_size: Axes, rank: int | None) -> Shape:
    """One kernel size per axis; without a rank, there are as many axes as sizes."""
    if rank is None:
        return kernel_sizes(kernel_size)
    return per_axis("kernel_size", kernel_size, rank, minimum=1)


def inexact(dtype: DTypeLike) -> np.dtype[Any]:
    """A dtype that weights can have; raise DtypeError."""
    chosen = named_dtype(dtype)
    if chosen is None or (chosen.kind not in "fc" and chosen.name not in SUMMED_IN):
        raise DtypeError(
            f"`dtype` (={shown(dtype)}) is not one that weights can have",
            "use float16, bfloat16, float32, float64, complex64 or complex128",
        )
    return chosen


def as_mask(mask: ArrayLike, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """The mask of weights of this shape; raise ShapeError."""
    array = as_array("mask", mask)
    try:
        return cast_to(dtype, "mask", np.broadcast_to(array, shape))
    except ValueError:
        raise ShapeError(
            f"`mask` (shape {array.shape}) does not broadcast to the weights (shape {shape})",
            "give it the shape of the weights",
        ) from None
