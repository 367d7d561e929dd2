"""The back end `fft`: within its bound, which is normwise, and what it refuses.

A transform of n values is wrong by at most ``log2(n) * eta / (1 - log2(n) * eta)`` of their norm,
where eta is about 7 units roundoff (N. J. Higham, "Accuracy and Stability of Numerical Algorithms",
second edition, theorem 24.2). There are three of them, and m spectra are summed: so a proof of the
bound has a constant of about 20, and these tests hold every single output to

    UNITS * u * (log2(n) + m) * norm(one array) * norm(the other)
"""

from collections.abc import Callable, Iterator
from math import log2, prod, sqrt
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import refused
from rounding import ARITHMETICS, Arithmetic, unit_roundoff
from strategies import Problem, problems, reals

from convref import (
    DtypeError,
    Geometry,
    TooLargeError,
    WordError,
    backends,
    blocks,
    conv,
    conv_input_grad,
    conv_transpose,
    conv_vjp,
    conv_weight_grad,
    memory,
    using_backend,
)
from convref.kernels import fft

Array = np.ndarray[Any, Any]
UNITS = 4
SEEDS = st.integers(0, 2**32 - 1)
SINGLE = np.dtype(np.float32)
OTHERS = "use one of 'naive', 'exact', 'numpy', 'numba'"


def cut_so(geometry: Geometry, which: int) -> blocks.Blocks:
    """One of the ways to cut each axis: 0 is in one block."""
    cuts = [list(blocks._cuts(axis))[which] for axis in geometry.axes]
    return blocks.Blocks(*zip(*cuts, strict=True))


