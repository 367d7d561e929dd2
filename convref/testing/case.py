"""A case to test an implementation on: words, shapes and a seed, and the arrays they stand for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import isqrt, prod
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convref import shapes
from convref.dtypes import as_array, promoted
from convref.errors import DtypeError, WordError, shown, verb
from convref.geometry import Geometry, bind, transposed_size
from convref.integers import per_axis
from convref.padding import Pair
from convref.spec import ConvSpec, Words
from convref.testing.judging import Mismatch, judged, naming
from convref.verify import readable, sums_in
from convref.verify.bounds import FORMATS
from convref.verify.integers import held
from convref.verify.problem import Problem
from convref.verify.reference import KINDS
from convref.verify.report import Report

Array = NDArray[Any]
Shape = tuple[int, ...]

LARGEST = 9
"""The largest integer in an array: one digit is easily read."""


@dataclass(frozen=True)
class ConvCase:
    """One convolution: an operator, its operands, and what its output should be.

    ``kind`` is "forward", "transpose", "input_grad", "weight_grad" or "bias_grad". All operands are
    there whatever the kind: x of ``input_shape``, w of ``weight_shape``, perhaps ``bias``, and
    ``dy`` of the shape of y, in the layout that the words name. ``words`` are those of `conv`, for
    "transpose" those of `conv_transpose`, ``output_padding`` among them.

    The arrays follow from the ``seed``; seed 0 counts up from 1. ``integers`` are so small that no
    order of summation rounds them, in the dtype itself: then an output must be right to the bit.
    Other values are normal, of widely differing magnitudes. What `repr` shows makes the same case:

    >>> case = ConvCase("forward", (1, 1, 4), (1, 1, 2), {"stride": (1,), "padding": "same"})
    >>> case.x, case.w, case.expected()
    (array([[[1., 2., 3., 4.]]], dtype=float32), array([[[1., 2.]]], dtype=float32), \
array([[[ 5.,  8., 11.,  4.]]], dtype=float32))
    >>> case.check([[[5, 8, 11, 0]]]).verdict
    'wrong'
    """

    kind: str
    input_shape: Shape
    weight_shape: Shape
    words: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    with_bias: bool = False
    integers: bool = True
    seed: int = 0

    @verb
    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise WordError(
                f"`kind` (={shown(self.kind)}) is unknown", f"use one of {', '.join(KINDS)}"
            )
        dtype_of(self.dtype)
        _ = self.geometry  # words and sizes are checked as it is made
        if self.exact and self.largest < 1:
            raise DtypeError(
                f"`dtype` (={shown(self.dtype)}) can't hold sums of {self.terms} integers",
                "use a wider dtype, or integers=False",
            )

    # What the words come to.

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.weight_shape) - 2

    @cached_property
    def spec(self) -> ConvSpec:
        """The geometry words, normalised."""
        return ConvSpec.of(self.rank, **self.geometry_words)

    @property
    def geometry_words(self) -> Words:
        """The words that `verify` takes: all but ``output_padding``."""
        words = {key: word for key, word in self.words.items() if key != "output_padding"}
        return cast(Words, words)

    @cached_property
    def geometry(self) -> Geometry:
        """Of the convolution, or of the one that is transposed."""
        _, _, size = shapes.sizes("input_shape", self.input_shape, self.spec)
        kernel, spec = self.weight_shape[2:], self.spec
        if self.kind != "transpose":
            return bind(spec, size, kernel)
        extra = per_axis(
            "output_padding", self.words.get("output_padding", 0), self.rank, minimum=0
        )
        smallest = transposed_size(spec, size, kernel)
        return bind(spec, tuple(map(sum, zip(smallest, extra, strict=True))), kernel)

    @property
    def stride(self) -> Shape:
        """One per axis."""
        return self.spec.stride

    @property
    def dilation(self) -> Shape:
        """One per axis."""
        return self.spec.dilation

    @property
    def groups(self) -> int:
        """The number of groups."""
        return self.spec.groups

    @property
    def padding(self) -> tuple[Pair, ...]:
        """Cells before and after, per axis: what the word comes to; negative ones crop."""
        return self.geometry.padding

    @property
    def output_padding(self) -> Shape:
        """Positions of the input that no window reaches; of a transposed output, those at its end.

        They go with the numbers of `padding`, as frameworks have it. The word goes with the padding
        word, which for another size may come to other numbers.
        """
        return tuple((axis.canvas - axis.window) % axis.stride for axis in self.geometry.axes)

    @cached_property
    def y_shape(self) -> Shape:
        """The shape of y, and of dy."""
        lead, _, _ = shapes.sizes("input_shape", self.input_shape, self.spec)
        if self.kind == "transpose":
            filters = self.weight_shape[1] * self.spec.groups
            return shapes.shape_of(lead, filters, self.geometry.input_size, self.spec)
        return shapes.shape_of(lead, self.weight_shape[0], self.geometry.output_size, self.spec)

    @property
    def shape(self) -> Shape:
        """The shape of the output that is asked for."""
        return {
            "input_grad": self.input_shape,
            "weight_grad": self.weight_shape,
            "bias_grad": self.weight_shape[:1],
        }.get(self.kind, self.y_shape)

    # The operands.

    @cached_property
    def x(self) -> Array:
        """The input."""
        return self._values(0, self.input_shape)

    @cached_property
    def w(self) -> Array:
        """The weights."""
        return self._values(1, self.weight_shape)

    @cached_property
    def bias(self) -> Array | None:
        """One number per output channel, or None."""
        first = self.weight_shape[0]
        channels = self.weight_shape[1] * self.groups if self.kind == "transpose" else first
        return self._values(2, (channels,)) if self.with_bias else None

    @cached_property
    def dy(self) -> Array:
        """The gradient of y."""
        return self._values(3, self.y_shape)

    @cached_property
    def terms(self) -> int:
        """How many products an element of any output or gradient sums, at most; and a bias."""
        batch = prod(shapes.sizes("input_shape", self.input_shape, self.spec)[0])
        filters, inside, *kernel = self.weight_shape
        channels = max(inside, filters // self.groups)
        return max(channels * prod(kernel), batch * prod(self.geometry.output_size)) + 1

    @property
    def exact(self) -> bool:
        """Whether the values are integers, so that an output must be right to the bit."""
        return self.integers or dtype_of(self.dtype).kind in "iu"

    @cached_property
    def largest(self) -> int:
        """The largest integer a of which ``terms * a**2`` is exact."""
        return min(LARGEST, isqrt(largest_sum(self.dtype) // self.terms))

    def _values(self, number: int, shape: Shape) -> Array:
        dtype, count, exact = dtype_of(self.dtype), prod(shape), self.exact
        values: Array
        if not self.seed:
            values = 1 + np.arange(count) % (self.largest if exact else LARGEST)
            values = values if exact else values / 10
        else:
            random = np.random.default_rng((self.seed, number))
            least = 0 if dtype.kind == "u" else -self.largest
            parts = (
                random.integers(least, self.largest, (2, count), endpoint=True)
                if exact
                else random.standard_normal((2, count)) * 2.0 ** random.integers(-4, 4, (2, count))
            )
            values = parts[0] + 1j * parts[1] if dtype.kind == "c" else parts[0]
        array: Array = values.reshape(shape).astype(dtype)
        array.flags.writeable = False
        return array

    # The verdict.

    @property
    def problem(self) -> Problem:
        """The operands as `verify` takes them."""
        x, w = {
            "input_grad": (self.dy, self.w),
            "bias_grad": (self.dy, self.w),
            "weight_grad": (self.x, self.dy),
        }.get(self.kind, (self.x, self.w))
        bias = self.bias if self.kind in ("forward", "transpose") else None
        operands = (readable(x), readable(w), None if bias is None else readable(bias))
        return Problem(self.kind, self.shape, *operands, self.geometry_words)

    def expected(self) -> Array:
        """The output, computed in a wider format and rounded once to the dtype."""
        result: Array = self.problem.value().astype(dtype_of(self.dtype))
        return result

    @verb
    def check(self, output: ArrayLike, *, accumulate: DTypeLike | None = None) -> Report:
        """The report on an output, as `verify` gives it; integers must be right to the bit.

        ``accumulate`` is the dtype that the implementation sums in, by default that of `conv`.
        Raises DtypeError for an output that is no array of numbers, WordError for an unknown
        ``accumulate``.
        """
        return judged(*self._question(output, accumulate))

    def assert_matches(self, output: ArrayLike, *, accumulate: DTypeLike | None = None) -> None:
        """Raise AssertionError if the output is wrong, with the verdict and the diagnosis."""
        __tracebackhide__ = True
        with naming("ConvCase.assert_matches"):
            question = self._question(output, accumulate)
            mismatch = Mismatch.of(*question, case=repr(self))
        if mismatch:
            raise mismatch

    def _question(
        self, output: ArrayLike, accumulate: DTypeLike | None
    ) -> tuple[Problem, Array, str, str, bool]:
        given = as_array("output", output)
        summed = sums_in(promoted(x=self.x.dtype, w=self.w.dtype), accumulate)
        return self.problem, readable(given), given.dtype.name, summed, self.exact


def dtype_of(name: str) -> np.dtype[Any]:
    """The dtype of a name; raise DtypeError where there is none for arrays of a case."""
    try:
        dtype = np.dtype(name)
    except TypeError as error:
        mend = "import ml_dtypes first" if name in FORMATS else "use a name such as 'float32'"
        raise DtypeError(
            f"`dtype` (={shown(name)}) is not a dtype that NumPy knows", mend
        ) from error
    if dtype.name not in FORMATS and dtype.kind not in "iu":
        raise DtypeError(
            f"`dtype` (={shown(name)}) is not a dtype that cases are made in",
            f"use one of {', '.join(FORMATS)}, or integers",
        )
    return dtype


def largest_sum(name: str) -> int:
    """Up to which integer all are numbers of a dtype; a complex product is a sum of two."""
    dtype = dtype_of(name)
    return held(dtype.name) // (2 if dtype.kind == "c" else 1)
