"""The tensors of a model: what is given, what is constant, and what ONNX Runtime makes of it."""

from collections.abc import Iterable, Mapping
from math import prod
from os import PathLike
from os.path import isfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref.dialects.onnx.attributes import FLOATS
from convref.dtypes import as_array
from convref.errors import DtypeError, FileError, ShapeError, WordError, shown
from convref.integers import integer
from convref.memory import check_fits
from convref.verify.cases import opened
from convref.verify.onnx.data import printable
from convref.verify.onnx.model import packages, references
from convref.verify.onnx.runtime import NotRunError, as_numpy, as_value, run

Array = NDArray[Any]
Arrays = Mapping[str, ArrayLike] | str | PathLike[str]
"""Arrays by name, or an .npz file of them."""


class Tensors:
    """All tensors that are known, by name, and why others are not."""

    def __init__(
        self,
        model: Any,
        inputs: Mapping[str, Array],
        dumped: Mapping[str, Array] | None,
        optimised: bool,
    ) -> None:
        self.model, self.dumped, self.optimised = model, dumped, optimised
        self.given = {**inputs, **(dumped or {})}
        self.values: dict[str, Any] = {}
        """The runtime's own: what it computed, and of what is given as much as it has read."""
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        sparse = [tensor.values.name for tensor in model.graph.sparse_initializer]
        self.lost = {name: f"the constant `{printable(name)}` is sparse" for name in sparse}
        self.fixed = {*self.constants, *sparse} - self.given.keys()
        """What depends on nothing that is given."""

    def compute(self, node: Any, label: str) -> None:
        """Run a node; what is given stays as it is."""
        read = references(node)
        reasons = [self.lost[name] for name in sorted(read & self.lost.keys() - self.given.keys())]
        found: Mapping[str, Any] = {}
        if not reasons:
            try:
                self.values |= {
                    name: as_value(self.given[name])
                    for name in read & self.given.keys() - self.values.keys()
                }
                found = run(self.model, node, self.constants, self.values, self.optimised)
            except NotRunError as error:
                reasons = [f"{of_node(label, node)}: {error}"]
        for name in node.output:
            if name in found:
                self.values.setdefault(name, found[name])
            elif reasons:
                self.lost[name] = reasons[0]
        if read <= self.fixed:
            self.fixed |= {*node.output} - self.given.keys()

    def array(self, name: str) -> Array:
        """A tensor as an array; raise NotRunError, which says why there is none."""
        if name in self.given:
            return self.given[name]
        if name in self.lost:
            raise NotRunError(self.lost[name])
        if name in self.values:
            return as_numpy(self.values[name])
        onnx, _ = packages()
        return np.asarray(onnx.numpy_helper.to_array(self.constants[name]))

    def declared(self, name: str) -> np.dtype[Any] | None:
        """The dtype of a constant of the model; None of any other tensor."""
        if name not in self.constants:
            return None
        onnx, _ = packages()
        dtype: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(self.constants[name].data_type)
        return dtype

    def is_computed(self, name: str) -> bool:
        """Whether ONNX Runtime made a tensor of what is given."""
        return name in self.values and name not in self.given and name not in self.fixed


def widest(model: Any) -> np.dtype[Any] | None:
    """The widest dtype of real numbers among constants and inputs of a model, if it has one."""
    onnx, _ = packages()
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    kinds |= {value.type.tensor_type.elem_type for value in model.graph.input}
    known = kinds & {*onnx.TensorProto.DataType.values()} - {onnx.TensorProto.UNDEFINED}
    dtypes = [np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)) for kind in known]
    real = [dtype for dtype in dtypes if dtype.name in FLOATS]
    return max(real, key=lambda dtype: dtype.itemsize, default=None)


def of_node(label: str, node: Any) -> str:
    """A node and its operator, as messages name it."""
    return f"`{label}` ({printable(node.op_type)})"


def arrays_of(argument: str, source: Arrays) -> dict[str, Array]:
    """The arrays that an argument holds, by name; raise FileError, WordError or DtypeError."""
    if isinstance(source, Mapping):
        return {str(name): as_array(f"{argument}[{name!r}]", a) for name, a in source.items()}
    if not isinstance(source, str | PathLike):
        raise WordError(
            f"`{argument}` (a {type(source).__name__}) is neither a dict of arrays nor a file",
            "give it arrays by the names of the model's tensors, or the path of an .npz file",
        )
    path = Path(source)
    if not isfile(path):
        raise FileError(f"there is no file {path}", "check the path")
    with path.open("rb") as file, opened(file, str(path)) as archive:
        return {name: decoded(f"{argument}[{name!r}]", archive[name]) for name in archive}


