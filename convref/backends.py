"""The choice of back end: by argument, by context, by environment, or the default.

Four of them are interchangeable: they take every dtype and every number, sum integers exactly, and
take NaN and infinity just where the windows do. `exact` is the one that makes no error but a last
rounding. `fft` and `winograd` are not of the four: an error, or a NaN, in one number spreads over
all outputs, or over those of a tile. So they compute only where they are named, and refuse what
they would spoil.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from convref.dtypes import WIDE
from convref.errors import DtypeError, MissingExtraError, WordError, shown, verb
from convref.geometry import Geometry

MODULES = {
    "naive": "convref.kernels.naive",
    "exact": "convref.kernels.exact",
    "numpy": "convref.kernels.im2col",
    "numba": "convref.kernels.jit",
    "fft": "convref.kernels.fft",
    "winograd": "convref.kernels.jit.winograd",
}
OPT_IN = ("fft", "winograd")
"""Those that must be named, and that are not interchangeable with the others."""
COMPILED = ("numba", "winograd")
"""Those that need the package numba."""

_chosen: ContextVar[str | None] = ContextVar("backend", default=None)

Operator = Callable[[NDArray[Any], NDArray[Any], NDArray[Any], Geometry], None]
Fill = Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], None]
"""Fills its third array from the other two."""


class Kernels(Protocol):
    """The contract of convref.kernels: each function fills one of the three arrays."""

    forward: Operator
    weight_grad: Operator
    input_grad: Operator


def backends() -> tuple[str, ...]:
    """Names of the interchangeable back ends that work here, the slowest first.

    The last is the default. Besides them there are "fft", for large kernels, and "winograd", for
    kernels of 3 x 3.

    >>> backends()
    ('naive', 'exact', 'numpy', 'numba')
    """
    missing = () if _has_numba() else ("numba",)
    return tuple(name for name in MODULES if name not in OPT_IN + missing)


@verb
def using_backend(name: str) -> AbstractContextManager[None]:
    """Compute with the named back end inside the block (in this thread or task only).

    >>> import numpy as np, convref
    >>> with using_backend("naive"):
    ...     convref.conv(np.ones((1, 4)), np.ones((1, 1, 2)))
    array([[2., 2., 2.]])

    Raises WordError for an unknown name, MissingExtraError where it is not installed.
    """
    return _using(_checked(name, "name"))


@contextmanager
def _using(name: str) -> Iterator[None]:
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


def backend_name(name: str | None = None) -> str:
    """The back end of a call: its argument, else the context's, the environment's, the default."""
    if name is not None:
        return _checked(name, "backend")
    if (chosen := _chosen.get()) is not None:
        return chosen
    if environment := os.environ.get("CONVREF_BACKEND"):
        return _checked(environment, "CONVREF_BACKEND")
    return "numba" if _has_numba() else "numpy"  # the last of `backends`


def kernels(
    name: str | None,
    total: np.dtype[Any],
    result: np.dtype[Any] | None = None,
    **operands: NDArray[Any],
) -> Kernels:
    """The module of a back end, imported when it is first asked for.

    It is to sum ``operands`` in ``total`` and round to ``result``; raises DtypeError or WordError
    where it can't.
    """
    chosen = backend_name(name)
    if total in WIDE and chosen in (*COMPILED, "exact"):
        raise DtypeError(f"the back end {chosen!r} can't sum in {total}", "use 'numpy'")
    if chosen in OPT_IN:
        _check_spread(chosen, total, result or total, operands)
    return _load(chosen)


def prepared(
    name: str, operator: str, geometry: Geometry, shapes: tuple[tuple[int, ...], ...], last: bool,
    total: np.dtype[Any], threads: int,
) -> Fill | None:  # fmt: skip
    """What a back end, by its name, has prepared for contiguous operands of these shapes, if so.

    The shapes are those of x, w and y, as kernels see them, and ``last`` tells of the layout.
    """
    prepare = None if total in WIDE else vars(_load(name)).get("prepared")
    found: Fill | None = prepare and prepare(
        operator, geometry, shapes, last, total.itemsize, threads
    )
    return found


def _check_spread(
    chosen: str, total: np.dtype[Any], result: np.dtype[Any], operands: dict[str, NDArray[Any]]
) -> None:
    """Check that the numbers are none that a transform would spoil."""
    others = f"use one of {', '.join(map(repr, backends()))}"
    for dtype in (total, result):
        if dtype.kind in "biu":
            raise DtypeError(
                f"the back end {chosen!r} rounds, so it can't convolve integers (here {dtype})",
                f"{others}, or convert to float64",
            )
    if chosen == "winograd" and total.kind == "c":
        raise DtypeError(f"the back end 'winograd' can't sum in {total}", others)
    reach = "every output" if chosen == "fft" else "all outputs of a tile"
    for name, operand in operands.items():
        if not np.isfinite(operand).all():
            raise WordError(
                f"the back end {chosen!r} can't convolve NaN or infinity, which would spread to "
                f"{reach}, and `{name}` holds some (as {total})",
                others,
            )


@verb
def warmup() -> None:
    """Compile the kernels of the `numba` back end, for float32 and float64, and keep them on disk.

    A first convolution compiles what it needs, which takes seconds; after this no process has to.

    Raises MissingExtraError where numba is not installed.
    """
    _load(_checked("numba", "backend")).warmup()  # type: ignore[attr-defined]


def compiled() -> dict[str, str]:
    """What the `numba` back end compiles for, and where it keeps that; empty without numba."""
    return _load("numba").facts() if _has_numba() else {}  # type: ignore[attr-defined]


def explained(x: NDArray[Any], y: NDArray[Any], geometry: Geometry) -> dict[str, str]:
    """For each operator the kernel of the `numba` back end that it gets, and why."""
    return _load(_checked("numba", "backend")).reasons(x, y, geometry)  # type: ignore[attr-defined,no-any-return]


def _checked(name: object, source: str) -> str:
    known = name.lower() if isinstance(name, str) else None
    if known not in MODULES:
        raise WordError(
            f"`{source}` (={shown(name)}) is not a back end",
            f"use one of {', '.join(map(repr, backends() + OPT_IN))}",
        )
    if known in COMPILED and not _has_numba():
        raise MissingExtraError(
            f"`{source}` (={shown(name)}) needs the package numba, which is not installed",
            "pip install numba, or use 'numpy'",
        )
    return known


@cache
def _load(name: str) -> Kernels:
    return cast(Kernels, import_module(MODULES[name]))


@cache
def _has_numba() -> bool:
    return find_spec("numba") is not None
