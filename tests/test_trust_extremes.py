"""Extremes: no elements and more than 2**31, kernels beyond their inputs, numbers at the edge.

The largest need gigabytes; they say so and are skipped where the memory isn't free.
"""

from typing import Any

import numpy as np
import oracles
import pytest

import convref
from convref import ShapeError

Array = np.ndarray[Any, Any]
GIB = 2**30


def free_bytes() -> int:
    """Memory that can be had without swapping; 0 where the system doesn't tell."""
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":") for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return 0


def require(gibibytes: int) -> None:
    """Skip where there isn't so much, and a tenth more."""
    free = free_bytes()
    if free < 1.1 * gibibytes * GIB:
        pytest.skip(f"needs {gibibytes} GiB of free memory, and {free / GIB:.1f} are free")


# Nothing

EMPTY = {
    "batch": ((0, 2, 5), (3, 2, 2), {}),
    "two batch axes": ((2, 0, 2, 5), (3, 2, 2), {}),
    "input": ((2, 2, 0), (3, 2, 2), {"padding": 2}),
    "input of two axes": ((2, 2, 0, 3), (3, 2, 2, 2), {"padding": (1, 0)}),
    "channels last": ((0, 5, 2), (3, 2, 2), {"layout": "channels_last"}),
    "groups": ((0, 4, 5), (6, 2, 2), {"groups": 2}),
}


