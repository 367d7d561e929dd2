"""Every back end against the oracle, in exact integers, for all three operators."""

from itertools import product
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from strategies import LARGE, Problem, problems

from convref import Geometry, backends, conv, conv_input_grad, conv_vjp, conv_weight_grad
from convref.backends import kernels

Array = np.ndarray[Any, Any]
pytestmark = pytest.mark.uncompiled
thoroughly = settings(max_examples=4 * settings.default.max_examples)


def same(actual: Array, expected: Array, name: str = "") -> None:
    """Equal element for element, of the same shape and dtype, and laid out in order."""
    np.testing.assert_array_equal(actual, expected, name, strict=True)
    assert actual.flags.c_contiguous


@thoroughly
@given(p=problems())
def test_forward(p: Problem) -> None:
    expected = oracles.forward(p.x, p.w, **p.words)
    for name in backends():
        same(conv(p.x, p.w, backend=name, **p.words), expected, name)


@thoroughly
@given(p=problems())
def test_input_grad(p: Problem) -> None:
    expected = oracles.input_grad(p.dy, p.w, p.input_size, **p.words)
    for name in backends():
        same(conv_input_grad(p.dy, p.w, p.input_size, backend=name, **p.words), expected, name)


@thoroughly
@given(p=problems())
def test_weight_grad(p: Problem) -> None:
    expected = oracles.weight_grad(p.x, p.dy, p.kernel, **p.words)
    for name in backends():
        same(conv_weight_grad(p.x, p.dy, p.kernel, backend=name, **p.words), expected, name)


@given(p=problems())
def test_the_trilinear_form_three_ways(backend: str, p: Problem) -> None:
    """``<dy, y> = <dx, x> = <dw, w>``."""
    y = conv(p.x, p.w, backend=backend, **p.words)
    dx, dw, db = conv_vjp(p.x, p.w, p.dy, backend=backend, **p.words)
    assert np.vdot(p.dy, y) == np.vdot(dx, p.x) == np.vdot(dw, p.w)
    same(db, p.channels_first(p.dy).sum((*range(len(p.batch)), *range(-p.rank, 0))))


@pytest.mark.usefixtures("eager_threads")
@thoroughly
@given(p=problems(scale=LARGE))
def test_many_channels_and_positions(p: Problem) -> None:
    """Exact in every dtype, for the values are small integers."""
    expected = (
        oracles.forward(p.x, p.w, **p.words),
        oracles.input_grad(p.dy, p.w, p.input_size, **p.words),
        oracles.weight_grad(p.x, p.dy, p.kernel, **p.words),
    )
    # The first back end is too slow for so many products.
    for name, dtype in product(backends()[1:], ("int64", "float32", "float64", "complex64")):
        q = p.astype(dtype)
        dx, dw, _ = conv_vjp(q.x, q.w, q.dy, backend=name, **p.words)
        y = conv(q.x, q.w, backend=name, **p.words)
        for actual, exact in zip((y, dx, dw), expected, strict=True):
            same(actual, exact.astype(dtype), f"{name}, {dtype}")


@given(p=problems())
def test_bias(backend: str, p: Problem) -> None:
    same(
        conv(p.x, p.w, p.bias(), backend=backend, **p.words),
        oracles.forward(p.x, p.w, p.bias(), **p.words),
    )


def test_the_definition_by_hand(backend: str) -> None:
    x = np.arange(1, 10).reshape(1, 3, 3)
    w = np.array([[[[1, 0], [0, -1]]], [[[0, 1], [1, 0]]]])
    same(conv(x, w, backend=backend), np.array([[[-4, -4], [-4, -4]], [[6, 8], [12, 14]]]))


def test_what_the_filled_array_held_does_not_matter(backend: str, rng: np.random.Generator) -> None:
    """Two calls of each kernel, of which the second finds its target full of the first's sums."""
    geometry = Geometry.of((5, 6), (3, 2), stride=2)
    sizes = [(2, 2, 3, 30), (2, 4, 3, 6), (2, 2, 4, len(geometry.origins))]
    module = kernels(backend, np.dtype(np.int64))
    for filled, kernel in enumerate((module.input_grad, module.forward, module.weight_grad)):
        operands = [rng.integers(-9, 9, size) for size in sizes]
        target = operands[(0, 2, 1)[filled]]
        kernel(*operands, geometry)
        once = target.copy()
        kernel(*operands, geometry)
        same(target, once)
        assert once.any()


@pytest.mark.parametrize("padding", [1, [(2, -1)]])
def test_operands_are_left_alone(backend: str, rng: np.random.Generator, padding: Any) -> None:
    x, w, dy = rng.random((2, 3, 9)), rng.random((4, 3, 3)), rng.random((2, 4, 9))
    dy = dy[..., : conv(x, w, padding=padding).shape[-1]].copy()
    arrays, before = (x, w, dy), [array.copy() for array in (x, w, dy)]
    for array in arrays:
        array.flags.writeable = False
    conv(x, w, padding=padding, backend=backend)
    conv_vjp(x, w, dy, padding=padding, backend=backend)
    for array, copy in zip(arrays, before, strict=True):
        same(array, copy)
