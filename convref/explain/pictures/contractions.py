"""The three contractions of one trilinear form: the output and both gradients, as matrices."""

from math import prod
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convref.errors import verb
from convref.explain.pictures import sheet
from convref.explain.pictures.channels import check_channels
from convref.geometry import Geometry

LONGEST = 130
"""Pixels of the longest side of a matrix."""


class Factor(NamedTuple):
    """A matrix: its name, its axes, and the kind of cell it is drawn as."""

    name: str
    rows: str
    columns: str
    kind: str


class Contraction(NamedTuple):
    """A product of two matrices, and what it is of."""

    title: str
    formula: str
    einsum: str
    left: Factor
    right: Factor
    product: Factor
    end: str


CONTRACTIONS = (
    Contraction(
        "Forward", "y = w · cols", "kct, ctp → kp",
        Factor("w", "K", "C·T", "tap"), Factor("cols", "C·T", "P", "input"),
        Factor("y", "K", "P", "chosen"), "sums over channels and taps",
    ),
    Contraction(
        "Input gradient", "dcols = wᵀ · dy", "kct, kp → ctp",
        Factor("wᵀ", "C·T", "K", "tap"), Factor("dy", "K", "P", "gradient"),
        Factor("dcols", "C·T", "P", "gradient"), "sums over output channels;\n"
        "then added back where they came from",
    ),
    Contraction(
        "Weight gradient", "dw = dy · colsᵀ", "kp, ctp → kct",
        Factor("dy", "K", "P", "gradient"), Factor("colsᵀ", "P", "C·T", "input"),
        Factor("dw", "K", "C·T", "gradient"), "sums over output positions\n(and the batch)",
    ),
)  # fmt: skip


@verb
def contractions(geometry: Geometry, in_channels: int = 1, out_channels: int = 1) -> Figure:
    """Draw the forward pass, the input gradient and the weight gradient as products of matrices.

    All three are ``sum of dy[k, p] * w[k, c, t] * cols[c, t, p]`` with one factor left out: the
    axes that the other two share are summed over. Of several groups it is one group's product.

    Raises WordError for channels below 1, ShapeError where the groups do not divide the channels.

    >>> from convref import Geometry
    >>> from convref.explain import pictures
    >>> figure = pictures.contractions(Geometry.of((5, 5), (3, 3)), in_channels=3, out_channels=8)
    >>> "einsum: kct, ctp → kp" in {text.get_text() for text in figure.axes[0].texts}
    True
    """
    groups = geometry.groups
    check_channels(in_channels, out_channels, groups)
    filters, inside = out_channels // groups, in_channels // groups
    taps, positions = prod(geometry.kernel_size), prod(geometry.output_size)
    lengths = {"K": filters, "C·T": inside * taps, "P": positions}
    figure = sheet.Picture()
    axes = sheet.blank(figure)
    each = f", in each of {groups} groups" if groups > 1 else ""
    sheet.headings(
        axes, "Three contractions of one form: Σ dy[k, p] · w[k, c, t] · cols[c, t, p]",
        f"K = {filters} output channels, C = {inside} input channels{each}, T = {taps} taps, "
        f"P = {positions} positions",
    )  # fmt: skip
    panel = (sheet.WIDTH - 2 * sheet.MARGIN) / 3
    for number, contraction in enumerate(CONTRACTIONS):
        draw_contraction(axes, contraction, lengths, sheet.MARGIN + panel * number)
        if number:
            x = sheet.MARGIN + panel * number - 16
            sheet.line(axes, (x, x), (120, 640))
    kinds = [
        ("tap", "weights"), ("input", "columns"), ("chosen", "output"),
        ("gradient", "gradients"), ("window", "the shared axes, which are summed over"),
    ]  # fmt: skip
    sheet.legend(axes, kinds)
    return figure


def draw_contraction(
    axes: Axes, contraction: Contraction, lengths: dict[str, int], x: float
) -> None:
    """The left factor below on the left, the right one above on the right, the product between."""
    left, right, product = contraction.left, contraction.right, contraction.product
    sides = {name: side(length, lengths) for name, length in lengths.items()}
    sheet.write_text(axes, x, 124, contraction.title, 16, ha="left", weight="bold")
    sheet.write_text(axes, x, 154, contraction.formula, 14, ha="left")
    sheet.write_text(axes, x, 182, f"einsum: {contraction.einsum}", 14, ha="left")
    for number, line in enumerate(contraction.end.split("\n")):
        sheet.write_text(axes, x, 608 + 24 * number, line, ha="left")
    corner = x + 70 + sides[left.columns] + 40, 242 + sides[right.rows] + 44
    summed = sides[left.columns]
    box(axes, left, lengths, sides, corner[0] - 40 - summed, corner[1])
    box(axes, right, lengths, sides, corner[0], corner[1] - 44 - summed, 30)
    box(axes, product, lengths, sides, *corner)
    sheet.frame(axes, corner[0] - 40 - summed, corner[1] - 18, summed, 13, "summed/left")
    sheet.frame(axes, corner[0] - 18, corner[1] - 44 - summed, 13, summed, "summed/right")


def side(length: int, lengths: dict[str, int]) -> float:
    """Pixels of a side: longer for longer axes, by their logarithm."""
    longest = max(max(lengths.values()), 2)
    return 44 + (LONGEST - 44) * (length.bit_length() - 1) / (longest.bit_length() - 1)


def box(
    axes: Axes, factor: Factor, lengths: dict[str, int], sides: dict[str, float], x: float,
    y: float, aside: float = 12,
) -> None:  # fmt: skip
    """One matrix, its name in it and its size beside it."""
    width, height = sides[factor.columns], sides[factor.rows]
    name = f"{factor.name}/{lengths[factor.rows]},{lengths[factor.columns]}"
    sheet.rectangle(axes, x, y, width, height, factor.kind, name)
    sheet.write_over(axes, x + width / 2, y + height / 2, factor.name, 14, factor.kind)
    rows, columns = (f"{key} = {lengths[key]}" for key in (factor.rows, factor.columns))
    sheet.write_text(axes, x + width / 2, y + height + 14, columns)
    sheet.write_text(axes, x - aside, y + height / 2, rows, rotation=90)
