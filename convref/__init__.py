"""convref: a reference convolution engine.

Letters, as they stand in formulas and shapes throughout:

| letter | meaning                                   |
| ------ | ----------------------------------------- |
| N      | batch                                     |
| C      | channels in                               |
| K      | channels out                              |
| G      | groups                                    |
| T      | taps: the positions of the kernel         |
| P      | positions of the output                   |
| S      | cells of the canvas: the padded input     |
"""

from typing import TYPE_CHECKING

from convref.backends import backends, using_backend, warmup
from convref.columns import col2im, im2col
from convref.depthwise import depthwise_conv, separable_conv
from convref.errors import (
    ConvrefError,
    DtypeError,
    FileError,
    MissingExtraError,
    ShapeError,
    TooLargeError,
    WordError,
)
from convref.functional import (
    conv,
    conv1d,
    conv2d,
    conv3d,
    conv_input_grad,
    conv_transpose,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    conv_vjp,
    conv_weight_grad,
)
from convref.geometry import Geometry
from convref.sparse import conv_matrix
from convref.threads import set_num_threads
from convref.verify import verify
from convref.verify.report import Report

if TYPE_CHECKING:
    from convref.explain.steps import step
    from convref.verify.modules import verify_module
    from convref.verify.onnx import verify_onnx
    from convref.verify.quantised import verify_quantised

__version__ = "0.1.0"

__all__ = [
    "ConvrefError",
    "DtypeError",
    "FileError",
    "Geometry",
    "MissingExtraError",
    "Report",
    "ShapeError",
    "TooLargeError",
    "WordError",
    "backends",
    "col2im",
    "conv",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_input_grad",
    "conv_matrix",
    "conv_transpose",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "conv_vjp",
    "conv_weight_grad",
    "depthwise_conv",
    "im2col",
    "separable_conv",
    "set_num_threads",
    "step",
    "using_backend",
    "verify",
    "verify_module",
    "verify_onnx",
    "verify_quantised",
    "warmup",
]


def __getattr__(name: str) -> object:
    """What is asked for less often is imported when it is first asked for."""
    if name == "step":
        from convref.explain.steps import step

        return step
    if name == "verify_module":
        from convref.verify.modules import verify_module

        return verify_module
    if name == "verify_onnx":
        from convref.verify.onnx import verify_onnx

        return verify_onnx
    if name == "verify_quantised":
        from convref.verify.quantised import verify_quantised

        return verify_quantised
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
