"""Problems of integers: one right output whatever the order, and every slip of an index shows."""

from typing import Any

import ml_dtypes
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import refused
from strategies import Problem, problems

from convref import (
    DtypeError,
    ShapeError,
    WordError,
    conv,
    conv_input_grad,
    conv_transpose,
    conv_vjp,
    conv_weight_grad,
)
from convref.verify.integers import IntegerProblem, integer_problem

Array = np.ndarray[Any, Any]
KINDS = ("forward", "transpose", "input_grad", "weight_grad", "bias_grad")
FLOATS = ("float16", "bfloat16", "float32", "float64")
DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
X, W = (2, 6, 11, 9), (8, 3, 3, 2)
WORDS: dict[str, Any] = {"groups": 2, "stride": (2, 1), "padding": "same"}


def drawn(kind: str, **settings: Any) -> IntegerProblem:
    x = (2, 8, 6, 9) if kind == "transpose" else X
    return integer_problem(x, W, kind=kind, **WORDS, **settings)


def computed(p: IntegerProblem, **how: Any) -> Array:
    if p.kind == "forward":
        return conv(p.x, p.w, p.bias, **WORDS, **how)
    if p.kind == "transpose":
        return conv_transpose(p.x, p.w, p.bias, **WORDS, **how)
    if p.kind == "input_grad":
        return conv_input_grad(p.x, p.w, X[2:], **WORDS, **how)
    if p.kind == "weight_grad":
        return conv_weight_grad(p.x, p.w, W[2:], **WORDS, **how)
    x = np.zeros(X, p.x.dtype)
    return conv_vjp(x, p.w, p.x, **WORDS, **how)[2]


def magnitude(p: IntegerProblem) -> int:
    """The largest sum of moduli: no partial sum of any order is larger."""
    moduli = (None if a is None else abs(a.astype(np.int64)) for a in (p.x, p.w, p.bias))
    x, w, bias = moduli
    other = IntegerProblem(p.kind, x, w, bias, p.expected, p.accumulate, p.words)
    return int(computed(other, backend="naive").max())


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "uint8", "int64", "bool"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_order_of_summation_is_exact(kind: str, dtype: str) -> None:
    p = drawn(kind, dtype=dtype, bias=kind in ("forward", "transpose"))
    assert p.x.dtype == p.w.dtype == np.dtype(dtype)
    largest = 2 ** DIGITS[dtype] if dtype in DIGITS else 2**63 - 1
    assert 0 < magnitude(p) <= largest
    if dtype in DIGITS:
        report = p.check(computed(p))
        assert (report.verdict, report.dtype) == ("exact", dtype)
        assert report.bound_used == 0
        np.testing.assert_array_equal(computed(p), p.expected, strict=True)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool"])
def test_integers_are_expected_in_the_dtype_of_sums(dtype: str) -> None:
    p = drawn("forward", dtype=dtype, accumulate="int32", bias=True)
    assert p.expected.dtype == np.int32
    wide = IntegerProblem(
        p.kind, p.x.astype(int), p.w.astype(int), p.bias.astype(int), p.expected, "int64", p.words
    )
    assert p.check(computed(wide)).verdict == "exact"


@pytest.mark.parametrize("accumulate", ["float16", "bfloat16"])
def test_sums_in_a_narrower_format(accumulate: str) -> None:
    """Term by term in that format, forwards and backwards: with zeros among x where need be."""
    format_ = np.dtype(accumulate)
    p = integer_problem((1, 200, 6), (2, 200, 3), accumulate=accumulate)
    assert p.accumulate == accumulate
    assert abs(p.x).max() > 0
    assert p.x.dtype == np.float32
    assert (p.x == 0).any() == (accumulate == "bfloat16")  # 600 terms are more than 256
    for step in (1, -1):
        y = np.zeros(p.expected.shape, format_)
        for k, o in np.ndindex(2, 4):
            total = format_.type(0)
            for term in (p.x[0, :, o : o + 3] * p.w[k]).ravel()[::step]:
                total = format_.type(total + format_.type(term))
            y[0, k, o] = total
        assert p.check(y).verdict == "exact"


@given(p=problems(), kind=st.sampled_from(KINDS[:1] + KINDS[2:]), seed=st.integers(0, 99))
def test_what_is_expected(p: Problem, kind: str, seed: int) -> None:
    """Of any geometry, by the oracle."""
    shapes = p.x.shape, p.w.shape
    q = integer_problem(*shapes, kind=kind, dtype="float64", seed=seed, **p.words)
    x, w = q.x.astype(np.int64), q.w.astype(np.int64)
    expected = {
        "forward": lambda: oracles.forward(x, w, **p.words),
        "input_grad": lambda: oracles.input_grad(x, w, p.input_size, **p.words),
        "weight_grad": lambda: oracles.weight_grad(x, w, p.kernel, **p.words),
        "bias_grad": lambda: np.asarray(
            p.channels_first(x).sum((*range(len(p.batch)), *range(-p.rank, 0)))
        ),
    }[kind]()
    np.testing.assert_array_equal(q.expected, expected)
    assert q.check(expected).verdict == "exact"


