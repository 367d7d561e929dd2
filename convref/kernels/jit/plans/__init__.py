"""Which kernel a convolution gets, and its operands as lists of offsets and units of work.

`choice` makes the choice. A file for each kernel writes down, once for every geometry and kept,
what the kernel then only follows: offsets, strides, and a line of integers for each unit of work.
"""

from functools import lru_cache
from math import prod

from convref.geometry import Axis, Geometry, Offsets
from convref.kernels.jit import loops
from convref.kernels.jit.crew import Kernel, listed
from convref.kernels.jit.plans import beside, dense, grouped, inner, thin
from convref.kernels.jit.plans.plan import Ints, Plan, View, canvas_strides
from convref.kernels.jit.units import alike, end_to_end, most_taps
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import (
    Phase,
    Placement,
    Seen,
    as_one_phase,
    stored,
    transposed,
    unpadded,
)

SCATTER = Kernel(loops.scatter)

REACH, LONG, MANY = 1 << 14, 1 << 11, 5
"""Cells from the first tap to the last up to which a slab holds both; and cells of a canvas whose
numbers are not worth moving for the sake of fewer than so many taps."""
FEW = 8
"""Channels of a group up to which a tile of them stays too empty: then positions fill the lanes."""
SHALLOW, LARGE, USES = 128, 1 << 11, 100
"""Products in a sum up to which all that a tile of positions sees stays in the nearest cache; the
fewest positions for that to be of use; and the fewest products of each number of the input that are
worth storing a canvas phase by phase."""
DEEP, ENOUGH, EMPTY = 1 << 13, 128, 16
"""Products in a sum for which a tile of positions may still need a copy of all that it sees; the
fewest positions that fill tiles well; and one lane in how many may stay empty in a tile of them."""
SCRATCH, SMALL = 1 << 16, 1 << 12
"""Numbers of a group's canvases that a unit may place in a scratch array of its own, and those that
one unit may place for all others."""


def choose(
    seen: View, other: View, cells: int, taps: Offsets, units: int, itemsize: int,
    phases: tuple[Phase, ...],
) -> tuple[str, str]:  # fmt: skip
    """The kernel for an operator, and why.

    ``seen`` is the operand that is read in place, ``cells`` the size of its canvas, ``taps`` where
    it is seen, ``units`` how many of its groups can be placed at once, and ``phases`` those whose
    positions might fill the lanes; ``other`` has its channels there else.
    """
    lanes, first = other.channels, not seen.last and not other.last
    apart = first and lanes == seen.channels == 1 and seen.groups >= vector_lanes(itemsize)
    if apart and max(taps, default=0) <= REACH and (len(taps) >= MANY or cells < LONG):
        return "beside", "channels are convolved apart: brought side by side, each has a lane"
    if lanes > FEW and first:
        depth, positions = seen.channels * most_taps(phases), neighbours(phases)
        if depth <= SHALLOW and positions >= LARGE:
            return "thin", "sums are short: positions fill the lanes, and nothing has to be packed"
        if depth <= DEEP and positions >= ENOUGH and leaves_empty(lanes, vector_lanes(itemsize)):
            return "thin", f"{lanes} channels leave lanes of a tile empty: positions fill them"
    if lanes > FEW:
        return "dense", f"the {lanes} channels of a group are enough to fill tiles with"
    few = "few channels in a group would leave lanes empty, so positions fill them"
    size = seen.channels * cells
    if size <= SCRATCH and (units > 1 or seen.last or size <= SMALL):
        return "thin, in scratch", f"{few}; the canvas of a group is small enough to stay in cache"
    if seen.last:
        return "dense", "positions can't fill the lanes, for channels lie side by side"
    return "thin", f"{few}, on a canvas in memory"


def neighbours(phases: tuple[Phase, ...]) -> int:
    """The fewest positions of a phase, where nearly all of them lie side by side; else 0."""
    fewest = min((len(phase.origins) for phase in phases), default=0)
    nearly = fewest > 0 and all(
        3 * (phase.origins[-1] - phase.origins[0]) < 4 * len(phase.origins) for phase in phases
    )
    return fewest if nearly else 0


def few_see_many(
    seen: View, other: View, placement: Placement | None, phases: tuple[Phase, ...], itemsize: int
) -> bool:
    """Whether few channels see many, side by side; not where phases that see alike fill lanes.

    Channels of a single position lie so in either layout: what `Linear` computes of a row must not
    depend on how many rows there are.
    """
    beside = len(phases) if len(alike(phases)) == 1 else 1
    side_by_side = canvas_strides(seen, placement)[2] == 1
    many = side_by_side and 2 * seen.channels >= vector_lanes(itemsize)
    return many and other.channels <= FEW and (beside == 1 or other.channels * beside < FEW)


def leaves_empty(lanes: int, vector: int) -> bool:
    """Whether tiles of so many lanes have a single vector, or too many empty lanes in the last."""
    return lanes <= vector or -lanes % vector * EMPTY > lanes


