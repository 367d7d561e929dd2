"""Groups with many filters: each operator as a product of matrices, tile by tile.

The same gather, multiply and scatter as in im2col.py, but of one panel at a time: LANES positions
(or filters) by a block of depth, packed side by side so that the micro-kernel can stream them. No
more than that is ever unrolled, and what lies side by side already is not even packed. Work is cut
into units that write to separate places; every sum is taken in one order, whatever unit, panel or
lane it falls in.

| operator    | rows of a tile  | lanes           | depth   | result                     |
| ----------- | --------------- | --------------- | ------- | -------------------------- |
| forward     | filters         | positions       | c, t    | stored                     |
| weight_grad | c, t or filters | filters or c, t | n, p    | stored, perhaps transposed |
| input_grad  | c, t            | positions       | filters | scattered over the canvas  |

Rows and lanes past the last one are computed with the rest of a tile and not kept.
"""

import numpy as np
from numba import njit

from convref.kernels.jit.flat import load, store
from convref.kernels.jit.micro import lanes_of, rows_of, tile_product

DEPTH = 512
"""Numbers summed before a tile is written back: a panel of them stays in the L2 cache."""
POSITIONS = 512
"""Positions of y packed at a time by input_grad; a multiple of every number of lanes."""
LINE = 16
"""Numbers copied at a time when a matrix is transposed: about a cache line of them."""
PACK_FROM = 8
"""Tiles of rows that must share a panel for packing to pay where it is not needed."""
PACK_WEIGHTS_FROM = 4
"""Panels of positions that must share a tile of weights for input_grad to pack it."""


