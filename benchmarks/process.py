"""The parent's side of the protocol that worker.py describes."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from engines import THREAD_VARIABLES
from suite import Layer

Message = dict[str, Any]

SETTLE_SECONDS = 0.05
"""Thread pools spin for some milliseconds after their last task; the next engine waits for that."""


class EngineProcess:
    """One engine in a process of its own, with a fixed number of threads."""

    def __init__(self, engine: str, threads: int) -> None:
        self.engine = engine
        self.threads = threads
        self._start()

    def _start(self) -> None:
        script = Path(__file__).with_name("worker.py")
        environment = dict.fromkeys(THREAD_VARIABLES, str(self.threads))
        self._process = subprocess.Popen(
            [sys.executable, str(script), self.engine, str(self.threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def describe(self) -> Message:
        """The engine's version, or the error that its import raised."""
        return self._ask(do="describe")

    def check(self, layer: Layer, operator: str, dtype: str, reference: Path) -> Message:
        """How many elements differ from those in the file."""
        problem = {"layer": dataclasses.asdict(layer), "operator": operator, "dtype": dtype}
        return self._ask(do="check", reference=str(reference), **problem)

    def warm(self, layer: Layer, operator: str, dtype: str) -> Message:
        """Make ready to time the problem."""
        problem = {"layer": dataclasses.asdict(layer), "operator": operator, "dtype": dtype}
        return self._ask(do="warm", **problem)

    def time(self) -> Message:
        """Median seconds of one call over one round, and the CPUs that others held."""
        time.sleep(SETTLE_SECONDS)
        return self._ask(do="time")

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            self._process.communicate()

    def _ask(self, **request: Any) -> Message:
        """The answer to a request; a process that died is started anew for the next one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # a process that has ended may have left its reason
            print(json.dumps(request), file=self._process.stdin, flush=True)
        if line := self._process.stdout.readline():
            answer: Message = json.loads(line)
            return answer
        code = self._process.wait()
        self._start()
        return {"error": f"the process ended with code {code}"}
