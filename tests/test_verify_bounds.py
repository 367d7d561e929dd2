"""The rounding bound: never broken by honest arithmetic, broken by a single mistake."""

from fractions import Fraction

import numpy as np
import pytest

from convref.verify.bounds import FORMATS, gamma, overflow, rounding_bound, summing_bound, ulp

FLOATS = ("float16", "float32", "float64")


@pytest.mark.parametrize("terms", [1, 2, 10, 1000])
@pytest.mark.parametrize("precision", [8, 11, 24])
def test_gamma_is_its_formula(terms, precision):
    u = Fraction(1, 2**precision)
    if terms * u >= 1:
        assert gamma(terms, float(u)) == np.inf
    else:
        assert gamma(terms, float(u)) == float(terms * u / (1 - terms * u))


def summed_in_order(products, dtype):
    total = dtype(0)
    for product in products:
        total = dtype(total + product)
    return total


def summed_pairwise(products, dtype):
    while len(products) > 1:
        odd = products[len(products) & ~1 :]
        products = np.concatenate([products[:-1:2] + products[1::2], odd]).astype(dtype)
    return products[0]


def summed_in_blocks(products, dtype, block=16):
    return summed_in_order(
        [summed_in_order(products[i : i + block], dtype) for i in range(0, len(products), block)],
        dtype,
    )


def fused(x, w):
    """Products of float32 are exact in float64, so one rounding a term is left."""
    total = np.float32(0)
    for a, b in zip(x.astype(np.float64), w.astype(np.float64), strict=True):
        total = np.float32(total + a * b)
    return total


@pytest.mark.parametrize("terms", [1, 2, 9, 100, 3000])
@pytest.mark.parametrize("offset", [0.0, 3.0], ids=["centred", "one-sided"])
def test_honest_sums_stay_within_the_bound(terms, offset):
    random = np.random.default_rng(terms)
    x, w = (random.standard_normal((2, terms)) + offset).astype(np.float32)
    true = (x.astype(np.float64) * w).sum()
    magnitude = np.array(abs(x.astype(np.float64) * w).sum())
    bound = summing_bound(magnitude, terms, "float32")
    shuffled = random.permutation(x * w)
    for total in (
        summed_in_order(x * w, np.float32),
        summed_in_order(shuffled, np.float32),
        summed_in_order(np.sort(x * w), np.float32),
        summed_pairwise(x * w, np.float32),
        summed_in_blocks(shuffled, np.float32),
        fused(x, w),
    ):
        assert abs(total - true) <= bound


@pytest.mark.parametrize("terms", [2, 9, 100, 3000])
def test_one_mistaken_term_breaks_the_bound(terms):
    """Dropped, doubled, or with a neighbour's weight: the least visible term that is not tiny."""
    random = np.random.default_rng(terms)
    x, w = random.standard_normal((2, terms)).astype(np.float32)
    products = x.astype(np.float64) * w
    bound = summing_bound(np.array(abs(products).sum()), terms, "float32")
    middling = np.argsort(abs(products))[terms // 2]
    for wrong in (
        products.sum() - products[middling],
        products.sum() + products[middling],
        products.sum() + float(x[middling]) * (float(w[middling - 1]) - float(w[middling])),
    ):
        assert abs(np.float32(wrong) - products.sum()) > bound


def test_products_that_underflow_are_honest():
    tiny = np.float32(1e-30)
    products = np.full(50, tiny) * np.full(50, tiny)  # 1e-60 rounds to 0
    magnitude = np.array(50 * 1e-60)
    bound = summing_bound(magnitude, 50, "float32")
    assert products.sum() == 0
    assert magnitude <= bound


def test_nothing_is_allowed_where_nothing_is_summed():
    none, ones = np.zeros(3), np.ones(3)
    assert rounding_bound(none, none, 9, "float32", "float16").tolist() == [0, 0, 0]
    assert rounding_bound(ones, ones, 9, "int64", "int64").tolist() == [0, 0, 0]


def test_storing_narrower_adds_one_rounding():
    one = np.array(1.0)
    wide = rounding_bound(one, one, 4, "float32", "float32")
    narrow = rounding_bound(one, one, 4, "float32", "float16")
    assert narrow == wide + 2.0**-11 * (1 + wide)
    assert rounding_bound(one, one, 4, "int64", "float32") == 2.0**-24


def test_storing_rounds_what_is_left_after_cancellation():
    """Terms as large as 1000 that sum to 1 are stored with an error of 1's size."""
    one, magnitude = np.array(1.0), np.array(1000.0)
    wide = summing_bound(magnitude, 4, "float32")
    narrow = rounding_bound(one, magnitude, 4, "float32", "float16")
    assert narrow == wide + 2.0**-11 * (1 + wide)


def test_complex_products_are_allowed_their_four_roundings():
    random = np.random.default_rng(5)
    x, w = (random.standard_normal((2, 200, 2)) @ [1, 1j]).astype(np.complex64)
    true = (x.astype(np.complex128) * w).sum()
    magnitude = np.array(abs(x.astype(np.complex128) * w).sum())
    total = summed_in_order(x * w, np.complex64)
    assert abs(total - true) <= summing_bound(magnitude, 200, "complex64")


@pytest.mark.parametrize("dtype", FLOATS)
def test_formats_agree_with_numpy(dtype):
    known, form = np.finfo(dtype), FORMATS[dtype]
    assert form.unit_roundoff == known.eps / 2
    assert form.smallest == known.smallest_subnormal
    values = np.array([0, known.smallest_subnormal, known.tiny, 0.1, 1, 1.5, 1000], dtype)
    np.testing.assert_array_equal(ulp(values.astype(np.float64), dtype), np.spacing(values))


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_formats_agree_with_ml_dtypes(name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    known, form = ml_dtypes.finfo(name), FORMATS[name]
    assert form.unit_roundoff == float(known.eps) / 2
    assert form.smallest == float(known.smallest_subnormal)
    assert form.largest == float(known.max)
    edge = np.float32(overflow(name))
    if name == "float8_e4m3fn":  # whose largest number is even, so that the tie rounds down
        assert edge.astype(name) == form.largest
        edge = np.nextafter(edge, np.float32(np.inf))
    with np.errstate(over="ignore"):
        assert not np.isfinite(edge.astype(name).astype(np.float32))
        assert np.nextafter(np.float32(overflow(name)), np.float32(0)).astype(name) == form.largest


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_overflow_is_halfway_above_the_largest_number(dtype):
    edge = overflow(dtype)
    with np.errstate(over="ignore"):
        assert np.isinf(np.float64(edge).astype(dtype))
        assert np.isfinite(np.nextafter(edge, 0).astype(dtype))
    assert overflow("int64") == overflow("float64") == np.inf
