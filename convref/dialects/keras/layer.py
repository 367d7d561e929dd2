"""What every layer of the dialect shares: words, names, calls, weights, configurations."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import ArrayLike

from convref.dialects.keras.activations import activation, activation_word
from convref.dialects.keras.initialisers import initialiser
from convref.dialects.keras.layouts import Layout, Same
from convref.dialects.keras.settings import constraint, described, regulariser
from convref.dialects.keras.signatures import LayerWords
from convref.dialects.keras.variables import Bias, Part, Variable
from convref.dialects.keras.words import (
    Array,
    Session,
    Shape,
    Sizes,
    dtype_name,
    integral,
    layer_name,
    open_sizes,
    spelled,
    with_open_sizes,
)
from convref.dtypes import as_array
from convref.errors import ShapeError, WordError, shown
from convref.integers import flag, members
from convref.layer import Layer, Parameter
from convref.names import nearest
from convref.spec import ConvSpec
from convref.weighted import Settings, Weighted, channel_count, inexact

CLASSES: dict[str, type["KerasLayer"]] = {}
"""The classes of the dialect by name."""


def from_config(configuration: Mapping[str, Any]) -> "KerasLayer":
    """The layer of {"class_name": ..., "config": {...}}; raise WordError."""
    name = configuration.get("class_name")
    if not isinstance(name, str) or name not in CLASSES:
        raise WordError(f"`class_name` (={shown(name)}) is unknown", nearest(name, CLASSES))
    return CLASSES[name].from_config(configuration.get("config", {}))


class KerasLayer(Layer):
    """What every layer has; see the methods."""

    def __init_subclass__(cls) -> None:
        if getattr(cls, "rank", None) is not None:  # the others are what these share
            CLASSES[cls.__name__] = cls

    words: dict[str, Any]
    """What it was made with, by Keras's names."""
    spare_axes: ClassVar[bool] = False
    """Whether inputs may have more batch axes than one."""
    known: ClassVar[Any] = LayerWords
    """The keywords beside those of the signature."""
    speaking = False
    """Whether an error on its way out will be given the layer's name."""
    lead: ClassVar[int] = 1
    """How many axes come before the spatial ones and the channels."""

    def adopt(self, **normal: Any) -> None:
        """Take over the keywords that every layer has, once all is made.

        ``normal`` are others as Keras keeps them; all are attributes, unless convref has one of
        that name.
        """
        self.words |= normal
        words = self.words
        self.trainable = flag("trainable", words.get("trainable", True))
        self.training = False  # as Keras calls layers unless it is told otherwise
        self.batch_input_shape = batch_shape(words)
        """The shape that the layer was told to expect."""
        weights = words.get("weights")
        self.first_weights = None if weights is None else members("weights", weights)
        for word, value in words.items():
            if not hasattr(self, word):
                setattr(self, word, value)

    def common(self) -> dict[str, Any]:
        """The name, for the constructor of convref's layer."""
        return {"name": layer_name(self.words.get("name"), type(self).__name__)}

    @property
    def axes(self) -> int:
        """The number of spatial axes."""
        return cast(int, getattr(self, "rank"))  # noqa: B009 - of another base

    # Calls

    def __call__(self, inputs: ArrayLike, training: bool | None = None) -> Any:
        """The output, in inference; with ``training=True``, as part of training."""
        with self._named():
            self.check_batch(as_array("inputs", inputs))
        if training is None:
            return super().__call__(inputs)
        before, self.training = self.training, bool(training)
        try:
            return super().__call__(inputs)
        finally:
            self.training = before

    def ensure_built(self, shape: Shape) -> None:
        self.check_axes(shape)
        if not self.built:
            self.build(shape)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the parameters for inputs of this shape, in which the batch size may be None."""
        with self._named():
            sizes = open_sizes("input_shape", input_shape)
            self.check_axes(sizes)
            if not self.built:
                super().build(cast(Shape, sizes))
                self.built = True
                if self.first_weights is not None:
                    self.set_weights(self.first_weights)
            self.compute_output_shape(sizes)  # where nothing would come out, it shows now

    def check_axes(self, shape: Sizes) -> None:
        """Check that an input has as many axes as Keras takes."""
        spec = getattr(self, "spec", None)
        if spec is None:
            return
        axes = self.lead + spec.rank + 1
        if len(shape) < axes or (len(shape) > axes and not self.spare_axes):
            layout = "*spatial, C" if spec.layout == "channels_last" else "C, *spatial"
            time = "time, " * (self.lead - 1)
            raise ShapeError(
                f"`inputs` (shape {shape}) have {len(shape)} axes, and the layer takes {axes}"
                + " or more" * self.spare_axes,
                f"give them the shape (batch, {time}{layout})",
            )

    def check_batch(self, inputs: Array) -> None:
        """Check that a batch has the size that the layer was told to expect."""
        size = self.batch_input_shape[0] if self.batch_input_shape else None
        if size is not None and inputs.shape[:1] != (size,):
            raise ShapeError(
                f"`inputs` (shape {inputs.shape}) are not the batch of {size} that the layer was "
                "made for",
                "leave out `batch_size`, or make it None in `batch_input_shape`",
            )

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Sizes:
        """The shape of the output for an input in which sizes may be None."""
        with self._named():
            return with_open_sizes(self.output_shape, open_sizes("input_shape", input_shape))

    @contextmanager
    def _named(self) -> Iterator[None]:
        if self.speaking:  # one method called another: the layer is named once
            yield
            return
        self.speaking = True
        try:
            with super()._named(), spelled():
                yield
        finally:
            self.speaking = False

    # Weights

    def parts(self) -> tuple[Part, ...]:
        """The parameters, in Keras's order."""
        return ()

    @property
    def weights(self) -> list[Variable]:
        """The parameters in Keras's order and layout; none before the layer is built."""
        found = [(part, getattr(self, part.ours, None)) for part in self.parts()]
        return [
            Variable(part.name, parameter, part.layout)
            for part, parameter in found
            if parameter is not None
        ]

    @property
    def trainable_weights(self) -> list[Variable]:
        """Those that training changes."""
        return self.weights if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Those that it doesn't."""
        return [] if self.trainable else self.weights

    def get_weights(self) -> list[Array]:
        """Copies of the parameters in Keras's order and layout."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Fill the parameters, in Keras's order and layout; raises ShapeError."""
        with self._named():
            variables, arrays = self.weights, members("weights", weights)
            if len(arrays) != len(variables):
                raise ShapeError(
                    f"the layer has {len(variables)} weights, and {len(arrays)} are given",
                    "pass what get_weights() of such a layer gives"
                    if variables
                    else "call the layer or build it first",
                )
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)

    def count_params(self) -> int:
        """The number of numbers in all parameters."""
        return sum(prod(variable.shape) for variable in self.weights)

    @property
    def losses(self) -> list[float]:
        """What the regularisers add to the loss, one by one, as of the last call."""
        own = [parameter for parameter in self.parameters().values() if parameter.regulariser]
        activity = [self.activity] if getattr(self, "activity_regulariser", None) else []
        return activity + [parameter.penalty() for parameter in own]

    # Configurations

    def get_config(self) -> dict[str, Any]:
        """What makes the layer anew, without its weights, as JSON can hold it."""
        with self._named():
            words = {
                word: plain(word, value, self.layout_of(word))
                for word, value in self.words.items()
                if word != "weights"
            }
        words |= {"name": self.name, "trainable": self.trainable}
        return {"name": words.pop("name"), **words}

    def layout_of(self, word: str) -> Layout:
        """The layout of the parameter that a word is about."""
        found = [part.layout for part in self.parts() if word.startswith(f"{part.theirs}_")]
        return found[0] if found else Same()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The layer of a configuration, as `get_config` gives it or as Keras's does."""
        return cls(**config)


