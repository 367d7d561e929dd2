"""The back end `winograd`: exact on integers, within its bound elsewhere, and what it refuses."""

import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from math import prod
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jit_cases import assert_survives, flush
from lavin_gray import TRANSFORMS
from messages import refused
from rounding import ARITHMETICS, Arithmetic, gamma, unit_roundoff
from strategies import reals

import convref
from convref import (
    DtypeError,
    Geometry,
    TooLargeError,
    WordError,
    backends,
    conv,
    conv_input_grad,
    conv_transpose,
    conv_vjp,
    conv_weight_grad,
    memory,
    using_backend,
)
from convref.kernels import naive
from convref.kernels.jit import minimal, winograd

Array = np.ndarray[Any, Any]
OTHERS = "use one of 'naive', 'exact', 'numpy', 'numba'"
SEEDS = st.integers(0, 2**32 - 1)
MODES = ("zeros", "reflect", "replicate", "circular")
uncompiled = pytest.mark.uncompiled


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Shapes of x, w and dy, and the words of a convolution that the back end takes."""
    size = draw(st.tuples(st.integers(1, 19), st.integers(1, 40)))
    pairs = st.tuples(st.integers(-1, 4), st.integers(-1, 4))
    padding = draw(st.one_of(st.sampled_from(["valid", "same", 1]), st.tuples(pairs, pairs)))
    mode = draw(st.sampled_from(MODES))
    groups, channels, filters = (draw(st.integers(1, most)) for most in (3, 5, 5))
    batch = draw(st.sampled_from([(), (2,), (0,), (2, 3)]))
    how = oracles.plan(size, (3, 3), {"padding": padding})
    if min(how.output) < 1:
        padding, how = "same", oracles.plan(size, (3, 3), {"padding": "same"})
    shapes = {
        "x": (*batch, groups * channels, *size),
        "w": (groups * filters, channels, 3, 3),
        "dy": (*batch, groups * filters, *how.output),
    }
    return shapes, {"padding": padding, "groups": groups, "padding_mode": mode}


def integers(
    rng: np.random.Generator, shapes: dict[str, tuple[int, ...]], most: int
) -> list[Array]:
    return [rng.integers(-most, most + 1, shape).astype(float) for shape in shapes.values()]


@given(case=cases(), seed=SEEDS)
def test_integers_are_exact(case: Any, seed: int) -> None:
    """The three operators, in every padding; F(4x4) too, for its fractions are divided out last."""
    shapes, words = case
    x, w, dy = integers(np.random.default_rng(seed), shapes, 1000)
    size = shapes["x"][-2:]
    np.testing.assert_array_equal(
        conv(x, w, backend="winograd", **words), oracles.forward(x, w, **words)
    )
    np.testing.assert_array_equal(
        conv_input_grad(dy, w, size, backend="winograd", **words),
        oracles.input_grad(dy, w, size, **words),
    )
    np.testing.assert_array_equal(
        conv_weight_grad(x, dy, (3, 3), backend="winograd", **words),
        oracles.weight_grad(x, dy, (3, 3), **words),
    )


MANY = {
    "several blocks of tiles": ((2, 1, 40, 70), (2, 1, 3, 3), 1),
    "filters in shares and blocks": ((1, 5, 6, 6), (233, 5, 3, 3), 1),
    "channels beyond a line": ((2, 70, 5, 9), (4, 35, 3, 3), 2),
    "depthwise": ((2, 9, 8, 8), (9, 1, 3, 3), 9),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("small", [False, True], ids=["at once", "piece by piece"])
@pytest.mark.parametrize("what", MANY)
def test_sizes_beyond_a_block(
    what: str, small: bool, dtype: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """Exact in float64; in float32 the numbers are ones that leave F(4x4) exact as well."""
    if small:
        monkeypatch.setattr(winograd, "CACHE", 1)
        monkeypatch.setattr(winograd, "KERNELS", 1)
    shape, weights, groups = MANY[what]
    how = {"padding": 1, "groups": groups}
    x, w = (rng.integers(-3, 4, size).astype(float) for size in (shape, weights))
    dy = rng.integers(-3, 4, (shape[0], weights[0], *shape[2:])).astype(float)
    found = conv_vjp(x.astype(dtype), w.astype(dtype), dy.astype(dtype), backend="winograd", **how)
    found = (conv(x.astype(dtype), w.astype(dtype), backend="winograd", **how), *found[:2])
    wanted = (
        oracles.forward(x, w, **how),
        oracles.input_grad(dy, w, shape[2:], **how),
        oracles.weight_grad(x, dy, (3, 3), **how),
    )
    for result, exact in zip(found, wanted, strict=True):
        assert result.dtype == dtype
        if dtype == "float64":
            np.testing.assert_array_equal(result, exact)
        else:  # of integers, whose distance is 1
            np.testing.assert_array_equal(np.rint(result), exact)


@uncompiled
@pytest.mark.parametrize("last", [False, True])
def test_every_kernel(last: bool, rng: np.random.Generator) -> None:
    """Small, so that it can run without JIT too; for both m, and both layouts."""
    for size in ((2, 2), (5, 9)):
        x, w = rng.integers(-9, 10, (2, 2, *size)) + 0.0, rng.integers(-9, 10, (2, 2, 3, 3)) + 0.0
        dy = rng.integers(-9, 10, x.shape) + 0.0
        words = {"layout": "channels_last"} if last else {}
        laid = [np.moveaxis(a, 1, -1) if last else a for a in (x, dy)]
        y = conv(laid[0], w, padding=1, backend="winograd", **words)
        dx, dw, _ = conv_vjp(laid[0], w, laid[1], padding=1, backend="winograd", **words)
        y, dx = (np.moveaxis(a, -1, 1) if last else a for a in (y, dx))
        np.testing.assert_array_equal(y, oracles.forward(x, w, padding=1))
        np.testing.assert_array_equal(dx, oracles.input_grad(dy, w, size, padding=1))
        np.testing.assert_array_equal(dw, oracles.weight_grad(x, dy, (3, 3), padding=1))


@pytest.mark.parametrize(("size", "m"), [(1, 2), (2, 2), (3, 4), (4, 4), (5, 2), (6, 2), (7, 4)])
def test_the_fewest_multiplications(size: int, m: int) -> None:
    """And of as many the smaller tile, which is the more accurate one."""
    geometry = Geometry.of(size, (3, 3), padding=1)
    assert minimal.chosen(geometry).size == m
    counts = {n: (n + 2) ** 2 * (-(-size // n)) ** 2 for n in (2, 4)}
    assert counts[m] == min(counts.values())


@pytest.fixture(params=[name for name in ARITHMETICS if "complex" not in name])
def arithmetic(request: pytest.FixtureRequest) -> Arithmetic:
    return ARITHMETICS[request.param]


def sandwich(m: Array, squares: Array) -> Array:
    return np.einsum("ia,...ab,jb->...ij", m, squares, m)


def cut(a: Array, size: int, length: int) -> Array:
    """Maps (..., H, W) as tiles (..., rows, columns, length, length), with zeros beyond the end."""
    counts = [-(-(n - (length - size)) // size) for n in a.shape[-2:]]
    room = [
        (0, (count - 1) * size + length - n) for count, n in zip(counts, a.shape[-2:], strict=True)
    ]
    filled = np.pad(a, [(0, 0)] * (a.ndim - 2) + room)
    seen = np.lib.stride_tricks.sliding_window_view(filled, (length, length), axis=(-2, -1))
    return seen[..., ::size, ::size, :, :]


def magnitude(m: int, canvas: Array, w: Array, output: tuple[int, ...]) -> Array:
    """The bound of the module, but for its factor: (N, K, *output) of (N, C, ...), (K, C, 3, 3)."""
    B, G, A = (abs(np.array(matrix)) for matrix in TRANSFORMS[m])
    tiles, kernels = sandwich(B, cut(abs(canvas), m, m + 2)), sandwich(G, abs(w))
    made = sandwich(A, np.einsum("nctuab,kcab->nktuab", tiles, kernels))
    N, K, rows, columns = made.shape[:4]
    whole = made.transpose(0, 1, 2, 4, 3, 5).reshape(N, K, rows * m, columns * m)
    return whole[..., : output[0], : output[1]]


def check(found: Array, exact: Array, size: Array, roundings: int, how: Arithmetic) -> float:
    """Hold every number to its bound; the largest share of it that is used."""
    assert found.dtype == how.dtype
    allowed = gamma(np.array(roundings), unit_roundoff(how.summed_in)) * size
    if how.dtype != how.summed_in:
        allowed = allowed + unit_roundoff(how.dtype) * (abs(exact) + allowed) + 2.0**-25
    error = abs(found.astype(how.reference) - exact)
    assert (error <= allowed).all()
    return float((error / allowed).max())


@pytest.mark.parametrize("channels", [1, 40])
@pytest.mark.parametrize(("size", "m"), [((6, 6), 2), ((7, 21), 4)])
def test_errors_stay_below_the_bound(
    size: tuple[int, int], m: int, channels: int, arithmetic: Arithmetic, rng: np.random.Generator
) -> None:
    """That of the module's docstring, for each operator; and the bound is no empty one."""
    filters, used = 7, []
    x = reals(rng, (2, channels, *size), arithmetic.dtype)
    w = reals(rng, (filters, channels, 3, 3), arithmetic.dtype)
    dy = reals(rng, (2, filters, *size), arithmetic.dtype)
    wide = [a.astype(arithmetic.reference) for a in (x, w, dy)]
    canvas, canvas_of_dy = (
        np.pad(a.astype(float), [(0, 0), (0, 0), (1, 1), (1, 1)]) for a in (x, dy)
    )
    assert minimal.chosen(Geometry.of(size, (3, 3), padding=1)).size == m

    y = conv(x, w, padding=1, backend="winograd")
    of_y = magnitude(m, canvas, w.astype(float), size)
    exact = oracles.forward(*wide[:2], padding=1)
    used.append(check(y, exact, of_y, channels + 4 * m + 15, arithmetic))

    dx = conv_input_grad(dy, w, size, padding=1, backend="winograd")
    turned = w.astype(float).transpose(1, 0, 2, 3)[..., ::-1, ::-1]
    of_dx = magnitude(m, canvas_of_dy, turned, size)
    exact = oracles.input_grad(wide[2], wide[1], size, padding=1)
    used.append(check(dx, exact, of_dx, filters + 4 * m + 15, arithmetic))

    dw = conv_weight_grad(x, dy, (3, 3), padding=1, backend="winograd")
    B, G, A = (abs(np.array(matrix)) for matrix in TRANSFORMS[m])
    tiles = sandwich(B, cut(abs(canvas), m, m + 2))
    tiles_of_dy = sandwich(A.T, cut(abs(dy.astype(float)), m, m))
    of_dw = sandwich(G.T, np.einsum("nktuab,nctuab->kcab", tiles_of_dy, tiles))
    exact = oracles.weight_grad(wide[0], wide[2], (3, 3), padding=1)
    used.append(check(dw, exact, of_dw, tiles[:, 0, :, :, 0, 0].size + 6 * m + 9, arithmetic))
    assert min(used) > 1e-4


