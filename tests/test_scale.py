"""Dask arrays: what one machine computes in one piece, block by block, wherever the blocks end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster, futures_of
from hypothesis import assume, given
from hypothesis import strategies as st
from messages import refused
from ml_dtypes import bfloat16
from strategies import LARGE, Problem, problems

import convref
from convref import DtypeError, MissingExtraError, ShapeError, WordError, scale, verify
from convref.scale import operators

ROOT = Path(__file__).parents[1]
SCHEDULERS = ("synchronous", "threads", "processes")


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@st.composite
def chunks(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Any chunks, of any sizes, side by side."""
    along = []
    for length in shape:
        cuts = draw(st.sets(st.integers(1, length - 1), max_size=4)) if length > 1 else set()
        along.append(tuple(np.diff([0, *sorted(cuts), length]).tolist()))
    return tuple(along)


def chunked(data: st.DataObject, array: np.ndarray[Any, Any]) -> da.Array:
    return da.from_array(array, chunks=data.draw(chunks(array.shape)))


def same(found: da.Array, expected: np.ndarray[Any, Any]) -> None:
    """Of the shape and the dtype that were promised, and equal to the bit."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(found.compute(), expected, strict=True)


def asked_for(data: st.DataObject, shape: tuple[int, ...]) -> Any:
    return data.draw(st.one_of(st.none(), chunks(shape)))


# Exact integers: any shapes, words and chunks.


@given(p=problems(), data=st.data())
def test_forward(p: Problem, data: st.DataObject) -> None:
    wanted = asked_for(data, p.dy.shape)
    x, bias = chunked(data, p.x), p.bias()
    y = scale.conv(x, p.w, bias, chunks=wanted, backend="numpy", **p.words)
    assert wanted in (None, y.chunks)
    same(y, convref.conv(p.x, p.w, bias, backend="numpy", **p.words))


@given(p=problems(), data=st.data())
def test_input_grad(p: Problem, data: st.DataObject) -> None:
    wanted = asked_for(data, p.x.shape)
    dy, w = chunked(data, p.dy), chunked(data, p.w)
    dx = scale.conv_input_grad(dy, w, p.input_size, chunks=wanted, backend="numpy", **p.words)
    assert wanted in (None, dx.chunks)
    same(dx, convref.conv_input_grad(p.dy, p.w, p.input_size, backend="numpy", **p.words))


@given(p=problems(), data=st.data())
def test_weight_grad(p: Problem, data: st.DataObject) -> None:
    wanted = asked_for(data, p.w.shape)
    x, dy = chunked(data, p.x), chunked(data, p.dy)
    dw = scale.conv_weight_grad(x, dy, p.kernel, chunks=wanted, backend="numpy", **p.words)
    assert wanted in (None, dw.chunks)
    same(dw, convref.conv_weight_grad(p.x, p.dy, p.kernel, backend="numpy", **p.words))


@given(p=problems(modes=("zeros",), spread_out=False), data=st.data())
def test_transposed(p: Problem, data: st.DataObject) -> None:
    assume(min(p.input_size))
    words = {**p.without("input_dilation", "padding_mode"), "output_size": p.input_size}
    wanted, bias = asked_for(data, p.x.shape), np.arange(p.channels)
    y = scale.conv_transpose(
        chunked(data, p.dy), p.w, bias, chunks=wanted, backend="numpy", **words
    )
    assert wanted in (None, y.chunks)
    same(y, convref.conv_transpose(p.dy, p.w, bias, backend="numpy", **words))


@pytest.mark.slow
@given(p=problems(scale=LARGE), data=st.data())
def test_large(p: Problem, data: st.DataObject) -> None:
    p = p.astype(np.float32)
    x, dy = chunked(data, p.x), chunked(data, p.dy)
    same(scale.conv(x, p.w, **p.words), convref.conv(p.x, p.w, **p.words))
    dx = convref.conv_input_grad(p.dy, p.w, p.input_size, **p.words)
    same(scale.conv_input_grad(dy, p.w, p.input_size, **p.words), dx)
    dw = convref.conv_weight_grad(p.x, p.dy, p.kernel, **p.words)
    same(scale.conv_weight_grad(x, dy, p.kernel, **p.words), dw)


@pytest.mark.parametrize(
    ("size", "cut", "words"),
    [
        (20, 1, {"dilation": 3}),  # chunks shorter than the kernel
        (20, 2, {"stride": 7}),  # and than the stride
        (3, 1, {"padding": 9, "stride": 4}),  # windows that lie in padding alone
        (3, 2, {"padding": 9, "padding_mode": "circular"}),  # the input several times
        (0, 1, {"padding": 4}),  # no input at all
        (20, (5, 1, 11, 3), {"padding": (-3, -4)}),  # cropped
        (5, 2, {"input_dilation": 4, "padding_mode": "reflect", "padding": 6}),
    ],
)
@pytest.mark.parametrize("pieces", [1, 3, -1])
def test_corners(size: int, cut: Any, words: dict[str, Any], pieces: int) -> None:
    x, w = np.arange(2.0 * size).reshape(2, size), np.arange(1.0, 25.0).reshape(4, 2, 3)
    if "padding" in words and isinstance(words["padding"], tuple):
        words = {**words, "padding": (words["padding"],)}
    given = da.from_array(x, chunks=(1, cut))
    y = convref.conv(x, w, backend="numpy", **words)
    same(scale.conv(given, w, chunks=(2, pieces), backend="numpy", **words), y)
    dw = convref.conv_weight_grad(x, y, (3,), backend="numpy", **words)
    dy = da.from_array(y, chunks=(3, pieces))
    same(scale.conv_weight_grad(given, dy, (3,), backend="numpy", **words), dw)
    dx = convref.conv_input_grad(y, w, size, backend="numpy", **words)
    same(scale.conv_input_grad(dy, w, size, chunks=(-1, cut), backend="numpy", **words), dx)


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 7, 12])
def test_chunks_of_channels_need_not_be_groups(pieces: int, rng: np.random.Generator) -> None:
    x, w = rng.integers(-9, 9, (2, 9, 8)), rng.integers(-9, 9, (12, 3, 3))
    y = convref.conv(x, w, groups=3)
    found = scale.conv(da.from_array(x, chunks=(1, 2, 4)), w, groups=3, chunks={1: pieces})
    assert max(found.chunks[1]) == pieces
    same(found, y)
    dy = da.from_array(y, chunks=(1, pieces, 3))
    dx = scale.conv_input_grad(dy, w, 8, groups=3, chunks={1: min(9, pieces)})
    same(dx, convref.conv_input_grad(y, w, 8, groups=3))
    dw = scale.conv_weight_grad(da.from_array(x, chunks=(2, 4, 5)), dy, (3,), groups=3)
    same(dw, convref.conv_weight_grad(x, y, (3,), groups=3))


# Floats, and dtypes that are summed in others.


@given(
    p=problems(),
    dtype=st.sampled_from(["float16", bfloat16, "float32", "float64", "complex64"]),
    data=st.data(),
    seed=st.integers(0, 99),
)
def test_within_the_bound(p: Problem, dtype: Any, data: st.DataObject, seed: int) -> None:
    p = p.with_reals(seed, dtype)
    x, dy = chunked(data, p.x), chunked(data, p.dy)
    y = scale.conv(x, p.w, backend="numpy", **p.words)
    dx = scale.conv_input_grad(dy, p.w, p.input_size, backend="numpy", **p.words)
    dw = scale.conv_weight_grad(x, dy, p.kernel, backend="numpy", **p.words)
    assert {y.dtype, dx.dtype, dw.dtype} == {np.dtype(dtype)}
    assert verify(y.compute(), p.x, p.w, **p.words).ok
    assert verify(dx.compute(), p.dy, p.w, kind="input_grad", **p.words).ok
    assert verify(dw.compute(), p.x, p.dy, kind="weight_grad", **p.words).ok


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", ">i4", ">f4", "longdouble"])
@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_dtypes(dtype: str, mode: str, rng: np.random.Generator) -> None:
    """Integers wrap, truth stays truth, and results are in the order of this machine."""
    x, w = (rng.integers(-99, 99, shape).astype(dtype) for shape in ((2, 3, 9), (4, 3, 5)))
    words = {"padding": 2, "padding_mode": mode, "backend": "numpy"}
    given, y = da.from_array(x, chunks=(1, 2, 4)), convref.conv(x, w, **words)
    dy = da.from_array(y, chunks=(1, 2, 4))
    same(scale.conv(given, w, **words), y)
    same(scale.conv_input_grad(dy, w, 9, **words), convref.conv_input_grad(y, w, 9, **words))
    dw = convref.conv_weight_grad(x, y, (5,), **words)
    same(scale.conv_weight_grad(given, dy, (5,), **words), dw)


def test_sums_are_rounded_once() -> None:
    """2048 + 1 is no number of float16, and 2048 + 1 + 1 is."""
    ones = da.ones((1, 2050), chunks=1, dtype=np.float16)
    assert scale.conv_weight_grad(ones, ones, (1,), backend="numpy").compute() == 2050
    words = {"accumulate": "float64", "backend": "numpy"}
    x = da.from_array(np.array([[1e8, 1.0, -1e8]], np.float32), chunks=1)
    dy = da.ones((1, 3), chunks=1, dtype=np.float32)
    assert scale.conv_weight_grad(x, dy, (1,), **words).compute() == 1


def test_exact_is_exact(rng: np.random.Generator) -> None:
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 20), (4, 3, 5)))
    y = scale.conv(da.from_array(x, chunks=(1, 2, 7)), w, backend="exact")
    same(y, convref.conv(x, w, backend="exact"))


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_padding_is_literal_and_what_is_not_reached_is_not_read(value: float) -> None:
    x, w = np.ones((1, 4)), np.array([[[value, 1.0]]])
    y = convref.conv(x, w, padding=2)
    same(scale.conv(da.from_array(x, chunks=1), w, padding=2), y)
    dx = convref.conv_input_grad(y[:, :2], w, 9, stride=5)
    same(scale.conv_input_grad(da.from_array(y[:, :2], chunks=1), w, 9, stride=5, chunks=1), dx)


# Chunks, laziness, bits.


def test_usual_chunks_follow_those_of_the_input() -> None:
    x = da.ones((3, 2, 40, 30), chunks=(2, 1, 16, 7))
    w = np.ones((5, 2, 3, 3))
    y = scale.conv(x, w, stride=(2, 1))
    assert y.chunks == ((2, 1), (5,), (8, 8, 3), (7, 7, 7, 7))
    back = scale.conv_input_grad(y, w, (40, 30), stride=(2, 1))
    assert back.chunks == ((2, 1), (2,), (16, 16, 8), (7, 7, 7, 9))
    up = scale.conv_transpose(x, np.ones((2, 1, 2, 2)), stride=2)
    assert up.chunks == ((2, 1), (1,), (32, 32, 16), (14, 14, 14, 14, 4))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (None, ((1, 1), (5,), (7, 3))),
        (2, ((2,), (2, 2, 1), (2,) * 5)),
        (-1, ((2,), (5,), (10,))),
        ((None, 3, None), ((1, 1), (3, 2), (7, 3))),
        ([1, -1, (4, 6)], ((1, 1), (5,), (4, 6))),
        ({-1: 4, 0: -1}, ((2,), (5,), (4, 4, 2))),
        ({1: "auto"}, ((1, 1), (5,), (7, 3))),
        ("auto", ((2,), (5,), (10,))),
    ],
)
def test_ways_to_write_chunks(written: Any, read: Any) -> None:
    x = da.ones((2, 3, 12), chunks=(1, 2, 7))
    assert scale.conv(x, np.ones((5, 3, 3)), chunks=written).chunks == read


def test_usual_chunks_are_bounded() -> None:
    """By the result where channels become more, by the slab where they become fewer."""
    for inside, filters in ((1, 64), (64, 1)):
        x = da.ones((1, inside, 64, 64), chunks=(1, 1, 64, 64))
        with dask.config.set({"array.chunk-size": "64KiB"}):
            y = scale.conv(x, np.ones((filters, inside, 3, 3)), padding="same")
        assert 8 * max(inside, filters) * max(y.chunks[2]) * max(y.chunks[3]) <= 64 * 1024
        assert y.numblocks[2] * y.numblocks[3] <= 128
    with dask.config.set({"array.chunk-size": "1B"}):
        assert max(map(max, scale.conv(da.ones((1, 4)), np.ones((1, 1, 1))).chunks)) == 1


def test_graphs_are_built_without_computing() -> None:
    def fails() -> None:
        raise AssertionError("computed")

    x = da.map_blocks(fails, chunks=((1,), (2,), (500_000,) * 2000), dtype=np.float32)
    started = time.perf_counter()
    y = scale.conv(x, np.ones((3, 2, 5), np.float32), padding="same")
    dx = scale.conv_input_grad(y, np.ones((3, 2, 5), np.float32), 10**9, padding="same")
    dw = scale.conv_weight_grad(x, y, (5,), padding="same")
    assert time.perf_counter() - started < 20
    assert (y.shape, dx.shape, dw.shape) == ((1, 3, 10**9), x.shape, (3, 2, 5))
    with pytest.raises(AssertionError, match="computed"):
        y[0, 0, 0].compute()


def test_cost_grows_linearly() -> None:
    tasks = []
    for count in (20, 40, 80):
        x = da.ones((1, 1, 4 * count, 4 * 5), chunks=(1, 1, 4, 4))
        y = scale.conv(x, np.ones((2, 1, 3, 3)), padding="same")
        tasks.append(len(y.__dask_graph__()))
    assert tasks[2] - tasks[1] == 2 * (tasks[1] - tasks[0])


def test_equal_chunks_give_equal_bits(rng: np.random.Generator) -> None:
    x, dy = (rng.standard_normal((7, 3, 60)).astype(np.float32) for _ in range(2))
    given = [da.from_array(array, chunks=(1, 2, 13)) for array in (x, dy)]
    dw = scale.conv_weight_grad(*given, (5,), padding="same", backend="numpy")
    results = {dw.compute(scheduler=name, num_workers=2).tobytes() for name in SCHEDULERS}
    assert len(results) == 1


def test_the_back_end_is_the_one_chosen_when_the_graph_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = []

    def forward(x: Any, w: Any, bias: Any, spec: Any, options: Any) -> Any:
        chosen.append((options.backend, options.threads))
        return np.ones((1, 2))

    monkeypatch.setattr(operators.engine, "forward", forward)
    x = da.ones((1, 4), chunks=2)
    with convref.using_backend("naive"):
        y = scale.conv(x, np.ones((1, 1, 1)))
    y.compute()
    scale.conv(x, np.ones((1, 1, 1)), backend="numpy", threads=3).compute()
    assert chosen == [("naive", 1)] * 2 + [("numpy", 3)] * 2


# Where arrays come from, and go to.


def test_memory_maps(tmp_path: Path) -> None:
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(1, 2, 40, 30))
    x[:] = np.arange(x.size).reshape(x.shape) % 7
    y = np.memmap(tmp_path / "y", np.float32, "w+", shape=(1, 1, 20, 15))
    w = np.ones((1, 2, 3, 3), np.float32)
    given = da.from_array(x, chunks=(1, 1, 9, 11))
    da.store(scale.conv(given, w, stride=2, padding="same"), y)
    np.testing.assert_array_equal(y, convref.conv(np.asarray(x), w, stride=2, padding="same"))


def test_zarr(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="no extra needs it")
    x = np.arange(240.0).reshape(2, 120)
    stored = tmp_path / "x.zarr"
    da.from_array(x, chunks=(1, 50)).to_zarr(str(stored))
    w = np.arange(6.0).reshape(1, 2, 3)
    y = scale.conv(da.from_zarr(str(stored)), w, chunks={1: 40})
    y.to_zarr(str(tmp_path / "y.zarr"))
    same(da.from_zarr(str(tmp_path / "y.zarr")), convref.conv(x, w))


# Schedulers and clusters.


def operators_of(x: np.ndarray[Any, Any], w: np.ndarray[Any, Any]) -> list[Any]:
    """All four over Dask arrays, and by one machine."""
    words: dict[str, Any] = {"stride": 2, "padding": "same", "backend": "numpy"}
    y = convref.conv(x, w, **words)
    given, dy = da.from_array(x, chunks=(1, 2, 13)), da.from_array(y, chunks=(2, 3, 7))
    size = x.shape[2:]
    return [
        (scale.conv(given, w, **words), y),
        (scale.conv_transpose(dy, w, **words), convref.conv_transpose(y, w, **words)),
        (scale.conv_input_grad(dy, w, size, **words), convref.conv_input_grad(y, w, size, **words)),
        (
            scale.conv_weight_grad(given, dy, w.shape[2:], **words),
            convref.conv_weight_grad(x, y, w.shape[2:], **words),
        ),
    ]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers(name: str, rng: np.random.Generator) -> None:
    x, w = rng.integers(-9, 9, (3, 4, 60)), rng.integers(-9, 9, (6, 4, 5))
    with dask.config.set(scheduler=name, num_workers=2):
        for found, expected in operators_of(x, w):
            same(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_clusters(workers: int, rng: np.random.Generator) -> None:
    x, w = rng.integers(-9, 9, (3, 4, 60)), rng.integers(-9, 9, (6, 4, 5))
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        found, expected = zip(*operators_of(x, w), strict=True)
        for result, wanted in zip(client.gather(client.compute(found)), expected, strict=True):
            np.testing.assert_array_equal(result, wanted, strict=True)


def slowly(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    time.sleep(0.05)
    return x


@pytest.mark.slow
def test_a_worker_killed_half_way(rng: np.random.Generator) -> None:
    x, w = rng.integers(-9, 9, (1, 2, 400)), rng.integers(-9, 9, (3, 2, 5))
    given = da.from_array(x, chunks=(1, 2, 10)).map_blocks(slowly)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        y = scale.conv(given, w, padding="same", backend="numpy").persist()
        futures = futures_of(y)
        while sum(future.done() for future in futures) < len(futures) // 2:
            time.sleep(0.01)
        victim = next(iter(client.run(os.getpid).values()))
        assert not all(future.done() for future in futures)
        os.kill(victim, signal.SIGKILL)
        np.testing.assert_array_equal(
            y.compute(scheduler=client), convref.conv(x, w, padding="same"), strict=True
        )
        assert victim not in client.run(os.getpid).values()


@pytest.mark.slow
def test_a_volume_is_streamed() -> None:
    """The benchmark, small: right, and in less memory than the volume would need in one piece."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", "--gigabytes", "0.6", "--workers", "1"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    columns = run.stdout.splitlines()[-1].split()
    assert columns[-1] == "right"
    assert columns[0] == "0.60"
    assert float(columns[-3]) < 2  # a layer's output alone has 2.4


