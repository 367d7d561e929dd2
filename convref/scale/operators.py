"""The operators over Dask arrays: which slab each block of a result needs, and one call for each.

`convref.intervals` says which stretch of the source belongs to a stretch of the result, axis by
axis, and which padding is left over. No sum is taken across blocks but that of weight gradients: a
block sees all channels of its groups at once.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import dask.array as da
import numpy as np
from dask._task_spec import Task, TaskRef

from convref import engine, shapes
from convref.backends import backend_name, kernels
from convref.calls import both_sides
from convref.checks import check_bias, check_channels, check_groups, check_output
from convref.dtypes import accumulator, promoted
from convref.engine import Array, Options
from convref.errors import WordError
from convref.geometry import Axis, Geometry, bind
from convref.intervals import frame, reached
from convref.scale.blockwise import Part, by_blocks, by_group, sources
from convref.scale.canvas import canvas_chunks, on_canvas, taken_back, unpadded
from convref.scale.graph import (
    Block,
    Chunks,
    arranged,
    asked,
    blocks,
    bounded,
    converted,
    followed,
    lengths,
    made,
    name_of,
    sorted_out,
    total_of,
)
from convref.shapes import Shape
from convref.spec import ConvSpec
from convref.threads import using_threads


def forward(
    x: da.Array,
    w: da.Array,
    bias: da.Array | None,
    spec: ConvSpec,
    options: Options,
    chunks: Any = None,
) -> da.Array:
    """``y`` of ``x (..., C, *input)`` and ``w (K, C/G, *kernel)``, as `engine.forward` has it."""
    dtype = promoted(x=x.dtype, w=w.dtype)
    options, total = settled(options, dtype)
    lead, channels, size = shapes.sizes("x", x.shape, spec)
    check_channels(channels, x.shape, w.shape, spec)
    check_bias(bias, len(w), total)
    geometry = bind(spec, size, w.shape[2:])
    shape = shapes.shape_of(lead, len(w), geometry.output_size, spec)
    ratios = list(zip(spec.input_dilation, spec.stride, strict=True))
    y_chunks = asked(chunks, shape, dtype, usual(x, shape, geometry, ratios, spec, dtype))
    if spec.padding_mode != "zeros":
        x, spec = on_canvas(x, geometry, spec), unpadded(geometry, spec)
        geometry = bind(spec, sorted_out(x.shape, spec)[2], w.shape[2:])
    filters, inside = len(w) // spec.groups, w.shape[1]
    parts = [
        Part(span, groups, (begin * inside, (begin + groups) * inside), (slice(*span),))
        for span, begin, groups in by_group(sorted_out(y_chunks, spec)[1], filters)
    ]
    return by_blocks(
        forward_block, frame, geometry.axes, parts, (x, w, bias), y_chunks, dtype, (spec, options)
    )


def forward_block(
    x: Array,
    w: Array,
    bias: Array | None,
    axes: Sequence[Axis],
    groups: int,
    spec: ConvSpec,
    options: Options,
) -> Array:
    """A block of y, from the slab that it reads."""
    return engine.forward(x, w, bias, of_block(spec, axes, groups), options)


def input_grad(
    dy: da.Array,
    w: da.Array,
    bias: da.Array | None,
    input_size: Shape,
    spec: ConvSpec,
    options: Options,
    chunks: Any = None,
    name: str = "dy",
) -> da.Array:
    """``dx (..., C, *input)`` of ``dy (..., K, *output)``, as `engine.input_grad` has it."""
    dtype = promoted(**{name: dy.dtype, "w": w.dtype})
    options, total = settled(options, dtype)
    lead, filters, size = shapes.sizes(name, dy.shape, spec)
    check_groups(w.shape, spec, "input" if name == "x" else "output")
    geometry = bind(spec, input_size, w.shape[2:])
    check_output(name, dy.shape, (filters, *size), len(w), geometry)
    channels = w.shape[1] * spec.groups
    check_bias(bias, channels, total)
    shape = shapes.shape_of(lead, channels, input_size, spec)
    ratios = list(zip(spec.stride, spec.input_dilation, strict=True))
    x_chunks = asked(chunks, shape, dtype, usual(dy, shape, geometry, ratios, spec, dtype))
    if spec.padding_mode != "zeros":
        check_rounded_once(options, f"with padding_mode={spec.padding_mode!r}")
        cells, valid = canvas_chunks(geometry, x_chunks, spec), unpadded(geometry, spec)
        canvas_size = tuple(map(sum, sorted_out(cells, spec)[2]))
        operands = converted(dy, total), converted(w, total)
        canvas = input_grad(*operands, None, canvas_size, valid, options, cells)
        return converted(taken_back(canvas, geometry, x_chunks, spec), dtype)
    filters, inside = len(w) // spec.groups, w.shape[1]
    parts = []
    for span, begin, groups in by_group(sorted_out(x_chunks, spec)[1], inside):
        seen = begin * filters, (begin + groups) * filters
        own = slice(span[0] - begin * inside, span[1] - begin * inside)
        taken = own if groups == 1 else slice(None)
        parts.append(Part(span, groups, seen, (slice(*seen), taken)))
    return by_blocks(
        input_grad_block,
        reached,
        geometry.axes,
        parts,
        (dy, w, bias),
        x_chunks,
        dtype,
        (spec, options),
    )


def input_grad_block(
    dy: Array,
    w: Array,
    bias: Array | None,
    axes: Sequence[Axis],
    groups: int,
    spec: ConvSpec,
    options: Options,
) -> Array:
    """A block of dx, from the slab of dy that reaches it."""
    size = [axis.size for axis in axes]
    return engine.input_grad(dy, w, bias, size, of_block(spec, axes, groups), options)


def weight_grad(
    x: da.Array,
    dy: da.Array,
    kernel_size: Shape,
    spec: ConvSpec,
    options: Options,
    chunks: Any = None,
) -> da.Array:
    """``dw (K, C/G, *kernel)`` of ``x (..., C, *input)`` and ``dy (..., K, *output)``."""
    dtype = promoted(x=x.dtype, dy=dy.dtype)
    options, total = settled(options, dtype)
    geometry, shape = both_sides(x.shape, dy.shape, kernel_size, spec)
    filters, inside = shape[:2]
    lead_chunks, filter_chunks, size_chunks = sorted_out(dy.chunks, spec)
    whole = (filter_chunks, *((length,) for length in shape[1:]))
    w_chunks = asked(chunks, shape, dtype, whole)
    x, dy = converted(x, total), converted(dy, total)
    if spec.padding_mode != "zeros":
        x, spec = on_canvas(x, geometry, spec), unpadded(geometry, spec)
        geometry = bind(spec, sorted_out(x.shape, spec)[2], kernel_size)
    parts = [
        Part(span, groups, (begin * inside, (begin + groups) * inside))
        for span, begin, groups in by_group(w_chunks[0], filters // spec.groups)
    ]
    finer = lengths([part.channels for part in parts])
    dy = dy.rechunk(arranged(lead_chunks, finer, size_chunks, spec))
    partial = partial_sums(x, dy, geometry, parts, spec, options)
    return converted(total_of(partial, (0,), keep=False).rechunk(w_chunks), dtype)


def partial_sums(
    x: da.Array,
    dy: da.Array,
    geometry: Geometry,
    parts: Sequence[Part],
    spec: ConvSpec,
    options: Options,
) -> da.Array:
    """The sums of each block of positions and samples of dy: ``(blocks, K, C/G, *kernel)``."""
    lead, finer, size = sorted_out(dy.chunks, spec)
    ties, source, numbers = sources(x, frame, geometry.axes, parts, lead, size, spec)
    inside = parts[0].seen[1] - parts[0].seen[0]
    shape = (inside // parts[0].groups, *geometry.kernel_size)
    places = list(blocks((*lead, *size)))
    if len(places) > 1:
        check_rounded_once(options, f"over {len(places)} blocks of `dy`")
    name = name_of("weight-grad", source.name, dy.name, geometry, spec, options)
    tasks = {}
    for number, place in enumerate(places):
        n, o = place[: len(lead)], place[len(lead) :]
        axes = tuple(along[at][1] for along, at in zip(ties, o, strict=True))
        for k, part in enumerate(parts):
            key = (name, number, k, *(0,) * len(shape))
            blocks_of = (
                TaskRef((array.name, *arranged(n, channel, o, spec)))
                for array, channel in ((source, numbers[k]), (dy, k))
            )
            tasks[key] = Task(key, weight_grad_block, *blocks_of, axes, part.groups, spec, options)
    chunks = ((1,) * len(places), finer, *((length,) for length in shape))
    return made(name, tasks, chunks, x.dtype, source, dy)


def weight_grad_block(
    x: Array, dy: Array, axes: Sequence[Axis], groups: int, spec: ConvSpec, options: Options
) -> Array:
    """``(1, K, C/G, *kernel)``: what one block of dy adds to dw."""
    kernel_size = tuple(axis.kernel for axis in axes)
    own = of_block(spec, axes, groups)
    return engine.weight_grad(x, dy, kernel_size, own, options)[np.newaxis]


def of_block(spec: ConvSpec, axes: Sequence[Axis], groups: int) -> ConvSpec:
    """The words of a block's own convolution."""
    return replace(spec, padding=tuple((axis.lo, axis.hi) for axis in axes), groups=groups)


