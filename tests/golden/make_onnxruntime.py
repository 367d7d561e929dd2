# /// script
# requires-python = ">=3.11"
# dependencies = ["onnx==1.23.2", "onnxruntime==1.31.1", "numpy==2.4.6"]
# ///
"""Write ``onnxruntime.npz``: the ONNX operators Conv and ConvTranspose, run by ONNX Runtime.

Outputs only: the package computes no gradients. Its CPU kernels take float32 and float16.
"""

from typing import Any

import numpy as np
import onnx
import onnxruntime
from corpus import Arrays, Corpus, Description, Layer, call_text, convref_words, layer

OPSET, IR_VERSION = 22, 10

# fmt: off
LAYERS = [
    # One axis.
    layer("Conv", "same-upper-even-kernel", (2, 3, 9), (4, 3, 4), bias=True,
          auto_pad="SAME_UPPER", strides=[2]),
    layer("Conv", "same-lower-even-kernel", (2, 3, 9), (4, 3, 4), bias=True,
          auto_pad="SAME_LOWER", strides=[2]),
    layer("Conv", "asymmetric-dilated", (2, 2, 14), (3, 2, 3), pads=[3, 1], dilations=[2]),
    layer("Conv", "kernel-exceeds-input", (1, 2, 3), (4, 2, 8), bias=True, pads=[2, 4]),
    layer("Conv", "depthwise", (1, 4, 20), (4, 1, 3), bias=True, pads=[4, 0], dilations=[2],
          group=4),
    # Two axes.
    layer("Conv", "same-upper-even-kernel", (2, 3, 5, 7), (4, 3, 2, 4), "f32 f16", bias=True,
          auto_pad="SAME_UPPER"),
    layer("Conv", "same-lower-even-kernel", (2, 3, 5, 7), (4, 3, 2, 4), "f32 f16", bias=True,
          auto_pad="SAME_LOWER"),
    layer("Conv", "same-upper-stride", (2, 3, 8, 7), (4, 3, 3, 4), auto_pad="SAME_UPPER",
          strides=[3, 2]),
    layer("Conv", "same-lower-stride", (2, 3, 8, 7), (4, 3, 3, 4), auto_pad="SAME_LOWER",
          strides=[3, 2]),
    layer("Conv", "dilation-3-1", (1, 2, 8, 9), (3, 2, 2, 4), pads=[2, 2, 1, 1],
          dilations=[3, 1]),
    layer("Conv", "asymmetric", (2, 3, 6, 5), (4, 3, 3, 3), bias=True, pads=[0, 2, 1, 0],
          strides=[1, 2]),
    layer("Conv", "stride-not-dividing", (2, 2, 10, 9), (3, 2, 3, 2), bias=True, strides=[4, 3]),
    layer("Conv", "groups", (2, 6, 5, 6), (9, 2, 3, 3), bias=True, pads=[1, 1, 1, 1], group=3),
    layer("Conv", "depthwise-stride2", (1, 5, 8, 9), (5, 1, 3, 3), "f32 f16", bias=True,
          pads=[1, 1, 1, 1], strides=[2, 2], group=5),
    layer("Conv", "depthwise-multiplier2", (2, 3, 6, 6), (6, 1, 2, 3), auto_pad="SAME_UPPER",
          group=3),
    layer("Conv", "pointwise", (2, 6, 4, 5), (8, 6, 1, 1), "f32 f16", bias=True),
    layer("Conv", "kernel-fits-exactly", (3, 2, 5, 4), (6, 2, 5, 4), bias=True,
          auto_pad="VALID"),
    layer("Conv", "deep-sum", (1, 64, 4, 4), (2, 64, 3, 3), "f32 f16"),
    layer("Conv", "resnet-3x3", (1, 12, 8, 8), (12, 12, 3, 3), bias=True, pads=[1, 1, 1, 1]),
    layer("Conv", "resnet-stem-7x7", (1, 3, 12, 12), (8, 3, 7, 7), bias=True,
          pads=[3, 3, 3, 3], strides=[2, 2]),
    layer("Conv", "mobilenet-3x3", (1, 8, 9, 9), (8, 1, 3, 3), bias=True, pads=[0, 0, 1, 1],
          strides=[2, 2], group=8),
    # Three axes.
    layer("Conv", "same-lower-even-kernel", (1, 2, 4, 5, 4), (3, 2, 2, 3, 4), bias=True,
          auto_pad="SAME_LOWER", strides=[1, 2, 1]),
    layer("Conv", "asymmetric-groups", (1, 4, 3, 4, 5), (4, 2, 2, 2, 3), bias=True,
          pads=[1, 0, 2, 0, 1, 0], group=2),
    layer("Conv", "dilation", (1, 2, 5, 4, 6), (3, 2, 2, 2, 3), dilations=[3, 1, 2]),
    # Transposed. With `auto_pad` the output is the input's size times the stride.
    layer("ConvTranspose", "output-padding", (2, 3, 5), (3, 4, 4), bias=True, strides=[3],
          pads=[1, 1], output_padding=[2]),
    layer("ConvTranspose", "same-upper-even-kernel", (1, 3, 6), (3, 2, 4), strides=[1],
          auto_pad="SAME_UPPER"),
    layer("ConvTranspose", "same-lower-even-kernel", (1, 3, 6), (3, 2, 4), strides=[1],
          auto_pad="SAME_LOWER"),
    layer("ConvTranspose", "output-padding", (2, 3, 3, 4), (3, 2, 3, 3), "f32 f16", bias=True,
          strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 0]),
    layer("ConvTranspose", "asymmetric", (1, 2, 4, 4), (2, 3, 3, 4), bias=True,
          strides=[2, 1], pads=[0, 2, 1, 1]),
    layer("ConvTranspose", "same-upper", (1, 3, 3, 4), (3, 2, 3, 3), strides=[2, 2],
          auto_pad="SAME_UPPER"),
    layer("ConvTranspose", "same-lower", (1, 3, 3, 4), (3, 2, 3, 3), strides=[2, 2],
          auto_pad="SAME_LOWER"),
    # Of an odd total, `output_shape` crops the surplus before, unlike SAME_UPPER.
    layer("ConvTranspose", "output-shape", (1, 2, 4, 3), (2, 3, 3, 4), strides=[2, 2],
          output_shape=[8, 6], words={"padding": [(1, 0), (1, 1)]}),
    layer("ConvTranspose", "groups-dilation", (1, 4, 3, 3), (4, 3, 2, 3), bias=True,
          strides=[2, 2], dilations=[1, 2], output_padding=[0, 1], group=2),
    layer("ConvTranspose", "dcgan-4x4", (1, 8, 4, 4), (8, 4, 4, 4), strides=[2, 2],
          pads=[1, 1, 1, 1]),
    layer("ConvTranspose", "output-padding", (1, 2, 2, 3, 2), (2, 3, 3, 2, 3), bias=True,
          strides=[2, 1, 2], pads=[1, 0, 1, 1, 0, 1], output_padding=[1, 0, 1]),
]
# fmt: on


