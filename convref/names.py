"""Settings that may be given by name: "relu", "he_normal", "l2"."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar, overload

from convref.errors import WordError, shown

T = TypeVar("T")


@overload
def named(word: str, value: None, known: Mapping[str, Callable[[], T]]) -> None: ...
@overload
def named(word: str, value: T | str, known: Mapping[str, Callable[[], T]]) -> T: ...
def named(word: str, value: T | str | None, known: Mapping[str, Callable[[], T]]) -> T | None:
    """The value itself, or what a name, in any case, stands for; raise WordError.

    What is no name has the methods of those that there are.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        like = next(iter(known.values()))()
        methods = [name for name in ("__call__", "gradient") if hasattr(like, name)]
        if isinstance(value, type) or not all(hasattr(value, name) for name in methods):
            raise WordError(
                f"`{word}` (={shown(value)}) is neither a name nor an object of that kind",
                f"use one of {', '.join(map(repr, known))}",
            )
        return value
    if value.lower() not in known:
        raise WordError(f"`{word}` (={shown(value)}) is unknown", nearest(value, known))
    return known[value.lower()]()


def one_of(word: str, value: object, known: tuple[str, ...]) -> None:
    """Check that a setting is one of a few words, as it is; raise WordError."""
    if not isinstance(value, str) or value not in known:
        raise WordError(f"`{word}` (={shown(value)}) is unknown", nearest(value, known))


def nearest(value: object, known: Iterable[str]) -> str:
    """What to write instead of a word that is unknown."""
    known = tuple(known)
    word = value if isinstance(value, str) else ""
    near = get_close_matches(word, known, n=1) or get_close_matches(word.lower(), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(map(repr, known))}"
