"""The JAX dialect against JAX: the same bits, dtypes, shapes and gradients, the same refusals.

Values are small integers, so that sums are exact in every dtype and any difference is a mistake.
"""

from collections.abc import Callable, Iterator
from itertools import permutations, product
from math import prod
from random import Random
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convref import ConvrefError
from convref.dialects import jax as ours

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install 'convref[peers]'")
lax = jax.lax

BFLOAT16 = ml_dtypes.bfloat16
FLOATS = ("float16", BFLOAT16, "float32", "float64")
INEXACT = (*FLOATS, "complex64", "complex128")
DTYPES = (*INEXACT, "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool")
SAMPLE = 25
"""Points taken of a grid that is too large to run as a whole."""


@pytest.fixture(autouse=True)
def long_numbers() -> Iterator[None]:
    """Let JAX have numbers of 64 bits, in this file alone."""
    with jax.enable_x64(True):
        yield


def some(*axes: Any, count: int = SAMPLE) -> list[Any]:
    """Points of a grid, the same ones in each run."""
    grid = list(product(*axes))
    return Random(0).sample(grid, min(count, len(grid)))


def values(shape: Any, dtype: Any, seed: int = 0) -> Any:
    """Integers from -2 to 2, or from 0 where the dtype has no others."""
    rng = np.random.default_rng((seed, *shape))
    drawn = rng.integers(0 if np.dtype(dtype).kind in "ub" else -2, 3, shape)
    if np.dtype(dtype).kind == "c":
        drawn = drawn + 1j * rng.integers(-2, 3, shape)
    return drawn.astype(dtype)


def same(found: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    assert found.dtype == expected.dtype
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected, strict=True)


def wide(array: Any) -> Any:
    """The array for JAX, its floats in 64 bits.

    XLA's convolutions of float32, and of narrower floats, are wrong on CPUs (jaxlib 0.10.2) where
    an axis is cropped before and padded after, as it may be in gradients too: they show the end of
    the row before. Those of float64 are right, and so exact for these values.
    """
    kinds = {"f": np.float64, "V": np.float64, "c": np.complex128}  # V: bfloat16
    return jax.numpy.asarray(array.astype(kinds.get(array.dtype.kind, array.dtype)))


def outcome(function: Callable[..., Any], *arguments: Any, **words: Any) -> Any:
    """The result, or the error."""
    try:
        return function(*arguments, **words)
    except Exception as error:
        return error


def builtin(error: Exception) -> type[Exception]:
    """The class of Python's own that an error is of first."""
    return next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")


def compare(name: str, *operands: Any, **words: Any) -> None:
    """The output, and of floats the gradients, are JAX's; or the error is."""
    theirs = outcome(getattr(lax, name), *map(jax.numpy.asarray, operands), **words)
    if isinstance(theirs, Exception):
        with pytest.raises(ConvrefError) as caught:
            getattr(ours, name)(*operands, **words)
        assert isinstance(caught.value, builtin(theirs)), repr(theirs)
        return
    found = getattr(ours, name)(*operands, **words)
    if operands[0].dtype not in map(np.dtype, INEXACT):
        same(found, theirs)
        return
    free = {key: word for key, word in words.items() if key != "preferred_element_type"}

    def function(*arrays: Any) -> Any:
        return getattr(lax, name)(*arrays, **free)

    derivative = getattr(ours, f"{name}_vjp", None)
    if derivative is None:
        same(found, np.asarray(function(*map(wide, operands))).astype(theirs.dtype))
        return
    exact, pull_back = jax.vjp(function, *map(wide, operands))
    same(found, np.asarray(exact).astype(theirs.dtype))
    dy = values(theirs.shape, theirs.dtype, seed=1)
    gradients = zip(operands, derivative(*operands, dy, **words), strict=True)
    for (operand, found), exact in zip(gradients, pull_back(wide(dy)), strict=True):
        same(found, np.asarray(exact).astype(operand.dtype))


# Any call


