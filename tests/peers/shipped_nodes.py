"""The tests of single operators that ship with onnx: models, with inputs and outputs."""

import warnings
from collections.abc import Container
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra `peers`")

KINDS = ("pytorch-converted", "pytorch-operator", "simple")
"""Beside the tests of nodes."""


class Shipped(NamedTuple):
    """A test: its model, pairs of inputs and outputs, and the tolerances of onnx."""

    model: Any
    data_sets: list[Any]
    rtol: float
    atol: float


@cache
def all_shipped() -> dict[str, Shipped]:
    """Each test, by name."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        # Making the tests of Cast overflows, and others divide by 0.
        warnings.simplefilter("ignore")
        nodes = load_model_tests(kind="node")
    found = {case.name: Shipped(case.model, case.data_sets, case.rtol, case.atol) for case in nodes}
    for kind in KINDS:
        for case in load_model_tests(kind=kind):
            folder = Path(case.model_dir)
            sets = [read(one) for one in sorted(folder.glob("test_data_set_*"))]
            model = onnx.load(folder / "model.onnx")
            found[f"{kind}/{case.name}"] = Shipped(model, sets, case.rtol, case.atol)
    return found


def shipped(operators: Container[str]) -> dict[str, Shipped]:
    """Those of one of these operators alone."""
    return {
        name: case
        for name, case in sorted(all_shipped().items())
        if len(case.model.graph.node) == 1 and case.model.graph.node[0].op_type in operators
    }


def read(folder: Path) -> tuple[list[Any], list[Any]]:
    """The inputs and outputs of a data set."""

    def tensors(prefix: str) -> list[Any]:
        count = len(list(folder.glob(f"{prefix}_*.pb")))
        return [onnx.load_tensor(folder / f"{prefix}_{number}.pb") for number in range(count)]

    return tensors("input"), tensors("output")


def as_array(tensor: Any) -> Any:
    return onnx.numpy_helper.to_array(tensor) if isinstance(tensor, onnx.TensorProto) else tensor
