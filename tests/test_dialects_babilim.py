"""The babilim dialect: the documented examples, and its two readings of padding."""

import inspect
import json
from typing import Any

import numpy as np
import pytest
from gradients import assert_affine, assert_gradients, integers
from messages import refused

import convref
from convref import ShapeError, WordError, layers
from convref.dialects import babilim
from convref.dialects.babilim import Conv1D, Conv2D, Tensor, UnknownError
from convref.regularisers import L2


def test_documented_example_of_one_axis(capsys: pytest.CaptureFixture[str]) -> None:
    conv1d = Conv1D(filters=10, kernel_size=1)
    tensor = Tensor(data=np.zeros((10, 20, 30), dtype=np.float32), trainable=False)

    print(tensor.shape)
    result = conv1d(tensor)
    print(result.shape)
    assert capsys.readouterr().out == "(10, 20, 30)\n(10, 10, 30)\n"


def test_documented_example_of_two_axes(capsys: pytest.CaptureFixture[str]) -> None:
    conv2d = Conv2D(filters=10, kernel_size=(1, 1))
    tensor = Tensor(data=np.zeros((10, 20, 5, 5), dtype=np.float32), trainable=False)

    print(tensor.shape)
    tensor = conv2d(tensor)
    print(tensor.shape)
    assert capsys.readouterr().out == "(10, 20, 5, 5)\n(10, 10, 5, 5)\n"


def test_order_of_arguments() -> None:
    words = [
        "filters", "kernel_size", "padding", "stride", "dilation_rate", "kernel_initializer",
        "activation",
    ]  # fmt: skip
    for kind in (Conv1D, Conv2D):
        assert list(inspect.signature(kind).parameters)[:7] == words
    layer = Conv1D(4, 3, "none", 2, 2, "he_normal", "relu")
    assert layer(np.ones((1, 2, 9))).shape == (1, 4, 3)


@pytest.mark.parametrize("padding", [None, "same"])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_same_keeps_the_size(kernel: int, dilation: int, padding: str | None) -> None:
    one = Conv1D(4, kernel, padding, dilation_rate=dilation)
    two = Conv2D(4, (kernel, 1), padding, dilation_rate=(dilation, 1))
    for length in (1, 6, 7):
        assert one(np.ones((2, 3, length))).shape == (2, 4, length)
        assert two(np.ones((2, 3, length, length))).shape == (2, 4, length, length)


@pytest.mark.parametrize("length", [6, 7, 8])
@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("kernel", [2, 3, 5])
def test_strides_take_every_odd_pixel(
    kernel: int, stride: int, length: int, rng: np.random.Generator
) -> None:
    x = integers(rng, 2, 3, length)
    whole, strided = Conv1D(4, kernel), Conv1D(4, kernel, stride=stride)
    strided(x)
    whole(x)
    for name, parameter in whole.parameters().items():
        parameter.value = strided.parameters()[name].value = integers(rng, *parameter.value.shape)
    np.testing.assert_array_equal(strided(x), whole(x)[..., ::stride])


def test_none_pads_nothing(rng: np.random.Generator) -> None:
    layer = Conv2D(4, (3, 2), "none", stride=(2, 1), dilation_rate=(1, 2))
    x = integers(rng, 2, 3, 7, 6)
    y = layer(x)
    expected = convref.conv(
        x.astype(np.float32), layer.weight.value, layer.bias.value, stride=(2, 1), dilation=(1, 2)
    )
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_pytorch_pads_half_a_kernel(kernel: int, dilation: int, rng: np.random.Generator) -> None:
    layer = Conv1D(4, kernel, stride=2, dilation_rate=dilation, pytorch_compat=True)
    x = integers(rng, 2, 3, 12).astype(np.float32)
    y = layer(x)
    expected = convref.conv(
        x, layer.weight.value, layer.bias.value, stride=2, dilation=dilation,
        padding=(kernel - 1) // 2,
    )  # fmt: skip
    np.testing.assert_array_equal(y, expected)


def test_both_spellings_of_the_stride() -> None:
    x = np.ones((1, 2, 9, 9))
    for words in ({"stride": (2, 3)}, {"strides": (2, 3)}):
        assert Conv2D(4, (3, 3), **words)(x).shape == (1, 4, 5, 3)
    assert Conv2D(4, (3, 3))(x).shape == (1, 4, 9, 9)


