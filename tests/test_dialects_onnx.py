"""The ONNX dialect against definitions, worked examples of the specification, and its messages."""

from inspect import signature
from itertools import product
from math import floor, prod
from typing import Any

import ml_dtypes
import numpy as np
import oracles
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from messages import refused
from strategies import Problem, problems

from convref import DtypeError, ShapeError, WordError
from convref.dialects import onnx
from convref.layers import Upsample

Array = Any
SEED = 1603_07285
FLOATS = (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)
PADS = st.sampled_from(("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"))


def drawn_problems() -> st.SearchStrategy[Problem]:
    """Those that ONNX has attributes for: zeros around, nothing cropped, and no word "causal"."""
    found = problems(modes=("zeros",), layouts=("channels_first",), spread_out=False)
    return found.filter(lambda problem: least_padding(problem.words["padding"]) >= 0)


def least_padding(padding: Any) -> int:
    if isinstance(padding, str):
        return -1 if padding == "causal" else 0
    return int(np.min(padding))


def told(problem: Problem) -> dict[str, Any]:
    """The words of a problem as ONNX's attributes."""
    words, rank = problem.words, problem.rank
    attributes: dict[str, Any] = {
        "strides": list(oracles.per_axis(words["stride"], rank)),
        "dilations": list(oracles.per_axis(words["dilation"], rank)),
        "group": words["groups"],
    }
    named = {"valid": "VALID", "same": "SAME_UPPER", "same_lower": "SAME_LOWER"}
    if words["padding"] in named:
        return attributes | {"auto_pad": named[words["padding"]]}
    pairs = [oracles.resolve(pad, 0, 1, 1) for pad in oracles.per_axis(words["padding"], rank)]
    return attributes | {"pads": [lo for lo, _ in pairs] + [hi for _, hi in pairs]}


def batched(problem: Problem, x: Array) -> Array:
    """With exactly one batch axis."""
    return x.reshape(prod(x.shape[: -problem.rank - 1]), *x.shape[-problem.rank - 1 :])


def whole(*shape: int, dtype: Any = np.float64, seed: int = SEED) -> Array:
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(dtype)


# Convolutions


@given(drawn_problems(), st.booleans())
def test_any_conv(problem: Problem, biased: bool) -> None:
    x, w = batched(problem, problem.x).astype(np.float64), problem.w.astype(np.float64)
    bias = whole(len(w)) if biased else None
    y = onnx.Conv(x, w, bias, kernel_shape=list(w.shape[2:]), **told(problem))
    np.testing.assert_array_equal(y, oracles.forward(x, w, bias, **problem.words))


@given(drawn_problems(), st.booleans())
def test_any_transpose(problem: Problem, biased: bool) -> None:
    """Of explicit pads: the input gradient of the convolution with the same words."""
    attributes = told(problem)
    x, w = batched(problem, problem.dy).astype(np.float64), problem.w.astype(np.float64)
    size = problem.x.shape[-problem.rank :]
    assume(attributes.get("auto_pad", "VALID") == "VALID" and min(size))
    rank, output = problem.rank, x.shape[2:]
    pads = attributes.get("pads", [0] * rank * 2)
    smallest = [
        (n - 1) * step + (taps - 1) * apart + 1 - lo - hi
        for n, step, taps, apart, lo, hi in zip(
            output,
            attributes["strides"],
            w.shape[2:],
            attributes["dilations"],
            pads[:rank],
            pads[rank:],
            strict=True,
        )
    ]
    extra = [n - least for n, least in zip(size, smallest, strict=True)]
    bias = whole(w.shape[1] * attributes["group"]) if biased else None
    y = onnx.ConvTranspose(x, w, bias, output_padding=extra, **attributes)
    expected = oracles.input_grad(x, w, size, **problem.words)
    if biased:
        expected = expected + np.reshape(bias, (-1, *[1] * rank))
    np.testing.assert_array_equal(y, expected)


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 3),
    PADS,
    st.integers(0, 20),
    st.data(),
)
def test_transposed_sizes(
    size: int, stride: int, taps: int, dilation: int, auto_pad: str, length: int, data: Any
) -> None:
    """By the specification's formulas: cut off what is too much, at the side that it says."""
    x, w = whole(1, 1, size), whole(1, 1, taps)
    extra = data.draw(st.integers(0, max(stride, dilation) - 1))
    words: dict[str, Any] = {"strides": [stride], "dilations": [dilation]}
    everything = onnx.ConvTranspose(x, w, **words)[0, 0]
    cells, same = len(everything) + extra, auto_pad.startswith("SAME")
    wanted = length or (size * stride if same else cells)
    assume(wanted < len(everything) + max(stride, dilation))
    if length:
        words["output_shape"] = [length]
    surplus = max(0, cells - wanted)
    lo = surplus // 2 if auto_pad == "SAME_UPPER" else surplus - surplus // 2
    y = onnx.ConvTranspose(x, w, auto_pad=auto_pad, output_padding=[extra], **words)[0, 0]
    np.testing.assert_array_equal(y, np.pad(everything, (0, 99))[lo : lo + wanted])


def test_output_padding_up_to_the_dilation() -> None:
    x, w = np.ones((1, 1, 2)), np.ones((1, 1, 2))
    y = onnx.ConvTranspose(x, w, dilations=[3], output_padding=[2])
    np.testing.assert_array_equal(y, [[[1, 1, 0, 1, 1, 0, 0]]])


