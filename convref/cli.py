"""The command line (extra `cli`): thin, every answer comes from the package.

What a single option or command needs is imported there, so that the others start sooner.
"""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
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
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from convref import __version__
from convref.backends import backend_name, backends, compiled, warmup
from convref.checks import rank_of
from convref.engine import reasons
from convref.errors import ConvrefError, FileError, ShapeError, WordError, own, shown
from convref.spec import ConvSpec
from convref.testing.peers import PACKAGES
from convref.threads import num_threads
from convref.verify.cases import Case, corpus, read_case, reports
from convref.verify.report import Report
from convref.verify.summary import Judged, Line, as_values, is_ok, summarise
from convref.weights import replacing

EXAMPLE = """write '{"stride": 2}'"""
MOST_TEXT = 2**24
"""Characters of a configuration."""
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


def write(path: Path, text: str) -> None:
    """Write a report: whole or not at all."""
    try:
        with replacing(path) as file:
            file.write(text.encode("utf-8", "replace"))
    except OSError as error:
        raise FileError(f"{path} can't be written: {error}", "check its folder") from error


@app.command("explain")
def explain_command(
    size: Annotated[str, typer.Argument(help="Spatial sizes of the input: 7, 7x7 or 4x7x7.")],
    kernel: Annotated[str, typer.Option(help="3, or 3x5 for one size per axis.")],
    stride: Annotated[str | None, typer.Option(help="2, or 2x1.")] = None,
    padding: Annotated[
        str | None,
        typer.Option(help="A word; 1; 1x0 per axis; 1,2x0,0 before and after on each axis."),
    ] = None,
    dilation: Annotated[str | None, typer.Option(help="2, or 2x1.")] = None,
    input_dilation: Annotated[str | None, typer.Option(help="2, or 2x1.")] = None,
    groups: Annotated[int | None, typer.Option(help="Blocks of channels.")] = None,
    padding_mode: Annotated[
        str | None, typer.Option(help="zeros, reflect, replicate or circular.")
    ] = None,
    channels: Annotated[str | None, typer.Option(help="3x8: 3 in, 8 out; 3 for both.")] = None,
    transposed: Annotated[bool, typer.Option("--transposed", help="A transposed one.")] = False,
    output_padding: Annotated[str | None, typer.Option(help="Transposed: 1, or 1x0.")] = None,
    dialect: Annotated[
        str, typer.Option(help="Whose words: torch, keras, jax, brainpy, babilim, onnx, convref.")
    ] = "convref",
    as_json: AsJson = False,
    png: Annotated[Path | None, typer.Option(help="Write a picture, .png or .svg.")] = None,
    gif: Annotated[Path | None, typer.Option(help="Write an animation, .gif or .mp4.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to play with.")] = None,
) -> None:
    """Explain a convolution: sizes, padding, formula, windows, code and cost.

    The words mean what they mean in the dialect, which has its own defaults and refusals, as in
    convref explain 7x7 --kernel 3 --stride 2 --padding same --dialect keras.
    """
    from convref import explain
    from convref.explain.notation import read_setting

    with exit_codes():
        setting = read_setting(
            dialect, size, kernel, channels, stride=stride, padding=padding, dilation=dilation,
            input_dilation=input_dilation, groups=groups, padding_mode=padding_mode,
            transposed=transposed, output_padding=output_padding,
        )  # fmt: skip
        explained = explain.explain(setting, dialect)
        if png:
            explain.save(explain.picture(setting), png)
        if gif:
            explain.animation(setting, gif)
        if html:
            write(html, explain.page(setting))
        if as_json:
            print(json.dumps(explained.values, allow_nan=False))
        else:
            say(*explained.text(output.width).splitlines())


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
    except (ValueError, RecursionError) as error:
        raise WordError(f"`words` (={shown(words)}) is not JSON: {error}", EXAMPLE) from None
    if not isinstance(settings, dict):
        raise WordError(f"`words` (={shown(words)}) is not a JSON object", EXAMPLE)
    return {**reasons(x_shape, w_shape, ConvSpec.of(rank_of("W", w_shape), **settings))}


def shape(name: str, text: str) -> tuple[int, ...]:
    """Sizes written as 1x64x56x56."""
    sizes = text.lower().split("x")
    if not all(size.isdecimal() for size in sizes):
        raise ShapeError(
            f"`{name}` (={shown(text)}) is not a shape", "write sizes such as 1x64x56x56"
        )
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
        with nullcontext(sys.stdin) if str(path) == "-" else path.open(encoding="utf-8") as file:
            text = file.read(MOST_TEXT)  # a device may go on for ever
        if len(text) == MOST_TEXT:
            raise FileError(f"{path} has {MOST_TEXT} characters or more", "give one layer")
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
    except (ConvrefError, MemoryError) as error:
        messages.print(f"convref: {own(error)}", highlight=False, markup=False, soft_wrap=True)
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
def progress(what: str, total: int | None) -> Iterator[Callable[[], None]]:
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


def installed(package: str) -> str:
    """Version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
