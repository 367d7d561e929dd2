"""What the run was measured on, as far as the system tells."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

INFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
FILES = ("level", "type", "size")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def machine() -> dict[str, Any]:
    """The machine, as it stands in the results."""
    from convref.kernels.jit.vectors import vector_bytes  # takes Numba along, about a second

    names = fields("model name")
    return {
        "system": platform.platform(),
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cpus": cpus(),
        "cores": cores(),
        "vector_bits": 8 * vector_bytes(),
        "caches": caches(),
    }


def cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores() -> int | None:
    """Cores of the machine, where two CPUs that share one count once; None if unknown."""
    pairs = set(zip(fields("physical id"), fields("core id"), strict=True))
    return len(pairs) or None


def fields(name: str) -> list[str]:
    """What /proc/cpuinfo says under a name, once for each CPU."""
    lines = INFO.read_text().splitlines() if INFO.exists() else []
    pairs = (line.partition(":") for line in lines)
    return [value.strip() for key, _, value in pairs if key.strip() == name]


def caches() -> dict[str, int]:
    """Bytes of the first CPU's caches, each by its level and kind, as in ``L1 Data``."""
    found = {}
    for folder in sorted(CACHES.glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in FILES)
        found[f"L{level} {kind}"] = int(size.rstrip("KMG")) * UNITS.get(size[-1], 1)
    return found


def now() -> str:
    """Date and time, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