@pytest.fixture(params=["cheapest", "finest"], scope="module")
def cut(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small canvases are cheapest in one block; here also in many, and group by group."""

    def finest(geometry: Geometry, *channels: int) -> blocks.Blocks:
        return cut_so(geometry, -1)

    with pytest.MonkeyPatch.context() as patch:
        if request.param == "finest":
            patch.setattr(blocks, "SHORTEST", 1)
            patch.setattr(fft, "cheapest", finest)
            patch.setattr(fft, "CACHE", 1)
        yield


@pytest.fixture(params=ARITHMETICS, scope="module")
def arithmetic(request: pytest.FixtureRequest) -> Arithmetic:
    return ARITHMETICS[request.param]


def by_sample(array: Array, p: Problem) -> Array:
    """As (N, G, channels of a group, cells)."""
    first = p.channels_first(array)
    channels, cells = first.shape[len(p.batch)], prod(first.shape[-p.rank :])
    return first.reshape(prod(p.batch), p.groups, channels // p.groups, cells)


def by_group(w: Array, p: Problem) -> Array:
    """As (G, K/G, C/G, T)."""
    return w.reshape(p.groups, len(w) // p.groups, w.shape[1], prod(p.kernel))


def canvas_of(x: Array, p: Problem) -> Array:
    """As (N, G, C/G, cells)."""
    padded = oracles.padded(p.channels_first(x), p.plan)
    return padded.reshape(*by_sample(x, p).shape[:3], prod(padded.shape[-p.rank :]))


def norm(array: Array, *axes: int) -> Array:
    return np.sqrt((abs(array) ** 2).sum(axes))


def check(
    found: Array, exact: Array, norms: Array, cells: int, spectra: int, how: Arithmetic
) -> None:
    """Hold every output to the bound; no transform is twice as long as the canvas."""
    assert found.dtype == how.dtype
    u = unit_roundoff(how.summed_in)
    allowed = UNITS * u * (log2(2 * cells) + spectra) * norms[..., None]
    if how.dtype != how.summed_in:
        allowed = allowed + unit_roundoff(how.dtype) * (abs(exact) + allowed) + 2.0**-25
    assert (abs(found.astype(how.reference) - exact) <= allowed).all()


@given(p=problems(), seed=SEEDS)
def test_forward(cut: None, arithmetic: Arithmetic, p: Problem, seed: int) -> None:
    real = p.with_reals(seed, arithmetic.dtype)
    wide = real.astype(arithmetic.reference)
    y = conv(real.x, real.w, backend="fft", **p.words)
    exact = oracles.forward(wide.x, wide.w, **p.words)
    canvas = canvas_of(wide.x, p)
    norms = norm(canvas, 2, 3)[..., None] * norm(by_group(wide.w, p), 2, 3)
    terms = canvas.shape[3], canvas.shape[2]
    check(by_sample(y, p), by_sample(exact, p), norms, *terms, arithmetic)


@given(p=problems(), seed=SEEDS)
def test_weight_grad(cut: None, arithmetic: Arithmetic, p: Problem, seed: int) -> None:
    real = p.with_reals(seed, arithmetic.dtype)
    wide = real.astype(arithmetic.reference)
    dw = conv_weight_grad(real.x, real.dy, p.kernel, backend="fft", **p.words)
    exact = oracles.weight_grad(wide.x, wide.dy, p.kernel, **p.words)
    canvas = canvas_of(wide.x, p)
    norms = norm(canvas, 0, 3)[:, None] * norm(by_sample(wide.dy, p), 0, 3)[..., None]
    terms = canvas.shape[3], len(canvas) * prod(p.plan.output)
    check(by_group(dw, p), by_group(exact, p), norms, *terms, arithmetic)


@given(p=problems(), seed=SEEDS)
def test_input_grad(cut: None, arithmetic: Arithmetic, p: Problem, seed: int) -> None:
    """An input that the padding shows more than once takes the error of every cell."""
    real = p.with_reals(seed, arithmetic.dtype)
    wide = real.astype(arithmetic.reference)
    dx = conv_input_grad(real.dy, real.w, p.input_size, backend="fft", **p.words)
    exact = oracles.input_grad(wide.dy, wide.w, p.input_size, **p.words)
    labels = oracles.padded(np.arange(prod(p.input_size)).reshape(p.input_size) + 1, p.plan)
    shown = np.bincount(labels.ravel(), minlength=2)[1:].max()
    norms = norm(by_sample(wide.dy, p), 2, 3)[..., None] * norm(by_group(wide.w, p), 1, 3)
    terms = labels.size, len(p.w) // p.groups
    check(by_sample(dx, p), by_sample(exact, p), shown * norms, *terms, arithmetic)


@pytest.mark.parametrize(
    ("x", "w", "words"),
    [
        ((2, 2, 9000), (3, 2, 2049), {}),
        ((1, 1, 20000), (1, 1, 4097), {"stride": 3, "padding": 100}),
        ((2, 90, 90), (2, 2, 31, 31), {"padding": "same"}),
        ((4, 100, 70), (4, 1, 31, 33), {"groups": 4, "padding_mode": "reflect", "padding": 15}),
        ((1, 30, 28, 26), (2, 1, 11, 11, 11), {"padding": 1}),
    ],
)
def test_large_kernels(
    x: tuple[int, ...], w: tuple[int, ...], words: dict[str, Any], rng: np.random.Generator
) -> None:
    """What it is there for; here the terms of a sum outweigh the errors by their number."""
    cells, kernel = reals(rng, x, "float32"), reals(rng, w, "float32")
    y = conv(cells, kernel, backend="fft", **words)
    dy = reals(rng, y.shape, "float32")
    found = y, *conv_vjp(cells, kernel, dy, backend="fft", **words)[:2]
    wide = [array.astype("float64") for array in (cells, kernel, dy)]
    exact = conv(*wide[:2], **words), *conv_vjp(*wide, **words)[:2]
    for actual, expected in zip(found, exact, strict=True):
        assert abs(actual - expected).max() <= 3e-6 * abs(expected).max()


@pytest.mark.skipif(np.finfo(np.longdouble).eps == np.finfo(float).eps, reason="no wider dtype")
@pytest.mark.parametrize("dtype", ["longdouble", "clongdouble"])
def test_wide_dtypes_are_computed_in_themselves(dtype: str, rng: np.random.Generator) -> None:
    x, w = reals(rng, (2, 100), dtype), reals(rng, (3, 2, 9), dtype)
    third = np.array(1, dtype) / 3
    y = conv(third * x, w, backend="fft")
    assert y.dtype == dtype
    assert abs(y - oracles.forward(third * x, w)).max() < 1e-17 * abs(y).max()
    assert abs(y - conv((third * x).astype(complex), w.astype(complex))).max() > 1e-17


def test_the_bound_is_normwise(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small outputs beside large ones: right in every digit by the sums, in none by the spectra."""
    monkeypatch.setattr(fft, "cheapest", lambda geometry, *channels: cut_so(geometry, 0))
    x = np.ones((1, 4096), np.float32)
    x[:, :2048] = 1e9 * rng.standard_normal(2048)
    w = reals(rng, (1, 1, 129), "float32")
    exact = oracles.forward(x.astype(float), w.astype(float))
    small = exact[:, 2048:]
    direct, through_spectra = conv(x, w)[:, 2048:], conv(x, w, backend="fft")[:, 2048:]
    assert abs(direct - small).max() < 1e-4 * abs(small).max()
    assert abs(through_spectra - small).max() > abs(small).max()
    bound = UNITS * unit_roundoff(SINGLE) * log2(8192) * norm(x, 0, 1) * norm(w, 0, 1, 2)
    assert abs(through_spectra - small).max() <= bound


@given(p=problems(), seed=SEEDS)
def test_bits_do_not_depend_on_the_batch_or_the_layout(cut: None, p: Problem, seed: int) -> None:
    """Nor on the memory order of the inputs. The gradient of the weights sums over the batch."""
    real = p.with_reals(seed, np.float32)
    x, dy = p.channels_first(real.x), p.channels_first(real.dy)
    words = {**p.words, "layout": "channels_first", "backend": "fft"}
    y = conv(x, real.w, **words)
    dx = conv_input_grad(dy, real.w, p.input_size, **words)
    dw = conv_weight_grad(x, dy, p.kernel, **words)
    for sample in np.ndindex(p.batch):
        assert (conv(x[sample].copy("F"), real.w.copy("F"), **words) == y[sample]).all()
        assert (conv_input_grad(dy[sample], real.w, p.input_size, **words) == dx[sample]).all()
    last = {**words, "layout": "channels_last"}
    x, dy = np.moveaxis(x, len(p.batch), -1), np.moveaxis(dy, len(p.batch), -1)
    assert (np.moveaxis(conv(x, real.w, **last), -1, len(p.batch)) == y).all()
    assert (conv_weight_grad(x, dy, p.kernel, **last) == dw).all()


def test_what_the_filled_array_held_does_not_matter(cut: None, rng: np.random.Generator) -> None:
    geometry = Geometry.of((9, 8), (3, 2), stride=2)
    sizes = [(2, 2, 3, 72), (2, 4, 3, 6), (2, 2, 4, len(geometry.origins))]
    for filled, kernel in enumerate((fft.input_grad, fft.forward, fft.weight_grad)):
        operands = [rng.random(size) for size in sizes]
        before = [operand.copy() for operand in operands]
        target = (0, 2, 1)[filled]
        kernel(*operands, geometry)
        once = operands[target].copy()
        kernel(*operands, geometry)
        assert (operands[target] == once).all()
        assert once.any()
        for number in {0, 1, 2} - {target}:
            assert (operands[number] == before[number]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
@pytest.mark.parametrize("shares", [(0.9, -0.9), (0.9, 0), (0.5, 0.4), (-0.9, 0.5), (-0.9, 0)])
def test_no_spectrum_overflows(dtype: str, shares: tuple[float, float]) -> None:
    """Numbers near the limits of the dtype, where the sums of a few of them still fit."""
    limit = np.finfo(dtype).maxexp
    a, b = (2.0 ** int(limit * share) for share in shares)
    x, w = a * np.ones((1, 200), dtype), b * np.ones((1, 1, 30), dtype)
    y = conv(x, w, backend="fft")
    norms = sqrt(x.size * w.size)  # scaled, every number is 1
    allowed = UNITS * unit_roundoff(np.dtype(dtype)) * (log2(2 * x.size) + 1) * norms
    assert (abs(y / np.array(a, dtype) / np.array(b, dtype) - 30) <= allowed).all()


def test_overflow_gives_infinity_only_where_it_happens() -> None:
    x = np.repeat(np.array([[2.0**125, 2.0**118]], np.float32), 40, axis=1)
    y = conv(x, np.full((1, 1, 10), 8, np.float32), backend="fft")
    assert np.isposinf(y[:, :40]).all()
    # Closer than the normwise bound beside 2**125, which blocks of equal numbers don't exhaust.
    np.testing.assert_allclose(y[:, 40:], np.float32(80 * 2.0**118), rtol=1e-4)


def test_without_samples_or_inputs() -> None:
    assert conv(np.ones((0, 1, 5)), np.ones((1, 1, 2)), backend="fft").shape == (0, 1, 4)
    nothing = conv_weight_grad(np.ones((0, 1, 5)), np.ones((0, 1, 4)), (2,), backend="fft")
    np.testing.assert_array_equal(nothing, np.zeros((1, 1, 2)))
    padding = conv(np.ones((1, 0)), np.ones((1, 1, 2)), padding=2, backend="fft")
    np.testing.assert_array_equal(padding, np.zeros((1, 3)))


def test_a_huge_step_that_is_never_taken() -> None:
    x, w, far = np.ones((1, 4)), np.ones((1, 1, 2)), 10**30
    np.testing.assert_allclose(conv(x, w, stride=far, backend="fft"), [[2]])
    np.testing.assert_allclose(conv(x, w[..., :1], dilation=far, backend="fft"), np.ones((1, 4)))


@pytest.mark.numba
@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integers_are_refused(dtype: str) -> None:
    x, w = np.ones((1, 4), dtype), np.ones((1, 1, 2), dtype)
    message = (
        "conv: the back end 'fft' rounds, so it can't convolve integers (here {}); "
        f"{OTHERS}, or convert to float64"
    )
    with refused(DtypeError, message.format("int64")):
        conv(x, w, backend="fft")
    with refused(DtypeError, message.format(dtype)):
        conv(x, w, backend="fft", accumulate="float64")
    np.testing.assert_allclose(conv(x, w.astype(float), backend="fft"), [[2, 2, 2]])


ROW, TAPS = np.array([[1.0, np.nan, 2.0]]), np.array([[[1.0, -np.inf]]])
FINE = np.ones((1, 3)), np.ones((1, 1, 2)), np.ones((1, 2))
NOT_FINITE: dict[str, tuple[str, str, Callable[[], Any]]] = {
    "x": ("conv", "float64", lambda: conv(ROW, FINE[1])),
    "w": ("conv", "float64", lambda: conv(FINE[0], TAPS)),
    "x of the weights": (
        "conv_weight_grad",
        "float64",
        lambda: conv_weight_grad(ROW, FINE[2], (2,)),
    ),
    "dy": ("conv_input_grad", "float64", lambda: conv_input_grad(ROW, FINE[1], 4)),
    "dy of the weights": (
        "conv_weight_grad",
        "float64",
        lambda: conv_weight_grad(np.ones((1, 4)), ROW, (2,)),
    ),
    "x of the transpose": ("conv_transpose", "float64", lambda: conv_transpose(ROW, FINE[1])),
    "x in complex numbers": ("conv", "complex128", lambda: conv(1j * ROW, FINE[1])),
    "x beyond the sums": (
        "conv",
        "float32",
        lambda: conv(1e300 * FINE[0], FINE[1], accumulate="float32"),
    ),
}


@pytest.mark.numba
@pytest.mark.parametrize("what", NOT_FINITE)
def test_what_is_not_finite_is_refused(what: str) -> None:
    operation, dtype, call = NOT_FINITE[what]
    message = (
        f"{operation}: the back end 'fft' can't convolve NaN or infinity, which would spread to "
        f"every output, and `{what.split()[0]}` holds some (as {dtype}); {OTHERS}"
    )
    with using_backend("fft"), refused(WordError, message):
        call()


def test_spectra_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_bytes", lambda: 2**20)
    x, w = np.ones((64, 100), np.float32), np.ones((64, 64, 90), np.float32)
    message = (
        "conv: the spectra of the kernels and of a block would need 1723392 bytes (1.6 MiB), and "
        "this machine has 1.0 MiB; use smaller sizes, or split the batch"
    )
    with refused(TooLargeError, message):
        conv(x, w, backend="fft")
    assert conv(x, w[:, :1], groups=64, backend="fft").shape == (64, 11)


def test_only_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """By argument, context or environment; it is not one of those that agree on every input."""
    calls: list[str] = []

    def forward(*operands: Any) -> None:
        calls.append("fft")

    monkeypatch.delenv("CONVREF_BACKEND", raising=False)
    monkeypatch.setattr(fft, "forward", forward)
    x, w, _ = FINE
    conv(x, w)
    assert not calls
    assert "fft" not in backends()
    conv(x, w, backend="FFT")
    with using_backend("fft"):
        conv(x, w)
    monkeypatch.setenv("CONVREF_BACKEND", "fft")
    conv(x, w)
    assert len(calls) == 3
