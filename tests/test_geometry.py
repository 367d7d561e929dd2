"""Index arithmetic against figures from the literature, and against the oracle's padding."""

from dataclasses import FrozenInstanceError
from math import prod
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import assume, given
from messages import refused
from strategies import PADDING_MODES, Problem, problems

from convref import Geometry, ShapeError, WordError, conv, conv_transpose
from convref.geometry import gathered
from convref.kernels import im2col

DUMOULIN_VISIN = [
    # figure of arXiv:1603.07285v2: input, kernel, stride, padding, dilation, output
    ("2.1", 4, 3, 1, 0, 1, 2),
    ("2.2", 5, 4, 1, 2, 1, 6),
    ("2.3", 5, 3, 1, 1, 1, 5),
    ("2.4", 5, 3, 1, 2, 1, 7),
    ("2.5", 5, 3, 2, 0, 1, 2),
    ("2.6", 5, 3, 2, 1, 1, 3),
    ("2.7", 6, 3, 2, 1, 1, 3),
    ("5.1", 7, 3, 1, 0, 2, 3),
]
TRANSPOSED = [
    # figure: input, kernel, stride, padding, output padding, output
    ("4.1", 2, 3, 1, 0, 0, 4),
    ("4.2", 6, 4, 1, 2, 0, 5),
    ("4.3", 5, 3, 1, 1, 0, 5),
    ("4.4", 7, 3, 1, 2, 0, 5),
    ("4.5", 2, 3, 2, 0, 0, 5),
    ("4.6", 3, 3, 2, 1, 0, 5),
    ("4.7", 3, 3, 2, 1, 1, 6),
]


@pytest.mark.parametrize("setting", DUMOULIN_VISIN, ids=lambda row: f"figure {row[0]}")
def test_output_sizes_of_the_literature(setting: tuple[Any, ...]) -> None:
    _, size, kernel, stride, padding, dilation, output = setting
    geometry = Geometry.of((size, size), kernel, stride=stride, padding=padding, dilation=dilation)
    assert geometry.output_size == (output, output)


@pytest.mark.parametrize("setting", TRANSPOSED, ids=lambda row: f"figure {row[0]}")
def test_transposed_output_sizes_of_the_literature(setting: tuple[Any, ...]) -> None:
    _, size, kernel, stride, padding, extra, output = setting
    x, w = np.ones((1, size, size)), np.ones((1, 1, kernel, kernel))
    y = conv_transpose(x, w, stride=stride, padding=padding, output_padding=extra)
    assert y.shape == (1, output, output)


@given(p=problems(spread_out=True))
def test_sizes_and_padding(p: Problem) -> None:
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    assert geometry.input_size == p.input_size
    assert geometry.kernel_size == p.kernel
    assert geometry.output_size == p.plan.output
    assert geometry.padding == p.plan.pads
    assert geometry.macs == len(geometry.taps) * len(geometry.origins)


@given(p=problems(layouts=("channels_first",)))
def test_canvas_read_at_tap_plus_origin(p: Problem) -> None:
    """Every tap of every position sees what the oracle's padded input shows there."""
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    flat = geometry.canvas(p.x.reshape(*p.batch, p.channels, prod(p.input_size)))
    canvas = flat.reshape(*p.batch, p.channels, *geometry.canvas_size)
    np.testing.assert_array_equal(canvas, oracles.padded(p.x, p.plan), strict=True)
    for (_, seen), tap in zip(oracles.windows(canvas, p.plan), geometry.taps, strict=True):
        np.testing.assert_array_equal(flat[..., tap + geometry.origins].ravel(), seen.ravel())


@given(p=problems(layouts=("channels_first",)))
def test_sources_are_the_places_of_the_input(p: Problem) -> None:
    """The canvas holds element ``sources[cell]``, or zero where that is -1."""
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    labels = np.arange(1, 1 + prod(p.input_size)).reshape(p.input_size)
    expected = oracles.padded(labels, p.plan).ravel() - 1
    np.testing.assert_array_equal(geometry.sources, expected)


