"""Pooling against the definition: label the positions, look through each tap, take the largest."""

from typing import Any

import ml_dtypes
import numpy as np
import oracles
import pytest
from gradients import assert_affine, assert_gradients, integers
from hypothesis import given
from hypothesis import strategies as st
from messages import refused
from strategies import problems

from convref import DtypeError, ShapeError, WordError
from convref.layers.pooling import (
    AvgPool,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    GlobalAvgPool,
    MaxPool,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from convref.summary import Field

Array = Any


def labelled(shape: tuple[int, ...], kernel: tuple[int, ...], words: dict[str, Any]) -> Array:
    """Which element of a flat x each tap sees, counted from 1, and 0 for padding: (T, N, C, P)."""
    labels = np.arange(1, np.prod(shape) + 1, dtype=np.int64).reshape(shape)
    labels = oracles.channels_first(labels, len(kernel), words)
    how = oracles.plan(labels.shape[-len(kernel) :], kernel, words)
    return np.stack([seen[:, 0] for _, seen in oracles.windows(oracles.padded(labels, how), how)])


def flat(array: Array, rank: int, words: dict[str, Any]) -> Array:
    """An output as (N, C, P)."""
    first = oracles.channels_first(array, rank, words)
    return first.reshape(-1, first.shape[-rank - 1], np.prod(first.shape[-rank:]))


def largest(x: Array, labels: Array, lowest: Any) -> tuple[Array, Array]:
    """The largest value of each window, and its label; the first of equals."""
    values = np.where(labels > 0, np.append(lowest, x.ravel())[labels], lowest)
    order = (values == values.max(0)) & (labels > 0)
    return values.max(0), np.take_along_axis(labels, order.argmax(0)[None], 0)[0]


def back(shape: tuple[int, ...], labels: Array, shares: Array) -> Array:
    """What comes back to each element of x; label 0 collects the padding."""
    dx = np.zeros(np.prod(shape, dtype=int) + 1)
    np.add.at(dx, labels, shares)
    return dx[1:].reshape(shape)


@st.composite
def pools(draw: st.DrawFn) -> tuple[Array, tuple[int, ...], dict[str, Any], Array]:
    """x, a kernel, words, and a generator; of any rank from 1 to 4."""
    problem = draw(problems(modes=("zeros",), spread_out=False))
    words = problem.without("groups", "padding_mode", "input_dilation")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return problem.x.astype(np.float64), problem.kernel, words, rng


@given(pools())
def test_any_maximum(drawn: Any) -> None:
    x, kernel, words, rng = drawn
    layer = MaxPool(kernel, **words)
    labels = labelled(x.shape, kernel, words)
    expected, winners = largest(x, labels, -np.inf)
    y = layer(x)
    assert y.shape == layer.output_shape(x.shape)
    np.testing.assert_array_equal(flat(y, len(kernel), words), expected)
    dy = integers(rng, *y.shape)
    dx = back(x.shape, winners, flat(dy, len(kernel), words))
    np.testing.assert_array_equal(layer.backward(dy), dx)


@given(pools(), st.booleans())
def test_any_average(drawn: Any, count_padding: bool) -> None:
    x, kernel, words, rng = drawn
    layer = AvgPool(kernel, count_padding=count_padding, **words)
    labels = labelled(x.shape, kernel, words)
    counts = len(labels) if count_padding else np.maximum((labels > 0).sum(0), 1)
    # Multiples of every count, so that the averages are exact.
    multiple = float(np.lcm.reduce(np.arange(1, len(labels) + 1)))
    x = x * multiple
    expected = np.append(0, x.ravel())[labels].sum(0) / counts
    y = layer(x)
    assert y.shape == layer.output_shape(x.shape)
    np.testing.assert_array_equal(flat(y, len(kernel), words), expected)
    dy = integers(rng, *y.shape) * multiple
    shares = np.broadcast_to(flat(dy, len(kernel), words) / counts, labels.shape)
    np.testing.assert_array_equal(layer.backward(dy), back(x.shape, labels, shares))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("shape", [(3, 2, 8), (3, 4, 2, 8), (2, 2, 4, 2, 8)])
def test_the_gradients_of_averages(
    shape: tuple[int, ...], layout: str, rng: np.random.Generator
) -> None:
    rank = len(shape) - 2
    for count_padding in (False, True):
        words = {"padding": "same", "layout": layout, "count_padding": count_padding}
        assert_affine(AvgPool((2,) * rank, **words), integers(rng, *shape), rng)
    for keep_axes in (False, True):
        assert_affine(GlobalAvgPool(keep_axes=keep_axes, layout=layout), np.ones(shape), rng)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("kind", [MaxPool1d, MaxPool2d, MaxPool3d])
def test_the_gradient_of_maxima(kind: type[MaxPool], layout: str, rng: np.random.Generator) -> None:
    shape = (2, 5, *[5] * kind.rank)
    x = rng.permutation(np.arange(float(np.prod(shape)))).reshape(shape)
    assert_gradients(kind(3, stride=2, padding=1, layout=layout), x, rng)


@pytest.mark.parametrize("kind", [MaxPool, AvgPool])
def test_what_stands_when_nothing_is_said(kind: Any) -> None:
    layer = kind((2, 3))
    assert layer.output_shape((5, 7, 6, 6)) == (5, 7, 3, 2)
    assert layer.field(Field()).size == (2, 3)
    assert layer.field(layer.field(Field())).size == (4, 9)
    assert kind((3,), stride=2, dilation=2).field(Field()).size == (5,)


def test_ranks_of_the_classes() -> None:
    for rank, kinds in enumerate(
        ((MaxPool1d, AvgPool1d), (MaxPool2d, AvgPool2d), (MaxPool3d, AvgPool3d)), start=1
    ):
        for kind in kinds:
            assert kind(2)(np.ones((1, 1, *[4] * rank))).shape == (1, 1, *[2] * rank)


@pytest.mark.parametrize("kind", [MaxPool2d, AvgPool2d])
@pytest.mark.parametrize("batch", [(), (0,), (3,), (2, 3)])
def test_any_batch_axes(kind: Any, batch: tuple[int, ...]) -> None:
    layer = kind(2)
    y = layer(np.ones((*batch, 3, 6, 6)))
    assert y.shape == (*batch, 3, 3, 3)
    assert layer.backward(y).shape == (*batch, 3, 6, 6)


FLOATS = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.dtype(">f4")]
INTEGERS = [bool, np.int8, np.uint8, np.int64]


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
def test_maxima_in_any_dtype(dtype: Any, rng: np.random.Generator) -> None:
    x = rng.integers(0, 2, (2, 3, 5, 5)).astype(dtype)
    layer = MaxPool2d(3, stride=2, padding=1)
    y = layer(x)
    dx = layer.backward(y)
    assert y.dtype == dx.dtype == np.dtype(dtype).newbyteorder("=")
    wide = MaxPool2d(3, stride=2, padding=1)
    np.testing.assert_array_equal(y.astype(float), wide(x.astype(float)))
    expected = wide.backward(y.astype(float))
    np.testing.assert_array_equal(dx.astype(float), expected if dtype is not bool else expected > 0)


