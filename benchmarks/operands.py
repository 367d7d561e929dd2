"""Arrays to convolve: small integers to check with, normal ones to time with.

Every process makes the same arrays from the layer alone, so none are sent between processes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.suite import Layer

Array = NDArray[Any]
Arrays = Mapping[str, Array]

LARGEST = 4
SEED = 2026
LAYOUTS = ("channels_first", "channels_last")


def integer_operands(layer: Layer, operator: str, dtype: str, layout: str) -> Arrays:
    """x, w and dy of integers from -4 to 4, for which every order of summation is exact.

    No partial sum exceeds ``16 * terms``, and the dtype holds every integer up to that. (So a
    direct kernel has to agree in every bit; an algorithm that divides, as Winograd's does, need
    not.) Raises ValueError for a layer with too many terms.
    """
    if LARGEST**2 * layer.terms(operator) > 2 ** (np.finfo(dtype).nmant + 1):
        raise ValueError(f"{layer.label}: {dtype} sums of {operator} may not be exact")
    random = np.random.default_rng(SEED)
    return {
        name: laid(random.integers(-LARGEST, LARGEST + 1, shape, np.int8).astype(dtype), layout)
        for name, shape in layer.shapes.items()
    }


def normal_operands(layer: Layer, dtype: str, layout: str) -> Arrays:
    """x, w and dy of standard normal numbers."""
    random = np.random.default_rng(SEED)
    return {
        name: laid(random.standard_normal(shape, np.dtype(dtype).type), layout)
        for name, shape in layer.shapes.items()
    }


def laid(array: Array, layout: str) -> Array:
    """The same array of the same shape (N, C, ...), its channels side by side if they come last."""
    if layout == "channels_first":
        return array
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)
