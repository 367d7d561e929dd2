"""Groups with few filters, depthwise above all: each operator as loops over rows of positions.

A tile of filters would stay almost empty here. Instead the innermost loop runs along one row of
output positions, which the compiler turns into vectors where the row's origins lie side by side.
`width` is the length of such a row (the last output size) and `step` the distance of its origins.
"""

from numba import njit

from convref.kernels.jit.flat import load, store


@njit(nogil=True, cache=True, fastmath=False)
def forward(canvas, w, y, taps, origins, width, step, block, start, stop):
    """Units: sample, group, block of rows of positions."""
    _, G, C, S = canvas.shape
    K, T, P = w.shape[1], w.shape[3], y.shape[3]
    cells, weights, outputs = canvas.reshape(-1), w.reshape(-1), y.reshape(-1)
    blocks = -(-P // block)
    for unit in range(start, stop):
        ng, p_begin = unit // blocks, unit % blocks * block
        for p in range(p_begin, min(p_begin + block, P), width):
            for k in range(K):
                at = (ng * K + k) * P + p
                outputs[at : at + width] = 0
                for c in range(C):
                    for t in range(T):
                        weight = load(weights, ((ng % G * K + k) * C + c) * T + t)
                        first = (ng * C + c) * S + load(taps, t) + load(origins, p)
                        add_scaled(outputs, at, 1, cells, first, step, width, weight)


@njit(nogil=True, cache=True, fastmath=False)
def add_scaled(target, t, t_step, source, s, s_step, width, weight):
    """Add ``weight`` times a row of the source to a row of the target."""
    if t_step == 1 and s_step == 1:
        for j in range(width):
            store(target, t + j, load(target, t + j) + weight * load(source, s + j))
    else:
        for j in range(width):
            to = t + j * t_step
            store(target, to, load(target, to) + weight * load(source, s + j * s_step))


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def weight_grad(canvas, w, y, taps, origins, width, step, start, stop):
    """Units: weights. The sum along a row is reassociated, so that it can run in vectors."""
    N, G, C, S = canvas.shape
    K, T, P = w.shape[1], w.shape[3], y.shape[3]
    cells, weights, outputs = canvas.reshape(-1), w.reshape(-1), y.reshape(-1)
    for unit in range(start, stop):
        gk, c, t = unit // (C * T), unit // T % C, unit % T
        total = w.dtype.type(0)
        for n in range(N):
            at = (n * G * K + gk) * P
            channel = ((n * G + gk // K) * C + c) * S + load(taps, t)
            for p in range(0, P, width):
                first, row = channel + load(origins, p), w.dtype.type(0)
                if step == 1:
                    for j in range(width):
                        row += load(outputs, at + p + j) * load(cells, first + j)
                else:
                    for j in range(width):
                        row += load(outputs, at + p + j) * load(cells, first + j * step)
                total += row
        store(weights, unit, total)


@njit(nogil=True, cache=True, fastmath=False)
def input_grad(canvas, w, y, taps, origins, width, step, start, stop):
    """Units: sample, group, channel. Each clears and fills its own part of the canvas."""
    _, G, C, S = canvas.shape
    K, T, P = w.shape[1], w.shape[3], y.shape[3]
    cells, weights, outputs = canvas.reshape(-1), w.reshape(-1), y.reshape(-1)
    for unit in range(start, stop):
        ng, c = unit // C, unit % C
        cells[unit * S : (unit + 1) * S] = 0
        for p in range(0, P, width):
            for k in range(K):
                at = (ng * K + k) * P + p
                for t in range(T):
                    weight = load(weights, ((ng % G * K + k) * C + c) * T + t)
                    first = unit * S + load(taps, t) + load(origins, p)
                    add_scaled(cells, first, step, outputs, at, 1, width, weight)
