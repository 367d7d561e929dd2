"""The column matrix (im2col): one row for each tap, one column for each output position."""

from collections.abc import Sequence
from math import prod

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from convref.errors import verb
from convref.explain.pictures import grids, layout, parts, sheet
from convref.explain.pictures.cells import (
    TIMES,
    Array,
    Index,
    Indices,
    along,
    kinds_of,
    lines_of,
    named,
    number,
    output_of,
    position_of,
    sizes,
    sources_of,
    unravelled,
    values,
)
from convref.explain.pictures.grids import Grid
from convref.explain.pictures.window import kinds_in, subtitle
from convref.geometry import Geometry

CANVAS = layout.Box(sheet.MARGIN, 105, 440, 400)
MATRIX = layout.Box(560, 150, 680, 370)
WHOLE, CROPPED = 18, 12
"""Taps, and positions, that are shown without cropping; and of more."""


@verb
def columns(
    geometry: Geometry,
    position: int | Sequence[int] = 0,
    *,
    x: ArrayLike | None = None,
    w: ArrayLike | None = None,
) -> Figure:
    """Draw the matrix of columns of one channel, and the product that it is a factor of.

    Row t is what tap t sees at each output position, column p is the window of output position p:
    ``cols[t, p] = canvas[tap[t] + origin[p]]`` (`convref.im2col`); the flat kernel times it is the
    flat output. Each tap has a colour, in the kernel, beside its row and on the canvas; the window
    of ``position`` and its column are framed. Several channels stack such blocks of rows.

    Raises WordError for a position that there is not and for more than three axes, ShapeError for
    arrays that do not fit and for axes that are too long.

    >>> from convref import Geometry
    >>> from convref.explain import pictures
    >>> figure = pictures.columns(Geometry.of((4, 4), (3, 3)), (0, 1))
    >>> {cell.get_gid() for cell in figure.axes[0].patches} >= {"columns/8,3", "column/0,1"}
    True

    Chellapilla, Puri and Simard, "High performance convolutional neural networks for document
    processing", 2006, https://inria.hal.science/inria-00112631.
    """
    lines_of(geometry)
    numbers = values("x", x, geometry.input_size)
    kernel = values("w", w, geometry.kernel_size)
    index = position_of(position, geometry.output_size)
    figure = sheet.Picture()
    axes = sheet.blank(figure)
    taps, positions = prod(geometry.kernel_size), prod(geometry.output_size)
    sheet.headings(
        axes,
        f"Columns: {taps} taps by {positions} output positions",
        subtitle(geometry, False),
    )
    flat = int(np.ravel_multi_index(index, geometry.output_size))
    canvas = parts.canvas_grid(geometry, index, numbers)
    layout.place(axes, [[[canvas]]], CANVAS)
    colour_taps(axes, geometry, index)
    draw_product(axes, geometry, flat, numbers, kernel)
    sheet.write_text(
        axes, sheet.MARGIN, 650,
        f"The framed column is the window of output {named(index)}; of C channels the matrix "
        f"stacks C blocks of {taps} rows.", ha="left",
    )  # fmt: skip
    sheet.legend(axes, kinds_in(axes, geometry))
    return figure


def colour_taps(axes: Axes, geometry: Geometry, position: Index) -> None:
    """Give each frame of the window the colour of the tap that reads there."""
    taps = prod(geometry.kernel_size)
    colours = {
        f"window/{named(cell)}": sheet.tap_colour(tap, taps)
        for tap, cell in enumerate(cells_of(geometry, position))
    }
    for patch in axes.patches:
        colour = colours.get(str(patch.get_gid()))
        if colour:
            patch.set_edgecolor(colour)


def cells_of(geometry: Geometry, position: Index) -> list[Index]:
    """The cell of the canvas that each tap reads at a position."""
    steps = [along(axis) for axis in geometry.axes]
    reads = [one.taps + one.origins[o] for one, o in zip(steps, position, strict=True)]
    return parts.outer(reads)


