"""Intervals: which stretch of one side of an axis belongs to a stretch of the other.

    i = o * stride + k * dilation - lo             (in units of the spread-out input)

ties a stretch of outputs to the stretch of inputs that it reads, and a stretch of inputs to the
stretch of outputs that it reaches. Between the two there is again a convolution, with padding of
its own. So an array can be convolved block by block, wherever the blocks end.

A stretch is a pair (first, stop). Padding here is zeros; where it is not, the canvas is an array
of its own, and `shows` and `shown_by` tie its cells to the inputs.
"""

from dataclasses import replace

import numpy as np

from convref.geometry import Axis, Offsets, spread

Stretch = tuple[int, int]


def reads(axis: Axis, first: int, stop: int) -> tuple[tuple[Stretch], Axis]:
    """The inputs that outputs ``first`` to ``stop`` read, and the convolution between them.

    Its padding is never negative. Windows that lie in padding alone read no input.

    >>> axis = Axis(size=10, kernel=3, stride=2, dilation=1, input_dilation=1, lo=1, hi=1)
    >>> reads(axis, 0, 2)
    (((0, 4),), Axis(size=4, kernel=3, stride=2, dilation=1, input_dilation=1, lo=1, hi=0))
    """
    # The cells of the canvas that the windows span, counted from where the input begins.
    start = first * axis.stride - axis.lo
    end = (stop - 1) * axis.stride - axis.lo + axis.window
    step = axis.input_dilation
    begin = min(max(0, -(-start // step)), axis.size)
    count = max(0, min(axis.size, -(-end // step)) - begin)
    lo = begin * step - start if count else end - start
    hi = end - start - lo - spread(count, step)
    return ((begin, begin + count),), replace(axis, size=count, lo=lo, hi=hi)


def frame(axis: Axis, first: int, stop: int) -> tuple[tuple[Stretch], Axis]:
    """As `reads`, but padding is part of the stretch: what lies outside of the input is zero.

    Where the input is spread out, padding is not in units of the input, and it is as in `reads`.

    >>> axis = Axis(size=10, kernel=3, stride=2, dilation=1, input_dilation=1, lo=1, hi=1)
    >>> frame(axis, 0, 2)
    (((-1, 4),), Axis(size=5, kernel=3, stride=2, dilation=1, input_dilation=1, lo=0, hi=0))
    """
    if axis.input_dilation > 1:
        return reads(axis, first, stop)
    start = first * axis.stride - axis.lo
    size = (stop - 1 - first) * axis.stride + axis.window
    return ((start, start + size),), replace(axis, size=size, lo=0, hi=0)


def reached(axis: Axis, first: int, stop: int) -> tuple[tuple[Stretch], Axis]:
    """The outputs that inputs ``first`` to ``stop`` reach, and the convolution between them.

    Its padding may be negative. Inputs that no window reaches get one output all the same, which
    sees none of them: a convolution without outputs is none.

    >>> axis = Axis(size=10, kernel=3, stride=2, dilation=1, input_dilation=1, lo=1, hi=1)
    >>> reached(axis, 5, 8)
    (((2, 5),), Axis(size=3, kernel=3, stride=2, dilation=1, input_dilation=1, lo=2, hi=2))
    """
    # The cells of the canvas that the inputs lie on, of which the last is end.
    start, end = (axis.lo + i * axis.input_dilation for i in (first, stop - 1))
    begin = min(max(0, -((axis.window - 1 - start) // axis.stride)), axis.output - 1)
    count = max(1, min(axis.output, end // axis.stride + 1) - begin)
    lo, size = start - begin * axis.stride, stop - first
    seen = (count - 1) * axis.stride + axis.window
    hi = seen - lo - spread(size, axis.input_dilation)
    return ((begin, begin + count),), replace(axis, size=size, lo=lo, hi=hi)


def shows(axis: Axis, mode: str, first: int, stop: int) -> tuple[tuple[Stretch, ...], Offsets]:
    """The inputs that cells ``first`` to ``stop`` of the canvas show, and where among them.

    The second is -1 for cells that show a zero.

    >>> axis = Axis(size=10, kernel=3, stride=1, dilation=1, input_dilation=1, lo=2, hi=0)
    >>> shows(axis, "circular", 0, 4)
    (((0, 2), (8, 10)), array([2, 3, 0, 1]))
    """
    sources = axis.sources(mode, first, stop)
    inputs = np.unique(sources[sources >= 0])
    return stretches(inputs), np.where(sources < 0, -1, np.searchsorted(inputs, sources))


def shown_by(axis: Axis, mode: str, first: int, stop: int) -> tuple[tuple[Stretch, ...], Offsets]:
    """The cells that show any of the inputs ``first`` to ``stop``, and which of these each shows.

    >>> axis = Axis(size=10, kernel=3, stride=1, dilation=1, input_dilation=1, lo=2, hi=0)
    >>> shown_by(axis, "circular", 7, 10)
    (((0, 2), (9, 12)), array([1, 2, 0, 1, 2]))
    """
    # Padding before the input, the input's own cells, padding after it.
    own = (axis.lo + first * axis.input_dilation, axis.lo + (stop - 1) * axis.input_dilation + 1)
    parts = (0, axis.lo), own, (axis.lo + axis.spread, axis.canvas)
    within = [(max(0, start), min(end, axis.canvas)) for start, end in parts]
    cells = np.concatenate([np.arange(*part) for part in within])
    sources = np.concatenate([axis.sources(mode, *part) for part in within])
    chosen = (first <= sources) & (sources < stop)
    return stretches(cells[chosen]), sources[chosen] - first


def stretches(numbers: Offsets) -> tuple[Stretch, ...]:
    """Rising numbers as stretches without a gap.

    >>> stretches(np.array([0, 1, 5, 6, 7]))
    ((0, 2), (5, 8))
    """
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return tuple((int(run[0]), int(run[-1]) + 1) for run in runs if len(run))
