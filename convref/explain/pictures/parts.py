"""The grids of a convolution: its canvas, its kernel and its output, as far as they are shown."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from convref.explain.pictures.cells import (
    Array,
    Index,
    Indices,
    along,
    crossed,
    kinds_of,
    lines_of,
    named,
    number,
    sizes,
    sources_of,
    window_of,
)
from convref.explain.pictures.grids import Grid
from convref.geometry import Geometry

WHOLE = {1: (30,), 2: (20, 20), 3: (6, 9, 9)}
"""Cells along each axis that are shown without cropping."""
CROPPED = {1: (20,), 2: (12, 12), 3: (4, 7, 7)}
"""Cells that are shown of a longer axis."""


def shown(length: int, focus: Indices, rank: int, axis: int) -> slice:
    """The part of an axis that is shown, around the cells in focus."""
    return part_of(length, focus, WHOLE[rank][axis], CROPPED[rank][axis])


def part_of(length: int, focus: Indices, whole: int, count: int) -> slice:
    """All of it up to a length, and else so many around the middle of the focus."""
    if length <= whole:
        return slice(0, length)
    start = (int(focus[0]) + int(focus[-1]) + 1 - count) // 2
    start = max(0, min(start, length - count))
    return slice(start, start + count)


def cuts(views: Sequence[slice], lengths: Sequence[int]) -> tuple[tuple[bool, bool], ...]:
    """Where cells are left out."""
    return tuple(
        (view.start > 0, view.stop < length) for view, length in zip(views, lengths, strict=True)
    )


def canvas_grid(
    geometry: Geometry, position: Index, x: Array | None, prefix: str = "", name: str = ""
) -> Grid:
    """The canvas around the window of a position, which is framed."""
    lines, rank = lines_of(geometry), len(geometry.axes)
    window = window_of(geometry, position)
    before = [int(max(0, -line.index[0])) if len(line.index) else 0 for line in lines]
    views = [
        shown(len(line.index), cells + offset, rank, axis)
        for axis, (line, cells, offset) in enumerate(zip(lines, window, before, strict=True))
    ]
    part = [line.part(view) for line, view in zip(lines, views, strict=True)]
    kinds, sources = kinds_of(part), sources_of(part)
    texts = np.full(sources.shape, "", object)
    for cell in np.ndindex(sources.shape):
        source: Any = sources[cell]
        if source is not None:
            texts[cell] = named(source[-2:]) if x is None else number(x[source])
        elif x is not None:
            texts[cell] = "0"
    seen = [np.intersect1d(cells, line.index) for cells, line in zip(window, part, strict=True)]
    read = frozenset(outer(seen))
    words = name or ("input" if geometry.canvas_is_input else "input on its canvas")
    return Grid(
        f"{prefix}canvas", f"{words}\n{sizes(geometry.canvas_size)}",
        tuple(line.index for line in part),
        tuple(np.arange(len(line.index)) for line in part),
        kinds, texts,
        tuple(tuple("" if i < 0 else str(i) for i in line.source) for line in part),
        cuts(views, [len(line.index) for line in lines]),
        crossed(np.logical_or, [line.unread for line in part]) & (kinds != "cropped"),
        (f"{prefix}window", read),
    )  # fmt: skip


def outer(axes: Sequence[Indices]) -> list[Index]:
    """All combinations of indices along the axes, the last axis first."""
    return list(product(*(map(int, one) for one in axes)))


def kernel_grid(
    geometry: Geometry, w: Array | None, prefix: str = "", flipped: bool = False
) -> Grid:
    """The kernel, its taps as far apart as the cells they read."""
    rank, size = len(geometry.axes), geometry.kernel_size
    views = [shown(count, np.arange(count), rank, axis) for axis, count in enumerate(size)]
    places = [along(axis).taps[view] for axis, view in zip(geometry.axes, views, strict=True)]
    places = [place - place[0] for place in places]
    if any(place[-1] >= most for place, most in zip(places, WHOLE[rank], strict=True)):
        places = [np.arange(len(place)) for place in places]
    index = [np.arange(count)[view] for count, view in zip(size, views, strict=True)]
    texts = labels(index, size, w, flipped)
    words = "kernel, flipped" if flipped else "kernel"
    return Grid(
        f"{prefix}tap", f"{words}\n{sizes(size)}", tuple(index), tuple(places),
        np.full(texts.shape, "tap"), texts, heads_of(index, size, flipped), cuts(views, size),
    )  # fmt: skip


def output_grid(
    size: Index,
    position: Index,
    y: Array | None,
    prefix: str = "",
    name: str = "output",
    kinds: tuple[str, str] = ("output", "chosen"),
) -> Grid:
    """An output (or what a transposed convolution takes in), one position of which is chosen."""
    rank = len(size)
    views = [
        shown(count, np.array([at]), rank, axis)
        for axis, (count, at) in enumerate(zip(size, position, strict=True))
    ]
    index = [np.arange(count)[view] for count, view in zip(size, views, strict=True)]
    texts = labels(index, size, y)
    styles = np.full(texts.shape, kinds[0], "<U8")
    styles[tuple(at - view.start for at, view in zip(position, views, strict=True))] = kinds[1]
    return Grid(
        f"{prefix}{name}", f"{name}\n{sizes(size)}", tuple(index),
        tuple(np.arange(len(one)) for one in index), styles, texts, heads_of(index, size),
        cuts(views, size), framed=(f"{prefix}position", frozenset({position})),
    )  # fmt: skip


def below(grid: Grid, shown_cells: Indices, cells: Indices) -> Grid:
    """A row whose cells stand below these cells of a canvas; what is not shown there is cut."""
    there = np.isin(cells, shown_cells)
    ((before, after),) = grid.cut
    kept = np.flatnonzero(there)
    return replace(
        grid,
        index=(grid.index[0][there],),
        places=(cells[there] - shown_cells[0],),
        kinds=grid.kinds[there],
        texts=grid.texts[there],
        cut=((before or not there[0], after or kept[-1] + 1 < len(there)),),
    )


def labels(
    index: Sequence[Indices], size: Index, numbers: Array | None, flipped: bool = False
) -> Array:
    """What stands in each cell: its number, or else its index."""
    texts = np.full([len(one) for one in index], "", object)
    for cell in np.ndindex(texts.shape):
        at = tuple(int(one[c]) for one, c in zip(index, cell, strict=True))
        if flipped:
            at = tuple(count - 1 - i for count, i in zip(size, at, strict=True))
        texts[cell] = named(at[-2:]) if numbers is None else number(numbers[at])
    return texts


def heads_of(
    index: Sequence[Indices], size: Index, flipped: bool = False
) -> tuple[tuple[str, ...], ...]:
    """The indices along each axis; those of a flipped kernel count down."""
    return tuple(
        tuple(str(count - 1 - int(i) if flipped else int(i)) for i in one)
        for one, count in zip(index, size, strict=True)
    )
