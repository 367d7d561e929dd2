"""DepthwiseConv and SeparableConv: what the functions compute, with parameters."""

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

from convref import ShapeError, WordError
from convref.constraints import NonNegative
from convref.layers.depthwise import (
    DepthwiseConv,
    DepthwiseConv1d,
    DepthwiseConv2d,
    DepthwiseConv3d,
    SeparableConv,
    SeparableConv1d,
    SeparableConv2d,
    SeparableConv3d,
)
from convref.regularisers import L2
from convref.summary import Field

KINDS = [DepthwiseConv, SeparableConv]


def made(kind: type[Any], in_channels: int | None, kernel_size: Any, **words: Any) -> Any:
    """A layer; a separable one of 5 output channels."""
    if issubclass(kind, SeparableConv):
        return kind(in_channels, 5, kernel_size, **words)
    return kind(in_channels, kernel_size, **words)


@given(problems(), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_any_depthwise_convolution(problem: Any, multiplier: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, words = problem.x.astype(np.float64), problem.without("groups")
    layer = DepthwiseConv(
        None, problem.kernel, multiplier=multiplier, dtype="float64", rng=rng, **words
    )
    assert_affine(layer, x, rng)
    w, bias = layer.weight.value, layer.bias.value
    assert w.shape == (problem.channels * multiplier, 1, *problem.kernel)
    expected = oracles.forward(x, w, bias, **words, groups=problem.channels)
    np.testing.assert_array_equal(layer(x), expected)
    assert layer.output_shape(x.shape) == expected.shape


@given(problems(), st.integers(1, 2), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_any_separable_convolution(problem: Any, multiplier: int, filters: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, words = problem.x.astype(np.float64), problem.without("groups")
    layer = SeparableConv(
        None, filters, problem.kernel, multiplier=multiplier, dtype="float64", rng=rng, **words
    )
    assert_affine(layer, x, rng)
    assert list(layer.parameters()) == ["depthwise", "weight", "bias"]
    middle = oracles.forward(x, layer.depthwise.value, **words, groups=problem.channels)
    w, bias = layer.weight.value, layer.bias.value
    expected = oracles.forward(middle, w, bias, layout=words["layout"])
    np.testing.assert_array_equal(layer(x), expected)
    assert layer.output_shape(x.shape) == expected.shape


def test_filters_of_a_channel_are_neighbours() -> None:
    """Output channel c*M + m is filter m of channel c."""
    layer = DepthwiseConv1d(2, 1, multiplier=3)
    layer.weight.value = np.arange(1.0, 7.0).reshape(6, 1, 1)
    y = layer([[1.0], [100.0]])
    np.testing.assert_array_equal(y.ravel(), [1, 2, 3, 400, 500, 600])


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize(
    "kind",
    [
        DepthwiseConv1d, DepthwiseConv2d, DepthwiseConv3d,
        SeparableConv1d, SeparableConv2d, SeparableConv3d,
    ],
)  # fmt: skip
def test_gradients_with_everything_switched_on(
    kind: type[Any], activation: str, rng: np.random.Generator
) -> None:
    layer = made(
        kind, 3, 3, multiplier=2, stride=2, padding="same", activation=activation, dtype="float64",
        bias_initialiser="ones", rng=rng,
    )  # fmt: skip
    assert_gradients(layer, rng.standard_normal((2, 3, *[5] * layer.rank)), rng)


@pytest.mark.parametrize("kind", [DepthwiseConv1d, SeparableConv1d])
def test_channels_of_the_first_input(kind: type[Any]) -> None:
    first, last = made(kind, None, 3), made(kind, None, 3, layout="channels_last")
    assert not first.parameters()
    y = first(np.ones((2, 4, 7)))
    z = last(np.ones((2, 7, 4)))
    assert y.shape == (2, len(first.bias.value), 5)
    assert z.shape == (2, 5, len(last.bias.value))
    with refused(
        ShapeError,
        f"{kind.__name__}: `x` (shape (2, 6, 7)) has 6 channels, and the layer takes 4; check its "
        "axes against `layout` (='channels_first')",
    ):
        first(np.ones((2, 6, 7)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [(), (0,), (3,), (2, 3)])
def test_any_batch_axes(kind: type[Any], batch: tuple[int, ...]) -> None:
    layer = made(kind, 3, (3, 3))
    x = np.ones((*batch, 3, 6, 6))
    y = layer(x)
    assert y.shape == layer.output_shape(x.shape) == (*batch, len(layer.bias.value), 4, 4)
    assert layer.backward(y).shape == x.shape


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.complex64])
def test_computes_in_its_dtype(kind: type[Any], dtype: Any) -> None:
    layer = made(kind, 3, (3, 3), dtype=dtype)
    y = layer(np.ones((1, 3, 6, 6), np.int32))
    dx = layer.backward(np.ones(y.shape))
    held = layer.parameters().values()
    arrays = (y, dx, *(p.value for p in held), *(p.grad for p in held))
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bias_is_optional(kind: type[Any]) -> None:
    layer = made(kind, 3, (3,), bias=False)
    assert layer.bias is None
    assert "bias" not in layer.parameters()
    layer.backward(layer(np.ones((1, 3, 6))))


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_layers_take_no_gradients(kind: type[Any]) -> None:
    layer = made(kind, 3, (3,), trainable=False)
    x = np.ones((1, 3, 6))
    assert layer.backward(layer(x)).shape == x.shape
    assert all(parameter.grad is None for parameter in layer.parameters().values())


def test_masked_depthwise_weights(rng: np.random.Generator) -> None:
    mask = rng.integers(0, 2, (6, 1, 3))
    layer = DepthwiseConv1d(3, 3, multiplier=2, mask=mask, dtype="float64")
    layer.weight.value = integers(rng, 6, 1, 3)
    x, dy = integers(rng, 2, 3, 7), integers(rng, 2, 6, 5)
    expected = oracles.forward(x, layer.weight.value * mask, groups=3)
    np.testing.assert_array_equal(layer(x), expected)
    dx = layer.backward(dy)
    expected = oracles.weight_grad(x, dy, (3,), groups=3) * mask
    np.testing.assert_array_equal(layer.weight.grad, expected)
    expected = oracles.input_grad(dy, layer.weight.value * mask, (7,), groups=3)
    np.testing.assert_array_equal(dx, expected)


def test_a_mask_of_a_separable_convolution_is_of_the_pointwise_weights(
    rng: np.random.Generator,
) -> None:
    mask = rng.integers(0, 2, (5, 3, 1))
    layer = SeparableConv1d(3, 5, 3, mask=mask, dtype="float64")
    layer.weight.value, layer.depthwise.value = integers(rng, 5, 3, 1), integers(rng, 3, 1, 3)
    x = integers(rng, 2, 3, 7)
    middle = oracles.forward(x, layer.depthwise.value, groups=3)
    expected = oracles.forward(middle, layer.weight.value * mask)
    np.testing.assert_array_equal(layer(x), expected)
    layer.backward(integers(rng, 2, 5, 5))
    assert not layer.weight.grad[mask == 0].any()


def test_each_step_of_a_separable_convolution_has_settings_of_its_own() -> None:
    layer = SeparableConv1d(
        3, 5, 2, depthwise_initialiser="ones", weight_initialiser="zeros", bias_initialiser="ones",
        depthwise_regulariser=L2(0.5), depthwise_constraint="non_negative", weight_regulariser=None,
        dtype="float64",
    )  # fmt: skip
    assert layer.depthwise.value.all()
    assert not layer.weight.value.any()
    assert layer.depthwise.constraint == NonNegative()
    assert layer.weight.constraint is None
    assert layer.penalty() == 0.5 * 3 * 2
    layer.backward(np.zeros_like(layer(np.ones((1, 3, 6)))))
    np.testing.assert_array_equal(layer.depthwise.grad, np.ones((3, 1, 2)))
    np.testing.assert_array_equal(layer.weight.grad, np.zeros((5, 3, 1)))


def test_macs_are_those_of_the_definition() -> None:
    shape = (5, 3, 9, 8)
    depthwise = DepthwiseConv2d(3, (3, 2), multiplier=2, stride=2)
    assert depthwise.macs(shape) == 5 * 6 * (4 * 4) * (3 * 2)
    separable = SeparableConv2d(3, 7, (3, 2), multiplier=2, stride=2)
    assert separable.macs(shape) == 5 * (4 * 4) * (6 * (3 * 2) + 7 * 6)


@pytest.mark.parametrize("kind", KINDS)
def test_field_is_that_of_the_depthwise_step(kind: type[Any]) -> None:
    field = made(kind, 3, (3, 2), stride=(1, 2), dilation=2).field(Field())
    assert field == ((4, 2), (1, 2))


REFUSED = {
    "groups": (
        {"groups": 3},
        "`groups` is always the number of channels here; leave the word out",
    ),
    "the name that Keras has": (
        {"depth_multiplier": 2},
        "there is no word `depth_multiplier`; did you mean 'multiplier'?",
    ),
    "no filters": ({"multiplier": 0}, "`multiplier` (=0) must be at least 1; use 1 or more"),
    "filters in fractions": (
        {"multiplier": 1.5},
        "`multiplier` (=1.5) must be made of integers; such as multiplier=1",
    ),
    "a padding": (
        {"padding": "full"},
        "`padding` (='full') is not a padding word; use one of 'valid', 'same', 'same_lower', "
        "'causal', an int, or one int or pair per axis",
    ),
}


@pytest.mark.parametrize("kind", [DepthwiseConv2d, SeparableConv2d])
@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_are_refused(kind: type[Any], name: str) -> None:
    words, text = REFUSED[name]
    with refused(WordError, f"{kind.__name__}: {text}"):
        made(kind, 3, 3, **words)


def test_channels_that_are_refused() -> None:
    with refused(
        WordError, "DepthwiseConv2d: `in_channels` (=0) must be at least 1; use 1 or more"
    ):
        DepthwiseConv2d(0, 3)
    with refused(
        WordError, "SeparableConv2d: `out_channels` (=0) must be at least 1; use 1 or more"
    ):
        SeparableConv2d(3, 0, 3)
    with refused(
        WordError, "DepthwiseConv2d: `in_channels` (=0) must be at least 1; use 1 or more"
    ):
        DepthwiseConv2d(None, 3)(np.ones((2, 0, 5, 5)))
    with refused(
        WordError,
        "SeparableConv2d: `depthwise_regulariser` (='l22') is unknown; did you mean 'l2'?",
    ):
        SeparableConv2d(3, 5, 3, depthwise_regulariser="l22")