@pytest.mark.parametrize("dtype", [*FLOATS, np.complex64, np.complex128])
def test_averages_in_any_dtype(dtype: Any, rng: np.random.Generator) -> None:
    x = rng.integers(0, 5, (2, 3, 4, 4)).astype(dtype)
    for layer in (AvgPool2d(2), AvgPool2d(2, padding=1), GlobalAvgPool()):
        y = layer(x)
        dx = layer.backward(y)
        assert y.dtype == dx.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(y.astype(complex), layer(x.astype(complex)))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_averages_of_integers(dtype: Any) -> None:
    x = np.array([[[1, 0, 1, 1]]], dtype)
    np.testing.assert_array_equal(AvgPool1d(2)(x), [[[0.5, 1.0]]])
    np.testing.assert_array_equal(GlobalAvgPool()(x), [[0.75]])
    assert AvgPool1d(2)(x).dtype == GlobalAvgPool()(x).dtype == np.float64


def test_float16_is_summed_in_float32() -> None:
    x = np.full((1, 1, 4), 60000, np.float16)
    for layer in (AvgPool1d(4), GlobalAvgPool()):
        assert np.all(layer(x) == np.float16(60000))
    layer = MaxPool1d(4, stride=1, padding=3)
    layer(np.array([[[0, 1, 0, 0]]], np.float16))
    ones = np.array([[[1, 2048, 1, 1, 1, 1, 1]]], np.float16)
    # Four windows hold the maximum: 2048 + 1 would be 2048 in float16.
    assert layer.backward(ones)[0, 0, 1] == np.float16(2048 + 1 + 1 + 1)


