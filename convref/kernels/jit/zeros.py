"""Zeros all over a result, on all threads, where a kernel then fills a part of it."""

from typing import Any

from numpy.typing import NDArray

from convref.kernels.jit.crew import Kernel, listed, share
from convref.kernels.jit.flat import load, store

STRETCH, SHARED = 1 << 14, 1 << 16
"""Numbers of a unit, and from how many on they are worth a call of the threads."""


def write(words, _, __, out, start, stop):
    """Units: stretches of the result."""
    size = load(words, 0)
    for i in range(start * STRETCH, min(stop * STRETCH, size)):
        store(out, i, 0)


ZEROS = Kernel(write)


def clear(result: NDArray[Any], threads: int) -> None:
    """Fill a result, all of whose numbers are given in a row as they lie in memory."""
    if result.size < SHARED:
        result[...] = 0
        return
    units = -(-result.size // STRETCH)
    share(ZEROS, listed(result.size), result, result, result, units, result.size, threads)
