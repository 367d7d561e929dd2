"""A volume larger than memory through a block of a 3-D U-Net: seconds, tasks, peak memory.

``python -m benchmarks.scale --gigabytes 20 [--scheduler cluster --workers 2] [--kill]``

The volume is computed chunk by chunk, convolved (3x3x3, ReLU), halved (3x3x3 with stride 2, ReLU)
and brought back to its size by a transposed convolution; of the output each plane's checksum is
kept. Volume and weights are small integers, so every sum is exact. The volume repeats itself along
its first axis, and so must the checksums, but at its two ends: they are compared, all of them,
with those of a short volume that one call of the net computes in one piece.

Several numbers of gigabytes show how the cost grows. ``--kill`` ends a worker of the cluster when
half of the planes' checksums are there.
"""

import argparse
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import dask
import dask.array as da
import numpy as np
import psutil
from distributed import LocalCluster, futures_of, wait

from benchmarks.text import table
from convref import scale
from convref.layers import Conv3d, ConvTranspose3d, Sequential

PERIOD = 32
"""Planes after which the volume repeats itself, and planes of a chunk."""
SIDE = 512
"""Rows and columns of a plane: a megabyte in float32."""
CHUNK = (1, 1, PERIOD, SIDE // 2, SIDE // 2)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1.0])
    parser.add_argument("--scheduler", choices=("threads", "cluster"), default="threads")
    parser.add_argument("--workers", type=int, default=2, help="threads, or processes of one")
    parser.add_argument("--kill", action="store_true", help="end a worker half-way")
    options = parser.parse_args()
    if options.kill and options.scheduler != "cluster":
        parser.error("--kill needs --scheduler cluster: a thread can't be killed")
    rows = []
    with scheduler(options.scheduler, options.workers) as compute:
        for gigabytes in options.gigabytes:
            rows.append(measured(gigabytes, compute, options.kill))
            print(table(HEADS, rows[-1:]), flush=True)
    if len(rows) > 1:
        print(table(HEADS, rows))


HEADS = (
    "volume",
    "chunks",
    "tasks",
    "graph",
    "computing",
    "GB a minute",
    "peak memory",
    "checksums",
)


def measured(gigabytes: float, compute: Callable[..., Any], kill: bool) -> tuple[str, ...]:
    """One volume, as a row of the table."""
    planes = max(4, round(gigabytes * 1e9 / (4 * SIDE * SIDE * PERIOD))) * PERIOD
    started = time.perf_counter()
    x = volume(planes)
    sums = checksums(scale.predict(unet_block(), x))
    tasks = len(sums.__dask_graph__())
    built = time.perf_counter() - started
    with peak_memory() as peak:
        found = compute(sums, kill)
    seconds = time.perf_counter() - started - built
    with get_context("spawn").Pool(1) as alone:  # whose memory is not measured
        right = np.array_equal(found, alone.apply(expected, [planes]))
    size = x.nbytes / 1e9
    return (
        f"{size:.2f} GB",
        str(x.npartitions),
        str(tasks),
        f"{built:.1f} s",
        f"{seconds:.1f} s",
        f"{size / seconds * 60:.1f}",
        f"{peak[0] / 1e9:.2f} GB",
        "right" if right else "WRONG",
    )


def volume(planes: int) -> da.Array:
    """The input, ``(1, 1, planes, SIDE, SIDE)``, of integers from -2 to 2."""
    chunks = (
        (1,),
        (1,),
        (PERIOD,) * (planes // PERIOD),
        *((side,) * (SIDE // side) for side in CHUNK[3:]),
    )
    return da.map_blocks(
        values, chunks=chunks, dtype=np.float32, meta=np.empty((0,) * 5, np.float32)
    )


def values(block_info: Any = None) -> np.ndarray[Any, Any]:
    """One chunk of the input."""
    return values_at(*(range(*span) for span in block_info[None]["array-location"][2:]))


def values_at(*positions: range) -> np.ndarray[Any, Any]:
    """The input at these positions."""
    z, y, x = np.ix_(*(np.arange(along.start, along.stop, dtype=np.int32) for along in positions))
    z = z % PERIOD
    mixed = z * 40503 ^ (y * 1103 + x * 12345) ^ (x * y >> 4)
    return ((mixed * 2654435 >> 7) % 5 - 2).astype(np.float32)[None, None]


def unet_block() -> Sequential:
    """The net, with weights of -1, 0 and 1."""
    net = Sequential(
        Conv3d(1, 4, 3, padding="same", activation="relu"),
        Conv3d(4, 4, 3, padding=1, stride=2, activation="relu"),
        ConvTranspose3d(4, 1, 2, stride=2),
    )
    rng = np.random.default_rng(8)
    for parameter in net.parameters().values():
        parameter.value[...] = rng.integers(-1, 1, parameter.value.shape, endpoint=True)
    net.training = False
    return net


def checksums(y: da.Array) -> da.Array:
    """One integer per plane, in which each position has a factor of its own."""
    chunks = (y.chunks[2], (1,) * len(y.chunks[3]), (1,) * len(y.chunks[4]))
    parts = y.map_blocks(checksum, drop_axis=(0, 1), chunks=chunks, dtype=np.int64)
    return parts.sum(axis=(1, 2))


def checksum(y: np.ndarray[Any, Any], block_info: Any = None) -> np.ndarray[Any, Any]:
    """Of one block."""
    first, second = (np.arange(*span) for span in block_info[0]["array-location"][3:])
    factors = np.add.outer(first * 31, second * 17) % 61 - 30
    sums = np.einsum("zyx,yx->z", y[0, 0].astype(np.float64), factors.astype(np.float64))
    return sums.astype(np.int64).reshape(-1, 1, 1)


def expected(planes: int) -> np.ndarray[Any, Any]:
    """All checksums, from those of three periods in one piece."""
    x = values_at(range(3 * PERIOD), range(SIDE), range(SIDE))
    place = {0: {"array-location": [(0, 1), (0, 1), (0, 3 * PERIOD), (0, SIDE), (0, SIDE)]}}
    begin, middle, end = np.split(checksum(unet_block()(x), block_info=place).ravel(), 3)
    return np.concatenate([begin, np.tile(middle, planes // PERIOD - 2), end])


@contextmanager
def scheduler(kind: str, workers: int) -> Iterator[Callable[..., Any]]:
    """What computes an array, perhaps ending a worker half-way."""
    if kind == "threads":
        with dask.config.set(scheduler="threads", num_workers=workers):
            yield lambda sums, kill: sums.compute()
        return
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        cluster.get_client() as client,
    ):

        def compute(sums: da.Array, kill: bool) -> Any:
            kept = sums.persist()
            if kill:
                futures = futures_of(kept)
                while sum(future.done() for future in futures) < len(futures) / 2:
                    time.sleep(0.1)
                victim = next(iter(client.run(os.getpid).values()))
                os.kill(victim, signal.SIGKILL)
                print(f"worker of process {victim} killed", flush=True)
            wait(kept)
            return kept.compute()

        yield compute


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """The most bytes that this process and all it started had in memory together, so far."""
    peak, done = [0], threading.Event()

    def look() -> None:
        this = psutil.Process()
        while not done.wait(0.05):
            together = 0
            for process in (this, *this.children(recursive=True)):
                try:
                    together += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            peak[0] = max(peak[0], together)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


if __name__ == "__main__":
    main()
