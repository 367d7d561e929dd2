"""Which kernel a convolution gets, and its operands as offsets and units of work.

`choose` is the choice; the rest writes down, once for every geometry and kept, what the kernels
then only follow: lists of offsets, and a table with a line of integers for each unit of work.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convref.geometry import Axis, Geometry, Offsets
from convref.kernels.jit.micro import FULL, HEIGHTS, VECTORS
from convref.kernels.jit.vectors import vector_lanes
from convref.phases import Phase, Placement, stored, transposed

Ints = tuple[int, ...]
Array = NDArray[Any]

FEW = 8
"""Channels of a group up to which a tile of them stays too empty: then positions fill the lanes."""
SCRATCH = 1 << 16
"""Numbers of a group's canvas that a unit may place in a scratch array of its own."""
UNITS_PER_THREAD = 4
"""Enough for threads to finish together on a busy machine, few enough to cost nothing."""
ROWS_PER_UNIT = 120
"""Rows that must share a packed panel for its packing not to count."""
PIECE = 2048
"""Depth of a piece of a sum that is cut for the threads' sake."""
PIECES = 16
PARTIAL = 1 << 20
"""Numbers that partial sums may take."""


class View(NamedTuple):
    """An operand (N, G, C/G, I) in memory: its sizes and its strides, in numbers."""

    samples: int
    groups: int
    channels: int
    strides: Ints

    @property
    def last(self) -> bool:
        """Whether channels lie side by side, as in channels_last."""
        return self.strides[3] != 1


def choose(lanes: int, view: View, cells: int, units: int) -> tuple[str, str]:
    """The kernel for so many channels in the lanes, and why.

    ``view`` is the operand that is read in place and ``cells`` the size of its canvas.
    """
    local = view.channels * cells <= SCRATCH and units > 1
    if lanes > FEW:
        return "dense", f"{lanes} channels of a group fill the lanes of a tile"
    if local:
        return "thin, placed by unit", f"{lanes} channels leave lanes empty; positions fill them"
    if view.last:
        return "dense", "channels lie side by side, and a canvas by positions would transpose them"
    return "thin", f"{lanes} channels leave lanes empty; positions fill them"


class Dense(NamedTuple):
    """Arguments of dense.contract beside the arrays."""

    placement: Placement | None
    cells: int
    rows: Offsets
    steps: Offsets
    b_steps: Offsets
    places: Offsets
    strides: Ints
    units: Offsets
    height: int
    pieces: int


def canvas_strides(view: View, placement: Placement | None, cells: int) -> Ints:
    """Strides of a sample, group, channel and cell of the canvas, in the layout of the input."""
    if placement is None:
        return view.strides
    channels = view.groups * view.channels
    if view.last:
        return cells * channels, view.channels, 1, channels
    return channels * cells, view.channels * cells, cells, 1


