"""Initialisers: limits, moments, orthogonality, seeds."""

from collections.abc import Callable
from math import erf, exp, pi, prod, sqrt
from typing import Any

import numpy as np
import pytest
from messages import refused

from convref import ShapeError, WordError
from convref.initialisers import (
    INITIALISERS,
    KEPT,
    Constant,
    Fans,
    Normal,
    Ones,
    Orthogonal,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
    Zeros,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
)
from convref.layers import Conv2d

SHAPE = (64, 48, 3, 5)
INTO, OUT = 48 * 15, 64 * 15


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((6, 4), (4, 6)), ((6, 2, 3, 5), (30, 90)), ((7,), (1, 7)), ((), (1, 1))],
)
def test_fans(shape: tuple[int, ...], fans: tuple[int, int]) -> None:
    assert Fans.of(shape) == fans


def test_constants(rng: np.random.Generator) -> None:
    for initialiser, value in ((Zeros(), 0), (Ones(), 1), (Constant(-2.5), -2.5)):
        found = initialiser((2, 3), rng)
        np.testing.assert_array_equal(found, np.full((2, 3), float(value)), strict=True)


UNIFORM = {
    "glorot_uniform": sqrt(6 / (INTO + OUT)),
    "xavier_uniform": sqrt(6 / (INTO + OUT)),
    "he_uniform": sqrt(6 / INTO),
    "kaiming_uniform": sqrt(6 / INTO),
    "lecun_uniform": sqrt(3 / INTO),
    "uniform": 0.05,
    "random_uniform": 0.05,
}
"""Half the width, as in the papers."""
VARIANCE = {
    "glorot_normal": 2 / (INTO + OUT),
    "xavier_normal": 2 / (INTO + OUT),
    "he_normal": 2 / INTO,
    "kaiming_normal": 2 / INTO,
    "lecun_normal": 1 / INTO,
    "variance_scaling": 1 / INTO,
    "truncated_normal": (0.05 * KEPT) ** 2,
    "normal": 0.05**2,
    "random_normal": 0.05**2,
}


def assert_moments(found: np.ndarray[Any, Any], variance: float) -> None:
    """Mean 0 and this variance, within five standard errors.

    That of the variance is at most ``variance * sqrt(2 / n)``, for a kurtosis of 3 or less.
    """
    assert abs(found.mean()) <= 5 * sqrt(variance / found.size)
    assert abs(np.mean(found**2) - variance) <= 5 * variance * sqrt(2 / found.size)


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform(name: str, rng: np.random.Generator) -> None:
    """As wide as its limits: of n draws all stay 20/n of the width away once in e**20 times."""
    found = INITIALISERS[name]()(SHAPE, rng)
    limit = UNIFORM[name]
    room = 20 / found.size * 2 * limit
    assert -limit <= found.min() <= -limit + room
    assert limit - room <= found.max() <= limit * (1 + 4 * np.finfo(float).eps)
    assert_moments(found, limit**2 / 3)


@pytest.mark.parametrize("name", VARIANCE)
def test_normal(name: str, rng: np.random.Generator) -> None:
    found = INITIALISERS[name]()(SHAPE, rng)
    assert_moments(found, VARIANCE[name])
    deviations = np.abs(found).max() / sqrt(VARIANCE[name])
    if name in ("normal", "random_normal"):
        assert deviations > 3
    else:  # the largest of so many lies close to where they are cut off
        assert 2 / KEPT * (1 - 1e-2) <= deviations <= 2 / KEPT * (1 + 4 * np.finfo(float).eps)


def test_every_name_is_checked() -> None:
    other = {"constant", "zeros", "ones", "orthogonal"}
    assert {*UNIFORM, *VARIANCE, *other} == {*INITIALISERS}
    for name in INITIALISERS:
        found = Conv2d(4, 5, 3, weight_initialiser=name.upper(), rng=0).weight.value
        assert found.shape == (5, 4, 3, 3)


def test_what_truncation_leaves() -> None:
    """The integral of z**2 over the density between -2 and 2, over that of the density."""
    inside = erf(sqrt(2))
    density = exp(-2) / sqrt(2 * pi)
    assert abs(KEPT - sqrt(1 - 4 * density / inside)) <= 4 * np.finfo(float).eps


def test_mean_and_deviation(rng: np.random.Generator) -> None:
    for initialiser, kept in ((Normal(3.0, 0.5), 1.0), (TruncatedNormal(3.0, 0.5), KEPT)):
        assert_moments(initialiser(SHAPE, rng) - 3, (0.5 * kept) ** 2)
    assert np.all(TruncatedNormal(3.0, 0.0)((4, 4), rng) == 3)
    found = Uniform(2.0, 3.0)(SHAPE, rng)
    assert found.min() >= 2
    assert found.max() < 3


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["uniform", "normal", "truncated_normal"])
def test_variance_scaling(mode: str, distribution: str, rng: np.random.Generator) -> None:
    fan = {"fan_in": 10, "fan_out": 30, "fan_avg": 20}[mode]
    found = VarianceScaling(3.0, mode, distribution)(SHAPE, rng, Fans(10, 30))
    assert_moments(found, 3 / fan)


