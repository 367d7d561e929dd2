"""Regularisers: penalties on weights, biases and outputs, with their gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Regulariser(Protocol):
    """A penalty that is added to the loss."""

    def __call__(self, w: Array) -> float:
        """The penalty."""

    def gradient(self, w: Array) -> Array:
        """Its derivative by each element of w."""


@dataclass(frozen=True)
class L2:
    """``factor * sum(w**2)``, with the gradient ``2 * factor * w``."""

    factor: float = 0.01

    def __call__(self, w: Array) -> float:
        return float(self.factor * np.sum(np.square(w)))

    def gradient(self, w: Array) -> Array:
        return 2 * self.factor * w


REGULARISERS: dict[str, Callable[[], Regulariser]] = {"l2": L2}
"""What may be given by name."""
