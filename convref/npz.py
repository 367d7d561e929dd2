"""Arrays in .npz files, which anyone may have made: nothing is run, and no more read than is there.

An .npz file is a zip archive of .npy files: each a header, a literal that says dtype, order and
shape, and the numbers (numpy.lib.format describes it). Before memory is taken for the numbers, what
the header promises is held against what the archive has, and against the memory of the machine.
"""

import zipfile
from collections.abc import Callable
from math import prod
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from convref.memory import check_fits, readable

Array = NDArray[Any]
Header = tuple[tuple[int, ...], bool, np.dtype[Any]]

READ_HEADER: dict[tuple[int, int], Callable[..., Header]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
LONGEST_NAME = 1000
LARGE, DENSE = 2**27, 200
"""Bytes from which on an array that is packed so many times is taken for a bomb."""


def read_npz(stream: IO[bytes]) -> dict[str, Array]:
    """The arrays of an archive by name.

    Raises TooLargeError for more than the machine holds; ValueError, OSError, EOFError, KeyError,
    zipfile.BadZipFile or zlib.error for what is not an archive of plain arrays.
    """
    if stream.read(6) == np.lib.format.MAGIC_PREFIX:
        raise ValueError("it holds a single array")
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        check_fits(sum(member.file_size for member in members), "its arrays")
        arrays: dict[str, Array] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name == member.filename:
                raise ValueError(f"{name!r} in it is not an array")
            if len(name) > LONGEST_NAME:
                raise ValueError(f"it holds a name of {len(name)} characters")
            if name in arrays:
                raise ValueError(f"it holds two arrays {name!r}")
            if member.file_size > max(LARGE, DENSE * member.compress_size):
                raise ValueError(f"{name!r} unpacks to {readable(member.file_size)}, as bombs do")
            with archive.open(member) as file:
                arrays[name] = read_array(name, file, member.file_size)
    return arrays


def read_array(name: str, file: IO[bytes], size: int) -> Array:
    """The array in a .npy file of so many bytes; raise ValueError."""
    version = np.lib.format.read_magic(file)
    if version not in READ_HEADER:
        raise ValueError(f"{name!r} is of version {version}, which arrays of numbers don't need")
    try:
        shape, by_columns, dtype = READ_HEADER[version](file)
    except Exception as error:  # of Python's parser, for example
        raise ValueError(f"{name!r} has no header of an array: {first_line(error)}") from error
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    if not all(type(size) is int for size in shape):
        raise ValueError(f"{name!r} has the shape {shape}, not one of integers")
    promised, held = prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or promised != held:
        raise ValueError(
            f"{name!r}, of shape {shape} and dtype {dtype}, should have {promised} bytes "
            f"and has {held}"
        )
    numbers = np.empty(held, np.uint8)
    if file.readinto(numbers) != held:  # type: ignore[attr-defined]
        raise ValueError(f"{name!r} ends too soon")
    array = numbers.view(dtype)
    return array.reshape(shape[::-1]).T if by_columns else array.reshape(shape)


def first_line(error: Exception) -> str:
    """What an error says, without advice that goes on for lines."""
    return next(iter(str(error).splitlines()), type(error).__name__)