def draw_product(
    axes: Axes, geometry: Geometry, flat: int, x: Array | None, w: Array | None
) -> None:
    """The flat kernel, left below; the matrix, above right; the flat output, below it."""
    matrix = matrix_grid(geometry, flat, x)
    rows, across = matrix.kinds.shape
    room = MATRIX.width - 110
    cell = min(44.0, MATRIX.height / rows, room / across, (MATRIX.left - 80) / rows)
    aside = matrix.margin(cell)[0] + 44
    left = MATRIX.left + aside
    top = MATRIX.top + MATRIX.height - cell * rows
    caption = f"columns, {sizes((prod(geometry.kernel_size), prod(geometry.output_size)))}"
    above = top - 44 - 16 * max(matrix.cut[0])
    sheet.write_text(axes, left, above, caption, ha="left", weight="bold")
    grids.draw(axes, matrix, left, top, cell)
    taps = prod(geometry.kernel_size)
    for row, tap in enumerate(matrix.index[0]):
        sheet.rectangle(
            axes, left - aside - 4, top + cell * row + 2, 16, cell - 4, "tap", f"row/{tap}",
            sheet.tap_colour(int(tap), taps),
        )  # fmt: skip
    below = top + cell * rows + 44
    kernel = flat_kernel(geometry, matrix.index[0], w)
    start = left - aside - 50 - cell * rows
    grids.draw(axes, kernel, start, below, cell)
    sheet.write_text(
        axes, start, below - 14, f"flat kernel, 1 {TIMES} {taps}", ha="left", weight="bold"
    )
    sheet.write_text(axes, left - aside - 8, below + cell / 2, "=", 20)
    grids.draw(
        axes,
        flat_output(geometry, matrix.index[1], flat, output_of(geometry, x, w)),
        left,
        below,
        cell,
    )


def matrix_grid(geometry: Geometry, flat: int, x: Array | None) -> Grid:
    """The shown part of the matrix: each cell of the kind, and with the text, that a tap sees."""
    taps, positions = prod(geometry.kernel_size), prod(geometry.output_size)
    views = (
        parts.part_of(taps, np.array([0]), WHOLE, CROPPED),
        parts.part_of(positions, np.array([flat]), WHOLE, CROPPED),
    )
    index = np.arange(views[0].start, views[0].stop), np.arange(views[1].start, views[1].stop)
    kinds = np.full([len(one) for one in index], "", "<U8")
    texts = np.full(kinds.shape, "", object)
    lines = lines_of(geometry)
    kind_of, source_of = kinds_of(lines), sources_of(lines)
    before = [int(line.index[0]) for line in lines]
    for column, p in enumerate(index[1]):
        cells = cells_of(geometry, unravelled(p, geometry.output_size))
        for row, t in enumerate(index[0]):
            at = tuple(c - first for c, first in zip(cells[t], before, strict=True))
            kinds[row, column], source = kind_of[at], source_of[at]
            if source is not None:
                texts[row, column] = named(source) if x is None else number(x[source])
            elif x is not None:
                texts[row, column] = "0"
    heads = (
        tuple(named(unravelled(t, geometry.kernel_size)) for t in index[0]),
        tuple(named(unravelled(p, geometry.output_size)) for p in index[1]),
    )
    framed = frozenset((int(t), flat) for t in index[0])
    return Grid(
        "columns", "", index, tuple(np.arange(len(one)) for one in index), kinds, texts, heads,
        parts.cuts(views, (taps, positions)), framed=("column", framed), headed=True,
    )  # fmt: skip


def flat_kernel(geometry: Geometry, taps: Indices, w: Array | None) -> Grid:
    """The kernel as one row, in the colours of its taps."""
    count = prod(geometry.kernel_size)
    at = [unravelled(t, geometry.kernel_size) for t in taps]
    texts = np.array([named(tap) if w is None else number(w[tap]) for tap in at], object)
    cut = (bool(taps[0] > 0), bool(taps[-1] + 1 < count))
    faces: dict[Index, str] = {(int(t),): sheet.tap_colour(int(t), count) for t in taps}
    return Grid(
        "kernel", "", (taps,), (np.arange(len(taps)),), np.full(len(taps), "tap"), texts,
        ((),), (cut,), faces=faces,
    )  # fmt: skip


def flat_output(geometry: Geometry, positions: Indices, flat: int, y: Array | None) -> Grid:
    """The output as one row."""
    at = [unravelled(p, geometry.output_size) for p in positions]
    texts = np.array([named(o) if y is None else number(y[o]) for o in at], object)
    cut = (bool(positions[0] > 0), bool(positions[-1] + 1 < prod(geometry.output_size)))
    return Grid(
        "output", "", (positions,), (np.arange(len(positions)),),
        np.where(positions == flat, "chosen", "output"), texts, ((),), (cut,),
        framed=("position", frozenset({(flat,)})),
    )  # fmt: skip
