"""Depthwise with channels last, which has a kernel of its own: lanes of channels."""

import numpy as np
import pytest
from oracles import forward, input_grad, weight_grad

from convref import conv, conv_input_grad, conv_weight_grad
from convref.kernels.jit.vectors import vector_lanes
from convref.threads import using_threads

DTYPES = ("float32", "float64", "int64", "complex64")
LANES = vector_lanes(4)
CHANNELS = (LANES, LANES + 1, 2 * LANES, 2 * LANES + 8, 4 * LANES + 6)
WORDS = {
    "valid": {},
    "stride": {"stride": 2, "padding": 1},
    "dilation": {"padding": "same", "dilation": (1, 2)},
    "circular": {"padding": 2, "padding_mode": "circular"},
    "cropped, spread out": {"padding": (-1, 2), "input_dilation": (2, 1)},
}


def operands(channels, words, dtype, rng, batch=2, size=(9, 11)):
    """x, w, dy and the words of all, in small integers."""
    words = {"groups": channels, "layout": "channels_last", **words}
    x = rng.integers(-5, 6, (batch, *size, channels)).astype(dtype)
    w = rng.integers(-5, 6, (channels, 1, 3, 3)).astype(dtype)
    dy = rng.integers(-5, 6, forward(x, w, **words).shape).astype(dtype)
    return x, w, dy, words


@pytest.mark.uncompiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("channels", CHANNELS)
def test_all_operators(channels, name, dtype, rng):
    x, w, dy, words = operands(channels, WORDS[name], dtype, rng)
    np.testing.assert_array_equal(conv(x, w, **words), forward(x, w, **words))
    np.testing.assert_array_equal(
        conv_input_grad(dy, w, (9, 11), **words), input_grad(dy, w, (9, 11), **words)
    )
    np.testing.assert_array_equal(
        conv_weight_grad(x, dy, (3, 3), **words), weight_grad(x, dy, (3, 3), **words)
    )


def test_more_rows_and_more_depth_than_a_block(rng):
    x, w, dy, words = operands(LANES, {"padding": 1}, "float32", rng, batch=3, size=(31, 37))
    np.testing.assert_array_equal(conv(x, w, **words), forward(x, w, **words))
    np.testing.assert_array_equal(
        conv_weight_grad(x, dy, (3, 3), **words), weight_grad(x, dy, (3, 3), **words)
    )


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name", ["valid", "stride", "dilation"])
def test_weights_that_are_not_finite_reach_only_what_they_saw(name, value, rng):
    _, w, dy, words = operands(LANES, WORDS[name], "float32", rng)
    w[3, 0, 0, 1] = value
    np.testing.assert_array_equal(
        conv_input_grad(dy, w, (9, 11), **words),
        conv_input_grad(dy, w, (9, 11), backend="naive", **words),
    )


def test_bits_depend_neither_on_threads_nor_on_the_batch(rng):
    words = {"groups": 2 * LANES, "layout": "channels_last", "padding": 1}
    x = rng.standard_normal((3, 40, 41, 2 * LANES)).astype(np.float32)
    w = rng.standard_normal((2 * LANES, 1, 3, 3)).astype(np.float32)
    results = []
    for threads in (1, 2, 3, 7):
        with using_threads(threads):
            y = conv(x, w, **words)
            results.append((y, conv_weight_grad(x, y, (3, 3), **words)))
            np.testing.assert_array_equal(conv(x[1:2], w, **words), y[1:2])
    for y, dw in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(dw, results[0][1])
