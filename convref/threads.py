"""How many threads the compiled kernels may use: by argument, by context, or the default."""

import os
from contextlib import AbstractContextManager
from contextvars import ContextVar

from convref.errors import WordError, shown, verb
from convref.integers import integer

_chosen: ContextVar[int | None] = ContextVar("threads", default=None)
_default = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@verb
def set_num_threads(count: int) -> None:
    """Set how many threads the `numba` back end uses where a call doesn't say.

    >>> set_num_threads(2)

    Raises WordError unless ``count`` is an integer of at least 1.
    """
    global _default
    _default = _checked("count", count)


def _checked(name: str, count: int) -> int:
    checked = integer(name, count)
    if checked < 1:
        raise WordError(f"`{name}` (={shown(count)}) must be at least 1", "use 1 or more")
    return checked


def num_threads() -> int:
    """How many threads a kernel that is called now may use."""
    return _chosen.get() or _default


def wanted(threads: int | None) -> int:
    """How many a call may use that asks for so many, or leaves the choice as it is."""
    return num_threads() if threads is None else _checked("threads", threads)


class using_threads(AbstractContextManager[None]):  # noqa: N801, written like a function
    """Let kernels inside the block use ``count`` threads; None leaves the choice as it is.

    A class, for each call has a block: a generator's takes a microsecond longer.
    """

    __slots__ = "count", "token"

    def __init__(self, count: int | None) -> None:
        self.count = count

    def __enter__(self) -> None:
        if self.count is not None:
            self.token = _chosen.set(wanted(self.count))

    def __exit__(self, *error: object) -> None:
        if self.count is not None:
            _chosen.reset(self.token)
