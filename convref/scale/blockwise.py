"""A result block by block: what each block needs of x, of the weights and of a bias, and a task."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask._task_spec import Task, TaskRef

from convref.engine import Array
from convref.intervals import Stretch
from convref.scale.graph import (
    Chunks,
    arranged,
    blocks,
    lengths,
    made,
    name_of,
    parts_of,
    slabs,
    sorted_out,
    spans,
)
from convref.spec import ConvSpec

Stretches = tuple[Stretch, ...]
Tie = Callable[[Any, int, int], tuple[Stretches, Any]]
"""Says what a block from ``first`` to ``stop`` of an axis needs along it, and how they are tied."""


class Part(NamedTuple):
    """Channels of a result that are computed together: of one group, or of whole groups."""

    channels: Stretch
    groups: int
    seen: Stretch
    """The channels of the source that they need."""
    filters: tuple[slice, ...] = ()
    """The weights that they need."""


def by_group(chunks: Sequence[int], each: int) -> Iterator[tuple[Stretch, int, int]]:
    """Chunks of channels cut so that each lies in one group, of ``each`` channels, or has all.

    With the first group and the number of groups.

    >>> list(by_group((5, 7), each=4))
    [((0, 4), 0, 1), ((4, 5), 1, 1), ((5, 8), 1, 1), ((8, 12), 2, 1)]
    """
    for first, stop in spans(chunks):
        inner = -(-first // each) * each, stop // each * each
        for span in pairwise(sorted({first, *(end for end in inner if first < end < stop), stop})):
            begin = span[0] // each
            yield span, begin, -(-span[1] // each) - begin


def by_blocks(
    run: Callable[..., Array],
    tie: Tie,
    axes: Sequence[Any],
    parts: Sequence[Part],
    operands: tuple[da.Array, da.Array | None, da.Array | None],
    chunks: Chunks,
    dtype: np.dtype[Any],
    settings: tuple[Any, ...],
) -> da.Array:
    """The array of these chunks, each the result of a call of ``run`` on what it needs of x.

    ``run`` is called with a slab of x, weights, a bias, the ties, the number of groups, and the
    settings, of which the first is the spec that has the layout.
    """
    x, w, bias = operands
    spec: ConvSpec = settings[0]
    lead, _, size = sorted_out(chunks, spec)
    ties, source, numbers = sources(x, tie, axes, parts, lead, size, spec)
    given = [array for array in (w, bias) if array is not None]
    name = name_of(
        run.__name__, source.name, [array.name for array in given], chunks, axes, settings
    )
    tasks: dict[Any, Any] = {}
    if w is not None:
        tasks |= parts_of(f"filters-{name}", w, [part.filters for part in parts])
    if bias is not None:
        tasks |= parts_of(f"bias-{name}", bias, [(slice(*part.channels),) for part in parts])
    finer = arranged(lead, lengths([part.channels for part in parts]), size, spec)
    for block in blocks(finer):
        n, k, o = sorted_out(block, spec)
        key = (name, *block)
        tasks[key] = Task(
            key,
            run,
            TaskRef((source.name, *arranged(n, numbers[k], o, spec))),
            None if w is None else TaskRef((f"filters-{name}", k)),
            None if bias is None else TaskRef((f"bias-{name}", k)),
            tuple(along[at][1] for along, at in zip(ties, o, strict=True)),
            parts[k].groups,
            *settings,
        )
    return made(name, tasks, finer, dtype, source, *given).rechunk(chunks)


def sources(
    x: da.Array,
    tie: Tie,
    axes: Sequence[Any],
    parts: Sequence[Part],
    lead: Chunks,
    size: Chunks,
    spec: ConvSpec,
) -> tuple[list[list[tuple[Stretches, Any]]], da.Array, list[int]]:
    """What blocks need of x: the ties along each axis, the slabs, and which slab each part sees."""
    ties = [
        [tie(axis, *span) for span in spans(along)] for axis, along in zip(axes, size, strict=True)
    ]
    seen = list(dict.fromkeys(part.seen for part in parts))
    needed = arranged(
        [[(span,) for span in spans(along)] for along in lead],
        [(stretch,) for stretch in seen],
        [[stretches for stretches, _ in along] for along in ties],
        spec,
    )
    return ties, slabs(x, needed), [seen.index(part.seen) for part in parts]
