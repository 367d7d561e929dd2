"""Groups with many filters: each operator as a product of matrices, tile by tile.

The same gather, multiply and scatter as in im2col.py, but of one panel at a time: LANES positions
(or filters) by a block of depth, packed side by side so that the micro-kernel can stream them. No
more than that is ever unrolled. Work is cut into units that write to separate places; every sum
is taken in one order, whatever unit, panel or lane it falls in.

| operator    | rows of a tile   | lanes     | depth   | packed panel            |
| ----------- | ---------------- | --------- | ------- | ----------------------- |
| forward     | filters          | positions | c, t    | gathered from canvas    |
| weight_grad | c, t             | filters   | n, p    | y, transposed           |
| input_grad  | c, t             | positions | filters | y; the tile is scattered |
"""

import numpy as np
from numba import njit

from convref.kernels.jit.micro import tile_product

DEPTH = 512
"""Numbers summed before a tile is written back: a panel of them stays in the L2 cache."""


@njit(nogil=True, cache=True, fastmath=False)
def forward(canvas, w, y, taps, origins, ROWS, LANES, block, splits, start, stop):  # type: ignore[no-untyped-def]
    """Units: sample, group, block of positions, split of the filters."""
    _, G, C, S = canvas.shape
    K, T, P = w.shape[1], w.shape[3], y.shape[3]
    cells, weights, outputs = canvas.reshape(-1), w.reshape(-1), y.reshape(-1)
    blocks = -(-P // block)
    per_split = -(-K // (splits * ROWS)) * ROWS
    steps = np.arange(C * T)
    panels = np.empty(-(-block // LANES) * DEPTH * LANES, y.dtype)
    tile = np.empty(ROWS * LANES, y.dtype)
    rows = np.empty(ROWS, np.int64)
    for unit in range(start, stop):
        split = unit % splits
        p_begin = unit // splits % blocks * block
        p_end = min(p_begin + block, P)
        ng = unit // splits // blocks
        first_weight = ng % G * K * C * T
        for d in range(0, C * T, DEPTH):
            depth = min(DEPTH, C * T - d)
            for p in range(p_begin, p_end, LANES):
                panel = (p - p_begin) * DEPTH
                gather(
                    cells, ng * C * S, S, taps, d, depth, origins[p : min(p + LANES, P)],
                    panels, panel, LANES,
                )  # fmt: skip
            for k in range(split * per_split, min((split + 1) * per_split, K), ROWS):
                count = min(ROWS, K - k)
                for r in range(ROWS):  # rows past the last filter repeat it and are not kept
                    rows[r] = min(k + r, K - 1) * C * T
                for p in range(p_begin, p_end, LANES):
                    lanes = min(LANES, P - p)
                    at = (ng * K + k) * P + p
                    load_tile(tile, outputs, at, P, count, lanes, LANES, d == 0)
                    tile_product(
                        weights, first_weight, rows, 0, steps, d, depth,
                        panels, (p - p_begin) * DEPTH, tile,
                    )  # fmt: skip
                    for r in range(count):
                        for lane in range(lanes):
                            outputs[at + r * P + lane] = tile[r * LANES + lane]


@njit(nogil=True, cache=True, fastmath=False)
def load_tile(tile, outputs, at, pitch, count, lanes, LANES, fresh):  # type: ignore[no-untyped-def]
    """Start a tile from zero, or from the sums that an earlier block of depth left."""
    tile[:] = 0
    if not fresh:
        for r in range(count):
            for lane in range(lanes):
                tile[r * LANES + lane] = outputs[at + r * pitch + lane]


@njit(nogil=True, cache=True, fastmath=False)
def gather(cells, base, S, taps, d0, depth, origins, panels, at, LANES):  # type: ignore[no-untyped-def]
    """Rows d0 to d0 + depth of the columns at these origins; lanes past the last one are zero."""
    T, lanes = len(taps), len(origins)
    side_by_side = lanes == LANES and origins[-1] - origins[0] == LANES - 1
    for d in range(depth):
        first = base + (d0 + d) // T * S + taps[(d0 + d) % T]
        row = at + d * LANES
        if side_by_side:
            first += origins[0]
            for lane in range(LANES):
                panels[row + lane] = cells[first + lane]
        else:
            for lane in range(lanes):
                panels[row + lane] = cells[first + origins[lane]]
            for lane in range(lanes, LANES):
                panels[row + lane] = 0


@njit(nogil=True, cache=True, fastmath=False)
def weight_grad(canvas, w, y, taps, origins, ROWS, LANES, block, start, stop):  # type: ignore[no-untyped-def]
    """Units: group, block of rows (c, t), panel of filters."""
    N, G, C, S = canvas.shape
    K, T, P = w.shape[1], w.shape[3], y.shape[3]
    cells, weights, outputs = canvas.reshape(-1), w.reshape(-1), y.reshape(-1)
    blocks, panels = -(-C * T // block), -(-K // LANES)
    panel = np.empty(DEPTH * LANES, y.dtype)
    tiles = np.empty((block // ROWS, ROWS * LANES), y.dtype)
    rows = np.empty(block, np.int64)
    for unit in range(start, stop):
        k = unit % panels * LANES
        lanes = min(LANES, K - k)
        begin = unit // panels % blocks * block
        g = unit // panels // blocks
        count = min(block, C * T - begin)
        for r in range(block):  # rows past the last one repeat it and are not kept
            row = min(begin + r, C * T - 1)
            rows[r] = row // T * S + taps[row % T]
        tiles[:] = 0
        for n in range(N):
            for p in range(0, P, DEPTH):
                depth = min(DEPTH, P - p)
                transpose(outputs, ((n * G + g) * K + k) * P + p, P, lanes, depth, panel, LANES)
                for r in range(0, count, ROWS):
                    tile_product(
                        cells, (n * G + g) * C * S, rows, r, origins, p, depth,
                        panel, 0, tiles[r // ROWS],
                    )  # fmt: skip
        for r in range(count):
            for lane in range(lanes):
                at = (g * K + k + lane) * C * T + begin + r
                weights[at] = tiles[r // ROWS, r % ROWS * LANES + lane]


@njit(nogil=True, cache=True, fastmath=False)
def transpose(outputs, at, pitch, lanes, depth, panel, LANES):  # type: ignore[no-untyped-def]
    """Pack rows of y as lanes; lanes past the last one are zero."""
    if lanes < LANES:
        panel[:] = 0
    for lane in range(lanes):
        for d in range(depth):
            panel[d * LANES + lane] = outputs[at + lane * pitch + d]


@njit(nogil=True, cache=True, fastmath=False)
def input_grad(canvas, w, y, taps, origins, ROWS, LANES, block, start, stop):  # type: ignore[no-untyped-def]
    """Units: sample, group, block of channels. Each clears and fills its own part of the canvas."""
    _, G, C, S = canvas.shape
    K, T, P = w.shape[1], w.shape[3], y.shape[3]
    cells, weights, outputs = canvas.reshape(-1), w.reshape(-1), y.reshape(-1)
    blocks = -(-C // block)
    steps = np.arange(K) * (C * T)
    panel = np.empty(K * LANES, y.dtype)
    tile = np.empty(ROWS * LANES, y.dtype)
    rows = np.empty(ROWS, np.int64)
    for unit in range(start, stop):
        ng = unit // blocks
        c_begin = unit % blocks * block
        c_end = min(c_begin + block, C)
        cells[(ng * C + c_begin) * S : (ng * C + c_end) * S] = 0
        for p in range(0, P, LANES):
            lanes = min(LANES, P - p)
            for k in range(K):
                for lane in range(lanes):
                    panel[k * LANES + lane] = outputs[(ng * K + k) * P + p + lane]
                for lane in range(lanes, LANES):
                    panel[k * LANES + lane] = 0
            for row in range(c_begin * T, c_end * T, ROWS):
                count = min(ROWS, c_end * T - row)
                for r in range(ROWS):  # rows past the last one repeat it and are not kept
                    rows[r] = min(row + r, C * T - 1)
                tile[:] = 0
                tile_product(weights, ng % G * K * C * T, rows, 0, steps, 0, K, panel, 0, tile)
                for r in range(count):
                    first = (ng * C + (row + r) // T) * S + taps[(row + r) % T]
                    scatter(tile, r * LANES, cells, first, origins[p : p + lanes])


@njit(nogil=True, cache=True, fastmath=False)
def scatter(tile, at, cells, first, origins):  # type: ignore[no-untyped-def]
    """Add one row of a tile to the cells that its tap sees."""
    lanes = len(origins)
    if origins[-1] - origins[0] == lanes - 1:
        first += origins[0]
        for lane in range(lanes):
            cells[first + lane] += tile[at + lane]
    else:
        for lane in range(lanes):
            cells[first + origins[lane]] += tile[at + lane]
