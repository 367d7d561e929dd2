"""`convref info` and `convref warmup`: what is installed, and its kernels."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from time import monotonic
from typing import Annotated

import typer

from convref import __version__
from convref.backends import backend_name, backends, compiled, warmup
from convref.checks import rank_of
from convref.cli.console import AsJson, exit_codes, output
from convref.engine import reasons
from convref.errors import ShapeError, WordError, shown
from convref.spec import ConvSpec
from convref.threads import num_threads

EXAMPLE = """write '{"stride": 2}'"""


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


def installed(package: str) -> str:
    """Version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def warm_up() -> None:
    """Compile the kernels ahead of time, so that no later process has to."""
    with exit_codes():
        started = monotonic()
        warmup()
        output.print(f"kernels ready after {monotonic() - started:.1f} s", highlight=False)
