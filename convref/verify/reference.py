"""What an output should be: the same operator, in a wider format."""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convref import engine
from convref.checks import rank_of
from convref.dtypes import WIDE
from convref.engine import Options
from convref.errors import WordError, shown
from convref.functional import conv, conv_input_grad, conv_transpose, conv_weight_grad
from convref.geometry import bind
from convref.spec import ConvSpec, Words
from convref.verify.bounds import Real, gamma, rounding_bound

Array = NDArray[Any]
Shape = tuple[int, ...]

KINDS = ("forward", "transpose", "input_grad", "weight_grad", "bias_grad")


class Reference(NamedTuple):
    """The true value of each element, as nearly as the wider format has it."""

    value: Array
    magnitude: NDArray[np.float64]
    """The same sum over absolute values, the bias among them."""
    terms: int
    """How many numbers each element sums, at most."""
    rounded: Callable[[str], Array | None] | None = None
    """Gives the true values, correctly rounded to a format, which is dearer; None if it can't."""

    @property
    def size(self) -> Real:
        """The magnitude of the value itself."""
        size: Real = abs(self.value).astype(np.float64)
        return size

    def bound(self, accumulate: str, dtype: str) -> Real:
        """How far an output summed and stored so may be from the value: its bound, and ours."""
        bound = rounding_bound(self.size, self.magnitude, self.terms, accumulate, dtype)
        return bound + self.uncertainty

    @property
    def uncertainty(self) -> Real:
        """How far the value may be from the truth: its own sums are rounded too.

        As good as nothing, but where long double is no wider than the float64 that it judges.
        """
        if self.value.dtype.kind not in "fc":
            return np.zeros(self.magnitude.shape)
        unit_roundoff = float(np.finfo(self.value.dtype).eps) / 2
        # Of a complex product two roundings more, and the square root of 2.
        error: Real = 1.5 * gamma(self.terms + 2, unit_roundoff) * self.magnitude
        return error


def reference(
    kind: str, shape: Shape, x: Array, w: Array, bias: Array | None, words: Words
) -> Reference:
    """The reference of an output of this kind and shape.

    Floats are summed in float64, float64 itself in long double, integers in int64.
    """
    spec = check(kind, shape, w, bias, words)
    operands = (x, w) if bias is None else (x, w, bias)
    value = compute(kind, shape, spec, words, *map(widened, operands))
    magnitude = compute(kind, shape, spec, words, *map(absolute, operands))
    terms = number_of_terms(kind, shape, x, w, spec) + (bias is not None)
    return Reference(value, magnitude, terms, partial(rounded, kind, shape, spec, operands))


def compute(
    kind: str, shape: Shape, spec: ConvSpec, words: Words, x: Array, w: Array, *bias: Array
) -> Array:
    """The output of this kind, from the operands in the order that `verify` takes them."""
    if kind == "weight_grad":
        return conv_weight_grad(x, w, shape[2:], backend="numpy", **words)
    if kind == "bias_grad":
        return engine.bias_grad(x, spec, Options())
    if kind == "forward":
        return conv(x, w, *bias, backend="numpy", **words)
    sizes = spatial(shape, spec)
    if kind == "input_grad":
        return conv_input_grad(x, w, sizes, backend="numpy", **words)
    return conv_transpose(x, w, *bias, output_size=sizes, backend="numpy", **words)  # type: ignore[misc]


def rounded(
    kind: str, shape: Shape, spec: ConvSpec, operands: tuple[Array, ...], dtype: str
) -> Array | None:
    """The same, correctly rounded by the back end `exact` to a format; None for other dtypes."""
    from convref.kernels.exact.digits import FORMS

    if dtype not in FORMS or any(array.dtype in WIDE for array in operands):
        return None
    x, w, *rest = (
        array.astype(np.complex128 if array.dtype.kind == "c" else np.float64) for array in operands
    )
    bias, options = (rest[0] if rest else None), Options(backend="exact", form=dtype)
    if kind == "weight_grad":
        return engine.weight_grad(x, w, shape[2:], spec, options)
    if kind == "bias_grad":
        return engine.bias_grad(x, spec, options)
    if kind == "forward":
        return engine.forward(x, w, bias, spec, options)
    return engine.input_grad(x, w, bias, spatial(shape, spec), spec, options)


def spatial(shape: Shape, spec: ConvSpec) -> Shape:
    """The spatial sizes of an output of this shape."""
    return shape[-spec.rank - 1 : -1] if spec.layout == "channels_last" else shape[-spec.rank :]


def number_of_terms(kind: str, shape: Shape, x: Array, w: Array, spec: ConvSpec) -> int:
    """How many products each element sums, at most."""
    if kind == "forward":
        return prod(w.shape[1:])
    if kind in ("transpose", "input_grad"):
        per_channel: int = w.size // max(1, w.shape[1])
        return per_channel // spec.groups * copies(shape, w, spec)
    dy = w if kind == "weight_grad" else x
    # Batch times positions: all of dy but its channels.
    return int(dy.size) // max(1, shape[0])


def copies(shape: Shape, w: Array, spec: ConvSpec) -> int:
    """How many cells show one position of an input of this shape, at most: padding repeats some."""
    if spec.padding_mode == "zeros":
        return 1
    shown = (
        axis.sources(spec.padding_mode)
        for axis in bind(spec, spatial(shape, spec), w.shape[2:]).axes
    )
    return prod(int(np.bincount(along[along >= 0]).max(initial=1)) for along in shown)


def widened(array: Array) -> Array:
    """A copy in a dtype that holds products of the array's numbers with digits to spare."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind in "biu":
        return array.astype(np.int64)
    if kind == "c":
        return array.astype(np.complex128 if size < 16 else np.clongdouble)
    return array.astype(np.float64 if size < 8 else np.longdouble)


def absolute(array: Array) -> NDArray[np.float64]:
    """The magnitudes, in float64."""
    result: NDArray[np.float64] = abs(widened(array)).astype(np.float64)
    return result


def check(kind: str, shape: Shape, w: Array, bias: Array | None, words: Words) -> ConvSpec:
    """The words as a spec; raise WordError where the kind doesn't take them, or the bias."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise WordError(f"`kind` (={shown(kind)}) is unknown", f"use one of {', '.join(KINDS)}")
    if bias is not None and kind not in ("forward", "transpose"):
        raise WordError(f"`kind` (={shown(kind)}) has no `bias`", "leave it out")
    for word in ("input_dilation", "padding_mode"):
        if kind == "transpose" and word in words:
            raise WordError(f"`kind` (='transpose') has no `{word}`", "leave it out")
    weights = ("output", shape) if kind == "weight_grad" else ("w", w.shape)
    return ConvSpec.of(rank_of(*weights), **words)
