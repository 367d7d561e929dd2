"""The pieces of the compiled kernels, each against NumPy: tiles, dot products, moves of numbers.

Where a piece should neither read nor write, arrays hold NaN, or -99.
"""

from itertools import product
from typing import Any

import numpy as np
import pytest
from numba import njit

from convref.geometry import Geometry
from convref.kernels.jit import dots, flat, micro, move
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
def high_tile(shape, a, rows, a_steps, b, b_steps, depth, out, pitch, fresh):
    height, vectors = shape
    micro.high_tile(
        height, vectors, a, rows, 2, a_steps, b, 7, b_steps, depth, out, 5, pitch, fresh
    )


@njit
def wide_tile(shape, a, rows, a_steps, b, b_steps, depth, out, pitch, fresh):
    height, vectors = shape
    micro.wide_tile(
        height, vectors, a, rows, 2, a_steps, b, 7, b_steps, depth, out, 5, pitch, fresh
    )


@every_dtype
@pytest.mark.parametrize("tile", [high_tile, wide_tile], ids=["high", "wide"])
@pytest.mark.parametrize("fresh", [True, False], ids=["fill", "add"])
def test_tiles_are_matrix_products_at_any_offsets(
    tile: Any, dtype: str, fresh: bool, rng: np.random.Generator
) -> None:
    shapes = micro.HIGH if tile is high_tile else micro.WIDE
    for (height, vectors), depth in product(shapes, (0, 1, 5)):
        lanes = vectors * lanes_of(dtype)
        rows, a_steps, b_steps = (
            rng.integers(0, 150, size) for size in (2 + height, depth + 1, depth + 1)
        )
        left = np.add.outer(rows[2:], a_steps[:depth])
        right = 7 + np.add.outer(b_steps[:depth], np.arange(lanes))
        pitch = lanes + 3
        cells = 5 + np.add.outer(np.arange(height) * pitch, np.arange(lanes))
        a = with_values(300, dtype, left, rng)
        b = with_values(157 + lanes, dtype, right, rng)
        out = with_values(10 + height * pitch, dtype, cells[:0] if fresh else cells, rng)
        expected = out.copy()
        expected[cells] = a[left] @ b[right] + (0 if fresh else out[cells])
        tile((height, vectors), a, rows, a_steps, b, b_steps, depth, out, pitch, fresh)
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
        sums = untouched(height * width + 9, dtype)
        expected = sums.copy()
        expected[: height * width] = (a[left] @ b[right].T).ravel()
        dot_tile(shape, a, rows, a_at, b, columns, b_at, stretches, length, sums)
        np.testing.assert_array_equal(sums, expected, f"{stretches} stretches of {length}")


@njit
def transpose(source, at, pitch, target, to, to_pitch):
    move.transpose(source, at, pitch, target, to, to_pitch)


@every_dtype
def test_transpose_turns_a_square_block(dtype: str, rng: np.random.Generator) -> None:
    lanes = lanes_of(dtype)
    along = np.arange(lanes)
    for pitch, to_pitch in ((lanes, lanes), (lanes + 3, 2 * lanes + 1)):
        cells = 5 + np.add.outer(along * pitch, along)
        targets = 2 + np.add.outer(along * to_pitch, along)
        source = with_values(10 + lanes * pitch, dtype, cells, rng)
        target = untouched(10 + lanes * to_pitch, dtype)
        expected = target.copy()
        expected[targets] = source[cells].T
        transpose(source, 5, pitch, target, 2, to_pitch)
        np.testing.assert_array_equal(target, expected)


def panels(lanes: int, step: int) -> list[tuple[Array, int, int]]:
    """(offsets, lanes, step) around whole vectors: side by side, in two stretches, and apart."""
    sizes = {1, lanes - 1, lanes, lanes + 1, 2 * lanes + 1} - {0}
    most = 2 * lanes + 2
    listed = []
    for count, wide in product((0, *sizes), sizes):
        near = np.arange(count)
        for offsets in (near, near + (near >= lanes // 2), 3 * near + 1):
            # No two elements in one place: by steps of one, rows stand apart; else, lanes do.
            listed.append((offsets * most, wide, 1) if step == 1 else (offsets, wide, 4 * most))
    return listed


@every_dtype
@pytest.mark.parametrize("step", [1, 2], ids=["lanes side by side", "lanes apart"])
def test_pack_and_unpack_move_a_panel(dtype: str, step: int, rng: np.random.Generator) -> None:
    for offsets, wide, apart in panels(lanes_of(dtype), step):
        count, pitch = len(offsets), wide + lanes_of(dtype)
        cells = 5 + np.add.outer(offsets, np.arange(wide) * apart)
        spread_out = with_values(cells.max(initial=0) + 9, dtype, cells, rng)
        in_panel = np.add.outer(np.arange(count) * pitch, np.arange(wide))

        panel = untouched((count + 1) * pitch, dtype)
        move.pack(spread_out, offsets + 5, apart, count, wide, panel, pitch)
        note = f"{count} rows of {wide} lanes"
        np.testing.assert_array_equal(panel[in_panel], spread_out[cells], note)
        beyond = panel[count * pitch :]
        np.testing.assert_array_equal(beyond, untouched(len(beyond), dtype), note)

        target = untouched(len(spread_out), dtype)
        only_panel = untouched(len(panel), dtype)
        only_panel[in_panel] = panel[in_panel]
        move.unpack(only_panel, pitch, target, offsets + 5, apart, count, wide)
        np.testing.assert_array_equal(target, spread_out, note)


PLACED = {
    "input as canvas": Geometry.of((4, 21), 2, stride=2),
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
def test_place_lays_out_an_input(name: str, dtype: str, rng: np.random.Generator) -> None:
    """One that stands by ones, twos or threes, on a canvas between others."""
    geometry = PLACED[name]
    size = int(np.prod(geometry.input_size))
    for by_phase, step in product((False, True), (1, 2, 3)):
        storage = stored(geometry, by_phase)
        if storage.placement is None:
            continue
        sources = 4 + step * np.arange(size)
        x = with_values(9 + step * size, dtype, sources, rng)
        canvas = untouched(storage.cells + 80, dtype)
        canvas[40:-40] = 0
        _, rows, row_sources, runs = storage.placement
        move.place(x, 4, step, canvas, 40, len(canvas) - 40, rows, row_sources, runs)
        for edge in (canvas[:40], canvas[-40:]):
            np.testing.assert_array_equal(edge, untouched(40, dtype))
        seen = canvas[40:-40][np.add.outer(storage.taps, storage.origins)]
        plain = geometry.canvas(x[sources])[np.add.outer(geometry.taps, geometry.origins)]
        np.testing.assert_array_equal(seen, plain, f"by phase: {by_phase}, step {step}")
        assert np.count_nonzero(canvas[40:-40]) <= np.count_nonzero(geometry.canvas(x[sources]))


@njit
def move_one(source, i, target, j):
    flat.store(target, j, flat.load(source, i))


@every_dtype
def test_load_and_store_move_one_element(dtype: str) -> None:
    source, target = np.arange(5).astype(dtype), np.zeros(5, dtype)
    move_one(source, 4, target, 1)
    np.testing.assert_array_equal(target, np.array([0, 4, 0, 0, 0], dtype))
