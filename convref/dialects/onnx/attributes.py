"""What ONNX operators share: how inputs and attributes are read, and said again in convref's words.

Attributes are as a model file has them: a list holds one integer per spatial axis, and a string may
be the bytes that `onnx.helper.get_attribute_value` gives.
"""

import re
from collections.abc import Callable, Container
from functools import wraps
from inspect import signature
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref.dtypes import as_array
from convref.errors import ConvrefError, DtypeError, ShapeError, WordError, shown, verb
from convref.integers import integer, is_sequence, members
from convref.padding import Pair
from convref.spec import ConvSpec, Words

Array = NDArray[Any]
Ints = list[int] | tuple[int, ...] | NDArray[Any]
P = ParamSpec("P")
R = TypeVar("R")

SINGLES = ("float16", "bfloat16", "float32")
FLOATS = (*SINGLES, "float64")
BYTES = ("int8", "uint8")
AUTO_PADS = {"VALID": "valid", "SAME_UPPER": "same", "SAME_LOWER": "same_lower"}
"""The words of `auto_pad`, beside NOTSET, in convref's."""
RENAMED = (
    ("x", "X"),
    ("x", "input"),
    ("w", "W"),
    ("w", "weight"),
    ("bias", "B"),
    ("cols", "input"),
    ("groups", "group"),
    ("stride", "strides"),
    ("padding", "pads"),
    ("dilation", "dilations"),
    ("kernel_size", "kernel_shape"),
    ("kernel_size", "block_shape"),
    ("input_size", "image_shape"),
    ("output_size", "output_shape"),
)
"""What convref's messages name, and what ONNX does, where an operator has such a parameter."""


