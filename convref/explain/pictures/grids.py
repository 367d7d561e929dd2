"""Grids of cells: which part of one is shown, how large, and how it is drawn.

Grids of one axis are rows, of two axes tables, and of three axes tables side by side, one for each
index of the first axis.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from convref.explain.pictures import sheet
from convref.explain.pictures.cells import (
    Index,
    Indices,
    named,
)

LARGEST, SMALLEST = 74, 5
"""Pixels of a cell."""
GAP = 0.7
"""Between the tables of three axes, in cells."""


@dataclass(frozen=True)
class Grid:
    """The shown cells of a canvas, a kernel or an output."""

    name: str
    """Before the index in the names of cells: ``canvas/1,2``."""
    caption: str
    index: tuple[Indices, ...]
    """The index of each shown cell, along each axis."""
    places: tuple[Indices, ...]
    """Where each shown cell stands, along each axis, counted in cells."""
    kinds: NDArray[np.str_]
    texts: NDArray[Any]
    heads: tuple[tuple[str, ...], ...]
    """What each table, row and column is headed with where cells are too small for text."""
    cut: tuple[tuple[bool, bool], ...]
    """Whether cells before, and after, are not shown."""
    struck: NDArray[np.bool_] | None = None
    framed: tuple[str, frozenset[Index]] = ("", frozenset())
    """A name, and the cells that get a frame of that name."""
    faces: Mapping[Index, str] = field(default_factory=dict)
    """Colours other than those of the kinds."""
    headed: bool = False
    """Whether rows and columns are headed even where cells have texts."""

    @property
    def extent(self) -> tuple[int, int, int]:
        """Tables, and the rows and columns of each, in cells."""
        lengths = [int(place[-1]) + 1 if len(place) else 0 for place in self.places]
        tables, rows, columns = [1] * (3 - len(lengths)) + lengths
        return (len(self.places[0]) if len(lengths) == 3 else tables), rows, columns

    def span(self, cell: float) -> tuple[float, float]:
        """Width and height in pixels, without the caption."""
        tables, rows, columns = self.extent
        several = len(self.places) == 3
        return cell * (tables * columns + (tables - 1) * GAP), cell * rows + 24 * several

    def margin(self, cell: float) -> tuple[float, float]:
        """Pixels that row and column heads take, if the cells are too small for text."""
        readable = type_size(cell, list(self.texts.ravel())) > 0
        if len(self.heads) < 2 or (readable and not self.headed):
            return 0, 0
        return max((sheet.pixels(head) for head in self.heads[-2]), default=0) + 6, 20


def type_size(cell: float, texts: Sequence[str]) -> float:
    """The size of type in which all texts fit into cells; 0 where none is readable."""
    widest = max((sheet.pixels(text, 100) for text in set(texts)), default=0) / 100
    if not widest:
        return 0
    if min(0.42 * cell, 0.93 * cell / widest) < 12:
        return 0
    return max(12.0, min(17.0, 0.36 * cell, 0.74 * cell / widest))


def draw(axes: Axes, grid: Grid, x: float, y: float, cell: float) -> None:
    """Draw a grid, its corner at x and y."""
    size = type_size(cell, list(grid.texts.ravel()))
    corners = corners_of(grid, x, y, cell)
    framing, framed = grid.framed
    for at in np.ndindex(grid.kinds.shape):
        kind = str(grid.kinds[at])
        if not kind:
            continue
        left, top = corners(at)
        index = tuple(int(one[i]) for one, i in zip(grid.index, at, strict=True))
        name, face = named(index), grid.faces.get(index)
        sheet.rectangle(axes, left, top, cell, cell, kind, f"{grid.name}/{name}", face)
        if grid.struck is not None and grid.struck[at]:
            sheet.stroke(axes, left, top, cell, cell, f"unread/{name}")
        if index in framed:
            colour = sheet.INK if "position" in framing else sheet.ORANGE
            sheet.frame(axes, left, top, cell, cell, f"{framing}/{name}", colour)
        if size and grid.texts[at]:
            middle = left + cell / 2, top + cell / 2
            sheet.write_over(axes, *middle, str(grid.texts[at]), size, kind, face)
    finish(axes, grid, x, y, cell)


def corners_of(
    grid: Grid, x: float, y: float, cell: float
) -> Callable[[Index], tuple[float, float]]:
    """Where the cells are: a function of their numbers among those shown."""
    _, _, columns = grid.extent

    def corner(at: Index) -> tuple[float, float]:
        *tables, column = at
        left = x + cell * int(grid.places[-1][column])
        row = int(grid.places[-2][tables[-1]]) if tables else 0
        if len(tables) == 2:
            return left + cell * tables[0] * (columns + GAP), y + 24 + cell * row
        return left, y + cell * row

    return corner


def finish(axes: Axes, grid: Grid, x: float, y: float, cell: float) -> None:
    """Head tables, rows and columns, and say where cells are left out."""
    tables, rows, columns = grid.extent
    aside, above = grid.margin(cell)
    if len(grid.places) == 3:
        for table, head in enumerate(grid.heads[0]):
            left = x + cell * table * (columns + GAP)
            words = f"slice {head}" if head else "zeros"
            if sheet.pixels(words) > cell * (columns + GAP):
                words = head
            sheet.write_text(axes, left + cell * columns / 2, y + 9 - above, words)
        y += 24
    if aside:
        head_rows(axes, grid, x - 6, y, cell)
        for table in range(tables):
            head_columns(axes, grid, x + cell * table * (columns + GAP), y - 10, cell)
    width = cell * (tables * columns + (tables - 1) * GAP)
    dots(axes, grid.cut[-1], (x - aside - 14, x + width + 14), (y + cell * rows / 2,) * 2, "⋯")
    if len(grid.cut) > 1:
        over = 24 * (len(grid.cut) == 3)
        ends = y - above - over - 10, y + cell * rows + 11
        dots(axes, grid.cut[-2], (x + width / 2,) * 2, ends, "⋮")
    if len(grid.cut) == 3:
        ends = x - aside - 36, x + width + 36
        dots(axes, grid.cut[0], ends, (y - 20 - above,) * 2, "⋯")


def head_rows(axes: Axes, grid: Grid, x: float, y: float, cell: float) -> None:
    """Number rows, as many of them as there is room for."""
    step = -int(-20 // cell)
    for place, head in list(zip(grid.places[-2], grid.heads[-2], strict=True))[::step]:
        sheet.write_text(axes, x, y + cell * (int(place) + 0.5), head, ha="right")


def head_columns(axes: Axes, grid: Grid, x: float, y: float, cell: float) -> None:
    """Number columns, as many of them as there is room for."""
    widest = max((sheet.pixels(head) for head in grid.heads[-1]), default=0) + 6
    step = -int(-widest // cell)
    for place, head in list(zip(grid.places[-1], grid.heads[-1], strict=True))[::step]:
        sheet.write_text(axes, x + cell * (int(place) + 0.5), y, head)


def dots(
    axes: Axes, cut: tuple[bool, bool], xs: Sequence[float], ys: Sequence[float], words: str
) -> None:
    """Dots before and after what goes on."""
    for there, x, y in zip(cut, xs, ys, strict=True):
        if there:
            sheet.write_text(axes, x, y, words, 17, weight="bold")
