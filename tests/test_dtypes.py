"""Which dtypes can be convolved, what comes out, and what the sums are taken in."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from messages import refused
from rounding import ARITHMETICS

from convref import DtypeError, conv, conv_input_grad, conv_vjp, conv_weight_grad
from convref.dtypes import named_dtype

SUPPORTED = (
    "use one of float16, bfloat16, float32, float64, complex64, complex128, integers and booleans"
)
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = tuple(ARITHMETICS)
MIXED = [
    # NumPy's table: x, w, result
    ("bool", "int8", "int8"),
    ("int8", "uint8", "int16"),
    ("uint64", "int64", "float64"),
    ("int8", "float16", "float16"),
    ("int16", "float16", "float32"),
    ("int64", "float32", "float64"),
    ("float16", "float32", "float32"),
    ("float32", "float64", "float64"),
    ("float32", "complex64", "complex64"),
    ("float64", "complex64", "complex128"),
    ("bfloat16", "float32", "float32"),
    ("bfloat16", "bool", "bfloat16"),
]


def ones(*shape: int, dtype: str = "float64") -> np.ndarray[Any, Any]:
    return np.ones(shape, dtype)


@pytest.mark.parametrize("name", ["bool", *INTEGERS, *FLOATS])
def test_result_has_the_dtype_of_its_operands(backend: str, name: str) -> None:
    x, w, dy = (ones(*shape, dtype=name) for shape in ((1, 5), (1, 1, 2), (1, 4)))
    y = conv(x, w, ones(1, dtype=name), backend=backend)
    np.testing.assert_array_equal(y, np.full((1, 4), 3).astype(name), strict=True)
    dx, dw, db = conv_vjp(x, w, dy, backend=backend)
    np.testing.assert_array_equal(dx, np.array([[1, 2, 2, 2, 1]]).astype(name), strict=True)
    np.testing.assert_array_equal(dw, np.full((1, 1, 2), 4).astype(name), strict=True)
    np.testing.assert_array_equal(db, np.array([4]).astype(name), strict=True)


@pytest.mark.parametrize(("left", "right", "result"), MIXED)
def test_mixed_dtypes_promote_as_numpys(left: str, right: str, result: str) -> None:
    for x, w in ((left, right), (right, left)):
        y = conv(ones(1, 4, dtype=x), ones(1, 1, 2, dtype=w))
        np.testing.assert_array_equal(y, np.full((1, 3), 2).astype(result), strict=True)


@pytest.mark.parametrize("name", ["float32", "float64", "complex64", "int16"])
def test_byte_order_is_native_in_the_result(name: str) -> None:
    x, w, dy = (
        np.ones(shape, np.dtype(name).newbyteorder()) for shape in ((1, 4), (1, 1, 2), (1, 3))
    )
    for result in (conv(x, w), *conv_vjp(x, w, dy)):
        assert result.dtype.isnative
        assert result.dtype == np.dtype(name)


def test_int8_wraps_as_numpys(backend: str) -> None:
    x, w = np.full((1, 1, 3), 100, np.int8), np.full((1, 1, 3), 2, np.int8)
    assert conv(x, w, backend=backend).item() == 600 - 512
    assert conv(x, w, [300], backend=backend).item() == 900 - 1024


def test_int8_products_are_summed_wide_enough(backend: str) -> None:
    """The sum passes 8, 16 and 32 bits on its way, and ends within int32."""
    x = np.array([[2**31 - 1, 2**31 - 1, -(2**31 - 1)]], np.int32)
    w = np.array([[[2, 1, 3]]], np.int32)
    assert conv(x, w, accumulate="float64", backend=backend).item() == 0
    assert conv(x, w, backend=backend).item() == 0


def test_uint64_above_the_range_of_int64(backend: str) -> None:
    x = np.array([[2**63 + 5, 1]], np.uint64)
    y = conv(x, np.array([[[1, 2]]], np.uint64), backend=backend)
    np.testing.assert_array_equal(y, np.array([[2**63 + 7]], np.uint64), strict=True)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_narrow_floats_round_once(backend: str, name: str) -> None:
    """Summed in the narrow dtype, the ones would each be lost beside the large term."""
    dtype = np.dtype(name)
    digits = ml_dtypes.finfo(dtype).nmant + 1
    large, taps = 2.0 ** (digits + 2), 17
    x = np.ones((1, taps), dtype)
    x[0, 0] = large
    y = conv(x, np.ones((1, 1, taps), dtype), backend=backend)
    assert large + taps - 1 == dtype.type(large + taps - 1)  # the exact sum can be stored
    np.testing.assert_array_equal(y, [[dtype.type(large + taps - 1)]], strict=True)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_float8_is_summed_in_float32(backend: str, name: str) -> None:
    """Summed in 8 bits, the ones would be lost; out of range is NaN, or infinity."""
    x, w, dy = ones(1, 40, dtype=name), ones(1, 1, 40, dtype=name), ones(1, 1, dtype=name)
    y = conv(x, w, backend=backend)
    np.testing.assert_array_equal(y, np.array([[40]], name), strict=True)
    for result in conv_vjp(x, w, dy, backend=backend):
        assert result.dtype == np.dtype(name)
        np.testing.assert_array_equal(result.astype(np.float32), np.ones(result.shape))
    largest = float(ml_dtypes.finfo(name).max)
    x = np.array([[largest, largest]], name)
    assert conv(x, ones(1, 1, 1, dtype=name), backend=backend)[0, 0] == largest
    beyond = conv(x, ones(1, 1, 2, dtype=name), backend=backend).astype(np.float32)
    assert not np.isfinite(beyond).any()
    assert conv(x, ones(1, 1, 2, dtype="float32"), backend=backend).item() == 2 * largest


def test_float8_and_other_narrow_floats_have_no_common_dtype() -> None:
    message = (
        "conv: `x` (float8_e4m3fn) and `w` (float8_e5m2) have no common dtype; convert one of them"
    )
    with refused(DtypeError, message):
        conv(ones(1, 4, dtype="float8_e4m3fn"), ones(1, 1, 2, dtype="float8_e5m2"))


def test_accumulate_chooses_the_dtype_of_the_sums(backend: str) -> None:
    wide = conv([[2.0**24, 1]], [[[1.0, 1.0]]], accumulate="float64", backend=backend)
    assert wide.item() == 2**24 + 1
    narrow = conv([[2.0**24, 1]], [[[1.0, 1.0]]], accumulate=np.float32, backend=backend)
    np.testing.assert_array_equal(narrow, np.array([[2.0**24]]), strict=True)
    x, w = np.array([[2.0**24, 1, -(2.0**24)]], np.float32), np.ones((1, 1, 3), np.float32)
    cancelled = conv(x, w, accumulate="float64", backend=backend)
    np.testing.assert_array_equal(cancelled, np.ones((1, 1), np.float32), strict=True)


def test_accumulate_reaches_the_gradients(backend: str) -> None:
    dy = np.array([[2.0**24, 1, 1, -(2.0**24)]], np.float32)
    x, words = np.ones((1, 4), np.float32), {"accumulate": "float64", "backend": backend}
    assert conv_weight_grad(x, dy, (1,), **words).item() == 2
    assert conv_vjp(x, x[None, :, :1], dy, **words)[2].item() == 2
    filters, gradient = np.ones((4, 1, 1), np.float32), dy.T.copy()
    assert conv_input_grad(gradient, filters, 1, **words).item() == 2


def test_int32_sums_wrap(backend: str) -> None:
    x, w = np.full((1, 2), 2**31), np.ones((1, 1, 2), int)
    assert conv(x, w, accumulate="int32", backend=backend).item() == 0


@pytest.mark.parametrize("wide", ["complex64", "complex128"])
def test_real_sums_are_not_taken_in_complex(wide: str) -> None:
    with pytest.raises(DtypeError, match=r"^conv: `accumulate`"):
        conv(ones(1, 4), ones(1, 1, 2), accumulate=wide)


def test_accumulate_in_the_other_byte_order(backend: str) -> None:
    swapped = np.dtype("float64").newbyteorder()
    y = conv(ones(1, 4), ones(1, 1, 2), accumulate=swapped, backend=backend)
    np.testing.assert_array_equal(y, np.full((1, 3), 2.0), strict=True)


@pytest.mark.parametrize(
    ("dtype", "accumulate"),
    [
        ("float32", "int64"),
        ("float16", "int32"),
        ("bfloat16", "int64"),
        ("complex64", "float64"),
    ],
)
def test_accumulate_of_another_kind(dtype: str, accumulate: str) -> None:
    message = (
        f"conv: `accumulate` (={accumulate}) can't hold products of {dtype}; "
        "use a dtype of the same kind"
    )
    with refused(DtypeError, message):
        conv(ones(1, 4, dtype=dtype), ones(1, 1, 2, dtype=dtype), accumulate=accumulate)


@pytest.mark.parametrize("accumulate", ["float16", "bfloat16", "nonsense", "int8", "object", 3.5])
def test_accumulate_that_no_sum_is_taken_in(accumulate: Any) -> None:
    message = (
        f"conv: `accumulate` (={accumulate!r}) is not a dtype that sums can be taken in; "
        "use one of float32, float64, complex64, complex128, int32, int64"
    )
    with refused(DtypeError, message):
        conv(ones(1, 4), ones(1, 1, 2), accumulate=accumulate)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (np.array([[1, "a"]], object), "object"),
        (None, "object"),
        ([["a", "b"]], "<U1"),
        (np.zeros((1, 4), "M8[s]"), "datetime64[s]"),
        (np.zeros((1, 4), ml_dtypes.float8_e8m0fnu), "float8_e8m0fnu"),
        (np.zeros((1, 4), "f4, f4"), "[('f0', '<f4'), ('f1', '<f4')]"),
    ],
)
@pytest.mark.parametrize("name", ["x", "w", "bias"])
def test_dtypes_that_cannot_be_convolved(name: str, value: Any, shown: str) -> None:
    if name == "bias" and value is None:
        pytest.skip("no bias is fine")
    arguments = {"x": ones(1, 4), "w": ones(1, 1, 2), "bias": None, name: value}
    message = f"conv: `{name}` has dtype {shown}, which can't be convolved; {SUPPORTED}"
    with refused(DtypeError, message):
        conv(**arguments)


WIDER = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps


@pytest.mark.skipif(not WIDER, reason="longdouble is float64 on this machine")
@pytest.mark.parametrize("backend", ["naive", "numpy"])
def test_longdouble_is_summed_in_itself(backend: str) -> None:
    x, w = np.array([[2, -2]], "longdouble"), np.ones((1, 1, 2), "longdouble")
    w[0, 0, 0] = 1 + np.longdouble(2) ** -60
    y = conv(x, w, backend=backend)
    np.testing.assert_array_equal(y, np.array([[2]], "longdouble") ** -59, strict=True)


@pytest.mark.numba
@pytest.mark.skipif(not WIDER, reason="longdouble is float64 on this machine")
def test_longdouble_in_numba() -> None:
    wide = np.dtype("longdouble")
    message = f"conv: the back end 'numba' can't sum in {wide}; use 'numpy'"
    with refused(DtypeError, message):
        conv(np.ones((1, 4), wide), ones(1, 1, 2), backend="numba")


def test_no_common_dtype() -> None:
    message = "conv: `x` (bfloat16) and `w` (float16) have no common dtype; convert one of them"
    with refused(DtypeError, message):
        conv(ones(1, 4, dtype="bfloat16"), ones(1, 1, 2, dtype="float16"))
    message = (
        "conv_weight_grad: `x` (bfloat16) and `dy` (int64) have no common dtype; "
        "convert one of them"
    )
    with refused(DtypeError, message):
        conv_weight_grad(ones(1, 4, dtype="bfloat16"), ones(1, 3, dtype="int64"), (2,))


def test_not_an_array() -> None:
    class Refusing:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise RuntimeError("still on the GPU")

    message = (
        "conv: `x` (Refusing) can't be read as an array: still on the GPU; "
        "pass a NumPy array of numbers"
    )
    with refused(DtypeError, message):
        conv(Refusing(), ones(1, 1, 2))
    with pytest.raises(DtypeError, match=r"^conv: `w` \(list\) can't be read as an array: "):
        conv(ones(1, 4), [[[1, 2]], [[1]]])


@pytest.mark.parametrize("value", ["nonsense", 3, {"a": 1}, [[[1]]], object()])
def test_what_names_no_dtype(value: Any) -> None:
    assert named_dtype(value) is None
    assert named_dtype("f4") == np.float32