def usual(
    x: da.Array,
    shape: Shape,
    geometry: Geometry,
    ratios: Sequence[tuple[int, int]],
    spec: ConvSpec,
    dtype: np.dtype[Any],
) -> Chunks:
    """Chunks of a result of this shape that follow those of x, and whose blocks are not too large.

    For ``up, down`` of an axis, so many positions of the result go with so many of x.
    """
    lead, _, size = sorted_out(x.chunks, spec)
    inside = sorted_out(x.shape, spec)[1]
    _, channels, length = sorted_out(shape, spec)
    along = [
        followed(chunks, *ratio, n) for chunks, ratio, n in zip(size, ratios, length, strict=True)
    ]

    def cost(longest: Block) -> int:
        """Bytes of a block, or of its slab, if that is larger."""
        samples, _, positions = sorted_out(longest, spec)
        seen = (
            (n - 1) * down // up + axis.window + 1
            for n, (up, down), axis in zip(positions, ratios, geometry.axes, strict=True)
        )
        cells: int = prod(samples) * max(channels * prod(positions), inside * prod(seen))
        return cells * dtype.itemsize

    halved = [*range(len(lead)), *sorted_out(range(len(shape)), spec)[2]]
    return bounded(arranged(lead, (channels,), along, spec), cost, halved)


def settled(options: Options, dtype: np.dtype[Any]) -> tuple[Options, np.dtype[Any]]:
    """The options with the back end that is chosen now, checked; the dtype of sums."""
    total = accumulator(dtype, options.accumulate)
    backend = backend_name(options.backend)
    with using_threads(options.threads):
        kernels(backend, total, dtype)
    return options._replace(backend=backend), total


def check_rounded_once(options: Options, where: str) -> None:
    """Refuse to add up what `exact` has rounded."""
    if options.backend == "exact":
        raise WordError(
            f"`backend` (='exact') rounds each result once, and {where} sums of rounded blocks "
            "are added",
            "use 'numpy', or convref's function of the same name on one array",
        )
