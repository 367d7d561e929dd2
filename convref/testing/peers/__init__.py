"""Frameworks that are run on drawn cases, one a file.

Each file has ``LIMITS``, sets of limits of `conv_cases` that say what the framework computes; and
``outputs(case)``, which gives y by this name, and the gradients dx, dw and db if there are any, as
arrays of the shapes that x, w and the bias have.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from convref.errors import MissingExtraError, WordError, shown
from convref.testing.case import ConvCase

PACKAGES = {
    "torch": ("torch",),
    "jax": ("jax",),
    "keras": ("keras",),
    "onnxruntime": ("onnxruntime", "onnx"),
}
"""Each peer, and the packages that it needs, its own the first."""


class Peer(Protocol):
    """What a file of this folder offers."""

    LIMITS: Sequence[dict[str, Any]]

    def outputs(self, case: ConvCase) -> dict[str, NDArray[Any]]:
        """What the framework computes."""


def load(name: str) -> tuple[Peer, str]:
    """A peer and the version of its framework; raise WordError or MissingExtraError."""
    chosen = name.lower()
    if chosen not in PACKAGES:
        known = ", ".join(map(repr, PACKAGES))
        raise WordError(f"`against` (={shown(name)}) is no framework that is known", f"use {known}")
    missing = [package for package in PACKAGES[chosen] if find_spec(package) is None]
    if missing:
        raise MissingExtraError(
            f"`against` (={shown(name)}) needs {' and '.join(missing)}, not installed here",
            f"pip install {' '.join(missing)}",
        )
    module = import_module(f"convref.testing.peers.{chosen}")
    return cast(Peer, module), version(PACKAGES[chosen][0])
