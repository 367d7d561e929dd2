"""Sliding tiles: the micro-kernel against its equation, and its plan against the lists it is of."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from numba import njit
from test_jit_moves import every_dtype, lanes_of, untouched, with_values

from convref.geometry import Geometry
from convref.kernels.jit import pieces, slabs, slide
from convref.kernels.jit.flat import aligned, data, shifted, store
from convref.kernels.jit.vectors import vector_bytes
from convref.phases import Phase, as_one_phase, stored, transposed

Array = np.ndarray[Any, Any]


@njit
def slide_tile(positions, stride, x, cell, w, w_step, parts, count, out, pitch):
    slide.slide_tile(
        positions, stride, x, 40, cell, w, w_step, parts, count, out, 40 - min(0, 40 * pitch), pitch
    )


@pytest.mark.uncompiled
@every_dtype
@pytest.mark.parametrize("stride", slide.STRIDES)
def test_tiles_are_sums_over_pieces(dtype: str, stride: int, rng: np.random.Generator) -> None:
    """Forwards and backwards, of every number of positions and of taps."""
    lanes = lanes_of(dtype)
    for positions, back, taps in product(slide.POSITIONS, (False, True), (*slide.TAPS, 0)):
        cell, pitch = (lanes + 3, lanes + 2) if not back else (-lanes - 3, -lanes - 2)
        lengths = [taps or length for length in slide.TAPS]  # 0: every length, one after the other
        w_step, each = lanes + 1, np.arange(lanes)
        reach = (positions - 1) * stride + max(lengths) - 1
        x_steps = rng.integers(0, 50, len(lengths)) - min(0, reach * cell)
        w_steps = rng.integers(0, 50, len(lengths))
        parts = np.stack([x_steps, w_steps, lengths], axis=1).ravel()
        j, k = np.arange(positions), [np.arange(length) for length in lengths]
        seen = [
            40 + step + np.add.outer(np.add.outer(j * stride, k[q]) * cell, each)
            for q, step in enumerate(x_steps)
        ]
        read = [step + np.add.outer(k[q] * w_step, each) for q, step in enumerate(w_steps)]
        last = 40 - min(0, 40 * pitch)
        cells = last + np.add.outer(j * pitch, each)
        x = with_values(
            40 + 50 + reach * abs(cell) + lanes,
            dtype,
            np.concatenate([s.ravel() for s in seen]),
            rng,
        )
        w = with_values(
            50 + max(lengths) * w_step + lanes,
            dtype,
            np.concatenate([r.ravel() for r in read]),
            rng,
        )
        out = untouched(int(cells.max()) + 9, dtype)
        expected = out.copy()
        expected[cells] = sum((x[s] * w[r]).sum(axis=1) for s, r in zip(seen, read, strict=True))
        slide_tile(positions, stride, x, cell, w, w_step, parts, len(lengths), out, pitch)
        np.testing.assert_array_equal(out, expected, f"{positions} positions, {lengths}, {cell}")


@njit
def mark(a, at):
    store(aligned(shifted(data(a), at)), 0, 1)


@every_dtype
def test_scratch_is_aligned_within_the_vector_that_it_has_to_spare(dtype: str) -> None:
    lanes, size = lanes_of(dtype), np.dtype(dtype).itemsize
    for at in range(2 * lanes):
        a = np.zeros(3 * lanes + 1, dtype)
        mark(a, at)
        (marked,) = np.flatnonzero(a)
        assert at <= marked < at + lanes
        assert (a.ctypes.data + size * marked) % vector_bytes() == 0


MAPS = {
    "plain": Geometry.of((9, 17), 3, padding=1),
    "stride 2": Geometry.of((19, 33), (3, 5), stride=2, padding="same"),
    "stride 3": Geometry.of((19, 33), (3, 7), stride=3),
    "dilated": Geometry.of((19, 33), 3, dilation=2, padding="same"),
    "as far as the stride": Geometry.of((19, 33), 3, dilation=2, stride=2),
    "long taps": Geometry.of((40,), 23, padding=11),
    "one column": Geometry.of((40, 1), (5, 1), padding=((2, 2), (0, 0))),
    "one position": Geometry.of((5, 5), 5),
    "holes": Geometry.of((7, 8), 3, input_dilation=2, padding=2),
    "stride beyond the kernel": Geometry.of((20, 21), 2, stride=(3, 4)),
}


def listed(phases: tuple[Phase, ...], sliding: pieces.Slides) -> set[tuple[int, int, int]]:
    """(place, cell, tap) of every product that the tiles sum; in lanes of one number."""
    found = []
    for span, way in zip(sliding.spans, np.tile(sliding.ways, (len(phases), 1)), strict=False):
        first, count, stride, cell, w_step = way
        for x_at, out_at, positions, pitch in sliding.tiles[slice(*span)]:
            assert positions in slide.POSITIONS
            for x_step, tap, length in sliding.pieces[first : first + count]:
                assert length in slide.TAPS
                found += [
                    (out_at + j * pitch, x_at + x_step + (j * stride + k) * cell, tap + k * w_step)
                    for j, k in product(range(positions), range(length))
                ]
    assert len(set(found)) == len(found)
    return {tuple(map(int, each)) for each in found}


@pytest.mark.parametrize("operator", ["forward", "input_grad"])
@pytest.mark.parametrize("name", MAPS)
def test_plans_hold_every_product_once(name: str, operator: str) -> None:
    geometry = MAPS[name]
    forward = operator == "forward"
    seen = as_one_phase(stored(geometry, False)) if forward else transposed(geometry)
    origins = np.concatenate([phase.origins for phase in seen.phases])
    positions = np.concatenate([phase.positions for phase in seen.phases])
    ends = np.cumsum([0, *(len(phase.origins) for phase in seen.phases)])
    spans = np.stack([ends[:-1], ends[1:]], axis=1)
    sliding = pieces.in_slides(seen.phases, spans, origins, positions, 1, 1)
    wanted = {
        (int(place), int(origin + step), int(tap))
        for phase in seen.phases
        for place, origin in zip(phase.positions, phase.origins, strict=True)
        for step, tap in zip(phase.steps, phase.taps, strict=True)
    }
    assert listed(seen.phases, sliding) == wanted


def test_rows_slide_in_tiles_of_many_positions_and_taps() -> None:
    """A kernel of 3 by 3: one piece for each row of taps, and the widest tile first in a row."""
    for seen in (as_one_phase(stored(MAPS["plain"], False)), transposed(MAPS["plain"])):
        (phase,) = seen.phases
        spans = np.array([[0, len(phase.origins)]])
        sliding = pieces.in_slides(seen.phases, spans, phase.origins, phase.positions, 1, 1)
        assert sliding.pieces[:, 2].tolist() == [3, 3, 3]
        widest = max(length for length in slide.POSITIONS if length <= 17)
        assert sliding.tiles[0, 2] == widest


def test_sums_keep_the_order_of_the_taps() -> None:
    for geometry in MAPS.values():
        for seen in (as_one_phase(stored(geometry, False)), transposed(geometry)):
            for phase in seen.phases:
                way, near = pieces.way_of(phase.origins, phase.steps, phase.taps)
                order = [
                    phase.taps[at] + k * way.w_step
                    for at, length in zip(*pieces.cut_runs(near, slide.TAPS), strict=True)
                    for k in range(length)
                ]
                assert order == phase.taps.tolist()


def test_gaps_are_what_is_left() -> None:
    random = np.random.default_rng(5)
    for length in range(12):
        for _ in range(20):
            shown = np.flatnonzero(random.random(length) < 0.6)
            left = [cell for begin, end in slabs.gaps(shown, length) for cell in range(begin, end)]
            assert sorted([*shown, *left]) == list(range(length))
