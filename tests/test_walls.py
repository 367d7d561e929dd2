"""The walls of the house, drawn from the imports that the source really has."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PACKAGE = ROOT / "convref"

ORDER = (
    ("errors",),
    ("memory", "integers", "dtypes"),
    ("threads", "padding"),
    ("spec",),
    ("geometry",),
    ("phases", "blocks", "intervals", "shapes"),
    ("kernels",),
    ("backends", "checks"),
    ("calls",),
    ("engine",),
    ("functional", "depthwise", "columns", "sparse"),
    ("names", "summary", "npz"),
    ("initialisers", "regularisers", "constraints"),
    ("layer",),
    ("activations",),
    ("weighted",),
    ("layers", "losses", "optimisers", "weights"),
    ("dialects", "examples"),
    ("verify",),
    ("explain",),
    ("__init__",),
    ("testing",),
    ("scale",),
    ("pytest_plugin", "cli"),
    ("__main__",),
)
"""From the ground up: a file imports from the storeys below its own. A new file takes a place here.

A folder is one storey.
"""

SIBLINGS = ("kernels", "layers", "dialects")
"""Folders of interchangeable siblings, which do not know each other."""

HOMES = {
    "numba": "kernels/jit",
    "llvmlite": "kernels/jit",
    "scipy": "sparse",
    "typer": "cli",
    "rich": "cli",
    "safetensors": "weights",
    "sklearn": "examples/digits",
    "dask": "scale",
    "distributed": "scale",
    "hypothesis": "testing/strategies",
    "matplotlib": "explain/pictures",
    "anywidget": "explain/widget",
    "traitlets": "explain/widget",
    "torch": ("testing/peers/torch", "verify/modules/torch"),
    "jax": ("testing/peers/jax", "verify/modules/jax", "verify/modules/flax"),
    "keras": ("testing/peers/keras", "verify/modules/keras"),
    "flax": "verify/modules/flax",
    "tensorflow": "verify/modules/tensorflow",
    "onnx": ("testing/peers/onnxruntime", "verify/onnx"),
    "onnxruntime": ("testing/peers/onnxruntime", "verify/onnx"),
    "pytest": "pytest_plugin",
}
"""The place where each package beyond NumPy is imported; two where it is compared and read."""

TOP_LEVEL = {
    "pyproject.toml",
    "README.md",
    "convref",
    "tests",
    "benchmarks",
    "notebooks",
    "LICENSE",
    "CHANGELOG.md",
    ".gitignore",
    ".ci",
    "noxfile.py",
}


class Import(NamedTuple):
    """One import statement: from which file, of which dotted name."""

    path: str
    name: str

    @property
    def package(self) -> str:
        return self.name.split(".")[0]


def sources() -> dict[str, ast.Module]:
    """Each file of the package, as its path without the suffix: ``kernels/naive``."""
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 10
    return {file.relative_to(PACKAGE).with_suffix("").as_posix(): parse(file) for file in files}


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def names(tree: ast.Module) -> Iterator[str]:
    """The dotted name of everything that is imported, anywhere in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports() -> list[Import]:
    return [Import(path, name) for path, tree in sources().items() for name in names(tree)]


def target(name: str) -> str | None:
    """The file of the package that a dotted name leads to; None outside the package."""
    package, *parts = name.split(".")
    if package != "convref":
        return None
    while parts:
        if PACKAGE.joinpath(*parts).with_suffix(".py").exists():
            return "/".join(parts)
        if PACKAGE.joinpath(*parts, "__init__.py").exists():
            return "/".join((*parts, "__init__"))
        parts.pop()
    return "__init__"


def internal() -> set[tuple[str, str]]:
    """Which file imports which."""
    found = {(path, target(name)) for path, name in imports()}
    return {(path, other) for path, other in found if other is not None}


def storey(path: str) -> int:
    first = path.split("/")[0]
    places = [level for level, members in enumerate(ORDER) if first in members]
    assert len(places) == 1, f"{path} has no place in the order"
    return places[0]


def test_every_file_has_a_place() -> None:
    for path in sources():
        assert storey(path) >= 0


def test_imports_point_down() -> None:
    """To a lower storey, or within one folder."""
    upward = {
        (path, other)
        for path, other in internal()
        if storey(other) >= storey(path) and path.split("/")[0] != other.split("/")[0]
    }
    assert not upward


def test_no_circle_of_imports() -> None:
    graph = internal()
    left = {path for pair in graph for path in pair}
    while free := {path for path in left if not any((path, other) in graph for other in left)}:
        left -= free
    assert not left


def test_siblings_do_not_know_each_other() -> None:
    """A sibling may be a folder of its own, as kernels/jit is; inside it files work together."""

    def sibling(path: str) -> tuple[str, ...]:
        return tuple(path.split("/")[:2])

    acquainted = {
        (path, other)
        for path, other in internal()
        if path.split("/")[0] in SIBLINGS
        and path.split("/")[0] == other.split("/")[0]
        and sibling(path) != sibling(other)
        and not path.endswith("/__init__")  # which lists them for the user
    }
    # R's functions are other names for the layers of Keras, and nothing else.
    assert acquainted <= {("dialects/keras_r", "dialects/keras/__init__")}


def homes(package: str) -> tuple[str, ...]:
    found = HOMES.get(package, ())
    return (found,) if isinstance(found, str) else found


def test_packages_stay_in_their_homes() -> None:
    common = {*sys.stdlib_module_names, "numpy", "convref"}
    strangers = {
        found
        for found in imports()
        if found.package not in common
        and not f"{found.path}/".startswith(tuple(f"{home}/" for home in homes(found.package)))
    }
    assert not strangers


def test_nothing_speaks_to_a_network() -> None:
    """Neither when it is imported nor later; Dask's cluster is the user's own."""
    network = {"asyncio", "ftplib", "http", "requests", "socket", "socketserver", "ssl", "urllib"}
    assert not {found for found in imports() if found.package in network}


def test_import_is_light() -> None:
    """Nothing but NumPy, and no back end that is not asked for."""
    script = (
        "import sys, convref; convref.conv([[1, 2]], [[[1]]], backend='numpy'); "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(run.stdout.split())
    assert {"convref", "numpy"} <= loaded
    assert not loaded & {*HOMES, "ml_dtypes", "hypothesis"}


def test_users_mistakes_are_not_asserted() -> None:
    """`python -O` would drop the checks."""
    asserted = {
        (path, node.lineno)
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
    }
    assert not asserted


@pytest.mark.parametrize("name", ["oracles", "rounding", "strategies"])
def test_oracles_are_independent(name: str) -> None:
    assert not any(other.split(".")[0] == "convref" for other in names(parse(TESTS / f"{name}.py")))


def test_top_level_names() -> None:
    """Of everything that git tracks or would track."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert top <= TOP_LEVEL
