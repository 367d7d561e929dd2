"""`convref translate`: a layer's configuration in another framework's words."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from convref.cli.console import exit_codes
from convref.errors import FileError

MOST_TEXT = 2**24
"""Characters of a configuration."""


def translate(
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
