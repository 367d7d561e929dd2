"""Checks of a layer's gradients that know nothing of how the layer takes them.

A layer that is affine in x and in its parameters satisfies identities that are exact in integers:
what dy makes of y is what dx makes of x, and what dw makes of w. For others the derivative in a
random direction is taken by central differences in float64.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
STEP = 2.0**-13
"""Near the cube root of the roundoff, where truncation and rounding are alike."""


def directional(function: Callable[[float], float], size: float) -> tuple[float, float]:
    """The derivative at 0 by central differences, and how far it may be from the true one.

    The error of a step h is a*h**2 plus rounding: that of the values, of the given size, divided by
    the step. Of two steps, the difference of their results is three quarters of the larger's.
    """
    coarse, fine = ((function(step) - function(-step)) / (2 * step) for step in (2 * STEP, STEP))
    rounding = 64 * np.finfo(np.float64).eps * size / STEP
    return fine, abs(coarse - fine) + rounding


def assert_gradients(layer: Any, x: Array, rng: np.random.Generator) -> None:
    """Central differences in random directions, of x and of each trained parameter.

    The layer computes in float64, and twice the same for the same x.
    """
    y = layer(x)
    assert y.dtype == np.float64
    dy = rng.standard_normal(y.shape)
    dx = layer.backward(dy)
    assert dx.shape == x.shape
    grads = {name: parameter.grad.copy() for name, parameter in layer.trained().items()}
    size = float(np.sum(np.abs(dy * y)) + np.sum(np.abs(dx * x))) + 1

    def agree(what: str, gradient: Array, change: Callable[[Array], Any]) -> None:
        direction = rng.standard_normal(gradient.shape)
        found = float(np.sum(gradient * direction))
        wanted, slack = directional(lambda t: float(np.sum(dy * change(t * direction))), size)
        assert abs(found - wanted) <= slack, f"{what}: {found}, not {wanted} within {slack}"

    agree("x", dx, lambda step: layer(x + step))
    for name, parameter in layer.trained().items():
        value = parameter.value

        def moved(step: Array, parameter: Any = parameter, value: Array = value) -> Array:
            parameter.value = value + step
            try:
                return layer(x)
            finally:
                parameter.value = value

        assert grads[name].shape == value.shape
        agree(name, grads[name], moved)


def integers(rng: np.random.Generator, *shape: int) -> Array:
    """Small integers as float64, in which sums of them are exact."""
    return rng.integers(-4, 5, shape).astype(np.float64)


def assert_affine(layer: Any, x: Array, rng: np.random.Generator) -> None:
    """``<dy, y(x) - y(0)> == <dx, x>``, and the same for each parameter in the place of x.

    Exact, for integers in float64; the layer's parameters are filled with some.
    """
    layer(x)
    for parameter in layer.parameters().values():
        parameter.value = integers(rng, *parameter.value.shape)
    y = layer(x)
    dy = integers(rng, *y.shape)
    dx = layer.backward(dy)
    grads = {name: parameter.grad.copy() for name, parameter in layer.trained().items()}
    assert np.sum(dy * (y - layer(np.zeros_like(x)))) == np.sum(dx * x)
    for name, parameter in layer.trained().items():
        value = parameter.value
        parameter.value = np.zeros_like(value)
        assert np.sum(dy * (y - layer(x))) == np.sum(grads[name] * value), name
        parameter.value = value
