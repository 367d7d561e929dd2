"""Conv: what convref.conv computes, with parameters, an activation, penalties and gradients."""

from typing import Any

import ml_dtypes
import numpy as np
import oracles
import pytest
from gradients import assert_affine, assert_gradients, integers
from hypothesis import given
from hypothesis import strategies as st
from messages import refused
from strategies import problems

from convref import DtypeError, ShapeError, WordError
from convref.layers import Conv, Conv1d, Conv2d, Conv3d
from convref.regularisers import L2


@given(problems(), st.integers(0, 2**32 - 1))
def test_any_convolution(problem: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = problem.x.astype(np.float64)
    layer = Conv(None, len(problem.w), problem.kernel, dtype="float64", rng=rng, **problem.words)
    assert_affine(layer, x, rng)
    expected = oracles.forward(x, layer.weight.value, layer.bias.value, **problem.words)
    np.testing.assert_array_equal(layer(x), expected)
    assert layer.output_shape(x.shape) == problem.dy.shape


@pytest.mark.parametrize("activation", ["relu", None])
@pytest.mark.parametrize("kind", [Conv1d, Conv2d, Conv3d])
def test_gradients_with_everything_switched_on(
    kind: type[Conv], activation: str | None, rng: np.random.Generator
) -> None:
    layer = kind(
        4, 6, 3, stride=2, padding="same", groups=2, activation=activation, dtype="float64",
        rng=rng,
    )  # fmt: skip
    assert_gradients(layer, rng.standard_normal((2, 4, *[5] * layer.rank)), rng)


def test_rank_comes_from_the_class_or_from_the_kernel() -> None:
    assert Conv2d(1, 1, 3).weight.value.shape == (1, 1, 3, 3)
    assert Conv(1, 1, (2, 3, 4, 5)).weight.value.shape == (1, 1, 2, 3, 4, 5)


def test_channels_of_the_first_input() -> None:
    first, last = Conv1d(None, 4, 3), Conv1d(None, 4, 3, layout="channels_last")
    assert not first.parameters()
    first(np.ones((2, 5, 7)))
    last(np.ones((2, 7, 5)))
    assert first.weight.value.shape == last.weight.value.shape == (4, 5, 3)
    with pytest.raises(ShapeError, match="takes 5 input channels"):
        first(np.ones((2, 6, 7)))


@pytest.mark.parametrize("batch", [(), (0,), (3,), (2, 3)])
def test_any_batch_axes(batch: tuple[int, ...]) -> None:
    layer = Conv2d(3, 5, 3)
    y = layer(np.ones((*batch, 3, 6, 6)))
    assert y.shape == (*batch, 5, 4, 4)
    assert layer.backward(y).shape == (*batch, 3, 6, 6)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.complex64])
def test_computes_in_its_dtype(dtype: Any) -> None:
    layer = Conv2d(3, 5, 3, dtype=dtype)
    y = layer(np.ones((1, 3, 6, 6), np.int32))
    dx = layer.backward(np.ones(y.shape))
    assert {a.dtype for a in (y, dx, layer.weight.value, layer.weight.grad)} == {np.dtype(dtype)}
    assert layer.bias.grad.dtype == dtype


def test_a_bias_is_optional() -> None:
    layer = Conv2d(3, 5, 3, bias=False)
    assert layer.bias is None
    assert list(layer.parameters()) == ["weight"]
    layer.backward(layer(np.ones((1, 3, 6, 6))))


def test_masked_weights_are_zero_and_stay_so(rng: np.random.Generator) -> None:
    mask = rng.integers(0, 2, (5, 3, 3, 3))
    layer = Conv2d(3, 5, 3, mask=mask, dtype="float64")
    layer.weight.value = integers(rng, 5, 3, 3, 3)
    x, dy = integers(rng, 2, 3, 6, 6), integers(rng, 2, 5, 4, 4)
    expected = oracles.forward(x, layer.weight.value * mask, layer.bias.value)
    np.testing.assert_array_equal(layer(x), expected)
    layer.backward(dy)
    expected = oracles.weight_grad(x, dy, (3, 3)) * mask
    np.testing.assert_array_equal(layer.weight.grad, expected)


