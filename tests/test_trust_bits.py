"""Bits: equal for any number of threads, batch position and memory order, in every way at once.

test_engine.py has these one by one. Here any operator, back end and dtype meets any of them, each
operand in a guise of its own.
"""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import LARGE, SMALL, Problem, problems, reals
from test_engine import GUISES

import convref

Array = np.ndarray[Any, Any]
THREADS = (1, 2, 3, 4, 7)
DTYPES = (
    *("float16", ml_dtypes.bfloat16, "float32", "float64", "complex64", "complex128"),
    *("int8", "uint8", "int16", "int32", "int64", "bool"),
)
DISGUISES: dict[str, Callable[[Array], Any]] = {
    "plain": lambda array: array,
    "other axes": lambda array: array.T.copy().T,
    "offset": lambda array: np.concatenate([array[:0].ravel(), array.ravel()]).reshape(array.shape),
    **{name: guise for name, guise in GUISES.items() if not name.startswith("__")},
}
OPERATORS: dict[str, Callable[..., Array]] = {
    "conv": lambda p, x, w, dy, how: convref.conv(x, w, **how),
    "input_grad": lambda p, x, w, dy, how: convref.conv_input_grad(dy, w, p.input_size, **how),
    "weight_grad": lambda p, x, w, dy, how: convref.conv_weight_grad(x, dy, p.kernel, **how),
    "bias_grad": lambda p, x, w, dy, how: convref.conv_vjp(x, w, dy, **how)[2],
}


def with_values(p: Problem, seed: int, dtype: Any) -> Problem:
    """Values whose sums depend on the order, or any bits of integers."""
    if np.dtype(dtype).kind in "iub":
        return p.astype(dtype)
    return p.with_reals(seed, dtype)


def draw(scale: Any) -> Callable[..., Any]:
    return given(
        p=problems(scale=scale),
        seed=st.integers(0, 2**32 - 1),
        dtype=st.sampled_from(DTYPES),
        operator=st.sampled_from(sorted(OPERATORS)),
        guises=st.tuples(*[st.sampled_from(sorted(DISGUISES))] * 3),
        threads=st.sampled_from(THREADS),
    )


@pytest.mark.usefixtures("eager_threads")
@draw(SMALL)
def test_any_guise_on_any_number_of_threads(
    backend: str, p: Problem, seed: int, dtype: Any, operator: str, guises: Any, threads: int
) -> None:
    assert_bits_are_equal(p, seed, dtype, operator, guises, threads, backend)


@pytest.mark.usefixtures("eager_threads")
@settings(max_examples=2 * settings.default.max_examples)
@draw(LARGE)
def test_any_guise_of_many_channels_and_positions(
    p: Problem, seed: int, dtype: Any, operator: str, guises: Any, threads: int
) -> None:
    for backend in ("numpy", "numba"):
        assert_bits_are_equal(p, seed, dtype, operator, guises, threads, backend)


def assert_bits_are_equal(
    p: Problem, seed: int, dtype: Any, operator: str, guises: Any, threads: int, backend: str
) -> None:
    """Of the operands as they are on one thread, and in guises on several."""
    real, how = with_values(p, seed, dtype), {**p.words, "backend": backend}
    arrays = real.x, real.w, real.dy
    disguised = [
        DISGUISES[guise](array) if array.size else array
        for guise, array in zip(guises, arrays, strict=True)
    ]
    plain = OPERATORS[operator](p, *arrays, {**how, "threads": 1})
    found = OPERATORS[operator](p, *disguised, {**how, "threads": threads})
    assert found.dtype == plain.dtype
    assert found.tobytes() == plain.tobytes()


@given(
    p=problems(),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(DTYPES),
    place=st.integers(0),
)
def test_any_place_in_any_batch(
    backend: str, p: Problem, seed: int, dtype: Any, place: int
) -> None:
    """A sample alone, and with others before and behind it."""
    if not p.batch or 0 in p.batch:
        return
    real, how = with_values(p, seed, dtype), {**p.words, "backend": backend}
    n = place % p.batch[0]
    y, dx = convref.conv(real.x, real.w, **how), convref.conv_input_grad(
        real.dy, real.w, p.input_size, **how
    )  # fmt: skip
    assert convref.conv(real.x[n], real.w, **how).tobytes() == y[n].tobytes()
    again = np.concatenate([real.x[:n], real.x[n:], real.x])
    assert convref.conv(again, real.w, **how)[n].tobytes() == y[n].tobytes()
    alone = convref.conv_input_grad(real.dy[n], real.w, p.input_size, **how)
    assert alone.tobytes() == dx[n].tobytes()


@pytest.mark.numba
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("size", [16, 60])
def test_a_sample_of_many_channels_in_any_batch(
    size: int, layout: str, rng: np.random.Generator
) -> None:
    """Alone its positions may fill the lanes; in a batch the filters do."""
    x, w = reals(rng, (3, 256, size), np.float32), reals(rng, (64, 256, 3), np.float32)
    if layout == "channels_last":
        x = np.ascontiguousarray(x.transpose(0, 2, 1))
    how: dict[str, Any] = {"layout": layout, "backend": "numba", "padding": 1}
    y = convref.conv(x, w, **how)
    dx = convref.conv_input_grad(y, w, (size,), **how)
    for n in range(3):
        alone = convref.conv(x[n], w, **how)
        assert alone.tobytes() == y[n].tobytes()
        back = convref.conv_input_grad(alone, w, (size,), **how)
        assert back.tobytes() == dx[n].tobytes()


def test_broadcast_views_have_the_bits_of_their_copies(
    backend: str, rng: np.random.Generator
) -> None:
    row, tap = reals(rng, (1, 2, 1, 7), np.float32), reals(rng, (4, 1, 1, 3), np.float32)
    x, w = np.broadcast_to(row, (3, 2, 5, 7)), np.broadcast_to(tap, (4, 2, 2, 3))
    y = convref.conv(x, w, backend=backend)
    assert y.tobytes() == convref.conv(x.copy(), w.copy(), backend=backend).tobytes()
    dy = np.broadcast_to(reals(rng, (1, 1, 1, 5), np.float32), y.shape)
    views = convref.conv_vjp(x, w, dy, backend=backend)
    copies = convref.conv_vjp(x.copy(), w.copy(), dy.copy(), backend=backend)
    assert [a.tobytes() for a in views] == [a.tobytes() for a in copies]


@pytest.mark.parametrize("guise", sorted(DISGUISES))
def test_fft(guise: str, rng: np.random.Generator) -> None:
    """The back end that must be named."""
    x, w = reals(rng, (3, 2, 9, 40), np.float32), reals(rng, (4, 2, 3, 11), np.float32)
    plain = convref.conv(x, w, backend="fft", threads=1)
    for threads in THREADS:
        found = convref.conv(DISGUISES[guise](x), w, backend="fft", threads=threads)
        assert found.tobytes() == plain.tobytes()
    assert convref.conv(x[1], w, backend="fft").tobytes() == plain[1].tobytes()
