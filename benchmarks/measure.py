"""One row of the benchmark: check every engine on one problem, then time them in turn."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.contention import wait_for_quiet
from benchmarks.operands import integer_operands
from benchmarks.process import EngineProcess, Message
from benchmarks.results import Row
from benchmarks.suite import Layer
from benchmarks.through_convref import reference


class Problem:
    """A layer and what to do with it, with the expected result in a file for the workers."""

    def __init__(self, layer: Layer, operator: str, dtype: str, layout: str, folder: Path) -> None:
        self.layer = layer
        self.operator = operator
        self.dtype = dtype
        self.folder = folder
        self.message: Message = {
            "layer": dataclasses.asdict(layer),
            "operator": operator,
            "dtype": dtype,
            "layout": layout,
        }

    @cached_property
    def expected(self) -> Path:
        """The float64 reference on integers, computed when first asked for."""
        path = self.folder / "expected.npy"
        arrays = integer_operands(self.layer, self.operator, self.dtype, "channels_first")
        np.save(path, reference(self.layer, self.operator, arrays))
        return path

    def measure(self, processes: Sequence[EngineProcess], rounds: int, patience: float) -> Row:
        """Check all, then warm all up, then time the good ones in turn, round after round.

        Before each round, wait for the machine to be quiet, so many seconds at most.
        """
        row = Row.of(self.layer, self.operator, processes[0].threads, self.dtype)
        good = [process for process in processes if self._check(process, row)]
        good = [process for process in good if self._warm(process, row)]
        for _ in range(rounds):
            wait_for_quiet(patience)
            for process in good:
                if process.engine not in row.failures:
                    self._time(process, row)
            if row.large_dense:
                self._rate(processes[0], row)
        return row

    def _check(self, process: EngineProcess, row: Row) -> bool:
        answer = process.check(self.message, self.expected)
        if wrong := answer.get("wrong"):
            answer = {"error": f"{wrong} elements differ from the reference"}
        return self._accept(answer, process.engine, row)

    def _warm(self, process: EngineProcess, row: Row) -> bool:
        answer = process.warm(self.message)
        return self._accept(answer, process.engine, row)

    def _time(self, process: EngineProcess, row: Row) -> None:
        answer = process.time()
        if self._accept(answer, process.engine, row):
            row.seconds.setdefault(process.engine, []).append(answer["seconds"])
            self._note_others(answer, row)

    def _rate(self, process: EngineProcess, row: Row) -> None:
        answer = process.rate(row.dtype)
        if "gflops" in answer:  # there is none where nothing is compiled
            row.rates.append(answer["gflops"])
            self._note_others(answer, row)

    def _note_others(self, answer: Message, row: Row) -> None:
        if answer["others"] is not None:
            row.others.append(answer["others"])

    def _accept(self, answer: Message, engine: str, row: Row) -> bool:
        """Whether the engine did what it was asked for; if not, the row says why."""
        if "unsupported" in answer:
            row.unsupported[engine] = answer["unsupported"]
        elif "error" in answer:
            row.failures[engine] = answer["error"]
            row.seconds.pop(engine, None)
        return not {"unsupported", "error"} & answer.keys()
