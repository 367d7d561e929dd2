"""Optimisers: how parameters follow their gradients.

    loss, gradient = losses.softmax_cross_entropy(layer(x), labels)
    layer.backward(gradient)
    optimiser.step()

``learning_rate`` may be set to another value before any step, which is all that a schedule is.
Parameters are changed in place. What is remembered of each is kept under its dotted name, in
float32 for parameters of float16 and bfloat16. After the step a parameter is brought back to its
constraint. Complex ones are moved against the complex conjugate of the gradient, which is where the
loss falls fastest, their real and imaginary parts as two parameters, as in PyTorch.
"""

from collections.abc import Iterator
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.dtypes import wide
from convref.errors import WordError, shown, verb
from convref.integers import flag, is_sequence, members, real
from convref.layer import Layer, Parameter

Array = NDArray[Any]


class Optimiser:
    """What all share: the walk over parameters, and what is remembered of them."""

    def __init__(self, layer: Layer, learning_rate: float) -> None:
        if not isinstance(layer, Layer):
            raise WordError(f"a {type(layer).__name__} is not a layer", "pass the layer itself")
        self.layer = layer
        self.learning_rate = real("learning_rate", learning_rate, "of 0 or more")
        self.slots: dict[tuple[str, int], tuple[Array, ...]] = {}
        """Of each parameter (and of its real and imaginary part), what the next step needs."""
        self.steps: dict[str, int] = {}
        """How often each has been changed."""

    def update(self, value: Array, grad: Array, slot: tuple[Array, ...], step: int) -> None:
        """Change a value in place; a subclass writes it. ``step`` counts from 1."""
        raise NotImplementedError

    def slot(self, like: Array) -> tuple[Array, ...]:
        """What is remembered of a parameter before its first step."""
        raise NotImplementedError

    @verb
    def step(self) -> None:
        """Change every parameter that is trained, once."""
        self.learning_rate = real("learning_rate", self.learning_rate, "of 0 or more")
        trained = self.layer.trained()
        for name, parameter in trained.items():
            if parameter.grad is None:
                raise WordError(f"`{name}` has no gradient", "call backward first")
        for name, parameter in trained.items():
            count = self.steps[name] = self.steps.get(name, 0) + 1
            for part, (value, grad) in enumerate(parts(parameter)):
                slot = self.slots.get((name, part))
                if slot is None:
                    slot = self.slots[name, part] = self.slot(grad)
                self.update(value, grad, slot, count)
            if parameter.constraint is not None:
                parameter.value[...] = parameter.constraint(parameter.masked)


class SGD(Optimiser):
    """Stochastic gradient descent, with momentum if it is not 0.

        g = grad + weight_decay * w
        v = momentum * v + g                          (v = g in the first step)
        w = w - learning_rate * v                     with nesterov: g + momentum * v for v

    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013, as PyTorch has it, where the learning rate is not part of v.

    Raises WordError for a number out of range, nesterov without momentum, and at a step before
    there are gradients.

    >>> from convref.layers import Conv1d
    >>> layer = Conv1d(1, 1, 1, bias=False, weight_initialiser="ones")
    >>> optimiser = SGD(layer, learning_rate=0.5)
    >>> gradient = layer.backward(layer([[[3.0]]]))
    >>> optimiser.step()
    >>> layer.weight.value
    array([[[-3.5]]], dtype=float32)
    """

    @verb
    def __init__(
        self,
        layer: Layer,
        learning_rate: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(layer, learning_rate)
        self.momentum = real("momentum", momentum, "of 0 or more and below 1")
        self.nesterov = flag("nesterov", nesterov)
        self.weight_decay = real("weight_decay", weight_decay, "of 0 or more")
        if self.nesterov and self.momentum == 0:
            raise WordError("`nesterov` (=True) needs `momentum`", "such as momentum=0.9")

    def slot(self, like: Array) -> tuple[Array, ...]:
        return (np.zeros_like(like),) if self.momentum else ()

    def update(self, value: Array, grad: Array, slot: tuple[Array, ...], step: int) -> None:
        if self.weight_decay:
            grad = grad + self.weight_decay * wide(value)
        if slot:
            (velocity,) = slot
            velocity *= self.momentum
            velocity += grad
            grad = grad + self.momentum * velocity if self.nesterov else velocity
        descend(value, grad * self.learning_rate)


class Adam(Optimiser):
    """Adaptive moments: steps of about the learning rate, whatever the size of the gradients.

        m = beta1 * m + (1 - beta1) * grad            v = beta2 * v + (1 - beta2) * grad**2
        w = w - learning_rate * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon)

    for step t = 1, 2, ... Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015,
    https://arxiv.org/abs/1412.6980. Keras has an epsilon of 1e-7.

    Raises WordError for a number out of range, and at a step before there are gradients.
    """

    @verb
    def __init__(
        self,
        layer: Layer,
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(layer, learning_rate)
        pair = members("betas", betas) if is_sequence(betas) else ()
        if len(pair) != 2:
            raise WordError(
                f"`betas` (={shown(betas)}) must be two numbers", "such as (0.9, 0.999)"
            )
        first, second = (real("betas", beta, "of 0 or more and below 1") for beta in pair)
        self.betas = first, second
        self.epsilon = real("epsilon", epsilon, "above 0")
        self.decay = 0.0

    def slot(self, like: Array) -> tuple[Array, ...]:
        return np.zeros_like(like), np.zeros_like(like)

    def update(self, value: Array, grad: Array, slot: tuple[Array, ...], step: int) -> None:
        first, second = slot
        beta1, beta2 = self.betas
        scratch = np.empty_like(grad)
        first *= beta1
        first += np.multiply(grad, 1 - beta1, out=scratch)
        second *= beta2
        np.square(grad, out=scratch)
        scratch *= 1 - beta2
        second += scratch
        # Both corrections are brought out of the fraction, which saves passes over the arrays.
        correction = sqrt(1 - beta2**step)
        np.sqrt(second, out=scratch)
        scratch += self.epsilon * correction
        np.divide(first, scratch, out=scratch)
        scratch *= self.learning_rate * correction / (1 - beta1**step)
        if self.decay:
            scratch += self.learning_rate * self.decay * wide(value)
        descend(value, scratch)


class AdamW(Adam):
    """`Adam`, with ``learning_rate * weight_decay * w`` taken off w in each step as well.

    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019,
    https://arxiv.org/abs/1711.05101. Raises the errors of `Adam`.
    """

    @verb
    def __init__(
        self,
        layer: Layer,
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(layer, learning_rate, betas, epsilon)
        self.decay = real("weight_decay", weight_decay, "of 0 or more")


def parts(parameter: Parameter) -> Iterator[tuple[Array, Array]]:
    """The value and the direction in which the loss grows; of complex ones, part by part."""
    value, grad = parameter.value, wide(np.asarray(parameter.grad))
    if value.dtype.kind == "c":
        yield value.real, grad.real
        yield value.imag, -grad.imag
    else:
        yield value, grad


def descend(value: Array, step: Array) -> None:
    """``value -= step``, rounded to the dtype of the value."""
    np.subtract(value, step, out=value, casting="same_kind")
