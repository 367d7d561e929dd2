"""What a convolution must satisfy, whoever computes it: identities in exact integers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import Problem, problems

import convref
from convref import (
    conv,
    conv_input_grad,
    conv_transpose,
    conv_vjp,
    conv_weight_grad,
)

Array = np.ndarray[Any, Any]
PER_AXIS = ("stride", "dilation", "input_dilation", "padding")


def same(actual: Array, expected: Array) -> None:
    np.testing.assert_array_equal(actual, expected, strict=True)


def operators(p: Problem) -> tuple[Array, ...]:
    """``y`` and the three gradients."""
    return conv(p.x, p.w, **p.words), *conv_vjp(p.x, p.w, p.dy, **p.words)


@given(p=problems(ranks=st.integers(1, 3)), place=st.integers(0, 3), step=st.integers(1, 3))
def test_a_size_one_axis_anywhere_changes_nothing(p: Problem, place: int, step: int) -> None:
    """Rank r equals rank r + 1; on the new axis any steps do, for they are never taken."""
    place %= p.rank + 1
    words = dict(p.words)
    for word, neutral in zip(PER_AXIS, (step, step, step, (0, 0)), strict=True):
        entries = [*oracles.per_axis(words[word], p.rank)]
        if not isinstance(words[word], str):
            words[word] = (*entries[:place], neutral, *entries[place:])

    def lift(array: Array) -> Array:
        last = words["layout"] == "channels_last"
        return np.expand_dims(array, place - p.rank - 1 - last)

    lifted_w = np.expand_dims(p.w, 2 + place)
    lifted = Problem(lift(p.x), lifted_w, lift(p.dy), words)
    (y, dx, dw, db), (y1, dx1, dw1, db1) = operators(p), operators(lifted)
    same(y1, lift(y))
    same(dx1, lift(dx))
    same(dw1, np.expand_dims(dw, 2 + place))
    same(db1, db)


@given(p=problems(layouts=("channels_first",)))
def test_groups_equal_split_and_concatenate(p: Problem) -> None:
    apart = {**p.words, "groups": 1}
    axis = -p.rank - 1
    xs, dys = (np.split(array, p.groups, axis) for array in (p.x, p.dy))
    pieces = [
        operators(Problem(x, w, dy, apart))
        for x, w, dy in zip(xs, np.split(p.w, p.groups), dys, strict=True)
    ]
    ys, dxs, dws, dbs = zip(*pieces, strict=True)
    y, dx, dw, db = operators(p)
    same(y, np.concatenate(ys, axis))
    same(dx, np.concatenate(dxs, axis))
    same(dw, np.concatenate(dws))
    same(db, np.concatenate(dbs))


@given(p=problems(layouts=("channels_last",)))
def test_channels_last_is_a_permutation(p: Problem) -> None:
    first = {**p.words, "layout": "channels_first"}
    permuted = Problem(p.channels_first(p.x), p.w, p.channels_first(p.dy), first)
    (y, dx, *rest), (y1, dx1, *rest1) = operators(p), operators(permuted)
    same(p.channels_first(y), y1)
    same(p.channels_first(dx), dx1)
    for one, other in zip(rest, rest1, strict=True):
        same(one, other)


@given(p=problems())
def test_batch_axes_equal_a_loop(p: Problem) -> None:
    y, dx, dw, db = operators(p)
    sums = np.zeros_like(dw), np.zeros_like(db)
    for place in np.ndindex(p.batch):
        one = operators(Problem(p.x[place], p.w, p.dy[place], p.words))
        same(y[place], one[0])
        same(dx[place], one[1])
        for total, part in zip(sums, one[2:], strict=True):
            total += part
    same(dw, sums[0])
    same(db, sums[1])


@given(p=problems(), a=st.integers(-3, 3), b=st.integers(-3, 3))
def test_linear_in_the_input_and_in_the_weights(p: Problem, a: int, b: int) -> None:
    other = np.roll(p.x, 1).reshape(p.x.shape)
    mixed = conv(a * p.x + b * other, p.w, **p.words)
    same(mixed, a * conv(p.x, p.w, **p.words) + b * conv(other, p.w, **p.words))
    turned = np.flip(p.w)
    mixed = conv(p.x, a * p.w + b * turned, **p.words)
    same(mixed, a * conv(p.x, p.w, **p.words) + b * conv(p.x, turned, **p.words))


def smallest_input(p: Problem) -> tuple[int, ...]:
    """The smallest of the sizes that give p's output: `stride` neighbours share it."""

    def output(size: int, axis: int) -> int:
        return oracles.plan((size,) * p.rank, p.kernel, p.words).output[axis]

    return tuple(
        min(n for n in range(size - step, size + 1) if output(n, axis) == output(size, axis))
        for axis, (size, step) in enumerate(zip(p.input_size, p.plan.stride, strict=True))
    )


