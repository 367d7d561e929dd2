"""Where an output is wrong, when it is wrong in places only, and what stands there instead."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convref.verify.problem import Problem

Array = NDArray[Any]
Mask = NDArray[np.bool_]

LANES = (32, 16, 8, 4, 2)
"""Widths of vectors, of which one lane may be wrong."""
SHARE = 0.5
"""A place is named where at least this share of it is wrong, and nothing outside."""
LARGEST = 0.75
"""And where it is not most of the output."""


class Place(NamedTuple):
    """A part of an output."""

    name: str
    text: str
    mask: Mask


def place(problem: Problem, wrong: Mask) -> Place | None:
    """The smallest place that holds all wrong elements, if they fill it well enough."""
    found = [
        p for p in places(problem, wrong)
        if not (wrong & ~p.mask).any()
        and wrong.sum() >= SHARE * p.mask.sum()
        and p.mask.sum() <= LARGEST * wrong.size
    ]  # fmt: skip
    return min(found, key=lambda p: int(p.mask.sum()), default=None)


def places(problem: Problem, wrong: Mask) -> Iterator[Place]:
    """Places that may hold all wrong elements, the most telling first where they are alike."""
    if not wrong.any():
        return
    if wrong.sum() == 1:
        index = tuple(map(int, np.argwhere(wrong)[0]))
        yield Place("element", f"only element {index} is wrong", wrong)
        return
    if problem.kind in ("forward", "input_grad", "transpose"):
        yield from borders(problem, wrong)
    for axis in range(wrong.ndim):
        yield from along(problem, wrong, axis)
    yield from boxes(problem, wrong)


def named_axis(problem: Problem, shape: tuple[int, ...], axis: int) -> tuple[str, str]:
    """What an axis of the output is called, and the name of a mistake in one block of it."""
    if problem.kind == "weight_grad":
        names = [("filter", "channel-block"), ("input channel", "channel-block")]
        return names[axis] if axis < 2 else (f"kernel position along axis {axis - 2}", "tap")
    if problem.kind == "bias_grad":
        return "channel", "channel-block"
    channel, first = problem.channel_axis(len(shape)), problem.first_axis(len(shape))
    if axis == channel:
        return "channel", "channel-block"
    if axis < first:
        return "batch item", "batch-item"
    return f"position along spatial axis {axis - first}", "tile"


def numbered(what: str, first: int, last: int) -> str:
    """``position 3 along axis 0``, or ``positions 3 to 5 along axis 0``."""
    noun, along, where = what.partition(" along ")
    number = f" {first}" if first == last else f"s {first} to {last}"
    return f"{noun}{number}{along}{where}"


def along(problem: Problem, wrong: Mask, axis: int) -> Iterator[Place]:
    """One index, a run of indices, or every so-manyth index of an axis."""
    size = wrong.shape[axis]
    hit = np.flatnonzero(wrong.any(axis=tuple(a for a in range(wrong.ndim) if a != axis)))
    if size < 2 or len(hit) == size:
        return
    what, name = named_axis(problem, wrong.shape, axis)
    first, last = int(hit[0]), int(hit[-1])
    if len(hit) == last - first + 1:
        which = numbered(what, first, last)
        end = name == "tile" and last == size - 1
        yield Place(
            "last-tile" if end else name,
            f"only {which} (of {size}) {'is' if first == last else 'are'} wrong"
            + (", the end of the axis" if end and first != last else ""),
            spread(hit, axis, wrong),
        )
        return
    for lanes in LANES:
        lane = set((hit % lanes).tolist())
        if len(lane) == 1 and size >= 2 * lanes:
            (number,) = lane
            chosen = np.arange(number, size, lanes)
            yield Place(
                "vector-lane",
                f"only every {lanes}th {what}, from {number} on, is wrong: one lane of a vector "
                f"of {lanes}",
                spread(chosen, axis, wrong),
            )
            return


def borders(problem: Problem, wrong: Mask) -> Iterator[Place]:
    """Outputs whose window reaches the padding, and those whose window does not."""
    geometry = problem.geometry
    if geometry is None or problem.kind != "forward":
        return
    inside = np.ones(geometry.output_size, bool)
    for number, axis in enumerate(geometry.axes):
        start = np.arange(axis.output) * axis.stride - axis.lo
        within = (start >= 0) & (start + axis.window <= axis.spread)
        inside &= within.reshape(-1, *[1] * (len(geometry.axes) - 1 - number))
    if problem.spec.layout == "channels_last":
        inside = inside[..., None]
    mask = np.broadcast_to(inside, wrong.shape)
    for name, text, chosen in (
        ("border", "only outputs whose window reaches the padding are wrong", ~mask),
        ("interior", "only outputs whose window does not reach the padding are wrong", mask),
    ):
        if chosen.any():
            yield Place(name, text, chosen)


def boxes(problem: Problem, wrong: Mask) -> Iterator[Place]:
    """The product of a range on every axis."""
    ranges, texts = [], []
    for axis in range(wrong.ndim):
        hit = np.flatnonzero(wrong.any(axis=tuple(a for a in range(wrong.ndim) if a != axis)))
        first, last = int(hit[0]), int(hit[-1])
        ranges.append(slice(first, last + 1))
        if last - first + 1 < wrong.shape[axis]:
            what, _ = named_axis(problem, wrong.shape, axis)
            texts.append(numbered(what, first, last))
    if len(texts) < 2:
        return
    mask = np.zeros(wrong.shape, bool)
    mask[tuple(ranges)] = True
    yield Place("block", f"only a block is wrong: {', '.join(texts)}", mask)


def spread(indices: Array, axis: int, wrong: Mask) -> Mask:
    """These indices of an axis, whatever the others."""
    mask = np.zeros(wrong.shape, bool)
    mask[(slice(None),) * axis + (indices,)] = True
    return mask


def standing(output: Array, true: Array, wrong: Mask) -> tuple[str, str] | None:
    """What wrong elements hold instead of their values: a name for it, and a clause."""
    found, wanted = output[wrong], true[wrong]
    if np.isnan(found).all():
        return "unwritten", "they are all NaN, as memory that was never written may be"
    if (found == found.flat[0]).all() and (found.size > 1 or found.flat[0] == 0):
        return "unwritten", f"they all hold {found.flat[0]}, as if they were never written"
    with np.errstate(all="ignore"):
        if close(found, 2 * wanted):
            return "accumulated-twice", "they hold twice their values: they are accumulated twice"
        for axis in range(output.ndim):
            for step in (1, -1):
                if close(found, np.roll(true, step, axis)[wrong]) and output.shape[axis] > 1:
                    return "stale", (
                        f"they hold the values that belong {'before' if step > 0 else 'after'} "
                        f"them along axis {axis}: memory of an earlier result"
                    )
    return None


def close(found: Array, wanted: Array) -> bool:
    """Whether values agree but for rounding, which may have been that of float16."""
    error, size = np.abs(found - wanted), np.abs(wanted)
    scale = size.max(initial=0)
    most = (error <= 1e-2 * size + 1e-5 * scale).mean() > 0.9
    return bool(scale > 0 and most and (error <= 1e-2 * scale).all())