@given(p=problems(spread_out=False), seed=st.integers(0, 99))
def test_no_sum_is_too_large(p: Problem, seed: int) -> None:
    """Padding that repeats positions gives their gradients more terms."""
    q = integer_problem(
        p.x.shape, p.w.shape, kind="input_grad", dtype="float16", seed=seed, **p.words
    )
    x, w = (abs(array.astype(np.int64)) for array in (q.x, q.w))
    assert oracles.input_grad(x, w, p.input_size, **p.words).max(initial=0) <= 2**11


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_off_by_one_is_wrong(kind: str, dtype: str) -> None:
    p = drawn(kind, dtype=dtype)
    spoilt = p.expected.copy()
    spoilt.flat[-1] += 1
    report = p.check(spoilt)
    assert report.verdict == "wrong"
    assert report.diagnosis[0].name == "element"
    assert report.worst == tuple(size - 1 for size in p.expected.shape)


def test_a_fraction_or_nan_is_wrong() -> None:
    p = drawn("forward", dtype="float64")
    for value in (p.expected.flat[0] + 1e-7, np.nan, np.inf):
        spoilt = p.expected.copy()
        spoilt.flat[0] = value
        assert p.check(spoilt).verdict == "wrong"


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_slips_are_named(dtype: str) -> None:
    p = drawn("forward", dtype=dtype, bias=True)
    x, w, b = p.x, p.w, p.bias
    less = w.copy()
    less[..., 2, 1] = 0
    shuffled = w.reshape(2, 4, 3, 3, 2).swapaxes(0, 1).reshape(w.shape)
    for output, name in (
        (conv(x, w[..., ::-1, ::-1], b, **WORDS), "kernel-flipped"),
        (conv(x, w, b, **{**WORDS, "padding": "same_lower"}), "same-side"),
        (conv(x, w, **WORDS), "bias-missing"),
        (conv(x, w, 2 * b, **WORDS), "bias-doubled"),
        (conv(x, less, b, **WORDS), "tap-missing"),
        (2 * p.expected, "accumulated-twice"),
        (conv(x, shuffled, b, **WORDS), "group-order"),
    ):
        report = p.check(output)
        assert report.verdict == "wrong"
        assert report.diagnosis, name
        assert report.diagnosis[0].name == name


def test_another_shape() -> None:
    p = drawn("forward")
    other = conv(p.x, p.w, **{**WORDS, "stride": 1})
    report = p.check(other)
    assert report.verdict == "wrong"
    assert [finding.name for finding in report.diagnosis] == ["shape", "stride"]
    for kind in KINDS[1:]:
        p = drawn(kind)
        report = p.check(p.expected[..., :-1])
        assert report.verdict == "wrong"
        shape = p.expected.shape
        text = f"the output has the shape {(*shape[:-1], shape[-1] - 1)}, not {shape}"
        assert [(finding.name, finding.text) for finding in report.diagnosis] == [("shape", text)]


def test_the_seed_decides() -> None:
    first, again, other = (drawn("forward", seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.w, again.w)
    assert (first.w != other.w).any()


def test_an_output_size_of_a_transposed_convolution() -> None:
    p = integer_problem((1, 2, 4), (2, 3, 2), kind="transpose", stride=3, output_size=12)
    assert p.expected.shape == (1, 3, 12)
    assert p.check(conv_transpose(p.x, p.w, stride=3, output_size=12)).verdict == "exact"


def test_channels_last() -> None:
    p = integer_problem((2, 9, 7, 4), (5, 4, 3, 3), layout="channels_last", padding=1, bias=True)
    y = conv(p.x, p.w, p.bias, layout="channels_last", padding=1)
    assert y.shape == p.expected.shape == (2, 9, 7, 5)
    assert p.check(y).verdict == "exact"


def test_messages() -> None:
    shapes = (1, 4, 8), (2, 4, 3)
    mend = "use float16, bfloat16 (of ml_dtypes), float32, float64 or an integer dtype"
    for dtype in ("complex64", "longdouble", "nothing"):
        message = f"integer_problem: `dtype` (={dtype!r}) is not one of real numbers; {mend}"
        if np.dtype(np.longdouble).itemsize == 8 and dtype == "longdouble":
            continue
        with refused(DtypeError, message):
            integer_problem(*shapes, dtype=dtype)
    with refused(WordError, "integer_problem: `seed` (=-1) must be at least 0; use 0 or more"):
        integer_problem(*shapes, seed=-1)
    with refused(
        WordError, "integer_problem: `kind` (='forward') has no `output_size`; leave it out"
    ):
        integer_problem(*shapes, output_size=3)
    with refused(WordError, "integer_problem: `kind` (='weight_grad') has no `bias`; leave it out"):
        integer_problem(*shapes, kind="weight_grad", bias=True)
    with refused(
        ShapeError,
        "integer_problem: `w` (shape (2, 3, 3)) takes 3 input channels in `groups` (=1), and `x` "
        "(shape (1, 4, 8)) has 4; use weights of shape (2, 4, 3)",
    ):
        integer_problem((1, 4, 8), (2, 3, 3))
    with refused(
        DtypeError,
        "IntegerProblem.check: `output` has dtype <U1, which can't be convolved; use one of "
        "float16, bfloat16, float32, float64, complex64, complex128, integers and booleans",
    ):
        integer_problem(*shapes).check("a")


def test_bfloat16_is_that_of_ml_dtypes() -> None:
    assert integer_problem((1, 2, 5), (1, 2, 2), dtype=ml_dtypes.bfloat16).x.dtype == "bfloat16"
