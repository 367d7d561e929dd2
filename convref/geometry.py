"""Geometry: a spec bound to sizes. The one home of index arithmetic.

On every axis, output position o, kernel tap k and input position i are tied by

    i = o * stride + k * dilation - lo             (in units of the spread-out input)

The input is placed once on a *canvas*, which holds the padded, spread-out or cropped input. There,
flattened over all axes, tap t of output position p reads

    canvas[tap[t] + origin[p]]

so one vector of T tap offsets and one of P origins say everything about stride, dilation, padding
and rank. The back ends see these two vectors and no other index arithmetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from convref import padding as paddings
from convref.errors import ShapeError, WordError, shown, verb
from convref.integers import is_sequence, members, per_axis
from convref.memory import check_fits
from convref.spec import Axes, ConvSpec, Words

Offsets = NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """One spatial axis: integers only."""

    size: int
    kernel: int
    stride: int
    dilation: int
    input_dilation: int
    lo: int
    hi: int

    @property
    def spread(self) -> int:
        """Length of the input with ``input_dilation - 1`` zeros between neighbours."""
        return spread(self.size, self.input_dilation)

    @property
    def window(self) -> int:
        """Extent of the dilated kernel."""
        return spread(self.kernel, self.dilation)

    @property
    def canvas(self) -> int:
        """Length of the padded, spread-out input."""
        return self.lo + self.spread + self.hi

    @property
    def output(self) -> int:
        """Number of output positions."""
        return (self.canvas - self.window) // self.stride + 1

    @property
    def placement(self) -> tuple[slice, slice]:
        """Where the input lies: (cells of the canvas, positions of the input), pair by pair."""
        step = self.input_dilation
        first = max(0, -(self.lo // step))  # the first position that is not cropped
        start = self.lo + first * step
        count = max(0, min(self.size - first, -((start - self.canvas) // step)))
        return slice(start, start + count * step, step), slice(first, first + count)

    def sources(self, mode: str, first: int = 0, stop: int | None = None) -> Offsets:
        """The input position that each canvas cell shows, -1 where it shows a zero.

        Of all cells, or of those from ``first`` to ``stop``.
        """
        cells = np.arange(first, self.canvas if stop is None else stop)
        i = cells - self.lo  # in units of the spread-out input
        last = self.spread - 1
        if mode == "replicate":
            i = i.clip(0, last)
        elif mode == "circular":
            i = i % self.spread
        elif mode == "reflect":  # a wave of period 2 * last; one position alone repeats
            i = last - abs(last - i % max(1, 2 * last))
        step = self.input_dilation if self.size > 1 else 1  # if not taken, perhaps beyond 64 bits
        shown = (i >= 0) & (i <= last) & (i % step == 0)
        return np.where(shown, i // step, -1)


def spread(count: int, step: int) -> int:
    """Extent of ``count`` cells that stand ``step`` apart."""
    return (count - 1) * step + 1 if count else 0


@dataclass(frozen=True)
class Geometry:
    """A convolution's index arithmetic, resolved: what every back end sees.

    ``Geometry.of(input_size, kernel_size, **words)`` makes one; equal arguments give the same
    object.

    >>> geometry = Geometry.of((5, 5), (3, 3), stride=2, padding="same")
    >>> geometry.output_size, geometry.padding, geometry.canvas_size
    ((3, 3), ((1, 1), (1, 1)), (7, 7))
    >>> geometry.taps
    array([ 0,  1,  2,  7,  8,  9, 14, 15, 16])
    >>> geometry.origins
    array([ 0,  2,  4, 14, 16, 18, 28, 30, 32])
    """

    axes: tuple[Axis, ...]
    groups: int
    padding_mode: str

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Geometries are keys of what is derived from them: counted up once."""
        return hash((self.axes, self.groups, self.padding_mode))

    @classmethod
    @verb
    def of(cls, input_size: Axes, kernel_size: Axes, **words: Unpack[Words]) -> "Geometry":
        """Bind words to spatial sizes; an int stands for every axis of the other size.

        Raises WordError for a setting out of range, ShapeError where the output would be empty.
        """
        given = {"input_size": input_size, "kernel_size": kernel_size}
        sizes: dict[str, Any] = {  # listed once, for an iterator could not be listed again
            name: members(name, size) if is_sequence(size) else size for name, size in given.items()
        }
        rank = max(len(size) if isinstance(size, tuple) else 1 for size in sizes.values())
        return bind(
            ConvSpec.of(rank, **words),
            per_axis("input_size", sizes["input_size"], rank, minimum=0),
            per_axis("kernel_size", sizes["kernel_size"], rank, minimum=1),
        )

    @cached_property
    def input_size(self) -> tuple[int, ...]:
        """Spatial sizes of the input."""
        return tuple(axis.size for axis in self.axes)

    @cached_property
    def kernel_size(self) -> tuple[int, ...]:
        """Taps per axis."""
        return tuple(axis.kernel for axis in self.axes)

    @cached_property
    def output_size(self) -> tuple[int, ...]:
        """Spatial sizes of the output."""
        return tuple(axis.output for axis in self.axes)

    @cached_property
    def canvas_size(self) -> tuple[int, ...]:
        """Spatial sizes of the canvas."""
        return tuple(axis.canvas for axis in self.axes)

    @cached_property
    def padding(self) -> tuple[tuple[int, int], ...]:
        """The pair (lo, hi) of each axis."""
        return tuple((axis.lo, axis.hi) for axis in self.axes)

    @property
    def macs(self) -> int:
        """Multiply-adds of one input channel with one output channel: taps times positions.

        A whole convolution takes ``N * K * (C / groups)`` times as many.
        """
        return prod(self.kernel_size) * prod(self.output_size)

    @cached_property
    def taps(self) -> Offsets:
        """(T,) offset of each kernel tap on the flat canvas."""
        return self._flat([(axis.kernel, axis.dilation) for axis in self.axes])

    @cached_property
    def origins(self) -> Offsets:
        """(P,) offset of each output position's window on the flat canvas."""
        return self._flat([(axis.output, axis.stride) for axis in self.axes])

    def _flat(self, grid: list[tuple[int, int]]) -> Offsets:
        """Flat offsets of a grid of (count, step) on each axis, by Horner's rule over the axes."""
        check_fits(prod(self.canvas_size), "the padded input")
        check_fits(8 * prod(count for count, _ in grid), "the offsets of all positions")
        flat = np.zeros(1, np.int64)
        for axis, (count, step) in zip(self.axes, grid, strict=True):
            # A step that nothing takes may be too large for an integer of 64 bits.
            along = np.arange(count) * (step if count > 1 else 0)
            flat = np.add.outer(flat * axis.canvas, along).ravel()
        flat.flags.writeable = False
        return flat

    @property
    def canvas_is_input(self) -> bool:
        """Whether nothing is padded, spread out or cropped."""
        return all(axis.lo == axis.hi == 0 and axis.input_dilation == 1 for axis in self.axes)

    @cached_property
    def sources(self) -> Offsets:
        """(S,) the flat input position that each canvas cell shows, -1 where it shows a zero."""
        check_fits(8 * prod(self.canvas_size), "the sources of all cells")
        flat = np.zeros(1, np.int64)
        for axis in self.axes:
            along = axis.sources(self.padding_mode)
            hole = np.logical_or.outer(flat < 0, along < 0)
            flat = np.where(hole, -1, np.add.outer(flat * axis.size, along)).ravel()
        flat.flags.writeable = False
        return flat

    def canvas(self, x: NDArray[Any]) -> NDArray[Any]:
        """The canvas ``(..., S)`` of an input ``(..., I)``; x itself where nothing is padded."""
        if self.canvas_is_input:
            return x
        lead = x.shape[:-1]
        x = x.reshape(*lead, *self.input_size)
        canvas = np.zeros((*lead, *self.canvas_size), x.dtype)
        if self.padding_mode == "zeros":
            cells, positions = zip(*(axis.placement for axis in self.axes), strict=True)
            canvas[..., *cells] = x[..., *positions]
        else:
            for number, axis in enumerate(self.axes, start=-len(self.axes)):
                sources = axis.sources(self.padding_mode)
                x = np.take(x, sources, axis=number)
                np.moveaxis(x, number, -1)[..., sources < 0] = 0
            canvas[...] = x
        return canvas.reshape(*lead, prod(self.canvas_size))

    def take_back(self, canvas: NDArray[Any], x: NDArray[Any]) -> None:
        """Transpose of `canvas`: each position of x sums the cells that show it."""
        lead = x.shape[:-1]
        canvas, x = canvas.reshape(*lead, *self.canvas_size), x.reshape(*lead, *self.input_size)
        if self.padding_mode == "zeros":
            cells, positions = zip(*(axis.placement for axis in self.axes), strict=True)
            x[...] = 0
            x[..., *positions] = canvas[..., *cells]
            return
        for number, axis in enumerate(self.axes, start=-len(self.axes)):
            canvas = sum_by_source(canvas, axis.sources(self.padding_mode), axis.size, number)
        x[...] = canvas


