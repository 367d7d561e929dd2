"""The verdict on one output, and how it is reached."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.verify.bounds import FLOAT8, FORMATS, Real, overflow, ulp
from convref.verify.reference import Reference

Array = NDArray[Any]
Mask = NDArray[np.bool_]

VERDICTS = ("exact", "within bound", "explained", "wrong")
"""From best to worst."""


@dataclass(frozen=True)
class Diagnosis:
    """What would make a wrong output right: a stable short word, and a sentence."""

    name: str
    text: str


@dataclass(frozen=True)
class Statistics:
    """Of all elements: how they lie within the bound, and what `numpy.allclose` would have needed.

    ``bias`` and ``variance`` are the mean and the variance of the signed error as a fraction of its
    bound (for complex numbers of the real and imaginary parts): rounding to nearest has a bias near
    0, a truncating accumulator one that shows long before an element is out of bound.
    """

    median_bound_used: float
    bias: float
    variance: float
    rtol: float
    """With `atol` the smallest pair: ``|output - true| <= rtol * (s + |true|)``, s the median."""
    atol: float
    """``rtol * s``."""


@dataclass(frozen=True)
class Report:
    """What is known of an output.

    ``verdict`` is "exact" where every element is the correctly rounded result, "within bound" where
    honest arithmetic in some order can give each element, "explained" where a practice of lower
    precision can (``explanation`` says which), else "wrong". ``bound_used`` is the
    largest fraction of the rounding bound that an element uses and ``worst`` the index of that
    element; ``ulp`` is the largest error in units in the last place of the true value.
    """

    verdict: str
    bound_used: float
    ulp: float
    worst: tuple[int, ...]
    elements: int
    terms: int
    dtype: str
    accumulate: str
    statistics: Statistics
    explanation: Diagnosis | None = None
    """The practice that explains an output outside of its bound."""
    diagnosis: tuple[Diagnosis, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the output is legitimate."""
        return self.verdict != "wrong"

    def to_json(self) -> str:
        """The report as a JSON object; an infinite number is written as the string "inf"."""
        return json.dumps(self.as_dict(), allow_nan=False)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, ready for JSON."""
        return plain({"ok": self.ok, **asdict(self)})


def plain(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as JSON can have them: an infinite number as the string "inf"."""
    return {
        key: plain(value) if isinstance(value, dict) else "inf" if value == np.inf else value
        for key, value in fields.items()
    }


def judge(output: Array, true: Reference, dtype: str, accumulate: str) -> tuple[Report, Mask]:
    """Compare an output, stored as ``dtype`` and summed in ``accumulate``, with its reference.

    Gives the report, without a diagnosis, and which elements are wrong.
    """
    if output.shape == true.value.shape:
        with np.errstate(all="ignore"):
            bound = true.bound(accumulate, dtype)
            if dtype in FORMATS and FORMATS[dtype].missing:
                output = with_infinity(output, true.value, bound, dtype)
            error = errors(output, true, bound, dtype, accumulate)
            used = np.where(error > 0, error / bound, 0)
            ulps = np.where(error > 0, error / ulp(true.size, dtype), 0)
            statistics = statistics_of(output, true.value, used, error, bound)
            exact = correctly_rounded(output, true, dtype)
    else:
        used = ulps = np.full(output.shape if output.size and output.shape else 1, np.inf)
        exact, statistics = False, Statistics(np.inf, 0.0, 0.0, np.inf, np.inf)
    wrong = ~(used <= 1)
    report = Report(
        verdict="wrong" if wrong.any() else "exact" if exact else "within bound",
        bound_used=float(used.max(initial=0)),
        ulp=float(ulps.max(initial=0)),
        worst=tuple(map(int, np.unravel_index(used.argmax(), used.shape))) if used.size else (),
        elements=output.size,
        terms=true.terms,
        dtype=dtype,
        accumulate=accumulate,
        statistics=statistics,
    )
    return report, wrong


