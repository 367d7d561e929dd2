"""Blocks: every output position is in one of them, with all that its window sees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Problem, problems

from convref import Geometry, blocks
from convref.blocks import Blocks, cheapest, fast_length


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "SHORTEST", 1)


@given(p=problems(), data=st.data())
def test_positions_and_what_they_see(p: Problem, data: st.DataObject) -> None:
    """On a block, taps and positions lie as its own axes say, and none leaves it."""
    words = p.without("layout")
    geometry = Geometry.of(p.input_size, p.kernel, **words)
    cut = [data.draw(st.sampled_from(list(blocks._cuts(axis)))) for axis in geometry.axes]
    found = Blocks(*zip(*cut, strict=True))
    block = Geometry(found.axes, geometry.groups, "zeros")
    canvas = np.arange(np.prod(geometry.canvas_size)).reshape(geometry.canvas_size)
    seen = np.zeros(geometry.output_size, np.int64)
    origins = geometry.origins.reshape(geometry.output_size)
    for cells, positions in found.spans:
        seen[positions] += 1
        own = np.full(found.lengths, -1)
        part = canvas[cells]
        own[*map(slice, part.shape)] = part
        places = block.origins.reshape(block.output_size)
        places = places[*map(slice, seen[positions].shape)].ravel()
        windows = np.add.outer(places, block.taps)
        expected = np.add.outer(origins[positions].ravel(), geometry.taps)
        np.testing.assert_array_equal(own.ravel()[windows], expected)
    assert (seen == 1).all()


def test_few_channels_take_long_blocks_and_many_take_short_ones() -> None:
    signal = Geometry.of(2**20, 1025)
    lengths = [cheapest(signal, channels, channels).lengths[0] for channels in (1, 64)]
    assert lengths[0] > 4 * lengths[1] > 4 * 1025
    small = Geometry.of((40, 40), (31, 31))
    assert cheapest(small, 1, 1).counts == (1, 1)


@given(st.integers(1, 10**7))
def test_fast_lengths(cells: int) -> None:
    length = fast_length(cells)
    assert cells <= length <= 1.13 * cells + 1
    for prime in (2, 3, 5):
        while length % prime == 0:
            length //= prime
    assert length == 1
