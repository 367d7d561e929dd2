"""Padding that is not zeros: the canvas as a Dask array, and the way back from it.

What it repeats may lie in a chunk far away: "circular" shows one end of the input at the other.
Only axes that are padded are spread out on the canvas.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import dask.array as da
import numpy as np

from convref.engine import Array
from convref.geometry import Axis, Geometry, Offsets, sum_by_source
from convref.intervals import Stretch, shown_by, shows
from convref.scale.blockwise import Part, by_blocks
from convref.scale.graph import Chunks, arranged, lengths, sorted_out, spans
from convref.spec import ConvSpec


class Padded(NamedTuple):
    """What `shows` and `shown_by` take, for a block along a padded axis."""

    axis: Axis
    mode: str
    first: int
    stop: int


def is_padded(axis: Axis) -> bool:
    """Whether an axis has cells that are no input's, or inputs that have no cell."""
    return axis.lo != 0 or axis.hi != 0


def unpadded(geometry: Geometry, spec: ConvSpec) -> ConvSpec:
    """The words of the same convolution on the canvas."""
    return replace(
        spec,
        padding=((0, 0),) * spec.rank,
        padding_mode="zeros",
        input_dilation=tuple(
            1 if is_padded(axis) else axis.input_dilation for axis in geometry.axes
        ),
    )


def canvas_chunks(geometry: Geometry, chunks: Chunks, spec: ConvSpec) -> Chunks:
    """Chunks of the canvas that end where those of the input do."""
    lead, channels, size = sorted_out(chunks, spec)
    cells = [
        cells_along(axis, along) if is_padded(axis) else along
        for axis, along in zip(geometry.axes, size, strict=True)
    ]
    found: Chunks = arranged(lead, channels, cells, spec)
    return found


def cells_along(axis: Axis, chunks: Sequence[int]) -> tuple[int, ...]:
    """Chunks of the canvas along one axis."""
    ends = [axis.lo + stop * axis.input_dilation for _, stop in spans(chunks)[:-1]]
    inside = sorted({end for end in ends if 0 < end < axis.canvas})
    return lengths(list(zip([0, *inside], [*inside, axis.canvas], strict=True)))


def on_canvas(x: da.Array, geometry: Geometry, spec: ConvSpec) -> da.Array:
    """The canvas of x."""
    chunks = canvas_chunks(geometry, x.chunks, spec)
    return moved(show, shows, x, chunks, geometry, spec)


def taken_back(canvas: da.Array, geometry: Geometry, chunks: Chunks, spec: ConvSpec) -> da.Array:
    """The transpose of `on_canvas`: each position sums the cells that show it."""
    return moved(take_back, shown_by, canvas, chunks, geometry, spec)


def moved(
    run: Callable[..., Array],
    related: Callable[[Axis, str, int, int], tuple[tuple[Stretch, ...], Offsets]],
    x: da.Array,
    chunks: Chunks,
    geometry: Geometry,
    spec: ConvSpec,
) -> da.Array:
    """The array of these chunks, made by ``run`` of what is related to each."""

    def tie(axis: Axis, first: int, stop: int) -> tuple[tuple[Stretch, ...], Padded | None]:
        if not is_padded(axis):
            return ((first, stop),), None
        tied = Padded(axis, geometry.padding_mode, first, stop)
        return related(*tied)[0], tied

    parts = [Part(span, 1, span) for span in spans(sorted_out(chunks, spec)[1])]
    return by_blocks(run, tie, geometry.axes, parts, (x, None, None), chunks, x.dtype, (spec,))


def show(
    x: Array, _w: None, _b: None, ties: Sequence[Padded | None], _groups: int, spec: ConvSpec
) -> Array:
    """A block of the canvas, from the inputs that it shows."""
    for number, tie in numbered(ties, spec):
        index = shows(*tie)[1]
        if x.shape[number] == len(index) and (index == np.arange(len(index))).all():
            continue
        if not x.shape[number]:  # what shows nothing can't be taken from it either
            shape = list(x.shape)
            shape[number] = len(index)
            x = np.zeros(shape, x.dtype)
            continue
        x = np.take(x, index, axis=number)
        np.moveaxis(x, number, -1)[..., index < 0] = 0
    return x


def take_back(
    canvas: Array, _w: None, _b: None, ties: Sequence[Padded | None], _groups: int, spec: ConvSpec
) -> Array:
    """A block of the input, from the cells that show it."""
    with np.errstate(all="ignore"):
        for number, tie in numbered(ties, spec):
            sources = shown_by(*tie)[1]
            canvas = sum_by_source(canvas, sources, tie.stop - tie.first, number)
    return canvas


def numbered(ties: Sequence[Padded | None], spec: ConvSpec) -> Iterator[tuple[int, Padded]]:
    """The axes that are padded, with their numbers in the array, from its end."""
    first = -spec.rank - (spec.layout == "channels_last")
    return ((number, tie) for number, tie in enumerate(ties, first) if tie is not None)
