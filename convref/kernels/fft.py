"""The same through spectra: for kernels of thousands of taps, or of 31 x 31 and more.

Write F for the Fourier transform, and * for the mirror image, t to -t. With w and dy placed on a
canvas as the taps and origins lie there, the three operators are products, frequency by frequency:

    F(y)      = sum over c of  F(w*)  F(canvas)
    F(dw)     = sum over n of  F(dy*) F(canvas)
    F(canvas) = sum over k of  F(w)   F(dy)

The transform is circular, and no window leaves the canvas, so none meets itself coming round. A
large canvas is transformed block by block; in the gradient of the input, blocks add up.

An error in one frequency is an error in every output, so the bound is normwise. A transform of n
values, in arithmetic of unit roundoff u, is wrong by a few u log2(n) of their norm at most (N. J.
Higham, "Accuracy and Stability of Numerical Algorithms", second edition, theorem 24.2). So the root
mean square error of a block's outputs, where m spectra are summed, is at most

    u (c log2(n) + m) norm(x) norm(w)       (2-norms over all that is summed; c is about 20)

where direct sums are right to a few roundings of each output's own terms. An output that is small
beside ``norm(x) norm(w)`` may have no correct digit, and an exact zero may come out as something.
Integers, and numbers that are not finite, are refused before they come here: see `backends`.

It overtakes `numba` at about 1500 taps with one channel and 150 with sixteen; at 13 x 13 with eight
channels and 23 x 23 depthwise; with many channels on a map hardly larger than the kernel, never.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.blocks import Blocks, Sizes, cheapest
from convref.geometry import Geometry, spread
from convref.memory import check_fits

Array = NDArray[Any]

CACHE = 2**21
"""Bytes of spectra to work on at a time, where there are groups enough to choose from."""


@np.errstate(all="ignore")
def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each output channel sums the spectra of the input channels, times those of its kernels."""
    blocks = cheapest(geometry, *w.shape[1:3])
    canvases = unfold(geometry.canvas(x), geometry.canvas_size)
    kernels, outputs = unfold(w, geometry.kernel_size), unfold(y, geometry.output_size)
    scale, scales = exponent(w), [exponent(sample) for sample in x]
    for groups in shares(w, blocks):
        W = spectrum(kernels[groups], scale, blocks, blocks.dilations, mirrored=True)
        for canvas, output, own in zip(canvases, outputs, scales, strict=True):
            for cells, positions in blocks.spans:
                X = spectrum(canvas[groups, ..., *cells], own, blocks)
                # (G, 1, C/G, F) and (G, K/G, C/G, F) -> (G, K/G, F)
                Y = dot(X[:, None], W, axis=2)
                fill(output[groups, ..., *positions], Y, scale + own, blocks, blocks.strides)


@np.errstate(all="ignore")
def weight_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each kernel sums, over blocks and batch, the spectra of its input times its output."""
    blocks = cheapest(geometry, *w.shape[1:3])
    canvases = unfold(geometry.canvas(x), geometry.canvas_size)
    kernels, outputs = unfold(w, geometry.kernel_size), unfold(y, geometry.output_size)
    scale, own = exponent(y), exponent(x)
    for groups in shares(w, blocks):
        W = zeros(kernels[groups], blocks)
        for canvas, output in zip(canvases, outputs, strict=True):
            for cells, positions in blocks.spans:
                X = spectrum(canvas[groups, ..., *cells], own, blocks)
                dy = output[groups, ..., *positions]
                Y = spectrum(dy, scale, blocks, blocks.strides, mirrored=True)
                for k in range(W.shape[1]):
                    # (G, 1, F) * (G, C/G, F)
                    W[:, k] += Y[:, k, None] * X
        for k in range(W.shape[1]):
            fill(kernels[groups, k], W[:, k], scale + own, blocks, blocks.dilations)


@np.errstate(all="ignore")
def input_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each input channel sums the spectra of the output channels, times those of the kernels."""
    blocks = cheapest(geometry, *w.shape[1:3])
    flat = np.zeros((*x.shape[:-1], prod(geometry.canvas_size)), x.dtype)
    canvases = unfold(flat, geometry.canvas_size)
    kernels, outputs = unfold(w, geometry.kernel_size), unfold(y, geometry.output_size)
    scale, scales = exponent(w), [exponent(sample) for sample in y]
    for groups in shares(w, blocks):
        W = spectrum(kernels[groups], scale, blocks, blocks.dilations)
        for canvas, output, own in zip(canvases, outputs, scales, strict=True):
            for cells, positions in blocks.spans:
                Y = spectrum(output[groups, ..., *positions], own, blocks, blocks.strides)
                # (G, K/G, 1, F) and (G, K/G, C/G, F) -> (G, C/G, F)
                X = dot(Y[:, :, None], W, axis=1)
                seen = np.empty_like(canvas[groups, ..., *cells])
                fill(seen, X, scale + own, blocks)
                canvas[groups, ..., *cells] += seen
    geometry.take_back(flat, x)


