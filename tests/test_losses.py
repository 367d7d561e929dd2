"""Losses: their formulas, gradients by central differences, what they refuse."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gradients import directional, integers
from messages import refused

from convref import DtypeError, ShapeError, WordError
from convref.losses import mean_squared_error, softmax_cross_entropy


def by_definition(x: Any, p: Any, axis: int) -> Any:
    """In long double: the loss, and the gradient."""
    x = x.astype(np.longdouble)
    softmax = np.exp(x) / np.sum(np.exp(x), axis, keepdims=True)
    count = x.size // x.shape[axis]
    loss = -np.sum(p * np.log(softmax)) / count
    return loss, (softmax * np.sum(p, axis, keepdims=True) - p) / count


@pytest.mark.parametrize(
    ("shape", "axis"), [((7, 4), -1), ((7, 4), 1), ((3, 5, 2, 4), 1), ((6,), 0)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy(
    shape: tuple[int, ...], axis: int, dtype: str, rng: np.random.Generator
) -> None:
    """By classes, by the same as ones and zeros, and by probabilities.

    Logarithms of at most 12, of sums of up to six exponentials, each of few roundings.
    """
    x = rng.uniform(-5, 5, shape).astype(dtype)
    classes = rng.integers(0, shape[axis], shape[:axis] + shape[axis:][1:])
    hot = np.moveaxis(np.eye(shape[axis])[classes], -1, axis)
    smooth = rng.dirichlet(np.ones(shape[axis]), classes.shape)
    smooth = np.moveaxis(smooth, -1, axis).astype(dtype)
    bound = 32 * np.finfo(dtype).eps
    for labels, p in ((classes, hot), (hot, hot), (hot.astype(int), hot), (smooth, smooth)):
        loss, gradient = softmax_cross_entropy(x, labels, axis)
        expected, slope = by_definition(x, p, axis)
        assert type(loss) is float
        assert gradient.dtype == dtype
        assert abs(loss - expected) <= 12 * bound
        assert np.all(np.abs(gradient - slope) <= bound)


@pytest.mark.parametrize("labels", ["classes", "probabilities"])
def test_gradient_of_cross_entropy(labels: str, rng: np.random.Generator) -> None:
    x, direction = rng.standard_normal((2, 6, 5, 3))
    given = rng.integers(0, 5, (6, 3)) if labels == "classes" else rng.random((6, 5, 3))
    loss, gradient = softmax_cross_entropy(x, given, 1)
    wanted, slack = directional(
        lambda t: softmax_cross_entropy(x + t * direction, given, 1)[0], abs(loss) + 1
    )
    assert abs(np.sum(gradient * direction) - wanted) <= slack


def test_far_logits() -> None:
    """Exact where softmax is 0 or 1; nothing overflows."""
    far = np.array([[1e308, -1e308], [-1e5, 1e5], [0.0, -np.inf]])
    loss, gradient = softmax_cross_entropy(far[1:2], [0])
    assert loss == 2e5
    np.testing.assert_array_equal(gradient, [[-1, 1]])
    loss, gradient = softmax_cross_entropy(far, [0, 1, 0])
    assert loss == 0
    np.testing.assert_array_equal(gradient, np.zeros((3, 2)))
    loss, gradient = softmax_cross_entropy(far, np.array([[1, 0], [0, 1], [1, 0]]))
    assert loss == 0


def test_arguments_stay_as_they_are(rng: np.random.Generator) -> None:
    x, p = rng.random((2, 4, 5))
    kept = x.copy(), p.copy()
    for labels in ([0, 1, 2, 3], p):
        softmax_cross_entropy(x, labels)
    mean_squared_error(x, p)
    np.testing.assert_array_equal((x, p), kept)


@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16])
def test_narrow_dtypes_round_once(dtype: Any, rng: np.random.Generator) -> None:
    x, target = rng.standard_normal((2, 6, 5)).astype(dtype)
    wide = x.astype(np.float32), target.astype(np.float32)
    loss, gradient = softmax_cross_entropy(x, [0, 1, 2, 3, 4, 0])
    expected, slope = softmax_cross_entropy(wide[0], [0, 1, 2, 3, 4, 0])
    assert loss == expected
    np.testing.assert_array_equal(gradient, slope.astype(dtype), strict=True)
    loss, gradient = mean_squared_error(x, target)
    expected, slope = mean_squared_error(*wide)
    assert loss == expected
    np.testing.assert_array_equal(gradient, slope.astype(dtype), strict=True)


def test_mean_squared_error(rng: np.random.Generator) -> None:
    y, target = integers(rng, 4, 8), integers(rng, 4, 8)
    loss, gradient = mean_squared_error(y, target)
    assert type(loss) is float
    assert loss == np.sum((y - target) ** 2) / 32
    np.testing.assert_array_equal(gradient, (y - target) / 16, strict=True)
    found, slope = mean_squared_error(y.astype(int), target.astype(int))
    assert found == loss
    np.testing.assert_array_equal(slope, gradient, strict=True)


def test_mean_squared_error_of_complex_numbers(rng: np.random.Generator) -> None:
    y, target, direction = rng.standard_normal((3, 4, 5, 2)) @ np.array([1, 1j])
    loss, gradient = mean_squared_error(y, target)
    wanted, slack = directional(lambda t: mean_squared_error(y + t * direction, target)[0], loss)
    assert abs(np.sum(gradient * direction).real - wanted) <= slack
    assert mean_squared_error(y, target.real)[1].dtype == np.complex128


def test_empty_batches() -> None:
    for loss, gradient in (
        softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, int)),
        mean_squared_error(np.zeros((0, 3)), np.zeros((0, 3))),
    ):
        assert loss == 0
        assert gradient.shape == (0, 3)


LOGITS = np.zeros((2, 3))
REFUSED: dict[str, tuple[Any, Callable[[], Any], str]] = {
    "a class too many": (
        WordError,
        lambda: softmax_cross_entropy(LOGITS, [0, 3]),
        "softmax_cross_entropy: `labels` has a class 3, and there are 3 classes; use 0 to 2",
    ),
    "a negative class": (
        WordError,
        lambda: softmax_cross_entropy(LOGITS, [-1, 0]),
        "softmax_cross_entropy: `labels` has a class -1, and there are 3 classes; use 0 to 2",
    ),
    "classes that are floats": (
        DtypeError,
        lambda: softmax_cross_entropy(LOGITS, [0.0, 1.0]),
        "softmax_cross_entropy: `labels` (float64) of shape (2,) must be integers; convert classes "
        "by .astype(int), or give a probability for each class",
    ),
    "too few classes": (
        ShapeError,
        lambda: softmax_cross_entropy(LOGITS, [0]),
        "softmax_cross_entropy: `labels` (shape (1,)) are neither one class for each of (2,) nor "
        "probabilities of the shape of `logits`, (2, 3); check them, and `axis`",
    ),
    "an axis": (
        ShapeError,
        lambda: softmax_cross_entropy(LOGITS, [0, 1], axis=2),
        "softmax_cross_entropy: `axis` (=2) is not one of the 2 axes of `logits` (shape (2, 3)); "
        "use -1 for the last",
    ),
    "complex logits": (
        DtypeError,
        lambda: softmax_cross_entropy(LOGITS + 1j, [0, 1]),
        "softmax_cross_entropy: `logits` (complex128) must be real; pass real numbers",
    ),
    "words": (
        DtypeError,
        lambda: softmax_cross_entropy(LOGITS, ["a", "b"]),
        "softmax_cross_entropy: `labels` has dtype <U1, which can't be convolved; use one of "
        "float16, bfloat16, float32, float64, complex64, complex128, integers and booleans",
    ),
    "no classes at all": (
        ShapeError,
        lambda: softmax_cross_entropy(np.zeros((2, 0)), [0, 0]),
        "softmax_cross_entropy: `logits` (shape (2, 0)) has no classes along `axis` (=-1); give it "
        "one or more",
    ),
    "other shapes": (
        ShapeError,
        lambda: mean_squared_error(LOGITS, np.zeros(3)),
        "mean_squared_error: `target` has shape (3,), and `y` has (2, 3); make them equal",
    ),
    "a complex target": (
        DtypeError,
        lambda: mean_squared_error(LOGITS, LOGITS + 1j),
        "mean_squared_error: `target` (complex128) is complex and `y` (float64) is not; compare "
        "with its real part, or convert y",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    kind, call, text = REFUSED[name]
    with refused(kind, text):
        call()