class KerasWeighted(KerasLayer, Weighted):
    """A layer with parameters, made of Keras's words."""

    spare_axes = True
    spec: ConvSpec
    kernel_size: Shape

    def adopt(self, **normal: Any) -> None:
        spec = self.spec
        super().adopt(
            kernel_size=self.kernel_size,
            strides=spec.stride,
            dilation_rate=spec.dilation,
            data_format=spec.layout,
            **normal,
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        channels = -1 if self.spec.layout == "channels_last" else -self.axes - 1
        if tuple(input_shape)[channels:][:1] == (None,):
            with self._named():
                raise WordError(
                    f"`input_shape` (={input_shape}) leaves the number of channels open",
                    "give it, as the kernel depends on it",
                )
        super().build(input_shape)

    def settings_of(self, *also: str) -> Settings:
        """convref's settings of the layer; ``also`` names other words for activations."""
        words = self.words
        name = dtype_name(words.get("dtype"))
        if integral(name):
            raise WordError(f"`dtype` (={shown(name)}) is not one of weights", "use 'float32'")
        dtype = inexact(name)
        settings: dict[str, Any] = self.common() | {
            "bias": words["use_bias"],
            "dtype": dtype,
            "rng": Session.rng,
            "activity_regulariser": regulariser(
                "activity_regularizer", words["activity_regularizer"], Same()
            ),
        }
        for word in ("activation", *also):
            settings[word] = activation(words[word], word)
        for theirs, ours, _, layout in self.parts():
            word, given = f"{theirs}_initializer", words[f"{theirs}_initializer"]
            settings[f"{ours}_initialiser"] = initialiser(word, given, layout, dtype)
            word, given = f"{theirs}_regularizer", words[f"{theirs}_regularizer"]
            settings[f"{ours}_regulariser"] = regulariser(word, given, layout)
            word, given = f"{theirs}_constraint", words[f"{theirs}_constraint"]
            settings[f"{ours}_constraint"] = constraint(word, given, layout)
        return cast(Settings, settings)

    def make_bias(self, channels: int) -> Parameter | None:
        made = super().make_bias(channels)
        return None if made is None else Bias(**vars(made))


def batch_shape(words: Mapping[str, Any]) -> Sizes | None:
    """The shape that the keywords of Keras 2 tell, batch axis included."""
    size = words.get("batch_size")
    if size is not None:
        size = channel_count("batch_size", size)
    if words.get("batch_input_shape") is not None:
        return open_sizes("batch_input_shape", words["batch_input_shape"])
    if words.get("input_shape") is not None:
        return size, *open_sizes("input_shape", words["input_shape"])
    return None if size is None else (size,)


def plain(word: str, value: Any, layout: Layout) -> Any:
    """A value as JSON can hold it; raise WordError."""
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return type(value)(plain(word, entry, layout) for entry in value)
    if isinstance(value, Mapping):
        return {name: plain(word, entry, layout) for name, entry in value.items()}
    if isinstance(value, Layer):
        return activation_word(value)
    if word == "dtype":
        return inexact(value).name
    return described(word, value, layout)
