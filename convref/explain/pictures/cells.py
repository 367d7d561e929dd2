"""What each cell of a canvas, a kernel and an output is: the part of a picture that is not drawing.

Along one axis a cell is of one kind, and shows one input position or none; over several axes the
kinds combine: a padding row makes padding of what it crosses, whatever that is along the columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref.dtypes import as_array
from convref.errors import ShapeError, WordError, shown
from convref.geometry import Axis, Geometry
from convref.integers import integer, is_sequence
from convref.kernels import im2col

Array = NDArray[Any]
Indices = NDArray[np.int64]
Index = tuple[int, ...]

KINDS = ("input", "hole", "padding", "surplus", "cropped")
"""From the weakest to the strongest: where axes cross, the strongest is seen."""
TIMES = "\N{MULTIPLICATION SIGN}"
LONGEST = 2**16
"""Cells of an axis that is still looked at."""


@dataclass(frozen=True)
class Line:
    """One axis of a canvas, cell by cell, with the cropped cells that are not on it."""

    index: Indices
    """Where the cell is on the canvas; cropped cells are before it or after it."""
    source: Indices
    """The input position that is seen there, or -1."""
    kind: Indices
    """Its number in KINDS."""
    unread: NDArray[np.bool_]
    """Whether no window reads it."""

    def part(self, view: slice) -> "Line":
        """The cells of a view."""
        return Line(self.index[view], self.source[view], self.kind[view], self.unread[view])


def line_of(axis: Axis, mode: str) -> Line:
    """The line of an axis.

    Padding is surplus as far as the other side has less of it; that is the one cell more of "same",
    all of "causal", and the difference of explicit pairs.
    """
    whole = replace(axis, lo=max(axis.lo, 0), hi=max(axis.hi, 0))
    index = np.arange(whole.canvas) + min(axis.lo, 0)
    kind = np.full(whole.canvas, KINDS.index("padding"))
    inside = slice(whole.lo, whole.lo + whole.spread)
    source = whole.sources(mode)
    kind[inside] = np.where(source[inside] < 0, KINDS.index("hole"), KINDS.index("input"))
    kind[: max(0, whole.lo - whole.hi)] = KINDS.index("surplus")
    kind[whole.canvas - max(0, whole.hi - whole.lo) :] = KINDS.index("surplus")
    on_canvas = (index >= 0) & (index < axis.canvas)
    kind[~on_canvas] = KINDS.index("cropped")
    return Line(index, source, kind, ~np.isin(index, read_by(axis)) & on_canvas)


def read_by(axis: Axis) -> Indices:
    """The cells of an axis that windows read."""
    alone = along(axis)
    read = np.zeros(axis.canvas, bool)
    for tap in alone.taps:
        read[tap + alone.origins] = True
    return np.flatnonzero(read)


def along(axis: Axis) -> Geometry:
    """The geometry of one axis; those of several axes are outer sums of these."""
    return Geometry((axis,), 1, "zeros")


def lines_of(geometry: Geometry) -> list[Line]:
    """The line of each axis; raise WordError for a geometry that has no picture."""
    if len(geometry.axes) > 3:
        raise WordError(
            f"`geometry` has {len(geometry.axes)} spatial axes, and pictures show 1 to 3",
            "look at fewer of them",
        )
    longest = max(max(axis.spread, axis.canvas, axis.window) for axis in geometry.axes)
    if longest > LONGEST:
        raise ShapeError(
            f"`geometry` has an axis of {longest} cells, and pictures look at {LONGEST} at most",
            "use smaller sizes",
        )
    return [line_of(axis, geometry.padding_mode) for axis in geometry.axes]


def crossed(combine: np.ufunc, lines: Sequence[Array]) -> Array:
    """Combine what each axis says of its cells, for the cells of all axes."""
    return reduce(combine.outer, lines)


def check_positions(geometry: Geometry) -> None:
    """Check that there are inputs: of a transpose they are the outputs."""
    if not prod(geometry.input_size):
        raise ShapeError(
            f"`geometry` has an input of no positions (sizes {geometry.input_size})",
            "give it one or more along each axis",
        )


def kinds_of(lines: Sequence[Line]) -> NDArray[np.str_]:
    """The kind of each cell."""
    return np.array(KINDS)[crossed(np.maximum, [line.kind for line in lines])]


def sources_of(lines: Sequence[Line]) -> Array:
    """The input index of each cell, as a tuple, or None where there is none."""
    found = np.empty([len(line.source) for line in lines], object)
    for cell in np.ndindex(found.shape):
        index = tuple(int(line.source[c]) for line, c in zip(lines, cell, strict=True))
        found[cell] = None if min(index) < 0 else index
    return found


def position_of(position: int | Sequence[int], size: Index, name: str = "position") -> Index:
    """The index of a position, which is counted flat or given as one; raise WordError."""
    last = tuple(count - 1 for count in size)
    mend = f"use 0 to {prod(size) - 1}" + (f", or (0, ...) to {last}" if len(size) > 1 else "")
    if is_sequence(position):
        index = tuple(integer(name, entry) for entry in position)
        if len(index) == len(size) and all(
            0 <= i < count for i, count in zip(index, size, strict=True)
        ):
            return index
    else:
        flat = integer(name, position)
        if 0 <= flat < prod(size):
            return tuple(int(i) for i in np.unravel_index(flat, size))
    raise WordError(f"`{name}` (={shown(position)}) is none of the {prod(size)} positions", mend)


def unravelled(flat: int, size: Index) -> Index:
    """The index of a flat number."""
    return tuple(int(i) for i in np.unravel_index(int(flat), size))


def window_of(geometry: Geometry, position: Index) -> list[Indices]:
    """The cells of the canvas that a window reads, along each axis."""
    lone = [along(axis) for axis in geometry.axes]
    return [one.taps + one.origins[o] for one, o in zip(lone, position, strict=True)]


def values(name: str, array: ArrayLike | None, size: Index) -> Array | None:
    """Numbers of one channel, if they are given; raise ShapeError."""
    if array is None:
        return None
    found = as_array(name, array)
    if found.shape != size:
        raise ShapeError(
            f"`{name}` has shape {found.shape}, and the picture has {size}",
            "pass one channel, without batch and channel axes",
        )
    return found


def output_of(geometry: Geometry, x: Array | None, w: Array | None) -> Array | None:
    """The output of one channel, if there are numbers."""
    if x is None or w is None:
        return None
    total = np.result_type(x, w, np.int8)  # booleans would be joined, not added
    y = np.empty((1, 1, 1, prod(geometry.output_size)), total)
    im2col.forward(
        x.astype(total).reshape(1, 1, 1, -1), w.astype(total).reshape(1, 1, 1, -1), y, geometry
    )
    return y.reshape(geometry.output_size)


def number(value: Any) -> str:
    """A number, short."""
    return str(int(value)) if np.asarray(value).dtype.kind in "iub" else f"{value:.3g}"


def named(index: Index) -> str:
    """An index: ``1,2``."""
    return ",".join(map(str, index))


def sizes(size: Sequence[int]) -> str:
    """Sizes: ``5 × 5``."""
    return f" {TIMES} ".join(map(str, size))
