"""Shapes of arrays in a layout: which axes are what, and the same arrays as kernels see them."""

from math import prod

from convref.errors import ShapeError
from convref.geometry import Geometry
from convref.spec import ConvSpec

Shape = tuple[int, ...]


def sizes(name: str, shape: Shape, spec: ConvSpec) -> tuple[Shape, int, Shape]:
    """Batch sizes, channels and spatial sizes of an array in the layout of the spec."""
    lead = len(shape) - spec.rank - 1
    if lead < 0:
        axes = "(..., *spatial, C)" if spec.layout == "channels_last" else "(..., C, *spatial)"
        raise ShapeError(
            f"`{name}` (shape {shape}) has {len(shape)} axes, and {spec.rank} spatial axes "
            f"take at least {spec.rank + 1}",
            f"give it the shape {axes}",
        )
    if spec.layout == "channels_last":
        return shape[:lead], shape[-1], shape[lead:-1]
    return shape[:lead], shape[lead], shape[lead + 1 :]


def shape_of(lead: Shape, channels: int, size: Shape, spec: ConvSpec) -> Shape:
    """The shape of an array in the layout of the spec: the inverse of `sizes`."""
    if spec.layout == "channels_last":
        return (*lead, *size, channels)
    return (*lead, channels, *size)


def canvases(lead: Shape, channels: int, geometry: Geometry) -> Shape:
    """The shape of a whole input as the back ends may pad it."""
    return (*lead, channels, *geometry.canvas_size)


def folded(shape: Shape, spec: ConvSpec) -> Shape:
    """The shape with one batch axis, groups, and one axis of positions, in the layout's order."""
    lead, channels, size = sizes("x", shape, spec)
    N, G, positions = prod(lead), spec.groups, prod(size)
    if spec.layout == "channels_last":
        return N, positions, G, channels // G
    return N, G, channels // G, positions


def folded_w(w: Shape, spec: ConvSpec) -> Shape:
    """The shape of weights as ``(G, K/G, C/G, T)``."""
    return spec.groups, w[0] // spec.groups, w[1], prod(w[2:])
