"""The correctly rounded oracle: every result is the exact sum, its bias included, rounded once.

    y = w @ cols,    dw = dy @ cols.T,    cols = w.T @ dy

are the matrix products of `im2col`, taken a block of positions at a time, in numbers that make no
error (`digits`) until a sum is complete. So the order in which terms are summed does not matter.

Integers are summed as they are, modulo a power of 2. A complex convolution is a real one of twice
as many channels: ``(a + bi)(c + di)`` sums ``ac - bd`` and ``ad + bc``. Where operands are infinite
or NaN, so are sums, as IEEE 754 has it whatever the finite numbers are, but for their signs.
"""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convref.geometry import Geometry
from convref.kernels.exact.digits import FORMS, Arithmetic, Digits, arithmetic

Array = NDArray[Any]
Shape = tuple[int, ...]
Operator = Callable[[Arithmetic, Array, Array, Array, Geometry], None]
"""Fills its third array from the other two."""

BLOCK = 2**23
"""Numbers in all digits of a block of columns, about."""


def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each output rounded once, to the dtype of y."""
    Rounding().forward(x, w, y, geometry)


def weight_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each weight's gradient rounded once, to the dtype of w."""
    Rounding().weight_grad(x, w, y, geometry)


def input_grad(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Each input's gradient rounded once, to the dtype of x."""
    Rounding().input_grad(x, w, y, geometry)


class Rounding(NamedTuple):
    """The same operators, with a bias as one more term, rounded to a narrower format."""

    form: str | None = None
    """Name of the format, where it is narrower than the dtype of the array that is filled."""
    bias: Array | None = None
    """One number, taken as float64, for each channel of the array that is filled."""

    @np.errstate(all="ignore")
    def forward(self, x: Array, w: Array, y: Array, geometry: Geometry) -> None:
        """Fill ``y (N, G, K/G, P)``."""
        if y.dtype.kind == "c":
            x, both = parts(x, 2), parts(y, 2)
            self.of_parts(y).forward(x, blocks_of_parts(w), both, geometry)
            y.real, y.imag = np.split(both, 2, axis=2)
            return
        self.fill(y, times_columns, w, x, prod(w.shape[2:]), geometry)

    @np.errstate(all="ignore")
    def weight_grad(self, x: Array, w: Array, y: Array, geometry: Geometry) -> None:
        """Fill ``w (G, K/G, C/G, T)``."""
        if w.dtype.kind == "c":
            both = parts(w, 1)
            turned = np.concatenate([-y.imag, y.real], axis=2)  # what the imaginary parts of x meet
            dy = np.concatenate([parts(y, 2), turned])
            self.weight_grad(parts(x, 0), both, dy, geometry)
            w.real, w.imag = np.split(both, 2, axis=1)
            return
        terms = min(len(geometry.origins), block_length(w.shape, 1))
        self.fill(w, times_rows, y, x, terms, geometry)

    @np.errstate(all="ignore")
    def input_grad(self, x: Array, w: Array, y: Array, geometry: Geometry) -> None:
        """Fill ``x (N, G, C/G, I)``."""
        if x.dtype.kind == "c":
            y, both = parts(y, 2), parts(x, 2)
            self.of_parts(x).input_grad(both, blocks_of_parts(w.conj()), y, geometry)
            x.real, x.imag = np.split(both, 2, axis=2)
            return
        self.fill(x, scattered, w, y, w.shape[1], geometry)

    def of_parts(self, filled: Array) -> "Rounding":
        """The same for the parts of a complex array, with the parts of the bias."""
        if self.bias is None:
            return self
        return self._replace(bias=parts(self.bias.reshape(filled.shape[1:3]), 1))

    def fill(
        self,
        filled: Array,
        operator: Operator,
        left: Array,
        right: Array,
        terms: int,
        geometry: Geometry,
    ) -> None:
        """Fill an array by an operator whose matrix products sum so many terms each."""
        dtype = filled.dtype
        bias = np.zeros(1) if self.bias is None else self.bias.reshape(*filled.shape[1:3], 1)
        if dtype.kind != "f":
            operator(Arithmetic(dtype, bias={0: bias.astype(dtype)}), left, right, filled, geometry)
            return
        form = min(FORMS[dtype.name], FORMS.get(self.form or "", FORMS[dtype.name]))
        given = left, right, bias
        a, b, c = map(finite_part, given)
        operator(arithmetic(form, a, b, c, terms), a, b, filled, geometry)
        if not all(np.isfinite(array).all() for array in given):
            a, b, c = map(marked, given)
            marks = np.empty(filled.shape)
            operator(Arithmetic(marks.dtype, bias={0: c}), a, b, marks, geometry)
            np.copyto(filled, marks, where=~np.isfinite(marks))


def times_columns(sums: Arithmetic, w: Array, x: Array, y: Array, geometry: Geometry) -> None:
    """``y = w @ cols``."""
    weights = sums.left(matrix(w))
    for sample, result in zip(x, y, strict=True):
        canvas = sums.right(geometry.canvas(sample))
        for block in blocks(geometry, w.shape, sums.count):
            seen = columns(canvas, geometry, block)
            result[..., block] = sums.value(sums.product(weights, seen))


def times_rows(sums: Arithmetic, y: Array, x: Array, w: Array, geometry: Geometry) -> None:
    """``dw = dy @ cols.T``, summed over blocks and the batch."""
    total = sums.zeros(matrix(w).shape)
    for sample, dy in zip(x, y, strict=True):
        canvas = sums.right(geometry.canvas(sample))
        for block in blocks(geometry, w.shape, sums.count):
            seen = columns(canvas, geometry, block)
            across = {place: digit.swapaxes(-1, -2) for place, digit in seen.items()}
            total += sums.product(sums.left(dy[..., block]), across)
            sums.carried(total)
    w[...] = sums.value(total).reshape(w.shape)


def scattered(sums: Arithmetic, w: Array, y: Array, x: Array, geometry: Geometry) -> None:
    """``cols = w.T @ dy``, and every column is added where it was gathered from."""
    weights = sums.left(matrix(w).swapaxes(-1, -2))
    for dy, result in zip(y, x, strict=True):
        canvas = sums.zeros((*w.shape[::2], prod(geometry.canvas_size)))
        for block in blocks(geometry, w.shape, sums.count):
            cols = sums.product(weights, sums.right(dy[..., block]))
            by_tap = cols.reshape(*canvas.shape[:-1], len(geometry.taps), cols.shape[-1])
            for t, tap in enumerate(geometry.taps):
                canvas[..., tap + geometry.origins[block]] += by_tap[..., t, :]
        total = sums.zeros(result.shape)
        geometry.take_back(canvas, total)
        result[...] = sums.value(total)


def matrix(w: Array) -> Array:
    """The weights (G, K/G, C/G, T) as matrices (G, K/G, CT)."""
    return w.reshape(*w.shape[:2], prod(w.shape[2:]))


def columns(canvas: Digits, geometry: Geometry, block: slice) -> Digits:
    """The columns ``(G, CT, P)`` of a block of positions, from digits ``(G, C/G, S)``."""
    cells = np.add.outer(geometry.taps, geometry.origins[block])
    return {
        place: np.take(digit, cells, axis=-1).reshape(len(digit), -1, cells.shape[1])
        for place, digit in canvas.items()
    }


def block_length(weights: Shape, count: int) -> int:
    """How many positions a block has, for weights ``(G, K/G, C/G, T)`` and so many digits."""
    return max(1, BLOCK // (count * weights[0] * prod(weights[2:])))


def blocks(geometry: Geometry, weights: Shape, count: int) -> Iterator[slice]:
    """The positions, block by block."""
    length = block_length(weights, count)
    for start in range(0, len(geometry.origins), length):
        yield slice(start, start + length)


def finite_part(array: Array) -> Array:
    """The array, with zeros for infinity and NaN."""
    finite = np.isfinite(array)
    return array if finite.all() else np.where(finite, array, 0)


def marked(array: Array) -> Array:
    """Infinity, NaN and the signs of other numbers, which tell where sums are not finite."""
    return np.where(np.isfinite(array), np.sign(array), array).astype(np.float64)


def parts(array: Array, axis: int) -> Array:
    """The real parts, followed along an axis by the imaginary parts."""
    return np.concatenate([array.real, array.imag], axis)


def blocks_of_parts(w: Array) -> Array:
    """Complex weights as real ones ``(G, 2K/G, 2C/G, T)``, which map `parts` to `parts`."""
    of_real, of_imaginary = parts(w.conj(), 2), np.concatenate([w.imag, w.real], axis=2)
    return np.concatenate([of_real, of_imaginary], axis=1)
