"""What is known of the convolutions of a model, and how it reads."""

import json
from dataclasses import dataclass

from convref.verify.onnx.nodes import NodeReport
from convref.verify.summary import Judged, as_values

HEADS = ("node", "operator", "x", "w", "y", "bound used", "verdict")


@dataclass(frozen=True, repr=False)
class OnnxResult:
    """The nodes of a model in the order in which they are computed; printed, it is a table."""

    path: str
    nodes: tuple[NodeReport, ...]
    """All convolutions, also those that could not be judged."""
    notes: tuple[str, ...]
    """What else there is to know: how inputs were drawn, which arrays the model has not."""

    @property
    def first_wrong(self) -> NodeReport | None:
        """The first node that is wrong, given what reached it."""
        return next((node for node in self.nodes if node.report and not node.report.ok), None)

    @property
    def ok(self) -> bool:
        """Whether nothing that was judged is wrong."""
        return self.first_wrong is None

    @property
    def judged(self) -> tuple[Judged, ...]:
        """The reports as `as_html`, `as_junit` and `as_values` of `convref.verify` take them."""
        return tuple(
            (node.case, "y", node.report) for node in self.nodes if node.case and node.report
        )

    def to_json(self) -> str:
        """The reports as a JSON object, like that of ``convref verify --json``."""
        return json.dumps({**self.facts, **as_values(self.judged)}, allow_nan=False)

    @property
    def facts(self) -> dict[str, object]:
        """All but the reports, in words."""
        names = dict.fromkeys(name for node in self.nodes for name in node.computed)
        facts = {
            "model": self.path,
            "notes": "; ".join(self.notes),
            "not_dumped": ", ".join(names) + " (computed by ONNX Runtime)" * bool(names),
            "not_judged": "; ".join(f"{title(n)}: {n.reason}" for n in self.nodes if n.reason),
            "first_wrong": sentence(self.first_wrong) if self.first_wrong else "",
        }
        return {name: text for name, text in facts.items() if text}

    def __repr__(self) -> str:
        lines = [HEADS, *map(row, self.nodes)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = (
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )
        return "\n".join((*table, "", *(f"{name}: {text}" for name, text in self.facts.items())))


def row(node: NodeReport) -> tuple[str, ...]:
    """What the table says of a node."""
    if node.case is None or node.report is None:
        return (node.name, node.operator, "-", "-", "-", "-", "not judged")
    shapes = ("x".join(map(str, node.case.arrays[name].shape)) for name in ("x", "w", "y"))
    return (
        node.name,
        node.operator,
        *shapes,
        f"{node.report.bound_used:.3g}",
        node.report.verdict,
    )


def title(node: NodeReport) -> str:
    """A node and its operator."""
    return f"{node.name} ({node.operator})"


def sentence(node: NodeReport) -> str:
    """What is wrong with a node."""
    found = node.report.diagnosis if node.report else ()
    reasons = "; ".join(f"{finding.name}: {finding.text}" for finding in found)
    return f"{title(node)}: {reasons or 'nothing known explains it'}"
