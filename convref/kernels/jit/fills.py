"""Operators ready to run: planned once for operands of these shapes and strides, and filled.

What is planned is kept, and called again and again; so little of Python stands between a call and
the machine code, for on small convolutions that is what takes the time.
"""

from collections.abc import Callable
from functools import cache, lru_cache, partial
from math import prod
from typing import Any

import numpy as np
from numba import config
from numpy.typing import NDArray

from convref.geometry import Geometry
from convref.kernels.jit import plans
from convref.kernels.jit.crew import share
from convref.kernels.jit.plans.plan import UNASKED, Ints, Plan, View
from convref.kernels.jit.whole import clear, total
from convref.memory import address, borrow, give_back
from convref.threads import num_threads

Array = NDArray[Any]
Fill = Callable[[Array, Array, Array], None]
"""Fills its third array from the other two."""
Lie = tuple[Ints, Ints]
"""Shape and strides of an operand (N, G, C/G, I)."""

MOST_ZEROS = 64
"""Products with zeros for each other one; so many times is a tile faster than a loop."""


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
    sums = np.empty((plan.pieces, w.size), w.dtype)
    run(plan, x, y, sums, macs, threads)
    total(sums, w, threads)


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


@lru_cache(maxsize=256)
def is_scattered(geometry: Geometry) -> bool:
    """Whether the input gradient is taken by its definition at once.

    As a convolution of dy it multiplies, for each input position, all taps of a phase; where a
    kernel is far longer than the outputs, nearly all of them meet the zeros around dy.
    """
    positions = prod(geometry.output_size) * prod(axis.stride for axis in geometry.axes)
    return prod(geometry.input_size) > MOST_ZEROS * positions


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
