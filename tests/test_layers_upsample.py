"""Upsampling against matrices of fractions, one for each axis, written from the definition."""

from fractions import Fraction
from math import floor
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gradients import assert_affine, integers
from hypothesis import given
from hypothesis import strategies as st
from messages import refused
from rounding import gamma, unit_roundoff

from convref import ShapeError, WordError
from convref.layers.upsample import Upsample, Upsample1d, Upsample2d, Upsample3d
from convref.summary import Field

Array = Any
LAYOUTS = ["channels_first", "channels_last"]


def matrix(size: int, scale: int, mode: str, align_corners: bool) -> Array:
    """What each input position (column) counts for at each output position (row)."""
    rows = [[Fraction(0)] * size for _ in range(size * scale)]
    for o, row in enumerate(rows):
        if mode == "nearest":
            row[o // scale] += 1
            continue
        i = Fraction(2 * o + 1, 2 * scale) - Fraction(1, 2)
        if align_corners:
            i = Fraction(o * (size - 1), size * scale - 1) if size * scale > 1 else Fraction(0)
        i = min(max(i, Fraction(0)), Fraction(size - 1))
        row[floor(i)] += 1 - (i - floor(i))
        row[min(floor(i) + 1, size - 1)] += i - floor(i)
    return np.array(rows, object)


def upsampled(x: Array, scale: tuple[int, ...], mode: str, corners: bool, first: int) -> Array:
    """Exactly, axis by axis; x holds integers."""
    y = np.vectorize(Fraction, otypes=[object])(x.astype(int))
    for axis, factor in enumerate(scale, start=first):
        table = matrix(x.shape[axis], factor, mode, corners)
        y = np.moveaxis(np.moveaxis(y, axis, -1) @ table.T, -1, axis)
    return y.astype(np.float64)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Array, tuple[int, ...], dict[str, Any], int, Array]:
    """x, scale factors, words, the first spatial axis, and a generator."""
    rank = draw(st.integers(1, 3))
    scale = draw(st.tuples(*[st.integers(1, 4)] * rank))
    size = draw(st.tuples(*[st.integers(1, {1: 6, 2: 4, 3: 3}[rank])] * rank))
    batch = draw(st.sampled_from([(), (2,), (1, 2)]))
    last = draw(st.booleans())
    mode = draw(st.sampled_from(["nearest", "linear"]))
    words: dict[str, Any] = {"mode": mode, "layout": LAYOUTS[last]}
    if mode == "linear":
        words["align_corners"] = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (*batch, *size, 2) if last else (*batch, 2, *size)
    return integers(rng, *shape), scale, words, len(batch) + (not last), rng


@given(cases())
def test_any_upsampling(case: Any) -> None:
    """To within the rounding of a weight, a product and a sum of two on each axis."""
    x, scale, words, first, rng = case
    layer = Upsample(scale, **words)
    mode, corners = words["mode"], words.get("align_corners", False)
    y = layer(x)
    assert y.shape == layer.output_shape(x.shape)
    exact, moduli = (upsampled(a, scale, mode, corners, first) for a in (x, abs(x)))
    slack = gamma(np.array(4 * len(scale)), unit_roundoff(np.dtype(np.float64)))
    assert np.all(abs(y - exact) <= slack * moduli)
    # <dy, y> = <dx, x>, of sums of at most so many terms.
    dy = integers(rng, *y.shape)
    dx = layer.backward(dy)
    terms = np.array(y.size + 16 * len(scale))
    slack = 2 * gamma(terms, unit_roundoff(np.dtype(np.float64)))
    assert abs(np.sum(dy * exact) - np.sum(dx * x)) <= slack * np.sum(abs(dy) * moduli)


