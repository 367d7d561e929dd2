"""So few positions that they fit in one tile: they fill its lanes, and filters are its rows."""

import sys
from math import prod

import numpy as np
import pytest
from jit_cases import (
    FILLED,
    LANES,
    Case,
    Layouts,
    assert_survives,
    check,
    fill,
    flush,
    inexact,
    laid,
    operands,
    planned,
)

from convref.geometry import Geometry
from convref.kernels import naive
from convref.kernels.jit import plans
from convref.kernels.jit.micro import VECTORS
from convref.kernels.jit.plans.dense import EACH, FAR, MANY, PAGE, RESULTS, one_tile, turned
from convref.kernels.jit.plans.plan import View
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import Phase
from convref.threads import using_threads

DTYPES = ("float32", "float64", "int32", "int64", "complex64", "complex128")
FEW = {
    "one tap": Geometry.of(LANES, 1),
    "padding": Geometry.of(LANES, 3, padding=1),
    "two axes": Geometry.of(
        (min(4, LANES), max(1, LANES // 4)), 3, padding="same", dilation=(1, 2)
    ),
    "two vectors": Geometry.of(2 * LANES, 2, padding="same"),
    "stride": Geometry.of(3 * LANES, 4, stride=3, padding=1),
    "causal": Geometry.of(LANES, 2, padding="causal", dilation=3),
}
"""Geometries with a vector of positions, or two; of the input's gradient in every phase."""
OPERATORS = ("forward", "input_grad")


def few(geometry: Geometry, operator: str, dtype: str = "float64", batch: int = 1) -> Case:
    """Twice as many filters (of the input's gradient, channels) as positions, and not few."""
    read = geometry.output_size if operator == "forward" else geometry.input_size
    most = 2 * max(batch * prod(read), plans.FEW)
    counts = (most, 3) if operator == "forward" else (3, most)
    return Case(geometry, *counts, dtype, batch)


def is_swapped(case: Case, operator: str, last: Layouts = (False, False)) -> bool:
    """Whether positions fill the lanes."""
    return bool(planned(operator, case, last).swapped)


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("last", [(False, False), (True, True), (False, True)])
def test_every_geometry(name: str, operator: str, last: Layouts) -> None:
    case = few(FEW[name], operator)
    assert is_swapped(case, operator, last)
    check(case, operator, "dense", last)


@pytest.mark.parametrize("taps", [1, 2])
@pytest.mark.parametrize("last", [(False, False), (True, True)])
def test_weights_whose_depths_are_on_pages_of_their_own(taps: int, last: Layouts) -> None:
    """Sums are taken in parts: a few pages of weights at a time."""
    case = Case(Geometry.of(LANES, taps, padding="same"), 2 * FAR + 5, PAGE // 8 + 3)
    plan = planned("input_grad", case, last)
    units = plan.kept[4]
    assert plan.swapped
    assert units[:, 12].max() == FAR * taps < units[:, 8].max()
    check(case, "input_grad", "dense", last)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_batch_fills_them_together(operator: str) -> None:
    case = few(Geometry.of(LANES // 2, 3, padding=1), operator, batch=4)
    assert is_swapped(case, operator)
    check(case, operator, "dense")


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(operator: str, dtype: str) -> None:
    two_vectors = 2 * vector_lanes(np.dtype(dtype).itemsize)
    case = few(Geometry.of(two_vectors, 3, padding=1), operator, dtype)
    assert is_swapped(case, operator)
    check(case, operator, "dense")


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_bits_are_those_of_more_positions(operator: str) -> None:
    """Of a batch that is too large for one tile, for any number of threads."""
    geometry = FEW["stride"]
    many = few(geometry, operator, "float32", batch=2)
    many = Case(geometry, many.filters, many.channels, "float32", batch=8)
    x, w, y = inexact(many)
    together = laid((x, w, y), (False, False))
    fill(operator, "dense", together, geometry)
    assert not is_swapped(many, operator)
    theirs = together[FILLED[operator]]
    for threads in (1, 2, 3):
        alone = laid((x[:2], w, y[:2]), (False, False))
        with using_threads(threads):
            fill(operator, "dense", alone, geometry)
        assert alone[FILLED[operator]].tobytes() == theirs[:2].tobytes()
    assert is_swapped(Case(geometry, many.filters, many.channels, "float32", batch=2), operator)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", ["padding", "stride"])
def test_what_is_not_finite_goes_where_the_definition_takes_it(operator: str, name: str) -> None:
    case = few(FEW[name], operator)
    for read in {0, 1, 2} - {FILLED[operator]}:
        for number in (np.inf, np.nan, -np.inf):
            expected = [array.copy() for array in operands(case)]
            expected[read].flat[expected[read].size // 3] = number
            arrays = laid(expected, (False, False))
            with np.errstate(invalid="ignore"):
                getattr(naive, operator)(*expected, case.geometry)
                fill(operator, "dense", arrays, case.geometry)
            for array, wanted in zip(arrays, expected, strict=True):
                np.testing.assert_array_equal(array, wanted)


def test_only_where_lanes_are_nearly_full_and_filters_are_more() -> None:
    def chosen(positions: int, filters: int) -> bool:
        return one_tile(positions, filters, LANES)

    full = VECTORS * LANES
    assert [P for P in range(1, full + 2) if chosen(P, 100 * full)] == [
        *range(LANES * 3 // 4 + 1, LANES + 1),
        *range(full * 3 // 4 + 1, full + 1),
    ]
    assert chosen(full, 2 * full)
    assert not chosen(full, 2 * full - 1)


def test_only_where_that_is_so_in_all_phases() -> None:
    def chosen(*positions: int) -> bool:
        one, phases = np.arange(1), [np.arange(P) for P in positions]
        sets = [[Phase(one, one, phase, phase)] for phase in phases]
        seen, out = View(1, 1, 1, (1, 1, 1, 1)), View(1, 1, 4 * full, (1, 1, 1, 1))
        return turned(seen, out, sets, (1, 1, 1), 8)

    full = VECTORS * LANES
    assert chosen(full)
    assert chosen(full, full)
    assert not chosen(full, 1)


ONE_TAP = {
    "many": Geometry.of(MANY + 3, 1),
    "rows": Geometry.of((16, MANY // 16), 1),
    "stride": Geometry.of((2 * 16, MANY // 8 - 1), 1, stride=2),
    "padding": Geometry.of(MANY, 1, padding=1),
}
"""Geometries of one tap that many positions see."""
CHANNELS = 11


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ONE_TAP)
def test_one_tap_of_many_filters(name: str, dtype: str) -> None:
    case = Case(ONE_TAP[name], RESULTS, CHANNELS, dtype)
    assert is_swapped(case, "forward")
    check(case, "forward", "dense")


@pytest.mark.parametrize("batch", [1, 3])
def test_one_tap_seen_by_many_channels(batch: int) -> None:
    case = Case(ONE_TAP["rows"], CHANNELS, RESULTS, batch=batch)
    assert is_swapped(case, "input_grad")
    check(case, "input_grad", "dense")


def test_only_of_many_positions_and_filters_side_by_side() -> None:
    def chosen(geometry: Geometry, filters: int = RESULTS, batch: int = 1, last: bool = False):
        return is_swapped(Case(geometry, filters, CHANNELS, batch=batch), "forward", (last, last))

    few, many = Geometry.of(EACH, 1), Geometry.of(MANY, 1)
    assert chosen(few, batch=MANY // EACH)
    assert not chosen(few, batch=MANY // EACH - 1)
    assert not chosen(Geometry.of(EACH - 1, 1), batch=MANY // EACH + 1)
    assert chosen(many)
    assert not chosen(many, filters=RESULTS - 1)
    assert not chosen(many, last=True)
    assert not chosen(Geometry.of(MANY + 1, 2))
    far = Case(many, CHANNELS, PAGE // 8)
    assert not is_swapped(far, "input_grad")


def test_bits_of_one_tap_depend_on_neither_batch_nor_threads() -> None:
    case = Case(Geometry.of(EACH, 1), RESULTS, CHANNELS, "float32", batch=MANY // EACH)
    x, w, y = inexact(case)
    together = laid((x, w, y), (False, False))
    fill("forward", "dense", together, case.geometry)
    for threads in (1, 3):
        alone = laid((x[:1], w, y[:1]), (False, False))
        with using_threads(threads):
            fill("forward", "dense", alone, case.geometry)
        assert alone[2].tobytes() == together[2][:1].tobytes()


def compute_between_forbidden_pages() -> None:
    """Ends the process with a signal where a kernel reads beyond an operand."""
    for operator in OPERATORS:
        for geometry in FEW.values():
            for last in ((False, False), (True, True), (False, True)):
                for at_end in (True, False):
                    check(few(geometry, operator), operator, "dense", last, flush(at_end))
    print("nothing beyond")


@pytest.mark.skipif(sys.platform != "linux", reason="forbids pages as Linux does")
def test_nothing_beyond_an_operand_is_read() -> None:
    assert_survives("test_jit_few_positions")
