"""Every back end within the rounding bound of a wider reference, element by element."""

from collections.abc import Callable
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounding import ARITHMETICS, Arithmetic, bound
from strategies import Problem, problems, reals

from convref import conv, conv_input_grad, conv_weight_grad

Array = np.ndarray[Any, Any]
Operator = Callable[..., Array]
SEEDS = st.integers(0, 2**32 - 1)


def check(
    run: Operator,
    oracle: Operator,
    operands: tuple[Array, ...],
    arithmetic: Arithmetic,
) -> None:
    """Hold ``run(*operands)`` against the oracle of the same operands in a wider dtype.

    The oracle of moduli is the sum of the products' moduli, that of ones the number of terms.
    """
    output = run(*operands)
    assert output.dtype == arithmetic.dtype
    wide = [array.astype(arithmetic.reference) for array in operands]
    reference = oracle(*wide)
    allowed = bound(
        reference,
        oracle(*map(abs, wide)),
        oracle(*(np.ones(array.shape, np.int64) for array in operands)),
        arithmetic,
    )
    error = abs(output.astype(arithmetic.reference) - reference)
    assert np.isfinite(output).all()
    assert (error <= allowed).all(), (error - allowed).max()


@pytest.fixture(params=ARITHMETICS, scope="session")
def arithmetic(request: pytest.FixtureRequest) -> Arithmetic:
    return ARITHMETICS[request.param]


@given(p=problems(), seed=SEEDS)
def test_forward(backend: str, arithmetic: Arithmetic, p: Problem, seed: int) -> None:
    real = p.with_reals(seed, arithmetic.dtype)
    bias = real.w.ravel()[: len(real.w)]
    check(
        lambda x, w, bias: conv(x, w, bias, backend=backend, **p.words),
        lambda x, w, bias: oracles.forward(x, w, bias, **p.words),
        (real.x, real.w, bias),
        arithmetic,
    )


@given(p=problems(), seed=SEEDS)
def test_input_grad(backend: str, arithmetic: Arithmetic, p: Problem, seed: int) -> None:
    real = p.with_reals(seed, arithmetic.dtype)
    check(
        lambda dy, w: conv_input_grad(dy, w, p.input_size, backend=backend, **p.words),
        lambda dy, w: oracles.input_grad(dy, w, p.input_size, **p.words),
        (real.dy, real.w),
        arithmetic,
    )


@given(p=problems(), seed=SEEDS)
def test_weight_grad(backend: str, arithmetic: Arithmetic, p: Problem, seed: int) -> None:
    real = p.with_reals(seed, arithmetic.dtype)
    check(
        lambda x, dy: conv_weight_grad(x, dy, p.kernel, backend=backend, **p.words),
        lambda x, dy: oracles.weight_grad(x, dy, p.kernel, **p.words),
        (real.x, real.dy),
        arithmetic,
    )


@pytest.mark.numba
@pytest.mark.parametrize("name", ["float16", "float32", "float64", "complex64"])
def test_many_terms(name: str, rng: np.random.Generator) -> None:
    """A layer of real size: 64 channels by 3 x 3 taps, 576 terms a sum."""
    arithmetic = ARITHMETICS[name]
    x, w = (reals(rng, shape, arithmetic.dtype) for shape in ((2, 64, 12, 12), (48, 64, 3, 3)))
    for backend in ("numpy", "numba"):
        check(
            lambda x, w, backend=backend: conv(x, w, padding=1, backend=backend),
            lambda x, w: oracles.forward(x, w, padding=1),
            (x, w),
            arithmetic,
        )


def test_a_wrong_tap_exceeds_the_bound(rng: np.random.Generator) -> None:
    """The bound is tight enough to see one float32 product left out of 576."""
    arithmetic = ARITHMETICS["float32"]
    x = rng.standard_normal((1, 64, 5, 5)).astype(np.float32)
    w = rng.standard_normal((1, 64, 3, 3)).astype(np.float32)
    damaged = w.copy()
    damaged[0, 0, 0, 0] = 0
    with pytest.raises(AssertionError):
        check(lambda x, w: conv(x, damaged), oracles.forward, (x, w), arithmetic)
