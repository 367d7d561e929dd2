"""Where cells lie in memory for a back end that reads whole vectors of them.

Geometry says which cell a tap sees: ``canvas[tap[t] + origin[p]]``. Two things about that sum
decide how fast it can be read. Neighbouring positions are neighbouring cells only where the stride
is 1; and the gradient of the input, by its definition, adds to cells that lie all over the canvas.
Both are mended by sorting positions into *phases*, by their remainder modulo the stride:

- A canvas stored phase by phase holds side by side the cells that neighbouring positions see, for
  every stride, and is read through other taps and origins of the same form (`stored`).
- The input positions of one phase are seen by the same taps, and by those at a stride of 1. So the
  gradient of the input is one convolution of dy for every phase, each with its share of the taps
  (`transposed`), and every position is written once.
- An operand is seen without zeros around it where positions near its ends, which see fewer taps,
  are phases of their own (`unpadded`).
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise, product
from math import prod
from typing import NamedTuple

import numpy as np

from convref.geometry import Axis, Geometry, Offsets
from convref.memory import check_fits

MOST_PHASES = 1 << 12
"""Beyond so many phases of few positions each zeros around dy are the lesser evil."""


class Placement(NamedTuple):
    """How an input lies on a stored canvas: every row of it, along the last axis, in equal runs.

    ``canvas[row_cells[i] + cell + j * cell_step] = x[row_sources[i] + source + j * source_step]``
    for each run ``(cell, source, length, cell_step, source_step)``, all runs in one flat list.
    Cells that no run shows are zero.
    """

    cells: int
    row_cells: Offsets
    row_sources: Offsets
    runs: Offsets


class Stored(NamedTuple):
    """A canvas in memory, and where taps and positions see it."""

    placement: Placement | None
    """None where the input itself is the canvas."""
    cells: int
    taps: Offsets
    origins: Offsets


class Phase(NamedTuple):
    """The results of one phase (of the input's gradient, input positions), and what they see."""

    taps: Offsets
    """(t,) numbers of the kernel taps that this phase meets."""
    steps: Offsets
    """(t,) offset of each on the canvas of dy."""
    origins: Offsets
    """(i,) offset of each position on the canvas of dy."""
    positions: Offsets
    """(i,) the positions."""


class Seen(NamedTuple):
    """A placed operand as convolutions of it, one for each phase of the results."""

    placement: Placement | None
    cells: int
    phases: tuple[Phase, ...]
    covers: bool
    """Whether the phases hold every result; others, which no tap sees, are left out."""


@lru_cache(maxsize=128)
def stored(geometry: Geometry, by_phase: bool) -> Stored:
    """The canvas in its natural order, or phase by phase: then origins count by ones."""
    axes = geometry.axes
    strides = [_stride(axis) for axis in axes]
    if not by_phase or max(strides) == 1:
        cells = prod(geometry.canvas_size)
        if geometry.canvas_is_input:
            return Stored(None, cells, geometry.taps, geometry.origins)
        placement = _placement(axes, geometry.padding_mode, [np.arange(a.canvas) for a in axes])
        return Stored(placement, cells, geometry.taps, geometry.origins)
    lengths = [-(-axis.canvas // stride) for axis, stride in zip(axes, strides, strict=True)]
    where = [
        np.arange(axis.canvas) % stride * length + np.arange(axis.canvas) // stride
        for axis, stride, length in zip(axes, strides, lengths, strict=True)
    ]
    sizes = [stride * length for stride, length in zip(strides, lengths, strict=True)]
    taps = flat([cells[_taps(axis)] for cells, axis in zip(where, axes, strict=True)], sizes)
    origins = flat([np.arange(axis.output) for axis in axes], sizes)
    placement = _placement(axes, geometry.padding_mode, where, sizes)
    return Stored(placement, prod(sizes), taps, origins)


@lru_cache(maxsize=128)
def transposed(geometry: Geometry) -> Seen:
    """The phases of the input, for padding by zeros.

    On each axis position i has the cell ``x = i * input_dilation + lo``, and tap k of output
    position o sees it where ``x = o * stride + k * dilation``. Taps of the phase ``x % stride`` are
    those with the same ``k * dilation % stride``; for them ``o`` is ``x // stride`` less
    ``k * dilation // stride``. On a canvas of dy with ``margin`` zeros in front, that makes an
    origin ``x // stride`` and a step ``margin - k * dilation // stride``.
    """
    seen: list[Axis] = []
    per_axis: list[list[Phase]] = []
    for axis in geometry.axes:
        stride, along = _along(axis)
        margin = int(_taps(axis)[-1]) // stride
        size = (axis.canvas - 1) // stride + 1 + margin
        seen.append(Axis(axis.output, 1, 1, 1, 1, margin, size - margin - axis.output))
        per_axis.append([phase._replace(steps=phase.steps + margin) for phase in along])
    return _seen(seen, per_axis, geometry.kernel_size, geometry.input_size)


@lru_cache(maxsize=128)
def unpadded(geometry: Geometry, backward: bool) -> Seen | None:
    """The phases of the input as they see dy itself, or those of the outputs as they see x itself.

    Near the ends of an axis positions see fewer taps: those that see the same ones are a phase.
    None where these were too many; and for outputs that see more than inputs and zeros around them,
    or zeros alone through some tap, whose weight would then not be read at all.
    """
    around = backward or (geometry.padding_mode == "zeros" and all(map(_meets_all, geometry.axes)))
    if not around:
        return None
    per_axis = [_near_ends(axis, backward) for axis in geometry.axes]
    if prod(map(len, per_axis)) > MOST_PHASES:
        return None
    sizes, results = geometry.input_size, geometry.output_size
    if backward:
        sizes, results = results, sizes
    seen = [Axis(size, 1, 1, 1, 1, 0, 0) for size in sizes]
    return _seen(seen, per_axis, geometry.kernel_size, results)


def _near_ends(axis: Axis, backward: bool) -> list[Phase]:
    """The phases along an axis, in parts that see the same taps within what is there."""
    phases, size = (_along(axis)[1], axis.output) if backward else ([_forward(axis)], axis.size)
    return [part for phase in phases for part in _inside(phase, size)]


def _forward(axis: Axis) -> Phase:
    """All outputs along an axis, as they see an input without a margin, not spread out."""
    positions = np.arange(axis.output)
    steps = _taps(axis) - axis.lo
    return Phase(np.arange(axis.kernel), steps, positions * _stride(axis), positions)


def _meets_all(axis: Axis) -> bool:
    """Whether inputs are not spread out, and each tap meets one of them at some position."""
    _, steps, origins, _ = _forward(axis)
    first, stop = (np.searchsorted(origins, end - steps) for end in (0, axis.size))
    return axis.input_dilation == 1 and bool(np.all(first < stop))


def _along(axis: Axis) -> tuple[int, list[Phase]]:
    """The stride between positions of a phase, and the phases, on a dy without a margin."""
    # With one position every stride does: at the largest each phase is seen by one tap.
    taps, stride = _taps(axis), axis.canvas if axis.output == 1 else axis.stride
    positions = np.arange(axis.size)
    cells = positions * (axis.input_dilation if axis.size > 1 else 1) + axis.lo
    inside = (cells >= 0) & (cells < axis.canvas)
    along: list[Phase] = []
    for phase in range(stride):
        shown = inside & (cells % stride == phase)
        met = np.flatnonzero(taps % stride == phase)
        if shown.any():
            steps = -(taps[met] // stride)
            along.append(Phase(met, steps, cells[shown] // stride, positions[shown]))
    return stride, along


def _inside(phase: Phase, size: int) -> list[Phase]:
    """A phase in parts that see the same taps within an axis of this size.

    Position q sees the taps with ``0 <= q + step < size``; steps go up, or down.
    """
    ends = -phase.origins, size - phase.origins
    if np.all(np.diff(phase.steps) > 0):
        first, stop = (np.searchsorted(phase.steps, end) for end in ends)
    else:
        stop, first = (len(phase.steps) - np.searchsorted(phase.steps[::-1], end) for end in ends)
    breaks = np.flatnonzero((np.diff(first) != 0) | (np.diff(stop) != 0)) + 1
    return [
        Phase(
            *(own[first[at] : stop[at]] for own in phase[:2]), *(own[at:end] for own in phase[2:])
        )
        for at, end in pairwise([0, *breaks, len(first)])
    ]


def _seen(
    axes: list[Axis], per_axis: list[list[Phase]], kernel: Sequence[int], input_size: Sequence[int]
) -> Seen:
    """A canvas of dy with these axes, and the phases that taps meet, from those of each axis."""
    sizes = [axis.canvas for axis in axes]
    phases = tuple(
        Phase(
            flat([phase.taps for phase in combined], kernel),
            flat([phase.steps for phase in combined], sizes),
            flat([phase.origins for phase in combined], sizes),
            flat([phase.positions for phase in combined], input_size),
        )
        for combined in product(*per_axis)
        if all(len(phase.taps) for phase in combined)
    )
    covered = sum(len(phase.positions) for phase in phases)
    whole = all(axis.lo == axis.hi == 0 for axis in axes)
    placement = None if whole else _placement(tuple(axes), "zeros", [np.arange(n) for n in sizes])
    return Seen(placement, prod(sizes), phases, covered == prod(input_size))


def as_one_phase(seen: Stored) -> Seen:
    """A stored canvas, with all its positions and taps as a single phase."""
    T, P = len(seen.taps), len(seen.origins)
    phase = Phase(np.arange(T), seen.taps, seen.origins, np.arange(P))
    return Seen(seen.placement, seen.cells, (phase,), True)


def _stride(axis: Axis) -> int:
    """The stride, or a smaller one that does as well where there is one position."""
    return min(axis.stride, axis.canvas)


def _taps(axis: Axis) -> Offsets:
    """Cells of the taps along an axis; a dilation that nothing takes may be beyond 64 bits."""
    return np.arange(axis.kernel) * (axis.dilation if axis.kernel > 1 else 1)


def flat(alongs: list[Offsets], sizes: Sequence[int]) -> Offsets:
    """Flat offsets of a grid, given the offsets along each axis, by Horner's rule over the axes."""
    check_fits(8 * prod(map(len, alongs)), "the offsets of all positions")
    offsets = np.zeros(1, np.int64)
    for along, size in zip(alongs, sizes, strict=True):
        offsets = np.add.outer(offsets * size, along).ravel()
    return offsets


def _placement(
    axes: tuple[Axis, ...], mode: str, where: list[Offsets], sizes: list[int] | None = None
) -> Placement:
    """A placement, given where each cell along each axis is stored."""
    sizes = sizes or [axis.canvas for axis in axes]
    check_fits(prod(sizes), "the padded input")
    cells, sources = [], []
    for axis, cells_along in zip(axes, where, strict=True):
        source = axis.sources(mode)
        shown = source >= 0
        order = np.argsort(cells_along[shown])
        cells.append(cells_along[shown][order])
        sources.append(source[shown][order])
    rows = [*cells[:-1], np.zeros(1, np.int64)]
    row_sources = [*sources[:-1], np.zeros(1, np.int64)]
    return Placement(
        prod(sizes),
        flat(rows, sizes),
        flat(row_sources, [axis.size for axis in axes]),
        _runs(cells[-1], sources[-1], max(axes[-1].stride, axes[-1].input_dilation)),
    )


def _runs(cells: Offsets, sources: Offsets, reach: int) -> Offsets:
    """Cells and the sources that they show, as runs in which both go by equal steps."""
    steps = np.stack([np.diff(cells), np.diff(sources)], axis=1)
    near = np.abs(steps).max(axis=1, initial=0) <= reach
    turn = near[:-1] & np.any(steps[1:] != steps[:-1], axis=1)
    # A run begins after a leap, and where near steps change; so within it all steps are the same.
    begins = np.concatenate([[True], ~near[:1], ~near[1:] | turn])[: len(cells)]
    first = np.flatnonzero(begins)
    length = np.diff([*first, len(cells)])
    step = np.concatenate([steps, [[1, 1]]])[first]
    return np.column_stack([cells[first], sources[first], length, step]).ravel()
