"""Sums of products in digits of fixed place, without any error, and their one rounding.

An operand is cut into digits, integers below ``2**bits``, each an array of its own:

    a = sum over i of 2**(u + bits*i) * A_i          b = sum over j of 2**(v + bits*j) * B_j

A matrix product is linear in both, so it is the sum of the products of all pairs of digits. One of
those sums n products below ``4**bits``. With ``n * 4**bits <= 2**53`` every partial sum is an
integer that float64 holds, so a plain matrix product in float64 makes no error, in whatever order,
fused or not. Those of equal ``i + j`` are added in int64 and carried, like the digits of any
number, and the number is rounded to nearest, ties to even, by its bits. Subnormals, overflow and
cancellation need no case of their own, and no rounding is left in doubt.

Products without error, by digits: K. Ozaki, T. Ogita, S. Oishi, S. M. Rump, "Error-free
transformations of matrix multiplication by using fast routines of matrix multiplication and its
applications", Numerical Algorithms 59 (2012). To cut numbers so: T. J. Dekker, "A floating-point
technique for extending the available precision", Numerische Mathematik 18 (1971); S. M. Rump, T.
Ogita, S. Oishi, "Accurate floating-point summation, part I", SIAM Journal on Scientific Computing
31 (2008). What is cut off counts as one last odd bit when it comes to the rounding: S. Boldo, G.
Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to odd",
IEEE Transactions on Computers 57 (2008).
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Digits = dict[int, Array]
"""Digits of an array by their places; those that are all zero are left out, but for the lowest."""

MOST_TERMS = 40
"""Bits of the number of terms in any sum; more would take years."""


class Form(NamedTuple):
    """A format: bits of its significand, exponent of its smallest number, and where infinity is."""

    precision: int
    least: int
    limit: float


FORMS = {
    "float16": Form(11, -24, 2.0**16),
    "bfloat16": Form(8, -133, 2.0**128),
    "float32": Form(24, -149, 2.0**128),
    "float64": Form(53, -1074, np.inf),
    "float8_e4m3fn": Form(4, -9, 480.0),  # the largest number is 448; it has NaN for infinity
    "float8_e5m2": Form(3, -16, 2.0**16),
}
FORMS |= {"complex64": FORMS["float32"], "complex128": FORMS["float64"]}  # of each part


@dataclass(frozen=True)
class Arithmetic:
    """Sums in digits: digit l of a sum is an integer worth ``2**(unit + bits*l)``.

    Without a form, a number is one digit, and summed as it is.
    """

    dtype: np.dtype[Any]
    """Of the digits of sums."""
    form: Form | None = None
    bits: int = 0
    units: tuple[int, int] = (0, 0)
    """The exponents of the lowest digits of both operands."""
    first: int = 0
    """Which digit of the sum the product of those two is."""
    count: int = 1
    """Digits of a sum."""
    bias: Digits = field(default_factory=dict)
    """What is added to every sum."""

    def left(self, array: Array) -> Digits:
        """The digits of a left operand."""
        return digits_of(array, self.units[0], self.bits) if self.form else {0: array}

    def right(self, array: Array) -> Digits:
        """The digits of a right operand."""
        return digits_of(array, self.units[1], self.bits) if self.form else {0: array}

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Digits ``(count, *shape)`` of sums of nothing."""
        return np.zeros((self.count, *shape), self.dtype)

    def product(self, left: Digits, right: Digits) -> Array:
        """Digits ``(count, ..., M, P)`` of the product of ``(..., M, n)`` and ``(..., n, P)``."""
        total = self.zeros((*left[0].shape[:-1], right[0].shape[-1]))
        rows = np.concatenate([*left.values()], axis=-2)  # for few products, of larger matrices
        for j, b in right.items():
            for i, product in zip(left, np.split(rows @ b, len(left), axis=-2), strict=True):
                total[self.first + i + j] += product.astype(self.dtype, copy=False)
        return self.carried(total)

    def carried(self, total: Array) -> Array:
        """Carry from each digit to the next, in place: the last one alone may be negative then."""
        for digit, above in pairwise(total):
            carry = digit >> self.bits
            digit -= carry << self.bits
            above += carry
        return total

    def value(self, total: Array) -> Array:
        """What digits of sums, which it uses up, are worth with the bias, rounded to the form."""
        for place, digit in self.bias.items():
            total[place] += digit
        if self.form is None:
            value: Array = total[0]
            return value
        below = self.carried(total)[-1] < 0
        np.negative(total, out=total, where=below)
        magnitude = self.rounded(self.carried(total), self.form)
        return np.where(below, -magnitude, magnitude)

    def rounded(self, total: Array, form: Form) -> Array:
        """What digits that are all positive are worth, rounded to nearest, ties to even."""
        unit = sum(self.units) - self.bits * self.first
        places = np.arange(self.count).reshape(-1, *[1] * (total.ndim - 1))
        top = np.where(total > 0, places, 0).max(axis=0)
        leading = np.take_along_axis(total, top[None], axis=0)[0].astype(np.float64)
        end = unit + self.bits * top + np.frexp(leading)[1]  # the number is below 2**end
        last = np.maximum(end - form.precision, form.least)
        # In quarters of the last place: there are two bits beyond it, of which the lower one stands
        # for all that follow, too.
        kept, lost = np.zeros(top.shape, np.int64), np.zeros(top.shape, bool)
        for place, digit in enumerate(total):
            up = unit + self.bits * place - (last - 2)
            down = np.clip(-up, 0, 62)
            kept += (digit << np.clip(up, 0, 62)) >> down
            lost |= (digit & ((1 << down) - 1)) != 0
        kept |= lost
        nearest = (kept + 1 + ((kept >> 2) & 1)) >> 2
        value: Array = np.ldexp(nearest.astype(np.float64), last.astype(np.intc))
        return np.where(value < form.limit, value, np.inf)


