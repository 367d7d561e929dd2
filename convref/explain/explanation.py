"""Sections of labelled rows as text for a terminal and as HTML for a notebook."""

from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import Any, NamedTuple

INDENT = "  "


class Row(NamedTuple):
    """A label and what there is to say."""

    label: str
    text: str
    is_code: bool = False
    """Code is never broken into lines."""


class Section(NamedTuple):
    """Rows under a heading."""

    heading: str
    rows: list[Row]


@dataclass(frozen=True)
class Explanation:
    """What `explain` says of a setting: it prints, and shows in a notebook."""

    title: str
    sections: tuple[Section, ...]
    values: dict[str, Any]
    """The same as numbers and strings, of which JSON can be made."""

    def text(self, width: int = 80) -> str:
        """Plain text for a terminal of so many columns; code may be longer."""
        labels = max(len(row.label) for section in self.sections for row in section.rows)
        lines = wrap(self.title, width)
        for section in self.sections:
            lines += ["", section.heading]
            for row in section.rows:
                lines += row_lines(row, labels, width)
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        body = "".join(
            f'<tr><th colspan="2" style="text-align:left">{escape(section.heading)}</th></tr>'
            f"{''.join(map(row_html, section.rows))}"
            for section in self.sections
        )
        return f"<table><caption>{escape(self.title)}</caption>{body}</table>"


def row_lines(row: Row, labels: int, width: int) -> list[str]:
    """A row as lines: the label before the first of them."""
    room = max(20, width - len(INDENT) * 2 - labels)
    parts = [row.text] if row.is_code else wrap(row.text, room)
    return [
        f"{INDENT}{row.label if first else '':{labels}}{INDENT}{part}".rstrip()
        for first, part in zip((True, *(False,) * len(parts)), parts, strict=False)
    ]


def row_html(row: Row) -> str:
    """A row as HTML."""
    text = f"<code>{escape(row.text)}</code>" if row.is_code else escape(row.text)
    left = "text-align:left;vertical-align:top"
    return f'<tr><td style="{left}">{escape(row.label)}</td><td style="{left}">{text}</td></tr>'
