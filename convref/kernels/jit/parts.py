"""Rows of phases by the depths that they see: tables for `rows` and `dense`.

A position near the ends of an axis sees fewer taps than others. As in `phases.unpadded`, those that
see the same ones belong together; but they stay rows of the phase they are of, beside each other in
the result, and share its panel of weights.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from convref.geometry import Offsets
from convref.kernels.jit.rows import best_height, cost_of_tile
from convref.kernels.jit.units import Span, end_to_end, joined
from convref.phases import Phase, Seen

PLACED, SORTED = 3, 20
"""Half cycles that it takes to place a cell of a channel, and to give a row of parts its slot."""


class Parts(NamedTuple):
    """Sets of phases, each with its rows in parts."""

    sets: Offsets
    """(sets, 4): the first part, how many; the first run of rows, how many."""
    parts: Offsets
    """(parts, 2): where the depths that a part sees begin, and end, in the next two lists."""
    runs: Offsets
    """(runs, 2): the first of rows beside each other that are of one part, and that part."""
    seen: Offsets
    """Depths, among those of all sets,"""
    lines: Offsets
    """and their numbers within their set."""
    listed: bool
    """Whether a part may see less than all depths of its set."""

    @property
    def most(self) -> int:
        """Parts of a set, at most."""
        return int(self.sets[:, 1].max(initial=0))


def whole(spans: Sequence[Span], across: int = 1) -> Parts:
    """All rows see all depths; but those that are ``across`` apart are parts nevertheless."""
    sets = [(across * n, across, across * n, across) for n in range(len(spans))]
    parts = [(at, at + count) for _, _, at, count in spans for _ in range(across)]
    runs = [(row, row) for _ in spans for row in range(across)]
    lines = end_to_end([np.arange(count) for _, _, _, count in spans])
    return Parts(*_tables(sets, parts, runs), np.arange(len(lines)), lines, False)


def near_ends(
    phases: Sequence[Phase], itself: Seen, spans: Sequence[Span], numbers: Sequence[Offsets]
) -> Parts:
    """Positions see the taps that they do where the operand is seen ``itself``.

    ``numbers`` are, for each phase, (taps, channels) those of its depths.
    """
    sets: list[tuple[int, ...]] = []
    parts: list[tuple[int, int]] = []
    runs: list[tuple[int, int]] = []
    seen: list[Offsets] = []
    lines: list[Offsets] = []
    end = 0
    for phase, (_, _, at, _), own in zip(phases, spans, numbers, strict=True):
        found, part = np.unique(_phases_of(phase, itself), return_inverse=True)
        begins = np.flatnonzero(np.diff(part, prepend=-1))
        sets.append((len(parts), len(found), len(runs), len(begins)))
        runs += zip(begins.tolist(), part[begins].tolist(), strict=True)
        for number in found:
            met = np.sort(own[np.isin(phase.taps, _taps(itself, number))], axis=None)
            seen.append(at + met)
            lines.append(met)
            parts.append((end, end + len(met)))
            end += len(met)
    return Parts(*_tables(sets, parts, runs), end_to_end(seen), end_to_end(lines), True)


def on_itself(phase: Phase, itself: Seen) -> Phase:
    """The same phase, with its steps and origins on the operand itself.

    Those of taps that nothing is seen through, and of positions that see nothing, do not matter.
    """
    taps, steps, origins, positions = joined(itself.phases)[1]
    return phase._replace(
        steps=_looked_up(phase.taps, taps, steps),
        origins=_looked_up(phase.positions, positions, origins),
    )


def pay(
    phases: Sequence[Phase], itself: Seen, channels: int, lanes: Sequence[Sequence[int]], cells: int
) -> bool:
    """Whether parts take less time than a canvas of so many cells and the products with its zeros.

    ``channels`` are those that are seen, ``lanes`` for each phase the vectors of its tiles.
    """
    spared = PLACED * cells * channels
    for phase, tiles in zip(phases, lanes, strict=True):
        found, counts = np.unique(_phases_of(phase, itself), return_counts=True)
        parts = [(len(phase.taps), len(phase.positions))]
        for number, count in zip(found, counts.tolist(), strict=True):
            parts.append((-len(_taps(itself, number)), count))
        for vectors in tiles:
            spared += channels * sum(T * _cost(rows, vectors) for T, rows in parts)
            spared -= SORTED * len(phase.positions)
    return spared > 0


def _cost(rows: int, vectors: int) -> int:
    """Half cycles that rows take at each depth."""
    height = best_height(rows, vectors)
    rest = rows % height
    last = cost_of_tile(best_height(rest, vectors, height), vectors) if rest else 0
    return int(rows // height * cost_of_tile(height, vectors) + last)


def _phases_of(phase: Phase, itself: Seen) -> Offsets:
    """For each position the number of its phase among those that see the operand itself, or -1."""
    counts = [len(own.positions) for own in itself.phases]
    numbers = np.repeat(np.arange(len(counts)), counts)
    return _looked_up(phase.positions, joined(itself.phases)[1][3], 1 + numbers) - 1


def _taps(itself: Seen, number: int) -> Offsets:
    return itself.phases[number].taps if number >= 0 else np.zeros(0, np.int64)


def _looked_up(wanted: Offsets, keys: Offsets, values: Offsets) -> Offsets:
    """The value of each key that is wanted, or zero."""
    found = np.zeros(1 + max(wanted.max(initial=0), keys.max(initial=0)), np.int64)
    found[keys] = values
    return found[wanted]


def _tables(
    sets: Sequence[Sequence[int]], parts: Sequence[Sequence[int]], runs: Sequence[Sequence[int]]
) -> tuple[Offsets, Offsets, Offsets]:
    """The lists as arrays, also where there is nothing in them."""
    return (
        np.array(sets, np.int64).reshape(-1, 4), np.array(parts, np.int64).reshape(-1, 2),
        np.array(runs, np.int64).reshape(-1, 2),
    )  # fmt: skip
