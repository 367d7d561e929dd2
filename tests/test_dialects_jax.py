"""The JAX dialect on its own: its words, against convref's words and by full text."""

from math import prod
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gradients import integers
from hypothesis import given
from hypothesis import strategies as st
from messages import refused
from strategies import problems

import convref
from convref import ConvrefError, DtypeError, ShapeError, WordError
from convref.dialects import jax as lax


@given(problems(modes=("zeros",), layouts=("channels_first",)))
def test_any_convolution(problem: Any) -> None:
    rank, words = problem.rank, dict(problem.words)
    geometry = convref.Geometry.of(
        problem.input_size, problem.kernel, **problem.without("groups", "layout")
    )
    x = problem.x.reshape(prod(problem.batch), problem.channels, *problem.input_size)
    dy = problem.dy.reshape(prod(problem.batch), len(problem.w), *geometry.output_size)
    called = {
        "window_strides": words["stride"],
        "padding": geometry.padding,
        "lhs_dilation": words["input_dilation"],
        "rhs_dilation": words["dilation"],
    }
    called = {
        name: value if isinstance(value, list | tuple) else (value,) * rank
        for name, value in called.items()
    }
    called["feature_group_count"] = words["groups"]
    y = lax.conv_general_dilated(x, problem.w, **called)
    np.testing.assert_array_equal(y, convref.conv(x, problem.w, **words))
    dx, dw, _ = convref.conv_vjp(x, problem.w, dy, **words)
    dlhs, drhs = lax.conv_general_dilated_vjp(x, problem.w, dy, **called)
    np.testing.assert_array_equal(dlhs, dx)
    np.testing.assert_array_equal(drhs, dw)


@given(st.permutations("NCHW"), st.permutations("OIHW"), st.permutations("NCHW"))
def test_any_order_of_axes(lhs: list[str], rhs: list[str], out: list[str]) -> None:
    rng = np.random.default_rng(0)
    x, w, dy = integers(rng, 2, 3, 5, 4), integers(rng, 6, 3, 2, 3), integers(rng, 2, 6, 4, 2)

    def placed(array: Any, plain: str, letters: list[str]) -> Any:
        return np.transpose(array, [plain.index(letter) for letter in letters])

    numbers = tuple(map("".join, (lhs, rhs, out)))
    called = {"window_strides": (1, 1), "padding": "VALID", "dimension_numbers": numbers}
    a, b = placed(x, "NCHW", lhs), placed(w, "OIHW", rhs)
    y = convref.conv(x, w)
    np.testing.assert_array_equal(lax.conv_general_dilated(a, b, **called), placed(y, "NCHW", out))
    dx, dw, _ = convref.conv_vjp(x, w, dy)
    dlhs, drhs = lax.conv_general_dilated_vjp(a, b, placed(dy, "NCHW", out), **called)
    np.testing.assert_array_equal(dlhs, placed(dx, "NCHW", lhs))
    np.testing.assert_array_equal(drhs, placed(dw, "OIHW", rhs))


def test_spatial_words_are_in_the_order_of_rhs() -> None:
    numbers = ("NHWC", "WHIO", "NHWC")
    y = lax.conv_general_dilated(
        np.ones((1, 9, 9, 2)), np.ones((1, 3, 2, 4)), (1, 2), "VALID", dimension_numbers=numbers
    )
    assert y.shape == (1, 4, 9, 4)


@pytest.mark.parametrize("batches", [2, 3])
def test_groups_of_samples(batches: int, rng: np.random.Generator) -> None:
    x, w = integers(rng, 2 * batches, 3, 7), integers(rng, 4 * batches, 3, 3)
    y = lax.conv_general_dilated(x, w, (2,), "SAME", batch_group_count=batches)
    parts = [
        convref.conv(part, filters, stride=2, padding="same")
        for part, filters in zip(np.split(x, batches), np.split(w, batches), strict=True)
    ]
    np.testing.assert_array_equal(y, np.concatenate(parts, axis=1))


