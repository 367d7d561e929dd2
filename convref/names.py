"""Settings that may be given by name: "relu", "he_normal", "l2"."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar, overload

from convref.errors import WordError

T = TypeVar("T")


@overload
def named(word: str, value: None, known: Mapping[str, Callable[[], T]]) -> None: ...
@overload
def named(word: str, value: T | str, known: Mapping[str, Callable[[], T]]) -> T: ...
def named(word: str, value: T | str | None, known: Mapping[str, Callable[[], T]]) -> T | None:
    """The value itself, or what a name, in any case, stands for; raise WordError."""
    if not isinstance(value, str):
        return value
    if value.lower() not in known:
        raise WordError(f"`{word}` (={value!r}) is unknown", nearest(value.lower(), known))
    return known[value.lower()]()


def nearest(value: str, known: Iterable[str]) -> str:
    """What to write instead of a word that is unknown."""
    known = tuple(known)
    near = get_close_matches(value, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(map(repr, known))}"
