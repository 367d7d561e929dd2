"""Many threads, processes and interrupts at once: right results, no deadlock, a clean exit.

What the crew of threads does at each step is tested beside it, in test_jit_crew.py.
"""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from random import Random
from typing import Any

import numpy as np
import pytest

import convref
from convref import threads
from convref.kernels.jit import crew

Array = np.ndarray[Any, Any]
CALLERS = 16
WORDS = {"stride": (1, 2), "padding": "same", "groups": 2}


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share even small work, and restore the number of threads."""
    monkeypatch.setattr(crew, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(threads, "_default", threads._default)


def operators(seed: int) -> dict[str, Callable[..., Array]]:
    """Every operator on operands of its own."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 6, 17, 15)).astype(np.float32)
    w = rng.standard_normal((8, 3, 3, 3)).astype(np.float32)
    each = rng.standard_normal((6, 1, 3, 3)).astype(np.float32)
    y = convref.conv(x, w, **WORDS)
    return {
        "conv": lambda **how: convref.conv(x, w, **WORDS, **how),
        "input_grad": lambda **how: convref.conv_input_grad(y, w, (17, 15), **WORDS, **how),
        "weight_grad": lambda **how: convref.conv_weight_grad(x, y, (3, 3), **WORDS, **how),
        "depthwise": lambda **how: convref.depthwise_conv(x, each, padding=1, **how),
        "transposed": lambda **how: convref.conv_transpose(y, w, **WORDS, **how),
    }


def test_sixteen_threads_at_once_nested_in_each_other() -> None:
    """Each a caller of all operators, in pools of its own, while `set_num_threads` is called."""
    made = [operators(seed) for seed in range(CALLERS)]
    wanted = [{name: f(threads=1) for name, f in each.items()} for each in made]
    finished = threading.Event()

    def change() -> None:
        for number in count():
            convref.set_num_threads(1 + number % 7)
            if finished.wait(0.001):
                return

    def call(seed: int) -> None:
        random = Random(seed)
        for _ in range(6):
            name = random.choice(sorted(made[seed]))
            how = random.choice(({}, {"threads": random.randint(1, 5)}))
            np.testing.assert_array_equal(made[seed][name](**how), wanted[seed][name])

    def nested(seed: int) -> None:
        with ThreadPoolExecutor(2) as inner:
            for done in [inner.submit(call, seed) for _ in range(2)]:
                done.result(timeout=120)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        with ThreadPoolExecutor(CALLERS) as callers:
            for done in [callers.submit(nested, seed) for seed in range(CALLERS)]:
                done.result(timeout=120)
    finally:
        finished.set()
        changer.join()


def test_choices_of_one_thread_do_not_reach_another() -> None:
    """A back end that is chosen by context, with others chosen meanwhile."""
    meeting = threading.Barrier(4)
    x, w = [[1, 2, 3]], [[[1, 1]]]

    def call(name: str) -> str:
        from convref.backends import backend_name

        with convref.using_backend(name):
            meeting.wait(30)
            assert convref.conv(x, w).tolist() == [[3, 5]]
            meeting.wait(30)
            return backend_name()

    names = convref.backends()
    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(call, names)) == list(names)


BEGIN = """
import os, signal, sys, threading, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
import numpy as np
import convref

x, w = np.ones((4, 16, 40, 40), np.float32), np.ones((16, 16, 3, 3), np.float32)
backend = "numba"


def conv(many=None):
    y = convref.conv(x if many is None else many, w, threads=2, backend=backend)
    assert (y == 144).all()


def for_ever():
    while True:
        conv()


def call_in_threads(count, daemon=True):
    for _ in range(count):
        threading.Thread(target=for_ever, daemon=daemon).start()
    time.sleep(0.2)


def work(_):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: conv(), range(8)))
    return os.getpid()


conv()
"""
FORKS = """
call_in_threads(6)
for _ in range(5):
    child = os.fork()
    if not child:
        conv()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    conv()
"""
POOL = """
if __name__ == "__main__":
    call_in_threads(2)
    with ProcessPoolExecutor(2, get_context("{method}")) as pool:
        assert os.getpid() not in set(pool.map(work, range(4), timeout=100))
    conv()
"""
ENDINGS = {
    "daemons still calling": "call_in_threads(8)",
    "daemons still calling, after an exception": """
call_in_threads(8)
try:
    1 / 0
except ZeroDivisionError:
    pass
""",
    "sys.exit while others call": "call_in_threads(8)\nsys.exit(0)",
    "an executor that nobody shuts down": """
pool = ThreadPoolExecutor(8)
for _ in range(40):
    pool.submit(conv)
""",
    "forks among callers": FORKS,
    "fork, threads in workers": POOL.format(method="fork"),
    "forkserver, threads in workers": POOL.format(method="forkserver"),
    "spawn, threads in workers": POOL.format(method="spawn"),
}


def run(script: str, tmp_path: Any, timeout: int = 240) -> tuple[int, str, str]:
    """A script in a file, as processes that are spawned need it."""
    path = tmp_path / "script.py"
    path.write_text(BEGIN + textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(path)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    "ending",
    [pytest.param(ending, marks=[pytest.mark.slow] * ("workers" in ending)) for ending in ENDINGS],
)
def test_a_process_of_many_callers_ends_well(ending: str, tmp_path: Any) -> None:
    """Without an error, a word, or a wait for ever."""
    assert run(ENDINGS[ending], tmp_path) == (0, "", "")


INTERRUPTS = """
backend = "{backend}"
signal.signal(signal.SIGINT, signal.default_int_handler)  # which background jobs ignore
large = np.ones({shape}, np.float32)
conv(large)
start = time.perf_counter()
conv(large)
once = time.perf_counter() - start
for step in range(10):
    struck = []

    def strike():
        struck.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(once * (0.5 + step / 4), strike)
    try:
        timer.start()
        while True:
            conv(large)
    except KeyboardInterrupt:
        late = time.perf_counter() - struck[0]
    timer.join()
    assert late < 20 * once + 2, (late, once)
    conv()
print("ten times")
"""
SHAPES = {"numba": (4, 16, 200, 200), "numpy": (2, 16, 40, 40), "naive": (1, 16, 3, 4)}


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts as POSIX has them")
@pytest.mark.parametrize(
    "backend",
    ["numba", *(pytest.param(name, marks=pytest.mark.slow) for name in ("numpy", "naive"))],
)
def test_an_interrupt_comes_out_soon_and_the_next_call_is_right(
    backend: str, tmp_path: Any
) -> None:
    """Ctrl-C, ten times, anywhere in a row of calls; it waits for at most the call it is in."""
    script = INTERRUPTS.format(backend=backend, shape=SHAPES[backend])
    if backend == "naive":
        script = "x = x[:1, :, :3, :4]\n" + script
    code, told, complaints = run(script, tmp_path)
    assert (code, told) == (0, "ten times\n"), complaints