def test_penalties_and_their_gradients(rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 3, 6, 6))
    plain = Conv2d(3, 5, 3, dtype="float64", rng=1)
    layer = Conv2d(
        3, 5, 3, dtype="float64", rng=1, weight_regulariser=L2(0.5), bias_regulariser=L2(0.25),
        activity_regulariser=L2(0.125),
    )  # fmt: skip
    y = layer(x)
    np.testing.assert_array_equal(y, plain(x))
    w, b = layer.weight.value, layer.bias.value
    penalty = 0.5 * np.sum(w * w) + 0.25 * np.sum(b * b) + 0.125 * np.sum(y * y) / 4
    assert layer.penalty() == pytest.approx(penalty, rel=1e-14)

    dy = rng.standard_normal(y.shape)
    dx = layer.backward(dy)
    np.testing.assert_array_equal(dx, plain.backward(dy + 0.25 * y / 4))
    np.testing.assert_array_equal(layer.weight.grad, plain.weight.grad + w)
    np.testing.assert_array_equal(layer.bias.grad, plain.bias.grad + 0.5 * b)


def test_frozen_layers_take_no_gradients() -> None:
    layer = Conv2d(3, 5, 3, trainable=False)
    dx = layer.backward(layer(np.ones((1, 3, 6, 6))))
    assert dx.shape == (1, 3, 6, 6)
    assert layer.weight.grad is None
    assert layer.trained() == {}


def test_seeds() -> None:
    weights = [Conv2d(3, 5, 3, rng=seed).weight.value for seed in (0, 0, 1)]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
    rng = np.random.default_rng(0)
    assert np.array_equal(Conv2d(3, 5, 3, rng=rng).weight.value, weights[0])
    assert not np.array_equal(Conv2d(3, 5, 3, rng=rng).weight.value, weights[0])


def test_macs_are_those_of_the_definition() -> None:
    layer = Conv2d(4, 6, (3, 2), stride=2, groups=2)
    assert layer.macs((5, 4, 9, 8)) == 5 * 6 * (4 * 4) * (2 * 3 * 2)


REFUSED = {
    "a seed that is none": (
        WordError,
        {"rng": "a"},
        "Conv2d: `rng` (='a') is neither a generator nor a seed; such as rng=0",
    ),
    "a word that is another's": (
        WordError,
        {"strides": 2},
        "Conv2d: there is no word `strides`; did you mean 'stride'?",
    ),
    "an unknown activation": (
        WordError,
        {"activation": "rellu"},
        "Conv2d: `activation` (='rellu') is unknown; did you mean 'relu'?",
    ),
    "groups": (
        WordError,
        {"groups": 4},
        "Conv2d: `groups` (=4) must divide `out_channels` (=6); use 1, 2, 3 or 6",
    ),
    "groups of the input": (
        WordError,
        {"groups": 2},
        "Conv2d: `groups` (=2) must divide `in_channels` (=3); use 1 or 3",
    ),
    "an integer dtype": (
        DtypeError,
        {"dtype": "int32"},
        "Conv2d: `dtype` (='int32') is not one that weights can have; use float16, bfloat16, "
        "float32, float64, complex64 or complex128",
    ),
    "a mask of another shape": (
        ShapeError,
        {"mask": np.ones(7)},
        "Conv2d: `mask` (shape (7,)) does not broadcast to the weights (shape (6, 3, 3, 3)); "
        "give it the shape of the weights",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_are_refused(name: str) -> None:
    kind, words, text = REFUSED[name]
    with refused(kind, text):
        Conv2d(3, 6, 3, **words)


def test_calls_that_are_refused() -> None:
    layer = Conv2d(3, 6, 3, name="stem")
    with refused(WordError, "stem: backward comes after a call of the layer; call layer(x) first"):
        layer.backward(np.ones((1, 6, 4, 4)))
    layer(np.ones((1, 3, 6, 6)))
    with refused(
        ShapeError,
        "stem: `dy` has shape (6, 4, 4), and the last output had (1, 6, 4, 4); pass the gradient "
        "of the loss with respect to that output",
    ):
        layer.backward(np.ones((6, 4, 4)))
    with refused(
        DtypeError,
        "stem: `x` (complex128) can't go through a layer of float32; give the layer a complex "
        "dtype",
    ):
        layer(np.ones((1, 3, 6, 6), complex))
