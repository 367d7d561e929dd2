"""The exceptions, and how a message is built.

A message reads ``operation: rule; mend``: what was called, which rule the arguments break (each
argument in backticks with its value), and what to write instead. The code that finds a fault
states rule and mend; the public function it was called from adds its own name on the way out.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
MOST_SHOWN = 200
"""Characters of a value in a message."""


class ConvrefError(Exception):
    """Base of every error that convref raises on purpose."""

    def __init__(self, rule: str, mend: str = "") -> None:
        super().__init__(rule, mend)
        self.rule = rule
        self.mend = mend
        self.operation = ""

    def __str__(self) -> str:
        body = f"{self.rule}; {self.mend}" if self.mend else self.rule
        return f"{self.operation}: {body}" if self.operation else body


class WordError(ConvrefError, ValueError):
    """A setting (stride, padding, layout, ...) that is unknown or out of range."""


class ShapeError(ConvrefError, ValueError):
    """Arrays whose shapes do not fit each other or the settings."""


class DtypeError(ConvrefError, TypeError):
    """An array whose dtype can't be convolved."""


class TooLargeError(ConvrefError, MemoryError):
    """Arrays that this machine's memory can't hold."""


class FileError(ConvrefError, ValueError):
    """A file that can't be used."""


class MissingExtraError(ConvrefError, ImportError):
    """An optional package that is not installed."""


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """Put the name of a public function before the message of every error that leaves it.

    Where one public function calls another, the outermost name stands: the one the user wrote.
    Of a constructor that is the class of what is made.
    """
    name = function.__qualname__.rpartition("<locals>.")[2]
    constructs = function.__name__ in ("__init__", "__post_init__")

    @wraps(function)
    def named(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (ConvrefError, MemoryError) as error:
            refusal = own(error)
            refusal.operation = type(args[0]).__name__ if constructs else name
            raise refusal from refusal.__cause__

    return named


def own(error: ConvrefError | MemoryError) -> ConvrefError:
    """The error itself, or that of a size which the machine has, and which is not free."""
    if isinstance(error, ConvrefError):
        return error
    refusal = TooLargeError(
        f"the memory that is free does not suffice ({error})",
        "use smaller sizes, or split the batch",
    )
    refusal.__cause__ = error
    return refusal


def shown(value: object, read: Callable[[object], str] = repr) -> str:
    """A user's value as messages show it: its repr on one line, which is cut where it is long.

    ``read`` may be `str` instead, for what names itself.

    >>> shown((3, "same")), len(shown([0] * 1000))
    ("(3, 'same')", 84)
    """
    try:
        text = " ".join(line.strip() for line in read(value).splitlines())
    except Exception:  # nested too deeply, of too many digits, or of a class that has none
        return f"<{type(value).__name__}>"
    return text if len(text) <= MOST_SHOWN else f"{text[:60]}... {text[-20:]}"


def counted(values: tuple[int, ...]) -> str:
    """Read a list of alternatives out: ``1, 2 or 4``."""
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
