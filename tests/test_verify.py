"""Verdicts: what is legitimate passes, one mistake does not, for every operator and dtype."""

import json

import numpy as np
import pytest
from messages import refused

import convref
from convref import ShapeError, WordError, verify

DTYPES = ("float16", "float32", "float64", "complex64", "complex128", "int64")


def draw(dtype, *shape, seed=0):
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        return (values + 1j * random.standard_normal(shape)).astype(dtype)
    return (values * 9).astype(dtype)


def computed(kind, dtype, words):
    """An output of each kind, with its operands as `verify` takes them."""
    x, w = draw(dtype, 2, 4, 7, 6, seed=1), draw(dtype, 6, 2, 3, 2, seed=2)
    y = convref.conv(x, w, **words)
    dy = draw(dtype, *y.shape, seed=3)
    if kind == "forward":
        return y, x, w
    if kind == "transpose":
        return convref.conv_transpose(dy, w, output_size=(7, 6), **words), dy, w
    dx, dw, db = convref.conv_vjp(x, w, dy, **words)
    return {
        "input_grad": (dx, dy, w),
        "weight_grad": (dw, x, dy),
        "bias_grad": (db, dy, w),
    }[kind]


KINDS = ("forward", "transpose", "input_grad", "weight_grad", "bias_grad")
WORDS = {"stride": (2, 1), "padding": "same", "groups": 2}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_convref_computes_is_legitimate(kind, dtype):
    output, x, w = computed(kind, dtype, WORDS)
    report = verify(output, x, w, kind=kind, **WORDS)
    assert report.ok
    assert report.bound_used <= 1
    assert report.elements == output.size
    if dtype == "int64":
        assert report.verdict == "exact"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_one_wrong_element_is_found(kind, dtype):
    output, x, w = computed(kind, dtype, WORDS)
    spoilt = output.copy()
    spoilt.flat[-1] += 1 + abs(spoilt.flat[-1])
    report = verify(spoilt, x, w, kind=kind, **WORDS)
    assert report.verdict == "wrong"
    assert not report.ok
    assert report.bound_used > 1
    assert report.worst == tuple(size - 1 for size in output.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_other_words_are_wrong(kind):
    output, x, w = computed(kind, "float32", WORDS)
    other = {**WORDS, "padding": "same_lower"}
    report = verify(output, x, w, kind=kind, **other)
    assert report.ok == (kind == "bias_grad")  # which no padding changes


def test_a_bias_is_one_more_term():
    x, w, bias = draw("float32", 1, 3, 8), draw("float32", 4, 3, 2), draw("float32", 4)
    y = convref.conv(x, w, bias)
    report = verify(y, x, w, bias)
    assert report.ok
    assert report.terms == 3 * 2 + 1
    assert verify(y, x, w).verdict == "wrong"
    last = np.moveaxis(x, 1, -1)
    assert verify(np.moveaxis(y, 1, -1), last, w, bias, layout="channels_last").ok


def test_rounding_once_is_exact_and_rounding_twice_within_bound():
    x, w = draw("float32", 1, 1, 50, seed=4), draw("float32", 1, 1, 9, seed=5)
    once = convref.conv(x.astype(np.float64), w.astype(np.float64)).astype(np.float32)
    assert verify(once, x, w).verdict == "exact"
    assert verify(np.nextafter(once, np.float32(np.inf)), x, w).verdict == "within bound"


def test_float64_is_judged_in_a_wider_format():
    """Twice the unit roundoff off is seen, where one product leaves no room."""
    x, w = np.full((1, 1, 1), 0.1), np.full((1, 1, 1), 0.1)
    assert verify(x * w, x, w).verdict == "exact"
    assert verify(x * w * (1 + 2.0**-51), x, w).verdict == "wrong"


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="no wider float here")
def test_the_wider_format_is_wider():
    """It shows the rounding of a single float64 product."""
    report = verify([[0.1 * 0.1]], [[0.1]], [[[0.1]]])
    assert report.verdict == "exact"
    assert 0 < report.ulp <= 0.5


