"""Errors that are convref's and, at the same time, of the class that PyTorch raises."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from convref.errors import ConvrefError, DtypeError, ShapeError, WordError, verb

P = ParamSpec("P")
R = TypeVar("R")


class ArgumentError(WordError, TypeError):
    """An argument of a type that PyTorch's functions don't take."""


class ArrayError(DtypeError):
    """An argument that is no array of numbers."""


class RuntimeWordError(WordError, RuntimeError):
    """A setting that PyTorch refuses with a RuntimeError."""


class RuntimeShapeError(ShapeError, RuntimeError):
    """Shapes that PyTorch refuses with a RuntimeError."""


class RuntimeDtypeError(DtypeError, RuntimeError):
    """Dtypes that PyTorch refuses with a RuntimeError."""


class MissingDtypeError(DtypeError, NotImplementedError):
    """A dtype that PyTorch does not compute this in."""


AT_RUN_TIME: dict[type[ConvrefError], type[ConvrefError]] = {
    WordError: RuntimeWordError,
    ShapeError: RuntimeShapeError,
    DtypeError: RuntimeDtypeError,
}
SPELLED = {
    "`x`": "`input`",
    "`w`": "`weight`",
    "`dy`": "`grad_output`",
    "`cols`": "`input`",
    "`input_size`, `kernel_size`": "`output_size`, `kernel_size`",  # of fold
}
"""Arguments, as PyTorch calls them."""


@contextmanager
def at_run_time() -> Iterator[None]:
    """Make convref's errors RuntimeErrors too, and have them name PyTorch's arguments."""
    try:
        yield
    except ConvrefError as error:
        kind = AT_RUN_TIME.get(type(error))
        if kind is None:
            raise
        rule, mend = error.rule, error.mend
        for ours, theirs in SPELLED.items():
            rule, mend = rule.replace(ours, theirs), mend.replace(ours, theirs)
        refusal = kind(rule, mend)
        refusal.operation = error.operation
        raise refusal from None


def public(function: Callable[P, R], name: str | None = None) -> Callable[P, R]:
    """A function under the name by which users and messages call it."""
    function.__name__ = function.__qualname__ = name or function.__name__
    refusing = verb(function)

    @wraps(function)
    def called(*args: P.args, **words: P.kwargs) -> R:
        with at_run_time():
            return refusing(*args, **words)

    return called
