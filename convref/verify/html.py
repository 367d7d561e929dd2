"""Reports as one HTML page that needs nothing else: no network, no script."""

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from convref.errors import ConvrefError
from convref.verify import drawing
from convref.verify.cases import ARRAYS, Case, problems
from convref.verify.maps import counts, fractions, paths, planes
from convref.verify.problem import Problem
from convref.verify.report import Report
from convref.verify.summary import Judged, figures, summarise, worst_element

MOST_DETAILS = 20
"""Outputs that are shown each by itself; the others are in the table of all."""
MOST_LINES = 1000
"""Outputs in that table."""
MOST_DRAWN = 120_000
"""Characters that may be spent on maps."""
CLASSES = {"wrong": "bad", "explained": "fair"}
STEADY = "default-src 'none'; style-src 'unsafe-inline'"
"""What the page may load: nothing."""


def as_html(judged: Iterable[Judged], facts: Mapping[str, Any] | None = None) -> str:
    """The page, with ``facts`` under its title."""
    judged = list(judged)
    wrong = [one for one in judged if not one[2].ok]
    title = f"{len(wrong)} of {len(judged)} outputs are wrong"
    if not wrong:
        title = f"All {len(judged)} outputs are legitimate"
    chosen = [one for one in judged if one[2].verdict in CLASSES]
    chosen.sort(key=lambda one: one[2].ok)
    style = files("convref.verify").joinpath("html.css").read_text("utf-8")
    head = (
        '<meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{STEADY}">'
        f"<title>convref: {escape(title)}</title><style>{style}</style>"
    )
    parts = [
        f'<h1 class="{"bad" if wrong else "good"}">{escape(title)}</h1>',
        *(paragraph(f"{name}: {value}") for name, value in (facts or {}).items()),
        "<h2>Summary</h2>",
        summary(judged),
        "<h2>How much of the bound is used</h2>",
        histogram([report.bound_used for _, _, report in judged], "Outputs, by their largest"),
        *details(chosen),
        "<h2>All outputs</h2>",
        f"<details><summary>{len(judged)} outputs</summary>{everything(judged)}</details>",
    ]
    body = "<main>\n" + "\n".join(parts) + "\n</main>"
    page = f'<html lang="en"><head>{head}</head>\n<body>{body}</body></html>'
    return f"<!doctype html>\n{page}\n"


def paragraph(text: str) -> str:
    """A line of small print."""
    return f'<p class="soft">{escape(text)}</p>'


def verdict(word: str) -> str:
    """A verdict in its colour."""
    return f'<span class="{CLASSES.get(word, "good")}">{escape(word)}</span>'


def number(value: float) -> str:
    """A number in few digits, without an exponent where that is as short."""
    return f"{value:.0f}" if 100 <= value < 100_000 else f"{value:.3g}"


def table(caption: str, headings: list[str], rows: Iterable[list[str]], numbers: int = 0) -> str:
    """A table of HTML cells: the first of each row is its heading, so many at its end numbers."""
    count = len(headings)
    marks = ['class="number"' if i >= count - numbers else "" for i in range(count)]
    head = "".join(
        f'<th scope="col" {mark}>{heading}</th>'
        for heading, mark in zip(headings, marks, strict=True)
    )
    lines = []
    for first, *rest in rows:
        cells = "".join(
            f"<td {mark}>{cell}</td>" for cell, mark in zip(rest, marks[1:], strict=True)
        )
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    region = f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">'
    text = f"{region}<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
    return f"{text}<tbody>{''.join(lines)}</tbody></table></div>".replace(" >", ">")


def summary(judged: list[Judged]) -> str:
    """One line for each framework and operator."""
    rows = (
        [
            escape(line.framework),
            escape(line.operator),
            verdict(line.verdict),
            str(line.cases),
            str(line.outputs),
            number(line.bound_used),
            number(line.ulp),
        ]
        for line in summarise(judged)
    )
    headings = ["framework", "operator", "verdict", "cases", "outputs", "bound used", "ULP"]
    return table("The worst of each framework and operator", headings, rows, 4)


def everything(judged: list[Judged]) -> str:
    """One line for each output, wrong ones first, and as many as a page can hold."""
    left = len(judged) - MOST_LINES
    judged = sorted(judged, key=lambda one: one[2].ok)[:MOST_LINES]
    rows = (
        [
            escape(case.name),
            escape(f"{case.operator} {name}"),
            verdict(report.verdict),
            number(report.bound_used),
            number(report.ulp),
        ]
        for case, name, report in judged
    )
    headings = ["case", "output", "verdict", "bound used", "ULP"]
    more = paragraph(f"And {left} more.") if left > 0 else ""
    return table("Each output", headings, rows, 2) + more