def test_output_shape_decides_over_pads() -> None:
    x, w = whole(1, 1, 3), whole(1, 1, 3)
    y = onnx.ConvTranspose(x, w, output_shape=[4], pads=[7, 7])
    np.testing.assert_array_equal(y, onnx.ConvTranspose(x, w, pads=[1, 0]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_types_of_floats(dtype: Any) -> None:
    x, w, bias = (array.astype(dtype) for array in (whole(1, 2, 4, 4), whole(2, 2, 3, 3), whole(2)))
    offset = np.zeros((1, 18, 2, 2), dtype)
    found = [
        onnx.Conv(x, w, bias),
        onnx.ConvTranspose(x, w, bias),
        onnx.DeformConv(x, w, offset, bias),
        onnx.MaxPool(x, kernel_shape=[2, 2]),
        onnx.AveragePool(x, kernel_shape=[2, 2]),
        onnx.LpPool(x, kernel_shape=[2, 2]),
        onnx.GlobalAveragePool(x),
        onnx.GlobalMaxPool(x),
        onnx.Pad(x, [1] * 8),
        onnx.Resize(x, None, [1, 1, 2, 2]),
        onnx.Resize(x, None, [1, 1, 2, 2], mode="linear"),
        onnx.Col2Im(x[:, :, 0], [3], [1], pads=[0, 1]),
    ]
    assert {array.dtype for array in found} == {np.dtype(dtype)}
    if dtype != np.float64:
        state = onnx.CausalConvWithState(x[0][:, :2], w[:, :1, 0], activation="silu")
        assert {array.dtype for array in state} == {np.dtype(dtype)}


def test_attributes_as_a_model_has_them() -> None:
    x, w = whole(1, 1, 5), whole(1, 1, 3)
    named = onnx.Conv(x, w, auto_pad="SAME_LOWER", strides=[2])
    np.testing.assert_array_equal(onnx.Conv(x, w, auto_pad=b"SAME_LOWER", strides=(2,)), named)
    np.testing.assert_array_equal(
        onnx.Conv(x, w, auto_pad="SAME_LOWER", strides=np.array([2])), named
    )


def test_causal_convolution_goes_on_where_it_stopped() -> None:
    x, w, bias = (array.astype(np.float32) for array in (whole(2, 3, 9), whole(3, 1, 4), whole(3)))
    whole_at_once, last = onnx.CausalConvWithState(x, w, bias)
    np.testing.assert_array_equal(whole_at_once, onnx.Conv(x, w, bias, group=3, pads=[3, 0]))
    np.testing.assert_array_equal(last, x[:, :, -3:])
    first, state = onnx.CausalConvWithState(x[:, :, :2], w, bias)
    np.testing.assert_array_equal(state, np.pad(x[:, :, :2], ((0, 0), (0, 0), (1, 0))))
    rest, again = onnx.CausalConvWithState(x[:, :, 2:], w, bias, state)
    np.testing.assert_array_equal(np.concatenate([first, rest], axis=2), whole_at_once)
    np.testing.assert_array_equal(again, last)
    for activation in ("silu", "swish"):
        y = onnx.CausalConvWithState(x, w, bias, activation=activation)[0]
        expected = whole_at_once / (1 + np.exp(-whole_at_once.astype(np.float64)))
        np.testing.assert_allclose(y, expected, 1e-6)


@given(drawn_problems())
def test_col2im_is_the_transpose_of_reading_columns(problem: Problem) -> None:
    """``<col2im(cols), x> == <cols, what each tap sees of x>``."""
    attributes = told(problem)
    assume(attributes.pop("auto_pad", "VALID") == "VALID")
    del attributes["group"]
    x, kernel = batched(problem, problem.x), problem.w.shape[2:]
    how = oracles.plan(x.shape[2:], kernel, problem.words)
    seen = np.stack([tap for _, tap in oracles.windows(oracles.padded(x, how), how)], axis=3)
    seen = seen.reshape(len(x), x.shape[1] * prod(kernel), prod(how.output))
    cols = whole(*seen.shape, dtype=np.int64)
    back = onnx.Col2Im(cols, list(x.shape[2:]), list(kernel), **attributes)
    assert np.sum(back * x) == np.sum(cols * seen)


# Quantised convolutions


@given(drawn_problems(), st.sampled_from(("int8", "uint8")), st.sampled_from(("int8", "uint8")))
def test_any_integers(problem: Problem, x_type: str, w_type: str) -> None:
    """With a zero point for each filter."""
    x, w = batched(problem, problem.x).astype(x_type), problem.w.astype(w_type)
    centres = np.arange(len(w)).astype(w_type)
    y = onnx.ConvInteger(x, w, np.array(3, x_type), centres, **told(problem))
    aside = (-1, *[1] * (w.ndim - 1))
    wide = x.astype(np.int64) - 3, w.astype(np.int64) - centres.reshape(aside)
    np.testing.assert_array_equal(y, oracles.forward(*wide, **problem.words))
    assert y.dtype == np.int32


def test_zero_points_are_what_padding_stands_for() -> None:
    x, w = np.array([[[7]]], np.uint8), np.array([[[1, 1, 1]]], np.uint8)
    y = onnx.ConvInteger(x, w, np.uint8(7), pads=[1, 1])
    np.testing.assert_array_equal(y, [[[0]]])


def quantised(x: Array, *rest: Any, w: Any = 1, **attributes: Any) -> Array:
    """One tap of weight 1; scales and zero points that change nothing, unless given."""
    taps = np.array(w, np.int8).reshape(-1, 1, 1)
    scales = {"x_scale": 1.0, "w_scale": 1.0, "y_scale": 1.0} | attributes
    zeros = {"y_zero_point": np.uint8(0)} | attributes
    return onnx.QLinearConv(
        np.array([[x]], np.uint8),
        scales["x_scale"],
        np.uint8(0),
        taps,
        scales["w_scale"],
        np.int8(0),
        scales["y_scale"],
        zeros["y_zero_point"],
        *rest,
    )[0]


def test_halves_round_to_even() -> None:
    y = quantised([1, 3, 5, 7, 9], y_scale=2.0)
    np.testing.assert_array_equal(y, [[0, 2, 2, 4, 4]])
    shifted = quantised([1, 3, 5, 7, 9], y_scale=2.0, y_zero_point=np.uint8(1))
    np.testing.assert_array_equal(shifted, [[1, 3, 3, 5, 5]])  # rounded, then shifted


def test_outputs_saturate() -> None:
    np.testing.assert_array_equal(quantised([0, 255], y_scale=0.5), [[0, 255]])
    np.testing.assert_array_equal(quantised([255], w=-1), [[0]])
    low = quantised([255, 1], w=-1, y_zero_point=np.int8(0))
    np.testing.assert_array_equal(low, [[-128, -1]])
    assert low.dtype == np.int8


def test_scales_and_biases_of_each_filter() -> None:
    bias = np.array([10, -4], np.int32)
    y = quantised([2, 4], bias, w=[1, 2], w_scale=[0.5, 2.0])
    np.testing.assert_array_equal(y, [[6, 7], [0, 8]])


# Deformable convolutions


def deformed(x: Array, w: Array, offset: Array, mask: Array, blocks: int, words: Any) -> Array:
    """By the definition, number by number; no groups."""
    (N, C, *size), K, rank = x.shape, len(w), x.ndim - 2
    how = oracles.plan(tuple(size), w.shape[2:], words)
    taps = list(np.ndindex(*how.kernel))
    offset = offset.reshape(N, blocks, len(taps), rank, *how.output)
    mask = mask.reshape(N, blocks, len(taps), *how.output)

    def between(plane: Array, place: list[float]) -> float:
        total = 0.0
        for corner in product((0, 1), repeat=rank):
            cell = [floor(at) + step for at, step in zip(place, corner, strict=True)]
            near = prod(1 - abs(at - i) for at, i in zip(place, cell, strict=True))
            if all(0 <= i < n for i, n in zip(cell, plane.shape, strict=True)):
                total += near * plane[tuple(cell)]
        return total

    y = np.zeros((N, K, *how.output))
    for n, k, c, (t, tap) in product(range(N), range(K), range(C), enumerate(taps)):
        block = c * blocks // C
        for o in np.ndindex(*how.output):
            place = [
                i * step + j * apart - lo + offset[(n, block, t, axis, *o)]
                for axis, (i, step, j, apart, (lo, _)) in enumerate(
                    zip(o, how.stride, tap, how.dilation, how.pads, strict=True)
                )
            ]
            seen = between(x[n, c], place) * mask[(n, block, t, *o)]
            y[(n, k, *o)] += w[(k, c, *tap)] * seen
    return y


@given(st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.booleans(), st.data())
def test_any_deformation(rank: int, blocks: int, inside: int, masked: bool, data: Any) -> None:
    """Offsets in quarters, so that everything is exact."""

    def along(least: int, most: int, count: int = rank) -> list[int]:
        return data.draw(st.lists(st.integers(least, most), min_size=count, max_size=count))

    kernel, pads = along(1, 2), along(0, 2, 2 * rank)
    words = {"stride": along(1, 2), "dilation": along(1, 2)}
    words["padding"] = [[pads[axis], pads[axis + rank]] for axis in range(rank)]
    size = [step + extra for step, extra in zip(words["dilation"], along(1, 2), strict=True)]
    x, w = whole(2, blocks * inside, *size), whole(2, blocks * inside, *kernel)
    output = oracles.plan(tuple(size), tuple(kernel), words).output
    offset = whole(2, blocks * prod(kernel) * rank, *output) / 4
    mask = whole(2, blocks * prod(kernel), *output, seed=1)
    y = onnx.DeformConv(
        x,
        w,
        offset,
        None,
        mask if masked else None,
        offset_group=blocks,
        strides=words["stride"],
        dilations=words["dilation"],
        pads=pads,
    )
    expected = deformed(x, w, offset, mask if masked else np.ones_like(mask), blocks, words)
    np.testing.assert_array_equal(y, expected)


@given(drawn_problems())
def test_nothing_deformed(problem: Problem) -> None:
    attributes = told(problem)
    assume("auto_pad" not in attributes)
    x, w = batched(problem, problem.x).astype(np.float64), problem.w.astype(np.float64)
    shape = len(x), prod(w.shape[2:]) * problem.rank, *problem.dy.shape[-problem.rank :]
    bias = whole(len(w))
    y = onnx.DeformConv(x, w, np.zeros(shape), bias, kernel_shape=list(w.shape[2:]), **attributes)
    np.testing.assert_array_equal(y, onnx.Conv(x, w, bias, **attributes))


def test_deformed_places_see_nothing_else() -> None:
    """A place on a position is not mixed with an infinite neighbour; none is outside of zeros."""
    x, w = np.array([[[1.0, np.inf, 3.0]]]), np.ones((1, 1, 1))
    offset = np.array([[[0.0, -1.0, 100.0]]])
    np.testing.assert_array_equal(onnx.DeformConv(x, w, offset), [[[1, 1, 0]]])
    far = np.array([[[np.nan, -np.inf, np.inf]]])
    np.testing.assert_array_equal(onnx.DeformConv(x, w, far), [[[0, 0, 0]]])


# Pooling


def seen_by(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int) -> list[Any]:
    """The positions that each window of ceil_mode sees, with those in the padding.

    Windows start one stride apart until one reaches the end of the padded input, or the next would
    start in the padding at the end.
    """
    lo, hi = pads
    found: list[Any] = []
    start = -lo
    while start < size:
        places = [start + tap * dilation for tap in range(kernel)]
        found.append([i for i in places if -lo <= i < size + hi])
        if places[-1] >= size + hi - 1:
            break
        start += stride
    return found


@given(
    st.integers(1, 7),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(1, 3),
    st.integers(0, 1),
)
def test_any_ceil_mode(
    size: int, kernel: int, stride: int, lo: int, hi: int, dilation: int, counted: int
) -> None:
    x = whole(1, 1, size)
    assume((kernel - 1) * dilation + 1 < lo + size + hi + stride)
    windows = seen_by(size, kernel, stride, (lo, hi), dilation)
    inside = [[x[0, 0, i] for i in window if 0 <= i < size] for window in windows]
    words: Any = {
        "kernel_shape": [kernel],
        "strides": [stride],
        "pads": [lo, hi],
        "dilations": [dilation],
        "ceil_mode": 1,
    }
    y, places = onnx.MaxPool(x, outputs=2, **words)
    np.testing.assert_array_equal(y[0, 0], [max(seen, default=-np.inf) for seen in inside])
    for window, place, highest in zip(windows, places[0, 0], y[0, 0], strict=True):
        assert highest == -np.inf or (place in window and x[0, 0, place] == highest)
    shares = [
        sum(seen) / max(1, len(window) if counted else len(seen))
        for seen, window in zip(inside, windows, strict=True)
    ]
    y = onnx.AveragePool(x, count_include_pad=counted, **words)
    np.testing.assert_allclose(y[0, 0], shares, 1e-14)
    norms = [sum(abs(value) ** 3 for value in seen) ** (1 / 3) for seen in inside]
    np.testing.assert_allclose(onnx.LpPool(x, p=3, **words)[0, 0], norms, 1e-14)


@pytest.mark.parametrize("auto_pad", ["VALID", "SAME_UPPER", "SAME_LOWER"])
def test_ceil_mode_leaves_automatic_padding_alone(auto_pad: str) -> None:
    x = whole(1, 2, 6, 5)
    for pool in (onnx.MaxPool, onnx.AveragePool, onnx.LpPool):
        found = [
            pool(x, kernel_shape=[3, 2], strides=[2, 2], auto_pad=auto_pad, ceil_mode=mode)
            for mode in (0, 1)
        ]
        np.testing.assert_array_equal(*found)


def test_padding_counts_if_asked() -> None:
    x = np.array([[[1.0, 2.0, 3.0, 4.0]]])
    words: Any = {"kernel_shape": [3], "strides": [2], "auto_pad": "SAME_UPPER"}
    np.testing.assert_array_equal(onnx.AveragePool(x, **words), [[[2, 3.5]]])
    counted = onnx.AveragePool(x, count_include_pad=1, **words)
    np.testing.assert_array_equal(counted, [[[2, 7 / 3]]])


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_maxima_of_bytes(dtype: str) -> None:
    limits = np.iinfo(dtype)
    x = np.array([[[limits.min, limits.min, limits.max]]], dtype)
    y, places = onnx.MaxPool(x, kernel_shape=[2], pads=[1, 1], outputs=2)
    np.testing.assert_array_equal(y, [[[limits.min, limits.min, limits.max, limits.max]]])
    np.testing.assert_array_equal(places, [[[0, 0, 2, 2]]])
    assert (y.dtype, places.dtype) == (np.dtype(dtype), np.int64)


def test_indices_count_through_everything() -> None:
    x = whole(2, 3, 4, 5)
    y, rows = onnx.MaxPool(x, kernel_shape=[2, 3], outputs=2)
    np.testing.assert_array_equal(x.ravel()[rows], y)
    y, columns = onnx.MaxPool(x, kernel_shape=[2, 3], storage_order=1, outputs=2)
    np.testing.assert_array_equal(x.swapaxes(2, 3).ravel()[columns], y)


def test_global_pools() -> None:
    x = whole(2, 3, 4, 5, 2)
    np.testing.assert_array_equal(onnx.GlobalMaxPool(x), x.max((2, 3, 4), keepdims=True))
    np.testing.assert_allclose(onnx.GlobalAveragePool(x), x.mean((2, 3, 4), keepdims=True), 1e-14)


# Pad


def test_examples_of_pad_to_the_letter() -> None:
    data = np.array([[1.0, 1.2], [2.3, 3.4], [4.5, 5.7]], np.float32)
    pads = np.array([0, 2, 0, 0])
    constant = onnx.Pad(data, pads, np.float32(0.0), mode="constant")
    zeros = np.zeros((3, 2), np.float32)
    np.testing.assert_array_equal(constant, np.concatenate([zeros, data], axis=1))
    reflected = np.float32([[1.0, 1.2, 1.0, 1.2], [2.3, 3.4, 2.3, 3.4], [4.5, 5.7, 4.5, 5.7]])
    np.testing.assert_array_equal(onnx.Pad(data, pads, mode="reflect"), reflected)
    edge = np.float32([[1.0, 1.0, 1.0, 1.2], [2.3, 2.3, 2.3, 3.4], [4.5, 4.5, 4.5, 5.7]])
    np.testing.assert_array_equal(onnx.Pad(data, pads, mode="edge"), edge)
    wrapped = [
        [3.4, 2.3, 3.4, 2.3],
        [5.7, 4.5, 5.7, 4.5],
        [1.2, 1.0, 1.2, 1.0],
        [3.4, 2.3, 3.4, 2.3],
        [5.7, 4.5, 5.7, 4.5],
        [1.2, 1.0, 1.2, 1.0],
    ]
    found = onnx.Pad(data, np.array([2, 1, 1, 1]), mode="wrap")
    np.testing.assert_array_equal(found, np.float32(wrapped))


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(-3, 5), st.integers(-3, 5)), min_size=1)
    .filter(lambda axes: len(axes) < 5)
    .filter(lambda axes: all(n + min(lo, 0) + min(hi, 0) > 0 for n, lo, hi in axes)),
    st.sampled_from(("constant", "reflect", "edge", "wrap")),
)
def test_any_pad(axes: Any, mode: str) -> None:
    """Crop, then numpy.pad."""
    x = whole(*(n for n, _, _ in axes), dtype=np.int32)
    left = x[tuple(slice(max(-lo, 0), n + min(hi, 0)) for n, lo, hi in axes)]
    added = [(max(lo, 0), max(hi, 0)) for _, lo, hi in axes]
    pads = [lo for _, lo, _ in axes] + [hi for _, _, hi in axes]
    words: Any = {"constant_values": 7} if mode == "constant" else {}
    expected = np.pad(left, added, mode=mode, **words)  # type: ignore[call-overload]
    np.testing.assert_array_equal(onnx.Pad(x, pads, 7, mode=mode), expected)


