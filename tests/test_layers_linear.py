"""Linear against the sum it stands for."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gradients import assert_affine, assert_gradients, integers
from hypothesis import given
from hypothesis import strategies as st
from messages import refused

from convref import ShapeError, WordError, using_backend
from convref.layers.linear import Linear
from convref.summary import Field


@given(
    st.lists(st.integers(0, 4), max_size=3),
    st.integers(1, 70),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_any_linear_map(batch: list[int], features: int, outputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = integers(rng, *batch, features)
    layer = Linear(None, outputs, dtype="float64", rng=rng)
    assert_affine(layer, x, rng)
    w, b = layer.weight.value, layer.bias.value
    assert (w.shape, b.shape) == ((outputs, features), (outputs,))
    y = layer(x)
    np.testing.assert_array_equal(y, np.einsum("...c,kc->...k", x, w) + b)
    assert y.shape == layer.output_shape(x.shape)
    dy = integers(rng, *y.shape)
    np.testing.assert_array_equal(layer.backward(dy), np.einsum("...k,kc->...c", dy, w))
    rows, grads = x.reshape(-1, features), dy.reshape(-1, outputs)
    np.testing.assert_array_equal(layer.weight.grad, np.einsum("mk,mc->kc", grads, rows))
    np.testing.assert_array_equal(layer.bias.grad, grads.sum(0))


@pytest.mark.parametrize("activation", ["relu", None])
def test_gradients(activation: str | None, rng: np.random.Generator) -> None:
    layer = Linear(5, 4, activation=activation, dtype="float64", rng=rng)
    assert_gradients(layer, rng.standard_normal((2, 3, 5)), rng)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.complex64])
def test_computes_in_its_dtype(dtype: Any) -> None:
    layer = Linear(5, 4, dtype=dtype)
    y = layer(np.ones((3, 5), np.int32))
    dx = layer.backward(np.ones(y.shape))
    assert {a.dtype for a in (y, dx, layer.weight.grad, layer.bias.grad)} == {np.dtype(dtype)}


@pytest.mark.numba
@pytest.mark.parametrize("features", [1, 7, 8, 72, 300])
@pytest.mark.parametrize("outputs", [1, 3, 8, 9, 33])
def test_bits_do_not_depend_on_the_batch(
    features: int, outputs: int, rng: np.random.Generator
) -> None:
    """By the compiled kernels; NumPy's matrix products have an order for each shape."""
    x = rng.standard_normal((65, features)).astype(np.float32)
    layer = Linear(features, outputs, rng=rng)
    with using_backend("numba"):
        y = layer(x)
        dx = layer.backward(y)
        for rows in (slice(0, 1), slice(7, 24), slice(64, 65)):
            np.testing.assert_array_equal(layer(x[rows]), y[rows])
            np.testing.assert_array_equal(layer.backward(y[rows]), dx[rows])


def test_a_frozen_layer_and_one_without_bias() -> None:
    frozen, plain = Linear(5, 4, trainable=False), Linear(5, 4, bias=False)
    for layer in (frozen, plain):
        assert layer.backward(layer(np.ones((3, 5)))).shape == (3, 5)
    assert frozen.weight.grad is None
    assert list(plain.parameters()) == ["weight"]


def test_masked_weights(rng: np.random.Generator) -> None:
    mask = rng.integers(0, 2, (4, 5))
    layer = Linear(5, 4, mask=mask, dtype="float64")
    layer.weight.value = integers(rng, 4, 5)
    x = integers(rng, 3, 5)
    y = layer(x)
    np.testing.assert_array_equal(y, np.einsum("mc,kc->mk", x, layer.weight.value * mask))
    layer.backward(y)
    np.testing.assert_array_equal(layer.weight.grad, np.einsum("mk,mc->kc", y, x) * mask)


def test_what_the_summary_tells() -> None:
    layer = Linear(5, 4)
    assert layer.macs((2, 3, 5)) == 2 * 3 * 5 * 4
    field = Field().through((3,), (2,))
    assert layer.field(field) == field


def test_what_is_refused() -> None:
    with refused(WordError, "Linear: there is no word `use_bias`; did you mean 'bias'?"):
        Linear(5, 4, use_bias=False)
    with refused(WordError, "Linear: `out_features` (=0) must be at least 1; use 1 or more"):
        Linear(5, 0)
    with refused(WordError, "Linear: `in_features` (=0) must be at least 1; use 1 or more"):
        Linear(0, 5)
    with refused(
        ShapeError,
        "head: `x` (shape (3, 6)) does not end in the 5 features that the layer takes; give it the "
        "shape (..., 5)",
    ):
        Linear(5, 4, name="head")(np.ones((3, 6)))
    for shape in ((), (3, 0)):
        with refused(
            ShapeError, f"Linear: `x` (shape {shape}) has no features; give it the shape (..., C)"
        ):
            Linear(None, 4)(np.ones(shape))
