"""The words on a slide: titles, padding, sizes and sums, from the integers of a geometry."""

from collections.abc import Sequence

import numpy as np

from convref.explain.pictures import sheet
from convref.explain.pictures.cells import (
    Array,
    Index,
    lines_of,
    named,
    number,
    sizes,
    window_of,
)
from convref.geometry import Axis, Geometry

NAMES = {1: ("",), 2: ("rows", "columns"), 3: ("slices", "rows", "columns")}
"""What is counted along each axis."""


def setting_words(geometry: Geometry) -> str:
    """The words that are not plain: ``stride 2, dilation 1 × 2``."""
    found = []
    for word in ("stride", "dilation", "input_dilation"):
        per_axis = [getattr(axis, word) for axis in geometry.axes]
        if word == "stride" or max(per_axis) > 1:
            same = len(set(per_axis)) == 1
            found.append(f"{word.replace('_', ' ')} {per_axis[0] if same else sizes(per_axis)}")
    if geometry.groups > 1:
        found.append(f"{geometry.groups} groups")
    return ", ".join(found)


def padding_words(geometry: Geometry) -> str:
    """What is added or cropped on each side of each axis."""
    if not any(axis.lo or axis.hi for axis in geometry.axes):
        return "no padding"
    pairs = geometry.padding
    if len(set(pairs)) == 1:
        each = " on each axis" if len(pairs) > 1 else ""
        text = f"{sides(geometry.axes[0])}{each}"
    else:
        names = NAMES[len(pairs)]
        text = "; ".join(f"{n}: {sides(a)}" for n, a in zip(names, geometry.axes, strict=True))
    mode = "" if geometry.padding_mode == "zeros" else f" ({geometry.padding_mode})"
    return f"padding{mode}: {text}"


def padding_pairs(geometry: Geometry) -> str:
    """The same, short: pairs as the user writes them."""
    named_pairs = zip(NAMES[len(geometry.axes)], geometry.padding, strict=True)
    text = ", ".join(f"{name} {pair}".strip() for name, pair in named_pairs)
    mode = "" if geometry.padding_mode == "zeros" else f" ({geometry.padding_mode})"
    return f"padding{mode}: {text}"


def sides(axis: Axis) -> str:
    """The padding of one axis: ``1 before, 2 after (1 surplus)``."""
    return ", ".join(
        side(amount, other, where)
        for amount, other, where in ((axis.lo, axis.hi, "before"), (axis.hi, axis.lo, "after"))
    )


def side(amount: int, other: int, where: str) -> str:
    """The padding of one side."""
    if amount < 0:
        return f"{-amount} cropped {where}"
    surplus = max(0, amount - max(0, other))
    return f"{amount} {where}" + (f" ({surplus} surplus)" if surplus else "")


def size_formulas(geometry: Geometry) -> list[str]:
    """How the output size comes about, for each axis that differs from the one before it."""
    lines: list[str] = []
    names = NAMES[len(geometry.axes)]
    for name, axis in zip(names, geometry.axes, strict=True):
        if axis == geometry.axes[0] and lines:
            continue
        whose = f" ({name})" if len(set(geometry.axes)) > 1 else ""
        numbers = f"({axis.lo} + {axis.spread} + {axis.hi} - {axis.window}) // {axis.stride} + 1"
        lines.append(
            f"output{whose} = (before + input + after - window) // stride + 1 = {numbers} = "
            f"{axis.output}".replace("+ -", "- ")
        )
    return lines


def sum_words(
    geometry: Geometry, position: Index, x: Array | None, w: Array | None, y: Array | None,
    flipped: bool = False,
) -> list[str]:  # fmt: skip
    """The sum that an output is, written out as far as it fits; zeros of padding are left out."""
    lines = lines_of(geometry)
    places = [
        np.searchsorted(line.index, cells)
        for line, cells in zip(lines, window_of(geometry, position), strict=True)
    ]
    terms, taps = [], geometry.kernel_size
    count = int(np.prod(taps, dtype=object))
    for tap in list(np.ndindex(*taps)) if count <= 1000 else []:
        source = tuple(
            int(line.source[place[k]]) for line, place, k in zip(lines, places, tap, strict=True)
        )
        at = tuple(n - 1 - k for n, k in zip(taps, tap, strict=True)) if flipped else tap
        if min(source) >= 0:
            terms.append(product(at, source, x, w))
    head = f"output {named(position)} = "
    if count > 1000:
        return [f"{head}the sum of {count} products"]
    result = "" if y is None else f" = {number(y[position])}"
    return wrapped(head, terms, result) if terms else [f"{head}0: the window sees no input"]


def product(tap: Index, source: Index, x: Array | None, w: Array | None) -> str:
    """One term: numbers where there are any, else names."""
    left = f"w[{named(tap)}]" if w is None else bracketed(number(w[tap]))
    right = f"x[{named(source)}]" if x is None else bracketed(number(x[source]))
    return f"{left}·{right}"


def bracketed(text: str) -> str:
    """A negative number gets brackets."""
    return f"({text})" if text.startswith("-") else text


def wrapped(head: str, terms: Sequence[str], result: str) -> list[str]:
    """A sum on two lines at most; what does not fit is counted."""
    lines, rest = [head + terms[0]], list(terms[1:])
    end = f" + … ({len(terms)} products){result}"
    while rest:
        longer = f"{lines[-1]} + {rest[0]}"
        room = sheet.WIDTH - 2 * sheet.MARGIN - (sheet.pixels(end) if len(lines) == 2 else 0)
        if sheet.pixels(longer) <= room:
            lines[-1] = longer
        elif len(lines) == 1:
            lines.append(f"        + {rest[0]}")
        else:
            lines[-1] += end
            return lines
        del rest[0]
    lines[-1] += result
    return lines
