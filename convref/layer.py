"""Layers: parameters, and two calls.

    y = layer(x)              what the way back needs is kept until the next call
    dx = layer.backward(dy)   the gradient of each parameter is left on it

There is no tape: a layer differentiates itself, and a container calls its layers in reverse order.
Who writes a layer writes `forward` and `gradient`, next to each other; `output_shape` where the
shape changes; and `build` where there are parameters.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref import summary
from convref.constraints import Constraint
from convref.dtypes import as_array
from convref.errors import ConvrefError, DtypeError, ShapeError, WordError, own, shown
from convref.integers import flag, integer, is_sequence, members, per_axis
from convref.memory import check_fits
from convref.regularisers import Regulariser
from convref.summary import Field, Row, Shape

Array = NDArray[Any]


@dataclass(eq=False)
class Parameter:
    """An array that training changes, its gradient, and what is asked of it."""

    value: Array
    grad: Array | None = None
    """As the last backward left it: of the loss, and of the regulariser."""
    trainable: bool = True
    """False for what is not learned, such as running statistics."""
    regulariser: Regulariser | None = None
    constraint: Constraint | None = None
    mask: Array | None = None
    """Ones and zeros; where it is zero, so is the weight."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.value, dtype, copy=copy)

    @property
    def masked(self) -> Array:
        """The value that a layer computes with."""
        return self.value if self.mask is None else self.value * self.mask

    def receive(self, grad: Array) -> None:
        """Keep the gradient of the loss, with that of the regulariser added."""
        if self.mask is not None:
            grad = grad * self.mask
        if self.regulariser is not None:
            grad = grad + self.regulariser.gradient(self.masked)
        self.grad = grad.astype(self.value.dtype, copy=False)

    def penalty(self) -> float:
        """What the regulariser adds to the loss."""
        return 0.0 if self.regulariser is None else self.regulariser(self.masked)