def test_pad_takes_all_of_an_axis() -> None:
    assert onnx.Pad(np.ones((2, 3)), [-1, -2], None, [1]).shape == (2, 0)
    np.testing.assert_array_equal(onnx.Pad(np.ones((2, 0)), [1, 1], 4.0, [1]), [[4, 4], [4, 4]])
    np.testing.assert_array_equal(onnx.Pad([True], [1, 0]), [False, True])


# Resize


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=3),
    st.sampled_from(("nearest", "linear", "cubic")),
    st.booleans(),
)
def test_whole_factors_as_upsample(axes: Any, mode: str, aligned: bool) -> None:
    x = whole(2, *(n for n, _ in axes))
    factors = [factor for _, factor in axes]
    if mode == "nearest":
        y = onnx.Resize(x, None, [1, *factors])
        np.testing.assert_array_equal(y, Upsample(factors)(x[None])[0])
    elif mode == "linear":
        word = "align_corners" if aligned else "half_pixel"
        y = onnx.Resize(x, None, [1, *factors], mode=mode, coordinate_transformation_mode=word)
        upsampled = Upsample(factors, mode=mode, align_corners=aligned)(x)
        np.testing.assert_allclose(y, upsampled, 1e-12, 1e-12)
    else:
        y = onnx.Resize(np.full(x.shape, 5.0), None, [1, *factors], mode=mode)
        np.testing.assert_allclose(y, 5, 1e-12)