EXACT = [
    ("nearest", False, (3, 2), (3, 5)),
    ("linear", False, (2, 4), (5, 3)),
    ("linear", False, (1, 2), (4, 1)),
    ("linear", True, (3, 3), (3, 11)),
    ("linear", True, (1, 5), (5, 13)),
]
"""Mode, convention, factors and sizes for which the weights are binary fractions."""


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("mode", "corners", "scale", "size"), EXACT)
def test_the_gradient_is_exactly_the_transpose(
    mode: str, corners: bool, scale: Any, size: Any, layout: str, rng: np.random.Generator
) -> None:
    shape = (2, 3, *size) if layout == "channels_first" else (2, *size, 3)
    layer = Upsample(scale, mode=mode, align_corners=corners, layout=layout)
    assert_affine(layer, integers(rng, *shape), rng)
    x = integers(rng, *shape)
    expected = upsampled(x, scale, mode, corners, 2 if layout == "channels_first" else 1)
    np.testing.assert_array_equal(layer(x), expected)


KERNELS = ["cubic", "lanczos3", "lanczos5"]


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("mode", KERNELS)
@pytest.mark.parametrize(("size", "scale"), [(1, 3), (2, 2), (7, 3), (12, 4)])
def test_kernels_of_more_neighbours(
    mode: str, corners: bool, size: int, scale: int, rng: np.random.Generator
) -> None:
    """They keep constants; an output that lies on a position is that; they have a transpose."""
    layer = Upsample1d(scale, mode=mode, align_corners=corners)
    y = layer(np.full((1, size), 3.0))
    np.testing.assert_allclose(y, 3, rtol=1e-14)
    x = rng.standard_normal((2, 3, size))
    y, dy = layer(x), rng.standard_normal((2, 3, size * scale))
    assert np.sum(dy * y) == pytest.approx(np.sum(layer.backward(dy) * x), abs=1e-12)
    if scale == 3 and not corners:
        np.testing.assert_allclose(y[..., 1::3], x, atol=1e-15)
    assert Upsample1d(1, mode=mode)(x) == pytest.approx(x, abs=1e-15)


def test_known_weights_of_kernels() -> None:
    """Keys's at 1/4, away from edges, and near one, where it shares the weight of what lacks."""
    weights = np.array([-9, 111, 29, -3]) / 128
    y = Upsample1d(2, mode="cubic")(np.eye(8))
    np.testing.assert_allclose(y[2:6, 7], weights, atol=1e-15)
    np.testing.assert_allclose(y[:3, 1], weights[1:] / weights[1:].sum(), atol=1e-15)
    distance = abs(0.25 - np.arange(-2, 4))
    weights = np.sinc(distance) * np.sinc(distance / 3)
    y = Upsample1d(2, mode="lanczos3")(np.eye(8))
    np.testing.assert_allclose(y[1:7, 7], weights / weights.sum(), atol=1e-15)
    ramp = Upsample1d(4, mode="cubic")(np.arange(9.0)[None])
    np.testing.assert_allclose(ramp[0, 8:-8], np.arange(8, 28) / 4 - 0.375, rtol=1e-14)


def test_ranks_and_synonyms() -> None:
    x = np.arange(27.0).reshape(1, 1, 3, 3, 3)
    for rank, (kind, mode) in enumerate(
        ((Upsample1d, "linear"), (Upsample2d, "bilinear"), (Upsample3d, "Trilinear")), start=1
    ):
        part = x[..., *[0] * (3 - rank)]
        y = kind(2, mode=mode)(part)
        assert y.shape == (1, 1, *[6] * rank)
        np.testing.assert_array_equal(y, Upsample((2,) * rank, mode="LINEAR")(part))
        np.testing.assert_array_equal(Upsample((1,) * rank, mode="linear")(part), part)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(
    "dtype", [np.float16, ml_dtypes.bfloat16, np.float32, ">f4", np.complex64, np.complex128]
)
def test_any_dtype(dtype: Any, mode: str) -> None:
    x = np.array([[0, 4, 8]], dtype)
    layer = Upsample1d(2, mode=mode)
    y = layer(x)
    dx = layer.backward(y)
    assert y.dtype == dx.dtype == np.dtype(dtype).newbyteorder("=")
    expected = [[0, 0, 4, 4, 8, 8]] if mode == "nearest" else [[0, 1, 3, 5, 7, 8]]
    np.testing.assert_array_equal(y, np.array(expected, y.dtype))


