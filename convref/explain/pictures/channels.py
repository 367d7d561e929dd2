"""Which channels feed which: the groups of a convolution."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convref.errors import ShapeError, WordError, shown, verb
from convref.explain.pictures import sheet
from convref.integers import integer

MOST = 16
"""Channels on a side that are all shown; of more, the first and the last half of these."""
TOP, BOTTOM = 150, 610
DASHES = ("-", "--", "-.", ":")
"""So that neighbouring groups differ in grey, too."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Of Okabe and Ito's colours those that are dark enough for lines."""


@verb
def channels(in_channels: int, out_channels: int, groups: int = 1) -> Figure:
    """Draw which input channels each output channel sums over, as lines and as blocks of weights.

    Group g joins the g-th block of ``in_channels / groups`` with the g-th block of ``out_channels /
    groups``; the weights ``(K, C/groups, *kernel)`` are the blocks on the diagonal. A depthwise
    convolution has one input channel in each group. Of more than 16 channels the first and the last
    are shown.

    Raises WordError for counts below 1, ShapeError where the groups do not divide the channels.

    >>> from convref.explain import pictures
    >>> figure = pictures.channels(4, 4, groups=2)
    >>> sum(line.get_gid().startswith("feeds/") for line in figure.axes[0].lines)
    8
    """
    check_channels(in_channels, out_channels, groups)
    figure = sheet.Picture()
    axes = sheet.blank(figure)
    kind = "depthwise: " if 1 < groups == in_channels else ""
    few, many = in_channels // groups, out_channels // groups
    sheet.headings(
        axes,
        f"Channels: {in_channels} in, {out_channels} out, {groups} group{'s' * (groups > 1)}",
        f"{kind}each output channel sums over {few} of the {in_channels} input channels; "
        f"weights ({out_channels}, {few}, …)",
    )
    ways = [Side("in", in_channels, few), Side("out", out_channels, many)]
    draw_lines(axes, *ways)
    draw_blocks(axes, *ways)
    legend = [("input", "input channels"), ("output", "output channels"), ("tap", "weights")]
    sheet.legend(axes, legend)
    return figure


def check_channels(in_channels: int, out_channels: int, groups: int) -> None:
    """Check that the groups divide the channels."""
    counts = {"groups": groups, "in_channels": in_channels, "out_channels": out_channels}
    for name, count in counts.items():
        if integer(name, count) < 1:
            raise WordError(f"`{name}` (={shown(count)}) must be at least 1", "use 1 or more")
        if count % groups:
            raise ShapeError(
                f"`groups` (={groups}) must divide `{name}` (={count})",
                f"use a multiple of {groups} channels",
            )


class Side:
    """The channels on one side: how many there are, how many in a group, and which are shown."""

    def __init__(self, name: str, count: int, inside: int) -> None:
        self.name, self.count, self.inside = name, count, inside
        half = MOST // 2
        everything = np.arange(count)
        self.shown = everything if count <= MOST else np.r_[everything[:half], everything[-half:]]
        self.cut = count > MOST

    def group(self, channel: int) -> int:
        """The group of a channel."""
        return channel // self.inside

    def places(self, start: float, end: float) -> dict[int, tuple[float, float]]:
        """Start and length of each shown channel between two ends, with a gap for those cut."""
        slots = len(self.shown) + self.cut
        step = min(60.0, (end - start) / slots)
        first = (start + end - step * slots) / 2
        half = MOST // 2 if self.cut else len(self.shown)
        return {
            int(channel): (first + step * (n + (n >= half)), step)
            for n, channel in enumerate(self.shown)
        }


def pairs(inputs: Side, outputs: Side) -> Iterator[tuple[int, int, int]]:
    """Of the shown channels those that are joined: input, output, group."""
    for c in map(int, inputs.shown):
        for k in map(int, outputs.shown):
            if inputs.group(c) == outputs.group(k):
                yield c, k, inputs.group(c)


def draw_lines(axes: Axes, inputs: Side, outputs: Side) -> None:
    """Input channels on the left, output channels on the right, and what joins them."""
    places = inputs.places(TOP, BOTTOM), outputs.places(TOP, BOTTOM)
    for c, k, group in pairs(inputs, outputs):
        ys = [start + length / 2 for start, length in (places[0][c], places[1][k])]
        sheet.line(
            axes, (180, 480), ys, color=COLOURS[group % 4], linestyle=DASHES[group % 4],
            linewidth=1.8, gid=f"feeds/{c},{k}",
        )  # fmt: skip
    for side, place, x, kind in (
        (inputs, places[0], 120, "input"), (outputs, places[1], 480, "output")
    ):  # fmt: skip
        for channel, (start, length) in place.items():
            name = f"{side.name}/{channel}"
            sheet.rectangle(axes, x, start + 0.08 * length, 60, 0.84 * length, kind, name)
            sheet.write_text(axes, x + 30, start + length / 2, str(channel))
        if side.cut:
            sheet.write_text(axes, x + 30, (TOP + BOTTOM) / 2, "⋮", 17, weight="bold")
        sheet.write_text(axes, x + 30, TOP - 22, kind, weight="bold")


def draw_blocks(axes: Axes, inputs: Side, outputs: Side) -> None:
    """The weights as a matrix of output by input channels: blocks on its diagonal."""
    top, bottom, left, right = TOP + 10, BOTTOM, 720, 1240
    cell = min(
        (bottom - top) / (len(outputs.shown) + outputs.cut),
        (right - left) / (len(inputs.shown) + inputs.cut), 60,
    )  # fmt: skip
    across = inputs.places(left, left + cell * (len(inputs.shown) + inputs.cut))
    down = outputs.places(top, top + cell * (len(outputs.shown) + outputs.cut))
    for k, (y, _) in down.items():
        sheet.write_text(axes, left - 8, y + cell / 2, str(k), ha="right")
        for c, (x, _) in across.items():
            joined = inputs.group(c) == outputs.group(k)
            sheet.rectangle(axes, x, y, cell, cell, "tap" if joined else "plain", f"weight/{k},{c}")
    widest = sheet.pixels(str(inputs.count)) + 4
    for c, (x, _) in list(across.items())[:: -int(-widest // cell)]:
        sheet.write_text(axes, x + cell / 2, top - 12, str(c))
    sheet.write_text(
        axes, left, top - 36, "weights: output by input channels", ha="left", weight="bold"
    )
