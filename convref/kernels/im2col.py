"""The same in NumPy: gather the columns, multiply matrices, scatter the columns back.

Row (c, t) of the column matrix is what tap t of channel c sees at each output position:

    cols[c, t, p] = canvas[c, tap[t] + origin[p]]

One sample at a time, so that no more than one sample's columns are held.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.geometry import Geometry
from convref.memory import check_fits

Array = NDArray[Any]


@np.errstate(all="ignore")
def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """``y = w @ cols``."""
    for sample, result in zip(geometry.canvas(x), y, strict=True):
        # (G, K/G, CT) @ (G, CT, P) -> (G, K/G, P)
        np.matmul(matrix(w), matrix_of_columns(sample, geometry), out=result)


@np.errstate(all="ignore")
def weight_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """``dw = dy @ cols.T``, summed over the batch."""
    w[...] = 0
    for sample, dy in zip(geometry.canvas(x), y, strict=True):
        # (G, K/G, P) @ (G, P, CT) -> (G, K/G, CT)
        matrix(w)[...] += dy @ matrix_of_columns(sample, geometry).swapaxes(-1, -2)


@np.errstate(all="ignore")
def input_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """``cols = w.T @ dy``, and every column is added where it was gathered from."""
    canvas = np.zeros((*x.shape[:-1], prod(geometry.canvas_size)), x.dtype)
    for sample, dy in zip(canvas, y, strict=True):
        # (G, CT, K/G) @ (G, K/G, P) -> (G, CT, P)
        scatter(matrix(w).swapaxes(-1, -2) @ dy, sample, geometry)
    geometry.take_back(canvas, x)


def matrix(w: Array) -> Array:
    """The weights (G, K/G, C/G, T) as matrices (G, K/G, CT)."""
    return w.reshape(*w.shape[:2], prod(w.shape[2:]))


def matrix_of_columns(canvas: Array, geometry: Geometry) -> Array:
    """Gather a canvas (..., C, S) into its column matrix (..., CT, P)."""
    *lead, channels, _ = canvas.shape
    rows, positions = channels * len(geometry.taps), len(geometry.origins)
    check_fits(prod(lead) * rows * positions * canvas.itemsize, "the matrix of columns")
    cells = np.add.outer(geometry.taps, geometry.origins)
    return np.take(canvas, cells, axis=-1).reshape(*lead, rows, positions)


def scatter(cols: Array, canvas: Array, geometry: Geometry) -> None:
    """Transpose of the gathering: add columns (..., CT, P) onto a canvas (..., C, S)."""
    by_tap = cols.reshape(*canvas.shape[:-1], len(geometry.taps), len(geometry.origins))
    for t, tap in enumerate(geometry.taps):
        # The cells of one tap are distinct, so += reaches each of them once.
        canvas[..., tap + geometry.origins] += by_tap[..., t, :]
