"""Sharing work: each unit once, by as many as asked for; Ctrl-C, forks, exits, one processor."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from multiprocessing import get_all_start_methods
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convref
from convref.kernels.jit import crew
from convref.kernels.jit.crew import Crew, Kernel, _add, _look, listed, share
from convref.kernels.jit.flat import load, store, word
from convref.threads import using_threads

Array = np.ndarray[Any, Any]
MANY = 10**9
"""Multiply-adds that are worth any number of threads."""
ENOUGH = 10**10
"""How often a unit looks for the others of a meeting before it gives up."""
ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
"""The processors that the process may use, before anybody is hired."""


def count_units(words, a, b, out, start, stop):
    """Count how often each unit is done; each thread writes only what is its own."""
    for unit in range(start, stop):
        store(out, unit, load(out, unit) + load(a, 0))


def meet_all(words, a, b, out, start, stop):
    """Each unit waits for all that are to come; words: where they are counted, and how many."""
    arrived, parties = word(words, 0), load(words, 1)
    for unit in range(start, stop):
        _add(arrived, 0, 1)
        looks = 0
        while _look(arrived, 0) < parties and looks < ENOUGH:
            looks += 1
        if looks < ENOUGH:
            store(out, unit, load(out, unit) + load(a, 0))


def count_company(words, a, b, out, start, stop):
    """Write down how many threads were at work, this one too, while each unit was done."""
    inside = word(words, 0)
    for unit in range(start, stop):
        _add(inside, 0, 1)
        most = 0
        for _ in range(20_000_000):
            most = max(most, _look(inside, 0))
        _add(inside, 0, -1)
        store(out, unit, load(a, 0) * most)


def number_units(words, a, b, out, start, stop):
    """Number units in the order that they are done in."""
    done = word(words, 0)
    for unit in range(start, stop):
        store(out, unit, _add(done, 0, 1) * load(a, 0))


COUNT, MEET, COMPANY = Kernel(count_units), Kernel(meet_all), Kernel(count_company)
NUMBER = Kernel(number_units)


def counted(units: int, macs: int = MANY, kernel: Kernel = COUNT, dtype: str = "f8") -> Array:
    """How often each unit was done; none beyond the last one was."""
    one, out = np.ones(1, dtype), np.zeros(units + 1, dtype)
    share(kernel, listed(0), one, one, out, units, macs)
    assert out[units] == 0
    return out[:units]


def meet(units: int, others: int = 0, arrived: Array | None = None) -> None:
    """As many threads as units meet in the kernel, and so many others who come from elsewhere."""
    arrived = np.zeros(1, np.int64) if arrived is None else arrived
    one, out = np.ones(1), np.zeros(units)
    with using_threads(units):
        try:
            share(MEET, listed(arrived, units + others), one, one, out, units, MANY)
        finally:
            assert (out == 1).all()


def wait_for(counter: Array, number: int) -> None:
    """Until a number that other threads count up is so large."""
    end = time.monotonic() + 30
    while counter[0] < number:
        assert time.monotonic() < end
        time.sleep(0.001)


def fall_asleep(team: Crew) -> None:
    """Until every helper sleeps, and none is counted twice."""
    wait_for(team.board[crew.ASLEEP :], team.helpers)
    assert team.board[crew.ASLEEP] == team.helpers


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Nobody in a meeting has to wait for the compiler."""
    with using_threads(2):
        counted(2)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Crew:
    """A crew without helpers in place of the one that there is, and more patient."""
    monkeypatch.setattr(crew, "_crew", Crew())
    monkeypatch.setattr(crew, "PATIENCE", 10**8)
    return crew._crew


@pytest.fixture
def processors() -> Iterator[set[int]]:
    """The processors that the caller may use, and may use again afterwards."""
    if len(ALLOWED) < 2:
        pytest.skip("nowhere to go on this system")
    yield ALLOWED
    os.sched_setaffinity(0, ALLOWED)


@pytest.mark.parametrize(("helping", "order"), [(False, [0, 1, 2, 3, 4]), (True, [3, 4, 1, 2, 0])])
def test_a_caller_begins_with_the_first_chunk_and_a_helper_with_the_last(
    helping: bool, order: list[int]
) -> None:
    """Five units in three chunks, of which one, two and two."""
    board, done = np.zeros_like(Crew().board), np.zeros(1, np.int64)
    words, one, out = listed(done), np.ones(1), np.ones(5)
    places = NUMBER[out.dtype], *map(id, (words, one, one, out))
    crew.post(board, 1, *places, 3, 5, 1)
    crew.take_chunks(board, helping)
    assert out.tolist() == [order.index(unit) for unit in range(5)]


