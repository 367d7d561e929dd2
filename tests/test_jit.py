"""The compiled operators, number by number: every kernel, tile edge, layout, dtype and thread."""

import sys
from collections.abc import Iterator
from itertools import combinations, product
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from jit_cases import (
    FILLED,
    GEOMETRIES,
    LANES,
    WIDEST,
    Array,
    Case,
    Layouts,
    assert_guards_are_intact,
    assert_survives,
    check,
    fill,
    flush,
    inexact,
    laid,
    only,
    operands,
    planned,
    result,
)

from convref.geometry import Geometry
from convref.kernels import jit, naive
from convref.kernels.jit import bias, crew, dense, dots, fills, micro, plans, vectors, whole
from convref.kernels.jit.plans import plan
from convref.kernels.jit.plans.plan import UNASKED, Plan
from convref.kernels.jit.rows import MOST_ROWS
from convref.kernels.jit.units import FEWEST_ROWS, table, thin_table
from convref.memory import address
from convref.phases import stored
from convref.threads import using_threads

KERNELS = ("dense", "thin, in scratch", "thin", "inner")
LARGEST_OFFSET = 1 << 20
"""Larger than any offset into the operands here, and smaller than any address."""
COMPILED = {
    name: kernel
    for module in (plans, plan, bias, whole, *vars(plans).values())
    for name, kernel in (vars(module).items() if isinstance(module, ModuleType) else ())
    if isinstance(kernel, crew.Kernel)
}
DTYPES = ("float32", "float64", "int32", "int64", "complex64", "complex128")
uncompiled = pytest.mark.uncompiled


def ways() -> Iterator[tuple[str, str, Layouts]]:
    """Operators by kernels by layouts of x and y.

    `thin` reads none with channels last, `inner` no other, and that fills no weights.
    """
    for operator, kernel in product(FILLED, KERNELS):
        for last in ((False, False), (True, True), (True, False), (False, True)):
            read_last = last[1 if operator == "input_grad" else 0]
            if kernel == "inner" and (operator == "weight_grad" or not read_last):
                continue
            if kernel != "thin" or not read_last:
                yield operator, kernel, last


def label(operator: str, kernel: str, last: Layouts) -> str:
    return ", ".join((operator, kernel, *(("first", "last")[side] for side in last)))


WAYS = {label(*way): way for way in ways()}
ALIKE = {name: way for name, way in WAYS.items() if way[2][0] == way[2][1]}
"""Those with x and y laid out alike."""
in_every_way = pytest.mark.parametrize(("operator", "kernel", "last"), WAYS.values(), ids=WAYS)
in_layouts_alike = pytest.mark.parametrize(
    ("operator", "kernel", "last"), ALIKE.values(), ids=ALIKE
)


COUNTS = ((3, 2), (1, 1), (5, LANES + 1), (2 * LANES + 1, 4))


def sweep() -> Iterator[Any]:
    """Every way for the first of COUNTS, and for the others those with x and y laid out alike."""
    for (name, way), counts in product(WAYS.items(), COUNTS):
        first, alike = counts == COUNTS[0], name in ALIKE
        if first or alike:
            marks = [uncompiled] if first and alike else []
            yield pytest.param(*way, *counts, marks=marks, id=f"{name}, {counts[0]}, {counts[1]}")


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize(("operator", "kernel", "last", "filters", "channels"), list(sweep()))
def test_every_geometry(
    operator: str, kernel: str, last: Layouts, filters: int, channels: int, name: str
) -> None:
    check(Case(GEOMETRIES[name], filters, channels), operator, kernel, last)


@uncompiled
@pytest.mark.parametrize("operator", FILLED)
@pytest.mark.parametrize("rows", range(1, 2 * micro.HEIGHTS[0] + 2))
def test_rows_around_every_height(operator: str, rows: int) -> None:
    """As many positions, taps and input positions as there are rows."""
    geometry = Geometry.of(rows, rows, padding="causal")
    for lanes in (1, LANES + 1, 2 * LANES + 1):
        counts = (1, lanes) if operator == "input_grad" else (lanes, 1)
        check(Case(geometry, *counts, batch=1, groups=1), operator, "dense")


