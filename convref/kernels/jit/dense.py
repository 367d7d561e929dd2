"""Groups with many filters: each operator as a product of matrices, tile by tile.

The same gather, multiply and scatter as in im2col.py, but of one panel at a time: LANES positions
(or filters) by a block of depth, packed side by side so that the micro-kernel can stream them. No
more than that is ever unrolled. Work is cut into units that write to separate places; every sum
is taken in one order, whatever unit, panel or lane it falls in.

| operator    | rows of a tile | lanes     | depth   | packed panel             |
| ----------- | -------------- | --------- | ------- | ------------------------ |
| forward     | filters        | positions | c, t    | gathered from the canvas |
| weight_grad | c, t           | filters   | n, p    | y, transposed            |
| input_grad  | c, t           | positions | filters | y; the tile is scattered |

Rows and lanes past the last one are computed with the rest of a tile and not kept.
"""

import numpy as np
from numba import njit

from convref.kernels.jit.flat import load, store
from convref.kernels.jit.micro import tile_product

DEPTH = 512
"""Numbers summed before a tile is written back: a panel of them stays in the L2 cache."""


POSITIONS = 512
"""Positions of y packed at a time by input_grad; a multiple of every number of lanes."""
LINE = 16
"""Numbers copied at a time when a matrix is transposed: about a cache line of them."""


