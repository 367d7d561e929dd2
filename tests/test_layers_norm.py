"""BatchNorm against the definition in long double, and with numbers that make it exact."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gradients import assert_gradients
from messages import refused
from rounding import gamma, unit_roundoff

from convref import DtypeError, ShapeError, WordError
from convref.layers.norm import BatchNorm

Array = Any
LAYOUTS = ["channels_first", "channels_last"]
SHAPES = [(7, 3), (4, 3, 5), (3, 2, 4, 5), (2, 3, 2, 3, 2)]


def in_layout(x: Array, layout: str) -> Array:
    return np.moveaxis(x, 1, -1) if layout == "channels_last" else x


def trained(layer: BatchNorm, channels: int, rng: np.random.Generator) -> BatchNorm:
    """The layer with a weight and a bias that are not what they were."""
    layer(np.stack([np.zeros(channels), np.ones(channels)]))
    layer.weight.value = rng.standard_normal(channels).astype(layer.dtype)
    layer.bias.value = rng.standard_normal(channels).astype(layer.dtype)
    return layer


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_definition(
    dtype: str, shape: tuple[int, ...], layout: str, training: bool, rng: np.random.Generator
) -> None:
    layer = trained(BatchNorm(shape[1], layout=layout, dtype=dtype), shape[1], rng)
    layer.training = training
    x = rng.normal(2, 3, shape).astype(dtype)
    wide, axes = x.astype(np.longdouble), (0, *range(2, len(shape)))
    broadcast = (-1, *[1] * (len(shape) - 2))
    if training:
        mean, variance = wide.mean(axes).reshape(broadcast), wide.var(axes).reshape(broadcast)
    else:
        mean = layer.running_mean.value.astype(np.longdouble).reshape(broadcast)
        variance = layer.running_variance.value.astype(np.longdouble).reshape(broadcast)
    w, b = (
        parameter.value.astype(np.longdouble).reshape(broadcast)
        for parameter in (layer.weight, layer.bias)
    )
    slope = 1 / np.sqrt(variance + np.longdouble(1e-5))
    y = layer(in_layout(x, layout))
    expected = (wide - mean) * slope * w + b
    # The mean is off by gamma * max|x| at most, which moves every deviation and, relative to the
    # deviations, their root mean square; sums of m terms and a dozen operations do the rest.
    m = np.array(x.size // shape[1])
    slack = gamma(2 * m + 16, unit_roundoff(np.dtype(dtype)))
    off = abs(w) * slope
    deviation = abs(wide - mean)
    bound = slack * (off * abs(wide).max() * (1 + deviation * slope) + off * deviation + abs(b))
    assert y.dtype == dtype
    assert np.all(abs(y - in_layout(expected, layout)) <= in_layout(bound, layout))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients(
    shape: tuple[int, ...], layout: str, training: bool, affine: bool, rng: np.random.Generator
) -> None:
    layer = BatchNorm(shape[1], layout=layout, dtype="float64", affine=affine)
    if affine:
        trained(layer, shape[1], rng)
    layer.training = training
    assert_gradients(layer, in_layout(rng.normal(1, 2, shape), layout), rng)
    assert list(layer.trained()) == ["weight", "bias"] * affine


@pytest.mark.parametrize("layout", LAYOUTS)
def test_running_statistics(layout: str) -> None:
    """Five values a channel, of mean 3 or -1, and of variance 2 or 8."""
    steps = np.arange(-2.0, 3.0)
    x = np.stack([3 + steps, -1 + 2 * steps], 1).reshape(5, 2, 1)
    layer = BatchNorm(2, momentum=0.25, layout=layout)
    layer(in_layout(x, layout))
    mean, variance = layer.running_mean.value, layer.running_variance.value
    assert mean.dtype == variance.dtype == np.float32
    np.testing.assert_array_equal(mean, [0.75, -0.25])
    np.testing.assert_array_equal(variance, [0.75 + 2.5 / 4, 0.75 + 10 / 4])
    layer.training = False
    layer(in_layout(x, layout) + 5)
    assert layer.running_mean.value is mean
    assert layer.running_variance.value is variance


def test_inference_uses_the_running_statistics() -> None:
    layer = BatchNorm(2, epsilon=1.0)
    layer.running_mean.value[:] = 1, 2
    layer.running_variance.value[:] = 3, 15
    layer.training = False
    y = layer([[3.0, 6.0]])
    np.testing.assert_array_equal(y, [[1.0, 1.0]])
    np.testing.assert_array_equal(layer.backward([[8.0, 8.0]]), [[4.0, 2.0]])


def test_backward_goes_back_through_the_last_call(rng: np.random.Generator) -> None:
    """Whatever the mode has become since."""
    x, dy = rng.standard_normal((2, 6, 3))
    layer = BatchNorm(3)
    layer(x)
    expected = layer.backward(dy)
    layer(x)
    layer.training = False
    np.testing.assert_array_equal(layer.backward(dy), expected)


def test_parameters() -> None:
    layer, plain = BatchNorm(), BatchNorm(3, affine=False)
    assert not layer.parameters()
    layer(np.ones((2, 3)))
    names = ["weight", "bias", "running_mean", "running_variance"]
    assert list(layer.parameters()) == names
    assert all(parameter.value.shape == (3,) for parameter in layer.parameters().values())
    assert list(plain.parameters()) == names[2:]
    assert plain.trained() == {}
    frozen = BatchNorm(3, trainable=False)
    frozen.backward(frozen(np.ones((2, 3))))
    assert frozen.weight.grad is None


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_dtypes_are_summed_in_float32(dtype: Any) -> None:
    """The squares, and the sums, are beyond float16."""
    x = np.tile(np.array([[1000.0], [1512.0]]), (200, 1))
    layer = BatchNorm(1, dtype=dtype)
    y = layer(x)
    dx = layer.backward(np.ones(y.shape))
    assert {a.dtype for a in (y, dx, layer.weight.grad, layer.bias.grad)} == {np.dtype(dtype)}
    np.testing.assert_array_equal(y.astype(float), np.tile([[-1.0], [1.0]], (200, 1)))
    assert layer.running_variance.value.dtype == np.float32
    assert layer.bias.grad == 400


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(99, 5), (4, 5, 6, 5)])
def test_bits_do_not_depend_on_the_order_in_memory(
    shape: tuple[int, ...], layout: str, rng: np.random.Generator
) -> None:
    x, dy = rng.standard_normal((2, *shape)).astype(np.float32)
    layer = BatchNorm(5, layout=layout)
    y, dx = layer(x), layer.backward(dy)
    np.testing.assert_array_equal(layer(np.asfortranarray(x)), y)
    np.testing.assert_array_equal(layer.backward(np.asfortranarray(dy)), dx)
    assert y.flags.c_contiguous
    assert dx.flags.c_contiguous


def test_nan_stays_in_its_channel() -> None:
    layer = BatchNorm(2)
    y = layer([[np.inf, 1.0], [1.0, 3.0]])
    np.testing.assert_array_equal(np.isnan(y), [[True, False], [True, False]])


def test_an_empty_batch_outside_training() -> None:
    layer = BatchNorm(2)
    layer.training = False
    assert layer.backward(layer(np.ones((0, 2, 3)))).shape == (0, 2, 3)


REFUSED = {
    "momentum": (
        WordError,
        {"momentum": 1.5},
        "BatchNorm: `momentum` (=1.5) must be a number from 0 to 1; such as momentum=0.1",
    ),
    "epsilon": (
        WordError,
        {"epsilon": 0},
        "BatchNorm: `epsilon` (=0) must be a number above 0; such as epsilon=0.1",
    ),
    "channels": (
        WordError,
        {"channels": 0},
        "BatchNorm: `channels` (=0) must be at least 1; use 1 or more",
    ),
    "layout": (
        WordError,
        {"layout": "last"},
        "BatchNorm: `layout` (='last') is unknown; use one of 'channels_first', 'channels_last'",
    ),
    "a complex dtype": (
        DtypeError,
        {"dtype": "complex64"},
        "BatchNorm: `dtype` (='complex64') is complex, and the variance is one of real numbers; "
        "use float16, bfloat16, float32 or float64",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_are_refused(name: str) -> None:
    kind, words, text = REFUSED[name]
    with refused(kind, text):
        BatchNorm(**words)


def test_inputs_that_are_refused() -> None:
    for shape, count in (((1, 3), 1), ((1, 3, 1, 1), 1), ((0, 3, 4), 0)):
        with refused(
            ShapeError,
            f"norm: `x` (shape {shape}) has {count} values a channel, and the variance of a batch "
            "takes two or more; pass more samples, or set `training` to False to use the running "
            "statistics",
        ):
            BatchNorm(3, name="norm")(np.ones(shape))
    with refused(
        ShapeError,
        "BatchNorm: `x` (shape (2, 4, 3)) has 4 channels, and the layer takes 3; check its axes "
        "against `layout` (='channels_first')",
    ):
        BatchNorm(3)(np.ones((2, 4, 3)))
    with refused(
        ShapeError,
        "BatchNorm: `x` (shape (3,)) has 1 axes, and batch and channels take two; give it the "
        "shape (N, *spatial, C)",
    ):
        BatchNorm(3, layout="channels_last")(np.ones(3))
    with refused(ShapeError, "BatchNorm: `x` (shape (2, 0)) has no channels; give it one or more"):
        BatchNorm()(np.ones((2, 0)))
    with refused(
        DtypeError,
        "BatchNorm: `x` (complex128) is complex, and the variance is one of real numbers; pass the "
        "real and the imaginary part as channels",
    ):
        BatchNorm(3)(np.ones((2, 3), complex))
