"""ZeroPad, Crop and Flatten against np.pad, slices and reshape."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gradients import assert_affine, integers
from hypothesis import given
from hypothesis import strategies as st
from messages import refused

from convref import ShapeError, WordError
from convref.layers.shape import (
    Crop,
    Crop1d,
    Crop2d,
    Crop3d,
    Flatten,
    ZeroPad,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
from convref.summary import Field

Pairs = list[tuple[int, int]]


@st.composite
def frames(draw: st.DrawFn) -> tuple[tuple[int, ...], Pairs, str]:
    """The shape of an array, a pair of amounts per spatial axis, and a layout."""
    rank = draw(st.integers(1, 4))
    batch = draw(st.lists(st.integers(0, 2), max_size=2))
    channels = draw(st.integers(1, 3))
    size = draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank))
    amount = st.integers(0, 3)
    amounts = draw(st.lists(st.tuples(amount, amount), min_size=rank, max_size=rank))
    layout = draw(st.sampled_from(["channels_first", "channels_last"]))
    last = layout == "channels_last"
    return (*batch, *(() if last else (channels,)), *size, *((channels,) * last)), amounts, layout


def everywhere(amounts: Pairs, layout: str, axes: int) -> Pairs:
    """A pair for each of so many axes."""
    after = [(0, 0)] * (layout == "channels_last")
    return [(0, 0)] * (axes - len(amounts) - len(after)) + amounts + after


@given(frames(), st.integers(0, 2**32 - 1))
def test_any_padding(frame: Any, seed: int) -> None:
    shape, amounts, layout = frame
    rng = np.random.default_rng(seed)
    x, layer = integers(rng, *shape), ZeroPad(amounts, layout=layout)
    y = layer(x)
    np.testing.assert_array_equal(y, np.pad(x, everywhere(amounts, layout, x.ndim)))
    assert layer.output_shape(shape) == y.shape
    assert_affine(layer, x, rng)


@given(frames(), st.integers(0, 2**32 - 1))
def test_any_cropping(frame: Any, seed: int) -> None:
    shape, amounts, layout = frame
    rng = np.random.default_rng(seed)
    pairs = everywhere(amounts, layout, len(shape))
    y, layer = integers(rng, *shape), Crop(amounts, layout=layout)
    x = np.pad(y, pairs, constant_values=9)
    np.testing.assert_array_equal(layer(x), y)
    assert layer.output_shape(x.shape) == y.shape
    np.testing.assert_array_equal(layer.backward(y), np.pad(y, pairs))
    assert_affine(layer, x, rng)


@given(frames(), st.integers(0, 2**32 - 1))
def test_any_flattening(frame: Any, seed: int) -> None:
    shape, _, _ = frame
    rng = np.random.default_rng(seed)
    x, layer = integers(rng, *shape), Flatten()
    y = layer(x)
    assert y.shape == layer.output_shape(shape) == (shape[0], np.prod(shape[1:], dtype=int))
    np.testing.assert_array_equal(y.ravel(), x.ravel())
    assert_affine(layer, x, rng)


def test_ways_to_write_amounts() -> None:
    x = np.ones((1, 1, 6, 6, 6))
    for rank, (pad, crop) in enumerate(
        ((ZeroPad1d, Crop1d), (ZeroPad2d, Crop2d), (ZeroPad3d, Crop3d)), start=1
    ):
        part = x[..., *[0] * (3 - rank)]
        assert pad(1)(part).shape == (1, 1, *[8] * rank)
        assert crop(1)(part).shape == (1, 1, *[4] * rank)
        assert pad([(1, 2)] * rank)(part).shape == (1, 1, *[9] * rank)
        assert crop([(1, 2)] * rank)(part).shape == (1, 1, *[3] * rank)
    assert ZeroPad((1, (0, 2)))(x[0]).shape == (1, 6, 8, 8)
    assert Crop((1, (0, 2)))(x[0]).shape == (1, 6, 4, 4)


@pytest.mark.parametrize(
    "dtype", [bool, np.int8, np.float16, ml_dtypes.bfloat16, ">f4", np.complex64]
)
def test_any_dtype(dtype: Any) -> None:
    x = np.ones((2, 3, 4), dtype)
    for layer in (ZeroPad1d(1), Crop1d(1)):
        y = layer(x)
        assert y.dtype == layer.backward(y).dtype == np.dtype(dtype).newbyteorder("=")
    assert Flatten()(x).dtype == dtype


def test_fields() -> None:
    field = Field().through((3, 3), (2, 2))
    assert ZeroPad2d(1).field(field) == Crop2d(1).field(field) == field
    assert str(Flatten().field(field)) == "all x all"


def test_words_that_are_refused() -> None:
    with refused(
        WordError, "ZeroPad2d: `padding` (=-1) must not be negative; to cut edges off use Crop"
    ):
        ZeroPad2d(-1)
    with refused(
        WordError,
        "Crop2d: `cropping` (=((1, 0), (0, -2))) must not be negative; to add zeros use ZeroPad",
    ):
        Crop2d(((1, 0), (0, -2)))
    for value in (1, ()):
        with refused(
            WordError,
            f"ZeroPad: `padding` (={value}) must have one entry per spatial axis; write [1] for "
            "one axis or [1, (0, 2)] for two",
        ):
            ZeroPad(value)
    with refused(
        WordError,
        "Crop1d: `cropping` (=(1, 2)) has 2 entries, and there are 1 spatial axes; give one int or "
        "one (lo, hi) pair per axis, such as ((1, 2),)",
    ):
        Crop1d((1, 2))
    with refused(
        WordError,
        "Crop1d: `cropping` has an entry (=(1, 2, 3)) of 3 numbers for one axis; give an int, or a "
        "pair (lo, hi)",
    ):
        Crop1d([(1, 2, 3)])
    with refused(
        WordError, "ZeroPad2d: `padding` (='same') must be made of integers; such as padding=1"
    ):
        ZeroPad2d("same")


def test_inputs_that_are_refused() -> None:
    with refused(
        ShapeError,
        "Crop2d: `cropping` (=(1, 2)) leaves nothing of the 3 positions of `x` (shape (1, 4, 3)) "
        "along spatial axis 1; crop less",
    ):
        Crop2d((1, (1, 2)))(np.ones((1, 4, 3)))
    with refused(
        ShapeError,
        "ZeroPad2d: `x` (shape (4, 3)) has 2 axes, and 2 spatial axes take at least 3; give it the "
        "shape (..., *spatial, C)",
    ):
        ZeroPad2d(1, layout="channels_last")(np.ones((4, 3)))
    with refused(ShapeError, "Flatten: `x` (shape ()) has no axes; give it the shape (N, ...)"):
        Flatten()(1.0)
