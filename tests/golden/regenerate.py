"""Rebuild the golden corpus, each framework in a virtual environment of its own.

    python regenerate.py                       # every make_*.py
    python regenerate.py pytorch jax           # only those
    python regenerate.py --venvs ~/golden      # keep the environments for the next time
    python regenerate.py --check               # compare with the shipped files, write nothing

The versions come from the inline header (PEP 723) of each script. ``--check`` fails where names,
words or inputs differ. Outputs that differ are counted but don't fail: a framework chooses its
kernels by CPU, so another machine may round the last bits otherwise. pip's own environment
variables (``PIP_EXTRA_INDEX_URL`` and so on) choose where packages come from.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parents[1] / "convref" / "verify" / "golden"
HEADER = re.compile(r"^# /// script\n((?:#(?: .*)?\n)+?)# ///$", re.MULTILINE)


def main() -> int:
    """Rebuild or check the chosen frameworks; return the exit status."""
    scripts = {path.stem.removeprefix("make_"): path for path in sorted(HERE.glob("make_*.py"))}
    options = parse_arguments(list(scripts))
    status = 0
    with tempfile.TemporaryDirectory() as scratch:
        venvs = options.venvs or Path(scratch) / "venvs"
        output = Path(scratch) / "golden" if options.check else SHIPPED
        for framework in options.frameworks or scripts:
            script = scripts[framework]
            python = environment(venvs / framework, dependencies(script))
            subprocess.run([python, script, output], check=True)
            if options.check:
                files = [folder / f"{framework}.npz" for folder in (SHIPPED, output)]
                status |= subprocess.run([python, HERE / "compare.py", *files]).returncode
    return status


def parse_arguments(frameworks: list[str]) -> argparse.Namespace:
    """Read the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "frameworks",
        nargs="*",
        metavar="FRAMEWORK",
        help=f"one of {', '.join(frameworks)}; all where none is given",
    )
    parser.add_argument(
        "--venvs",
        type=Path,
        metavar="DIR",
        help="where to keep the environments (default: a temporary folder)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare with the shipped files instead of replacing them",
    )
    options = parser.parse_args()
    for name in options.frameworks:
        if name not in frameworks:
            parser.error(f"no make_{name}.py; choose from {', '.join(frameworks)}")
    return options


def dependencies(script: Path) -> list[str]:
    """Read the pinned requirements from a script's inline header."""
    header = HEADER.search(script.read_text(encoding="utf-8"))
    if header is None:
        raise SystemExit(f"{script.name} has no '# /// script' header")
    lines = [line[2:] for line in header[1].splitlines()]
    return tomllib.loads("\n".join(lines))["dependencies"]


def environment(folder: Path, requirements: list[str]) -> Path:
    """Make the virtual environment, or bring an old one to the pins; return its interpreter."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
    return python


if __name__ == "__main__":
    sys.exit(main())
