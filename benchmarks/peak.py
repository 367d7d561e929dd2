"""The machine's own rates: multiply-adds by convref's micro-kernel, and copies of memory.

``python -m benchmarks.peak THREADS DTYPE`` prints them as a line of JSON: ``gflops``, two
operations to a multiply-add, and ``gbytes`` a second, bytes read and bytes written both counted.

A convolution can't be faster than the register tile that its sums are taken in. So the tile is run
here over operands that stay in the innermost cache, on every thread at once, for several rounds;
the best of them is the rate. A process of its own for each number of threads starts from the same
state as the engines' do.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
from numba import config, njit

from benchmarks.contention import Contention
from benchmarks.machine import caches
from convref.kernels.jit import micro
from convref.kernels.jit.vectors import vector_lanes

DEPTH = 2048
"""Multiply-adds of each sum in a row, enough that what begins and ends a tile doesn't count."""
PERIOD = 32
"""After so many the same operands come again, so that all stay in the innermost cache."""
ROUNDS = 12
ROUNDS_BETWEEN = 3
"""Those between the engines' turns, for which the machine's state now is what counts."""
ROUND_SECONDS = 0.05
COPIED_BYTES = 2**28
"""Of each of the two arrays; more where the caches are so large."""
TIMES_CACHE = 4


def rates(threads: int, dtype: str) -> dict[str, Any]:
    """Both rates, measured in this process."""
    if config.DISABLE_JIT:
        raise RuntimeError("the micro-kernel isn't compiled: NUMBA_DISABLE_JIT is set")
    contention = Contention()
    gflops, gbytes = multiply_adds(threads, dtype), copies(threads)
    others = contention.cpus()
    about = {"threads": threads, "dtype": dtype}
    return {**about, "gflops": gflops, "gbytes": gbytes, "others": others}


@njit(nogil=True)
def tiles(height, vectors, a, rows, a_steps, b, b_steps, out, pitch, repeats):
    """Add to one tile of sums, over and over."""
    for _ in range(repeats):
        micro.high_tile(
            height, vectors, a, rows, 0, a_steps, b, 0, b_steps, a_steps.size, out, 0, pitch, False
        )  # fmt: skip


def multiply_adds(threads: int, dtype: str, rounds: int = ROUNDS) -> float:
    """Billions of operations a second of the largest tile."""
    height, vectors = micro.HIGH[0]
    lanes = vectors * vector_lanes(np.dtype(dtype).itemsize)
    rows = np.arange(2 * height) % height * PERIOD  # the second half: what is fetched ahead
    a_steps = np.arange(DEPTH) % PERIOD
    b_steps = a_steps * lanes

    def work() -> Callable[[int], None]:
        a, b = np.ones(height * PERIOD, dtype), np.ones(PERIOD * lanes, dtype)
        out = np.zeros(height * lanes, dtype)
        return lambda n: tiles(height, vectors, a, rows, a_steps, b, b_steps, out, lanes, n)

    return 2 * height * lanes * DEPTH * best([work() for _ in range(threads)], rounds) / 1e9


def copies(threads: int) -> float:
    """Gigabytes a second, read or written, of a copy that is cut among the threads."""
    size = max(COPIED_BYTES, TIMES_CACHE * max(caches().values(), default=0)) // threads

    def work() -> Callable[[int], None]:
        source, copy = np.ones(size, np.uint8), np.zeros(size, np.uint8)

        def repeat(times: int) -> None:
            for _ in range(times):
                np.copyto(copy, source)

        return repeat

    return 2 * size * best([work() for _ in range(threads)], ROUNDS) / 1e9


def best(works: Sequence[Callable[[int], None]], rounds: int) -> float:
    """Repeats a second of all works together, one thread each, in the best of several rounds.

    A round lasts from its first thread's start to its last one's end.
    """
    barrier = Barrier(len(works))

    def timed(work: Callable[[int], None], times: int) -> tuple[float, float]:
        barrier.wait()
        start = time.perf_counter()
        work(times)
        return start, time.perf_counter()

    def lasted(times: int) -> float:
        spans = list(pool.map(timed, works, [times] * len(works)))
        return max(end for _, end in spans) - min(start for start, _ in spans)

    with ThreadPoolExecutor(len(works)) as pool:
        lasted(1)  # compiles, and touches the arrays
        times = 1
        while (seconds := lasted(times)) < ROUND_SECONDS / 4:
            times *= 4
        times = max(1, round(times * ROUND_SECONDS / seconds))
        return len(works) * times / min(lasted(times) for _ in range(rounds))


if __name__ == "__main__":
    print(json.dumps(rates(int(sys.argv[1]), sys.argv[2])))
