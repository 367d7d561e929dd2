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
values, in arithmetic of unit roundoff u, is wrong by at most a few u log2(n) times their norm (N. J.
Higham, "Accuracy and Stability of Numerical Algorithms", second edition, theorem 24.2), and so the
root mean square error of a block's outputs is at most

    c u log2(n) norm(x) norm(w)             (2-norms over all that is summed; c a small constant)

where direct sums are right to a few roundings of each output's own terms. An output that is small
beside ``norm(x) norm(w)`` may have no correct digit, and an exact zero may come out as something.
Integers, and numbers that are not finite, are refused: see `backends`.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import product
from math import log2, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.geometry import Axis, Geometry, spread
from convref.memory import check_fits
from convref.threads import num_threads

Array = NDArray[Any]
Sizes = tuple[int, ...]
Slices = tuple[slice, ...]

ODD = (1, 3, 5, 9, 15, 25, 27, 45, 75)
"""Lengths that transform fast are these, times a power of two."""
CACHE = 2**21
"""Bytes of spectra that are worked on at a time, where there are groups enough to choose from."""
WORTH_A_THREAD = 1e6
"""Nanoseconds of work from which on it pays to start threads."""


def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each output channel sums the spectra of the input channels, times those of its kernels."""
    blocks = blocks_of(geometry, w)
    canvases = unfold(geometry.canvas(x), geometry.canvas_size)
    kernels, outputs = unfold(w, geometry.kernel_size), unfold(y, geometry.output_size)
    scale, scales = exponent(w), [exponent(canvas) for canvas in canvases]

    def share(groups: slice, filters: slice) -> None:
        W = blocks.spectrum(kernels[groups, filters], scale, blocks.dilations, mirrored=True)
        samples = zip(canvases[:, groups], outputs[:, groups, filters], scales, strict=True)
        for canvas, output, own in samples:
            for cells, positions in blocks.spans:
                X = blocks.spectrum(canvas[..., *cells], own)
                # (G, 1, C/G, F) and (G, K/G, C/G, F) -> (G, K/G, F)
                Y = dot(X[:, None], W, axis=2)
                blocks.values(Y, scale + own, output[..., *positions], blocks.strides)

    blocks.share_out(share, w, w.shape[1], len(x))


def weight_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each kernel sums, over blocks and batch, the spectra of its input times its output."""
    blocks = blocks_of(geometry, w)
    canvases = unfold(geometry.canvas(x), geometry.canvas_size)
    kernels, outputs = unfold(w, geometry.kernel_size), unfold(y, geometry.output_size)
    scale, own = exponent(y), exponent(canvases)

    def share(groups: slice, filters: slice) -> None:
        target = kernels[groups, filters]
        W = blocks.zeros(target)
        for canvas, dy in zip(canvases[:, groups], outputs[:, groups, filters], strict=True):
            for cells, positions in blocks.spans:
                X = blocks.spectrum(canvas[..., *cells], own)
                Y = blocks.spectrum(dy[..., *positions], scale, blocks.strides, mirrored=True)
                for k in range(W.shape[1]):
                    # (G, 1, F) * (G, C/G, F)
                    W[:, k] += Y[:, k, None] * X
        for k in range(W.shape[1]):
            blocks.values(W[:, k], scale + own, target[:, k], blocks.dilations)

    blocks.share_out(share, w, w.shape[1], len(x))


