"""What `explain` says is true: every number is looked up or counted a second time."""

import json
import re
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from code_lines import Array, Drawn, drawn
from hypothesis import given
from hypothesis import strategies as st
from messages import refused

from convref import WordError, im2col
from convref.explain import explain, setting
from convref.explain.explanation import Explanation
from convref.explain.figures import costs, unread, windows
from convref.explain.formulas import formula
from convref.explain.writers import WRITERS
from convref.geometry import Geometry

DIALECTS = tuple(WRITERS)


@given(drawn(), st.sampled_from(DIALECTS))
def test_formulas_come_out(problem: Drawn, dialect: str) -> None:
    found = formula(problem.setting, dialect)
    assert len(found.axes) == len(problem.setting.output_size)
    for text, size in zip(found.axes, problem.setting.output_size, strict=True):
        left, right = text.split(" = ")
        assert eval(left, {"floor": floor, "ceil": ceil, "max": max}) == size == int(right)


@pytest.mark.parametrize(
    ("dialect", "words", "symbols", "first"),
    [
        ("convref", {"padding": "same"}, "floor((lo + n + hi - (d*(k - 1) + 1))/s) + 1",
            "floor((1 + 7 + 1 - (1*(3 - 1) + 1))/2) + 1 = 4"),
        ("torch", {"padding": 1}, "floor((n + 2*p - d*(k - 1) - 1)/s + 1)",
            "floor((7 + 2*1 - 1*(3 - 1) - 1)/2 + 1) = 4"),
        ("torch", {"padding": ((0, 1),)}, "floor((n + lo + hi - d*(k - 1) - 1)/s + 1)",
            "floor((7 + 0 + 1 - 1*(3 - 1) - 1)/2 + 1) = 3"),
        ("keras", {"padding": "same"}, "ceil(n/s)", "ceil(7/2) = 4"),
        ("keras", {}, "ceil((n - d*(k - 1))/s)", "ceil((7 - 1*(3 - 1))/2) = 3"),
        ("keras", {"padding": 2}, "ceil((n + lo + hi - d*(k - 1))/s)",
            "ceil((7 + 2 + 2 - 1*(3 - 1))/2) = 5"),
        ("jax", {"padding": "same"}, "ceil(n/s)", "ceil(7/2) = 4"),
        ("jax", {"input_dilation": 3},
            "floor((lo + ((n - 1)*e + 1) + hi - (d*(k - 1) + 1))/s) + 1",
            "floor((0 + ((7 - 1)*3 + 1) + 0 - (1*(3 - 1) + 1))/2) + 1 = 9"),
        ("onnx", {"padding": 1}, "floor((n + lo + hi - d*(k - 1) - 1)/s + 1)",
            "floor((7 + 1 + 1 - 1*(3 - 1) - 1)/2 + 1) = 4"),
        ("torch", {"padding": 1, "transposed": True, "output_padding": 1},
            "(n - 1)*s - 2*p + d*(k - 1) + op + 1", "(7 - 1)*2 - 2*1 + 1*(3 - 1) + 1 + 1 = 14"),
        ("keras", {"padding": "same", "transposed": True, "output_padding": 1}, "n*s",
            "7*2 = 14"),
        ("keras", {"transposed": True}, "n*s + max(d*(k - 1) + 1 - s, 0)",
            "7*2 + max(1*(3 - 1) + 1 - 2, 0) = 15"),
        ("onnx", {"transposed": True, "padding": ((0, 1),)},
            "s*(n - 1) + op + (d*(k - 1) + 1) - lo - hi",
            "2*(7 - 1) + 0 + (1*(3 - 1) + 1) - 0 - 1 = 14"),
        ("jax", {"transposed": True, "padding": 1},
            "(n - 1)*s + d*(k - 1) + 1 - lo - hi + op",
            "(7 - 1)*2 + 1*(3 - 1) + 1 - 1 - 1 + 0 = 13"),
    ],
)  # fmt: skip
def test_formulas_as_they_are_documented(
    dialect: str, words: dict[str, Any], symbols: str, first: str
) -> None:
    found = formula(setting(7, 3, stride=2, **words), dialect)
    assert (found.symbols, found.axes) == (symbols, (first,))


def line_of(size: int, pairs: tuple[int, int], mode: str, step: int) -> Array:
    """The padded input of one axis, whose entries are positions counted from 1, and 0 for zeros."""
    spread = np.zeros((size - 1) * step + 1, int)
    spread[::step] = np.arange(1, size + 1)
    (lo, hi), names = pairs, {"zeros": "constant", "replicate": "edge", "circular": "wrap"}
    line = np.pad(spread, (max(0, lo), max(0, hi)), mode=names.get(mode, mode))
    return line[max(0, -lo) : len(line) - max(0, -hi)]


@given(drawn())
def test_windows_and_what_is_behind_them(problem: Drawn) -> None:
    geometry = problem.setting.geometry
    for axis, (first, last) in zip(geometry.axes, windows(problem.setting), strict=True):
        line = line_of(axis.size, (axis.lo, axis.hi), geometry.padding_mode, axis.input_dilation)
        reach = (axis.kernel - 1) * axis.dilation + 1
        starts = range(0, len(line) - reach + 1, axis.stride)
        for window, start in ((first, starts[0]), (last, starts[-1])):
            cells = line[start : start + reach : axis.dilation]
            assert window == [None if cell == 0 else cell - 1 for cell in cells]
        assert unread(axis) == len(line) - (starts[-1] + reach)


