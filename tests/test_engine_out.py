"""The user's array for the result: what it must be, and that it is what comes back."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from messages import refused
from strategies import Problem, problems

import convref
from convref import DtypeError, ShapeError, WordError

Array = np.ndarray[Any, Any]
X, W = np.arange(12.0).reshape(2, 6), np.ones((3, 2, 2))
Y = convref.conv(X, W)
MEND = "pass np.empty((3, 5), 'float64')"


def operators(p: Problem) -> list[Callable[..., Array]]:
    return [
        lambda **how: convref.conv(p.x, p.w, p.bias(), **p.words, **how),
        lambda **how: convref.conv_input_grad(p.dy, p.w, p.input_size, **p.words, **how),
        lambda **how: convref.conv_weight_grad(p.x, p.dy, p.kernel, **p.words, **how),
    ]


@given(p=problems())
@pytest.mark.parametrize("dtype", ["int64", "float32", "float16"])
def test_out_is_filled_and_returned(backend: str, dtype: str, p: Problem) -> None:
    """Whatever it held before, and however it lies in memory."""
    for run in operators(p.astype(dtype)):
        expected = run(backend=backend)
        for out in (
            np.full(expected.shape, 99, expected.dtype),
            np.full((*expected.shape, 2), 99, expected.dtype)[..., 1],
            np.full(expected.shape[::-1], 99, expected.dtype).T,
        ):
            assert run(out=out, backend=backend) is out
            np.testing.assert_array_equal(out, expected, strict=True)


def test_neighbours_of_a_strided_out_are_left_alone() -> None:
    buffer = np.full((3, 10), 99.0)
    convref.conv(X, W, out=buffer[:, ::2])
    np.testing.assert_array_equal(buffer[:, ::2], Y)
    assert (buffer[:, 1::2] == 99).all()


def test_transposed_depthwise_and_separable_take_out() -> None:
    w, mix = np.ones((2, 1, 2)), np.ones((4, 2, 1))
    for run in (
        lambda **out: convref.conv_transpose(Y, W, [1.0, 2.0], **out),
        lambda **out: convref.depthwise_conv(X, w, **out),
        lambda **out: convref.separable_conv(X, w, mix, np.ones(4), **out),
        lambda **out: convref.conv1d(X, W, **out),
    ):
        expected = run()
        out = np.full_like(expected, 99)
        assert run(out=out) is out
        np.testing.assert_array_equal(out, expected)


def read_only() -> Array:
    out = np.empty((3, 5))
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("out", "kind", "message"),
    [
        ([[0.0]], DtypeError, "`out` is a list, not a NumPy array"),
        (
            np.empty((3, 4)),
            ShapeError,
            "`out` (shape (3, 4), float64) can't hold the output (shape (3, 5), float64)",
        ),
        (
            np.empty((1, 3, 5)),
            ShapeError,
            "`out` (shape (1, 3, 5), float64) can't hold the output (shape (3, 5), float64)",
        ),
        (
            np.empty((3, 5), np.float32),
            ShapeError,
            "`out` (shape (3, 5), float32) can't hold the output (shape (3, 5), float64)",
        ),
        (
            np.empty((3, 5), ">f8"),
            ShapeError,
            "`out` (shape (3, 5), >f8) can't hold the output (shape (3, 5), float64)",
        ),
        (read_only(), WordError, "`out` is read-only"),
    ],
)
def test_refused(out: Any, kind: type[convref.ConvrefError], message: str) -> None:
    with refused(kind, f"conv: {message}; {MEND}"):
        convref.conv(X, W, out=out)


def test_shape_of_a_channels_last_out() -> None:
    message = (
        "conv: `out` (shape (3, 5), float64) can't hold the output (shape (5, 3), float64); "
        "pass np.empty((5, 3), 'float64')"
    )
    with refused(ShapeError, message):
        convref.conv(X.T, W, layout="channels_last", out=np.empty((3, 5)))


def overlapping(operand: str) -> Array:
    """Buffers of which the first cells are an operand and the first 15 are ``out``."""
    buffer = np.ones(40)
    out = buffer[:15].reshape(3, 5)
    views = {
        "x": buffer[:12].reshape(2, 6),
        "w": buffer[:12].reshape(3, 2, 2),
        "bias": buffer[12:15],
    }
    return convref.conv(**{"x": X, "w": W, "bias": np.ones(3), operand: views[operand]}, out=out)


@pytest.mark.parametrize("operand", ["x", "w", "bias"])
def test_overlap_with_an_operand(operand: str) -> None:
    message = f"conv: `out` overlaps an input, which would change while it is read; {MEND}"
    with refused(WordError, message):
        overlapping(operand)


def test_overlap_in_the_gradients() -> None:
    square = np.ones((1, 1, 3))
    for call in (
        lambda: convref.conv_input_grad(square[0], square[..., :1], 3, out=square[0]),
        lambda: convref.conv_weight_grad(square[0], np.ones((1, 1)), (3,), out=square),
        lambda: convref.conv_weight_grad(np.ones((1, 5)), square[0], (3,), out=square),
    ):
        with pytest.raises(WordError, match="`out` overlaps an input"):
            call()


def test_an_interleaved_out_does_not_overlap() -> None:
    buffer = np.ones((4, 5, 2))
    x, out = buffer[:2, :, 0], buffer[:3, :, 1]
    y = convref.conv(x, np.ones((3, 2, 1)), out=out)
    np.testing.assert_array_equal(y, np.full((3, 5), 2.0))
