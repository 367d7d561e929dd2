"""Constraints: what a parameter is brought back to after each step of an optimiser."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Constraint(Protocol):
    """Where a parameter may be."""

    def __call__(self, w: Array) -> Array:
        """The array that meets the constraint in place of w."""


@dataclass(frozen=True)
class NonNegative:
    """``max(w, 0)``."""

    def __call__(self, w: Array) -> Array:
        return np.maximum(w, 0)


CONSTRAINTS: dict[str, Callable[[], Constraint]] = {"non_negative": NonNegative}
"""What may be given by name."""
