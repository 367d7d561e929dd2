"""Reports as JUnit XML, which continuous integration shows as tests."""

import re
from collections.abc import Iterable
from xml.etree import ElementTree

from convref.verify.report import Report
from convref.verify.summary import Judged, figures

FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 can't hold, not even escaped (section 2.2)."""


def as_junit(judged: Iterable[Judged]) -> str:
    """One testcase for each output, one testsuite for each framework; wrong ones are failures.

    >>> print(as_junit([]))
    <?xml version="1.0" encoding="utf-8"?>
    <testsuites name="convref" tests="0" failures="0" />
    <BLANKLINE>
    """
    root = ElementTree.Element("testsuites", name="convref")
    suites: dict[str, ElementTree.Element] = {}
    failures: dict[ElementTree.Element, int] = {root: 0}
    for case, name, report in judged:
        if case.framework not in suites:
            suite = ElementTree.SubElement(root, "testsuite", name=clean(case.framework))
            suites[case.framework], failures[suite] = suite, 0
        suite = suites[case.framework]
        classname = clean(f"{case.framework}.{case.operator}")
        test = ElementTree.SubElement(
            suite, "testcase", classname=classname, name=clean(f"{case.name} {name}")
        )
        described = clean("\n".join([f"configuration: {case.configuration}", *sentences(report)]))
        if report.ok:
            ElementTree.SubElement(test, "system-out").text = described
        else:
            failures[root] += 1
            failures[suite] += 1
            failure = ElementTree.SubElement(test, "failure", type="wrong", message=message(report))
            failure.text = described
    for element, failed in failures.items():
        element.set("tests", str(len(list(element.iter("testcase")))))
        element.set("failures", str(failed))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, "unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def message(report: Report) -> str:
    """What is wrong, in a line."""
    names = ", ".join(finding.name for finding in report.diagnosis) or "nothing known explains it"
    return clean(f"{report.verdict}: {names}")


def sentences(report: Report) -> list[str]:
    """The report, line by line."""
    lines = [f"{name}: {value}" for name, value in figures(report)]
    return lines + [f"{finding.name}: {finding.text}" for finding in report.diagnosis]


def clean(text: str) -> str:
    """The text without the characters that XML has not; what has a meaning in it is escaped later.

    >>> clean("a\\x00b")
    'a\\ufffdb'
    """
    return FORBIDDEN.sub("\ufffd", text)
