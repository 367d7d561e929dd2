"""Zeros all over a result, on all threads, where a kernel then fills a part of it."""

from typing import Any

from numpy.typing import NDArray

from convref.kernels.jit.crew import Kernel, listed, share
from convref.kernels.jit.flat import load, store

STRETCH, FEW = 1 << 14, 3
"""Numbers of a unit, and how many units are not worth a call of the threads."""


def write(words, _, __, out, start, stop):
    """Units: stretches of the result."""
    size = load(words, 0)
    for i in range(start * STRETCH, min(stop * STRETCH, size)):
        store(out, i, 0)


ZEROS = Kernel(write)


def clear(result: NDArray[Any]) -> None:
    """Fill a result, all of whose numbers are given in a row as they lie in memory."""
    units = -(-result.size // STRETCH)
    if units <= FEW:
        result[...] = 0
        return
    share(ZEROS, listed(result.size), result, result, result, units, result.size)
