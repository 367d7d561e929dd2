"""Regularisers and constraints by Keras's names, and configurations of all settings.

Each of Keras's that depends on the layout is wrapped, so that it sees the parameter as Keras would.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from convref import constraints, initialisers, regularisers
from convref.constraints import Constraint, MaxNorm, MinMaxNorm, NonNegative, UnitNorm
from convref.dialects.keras.layouts import Layout, their_axes
from convref.dialects.keras.words import snake_case
from convref.dtypes import as_array
from convref.errors import ShapeError, WordError, shown
from convref.names import nearest
from convref.regularisers import L1, L1L2, L2, Regulariser

Array = NDArray[Any]
T = TypeVar("T")


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
    if not isinstance(name, str) or name not in known:
        raise WordError(f"`{word}` (={shown(name)}) is unknown", nearest(name, known))
    words = inspect.signature(known[name]).parameters
    for given in config:
        if given not in words:
            raise WordError(f"`{word}`: {name} has no word `{given}`", nearest(given, words))
    return known[name](**config)


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
    if value is None or (callable(value) and hasattr(value, "gradient")):
        found: Regulariser | None = value
        return found
    found = named(word, value, REGULARISERS)
    if found is None and callable(value):
        return Penalty(value, layout)
    if found is None:
        raise WordError(
            f"`{word}` (={shown(value)}) is not a regularizer", "write 'l2', for example"
        )
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
            f"`{word}` (={shown(value)}) is not a constraint", "write 'non_neg', for example"
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
            f"`{word}` (={shown(value)}) has no configuration in Keras",
            "use one that has a name there",
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
