"""The number of threads: who may set it, which choice wins, what is refused."""

from typing import Any

import numpy as np
import pytest
from messages import refused

import convref
from convref import WordError
from convref import threads as settings
from convref.threads import num_threads, set_num_threads, using_threads


@pytest.fixture
def default_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the process-wide number of threads after the test."""
    monkeypatch.setattr(settings, "_default", settings._default)


@pytest.mark.usefixtures("default_threads")
def test_the_nearest_choice_wins() -> None:
    set_num_threads(np.int64(3))
    assert num_threads() == 3
    with using_threads(5):
        with using_threads(None):
            assert num_threads() == 5
        with using_threads(2):
            assert num_threads() == 2
        assert num_threads() == 5
    assert num_threads() == 3


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one_thread(count: int) -> None:
    with refused(WordError, f"conv: `threads` (={count}) must be at least 1; use 1 or more"):
        convref.conv([[1]], [[[1]]], threads=count)
    message = f"set_num_threads: `count` (={count}) must be at least 1; use 1 or more"
    with refused(WordError, message):
        set_num_threads(count)


@pytest.mark.parametrize("count", [1.5, "two", True, (1, 2)])
@pytest.mark.usefixtures("default_threads")
def test_not_a_number_of_threads(backend: str, count: Any) -> None:
    """Checked by every back end, whether it uses threads or not."""
    with pytest.raises(WordError, match=r"^conv: `threads`"):
        convref.conv([[1]], [[[1]]], threads=count, backend=backend)
    with pytest.raises(WordError, match="`count`"):
        set_num_threads(count)
