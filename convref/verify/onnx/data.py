"""The data of a model's tensors, in its file or beside it.

External data is read only from regular files in the model's folder or below, whatever the model
says, and every tensor must have as many bytes as its shape claims before any are allocated.
"""

import re
from collections.abc import Iterator
from math import prod
from os.path import isfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from convref.errors import MOST_SHOWN, FileError, shown
from convref.memory import check_fits

KINDS = ("float", "int32", "int64", "double", "uint64")
"""The fields of a tensor that hold numbers: float_data and so on."""
SAVE = "save the model anew with onnx.save"


def messages(message: Any) -> Iterator[Any]:
    """A message and all those in it: no tensor can hide in a field that nobody thought of."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in (value,) if hasattr(value, "ListFields") else value:
                yield from messages(part)


def check_strings(message: Any, path: Path) -> None:
    """Check that strings are strings: of broken ones Protocol Buffers gives the bytes."""
    for field, value in message.ListFields():
        if field.type != field.TYPE_STRING:
            continue
        if isinstance(value, bytes) or any(isinstance(part, bytes) for part in value):
            raise FileError(
                f"{path} is not an ONNX model: `{field.name}` is not UTF-8", "check the file"
            )


def printable(name: str) -> str:
    """A name out of a model as a terminal may have it: short, and without control characters."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


class Place(NamedTuple):
    """Where in which file the data of a tensor is."""

    tensor: Any
    file: Path
    offset: int
    length: int


def load_data(onnx: Any, model: Any, path: Path) -> None:
    """Check the size of every tensor, and fetch the data of those that have it elsewhere."""
    places = []
    everything = list(messages(model))
    for message in everything:
        check_strings(message, path)
    for message in everything:
        if isinstance(message, onnx.TensorProto):
            whose = f"{path}: the tensor `{printable(message.name)}`"
            if message.data_location == onnx.TensorProto.EXTERNAL:
                places.append(place(onnx, message, path.parent.resolve(), whose))
            elif message.data_type != onnx.TensorProto.STRING:
                check_data(onnx, message, whose)
    check_fits(sum(place.length for place in places), f"the external data of {path}")
    for tensor, file, offset, length in places:
        try:
            with file.open("rb") as stream:
                stream.seek(offset)
                tensor.raw_data = stream.read(length)
        except OSError as error:
            raise FileError(f"{file} can't be read: {error.strerror}", "check the file") from error
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT


def check_data(onnx: Any, tensor: Any, whose: str) -> None:
    """Check that a tensor holds as much as its shape claims; raise FileError."""
    needed = size_of(onnx, tensor, whose)
    if tensor.HasField("raw_data"):
        what, found = "bytes", len(tensor.raw_data)
    else:
        typed = {field.name: value for field, value in tensor.ListFields()}
        found = sum(len(typed.get(f"{kind}_data", ())) for kind in KINDS)
        what, needed = "numbers", numbers_of(onnx, tensor, needed)
    if found != needed:
        raise FileError(
            f"{whose} of shape {shown(tuple(tensor.dims))} needs {needed} {what}, and has {found}",
            SAVE,
        )


def numbers_of(onnx: Any, tensor: Any, size: int) -> int:
    """How many entries of such a field a tensor of so many bytes has: bytes of packed types."""
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    if bits(dtype) < 8:
        return size
    count: int = prod(tensor.dims)
    return 2 * count if dtype.kind == "c" else count


def bits(dtype: Any) -> int:
    """Of one number in a file, where some types are packed: NumPy has a byte or more for each."""
    stated = re.search(r"\d+", dtype.name)
    return int(stated[0]) if stated else 8 * int(dtype.itemsize)


def size_of(onnx: Any, tensor: Any, whose: str) -> int:
    """How many bytes the shape and type of a tensor claim; raise FileError."""
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except KeyError:
        dtype = None
    if dtype is None or dtype.kind == "O" or min(tensor.dims, default=0) < 0:
        raise FileError(
            f"{whose} can't have the type {tensor.data_type} and the shape "
            f"{shown(tuple(tensor.dims))}",
            SAVE,
        )
    size: int = -(-prod(tensor.dims) * bits(dtype) // 8)
    return size


def place(onnx: Any, tensor: Any, folder: Path, whose: str) -> Place:
    """Where the data of a tensor is; raise FileError unless it is all there, in the folder."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    needed = size_of(onnx, tensor, whose)
    file = beside(folder, entries.get("location", ""), whose)
    numbers = [entries.get("offset", "0"), entries.get("length", str(needed))]
    if not all(text.isascii() and text.isdecimal() and len(text) < 100 for text in numbers):
        raise FileError(
            f"{whose} has offset and length {shown(numbers)}, which are not numbers of bytes", SAVE
        )
    offset, length = map(int, numbers)
    if length != needed:
        raise FileError(
            f"{whose} of shape {shown(tuple(tensor.dims))} needs {needed} bytes, and its length is "
            f"{length}",
            SAVE,
        )
    if offset + length > (there := file.stat().st_size):
        raise FileError(
            f"{whose} needs the bytes from {offset} to {offset + length} of {file.name}, which has "
            f"{there}",
            "copy the whole file",
        )
    return Place(tensor, file, offset, length)


def beside(folder: Path, location: str, whose: str) -> Path:
    """A file in the folder or below; raise FileError for any other."""
    rooted = PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor
    climbs = ".." in PureWindowsPath(location).parts  # which has both slashes
    file = None
    if location and not rooted and not climbs and "\0" not in location:
        file = (folder / location).resolve()  # a link leads where it leads
    if file is None or not file.is_relative_to(folder):
        raise FileError(
            f"{whose} has its data in {shown(location)}, which is not in the folder of the model",
            "copy the file there, and save the model with its name alone",
        )
    if not isfile(file):
        raise FileError(
            f"{whose} has its data in {shown(location)}, and there is no such file",
            "copy it to the folder of the model",
        )
    return file
