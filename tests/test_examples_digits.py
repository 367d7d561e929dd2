"""The training run: it learns, and one seed gives the same bits on any number of threads."""

import re
import sys

import numpy as np
import pytest

from convref.examples import digits
from convref.threads import using_threads


def run(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The lines that the example prints."""
    assert digits.main(list(words)) == 0
    return capsys.readouterr().out.splitlines()


def test_every_fifth_digit_is_kept_for_the_test() -> None:
    training, test = digits.load()
    assert (len(training.labels), len(test.labels)) == (1438, 359)
    assert training.images.shape == (1438, 1, 8, 8)
    assert (training.images.min(), training.images.max()) == (0, 1)
    assert len(np.unique(test.labels)) == 10


def test_images_are_moved_by_a_pixel_at_most() -> None:
    images = np.zeros((50, 1, 8, 8), np.float32)
    images[:, 0, 3, 4] = 1
    moved = digits.shifted(images, np.random.default_rng(0))
    assert (moved.sum(axis=(1, 2, 3)) == 1).all()
    offsets = np.argwhere(moved)[:, 2:] - (3, 4)
    assert {tuple(offset) for offset in offsets.tolist()} == {
        (i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)
    }


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    training, _ = digits.load()
    few = digits.Digits(training.images[:200], training.labels[:200])
    bits = []
    for threads in (1, 2, 3):
        rng = np.random.default_rng(5)
        net = digits.residual_net(rng)
        with using_threads(threads):
            digits.train(net, few, 1, 1e-3, rng)
        bits.append([parameter.value.tobytes() for parameter in net.parameters().values()])
    assert bits[0] == bits[1] == bits[2]


def test_progress_and_a_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "--epochs", "1", "--seed", "3")
    assert re.fullmatch(r"epoch  1  loss \d\.\d{4}  +\d+\.\d s", lines[-2])
    assert re.fullmatch(r"test accuracy 0\.\d{4}", lines[-1])


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "1"])
def test_it_learns(capsys: pytest.CaptureFixture[str], seed: str) -> None:
    accuracy = float(run(capsys, "--seed", seed)[-1].removeprefix("test accuracy "))
    assert accuracy >= 0.985


def test_without_scikit_learn_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert digits.main([]) == 2
    assert capsys.readouterr().err == (
        "the digits come with scikit-learn, which is not installed; "
        'pip install "convref[examples]"\n'
    )


def test_threads_out_of_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert digits.main(["--threads", "0"]) == 2
    assert "must be at least 1" in capsys.readouterr().err
