"""Winograd's algorithm: 3 x 3 kernels in a quarter of the multiplications, or in 4/9 of them.

An output tile of m x m numbers takes (m + 2)**2 multiplications per channel, not 9 m**2:

    Y = A' [ sum over channels of (G g G') * (B' d B) ] A

where g is the kernel, d the tile of the input that Y sees, of (m + 2) x (m + 2) numbers, * is by
elements, and ' transposes (A. Lavin and S. Gray, "Fast algorithms for convolutional neural
networks", CVPR 2016). Both gradients follow from it:

- That of the input is a convolution of dy with the kernels turned around.
- That of the weights is the transpose of Y in g:
  ``G' [ sum over tiles of (A dY A') * (B' d B) ] G``.

G has fractions in it; here it is multiplied by their common denominator, and what it makes is
divided by the square of that. So the numbers of all matrices are small integers, and integers whose
sums stay below ``1 / u`` on the way are convolved exactly.

A number that is off makes its whole tile so, so there is a bound for tiles, not for their elements:
a number of Y is off by at most ``q * u / (1 - q * u)`` times the same number of

    abs(A') [ sum over channels of (abs(G) abs(g) abs(G')) * (abs(B') abs(d) abs(B)) ] abs(A)

with unit roundoff u and as many roundings in a row as there can be: ``q = C + 4 m + 15``, for that
many channels, and for the gradient of the weights ``q = tiles + 6 m + 9`` with the matrices of its
own (compare B. Barabasz, A. Anderson, K. M. Soodhalter and D. Gregg, "Error analysis and improving
the accuracy of Winograd convolution for deep neural networks", ACM TOMS 2020). For m = 2 errors are
about those of direct sums, for m = 4 four to seven times as large. On the way numbers may be larger
than any sum of the products' moduli, for m = 4 some million times: so much earlier they overflow,
which is refused.
Integers, and numbers that are not finite, are refused before they come here: see `backends`.

The m is 2 or 4, whichever takes fewer multiplications for all tiles; 2 where both take as many.

It overtakes `numba` with 64 channels and more on maps of 28 x 28 and more. On small maps, such as
7 x 7, there are too few tiles for the transforms of the kernels to pay.
"""

from math import prod
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from convref.errors import WordError
from convref.geometry import Axis, Geometry, Offsets, gathered
from convref.kernels.jit import through_canvas, transforms
from convref.kernels.jit.bias import add_bias as add_bias  # of the contract
from convref.kernels.jit.crew import Kernel, listed, share
from convref.kernels.jit.fills import in_memory, view
from convref.kernels.jit.micro import VECTORS
from convref.kernels.jit.minimal import TAPS, check_geometry, chosen
from convref.kernels.jit.plans.plan import Placing, placing
from convref.kernels.jit.units import ceil
from convref.kernels.jit.vectors import vector_lanes
from convref.memory import check_fits
from convref.phases import stored
from convref.threads import num_threads

Array = NDArray[Any]

TILES, WEIGHTS, OUTPUTS = map(Kernel, (transforms.tiles, transforms.weights, transforms.outputs))
SUMS, GRADIENTS = Kernel(transforms.sums), Kernel(transforms.gradients)

CACHE = 2**22
"""Bytes of transforms of tiles to sum at a time."""
KERNELS = 2**24
"""Bytes of transforms of kernels to work with at a time."""
BLOCK = 48
"""Filters whose sums are held at a time."""
UNITS_PER_THREAD = 4
"""Units of a forward pass, where blocks of tiles are fewer, and filters are many enough."""
SHARE = 96
"""The fewest filters that are worth the transforms of a block of tiles."""


class Tiles(NamedTuple):
    """An operand (N, G, C/G, positions) on a canvas that is stored by phase, cut into tiles."""

    canvas: Array
    total: int
    """Tiles of all samples."""
    channels: int
    """Of all groups."""
    taps: Offsets
    """(length, length) offsets of the numbers of a tile."""
    words: tuple[int | Offsets, ...]
    """What kernels are told: see transforms.channel_tiles."""


def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill y; raise WordError for a geometry that the algorithm is not for."""
    check_geometry(geometry)
    T = w.shape[3]
    convolve(x, w, (w.shape[2] * T, T), np.arange(T), y, geometry)


def input_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill x: by a convolution of dy, and where padding repeats inputs, by what that adds up to."""
    check_geometry(geometry)
    if geometry.padding_mode != "zeros":
        through_canvas(input_grad, x, w, y, geometry)
        return
    T = w.shape[3]
    convolve(y, w, (T, w.shape[2] * T), np.arange(T)[::-1].copy(), x, gathered(geometry))


