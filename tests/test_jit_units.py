"""How the work of a convolution is cut into units."""

import numpy as np
import pytest

from convref.kernels.jit.micro import MOST_VECTORS
from convref.kernels.jit.units import FEWEST_ROWS, ceil, lane_tiles, table
from convref.kernels.jit.vectors import vector_lanes

LANES = vector_lanes(4)


@pytest.mark.parametrize("least", [1, 2, 5])
@pytest.mark.parametrize("multiple", [1, 2, 3, 4])
def test_tiles_of_lanes_are_whole_vectors_as_equal_as_can_be(least: int, multiple: int) -> None:
    for count in (1, LANES - 1, LANES, LANES + 1, 5 * LANES, 11 * LANES - 1, 20 * LANES):
        tiles, vectors = lane_tiles(count, 4, least, multiple), ceil(count, LANES)
        begins, counts = zip(*tiles, strict=True)
        assert list(begins) == [0, *np.cumsum(counts)[:-1]]
        assert sum(counts) == count
        wide = [ceil(some, LANES) for some in counts]
        assert max(wide) - min(wide) <= 1
        assert max(wide) <= MOST_VECTORS
        assert len(tiles) >= min(least, vectors)
        # Only where there are as many vectors: five of them are no six tiles.
        fewest = max(ceil(vectors, MOST_VECTORS), min(least, vectors))
        assert len(tiles) % multiple == 0 or ceil(fewest, multiple) * multiple > vectors


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("rows", [7, FEWEST_ROWS, 2 * FEWEST_ROWS - 1])
def test_threads_get_equal_parts_of_few_rows(rows: int, threads: int) -> None:
    for vectors in (20, 12, 33):
        units = table([(0, rows, 0, 9)], 1, 16, 1, [vectors * LANES], 4, threads)
        assert len(units) % threads == 0
        assert sum((units[:, 6] - units[:, 5]) * units[:, 3]) == rows * vectors * LANES
