"""The layer suite: layers of published networks, and how to pick among them."""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

OPERATORS = ("forward", "input_grad", "weight_grad")
FAMILIES = ("dense", "depthwise", "grouped", "1-D", "3-D", "transposed")

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One layer. The fields are explained in layers.json, which holds them under these names."""

    model: str
    name: str
    rank: int
    N: int
    C: int
    K: int
    spatial: Sizes
    kernel: Sizes
    stride: Sizes
    dilation: Sizes
    padding: Sizes
    output_padding: Sizes
    groups: int
    transposed: bool
    out: Sizes
    macs: int

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "Layer":
        """The layer of one entry in the file."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }
        return cls(**values)

    @property
    def label(self) -> str:
        """Model and name, as printed and as matched by ``--layers``."""
        return f"{self.model} {self.name}"

    @property
    def flops(self) -> int:
        """Floating-point operations of any of the three operators on the whole batch."""
        return 2 * self.macs * self.N

    @property
    def shapes(self) -> dict[str, Sizes]:
        """Shapes of x, w and dy, in the layout that PyTorch and ONNX share."""
        channels = (self.C, self.K) if self.transposed else (self.K, self.C)
        return {
            "x": (self.N, self.C, *self.spatial),
            "w": (channels[0], channels[1] // self.groups, *self.kernel),
            "dy": (self.N, self.K, *self.out),
        }

    @property
    def elements(self) -> int:
        """Numbers in x, w and dy together; each operator reads two of them and fills the third."""
        return sum(map(prod, self.shapes.values()))

    @property
    def families(self) -> tuple[str, ...]:
        """Every family the layer belongs to; a depthwise 1-D layer belongs to two."""
        depthwise = 1 < self.groups == self.C
        belongs = {
            "dense": self.groups == 1 and not self.transposed,
            "depthwise": depthwise,
            "grouped": self.groups > 1 and not depthwise,
            "1-D": self.rank == 1,
            "3-D": self.rank == 3,
            "transposed": self.transposed,
        }
        return tuple(family for family in FAMILIES if belongs[family])

    def terms(self, operator: str) -> int:
        """At most how many products one element of the operator's result sums."""
        if operator == "weight_grad":
            return prod(self.spatial if self.transposed else self.out) * self.N
        return prod(self.kernel) * {"forward": self.C, "input_grad": self.K}[operator]


def load() -> list[Layer]:
    """All layers of layers.json, in its order."""
    text = Path(__file__).with_name("layers.json").read_text(encoding="utf-8")
    return [Layer.of(fields) for fields in json.loads(text)["layers"]]


def select(patterns: str = "", min_mflop: float = 0) -> list[Layer]:
    """The layers that are large enough and whose label contains one of the patterns.

    Patterns are separated by commas and match in any case.
    """
    wanted = patterns.lower().split(",")
    return [
        layer
        for layer in load()
        if layer.flops >= min_mflop * 1e6
        and any(pattern in layer.label.lower() for pattern in wanted)
    ]
