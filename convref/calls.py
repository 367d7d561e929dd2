"""Calls: what shapes and dtypes of operands say, resolved once for all calls with such operands.

What is wrong with them is found here, before anything is allocated.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from convref.backends import Fill, prepared
from convref.checks import check_channels, check_groups, check_memory, check_output, divide
from convref.dtypes import accumulator, promoted
from convref.errors import ShapeError
from convref.geometry import Geometry, bind
from convref.shapes import Shape, canvases, folded, folded_w, shape_of, sizes
from convref.spec import ConvSpec

Dtype = np.dtype[Any]

PARTS = {
    "forward": ("x", "w", "y"),
    "input_grad": ("y", "w", "x"),
    "weight_grad": ("x", "y", "w"),
}
"""What the two operands of an operator are, and its result."""


class Call(NamedTuple):
    """What shapes and dtypes of the operands say, and allow: the same for every call with them."""

    operator: str
    spec: ConvSpec
    geometry: Geometry
    names: tuple[str, ...]
    """Of the two operands."""
    dtype: Dtype
    """Of the result."""
    total: Dtype
    """What products are summed in."""
    result: Shape
    x: Shape
    """The shapes as `fold` needs them, of x,"""
    w: Shape
    """of w,"""
    y: Shape
    """and of y."""
    ready: Fill | None
    """What the back end has prepared for such operands, as they lie."""


class Asked(NamedTuple):
    """What a call asks for besides: all that `Call` depends on."""

    accumulate: Dtype | None
    made: bool
    """Whether the result is still to be made."""
    backend: str
    threads: int


@lru_cache(maxsize=256)
def forward(
    x: Shape, x_dtype: Dtype, w: Shape, w_dtype: Dtype, spec: ConvSpec, asked: Asked
) -> Call:
    """Check and resolve what x and w are."""
    lead, channels, size = sizes("x", x, spec)
    check_channels(channels, x, w, spec)
    geometry = bind(spec, size, w[2:])
    y = shape_of(lead, w[0], geometry.output_size, spec)
    return resolved("forward", {"x": x_dtype, "w": w_dtype}, (x, w, y), geometry, spec, asked)


@lru_cache(maxsize=256)
def input_grad(
    name: str, dy: Shape, dy_dtype: Dtype, w: Shape, w_dtype: Dtype, input_size: Shape,
    spec: ConvSpec, asked: Asked,
) -> Call:  # fmt: skip
    """Check and resolve what dy, by its name, and w are, for an input of this size."""
    lead, filters, size = sizes(name, dy, spec)
    check_groups(w, spec, "input" if name == "x" else "output")
    geometry = bind(spec, input_size, w[2:])
    check_output(name, dy, (filters, *size), w[0], geometry)
    x = shape_of(lead, w[1] * spec.groups, geometry.input_size, spec)
    return resolved("input_grad", {name: dy_dtype, "w": w_dtype}, (x, w, dy), geometry, spec, asked)


@lru_cache(maxsize=256)
def weight_grad(
    x: Shape, x_dtype: Dtype, dy: Shape, dy_dtype: Dtype, kernel_size: Shape, spec: ConvSpec,
    asked: Asked,
) -> Call:  # fmt: skip
    """Check and resolve what x and dy are, for a kernel of this size."""
    geometry, w = both_sides(x, dy, kernel_size, spec)
    dtypes = {"x": x_dtype, "dy": dy_dtype}
    return resolved("weight_grad", dtypes, (x, w, dy), geometry, spec, asked)


def resolved(
    operator: str, dtypes: dict[str, Dtype], shapes: tuple[Shape, Shape, Shape],
    geometry: Geometry, spec: ConvSpec, asked: Asked,
) -> Call:  # fmt: skip
    """A call, given the dtypes of the operands by name, and the shapes of x, w and y."""
    dtype = promoted(**dtypes)
    total = accumulator(dtype, asked.accumulate)
    result = shapes["xwy".index(PARTS[operator][2])]
    lead, channels, _ = sizes("x", shapes[0], spec)
    check_memory(result, dtype if asked.made else None, canvases(lead, channels, geometry), total)
    x, w, y = folded(shapes[0], spec), folded_w(shapes[1], spec), folded(shapes[2], spec)
    last = spec.layout == "channels_last"
    seen = [(N, G, C, P) for N, P, G, C in (x, y)] if last else [x, y]
    fill = prepared(
        asked.backend, operator, geometry, (seen[0], w, seen[1]), last, total, asked.threads
    )
    return Call(operator, spec, geometry, tuple(dtypes), dtype, total, result, x, w, y, fill)


def both_sides(x: Shape, dy: Shape, kernel_size: Shape, spec: ConvSpec) -> tuple[Geometry, Shape]:
    """Geometry and shape of dw, of x and dy; raise ShapeError where they don't fit."""
    lead, channels, size = sizes("x", x, spec)
    grad_lead, filters, grad_size = sizes("dy", dy, spec)
    if lead != grad_lead:
        raise ShapeError(
            f"`x` (shape {x}) and `dy` (shape {dy}) differ in their batch axes",
            "pass the `dy` of the output that this `x` gives",
        )
    divide("x", x, "input", channels, spec)
    divide("dy", dy, "output", filters, spec)
    geometry = bind(spec, size, kernel_size)
    check_output("dy", dy, (filters, *grad_size), filters, geometry)
    return geometry, (filters, channels // spec.groups, *kernel_size)
