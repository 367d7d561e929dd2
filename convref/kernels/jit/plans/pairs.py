"""Plans for kernels/jit/pairs: channels convolved apart, side by side in memory."""

import numpy as np

from convref.geometry import Geometry, Offsets
from convref.kernels.jit import pairs
from convref.kernels.jit.crew import Kernel, listed
from convref.kernels.jit.plans.plan import Ints, Placing, Plan, View, canvas_strides, placing
from convref.kernels.jit.units import best_height, joined, pairs_table
from convref.phases import Seen, stored

PAIRS = Kernel(pairs.contract)


def contract(a: View, out: View, seen: Seen, itemsize: int, threads: int) -> Plan:
    """Each channel of a with its own weights, which lie as (T, G)."""
    a_n, _, _, a_i = canvas_strides(a, seen.placement)
    spans, (taps, steps, origins, positions) = joined(seen.phases)
    lists = origins * a_i, steps * a_i, taps * a.groups, positions * out.strides[3]
    units = pairs_table(spans, a.samples, a.groups, itemsize, threads)
    return _plan(placing(a, seen.placement, itemsize), lists, units, 1, (a_n, 0, 0, out.strides[0]))


def weight_grad(g: Geometry, x: View, y: View, itemsize: int, threads: int) -> Plan:
    """The weights' gradient, as (T, G)."""
    seen = stored(g, False)
    a_n, _, _, a_i = canvas_strides(x, seen.placement)
    T, P = len(seen.taps), len(seen.origins)
    y_steps, places = np.arange(P) * y.strides[3], np.arange(T) * x.groups
    lists = seen.taps * a_i, seen.origins * a_i, y_steps, places
    units = pairs_table([(0, T, 0, P)], 1, x.groups, itemsize, threads)
    first = placing(x, seen.placement, itemsize)
    return _plan(first, lists, units, x.samples, (0, a_n, y.strides[0], 0))


def _plan(
    first: Placing | None,
    lists: tuple[Offsets, ...],
    units: Offsets,
    outer_depth: int,
    strides: Ints,
) -> Plan:
    """Lists are those of rows, steps, steps of b, and places."""
    height = best_height(int((units[:, 7] - units[:, 6]).max(initial=1)))
    words = listed(*lists, units, height, outer_depth, *strides)
    return Plan(first, PAIRS, words, len(units), (*lists, units))
