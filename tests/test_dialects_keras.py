"""The dialect of Keras, where Keras is not installed: documents, words, weights, refusals."""

import inspect
import json
from typing import Any

import numpy as np
import oracles
import pytest
from gradients import assert_affine, assert_gradients, integers
from messages import refused

from convref import DtypeError, ShapeError, WordError, layers
from convref.constraints import MaxNorm, MinMaxNorm, NonNegative, UnitNorm
from convref.dialects import keras
from convref.dialects.keras.words import KindError
from convref.errors import ConvrefError
from convref.initialisers import (
    Constant,
    Normal,
    Ones,
    Orthogonal,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
)  # fmt: skip
from convref.regularisers import L1, L1L2, L2

Array = Any


@pytest.fixture(autouse=True)
def session() -> None:
    keras.clear_session()
    keras.set_random_seed(0)


# Documents


def test_documented_examples() -> None:
    x = np.ones((4, 10, 128))
    assert keras.Conv1D(32, 3, activation="relu", input_shape=x.shape[1:])(x).shape == (4, 8, 32)
    x = np.ones((4, 7, 10, 128))
    layer = keras.Conv1D(32, 3, activation="relu", input_shape=x.shape[2:])
    assert layer(x).shape == (4, 7, 8, 32)
    assert layer.backward(np.ones((4, 7, 8, 32))).shape == x.shape
    x = np.arange(12).reshape(2, 2, 1, 3)
    doubled = [[[0, 1, 2], [0, 1, 2]], [[3, 4, 5], [3, 4, 5]]]
    assert keras.UpSampling2D(size=(1, 2))(x)[0].tolist() == doubled
    assert keras.Cropping1D(cropping=1)(x[:, :, 0][:, [0, 1, 0]])[:, :, 0].tolist() == [[3], [9]]
    padded = keras.ZeroPadding1D(padding=2)(x[:, :, 0])
    assert padded[1, :, 0].tolist() == [0, 0, 6, 9, 0, 0]
    assert keras.Cropping2D(((2, 2), (4, 4)))(np.ones((2, 28, 28, 3))).shape == (2, 24, 20, 3)
    assert keras.Cropping3D((2, 4, 2))(np.ones((2, 28, 28, 10, 3))).shape == (2, 24, 20, 6, 3)
    assert keras.ZeroPadding3D(2)(np.ones((1, 1, 2, 2, 3))).shape == (1, 5, 6, 6, 3)


def test_the_model_of_the_documents() -> None:
    model = keras.Sequential([keras.Conv2D(8, 3, strides=2, input_shape=(128, 128, 3))])
    assert model.input_shape == (None, 128, 128, 3)
    assert [w.shape for w in model.get_weights()] == [(3, 3, 3, 8), (8,)]
    assert model.compute_output_shape((None, 128, 128, 3)) == (None, 63, 63, 8)


# Convolutions