def test_numbers_that_no_float_can_hold() -> None:
    with pytest.raises(WordError, match=r"must be a number; such as value=0\.1"):
        Constant(10**400)


def test_presets() -> None:
    """A slope of the square root of 5 gives the weights that PyTorch's convolutions begin with."""
    rng = np.random.default_rng(0)
    limit = np.abs(he_uniform(sqrt(5))(SHAPE, rng)).max()
    assert (1 - 1e-3) / sqrt(INTO) <= limit <= (1 + 4 * np.finfo(float).eps) / sqrt(INTO)
    assert he_normal(1.0) == VarianceScaling(1.0, "fan_in", "truncated_normal") == lecun_normal()
    assert he_uniform(1.0) == lecun_uniform()
    assert glorot_uniform().mode == glorot_normal().mode == "fan_avg"


@pytest.mark.parametrize("name", INITIALISERS)
def test_seeds(name: str) -> None:
    first, again, other = (
        INITIALISERS[name]()((6, 5, 3), np.random.default_rng(seed)) for seed in (7, 7, 8)
    )
    assert first.dtype == np.float64
    assert first.shape == (6, 5, 3)
    assert first.flags.c_contiguous
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) == (name in ("zeros", "ones", "constant"))


@pytest.mark.parametrize("shape", [(8, 2, 3, 3), (30, 2, 3), (6, 6), (1, 5), (5, 1)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    """A Q of Householder's method is orthogonal within gamma of rows * columns.

    (Higham, Accuracy and Stability of Numerical Algorithms, theorem 19.4.) It is the Q of that
    decomposition of the normal matrix which has a positive diagonal in R.
    """
    found = Orthogonal(gain=-3.0)(shape, np.random.default_rng(1)).reshape(shape[0], -1) / -3.0
    q = found if len(found) >= found.shape[1] else found.T
    bound = 8 * q.size * np.finfo(float).eps
    assert np.all(np.abs(q.T @ q - np.eye(q.shape[1])) <= bound)
    drawn = np.random.default_rng(1).standard_normal(q.shape)
    r = q.T @ drawn
    assert np.all(np.abs(np.tril(r, -1)) <= bound * np.linalg.norm(drawn))
    assert np.all(np.diag(r) > 0)
    assert prod(shape) == found.size


REFUSED: dict[str, tuple[Any, Callable[[], Any], str]] = {
    "a value": (
        WordError,
        lambda: Constant("1"),
        "Constant: `value` (='1') must be a number; such as value=0.1",
    ),
    "limits": (
        WordError,
        lambda: Uniform(1.0, 0.5),
        "Uniform: `low` (=1.0) is above `high` (=0.5); exchange them",
    ),
    "a deviation": (
        WordError,
        lambda: Normal(0.0, -1),
        "Normal: `standard_deviation` (=-1) must be a number of 0 or more; such as "
        "standard_deviation=0.1",
    ),
    "a truncated deviation": (
        WordError,
        lambda: TruncatedNormal(0.0, float("nan")),
        "TruncatedNormal: `standard_deviation` (=nan) must be a number of 0 or more; such as "
        "standard_deviation=0.1",
    ),
    "a scale": (
        WordError,
        lambda: VarianceScaling(0.0),
        "VarianceScaling: `scale` (=0.0) must be a number above 0; such as scale=0.1",
    ),
    "a mode": (
        WordError,
        lambda: VarianceScaling(1.0, "fan_im"),
        "VarianceScaling: `mode` (='fan_im') is unknown; did you mean 'fan_in'?",
    ),
    "a distribution": (
        WordError,
        lambda: VarianceScaling(1.0, "fan_in", "cauchy"),
        "VarianceScaling: `distribution` (='cauchy') is unknown; use one of 'uniform', 'normal', "
        "'truncated_normal'",
    ),
    "a slope": (
        WordError,
        lambda: he_uniform(None),
        "he_uniform: `a` (=None) must be a number; such as a=0.1",
    ),
    "a gain": (
        WordError,
        lambda: Orthogonal(float("inf")),
        "Orthogonal: `gain` (=inf) must be a number; such as gain=0.1",
    ),
    "an orthogonal bias": (
        ShapeError,
        lambda: Conv2d(1, 2, 3, bias_initialiser="orthogonal"),
        'Conv2d: an orthogonal matrix has two axes or more, not the shape (2,); use "zeros" for '
        "a bias",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    kind, call, text = REFUSED[name]
    with refused(kind, text):
        call()
