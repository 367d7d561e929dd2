"""ONNX's operators for convolution, pooling and resizing, as functions of arrays.

``onnx.Conv(X, W, B, strides=[2, 2], pads=[1, 1, 1, 1])``: inputs by position, None for one left
out; attributes by keyword, as the specification names them and with its defaults. Attributes read
from a model by `onnx.helper.get_attribute_value` can be passed as they are. What is computed is
what the written specification says, of the newest operator set.

Arrays are (N, C, D1, ..., Dn), of the types that the operator takes; inputs that share a type
variable there must be of one type. A node of MaxPool may list a second output: ``outputs=2``.
"""

from convref.dialects.onnx.convolution import CausalConvWithState, Col2Im, Conv, ConvTranspose
from convref.dialects.onnx.deformable import DeformConv
from convref.dialects.onnx.pad import Pad
from convref.dialects.onnx.pooling import (
    AveragePool,
    GlobalAveragePool,
    GlobalMaxPool,
    LpPool,
    MaxPool,
)
from convref.dialects.onnx.quantised import ConvInteger, QLinearConv
from convref.dialects.onnx.resize import Resize

__all__ = [
    "AveragePool",
    "CausalConvWithState",
    "Col2Im",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "DeformConv",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "LpPool",
    "MaxPool",
    "Pad",
    "QLinearConv",
    "Resize",
]
