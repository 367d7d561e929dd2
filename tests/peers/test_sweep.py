"""The sweep against real frameworks: all that they compute is legitimate, nothing is refused."""

import pytest

from convref.testing.peers import PACKAGES
from convref.testing.sweep import sweep

CASES = {"torch": 300, "jax": 40, "keras": 40, "onnxruntime": 500}
"""JAX compiles every one of them, and so does Keras on it."""


@pytest.mark.parametrize("name", PACKAGES)
def test_all_that_is_computed_is_legitimate(name: str) -> None:
    for package in PACKAGES[name]:
        pytest.importorskip(package, reason="needs the extra `peers`")
    found = sweep(name, CASES[name], seed=2016)
    assert found.minimal is None
    assert (found.cases, found.refused, found.refusal) == (CASES[name], 0, "")
    names = {name for _, name, _ in found.judged}
    assert names == ({"y"} if name == "onnxruntime" else {"y", "dx", "dw", "db"})
