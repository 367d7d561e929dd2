"""A step as a table: plain text for a terminal, HTML for a notebook."""

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

Shape = tuple[int, ...]


class Term(NamedTuple):
    """One product of a sum."""

    channel: int
    """Of the input, counted over all groups."""
    tap: Shape
    position: Shape | None
    """Of the input; None where padding, or a hole of the spread-out input, is zero."""
    x: Any
    w: Any
    product: Any
    sum: Any
    """Of the products up to this one."""


HEADS = ("c", "tap", "input", "x", "w", "x*w", "sum")
"""Columns: c is the input channel, input the position in it, "-" where there is padding."""
MOST = 48
"""Terms that are printed in full; of more, the first and the last."""
LAST = 8


def as_text(index: Shape, terms: Sequence[Term], bias: Any, total: Any) -> str:
    """An aligned table; numbers are rounded to five digits, which fits 50 columns as a rule."""
    rows = [HEADS, *body(terms), *added(bias)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [title(index, total)]
    for count, row in enumerate(rows):
        cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells))
        lines.extend(omitted(terms, after=count))
    return "\n".join(lines)


def as_html(index: Shape, terms: Sequence[Term], bias: Any, total: Any) -> str:
    """The same table as HTML; products with padding are grey."""
    rows = [row_html(HEADS, "th", "")]
    for count, row in enumerate([*body(terms), *added(bias)], start=1):
        rows.append(row_html(row, "td", "color:#777777" if row[2] == "-" else ""))
        rows.extend(
            f'<tr><td colspan="{len(HEADS)}">{escape(left)}</td></tr>'
            for left in omitted(terms, after=count)
        )
    return (
        '<table style="font-variant-numeric:tabular-nums">'
        f'<caption style="text-align:left">{escape(title(index, total))}</caption>'
        f"{''.join(rows)}</table>"
    )


def row_html(cells: Sequence[str], tag: str, style: str) -> str:
    """One row."""
    inside = "".join(f'<{tag} style="text-align:right">{escape(cell)}</{tag}>' for cell in cells)
    return f'<tr style="{style}">{inside}</tr>'


def title(index: Shape, total: Any) -> str:
    """Which element it is, and what came out."""
    return f"y[{', '.join(map(str, index))}] = {number(total)}"


def body(terms: Sequence[Term]) -> list[tuple[str, ...]]:
    """The cells of the terms that are printed."""
    shown = [*terms[: MOST - LAST], *terms[-LAST:]] if len(terms) > MOST else terms
    return [
        (
            str(term.channel),
            place(term.tap),
            place(term.position),
            *map(number, (term.x, term.w, term.product, term.sum)),
        )
        for term in shown
    ]


def added(bias: Any) -> list[tuple[str, ...]]:
    """The row of a bias, if there is one."""
    return [] if bias is None else [(*("",) * (len(HEADS) - 2), "bias", number(bias))]


def omitted(terms: Sequence[Term], after: int) -> list[str]:
    """What stands after so many rows, where terms are left out."""
    here = len(terms) > MOST and after == MOST - LAST
    return [f"... {len(terms) - MOST} more ..."] if here else []


def place(index: Shape | None) -> str:
    """A position, or a tap: ``1,2``."""
    return "-" if index is None else ",".join(map(str, index))


def number(value: Any) -> str:
    """A number to five digits; integers in full."""
    return str(value) if np.asarray(value).dtype.kind in "biu" else f"{value:.5g}"
