"""PyTorch: convolutions and transposed convolutions, with its own gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from numpy.typing import NDArray
from torch.nn import functional

from convref.testing.case import ConvCase

LIMITS = (
    {
        "kinds": ("forward", "transpose"),
        "dtypes": ("float32", "float64"),
        "layouts": ("channels_first", "channels_last"),
    },
)


@contextmanager
def one_thread() -> Iterator[None]:
    """So small a case is not worth more, and on a busy machine they wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def outputs(case: ConvCase) -> dict[str, NDArray[Any]]:
    """y, and what backward() makes of dy."""
    last, rank = case.spec.layout == "channels_last", case.rank
    operands = {"dx": tensor(case.x), "dw": tensor(case.w)}
    if case.bias is not None:
        operands["db"] = tensor(case.bias)
    x, w, bias = operands["dx"], operands["dw"], operands.get("db")
    # A view: in memory the channels stay last, which is a path of its own.
    x = x.movedim(-1, -rank - 1) if last else x
    y = (transpose if case.kind == "transpose" else forward)(case, x, w, bias)
    y = y.movedim(-rank - 1, -1) if last else y
    if y.shape != case.y_shape:  # which has no such gradients
        return {"y": y.detach().numpy()}
    y.backward(torch.from_numpy(case.dy.copy()))
    gradients = {name: operand.grad for name, operand in operands.items()}
    return {name: array.detach().numpy() for name, array in {"y": y, **gradients}.items()}


def tensor(array: NDArray[Any]) -> Any:
    """A copy, with a gradient."""
    return torch.from_numpy(array.copy()).requires_grad_()


def forward(case: ConvCase, x: Any, w: Any, bias: Any) -> Any:
    """A convolution; padding that differs before and after takes a call of its own."""
    alike = all(lo == hi for lo, hi in case.padding)
    pads = [amount for pair in reversed(case.padding) for amount in pair]  # the last axis first
    convolve = getattr(functional, f"conv{case.rank}d")
    return convolve(
        x if alike else functional.pad(x, pads),
        w,
        bias,
        case.stride,
        tuple(lo for lo, _ in case.padding) if alike else 0,
        case.dilation,
        case.groups,
    )


def transpose(case: ConvCase, x: Any, w: Any, bias: Any) -> Any:
    """A transposed convolution; padding that differs before and after is cut from the whole."""
    alike = all(lo == hi for lo, hi in case.padding)
    convolve = getattr(functional, f"conv_transpose{case.rank}d")
    y = convolve(
        x,
        w,
        bias,
        case.stride,
        tuple(lo for lo, _ in case.padding) if alike else 0,
        case.output_padding,
        case.groups,
        case.dilation,
    )
    if alike:
        return y
    sizes = case.geometry.input_size
    kept = [slice(lo, lo + size) for (lo, _), size in zip(case.padding, sizes, strict=True)]
    return y[(..., *kept)]