def describe(line: Layer, _dtype: str) -> Description:
    """Write the node's attributes, and their meaning in convref's words."""
    operands = ["x", "w", "bias"] if line.bias else ["x", "w"]
    text = call_text(f"onnx {line.function}-{OPSET}", operands, line.arguments)
    given = {
        "stride": line.arguments.get("strides", 1),
        "padding": padding_of(line),
        "dilation": line.arguments.get("dilations", 1),
        "groups": line.arguments.get("group", 1),
    }
    kind = "transpose" if line.function == "ConvTranspose" else "forward"
    words = convref_words(line.rank, **given | line.words)
    return Description("ONNX Runtime", onnxruntime.__version__, text, kind, words)


def padding_of(line: Layer) -> Any:
    """Translate ``auto_pad``, or ``pads``, which lists the low sides before the high sides."""
    words = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}
    if "auto_pad" in line.arguments:
        return words[line.arguments["auto_pad"]]
    if "pads" in line.arguments:
        pads = line.arguments["pads"]
        return list(zip(pads[: line.rank], pads[line.rank :], strict=True))
    return "valid"


def evaluate(line: Layer, inputs: Arrays, dtype: str) -> tuple[np.ndarray, None]:
    """Run a model of one node."""
    element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    declared = {
        name: onnx.helper.make_tensor_value_info(name, element, None) for name in [*inputs, "y"]
    }
    node = onnx.helper.make_node(line.function, list(inputs), ["y"], **line.arguments)
    graph = onnx.helper.make_graph(
        [node], "golden", [declared[name] for name in inputs], [declared["y"]]
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    options = onnxruntime.SessionOptions()
    # One thread: the split of a sum over threads changes its order, and with it the last bits.
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)[0], None


def main() -> None:
    """Evaluate the table and write the file."""
    corpus = Corpus()
    for line in LAYERS:
        name = "conv-transpose" if line.function == "ConvTranspose" else "conv"
        corpus.record(f"onnx-{name}{line.rank}d", line, describe, evaluate)
    corpus.write("onnxruntime.npz")


if __name__ == "__main__":
    main()
