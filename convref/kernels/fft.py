"""The same through spectra: for kernels of thousands of taps, or of 31 x 31 and more.

Write F for the Fourier transform, and * for the mirror image, t to -t. With w and dy placed on a
canvas as the taps and origins lie there, the three operators are products, frequency by frequency:

    F(y)      = sum over c of  F(w*)  F(canvas)
    F(dw)     = sum over n of  F(dy*) F(canvas)
    F(canvas) = sum over k of  F(w)   F(dy)

Transforms are circular, and no window leaves the canvas, so none meets itself coming round. A large
canvas is cut into blocks, each of so many positions and the cells that those see. Neighbours
overlap; in the gradient of the input they add up.

An error in one frequency is an error in every output, so the bound is normwise. A transform of n
values, in arithmetic of unit roundoff u, is wrong by at most a few u log2(n) of their norm (N. J.
Higham, "Accuracy and Stability of Numerical Algorithms", second edition, theorem 24.2). So the root
mean square error of a block's outputs is at most

    c u log2(n) norm(x) norm(w)             (2-norms over all that is summed; c a small constant)

where direct sums are right to a few roundings of each output's own terms. An output that is small
beside ``norm(x) norm(w)`` may have no correct digit, and an exact zero may come out as something.
Integers, and numbers that are not finite, are refused: see `backends`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import product
from math import log2, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.geometry import Axis, Geometry, spread
from convref.memory import check_fits

Array = NDArray[Any]
Sizes = tuple[int, ...]
Slices = tuple[slice, ...]

ODD = (1, 3, 5, 9, 15, 25, 27, 45, 75)
"""Lengths that transform fast are these, times a power of two."""
CACHE = 2**21
"""Bytes of spectra to work on at a time, where there are groups enough to choose from."""


def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each output channel sums the spectra of the input channels, times those of its kernels."""
    blocks = cheapest(geometry, *w.shape[1:3])
    canvases = unfold(geometry.canvas(x), geometry.canvas_size)
    kernels, outputs = unfold(w, geometry.kernel_size), unfold(y, geometry.output_size)
    scale, scales = exponent(w), [exponent(canvas) for canvas in canvases]
    for groups in blocks.shares(w):
        W = blocks.spectrum(kernels[groups], scale, blocks.dilations, mirrored=True)
        for canvas, output, own in zip(canvases, outputs, scales, strict=True):
            for cells, positions in blocks.spans:
                X = blocks.spectrum(canvas[groups, ..., *cells], own)
                # (G, 1, C/G, F) and (G, K/G, C/G, F) -> (G, K/G, F)
                Y = dot(X[:, None], W, axis=2)
                blocks.values(Y, scale + own, output[groups, ..., *positions], blocks.strides)


def weight_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each kernel sums, over blocks and batch, the spectra of its input times its output."""
    blocks = cheapest(geometry, *w.shape[1:3])
    canvases = unfold(geometry.canvas(x), geometry.canvas_size)
    kernels, outputs = unfold(w, geometry.kernel_size), unfold(y, geometry.output_size)
    scale, own = exponent(y), exponent(x)
    for groups in blocks.shares(w):
        W = blocks.zeros(kernels[groups])
        for canvas, output in zip(canvases, outputs, strict=True):
            for cells, positions in blocks.spans:
                X = blocks.spectrum(canvas[groups, ..., *cells], own)
                dy = output[groups, ..., *positions]
                Y = blocks.spectrum(dy, scale, blocks.strides, mirrored=True)
                for k in range(W.shape[1]):
                    # (G, 1, F) * (G, C/G, F)
                    W[:, k] += Y[:, k, None] * X
        for k in range(W.shape[1]):
            blocks.values(W[:, k], scale + own, kernels[groups, k], blocks.dilations)


def input_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each input channel sums the spectra of the output channels, times those of the kernels."""
    blocks = cheapest(geometry, *w.shape[1:3])
    flat = np.zeros((*x.shape[:-1], prod(geometry.canvas_size)), x.dtype)
    canvases = unfold(flat, geometry.canvas_size)
    kernels, outputs = unfold(w, geometry.kernel_size), unfold(y, geometry.output_size)
    scale, scales = exponent(w), [exponent(output) for output in outputs]
    for groups in blocks.shares(w):
        W = blocks.spectrum(kernels[groups], scale, blocks.dilations)
        for canvas, output, own in zip(canvases, outputs, scales, strict=True):
            for cells, positions in blocks.spans:
                Y = blocks.spectrum(output[groups, ..., *positions], own, blocks.strides)
                # (G, K/G, 1, F) and (G, K/G, C/G, F) -> (G, C/G, F)
                X = dot(Y[:, :, None], W, axis=1)
                seen = np.empty_like(canvas[groups, ..., *cells])
                blocks.values(X, scale + own, seen)
                canvas[groups, ..., *cells] += seen
    geometry.take_back(flat, x)


