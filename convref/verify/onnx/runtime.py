"""One node at a time, run by ONNX Runtime.

Every node is a model of its own. So each of its outputs can be read, nothing is fused, a node that
can't be run is known by name, and no model is too large to be passed on. What is constant in the
model is so in that of the node, for the runtime prepares constant weights in other ways.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.verify.onnx.data import printable
from convref.verify.onnx.model import packages, references

Array = NDArray[Any]


class NotRunError(Exception):
    """A node can't be run; the text says why."""


def run(
    model: Any, node: Any, constants: Mapping[str, Any], values: Mapping[str, Any], optimised: bool
) -> dict[str, Any]:
    """The outputs of a node as the runtime's own values; raise NotRunError."""
    onnx, runtime = packages()
    read = references(node)
    feeds = {name: values[name] for name in sorted(read & values.keys())}
    graph = onnx.GraphProto(
        name="node",
        node=[node],
        initializer=[constants[name] for name in sorted(read & constants.keys() - feeds.keys())],
        input=[onnx.helper.make_value_info(name, kind(value)) for name, value in feeds.items()],
        output=[onnx.ValueInfoProto(name=name) for name in node.output if name],
    )
    alone = onnx.ModelProto(
        ir_version=max(4, model.ir_version),  # before, initializers were inputs
        opset_import=model.opset_import,
        functions=model.functions,
        graph=graph,
    )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised
    level = runtime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    try:
        session = runtime.InferenceSession(
            alone.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # to the same, with a message on the standard output
        )
        found = session.run_with_ort_values(None, feeds)
    except Exception as error:  # it has no base of its own for what it raises
        raise NotRunError(f"ONNX Runtime can't run it: {said(error)}") from error
    return dict(zip((name for name in node.output if name), found, strict=True))


def said(error: Exception) -> str:
    """What the runtime says, in one line without its codes."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return printable(lines[0].rpartition("[ONNXRuntimeError] : ")[2].split(" : ", 2)[-1].strip())


def kind(value: Any) -> Any:
    """The type of a value, of any shape, as a model declares it."""
    onnx, _ = packages()
    found = onnx.helper.make_tensor_type_proto(value.element_type(), None)
    is_sequence = value.data_type().startswith("seq(")
    return onnx.helper.make_sequence_type_proto(found) if is_sequence else found


def as_value(array: Array) -> Any:
    """An array as a value of the runtime, which takes bfloat16 as its bits; raise NotRunError."""
    onnx, runtime = packages()
    array = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    try:
        if array.dtype.name != "bfloat16":
            return runtime.OrtValue.ortvalue_from_numpy(array)
        return runtime.OrtValue.ortvalue_from_numpy_with_onnx_type(
            array.view(np.uint16), onnx.TensorProto.BFLOAT16
        )
    except Exception as error:  # of types that it has not
        raise NotRunError(f"ONNX Runtime does not take {array.dtype}") from error


def as_numpy(value: Any) -> Array:
    """A value of the runtime as an array; raise NotRunError where it is none of numbers."""
    try:
        array = value.numpy()
    except Exception as error:  # of types that NumPy has not
        raise NotRunError(f"ONNX Runtime does not give out its {value.data_type()}") from error
    return np.asarray(array)
