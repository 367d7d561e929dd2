"""Quantised outputs: exact in integers, and told apart from other ways to round."""

from dataclasses import replace
from math import isqrt
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref.checks import check_bias
from convref.dtypes import as_array, optional_array
from convref.errors import WordError, shown, verb
from convref.spec import Words
from convref.verify.bounds import FORMATS, gamma
from convref.verify.problem import Problem
from convref.verify.quantised_problem import (
    LEVELS,
    ROUNDINGS,
    SUMS,
    QuantisedProblem,
    check_integers,
    one_for_each_weight,
    read_scales,
    read_zero_points,
    refuse_steps,
)
from convref.verify.reference import Reference, absolute, check, number_of_terms
from convref.verify.report import Diagnosis, Report, judge, statistics_of
from convref.verify.requantisations import Scales, definition, requantisations

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Practice = tuple[str, str]

REAL_BIAS = ("bias-unrounded", "a real bias is added, which was rounded to the integers given")
OVERFLOW = ("int32-overflow", "sums beyond int32 wrap round, as ONNX allows")
DEQUANTISED = (
    "dequantised",
    "numbers are dequantised, convolved in float32, and quantised again",
)


@verb
def verify_quantised(
    output: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    x_scale: ArrayLike | None = None,
    x_zero_point: ArrayLike = 0,
    w_scale: ArrayLike | None = None,
    w_zero_point: ArrayLike = 0,
    y_scale: ArrayLike | None = None,
    y_zero_point: ArrayLike = 0,
    kind: str = "forward",
    **words: Unpack[Words],
) -> Report:
    """Judge an output of a quantised convolution, of integers that stand for real numbers.

    A level q stands for ``(q - zero_point) * scale``. With the operands less their zero points, so
    that padding is the zero point, and the bias, integers of scale ``x_scale * w_scale``,

        output = saturate(round(sums * x_scale * w_scale / y_scale) + y_zero_point)

    with ties to even, as ONNX defines QLinearConv. Without ``y_scale`` the output is the sums
    themselves, as of ConvInteger. ``w_scale`` and ``w_zero_point`` are one number, or one for each
    output channel. Scales are taken as float32 numbers, and everything else is exact.

    The verdict is "exact" where each level is that of the formula; "explained" where an engine's
    way to round gives each, which ``explanation`` names (the list is below); "within bound" where
    each lies as near to the value before rounding as arithmetic in float32 can bring it: ``1/2 +
    gamma_8 * magnitude`` steps, in which ``bound_used`` and the statistics count; else "wrong". The
    sums then come from another problem, which the diagnosis names if it can. ``ulp`` is the largest
    distance from the value before rounding, in steps.

    | explanation | what the engine does |
    | --- | --- |
    | `ties-away`, `ties-up`, `ties-down`, `ties-to-zero` | ties are rounded another way |
    | `zero-point-first` | an odd zero point is added before rounding |
    | `float32-multiplier`, `float64-multiplier` | the scales, or the products, are rounded |
    | `fixed-point-multiplier`, `fixed-point-16-bit` | an integer and a shift, rounded once |
    | `fixed-point-double-rounding` | an integer and a shift, rounded twice, as in gemmlowp |
    | `int32-overflow` | sums beyond int32 wrap round, as ONNX allows |
    | `bias-unrounded` | the bias is added as a real number, at most 1/2 from the one given |
    | `dequantised` | the convolution is one of dequantised float32 numbers |

    The engines, with sources: `convref.verify.requantisations`.

    >>> x, w = np.array([[[0, 1, 2, 3, 200]]], np.uint8), np.array([[[1]]], np.int8)
    >>> scales = {"x_scale": 1.0, "w_scale": 0.5, "y_scale": 1.0}
    >>> verify_quantised(np.array([[[0, 0, 1, 2, 100]]], np.uint8), x, w, **scales).verdict
    'exact'
    >>> report = verify_quantised(np.array([[[0, 1, 1, 2, 100]]], np.uint8), x, w, **scales)
    >>> report.verdict, report.explanation.name
    ('explained', 'ties-away')
    >>> verify_quantised(np.array([[[0, 0, 1, 2, 101]]], np.uint8), x, w, **scales).verdict
    'wrong'

    Raises the errors of `conv`; DtypeError for arrays that are not of integers; WordError for a
    scale or a zero point that is out of range, missing, or of no use.
    """
    given, x, w = as_array("output", output), as_array("x", x), as_array("w", w)
    bias = optional_array("bias", bias)
    spec = check(kind, given.shape, w, bias, words)
    if kind not in ("forward", "transpose"):
        raise WordError(f"`kind` (={shown(kind)}) is not quantised", "use forward or transpose")
    channels = len(w) if kind == "forward" else w.shape[1] * spec.groups
    check_integers(LEVELS, x=x, w=w)
    check_integers(LEVELS if y_scale is not None else (*LEVELS, *SUMS), output=given)
    if bias is not None:
        check_integers((*LEVELS, *SUMS), bias=bias)
    check_bias(bias, channels, np.dtype(np.int64))
    centres = read_zero_points("w_zero_point", w_zero_point, w.dtype, channels)
    centres = one_for_each_weight(centres, kind, w.shape, spec.groups)
    centre = int(read_zero_points("x_zero_point", x_zero_point, x.dtype, 1)[0])
    scales = None
    if y_scale is None:
        refuse_steps(x_scale=x_scale, w_scale=w_scale, y_zero_point=y_zero_point)
    else:
        scales = Scales(
            read_scales("x_scale", x_scale, 1)[0],
            read_scales("w_scale", w_scale, channels),
            read_scales("y_scale", y_scale, 1)[0],
        )
    problem = QuantisedProblem(
        kind,
        given.shape,
        x.astype(np.int64) - centre,
        w.astype(np.int64) - centres,
        None if bias is None else bias.astype(np.int64),
        words,
        x_zero_point=centre,
        w_zero_point=centres,
        formats=(x.dtype, w.dtype),
    )
    if scales is not None:
        range_of = np.iinfo(given.dtype)
        problem = replace(
            problem,
            multiplier=scales.x.astype(np.float64) * scales.w / scales.y,
            zero_point=int(read_zero_points("y_zero_point", y_zero_point, given.dtype, 1)[0]),
            limits=(range_of.min, range_of.max),
            roundings=ROUNDINGS,
        )
    with np.errstate(all="ignore"):
        return report_on_levels(problem, given.astype(np.int64), given.dtype.name, scales)


