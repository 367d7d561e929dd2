"""What can't fit is refused before it is allocated, with the number of bytes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from messages import refused

import convref
from convref import TooLargeError, memory

HUGE = 10**13
ROW, TAPS = np.ones((1, 4)), np.ones((1, 1, 2))


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_bytes", lambda: 2**20)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: convref.conv(ROW, TAPS, padding=2**18),
            "conv: the output, of shape (1, 524291), would need 4194328 bytes (4.0 MiB)",
        ),
        (
            lambda: convref.conv(np.broadcast_to(ROW, (2**16, 1, 4)), TAPS),
            "conv: the output, of shape (65536, 1, 3), would need 1572864 bytes (1.5 MiB)",
        ),
        (
            lambda: convref.conv(ROW, TAPS, padding=2**18, stride=2**10),
            "conv: the padded input, of shape (1, 524292), would need 4194336 bytes (4.0 MiB)",
        ),
        (
            lambda: convref.conv_transpose(ROW, TAPS, stride=2**17),
            "conv_transpose: the output, of shape (1, 393218), would need 3145744 bytes (3.0 MiB)",
        ),
        (
            lambda: convref.conv_weight_grad(ROW, np.ones((1, 1)), (2**18,), padding=2**17 - 2),
            "conv_weight_grad: the output, of shape (1, 1, 262144), would need 2097152 bytes "
            "(2.0 MiB)",
        ),
        (
            lambda: convref.im2col(np.ones((1, 2**10)), (2**9,)),
            "im2col: the matrix of columns would need 2101248 bytes (2.0 MiB)",
        ),
        (
            lambda: convref.col2im(ROW.reshape(2, 2), 2**18, (2,), stride=2**17),
            "col2im: the padded input, of shape (1, 262144), would need 2097152 bytes (2.0 MiB)",
        ),
        (
            lambda: convref.conv_matrix(TAPS, 2**16),
            "conv_matrix: the matrix would need 3145680 bytes (3.0 MiB)",
        ),
    ],
)
@pytest.mark.usefixtures("small_machine")
def test_says_how_many_bytes(call: Callable[[], Any], message: str) -> None:
    tail = ", and this machine has 1.0 MiB; use smaller sizes, or split the batch"
    with refused(TooLargeError, message + tail):
        call()


TOO_LARGE = {
    "padding": lambda: convref.conv(ROW, TAPS, padding=HUGE),
    "padding, few positions": lambda: convref.conv(ROW, TAPS, padding=HUGE, stride=HUGE),
    "more padding than floats reach": lambda: convref.conv(ROW, TAPS, padding=10**400),
    "batch": lambda: convref.conv(np.broadcast_to(1.0, (HUGE, 1, 4)), TAPS),
    "a broadcast input": lambda: convref.conv(np.broadcast_to(1.0, (1, HUGE)), TAPS, stride=HUGE),
    "int8": lambda: convref.conv(ROW.astype("i1"), TAPS.astype("i1"), padding=HUGE),
    "transposed stride": lambda: convref.conv_transpose(ROW, TAPS, stride=HUGE),
    "input size": lambda: convref.conv_input_grad(np.ones((1, 1)), TAPS, HUGE, stride=HUGE),
    "kernel size": lambda: convref.conv_weight_grad(
        ROW, np.ones((1, 1)), (HUGE,), padding=HUGE // 2 - 2
    ),
    "matrix": lambda: convref.conv_matrix(TAPS, HUGE, stride=HUGE),
    "matrix of padding": lambda: convref.conv_matrix(TAPS, 4, stride=HUGE, padding=HUGE),
    "columns": lambda: convref.col2im(np.ones((2, 1)), HUGE, (2,), stride=HUGE),
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_sizes_that_no_machine_holds(what: str) -> None:
    with pytest.raises(TooLargeError, match=r"would need \d+ bytes"):
        TOO_LARGE[what]()


@pytest.mark.usefixtures("small_machine")
def test_the_sums_of_a_narrow_output_count_too() -> None:
    """A float16 output of 800 KiB is summed in float32, in 1.6 MiB."""
    x, w = np.ones((1, 4), np.float16), np.ones((1, 1, 1), np.float16)
    with pytest.raises(TooLargeError):
        convref.conv(np.broadcast_to(x, (100 * 2**10, 1, 4)), w)


@pytest.mark.usefixtures("small_machine")
def test_an_array_for_the_result_may_lie_elsewhere_than_in_memory() -> None:
    """In a file, say: then it takes none."""
    x, w = np.ones((1, 64)), np.ones((4096, 1, 1))
    with pytest.raises(TooLargeError):
        convref.conv(x, w)
    np.testing.assert_array_equal(convref.conv(x, w, out=np.empty((4096, 64))), np.ones((4096, 64)))


def test_a_huge_step_that_is_never_taken() -> None:
    """One position and one tap: nothing is large but the numbers."""
    far = 10**30
    np.testing.assert_array_equal(convref.conv(ROW, TAPS, stride=far), [[2.0]])
    np.testing.assert_array_equal(convref.conv(ROW, TAPS[..., :1], dilation=far), np.ones((1, 4)))


def test_a_machine_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_bytes", lambda: None)
    memory.check_fits(2**100, "anything")


def test_exactly_all_of_the_memory_is_allowed(small_machine: None) -> None:
    memory.check_fits(2**20, "this")
    with pytest.raises(TooLargeError):
        memory.check_fits(2**20 + 1, "that")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536 * 2**20, "1.5 GiB"),
        (2**60, "1024.0 PiB"),
    ],
)
def test_readable(count: int, text: str) -> None:
    assert memory.readable(count) == text


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((2, 3))[1:], np.zeros(0), np.zeros(())])
def test_the_address_that_is_read_is_the_one_that_numpy_tells(array: memory.Array) -> None:
    assert memory.address is memory.address_read
    assert memory.address_read(array) == memory.address_told(array)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "complex128", np.longdouble])
@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (3, 5, 7)])
def test_new_arrays_begin_on_a_line(shape: tuple[int, ...], dtype: str) -> None:
    for array in (memory.empty(shape, np.dtype(dtype)) for _ in range(20)):
        assert memory.address(array) % memory.LINE == 0
        assert (array.shape, array.dtype) == (shape, dtype)
        assert array.flags.carray
        array[...] = 1
        np.testing.assert_array_equal(array, np.ones(shape, dtype))


FLOAT32 = np.dtype("float32")
MANY = memory.LARGE // 4


def begins(array: memory.Array) -> int:
    return int(memory.address(array.base))


@pytest.fixture
def none_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_scratch", [])
    monkeypatch.setattr(memory, "_results", [])


@pytest.mark.parametrize("count", [0, 1, 1000, MANY, 5 * MANY])
def test_borrowed_numbers_begin_on_a_line(none_kept: None, count: int) -> None:
    for _ in range(3):
        array = memory.borrow(count, FLOAT32, "some")
        assert (array.shape, array.dtype, array.flags.carray) == ((count,), FLOAT32, True)
        assert memory.address(array) % memory.LINE == 0
        array[...] = 1
        memory.give_back(array)


def test_many_numbers_are_those_of_the_last_call(none_kept: None) -> None:
    first = memory.borrow(5 * MANY, FLOAT32, "some")
    memory.give_back(first)
    fewer = memory.borrow(2 * MANY, np.dtype("complex64"), "some")
    assert begins(fewer) == begins(first)
    memory.give_back(fewer)
    more = memory.borrow(9 * MANY, FLOAT32, "some")
    assert begins(more) != begins(first)
    assert memory._scratch == []


def test_two_borrowers_never_share(none_kept: None) -> None:
    memory.give_back(memory.borrow(MANY, FLOAT32, "some"))
    first, second = memory.borrow(MANY, FLOAT32, "some"), memory.borrow(MANY, FLOAT32, "some")
    assert not np.shares_memory(first, second)
    memory.give_back(first)
    memory.give_back(second)
    assert len(memory._scratch) == 1


@pytest.mark.parametrize("size", [memory.LARGE // 2, memory.MOST_KEPT + 1])
def test_little_and_too_much_is_not_kept(none_kept: None, size: int) -> None:
    memory.give_back(memory.borrow(size, np.dtype("uint8"), "some"))
    assert memory._scratch == []


def test_a_canvas_stays_for_the_next_call(none_kept: None) -> None:
    x, w = np.ones((1, 8, 200, 200), np.float32), np.ones((16, 8, 3, 3), np.float32)
    first = convref.conv(x, w, padding=1, padding_mode="reflect")
    (kept,) = memory._scratch
    kept.view("float32")[...] = np.nan  # of what it holds nothing is read
    again = convref.conv(x, w, padding=1, padding_mode="reflect")
    np.testing.assert_array_equal(again, first)
    assert [memory.address(raw) for raw in memory._scratch] == [memory.address(kept)]


LARGEST = memory.MAPPED // 4


def test_a_very_large_result_takes_the_memory_of_one_that_nobody_holds(none_kept: None) -> None:
    first = memory.empty((2, LARGEST), FLOAT32)
    begin, row = begins(first), first[1:, :5]
    del first
    other = memory.empty((2, LARGEST), FLOAT32)
    assert begins(other) != begin  # a row of the first is held
    assert not np.shares_memory(row, other)
    del row
    second = memory.empty((LARGEST, 2), FLOAT32)
    assert begins(second) == begin
    assert second.flags.carray
    assert memory.address(second) % memory.LINE == 0
    assert memory._results == []


@pytest.mark.parametrize("count", [LARGEST, 8 * LARGEST])
def test_memory_that_does_not_suit_a_result_is_not_held(none_kept: None, count: int) -> None:
    """For as long as the result lives: it would take twice what it needs, or can't hold it."""
    first = memory.empty((3 * LARGEST,), FLOAT32)
    del first
    assert len(memory._results) == 1
    assert memory.empty((count,), FLOAT32).base.nbytes < 4 * count + 2 * memory.LINE


@pytest.mark.parametrize("size", [memory.MAPPED // 2, memory.MOST_KEPT + 1])
def test_memory_of_smaller_and_of_larger_results_is_not_kept(none_kept: None, size: int) -> None:
    assert memory.empty((size,), np.dtype("uint8")).size == size
    assert memory._results == []


def test_a_result_written_over_an_earlier_one(none_kept: None) -> None:
    x, w = np.ones((1, 1, 2, LARGEST), np.float32), np.ones((1, 1, 1, 3), np.float32)
    first = convref.conv(x, w, padding="same")
    expected = first.copy()
    first[...] = np.nan
    del first
    assert len(memory._results) == 1
    second = convref.conv(x, w, padding="same")
    assert memory._results == []
    np.testing.assert_array_equal(second, expected)
