"""What a run has measured: kept in memory, written as JSON, read again by reports and plots."""

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contention import BUSY
from benchmarks.suite import Layer

LARGE_FLOPS = 100e6
"""A layer of more operations is large: work, not overhead, decides how long it takes."""

WANTED_SHARE = 0.8
"""Of the multiply-add rate, on large dense layers."""


@dataclass
class Row:
    """What the engines did on one layer, operator and number of threads."""

    layer: str
    """Model and name."""
    families: tuple[str, ...]
    operator: str
    threads: int
    dtype: str
    flops: int
    """Two for every multiply-add, those with padding included."""
    bytes: int
    """Both operands read once and the result written once: no engine moves less."""
    seconds: dict[str, list[float]] = field(default_factory=dict)
    """By engine: the median call of each round. Round by round the engines took turns."""
    rates: list[float] = field(default_factory=list)
    """Of a large dense layer, forward: the multiply-add rate in each round, after the engines."""
    others: list[float] = field(default_factory=list)
    """For every round of every engine, and every rate: the CPUs that other processes held."""
    unsupported: dict[str, str] = field(default_factory=dict)
    """By engine: what it doesn't offer."""
    failures: dict[str, str] = field(default_factory=dict)
    """By engine: how its result was wrong, or why there was none. It has no times then."""

    @classmethod
    def of(cls, layer: Layer, operator: str, threads: int, dtype: str) -> "Row":
        """A row without times as yet."""
        moved = layer.elements * int(dtype.removeprefix("float")) // 8
        return cls(layer.label, layer.families, operator, threads, dtype, layer.flops, moved)

    def gflops(self, engine: str) -> float | None:
        """Speed of the engine in its median round."""
        if engine not in self.seconds:
            return None
        return self.flops / statistics.median(self.seconds[engine]) / 1e9

    @property
    def large_dense(self) -> bool:
        """Whether its time is that of multiply-adds, so that their rate is what to compare with."""
        forward = self.operator == "forward"
        return forward and "dense" in self.families and self.flops > LARGE_FLOPS

    def share(self, engine: str) -> float | None:
        """What part of the multiply-add rate the engine reaches: the median of the rounds' parts.

        A processor's clock changes with its load, from one minute to the next: so does the rate.
        """
        rounds = zip(self.seconds.get(engine, ()), self.rates, strict=False)
        shares = [self.flops / seconds / 1e9 / rate for seconds, rate in rounds]
        return statistics.median(shares) if shares else None

    @property
    def contention(self) -> float | None:
        """The CPUs that other processes held, on average over the rounds."""
        return statistics.fmean(self.others) if self.others else None

    @property
    def disturbed(self) -> bool:
        """Whether others held so much that the times compare nothing."""
        return (self.contention or 0) > BUSY

    def ratio(self, first: str, other: str) -> float | None:
        """How many times as fast the first engine is: the median of the rounds' ratios."""
        if first not in self.seconds or other not in self.seconds:
            return None
        pairs = zip(self.seconds[first], self.seconds[other], strict=True)
        return statistics.median(theirs / ours for ours, theirs in pairs)


@dataclass
class Peak:
    """What the machine reaches on so many threads, measured before the rows or after them."""

    threads: int
    dtype: str
    gflops: float
    """The fused-multiply-add rate, two operations each, operands in the innermost cache."""
    gbytes: float
    """Gigabytes a second that a copy of large arrays reads and writes, both counted."""
    others: float | None
    """The CPUs that other processes held meanwhile."""


@dataclass
class Results:
    """A whole run, or as much as there was until it was interrupted."""

    date: str
    engine: str
    """The engine that is judged; ratios say how many times as fast as a peer it is."""
    peers: list[str] = field(default_factory=list)
    finished: bool = False
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    peaks: list[Peak] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    @property
    def engines(self) -> list[str]:
        """All engines, the judged one first."""
        return [self.engine, *self.peers]

    @property
    def threads(self) -> list[int]:
        """The numbers of threads that rows were measured on, from few to many."""
        return sorted({row.threads for row in self.rows})

    def large_dense(self, threads: int) -> list[tuple[float, Row]]:
        """The share of every large dense layer's forward row, the smallest share first."""
        chosen = (row for row in self.rows if row.threads == threads and row.large_dense)
        shares = [(share, row) for row in chosen if (share := row.share(self.engine)) is not None]
        return sorted(shares, key=lambda pair: pair[0])

    def ratios(self, rows: Iterable[Row], peer: str) -> list[float]:
        """The ratios to a peer, of the rows that have one."""
        return [value for row in rows if (value := row.ratio(self.engine, peer)) is not None]

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read what `save` has written; ValueError for anything else."""
        content = json.loads(path.read_text(encoding="utf-8"))
        try:
            content["peaks"] = [Peak(**peak) for peak in content["peaks"]]
            content["rows"] = [Row(**row) for row in content["rows"]]
            return cls(**content)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path.name} doesn't hold the results of a run: {error}") from error