def report_on_levels(
    problem: QuantisedProblem, output: Array, dtype: str, scales: Scales | None
) -> Report:
    """Judge levels, or sums where there are no scales, and find the reasons."""
    report, true, wrong = measure(problem, output, dtype)
    alike = output.shape == true.shape
    if alike and (found := legitimate(problem, output, wrong, scales)):
        return explained(report, *found)
    # Most outputs are right, and most programs judge none: imported where something is wrong.
    from convref.verify.diagnosis import misplaced, mistaken

    def fits(other: Problem) -> bool:
        return isinstance(other, QuantisedProblem) and other.admits(output)

    findings = mistaken(problem, output, true, fits)
    if not alike:
        text = f"the output has the shape {output.shape}; these words give {true.shape}"
        findings = (("shape", text), *findings)
    elif not findings and scales and dequantised(problem, output, report.terms):
        return explained(report, "explained", DEQUANTISED)
    elif not findings:
        findings = misplaced(problem, output, true, wrong, fits)
    return replace(report, diagnosis=tuple(Diagnosis(*finding) for finding in findings))


def explained(report: Report, verdict: str, practice: Practice | None) -> Report:
    """The report on an output that is legitimate."""
    return replace(report, verdict=verdict, explanation=practice and Diagnosis(*practice))