# What is refused, when the graph is built.


def small() -> da.Array:
    return da.ones((1, 2, 8), chunks=(1, 1, 3))


W = np.ones((3, 2, 3))


def test_only_dask_arrays() -> None:
    with refused(
        DtypeError,
        "conv: `x` (ndarray) is not a Dask array; wrap it, which copies nothing: "
        "dask.array.from_array(x, chunks=...)",
    ):
        scale.conv(np.ones((1, 2, 8)), W)
    with refused(
        DtypeError,
        "conv_weight_grad: `dy` (list) is not a Dask array; wrap it, which copies nothing: "
        "dask.array.from_array(dy, chunks=...)",
    ):
        scale.conv_weight_grad(small(), [[1]], (3,))
    with refused(
        DtypeError,
        "conv_input_grad: `dy` has dtype object, which can't be convolved; use one of float16, "
        "bfloat16, float32, float64, complex64, complex128, integers and booleans",
    ):
        scale.conv_input_grad(small().astype(object), W, 9)


def test_unknown_sizes() -> None:
    x = da.ones((10, 2, 8), chunks=(5, 2, 8))
    x = x[x[:, 0, 0] > 0]
    with refused(
        ShapeError,
        "conv_transpose: `x` has chunks of unknown sizes (shape (nan, 2, 8)); call "
        "x.compute_chunk_sizes(), or say them where it is made",
    ):
        scale.conv_transpose(x, np.ones((2, 1, 3)))
    known = x.compute_chunk_sizes()
    assert scale.conv_transpose(known, np.ones((2, 1, 3))).shape == (10, 1, 10)


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ((1, 3, 99, 1), "Chunks and shape must be of the same length/dimension. Got chunks="),
        ((1, 3, (2, 3)), "Chunks do not add up to shape. Got chunks="),
        ("small", "Could not interpret"),
        ({7: 1}, "it has no axis 7"),
        (0, "a chunk has no position"),
        ((1, 3, (0, 6)), "a chunk has no position"),
        (-2, "Empty tuples are not allowed in chunks"),
        (1.5, ""),
    ],
)
def test_chunks_that_do_not_fit(chunks: Any, reason: str) -> None:
    with pytest.raises(WordError) as caught:
        scale.conv(small(), W, chunks=chunks)
    message = f"conv: `chunks` (={chunks!r}) do not cut a result of shape (1, 3, 6): {reason}"
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith("; write them as for dask.array.rechunk")


