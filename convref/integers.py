"""Read numbers from what users write: integers, one for all axes or one per axis, and reals."""

import operator
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import suppress
from itertools import islice
from math import isfinite
from numbers import Real
from typing import Any, TypeGuard

import numpy as np

from convref.errors import WordError, shown

RANGES: dict[str, Callable[[float], bool]] = {
    "": isfinite,
    "above 0": lambda value: 0 < value < float("inf"),
    "of 0 or more": lambda value: 0 <= value < float("inf"),
    "from 0 to 1": lambda value: 0 <= value <= 1,
    "of 0 or more and below 1": lambda value: 0 <= value < 1,
}
"""Where a real number may lie, in words."""


MOST_BITS = 1400
"""Of an integer: beyond any size, and few enough for products to be counted and told."""
MOST_TRIED = 100_000
MOST_ENTRIES = 1000
"""Of a sequence of settings."""


def integer(name: str, value: object) -> int:
    """A Python int; booleans and floats are refused, for they are slips more often than meant."""
    number = value if type(value) is int else _index(value)
    if number is None:
        raise WordError(f"`{name}` (={shown(value)}) must be made of integers", f"such as {name}=1")
    if number.bit_length() > MOST_BITS:
        raise WordError(
            f"`{name}` is a number of {number.bit_length()} bits", f"use {MOST_BITS} at most"
        )
    return number


def _index(value: object) -> int | None:
    """The integer that a value is for Python; None where it is none, or a boolean."""
    if not hasattr(value, "__index__") or isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)
    except Exception:  # an array of floats, of several integers, or whatever a class raises
        return None


def flag(name: str, value: object) -> bool:
    """True or False."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise WordError(f"`{name}` (={shown(value)}) must be True or False", f"write {name}=True")


def divisors(number: int) -> tuple[int, ...]:
    """All divisors; of numbers that are too large to try all, 1."""
    most = number if number <= MOST_TRIED else 1
    return tuple(divisor for divisor in range(1, most + 1) if number % divisor == 0)


def is_sequence(value: object) -> TypeGuard[Iterable[object]]:
    """Whether the value lists one entry per axis (strings, sets and 0-d arrays do not)."""
    return type(value) is tuple or (  # a tuple at once, for loops call with them
        isinstance(value, Iterable)
        and not isinstance(value, str | bytes | Set | Mapping)
        and getattr(value, "ndim", 1) > 0
    )


def members(name: str, values: Any) -> tuple[Any, ...]:
    """What a sequence lists; raise WordError where it fails to, or goes on for ever."""
    try:
        found = values if type(values) is tuple else tuple(islice(values, MOST_ENTRIES + 1))
    except Exception:  # whatever a foreign class raises
        found = None
    if found is None or len(found) > MOST_ENTRIES:
        raise WordError(
            f"`{name}` (={shown(values)}) does not list {MOST_ENTRIES} entries or fewer",
            "give a tuple of them",
        )
    return found


def per_axis(name: str, value: object, rank: int, minimum: int) -> tuple[int, ...]:
    """One integer per axis, from a single one or from a sequence of ``rank`` of them."""
    if is_sequence(value):
        numbers = tuple(integer(name, entry) for entry in members(name, value))
        if len(numbers) != rank:
            raise WordError(
                f"`{name}` (={shown(value)}) has {len(numbers)} entries, "
                f"and there are {rank} spatial axes",
                f"give one integer, or {rank} of them",
            )
    else:
        numbers = (integer(name, value),) * rank
    if min(numbers, default=minimum) < minimum:
        raise WordError(
            f"`{name}` (={shown(value)}) must be at least {minimum} on every axis",
            f"use {minimum} or more",
        )
    return numbers


def kernel_sizes(kernel_size: object, name: str = "kernel_size") -> tuple[int, ...]:
    """Kernel sizes, or other sizes, that say how many spatial axes there are."""
    if not is_sequence(kernel_size):
        given = shown(kernel_size)
        raise WordError(
            f"`{name}` (={given}) must have one size per spatial axis",
            f"write ({given},) for one axis or ({given}, {given}) for two",
        )
    sizes = members(name, kernel_size)
    if not sizes:
        raise WordError(f"`{name}` (=()) must have one size per spatial axis", "write (3,)")
    return per_axis(name, sizes, len(sizes), minimum=1)


def real(name: str, value: object, where: str = "") -> float:
    """A finite Python float, in one of `RANGES`, from any real number but a boolean."""
    if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
        with suppress(OverflowError):  # an integer too large for a float
            if RANGES[where](float(value)):
                return float(value)
    rule = f"`{name}` (={shown(value)}) must be a number {where}"
    raise WordError(rule.rstrip(), f"such as {name}=0.1")
