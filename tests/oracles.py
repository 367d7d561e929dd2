"""The convolution and its gradients a second time, by the definition.

Nothing here is imported from convref, and nothing is shared with it: the input is spread out,
padded by np.pad and cropped axis by axis; each tap is a strided slice of that; padding words are
resolved by the formulas in TensorFlow's documentation. Any dtype that np.einsum takes will do, so
the same lines serve as exact integers and as longdouble references.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NUMPY_MODE = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class Plan(NamedTuple):
    """The words, one entry per spatial axis, with the sizes they lead to."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    input_dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    output: tuple[int, ...]
    groups: int
    mode: str


def per_axis(value: Any, rank: int) -> tuple[Any, ...]:
    return (value,) * rank if isinstance(value, int | str) else tuple(value)


def resolve(padding: Any, size: int, window: int, stride: int) -> tuple[int, int]:
    """Cells before and after one axis of ``size`` cells, for a word, an int or a pair.

    The total of "same" is as TensorFlow's documentation of tf.nn.convolution states it, by cases.
    """
    if padding == "valid":
        return 0, 0
    if padding == "causal":
        return window - 1, 0
    if padding in ("same", "same_lower"):
        left_over = size % stride
        total = max(window - (left_over if left_over else stride), 0)
        return (total // 2, -(-total // 2)) if padding == "same" else (-(-total // 2), total // 2)
    return (padding, padding) if isinstance(padding, int) else tuple(padding)


def plan(input_size: tuple[int, ...], kernel: tuple[int, ...], words: dict[str, Any]) -> Plan:
    rank = len(kernel)
    stride, dilation, step, padding = (
        per_axis(words.get(word, default), rank)
        for word, default in (
            ("stride", 1),
            ("dilation", 1),
            ("input_dilation", 1),
            ("padding", "valid"),
        )
    )
    windows = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    sizes = [(n - 1) * s + 1 if n else 0 for n, s in zip(input_size, step, strict=True)]
    pads = tuple(map(resolve, padding, sizes, windows, stride))
    output = tuple(
        len(range(0, lo + size + hi - window + 1, by))
        for (lo, hi), size, window, by in zip(pads, sizes, windows, stride, strict=True)
    )
    mode = words.get("padding_mode", "zeros")
    return Plan(kernel, stride, dilation, step, pads, output, words.get("groups", 1), mode)


def channels_first(array: Array, rank: int, words: dict[str, Any]) -> Array:
    last = words.get("layout") == "channels_last"
    return np.moveaxis(array, -1, -rank - 1) if last else array


def in_layout(array: Array, rank: int, words: dict[str, Any]) -> Array:
    """A channels-first array in the layout of the words, C-contiguous."""
    last = words.get("layout") == "channels_last"
    return np.ascontiguousarray(np.moveaxis(array, -rank - 1, -1) if last else array)


def padded(x: Array, how: Plan) -> Array:
    """``x (..., *input)`` spread out, padded, then cropped, one axis after the other."""
    rank = len(how.kernel)
    for axis, step, (lo, hi) in zip(range(-rank, 0), how.input_dilation, how.pads, strict=True):
        x = np.moveaxis(x, axis, -1)
        cells = np.zeros((*x.shape[:-1], max(0, (x.shape[-1] - 1) * step + 1)), x.dtype)
        cells[..., ::step] = x
        widths = [(0, 0)] * (x.ndim - 1) + [(max(lo, 0), max(hi, 0))]
        cells = np.pad(cells, widths, NUMPY_MODE[how.mode])
        cells = cells[..., max(-lo, 0) : cells.shape[-1] - max(-hi, 0)]
        x = np.moveaxis(cells, -1, axis)
    return x


def windows(canvas: Array, how: Plan) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Each tap, with what it sees at every output position: ``(N, G, C/G, P)``."""
    for tap in np.ndindex(how.kernel):
        spans = (
            slice(k * d, k * d + (o - 1) * s + 1, s)
            for k, d, o, s in zip(tap, how.dilation, how.output, how.stride, strict=True)
        )
        seen = canvas[..., *spans]
        lead, channels = seen.shape[: -len(tap) - 1], seen.shape[-len(tap) - 1]
        yield tap, seen.reshape(prod(lead), how.groups, channels // how.groups, prod(how.output))


def by_group(w: Array, tap: tuple[int, ...], groups: int) -> Array:
    """One tap of the weights ``(G, K/G, C/G)``."""
    return w[:, :, *tap].reshape(groups, len(w) // groups, w.shape[1])


def rows(dy: Array, how: Plan) -> Array:
    """``dy (..., K, *output)`` as ``(N, G, K/G, P)``."""
    *lead, filters = dy.shape[: -len(how.kernel)]
    return dy.reshape(prod(lead), how.groups, filters // how.groups, prod(how.output))


def forward(x: Array, w: Array, bias: Array | None = None, **words: Any) -> Array:
    rank = w.ndim - 2
    x = channels_first(x, rank, words)
    how = plan(x.shape[-rank:], w.shape[2:], words)
    y = 0
    for tap, seen in windows(padded(x, how), how):
        y = y + np.einsum("ngcp,gkc->ngkp", seen, by_group(w, tap, how.groups))
    y = y.reshape(*x.shape[: -rank - 1], len(w), *how.output)
    if bias is not None:
        y = y + bias.reshape(-1, *[1] * rank)
    return in_layout(y, rank, words)


def weight_grad(x: Array, dy: Array, kernel: tuple[int, ...], **words: Any) -> Array:
    rank = len(kernel)
    x, dy = channels_first(x, rank, words), channels_first(dy, rank, words)
    how = plan(x.shape[-rank:], kernel, words)
    filters, channels = dy.shape[-rank - 1], x.shape[-rank - 1]
    dw = np.zeros((filters, channels // how.groups, *kernel), np.result_type(x, dy))
    for tap, seen in windows(padded(x, how), how):
        grad = np.einsum("ngcp,ngkp->gkc", seen, rows(dy, how))
        dw[:, :, *tap] = grad.reshape(dw.shape[:2])
    return dw


def input_grad(dy: Array, w: Array, input_size: tuple[int, ...], **words: Any) -> Array:
    """Follow each cell of the padded input back to the element it is a copy of."""
    rank = w.ndim - 2
    dy = channels_first(dy, rank, words)
    how = plan(input_size, w.shape[2:], words)
    shape = (*dy.shape[: -rank - 1], w.shape[1] * how.groups, *input_size)
    dx = np.zeros(prod(shape) + 1, np.result_type(dy, w))  # element 0 collects the padding
    labels = np.arange(1, prod(shape) + 1).reshape(shape)
    for tap, source in windows(padded(labels, how), how):
        grad = np.einsum("ngkp,gkc->ngcp", rows(dy, how), by_group(w, tap, how.groups))
        np.add.at(dx, source, grad)
    return in_layout(dx[1:].reshape(shape), rank, words)


def levels(
    sums: Array, multipliers: list[Fraction], zero_point: int, limits: tuple[int, int]
) -> Array:
    """Sums ``(K, P)`` as levels: times a multiplier each, rounded to even, saturated."""
    found = np.empty(sums.shape, np.int64)
    for (k, p), number in np.ndenumerate(sums):
        level = round(int(number) * multipliers[k]) + zero_point  # of a Fraction, ties to even
        found[k, p] = min(max(level, limits[0]), limits[1])
    return found
