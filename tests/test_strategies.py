"""Do the strategies reach the corners of the mathematics, and only valid problems?"""

from collections.abc import Callable
from itertools import product
from math import prod

import numpy as np
import oracles
import pytest
from hypothesis import Phase, given, settings
from strategies import (
    LARGE,
    LARGEST_VALUE,
    LAYOUTS,
    PADDING_MODES,
    PADDING_WORDS,
    SMALL,
    Problem,
    problems,
)

FEWEST = 5
"""In how many of the sample's problems a corner must turn up, so that no test misses it by luck."""


@pytest.fixture(scope="module")
def sample() -> list[Problem]:
    drawn = []

    @settings(max_examples=1500, phases=[Phase.generate])
    @given(problems())
    def collect(problem: Problem) -> None:
        drawn.append(problem)

    collect()
    return drawn


def some_axis(holds: Callable[..., bool]) -> Callable[[Problem], bool]:
    """Whether ``holds(size, kernel, stride, dilation, step, lo, hi)`` on at least one axis."""

    def anywhere(problem: Problem) -> bool:
        how = problem.plan
        axes = zip(
            problem.input_size,
            how.kernel,
            how.stride,
            how.dilation,
            how.input_dilation,
            how.pads,
            strict=True,
        )
        return any(holds(*numbers, *pads) for *numbers, pads in axes)

    return anywhere


def left_over(n: int, k: int, s: int, d: int, step: int, lo: int, hi: int) -> int:
    """Cells that no window starts at because the stride steps over them."""
    return lo + hi + max(0, (n - 1) * step + 1) - (k - 1) * d - 1


CORNERS = {
    "no batch axis": lambda p: p.batch == (),
    "three batch axes": lambda p: len(p.batch) == 3,
    "an empty batch": lambda p: 0 in p.batch,
    "no input, only padding": some_axis(lambda n, *_: n == 0),
    "one input position": some_axis(lambda n, *_: n == 1),
    "a kernel of one tap": lambda p: prod(p.kernel) == 1,
    "exact fit": some_axis(lambda *axis: left_over(*axis) == 0),
    "a stride that does not divide": some_axis(lambda *axis: left_over(*axis) % axis[2] > 0),
    "a stride above the input": some_axis(lambda n, k, s, *_: s > n > 0),
    "a stride above the kernel": some_axis(lambda n, k, s, *_: s > k),
    "a kernel above the input": some_axis(lambda n, k, *_: k > n > 0),
    "cropping at both ends": some_axis(lambda *axis: axis[-2] < 0 and axis[-1] < 0),
    "cropping before, padding after": some_axis(lambda *axis: axis[-2] < 0 < axis[-1]),
    "padding before, cropping after": some_axis(lambda *axis: axis[-1] < 0 < axis[-2]),
    "cropping inside a spread": some_axis(lambda *a: a[4] > 1 and a[-2] < 0 and a[-2] % a[4] > 0),
    "the whole input cropped": some_axis(lambda n, *a: a[3] == 1 and n > 0 and -a[-2] >= n),
    "padding above the window": some_axis(lambda n, k, s, d, step, lo, hi: lo > (k - 1) * d + 1),
    "reflection more than once": lambda p: (
        p.words["padding_mode"] == "reflect" and some_axis(lambda n, *a: 1 < n <= a[-2])(p)
    ),
    "dilation": some_axis(lambda n, k, s, d, *_: d > 1 and k > 1),
    "input dilation": some_axis(lambda n, k, s, d, step, *_: step > 1 and n > 1),
    "one group": lambda p: p.groups == 1,
    "groups of several channels": lambda p: p.groups > 1 and p.w.shape[1] > 1,
    "groups = channels": lambda p: p.groups == p.channels == len(p.w) > 1,
    "depth multiplier": lambda p: p.groups == p.channels and len(p.w) > p.channels > 1,
    "axes that differ": lambda p: len(set(p.plan.stride)) > 1 and len(set(p.kernel)) > 1,
    "a word as one int": lambda p: isinstance(p.words["stride"], int),
    "a word as a list": lambda p: isinstance(p.words["dilation"], list),
    "padding as one int": lambda p: isinstance(p.words["padding"], int),
    "padding as an int per axis": lambda p: (
        isinstance(p.words["padding"], tuple) and isinstance(p.words["padding"][0], int)
    ),
}


@pytest.mark.parametrize("corner", CORNERS)
def test_corner_is_reached(sample: list[Problem], corner: str) -> None:
    assert sum(map(CORNERS[corner], sample)) >= FEWEST


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rank_mode_and_layout_meet(
    sample: list[Problem], rank: int, mode: str, layout: str
) -> None:
    met = (p for p in sample if (p.rank, p.words["layout"]) == (rank, layout))
    assert sum(p.words["padding_mode"] == mode for p in met) >= FEWEST


def test_padding_words_meet_strides_that_do_not_divide(sample: list[Problem]) -> None:
    for word, divides in product(PADDING_WORDS, (True, False)):
        met = [p for p in sample if p.words["padding"] == word and p.plan.stride != (1,) * p.rank]
        whole = some_axis(lambda n, k, s, *_: s > 1 and n % s == 0)
        assert sum(whole(p) == divides for p in met) >= FEWEST, (word, divides)


def test_problems_are_valid(sample: list[Problem]) -> None:
    for problem in sample:
        x, dy = problem.channels_first(problem.x), problem.channels_first(problem.dy)
        filters = len(problem.w)
        assert x.shape == (*problem.batch, problem.channels, *problem.input_size)
        assert dy.shape == (*problem.batch, filters, *problem.plan.output)
        assert min(problem.plan.output) >= 1
        assert problem.channels % problem.groups == filters % problem.groups == 0
        for array in (problem.x, problem.w, problem.dy):
            assert array.dtype == np.int64
            assert abs(array).max(initial=0) <= LARGEST_VALUE


def test_sums_are_exact_in_float32(sample: list[Problem]) -> None:
    assert max(SMALL.products, LARGE.products) * LARGEST_VALUE**2 < 2**24
    for problem in sample[:100]:
        exact = oracles.forward(problem.x, problem.w, **problem.words)
        single = problem.astype(np.float32)
        np.testing.assert_array_equal(
            exact, oracles.forward(single.x, single.w, **single.words), strict=False
        )


def test_large_problems_have_many_channels_and_positions() -> None:
    sizes = []

    @settings(max_examples=200, phases=[Phase.generate])
    @given(problems(scale=LARGE))
    def collect(p: Problem) -> None:
        sizes.append((p.w.shape[1], len(p.w) // p.groups, prod(p.plan.output)))

    collect()
    for most in zip(*sizes, strict=True):
        assert sum(count > 20 for count in most) >= FEWEST
        assert sum(count < 8 for count in most) >= FEWEST


def test_real_values_differ_in_magnitude() -> None:
    problem = Problem(np.zeros((1, 100)), np.zeros((1, 1, 3)), np.zeros((1, 98)), {"groups": 1})
    real = problem.with_reals(0, np.float32)
    assert real.x.dtype == np.float32
    assert abs(real.x).max() > 100 * abs(real.x).min() > 0
    assert np.iscomplexobj(problem.with_reals(0, np.complex64).w)
