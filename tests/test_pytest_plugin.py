"""The plugin, in runs of pytest in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import convref

ROOT = Path(convref.__file__).parents[1]


@pytest.fixture
def run(tmp_path):
    """Run a test file with the plugin: exit code, and what is printed."""

    def run(source):
        tmp_path.joinpath("test_mine.py").write_text(source)
        plugin = ("-p", "convref.pytest_plugin", "-p", "no:cacheprovider")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *plugin, "-W", "error"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PYTEST_ADDOPTS": "",
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # it is loaded by name, installed or not
                "COLUMNS": "200",
            },
        )
        return done.returncode, done.stdout

    return run


RIGHT = """
import numpy as np

def test_fixture(assert_conv):
    assert_conv([[[3, 5, 7]]], [[[1, 2, 3, 4]]], [[[1, 1]]])

def test_package(convref):
    y = convref.conv(np.ones((1, 2, 4)), np.ones((3, 2, 2)), backend="numpy")
    convref.testing.assert_conv(y, np.ones((1, 2, 4)), np.ones((3, 2, 2)))
    assert convref.verify(y, np.ones((1, 2, 4)), np.ones((3, 2, 2))).ok
"""

WRONG = """
import numpy as np

def test_mine(assert_conv):
    x, w = np.arange(10.0).reshape(1, 2, 5), np.arange(12.0).reshape(3, 2, 2)
    y = np.zeros((1, 3, 4))
    for tap in range(2):
        y += np.einsum("kc,ncp->nkp", w[:, :, 1 - tap], x[:, :, tap : tap + 4])
    assert_conv(y, x, w)  # the kernel is flipped
"""


def test_what_is_right_passes(run):
    code, output = run(RIGHT)
    assert code == 0
    assert output.splitlines()[-1].startswith("2 passed")


def test_what_is_wrong_fails_with_the_diagnosis(run):
    code, output = run(WRONG)
    assert code == 1
    lines = [line[1:].strip() for line in output.splitlines() if line.startswith("E ")]
    assert lines[0].endswith("Mismatch: the output (12 elements of float64) is wrong")
    assert [line.split()[0] for line in lines[1:]] == [
        "bound", "worst", "diagnosis", "summed", "allclose",
    ]  # fmt: skip
    flipped = "kernel-flipped: the kernel is flipped: it is convolved, and not cross-correlated"
    assert f"diagnosis   {flipped}" in lines


def test_the_trace_ends_in_the_test(run):
    _, output = run(WRONG)
    assert "assert_conv(y, x, w)  # the kernel is flipped" in output
    assert "judging.py" not in output
    assert "errors.py" not in output


def test_loading_the_plugin_is_light():
    """Every run of pytest loads it, wherever convref is installed."""
    script = (
        "import sys, pytest; before = set(sys.modules); import convref.pytest_plugin\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})\n"
        "print(*[name for name in sys.modules if name.startswith('convref.testing')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    packages, modules = run.stdout.splitlines()
    heavy = {"numba", "llvmlite", "scipy", "hypothesis", "rich", "typer", "torch", "jax", "onnx"}
    assert not set(packages.split()) & heavy
    assert modules == ""
