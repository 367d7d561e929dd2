"""Initialisers, regularisers and constraints by Keras's names, and in its kernel layouts.

Keras draws kernels, counts their fans and takes their norms in the layout (*kernel, C, K), convref
in (K, C, *kernel). Each of Keras's that depends on the layout is wrapped, so that it sees the
parameter as Keras would.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from convref import constraints, initialisers, regularisers
from convref.constraints import Constraint, MaxNorm, MinMaxNorm, NonNegative, UnitNorm
from convref.dialects.keras.words import Session, Shape, snake_case
from convref.dtypes import as_array
from convref.errors import ShapeError, WordError
from convref.initialisers import Fans, Initialiser
from convref.integers import integer
from convref.names import nearest
from convref.regularisers import L1, L1L2, L2, Regulariser

Array = NDArray[Any]
T = TypeVar("T")
Draw = Callable[[Shape], Array]
"""First values of a parameter, of a shape in Keras's layout."""


# Layouts


class Layout(Protocol):
    """Where Keras has the axes of a parameter."""

    def theirs(self, w: Array) -> Array:
        """convref's array as Keras has it: a view."""

    def ours(self, w: Array) -> Array:
        """Keras's array as convref has it."""

    def axes(self) -> tuple[tuple[int, ...], ...]:
        """For each axis here, what it is there."""


class Same:
    """A bias: (K,) in both."""

    def theirs(self, w: Array) -> Array:
        return w

    def ours(self, w: Array) -> Array:
        return w

    def axes(self) -> tuple[tuple[int, ...], ...]:
        return ((0,),)


@dataclass(frozen=True)
class Kernel:
    """``(K, C, *kernel)`` here is ``(*kernel, C, K)`` there; of transposed kernels C and K swap."""

    rank: int

    def theirs(self, w: Array) -> Array:
        return np.moveaxis(w, (0, 1), (-1, -2))

    def ours(self, w: Array) -> Array:
        return np.moveaxis(w, (-1, -2), (0, 1))

    def axes(self) -> tuple[tuple[int, ...], ...]:
        return (self.rank + 1,), (self.rank,), *((axis,) for axis in range(self.rank))


@dataclass(frozen=True)
class PerChannel:
    """``(C*M, 1, *kernel)`` here is ``(*kernel, C, M)`` there."""

    rank: int
    multiplier: int

    def theirs(self, w: Array) -> Array:
        split = w.reshape(-1, self.multiplier, *w.shape[2:])
        return np.moveaxis(split, (0, 1), (-2, -1))

    def ours(self, w: Array) -> Array:
        split = np.moveaxis(w, (-2, -1), (0, 1))
        return split.reshape(-1, 1, *split.shape[2:])

    def axes(self) -> tuple[tuple[int, ...], ...]:
        return (self.rank, self.rank + 1), (), *((axis,) for axis in range(self.rank))


# What a name, a configuration or an object of Keras's stands for


def named(word: str, value: Any, kinds: Mapping[str, Callable[..., T]]) -> T | None:
    """What was made of a name or a configuration; None for anything else. Raises WordError."""
    known = {name: kind for key, kind in kinds.items() for name in (key, snake_case(key))}
    if hasattr(value, "get_config") and type(value).__name__ in known:
        value = {"class_name": type(value).__name__, "config": value.get_config()}
    if isinstance(value, str):
        value = {"class_name": value}
    if not isinstance(value, Mapping):
        return None
    name, config = value.get("class_name"), value.get("config") or {}
    if name not in known:
        raise WordError(f"`{word}` (={name!r}) is unknown", nearest(str(name), known))
    words = inspect.signature(known[name]).parameters
    for given in config:
        if given not in words:
            raise WordError(f"`{word}`: {name} has no word `{given}`", nearest(str(given), words))
    return known[name](**config)


# Initialisers


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
    return Session.rng if seed is None else np.random.default_rng(integer("seed", seed))


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


# Regularisers


@dataclass(frozen=True)
class Penalty:
    """A function of Keras's array as a penalty: its derivative is not known."""

    function: Callable[[Array], Any]
    layout: Layout

    def __call__(self, w: Array) -> float:
        return float(self.function(self.layout.theirs(w)))

    def gradient(self, w: Array) -> Array:
        raise WordError(
            "a function given as a regularizer has no derivative here",
            "give a name, or an object with a method gradient(w) as well",
        )


@dataclass(frozen=True)
class OfMatrices:
    """Keras's OrthogonalRegularizer, which takes matrices, and so no parameter or output here."""

    factor: float = 0.01
    mode: str = "rows"

    def __post_init__(self) -> None:
        regularisers.Orthogonal(self.factor, self.mode)  # a slip shows now

    def __call__(self, w: Array) -> float:
        raise ShapeError(
            f"the orthogonal regularizer takes a matrix, not an array of {w.ndim} axes",
            "use 'l1', 'l2' or 'L1L2'",
        )

    def gradient(self, w: Array) -> Array:
        return np.full(w.shape, self(w))


REGULARISERS: dict[str, Callable[..., Regulariser]] = {
    "L1": lambda l1=0.01: L1(0.01 if l1 is None else l1),
    "L2": lambda l2=0.01: L2(0.01 if l2 is None else l2),
    "L1L2": lambda l1=0.0, l2=0.0: L1L2(l1 or 0.0, l2 or 0.0),
    "OrthogonalRegularizer": OfMatrices,
}
"""keras.regularizers, by class."""


