"""The suite in environments of its own: `nox --list` names them, `nox --session oldest` runs one.

Arguments after `--` go to pytest: `nox --session tests-3.13 -- tests/test_functional.py`.
"""

import shutil
from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.14t"]
"""Each minor version that numba supports; with t, the free-threaded build."""
OLDEST = {"numpy": "2.0.0", "numba": "0.61.0"}
"""The least versions that pyproject.toml admits."""

VECTORS = {
    "256": (
        "haswell",
        "+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+bmi,+bmi2,+f16c",
    ),
    "128": ("x86-64", "+sse2"),
}
"""Narrower vectors, in bits: a processor that has them, and its features, as Numba takes them."""

nox.options.default_venv_backend = "venv"
nox.options.stop_on_first_error = True


def suite(session: nox.Session, *arguments: str) -> None:
    """Run the tests, or what the command line asks for."""
    session.run(
        "python", "-m", "pytest", "--quiet", "--numprocesses", "2", *arguments, *session.posargs
    )


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The newest versions of everything that this Python admits."""
    session.install(".[dev]")
    suite(session)


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """The oldest supported versions of the core's two dependencies."""
    session.install(".[dev]", *(f"{name}=={version}" for name, version in OLDEST.items()))
    suite(session)


@nox.session(python=PYTHONS[0])
def without_numba(session: nox.Session) -> None:
    """Everything but the back end `numba`, which the one doctest left out lists."""
    session.install(".[dev]")
    session.run("pip", "uninstall", "--yes", "--quiet", "numba", "llvmlite")
    left_out = "convref/backends.py::convref.backends.backends"
    suite(session, "--ignore=convref/kernels/jit", f"--deselect={left_out}")


@nox.session(python=PYTHONS[0])
@nox.parametrize("bits", list(VECTORS))
def vectors(session: nox.Session, bits: str) -> None:
    """The compiled kernels' tests on this machine, compiled for one with narrower vectors."""
    session.install(".[dev]")
    session.env["NUMBA_CPU_NAME"], session.env["NUMBA_CPU_FEATURES"] = VECTORS[bits]
    suite(
        session, *(() if session.posargs else map(str, sorted(Path("tests").glob("test_jit*.py"))))
    )


@nox.session(python=PYTHONS[0])
def built(session: nox.Session) -> None:
    """The built wheel, in a folder where no source lies beside it, and the built sdist's tests."""
    folder = Path(session.create_tmp())
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(folder), ".", silent=True)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    session.install(f"{wheel}[dev]")
    shutil.unpack_archive(source, folder, filter="data")
    session.chdir(folder / source.name.removesuffix(".tar.gz"))
    # `python -m pytest` would put the unpacked source before the wheel.
    session.run("pytest", "--quiet", "--numprocesses", "2", *(session.posargs or ["tests"]))
