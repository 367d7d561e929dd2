"""Layers that change the shape alone: zeros around the input, its edges cut off, one flat row.

Padding and cropping are one thing: a canvas that is larger or smaller than the input.
"""

from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from convref import shapes
from convref.errors import ShapeError, WordError, shown, verb
from convref.geometry import Geometry, bind
from convref.integers import is_sequence, members
from convref.layer import Layer
from convref.memory import check_fits
from convref.padding import Pair, pairs
from convref.spec import ConvSpec
from convref.summary import Field, Shape

Array = NDArray[Any]
Edges = int | tuple[int | Pair, ...] | list[int | Pair]
"""One amount for all edges, or per axis one for both edges or a pair (lo, hi)."""


class Framed(Layer):
    """An input of which edges are added or cut off; the canvas of a kernel of one tap."""

    spec: ConvSpec

    def geometry(self, shape: Shape) -> Geometry:
        """The geometry of the canvas for an input of this shape; raise ShapeError."""
        size = shapes.sizes("x", shape, self.spec)[2]
        return bind(self.spec, size, (1,) * self.spec.rank)

    def output_shape(self, shape: Shape) -> Shape:
        lead, channels, _ = shapes.sizes("x", shape, self.spec)
        return shapes.shape_of(lead, channels, self.geometry(shape).output_size, self.spec)

    def places(self, shape: Shape) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Indices of what the output shows of the input: (in the output, in the input)."""
        placed = [axis.placement for axis in self.geometry(shape).axes]
        end = (slice(None),) * (self.spec.layout == "channels_last")
        cells, positions = zip(*placed, strict=True)
        return (..., *cells, *end), (..., *positions, *end)

    def forward(self, x: Array) -> Array:
        self.shape, shape = x.shape, self.output_shape(x.shape)
        check_fits(prod(shape) * x.itemsize, "the output", shape)
        cells, positions = self.places(x.shape)
        y = np.zeros(shape, x.dtype.newbyteorder("="))
        y[cells] = x[positions]
        return y

    def gradient(self, dy: Array) -> Array:
        cells, positions = self.places(self.shape)
        dx = np.zeros(self.shape, dy.dtype)
        dx[positions] = dy[cells]
        return dx


class ZeroPad(Framed):
    """x with zeros before and after it, on as many spatial axes as ``padding`` has entries.

    ``x (..., C, *spatial)``, or ``(..., *spatial, C)`` with channels last. ``padding`` is an int
    or a pair (lo, hi) per axis; for the classes with a fixed number of axes, one int does for all.

    Raises WordError for padding that is negative or no integer, ShapeError for an input that does
    not fit.

    >>> ZeroPad1d([(1, 2)])([[5, 6]])
    array([[0, 5, 6, 0, 0]])
    """

    rank: ClassVar[int | None] = None
    """Spatial axes; None: as many as padding has entries."""

    @verb
    def __init__(
        self, padding: Edges, *, layout: str = "channels_first", name: str | None = None
    ) -> None:
        super().__init__(name)
        amounts = edges("padding", padding, self.rank, "to cut edges off use Crop")
        self.spec = ConvSpec.of(len(amounts), padding=amounts, layout=layout)


class Crop(Framed):
    """x without its edges, on as many spatial axes as ``cropping`` has entries.

    ``x (..., C, *spatial)``, or ``(..., *spatial, C)`` with channels last. ``cropping`` is an int
    or a pair (lo, hi) per axis; for the classes with a fixed number of axes, one int does for all.

    Raises WordError for cropping that is negative or no integer, ShapeError for an input that does
    not fit or of which nothing would be left.

    >>> Crop1d([(1, 2)])([[1, 2, 3, 4, 5]])
    array([[2, 3]])
    """

    rank: ClassVar[int | None] = None
    """Spatial axes; None: as many as cropping has entries."""

    @verb
    def __init__(
        self, cropping: Edges, *, layout: str = "channels_first", name: str | None = None
    ) -> None:
        super().__init__(name)
        self.amounts = edges("cropping", cropping, self.rank, "to add zeros use ZeroPad")
        padding = tuple((-lo, -hi) for lo, hi in self.amounts)
        self.spec = ConvSpec.of(len(padding), padding=padding, layout=layout)

    def geometry(self, shape: Shape) -> Geometry:
        size = shapes.sizes("x", shape, self.spec)[2]
        for axis, (length, amounts) in enumerate(zip(size, self.amounts, strict=True)):
            if sum(amounts) >= length:
                raise ShapeError(
                    f"`cropping` (={amounts}) leaves nothing of the {length} positions of `x` "
                    f"(shape {shape}) along spatial axis {axis}",
                    "crop less",
                )
        return super().geometry(shape)


def edges(name: str, value: Edges, rank: int | None, other: str) -> tuple[Pair, ...]:
    """A pair (lo, hi) per axis, none negative; without a rank, of as many axes as entries."""
    if rank is None:
        value = members(name, value) if is_sequence(value) else value
        if not is_sequence(value) or not value:
            raise WordError(
                f"`{name}` (={shown(value)}) must have one entry per spatial axis",
                "write [1] for one axis or [1, (0, 2)] for two",
            )
        rank = len(value)
    amounts = pairs(name, value, rank)
    if min(map(min, amounts)) < 0:
        raise WordError(f"`{name}` (={shown(value)}) must not be negative", other)
    return amounts


class ZeroPad1d(ZeroPad):
    """`ZeroPad` with one spatial axis."""

    rank = 1


class ZeroPad2d(ZeroPad):
    """`ZeroPad` with two spatial axes."""

    rank = 2


class ZeroPad3d(ZeroPad):
    """`ZeroPad` with three spatial axes."""

    rank = 3


class Crop1d(Crop):
    """`Crop` with one spatial axis."""

    rank = 1


class Crop2d(Crop):
    """`Crop` with two spatial axes."""

    rank = 2


class Crop3d(Crop):
    """`Crop` with three spatial axes."""

    rank = 3


class Flatten(Layer):
    """``x (N, ...)`` as ``y (N, product)``: all axes but the first in one, in the order of memory.

    Raises ShapeError for an input without axes.

    >>> Flatten()([[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
    array([[1, 2, 3, 4],
           [5, 6, 7, 8]])
    """

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x.reshape(self.output_shape(x.shape))

    def gradient(self, dy: Array) -> Array:
        return dy.reshape(self.shape)

    def output_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ShapeError("`x` (shape ()) has no axes", "give it the shape (N, ...)")
        return shape[0], prod(shape[1:])

    def field(self, field: Field) -> Field:
        """Of a row as a whole, which is what the next layer sees."""
        return field.everything()
