"""The gradient of the input by its definition, for weights that are not finite.

The other kernels read zeros around dy, and zero times infinity would be NaN where no tap looked.
"""

from numba import njit


@njit(nogil=True, cache=True, fastmath=False)
def scatter(canvas, w, y, taps, origins, start, stop):
    """Units: sample, group, channel. Every product is added to the cell that its tap saw."""
    _, G, C, _ = canvas.shape
    K, T, P = w.shape[1], w.shape[3], y.shape[3]
    for unit in range(start, stop):
        n, g, c = unit // C // G, unit // C % G, unit % C
        canvas[n, g, c] = 0
        for k in range(K):
            for t in range(T):
                for p in range(P):
                    canvas[n, g, c, taps[t] + origins[p]] += w[g, k, c, t] * y[n, g, k, p]
