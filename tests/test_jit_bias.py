"""A bias is added to every position of its channel, by any number of threads, once."""

import numpy as np
import pytest
from jit_cases import Array

import convref
from convref.kernels.jit import bias as biases
from convref.kernels.jit import crew
from convref.threads import using_threads

pytestmark = pytest.mark.uncompiled

DTYPES = ("float32", "float64", "complex64", "complex128", "int32", "int64")
SHAPES = [
    (1, 1, 1, 1),
    (3, 1, 5, 1),  # of one position: those of Linear
    (2, 3, 2, biases.SHORT - 1),
    (2, 3, 2, biases.SHORT),
    (2, 1, 7, 331),
    (1, 40, 1, 1000),
    (0, 1, 4, 50),
    (2, 1, 4, 0),
    (2, 1, biases.PATTERN, 3),
    (2, 1, biases.PATTERN + 1, 5),
]


@pytest.fixture(autouse=True)
def every_call_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "WORTH_A_THREAD", 1)


def drawn(shape: tuple[int, ...], dtype: str, last: bool) -> Array:
    """A result of real numbers, (N, G, K/G, P), in either layout."""
    values = np.random.default_rng(sum(shape)).normal(0, 100, shape).astype(dtype)
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 3, 1)), 1, 3) if last else values


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bits_are_those_of_numpy(
    dtype: str, shape: tuple[int, ...], last: bool, threads: int
) -> None:
    y = drawn(shape, dtype, last)
    channels = shape[1] * shape[2]
    bias = np.random.default_rng(channels).normal(0, 100, channels).astype(dtype)
    expected = y + bias.reshape(*shape[1:3], 1)
    with using_threads(threads):
        biases.add_bias(y, bias)
    np.testing.assert_array_equal(y, expected, strict=True)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("backend", ["numba", "winograd"])
@pytest.mark.parametrize("size", [4, 12])
def test_of_both_directions(size: int, backend: str, layout: str) -> None:
    rng = np.random.default_rng(size)
    shape = (2, 16, size, size) if layout == "channels_first" else (2, size, size, 16)
    x = rng.integers(-3, 4, shape).astype("float32")
    w = rng.integers(-3, 4, (16, 16, 3, 3)).astype("float32")
    bias = np.arange(16, dtype="float32")
    along = bias.reshape(16, 1, 1) if layout == "channels_first" else bias
    words = {"backend": backend, "layout": layout, "padding": 1}
    for operator in (convref.conv, convref.conv_transpose):
        np.testing.assert_array_equal(
            operator(x, w, bias, **words), operator(x, w, **words) + along
        )
