"""A layer's operators as calls of convref, by any of its back ends."""

from collections.abc import Callable
from typing import Any

import numpy as np

import convref
from benchmarks.operands import Array, Arrays
from benchmarks.suite import Layer


def convref_call(
    layer: Layer, operator: str, arrays: Arrays, backend: str, threads: int | None = None
) -> Callable[[], Array]:
    """A call that computes the operator's result, of shape (N, C, ...) as the operands are.

    Where their channels lie last in memory it is called with that layout. A transposed layer's
    gradients are those of the convolution it transposes, with the parts of x and dy exchanged: the
    gradient of its input is that convolution of dy.
    """
    x, w, dy = arrays["x"], np.ascontiguousarray(arrays["w"]), arrays["dy"]
    last = not (x.flags.c_contiguous and dy.flags.c_contiguous)
    if last:
        x, dy = np.moveaxis(x, 1, -1), np.moveaxis(dy, 1, -1)
    words: dict[str, Any] = {
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
        "backend": backend,
        "threads": threads,
        "layout": "channels_last" if last else "channels_first",
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
    call = calls[operator, layer.transposed]
    if not last or operator == "weight_grad":
        return call
    to_first = 0, layer.rank + 1, *range(1, layer.rank + 1)
    return lambda: call().transpose(to_first)


def reference(layer: Layer, operator: str, arrays: Arrays) -> Array:
    """The operator's result in float64 by the NumPy back end."""
    doubles = {name: array.astype("float64") for name, array in arrays.items()}
    return convref_call(layer, operator, doubles, "numpy")()
