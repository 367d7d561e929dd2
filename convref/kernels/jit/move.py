"""Moving numbers to where the micro-kernels can stream them, and their results back.

A *panel* holds a matrix with its lanes side by side: ``panel[i * pitch + lane]``. Elsewhere the
same element lies at ``offsets[i] + lane * step``. Where either side goes by ones, whole vectors
move; where the two go across each other, square blocks are transposed in registers.
"""

import numpy as np

from convref.kernels.jit.across import gather, transpose
from convref.kernels.jit.copies import copy_run
from convref.kernels.jit.flat import data, keep, load, shifted, store
from convref.kernels.jit.kept import compiled
from convref.kernels.jit.vectors import lanes_of


@compiled(fastmath=False)
def pack(source, limit, offsets, lanes_at, run, count, lanes, panel, lines):
    """``panel[lines[i] + lane] = source[offsets[i] + lanes_at[lane]]``; ``limit`` is the source's.

    Every ``run`` lanes lie side by side in the source: one, a power of two, or a whole vector.
    """
    LANES, furthest = lanes_of(panel), 0
    whole = lanes // LANES * LANES
    if run > 1:
        for i in range(count):
            first, line = load(offsets, i), load(lines, i)
            for lane in range(0, whole, run):
                copy_run(source, first + load(lanes_at, lane), panel, line + lane, run)
            for lane in range(whole, lanes):
                store(panel, line + lane, load(source, first + load(lanes_at, lane)))
        return
    for lane in range(whole):
        furthest = max(furthest, load(lanes_at, lane))
    lengths_ = np.empty(count, np.int64)
    lengths = data(lengths_)
    find_lengths(offsets, count, 1, lengths)
    # Vector by vector: memory is read ahead along so many lanes, not along many more.
    for lane in range(0, lanes, LANES):
        some, i = shifted(lanes_at, lane), 0
        while i < count:
            first, rows = load(offsets, i), min(LANES, load(lengths, i))
            # A square reads whole vectors and keeps the rows: not worth it for one or two.
            if lane < whole and rows > 2 and first + furthest + LANES <= limit:
                transpose(source, first, some, panel, lane, shifted(lines, i), rows, 1)
            elif lane < whole:
                rows = min(LANES, count - i)
                for j in range(i, i + rows):
                    gather(source, load(offsets, j), some, panel, load(lines, j) + lane)
            else:
                rows = min(LANES, count - i)
                for single in range(lanes - lane):
                    at = load(some, single)
                    for j in range(i, i + rows):
                        value = load(source, load(offsets, j) + at)
                        store(panel, load(lines, j) + lane + single, value)
            i += rows
    keep(lengths_)


@compiled(fastmath=False)
def find_lengths(offsets, count, step, lengths):
    """Of how many offsets each is the first that go by such steps."""
    length, following = 0, 0
    for i in range(count - 1, -1, -1):
        offset = load(offsets, i)
        length = length + 1 if length > 0 and following - offset == step else 1
        following = offset
        store(lengths, i, length)


@compiled(fastmath=False)
def unpack(panel, lines, target, offsets, lanes_at, run, count, lanes):
    """``target[offsets[i] + lanes_at[lane]] = panel[lines[i] + lane]``.

    Every ``run`` lanes lie side by side in the target, as in `pack`. Neighbouring rows may then
    follow each other there, and squares of whole runs are transposed.
    """
    LANES, step = lanes_of(panel), lanes_of(panel)
    if run == LANES:
        step = max(1, lanes)
    lengths_ = np.empty(count, np.int64)
    lengths = data(lengths_)
    find_lengths(offsets, count, run, lengths)
    # Vector by vector: so many places in the target are written to at a time, not many more.
    for lane in range(0, lanes, step):
        unpack_some(
            panel, lane, lines, target, offsets, lengths, shifted(lanes_at, lane), run, count,
            min(step, lanes - lane),
        )  # fmt: skip
    keep(lengths_)


@compiled(fastmath=False)
def unpack_some(panel, panel_at, lines, target, offsets, lengths, lanes_at, run, count, lanes):
    """`unpack` of lanes that begin at ``panel_at`` in the panel."""
    LANES, pitch = lanes_of(panel), load(lines, 1) - load(lines, 0)
    whole, i = lanes // LANES * LANES, 0
    height = LANES // run
    while i < count:
        first, rows = load(offsets, i), min(LANES, load(lengths, i))
        if height > 1 and rows >= height:
            rows = height
            for lane in range(0, whole, LANES):
                to = shifted(lanes_at, lane)
                transpose(panel, panel_at + lane, shifted(lines, i), target, first, to, rows, run)
            single = whole
        else:
            # Lane by lane, for neighbouring rows are near each other there.
            while (
                rows < LANES
                and i + rows < count
                and (height == 1 or load(lengths, i + rows) < height)
            ):
                rows += 1
            for lane in range(0, whole if run > 1 else 0, run):
                at, to = panel_at + load(lines, i) + lane, load(lanes_at, lane)
                for j in range(rows):
                    copy_run(panel, at + j * pitch, target, load(offsets, i + j) + to, run)
            single = whole if run > 1 else 0
        for lane in range(single, lanes):
            at, to = panel_at + load(lines, i) + lane, load(lanes_at, lane)
            for j in range(rows):
                store(target, load(offsets, i + j) + to, load(panel, at + j * pitch))
        i += rows