@given(p=problems(layouts=("channels_first",)))
def test_take_back_is_the_transpose_of_canvas(p: Problem) -> None:
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    x = p.x.reshape(*p.batch, p.channels, prod(p.input_size))
    placed = geometry.canvas(x)
    canvas = np.arange(placed.size).reshape(placed.shape)
    taken = np.full(x.shape, 99)
    geometry.take_back(canvas, taken)
    assert np.vdot(placed, canvas) == np.vdot(x, taken)


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_modes_as_numpy_pads(mode: str) -> None:
    x = np.arange(1, 5)
    canvas = Geometry.of(4, 1, padding=[(6, 3)], padding_mode=mode).canvas(x)
    np.testing.assert_array_equal(canvas, np.pad(x, (6, 3), oracles.NUMPY_MODE[mode]))


def test_sizes_broadcast_over_axes() -> None:
    one = Geometry.of((5, 6), 3, stride=2)
    assert one.kernel_size == (3, 3)
    assert Geometry.of(5, (3, 2)).input_size == (5, 5)
    assert one is Geometry.of([5, 6], (3, 3), stride=(2, 2))


def test_frozen() -> None:
    geometry = Geometry.of((5,), (3,))
    with pytest.raises(FrozenInstanceError):
        geometry.groups = 2  # type: ignore[misc]
    for offsets in (geometry.taps, geometry.origins):
        assert offsets.dtype == np.int64
        with pytest.raises(ValueError, match="read-only"):
            offsets[0] = 1


def test_empty_output() -> None:
    message = (
        "conv: the output would be empty along spatial axis 1: the window of 5 "
        "(kernel 3, `dilation` 2) exceeds the 4 cells of the padded input "
        "(size 3, `padding` (1, 0)); use a larger input, a smaller kernel or more padding"
    )
    with refused(ShapeError, message):
        conv(np.ones((1, 9, 3)), np.ones((1, 1, 3, 3)), dilation=2, padding=[0, (1, 0)])


def test_cropped_to_nothing() -> None:
    message = (
        "conv: the output would be empty along spatial axis 0: the window of 1 "
        "(kernel 1, `dilation` 1) exceeds the 0 cells of the padded input "
        "(size 2, `padding` (-3, -3)); use a larger input, a smaller kernel or more padding"
    )
    with refused(ShapeError, message):
        conv(np.ones((1, 2)), np.ones((1, 1, 1)), padding=-3)


@pytest.mark.parametrize("word", ["same", "same_lower", "causal", "valid"])
def test_words_add_nothing_to_no_input(word: str) -> None:
    with pytest.raises(ShapeError, match=r"^conv: the output would be empty along spatial axis 0"):
        conv(np.ones((1, 0)), np.ones((1, 1, 3)), padding=word)


@pytest.mark.parametrize("mode", PADDING_MODES[1:])
def test_nothing_to_repeat(mode: str) -> None:
    message = (
        f"conv: `padding_mode` (='{mode}') has nothing to repeat along spatial axis 0, where the "
        "input is empty; use padding_mode='zeros'"
    )
    with refused(ShapeError, message):
        conv(np.ones((1, 0)), np.ones((1, 1, 1)), padding=2, padding_mode=mode)


def test_kernel_without_taps() -> None:
    message = "conv: the kernel has no taps along spatial axis 1; give it one or more"
    with refused(ShapeError, message):
        conv(np.ones((1, 4, 4)), np.ones((1, 1, 2, 0)))


@given(p=problems(modes=("zeros",)))
def test_the_transpose_gathers(p: Problem) -> None:
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    back = gathered(geometry)
    assume(prod(geometry.input_size))  # of nothing there is no convolution
    assert (back.input_size, back.output_size) == (geometry.output_size, geometry.input_size)
    x, y, taps = (prod(size) for size in (p.input_size, geometry.output_size, p.kernel))
    rows = p.channels_first(p.dy).reshape(-1, p.groups, len(p.w) // p.groups, y)
    w = p.w.reshape(p.groups, -1, p.w.shape[1], taps)
    dx = np.empty((len(rows), p.groups, p.w.shape[1], x), np.int64)
    im2col.input_grad(dx, w, rows, geometry)
    gathers = np.empty_like(dx)
    im2col.forward(rows, w.swapaxes(1, 2)[..., ::-1], gathers, back)
    assert np.array_equal(gathers, dx)


def test_no_gathering_of_repeated_inputs() -> None:
    geometry = Geometry.of(5, 3, padding=1, padding_mode="reflect")
    with refused(
        WordError,
        "with `padding_mode` (='reflect') the transpose is no convolution; "
        "use padding_mode='zeros'",
    ):
        gathered(geometry)