def convolve(
    x: Array, w: Array, steps: tuple[int, int], taps: Offsets, y: Array, geometry: Geometry
) -> None:
    """Fill y, for weights that lie ``steps`` apart by channels of y and of x, and by ``taps``."""
    N, G, C, _ = x.shape
    if not y.size or not C:
        y[...] = 0
        return
    a = chosen(geometry)
    seen = placed(x, geometry, a.size, len(a.input))
    K, length, line = y.shape[2], len(a.input), VECTORS * vector_lanes(y.itemsize)
    macs, pitch = N * G * C * K * geometry.macs, whole(C, line)
    some = fitting(KERNELS, length**2 * G * pitch * y.itemsize, K, BLOCK)
    some = ceil(K, ceil(K, some))
    u = room(length**2 * G * some * pitch, y.dtype, "the transforms of the kernels")
    to_kernels = matrix(a.kernel, np.arange(TAPS) * TAPS * line, np.arange(TAPS) * line, line)
    plane = np.arange(length) * BLOCK * line
    to_outputs = matrix(a.output, plane * length, plane, line, a.denominator**2)
    blocks = G * ceil(seen.total, line)
    for first in range(0, K, some):
        filters = min(some, K - first)
        u_strides = G * filters * pitch, pitch
        run(
            WEIGHTS, w, w, u, G * filters, macs, to_kernels, filters, C, taps, w[0].size, *steps,
            first * steps[0], *u_strides,
        )  # fmt: skip
        shares = max(1, min(ceil(UNITS_PER_THREAD * num_threads(), blocks), filters // SHARE))
        run(
            OUTPUTS, u, seen.canvas, y, blocks * shares, macs, matrix_of(seen, a.input, line),
            to_outputs, seen.words, first, filters, shares, BLOCK, C, seen.total, *u_strides,
            *view(y).strides, *geometry.output_size,
        )  # fmt: skip
    check_overflow(y)


def weight_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Fill w, by the transpose of the algorithm."""
    check_geometry(geometry)
    N, G, K, _ = y.shape
    C = x.shape[2]
    if not w.size or not N:
        w[...] = 0
        return
    a = chosen(geometry)
    length, line = len(a.input), VECTORS * vector_lanes(w.itemsize)
    seen = placed(x, geometry, a.size, length)
    made = placed(y, outputs_of(geometry), a.size, a.size)
    macs = N * G * C * K * geometry.macs
    tiles = fitting(CACHE, length**2 * G * (C + K) * w.itemsize, seen.total, line)
    step, pitch = apart(tiles, w.itemsize), whole(C, line)
    v, z = (
        room(length**2 * (G * count * step + line), w.dtype, "the transforms of the tiles")
        for count in (C, K)
    )
    v_strides, z_strides = ((G * count * step + line, step) for count in (C, K))
    totals = room(length**2 * G * K * pitch, w.dtype, "the transforms of the kernels")
    for begin in range(0, seen.total, tiles):
        end = min(begin + tiles, seen.total)
        transform(seen, a.input, begin, end, step, v, macs)
        transform(made, a.output.T, begin, end, step, z, macs)
        run(
            SUMS, z, v, totals, G * length**2 * ceil(C, line), macs, K, C, end - begin, *z_strides,
            *v_strides, G * K * pitch, pitch, length**2, begin == 0, v.size,
        )  # fmt: skip
    # A row of zeros, for there are no tiles of three rows.
    back = np.vstack([a.kernel.T, np.zeros((1, length), np.int64)])
    plane = np.arange(length) * G * K * pitch
    to_taps = matrix(back, plane * length, plane, line, a.denominator**2)
    run(GRADIENTS, totals, totals, w, G * K, macs, to_taps, C, TAPS**2, pitch, TAPS)
    check_overflow(w)


def check_overflow(result: Array) -> None:
    """Raise WordError where the transforms of finite numbers were not."""
    with np.errstate(over="ignore", invalid="ignore"):
        # A sum is quickly taken; that it is not finite need not be a number's fault.
        finite = np.isfinite(result.sum()) or np.isfinite(result).all()
    if not finite:
        raise WordError(
            f"the transforms of the back end 'winograd' overflowed {result.dtype}: on the way "
            "numbers are up to some million times as large as in the end",
            "use 'numba', or divide the numbers by a power of two",
        )


def outputs_of(geometry: Geometry) -> Geometry:
    """The output as an input that nothing pads."""
    axes = tuple(Axis(axis.output, 1, 1, 1, 1, 0, 0) for axis in geometry.axes)
    return Geometry(axes, geometry.groups, "zeros")


def placed(x: Array, geometry: Geometry, size: int, length: int) -> Tiles:
    """The tiles of an operand, each ``size`` after the last, and ``length`` long.

    They are what the windows of a kernel of that length see, at that stride.
    """
    counts = tuple(ceil(axis.output, size) for axis in geometry.axes)
    axes = tuple(
        Axis(
            axis.size,
            length,
            size,
            1,
            1,
            axis.lo,
            (count - 1) * size + length - axis.lo - axis.size,
        )
        for axis, count in zip(geometry.axes, counts, strict=True)
    )
    seen = stored(Geometry(axes, geometry.groups, geometry.padding_mode), by_phase=True)
    x = np.ascontiguousarray(x)
    # Stored by phase, an operand is always placed.
    first = cast(Placing, placing(view(x), seen.placement, x.itemsize))
    canvas = room(first.size, x.dtype, "the padded input")
    canvas[first.size - first.slack :] = 0
    share(first.kernel, first.words, x.reshape(-1), x, canvas, first.units, x.size)
    channels, each = x.shape[1] * x.shape[2], prod(counts)
    words = counts[1], each, channels * seen.cells, seen.cells, seen.origins
    return Tiles(canvas, len(x) * each, channels, seen.taps.reshape(length, length), words)


def transform(
    tiles: Tiles, m: Offsets, begin: int, end: int, step: int, out: Array, macs: int
) -> None:
    """Transforms of the tiles from begin to end, ``step`` apart by channels of ``out``."""
    line = VECTORS * vector_lanes(out.itemsize)
    run(
        TILES, tiles.canvas, tiles.canvas, out, tiles.channels, macs, matrix_of(tiles, m, line),
        begin, end, tiles.channels * step + line, step, tiles.words,
    )  # fmt: skip


def matrix_of(tiles: Tiles, m: Offsets, line: int) -> tuple[int | Offsets, ...]:
    """The words of a transform of tiles by ``m``."""
    return matrix(m, tiles.taps[:, 0].copy(), tiles.taps[0] - tiles.taps[0, 0], line)


def matrix(
    m: Offsets, outer: Offsets, inner: Offsets, line: int, divisor: int = 1
) -> tuple[int | Offsets, ...]:
    """The words of a transform by ``m`` of squares whose numbers lie so far apart."""
    height, depth = m.shape
    down, along = np.arange(height), np.arange(depth)
    return (
        height, depth, np.append(m.ravel(), divisor), down * depth, along, outer, inner,
        along * height * line,
    )  # fmt: skip


def run(kernel: Kernel, a: Array, b: Array, out: Array, units: int, macs: int, *items: Any) -> None:
    """Let a kernel do all units, by words of which some are lists of words."""
    nested = [listed(*item) if isinstance(item, tuple) else item for item in items]
    share(kernel, listed(*nested), in_place(a), in_place(b), in_place(out), units, macs)


def in_place(a: Array) -> Array:
    """All numbers of an operand or of a list, as they lie in memory."""
    return in_memory(a) if a.ndim == 4 else a


def apart(tiles: int, itemsize: int) -> int:
    """How far apart the lines of so many tiles lie: by room for whole vectors, and an odd number.

    Were it a power of two, neighbouring lines would share few places of the cache.
    """
    LANES = vector_lanes(itemsize)
    return whole(tiles, 2 * LANES) + (VECTORS + 1) * LANES


def fitting(bytes_: int, each: int, most: int, step: int) -> int:
    """How many things of ``each`` bytes to do at a time: whole steps, or all that there are."""
    return min(most, whole(max(1, bytes_ // each), step))


def whole(count: int, step: int) -> int:
    """The count, rounded up to whole steps."""
    return ceil(count, step) * step


def room(count: int, dtype: np.dtype[Any], purpose: str) -> Array:
    """An array for so many numbers; raise TooLargeError where it doesn't fit."""
    check_fits(count * dtype.itemsize, purpose)
    return np.empty(count, dtype)
