"""Blocks of rows in tiles: every row has a slot among those of its part."""

import numpy as np
import pytest
from numba import njit

from convref.kernels.jit import micro
from convref.kernels.jit.flat import data, keep
from convref.kernels.jit.rows import HEIGHTS_OF, MOST_ROWS, TILE, best_height, cut_up, fill_slots

pytestmark = pytest.mark.uncompiled

ENDS = np.array([(0, 1), (1, 0), (5, 2), (6, 0), (9, 1)])
"""Runs of 11 inner rows, (first row, part)."""
ONE = np.array([(0, 0)])
EACH = np.array([(row, (row * 7 + 3) % 11) for row in range(11)])
SHAPES = set(micro.HIGH + micro.BROAD)


@njit
def tiles_and_slots(
    runs, run_count, parts, inner_rows, outer_step, m, count, vectors, highest, begins, filled,
    tiles, offsets, rows,
):  # fmt: skip
    number = cut_up(
        data(runs), run_count, parts, inner_rows.size, m, count, vectors, highest, data(begins),
        data(tiles),
    )  # fmt: skip
    fill_slots(
        data(runs), run_count, parts, 7, outer_step, data(inner_rows), inner_rows.size, m, count,
        False, data(begins), data(filled), data(offsets),
    )  # fmt: skip
    block = np.arange(count)
    fill_slots(
        data(runs), run_count, parts, 0, 0, data(block), inner_rows.size, m, count,
        True, data(begins), data(filled), data(rows),
    )  # fmt: skip
    keep(runs, inner_rows, begins, filled, tiles, offsets, rows, block)
    return number


@pytest.mark.parametrize("runs", [ENDS, ONE, EACH], ids=["ends", "one", "each"])
@pytest.mark.parametrize("vectors", range(1, micro.MOST_VECTORS + 1))
@pytest.mark.parametrize("highest", [MOST_ROWS, 3])
@pytest.mark.parametrize(("m", "count"), [(0, 11), (0, 33), (4, 2), (7, 40), (22, 1), (30, 0)])
def test_rows_get_slots_by_part(
    m: int, count: int, highest: int, vectors: int, runs: np.ndarray
) -> None:
    inner_rows, outer_step, parts = np.arange(11) ** 2, 1000, int(runs[:, 1].max()) + 1
    begins, filled = np.full(parts + 1, -1), np.full(parts, -1)
    tiles = np.full(TILE * (count + parts), -1)
    offsets, rows = np.full((2, count + parts * MOST_ROWS), -1)
    sizes = runs.ravel(), len(runs), parts
    number = tiles_and_slots(
        *sizes, inner_rows, outer_step, m, count, vectors, highest, begins, filled, tiles, offsets,
        rows,
    )  # fmt: skip

    part_of = np.repeat(runs[:, 1], np.diff([*runs[:, 0], 11]))
    wanted = [[i for i in range(count) if part_of[(m + i) % 11] == part] for part in range(parts)]
    heights, slots, tile_parts = tiles[: TILE * number].reshape(-1, TILE).T
    assert np.array_equal(slots, np.cumsum(heights) - heights)
    for part, own in enumerate(wanted):
        begin, end = begins[part], begins[part + 1]
        assert rows[begin : begin + len(own)].tolist() == own
        assert (rows[begin + len(own) : end] == own[-1:]).all()  # the last again, and none if none
        assert sum(heights[tile_parts == part]) == end - begin
    slot_count = begins[parts]
    there = m + rows[:slot_count]
    assert np.array_equal(
        offsets[:slot_count], 7 + there // 11 * outer_step + inner_rows[there % 11]
    )
    assert (offsets[slot_count:] == -1).all()
    assert all((height, vectors) in SHAPES and height <= highest for height in heights)


@pytest.mark.parametrize("vectors", range(1, micro.MOST_VECTORS + 1))
def test_heights_are_those_of_tiles(vectors: int) -> None:
    assert {height for height, wide in SHAPES if wide == vectors} == set(HEIGHTS_OF[vectors - 1])


def test_the_best_height_leaves_few_rows_empty() -> None:
    full = HEIGHTS_OF[1][0]
    assert best_height(3 * full, 2) == full
    assert best_height(full + 1, 2) < full
    assert full // 2 <= best_height(full // 2, 2) < full
    assert best_height(3 * full, 2, full - 1) < full
