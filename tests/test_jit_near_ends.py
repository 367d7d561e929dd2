"""Input gradients that see dy itself, not among zeros: positions near the ends see fewer taps.

Whether they do depends on the geometry and the channels alone, so bits depend on nothing else.
"""

import numpy as np
import pytest
from jit_cases import LANES, Case, Layouts, check, fill, inexact, laid

from convref.geometry import Geometry
from convref.kernels.jit import plans
from convref.kernels.jit.plans.dense import may_be_few
from convref.phases import transposed
from convref.threads import using_threads

pytestmark = pytest.mark.uncompiled

LONG = 40 * LANES
ITSELF = {
    "padding": Geometry.of(LONG, 3, padding=1),
    "no padding": Geometry.of(LONG, 3),
    "causal": Geometry.of(LONG, 2, padding="causal", dilation=5),
    "stride": Geometry.of(LONG + 1, 5, stride=3, padding=2),
    "two axes": Geometry.of((14 * LANES, 17), 3, padding=1, stride=(1, 2)),
    "three axes": Geometry.of((4 * LANES, 9, 8), (3, 1, 1), padding=((1, 1), (0, 0), (0, 0))),
    "cropped": Geometry.of(LONG, 3, padding=-2),
    "seen in part": Geometry.of(LONG, 2, stride=4),
}
"""Geometries whose ends are a small part of them."""
SMALL = {
    "a small map": Geometry.of((7, 7), 3, padding=1),
    "a tile of positions": Geometry.of(LANES, 3, padding=1),
    "a long kernel": Geometry.of(64, 63, padding="same"),
}
CHANNELS, MANY = LANES + 1, 20
LAYOUTS = [(False, False), (True, True), (False, True)]


def placement(geometry: Geometry, channels: int = CHANNELS, itemsize: int = 8) -> object:
    return plans.seen_backward("dense", geometry, channels, itemsize).placement


@pytest.mark.parametrize("last", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "complex64"])
@pytest.mark.parametrize("name", ITSELF)
def test_nothing_is_placed(name: str, dtype: str, last: Layouts) -> None:
    case = Case(ITSELF[name], 5, CHANNELS, dtype)
    assert placement(case.geometry, itemsize=np.dtype(dtype).itemsize) is None
    check(case, "input_grad", "dense", last)


@pytest.mark.parametrize("name", SMALL)
def test_where_ends_are_a_large_part_zeros_are_placed(name: str) -> None:
    assert placement(SMALL[name], MANY) is not None
    check(Case(SMALL[name], 5, MANY), "input_grad", "dense", (False, False))


def test_many_channels_make_the_weights_of_the_ends_dear() -> None:
    geometry = ITSELF["padding"]
    assert placement(geometry, LONG // 4) is None
    assert placement(geometry, LONG) is not None


def test_few_positions_fill_the_lanes_and_are_not_cut() -> None:
    """Of any batch: else sums of few samples might go in another order than those of many."""
    for size in range(1, 4 * LANES + 1):
        geometry = Geometry.of(size, 3, padding=1)
        if may_be_few(transposed(geometry).phases, 8):
            assert plans.seen_backward("dense", geometry, 1, 8) is transposed(geometry)
        elif size > 3 * LANES:
            assert placement(geometry, 1, 8) is None


@pytest.mark.parametrize("last", LAYOUTS)
@pytest.mark.parametrize("size", [2, 5, 6, 7, 9, 2 * LANES, 2 * LANES + 3, LONG])
def test_bits_depend_on_neither_batch_nor_threads(size: int, last: Layouts) -> None:
    geometry = Geometry.of((size, 6), 3, padding=1)
    many = Case(geometry, 5, CHANNELS, "float32", batch=7)
    x, w, y = inexact(many)
    together = laid((x, w, y), last)
    fill("input_grad", "dense", together, geometry)
    for threads in (1, 3):
        alone = laid((x[:1], w, y[:1]), last)
        with using_threads(threads):
            fill("input_grad", "dense", alone, geometry)
        assert alone[0].tobytes() == together[0][:1].tobytes()
