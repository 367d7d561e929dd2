"""The same in Numba: tile by tile, on several threads, with nothing unrolled in memory.

Every operator is one contraction, ``out[m, lane] += a[m, d] * b[d, lane]``, whose operands are read
through lists of offsets. `plans` chooses among five ways to run it and lists the offsets: `dense`
has the channels of a group in the lanes of the vectors, `thin` has positions there, `inner` the
depth, `grouped` the channels of several groups, and `beside`, with channels first, groups of one.
Each kernel takes a range of units of work; `share` spreads the units over the threads.

Compiled kernels are kept on disk (`kept`), for as long as no file of this folder changes.
"""

from collections.abc import Callable
from functools import lru_cache
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
from convref.kernels.jit.crew import share
from convref.kernels.jit.plans.dense import DENSE
from convref.kernels.jit.plans.plan import UNASKED, Ints, Plan, View
from convref.kernels.jit.vectors import vector_bytes
from convref.kernels.jit.zeros import SHARED, clear
from convref.memory import address, borrow, give_back
from convref.threads import num_threads

Array = NDArray[Any]

MOST_ZEROS = 64
"""Products with zeros for each other one; so many times is a tile faster than a loop."""


def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill y.

    Where x is seen without the zeros around it, these add nothing as long as the weights are
    finite; for others the sums are taken anew, with the zeros.
    """
    if not y.size:
        return
    macs = y.size * w.shape[2] * w.shape[3]
    plan = planned(plans.forward, geometry, x, w, y)
    if not plan.covers:
        clear(in_memory(y))
    if run(plan, x, w, y, macs) and not np.isfinite(w).all():
        run(planned(plans.forward_among_zeros, geometry, x, w, y), x, w, y, macs)


def weight_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill w."""
    if not y.size:
        w[...] = 0
        return
    plan = planned(plans.weight_grad, geometry, x, w, y)
    macs = y.size * w.shape[2] * w.shape[3]
    if plan.pieces == 1:
        run(plan, x, y, w, macs)
        return
    sums = np.empty((plan.pieces, *w.shape), w.dtype)
    run(plan, x, y, sums, macs)
    with np.errstate(all="ignore"):
        np.sum(sums, axis=0, out=w)


def input_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill x.

    The canvas of dy holds zeros that no tap looked at. They add nothing as long as the weights are
    finite; for others the sums are taken anew, by the definition.
    """
    if geometry.padding_mode != "zeros":
        through_canvas(input_grad, x, w, y, geometry)
        return
    if not y.size:
        x[...] = 0
    if not x.size or not y.size:
        return
    macs = y.size * w.shape[2] * w.shape[3]
    anew = is_scattered(geometry)
    if not anew:
        plan = planned(plans.input_grad, geometry, x, w, y)
        if not plan.covers:
            clear(in_memory(x))
        anew = run(plan, y, w, x, macs) and not np.isfinite(w).all()
    if anew:
        canvas = np.empty((*x.shape[:3], prod(geometry.canvas_size)), x.dtype)
        dy = np.ascontiguousarray(y)
        run(plans.scattering(geometry, len(x), w.shape), w, dy, canvas, macs)
        geometry.take_back(canvas, x)


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


@lru_cache(maxsize=256)
def is_scattered(geometry: Geometry) -> bool:
    """Whether the input gradient is taken by its definition at once.

    As a convolution of dy it multiplies, for each input position, all taps of a phase; where a
    kernel is far longer than the outputs, nearly all of them meet the zeros around dy.
    """
    positions = prod(geometry.output_size) * prod(axis.stride for axis in geometry.axes)
    return prod(geometry.input_size) > MOST_ZEROS * positions


def run(plan: Plan, a: Array, b: Array, out: Array, macs: int) -> bool:
    """Do what is planned; tell whether `b` may hold NaN or infinity, where the plan asks."""
    words, flag = plan.words, UNASKED
    if config.DISABLE_JIT:
        a, b, out = in_memory(a), in_memory(b), in_memory(out)
    if plan.placing:
        canvas = borrow(plan.placing.size, a.dtype, "the padded input")
        if plan.placing.slack:
            canvas[-plan.placing.slack :] = 0
        share(plan.placing.kernel, plan.placing.words, a, a, canvas, plan.placing.units, macs)
        a = canvas
    if plan.flag:
        flag = np.zeros(1, np.int64)
        if config.DISABLE_JIT:
            words = (*words[: plan.flag], flag, *words[plan.flag + 1 :])
        else:
            words = words.copy()
            words[plan.flag] = address(flag)
    if plan.swapped:
        a, b = b, a
    share(plan.kernel, words, a, b, out, plan.units, macs)
    if plan.placing:
        give_back(canvas)
    return bool(flag[0] > 0)


def planned(make: Callable[..., Plan], geometry: Geometry, x: Array, w: Array, y: Array) -> Plan:
    """The plan that is made for these operands, or has been for others like them."""
    memory = x.shape, x.strides, w.shape, w.strides, y.shape, y.strides
    return _planned(make, geometry, memory, y.itemsize, num_threads())


@lru_cache(maxsize=512)
def _planned(
    make: Callable[..., Plan], geometry: Geometry, memory: tuple[Ints, ...], size: int, threads: int
) -> Plan:
    x, w, y = (_view(memory[at], memory[at + 1], size) for at in (0, 2, 4))
    return make(geometry, x, y, w.strides, size, threads)


def view(a: Array) -> View:
    """Sizes and strides of an operand (N, G, C/G, I)."""
    return _view(a.shape, a.strides, a.itemsize)


def _view(shape: Ints, byte_strides: Ints, itemsize: int) -> View:
    """The strides in numbers, as of an array with no axis of length 1."""
    N, G, C, size = shape
    contiguous = G * C * size, C * size, size, 1
    steps = tuple(stride // itemsize for stride in byte_strides)
    axes = zip(shape, steps, contiguous, strict=True)
    is_contiguous = 0 in shape or all(n == 1 or step == own for n, step, own in axes)
    return View(N, G, C, contiguous if is_contiguous else steps)


def in_memory(a: Array) -> Array:
    """All numbers of an operand, as they lie in memory."""
    return (a if a.flags.c_contiguous else a.transpose(0, 3, 1, 2)).reshape(-1)


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
        clear(np.empty(SHARED, dtype))


def facts() -> dict[str, str]:
    """The processor that kernels are compiled for, its vectors, and the folder they are kept in."""
    float32 = np.dtype(np.float32)
    DENSE[float32]  # compiled, if it was not
    return {
        "processor": config.CPU_NAME or llvm.get_host_cpu_name(),
        "vectors": f"{8 * vector_bytes()} bits",
        "kernels": DENSE.compiled[float32]._cache.cache_path or "kept nowhere",
    }
