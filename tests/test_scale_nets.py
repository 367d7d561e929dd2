"""Nets over Dask arrays: layer by layer what a call of the net gives, whatever the chunks."""

import pickle
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from messages import refused

from convref import DtypeError, ShapeError, WordError, layers
from convref.layers import (
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvLSTM1d,
    ConvTranspose2d,
    Crop2d,
    DepthwiseConv2d,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Layer,
    Linear,
    MaxPool1d,
    MaxPool2d,
    Residual,
    SeparableConv2d,
    Sequential,
    Softmax,
    Upsample1d,
    Upsample2d,
    Upsample3d,
    ZeroPad2d,
)
from convref.scale import predict

LAST = {"layout": "channels_last"}


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def unet() -> Sequential:
    return Sequential(
        Conv2d(2, 4, 3, padding="same", activation="relu"),
        MaxPool2d(3, stride=2, padding=1),
        Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        ConvTranspose2d(6, 4, 4, stride=2, padding=1, groups=2, output_padding=1),
        Upsample2d(2),
        Residual(DepthwiseConv2d(4, 3, padding="same")),
        Residual(Conv2d(4, 4, 1), Conv2d(4, 4, 3, padding="same")),
        AvgPool2d((2, 4), stride=2, padding=1),
        SeparableConv2d(4, 3, 3, padding="same_lower"),
        ZeroPad2d([(1, 2), (0, 3)]),
        Crop2d(1),
    )


NETS = {
    "U-Net": (unet, (3, 2, 23, 31)),
    "channels last": (
        lambda: Sequential(
            Conv2d(2, 4, 3, padding="causal", **LAST), MaxPool2d(2, **LAST), Upsample2d(3, **LAST),
            ZeroPad2d(1, **LAST), Crop2d(1, **LAST),
        ),
        (3, 9, 11, 2),
    ),
    "circular": (lambda: Conv1d(2, 4, 5, padding=7, padding_mode="circular"), (3, 2, 40)),
    "dilated": (lambda: MaxPool1d(3, stride=1, dilation=4, padding=8), (2, 3, 10)),
    "padding alone": (lambda: AvgPool1d(2, padding=7), (1, 1, 3)),
    "of maxima, too": (lambda: MaxPool1d(2, padding=7), (1, 1, 3)),
    "not batched": (lambda: Sequential(Conv1d(2, 3, 3), MaxPool1d(2)), (2, 30)),
    "no samples": (lambda: Sequential(Conv1d(2, 3, 3), MaxPool1d(2), Dropout(0.5)), (0, 2, 30)),
    "masked": (lambda: Conv1d(2, 3, 2, mask=[1, 0]), (2, 2, 9)),
}  # fmt: skip
"""Of integers, in float32: exact, whatever the order of sums."""

ROUNDED = {
    "classifier": (
        lambda: Sequential(
            Conv2d(2, 4, 3), BatchNorm(4), GlobalAvgPool(), Linear(4, 3, activation="softplus"),
            Softmax(),
        ),
        (5, 2, 8, 9),
    ),
    "classifier, channels last": (
        lambda: Sequential(
            BatchNorm(**LAST), Linear(2, 3, activation="gelu"),
            GlobalAvgPool(keep_axes=True, **LAST),
        ),
        (5, 8, 9, 2),
    ),
    "softmax of channels": (lambda: Softmax(axis=1), (5, 4, 9)),
    "cubic": (lambda: Upsample2d(3, mode="cubic"), (2, 2, 7, 5)),
    "corners": (lambda: Upsample3d(2, mode="linear", align_corners=True), (1, 2, 5, 4, 3)),
    "lanczos": (lambda: Upsample1d(2, mode="lanczos3"), (1, 2, 30)),
}  # fmt: skip


def prepared(make: Any, shape: tuple[int, ...], integers: bool) -> tuple[Layer, Any, Any]:
    """A net in inference, an input of integers, and what the net makes of it."""
    rng, net = np.random.default_rng(4), make()
    x = rng.integers(-4, 4, shape).astype(np.float32)
    net.training = False
    net(x)
    for name, parameter in net.parameters().items():
        values = rng.integers(-2, 2, parameter.value.shape, endpoint=True)
        positive = integers or "variance" in name
        parameter.value[...] = abs(values) + 1 if positive and not integers else values
    return net, x, net(x)


CHUNKS = [1, 2, 3, -1]


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("name", NETS)
def test_exact(name: str, chunks: int) -> None:
    net, x, expected = prepared(*NETS[name], integers=True)
    y = predict(net, da.from_array(x, chunks=chunks), backend="numpy")
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(y.compute(), expected, strict=True)


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("name", ROUNDED)
def test_rounded(name: str, chunks: int) -> None:
    """Of values near 1, and of a few roundings."""
    net, x, expected = prepared(*ROUNDED[name], integers=False)
    y = predict(net, da.from_array(x, chunks=chunks))
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    room = 64 * np.finfo(np.float32).eps * np.maximum(1, abs(expected))
    assert (abs(y.compute() - expected) <= room).all()


