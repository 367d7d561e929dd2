"""How far honest arithmetic can be from the true value, element by element.

A sum of n products, taken in any order, with or without fused multiply-adds, in a format of unit
roundoff u, differs from the true value by at most

    gamma_n * (|x| conv |w| + |bias|),      gamma_n = n*u / (1 - n*u)

for each product meets at most n roundings on its way into the sum (Higham, Accuracy and Stability
of Numerical Algorithms, 2nd edition, SIAM 2002, sections 3.1 and 4.2; the bias is one more term). A
complex product is made of four real ones: with errors measured in modulus that costs two roundings
more and a factor of the square root of 2 (lemma 3.5 there). A product that underflows is off by at
most the smallest subnormal number. Where the result is stored in a narrower format than it was
summed in, one rounding of that number to that format comes on top.
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
    missing: int = 0
    """Numbers that the largest exponent lacks at its end: they stand for NaN, and not infinity."""

    @property
    def unit_roundoff(self) -> float:
        """Largest relative error of rounding a normal number to nearest."""
        return 2.0**-self.precision

    @property
    def smallest(self) -> float:
        """The smallest subnormal number."""
        return 2.0 ** (self.min_exponent - self.precision + 1)

    @property
    def largest(self) -> float:
        """The largest finite number."""
        step = 2.0 ** (1 - self.precision)
        return (2.0 - step * (1 + self.missing)) * 2.0**self.max_exponent


FORMATS = {
    "float16": Format(11, -14, 15),
    "bfloat16": Format(8, -126, 127),
    "float32": Format(24, -126, 127),
    "float64": Format(53, -1022, 1023),
    "complex64": Format(24, -126, 127),  # of each part
    "complex128": Format(53, -1022, 1023),
}
FLOAT8 = {"float8_e4m3fn": Format(4, -6, 8, missing=1), "float8_e5m2": Format(3, -14, 15)}
"""To store numbers in: P. Micikevicius et al., "OCP 8-bit floating point specification (OFP8)",
revision 1.0, Open Compute Project 2023. A number out of range may become the largest one there, as
well as NaN (E4M3) or infinity (E5M2)."""
FORMATS |= FLOAT8


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
    return form.largest + form.unit_roundoff * 2.0**form.max_exponent


def gamma(terms: int, unit_roundoff: float) -> float:
    """``n*u / (1 - n*u)``; infinite where so many roundings can lose everything.

    >>> gamma(2, 0.125)
    0.3333333333333333
    """
    lost = terms * unit_roundoff
    return lost / (1 - lost) if lost < 1 else float("inf")


def rounding_bound(value: Real, magnitude: Real, terms: int, summed: str, stored: str) -> Real:
    """The largest honest error of each element.

    ``value`` is the size of the true one, ``magnitude`` is ``|x| conv |w| + |bias|``; ``summed``
    names the dtype of the sums, ``stored`` that of the result.
    """
    bound = summing_bound(magnitude, terms, summed)
    if stored in FORMATS and is_narrower(stored, summed):
        return storing_bound(value, bound, stored)
    return bound


def summing_bound(magnitude: Real, terms: int, summed: str) -> Real:
    """The largest error of sums; those of integers have none."""
    if summed not in FORMATS:
        return np.zeros(magnitude.shape)
    form = FORMATS[summed]
    factor = gamma(terms, form.unit_roundoff)
    if summed.startswith("complex"):
        factor = 2.0**0.5 * gamma(terms + 2, form.unit_roundoff)
    bound: Real = np.where(magnitude > 0, factor * magnitude + terms * form.smallest, 0)
    return bound


def storing_bound(value: Real, bound: Real, stored: str) -> Real:
    """The largest error of numbers within a bound of their true size, rounded to a format.

    With ``|computed| <= |true| + bound`` that rounding adds ``u * (|true| + bound)``, or half the
    smallest number of the format.
    """
    form, largest = FORMATS[stored], value + bound
    rounding = np.maximum(form.unit_roundoff * largest, form.smallest / 2)
    both: Real = bound + np.where(largest > 0, rounding, 0)
    return both


def is_narrower(stored: str, summed: str) -> bool:
    """Whether storing a sum in this format rounds it."""
    return summed not in FORMATS or FORMATS[stored].precision < FORMATS[summed].precision
