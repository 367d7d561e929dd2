"""Read integers from what users write: ints, NumPy integers, one for all axes or one per axis."""

import operator
from collections.abc import Iterable
from typing import TypeGuard

import numpy as np

from convref.errors import WordError


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


def kernel_sizes(kernel_size: object) -> tuple[int, ...]:
    """Kernel sizes that say how many spatial axes there are."""
    if not is_sequence(kernel_size):
        raise WordError(
            f"`kernel_size` (={kernel_size!r}) must have one size per spatial axis",
            f"write ({kernel_size},) for one axis or ({kernel_size}, {kernel_size}) for two",
        )
    sizes = tuple(kernel_size)
    if not sizes:
        raise WordError("`kernel_size` (=()) must have one size per spatial axis", "write (3,)")
    return per_axis("kernel_size", sizes, len(sizes), minimum=1)
