"""Moving numbers to where the micro-kernels can stream them, and their results back.

A *panel* holds a matrix with its lanes side by side: ``panel[i * pitch + lane]``. Elsewhere the
same element lies at ``offsets[i] + lane * step``. Where either side goes by ones, whole vectors
move; where the two go across each other, square blocks are transposed in registers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from convref.kernels.jit.flat import data, keep, load, pointer, shifted, store, word
from convref.kernels.jit.kept import compiled, named_after
from convref.kernels.jit.vectors import (
    below,
    by_shape,
    lanes_of,
    masked_load,
    shuffled,
    vector_lanes,
)


@compiled(fastmath=False)
def place(x, x_at, x_step, canvas, at, end, rows, row_cells, row_sources, runs_end, runs):
    """Copy an input, whose numbers stand ``x_step`` apart, to its canvas, zero from at to end.

    Runs come in the order of their cells. So a run may be followed by zeros up to a whole vector:
    these cells are zero, or a later run fills them.
    """
    if runs_end == 5:
        place_run(x, x_at, x_step, canvas, at, end, 0, rows, row_cells, row_sources, 0, runs)
        return
    for i in range(rows):
        for run in range(0, runs_end, 5):
            place_run(x, x_at, x_step, canvas, at, end, i, i + 1, row_cells, row_sources, run, runs)


@compiled(fastmath=False)
def place_run(x, x_at, x_step, canvas, at, end, row, row_end, row_cells, row_sources, run, runs):
    """Copy one run of several rows: what it is is read once for all of them."""
    LANES, x_run = lanes_of(x), load(runs, run + 4) * x_step
    step, length = load(runs, run + 3), load(runs, run + 2)
    first, source = at + load(runs, run), x_at + load(runs, run + 1) * x_step
    whole = -(-length // LANES) * LANES
    for i in range(row, row_end):
        to, start = first + load(row_cells, i), source + load(row_sources, i) * x_step
        if step != 1 or to + whole > end or not 1 <= x_run <= 2:
            for j in range(length):
                store(canvas, to + j * step, load(x, start + j * x_run))
        elif x_run == 1:
            copy_padded(x, start, canvas, to, length)
        else:
            copy_second_padded(x, start, canvas, to, length)


def place_all(words, x, _, canvas, start, stop):
    """Fill the canvases of channels: units are (sample, channel), zero where nothing is shown."""
    cells, rows, runs_end = load(words, 0), load(words, 1), load(words, 2)
    row_cells, row_sources, runs = word(words, 3), word(words, 4), word(words, 5)
    channels, x_n, x_c, x_i = load(words, 6), load(words, 7), load(words, 8), load(words, 9)
    in_order = load(words, 10)
    for unit in range(start, stop):
        at, end = unit * cells, (unit + 1) * cells
        cell = at
        for row in range(rows if in_order else 0):
            first = at + load(runs, 0) + load(row_cells, row)
            for gap in range(cell, first):
                store(canvas, gap, 0)
            cell = first + load(runs, 2)
        for gap in range(cell, end):
            store(canvas, gap, 0)
        x_at = unit // channels * x_n + unit % channels * x_c
        place(x, x_at, x_i, canvas, at, end, rows, row_cells, row_sources, runs_end, runs)


def place_last(words, x, _, canvas, start, stop):
    """Fill canvases ``(N, S, C)`` from inputs ``(N, I, C)``: units are (sample, piece).

    A piece is (cell, source, length), of zeros where its source is below zero.
    """
    pieces, count, cells = word(words, 0), load(words, 1), load(words, 2)
    channels, x_n = load(words, 3), load(words, 4)
    for unit in range(start, stop):
        sample, line = unit // count, shifted(pieces, unit % count * 3)
        to, source = (sample * cells + load(line, 0)) * channels, load(line, 1)
        width = load(line, 2) * channels
        if source >= 0:
            copy(x, sample * x_n + source * channels, canvas, to, width)
        else:
            for i in range(to, to + width):
                store(canvas, i, 0)


@compiled(fastmath=False)
def pack(source, limit, offsets, lanes_at, run, count, lanes, panel, lines):
    """``panel[lines[i] + lane] = source[offsets[i] + lanes_at[lane]]``; ``limit`` is the source's.

    Every ``run`` lanes lie side by side in the source: one, a power of two, or a whole vector.
    """
    LANES, furthest = lanes_of(panel), 0
    whole = lanes // LANES * LANES
    if run > 1:
        for i in range(count):
            first, line = load(offsets, i), load(lines, i)
            for lane in range(0, whole, run):
                copy_run(source, first + load(lanes_at, lane), panel, line + lane, run)
            for lane in range(whole, lanes):
                store(panel, line + lane, load(source, first + load(lanes_at, lane)))
        return
    for lane in range(whole):
        furthest = max(furthest, load(lanes_at, lane))
    lengths_ = np.empty(count, np.int64)
    lengths = data(lengths_)
    find_lengths(offsets, count, 1, lengths)
    # Vector by vector: memory is read ahead along so many lanes, not along many more.
    for lane in range(0, lanes, LANES):
        some, i = shifted(lanes_at, lane), 0
        while i < count:
            first, rows = load(offsets, i), min(LANES, load(lengths, i))
            # A square reads whole vectors and keeps the rows: not worth it for one or two.
            if lane < whole and rows > 2 and first + furthest + LANES <= limit:
                transpose(source, first, some, panel, lane, shifted(lines, i), rows, 1)
            else:
                rows = min(LANES, count - i)
                for single in range(min(LANES, lanes - lane)):
                    at = load(some, single)
                    for j in range(i, i + rows):
                        value = load(source, load(offsets, j) + at)
                        store(panel, load(lines, j) + lane + single, value)
            i += rows
    keep(lengths_)


@compiled(fastmath=False)
def find_lengths(offsets, count, step, lengths):
    """Of how many offsets each is the first that go by such steps."""
    length, following = 0, 0
    for i in range(count - 1, -1, -1):
        offset = load(offsets, i)
        length = length + 1 if length > 0 and following - offset == step else 1
        following = offset
        store(lengths, i, length)


@compiled(fastmath=False)
def unpack(panel, lines, target, offsets, lanes_at, run, count, lanes):
    """``target[offsets[i] + lanes_at[lane]] = panel[lines[i] + lane]``.

    Every ``run`` lanes lie side by side in the target, as in `pack`. Neighbouring rows may then
    follow each other there, and squares of whole runs are transposed.
    """
    LANES, step = lanes_of(panel), lanes_of(panel)
    if run == LANES:
        step = max(1, lanes)
    lengths_ = np.empty(count, np.int64)
    lengths = data(lengths_)
    find_lengths(offsets, count, run, lengths)
    # Vector by vector: so many places in the target are written to at a time, not many more.
    for lane in range(0, lanes, step):
        unpack_some(
            panel, lane, lines, target, offsets, lengths, shifted(lanes_at, lane), run, count,
            min(step, lanes - lane),
        )  # fmt: skip
    keep(lengths_)


@compiled(fastmath=False)
def unpack_some(panel, panel_at, lines, target, offsets, lengths, lanes_at, run, count, lanes):
    """`unpack` of lanes that begin at ``panel_at`` in the panel."""
    LANES, pitch = lanes_of(panel), load(lines, 1) - load(lines, 0)
    whole, i = lanes // LANES * LANES, 0
    height = LANES // run
    while i < count:
        first, rows = load(offsets, i), min(LANES, load(lengths, i))
        if height > 1 and rows >= height:
            rows = height
            for lane in range(0, whole, LANES):
                to = shifted(lanes_at, lane)
                transpose(panel, panel_at + lane, shifted(lines, i), target, first, to, rows, run)
            single = whole
        else:
            # Lane by lane, for neighbouring rows are near each other there.
            while (
                rows < LANES
                and i + rows < count
                and (height == 1 or load(lengths, i + rows) < height)
            ):
                rows += 1
            for lane in range(0, whole if run > 1 else 0, run):
                at, to = panel_at + load(lines, i) + lane, load(lanes_at, lane)
                for j in range(rows):
                    copy_run(panel, at + j * pitch, target, load(offsets, i + j) + to, run)
            single = whole if run > 1 else 0
        for lane in range(single, lanes):
            at, to = panel_at + load(lines, i) + lane, load(lanes_at, lane)
            for j in range(rows):
                store(target, load(offsets, i + j) + to, load(panel, at + j * pitch))
        i += rows


@compiled(fastmath=False)
def copy(source, at, target, to, count):
    """``target[to + i] = source[at + i]``."""
    whole = count // lanes_of(source) * lanes_of(source)
    copy_vectors(source, at, target, to, whole)
    for i in range(whole, count):
        store(target, to + i, load(source, at + i))


def copy_vectors(source, at, target, to, count):
    """`copy` of a whole number of vectors."""
    target[to : to + count] = source[at : at + count]


def copy_padded(source, at, target, to, count):
    """`copy`, and zeros after it up to a whole number of vectors."""
    whole = -(-count // lanes_of(source)) * lanes_of(source)
    target[to + count : to + whole] = 0
    target[to : to + count] = source[at : at + count]


def copy_second_padded(source, at, target, to, count):
    """`copy_padded` of every second number."""
    whole = -(-count // lanes_of(source)) * lanes_of(source)
    target[to + count : to + whole] = 0
    target[to : to + count] = source[at : at + 2 * count - 1 : 2]


def _compile_copy(function: Callable[..., None], step: int, padded: bool = True) -> None:
    """Let Numba compile a copy of every step-th number to whole vectors."""

    @intrinsic
    def vectors(typing_context, source, at, target, to, count):
        signature = types.void(source, types.int64, target, types.int64, types.int64)
        size, index = source.dtype.bitwidth // 8, ir.IntType(64)
        LANES = vector_lanes(size)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            vector = ir.VectorType(context.get_data_type(source.dtype), LANES)
            data, target_data = (
                pointer(context, builder, signature, args, position) for position in (0, 2)
            )
            first, into = builder.gep(data, [args[1]]), builder.gep(target_data, [args[3]])
            # The numbers from the first that is copied to the last.
            reach = builder.sub(builder.mul(args[4], index(step)), index(step - 1))

            def read(i: ir.Value, part: int) -> ir.Value:
                at = builder.add(builder.mul(i, index(step)), index(part * LANES))
                if not padded:
                    place = builder.bitcast(builder.gep(first, [at]), vector.as_pointer())
                    return builder.load(place, align=size)
                mask = below(builder, builder.sub(reach, at), LANES)
                return masked_load(builder, builder.gep(first, [at]), vector, mask, size)

            loop = cgutils.for_range_slice(builder, index(0), args[4], index(LANES), index)
            with loop as (i, _):
                value = read(i, 0)
                if step == 2:
                    evens = [2 * lane for lane in range(LANES)]
                    value = shuffled(builder, value, read(i, 1), evens)
                to = builder.bitcast(builder.gep(into, [i]), vector.as_pointer())
                builder.store(value, to, align=size)
            return context.get_dummy_value()

        return signature, generate

    @overload(function)
    def compiled(source, at, target, to, count):
        LANES = vector_lanes(source.dtype.bitwidth // 8)

        def by_vectors(source, at, target, to, count):
            vectors(source, at, target, to, count)

        def by_numbers(source, at, target, to, count):
            for i in range(count):
                store(target, to + i, load(source, at + step * i))
            for i in range(count, -(-count // LANES) * LANES):
                store(target, to + i, 0)

        made = by_numbers if isinstance(source.dtype, types.Complex) else by_vectors
        return named_after(function, made)


_compile_copy(copy_vectors, 1, padded=False)
_compile_copy(copy_padded, 1)
_compile_copy(copy_second_padded, 2)


def copy_run(source, at, target, to, run):
    """`copy` of at most a vector: one number, a power of two, or LANES."""
    target[to : to + run] = source[at : at + run]


def transpose(source, at, source_lines, target, to, target_lines, rows, run):
    """A square of runs, transposed.

        target[to + target_lines[i * run] + j * run + e] =
            source[at + source_lines[j] + i * run + e]

    for i below rows, j below LANES / run and e below run, a power of two below LANES. Whole vectors
    of the source are read, however few rows there are.
    """
    for i in range(rows):
        for j in range(lanes_of(source) // run):
            for e in range(run):
                line = target_lines[i * run]
                target[to + line + j * run + e] = source[at + source_lines[j] + i * run + e]


def _runs(LANES: int) -> list[int]:
    """Powers of two below LANES, and 1."""
    return [1, *(2**power for power in range(1, LANES.bit_length() - 1))]


@intrinsic
def _copy_in_register(typing_context, source, at, target, to, run):
    """`copy_run` by one load and one store."""
    i = types.int64
    signature = types.void(source, i, target, i, i)
    size = source.dtype.bitwidth // 8
    LANES = vector_lanes(size)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        data, target_data = (
            pointer(context, builder, signature, args, position) for position in (0, 2)
        )
        first, into = builder.gep(data, [args[1]]), builder.gep(target_data, [args[3]])

        def copied(run: int, _: int) -> None:
            kind = ir.VectorType(context.get_data_type(source.dtype), run).as_pointer()
            value = builder.load(builder.bitcast(first, kind), align=size)
            builder.store(value, builder.bitcast(into, kind), align=size)

        shapes = tuple((run, 0) for run in {*_runs(LANES), LANES})
        by_shape(builder, args[4], ir.IntType(64)(0), shapes, copied)
        return context.get_dummy_value()

    return signature, generate


@overload(copy_run)
def _copy_run(source, at, target, to, run):
    def by_vector(source, at, target, to, run):
        _copy_in_register(source, at, target, to, run)

    def by_numbers(source, at, target, to, run):
        for i in range(run):
            store(target, to + i, load(source, at + i))

    return by_numbers if isinstance(source.dtype, types.Complex) else by_vector


@intrinsic
def _transpose_in_registers(
    typing_context, source, at, source_lines, target, to, target_lines, rows, run
):  # fmt: skip
    """`transpose` as a perfect shuffle of LANES / run vectors, that many times halved."""
    i = types.int64
    signature = types.void(source, i, source_lines, target, i, target_lines, i, i)
    size = source.dtype.bitwidth // 8
    LANES, index = vector_lanes(size), ir.IntType(64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(context.get_data_type(source.dtype), LANES)
        data, lines, target_data, target_lines = (
            pointer(context, builder, signature, args, position) for position in (0, 2, 3, 5)
        )
        first, into = builder.gep(data, [args[1]]), builder.gep(target_data, [args[4]])

        def address(base: ir.Value, lines: ir.Value, number: int) -> ir.Value:
            line = builder.load(builder.gep(lines, [index(number)]))
            return builder.bitcast(builder.gep(base, [line]), vector.as_pointer())

        def square(run: int, _: int) -> None:
            height = LANES // run

            def interleaved(a: ir.Value, b: ir.Value, start: int) -> ir.Value:
                # Elements of a run each: those of a and b by turns, from the start-th on.
                order = [
                    (start + element // 2 + element % 2 * height) * run + e
                    for element in range(height)
                    for e in range(run)
                ]
                return shuffled(builder, a, b, order)

            vectors = [
                builder.load(address(first, lines, line), align=size) for line in range(height)
            ]
            half = height // 2
            for _ in range(height.bit_length() - 1):
                vectors = [
                    interleaved(vectors[pair], vectors[pair + half], start)
                    for pair in range(half)
                    for start in (0, half)
                ]
            for row, value in enumerate(vectors):
                with builder.if_then(builder.icmp_signed("<", index(row), args[6]), likely=True):
                    place = address(into, target_lines, row * run)
                    builder.store(value, place, align=size)

        shapes = tuple((run, 0) for run in _runs(LANES))
        by_shape(builder, args[7], index(0), shapes, square)
        return context.get_dummy_value()

    return signature, generate


@overload(transpose)
def _transpose(source, at, source_lines, target, to, target_lines, rows, run):
    def vectors(source, at, source_lines, target, to, target_lines, rows, run):
        _transpose_in_registers(source, at, source_lines, target, to, target_lines, rows, run)

    def loops(source, at, source_lines, target, to, target_lines, rows, run):
        for i in range(rows):
            line = to + load(target_lines, i * run)
            for j in range(lanes_of(source) // run):
                for e in range(run):
                    value = load(source, at + load(source_lines, j) + i * run + e)
                    store(target, line + j * run + e, value)

    return loops if isinstance(source.dtype, types.Complex) else vectors
