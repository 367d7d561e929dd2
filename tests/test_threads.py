"""Sharing work: each unit once, errors out, nothing left running, forks and many callers."""

import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import refused

import convref
from convref import WordError
from convref import threads as pool
from convref.threads import num_threads, set_num_threads, share, using_threads

MANY = 10**9
"""Multiply-adds that are worth any number of threads."""


@pytest.fixture
def default_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the process-wide number of threads after the test."""
    monkeypatch.setattr(pool, "_default", pool._default)


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
from convref.threads import share, using_threads


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


@pytest.mark.skipif(not hasattr(pool.os, "fork"), reason="no fork on this system")
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


@pytest.mark.usefixtures("default_threads")
def test_the_nearest_choice_wins() -> None:
    set_num_threads(np.int64(3))
    assert num_threads() == 3
    with using_threads(5):
        with using_threads(None):
            assert num_threads() == 5
        with using_threads(2):
            assert num_threads() == 2
        assert num_threads() == 5
    assert num_threads() == 3


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one_thread(count: int) -> None:
    with refused(WordError, f"conv: `threads` (={count}) must be at least 1; use 1 or more"):
        convref.conv([[1]], [[[1]]], threads=count)
    message = f"set_num_threads: `count` (={count}) must be at least 1; use 1 or more"
    with refused(WordError, message):
        set_num_threads(count)


@pytest.mark.parametrize("count", [1.5, "two", True, (1, 2)])
@pytest.mark.usefixtures("default_threads")
def test_not_a_number_of_threads(backend: str, count: Any) -> None:
    """Checked by every back end, whether it uses threads or not."""
    with pytest.raises(WordError, match=r"^conv: `threads`"):
        convref.conv([[1]], [[[1]]], threads=count, backend=backend)
    with pytest.raises(WordError, match="`count`"):
        set_num_threads(count)
