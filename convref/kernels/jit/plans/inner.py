"""Plans for kernels/jit/inner, where the channels that are seen fill the lanes."""

import numpy as np

from convref.geometry import Offsets
from convref.kernels.jit import inner
from convref.kernels.jit.crew import CHUNKS_PER_THREAD, Kernel, listed
from convref.kernels.jit.plans.plan import Ints, Plan, View, canvas_strides, placing
from convref.kernels.jit.units import ceil, cut, joined
from convref.phases import Phase, Seen

INNER = Kernel(inner.contract)

FEWEST = 64
"""Positions that are worth another packing of the weights."""


def contract(a: View, out: View, seen: Seen, w: Ints, itemsize: int, threads: int) -> Plan:
    """Sums over channels and taps, with the strides of w for a group, a depth and a lane."""
    a_n, a_g, _, a_i = canvas_strides(a, seen.placement)
    taps = in_panel(seen.phases)
    places = np.zeros(taps.max(initial=0) + 1, np.int64)
    places[taps] = np.arange(len(taps))
    cut_up = [stretches(phase, places, a_i == a.channels) for phase in seen.phases]
    spans, (at, steps, origins, positions) = joined(tuple(phase for phase, _ in cut_up))
    phases = np.array([
        (step_at, count, together * a.channels, row_at + row_count)
        for (row_at, row_count, step_at, count), (_, together) in zip(spans, cut_up, strict=True)
    ], np.int64).reshape(-1, inner.PHASE)  # fmt: skip
    blocks = ceil(CHUNKS_PER_THREAD * threads, a.samples * a.groups) if threads > 1 else 1
    blocks = max(1, min(blocks, len(origins) // FEWEST))
    edges = [cut(len(origins), block, blocks, 1) for block in range(blocks + 1)]
    first = np.searchsorted(phases[:, 3], edges, side="right")
    units = np.array([
        (sample, group, *edges[block : block + 2], first[block])
        for sample in range(a.samples) for group in range(a.groups) for block in range(blocks)
    ], np.int64)  # fmt: skip
    lists = (
        origins * a_i, positions * out.strides[3], steps * a_i, at * a.channels, taps, phases, units
    )  # fmt: skip
    words = listed(*lists, len(taps), out.channels, a.channels, a_n, a_g, *w[:3], *out.strides[:3])
    return Plan(placing(a, seen.placement, itemsize), INNER, words, len(units), lists)


def in_panel(phases: tuple[Phase, ...]) -> Offsets:
    """All taps that are met, in an order in which most phases find theirs as they see cells."""
    found: dict[int, None] = {}
    for phase in sorted(phases, key=lambda phase: len(phase.taps), reverse=True):
        found |= dict.fromkeys(phase.taps[np.argsort(phase.steps)].tolist())
    return np.array(list(found), np.int64)


def stretches(phase: Phase, places: Offsets, side_by_side: bool) -> tuple[Phase, int]:
    """The phase with a tap and step for each stretch, and the taps of a stretch.

    It begins with the tap at a place of the panel; its taps follow each other there, and see cells
    that do, if what is seen lies so.
    """
    order = np.argsort(phase.steps)
    at, steps = places[phase.taps[order]], phase.steps[order]
    breaks = np.flatnonzero((np.diff(at) != 1) | (np.diff(steps) != 1)) + 1
    lengths = np.diff([0, *breaks, len(steps)])
    together = int(lengths[0]) if side_by_side and len(set(lengths.tolist())) == 1 else 1
    return phase._replace(taps=at[::together], steps=steps[::together]), together
