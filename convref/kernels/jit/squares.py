"""Squares of numbers, one in each lane, stored where they lie in a map."""

from convref.kernels.jit.flat import load, shifted, store
from convref.kernels.jit.kept import compiled
from convref.kernels.jit.micro import VECTORS
from convref.kernels.jit.vectors import lanes_of

RUN = 5
"""Integers that say where a run of squares lies."""


@compiled(fastmath=False)
def find_runs(tile, lanes, row, each, size, sample_step, step, height, width, runs):
    """Lanes whose squares lie beside each other in a result, as runs of it; how many there are.

    A run is (its first lane, its whole squares, where the first lies, rows, columns of one that the
    result cuts off).
    """
    count = lane = 0
    while lane < lanes:
        sample, number = (tile + lane) // each, (tile + lane) % each
        i, j = number // row * size, number % row * size
        squares = min(row - number % row, lanes - lane)
        kept = min(width - j, squares * size)
        run = shifted(runs, RUN * count)
        store(run, 0, lane)
        store(run, 1, kept // size)
        store(run, 2, sample * sample_step + (i * width + j) * step)
        store(run, 3, min(size, height - i))
        store(run, 4, kept % size)
        lane += squares
        count += 1
    return count


@compiled(fastmath=False)
def spread_out(squares, size, count, y, at, runs, row_step, step):
    """Store the squares of all runs."""
    line = VECTORS * lanes_of(y)
    for number in range(count):
        run = shifted(runs, RUN * number)
        lane, whole, to, columns = load(run, 0), load(run, 1), at + load(run, 2), load(run, 4)
        for i in range(load(run, 3)):
            source, target = i * size * line + lane, to + i * row_step
            if step == 1 and size == 4:
                interleave_four(shifted(squares, source), shifted(y, target), whole)
            else:
                for square in range(whole):
                    for j in range(size):
                        value = load(squares, source + j * line + square)
                        store(y, target + (square * size + j) * step, value)
            for j in range(columns):
                value = load(squares, source + j * line + whole)
                store(y, target + (whole * size + j) * step, value)


@compiled(fastmath=False)
def interleave_four(rows, target, count):
    """A number of each of four lines by turns, which LLVM makes vectors of."""
    line = VECTORS * lanes_of(target)
    for i in range(count):
        store(target, 4 * i, load(rows, i))
        store(target, 4 * i + 1, load(rows, line + i))
        store(target, 4 * i + 2, load(rows, 2 * line + i))
        store(target, 4 * i + 3, load(rows, 3 * line + i))
