"""The back end `exact` against fractions: every element rounded once, whatever the data."""

from fractions import Fraction
from math import fsum, ldexp
from typing import Any

import ml_dtypes
import numpy as np
import oracles
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from messages import refused
from strategies import Problem, problems

import convref
from convref import (
    DtypeError,
    conv,
    conv_input_grad,
    conv_transpose,
    conv_vjp,
    conv_weight_grad,
    verify,
)
from convref.kernels import exact

Array = np.ndarray[Any, Any]
DTYPES = ("float8_e5m2", "float16", "bfloat16", "float32", "float64")
SEEDS = st.integers(0, 2**32 - 1)
FORMS = {"float16": (11, -24), "bfloat16": (8, -133), "float32": (24, -149), "float64": (53, -1074)}
FORMS |= {"float8_e4m3fn": (4, -9), "float8_e5m2": (3, -16)}
"""Bits of the significand, and the exponent of the smallest number."""


def nearest(value: Fraction, dtype: str) -> float:
    """A fraction rounded to nearest, ties to even, by integers."""
    precision, least = FORMS[dtype]
    if not value:
        return 0.0
    high = abs(value.numerator).bit_length() - value.denominator.bit_length()
    high += abs(value) >= Fraction(2) ** high  # now it is below 2**high
    last = max(high - precision, least)
    whole = round(value / Fraction(2) ** last)
    try:
        rounded = ldexp(whole, last)
    except OverflowError:
        rounded = np.copysign(np.inf, whole)
    return rounded if abs(rounded) <= float(ml_dtypes.finfo(dtype).max) else rounded * np.inf


def all_nearest(values: Array, dtype: str) -> Array:
    flat = [nearest(value, dtype) for value in values.ravel()]
    return np.array(flat, np.float64).reshape(values.shape)


def fractions(array: Array) -> Array:
    """The same numbers, to compute with in the oracle without any error."""
    flat = [Fraction(float(value)) for value in array.ravel()]
    return np.array([*flat, None], object)[:-1].reshape(array.shape)


def same(actual: Array, true: Array, dtype: str) -> None:
    assert actual.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(actual.astype(np.float64), all_nearest(true, dtype))


