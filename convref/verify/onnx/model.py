"""An ONNX model file, read as what it is: somebody else's."""

from collections.abc import Iterator, Set
from contextlib import contextmanager
from os.path import isfile
from pathlib import Path
from typing import Any

from convref.errors import FileError, MissingExtraError
from convref.verify.onnx.data import load_data, printable

MOST_BYTES = 2**31 - 1
"""What a message of Protocol Buffers can have."""


def packages() -> tuple[Any, Any]:
    """The packages onnx and onnxruntime; raise MissingExtraError."""
    try:
        import onnx
        import onnx.inliner
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            f"the package {error.name} is not installed", "pip install 'convref[onnx]'"
        ) from error
    return onnx, onnxruntime


def read_model(path: Path) -> Any:
    """The model in a file, with all its data; raise FileError or MissingExtraError.

    What a function of the model does stands in the places where it is called.
    """
    onnx, _ = packages()
    if not isfile(path):
        raise FileError(f"there is no file {path}", "check the path")
    if path.stat().st_size > MOST_BYTES:
        raise FileError(f"{path} has more than 2 GiB", "save it with external data")
    with understood(path):
        model = onnx.ModelProto.FromString(path.read_bytes())
    if not model.graph.node:
        raise FileError(f"{path} is not an ONNX model: it has no nodes", "check the file")
    del model.training_info[:]
    load_data(onnx, model, path)
    if model.functions:
        with understood(path):
            model = onnx.inliner.inline_local_functions(model)
    check_order(model.graph, path)
    return model


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Whatever goes wrong in reading a model is a FileError."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror}", "check the file") from error
    except Exception as error:  # of Protocol Buffers, and of onnx, which check what they read
        what = printable(" ".join(str(error).split()))
        raise FileError(f"{path} is not an ONNX model: {what}", "check the file") from error


def check_order(graph: Any, path: Path) -> None:
    """Check that no name is given twice, and each before it is used, as ONNX requires."""
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    known |= {tensor.values.name for tensor in graph.sparse_initializer}
    for label, node in labelled(graph.node):
        for name in sorted(references(node) - known):
            raise FileError(
                f"{path}: the node `{label}` reads the tensor `{printable(name)}`, "
                "which is not there yet",
                "sort the nodes: each after those that it depends on",
            )
        for name in node.output:
            if name and name in known:
                raise FileError(
                    f"{path}: there are two tensors `{printable(name)}`",
                    "give each tensor a name of its own",
                )
            known.add(name)


def labelled(nodes: Any) -> Iterator[tuple[str, Any]]:
    """Each node with a label that no other has: its name, or that of its first output."""
    seen = set()
    for node in nodes:
        output = "".join(node.output[:1])
        label = printable(node.name or output)
        yield (f"{label} -> {printable(output)}" if label in seen else label), node
        seen.add(label)


def reaching(graph: Any, wanted: Set[str], known: Set[str]) -> set[str]:
    """The tensors that go into these outputs, as far back as to those that are known."""
    needed = set(wanted)
    for node in reversed(graph.node):
        is_wanted = not wanted.isdisjoint(node.output)
        if is_wanted or any(name in needed and name not in known for name in node.output):
            needed |= references(node)
    return needed


def references(node: Any) -> set[str]:
    """The tensors that a node reads, those among them that its subgraphs take from around them."""
    read = {name for name in node.input if name}
    for graph in subgraphs(node):
        inner = {name for below in graph.node for name in references(below)}
        made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        made |= {tensor.values.name for tensor in graph.sparse_initializer}
        made |= {name for below in graph.node for name in below.output}
        read |= (inner | {value.name for value in graph.output}) - made
    return read


def subgraphs(node: Any) -> Iterator[Any]:
    """The graphs in the attributes of a node: branches, or the body of a loop."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