def test_the_first_of_equal_maxima_gets_the_gradient() -> None:
    layer = MaxPool2d(2)
    layer([[[[1, 7, 3], [7, 7, 3]], [[0.0, -0.0, 1], [0, 0, 1]]]])
    np.testing.assert_array_equal(
        layer.backward([[[[5.0]], [[3.0]]]]), [[[[0, 5, 0], [0, 0, 0]], [[3, 0, 0], [0, 0, 0]]]]
    )


@pytest.mark.parametrize(
    ("dtype", "lowest"), [(np.float32, -np.inf), (np.int8, -128), (np.uint8, 0), (bool, False)]
)
def test_padding_never_wins(dtype: Any, lowest: Any) -> None:
    layer = MaxPool1d(3, stride=3, padding=((5, 0),))
    x = np.full((1, 1, 4), lowest, dtype)
    y = layer(x)
    np.testing.assert_array_equal(y, np.full((1, 1, 3), lowest, dtype))
    # The first window holds padding alone; the second begins with padding.
    dx = layer.backward(np.ones((1, 1, 3), dtype))
    np.testing.assert_array_equal(dx, np.array([[[1, 1, 0, 0]]], dtype))


def test_nan_is_the_maximum_and_gets_the_gradient() -> None:
    layer = MaxPool1d(3)
    y = layer([[[1, np.nan, np.nan, 2, 3, np.inf]]])
    np.testing.assert_array_equal(y, [[[np.nan, np.inf]]])
    np.testing.assert_array_equal(layer.backward([[[5.0, 7.0]]]), [[[0, 5, 0, 0, 0, 7]]])


def test_infinite_gradients_stay_where_they_belong() -> None:
    layer = MaxPool1d(2)
    layer([[[1.0, 2.0, 3.0, 4.0]]])
    dx = layer.backward([[[np.inf, np.nan]]])
    np.testing.assert_array_equal(dx, [[[0, np.inf, 0, np.nan]]])


def test_an_average_of_padding_alone_is_zero() -> None:
    layer = AvgPool1d(2, padding=((2, 0),))
    np.testing.assert_array_equal(layer([[[3.0, 5.0]]]), [[[0.0, 4.0]]])
    np.testing.assert_array_equal(layer.backward([[[8.0, 8.0]]]), [[[4.0, 4.0]]])


@pytest.mark.parametrize("layer", [MaxPool2d(3, padding=1), AvgPool2d(3, padding=1)])
def test_bits_depend_on_the_numbers_alone(layer: Any, rng: np.random.Generator) -> None:
    """Not on the order in memory, nor on the other samples."""
    x = rng.standard_normal((5, 3, 9, 9)).astype(np.float32)
    y = layer(x)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx = layer.backward(dy)
    np.testing.assert_array_equal(layer(np.asfortranarray(x)), y)
    np.testing.assert_array_equal(layer.backward(np.asfortranarray(dy)), dx)
    np.testing.assert_array_equal(layer(x[3]), y[3])
    np.testing.assert_array_equal(layer.backward(dy[3]), dx[3])