def wild(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Few different numbers, of both signs, so that sums cancel, and some zeros.

    Their exponents span 3 bits, 30, those of all large and small numbers, or subnormals, too.
    """
    precision, least = FORMS[dtype]
    largest = float(ml_dtypes.finfo(dtype).max)
    most = int(np.frexp(largest)[1])
    low, high = [(-1, 2), (-15, 15), (-most, most), (least, most)][rng.integers(4)]
    pool = np.ldexp(rng.random(6) + 0.5, rng.integers(low, high, 6))
    pool *= rng.choice([1.0, 1.0, 2.0**-precision, 0.0], 6)
    values = rng.choice(pool, shape) * rng.choice([-1.0, 1.0], shape)
    return np.clip(values, -largest, largest).astype(dtype)


def wild_problem(p: Problem, seed: int, dtype: str) -> tuple[Array, Array, Array, Array]:
    rng = np.random.default_rng(seed)
    x, w, dy = (wild(rng, array.shape, dtype) for array in (p.x, p.w, p.dy))
    return x, w, dy, wild(rng, (len(p.w),), dtype)


def summed(p: Problem, dy: Array) -> Array:
    """The gradient of a bias."""
    axes = (*range(len(p.batch)), *range(-p.rank, 0))
    return np.asarray(p.channels_first(dy).sum(axes, initial=Fraction(0)), object)


@pytest.mark.parametrize("dtype", DTYPES)
@given(p=problems(), seed=SEEDS)
def test_forward(dtype: str, p: Problem, seed: int) -> None:
    x, w, _, bias = wild_problem(p, seed, dtype)
    true = oracles.forward(*map(fractions, (x, w, bias)), **p.words)
    same(conv(x, w, bias, backend="exact", **p.words), true, dtype)
    same(
        conv(x, w, backend="exact", **p.words),
        oracles.forward(*map(fractions, (x, w)), **p.words),
        dtype,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@given(p=problems(), seed=SEEDS)
def test_gradients(dtype: str, p: Problem, seed: int) -> None:
    x, w, dy, _ = wild_problem(p, seed, dtype)
    dx, dw, db = conv_vjp(x, w, dy, backend="exact", **p.words)
    a, b, c = map(fractions, (x, w, dy))
    same(dx, oracles.input_grad(c, b, p.input_size, **p.words), dtype)
    same(dw, oracles.weight_grad(a, c, p.kernel, **p.words), dtype)
    same(db, summed(p, c), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@given(p=problems(modes=("zeros",), spread_out=False), seed=SEEDS)
def test_transposed(dtype: str, p: Problem, seed: int) -> None:
    _, w, dy, _ = wild_problem(p, seed, dtype)
    bias = wild(np.random.default_rng(seed), (p.channels,), dtype)
    assume(min(p.input_size) > 0)
    words = {**p.without("padding_mode", "input_dilation"), "output_size": p.input_size}
    try:
        y = conv_transpose(dy, w, bias, backend="exact", **words)
    except convref.ShapeError:  # what the padding hides has no size of its own
        assume(False)
    true = oracles.input_grad(*map(fractions, (dy, w)), p.input_size, **p.words)
    true = p.in_layout(p.channels_first(true) + fractions(bias).reshape(-1, *[1] * p.rank))
    same(y, true, dtype)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@given(p=problems(), seed=SEEDS)
def test_complex_numbers_part_by_part(dtype: str, p: Problem, seed: int) -> None:
    real = {"complex64": "float32", "complex128": "float64"}[dtype]
    a, b = (wild_problem(p, seed + part, real) for part in (0, 1))
    x, w, dy, bias = (re + np.array(1j, dtype) * im for re, im in zip(a, b, strict=True))
    (xr, wr, gr, br), (xi, wi, gi, bi) = (tuple(map(fractions, each)) for each in (a, b))
    words, cell = p.words, p.input_size

    def check(actual: Array, real_part: Array, imaginary_part: Array) -> None:
        assert actual.dtype == dtype
        same(actual.real, real_part, real)
        same(actual.imag, imaginary_part, real)

    def forward(x: Array, w: Array, bias: Array | None = None) -> Array:
        return oracles.forward(x, w, bias, **words)

    y = conv(x, w, bias, backend="exact", **words)
    dx, dw, db = conv_vjp(x, w, dy, backend="exact", **words)
    check(y, forward(xr, wr, br) - forward(xi, wi), forward(xr, wi, bi) + forward(xi, wr))
    check(
        dx,
        oracles.input_grad(gr, wr, cell, **words) - oracles.input_grad(gi, wi, cell, **words),
        oracles.input_grad(gr, wi, cell, **words) + oracles.input_grad(gi, wr, cell, **words),
    )
    check(
        dw,
        oracles.weight_grad(xr, gr, p.kernel, **words)
        - oracles.weight_grad(xi, gi, p.kernel, **words),
        oracles.weight_grad(xr, gi, p.kernel, **words)
        + oracles.weight_grad(xi, gr, p.kernel, **words),
    )
    check(db, summed(p, gr), summed(p, gi))


@given(seed=SEEDS)
def test_sums_of_exact_products_are_those_of_fsum(seed: int) -> None:
    """Of numbers of float32 the products are exact in float64."""
    rng = np.random.default_rng(seed)
    x, w = (rng.standard_normal(300).astype(np.float32) for _ in range(2))
    x *= 2.0 ** rng.integers(-60, 60, 300)
    x[150:], w[150:] = x[:150], -w[:150] * (1 + (rng.random(150) < 0.1) * 2.0**-20)
    x, w = x.astype(np.float64), w.astype(np.float64)
    assert conv(x[None], w[None, None], backend="exact").item() == fsum(x * w)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sign", [1, -1])
def test_ties_and_what_breaks_them(dtype: str, sign: int) -> None:
    """Halfway between 1 and its neighbour, and off by a term that no format holds beside 1."""
    u = 2.0 ** -FORMS[dtype][0]
    tiny, one = 2.0 ** max(FORMS[dtype][1], -120), np.ones((1, 1, 3), dtype)
    for last, crumb, expected in (
        (u, 0, 1), (u, tiny, 1 + 2 * u), (u, -tiny, 1),
        (3 * u, 0, 1 + 4 * u), (3 * u, tiny, 1 + 4 * u), (3 * u, -tiny, 1 + 2 * u),
    ):  # fmt: skip
        terms = sign * np.array([1, last, crumb])
        for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
            y = conv(terms[order][None].astype(dtype), one, backend="exact")
            assert float(y.item()) == sign * expected
        for first, second, bias in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
            x = terms[[first, second]][None].astype(dtype)
            y = conv(x, one[..., :2], terms[[bias]].astype(dtype), backend="exact")
            assert float(y.item()) == sign * expected


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([448, 15, 1], 448),  # halfway to 480, which stands for NaN
        ([448, 15, 1 + 2.0**-3], np.nan),
        ([-448, -448, 448], -448),
        ([-448, -448, 416], np.nan),
        ([1, 2.0**-4, 2.0**-9], 1.125),
        ([2.0**-9, 2.0**-9, -(2.0**-9)], 2.0**-9),
    ],
)
def test_float8_e4m3fn_ends_at_448(terms: list[float], expected: float) -> None:
    one = np.ones((1, 1, 3), "float8_e4m3fn")
    y = conv(np.array([terms]).astype("float8_e4m3fn"), one, backend="exact")
    np.testing.assert_array_equal(float(y.item()), expected)


def test_narrow_formats_are_rounded_once() -> None:
    """In float32, which sums of float16 are otherwise taken in, the last term would be lost."""
    terms = np.array([[1, 2.0**-11, 2.0**-24 * 0.75]])
    x = np.array([[1, 2.0**-11, 2.0**-12]], np.float16)
    w = np.array([[[1, 1, 2.0**-13]]], np.float16)
    assert float((x * w.astype(float)).sum()) == 1 + 2.0**-11 + 2.0**-25 != terms.sum()
    assert conv(x, w, backend="numpy").item() == 1
    assert conv(x, w, backend="exact").item() == 1 + 2.0**-10
    assert conv(x, w, accumulate="float64", backend="exact").item() == 1 + 2.0**-10


def test_the_bias_is_not_rounded_before_the_sum() -> None:
    x, w = np.array([[1.0]], np.float32), np.ones((1, 1, 1), np.float32)
    bias = np.array([2.0**-24 + 2.0**-50])
    assert conv(x, w, bias, backend="numpy").item() == 1
    assert conv(x, w, bias, backend="exact").item() == 1 + 2.0**-23


@pytest.mark.parametrize("dtype", DTYPES)
def test_overflow_only_of_the_sum(dtype: str) -> None:
    largest = float(ml_dtypes.finfo(dtype).max)
    half = 2.0 ** (int(np.frexp(largest)[1]) - FORMS[dtype][0] - 1)  # of the last place
    for terms, expected in (
        ([largest, largest, -largest], largest),
        ([largest, half, 0], np.inf),
        ([largest, half, -float(ml_dtypes.finfo(dtype).smallest_subnormal)], largest),
        ([-largest, -half, -half], -np.inf),
    ):
        y = conv(np.array([terms]).astype(dtype), np.ones((1, 1, 3), dtype), backend="exact")
        assert float(y.item()) == expected
    x = np.array([[largest, largest, 1]]).astype(dtype)
    w = np.array([[[largest, -largest, 1]]]).astype(dtype)
    assert conv(x, w, backend="exact").item() == 1


def test_underflow_keeps_the_sign() -> None:
    y = conv([[-1e-200, 1e-200]], [[[1e-200]]], backend="exact")
    np.testing.assert_array_equal(np.copysign(1, y), [[-1, 1]])
    cancelled = conv([[-1e-200, 1e-200]], [[[1e-200, 1e-200]]], backend="exact")
    assert np.copysign(1, cancelled.item()) == 1


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
def test_bits_do_not_depend_on_order(
    dtype: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of channels, taps, batch items and positions; nor on how these are cut into blocks."""
    x = rng.standard_normal((2, 60, 11, 13)).astype(dtype)
    w = rng.standard_normal((4, 60, 3, 3)).astype(dtype)
    order, words = rng.permutation(60), {"padding": 1, "backend": "exact"}
    y = conv(x, w, **words)
    dx, dw, _ = conv_vjp(x, w, y, **words)
    np.testing.assert_array_equal(y, conv(x[:, order], w[:, order], **words))
    turned = conv(x[..., ::-1, ::-1], w[..., ::-1, ::-1], **words)[..., ::-1, ::-1]
    np.testing.assert_array_equal(y, turned)
    np.testing.assert_array_equal(dw, conv_weight_grad(x[::-1], y[::-1], (3, 3), **words))
    order = rng.permutation(4)
    np.testing.assert_array_equal(dx, conv_input_grad(y[:, order], w[order], (11, 13), **words))
    last = conv(np.moveaxis(x, 1, -1), w, layout="channels_last", **words)
    np.testing.assert_array_equal(y, np.moveaxis(last, -1, 1))
    monkeypatch.setattr(exact, "BLOCK", 2**16)
    np.testing.assert_array_equal(y, conv(x, w, **words))
    for whole, cut in zip((dx, dw), conv_vjp(x, w, y, **words)[:2], strict=True):
        np.testing.assert_array_equal(whole, cut)


def test_infinities_of_a_bias_and_of_large_numbers() -> None:
    x, w = np.full((1, 2), 1e300), np.full((2, 1, 1), 1e300)
    y = conv(x, w, [np.inf, np.nan], backend="exact")
    np.testing.assert_array_equal(y, [[np.inf, np.inf], [np.nan, np.nan]])
    y = conv(x, w, [-np.inf, 0], backend="exact")  # the finite products do not reach infinity
    np.testing.assert_array_equal(y, [[-np.inf, -np.inf], [np.inf, np.inf]])
    z = conv(np.array([[np.inf + 1j]]), np.array([[[2 - 1j]]]), backend="exact").item()
    assert (z.real, z.imag) == (np.inf, -np.inf)


def test_longdouble_is_refused() -> None:
    if np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("long double is float64 here")
    message = f"conv: the back end 'exact' can't sum in {np.dtype(np.longdouble)}; use 'numpy'"
    with refused(DtypeError, message):
        conv(np.ones((1, 2), np.longdouble), np.ones((1, 1, 1)), backend="exact")


# What `verify` calls exact.


def verdict(terms: list[float], output: float, dtype: str, bias: float | None = None) -> str:
    x, w = np.array([terms]).astype(dtype), np.ones((1, 1, len(terms)), dtype)
    added = None if bias is None else np.array([bias])
    return verify(np.array([[output]]).astype(dtype), x, w, added).verdict


def test_exact_is_the_correctly_rounded_result_even_near_a_tie() -> None:
    """Nearer to a tie than float64 tells, and on it."""
    above = 1 + 2.0**-23
    assert verdict([1, 2.0**-24, 2.0**-80], above, "float32") == "exact"
    assert verdict([1, 2.0**-24, 2.0**-80], 1, "float32") == "within bound"
    assert verdict([1, 2.0**-24], 1, "float32") == "exact"
    assert verdict([1, 2.0**-24], above, "float32") == "within bound"
    assert verdict([1, 2.0**-24], above, "float32", bias=2.0**-80) == "exact"


def test_exact_in_float64() -> None:
    """Below a power of 2 numbers lie half as far apart as above it."""
    below = 1 - 2.0**-53
    assert verdict([1, -0.4 * 2.0**-53], 1, "float64") == "exact"
    assert verdict([1, -0.4 * 2.0**-53], below, "float64") == "within bound"
    assert verdict([1, 2.0**-53, 2.0**-150], 1 + 2.0**-52, "float64") == "exact"
    assert verdict([1, 2.0**-53, 2.0**-150], 1, "float64") == "within bound"


def test_exact_where_numbers_overflow() -> None:
    largest = float(np.finfo(np.float32).max)
    assert verdict([largest, 2.0**103], np.inf, "float32") == "exact"
    assert verdict([largest, 2.0**103], largest, "float32") == "within bound"
    assert verdict([largest, 2.0**103, -1], largest, "float32") == "exact"
    assert verdict([largest, 2.0**103, -1], np.inf, "float32") == "within bound"


@pytest.mark.parametrize("dtype", [*DTYPES, "complex64", "complex128", "int32"])
def test_what_the_back_end_gives_is_exact(dtype: str, rng: np.random.Generator) -> None:
    def draw(*shape: int) -> Array:
        return (9 * rng.standard_normal(shape)).astype(dtype)

    x, w, bias = draw(2, 4, 9, 8), draw(6, 2, 3, 2), draw(6)
    words: dict[str, Any] = {"stride": (2, 1), "padding": "same", "groups": 2}
    y = conv(x, w, bias, backend="exact", **words)
    assert verify(y, x, w, bias, **words).verdict == "exact"
    dy = draw(*y.shape)
    dx, dw, db = conv_vjp(x, w, dy, backend="exact", **words)
    up = conv_transpose(dy, w, output_size=(9, 8), backend="exact", **words)
    for output, kind, a, b in (
        (dx, "input_grad", dy, w),
        (up, "transpose", dy, w),
        (dw, "weight_grad", x, dy),
        (db, "bias_grad", dy, w),
    ):
        assert verify(output, a, b, kind=kind, **words).verdict == "exact"


def test_a_format_narrower_than_the_operands() -> None:
    """Operands of float32, the result stored as float16: rounded once, and not through float32."""
    x, w = np.array([[1, 2.0**-11, 2.0**-80]], np.float32), np.ones((1, 1, 3), np.float32)
    for output, expected in ((1 + 2.0**-10, "exact"), (1, "within bound")):
        assert verify(np.array([[output]], np.float16), x, w).verdict == expected