def sum_by_source(canvas: NDArray[Any], sources: Offsets, size: int, number: int) -> NDArray[Any]:
    """Along one axis, sum the canvas cells that show the same one of ``size`` positions."""
    order = np.argsort(sources, kind="stable")[np.count_nonzero(sources < 0) :]
    shown, starts = np.unique(sources[order], return_index=True)
    summed = np.zeros((*canvas.shape[:number], size, *canvas.shape[number:][1:]), canvas.dtype)
    sums = np.add.reduceat(np.take(canvas, order, axis=number), starts, axis=number)
    np.moveaxis(summed, number, 0)[shown] = np.moveaxis(sums, number, 0)
    return summed


@lru_cache(maxsize=128)
def bind(spec: ConvSpec, input_size: tuple[int, ...], kernel_size: tuple[int, ...]) -> Geometry:
    """Resolve the padding of a spec for these sizes; raise ShapeError for an empty output."""
    axes = resolved(spec, input_size, kernel_size)
    for number, axis in enumerate(axes):
        _check_axis(axis, number, spec.padding_mode)
    return Geometry(axes, spec.groups, spec.padding_mode)


def resolved(
    spec: ConvSpec, input_size: Sequence[int], kernel_size: Sequence[int]
) -> tuple[Axis, ...]:
    """The axes for these sizes, of which some may have no output position, or fewer than none."""
    axes = []
    for number, (size, kernel) in enumerate(zip(input_size, kernel_size, strict=True)):
        stride, dilation = spec.stride[number], spec.dilation[number]
        step = spec.input_dilation[number]
        lo, hi = paddings.resolve(
            spec.padding, number, spread(size, step), spread(kernel, dilation), stride
        )
        axes.append(Axis(size, kernel, stride, dilation, step, lo, hi))
    return tuple(axes)


