"""Answers to exercises: right, wrong in a known way, of another shape, and not given yet."""

import numpy as np
import pytest

from convref import conv, conv_weight_grad
from convref.explain.exercises import BLANK, check, check_conv


@pytest.mark.parametrize(
    ("answer", "expected", "said"),
    [
        (..., 3, BLANK),
        (3, 3, "Right."),
        ((2, 3), np.array([2, 3]), "Right."),
        ("same", "same", "Right."),
        (4, 3, "Not yet: 4 is not it."),
        (None, 3, "Not yet: None is not it."),
        ("valid", "same", "Not yet: valid is not it."),
        ((2, 3, 4), (2, 3), "Not yet: the answer has the shape (3,), not (2,)."),
        ([[1], [2, 3]], (2, 3), "Not yet: the rows of the answer differ in length."),
        (np.arange(9) % 8, np.arange(9), "Not yet: 1 of 9 elements differ."),
        (np.nan, 1.0, "Not yet: nan is not it."),
    ],
)
def test_check(
    answer: object, expected: object, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check(answer, expected)
    assert capsys.readouterr().out == f"{said}\n"


def said_of(capsys: pytest.CaptureFixture[str], *arguments: object, **words: object) -> str:
    check_conv(*arguments, **words)  # type: ignore[arg-type]
    return capsys.readouterr().out.removesuffix("\n")


def test_check_conv(capsys: pytest.CaptureFixture[str], rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((1, 2, 9), np.float32), rng.standard_normal((3, 2, 3), np.float32)
    y = conv(x, w, stride=2, backend="exact")
    off = y.copy()
    off[0, 0, 0] = np.nextafter(np.nextafter(off[0, 0, 0], 9), 9)
    assert said_of(capsys, ..., x, w) == BLANK
    assert said_of(capsys, y, x, w, stride=2) == "Right: each element is correctly rounded."
    assert said_of(capsys, off, x, w, stride=2).startswith("Right: 0.")
    assert said_of(capsys, off + 1, x, w, stride=2).startswith("Not yet: ")
    assert said_of(capsys, y, x, w, stride=2, kind="weight_grad").startswith("Not yet: verify: ")
    assert said_of(capsys, None, x, w) == (
        "Not yet: verify: `output` has dtype object, which can't be convolved; use one of float16, "
        "bfloat16, float32, float64, complex64, complex128, integers and booleans"
    )


def test_two_findings(capsys: pytest.CaptureFixture[str], rng: np.random.Generator) -> None:
    """Each in a line of its own."""
    x, w = rng.standard_normal((1, 2, 9), np.float32), rng.standard_normal((3, 2, 3), np.float32)
    y = conv(x, w[..., ::-1], stride=2, padding="same_lower")
    lines = said_of(capsys, y, x, w, stride=2, padding="same").splitlines()
    assert len(lines) in (1, 2)
    assert all(line.startswith("Not yet: ") for line in lines)


def test_of_a_gradient(capsys: pytest.CaptureFixture[str], rng: np.random.Generator) -> None:
    x, dy = rng.integers(-4, 4, (2, 1, 7)), rng.integers(-4, 4, (2, 3, 5))
    dw = conv_weight_grad(x, dy, (3,))
    assert said_of(capsys, dw, x, dy, kind="weight_grad") == (
        "Right: each element is correctly rounded."
    )
    one = conv_weight_grad(x[:1], dy[:1], (3,))
    assert "batch" in said_of(capsys, one, x, dy, kind="weight_grad")


def test_no_finding(capsys: pytest.CaptureFixture[str], rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((1, 2, 9), np.float32), rng.standard_normal((3, 2, 3), np.float32)
    noise = rng.standard_normal((1, 3, 7), np.float32)
    said = said_of(capsys, noise, x, w)
    assert said.startswith("Not yet: element [0, ")
    assert said.endswith(" times the bound.")
