"""Mistakes in one part of each sum: a tap, a channel or a batch item, missing or counted twice.

Which part, the error itself tells. An error e that is a part of the sums, taken a times, has with
that part the inner product ``a * <part, part>``. The products of e with all parts at once are one
contraction more: the gradient of the weights for e, times the weights, has for every weight the
product of e with what that weight adds.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.functional import conv, conv_weight_grad
from convref.verify.problem import Mistake, Problem
from convref.verify.reference import widened

Array = NDArray[Any]
LIKELY = 2
"""Parts of each sort that are tried, those that the error has most of."""
VECTORS = (4, 8, 16, 32, 64)
"""Widths of blocks of channels, whose tail may be left out."""


def parts(problem: Problem, output: Array, true: Array) -> Iterator[Mistake]:
    """Mistakes in one part, for an output that is not the problem's true one."""
    if problem.kind == "bias_grad" or output.dtype.kind == "b":
        return
    error = widened(output) - true
    error = np.where(np.isfinite(error), error, 0)
    if problem.kind == "weight_grad":
        yield from positions(problem, error)
    else:
        yield from weights(problem, error)


def weights(problem: Problem, error: Array) -> Iterator[Mistake]:
    """A tap, or a channel that is summed over: missing, or counted twice."""
    x, w = widened(problem.x), widened(problem.w)
    pair = (x, error) if problem.kind == "forward" else (error, x)
    # share (K, C/G, *kernel): what each weight adds, times the error
    share = conv_weight_grad(*pair, w.shape[2:], backend="numpy", **problem.words) * w
    by_tap = share.sum(axis=(0, 1))
    for tap in most(by_tap):
        at = (slice(None), slice(None), *tap)
        yield from missing_or_doubled(
            problem, "tap", f"kernel tap {tap if len(tap) > 1 else tap[0]}",
            partial(with_weights_scaled, at=at),
        )  # fmt: skip
    axis = 1 if problem.kind == "forward" else 0
    by_channel = share.sum(axis=tuple(other for other in range(share.ndim) if other != axis))
    for (channel,) in most(by_channel):
        at = (slice(None),) * axis + (channel,)
        yield from missing_or_doubled(
            problem, "channel", f"channel {channel} of those that are summed over",
            partial(with_weights_scaled, at=at),
        )  # fmt: skip
    count = w.shape[axis]
    for first in dict.fromkeys(count - count % width for width in VECTORS):
        if 0 < first < count:
            at = (slice(None),) * axis + (slice(first, None),)
            yield Mistake(
                "channel-tail-missing",
                f"channels from {first} on, of {count} that are summed over, are left out",
                with_weights_scaled(problem, 0, at),
            )


def positions(problem: Problem, error: Array) -> Iterator[Mistake]:
    """A batch item or a line of positions that a weight gradient misses, or counts twice."""
    dy = widened(problem.w)
    # share (..., K, *output): what each element of dy adds, times the error
    share = conv(widened(problem.x), error, backend="numpy", **problem.words) * dy
    channel, first = problem.channel_axis(dy.ndim), problem.first_axis(dy.ndim)
    for axis in range(dy.ndim):
        if axis == channel or dy.shape[axis] < 2:
            continue
        along = share.sum(axis=tuple(other for other in range(dy.ndim) if other != axis))
        spatial = axis - first
        batch = axis < min(channel, first)
        for (index,) in most(along):
            at = (slice(None),) * axis + (index,)
            yield from missing_or_doubled(
                problem,
                "batch-item" if batch else "position",
                f"batch item {index}" if batch
                else f"output position {index} along spatial axis {spatial}",
                partial(with_dy_scaled, at=at),
            )  # fmt: skip


def missing_or_doubled(
    problem: Problem, sort: str, what: str, change: Callable[[Problem, int], Problem]
) -> Iterator[Mistake]:
    """The two mistakes that a part can be taken for."""
    yield Mistake(f"{sort}-missing", f"{what} is left out", change(problem, 0))
    yield Mistake(f"{sort}-doubled", f"{what} is counted twice", change(problem, 2))


def with_weights_scaled(problem: Problem, factor: int, at: Any) -> Problem:
    """The problem with a part of its weights multiplied."""
    return problem.with_weights(partial(scaled, at=at, factor=factor))


def with_dy_scaled(problem: Problem, factor: int, at: Any) -> Problem:
    """The weight gradient with a part of dy multiplied."""
    return replace(problem, w=scaled(problem.w, at, factor))


def scaled(array: Array, at: Any, factor: int) -> Array:
    """A copy with a part of it multiplied."""
    copy = array.copy()
    copy[at] *= factor
    return copy


def most(shares: Array) -> list[tuple[int, ...]]:
    """The indices of the largest magnitudes."""
    order = np.argsort(-np.abs(shares), axis=None)[:LIKELY]
    return [tuple(map(int, np.unravel_index(flat, shares.shape))) for flat in order]