@uncompiled
@in_layouts_alike
@pytest.mark.parametrize("lanes", [1, *(n * LANES + d for n in (1, 2, 3, 5) for d in (-1, 0, 1))])
def test_lanes_around_every_vector(operator: str, kernel: str, last: Layouts, lanes: int) -> None:
    for counts in ((lanes, 2), (2, lanes)):
        check(Case(GEOMETRIES["stride"], *counts), operator, kernel, last)


EDGES = [n + d for n in (LANES, WIDEST // 4, WIDEST // 2, WIDEST) for d in (-1, 0, 1)]


@uncompiled
@in_layouts_alike
@pytest.mark.parametrize("positions", EDGES)
def test_positions_around_every_width(
    operator: str, kernel: str, last: Layouts, positions: int
) -> None:
    """Without padding, so that the input itself is the canvas and ends where wide tiles do not."""
    for lanes in (1, 2, 3, micro.TALLEST, micro.TALLEST + 1):
        counts = (1, lanes) if operator == "input_grad" else (lanes, 1)
        check(Case(Geometry.of(positions + 1, 2), *counts), operator, kernel, last)


@uncompiled
@pytest.mark.parametrize("kernel", KERNELS[1:3])
@pytest.mark.parametrize("columns", range(1, 2 * max(width for _, width in dots.SHAPES) + 4))
def test_columns_around_every_tile_of_dots(kernel: str, columns: int) -> None:
    geometry = Geometry.of((2, columns + 10), (1, columns))
    for lanes in (1, 2, 3, 4, 5, 8):
        check(Case(geometry, lanes, 1), "weight_grad", kernel)


@uncompiled
@pytest.mark.parametrize("dtype", DTYPES)
@in_layouts_alike
def test_every_dtype(dtype: str, operator: str, kernel: str, last: Layouts) -> None:
    geometry = Geometry.of((3, 9), (2, 3), stride=(1, 2), padding=1)
    check(Case(geometry, 3, 2, dtype), operator, kernel, last)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@in_layouts_alike
def test_more_depth_and_rows_than_one_block(
    dtype: str, operator: str, kernel: str, last: Layouts
) -> None:
    taps, positions = dense.DEPTH // 4, dense.DEPTH // 2 + 10
    geometry = Geometry.of(positions + taps - 1, taps)
    case = Case(geometry, 5, 5, dtype, batch=2, groups=2)
    depth = min(case.channels * taps, case.filters * taps, case.batch * positions)
    rows = min(case.batch * positions, case.channels * taps)
    assert depth > dense.DEPTH
    assert rows > dense.BLOCK
    with using_threads(1):  # so that rows are not cut into several units
        check(case, operator, kernel, last)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bytes_apart", [72, 1024, 1064, plans.dense.PAGE])
@pytest.mark.parametrize("operator", FILLED)
def test_many_channels_side_by_side(operator: str, bytes_apart: int, stride: int) -> None:
    """So that taps are read a block of channels at a time, by tiles of fewer rows if they must."""
    many, geometry = bytes_apart // 8, Geometry.of((14, 13), 3, padding=1, stride=stride)
    counts = (many, 9) if operator == "input_grad" else (9, many)
    case = Case(geometry, *counts, batch=2, groups=1)
    if operator != "weight_grad":
        lines_of_panel = planned(operator, case, (True, True)).kept[3]
        assert np.any(np.diff(lines_of_panel) < 0)
    check(case, operator, "dense", (True, True))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("operator", ["forward", "input_grad"])
def test_channels_that_can_not_be_cut_into_blocks(operator: str, last: bool) -> None:
    """They are too many for a panel, which gets them in pieces, each as it lies in memory."""
    prime, geometry = 127, Geometry.of((9, 8), 3, padding=1)
    assert prime * 9 > dense.DEPTH
    counts = (prime, 9) if operator == "input_grad" else (9, prime)
    case = Case(geometry, *counts, batch=2, groups=1)
    lines_of_panel = planned(operator, case, (last, last)).kept[3]
    assert np.any(np.diff(lines_of_panel) < 0) == last
    pieces = lines_of_panel[: dense.DEPTH], lines_of_panel[dense.DEPTH :]
    assert all(piece.max() - piece.min() == len(piece) - 1 for piece in pieces)
    check(case, operator, "dense", (last, last))


IN_PIECES = Case(Geometry.of(8 * plans.dense.PIECE, 2), 9, 2, "float32", batch=3)


@pytest.mark.parametrize("last", [(False, False), (True, True), (False, True)])
def test_weight_gradient_in_pieces(last: Layouts) -> None:
    assert planned("weight_grad", IN_PIECES).pieces > 1
    check(IN_PIECES, "weight_grad", "dense", last)


@uncompiled
@pytest.mark.parametrize("operator", FILLED)
@pytest.mark.parametrize("filters", [1, 9])
@pytest.mark.parametrize("last", [False, True])
def test_empty_batch(operator: str, filters: int, last: bool) -> None:
    """Sums of nothing: weights of zero, and nothing to fill elsewhere."""
    case = Case(GEOMETRIES["short rows"], filters, 2, batch=0)
    arrays = laid(operands(case), (last, last))
    getattr(jit, operator)(*arrays, case.geometry)
    wanted = 0 if operator == "weight_grad" else operands(case)[1]
    np.testing.assert_array_equal(arrays[1], np.broadcast_to(wanted, arrays[1].shape))
    for array in arrays:
        assert_guards_are_intact(array)


@in_every_way
def test_read_only_operands_need_no_code_of_their_own(
    operator: str, kernel: str, last: Layouts
) -> None:
    case = Case(GEOMETRIES["short rows"], 3, 2)
    check(case, operator, kernel, last)
    before = [set(kernel) for kernel in COMPILED.values()]
    assert any(before)

    arrays = laid(operands(case), last)
    for number, array in enumerate(arrays):
        array.flags.writeable = number == FILLED[operator]
    fill(operator, kernel, arrays, case.geometry)
    for number, array in enumerate(arrays):
        is_result = number == FILLED[operator]
        wanted = result(case, operator) if is_result else operands(case)[number]
        np.testing.assert_array_equal(array, wanted)
        assert array.flags.writeable == is_result
    assert [set(kernel) for kernel in COMPILED.values()] == before


@in_layouts_alike
@pytest.mark.parametrize("name", ["short rows", "stride", "input as canvas"])
def test_a_plan_keeps_what_its_words_point_to(
    operator: str, kernel: str, last: Layouts, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plans may outlive the lists of `phases` that they were made from."""
    made, run = [], fills.run

    def recorded(plan: Plan, *arguments: Any) -> bool:
        made.append(plan)
        return run(plan, *arguments)

    monkeypatch.setattr(fills, "run", recorded)
    check(Case(GEOMETRIES[name], 3, 2), operator, kernel, last)
    (plan,) = made
    words = [*plan.words, *(plan.placing.words if plan.placing else ())]
    addresses = {int(number) for number in words if number > LARGEST_OFFSET}
    kept = {address(array) for array in (*arrays_in(plan), UNASKED)}
    assert addresses
    assert addresses <= kept


def arrays_in(item: Any) -> Iterator[Array]:
    """The arrays among nested tuples."""
    if isinstance(item, np.ndarray):
        yield item
    elif isinstance(item, tuple):
        for inner in item:
            yield from arrays_in(inner)


def test_inexact_values_show_the_order_of_summation() -> None:
    """Else the next two tests would find nothing."""
    x, w, _ = inexact(Case(GEOMETRIES["short rows"], 9, 2, "float32"))
    products = x.ravel()[:70] * w.ravel()[:70]
    assert products.cumsum()[-1] != products[::-1].cumsum()[-1]


@pytest.mark.usefixtures("eager_threads")
@in_layouts_alike
@pytest.mark.parametrize("counts", [(3, 5), (20, 22)])
def test_bits_do_not_depend_on_the_number_of_threads(
    operator: str, kernel: str, last: Layouts, counts: tuple[int, int]
) -> None:
    geometry = Geometry.of((31, 37), (3, 3), padding="same", stride=(1, 2))
    cases = [Case(geometry, *counts, "float32", batch=3)]
    if (operator, kernel) == ("weight_grad", "dense"):
        cases.append(IN_PIECES)
    for case in cases:
        bits = {}
        for threads in (1, 2, 3, 4, 7):
            arrays = laid(inexact(case), last)
            with using_threads(threads):
                fill(operator, kernel, arrays, case.geometry)
            bits[threads] = arrays[FILLED[operator]].tobytes()
        assert [threads for threads in bits if bits[threads] != bits[1]] == []


@pytest.mark.parametrize(
    ("operator", "kernel", "last"),
    [pytest.param(*way, id=name) for name, way in ALIKE.items() if way[0] != "weight_grad"],
)
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("counts", COUNTS)
def test_bits_do_not_depend_on_the_batch(
    operator: str, kernel: str, last: Layouts, counts: tuple[int, int], dtype: str
) -> None:
    """Nor, with channels first, on the kernel: a sample alone may get another than a batch."""
    another = kernel if last == (True, True) else "dense"
    for name in ("short rows", "stride", "input as canvas", "stride and dilation"):
        case = Case(GEOMETRIES[name], *counts, dtype, batch=5)
        x, w, y = inexact(case)
        together = laid((x, w, y), last)
        fill(operator, another, together, case.geometry)
        for n in range(case.batch):
            alone = laid((x[n : n + 1], w, y[n : n + 1]), last)
            fill(operator, kernel, alone, case.geometry)
            ours, theirs = (arrays[FILLED[operator]] for arrays in (alone, together))
            assert ours.tobytes() == theirs[n : n + 1].tobytes()


@pytest.mark.parametrize("operator", ["forward", "input_grad"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_with_channels_last_all_batches_get_the_same_kernel(name: str, operator: str) -> None:
    for filters, channels in product((1, 3, LANES, LANES + 1), repeat=2):
        case = Case(GEOMETRIES[name], filters, channels, batch=5)
        x, _, y = laid(operands(case), (True, True))
        batches = [
            plans.choice(operator, case.geometry, jit.view(x[:n]), jit.view(y[:n]), x.itemsize)
            for n in (1, 2, 5)
        ]
        assert len(set(batches)) == 1


NOT_FINITE = {
    "input as canvas": Geometry.of(4, 2),
    "one tap": Geometry.of(3, 1),
    "padding": Geometry.of(4, 3, padding=2),
    "stride": Geometry.of(7, 3, stride=2, padding=1),
    "stride beyond the kernel": Geometry.of(
        (2, 7), (2, 2), stride=(1, 3), padding=((1, 0), (1, 2))
    ),
    "input dilation": Geometry.of(3, 2, input_dilation=2, padding=1),
    "cropped": Geometry.of(6, 3, padding=((-1, 2),)),
    "replicate": Geometry.of(3, 3, padding=2, padding_mode="replicate"),
}


@uncompiled
@pytest.mark.parametrize("name", NOT_FINITE)
@in_layouts_alike
def test_what_is_not_finite_goes_where_the_definition_takes_it(
    operator: str, kernel: str, last: Layouts, name: str
) -> None:
    """An infinity or a NaN in either operand that is read, in one place after the other."""
    case = Case(NOT_FINITE[name], 2, 2)
    for read in {0, 1, 2} - {FILLED[operator]}:
        size = operands(case)[read].size
        for number, place in enumerate(range(0, size, max(1, size // 5))):
            expected = [array.copy() for array in operands(case)]
            expected[read].flat[place] = (np.inf, np.nan, -np.inf)[number % 3]
            arrays = laid(expected, last)
            with np.errstate(invalid="ignore"):
                getattr(naive, operator)(*expected, case.geometry)
                fill(operator, kernel, arrays, case.geometry)
            assert not np.isfinite(expected[read]).all()
            for array, wanted in zip(arrays, expected, strict=True):
                np.testing.assert_array_equal(array, wanted, f"{'xwy'[read]} at {place}")


TAPS_APART = [
    Case(geometry, filters, plans.dense.WIDE // np.dtype(dtype).itemsize + more, dtype)
    for geometry, filters, more in (
        (Geometry.of((6, 9), (3, 2), stride=(3, 2)), LANES + 1, 0),
        (Geometry.of((6, 9), (2, 2), dilation=(2, 3)), LANES + 1, 3),
        (Geometry.of((7, 4), (3, 1)), LANES + 1, micro.HEIGHTS[0]),
        (Geometry.of((7, 4), (3, 1)), 6 * LANES - 1, micro.HEIGHTS[0]),
        (Geometry.of(1300, 2, stride=2), LANES + 1, 1),
        (Geometry.of((6, 17), (5, 8), stride=2), LANES + 1, 1),
        (Geometry.of((11, 7), (3, 3), stride=2), LANES + 1, 160),
        (Geometry.of((11, 7), (3, 3), stride=2), 5 * LANES, 160),
    )
    for dtype in ("float32", "float64", "int32", "complex64")
]
"""With channels last, rows of the weight gradient's tiles are channels that one tap sees: few and
many, a multiple of a tile's height and not; longer sums than a panel; more than one block."""


@uncompiled
@pytest.mark.parametrize("case", TAPS_APART)
def test_taps_that_see_anew(case: Case) -> None:
    assert plans.dense.sees_anew(stored(case.geometry, False))
    check(case, "weight_grad", "dense", (True, True))


IN_PLACE = [
    (operator, Case(geometry, filters, 4 * LANES + more, dtype, batch=2, groups=groups))
    for operator, geometry, filters in (
        ("weight_grad", Geometry.of((6, 9), (2, 3)), 2),
        ("weight_grad", Geometry.of(2100, 1), 1),
        ("input_grad", Geometry.of(5, 1), 9),
        ("input_grad", Geometry.of((2, 3), 1, padding=1), 5),
    )
    for more in (0, 1, 4 * LANES)
    for groups in (1, 2)
    for dtype in ("float32", "float64")
]
"""So few filters or positions that one tile of them reads the other operand: where it lies, if its
lanes lie side by side and fill a tile, and else from a panel."""


@pytest.mark.parametrize(("operator", "case"), IN_PLACE)
def test_one_tile_of_rows(operator: str, case: Case) -> None:
    check(case, operator, "dense", (True, True))
    check(case, operator, "dense")


WHOLE = LANES * max(1, plans.FEW // LANES)
"""More than few channels, once doubled, in whole vectors."""


@uncompiled
@pytest.mark.parametrize(
    ("channels", "filters", "layout", "channels_in_lanes"),
    [
        (WHOLE, 2 * WHOLE, (False, False), True),
        (WHOLE, 2 * WHOLE - 1, (False, False), WHOLE >= micro.VECTORS * LANES),
        (WHOLE + 1, 4 * WHOLE, (False, False), False),
        (WHOLE, 4 * WHOLE, (True, True), WHOLE >= micro.VECTORS * LANES),
        (4 * WHOLE, 4 * WHOLE, (False, False), True),
        (4 * WHOLE, 4 * WHOLE, (True, True), True),
        (4 * WHOLE, 4 * WHOLE - 1, (True, True), True),
        (4 * WHOLE, WHOLE + 1, (True, True), True),
        (4 * WHOLE, 2 * WHOLE, (True, True), 2 * WHOLE > micro.MOST_VECTORS * LANES),
        (4 * WHOLE + 1, WHOLE + 1, (True, True), False),
    ],
)
def test_weights_of_one_tap(
    channels: int, filters: int, layout: Layouts, channels_in_lanes: bool
) -> None:
    """They lie as channels do, so channels may fill the lanes: then x is packed, and not dy."""
    case = Case(Geometry.of((5, 7), 1), filters, channels)
    assert planned("weight_grad", case, layout).swapped == channels_in_lanes
    check(case, "weight_grad", "dense", layout)


@uncompiled
@pytest.mark.parametrize("filters", [LANES // 2, LANES // 2 + 1, LANES, LANES + 1])
@pytest.mark.parametrize("channels", [LANES - 1, LANES, 2 * LANES, 2 * LANES + 1])
@pytest.mark.parametrize("stride", [1, 2])
def test_weights_of_filters_that_fill_one_vector_or_less(
    stride: int, channels: int, filters: int
) -> None:
    """With channels last, those of few channels that taps see alike fill the lanes."""
    case = Case(Geometry.of((9, 8), (3, 2), stride=stride), filters, channels)
    x, _, _ = laid(operands(case), (True, True))
    seen = stored(case.geometry, False)
    turned = plans.dense.channels_fill_lanes(jit.view(x), filters, seen, LANES)
    together = stride == 1 and filters <= LANES and channels <= 2 * LANES
    assert turned == (channels >= LANES and (filters <= LANES // 2 or together))
    check(case, "weight_grad", "dense", (True, True))


@pytest.mark.parametrize(
    ("more_bytes", "more_positions", "across"), [(0, 0, 2), (0, -1, 1), (64, 0, 1)]
)
def test_lines_in_the_same_places_of_a_cache(
    more_bytes: int, more_positions: int, across: int
) -> None:
    """Of positions so far apart, rows of a tile are channels at one tap, on the same lines."""
    pitch = 4 * plans.dense.PITCH
    geometry = Geometry.of(plans.dense.SPREAD // pitch + 1 + more_positions, 2)
    case = Case(geometry, LANES + 1, (pitch + more_bytes) // 8, batch=1, groups=1)
    assert planned("weight_grad", case, (True, True)).words[-1] == across
    check(case, "weight_grad", "dense", (True, True))


SEEN_IN_PART = {
    "stride": Geometry.of((15, 14), 7, stride=2, padding=3),
    "three axes": Geometry.of((3, 6, 5), 3, stride=(1, 2, 2), padding=1),
    "cropped": Geometry.of((9, 13), 5, stride=2, padding=(-1, 2)),
    "more padding than kernel": Geometry.of((6, 5), 2, padding=3),
    "fewer positions than taps": Geometry.of((4, 3), (5, 4), padding=3),
    "taps that follow each other elsewhere": Geometry.of((9, 12), 4, stride=3, dilation=2),
    "a spread-out input": Geometry.of((5, 6), 3, input_dilation=(2, 3), padding=2),
    "some that no tap sees": Geometry.of((11, 8), 2, stride=(3, 4)),
}
"""Positions that see the taps that others do, but for those beyond the ends of dy."""


@uncompiled
@pytest.mark.parametrize("channels", [1, 2, dots.ROWS, dots.ROWS + 1, 2 * dots.ROWS + 1])
@pytest.mark.parametrize("name", SEEN_IN_PART)
def test_input_gradients_without_zeros_around_dy(name: str, channels: int) -> None:
    for filters in (2, LANES + 1):
        check(Case(SEEN_IN_PART[name], filters, channels), "input_grad", "inner", (True, True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operator", ["forward", "input_grad"])
@pytest.mark.parametrize("last", [(False, False), (True, True)])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_channels_of_one_position_among_zeros(
    kernel: int, last: Layouts, operator: str, dtype: str
) -> None:
    """They lie side by side in either layout; once placed on a canvas, they need not."""
    geometry = Geometry.of(1, kernel, padding=kernel - 1)
    for counts in ((1, 2), (3, LANES), (2, 2 * LANES), (2 * LANES, 2)):
        case = Case(geometry, *counts, dtype)
        arrays = laid(operands(case), last)
        getattr(jit, operator)(*arrays, geometry)
        np.testing.assert_array_equal(arrays[FILLED[operator]], result(case, operator))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_infinite_weights_reach_no_further_without_them(dtype: str) -> None:
    case = Case(SEEN_IN_PART["stride"], LANES, 2, dtype)
    x, w, y = laid(inexact(case), (True, True))
    w[0, 0, 0, 0] = np.inf
    expected = np.empty_like(x)
    with only("inner"), np.errstate(invalid="ignore"):
        naive.input_grad(expected, w, y, case.geometry)
        jit.input_grad(x, w, y, case.geometry)
    np.testing.assert_array_equal(np.isfinite(x), np.isfinite(expected))


PHASES_IN_LANES = [
    Case(Geometry.of((6, 9), (2, 3), stride=(2, 1)), 3, channels, dtype)
    for channels in (LANES, 3 * LANES, 4 * LANES + 1)
    for dtype in ("float32", "float64")
]
"""With channels last, those of a phase come before those of the next: the last lane of a tile may
be near the beginning of the weights, and one before it at their end."""


def compute_between_forbidden_pages() -> None:
    """Ends the process with a signal where a kernel reads beyond an operand."""
    for operator, kernel, last in WAYS.values():
        for geometry in (*GEOMETRIES.values(), *(Geometry.of(n + 1, 2) for n in EDGES)):
            for dtype in ("float32", "float64"):
                case = Case(geometry, 3, 3, dtype)
                if not operands(case)[0].size:
                    continue
                for at_end in (True, False):
                    check(case, operator, kernel, last, flush(at_end))
    for case, last in product(PHASES_IN_LANES, (False, True)):
        check(case, "input_grad", "dense", (last, last), flush(at_end=True))
    for (operator, case), at_end in product(IN_PLACE, (False, True)):
        check(case, operator, "dense", (True, True), flush(at_end))
    for case, at_end in product(TAPS_APART, (False, True)):
        check(case, "weight_grad", "dense", (True, True), flush(at_end))
    print("nothing beyond")


@pytest.mark.skipif(sys.platform != "linux", reason="forbids pages as Linux does")
def test_nothing_beyond_an_operand_is_read() -> None:
    assert_survives("test_jit")


def test_warmup_compiles_every_kernel_for_both_floats() -> None:
    for kernel in COMPILED.values():
        kernel.clear()
    jit.warmup()
    floats = {np.dtype("float32"), np.dtype("float64")}
    assert [name for name, kernel in COMPILED.items() if not floats <= set(kernel)] == []


def test_facts_name_the_vectors_and_the_cache() -> None:
    facts = jit.facts()
    assert set(facts) == {"processor", "vectors", "kernels"}
    assert facts["vectors"] == f"{8 * vectors.vector_bytes()} bits"
    assert list(Path(facts["kernels"]).glob("dense.contract-*.nbc"))


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("positions", [1, 100, 700, 5000])
def test_units_share_out_positions_and_lanes(positions: int, threads: int, local: bool) -> None:
    """Each position of each lane is in one unit, none is empty, and all weights are looked at."""
    for lanes in (1, 4, 5, 9, 11, 24, 101):
        spans, counts = [(0, positions, 0, 5), (positions, 30, 5, 2)], [lanes, 2]
        units = thin_table(spans, counts, 2, 3, 7, local, threads)
        done = np.zeros((2, 3, lanes + 2, positions + 30), int)
        looked_at = np.zeros((3, lanes + 2), int)
        for sample, group, begin, end, _, _, _, lane, count, ask in units.tolist():
            assert count > 0
            assert begin < end
            done[sample, group, lane : lane + count, begin:end] += 1
            looked_at[group, lane : lane + count] += ask
        assert (done[:, :, :lanes, :positions] == 1).all()
        assert (done[:, :, lanes:, positions:] == 1).all()
        assert done.sum() == 6 * (lanes * positions + 60)
        assert (looked_at == 1).all()


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize(
    ("rows", "across", "pieces"), [(1, 1, 1), (49, 1, 2), (54, 9, 1), (3000, 1, 3)]
)
def test_tiles_share_out_rows_lanes_and_depth(
    rows: int, across: int, pieces: int, threads: int
) -> None:
    """Each product is in one unit, by a tile that there is; of few rows each thread has one."""
    shapes, groups, taps, channels = set(micro.HIGH + micro.BROAD), 2, 9, 500
    for lanes in (1, LANES, 3 * LANES, 4 * LANES + 1, 9 * LANES):
        units = table(
            [(0, rows, 0, taps)], 1, channels, groups, [lanes], 8, threads, across=across,
            pieces=pieces, size=1000,
        )  # fmt: skip
        boxes = set()
        for _, group, lane, count, place, *spans, height, highest, block, chunk in units.tolist():
            begin, end, first, last = spans
            assert (height, -(-count // LANES)) in shapes
            assert height <= highest == MOST_ROWS
            assert block % (height * across) == chunk % taps == 0
            assert place // 1000 in range(pieces)
            boxes.add(((group, group + 1), (begin, end), (lane, lane + count), (first, last)))
        sizes = groups, rows, lanes, taps * channels
        assert sum(prod(end - begin for begin, end in box) for box in boxes) == prod(sizes)
        for one, other in combinations(boxes, 2):
            assert any(a[1] <= b[0] or b[1] <= a[0] for a, b in zip(one, other, strict=True))
        if rows < FEWEST_ROWS:
            assert len(units) >= min(threads, lanes // LANES)


WHOLE, BROKEN = 64, 4 * LANES + 1
"""Channels that fill vectors of any width, and channels that leave lanes of the last one empty."""
FILLED_BY_POSITIONS = {
    "a long row": (Geometry.of(plans.LARGE + 1, 2), WHOLE, 3),
    "rows": (Geometry.of((40, 64), 3, padding=1), WHOLE, 3),
    "causal": (Geometry.of(plans.LARGE, 3, padding="causal", dilation=5), WHOLE, 3),
    "phases": (Geometry.of(2 * plans.LARGE, 4, stride=2, padding=1), WHOLE, 3),
    "empty lanes": (Geometry.of((11, 13), 3, padding=1), BROKEN, plans.SHALLOW),
}
"""Geometries with many positions; of the input's gradient in every phase."""


@pytest.mark.parametrize("operator", ["forward", "input_grad"])
@pytest.mark.parametrize("name", FILLED_BY_POSITIONS)
def test_positions_are_in_the_lanes(operator: str, name: str) -> None:
    """Where sums are short or channels would leave lanes empty, and channels come first."""
    geometry, lanes, summed = FILLED_BY_POSITIONS[name]
    case = Case(geometry, *((lanes, summed) if operator == "forward" else (summed, lanes)))
    for last, kernel in (((False, False), "thin"), ((True, True), "dense")):
        x, _, y = arrays = laid(operands(case), last)
        assert jit.reasons(x, y, case.geometry)[operator].startswith(f"{kernel}: ")
        with using_threads(2):
            getattr(jit, operator)(*arrays, case.geometry)
        np.testing.assert_array_equal(arrays[FILLED[operator]], result(case, operator))


LONG_ROW = FILLED_BY_POSITIONS["a long row"][0]
FILLED_BY_FILTERS = {
    "long sums": Case(LONG_ROW, WHOLE, plans.SHALLOW),
    "few positions": Case(Geometry.of(plans.LARGE // 2, 2), WHOLE, 2),
    "positions apart": Case(Geometry.of((plans.LARGE, 2), (1, 3), padding=(0, 2)), WHOLE, 2),
    "a canvas used too little": Case(Geometry.of(8 * plans.LARGE, 4, stride=4), WHOLE, 2),
    "hardly any positions": Case(Geometry.of(plans.ENOUGH, 2), BROKEN, 2),
    "the longest sums": Case(Geometry.of(plans.ENOUGH + 1, 2), BROKEN, plans.DEEP // 2 + 1),
    "a canvas used even less": Case(Geometry.of(4 * plans.ENOUGH, 4, stride=4), BROKEN, 2),
}


@pytest.mark.parametrize("name", FILLED_BY_FILTERS)
def test_others_have_filters_there(name: str) -> None:
    x, _, y = operands(FILLED_BY_FILTERS[name])
    assert jit.reasons(x, y, FILLED_BY_FILTERS[name].geometry)["forward"].startswith("dense: ")
