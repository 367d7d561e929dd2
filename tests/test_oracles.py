"""The oracles against other people's code, and against numbers worked by hand."""

import ml_dtypes
import numpy as np
import oracles
import pytest
import rounding
from scipy.signal import correlate


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_valid_is_scipys_correlation(rng: np.random.Generator, rank: int) -> None:
    x, w = rng.integers(-9, 9, (1, 2, *[6] * rank)), rng.integers(-9, 9, (1, 2, *[3] * rank))
    expected = sum(correlate(x[0, c], w[0, c], "valid", "direct") for c in range(2))
    np.testing.assert_array_equal(oracles.forward(x, w)[0, 0], expected)


def test_numpys_correlate_and_convolve(rng: np.random.Generator) -> None:
    x, w = rng.integers(-9, 9, 12), rng.integers(-9, 9, 5)
    y = oracles.forward(x[None], w[None, None], padding=4)
    np.testing.assert_array_equal(y[0], np.correlate(x, w, "full"))
    dx = oracles.input_grad(x[None], w[None, None], (16,))
    np.testing.assert_array_equal(dx[0], np.convolve(x, w, "full"))


def test_strided_dilated_cropped_by_hand() -> None:
    x = np.array([[1, 2, 3, 4, 5, 6, 7]])
    w = np.array([[[1, 10]]])
    # Cropped to 2 ... 7 and padded after: 2 3 4 5 6 7 0, taps two apart, every third position.
    y = oracles.forward(x, w, stride=3, dilation=2, padding=[(-1, 1)])
    np.testing.assert_array_equal(y, [[2 + 40, 5 + 70]])
    dw = oracles.weight_grad(x, np.array([[1, 100]]), (2,), stride=3, dilation=2, padding=[(-1, 1)])
    np.testing.assert_array_equal(dw, [[[502, 704]]])


def test_spread_out_input_by_hand() -> None:
    x, w = np.array([[1, 2]]), np.array([[[1, 10, 100]]])
    y = oracles.forward(x, w, input_dilation=3, padding=[(0, 2)])  # 1 0 0 2 0 0
    np.testing.assert_array_equal(y, [[1, 200, 20, 2]])


@pytest.mark.parametrize(
    ("mode", "canvas"),
    [
        ("zeros", [0, 0, 0, 1, 2, 3, 0]),
        ("reflect", [2, 3, 2, 1, 2, 3, 2]),
        ("replicate", [1, 1, 1, 1, 2, 3, 3]),
        ("circular", [1, 2, 3, 1, 2, 3, 1]),
    ],
)
def test_padding_modes_by_hand(mode: str, canvas: list[int]) -> None:
    x, words = np.array([[1, 2, 3]]), {"padding": [(3, 1)], "padding_mode": mode}
    np.testing.assert_array_equal(oracles.forward(x, np.array([[[1]]]), **words), [canvas])
    counts = [canvas.count(value) for value in (1, 2, 3)]
    dx = oracles.input_grad(np.ones((1, 7), int), np.array([[[1]]]), (3,), **words)
    np.testing.assert_array_equal(dx, [counts])


def test_gamma_and_the_rounding_of_the_output() -> None:
    half = rounding.ARITHMETICS["float16"]
    assert rounding.unit_roundoff(half.dtype) == 2.0**-11
    assert rounding.unit_roundoff(np.dtype(ml_dtypes.bfloat16)) == 2.0**-8
    assert rounding.gamma(np.array(2), np.longdouble(0.25)) == 1
    one = np.array(1.0)
    assert rounding.bound(one, one, np.array(1), half) > 2.0**-11
    assert rounding.bound(one, one, np.array(1), rounding.ARITHMETICS["float32"]) < 2.0**-23
