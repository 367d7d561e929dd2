"""The same in Numba: tile by tile, on several threads, with nothing unrolled in memory.

Every operator is one contraction, ``out[m, lane] += a[m, d] * b[d, lane]``, whose operands are read
through lists of offsets. `plans` chooses between two ways to run it and lists the offsets: `dense`
has channels in the lanes of the vectors, `thin` has positions there. Each kernel takes a range of
units of work; `share` spreads the units over the threads.

Compiled kernels are kept on disk and go by the time stamp of their own file: who changes micro.py,
flat.py, move.py or dots.py deletes the ``*.nbi`` and ``*.nbc`` files in ``__pycache__``.
"""

from functools import partial
from math import prod
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

from convref.geometry import Geometry
from convref.kernels.jit import dense, loops, plans, thin
from convref.kernels.jit.crew import share
from convref.kernels.jit.move import place_all, place_last
from convref.kernels.jit.plans import View
from convref.kernels.jit.vectors import vector_bytes
from convref.memory import check_fits
from convref.phases import Placement, stored, transposed
from convref.threads import num_threads

Array = NDArray[Any]
NO_FLAG = np.zeros(0, np.bool_)


def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill y."""
    if not y.size:
        return
    xv, yv, wv = view(x), view(y), strides(w)
    macs, threads = y.size * w[0, 0].size, num_threads()
    cells = stored(geometry, True).cells
    kernel, _ = plans.choose(yv.channels, xv, cells, len(x) * xv.groups)
    if kernel == "dense":
        plan = plans.forward(geometry, xv, yv, wv, y.itemsize, threads)
        run_dense(plan, x, xv, flat(w), flat(y), macs)
    else:
        local = kernel != "thin"
        run_thin(
            plans.thin_forward(geometry, xv, yv, wv, local, threads), x, xv, flat(w), flat(y), macs
        )


def weight_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill w."""
    if not y.size:
        w[...] = 0
        return
    xv, yv, wv = view(x), view(y), strides(w)
    macs, threads = y.size * w[0, 0].size, num_threads()
    cells = stored(geometry, True).cells
    kernel, _ = plans.choose(yv.channels, xv, cells, xv.groups)
    if kernel != "dense":
        thin_plan = plans.thin_weight_grad(geometry, xv, yv, wv, kernel != "thin", threads)
        run_thin_weight_grad(thin_plan, x, xv, flat(w), flat(y), macs)
        return
    plan = plans.weight_grad(geometry, xv, yv, wv, y.itemsize, threads)
    if plan.pieces == 1:
        run_dense(plan, x, xv, flat(y), flat(w), macs)
        return
    partial_sums = np.empty((plan.pieces, *w.shape), w.dtype)
    run_dense(plan, x, xv, flat(y), partial_sums.reshape(-1), macs)
    np.sum(partial_sums, axis=0, out=w)


