"""Cells sorted by phase: what taps and positions see stays what the plain canvas shows them."""

from math import prod
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from strategies import Problem, problems

from convref.geometry import Geometry
from convref.phases import Placement, Seen, stored, transposed, unpadded

Array = np.ndarray[Any, Any]
pytestmark = pytest.mark.uncompiled

BEYOND = 2**70
"""A step that no integer of 64 bits holds."""


def laid_out(x: Array, placement: Placement | None, cells: int) -> Array:
    """A canvas (..., cells) of an input (..., I), number by number, each cell filled but once."""
    if placement is None:
        assert x.shape[-1] == cells
        return x
    assert placement.cells == cells
    canvas, filled = np.zeros((*x.shape[:-1], cells), x.dtype), np.zeros(cells, bool)
    for row, row_source in zip(placement.row_cells, placement.row_sources, strict=True):
        for cell, source, length, cell_step, source_step in placement.runs.reshape(-1, 5):
            for j in range(length):
                to, origin = row + cell + j * cell_step, row_source + source + j * source_step
                assert 0 <= to < cells
                assert 0 <= origin < x.shape[-1]
                assert not filled[to]
                canvas[..., to], filled[to] = x[..., origin], True
    return canvas


def seen(canvas: Array, taps: Array, origins: Array) -> Array:
    """The columns (..., T, P), all of them within the canvas."""
    cells = np.add.outer(taps, origins)
    assert cells.min(initial=0) >= 0
    assert cells.max(initial=-1) < canvas.shape[-1]
    return canvas[..., cells]


def labels(geometry: Geometry) -> Array:
    """An input whose numbers all differ, and differ from padding."""
    return np.arange(1, 1 + prod(geometry.input_size))


def columns(geometry: Geometry, by_phase: bool) -> Array:
    """What the taps of each position see of the labels, on the stored canvas."""
    storage = stored(geometry, by_phase)
    canvas = laid_out(labels(geometry), storage.placement, storage.cells)
    return seen(canvas, storage.taps, storage.origins)


def assert_origins_count_by_ones(geometry: Geometry) -> None:
    origins = stored(geometry, True).origins.reshape(geometry.output_size)
    steps = np.diff(origins, axis=-1)
    np.testing.assert_array_equal(steps, np.ones(steps.shape))


@given(p=problems(), by_phase=st.booleans())
def test_stored_columns_are_those_of_the_canvas(p: Problem, by_phase: bool) -> None:
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    plain = seen(geometry.canvas(labels(geometry)), geometry.taps, geometry.origins)
    np.testing.assert_array_equal(columns(geometry, by_phase), plain, strict=True)


@given(p=problems())
def test_origins_by_phase_count_by_ones(p: Problem) -> None:
    assert_origins_count_by_ones(Geometry.of(p.input_size, p.kernel, **p.words))


@given(p=problems())
def test_the_natural_order_is_the_canvas_itself(p: Problem) -> None:
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    storage = stored(geometry, False)
    canvas = laid_out(labels(geometry), storage.placement, storage.cells)
    np.testing.assert_array_equal(canvas, geometry.canvas(labels(geometry)), strict=True)
    assert (storage.placement is None) == geometry.canvas_is_input


def by_phases(storage: Seen, w: Array, a: Array, size: int) -> Array:
    """Results (N, G, M, size) by the phases, from w (G, M, D, T) and the operand (N, G, D, ...)."""
    canvas = laid_out(a, storage.placement, storage.cells)
    results = np.zeros((*a.shape[:2], w.shape[1], size), a.dtype)
    for phase in storage.phases:
        view = seen(canvas, phase.steps, phase.origins)
        results[..., phase.positions] = np.einsum("gmdt,ngdti->ngmi", w[..., phase.taps], view)
    return results


def gradient(geometry: Geometry, storage: Seen, w: Array, dy: Array) -> Array:
    """dx (N, G, C/G, I) by the phases, from w (G, K/G, C/G, T) and dy (N, G, K/G, P)."""
    return by_phases(storage, w.swapaxes(1, 2), dy, prod(geometry.input_size))