def test_verify_knows_the_practice(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 24, 24)).astype(np.float32)
    w = rng.standard_normal((8, 3, 3, 3)).astype(np.float32)
    report = convref.verify(conv(x, w, backend="winograd"), x, w)
    assert report.verdict == "explained"
    assert report.explanation is not None
    assert report.explanation.name == "winograd"
    wrong = conv(x, w, backend="winograd")
    wrong[1, 2, 3, 4] *= np.float32(1.01)
    assert not convref.verify(wrong, x, w).ok


def test_bits_depend_on_the_numbers_alone(rng: np.random.Generator) -> None:
    x, w = reals(rng, (3, 5, 23, 18), np.float32), reals(rng, (200, 5, 3, 3), np.float32)
    dy = reals(rng, (3, 200, 23, 18), np.float32)
    last = np.moveaxis(x, 1, -1).copy()
    with using_backend("winograd"):
        y = conv(x, w, padding=1)
        grads = conv_vjp(x, w, dy, padding=1)
        for threads in (1, 2, 5):
            assert conv(x, w, padding=1, threads=threads).tobytes() == y.tobytes()
            again = conv_vjp(x, w, dy, padding=1, threads=threads)
            assert [a.tobytes() for a in again] == [a.tobytes() for a in grads]
        assert conv(x[1], w, padding=1).tobytes() == y[1].tobytes()
        assert conv_input_grad(dy[2], w, (23, 18), padding=1).tobytes() == grads[0][2].tobytes()
        by_last = conv(last, w.copy("F"), padding=1, layout="channels_last")
        assert (np.moveaxis(by_last, -1, 1) == y).all()


