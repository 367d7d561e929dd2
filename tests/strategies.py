"""Hypothesis strategies drawn from the mathematics of a convolution.

A problem is any x, w, dy and words for which every output axis has at least one position. Sizes
follow from the words, not the other way round: whatever the padding, each axis gets the smallest
input that still has an output (which may be no input at all) and a few cells more. No limit here is
taken from an implementation; the only cut is the number of products, so that loops finish.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import oracles
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]

PADDING_WORDS = ("valid", "same", "same_lower", "causal")
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
LAYOUTS = ("channels_first", "channels_last")
LONGEST_KERNEL = {1: 5, 2: 3, 3: 3, 4: 2}
LARGEST_VALUE = 4


@dataclass(frozen=True)
class Scale:
    """How large problems get."""

    products: int
    """Most products in the whole convolution; cells of the input, too."""
    channels: int
    """Most input, and most output, channels in a group."""
    surplus: tuple[int, int, int, int]
    """Most input positions beyond the smallest size, for ranks 1 to 4."""


SMALL = Scale(products=3000, channels=3, surplus=(6, 3, 2, 1))
"""Small enough for loops in Python."""
LARGE = Scale(products=1_000_000, channels=40, surplus=(50, 14, 6, 3))
"""Large enough to fill vectors, tiles and threads, and to leave remainders of them."""


@dataclass(frozen=True)
class Problem:
    """Arrays and words that fit each other, in the layout that the words name.

    The values are integers of at most LARGEST_VALUE, so sums of as many products as any Scale has
    are exact in float32 too.
    """

    x: Array
    w: Array
    dy: Array
    words: dict[str, Any]

    @property
    def rank(self) -> int:
        return self.w.ndim - 2

    @property
    def kernel(self) -> tuple[int, ...]:
        return self.w.shape[2:]

    @property
    def groups(self) -> int:
        return self.words["groups"]

    @property
    def input_size(self) -> tuple[int, ...]:
        return self.channels_first(self.x).shape[-self.rank :]

    @property
    def batch(self) -> tuple[int, ...]:
        return self.x.shape[: -self.rank - 1]

    @property
    def channels(self) -> int:
        return self.w.shape[1] * self.groups

    @property
    def plan(self) -> oracles.Plan:
        return oracles.plan(self.input_size, self.kernel, self.words)

    def channels_first(self, array: Array) -> Array:
        return oracles.channels_first(array, self.rank, self.words)

    def in_layout(self, array: Array) -> Array:
        return oracles.in_layout(array, self.rank, self.words)

    def without(self, *names: str) -> dict[str, Any]:
        return {name: word for name, word in self.words.items() if name not in names}

    def bias(self) -> Array:
        return np.arange(len(self.w)) - 1

    def astype(self, dtype: DTypeLike) -> "Problem":
        arrays = {name: getattr(self, name).astype(dtype) for name in ("x", "w", "dy")}
        return replace(self, **arrays)

    def with_reals(self, seed: int, dtype: DTypeLike) -> "Problem":
        """The same shapes and words with real (or complex) values."""
        rng = np.random.default_rng(seed)
        arrays = {name: reals(rng, getattr(self, name).shape, dtype) for name in ("x", "w", "dy")}
        return replace(self, **arrays)


def reals(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Normal values of widely differing magnitudes; complex ones for a complex dtype."""
    parts = rng.standard_normal((2, *shape)) * 2.0 ** rng.integers(-4, 4, (2, *shape))
    values = parts[0] + 1j * parts[1] if np.dtype(dtype).kind == "c" else parts[0]
    return values.astype(dtype)


def entries(rank: int, most: int, least: int = 1) -> st.SearchStrategy[tuple[int, ...]]:
    """One integer per axis; half of the time the same one."""
    entry = st.integers(least, most)
    return st.one_of(entry.map(lambda value: (value,) * rank), st.tuples(*[entry] * rank))


def spelled(values: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """The ways to write one integer per axis."""
    ways: list[Any] = [values, list(values)]
    if len(set(values)) == 1:
        ways.append(values[0])
    return st.sampled_from(ways)


@st.composite
def paddings(draw: st.DrawFn, windows: tuple[int, ...]) -> Any:
    """A padding word, an int, an int per axis or a pair per axis; amounts may crop.

    An amount goes from cropping three cells to padding by more than the window.
    """

    def amount(window: int) -> int:
        return draw(st.integers(-3, window + 1))

    kind = draw(st.sampled_from((*PADDING_WORDS, "int", "ints", "pairs", "pairs", "pairs")))
    if kind == "int":
        return amount(min(windows))
    if kind == "ints":
        return tuple(amount(window) for window in windows)
    if kind == "pairs":
        return tuple((amount(window), amount(window)) for window in windows)
    return kind


def smallest_size(padding: Any, window: int, step: int) -> int:
    """The fewest input positions that leave an output position, for any stride."""
    if padding in ("same", "same_lower", "causal"):
        return 1
    lo, hi = oracles.resolve(padding, 0, window, 1)
    cells = max(0, window - lo - hi)
    return -(-(cells - 1) // step) + 1 if cells else 0


def batches() -> st.SearchStrategy[tuple[int, ...]]:
    """No to three leading axes, of which one may be empty."""
    return st.lists(st.sampled_from((1, 2, 2, 3, 0)), max_size=3).map(tuple)


@st.composite
def problems(
    draw: st.DrawFn,
    *,
    ranks: st.SearchStrategy[int] | None = None,
    modes: tuple[str, ...] = PADDING_MODES,
    layouts: tuple[str, ...] = LAYOUTS,
    spread_out: bool = True,
    scale: Scale = SMALL,
) -> Problem:
    """Any convolution of rank 1 to 4."""
    rank = draw(st.integers(1, 4) if ranks is None else ranks)
    kernel = draw(entries(rank, LONGEST_KERNEL[rank]))
    stride = draw(entries(rank, 5))
    dilation = draw(entries(rank, 3))
    step = draw(entries(rank, 3)) if spread_out and draw(st.booleans()) else (1,) * rank
    windows = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    padding = draw(paddings(windows))
    mode = draw(st.sampled_from(modes))

    least = map(smallest_size, oracles.per_axis(padding, rank), windows, step)
    surplus = draw(entries(rank, scale.surplus[rank - 1], least=0))
    size = tuple(
        max(fewest, mode != "zeros") + more for fewest, more in zip(least, surplus, strict=True)
    )
    groups, inside, multiplier = (
        draw(st.integers(1, most)) for most in (3, scale.channels, scale.channels)
    )
    channels, filters = groups * inside, groups * multiplier
    words = {
        "stride": draw(spelled(stride)),
        "padding": padding,
        "dilation": draw(spelled(dilation)),
        "input_dilation": draw(spelled(step)),
        "groups": groups,
        "padding_mode": mode,
        "layout": draw(st.sampled_from(layouts)),
    }
    batch = draw(batches())
    output = oracles.plan(size, kernel, words).output
    assume(prod(batch) * filters * inside * prod(kernel) * prod(output) <= scale.products)
    assume(prod(batch) * channels * prod(size) <= scale.products)

    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def values(*shape: int) -> Array:
        return rng.integers(-LARGEST_VALUE, LARGEST_VALUE, shape, endpoint=True)

    return Problem(
        oracles.in_layout(values(*batch, channels, *size), rank, words),
        values(filters, inside, *kernel),
        oracles.in_layout(values(*batch, filters, *output), rank, words),
        words,
    )