@st.composite
def calls(draw: st.DrawFn) -> tuple[Any, Any, dict[str, Any]]:
    """Arrays and words of up to three spatial axes; a few of them don't fit."""
    rank = draw(st.integers(0, 3))
    small = st.integers(1, 3)
    size, kernel, stride, spreading, apart = (
        draw(st.tuples(*[entry] * rank))
        for entry in (st.integers(0, 6), small, small, st.sampled_from((1, 1, 2, 3)), small)
    )
    pair = st.tuples(st.integers(-2, 3), st.integers(-2, 3))
    padding = draw(
        st.one_of(
            st.sampled_from(("VALID", "SAME", "SAME_LOWER", "same")), st.tuples(*[pair] * rank)
        )
    )
    features, batches = draw(st.sampled_from(((1, 1), (2, 1), (3, 1), (1, 2), (1, 3))))
    samples, inside, outside = (draw(st.integers(0 if odd else 1, 3)) for odd in (1, 0, 0))
    spatial = "HWD"[:rank]
    lhs, rhs, out = ("".join(draw(st.permutations(two + spatial))) for two in ("NC", "OI", "NC"))
    sizes = dict(zip(spatial, size, strict=True))
    taps = dict(zip([letter for letter in rhs if letter in spatial], kernel, strict=True))
    dtype = draw(st.sampled_from(DTYPES))
    x = values([{"N": samples * batches, "C": inside * features, **sizes}[k] for k in lhs], dtype)
    w = values([{"O": outside * features * batches, "I": inside, **taps}[k] for k in rhs], dtype)
    words = {
        "window_strides": stride,
        "padding": padding,
        "lhs_dilation": draw(st.sampled_from((None, spreading))),
        "rhs_dilation": draw(st.sampled_from((None, apart))),
        "dimension_numbers": (lhs, rhs, out),
        "feature_group_count": features,
        "batch_group_count": batches,
    }
    return x, w, words


@given(calls())
def test_any_call(call: Any) -> None:
    x, w, words = call
    compare("conv_general_dilated", x, w, **words)


@given(calls(), st.booleans(), st.booleans())
def test_any_transpose(call: Any, transpose_kernel: bool, consistent: bool) -> None:
    x, w, words = call
    lhs, rhs, out = words["dimension_numbers"]
    if transpose_kernel:
        rhs = rhs.translate(str.maketrans("OI", "IO"))
    compare(
        "conv_transpose", x, w, strides=words["window_strides"], padding=words["padding"],
        rhs_dilation=words["rhs_dilation"], dimension_numbers=(lhs, rhs, out),
        transpose_kernel=transpose_kernel, use_consistent_padding=consistent,
    )  # fmt: skip


# The grids of JAX's own tests

