"""Cases for the compiled operators: operands between guards, known results, a kernel made sure of.

Every operand lies between guards, NaN or -99. A sum that took one in is wrong, and so is a guard
that has changed. Copies between forbidden pages show that nothing at all is read there.
"""

import ctypes
import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np
import pytest

from convref.geometry import Geometry
from convref.kernels import im2col, jit, naive
from convref.kernels.jit import fills, micro, plans, vectors

Array = np.ndarray[Any, Any]
Layouts = tuple[bool, bool]
"""Whether channels lie last in x, and in y."""

FILLED = {"forward": 2, "weight_grad": 1, "input_grad": 0}
"""The operators, and which of the operands x, w and y each fills."""
LANES, WIDEST = vectors.vector_lanes(8), micro.FULL * vectors.vector_lanes(8)
"""Numbers of float64, the dtype where none is named, in one vector and in the widest tile."""
MARGIN = 300
"""More numbers than the widest tile spans."""
BY_LOOPS = 4000
"""Most products for which the loops of the definition are quick enough."""


@dataclass(frozen=True)
class Case:
    """The sizes of a convolution; filters and channels are those of a group."""

    geometry: Geometry
    filters: int
    channels: int
    dtype: str = "float64"
    batch: int = 2
    groups: int = 2


@cache
def operands(case: Case) -> tuple[Array, Array, Array]:
    """Integer-valued x, w and y."""
    inputs, taps, positions = (
        prod(sizes)
        for sizes in (
            case.geometry.input_size,
            case.geometry.kernel_size,
            case.geometry.output_size,
        )
    )
    shapes = (
        (case.batch, case.groups, case.channels, inputs),
        (case.groups, case.filters, case.channels, taps),
        (case.batch, case.groups, case.filters, positions),
    )
    random = np.random.default_rng(prod(shapes[1]) + positions)
    kind = np.dtype(case.dtype).kind
    parts = [random.integers(-9, 10, (2, *shape)) for shape in shapes]
    x, w, y = ((p[0] + 1j * p[1] if kind == "c" else p[0]).astype(case.dtype) for p in parts)
    return x, w, y


@cache
def result(case: Case, operator: str) -> Array:
    """What the operator fills, by the loops of the definition or, where they are slow, by NumPy."""
    x, w, y = (array.copy() for array in operands(case))
    slow = y.size * w[0, 0].size > BY_LOOPS
    getattr(im2col if slow else naive, operator)(x, w, y, case.geometry)
    return (x, w, y)[FILLED[operator]]


def guard(dtype: Any) -> float:
    return -99 if np.dtype(dtype).kind == "i" else np.nan


def guarded(values: Array, last: bool = False) -> Array:
    """A copy (N, G, C, I) between guards; if ``last``, as a view of an array (N, I, G, C)."""
    laid = values.transpose(0, 3, 1, 2) if last else values
    around = np.full(values.size + 2 * MARGIN, guard(values.dtype), values.dtype)
    inside = around[MARGIN : MARGIN + values.size].reshape(laid.shape)
    inside[...] = laid
    return inside.transpose(0, 2, 3, 1) if last else inside


def assert_guards_are_intact(array: Array) -> None:
    around = array.base
    assert isinstance(around, np.ndarray)
    assert around.size == array.size + 2 * MARGIN
    edges = np.concatenate([around[:MARGIN], around[-MARGIN:]])
    np.testing.assert_array_equal(edges, np.full(2 * MARGIN, guard(array.dtype), array.dtype))


@contextmanager
def only(kernel: str) -> Iterator[list[str]]:
    """Move the limits of the choice so that it is this kernel; yields the names of those chosen.

    The back end keeps its plans, with the kernel that it chose: none may come in or get out.
    """
    choice, chosen = plans.choice, []

    def recorded(*arguments: Any) -> Any:
        made = choice(*arguments)
        chosen.append(made[0])
        return made

    fills._ready.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "choice", recorded)
        patch.setattr(plans, "SHALLOW", 0)
        patch.setattr(plans, "DEEP", 0)
        if kernel != "grouped":
            patch.setattr(plans.grouped, "fits", lambda *_: False)
        if kernel != "inner":  # in a vector of two lanes, a single channel is many
            patch.setattr(plans, "few_see_many", lambda *_: False)
        if kernel != "beside":
            lanes = 0 if kernel == "inner" else sys.maxsize
            patch.setattr(plans, "vector_lanes", lambda _: lanes)
        patch.setattr(plans, "FEW", 0 if kernel == "dense" else sys.maxsize)
        patch.setattr(plans, "SCRATCH", 0 if kernel == "thin" else sys.maxsize)
        yield chosen
    fills._ready.cache_clear()


def fill(operator: str, kernel: str, arrays: list[Array], geometry: Geometry) -> None:
    """Call the operator, and make sure that it takes this kernel.

    Where there is no input, what `inner` would do is another's.
    """
    with only(kernel) as chosen:
        getattr(jit, operator)(*arrays, geometry)
    empty = not arrays[2 if operator == "input_grad" else 0].size
    taken = "thin, in scratch" if kernel == "inner" and empty else kernel
    assert chosen == ([taken] if arrays[FILLED[operator]].size else [])