def test_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x, w = (draw("float32", *shape).astype(ml_dtypes.bfloat16) for shape in ((2, 3, 9), (4, 3, 3)))
    y = convref.conv(x, w)
    report = verify(y, x, w)
    assert report.verdict == "exact"
    assert (report.dtype, report.accumulate) == ("bfloat16", "float32")
    coarse = (y.astype(np.float32) * 1.02).astype(ml_dtypes.bfloat16)
    assert verify(coarse, x, w).verdict == "wrong"
    assert verify(coarse, x, w, accumulate="bfloat16").ok


FLOAT8 = ("float8_e4m3fn", "float8_e5m2")


def in_8_bits(name: str, *shapes: tuple[int, ...], scale: float = 1.0):
    pytest.importorskip("ml_dtypes")
    return [(scale * draw("float32", *shape)).astype(name) for shape in shapes]


@pytest.mark.parametrize("name", FLOAT8)
def test_float8(name):
    """As operands of a result in float32, and as the format of the result."""
    x, w, bias = in_8_bits(name, (2, 3, 9), (4, 3, 3), (4,))
    wide = convref.conv(*(array.astype(np.float32) for array in (x, w, bias)))
    for y, dtype in ((wide, "float32"), (wide.astype(name), name)):
        report = verify(y, x, w, bias)
        assert (report.verdict, report.dtype, report.accumulate) == ("exact", dtype, "float32")
        spoilt = y.astype(np.float32)
        spoilt[1, 2, 3] *= 1.5
        assert verify(spoilt.astype(dtype), x, w, bias).verdict == "wrong"


@pytest.mark.parametrize("name", FLOAT8)
def test_a_mistake_in_float8(name):
    x, w = in_8_bits(name, (2, 5, 9, 9), (6, 5, 3, 3))
    report = verify(convref.conv(x, w[..., ::-1, ::-1]), x, w)
    assert [finding.name for finding in report.diagnosis] == ["kernel-flipped"]


