"""Operands as matrices, and the plan of their product: what kernels/jit/dense follows."""

from typing import NamedTuple

import numpy as np

from convref.geometry import Offsets
from convref.kernels.jit import dense
from convref.kernels.jit.crew import Kernel, listed
from convref.kernels.jit.parts import Parts
from convref.kernels.jit.plans.plan import UNASKED, Placing, Plan
from convref.kernels.jit.units import end_to_end, longest_run
from convref.kernels.jit.vectors import vector_lanes

DENSE = Kernel(dense.contract)


class Side(NamedTuple):
    """An operand as a matrix: indices (outer, inner) by depth (outer, inner), all in numbers."""

    each: Offsets
    """Where each inner index begins in the operand,"""
    places: Offsets
    """and in the result."""
    spans: list[tuple[int, int]]
    """Of each set of phases the first of these, and how many."""
    outer: int
    """How many outer indices there are,"""
    outer_steps: tuple[int, int]
    """and from one to the next the steps in the operand, and in the result."""
    depths: Offsets
    """Where each inner depth is in the operand,"""
    depth_step: int
    """and from one outer depth to the next the step."""
    group: int
    """From one group to the next."""
    size: int
    """Numbers of the operand."""

    @property
    def counts(self) -> list[int]:
        """Indices of each set of phases."""
        return [self.outer * count for _, count in self.spans]

    def listed(self, inner: Offsets, step: int) -> list[Offsets]:
        """For each set of phases the offsets of its indices, given those within an outer one."""
        outer = np.arange(self.outer) * step
        return [np.add.outer(outer, inner[at : at + n]).ravel() for at, n in self.spans]


def in_memory_order(
    depths: Offsets, spans: list[tuple[int, int]], chunks: list[int]
) -> tuple[Offsets, Offsets]:
    """The depths of each phase as they lie in memory, and for each the line of the panel it is.

    Those of more than a chunk come into a panel piece by piece, and each piece as it lies.
    """
    lists = [depths[at : at + count] for at, count in spans]
    orders = [
        end_to_end([
            begin + np.argsort(own[begin : begin + chunk], kind="stable")
            for begin in range(0, len(own), chunk)
        ])
        for own, chunk in zip(lists, chunks, strict=True)
    ]  # fmt: skip
    found = [at + order for (at, _), order in zip(spans, orders, strict=True)]
    return depths[end_to_end(found)], end_to_end(orders)


def product(
    first: Placing | None,
    rows: Side,
    lanes: Side,
    depths: list[tuple[int, int]],
    parts: Parts,
    units: Offsets,
    out_group: int,
    itemsize: int,
    flag: bool = False,
    in_sums: bool = False,
) -> Plan:
    """The plan of their product, for units that `table` made of these rows and lanes."""
    row_counts, sums = units[:, 6] - units[:, 5], units[:, 8] - units[:, 7]
    deepest = int(sums.max(initial=0))
    # What a number that is not finite leaves is found in the sums, where it need not be in the
    # panel, or where they are fewer.
    in_sums |= int(row_counts.max(initial=0)) < int(sums.min(initial=deepest))
    block, most = units[:, 11].max(initial=0), min(deepest, int(units[:, 12].max(initial=0)))
    of_lanes = lanes.listed(lanes.each, lanes.outer_steps[0])
    in_out = lanes.listed(lanes.places, lanes.outer_steps[1])
    vector = vector_lanes(itemsize)
    chunks = [int(units[units[:, 0] == n, 12].max(initial=1)) for n in range(len(depths))]
    b_depths, b_lines = in_memory_order(lanes.depths, depths, chunks)
    lists = rows.each, rows.places, b_depths, b_lines, units
    ends = end_to_end(of_lanes), end_to_end(in_out)
    sets = [
        (*row, at, count, *own, np.array_equal(b_lines[at : at + count], np.arange(count)))
        for row, (at, count), own in zip(rows.spans, depths, parts.sets, strict=True)
    ]
    own = (
        np.array(sets, np.int64), parts.parts, parts.runs, rows.depths[parts.seen],
        lanes.depths[parts.seen], parts.lines,
    )  # fmt: skip
    words = listed(
        *lists, UNASKED, in_sums, rows.group, rows.outer_steps[0], rows.depth_step,
        lanes.group, lanes.depth_step, ends[0], longest_run(of_lanes, vector), out_group,
        rows.outer_steps[1], ends[1], longest_run(in_out, vector), most, block, lanes.size,
        *own, parts.listed * len(parts.lines), parts.most,
    )  # fmt: skip
    kept = *lists, *ends, *own
    return Plan(first, DENSE, words, len(units), kept, flag=5 * flag)