def decoded(name: str, array: Array) -> Array:
    """An array of a file, which has bfloat16 as two raw bytes."""
    return array.view("bfloat16") if array.dtype == "V2" else as_array(name, array)


def check_inputs(model: Any, arrays: Mapping[str, Array]) -> None:
    """Check names, types and shapes against what the model declares; raise what is wrong."""
    onnx, _ = packages()
    declared = {value.name: value for value in model.graph.input}
    for name, array in arrays.items():
        if name not in declared:
            raise WordError(
                f"`inputs` has `{name}`, which is not an input of the model",
                f"its inputs are {', '.join(map(printable, declared))}",
            )
        kind = declared[name].type.tensor_type
        dtype = dtype_of(onnx, declared[name])
        if array.dtype != dtype:
            raise DtypeError(
                f"`inputs[{name!r}]` has dtype {array.dtype}, and the model takes {dtype}",
                "convert it",
            )
        if not kind.HasField("shape"):
            continue
        sizes = [axis.dim_value if axis.dim_value > 0 else None for axis in kind.shape.dim]
        pairs = zip(sizes, array.shape, strict=False)
        if len(sizes) != array.ndim or any(size not in (None, found) for size, found in pairs):
            names = [axis.dim_param or "any" for axis in kind.shape.dim]
            wanted = (str(size or free) for size, free in zip(sizes, names, strict=True))
            raise ShapeError(
                f"`inputs[{name!r}]` has shape {array.shape}, and the model takes "
                f"({', '.join(wanted)})",
                "give it that shape",
            )


def dtype_of(onnx: Any, value: Any) -> np.dtype[Any]:
    """The dtype that a model declares for an input; raise FileError where it is no tensor."""
    kind = value.type.tensor_type.elem_type
    try:
        dtype: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(kind)
    except KeyError:
        raise FileError(
            f"the input `{printable(value.name)}` is not declared as a tensor of some type",
            "only tensors can be passed",
        ) from None
    return dtype


def drawn(model: Any, names: Iterable[str], seed: int) -> tuple[dict[str, Array], list[str]]:
    """Random inputs of the declared shapes and types, and what was chosen for them, in words.

    Floats are normally distributed, integers of 8 bits take all values, others 0 and 1, which may
    be indices. A batch axis of no fixed size has the size 1. Raises ShapeError for others.
    """
    onnx, _ = packages()
    if integer("seed", seed) < 0:
        raise WordError(f"`seed` (={shown(seed)}) must be at least 0", "use 0 or more")
    generator = np.random.default_rng(seed)
    declared = {value.name: value for value in model.graph.input}
    arrays, notes = {}, [f"inputs were drawn with the seed {seed}"]
    for name in names:
        dtype = dtype_of(onnx, declared[name])
        shape, free = declared_shape(declared[name])
        if free:
            notes.append(
                f"the first axis of `{printable(name)}` ({printable(free)}) was given the size 1"
            )
        check_fits(8 * prod(shape), f"the input `{printable(name)}`")
        if dtype.kind in "biu":
            low, high = (0, 1) if dtype.itemsize > 1 or dtype.kind == "b" else limits(dtype)
            arrays[name] = generator.integers(low, high, shape, endpoint=True).astype(dtype)
        elif dtype.kind in "fc" or dtype.name == "bfloat16":
            arrays[name] = np.asarray(generator.standard_normal(shape)).astype(dtype)
        else:
            raise DtypeError(
                f"inputs of {dtype}, as `{printable(name)}` is, are not drawn", "give `inputs`"
            )
    return arrays, notes


def limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """The smallest and the largest number of a dtype."""
    return np.iinfo(dtype).min, np.iinfo(dtype).max


def declared_shape(value: Any) -> tuple[tuple[int, ...], str]:
    """The shape of an input, with 1 for a free batch axis, and what that is called."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        raise ShapeError(
            f"the input `{printable(value.name)}` has no declared shape", "give `inputs`"
        )
    sizes = [dim.dim_value for dim in kind.shape.dim]
    free = [(axis, kind.shape.dim[axis].dim_param) for axis, size in enumerate(sizes) if size < 1]
    for axis, name in free:
        if axis:
            named = f" (`{printable(name)}`)" if name else ""
            raise ShapeError(
                f"the input `{printable(value.name)}` has no fixed size along axis {axis}{named}",
                "give `inputs` of the size that you want",
            )
    batch = (free[0][1] or "unnamed") if free else ""
    return tuple(max(1, size) for size in sizes), batch