@pytest.mark.parametrize("dtype", ["int8", "float16", ">f4", "bool"])
def test_dtypes(dtype: str) -> None:
    net = Sequential(
        Upsample1d(2), MaxPool1d(2), Crop2d(0), layers.ReLU(), AvgPool1d(2), GlobalAvgPool()
    )
    net.training = False
    x = (np.arange(48).reshape(2, 2, 3, 4) % 3).astype(dtype)
    for layer in net.layers:
        y = predict(layer, da.from_array(x, chunks=(1, 2, 2, 3)))
        expected = layer(x)
        assert y.dtype == expected.dtype
        np.testing.assert_array_equal(y.compute(), expected, strict=True)


def test_as_in_inference_whatever_the_net_is_set_to() -> None:
    net = Sequential(BatchNorm(2, epsilon=1e-9), Dropout(0.9))
    x = da.ones((4, 2, 6), chunks=2)
    np.testing.assert_array_equal(predict(net, x).compute(), np.ones((4, 2, 6), np.float32))
    assert net.training
    assert net.layers[0].running_mean.value.tolist() == [0, 0]


def test_a_net_is_built_and_left_as_it_is() -> None:
    net = Sequential(Conv1d(None, 3, 3, rng=0), BatchNorm(), MaxPool1d(2))
    y = predict(net, da.ones((1, 2, 20), chunks=5))
    assert net.layers[0].weight.value.shape == (3, 2, 3)
    with pytest.raises(WordError, match="backward comes after a call"):
        net.layers[2].backward(np.ones((1, 3, 9)))
    before = y.compute()
    for parameter in net.parameters().values():
        parameter.value *= 2
    np.testing.assert_array_equal(y.compute(), before)


def test_what_a_layer_keeps_is_not_sent_along() -> None:
    layer = MaxPool1d(2)
    layer(np.ones((1, 1, 10**6)))
    y = predict(layer, da.ones((1, 1, 30), chunks=10))
    assert len(pickle.dumps(dict(y.__dask_graph__()))) < 50_000


def test_threads_do_not_meet_on_a_layer(rng: np.random.Generator) -> None:
    net = Sequential(BatchNorm(8), MaxPool1d(3, stride=1), layers.SiLU())
    net.training = False
    x = rng.standard_normal((64, 8, 200)).astype(np.float32)
    y = predict(net, da.from_array(x, chunks=(1, 8, 50)))
    np.testing.assert_array_equal(y.compute(scheduler="threads", num_workers=8), net(x))


# What is refused.


@pytest.mark.numba
def test_flatten_needs_whole_samples() -> None:
    net = Sequential(Conv2d(1, 2, 3, rng=0), Flatten(), Linear(72, 3, rng=0))
    x = da.ones((4, 1, 8, 8), chunks=(1, 1, 4, 8))
    with refused(
        ShapeError,
        "Sequential > Flatten: `x` (shape (4, 2, 6, 6)) is in (1, 2, 1) chunks along the axes that "
        "become one; go up to this layer, rechunk these axes with x.rechunk({axis: -1, ...}), and "
        "go on",
    ):
        predict(net, x)
    whole = x.rechunk({2: -1})
    np.testing.assert_array_equal(predict(net, whole).compute(), net(np.ones(x.shape)))


def test_layers_that_go_along_an_axis() -> None:
    net = Sequential(ConvLSTM1d(2, 3, 3, padding="same", name="memory"))
    with refused(
        WordError,
        "Sequential > memory: a ConvLSTM1d does not go block by block; call it on one array, or on "
        "each sample with dask.array.map_blocks",
    ):
        predict(net, da.ones((1, 4, 2, 9)))


def test_errors_name_the_layer() -> None:
    net = Sequential(Conv1d(2, 3, 3), Residual(Conv1d(3, 4, 1, name="wide")), name="net")
    message = (
        "net > Residual: the body gives (1, 4, 18), and the way around it (1, 3, 18); give a "
        "shortcut, such as Conv2d with kernel_size=1, that makes them equal"
    )
    with refused(ShapeError, message):
        predict(net, da.ones((1, 2, 20)))
    with refused(
        DtypeError,
        "net > Conv1d: `x` (complex128) can't go through a layer of float32; give the layer a "
        "complex dtype",
    ):
        predict(net, da.ones((1, 2, 20), dtype=complex))
    with pytest.raises(ShapeError, match=r"net > Conv1d: `w` .* takes 2 input channels"):
        predict(net, da.ones((1, 3, 20)))


def test_what_is_not_a_net_or_an_array() -> None:
    with refused(WordError, "predict: `net` (a list) is not a layer; pass one, or a Sequential"):
        predict([Conv1d(1, 1, 1)], da.ones((1, 1, 9)))
    with refused(
        DtypeError,
        "Conv1d: `x` (ndarray) is not a Dask array; wrap it, which copies nothing: "
        "dask.array.from_array(x, chunks=...)",
    ):
        predict(Conv1d(1, 1, 1), np.ones((1, 1, 9)))
    with refused(WordError, "Conv1d: `threads` (=0) must be at least 1; use 1 or more"):
        predict(Conv1d(1, 1, 1), da.ones((1, 1, 9)), threads=0)
