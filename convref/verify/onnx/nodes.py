"""A node of a model in convref's words, and the verdict on its output."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from convref.dialects.onnx.attributes import FLOATS, Attributes
from convref.dialects.onnx.convolution import conv_words, transposed_words
from convref.dtypes import promoted
from convref.errors import ConvrefError, WordError
from convref.geometry import transposed_size
from convref.spec import ConvSpec, Words
from convref.verify import readable, report_on, sums_in
from convref.verify.cases import Case
from convref.verify.problem import Problem
from convref.verify.quantised import verify_quantised
from convref.verify.report import Report

Array = NDArray[Any]

OPERANDS = {
    "Conv": ("x", "w", "bias"),
    "ConvTranspose": ("x", "w", "bias"),
    "ConvInteger": ("x", "w", "x_zero_point", "w_zero_point"),
    "QLinearConv": (
        *("x", "x_scale", "x_zero_point"),
        *("w", "w_scale", "w_zero_point"),
        *("y_scale", "y_zero_point", "bias"),
    ),
}
"""What the inputs of each operator that is judged are."""
SIZES = ("kernel_shape", "output_padding", "output_shape")
"""The attributes that not all of them have."""


@dataclass(frozen=True)
class NodeReport:
    """What is known of one node."""

    name: str
    operator: str
    case: Case | None = None
    """The arrays that were judged, and convref's words; None where nothing was judged."""
    report: Report | None = None
    reason: str = ""
    """Why it was not judged."""
    computed: tuple[str, ...] = ()
    """Its inputs that ONNX Runtime computed, for they were not dumped with its output."""


@dataclass(frozen=True)
class Source:
    """Who computed an output, and in which dtype it is summed, if that is known."""

    framework: str
    version: str
    accumulate: DTypeLike | None


def judged(
    node: NodeReport,
    attributes: Mapping[str, Any],
    operands: Mapping[str, Array],
    y: Array,
    source: Source,
) -> NodeReport:
    """The node with the verdict on its output, or with the reason why there is none."""
    quantised = "x_zero_point" in OPERANDS[node.operator]
    try:
        words = words_of(node.operator, attributes, operands["x"], operands["w"])
        if quantised:
            report = verify_quantised(y, **operands, **words)  # type: ignore[arg-type]
            kind = "quantised"
        else:
            kind, report = floating(node.operator, words, operands, y, source.accumulate)
    except ConvrefError as error:
        return NodeReport(node.name, node.operator, reason=str(error))
    arrays = {name: operands[name] for name in ("x", "w", "bias") if name in operands} | {"y": y}
    others = {name: array for name, array in operands.items() if name not in arrays}
    case = Case(
        name=node.name,
        framework=source.framework,
        version=source.version,
        configuration=", ".join(
            f"{name}={plain(v)}" for name, v in {**attributes, **others}.items()
        ),
        operator=node.operator,
        kind=kind,
        dtype=y.dtype.name,
        accumulate=report.accumulate,
        formats={name: array.dtype.name for name, array in arrays.items()},
        words=words,
        arrays={name: readable(array) for name, array in arrays.items()},
    )
    return NodeReport(node.name, node.operator, case, report, computed=node.computed)


def plain(value: Any) -> Any:
    """An attribute, or an array, as people write it."""
    return (
        value.decode("utf-8", "replace") if isinstance(value, bytes) else np.asarray(value).tolist()
    )


def narrowed(array: Array, dtype: np.dtype[Any]) -> Array:
    """In the model's own dtype, if it holds no more than that: many tools save all in float32."""
    if not {array.dtype.name, dtype.name} <= {*FLOATS} or array.itemsize <= dtype.itemsize:
        return array
    with np.errstate(all="ignore"):
        small = array.astype(dtype)
    return small if np.array_equal(small, array, equal_nan=True) else array


def words_of(operator: str, attributes: Mapping[str, Any], x: Array, w: Array) -> Words:
    """A node's attributes in convref's words; raise the errors of the operator."""
    known = (*Attributes._fields, *(SIZES if operator == "ConvTranspose" else SIZES[:1]))
    for name in attributes:
        if name not in known:
            raise WordError(f"there is no attribute `{name}`", f"use one of {', '.join(known)}")
    shared = {name: value for name, value in attributes.items() if name not in SIZES}
    kernel, *sizes = (attributes.get(name) for name in SIZES)
    if operator == "ConvTranspose":
        return transposed_words(x, w, Attributes(**shared), kernel, *sizes)
    return conv_words(x, w, Attributes(**shared), kernel)


def floating(
    operator: str,
    words: Words,
    operands: Mapping[str, Array],
    y: Array,
    accumulate: DTypeLike | None,
) -> tuple[str, Report]:
    """The kind, and the verdict on the output of a convolution of real numbers."""
    x, w, bias = operands["x"], operands["w"], operands.get("bias")
    kind, shape = "forward", y.shape
    if operator == "ConvTranspose":  # whose output could have other sizes, too
        spec = ConvSpec.of(w.ndim - 2, **words)
        sizes = transposed_size(spec, x.shape[2:], w.shape[2:])
        kind, shape = "transpose", (len(x), w.shape[1] * spec.groups, *sizes)
    summed = sums_in(promoted(x=x.dtype, w=w.dtype), accumulate)
    bias = None if bias is None else readable(bias)
    problem = Problem(kind, shape, readable(x), readable(w), bias, words)
    return kind, report_on(problem, readable(y), y.dtype.name, summed)