def histogram(used: Any, of_what: str) -> str:
    """How many use how much of the bound, as a table with bars."""
    found = counts(used)
    largest = max(1, *(count for _, _, count in found))
    rows = "".join(
        f'<tr><th scope="row"><span class="key s{step}"></span>{label}</th>'
        f'<td class="number">{count}</td>'
        f"<td>{bar(step, count / largest)}</td></tr>"
        for step, (label, _, count) in enumerate(found)
    )
    caption = f"{of_what} fraction of the rounding bound; beyond 1 no honest arithmetic gives them"
    head = (
        '<th scope="col">fraction</th><th scope="col" class="number">count</th>'
        '<th scope="col">share</th>'
    )
    return (
        f'<table class="bars"><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def bar(step: int, share: float) -> str:
    """A bar of a histogram, none for nothing."""
    width = f"{100 * share:.1f}%"
    return f'<span class="bar s{step}" style="width:{width}"></span>' if share else ""


def details(chosen: list[Judged]) -> Iterator[str]:
    """Outputs that are not plainly right, one by one."""
    if chosen:
        yield "<h2>What is wrong, or needs an explanation</h2>"
    drawn = 0
    for case, name, report in chosen[:MOST_DETAILS]:
        problem, output = dict(problems(case))[name], case.arrays[name]
        try:
            used = fractions(problem, output, case.formats[name], case.accumulate)
            there = worst_element(report, problem, output)
        except ConvrefError:  # no convolution has an output of this shape
            used, there = None, ""
        pictures = ""
        if used is not None and drawn <= MOST_DRAWN:
            pictures = maps(problem, used) + drawing.configuration(problem, report.worst)
        drawn += len(pictures)
        shares = "" if used is None else histogram(used, "Elements, by their")
        yield article(case, name, report, there, f'<div class="pair">{pictures}{shares}</div>')
    if len(chosen) > MOST_DETAILS:
        yield paragraph(f"{len(chosen) - MOST_DETAILS} more are in the table below.")


def article(case: Case, name: str, report: Report, there: str, pictures: str) -> str:
    """All that is known of one output."""
    found = [*report.diagnosis, *([report.explanation] if report.explanation else [])]
    reasons = "".join(
        f"<li><strong>{escape(finding.name)}</strong>: {escape(finding.text)}</li>"
        for finding in found
    )
    rows = (
        [*map(escape, pair)] for pair in (*figures(report), ("worst element", there)) if pair[1]
    )
    known = table("The numbers", ["figure", "value"], rows)
    return (
        f"<article><h3>{escape(case.name)} <span>{escape(name)}</span>: {verdict(report.verdict)}"
        f"</h3><ul>{reasons or '<li>nothing known explains it</li>'}</ul>"
        f'{pictures}<div class="pair">{known}{configuration(case)}</div></article>'
    )


def configuration(case: Case) -> str:
    """Operator, words, and arrays, as a table."""
    rows = {
        "framework": f"{case.framework} {case.version}",
        "operator": case.operator,
        **{word: str(value) for word, value in case.words.items()},
        **{
            name: f"{case.arrays[name].shape} {case.formats.get(name, '')}"
            for name in ARRAYS
            if name in case.arrays
        },
        "described as": case.configuration,
    }
    cells = ([escape(name), escape(text)] for name, text in rows.items())
    return table("The configuration", ["word", "value"], cells)


def maps(problem: Problem, used: np.ndarray[Any, Any]) -> str:
    """Where in the output how much of the bound is used, as pictures."""
    pictures = []
    for plane in planes(problem, used) if used.size else ():
        height, width = plane.cells.shape
        scale = max(4, min(16, 320 // width))
        shapes = "".join(
            f'<path class="s{step}" d="{d}"/>' for step, d in paths(plane.cells).items()
        )
        down, along = plane.size
        rows = f"{plane.rows} (0 to {down - 1}, downwards), " if plane.rows else ""
        title = escape(f"{rows}{plane.columns} (0 to {along - 1}, to the right)")
        pictures.append(
            f'<figure><svg role="img" aria-label="Error map: {title}" '
            f'viewBox="0 0 {width} {height}" width="{width * scale}" height="{height * scale}" '
            f'shape-rendering="crispEdges">{shapes}</svg><figcaption>{title}</figcaption></figure>'
        )
    return f'<div class="maps">{"".join(pictures)}</div>' if pictures else ""
