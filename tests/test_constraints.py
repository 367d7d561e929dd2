"""Constraints: norms over the axes asked for, as Keras scales them."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from messages import refused

from convref import ShapeError, WordError
from convref.constraints import CONSTRAINTS, MaxNorm, MinMaxNorm, NonNegative, UnitNorm

W = np.array([[[3.0, 0.0]], [[6.0, 8.0]], [[0.0, 0.5]], [[0.0, 0.0]]])
"""Filters with norms of 3, 10, 0.5 and 0."""
NORMS = np.array([3.0, 10.0, 0.5, 0.0])[:, None, None]


@pytest.mark.parametrize(
    ("constraint", "wanted"),
    [
        (MaxNorm(), [2, 2, 0.5, 0]),
        (MaxNorm(4), [3, 4, 0.5, 0]),
        (UnitNorm(), [1, 1, 1, 1]),
        (MinMaxNorm(), [1, 1, 0.5, 0]),
        (MinMaxNorm(1, 4), [3, 4, 1, 1]),
        (MinMaxNorm(1, 4, rate=0.5), [3, 7, 0.75, 0.5]),
    ],
)
def test_norms(constraint: Any, wanted: list[float]) -> None:
    """``w * (wanted / (1e-7 + norm))``, exactly as Keras writes it."""
    kept = W.copy()
    factor = np.array(wanted)[:, None, None] / (1e-7 + NORMS)
    np.testing.assert_array_equal(constraint(W), W * factor, strict=True)
    np.testing.assert_array_equal(W, kept)


@pytest.mark.parametrize("kind", [MaxNorm, MinMaxNorm, UnitNorm])
def test_axes(kind: Any, rng: np.random.Generator) -> None:
    w = rng.standard_normal((4, 3, 5))
    moved = kind(axes=(1, 2))(w)
    np.testing.assert_array_equal(kind()(w), moved)
    np.testing.assert_array_equal(kind(axes=(0, 2))(w.swapaxes(0, 1)), moved.swapaxes(0, 1))
    np.testing.assert_array_equal(kind(axes=-1)(w), kind(axes=(2,))(w))


def test_a_bias_is_taken_as_a_whole() -> None:
    bias = np.array([3.0, 4.0])
    np.testing.assert_array_equal(UnitNorm()(bias), bias * (1 / (5 + 1e-7)))


def test_non_negative() -> None:
    np.testing.assert_array_equal(NonNegative()(np.array([-1.0, 0.0, 2.0])), [0, 0, 2])


def test_complex_weights() -> None:
    w = np.array([[3 + 4j]])
    np.testing.assert_array_equal(MaxNorm(1)(w), w * (1 / (5 + 1e-7)))


@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16, "float32", "complex64"])
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_dtypes(name: str, dtype: Any) -> None:
    """Narrow ones through float32, whose squares can't overflow."""
    if name.startswith("non_neg") and dtype == "complex64":
        pytest.skip("complex numbers have no sign")
    w = np.full((1, 4), 300.0).astype(dtype)
    found = CONSTRAINTS[name]()(w)
    assert found.dtype == dtype
    assert np.all(found.astype(complex) != 0)


def test_names() -> None:
    kinds = {
        "max_norm": MaxNorm, "unit_norm": UnitNorm, "min_max_norm": MinMaxNorm,
        "non_negative": NonNegative, "non_neg": NonNegative,
    }  # fmt: skip
    assert {name: type(make()) for name, make in CONSTRAINTS.items()} == kinds


REFUSED: dict[str, tuple[Any, Callable[[], Any], str]] = {
    "a limit": (
        WordError,
        lambda: MaxNorm(-1),
        "MaxNorm: `limit` (=-1) must be a number of 0 or more; such as limit=0.1",
    ),
    "axes": (
        WordError,
        lambda: UnitNorm((0, 1.5)),
        "UnitNorm: `axes` (=1.5) must be made of integers; such as axes=1",
    ),
    "axes that are a list": (
        WordError,
        lambda: MaxNorm(1, [0]),
        "MaxNorm: `axes` (=[0]) must be made of integers; such as axes=1",
    ),
    "axes that are not there": (
        ShapeError,
        lambda: UnitNorm((0, 2))(np.ones((2, 3))),
        "`axes` (=(0, 2)) are not axes of the shape (2, 3); leave them out for all but the first",
    ),
    "an axis twice": (
        ShapeError,
        lambda: UnitNorm((0, 0))(np.ones((2, 3))),
        "`axes` (=(0, 0)) are not axes of the shape (2, 3); leave them out for all but the first",
    ),
    "limits": (
        WordError,
        lambda: MinMaxNorm(2.0, 1.0),
        "MinMaxNorm: `low` (=2.0) is above `high` (=1.0); exchange them",
    ),
    "a rate": (
        WordError,
        lambda: MinMaxNorm(rate=2),
        "MinMaxNorm: `rate` (=2) must be a number from 0 to 1; such as rate=0.1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    kind, call, text = REFUSED[name]
    with refused(kind, text):
        call()
