"""What arrays may come in as, and what the bits of the result do not depend on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import in_layout
from rounding import ARITHMETICS, bound
from strategies import LARGE, Problem, problems, reals

from convref import conv, conv_input_grad, conv_vjp, conv_weight_grad, engine
from convref.engine import Options
from convref.spec import ConvSpec

Array = np.ndarray[Any, Any]
SEEDS = st.integers(0, 2**32 - 1)


class OnlyArray:
    def __init__(self, array: Array) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return self._array


class OnlyDlpack:
    def __init__(self, array: Array) -> None:
        self._array = array

    def __dlpack__(self, **how: Any) -> Any:
        return self._array.__dlpack__(**how)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


def unaligned(array: Array) -> Array:
    cells = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    cells[...] = array
    return cells


def backwards(array: Array) -> Array:
    return np.flip(np.flip(array).copy())


def read_only(array: Array) -> Array:
    array = array.copy()
    array.flags.writeable = False
    return array


def strided(array: Array) -> Array:
    return np.repeat(array, 2, axis=-1)[..., ::2]


def swapped(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder())


GUISES: dict[str, Callable[[Array], Any]] = {
    "Fortran order": np.asfortranarray,
    "negative strides": backwards,
    "steps": strided,
    "read-only": read_only,
    "unaligned": unaligned,
    "byte-swapped": swapped,
    "__array__": OnlyArray,
    "__dlpack__": OnlyDlpack,
}


@pytest.mark.parametrize("guise", GUISES)
@given(p=problems(), seed=SEEDS)
def test_bits_do_not_depend_on_how_arrays_come_in(
    backend: str, guise: str, p: Problem, seed: int
) -> None:
    real, disguise = p.with_reals(seed, np.float32), GUISES[guise]
    x, w, dy = (disguise(array) for array in (real.x, real.w, real.dy))
    how = {**p.words, "backend": backend}
    pairs = [
        (conv(x, w, **how), conv(real.x, real.w, **how)),
        *zip(conv_vjp(x, w, dy, **how), conv_vjp(real.x, real.w, real.dy, **how), strict=True),
    ]
    for disguised, plain in pairs:
        np.testing.assert_array_equal(disguised, plain, strict=True)
        assert disguised.flags.c_contiguous
        assert disguised.dtype.isnative


def test_lists_and_scalars_in_lists() -> None:
    np.testing.assert_array_equal(
        conv([[1, 2, 3]], [[[1, 1]]], [10]), np.array([[13, 15]]), strict=True
    )
    np.testing.assert_array_equal(conv([[1.5, 2]], [[[2]]]), np.array([[3.0, 4.0]]), strict=True)


def test_broadcast_views(backend: str) -> None:
    x = np.broadcast_to(np.array([[1.0], [2.0]]), (3, 2, 5))
    w = np.broadcast_to(1.0, (4, 2, 3))
    np.testing.assert_array_equal(conv(x, w, backend=backend), np.full((3, 4, 3), 9.0))
    dy = np.broadcast_to(1.0, (3, 4, 3))
    np.testing.assert_array_equal(
        conv_weight_grad(x, dy, (3,), backend=backend)[0], [[9.0] * 3, [18.0] * 3]
    )


@given(p=problems(), seed=SEEDS)
def test_inputs_are_never_written(backend: str, p: Problem, seed: int) -> None:
    real = p.with_reals(seed, np.float32)
    before = [array.copy() for array in (real.x, real.w, real.dy)]
    conv(real.x, real.w, backend=backend, **p.words)
    conv_vjp(real.x, real.w, real.dy, backend=backend, **p.words)
    for array, copy in zip((real.x, real.w, real.dy), before, strict=True):
        np.testing.assert_array_equal(array, copy, strict=True)


def test_results_share_no_memory_with_inputs(backend: str) -> None:
    x, w = np.ones((1, 1, 4)), np.ones((1, 1, 1))
    results = conv(x, w, backend=backend), *conv_vjp(x, w, x, backend=backend)
    assert not any(np.may_share_memory(result, array) for result in results for array in (x, w))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize(
    ("channels", "filters", "groups", "size"),
    [(16, 24, 1, (13, 13)), (12, 12, 12, (17, 9)), (1, 5, 1, (40,)), (8, 12, 4, (7, 7))],
)
def test_bits_do_not_depend_on_the_batch(
    backend: str,
    rng: np.random.Generator,
    dtype: str,
    channels: int,
    filters: int,
    groups: int,
    size: tuple[int, ...],
) -> None:
    if backend == "naive":
        size = tuple(min(4, length) for length in size)
    rank = len(size)
    x = reals(rng, (5, channels, *size), dtype)
    w = reals(rng, (filters, channels // groups, *[3] * rank), dtype)
    words = {"groups": groups, "padding": 1, "backend": backend}
    y = conv(x, w, **words)
    dx = conv_input_grad(y, w, size, **words)
    for place in range(5):
        np.testing.assert_array_equal(conv(x[place], w, **words), y[place])
        np.testing.assert_array_equal(conv(x[place : place + 2], w, **words)[0], y[place])
        np.testing.assert_array_equal(conv_input_grad(y[place], w, size, **words), dx[place])


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize(
    ("channels", "filters", "groups", "words"),
    [
        (16, 24, 1, {"padding": 1}),
        (12, 24, 12, {"stride": 2, "padding": "same"}),
        (3, 7, 1, {"stride": 3, "dilation": 2}),
        (8, 12, 4, {"padding": [(2, 0), (-1, 3)], "padding_mode": "reflect"}),
        (5, 40, 1, {"layout": "channels_last"}),
    ],
)
def test_bits_do_not_depend_on_threads(
    rng: np.random.Generator,
    dtype: str,
    channels: int,
    filters: int,
    groups: int,
    words: dict[str, Any],
) -> None:
    x = in_layout(reals(rng, (3, channels, 19, 22), dtype), 2, words)
    w = reals(rng, (filters, channels // groups, 3, 3), dtype)
    how = {**words, "groups": groups, "backend": "numba"}
    y = conv(x, w, threads=1, **how)
    alone = (y, *conv_vjp(x, w, y, threads=1, **how))
    for threads in (2, 3, 4, 7):
        shared = conv(x, w, threads=threads, **how), *conv_vjp(x, w, y, threads=threads, **how)
        for one, many in zip(alone, shared, strict=True):
            np.testing.assert_array_equal(one, many, strict=True)


@pytest.mark.usefixtures("eager_threads")
@settings(max_examples=4 * settings.default.max_examples)
@given(p=problems(scale=LARGE), seed=SEEDS, threads=st.sampled_from((2, 3, 4, 7)))
def test_bits_of_any_problem_do_not_depend_on_threads(p: Problem, seed: int, threads: int) -> None:
    real, how = p.with_reals(seed, np.float32), {**p.words, "backend": "numba"}
    for run in (
        lambda n: (conv(real.x, real.w, threads=n, **how),),
        lambda n: conv_vjp(real.x, real.w, real.dy, threads=n, **how),
    ):
        for one, many in zip(run(1), run(threads), strict=True):
            np.testing.assert_array_equal(one, many, strict=True)


ROWS = [(0, 3), (1, 1), (2, 0), (5, 3), (16, 1), (1000, 7), (99, 40_000), (70_000, 1)]


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize(("rows", "filters"), ROWS)
def test_the_gradient_of_a_bias_is_a_sum(rows: int, filters: int, layout: str) -> None:
    spec = ConvSpec.of(1, layout=layout)
    values = np.random.default_rng(rows).integers(-1000, 1000, (2, rows, filters))
    dy = in_layout(np.moveaxis(values, 2, 1), 1, {"layout": layout})
    expected = values.sum(axis=(0, 1))
    np.testing.assert_array_equal(engine.bias_grad(dy, spec, Options()), expected)
    reals = dy * np.float32(0.1)
    exact, moduli = reals.astype(np.float64), abs(reals).astype(np.float64)
    over = (0, 1) if layout == "channels_last" else (0, 2)
    allowed = bound(
        exact.sum(axis=over), moduli.sum(axis=over), np.array(2 * rows), ARITHMETICS["float32"]
    )
    errors = abs(engine.bias_grad(reals, spec, Options()) - exact.sum(axis=over))
    assert np.all(errors <= allowed)


def test_the_gradient_of_a_bias_does_not_stop_growing() -> None:
    """Ones that are added one by one in float32 give no more than ``2**24``."""
    count = 2**24 + 2**20
    dy = np.ones((count, 1), np.float32)
    spec = ConvSpec.of(1, layout="channels_last")
    assert engine.bias_grad(dy, spec, Options()) == [count]