def with_infinity(output: Array, true: Array, bound: Real, dtype: str) -> Array:
    """What a format without infinity has as NaN, as the infinity that it stands for."""
    beyond = np.isnan(output) & np.isfinite(true) & (abs(true) + bound >= overflow(dtype))
    beyond |= np.isnan(output) & np.isinf(true)
    return np.where(beyond, np.copysign(np.inf, true), output)


def statistics_of(output: Array, true: Array, used: Real, error: Real, bound: Real) -> Statistics:
    """The statistics of an output; elements that are not finite have no part in them."""
    signed = (output - true) / bound
    signed = np.stack([signed.real, signed.imag]) if np.iscomplexobj(signed) else signed
    signed = np.where(error > 0, signed, 0).astype(np.float64)
    signed = signed[np.isfinite(signed)]
    size = abs(true).astype(np.float64)
    scale = float(np.median(size[np.isfinite(size)])) if np.isfinite(size).any() else 0.0
    needed = np.where(error > 0, error / (scale + size), 0)
    rtol = float(needed.max(initial=0)) if not np.isnan(needed).any() else np.inf
    return Statistics(
        median_bound_used=float(np.median(used)) if used.size else 0.0,
        bias=float(signed.mean()) if signed.size else 0.0,
        variance=float(signed.var()) if signed.size else 0.0,
        rtol=rtol,
        atol=rtol * scale if scale else 0.0,
    )


def errors(output: Array, true: Reference, bound: Real, dtype: str, accumulate: str) -> Real:
    """Distance of each element from its true value; 0 where both are one infinity or both NaN.

    An overflow counts as honest where the true value, or a partial sum, may come so far. Formats of
    8 bits may end at their largest number there.
    """
    same = (output == true.value) | (np.isnan(output) & np.isnan(true.value))
    distance = np.where(same, 0, abs(output - true.value)).astype(np.float64)
    distance[np.isnan(distance)] = np.inf
    in_sums = true.magnitude + bound >= overflow(accumulate)
    ends = np.isinf(output)
    if dtype in FLOAT8:
        ends |= abs(output) == FORMATS[dtype].largest
    in_storing = ends & (true.size + bound >= overflow(dtype))
    same_side = (output.real > 0) == (true.value.real > 0)
    honest = ~np.isfinite(output) & in_sums | in_storing & same_side
    return np.where(honest & np.isfinite(true.value), 0, distance)


def correctly_rounded(output: Array, true: Reference, dtype: str) -> bool:
    """Whether each element is the true value, rounded to nearest, ties to even.

    The reference tells of most elements. Where its own error could matter, near the middle between
    two numbers of the format or where numbers overflow, the back end `exact` decides.
    """
    if np.iscomplexobj(true.value):
        nearness = [
            nearest(output.real, true.value.real, true, dtype),
            nearest(output.imag, true.value.imag, true, dtype),
        ]
    else:
        nearness = [nearest(output, true.value, true, dtype)]
    if not all(possible.all() for _, possible in nearness):
        return False
    if all(sure.all() for sure, _ in nearness):
        return True
    rounded = None if true.rounded is None else true.rounded(dtype)
    if rounded is None:  # as near as anything tells
        return True
    return bool(((output == rounded) | np.isnan(output) & np.isnan(rounded)).all())


def nearest(found: Array, wanted: Array, true: Reference, dtype: str) -> tuple[Mask, Mask]:
    """Real elements that no number of the format comes nearer to than found: surely; perhaps.

    Where the reference is float64, products that underflow are off by its smallest number, too.
    """
    same = np.isnan(found) & np.isnan(wanted) | (found == wanted) & np.isinf(wanted)
    half = ulp(abs(wanted), dtype).astype(np.result_type(wanted, np.float64)) / 2
    doubt = true.uncertainty + true.terms * np.finfo(np.float64).smallest_subnormal
    error = abs(found - wanted)
    overflown = np.isinf(found) & np.isfinite(wanted)
    return same | (error < half - doubt), same | overflown | (error <= half + doubt)