def test_integers() -> None:
    x = np.array([[1, 2]], np.int8)
    assert Upsample1d(2)(x).dtype == np.int8
    assert Upsample1d(2)(x > 1).dtype == bool
    y = Upsample1d(2, mode="linear")(x)
    np.testing.assert_array_equal(y, [[1.0, 1.25, 1.75, 2.0]])


def test_sums_of_float16_are_rounded_once() -> None:
    layer = Upsample1d(4)
    layer(np.zeros((1, 1), np.float16))
    dx = layer.backward(np.array([[2048, 1, 1, 1]], np.float16))
    assert dx == np.float16(2048 + 3)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("scale", "corners"), [(2, False), (3, False), (4, False), (3, True)])
def test_infinity_reaches_those_that_see_it(mode: str, scale: int, corners: bool) -> None:
    corners = corners and mode == "linear"
    layer = Upsample1d(scale, mode=mode, align_corners=corners)
    seen = matrix(3, scale, mode, corners) != 0
    for i in range(3):
        y = layer([np.where(np.arange(3) == i, np.inf, 1.0)])
        np.testing.assert_array_equal(np.isfinite(y[0]), ~seen[:, i])
    for o in range(3 * scale):
        dx = layer.backward([np.where(np.arange(3 * scale) == o, np.inf, 1.0)])
        np.testing.assert_array_equal(np.isfinite(dx[0]), ~seen[o])


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_batches(mode: str, rng: np.random.Generator) -> None:
    layer = Upsample2d(3, mode=mode)
    assert layer.backward(layer(np.ones((0, 2, 3, 3)))).shape == (0, 2, 3, 3)
    x = rng.standard_normal((4, 2, 3, 5)).astype(np.float32)
    y = layer(x)
    dx = layer.backward(y)
    np.testing.assert_array_equal(layer(x[2]), y[2])
    np.testing.assert_array_equal(layer.backward(y[2]), dx[2])
    np.testing.assert_array_equal(layer(np.asfortranarray(x)), y)


def test_fields() -> None:
    below = Field().through((3, 3), (2, 2))
    nearest = Upsample2d(2).field(below)
    assert (nearest.size, nearest.steps) == ((3, 3), (1, 1))
    linear = Upsample((2, 1), mode="linear").field(below)
    assert (linear.size, linear.steps) == ((5, 3), (1, 2))


REFUSED = {
    "one size for no rank": (
        lambda: Upsample(2),
        "Upsample: `scale_factor` (=2) must have one size per spatial axis; write (2,) for one "
        "axis or (2, 2) for two",
    ),
    "zero": (
        lambda: Upsample2d(0),
        "Upsample2d: `scale_factor` (=0) must be at least 1 on every axis; use 1 or more",
    ),
    "fractions": (
        lambda: Upsample2d(1.5),
        "Upsample2d: `scale_factor` (=1.5) must be made of integers; such as scale_factor=1",
    ),
    "the name for another rank": (
        lambda: Upsample1d(2, mode="bilinear"),
        "Upsample1d: `mode` (='bilinear') is unknown; use one of 'nearest', 'linear', "
        "'cubic', 'lanczos3', 'lanczos5'",
    ),
    "no string": (
        lambda: Upsample1d(2, mode=None),
        "Upsample1d: `mode` (=None) is unknown; use one of 'nearest', 'linear', "
        "'cubic', 'lanczos3', 'lanczos5'",
    ),
    "corners of the nearest": (
        lambda: Upsample1d(2, align_corners=True),
        "Upsample1d: `align_corners` (=True) is for interpolation, and `mode` is 'nearest'; use "
        "mode='linear', or leave it out",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_words_that_are_refused(name: str) -> None:
    make, text = REFUSED[name]
    with refused(WordError, text):
        make()


def test_inputs_that_are_refused() -> None:
    with refused(
        ShapeError,
        "Upsample1d: `x` (shape (2, 0)) has no positions to repeat; give each axis one or more",
    ):
        Upsample1d(2)(np.ones((2, 0)))
    with refused(
        ShapeError,
        "up: `x` (shape (5,)) has 1 axes, and 1 spatial axes take at least 2; give it the shape "
        "(..., C, *spatial)",
    ):
        Upsample1d(2, name="up")(np.ones(5))
