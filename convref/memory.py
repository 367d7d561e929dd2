"""Refuse what this machine's memory can't hold, before anything is allocated."""

import os
from functools import cache

from convref.errors import TooLargeError

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
LARGEST = 2**90
"""From here on a number of bytes is not worth dividing."""


@cache
def machine_bytes() -> int | None:
    """Physical memory in bytes; None where the system doesn't tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # no sysconf on Windows
        return None


def check_fits(needed: int, purpose: str, shape: tuple[int, ...] | None = None) -> None:
    """Raise TooLargeError when ``needed`` bytes, for an array, exceed the machine's memory."""
    available = machine_bytes()
    if available is not None and needed > available:
        of_shape = "" if shape is None else f", of shape {shape},"
        raise TooLargeError(
            f"{purpose}{of_shape} would need {needed} bytes ({readable(needed)}), "
            f"and this machine has {readable(available)}",
            "use smaller sizes, or split the batch",
        )


def readable(count: int) -> str:
    """A number of bytes in the largest unit that keeps it at 1 or above: ``1.5 GiB``."""
    if count >= LARGEST:
        return f"more than {LARGEST // 1024**5} PiB"
    power = max(0, min((count.bit_length() - 1) // 10, len(UNITS) - 1))
    return f"{count} bytes" if power == 0 else f"{count / 1024**power:.1f} {UNITS[power]}"
