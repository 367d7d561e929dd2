"""Keras's Sequential, and the Input that tells it a shape."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from numpy.typing import DTypeLike

from convref import layers as ours
from convref.dialects.keras.layer import CLASSES, KerasLayer, from_config
from convref.dialects.keras.layouts import Same
from convref.dialects.keras.signatures import recorded
from convref.dialects.keras.variables import Variable
from convref.dialects.keras.words import (
    Array,
    Shape,
    Sizes,
    dtype_name,
    filled,
    layer_name,
    open_sizes,
    with_open_sizes,
)
from convref.errors import WordError
from convref.integers import members
from convref.layer import Layer
from convref.weighted import inexact


class InputLayer(KerasLayer):
    """The shape of what goes in, batch axis included; as a layer, its input."""

    @recorded
    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        dtype: DTypeLike | None = None,
        batch_shape: Sequence[int | None] | None = None,
        name: str | None = None,
    ) -> None:
        if (shape is None) == (batch_shape is None):
            raise WordError(
                "one of `shape` and `batch_shape` tells the shape of the input",
                "such as shape=(28, 28, 3)",
            )
        super().__init__(layer_name(name, "InputLayer"))
        self.dtype = inexact(dtype_name(dtype))
        self.adopt(input_shape=shape, batch_input_shape=batch_shape)

    def get_config(self) -> dict[str, Any]:
        shape = list(self.batch_input_shape or ())
        return {"batch_shape": shape, "dtype": self.dtype.name, "name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        plain = ("sparse", "ragged", "optional")  # which Keras writes for its own tensors
        return cls(**{word: value for word, value in config.items() if word not in plain})

    def forward(self, x: Array) -> Array:
        return x

    def gradient(self, dy: Array) -> Array:
        return dy


def Input(  # noqa: N802 - Keras's name
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: DTypeLike | None = None,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
) -> InputLayer:
    """What a `Sequential` may begin with, to be built at once: ``Input((28, 28, 3))``."""
    return InputLayer(shape, batch_size, dtype, batch_shape, name)


class Sequential(KerasLayer, ours.Sequential):
    """``keras.Sequential``: a list of layers, those of this dialect and of convref.

    Where the first layer has an input_shape, or is an `Input`, layers are built as they are added;
    else by the first call, or by ``build(input_shape)``. ``backward`` goes back through all of
    them. convref's `output_shape` is a method here as well; Keras's is ``compute_output_shape``.

    >>> import numpy as np
    >>> from convref.dialects import keras
    >>> model = keras.Sequential([keras.Conv2D(8, 3, input_shape=(9, 9, 3)), keras.UpSampling2D(2)])
    >>> [w.shape for w in model.get_weights()]
    [(3, 3, 3, 8), (8,)]
    >>> model.add(keras.SeparableConv2D(4, 3, strides=2))
    >>> model(np.ones((2, 9, 9, 3))).shape
    (2, 6, 6, 4)
    """

    @recorded
    def __init__(
        self,
        layers: Sequence[Layer | Mapping[str, Any]] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name=layer_name(name, "Sequential"))
        self.adopt()
        self.built = False
        self.input_shape: Sizes | None = None
        """That of the input, batch axis included, once it is known."""
        for layer in () if layers is None else members("layers", layers):
            self.add(layer)

    def add(self, layer: Layer | Mapping[str, Any], rebuild: bool = True) -> None:
        """Put a layer at the end; ``rebuild=False`` leaves building it to the first call.

        Raises WordError for what is no layer, and for a name that another layer has.
        """
        with self._named():
            layer = from_config(layer) if isinstance(layer, Mapping) else layer
            told = getattr(layer, "batch_input_shape", None)
            if isinstance(layer, InputLayer):
                self.begin_with(layer)
                return
            if layer in self.layers or getattr(layer, "name", None) in {
                other.name for other in self.layers if isinstance(other, KerasLayer)
            }:
                raise WordError(
                    f"there is a layer of the name {layer.name!r} already",
                    "give each a `name` of its own",
                )
            self.append(layer)
            if not self.trainable:
                layer.trainable = False
            if len(self.layers) == 1 and told is not None and len(told) > 1:
                self.input_shape = self.input_shape or told
            self.built = False
            if rebuild and self.input_shape is not None:
                self.build(self.input_shape)

    def begin_with(self, layer: InputLayer) -> None:
        """Take over the shape of an Input, which comes first."""
        if self.layers or self.input_shape is not None:
            raise WordError("an Input comes first, and once", "add it before other layers")
        self.batch_input_shape = self.input_shape = layer.batch_input_shape

    def pop(self, rebuild: bool = True) -> Layer:
        """Take the last layer off; with ``rebuild=False`` the model counts as not built."""
        if not self.layers:
            with self._named():
                raise WordError("there is no layer to take off", "add one first")
        self.built = self.built and rebuild
        return self.layers.pop()

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Build all layers for inputs of this shape, in which sizes may be None."""
        with self._named():
            if not self.layers:
                raise WordError("the model has no layers", "add one first")
            shape = self.input_shape = open_sizes("input_shape", input_shape)
            for layer in self.layers:
                shape = self.built_with(layer, shape)
            self.built = True

    @staticmethod
    def built_with(layer: Layer, shape: Sizes) -> Sizes:
        """The shape that comes out of a layer, once it is built for this one."""
        if isinstance(layer, KerasLayer):
            if not layer.built:
                layer.build(shape)
            return layer.compute_output_shape(shape)
        layer.ensure_built(filled(shape, 1))
        return with_open_sizes(layer.output_shape, shape)

    def ensure_built(self, shape: Shape) -> None:
        if not self.built:
            self.build(shape)

    @property
    def weights(self) -> list[Variable]:
        """Those of all layers, in order."""
        found = []
        for layer in self.layers:
            if isinstance(layer, KerasLayer):
                found += layer.weights
            else:
                named = layer.parameters().items()
                found += [Variable(name, parameter, Same()) for name, parameter in named]
        return found

    @property
    def trainable_weights(self) -> list[Variable]:
        """Those that training changes."""
        trained = {id(parameter) for parameter in self.trained().values()}
        return [variable for variable in self.weights if id(variable.parameter) in trained]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Those that it doesn't."""
        trained = {id(parameter) for parameter in self.trained().values()}
        return [variable for variable in self.weights if id(variable.parameter) not in trained]

    @property
    def losses(self) -> list[float]:
        """What the regularisers of all layers add to the loss, as of the last call."""
        return [
            loss
            for layer in self.layers
            for loss in (layer.losses if isinstance(layer, KerasLayer) else [layer.penalty()])
        ]

    def get_config(self) -> dict[str, Any]:
        """What makes the model anew, without its weights, as JSON can hold it."""
        listed = []
        for layer in self.layers:
            if not isinstance(layer, KerasLayer):
                raise WordError(
                    f"Keras's dialect has no layer such as {type(layer).__name__}",
                    "leave it out of the model",
                )
            listed.append(layer_config(layer))
        if self.input_shape is not None:
            batch, *sizes = self.input_shape
            shape = [batch if self.keeps_its_batch else None, *sizes]
            first = {"batch_shape": shape, "name": f"{self.name}_input"}
            listed.insert(0, serialised("InputLayer", first))
        return {"name": self.name, "trainable": self.trainable, "layers": listed}

    @property
    def keeps_its_batch(self) -> bool:
        """Whether the size of the batch was told, or is that of a state that is kept."""
        first = getattr(self.layers[0], "batch_input_shape", None) if self.layers else None
        told = self.batch_input_shape or first
        return told is not None or any(getattr(layer, "stateful", False) for layer in self.layers)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The model of a configuration, as `get_config` gives it or as Keras's does."""
        known = ("layers", "trainable", "name")
        return cls(**{word: value for word, value in config.items() if word in known})

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:  # type: ignore[override]
        """Print layers, output shapes and numbers of parameters, as Keras does."""
        rows = [("Layer (type)", "Output Shape", "Param #")]
        shape = self.input_shape if self.built else None
        for layer in self.layers:
            shape = None if shape is None else self.built_with(layer, shape)
            count = sum(parameter.value.size for parameter in layer.parameters().values())
            rows.append(
                (
                    f"{layer.name} ({type(layer).__name__})",
                    "?" if shape is None else str(shape),
                    f"{count:,}" if shape is not None else "0 (unbuilt)",
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        print_fn(f'Model: "{self.name}"')
        for row in rows:
            print_fn("  ".join(map(str.ljust, row, widths)).rstrip())
        for what, variables in (
            ("Total", self.weights),
            ("Trainable", self.trainable_weights),
            ("Non-trainable", self.non_trainable_weights),
        ):
            numbers = sum(variable.value.size for variable in variables)
            print_fn(f"{what} params: {numbers:,}")


CLASSES |= {"Sequential": Sequential, "InputLayer": InputLayer}


def layer_config(layer: KerasLayer) -> dict[str, Any]:
    """A layer as Keras writes it into a model's configuration."""
    return serialised(type(layer).__name__, layer.get_config())


def serialised(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the class that it is of."""
    return {
        "module": "keras" if class_name == "Sequential" else "keras.layers",
        "class_name": class_name,
        "config": config,
        "registered_name": None,
    }