def test_what_the_filled_array_held_does_not_matter(rng: np.random.Generator) -> None:
    geometry = Geometry.of((9, 8), (3, 3), padding=((1, 0), (2, 3)))
    P = prod(geometry.output_size)
    sizes = [(2, 2, 3, 72), (2, 4, 3, 9), (2, 2, 4, P)]
    for filled, name in enumerate(("input_grad", "weight_grad", "forward")):
        operands = [rng.random(size) for size in sizes]
        before = [operand.copy() for operand in operands]
        getattr(winograd, name)(*operands, geometry)
        once = operands[filled].copy()
        operands[filled][...] = np.nan
        getattr(winograd, name)(*operands, geometry)
        assert (operands[filled] == once).all()
        for number in {0, 1, 2} - {filled}:
            assert (operands[number] == before[number]).all()


def room_beside(beside: Callable[..., Array], count: int, dtype: Any, purpose: str) -> Array:
    return beside(np.zeros((1, 1, 1, count), dtype)).reshape(-1)


def compute_between_forbidden_pages() -> None:
    """Ends the process with a signal where a kernel reads beyond an operand, or what it makes."""
    rng = np.random.default_rng(3)
    for at_end, size, groups, dtype in product(
        (True, False), ((5, 6), (7, 18)), (1, 2), ("float32", "float64")
    ):
        beside = flush(at_end)
        winograd.room = partial(room_beside, beside)
        geometry = Geometry.of(size, (3, 3), padding=1)
        sizes = [(2, groups, 3, prod(size)), (groups, 4, 3, 9), (2, groups, 4, prod(size))]
        operands = [rng.integers(-9, 10, each).astype(dtype) for each in sizes]
        for filled, name in enumerate(("input_grad", "weight_grad", "forward")):
            arrays = [beside(operand) for operand in operands]
            getattr(winograd, name)(*arrays, geometry)
            wanted = [operand.copy() for operand in operands]
            getattr(naive, name)(*wanted, geometry)
            np.testing.assert_array_equal(np.rint(arrays[filled]), wanted[filled])
    print("nothing beyond")


