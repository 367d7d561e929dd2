"""The sparse matrix of a convolution: ``y = M x``, one row for each output position."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from convref.errors import verb
from convref.explain.pictures import grids, layout, parts, sheet
from convref.explain.pictures.cells import (
    Array,
    Index,
    check_positions,
    lines_of,
    named,
    number,
    position_of,
    unravelled,
    values,
)
from convref.explain.pictures.grids import Grid
from convref.explain.pictures.window import subtitle
from convref.geometry import Geometry

BOX = layout.Box(sheet.MARGIN, 120, 930, 515)
TAPS = layout.Box(1000, 150, 240, 320)
WHOLE, CROPPED = (50, 100), (30, 60)
"""Rows and columns that are shown without cropping; and of more."""


@verb
def matrix(
    geometry: Geometry,
    position: int | Sequence[int] = 0,
    *,
    transposed: bool = False,
    w: ArrayLike | None = None,
) -> Figure:
    """Draw the matrix M of one channel, for which ``y.ravel() == M @ x.ravel()``.

    Row p holds the taps of output position p, each in the column of the input it sees; padding has
    no column, and where it repeats an input several taps share an entry (`convref.conv_matrix`).
    Each tap has a colour; without ``w``, the kernel, an entry shows the number of its tap. The row
    of ``position`` is framed. Of ``transposed`` convolutions it is the transpose.

    Raises WordError for a position that there is not and for more than three axes, ShapeError for
    a kernel that does not fit and for axes that are too long.

    >>> from convref import Geometry
    >>> from convref.explain import pictures
    >>> figure = pictures.matrix(Geometry.of(3, 2))
    >>> [c.get_gid() for c in figure.axes[0].patches if "matrix/" in str(c.get_gid())]
    ['matrix/0,0', 'matrix/0,1', 'matrix/1,1', 'matrix/1,2']
    """
    lines_of(geometry)
    check_positions(geometry)
    kernel = values("w", w, geometry.kernel_size)
    ends = geometry.output_size, geometry.input_size
    rows, across = reversed(ends) if transposed else ends
    index = position_of(position, rows)
    flat = int(np.ravel_multi_index(index, rows))
    figure = sheet.Picture()
    axes = sheet.blank(figure)
    name = "Mᵀ" if transposed else "M"
    sheet.headings(
        axes,
        f"The matrix {name} of a {'transposed ' if transposed else ''}convolution: "
        f"{prod(rows)} outputs by {prod(across)} inputs",
        subtitle(geometry, transposed),
    )
    draw_matrix(axes, matrix_grid(geometry, flat, transposed, kernel), across)
    draw_taps(axes, geometry, kernel)
    explained = "" if kernel is not None else " An entry shows the number of its tap."
    sheet.write_text(
        axes, sheet.MARGIN, 664,
        f"y = {name} x, both flattened: the framed row is the sum that output {named(index)} is."
        f"{explained} Empty cells are zero.", ha="left",
    )  # fmt: skip
    sheet.legend(
        axes,
        [
            ("output", "rows: output"),
            ("input", "columns: input"),
            ("tap", "taps, each in its colour"),
        ],
    )
    return figure


def matrix_grid(geometry: Geometry, flat: int, transposed: bool, w: Array | None) -> Grid:
    """The shown part of the matrix: the taps of each entry, and their sum."""
    ends = geometry.output_size, geometry.input_size
    rows, across = reversed(ends) if transposed else ends
    lengths = prod(rows), prod(across)
    down = parts.part_of(lengths[0], np.array([flat]), WHOLE[0], CROPPED[0])
    found = entries(geometry, down, transposed)
    of_row = [c for r, c in found if r == flat] or [0]
    right = parts.part_of(lengths[1], np.array([min(of_row), max(of_row)]), WHOLE[1], CROPPED[1])
    shape = down.stop - down.start, right.stop - right.start
    kinds, texts = np.full(shape, "", "<U8"), np.full(shape, "", object)
    faces: dict[Index, str] = {}
    count = prod(geometry.kernel_size)
    for (r, c), taps in found.items():
        if right.start <= c < right.stop:
            at = r - down.start, c - right.start
            kinds[at], faces[r, c] = "tap", sheet.tap_colour(taps[0], count)
            texts[at] = "+".join(map(str, taps)) if w is None else number(w.ravel()[taps].sum())
    index = np.arange(down.start, down.stop), np.arange(right.start, right.stop)
    heads = (
        tuple(named(unravelled(r, rows)) for r in index[0]),
        tuple(named(unravelled(c, across)) for c in index[1]),
    )
    return Grid(
        "matrix", "", index, tuple(np.arange(len(one)) for one in index), kinds, texts, heads,
        parts.cuts((down, right), lengths),
        framed=("row", frozenset((flat, c) for c in of_row)), faces=faces, headed=True,
    )  # fmt: skip


def entries(geometry: Geometry, rows: slice, transposed: bool) -> dict[Index, list[int]]:
    """The taps of each entry of these rows."""
    found: dict[Index, list[int]] = {}
    for t, tap in enumerate(geometry.taps):
        seen = geometry.sources[geometry.origins + tap]
        places = np.stack([np.arange(len(seen)), seen])[:, seen >= 0]
        first, second = places[::-1] if transposed else places
        kept = (first >= rows.start) & (first < rows.stop)
        for r, c in zip(first[kept], second[kept], strict=True):
            found.setdefault((int(r), int(c)), []).append(t)
    return found


def draw_matrix(axes: Axes, grid: Grid, across: Index) -> None:
    """The entries, on lines that part the rows of the input."""
    rows, columns = grid.kinds.shape
    cell = min(60.0, (BOX.height - 20) / rows, (BOX.width - 70) / columns)
    aside, above = grid.margin(cell)
    width, height = cell * columns, cell * rows
    left, top = BOX.left + aside + 10 + 24 * grid.cut[1][0], BOX.top + above
    for row in range(rows + 1):
        sheet.line(axes, (left, left + width), (top + cell * row,) * 2, color="#DDDDDD")
    for number_, column in enumerate((*grid.index[1], grid.index[1][-1] + 1)):
        whole = column % across[-1] == 0
        colour, thick = (sheet.EDGE, 1.4) if whole else ("#DDDDDD", 1)
        xs = (left + cell * number_,) * 2
        sheet.line(axes, xs, (top, top + height), color=colour, linewidth=thick)
    grids.draw(axes, grid, left, top, cell)


def draw_taps(axes: Axes, geometry: Geometry, w: Array | None) -> None:
    """The kernel in the colours of its taps."""
    count = prod(geometry.kernel_size)
    kernel = parts.kernel_grid(geometry, w)
    shape = geometry.kernel_size
    faces, texts = {}, np.full(kernel.kinds.shape, "", object)
    for at in np.ndindex(kernel.kinds.shape):
        tap = tuple(int(one[i]) for one, i in zip(kernel.index, at, strict=True))
        flat = int(np.ravel_multi_index(tap, shape))
        faces[tap] = sheet.tap_colour(flat, count)
        texts[at] = str(flat) if w is None else number(w[tap])
    layout.place(axes, [[[replace(kernel, faces=faces, texts=texts)]]], TAPS)
