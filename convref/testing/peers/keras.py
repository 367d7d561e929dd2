"""Keras: convolutions, depthwise and transposed ones, with the gradients of its back end.

The back end is that of ``KERAS_BACKEND``; where nothing says which, one that is installed.
"""

import os
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.testing.case import ConvCase

if find_spec("tensorflow") is None:  # which Keras takes if it is not told
    os.environ.setdefault("KERAS_BACKEND", "jax" if find_spec("jax") else "torch")

import keras
from keras import layers

from convref.dialects.keras.layouts import Kernel, PerChannel
from convref.verify.modules.keras import judgeable

COMMON = {
    "dtypes": ("float32",),
    # On the CPU TensorFlow has channels last alone.
    "layouts": ("channels_last", "channels_first")[: 2 - (keras.backend.backend() == "tensorflow")],
}
FORWARD = {**COMMON, "kinds": ("forward",)}
LIMITS = (  # strides or dilation, and "causal" for one axis
    {**FORWARD, "ranks": (1,), "padding": ("valid", "same", "causal"), "dilation": 1},
    {**FORWARD, "ranks": (1,), "padding": ("valid", "same", "causal"), "stride": 1},
    {**FORWARD, "ranks": (2, 3), "padding": ("valid", "same"), "dilation": 1},
    {**FORWARD, "ranks": (2, 3), "padding": ("valid", "same"), "stride": 1},
    {**COMMON, "kinds": ("transpose",), "groups": 1, "dilation": 1},
    {**COMMON, "kinds": ("transpose",), "groups": 1, "stride": 1},
)


def outputs(case: ConvCase) -> dict[str, NDArray[Any]]:
    """y, and what the back end makes of dy."""
    layer, kernel = (transposed if case.kind == "transpose" else forward)(case)
    x = keras.ops.convert_to_tensor(case.x)
    layer.build(x.shape)
    layer.set_weights([kernel, *([case.bias] if case.with_bias else [])])
    (found,) = judgeable("", layer, x)
    kept = (...,) if layer.padding == "same" or case.kind == "forward" else middle(case)
    y = found.y.array[kept]
    if y.shape != case.y_shape or found.pull_back is None:
        return {"y": y}
    dy = np.zeros(found.y.array.shape, y.dtype)
    dy[kept] = case.dy
    return {"y": y, **{name: gradient.array for name, gradient in found.pull_back(dy).items()}}


def forward(case: ConvCase) -> tuple[Any, NDArray[Any]]:
    """A convolution, or a depthwise one where there is one."""
    words: dict[str, Any] = {
        "strides": case.stride,
        "dilation_rate": case.dilation,
        "padding": case.words["padding"],
        "data_format": case.spec.layout,
        "use_bias": case.with_bias,
    }
    filters, inside, *size = case.weight_shape
    single = case.groups > 1 and inside == 1 and len(set(case.stride)) == 1
    if single and case.rank < 3 and words["padding"] != "causal":
        multiplier = filters // case.groups
        kind = getattr(layers, f"DepthwiseConv{case.rank}D")
        layer = kind(tuple(size), depth_multiplier=multiplier, **words)
        return layer, PerChannel(case.rank, multiplier).theirs(case.w)
    kind = getattr(layers, f"Conv{case.rank}D")
    layer = kind(filters, tuple(size), groups=case.groups, **words)
    return layer, Kernel(case.rank).theirs(case.w)


def transposed(case: ConvCase) -> tuple[Any, NDArray[Any]]:
    """A transposed convolution; what Keras's "same" can't be is cut from the whole."""
    extra = case.output_padding
    largest = all(more == step - 1 for more, step in zip(extra, case.stride, strict=True))
    same = case.words["padding"] == "same" and largest
    layer = getattr(layers, f"Conv{case.rank}DTranspose")(
        case.weight_shape[1],
        case.weight_shape[2:],
        strides=case.stride,
        dilation_rate=case.dilation,
        padding="same" if same else "valid",
        output_padding=None if same else extra,
        data_format=case.spec.layout,
        use_bias=case.with_bias,
    )
    return layer, Kernel(case.rank).theirs(case.w)


def middle(case: ConvCase) -> Any:
    """Where the output is in that without padding."""
    sizes = case.geometry.input_size
    spatial = [slice(lo, lo + size) for (lo, _), size in zip(case.padding, sizes, strict=True)]
    return (..., *spatial, slice(None)) if case.spec.layout == "channels_last" else (..., *spatial)
