"""Lower-precision practices: what they compute is explained, and no planted mistake is."""

from typing import Any

import numpy as np
import pytest
from lavin_gray import TRANSFORMS

from convref import conv, conv_input_grad, conv_weight_grad, verify
from convref.verify.bounds import FORMATS
from convref.verify.practices import keep_bits

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(11)
X = RANDOM.standard_normal((2, 32, 14, 15)).astype(np.float32)
W = RANDOM.standard_normal((8, 32, 3, 3)).astype(np.float32)


def explanation(output: Array, x: Array, w: Array, **words: Any) -> str:
    report = verify(output, x, w, **words)
    assert report.ok, report
    assert report.diagnosis == ()
    return "" if report.explanation is None else report.explanation.name


def test_significands_keep_as_many_bits_as_asked() -> None:
    values = np.array([1, 1 + 2**-8, 1 + 3 * 2**-9, -1 - 2**-8, np.inf, 0], np.float32)
    expected = {
        "to nearest": [1, 1, 1 + 2**-7, -1, np.inf, 0],
        "to nearest, ties away": [1, 1 + 2**-7, 1 + 2**-7, -1 - 2**-7, np.inf, 0],
        "by truncation": [1, 1, 1, -1, np.inf, 0],
    }
    for how, wanted in expected.items():
        np.testing.assert_array_equal(keep_bits(values, 8, how), wanted)


@pytest.mark.parametrize("how", ["to nearest", "to nearest, ties away", "by truncation"])
@pytest.mark.parametrize(("name", "bits"), [("tf32", 11), ("bfloat16", 8)])
def test_operands_of_tensor_cores(name: str, bits: int, how: str, rng: np.random.Generator) -> None:
    output = conv(keep_bits(X, bits, how), keep_bits(W, bits, how), padding=1)
    assert explanation(output, X, W, padding=1) == f"{name}-inputs"
    dy = rng.standard_normal(output.shape).astype(np.float32)
    dw = conv_weight_grad(keep_bits(X, bits, how), keep_bits(dy, bits, how), (3, 3), padding=1)
    assert explanation(dw, X, dy, kind="weight_grad", padding=1) == f"{name}-inputs"


def test_operands_in_float16() -> None:
    output = conv(X.astype(np.float16).astype("f4"), W.astype(np.float16).astype("f4"))
    assert explanation(output, X, W) in ("float16-inputs", "tf32-inputs")


def test_float32_for_float64() -> None:
    x, w = X + 1e-9 * X.astype(np.float64) ** 3, W.astype(np.float64) / 3
    output = conv(x.astype(np.float32), w.astype(np.float32)).astype(np.float64)
    assert explanation(output, x, w) in ("float32-inputs", "float32-sums")


def summed_in(dtype: str, x: Array, w: Array) -> Array:
    """A convolution without padding that rounds every product and every partial sum."""
    import ml_dtypes

    form = np.dtype(getattr(ml_dtypes, dtype, dtype))
    rows, columns = x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1
    total = np.zeros((len(x), len(w), rows, columns), np.float32)
    for c, i, j in np.ndindex(*w.shape[1:]):
        seen = x[:, None, c, i : i + rows, j : j + columns]
        product = (seen * w[:, c, i, j][:, None, None]).astype(form).astype(np.float32)
        total = (total + product).astype(form).astype(np.float32)
    return total