@pytest.mark.parametrize("what", EMPTY)
@pytest.mark.parametrize("dtype", ["float32", "int8", "complex128", "float16"])
def test_axes_of_no_length(backend: str, what: str, dtype: str) -> None:
    """Outputs of no elements, and sums of no terms, which are 0."""
    shape, weights, words = EMPTY[what]
    x, w = np.ones(shape, dtype), np.ones(weights, dtype)
    bias = np.arange(weights[0]).astype(dtype)
    y = convref.conv(x, w, bias, backend=backend, **words)
    wanted = oracles.forward(x, w, bias, **words)
    np.testing.assert_array_equal(y, wanted)
    assert y.dtype == np.dtype(dtype)
    dy, how = np.ones_like(y), {**words, "backend": backend}
    dx, dw, db = convref.conv_vjp(x, w, dy, **how)
    assert dx.shape == x.shape
    np.testing.assert_array_equal(dw, np.zeros_like(w))
    np.testing.assert_array_equal(db, np.full(len(w), y.size // len(w)).astype(dtype))


@pytest.mark.parametrize(
    ("x", "w"), [((1, 0, 5), (3, 0, 2)), ((1, 2, 5), (0, 2, 2)), ((1, 2, 5), (3, 2, 0))]
)
def test_no_channels_no_filters_no_taps(backend: str, x: Any, w: Any) -> None:
    with pytest.raises(ShapeError):
        convref.conv(np.ones(x), np.ones(w), backend=backend)


# Shapes out of proportion

LONG = {
    "a kernel beyond its input": ((1, 2, 3), (2, 2, 9), {"padding": 8}),
    "far beyond": ((1, 1, 1), (1, 1, 301), {"padding": 300}),
    "by dilation": ((1, 1, 5), (1, 1, 2), {"dilation": 1000, "padding": 1000}),
    "two axes": ((1, 2, 2, 3), (2, 2, 7, 5), {"padding": (6, 4), "stride": (3, 2)}),
    "causal": ((2, 1, 2), (1, 1, 50), {"padding": "causal"}),
    "reflected often": ((1, 1, 3), (1, 1, 9), {"padding": 50, "padding_mode": "reflect"}),
    "a stride beyond all": ((1, 1, 4), (1, 1, 3), {"padding": 1, "stride": 10**12}),
}


@pytest.mark.parametrize("what", LONG)
def test_out_of_proportion(backend: str, what: str) -> None:
    shape, weights, words = LONG[what]
    rng = np.random.default_rng(0)
    x, w = rng.integers(-4, 5, shape), rng.integers(-4, 5, weights)
    y = convref.conv(x, w, backend=backend, **words)
    np.testing.assert_array_equal(y, oracles.forward(x, w, **words))
    dx, dw, _ = convref.conv_vjp(x, w, y, backend=backend, **words)
    np.testing.assert_array_equal(dx, oracles.input_grad(y, w, shape[2:], **words))
    np.testing.assert_array_equal(dw, oracles.weight_grad(x, y, weights[2:], **words))


@pytest.mark.numba
@pytest.mark.parametrize("name", ["numpy", "numba", "fft"])
def test_a_million_taps(name: str) -> None:
    """1 x 10**6 taps, on one position and on 8; integers, whose sums are exact in float64."""
    taps = 10**6
    values = np.arange(taps + 7) % 11 - 5.0
    x, w = values[None, None], (np.arange(taps) % 7 - 3.0)[None, None]
    wanted = [float(np.dot(values[at : at + taps].astype(np.int64), w[0, 0].astype(np.int64)))
              for at in range(8)]  # fmt: skip
    for shape in (x.shape, (1, 1, 1, x.shape[-1])):
        y = convref.conv(x.reshape(shape), w.reshape(*shape[:-1], taps), backend=name)
        found = np.rint(y) if name == "fft" else y
        np.testing.assert_array_equal(found.ravel(), wanted)
    if name != "fft":
        dw = convref.conv_weight_grad(x, np.ones((1, 1, 8)), (taps,), backend=name)
        sums = np.convolve(values, np.ones(8), "valid")
        np.testing.assert_array_equal(dw.ravel(), sums)
        dx = convref.conv_input_grad(np.ones((1, 1, 8)), w, taps + 7, backend=name)
        np.testing.assert_array_equal(dx.ravel(), np.convolve(w[0, 0], np.ones(8)))


# Numbers at the edge

EDGE = {
    "subnormals": (np.float32(2.0**-149), 3.0, np.float32(3 * 2.0**-149)),
    "subnormals that add up": (np.float32(2.0**-127), 1.0, np.float32(2.0**-126)),
    "underflow to zero": (np.float32(2.0**-149), 2.0**-3, np.float32(0)),
    "the largest": (np.finfo(np.float32).max, 0.5, np.finfo(np.float32).max),
    "overflow": (np.finfo(np.float32).max, 2.0, np.float32(np.inf)),
    "infinity": (np.float32(np.inf), 1.0, np.float32(np.inf)),
    "infinity times zero": (np.float32(np.inf), 0.0, np.float32(np.nan)),
    "NaN": (np.float32(np.nan), 1.0, np.float32(np.nan)),
    "minus zero": (np.float32(-0.0), 1.0, np.float32(0)),
}


@pytest.mark.parametrize("what", EDGE)
def test_numbers_at_the_edge(backend: str, what: str) -> None:
    """Two equal terms, or one of the two where their sum would be something else."""
    value, weight, wanted = EDGE[what]
    single = what in ("subnormals", "underflow to zero")
    x = np.full((1, 1, 2), value, np.float32)
    w = np.array([[[weight, 0 if single else weight]]], np.float32)
    y = convref.conv(x, w, backend=backend)
    np.testing.assert_array_equal(y, np.full((1, 1, 1), wanted))
    assert convref.verify(y, x, w).ok


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [("int8", -56), ("uint8", 200), ("int16", 200), ("int64", 200), ("bool", 1)],
)
def test_integers_wrap_as_numpys_do(backend: str, dtype: str, wanted: int) -> None:
    x, w = np.full((1, 1, 2), 100, dtype), np.ones((1, 1, 2), dtype)
    y = convref.conv(x, w, backend=backend)
    assert y.dtype == np.dtype(dtype)
    assert y.item() == (bool(wanted) if dtype == "bool" else wanted)
    most = np.full((1, 1, 2), np.iinfo(np.int64).max)
    assert convref.conv(most, np.ones((1, 1, 2), np.int64), backend=backend).item() == -2


# More than 2**31


@pytest.fixture
def room() -> None:
    """For a canvas of 2**31 numbers; inputs that are zero but for a few fill next to nothing."""
    require(10)


STRIDE = 16
LENGTH, MANY = 2047 * STRIDE + 1, 65_600
"""Two lengths, whose product is more than 2**31."""


def ends(*shape: int) -> Array:
    """Zeros but for three numbers at either end."""
    x = np.zeros(shape, np.float32)
    x.flat[:3] = x.flat[-3:] = [1, 2, 3]
    return x


@pytest.mark.slow
@pytest.mark.usefixtures("room")
def test_a_batch_of_more_numbers_than_32_bits_count() -> None:
    """The last three of them are looked at by the last output."""
    x = ends(MANY, 1, LENGTH + 2)
    w = np.array([[[1, 10, 100]]], np.float32)
    words = {"stride": STRIDE, "backend": "numba"}
    y = convref.conv(x, w, **words)
    assert (y[0, 0, 0], y[-1, 0, -1]) == (321, 321)
    assert np.count_nonzero(y) == 2
    dw = convref.conv_weight_grad(x, np.ones_like(y), (3,), **words)
    np.testing.assert_array_equal(dw[0, 0], [2, 4, 6])


@pytest.mark.slow
@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_channels_of_more_numbers_than_32_bits_count(layout: str) -> None:
    """Forward, and the gradient of the weights of the first and the last channel."""
    shape = (1, MANY, LENGTH) if layout == "channels_first" else (1, LENGTH, MANY)
    x = ends(*shape)
    w = np.zeros((1, MANY, 1), np.float32)
    w[0, [0, -1], 0] = 10, 1000
    words = {"stride": STRIDE, "layout": layout, "backend": "numba"}
    y = convref.conv(x, w, **words)
    assert (y.flat[0], y.flat[-1], np.count_nonzero(y)) == (10, 3000, 2)
    dw = convref.conv_weight_grad(x, np.ones_like(y), (1,), **words)
    assert (dw[0, 0, 0], dw[0, -1, 0]) == (1, 3)
    assert np.count_nonzero(dw) == (2 if layout == "channels_first" else 6)


@pytest.mark.slow
@pytest.mark.usefixtures("room")
def test_windows_that_reach_beyond_32_bits() -> None:
    """On a map of 46,400 x 46,400 cells, by dilation: the last tap sees the last number."""
    side, reach = 46_400, 46_300
    x = ends(1, 1, side, side)
    w = np.array([[[[1, 10], [100, 1000]]]], np.float32)
    y = convref.conv(x, w, dilation=reach, backend="numba")
    assert y.shape[2:] == (side - reach,) * 2
    np.testing.assert_array_equal(y[0, 0, 0, :3], [1, 2, 3])
    np.testing.assert_array_equal(y[0, 0, -1, -3:], [1000, 2000, 3000])
    assert np.count_nonzero(y) == 6
