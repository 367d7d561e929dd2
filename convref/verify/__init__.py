"""Is an output legitimate? A bound for every element, a verdict, frameworks' own outputs."""

from dataclasses import replace
from importlib import import_module
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convref.dtypes import accumulator, as_array, named_dtype, promoted, wide
from convref.errors import WordError, shown, verb
from convref.memory import check_fits
from convref.spec import Words
from convref.verify.bounds import FLOAT8, FORMATS
from convref.verify.problem import Problem
from convref.verify.report import Diagnosis, Report, judge


@verb
def verify(
    output: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    kind: str = "forward",
    accumulate: DTypeLike | None = None,
    **words: Unpack[Words],
) -> Report:
    """Judge an output of a convolution, wherever it was computed.

    ``kind`` says which operator's, and what x and w stand for:

    | kind          | output      | x  | w  |
    | ------------- | ----------- | -- | -- |
    | "forward"     | y           | x  | w  |
    | "transpose"   | transposed y | x  | w  |
    | "input_grad"  | dx          | dy | w  |
    | "weight_grad" | dw          | x  | dy |
    | "bias_grad"   | db          | dy | w  |

    Sizes that the inputs leave open, such as a transposed convolution's, are the output's own. An
    element is legitimate if ``|output - true| <= gamma_n * (|x| conv |w| + |bias|)``, with n the
    number of terms and ``gamma_n = n*u / (1 - n*u)`` for the unit roundoff u of ``accumulate`` (by
    default the dtype that `conv` sums in); storing it in a narrower dtype may round once more.

    >>> x, w = np.ones((1, 1, 4)), np.full((1, 1, 2), 0.1)
    >>> verify([[[0.2, 0.2, 0.2]]], x, w).verdict
    'exact'
    >>> verify([[[0.2, 0.2, 0.3]]], x, w).verdict
    'wrong'

    Raises the errors of `conv`.
    """
    return report_on(*question(output, x, w, bias, kind, accumulate, words))


def question(
    output: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None,
    kind: str,
    accumulate: DTypeLike | None,
    words: Words,
) -> tuple[Problem, NDArray[Any], str, str]:
    """What `report_on` takes, of what `verify` takes."""
    given = as_array("output", output)
    x, w = fitting("x", x), fitting("w", w)
    bias = None if bias is None else fitting("bias", bias)
    summed = sums_in(promoted(x=x.dtype, w=w.dtype), accumulate)
    problem = Problem(kind, given.shape, x, w, bias, words)
    return problem, readable(given), given.dtype.name, summed


def fitting(name: str, value: ArrayLike) -> NDArray[Any]:
    """An operand that the machine can hold in the format that it is judged in."""
    array = as_array(name, value)
    check_fits(16 * array.size, f"`{name}` in higher precision")
    return readable(array)


def report_on(problem: Problem, output: NDArray[Any], dtype: str, accumulate: str) -> Report:
    """Judge an output, stored as ``dtype`` and summed in ``accumulate``, and find the reasons.

    Reasons that leave no room come first: a problem with rounded operands, then a mistake, each of
    which every element must be within the bound of. Then come practices with a wider bound, places
    that are wrong, and mistakes in pairs.
    """
    true = problem.reference()
    report, wrong = judge(output, true, dtype, accumulate)
    if report.ok:
        return report
    # Most outputs are right, and most programs judge none: imported where something is wrong.
    from convref.verify import practices
    from convref.verify.diagnosis import misplaced, mistaken

    def fits(other: Problem) -> bool:
        return judge(output, other.reference(), dtype, accumulate)[0].ok

    coarse = FORMATS[dtype].unit_roundoff if dtype in FORMATS else 0.0
    with np.errstate(all="ignore"):
        if output.shape != true.value.shape:
            shapes = f"the output has the shape {output.shape}; these words give {true.value.shape}"
            if output.ndim <= problem.spec.rank:  # too few axes for any mistake to have made it
                return diagnosed(report, (("shape", shapes),))
            return diagnosed(
                report, (("shape", shapes), *mistaken(problem, output, true.value, fits, coarse))
            )
        for practice, other in practices.rounded_inputs(problem):
            if fits(other):
                return explained(report, practice)
        if stored := practices.as_stored(problem, output, true, dtype, accumulate):
            return explained(report, stored)
        if findings := mistaken(problem, output, true.value, fits, coarse):
            return diagnosed(report, findings)
        if noise := practices.of_errors(problem, output, true, dtype, accumulate):
            return explained(report, noise)
        return diagnosed(report, misplaced(problem, output, true.value, wrong, fits, coarse))


def diagnosed(report: Report, findings: tuple[tuple[str, str], ...]) -> Report:
    """The report, with these findings."""
    return replace(report, diagnosis=tuple(Diagnosis(*finding) for finding in findings))


def explained(report: Report, practice: tuple[str, str]) -> Report:
    """The report on an output that a practice explains."""
    return replace(report, verdict="explained", explanation=Diagnosis(*practice))


def sums_in(dtype: np.dtype[Any], accumulate: DTypeLike | None) -> str:
    """Name of the dtype that products are summed in: as declared, or as `conv` does."""
    if accumulate is None:
        return accumulator(dtype, None).name
    # bfloat16 is a dtype that NumPy knows only by its string
    named = None if isinstance(accumulate, str) else named_dtype(accumulate)
    name = accumulate if isinstance(accumulate, str) else named.name if named else ""
    known = [form for form in FORMATS if form not in FLOAT8] + ["int32", "int64"]
    if name not in known:
        raise WordError(
            f"`accumulate` (={shown(accumulate)}) is not a dtype that sums are taken in",
            f"use one of {', '.join(known)}",
        )
    return name


def readable(array: NDArray[Any]) -> NDArray[Any]:
    """bfloat16 and float8 as float32, which NumPy computes with; other dtypes as they are."""
    return array if array.dtype == np.float16 else wide(array)


def __getattr__(name: str) -> Any:
    """What stands on this file, and is imported when it is first asked for."""
    if name == "verify_onnx":
        return import_module("convref.verify.onnx").verify_onnx
    if name == "verify_module":
        return import_module("convref.verify.modules").verify_module
    if name == "verify_quantised":
        return import_module("convref.verify.quantised").verify_quantised
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
