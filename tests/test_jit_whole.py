"""Whole results: zeros where a kernel fills only a part, and the totals of partial sums."""

import numpy as np
import pytest
from jit_cases import FILLED, Array, Case, assert_guards_are_intact, guarded, laid, operands, result

from convref.geometry import Geometry
from convref.kernels import jit
from convref.kernels.jit.whole import SHARED, STRETCH, clear, total

PARTLY_SEEN = {
    "input_grad": Geometry.of((150, 130), 1, stride=(3, 2)),
    "forward": Geometry.of((50, 40), 1, input_dilation=3),
}
"""Geometries whose results are zero where no tap sees, or shows, a number."""


@pytest.mark.uncompiled
@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("dtype", ["float32", "int64", "complex128"])
@pytest.mark.parametrize("size", [0, 1, SHARED - 1, SHARED, SHARED + 1, SHARED + STRETCH])
def test_all_of_a_result_and_nothing_else_is_cleared(dtype: str, size: int) -> None:
    array = guarded(np.full((1, 1, 1, size), 7, dtype))
    clear(array.reshape(-1), 2)
    np.testing.assert_array_equal(array, np.zeros_like(array))
    assert_guards_are_intact(array)


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("operator", PARTLY_SEEN)
def test_what_is_not_seen_is_zero(operator: str, last: bool) -> None:
    case = Case(PARTLY_SEEN[operator], 3, 3, "float32")
    arrays: list[Array] = laid(operands(case), (last, last))
    filled = arrays[FILLED[operator]]
    assert filled.size >= SHARED
    filled[...] = np.nan
    getattr(jit, operator)(*arrays, case.geometry)
    np.testing.assert_array_equal(filled, result(case, operator))
    assert_guards_are_intact(filled)


@pytest.mark.uncompiled
@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "complex64"])
@pytest.mark.parametrize("size", [1, 5, STRETCH, STRETCH + 1, 3 * STRETCH - 1])
def test_total(size: int, dtype: str) -> None:
    random = np.random.default_rng(size)
    for pieces in (1, 2, 5):
        sums = random.integers(-99, 100, (pieces, size)).astype(dtype)
        out = guarded(np.full((1, 1, 1, size), 7, dtype))
        total(sums, out, 2)
        np.testing.assert_array_equal(out.reshape(-1), sums.sum(axis=0))
        assert_guards_are_intact(out)


def test_total_of_what_is_not_finite_is_silent() -> None:
    """An infinity and its opposite give NaN, and no warning, which the suite takes for an error."""
    out = np.empty((2, 2, 1, 1), np.float32)
    total(np.array([[np.inf, 1, 3e38, 0], [-np.inf, 2, 3e38, 0]], np.float32), out, 1)
    np.testing.assert_array_equal(out.ravel(), np.array([np.nan, 3, np.inf, 0], np.float32))