@pytest.mark.parametrize("offset", [0.0, 1.0], ids=["centred", "one-sided"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_in_a_narrower_format(dtype: str, offset: float) -> None:
    x, w = X[:, :16] + np.float32(offset), W[:, :16] + np.float32(offset)
    name = explanation(summed_in(dtype, x, w), x, w)
    assert name in (f"{dtype}-sums", "bfloat16-sums")


def winograd(x: Array, w: Array, m: int) -> Array:
    """Without padding; the output is made of whole tiles."""
    dtype = x.dtype
    B, G, A = (np.array(matrix, dtype) for matrix in TRANSFORMS[m])
    tiles = [(i, j) for i in range(0, x.shape[2] - 2, m) for j in range(0, x.shape[3] - 2, m)]
    output = np.zeros((len(x), len(w), x.shape[2] - 2, x.shape[3] - 2), dtype)
    kernels = np.einsum("ai,kcij,bj->kcab", G, w, G)
    for i, j in tiles:
        tile = x[:, :, i : i + m + 2, j : j + m + 2]
        spectrum = np.einsum("ai,ncij,bj->ncab", B, tile, B)
        products = np.einsum("ncab,kcab->nkab", spectrum, kernels).astype(dtype)
        output[:, :, i : i + m, j : j + m] = np.einsum("ia,nkab,jb->nkij", A, products, A)
    return output


@pytest.mark.parametrize("channels", [1, 3, 32])
@pytest.mark.parametrize("m", [2, 4, 6])
def test_winograd(m: int, channels: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, channels, 26, 26)).astype(np.float32)
    w = rng.standard_normal((8, channels, 3, 3)).astype(np.float32)
    exact = winograd(x.astype(np.float64), w.astype(np.float64), m)
    assert np.abs(exact - conv(x.astype(np.float64), w.astype(np.float64))).max() < 1e-11
    assert explanation(winograd(x, w, m), x, w) in ("", "winograd")


OPERANDS = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "rectified": lambda random, shape: np.maximum(random.standard_normal(shape), 0),
    "sparse": lambda random, shape: random.standard_normal(shape) * (random.random(shape) < 0.1),
    "long-tailed": lambda random, shape: random.standard_t(3, shape),
}


@pytest.mark.parametrize("operands", OPERANDS)
@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("m", [2, 4, 6])
def test_winograd_of_few_channels(m: int, channels: int, operands: str) -> None:
    """Where few products are summed the errors of tiles are least alike."""
    random = np.random.default_rng((m, channels, *operands.encode()))
    x = OPERANDS[operands](random, (2, channels, 26, 26)).astype(np.float32)
    w = random.standard_normal((8, channels, 3, 3)).astype(np.float32)
    y = winograd(x, w, m)
    assert explanation(y, x, w) in ("", "winograd")
    n, k, i, j = (random.integers(length) for length in y.shape)
    y[n, k, i, j] += np.abs(y).max() / 1000
    assert not verify(y, x, w).ok, "a mistake in one element"


def test_fourier_transforms(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 40, 41)).astype(np.float32)
    x[..., :20] *= 1e-3  # where the elementwise bound is small
    w = rng.standard_normal((4, 3, 9, 9)).astype(np.float32)
    assert explanation(conv(x, w, backend="fft"), x, w) == "fft"


FAULTS = {
    "a thousandth of one item": lambda y: np.concatenate([y[:1] * np.float32(1.001), y[1:]]),
    "an element": lambda y: np.where(np.arange(y.size).reshape(y.shape) == 77, y + 0.01, y),
    "a tap": lambda y: conv(X, W * (np.arange(9).reshape(3, 3) != 4), padding=1),
    "noise in one channel": lambda y: np.where(
        np.arange(8)[:, None, None] == 3, y + 1e-3 * RANDOM.standard_normal(y.shape), y
    ),
    "noise at the border": lambda y: np.pad(
        y[..., 1:-1, 1:-1], ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.01
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_mistakes_are_not_explained(name: str) -> None:
    y = conv(X, W, padding=1)
    report = verify(np.asarray(FAULTS[name](y), np.float32), X, W, padding=1)
    assert report.verdict == "wrong"
    assert report.explanation is None


def test_too_few_elements_explain_nothing() -> None:
    x, w = X[:1, :, :3, :3], W[:2]
    y = conv(x, w)
    report = verify(y + np.float32(0.02), x, w)
    assert report.verdict == "wrong"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 1, 30), (2, 4, 30), (2, 40, 9)])
