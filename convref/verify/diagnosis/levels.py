"""Mistakes in the steps between integers and the numbers that they stand for."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial, wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.verify.problem import Mistake, Problem
from convref.verify.quantised_problem import Limits, QuantisedProblem, saturate

Array = NDArray[Any]

FEWEST = 8
"""Elements from which on a number that explains them all is no accident."""


def of_levels(
    family: Callable[[QuantisedProblem], Iterator[Mistake]],
) -> Callable[[Problem], Iterator[Mistake]]:
    """A family of mistakes that only quantised problems have."""

    @wraps(family)
    def guarded(problem: Problem) -> Iterator[Mistake]:
        return family(problem) if isinstance(problem, QuantisedProblem) else iter(())

    return guarded


@of_levels
def zero_points(problem: QuantisedProblem) -> Iterator[Mistake]:
    """A zero point left out or added, and padding of 0 where it should be the zero point."""
    x, w, y = problem.x_zero_point, problem.w_zero_point, problem.zero_point
    if x:
        raw = problem.x + x
        yield missing("x", replace(problem, x=raw))
        yield added("x", replace(problem, x=raw + x))
        if problem.kind == "forward":
            sums = problem.w.sum(axis=tuple(range(1, problem.w.ndim)))
            bias = -x * sums + (0 if problem.bias is None else problem.bias)
            yield Mistake(
                "padding-zero-point", f"padding is 0, not the zero point of x, {x}",
                replace(problem, x=raw, bias=bias),
            )  # fmt: skip
    if w.any():
        yield missing("w", replace(problem, w=problem.w + w))
        yield added("w", replace(problem, w=problem.w + 2 * w))
        if w.size > 1:
            yield Mistake(
                "w-zero-point-per-tensor", "all channels have the zero point of the first",
                replace(problem, w=problem.w + w - w.flat[0]),
            )  # fmt: skip
    if y:
        yield missing("y", replace(problem, zero_point=0))
        yield added("y", replace(problem, zero_point=2 * y), "twice")


def missing(name: str, problem: Problem) -> Mistake:
    """The zero point of an operand left out."""
    return Mistake(f"{name}-zero-point-missing", f"the zero point of {name} is left out", problem)


def added(name: str, problem: Problem, how: str = "where it is to be subtracted") -> Mistake:
    """The zero point of an operand added."""
    return Mistake(f"{name}-zero-point-added", f"the zero point of {name} is added {how}", problem)


@of_levels
def signs(problem: QuantisedProblem) -> Iterator[Mistake]:
    """Bytes of signed integers read as unsigned, or the reverse."""
    centres = (problem.x_zero_point, problem.w_zero_point)
    operands = zip("xw", (problem.x, problem.w), centres, problem.formats, strict=True)
    for name, array, centre, form in operands:
        other = np.dtype(form.name[1:] if form.kind == "u" else f"u{form.name}")
        read = (array + centre).astype(form).view(other).astype(np.int64) - centre
        yield Mistake(
            f"{name}-signedness", f"{name}, of {form}, is read as {other}",
            replace(problem, **{name: read}),
        )  # fmt: skip


@of_levels
def accumulators(problem: QuantisedProblem) -> Iterator[Mistake]:
    """Sums that 16 bits do not hold."""
    for how, held in (("wrap round", wrapped), ("are saturated", saturate)):
        change = partial(held, limits=(-(2**15), 2**15 - 1))
        yield Mistake(
            "accumulator-overflow", f"sums {how} in 16 bits", replace(problem, held=change)
        )


@of_levels
def scales(problem: QuantisedProblem) -> Iterator[Mistake]:
    """One scale for all channels, scales in another order."""
    each = problem.multiplier
    if len(each) < 2:
        return
    for which, one in (("first", each[0]), ("last", each[-1]), ("largest", each.max())):
        yield Mistake(
            "scale-per-tensor", f"all channels have the {which} of the scales of w",
            replace(problem, multiplier=np.full_like(each, one)),
        )  # fmt: skip
    for how, order in (("reversed", each[::-1]), ("one too early", np.roll(each, 1)),
                       ("one too late", np.roll(each, -1))):  # fmt: skip
        yield Mistake(
            "scale-order", f"the scales of w meet the channels in another order: {how}",
            replace(problem, multiplier=order),
        )  # fmt: skip


@of_levels
def biases(problem: QuantisedProblem) -> Iterator[Mistake]:
    """A bias that is not one of sums."""
    if problem.bias is not None and problem.roundings:
        yield Mistake(
            "bias-scaled", "the bias is added after scaling, as if its scale were that of y",
            replace(problem, bias=problem.bias / problem.multiplier),
        )  # fmt: skip


@of_levels
def stores(problem: QuantisedProblem) -> Iterator[Mistake]:
    """What happens between a value and the level that is stored."""
    if not problem.roundings:
        return
    for rounded, where in ((np.floor, "down"), (np.trunc, "toward 0")):
        yield Mistake(
            "truncated", f"values are truncated, {where}, where they are to be rounded",
            replace(problem, rounded=rounded),
        )  # fmt: skip
    yield Mistake(
        "relu-fused", "what is below the zero point is 0: a ReLU is fused",
        replace(problem, stored=partial(rectified, zero_point=problem.zero_point)),
    )  # fmt: skip
    yield Mistake(
        "saturation-missing", "levels out of range wrap round, where they are to be saturated",
        replace(problem, stored=wrapped),
    )  # fmt: skip
    if problem.zero_point:
        yield Mistake(
            "saturated-early", "levels are saturated before the zero point is added",
            replace(problem, stored=partial(early, zero_point=problem.zero_point)),
        )  # fmt: skip


def wrapped(levels: Array, limits: Limits) -> Array:
    """What is out of range comes in at the other end."""
    low, high = limits
    return (levels - low) % (high - low + 1) + low


def rectified(levels: Array, limits: Limits, zero_point: int) -> Array:
    """No level below the zero point."""
    return saturate(levels, (zero_point, limits[1]))


def early(levels: Array, limits: Limits, zero_point: int) -> Array:
    """Saturated without the zero point, and with it once more."""
    return saturate(saturate(levels - zero_point, limits) + zero_point, limits)


def factor(problem: QuantisedProblem, output: Array, true: Array) -> tuple[str, str] | None:
    """A clamp, a factor, or a bias, that gives every level, told from the levels."""
    if clamp := clamped(problem, output, true):
        return clamp
    values, bias = problem.values(), problem.added() * problem.along(problem.multiplier)
    one = partial(only, problem, output)
    if found := one(0 * values, values, None):
        return "scaled", f"every value is {found} times what it should be"
    if problem.bias is not None and (found := one(values - bias, bias + 0 * values, None)):
        return "bias-scaled", f"the bias enters {found} times, as if it had another scale"
    axis = problem.channel_axis(output.ndim)
    others = tuple(number for number in range(output.ndim) if number != axis)
    if output.size < FEWEST * output.shape[axis]:
        return None
    for name, text, low, high, right in (
        ("scale-unknown", "each channel has another scale than the one given",
         *problem.factors(output, 0 * values, values, others), 1),
        ("bias-unknown", "another bias than the one given is added" if problem.bias is not None
         else "a bias is added to each channel, and none was given",
         *problem.offsets(output), 0),
    ):  # fmt: skip
        if (low <= high).all() and ((low > right) | (high < right)).mean() > 0.5:
            return name, text
    return None


def only(
    problem: QuantisedProblem, output: Array, base: Array, part: Array, axes: None
) -> str | None:
    """The factor of a part that gives every level, in a few digits."""
    low, high = problem.factors(output, base, part, axes)
    if not low <= high or not np.isfinite(low + high) or (part != 0).sum() < FEWEST:
        return None
    return f"{(low + high) / 2:.4g}"


def clamped(problem: QuantisedProblem, output: Array, true: Array) -> tuple[str, str] | None:
    """Whether the levels are the true ones, brought into a range that they show."""
    if not output.size:
        return None
    low, high = int(output.min()), int(output.max())
    beyond = (true < low - 0.5) | (true > high + 0.5)
    if beyond.sum() < FEWEST or not replace(
        problem, stored=lambda levels, _: saturate(levels, (low, high))
    ).admits(output):
        return None
    return "clamped", f"levels are clamped to {low} and {high}, as a fused activation does"
