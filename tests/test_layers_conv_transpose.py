"""ConvTranspose: the input gradient of a convolution used forward, with parameters."""

from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import oracles
import pytest
from gradients import assert_affine, assert_gradients, integers
from hypothesis import assume, given
from hypothesis import strategies as st
from messages import refused
from strategies import problems

from convref import DtypeError, ShapeError, WordError
from convref.layers.conv import Conv1d
from convref.layers.conv_transpose import (
    ConvTranspose,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from convref.regularisers import L2
from convref.summary import Field


@given(problems(modes=("zeros",), spread_out=False), st.integers(0, 2**32 - 1))
def test_any_transposed_convolution(problem: Any, seed: int) -> None:
    """What the problem has as dy is the input here, and its input size the output size."""
    assume(min(problem.input_size) > 0)
    rng = np.random.default_rng(seed)
    x, words = problem.dy.astype(np.float64), problem.without("input_dilation", "padding_mode")
    layer = ConvTranspose(
        None, problem.channels, problem.kernel, output_size=problem.input_size, dtype="float64",
        rng=rng, **words,
    )  # fmt: skip
    assert_affine(layer, x, rng)
    assert layer.output_shape(x.shape) == problem.x.shape

    y, w, bias = layer(x), layer.weight.value, layer.bias.value
    last = words["layout"] == "channels_last"
    by_channel = bias if last else bias.reshape(-1, *[1] * problem.rank)
    expected = oracles.input_grad(x, w, problem.input_size, **words) + by_channel
    np.testing.assert_array_equal(y, expected)
    dy = integers(rng, *y.shape)
    np.testing.assert_array_equal(layer.backward(dy), oracles.forward(dy, w, **words))
    expected = oracles.weight_grad(dy, x, problem.kernel, **words)
    np.testing.assert_array_equal(layer.weight.grad, expected)
    summed = (*range(len(problem.batch)), *range(-problem.rank, 0))
    expected = problem.channels_first(dy).sum(summed)
    np.testing.assert_array_equal(layer.bias.grad, expected)


@pytest.mark.parametrize("activation", ["relu", "tanh", None])
@pytest.mark.parametrize("kind", [ConvTranspose1d, ConvTranspose2d, ConvTranspose3d])
def test_gradients_with_everything_switched_on(
    kind: type[ConvTranspose], activation: str | None, rng: np.random.Generator
) -> None:
    layer = kind(
        4, 6, 3, stride=2, padding=1, output_padding=1, dilation=2, groups=2,
        activation=activation, bias_initialiser="ones", dtype="float64", rng=rng,
    )  # fmt: skip
    assert_gradients(layer, rng.standard_normal((2, 4, *[3] * layer.rank)), rng)


@pytest.mark.parametrize("more", [0, 1, 2])
def test_output_padding_and_output_size_choose_the_same(more: int) -> None:
    padded = ConvTranspose2d(2, 3, 3, stride=3, output_padding=(0, more), rng=0)
    named = ConvTranspose2d(2, 3, 3, stride=3, output_size=(12, 12 + more), rng=0)
    x = np.arange(32.0).reshape(1, 2, 4, 4)
    np.testing.assert_array_equal(padded(x), named(x))
    assert named.output_shape(x.shape) == named(x).shape == (1, 3, 12, 12 + more)


def test_it_undoes_the_shape_of_the_convolution() -> None:
    x = np.ones((2, 3, 11))
    for words in ({"padding": "same"}, {"padding": "causal"}, {"padding": [(2, -1)]}):
        down = Conv1d(3, 5, 4, stride=3, **words)
        up = ConvTranspose1d(5, 3, 4, stride=3, output_size=11, **words)
        assert up(down(x)).shape == x.shape


def test_rank_comes_from_the_class_or_from_the_kernel() -> None:
    assert ConvTranspose2d(2, 1, 3).weight.value.shape == (2, 1, 3, 3)
    assert ConvTranspose(4, 6, (2, 3, 4, 5), groups=2).weight.value.shape == (4, 3, 2, 3, 4, 5)


def test_channels_of_the_first_input() -> None:
    first, last = ConvTranspose1d(None, 4, 3), ConvTranspose1d(None, 4, 3, layout="channels_last")
    assert not first.parameters()
    first(np.ones((2, 5, 7)))
    last(np.ones((2, 7, 5)))
    assert first.weight.value.shape == last.weight.value.shape == (5, 4, 3)


@pytest.mark.parametrize("batch", [(), (0,), (3,), (2, 3)])
def test_any_batch_axes(batch: tuple[int, ...]) -> None:
    layer = ConvTranspose2d(3, 5, 3)
    y = layer(np.ones((*batch, 3, 6, 6)))
    assert y.shape == (*batch, 5, 8, 8)
    assert layer.backward(y).shape == (*batch, 3, 6, 6)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.complex64])
def test_computes_in_its_dtype(dtype: Any) -> None:
    layer = ConvTranspose2d(3, 5, 3, dtype=dtype)
    y = layer(np.ones((1, 3, 6, 6), np.int32))
    dx = layer.backward(np.ones(y.shape))
    grads = (layer.weight.grad, layer.bias.grad)
    assert {a.dtype for a in (y, dx, layer.weight.value, *grads)} == {np.dtype(dtype)}


def test_a_bias_is_optional() -> None:
    layer = ConvTranspose2d(3, 5, 3, bias=False)
    assert list(layer.parameters()) == ["weight"]
    layer.backward(layer(np.ones((1, 3, 6, 6))))