def test_a_bias_that_is_added_apart(
    dtype: str, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    """To sums that are stored first; positive, so that a rounding is as large as may be."""
    import ml_dtypes

    form = np.dtype(getattr(ml_dtypes, dtype, dtype))
    x = np.abs(rng.standard_normal(shape)).astype(form)
    w = np.abs(rng.standard_normal((6, shape[1], 2))).astype(form)
    bias = np.abs(rng.standard_normal(6)).astype(form)
    sums = conv(x, w)
    assert sums.dtype == form
    y = sums + bias[:, None]
    names = {report.explanation.name for report in [verify(y, x, w, bias)] if report.explanation}
    assert names <= {"rounded-before-bias"}
    assert verify(y, x, w, bias).ok
    if shape[1] == 1:
        assert names == {"rounded-before-bias"}
    assert not verify(sums, x, w, bias).ok
    off = y.copy()
    off[0, 2, 3] = y[0, 2, 3] * 1.5
    assert not verify(off, x, w, bias).ok


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("channels", [1, 6, 40])
def test_sums_of_dy_in_its_own_format(dtype: str, channels: int, rng: np.random.Generator) -> None:
    import ml_dtypes

    form = np.dtype(getattr(ml_dtypes, dtype, dtype))
    dy = rng.standard_normal((2, channels, 60)).astype(form)
    w = np.ones((channels, 1, 1), form)
    db = np.zeros(channels, form)
    for sample in dy:
        for position in range(sample.shape[1]):
            db = (db + sample[:, position]).astype(form)
    report = verify(db, dy, w, kind="bias_grad")
    assert report.ok
    if channels == 40:
        assert report.explanation is not None
        assert report.explanation.name == f"{dtype}-sums"
    mistakes = (2 * db, 0 * db, dy[:1].astype(np.float32).sum((0, 2)).astype(form))
    for mistake in mistakes if channels > 1 else ():
        assert not verify(mistake, dy, w, kind="bias_grad").ok


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_that_are_cut_off_when_stored(dtype: str) -> None:
    import ml_dtypes

    random = np.random.default_rng(3)
    form = np.dtype(getattr(ml_dtypes, dtype, dtype))
    x = random.standard_normal((2, 6, 30)).astype(form)
    w = random.standard_normal((4, 6, 3)).astype(form)
    true = conv(x.astype(np.float64), w.astype(np.float64))
    cut = keep_bits(true, FORMATS[dtype].precision, "by truncation").astype(form)
    report = verify(cut, x, w)
    assert report.explanation is not None
    assert report.explanation.name == "stored-truncated"
    cut[0, 1, 2] = np.float32(cut[0, 1, 2]) + 1.5
    assert not verify(cut, x, w).ok


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_dropped_term_is_not_taken_for_sums_in_the_stored_format(dtype: str) -> None:
    """Of 500 elements, all rounded once, one lacks a term of middling size."""
    import ml_dtypes

    random = np.random.default_rng(4)
    form = np.dtype(getattr(ml_dtypes, dtype, dtype))
    x = random.standard_normal((2, 6, 52)).astype(form)
    w = random.standard_normal((5, 6, 3)).astype(form)
    y = conv(x, w)
    assert verify(y, x, w).verdict == "exact"
    y[1, 2, 3] = np.float32(y[1, 2, 3]) - 0.5
    assert not verify(y, x, w).ok


@pytest.mark.parametrize("kind", ["forward", "input_grad"])
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_a_bug_in_a_tiny_filter_is_not_taken_for_a_fourier_transform(
    kind: str, scale: float
) -> None:
    """The errors of a channel are of the size of the weights that it is made with."""
    random = np.random.default_rng(5)
    x = random.standard_normal((2, 8, 24, 24)).astype(np.float32)
    w = random.standard_normal((8, 8, 3, 3)).astype(np.float32)
    w[3 if kind == "forward" else (slice(None), 3)] *= np.float32(scale)
    wrong = w.copy()
    wrong[3 if kind == "forward" else (slice(None), 3)] *= np.float32(1.1)
    if kind == "forward":
        y, spoilt = conv(x, w, padding=1), conv(x, wrong, padding=1)
    else:
        y, spoilt = (conv_input_grad(x, each, (24, 24), padding=1) for each in (w, wrong))
    assert verify(y, x, w, kind=kind, padding=1).ok
    assert not verify(spoilt, x, w, kind=kind, padding=1).ok
    spectra = conv(x, w, padding=1, backend="fft")
    assert verify(spectra, x, w, padding=1).ok
