"""A whole result on all threads, stretch by stretch: cleared, or added up of partial sums."""

from functools import lru_cache
from typing import Any

from numpy.typing import NDArray

from convref.kernels.jit.crew import Kernel, listed, share
from convref.kernels.jit.flat import load, store

STRETCH, SHARED = 1 << 14, 1 << 16
"""Numbers of a unit, and from how many on they are worth a call of the threads to be cleared."""


def write(words, _, __, out, start, stop):
    """Units: stretches of the result, which become zero."""
    size = load(words, 0)
    for i in range(start * STRETCH, min(stop * STRETCH, size)):
        store(out, i, 0)


def add(words, sums, _, out, start, stop):
    """``out[i] = sum over pieces of sums[piece, i]``, the first of them first. Units as above."""
    size, pieces = load(words, 0), load(words, 1)
    for unit in range(start, stop):
        begin, end = unit * STRETCH, min((unit + 1) * STRETCH, size)
        for i in range(begin, end):
            store(out, i, load(sums, i))
        for piece in range(1, pieces):
            at = piece * size
            for i in range(begin, end):
                store(out, i, load(out, i) + load(sums, at + i))


ZEROS, TOTAL = Kernel(write), Kernel(add)
_sizes = lru_cache(maxsize=256)(listed)
"""The words of a kernel, of integers alone, which are kept."""


def clear(result: NDArray[Any], threads: int) -> None:
    """Fill a result, all of whose numbers are given in a row as they lie in memory."""
    if result.size < SHARED:
        result[...] = 0
        return
    size = result.size
    share(ZEROS, _sizes(size), result, result, result, -(-size // STRETCH), size, threads)


def total(sums: NDArray[Any], result: NDArray[Any], threads: int) -> None:
    """Fill a contiguous result with the sum of pieces of its size, which are the rows of `sums`."""
    pieces, size = sums.shape
    sums, result, units = sums.reshape(-1), result.reshape(-1), -(-size // STRETCH)
    share(TOTAL, _sizes(size, pieces), sums, sums, result, units, sums.size, threads)