@njit(nogil=True, cache=True, fastmath=False)
def forward(canvas, w, y, taps, origins, blocks, splits, start, stop):
    """Units: sample, group, block of positions, split of the filters."""
    ROWS, LANES = rows_of(y), lanes_of(y)
    _, G, C, S = canvas.shape
    K, T, P = w.shape[1], w.shape[3], y.shape[3]
    cells, weights, outputs = canvas.reshape(-1), w.reshape(-1), y.reshape(-1)
    p_panels, k_tiles = -(-P // LANES), -(-K // ROWS)
    steps, packed = np.arange(C * T), np.arange(DEPTH) * LANES
    seen = (np.arange(C).reshape(-1, 1) * S + taps).ravel()  # the cell of row (c, t), less origin
    panels = np.empty(-(-p_panels // blocks) * LANES * DEPTH, y.dtype)
    tile = np.empty(ROWS * LANES, y.dtype)
    rows = np.empty(ROWS, np.int64)
    for unit in range(start, stop):
        split, block, ng = unit % splits, unit // splits % blocks, unit // splits // blocks
        group = ng % G * K * C * T
        p_begin = p_panels * block // blocks * LANES
        p_end = min(p_panels * (block + 1) // blocks * LANES, P)
        k_begin = k_tiles * split // splits * ROWS
        k_end = min(k_tiles * (split + 1) // splits * ROWS, K)
        for d in range(0, C * T, DEPTH):
            depth = min(DEPTH, C * T - d)
            for p in range(p_begin, p_end, LANES):
                if not in_place(origins, p, P, LANES, k_end - k_begin, ROWS):
                    panel, lanes = panels[(p - p_begin) * DEPTH :], min(LANES, P - p)
                    gather(cells, ng * C * S, seen, d, depth, origins, p, lanes, panel)
            for k in range(k_begin, k_end, ROWS):
                count = min(ROWS, K - k)
                for r in range(ROWS):
                    rows[r] = group + min(k + r, K - 1) * C * T
                for p in range(p_begin, p_end, LANES):
                    lanes = min(LANES, P - p)
                    if in_place(origins, p, P, LANES, k_end - k_begin, ROWS):
                        panel, panel_steps = cells[ng * C * S + load(origins, p) :], seen[d:]
                    else:
                        panel, panel_steps = panels[(p - p_begin) * DEPTH :], packed
                    sums = outputs[(ng * K + k) * P + p :]
                    if count == ROWS and lanes == LANES:
                        tile_product(
                            weights, rows, steps[d:], panel, panel_steps, depth, sums, P, d == 0
                        )
                    else:
                        if d > 0:
                            copy_tile(sums, P, tile, LANES, count, lanes)
                        tile_product(
                            weights, rows, steps[d:], panel, panel_steps, depth, tile, LANES, d == 0
                        )
                        copy_tile(tile, LANES, sums, P, count, lanes)


@njit(nogil=True, cache=True, fastmath=False)
def in_place(origins, p, P, LANES, filters, ROWS):
    """Whether the positions from p on are a whole panel side by side, and packing would not pay."""
    whole = p + LANES <= P and load(origins, p + LANES - 1) - load(origins, p) == LANES - 1
    return whole and filters < PACK_FROM * ROWS


@njit(nogil=True, cache=True, fastmath=False)
def gather(cells, base, seen, d0, depth, origins, p, lanes, panel):
    """Pack rows d0 to d0 + depth of the columns of positions p to p + lanes."""
    LANES = lanes_of(panel)
    first = load(origins, p)
    side_by_side = lanes == LANES and load(origins, p + LANES - 1) - first == LANES - 1
    for d in range(depth):
        cell = base + load(seen, d0 + d)
        if side_by_side:
            for lane in range(LANES):
                store(panel, d * LANES + lane, load(cells, cell + first + lane))
        else:
            for lane in range(lanes):
                store(panel, d * LANES + lane, load(cells, cell + load(origins, p + lane)))
            for lane in range(lanes, LANES):
                store(panel, d * LANES + lane, 0)


@njit(nogil=True, cache=True, fastmath=False)
def copy_tile(source, s_pitch, target, t_pitch, rows, lanes):
    """Copy rows x lanes numbers between two flat arrays of these pitches."""
    for r in range(rows):
        for lane in range(lanes):
            store(target, r * t_pitch + lane, load(source, r * s_pitch + lane))


@njit(nogil=True, cache=True, fastmath=False)
def weight_grad(
    left, left_rows, left_steps, right, right_rows, right_steps, w, strides,
    block, start, stop,
):  # fmt: skip
    """``w[r, lane] = sum over n, p of left[n, r, p] * right[n, lane, p]`` in each group.

    One of left and right is the canvas, the other y; an element of either lies at the sum of its
    row's offset and its step's. Right is packed. Units: group, block of rows, panel of lanes.
    """
    ROWS, LANES = rows_of(w), lanes_of(w)
    N, G = left.shape[:2]
    R, L, P = len(left_rows), len(right_rows), len(left_steps)
    a, b, weights = left.reshape(-1), right.reshape(-1), w.reshape(-1)
    a_size = left.shape[2] * left.shape[3]
    b_size = right.shape[2] * right.shape[3]
    blocks, panels = -(-R // block), -(-L // LANES)
    packed, panel = np.arange(DEPTH) * LANES, np.zeros(DEPTH * LANES, w.dtype)
    tiles, rows = np.empty(block * LANES, w.dtype), np.empty(block, np.int64)
    for unit in range(start, stop):
        lane_begin = unit % panels * LANES
        lanes = min(LANES, L - lane_begin)
        r_begin = unit // panels % blocks * block
        count = min(block, R - r_begin)
        g = unit // panels // blocks
        for r in range(block):
            rows[r] = left_rows[min(r_begin + r, R - 1)]
        tiles[:] = 0
        for n in range(N):
            for p in range(0, P, DEPTH):
                depth = min(DEPTH, P - p)
                at = (n * G + g) * b_size
                transpose(b, at, right_rows[lane_begin:], lanes, right_steps[p:], depth, panel)
                for r in range(0, count, ROWS):
                    tile_product(
                        a[(n * G + g) * a_size :], rows[r:], left_steps[p:], panel, packed, depth,
                        tiles[r * LANES :], LANES, False,
                    )  # fmt: skip
        at = g * R * L + r_begin * strides[0] + lane_begin * strides[1]
        if strides[1] == 1:
            copy_tile(tiles, LANES, weights[at:], strides[0], count, lanes)
        else:
            for lane in range(lanes):
                for r in range(count):
                    store(weights, at + r + lane * strides[1], load(tiles, r * LANES + lane))


@njit(nogil=True, cache=True, fastmath=False)
def transpose(source, base, rows, lanes, steps, depth, panel):
    """Pack ``lanes`` rows of a matrix as the lanes of a panel."""
    LANES = lanes_of(panel)
    for d_begin in range(0, depth, LINE):
        for lane in range(lanes):
            row = base + load(rows, lane)
            for d in range(d_begin, min(d_begin + LINE, depth)):
                store(panel, d * LANES + lane, load(source, row + load(steps, d)))


@njit(nogil=True, cache=True, fastmath=False)
def input_grad(canvas, w, y, taps, origins, block, start, stop):
    """Units: sample, group, block of channels. Each clears and fills its own part of the canvas."""
    ROWS, LANES = rows_of(y), lanes_of(y)
    _, G, C, S = canvas.shape
    K, T, P = w.shape[1], w.shape[3], y.shape[3]
    cells, weights, outputs = canvas.reshape(-1), w.reshape(-1), y.reshape(-1)
    blocks = -(-C // block)
    pack_weights = P > (PACK_WEIGHTS_FROM - 1) * LANES
    rows, depth = np.empty(ROWS, np.int64), np.arange(K)
    steps = depth * (ROWS if pack_weights else C * T)
    lying, packed = depth * P, depth * LANES
    panels = np.zeros(POSITIONS * K, y.dtype)
    weight_panel = np.zeros(ROWS * K, y.dtype)
    tile = np.empty(ROWS * LANES, y.dtype)
    for unit in range(start, stop):
        ng = unit // blocks
        c_begin = unit % blocks * block
        c_end = min(c_begin + block, C)
        pack = (c_end - c_begin) * T >= PACK_FROM * ROWS
        cells[(ng * C + c_begin) * S : (ng * C + c_end) * S] = 0
        for p_begin in range(0, P, POSITIONS):
            p_end = min(p_begin + POSITIONS, P)
            for p in range(p_begin, p_end, LANES):
                if pack or p + LANES > P:
                    y_rows, panel = outputs[ng * K * P + p :], panels[(p - p_begin) * K :]
                    copy_tile(y_rows, P, panel, LANES, K, min(LANES, P - p))
            for row in range(c_begin * T, c_end * T, ROWS):
                count = min(ROWS, c_end * T - row)
                for r in range(ROWS):
                    rows[r] = min(r, count - 1)
                left = weights[ng % G * K * C * T + row :]
                if pack_weights:
                    copy_tile(left, C * T, weight_panel, ROWS, K, count)
                    left = weight_panel
                for p in range(p_begin, p_end, LANES):
                    if pack or p + LANES > P:
                        panel, panel_steps = panels[(p - p_begin) * K :], packed
                    else:
                        panel, panel_steps = outputs[ng * K * P + p :], lying
                    tile_product(left, rows, steps, panel, panel_steps, K, tile, LANES, True)
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
