"""How a message is built, and what an error can be caught as."""

import numpy as np
import pytest
from messages import refused

import convref
from convref.errors import ConvrefError, counted, shown, verb


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (convref.WordError, ValueError),
        (convref.ShapeError, ValueError),
        (convref.DtypeError, TypeError),
        (convref.TooLargeError, MemoryError),
        (convref.FileError, ValueError),
        (convref.MissingExtraError, ImportError),
    ],
)
def test_can_be_caught_as_the_builtin_or_the_base(
    kind: type[ConvrefError], builtin: type[Exception]
) -> None:
    assert issubclass(kind, ConvrefError)
    assert issubclass(kind, builtin)


def test_message_is_operation_rule_mend() -> None:
    error = ConvrefError("`a` (=1) must be 2", "use 2")
    assert str(error) == "`a` (=1) must be 2; use 2"
    error.operation = "conv"
    assert str(error) == "conv: `a` (=1) must be 2; use 2"
    assert str(ConvrefError("no mend")) == "no mend"


def test_the_outermost_verb_names_the_message() -> None:
    @verb
    def inner() -> None:
        raise convref.ShapeError("rule")

    @verb
    def outer() -> None:
        inner()

    with pytest.raises(convref.ShapeError, match=r"^inner: rule$"):
        inner()
    with pytest.raises(convref.ShapeError, match=r"^outer: rule$"):
        outer()


def test_a_verb_keeps_other_errors_results_and_its_name() -> None:
    @verb
    def divide(a: int, *, by: int) -> float:
        """Divide."""
        return a / by

    assert divide(3, by=2) == 1.5
    assert (divide.__name__, divide.__doc__) == ("divide", "Divide.")
    with pytest.raises(ZeroDivisionError):
        divide(1, by=0)


@pytest.mark.parametrize(
    ("values", "text"), [((7,), "7"), ((1, 2), "1 or 2"), ((1, 2, 4), "1, 2 or 4")]
)
def test_counted(values: tuple[int, ...], text: str) -> None:
    assert counted(values) == text


def test_shown_is_one_short_line_whatever_the_value() -> None:
    deep: list[object] = []
    for _ in range(10_000):
        deep = [deep]
    assert shown("same") == "'same'"
    assert shown(np.zeros((2, 2))) == "array([[0., 0.], [0., 0.]])"
    assert shown("a" * 300) == f"'{'a' * 59}... {'a' * 19}'"
    assert (shown(deep), shown(10**5000)) == ("<list>", "<int>")
    assert shown(np.dtype("f4"), str) == "float32"


def test_memory_that_is_not_free_is_an_error_of_the_package() -> None:
    @verb
    def fill() -> None:
        raise MemoryError("Unable to allocate 16.0 GiB")

    message = (
        "fill: the memory that is free does not suffice (Unable to allocate 16.0 GiB); "
        "use smaller sizes, or split the batch"
    )
    with refused(convref.TooLargeError, message):
        fill()