def test_the_engine_s_own_refusals_come_early() -> None:
    """With the text of the function of the same name on one array."""
    x, dy = np.ones((1, 2, 8)), np.ones((1, 3, 6))
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("conv", (x, np.ones((3, 4, 3))), {}),
        ("conv", (x, np.ones((3, 2))), {}),
        ("conv", (x, W, np.ones(2)), {}),
        ("conv", (x, W), {"groups": 2}),
        ("conv", (x, np.ones((3, 2, 9))), {}),
        ("conv", (x, W), {"backend": "cuda"}),
        ("conv", (x, W), {"backend": "fft", "accumulate": "int64"}),
        ("conv", (x.astype(int), W.astype(int)), {"backend": "fft"}),
        ("conv", (x, W), {"threads": 0}),
        ("conv", (x, W), {"accumulate": "int64"}),
        ("conv_transpose", (x, W), {}),
        ("conv_transpose", (dy, W), {"output_padding": 1}),
        ("conv_transpose", (dy, W), {"output_size": 20}),
        ("conv_input_grad", (dy, W, 9), {}),
        ("conv_input_grad", (dy, W, 8), {"strides": 2}),
        ("conv_input_grad", (dy, W, (8, 8)), {}),
        ("conv_weight_grad", (x, dy, 3), {}),
        ("conv_weight_grad", (x, dy, (4,)), {}),
        ("conv_weight_grad", (x, np.ones((2, 3, 6)), (3,)), {}),
    ]
    for name, operands, words in calls:
        with pytest.raises(convref.ConvrefError) as caught:
            getattr(convref, name)(*operands, **words)
        lazy = [da.from_array(array, chunks=2) for array in operands[:1]]
        if name == "conv_weight_grad":
            lazy.append(da.from_array(operands[1], chunks=2))
        with refused(type(caught.value), str(caught.value)):
            getattr(scale, name)(*lazy, *operands[len(lazy) :], **words)


