"""The same through spectra: for kernels of thousands of taps, or of 31 x 31 and more.

Write F for the Fourier transform, and * for the mirror image, t to -t. With w and dy placed on a
canvas as the taps and origins lie there, the three operators are products, frequency by frequency:

    F(y)      = sum over c of  F(w*)  F(canvas)
    F(dw)     = sum over n of  F(dy*) F(canvas)
    F(canvas) = sum over k of  F(w)   F(dy)

Transforms are circular, and no window leaves the canvas, so none meets itself coming round. A large
canvas is cut into overlapping blocks, of as many positions each and the cells that those see; the
gradient of the input adds them up. One block of one sample is held at a time.

An error in one frequency is an error in every output, so the bound is normwise. A transform of n
values in arithmetic with unit roundoff u is wrong by a few u log2(n) times its norm (N. J. Higham,
"Accuracy and Stability of Numerical Algorithms", second edition, theorem 24.2), and so the root
mean square error of the outputs of a block is at most

    c u log2(n) norm(x) norm(w)             (2-norms over all that is summed; a small constant c)

where direct sums are right to a few roundings of each output's own terms. An output that is small
beside ``norm(x) norm(w)`` may have no correct digit, and a zero may come out as something else.
Integers and what is not finite are refused: see `backends`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
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


def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each output channel sums the spectra of the input channels, times those of its kernel."""
    blocks = blocks_of(geometry, w)
    scale = exponent(w)
    W = blocks.spectrum(unfold(w, geometry.kernel_size), scale, blocks.dilations, mirrored=True)
    for sample, result in zip(geometry.canvas(x), y, strict=True):
        canvas, part = unfold(sample, geometry.canvas_size), unfold(result, geometry.output_size)
        own = exponent(sample)
        for cells, positions in blocks.spans():
            X = blocks.spectrum(canvas[..., *cells], own)
            Y = np.zeros((*W.shape[:2], *X.shape[2:]), X.dtype)
            for c in range(W.shape[2]):
                Y += X[:, None, c] * W[:, :, c]  # (G, 1, F) * (G, K/G, F)
            blocks.values(Y, part[..., *positions], scale + own, blocks.strides)


def weight_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each kernel sums, over blocks and batch, the spectra of its input times its output."""
    blocks = blocks_of(geometry, w)
    canvases, scales = geometry.canvas(x), (exponent(x), exponent(y))
    W = np.zeros((*w.shape[:3], *blocks.frequencies(w)), np.result_type(w, np.complex64))
    for sample, grad in zip(canvases, y, strict=True):
        canvas, dy = unfold(sample, geometry.canvas_size), unfold(grad, geometry.output_size)
        for cells, positions in blocks.spans():
            X = blocks.spectrum(canvas[..., *cells], scales[0])
            Y = blocks.spectrum(dy[..., *positions], scales[1], blocks.strides, mirrored=True)
            for k in range(W.shape[1]):
                W[:, k] += Y[:, k, None] * X  # (G, 1, F) * (G, C/G, F)
    kernel = unfold(w, geometry.kernel_size)
    for k in range(W.shape[1]):
        blocks.values(W[:, k], kernel[:, k], sum(scales), blocks.dilations)


def input_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each input channel sums the spectra of the output channels, times those of the kernels."""
    blocks = blocks_of(geometry, w)
    scale = exponent(w)
    W = blocks.spectrum(unfold(w, geometry.kernel_size), scale, blocks.dilations)
    canvases = np.zeros((*x.shape[:-1], prod(geometry.canvas_size)), x.dtype)
    for sample, grad in zip(canvases, y, strict=True):
        canvas, dy = unfold(sample, geometry.canvas_size), unfold(grad, geometry.output_size)
        own = exponent(grad)
        for cells, positions in blocks.spans():
            Y = blocks.spectrum(dy[..., *positions], own, blocks.strides)
            X = np.zeros((*canvas.shape[:2], *Y.shape[2:]), Y.dtype)
            for k in range(W.shape[1]):
                X += Y[:, k, None] * W[:, k]  # (G, 1, F) * (G, C/G, F)
            part = np.empty_like(canvas[..., *cells])
            blocks.values(X, part, scale + own)
            canvas[..., *cells] += part
    geometry.take_back(canvases, x)


