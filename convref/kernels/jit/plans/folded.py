"""Plans for kernels/jit/dense: the input's gradient of few channels, which lie last.

Neighbouring positions are folded into one that has the channels of all: these fill the lanes.
"""

from functools import lru_cache
from math import prod

from convref.geometry import Geometry
from convref.kernels.jit.micro import VECTORS
from convref.kernels.jit.plans import dense
from convref.kernels.jit.plans.plan import Ints, Plan, View
from convref.kernels.jit.units import alike, ceil
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import fold_steps, folded, transposed


def input_grad(g: Geometry, x: View, y: View, itemsize: int, threads: int) -> Plan:
    """Lanes are the channels of several positions, whose weights have zeros around them.

    Products with these are NaN where ``dy`` is not finite: what is not finite shows in the sums.
    """
    seen, margins = folded(g, folds(g, x.channels, itemsize))
    T = prod(sum(around) + k for around, k in zip(margins, g.kernel_size, strict=True))
    strides = y.channels * x.channels * T, x.channels * T, T
    return dense.contract(y, x, seen, strides, True, itemsize, threads, margins)


@lru_cache(maxsize=128)
def folds(g: Geometry, channels: int, itemsize: int) -> Ints:
    """How many positions of each axis are best folded into one; none where it gains little.

    The cost is that of a position: the vectors of its lanes by the length of its sums.
    """
    if any(axis.input_dilation > 1 or axis.dilation > 1 for axis in g.axes):
        return ()
    lanes = vector_lanes(itemsize)
    plain = sum(
        ceil(len(own) * channels, lanes) * len(own[0].taps) * len(own[0].origins)
        for own in alike(transposed(g).phases)
    )

    def cost(own: Ints) -> float:
        sums = prod(len(fold_steps(*pair)) for pair in zip(g.axes, own, strict=True))
        return ceil(prod(own) * channels, lanes) * sums / prod(own)

    most = VECTORS * lanes // channels
    found: list[Ints] = [()]
    for s in [axis.stride for axis in g.axes]:
        found = [(*own, f) for own in found for f in range(s, most // prod(own) + 1, s)]
    best = min(found, key=cost, default=())
    return best if best and 4 * cost(best) * prod(g.input_size) <= 3 * plain else ()
