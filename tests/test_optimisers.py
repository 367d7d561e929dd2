"""Optimisers: the papers' formulas step by step, and what surrounds them."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gradients import integers
from messages import refused

from convref import WordError
from convref.constraints import NonNegative
from convref.layer import Layer, Parameter
from convref.layers import Conv1d, Sequential
from convref.losses import mean_squared_error
from convref.optimisers import SGD, Adam, AdamW, Optimiser

Array = np.ndarray[Any, Any]


class Bare(Layer):
    """A parameter and no function."""

    def __init__(self, value: Array) -> None:
        super().__init__()
        self.weight = Parameter(value)


MAKES: dict[str, Callable[[Layer], Optimiser]] = {
    "sgd": lambda layer: SGD(layer, 0.125),
    "momentum": lambda layer: SGD(layer, 0.125, 0.5, weight_decay=0.25),
    "nesterov": lambda layer: SGD(layer, 0.125, 0.5, nesterov=True, weight_decay=0.25),
    "adam": lambda layer: Adam(layer, 0.125, (0.75, 0.875), 1e-3),
    "adamw": lambda layer: AdamW(layer, 0.125, (0.75, 0.875), 1e-3, 0.25),
}


def by_formula(name: str, w: Array, grads: Array) -> Array:
    """The value after each gradient, in the dtype of the arrays, from the formulas alone."""
    rate, decay, mu = w.dtype.type(0.125), w.dtype.type(0.25), w.dtype.type(0.5)
    v = np.zeros_like(w)
    m, beta1, beta2 = np.zeros_like(w), w.dtype.type(0.75), w.dtype.type(0.875)
    found = []
    for t, grad in enumerate(grads, 1):
        if name == "sgd":
            w = w - rate * grad
        elif name in ("momentum", "nesterov"):
            g = grad + decay * w
            v = g if t == 1 else mu * v + g
            w = w - rate * (g + mu * v if name == "nesterov" else v)
        else:
            m = beta1 * m + (1 - beta1) * grad
            v = beta2 * v + (1 - beta2) * grad**2
            estimate = (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + w.dtype.type(1e-3))
            w = w - rate * (decay * w if name == "adamw" else 0) - rate * estimate
        found.append(w)
    return np.array(found)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_gradient_descent_is_exact_in_binary(name: str, rng: np.random.Generator) -> None:
    """All factors are powers of two; in eight steps no digit is lost."""
    w, grads = integers(rng, 3, 4), integers(rng, 8, 3, 4)
    layer = Bare(w.copy())
    optimiser = MAKES[name](layer)
    for grad, expected in zip(grads, by_formula(name, w, grads), strict=True):
        layer.weight.grad = grad
        optimiser.step()
        np.testing.assert_array_equal(layer.weight.value, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MAKES)
def test_formulas(name: str, dtype: str, rng: np.random.Generator) -> None:
    """Twenty steps, each of which may lose a few digits of what it adds and one of the weight.

    Of the moments, sums of positive terms and of ones that hardly cancel, 16 roundings reach the
    step; each step is smaller than the rate times 8. Weights stay below 8.
    """
    w, grads = rng.standard_normal((3, 4)).astype(dtype), rng.standard_normal((20, 3, 4))
    grads = grads.astype(dtype)
    expected = by_formula(name, w.astype(np.longdouble), grads.astype(np.longdouble))
    assert np.abs(expected).max() < 8
    layer = Bare(w.copy())
    optimiser = MAKES[name](layer)
    u = np.finfo(dtype).eps / 2
    for t, grad in enumerate(grads):
        layer.weight.grad = grad
        optimiser.step()
        error = np.abs(layer.weight.value - expected[t])
        assert np.all(error <= (t + 1) * (16 * 8 * 0.125 + 8) * u)


def test_first_step_of_adam() -> None:
    """As long as the learning rate, whatever the gradient; zeros stay."""
    layer = Bare(np.zeros(3))
    optimiser = Adam(layer, learning_rate=0.5)
    layer.weight.grad = np.array([1e-3, -1e6, 0.0])
    optimiser.step()
    moved = 0.5 * np.array([-1, 1, 0])
    assert np.all(np.abs(layer.weight.value - moved) <= 0.5 * 1e-8 / 1e-3 + 1e-15)


def test_a_schedule() -> None:
    layer = Bare(np.zeros(1))
    layer.weight.grad = np.ones(1)
    optimiser = SGD(layer, 1.0)
    for rate in (1, np.float32(0.5), 0.25, 0):
        optimiser.learning_rate = rate
        optimiser.step()
    assert layer.weight.value == -1.75
    optimiser.learning_rate = -1
    with refused(
        WordError,
        "Optimiser.step: `learning_rate` (=-1) must be a number of 0 or more; such as "
        "learning_rate=0.1",
    ):
        optimiser.step()


@pytest.mark.parametrize("name", MAKES)
def test_arrays_are_changed_in_place(name: str, rng: np.random.Generator) -> None:
    layer = Sequential(Conv1d(2, 3, 3, rng=0), Conv1d(3, 2, 1, rng=0))
    arrays = {name: parameter.value for name, parameter in layer.parameters().items()}
    before = {name: value.copy() for name, value in arrays.items()}
    optimiser = MAKES[name](layer)
    layer.backward(layer(rng.standard_normal((4, 2, 8))))
    optimiser.step()
    for key, parameter in layer.parameters().items():
        assert parameter.value is arrays[key]
        assert not np.array_equal(parameter.value, before[key])


@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", MAKES)
def test_narrow_dtypes_are_computed_in_float32(
    name: str, dtype: Any, rng: np.random.Generator
) -> None:
    """And rounded once: the weight is float32's, of the same narrow weight before."""
    narrow, wide = Bare(rng.standard_normal(9).astype(dtype)), Bare(np.zeros(9, np.float32))
    optimisers = MAKES[name](narrow), MAKES[name](wide)
    for grad in rng.standard_normal((5, 9)):
        wide.weight.value[...] = narrow.weight.value
        narrow.weight.grad = grad.astype(dtype)
        wide.weight.grad = narrow.weight.grad.astype(np.float32)
        for optimiser in optimisers:
            optimiser.step()
        expected = wide.weight.value.astype(dtype)
        np.testing.assert_array_equal(narrow.weight.value, expected, strict=True)