def choice(operator: str, g: Geometry, x: View, y: View, itemsize: int) -> tuple[str, str]:
    """The kernel for an operator on these operands, and why."""
    backward = operator == "input_grad"
    seen, other = (y, x) if backward else (x, y)
    if grouped.fits(seen, other, itemsize):
        return "grouped", "groups have few channels, side by side: those of several fill the lanes"
    if operator == "weight_grad":
        return choose(x, y, stored(g, True).cells, g.taps, x.groups, itemsize, ())
    met = transposed(g) if backward else as_one_phase(stored(g, True))
    placement = None if backward else stored(g, False).placement
    few = few_see_many(seen, other, placement, met.phases, itemsize)
    if few and (not backward or unpadded(g, True)):
        return "inner", "few channels see many, side by side: what they see fills the lanes"
    strides = prod(axis.stride for axis in g.axes)
    uses = backward or strides == 1 or y.channels * len(g.taps) >= USES * strides
    taps = end_to_end([phase.steps for phase in met.phases]) if backward else g.taps
    units = seen.samples * seen.groups
    return choose(seen, other, met.cells, taps, units, itemsize, met.phases if uses else ())


def forward(g: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int) -> Plan:
    """``y = w @ cols``: rows are positions, lanes filters, depth (c, t)."""
    kernel, _ = choice("forward", g, x, y, itemsize)
    seen = as_one_phase(stored(g, kernel.startswith("thin")))
    strides = w[0], w[2], w[1]
    itself = seen_itself("forward", kernel, g, seen, x, y, strides, itemsize)
    plan = contract(kernel, x, y, seen, itself, strides, itself is not None, itemsize, threads)
    return plan._replace(covers=seen.covers)


def forward_among_zeros(
    g: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int
) -> Plan:
    """The same with all zeros of the padding in place, for weights that are not finite."""
    seen = as_one_phase(stored(g, False))
    return contract("dense", x, y, seen, None, (w[0], w[2], w[1]), False, itemsize, threads)


def input_grad(g: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int) -> Plan:
    """``dx``, phase by phase: rows are input positions, lanes channels, depth (k, t)."""
    kernel, _ = choice("input_grad", g, x, y, itemsize)
    seen = (kernel == "inner" and unpadded(g, True)) or transposed(g)
    itself = seen_itself("input_grad", kernel, g, seen, y, x, w, itemsize)
    zeros = seen.placement is not None and itself is None
    plan = contract(kernel, y, x, seen, itself, w, zeros, itemsize, threads)
    return plan._replace(covers=seen.covers)


def seen_itself(
    operator: str, kernel: str, g: Geometry, seen: Seen, a: View, out: View, w: Ints, itemsize: int
) -> Seen | None:
    """The operand itself, where that takes `dense` less time than to see it among zeros.

    Then nothing is placed, and positions near the ends of an axis see fewer taps. Sums are the
    same, for they go in the same order.
    """
    if kernel != "dense" or seen.placement is None:
        return None
    itself = unpadded(g, operator == "input_grad")
    return itself if itself and dense.sees_itself(a, out, seen, itself, w, itemsize) else None


def contract(
    kernel: str, a: View, out: View, seen: Seen, itself: Seen | None, w: Ints, flag: bool,
    itemsize: int, threads: int,
) -> Plan:  # fmt: skip
    """A plan for sums over channels and taps.

    ``w`` are the strides of the weights for a group, a depth and a lane, and ``flag`` asks whether
    they are finite.
    """
    if kernel == "beside":
        return beside.contract(a, out, seen, w, flag, itemsize, threads)
    if kernel == "dense":
        return dense.contract(a, out, seen, itself, w, flag, itemsize, threads)
    if kernel == "inner":
        return inner.contract(a, out, seen, w, itemsize, threads)
    if kernel == "grouped":
        return grouped.contract(a, out, seen, w, flag, itemsize, threads)
    return thin.contract(a, out, seen, w, "scratch" in kernel, flag, itemsize, threads)


def weight_grad(g: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int) -> Plan:
    """``dw = dy @ cols.T``: rows are (c, t), lanes filters, depth (n, p); or dot products."""
    kernel, _ = choice("weight_grad", g, x, y, itemsize)
    if kernel == "grouped":
        return grouped.weight_grad(g, x, y, w, itemsize, threads)
    if kernel == "beside":
        return beside.weight_grad(g, x, y, w, itemsize)
    if kernel == "dense":
        return dense.weight_grad(g, x, y, w, itemsize, threads)
    return thin.weight_grad(g, x, y, w, "scratch" in kernel, itemsize, threads)


@lru_cache(maxsize=128)
def scattering(g: Geometry, samples: int, w_shape: Ints) -> Plan:
    """The input gradient on the plain canvas, by its definition."""
    taps, origins = g.taps, g.origins
    G, K, C, T = w_shape
    words = listed(taps, origins, G, K, C, T, len(origins), prod(g.canvas_size))
    return Plan(None, SCATTER, words, samples * G * C, (taps, origins))


@lru_cache(maxsize=128)
def bare(geometry: Geometry) -> Geometry:
    """The same taps and positions over a canvas that is given as the input."""
    axes = tuple(
        Axis(axis.canvas, axis.kernel, axis.stride, axis.dilation, 1, 0, 0)
        for axis in geometry.axes
    )
    return Geometry(axes, geometry.groups, "zeros")
