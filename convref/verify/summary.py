"""Many reports in a few lines: by framework and operator, or one for each output."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from convref.verify.cases import Case
from convref.verify.problem import Problem
from convref.verify.report import VERDICTS, Report, plain

Judged = tuple[Case, str, Report]
"""A case, the name of one of its outputs, and the report on it."""


@dataclass(frozen=True)
class Line:
    """The worst of a set of reports."""

    framework: str
    operator: str
    cases: int
    outputs: int
    bound_used: float
    ulp: float
    verdict: str


def summarise(judged: Iterable[Judged], each: bool = False) -> list[Line]:
    """One line for each framework and operator, in the order they come, or for each output."""
    groups: dict[tuple[str, str], list[Judged]] = {}
    for case, name, report in judged:
        key = (case.name, f"{case.operator} {name}") if each else (case.framework, case.operator)
        groups.setdefault(key, []).append((case, name, report))
    return [_worst(*key, group) for key, group in groups.items()]


def _worst(framework: str, operator: str, group: list[Judged]) -> Line:
    found = [report for _, _, report in group]
    return Line(
        framework,
        operator,
        cases=len({case.name for case, _, _ in group}),
        outputs=len(group),
        bound_used=max(report.bound_used for report in found),
        ulp=max(report.ulp for report in found),
        verdict=max((report.verdict for report in found), key=VERDICTS.index),
    )


def is_ok(lines: Iterable[Line]) -> bool:
    """Whether nothing is wrong."""
    return all(line.verdict != "wrong" for line in lines)


def as_values(judged: Iterable[Judged]) -> dict[str, Any]:
    """Everything as plain values for JSON; an infinite number is the string "inf"."""
    judged = list(judged)
    lines = summarise(judged)
    cases: dict[str, dict[str, Any]] = {}
    for case, name, report in judged:
        fields = {key: value for key, value in vars(case).items() if key != "arrays"}
        entry = cases.setdefault(case.name, {**fields, "outputs": {}})
        entry["outputs"][name] = report.as_dict()
    summary = [plain(asdict(line)) for line in lines]
    return {"ok": is_ok(lines), "summary": summary, "cases": list(cases.values())}


def worst_element(report: Report, problem: Problem, output: NDArray[Any]) -> str:
    """What the element holds that uses most of the bound; nothing where shapes differ."""
    true = problem.value()
    if not report.worst or true.shape != output.shape:
        return ""
    index = ", ".join(map(str, report.worst))
    return f"[{index}] is {output[report.worst]}, and should be {true[report.worst]}"


def figures(report: Report) -> list[tuple[str, str]]:
    """What a report says in numbers and words, each with a name, as people read it."""
    statistics = report.statistics
    explained = report.explanation
    return [
        ("verdict", report.verdict),
        *([("explanation", f"{explained.name}: {explained.text}")] if explained else []),
        ("bound used, largest", f"{report.bound_used:.3g}"),
        ("bound used, median", f"{statistics.median_bound_used:.3g}"),
        ("units in the last place", f"{report.ulp:.3g}"),
        ("bias of the error", f"{statistics.bias:.3g} of its bound"),
        ("variance of the error", f"{statistics.variance:.3g}"),
        ("allclose needs", f"rtol={statistics.rtol:.3g}, atol={statistics.atol:.3g}"),
        ("elements", f"{report.elements}, each a sum of at most {report.terms} terms"),
        ("formats", f"stored in {report.dtype}, summed in {report.accumulate}"),
    ]
