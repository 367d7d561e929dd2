"""ONNX Runtime: a model of one node whose weights are constants, as exported models have them."""

from collections.abc import Callable

import onnxruntime
from onnx import ModelProto, helper, numpy_helper

from benchmarks.engines import Unsupported
from benchmarks.operands import Array, Arrays
from benchmarks.suite import Layer

VERSION = f"onnxruntime {onnxruntime.__version__}"

OPSET, IR_VERSION = 17, 8
"""Old enough for every ONNX Runtime of the last years."""


def prepare(layer: Layer, operator: str, threads: int, arrays: Arrays) -> Callable[[], Array]:
    """A run of the session that holds the layer."""
    if operator != "forward":
        raise Unsupported("forward only")
    if not arrays["x"].flags.c_contiguous:
        raise Unsupported("channels first only")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = one_node(layer, arrays["x"], arrays["w"]).SerializeToString()
    try:
        session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented as error:
        raise Unsupported(f"no kernel for {arrays['x'].dtype}") from error
    feed = {"x": arrays["x"]}
    return lambda: session.run(None, feed)[0]


def one_node(layer: Layer, x: Array, w: Array) -> ModelProto:
    """The layer as a model."""
    dtype = helper.np_dtype_to_tensor_dtype(x.dtype)
    extra = {"output_padding": layer.output_padding} if layer.transposed else {}
    node = helper.make_node(
        "ConvTranspose" if layer.transposed else "Conv",
        ["x", "w"],
        ["y"],
        strides=layer.stride,
        pads=2 * layer.padding,
        dilations=layer.dilation,
        group=layer.groups,
        **extra,
    )
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", dtype, x.shape)],
        [helper.make_tensor_value_info("y", dtype, layer.shapes["dy"])],
        [numpy_helper.from_array(w, "w")],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
