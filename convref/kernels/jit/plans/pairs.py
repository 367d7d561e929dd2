"""Plans for kernels/jit/pairs: weights of channels convolved apart, side by side in memory."""

import numpy as np

from convref.geometry import Geometry
from convref.kernels.jit import pairs
from convref.kernels.jit.crew import Kernel, listed
from convref.kernels.jit.micro import VECTORS
from convref.kernels.jit.plans.plan import Plan, View, canvas_strides, placing
from convref.kernels.jit.units import best_height
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import stored

PAIRS = Kernel(pairs.weight_grad)


def weight_grad(g: Geometry, x: View, y: View, itemsize: int, threads: int) -> Plan:
    """Of each channel its own weights' gradient."""
    seen = stored(g, False)
    x_n, _, _, x_i = canvas_strides(x, seen.placement)
    T, P = len(seen.taps), len(seen.origins)
    lanes = vector_lanes(itemsize)
    vectors = VECTORS if x.groups >= VECTORS * lanes * threads else 1
    width = vectors * lanes
    units = np.array([
        (begin, min(begin + pairs.BLOCK, T), min(lane, x.groups - width), vectors)
        for begin in range(0, T, pairs.BLOCK)
        for lane in range(0, x.groups, width)
    ], np.int64)  # fmt: skip
    w_lanes = np.arange(max(lanes, 2)) * T  # the second tells the step
    lists = seen.taps * x_i, seen.origins * x_i, np.arange(P) * y.strides[3], units, w_lanes
    words = listed(*lists, best_height(min(T, pairs.BLOCK)), x.samples, P, T, x_n, y.strides[0])
    return Plan(placing(x, seen.placement, itemsize), PAIRS, words, len(units), lists)
