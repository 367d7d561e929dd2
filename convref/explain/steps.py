"""The definition, one output element at a time: every product, in the order of `kernels/naive`.

A transposed convolution is gathered here, element by element, where `kernels/naive` scatters; the
products of one element come in the same order either way.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref import engine, shapes
from convref.checks import (
    check_bias,
    check_channels,
    check_groups,
    check_transposed_channels,
    rank_of,
)
from convref.dtypes import accumulator, as_array, optional_array, promoted
from convref.errors import WordError, shown, verb
from convref.explain.setting import Setting, setting
from convref.explain.tables import Term, as_html, as_text
from convref.geometry import Geometry
from convref.integers import flag, integer, is_sequence
from convref.spec import Axes, ConvSpec, Words

Array = NDArray[Any]
Shape = tuple[int, ...]


class Operand(NamedTuple):
    """The two factors of a product, and where they are from; positions and taps are flat."""

    channel: int
    tap: int
    position: int
    """Of the input; -1 where a zero stands."""
    x: Any
    w: Any


Operands = Callable[[int, int, int, int], Iterable[Operand]]
"""Those of one output element: batch item, group, channel in the group, position."""


@dataclass(frozen=True)
class Step:
    """One output element and its sum; it prints as a table, and shows as one in a notebook."""

    index: Shape
    """Of the element in the output array."""
    terms: tuple[Term, ...]
    bias: Any
    """What is added to the last sum, or None."""
    total: Any
    """The element: the last sum with the bias, in the dtype of the output."""

    def __str__(self) -> str:
        return as_text(self.index, self.terms, self.bias, self.total)

    def _repr_html_(self) -> str:
        return as_html(self.index, self.terms, self.bias, self.total)


@verb
def step(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    transposed: bool = False,
    output_padding: Axes = 0,
    at: Sequence[int] | None = None,
    **words: Unpack[Words],
) -> Iterator[Step]:
    """Go through `conv`, or `conv_transpose`, one output element after another.

    Arrays and words are those of `conv`, and the totals are the elements of its output, bit for bit
    what ``backend="naive"`` gives. ``at`` is an index of the output: that element alone. Values
    have the dtype that products are summed in. Raises what `conv` raises, before the first step.

    >>> print(next(step([[1, 2, 3]], [[[10, 1]]], padding=(1,))))
    y[0, 0] = 1
    c  tap  input  x   w  x*w  sum
    0    0      -  0  10    0    0
    0    1      0  1   1    1    1
    >>> [int(one.total) for one in step([[1, 2, 3]], [[[10, 1]]])]
    [12, 23]
    """
    transposed = flag("transposed", transposed)
    x, w, b = as_array("x", x), as_array("w", w), optional_array("bias", bias)
    spec = ConvSpec.of(rank_of("w", w.shape), **words)
    dtype = promoted(x=x.dtype, w=w.dtype)
    total = accumulator(dtype, None)
    lead, channels, size = shapes.sizes("x", x.shape, spec)
    filters = output_channels(channels, x, w, spec, transposed)
    check_bias(b, filters, total)
    made = setting(
        size,
        w.shape[2:],
        transposed=transposed,
        output_padding=output_padding,
        in_channels=channels,
        out_channels=filters,
        **words,
    )
    shape = shapes.shape_of(lead, filters, made.output_size, spec)
    indices = np.ndindex(shape) if at is None else iter([checked(at, shape)])
    # Copies, so that what is changed between two steps changes no later one.
    x, w = engine.fold(np.array(x, total, order="C"), spec), engine.fold_w(w, spec, total).copy()
    operands = (gathered if transposed else seen)(made.geometry, x, w)
    biases = None if b is None else b.astype(total)

    def element(index: Shape) -> Step:
        batch, channel, position = shapes.sizes("at", index, spec)
        group, filter = divmod(channel, filters // spec.groups)
        found = operands(flat(batch, lead), group, filter, flat(position, made.output_size))
        with np.errstate(all="ignore"):
            terms = summed(found, made, total.type(0))
            value = terms[-1].sum if terms else total.type(0)
            bias = None if biases is None else biases[channel]
            value = value if bias is None else value + bias
            return Step(index, terms, bias, np.asarray(value).astype(dtype)[()])

    return map(element, indices)


def output_channels(channels: int, x: Array, w: Array, spec: ConvSpec, transposed: bool) -> int:
    """How many there are, if x and w fit each other."""
    if not transposed:
        check_channels(channels, x.shape, w.shape, spec)
        return len(w)
    check_transposed_channels(channels, x.shape, w.shape)
    check_groups(w.shape, spec, "input")
    return int(w.shape[1]) * spec.groups


def checked(at: Sequence[int], shape: Shape) -> Shape:
    """The index of an element, counted from the front."""
    index = tuple(integer("at", entry) for entry in at) if is_sequence(at) else ()
    within = (-length <= entry < length for entry, length in zip(index, shape, strict=False))
    if len(index) != len(shape) or not all(within):
        raise WordError(
            f"`at` (={shown(at)}) is no index of the output (shape {shape})",
            f"give it {len(shape)} integers, each below the size of its axis",
        )
    return tuple(entry % length for entry, length in zip(index, shape, strict=True))


def flat(index: Shape, shape: Shape) -> int:
    """An index counted through all axes, by Horner's rule."""
    return reduce(lambda count, axis: count * axis[1] + axis[0], zip(index, shape, strict=True), 0)


def seen(geometry: Geometry, x: Array, w: Array) -> Operands:
    """What each output sums: over channels and taps, what the tap sees times the weight."""
    canvas, sources = geometry.canvas(x), geometry.sources
    inside = w.shape[2]

    def operands(n: int, g: int, k: int, p: int) -> Iterator[Operand]:
        for c, t in np.ndindex(w.shape[2:]):
            cell = geometry.taps[t] + geometry.origins[p]
            yield Operand(g * inside + c, t, sources[cell], canvas[n, g, c, cell], w[g, k, c, t])

    return operands


def gathered(geometry: Geometry, x: Array, w: Array) -> Operands:
    """What each output of a transposed convolution sums, where a tap meets it from an input."""
    meeting = np.add.outer(geometry.origins, geometry.taps).ravel()
    order = np.argsort(meeting, kind="stable")  # of one cell: by input position, then by tap
    cells = meeting[order]
    showing = dict(zip(geometry.sources.tolist(), range(len(geometry.sources)), strict=True))
    inside = w.shape[1]

    def operands(n: int, g: int, c: int, i: int) -> Iterator[Operand]:
        cell = showing.get(i, -1)  # a cropped output is shown by no cell
        among = order[slice(*np.searchsorted(cells, (cell, cell + 1)))]
        for k in range(inside):
            for p, t in (divmod(int(pair), len(geometry.taps)) for pair in among):
                yield Operand(g * inside + k, t, p, x[n, g, k, p], w[g, k, c, t])

    return operands


def summed(operands: Iterable[Operand], made: Setting, so_far: Any) -> tuple[Term, ...]:
    """The products, and their sums from this one on."""
    terms = []
    for channel, tap, position, x, w in operands:
        product = w * x
        so_far = so_far + product
        where = None if position < 0 else unravelled(position, made.input_size)
        taps = unravelled(tap, made.geometry.kernel_size)
        terms.append(Term(channel, taps, where, x, w, product, so_far))
    return tuple(terms)


def unravelled(position: int, size: Shape) -> Shape:
    """The inverse of `flat`."""
    return tuple(int(entry) for entry in np.unravel_index(position, size))
