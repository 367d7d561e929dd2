"""What `verify_module` found out: the reports by name, and how they read."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from convref.verify.modules.live import Unjudged
from convref.verify.report import VERDICTS, Report
from convref.verify.summary import Judged, as_values

MOST_LINES = 8
"""So many outputs that are legitimate get a line each."""


@dataclass(frozen=True, repr=False)
class ModuleResult(Mapping[str, Report]):
    """The reports on a module, a mapping from names to reports in the order of execution.

    The names are ``y``, ``dx``, ``dw`` and ``db``, after those of the convolution where the module
    contains it: ``layer1.0.conv1 / y``. ``judged`` goes into `convref.verify.html.as_html` and
    `convref.verify.junit.as_junit`.
    """

    module: str
    framework: str
    judged: tuple[Judged, ...]
    unjudged: tuple[Unjudged, ...]
    """What could not be judged: the name and the reason of each."""

    @property
    def reports(self) -> dict[str, Report]:
        """All reports by name."""
        return {key(case.name, name): report for case, name, report in self.judged}

    @property
    def ok(self) -> bool:
        """Whether everything that was judged is legitimate."""
        return all(report.ok for report in self.values())

    @property
    def wrong(self) -> dict[str, Report]:
        """The wrong ones, in the order of execution."""
        return {name: report for name, report in self.items() if not report.ok}

    @property
    def first_wrong(self) -> str | None:
        """The name of the first wrong report."""
        return next(iter(self.wrong), None)

    def to_json(self) -> str:
        """The reports as a JSON object, like that of ``convref verify --json``."""
        facts = {"module": self.module, "not judged": dict(self.unjudged)}
        return json.dumps({**facts, **as_values(self.judged)}, allow_nan=False)

    def __getitem__(self, name: str) -> Report:
        return self.reports[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.reports)

    def __len__(self) -> int:
        return len(self.judged)

    def __repr__(self) -> str:
        return "\n".join((self._heading(), *self._lines()))

    def _heading(self) -> str:
        number = len({case.name for case, _, _ in self.judged})
        wrong = [case.name for case, _, report in self.judged if not report.ok]
        inside = f": {number} convolution{'s' * (number != 1)}"
        verdict = f"{len(set(wrong))} wrong" if wrong else "legitimate"
        first = f", the first is {wrong[0]}" if wrong and wrong[0] else ""
        return f"{self.module} ({self.framework}){inside}, {verdict}{first}"

    def _lines(self) -> Iterator[str]:
        wrong = self.wrong
        right = {name: report for name, report in self.items() if report.ok}
        listed = right if len(right) <= MOST_LINES else {}
        width = max(map(len, (*wrong, *listed)), default=0)
        for name, report in (*wrong.items(), *listed.items()):
            yield f"  {name:<{width}}  {described(report)}"
            reasons = [*([report.explanation] if report.explanation else []), *report.diagnosis]
            yield from (f"    {reason.name}: {reason.text}" for reason in reasons)
            if not report.ok and not reasons:
                yield "    nothing known explains it"
        if len(listed) < len(right):
            worst = max(right.values(), key=lambda report: VERDICTS.index(report.verdict))
            used = max(report.bound_used for report in right.values())
            others = f"{'the other ' if wrong else 'all '}{len(right)} outputs"
            yield f"  {others}: {worst.verdict} at worst, bound used {used:.3g} at most"
        yield from (f"  not judged: {name or 'it'}: {reason}" for name, reason in self.unjudged)


def key(convolution: str, output: str) -> str:
    """The name of a report."""
    return f"{convolution} / {output}" if convolution else output


def described(report: Report) -> str:
    """The verdict, how much of the bound is used, and the dtype of the output."""
    return f"{report.verdict:<12}  bound used {report.bound_used:<8.3g}  {report.dtype}"
