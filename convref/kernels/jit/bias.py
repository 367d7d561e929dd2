"""A bias, added to a result on all threads.

Where the positions of a channel lie side by side, and are many, all of them get its number. Else a
pattern of numbers is laid along the result again and again: what one position has, or one sample.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.kernels.jit.crew import Kernel, listed, share
from convref.kernels.jit.flat import load, store

Array = NDArray[Any]

SHORT = 32
"""Fewest positions of a channel that are worth a loop of their own."""
PATTERN = 1 << 10
"""Least length of a pattern, so that its end comes rarely."""
SLOW = 4
"""Multiply-adds that take as long as adding one number, for which memory is read and written."""


def add(words, bias, _, out, start, stop):
    """Units: stretches of the result, of a channel each, or with no channels of a pattern each."""
    size, length, channels = load(words, 0), load(words, 1), load(words, 2)
    for unit in range(start, stop):
        at = unit * length
        count = min(length, size - at)
        if channels > 0:
            number = load(bias, unit % channels)
            for i in range(at, at + count):
                store(out, i, load(out, i) + number)
        else:
            for i in range(count):
                store(out, at + i, load(out, at + i) + load(bias, i))


ADD = Kernel(add)


def add_bias(y: Array, bias: Array) -> None:
    """Add one number per channel to ``y (N, G, K/G, P)``, in place."""
    last, positions = not y.flags.c_contiguous, y.shape[3]
    length, channels = positions, len(bias)
    if last or positions < SHORT:
        every = bias if last else np.repeat(bias, positions)
        bias = np.tile(every, -(-PATTERN // max(1, len(every))))
        length, channels = len(bias), 0
    result = (y.transpose(0, 3, 1, 2) if last else y).reshape(-1)
    words, units = listed(y.size, length, channels), -(-y.size // max(1, length))
    share(ADD, words, bias, bias, result, units, SLOW * y.size)
