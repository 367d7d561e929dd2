"""Dropout: what is kept is scaled, what is dropped is zero, and both go back the same way."""

from math import sqrt
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gradients import assert_affine
from messages import refused

from convref import WordError
from convref.layers.dropout import Dropout


def test_what_is_kept_is_scaled(rng: np.random.Generator) -> None:
    layer = Dropout(0.75, rng=rng)
    x = rng.standard_normal((100, 100))
    y = layer(x)
    kept = y != 0
    np.testing.assert_array_equal(y, np.where(kept, 4 * x, 0))
    # Within six standard deviations of the expected share.
    assert abs(kept.mean() - 0.25) <= 6 * sqrt(0.25 * 0.75 / x.size)
    dy = rng.standard_normal(x.shape)
    np.testing.assert_array_equal(layer.backward(dy), np.where(kept, 4 * dy, 0))


def test_nothing_happens_outside_training(rng: np.random.Generator) -> None:
    layer = Dropout(0.5)
    layer.training = False
    x = rng.standard_normal((3, 4))
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer.backward(x), x)
    assert_affine(layer, x, rng)


def test_a_rate_of_zero_keeps_everything(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4))
    np.testing.assert_array_equal(Dropout(0)(x), x)


def test_seeds() -> None:
    x = np.ones((20, 20))
    first, second, other = (Dropout(0.5, rng=seed) for seed in (0, 0, 1))
    y = first(x)
    np.testing.assert_array_equal(second(x), y)
    assert not np.array_equal(other(x), y)
    assert not np.array_equal(first(x), y)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, ">f4", np.complex64])
def test_any_dtype(dtype: Any) -> None:
    layer = Dropout(0.5, rng=0)
    y = layer(np.ones((4, 4), dtype))
    assert y.dtype == layer.backward(y).dtype == np.dtype(dtype).newbyteorder("=")
    assert set(np.unique(y.astype(complex))) == {0, 2}


def test_integers_become_floats() -> None:
    layer = Dropout(0.5)
    for layer.training in (True, False):
        assert layer(np.ones((4, 4), int)).dtype == np.float64


def test_infinity_can_be_dropped() -> None:
    layer = Dropout(0.5, rng=0)
    y = layer(np.full((8, 8), np.inf))
    assert set(np.unique(y)) == {0, np.inf}
    assert set(np.unique(layer.backward(np.full((8, 8), np.inf)))) == {0, np.inf}


@pytest.mark.parametrize("rate", [1, -0.1, float("nan"), "half", True, None])
def test_rates_that_are_refused(rate: Any) -> None:
    with refused(
        WordError,
        f"Dropout: `rate` (={rate!r}) must be a number of 0 or more and below 1; such as rate=0.1",
    ):
        Dropout(rate)
