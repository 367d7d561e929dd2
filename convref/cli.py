"""The command line (extra `cli`): thin, every answer comes from the package.

What a single option or command needs is imported there, so that the others start sooner.
"""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from secrets import randbelow
from tempfile import TemporaryDirectory
from threading import Timer
from time import monotonic
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from convref import __version__
from convref.backends import backend_name, backends, compiled, warmup
from convref.checks import rank_of
from convref.engine import reasons
from convref.errors import ConvrefError, FileError, ShapeError, WordError
from convref.spec import ConvSpec
from convref.testing.peers import PACKAGES
from convref.threads import num_threads
from convref.verify.cases import Case, corpus, read_case, reports
from convref.verify.summary import Judged, Line, as_values, is_ok, summarise
from convref.weights import replacing

EXAMPLE = """write '{"stride": 2}'"""
PROGRESS_AFTER = 1.0
"""Seconds before a progress bar appears."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A reference convolution engine: judge the outputs of frameworks, see what is installed.",
)
output, messages = Console(), Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("verify")
def verify_command(
    file: Annotated[
        Path | None,
        typer.Argument(help="An .npz file: x, w, y or gradients, and the words as JSON."),
    ] = None,
    as_json: AsJson = False,
    each: Annotated[bool, typer.Option("--each", help="One line for each output.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write the reports as JUnit XML.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the reports as an HTML page.")] = None,
    against: Annotated[
        str | None, typer.Option(help=f"Run drawn cases in a framework: {', '.join(PACKAGES)}.")
    ] = None,
    cases: Annotated[int, typer.Option(help="With --against: how many.")] = 500,
    seed: Annotated[int | None, typer.Option(help="With --against: as an earlier run had.")] = None,
) -> None:
    """Judge the outputs in FILE; without one, the frameworks' outputs that come with convref.

    Exit code 0: all are legitimate. 1: one is wrong. 2: the file can't be used.
    """
    with exit_codes():
        if against:
            if file:
                raise WordError("a FILE and --against are two sources of outputs", "give one")
            facts, judged = swept(against, cases, seed)
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
            say(*(f"{name}: {d.text}" for _, name, report in judged for d in report.diagnosis))
            say(*(f"{name}: {value}" for name, value in facts.items()))
        if not is_ok(lines):
            raise typer.Exit(1)


def say(*lines: str) -> None:
    """Print lines as they are."""
    for line in lines:
        output.print(line, highlight=False, markup=False, soft_wrap=True)


def swept(against: str, cases: int, seed: int | None) -> tuple[dict[str, object], list[Judged]]:
    """The facts of a sweep, and its reports."""
    from convref.testing.sweep import sweep

    chosen = randbelow(2**32) if seed is None else seed
    with TemporaryDirectory() as folder, progress("judging", cases) as advance:
        # Hypothesis keeps notes in the folder it is started in, if it is told no other.
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", folder)
        found = sweep(against, cases, chosen, advance)
    return found.as_dict(), list(found.judged)


def write(path: Path, text: str) -> None:
    """Write a report: whole or not at all."""
    try:
        with replacing(path) as file:
            file.write(text.encode("utf-8", "replace"))
    except OSError as error:
        raise FileError(f"{path} can't be written: {error}", "check its folder") from error


@app.command()
def info(
    as_json: AsJson = False,
    explain: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="X W", help="Shapes such as 1x64x56x56 64x64x3x3: which kernels they get."
        ),
    ] = None,
    words: Annotated[str, typer.Option(help="With --explain: the geometry words as JSON.")] = "{}",
) -> None:
    """Print versions, processor, vector width, threads and the folder of compiled kernels.

    With --explain, say which compiled kernel a convolution of two shapes gets, and why.
    """
    with exit_codes():
        facts = kernels_of(*explain, words) if explain else installation()
        if as_json:
            print(json.dumps(facts))
            return
        for name, value in facts.items():
            output.print(f"{name:13} {value}", highlight=False, markup=False, soft_wrap=True)


def installation() -> dict[str, object]:
    """What is installed, and what it runs on."""
    return {
        "convref": __version__,
        "python": f"{platform.python_version()} ({platform.system()}, {platform.machine()})",
        "numpy": installed("numpy"),
        "numba": installed("numba"),
        "backends": ", ".join(backends()),
        "backend": backend_name(),
        "threads": num_threads(),
        **compiled(),
    }


def kernels_of(x: str, w: str, words: str) -> dict[str, object]:
    """Which kernel each operator gets, and why."""
    x_shape, w_shape = shape("X", x), shape("W", w)
    try:
        settings = json.loads(words)
    except ValueError as error:
        raise WordError(f"`words` (={words!r}) is not JSON: {error}", EXAMPLE) from None
    if not isinstance(settings, dict):
        raise WordError(f"`words` (={words!r}) is not a JSON object", EXAMPLE)
    return {**reasons(x_shape, w_shape, ConvSpec.of(rank_of("W", w_shape), **settings))}


def shape(name: str, text: str) -> tuple[int, ...]:
    """Sizes written as 1x64x56x56."""
    sizes = text.lower().split("x")
    if not all(size.isdecimal() for size in sizes):
        raise ShapeError(f"`{name}` (={text!r}) is not a shape", "write sizes such as 1x64x56x56")
    return tuple(map(int, sizes))


@app.command("translate")
def translate_command(
    config: Annotated[
        Path, typer.Argument(help='A JSON file: {"class_name": ..., "config": {...}}; - for input.')
    ],
    source: Annotated[str, typer.Option("--from", help="torch, keras, brainpy or babilim.")],
    to: Annotated[str, typer.Option("--to", help="The same.")],
) -> None:
    """Print a layer's configuration in another framework's words.

    Exit code 2 where the other framework has no such layer; the message says what would do.
    """
    from convref.dialects import translate_config

    with exit_codes():
        print(json.dumps(translate_config(read_json(config), source, to), indent=2))


def read_json(path: Path) -> Any:
    """What a file, or the standard input, holds; raise FileError."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror}", "check the path") from None
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is not JSON: {error}", "check its commas and quotes") from None


