"""Lower-precision practices that explain an output outside of its bound.

The operands rounded first, as tensor cores do, is a problem of its own: an output is explained if
it is within the bound of that, so a mistake hides behind it no better than elsewhere.

The others, sums in a narrower format and algorithms whose errors are normwise, have no bound that a
mistake would not fit into. They explain errors that look like theirs: of the size that so many
independent roundings have (a random walk), about everywhere, and none far larger than the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import log, log2, prod, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convref.shapes import sizes
from convref.verify.bounds import FORMATS, Real, is_narrower, storing_bound, summing_bound, ulp
from convref.verify.problem import Problem
from convref.verify.reference import Reference
from convref.verify.report import errors

Array = NDArray[Any]
SINGLE = FORMATS["float32"].unit_roundoff

WINOGRAD = 30
"""Times u: errors of F(2x2), F(4x4) and F(6x6) with 3x3 kernels, as the tests compute them, of even
and of long-tailed operands. Lavin and Gray, "Fast algorithms for convolutional neural networks",
CVPR 2016."""
TILE = 8
"""Positions of a Winograd tile, which share their errors."""
FFT = 0.5
"""Times u * log2(S), for three transforms and a product of spectra: Higham, section 24.1."""
NOISE = 2
"""How many times as large as expected the root mean square of errors may be."""
PEAK, PEAK_OF_TILES = 3, 6
"""How far the largest error may stand out from the root mean square of the others, in times as far
as the largest of so many numbers does: normal ones, and products of two normal ones in tiles, of
whose positions the last has 3 times the root mean square of all."""
FAR = 4
"""How many times as large as expected one sum of few may be off."""
SPREAD = 0.05
"""Of that, the least that half of the errors reach."""
FEWEST = 8
"""Elements from which on errors can look like anything."""


class Practice(NamedTuple):
    """A practice by a stable name, and as a sentence."""

    name: str
    text: str


def keep_bits(array: Array, bits: int, how: str) -> Array:
    """float32 or float64 rounded to so many bits of the significand, to even, away, or down."""
    values, exponents = np.frexp(array.astype(np.float64))
    rounded = ROUND[how](values * 2.0**bits)
    result: Array = np.ldexp(rounded, exponents - bits).astype(array.dtype)
    return np.where(np.isfinite(array), result, array)


ROUND: dict[str, Callable[[Array], Array]] = {
    "to nearest": np.rint,
    "to nearest, ties away": lambda v: np.trunc(v + np.copysign(0.5, v)),
    "by truncation": np.trunc,
}
FORMS = (("tf32", "TensorFloat-32", 11), ("bfloat16", "bfloat16", 8), ("float16", "float16", 11))


def rounded_inputs(problem: Problem) -> Iterator[tuple[Practice, Problem]]:
    """The problem with its operands in a narrower format, the widest format first."""
    operands = (problem.x, problem.w)
    if any(array.dtype.kind != "f" or array.dtype.itemsize < 4 for array in operands):
        return
    if any(array.dtype.itemsize > 4 for array in operands):
        x, w = (array.astype(np.float32).astype(array.dtype) for array in operands)
        yield (
            Practice("float32-inputs", "the operands are rounded to float32 first"),
            replace(problem, x=x, w=w),
        )
    for name, label, bits in FORMS:
        for how in ROUND if name != "float16" else ("to nearest",):
            x, w = (
                array.astype(np.float16).astype(array.dtype)  # with its subnormals and overflow
                if name == "float16"
                else keep_bits(array, bits, how)
                for array in operands
            )
            text = f"the operands are rounded to {label} first, {how}"
            yield Practice(f"{name}-inputs", text), replace(problem, x=x, w=w)


def as_stored(
    problem: Problem, output: Array, true: Reference, dtype: str, accumulate: str
) -> Practice | None:
    """Steps that are stored in the format of the output, where that is narrower than the sums."""
    if dtype not in FORMATS or not is_narrower(dtype, accumulate):
        return None
    if cut := stored_truncated(output, true, dtype, accumulate):
        return cut
    if twice := rounded_before_bias(problem, output, true, dtype, accumulate):
        return twice
    error = np.abs(output - true.value).astype(np.float64)
    few = true.value.size < FEWEST  # and so a mistake may fit them by chance
    return sums_as_stored(problem, error, true, dtype) if few else None


def stored_truncated(
    output: Array, true: Reference, dtype: str, accumulate: str
) -> Practice | None:
    """Sums whose last bits are cut off, and not rounded.

    Of a sum s, off by at most e, no less is left than of ``|s| - e``.
    """
    if true.value.dtype.kind != "f":
        return None
    bound = summing_bound(true.magnitude, true.terms, accumulate)
    least = np.maximum(true.size - bound, 0)
    step = ulp(least, dtype)
    size = np.abs(output)
    fits = (np.floor(least / step) * step <= size) & (size <= true.size + bound)
    fits &= (output * true.value > 0) | (size <= bound) | (size == 0)
    text = f"the sums are cut off to be stored as {dtype}, and not rounded"
    return Practice("stored-truncated", text) if fits.all() else None


def rounded_before_bias(
    problem: Problem, output: Array, true: Reference, dtype: str, accumulate: str
) -> Practice | None:
    """A bias that is added by an operation of its own, to sums stored in the format of the output.

    A sum of products s, off by at most e, is stored as one off by ``d = e + u*(|s| + e)``; with the
    bias added it is stored once more, and is off by at most ``d + u*(|y| + d)``.
    """
    if problem.bias is None:
        return None
    sums = replace(problem, bias=None).reference()
    bound = summing_bound(sums.magnitude, sums.terms, accumulate)
    for value in (sums, true):
        bound = storing_bound(value.size, bound, dtype)
    text = f"the sum of products is rounded to {dtype} before the bias is added"
    fits = (errors(output, true, bound, dtype, accumulate) <= bound).all()
    return Practice("rounded-before-bias", text) if fits else None


def sums_as_stored(problem: Problem, error: Real, true: Reference, dtype: str) -> Practice | None:
    """A reduction of float16 or bfloat16 that is not widened, as of dy to the gradient of a bias.

    Many of its sums may be exact; none is off by much more than a random walk.
    """
    if problem.kind != "bias_grad" or dtype not in ("float16", "bfloat16"):
        return None
    expected = walk(problem, true, FORMATS[dtype].unit_roundoff)
    practice = Practice(f"{dtype}-sums", f"the numbers of dy are summed in {dtype}")
    return practice if (error <= FAR * expected).all() else None


def of_normal(count: int) -> float:
    """How far the largest of so many errors stands out where each is a sum of many roundings."""
    return PEAK * sqrt(2 * log(count))


def of_products(count: int) -> float:
    """The same where errors are those of a few products, whose tails fall as ``exp(-t)``.

    What is rounded in a tile are products of a transformed x and a transformed kernel: of numbers
    that are about normal. The fewer channels are added, the less alike the sizes of tiles are.
    """
    return PEAK_OF_TILES * log(count)


class Noise(NamedTuple):
    """Errors that a practice makes."""

    practice: Practice
    expected: Real
    """The size expected in each element."""
    farthest: Callable[[int], float] = of_normal
    stored: Real | float = 0.0
    """What storing adds to them, at most."""


def noises(problem: Problem, true: Reference, dtype: str, accumulate: str) -> Iterator[Noise]:
    """Errors of practices, the smallest first."""
    if dtype not in FORMATS or true.value.dtype.kind != "f" or true.value.size < FEWEST:
        return
    maps = problem.kind in ("forward", "input_grad") and dtype != "float64"
    spec, kernel = problem.spec, problem.weight_shape[2:]
    if maps and {*spec.stride, *spec.dilation} == {1} and max(kernel) in (2, 3, 5):
        yield Noise(
            Practice("winograd", "a Winograd algorithm, whose errors are those of a tile"),
            WINOGRAD * SINGLE * np.sqrt(around(sum_of_squares(problem), problem)),
            of_products,
        )
    if maps:
        yield Noise(
            Practice("fft", "a Fourier transform, whose errors are those of the whole map"),
            of_maps(problem, true),
        )
    stored = FORMATS[dtype].unit_roundoff * true.size
    for narrow in ("float32", "float16", "bfloat16"):
        if is_narrower(narrow, accumulate):
            sums = walk(problem, true, FORMATS[narrow].unit_roundoff)
            yield Noise(
                Practice(f"{narrow}-sums", f"products are summed in {narrow}"), sums, stored=stored
            )


def walk(problem: Problem, true: Reference, unit: float) -> Real:
    """The expected error of sums with unit roundoff u, one rounding of each partial sum.

    Rounding s is off by ``u*|s| / sqrt(3)`` in root mean square, at most. Of n products p, partial
    sum k has in square about ``k*mean(p**2) + k**2*mean(p)**2``, of which the sum over k is
    ``n**2/2 * mean(p**2) + n**3/3 * mean(p)**2``. Rounding the products adds n of them.
    """
    n = max(1, true.terms)
    total = (n / 2 + 1) * sum_of_squares(problem) + n * true.size * true.size / 3
    expected: Real = unit * np.sqrt(total / 3)
    return expected


def sum_of_squares(problem: Problem) -> Real:
    """Of the products that each element sums."""
    x, w = (np.abs(array).astype(np.float64) for array in (problem.x, problem.w))
    squares = replace(problem, x=x * x, w=w * w, bias=None).value()
    return np.maximum(squares, 0).astype(np.float64)


def around(size: Real, problem: Problem) -> Real:
    """The largest within a tile of each position, along the spatial axes."""
    first = problem.first_axis(size.ndim)
    for axis in range(first, first + problem.spec.rank):
        widest = size
        for step in range(1, min(TILE, size.shape[axis])):
            for shift in (step, -step):
                widest = np.maximum(widest, np.roll(size, shift, axis))
        size = widest
    return size


def of_maps(problem: Problem, true: Reference) -> Real:
    """``FFT * u * log2(S) * norm(x) * norm(w) / sqrt(P)``: errors of a map, spread evenly.

    Their norm is bounded by those of a sample and of the weights that a channel of the output is
    made with: Higham, section 24.1.
    """
    x, w = (array.astype(np.float64) for array in (problem.x, problem.w))
    lead = len(sizes("x", x.shape, problem.spec)[0])
    samples = np.sum(x * x, axis=tuple(range(lead, x.ndim)), keepdims=True)
    filters = np.sum(w * w, axis=tuple(range(2, w.ndim)))  # (K, C/G)
    if problem.kind == "forward":
        filters = filters.sum(axis=1)
    else:  # (G, K/G, C/G): the gradient of a channel is made with all filters of its group
        filters = filters.reshape(problem.spec.groups, -1, w.shape[1]).sum(axis=1).ravel()
    axis = problem.channel_axis(true.value.ndim)
    channels = filters.reshape(-1, *[1] * (true.value.ndim - 1 - axis))
    positions = prod(true.value.shape[lead:]) // max(1, len(filters))
    factor = FFT * SINGLE * log2(max(2, prod(x.shape[lead:])))
    bound: Real = np.broadcast_to(
        factor * np.sqrt(samples * channels / max(1, positions)), true.magnitude.shape
    )
    return bound


def of_errors(
    problem: Problem, output: Array, true: Reference, dtype: str, accumulate: str
) -> Practice | None:
    """The first practice whose errors look like these."""
    error = np.abs(output - true.value).astype(np.float64)
    if not np.isfinite(error).all():
        return None
    if narrow := sums_as_stored(problem, error, true, dtype):
        return narrow
    for noise in noises(problem, true, dtype, accumulate):
        if looks_like(error, noise, true):
            return noise.practice
    return None


def looks_like(error: Real, noise: Noise, true: Reference) -> bool:
    """Whether errors are as large as expected, about everywhere, with none that stands out.

    Where nothing but zeros is summed most practices are exact, so "everywhere" leaves that out.
    """
    expected = np.hypot(noise.expected, noise.stored / sqrt(3))
    somewhere = expected > 0
    if (error[~somewhere] > 0).any() or not (somewhere & (true.magnitude > 0)).any():
        return False
    shares = error[somewhere] / expected[somewhere]
    squares, most = float(np.sum(shares * shares)), float(shares.max())
    size, count = sqrt(squares / shares.size), max(FEWEST, shares.size)
    others = sqrt(max(0.0, squares - most * most) / (count - 1))
    far = noise.farthest(count)
    return (
        size <= NOISE
        and most <= far * others
        and float(np.median(shares[true.magnitude[somewhere] > 0])) >= SPREAD * size
        and bool((error <= noise.stored + far * NOISE * noise.expected).all())
    )