@given(drawn(transposed=False))
def test_costs(problem: Drawn) -> None:
    made, found = problem.setting, costs(problem.setting)
    words = {name: getattr(made.spec, name) for name in ("stride", "padding", "dilation", "groups")}
    words |= {name: getattr(made.spec, name) for name in ("input_dilation", "padding_mode")}
    one_item = problem.x[0]
    columns = im2col(one_item, made.geometry.kernel_size, **words)
    canvas = made.geometry.canvas(one_item.reshape(len(one_item), -1))
    assert found.im2col_shape == columns.shape
    assert found.im2col_bytes == columns.nbytes
    assert found.implicit_bytes == canvas.nbytes
    assert found.parameters == problem.w.size + problem.bias.size
    per_group = made.out_channels // made.spec.groups
    assert found.macs == columns.size * per_group


@given(drawn(), st.sampled_from(DIALECTS), st.integers(30, 120))
def test_text_and_values_of_anything(problem: Drawn, dialect: str, width: int) -> None:
    explained = explain(problem.setting, dialect)
    text = explained.text(width)
    code = {row.text for section in explained.sections for row in section.rows if row.is_code}
    labels = max(len(row.label) for section in explained.sections for row in section.rows)
    for line in text.splitlines():
        assert len(line) <= max(width, labels + 24) or any(line.endswith(each) for each in code)
        assert line == line.rstrip()
    values = json.loads(json.dumps(explained.values, allow_nan=False))
    assert values["output_size"] == list(problem.setting.output_size)
    assert set(values["code"]) == set(DIALECTS)
    assert next(iter(values["code"])) == dialect
    for line in values["code"].values():
        assert line["code"] in text
        assert line["imports"] in text
    html = explained._repr_html_()
    assert html.count("<tr>") == html.count("</tr>")


def test_text() -> None:
    made = setting((7, 8), 3, stride=2, padding="same", in_channels=3, out_channels=8)
    text = str(explain(made, "keras"))
    assert text.startswith(
        """\
convolution of 7x8 by 3x3: 4x4

sizes
  input      7x8, 3 channels
  kernel     3x3; weights (8, 3, 3, 3)
  output     4x4, 8 channels
  words      stride 2

padding
  asked for  "same"
  rows       1 before, 1 after
  columns    0 before, 1 after (1 surplus)

formula
  keras      ceil(n/s)
  rows       ceil(7/2) = 4
  columns    ceil(8/2) = 4

windows
  rows       first reads -, 0, 1; last 5, 6, -
  columns    first reads 0, 1, 2; last 6, 7, -
  -          a zero, which is no input

code
  keras      import keras
             keras.layers.Conv2D(8, 3, strides=2, padding="same")
  convref    from convref import conv, conv_transpose
"""
    )
    assert text.endswith(
        """
cost
  work       3,456 multiply-adds: 8x3 channels, 3x3 taps, 4x4 positions
  learned    224 parameters: 8x3x3x3 weights, 8 biases
  im2col     1.7 KiB: a matrix of 27x16
  implicit   972 bytes: the padded input, 3x9x9"""
    )


def test_transposed_is_read_twice() -> None:
    made = setting((4, 5), 3, stride=2, padding=1, transposed=True, output_padding=1)
    text = explain(made, "torch").text(100)
    assert "\n  meaning   cut off the output, as if that had been padded\n" in text
    assert "\n  rows      1 before, 1 after; behind the last window: 1\n" in text
    assert "\n  rows      first input reaches -, 0, 1; last 5, 6, 7\n" in text
    assert (
        "\ntwo readings\n"
        "  scatter   each input, times the kernel, is added to the output, where neighbours are "
        "2x2 apart\n"
        "  gather    a convolution of stride 1, its kernel flipped, over the input with 1x1 zeros "
        "between\n"
        "            neighbours, padded by ((1, 2), (1, 2))\n"
    ) in text
    assert "the padded output, 1x10x12" in text


def squeezed(explained: Explanation) -> str:
    """The text with one space for several."""
    return re.sub(" +", " ", str(explained))


def test_crops_modes_and_long_windows() -> None:
    made = setting((20, 30, 9), (15, 3, 1), padding=((3, 1), (-2, 4), (0, 0)))
    text = squeezed(explain(made))
    assert "\n slices 3 before (2 surplus), 1 after\n" in text
    assert "\n rows 2 cropped before, 4 after (4 surplus)\n" in text
    assert "\n slices first reads -, -, -, ..., 9, 10, 11; last 6, 7, 8, ..., 18, 19, -\n" in text
    circular = squeezed(explain(setting(5, 3, padding=1, padding_mode="circular")))
    assert '\n filled by "circular"\n' in circular
    assert "\n positions first reads 4, 0, 1; last 3, 4, 0\n" in circular
    assert "a zero" not in circular
    assert "the input itself, 1x5" in squeezed(explain(setting(5, 3)))
    assert "axis 3" in squeezed(explain(setting((3, 3, 3, 3), 2)))


def test_unread_cells() -> None:
    assert [unread(Geometry.of(size, 3, stride=3).axes[0]) for size in (3, 4, 5, 6)] == [0, 1, 2, 0]


def test_in_a_notebook() -> None:
    html = explain(setting((7, 7), 3, padding="same"))._repr_html_()
    assert "<code>conv(x, w, padding=&quot;same&quot;)</code>" in html
    assert html.startswith("<table><caption>convolution of 7x7 by 3x3: 7x7</caption>")


def test_unknown_dialect() -> None:
    message = "explain: `dialect` (='Torch') is unknown; did you mean 'torch'?"
    with refused(WordError, message):
        explain(setting(5, 3), "Torch")