def best_height(rows: int) -> int:
    """The height of tiles that covers the rows in the fewest cycles, about half of one extra each."""
    return min(HEIGHTS, key=lambda height: -(-rows // height) * (max(height, 4) + 0.5))


def table(
    phases: Sequence[tuple[int, int, int, int]], samples: int, depth_outer: int, groups: int,
    lanes: int, itemsize: int, height: int, threads: int, depth_pieces: int = 1, out_size: int = 0,
    rows_outer: int | None = None,
) -> Offsets:  # fmt: skip
    """Units of dense.contract, a line each.

    A phase is (row_at, row_count, step_at, step_count); it has ``samples * row_count`` rows and
    ``depth_outer * step_count`` of depth.
    """
    width = VECTORS * vector_lanes(itemsize)
    tiles = -(-lanes // width)
    whole = sum(samples * count for _, count, _, _ in phases)
    others = groups * tiles * depth_pieces
    lines = []
    for row_at, row_count, step_at, step_count in phases:
        rows, depth = samples * row_count, depth_outer * step_count
        wanted = -(-UNITS_PER_THREAD * threads * rows // max(1, others * whole))
        least = max(ROWS_PER_UNIT, height)
        blocks = max(1, min(wanted, rows // least)) if threads > 1 else 1
        for group in range(groups):
            for block in range(blocks):
                m_begin = cut(rows, block, blocks, height)
                m_end = cut(rows, block + 1, blocks, height)
                for piece in range(depth_pieces):
                    d_begin = cut(depth, piece, depth_pieces, PIECE // 2)
                    d_end = cut(depth, piece + 1, depth_pieces, PIECE // 2)
                    for tile in range(tiles):
                        lane = tile * width
                        lines.append((
                            row_at, row_count, step_at, step_count, group, lane,
                            min(width, lanes - lane), m_begin, m_end, d_begin, d_end,
                            piece * out_size,
                        ))  # fmt: skip
    return np.array(lines, np.int64).reshape(-1, 12)


def cut(length: int, part: int, parts: int, step: int) -> int:
    """Where a part begins when a length is cut at multiples of ``step``."""
    return length if part == parts else length * part // parts // step * step


@lru_cache(maxsize=256)
def forward(
    geometry: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int
) -> Dense:
    """``y = w @ cols``: rows are positions, lanes filters, depth (c, t)."""
    seen = stored(geometry, False)
    a_n, a_g, a_c, a_i = canvas_strides(x, seen.placement, seen.cells)
    T, P = len(seen.taps), len(seen.origins)
    height = best_height(x.samples * P)
    return Dense(
        seen.placement,
        seen.cells,
        seen.origins * a_i,
        seen.taps * a_i,
        np.arange(T),
        np.arange(P) * y.strides[3],
        (a_g, a_n, a_c, w[0], w[2], w[1], y.strides[1], y.strides[0], y.strides[2]),
        table([(0, P, 0, T)], x.samples, x.channels, x.groups, y.channels, itemsize, height, threads),
        height,
        1,
    )


@lru_cache(maxsize=256)
def input_grad(
    geometry: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int
) -> Dense:
    """``dx``, phase by phase: rows are input positions, lanes channels, depth (k, t)."""
    seen = transposed(geometry)
    a_n, a_g, a_k, a_i = canvas_strides(y, seen.placement, seen.cells)
    phases, (taps, steps, origins, positions) = joined(seen.phases)
    height = best_height(y.samples * max((count for _, count, _, _ in phases), default=1))
    return Dense(
        seen.placement,
        seen.cells,
        origins * a_i,
        steps * a_i,
        taps,
        positions * x.strides[3],
        (a_g, a_n, a_k, w[0], w[1], w[2], x.strides[1], x.strides[0], x.strides[2]),
        table(phases, y.samples, y.channels, y.groups, x.channels, itemsize, height, threads),
        height,
        1,
    )


@lru_cache(maxsize=256)
def weight_grad(
    geometry: Geometry, x: View, y: View, w: Ints, itemsize: int, threads: int
) -> Dense:
    """``dw = dy @ cols.T``: rows are (c, t), lanes filters, depth (n, p)."""
    seen = stored(geometry, False)
    a_n, a_g, a_c, a_i = canvas_strides(x, seen.placement, seen.cells)
    T, P = len(seen.taps), len(seen.origins)
    rows, size = x.channels * T, y.groups * y.channels * x.channels * T
    height = best_height(rows)
    tiles = y.groups * -(-y.channels // (VECTORS * vector_lanes(itemsize)))
    whole = tiles * -(-rows // (2 * ROWS_PER_UNIT))
    pieces = max(1, min(PIECES // whole, x.samples * P // PIECE, PARTIAL // size))
    return Dense(
        seen.placement,
        seen.cells,
        seen.taps * a_i,
        seen.origins * a_i,
        np.arange(P) * y.strides[3],
        np.arange(T) * w[3],
        (a_g, a_c, a_n, y.strides[1], y.strides[0], y.strides[2], w[0], w[2], w[1]),
        table(
            [(0, T, 0, P)], x.channels, x.samples, x.groups, y.channels, itemsize, height, threads,
            pieces, size,
        ),
        height,
        pieces,
    )  # fmt: skip


def joined(phases: tuple[Phase, ...]) -> tuple[list[tuple[int, int, int, int]], list[Offsets]]:
    """The lists of all phases end to end; and for each where its own begin, and their lengths."""
    spans, row, step = [], 0, 0
    for phase in phases:
        spans.append((row, len(phase.origins), step, len(phase.taps)))
        row, step = row + len(phase.origins), step + len(phase.taps)
    none = [np.zeros(0, np.int64)]
    return spans, [
        np.concatenate([getattr(phase, name) for phase in phases] or none)
        for name in ("taps", "steps", "origins", "positions")
    ]


class Thin(NamedTuple):
    """Arguments of thin.contract beside the arrays."""

    placement: Placement
    local: bool
    a_strides: Ints
    rows: Offsets
    ends: Offsets
    steps: Offsets
    b_steps: Offsets
    places: Offsets
    strides: Ints
    together: bool
    lanes: int
    units: Offsets
    depths: int


NOWHERE = Placement(0, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))


def slack(itemsize: int) -> int:
    """Numbers beyond the end of a canvas that a wide tile may read."""
    return FULL * vector_lanes(itemsize)


@lru_cache(maxsize=256)
def thin_forward(
    geometry: Geometry, x: View, y: View, w: Ints, local: bool, threads: int
) -> Thin:
    """`forward` with positions in the vectors."""
    seen = stored(geometry, True)
    T, P = len(seen.taps), len(seen.origins)
    a = a_strides(x, seen.placement, seen.cells, local)
    return Thin(
        seen.placement or _whole(geometry, seen.cells, local),
        local,
        a,
        seen.origins,
        stretches(seen.origins),
        seen.taps,
        np.arange(T),
        np.arange(P) * y.strides[3],
        (seen.cells if local else a[2], w[0], w[2], w[1], y.strides[0], y.strides[1], y.strides[2]),
        y.strides[3] == 1,
        y.channels,
        thin_table([(0, P, 0, T)], x.samples, x.groups, x.channels, local, threads),
        x.channels * T,
    )


@lru_cache(maxsize=256)
def thin_input_grad(
    geometry: Geometry, x: View, y: View, w: Ints, local: bool, threads: int
) -> Thin:
    """`input_grad` with positions in the vectors."""
    seen = transposed(geometry)
    a = a_strides(y, seen.placement, seen.cells, local)
    phases, (taps, steps, origins, positions) = joined(seen.phases)
    return Thin(
        seen.placement or _all(seen.cells, local),
        local,
        a,
        origins,
        stretches(origins, [row for row, _, _, _ in phases]),
        steps,
        taps,
        positions * x.strides[3],
        (seen.cells if local else a[2], w[0], w[1], w[2], x.strides[0], x.strides[1], x.strides[2]),
        x.strides[3] == 1 and len(phases) == 1 and seen.covers,
        x.channels,
        thin_table(phases, y.samples, y.groups, y.channels, local, threads),
        y.channels * max((count for _, _, _, count in phases), default=0),
    )


def _whole(geometry: Geometry, cells: int, local: bool) -> Placement:
    return _all(cells, local)


def _all(cells: int, local: bool) -> Placement:
    """An input that is its own canvas: placed in one run where a scratch array is wanted."""
    if not local:
        return NOWHERE
    one = np.zeros(1, np.int64)
    return Placement(cells, one, one, np.array([0, 0, cells, 1, 1]))


def a_strides(view: View, placement: Placement | None, cells: int, local: bool) -> Ints:
    """Strides of what thin kernels read: of the input, if they place it, else of its canvas."""
    if local or placement is None:
        return view.strides
    return view.groups * view.channels * cells, view.channels * cells, cells, 1


def stretches(origins: Offsets, starts: Sequence[int] = (0,)) -> Offsets:
    """For each position, where the stretch of positions side by side that it is in ends."""
    breaks = np.ones(len(origins) + 1, bool)
    breaks[1:-1] = np.diff(origins) != 1
    breaks[list(starts) if len(origins) else []] = True
    ends = np.flatnonzero(breaks)
    return ends[np.searchsorted(ends, np.arange(len(origins)), side="right")]


def thin_table(
    phases: Sequence[tuple[int, int, int, int]], samples: int, groups: int, channels: int,
    local: bool, threads: int,
) -> Offsets:  # fmt: skip
    """Units of thin.contract, a line each: for every sample and group its phases in blocks."""
    wanted = -(-UNITS_PER_THREAD * threads // max(1, samples * groups * len(phases)))
    spans = []
    for row_at, row_count, step_at, step_count in phases:
        blocks = 1 if local or threads == 1 else max(1, min(wanted, row_count // 256))
        for block in range(blocks):
            begin, end = (cut(row_count, part, blocks, 64) for part in (block, block + 1))
            spans.append((row_at + begin, row_at + end, step_at, step_count, channels))
    lines = np.empty((samples, groups, len(spans), 7), np.int64)
    lines[..., 0] = np.arange(samples).reshape(-1, 1, 1)
    lines[..., 1] = np.arange(groups).reshape(-1, 1)
    lines[..., 2:] = np.array(spans, np.int64).reshape(-1, 5)
    return lines.reshape(-1, 7)


class ThinWeights(NamedTuple):
    """Arguments of thin.weight_grad beside the arrays."""

    placement: Placement
    local: bool
    a_strides: Ints
    origins: Offsets
    length: int
    steps: Offsets
    y_strides: Ints
    w_strides: Ints
    lanes: int
    units: Offsets
    most: int


@lru_cache(maxsize=256)
def thin_weight_grad(
    geometry: Geometry, x: View, y: View, w: Ints, local: bool, threads: int
) -> ThinWeights:
    """`weight_grad` by dot products along the positions."""
    seen = stored(geometry, True)
    ends = stretches(seen.origins)
    length = int(ends[0]) if len(ends) else 1
    blocks = max(1, min(x.channels, -(-UNITS_PER_THREAD * threads // x.groups)))
    cuts = [cut(x.channels, part, blocks, 1) for part in range(blocks + 1)]
    units = [
        (group, begin, end)
        for group in range(x.groups)
        for begin, end in zip(cuts, cuts[1:], strict=False)
    ]
    return ThinWeights(
        seen.placement or _all(seen.cells, local),
        local,
        (x.samples, *a_strides(x, seen.placement, seen.cells, local)),
        seen.origins,
        length,
        seen.taps,
        y.strides,
        (w[0], w[1], w[2]),
        y.channels,
        np.array(units, np.int64).reshape(-1, 3),
        max(end - begin for begin, end in zip(cuts, cuts[1:], strict=False)),
    )


@lru_cache(maxsize=128)
def bare(geometry: Geometry) -> Geometry:
    """The same taps and positions over a canvas that is given as the input."""
    axes = tuple(
        Axis(axis.canvas, axis.kernel, axis.stride, axis.dilation, 1, 0, 0)
        for axis in geometry.axes
    )
    return Geometry(axes, geometry.groups, "zeros")


def macs(geometry: Geometry, samples: int, w: Array) -> int:
    """Multiply-adds of any of the three operators."""
    return samples * w.size * prod(geometry.output_size)
