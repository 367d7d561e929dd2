"""Sharing work: each unit once, errors out, nothing left running, forks and many callers."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convref
from convref.kernels.jit.crew import share
from convref.threads import using_threads

MANY = 10**9
"""Multiply-adds that are worth any number of threads."""


@given(units=st.integers(0, 200), threads=st.integers(1, 9))
def test_each_unit_is_done_once(units: int, threads: int) -> None:
    done: list[int] = []
    with using_threads(threads):
        share(lambda start, stop: done.extend(range(start, stop)), units, MANY)
    assert Counter(done) == Counter(range(units))


def test_each_unit_is_done_once_however_threads_alternate() -> None:
    """With the interpreter changing threads at every opportunity."""
    done: list[int] = []

    def task(start: int, stop: int) -> None:
        done.extend(range(start, stop))
        time.sleep(0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-7)
    try:
        for _ in range(200):
            done.clear()
            with using_threads(8):
                share(task, 32, MANY)
            assert sorted(done) == list(range(32))
    finally:
        sys.setswitchinterval(interval)


def test_as_many_threads_as_asked_for_work_at_once() -> None:
    """A barrier that only four threads together can pass."""
    barrier = threading.Barrier(4, timeout=30)

    waited: list[int] = []

    def task(start: int, stop: int) -> None:
        if len(waited) < 4:
            waited.append(start)
            barrier.wait()

    with using_threads(4):
        share(task, 4, MANY)
    assert len(waited) == 4


def test_a_little_work_stays_in_the_calling_thread() -> None:
    calls: list[tuple[int, int, threading.Thread]] = []
    with using_threads(4):
        share(lambda *units: calls.append((*units, threading.current_thread())), 40, 100)
    assert calls == [(0, 40, threading.current_thread())]


@pytest.mark.parametrize("bad_unit", [0, 5, 39])
def test_an_error_comes_out_and_nobody_is_still_running(bad_unit: int) -> None:
    running: set[int] = set()

    def task(start: int, stop: int) -> None:
        running.add(start)
        try:
            if start <= bad_unit < stop:
                raise RuntimeError("unit on fire")
            time.sleep(0.002)
        finally:
            running.discard(start)

    with using_threads(4), pytest.raises(RuntimeError, match="unit on fire"):
        share(task, 40, MANY)
    assert not running


def test_shares_within_shares_do_not_block() -> None:
    done: list[int] = []

    def outer(start: int, stop: int) -> None:
        with using_threads(3):
            share(lambda lo, hi: done.extend(range(lo, hi)), 10, MANY)

    with using_threads(4):
        share(outer, 8, MANY)
    assert set(Counter(done)) == set(range(10))


def test_many_python_threads_at_once(rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 8, 17, 17)).astype(np.float32)
    w = rng.standard_normal((16, 8, 3, 3)).astype(np.float32)
    expected = convref.conv(x, w, threads=1)
    with ThreadPoolExecutor(8) as callers:
        calls = [callers.submit(convref.conv, x, w, threads=1 + n % 4) for n in range(40)]
        for call in calls:
            np.testing.assert_array_equal(call.result(timeout=60), expected)


FORK = """
import os
import threading
import numpy as np
import convref
from convref.kernels.jit.crew import share
from convref.threads import using_threads


def meet(parties=4):
    barrier = threading.Barrier(parties, timeout=30)
    with using_threads(parties):
        share(lambda start, stop: barrier.wait(), parties, 10**9)


x, w = np.ones((2, 8, 9, 9), np.float32), np.ones((8, 8, 3, 3), np.float32)
meet()
convref.conv(x, w, threads=4, backend="numba")
child = os.fork()
y = convref.conv(x, w, threads=4, backend="numba")
assert (y == 72).all()
meet()
if child == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_computes_too() -> None:
    """With as many threads as it asks for, though its parent's do not exist in it."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (run.stdout.strip(), run.returncode) == ("7", 0), run.stderr


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="nobody tells on this system")
def test_the_caller_may_use_the_same_processors_afterwards() -> None:
    allowed = os.sched_getaffinity(0)
    seen: list[set[int]] = []

    def task(start: int, stop: int) -> None:
        seen.append(os.sched_getaffinity(0))
        raise RuntimeError("unit on fire")

    with using_threads(2), pytest.raises(RuntimeError):
        share(task, 8, MANY)
    assert os.sched_getaffinity(0) == allowed
    assert all(processors <= allowed for processors in seen)


def test_an_interrupt_leaves_nobody_writing() -> None:
    """Ctrl-C in the caller while helpers are at work: it comes out when they have finished."""
    started, running = threading.Event(), set[int]()

    def task(start: int, stop: int) -> None:
        running.add(start)
        if threading.current_thread() is threading.main_thread():
            started.wait(timeout=30)
            running.discard(start)
            raise KeyboardInterrupt
        started.set()
        time.sleep(0.05)
        running.discard(start)

    with using_threads(3), pytest.raises(KeyboardInterrupt):
        share(task, 30, MANY)
    assert not running


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="nobody moves on this system")
def test_a_sandbox_that_forbids_moving_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError("not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    done: list[int] = []
    with using_threads(3):
        share(lambda start, stop: done.extend(range(start, stop)), 20, MANY)
    assert sorted(done) == list(range(20))
