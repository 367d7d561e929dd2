"""How a message is built, and what an error can be caught as."""

import pytest

import convref
from convref.errors import ConvrefError, counted, verb


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
