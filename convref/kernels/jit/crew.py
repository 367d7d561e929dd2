"""One shared crew of plain Python threads, for kernels that release the interpreter lock.

Each unit of work is computed by one thread, in an order that does not depend on which thread it
is, so results have the same bits for every number of threads.

Waking a sleeping thread can cost more than a small convolution takes: above all on virtual
machines, where it is often put on the processor of the thread that woke it and stays there. So a
helper that has finished listens for its bell for about a millisecond before it sleeps, and the
caller listens for the helpers; and while they work, the caller keeps to the processor that it is
on and the helpers keep to the others.
"""

import ctypes
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count, pairwise
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic

from convref.threads import num_threads

WORTH_A_THREAD = 250_000
"""Multiply-adds that take about as long as handing them to another thread."""
CHUNKS_PER_THREAD = 4
"""Enough for threads to finish together on a busy machine, few enough to cost nothing."""
PATIENCE = 0 if config.DISABLE_JIT else 2_000_000
"""How often a helper looks at its bell before it sleeps; not at all where that keeps the lock."""

Task = Callable[[int, int], object]
Outcome = BaseException | None


class Work:
    """A range of units in chunks, and how those who help with it fared."""

    def __init__(self, task: Task, units: int, pieces: int) -> None:
        self.task = task
        self.chunks = deque(pairwise(units * piece // pieces for piece in range(pieces + 1)))
        self.elsewhere: set[int] = set()
        self.outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self.finished = np.zeros(1, np.int64)

    def do(self) -> None:
        """Take chunks until none is left."""
        while True:
            try:
                start, stop = self.chunks.popleft()  # atomic: no two threads get one chunk
            except IndexError:
                return
            self.task(start, stop)

    def help(self) -> None:
        """Do it away from the caller's processor, and report."""
        outcome: Outcome = None
        try:
            keep_to(self.elsewhere)
            self.do()
        except BaseException as error:  # raised again where the work was given out
            outcome = error
        self.outcomes.put(outcome)
        self.finished[0] += 1


class Helper(Thread):
    """A thread that helps with one work after another for as long as the process lives."""

    def __init__(self) -> None:
        super().__init__(name="convref", daemon=True)
        self.queue: SimpleQueue[Work] = SimpleQueue()
        self.bell = np.zeros(1, np.int64)
        self.start()

    def give(self, work: Work) -> None:
        """Hand over work and ring the bell."""
        self.queue.put(work)
        self.bell[0] += 1

    def run(self) -> None:
        """Listen for the bell, then sleep until there is work."""
        for number in count(1):
            listen(self.bell, number, PATIENCE)
            self.queue.get().help()


_idle: deque[Helper] = deque()
_hired = 0


def share(task: Task, units: int, macs: int) -> None:
    """Run ``task(start, stop)`` over all of ``range(units)``, shared among the threads.

    ``macs`` is the number of multiply-adds in all: a few are not worth a second thread.
    """
    threads = min(num_threads(), units, 1 + macs // WORTH_A_THREAD)
    if threads <= 1:
        if units:
            task(0, units)
        return
    work = Work(task, units, pieces=min(units, threads * CHUNKS_PER_THREAD))
    allowed, here = places()
    work.elsewhere = allowed - here
    helpers = available(threads - 1)
    helping = 0
    try:
        for helper in helpers:
            helper.give(work)
            helping += 1
        keep_to(here)
        work.do()
        listen(work.finished, helping, PATIENCE)
    finally:
        work.chunks.clear()  # after an error or Ctrl-C nobody starts another chunk
        errors = [outcome for outcome in await_all(work.outcomes, helping) if outcome]
        keep_to(allowed)
        _idle.extend(helpers)
    if errors:
        raise errors[0]


def await_all(outcomes: SimpleQueue[Outcome], expected: int) -> list[Outcome]:
    """Wait for so many outcomes, through any number of interrupts: nobody may still be writing."""
    collected: list[Outcome] = []
    while len(collected) < expected:
        try:
            collected.append(outcomes.get())
        except KeyboardInterrupt as interrupt:
            expected += 1
            collected.append(interrupt)
    return collected


def available(wanted: int) -> list[Helper]:
    """Up to ``wanted`` helpers: idle ones, and new ones while the crew is smaller than that.

    Where other threads keep the crew busy there may be fewer, and the caller works with those.
    """
    global _hired
    helpers: list[Helper] = []
    while len(helpers) < wanted:
        try:
            helpers.append(_idle.pop())
        except IndexError:
            if _hired >= wanted:
                break
            _hired += 1
            helpers.append(Helper())
    return helpers


@njit(nogil=True, cache=True, fastmath=False)
def listen(bell, wanted, patience):
    """Look at the bell until it has rung as often as wanted, or patience ends."""
    for _ in range(patience):
        if _look(bell) >= wanted:
            break


@intrinsic
def _look(typing_context, bell):
    """``bell[0]``, read from memory each time."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(data, "acquire", 8)

    return types.int64(bell), generate


def places() -> tuple[set[int], set[int]]:
    """The processors this thread may use, and the one it runs on; nothing where no one tells."""
    if _processor is None:
        return set(), set()
    return os.sched_getaffinity(0), {_processor()}


def keep_to(processors: set[int]) -> None:
    """Let this thread run on these processors only; a sandbox that forbids it is no error."""
    with suppress(OSError):
        if processors and os.sched_getaffinity(0) != processors:
            os.sched_setaffinity(0, processors)


_processor: Callable[[], int] | None = None
if hasattr(os, "sched_setaffinity"):  # Linux
    _processor = getattr(ctypes.CDLL(None), "sched_getcpu", None)


def _dismiss() -> None:
    """A forked child has none of its parent's threads; it hires a crew of its own."""
    global _hired
    _idle.clear()
    _hired = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_dismiss)