def test_zero_spatial_axes_are_matrix_products(rng: np.random.Generator) -> None:
    x, w, dy = integers(rng, 4, 6), integers(rng, 6, 5), integers(rng, 4, 5)
    called = {"window_strides": (), "padding": "VALID", "dimension_numbers": ("NC", "IO", "NC")}
    np.testing.assert_array_equal(lax.conv_general_dilated(x, w, **called), x @ w)
    dlhs, drhs = lax.conv_general_dilated_vjp(x, w, dy, **called)
    np.testing.assert_array_equal(dlhs, dy @ w.T)
    np.testing.assert_array_equal(drhs, x.T @ dy)


EMPTY = {
    "window larger than the input": ((1, 2, 2, 5), (3, 2, 3, 3), "VALID", (1, 3, 0, 3)),
    "cropped to nothing": ((1, 2, 5, 5), (3, 2, 3, 3), [(-3, -2), (0, 0)], (1, 3, 0, 3)),
    "no input": ((1, 2, 0, 5), (3, 2, 3, 3), "SAME", (1, 3, 0, 5)),
    "no input but padding": ((1, 2, 0, 5), (3, 2, 3, 3), [(2, 2), (0, 0)], (1, 3, 2, 3)),
    "no channels": ((1, 0, 5, 5), (3, 0, 3, 3), "SAME", (1, 3, 5, 5)),
    "no filters": ((1, 2, 5, 5), (0, 2, 3, 3), "SAME", (1, 0, 5, 5)),
    "no samples": ((0, 2, 5, 5), (3, 2, 3, 3), "SAME", (0, 3, 5, 5)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_sums(name: str) -> None:
    lhs, rhs, padding, shape = EMPTY[name]
    x, w = np.ones(lhs, np.float32), np.ones(rhs, np.float32)
    y = lax.conv_general_dilated(x, w, (1, 1), padding)
    assert y.shape == shape
    assert y.dtype == np.float32
    assert not y.any()
    dlhs, drhs = lax.conv_general_dilated_vjp(x, w, y, (1, 1), padding)
    assert (dlhs.shape, drhs.shape) == (lhs, rhs)
    assert not dlhs.any()
    assert not drhs.any()


def test_preferred_element_types() -> None:
    x, w = np.full((1, 1, 3), 100, np.int8), np.full((1, 1, 2), 100, np.int8)
    assert lax.conv(x, w, (1,), "VALID").tolist() == [[[32, 32]]]  # 20000 modulo 256
    for wide in (np.int32, np.float32, "int64"):
        y = lax.conv(x, w, (1,), "VALID", preferred_element_type=wide)
        assert y.dtype == np.dtype(wide)
        assert y.tolist() == [[[20000, 20000]]]
    halves = np.full((1, 1, 2), 300, np.float16)
    assert lax.conv(halves, halves, (1,), "VALID").tolist() == [[[np.inf]]]
    y = lax.conv(halves, halves, (1,), "VALID", None, np.float32)
    assert y.tolist() == [[[180000.0]]]
    dlhs, _ = lax.conv_general_dilated_vjp(
        halves, halves, y, (1,), "VALID", preferred_element_type=np.float32
    )
    assert dlhs.dtype == np.float16
    assert kept(ml_dtypes.bfloat16, "float64")


def kept(before: Any, after: Any) -> bool:
    """Whether a result has the preferred dtype."""
    x = np.ones((1, 1, 1), before)
    y = lax.conv(x, x, (1,), "VALID", preferred_element_type=after)
    return y.dtype == np.dtype(after)


@pytest.mark.parametrize("consistent", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_transposed_words_are_those_of_the_convolution(
    padding: str, stride: int, consistent: bool, rng: np.random.Generator
) -> None:
    """The longest input that has such an output."""
    x, w = integers(rng, 2, 3, 4), integers(rng, 3, 5, 3)
    y = lax.conv_transpose(
        x, w, (stride,), padding, dimension_numbers=("NCH", "OIH", "NCH"), transpose_kernel=True,
        use_consistent_padding=consistent,
    )  # fmt: skip
    longest = 4 * stride + (max(3 - stride, 0) if padding == "VALID" else 0)
    expected = convref.conv_transpose(x, w, stride=stride, padding=padding, output_size=longest)
    np.testing.assert_array_equal(y, expected)


def test_transposed_pairs(rng: np.random.Generator) -> None:
    x, w = integers(rng, 2, 4, 3), integers(rng, 3, 3, 5)
    plain = lax.conv_transpose(x, w, (2,), [(1, 2)])
    np.testing.assert_array_equal(plain, lax.conv_transpose(
        x, w, (2,), [(1, 0)], use_consistent_padding=True
    ))  # fmt: skip
    kernel, channels_first = w.transpose(2, 1, 0), x.transpose(0, 2, 1)
    expected = convref.conv(channels_first, kernel, input_dilation=2, padding=[(1, 2)])
    np.testing.assert_array_equal(plain, expected.transpose(0, 2, 1))


def test_transposed_kernels_have_gradients_in_place(rng: np.random.Generator) -> None:
    x, w, dy = integers(rng, 2, 4, 3), integers(rng, 3, 5, 3), integers(rng, 2, 8, 5)
    words = {"strides": (2,), "padding": "SAME", "transpose_kernel": True}
    y = lax.conv_transpose(x, w, **words)
    dlhs, drhs = lax.conv_transpose_vjp(x, w, dy, **words)
    assert (dlhs.shape, drhs.shape) == (x.shape, w.shape)
    assert np.sum(y * dy) == np.sum(dlhs * x) == np.sum(drhs * w)


def test_patches_are_columns(rng: np.random.Generator) -> None:
    x = integers(rng, 2, 3, 7, 6)
    patches = lax.conv_general_dilated_patches(x, (2, 3), (2, 1), "SAME", None, (1, 2))
    cols = convref.im2col(x, (2, 3), stride=(2, 1), padding="same", dilation=(1, 2))
    np.testing.assert_array_equal(patches.reshape(2, 18, -1), cols)


def test_weights_that_are_the_same_everywhere_are_a_convolution(rng: np.random.Generator) -> None:
    x, w = integers(rng, 2, 3, 7, 6), integers(rng, 4, 3, 2, 2)
    local = np.broadcast_to(w.reshape(4, 12, 1, 1), (4, 12, 6, 5))
    y = lax.conv_general_dilated_local(x, local, (1, 1), "VALID", (2, 2), precision="highest")
    np.testing.assert_array_equal(y, convref.conv(x, w))
    empty = lax.conv_general_dilated_local(x[:, :, :1], local[:, :, :0], (1, 1), "VALID", (2, 2))
    assert empty.shape == (2, 4, 0, 5)


@pytest.mark.parametrize(
    "precision",
    [None, "default", "highest", "tensorfloat32", lax.Precision.HIGH, ("high", "default"),
     (lax.Precision.DEFAULT, lax.Precision.HIGHEST)],
)  # fmt: skip
def test_every_precision_keeps_everything(precision: Any) -> None:
    x = np.full((1, 1, 1), 1 + 2**-20, np.float32)
    assert lax.conv(x, x, (1,), "VALID", precision)[0, 0, 0] == x[0, 0, 0] ** 2


X, W = np.ones((1, 2, 5, 5), np.float32), np.ones((3, 2, 3, 3), np.float32)
ONES = (1, 1)
NUMBERS = (
    "must be three strings of 4 different letters, with N and C, O and I, N and C among them and "
    "the same others in all three; such as ('NHWC', 'HWIO', 'NHWC')"
)

REFUSED = {
    "arrays of other ranks": (
        lax.LaxError,
        (X[0], W, ONES, "SAME"),
        {},
        "`lhs` (shape (2, 5, 5)) and `rhs` (shape (3, 2, 3, 3)) must have the same number of axes, "
        "two or more; give both batch, channels and spatial axes",
    ),
    "two dtypes": (
        DtypeError,
        (X, W.astype(np.float16), ONES, "SAME"),
        {},
        "`lhs` (float32) and `rhs` (float16) must have the same dtype; convert one of them",
    ),
    "one stride for all": (
        lax.LaxError,
        (X, W, 1, "SAME"),
        {},
        "`window_strides` (=1) must list integers, one per spatial axis; such as (1, 1)",
    ),
    "too few strides": (
        lax.LaxError,
        (X, W, (1,), "SAME"),
        {},
        "`window_strides` (=(1,)) must be a positive integer for each of the 2 spatial axes; such "
        "as (1, 1)",
    ),
    "an unknown padding": (
        lax.PaddingError,
        (X, W, ONES, "FULL"),
        {},
        "`padding` (='FULL') is not a padding word; use 'VALID', 'SAME', 'SAME_LOWER', or one pair "
        "(lo, hi) per axis",
    ),
    "integers as padding": (
        WordError,
        (X, W, ONES, (3, 3)),
        {},
        "`padding` (=(3, 3)) must be a word or pairs of integers; such as [(1, 1), (1, 1)]",
    ),
    "too few pairs": (
        lax.LaxError,
        (X, W, ONES, [(0, 0)]),
        {},
        "`padding` (=[(0, 0)]) must have one pair for each of the 2 axes; such as [(1, 1), (1, 1)]",
    ),
    "a padding word with lhs_dilation": (
        WordError,
        (X, W, ONES, "SAME", (2, 1)),
        {},
        "`padding` (='SAME') must be pairs where `lhs_dilation` (=(2, 1)) is not 1; give one pair "
        "(lo, hi) per axis, or use conv_transpose",
    ),
    "cropping more than there is": (
        ShapeError,
        (X, W, ONES, [(-3, -3), (0, 0)]),
        {},
        "`padding` (-3, -3) crops more than the 5 cells along spatial axis 0; crop less",
    ),
    "a kernel without taps": (
        lax.LaxError,
        (X, W[:, :, :0], ONES, "SAME"),
        {},
        "`rhs` has no taps along spatial axis 0; give it one or more",
    ),
    "both kinds of groups": (
        WordError,
        (X, W, ONES, "SAME"),
        {"feature_group_count": 2, "batch_group_count": 2},
        "`feature_group_count` (=2) and `batch_group_count` (=2) must be positive, and one of them "
        "1; use 1 for both",
    ),
    "groups of samples": (
        ShapeError,
        (X, W, ONES, "SAME"),
        {"batch_group_count": 3},
        "`batch_group_count` (=3) must divide the 1 samples of `lhs`; use 1",
    ),
    "groups of channels": (
        ShapeError,
        (X, W, ONES, "SAME"),
        {"feature_group_count": 3},
        "`rhs` takes 2 input channels in each group of `feature_group_count` (=3), and `lhs` has 2 "
        "channels in all; check their axes against `dimension_numbers`",
    ),
    "dimension numbers that are no words": (
        lax.LaxError,
        (X, W, ONES, "SAME"),
        {"dimension_numbers": "NCHW"},
        f"`dimension_numbers` (='NCHW') {NUMBERS}",
    ),
    "a letter twice": (
        lax.LaxError,
        (X, W, ONES, "SAME"),
        {"dimension_numbers": ("NCHH", "OIHH", "NCHH")},
        f"`dimension_numbers` (=('NCHH', 'OIHH', 'NCHH')) {NUMBERS}",
    ),
    "an axis twice": (
        lax.LaxError,
        (X, W, ONES, "SAME"),
        {"dimension_numbers": lax.ConvDimensionNumbers((0, 1, 2, 2), (0, 1, 2, 3), (0, 1, 2, 3))},
        "`dimension_numbers` has `lhs_spec` (=(0, 1, 2, 2)), which must number the 4 axes; use "
        "each of 0 to 3 once",
    ),
    "a precision": (
        WordError,
        (X, W, ONES, "SAME"),
        {"precision": "F16_F16_F32"},
        "`precision` (='F16_F16_F32') is not a precision, or a pair of them; leave it out: all of "
        "every dtype is kept",
    ),
    "a narrower dtype": (
        DtypeError,
        (X, W, ONES, "SAME"),
        {"preferred_element_type": "float16"},
        "`preferred_element_type` (=float16) can't stand for float32; use one that is not narrower "
        "and of the same kind, or a float for integers",
    ),
    "no dtype": (
        DtypeError,
        (X, W, ONES, "SAME"),
        {"preferred_element_type": "single-ish"},
        "`preferred_element_type` (='single-ish') is not a dtype; such as np.float32",
    ),
    "devices": (
        lax.LaxError,
        (X, W, ONES, "SAME"),
        {"out_sharding": "x"},
        "`out_sharding` (='x') has no devices; leave it out",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    kind, arguments, words, text = REFUSED[name]
    with refused(kind, f"conv_general_dilated: {text}"):
        lax.conv_general_dilated(*arguments, **words)


TRANSPOSED = {
    "arrays of other ranks": (
        lax.RankError,
        (X[0], W, ONES, "SAME"),
        {},
        "`lhs` (shape (2, 5, 5)) and `rhs` (shape (3, 2, 3, 3)) must have the same number of axes, "
        "two or more; give both batch, channels and spatial axes",
    ),
    "four spatial axes": (
        WordError,
        (np.ones((1,) * 6), np.ones((1,) * 6), (1,) * 4, "SAME"),
        {},
        "there are no default `dimension_numbers` for 4 spatial axes; say where each axis is",
    ),
    "an unknown padding": (
        WordError,
        (X, W, ONES, "FULL"),
        {"use_consistent_padding": True},
        "`padding` has an entry (='FULL') that is not 'SAME', 'VALID' or a pair; write pairs as "
        "tuples: (lo, hi)",
    ),
    "too few pairs": (
        lax.LaxError,
        (X, W, ONES, [(1, 1)]),
        {"use_consistent_padding": True},
        "`padding` (=[(1, 1)]) must have one pair for each of the 2 axes; such as [(1, 1), (1, 1)]",
    ),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_refusals_of_transposes(name: str) -> None:
    kind, arguments, words, text = TRANSPOSED[name]
    with refused(kind, f"conv_transpose: {text}"):
        lax.conv_transpose(*arguments, **words)


def test_refusals_of_gradients_and_of_local_weights() -> None:
    with refused(
        lax.LaxError,
        "conv_general_dilated_vjp: `dy` (shape (1, 3, 5, 4), float32) must be like the output "
        "(shape (1, 3, 5, 5), float32); pass the gradient of the loss with respect to that output",
    ):
        lax.conv_general_dilated_vjp(X, W, np.ones((1, 3, 5, 4), np.float32), ONES, "SAME")
    with refused(
        lax.LaxError,
        "conv_general_dilated_local: `rhs` (shape (3, 2, 3, 3)) must have 8 input channels, taps "
        "times channels of `lhs`, and the (4, 4) positions of the output; check its axes against "
        "`dimension_numbers`",
    ):
        lax.conv_general_dilated_local(X, W, ONES, "VALID", (2, 2))


def test_refusals_are_errors_of_python_too() -> None:
    for kind, builtin in (
        (lax.LaxError, TypeError),
        (lax.LaxError, ValueError),
        (lax.PaddingError, RuntimeError),
        (lax.RankError, AssertionError),
    ):
        assert issubclass(kind, builtin)
        assert issubclass(kind, ConvrefError)
