"""One row of the benchmark: check every engine on one problem, then time them in turn."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from contention import wait_for_quiet
from operands import integer_operands
from process import EngineProcess, Message
from suite import Layer
from through_convref import reference


@dataclass
class Row:
    """What the engines did on one layer, operator and number of threads."""

    layer: Layer
    operator: str
    threads: int
    dtype: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    """By engine: the median call of each round. Round by round the engines took turns."""
    others: list[float] = field(default_factory=list)
    """For every round of every engine: the CPUs that other processes held."""
    unsupported: dict[str, str] = field(default_factory=dict)
    """By engine: what it doesn't offer."""
    failures: dict[str, str] = field(default_factory=dict)
    """By engine: how its result was wrong, or why there was none. It has no times then."""

    def gflops(self, engine: str) -> float:
        """Speed of the engine in its median round."""
        return self.layer.flops / statistics.median(self.seconds[engine]) / 1e9

    @property
    def contention(self) -> float | None:
        """The CPUs that other processes held, on average over the rounds."""
        return statistics.fmean(self.others) if self.others else None

    def ratio(self, first: str, other: str) -> float | None:
        """How many times as fast the first engine is: the median of the rounds' ratios."""
        if first not in self.seconds or other not in self.seconds:
            return None
        pairs = zip(self.seconds[first], self.seconds[other], strict=True)
        return statistics.median(theirs / ours for ours, theirs in pairs)

    def to_json(self) -> dict[str, Any]:
        """The row as plain values, the layer by its label."""
        plain = {**asdict(self), "layer": self.layer.label, "flops": self.layer.flops}
        return {**plain, "families": self.layer.families}


class Problem:
    """A layer, an operator and a dtype, with the expected result in a file for the workers."""

    def __init__(self, layer: Layer, operator: str, dtype: str, folder: Path) -> None:
        self.layer = layer
        self.operator = operator
        self.dtype = dtype
        self.folder = folder

    @cached_property
    def expected(self) -> Path:
        """The float64 reference on integers, computed when first asked for."""
        path = self.folder / "expected.npy"
        arrays = integer_operands(self.layer, self.operator, self.dtype)
        np.save(path, reference(self.layer, self.operator, arrays))
        return path

    def measure(self, processes: Sequence[EngineProcess], rounds: int, patience: float) -> Row:
        """Check all, then warm all up, then time the good ones in turn, round after round.

        Before each round, wait for the machine to be quiet, so many seconds at most.
        """
        row = Row(self.layer, self.operator, processes[0].threads, self.dtype)
        good = [process for process in processes if self._check(process, row)]
        good = [process for process in good if self._warm(process, row)]
        for _ in range(rounds):
            wait_for_quiet(patience)
            for process in good:
                if process.engine not in row.failures:
                    self._time(process, row)
        return row

    def _check(self, process: EngineProcess, row: Row) -> bool:
        answer = process.check(self.layer, self.operator, self.dtype, self.expected)
        if wrong := answer.get("wrong"):
            answer = {"error": f"{wrong} elements differ from the reference"}
        return self._accept(answer, process.engine, row)

    def _warm(self, process: EngineProcess, row: Row) -> bool:
        answer = process.warm(self.layer, self.operator, self.dtype)
        return self._accept(answer, process.engine, row)

    def _time(self, process: EngineProcess, row: Row) -> None:
        answer = process.time()
        if self._accept(answer, process.engine, row):
            row.seconds.setdefault(process.engine, []).append(answer["seconds"])
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