def _check_axis(axis: Axis, number: int, padding_mode: str) -> None:
    if axis.kernel < 1:
        raise ShapeError(
            f"the kernel has no taps along spatial axis {number}", "give it one or more"
        )
    if axis.output < 1:
        raise ShapeError(
            f"the output would be empty along spatial axis {number}: the window of {axis.window} "
            f"(kernel {axis.kernel}, `dilation` {axis.dilation}) exceeds the {max(0, axis.canvas)} "
            f"cells of the padded input (size {axis.size}, `padding` ({axis.lo}, {axis.hi}))",
            "use a larger input, a smaller kernel or more padding",
        )
    if padding_mode != "zeros" and axis.size == 0:
        raise ShapeError(
            f"`padding_mode` (={shown(padding_mode)}) has nothing to repeat along spatial axis "
            f"{number}, where the input is empty",
            "use padding_mode='zeros'",
        )


def transposed_size(spec: ConvSpec, size: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
    """The smallest output of a transposed convolution: what the one it transposes maps to size."""
    return tuple(
        paddings.smallest_size(spec.padding, axis, length, spread(taps, dilation), stride)
        for axis, (length, taps, stride, dilation) in enumerate(
            zip(size, kernel, spec.stride, spec.dilation, strict=True)
        )
    )


def gathered(geometry: Geometry) -> Geometry:
    """The transpose, read as a convolution: what `input_grad` scatters, gathered by its outputs.

    Output o reaches position i by tap k where ``i*e = o*s + k*d - lo``, for stride s, dilation d
    and input dilation e. So i gathers ``o*s = i*e + k'*d - (window - 1 - lo)`` with the taps turned
    around, ``k' = kernel - 1 - k``: a convolution of stride e over outputs that are spread s apart.
    It takes the flipped kernel, with input and output channels exchanged.

    >>> gathered(Geometry.of(5, 3, stride=2)).axes[0]
    Axis(size=2, kernel=3, stride=1, dilation=1, input_dilation=2, lo=2, hi=2)

    Raises WordError where padding repeats inputs: the transpose adds them up.
    """
    if geometry.padding_mode != "zeros":
        raise WordError(
            f"with `padding_mode` (={geometry.padding_mode!r}) the transpose is no convolution",
            "use padding_mode='zeros'",
        )
    axes = tuple(
        Axis(
            axis.output, axis.kernel, axis.input_dilation, axis.dilation, axis.stride,
            lo=axis.window - 1 - axis.lo,
            hi=axis.spread + axis.lo - spread(axis.output, axis.stride),
        )
        for axis in geometry.axes
    )  # fmt: skip
    return Geometry(axes, geometry.groups, geometry.padding_mode)
