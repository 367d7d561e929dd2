"""The drawing of a configuration shows the integers of its geometry."""

from xml.etree import ElementTree

import numpy as np
import pytest

from convref import Geometry
from convref.verify.drawing import MOST_TAPS, configuration
from convref.verify.problem import Problem


def problem(kind: str, shape: tuple[int, ...], *shapes: tuple[int, ...], **words) -> Problem:
    x, w = (np.zeros(size, np.float32) for size in shapes)
    return Problem(kind, shape, x, w, None, words)


def boxes(text: str, kind: str) -> list[tuple[float, ...]]:
    (figure,) = ElementTree.fromstring(f"<all>{text}</all>")
    sides = ("x", "y", "width", "height")
    return [
        tuple(float(box.attrib[side]) for side in sides)
        for box in figure.iter("rect")
        if box.attrib["class"] == kind
    ]


def test_the_window_of_the_worst_element() -> None:
    words = {"stride": 2, "dilation": (1, 2), "padding": ((1, 0), (2, 3))}
    geometry = Geometry.of((7, 9), (2, 3), **words)
    rows, columns = geometry.output_size
    drawn = configuration(
        problem("forward", (1, 4, rows, columns), (1, 3, 7, 9), (4, 3, 2, 3), **words),
        (0, 1, 2, 3),
    )
    height, width = geometry.canvas_size
    assert boxes(drawn, "pad") == [(0, 0, width, height)]
    assert boxes(drawn, "input") == [(2, 1, 9, 7)]
    (side,) = boxes(drawn, "side")
    assert side[2:] == (columns, rows)
    *window, place = boxes(drawn, "tap")
    cells = geometry.origins[2 * columns + 3] + geometry.taps
    assert window == [(cell % width, cell // width, 1, 1) for cell in cells]
    assert place == (side[0] + 3, 2, 1, 1)
    assert f"x on its canvas, {height} x {width}; y, {rows} x {columns}" in drawn


def test_cropping_and_spreading() -> None:
    drawn = configuration(
        problem("forward", (1, 1, 6), (1, 1, 5), (1, 1, 2), padding=((-1, -1),), input_dilation=2),
        (0, 0, 0),
    )
    assert boxes(drawn, "pad") == [(0, 0, 7, 1)]
    assert boxes(drawn, "input") == [(1, 0, 5, 1)]  # its last cell is the sixth of the canvas


def test_a_large_window_is_one_box() -> None:
    size = MOST_TAPS + 1
    drawn = configuration(problem("forward", (1, 1, 10), (1, 1, size + 9), (1, 1, size)), (0, 0, 3))
    assert boxes(drawn, "tap")[0] == (3, 0, size, 1)


@pytest.mark.parametrize(
    ("kind", "shape", "shapes", "text"),
    [
        ("transpose", (1, 2, 9), ((1, 3, 7), (3, 2, 3)), "y on its canvas, 9; x, 7"),
        ("input_grad", (1, 2, 9), ((1, 3, 7), (3, 2, 3)), "dx on its canvas, 9; dy, 7"),
        ("weight_grad", (3, 2, 3), ((1, 2, 9), (1, 3, 7)), "x on its canvas, 9; dy, 7"),
    ],
)
def test_the_sides_of_the_other_kinds(kind, shape, shapes, text) -> None:
    drawn = configuration(problem(kind, shape, *shapes), (0, 0, 0))
    assert text in drawn
    assert not boxes(drawn, "tap")


def test_what_is_not_drawn() -> None:
    assert configuration(problem("bias_grad", (3,), (1, 3, 7), (3, 2, 3)), (0,)) == ""
    three = problem("forward", (1, 1, 1, 1, 1), (1, 1, 2, 2, 2), (1, 1, 2, 2, 2))
    assert configuration(three, (0, 0, 0, 0, 0)) == ""
    impossible = problem("forward", (1, 1, 1), (1, 1, 2), (1, 1, 5))
    assert configuration(impossible, (0, 0, 0)) == ""
