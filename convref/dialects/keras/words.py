"""What Keras keeps in one place: automatic names, the seed, the names of dtypes, its spelling."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypedDict

import numpy as np
from numpy.typing import NDArray

from convref.dtypes import named_dtype
from convref.errors import ConvrefError, DtypeError, WordError, shown, verb
from convref.integers import integer, is_sequence, members, per_axis
from convref.names import nearest
from convref.spec import Axes

Array = NDArray[Any]
Shape = tuple[int, ...]
Sizes = tuple[int | None, ...]
"""A shape with None where a size is open."""

SPELLED = {
    "stride": "`strides`",
    "dilation": "`dilation_rate`",
    "layout": "`data_format`",
    "out_channels": "`filters`",
    "in_channels": "the channels of the input",
    "scale_factor": "`size`",
}
"""How words of convref, which stand in its messages, are spelled in Keras."""


class KindError(WordError, TypeError):
    """A setting of a type that Keras refuses with a TypeError."""


@contextmanager
def spelled() -> Iterator[None]:
    """Put Keras's words into a message that leaves the block."""
    try:
        yield
    except ConvrefError as error:
        error.rule, error.mend = map(in_keras_words, (error.rule, error.mend))
        raise


def in_keras_words(text: str) -> str:
    """The text with Keras's spelling of what stands in backticks."""
    return re.sub(r"`(\w+)`", lambda found: SPELLED.get(found[1], found[0]), text)


# Names and the seed


class Session:
    """The names given so far, and the generator that first weights are drawn from."""

    names: ClassVar[Counter[str]] = Counter()
    rng: ClassVar[np.random.Generator] = np.random.default_rng()


@verb
def set_random_seed(seed: int) -> None:
    """Draw first weights and dropout from this seed on, as keras.utils.set_random_seed.

    The same seed gives the same numbers here, but not those that Keras's generator gives.

    >>> from convref.dialects import keras
    >>> def first():
    ...     keras.set_random_seed(3)
    ...     return keras.Conv1D(2, 3)(np.ones((1, 4, 1)))
    >>> bool(np.all(first() == first()))
    True
    """
    Session.rng = seeded(seed)


def seeded(seed: int) -> np.random.Generator:
    """A generator that gives the same numbers each time; raise WordError."""
    number = integer("seed", seed)
    if number < 0:
        raise WordError(f"`seed` (={shown(seed)}) must be at least 0", "use 0 or more")
    return np.random.default_rng(number)


def clear_session() -> None:
    """Begin automatic names anew, as keras.utils.clear_session."""
    Session.names.clear()


def snake_case(name: str) -> str:
    """``conv2d_transpose`` for Conv2DTranspose."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", name).lower()


def unique_name(class_name: str) -> str:
    """The automatic name of a layer: conv2d, conv2d_1, conv2d_2, ..."""
    name = snake_case(class_name)
    Session.names[name] += 1
    used = Session.names[name] - 1
    return f"{name}_{used}" if used else name


def layer_name(name: object, class_name: str) -> str:
    """The name that was given, or an automatic one; raise WordError."""
    if name is None:
        return unique_name(class_name)
    if not isinstance(name, str) or "/" in name:
        raise WordError(
            f"`name` (={shown(name)}) must be a string without '/'", "such as name='stem'"
        )
    return name


# Settings


def layout_word(value: str | None) -> str:
    """convref's layout; None is "channels_last", as Keras is installed."""
    if value is None:
        return "channels_last"
    known = ("channels_first", "channels_last")
    if not isinstance(value, str) or value.lower() not in known:
        raise WordError(f"`data_format` (={shown(value)}) is unknown", nearest(value, known))
    return value.lower()


def padding_word(value: object, *, causal: bool) -> str:
    """A padding word in lower case."""
    known = ("valid", "same", "causal") if causal else ("valid", "same")
    if isinstance(value, str) and value.lower() in known:
        return value.lower()
    raise WordError(
        f"`padding` (={shown(value)}) must be {' or '.join(map(repr, known))}",
        "for other amounts put a layer such as ZeroPadding2D before this one",
    )


class Steps(TypedDict):
    """convref's words for strides and dilation_rate."""

    stride: Shape
    dilation: Shape


def steps(strides: Axes, dilation_rate: Axes, rank: int) -> Steps:
    """convref's words for both."""
    return {
        "stride": per_axis("strides", strides, rank, minimum=1),
        "dilation": per_axis("dilation_rate", dilation_rate, rank, minimum=1),
    }


def refuse_both(stride: Shape, dilation: Shape) -> None:
    """Check that not both are above 1."""
    if max(stride) > 1 and max(dilation) > 1:
        raise WordError(
            f"`strides` (={stride}) and `dilation_rate` (={dilation}) are both above 1, "
            "which Keras does not do",
            "set one of them to 1",
        )


def dtype_name(value: Any) -> Any:
    """A dtype from what Keras takes: None, a name, NumPy's dtype, or a policy's configuration."""
    if value is None:
        return "float32"
    if isinstance(value, Mapping):
        policy = value.get("config")
        name = policy.get("name") if isinstance(policy, Mapping) else None
        if not isinstance(name, str):
            raise WordError(f"`dtype` (={shown(value)}) names none", "write dtype='float32'")
        value = name
    if isinstance(value, str) and value.startswith("mixed_"):
        raise DtypeError(
            f"`dtype` (={shown(value)}) has weights of one dtype and computes in another",
            f"use 'float32' or {value.removeprefix('mixed_')!r} for both",
        )
    return value


def integral(name: Any) -> bool:
    """Whether it is a dtype of integers, which layers with weights don't take."""
    found = named_dtype(name)
    return found is not None and found.kind in "biu"


def open_sizes(name: str, value: object) -> Sizes:
    """Sizes of which some may be open: a shape as Keras takes it."""
    if not is_sequence(value):
        raise WordError(
            f"`{name}` (={shown(value)}) must list one size per axis", "such as (28, 28, 3)"
        )
    sizes = tuple(None if entry is None else integer(name, entry) for entry in members(name, value))
    if any(size is not None and size < 0 for size in sizes):
        raise WordError(
            f"`{name}` (={shown(value)}) must not be negative", "use None for an open size"
        )
    return sizes


def with_open_sizes(shape_of: Callable[[Shape], Shape], sizes: Sizes) -> Sizes:
    """The output shape for an input of which some sizes are open.

    What is open in the output is what changes with the open sizes of the input.
    """
    one, other = (shape_of(filled(sizes, size)) for size in (LARGE, 2 * LARGE))
    return tuple(a if a == b else None for a, b in zip(one, other, strict=True))


def filled(sizes: Sizes, size: int) -> Shape:
    """Sizes with this one in the place of those that are open."""
    return tuple(size if entry is None else entry for entry in sizes)


LARGE = 2**20
"""In the place of an open size: no kernel, stride or cropping comes near it."""
