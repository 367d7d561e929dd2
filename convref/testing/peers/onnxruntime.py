"""ONNX Runtime: models of one node, Conv or ConvTranspose. It has no gradients."""

from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray

from convref.padding import Pair
from convref.testing.case import ConvCase

LIMITS = ({"kinds": ("forward", "transpose"), "dtypes": ("float32",)},)
OPSET, IR = 13, 8
"""Old enough for all versions in use."""


def outputs(case: ConvCase) -> dict[str, NDArray[Any]]:
    """y alone."""
    arrays = {"x": case.x, "w": case.w}
    if case.bias is not None:
        arrays["b"] = case.bias
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(
        model(case, arrays).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return {"y": session.run(["y"], arrays)[0]}


def model(case: ConvCase, arrays: dict[str, NDArray[Any]]) -> Any:
    """A model of one node."""
    transposed = case.kind == "transpose"
    words = {"output_padding": case.output_padding} if transposed else {}
    node = onnx.helper.make_node(
        "ConvTranspose" if transposed else "Conv",
        list(arrays),
        ["y"],
        strides=case.stride,
        dilations=case.dilation,
        group=case.groups,
        pads=pads(case.padding),
        kernel_shape=case.weight_shape[2:],
        **words,
    )
    number = onnx.TensorProto.FLOAT
    values = {name: array.shape for name, array in arrays.items()}
    inputs = [onnx.helper.make_tensor_value_info(name, number, s) for name, s in values.items()]
    y = onnx.helper.make_tensor_value_info("y", number, case.y_shape)
    graph = onnx.helper.make_graph([node], "case", inputs, [y])
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR)


def pads(padding: tuple[Pair, ...]) -> list[int]:
    """All amounts before, then all after."""
    return [lo for lo, _ in padding] + [hi for _, hi in padding]