ORDERS = (
    (("NCHW", "OIHW", "NCHW"), (0, 1, 2, 3), (0, 1, 2, 3)),
    (("NHWC", "HWIO", "NHWC"), (0, 2, 3, 1), (2, 3, 1, 0)),
    (("NCHW", "HWIO", "NHWC"), (0, 1, 2, 3), (2, 3, 1, 0)),
    (("NHWC", "OIHW", "NCHW"), (0, 2, 3, 1), (0, 1, 2, 3)),
)
GROUPS = ((1, 1), (2, 1), (1, 2))
COUNTS = tuple(product((1, 2), repeat=3))


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "-".join(order[0]))
@pytest.mark.parametrize("groups", GROUPS)
def test_general(groups: tuple[int, int], order: Any) -> None:
    batches, features = groups
    numbers, lhs, rhs = order
    for (b, i, j), width, dtype, stride, padding, spreading, apart in some(
        COUNTS, (0, 10), DTYPES, ((1, 1), (2, 1)), (((1, 2), (2, 0)), ((10, 8), (7, 13))),
        ((1, 1), (1, 2), (1, 4)), ((1, 1), (1, 2), (1, 4)), count=12,
    ):  # fmt: skip
        x = values((b * batches, i * features, 9, width), dtype).transpose(lhs)
        w = values((j * features * batches, i, 4, 5), dtype).transpose(rhs)
        compare(
            "conv_general_dilated", x, w, window_strides=stride, padding=padding,
            lhs_dilation=spreading, rhs_dilation=apart, dimension_numbers=numbers,
            feature_group_count=features, batch_group_count=batches,
        )  # fmt: skip


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "-".join(order[0]))
@pytest.mark.parametrize("groups", GROUPS)
def test_gradients(groups: tuple[int, int], order: Any) -> None:
    batches, features = groups
    numbers, lhs, rhs = order
    paddings = (((0, 0), (0, 0)), ((1, 0), (0, 1)), ((0, -1), (0, 0)), ((-1, 0), (0, -1)))
    for (b, i, j), size, dtype, stride, padding, spreading, apart in some(
        COUNTS, ((6, 7), (3, 4), (0, 4)), INEXACT, ((1, 1), (1, 2), (2, 1)), paddings,
        ((1, 1), (2, 1)), ((1, 1), (2, 2)), count=10,
    ):  # fmt: skip
        x = values((b * batches, i * features, *size), dtype).transpose(lhs)
        w = values((j * features * batches, i, 1, 2), dtype).transpose(rhs)
        compare(
            "conv_general_dilated", x, w, window_strides=stride, padding=padding,
            lhs_dilation=spreading, rhs_dilation=apart, dimension_numbers=numbers,
            feature_group_count=features, batch_group_count=batches,
        )  # fmt: skip


@pytest.mark.parametrize("padding", ["VALID", "SAME", "SAME_LOWER"])
@pytest.mark.parametrize("strides", [(1, 1), (1, 2), (2, 1)])
def test_conv(strides: tuple[int, int], padding: str) -> None:
    for dtype in FLOATS:
        x, w = values((2, 3, 9, 10), dtype), values((3, 3, 4, 5), dtype)
        compare("conv", x, w, window_strides=strides, padding=padding)


@pytest.mark.parametrize("spreading", [(1, 1), (1, 2), (2, 2), None])
@pytest.mark.parametrize("apart", [(1, 1), (1, 2), (2, 2), None])
def test_general_padding(apart: Any, spreading: Any) -> None:
    for strides, padding in product(((1, 1), (1, 2), (2, 1)), (((0, 0), (0, 0)), ((1, 2), (2, 0)))):
        x, w = values((2, 3, 9, 10), "float32"), values((1, 3, 4, 5), "float32")
        compare(
            "conv_with_general_padding", x, w, window_strides=strides, padding=padding,
            lhs_dilation=spreading, rhs_dilation=apart, precision=None,
        )  # fmt: skip


PREFERRED = {
    **{"float16": FLOATS, BFLOAT16: FLOATS[1:], "float32": FLOATS[2:], "float64": FLOATS[3:]},
    **{"complex64": INEXACT[4:], "complex128": INEXACT[5:]},
    "int8": (*FLOATS, "int8", "int16", "int32", "int64"),
    "int16": (*FLOATS, "int16", "int32", "int64"),
    "int32": ("float32", "float64", "int32", "int64"),
    "int64": ("float64", "int64"),
    "uint8": ("int16", "int32", "uint8", "uint32", "float32"),
    "bool": ("bool", "int32", "float32", "complex64"),
}


@pytest.mark.parametrize("before", PREFERRED, ids=str)
def test_preferred_element_types(before: Any) -> None:
    x, w = values((2, 3, 9, 10), before), values((3, 3, 4, 5), before)
    for after in PREFERRED[before]:
        compare(
            "conv_general_dilated", x, w, window_strides=(1, 2), padding="SAME",
            preferred_element_type=after,
        )  # fmt: skip


@pytest.mark.parametrize("groups", GROUPS)
def test_no_spatial_axis(groups: tuple[int, int]) -> None:
    batches, features = groups
    for dtype in DTYPES:
        x = values((3 * batches, 2 * features), dtype)
        w = values((2 * features * batches, 2), dtype)
        compare(
            "conv_general_dilated", x, w, window_strides=(), padding=(),
            feature_group_count=features, batch_group_count=batches,
        )  # fmt: skip
    for padding, apart in product(("VALID", "SAME"), (None, ())):
        x, w = values((2, 3), "float64"), values((3, 2), "float64")
        compare("conv_transpose", x, w, strides=(), padding=padding, rhs_dilation=apart)


