"""Results that see x or dy itself, not among zeros: positions near the ends see fewer taps.

Whether they do depends on the geometry and the channels alone, so bits depend on nothing else.
"""

import numpy as np
import pytest
from jit_cases import FILLED, LANES, Case, Layouts, check, fill, inexact, laid, operands

from convref.geometry import Geometry
from convref.kernels import im2col
from convref.kernels.jit import plans
from convref.kernels.jit.plans.dense import may_be_few
from convref.phases import Seen, as_one_phase, stored, transposed
from convref.threads import using_threads

uncompiled = pytest.mark.uncompiled

SIDE = max(LANES, 8)
LONG = 40 * SIDE
ITSELF = {
    "padding": Geometry.of(LONG, 3, padding=1),
    "no padding": Geometry.of(LONG, 3),
    "causal": Geometry.of(LONG, 2, padding="causal", dilation=5),
    "stride": Geometry.of(LONG + 1, 5, stride=3, padding=2),
    "two axes": Geometry.of((14 * SIDE, 17), 3, padding=1, stride=(1, 2)),
    "three axes": Geometry.of((4 * SIDE, 9, 8), (3, 1, 1), padding=((1, 1), (0, 0), (0, 0))),
    "cropped": Geometry.of(LONG, 3, padding=-2),
    "seen in part": Geometry.of(LONG, 2, stride=4),
}
"""Geometries whose ends are a small part of them."""
SMALL = {
    "a small map": Geometry.of((7, 7), 3, padding=1),
    "a tile of positions": Geometry.of(LANES, 3, padding=1),
    "a long kernel": Geometry.of(64, 63, padding="same"),
}
CHANNELS = SIDE + 1
SIZES = {"forward": (CHANNELS, CHANNELS + 1), "input_grad": (5, CHANNELS)}
"""Filters and channels of a group."""
LAYOUTS = [(False, False), (True, True), (False, True)]


def seen_by(operator: str, case: Case) -> Seen:
    geometry, itemsize = case.geometry, np.dtype(case.dtype).itemsize
    if operator == "input_grad":
        return plans.seen_backward("dense", geometry, case.channels, itemsize)
    return plans.seen_forward("dense", geometry, case.channels, case.filters, itemsize)


def is_placed(operator: str, case: Case) -> bool:
    return seen_by(operator, case).placement is not None


@pytest.mark.parametrize("last", LAYOUTS)
@pytest.mark.parametrize(
    "dtype", [pytest.param("float32", marks=uncompiled), "float64", "int64", "complex64"]
)
@pytest.mark.parametrize("name", ITSELF)
@pytest.mark.parametrize("operator", SIZES)
def test_nothing_is_placed(operator: str, name: str, dtype: str, last: Layouts) -> None:
    case = Case(ITSELF[name], *SIZES[operator], dtype)
    assert not is_placed(operator, case)
    check(case, operator, "dense", last)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("operator", SIZES)
def test_where_ends_are_a_large_part_zeros_are_placed(operator: str, name: str) -> None:
    case = Case(SMALL[name], *SIZES[operator])
    assert is_placed(operator, case)
    check(case, operator, "dense", (False, False))


@uncompiled
def test_many_channels_make_the_weights_of_the_ends_dear() -> None:
    for operator, few in (("forward", LONG // 16), ("input_grad", LONG // 4)):
        for channels, placed in ((few, False), (LONG, True)):
            case = Case(ITSELF["padding"], channels, channels)
            assert is_placed(operator, case) == placed


@pytest.mark.parametrize("last", LAYOUTS)
@pytest.mark.parametrize("operator", SIZES)
def test_many_products_with_zeros_are_dear_too(operator: str, last: Layouts) -> None:
    """Of taps far apart, most products of a small map are with zeros around it."""
    for far, placed in ((1, True), (9, False)):
        geometry = Geometry.of((20, 21), 3, padding=far, dilation=far)
        case = Case(geometry, 8 * SIDE, 8 * SIDE, batch=1, groups=1)
        assert is_placed(operator, case) == placed
        check(case, operator, "dense", last)


def test_forward_few_channels_are_placed() -> None:
    """Their canvas is small beside the results, which no longer lie in a row."""
    assert is_placed("forward", Case(ITSELF["padding"], CHANNELS, 3))


@uncompiled
def test_few_positions_fill_the_lanes_and_are_not_cut() -> None:
    """Of any batch: else sums of few samples might go in another order than those of many."""
    for size in range(1, 4 * LANES + 1):
        geometry = Geometry.of(size, 3, padding=1)
        backward, forward = transposed(geometry), as_one_phase(stored(geometry, False))
        for operator, seen in (("input_grad", backward), ("forward", forward)):
            found = seen_by(operator, Case(geometry, 1, 2))
            if may_be_few(seen.phases, 8):
                assert found.placement is seen.placement
                assert len(found.phases) == len(seen.phases)
                assert operator == "forward" or found is seen
            elif size > 3 * LANES:
                assert found.placement is None


@pytest.mark.parametrize("last", LAYOUTS)
@pytest.mark.parametrize("size", [2, 5, 6, 7, 9, 2 * LANES, 2 * LANES + 3, LONG])
@pytest.mark.parametrize("operator", SIZES)
def test_bits_depend_on_neither_batch_nor_threads(operator: str, size: int, last: Layouts) -> None:
    geometry = Geometry.of((size, 6), 3, padding=1)
    x, w, y = inexact(Case(geometry, *SIZES[operator], "float32", batch=7))
    filled = FILLED[operator]
    together = laid((x, w, y), last)
    fill(operator, "dense", together, geometry)
    for threads in (1, 3):
        alone = laid((x[:1], w, y[:1]), last)
        with using_threads(threads):
            fill(operator, "dense", alone, geometry)
        assert alone[filled].tobytes() == together[filled][:1].tobytes()


@pytest.mark.parametrize("last", LAYOUTS)
@pytest.mark.parametrize("wrong", [np.nan, pytest.param(np.inf, marks=uncompiled)])
@pytest.mark.parametrize("name", ["padding", "two axes", "zeros alone"])
def test_zeros_around_x_meet_weights_that_are_not_finite(
    name: str, wrong: float, last: Layouts
) -> None:
    """So the padding's part of each sum is NaN, as in the definition, and no zero is left out."""
    zeros_alone = Geometry.of((LONG, 3), (1, 9), padding=(0, 4))  # what the first tap sees
    case = Case(ITSELF.get(name, zeros_alone), *SIZES["forward"], "float32")
    x, w, y = map(np.copy, operands(case))
    w[1, 1, 2, 0] = wrong
    expected = np.empty_like(y)
    im2col.forward(x, w, expected, case.geometry)
    assert np.isnan(expected).any()
    arrays = laid((x, w, y), last)
    fill("forward", "dense", arrays, case.geometry)
    np.testing.assert_array_equal(arrays[2], expected)


@uncompiled
def test_outputs_that_see_nothing_but_padding_are_zero() -> None:
    case = Case(Geometry.of(LONG, 3, padding=((5, 4),)), *SIZES["forward"])
    assert not is_placed("forward", case)
    check(case, "forward", "dense", (False, False))
