"""Many reports in a few lines: by framework and operator, or one for each output."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from convref.verify.cases import Case
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
