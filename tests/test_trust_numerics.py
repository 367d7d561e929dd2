"""Numerics: how errors grow with the depth of a sum, and how far from the bound they stay."""

from typing import Any

import numpy as np
import pytest
from strategies import reals

import convref
from benchmarks import rounding

Array = np.ndarray[Any, Any]


@pytest.mark.numba
@pytest.mark.parametrize("name", ["exact", "numpy", "numba", "fft"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_errors_grow_no_faster_than_a_walk(name: str, dtype: str) -> None:
    """Like sqrt(n) at most, four times that at any depth; the exact ones do not grow."""
    for depth in (64, 1024, 16_384):
        found = rounding.measured(name, dtype, depth)
        assert found.largest <= (1 if name == "exact" else 4 * depth**0.5)
        assert found.largest <= depth / 2
        assert 0 < found.mean <= found.largest


def test_loops_grow_no_faster_than_a_walk() -> None:
    for depth in (64, 1024):
        assert rounding.measured("naive", "float32", depth).largest <= 4 * depth**0.5


@pytest.mark.numba
def test_the_table_has_a_line_for_each() -> None:
    errors = [rounding.measured("numba", dtype, 64) for dtype in rounding.DTYPES]
    lines = rounding.table(errors).splitlines()
    assert len(lines) == 2 + len(rounding.NAMES) * len(rounding.DTYPES)
    (line,) = [line for line in lines if line.startswith("numba    | float32")]
    assert line.count("%") == 1


LAYERS = {
    "forward": ((16, 32, 100, 100), (64, 32, 3, 3), {"padding": 1}),
    "strided": ((32, 16, 142, 142), (64, 16, 5, 5), {"stride": 2, "padding": 2}),
    "depthwise": ((4, 64, 200, 200), (64, 1, 5, 5), {"groups": 64, "padding": 2}),
    "few terms": ((4, 64, 200, 200), (64, 1, 3, 3), {"groups": 64, "padding": 1}),
    "one axis": ((2, 64, 80_000), (64, 64, 9), {"dilation": 3, "padding": "same"}),
}
"""Of about 10**7 outputs each."""


@pytest.mark.slow
@pytest.mark.parametrize("what", LAYERS)
@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_no_back_end_is_above_half_the_bound_on_ten_million_elements(what: str, name: str) -> None:
    """Beside sums in float64, whose own error is a billionth of the bound of float32.

    Of sums of 9 terms a few in a million are above half: there the bound is that of 9 roundings,
    and so many of one sign do occur. (Numbers of widely different size, which `reals` are, favour
    that.) They are held to the bound itself.
    """
    shape, weights, words = LAYERS[what]
    rng = np.random.default_rng(7)
    x, w = reals(rng, shape, np.float32), reals(rng, weights, np.float32)
    count, used = 0, 0.0
    for sample in x:
        y = convref.conv(sample, w, backend=name, **words)
        wide = sample.astype(np.float64), w.astype(np.float64)
        true = convref.conv(*wide, backend="numba", **words)
        moduli = convref.conv(*map(np.abs, wide), backend="numba", **words)
        terms = np.prod(weights[1:])
        u = 2.0**-24
        bound = terms * u / (1 - terms * u) * moduli
        error = np.abs(y - true)
        used = max(used, float((error[bound > 0] / bound[bound > 0]).max()))
        assert (error[bound == 0] == 0).all()
        count += y.size
    print(f"{name}, {what}: {count:,} elements, {used:.3f} of the bound")
    assert count > 9_000_000
    assert used < (1 if what == "few terms" else 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_gradients_stay_below_half_the_bound(name: str) -> None:
    """Of the weights, whose sums are the longest, and of the input."""
    rng = np.random.default_rng(8)
    x = reals(rng, (8, 32, 56, 56), np.float32)
    w = reals(rng, (64, 32, 3, 3), np.float32)
    dy = reals(rng, (8, 64, 56, 56), np.float32)
    for kind, output, operands in (
        ("weight_grad", convref.conv_weight_grad(x, dy, (3, 3), padding=1, backend=name), (x, dy)),
        ("input_grad", convref.conv_input_grad(dy, w, (56, 56), padding=1, backend=name), (dy, w)),
    ):
        report = convref.verify(output, *operands, kind=kind, padding=1)
        assert report.ok
        assert report.bound_used < 0.5
