"""Initialisers by Keras's names: they draw in Keras's layout, with Keras's fans and seeds."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref import initialisers
from convref.dialects.keras.layouts import Layout
from convref.dialects.keras.settings import named
from convref.dialects.keras.words import Session, Shape, seeded
from convref.dtypes import as_array
from convref.errors import ShapeError
from convref.initialisers import Fans, Initialiser

Array = NDArray[Any]
Draw = Callable[[Shape], Array]
"""First values of a parameter, of a shape in Keras's layout."""


def fans(shape: Shape, input_axes: Any = None, output_axes: Any = None) -> Fans:
    """As Keras counts them, from the last two axes of its shape; of a bias (K,), both are K."""
    if input_axes is not None and output_axes is not None:
        return Fans(*(prod(shape[axis] for axis in axes) for axes in (input_axes, output_axes)))
    if len(shape) < 2:
        return Fans(prod(shape), prod(shape))
    taps = prod(shape[:-2])
    return Fans(shape[-2] * taps, shape[-1] * taps)


def generator(seed: Any) -> np.random.Generator:
    """Of a seed, which always gives the same numbers, or the one that is set for all layers."""
    return Session.rng if seed is None else seeded(seed)


def drawn(initialiser: Initialiser, seed: Any = None) -> Draw:
    """What an initialiser of convref draws that does not look at fans."""
    return lambda shape: initialiser(shape, generator(seed))


def constant(value: Any = 0.0) -> Draw:
    """Constant: a number, or an array that broadcasts."""
    return lambda shape: np.broadcast_to(as_array("value", value), shape).astype(float)


def random_normal(mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> Draw:
    """RandomNormal."""
    return drawn(initialisers.Normal(mean, stddev), seed)


def truncated_normal(mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> Draw:
    """TruncatedNormal, within two standard deviations."""
    return drawn(initialisers.TruncatedNormal(mean, stddev), seed)


def random_uniform(minval: float = -0.05, maxval: float = 0.05, seed: Any = None) -> Draw:
    """RandomUniform."""
    return drawn(initialisers.Uniform(minval, maxval), seed)


DISTRIBUTIONS = {"normal": "truncated_normal", "untruncated_normal": "normal"}
"""How Keras calls convref's, where names differ."""


def variance_scaling(
    scale: float = 1.0,
    mode: str = "fan_in",
    distribution: str = "truncated_normal",
    seed: Any = None,
    input_axes: Any = None,
    output_axes: Any = None,
) -> Draw:
    """VarianceScaling, whose "normal" is truncated."""
    distribution = str(distribution).lower()
    scaling = initialisers.VarianceScaling(
        scale, mode, DISTRIBUTIONS.get(distribution, distribution)
    )
    return lambda shape: scaling(shape, generator(seed), fans(shape, input_axes, output_axes))


def scaled(scale: float, mode: str, distribution: str) -> Callable[..., Draw]:
    """The initialiser of this scale, which still takes a seed and axes."""

    def make(seed: Any = None, input_axes: Any = None, output_axes: Any = None) -> Draw:
        return variance_scaling(scale, mode, distribution, seed, input_axes, output_axes)

    return make


def orthogonal(gain: float = 1.0, seed: Any = None) -> Draw:
    """Orthogonal."""
    rows = initialisers.Orthogonal(gain)  # of a matrix (K, the rest), which is Keras's transposed

    def draw(shape: Shape) -> Array:
        return np.moveaxis(rows((*shape[-1:], *shape[:-1]), generator(seed)), 0, -1)

    return draw


def identity(gain: float = 1.0) -> Draw:
    """Identity, which Keras refuses for whatever is no matrix."""

    def draw(shape: Shape) -> Array:
        raise ShapeError(
            f"an identity matrix has two axes, not the shape {shape}", "use another initialiser"
        )

    return draw


INITIALISERS: dict[str, Callable[..., Draw]] = {
    "Zeros": lambda: drawn(initialisers.Zeros()),
    "Ones": lambda: drawn(initialisers.Ones()),
    "Constant": constant,
    "RandomNormal": random_normal,
    "TruncatedNormal": truncated_normal,
    "RandomUniform": random_uniform,
    "VarianceScaling": variance_scaling,
    "GlorotUniform": scaled(1.0, "fan_avg", "uniform"),
    "GlorotNormal": scaled(1.0, "fan_avg", "truncated_normal"),
    "LecunUniform": scaled(1.0, "fan_in", "uniform"),
    "LecunNormal": scaled(1.0, "fan_in", "truncated_normal"),
    "HeUniform": scaled(2.0, "fan_in", "uniform"),
    "HeNormal": scaled(2.0, "fan_in", "truncated_normal"),
    "Orthogonal": orthogonal,
    "OrthogonalInitializer": orthogonal,
    "Identity": identity,
    "IdentityInitializer": identity,
    "zero": lambda: drawn(initialisers.Zeros()),
    "one": lambda: drawn(initialisers.Ones()),
    "normal": random_normal,
    "uniform": random_uniform,
}
"""keras.initializers, by class; snake-case names follow from them."""


@dataclass(frozen=True)
class InLayout:
    """An initialiser of convref that draws as Keras does."""

    draw: Draw
    layout: Layout

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        theirs = self.layout.theirs(np.empty(shape)).shape
        return np.ascontiguousarray(self.layout.ours(self.draw(theirs)))


def initialiser(word: str, value: Any, layout: Layout, dtype: Any) -> Initialiser:
    """From a name, a configuration, an array, or a function of shape and dtype; raise WordError.

    Initialisers of convref serve as they are.
    """
    if isinstance(value, type):
        value = value()
    found = named(word, "glorot_uniform" if value is None else value, INITIALISERS)
    if found is not None:
        return InLayout(found, layout)
    if callable(value):
        if "rng" in inspect.signature(value).parameters:
            ours: Initialiser = value
            return lambda shape, rng, fans=None: ours(shape, Session.rng, fans)
        return InLayout(partial(called, value, dtype), layout)
    return InLayout(partial(given, word, as_array(word, value)), layout)


def called(function: Callable[..., Any], dtype: Any, shape: Shape) -> Array:
    """What a user's own initialiser gives."""
    return fitting("the initialiser's array", as_array("", function(shape, dtype=dtype)), shape)


def given(word: str, array: Array, shape: Shape) -> Array:
    """An array as the first value."""
    return fitting(f"`{word}`", array, shape)


def fitting(name: str, array: Array, shape: Shape) -> Array:
    """The array, if it has this shape; raise ShapeError."""
    if array.shape != shape:
        raise ShapeError(
            f"{name} has shape {array.shape}, and the parameter has {shape}", "make them equal"
        )
    return array


def with_forget_gate(bias: Initialiser, filters: int) -> Initialiser:
    """The bias (4K,) of a ConvLSTM: that of the gates i, c and o drawn as asked, ones for f."""

    def make(shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        first, rest = bias((filters,), rng), bias((2 * filters,), rng)
        return np.concatenate([first, np.ones(filters), rest])

    return make