def test_masked_weights_are_zero_and_stay_so(rng: np.random.Generator) -> None:
    mask = rng.integers(0, 2, (3, 5, 3, 3))
    layer = ConvTranspose2d(3, 5, 3, mask=mask, dtype="float64")
    layer.weight.value = integers(rng, 3, 5, 3, 3)
    x, dy = integers(rng, 2, 3, 4, 4), integers(rng, 2, 5, 6, 6)
    expected = oracles.input_grad(x, layer.weight.value * mask, (6, 6))
    np.testing.assert_array_equal(layer(x), expected)
    layer.backward(dy)
    expected = oracles.weight_grad(dy, x, (3, 3)) * mask
    np.testing.assert_array_equal(layer.weight.grad, expected)


def test_penalties() -> None:
    layer = ConvTranspose1d(2, 3, 3, weight_regulariser=L2(0.5), bias_initialiser="ones", rng=0)
    layer.backward(np.zeros_like(layer(np.zeros((1, 2, 4)))))
    np.testing.assert_array_equal(layer.weight.grad, layer.weight.value)
    assert not layer.bias.grad.any()


def test_frozen_layers_take_no_gradients() -> None:
    layer = ConvTranspose2d(3, 5, 3, trainable=False)
    dx = layer.backward(layer(np.ones((1, 3, 6, 6))))
    assert dx.shape == (1, 3, 6, 6)
    assert layer.weight.grad is None
    assert layer.trained() == {}


def test_macs_are_those_of_the_definition() -> None:
    """Each input position meets each tap."""
    layer = ConvTranspose2d(4, 6, (3, 2), stride=2, groups=2)
    assert layer.macs((5, 4, 9, 8)) == 5 * 4 * (9 * 8) * (3 * 3 * 2)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7])
def test_field_is_what_an_output_sees(kernel: int, stride: int) -> None:
    layer = ConvTranspose1d(1, 1, kernel, stride=stride, weight_initialiser="ones", rng=0)
    y = layer(np.zeros((1, 1, 9)))
    seen = []
    for position in range(y.size):
        dx = layer.backward(np.eye(y.size)[position].reshape(y.shape))
        seen.append(np.count_nonzero(dx))
    field = layer.field(Field())
    assert field.size == (max(seen),)
    assert field.steps == (Fraction(1, stride),)


def test_field_with_dilation_after_a_convolution() -> None:
    """Windows of 5 in steps of 2, then of 7 in steps of 2/2."""
    field = Conv1d(1, 1, 5, stride=2).field(Field())
    field = ConvTranspose1d(1, 1, 4, stride=2, dilation=2).field(field)
    assert field == ((Fraction(4 + 6),), (Fraction(1),))


REFUSED = {
    "both ways to choose a size": (
        WordError,
        {"stride": 2, "output_padding": 1, "output_size": 5},
        "ConvTranspose2d: `output_padding` (=1) and `output_size` (=5) both choose the output "
        "size; give one of them",
    ),
    "too much output padding": (
        WordError,
        {"stride": 2, "output_padding": 2},
        "ConvTranspose2d: `output_padding` (=2) must be smaller than `stride` (=(2, 2)); only "
        "`stride` output sizes share one input size",
    ),
    "an output size of another rank": (
        WordError,
        {"output_size": (1, 2, 3)},
        "ConvTranspose2d: `output_size` (=(1, 2, 3)) has 3 entries, and there are 2 spatial axes; "
        "give one integer, or 2 of them",
    ),
    "a word of Conv": (
        WordError,
        {"input_dilation": 2},
        "ConvTranspose2d: there is no word `input_dilation`; did you mean 'dilation'?",
    ),
    "groups": (
        WordError,
        {"groups": 4},
        "ConvTranspose2d: `groups` (=4) must divide `out_channels` (=6); use 1, 2, 3 or 6",
    ),
    "groups of the input": (
        WordError,
        {"groups": 2},
        "ConvTranspose2d: `groups` (=2) must divide `in_channels` (=3); use 1 or 3",
    ),
    "a mask of another shape": (
        ShapeError,
        {"mask": np.ones(7)},
        "ConvTranspose2d: `mask` (shape (7,)) does not broadcast to the weights (shape (3, 6, 3, "
        "3)); give it the shape of the weights",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_are_refused(name: str) -> None:
    kind, words, text = REFUSED[name]
    with refused(kind, text):
        ConvTranspose2d(3, 6, 3, **words)


def test_calls_that_are_refused() -> None:
    layer = ConvTranspose2d(3, 6, 3, stride=2, output_size=8, name="up")
    with refused(
        ShapeError,
        "up: `w` (shape (3, 6, 3, 3)) takes 3 input channels, and `x` (shape (1, 4, 3, 3)) has 4; "
        "transposed weights have the shape (C_in, C_out/groups, *kernel)",
    ):
        layer(np.ones((1, 4, 3, 3)))
    with refused(
        ShapeError,
        "up: `output_size` 8 along spatial axis 1 does not convolve back to the 4 positions of "
        "`x`; use 9 to 10",
    ):
        layer(np.ones((1, 3, 3, 4)))
    with refused(
        ShapeError, "up: `x` is empty along a spatial axis (sizes (0, 3)); give it positions"
    ):
        layer(np.ones((1, 3, 0, 3)))
    with refused(
        ShapeError,
        "up: `x` (shape (3, 3)) has 2 axes, and 2 spatial axes take at least 3; give it the shape "
        "(..., C, *spatial)",
    ):
        layer(np.ones((3, 3)))
    with refused(
        DtypeError,
        "up: `x` (complex128) can't go through a layer of float32; give the layer a complex dtype",
    ):
        layer(np.ones((1, 3, 3, 3), complex))
    with refused(
        ShapeError,
        "ConvTranspose1d: the output would be empty along spatial axis 0 (size -1); use less "
        "padding or a larger kernel",
    ):
        ConvTranspose1d(1, 1, 1, padding=1)(np.ones((1, 1, 1)))