@pytest.mark.parametrize(
    ("word", "places"),
    [
        ("half_pixel", [-1 / 6, 0.5, 7 / 6, 11 / 6, 2.5, 19 / 6]),
        ("half_pixel_symmetric", [-1 / 6, 0.5, 7 / 6, 11 / 6, 2.5, 19 / 6]),
        ("pytorch_half_pixel", [-1 / 6, 0.5, 7 / 6, 11 / 6, 2.5, 19 / 6]),
        ("align_corners", [0, 0.6, 1.2, 1.8, 2.4, 3]),
        ("asymmetric", [0, 2 / 3, 4 / 3, 2, 8 / 3, 10 / 3]),
        ("tf_crop_and_resize", [0.75, 1.05, 1.35, 1.65, 1.95, 2.25]),
    ],
)
def test_places(word: str, places: Any) -> None:
    """Of a ramp, linear interpolation gives the place; beyond the edges, the edge."""
    found = onnx.Resize(
        [0.0, 1.0, 2.0, 3.0],
        [0.25, 0.75],
        None,
        [6],
        mode="linear",
        coordinate_transformation_mode=word,
    )
    np.testing.assert_allclose(found, np.clip(places, 0, 3), 1e-14)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("round_prefer_floor", [0, 0, 1, 1, 2, 2, 3, 3]),
        ("round_prefer_ceil", [0, 1, 1, 2, 2, 3, 3, 3]),
        ("floor", [0, 0, 1, 1, 2, 2, 3, 3]),
        ("ceil", [0, 1, 1, 2, 2, 3, 3, 3]),
    ],
)
def test_nearest(word: str, expected: Any) -> None:
    y = onnx.Resize(
        [0, 1, 2, 3], None, [2.0], coordinate_transformation_mode="asymmetric", nearest_mode=word
    )
    np.testing.assert_array_equal(y, expected)


