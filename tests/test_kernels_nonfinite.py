"""NaN and infinity go exactly where the windows take them; zero padding is literal."""

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Problem, problems

from convref import conv, conv_input_grad, conv_weight_grad

CELLS = st.integers(0, 2**32 - 1)


@given(p=problems(), cell=CELLS)
def test_nan_passes_only_where_its_window_reaches(backend: str, p: Problem, cell: int) -> None:
    """The outputs that a one in this place alone would change are the ones that turn NaN."""
    x = p.x.astype(np.float32)
    if not x.size:
        return
    mark = np.zeros(p.x.shape, np.int64)
    x.flat[cell % x.size], mark.flat[cell % x.size] = np.nan, 1
    y = conv(x, p.w.astype(np.float32), backend=backend, **p.words)
    touched = oracles.forward(mark, np.ones_like(p.w), **p.words) > 0
    np.testing.assert_array_equal(np.isnan(y), touched)
    plain = oracles.forward(p.x, p.w, **p.words)
    np.testing.assert_array_equal(y[~touched], plain[~touched])


@given(p=problems(), cell=CELLS)
def test_nan_in_a_weight_reaches_its_filter_and_no_other(
    backend: str, p: Problem, cell: int
) -> None:
    """Over padding too: NaN times a literal zero is NaN."""
    w = p.w.astype(np.float64)
    place = cell % w.size
    w.flat[place] = np.nan
    y = p.channels_first(conv(p.x.astype(float), w, backend=backend, **p.words))
    by_filter = np.moveaxis(np.isnan(y), -p.rank - 1, 0).reshape(len(w), -1)
    hit = place // (w.size // len(w))
    assert by_filter[hit].all()
    assert not np.delete(by_filter, hit, axis=0).any()


def test_infinite_weight_over_zero_padding_is_nan(backend: str) -> None:
    """As np.pad and a valid convolution give; elsewhere the infinity stands."""
    y = conv([[1.0, 2.0, 3.0]], [[[np.inf, 1.0]]], padding=1, backend=backend)
    np.testing.assert_array_equal(y, [[np.nan, np.inf, np.inf, np.inf]])
    y = conv([[1.0, 2.0]], [[[np.inf, 1.0]]], padding=[(1, 0)], padding_mode="replicate")
    np.testing.assert_array_equal(y, [[np.inf, np.inf]])


def test_infinite_weight_between_spread_out_inputs_is_nan(backend: str) -> None:
    y = conv([[1.0, 2.0]], [[[np.inf]]], input_dilation=2, backend=backend)
    np.testing.assert_array_equal(y, [[np.inf, np.nan, np.inf]])


@given(p=problems(modes=("zeros",)), cell=CELLS)
def test_back_ends_agree_on_infinities(backend: str, p: Problem, cell: int) -> None:
    """Infinity, minus infinity and NaN stand where the definition, in floats, has them."""
    x, w = p.x.astype(np.float64), p.w.astype(np.float64)
    w.flat[cell % w.size] = np.inf
    if x.size:
        x.flat[cell % x.size] = -np.inf
    with np.errstate(invalid="ignore"):
        expected = oracles.forward(x, w, **p.words)
    np.testing.assert_array_equal(conv(x, w, backend=backend, **p.words), expected)


def test_gradients_pass_nan_only_where_it_reaches(backend: str) -> None:
    dy = np.array([[1.0, np.nan, 1.0, 1.0]])
    dx = conv_input_grad(dy, [[[1.0, 1.0]]], 5, backend=backend)
    np.testing.assert_array_equal(np.isnan(dx), [[False, True, True, False, False]])
    x = np.array([[1.0, 2.0, 3.0, 4.0, np.nan]])
    dw = conv_weight_grad(x, np.ones((1, 4)), (2,), backend=backend)
    np.testing.assert_array_equal(dw, [[[10.0, np.nan]]])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_overflow_gives_infinity_without_a_warning(backend: str, dtype: str) -> None:
    large = np.finfo(dtype).max
    y = conv(np.full((1, 2), large), np.ones((1, 1, 2), dtype), backend=backend)
    np.testing.assert_array_equal(y, np.full((1, 1), np.inf, dtype), strict=True)