def measure(problem: QuantisedProblem, output: Array, dtype: str) -> tuple[Report, Array, Mask]:
    """The report as if nothing explained it, the true values, and which elements are wrong."""
    true = (problem.values() + problem.zero_point).clip(*problem.limits)
    terms = number_of_terms(problem.kind, problem.shape, problem.x, problem.w, problem.spec)
    reference = Reference(true, np.abs(true), terms + (problem.bias is not None))
    report, wrong = judge(output, reference, "int64", "int64")
    wide = any(form.itemsize > 1 for form in problem.formats)
    summed = "int64" if wide else "int32"
    report = replace(report, verdict="wrong", dtype=dtype, accumulate=summed)
    if output.shape != true.shape or not problem.roundings:
        return report, true, wrong
    error, bound = np.abs(output - true), 0.5 + problem.reach()
    used = error / bound
    report = replace(
        report,
        bound_used=float(used.max(initial=0)),
        worst=tuple(map(int, np.unravel_index(used.argmax(), used.shape))) if used.size else (),
        statistics=statistics_of(output, true, used, error, bound),
    )
    return report, true, used > 1


def legitimate(
    problem: QuantisedProblem, output: Array, wrong: Mask, scales: Scales | None
) -> tuple[str, Practice | None] | None:
    """The verdict, and the practice that explains the output; None where it seems wrong."""
    if scales is None and not wrong.any():
        return "exact", None
    sums = problem.totals().astype(np.int64)
    if scales is not None:
        rows, found = (by_channel(array, problem, scales) for array in (sums, output))
        low, high = (limit - problem.zero_point for limit in problem.limits)
        wanted = found - problem.zero_point
        differ = int((definition(rows, scales).clip(low, high) != wanted).sum())
        if not differ:
            return "exact", None
        for name, text, levels in requantisations(rows, scales, problem.zero_point):
            if (levels.clip(low, high) == wanted).all():
                few = f"{differ} of {wanted.size} levels are not those of the definition: {text}"
                return "explained", (name, few)
        if not wrong.any():
            return "within bound", None
        if real_bias(problem, output):
            return "explained", REAL_BIAS
    if (np.abs(sums) >= 2**31).any() and replace(problem, held=in_int32).admits(output):
        return "explained", OVERFLOW
    return None


def by_channel(array: Array, problem: QuantisedProblem, scales: Scales) -> Array:
    """In rows: one for each output channel if each has a scale, else one."""
    if len(scales.w) == 1:
        return array.reshape(1, -1)
    axis = problem.channel_axis(array.ndim)
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


def real_bias(problem: QuantisedProblem, output: Array) -> bool:
    """Whether each channel has one bias, at most 1/2 from the one given, that gives its levels."""
    if problem.bias is None:
        return False
    least, most = problem.offsets(output)
    return bool((np.maximum(least, -0.5) <= np.minimum(most, 0.5)).all())


def in_int32(sums: Array) -> Array:
    """As int32 holds them: what is beyond wraps round."""
    return (sums + 2.0**31) % 2.0**32 - 2.0**31


def dequantised(problem: QuantisedProblem, output: Array, terms: int) -> bool:
    """Whether sums of n float32 numbers may give each level, as they usually come out.

    Of n roundings of partial sums about ``2 * sqrt(n)`` are left, for most cancel (Higham and Mary,
    "A new approach to probabilistic rounding error analysis", SIAM Journal on Scientific Computing
    41 (2019)), and as many as there are in the scales.
    """
    x, w = absolute(problem.x), absolute(problem.w)
    sizes = replace(problem, x=x, w=w, bias=None, after=()).sums
    sizes = (sizes + abs(problem.added())) * problem.along(problem.multiplier)
    roundings = problem.roundings + 2 * isqrt(terms)
    reach = gamma(roundings, FORMATS["float32"].unit_roundoff)
    return problem.admits_within(output, reach * (sizes + abs(problem.zero_point)))
