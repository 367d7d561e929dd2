"""Stretches of an axis, against the equation that ties outputs and taps to inputs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import PADDING_MODES

from convref.geometry import Axis
from convref.intervals import frame, reached, reads, shown_by, shows


@st.composite
def axes(draw: st.DrawFn, least: int = 0) -> Axis:
    """Any axis that has an output."""
    kernel, stride, dilation, step = (draw(st.integers(1, most)) for most in (4, 5, 3, 3))
    size, lo, hi = draw(st.integers(least, 12)), draw(st.integers(-3, 9)), draw(st.integers(-3, 9))
    axis = Axis(size, kernel, stride, dilation, step, lo, hi)
    assume(axis.canvas >= axis.window)
    return axis


def stretch_of(data: st.DataObject, length: int) -> tuple[int, int]:
    first = data.draw(st.integers(0, length - 1))
    return first, data.draw(st.integers(first + 1, length))


def seen(axis: Axis, output: int, tap: int) -> int | None:
    """The input that a tap of an output reads."""
    cell = output * axis.stride + tap * axis.dilation - axis.lo
    position, between = divmod(cell, axis.input_dilation)
    return None if between or not 0 <= position < axis.size else position


def pairs(axis: Axis) -> set[tuple[int, int, int]]:
    """All that is read, as (output, tap, input)."""
    found = ((o, k, seen(axis, o, k)) for o in range(axis.output) for k in range(axis.kernel))
    return {(o, k, i) for o, k, i in found if i is not None}


@pytest.mark.parametrize("tie", [reads, frame])
@given(axis=axes(), data=st.data())
def test_what_outputs_read(tie, axis: Axis, data: st.DataObject) -> None:
    first, stop = stretch_of(data, axis.output)
    ((begin, end),), block = tie(axis, first, stop)
    assert block.output == stop - first
    assert block == replace(axis, size=end - begin, lo=block.lo, hi=block.hi)
    assert min(block.lo, block.hi) >= 0
    inside = {(o + first, k, i + begin) for o, k, i in pairs(block)}
    within = {(o, k, i) for o, k, i in inside if 0 <= i < axis.size}
    assert within == {(o, k, i) for o, k, i in pairs(axis) if first <= o < stop}
    if tie is reads:
        assert within == inside
        assert 0 <= begin <= end <= axis.size


@given(axis=axes(), data=st.data())
def test_a_frame_has_no_padding(axis: Axis, data: st.DataObject) -> None:
    axis = replace(axis, input_dilation=1)
    assume(axis.canvas >= axis.window)
    first, stop = stretch_of(data, axis.output)
    _, block = frame(axis, first, stop)
    assert (block.lo, block.hi) == (0, 0)


@given(axis=axes(least=1), data=st.data())
def test_what_inputs_reach(axis: Axis, data: st.DataObject) -> None:
    first, stop = stretch_of(data, axis.size)
    ((begin, end),), block = reached(axis, first, stop)
    assert 0 <= begin < end <= axis.output
    assert block.output == end - begin
    assert block.size == stop - first
    inside = {(o + begin, k, i + first) for o, k, i in pairs(block)}
    assert inside == {(o, k, i) for o, k, i in pairs(axis) if first <= i < stop}


@pytest.mark.parametrize("mode", PADDING_MODES)
@given(axis=axes(least=1), data=st.data())
def test_what_cells_show(mode: str, axis: Axis, data: st.DataObject) -> None:
    sources = axis.sources(mode)
    first, stop = stretch_of(data, axis.canvas)
    np.testing.assert_array_equal(axis.sources(mode, first, stop), sources[first:stop])
    stretches, index = shows(axis, mode, first, stop)
    inputs = np.concatenate([[], *(np.arange(*stretch) for stretch in stretches)])
    shown = np.append(inputs, -1)[index]  # the last for those that show nothing
    np.testing.assert_array_equal(shown, sources[first:stop])
    assert set(inputs) == set(shown) - {-1}


@pytest.mark.parametrize("mode", PADDING_MODES)
@given(axis=axes(least=1), data=st.data())
def test_which_cells_show_inputs(mode: str, axis: Axis, data: st.DataObject) -> None:
    first, stop = stretch_of(data, axis.size)
    stretches, index = shown_by(axis, mode, first, stop)
    cells = np.concatenate([[], *(np.arange(*stretch) for stretch in stretches)])
    sources = axis.sources(mode)
    wanted = np.flatnonzero((sources >= first) & (sources < stop))
    np.testing.assert_array_equal(cells, wanted)
    np.testing.assert_array_equal(index + first, sources[wanted])
