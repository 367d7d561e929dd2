"""Initialisers: the first values of parameters, drawn by a numpy.random.Generator.

Fan-in and fan-out count how many products make one output, and how many outputs one input takes
part in: for weights (K, C/groups, *kernel) of T taps, ``C/groups * T`` and ``K * T``, as PyTorch
and Keras count them, whatever the stride and the groups.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]


class Fans(NamedTuple):
    """Fan-in and fan-out."""

    into: int
    out: int

    @classmethod
    def of(cls, shape: Shape) -> "Fans":
        """Those of weights (K, C/groups, *kernel); of a bias (K,), 1 and K."""
        if len(shape) < 2:
            return cls(1, prod(shape))
        taps = prod(shape[2:])
        return cls(shape[1] * taps, shape[0] * taps)


class Initialiser(Protocol):
    """The first value of a parameter."""

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        """Values in float64; fans, unless given, are those of the shape."""


@dataclass(frozen=True)
class Zeros:
    """All 0."""

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        return np.zeros(shape)


@dataclass(frozen=True)
class GlorotUniform:
    """Uniform in ±sqrt(6 / (fan_in + fan_out)).

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010.
    """

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        into, out = fans or Fans.of(shape)
        limit = sqrt(6 / (into + out))
        return rng.uniform(-limit, limit, shape)


INITIALISERS: dict[str, Callable[[], Initialiser]] = {
    "zeros": Zeros,
    "glorot_uniform": GlorotUniform,
}
"""What may be given by name."""