@pytest.mark.skipif(sys.platform != "linux", reason="forbids pages as Linux does")
def test_nothing_beyond_an_operand_is_read() -> None:
    assert_survives("test_winograd")


def test_without_samples_or_inputs() -> None:
    w = np.ones((2, 1, 3, 3))
    with using_backend("winograd"):
        assert conv(np.ones((0, 1, 5, 4)), w).shape == (0, 2, 3, 2)
        nothing = conv_weight_grad(np.ones((0, 1, 5, 5)), np.ones((0, 2, 3, 3)), (3, 3))
        np.testing.assert_array_equal(nothing, np.zeros((2, 1, 3, 3)))
        np.testing.assert_array_equal(conv(np.ones((1, 0, 4)), w, padding=2), np.zeros((2, 2, 6)))
        assert conv_input_grad(np.ones((2, 2, 6)), w, (0, 4), padding=2).shape == (1, 0, 4)


def test_the_transpose_and_a_bias(rng: np.random.Generator) -> None:
    x, w, bias = (rng.integers(-9, 10, s) + 0.0 for s in ((1, 3, 6, 7), (3, 2, 3, 3), (2,)))
    found = conv_transpose(x, w, bias, padding=1, backend="winograd")
    np.testing.assert_array_equal(found, conv_transpose(x, w, bias, padding=1, backend="naive"))


