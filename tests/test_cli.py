"""The command line, as a person or a program meets it."""

import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import convref
from convref.cli import console
from convref.cli.verify import watched

HEADINGS = ["framework", "operator", "cases", "outputs", "bound used", "ULP", "verdict"]
X, W = np.ones((1, 2, 9), np.float32), np.ones((3, 2, 2), np.float32)
Y = np.full((1, 3, 8), 4, np.float32)


def run(*arguments, **environment):
    """The command in a process of its own: exit code, output, messages."""
    done = subprocess.run(
        [sys.executable, "-m", "convref", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", **environment},
        cwd=Path(convref.__file__).parents[1],
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def saved(tmp_path):
    def save(**arrays):
        path = tmp_path / "mine.npz"
        np.savez(path, **arrays)
        return path

    return save


def test_verify_judges_the_corpus():
    code, output, messages = run("verify")
    assert code == 0
    assert messages == ""
    header, *lines, closing = output.splitlines()
    assert re.split(r"\s{2,}", header.strip()) == HEADINGS
    assert {line.split()[0] for line in lines} == {"PyTorch", "TensorFlow", "Keras", "JAX", "ONNX"}
    assert all(line.rstrip().endswith("within bound") for line in lines)
    assert (
        closing == "all 695 outputs are legitimate: within the rounding bound, element by element"
    )


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_the_table_fits_the_terminal(columns):
    _, output, _ = run("verify", COLUMNS=columns)
    assert max(map(len, output.splitlines())) <= int(columns)


def test_progress_appears_once_it_takes_long(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(console, "messages", Console(file=written, force_terminal=True, width=80))
    monkeypatch.setattr(console, "PROGRESS_AFTER", 30)
    assert list(watched([1, 2])) == [1, 2]
    assert written.getvalue() == ""
    monkeypatch.setattr(console, "PROGRESS_AFTER", 0.01)
    for _ in watched([1, 2]):
        time.sleep(0.2)
    assert "judging" in written.getvalue()


def test_verify_prints_json():
    code, output, _ = run("verify", "--json")
    values = json.loads(output)
    assert code == 0
    assert values["ok"] is True
    assert len(values["cases"]) >= 150
    assert {"framework", "operator", "cases", "outputs", "bound_used", "ulp", "verdict"} == set(
        values["summary"][0]
    )


def test_verify_a_good_file(saved):
    code, output, _ = run("verify", saved(x=X, w=W, y=Y))
    assert code == 0
    assert "exact" in output


def test_verify_a_wrong_file(saved):
    path = saved(x=X, w=W, y=Y + 1)
    code, output, _ = run("verify", path)
    assert code == 1
    assert output.splitlines()[-2:] == [
        "wrong: mine, conv y",
        "y: every element is 1.25 times what it should be",
    ]
    code, output, _ = run("verify", path, "--json")
    assert code == 1
    assert json.loads(output)["cases"][0]["outputs"]["y"]["verdict"] == "wrong"


def test_verify_a_file_of_the_wrong_shape(saved):
    code, output, _ = run("verify", saved(x=X, w=W, y=Y[..., 1:]))
    assert code == 1
    expected = "y: the output has the shape (1, 3, 7); these words give (1, 3, 8)"
    assert expected in output.splitlines()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ('{"strides": 2}', "there is no word `strides`; did you mean `stride`?"),
        ('{"groups": 3}', "must divide the 2 input channels"),
        ('{"dtype": "float8"}', "`dtype` (='float8')"),
        ('{"accumulate": 3}', "`accumulate` (=3)"),
    ],
)
def test_a_file_that_cannot_be_used(saved, words, message):
    code, output, messages = run("verify", saved(x=X, w=W, y=Y, words=words))
    assert (code, output) == (2, "")
    assert messages.startswith("convref: ")
    assert message in messages
    assert len(messages.splitlines()) == 1


def test_a_file_that_is_not_there():
    code, _, messages = run("verify", "no-such-file.npz")
    assert code == 2
    assert messages == "convref: there is no file no-such-file.npz; check the path\n"


@pytest.mark.parametrize("option", ["--inputs", "--outputs"])
def test_options_of_a_model_without_one(saved, option):
    path = saved(x=X, w=W, y=Y)
    for file in ((), (path,)):
        code, output, messages = run("verify", *file, option, path)
        assert (code, output) == (2, "")
        assert messages == (
            "convref: --inputs and --outputs are those of a model; give it as FILE, .onnx\n"
        )


def test_names_are_no_markup(tmp_path):
    path = tmp_path / "[red]mine.npz"
    np.savez(path, x=X, w=W, y=Y + 1)
    code, output, _ = run("verify", path)
    assert code == 1
    assert output.splitlines()[1].startswith("[red]mine  conv y")
    assert output.splitlines()[2] == "wrong: [red]mine, conv y"


@pytest.mark.numba
def test_info():
    code, output, _ = run("info", "--json")
    facts = json.loads(output)
    assert code == 0
    assert facts["numpy"] == np.__version__
    assert {"convref", "python", "numba", "backend", "threads", "vectors", "kernels"} <= set(facts)
    assert run("info")[1].splitlines()[2].split() == ["numpy", np.__version__]


@pytest.mark.numba
@pytest.mark.slow
def test_warmup():
    code, output, _ = run("warmup")
    assert code == 0
    assert output.startswith("kernels ready after ")


def test_an_unknown_back_end_in_the_environment():
    code, _, messages = run("info", CONVREF_BACKEND="cuda")
    assert code == 2
    assert "`CONVREF_BACKEND` (='cuda') is not a back end" in messages


def test_without_the_extra_it_says_what_to_install():
    script = "import sys; sys.modules['typer'] = None; from convref.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "convref: the package typer is not installed; pip install 'convref[cli]'\n"
    )


