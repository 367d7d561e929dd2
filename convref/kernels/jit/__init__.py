"""The same in Numba: tile by tile, on several threads, with nothing unrolled in memory.

Every operator is one contraction, ``out[m, lane] += a[m, d] * b[d, lane]``, whose operands are read
through lists of offsets. `plans` chooses among five ways to run it and lists the offsets: `dense`
has the channels of a group in the lanes of the vectors, `thin` has positions there, `inner` the
depth, `grouped` the channels of several groups, and `beside`, with channels first, groups of one.
Each kernel takes a range of units of work; `share` spreads the units over the threads.

Compiled kernels are kept on disk (`kept`), for as long as no file of this folder changes.
"""

from collections.abc import Callable
from functools import cache, lru_cache, partial
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
Fill = Callable[[Array, Array, Array], None]
"""Fills its third array from the other two."""
Lie = tuple[Ints, Ints]
"""Shape and strides of an operand (N, G, C/G, I)."""

MOST_ZEROS = 64
"""Products with zeros for each other one; so many times is a tile faster than a loop."""


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


@lru_cache(maxsize=256)
def is_scattered(geometry: Geometry) -> bool:
    """Whether the input gradient is taken by its definition at once.

    As a convolution of dy it multiplies, for each input position, all taps of a phase; where a
    kernel is far longer than the outputs, nearly all of them meet the zeros around dy.
    """
    positions = prod(geometry.output_size) * prod(axis.stride for axis in geometry.axes)
    return prod(geometry.input_size) > MOST_ZEROS * positions


def run(plan: Plan, a: Array, b: Array, out: Array, macs: int, threads: int) -> bool:
    """Do what is planned; tell whether `b` may hold NaN or infinity, where the plan asks."""
    words, flag = plan.words, UNASKED
    if config.DISABLE_JIT:
        a, b, out = in_memory(a), in_memory(b), in_memory(out)
    if plan.placing:
        canvas = borrow(plan.placing.size, a.dtype, "the padded input")
        if plan.placing.slack:
            canvas[-plan.placing.slack :] = 0
        placing = plan.placing
        share(placing.kernel, placing.words, a, a, canvas, placing.units, macs, threads)
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
    share(plan.kernel, words, a, b, out, plan.units, macs, threads)
    if plan.placing:
        give_back(canvas)
    return bool(flag[0] > 0)


def ready(operator: str, geometry: Geometry, x: Array, w: Array, y: Array) -> Fill:
    """What `prepared` gives for these operands."""
    memory = (x.shape, x.strides), (w.shape, w.strides), (y.shape, y.strides)
    return _ready(operator, geometry, memory, y.itemsize, num_threads())


def prepared(
    operator: str, geometry: Geometry, shapes: tuple[Ints, Ints, Ints], last: bool, itemsize: int,
    threads: int,
) -> Fill | None:  # fmt: skip
    """A function that fills a result from its two operands, all of them contiguous.

    ``shapes`` are those of x and y as (N, G, C/G, positions), with the channels ``last`` in memory
    or first, and between them that of w (G, K/G, C/G, taps). The first operand is what is seen, the
    second the weights, or for the weight gradient dy. None where something else is to be done.
    """
    if any(0 in shape for shape in shapes):
        return None
    if operator == "input_grad" and geometry.padding_mode != "zeros":
        return None
    in_order = zip(shapes, (last, False, last), strict=True)
    x, w, y = ((shape, strides_of(shape, order, itemsize)) for shape, order in in_order)
    return _ready(operator, geometry, (x, w, y), itemsize, threads)


def strides_of(shape: Ints, last: bool, itemsize: int) -> Ints:
    """The strides in bytes of a contiguous array, whose second and third axes may lie last."""
    _, groups, channels, size = shape
    if last:
        steps = groups * channels * size, channels, 1, groups * channels
    else:
        steps = groups * channels * size, channels * size, size, 1
    return tuple(step * itemsize for step in steps)


@lru_cache(maxsize=512)
def _ready(
    operator: str, geometry: Geometry, memory: tuple[Lie, Lie, Lie], size: int, threads: int
) -> Fill:
    x, w, y = (_view(*of, size) for of in memory)
    how = prod(memory[2][0]) * prod(memory[1][0][2:]), threads

    @cache
    def plan(make: Callable[..., Plan]) -> Plan:
        return make(geometry, x, y, w.strides, size, threads)

    if operator == "forward":
        return partial(fill_y, plan(plans.forward), partial(plan, plans.forward_among_zeros), *how)
    if operator == "weight_grad":
        return partial(fill_w, plan(plans.weight_grad), *how)
    first = None if is_scattered(geometry) else plan(plans.input_grad)
    return partial(fill_x, first, geometry, memory, *how)


def fill_y(
    plan: Plan, among_zeros: Callable[[], Plan], macs: int, threads: int, x: Array, w: Array,
    y: Array,
) -> None:  # fmt: skip
    """Fill y.

    Where x is seen without the zeros around it, these add nothing as long as the weights are
    finite; for others the sums are taken anew, with the zeros.
    """
    if not plan.covers:
        clear(in_memory(y), threads)
    if run(plan, x, w, y, macs, threads) and not np.isfinite(w).all():
        run(among_zeros(), x, w, y, macs, threads)


def fill_w(plan: Plan, macs: int, threads: int, x: Array, y: Array, w: Array) -> None:
    """Fill w, if need be by way of partial sums."""
    if plan.pieces == 1:
        run(plan, x, y, w, macs, threads)
        return
    sums = np.empty((plan.pieces, *w.shape), w.dtype)
    run(plan, x, y, sums, macs, threads)
    with np.errstate(all="ignore"):
        np.sum(sums, axis=0, out=w)


def fill_x(
    plan: Plan | None, geometry: Geometry, memory: tuple[Lie, Lie, Lie], macs: int, threads: int,
    y: Array, w: Array, x: Array,
) -> None:  # fmt: skip
    """Fill x.

    The canvas of dy holds zeros that no tap looked at. They add nothing as long as the weights are
    finite; for others the sums are taken anew, by the definition; so they are without a plan.
    """
    if plan:
        if not plan.covers:
            clear(in_memory(x), threads)
        if not run(plan, y, w, x, macs, threads) or np.isfinite(w).all():
            return
    x, w, y = (
        np.ndarray(shape, x.dtype, in_memory(a), 0, strides)
        for a, (shape, strides) in zip((x, w, y), memory, strict=True)
    )
    canvas = np.empty((*x.shape[:3], prod(geometry.canvas_size)), x.dtype)
    dy = np.ascontiguousarray(y)
    run(plans.scattering(geometry, len(x), w.shape), w, dy, canvas, macs, threads)
    geometry.take_back(canvas, x)


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
        clear(np.empty(SHARED, dtype), num_threads())


def facts() -> dict[str, str]:
    """The processor that kernels are compiled for, its vectors, and the folder they are kept in."""
    float32 = np.dtype(np.float32)
    DENSE[float32]  # compiled, if it was not
    return {
        "processor": config.CPU_NAME or llvm.get_host_cpu_name(),
        "vectors": f"{8 * vector_bytes()} bits",
        "kernels": DENSE.compiled[float32]._cache.cache_path or "kept nowhere",
    }
