"""Nets over Dask arrays: inference, layer by layer.

Layers that slide windows cut slabs as convolutions do; others see one chunk at a time, with those
axes in one chunk that they mix. A task calls a copy of its layer, for a call leaves notes on it.
"""

from collections.abc import Sequence
from copy import copy, deepcopy
from functools import singledispatch
from math import prod

import dask.array as da
import numpy as np
from dask._task_spec import Task, TaskRef

from convref.activations import Elementwise, Softmax
from convref.backends import using_backend
from convref.dtypes import accumulator, divisible
from convref.engine import Array, Options
from convref.errors import ShapeError, WordError
from convref.layer import Layer, cast_to
from convref.layers import (
    BatchNorm,
    Conv,
    ConvTranspose,
    Crop,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Linear,
    Residual,
    SeparableConv,
    Sequential,
    Upsample,
    ZeroPad,
)
from convref.layers.depthwise import DepthwiseConv
from convref.layers.pooling import Pool
from convref.scale.graph import (
    as_dask,
    blocks,
    check_array,
    converted,
    made,
    name_of,
    sorted_out,
    total_of,
)
from convref.scale.operators import forward, input_grad, settled
from convref.scale.windows import upsampled, windowed
from convref.threads import using_threads
from convref.weighted import Weighted


def predict(net: Layer, x: da.Array, *, backend: str | None = None, threads: int = 1) -> da.Array:
    """The output of a net for a Dask array, as in inference: no dropout, and running statistics.

    ``x`` has the shape that ``net(x)`` takes, in chunks of any sizes, and so has the output. Each
    layer's chunks follow those of its input, with all channels in one where channels are mixed.
    Layers that mix positions without windows need them in one chunk: `Flatten`, and `Linear` after
    it. A net that is not built yet is built, as by a first call; the weights are copied.

    >>> from convref.layers import Conv2d, MaxPool2d, Sequential
    >>> net = Sequential(Conv2d(1, 4, 3, padding="same", activation="relu", rng=0), MaxPool2d(2))
    >>> y = predict(net, da.ones((1, 1, 600, 600), chunks=(1, 1, 256, 256)))
    >>> y.shape, y.chunks[2], y.dtype
    ((1, 4, 300, 300), (128, 128, 44), dtype('float32'))
    >>> net.training = False
    >>> bool((y.compute() == net(np.ones((1, 1, 600, 600)))).all())
    True

    Raises DtypeError where x is no Dask array, ShapeError for chunks that a layer can't take and
    where sizes are unknown, WordError for a layer that does not go block by block, and the errors
    of the layers, which name the layer.
    """
    if not isinstance(net, Layer):
        raise WordError(
            f"predict: `net` (a {type(net).__name__}) is not a layer", "pass one, or a Sequential"
        )
    with net._named():
        check_array("x", x)
        how, _ = settled(Options(None, None, backend, threads), np.dtype(np.float64))
    return passed(net, x, how)


def passed(layer: Layer, x: da.Array, how: Options) -> da.Array:
    """The output of a layer, which errors name."""
    with layer._named():
        layer.ensure_built(x.shape)
        layer.output_shape(x.shape)
        return through(layer, x, how)


@singledispatch
def through(layer: Layer, x: da.Array, how: Options) -> da.Array:
    """The output of a layer; each sort of layers says how it goes block by block."""
    raise WordError(
        f"a {type(layer).__name__} does not go block by block",
        "call it on one array, or on each sample with dask.array.map_blocks",
    )


@through.register
def _(layer: Sequential, x: da.Array, how: Options) -> da.Array:
    for inner in layer.layers:
        x = passed(inner, x, how)
    return x


@through.register
def _(layer: Residual, x: da.Array, how: Options) -> da.Array:
    y = passed(layer.body, x, how)
    around = x if layer.shortcut is None else passed(layer.shortcut, x, how)
    if y.shape != around.shape:
        raise ShapeError(
            f"the body gives {y.shape}, and the way around it {around.shape}",
            "give a shortcut, such as Conv2d with kernel_size=1, that makes them equal",
        )
    return da.map_blocks(np.add, y, around.rechunk(y.chunks), dtype=np.result_type(y, around))


# Layers of weights: an affine map, and then perhaps an activation.


@through.register
def _(layer: Conv | DepthwiseConv, x: da.Array, how: Options) -> da.Array:
    y = forward(taken(layer, x), as_dask("w", layer.weight.masked), bias(layer), layer.spec, how)
    return activated(layer, y, how)


@through.register
def _(layer: SeparableConv, x: da.Array, how: Options) -> da.Array:
    middle = forward(taken(layer, x), as_dask("w", layer.depthwise.masked), None, layer.spec, how)
    y = forward(middle, as_dask("w", layer.weight.masked), bias(layer), layer.mixer, how)
    return activated(layer, y, how)


