"""Exact-integer mode: problems for which there is one right output, to the bit.

Their numbers are integers so small that every sum of any of the products, in any order, fused or
not, is an integer that the format of the sums holds. So nothing is ever rounded: an output is right
or wrong, whatever the tolerance would have been, and a term that is dropped, doubled or taken from
the wrong place shows. It is the fastest way to prove that an implementation's indexing is right.
What it can't show is how an implementation rounds: for that, `verify` outputs of real numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isqrt
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convref.checks import rank_of
from convref.dtypes import as_array, named_dtype
from convref.errors import DtypeError, WordError, shown, verb
from convref.geometry import bind, transposed_size
from convref.integers import flag, integer, is_sequence, members, per_axis
from convref.shapes import shape_of, sizes
from convref.spec import Axes, ConvSpec, Words
from convref.verify import diagnosed, readable, report_on, sums_in
from convref.verify.bounds import FORMATS
from convref.verify.problem import Problem
from convref.verify.reference import Reference, Shape, check, number_of_terms
from convref.verify.report import Report, judge

Array = NDArray[Any]

LARGEST = 2**12
"""Largest number drawn, even where formats hold larger: float64 holds sums of their products."""
EXACTLY = ("int64", "int64")
"""Stored and summed in integers, whose bound is 0."""


@dataclass(frozen=True, eq=False)
class IntegerProblem:
    """Operands in the order that `verify` takes them, and the one right output."""

    kind: str
    x: Array
    w: Array
    bias: Array | None
    expected: Array
    """In the dtype of the operands; of integers, in that of the sums."""
    accumulate: str
    words: Words = field(repr=False)

    @verb
    def check(self, output: ArrayLike) -> Report:
        """Compare an output with the expected one, with zero tolerance.

        The verdict is "exact" or "wrong"; what is wrong has a diagnosis, as from `verify`. Raises
        DtypeError for what is no array of numbers.
        """
        given = as_array("output", output)
        x, w = self.x.astype(np.int64), self.w.astype(np.int64)
        bias = None if self.bias is None else self.bias.astype(np.int64)
        forward = self.kind == "forward"  # where other words may give another shape
        shape = given.shape if forward else self.expected.shape
        problem = WholeProblem(self.kind, shape, x, w, bias, self.words)
        if given.shape == shape:
            report = report_on(problem, readable(given), *EXACTLY)
        else:
            report, _ = judge(readable(given), problem.reference(), *EXACTLY)
            text = f"the output has the shape {given.shape}, not {shape}"
            report = diagnosed(report, (("shape", text),))
        return replace(report, dtype=given.dtype.name, accumulate=self.accumulate)


@dataclass(frozen=True, eq=False)
class WholeProblem(Problem):
    """A problem of integers below 2**53, computed in floats, which is faster and as exact."""

    def value(self) -> Array:
        """The result: integers, unless a mistake that is tried makes fractions of them."""
        return whole(self._in_floats().value())

    def reference(self) -> Reference:
        """The result, which has no error."""
        true = self._in_floats().reference()
        return true._replace(value=whole(true.value), rounded=None)

    def _in_floats(self) -> Problem:
        bias = None if self.bias is None else self.bias.astype(np.float32)
        x, w = self.x.astype(np.float32), self.w.astype(np.float32)
        return Problem(self.kind, self.shape, x, w, bias, self.words, self.after)


def whole(values: Array) -> Array:
    """As int64, if they are integers."""
    return values.astype(np.int64) if (values == np.rint(values)).all() else values


@verb
def integer_problem(
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    *,
    kind: str = "forward",
    dtype: DTypeLike = "float32",
    accumulate: DTypeLike | None = None,
    bias: bool = False,
    output_size: Axes | None = None,
    seed: int = 0,
    **words: Unpack[Words],
) -> IntegerProblem:
    """Draw integers for a convolution so that every order of summation is exact.

    ``x_shape (..., C, *input)`` (or channels last) and ``w_shape (K, C/groups, *kernel)`` are those
    of the convolution, whose operator ``kind`` names as in `verify`: of gradients, dy is drawn too,
    and the operands are given in the order of `verify`. Those of a transposed convolution are its
    own, ``(..., C_in, *input)`` and ``(C_in, C_out/groups, *kernel)``, and ``output_size`` chooses
    among its sizes. ``accumulate`` is what the implementation sums in, by default as `conv` does.

    With n terms in a sum, all numbers are from -m to m but 0, with ``(n + 1) * m**2 <= 2**p`` for
    the p bits of the narrower of both formats. Where that leaves no m, as for 300 terms in
    bfloat16, they are -1 and 1 with as many zeros in x as it takes.

    >>> from convref import conv
    >>> problem = integer_problem((2, 3, 8, 8), (4, 3, 3, 3), dtype="float32", padding=1)
    >>> problem.check(conv(problem.x, problem.w, padding=1)).verdict
    'exact'
    >>> report = problem.check(conv(problem.x, problem.w[..., ::-1, ::-1], padding=1))
    >>> report.verdict, report.diagnosis[0].name
    ('wrong', 'kernel-flipped')

    Raises the errors of `conv`; DtypeError for a dtype that is not real.
    """
    stored = real_dtype(dtype)
    summed = sums_in(stored, accumulate)
    bias = flag("bias", bias)
    x_sizes, w_sizes = shape_words("x_shape", x_shape), shape_words("w_shape", w_shape)
    spec, shapes, shape = shapes_of(kind, x_sizes, w_sizes, bias, output_size, words)
    limit = held(summed) if stored.kind in "biu" else min(held(stored.name), held(summed))
    terms = number_of_terms(kind, shape, empty(shapes[0]), empty(shapes[1]), spec) + bias
    largest = min(isqrt(limit // (terms + 1)), held(stored.name), LARGEST)
    start = integer("seed", seed)
    if start < 0:
        raise WordError(f"`seed` (={shown(seed)}) must be at least 0", "use 0 or more")
    random = np.random.default_rng(start)

    def draw(*size: int) -> Array:
        values = random.integers(1, max(1, largest), size, endpoint=True)
        return values if stored.kind in "bu" else values * random.choice([-1, 1], size)

    x, w = draw(*shapes[0]), draw(*shapes[1])
    added = draw(sizes("output", shape, spec)[1]) if bias else None
    problem = WholeProblem(kind, shape, x, w, added, words)
    share = 1.0
    while largest < 1 and problem.reference().magnitude.max(initial=0) > limit:
        share /= 2
        problem = replace(problem, x=np.where(random.random(x.shape) < share, x, 0))
    return IntegerProblem(
        kind,
        problem.x.astype(stored),
        w.astype(stored),
        None if added is None else added.astype(stored),
        problem.value().astype(summed if stored.kind in "biu" else stored),
        summed,
        words,
    )


def shape_words(name: str, shape: object) -> Shape:
    """A shape from a sequence of sizes; raise WordError."""
    if not is_sequence(shape):
        raise WordError(f"`{name}` (={shown(shape)}) is not a shape", "such as (2, 3, 8, 8)")
    sizes = members(name, shape)
    return per_axis(name, sizes, len(sizes), minimum=0)


def shapes_of(
    kind: str, x: Shape, w: Shape, bias: bool, output_size: Axes | None, words: Words
) -> tuple[ConvSpec, tuple[Shape, Shape], Shape]:
    """The words as a spec, the shapes of both operands, and that of the output."""
    rank_of("w_shape", w)
    spec = check(kind, w, empty(w), empty(()) if bias else None, words)
    if output_size is not None and kind != "transpose":
        raise WordError(f"`kind` (={shown(kind)}) has no `output_size`", "leave it out")
    lead, _, size = sizes("x_shape", x, spec)
    if kind == "transpose":
        smallest = transposed_size(spec, size, w[2:])
        chosen = smallest if output_size is None else output_size
        chosen = per_axis("output_size", chosen, spec.rank, minimum=0)
        return spec, (x, w), shape_of(lead, w[1] * spec.groups, chosen, spec)
    y = shape_of(lead, w[0], bind(spec, size, w[2:]).output_size, spec)
    operands, output = {
        "forward": ((x, w), y),
        "input_grad": ((y, w), x),
        "weight_grad": ((x, y), w),
        "bias_grad": ((y, w), w[:1]),
    }[kind]
    return spec, operands, output


def empty(shape: Shape) -> Array:
    """An array of this shape that takes no memory."""
    return np.broadcast_to(np.int64(0), shape)


def held(name: str) -> int:
    """The largest integer up to which a dtype holds all."""
    if name in FORMATS:
        return 1 << FORMATS[name].precision
    return 1 if name == "bool" else int(np.iinfo(name).max)


def real_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """A real dtype that holds integers; raise DtypeError for others."""
    found = named_dtype(dtype) or np.dtype(object)
    if found.kind in "biu" or (found.name in FORMATS and found.kind != "c"):
        return found
    raise DtypeError(
        f"`dtype` (={shown(dtype)}) is not one of real numbers",
        "use float16, bfloat16 (of ml_dtypes), float32, float64 or an integer dtype",
    )