@pytest.mark.parametrize("asleep", [-1, 0])
def test_work_leaves_the_board_to_the_next_caller(asleep: int) -> None:
    """Also when a helper was rung for who stayed awake, and so counts as one too few."""
    board, out = np.zeros_like(Crew().board), np.zeros(5)
    board[crew.ASLEEP] = asleep
    words, one = listed(0), np.ones(1)
    for turn in (1, 2):
        places = COUNT[out.dtype], *map(id, (words, one, one, out))
        assert crew.work(board, turn, *places, 3, 5, 1) == 0
        assert (out == turn).all()
        assert board[[crew.OPEN, crew.TAKEN, crew.TURN]].tolist() == [0, 0, 0]


def test_work_is_done_alone_where_another_has_taken_the_board() -> None:
    board, out = np.zeros_like(Crew().board), np.zeros(5)
    words, one = listed(0), np.ones(1)
    places = COUNT[out.dtype], *map(id, (words, one, one, out))
    assert crew.post(board, 1, *places, 3, 5, 1) == 0
    taken = board.copy()
    assert crew.work(board, 2, *places, 3, 5, 1) == -1
    assert (out == 1).all()
    np.testing.assert_array_equal(board, taken)


@given(units=st.integers(0, 200), threads=st.integers(1, 6))
def test_each_unit_is_done_once(units: int, threads: int) -> None:
    with using_threads(threads):
        np.testing.assert_array_equal(counted(units), 1)


def test_each_unit_is_done_once_however_quickly_calls_follow_each_other() -> None:
    """With fewer units, threads and chunks from call to call, that late helpers may mix up."""
    one, outs = np.ones(1), [np.zeros(units) for units in (37, 2, 16, 3)]
    for _ in range(1000):
        for out, threads in zip(outs, (4, 2, 3, 3), strict=True):
            with using_threads(threads):
                share(COUNT, listed(0), one, one, out, len(out), MANY)
    assert all((out == 1000).all() for out in outs)


@pytest.mark.parametrize("threads", [2, 4])
def test_as_many_threads_as_asked_for_work_at_once(fresh: Crew, threads: int) -> None:
    """At first, at once again, and after helpers have gone to sleep."""
    for _ in range(8):
        meet(threads)
        meet(threads)
        fall_asleep(fresh)
    assert fresh.helpers == threads - 1


def test_no_more_threads_than_asked_for_work_at_once(fresh: Crew) -> None:
    """Though more helpers are watching."""
    inside, one, company = np.zeros(1, np.int64), np.ones(1), np.zeros(9)
    for threads in (2, 3, 2):
        meet(6)
        with using_threads(threads):
            share(COMPANY, listed(inside), one, one, company, 9, MANY)
        assert 1 <= company.min() <= company.max() <= threads
    assert fresh.helpers == 5


@pytest.mark.parametrize(
    ("units", "threads", "macs", "helpers"),
    [
        (40, 4, crew.WORTH_A_THREAD - 1, 0),
        (40, 4, 2 * crew.WORTH_A_THREAD, 2),
        (40, 1, MANY, 0),
        (1, 4, MANY, 0),
        (0, 4, MANY, 0),
        (3, 4, MANY, 2),
    ],
)
def test_nobody_is_hired_for_nothing(
    fresh: Crew, units: int, threads: int, macs: int, helpers: int
) -> None:
    with using_threads(threads):
        assert (counted(units, macs) == 1).all()
    assert fresh.helpers == helpers


def test_a_kernel_is_compiled_once_for_each_dtype() -> None:
    kernel = Kernel(count_units)
    with ThreadPoolExecutor(4) as callers:
        for call in [callers.submit(counted, 40, kernel=kernel) for _ in range(4)]:
            assert (call.result(timeout=60) == 1).all()
    assert (counted(40, kernel=kernel, dtype="f4") == 1).all()
    made = dict(kernel.compiled)
    assert (counted(40, kernel=kernel) == 1).all()
    assert kernel.compiled == made
    assert set(made) == {np.dtype("f4"), np.dtype("f8")}
    assert kernel[np.dtype("f4")] != kernel[np.dtype("f8")]


@pytest.mark.uncompiled
def test_without_jit_the_caller_calls_the_function(
    monkeypatch: pytest.MonkeyPatch, fresh: Crew
) -> None:
    monkeypatch.setattr(crew.config, "DISABLE_JIT", 1)
    calls: list[tuple[Any, ...]] = []
    kernel, words, one = Kernel(lambda *args: calls.append(args)), listed(3, 4), np.ones(1)
    with using_threads(4):
        share(kernel, words, one, one, one, 40, MANY)
        assert (counted(40) == 1).all()
    assert calls == [((3, 4), one, one, one, 0, 40)]
    assert (fresh.helpers, kernel.compiled) == (0, {})


