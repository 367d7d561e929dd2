"""Layers of published networks at their real sizes, in exact integers."""

import json
from pathlib import Path

import numpy as np
import pytest

import convref

LAYERS = json.loads((Path(__file__).parents[1] / "benchmarks" / "layers.json").read_text())[
    "layers"
]


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{layer['model']} {layer['name']}")
def test_compiled_and_numpy_agree_on_real_layers(layer):
    """float32 holds every partial sum: integers up to 4 in size, and fewer than 2**20 terms."""
    filters, channels, groups = layer["K"], layer["C"], layer["groups"]
    size, output = layer["spatial"], layer["out"]
    if layer["transposed"]:  # the convolution that it transposes
        filters, channels, size, output = channels, filters, output, size
    random = np.random.default_rng(len(layer["name"]))

    def integers(*shape):
        return random.integers(-4, 5, shape, np.int8).astype(np.float32)

    x = integers(layer["N"], channels, *size)
    w = integers(filters, channels // groups, *layer["kernel"])
    dy = integers(layer["N"], filters, *output)
    words = {name: layer[name] for name in ("stride", "padding", "dilation", "groups")}
    y = convref.conv(x, w, backend="numba", **words)
    dx = convref.conv_input_grad(dy, w, size, backend="numba", **words)
    dw = convref.conv_weight_grad(x, dy, layer["kernel"], backend="numba", **words)
    assert y.shape == dy.shape
    np.testing.assert_array_equal(y, convref.conv(x, w, backend="numpy", **words))
    with convref.using_backend("numpy"):
        np.testing.assert_array_equal(dx, convref.conv_input_grad(dy, w, size, **words))
        np.testing.assert_array_equal(dw, convref.conv_weight_grad(x, dy, layer["kernel"], **words))
