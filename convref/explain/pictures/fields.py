"""Receptive fields: what one output position sees, layer by layer, down to the input of a net."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convref.errors import ShapeError, WordError, shown, verb
from convref.explain.pictures import sheet
from convref.explain.pictures.cells import LONGEST, Indices
from convref.explain.pictures.sights import Sight, layout_of, sight, spatial
from convref.integers import integer, is_sequence
from convref.layer import Layer
from convref.layers.containers import Sequential
from convref.summary import Field, Shape

LEFT, RIGHT, TOP, BOTTOM = 250, 1030, 120, 650
MOST = 20
"""Layers that are shown."""
LONGEST_ROW = 130
"""Positions that are drawn as cells; longer rows are bars."""


class Stage(NamedTuple):
    """A row: what a layer gives, along one axis."""

    name: str
    size: int
    field: str
    sees: Sight
    """What these positions see of the row below."""


@verb
def receptive_field(
    net: Layer, input_size: Sequence[int], position: int | None = None, *, axis: int = -1
) -> Figure:
    """Draw what one output position sees of each layer of a net, along one spatial axis.

    ``input_size`` is the shape of one input, ``(C, *spatial)``, or ``(*spatial, C)`` for layers
    with channels last; ``axis`` numbers the spatial axes. The position, the middle one unless
    given, is followed from the output above to the input below, through each layer's own windows,
    so that borders, dilation and holes show. The size of the field and the distance of neighbours'
    fields stand beside each row (`Layer.summary`).

    Raises WordError for a position or an axis that there is not and for layers that have no picture
    (ConvLSTM), ShapeError for inputs that do not fit and nets of more than 22 layers.

    >>> from convref.explain import pictures
    >>> from convref.layers import Conv2d, MaxPool2d, Sequential
    >>> net = Sequential(Conv2d(1, 4, 3), MaxPool2d(2), Conv2d(4, 4, 3))
    >>> figure = pictures.receptive_field(net, (1, 12, 12))
    >>> sum("seen/0/" in str(cell.get_gid()) for cell in figure.axes[0].patches)
    8

    Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill
    2019, https://distill.pub/2019/computing-receptive-fields.
    """
    if not isinstance(net, Layer):
        raise WordError(f"`net` (a {type(net).__name__}) is not a layer", "pass a Sequential")
    entries = input_size if is_sequence(input_size) else (input_size,)
    shape = (1, *(integer("input_size", entry) for entry in entries))
    stages, first = stages_of(net, shape, axis)
    last = stages[-1].size
    at = last // 2 if position is None else integer("position", position)
    if not 0 <= at < last:
        raise WordError(
            f"`position` (={shown(position)}) is none of the {last} outputs along the axis",
            f"use 0 to {last - 1}",
        )
    seen = [np.array([at])]
    for stage in reversed(stages):
        seen.append(np.unique(stage.sees(seen[-1])))
    seen.reverse()
    figure = sheet.Picture()
    draw_rows(sheet.blank(figure), stages, first, seen, at)
    return figure


def stages_of(net: Layer, shape: Shape, axis: int) -> tuple[list[Stage], int]:
    """The layers of a net, and the positions of its input."""
    layers = net.layers if isinstance(net, Sequential) else [net]
    if not 1 <= len(layers) <= MOST:
        raise ShapeError(
            f"`net` has {len(layers)} layers, and the picture shows 1 to {MOST}",
            f"pass a part, such as Sequential(*net.layers[:{MOST}])",
        )
    layout = layout_of(net)
    size = spatial(shape, layout)
    if not -len(size) <= axis < len(size):
        raise WordError(
            f"`axis` (={axis}) is none of the {len(size)} spatial axes of `input_size`",
            "use -1 for the last",
        )
    if size[axis] > LONGEST:
        raise ShapeError(
            f"`input_size` has {size[axis]} positions along the axis, and the picture shows "
            f"{LONGEST} at most",
            "use a smaller size",
        )
    stages, field = [], Field()
    for number, layer in enumerate(layers):
        layer.ensure_built(shape)
        sees = sight(layer, shape, axis, layout)
        shape, field = layer.output_shape(shape), layer.field(field)
        left = spatial(shape, layout)
        length = left[axis] if left else 1
        name = f"{number}: {type(layer).__name__}"
        stages.append(Stage(name, length, described(field, axis), sees))
    return stages, size[axis]


def described(field: Field, axis: int) -> str:
    """Size of a field, and distance of neighbours, along one axis."""
    if not field.spans:
        return "field 1, step 1"
    if field.spans[axis] == float("inf"):
        return "field: all"
    return f"field {field.size[axis]}, step {field.steps[axis]}"


def draw_rows(
    axes: Axes, stages: Sequence[Stage], first: int, seen: Sequence[Indices], position: int
) -> None:
    """The output above, the input below, and lines around what is seen."""
    sheet.headings(
        axes,
        f"Receptive field: output {position} sees {len(seen[0])} of {first} inputs",
        "along one axis; the orange positions are all that the output above depends on",
    )
    rows = [("input", first, ""), *((stage.name, stage.size, stage.field) for stage in stages)]
    pitch = (BOTTOM - TOP) / len(rows)
    height = min(44.0, 0.62 * pitch)
    tops = [BOTTOM - pitch * (level + 0.5) - height / 2 for level in range(len(rows))]
    for level, ((name, size, field), top) in enumerate(zip(rows, tops, strict=True)):
        if level and len(seen[level - 1]):
            cone(axes, (first, *(stage.size for stage in stages)), seen, level, tops, height)
        kinds = ("input" if not level else "plain", "chosen" if level == len(stages) else "tap")
        draw_row(axes, level, size, seen[level], top, height, kinds)
        middle = top + height / 2
        sheet.write_text(axes, LEFT - 14, middle, f"{name[:16]}, {size}", ha="right")
        sheet.write_text(axes, RIGHT + 14, middle, field, ha="left")
    legend = [("input", "input"), ("tap", "seen by the output"), ("chosen", "output position")]
    sheet.legend(axes, legend)


def draw_row(
    axes: Axes, level: int, size: int, seen: Indices, top: float, height: float,
    kinds: tuple[str, str],
) -> None:  # fmt: skip
    """The positions of a layer, as cells or, where they are many, as runs of them."""
    wide = (RIGHT - LEFT) / size
    numbers = wide >= sheet.pixels(str(size - 1)) + 4 and height >= 20
    if size > LONGEST_ROW:
        sheet.rectangle(axes, LEFT, top, RIGHT - LEFT, height, kinds[0], f"layer/{level}")
        for run in np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1):
            start, end = (int(run[0]), int(run[-1])) if len(run) else (0, -1)
            name = f"seen/{level}/{start}-{end}"
            length = wide * (end - start + 1)
            if length:
                sheet.rectangle(axes, LEFT + wide * start, top, length, height, kinds[1], name)
        return
    for i in range(size):
        there = i in seen
        name = f"{'seen' if there else 'layer'}/{level}/{i}"
        x = LEFT + wide * i
        sheet.rectangle(axes, x, top, wide, height, kinds[there], name)
        if numbers:
            sheet.write_over(axes, x + wide / 2, top + height / 2, str(i), sheet.BODY, kinds[there])


def cone(
    axes: Axes, sizes: Sequence[int], seen: Sequence[Indices], level: int, tops: Sequence[float],
    height: float,
) -> None:  # fmt: skip
    """Lines from the ends of what is seen of one row to those of the row below."""
    ends = []
    for row in (level, level - 1):
        wide = (RIGHT - LEFT) / sizes[row]
        ends.append((LEFT + wide * seen[row][0], LEFT + wide * (seen[row][-1] + 1)))
    ys = tops[level] + height, tops[level - 1]
    for above, below in zip(*ends, strict=True):
        sheet.line(axes, (above, below), ys, color=sheet.ORANGE, linewidth=2)