def test_ties_are_found_exactly() -> None:
    """Position 3 of 7 looks at 2.5, between 6 positions; in float32 it may look beside it."""
    found = [
        onnx.Resize(np.arange(6), None, None, [7], nearest_mode=word)[3]
        for word in ("round_prefer_floor", "round_prefer_ceil")
    ]
    assert found == [2, 3]


def test_sizes_keep_proportions() -> None:
    x = whole(4, 6)
    for policy, shape in (("stretch", (3, 3)), ("not_larger", (2, 3)), ("not_smaller", (3, 5))):
        y = onnx.Resize(x, None, None, [3, 3], keep_aspect_ratio_policy=policy)
        assert y.shape == shape  # 4.5 is rounded up


def test_fractions_of_lengths() -> None:
    assert onnx.Resize(np.ones(10), None, [0.7]).shape == (7,)  # as 10 * 0.7 is in float32
    half = onnx.Resize(
        np.arange(4.0), None, [0.6], mode="linear", coordinate_transformation_mode="align_corners"
    )
    np.testing.assert_allclose(half, [0, 3 / 1.4], 1e-6)  # the length would be 2.4
    cropped = onnx.Resize(
        np.ones(8), [0.25, 0.75], [1.0], coordinate_transformation_mode="tf_crop_and_resize"
    )
    assert cropped.shape == (4,)
    one = onnx.Resize(
        np.arange(4.0), [0.5, 1], None, [1], coordinate_transformation_mode="tf_crop_and_resize"
    )
    np.testing.assert_array_equal(one, [2])
    first = onnx.Resize(
        np.arange(4), None, None, [1], coordinate_transformation_mode="pytorch_half_pixel"
    )
    np.testing.assert_array_equal(first, [0])


