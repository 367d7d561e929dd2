"""The process of one engine: ``python -m benchmarks.worker ENGINE THREADS``, started by process.py.

It reads one JSON object a line from its input and answers each with one line:

| request                                          | answer                                      |
| ------------------------------------------------ | ------------------------------------------- |
| ``{"do": "describe"}``                           | ``{"version": ...}``                        |
| ``{"do": "check", "reference": PATH, PROBLEM}``  | ``{"wrong": elements that differ}``         |
| ``{"do": "warm", PROBLEM}``                      | ``{"seconds": of the last call}``           |
| ``{"do": "time"}``                               | ``{"seconds": median of a call, "others"}`` |
| ``{"do": "rate", "dtype": ...}``                 | ``{"gflops": of multiply-adds, "others"}``  |

where PROBLEM is ``"layer": {...}, "operator": ..., "dtype": ..., "layout": ...`` and ``others`` the
CPUs that other processes held meanwhile (null where the system doesn't tell). An answer may instead
be ``{"unsupported": reason}`` or ``{"error": message}``; the worker then waits for the next
request.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contention import Contention
from benchmarks.engines import Engine, Unsupported, load
from benchmarks.operands import integer_operands, normal_operands
from benchmarks.peak import ROUNDS_BETWEEN, multiply_adds
from benchmarks.suite import Layer

ROUND_SECONDS = 0.05
WARM_CALLS = 5
AGREEMENT = 0.2

Message = dict[str, Any]


class Worker:
    """One engine, and the call that is timed at present."""

    def __init__(self, engine: Engine, threads: int) -> None:
        self.engine = engine
        self.threads = threads
        self.call: Callable[[], Any] | None = None

    def answer(self, request: Message) -> Message:
        """Do what the request asks for."""
        match request.pop("do"):
            case "describe":
                return {"version": self.engine.VERSION}
            case "check":
                return self.check(**request)
            case "warm":
                return self.warm(**request)
            case "time":
                return self.time()
            case "rate":
                return self.rate(**request)
            case unknown:
                return {"error": f"unknown request {unknown!r}"}

    def check(
        self, layer: Message, operator: str, dtype: str, layout: str, reference: str
    ) -> Message:
        """Compare the result on integers with the reference, element for element."""
        self.call = None  # frees the arrays and sessions of the problem before
        problem = Layer.of(layer)
        arrays = integer_operands(problem, operator, dtype, layout)
        result = np.asarray(self.engine.prepare(problem, operator, self.threads, arrays)())
        expected = np.load(reference, mmap_mode="r")
        if (result.shape, result.dtype) != (expected.shape, np.dtype(dtype)):
            return {"error": f"the result is {result.dtype} of shape {result.shape}"}
        return {"wrong": int(np.count_nonzero(result != expected))}

    def warm(self, layer: Message, operator: str, dtype: str, layout: str) -> Message:
        """Call until two times in a row agree, or a few times at most."""
        problem = Layer.of(layer)
        arrays = normal_operands(problem, dtype, layout)
        self.call = self.engine.prepare(problem, operator, self.threads, arrays)
        before = seconds = duration(self.call)
        for _ in range(WARM_CALLS - 1):
            before, seconds = seconds, duration(self.call)
            if abs(seconds - before) <= AGREEMENT * before:
                break
        return {"seconds": seconds}

    def time(self) -> Message:
        """Median duration of the calls that fill a round.

        A first call is not counted: another engine has just had the caches.
        """
        if self.call is None:
            return {"error": "nothing to time: send `warm` first"}
        duration(self.call)
        times: list[float] = []
        contention = Contention()
        while sum(times) < ROUND_SECONDS:
            times.append(duration(self.call))
        return {"seconds": statistics.median(times), "others": contention.cpus()}

    def rate(self, dtype: str) -> Message:
        """The machine's multiply-add rate as it is now."""
        contention = Contention()
        gflops = multiply_adds(self.threads, dtype, ROUNDS_BETWEEN)
        return {"gflops": gflops, "others": contention.cpus()}


def duration(call: Callable[[], Any]) -> float:
    """Seconds of one call; the result is freed after the clock has stopped."""
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    del result
    return seconds


def serve(name: str, threads: int) -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    try:
        worker = Worker(load(name), threads)
    except ImportError as error:
        print(json.dumps({"error": str(error)}), file=answers, flush=True)
        return
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Unsupported as reason:
            answer = {"unsupported": str(reason)}
        except Exception as error:  # whatever an engine raises is a row of the report
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
