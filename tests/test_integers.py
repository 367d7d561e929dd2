"""Integers as users write them, and what is not one."""

from itertools import count
from typing import Any

import numpy as np
import pytest
from messages import refused

from convref import Geometry, WordError, conv, conv_input_grad, conv_weight_grad
from convref.integers import divisors, flag, integer, is_sequence, kernel_sizes, per_axis

IMAGE, FILTER = np.ones((1, 6, 6)), np.ones((1, 1, 2, 2))


@pytest.mark.parametrize("value", [2, np.int8(2), np.uint64(2), np.array(2)])
def test_an_integer_of_any_type(value: Any) -> None:
    assert integer("n", value) == 2
    assert type(integer("n", value)) is int


@pytest.mark.parametrize("value", [2.0, "2", None, True, np.True_, np.array(2.5), [2], 2j])
def test_not_an_integer(value: Any) -> None:
    message = f"`n` (={value!r}) must be made of integers; such as n=1"
    with refused(WordError, message):
        integer("n", value)


@pytest.mark.parametrize("value", [2, np.int64(2), [2, 2], (2, 2), np.array([2, 2]), range(2, 3)])
def test_per_axis(value: Any) -> None:
    rank = 1 if isinstance(value, range) else 2
    assert per_axis("n", value, rank, minimum=1) == (2,) * rank


def test_one_shot_iterators_are_read_once() -> None:
    assert per_axis("n", iter([1, 2]), 2, minimum=1) == (1, 2)


def test_what_is_a_sequence() -> None:
    assert all(map(is_sequence, ([], (1,), np.ones(1), range(2))))
    assert not any(map(is_sequence, (1, "12", b"12", np.array(3), None)))


@pytest.mark.parametrize("word", ["stride", "dilation", "input_dilation"])
@pytest.mark.parametrize("value", [0, -1, (1, 0)])
def test_steps_start_at_one(word: str, value: Any) -> None:
    message = f"conv: `{word}` (={value!r}) must be at least 1 on every axis; use 1 or more"
    with refused(WordError, message):
        conv(IMAGE, FILTER, **{word: value})


@pytest.mark.parametrize("word", ["stride", "dilation", "input_dilation"])
def test_wrong_number_of_entries(word: str) -> None:
    message = (
        f"conv: `{word}` (=(1, 1, 1)) has 3 entries, and there are 2 spatial axes; "
        "give one integer, or 2 of them"
    )
    with refused(WordError, message):
        conv(IMAGE, FILTER, **{word: (1, 1, 1)})


@pytest.mark.parametrize("word", ["stride", "dilation", "input_dilation", "groups", "padding"])
def test_words_that_are_not_integers(word: str) -> None:
    message = f"conv: `{word}` (=1.5) must be made of integers; such as {word}=1"
    with refused(WordError, message):
        conv(IMAGE, FILTER, **{word: 1.5})


def test_kernel_sizes() -> None:
    assert kernel_sizes([3, np.int64(2)]) == (3, 2)
    message = (
        "conv_weight_grad: `kernel_size` (=3) must have one size per spatial axis; "
        "write (3,) for one axis or (3, 3) for two"
    )
    with refused(WordError, message):
        conv_weight_grad(IMAGE, IMAGE, 3)
    message = (
        "conv_weight_grad: `kernel_size` (=(0, 1)) must be at least 1 on every axis; use 1 or more"
    )
    with refused(WordError, message):
        conv_weight_grad(IMAGE, IMAGE, (0, 1))


def test_no_spatial_axis_at_all() -> None:
    with pytest.raises(WordError, match=r"^conv_weight_grad: `kernel_size` \(=\(\)\)"):
        conv_weight_grad([1, 2], [1, 2], ())


def test_input_sizes() -> None:
    message = "conv_input_grad: `input_size` (=-1) must be at least 0 on every axis; use 0 or more"
    with refused(WordError, message):
        conv_input_grad(IMAGE, FILTER, -1)
    message = (
        "conv_input_grad: `input_size` (=(7,)) has 1 entries, and there are 2 spatial axes; "
        "give one integer, or 2 of them"
    )
    with refused(WordError, message):
        conv_input_grad(IMAGE, FILTER, (7,))
    with pytest.raises(WordError, match="has 3 entries, and there are 2 spatial axes"):
        Geometry.of((4, 4), (1, 1), stride=(1, 1, 1))


class Stubborn:
    """Is asked for an integer or a list, and raises something of its own."""

    def __index__(self) -> int:
        raise RuntimeError("no")

    def __iter__(self) -> Any:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        return "Stubborn()"


def test_what_raises_when_it_is_asked() -> None:
    with refused(WordError, "`n` (=Stubborn()) must be made of integers; such as n=1"):
        integer("n", Stubborn())
    with refused(
        WordError, "`n` (=Stubborn()) does not list 1000 entries or fewer; give a tuple of them"
    ):
        per_axis("n", Stubborn(), 2, 1)


def test_numbers_that_can_not_be_told() -> None:
    assert integer("n", -(2**1400) + 1) < 0
    with refused(WordError, "`n` is a number of 16610 bits; use 1400 at most"):
        integer("n", 10**5000)


def test_lists_that_go_on() -> None:
    with pytest.raises(WordError, match=r"^`n` .* does not list 1000 entries or fewer"):
        per_axis("n", count(), 2, 1)
    with pytest.raises(WordError, match=r"^`n` .* does not list 1000 entries or fewer"):
        per_axis("n", np.broadcast_to(1, 2**50), 2, 1)


@pytest.mark.parametrize("value", [{2, 1}, {"a": 1}])
def test_sets_have_no_order(value: Any) -> None:
    with refused(WordError, f"`n` (={value!r}) must be made of integers; such as n=1"):
        per_axis("n", value, 2, 1)


def test_flags() -> None:
    assert flag("f", np.True_) is True
    for value in (1, "yes", None, np.ones(3)):
        with pytest.raises(WordError, match=r"^`f` \(=.*\) must be True or False; write f=True$"):
            flag("f", value)


@pytest.mark.parametrize(("number", "found"), [(12, (1, 2, 3, 4, 6, 12)), (1, (1,)), (2**60, (1,))])
def test_divisors(number: int, found: tuple[int, ...]) -> None:
    assert divisors(number) == found