def test_a_caller_works_alone_while_another_keeps_the_crew_busy(fresh: Crew) -> None:
    arrived = np.zeros(1, np.int64)
    with ThreadPoolExecutor(1) as callers:
        busy = callers.submit(meet, 2, others=1, arrived=arrived)
        wait_for(arrived, 2)
        with using_threads(3):
            assert (counted(40) == 1).all()
        arrived += 1
        busy.result(timeout=60)


def test_callers_who_hire_at_once_hire_no_more_than_one_would(fresh: Crew) -> None:
    """And each of those they hire is counted when it falls asleep."""

    def call() -> None:
        with using_threads(4):
            assert (counted(40) == 1).all()

    with ThreadPoolExecutor(8) as callers:
        for done in [callers.submit(call) for _ in range(80)]:
            done.result(timeout=60)
    assert fresh.helpers == 3
    fall_asleep(fresh)


def test_many_python_threads_at_once(rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 8, 17, 17)).astype(np.float32)
    w = rng.standard_normal((16, 8, 3, 3)).astype(np.float32)
    expected = convref.conv(x, w, threads=1, backend="numba")
    with ThreadPoolExecutor(8) as callers:
        conv = partial(callers.submit, convref.conv, x, w, backend="numba")
        for call in [conv(threads=1 + n % 4) for n in range(80)]:
            np.testing.assert_array_equal(call.result(timeout=60), expected)
    fall_asleep(crew._crew)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, which background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_comes_out_when_everybody_has_finished(fresh: Crew) -> None:
    """Ctrl-C while all threads are in the kernel, which ends only after that."""
    arrived = np.zeros(1, np.int64)

    def interrupt() -> None:
        wait_for(arrived, 3)
        signal.raise_signal(signal.SIGINT)
        arrived[0] += 1

    with ThreadPoolExecutor(1) as others:
        other = others.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            meet(3, others=1, arrived=arrived)
        other.result(timeout=60)
    meet(3)
    assert fresh.helpers == 2


def test_an_interrupt_at_any_step_costs_no_helper(fresh: Crew) -> None:
    """When Python looks for signals: functions begin, or built-in ones have returned."""
    compiled = [f.py_func.__code__ for f in vars(crew).values() if hasattr(f, "py_func")]
    met: list[int] = []

    def strike(frame: FrameType | None, event: str, _: object) -> None:
        nonlocal left
        if event in ("call", "c_return") and frame and frame.f_code not in compiled:
            while frame and frame.f_code.co_filename != crew.__file__:
                frame = frame.f_back
            left -= frame is not None
        if left == 0:
            raise KeyboardInterrupt

    def meet_again() -> None:
        meet(3)
        met.append(step)

    meet(3)
    for step in count(1):
        left = step
        wait_for(fresh.board[crew.ASLEEP :], fresh.helpers)
        sys.setprofile(strike)
        try:
            with using_threads(3):
                counted(12)
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
        again = threading.Thread(target=meet_again, daemon=True)
        again.start()
        again.join(timeout=8)
        assert met[-1:] == [step]
    assert step > 9