@given(p=problems(modes=("zeros",), spread_out=False))
def test_conv_transpose_is_the_input_gradient(p: Problem) -> None:
    """For padding words too, whichever way the input size is chosen."""
    assume(min(p.input_size) > 0)
    words = p.without("input_dilation", "padding_mode")
    dx = conv_input_grad(p.dy, p.w, p.input_size, **words)
    same(conv_transpose(p.dy, p.w, output_size=p.input_size, **words), dx)
    more = tuple(map(int.__sub__, p.input_size, smallest_input(p)))
    same(conv_transpose(p.dy, p.w, output_padding=more, **words), dx)
    shift = np.arange(p.channels)
    shifted = conv_transpose(p.dy, p.w, shift, output_size=p.input_size, **words)
    last = p.words["layout"] == "channels_last"
    same(shifted, dx + (shift if last else shift.reshape(-1, *[1] * p.rank)))


PYTORCH_TRANSPOSED = [
    # size, kernel, stride, padding, output padding, dilation: output (by torch's documentation)
    (4, 3, 1, 0, 0, 1, 6),
    (4, 3, 2, 1, 0, 1, 7),
    (4, 3, 2, 1, 1, 1, 8),
    (5, 4, 2, 1, 0, 1, 10),
    (5, 2, 3, 0, 2, 1, 16),
    (7, 3, 2, 2, 1, 2, 14),
    (1, 5, 4, 0, 3, 3, 16),
]


@pytest.mark.parametrize("row", PYTORCH_TRANSPOSED)
def test_transposed_sizes_of_pytorch(row: tuple[int, ...]) -> None:
    size, kernel, stride, padding, extra, dilation, output = row
    y = conv_transpose(
        np.ones((1, size)),
        np.ones((1, 1, kernel)),
        stride=stride,
        padding=padding,
        output_padding=extra,
        dilation=dilation,
    )
    assert y.shape == (1, output)


@pytest.mark.parametrize(("size", "stride", "output"), [(3, 2, 5), (3, 1, 3), (4, 3, 10)])
def test_smallest_transposed_size_of_same(size: int, stride: int, output: int) -> None:
    """`output_padding` = stride - 1 gives Keras's size, size * stride."""
    x, w = np.ones((1, size)), np.ones((1, 1, 3))
    assert conv_transpose(x, w, stride=stride, padding="same").shape == (1, output)
    largest = conv_transpose(x, w, stride=stride, padding="same", output_padding=stride - 1)
    assert largest.shape == (1, size * stride)


@given(p=problems())
def test_vjp_is_the_three_gradients(p: Problem) -> None:
    dx, dw, db = conv_vjp(p.x, p.w, p.dy, **p.words)
    same(dx, conv_input_grad(p.dy, p.w, p.input_size, **p.words))
    same(dw, conv_weight_grad(p.x, p.dy, p.kernel, **p.words))
    assert db.shape == (len(p.w),)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("named", "general"), [("conv", conv), ("conv_transpose", conv_transpose)])
def test_names_for_a_rank(named: str, general: Callable[..., Array], rank: int) -> None:
    checked = getattr(convref, f"{named}{rank}d")
    assert checked.__name__ == f"{named}{rank}d"
    x, w = np.arange(2 * 5**rank).reshape(2, *[5] * rank), np.ones((2, 2, *[3] * rank), int)
    words = {"stride": 2, "padding": "same"}
    same(checked(x, w, [1, 2], **words), general(x, w, [1, 2], **words))
    for other in {1, 2, 3} - {rank}:
        with pytest.raises(convref.ShapeError, match=rf"^{named}{rank}d: `w` .* not {rank}; "):
            checked(np.ones((2, *[5] * other)), np.ones((2, 2, *[3] * other)))


def test_output_padding_per_axis() -> None:
    y = conv_transpose(
        np.ones((1, 2, 3)), np.ones((1, 1, 3, 3)), stride=(2, 3), output_padding=(1, 2)
    )
    assert y.shape == (1, 6, 11)
