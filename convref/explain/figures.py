"""The numbers of an explanation: what windows read, what it costs, and all of it for JSON."""

from collections.abc import Iterable
from math import prod
from typing import Any, NamedTuple

from convref.explain.formulas import Formula
from convref.explain.lines import Line
from convref.explain.setting import Setting, Sizes
from convref.geometry import Axis, Geometry

FLOAT32 = 4
"""Bytes."""

Window = list[int | None]
"""What each tap meets along one axis: a position, or None for a zero."""


class Costs(NamedTuple):
    """Work and memory for one batch item, in float32."""

    macs: int
    """Multiply-adds."""
    parameters: int
    im2col_shape: Sizes
    im2col_bytes: int
    canvas_shape: Sizes
    implicit_bytes: int


def costs(setting: Setting) -> Costs:
    """What it takes to compute a setting; a transposed one makes columns and canvas of its output.

    >>> from convref.explain.setting import setting
    >>> costs(setting((8, 8), (3, 3), padding=1, in_channels=2, out_channels=4))
    Costs(macs=4608, parameters=76, im2col_shape=(18, 64), im2col_bytes=4608, \
canvas_shape=(2, 10, 10), implicit_bytes=800)
    """
    geometry = setting.geometry
    channels = setting.out_channels if setting.transposed else setting.in_channels
    columns = channels * prod(geometry.kernel_size), prod(geometry.output_size)
    canvas = channels, *geometry.canvas_size
    return Costs(
        setting.macs,
        setting.parameters,
        columns,
        FLOAT32 * prod(columns),
        canvas,
        FLOAT32 * prod(canvas),
    )


def windows(setting: Setting) -> list[tuple[Window, Window]]:
    """Along each axis, what the taps meet from the first and from the last position.

    >>> from convref.explain.setting import setting
    >>> windows(setting(7, 3, stride=2, padding=1))
    [([None, 0, 1], [5, 6, None])]
    """
    mode = setting.geometry.padding_mode
    return [ends(Geometry((axis,), 1, mode)) for axis in setting.geometry.axes]


def ends(line: Geometry) -> tuple[Window, Window]:
    """The first and the last window of a geometry of one axis."""
    first, last = (
        [None if source < 0 else int(source) for source in line.sources[line.taps + origin]]
        for origin in (line.origins[0], line.origins[-1])
    )
    return first, last


def unread(axis: Axis) -> int:
    """How many cells at the end of the padded input lie behind the last window.

    >>> unread(Geometry.of(8, 3, stride=2).axes[0])
    1
    """
    line = Geometry((axis,), 1, "zeros")
    return axis.canvas - 1 - int(line.origins[-1] + line.taps[-1])


def values_of(
    setting: Setting, dialect: str, formula: Formula, lines: Iterable[Line]
) -> dict[str, Any]:
    """All that an explanation says, of which JSON can be made."""
    geometry, spec = setting.geometry, setting.spec
    return {
        "transposed": setting.transposed,
        "input_size": setting.input_size,
        "kernel_size": geometry.kernel_size,
        "output_size": setting.output_size,
        "in_channels": setting.in_channels,
        "out_channels": setting.out_channels,
        "weight_shape": setting.weight_shape,
        "stride": spec.stride,
        "padding": geometry.padding,
        "padding_word": setting.word or None,
        "padding_mode": spec.padding_mode,
        "dilation": spec.dilation,
        "input_dilation": spec.input_dilation,
        "groups": spec.groups,
        "output_padding": setting.output_padding,
        "dialect": dialect,
        "formula": formula._asdict(),
        "windows": [{"first": first, "last": last} for first, last in windows(setting)],
        "code": {line.dialect: line._asdict() for line in lines},
        **costs(setting)._asdict(),
    }