@pytest.mark.parametrize("name", MAKES)
def test_complex_weights_are_two_real_ones(name: str, rng: np.random.Generator) -> None:
    """The way down is against the conjugate of the gradient."""
    values, grads = rng.standard_normal((2, 7)), rng.standard_normal((4, 2, 7))
    layer, real = Bare(values[0] + 1j * values[1]), Bare(values.copy())
    optimisers = MAKES[name](layer), MAKES[name](real)
    for grad in grads:
        layer.weight.grad, real.weight.grad = grad[0] - 1j * grad[1], grad
        for optimiser in optimisers:
            optimiser.step()
    np.testing.assert_array_equal(layer.weight.value.real, real.weight.value[0])
    np.testing.assert_array_equal(layer.weight.value.imag, real.weight.value[1])


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_a_layer_learns_another(dtype: str, rng: np.random.Generator) -> None:
    """Least squares: the loss falls at every step of a small rate."""
    teacher, pupil = (Conv1d(2, 3, 3, dtype=dtype, rng=seed) for seed in (1, 2))
    if dtype == "complex128":
        teacher.weight.value *= 1j
    x = rng.standard_normal((8, 2, 10))
    optimiser = SGD(pupil, 0.05)
    losses = []
    for _ in range(300):
        loss, gradient = mean_squared_error(pupil(x), teacher(x))
        losses.append(loss)
        pupil.backward(gradient)
        optimiser.step()
    assert np.all(np.diff(losses) < 0)
    assert losses[-1] < 0.01 * losses[0]


def test_constraints_and_masks() -> None:
    mask = np.array([1, 0, 1])
    layer = Conv1d(1, 1, 3, mask=mask, weight_constraint=NonNegative(), dtype="float64")
    layer.weight.value[...] = [[[1.0, 5.0, 0.25]]]
    optimiser = SGD(layer, 0.5)
    layer(np.ones((1, 1, 3)))
    layer.backward(np.ones((1, 1, 1)))
    optimiser.step()
    np.testing.assert_array_equal(layer.weight.value, [[[0.5, 0, 0]]])


def test_frozen_layers_stay_and_count_their_own_steps() -> None:
    """Bias correction is by how often a parameter was changed."""
    first, second = Bare(np.zeros(1)), Bare(np.zeros(1))
    layer = Sequential(first, second)
    for bare in (first, second):
        bare.weight.grad = np.ones(1)
    optimiser = Adam(layer, 0.5, epsilon=1e-12)
    second.trainable = False
    optimiser.step()
    assert second.weight.value == 0
    second.trainable = True
    optimiser.step()
    assert abs(second.weight.value[0] + 0.5) <= 1e-11
    assert optimiser.steps == {"0.weight": 2, "1.weight": 1}


def test_nothing_is_changed_before_all_have_gradients() -> None:
    layer = Sequential(Bare(np.zeros(1)), Bare(np.zeros(1)))
    layer.parameters()["0.weight"].grad = np.ones(1)
    optimiser = SGD(layer, 0.5)
    with refused(WordError, "Optimiser.step: `1.weight` has no gradient; call backward first"):
        optimiser.step()
    assert layer.parameters()["0.weight"].value == 0


REFUSED: dict[str, tuple[Callable[[Layer], Any], str]] = {
    "parameters": (
        lambda layer: SGD(layer.parameters(), 0.1),
        "SGD: a dict is not a layer; pass the layer itself",
    ),
    "a rate": (
        lambda layer: SGD(layer, "fast"),
        "SGD: `learning_rate` (='fast') must be a number of 0 or more; such as learning_rate=0.1",
    ),
    "a momentum": (
        lambda layer: SGD(layer, 0.1, 1),
        "SGD: `momentum` (=1) must be a number of 0 or more and below 1; such as momentum=0.1",
    ),
    "nesterov": (
        lambda layer: SGD(layer, 0.1, nesterov=True),
        "SGD: `nesterov` (=True) needs `momentum`; such as momentum=0.9",
    ),
    "a decay": (
        lambda layer: SGD(layer, 0.1, weight_decay=-1),
        "SGD: `weight_decay` (=-1) must be a number of 0 or more; such as weight_decay=0.1",
    ),
    "one beta": (
        lambda layer: Adam(layer, betas=0.9),
        "Adam: `betas` (=0.9) must be two numbers; such as (0.9, 0.999)",
    ),
    "a beta": (
        lambda layer: Adam(layer, betas=(0.9, 1.0)),
        "Adam: `betas` (=1.0) must be a number of 0 or more and below 1; such as betas=0.1",
    ),
    "an epsilon": (
        lambda layer: AdamW(layer, epsilon=0),
        "AdamW: `epsilon` (=0) must be a number above 0; such as epsilon=0.1",
    ),
    "a decoupled decay": (
        lambda layer: AdamW(layer, weight_decay=None),
        "AdamW: `weight_decay` (=None) must be a number of 0 or more; such as weight_decay=0.1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, text = REFUSED[name]
    with refused(WordError, text):
        call(Bare(np.zeros(1)))