def shares(w: Array, blocks: Blocks) -> Iterator[slice]:
    """All groups, a few at a time; raise TooLargeError where their spectra don't fit."""
    groups, filters, channels, _ = w.shape
    spectra = filters * channels + filters + channels
    one = spectra * prod(frequencies(w, blocks)) * np.result_type(w, np.complex64).itemsize
    few = min(groups, max(1, CACHE // one))
    check_fits(one * few, "the spectra of the kernels and of a block")
    yield from (slice(group, group + few) for group in range(0, groups, few))


def frequencies(values: Array, blocks: Blocks) -> Sizes:
    """Sizes of a spectrum; that of real values is symmetric, and half of it is stored."""
    *rest, last = blocks.lengths
    return (*rest, last if np.iscomplexobj(values) else last // 2 + 1)


def zeros(values: Array, blocks: Blocks) -> Array:
    """Room for the spectra of values."""
    shape = (*values.shape[: -len(blocks.lengths)], *frequencies(values, blocks))
    return np.zeros(shape, np.result_type(values, np.complex64))


def spectrum(
    values: Array, scale: int, blocks: Blocks, steps: Sizes | None = None, *, mirrored: bool = False
) -> Array:
    """The transform of ``2**-scale`` times values that lie so many cells apart on a block."""
    rank = len(blocks.lengths)
    cells: Any = tuple(map(spaced, values.shape[-rank:], steps or (1,) * rank))
    rows: Any = tuple(slice(along.stop) for along in cells[:-1])
    sizes = (*(along.stop for along in rows), blocks.lengths[-1])
    placed = np.zeros((*values.shape[:-rank], *sizes), values.dtype)
    scaled(values, -scale, placed[..., *cells])
    if mirrored:
        np.conjugate(placed, out=placed)
    found = zeros(values, blocks)
    transform = np.fft.fft if np.iscomplexobj(values) else np.fft.rfft
    # With this norm NumPy takes float32 as it is; by default it goes through float64.
    transform(placed, norm="ortho", out=found[..., *rows, :])
    for axis in range(-rank, -1):
        np.fft.fft(found, axis=axis, norm="ortho", out=found)
    return np.conjugate(found, out=found) if mirrored else found


def fill(
    out: Array, product: Array, scale: int, blocks: Blocks, steps: Sizes | None = None
) -> None:
    """The values of a product of spectra that lie so many cells apart; the product is used up."""
    rank = len(blocks.lengths)
    *grid, last = map(spaced, out.shape[-rank:], steps or (1,) * rank)
    for axis, cells in enumerate(grid, start=-rank):
        np.fft.ifft(product, axis=axis, norm="ortho", out=product)
        product = product.swapaxes(axis, -1)[..., cells].swapaxes(axis, -1)
    transform = np.fft.ifft if np.iscomplexobj(out) else np.fft.irfft
    values = transform(product, blocks.lengths[-1], norm="ortho")
    values *= np.sqrt(prod(blocks.lengths), dtype=values.real.dtype)
    scaled(values[..., last], scale, out)


def dot(left: Array, right: Array, axis: int) -> Array:
    """The sum of products along an axis."""
    left, right = np.moveaxis(left, axis, 0), np.moveaxis(right, axis, 0)
    total: Array = left[0] * right[0]
    term = np.empty_like(total)
    for a, b in zip(left[1:], right[1:], strict=True):
        total += np.multiply(a, b, out=term)
    return total


def unfold(values: Array, sizes: Sizes) -> Array:
    """A view with the positions of the last axis as axes of their own."""
    return values.reshape(*values.shape[:-1], *sizes)


def spaced(count: int, step: int) -> slice:
    """The first so many cells that lie so many apart."""
    return slice(0, spread(count, step), step)


def exponent(values: Array) -> int:
    """The power of two that takes values to less than 2: then no spectrum overflows."""
    parts = (values.real, values.imag) if np.iscomplexobj(values) else (values,)
    peaks = [max(part.max(initial=0), -part.min(initial=0)) for part in parts]
    return int(np.frexp(max(peaks))[1]) - 1


def scaled(values: Array, power: int, out: Array) -> None:
    """Fill ``out`` with ``2**power`` times the values, in two steps if one can't hold that."""
    one, limit = out.real.dtype.type(1), int(np.finfo(out.dtype).maxexp) - 1
    step = max(-limit, min(limit, power))
    np.multiply(values, np.ldexp(one, step), out=out)
    if power != step:
        out *= np.ldexp(one, power - step)
