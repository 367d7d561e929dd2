"""The pieces of the compiled kernels, each against NumPy: tiles, dot products, moves of numbers.

Where a piece should neither read nor write, arrays hold NaN, or -99.
"""

from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest
from numba import njit

from convref.geometry import Geometry
from convref.kernels.jit import across, dots, micro, move, place
from convref.kernels.jit.crew import share
from convref.kernels.jit.fills import view
from convref.kernels.jit.flat import data, keep, load, store
from convref.kernels.jit.plans.plan import placing
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import stored

Array = np.ndarray[Any, Any]
pytestmark = pytest.mark.uncompiled

every_dtype = pytest.mark.parametrize(
    "dtype", ["float32", "float64", "int32", "int64", "complex64", "complex128"]
)


def lanes_of(dtype: str) -> int:
    return vector_lanes(np.dtype(dtype).itemsize)


def untouched(size: int, dtype: str) -> Array:
    return np.full(size, -99 if np.dtype(dtype).kind == "i" else np.nan, dtype)


def with_values(size: int, dtype: str, cells: Array, rng: np.random.Generator) -> Array:
    """Small integers in these cells, and none elsewhere."""
    array, values = untouched(size, dtype), rng.integers(-9, 10, (2, size))
    array[cells] = values[0][cells]
    if array.dtype.kind == "c":
        array[cells] += 1j * values[1][cells]
    return array


@njit
def high_tile(shape, a, rows, a_steps, b, b_steps, depth, out, to, fresh):
    height, vectors = shape
    micro.high_tile(height, vectors, a, rows, 2, a_steps, b, 7, b_steps, depth, out, 5, to, fresh)


@njit
def wide_tile(shape, a, rows, a_steps, b, b_steps, depth, out, to, fresh):
    height, vectors = shape
    micro.wide_tile(height, vectors, a, rows, 2, a_steps, b, 7, b_steps, depth, out, 5, to, fresh)


@njit
def slim_tile(shape, a, rows, a_steps, b, b_steps, depth, out, to, fresh):
    height, vectors = shape
    micro.slim_tile(height, vectors, a, rows, 2, a_steps, b, 7, b_steps, depth, out, 5, to, fresh)


TILES = {
    high_tile: micro.HIGH + micro.BROAD,
    wide_tile: micro.WIDE,
    slim_tile: micro.SLIM,
}
"""The shapes of each kind of tile."""


@every_dtype
@pytest.mark.parametrize("tile", TILES, ids=["high", "wide", "slim"])
@pytest.mark.parametrize("fresh", [True, False], ids=["fill", "add"])
@pytest.mark.parametrize("listed", [True, False], ids=["listed", "apart"])
def test_tiles_are_matrix_products_at_any_offsets(
    tile: Any, dtype: str, fresh: bool, listed: bool, rng: np.random.Generator
) -> None:
    """Of a slim tile at any offsets in a, but vector after vector in b.

    Rows go to places in a list, or so far apart. The last two of a list are the same row.
    """
    for (height, vectors), depth in product(TILES[tile], (0, 1, 5)):
        lanes = vectors * lanes_of(dtype)
        rows, a_steps, b_steps = (
            rng.integers(0, 150, size) for size in (2 + 2 * height, depth + 1, depth + 1)
        )
        if tile is slim_tile:
            b_steps = np.arange(depth + 1) * lanes
        pitch = lanes + 3
        places = np.arange(height) * pitch
        if listed and height > 1:
            places = rng.permutation(places)
            places[-1], rows[1 + height] = places[-2], rows[height]
        left = np.add.outer(rows[2 : 2 + height], a_steps[:depth])
        right = 7 + np.add.outer(b_steps[:depth], np.arange(lanes))
        cells = 5 + np.add.outer(places, np.arange(lanes))
        a = with_values(300, dtype, left, rng)
        b = with_values(157 + lanes, dtype, right, rng)
        out = with_values(10 + height * pitch, dtype, cells[:0] if fresh else cells, rng)
        expected = out.copy()
        expected[cells] = a[left] @ b[right] + (0 if fresh else out[cells])
        to = np.concatenate([[-99, -99], places]) if listed else pitch
        tile((height, vectors), a, rows, a_steps, b, b_steps, depth, out, to, fresh)
        np.testing.assert_array_equal(out, expected, f"{height} x {vectors}, depth {depth}")


