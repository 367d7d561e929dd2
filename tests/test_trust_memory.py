"""No stray access: operands end, and begin, at pages which nobody may touch.

A kernel that reads or writes one number beyond an operand ends its process with a signal, so all of
this runs in processes of its own. CONVREF_GUARDED_CALLS says how many calls are drawn (400).

What the package itself allocates for its kernels, canvases and partial sums, lies between such
pages as well.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from jit_cases import LANES, WIDEST, Array, flush

import convref
from convref.kernels import jit
from convref.kernels.jit import crew, fills, micro

CALLS = int(os.environ.get("CONVREF_GUARDED_CALLS", "400"))
DTYPES = ("float32", "float64", "int32", "int64", "complex64", "complex128", "float16", "int8")
FILLED = (LANES, 2 * LANES, 3 * LANES, WIDEST, micro.HEIGHTS[0])
EDGES = sorted({1, 2, 3, *(n + d for n in FILLED for d in (-1, 0, 1))})
"""Counts around those of vectors and tiles."""
linux = pytest.mark.skipif(sys.platform != "linux", reason="forbids pages as Linux does")


def drawn(random: Random) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shapes of x and w, channels first, and words."""
    rank, size = random.choice((1, 1, 2, 2, 3)), random.choice
    depthwise = random.random() < 0.3
    groups = size(EDGES) if depthwise else size((1, 1, 2, 3))
    inside, multiplier = (1, size((1, 1, 2))) if depthwise else (size(EDGES), size(EDGES))
    if rank > 1 and not depthwise:
        inside, multiplier = min(inside, 3 * LANES + 1), min(multiplier, 3 * LANES + 1)
    kernel = tuple(size((1, 2, 3, 4)[: 5 - rank]) for _ in range(rank))
    words = {
        "stride": tuple(size((1, 1, 2, 3)) for _ in range(rank)),
        "dilation": tuple(size((1, 1, 2)) for _ in range(rank)),
        "padding": tuple((size((-1, 0, 0, 1, 2)), size((-1, 0, 0, 1, 3))) for _ in range(rank)),
        "groups": groups,
    }
    last = size(EDGES) if rank < 3 else size((1, 2, 5))
    window = [(k - 1) * d + 2 for k, d in zip(kernel, words["dilation"], strict=True)]
    sizes = [reach + size((1, 2, 3)) for reach in window[:-1]] + [window[-1] + last]
    x_shape = (size((1, 2)), groups * inside, *sizes)
    return x_shape, (groups * multiplier, inside, *kernel), words


def whole(random: Random, shape: tuple[int, ...], dtype: str) -> Array:
    values = np.random.default_rng(random.randrange(2**32)).integers(-3, 4, shape)
    return values.astype(dtype)


def compare(random: Random, place: Callable[[Array], Array]) -> str:
    """One convolution with its gradients and its transpose, beside the NumPy back end."""
    x_shape, w_shape, words = drawn(random)
    dtype = random.choice(DTYPES)
    if random.random() < 0.5:
        x_shape = (x_shape[0], *x_shape[2:], x_shape[1])
        words["layout"] = "channels_last"
    x, w = whole(random, x_shape, dtype), whole(random, w_shape, dtype)
    bias = whole(random, w_shape[:1], dtype)
    wanted = convref.conv(x, w, bias, backend="numpy", **words)
    dy = whole(random, wanted.shape, dtype)
    size = x.shape[1:-1] if "layout" in words else x.shape[2:]
    how = {**words, "backend": "numba", "threads": random.choice((1, 2, 3))}
    gx, gw, gb, gdy = map(place, (x, w, bias, dy))

    def check(name: str, found: Array, other: Array) -> None:
        np.testing.assert_array_equal(found, other, f"{name} {dtype} {x_shape} {w_shape} {words}")

    out = place(np.zeros_like(wanted))
    convref.conv(gx, gw, gb, out=out, **how)
    check("conv", out, wanted)
    dx, dw = convref.conv_vjp(x, w, dy, backend="numpy", **words)[:2]
    out = place(np.zeros_like(x))
    convref.conv_input_grad(gdy, gw, size, out=out, **how)
    check("input_grad", out, dx)
    out = place(np.zeros_like(w))
    convref.conv_weight_grad(gx, gdy, w.shape[2:], out=out, **how)
    check("weight_grad", out, dw)
    out = place(np.zeros_like(x))
    convref.conv_transpose(gdy, gw, out=out, output_size=size, **how)
    check("conv_transpose", out, dx)
    for array, before in ((gx, x), (gw, w), (gb, bias), (gdy, dy)):
        check("an operand", array, before)
    return dtype


