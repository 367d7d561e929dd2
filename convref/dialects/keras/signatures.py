"""Signatures: what a layer was made with, by Keras's names, is kept and read from there."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypedDict, TypeVar, cast

from numpy.typing import ArrayLike, DTypeLike

from convref.dialects.keras.words import spelled
from convref.errors import ConvrefError, WordError
from convref.names import nearest

F = TypeVar("F", bound=Callable[..., None])


class LayerWords(TypedDict, total=False):
    """Keywords that every layer of Keras takes, those of Keras 2 among them."""

    name: str | None
    """What messages and summaries call the layer (conv2d, conv2d_1, ...)."""
    dtype: DTypeLike
    """Of parameters, inputs and outputs ("float32")."""
    trainable: bool
    """Whether training changes it (True)."""
    input_shape: Sequence[int | None] | None
    """Of one sample; the first layer of a `Sequential` builds it with this (None)."""
    batch_input_shape: Sequence[int | None] | None
    """The same with the batch axis (None)."""
    batch_size: int | None
    """The batch axis of it (None)."""
    weights: Sequence[ArrayLike] | None
    """First weights, in the order of `get_weights` (None)."""


def recorded(init: F) -> F:
    """Keep what a constructor is called with as ``self.words``, by Keras's names.

    An error that leaves it names the class, and speaks Keras's words.
    """
    signature = inspect.signature(init)

    @wraps(init)
    def named(self: Any, *args: Any, **words: Any) -> None:
        bound = signature.bind(self, *args, **words)
        bound.apply_defaults()
        given = {name: value for name, value in bound.arguments.items() if name != "self"}
        try:
            with spelled():
                others = given.pop("kwargs", {})
                self.words = given | known_words(others, self.known)
                init(self, *args, **words)
        except ConvrefError as error:
            error.operation = type(self).__name__
            raise

    return cast(F, named)


def exchanged(init: F, first: str) -> F:
    """The constructor with a parameter behind the one that follows it."""
    signature = inspect.signature(init)
    order = list(signature.parameters.values())
    place = list(signature.parameters).index(first)
    order[place : place + 2] = order[place : place + 2][::-1]
    turned = signature.replace(parameters=order)

    @wraps(init)
    def called(self: Any, *args: Any, **words: Any) -> None:
        given = turned.bind(self, *args, **words).arguments
        others = given.pop("kwargs", {})
        init(**given, **others)

    called.__signature__ = turned  # type: ignore[attr-defined]
    return cast(F, called)


def known_words(given: Mapping[str, Any], known: Any) -> dict[str, Any]:
    """Keywords of this TypedDict, if nothing else is among them; raise WordError."""
    for word in given:
        if word not in known.__annotations__:
            raise WordError(f"there is no word `{word}`", nearest(word, known.__annotations__))
    return dict(given)