@given(p=problems(modes=("zeros",), layouts=("channels_first",)))
def test_phases_give_the_gradient_of_the_input(p: Problem) -> None:
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    samples, filters = prod(p.batch), len(p.w) // p.groups
    w = p.w.reshape(p.groups, filters, p.w.shape[1], prod(p.kernel))
    dy = p.dy.reshape(samples, p.groups, filters, prod(geometry.output_size))
    expected = oracles.input_grad(p.dy, p.w, p.input_size, **p.words)
    dx = gradient(geometry, transposed(geometry), w, dy)
    np.testing.assert_array_equal(dx.reshape(p.x.shape), expected)


@given(p=problems(modes=("zeros",), layouts=("channels_first",)))
def test_phases_of_dy_itself_give_it_too(p: Problem) -> None:
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    storage = unpadded(geometry, backward=True)
    if storage is None:
        reject()
    assert storage.placement is None
    samples, filters = prod(p.batch), len(p.w) // p.groups
    w = p.w.reshape(p.groups, filters, p.w.shape[1], prod(p.kernel))
    dy = p.dy.reshape(samples, p.groups, filters, prod(geometry.output_size))
    expected = oracles.input_grad(p.dy, p.w, p.input_size, **p.words)
    dx = gradient(geometry, storage, w, dy)
    np.testing.assert_array_equal(dx.reshape(p.x.shape), expected)


@given(p=problems(modes=("zeros", "reflect"), layouts=("channels_first",)))
def test_phases_of_x_itself_give_the_outputs(p: Problem) -> None:
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    storage = unpadded(geometry, backward=False)
    if storage is None:
        spread = any(axis.input_dilation > 1 for axis in geometry.axes)
        zeros_alone = np.any(np.all(columns(geometry, False) == 0, axis=1))
        assert spread or zeros_alone or geometry.padding_mode != "zeros"
        return
    assert storage.placement is None
    samples, filters, channels = prod(p.batch), len(p.w) // p.groups, p.w.shape[1]
    w = p.w.reshape(p.groups, filters, channels, prod(p.kernel))
    x = p.x.reshape(samples, p.groups, channels, prod(geometry.input_size))
    y = by_phases(storage, w, x, prod(geometry.output_size))
    np.testing.assert_array_equal(y.reshape(p.dy.shape), oracles.forward(p.x, p.w, **p.words))


def test_too_many_phases_are_not_listed() -> None:
    few, many = (Geometry.of((n, n), (n, n), padding="same") for n in (33, 129))
    for backward in (True, False):
        assert unpadded(few, backward) is not None
        assert unpadded(many, backward) is None


@given(p=problems(modes=("zeros",)))
def test_phases_hold_each_position_at_most_once(p: Problem) -> None:
    """And those that none of them holds are seen by no tap."""
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    storage = transposed(geometry)
    times = np.zeros(prod(geometry.input_size), int)
    for phase in storage.phases:
        assert len(phase.positions) == len(phase.origins) > 0
        np.add.at(times, phase.positions, 1)
    assert set(times) <= {0, 1}
    assert storage.covers == bool(times.all())
    missed = set(np.flatnonzero(times == 0) + 1)
    assert not missed & set(columns(geometry, False).ravel())


@given(p=problems(modes=("zeros",)))
def test_each_tap_belongs_to_one_phase_of_a_whole_canvas(p: Problem) -> None:
    """Without padding and spreading each input position is a cell, so all phases are there."""
    size = tuple(
        max(n, w, s) for n, w, s in zip(p.input_size, windows(p), p.plan.stride, strict=True)
    )
    geometry = Geometry.of(size, p.kernel, stride=p.plan.stride, dilation=p.plan.dilation)
    storage = transposed(geometry)
    taps = np.concatenate([phase.taps for phase in storage.phases])
    np.testing.assert_array_equal(np.sort(taps), np.arange(prod(p.kernel)))
    # Where the stride exceeds the kernel, some positions are in no phase, for no tap sees them.
    seen = sum(len(phase.positions) for phase in storage.phases)
    assert storage.covers == (seen == prod(size))
    assert all(len(phase.taps) for phase in storage.phases)


