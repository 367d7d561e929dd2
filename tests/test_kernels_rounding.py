"""Every back end within the rounding bound of a wider reference, element by element."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounding import ARITHMETICS, Arithmetic, bound
from strategies import Problem, problems, reals

from convref import backends, conv, conv_input_grad, conv_weight_grad

Array = np.ndarray[Any, Any]
Operator = Callable[..., Array]
SEEDS = st.integers(0, 2**32 - 1)


def check(
    run: Operator,
    oracle: Operator,
    operands: tuple[Array, ...],
    arithmetic: Arithmetic,
    names: Iterable[str] = ("numpy",),
) -> None:
    """Hold ``run(*operands, backend=name)`` against the oracle of the operands in a wider dtype.

    The oracle of moduli is the sum of the products' moduli, that of ones the number of terms.
    """
    wide = [array.astype(arithmetic.reference) for array in operands]
    reference = oracle(*wide)
    allowed = bound(
        reference,
        oracle(*map(abs, wide)),
        oracle(*(np.ones(array.shape, np.int64) for array in operands)),
        arithmetic,
    )
    for name in names:
        output = run(*operands, backend=name)
        assert output.dtype == arithmetic.dtype, name
        error = abs(output.astype(arithmetic.reference) - reference)
        assert np.isfinite(output).all(), name
        assert (error <= allowed).all(), (name, (error - allowed).max())


@pytest.fixture(params=ARITHMETICS, scope="session")
def arithmetic(request: pytest.FixtureRequest) -> Arithmetic:
    return ARITHMETICS[request.param]


@given(p=problems(), seed=SEEDS)
def test_forward(arithmetic: Arithmetic, p: Problem, seed: int) -> None:
    real = p.with_reals(seed, arithmetic.dtype)
    bias = real.w.ravel()[: len(real.w)]
    check(
        partial(conv, **p.words),
        partial(oracles.forward, **p.words),
        (real.x, real.w, bias),
        arithmetic,
        backends(),
    )


@given(p=problems(), seed=SEEDS)
def test_input_grad(arithmetic: Arithmetic, p: Problem, seed: int) -> None:
    real = p.with_reals(seed, arithmetic.dtype)
    check(
        partial(conv_input_grad, input_size=p.input_size, **p.words),
        partial(oracles.input_grad, input_size=p.input_size, **p.words),
        (real.dy, real.w),
        arithmetic,
        backends(),
    )


@given(p=problems(), seed=SEEDS)
def test_weight_grad(arithmetic: Arithmetic, p: Problem, seed: int) -> None:
    real = p.with_reals(seed, arithmetic.dtype)
    check(
        partial(conv_weight_grad, kernel_size=p.kernel, **p.words),
        partial(oracles.weight_grad, kernel=p.kernel, **p.words),
        (real.x, real.dy),
        arithmetic,
        backends(),
    )


@pytest.mark.numba
@pytest.mark.parametrize("name", ["float16", "float32", "float64", "complex64"])
def test_many_terms(name: str, rng: np.random.Generator) -> None:
    """A layer of real size: 64 channels by 3 x 3 taps, 576 terms a sum."""
    arithmetic = ARITHMETICS[name]
    x, w = (reals(rng, shape, arithmetic.dtype) for shape in ((2, 64, 12, 12), (48, 64, 3, 3)))
    run, oracle = partial(conv, padding=1), partial(oracles.forward, padding=1)
    check(run, oracle, (x, w), arithmetic, ("numpy", "numba"))


def test_a_wrong_tap_exceeds_the_bound(rng: np.random.Generator) -> None:
    """The bound is tight enough to see one float32 product left out of 576."""
    arithmetic = ARITHMETICS["float32"]
    x = rng.standard_normal((1, 64, 5, 5)).astype(np.float32)
    w = rng.standard_normal((1, 64, 3, 3)).astype(np.float32)
    damaged = w.copy()
    damaged[0, 0, 0, 0] = 0
    with pytest.raises(AssertionError, match="numpy"):
        check(lambda x, w, backend: conv(x, damaged), oracles.forward, (x, w), arithmetic)