def guard_scratch(place: Callable[[Array], Array]) -> None:
    """Have the package's own arrays for its kernels lie between forbidden pages, too."""

    def allocate(shape: Any, dtype: Any = float, _: str = "") -> Array:
        return place(np.zeros(shape, dtype)) if np.prod(shape) else np.zeros(shape, dtype)

    guarded = {**vars(np), "empty": allocate, "zeros": allocate}
    jit.np = fills.np = SimpleNamespace(**guarded)  # type: ignore[attr-defined]
    fills.borrow, fills.give_back = allocate, lambda borrowed: None  # type: ignore[attr-defined]


def compute_between_forbidden_pages(calls: int, seed: int) -> None:
    """Print how many calls have been survived, of how many dtypes."""
    crew.WORTH_A_THREAD = 1
    seen = set()
    for number in range(calls):
        random = Random(f"{seed}-{number}")
        place = flush(at_end=number % 2 == 0)
        guard_scratch(place)
        seen.add(compare(random, place))
    print(f"{calls} calls, {len(seen)} dtypes: nothing beyond")


def run(script: str, timeout: int, **environment: str) -> subprocess.CompletedProcess[str]:
    folders = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "PYTHONPATH": folders, **environment},
    )


def survives(calls: int, seed: int) -> None:
    name = "compute_between_forbidden_pages"
    done = run(f"import test_trust_memory as t; t.{name}({calls}, {seed})", 900)
    told = f"{calls} calls, {len(DTYPES)} dtypes: nothing beyond"
    assert (done.stdout.strip(), done.returncode) == (told, 0), done.stderr


@linux
def test_no_kernel_touches_what_is_not_its_own() -> None:
    survives(CALLS, seed=0)


@linux
@pytest.mark.slow
def test_no_kernel_touches_what_is_not_its_own_in_many_calls() -> None:
    survives(20 * CALLS, seed=1)


@linux
@pytest.mark.parametrize("at_end", [True, False])
def test_a_stray_access_would_be_seen(at_end: bool) -> None:
    """Else these tests would find nothing."""
    step = "x.nbytes" if at_end else "-1"
    script = f"""
import ctypes, numpy as np
from jit_cases import flush
x = flush({at_end})(np.ones(5))
print("alive", flush=True)
ctypes.string_at(x.ctypes.data + {step}, 1)
print("still")
"""
    done = run(script, 60)
    assert (done.stdout, done.returncode) == ("alive\n", -11)


@pytest.mark.slow
def test_with_numbas_own_bounds_checks(tmp_path: Path) -> None:
    """Where kernels index arrays; through pointers they are checked by the pages above."""
    script = """
import numpy as np, convref
from convref.kernels.jit import crew
crew.WORTH_A_THREAD = 1
x, w = np.ones((2, 6, 9, 11), np.float32), np.ones((4, 3, 3, 3), np.float32)
words = {"groups": 2, "stride": (1, 2), "padding": 1}
for threads in (1, 3):
    y = convref.conv(x, w, threads=threads, backend="numba", **words)
    convref.conv_vjp(x, w, y, threads=threads, backend="numba", **words)
    convref.depthwise_conv(x, np.ones((6, 1, 3, 3), np.float32), threads=threads)
try:
    crew.take_chunks(np.zeros(1, np.int64), False)  # its first look is beyond the number
except IndexError:
    print("checked")
"""
    done = run(script, 600, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))
    assert (done.stdout.split()[-1:], done.returncode) == (["checked"], 0), done.stderr
