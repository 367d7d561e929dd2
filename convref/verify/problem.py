"""A problem: which operator, of which operands, under which words, and what is done to its result.

What an implementation got wrong is written as a change of the problem: it solved another one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from convref.errors import ConvrefError
from convref.geometry import Geometry, bind
from convref.spec import ConvSpec, Words
from convref.verify.reference import (
    Reference,
    Shape,
    check,
    compute,
    reference,
    spatial,
    widened,
)

Array = NDArray[Any]
Change = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Problem:
    """Operands in the order that `verify` takes them, words, and the shape of the output."""

    kind: str
    shape: Shape
    x: Array
    w: Array
    bias: Array | None
    words: Words
    after: tuple[Change, ...] = field(default=())
    """Linear maps of the result, which is given back in ``shape``."""

    @property
    def spec(self) -> ConvSpec:
        """The words, normalised."""
        return check(self.kind, self.shape, self.w, self.bias, self.words)

    def value(self) -> Array:
        """The result in a wider format, or in wrapping integers."""
        operands = (self.x, self.w) if self.bias is None else (self.x, self.w, self.bias)
        return self._changed(
            compute(self.kind, self.shape, self.spec, self.words, *map(widened, operands))
        )

    def reference(self) -> Reference:
        """The true result, and what its bound is made of."""
        true = reference(self.kind, self.shape, self.x, self.w, self.bias, self.words)
        if not self.after:
            return true
        magnitude = np.abs(self._changed(true.magnitude)).astype(np.float64)
        return Reference(self._changed(true.value), magnitude, true.terms)

    def _changed(self, result: Array) -> Array:
        for change in self.after:
            result = change(result)
        return result

    # Which operand is what depends on the kind: the weights of a weight gradient are its result,
    # and so on. These say what to do to each, wherever it is.

    def with_words(self, **words: Any) -> "Problem":
        """The problem under other words."""
        return replace(self, words=cast(Words, {**self.words, **words}))

    def with_output(self, change: Change) -> "Problem":
        """The problem with this done to its result."""
        return replace(self, after=(*self.after, change))

    def with_weights(self, change: Change) -> "Problem":
        """The problem with this done to its weights ``(K, C/G, *kernel)``."""
        if self.kind == "weight_grad":
            return self.with_output(change)
        return replace(self, w=change(self.w))

    def with_signal(self, change: Change) -> "Problem":
        """The problem with this done to what it reads: x, or the dy of an input gradient."""
        return replace(self, x=change(self.x))

    @property
    def macs(self) -> int:
        """About how many multiply-adds the result takes."""
        return int(self.x.size) * prod(self.weight_shape[2:]) * max(1, self.weight_shape[0])

    @property
    def weight_shape(self) -> Shape:
        """Of the weights, or their gradient."""
        return self.shape if self.kind == "weight_grad" else self.w.shape

    @property
    def geometry(self) -> Geometry | None:
        """Of the convolution, or of the one that is transposed; None if there is none."""
        larger = self.shape if self.kind in ("transpose", "input_grad") else self.x.shape
        try:
            return bind(self.spec, spatial(larger, self.spec), self.weight_shape[2:])
        except ConvrefError:  # of shapes that do not go together
            return None

    def first_axis(self, axes: int) -> int:
        """Which of so many axes is the first spatial one."""
        return axes - self.spec.rank - (self.spec.layout == "channels_last")

    def channel_axis(self, axes: int) -> int:
        """Which of so many axes is that of the channels."""
        return axes - 1 if self.spec.layout == "channels_last" else self.first_axis(axes) - 1


class Mistake(NamedTuple):
    """What would make an output right."""

    name: str
    """Stable and short: "kernel-flipped"."""
    text: str
    problem: Problem
    """The one that was solved instead."""


def solved(problem: Problem) -> Array | None:
    """The result; None where there is no such problem, or it has another shape."""
    try:
        with np.errstate(all="ignore"):
            result = problem.value()
    except (ConvrefError, ValueError):  # of shapes and words that do not go together
        return None
    return result if result.shape == problem.shape else None


def one_item(problem: Problem, output: Array) -> tuple[Problem, Array]:
    """The first batch item alone, where items are computed apart, and its part of the output."""
    apart = problem.kind in ("forward", "input_grad", "transpose") and not problem.after
    lead = problem.x.ndim - problem.spec.rank - 1
    fits = output.shape == problem.shape and output.ndim == problem.x.ndim
    if not apart or lead != 1 or len(problem.x) < 2 or not fits:
        return problem, output
    first = replace(problem, x=problem.x[:1], shape=(1, *problem.shape[1:]))
    return first, output[:1]
