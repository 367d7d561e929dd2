"""Dialects: write it as your framework does, get what your framework gives.

Each module has one framework's names, argument order, defaults, layouts, weight shapes,
initialisers and errors, on NumPy arrays: ``from convref.dialects import torch as nn``. Those that
have layers can also say each other's: `translate`.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from convref.errors import FileError, WordError, shown, verb
from convref.layer import Layer
from convref.names import nearest

WITH_LAYERS = ("torch", "keras", "brainpy", "babilim")
"""Dialects that have layers, and so can be translated from and to."""


@verb
def translate(layer: Layer, to: str) -> Layer:
    """The layer of another dialect that computes the same, its weights carried along.

    ``layer`` is one of any dialect, or of `convref.layers`; ``to`` is "torch", "keras", "brainpy"
    or "babilim". Raises WordError where that framework has no such layer, and says what it has.

    >>> import numpy as np
    >>> from convref.dialects import keras
    >>> layer = keras.Conv2D(8, 3, padding="same")
    >>> y = layer(np.ones((1, 9, 9, 3)))
    >>> translate(layer, to="torch").weight.value.shape
    (8, 3, 3, 3)
    """
    return cast(Layer, dialect("to", to).from_layer(layer))


@verb
def translate_config(config: Mapping[str, Any], source: str, to: str) -> dict[str, Any]:
    """``{"class_name": ..., "config": {...}}`` of one dialect in the words of another.

    >>> made = {"class_name": "Conv1D", "config": {"filters": 4, "kernel_size": 3}}
    >>> translate_config(made, "keras", "torch")["class_name"]
    'LazyConv1d'
    """
    layer = made_of(config, source)
    target = dialect("to", to)
    return cast(dict[str, Any], target.get_config(target.from_layer(layer)))


def made_of(config: Mapping[str, Any], source: str) -> Layer:
    """The layer that a configuration describes; raise FileError where it describes none."""
    module = dialect("from", source)
    example = '{"class_name": "Conv2d", "config": {"in_channels": 3, ...}}'
    if not isinstance(config, Mapping) or not {"class_name", "config"} <= {*config}:
        raise FileError("a configuration has a `class_name` and a `config`", f"such as {example}")
    name, words = config["class_name"], config["config"]
    kind = getattr(module, name, None) if isinstance(name, str) else None
    if not (isinstance(kind, type) and issubclass(kind, Layer)):
        known = [
            key for key, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, Layer)
        ]  # fmt: skip
        raise WordError(
            f"`class_name` (={shown(name)}) is no layer of {source}", nearest(name, known)
        )
    if not isinstance(words, Mapping):
        raise FileError(f"`config` (={shown(words)}) is not an object", f"such as {example}")
    try:
        return kind(**words)
    except TypeError as error:  # of words that the class doesn't have
        raise WordError(f"{source} can't make this {name}: {error}", "check `config`") from None


def dialect(word: str, name: str) -> Any:
    """The module of a dialect with layers."""
    if not isinstance(name, str) or name not in WITH_LAYERS:
        raise WordError(
            f"`{word}` (={shown(name)}) is no dialect with layers", nearest(name, WITH_LAYERS)
        )
    return import_module(f"convref.dialects.{name}")
