"""Which positions of its input each layer of a net sees, along one spatial axis."""

from collections.abc import Callable

import numpy as np

from convref.errors import WordError
from convref.explain.pictures.cells import Indices, along, line_of
from convref.geometry import Axis, bind, gathered
from convref.layer import Layer
from convref.layers.containers import Residual, Sequential
from convref.layers.conv import Conv
from convref.layers.conv_lstm import ConvLSTM
from convref.layers.conv_transpose import ConvTranspose
from convref.layers.depthwise import PerChannel
from convref.layers.pooling import Pool
from convref.layers.shape import Framed
from convref.layers.upsample import Upsample
from convref.summary import Field, Shape

Sight = Callable[[Indices], Indices]
"""From output positions to the input positions that they see."""


def layout_of(net: Layer) -> str:
    """Where the channels of a net are: as the first layer has it that says so."""
    spec = getattr(net, "spec", None)
    if spec is not None:
        return str(spec.layout)
    inner = (layout_of(child) for child in net.children().values())
    return next((layout for layout in inner if layout), "")


def spatial(shape: Shape, layout: str) -> Shape:
    """The spatial sizes of an input; none where there are only channels."""
    return shape[1:-1] if layout == "channels_last" else shape[2:]


def sight(layer: Layer, shape: Shape, axis: int, layout: str) -> Sight:
    """What the outputs of a layer see of an input of this shape; the layer is built."""
    size = spatial(shape, layout)
    if isinstance(layer, Sequential):
        return through(layer, shape, axis, layout)
    if isinstance(layer, Residual):
        body = sight(layer.body, shape, axis, layout)
        shortcut = layer.shortcut
        around = identity if shortcut is None else sight(shortcut, shape, axis, layout)
        return lambda o: np.union1d(body(o), around(o))
    if isinstance(layer, Conv | PerChannel | Pool):
        bound = bind(layer.spec, size, layer.kernel_size)
        return windows(bound.axes[axis], bound.padding_mode)
    if isinstance(layer, ConvTranspose):
        grown = bind(layer.spec, layer.grown(size), layer.kernel_size)
        return windows(gathered(grown).axes[axis], "zeros")
    if isinstance(layer, Framed):
        return windows(layer.geometry(shape).axes[axis], "zeros")
    if isinstance(layer, Upsample):
        return interpolation(layer, shape, axis)
    return plain(layer, shape, axis, layout)


def through(net: Sequential, shape: Shape, axis: int, layout: str) -> Sight:
    """What the outputs of a sequence see of its input."""
    sights = []
    for layer in net.layers:
        layer.ensure_built(shape)
        sights.append(sight(layer, shape, axis, layout))
        shape = layer.output_shape(shape)

    def seen(o: Indices) -> Indices:
        for one in reversed(sights):
            o = np.unique(one(o))
        return o

    return seen


def windows(axis: Axis, mode: str) -> Sight:
    """What windows see, padding and holes left out."""
    line, alone = line_of(axis, mode), along(axis)

    def seen(o: Indices) -> Indices:
        cells = np.add.outer(alone.taps, alone.origins[o]).ravel()
        sources = line.source[np.searchsorted(line.index, cells)]
        return sources[sources >= 0]

    return seen


def interpolation(layer: Upsample, shape: Shape, axis: int) -> Sight:
    """The neighbours that an output position is made of."""
    tables = layer.tables(shape)
    columns, weights = tables[sorted(tables)[axis]][0]

    def seen(o: Indices) -> Indices:
        counts = np.ones(1, bool) if weights is None else weights[:, o] != 0
        found: Indices = columns[:, o][np.broadcast_to(counts, columns[:, o].shape)]
        return found

    return seen


def identity(o: Indices) -> Indices:
    """Each position sees its own."""
    return o


def plain(layer: Layer, shape: Shape, axis: int, layout: str) -> Sight:
    """Layers that look at each position by itself, or at all of them; raise WordError."""
    before, after = spatial(shape, layout), spatial(layer.output_shape(shape), layout)
    if not before:
        return identity
    if not isinstance(layer, ConvLSTM):  # which sees earlier steps, too
        field = Field().through((1,) * len(before), (1,) * len(before))
        if layer.field(field) == field and before == after:
            return identity
        if layer.field(field) == field.everything():
            return lambda o: np.arange(before[axis])
    raise WordError(f"{type(layer).__name__} has no picture of its field", "pass a net without it")
