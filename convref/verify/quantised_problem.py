"""The problem of a quantised convolution: sums of integers, and how they become levels again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref.dtypes import as_array
from convref.errors import DtypeError, ShapeError, WordError, shown
from convref.verify.bounds import FORMATS, Real, gamma
from convref.verify.problem import Problem
from convref.verify.reference import Shape

Array = NDArray[Any]
Step = Callable[[Array], Array]
Limits = tuple[float, float]
Dtype = np.dtype[Any]

LEVELS = ("int8", "uint8", "int16", "uint16")
"""Dtypes of quantised numbers."""
SUMS = ("int32", "int64")
"""Dtypes of their sums, and of the bias."""

ROUNDINGS = 8
"""To float32, on the way from a sum to a level, at most: the scale of a product (two, where it was
given in float64), its quotient by way of a reciprocal (two), the sum, the bias and what they add up
to (three), and their product. That of adding the zero point is counted with the zero point."""


def as_it_is(sums: Array) -> Array:
    """The same: accumulators that hold every sum."""
    return sums


def saturate(levels: Array, limits: Limits) -> Array:
    """What is out of range at the end of the range."""
    return levels.clip(*limits)


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantisedProblem(Problem):
    """Operands less their zero points, and the steps from their sums to the levels of an output.

    ``level = saturate(rounded(held(sums) * multiplier) + zero_point)``, all in float64, which holds
    the sums without error: ties are left to those who count in integers.
    """

    x_zero_point: int
    w_zero_point: Array
    """What to add to w to find its levels again: one number, or one for each filter."""
    formats: tuple[Dtype, Dtype]
    """The dtypes of x and w."""
    multiplier: Real = field(default_factory=partial(np.ones, 1))
    """``x_scale * w_scale / y_scale``, one number or one for each channel of the output."""
    zero_point: int = 0
    limits: Limits = (-np.inf, np.inf)
    """The lowest and the highest level."""
    roundings: int = 0
    """To float32; none where the sums themselves are the output."""
    held: Step = as_it_is
    rounded: Step = np.rint
    stored: Callable[[Array, Limits], Array] = saturate

    def totals(self) -> Real:
        """The sums with the bias."""
        return self.sums + self.added()

    @cached_property
    def sums(self) -> Real:
        """Of products, without the bias: integers, exact in float64."""
        x, w = self.x.astype(np.float32), self.w.astype(np.float32)
        result: Real = Problem(self.kind, self.shape, x, w, None, self.words).value()
        return result

    def values(self) -> Real:
        """The levels before they are rounded, counted from the zero point."""
        sums = self.held(self.totals())
        result: Real = self._changed(sums * self.along(self.multiplier))
        return result

    def value(self) -> Array:
        """The levels."""
        return self.levels(self.values())

    def levels(self, values: Real) -> Array:
        """Values rounded and stored as levels."""
        return self.stored(self.rounded(values) + self.zero_point, self.limits)

    def reach(self) -> Real:
        """How far arithmetic in float32 can take a value: ``gamma_8 * magnitude``.

        Bias and sum may be scaled apart, so the magnitude is that of both, and that of the zero
        point, which may be added before rounding.
        """
        apart = abs(self.sums) + abs(self.added())
        scaled: Array = self._changed(apart * self.along(self.multiplier))
        magnitude = abs(scaled).astype(np.float64) + abs(self.zero_point)
        return gamma(self.roundings, FORMATS["float32"].unit_roundoff) * magnitude

    def doubled(self) -> Real:
        """How far rounding twice, first to multiples of a power of two, can take a value.

        A multiplier ``q * 2**-shift`` with q from 1/2 to 1 is applied in these two steps.
        """
        exponent = np.frexp(self.along(self.multiplier))[1]
        return np.where(exponent < 0, 0.5 * 2.0**exponent, 0)

    def admits(self, output: Array) -> bool:
        """Whether engines may give these levels for this problem, whatever rounding they do."""
        return self.admits_within(output, self.reach() + self.doubled())

    def admits_within(self, output: Array, slack: Real) -> bool:
        """Whether values so far from the true ones give these levels."""
        values = self.values()
        low, high = self.levels(values - slack), self.levels(values + slack)
        between = (low <= output) & (output <= high)
        return bool((between | (output == low) | (output == high)).all())

    def factors(
        self, output: Array, base: Real, part: Real, axes: tuple[int, ...] | None
    ) -> tuple[Real, Real]:
        """From which f to which ``base + f * part`` gives these levels, over some axes together.

        The first is above the second where no f does.
        """
        slack = 0.5 + self.reach()
        least = np.where(output > self.limits[0], output - self.zero_point - slack, -np.inf) - base
        most = np.where(output < self.limits[1], output - self.zero_point + slack, np.inf) - base
        with np.errstate(all="ignore"):
            low, high = np.where(part > 0, (least, most), (most, least)) / part
        never = (least > 0) | (most < 0)
        low = np.where(part != 0, low, np.where(never, np.inf, -np.inf))
        high = np.where(part != 0, high, np.where(never, -np.inf, np.inf))
        return low.max(axis=axes, initial=-np.inf), high.min(axis=axes, initial=np.inf)

    def offsets(self, output: Array) -> tuple[Real, Real]:
        """From which number to which, added to the sums of each channel, gives these levels."""
        axis = self.channel_axis(output.ndim)
        others = tuple(number for number in range(output.ndim) if number != axis)
        step = np.broadcast_to(self.along(self.multiplier), output.shape)
        return self.factors(output, self.values(), step, others)

    def added(self) -> Real:
        """The bias, as it is added to the sums."""
        bias = np.zeros(1) if self.bias is None else self.bias.astype(np.float64)
        return self.along(bias)

    def along(self, numbers: Real) -> Real:
        """One number, or one for each channel, against the axes of the output."""
        if len(numbers) == 1 or self.spec.layout == "channels_last":
            return numbers
        return numbers.reshape(-1, *[1] * self.spec.rank)


def check_integers(allowed: tuple[str, ...], **arrays: Array) -> None:
    """Raise DtypeError for arrays of other dtypes than these."""
    for name, array in arrays.items():
        if array.dtype.name not in allowed:
            raise DtypeError(
                f"`{name}` has dtype {array.dtype}, and is to hold quantised numbers",
                f"use one of {', '.join(allowed)}",
            )


def read_scales(name: str, value: ArrayLike | None, channels: int) -> NDArray[np.float32]:
    """One float32 above 0, or one for each channel."""
    if value is None:
        raise WordError(f"`y_scale` needs `{name}`, which is missing", "give the scale of each")
    scales = one_or_each(name, as_array(name, value), channels)
    if scales.dtype.kind != "c":
        with np.errstate(all="ignore"):
            scales = scales.astype(np.float32)
    if scales.dtype != np.float32 or not (np.isfinite(scales) & (scales > 0)).all():
        raise WordError(
            f"`{name}` (={shown(value)}) is not above 0 in float32", f"such as {name}=0.1"
        )
    return scales


def refuse_steps(**steps: ArrayLike | None) -> None:
    """Raise WordError for what takes sums to levels, where the output is the sums."""
    for name, value in steps.items():
        if value is not None and np.any(value):
            raise WordError(
                f"`{name}` (={shown(value)}) needs `y_scale`, without which the output is the sums",
                "give both, or neither",
            )


def read_zero_points(name: str, value: ArrayLike, dtype: Dtype, channels: int) -> Array:
    """One integer that the dtype holds, or one for each channel."""
    centres = one_or_each(name, as_array(name, value), channels)
    limits = np.iinfo(dtype)
    if centres.dtype.kind not in "iu":
        raise DtypeError(f"`{name}` has dtype {centres.dtype}", f"use {dtype}, as its levels have")
    if (centres < limits.min).any() or (centres > limits.max).any():
        raise WordError(
            f"`{name}` (={shown(value)}) is not a number of {dtype}, as its levels are",
            f"use {limits.min} to {limits.max}",
        )
    return centres.astype(np.int64)


def one_or_each(name: str, array: Array, channels: int) -> Array:
    """The numbers along one axis; raise ShapeError unless there is one, or one for each channel."""
    if array.size != 1 and array.shape != (channels,):
        mend = "give it one" if channels == 1 else f"give it one, or {channels}: one a channel"
        raise ShapeError(f"`{name}` (shape {array.shape}) holds {array.size} numbers", mend)
    return array.reshape(-1)


def one_for_each_weight(numbers: Array, kind: str, shape: Shape, groups: int) -> Array:
    """One number for each output channel, against the axes of weights of this shape."""
    if len(numbers) == 1:
        return numbers
    aside = [1] * (len(shape) - 2)
    if kind == "transpose":  # weights (C_in, C_out/G, *kernel), the groups in blocks of C_in
        blocks = np.repeat(numbers.reshape(groups, -1), max(1, shape[0] // groups), axis=0)
        return blocks.reshape(shape[0], -1, *aside)
    return numbers.reshape(-1, 1, *aside)
