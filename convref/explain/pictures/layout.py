"""Where grids stand on a slide: in rows, with their captions and the signs between them."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from convref.explain.pictures import grids, sheet
from convref.explain.pictures.grids import Grid

Row = Sequence[Grid | str]
"""Grids, and signs between them."""
CAPTION = 48
"""Pixels that the two lines of a caption take."""
SIGN = 44
"""Pixels around a sign, or between grids."""


class Box(NamedTuple):
    """A part of a slide, in pixels."""

    left: float
    top: float
    width: float
    height: float


WHOLE = Box(sheet.MARGIN, 118, sheet.WIDTH - 2 * sheet.MARGIN, 470)
"""What the headings, the sum and the legend leave."""


def place(axes: Axes, arrangements: Sequence[Sequence[Row]], box: Box = WHOLE) -> None:
    """Draw the rows of the arrangement in which cells are largest; the first among equals."""
    cell, rows = max(
        ((largest(rows, box), rows) for rows in arrangements), key=lambda choice: choice[0]
    )
    spare = box.height - sum(height(row, cell) for row in rows)
    top = box.top
    for row in rows:
        share = spare / len(rows)
        draw_row(axes, row, cell, Box(box.left, top + share / 2, box.width, height(row, cell)))
        top += height(row, cell) + share


def largest(rows: Sequence[Row], box: Box) -> int:
    """The largest cell with which the rows fit into a box."""
    for cell in range(grids.LARGEST, grids.SMALLEST, -1):
        fits_across = all(width(row, cell) <= box.width for row in rows)
        if fits_across and sum(height(row, cell) for row in rows) <= box.height:
            return cell
    return grids.SMALLEST


def slot(part: Grid | str, cell: float) -> float:
    """The width of a grid with its caption, or of a sign."""
    if isinstance(part, str):
        return SIGN
    words = max(sheet.pixels(line, sheet.BODY, "bold") for line in part.caption.split("\n"))
    dots = 24 * (max(part.cut[-1]) + 2 * max(part.cut[0]) * (len(part.cut) == 3))
    return max(part.span(cell)[0] + 2 * (part.margin(cell)[0] + dots), words)


def width(row: Row, cell: float) -> float:
    """Of a row."""
    return sum(slot(part, cell) for part in row)


def height(row: Row, cell: float) -> float:
    """Of a row, with captions and the room for dots."""
    parts = [part for part in row if isinstance(part, Grid)]
    return max(CAPTION + 2 * rim(part, cell) + part.span(cell)[1] for part in parts)


def rim(part: Grid, cell: float) -> float:
    """Above and below a grid: the heads of columns and the dots for rows left out."""
    above = part.margin(cell)[1]
    return above + 20 * max(part.cut[-2]) if len(part.cut) > 1 else above


def draw_row(axes: Axes, row: Row, cell: float, box: Box) -> None:
    """Draw a row in the middle of a box, its parts one after the other."""
    space = min(60.0, (box.width - width(row, cell)) / (len(row) + 1))
    x = box.left + (box.width - width(row, cell) - space * (len(row) - 1)) / 2
    middle = box.top + CAPTION + (box.height - CAPTION) / 2
    for part in row:
        wide = slot(part, cell)
        if isinstance(part, str):
            sheet.write_text(axes, x + wide / 2, middle, part, 24)
        else:
            across, down = part.span(cell)
            top = middle - down / 2
            for number, line in enumerate(part.caption.split("\n")):
                weight = "bold" if not number else "normal"
                at = top - rim(part, cell) - 34 + 20 * number
                sheet.write_text(axes, x + wide / 2, at, line, sheet.BODY, weight=weight)
            grids.draw(axes, part, x + (wide - across) / 2, top, cell)
        x += wide + space
