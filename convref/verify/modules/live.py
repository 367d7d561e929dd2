"""A convolution that lives in a framework, in convref's words, and the judging of it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from textwrap import shorten
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from convref import shapes
from convref.dtypes import promoted
from convref.errors import ConvrefError
from convref.geometry import bind, transposed_size
from convref.spec import ConvSpec, Words
from convref.verify import diagnosed, readable, report_on, sums_in
from convref.verify.bounds import FORMATS
from convref.verify.cases import Case, problems
from convref.verify.report import Report, judge
from convref.verify.summary import Judged

Array = NDArray[Any]
Shape = tuple[int, ...]


class Stored(NamedTuple):
    """An array as NumPy holds it, and the name of the dtype that the framework had it in."""

    array: Array
    dtype: str


def stored(array: Array) -> Stored:
    """An array that NumPy has in its own dtype, or in that of ml_dtypes."""
    return Stored(readable(array), array.dtype.name)


class Convolution(NamedTuple):
    """What a framework was given, and what it made of it; arrays are in convref's layout."""

    name: str
    """Where it is in the module; empty for the module itself."""
    operator: str
    configuration: str
    kind: str
    words: Words
    x: Array
    w: Array
    bias: Array | None
    y: Stored
    pull_back: Callable[[Array], Mapping[str, Stored]] | None
    """Gives dx, dw and db of a dy; None where the framework has no gradient."""
    output_padding: Shape | None = None
    """Of a transposed convolution; None: any is right that `x` can come from."""


class Unjudged(NamedTuple):
    """What can't be judged, and why."""

    name: str
    reason: str


Found = Convolution | Unjudged


class Settings(NamedTuple):
    """How to judge."""

    framework: str
    version: str
    gradients: bool
    accumulate: DTypeLike | None
    seed: int


@contextmanager
def running(name: str) -> Iterator[None]:
    """Whatever a framework raises as it runs, as a ConvrefError."""
    try:
        yield
    except ConvrefError:
        raise
    except Exception as error:
        raise ConvrefError(
            f"{name} can't be run on this input: {said(error)}", "pass what a call of it takes"
        ) from error


def said(error: Exception) -> str:
    """An error on one line, which is cut where it is long."""
    return shorten(f"{type(error).__name__}: {error}", 300)


def numbered(names: list[str]) -> list[str]:
    """Names by which calls can be told apart: of a layer that is called again the later ones count.

    >>> numbered(["a", "b", "a"])
    ['a', 'b', 'a (call 2)']
    """
    counts: Counter[str] = Counter()
    result = []
    for name in names:
        counts[name] += 1
        again = f"call {counts[name]}" if counts[name] > 1 else ""
        result.append(f"{name} ({again})" if name and again else name or again)
    return result


def is_traced(x: object) -> bool:
    """Whether JAX has put something in the place of an array that has no numbers."""
    return any(base.__name__ == "Tracer" for base in type(x).__mro__)


def examined(found: Convolution, number: int, settings: Settings) -> Iterator[Judged | Unjudged]:
    """Judge the output of a convolution, and its gradients for a random dy."""
    shape = output_shape(found)
    outputs = {"y": found.y}
    arrays = {"x": found.x, "w": found.w}
    if found.bias is not None:
        arrays["bias"] = found.bias
    if settings.gradients and found.pull_back is None:
        yield Unjudged(found.name, "the framework gives no gradients of it")
    elif settings.gradients and found.pull_back and found.y.array.shape == shape:
        arrays["dy"] = drawn(found.y, (settings.seed, number))
        try:
            outputs |= found.pull_back(arrays["dy"])
        except Exception as error:  # what a framework computes forward alone
            yield Unjudged(found.name, f"its backward pass fails: {said(error)}")
    case = Case(
        name=found.name,
        framework=settings.framework,
        version=settings.version,
        configuration=found.configuration,
        operator=found.operator,
        kind=found.kind,
        dtype=found.y.dtype,
        accumulate=sums_in(promoted(x=found.x.dtype, w=found.w.dtype), settings.accumulate),
        formats={name: narrower(output.dtype, found.y.dtype) for name, output in outputs.items()},
        words=found.words,
        arrays={**arrays, **{name: output.array for name, output in outputs.items()}},
    )
    yield from ((case, name, report) for name, report in judged(case, shape))


def output_shape(found: Convolution) -> Shape:
    """The shape that y should have."""
    spec = ConvSpec.of(found.w.ndim - 2, **found.words)
    lead, _, size = shapes.sizes("x", found.x.shape, spec)
    kernel = found.w.shape[2:]
    if found.kind == "forward":
        size = bind(spec, size, kernel).output_size
        return shapes.shape_of(lead, found.w.shape[0], size, spec)
    smallest, extra = transposed_size(spec, size, kernel), found.output_padding
    if extra is None:
        given = shapes.sizes("y", found.y.array.shape, spec)[2]
        extra = tuple(
            min(max(length - least, 0), step - 1)
            for length, least, step in zip(given, smallest, spec.stride, strict=True)
        )
    size = tuple(map(sum, zip(smallest, extra, strict=True)))
    return shapes.shape_of(lead, found.w.shape[1] * spec.groups, size, spec)


def drawn(like: Stored, seed: tuple[int, int]) -> Array:
    """Normal numbers of the shape and the format of an output: as many digits as it has."""
    random = np.random.default_rng(seed)
    parts = random.standard_normal((2, *like.array.shape))
    if like.dtype in FORMATS:
        significand, exponent = np.frexp(parts)
        scale = 2.0 ** FORMATS[like.dtype].precision
        parts = np.ldexp(np.rint(significand * scale) / scale, exponent)
    values = parts[0] + 1j * parts[1] if like.array.dtype.kind == "c" else parts[0]
    result: Array = values.astype(like.array.dtype)
    return result


def narrower(dtype: str, other: str) -> str:
    """Of two formats the one with fewer digits, which numbers have passed through."""
    if dtype not in FORMATS or other not in FORMATS:
        return dtype
    return min(dtype, other, key=lambda name: FORMATS[name].precision)


def judged(case: Case, shape: Shape) -> Iterator[tuple[str, Report]]:
    """The report on each output of a case, whose y must have this shape.

    Unlike `verify` a module says which of the possible sizes a transposed output has.
    """
    for name, problem in problems(case):
        output, formats = case.arrays[name], (case.formats[name], case.accumulate)
        if name != "y" or case.kind == "forward" or output.shape == shape:
            yield name, report_on(problem, output, *formats)
            continue
        report, _ = judge(output, replace(problem, shape=shape).reference(), *formats)
        text = f"the output has the shape {output.shape}; it should have {shape}"
        yield name, diagnosed(report, (("shape", text),))