X, W = np.ones((1, 2, 8, 8)), np.ones((2, 2, 3, 3))
REFUSED: dict[str, tuple[str, Callable[[], Any]]] = {
    "conv: the back end 'winograd' takes kernels of 3 x 3 taps, and this one has the size (5, 5)": (
        "5 x 5", lambda: conv(X, np.ones((2, 2, 5, 5))),
    ),
    "conv: the back end 'winograd' takes kernels of 3 x 3 taps, and this one has the size (3,)": (
        "rank 1", lambda: conv(X[..., 0], np.ones((2, 2, 3))),
    ),
    "conv: the back end 'winograd' takes kernels that step by 1, and `stride` is (2, 1)": (
        "stride", lambda: conv(X, W, stride=(2, 1)),
    ),
    "conv: the back end 'winograd' takes kernels that step by 1, and `dilation` is (2, 2)": (
        "dilation", lambda: conv(X, W, dilation=2),
    ),
    "conv: the back end 'winograd' takes kernels that step by 1, and `input_dilation` is (1, 3)": (
        "input dilation", lambda: conv(X, W, input_dilation=(1, 3)),
    ),
    "conv_input_grad: the back end 'winograd' takes kernels that step by 1, and `stride` is (2, 2) "
    "and `dilation` is (2, 2)": (
        "input gradient", lambda: conv_input_grad(X, W, 19, stride=2, dilation=2),
    ),
    "conv_weight_grad: the back end 'winograd' takes kernels that step by 1, and `stride` is "
    "(3, 3)": (
        "weight gradient",
        lambda: conv_weight_grad(np.ones((1, 2, 24, 24)), X, (3, 3), stride=3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", REFUSED, ids=[what for what, _ in REFUSED.values()])
def test_other_geometries_are_refused(rule: str) -> None:
    with using_backend("winograd"), refused(WordError, f"{rule}; use 'numba'"):
        REFUSED[rule][1]()


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integers_are_refused(dtype: str) -> None:
    message = (
        "conv: the back end 'winograd' rounds, so it can't convolve integers (here {}); "
        f"{OTHERS}, or convert to float64"
    )
    with refused(DtypeError, message.format("int64")):
        conv(X.astype(dtype), W.astype(dtype), backend="winograd")
    with refused(DtypeError, message.format(dtype)):
        conv(X.astype(dtype), W.astype(dtype), backend="winograd", accumulate="float64")


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_are_refused(dtype: str) -> None:
    with refused(DtypeError, f"conv: the back end 'winograd' can't sum in {dtype}; {OTHERS}"):
        conv(X.astype(dtype), W, backend="winograd", accumulate=dtype)


def test_long_doubles_are_refused() -> None:
    message = f"conv: the back end 'winograd' can't sum in {np.dtype(np.longdouble)}; use 'numpy'"
    with refused(DtypeError, message):
        conv(X.astype(np.longdouble), W, backend="winograd")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(number: float) -> None:
    message = (
        "conv_weight_grad: the back end 'winograd' can't convolve NaN or infinity, which would "
        f"spread to all outputs of a tile, and `dy` holds some (as float64); {OTHERS}"
    )
    dy = np.ones((1, 2, 6, 6))
    dy[0, 1, 2, 3] = number
    with refused(WordError, message):
        conv_weight_grad(X, dy, (3, 3), backend="winograd")


@pytest.mark.parametrize("operator", ["conv", "conv_input_grad", "conv_weight_grad"])
def test_an_overflow_on_the_way_is_refused(operator: str) -> None:
    """Sums of 1.6e38 stay below the largest float32, their transforms do not."""
    x, w = np.full((1, 1, 6, 6), 1e37, np.float32), np.ones((1, 1, 3, 3), np.float32)
    y = np.full((1, 1, 4, 4), 1e37, np.float32)
    ones = np.ones_like(y)
    calls = {
        "conv": lambda how: conv(x, w, **how),
        "conv_input_grad": lambda how: conv_input_grad(y, w, (6, 6), **how),
        "conv_weight_grad": lambda how: conv_weight_grad(x, ones, (3, 3), **how),
    }
    assert np.isfinite(calls[operator]({"backend": "numba"})).all()
    message = (
        f"{operator}: the transforms of the back end 'winograd' overflowed float32: on the way "
        "numbers are up to some million times as large as in the end; use 'numba', or divide the "
        "numbers by a power of two"
    )
    with refused(WordError, message):
        calls[operator]({"backend": "winograd"})


def test_results_whose_own_sum_overflows_are_no_fault() -> None:
    x, w = np.full((1000, 1, 4, 4), 2.0**117, np.float32), np.zeros((1, 1, 3, 3), np.float32)
    w[0, 0, 1, 1] = 1
    y = conv(x, w, backend="winograd")
    np.testing.assert_array_equal(y, np.full((1000, 1, 2, 2), 2.0**117, np.float32))
    assert y.sum(dtype=np.float64) > np.finfo(np.float32).max


def test_transforms_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_bytes", lambda: 2**18)
    message = (
        "conv: the transforms of the kernels would need 294912 bytes (288.0 KiB), and this machine "
        "has 256.0 KiB; use smaller sizes, or split the batch"
    )
    with refused(TooLargeError, message):
        conv(
            np.ones((32, 9, 9), np.float32), np.ones((64, 32, 3, 3), np.float32), backend="winograd"
        )


def test_only_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """By argument, context or environment; it is not one of those that agree on every input."""
    calls: list[str] = []

    def forward(*operands: Any) -> None:
        calls.append("winograd")

    monkeypatch.delenv("CONVREF_BACKEND", raising=False)
    monkeypatch.setattr(winograd, "forward", forward)
    conv(X, W)
    assert not calls
    assert "winograd" not in backends()
    conv(X, W, backend="Winograd")
    with using_backend("winograd"):
        conv(X, W)
    monkeypatch.setenv("CONVREF_BACKEND", "winograd")
    conv(X, W)
    assert len(calls) == 3
