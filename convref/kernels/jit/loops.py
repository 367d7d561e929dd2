"""The gradient of the input by its definition, for weights that are not finite.

The other kernels read zeros around dy, and zero times infinity would be NaN where no tap looked.
"""

from convref.kernels.jit.flat import load, store, word


def scatter(words, w, y, canvas, start, stop):
    """Units: sample, group, channel. Every product is added to the cell that its tap saw."""
    taps, origins = word(words, 0), word(words, 1)
    G, K, C, T, P, S = (
        load(words, 2), load(words, 3), load(words, 4), load(words, 5), load(words, 6),
        load(words, 7),
    )  # fmt: skip
    for unit in range(start, stop):
        ng, c = unit // C, unit % C
        for cell in range(S):
            store(canvas, unit * S + cell, 0)
        for k in range(K):
            for t in range(T):
                weight = load(w, ((ng % G * K + k) * C + c) * T + t)
                for p in range(P):
                    cell = unit * S + load(taps, t) + load(origins, p)
                    product = weight * load(y, (ng * K + k) * P + p)
                    store(canvas, cell, load(canvas, cell) + product)