def operator(function: Callable[P, R]) -> Callable[P, R]:
    """A public operator: messages start with its name, and name what its user wrote."""
    parameters = signature(function).parameters
    names = {ours: theirs for ours, theirs in RENAMED if theirs in parameters}

    def renamed(text: str) -> str:
        return re.sub(r"`(\w+)`", lambda word: f"`{names.get(word[1], word[1])}`", text)

    @wraps(function)
    def named(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ConvrefError as error:
            error.rule, error.mend = renamed(error.rule), renamed(error.mend)
            raise

    return verb(named)


def tensor(name: str, value: ArrayLike | None, types: tuple[str, ...]) -> Array:
    """An input as an array of one of these types; raise DtypeError."""
    if value is None:
        raise DtypeError(f"`{name}` (=None) can't be left out", "give it an array")
    array = as_array(name, value)
    if array.dtype.name not in types:
        raise DtypeError(
            f"`{name}` has dtype {array.dtype}, which the operator does not take",
            f"use one of {', '.join(types)}",
        )
    return array


def tensors(types: tuple[str, ...], optional: Container[str], **inputs: ArrayLike | None) -> Any:
    """Inputs of one type among these, or None for optional ones left out; raise DtypeError."""
    arrays = [
        None if value is None and name in optional else tensor(name, value, types)
        for name, value in inputs.items()
    ]
    (first, found), *others = zip(inputs, arrays, strict=True)
    for name, array in others:
        if array is not None and found is not None and array.dtype.name != found.dtype.name:
            raise DtypeError(
                f"`{name}` ({array.dtype}) and `{first}` ({found.dtype}) must be of one type",
                "convert one of them",
            )
    return arrays


def choice(name: str, value: str | bytes, words: tuple[str, ...]) -> str:
    """One of these words, spelled as ONNX does; raise WordError."""
    word = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(word, str) or word not in words:
        raise WordError(
            f"`{name}` (={shown(value)}) is unknown", f"use one of {', '.join(map(repr, words))}"
        )
    return word


def ints(
    name: str, value: Ints | None, count: int, default: int, minimum: int | None = 1
) -> tuple[int, ...]:
    """A list of so many integers, or as many defaults; raise WordError."""
    if value is None:
        return (default,) * count
    given = members(name, value) if is_sequence(value) else ()
    numbers = tuple(integer(name, entry) for entry in given)
    if len(numbers) != count:
        raise WordError(
            f"`{name}` (={shown(value)}) must list {count} integers", f"such as {[default] * count}"
        )
    if minimum is not None and min(numbers, default=minimum) < minimum:
        raise WordError(
            f"`{name}` (={shown(value)}) must be at least {minimum} on every axis",
            f"use {minimum} or more",
        )
    return numbers


def flag(name: str, value: int) -> bool:
    """An integer that means yes or no; raise WordError."""
    if not isinstance(value, bool) and integer(name, value) not in (0, 1):
        raise WordError(f"`{name}` (={shown(value)}) is neither 0 nor 1", "use one of them")
    return bool(value)


def pairs(pads: Ints | None, rank: int) -> tuple[Pair, ...]:
    """ONNX's list of beginnings, then ends, as a pair (lo, hi) per axis."""
    amounts = ints("pads", pads, 2 * rank, default=0, minimum=0)
    return tuple(zip(amounts[:rank], amounts[rank:], strict=True))


def padding(auto_pad: str | bytes, pads: Ints | None, rank: int) -> str | tuple[Pair, ...]:
    """convref's padding, which one of the two attributes chooses; raise WordError."""
    word = choice("auto_pad", auto_pad, ("NOTSET", *AUTO_PADS))
    if word == "NOTSET":
        return pairs(pads, rank)
    if pads is not None:
        raise WordError(
            f"`auto_pad` (={shown(word)}) and `pads` (={shown(pads)}) both choose the padding",
            "give one of them",
        )
    return AUTO_PADS[word]


class Attributes(NamedTuple):
    """The attributes that operators with sliding windows share."""

    auto_pad: str | bytes = "NOTSET"
    dilations: Ints | None = None
    pads: Ints | None = None
    strides: Ints | None = None
    group: int = 1

    def words(self, rank: int) -> Words:
        """The same in convref's words; raise WordError."""
        group = integer("group", self.group)
        if group < 1:
            raise WordError(f"`group` (={group}) must be at least 1", "use 1 or more")
        return Words(
            stride=ints("strides", self.strides, rank, default=1),
            padding=padding(self.auto_pad, self.pads, rank),
            dilation=ints("dilations", self.dilations, rank, default=1),
            groups=group,
        )

    def spec(self, rank: int) -> ConvSpec:
        """The same as a spec; raise WordError."""
        return ConvSpec.of(rank, **self.words(rank))


def rank_of(name: str, array: Array) -> int:
    """How many spatial axes ``(N, C, D1, ..., Dn)`` has; raise ShapeError."""
    if array.ndim < 3:
        raise ShapeError(
            f"`{name}` (shape {array.shape}) has no spatial axes",
            "give it the shape (N, C, D1, ..., Dn)",
        )
    return array.ndim - 2


def check_weights(x: Array, w: Array, kernel_shape: Ints | None) -> int:
    """The number of spatial axes, on which an input, weights and kernel_shape agree."""
    rank = rank_of("x", x)
    if w.ndim != x.ndim:
        raise ShapeError(
            f"`w` (shape {w.shape}) has {w.ndim} axes, and `x` (shape {x.shape}) has {x.ndim}",
            "give both as many, of which the first two are no spatial axes",
        )
    if kernel_shape is not None and ints("kernel_shape", kernel_shape, rank, 1) != w.shape[2:]:
        raise WordError(
            f"`kernel_shape` (={shown(kernel_shape)}) is not that of `w` (shape {w.shape})",
            f"use {list(w.shape[2:])}, or leave it out",
        )
    return rank


def check_group(x: Array, w: Array, group: int) -> None:
    """Check that ``x (N, C, ...)`` and ``w (M, C/group, ...)`` have the same channels."""
    if x.shape[1] != w.shape[1] * group:
        raise ShapeError(
            f"`w` (shape {w.shape}) takes {w.shape[1] * group} input channels in `group` "
            f"(={group}), and `x` (shape {x.shape}) has {x.shape[1]}",
            "weights have the shape (M, C/group, k1, ..., kn)",
        )


def scalar(name: str, array: Array) -> Array:
    """The one number of an input, as a scalar; raise ShapeError."""
    if array.size != 1:
        raise ShapeError(f"`{name}` (shape {array.shape}) is not one number", "give it one")
    return array.reshape(())


def listed(name: str, value: ArrayLike) -> list[int]:
    """An input that lists integers; raise WordError."""
    return [integer(name, entry) for entry in np.atleast_1d(as_array(name, value))]


def axes_of(axes: ArrayLike | None, rank: int) -> list[int]:
    """The axes listed, counted from the front, or all of them; raise WordError."""
    if axes is None:
        return list(range(rank))
    chosen = listed("axes", axes)
    if any(not -rank <= axis < rank for axis in chosen):
        raise WordError(
            f"`axes` (={chosen}) must lie from {-rank} to {rank - 1}", "use the axes there are"
        )
    chosen = [axis % rank for axis in chosen]
    if len(set(chosen)) < len(chosen):
        raise WordError(f"`axes` (={chosen}) names an axis twice", "name each axis once")
    return chosen