def test_what_lies_outside() -> None:
    y = onnx.Resize(
        np.ones((2, 3)),
        [0, -0.5, 1, 1.5],
        None,
        [2, 5],
        coordinate_transformation_mode="tf_crop_and_resize",
        extrapolation_value=9.0,
    )
    np.testing.assert_array_equal(y, [[9, 1, 1, 1, 9]] * 2)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("attributes", [{}, {"antialias": 1}, {"exclude_outside": 1}])
def test_weights_sum_to_one(mode: str, attributes: Any) -> None:
    for size in (1, 2, 3, 7):
        y = onnx.Resize(np.full(5, 3.0), None, None, [size], mode=mode, **attributes)
        np.testing.assert_allclose(y, 3, 1e-14)


def test_antialiasing_looks_at_everything() -> None:
    """A triangle twice as wide, for half the size."""
    x = np.array([0.0, 8.0, 0.0, 0.0])
    y = onnx.Resize(x, None, [0.5], mode="linear", antialias=1)
    np.testing.assert_array_equal(y, [3, 1])


def test_places_on_a_position_see_nothing_else() -> None:
    x = np.array([1.0, np.inf, 3.0])
    for mode in ("linear", "cubic"):
        y = onnx.Resize(x, None, [2.0], mode=mode, coordinate_transformation_mode="asymmetric")
        np.testing.assert_array_equal(y[[0, 4]], x[[0, 2]])


def test_integers_are_rounded_into_range() -> None:
    x = np.array([0, 255, 255], np.uint8)
    linear = onnx.Resize(x, None, None, [6], mode="linear")
    np.testing.assert_array_equal(linear, [0, 64, 191, 255, 255, 255])
    cubic = onnx.Resize(x, None, None, [6], mode="cubic")
    assert cubic.dtype == np.uint8
    assert cubic[0] == 0  # below it
    assert cubic[-3] == 255  # above it


# What is called how, and refused


ATTRIBUTES = (
    "auto_pad='NOTSET', dilations=None, group=1, kernel_shape=None, pads=None, strides=None"
)
QUANTISED = "x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, B=None"
TRANSPOSED = ATTRIBUTES.replace("pads", "output_padding=None, output_shape=None, pads")


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("Conv", f"X, W, B=None, *, {ATTRIBUTES}"),
        ("ConvTranspose", f"X, W, B=None, *, {TRANSPOSED}"),
        ("ConvInteger", f"x, w, x_zero_point=None, w_zero_point=None, *, {ATTRIBUTES}"),
        ("QLinearConv", f"{QUANTISED}, *, {ATTRIBUTES}"),
    ],
)
def test_signatures(operator: str, expected: str) -> None:
    """Names, order and defaults; those of all operators are compared with onnx in tests/peers."""
    parameters = signature(getattr(onnx, operator)).parameters.values()
    plain = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
    assert str(signature(lambda: None).replace(parameters=plain)) == f"({expected})"


X, W = np.arange(32.0).reshape(1, 2, 4, 4), np.arange(36.0).reshape(2, 2, 3, 3)
K = {"kernel_shape": [2, 2]}
RESIZED = {"mode": "cubic"}
ALIGNED = {"coordinate_transformation_mode": "align_corners"}


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes", "change"),
    [
        ("Conv", (X, W), {}, {"auto_pad": "SAME_UPPER"}),
        ("Conv", (X, W), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, {"auto_pad": "SAME_UPPER"}),
        ("Conv", (X, W[:, :, :2, :2]), {}, {"dilations": [2, 2]}),
        ("Conv", (X, W), {}, {"pads": [0, 0, 0, 1]}),
        ("Conv", (X, W), {}, {"strides": [2, 2]}),
        ("ConvTranspose", (X, W), {}, {"auto_pad": "SAME_UPPER"}),
        ("ConvTranspose", (X, W), {}, {"dilations": [2, 1]}),
        ("ConvTranspose", (X, W), {}, {"group": 2}),
        ("ConvTranspose", (X, W), {"strides": [2, 2]}, {"output_padding": [1, 0]}),
        ("ConvTranspose", (X, W), {}, {"output_shape": [5, 5]}),
        ("ConvTranspose", (X, W), {}, {"pads": [1, 0, 0, 0]}),
        ("MaxPool", (X,), K, {"auto_pad": "SAME_LOWER"}),
        ("MaxPool", (X,), K | {"strides": [3, 3]}, {"ceil_mode": 1}),
        ("MaxPool", (X,), K, {"dilations": [2, 2]}),
        ("MaxPool", (X,), K, {"pads": [0, 0, 0, 1]}),
        ("AveragePool", (X,), K | {"pads": [1] * 4}, {"count_include_pad": 1}),
        ("LpPool", (X,), K, {"p": 1}),
        ("Resize", (X, None, [1, 1, 2, 2]), {}, {"mode": "linear"}),
        ("Resize", (X, None, [1, 1, 2, 2]), RESIZED, {"cubic_coeff_a": -0.5}),
        ("Resize", (X, None, [1, 1, 2, 2]), RESIZED, {"exclude_outside": 1}),
        ("Resize", (X, None, [1, 1, 0.5, 1]), RESIZED, {"antialias": 1}),
        ("Resize", (X, None, [2, 2]), {"axes": [2, 3]}, {"axes": [-4, -1]}),
        ("Resize", (X, None, [1, 1, 1, 1.5]), ALIGNED, {"nearest_mode": "ceil"}),
    ],
)
def test_attributes_have_effects(operator: str, inputs: Any, attributes: Any, change: Any) -> None:
    before = getattr(onnx, operator)(*inputs, **attributes)
    after = getattr(onnx, operator)(*inputs, **(attributes | change))
    assert not np.array_equal(before, after)


