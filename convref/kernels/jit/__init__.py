"""The same in Numba: tile by tile, on several threads, with nothing unrolled in memory.

Every operator is one contraction, ``out[m, lane] += a[m, d] * b[d, lane]``, whose operands are read
through lists of offsets. `plans` chooses among five ways to run it and lists the offsets: `dense`
has the channels of a group in the lanes of the vectors, `thin` has positions there, `inner` the
depth, `grouped` the channels of several groups, and `beside`, with channels first, groups of one.
Each kernel takes a range of units of work; `share` spreads the units over the threads.

Compiled kernels are kept on disk (`kept`), for as long as no file of this folder changes.
"""

from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import config
from numpy.typing import NDArray

from convref.geometry import Geometry
from convref.kernels.jit import plans
from convref.kernels.jit.bias import add_bias
from convref.kernels.jit.fills import is_scattered, prepared, ready, view
from convref.kernels.jit.plans.matrices import DENSE
from convref.kernels.jit.vectors import vector_bytes
from convref.kernels.jit.whole import SHARED, clear, total
from convref.threads import num_threads

__all__ = [
    "add_bias", "facts", "forward", "input_grad", "prepared", "reasons", "through_canvas",
    "warmup", "weight_grad",
]  # fmt: skip

Array = NDArray[Any]


def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill y."""
    if y.size:
        ready("forward", geometry, x, w, y)(x, w, y)


def weight_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill w."""
    if y.size:
        ready("weight_grad", geometry, x, w, y)(x, y, w)
    else:
        w[...] = 0


def input_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill x."""
    if geometry.padding_mode != "zeros":
        through_canvas(input_grad, x, w, y, geometry)
    elif not y.size:
        x[...] = 0
    elif x.size:
        ready("input_grad", geometry, x, w, y)(y, w, x)


@np.errstate(all="ignore")
def through_canvas(
    operator: Callable[[Array, Array, Array, Geometry], None],
    x: Array,
    w: Array,
    y: Array,
    geometry: Geometry,
) -> None:
    """Fill x by what an operator fills the canvas with, where padding repeats inputs."""
    canvas = np.empty((*x.shape[:3], prod(geometry.canvas_size)), x.dtype)
    operator(canvas, w, y, plans.bare(geometry))
    geometry.take_back(canvas, x)


def reasons(x: Array, y: Array, geometry: Geometry) -> dict[str, str]:
    """For each operator the kernel it gets, and why."""
    operands = view(x), view(y), x.itemsize
    seen = dict.fromkeys(("forward", "input_grad", "weight_grad"), geometry)
    if geometry.padding_mode != "zeros":
        seen["input_grad"] = plans.bare(geometry)
    chosen = {
        operator: ": ".join(plans.choice(operator, seen[operator], *operands)) for operator in seen
    }
    if is_scattered(seen["input_grad"]):
        chosen["input_grad"] = "scatter: the kernel is far longer than the outputs"
    return chosen


def warmup() -> None:
    """Compile every kernel for the dtypes that are used most, by calling it once."""
    geometry, apart = Geometry.of(40, 3, padding=1), Geometry.of(40, 5, padding=2)
    of_each = (
        (1, 1, 1, geometry), (1, 16, 16, geometry), (1, 1, 16, geometry), (8, 2, 2, geometry),
        (16, 1, 1, apart),
    )  # fmt: skip
    for dtype, (groups, filters, channels, seen) in product((np.float32, np.float64), of_each):
        x = np.ones((2, groups, channels, 40), dtype)
        w = np.ones((groups, filters, channels, *seen.kernel_size), dtype)
        y = np.ones((2, groups, filters, 40), dtype)
        by_last = [np.moveaxis(np.ones((2, 40, *a.shape[1:3]), dtype), 1, 3) for a in (x, y)]
        for operator in (weight_grad, forward, input_grad):
            operator(x, w, y, seen)
            operator(by_last[0], w, by_last[1], seen)
            w[0, 0, 0, 0] = np.inf
        add_bias(y, y[0, :, :, 0].reshape(-1))
        clear(np.empty(SHARED, dtype), num_threads())
        total(np.ones((2, 1), dtype), np.empty(1, dtype), 1)


def facts() -> dict[str, str]:
    """The processor that kernels are compiled for, its vectors, and the folder they are kept in."""
    float32 = np.dtype(np.float32)
    DENSE[float32]  # compiled, if it was not
    return {
        "processor": config.CPU_NAME or llvm.get_host_cpu_name(),
        "vectors": f"{8 * vector_bytes()} bits",
        "kernels": DENSE.compiled[float32]._cache.cache_path or "kept nowhere",
    }