class Layer:
    """What all layers share: names, flags, checks, and the walk over what they hold.

    ``training`` (True at first) tells layers that behave differently in training, such as Dropout;
    ``trainable`` whether gradients are taken and parameters updated. Setting either on a container
    sets it on all that it holds.
    """

    def __init__(self, name: str | None = None, trainable: bool = True) -> None:
        if not isinstance(name, str | None):
            raise WordError(f"`name` (={shown(name)}) is not a string", "leave it out")
        self.name = type(self).__name__ if name is None else name
        self.built = True
        """False while parameters wait for the number of channels of the first input."""
        self.activity = 0.0
        """What the activity regulariser adds to the loss, as of the last call."""
        self._trainable = flag("trainable", trainable)
        self._training = True
        self._output: tuple[Shape, np.dtype[Any]] | None = None

    # What a layer writes

    def build(self, shape: Shape) -> None:
        """Make the parameters for inputs of this shape."""

    def forward(self, x: Array) -> Array:
        """y; keeps what `gradient` needs."""
        raise NotImplementedError

    def gradient(self, dy: Array) -> Array:
        """dx; leaves the gradients of the parameters on them."""
        raise NotImplementedError

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of the output for an input of this shape, batch axes included."""
        return shape

    def macs(self, shape: Shape) -> int:
        """Multiply-adds for an input of this shape; those of elementwise layers aren't counted."""
        return 0

    def field(self, field: Field) -> Field:
        """The receptive field of the output, from that of the input."""
        return field

    def children(self) -> dict[str, "Layer"]:
        """The layers that this one holds."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Layer)}

    # What a user calls

    def __call__(self, x: ArrayLike) -> Array:
        """The output; raises ShapeError, DtypeError and WordError, which name the layer."""
        with self._named(), np.errstate(all="ignore"):
            array = as_array("x", x)
            check_fits(8 * array.size, f"what follows from `x` (shape {array.shape})")
            self.ensure_built(array.shape)
            y = self.forward(array)
            self._output = y.shape, y.dtype
            return y

    def backward(self, dy: ArrayLike) -> Array:
        """The gradient of the last call's x, from that of its output.

        The gradients of the parameters are set, not added to those of an earlier call.
        """
        with self._named(), np.errstate(all="ignore"):
            array = as_array("dy", dy)
            if self._output is None:
                raise WordError("backward comes after a call of the layer", "call layer(x) first")
            shape, dtype = self._output
            if array.shape != shape:
                raise ShapeError(
                    f"`dy` has shape {array.shape}, and the last output had {shape}",
                    "pass the gradient of the loss with respect to that output",
                )
            return self.gradient(cast_to(dtype, "dy", array))

    def own_parameters(self) -> dict[str, Parameter]:
        """Those that this layer holds itself."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Parameter)}

    def parameters(self) -> dict[str, Parameter]:
        """All parameters by dotted name: ``weight``, ``0.weight``, ``body.2.bias``."""
        found = self.own_parameters()
        for key, child in self.children().items():
            found |= {f"{key}.{name}": value for name, value in child.parameters().items()}
        return found

    def trained(self) -> dict[str, Parameter]:
        """Those that an optimiser may change."""
        own = self.own_parameters().items() if self.trainable else ()
        found = {name: value for name, value in own if value.trainable}
        for key, child in self.children().items():
            found |= {f"{key}.{name}": value for name, value in child.trained().items()}
        return found

    def penalty(self) -> float:
        """What all regularisers add to the loss."""
        own = [value.penalty() for value in self.own_parameters().values()]
        inner = [child.penalty() for child in self.children().values()]
        return self.activity + sum(own) + sum(inner)

    @property
    def trainable(self) -> bool:
        """Whether gradients are taken and parameters updated."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = flag("trainable", value)
        for child in self.children().values():
            child.trainable = value

    @property
    def training(self) -> bool:
        """Whether calls are part of training, rather than of inference."""
        return self._training

    @training.setter
    def training(self, value: bool) -> None:
        self._training = flag("training", value)
        for child in self.children().values():
            child.training = value

    def summary(self, input_size: int | tuple[int, ...]) -> None:
        """Print a table: output sizes, parameters, multiply-adds, memory, receptive fields.

        ``input_size`` is the shape of one input without a batch axis: (C, *spatial), or
        (*spatial, C) for layers with channels last.
        """
        with self._named():
            given = members("input_size", input_size) if is_sequence(input_size) else (input_size,)
            shape = (1, *per_axis("input_size", given, len(given), minimum=0))
            rows = self.rows(shape, Field(), "")
        found = self.parameters().values()
        print(
            summary.table(
                rows,
                parameters=sum(parameter.value.size for parameter in found),
                trained=sum(parameter.value.size for parameter in self.trained().values()),
                held=sum(parameter.value.nbytes for parameter in found),
            )
        )

    def rows(self, shape: Shape, field: Field, path: str) -> list[Row]:
        """Lines of the summary for an input of this shape and field; containers list others."""
        self.ensure_built(shape)
        output = self.output_shape(shape)
        return [
            Row(
                path.removesuffix(".") or self.name,
                type(self).__name__,
                output[1:],
                sum(parameter.value.size for parameter in self.parameters().values()),
                self.macs(shape),
                prod(output) * self.itemsize,
                self.field(field),
            )
        ]

    @property
    def itemsize(self) -> int:
        """Bytes of a number of the output."""
        held = self.parameters().values()
        return next((parameter.value.itemsize for parameter in held), 4)

    def ensure_built(self, shape: Shape) -> None:
        """Make the parameters, unless they are there."""
        if not self.built:
            self.build(shape)
            self.built = True

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Put the layer's name, after those of the containers it is in, before a message."""
        try:
            yield
        except (ConvrefError, MemoryError) as error:
            refusal = own(error)
            inner = f" > {refusal.operation}" if refusal.operation else ""
            refusal.operation = f"{self.name}{inner}"
            raise refusal from refusal.__cause__


def cast_to(dtype: np.dtype[Any], name: str, array: Array) -> Array:
    """The array in a layer's dtype; complex numbers don't go into real ones."""
    if array.dtype == dtype:
        return array
    if array.dtype.kind == "c" and dtype.kind != "c":
        raise DtypeError(
            f"`{name}` ({array.dtype}) can't go through a layer of {dtype}",
            "give the layer a complex dtype",
        )
    check_fits(array.size * dtype.itemsize, f"a copy of an array of shape {array.shape}")
    with np.errstate(all="ignore"):  # what overflows is infinite, as in any convolution
        return array.astype(dtype)


def generator(rng: np.random.Generator | int | None) -> np.random.Generator:
    """What a layer draws from: a generator, or a seed of one; raise WordError."""
    given = np.random.Generator | np.random.BitGenerator | np.random.SeedSequence | None
    try:
        return np.random.default_rng(rng if isinstance(rng, given) else integer("rng", rng))
    except ValueError:  # of which WordError is one
        raise WordError(
            f"`rng` (={shown(rng)}) is neither a generator nor a seed", "such as rng=0"
        ) from None
