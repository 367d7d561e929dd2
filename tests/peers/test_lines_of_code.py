"""Every printed line of code, run as it stands in the framework itself, on small integers."""

import os
from typing import Any

import numpy as np
import pytest
from code_lines import Array, Drawn, drawn
from hypothesis import given

from convref.explain.lines import Line, line

os.environ.setdefault("KERAS_BACKEND", "jax")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def made_by(found: Line, **arrays: Any) -> Any:
    """What the imports and the code give."""
    names: dict[str, Any] = {}
    exec(found.imports, names)
    return eval(found.code, {**names, **arrays})


def run_torch(found: Line, problem: Drawn, x: Array) -> tuple[Array, bool]:
    import torch

    made = made_by(found)
    (layer,) = (each for each in made.modules() if hasattr(each, "weight"))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(problem.w))
        layer.bias.copy_(torch.from_numpy(problem.bias))
        return made(torch.from_numpy(x)).numpy(), True


def run_keras(found: Line, problem: Drawn, x: Array) -> tuple[Array, bool]:
    made = made_by(found)
    x = np.moveaxis(x, 1, -1)
    made(x)
    made.set_weights([np.moveaxis(problem.w, (1, 0), (-2, -1)), problem.bias])
    return np.moveaxis(np.asarray(made(x)), -1, 1), True


def run_jax(found: Line, problem: Drawn, x: Array) -> tuple[Array, bool]:
    return np.asarray(made_by(found, x=x, w=problem.w)), False


def run_brainpy(found: Line, problem: Drawn, x: Array) -> tuple[Array, bool]:
    import brainpy

    layer, w = made_by(found), problem.w
    transposed = problem.setting.transposed
    w = np.flip(w, tuple(range(2, w.ndim))) if transposed else w
    layer.w.value = np.moveaxis(w, (0, 1) if transposed else (1, 0), (-2, -1))
    layer.b.value = problem.bias.reshape(layer.b.shape)
    y = layer(brainpy.math.asarray(np.moveaxis(x, 1, -1)))
    return np.moveaxis(np.asarray(y), -1, 1), True


def run_onnx(found: Line, problem: Drawn, x: Array) -> tuple[Array, bool]:
    import onnx
    import onnxruntime

    value, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    inputs = [value("x", kind, x.shape), value("w", kind, problem.w.shape)]
    graph = onnx.helper.make_graph(
        [made_by(found)], "line", inputs, [value("y", kind, [None] * x.ndim)]
    )
    opset = onnx.helper.make_opsetid("", 22)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": x, "w": problem.w})[0], False


RUNNERS = {
    "torch": (run_torch, ["torch"]),
    "keras": (run_keras, ["keras", "jax"]),
    "jax": (run_jax, ["jax"]),
    "brainpy": (run_brainpy, ["brainpy"]),
    "onnx": (run_onnx, ["onnx", "onnxruntime"]),
}


@pytest.mark.parametrize("dialect", RUNNERS)
@given(problem=drawn())
def test_lines_are_true(dialect: str, problem: Drawn) -> None:
    run, packages = RUNNERS[dialect]
    for package in packages:
        pytest.importorskip(package, reason=f"{package} is not installed (extra: peers)")
    found = line(problem.setting, dialect)
    if not found.code:
        return
    y, has_bias = run(found, problem, problem.padded() if found.pad_first else problem.x)
    expected = problem.expected(problem.bias if has_bias else None)
    np.testing.assert_array_equal(y, expected)
