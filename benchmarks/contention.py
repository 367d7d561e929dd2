"""How many CPUs other processes hold meanwhile.

An engine whose threads wait for each other by spinning loses a factor, not a share, when one of
its CPUs is taken away. So a comparison on several threads needs the machine for itself, and one
that didn't have it has to say so. Known on Linux only.
"""

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
BUSY = 0.15
"""More CPUs than this in other hands spoil a measurement; a quiet system uses less."""

LOOK_SECONDS = 0.2


class Contention:
    """The CPUs that processes other than this one hold from now on."""

    def __init__(self) -> None:
        self._start = self._now()

    def cpus(self) -> float | None:
        """Their number, on average until now; None where the system doesn't tell."""
        if not STAT.exists():
            return None
        wall, busy, own = (b - a for a, b in zip(self._start, self._now(), strict=True))
        return max(0.0, busy - own) / wall

    @staticmethod
    def _now() -> tuple[float, float, float]:
        return time.perf_counter(), busy_seconds(), time.process_time()


def busy_seconds() -> float:
    """CPU seconds since the start of the system, stolen ones of a virtual machine included."""
    if not STAT.exists():
        return 0.0
    with STAT.open() as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(seconds: float) -> None:
    """Return as soon as the other processes are quiet, or after so many seconds."""
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        contention = Contention()
        time.sleep(LOOK_SECONDS)
        if (contention.cpus() or 0) <= BUSY:
            return
