"""How far rounding may take a sum of products from the exact one, element by element.

N. J. Higham, "Accuracy and Stability of Numerical Algorithms", second edition: a sum of n products,
taken in any order, is within gamma_n = n*u / (1 - n*u) times the sum of the products' moduli
(section 3.1). A complex product is within sqrt(2) * gamma_2 (lemma 3.5), which is at most gamma_3,
so complex sums take two more. Storing the sum in a narrower dtype adds one rounding of that dtype.
"""

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Arithmetic(NamedTuple):
    """How a dtype is computed with: where it is summed, and what judges the sum."""

    dtype: np.dtype[Any]
    summed_in: np.dtype[Any]
    reference: np.dtype[Any]


ARITHMETICS = {
    arithmetic[0]: Arithmetic(*map(np.dtype, arithmetic))
    for arithmetic in (
        ("float16", "float32", "float64"),
        ("bfloat16", "float32", "float64"),
        ("float32", "float32", "float64"),
        ("float64", "float64", "longdouble"),
        ("complex64", "complex64", "complex128"),
        ("complex128", "complex128", "clongdouble"),
    )
}


def unit_roundoff(dtype: np.dtype[Any]) -> np.longdouble:
    return np.longdouble(ml_dtypes.finfo(dtype).eps) / 2


def gamma(terms: Array, u: np.longdouble) -> Array:
    return terms * u / (1 - terms * u)


def bound(reference: Array, moduli: Array, terms: Array, arithmetic: Arithmetic) -> Array:
    """The largest legitimate ``|output - reference|``, given the sum of the products' moduli.

    The reference and the sum of moduli are rounded too, so their own gamma is allowed for.
    """
    dtype, summed_in, wide = arithmetic
    counted = terms + 2 * (dtype.kind == "c")
    slack = gamma(counted, unit_roundoff(summed_in)) + 2 * gamma(counted, unit_roundoff(wide))
    error = slack * moduli
    if dtype != summed_in:
        error += unit_roundoff(dtype) * (abs(reference) + error)
        error += np.longdouble(ml_dtypes.finfo(dtype).smallest_subnormal) / 2
    return error
