"""A verdict for a test: the output is right, or an AssertionError says all that is known."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, Self, Unpack

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convref.errors import ConvrefError
from convref.spec import Words
from convref.verify import diagnosed, practices, question, report_on
from convref.verify.problem import Problem
from convref.verify.report import Report, judge
from convref.verify.summary import worst_element

Array = NDArray[Any]

EXACT = "int64"
"""A format whose sums, and whose storing, leave no room: no error at all is honest."""


def assert_conv(
    output: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    kind: str = "forward",
    accumulate: DTypeLike | None = None,
    **words: Unpack[Words],
) -> None:
    """Raise AssertionError unless `verify`, given the same, finds the output legitimate.

    Its text has the verdict, how much of the bound is used, the worst element, and the diagnosis:

    >>> x, w = np.arange(6.0).reshape(1, 1, 6), np.array([[[1.0, 2.0, 4.0]]])
    >>> assert_conv([[[10, 17, 24, 31]]], x, w)
    >>> assert_conv([[[4, 11, 18, 25]]], x, w)
    Traceback (most recent call last):
    convref.testing.judging.Mismatch: the output (4 elements of int64) is wrong
      bound used  1.8e+15 (the limit is 1)
      worst       [0, 0, 0] is 4, and should be 10.0
      diagnosis   kernel-flipped: the kernel is flipped: it is convolved, and not cross-correlated
      summed in   float64, 3 terms at most
      allclose    would pass from rtol=0.197, atol=4.03 on
    """
    __tracebackhide__ = True
    with naming("assert_conv"):
        mismatch = Mismatch.of(*question(output, x, w, bias, kind, accumulate, words))
    if mismatch:
        raise mismatch


@contextmanager
def naming(operation: str) -> Iterator[None]:
    """What `verb` does, without a frame of its own in the trace that a failing test shows."""
    try:
        yield
    except ConvrefError as error:
        error.operation = operation
        raise


def judged(
    problem: Problem, output: Array, dtype: str, accumulate: str, exact: bool = False
) -> Report:
    """The report on an output; of ``exact`` problems no element may be off at all.

    An output of another shape than the problem's is wrong, though there be a problem that has it.
    """
    if output.shape != problem.shape:
        return of_another_shape(problem, output, dtype, accumulate)
    if not exact:
        return report_on(problem, output, dtype, accumulate)
    true = problem.reference()
    if judge(output, true, EXACT, EXACT)[0].ok:
        return judge(output, true, dtype, accumulate)[0]
    # Sums are exact, whatever their format.
    practice = report_on(problem, output, dtype, EXACT)
    if practice.verdict == "explained":
        return replace(practice, accumulate=accumulate)
    strict = report_on(problem, output, EXACT, EXACT)
    return replace(strict, dtype=dtype, accumulate=accumulate)


def of_another_shape(problem: Problem, output: Array, dtype: str, accumulate: str) -> Report:
    """The report on an output that has not the shape of the problem."""
    if problem.kind == "forward":  # whose shape says nothing of what it should be
        return report_on(replace(problem, shape=output.shape), output, dtype, accumulate)
    report, _ = judge(output, problem.reference(), dtype, accumulate)
    text = f"the output has the shape {output.shape}; it should have {problem.shape}"
    return diagnosed(report, (("shape", text),))


def is_right(
    problem: Problem, output: Array, dtype: str, accumulate: str, exact: bool = False
) -> bool:
    """Whether an output is legitimate, without looking for what went wrong."""
    if output.shape != problem.shape:
        return False
    true = problem.reference()
    formats = (EXACT, EXACT) if exact else (dtype, accumulate)
    if judge(output, true, *formats)[0].ok:
        return True
    # Beyond the bound a practice may still explain it, if no mistake explains it better.
    for _, other in practices.rounded_inputs(problem):
        if judge(output, other.reference(), dtype, accumulate)[0].ok:
            return judged(problem, output, dtype, accumulate, exact).ok
    summed = EXACT if exact else accumulate
    stored = practices.as_stored(problem, output, true, dtype, summed)
    if stored or practices.of_errors(problem, output, true, dtype, summed):
        return judged(problem, output, dtype, accumulate, exact).ok
    return False


class Mismatch(AssertionError):
    """An output is wrong; the text says what is known.

    What went wrong is looked for when it is asked for: a test that shrinks its cases meets many
    outputs of which only the last is read.
    """

    def __init__(self, *question: Any, case: str = "") -> None:
        super().__init__("the output is wrong")
        self._question, self._case = question, case

    @classmethod
    def of(cls, *question: Any, case: str = "") -> Self | None:
        """One if the output is wrong; the question is what `judged` takes."""
        with np.errstate(all="ignore"):
            return None if is_right(*question) else cls(*question, case=case)

    @cached_property
    def report(self) -> Report:
        """All that is known of the output."""
        return judged(*self._question)

    def __str__(self) -> str:
        problem, output, *_ = self._question
        return failure_text(self.report, problem, output, self._case)


def failure_text(report: Report, problem: Problem, output: Array, case: str = "") -> str:
    """What a test that fails says of an output: the verdict, the numbers, the reasons."""
    found = [(finding.name, finding.text) for finding in report.diagnosis]
    diagnosis = [f"{name}: {text}" for name, text in found] or ["nothing known explains it"]
    lines = [("bound used", f"{report.bound_used:.3g} (the limit is 1)")]
    if there := worst_element(report, problem, output):
        lines.append(("worst", there))
    lines += [("diagnosis", text) for text in diagnosis]
    lines.append(("summed in", f"{report.accumulate}, {report.terms} terms at most"))
    if np.isfinite(report.statistics.rtol):
        needed = f"rtol={report.statistics.rtol:.3g}, atol={report.statistics.atol:.3g}"
        lines.append(("allclose", f"would pass from {needed} on"))
    if case:
        lines.append(("case", case))
    table = "\n".join(f"  {name:<11} {text}" for name, text in lines)
    return f"the output ({report.elements} elements of {report.dtype}) is {report.verdict}\n{table}"