@dataclass(frozen=True)
class Blocks:
    """How a canvas is cut: every block is transformed at the same length along each axis."""

    axes: tuple[Axis, ...]
    """Those of one block: as a canvas of its own, of the length of the transform."""
    counts: Sizes
    """Blocks along each axis."""

    @property
    def lengths(self) -> Sizes:
        """Cells of a transform."""
        return tuple(axis.size for axis in self.axes)

    @property
    def strides(self) -> Sizes:
        """Cells between positions."""
        return tuple(axis.stride for axis in self.axes)

    @property
    def dilations(self) -> Sizes:
        """Cells between taps."""
        return tuple(axis.dilation for axis in self.axes)

    def cost(self, channels: int, filters: int) -> float:
        """About how long a sample takes, in hundredths of nanoseconds."""
        n, blocks = prod(self.lengths), prod(self.counts)
        spectra = channels * filters + blocks * (channels + filters)
        return n * (15 * log2(n) * spectra + 40 * blocks * channels * filters) + 5e6 * blocks

    def spans(self) -> Iterator[tuple[Slices, Slices]]:
        """The cells that each block sees, and its positions; the last ones may reach too far."""
        along = [
            [
                (
                    slice(first * axis.stride, (first + axis.output - 1) * axis.stride + axis.window),
                    slice(first, first + axis.output),
                )
                for first in range(0, count * axis.output, axis.output)
            ]
            for axis, count in zip(self.axes, self.counts, strict=True)
        ]
        for block in product(*along):
            cells, positions = zip(*block, strict=True)
            yield cells, positions

    def frequencies(self, values: Array) -> Sizes:
        """Sizes of a spectrum: that of real values is symmetric, and half of it is stored."""
        *rest, last = self.lengths
        return (*rest, last if np.iscomplexobj(values) else last // 2 + 1)

    def spectrum(
        self, values: Array, scale: int, steps: Sizes | None = None, *, mirrored: bool = False
    ) -> Array:
        """The transform of ``2**-scale`` times values that lie ``steps`` apart, or mirrored."""
        rank = len(self.lengths)
        placed = shifted(values, -scale)
        if steps and max(steps) > 1:
            sizes = map(spread, values.shape[-rank:], steps)
            placed = np.zeros((*values.shape[:-rank], *sizes), values.dtype)
            grid(placed, values.shape[-rank:], steps)[...] = shifted(values, -scale)
        transform = np.fft.fftn if np.iscomplexobj(values) else np.fft.rfftn
        if mirrored:
            placed = placed.conj()
        # With norm="ortho" NumPy stays in float32; its default goes through float64, and casts.
        found = transform(placed, self.lengths, tuple(range(-rank, 0)), norm="ortho")
        return np.conjugate(found, out=found) if mirrored else found

    def values(
        self, spectrum: Array, out: Array, scale: int, steps: Sizes | None = None
    ) -> None:
        """Fill ``out`` with the values of a product of spectra that lie ``steps`` apart."""
        rank = len(self.lengths)
        transform = np.fft.ifftn if np.iscomplexobj(out) else np.fft.irfftn
        found = transform(spectrum, self.lengths, tuple(range(-rank, 0)), norm="ortho")
        taken = grid(found, out.shape[-rank:], steps or (1,) * rank)
        out[...] = shifted(taken * np.sqrt(prod(self.lengths), dtype=found.real.dtype), scale)


def blocks_of(geometry: Geometry, w: Array) -> Blocks:
    """The cheapest cut of a canvas; raise TooLargeError where the spectra don't fit."""
    groups, filters, channels, _ = w.shape
    blocks = cheapest(geometry, channels, filters)
    spectra = groups * (filters * channels + filters + channels)
    check_fits(
        spectra * prod(blocks.frequencies(w)) * np.result_type(w, np.complex64).itemsize,
        "the spectra of the kernels and of a block",
    )
    return blocks


@lru_cache(maxsize=128)
def cheapest(geometry: Geometry, channels: int, filters: int) -> Blocks:
    """The cut that costs least, whatever the batch: so no sample's bits depend on the others."""
    cuts = (Blocks(*zip(*cut, strict=True)) for cut in product(*map(cuts_of, geometry.axes)))
    return min(cuts, key=lambda blocks: blocks.cost(channels, filters))


def cuts_of(axis: Axis) -> Iterator[tuple[Axis, int]]:
    """The ways to cut an axis: the axis of a block, and how many there are."""
    count = 1
    while True:
        most = -(-axis.output // count)
        cells = (most - 1) * axis.stride + axis.window
        block = replace(axis, size=fast_length(cells), input_dilation=1, lo=0, hi=0)
        yield block, -(-axis.output // block.output)
        if cells < max(32, 3 * axis.window // 2) or most == 1:
            return
        count += max(1, count // 2)


def fast_length(cells: int) -> int:
    """The smallest length of at least so many cells that transforms fast."""
    return min(odd << (-(-cells // odd) - 1).bit_length() for odd in ODD)


def unfold(values: Array, sizes: Sizes) -> Array:
    """The positions of the last axis as axes of their own, as a view."""
    return values.reshape(*values.shape[:-1], *sizes)


def grid(values: Array, counts: Sizes, steps: Sizes) -> Array:
    """As many values along each of the last axes, so many steps apart."""
    return values[..., *(slice(0, spread(n, step), step) for n, step in zip(counts, steps, strict=True))]


def exponent(values: Array) -> int:
    """The power of two above all values: over it, no spectrum overflows."""
    peak = max(np.abs(part).max(initial=0) for part in parts(values))
    return int(np.frexp(peak)[1])


def shifted(values: Array, power: int) -> Array:
    """``2**power`` times the values."""
    result = np.empty_like(values, order="C")
    for part, target in zip(parts(values), parts(result), strict=True):
        np.ldexp(part, power, out=target)
    return result


def parts(values: Array) -> tuple[Array, ...]:
    """The real numbers that values are made of, as views."""
    return (values.real, values.imag) if np.iscomplexobj(values) else (values,)
