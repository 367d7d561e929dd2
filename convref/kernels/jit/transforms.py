"""The steps of Winograd's algorithm, as tile products: see `winograd` for the algebra.

A transform takes a small square of numbers d to ``m d m'``, for many squares at a time: one in each
lane. Numbers of one place in the square lie side by side, so both products are those of the
micro-kernel, with the matrix m for its broadcast side, and so is the sum over channels between
the transforms. Whole vectors are stored: what is too much lies where nobody reads, or where the
lanes that belong there are stored afterwards.
"""

import numpy as np

from convref.kernels.jit.flat import data, empty_like, keep, load, shifted, store, word
from convref.kernels.jit.kept import compiled
from convref.kernels.jit.micro import HEIGHTS, VECTORS, high_tile
from convref.kernels.jit.move import pack
from convref.kernels.jit.squares import RUN, find_runs, spread_out
from convref.kernels.jit.vectors import lanes_of


@compiled(fastmath=False)
def transform(matrix, m, vectors, source, at, half, out, to, far, near):
    """``out[i, j] = sum over a, b of m[i, a] * m[j, b] * source[a, b]``, lane by lane.

    ``source[a, b]`` is at ``at + outer[a] + inner[b]``, ``out[i, j]`` at ``to + i * far + j *
    near``; the words of the matrix are those of winograd.matrix, m the numbers in it, and half has
    room for a product from one side.
    """
    height, depth = load(matrix, 0), load(matrix, 1)
    rows, steps, outer, inner, halves = (
        word(matrix, 3), word(matrix, 4), word(matrix, 5), word(matrix, 6), word(matrix, 7),
    )  # fmt: skip
    line = VECTORS * lanes_of(out)
    for a in range(depth):
        high_tile(
            height, vectors, m, rows, 0, steps, source, at + load(outer, a), inner, depth, half,
            load(halves, a), line, True,
        )  # fmt: skip
    for j in range(height):
        high_tile(
            height, vectors, m, rows, 0, steps, half, j * line, halves, depth, out, to + j * near,
            far, True,
        )  # fmt: skip


@compiled(fastmath=False)
def read(matrix, m):
    """The numbers of a matrix and its divisor, which its words hold as integers."""
    for i in range(load(matrix, 0) * load(matrix, 1) + 1):
        store(m, i, load(word(matrix, 2), i))


@compiled(fastmath=False)
def product(
    rows, vectors, a, a_rows, a_steps, b, b_at, b_steps, depth, out, out_at, pitch, fresh
):  # fmt: skip
    """Tiles of all rows, by one tile of lanes."""
    r = 0
    for height in HEIGHTS:
        while rows - r >= height:
            high_tile(
                height, vectors, a, a_rows, r, a_steps, b, b_at, b_steps, depth, out,
                out_at + r * pitch, pitch, fresh,
            )  # fmt: skip
            r += height


def tiles(words, source, _, out, start, stop):
    """Units: channels. The transforms of tiles of a canvas that is stored by phase."""
    matrix, begin, end, out_frequency, out_channel = (
        word(words, 0), load(words, 1), load(words, 2), load(words, 3), load(words, 4),
    )  # fmt: skip
    seen = word(words, 5)
    height, depth = load(matrix, 0), load(matrix, 1)
    half_ = empty_like(out, height * depth * VECTORS * lanes_of(out))
    m_ = empty_like(out, height * depth + 1)
    half, m = data(half_), data(m_)
    read(matrix, m)
    for unit in range(start, stop):
        channel_tiles(
            matrix, m, seen, source, unit, begin, end, half, out, unit * out_channel, out_frequency
        )  # fmt: skip
    keep(half_, m_)


@compiled(fastmath=False)
def channel_tiles(matrix, m, seen, source, channel, begin, end, half, out, to, frequency):
    """The transforms of a channel's tiles from begin to end, a row of tiles at a time.

    ``seen`` says how tiles lie: tiles of a row, tiles of a sample, numbers of a sample and of a
    channel, and the tiles' origins.
    """
    row, each, sample_step, channel_step, origins = (
        load(seen, 0), load(seen, 1), load(seen, 2), load(seen, 3), word(seen, 4),
    )  # fmt: skip
    LANES, tile = lanes_of(out), begin
    while tile < end:
        sample, number = tile // each, tile % each
        count = min(min(row - number % row, end - tile), VECTORS * LANES)
        transform(
            matrix, m, 1 if count <= LANES else VECTORS, source,
            sample * sample_step + channel * channel_step + load(origins, number), half, out,
            to + tile - begin, load(matrix, 0) * frequency, frequency,
        )  # fmt: skip
        tile += count