def regulariser(word: str, value: Any, layout: Layout) -> Regulariser | None:
    """From a name, a configuration, or a function of Keras's array; raise WordError.

    Regularisers of convref serve as they are.
    """
    if isinstance(value, type):
        value = value()
    if value is None or hasattr(value, "gradient"):
        found: Regulariser | None = value
        return found
    found = named(word, value, REGULARISERS)
    if found is None and callable(value):
        return Penalty(value, layout)
    if found is None:
        raise WordError(f"`{word}` (={value!r}) is not a regularizer", "write 'l2', for example")
    return found


# Constraints


def over(axis: Any, make: Callable[..., Constraint]) -> Constraint:
    """A constraint on norms over these axes of Keras's array; None for all of them."""
    axes = tuple(axis) if isinstance(axis, Sequence) else axis
    make(axes=axes)  # a slip shows now

    def constrain(w: Array) -> Array:
        return make(axes=tuple(range(w.ndim)) if axes is None else axes)(w)

    return constrain


CONSTRAINTS: dict[str, Callable[..., Constraint]] = {
    "MaxNorm": lambda max_value=2, axis=0: over(axis, partial(MaxNorm, max_value)),
    "UnitNorm": lambda axis=0: over(axis, UnitNorm),
    "NonNeg": NonNegative,
    "MinMaxNorm": lambda min_value=0.0, max_value=1.0, rate=1.0, axis=0: over(
        axis, partial(MinMaxNorm, min_value, max_value, rate)
    ),
}
"""keras.constraints, by class."""


@dataclass(frozen=True)
class Projection:
    """A constraint of convref that sees Keras's array."""

    function: Callable[[Array], Any]
    layout: Layout

    def __call__(self, w: Array) -> Array:
        met = as_array("the constraint's array", self.function(self.layout.theirs(w)))
        return np.ascontiguousarray(self.layout.ours(met)).astype(w.dtype, copy=False)


def constraint(word: str, value: Any, layout: Layout) -> Constraint | None:
    """From a name, a configuration, or a function of Keras's array; raise WordError.

    Constraints of convref serve as they are.
    """
    if isinstance(value, type):
        value = value()
    if value is None or type(value).__module__ == constraints.__name__:
        ours: Constraint | None = value
        return ours
    found = named(word, value, CONSTRAINTS)
    if found is None and callable(value):
        found = value
    if found is None:
        raise WordError(
            f"`{word}` (={value!r}) is not a constraint", "write 'non_neg', for example"
        )
    return Projection(found, layout)


# Configurations

DESCRIBED: dict[type, tuple[str, str, dict[str, str]]] = {
    initialisers.Zeros: ("initializers", "Zeros", {}),
    initialisers.Ones: ("initializers", "Ones", {}),
    initialisers.Constant: ("initializers", "Constant", {"value": "value"}),
    initialisers.Normal: (
        "initializers", "RandomNormal", {"mean": "mean", "standard_deviation": "stddev"},
    ),
    initialisers.TruncatedNormal: (
        "initializers", "TruncatedNormal", {"mean": "mean", "standard_deviation": "stddev"},
    ),
    initialisers.Uniform: ("initializers", "RandomUniform", {"low": "minval", "high": "maxval"}),
    initialisers.VarianceScaling: (
        "initializers", "VarianceScaling",
        {"scale": "scale", "mode": "mode", "distribution": "distribution"},
    ),
    initialisers.Orthogonal: ("initializers", "Orthogonal", {"gain": "gain"}),
    L1: ("regularizers", "L1", {"factor": "l1"}),
    L2: ("regularizers", "L2", {"factor": "l2"}),
    L1L2: ("regularizers", "L1L2", {"l1": "l1", "l2": "l2"}),
    MaxNorm: ("constraints", "MaxNorm", {"limit": "max_value", "axes": "axis"}),
    UnitNorm: ("constraints", "UnitNorm", {"axes": "axis"}),
    MinMaxNorm: (
        "constraints", "MinMaxNorm",
        {"low": "min_value", "high": "max_value", "rate": "rate", "axes": "axis"},
    ),
    NonNegative: ("constraints", "NonNeg", {}),
}  # fmt: skip
"""What convref's are in Keras: the module, the class, and the words."""


def described(word: str, value: Any, layout: Layout) -> dict[str, Any]:
    """The configuration of a setting; raise WordError."""
    if hasattr(value, "get_config"):
        config = value.get_config()
        return {"class_name": type(value).__name__, "config": config}
    if type(value) not in DESCRIBED:
        raise WordError(
            f"`{word}` (={value!r}) has no configuration in Keras", "use one that has a name there"
        )
    module, class_name, words = DESCRIBED[type(value)]
    config = {theirs: getattr(value, ours) for ours, theirs in words.items()}
    if config.get("distribution") == "normal":
        config["distribution"] = "untruncated_normal"
    if "axis" in config:
        config["axis"] = their_axes(config["axis"], layout)
    return {
        "module": f"keras.{module}",
        "class_name": class_name,
        "config": config,
        "registered_name": None,
    }


def their_axes(axes: Any, layout: Layout) -> list[int]:
    """The axes of Keras's array that norms are taken over; None: all but the first of ours."""
    known = layout.axes()
    chosen = known[1:] or known
    if axes is not None:
        chosen = tuple(known[axis] for axis in (axes if isinstance(axes, tuple) else (axes,)))
    return sorted(axis for found in chosen for axis in found)
