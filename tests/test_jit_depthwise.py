"""Depthwise layers and groups of few channels: `beside` and `grouped`."""

import sys
from collections.abc import Iterable
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest
from jit_cases import (
    FILLED,
    GEOMETRIES,
    LANES,
    Case,
    assert_survives,
    check,
    fill,
    flush,
    inexact,
    laid,
    operands,
    planned,
    result,
)

from convref import conv, phases
from convref.geometry import Geometry
from convref.kernels import jit, naive
from convref.kernels.jit import micro, plans, slabs, vectors
from convref.threads import using_threads

uncompiled = pytest.mark.uncompiled
LAYOUTS = {"beside": (False, False), "grouped": (True, True)}
"""The kernels, and whether channels lie last in x and y for each."""
DTYPES = ("float32", "float64", "int32", "int64", "complex64", "complex128")
WAYS = [
    *((operator, "beside", 1) for operator in FILLED),
    *product(FILLED, ["grouped"], (1, 2)),
]
"""Operators by kernels by the channels of a group, of which there are as many filters."""
in_every_way = pytest.mark.parametrize(("operator", "kernel", "each"), WAYS)

IN_SLABS = {
    "rows": Geometry.of((71, 67), 3, padding=1),
    "phases": Geometry.of((97, 95), 3, stride=2, padding="same"),
    "unseen positions": Geometry.of((60, 190), (2, 3), stride=(1, 5)),
    "spread out": Geometry.of((40, 37), 3, input_dilation=2, padding=(1, 2)),
    "cropped": Geometry.of((75, 78), (5, 3), padding=((-3, 2), (4, -1)), dilation=(2, 1)),
    "circular": Geometry.of((64, 65), 3, padding=2, padding_mode="circular"),
    "one axis": Geometry.of(6001, 7, stride=2, dilation=3, padding="same"),
    "three axes": Geometry.of((14, 17, 19), (3, 2, 3), padding=1, stride=(1, 2, 1)),
}
"""Maps that take more than one slab."""


def taken(kernel: str, operator: str, geometry: Geometry) -> bool:
    """Whether a kernel is for these operands: all but `beside` need channels that lie last in both.

    Those of one position lie first as well, and so do those of the padded input that a gradient is
    scattered to.
    """
    scattered = operator == "input_grad" and geometry.padding_mode != "zeros"
    alone = min(prod(geometry.input_size), prod(geometry.output_size)) <= 1
    return kernel == "beside" or not (scattered or alone)


IN_TWO_VECTORS = {
    name: geometry
    for name, geometry in (GEOMETRIES | {"phases": IN_SLABS["phases"]}).items()
    if taken("grouped", "weight_grad", geometry)
}


def cases(
    names: Iterable[str], geometries: dict[str, Geometry], operators: Iterable[str] = FILLED
) -> Any:
    """For each way all geometries that it is taken for."""
    return pytest.mark.parametrize(
        ("operator", "kernel", "each", "name"),
        [
            (operator, kernel, each, name)
            for (operator, kernel, each), name in product(WAYS, names)
            if operator in operators and taken(kernel, operator, geometries[name])
        ],
    )


def shares(each: int, dtype: str) -> bool:
    """Whether several groups of so many channels fit in a vector."""
    return each == 1 or vectors.vector_lanes(np.dtype(dtype).itemsize) > each


