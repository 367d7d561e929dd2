"""What a net is made of, layer by layer: a table, and how far each output sees."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from convref.memory import readable
from convref.spec import ConvSpec

Shape = tuple[int, ...]


class Field(NamedTuple):
    """The receptive field: what one output position sees of a net's input, on each spatial axis.

    A window of k positions that lie j apart spans (k - 1)*j, and spans add up from layer to layer;
    each stride makes j, the distance of neighbours, longer, and each transposed stride shorter.
    Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill
    2019, https://distill.pub/2019/computing-receptive-fields.

    >>> Field().through((3, 3), (2, 2)).through((3, 3), (1, 1)).size
    (7, 7)
    """

    spans: tuple[Fraction | float, ...] = ()
    """The distance of the outermost positions seen; infinite where all are. Empty: no axes yet."""
    steps: tuple[Fraction, ...] = ()
    """The distance, in the net's input, of what neighbours see."""

    def through(self, windows: Sequence[int], strides: Sequence[int | Fraction]) -> "Field":
        """The field of a layer on top, which sees windows (in positions of its input)."""
        spans = self.spans or (Fraction(0),) * len(windows)
        steps = self.steps or (Fraction(1),) * len(windows)
        return Field(
            tuple(
                span + (window - 1) * step
                for span, window, step in zip(spans, windows, steps, strict=True)
            ),
            tuple(step * stride for step, stride in zip(steps, strides, strict=True)),
        )

    def convolved(self, kernel: Sequence[int], spec: ConvSpec) -> "Field":
        """The field of a convolution on top; its input may be spread out by zeros."""
        spread_out = self.through((1,) * spec.rank, [Fraction(1, n) for n in spec.input_dilation])
        windows = [(k - 1) * d + 1 for k, d in zip(kernel, spec.dilation, strict=True)]
        return spread_out.through(windows, spec.stride)

    def everything(self) -> "Field":
        """The field of a layer on top that sees all positions."""
        return self._replace(spans=(math.inf,) * len(self.spans))

    def joined(self, other: "Field") -> "Field":
        """The field of two branches together."""
        if not (self.spans and other.spans):
            return self if self.spans else other
        return Field(tuple(map(max, self.spans, other.spans)), self.steps)

    @property
    def size(self) -> tuple[int | float, ...]:
        """Positions seen along each axis."""
        return tuple(
            span if isinstance(span, float) else math.floor(span) + 1 for span in self.spans
        )

    def __str__(self) -> str:
        sizes = ("all" if size == math.inf else str(size) for size in self.size)
        return " x ".join(sizes) or "-"


class Row(NamedTuple):
    """One layer of a net, for one input."""

    name: str
    kind: str
    output: Shape
    """Without the batch axis."""
    parameters: int
    macs: int
    """Multiply-adds."""
    bytes: int
    """Of the output."""
    field: Field


def table(rows: Sequence[Row], parameters: int, trained: int, held: int) -> str:
    """The rows, aligned, and their totals; ``held`` counts the bytes of the parameters.

    The bytes of all outputs are added up: a net keeps them for its backward pass.
    """
    heads = ("layer", "kind", "output", "parameters", "multiply-adds", "memory", "field")
    lines = [
        (
            row.name,
            row.kind,
            " x ".join(map(str, row.output)) or "1",
            f"{row.parameters:,}",
            f"{row.macs:,}",
            readable(row.bytes),
            str(row.field),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    left = (True, True, True, False, False, False, False)
    text = [
        "  ".join(
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in (heads, tuple("-" * width for width in widths), *lines)
    ]
    outputs = sum(row.bytes for row in rows)
    return "\n".join(
        (
            *text,
            "",
            f"parameters: {parameters:,}, of which {trained:,} are trained ({readable(held)})",
            f"multiply-adds: {sum(row.macs for row in rows):,}",
            f"memory: {readable(held + outputs)} with all outputs",
        )
    )
