"""The convolutions of an ONNX model, each judged with the inputs that reached it."""

from collections.abc import Callable, Iterator, Set
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import DTypeLike, NDArray

from convref.errors import FileError, WordError, verb
from convref.verify.onnx.data import printable
from convref.verify.onnx.model import labelled, packages, reaching, read_model, subgraphs
from convref.verify.onnx.nodes import OPERANDS, NodeReport, Source, judged, narrowed
from convref.verify.onnx.result import OnnxResult
from convref.verify.onnx.runtime import NotRunError
from convref.verify.onnx.tensors import (
    Arrays,
    Tensors,
    arrays_of,
    check_inputs,
    drawn,
    of_node,
    widest,
)

Array = NDArray[Any]

__all__ = ["NodeReport", "OnnxResult", "verify_onnx"]


@verb
def verify_onnx(
    path: str | PathLike[str],
    inputs: Arrays | None = None,
    outputs: Arrays | None = None,
    *,
    accumulate: DTypeLike | None = None,
    optimised: bool = False,
    seed: int = 0,
    advance: Callable[[], object] = lambda: None,
) -> OnnxResult:
    """Judge every Conv, ConvTranspose, ConvInteger and QLinearConv of an ONNX model.

    ``inputs`` are arrays by the names of the model's inputs, or an .npz file of them; left out,
    they are drawn with ``seed``, with a batch of 1 where the model leaves it open. ONNX Runtime
    computes the model node by node, on the CPU and without fusing anything (``optimised`` lets it
    choose blocked layouts for each node), and each convolution is judged with the inputs that
    reached it: a mistake early in the model makes no later node wrong.

    ``outputs`` are tensors that another engine computed from the same inputs, by their names in the
    model. Then each convolution whose output is among them is judged, with inputs that are among
    them, too; one that is not is computed by ONNX Runtime from those before it that are, and the
    report says so. In float32 that may round in other ways than the engine did: dump what goes into
    a convolution as well as what comes out. ``accumulate`` says in which dtype the sums are taken,
    as in `verify`. Functions of the model are judged where they are called; what is in the subgraph
    of an If, Loop or Scan is listed, but not judged, and so are fused convolutions.

        report = convref.verify_onnx("model.onnx", {"x": x}, "dumped.npz")
        print(report)
        report.first_wrong.report.diagnosis

    Raises FileError for a file that is not a model or has its data elsewhere than beside it, and
    where nothing can be judged; WordError, ShapeError and DtypeError for arrays that are not the
    model's; MissingExtraError without the packages onnx and onnxruntime.

    The operators: https://onnx.ai/onnx/operators.
    """
    if not isinstance(path, str | PathLike):
        raise WordError(
            f"`path` (a {type(path).__name__}) is not the path of a file",
            "save the model with onnx.save",
        )
    file = Path(path)
    model = read_model(file)
    dumped = None if outputs is None else arrays_of("outputs", outputs)
    if dumped and (dtype := widest(model)) is not None:
        dumped = {name: narrowed(array, dtype) for name, array in dumped.items()}
    wanted = {
        node.output[0]
        for node in model.graph.node
        if is_judged(node) and (dumped is None or node.output[0] in dumped)
    }
    needed = reaching(model.graph, wanted, (dumped or {}).keys())
    given, notes = inputs_of(model, inputs, dumped, needed, seed)
    tensors = Tensors(model, given, dumped, optimised)
    source = Source("dumped", "", accumulate)
    if dumped is None:
        source = Source("ONNX Runtime", packages()[1].__version__, accumulate)
    found: list[NodeReport] = []
    for label, node in labelled(model.graph.node):
        if any(name in needed and name not in tensors.given for name in node.output):
            tensors.compute(node, label)
        if wanted.isdisjoint(node.output):
            found.extend(unjudged(node, label, model.functions))
        else:
            found.append(report_of(node, label, tensors, source))
        advance()
    if all(node.report is None for node in found):
        reasons = [f"`{node.name}` ({node.operator}): {node.reason}" for node in found]
        raise FileError(
            f"{file}: nothing can be judged: {[*reasons, 'it has no convolution'][0]}",
            f"judged are {', '.join(OPERANDS)}",
        )
    return OnnxResult(str(file), tuple(found), tuple(notes))


def inputs_of(
    model: Any,
    inputs: Arrays | None,
    dumped: dict[str, Array] | None,
    needed: Set[str],
    seed: int,
) -> tuple[dict[str, Array], list[str]]:
    """The inputs that are given, or drawn, and what there is to say of them; raise WordError."""
    constant = {tensor.name for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in constant]
    missing = [name for name in names if name in needed and name not in (dumped or ())]
    if inputs is None and dumped is None:
        return drawn(model, missing, seed)
    given = arrays_of("inputs", inputs or {})
    check_inputs(model, given)
    if missing := [name for name in missing if name not in given]:
        raise WordError(
            f"`inputs` has no {', '.join(f'`{printable(name)}`' for name in missing)}, which the "
            "model reads",
            f"its inputs are {', '.join(map(printable, names))}",
        )
    there = {name for node in model.graph.node for name in (*node.input, *node.output)}
    strange = ", ".join(f"`{printable(name)}`" for name in dumped or () if name not in there)
    return given, [f"of `outputs`, not in the model: {strange}"] if strange else []


def is_judged(node: Any) -> bool:
    """Whether a node is one of those that are judged."""
    return node.op_type in OPERANDS and node.domain in ("", "ai.onnx") and len(node.output) > 0


def report_of(node: Any, label: str, tensors: Tensors, source: Source) -> NodeReport:
    """The verdict on a node, or the reason why there is none."""
    onnx, _ = packages()
    blank = NodeReport(label, node.op_type)
    names = dict(zip(OPERANDS[node.op_type], node.input, strict=False))
    try:
        operands = {role: tensors.array(name) for role, name in names.items() if name}
        y = tensors.array(node.output[0])
    except NotRunError as error:
        return replace(blank, reason=str(error).removeprefix(f"{of_node(label, node)}: "))
    if not {"x", "w"} <= operands.keys():
        return replace(blank, reason="it has no input, or no weights")
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if tensors.dumped is not None:
        blank = replace(
            blank, computed=tuple(map(printable, filter(tensors.is_computed, names.values())))
        )
        if (dtype := tensors.declared(names["w"])) is not None:
            operands = {role: narrowed(array, dtype) for role, array in operands.items()}
            y = narrowed(y, dtype)
    return judged(blank, attributes, operands, y, source)


def unjudged(node: Any, label: str, functions: Any) -> Iterator[NodeReport]:
    """A convolution that is not judged, or those inside of a node, and why."""
    if is_judged(node):
        reason = f"its output `{printable(node.output[0])}` was not dumped"
        yield NodeReport(label, node.op_type, reason=reason)
    elif "Conv" in node.op_type:
        reason = f"{printable(node.op_type)} ({node.domain or 'ai.onnx'}) is not judged"
        yield NodeReport(label, node.op_type, reason=reason)
    called = [f for f in functions if (f.domain, f.name) == (node.domain, node.op_type)]
    for body in (*subgraphs(node), *called):
        for inner, below in labelled(body.node):
            for found in unjudged(below, f"{label}/{inner}", functions):
                yield replace(found, reason=f"it is inside of {of_node(label, node)}")
