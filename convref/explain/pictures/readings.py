"""The two readings of a transposed convolution: what each input scatters, each output gathers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from convref.errors import verb
from convref.explain.pictures import grids, layout, parts, sheet
from convref.explain.pictures.cells import (
    KINDS,
    TIMES,
    Array,
    Index,
    check_positions,
    line_of,
    lines_of,
    number,
    output_of,
    position_of,
    values,
    window_of,
)
from convref.explain.pictures.window import kinds_in, subtitle, title
from convref.geometry import Geometry, gathered

TOP, HEIGHT = 132, 522
LEFT = layout.Box(sheet.MARGIN, TOP, 580, HEIGHT)
RIGHT = layout.Box(sheet.WIDTH - sheet.MARGIN - 580, TOP, 580, HEIGHT)


@verb
def readings(
    geometry: Geometry,
    position: int | Sequence[int] = 0,
    *,
    x: ArrayLike | None = None,
    w: ArrayLike | None = None,
) -> Figure:
    """Draw both readings of the transposed convolution, whose output position is given.

    On the left, an input position scatters ``w[k] * x[p]`` to where the convolution's window of p
    would read; on the right, the output position gathers from the input, spread out by the stride,
    with the flipped kernel (`geometry.gathered`). The scattering input is the first one that is
    gathered. ``x`` has the geometry's output size, and ``w`` its kernel size.

    Raises WordError for a position that there is not, for more than three axes, and where padding
    repeats inputs; ShapeError for arrays that do not fit and for axes that are too long.

    >>> from convref import Geometry
    >>> from convref.explain import pictures
    >>> figure = pictures.readings(Geometry.of((5, 5), (3, 3), stride=2), (2, 2))
    >>> {cell.get_gid() for cell in figure.axes[0].patches} >= {"scatter/window/2,2"}
    True

    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", section 4,
    https://arxiv.org/abs/1603.07285.
    """
    figure = sheet.Picture()
    draw_readings(figure, geometry, position, x=x, w=w)
    return figure


def draw_readings(
    figure: Figure,
    geometry: Geometry,
    position: int | Sequence[int],
    *,
    x: ArrayLike | None,
    w: ArrayLike | None,
) -> None:
    """Draw both readings on a figure."""
    back = gathered(geometry)
    lines_of(back)
    check_positions(geometry)
    numbers, kernel = values("x", x, back.input_size), values("w", w, geometry.kernel_size)
    index = position_of(position, back.output_size)
    axes = sheet.blank(figure)
    sheet.headings(axes, title(geometry, True), subtitle(geometry, True))
    sheet.write_text(axes, LEFT.left, TOP - 24, "Scatter: an input adds a kernel", 14, ha="left")
    heading = "Gather: an output reads the spread-out input"
    sheet.write_text(axes, RIGHT.left, TOP - 24, heading, 14, ha="left")
    sheet.line(axes, (sheet.WIDTH / 2,) * 2, (TOP - 36, TOP + HEIGHT - 4))
    scatter(axes, geometry, scattering(back, index), numbers, kernel)
    gather(axes, back, index, numbers, kernel)
    sheet.legend(axes, kinds_in(axes, geometry, "where the kernel lies"))


def scattering(back: Geometry, position: Index) -> Index:
    """The first input position that an output gathers; the first of all, if it gathers none."""
    first = []
    for axis, cells in zip(back.axes, window_of(back, position), strict=True):
        line = line_of(axis, back.padding_mode)
        seen = line.source[np.isin(line.index, cells)]
        first.append(int(max(0, *seen[seen >= 0][:1], 0)))
    return tuple(first)


def scatter(
    axes: Axes, geometry: Geometry, position: Index, x: Array | None, w: Array | None
) -> None:
    """An input, the kernel, and the canvas that the products are added to."""
    source = parts.output_grid(
        geometry.output_size, position, x, "scatter/", "input", ("input", "input")
    )
    target = parts.canvas_grid(geometry, position, None, "scatter/", "output on its canvas")
    kept = np.isin(target.kinds, ("input", "cropped")) & (target.texts != "")
    struck = target.struck | (target.kinds == KINDS[-1])
    texts = np.where(kept, target.texts, "")
    if x is not None and w is not None:
        texts = products(geometry, position, target, x[position] * w)
    target = replace(
        target, kinds=np.where(kept, "output", "cut"), struck=struck & kept, texts=texts
    )
    kernel = parts.kernel_grid(geometry, w, "scatter/")
    arranged(axes, [source, TIMES, kernel, "→", target], LEFT)


def products(geometry: Geometry, position: Index, target: grids.Grid, terms: Array) -> Array:
    """What is added to each shown cell of the canvas."""
    texts = np.full(target.texts.shape, "", object)
    windows = window_of(geometry, position)
    for tap in np.ndindex(terms.shape):
        cell = [cells[k] for cells, k in zip(windows, tap, strict=True)]
        found = [np.flatnonzero(ix == c) for ix, c in zip(target.index, cell, strict=True)]
        if all(len(place) for place in found):
            texts[tuple(int(place[0]) for place in found)] = f"+{number(terms[tap])}".replace(
                "+-", "-"
            )
    return texts


def gather(axes: Axes, back: Geometry, position: Index, x: Array | None, w: Array | None) -> None:
    """The spread-out input, the flipped kernel, and the output."""
    turned = None if w is None else np.flip(w)
    y = output_of(back, x, turned)
    canvas = parts.canvas_grid(back, position, x, "gather/", "input on its canvas")
    kernel = parts.kernel_grid(back, w, "gather/", flipped=True)
    output = parts.output_grid(back.output_size, position, y, "gather/")
    arranged(axes, [canvas, "*", kernel, "=", output], RIGHT)


def arranged(axes: Axes, row: list[grids.Grid | str], box: layout.Box) -> None:
    """Place three grids in half a slide."""
    first, sign, second, then, third = row
    layout.place(
        axes,
        [
            [[first, sign, second], [then, third]],
            [[first], [sign, second, then, third]],
            [[first], [sign, second], [then, third]],
            [row],
        ],
        box,
    )