def input_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each input channel sums the spectra of the output channels, times those of the kernels."""
    blocks = blocks_of(geometry, w)
    flat = np.zeros((*x.shape[:-1], prod(geometry.canvas_size)), x.dtype)
    canvases = unfold(flat, geometry.canvas_size)
    kernels, outputs = unfold(w, geometry.kernel_size), unfold(y, geometry.output_size)
    scale, scales = exponent(w), [exponent(output) for output in outputs]

    def share(groups: slice, channels: slice) -> None:
        W = blocks.spectrum(kernels[groups, :, channels], scale, blocks.dilations)
        samples = zip(canvases[:, groups, channels], outputs[:, groups], scales, strict=True)
        for canvas, dy, own in samples:
            for cells, positions in blocks.spans:
                Y = blocks.spectrum(dy[..., *positions], own, blocks.strides)
                # (G, K/G, 1, F) and (G, K/G, C/G, F) -> (G, C/G, F)
                X = dot(Y[:, :, None], W, axis=1)
                seen = np.empty_like(canvas[..., *cells])
                blocks.values(X, scale + own, seen)
                canvas[..., *cells] += seen

    blocks.share_out(share, w, w.shape[2], len(x))
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
        along = []
        for axis, count in zip(self.axes, self.counts, strict=True):
            seen = spread(axis.output, axis.stride) - 1 + axis.window
            starts = [(block * axis.output, axis.stride) for block in range(count)]
            along.append(
                [(slice(p * s, p * s + seen), slice(p, p + axis.output)) for p, s in starts]
            )
        pairs = (zip(*block, strict=True) for block in product(*along))
        return [(tuple(cells), tuple(positions)) for cells, positions in pairs]

    def cost(self, channels: int, filters: int) -> float:
        """About how many nanoseconds one group of one sample takes."""
        n, blocks = prod(self.lengths), prod(self.counts)
        spectra = channels * filters + blocks * (channels + filters)
        return n * (0.15 * log2(n) * spectra + 0.4 * blocks * channels * filters) + 1e5 * blocks

    def zeros(self, values: Array) -> Array:
        """Room for the spectra of values: symmetric if those are real, so half is stored."""
        *rest, last = self.lengths
        last = last if np.iscomplexobj(values) else last // 2 + 1
        lead = values.shape[: -len(self.lengths)]
        return np.zeros((*lead, *rest, last), np.result_type(values, np.complex64))

    def spectrum(
        self, values: Array, scale: int, steps: Sizes | None = None, *, mirrored: bool = False
    ) -> Array:
        """The transform of ``2**-scale`` times values that lie so many cells apart."""
        rank = len(self.lengths)
        lead, counts = values.shape[:-rank], values.shape[-rank:]
        steps = steps or (1,) * rank
        *rows, _ = map(spread, counts, steps)
        placed = np.zeros((*lead, *rows, self.lengths[-1]), values.dtype)
        times_two_to(-scale, values, placed[..., *spaced(counts, steps)])
        if mirrored:
            np.conjugate(placed, out=placed)
        found = self.zeros(values)
        transform = np.fft.fft if np.iscomplexobj(values) else np.fft.rfft
        # NumPy computes float32 in float32 with this norm; its default goes through float64.
        transform(placed, norm="ortho", out=found[..., *map(slice, rows), :])
        for axis in range(-rank, -1):
            np.fft.fft(found, axis=axis, norm="ortho", out=found)
        return np.conjugate(found, out=found) if mirrored else found

    def values(self, product: Array, scale: int, out: Array, steps: Sizes | None = None) -> None:
        """Fill ``out`` with the values of a product of two spectra, which is used up."""
        rank = len(self.lengths)
        taken = spaced(out.shape[-rank:], steps or (1,) * rank)
        for axis in range(rank - 1):
            np.fft.ifft(product, axis=axis - rank, norm="ortho", out=product)
            product = product[..., taken[axis], *[slice(None)] * (rank - 1 - axis)]
        transform = np.fft.ifft if np.iscomplexobj(out) else np.fft.irfft
        found = transform(product, self.lengths[-1], norm="ortho")
        found *= np.sqrt(prod(self.lengths), dtype=found.real.dtype)
        times_two_to(scale, found[..., taken[-1]], out)

    def share_out(
        self, work: Callable[[slice, slice], None], w: Array, members: int, samples: int
    ) -> None:
        """Do the work for all groups and their ``members``, in shares, on several threads.

        However it is shared, each output is computed in the same way.
        """
        groups, filters, channels, _ = w.shape
        long = self.cost(channels, filters) * groups * samples >= WORTH_A_THREAD
        threads = num_threads() if long else 1
        one = (filters * channels + filters + channels) * self.zeros(w[0, 0, 0]).nbytes
        rounds = -(-groups * one // (threads * CACHE))
        few = -(-groups // (threads * rounds))
        some = members if groups >= threads else -(-members // threads)
        check_fits(one * min(groups, few * threads), "the spectra of the kernels and of a block")
        shares = [
            (slice(group, group + few), slice(member, member + some))
            for group in range(0, groups, few)
            for member in range(0, members, some)
        ]
        if threads == 1:
            for share in shares:
                work(*share)
            return
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(copy_context().run, work, *share) for share in shares]:
                done.result()


def blocks_of(geometry: Geometry, w: Array) -> Blocks:
    """The cheapest cut, whatever the batch: so no sample's bits depend on the others."""
    return cheapest(geometry, *w.shape[1:3])


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


def fast_length(cells: int) -> int:
    """The shortest length of at least so many cells that transforms fast."""
    return min(odd << (-(-cells // odd) - 1).bit_length() for odd in ODD)


def unfold(values: Array, sizes: Sizes) -> Array:
    """A view with the positions of the last axis as axes of their own."""
    return values.reshape(*values.shape[:-1], *sizes)


def spaced(counts: Sizes, steps: Sizes) -> Slices:
    """The first so many values along each axis that lie so many cells apart."""
    return tuple(slice(0, spread(n, step), step) for n, step in zip(counts, steps, strict=True))


def dot(left: Array, right: Array, axis: int) -> Array:
    """The sum of products along an axis."""
    left, right = np.moveaxis(left, axis, 0), np.moveaxis(right, axis, 0)
    total = left[0] * right[0]
    term = np.empty_like(total)
    for a, b in zip(left[1:], right[1:], strict=True):
        total += np.multiply(a, b, out=term)
    return total


def exponent(values: Array) -> int:
    """The power of two above all values: divided by it, none has a spectrum that overflows."""
    peaks = [max(part.max(initial=0), -part.min(initial=0)) for part in parts(values)]
    return int(np.frexp(max(peaks))[1])


def times_two_to(power: int, values: Array, out: Array) -> None:
    """Fill ``out`` with ``2**power`` times the values."""
    for part, target in zip(parts(values), parts(out), strict=True):
        np.ldexp(part, power, out=target)


def parts(values: Array) -> tuple[Array, ...]:
    """The real numbers that values are made of, as views."""
    return (values.real, values.imag) if np.iscomplexobj(values) else (values,)