@app.command("warmup")
def warmup_command() -> None:
    """Compile the kernels ahead of time, so that no later process has to."""
    with exit_codes():
        started = monotonic()
        warmup()
        output.print(f"kernels ready after {monotonic() - started:.1f} s", highlight=False)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Errors as one line and exit code 2, Ctrl-C as 130."""
    try:
        yield
    except ConvrefError as error:
        messages.print(f"convref: {error}", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        messages.print("convref: interrupted")
        raise typer.Exit(130) from None


def watched(cases: list[Case]) -> Iterator[Case]:
    """The cases one by one, with a progress bar."""
    with progress("judging", len(cases)) as advance:
        for case in cases:
            yield case
            advance()


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar that appears once it takes longer than a moment; call to advance it."""
    columns = SpinnerColumn(), TextColumn(what), BarColumn(), MofNCompleteColumn()
    bar = Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal)
    task = bar.add_task(what, total=total)
    appear = Timer(PROGRESS_AFTER, bar.start)
    appear.daemon = True
    appear.start()
    try:
        yield partial(bar.advance, task)
    finally:
        appear.cancel()
        appear.join()
        if bar.live.is_started:
            bar.stop()


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
        drawn.add_row(line.framework, line.operator, *counts, *figures, verdict)
    return drawn


def closing(lines: list[Line]) -> str:
    """The last line: what came out, in words."""
    outputs = sum(line.outputs for line in lines)
    wrong = [line for line in lines if line.verdict == "wrong"]
    if wrong:
        named = "; ".join(f"{line.framework}, {line.operator}" for line in wrong)
        return f"[red]wrong[/red]: {named}"
    subject = "the output is" if outputs == 1 else f"all {outputs} outputs are"
    return f"{subject} legitimate: within the rounding bound, element by element"


def installed(package: str) -> str:
    """Version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
