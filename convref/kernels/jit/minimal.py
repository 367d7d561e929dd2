"""The matrices of Winograd's algorithm, for 3 x 3 kernels: which there are, and which to take."""

from math import prod
from typing import NamedTuple

import numpy as np

from convref.errors import WordError
from convref.geometry import Geometry, Offsets

TAPS = 3
"""Of a kernel, along each axis."""


class Algorithm(NamedTuple):
    """The matrices for one m, and the denominator of those that G had."""

    input: Offsets
    """B'"""
    kernel: Offsets
    """G, times the denominator."""
    output: Offsets
    """A'"""
    denominator: int

    @property
    def size(self) -> int:
        """m"""
        return len(self.output)


ALGORITHMS = (
    Algorithm(
        np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
        np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]),
        np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
        2,
    ),
    Algorithm(
        np.array(
            [
                [4, 0, -5, 0, 1, 0],
                [0, -4, -4, 1, 1, 0],
                [0, 4, -4, -1, 1, 0],
                [0, -2, -1, 2, 1, 0],
                [0, 2, -1, -2, 1, 0],
                [0, 4, 0, -5, 0, 1],
            ]
        ),
        np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]),
        np.array(
            [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
        ),
        24,
    ),
)  # fmt: skip
"""F(2x2, 3x3) and F(4x4, 3x3), as Lavin and Gray give them."""


def chosen(geometry: Geometry) -> Algorithm:
    """The algorithm that takes the fewest multiplications.

    >>> [chosen(Geometry.of(size + 2, (3, 3))).size for size in (2, 3, 5, 7)]
    [2, 4, 2, 4]
    """

    def multiplications(a: Algorithm) -> int:
        return len(a.input) ** 2 * prod(-(-size // a.size) for size in geometry.output_size)

    return min(ALGORITHMS, key=multiplications)


def check_geometry(geometry: Geometry) -> None:
    """Raise WordError unless it is one of 3 x 3 kernels that neither step nor spread."""
    axes = geometry.axes
    steps = {
        "stride": tuple(axis.stride for axis in axes),
        "dilation": tuple(axis.dilation for axis in axes),
        "input_dilation": tuple(axis.input_dilation for axis in axes),
    }
    if geometry.kernel_size != (TAPS, TAPS):
        rule = f"of 3 x 3 taps, and this one has the size {geometry.kernel_size}"
    else:
        others = [f"`{name}` is {step}" for name, step in steps.items() if {*step} != {1}]
        if not others:
            return
        rule = f"that step by 1, and {' and '.join(others)}"
    raise WordError(f"the back end 'winograd' takes kernels {rule}", "use 'numba'")
