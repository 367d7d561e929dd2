"""One shared pool of plain Python threads, for kernels that release the interpreter lock.

Each unit of work is computed by one thread, in an order that does not depend on which thread it
is, so results have the same bits for every number of threads.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise

from convref.errors import WordError, verb
from convref.integers import integer

WORTH_A_THREAD = 250_000
"""Multiply-adds that take about as long as handing them to another thread."""
CHUNKS_PER_THREAD = 4
"""Enough for threads to finish together on a busy machine, few enough to cost nothing."""

_default = os.cpu_count() or 1
_chosen: ContextVar[int | None] = ContextVar("threads", default=None)
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


@verb
def set_num_threads(count: int) -> None:
    """Set how many threads the `numba` back end uses where a call doesn't say.

    >>> set_num_threads(2)

    Raises WordError unless ``count`` is an integer of at least 1.
    """
    global _default
    _default = _checked("count", count)


def _checked(name: str, count: int) -> int:
    checked = integer(name, count)
    if checked < 1:
        raise WordError(f"`{name}` (={count!r}) must be at least 1", "use 1 or more")
    return checked


def num_threads() -> int:
    """How many threads a kernel that is called now may use."""
    return _chosen.get() or _default


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Let kernels inside the block use ``count`` threads; None leaves the choice as it is."""
    if count is None:
        yield
        return
    token = _chosen.set(_checked("threads", count))
    try:
        yield
    finally:
        _chosen.reset(token)


def share(task: Callable[[int, int], object], units: int, macs: int) -> None:
    """Run ``task(start, stop)`` over all of ``range(units)``, shared among the threads.

    ``macs`` is the number of multiply-adds in all: a few are not worth a second thread.
    """
    threads = min(num_threads(), units, 1 + macs // WORTH_A_THREAD)
    if threads <= 1:
        task(0, units)
        return
    pieces = min(units, threads * CHUNKS_PER_THREAD)
    edges = [units * piece // pieces for piece in range(pieces + 1)]
    chunks = deque(pairwise(edges))

    def work() -> None:
        while True:
            try:
                start, stop = chunks.popleft()  # atomic: no two threads get one chunk
            except IndexError:
                return
            task(start, stop)

    pool = _executor(threads - 1)
    helpers = [pool.submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        chunks.clear()  # after an error or Ctrl-C nobody starts another chunk
        started = [helper for helper in helpers if not helper.cancel()]
        wait(started)  # and nobody still writes when this call returns
    for helper in started:
        helper.result()


def _executor(size: int) -> ThreadPoolExecutor:
    """The shared pool, replaced by a larger one when it is too small."""
    global _pool, _pool_size
    if _pool is None or _pool_size < size:
        _pool, _pool_size = ThreadPoolExecutor(size, thread_name_prefix="convref"), size
    return _pool


def _forget_pool() -> None:
    """A forked child has none of its parent's threads; it starts a pool of its own."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
