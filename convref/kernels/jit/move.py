"""Moving numbers to where the micro-kernels can stream them, and their results back.

A *panel* holds a matrix with its lanes side by side: ``panel[i * pitch + lane]``. Elsewhere the
same element lies at ``offsets[i] + lane * step``. Where either side goes by ones, whole vectors
move; where the two go across each other, square blocks are transposed in registers.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from convref.kernels.jit.flat import load, pointer, shifted, store, word
from convref.kernels.jit.vectors import below, lanes_of, masked_load, shuffled, vector_lanes


@njit(nogil=True, cache=True, fastmath=False)
def place(x, x_at, x_step, canvas, at, end, rows, row_cells, row_sources, runs_end, runs):
    """Copy an input, whose numbers stand ``x_step`` apart, to its canvas, zero from at to end.

    Runs come in the order of their cells. So a run may be followed by zeros up to a whole vector:
    these cells are zero, or a later run fills them.
    """
    LANES = lanes_of(x)
    for i in range(rows):
        row, source = at + load(row_cells, i), load(row_sources, i)
        for run in range(0, runs_end, 5):
            to, step = row + load(runs, run), load(runs, run + 3)
            start = x_at + (source + load(runs, run + 1)) * x_step
            length, x_run = load(runs, run + 2), load(runs, run + 4) * x_step
            whole = -(-length // LANES) * LANES
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
    for unit in range(start, stop):
        at, end = unit * cells, (unit + 1) * cells
        for cell in range(at, end):
            store(canvas, cell, 0)
        x_at = unit // channels * x_n + unit % channels * x_c
        place(x, x_at, x_i, canvas, at, end, rows, row_cells, row_sources, runs_end, runs)


def place_last(words, x, _, canvas, start, stop):
    """Fill canvases ``(N, S, C)`` of zeros from inputs ``(N, I, C)``; units: sample, row, run."""
    cells, rows, runs_end = load(words, 0), load(words, 1), load(words, 2)
    row_cells, row_sources, runs = word(words, 3), word(words, 4), word(words, 5)
    channels, x_n = load(words, 6), load(words, 7)
    for unit in range(start, stop):
        run = shifted(runs, unit * 5 % runs_end)
        row, sample = unit * 5 // runs_end % rows, unit * 5 // runs_end // rows
        first = sample * cells + load(row_cells, row) + load(run, 0)
        source = sample * (x_n // channels) + load(row_sources, row) + load(run, 1)
        length, step, x_step, width = load(run, 2), load(run, 3), load(run, 4), channels
        if step == 1 and x_step == 1:
            length, width = 1, length * channels
        for j in range(length):
            to = (first + j * step) * channels
            copy(x, (source + j * x_step) * channels, canvas, to, width)


@njit(nogil=True, cache=True, fastmath=False)
def pack(source, limit, offsets, step, count, lanes, panel, pitch):
    """``panel[i * pitch + lane] = source[offsets[i] + lane * step]``; ``limit`` is the source's."""
    LANES = lanes_of(panel)
    whole, i = lanes // LANES * LANES, 0
    if step == 1:
        for i in range(count):
            first = load(offsets, i)
            copy_vectors(source, first, panel, i * pitch, whole)
            for lane in range(whole, lanes):
                store(panel, i * pitch + lane, load(source, first + lane))
        return
    while i < count:
        first, run = load(offsets, i), 1
        while run < LANES and i + run < count and load(offsets, i + run) - first == run:
            run += 1
        # A square reads whole vectors, of which only the run is kept: not worth it for two or one.
        squares = whole if run > 2 and first + (whole - 1) * step + LANES <= limit else 0
        if not squares:
            run = min(LANES, count - i)
        for lane in range(0, squares, LANES):
            transpose(source, first + lane * step, step, panel, i * pitch + lane, pitch, run)
        for lane in range(squares, lanes):
            for j in range(i, i + run):
                store(panel, j * pitch + lane, load(source, load(offsets, j) + lane * step))
        i += run