def layer(
    each: int, geometry: Geometry, channels: int, dtype: str = "float64", batch: int = 2
) -> Case:
    """At least so many channels in groups of as many as these."""
    if not shares(each, dtype):
        pytest.skip(f"a vector holds no more than one group of {dtype}")
    return Case(geometry, each, each, dtype, batch, -(-channels // each))


@uncompiled
@pytest.mark.parametrize("channels", [LANES, LANES + 1, 2 * LANES, 5 * LANES - 2])
@cases(GEOMETRIES, GEOMETRIES)
def test_every_geometry(operator: str, kernel: str, each: int, channels: int, name: str) -> None:
    check(layer(each, GEOMETRIES[name], channels), operator, kernel, LAYOUTS[kernel])


@uncompiled
@pytest.mark.parametrize("dtype", DTYPES)
@in_every_way
def test_every_dtype(operator: str, kernel: str, each: int, dtype: str) -> None:
    lanes = vectors.vector_lanes(np.dtype(dtype).itemsize)
    for channels in (max(lanes, 2), 2 * lanes + 3):  # one channel lies first and last
        case = layer(each, GEOMETRIES["stride"], channels, dtype)
        check(case, operator, kernel, LAYOUTS[kernel])


@cases(IN_SLABS, IN_SLABS)
def test_maps_of_several_slabs(operator: str, kernel: str, each: int, name: str) -> None:
    for dtype in ("float32", "complex128"):
        case = layer(each, IN_SLABS[name], vectors.vector_lanes(4) + 3, dtype)
        check(case, operator, kernel, LAYOUTS[kernel])


@uncompiled
@pytest.mark.parametrize("size", range(1, 2 * LANES + 2))
@in_every_way
def test_sizes_around_every_square(operator: str, kernel: str, each: int, size: int) -> None:
    case = layer(each, Geometry.of((2, size), 3, padding=1), LANES)
    check(case, operator, kernel, LAYOUTS[kernel])


@pytest.mark.parametrize("channels", [LANES, 5 * LANES - 2])
@pytest.mark.parametrize("each", [1, 2])
def test_weight_gradient_in_pieces(each: int, channels: int) -> None:
    """Of slabs and samples, so that a few blocks of channels are work for all threads."""
    case = layer(each, IN_SLABS["rows"], channels)
    assert planned("weight_grad", case, LAYOUTS["grouped"]).pieces > 1
    check(case, "weight_grad", "grouped", LAYOUTS["grouped"])


@pytest.mark.parametrize("name", IN_TWO_VECTORS)
@pytest.mark.parametrize("each", [1, 2, 4])
def test_weights_of_channels_in_two_vectors(
    each: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    geometry = IN_TWO_VECTORS[name]
    monkeypatch.setattr(plans.grouped, "MANY", micro.VECTORS)
    for dtype, channels in (("float64", 2 * LANES), ("complex64", 5 * LANES + 3)):
        if shares(each, dtype):
            case = layer(each, geometry, channels, dtype)
            check(case, "weight_grad", "grouped", LAYOUTS["grouped"])


@pytest.mark.usefixtures("eager_threads")
@cases(IN_SLABS, IN_SLABS)
def test_bits_depend_neither_on_threads_nor_on_the_batch(
    operator: str, kernel: str, each: int, name: str
) -> None:
    case = layer(each, IN_SLABS[name], 2 * vectors.vector_lanes(4) + 1, "float32", batch=3)
    bits = {}
    for threads in (1, 2, 3, 7):
        arrays = laid(inexact(case), LAYOUTS[kernel])
        with using_threads(threads):
            fill(operator, kernel, arrays, case.geometry)
        bits[threads] = arrays[FILLED[operator]]
    for threads in bits:
        np.testing.assert_array_equal(bits[threads], bits[1], strict=True)
    if operator == "weight_grad":
        return
    x, w, y = inexact(case)
    alone = laid((x[1:2], w, y[1:2]), LAYOUTS[kernel])
    fill(operator, kernel, alone, case.geometry)
    np.testing.assert_array_equal(alone[FILLED[operator]], bits[1][1:2])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@cases(["short rows", "stride", "input dilation", "circular"], GEOMETRIES, ["input_grad"])
def test_weights_that_are_not_finite_reach_only_what_they_saw(
    operator: str, kernel: str, each: int, name: str, value: float
) -> None:
    case = layer(each, GEOMETRIES[name], LANES + 2)
    x, w, y = (array.copy() for array in operands(case))
    for group in (0, len(w) - 1):  # in a whole vector, and in one that isn't
        broken = w.copy()
        broken[group, 0, 0, 1] = value
        arrays = laid((x, broken, y), LAYOUTS[kernel])
        with np.errstate(invalid="ignore"):
            fill(operator, kernel, arrays, case.geometry)
        others = np.arange(len(w)) != group
        np.testing.assert_array_equal(
            arrays[0][:, others], result(case, operator)[:, others], strict=True
        )
        wanted = (x[:, [group]].copy(), broken[[group]], y[:, [group]].copy())
        with np.errstate(invalid="ignore"):
            naive.input_grad(*wanted, case.geometry)
        np.testing.assert_array_equal(arrays[0][:, [group]], wanted[0])


def compute_between_forbidden_pages() -> None:
    """Ends the process with a signal where a kernel reads beyond an operand."""
    geometries = *GEOMETRIES.values(), IN_SLABS["phases"]
    for geometry, (operator, kernel, each) in product(geometries, WAYS):
        if not prod(geometry.input_size) or not taken(kernel, operator, geometry):
            continue
        for dtype, channels in (("float32", 2 * LANES + 1), ("float64", LANES)):
            if not shares(each, dtype):
                continue
            case = layer(each, geometry, channels, dtype)
            for at_end in (True, False):
                check(case, operator, kernel, LAYOUTS[kernel], flush(at_end))
    print("nothing beyond")


@pytest.mark.skipif(sys.platform != "linux", reason="forbids pages as Linux does")
def test_nothing_beyond_an_operand_is_read() -> None:
    assert_survives("test_jit_depthwise")


CHOICES = {
    "3x3": (Geometry.of(14, 3, padding=1), LANES, "beside"),
    "few channels": (Geometry.of(14, 3, padding=1), LANES - 1, "thin"),
    "few taps, a long map": (Geometry.of(2 * plans.LONG, 3), LANES, "thin"),
    "few taps, a short map": (Geometry.of(plans.LONG // 2, 3), LANES, "beside"),
    "many taps, a long map": (Geometry.of(2 * plans.LONG, plans.MANY), LANES, "beside"),
    "taps too far apart": (
        Geometry.of(4 * plans.REACH, 2, dilation=2 * plans.REACH),
        LANES,
        "thin",
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_which_depthwise_layers_are_brought_side_by_side(name: str) -> None:
    geometry, channels, kernel = CHOICES[name]
    x, _, y = operands(layer(1, geometry, channels))
    reasons = jit.reasons(x, y, geometry)
    assert all(reason.startswith(kernel) for reason in reasons.values()), reasons


@pytest.mark.parametrize("channels", [1, 2, 3, 4, LANES // 2, LANES])
@pytest.mark.parametrize("filters", [1, 2, 4])
def test_which_groups_share_vectors(channels: int, filters: int) -> None:
    """Those of as many filters as channels, which divide a vector and do not fill it."""
    geometry = Geometry.of((9, 8), 3, padding=1)
    arrays = operands(Case(geometry, filters, channels, groups=LANES))
    for last in (False, True):
        x, _, y = laid(arrays, (last, last))
        reasons = jit.reasons(x, y, geometry)
        wanted = last and channels == filters < LANES
        for operator in FILLED:
            assert reasons[operator].startswith("grouped: ") == wanted


def test_slabs_stay_in_the_cache_and_hold_every_result_once() -> None:
    for name, geometry in IN_SLABS.items():
        seen = phases.stored(geometry, False)
        cut = slabs.in_slabs(
            phases.as_one_phase(seen).phases,
            len(seen.origins),
            seen.placement,
            seen.cells,
            LANES,
            1,
        )
        reach = int(seen.taps.max()) + 1
        assert len(cut.table) > 1, name
        assert cut.cells <= max(slabs.CELLS, 2 * reach) + LANES, name
        held = [first + i for *_, first, count in cut.table for i in range(count)]
        assert held == list(range(len(seen.origins)))


def test_a_layer_of_a_network_by_both_layouts(rng: np.random.Generator) -> None:
    """Their sums are taken in the same order, so that even inexact results are equal."""
    x = rng.standard_normal((2, 45, 30, 31)).astype(np.float32)
    w = rng.standard_normal((45, 1, 5, 5)).astype(np.float32)
    words: dict[str, Any] = {"groups": 45, "padding": "same", "stride": 2}
    last = conv(x.transpose(0, 2, 3, 1).copy(), w, layout="channels_last", **words)
    np.testing.assert_array_equal(conv(x, w, **words), last.transpose(0, 3, 1, 2))
