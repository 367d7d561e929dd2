"""`convref verify`: judge the outputs of files, models and frameworks."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from secrets import randbelow
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from convref.cli.console import AsJson, exit_codes, output, progress, say, write
from convref.errors import WordError
from convref.testing.peers import PACKAGES
from convref.verify.cases import Case, corpus, read_case, reports
from convref.verify.report import Report
from convref.verify.summary import Judged, Line, as_values, is_ok, summarise


def verify(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="An .npz file: x, w, y or gradients, and the words as JSON; or an .onnx model."
        ),
    ] = None,
    as_json: AsJson = False,
    each: Annotated[bool, typer.Option("--each", help="One line for each output.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write the reports as JUnit XML.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the reports as an HTML page.")] = None,
    against: Annotated[
        str | None, typer.Option(help=f"Run drawn cases in a framework: {', '.join(PACKAGES)}.")
    ] = None,
    cases: Annotated[int, typer.Option(help="With --against: how many.")] = 500,
    seed: Annotated[
        int | None, typer.Option(help="Of what is drawn: as an earlier run had.")
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(help="Of a model: an .npz file; drawn if left out.")
    ] = None,
    outputs: Annotated[
        Path | None, typer.Option(help="Tensors of a model that another engine made: .npz.")
    ] = None,
) -> None:
    """Judge the outputs in FILE; without one, the frameworks' outputs that come with convref.

    Of a model, every convolution, run by ONNX Runtime or compared with --outputs.

    Exit code 0: all are legitimate. 1: one is wrong. 2: the file can't be used.
    """
    with exit_codes():
        if against:
            if file:
                raise WordError("a FILE and --against are two sources of outputs", "give one")
            facts, judged = swept(against, cases, seed)
        elif file and file.suffix.lower() == ".onnx":
            facts, judged = of_model(file, inputs, outputs, seed)
        elif inputs or outputs:
            raise WordError("--inputs and --outputs are those of a model", "give it as FILE, .onnx")
        else:
            stored = [read_case(file)] if file else list(corpus())
            facts, judged = {}, [(c, name, r) for c in watched(stored) for name, r in reports(c)]
        lines = summarise(judged, each=each or file is not None)
        if junit:
            from convref.verify.junit import as_junit

            write(junit, as_junit(judged))
        if html:
            from convref.verify.html import as_html

            write(html, as_html(judged, facts))
        if as_json:
            print(json.dumps({**facts, **as_values(judged)}, allow_nan=False))
        else:
            output.print(table(lines))
            output.print(closing(lines))
            say(*(f"{subject}: {d.text}" for subject, r in subjects(judged) for d in r.diagnosis))
            say(*(f"{name}: {value}" for name, value in facts.items()))
        if not is_ok(lines):
            raise typer.Exit(1)


def watched(cases: list[Case]) -> Iterator[Case]:
    """The cases one by one, with a progress bar."""
    with progress("judging", len(cases)) as advance:
        for case in cases:
            yield case
            advance()


def swept(against: str, cases: int, seed: int | None) -> tuple[dict[str, object], list[Judged]]:
    """The facts of a sweep, and its reports."""
    from convref.testing.sweep import sweep

    chosen = randbelow(2**32) if seed is None else seed
    with TemporaryDirectory() as folder, progress("judging", cases) as advance:
        # Hypothesis keeps notes in the folder it is started in, if it is told no other.
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", folder)
        found = sweep(against, cases, chosen, advance)
    return found.as_dict(), list(found.judged)


def of_model(
    file: Path, inputs: Path | None, outputs: Path | None, seed: int | None
) -> tuple[dict[str, object], list[Judged]]:
    """What there is to say of a model, and the reports on its convolutions."""
    from convref.verify.onnx import verify_onnx

    chosen = randbelow(2**32) if seed is None else seed
    with progress("judging", None) as advance:
        found = verify_onnx(file, inputs, outputs, seed=chosen, advance=advance)
    return found.facts, list(found.judged)


def subjects(judged: list[Judged]) -> Iterator[tuple[str, Report]]:
    """What each report is on: an output, of a case where there are several."""
    several = len({case.name for case, _, _ in judged}) > 1
    for case, name, report in judged:
        yield (f"{case.name} {name}" if several else name), report


def table(lines: Iterable[Line]) -> Table:
    """The summary as a table."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column("framework", overflow="fold", min_width=7)
    drawn.add_column("operator", overflow="fold", min_width=7)
    for heading in ("cases", "outputs", "bound used", "ULP"):
        drawn.add_column(heading, justify="right", overflow="fold")
    drawn.add_column("verdict", overflow="fold")
    for line in lines:
        style = "red" if line.verdict == "wrong" else "green"
        counts = (str(line.cases), str(line.outputs))
        figures = (f"{line.bound_used:.3f}", f"{line.ulp:.3g}")
        verdict = f"[{style}]{line.verdict}[/{style}]"
        names = (escape(line.framework), escape(line.operator))
        drawn.add_row(*names, *counts, *figures, verdict)
    return drawn


def closing(lines: list[Line]) -> str:
    """The last line: what came out, in words."""
    outputs = sum(line.outputs for line in lines)
    wrong = [line for line in lines if line.verdict == "wrong"]
    if wrong:
        named = "; ".join(f"{line.framework}, {line.operator}" for line in wrong)
        return f"[red]wrong[/red]: {escape(named)}"
    subject = "the output is" if outputs == 1 else f"all {outputs} outputs are"
    return f"{subject} legitimate: within the rounding bound, element by element"
