"""Settings as they are written on a command line: 7x7 for sizes, 1,2x0,0 for pairs of padding."""

import re
from typing import Any

from convref.errors import ShapeError, WordError, shown
from convref.explain.meanings import setting_in
from convref.explain.setting import Setting, Sizes

SIZES = re.compile(r"\d+(x\d+)*", re.ASCII)
AMOUNTS = re.compile(r"-?\d+(,-?\d+)?(x-?\d+(,-?\d+)?)*", re.ASCII)
LONGEST = 200
"""Characters of a number or of several; longer ones are slips."""


def read_setting(
    dialect: str, input_size: str, kernel: str, channels: str | None, **words: Any
) -> Setting:
    """A setting from texts; words that are None are left out. Raises the errors of `setting_in`.

    >>> read_setting("jax", "7x8", "3", "1x2", padding="1,2x0,0", stride="2x1").output_size
    (4, 6)
    """
    given = {word: value for word, value in words.items() if value is not None}
    for word in ("stride", "dilation", "input_dilation", "output_padding"):
        if word in given:
            given[word] = one_or_more(word, given[word])
    if "padding" in given:
        given["padding"] = padding(given["padding"])
    if channels is None:  # the fewest that there can be
        counts: Sizes = (max(1, given.get("groups", 1)),)
    else:
        counts = sizes("channels", channels)
    if len(counts) > 2:
        raise WordError(f"`channels` (={shown(channels)}) are not two numbers", "such as 3x8")
    return setting_in(
        dialect,
        sizes("size", input_size),
        one_or_more("kernel", kernel),
        in_channels=counts[0],
        out_channels=counts[-1],
        **given,
    )


def sizes(name: str, text: str) -> Sizes:
    """Integers, one for each axis: ``7x8``."""
    if len(text) > LONGEST or not SIZES.fullmatch(text.lower()):
        raise ShapeError(f"`{name}` (={shown(text)}) is not made of sizes", "such as 7x8")
    return tuple(map(int, text.lower().split("x")))


def one_or_more(name: str, text: str) -> int | Sizes:
    """One integer for all axes, or one for each: ``2`` or ``2x1``."""
    found = sizes(name, text)
    return found[0] if len(found) == 1 else found


def padding(text: str) -> Any:
    """A word, an integer for all axes, or an integer or a pair for each.

    >>> padding("same"), padding("1"), padding("1x0"), padding("1,2x-1,0")
    ('same', 1, (1, 0), ((1, 2), (-1, 0)))
    """
    if text.replace("_", "").isalpha():
        return text
    if len(text) > LONGEST or not AMOUNTS.fullmatch(text.lower()):
        raise WordError(
            f"`padding` (={shown(text)}) is neither a word nor amounts",
            "such as same, 1, 1x0 for two axes, or 1,2x0,0 for before and after on each",
        )
    axes = [tuple(map(int, axis.split(","))) for axis in text.lower().split("x")]
    found = tuple(amounts if len(amounts) > 1 else amounts[0] for amounts in axes)
    return found[0] if len(found) == 1 and isinstance(found[0], int) else found
