"""Moving numbers to where the micro-kernels can stream them, and their results back.

A *panel* holds a matrix with its lanes side by side: ``panel[i * pitch + lane]``. Elsewhere the same
element lies at ``offsets[i] + lane * step``. Where either side goes by ones, whole vectors move;
where the two go across each other, square blocks are transposed in registers.
"""

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

from convref.kernels.jit.flat import load, store
from convref.kernels.jit.micro import lanes_of, vector_lanes


@njit(nogil=True, cache=True, fastmath=False)
def place(x, x_at, x_step, canvas, at, row_cells, row_sources, runs):
    """Copy an input, whose numbers stand ``x_step`` apart, to the cells of its canvas."""
    for i in range(len(row_cells)):
        row, source = at + load(row_cells, i), load(row_sources, i)
        for run in range(len(runs)):
            to, step = row + runs[run, 0], runs[run, 3]
            start = x_at + (source + runs[run, 1]) * x_step
            length, x_run = runs[run, 2], runs[run, 4] * x_step
            if step == 1 and x_run == 1:
                for j in range(length):
                    store(canvas, to + j, load(x, start + j))
            else:
                for j in range(length):
                    store(canvas, to + j * step, load(x, start + j * x_run))


@njit(nogil=True, cache=True, fastmath=False)
def place_all(
    x, x_strides, canvas, cells, channels, row_cells, row_sources, runs, start, stop
):  # fmt: skip
    """Fill the canvases of channels: units are (sample, channel), zero where nothing is shown."""
    x_n, x_c, x_i = x_strides
    for unit in range(start, stop):
        canvas[unit * cells : (unit + 1) * cells] = 0
        at = unit // channels * x_n + unit % channels * x_c
        place(x, at, x_i, canvas, unit * cells, row_cells, row_sources, runs)


@njit(nogil=True, cache=True, fastmath=False)
def place_last(
    x, x_n, canvas, cells, channels, row_cells, row_sources, runs, start, stop
):  # fmt: skip
    """Fill canvases ``(N, S, C)`` from inputs ``(N, I, C)``; units are (sample, row)."""
    rows = len(row_cells)
    for unit in range(start, stop):
        sample, i = unit // rows, unit % rows
        to_row = sample * cells + row_cells[i]
        from_row = sample * x_n // channels + row_sources[i]
        for run in range(len(runs)):
            cell, source, length, step, x_step = (
                runs[run, 0], runs[run, 1], runs[run, 2], runs[run, 3], runs[run, 4],
            )  # fmt: skip
            if step == 1 and x_step == 1:
                length, width = 1, length * channels
            else:
                width = channels
            for j in range(length):
                to = (to_row + cell + j * step) * channels
                start_ = (from_row + source + j * x_step) * channels
                for c in range(width):
                    store(canvas, to + c, load(x, start_ + c))


@njit(nogil=True, cache=True, fastmath=False)
def pack(source, at, offsets, step, count, lanes, panel, pitch):
    """``panel[i * pitch + lane] = source[at + offsets[i] + lane * step]``."""
    LANES = lanes_of(panel)
    if step == 1:
        for i in range(count):
            start = at + load(offsets, i)
            for lane in range(lanes):
                store(panel, i * pitch + lane, load(source, start + lane))
        return
    for i in range(0, count, LANES):
        block = min(LANES, count - i)
        first = at + load(offsets, i)
        square = block == LANES and load(offsets, i + LANES - 1) - load(offsets, i) == LANES - 1
        whole = lanes // LANES * LANES if square else 0
        for lane in range(0, whole, LANES):
            transpose(source, first + lane * step, step, panel, i * pitch + lane, pitch)
        for lane in range(whole, lanes):
            for j in range(i, i + block):
                store(panel, j * pitch + lane, load(source, at + load(offsets, j) + lane * step))


@njit(nogil=True, cache=True, fastmath=False)
def unpack(panel, pitch, target, at, offsets, step, count, lanes):
    """``target[at + offsets[i] + lane * step] = panel[i * pitch + lane]``."""
    LANES = lanes_of(panel)
    if step == 1:
        for i in range(count):
            start = at + load(offsets, i)
            for lane in range(lanes):
                store(target, start + lane, load(panel, i * pitch + lane))
        return
    for i in range(0, count, LANES):
        block = min(LANES, count - i)
        first = at + load(offsets, i)
        square = block == LANES and load(offsets, i + LANES - 1) - load(offsets, i) == LANES - 1
        whole = lanes // LANES * LANES if square else 0
        for lane in range(0, whole, LANES):
            transpose(panel, i * pitch + lane, pitch, target, first + lane * step, step)
        for lane in range(whole, lanes):
            for j in range(i, i + block):
                store(target, at + load(offsets, j) + lane * step, load(panel, j * pitch + lane))


def transpose(source, at, pitch, target, to, to_pitch):
    """``target[to + i * to_pitch + j] = source[at + j * pitch + i]`` for i, j below LANES."""
    LANES = lanes_of(source)
    for i in range(LANES):
        for j in range(LANES):
            target[to + i * to_pitch + j] = source[at + j * pitch + i]


@overload(transpose)
def _compiled(source, at, pitch, target, to, to_pitch):
    def vectors(source, at, pitch, target, to, to_pitch):
        _transpose_vectors(source, at, pitch, target, to, to_pitch)

    def loops(source, at, pitch, target, to, to_pitch):
        LANES = lanes_of(source)
        for i in range(LANES):
            for j in range(LANES):
                store(target, to + i * to_pitch + j, load(source, at + j * pitch + i))

    return loops if isinstance(source.dtype, types.Complex) else vectors


@intrinsic
def _transpose_vectors(typing_context, source, at, pitch, target, to, to_pitch):
    """`transpose` in registers: a perfect shuffle of LANES vectors, log2(LANES) times over."""
    signature = types.void(source, types.int64, types.int64, target, types.int64, types.int64)
    size = source.dtype.bitwidth // 8
    LANES, index = vector_lanes(size), ir.IntType(64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(context.get_data_type(source.dtype), LANES)

        def address(array: int, at: ir.Value, pitch: ir.Value, row: int) -> ir.Value:
            data = context.make_array(signature.args[array])(context, builder, args[array]).data
            place = builder.add(at, builder.mul(pitch, index(row)))
            return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())

        def interleaved(a: ir.Value, b: ir.Value, start: int) -> ir.Value:
            order = [start + lane // 2 + lane % 2 * LANES for lane in range(LANES)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), order)
            return builder.shuffle_vector(a, b, mask)

        rows = [
            builder.load(address(0, args[1], args[2], row), align=size) for row in range(LANES)
        ]
        half = LANES // 2
        for _ in range(LANES.bit_length() - 1):
            rows = [
                interleaved(rows[pair], rows[pair + half], start)
                for pair in range(half)
                for start in (0, half)
            ]
        for row, value in enumerate(rows):
            builder.store(value, address(3, args[4], args[5], row), align=size)
        return context.get_dummy_value()

    return signature, generate
