"""Planted mistakes: each is named, by a stable word and a sentence; two at once; and none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convref import (
    conv,
    conv_input_grad,
    conv_transpose,
    conv_vjp,
    conv_weight_grad,
    verify,
)  # fmt: skip

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(5)
SAME: dict[str, Any] = {"stride": 2, "padding": "same"}


def real(*shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(np.float32)


X, W, BIAS = real(3, 6, 12, 11), real(8, 6, 3, 3), real(8)
SQUARE, EQUAL = real(3, 6, 10, 10), real(6, 6, 3, 3)
WIDE = real(2, 3, 6, 40)
GROUPED, IN_GROUPS = real(8, 3, 3, 3), {"groups": 2, "padding": 1}
Y = conv(X, W, BIAS, **SAME)
DY = real(*Y.shape)
SMALL = real(3, 8, 5, 6)


def flipped(w: Array) -> Array:
    return w[..., ::-1, ::-1]


def with_zeros(array: Array, *at: Any) -> Array:
    copy = array.copy()
    copy[at] = 0
    return copy


def spoilt(array: Array, *at: Any, by: float = 1.0) -> Array:
    copy = array.copy()
    copy[at] += by * real(*copy[at].shape)
    return copy


def in_memory_of(w: Array, *order: int) -> Array:
    return np.ascontiguousarray(w.transpose(order)).reshape(w.shape)


def taken_for(w: Array, *order: int) -> Array:
    shape = [w.shape[axis] for axis in order]
    return w.reshape(shape).transpose(np.argsort(order))


FORWARD: dict[str, tuple[Callable[[], Array], str]] = {
    "flipped": (lambda: conv(X, flipped(W), BIAS, **SAME), "kernel-flipped"),
    "flipped on one axis": (lambda: conv(X, W[..., ::-1], BIAS, **SAME), "kernel-flipped"),
    "kernel axes": (lambda: conv(X, W.swapaxes(2, 3), BIAS, **SAME), "kernel-axes-swapped"),
    "SAME_LOWER": (lambda: conv(X, W, BIAS, stride=2, padding="same_lower"), "same-side"),
    "another padding": (lambda: conv(X, W, BIAS, stride=2, padding=((1, 0), (0, 2))), "padding"),
    "reflected": (lambda: conv(X, W, BIAS, padding_mode="reflect", **SAME), "padding-mode"),
    "wrapped": (lambda: conv(X, W, BIAS, padding_mode="circular", **SAME), "padding-mode"),
    "weights of TensorFlow": (
        lambda: conv(X, in_memory_of(W, 2, 3, 1, 0), BIAS, **SAME), "weight-layout",
    ),
    "weights taken for TensorFlow's": (
        lambda: conv(X, taken_for(W, 2, 3, 1, 0), BIAS, **SAME), "weight-layout",
    ),
    "weights of TensorFlow Lite": (
        lambda: conv(X, in_memory_of(W, 0, 2, 3, 1), BIAS, **SAME), "weight-layout",
    ),
    "x read with channels last": (
        lambda: conv(np.moveaxis(X.reshape(3, 12, 11, 6), -1, 1), W, BIAS, **SAME),
        "channels-mixed",
    ),
    "y written with channels last": (
        lambda: np.moveaxis(Y, 1, -1).reshape(Y.shape), "channels-mixed",
    ),
    "no bias": (lambda: conv(X, W, **SAME), "bias-missing"),
    "two biases": (lambda: conv(X, W, 2 * BIAS, **SAME), "bias-doubled"),
    "bias before scaling": (lambda: conv(X, W, BIAS / 4, **SAME), "bias-scaled"),
    "another bias": (lambda: conv(X, W, real(8), **SAME), "bias-unknown"),
    "bias in another order": (lambda: conv(X, W, BIAS[::-1], **SAME), "bias-order"),
    "twice": (lambda: 2 * Y, "accumulated-twice"),
    "a factor": (lambda: np.float32(0.7) * Y, "scaled"),
    "other sign": (lambda: -Y, "negated"),
    "no last tap": (lambda: conv(X, with_zeros(W, ..., 2, 2), BIAS, **SAME), "tap-missing"),
    "no last channel": (
        lambda: conv(X, with_zeros(W, slice(None), 5), BIAS, **SAME), "channel-missing",
    ),
    "no tail of channels": (
        lambda: conv(X, with_zeros(W, slice(None), slice(4, None)), BIAS, **SAME),
        "channel-tail-missing",
    ),
    "one element": (lambda: spoilt(Y, 1, 2, slice(3, 4), slice(1, 2)), "element"),
    "one batch item": (lambda: spoilt(Y, 1), "batch-item"),
    "one block of channels": (lambda: spoilt(Y, slice(None), slice(4, 6)), "channel-block"),
    "the last rows": (lambda: spoilt(Y, ..., slice(4, None), slice(None)), "last-tile"),
    "unwritten": (lambda: with_zeros(Y, 2, slice(1, 3)), "block"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORWARD)
def test_one_mistake(name: str) -> None:
    output, expected = FORWARD[name]
    report = verify(output(), X, W, BIAS, **SAME)
    assert report.verdict == "wrong"
    assert report.diagnosis[0].name == expected, report.diagnosis
    assert report.diagnosis[0].text


@pytest.mark.parametrize("name", FORWARD)
def test_one_mistake_with_channels_last(name: str) -> None:
    """What concerns the memory of x and y is another mistake there."""
    output, expected = FORWARD[name]
    if expected == "channels-mixed":
        return
    x, y = (np.moveaxis(array, 1, -1).copy() for array in (X, output()))
    report = verify(y, x, W, BIAS, layout="channels_last", **SAME)
    assert report.diagnosis[0].name == expected, report.diagnosis


@pytest.mark.parametrize(
    ("given", "done", "expected"),
    [
        ({"dilation": 2}, {"dilation": 1}, "dilation"),
        ({"dilation": 2}, {"dilation": 3}, "dilation"),
        ({"dilation": (1, 2)}, {"dilation": (2, 1)}, "dilation"),
        ({"stride": (1, 2)}, {"stride": (2, 1)}, "stride"),
        ({"stride": 2}, {"stride": 1}, "shape"),
        ({"padding": "same"}, {"padding": "valid"}, "shape"),
    ],
)
def test_other_words(given: dict[str, Any], done: dict[str, Any], expected: str) -> None:
    words = {"padding": "same"}
    report = verify(conv(SQUARE, EQUAL, **{**words, **done}), SQUARE, EQUAL, **{**words, **given})
    names = [diagnosis.name for diagnosis in report.diagnosis]
    assert names[0] == expected or (names[0] == "shape" and names[1] == expected)
    if expected == "shape":
        assert names[1] in done


def test_axes_that_are_swapped() -> None:
    wrong = {
        "weight-axes-swapped": conv(SQUARE, EQUAL.swapaxes(0, 1), padding=1),
        "spatial-axes-swapped": conv(SQUARE.swapaxes(2, 3), EQUAL, padding=1),
    }
    for name, output in wrong.items():
        assert verify(output, SQUARE, EQUAL, padding=1).diagnosis[0].name == name


def test_groups_in_another_order() -> None:
    y = conv(X, GROUPED, **IN_GROUPS)
    order = np.arange(8).reshape(2, 4).T.ravel()
    for output in (
        y[:, order],
        y[:, np.argsort(order)],
        conv(X[:, np.arange(6).reshape(2, 3).T.ravel()], GROUPED, **IN_GROUPS),
        conv(X, GROUPED[order], **IN_GROUPS),
    ):
        assert verify(output, X, GROUPED, **IN_GROUPS).diagnosis[0].name == "group-order"


def test_depthwise_filters_in_the_other_order() -> None:
    w = real(12, 1, 3, 3)  # c*M + m, taken for m*C + c
    output = conv(X, w.reshape(6, 2, 3, 3).swapaxes(0, 1).reshape(w.shape), groups=6)
    assert verify(output, X, w, groups=6).diagnosis[0].name == "group-order"


def test_the_other_direction() -> None:
    output = conv_transpose(SQUARE, EQUAL, padding=1)
    assert verify(output, SQUARE, EQUAL, padding=1).diagnosis[0].name in (
        "transposed", "kernel-flipped",
    )  # fmt: skip
    words = {"stride": 2, "padding": 1}
    y = conv_transpose(SMALL, W, output_padding=1, **words)
    swapped = conv_transpose(SMALL, W[..., ::-1, ::-1], output_padding=1, **words)
    report = verify(swapped, SMALL, W, kind="transpose", **words)
    assert report.diagnosis[0].name == "kernel-flipped"
    late = np.zeros_like(y)
    late[..., 1:, 1:] = conv_transpose(SMALL, W, **words)
    early = conv_transpose(SMALL, W, stride=2, padding=((0, 2), (0, 2)), output_size=y.shape[2:])
    for output in (late, early):
        report = verify(output, SMALL, W, kind="transpose", **words)
        assert report.diagnosis[0].name == "output-padding-side"


def test_gradients() -> None:
    dx, dw, db = conv_vjp(X, W, DY, **SAME)
    weight = {
        "averaged": dw / 3,
        "kernel-flipped": flipped(dw),
        "accumulated-twice": 2 * dw,
        "batch-item-missing": conv_weight_grad(X[:2], DY[:2], (3, 3), **SAME),
        "batch-item-alone": conv_weight_grad(X[:1], DY[:1], (3, 3), **SAME),
        "position-missing": conv_weight_grad(
            X, with_zeros(DY, ..., 5, slice(None)), (3, 3), **SAME
        ),
        "same-side": conv_weight_grad(X, DY, (3, 3), stride=2, padding="same_lower"),
        "weight-layout": in_memory_of(dw, 2, 3, 1, 0),
    }
    for name, output in weight.items():
        report = verify(output, X, DY, kind="weight_grad", **SAME)
        assert report.diagnosis[0].name == name, report.diagnosis
    inputs = {
        "kernel-flipped": conv_input_grad(DY, flipped(W), (12, 11), **SAME),
        "same-side": conv_input_grad(DY, W, (12, 11), stride=2, padding="same_lower"),
        "tap-missing": conv_input_grad(DY, with_zeros(W, ..., 0, 1), (12, 11), **SAME),
        "channel-missing": conv_input_grad(DY, with_zeros(W, 3), (12, 11), **SAME),
        "batch-item": with_zeros(dx, 0),
    }
    for name, output in inputs.items():
        report = verify(output, DY, W, kind="input_grad", **SAME)
        assert report.diagnosis[0].name == name, report.diagnosis
    for name, output in {"averaged": db / 3, "batch-item-missing": DY[:2].sum((0, 2, 3))}.items():
        report = verify(output, DY, W, kind="bias_grad", **SAME)
        assert report.diagnosis[0].name == name, report.diagnosis


def test_places() -> None:
    w = real(4, 3, 3, 3)
    y = conv(WIDE, w, padding=1)
    lane = y.copy()
    lane[..., 3::8] += 1
    report = verify(lane, WIDE, w, padding=1)
    assert [d.name for d in report.diagnosis] == ["vector-lane"]
    assert report.diagnosis[0].text == (
        "only every 8th position along spatial axis 1, from 3 on, is wrong: one lane of a vector "
        "of 8"
    )
    border = y.copy()
    border[..., 1:-1, 1:-1] += 1
    assert verify(border, WIDE, w, padding=1).diagnosis[0].name == "interior"
    border = y + 1
    border[..., 1:-1, 1:-1] -= 1
    assert verify(border, WIDE, w, padding=1).diagnosis[0].name == "border"


def test_what_stands_instead() -> None:
    for value, text in ((0, "they all hold 0.0"), (np.nan, "they are all NaN")):
        output = Y.copy()
        output[1] = value
        second = verify(output, X, W, BIAS, **SAME).diagnosis[1]
        assert second.name == "unwritten"
        assert text in second.text
    output = Y.copy()
    output[1] = output[0]
    assert verify(output, X, W, BIAS, **SAME).diagnosis[1].name == "stale"
    output = Y.copy()
    output[1] *= 2
    assert verify(output, X, W, BIAS, **SAME).diagnosis[1].name == "accumulated-twice"


PAIRS: dict[str, tuple[Callable[[], Array], set[str]]] = {
    "flipped, other side": (
        lambda: conv(X, flipped(W), BIAS, stride=2, padding="same_lower"),
        {"kernel-flipped", "same-side"},
    ),
    "flipped, no bias": (lambda: conv(X, flipped(W), **SAME), {"kernel-flipped", "bias-missing"}),
    "layout, no bias": (
        lambda: conv(X, in_memory_of(W, 2, 3, 1, 0), **SAME), {"weight-layout", "bias-missing"},
    ),
    "layout, other side": (
        lambda: conv(X, in_memory_of(W, 2, 3, 1, 0), BIAS, stride=2, padding="same_lower"),
        {"weight-layout", "same-side"},
    ),
    "mode, no bias": (
        lambda: conv(X, W, padding_mode="replicate", **SAME), {"padding-mode", "bias-missing"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_two_mistakes_at_once(name: str) -> None:
    output, expected = PAIRS[name]
    assert {d.name for d in verify(output(), X, W, BIAS, **SAME).diagnosis} == expected


def test_nothing_found_is_an_answer() -> None:
    report = verify(real(*Y.shape), X, W, BIAS, **SAME)
    assert report.verdict == "wrong"
    assert report.diagnosis == ()


@pytest.mark.parametrize("dtype", ["float16", "float64", "int64", "complex64"])
def test_every_dtype(dtype: str) -> None:
    x, w = ((4 * array).astype(dtype) for array in (X, W))
    y = conv(x, w.copy()[..., ::-1, ::-1], **SAME)
    assert verify(y, x, w, **SAME).diagnosis[0].name == "kernel-flipped"


def test_a_large_output_is_diagnosed_in_time() -> None:
    """As many products as a layer of ResNet-50; nothing is timed, a loop over taps would show."""
    x, w = real(2, 64, 28, 28), real(64, 64, 3, 3)
    report = verify(conv(x, flipped(w), padding=1), x, w, padding=1)
    assert report.diagnosis[0].name == "kernel-flipped"
