"""The window of one output: the input on its canvas, the kernel, and the output that they make."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from convref.errors import verb
from convref.explain.pictures import grids, layout, parts, sheet, words
from convref.explain.pictures.cells import (
    Array,
    Index,
    check_positions,
    lines_of,
    output_of,
    position_of,
    sizes,
    values,
)
from convref.geometry import Geometry, gathered


@verb
def window(
    geometry: Geometry,
    position: int | Sequence[int] = 0,
    *,
    transposed: bool = False,
    x: ArrayLike | None = None,
    w: ArrayLike | None = None,
) -> Figure:
    """Draw what one output position reads: ``y[o] = sum over k of w[k] * x[o*s + k*d - lo]``.

    The input lies on its canvas, padded, spread out or cropped; the cells that the window reads are
    framed; the taps of the kernel stand as far apart as these. ``position`` counts the output
    positions, or is the index of one. ``x`` and ``w`` are the numbers of one channel, of the sizes
    of input and kernel; without them cells show their index. Of ``transposed`` convolutions it is
    the window that gathers an output position from the spread-out input (`geometry.gathered`).

    Raises WordError for a position that there is not and for more than three axes, ShapeError for
    arrays that do not fit and for axes that are too long.

    >>> from convref import Geometry
    >>> from convref.explain import pictures
    >>> geometry = Geometry.of((5, 5), (3, 3), stride=2, padding="same")
    >>> figure = pictures.window(geometry, (1, 1))
    >>> {cell.get_gid() for cell in figure.axes[0].patches} >= {"canvas/0,0", "window/2,2"}
    True

    The style: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning",
    https://arxiv.org/abs/1603.07285.
    """
    figure = sheet.Picture()
    draw_window(figure, geometry, position, transposed=transposed, x=x, w=w)
    return figure


def draw_window(
    figure: Figure,
    geometry: Geometry,
    position: int | Sequence[int],
    *,
    transposed: bool,
    x: ArrayLike | None,
    w: ArrayLike | None,
    formulas: Sequence[str] = (),
    note: str = "",
) -> None:
    """Draw the window on a figure; formulas take the place of the sum, a note heads it all."""
    kernel = values("w", w, geometry.kernel_size)
    read = gathered(geometry) if transposed else geometry
    lines_of(read)
    if transposed:
        check_positions(geometry)
    numbers = values("x", x, read.input_size)
    index = position_of(position, read.output_size)
    axes = sheet.blank(figure)
    sheet.headings(axes, title(geometry, transposed), subtitle(geometry, transposed), note)
    turned = np.flip(kernel) if transposed and kernel is not None else kernel
    result = output_of(read, numbers, turned)
    draw_grids(axes, read, index, numbers, kernel, result, transposed)
    below = formulas or words.sum_words(read, index, numbers, kernel, result, transposed)
    for number, line in enumerate(below):
        sheet.write_text(axes, sheet.MARGIN, 602 + 22 * number, line, sheet.BODY, ha="left")
    sheet.legend(axes, kinds_in(axes, read))


def title(geometry: Geometry, transposed: bool) -> str:
    """What is convolved into what."""
    ends = sizes(geometry.input_size), sizes(geometry.output_size)
    before, after = reversed(ends) if transposed else ends
    operation = "Transposed convolution" if transposed else "Convolution"
    return f"{operation}: {before} by a kernel of {sizes(geometry.kernel_size)} gives {after}"


def subtitle(geometry: Geometry, transposed: bool) -> str:
    """The words of a convolution, as fully as there is room."""
    of = "its convolution: " if transposed else ""
    start = f"{of}{words.setting_words(geometry)}, "
    full = start + words.padding_words(geometry)
    if sheet.pixels(full) <= sheet.WIDTH - 2 * sheet.MARGIN:
        return full
    return start + words.padding_pairs(geometry)


def draw_grids(
    axes: Axes, geometry: Geometry, position: Index, x: Array | None, w: Array | None,
    y: Array | None, flipped: bool,
) -> None:  # fmt: skip
    """The three grids: below one another for one axis, side by side for more."""
    canvas = parts.canvas_grid(geometry, position, x)
    kernel = parts.kernel_grid(geometry, w, flipped=flipped)
    output = parts.output_grid(geometry.output_size, position, y)
    if len(geometry.axes) == 1:
        aligned(axes, geometry, canvas, kernel, output)
        return
    arrangements: list[list[layout.Row]] = [
        [[canvas, "*", kernel, "=", output]],
        [[canvas], ["*", kernel, "=", output]],
        [[canvas], ["*", kernel], ["=", output]],
    ]
    layout.place(axes, arrangements)


def aligned(
    axes: Axes, geometry: Geometry, canvas: grids.Grid, kernel: grids.Grid, output: grids.Grid
) -> None:
    """One axis: taps below the cells they read; output o below the input ``o * stride``.

    So an output lies in the middle of a "same" window, and at the end of a "causal" one.
    """
    alone, shown = geometry.axes[0], canvas.index[0]
    home = min(max(alone.lo, 0), alone.window - 1)
    ((chosen,),) = output.framed[1]
    reads = geometry.origins[chosen] + geometry.taps[kernel.index[0]]
    kernel = parts.below(kernel, shown, reads)
    output = parts.below(output, shown, geometry.origins[output.index[0]] + home)
    cell = min(grids.LARGEST, (sheet.WIDTH - 2 * sheet.MARGIN - 60) / len(shown))
    left = (sheet.WIDTH - cell * len(shown)) / 2
    tops = 165, 315, 465
    for grid, top in zip((canvas, kernel, output), tops, strict=True):
        caption = grid.caption.replace("\n", ", ")
        sheet.write_text(axes, left, top - 18, caption, sheet.BODY, ha="left", weight="bold")
    centre = [left + cell * (place + 0.5) for place in kernel.places[0]]
    end = left + cell * (geometry.origins[chosen] + home - shown[0] + 0.5)
    for x in centre:
        sheet.line(axes, (x, x), (tops[0] + cell, tops[1]), color=sheet.ORANGE, linewidth=2)
        sheet.line(axes, (x, end), (tops[1] + cell, tops[2]), color=sheet.GREEN, linewidth=2)
    for grid, top in zip((canvas, kernel, output), tops, strict=True):
        grids.draw(axes, grid, left, top, cell)


def kinds_in(
    axes: Axes, geometry: Geometry, framed: str = "read by the window"
) -> list[tuple[str, str]]:
    """The legend of what is drawn."""
    drawn = {str(patch.get_label()) for patch in axes.patches}
    names = {part for a in (*axes.patches, *axes.lines) for part in str(a.get_gid()).split("/")}
    repeats = (
        "" if geometry.padding_mode == "zeros" else f" ({geometry.padding_mode}: repeats inputs)"
    )
    found = [
        (kind, style.words + (repeats if kind == "padding" else ""))
        for kind, style in sheet.STYLES.items()
        if kind in drawn and style.words
    ]
    if "window" in names:
        found.append(("window", framed))
    if "unread" in names:
        found.append(("unread", "read by no window"))
    return found