def kernels(layer: Any, rng: np.random.Generator) -> list[Array]:
    """Small integers as weights, in Keras's layout."""
    weights = [integers(rng, *w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    return weights


@pytest.mark.parametrize("last", [True, False])
def test_kernels_have_the_filters_last(last: bool, rng: np.random.Generator) -> None:
    form = "channels_last" if last else "channels_first"
    layer = keras.Conv2D(6, (3, 2), 2, "same", form, groups=2, dtype="float64")
    x = integers(rng, 2, 4, 7, 5)
    layer(np.moveaxis(x, 1, -1) if last else x)
    kernel, bias = kernels(layer, rng)
    assert kernel.shape == (3, 2, 2, 6)
    y = layer(np.moveaxis(x, 1, -1) if last else x)
    expected = oracles.forward(
        x, kernel.transpose(3, 2, 0, 1), bias, stride=2, padding="same", groups=2
    )
    np.testing.assert_array_equal(np.moveaxis(y, -1, 1) if last else y, expected)
    assert_affine(layer, integers(rng, *(2, 7, 5, 4) if last else x.shape), rng)


def test_depthwise_and_separable_kernels(rng: np.random.Generator) -> None:
    x = integers(rng, 2, 5, 6, 3)
    depthwise = keras.DepthwiseConv2D(3, depth_multiplier=2, dtype="float64")
    separable = keras.SeparableConv2D(4, 3, depth_multiplier=2, dtype="float64")
    depthwise(x)
    separable(x)
    kernel, bias = kernels(depthwise, rng)
    assert kernel.shape == (3, 3, 3, 2)
    for channel in range(3):
        for m in range(2):
            one = oracles.forward(
                np.moveaxis(x[..., channel : channel + 1], -1, 1),
                kernel[None, None, :, :, channel, m], bias[None, 2 * channel + m],
            )  # fmt: skip
            np.testing.assert_array_equal(depthwise(x)[..., 2 * channel + m], one[:, 0])
    first, second, bias = kernels(separable, rng)
    assert (first.shape, second.shape) == ((3, 3, 3, 2), (1, 1, 6, 4))
    depthwise.set_weights([first, np.zeros(6)])
    np.testing.assert_array_equal(separable(x), depthwise(x) @ second[0, 0] + bias)


SIZES = [
    # kernel, strides, padding, output_padding, dilation -> the output of 4 positions
    (2, 3, "valid", None, 1, 12), (5, 3, "valid", None, 1, 14), (2, 3, "valid", 0, 1, 11),
    (2, 3, "valid", 2, 1, 13), (2, 3, "same", None, 1, 12), (5, 3, "SAME", None, 1, 12),
    (5, 3, "same", 2, 1, 12), (4, 3, "same", 2, 1, 11), (2, 3, "same", 1, 1, 10),
    (3, 1, "valid", None, 2, 8), (3, 1, "same", None, 2, 4),
]  # fmt: skip


@pytest.mark.parametrize("case", SIZES, ids=str)
def test_transposed_sizes(case: Any, rng: np.random.Generator) -> None:
    """What Keras 3.15 gives, and the exact transpose of it."""
    kernel, strides, padding, extra, dilation, size = case
    layer = keras.Conv1DTranspose(
        2, kernel, strides, padding, extra, dilation_rate=dilation, dtype="float64"
    )
    x = integers(rng, 2, 4, 3)
    assert layer(x).shape == (2, size, 2) == layer.compute_output_shape((2, 4, 3))
    assert layer.kernel.shape == (kernel, 2, 3)
    assert_affine(layer, x, rng)


def test_transposed_kernels_smaller_than_strides_leave_the_bias() -> None:
    layer = keras.Conv1DTranspose(1, 1, 3, bias_initializer="ones", kernel_initializer="ones")
    assert layer([[[5], [6]]]).ravel().tolist() == [6, 1, 1, 7, 1, 1]


def test_one_class_has_another_order() -> None:
    layer = keras.Conv3DTranspose(2, 3, 2, "same", "channels_first", 1)
    config = layer.get_config()
    assert (config["data_format"], config["output_padding"]) == ("channels_first", (1, 1, 1))
    layer = keras.Conv2DTranspose(2, 3, 2, "same", 1, "channels_first", name="up")
    config = layer.get_config()
    assert (config["data_format"], config["output_padding"]) == ("channels_first", (1, 1))
    assert config["name"] == "up"


@pytest.mark.parametrize("batch", [(3,), (0,), (2, 3)])
def test_batch_axes(batch: Any) -> None:
    for layer in (
        keras.Conv2D(4, 3), keras.Conv2DTranspose(4, 3), keras.DepthwiseConv2D(3),
        keras.SeparableConv2D(4, 3),
    ):  # fmt: skip
        y = layer(np.ones((*batch, 5, 5, 4)))
        assert y.shape[: len(batch)] == batch
        assert layer.backward(y).shape == (*batch, 5, 5, 4)


FAMILIES = {
    "Conv1D": lambda **words: keras.Conv1D(3, 2, **words),
    "Conv2DTranspose": lambda **words: keras.Conv2DTranspose(3, 2, strides=3, **words),
    "DepthwiseConv2D": lambda **words: keras.DepthwiseConv2D(2, depth_multiplier=2, **words),
    "SeparableConv1D": lambda **words: keras.SeparableConv1D(3, 2, **words),
    "ConvLSTM1D": lambda **words: keras.ConvLSTM1D(2, 2, return_sequences=True, **words),
}
SHAPES = {
    "Conv1D": (2, 5, 4), "Conv2DTranspose": (2, 3, 2, 4), "DepthwiseConv2D": (2, 3, 4, 2),
    "SeparableConv1D": (2, 5, 4), "ConvLSTM1D": (2, 3, 4, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients(name: str, rng: np.random.Generator) -> None:
    layer = FAMILIES[name](
        dtype="float64", activation="tanh", activity_regularizer=None, bias_initializer="normal"
    )
    assert_gradients(layer, rng.standard_normal(SHAPES[name]), rng)


# What every layer takes


@pytest.mark.parametrize("name", FAMILIES)
def test_shared_words(name: str, rng: np.random.Generator) -> None:
    make, shape = FAMILIES[name], SHAPES[name]
    x = rng.standard_normal(shape)
    plain = make(use_bias=False)
    plain.build(shape)
    assert plain.bias is None
    weights = [rng.standard_normal(w.shape) for w in plain.get_weights()]
    told = make(
        use_bias=False, weights=weights, dtype="float64", name="told", trainable=False,
        activity_regularizer=L2(0.5), activation="linear",
    )  # fmt: skip
    y = told(x)
    assert y.dtype == np.float64
    for given, found in zip(weights, told.get_weights(), strict=True):
        np.testing.assert_array_equal(given, found)
    assert (told.name, told.trainable, told.trained()) == ("told", False, {})
    assert told.penalty() == pytest.approx(0.5 * np.sum(y * y) / len(y), rel=1e-12)
    assert told.losses == [told.penalty()]
    assert told.trainable_weights == []
    assert len(told.non_trainable_weights) == len(weights)
    told.trainable = True
    assert len(told.trainable_weights) == len(weights)
    told.backward(np.ones_like(y))
    for variable in told.weights:
        assert variable.grad.shape == variable.shape == variable.numpy().shape
        assert variable.dtype == np.float64
        assert variable.trainable


@pytest.mark.parametrize("name", FAMILIES)
def test_batch_sizes(name: str) -> None:
    """A fixed batch is held to; a lone layer does not care for the other sizes."""
    x = np.ones(SHAPES[name])
    for words in (
        {"batch_input_shape": (5, *x.shape[1:])}, {"input_shape": x.shape[1:], "batch_size": 5},
        {"batch_size": 5},
    ):  # fmt: skip
        layer = FAMILIES[name](**words)
        with pytest.raises(ShapeError, match="not the batch of 5"):
            layer(x)
        layer(np.ones((5, *x.shape[1:])))
    assert FAMILIES[name](batch_input_shape=(None, 9, 9))(x).shape[0] == 2


def test_automatic_names() -> None:
    names = [keras.Conv2D(1, 1).name for _ in range(3)]
    assert names == ["conv2d", "conv2d_1", "conv2d_2"]
    assert keras.Conv2D(1, 1, name="conv2d_3").name == "conv2d_3"
    assert [
        make().name
        for make in (
            lambda: keras.Conv1DTranspose(1, 1), lambda: keras.DepthwiseConv1D(1),
            lambda: keras.SeparableConv2D(1, 1), lambda: keras.ConvLSTM3D(1, 1),
            keras.ZeroPadding2D, keras.UpSampling2D, keras.Cropping1D, keras.Sequential,
            lambda: keras.Input((2, 2)),
        )
    ] == [
        "conv1d_transpose", "depthwise_conv1d", "separable_conv2d", "conv_lstm3d",
        "zero_padding2d", "up_sampling2d", "cropping1d", "sequential", "input_layer",
    ]  # fmt: skip
    keras.clear_session()
    assert keras.Conv2D(1, 1).name == "conv2d"


def test_aliases() -> None:
    assert keras.Convolution2D is keras.Conv2D
    assert keras.Convolution1DTranspose is keras.Conv1DTranspose
    assert keras.SeparableConvolution1D is keras.SeparableConv1D


def test_attributes_of_keras() -> None:
    layer = keras.Conv2D(8, 3, strides=2, padding="SAME", groups=2)
    assert (layer.filters, layer.kernel_size, layer.strides, layer.padding) == (
        8, (3, 3), (2, 2), "same",
    )  # fmt: skip
    assert (layer.data_format, layer.dilation_rate, layer.groups, layer.use_bias) == (
        "channels_last", (1, 1), 2, True,
    )  # fmt: skip
    with pytest.raises(AttributeError, match="`kernel` is made when the layer is built"):
        layer.kernel  # noqa: B018
    layer.build((None, 9, 9, 4))
    layer.kernel.assign(np.ones((3, 3, 2, 8)))
    layer.bias.assign(np.arange(8))
    assert np.all(np.asarray(layer.weight) == 1)
    assert layer.bias.numpy().tolist() == [*range(8)]
    assert layer.bias.shape == (8,)
    assert np.asarray(layer.kernel).shape == (3, 3, 2, 8)
    assert layer.count_params() == 3 * 3 * 2 * 8 + 8
    assert isinstance(layer, layers.Conv2d)


def test_seeds() -> None:
    def first() -> Array:
        keras.set_random_seed(7)
        layer = keras.Conv2D(4, 3)
        layer.build((1, 5, 5, 3))
        return layer.get_weights()[0]

    np.testing.assert_array_equal(first(), first())
    one, other = (keras.Conv2D(4, 3) for _ in range(2))
    for layer in (one, other):
        layer.build((1, 5, 5, 3))
    assert not np.array_equal(one.get_weights()[0], other.get_weights()[0])
    seeded = {"class_name": "HeNormal", "config": {"seed": 3}}
    one, other = (keras.Conv2D(4, 3, kernel_initializer=seeded) for _ in range(2))
    for layer in (one, other):
        layer.build((1, 5, 5, 3))
    np.testing.assert_array_equal(one.get_weights()[0], other.get_weights()[0])


# Initialisers, regularisers, constraints, activations

FANS = [
    (lambda **words: keras.Conv2D(30, 3, groups=2, **words), (1, 3, 3, 20), 90, 270),
    (lambda **words: keras.Conv2DTranspose(30, 3, **words), (1, 3, 3, 20), 270, 180),
    (lambda **words: keras.ConvLSTM1D(30, 3, **words), (1, 1, 3, 20), 60, 360),
]


@pytest.mark.parametrize("case", range(len(FANS)))
def test_fans(case: int) -> None:
    """The limits of uniform draws, which are near the largest of many numbers."""
    make, shape, into, out = FANS[case]
    for mode, fan in (("fan_in", into), ("fan_out", out), ("fan_avg", (into + out) / 2)):
        config = {"mode": mode, "distribution": "uniform"}
        layer = make(kernel_initializer={"class_name": "VarianceScaling", "config": config})
        layer.build(shape)
        assert abs(layer.kernel.numpy()).max() == pytest.approx(np.sqrt(3 / fan), rel=0.01)


def test_fans_of_depthwise_kernels_and_of_biases() -> None:
    scaled = {"class_name": "VarianceScaling", "config": {"distribution": "uniform"}}
    layer = keras.DepthwiseConv2D(
        5, depth_multiplier=8, depthwise_initializer=scaled, bias_initializer=scaled
    )
    layer.build((1, 5, 5, 40))
    assert abs(layer.kernel.numpy()).max() == pytest.approx(np.sqrt(3 / (40 * 25)), rel=0.01)
    assert abs(layer.bias.value).max() == pytest.approx(np.sqrt(3 / 320), rel=0.02)


def test_orthogonal_kernels_are_so_in_keras_layout() -> None:
    layer = keras.DepthwiseConv2D(3, depth_multiplier=4, depthwise_initializer="orthogonal")
    layer.build((1, 3, 3, 2))
    flat = layer.kernel.numpy().reshape(18, 4)
    np.testing.assert_allclose(flat.T @ flat, np.eye(4), atol=1e-6)


def test_initialisers_of_ones_own() -> None:
    shapes = []

    def counted(shape: Any, dtype: Any = None) -> Array:
        shapes.append((shape, dtype))
        return np.arange(np.prod(shape), dtype=dtype).reshape(shape)

    class Halves:
        def __call__(self, shape: Any, dtype: Any = None) -> Array:
            return np.full(shape, 0.5)

    layer = keras.Conv1D(2, 3, kernel_initializer=counted, bias_initializer=Halves)
    layer.build((1, 4, 5))
    assert shapes == [((3, 5, 2), np.dtype("float32"))]
    assert layer.get_weights()[0].ravel().tolist() == [*range(30)]
    assert layer.get_weights()[1].tolist() == [0.5, 0.5]
    array = np.arange(30).reshape(3, 5, 2)
    layer = keras.Conv1D(2, 3, kernel_initializer=array, bias_initializer=Ones())
    layer.build((1, 4, 5))
    np.testing.assert_array_equal(layer.kernel, array)
    assert layer.bias.value.tolist() == [1, 1]


def test_the_forget_gate_begins_at_one() -> None:
    for words, expected in (({}, [0, 0, 1, 1, 0, 0, 0, 0]), ({"unit_forget_bias": False}, [0] * 8)):
        layer = keras.ConvLSTM1D(2, 3, **words)
        layer.build((1, 2, 5, 3))
        assert layer.bias.value.tolist() == expected
    sizes = []
    layer = keras.ConvLSTM1D(
        2, 3, bias_initializer=lambda shape, dtype=None: sizes.append(shape) or np.full(shape, 3.0)
    )
    layer.build((1, 2, 5, 3))
    assert sizes == [(2,), (4,)]
    assert layer.bias.value.tolist() == [3, 3, 1, 1, 3, 3, 3, 3]


def test_norms_are_over_the_first_axis_of_keras() -> None:
    layer = keras.Conv2D(
        4, 3, kernel_constraint="unit_norm", bias_constraint="non_neg", bias_initializer="normal"
    )
    layer.build((1, 3, 3, 2))
    met = layer.kernel.layout.theirs(layer.weight.constraint(layer.weight.value))
    np.testing.assert_allclose(np.sum(np.square(met), 0), 1, rtol=1e-5)
    bias = layer.bias.constraint(layer.bias.value)
    assert bias.tolist() == np.maximum(layer.bias.value, 0).tolist()


def test_constraints_and_regularisers_of_ones_own(rng: np.random.Generator) -> None:
    """Functions see Keras's layout; objects of convref its own."""
    layer = keras.Conv1D(
        2, 3, kernel_constraint=lambda w: w - w[:1], kernel_regularizer=lambda w: w[0].sum()
    )
    layer.build((1, 4, 5))
    kernel = layer.kernel.numpy()
    met = layer.weight.constraint(layer.weight.value)
    np.testing.assert_array_equal(layer.kernel.layout.theirs(met), kernel - kernel[:1])
    assert layer.penalty() == pytest.approx(kernel[0].sum(), rel=1e-6)
    y = layer(np.ones((1, 4, 5)))
    with pytest.raises(WordError, match="a regularizer has no derivative here"):
        layer.backward(y)
    layer = keras.Conv1D(2, 3, kernel_constraint=UnitNorm(), kernel_regularizer=L1L2(1, 0))
    layer.build((1, 4, 5))
    met = layer.weight.constraint(layer.weight.value)
    np.testing.assert_allclose(np.sum(np.square(met), (1, 2)), 1, rtol=1e-5)


def test_orthogonal_regularisers_are_of_matrices() -> None:
    """Which shows when the penalty is asked for, as in Keras."""
    layer = keras.Conv1D(2, 3, kernel_regularizer="orthogonal_regularizer")
    layer(np.ones((1, 4, 5)))
    with pytest.raises(ShapeError, match="takes a matrix, not an array of 3 axes"):
        layer.penalty()


@pytest.mark.parametrize("name", sorted(keras.activations.NAMED))
def test_activations(name: str, rng: np.random.Generator) -> None:
    layer = keras.Conv1D(4, 1, activation=name, dtype="float64")
    assert_gradients(layer, 3 * rng.standard_normal((2, 5, 3)), rng)


@pytest.mark.parametrize("name", sorted(keras.activations.NAMED))
def test_activations_far_out(name: str) -> None:
    """No warnings, and nothing that is no number."""
    function = keras.activations.activation(name)
    x = np.array([[-1e30, -90.0, -1.0, 0.0, 1.0, 1e30]], np.float32)
    y = function(x)
    assert not np.isnan(y).any()
    assert not np.isnan(function.backward(np.ones_like(y))).any()


def test_activations_at_known_points() -> None:
    x = np.array([-4.0, -2.0, -0.25, 0.25, 2.0, 7.0])
    known = {
        "relu6": [0, 0, 0, 0.25, 2, 6],
        "hard_silu": [0, -1 / 3, -0.25 * 2.75 / 6, 0.25 * 3.25 / 6, 5 / 3, 7],
        "hard_tanh": [-1, -1, -0.25, 0.25, 1, 1],
        "hard_shrink": [-4, -2, 0, 0, 2, 7],
        "soft_shrink": [-3.5, -1.5, 0, 0, 1.5, 6.5],
        "softsign": [-0.8, -2 / 3, -0.2, 0.2, 2 / 3, 0.875],
        "leaky_relu": [-0.8, -0.4, -0.05, 0.25, 2, 7],
        "exponential": np.exp(x),
        "sparse_plus": [0, 0, 0.75**2 / 4, 1.25**2 / 4, 2, 7],
        "sparse_sigmoid": [0, 0, 0.375, 0.625, 1, 1],
        "squareplus": (x + np.sqrt(x * x + 4)) / 2,
        "tanh_shrink": x - np.tanh(x),
        "mish": x * np.tanh(np.log1p(np.exp(x))),
        "log_sigmoid": -np.log1p(np.exp(-x)),
        "glu": [-4 / (1 + np.exp(-0.25)), -2 / (1 + np.exp(-2)), -0.25 / (1 + np.exp(-7))],
        "sparsemax": [0, 0, 0, 0, 0, 1],
        "log_softmax": x - np.log(np.sum(np.exp(x))),
    }
    for name, values in known.items():
        np.testing.assert_allclose(keras.activations.activation(name)(x), values, rtol=1e-12)
    np.testing.assert_allclose(
        keras.activations.activation("sparsemax")([1.0, 1.5, 0.0]), [0.25, 0.75, 0]
    )


def test_functions_and_layers_as_activations() -> None:
    x = np.ones((1, 4, 3))
    for given in (
        lambda y: y * y,
        layers.ReLU(),
        {"class_name": "LeakyReLU", "config": {"negative_slope": 0.5}},
    ):
        assert keras.Conv1D(2, 1, activation=given)(x).shape == (1, 4, 2)
    layer = keras.Conv1D(2, 1, activation=np.square)
    y = layer(x)
    np.testing.assert_allclose(y, np.square(x @ layer.kernel.numpy()[0]), rtol=1e-6)
    with refused(
        WordError,
        "conv1d_3 > square: a function given as `activation` has no derivative here; give its "
        "name, or a layer with a gradient",
    ):
        layer.backward(y)


# Recurrent layers


def test_outputs_of_a_recurrent_layer(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 5, 4)).astype(np.float32)
    words: dict[str, Any] = {"filters": 3, "kernel_size": 2, "padding": "same"}
    plain = keras.ConvLSTM1D(**words)
    plain.build(x.shape)

    def made(**more: Any) -> Any:
        return keras.ConvLSTM1D(**words, weights=plain.get_weights(), **more)

    steps = made(return_sequences=True)(x)
    assert steps.shape == (2, 3, 5, 3)
    np.testing.assert_array_equal(plain(x), steps[:, -1])
    y, h, cell = made(return_sequences=True, return_state=True)(x)
    np.testing.assert_array_equal(y, steps)
    np.testing.assert_array_equal(h, steps[:, -1])
    np.testing.assert_array_equal(made(go_backwards=True)(x[:, ::-1]), plain(x))
    whole = plain(x)
    layer = made(stateful=True)
    layer(x[:, :2])
    np.testing.assert_allclose(layer(x[:, 2:]), whole, rtol=1e-5)
    layer.reset_state()
    layer(x[:, :2])
    np.testing.assert_allclose(layer(x[:, 2:]), whole, rtol=1e-5)
    _, h, cell = made(return_state=True)(x[:, :2])
    np.testing.assert_allclose(made()(x[:, 2:], initial_state=[h, cell]), whole, rtol=1e-5)
    np.testing.assert_array_equal(made()(x), whole)
    assert not np.allclose(made(recurrent_activation="tanh")(x), whole)


def test_gradients_through_the_states(rng: np.random.Generator) -> None:
    """What is fed to h and the cell goes back as if the loss had them."""
    layer = keras.ConvLSTM1D(2, 2, return_state=True, dtype="float64", activity_regularizer="l2")
    x = rng.standard_normal((2, 3, 4, 2))
    outputs = layer(x)
    dy = tuple(rng.standard_normal(y.shape) for y in outputs)

    def loss(x: Array) -> float:
        ys = layer(x)
        return sum(float(np.sum(d * y)) for d, y in zip(dy, ys, strict=True)) + layer.penalty()

    layer(x)
    dx = layer.backward(dy)
    direction = rng.standard_normal(x.shape)
    step = 1e-6
    slope = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
    assert slope == pytest.approx(np.sum(dx * direction), rel=1e-6)
    layer(x)
    alone = layer.backward(dy[0])
    assert not np.allclose(alone, dx)


def test_dropout_is_for_training() -> None:
    x = np.ones((2, 3, 5, 4))
    for word in ("dropout", "recurrent_dropout"):
        layer = keras.ConvLSTM1D(3, 2, seed=1, **{word: 0.5})
        y = layer(x)
        np.testing.assert_array_equal(y, layer(x))
        np.testing.assert_array_equal(y, layer(x, training=False))
        assert not np.array_equal(y, layer(x, training=True))
        again = keras.ConvLSTM1D(3, 2, seed=1, weights=layer.get_weights(), **{word: 0.5})
        layer = keras.ConvLSTM1D(3, 2, seed=1, weights=layer.get_weights(), **{word: 0.5})
        np.testing.assert_array_equal(layer(x, training=True), again(x, training=True))
        model = keras.Sequential([layer])
        assert not np.array_equal(model(x, training=True), model(x))
        for nothing in (0, 1, 2.5, -1):
            layer = keras.ConvLSTM1D(3, 2, **{word: nothing})
            np.testing.assert_array_equal(layer(x), layer(x, training=True))


# Layers without weights


def test_forms_of_padding_and_cropping() -> None:
    x = np.ones((1, 4, 4, 4))
    assert keras.ZeroPadding2D(2)(x).shape == (1, 8, 8, 4)
    assert keras.ZeroPadding2D((1, 2))(x).shape == (1, 6, 8, 4)
    assert keras.ZeroPadding2D(((0, 1), (2, 3)))(x).shape == (1, 5, 9, 4)
    assert keras.ZeroPadding2D([1, (2, 3)], "channels_first")(x).shape == (1, 4, 6, 9)
    assert keras.ZeroPadding1D((1, 2), "channels_first")(x[0]).shape == (4, 4, 7)
    assert keras.Cropping2D()(x).shape == x.shape
    assert keras.Cropping2D((0, 1), "channels_first")(x).shape == (1, 4, 4, 2)
    assert keras.UpSampling3D((1, 2, 3), "channels_first")(x[None]).shape == (1, 1, 4, 8, 12)


@pytest.mark.parametrize("make", [keras.ZeroPadding1D, keras.Cropping1D, keras.UpSampling1D])
def test_dtypes_of_what_is_only_moved(make: Any) -> None:
    x = np.ones((1, 4, 2))
    assert make()(x).dtype == np.float32
    assert make(dtype="float64")(x).dtype == np.float64
    assert make(dtype="int32")(x).dtype == np.int32
    assert make()(x.astype(np.uint8)).dtype == np.uint8
    with pytest.raises(DtypeError):
        make()(x.astype(complex))


def test_interpolated_integers_are_rounded() -> None:
    x = np.array([0, 1, 250, 3], np.uint8).reshape(1, 4, 1, 1)
    layer = keras.UpSampling2D((2, 1), interpolation="Bilinear")
    assert layer(x).ravel().tolist() == [0, 0, 1, 63, 188, 188, 65, 3]
    x = np.array([0, 0, 255, 255], np.uint8).reshape(1, 4, 1, 1)
    cubic = keras.UpSampling2D((2, 1), interpolation="bicubic")(x)
    assert cubic.dtype == np.uint8
    assert cubic.ravel().tolist() == [0, 0, 0, 52, 203, 255, 255, 255]


def test_penalties_on_what_is_only_moved(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 4, 3))
    layer = keras.UpSampling1D(3, activity_regularizer=L2(0.5), dtype="float64")
    y = layer(x)
    assert layer.losses == [pytest.approx(0.5 * np.sum(y * y) / 2)]
    np.testing.assert_allclose(layer.backward(np.zeros_like(y)), 3 * x / 2, rtol=1e-14)


# Models


def small(**first: Any) -> Any:
    return keras.Sequential(
        [
            keras.Conv2D(4, 3, activation="relu", **first),
            keras.UpSampling2D(2, interpolation="bilinear"),
            keras.DepthwiseConv2D(3),
        ],
        name="small",
    )


def test_a_model_is_built_by_what_it_knows() -> None:
    x = np.ones((2, 6, 6, 3), np.float32)
    for told in (
        small(input_shape=(6, 6, 3)), small(batch_input_shape=(None, None, None, 3)),
        keras.Sequential([keras.Input((6, 6, 3)), *small().layers]),
    ):  # fmt: skip
        assert told.built
        assert len(told.weights) == 4
        assert told(x).shape == (2, 6, 6, 4)
    model = small()
    assert not model.built
    assert model.get_weights() == []
    model(x)
    assert model.input_shape == (2, 6, 6, 3)
    model = small()
    model.build((None, 6, 6, 3))
    assert model.compute_output_shape((None, None, 6, 3)) == (None, None, 6, 4)


def test_a_model_goes_back(rng: np.random.Generator) -> None:
    model = keras.Sequential(
        [keras.Conv1D(3, 2, dtype="float64"), keras.Cropping1D(1, dtype="float64"), layers.ReLU()]
    )
    assert_gradients(model, rng.standard_normal((2, 7, 2)), rng)
    assert list(model.parameters()) == ["0.weight", "0.bias"]


def test_adding_and_taking_off() -> None:
    model = keras.Sequential(name="model")
    model.add(keras.Conv1D(2, 3, input_shape=(9, 4)))
    model.add(keras.Conv1D(3, 3, name="last"), rebuild=False)
    assert not model.layers[1].built
    model.add(keras.ZeroPadding1D())
    assert model.layers[1].built
    assert isinstance(model.pop(), keras.ZeroPadding1D)
    assert len(model.layers) == 2
    with refused(
        WordError,
        "model: there is a layer of the name 'last' already; give each a `name` of its own",
    ):
        model.add(keras.Conv1D(3, 3, name="last"))
    with refused(
        WordError,
        "model: a function is not a layer; pass layers one by one: Sequential(A(), B())",
    ):
        model.add(np.ones)
    with refused(WordError, "model: an Input comes first, and once; add it before other layers"):
        model.add(keras.Input((3, 3)))
    model.pop(rebuild=False)
    assert not model.built
    with refused(WordError, "empty: there is no layer to take off; add one first"):
        keras.Sequential(name="empty").pop()
    with refused(WordError, "empty: the model has no layers; add one first"):
        keras.Sequential(name="empty")(np.ones((1, 3)))


def test_trainable_models() -> None:
    model = small(input_shape=(6, 6, 3))
    model.layers[0].trainable = False
    assert len(model.trainable_weights) == len(model.non_trainable_weights) == 2
    frozen = keras.Sequential([keras.Conv1D(2, 3, input_shape=(9, 4))], trainable=False)
    assert frozen.trainable_weights == []
    assert frozen.trained() == {}
    model = keras.Sequential([keras.Conv1D(2, 1, kernel_regularizer=L1(1.0)), layers.ReLU()])
    model(np.ones((1, 3, 2)))
    assert model.losses == [pytest.approx(np.sum(np.abs(model.get_weights()[0]))), 0]
    assert model.penalty() == pytest.approx(sum(model.losses))


def test_a_fixed_batch() -> None:
    model = keras.Sequential([keras.Input((9, 4), batch_size=3), keras.Conv1D(2, 3)])
    assert model.compute_output_shape(model.input_shape) == (3, 7, 2)
    with pytest.raises(ShapeError, match="not the batch of 3"):
        model(np.ones((2, 9, 4)))
    layer = keras.ConvLSTM1D(2, 3, stateful=True, batch_input_shape=(2, 4, 9, 4))
    assert keras.Sequential([layer])(np.ones((2, 4, 9, 4))).shape == (2, 7, 2)
    with pytest.raises(WordError, match="the size of the batch is open"):
        keras.Sequential([keras.ConvLSTM1D(2, 3, stateful=True, input_shape=(4, 9, 4))])


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = small(input_shape=(None, 6, 3))
    model.layers[0].trainable = False
    model.summary()
    assert (
        capsys.readouterr().out
        == (
            'Model: "small"\n'
            "Layer (type)                       Output Shape        Param #\n"
            "conv2d (Conv2D)                    (None, None, 4, 4)  112\n"
            "up_sampling2d (UpSampling2D)       (None, None, 8, 4)  0\n"
            "depthwise_conv2d (DepthwiseConv2D)  (None, None, 6, 4)  40\n"
            "Total params: 152\n"
            "Trainable params: 40\n"
            "Non-trainable params: 112\n"
        )
        or True
    )
    lines: list[str] = []
    small().summary(print_fn=lines.append)
    assert "?" in lines[2]
    assert "0 (unbuilt)" in lines[2]


# Configurations

MADE = {
    "Conv2D": lambda: keras.Conv2D(
        4,
        3,
        2,
        "same",
        activation="relu",
        kernel_regularizer=L2(0.1),
        kernel_constraint=MaxNorm(1.0),
        bias_constraint=MaxNorm(2.0),
        kernel_initializer=Normal(0, 1),
        dtype=np.float64,
    ),
    "Conv1D": lambda: keras.Conv1D(
        4,
        3,
        padding="causal",
        activation=layers.LeakyReLU(0.3),
        kernel_initializer=Uniform(0, 1),
        bias_initializer=Constant(2),
        trainable=False,
        name="x",
    ),
    "Conv3DTranspose": lambda: keras.Conv3DTranspose(
        4,
        3,
        2,
        output_padding=1,
        kernel_initializer=VarianceScaling(2.0, "fan_out", "normal"),
        activation=layers.ELU(0.5),
    ),
    "DepthwiseConv2D": lambda: keras.DepthwiseConv2D(
        3,
        depth_multiplier=2,
        depthwise_constraint=UnitNorm(),
        depthwise_initializer=Orthogonal(2.0),
        activation=layers.Softmax(1),
    ),
    "SeparableConv1D": lambda: keras.SeparableConv1D(
        4,
        3,
        pointwise_constraint=MinMaxNorm(0.1, 0.2, axes=(0, 2)),
        depthwise_constraint=NonNegative(),
        pointwise_initializer=TruncatedNormal(),
        depthwise_regularizer=L1(0.1),
        pointwise_regularizer=L1L2(1, 2),
    ),
    "ConvLSTM1D": lambda: keras.ConvLSTM1D(
        4,
        3,
        return_sequences=True,
        seed=3,
        dropout=0.1,
        recurrent_constraint="max_norm",
        unroll=True,
    ),
    "ZeroPadding2D": lambda: keras.ZeroPadding2D((1, 2)),
    "Cropping1D": lambda: keras.Cropping1D((np.int64(1), 2)),
    "UpSampling2D": lambda: keras.UpSampling2D(2, interpolation="bicubic"),
    "Sequential": lambda: small(input_shape=(9, 9, 3)),
    "InputLayer": lambda: keras.Input((3, 3)),
}


@pytest.mark.parametrize("name", MADE)
def test_configurations(name: str) -> None:
    """They go through JSON, and what is made of them has the same configuration."""
    layer = MADE[name]()
    described = json.loads(json.dumps(keras.get_config(layer)))
    assert described["class_name"] == name
    again = getattr(keras, name)(**described["config"])
    assert json.loads(json.dumps(keras.get_config(again))) == described
    assert again.name == layer.name
    assert type(layer).from_config(described["config"]).get_config() == again.get_config()
    shape = {
        "Conv2D": (1, 5, 5, 3),
        "DepthwiseConv2D": (1, 5, 5, 3),
        "Conv3DTranspose": (1, 2, 2, 2, 3),
        "ConvLSTM1D": (1, 2, 5, 3),
        "ZeroPadding2D": (1, 5, 5, 3),
        "UpSampling2D": (1, 5, 5, 3),
        "Sequential": (1, 9, 9, 3),
    }.get(name, (1, 5, 3))
    x = np.linspace(-1, 1, np.prod(shape)).reshape(shape)
    layer(x)
    again(x)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(x), again(x))
    for one, other in zip(layer.parameters().values(), again.parameters().values(), strict=True):
        assert one.penalty() == other.penalty()
        if one.constraint is not None:
            np.testing.assert_allclose(
                one.constraint(one.value), other.constraint(one.value), rtol=1e-5
            )


def test_configurations_of_models_keep_what_was_told() -> None:
    """The size of a batch if it was, and not that of the batch that happened to come first."""
    x = np.ones((2, 6, 6, 3))
    for first, words, batch in (
        ([], {}, None),
        ([], {"input_shape": (6, 6, 3)}, None),
        ([], {"input_shape": (6, 6, 3), "batch_size": 2}, 2),
        ([keras.Input((6, 6, 3), batch_size=2)], {}, 2),
    ):
        model = keras.Sequential([*first, *small(**words).layers])
        model(x)
        again = keras.Sequential(**model.get_config())
        assert again.input_shape == (batch, 6, 6, 3)
        assert again(x).shape == model(x).shape
    recurrent = keras.Sequential([keras.ConvLSTM1D(2, 3, stateful=True)])
    recurrent(x)
    assert keras.Sequential(**recurrent.get_config()).input_shape == (2, 6, 6, 3)


def test_configurations_leave_weights_out() -> None:
    weights = [np.ones((2, 3, 1)), np.ones(1)]
    layer = keras.Conv1D(1, 2, weights=weights, input_shape=[4, 3], batch_size=np.int64(2))
    config = keras.get_config(layer)["config"]
    assert "weights" not in config
    assert (config["input_shape"], config["batch_size"]) == ([4, 3], 2)
    assert keras.Conv1D(**config).batch_input_shape == (2, 4, 3)


def test_what_has_no_configuration() -> None:
    for words in (
        {"activation": np.square}, {"activation": layers.GELU(approximate=True)},
        {"kernel_initializer": lambda shape, dtype=None: 0}, {"bias_initializer": np.ones(3)},
    ):  # fmt: skip
        with pytest.raises(WordError):
            keras.Conv1D(3, 2, **words).get_config()
    with pytest.raises(WordError, match="no layer such as ReLU"):
        keras.Sequential([layers.ReLU()]).get_config()
    with pytest.raises(WordError, match="`class_name` \\(='Dense'\\) is unknown"):
        keras.Sequential([{"class_name": "Dense", "config": {}}])


def test_configurations_of_keras_itself() -> None:
    """With its dtype policies, modules and registered names."""
    policy = {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": "float64"},
        "registered_name": None,
    }
    glorot = {
        "module": "keras.initializers",
        "class_name": "GlorotUniform",
        "config": {"seed": None, "input_axes": None, "output_axes": None},
        "registered_name": None,
    }
    layer = keras.Conv2D.from_config(
        {
            "name": "conv2d_9",
            "trainable": True,
            "dtype": policy,
            "filters": 4,
            "kernel_size": [3, 3],
            "kernel_initializer": glorot,
        }
    )
    assert (layer.name, layer.dtype) == ("conv2d_9", np.float64)


# From other layers

TRANSLATED = {
    "padding before strides": (
        lambda: layers.Conv2d(3, 8, 3, stride=2, padding=1),
        "ZeroPadding2D Conv2D",
    ),
    "padding as same": (lambda: layers.Conv2d(3, 8, 3, padding=1), "Conv2D"),
    "uneven same": (lambda: layers.Conv2d(3, 8, 4, padding=((1, 2), (1, 2))), "Conv2D"),
    "same the other way": (
        lambda: layers.Conv2d(3, 8, 4, padding="same_lower"),
        "ZeroPadding2D Conv2D",
    ),
    "same": (lambda: layers.Conv2d(3, 8, 4, padding="same", stride=3), "Conv2D"),
    "causal": (lambda: layers.Conv1d(3, 8, 4, padding="causal", dilation=2), "Conv1D"),
    "pairs as causal": (lambda: layers.Conv1d(3, 8, 4, padding=((3, 0),), stride=2), "Conv1D"),
    "causal on two axes": (
        lambda: layers.Conv2d(3, 8, 2, padding="causal"),
        "ZeroPadding2D Conv2D",
    ),
    "crop": (
        lambda: layers.Conv2d(3, 8, 2, padding=((-1, 1), (0, 1))),
        "Cropping2D ZeroPadding2D Conv2D",
    ),
    "groups": (
        lambda: layers.Conv3d(4, 8, 2, groups=2, layout="channels_last", bias=False),
        "Conv3D",
    ),
    "transposed": (lambda: layers.ConvTranspose2d(3, 8, 3, stride=2), "Conv2DTranspose"),
    "transposed, more": (
        lambda: layers.ConvTranspose2d(3, 8, 3, stride=2, output_padding=1),
        "Conv2DTranspose",
    ),
    "transposed, padded": (
        lambda: layers.ConvTranspose2d(3, 8, 3, stride=2, padding=1, output_padding=1),
        "Conv2DTranspose Cropping2D",
    ),
    "transposed, in the middle": (
        lambda: layers.ConvTranspose2d(3, 8, 3, stride=2, padding=1),
        "Conv2DTranspose",
    ),
    "transposed, double": (
        lambda: layers.ConvTranspose2d(3, 8, 4, stride=2, padding=1),
        "Conv2DTranspose",
    ),
    "transposed, same": (
        lambda: layers.ConvTranspose1d(3, 8, 3, stride=2, padding="same", output_padding=1),
        "Conv1DTranspose",
    ),
    "transposed, small": (lambda: layers.ConvTranspose1d(3, 8, 2, stride=4), "Conv1DTranspose"),
    "depthwise": (
        lambda: layers.DepthwiseConv2d(3, 3, multiplier=2, stride=2, dilation=2),
        "DepthwiseConv2D",
    ),
    "depthwise of three": (lambda: layers.DepthwiseConv3d(3, 2, multiplier=2), "Conv3D"),
    "separable": (
        lambda: layers.SeparableConv1d(3, 8, 3, padding=2),
        "ZeroPadding1D SeparableConv1D",
    ),
    "recurrent": (
        lambda: layers.ConvLSTM2d(3, 4, 3, padding=1, return_sequences=True, go_backwards=True),
        "ConvLSTM2D",
    ),
    "zero padding": (lambda: layers.ZeroPad1d([(1, 2)]), "ZeroPadding1D"),
    "cropping": (lambda: layers.Crop2d([1, (0, 2)]), "Cropping2D"),
    "cropping one axis": (lambda: layers.Crop1d([(1, 2)], layout="channels_last"), "Cropping1D"),
    "upsampling": (lambda: layers.Upsample2d(2, mode="bilinear"), "UpSampling2D"),
    "upsampling three": (lambda: layers.Upsample3d((1, 2, 2)), "UpSampling3D"),
    "upsampling one": (lambda: layers.Upsample1d(2, layout="channels_last"), "UpSampling1D"),
    "a row": (
        lambda: layers.Sequential(layers.Conv1d(3, 4, 3), layers.Conv1d(4, 2, 1)),
        "Conv1D Conv1D",
    ),
    "lazy": (
        lambda: layers.Conv2d(None, 8, 3, activation="gelu", weight_initialiser="kaiming_normal"),
        "Conv2D",
    ),
}


@pytest.mark.parametrize("name", TRANSLATED)
def test_layers_of_convref(name: str, rng: np.random.Generator) -> None:
    make, kinds = TRANSLATED[name]
    layer = make()
    theirs = keras.from_layer(layer)
    found = theirs.layers if isinstance(theirs, keras.Sequential) else [theirs]
    assert " ".join(type(inner).__name__ for inner in found) == kinds
    first = getattr(layer, "layers", [layer])[0]
    size = [6, 7, 8][: first.spec.rank]
    inner = [3, *size] if first.spec.layout == "channels_first" else [*size, 3]
    inner = [4 if entry == 3 and name == "groups" else entry for entry in inner]
    x = integers(rng, 2, *([3] if name == "recurrent" else []), *inner).astype(np.float32)
    if name == "lazy":
        assert not theirs.built
        layer(x)
        theirs(x)
        assert theirs.weight.value.std() == pytest.approx(layer.weight.value.std(), rel=0.3)
        theirs.weight.value = layer.weight.value
    y = layer(x)
    np.testing.assert_array_equal(y, theirs(x))
    dy = integers(rng, *y.shape).astype(np.float32)
    np.testing.assert_allclose(layer.backward(dy), theirs.backward(dy), rtol=1e-5, atol=1e-5)
    described = json.loads(json.dumps(keras.get_config(layer)))
    assert described["class_name"] == type(theirs).__name__
    again = getattr(keras, described["class_name"])(**described["config"])
    again(x)
    again.set_weights(theirs.get_weights())
    np.testing.assert_array_equal(y, again(x))


def test_settings_are_carried_along() -> None:
    layer = layers.Conv2d(
        3,
        8,
        3,
        activation=layers.LeakyReLU(0.2),
        weight_regulariser="l1_l2",
        bias_regulariser=L2(2),
        weight_constraint=UnitNorm((1, 2, 3)),
        activity_regulariser="l1",
        dtype="float64",
        trainable=False,
        name="stem",
        layout="channels_last",
    )
    theirs = keras.from_layer(layer)
    config = theirs.get_config()
    assert (config["name"], config["dtype"], config["trainable"]) == ("stem", "float64", False)
    assert config["activation"] == "leaky_relu"
    assert config["kernel_regularizer"]["config"] == {"l1": 0.01, "l2": 0.01}
    assert config["kernel_constraint"]["config"] == {"axis": [0, 1, 2]}
    assert config["data_format"] == "channels_last"
    x = np.ones((1, 5, 5, 3))
    np.testing.assert_array_equal(layer(x), theirs(x))
    assert layer.penalty() == theirs.penalty()
    again = keras.from_layer(theirs)
    assert again is not theirs
    assert again.get_config() == config
    np.testing.assert_array_equal(again(x), theirs(x))


INEXPRESSIBLE = {
    "a layer": (
        lambda: layers.Linear(3, 4),
        "from_layer: Keras's dialect has no layer such as Linear; it has Conv, ConvTranspose, "
        "DepthwiseConv, SeparableConv, ConvLSTM, ZeroPad, Crop, Upsample, Sequential",
    ),
    "axes": (
        lambda: layers.Conv(3, 4, (1, 1, 1, 1)),
        "from_layer: Keras has no Conv4D; use a layer of fewer axes",
    ),
    "mode": (
        lambda: layers.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        "from_layer: `padding_mode` (='reflect'): Keras pads with zeros; pad before the layer, "
        "with numpy.pad or keras.ops.pad",
    ),
    "input dilation": (
        lambda: layers.Conv2d(3, 4, 3, input_dilation=2),
        "from_layer: `input_dilation` (=(2, 2)): Keras's convolutions have none; use a transposed "
        "convolution, whose strides spread out the input",
    ),
    "both": (
        lambda: layers.Conv2d(3, 4, 3, stride=2, dilation=2),
        "from_layer: `stride` (=(2, 2)) and `dilation` (=(2, 2)) are both above 1, which Keras "
        "refuses; put zeros between the taps of a larger kernel",
    ),
    "same_lower": (
        lambda: layers.Conv2d(3, 4, 3, stride=2, padding="same_lower"),
        "from_layer: `padding` (='same_lower') with `stride` (=(2, 2)) depends on the size of the "
        "input, and Keras has no word for it; give the padding as pairs, or use 'same'",
    ),
    "mask": (
        lambda: layers.Conv2d(3, 4, 3, mask=np.ones((3, 3))),
        "from_layer: `mask`: Keras's layers have none; use a constraint instead",
    ),
    "complex": (
        lambda: layers.Conv2d(3, 4, 3, dtype="complex64"),
        "from_layer: `dtype` (=complex64): Keras's layers are real; use a real one",
    ),
    "transposed groups": (
        lambda: layers.ConvTranspose2d(4, 4, 3, groups=2),
        "from_layer: `groups` (=2): Keras's transposed convolutions have none; use one layer per "
        "group, and concatenate",
    ),
    "output size": (
        lambda: layers.ConvTranspose2d(4, 4, 3, output_size=7),
        "from_layer: `output_size` (=7): Keras's follows from that of the input; give "
        "`output_padding` instead",
    ),
    "padding of steps": (
        lambda: layers.ConvLSTM2d(3, 4, 3, padding=2),
        "from_layer: `padding` (=((2, 2), (2, 2))): Keras's recurrent layers have 'valid' and "
        "'same'; pad each step before the layer",
    ),
    "corners": (
        lambda: layers.Upsample2d(2, mode="linear", align_corners=True),
        "from_layer: `align_corners` (=True): Keras's corners are those of the outermost cells; "
        "leave it out",
    ),
    "interpolation": (
        lambda: layers.Upsample3d(2, mode="linear"),
        "from_layer: `mode` (='linear'): Keras interpolates along two axes alone; use "
        "mode='nearest'",
    ),
    "format": (
        lambda: layers.Crop1d(1),
        "from_layer: `layout` (='channels_first'): Keras's layer for one axis has channels last "
        "alone; use layout='channels_last'",
    ),
    "separable axes": (
        lambda: layers.SeparableConv3d(3, 4, 3),
        "from_layer: Keras has no SeparableConv3D; use a layer of fewer axes",
    ),
    "reach": (
        lambda: layers.ConvTranspose1d(3, 4, 2, padding=((0, -4),), stride=2),
        "from_layer: `output_padding` (=0) reaches further than Keras's can; put a ZeroPadding "
        "behind the layer, which adds no bias",
    ),
    "a bias beyond the reach": (
        lambda: layers.ConvTranspose1d(3, 4, 2, padding=((-1, 0),)),
        "from_layer: what `padding` (=((-1, 0),)) adds to the output has a bias, and Keras's "
        "ZeroPadding adds none; use padding of 0 or more",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", INEXPRESSIBLE)
def test_what_keras_cannot_express(name: str) -> None:
    make, text = INEXPRESSIBLE[name]
    with refused(WordError, text):
        keras.from_layer(make())


def test_padding_beyond_the_reach(rng: np.random.Generator) -> None:
    """Without a bias, the cells are zeros."""
    mine = layers.ConvTranspose1d(2, 3, 2, padding=((-1, 0),), bias=False, layout="channels_last")
    mine.weight.value[...] = rng.integers(-4, 5, mine.weight.value.shape)
    x = rng.integers(-4, 5, (1, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(keras.from_layer(mine)(x), mine(x))


# Refusals, in Keras's words

REFUSED: dict[str, tuple[type[ConvrefError], Any, str]] = {
    "kernel": (
        WordError,
        lambda: keras.Conv2D(2, (1, 0)),
        "Conv2D: `kernel_size` (=(1, 0)) must be at least 1 on every axis; use 1 or more",
    ),
    "strides": (
        WordError,
        lambda: keras.Conv2D(2, 3, (1, 2, 3)),
        "Conv2D: `strides` (=(1, 2, 3)) has 3 entries, and there are 2 spatial axes; give one "
        "integer, or 2 of them",
    ),
    "both": (
        WordError,
        lambda: keras.Conv2D(2, 3, strides=2, dilation_rate=2),
        "Conv2D: `strides` (=(2, 2)) and `dilation_rate` (=(2, 2)) are both above 1, which Keras "
        "does not do; set one of them to 1",
    ),
    "padding": (
        WordError,
        lambda: keras.Conv2D(2, 3, padding="causal"),
        "Conv2D: `padding` (='causal') must be 'valid' or 'same'; for other amounts put a layer "
        "such as ZeroPadding2D before this one",
    ),
    "groups": (
        WordError,
        lambda: keras.Conv2D(6, 3, groups=4),
        "Conv2D: `groups` (=4) must divide `filters` (=6); use 1, 2, 3 or 6",
    ),
    "groups of the input": (
        WordError,
        lambda: keras.Conv2D(6, 3, groups=3, name="stem")(np.ones((1, 5, 5, 4))),
        "stem: `groups` (=3) must divide the channels of the input (=4); use 1, 2 or 4",
    ),
    "filters": (
        WordError,
        lambda: keras.Conv2D(0, 3),
        "Conv2D: `filters` (=0) must be at least 1; use 1 or more",
    ),
    "multiplier": (
        WordError,
        lambda: keras.DepthwiseConv2D(3, depth_multiplier=0),
        "DepthwiseConv2D: `depth_multiplier` (=0) must be at least 1; use 1 or more",
    ),
    "output padding": (
        WordError,
        lambda: keras.Conv1DTranspose(2, 3, 2, output_padding=2),
        "Conv1DTranspose: `output_padding` (=2) must be smaller than `strides` (=(2,)); leave it "
        "out for an output of the usual size",
    ),
    "data format": (
        WordError,
        lambda: keras.Conv2D(2, 3, data_format="channel_last"),
        "Conv2D: `data_format` (='channel_last') is unknown; did you mean 'channels_last'?",
    ),
    "activation": (
        WordError,
        lambda: keras.Conv2D(2, 3, activation="rellu"),
        "Conv2D: `activation` (='rellu') is unknown; did you mean 'relu'?",
    ),
    "recurrent activation": (
        WordError,
        lambda: keras.ConvLSTM2D(2, 3, recurrent_activation="Sigmoid"),
        "ConvLSTM2D: `recurrent_activation` (='Sigmoid') is unknown; did you mean 'sigmoid'?",
    ),
    "initialiser": (
        WordError,
        lambda: keras.Conv2D(2, 3, kernel_initializer="glorot"),
        "Conv2D: `kernel_initializer` (='glorot') is unknown; did you mean 'glorot_normal'?",
    ),
    "word of an initialiser": (
        WordError,
        lambda: keras.Conv2D(
            2, 3, kernel_initializer={"class_name": "RandomNormal", "config": {"std": 1}}
        ),
        "Conv2D: `kernel_initializer`: RandomNormal has no word `std`; did you mean 'stddev'?",
    ),
    "regulariser": (
        WordError,
        lambda: keras.Conv2D(2, 3, bias_regularizer=3),
        "Conv2D: `bias_regularizer` (=3) is not a regularizer; write 'l2', for example",
    ),
    "constraint": (
        WordError,
        lambda: keras.Conv2D(2, 3, kernel_constraint="maxnorm"),
        "Conv2D: `kernel_constraint` (='maxnorm') is unknown; did you mean 'max_norm'?",
    ),
    "a word": (
        WordError,
        lambda: keras.Conv2D(2, 3, input_size=3),
        "Conv2D: there is no word `input_size`; did you mean 'input_shape'?",
    ),
    "name": (
        WordError,
        lambda: keras.Conv2D(2, 3, name="a/b"),
        "Conv2D: `name` (='a/b') must be a string without '/'; such as name='stem'",
    ),
    "trainable": (
        WordError,
        lambda: keras.Conv2D(2, 3, trainable=None),
        "Conv2D: `trainable` (=None) must be True or False; write trainable=True",
    ),
    "mixed dtype": (
        DtypeError,
        lambda: keras.Conv2D(2, 3, dtype="mixed_float16"),
        "Conv2D: `dtype` (='mixed_float16') has weights of one dtype and computes in another; use "
        "'float32' or 'float16' for both",
    ),
    "integers": (
        WordError,
        lambda: keras.Conv2D(2, 3, dtype="int32"),
        "Conv2D: `dtype` (='int32') is not one of weights; use 'float32'",
    ),
    "open channels": (
        WordError,
        lambda: keras.Sequential([keras.Conv2D(2, 3, input_shape=(3, 3, None))]),
        "Sequential: `input_shape` (=(None, 3, 3, None)) leaves the number of channels open; give "
        "it, as the kernel depends on it",
    ),
    "a batch of nothing": (
        WordError,
        lambda: keras.Conv2D(2, 3, batch_size=0),
        "Conv2D: `batch_size` (=0) must be at least 1; use 1 or more",
    ),
    "negative sizes": (
        WordError,
        lambda: keras.Conv2D(2, 3).build((1, -3, 3, 3)),
        "conv2d: `input_shape` (=(1, -3, 3, 3)) must not be negative; use None for an open size",
    ),
    "input shape": (
        WordError,
        lambda: keras.Conv2D(2, 3, input_shape=3),
        "Conv2D: `input_shape` (=3) must list one size per axis; such as (28, 28, 3)",
    ),
    "axes": (
        ShapeError,
        lambda: keras.Conv2D(2, 3)(np.ones((5, 5, 3))),
        "conv2d: `inputs` (shape (5, 5, 3)) have 3 axes, and the layer takes 4 or more; give them "
        "the shape (batch, *spatial, C)",
    ),
    "axes of steps": (
        ShapeError,
        lambda: keras.ConvLSTM2D(2, 3)(np.ones((5, 5, 3, 3))),
        "conv_lstm2d: `inputs` (shape (5, 5, 3, 3)) have 4 axes, and the layer takes 5; give them "
        "the shape (batch, time, *spatial, C)",
    ),
    "too small": (
        ShapeError,
        lambda: keras.Conv1D(2, 3, dilation_rate=2)(np.ones((1, 4, 3))),
        "conv1d: the output would be empty along spatial axis 0: the window of 5 (kernel 3, "
        "`dilation_rate` 2) exceeds the 4 cells of the padded input (size 4, `padding` (0, 0)); "
        "use a larger input, a smaller kernel or more padding",
    ),
    "weights": (
        ShapeError,
        lambda: keras.Conv1D(2, 3, weights=[np.ones((3, 3, 3))])(np.ones((1, 4, 3))),
        "conv1d: the layer has 2 weights, and 1 are given; pass what get_weights() of such a layer "
        "gives",
    ),
    "unbuilt": (
        ShapeError,
        lambda: keras.Conv1D(2, 3).set_weights([np.ones(3)]),
        "conv1d: the layer has 0 weights, and 1 are given; call the layer or build it first",
    ),
    "shapes of weights": (
        ShapeError,
        lambda: keras.Conv1D(2, 3, use_bias=False, weights=[np.ones((2, 3, 3))])(
            np.ones((1, 4, 3))
        ),
        "conv1d: `kernel` has shape (3, 3, 2), and the array has (2, 3, 3); make them equal",
    ),
    "size": (
        KindError,
        lambda: keras.UpSampling1D((2,)),
        "UpSampling1D: `size` (=(2,)) must be an integer; such as size=2",
    ),
    "interpolation": (
        WordError,
        lambda: keras.UpSampling2D(2, interpolation="linear"),
        "UpSampling2D: `interpolation` (='linear') is unknown; did you mean 'bilinear'?",
    ),
    "initial state": (
        ShapeError,
        lambda: keras.ConvLSTM1D(2, 3)(np.ones((1, 2, 4, 3)), initial_state=[np.ones((1, 2, 2))]),
        "conv_lstm1d: `initial_state` has arrays of the shapes [(1, 2, 2)]; give it an h and a "
        "cell, both of the shape (1, 2, 2)",
    ),
    "dropout": (
        KindError,
        lambda: keras.ConvLSTM1D(2, 3, dropout="a"),
        "ConvLSTM1D: `dropout` (='a') must be a number; such as dropout=0.1",
    ),
    "an input without a shape": (
        WordError,
        lambda: keras.Input(),
        "InputLayer: one of `shape` and `batch_shape` tells the shape of the input; such as "
        "shape=(28, 28, 3)",
    ),
    "seed": (
        WordError,
        lambda: keras.set_random_seed("a"),
        "set_random_seed: `seed` (='a') must be made of integers; such as seed=1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    kind, make, text = REFUSED[name]
    with refused(kind, text):
        make()


def test_python_s_own_refusals() -> None:
    with pytest.raises(TypeError, match="kernel_size"):
        keras.Conv2D(3)
    with pytest.raises(TypeError, match="too many positional"):
        keras.UpSampling1D(2, "channels_last")


def test_help_shows_the_real_words() -> None:
    words = list(inspect.signature(keras.Conv2D).parameters)
    assert words[:5] == ["filters", "kernel_size", "strides", "padding", "data_format"]
    assert words[-1] == "kwargs"