def windows(p: Problem) -> list[int]:
    return [axis.window for axis in Geometry.of(p.input_size, p.kernel, **p.words).axes]


HUGE = {
    "stride": (Geometry.of((4, 5), (4, 5), stride=BEYOND), Geometry.of((4, 5), (4, 5))),
    "stride, some input left": (Geometry.of(9, 3, stride=BEYOND), Geometry.of(9, 3, stride=7)),
    "stride of 62 bits": (Geometry.of(9, 3, stride=2**62), Geometry.of(9, 3, stride=7)),
    "stride on one axis": (
        Geometry.of((4, 7), (2, 3), stride=(BEYOND, 2), padding=1),
        Geometry.of((4, 7), (2, 3), stride=(5, 2), padding=1),
    ),
    "dilation": (Geometry.of((5, 4), (1, 1), dilation=BEYOND), Geometry.of((5, 4), (1, 1))),
    "dilation on one axis": (
        Geometry.of((5, 6), (1, 2), dilation=(BEYOND, 3), stride=2, padding=((1, 0), (0, 2))),
        Geometry.of((5, 6), (1, 2), dilation=(1, 3), stride=2, padding=((1, 0), (0, 2))),
    ),
    "stride and dilation": (
        Geometry.of((1, 5), (1, 3), stride=(BEYOND, 2), dilation=(BEYOND, 1)),
        Geometry.of((1, 5), (1, 3), stride=(1, 2)),
    ),
    "input dilation": (
        Geometry.of((1, 5), (2, 2), input_dilation=(BEYOND, 2), padding=1),
        Geometry.of((1, 5), (2, 2), input_dilation=(1, 2), padding=1),
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_steps_that_nothing_takes(name: str) -> None:
    """However large they are, columns and gradients are those of a step that fits."""
    huge, fitting = HUGE[name]
    assert huge.output_size == fitting.output_size
    for by_phase in (False, True):
        np.testing.assert_array_equal(columns(huge, by_phase), columns(fitting, by_phase))
        assert_origins_count_by_ones(huge)
    random = np.random.default_rng(1)
    w = random.integers(-9, 10, (2, 3, 2, prod(huge.kernel_size)))
    dy = random.integers(-9, 10, (1, 2, 3, prod(huge.output_size)))
    dx = gradient(huge, transposed(huge), w, dy)
    np.testing.assert_array_equal(dx, gradient(fitting, transposed(fitting), w, dy))
    assert dx.any()


def test_phases_by_hand() -> None:
    """Input positions 0 to 4 at a stride of 2 and a padding of 1: the even ones see tap 1 only."""
    even, odd = sorted(
        transposed(Geometry.of(5, 3, stride=2, padding=1)).phases,
        key=lambda phase: phase.positions[0],
    )
    for phase, taps, positions in ((even, [1], [0, 2, 4]), (odd, [0, 2], [1, 3])):
        np.testing.assert_array_equal(phase.taps, taps)
        np.testing.assert_array_equal(phase.positions, positions)
    # Position 1 is seen by tap 2 of output 0 and by tap 0 of output 1.
    np.testing.assert_array_equal(np.diff(odd.steps), [-1])


def test_runs_by_hand() -> None:
    """A stride of 2 stores the even cells, which one padded row shows, before the odd ones."""
    storage = stored(Geometry.of(6, 2, stride=2, padding=((1, 1),)), True)
    assert storage.placement is not None
    canvas = laid_out(np.arange(1, 7), storage.placement, storage.cells)
    np.testing.assert_array_equal(canvas, [0, 2, 4, 6, 1, 3, 5, 0])
    np.testing.assert_array_equal(storage.taps, [0, 4])
    np.testing.assert_array_equal(storage.origins, [0, 1, 2, 3])
    assert len(storage.placement.runs.reshape(-1, 5)) == 2
