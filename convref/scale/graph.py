"""Dask arrays from tasks, block by block: slabs of other arrays, and what is made of them."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from operator import itemgetter
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask import config
from dask._task_spec import Alias, Task, TaskRef  # https://docs.dask.org/en/stable/spec.html
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from dask.utils import parse_bytes
from numpy.typing import NDArray

from convref.dtypes import as_array
from convref.errors import DtypeError, ShapeError, WordError, shown
from convref.intervals import Stretch
from convref.shapes import shape_of, sizes
from convref.spec import ConvSpec

Array = NDArray[Any]
Block = tuple[int, ...]
Chunks = tuple[tuple[int, ...], ...]
Reads = Sequence[Sequence[Sequence[Stretch]]]
"""For each axis, for each block along it, the stretches that it reads."""
SPLIT = 8
"""Arrays that are added in one task of a tree."""


def check_array(name: str, x: Any) -> None:
    """Check that x is a Dask array of numbers whose sizes are known."""
    if not isinstance(x, da.Array):
        raise DtypeError(
            f"`{name}` ({type(x).__name__}) is not a Dask array",
            f"wrap it, which copies nothing: dask.array.from_array({name}, chunks=...)",
        )
    as_array(name, x._meta)
    if np.isnan(x.shape).any():
        raise ShapeError(
            f"`{name}` has chunks of unknown sizes (shape {x.shape})",
            f"call {name}.compute_chunk_sizes(), or say them where it is made",
        )


def as_dask(name: str, array: Any) -> da.Array:
    """Weights, or a bias, as a Dask array in one chunk."""
    if isinstance(array, da.Array):
        check_array(name, array)
        return array.rechunk(-1)
    return da.from_array(np.asarray(as_array(name, array)), chunks=-1)


def name_of(what: str, *determined_by: object) -> str:
    """A name in the graph, which is equal where all that determines an array is."""
    return f"{what}-{tokenize(*determined_by)}"


def made(
    name: str, tasks: Mapping[Any, Any], chunks: Chunks, dtype: Any, *sources: da.Array
) -> da.Array:
    """The Dask array of these tasks, which read the ``sources``."""
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=sources)
    return da.Array(graph, name, chunks, meta=np.empty((0,) * len(chunks), dtype))


def sorted_out(values: Any, spec: ConvSpec) -> tuple[Any, Any, Any]:
    """What there is one of per axis, as (of batch axes, of the channels, of spatial axes)."""
    return sizes("x", tuple(values), spec)


def arranged(lead: Any, channels: Any, size: Any, spec: ConvSpec) -> Any:
    """The inverse of `sorted_out`: one per axis, in the layout of the spec."""
    return shape_of(tuple(lead), channels, tuple(size), spec)


def blocks(chunks: Chunks) -> Iterable[Block]:
    """The numbers of all blocks."""
    return product(*(range(len(along)) for along in chunks))


def spans(chunks: Sequence[int]) -> list[Stretch]:
    """Where chunks along an axis begin and stop.

    >>> spans((3, 3, 1))
    [(0, 3), (3, 6), (6, 7)]
    """
    ends = np.cumsum(chunks, dtype=np.int64).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def lengths(stretches: Sequence[Stretch]) -> tuple[int, ...]:
    """How long each stretch is."""
    return tuple(stop - first for first, stop in stretches)


class Piece(NamedTuple):
    """What a slab takes along one axis from one chunk."""

    chunk: int
    part: slice
    whole: bool
    place: slice
    """Where it comes to lie in the slab."""


def pieces(stretches: Sequence[Stretch], bounds: Sequence[Stretch]) -> list[Piece]:
    """Where stretches along one axis lie in chunks; what lies in none is left out."""
    found, done = [], 0
    for first, stop in stretches:
        number = bisect_right(bounds, first, key=itemgetter(1))
        while number < len(bounds) and bounds[number][0] < stop:
            begin, end = bounds[number]
            start, halt = max(first, begin), min(stop, end)
            if start < halt:
                part, place = (slice(start - zero, halt - zero) for zero in (begin, first - done))
                found.append(Piece(number, part, part == slice(0, end - begin), place))
            number += 1
        done += stop - first
    return found


def slabs(x: da.Array, reads: Reads) -> da.Array:
    """The array whose block (i, j, ...) is x at ``reads[0][i]``, ``reads[1][j]``, ...

    Blocks may overlap, and leave out what no one reads. Outside of x are zeros.
    """
    name = name_of("slab", x.name, reads)
    bounds = [spans(along) for along in x.chunks]
    found = [[pieces(block, of) for block in axis] for axis, of in zip(reads, bounds, strict=True)]
    chunks = tuple(tuple(sum(lengths(block)) for block in axis) for axis in reads)
    tasks: dict[Any, Any] = {}
    for block in blocks(chunks):
        refs, places = [], []
        for number, taken in enumerate(product(*(found[a][b] for a, b in enumerate(block)))):
            source = (x.name, *(piece.chunk for piece in taken))
            if not all(piece.whole for piece in taken):
                # Cut where the chunk is, so that neighbours are sent no more than they read.
                key = (f"cut-{name}", *block, number)
                part = tuple(piece.part for piece in taken)
                tasks[key] = Task(key, da.chunk.getitem, TaskRef(source), part)
                source = key
            refs.append(TaskRef(source))
            places.append(tuple(piece.place for piece in taken))
        key = (name, *block)
        shape = tuple(along[number] for along, number in zip(chunks, block, strict=True))
        filled = places == [tuple(slice(0, length) for length in shape)]
        tasks[key] = (
            Alias(key, refs[0]) if filled else Task(key, laid, shape, x.dtype, places, *refs)
        )
    return made(name, tasks, chunks, x.dtype, x)


def laid(
    shape: Block, dtype: np.dtype[Any], places: Sequence[tuple[slice, ...]], *parts: Array
) -> Array:
    """An array of zeros with parts laid on it."""
    whole = np.zeros(shape, dtype)
    for place, part in zip(places, parts, strict=True):
        whole[place] = part
    return whole


def parts_of(
    name: str, array: da.Array, parts: Sequence[tuple[slice, ...]]
) -> dict[tuple[str, int], Task]:
    """A task for each part of an array in one chunk; its key is (name, number)."""
    source = TaskRef((array.name, *(0,) * array.ndim))
    return {
        (name, number): Task((name, number), da.chunk.getitem, source, part)
        for number, part in enumerate(parts)
    }


def total_of(x: da.Array, axes: tuple[int, ...], keep: bool) -> da.Array:
    """The sum over axes, in the dtype of x, block by block and then in a tree of blocks."""
    return da.reduction(
        x, summed, summed, axis=axes, keepdims=keep, dtype=x.dtype, split_every=SPLIT
    )


def summed(x: Array, axis: Any, keepdims: bool) -> Array:
    """As `numpy.sum`, in the dtype of x; what overflows is infinite, without a warning."""
    with np.errstate(all="ignore"):
        return np.asarray(x.sum(axis=axis, keepdims=keepdims, dtype=x.dtype))


def converted(x: da.Array, dtype: np.dtype[Any]) -> da.Array:
    """The array in a dtype; itself if it has it."""
    return x if x.dtype == dtype else x.map_blocks(quietly_cast, dtype, dtype=dtype)


def quietly_cast(x: Array, dtype: np.dtype[Any]) -> Array:
    """In another dtype; what overflows is infinite, without a warning."""
    with np.errstate(all="ignore"):
        return x.astype(dtype)


def followed(chunks: Sequence[int], up: int, down: int, size: int) -> tuple[int, ...]:
    """Chunks of a result along an axis that end where x's do, at ``up / down`` of the distance.

    >>> followed((64, 64, 10), 1, 2, size=68)
    (32, 32, 4)
    """
    ends = [min(size, -(-stop * up // down)) for _, stop in spans(chunks)[:-1]]
    steps = np.diff([0, *ends, size])
    return tuple(step for step in steps.tolist() if step) or (0,)


def bounded(chunks: Chunks, cost: Callable[[Block], int], halved: Sequence[int]) -> Chunks:
    """Chunks halved along some axes until no task costs more bytes than Dask's `array.chunk-size`.

    It is always the longest chunks of these axes that are halved.
    """
    limit = parse_bytes(config.get("array.chunk-size"))
    while cost(tuple(map(max, chunks))) > limit:
        axis = max(halved, key=lambda number: max(chunks[number]))
        if max(chunks[axis]) < 2:
            break
        halves = ((n - n // 2, n // 2) for n in chunks[axis])
        finer = tuple(half for pair in halves for half in pair if half)
        chunks = (*chunks[:axis], finer, *chunks[axis + 1 :])
    return chunks


def asked(chunks: Any, shape: tuple[int, ...], dtype: np.dtype[Any], usual: Chunks) -> Chunks:
    """What a user writes as ``chunks``, as Dask's `rechunk` reads it; None is the usual."""
    if chunks is None:
        return usual
    try:
        if isinstance(chunks, dict):
            axes = dict(enumerate(usual))
            for axis, along in chunks.items():
                if not -len(usual) <= axis < len(usual):
                    raise IndexError(f"it has no axis {axis}")
                axes[axis % len(usual)] = along
            entries: Any = tuple(axes.values())
        elif isinstance(chunks, tuple | list):
            entries = tuple(usual[n] if each is None else each for n, each in enumerate(chunks))
        else:
            entries = chunks
        found: Chunks = da.core.normalize_chunks(entries, shape, dtype=dtype, previous_chunks=usual)
        if any(length < 1 for along, n in zip(found, shape, strict=True) for length in along if n):
            raise ZeroDivisionError
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        why = "a chunk has no position" if isinstance(error, ArithmeticError) else str(error)
        raise WordError(
            f"`chunks` (={shown(chunks)}) do not cut a result of shape {shape}: {why}",
            "write them as for dask.array.rechunk",
        ) from None
    return found
