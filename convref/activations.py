"""Activations: elementwise functions as layers, each next to its derivative.

They need no parameters, and any layer of weights takes one, by name or as it is:
``Conv2d(3, 8, 3, activation="relu")``.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.layer import Layer
from convref.names import named

Array = NDArray[Any]


class ReLU(Layer):
    """``max(x, 0)``; the derivative at 0 is taken as 0.

    >>> ReLU()([-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    """

    def forward(self, x: Array) -> Array:
        self.y = np.maximum(x, 0)
        return self.y

    def gradient(self, dy: Array) -> Array:
        return dy * (self.y > 0)


ACTIVATIONS: dict[str, Callable[[], Layer]] = {"relu": ReLU}
"""What may be given by name."""


def activation(value: str | Layer | None) -> Layer | None:
    """An activation from what a user wrote."""
    return named("activation", value, ACTIVATIONS)