def weights(words, w, _, out, start, stop):
    """Units: filters. The transforms of their kernels, with the channels that they sum in lanes."""
    matrix, filters, channels, taps = (
        word(words, 0), load(words, 1), load(words, 2), word(words, 3),
    )  # fmt: skip
    w_group, w_filter, w_channel, w_at = (
        load(words, 4), load(words, 5), load(words, 6), load(words, 7),
    )  # fmt: skip
    out_frequency, out_filter = load(words, 8), load(words, 9)
    height, depth = load(matrix, 0), load(matrix, 1)
    line = VECTORS * lanes_of(out)
    half_, m_ = empty_like(out, height * depth * line), empty_like(out, height * depth + 1)
    kernel_ = empty_like(out, depth * depth * line)
    half, m, kernel = data(half_), data(m_), data(kernel_)
    read(matrix, m)
    for unit in range(start, stop):
        at = w_at + unit // filters * w_group + unit % filters * w_filter
        for channel in range(0, channels, line):
            for t in range(depth * depth):
                first = at + channel * w_channel + load(taps, t)
                for lane in range(min(line, channels - channel)):
                    store(kernel, t * line + lane, load(w, first + lane * w_channel))
            transform(
                matrix, m, VECTORS, kernel, 0, half, out, unit * out_filter + channel,
                height * out_frequency, out_frequency,
            )  # fmt: skip
    keep(half_, m_, kernel_)


