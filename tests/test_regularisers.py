"""Regularisers: penalties, their gradients, what they refuse."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gradients import directional, integers
from messages import refused

from convref import WordError
from convref.layers import Conv1d
from convref.regularisers import L1, L1L2, L2, REGULARISERS, Orthogonal, Regulariser

ALL: dict[str, Regulariser] = {
    "l1": L1(0.5),
    "l2": L2(0.25),
    "l1_l2": L1L2(0.5, 0.25),
    "rows": Orthogonal(0.5),
    "columns": Orthogonal(0.5, "columns"),
}


def test_values(rng: np.random.Generator) -> None:
    w = integers(rng, 3, 4, 5)
    absolute, squares = np.sum(np.abs(w)), np.sum(w * w)
    assert L1(0.5)(w) == 0.5 * absolute
    assert L2(0.25)(w) == 0.25 * squares
    assert L1L2(0.5, 0.25)(w) == 0.5 * absolute + 0.25 * squares
    np.testing.assert_array_equal(L1(0.5).gradient(w), 0.5 * np.sign(w))
    np.testing.assert_array_equal(L2(0.25).gradient(w), 0.5 * w)
    np.testing.assert_array_equal(L1L2(0.5, 0.25).gradient(w), 0.5 * np.sign(w) + 0.5 * w)


def test_values_of_complex_weights() -> None:
    """Of moduli; a gradient is the conjugate of the way up."""
    w = np.array([3 + 4j, 0, -2j])
    assert L1(0.5)(w) == 3.5
    assert L2(0.5)(w) == 14.5
    np.testing.assert_array_equal(L1(0.5).gradient(w), [0.3 - 0.4j, 0, 0.5j])
    np.testing.assert_array_equal(L2(0.5).gradient(w), [3 - 4j, 0, 2j])


@pytest.mark.parametrize("shape", [(5, 4), (3, 2, 4), (4, 2, 1, 3)])
@pytest.mark.parametrize("complexes", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_gradients(
    name: str, complexes: bool, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    def drawn() -> Any:
        return rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if complexes else 0)

    w, direction = drawn(), drawn()
    gradient = ALL[name].gradient(w)
    assert gradient.shape == shape
    found = np.sum(gradient * direction).real
    wanted, slack = directional(lambda t: ALL[name](w + t * direction), ALL[name](w) + 1)
    assert abs(found - wanted) <= slack


def test_orthogonal_is_the_mean_cosine() -> None:
    """Of right angles and one of 60 degrees, exactly."""
    w = np.array([[2.0, 0.0, 0.0], [0.0, 3.0, 4.0], [0.0, 0.0, 0.0]])
    assert Orthogonal(3.0)(w) == 0
    w[2] = [0.0, 0.0, -7.0]  # at a cosine of -0.8 to the second
    assert Orthogonal(3.0)(w) == pytest.approx(3 * 0.8 / 3, abs=1e-15)
    assert Orthogonal(3.0, "columns")(w.T) == Orthogonal(3.0)(w)
    np.testing.assert_array_equal(
        Orthogonal(3.0, "columns").gradient(w.T), Orthogonal(3.0).gradient(w).T
    )


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_orthogonal_is_that_of_keras(mode: str, rng: np.random.Generator) -> None:
    """As Keras 3 writes it, of the transposed matrix; each cosine is a sum of at most 6 products.

    So it is within gamma of 6 and of the 8 or so roundings of either normalisation.
    """
    w = rng.standard_normal((5, 2, 3))
    kernel = w.reshape(5, 6).T  # a Dense kernel of Keras: inputs, outputs
    axis = 0 if mode == "rows" else 1
    unit = kernel / np.sqrt(np.sum(kernel**2, axis=axis, keepdims=True))
    product = unit.T @ unit if mode == "rows" else unit @ unit.T
    size = len(product)
    expected = 0.25 * 0.5 * np.sum(np.abs(product * (1 - np.eye(size)))) / (size * (size - 1) / 2)
    assert abs(Orthogonal(0.25, mode)(w) - expected) <= 32 * np.finfo(float).eps


def test_one_filter_and_zeros() -> None:
    assert Orthogonal()(np.ones((1, 4))) == 0
    np.testing.assert_array_equal(Orthogonal().gradient(np.ones((1, 4))), np.zeros((1, 4)))
    np.testing.assert_array_equal(Orthogonal().gradient(np.zeros((2, 4))), np.zeros((2, 4)))


@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", ALL)
def test_narrow_dtypes_are_summed_in_float32(name: str, dtype: Any) -> None:
    w = np.full((300, 300), 2.0).astype(dtype)  # the sum of whose squares float16 can't hold
    assert ALL[name](w) == ALL[name](w.astype(np.float32))
    assert ALL[name].gradient(w).dtype == np.float32


def test_names() -> None:
    kinds = {
        "l1": L1, "l2": L2, "l1_l2": L1L2, "l1l2": L1L2, "orthogonal": Orthogonal,
        "orthogonal_regularizer": Orthogonal,
    }  # fmt: skip
    assert {name: type(make()) for name, make in REGULARISERS.items()} == kinds
    for name in kinds:
        layer = Conv1d(2, 3, 1, weight_regulariser=name)
        assert layer.penalty() > 0


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "l1": (
        lambda: L1(-1),
        "L1: `factor` (=-1) must be a number of 0 or more; such as factor=0.1",
    ),
    "l2": (
        lambda: L2(None),
        "L2: `factor` (=None) must be a number of 0 or more; such as factor=0.1",
    ),
    "l1 and l2": (
        lambda: L1L2(1, -1),
        "L1L2: `l2` (=-1) must be a number of 0 or more; such as l2=0.1",
    ),
    "orthogonal": (
        lambda: Orthogonal(-1),
        "Orthogonal: `factor` (=-1) must be a number of 0 or more; such as factor=0.1",
    ),
    "a mode": (
        lambda: Orthogonal(1, "row"),
        "Orthogonal: `mode` (='row') is unknown; did you mean 'rows'?",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, text = REFUSED[name]
    with refused(WordError, text):
        call()
