"""A convolution is the product with its sparse matrix; the transpose maps gradients back."""

import sys
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from messages import refused
from ml_dtypes import bfloat16
from scipy.sparse import csr_array
from strategies import Problem, problems

from convref import DtypeError, MissingExtraError, ShapeError, conv, conv_input_grad, conv_matrix


def flat(array: np.ndarray[Any, Any], p: Problem) -> np.ndarray[Any, Any]:
    """One row per sample."""
    return array.reshape(prod(p.batch), prod(array.shape[len(p.batch) :]))


@given(p=problems())
def test_product_with_the_matrix(p: Problem) -> None:
    """In the order of either layout, for every sample of the batch."""
    matrix = conv_matrix(p.w, p.input_size, **p.words)
    y = conv(p.x, p.w, **p.words)
    np.testing.assert_array_equal((matrix @ flat(p.x, p).T).T, flat(y, p), strict=True)
    dx = conv_input_grad(p.dy, p.w, p.input_size, **p.words)
    np.testing.assert_array_equal((matrix.T @ flat(p.dy, p).T).T, flat(dx, p), strict=True)


def test_form() -> None:
    matrix = conv_matrix(np.array([[[1, 2]]], np.float32), 3, padding=1)
    assert isinstance(matrix, csr_array)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix.toarray(), [[2, 0, 0], [1, 2, 0], [0, 1, 2], [0, 0, 1]])


@pytest.mark.parametrize("name", ["bool", "int8", "uint64", "float64", "complex64"])
def test_keeps_the_dtype_of_the_weights(name: str) -> None:
    assert conv_matrix(np.ones((1, 1, 2), name), 3).dtype.name == name


@pytest.mark.parametrize("dtype", ["float16", bfloat16])
def test_a_dtype_that_scipy_has_not(dtype: Any) -> None:
    with pytest.raises(DtypeError, match=r"^conv_matrix: "):
        conv_matrix(np.ones((1, 1, 2), dtype), 3)


def test_weights_in_the_other_byte_order() -> None:
    w = np.ones((1, 1, 2), np.dtype("float32").newbyteorder())
    np.testing.assert_array_equal(conv_matrix(w, 3).toarray(), [[1, 1, 0], [0, 1, 1]])


@pytest.mark.parametrize("w", [1.0, [1.0], [[1.0]]])
def test_weights_without_a_kernel_axis(w: Any) -> None:
    shape = np.shape(w)
    message = (
        f"conv_matrix: `w` (shape {shape}) has {len(shape)} axes; weights have the shape "
        "(K, C/groups, *kernel), with at least one kernel axis"
    )
    with refused(ShapeError, message):
        conv_matrix(w, 3)


def test_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    message = "conv_matrix: the package scipy is not installed; pip install 'convref[sparse]'"
    with refused(MissingExtraError, message):
        conv_matrix([[[1, 2]]], 3)