def test_first_parameters() -> None:
    layer = Conv2D(10, (3, 3))
    layer(np.ones((1, 5, 7, 7)))
    w = layer.weight.value.reshape(10, 45)
    np.testing.assert_allclose(w @ w.T, np.eye(10), atol=1e-6)
    bound = 45**-0.5
    assert 0 < np.abs(layer.bias.value).max() <= bound


def test_functions_as_initialisers() -> None:
    seen = []

    def initializer(weights: Any) -> Any:
        seen.append(weights.copy())
        weights[...] = 3
        return weights

    layer = Conv1D(40, 5, kernel_initializer=initializer)
    layer(np.ones((1, 20, 7)))
    assert (layer.weight.value == 3).all()
    (first,) = seen
    assert first.shape == (40, 20, 5)
    assert np.abs(first).max() == pytest.approx(0.1, rel=0.01)  # 1 / sqrt(20 * 5)


def test_activations() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 9))
    assert (Conv1D(4, 3, activation="relu")(x) >= 0).all()
    assert (Conv1D(4, 3, activation="relu", pytorch_compat=True)(x) >= 0).all()
    assert (np.abs(Conv1D(4, 3, activation="tanh")(x)) < 1).all()


@pytest.mark.parametrize("kind", [Conv1D, Conv2D])
def test_gradients(kind: Any, rng: np.random.Generator) -> None:
    layer = kind(4, (3,) * kind.rank, stride=(2,) * kind.rank)
    layer.dtype = np.dtype(np.float64)
    x = rng.standard_normal((2, 3, *[6] * kind.rank))
    assert_gradients(layer, x, rng)
    assert_affine(layer, np.rint(x), rng)


def test_tensors() -> None:
    layer = Conv1D(4, 3)
    for trainable in (False, True):
        tensor = Tensor(data=np.ones((2, 3, 5), np.float32), trainable=trainable)
        y = layer(tensor)
        assert isinstance(y, Tensor)
        dx = layer.backward(y)
        assert (tensor.grad is not None) == trainable
    np.testing.assert_array_equal(tensor.grad, dx)
    np.testing.assert_array_equal(layer(tensor.numpy()), y.numpy())
    assert repr(Tensor(data=[1, 2])) == "Tensor(data=array([1, 2]), trainable=False)"


