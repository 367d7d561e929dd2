"""Padding words against numbers from the frameworks' documentation, worked by hand."""

from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import refused

from convref import Geometry, WordError, conv
from convref.padding import normalise, smallest_size

SAME = [
    # size, window, stride: before, after, output (tf.nn.convolution's notes on padding, by hand)
    (5, 3, 1, 1, 1, 5),
    (6, 3, 2, 0, 1, 3),
    (7, 3, 2, 1, 1, 4),
    (13, 6, 5, 1, 2, 3),
    (224, 7, 2, 2, 3, 112),
    (225, 7, 2, 3, 3, 113),
    (5, 2, 1, 0, 1, 5),
    (4, 4, 1, 1, 2, 4),
    (4, 1, 2, 0, 0, 2),
    (1, 3, 2, 1, 1, 1),
    (10, 2, 5, 0, 0, 2),
    (3, 5, 4, 1, 1, 1),
    (2, 7, 3, 2, 3, 1),
]


@pytest.mark.parametrize(("size", "window", "stride", "before", "after", "output"), SAME)
def test_same(size: int, window: int, stride: int, before: int, after: int, output: int) -> None:
    """SAME_UPPER puts the odd cell after, SAME_LOWER before."""
    upper = Geometry.of(size, window, stride=stride, padding="same")
    lower = Geometry.of(size, window, stride=stride, padding="same_lower")
    assert (upper.padding, upper.output_size) == (((before, after),), (output,))
    assert (lower.padding, lower.output_size) == (((after, before),), (output,))


@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, 9),
    stride=st.integers(1, 9),
    dilation=st.integers(1, 4),
    step=st.integers(1, 3),
    word=st.sampled_from(["same", "same_lower", "causal"]),
)
def test_words_by_the_documented_formulas(
    size: int, kernel: int, stride: int, dilation: int, step: int, word: str
) -> None:
    geometry = Geometry.of(
        size, kernel, stride=stride, dilation=dilation, input_dilation=step, padding=word
    )
    spread, window = (size - 1) * step + 1, (kernel - 1) * dilation + 1
    assert geometry.padding == (oracles.resolve(word, spread, window, stride),)
    assert geometry.output_size == (-(-spread // stride),)


def test_causal_sees_no_later_position() -> None:
    x = np.zeros((1, 8))
    x[0, 5] = 1
    y = conv(x, np.ones((1, 1, 3)), dilation=2, padding="causal")
    np.testing.assert_array_equal(y, [[0, 0, 0, 0, 0, 1, 0, 1]])


@pytest.mark.parametrize(
    ("written", "pairs"),
    [
        (2, ((2, 2), (2, 2))),
        (-1, ((-1, -1), (-1, -1))),
        ((1, 2), ((1, 1), (2, 2))),
        ([(1, 2), 3], ((1, 2), (3, 3))),
        (np.array([[1, 2], [3, -4]]), ((1, 2), (3, -4))),
        (((np.int8(1), 2), (3, 4)), ((1, 2), (3, 4))),
    ],
)
def test_numbers_are_normalised_to_pairs(written: Any, pairs: Any) -> None:
    assert normalise(written, 2) == pairs


@pytest.mark.parametrize("word", ["valid", "SAME", "Same_Lower", "CAUSAL"])
def test_words_are_case_insensitive(word: str) -> None:
    assert normalise(word, 1) == word.lower()


@given(
    output=st.integers(1, 9),
    window=st.integers(1, 9),
    stride=st.integers(1, 5),
    padding=st.one_of(
        st.sampled_from(["valid", "same", "same_lower", "causal"]),
        st.tuples(st.integers(-3, 3), st.integers(-3, 3)).map(lambda pair: (pair,)),
    ),
)
def test_the_sizes_that_share_an_output(
    output: int, window: int, stride: int, padding: Any
) -> None:
    """`stride` sizes upwards from the smallest one give this output; their neighbours do not."""

    def output_of(size: int) -> int:
        lo, hi = oracles.resolve(oracles.per_axis(padding, 1)[0], size, window, stride)
        return (lo + size + hi - window) // stride + 1

    smallest = smallest_size(padding, 0, output, window, stride)
    sizes = range(smallest - 1, smallest + stride + 1)
    below, *inside, above = map(output_of, sizes)
    assert set(inside) == {output}
    assert (below, above) == (output - 1, output + 1)


@pytest.mark.parametrize(
    ("padding", "message"),
    [
        (
            "smae",
            "`padding` (='smae') is not a padding word; use one of 'valid', 'same', 'same_lower', "
            "'causal', an int, or one int or pair per axis",
        ),
        (
            (1, 2, 3),
            "`padding` (=(1, 2, 3)) has 3 entries, and there are 2 spatial axes; "
            "give one int or one (lo, hi) pair per axis, such as ((1, 2), (1, 2))",
        ),
        (
            [(1, 2, 3), 1],
            "`padding` has an entry (=(1, 2, 3)) of 3 numbers for one axis; "
            "give an int, or a pair (lo, hi)",
        ),
        (None, "`padding` (=None) must be made of integers; such as padding=1"),
        (("same", 1), "`padding` (='same') must be made of integers; such as padding=1"),
        ([(1, 0.5), 1], "`padding` (=0.5) must be made of integers; such as padding=1"),
    ],
)
def test_refused(padding: Any, message: str) -> None:
    with refused(WordError, f"conv: {message}"):
        conv(np.ones((1, 5, 5)), np.ones((1, 1, 2, 2)), padding=padding)