def outputs(words, u, canvas, y, start, stop):
    """Units: group, block of tiles, share of the filters. Tiles of the result.

    u holds the transforms of the kernels; those of the tiles, and their products, are scratch.
    """
    to_tiles, to_outputs, seen = word(words, 0), word(words, 1), word(words, 2)
    first, filters, shares, block, channels, total = (
        load(words, 3), load(words, 4), load(words, 5), load(words, 6), load(words, 7),
        load(words, 8),
    )  # fmt: skip
    u_frequency, u_filter, y_sample, y_group, y_channel, y_position = (
        load(words, 9), load(words, 10), load(words, 11), load(words, 12), load(words, 13),
        load(words, 14),
    )  # fmt: skip
    rows_of_y, row_of_y = load(words, 15), load(words, 16)
    size, length, line = load(to_outputs, 0), load(to_outputs, 1), VECTORS * lanes_of(y)
    tile_blocks, step = -(-total // line), (channels + 1) * line
    v_, sums_ = empty_like(y, length**2 * step), empty_like(y, length**2 * block * line)
    half_, out_ = empty_like(y, length**2 * line), empty_like(y, size**2 * line)
    m_ = empty_like(y, length**2 + size * length + 2)
    offsets = np.empty(block + 2 * channels + RUN * line, np.int64)
    v, sums, half, out, m, u_rows = (
        data(v_), data(sums_), data(half_), data(out_), data(m_), data(offsets),
    )  # fmt: skip
    u_steps = shifted(u_rows, block)
    v_steps = shifted(u_steps, channels)
    places = shifted(v_steps, channels)
    back = shifted(m, length**2 + 1)
    read(to_tiles, m)
    read(to_outputs, back)
    for c in range(channels):
        store(u_steps, c, c)
        store(v_steps, c, c * line)
    for unit in range(start, stop):
        group, part = unit // (tile_blocks * shares), unit % shares
        tile = unit // shares % tile_blocks * line
        lanes = min(line, total - tile)
        vectors = VECTORS if 2 * lanes > line else 1
        for c in range(channels):
            channel_tiles(
                to_tiles, m, seen, canvas, group * channels + c, tile, tile + lanes, half, v,
                c * line, step,
            )  # fmt: skip
        runs = find_runs(
            tile, lanes, load(seen, 0), load(seen, 1), size, y_sample, y_position, rows_of_y,
            row_of_y, places,
        )  # fmt: skip
        end = filters * (part + 1) // shares
        for begin in range(filters * part // shares, end, block):
            count = min(block, end - begin)
            for r in range(count):
                store(u_rows, r, (group * filters + begin + r) * u_filter)
            for f in range(length**2):
                product(
                    count, vectors, shifted(u, f * u_frequency), u_rows, u_steps, v, f * step,
                    v_steps, channels, sums, f * block * line, line, True,
                )  # fmt: skip
            for r in range(count):
                transform(
                    to_outputs, back, vectors, sums, r * line, half, out, 0, size * line, line
                )
                divide(out, size**2 * line, load(back, size * length))
                at = group * y_group + (first + begin + r) * y_channel
                spread_out(out, size, runs, y, at, places, row_of_y * y_position, y_position)
    keep(v_, sums_, half_, out_, m_, offsets)


def sums(words, z, v, out, start, stop):
    """Units: group, frequency, block of channels. Adds products of transforms, summed over tiles.

    z holds those of the filters' tiles of dy, v those of the channels' tiles of x.
    """
    filters, channels, length, z_frequency, z_filter, v_frequency, v_channel = (
        load(words, 0), load(words, 1), load(words, 2), load(words, 3), load(words, 4),
        load(words, 5), load(words, 6),
    )  # fmt: skip
    out_frequency, out_filter, frequencies, fresh, limit = (
        load(words, 7), load(words, 8), load(words, 9), load(words, 10) == 1, load(words, 11),
    )  # fmt: skip
    line = VECTORS * lanes_of(out)
    blocks = -(-channels // line)
    panel_ = empty_like(out, max(length, 2) * line)
    offsets = np.empty(filters + 2 * max(length, 2) + line, np.int64)
    panel, rows = data(panel_), data(offsets)
    steps = shifted(rows, filters)
    lines = shifted(steps, max(length, 2))
    lanes_at = shifted(lines, max(length, 2))
    for i in range(max(length, 2)):
        store(steps, i, i)
        store(lines, i, i * line)
    for lane in range(line):
        store(lanes_at, lane, lane * v_channel)
    for unit in range(start, stop):
        group, channel = unit // (frequencies * blocks), unit % blocks * line
        frequency, lanes = unit // blocks % frequencies, min(line, channels - channel)
        first = frequency * v_frequency + (group * channels + channel) * v_channel
        pack(shifted(v, first), limit - first, steps, lanes_at, 1, length, lanes, panel, lines)
        for r in range(filters):
            store(rows, r, (group * filters + r) * z_filter)
        product(
            filters, VECTORS if 2 * lanes > line else 1, shifted(z, frequency * z_frequency), rows,
            steps, panel, 0, lines, length, out,
            frequency * out_frequency + group * filters * out_filter + channel, out_filter, fresh,
        )  # fmt: skip
    keep(panel_, offsets)


def gradients(words, sums, _, w, start, stop):
    """Units: filters. Sums over tiles, transformed back to the taps."""
    matrix, channels, taps = word(words, 0), load(words, 1), load(words, 2)
    sums_filter, kernel = load(words, 3), load(words, 4)
    height, depth = load(matrix, 0), load(matrix, 1)
    line = VECTORS * lanes_of(w)
    half_, m_ = empty_like(w, height * depth * line), empty_like(w, height * depth + 1)
    out_ = empty_like(w, height * height * line)
    half, m, out = data(half_), data(m_), data(out_)
    read(matrix, m)
    for unit in range(start, stop):
        for channel in range(0, channels, line):
            transform(
                matrix, m, VECTORS, sums, unit * sums_filter + channel, half, out, 0,
                height * line, line,
            )  # fmt: skip
            divide(out, height * height * line, load(m, height * depth))
            for lane in range(min(line, channels - channel)):
                at = (unit * channels + channel + lane) * taps
                for i in range(kernel):
                    for j in range(kernel):
                        value = load(out, (i * height + j) * line + lane)
                        store(w, at + i * kernel + j, value)
    keep(half_, m_, out_)


@compiled(fastmath=False)
def divide(values, count, divisor):
    """Divide in place."""
    for i in range(count):
        store(values, i, load(values, i) / divisor)
