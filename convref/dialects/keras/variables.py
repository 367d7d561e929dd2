"""Parameters as Keras sees them: under its names and in its layout."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from convref.dialects.keras.layouts import Layout, Same
from convref.dialects.keras.words import Array, Shape
from convref.dtypes import as_array
from convref.errors import ShapeError
from convref.layer import Parameter


class Part(NamedTuple):
    """One parameter: how it is called and where its axes are, there and here."""

    theirs: str
    """What Keras's words for it begin with: "kernel", of kernel_initializer."""
    ours: str
    """The attribute of the layer of convref, with which its words begin, too."""
    name: str
    """The attribute of the layer of Keras."""
    layout: Layout


BIAS = Part("bias", "bias", "bias", Same())


class Variable:
    """A parameter as Keras sees it: under its name and in its layout."""

    def __init__(self, name: str, parameter: Parameter, layout: Layout) -> None:
        self.name = name
        self.parameter = parameter
        self.layout = layout

    @property
    def value(self) -> Array:
        """The value, as a view."""
        return self.layout.theirs(self.parameter.value)

    @property
    def grad(self) -> Array | None:
        """The gradient that the last backward left."""
        grad = self.parameter.grad
        return None if grad is None else self.layout.theirs(grad)

    @property
    def shape(self) -> Shape:
        """That of Keras."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the value."""
        return self.parameter.value.dtype

    @property
    def trainable(self) -> bool:
        """Whether an optimiser may change it."""
        return self.parameter.trainable

    def numpy(self) -> Array:
        """A copy of the value."""
        return self.value.copy()

    def assign(self, value: ArrayLike) -> None:
        """Put another value in its place; raises ShapeError."""
        array = as_array(self.name, value)
        if array.shape != self.shape:
            raise ShapeError(
                f"`{self.name}` has shape {self.shape}, and the array has {array.shape}",
                "make them equal",
            )
        self.parameter.value = np.array(self.layout.ours(array), self.dtype, order="C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.value, dtype, copy=copy)


class Bias(Parameter):
    """A bias: the parameter of convref, with what Keras's variables have as well."""

    @property
    def shape(self) -> Shape:
        """(K,)."""
        return self.value.shape

    def numpy(self) -> Array:
        """A copy of the value."""
        return self.value.copy()

    def assign(self, value: ArrayLike) -> None:
        """Put another value in its place; raises ShapeError."""
        Variable("bias", self, Same()).assign(value)


class HasWeights(Protocol):
    """A layer that lists its parameters."""

    @property
    def weights(self) -> list[Variable]:
        """In Keras's order."""


def seen(name: str) -> property:
    """The parameter that Keras calls so, in its layout; AttributeError before it is made."""

    def find(layer: HasWeights) -> Variable:
        for variable in layer.weights:
            if variable.name == name:
                return variable
        raise AttributeError(f"`{name}` is made when the layer is built or called")

    return property(find, doc=f"The parameter `{name}` in Keras's layout.")
