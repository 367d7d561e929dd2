"""The processes: one for each engine, under the protocol of worker.py, and those of peak.py."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.engines import THREAD_VARIABLES

Message = dict[str, Any]

SETTLE_SECONDS = 0.05
"""How long an engine sleeps before it is timed: what its own process left over may end."""

CLOSE_SECONDS = 2

ROOT = Path(__file__).parents[1]


def environment(threads: int) -> dict[str, str]:
    """The variables of a process on so many threads that can import ``benchmarks``."""
    paths = (str(ROOT), os.environ.get("PYTHONPATH"))
    found = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), **found}


def measured_rates(threads: int, dtype: str) -> Message:
    """What peak.py measures on so many threads, or ``{"error": ...}``."""
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.peak", str(threads), dtype],
        capture_output=True,
        text=True,
        env=environment(threads),
        process_group=0,  # Ctrl-C is the parent's to handle
    )
    if finished.returncode:
        lines = finished.stderr.splitlines() or [f"code {finished.returncode}"]
        return {"error": lines[-1]}
    answer: Message = json.loads(finished.stdout)
    return answer


class EngineProcess:
    """One engine in a process of its own, with a fixed number of threads.

    Between its turns it is stopped, where the system can: idle threads may go on looking for work,
    as those of OpenBLAS do for a tenth of a second, on processors that the next engine needs.
    """

    def __init__(self, engine: str, threads: int) -> None:
        self.engine = engine
        self.threads = threads
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", self.engine, str(self.threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(self.threads),
            process_group=0,  # Ctrl-C is the parent's to handle
        )

    def describe(self) -> Message:
        """The engine's version, or the error that its import raised."""
        return self._ask(do="describe")

    def check(self, problem: Message, reference: Path) -> Message:
        """How many elements differ from those in the file."""
        return self._ask(do="check", reference=str(reference), **problem)

    def warm(self, problem: Message) -> Message:
        """Make ready to time the problem."""
        return self._ask(do="warm", **problem)

    def time(self) -> Message:
        """Median seconds of one call over one round, and the CPUs that others held."""
        time.sleep(SETTLE_SECONDS)
        return self._ask(do="time")

    def rate(self, dtype: str) -> Message:
        """The machine's multiply-add rate on as many threads, and the CPUs that others held."""
        time.sleep(SETTLE_SECONDS)
        return self._ask(do="rate", dtype=dtype)

    def close(self) -> None:
        """End the process, by force if it is in the middle of something that takes long."""
        assert self._process.stdin is not None
        self._let(run=True)
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, **request: Any) -> Message:
        """The answer to a request; a process that died is started anew for the next one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._let(run=True)
        with suppress(BrokenPipeError):  # a process that has ended may have left its reason
            print(json.dumps(request), file=self._process.stdin, flush=True)
        if line := self._process.stdout.readline():
            self._let(run=False)
            answer: Message = json.loads(line)
            return answer
        code = self._process.wait()
        self._start()
        return {"error": f"the process ended with code {code}"}

    def _let(self, *, run: bool) -> None:
        """Let the process run, or stop it."""
        if hasattr(signal, "SIGSTOP"):
            self._process.send_signal(signal.SIGCONT if run else signal.SIGSTOP)
