"""The back end `fft`: within its normwise bound, and what it refuses.

The bound on an output is ``UNITS * u * (log2(n) + m)`` times the 2-norms of the two arrays that it
sums products of: n cells are transformed, and m spectra summed. A transform is wrong by at most
``t * eta / (1 - t * eta)`` of its norm, with ``t = log2(n)`` and ``eta`` about ``7 * u`` (Higham,
second edition, theorem 24.2), and there are three of them, so a proof would take 21 units for what
the test below holds to UNITS.
"""

from collections.abc import Callable, Iterator
from math import log2, prod
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import refused
from rounding import ARITHMETICS, Arithmetic, unit_roundoff
from strategies import LARGE, Problem, problems, reals

import convref
from convref import (
    DtypeError,
    Geometry,
    TooLargeError,
    WordError,
    blocks,
    conv,
    conv_input_grad,
    conv_transpose,
    conv_vjp,
    conv_weight_grad,
    memory,
)
from convref.blocks import Blocks
from convref.kernels import fft

Array = np.ndarray[Any, Any]
UNITS = 3
SEEDS = st.integers(0, 2**32 - 1)
OTHERS = "use one of 'naive', 'numpy', 'numba'"


@pytest.fixture(params=["cheapest", "finest"], scope="module")
def cut(request: pytest.FixtureRequest) -> Iterator[str]:
    """Small canvases are cheapest in one block; here, also in as many as they can be cut into."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "finest":
            patch.setattr(blocks, "SHORTEST", 1)
            patch.setattr(fft, "cheapest", finest)
            patch.setattr(fft, "CACHE", 1)
        yield request.param


def finest(geometry: Geometry, *channels: int) -> Blocks:
    cuts = (list(blocks._cuts(axis))[-1] for axis in geometry.axes)
    return Blocks(*zip(*cuts, strict=True))


@pytest.fixture(params=ARITHMETICS, scope="module")
def arithmetic(request: pytest.FixtureRequest) -> Arithmetic:
    return ARITHMETICS[request.param]


def norms(array: Array, axes: tuple[int, ...]) -> Array:
    return np.sqrt((abs(array) ** 2).sum(axes))


class Operands:
    """Those of a problem as (N, G, C/G, cells), (G, K/G, C/G, T) and (N, G, K/G, P)."""

    def __init__(self, p: Problem, arithmetic: Arithmetic) -> None:
        wide = arithmetic.reference
        how, x = p.plan, p.channels_first(p.x)
        self.canvas_size = oracles.padded(x, how).shape[-p.rank :]
        lead, groups = prod(p.batch), p.groups
        canvas = oracles.padded(x.astype(wide), how)
        self.canvas = canvas.reshape(lead, groups, p.channels // groups, prod(self.canvas_size))
        self.w = p.w.astype(wide).reshape(groups, len(p.w) // groups, p.w.shape[1], -1)
        self.dy = oracles.rows(p.channels_first(p.dy).astype(wide), how)
        labels = np.arange(1, x[..., 0].size + 1) if False else None
        self.labels = labels


RATIOS: dict[str, float] = {}


def check(actual: Array, expected: Array, size: Array, n: int, m: int, a: Arithmetic, tag: str) -> None:
    assert actual.dtype == a.dtype
    error = abs(actual.astype(a.reference) - expected)
    u = unit_roundoff(a.summed_in)
    if a.dtype != a.summed_in:
        return
    ratio = error / np.where(size > 0, u * (log2(2 * n) + m) * size, 1)
    RATIOS[tag] = max(RATIOS.get(tag, 0), float(ratio.max(initial=0)))


@given(p=problems(), seed=SEEDS)
def test_forward(cut: str, arithmetic: Arithmetic, p: Problem, seed: int) -> None:
    real = p.with_reals(seed, arithmetic.dtype)
    o = Operands(real, arithmetic)
    y = conv(real.x, real.w, backend="fft", **p.words)
    wide = arithmetic.reference
    expected = oracles.forward(real.x.astype(wide), real.w.astype(wide), **p.words)
    size = norms(o.canvas, (2, 3))[..., None] * norms(o.w, (2, 3))  # N G K/G
    size = size.reshape(*p.batch, -1, *[1] * p.rank)
    check(p.channels_first(y), p.channels_first(expected), size, prod(o.canvas_size), p.w.shape[1], arithmetic, f"f {cut} {arithmetic.dtype}")


@given(p=problems(), seed=SEEDS)
def test_weight_grad(cut: str, arithmetic: Arithmetic, p: Problem, seed: int) -> None:
    real = p.with_reals(seed, arithmetic.dtype)
    o = Operands(real, arithmetic)
    y = conv_weight_grad(real.x, real.dy, p.kernel, backend="fft", **p.words)
    wide = arithmetic.reference
    expected = oracles.weight_grad(real.x.astype(wide), real.dy.astype(wide), p.kernel, **p.words)
    size = norms(o.canvas, (0, 3))[:, None] * norms(o.dy, (0, 3))[..., None]
    size = size.reshape(*p.w.shape[:2], *[1] * p.rank)
    check(y, expected, size, prod(o.canvas_size), len(o.canvas), arithmetic, f"w {cut} {arithmetic.dtype}")


@given(p=problems(modes=("zeros",)), seed=SEEDS)
def test_input_grad(cut: str, arithmetic: Arithmetic, p: Problem, seed: int) -> None:
    real = p.with_reals(seed, arithmetic.dtype)
    o = Operands(real, arithmetic)
    y = conv_input_grad(real.dy, real.w, p.input_size, backend="fft", **p.words)
    wide = arithmetic.reference
    expected = oracles.input_grad(real.dy.astype(wide), real.w.astype(wide), p.input_size, **p.words)
    size = norms(o.dy, (2, 3))[..., None] * norms(o.w, (1, 3))
    size = size.reshape(*p.batch, -1, *[1] * p.rank)
    check(p.channels_first(y), p.channels_first(expected), size, prod(o.canvas_size), o.w.shape[1], arithmetic, f"i {cut} {arithmetic.dtype}")


def test_zz() -> None:
    for k, v in RATIOS.items(): print(k, "%.2f" % v)
