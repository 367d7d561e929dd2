"""The engines that are compared, one file each, under one contract.

Each file is named after the package that computes, imports it at the top (a missing package makes
the engine unavailable) and offers

- ``VERSION``: what was measured, as printed;
- ``prepare(layer, operator, threads, arrays)``: a call without arguments that computes the
  operator's result from ``arrays`` (x, w and dy, NumPy arrays of shape (N, C, ...), of the dtype to
  compute in, whose channels may lie last in memory) into fresh memory, on ``threads`` threads. What
  users do once per layer, such as building a session, is done here; what they do on each step is
  done in the call. It raises `Unsupported` for what the engine doesn't offer.

What the call returns is turned into a NumPy array by ``numpy.asarray``, outside the timing. Each
engine runs in a process of its own, which also finds its number of threads in the environment
(`THREAD_VARIABLES`), for libraries that only read it there.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, cast

from benchmarks.operands import Arrays
from benchmarks.suite import Layer

ENGINES = ("numba", "numpy", "torch", "onnxruntime", "jax")

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Unsupported(Exception):
    """The engine has no such operator, or not for this dtype."""


class Engine(Protocol):
    """The contract of the files in this folder."""

    VERSION: str

    def prepare(
        self, layer: Layer, operator: str, threads: int, arrays: Arrays
    ) -> Callable[[], Any]:
        """A call that computes the operator's result."""


def load(name: str) -> Engine:
    """The engine of that name; ImportError where its package is not installed."""
    return cast(Engine, import_module(f"benchmarks.engines.{name}"))