PAIRS = tuple(product(product(range(3), repeat=2), repeat=2))


@pytest.mark.parametrize("consistent", [False, True])
@pytest.mark.parametrize("transpose_kernel", [False, True])
def test_transposes_of_two_axes(transpose_kernel: bool, consistent: bool) -> None:
    for k, i, j, strides, padding, apart in some(
        (1, 2, 3, 4, 5), (2, 3), (1, 2), ((1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (4, 1)),
        (*PAIRS, *["VALID", "SAME"] * 40), (None, (2, 2)),
    ):  # fmt: skip
        x = values((2, 9, 10, i), "float64")
        w = values((k, k, j, i) if transpose_kernel else (k, k, i, j), "float64")
        compare(
            "conv_transpose", x, w, strides=strides, padding=padding, rhs_dilation=apart,
            transpose_kernel=transpose_kernel, use_consistent_padding=consistent,
        )  # fmt: skip


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_transposes_of_one_and_of_three_axes(padding: str) -> None:
    for k, stride, apart in product((3, 4, 5), (1, 2, 3), (None, 2)):
        for rank in (1, 3):
            x, w = values((2, *[4] * rank, 3), "float32"), values((*[k] * rank, 3, 2), "float32")
            compare(
                "conv_transpose", x, w, strides=(stride,) * rank, padding=padding,
                rhs_dilation=apart and (apart,) * rank,
            )  # fmt: skip


PATCHES = (
    ((2, 5), (), (), [], ("NC", "OI", "CN")),
    ((2, 3, 4), (2,), (2,), [(0, 2)], ("CNH", "OHI", "HNC")),
    ((3, 1, 4, 5), (1, 3), (1, 3), [(3, 1), (2, 2)], ("NCHW", "OIHW", "NCHW")),
    ((3, 2, 5, 6), (4, 3), (4, 3), [(5, 2), (2, 4)], None),
    ((1, 2, 3, 4), (1, 1), (1, 1), [(0, 0), (0, 0)], ("NCWH", "OHWI", "CNHW")),
    ((1, 2, 3, 4), (3, 2), (1, 1), "SAME", ("CWHN", "HOWI", "NCHW")),
    ((2, 3, 4, 5, 6), (2, 1, 3), (2, 1, 3), [(1, 2), (5, 3), (3, 5)], ("NHWDC", "HDIWO", "DCWNH")),
)


@pytest.mark.parametrize(("shape", "taps", "strides", "padding", "numbers"), PATCHES)
def test_patches(shape: Any, taps: Any, strides: Any, padding: Any, numbers: Any) -> None:
    for dtype in DTYPES:
        compare(
            "conv_general_dilated_patches", values(shape, dtype), filter_shape=taps,
            window_strides=strides, padding=padding, dimension_numbers=numbers,
        )  # fmt: skip


@pytest.mark.parametrize("rank", [1, 2])
def test_local_weights(rank: int) -> None:
    spatial = "HW"[:rank]
    orders = [["".join(o) for o in permutations(two + spatial)] for two in ("NC", "OI", "NC")]
    for lhs, rhs, out, dtype in some(*orders, FLOATS, count=20):
        x = values([{"N": 2, "C": 4, "H": 7, "W": 6}[letter] for letter in lhs], dtype)
        taps = [{"H": 2, "W": 3}[letter] for letter in rhs if letter in spatial]
        words = {
            "window_strides": (1, 2)[:rank],
            "rhs_dilation": (2, 1)[:rank],
            "padding": "SAME",
            "dimension_numbers": (lhs, rhs, out),
        }
        patches = lax.conv_general_dilated_patches(x, taps, **words)
        sizes = {letter: patches.shape[out.index(letter)] for letter in spatial}
        w = values([{"O": 5, "I": 4 * prod(taps), **sizes}[letter] for letter in rhs], dtype)
        compare("conv_general_dilated_local", x, w, filter_shape=taps, **words)


# What JAX refuses, and what it takes

X, W = values((1, 2, 5, 5), "float32"), values((3, 2, 3, 3), "float32")
WORDS: tuple[dict[str, Any], ...] = (
    *({"window_strides": word} for word in ((1,), (1, 1, 1), (0, 1), (-1, 1), 1, (1.5, 1.0), "ab")),
    *({"window_strides": np.array([1, 2])}, {"padding": "valid"}, {"padding": "same_lower"}),
    *({"padding": word} for word in ("FULL", (3, 3), 3, [(0, 0)], [(0, 0)] * 3, None, [(0.5, 0)])),
    *({"padding": [pair, (0, 0)]} for pair in ((-3, -3), (-3, -2), (-1, -2), [1, 1], (1, 1, 1))),
    *({"lhs_dilation": word} for word in ((2, 1), (1, 1), (1,), 2, (0, 1))),
    *({"padding": [(0, 0)] * 2, "lhs_dilation": word} for word in ((1,), (2,) * 3, (0, 1), 2)),
    *({"rhs_dilation": word} for word in ((0, 1), (-1, 1), (2,), 2, [2, 1])),
    *({"feature_group_count": word} for word in (0, 2, 3, -1)),
    *({"batch_group_count": word} for word in (0, 2, 3, -1)),
    {"feature_group_count": 2, "batch_group_count": 2},
    *(
        {"dimension_numbers": word}
        for word in (
            ("NCHW", "OIHW"), ("NCHW", "OIHW", "NCHD"), ("NCHH", "OIHH", "NCHH"), "NCHW",
            ("NCHW", "OIHW", "NCH"), ("NCHW", "OOHW", "NCHW"), ((0, 1, 2, 3),) * 3,
            ["NCHW", "OIHW", "NCHW"], ("nchw", "oihw", "nchw"), ("N", "O", "N"), 3,
            lax.ConvDimensionNumbers((0, 1, 2, 2), (0, 1, 2, 3), (0, 1, 2, 3)),
            lax.ConvDimensionNumbers((0, 1, 2, -1), (0, 1, 2, 3), (0, 1, 2, 3)),
            lax.ConvDimensionNumbers((0, 1, 2), (0, 1, 2), (0, 1, 2)),
            lax.ConvDimensionNumbers((0, 1, 3, 2), (0, 1, 2, 3), (0, 1, 2, 3)),
        )
    ),
    *(
        {"precision": word}
        for word in (
            "highest", "default", "high", "bfloat16", "float32", "fastest", "bfloat16_3x", "foo", 1,
            lax.Precision.HIGH, ("high", "default"), (lax.Precision.HIGH, "default"), ("high",),
            (lax.Precision.DEFAULT, lax.Precision.HIGHEST),
        )
    ),
    *(
        {"preferred_element_type": word}
        for word in ("float16", "int32", "complex64", "foo", float, np.float64)
    ),
    {"out_sharding": "x"},
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:divide by zero encountered")
@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("words", WORDS, ids=str)
def test_words(words: dict[str, Any]) -> None:
    compare("conv_general_dilated", X, W, **{"window_strides": (1, 1), "padding": "SAME", **words})


@pytest.mark.parametrize(
    ("lhs", "rhs", "words"),
    [
        (X[0], W, {}),
        (X, W.astype("float16"), {}),
        (X, np.ones((3, 3, 3, 3), "float32"), {}),
        (X, np.ones((3, 1, 3, 3), "float32"), {"feature_group_count": 2}),
        (np.ones((2, 2, 5, 5), "float32"), W, {"batch_group_count": 2}),
        (X, W[:, :, :0], {"padding": "SAME"}),
        (X[:, :0], W[:, :0], {}),
        (X, W[:0], {}),
        (X[:0], W, {}),
        (X[:, :, :0], W, {}),
        (X[:, :, :0], W, {"padding": [(2, 2), (0, 0)]}),
        *(
            (X.astype(before), W.astype(before), {"preferred_element_type": after})
            for before, after in (
                ("int8", "uint8"), ("int8", "uint32"), ("int32", "float16"), ("int8", "complex64"),
                ("int32", "bool"), ("complex64", "float32"), ("float64", "float32"),
                ("uint8", "int8"), ("uint32", "int32"), (BFLOAT16, "float16"),
            )
        ),
    ],
)  # fmt: skip
def test_arrays(lhs: Any, rhs: Any, words: dict[str, Any]) -> None:
    words = {"window_strides": (1, 1), "padding": "VALID", **words}
    compare("conv_general_dilated", lhs, rhs, **words)


TRANSPOSES: tuple[dict[str, Any], ...] = (
    *({"padding": word} for word in ("same", "SAME_LOWER", "foo", 1, [(1, 1)], [[1, 1], [0, 2]])),
    *({"padding": word, "strides": (2, 1)} for word in ("same", "SAME_LOWER", [(-1, 2), (0, 0)])),
    *(
        {"padding": word, "use_consistent_padding": True}
        for word in ("foo", "same", [[1, 1], [1, 1]], [(1, 1), (1, 1)], [(1, 1)], 1, (1, 1))
    ),
    *({"strides": word} for word in ((1,), 2, (0, 1))),
    *({"rhs_dilation": word} for word in ((2, 2), (2,), (0, 1))),
    {"transpose_kernel": True},
    {"padding": [(-9, -9), (0, 0)]},
    {"dimension_numbers": ("NHWC", "HWOI", "NCHW")},
)


@pytest.mark.parametrize("words", TRANSPOSES, ids=str)
def test_words_of_transposes(words: dict[str, Any]) -> None:
    x, w = values((1, 5, 5, 2), "float32"), values((3, 3, 2, 2), "float32")
    compare("conv_transpose", x, w, **{"strides": (1, 1), "padding": "SAME", **words})


def test_ranks_of_transposes() -> None:
    x, w = values((1, 5, 5, 2), "float32"), values((3, 2, 2), "float32")
    compare("conv_transpose", x, w, strides=(1, 1), padding="SAME")
    x, w = values((1, 2, 2, 2, 2, 3), "float32"), values((1, 1, 1, 1, 3, 2), "float32")
    words = {"strides": (1, 2, 1, 1), "padding": "SAME"}
    compare("conv_transpose", x, w, **words)
    numbers = ("NABDEC", "ABDEIO", "NABDEC")
    compare("conv_transpose", x, w, dimension_numbers=numbers, **words)


def test_infinite_inputs_of_patches() -> None:
    x = np.array([[[1, np.inf, 2]]])
    words = {"filter_shape": (2,), "window_strides": (1,), "padding": "VALID"}
    compare("conv_general_dilated_patches", x, **words)
    for precision in ("highest", lax.Precision.HIGHEST, (lax.Precision.HIGH,) * 2):
        compare("conv_general_dilated_patches", x, precision=precision, **words)


def test_gradients_of_another_dtype_or_shape() -> None:
    words = {"window_strides": (1, 1), "padding": "SAME"}
    _, pull_back = jax.vjp(lambda x, w: lax.conv_general_dilated(x, w, **words), X, W)
    for dy in (np.ones((1, 3, 5, 4), "float32"), np.ones((1, 3, 5, 5))):
        assert isinstance(outcome(pull_back, dy), ValueError)
        with pytest.raises(ValueError, match="must be like the output"):
            ours.conv_general_dilated_vjp(X, W, dy, **words)


def test_dimension_numbers() -> None:
    for numbers in (None, ("NHWC", "WHIO", "NWHC"), ["CNHW", "OIWH", "HNCW"]):
        found = ours.conv_dimension_numbers((1, 2, 3, 4), (1, 2, 3, 3), numbers)
        assert tuple(found) == tuple(
            lax.conv_dimension_numbers((1, 2, 3, 4), (1, 2, 3, 3), numbers)
        )
