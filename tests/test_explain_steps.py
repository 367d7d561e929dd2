"""Steps against the naive back end, bit for bit, and what they print."""

from operator import sub
from typing import Any

import numpy as np
import pytest
from code_lines import transposed_least
from hypothesis import assume, given
from hypothesis import strategies as st
from messages import refused
from strategies import Problem, problems

import convref
from convref import ShapeError, WordError, conv, conv_transpose
from convref.explain import Step, step

DTYPES = ("float32", "float64", "float16", "complex64", "int8", "int64")


def total_of(steps: Any, expected: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found = np.zeros_like(expected)
    seen = []
    for one in steps:
        found[one.index] = one.total
        assert one.total.dtype == expected.dtype
        seen.append(one.index)
    assert seen == list(np.ndindex(expected.shape))
    return found


@given(problems(), st.sampled_from(DTYPES), st.booleans(), st.integers(0, 2**32 - 1))
def test_totals_are_those_of_naive(problem: Problem, dtype: str, has_bias: bool, seed: int) -> None:
    if np.dtype(dtype).kind in "fc":
        problem = problem.with_reals(seed, dtype)
    else:
        problem = problem.astype(dtype)
    bias = problem.bias().astype(dtype) if has_bias else None
    expected = conv(problem.x, problem.w, bias, backend="naive", **problem.words)
    found = total_of(step(problem.x, problem.w, bias, **problem.words), expected)
    assert found.tobytes() == expected.tobytes()


@given(problems(modes=("zeros",), spread_out=False), st.booleans(), st.integers(0, 2**32 - 1))
def test_transposed_totals_are_those_of_naive(problem: Problem, has_bias: bool, seed: int) -> None:
    assume(min(problem.input_size) > 0)
    words = problem.without("input_dilation", "padding_mode")
    problem = problem.with_reals(seed, "float32")
    least = transposed_least(problem.plan.output, problem.kernel, {"dilation": 1, **words})
    words["output_padding"] = tuple(map(sub, problem.input_size, least))
    bias = np.arange(problem.channels, dtype=np.float32) - 1.5 if has_bias else None
    x, w = problem.dy, problem.w
    expected = conv_transpose(x, w, bias, backend="naive", **words)
    found = total_of(step(x, w, bias, transposed=True, **words), expected)
    assert found.tobytes() == expected.tobytes()


@given(problems(layouts=("channels_first",)))
def test_terms_name_what_they_multiply(problem: Problem) -> None:
    per_group = len(problem.w) // problem.groups
    for one in step(problem.x, problem.w, **problem.words):
        batch, (filter, *_) = one.index[: len(problem.batch)], one.index[len(problem.batch) :]
        first = filter // per_group * problem.w.shape[1]
        so_far = 0
        for term in one.terms:
            assert term.w == problem.w[filter, term.channel - first, *term.tap]
            if term.position is None:
                assert term.x == 0
            else:
                assert term.x == problem.x[*batch, term.channel, *term.position]
            so_far += term.product
            assert term.product == term.x * term.w
            assert term.sum == so_far
        assert len(one.terms) == problem.w[0].size
        assert one.total == so_far
        assert one.bias is None


def test_transposed_terms_gather() -> None:
    x, w = np.array([[1, 2]]), np.array([[[1, 10, 100]]])
    third = list(step(x, w, transposed=True, stride=2))[2]
    assert [(term.position, term.tap, int(term.product)) for term in third.terms] == [
        ((0,), (2,), 100),
        ((1,), (0,), 2),
    ]
    assert third.total == 102


def test_an_output_that_nothing_reaches() -> None:
    x, w = np.array([[1, 2]]), np.array([[[3]]])
    found = next(step(x, w, np.array([7]), transposed=True, stride=3, at=(0, 1)))
    assert found == Step((0, 1), (), 7, 7)
    assert str(found).splitlines() == [
        "y[0, 1] = 7",
        "c  tap  input  x  w   x*w  sum",
        "                     bias    7",
    ]


def test_one_element_alone() -> None:
    x, w = np.arange(18).reshape(2, 1, 9), np.array([[[1, 2, 3]]])
    (found,) = step(x, w, at=(-1, 0, 2))
    assert found.index == (1, 0, 2)
    assert found.total == conv(x, w)[1, 0, 2]


def test_later_changes_of_the_arrays_change_no_step() -> None:
    x, w, bias = np.array([[1.0, 2.0]]), np.array([[[3.0]]]), np.array([1.0])
    steps = step(x, w, bias)
    assert next(steps).total == 4
    x[...] = w[...] = bias[...] = 0
    assert next(steps).total == 7


def test_warnings_of_the_user_stay_as_they_are() -> None:
    huge = np.array([[3e38, 3e38]], np.float32)
    with np.errstate(all="raise"):
        for one in step(huge, np.array([[[2.0, 2.0]]], np.float32)):
            assert np.isinf(one.total)
            assert np.geterr()["over"] == "raise"


def test_it_is_a_public_name() -> None:
    assert convref.step is step
    assert "step" in convref.__all__


def test_printed() -> None:
    x = np.array([[[0.5, -1.25], [3, 1e6]]], np.float32)
    w = np.array([[[[1, 2], [3, 4]]]], np.float32)
    found = next(step(x, w, np.array([0.1], np.float32), padding=((1, 0), (0, 0))))
    assert str(found).splitlines() == [
        "y[0, 0, 0] = -3.4",
        "c  tap  input      x  w   x*w   sum",
        "0  0,0      -      0  1     0     0",
        "0  0,1      -      0  2     0     0",
        "0  1,0    0,0    0.5  3   1.5   1.5",
        "0  1,1    0,1  -1.25  4    -5  -3.5",
        "                         bias   0.1",
    ]


def test_long_sums_are_shortened() -> None:
    x, w = np.ones((30, 2, 2), int), np.ones((1, 30, 2, 2), int)
    lines = str(next(step(x, w))).splitlines()
    assert len(lines) == 2 + 48 + 1
    assert lines[42] == "... 72 more ..."
    assert lines[-1].split()[-1] == "120"


def test_in_a_notebook() -> None:
    (found,) = step([[1, 2]], [[[3, 4]]], [5])
    html = found._repr_html_()
    assert html.count("<tr") == 4
    assert "y[0, 0] = 16" in html
    assert html.count("<table") == html.count("</table>") == 1
    padded = next(step([[1]], [[[3, 4]]], padding=(1,)))._repr_html_()
    assert padded.count("color:#777777") == 1
    long = next(step(np.ones((60, 1)), np.ones((1, 60, 1))))._repr_html_()
    assert '<td colspan="7">... 12 more ...</td>' in long


@pytest.mark.parametrize("at", [(0,), (0, 0, 0), (0, 3), (0, -4), 1, None])
def test_index_outside_the_output(at: Any) -> None:
    x, w = np.ones((1, 5)), np.ones((1, 1, 3))
    if at is None:
        assert len(list(step(x, w, at=at))) == 3
        return
    message = (
        f"step: `at` (={at}) is no index of the output (shape (1, 3)); give it 2 integers, each "
        "below the size of its axis"
    )
    with refused(WordError, message):
        step(x, w, at=at)


def test_refusals_come_before_the_first_step() -> None:
    message = (
        "step: `w` (shape (1, 3, 3)) takes 3 input channels in `groups` (=1), and `x` (shape "
        "(2, 9)) has 2; use weights of shape (1, 2, 3)"
    )
    with refused(ShapeError, message):
        step(np.ones((2, 9)), np.ones((1, 3, 3)))
    message = (
        "step: `w` (shape (3, 1, 3)) takes 3 input channels, and `x` (shape (2, 9)) has 2; "
        "transposed weights have the shape (C_in, C_out/groups, *kernel)"
    )
    with refused(ShapeError, message):
        step(np.ones((2, 9)), np.ones((3, 1, 3)), transposed=True)
    message = "step: a transposed convolution has no `padding_mode` (='reflect'); leave it out"
    with refused(WordError, message):
        step(np.ones((1, 9)), np.ones((1, 1, 3)), transposed=True, padding_mode="reflect")
