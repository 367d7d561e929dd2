"""Arrays in memory: where they begin, and refusing what this machine can't hold."""

import ctypes
import os
import weakref
from contextlib import suppress
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.errors import TooLargeError

Array = NDArray[Any]

HEAD = object.__basicsize__
"""Bytes of the head of any object, after which an array holds the address of its numbers: which
field comes first belongs to NumPy's C interface (PyArrayObject_fields)."""
LINE = 64
"""Bytes of a line of a cache."""
LARGE = 1 << 20
"""Bytes from which on memory that nobody has touched yet costs more than what is done in it: the
system gives it a page at a time, on the first touch."""
PAGES = 1 << 22
"""Bytes from which on NumPy asks for large pages."""
MAPPED = 1 << 25
"""Bytes from which on the C library gets memory from the system for each array, and gives it back
with the array (glibc: the highest M_MMAP_THRESHOLD that it sets by itself)."""
MOST_KEPT = 1 << 27
"""Bytes that are kept from one call to the next, at most: of scratch memory, and of results."""

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
LARGEST = 2**90
"""From here on a number of bytes is not worth dividing."""


@cache
def machine_bytes() -> int | None:
    """Physical memory in bytes; None where the system doesn't tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # no sysconf on Windows
        return None


def check_fits(needed: int, purpose: str, shape: tuple[int, ...] | None = None) -> None:
    """Raise TooLargeError when ``needed`` bytes, for an array, exceed the machine's memory."""
    available = machine_bytes()
    if available is not None and needed > available:
        of_shape = "" if shape is None else f", of shape {shape},"
        raise TooLargeError(
            f"{purpose}{of_shape} would need {needed} bytes ({readable(needed)}), "
            f"and this machine has {readable(available)}",
            "use smaller sizes, or split the batch",
        )


def readable(count: int) -> str:
    """A number of bytes in the largest unit that keeps it at 1 or above: ``1.5 GiB``."""
    if count >= LARGEST:
        return f"more than {LARGEST // 1024**5} PiB"
    power = max(0, min((count.bit_length() - 1) // 10, len(UNITS) - 1))
    return f"{count} bytes" if power == 0 else f"{count / 1024**power:.1f} {UNITS[power]}"


def address_told(a: Array) -> int:
    """Where an array begins; all strides are positive."""
    return a.__array_interface__["data"][0]  # type: ignore[no-any-return]


def address_read(a: Array) -> int | None:
    """The same in a fifth of the time: the first field of an array."""
    return ctypes.c_void_p.from_address(id(a) + HEAD).value


_probe = np.zeros(1)
address: Any = address_read if address_read(_probe) == address_told(_probe) else address_told
"""Read where that works, which it may not in another Python than CPython."""


_scratch: list[Array] = []
"""Scratch memory of an earlier call: one piece or none."""
_results: list[Array] = []
"""Memory of an earlier result that nobody holds any more: one piece or none."""


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """A new array that begins on a line of the cache.

    So vectors of neighbouring channels, which different threads may write, share no line. The
    memory of a very large one is kept for the next such array, once nobody holds this one.
    """
    needed = prod(shape) * dtype.itemsize + LINE
    if needed < MAPPED:
        small = np.empty(needed, np.uint8)
        return np.ndarray(shape, dtype, small, -address(small) % LINE)
    raw = _taken(_results, needed)
    if raw is None or raw.size > 2 * needed:
        raw = np.empty(needed, np.uint8)
    # A view holds the owner of its memory: of a buffer's memory that is this array, and not `raw`.
    held = np.frombuffer(raw.data, np.uint8)
    weakref.finalize(held, _keep, _results, raw).atexit = False
    return on_a_line(shape, dtype, held)


def borrow(count: int, dtype: np.dtype[Any], purpose: str) -> Array:
    """So many numbers for the time of a call, where an earlier call had its own if they are many.

    Two threads never get the same memory. Whoever borrows ends with `give_back`. Raises
    TooLargeError where they don't fit.
    """
    needed = count * dtype.itemsize + LINE
    if needed < LARGE:
        return empty((count,), dtype)
    raw = _taken(_scratch, needed)
    if raw is None:
        check_fits(needed, purpose)
        raw = np.empty(max(needed, PAGES), np.uint8)
    return on_a_line((count,), dtype, raw)


def give_back(borrowed: Array) -> None:
    """Keep for the next call what `borrow` gave, if it is large, but not too large."""
    if borrowed.base is not None and borrowed.base.nbytes >= LARGE:
        _keep(_scratch, borrowed.base)


def on_a_line(shape: tuple[int, ...], dtype: np.dtype[Any], raw: Array) -> Array:
    """An array on the first line of the cache that begins in these bytes."""
    return np.ndarray(shape, dtype, raw, -address(raw) % LINE)


def _taken(kept: list[Array], needed: int) -> Array | None:
    """The piece that is kept, for nobody else from now on; None where it has too few bytes."""
    with suppress(IndexError):
        raw = kept.pop()
        if raw.size >= needed:
            return raw
    return None


def _keep(kept: list[Array], raw: Array) -> None:
    """Keep this piece, instead of another, unless it is too large."""
    if raw.nbytes <= MOST_KEPT:
        kept[:] = [raw]