@dataclass(frozen=True)
class Blocks:
    """How a canvas is cut into blocks, which are all transformed at the same lengths."""

    axes: tuple[Axis, ...]
    """Those of one block: of a canvas as long as the transform, and as many positions as fit."""
    counts: Sizes
    """Blocks along each axis."""

    @cached_property
    def lengths(self) -> Sizes:
        """Cells of a transform."""
        return tuple(axis.size for axis in self.axes)

    @cached_property
    def strides(self) -> Sizes:
        """Cells between positions."""
        return tuple(axis.stride for axis in self.axes)

    @cached_property
    def dilations(self) -> Sizes:
        """Cells between taps."""
        return tuple(axis.dilation for axis in self.axes)

    @cached_property
    def spans(self) -> list[tuple[Slices, Slices]]:
        """The cells that each block sees, and its positions; the last may reach past the end."""
        along = map(spans_of, self.axes, self.counts)
        pairs = (zip(*block, strict=True) for block in product(*along))
        return [(tuple(cells), tuple(positions)) for cells, positions in pairs]

    def cost(self, channels: int, filters: int) -> float:
        """About how many nanoseconds one group of one sample takes."""
        n, blocks = prod(self.lengths), prod(self.counts)
        spectra = channels * filters + blocks * (channels + filters)
        return n * (0.15 * log2(n) * spectra + 0.4 * blocks * channels * filters) + 1e5 * blocks

    def shares(self, w: Array) -> Iterator[slice]:
        """All groups, a few at a time; raise TooLargeError where their spectra don't fit."""
        groups, filters, channels, _ = w.shape
        spectra = filters * channels + filters + channels
        one = spectra * prod(self.frequencies(w)) * np.result_type(w, np.complex64).itemsize
        few = min(groups, max(1, CACHE // one))
        check_fits(one * few, "the spectra of the kernels and of a block")
        yield from (slice(group, group + few) for group in range(0, groups, few))

    def frequencies(self, values: Array) -> Sizes:
        """Sizes of a spectrum; that of real values is symmetric, and half of it is stored."""
        *rest, last = self.lengths
        return (*rest, last if np.iscomplexobj(values) else last // 2 + 1)

    def zeros(self, values: Array) -> Array:
        """Room for the spectra of values."""
        lead = values.shape[: -len(self.lengths)]
        return np.zeros((*lead, *self.frequencies(values)), np.result_type(values, np.complex64))

    def spectrum(
        self, values: Array, scale: int, steps: Sizes | None = None, *, mirrored: bool = False
    ) -> Array:
        """The transform of ``2**-scale`` times values that lie so many cells apart."""
        rank = len(self.lengths)
        counts, steps = values.shape[-rank:], steps or (1,) * rank
        *rows, _ = map(spread, counts, steps)
        placed = np.zeros((*values.shape[:-rank], *rows, self.lengths[-1]), values.dtype)
        scaled(values, -scale, placed[spaced(counts, steps)])
        if mirrored:
            np.conjugate(placed, out=placed)
        found, filled = self.zeros(values), (..., *map(slice, rows), slice(None))
        transform = np.fft.fft if np.iscomplexobj(values) else np.fft.rfft
        # With this norm NumPy takes float32 as it is; by default it goes through float64.
        transform(placed, norm="ortho", out=found[filled])
        for axis in range(-rank, -1):
            np.fft.fft(found, axis=axis, norm="ortho", out=found)
        return np.conjugate(found, out=found) if mirrored else found

    def values(self, product: Array, scale: int, out: Array, steps: Sizes | None = None) -> None:
        """Fill ``out`` with the values of a product of spectra, which is used up."""
        rank = len(self.lengths)
        counts, steps = out.shape[-rank:], steps or (1,) * rank
        for axis in range(-rank, -1):
            np.fft.ifft(product, axis=axis, norm="ortho", out=product)
            rows = np.moveaxis(product, axis, -1)[spaced(counts[axis:][:1], steps[axis:][:1])]
            product = np.moveaxis(rows, -1, axis)
        transform = np.fft.ifft if np.iscomplexobj(out) else np.fft.irfft
        found = transform(product, self.lengths[-1], norm="ortho")
        found *= np.sqrt(prod(self.lengths), dtype=found.real.dtype)
        scaled(found[spaced(counts[-1:], steps[-1:])], scale, out)


@lru_cache(maxsize=128)
def cheapest(geometry: Geometry, filters: int, channels: int) -> Blocks:
    """The cut that takes least time, for so many filters and channels of a group."""
    cuts = (Blocks(*zip(*cut, strict=True)) for cut in product(*map(cuts_of, geometry.axes)))
    return min(cuts, key=lambda blocks: blocks.cost(channels, filters))


def cuts_of(axis: Axis) -> Iterator[tuple[Axis, int]]:
    """Ways to cut an axis: that of a block, and how many there are."""
    count = 1
    while True:
        positions = -(-axis.output // count)
        cells = (positions - 1) * axis.stride + axis.window
        block = replace(axis, size=fast_length(cells), input_dilation=1, lo=0, hi=0)
        yield block, -(-axis.output // block.output)
        if positions == 1 or cells < max(32, 3 * axis.window // 2):
            return
        count += max(1, count // 2)


def spans_of(axis: Axis, count: int) -> Iterator[tuple[slice, slice]]:
    """The cells and positions of each block along an axis."""
    seen = spread(axis.output, axis.stride) - 1 + axis.window
    for first in range(0, count * axis.output, axis.output):
        start = first * axis.stride
        yield slice(start, start + seen), slice(first, first + axis.output)


def fast_length(cells: int) -> int:
    """The shortest length of at least so many cells that transforms fast."""
    return min(odd << (-(-cells // odd) - 1).bit_length() for odd in ODD)


def spaced(counts: Sizes, steps: Sizes) -> Any:
    """Along each of the last axes, the first so many values that lie so many cells apart."""
    return (..., *(slice(0, spread(n, step), step) for n, step in zip(counts, steps, strict=True)))


def unfold(values: Array, sizes: Sizes) -> Array:
    """A view with the positions of the last axis as axes of their own."""
    return values.reshape(*values.shape[:-1], *sizes)


def dot(left: Array, right: Array, axis: int) -> Array:
    """The sum of products along an axis."""
    left, right = np.moveaxis(left, axis, 0), np.moveaxis(right, axis, 0)
    total: Array = left[0] * right[0]
    term = np.empty_like(total)
    for a, b in zip(left[1:], right[1:], strict=True):
        total += np.multiply(a, b, out=term)
    return total


def exponent(values: Array) -> int:
    """The power of two that takes values to less than 2: then no spectrum overflows."""
    parts = (values.real, values.imag) if np.iscomplexobj(values) else (values,)
    peaks = [max(part.max(initial=0), -part.min(initial=0)) for part in parts]
    return int(np.frexp(max(peaks))[1]) - 1


def scaled(values: Array, power: int, out: Array) -> None:
    """Fill ``out`` with ``2**power`` times the values, in two steps that a float can hold."""
    one, half = out.real.dtype.type(1), power // 2
    np.multiply(values, np.ldexp(one, half), out=out)
    out *= np.ldexp(one, power - half)
