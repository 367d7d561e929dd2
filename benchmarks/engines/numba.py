"""The `numba` back end of convref."""

from collections.abc import Callable

import numba

import convref
from benchmarks.operands import Array, Arrays
from benchmarks.suite import Layer
from benchmarks.through_convref import convref_call

VERSION = f"convref {convref.__version__} on numba {numba.__version__}"


def prepare(layer: Layer, operator: str, threads: int, arrays: Arrays) -> Callable[[], Array]:
    """A call of convref that computes the operator's result."""
    return convref_call(layer, operator, arrays, "numba", threads)