@pytest.mark.parametrize("name", FLOAT8)
def test_float8_out_of_range(name):
    """The format's own way, and the largest number instead, are both legitimate; others are not."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    largest = float(ml_dtypes.finfo(name).max)
    x, w = in_8_bits(name, (2, 5, 30), (6, 5, 3), scale=largest**0.5 / 20)
    wide = convref.conv(x.astype(np.float32), w.astype(np.float32))
    beyond = abs(wide) > 1.1 * largest
    assert 0.01 < beyond.mean() < 0.9
    assert verify(wide.astype(name), x, w).verdict == "exact"
    saturated = wide.clip(-largest, largest).astype(name)
    assert verify(saturated, x, w).verdict == "within bound"
    assert (
        verify(np.where(beyond, -wide, wide).clip(-largest, largest).astype(name), x, w).verdict
        == "wrong"
    )
    lost = np.where(abs(wide) < largest / 2, np.nan, wide).astype(name)
    assert verify(lost, x, w).verdict == "wrong"


def test_float8_of_two_kinds():
    """As in training: weights of 4 digits, gradients of a wider range."""
    x, (dy,) = in_8_bits(FLOAT8[0], (2, 3, 9))[0], in_8_bits(FLOAT8[1], (2, 4, 7))
    dw = convref.conv_weight_grad(x.astype(np.float32), dy.astype(np.float32), (3,))
    assert verify(dw, x, dy, kind="weight_grad").verdict == "exact"


def test_sums_are_not_declared_in_float8():
    with refused(
        WordError,
        "verify: `accumulate` (='float8_e5m2') is not a dtype that sums are taken in; use one of "
        "float16, bfloat16, float32, float64, complex64, complex128, int32, int64",
    ):
        verify([[1.0]], [[1.0]], [[[1.0]]], accumulate="float8_e5m2")


def test_declared_accumulation_widens_the_bound():
    x, w = np.full((1, 1, 64), 0.1, np.float16), np.ones((1, 1, 64), np.float16)
    total = np.float16(0)
    for term in x.ravel():
        total = np.float16(total + term)
    output = total.reshape(1, 1, 1)
    assert verify(output, x, w).verdict == "wrong"
    assert verify(output, x, w, accumulate=np.float16).ok


def test_nan_and_infinity_must_stand_where_they_belong():
    x, w = draw("float32", 1, 2, 9), draw("float32", 3, 2, 2)
    x[0, 0, 4], x[0, 1, 7] = np.nan, np.inf
    y = convref.conv(x, w)
    assert verify(y, x, w).ok
    for position, value in ((0, np.nan), (3, 0.0), (7, -y[0, 0, 7])):
        spoilt = y.copy()
        spoilt[0, 0, position] = value
        assert verify(spoilt, x, w).verdict == "wrong"


def test_overflow_is_honest_only_in_reach():
    x, w = np.full((1, 1, 2), 300, np.float16), np.full((1, 1, 2), 200, np.float16)
    infinite = np.full((1, 1, 1), np.inf, np.float16)
    assert verify(infinite, x, w).ok
    assert verify(infinite, x / 4, w).verdict == "wrong"
    assert verify(-infinite, x, w).verdict == "wrong"


def test_a_wrong_shape_is_diagnosed():
    x, w = draw("float32", 1, 2, 9), draw("float32", 3, 2, 2)
    report = verify(convref.conv(x, w)[..., :-1], x, w)
    assert report.verdict == "wrong"
    assert [diagnosis.name for diagnosis in report.diagnosis] == ["shape"]
    assert report.diagnosis[0].text == (
        "the output has the shape (1, 3, 7); these words give (1, 3, 8)"
    )


def test_the_report_as_json():
    x, w = draw("float32", 1, 2, 9), draw("float32", 3, 2, 2)
    report = json.loads(verify(convref.conv(x, w), x, w).to_json())
    assert report["ok"] is True
    assert report["diagnosis"] == []
    nothing = np.zeros((1, 2, 9), np.float32)
    wrong = json.loads(verify(np.ones((1, 3, 8), np.float32), nothing, w).to_json())
    assert wrong["bound_used"] == "inf"
    assert wrong["verdict"] == "wrong"


def test_an_empty_batch_is_exact():
    assert verify(np.zeros((0, 3, 8)), np.zeros((0, 2, 9)), np.ones((3, 2, 2))).verdict == "exact"


def test_messages():
    x, w, y = np.ones((1, 2, 9)), np.ones((3, 2, 2)), np.ones((1, 3, 8))
    with pytest.raises(WordError) as error:
        verify(y, x, w, kind="backward")
    assert str(error.value) == (
        "verify: `kind` (='backward') is unknown; use one of forward, transpose, input_grad, "
        "weight_grad, bias_grad"
    )
    with pytest.raises(WordError) as error:
        verify(y, x, y, np.ones(3), kind="weight_grad")
    assert str(error.value) == "verify: `kind` (='weight_grad') has no `bias`; leave it out"
    with pytest.raises(WordError) as error:
        verify(x, y, w, kind="transpose", padding_mode="reflect")
    assert str(error.value) == "verify: `kind` (='transpose') has no `padding_mode`; leave it out"
    with pytest.raises(WordError) as error:
        verify(y, x, w, accumulate="float8")
    assert str(error.value) == (
        "verify: `accumulate` (='float8') is not a dtype that sums are taken in; use one of "
        "float16, bfloat16, float32, float64, complex64, complex128, int32, int64"
    )
    with pytest.raises(ShapeError) as shape_error:
        verify(y, x, w, np.ones(4))
    assert str(shape_error.value) == (
        "verify: `bias` has shape (4,), and there are 3 output channels; give it the shape (3,)"
    )