@through.register
def _(layer: ConvTranspose, x: da.Array, how: Options) -> da.Array:
    size = layer.grown(sorted_out(x.shape, layer.spec)[2])
    w = as_dask("w", layer.weight.masked)
    y = input_grad(taken(layer, x), w, bias(layer), size, layer.spec, how, name="x")
    return activated(layer, y, how)


@through.register
def _(layer: Linear, x: da.Array, how: Options) -> da.Array:
    plain = copy(layer)
    plain.activation = None
    return activated(layer, mapped(plain, taken(layer, x), (x.ndim - 1,), how), how)


def taken(layer: Weighted, x: da.Array) -> da.Array:
    """The input in the dtype of a layer's weights."""
    cast_to(layer.dtype, "x", x._meta)
    return converted(x, layer.dtype)


def bias(layer: Weighted) -> da.Array | None:
    """The bias of a layer, if it has one."""
    return None if layer.bias is None else as_dask("bias", np.copy(layer.bias.value))


def activated(layer: Weighted, y: da.Array, how: Options) -> da.Array:
    """What follows the affine map."""
    return y if layer.activation is None else passed(layer.activation, y, how)


# Layers that slide windows, or move positions.


@through.register
def _(layer: Pool, x: da.Array, how: Options) -> da.Array:
    return windowed(layer, layer.kernel_size, x, how)


@through.register
def _(layer: ZeroPad, x: da.Array, how: Options) -> da.Array:
    return windowed(layer, (1,) * layer.spec.rank, x, how)


@through.register
def _(layer: Upsample, x: da.Array, how: Options) -> da.Array:
    return upsampled(layer, x)


@through.register
def _(layer: Crop, x: da.Array, how: Options) -> da.Array:
    return converted(x[layer.places(x.shape)[1]], x.dtype.newbyteorder("="))


@through.register
def _(layer: GlobalAvgPool, x: da.Array, how: Options) -> da.Array:
    dtype = divisible(x._meta).dtype.newbyteorder("=")
    total = accumulator(dtype, None)
    size = layer.sizes(x.shape)[2]
    axes = tuple(range(1, x.ndim - 1) if layer.layout == "channels_last" else range(2, x.ndim))
    sums = total_of(converted(x, total), axes, keep=layer.keep_axes)
    return converted(sums / np.array(prod(size), total), dtype)


# Layers that are called chunk by chunk.


@through.register
def _(layer: Elementwise | Dropout, x: da.Array, how: Options) -> da.Array:
    return mapped(layer, x, (), how)


@through.register
def _(layer: Softmax, x: da.Array, how: Options) -> da.Array:
    return mapped(layer, x, (layer.axis % x.ndim,) if x.ndim else (), how)


@through.register
def _(layer: BatchNorm, x: da.Array, how: Options) -> da.Array:
    return mapped(layer, x, (x.ndim - 1 if layer.layout == "channels_last" else 1,), how)


@through.register
def _(layer: Flatten, x: da.Array, how: Options) -> da.Array:
    if any(count > 1 for count in x.numblocks[1:]):
        raise ShapeError(
            f"`x` (shape {x.shape}) is in {x.numblocks[1:]} chunks along the axes that become one",
            "go up to this layer, rechunk these axes with x.rechunk({axis: -1, ...}), and go on",
        )
    return mapped(layer, x, tuple(range(1, x.ndim)), how)


def mapped(layer: Layer, x: da.Array, whole: Sequence[int], how: Options) -> da.Array:
    """The output of a layer that is called chunk by chunk, with some axes in one chunk."""
    x = x.rechunk(dict.fromkeys(whole, -1))
    own = copy(layer)
    own.training = False
    # What it keeps of its last call is from now on small; the dtype is that of all calls.
    sample = own.forward(
        np.zeros([n if axis in whole else 1 for axis, n in enumerate(x.shape)], x.dtype)
    )
    own = deepcopy(own)
    shape = layer.output_shape(x.shape)
    chunks = tuple((n,) if axis in whole else x.chunks[axis] for axis, n in enumerate(shape))
    name = name_of(type(layer).__name__, x.name, own, how)
    tasks = {}
    for block in blocks(chunks):
        source = (x.name, *block, *(0,) * (x.ndim - len(block)))
        tasks[name, *block] = Task((name, *block), called, TaskRef(source), own, how)
    return made(name, tasks, chunks, sample.dtype, x)


def called(x: Array, layer: Layer, how: Options) -> Array:
    """The output of a layer for one chunk."""
    with using_backend(str(how.backend)), using_threads(how.threads):
        return copy(layer).forward(x)
