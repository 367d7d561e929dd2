"""A layer's operators as calls of convref, by any of its back ends."""

from collections.abc import Callable
from typing import Any

import convref
from benchmarks.operands import Array, Arrays
from benchmarks.suite import Layer


def convref_call(
    layer: Layer, operator: str, arrays: Arrays, backend: str, threads: int | None = None
) -> Callable[[], Array]:
    """A call that computes the operator's result.

    A transposed layer's gradients are those of the convolution it transposes, with the parts of
    x and dy exchanged: the gradient of its input is that convolution of dy.
    """
    x, w, dy = arrays["x"], arrays["w"], arrays["dy"]
    words: dict[str, Any] = {
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
        "backend": backend,
        "threads": threads,
    }
    calls: dict[tuple[str, bool], Callable[[], Array]] = {
        ("forward", False): lambda: convref.conv(x, w, **words),
        ("input_grad", False): lambda: convref.conv_input_grad(dy, w, layer.spatial, **words),
        ("weight_grad", False): lambda: convref.conv_weight_grad(x, dy, layer.kernel, **words),
        ("forward", True): lambda: convref.conv_transpose(
            x, w, output_padding=layer.output_padding, **words
        ),
        ("input_grad", True): lambda: convref.conv(dy, w, **words),
        ("weight_grad", True): lambda: convref.conv_weight_grad(dy, x, layer.kernel, **words),
    }
    return calls[operator, layer.transposed]


def reference(layer: Layer, operator: str, arrays: Arrays) -> Array:
    """The operator's result in float64 by the NumPy back end."""
    doubles = {name: array.astype("float64") for name, array in arrays.items()}
    return convref_call(layer, operator, doubles, "numpy")()