@njit
def pair_tile(height, vectors, a, rows, a_steps, b, b_steps, depth, out, pitch, fresh):
    micro.pair_tile(
        height, vectors, a, rows, 2, a_steps, b, 7, b_steps, depth, out, 5, pitch, fresh
    )


@every_dtype
@pytest.mark.parametrize("fresh", [True, False], ids=["fill", "add"])
def test_tiles_of_pairs_multiply_lane_by_lane(
    dtype: str, fresh: bool, rng: np.random.Generator
) -> None:
    for (height, vectors), depth in product(micro.HIGH, (0, 1, 5)):
        lanes = vectors * lanes_of(dtype)
        rows, a_steps, b_steps = (
            rng.integers(0, 150, size) for size in (2 + 2 * height, depth + 1, depth + 1)
        )
        steps = np.add.outer(rows[2 : 2 + height], a_steps[:depth])
        left = np.add.outer(steps, np.arange(lanes))
        right = 7 + np.add.outer(b_steps[:depth], np.arange(lanes))
        pitch = lanes + 3
        cells = 5 + np.add.outer(np.arange(height) * pitch, np.arange(lanes))
        a = with_values(300 + lanes, dtype, left, rng)
        b = with_values(157 + lanes, dtype, right, rng)
        out = with_values(10 + height * pitch, dtype, cells[:0] if fresh else cells, rng)
        expected = out.copy()
        expected[cells] = (a[left] * b[right]).sum(axis=1) + (0 if fresh else out[cells])
        pair_tile(height, vectors, a, rows, a_steps, b, b_steps, depth, out, pitch, fresh)
        np.testing.assert_array_equal(out, expected, f"{height} x {vectors}, depth {depth}")


@njit
def dot_tile(shape, a, rows, a_at, b, columns, b_at, stretches, length, sums):
    height, width = shape
    dots.dot_tile(height, width, a, rows, 2, a_at, b, columns, 3, b_at, stretches, length, sums)