def test_empty_scales_are_scales_left_out() -> None:
    y = onnx.Resize(np.arange(2), [], np.zeros(0, np.float32), [4])
    np.testing.assert_array_equal(y, [0, 0, 1, 1])


F, U = X.astype(np.float32), X.astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "message", "operator", "inputs", "attributes"),
    [
        (
            WordError,
            "Conv: `kernel_shape` (=[2, 2]) is not that of `W` (shape (2, 2, 3, 3)); use [3, 3], "
            "or leave it out",
            "Conv",
            (X, W),
            {"kernel_shape": [2, 2]},
        ),
        (
            WordError,
            "Conv: `strides` (=2) must list 2 integers; such as [1, 1]",
            "Conv",
            (X, W),
            {"strides": 2},
        ),
        (
            WordError,
            "Conv: `pads` (=[1, 1, -1, 0]) must be at least 0 on every axis; use 0 or more",
            "Conv",
            (X, W),
            {"pads": [1, 1, -1, 0]},
        ),
        (
            WordError,
            "Conv: `auto_pad` (='same') is unknown; use one of 'NOTSET', 'VALID', 'SAME_UPPER', "
            "'SAME_LOWER'",
            "Conv",
            (X, W),
            {"auto_pad": "same"},
        ),
        (
            WordError,
            "Conv: `auto_pad` (='VALID') and `pads` (=[0, 0, 0, 0]) both choose the padding; give "
            "one of them",
            "Conv",
            (X, W),
            {"auto_pad": "VALID", "pads": [0] * 4},
        ),
        (
            WordError,
            "Conv: `group` (=0) must be at least 1; use 1 or more",
            "Conv",
            (X, W),
            {"group": 0},
        ),
        (
            ShapeError,
            "Conv: `W` (shape (2, 2, 3, 3)) takes 6 input channels in `group` (=3), and `X` (shape "
            "(1, 2, 4, 4)) has 2; weights have the shape (M, C/group, k1, ..., kn)",
            "Conv",
            (X, W),
            {"group": 3},
        ),
        (
            ShapeError,
            "Conv: `group` (=2) must divide the 3 output channels of `W` (shape (3, 1, 3, 3)); use "
            "1 or 3",
            "Conv",
            (X, np.ones((3, 1, 3, 3))),
            {"group": 2},
        ),
        (
            ShapeError,
            "Conv: `B` has shape (3,), and there are 2 output channels; give it the shape (2,)",
            "Conv",
            (X, W, np.ones(3)),
            {},
        ),
        (
            ShapeError,
            "Conv: `W` (shape (2, 2, 3, 3)) has 4 axes, and `X` (shape (2, 4, 4)) has 3; give both "
            "as many, of which the first two are no spatial axes",
            "Conv",
            (X[0], W),
            {},
        ),
        (
            ShapeError,
            "Conv: `X` (shape (4, 4)) has no spatial axes; give it the shape (N, C, D1, ..., Dn)",
            "Conv",
            (X[0, 0], W),
            {},
        ),
        (
            ShapeError,
            "Conv: the output would be empty along spatial axis 0: the window of 5 (kernel 3, "
            "`dilations` 2) exceeds the 4 cells of the padded input (size 4, `pads` (0, 0)); use a "
            "larger input, a smaller kernel or more padding",
            "Conv",
            (X, W),
            {"dilations": [2, 1]},
        ),
        (
            DtypeError,
            "Conv: `X` has dtype uint8, which the operator does not take; use one of float16, "
            "bfloat16, float32, float64",
            "Conv",
            (U, W),
            {},
        ),
        (
            DtypeError,
            "Conv: `W` (float64) and `X` (float32) must be of one type; convert one of them",
            "Conv",
            (F, W),
            {},
        ),
        (
            DtypeError,
            "Conv: `W` (=None) can't be left out; give it an array",
            "Conv",
            (X, None),
            {},
        ),
        (
            WordError,
            "ConvTranspose: `output_padding` (=[0, 1]) must be smaller than `strides` or "
            "`dilations`, whichever is larger: [1, 1]; use less of it",
            "ConvTranspose",
            (X, W),
            {"output_padding": [0, 1]},
        ),
        (
            ShapeError,
            "ConvTranspose: `output_shape` (=[6, 7]) is too large for `X` (shape (1, 2, 4, 4)), "
            "whose windows cover [6, 6] cells; use a smaller one, or a larger stride",
            "ConvTranspose",
            (X, W),
            {"output_shape": [6, 7]},
        ),
        (
            WordError,
            "ConvTranspose: `output_shape` (=[1, 2, 6, 6]) must list 2 integers; such as [1, 1]",
            "ConvTranspose",
            (X, W),
            {"output_shape": [1, 2, 6, 6]},
        ),
        (
            ShapeError,
            "ConvTranspose: the output would be empty along spatial axis 0 (size 0); use less "
            "padding or a larger kernel",
            "ConvTranspose",
            (X, W),
            {"pads": [3] * 4},
        ),
        (
            ShapeError,
            "CausalConvWithState: `weight` (shape (2, 2, 3)) does not give each channel of `input` "
            "(shape (2, 4, 4)) a kernel of its own; give them the shapes (C, 1, k) and (N, C, L)",
            "CausalConvWithState",
            (F[0], W.astype(np.float32)[:, :, 0]),
            {},
        ),
        (
            ShapeError,
            "CausalConvWithState: `past_state` has shape (2, 4, 2); give it the shape (2, 4, 1)",
            "CausalConvWithState",
            (F[0], np.ones((4, 1, 2), np.float32), None, np.ones((2, 4, 2), np.float32)),
            {},
        ),
        (
            ShapeError,
            "Col2Im: `input` (shape (2, 4, 4)) must end in (4 taps times the channels, 9 "
            "positions); check `image_shape`, `block_shape` and the words",
            "Col2Im",
            (X[0], [4, 4], [2, 2]),
            {},
        ),
        (
            ShapeError,
            "Col2Im: `input` (shape (1, 2, 4, 4)) has 4 axes; give it the shape (N, C * product of "
            "block_shape, L)",
            "Col2Im",
            (X, [4, 4], [2, 2]),
            {},
        ),
        (
            DtypeError,
            "ConvInteger: `x_zero_point` (int8) and `x` (uint8) must be of one type; convert one "
            "of them",
            "ConvInteger",
            (U, W.astype(np.int8), np.int8(1)),
            {},
        ),
        (
            ShapeError,
            "ConvInteger: `w_zero_point` (shape (3,)) holds 3 numbers; give it one, or 2 for as "
            "many filters",
            "ConvInteger",
            (U, W.astype(np.int8), None, np.zeros(3, np.int8)),
            {},
        ),
        (
            ShapeError,
            "QLinearConv: `y_scale` (shape (2,)) holds 2 numbers; give it one",
            "QLinearConv",
            (U, 1.0, np.uint8(0), W.astype(np.int8), 1.0, np.int8(0), [1.0, 1.0], np.uint8(0)),
            {},
        ),
        (
            ShapeError,
            "DeformConv: `offset` has shape (1, 18, 3, 3); give it the shape (1, 18, 2, 2)",
            "DeformConv",
            (X, W, np.ones((1, 18, 3, 3))),
            {},
        ),
        (
            ShapeError,
            "DeformConv: `mask` has shape (1, 8, 2, 2); give it the shape (1, 9, 2, 2)",
            "DeformConv",
            (X, W, np.ones((1, 18, 2, 2)), None, np.ones((1, 8, 2, 2))),
            {},
        ),
        (
            WordError,
            "DeformConv: `offset_group` (=3) must divide the 2 channels of `X` (shape (1, 2, 4, "
            "4)); use 1, or another of its divisors",
            "DeformConv",
            (X, W, np.ones((1, 18, 2, 2))),
            {"offset_group": 3},
        ),
        (
            WordError,
            "MaxPool: `kernel_shape` (=[2]) must list 2 integers; such as [2, 2]",
            "MaxPool",
            (X,),
            {"kernel_shape": [2]},
        ),
        (
            WordError,
            "MaxPool: `outputs` (=3) is neither 1 nor 2; use one of them",
            "MaxPool",
            (X,),
            K | {"outputs": 3},
        ),
        (
            WordError,
            "MaxPool: `storage_order` (=2) is neither 0 nor 1; use one of them",
            "MaxPool",
            (X,),
            K | {"storage_order": 2},
        ),
        (
            DtypeError,
            "AveragePool: `X` has dtype uint8, which the operator does not take; use one of "
            "float16, bfloat16, float32, float64",
            "AveragePool",
            (U,),
            K,
        ),
        (
            WordError,
            "LpPool: `p` (=0) must be at least 1; use 1 or more",
            "LpPool",
            (X,),
            K | {"p": 0},
        ),
        (
            ShapeError,
            "GlobalMaxPool: `X` (shape (1, 2, 0, 4)) has no positions; give each axis one or more",
            "GlobalMaxPool",
            (X[:, :, :0],),
            {},
        ),
        (
            WordError,
            "Pad: `pads` (=array([1, 1])) must list 8 integers; such as [0, 0, 0, 0, 0, 0, 0, 0]",
            "Pad",
            (X, [1, 1]),
            {},
        ),
        (
            WordError,
            "Pad: `axes` (=[4]) must lie from -4 to 3; use the axes there are",
            "Pad",
            (X, [1, 1], None, [4]),
            {},
        ),
        (
            WordError,
            "Pad: `axes` (=[0, 0]) names an axis twice; name each axis once",
            "Pad",
            (X, [1] * 4, None, [0, -4]),
            {},
        ),
        (
            ShapeError,
            "Pad: `pads` (-3 and -2) take more than the 4 positions of `data` (shape (1, 2, 4, 4)) "
            "along axis 3; take less",
            "Pad",
            (X, [-3, -2], None, [3]),
            {},
        ),
        (
            ShapeError,
            "Pad: `mode` (='edge') has nothing to repeat along axis 2, which is empty; use "
            "mode='constant'",
            "Pad",
            (X[:, :, :0], [1, 1], None, [2]),
            {"mode": "edge"},
        ),
        (
            DtypeError,
            "Pad: `constant_value` (float64) and `data` (float32) must be of one type; convert one "
            "of them",
            "Pad",
            (F, [1, 1], np.float64(1), [0]),
            {},
        ),
        (
            WordError,
            "Resize: 0 of `scales` and `sizes` are given; give one of them, and None for the other",
            "Resize",
            (X,),
            {},
        ),
        (
            WordError,
            "Resize: `scales` has 2 entries, and needs 4; give it 4",
            "Resize",
            (X, None, [2, 2]),
            {},
        ),
        (
            ShapeError,
            "Resize: the output would be empty, of sizes [1, 2, 4, 0]; use larger ones",
            "Resize",
            (X, None, [1, 1, 1, 0.1]),
            {},
        ),
        (
            WordError,
            "Resize: `antialias` (=1) is for interpolation, and `mode` is 'nearest'; use "
            "mode='linear' or 'cubic', or leave it out",
            "Resize",
            (X, None, [1, 1, 1, 2]),
            {"antialias": 1},
        ),
    ],
)
def test_refusals(kind: Any, message: str, operator: str, inputs: Any, attributes: Any) -> None:
    with refused(kind, message):
        getattr(onnx, operator)(*inputs, **attributes)


def test_required_attributes() -> None:
    with pytest.raises(TypeError, match="kernel_shape"):
        onnx.MaxPool(X)