def test_exact_sums_of_blocks() -> None:
    x, dy = small(), da.ones((1, 3, 6), chunks=(1, 3, 2))
    with refused(
        WordError,
        "conv_weight_grad: `backend` (='exact') rounds each result once, and over 3 blocks of `dy` "
        "sums of rounded blocks are added; use 'numpy', or convref's function of the same name on "
        "one array",
    ):
        scale.conv_weight_grad(x, dy, (3,), backend="exact")
    whole = scale.conv_weight_grad(x, dy.rechunk(-1), (3,), backend="exact")
    np.testing.assert_array_equal(whole.compute(), np.full((3, 2, 3), 6.0))
    with refused(
        WordError,
        "conv_input_grad: `backend` (='exact') rounds each result once, and with "
        "padding_mode='reflect' sums of rounded blocks are added; use 'numpy', or convref's "
        "function of the same name on one array",
    ):
        scale.conv_input_grad(
            dy, np.ones((3, 2, 5)), 8, padding=1, padding_mode="reflect", backend="exact"
        )


def test_without_dask() -> None:
    script = (
        "import sys; sys.modules['dask.array'] = None\n"
        "try:\n    import convref.scale\n"
        "except ImportError as error:\n    print(type(error).__name__, error)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    expected = "the package dask is not installed; pip install 'convref[dask]'\n"
    assert run.stdout == f"{MissingExtraError.__name__} {expected}"


def test_a_sweep_without_a_cluster() -> None:
    with refused(
        WordError, "sweep: there is no cluster to work on; make one: distributed.Client()"
    ):
        scale.sweep("torch")