def laid(
    arrays: Iterable[Array], last: Layouts, allocate: Callable[..., Array] = guarded
) -> list[Array]:
    """Copies of x, w and y: x and y in memory as they are, or with channels last."""
    return list(map(allocate, arrays, (last[0], False, last[1])))


def planned(
    operator: str, case: Case, last: Layouts = (False, False), kernel: str | None = None
) -> Any:
    """The plan that the operator follows on two threads, with this kernel if one is named."""
    x, w, y = (jit.view(array) for array in laid(operands(case), last))
    itemsize = np.dtype(case.dtype).itemsize
    with only(kernel) if kernel else nullcontext():
        return getattr(plans, operator)(case.geometry, x, y, w.strides, itemsize, threads=2)


def check(
    case: Case, operator: str, kernel: str, last: Layouts = (False, False),
    allocate: Callable[..., Array] = guarded,
) -> None:  # fmt: skip
    """The operator's result is exact, and all that it should leave alone is as it was."""
    filled, expected = FILLED[operator], list(operands(case))
    arrays = laid(expected, last, allocate)
    expected[filled] = result(case, operator)
    arrays[filled][...] = guard(case.dtype)  # what it held before does not matter
    fill(operator, kernel, arrays, case.geometry)
    for array, wanted in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, wanted, f"{kernel}, {case}", strict=True)
        if allocate is guarded:
            assert_guards_are_intact(array)


GEOMETRIES = {
    "one position": Geometry.of((2, 3), (2, 3)),
    "one tap": Geometry.of((3, 5), 1),
    "input as canvas": Geometry.of((5, 11), (3, 2)),
    "short rows": Geometry.of((4, 5), (3, 3), padding=1),
    "long rows": Geometry.of((2, 2 * LANES + 1), (1, 3), padding=((0, 0), (1, 2))),
    "one position, padding": Geometry.of((3, 4), 4, padding=((1, 0), (0, 2)), stride=3),
    "stride": Geometry.of((6, 11), (3, 2), stride=(2, 3), padding="same"),
    "windows side by side": Geometry.of((4, 9), (2, 3), stride=(2, 3)),
    "windows that overlap by half": Geometry.of((8, 9), (4, 6), stride=(2, 3), padding=(1, 2)),
    "stride, input as canvas": Geometry.of((5, 9), (3, 3), stride=2),
    "stride beyond the kernel": Geometry.of((5, 10), (1, 2), stride=(2, 3)),
    "stride beyond the input": Geometry.of((3, 5), (2, 5), stride=(9, 7), padding=((1, 0), (0, 0))),
    "dilation": Geometry.of((6, 7), (2, 2), dilation=(3, 2)),
    "stride and dilation": Geometry.of((7, 9), (2, 3), stride=2, dilation=(2, 3), padding=3),
    "input dilation": Geometry.of((3, 4), (3, 2), input_dilation=(2, 3), stride=(1, 2), padding=1),
    "cropped": Geometry.of((6, 7), (2, 2), padding=((-1, 2), (1, -2))),
    "cropped, strides": Geometry.of((7, 8), (2, 2), stride=2, padding=((-1, 1), (-2, -1))),
    "no input": Geometry.of((0, 2), (2, 2), padding=1),
    "reflect": Geometry.of((3, 4), (3, 3), padding=2, padding_mode="reflect"),
    "replicate": Geometry.of((4, 4), 3, padding=2, stride=2, padding_mode="replicate"),
    "circular": Geometry.of((4, 3), 2, padding=2, dilation=2, padding_mode="circular"),
    "one axis": Geometry.of(13, 4, stride=2, padding=(3,)),
    "three axes": Geometry.of((3, 4, 5), (2, 2, 2), padding=((0, 1), (-1, 2), (1, 0))),
    "three axes, strides": Geometry.of((3, 4, 5), (2, 3, 2), stride=(1, 2, 3), padding=1),
    "nothing but padding": Geometry.of((3, 4), (2, 3), padding=((4, -3), (1, 0))),
}


def inexact(case: Case) -> list[Array]:
    """Values whose sums depend on the order that they are taken in."""
    factor = np.dtype(case.dtype).type(np.pi)
    return [array * factor for array in operands(case)]


def flush(at_end: bool) -> Callable[..., Array]:
    """Allocates copies that begin, or end, at a page which nobody may touch."""

    def copy(values: Array, last: bool = False) -> Array:
        whole = values.transpose(0, 3, 1, 2) if last else values
        page = mmap.PAGESIZE
        room = -(-values.nbytes // page) * page
        memory = mmap.mmap(-1, room + 2 * page)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for start in (address, address + page + room):
            assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start), page, 0) == 0
        offset = page + (room - values.nbytes if at_end else 0)
        inside = np.frombuffer(memory, values.dtype, values.size, offset).reshape(whole.shape)
        inside[...] = whole
        return inside.transpose(0, 2, 3, 1) if last else inside

    return copy


def assert_survives(module: str) -> None:
    """Call its ``compute_between_forbidden_pages`` in a process, which a stray read would end."""
    run = subprocess.run(
        [sys.executable, "-c", f"import {module}; {module}.compute_between_forbidden_pages()"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
    )
    assert (run.stdout.strip(), run.returncode) == ("nothing beyond", 0), run.stderr
