"""Zeros in results of which a kernel fills only a part."""

import numpy as np
import pytest
from jit_cases import FILLED, Array, Case, assert_guards_are_intact, guarded, laid, operands, result

from convref.geometry import Geometry
from convref.kernels import jit
from convref.kernels.jit.zeros import SHARED, STRETCH, clear

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
