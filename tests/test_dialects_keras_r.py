"""R's functions over the dialect of Keras."""

import inspect
from typing import Any

import numpy as np
import pytest
from messages import refused

from convref import WordError, layers
from convref.dialects import keras, keras_r

FUNCTIONS = sorted(name for name in vars(keras_r) if name.startswith("layer_"))
SMALLEST = {"filters": 2, "kernel_size": 1, "padding": 1, "cropping": 1, "size": 2}


@pytest.fixture(autouse=True)
def session() -> None:
    keras.clear_session()
    keras.set_random_seed(0)


def least(name: str) -> dict[str, Any]:
    """What a function can't do without."""
    words = inspect.signature(getattr(keras_r, name)).parameters
    return {word: SMALLEST[word] for word in ("filters", "kernel_size") if word in words}


def shape(name: str) -> tuple[int, ...]:
    """That of an input for the function."""
    rank = int(name[name.rindex("d") - 1] if name[-1] == "d" else name.split("_")[2][0])
    return (2, *[3] * ("lstm" in name), *[4] * rank, 3)


def test_the_functions_of_the_documents() -> None:
    assert (
        sorted(
            [f"layer_conv_{n}d" for n in (1, 2, 3)]
            + [f"layer_conv_{n}d_transpose" for n in (1, 2, 3)]
            + [f"layer_conv_lstm_{n}d" for n in (1, 2, 3)]
            + [f"layer_{kind}_conv_{n}d" for kind in ("depthwise", "separable") for n in (1, 2)]
            + [
                f"layer_{kind}_{n}d"
                for kind in ("cropping", "upsampling", "zero_padding")
                for n in (1, 2, 3)
            ]
        )
        == FUNCTIONS
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_the_first_argument_asks_for(name: str) -> None:
    function, words, x = getattr(keras_r, name), least(name), np.ones(shape(name))
    layer = function(**words, name="told", trainable=False)
    assert type(layer).__name__.lower() == name.removeprefix("layer_").replace("_", "")
    assert isinstance(layer, layers.Layer)
    assert (layer.name, layer.trainable) == ("told", False)
    assert type(function(None, **words)) is type(layer)
    y = function(x, **words)
    assert isinstance(y, np.ndarray)
    model = keras_r.keras_model_sequential()
    assert function(model, **words, input_shape=x.shape[1:]) is model
    assert model.compute_output_shape(x.shape) == y.shape
    assert model(x).shape == y.shape
    model = keras_r.keras_model_sequential()
    function(model, **words, input_shape=x.shape[1:], batch_size=5)
    assert model.input_shape == (5, *x.shape[1:])
    layer = function(**words, batch_input_shape=(5, *x.shape[1:]), dtype="float64")
    assert layer.dtype == np.float64
    assert layer(np.ones((5, *x.shape[1:]))).dtype == np.float64


@pytest.mark.parametrize("name", FUNCTIONS)
def test_null_is_none(name: str) -> None:
    """For every word whose default it is, and for those of every layer."""
    function = getattr(keras_r, name)
    defaults = inspect.signature(function).parameters.values()
    nulls = {word.name: None for word in defaults if word.default is None}
    assert {"object", *keras_r.EVERY} <= {*nulls}
    layer = function(**nulls, **least(name))
    layer(np.ones(shape(name)))


def test_the_documented_signature() -> None:
    words = inspect.signature(keras_r.layer_conv_2d).parameters
    assert list(words) == [
        "object", "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate",
        "groups", "activation", "use_bias", "kernel_initializer", "bias_initializer",
        "kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint",
        "bias_constraint", "input_shape", "batch_input_shape", "batch_size", "dtype", "name",
        "trainable", "weights",
    ]  # fmt: skip
    assert words["padding"].default == "valid"
    assert words["kernel_initializer"].default == "glorot_uniform"
    assert words["use_bias"].default is True


def test_orders_of_their_own() -> None:
    def words(name: str) -> list[str]:
        return list(inspect.signature(getattr(keras_r, name)).parameters)

    assert words("layer_conv_3d_transpose")[6:8] == ["data_format", "dilation_rate"]
    assert words("layer_upsampling_2d")[:8] == [
        "object", "size", "data_format", "interpolation", "batch_size", "name", "trainable",
        "weights",
    ]  # fmt: skip
    assert words("layer_zero_padding_1d")[:3] == ["object", "padding", "batch_size"]
    assert words("layer_conv_lstm_2d")[20:31] == [
        "bias_constraint", "return_sequences", "return_state", "go_backwards", "stateful",
        "dropout", "recurrent_dropout", "batch_size", "name", "trainable", "weights",
    ]  # fmt: skip


def test_the_documented_example() -> None:
    """With input_shape = c(128, 128, 3)."""
    model = keras_r.keras_model_sequential()
    model = keras_r.layer_conv_2d(
        model, filters=32, kernel_size=(3, 3), activation="relu", input_shape=(128, 128, 3)
    )
    model = keras_r.layer_conv_2d(model, 64, [3, 3], [2, 2], "SAME")
    assert [w.shape for w in model.get_weights()] == [(3, 3, 3, 32), (32,), (3, 3, 32, 64), (64,)]
    assert model(np.ones((1, 128, 128, 3))).shape == (1, 63, 63, 64)


def test_positions_and_weights() -> None:
    kernel, bias = np.ones((2, 3, 1)), np.full(1, 5.0)
    y = keras_r.layer_conv_1d(np.ones((1, 3, 3)), 1, 2, weights=[kernel, bias])
    assert y.ravel().tolist() == [11, 11]
    assert keras_r.layer_conv_lstm_1d(None, 2, 3).recurrent_activation.name == "HardSigmoid"
    assert keras_r.layer_conv_3d_transpose(None, 2, 3, 2, "same", 1).get_config()[
        "output_padding"
    ] == (1, 1, 1)


def test_models() -> None:
    model = keras_r.keras_model_sequential(input_shape=(9, 3), batch_size=2, name="model")
    assert (model.name, model.input_shape) == ("model", (2, 9, 3))
    layer = keras_r.layer_zero_padding_1d(padding=2)
    assert keras_r.keras_model_sequential([layer]).layers == [layer]


def test_refusals() -> None:
    with refused(
        WordError,
        "layer_conv_2d: `kernel_size` (=0) must be at least 1 on every axis; use 1 or more",
    ):
        keras_r.layer_conv_2d(filters=3, kernel_size=0)
    with refused(
        WordError,
        "layer_conv_2d: `object` (a Conv2D) is a layer, not a model; give a model, an array or "
        "None",
    ):
        keras_r.layer_conv_2d(keras.Conv2D(3, 3), 3, 3)
    with pytest.raises(TypeError, match="kernel_size"):
        keras_r.layer_conv_2d(filters=3)
    with pytest.raises(TypeError, match="kernal"):
        keras_r.layer_conv_2d(filters=3, kernal=3)