def test_no_arguments_show_the_commands():
    _, output, messages = run()
    assert all(command in output + messages for command in ("verify", "info", "warmup"))


LAST = {"layout": "channels_last"}
EXPLAINED = [
    ("1x16x9x9", "16x16x3x3", {}, ["dense"] * 3),
    ("1x1x9x9", "1x1x3x3", {"stride": 2}, ["thin"] * 3),
    ("1x64x9x9", "64x1x3x3", {"groups": 64}, ["beside"] * 3),
    ("1x9x9x64", "64x1x3x3", {"groups": 64, **LAST}, ["grouped"] * 3),
    ("1x9x9x64", "64x2x3x3", {"groups": 32, **LAST}, ["grouped"] * 3),
    ("1x9x9x64", "2x64x3x3", LAST, ["inner", "dense", "thin"]),
    ("1x9x9x2", "64x2x3x3", LAST, ["dense", "inner", "dense"]),
]


@pytest.mark.numba
@pytest.mark.parametrize(("x", "w", "words", "kernels"), EXPLAINED)
def test_info_explains_the_choice_of_a_kernel(x, w, words, kernels):
    code, output, _ = run("info", "--json", "--explain", x, w, "--words", json.dumps(words))
    assert code == 0
    reasons = json.loads(output)
    assert list(reasons) == ["forward", "input_grad", "weight_grad"]
    for reason, kernel in zip(reasons.values(), kernels, strict=True):
        assert reason.startswith(kernel)
        assert ": " in reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("1x3xa", "4x3x1"), "`X` (='1x3xa') is not a shape; write sizes such as 1x64x56x56"),
        (("1x3x9", "4x2x1"), "`w` (shape (4, 2, 1)) takes 2 input channels"),
        (("1x3x9", "4x3x1", "--words", "[]"), "`words` (='[]') is not a JSON object; write"),
        (("1x3x9", "4x3x1", "--words", "{"), "`words` (='{') is not JSON"),
        (("1x3x9", "4x3x1", "--words", '{"strid": 2}'), "did you mean `stride`?"),
    ],
)
def test_what_can_not_be_explained_is_a_message(arguments, message):
    code, output, messages = run("info", "--explain", *arguments)
    assert (code, output) == (2, "")
    assert message in messages
    assert len(messages.splitlines()) == 1


WORDS = ("7x7", "--kernel", "3", "--stride", "2", "--padding", "same")


@pytest.mark.parametrize("columns", ["50", "80"])
def test_explain(columns):
    code, output, messages = run("explain", *WORDS, "--dialect", "keras", COLUMNS=columns)
    assert (code, messages) == (0, "")
    lines = output.splitlines()
    assert lines[0] == "convolution of 7x7 by 3x3: 4x4"
    assert "  rows       ceil(7/2) = 4" in lines
    assert '             keras.layers.Conv2D(1, 3, strides=2, padding="same")' in lines
    led, after = "  keras      import keras", "  torch      from torch import nn"
    assert lines.index(led) < lines.index(after)
    words = [line for line in lines if "(" not in line and "import" not in line]
    assert max(map(len, words)) <= int(columns)


def test_explain_as_json():
    code, output, _ = run(
        "explain", "4x5", "--kernel", "3", "--stride", "2x1", "--padding", "1,0x0,2", "--channels",
        "4x6", "--groups", "2", "--transposed", "--output-padding", "1x0", "--json",
    )  # fmt: skip
    values = json.loads(output)
    assert code == 0
    assert values["output_size"] == [9, 5]
    assert values["padding"] == [[1, 0], [0, 2]]
    assert values["weight_shape"] == [4, 3, 3, 3]
    assert values["code"]["convref"]["code"] == (
        "conv_transpose(x, w, stride=(2, 1), padding=((1, 0), (0, 2)), output_padding=(1, 0), "
        "groups=2)"
    )


def test_explain_writes_files(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra viz is not installed")
    png, gif, html = (tmp_path / f"conv.{suffix}" for suffix in ("png", "gif", "html"))
    code, _, messages = run("explain", *WORDS, "--png", png, "--gif", gif, "--html", html)
    assert (code, messages) == (0, "")
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert gif.read_bytes()[:6] == b"GIF89a"
    assert html.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (*WORDS, "--dialect", "torch"),
            "setting_in: `padding` (='same') takes a `stride` of 1, not 2; give the padding as "
            "integers",
        ),
        (
            (*WORDS, "--dialect", "pytorch"),
            "setting_in: `dialect` (='pytorch') is unknown; did you mean 'torch'?",
        ),
        (("7by7", "--kernel", "3"), "`size` (='7by7') is not made of sizes; such as 7x8"),
        (
            ("7", "--kernel", "3", "--padding", "(1,2)"),
            "`padding` (='(1,2)') is neither a word nor amounts; such as same, 1, 1x0 for two "
            "axes, or 1,2x0,0 for before and after on each",
        ),
        (
            ("7x7", "--kernel", "3x3x3"),
            "setting_in: `input_size` (=(7, 7)) has 2 entries, and there are 3 spatial axes; give "
            "one integer, or 3 of them",
        ),
    ],
)
def test_settings_that_can_not_be_explained(arguments, message):
    assert run("explain", *arguments) == (2, "", f"convref: {message}\n")


def test_a_page_that_can_not_be_written(tmp_path):
    code, output, messages = run("explain", *WORDS, "--html", tmp_path / "nowhere" / "page.html")
    assert (code, output) == (2, "")
    assert re.fullmatch(r"convref: \S+page.html can't be written: .*; check its folder\n", messages)
