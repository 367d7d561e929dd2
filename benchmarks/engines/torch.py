"""PyTorch, through the operators that its modules and its autograd call."""

from collections.abc import Callable

import torch

from benchmarks.operands import Arrays
from benchmarks.suite import Layer

VERSION = f"torch {torch.__version__}"

Call = Callable[[], torch.Tensor]


def prepare(layer: Layer, operator: str, threads: int, arrays: Arrays) -> Call:
    """A call that computes the operator's result, of the gradients only the one asked for."""
    torch.set_num_threads(threads)
    x, w, dy = (torch.from_numpy(arrays[name]) for name in ("x", "w", "dy"))
    words = (
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.transposed,
        layer.output_padding,
        layer.groups,
    )
    if operator == "forward":
        return lambda: torch.convolution(x, w, None, *words)
    wanted = [operator == "input_grad", operator == "weight_grad", False]
    backward = torch.ops.aten.convolution_backward

    def gradient() -> torch.Tensor:
        dx, dw, _ = backward(dy, x, w, None, *words, wanted)
        return dx if wanted[0] else dw

    return gradient
