"""An input on its canvas: each number in its cell, zeros where no input is shown."""

from convref.kernels.jit.copies import copy, copy_padded, copy_second_padded
from convref.kernels.jit.flat import load, shifted, store, word
from convref.kernels.jit.kept import compiled
from convref.kernels.jit.vectors import lanes_of


@compiled(fastmath=False)
def place(x, x_at, x_step, canvas, at, end, rows, row_cells, row_sources, runs_end, runs):
    """Copy an input, whose numbers stand ``x_step`` apart, to its canvas, zero from at to end.

    Runs come in the order of their cells. So a run may be followed by zeros up to a whole vector:
    these cells are zero, or a later run fills them.
    """
    if runs_end == 5:
        place_run(x, x_at, x_step, canvas, at, end, 0, rows, row_cells, row_sources, 0, runs)
        return
    for i in range(rows):
        for run in range(0, runs_end, 5):
            place_run(x, x_at, x_step, canvas, at, end, i, i + 1, row_cells, row_sources, run, runs)


@compiled(fastmath=False)
def place_run(x, x_at, x_step, canvas, at, end, row, row_end, row_cells, row_sources, run, runs):
    """Copy one run of several rows: what it is is read once for all of them."""
    LANES, x_run = lanes_of(x), load(runs, run + 4) * x_step
    step, length = load(runs, run + 3), load(runs, run + 2)
    first, source = at + load(runs, run), x_at + load(runs, run + 1) * x_step
    whole = -(-length // LANES) * LANES
    for i in range(row, row_end):
        to, start = first + load(row_cells, i), source + load(row_sources, i) * x_step
        if step != 1 or to + whole > end or not 1 <= x_run <= 2:
            for j in range(length):
                store(canvas, to + j * step, load(x, start + j * x_run))
        elif x_run == 1:
            copy_padded(x, start, canvas, to, length)
        else:
            copy_second_padded(x, start, canvas, to, length)


def place_all(words, x, _, canvas, start, stop):
    """Fill the canvases of channels, zero where nothing is shown.

    Units are (sample, part, channel), so that a thread has much the same rows of all channels here
    and in the sums over them. Of a canvas of rows ``in_order``, which alone has several parts, each
    goes from where the row before it ends to where its own last row does.
    """
    cells, rows, runs_end = load(words, 0), load(words, 1), load(words, 2)
    row_cells, row_sources, runs = word(words, 3), word(words, 4), word(words, 5)
    channels, x_n, x_c, x_i = load(words, 6), load(words, 7), load(words, 8), load(words, 9)
    in_order, parts = load(words, 10), load(words, 11)
    for unit in range(start, stop):
        sample, rest = unit // (parts * channels), unit % (parts * channels)
        plane, part = sample * channels + rest % channels, rest // channels
        at, x_at = plane * cells, plane // channels * x_n + plane % channels * x_c
        first, length = at + load(runs, 0), load(runs, 2)
        row, row_end = rows * part // parts, rows * (part + 1) // parts
        cell, end = at, at + cells
        if part > 0:
            cell = first + load(row_cells, row - 1) + length
        if part + 1 < parts:
            end = first + load(row_cells, row_end - 1) + length
        for i in range(row, row_end if in_order else row):
            for gap in range(cell, first + load(row_cells, i)):
                store(canvas, gap, 0)
            cell = first + load(row_cells, i) + length
        for gap in range(cell, end):
            store(canvas, gap, 0)
        if in_order:
            place_run(x, x_at, x_i, canvas, at, end, row, row_end, row_cells, row_sources, 0, runs)
        else:
            place(x, x_at, x_i, canvas, at, end, rows, row_cells, row_sources, runs_end, runs)


def place_last(words, x, _, canvas, start, stop):
    """Fill canvases ``(N, S, C)`` from inputs ``(N, I, C)``: units are (sample, piece).

    A piece is (cell, source, length), of zeros where its source is below zero.
    """
    pieces, count, cells = word(words, 0), load(words, 1), load(words, 2)
    channels, x_n = load(words, 3), load(words, 4)
    for unit in range(start, stop):
        sample, line = unit // count, shifted(pieces, unit % count * 3)
        to, source = (sample * cells + load(line, 0)) * channels, load(line, 1)
        width = load(line, 2) * channels
        if source >= 0:
            copy(x, sample * x_n + source * channels, canvas, to, width)
        else:
            for i in range(to, to + width):
                store(canvas, i, 0)
