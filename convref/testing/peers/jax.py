"""JAX: general dilated convolutions and transposed ones, with its own gradients."""

from typing import Any

import jax
import numpy as np
from jax import lax, numpy
from numpy.typing import NDArray

from convref.padding import WORDS
from convref.testing.case import ConvCase

COMMON = {
    "dtypes": ("float32", "float64"),
    "layouts": ("channels_first", "channels_last"),
    "padding": (*WORDS, "pairs", "crop"),
}
LIMITS = (
    {**COMMON, "kinds": ("forward",), "input_dilation": 2},
    {**COMMON, "kinds": ("transpose",), "groups": 1},  # lax.conv_transpose has no groups
)


def outputs(case: ConvCase) -> dict[str, NDArray[Any]]:
    """y, and what jax.vjp makes of dy."""
    names = ["dx", "dw"] + ["db"] * case.with_bias
    operands = [case.x, case.w] + [case.bias] * case.with_bias
    convolve = transpose if case.kind == "transpose" else forward

    def with_bias(x: Any, w: Any, *bias: Any) -> Any:
        y = convolve(case, x, w)
        for b in bias:
            y += b if case.spec.layout == "channels_last" else b.reshape(-1, *[1] * case.rank)
        return y

    def compute(dy: Any, *operands: Any) -> list[Any]:
        y, pull_back = jax.vjp(with_bias, *operands)
        return [y, *pull_back(dy)] if y.shape == dy.shape else [y]

    with jax.enable_x64(case.dtype == "float64"):
        # One program is compiled faster than its parts.
        arrays = jax.jit(compute)(*map(numpy.asarray, [case.dy, *operands]))
    return dict(zip(["y", *names], map(np.asarray, arrays), strict=False))


def forward(case: ConvCase, x: Any, w: Any) -> Any:
    """A convolution."""
    return lax.conv_general_dilated(
        x,
        w,
        case.stride,
        case.padding,
        case.spec.input_dilation,
        case.dilation,
        dimension_numbers(case),
        case.groups,
    )


def transpose(case: ConvCase, x: Any, w: Any) -> Any:
    """A transposed convolution: its padding is that of the spread-out input."""
    windows = [axis.window for axis in case.geometry.axes]
    extra = case.output_padding
    padding = [
        (window - 1 - lo, window - 1 - hi + more)
        for window, (lo, hi), more in zip(windows, case.padding, extra, strict=True)
    ]
    return lax.conv_transpose(
        x,
        w,
        case.stride,
        padding,
        case.dilation,
        dimension_numbers(case),
        transpose_kernel=True,
    )


def dimension_numbers(case: ConvCase) -> tuple[str, str, str]:
    """The letters of the axes, as JAX takes them."""
    axes = "DHW"[-case.rank :]
    data = f"N{axes}C" if case.spec.layout == "channels_last" else f"NC{axes}"
    return data, f"OI{axes}", data
