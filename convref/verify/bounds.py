"""How far honest arithmetic can be from the true value, element by element.

A sum of n products, taken in any order, with or without fused multiply-adds, in a format of unit
roundoff u, differs from the true value by at most

    gamma_n * (|x| conv |w| + |bias|),      gamma_n = n*u / (1 - n*u)

for each product meets at most n roundings on its way into the sum (Higham, Accuracy and Stability
of Numerical Algorithms, 2nd edition, SIAM 2002, sections 3.1 and 4.2; the bias is one more term). A
complex product is made of four real ones: with errors measured in modulus that costs two roundings
more and a factor of the square root of 2 (lemma 3.5 there). A product that underflows is off by at
most the smallest subnormal number. Where the result is stored in a narrower format than it was
summed in, one rounding to that format comes on top.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: digits of the significand, smallest and largest exponent."""

    precision: int
    min_exponent: int
    max_exponent: int

    @property
    def unit_roundoff(self) -> float:
        """Largest relative error of rounding a normal number to nearest."""
        return 2.0**-self.precision

    @property
    def smallest(self) -> float:
        """The smallest subnormal number."""
        return 2.0 ** (self.min_exponent - self.precision + 1)


FORMATS = {
    "float16": Format(11, -14, 15),
    "bfloat16": Format(8, -126, 127),
    "float32": Format(24, -126, 127),
    "float64": Format(53, -1022, 1023),
    "complex64": Format(24, -126, 127),  # of each part
    "complex128": Format(53, -1022, 1023),
}


def ulp(magnitude: Real, dtype: str) -> Real:
    """Distance of neighbouring numbers of a format near these magnitudes; for integers 1."""
    if dtype not in FORMATS:
        return np.ones(magnitude.shape)
    form = FORMATS[dtype]
    exponent = np.where(magnitude > 0, np.frexp(magnitude)[1] - 1, form.min_exponent)
    exponent = np.maximum(exponent, form.min_exponent)
    distance: Real = np.ldexp(1.0, exponent - form.precision + 1)
    return distance


def overflow(dtype: str) -> float:
    """The smallest magnitude that rounds to infinity, halfway above the largest finite number."""
    if dtype not in FORMATS or FORMATS[dtype].max_exponent >= 1023:
        return float("inf")
    form = FORMATS[dtype]
    return (2.0 - form.unit_roundoff) * 2.0**form.max_exponent


def gamma(terms: int, unit_roundoff: float) -> float:
    """``n*u / (1 - n*u)``; infinite where so many roundings can lose everything.

    >>> gamma(2, 0.125)
    0.3333333333333333
    """
    lost = terms * unit_roundoff
    return lost / (1 - lost) if lost < 1 else float("inf")


def rounding_bound(magnitude: Real, terms: int, summed: str, stored: str) -> Real:
    """The largest honest error of each element.

    ``magnitude`` is ``|x| conv |w| + |bias|``; ``summed`` names the dtype of the sums, ``stored``
    that of the result. Sums of integers have no error.
    """
    bound: Real = np.zeros(magnitude.shape)
    if summed in FORMATS:
        inner = FORMATS[summed]
        factor = gamma(terms, inner.unit_roundoff)
        if summed.startswith("complex"):
            factor = 2.0**0.5 * gamma(terms + 2, inner.unit_roundoff)
        bound = np.where(magnitude > 0, factor * magnitude + terms * inner.smallest, 0)
    if stored in FORMATS and is_narrower(stored, summed):
        outer = FORMATS[stored]
        largest = magnitude + bound
        rounding = np.maximum(outer.unit_roundoff * largest, outer.smallest / 2)
        bound = bound + np.where(largest > 0, rounding, 0)
    return bound


def is_narrower(stored: str, summed: str) -> bool:
    """Whether storing a sum in this format rounds it."""
    return summed not in FORMATS or FORMATS[stored].precision < FORMATS[summed].precision
