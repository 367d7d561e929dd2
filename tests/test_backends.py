"""Which back end computes: the argument, else the context, the environment, the default."""

import threading
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from messages import refused

import convref
from convref import MissingExtraError, WordError
from convref.kernels import fft, im2col, naive

KNOWN = "use one of 'naive', 'exact', 'numpy', 'numba', 'fft', 'winograd'"
choice = import_module("convref.backends")  # as an attribute of convref, the function hides it


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVREF_BACKEND", raising=False)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the back ends that have been asked to compute, in order."""
    names: list[str] = []

    def load(name: str) -> Any:
        def forward(*operands: Any) -> None:
            names.append(name)
            naive.forward(*operands)

        return SimpleNamespace(forward=forward)

    monkeypatch.setattr(choice, "_load", load)
    return names


def compute(backend: str | None = None) -> None:
    np.testing.assert_array_equal(convref.conv([[1, 2]], [[[1, 1]]], backend=backend), [[3]])


@pytest.mark.numba
@pytest.mark.usefixtures("no_environment")
def test_the_nearest_choice_wins(used: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    compute()
    monkeypatch.setenv("CONVREF_BACKEND", "NumPy")
    compute()
    with convref.using_backend("naive"):
        compute()
        with convref.using_backend("numba"):
            compute()
            compute("Naive")
        compute()
    compute()
    assert used == ["numba", "numpy", "naive", "numba", "naive", "naive", "numpy"]


@pytest.mark.numba
@pytest.mark.usefixtures("no_environment")
def test_a_context_ends_with_an_error_in_it() -> None:
    with pytest.raises(ZeroDivisionError), convref.using_backend("naive"):
        1 / 0  # noqa: B018
    assert choice.backend_name() == "numba"


@pytest.mark.numba
@pytest.mark.usefixtures("no_environment")
def test_a_context_holds_in_its_own_thread_only() -> None:
    seen = []
    with convref.using_backend("naive"):
        thread = threading.Thread(target=lambda: seen.append(choice.backend_name()))
        thread.start()
        thread.join()
    assert seen == ["numba"]


def test_modules() -> None:
    single = np.dtype(np.float32)
    assert choice.kernels("naive", single) is naive
    assert choice.kernels("NUMPY", single) is im2col
    assert choice.kernels("fft", single) is fft
    for name in convref.backends():
        for operator in ("forward", "input_grad", "weight_grad"):
            assert callable(getattr(choice.kernels(name, single), operator))


def test_without_numba(monkeypatch: pytest.MonkeyPatch, no_environment: None) -> None:
    monkeypatch.setattr(choice, "_has_numba", lambda: False)
    assert convref.backends() == ("naive", "exact", "numpy")
    assert choice.backend_name() == "numpy"
    for name in ("numba", "winograd"):
        message = (
            f"conv: `backend` (={name!r}) needs the package numba, which is not installed; "
            "pip install numba, or use 'numpy'"
        )
        with refused(MissingExtraError, message):
            compute(name)


@pytest.mark.numba
def test_compiled_modules() -> None:
    from convref.kernels import jit
    from convref.kernels.jit import winograd

    assert choice.kernels("numba", np.dtype(np.float32)) is jit
    assert choice.kernels("winograd", np.dtype(np.float32)) is winograd


@pytest.mark.numba
@pytest.mark.parametrize("name", ["torch", "", 3])
def test_unknown(name: Any) -> None:
    message = f"conv: `backend` (={name!r}) is not a back end; {KNOWN}"
    with refused(WordError, message):
        compute(name)


@pytest.mark.numba
def test_unknown_in_the_context_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    tail = f"(='torch') is not a back end; {KNOWN}"
    with refused(WordError, f"using_backend: `name` {tail}"), convref.using_backend("torch"):
        pass
    monkeypatch.setenv("CONVREF_BACKEND", "torch")
    with refused(WordError, f"conv: `CONVREF_BACKEND` {tail}"):
        compute()