def test_a_helper_who_falls_asleep_while_the_caller_is_in_python_is_woken(
    fresh: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not hand over the interpreter from one call to the next."""
    meet(2)
    fall_asleep(fresh)
    monkeypatch.setattr(crew, "PATIENCE", 1000)
    monkeypatch.setattr(crew, "NAP", 10**6, raising=False)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(30)
    try:
        for _ in range(20):
            meet(2)
            end = time.perf_counter() + 0.002
            while time.perf_counter() < end:
                pass
    finally:
        sys.setswitchinterval(interval)


def test_no_helper_falls_asleep_over_work(fresh: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even before a caller who is slow to begin."""

    def begin(board: Array, turn: int, *places: int) -> int:
        asleep: int = crew.post(board, turn, *places)
        end = time.monotonic() + 5
        while fresh.board[crew.ASLEEP] + fresh.board[crew.INSIDE] < 2 and time.monotonic() < end:
            time.sleep(0.001)
        if asleep == 0:
            crew.lead(board, turn)
        return asleep

    monkeypatch.setattr(crew, "work", begin)
    for _ in range(3):
        meet(3)


def test_without_any_more_threads_the_caller_works_alone(
    fresh: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start() -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(crew, "Thread", lambda **_: SimpleNamespace(start=start))
    with using_threads(3):
        assert (counted(40) == 1).all()
    monkeypatch.undo()
    monkeypatch.setattr(crew, "_crew", fresh)
    meet(3)


def helpers_may_use(before: set[threading.Thread]) -> list[set[int]]:
    """The processors of each helper that was hired since."""
    hired = [thread for thread in threading.enumerate() if thread not in before]
    return [os.sched_getaffinity(helper.native_id or 0) for helper in hired]


def test_a_helper_keeps_off_the_caller_who_woke_it(fresh: Crew, processors: set[int]) -> None:
    """And does not move the caller."""
    before = set(threading.enumerate())
    for _ in range(3):
        meet(2)
        fall_asleep(fresh)
    meet(2)
    assert helpers_may_use(before) == [processors - {fresh.caller}]
    assert os.sched_getaffinity(0) == processors


def test_a_helper_keeps_off_the_caller_who_hired_it(
    fresh: Crew, processors: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_processor", lambda: max(processors))
    before = set(threading.enumerate())
    meet(2)
    assert helpers_may_use(before) == [processors - {max(processors)}]


def test_a_helper_does_not_leave_the_one_processor(fresh: Crew, processors: set[int]) -> None:
    """That the process is confined to after the helper was hired."""
    before = set(threading.enumerate())
    meet(2)
    for processor in processors:
        fall_asleep(fresh)
        os.sched_setaffinity(0, {processor})
        meet(2)
        assert helpers_may_use(before) == [{processor}]


def test_a_sandbox_that_forbids_moving_is_no_error(
    fresh: Crew, processors: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError("not permitted")

    with monkeypatch.context() as sandbox:
        sandbox.setattr(os, "sched_setaffinity", forbidden)
        for _ in range(3):
            meet(3)
            fall_asleep(fresh)


BEGIN = """
import os, signal, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import numpy as np
import convref
from convref.kernels.jit import crew

signal.signal(signal.SIGINT, signal.default_int_handler)  # which background jobs ignore

x, w = np.ones((4, 16, 40, 40), np.float32), np.ones((16, 16, 3, 3), np.float32)


def conv():
    assert (convref.conv(x, w, threads=2, backend="numba") == 144).all()
    assert [thread.name for thread in threading.enumerate()].count("convref") == 1


def fall_asleep():
    while not crew._crew.board[crew.ASLEEP]:
        time.sleep(0.001)


def others_call():
    def call():
        while True:
            convref.conv(x, w, threads=2, backend="numba")
    threading.Thread(target=call, daemon=True).start()
    while not crew._crew.board[crew.OPEN]:
        pass
"""
FORK = """
child = os.fork()
conv()
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
ENDINGS = {
    "helpers watch": "crew.PATIENCE = 10**15; conv()",
    "helpers sleep": "conv(); fall_asleep()",
    "helpers were woken": "conv(); fall_asleep(); conv()",
    "helpers work": "conv(); others_call()",
    "fork while helpers watch": "crew.PATIENCE = 10**15; conv()" + FORK,
    "fork while helpers sleep": "conv(); fall_asleep()" + FORK,
    "fork while helpers work": "conv(); others_call()" + FORK,
    "one processor": """
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
conv(); fall_asleep(); conv()
""",
    "interrupt": """
def interrupt():
    while not crew._crew.board[crew.OPEN]:
        pass
    signal.raise_signal(signal.SIGINT)


conv()
threading.Thread(target=interrupt).start()
x = np.ones((16, 16, 200, 200), np.float32)
try:
    while True:
        conv()
except KeyboardInterrupt:
    conv()
else:
    sys.exit(1)
""",
}
for method in get_all_start_methods():
    ENDINGS[method] = f"""
conv()
with ProcessPoolExecutor(1, get_context("{method}")) as pool:
    assert (pool.submit(convref.conv, x, w, threads=2, backend="numba").result(60) == 144).all()
conv()
"""


NO_HELPER = """
crew.Thread = lambda **_: threading.Thread(target=int)
convref.conv(x, w, threads=2, backend="numba")
assert crew.watch.signatures
"""


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_ends_well(ending: str) -> None:
    """Whatever its helpers do then, and whatever became of them before."""
    for name in ("fork", "sched_getaffinity"):
        if f"os.{name}(" in ENDINGS[ending] and not hasattr(os, name):
            pytest.skip(f"no {name} on this system")
    ends_well(ENDINGS[ending])


def test_no_fork_finds_a_helper_compiling() -> None:
    """For the compiler would stay locked in the child."""
    ends_well(NO_HELPER)


def ends_well(script: str) -> None:
    """No error, and not a word."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BEGIN + script]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
