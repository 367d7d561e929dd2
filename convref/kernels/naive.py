"""The definition, as loops: every product of the trilinear form, in order.

    y[n, g, k, p] = sum over c, t of  w[g, k, c, t] * canvas[n, g, c, tap[t] + origin[p]]

Read `forward` first. The two gradients are the same loops over the same products; only the array
that collects them differs.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.geometry import Geometry

Array = NDArray[Any]


@np.errstate(all="ignore")
def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each output sums, over channels and taps, weight times what the tap sees."""
    canvas = geometry.canvas(x)
    y[...] = 0
    for n, g, k, p in np.ndindex(y.shape):
        for c, t in np.ndindex(w.shape[2:]):
            cell = geometry.taps[t] + geometry.origins[p]
            y[n, g, k, p] += w[g, k, c, t] * canvas[n, g, c, cell]


@np.errstate(all="ignore")
def weight_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each weight sums, over batch and positions, output gradient times what its tap sees."""
    canvas = geometry.canvas(x)
    w[...] = 0
    for n, g, k, p in np.ndindex(y.shape):
        for c, t in np.ndindex(w.shape[2:]):
            cell = geometry.taps[t] + geometry.origins[p]
            w[g, k, c, t] += y[n, g, k, p] * canvas[n, g, c, cell]


@np.errstate(all="ignore")
def input_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each cell sums weight times output gradient over all the places where a tap saw it."""
    canvas = np.zeros((*x.shape[:-1], prod(geometry.canvas_size)), x.dtype)
    for n, g, k, p in np.ndindex(y.shape):
        for c, t in np.ndindex(w.shape[2:]):
            cell = geometry.taps[t] + geometry.origins[p]
            canvas[n, g, c, cell] += w[g, k, c, t] * y[n, g, k, p]
    geometry.take_back(canvas, x)
