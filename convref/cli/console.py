"""What all commands share: where they print, how they fail, how they show that they are at work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from convref.errors import ConvrefError, FileError, own
from convref.weights import replacing

PROGRESS_AFTER = 1.0
"""Seconds before a progress bar appears."""

output, messages = Console(), Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def say(*lines: str) -> None:
    """Print lines as they are."""
    for line in lines:
        output.print(line, highlight=False, markup=False, soft_wrap=True)


def write(path: Path, text: str) -> None:
    """Write a report: whole or not at all."""
    try:
        with replacing(path) as file:
            file.write(text.encode("utf-8", "replace"))
    except OSError as error:
        raise FileError(f"{path} can't be written: {error}", "check its folder") from error


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