@njit(nogil=True, cache=True, fastmath=False)
def forward(canvas, w, y, taps, origins, ROWS, LANES, block, splits, start, stop):
    """Units: sample, group, block of positions, split of the filters."""
    _, G, C, S = canvas.shape
    K, T, P = w.shape[1], w.shape[3], y.shape[3]
    cells, weights, outputs = canvas.reshape(-1), w.reshape(-1), y.reshape(-1)
    blocks = -(-P // block)
    per_split = -(-K // (splits * ROWS)) * ROWS
    steps = np.arange(C * T)
    panels = np.empty(block * DEPTH, y.dtype)
    tile = np.empty(ROWS * LANES, y.dtype)
    rows = np.empty(ROWS, np.int64)
    for unit in range(start, stop):
        split = unit % splits
        p_begin = unit // splits % blocks * block
        p_end = min(p_begin + block, P)
        ng = unit // splits // blocks
        for d in range(0, C * T, DEPTH):
            depth = min(DEPTH, C * T - d)
            for p in range(p_begin, p_end, LANES):
                panel = (p - p_begin) * DEPTH
                lanes = min(LANES, P - p)
                gather(
                    cells, ng * C * S, S, taps, d, depth, origins, p, lanes, panels, panel, LANES
                )
            for k in range(split * per_split, min((split + 1) * per_split, K), ROWS):
                for r in range(ROWS):
                    rows[r] = (ng % G * K + min(k + r, K - 1)) * C * T
                for p in range(p_begin, p_end, LANES):
                    panel = (p - p_begin) * DEPTH
                    at, count, lanes = (ng * K + k) * P + p, min(ROWS, K - k), min(LANES, P - p)
                    tile[:] = 0
                    if d > 0:
                        copy_tile(outputs, at, P, tile, 0, LANES, count, lanes)
                    tile_product(weights, 0, rows, 0, steps, d, depth, panels, panel, tile)
                    copy_tile(tile, 0, LANES, outputs, at, P, count, lanes)


@njit(nogil=True, cache=True, fastmath=False)
def gather(cells, base, S, taps, d0, depth, origins, p, lanes, panels, at, LANES):
    """Pack rows d0 to d0 + depth of the columns of positions p to p + lanes."""
    T, first = len(taps), load(origins, p)
    side_by_side = lanes == LANES and load(origins, p + LANES - 1) - first == LANES - 1
    c, t = d0 // T, d0 % T
    for row in range(at, at + depth * LANES, LANES):
        cell = base + c * S + load(taps, t)
        if side_by_side:
            for lane in range(LANES):
                store(panels, row + lane, load(cells, cell + first + lane))
        else:
            for lane in range(lanes):
                store(panels, row + lane, load(cells, cell + load(origins, p + lane)))
            for lane in range(lanes, LANES):
                store(panels, row + lane, 0)
        t += 1
        if t == T:
            c, t = c + 1, 0


@njit(nogil=True, cache=True, fastmath=False)
def copy_tile(source, s, s_pitch, target, t, t_pitch, rows, lanes):
    """Copy rows x lanes numbers between two flat arrays of these pitches."""
    for r in range(rows):
        for lane in range(lanes):
            store(target, t + r * t_pitch + lane, load(source, s + r * s_pitch + lane))


@njit(nogil=True, cache=True, fastmath=False)
def weight_grad(canvas, w, y, taps, origins, ROWS, LANES, block, start, stop):
    """Units: group, block of rows (c, t), panel of filters."""
    N, G, C, S = canvas.shape
    K, T, P = w.shape[1], w.shape[3], y.shape[3]
    cells, weights, outputs = canvas.reshape(-1), w.reshape(-1), y.reshape(-1)
    blocks, panels = -(-C * T // block), -(-K // LANES)
    panel = np.zeros(DEPTH * LANES, y.dtype)
    tiles = np.empty(block * LANES, y.dtype)
    rows = np.empty(block, np.int64)
    for unit in range(start, stop):
        k = unit % panels * LANES
        lanes = min(LANES, K - k)
        begin = unit // panels % blocks * block
        g = unit // panels // blocks
        count = min(block, C * T - begin)
        for r in range(block):
            row = min(begin + r, C * T - 1)
            rows[r] = row // T * S + taps[row % T]
        tiles[:] = 0
        for n in range(N):
            for p in range(0, P, DEPTH):
                depth = min(DEPTH, P - p)
                at = ((n * G + g) * K + k) * P + p
                transpose(outputs, at, P, lanes, depth, panel, LANES)
                for r in range(0, count, ROWS):
                    cell, tile = (n * G + g) * C * S, tiles[r * LANES :]
                    tile_product(cells, cell, rows, r, origins, p, depth, panel, 0, tile)
        for lane in range(lanes):
            for r in range(count):
                at = (g * K + k + lane) * C * T + begin + r
                store(weights, at, load(tiles, r * LANES + lane))


@njit(nogil=True, cache=True, fastmath=False)
def transpose(outputs, at, pitch, lanes, depth, panel, LANES):
    """Pack ``lanes`` rows of y as the lanes of a panel."""
    for d_begin in range(0, depth, LINE):
        for lane in range(lanes):
            for d in range(d_begin, min(d_begin + LINE, depth)):
                store(panel, d * LANES + lane, load(outputs, at + lane * pitch + d))


@njit(nogil=True, cache=True, fastmath=False)
def input_grad(canvas, w, y, taps, origins, ROWS, LANES, block, start, stop):
    """Units: sample, group, block of channels. Each clears and fills its own part of the canvas."""
    _, G, C, S = canvas.shape
    K, T, P = w.shape[1], w.shape[3], y.shape[3]
    cells, weights, outputs = canvas.reshape(-1), w.reshape(-1), y.reshape(-1)
    blocks = -(-C // block)
    rows, steps = np.arange(ROWS), np.arange(K) * ROWS
    panels = np.zeros(POSITIONS * K, y.dtype)
    weight_panel = np.zeros(ROWS * K, y.dtype)
    tile = np.empty(ROWS * LANES, y.dtype)
    for unit in range(start, stop):
        ng = unit // blocks
        c_begin = unit % blocks * block
        c_end = min(c_begin + block, C)
        cells[(ng * C + c_begin) * S : (ng * C + c_end) * S] = 0
        for p_begin in range(0, P, POSITIONS):
            p_end = min(p_begin + POSITIONS, P)
            for p in range(p_begin, p_end, LANES):
                panel = (p - p_begin) * K
                copy_tile(outputs, ng * K * P + p, P, panels, panel, LANES, K, min(LANES, P - p))
            for row in range(c_begin * T, c_end * T, ROWS):
                count = min(ROWS, c_end * T - row)
                at = ng % G * K * C * T + row
                copy_tile(weights, at, C * T, weight_panel, 0, ROWS, K, count)
                for p in range(p_begin, p_end, LANES):
                    tile[:] = 0
                    panel = (p - p_begin) * K
                    tile_product(weight_panel, 0, rows, 0, steps, 0, K, panels, panel, tile)
                    for r in range(count):
                        cell = (ng * C + (row + r) // T) * S + load(taps, (row + r) % T)
                        scatter(tile, r * LANES, cells, cell, origins, p, min(LANES, P - p))


@njit(nogil=True, cache=True, fastmath=False)
def scatter(tile, at, cells, cell, origins, p, lanes):
    """Add one row of a tile to the cells that its tap sees from positions p to p + lanes."""
    first = load(origins, p)
    if load(origins, p + lanes - 1) - first == lanes - 1:
        for i in range(lanes):
            seen = cell + first + i
            store(cells, seen, load(cells, seen) + load(tile, at + i))
    else:
        for i in range(lanes):
            seen = cell + load(origins, p + i)
            store(cells, seen, load(cells, seen) + load(tile, at + i))
