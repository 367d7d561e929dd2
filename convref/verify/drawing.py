"""A configuration as a picture: the padded input, where the input lies on it, and one window."""

import numpy as np

from convref.geometry import Geometry
from convref.verify.problem import Problem
from convref.verify.reference import Shape

MOST_TAPS = 400
"""Cells of a window that are drawn one by one."""
SIDE_BY_SIDE = 12
"""The gap between the two sheets is one cell for as many cells of the longer side."""
SIDES = {
    "forward": ("x", "y"),
    "weight_grad": ("x", "dy"),
    "input_grad": ("dx", "dy"),
    "transpose": ("y", "x"),
}
"""Of each kind what lies on the canvas, and what has its positions."""
Box = tuple[float, float, float, float]
"""Left, top, width, height."""


def configuration(problem: Problem, worst: Shape) -> str:
    """The two sides of a convolution of one or two axes, as an SVG; empty for others.

    On the left is the canvas with the larger side on it, on the right the other. Of a forward
    output's worst element there are its window and its place.
    """
    geometry = problem.geometry
    if geometry is None or len(geometry.axes) > 2 or problem.kind not in SIDES:
        return ""
    height, width = rows_and_columns(geometry.canvas_size)
    tall, wide = rows_and_columns(geometry.output_size)
    right = width + 1 + max(height, width) // SIDE_BY_SIDE
    cells, _ = zip(*(axis.placement for axis in geometry.axes), strict=True)
    shown = [(part.start, max(part.start, part.stop - part.step + 1)) for part in cells]
    (top, bottom), (left, end) = [(0, 1), *shown][-2:]
    shapes = [
        shape("pad", (0, 0, width, height)),
        shape("input", (left, top, end - left, bottom - top)),
        shape("side", (right, 0, wide, tall)),
    ]
    left_name, right_name = SIDES[problem.kind]
    text = f"{left_name} on its canvas, {sizes(geometry.canvas_size)}; {right_name}, "
    text += sizes(geometry.output_size)
    if problem.kind == "forward" and len(worst) == len(problem.shape):
        first = problem.first_axis(len(worst))
        place = worst[first : first + len(geometry.axes)]
        row, column = rows_and_columns(place, 0)
        shapes += [shape("tap", box) for box in window(geometry, place)]
        shapes.append(shape("tap", (right + column, row, 1, 1)))
        text += "; the worst element and its window"
    size = max(height, tall), right + wide
    scale = max(1.0, min(16.0, 480 / size[1], 320 / size[0]))
    return (
        f'<figure class="drawn"><svg role="img" aria-label="{text}" viewBox="0 0 {size[1]:g} '
        f'{size[0]:g}" width="{size[1] * scale:.0f}" height="{size[0] * scale:.0f}">'
        f"{''.join(shapes)}</svg><figcaption>{text}</figcaption></figure>"
    )


def window(geometry: Geometry, place: Shape) -> list[Box]:
    """The cells that an output reads; in one box where they are many."""
    position = np.ravel_multi_index(place, geometry.output_size)
    cells = geometry.origins[position] + geometry.taps
    lines = np.unravel_index(cells, geometry.canvas_size)
    rows, columns = [np.zeros_like(cells), *lines][-2:]
    if len(cells) <= MOST_TAPS:
        return [(int(x), int(y), 1, 1) for y, x in zip(rows, columns, strict=True)]
    reach = int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1
    return [(int(columns.min()), int(rows.min()), *reach)]


def rows_and_columns(size: Shape, single: int = 1) -> tuple[int, int]:
    """The sizes of one or two axes as those of a sheet."""
    height, width = [single, *size][-2:]
    return height, width


def sizes(size: Shape) -> str:
    """Sizes as people write them."""
    return " x ".join(map(str, size))


def shape(kind: str, box: Box) -> str:
    """A rectangle of a class."""
    x, y, width, height = (f"{number:g}" for number in box)
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}"/>'