REFUSED = {
    "another padding": (
        UnknownError,
        {"padding": "valid"},
        "`padding` (='valid') is not implemented; use 'same' or 'none'",
    ),
    "another activation of the back end": (
        UnknownError,
        {"activation": "tanh", "pytorch_compat": True},
        "`activation` (='tanh') is not implemented; use None or 'relu'",
    ),
    "both strides": (
        WordError,
        {"stride": 2, "strides": (2, 2)},
        "`stride` (=2) and `strides` (=(2, 2)) are the same word; give one of them",
    ),
    "no stride": (
        WordError,
        {"stride": 0},
        "`stride` (=0) must be at least 1 on every axis; use 1 or more",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    kind, words, text = REFUSED[name]
    with refused(kind, f"Conv2D: {text}"):
        Conv2D(4, (3, 3), **words)
    assert issubclass(UnknownError, NotImplementedError)


def test_first_weights_of_another_shape() -> None:
    layer = Conv1D(4, 3, kernel_initializer=lambda weights: weights[0])
    with refused(
        ShapeError,
        "Conv1D: `kernel_initializer` returns the shape (2, 3); return weights of the shape (4, 2, "
        "3) that it is called with",
    ):
        layer(np.ones((1, 2, 5)))


EXPRESSIBLE = {
    "valid": (layers.Conv1d(3, 4, 3, stride=2), "none", False),
    "same": (layers.Conv2d(3, 4, (2, 3), padding="same", dilation=2), None, False),
    "half": (layers.Conv2d(3, 4, 3, stride=2, padding=1, activation="relu"), None, False),
    "half, as PyTorch": (layers.Conv1d(3, 4, 3, dilation=2, padding=1), None, True),
    "causal": (layers.Conv1d(3, 4, 1, padding="causal", activation="silu"), None, False),
    "channels last": (layers.Conv1d(3, 4, 3, layout="channels_last"), "none", False),
    "lazy": (layers.Conv1d(None, 4, 3, name="stem", trainable=False), "none", False),
    "babilim's": (Conv1D(4, 3, stride=3, kernel_initializer="he_normal"), None, False),
    "in float64": (layers.Conv1d(3, 4, 3, dtype="float64"), "none", False),
}


@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_translation(name: str, rng: np.random.Generator) -> None:
    layer, padding, compat = EXPRESSIBLE[name]
    found = babilim.from_layer(layer)
    assert (found.padding, found.pytorch_compat) == (padding, compat)
    assert found.name == ("stem" if name == "lazy" else type(found).__name__)
    assert found.trainable == layer.trainable
    assert found.built == layer.built
    x = integers(rng, 2, 3, *[9] * layer.spec.rank)
    y = found(x)
    if layer.built:
        last = layer.spec.layout == "channels_last"
        expected = layer(x.transpose(0, 2, 1)).transpose(0, 2, 1) if last else layer(x)
        np.testing.assert_array_equal(y, expected)
        assert y.dtype == expected.dtype

    written = babilim.get_config(found)
    assert json.loads(json.dumps(written)) == written
    again = getattr(babilim, written["class_name"])(**written["config"])
    again(x)
    for key, parameter in found.parameters().items():
        again.parameters()[key].value = parameter.value
    np.testing.assert_array_equal(again(x), y)
    assert babilim.get_config(again) == written


def test_configuration() -> None:
    layer = Conv2D(4, (3, 3), "none", (2, 1), kernel_initializer="he_normal", activation="relu")
    assert babilim.get_config(layer) == {
        "class_name": "Conv2D",
        "config": {
            "filters": 4,
            "kernel_size": [3, 3],
            "stride": [2, 1],
            "dilation_rate": [1, 1],
            "padding": "none",
            "activation": "relu",
            "kernel_initializer": "he_normal",
        },
    }


INEXPRESSIBLE = {
    "another layer": (
        layers.ConvTranspose1d(3, 4, 3),
        "babilim has no ConvTranspose1d; it has Conv1D and Conv2D",
    ),
    "groups": (
        layers.Conv1d(4, 4, 3, groups=2),
        "babilim's convolutions have no `groups` (=2), always 1; use convref's own layer",
    ),
    "no bias": (
        layers.Conv1d(4, 4, 3, bias=False),
        "babilim's convolutions have no `bias` (=False), always True; use convref's own layer",
    ),
    "a mask": (
        layers.Conv1d(4, 4, 3, mask=np.ones((4, 4, 3))),
        "babilim's convolutions have no `mask`; leave it to the loss and the training",
    ),
    "a penalty": (
        layers.Conv1d(4, 4, 3, bias_regulariser=L2(0.1)),
        "babilim's convolutions have no `bias_regulariser`; leave it to the loss and the training",
    ),
    "three axes": (
        layers.Conv3d(4, 4, 3),
        "babilim has no convolution of 3 axes; it has those of 1 or 2",
    ),
    "an activation with a parameter": (
        layers.Conv1d(4, 4, 3, activation="elu"),
        "babilim has no `activation` (=ELU); translate the layer without it, and put it after the "
        "layer",
    ),
    "padding that depends on the size": (
        layers.Conv1d(4, 4, 3, stride=2, padding="same"),
        "babilim has no `padding` (='same') for the kernel (3,); use padding='none', and pad "
        "before the layer",
    ),
    "padding of the back end with another activation": (
        layers.Conv1d(4, 4, 3, dilation=2, padding=1, activation="tanh"),
        "babilim has no `padding` (=((1, 1),)) for the kernel (3,); use padding='none', and pad "
        "before the layer",
    ),
}


@pytest.mark.parametrize("name", INEXPRESSIBLE)
def test_layers_that_babilim_has_not(name: str) -> None:
    layer, text = INEXPRESSIBLE[name]
    with refused(WordError, f"from_layer: {text}"):
        babilim.from_layer(layer)


def test_configurations_of_other_dialects() -> None:
    with refused(WordError, "get_config: a Conv1d is not a layer of babilim; use `from_layer`"):
        babilim.get_config(layers.Conv1d(1, 1, 1))