def input_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill x.

    The canvas of dy holds zeros that no tap looked at. They add nothing as long as the weights are
    finite; for others the sums are taken anew, by the definition.
    """
    if geometry.padding_mode != "zeros":
        canvas = np.empty((*x.shape[:3], prod(geometry.canvas_size)), x.dtype)
        input_grad(canvas, w, y, plans.bare(geometry))
        geometry.take_back(canvas, x)
        return
    seen = transposed(geometry)
    if not seen.covers:
        x[...] = 0
    if not x.size or not y.size:
        x[...] = 0
        return
    xv, yv, wv = view(x), view(y), strides(w)
    macs, threads = y.size * w[0, 0].size, num_threads()
    kernel, _ = plans.choose(xv.channels, yv, seen.cells, len(y) * yv.groups)
    broken = np.zeros(1 if seen.placement else 0, np.bool_)
    if kernel == "dense":
        plan = plans.input_grad(geometry, xv, yv, wv, y.itemsize, threads)
        run_dense(plan, y, yv, flat(w), flat(x), macs, broken)
    else:
        local = kernel != "thin"
        thin_plan = plans.thin_input_grad(geometry, xv, yv, wv, local, threads)
        run_thin(thin_plan, y, yv, flat(w), flat(x), macs, broken)
    if broken.any():
        canvas = np.empty((*x.shape[:3], prod(geometry.canvas_size)), x.dtype)
        task = partial(loops.scatter, canvas, w, y, geometry.taps, geometry.origins)
        share(task, prod(x.shape[:3]), macs)
        geometry.take_back(canvas, x)


def run_dense(plan: plans.Dense, a: Array, a_view: View, b: Array, out: Array, macs: int, broken: Array = NO_FLAG) -> None:
    canvas = placed(plan.placement, a, a_view, macs)
    task = partial(
        dense.contract, canvas, plan.rows, plan.steps, b, plan.b_steps, out, plan.places,
        plan.strides, plan.units, plan.height, broken,
    )  # fmt: skip
    share(task, len(plan.units), macs)


def run_thin(plan: plans.Thin, a: Array, a_view: View, b: Array, out: Array, macs: int, broken: Array = NO_FLAG) -> None:
    placement = plan.placement
    if plan.local or not placement.cells:
        canvas, cells = flat(a), placement.cells if plan.local else 0
    else:
        canvas, cells = placed(placement, a, a_view, macs), 0
    task = partial(
        thin.contract, canvas, plan.a_strides, cells, placement.row_cells, placement.row_sources,
        placement.runs, plan.rows, plan.ends, plan.steps, b, plan.b_steps, out,
        plan.places, plan.strides, plan.together, plan.lanes, plan.units, plan.depths,
        broken,
    )  # fmt: skip
    share(task, len(plan.units), macs)


def run_thin_weight_grad(
    plan: plans.ThinWeights, x: Array, x_view: View, w: Array, y: Array, macs: int
) -> None:
    placement = plan.placement
    if plan.local or not placement.cells:
        canvas, cells = flat(x), placement.cells if plan.local else 0
    else:
        canvas, cells = placed(placement, x, x_view, macs), 0
    task = partial(
        thin.weight_grad, canvas, plan.a_strides, cells, placement.row_cells,
        placement.row_sources, placement.runs, plan.origins, plan.length, plan.steps, y,
        plan.y_strides, w, plan.w_strides, plan.lanes, plan.units, plan.most,
    )  # fmt: skip
    share(task, len(plan.units), macs)


def placed(placement: Placement | None, a: Array, seen: View, macs: int) -> Array:
    """The canvas of an operand, flat: itself where nothing is padded."""
    if placement is None:
        return flat(a)
    channels = seen.groups * seen.channels
    size = seen.samples * channels * placement.cells
    check_fits(size * a.itemsize, "the padded input")
    lists = placement.row_cells, placement.row_sources, placement.runs
    if seen.last:
        canvas = np.zeros(size, a.dtype)
        task = partial(place_last, flat(a), seen.strides[0], canvas, placement.cells, channels, *lists)
        share(task, seen.samples * len(placement.row_cells), macs)
        return canvas
    canvas = np.empty(size + plans.slack(a.itemsize), a.dtype)
    canvas[size:] = 0
    x_n, _, x_c, x_i = seen.strides
    task = partial(place_all, flat(a), (x_n, x_c, x_i), canvas, placement.cells, channels, *lists)
    share(task, seen.samples * channels, macs)
    return canvas


def view(a: Array) -> View:
    """Sizes and strides of an operand (N, G, C/G, I)."""
    return View(*a.shape[:3], strides(a))


def strides(a: Array) -> tuple[int, ...]:
    """Strides in numbers, as of an array with no axis of length 1."""
    size = a.itemsize
    N, G, C, I = a.shape
    if a.flags.c_contiguous:
        return G * C * I, C * I, I, 1
    return tuple(stride // size for stride in a.strides)


def flat(a: Array) -> Array:
    """All numbers of an operand, as they lie in memory.

    A read-only array is seen as a writable one, for which Numba would compile everything twice.
    """
    if not a.flags.c_contiguous:
        a = a.transpose(0, 3, 1, 2)
    if not a.flags.writeable:
        a = np.asarray(Seen(a))
    return a.reshape(-1)


class Seen:
    """The memory of a read-only array. No kernel writes to an operand that it does not fill."""

    def __init__(self, a: Array) -> None:
        place, _ = a.__array_interface__["data"]
        self.__array_interface__ = {**a.__array_interface__, "data": (place, False)}
        self.owner = a


def warmup() -> None:
    """Compile every kernel for the dtypes that are used most, by calling it once."""
    for dtype in (np.float32, np.float64):
        for filters in (1, 16):
            geometry = Geometry.of(40, 3, padding=1)
            x, w = np.ones((1, 1, filters, 40), dtype), np.ones((1, filters, filters, 3), dtype)
            y = np.ones((1, 1, filters, 40), dtype)
            for operator in (forward, weight_grad, input_grad):
                operator(x, w, y, geometry)


def facts() -> dict[str, str]:
    """The processor that kernels are compiled for, its vectors, and the folder they are kept in."""
    return {
        "processor": llvm.get_host_cpu_name(),
        "vectors": f"{8 * vector_bytes()} bits",
        "kernels": str(dense.contract.stats.cache_path),
    }
