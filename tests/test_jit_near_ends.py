"""Results that see x or dy itself, not among zeros: positions near the ends see fewer taps.

What multiplies zeros adds nothing, so sums have the same bits whichever way they go.
"""

import numpy as np
import pytest
from jit_cases import FILLED, LANES, Case, Layouts, check, fill, inexact, laid, operands, planned

from convref.geometry import Geometry
from convref.kernels import im2col
from convref.kernels.jit import plans
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
    "a small map": Geometry.of((14, 13), 3, padding=1),
    "far taps": Geometry.of((20, 21), 3, padding=9, dilation=9),
}
SMALL = {
    "one row in each part": Geometry.of(3, 3, padding=1),
    "corners": Geometry.of((4, 3), 3, padding=1),
    "a long kernel": Geometry.of(16, 15, padding="same"),
    "a longer one": Geometry.of(64, 63, padding="same"),
}
"""Geometries whose ends are nearly all of them."""
CHANNELS = SIDE + 1
SIZES = {"forward": (CHANNELS, 4 * SIDE + 1), "input_grad": (4 * SIDE + 1, CHANNELS)}
"""Filters and channels of a group."""
LAYOUTS = [(False, False), (True, True), (False, True)]


def is_placed(operator: str, case: Case) -> bool:
    return planned(operator, case, kernel="dense").placing is not None


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
def test_where_ends_are_nearly_all_zeros_are_placed(operator: str, name: str) -> None:
    case = Case(SMALL[name], *SIZES[operator])
    assert is_placed(operator, case)
    check(case, operator, "dense", (False, False))


@uncompiled
@pytest.mark.parametrize("operator", SIZES)
def test_positions_that_fill_the_lanes_see_zeros(operator: str) -> None:
    """In a single tile there is nothing to part; with a larger batch there may be."""
    for batch, swapped in ((1, True), (7, False)):
        counts = (2 * LANES, SIDE) if operator == "forward" else (SIDE, 2 * LANES)
        case = Case(Geometry.of(LANES, 3, padding=1), *counts, batch=batch, groups=1)
        plan = planned(operator, case, kernel="dense")
        assert plan.swapped == swapped
        assert plan.placing is not None or not swapped
        check(case, operator, "dense", (False, False))


def test_short_sums_are_not_worth_parts() -> None:
    """To sort rows takes as long as some products."""
    for channels, placed in ((1, True), (CHANNELS, False)):
        case = Case(ITSELF["two axes"], 4 * SIDE + 1, channels)
        assert is_placed("forward", case) == placed


@pytest.mark.parametrize("last", LAYOUTS)
@pytest.mark.parametrize("name", [*ITSELF, *SMALL])
@pytest.mark.parametrize("operator", SIZES)
def test_bits_are_those_of_sums_with_zeros(
    operator: str, name: str, last: Layouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case({**ITSELF, **SMALL}[name], *SIZES[operator], "float32")
    results = []
    for itself in (False, True):
        monkeypatch.setattr(plans.dense, "sees_itself", lambda *_, itself=itself: itself)
        arrays = laid(inexact(case), last)
        fill(operator, "dense", arrays, case.geometry)
        results.append(arrays[FILLED[operator]].tobytes())
    assert results[0] == results[1]


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
