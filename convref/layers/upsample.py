"""Upsampling: more positions, between those that there are.

Along each axis it is a sparse matrix: an output position is the weighted sum of one input position
or a few. Its transpose, which takes gradients back, is a sparse matrix too: an input position is in
few output positions. Both are kept as tables of one form and applied by one function.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache, partial
from math import prod
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convref import engine, shapes
from convref.dtypes import accumulator, divisible
from convref.errors import ShapeError, WordError, verb
from convref.integers import flag, kernel_sizes, per_axis
from convref.layer import Layer
from convref.memory import check_fits
from convref.spec import Axes, ConvSpec, one_of
from convref.summary import Field, Shape

Array = NDArray[Any]
Columns = NDArray[np.int64]
Weights = NDArray[np.float64]
SYNONYMS = {2: "bilinear", 3: "trilinear"}
"""Names of "linear" along all of so many axes."""
Mode = Literal["nearest", "linear", "cubic", "lanczos3", "lanczos5"]


def cubic(x: Weights) -> Weights:
    """The kernel of Keys, "Cubic convolution interpolation for digital image processing", 1981.

    Its slope parameter is -1/2, as Keras, TensorFlow and Pillow have it; PyTorch's is -3/4.
    """
    near = (1.5 * x - 2.5) * x * x + 1
    return np.where(x < 1, near, ((-0.5 * x + 2.5) * x - 4) * x + 2)


def lanczos(radius: int, x: Weights) -> Weights:
    """``sinc(x) * sinc(x / radius)``."""
    return np.sinc(x) * np.sinc(x / radius)


KERNELS: dict[str, tuple[int, Callable[[Weights], Weights]]] = {
    "cubic": (2, cubic),
    "lanczos3": (3, partial(lanczos, 3)),
    "lanczos5": (5, partial(lanczos, 5)),
}
"""How far each mode reaches, and the weight of a position at a distance from 0 to that."""


class Upsample(Layer):
    """Each spatial axis ``scale_factor`` times as long; as many axes as it has entries.

    ``x (..., C, *input)`` gives ``y (..., C, *output)``, or both with channels last, with
    ``output = input * scale_factor``. With ``mode="nearest"`` each position is repeated. With
    "linear" (also "bilinear" for two axes, "trilinear" for three), output position o lies at

        i = (o + 1/2) / scale_factor - 1/2        or, with align_corners,
        i = o * (input - 1) / (output - 1)

    of the input, is interpolated between its two neighbours there, one axis after the other, and is
    that of the edge beyond the edge. The first has cells of equal width that cover the same extent,
    as Keras and TensorFlow have it; with the second, the centres of the outermost cells coincide.
    PyTorch has both. "cubic", "lanczos3" and "lanczos5" take two, three or five neighbours on each
    side, and where some lie beyond the edge, the others share their weight. Integers are
    interpolated in float64.

    Raises WordError for a word that is unknown or out of range, ShapeError for an input that does
    not fit.

    >>> Upsample1d(2)([[1, 2, 3]])
    array([[1, 1, 2, 2, 3, 3]])
    >>> Upsample1d(2, mode="linear")([[0.0, 4.0]])
    array([[0., 1., 3., 4.]])
    >>> Upsample1d(2, mode="linear", align_corners=True)([[0.0, 3.0]])
    array([[0., 1., 2., 3.]])
    """

    rank: ClassVar[int | None] = None
    """Spatial axes; None: as many as scale_factor has entries."""

    @verb
    def __init__(
        self,
        scale_factor: Axes,
        *,
        mode: str = "nearest",
        align_corners: bool = False,
        layout: str = "channels_first",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        if self.rank is None:
            self.scale_factor = kernel_sizes(scale_factor, "scale_factor")
        else:
            self.scale_factor = per_axis("scale_factor", scale_factor, self.rank, minimum=1)
        rank = len(self.scale_factor)
        synonym = isinstance(mode, str) and mode.lower() == SYNONYMS.get(rank)
        self.mode = "linear" if synonym else one_of("mode", mode, Mode)
        self.align_corners = flag("align_corners", align_corners)
        if self.align_corners and self.mode == "nearest":
            raise WordError(
                "`align_corners` (=True) is for interpolation, and `mode` is 'nearest'",
                "use mode='linear', or leave it out",
            )
        self.spec = ConvSpec.of(rank, layout=layout)

    def forward(self, x: Array) -> Array:
        x = x if self.mode == "nearest" else divisible(x)
        self.shape, dtype = x.shape, x.dtype.newbyteorder("=")
        shape = self.output_shape(x.shape)
        total = dtype if self.mode == "nearest" else accumulator(dtype, None)
        check_fits(prod(shape) * total.itemsize, "the output", shape)
        y = engine.contiguous(x, total)
        for axis, (table, _) in self.tables(x.shape).items():
            y = apply(table, y, axis)
        return y.astype(dtype, copy=False)

    def gradient(self, dy: Array) -> Array:
        dx = engine.contiguous(dy, accumulator(dy.dtype, None))
        for axis, (_, transposed) in reversed(self.tables(self.shape).items()):
            dx = apply(transposed, dx, axis)
        with np.errstate(all="ignore"):
            return dx.astype(dy.dtype, copy=False)

    def tables(self, shape: Shape) -> dict[int, tuple["Table", "Table"]]:
        """The matrix of each axis and its transpose, the last axis first."""
        first = len(shapes.sizes("x", shape, self.spec)[0])
        first += self.spec.layout == "channels_first"
        kind = self.mode, self.align_corners
        axes = reversed(list(enumerate(self.scale_factor, start=first)))
        return {axis: matrices(shape[axis], scale, *kind) for axis, scale in axes}

    def output_shape(self, shape: Shape) -> Shape:
        lead, channels, size = shapes.sizes("x", shape, self.spec)
        if not prod(size):
            raise ShapeError(
                f"`x` (shape {shape}) has no positions to repeat", "give each axis one or more"
            )
        output = tuple(n * scale for n, scale in zip(size, self.scale_factor, strict=True))
        return shapes.shape_of(lead, channels, output, self.spec)

    def field(self, field: Field) -> Field:
        reach = {"nearest": 1, "linear": 2}.get(self.mode) or 2 * KERNELS[self.mode][0]
        between = [reach if scale > 1 else 1 for scale in self.scale_factor]
        return field.through(between, [Fraction(1, scale) for scale in self.scale_factor])


class Table(NamedTuple):
    """A sparse matrix with few entries a row: entry e of row r is in column ``columns[e][r]``."""

    columns: Columns
    """(E, rows)."""
    weights: Weights | None
    """(E, rows); None where all are 1."""


def apply(table: Table, x: Array, axis: int) -> Array:
    """``y[..., r, ...] = sum over e of weights[e][r] * x[..., columns[e][r], ...]``."""
    y: Array | None = None
    with np.errstate(all="ignore"):
        for entry, columns in enumerate(table.columns):
            term = np.take(x, columns, axis=axis)
            if table.weights is not None:
                weights = table.weights[entry].astype(x.real.dtype)
                term *= weights.reshape(-1, *[1] * (x.ndim - axis - 1))
            y = term if y is None else np.add(y, term, out=y)
    return x if y is None else y


@lru_cache(maxsize=128)
def matrices(size: int, scale: int, mode: str, align_corners: bool) -> tuple[Table, Table]:
    """The matrix of one axis, ``(size * scale, size)``, and its transpose."""
    check_fits(16 * size * scale, "the table of all positions")
    o = np.arange(size * scale)
    if mode == "nearest":
        columns, weights = (o // scale)[None], np.ones((1, len(o)))
        transposed = transpose(columns, weights, size)
        return Table(columns, None), Table(transposed.columns, None)
    # i = above / below, in integers, so that what lies on a position sees nothing but that.
    above, below = 2 * o + 1 - scale, 2 * scale
    if align_corners:
        above, below = o * (size - 1), max(1, size * scale - 1)
    if mode in KERNELS:
        columns, weights = kernel_weights(size, above / below, *KERNELS[mode])
        return Table(columns, weights), transpose(columns, weights, size)
    above = above.clip(0, (size - 1) * below)
    i, rest = above // below, above % below
    columns = np.stack([i, i + (rest > 0)])
    weights = np.stack([(below - rest) / below, rest / below])
    return Table(columns, weights), transpose(columns, weights, size)


def kernel_weights(
    size: int, i: Weights, radius: int, kernel: Callable[[Weights], Weights]
) -> tuple[Columns, Weights]:
    """What the neighbours of each i count for; those beyond the edge have a weight of 0."""
    columns = np.floor(i).astype(np.int64) + np.arange(1 - radius, radius + 1)[:, None]
    inside = (columns >= 0) & (columns < size)
    weights = np.where(inside, kernel(np.abs(i - columns)), 0)
    return columns.clip(0, size - 1), weights / np.sum(weights, 0)


def transpose(columns: Columns, weights: Weights, rows: int) -> Table:
    """The transpose, of so many rows.

    Short rows are filled up with entries of weight 0, in a column that the row has anyway: zero
    times infinity is NaN.
    """
    entry, column = np.nonzero(weights)
    row, weights = columns[entry, column], weights[entry, column]
    order = np.lexsort((column, row))
    row, column, weights = row[order], column[order], weights[order]
    counts = np.bincount(row, minlength=rows)
    starts = np.cumsum(counts) - counts
    place = np.arange(len(row)) - np.repeat(starts, counts)
    filled = np.tile(column[starts], (counts.max(), 1)), np.zeros((counts.max(), rows))
    filled[0][place, row], filled[1][place, row] = column, weights
    return Table(*filled)


class Upsample1d(Upsample):
    """`Upsample` with one spatial axis."""

    rank = 1


class Upsample2d(Upsample):
    """`Upsample` with two spatial axes."""

    rank = 2


class Upsample3d(Upsample):
    """`Upsample` with three spatial axes."""

    rank = 3
