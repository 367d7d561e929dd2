"""The same in Numba: tile by tile, on several threads, with nothing unrolled in memory.

Groups with enough filters to fill a register tile go to `dense`, the others to `thin`; the weight
gradient goes where it takes the least effort. Each kernel takes a range of units of work; `share`
spreads the units over the threads.

Compiled kernels are kept on disk and go by the time stamp of their own file: who changes micro.py
or flat.py deletes the ``*.nbi`` and ``*.nbc`` files in ``__pycache__``.
"""

from functools import partial
from math import gcd, prod
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

from convref.geometry import Geometry
from convref.kernels.jit import dense, thin
from convref.kernels.jit.crew import CHUNKS_PER_THREAD, share
from convref.kernels.jit.micro import tile_shape, vector_bytes
from convref.threads import num_threads

Array = NDArray[Any]

DENSE_FROM = 8
"""Filters a group must have for a register tile to pay."""
PANELS = 8
"""Panels of positions that share one read of the weights."""
ROW_TILES = 32
"""Tiles of rows that share one packed panel, at most."""
ROW_EFFORT, MAC_EFFORT = 20, 0.3
"""Cycles that a dot product along a row takes to begin, and for each of its multiply-adds."""


def forward(canvas: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill y: gather a panel of columns, multiply it by the weights, store the tile."""
    N, G, K, P = y.shape
    macs = y.size * w[0, 0].size
    arrays = (canvas, w, y, geometry.taps, geometry.origins)
    if K < DENSE_FROM:
        width, step = row(geometry)
        block = width * pieces(N * G, P // width)
        units = N * G * ceil(P, block)
        share(partial(thin.forward, *arrays, width, step, block), units, macs)
        return
    rows, lanes = tile_shape(y.itemsize)
    panels = ceil(P, lanes)
    blocks = max(ceil(panels, PANELS), min(wanted(N * G), ceil(panels, 2)))
    splits = min(ceil(K, rows), wanted(N * G * blocks))
    units = N * G * blocks * splits
    share(partial(dense.forward, *arrays, blocks, splits), units, macs)


def weight_grad(canvas: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill w: multiply y by the columns, read where they lie on the canvas."""
    G, K, C, T = w.shape
    macs = y.size * C * T
    arrays = (canvas, w, y, geometry.taps, geometry.origins)
    width, step = row(geometry)
    rows, lanes = tile_shape(y.itemsize)

    def effort(left: int, right: int) -> int:
        """Cycles per position of a product of tiles, and of packing its right operand."""
        return ceil(left, rows) * rows * ceil(right, lanes) + right

    by_columns, by_filters = effort(K, C * T), effort(C * T, K)
    if K * C * T * (ROW_EFFORT / width + MAC_EFFORT) < min(by_columns, by_filters):
        share(partial(thin.weight_grad, *arrays, width, step), w.size, macs)
        return
    # Each operand as a matrix: the offsets of its rows and of its positions.
    channels = np.arange(C) * canvas.shape[3]
    columns = canvas, np.add.outer(channels, geometry.taps).ravel(), geometry.origins
    filters = y, np.arange(K) * y.shape[3], np.arange(y.shape[3])
    if by_columns < by_filters:
        left, right, strides = filters, columns, (C * T, 1)
    else:
        left, right, strides = columns, filters, (1, C * T)
    panels = ceil(len(right[1]), lanes)
    tiles = ceil(len(left[1]), rows)
    block = rows * min(ROW_TILES, pieces(G * panels, tiles))
    units = G * panels * ceil(len(left[1]), block)
    share(partial(dense.weight_grad, *left, *right, w, strides, block), units, macs)


def input_grad(canvas: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill canvas: multiply the weights by y, add each row of the tile where its tap looked."""
    N, G, C, _ = canvas.shape
    macs = y.size * w[0, 0].size
    arrays = (canvas, w, y, geometry.taps, geometry.origins)
    if w.shape[1] < DENSE_FROM:
        share(partial(thin.input_grad, *arrays, *row(geometry)), N * G * C, macs)
        return
    rows, _ = tile_shape(y.itemsize)
    # Whole tiles of rows (c, t): where a tile begins decides the order in which a cell's sum is
    # taken, and that must not depend on the number of threads.
    whole = rows // gcd(rows, geometry.taps.size)
    least = ceil(dense.PACK_FROM * rows, geometry.taps.size)
    block = whole * ceil(max(least, pieces(N * G, C)), whole)
    units = N * G * ceil(C, block)
    share(partial(dense.input_grad, *arrays, block), units, macs)


def row(geometry: Geometry) -> tuple[int, int]:
    """Length of a row of output positions, and the distance of its origins."""
    width = geometry.output_size[-1]
    return width, geometry.axes[-1].stride if width > 1 else 1


def wanted(units: int) -> int:
    """Into how many parts to cut each of ``units`` so that the threads have enough of them."""
    return ceil(CHUNKS_PER_THREAD * num_threads(), max(units, 1))


def pieces(units: int, length: int) -> int:
    """How long to cut ``length`` so that every thread has work, with ``units`` of it already."""
    return ceil(length, wanted(units))


def ceil(length: int, step: int) -> int:
    """``length / step``, rounded up."""
    return -(-length // step)


def warmup() -> None:
    """Compile every kernel for the dtypes that are used most, by calling it once."""
    thin_case, dense_case = (1, Geometry.of(99, 2)), (DENSE_FROM, Geometry.of(5, 4))
    for dtype in (np.float32, np.float64):
        for filters, geometry in (thin_case, dense_case):
            cells, taps, positions = (
                prod(sizes)
                for sizes in (geometry.canvas_size, geometry.kernel_size, geometry.output_size)
            )
            canvas = np.ones((1, 1, 1, cells), dtype)
            w, y = np.ones((1, filters, 1, taps), dtype), np.ones((1, 1, filters, positions), dtype)
            for operator in (forward, weight_grad, input_grad):
                operator(canvas, w, y, geometry)


def facts() -> dict[str, str]:
    """The processor that kernels are compiled for, its vectors, and the folder they are kept in."""
    return {
        "processor": llvm.get_host_cpu_name(),
        "vectors": f"{8 * vector_bytes()} bits",
        "kernels": str(dense.forward.stats.cache_path),
    }
