"""Columns: the product with the flattened weights, and the transpose of the gathering."""

from typing import Any

import numpy as np
import oracles
from hypothesis import given
from ml_dtypes import bfloat16
from strategies import Problem, problems

from convref import col2im, conv, im2col


def gathered(p: Problem) -> Any:
    """The columns by the oracle's windows: tap by tap, channels outermost."""
    x = p.channels_first(p.x)
    plan = p.plan._replace(groups=1)
    taps = [seen[:, 0] for _, seen in oracles.windows(oracles.padded(x, plan), plan)]
    stacked = np.stack(taps, axis=2)  # (N, C, T, P)
    return stacked.reshape(*p.batch, p.channels * len(taps), stacked.shape[-1])


@given(p=problems())
def test_im2col_by_the_definition(p: Problem) -> None:
    cols = im2col(p.x, p.kernel, **p.words)
    np.testing.assert_array_equal(cols, gathered(p), strict=True)
    assert cols.flags.c_contiguous


@given(p=problems(layouts=("channels_first",)))
def test_flattened_weights_times_columns(p: Problem) -> None:
    words = p.without("groups")
    w = np.resize(p.w, (len(p.w), p.channels, *p.kernel))
    flat = w.reshape(len(w), -1) @ im2col(p.x, p.kernel, **words)
    y = conv(p.x, w, **words)
    np.testing.assert_array_equal(flat.reshape(y.shape), y, strict=True)


@given(p=problems())
def test_col2im_is_the_transpose(p: Problem) -> None:
    cols = im2col(p.x, p.kernel, **p.words)
    other = np.arange(cols.size).reshape(cols.shape) % 7 - 3
    back = col2im(other, p.input_size, p.kernel, **p.words)
    assert (back.shape, back.dtype) == (p.x.shape, p.x.dtype)
    assert back.flags.c_contiguous
    assert np.vdot(cols, other) == np.vdot(p.x, back)


def test_col2im_counts_how_often_a_position_is_seen() -> None:
    counts = col2im(np.ones((4, 4), np.int8), (3, 3), (2, 2))
    expected = np.array([[[1, 2, 1], [2, 4, 2], [1, 2, 1]]], np.int8)
    np.testing.assert_array_equal(counts, expected, strict=True)


def test_dtypes_stay() -> None:
    for dtype in map(np.dtype, ("?", "i1", "u8", "f2", bfloat16, "f4", "c8")):
        cols = im2col(np.ones((1, 4), dtype), (2,), padding=1)
        assert cols.dtype == dtype
        np.testing.assert_array_equal(cols[0], np.array([0, 1, 1, 1, 1]).astype(dtype))
        assert col2im(cols, 4, (2,), padding=1).dtype == dtype


def test_byte_order_is_native() -> None:
    swapped = np.dtype("f4").newbyteorder()
    assert im2col(np.ones((1, 4), swapped), (2,)).dtype.isnative
    assert col2im(np.ones((2, 3), swapped), 4, (2,)).dtype.isnative


def test_float16_columns_are_added_in_float32() -> None:
    """2048 + 1 + 1 is 2048 when each step is rounded to float16."""
    cols = np.array([[0, 0, 2048], [0, 1, 0], [1, 0, 0]], np.float16)
    np.testing.assert_array_equal(col2im(cols, 5, (3,)), np.array([[0, 0, 2050, 0, 0]], np.float16))


def test_columns_without_channels_or_batch() -> None:
    assert im2col(np.ones((0, 2, 4)), (2,)).shape == (0, 4, 3)
    assert col2im(np.ones((0, 4, 3)), 4, (2,)).shape == (0, 2, 4)