def arithmetic(form: Form, left: Array, right: Array, bias: Array, terms: int) -> Arithmetic:
    """Digits for sums of products of finite numbers, so many products in a matrix product."""
    bits = (53 - terms.bit_length()) // 2
    spans = span(left), span(right)
    lowest = unit = sum(low for low, _ in spans)
    highest = sum(high for _, high in spans) + MOST_TERMS
    if bias.any():
        low, high = span(bias)
        unit -= bits * max(0, -(-(lowest - low) // bits))
        highest = max(highest, high)
    return Arithmetic(
        np.dtype(np.int64),
        form,
        bits,
        units=(spans[0][0], spans[1][0]),
        first=(lowest - unit) // bits,
        count=-(-(highest + 1 - unit) // bits),  # of a sum and a bias, one bit more than of each
        bias={k: digit.astype(np.int64) for k, digit in digits_of(bias, unit, bits).items()},
    )


def span(array: Array) -> tuple[int, int]:
    """Exponents: all numbers are multiples of 2**low, and below 2**high."""
    fractions, exponents = np.frexp(array[array != 0].astype(np.float64))
    if not fractions.size:
        return 0, 0
    whole = np.ldexp(fractions, 53).astype(np.int64)
    zeros = np.frexp((whole & -whole).astype(np.float64))[1] - 1  # at the end of its bits
    return int((exponents - 53 + zeros).min()), int(exponents.max())


def digits_of(array: Array, unit: int, bits: int) -> Digits:
    """Integers below ``2**bits``, of the number's sign, worth ``2**(unit + bits*l)`` at place l."""
    rest = array.astype(np.float64)
    highest = int(np.frexp(np.abs(rest).max(initial=0))[1])
    digits = {}
    for place in reversed(range(max(1, -(-(highest - unit) // bits)))):
        digit = np.trunc(np.ldexp(rest, -unit - bits * place))
        if digit.any() or place == 0:
            digits[place] = digit
            rest -= np.ldexp(digit, unit + bits * place)
    return digits