def test_global_averages() -> None:
    x = np.arange(48.0).reshape(2, 3, 2, 4)
    first, last = GlobalAvgPool(), GlobalAvgPool(layout="channels_last", keep_axes=True)
    np.testing.assert_array_equal(first(x), [[3.5, 11.5, 19.5], [27.5, 35.5, 43.5]])
    y = last(np.moveaxis(x, 1, -1))
    np.testing.assert_array_equal(y[:, 0, 0], first(x))
    assert y.shape == last.output_shape((2, 2, 4, 3)) == (2, 1, 1, 3)
    assert first.output_shape(x.shape) == (2, 3)
    dx = first.backward(np.full((2, 3), 8.0))
    np.testing.assert_array_equal(dx, np.ones_like(x))
    dx[...] = 0  # an array of its own
    assert str(first.field(Field().through((3, 3), (2, 2)))) == "all x all"
    assert first(np.ones((0, 3, 4))).shape == (0, 3)


def test_words_that_are_refused() -> None:
    with refused(
        WordError,
        "MaxPool: `kernel_size` (=2) must have one size per spatial axis; write (2,) for one axis "
        "or (2, 2) for two",
    ):
        MaxPool(2)
    with refused(
        WordError,
        "AvgPool2d: `kernel_size` (=(2, 2, 2)) has 3 entries, and there are 2 spatial axes; give "
        "one integer, or 2 of them",
    ):
        AvgPool2d((2, 2, 2))
    with refused(
        WordError, "AvgPool1d: `stride` (=0) must be at least 1 on every axis; use 1 or more"
    ):
        AvgPool1d(2, stride=0)
    with refused(
        WordError,
        "GlobalAvgPool: `layout` (='NCHW') is unknown; use one of 'channels_first', "
        "'channels_last'",
    ):
        GlobalAvgPool(layout="NCHW")


def test_inputs_that_are_refused() -> None:
    with refused(
        DtypeError,
        "pool: `x` (complex128) has no maximum, for complex numbers have no order; pass real "
        "numbers, such as abs(x)",
    ):
        MaxPool1d(2, name="pool")(np.ones((1, 1, 4), complex))
    for kind in (MaxPool1d, AvgPool1d):
        name = kind.__name__
        with refused(
            ShapeError,
            f"{name}: the output would be empty along spatial axis 0: the window of 2 (kernel 2, "
            "`dilation` 1) exceeds the 1 cells of the padded input (size 1, `padding` (0, 0)); use "
            "a larger input, a smaller kernel or more padding",
        ):
            kind(2)(np.ones((1, 1, 1)))
        with refused(
            ShapeError,
            f"{name}: `x` (shape (4,)) has 1 axes, and 1 spatial axes take at least 2; give it the "
            "shape (..., C, *spatial)",
        ):
            kind(2)(np.ones(4))
        with refused(
            ShapeError, f"{name}: `x` (shape (2, 4, 0)) has no channels; give it one or more"
        ):
            kind(2, layout="channels_last")(np.ones((2, 4, 0)))
    with refused(
        ShapeError,
        "GlobalAvgPool: `x` (shape (2, 3)) has no spatial axes; give it the shape (N, C, *spatial)",
    ):
        GlobalAvgPool()(np.ones((2, 3)))
    with refused(
        ShapeError,
        "GlobalAvgPool: `x` (shape (2, 3)) has no spatial axes; give it the shape (N, *spatial, C)",
    ):
        GlobalAvgPool(layout="channels_last")(np.ones((2, 3)))
    with refused(
        ShapeError,
        "GlobalAvgPool: `x` (shape (2, 3, 0)) has no positions to average; give each axis one or "
        "more",
    ):
        GlobalAvgPool()(np.ones((2, 3, 0)))