@every_dtype
@pytest.mark.parametrize("shape", dots.SHAPES, ids=lambda shape: "{} x {}".format(*shape))
def test_dot_tiles_sum_along_stretches(
    shape: tuple[int, int], dtype: str, rng: np.random.Generator
) -> None:
    height, width = shape
    lanes = lanes_of(dtype)
    for stretches, length in product((0, 1, 3), {0, 1, lanes - 1, lanes, lanes + 1, 2 * lanes + 3}):
        rows, columns, a_at, b_at = (
            rng.integers(0, 60, size)
            for size in (2 + height, 3 + width, stretches + 1, stretches + 1)
        )
        along = np.arange(length)
        left = np.add.outer(rows[2:], np.add.outer(a_at[:stretches], along).ravel())
        right = np.add.outer(columns[3:], np.add.outer(b_at[:stretches], along).ravel())
        a, b = (with_values(130 + length, dtype, cells, rng) for cells in (left, right))
        sums, count = untouched(dots.SUMS + 9, dtype), height * width
        beyond, expected = sums[-(-count // lanes) * lanes :].copy(), a[left] @ b[right].T
        dot_tile(shape, a, rows, a_at, b, columns, b_at, stretches, length, sums)
        told = f"{stretches} stretches of {length}"
        np.testing.assert_array_equal(sums[:count], expected.ravel(), told)
        np.testing.assert_array_equal(sums[len(sums) - len(beyond) :], beyond, told)


@njit
def gather(source, at, lanes_at, target, to):
    across.gather(source, at, lanes_at, target, to)


@every_dtype
def test_gather_brings_a_vector_from_anywhere(dtype: str, rng: np.random.Generator) -> None:
    lanes = lanes_of(dtype)
    lanes_at = rng.integers(0, 50, lanes) * rng.integers(1, 5)
    source = with_values(210, dtype, 5 + lanes_at, rng)
    target = untouched(lanes + 9, dtype)
    expected = target.copy()
    expected[2 : 2 + lanes] = source[5 + lanes_at]
    gather(source, 5, lanes_at, target, 2)
    np.testing.assert_array_equal(target, expected)


@njit
def transpose(source, at, source_lines, target, to, target_lines, rows, run):
    across.transpose(source, at, source_lines, target, to, target_lines, rows, run)


@every_dtype
def test_transpose_turns_a_square_of_runs(dtype: str, rng: np.random.Generator) -> None:
    lanes = lanes_of(dtype)
    for run in (2**power for power in range(max(1, lanes.bit_length() - 1))):
        height = lanes // run
        for rows in {0, 1, height - 1, height}:
            # Lines in any order, none over another.
            source_lines, target_lines = (rng.permutation(lanes) * (lanes + 3) for _ in range(2))
            along = np.arange(lanes)
            cells = 5 + np.add.outer(source_lines[:height], along)
            source = with_values(10 + lanes * (lanes + 3), dtype, cells, rng)
            target = untouched(10 + lanes * (lanes + 3), dtype)
            expected = target.copy()
            squares = source[cells].reshape(height, height, run).swapaxes(0, 1)
            targets = 2 + np.add.outer(target_lines[: rows * run : run], along)
            expected[targets] = squares[:rows].reshape(rows, lanes)
            transpose(source, 5, source_lines, target, 2, target_lines, rows, run)
            np.testing.assert_array_equal(target, expected, f"{rows} rows, runs of {run}")


@njit
def pack(source, limit, offsets, lanes_at, run, count, lanes, panel, lines):
    at, to = data(lanes_at), data(lines)
    move.pack(source, limit, offsets, at, run, count, lanes, panel, to)
    keep(lanes_at, lines)


@njit
def unpack(panel, lines, target, offsets, lanes_at, run, count, lanes):
    at, to = data(lines), data(lanes_at)
    move.unpack(panel, at, target, offsets, to, run, count, lanes)
    keep(lanes_at, lines)


def panels(lanes: int, run: int) -> list[tuple[Array, Array]]:
    """(offsets, lanes_at): rows near each other, in two stretches, and apart; lanes in runs.

    No two elements are in one place: rows go by the run, and lanes far beyond; where a run is a
    whole vector also the other way round.
    """
    sizes = {1, lanes - 1, lanes, lanes + 1, 2 * lanes + 1} - {0}
    most = 2 * lanes + 2
    steps = ((run, 4 * run * most), (most, run)) if run == lanes else ((run, 4 * run * most),)
    cases = []
    for count, wide, (row_step, far) in product((0, *sizes), sizes, steps):
        near, lane = np.arange(count), np.arange(wide)
        lanes_at = lane // run * far + lane % run
        rows = near, near + (near >= lanes // 2), 3 * near + 1
        cases += [(own * row_step, lanes_at) for own in rows]
    return cases


@every_dtype
def test_pack_and_unpack_move_a_panel(dtype: str, rng: np.random.Generator) -> None:
    for run in (2**power for power in range(lanes_of(dtype).bit_length())):
        for offsets, lanes_at in panels(lanes_of(dtype), run):
            count, wide = len(offsets), len(lanes_at)
            pitch = wide + lanes_of(dtype)
            cells = 5 + np.add.outer(offsets, lanes_at)
            source = with_values(cells.max(initial=0) + 1 + lanes_of(dtype), dtype, cells, rng)
            lines = np.arange(count + 2) * pitch
            in_panel = np.add.outer(lines[:count], np.arange(wide))

            note = f"{count} rows of {wide} lanes in runs of {run}"
            # Whole vectors are read up to the limit, wherever that is.
            last = cells.max(initial=0) + 1
            for limit in (last, last + 4, len(source)):
                panel = untouched((count + 1) * pitch, dtype)
                pack(source, limit, offsets + 5, lanes_at, run, count, wide, panel, lines)
                np.testing.assert_array_equal(panel[in_panel], source[cells], note)
                beyond = panel[count * pitch :]
                np.testing.assert_array_equal(beyond, untouched(len(beyond), dtype), note)

            target = untouched(len(source), dtype)
            only_panel = untouched(len(panel), dtype)
            only_panel[in_panel] = panel[in_panel]
            unpack(only_panel, lines, target, offsets + 5, lanes_at, run, count, wide)
            np.testing.assert_array_equal(target, source, note)


PLACED = {
    "padding": Geometry.of((3, 9), 3, padding=((1, 0), (2, 35))),
    "one long row": Geometry.of(40, 3, padding=((1, 1),)),
    "stride of 2": Geometry.of((5, 37), 3, stride=2, padding=1),
    "stride of 3": Geometry.of((4, 38), 3, stride=3, padding=((0, 1), (2, 0))),
    "cropped": Geometry.of((5, 21), 2, padding=((-1, 2), (1, -3))),
    "input dilation": Geometry.of((3, 19), 2, input_dilation=(2, 3), stride=(1, 2), padding=1),
    "input dilation and stride": Geometry.of(19, 2, input_dilation=2, stride=2, padding=2),
    "reflect": Geometry.of((3, 20), 3, padding=2, stride=2, padding_mode="reflect"),
    "replicate": Geometry.of((3, 20), 3, padding=4, padding_mode="replicate"),
    "circular": Geometry.of((3, 5), 2, padding=9, stride=3, padding_mode="circular"),
    "no input": Geometry.of((2, 0), 2, padding=1),
}


@every_dtype
@pytest.mark.parametrize("name", PLACED)
def test_place_lays_an_input_on_its_canvas(name: str, dtype: str, rng: np.random.Generator) -> None:
    """One whose positions stand by ones, twos or threes, on a canvas between others."""
    geometry = PLACED[name]
    inputs = prod(geometry.input_size)
    for by_phase, step in product((False, True), (1, 2, 3)):
        storage = stored(geometry, by_phase)
        assert storage.placement is not None
        _, rows, row_sources, runs = storage.placement
        places = 5 + step * np.arange(inputs)
        x = with_values(10 + step * inputs, dtype, places, rng)
        around = untouched(storage.cells + 80, dtype)
        canvas = around[40:-40]
        canvas[...] = 0
        end = 40 + storage.cells
        place.place(x, 5, step, around, 40, end, len(rows), rows, row_sources, len(runs), runs)

        plain, note = geometry.canvas(x[places]), f"by phase: {by_phase}, step {step}"
        np.testing.assert_array_equal(
            canvas[np.add.outer(storage.taps, storage.origins)],
            plain[np.add.outer(geometry.taps, geometry.origins)],
            note,
        )
        # Cells that no tap sees hold nothing but the input either.
        np.testing.assert_array_equal(
            np.sort(canvas[canvas != 0]), np.sort(plain[plain != 0]), note
        )
        for edge in (around[:40], around[end:]):
            np.testing.assert_array_equal(edge, untouched(40, dtype), note)


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("width", [1, 5, lanes_of("float64"), 40])
@pytest.mark.parametrize("height", [31, 32, 50, 300])
def test_canvases_are_placed_in_parts(height: int, width: int) -> None:
    """The rows of a part end amid vectors, where those of another thread begin."""
    geometry = Geometry.of((height, width), 3, padding=((2, 1), (0, 3)))
    for samples, channels in ((1, 1), (1, 3), (3, 2)):
        planes, parts = samples * channels, min(-(-16 // samples), height // 8)
        x = np.arange(1.0, planes * height * width + 1).reshape(samples, 1, channels, -1)
        first = placing(view(x), stored(geometry, False).placement, x.itemsize)
        assert first
        assert first.units == planes * parts
        canvas = np.full(first.size, np.nan)
        flat = x.reshape(-1)
        share(first.kernel, first.words, flat, flat, canvas, first.units, x.size)
        padded = np.pad(x.reshape(planes, height, width), ((0, 0), (2, 1), (0, 3)))
        np.testing.assert_array_equal(canvas[: padded.size], padded.ravel())
        assert np.isnan(canvas[padded.size :]).all()


@njit
def move_one(source, i, target, j):
    store(target, j, load(source, i))


@every_dtype
def test_load_and_store_move_one_element(dtype: str) -> None:
    source, target = np.arange(5).astype(dtype), np.zeros(5, dtype)
    move_one(source, 4, target, 1)
    np.testing.assert_array_equal(target, np.array([0, 4, 0, 0, 0], dtype))
