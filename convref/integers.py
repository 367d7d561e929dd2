"""Read numbers from what users write: integers, one for all axes or one per axis, and reals."""

import operator
from collections.abc import Callable, Iterable
from math import isfinite
from numbers import Real
from typing import TypeGuard

import numpy as np

from convref.errors import WordError

RANGES: dict[str, Callable[[float], bool]] = {
    "": isfinite,
    "above 0": lambda value: 0 < value < float("inf"),
    "of 0 or more": lambda value: 0 <= value < float("inf"),
    "from 0 to 1": lambda value: 0 <= value <= 1,
    "of 0 or more and below 1": lambda value: 0 <= value < 1,
}
"""Where a real number may lie, in words."""


def integer(name: str, value: object) -> int:
    """A Python int; booleans and floats are refused, for they are slips more often than meant."""
    if type(value) is int:
        return value
    if hasattr(value, "__index__") and not isinstance(value, bool | np.bool_):
        try:
            return operator.index(value)
        except TypeError:  # an array of floats, or of several integers
            pass
    raise WordError(f"`{name}` (={value!r}) must be made of integers", f"such as {name}=1")


def is_sequence(value: object) -> TypeGuard[Iterable[object]]:
    """Whether the value lists one entry per axis (strings and 0-d arrays do not)."""
    return (
        isinstance(value, Iterable)
        and not isinstance(value, str | bytes)
        and getattr(value, "ndim", 1) > 0
    )


def per_axis(name: str, value: object, rank: int, minimum: int) -> tuple[int, ...]:
    """One integer per axis, from a single one or from a sequence of ``rank`` of them."""
    if is_sequence(value):
        entries = tuple(integer(name, entry) for entry in value)
        if len(entries) != rank:
            raise WordError(
                f"`{name}` (={value!r}) has {len(entries)} entries, "
                f"and there are {rank} spatial axes",
                f"give one integer, or {rank} of them",
            )
    else:
        entries = (integer(name, value),) * rank
    if min(entries, default=minimum) < minimum:
        raise WordError(
            f"`{name}` (={value!r}) must be at least {minimum} on every axis",
            f"use {minimum} or more",
        )
    return entries


def kernel_sizes(kernel_size: object, name: str = "kernel_size") -> tuple[int, ...]:
    """Kernel sizes, or other sizes, that say how many spatial axes there are."""
    if not is_sequence(kernel_size):
        raise WordError(
            f"`{name}` (={kernel_size!r}) must have one size per spatial axis",
            f"write ({kernel_size},) for one axis or ({kernel_size}, {kernel_size}) for two",
        )
    sizes = tuple(kernel_size)
    if not sizes:
        raise WordError(f"`{name}` (=()) must have one size per spatial axis", "write (3,)")
    return per_axis(name, sizes, len(sizes), minimum=1)


def real(name: str, value: object, where: str = "") -> float:
    """A finite Python float, in one of `RANGES`, from any real number but a boolean."""
    if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
        try:
            if RANGES[where](float(value)):
                return float(value)
        except OverflowError:  # an integer too large for a float
            pass
    rule = f"`{name}` (={value!r}) must be a number {where}"
    raise WordError(rule.rstrip(), f"such as {name}=0.1")
