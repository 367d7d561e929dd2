"""Calls as code: which arguments are written, and how."""

import json
from typing import Any

PLAIN: dict[str, tuple[Any, ...]] = {"padding": (0, "valid", None), "output_padding": (None,)}
"""What need not be written, of words that are not 1 or zeros by default.

Keras's `output_padding` of 0 is not that of None.
"""


class Name(str):
    """A name in code, as against a string."""

    __slots__ = ()


def call(name: str, *values: Any, **words: Any) -> str:
    """A call as code; words that need not be written are left out."""
    given = [written(value) for value in values]
    given += [
        f"{word}={written(value)}"
        for word, value in words.items()
        if isinstance(value, bool) or value not in PLAIN.get(word, (1, None, "zeros"))
    ]
    return f"{name}({', '.join(given)})"


def written(value: Any) -> str:
    """A value as code."""
    if isinstance(value, Name):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        inside = ", ".join(map(written, value))
        if isinstance(value, list):
            return f"[{inside}]"
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value)


def chosen(words: dict[str, Any], *names: str) -> dict[str, Any]:
    """These of the words that there are, sizes as one integer where they are equal."""
    return {name: one(words[name]) for name in names if name in words}


def one(sizes: Any) -> Any:
    """One integer for all axes, where they are equal."""
    if isinstance(sizes, tuple) and all(isinstance(size, int) for size in sizes):
        return sizes[0] if len(set(sizes)) == 1 else sizes
    return sizes


def unless_ones(sizes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The sizes, or None where all are 1."""
    return sizes if max(sizes) > 1 else None


def as_tuple(value: Any) -> Any:
    """Lists of JSON as tuples."""
    return tuple(map(as_tuple, value)) if isinstance(value, list) else value