@njit(nogil=True, cache=True, fastmath=False)
def unpack(panel, pitch, target, offsets, step, count, lanes):
    """``target[offsets[i] + lane * step] = panel[i * pitch + lane]``."""
    LANES = lanes_of(panel)
    if step == 1:
        whole = lanes // LANES * LANES
        for i in range(count):
            first = load(offsets, i)
            copy_vectors(panel, i * pitch, target, first, whole)
            for lane in range(whole, lanes):
                store(target, first + lane, load(panel, i * pitch + lane))
        return
    for i in range(0, count, LANES):
        block = min(LANES, count - i)
        first = load(offsets, i)
        square = block == LANES and load(offsets, i + LANES - 1) - first == LANES - 1
        whole = lanes // LANES * LANES if square else 0
        for lane in range(0, whole, LANES):
            transpose(
                panel, i * pitch + lane, pitch, target, first + lane * step, step, LANES
            )  # fmt: skip
        for lane in range(whole, lanes):
            for j in range(i, i + block):
                store(target, load(offsets, j) + lane * step, load(panel, j * pitch + lane))


@njit(nogil=True, cache=True, fastmath=False)
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

        return by_numbers if isinstance(source.dtype, types.Complex) else by_vectors


_compile_copy(copy_vectors, 1, padded=False)
_compile_copy(copy_padded, 1)
_compile_copy(copy_second_padded, 2)


def transpose(source, at, pitch, target, to, to_pitch, rows):
    """``target[to + i * to_pitch + j] = source[at + j * pitch + i]``, i below rows, j below LANES.

    Whole vectors of the source are read, however few rows there are.
    """
    LANES = lanes_of(source)
    for i in range(rows):
        for j in range(LANES):
            target[to + i * to_pitch + j] = source[at + j * pitch + i]


def transpose_to(source, at, pitch, target, to, places, rows):
    """``target[to + places[i] + j] = source[at + j * pitch + i]``: as above, with lines listed."""
    LANES = lanes_of(source)
    for i in range(rows):
        for j in range(LANES):
            target[to + places[i] + j] = source[at + j * pitch + i]


def _compile_transpose(function: Callable[..., None], listed: bool) -> None:
    """Let Numba compile a transpose: a perfect shuffle of LANES vectors, log2(LANES) times over."""

    @intrinsic
    def in_registers(typing_context, source, at, pitch, target, to, lines, rows):
        i = types.int64
        signature = types.void(source, i, i, target, i, lines, i)
        size = source.dtype.bitwidth // 8
        LANES, index = vector_lanes(size), ir.IntType(64)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            vector = ir.VectorType(context.get_data_type(source.dtype), LANES)

            def address(array: int, at: ir.Value, offset: ir.Value) -> ir.Value:
                data = pointer(context, builder, signature, args, array)
                place = builder.gep(data, [builder.add(at, offset)])
                return builder.bitcast(place, vector.as_pointer())

            def line(row: int) -> ir.Value:
                if not listed:
                    return builder.mul(args[5], index(row))
                places = pointer(context, builder, signature, args, 5)
                return builder.load(builder.gep(places, [index(row)]))

            def interleaved(a: ir.Value, b: ir.Value, start: int) -> ir.Value:
                order = [start + lane // 2 + lane % 2 * LANES for lane in range(LANES)]
                return shuffled(builder, a, b, order)

            vectors = [
                builder.load(address(0, args[1], builder.mul(args[2], index(j))), align=size)
                for j in range(LANES)
            ]
            half = LANES // 2
            for _ in range(LANES.bit_length() - 1):
                vectors = [
                    interleaved(vectors[pair], vectors[pair + half], start)
                    for pair in range(half)
                    for start in (0, half)
                ]
            for row, value in enumerate(vectors):
                with builder.if_then(builder.icmp_signed("<", index(row), args[6]), likely=True):
                    builder.store(value, address(3, args[4], line(row)), align=size)
            return context.get_dummy_value()

        return signature, generate

    @overload(function)
    def compiled(source, at, pitch, target, to, lines, rows):
        def vectors(source, at, pitch, target, to, lines, rows):
            in_registers(source, at, pitch, target, to, lines, rows)

        def loops(source, at, pitch, target, to, lines, rows):
            LANES = lanes_of(source)
            for i in range(rows):
                line = load(lines, i) if listed else i * lines
                for j in range(LANES):
                    store(target, to + line + j, load(source, at + j * pitch + i))

        return loops if isinstance(source.dtype, types.Complex) else vectors


_compile_transpose(transpose, listed=False)
_compile_transpose(transpose_to, listed=True)
