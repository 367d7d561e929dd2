"""The activations that Keras has beyond convref's own, and all of them by Keras's names."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.activations import (
    ELU,
    GELU,
    Elementwise,
    HardSigmoid,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    computable,
    logistic,
    logistic_slope,
    within,
)
from convref.dtypes import as_array, wide
from convref.errors import ShapeError, WordError, shown
from convref.layer import Layer
from convref.names import nearest

Array = NDArray[Any]
Map = Callable[[Array], Array]

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


class Pointwise(Elementwise):
    """An activation from two functions: the value, and the derivative next to it."""

    def __init__(self, name: str, value: Map, derivative: Map) -> None:
        super().__init__(name)
        self._value, self._derivative = value, derivative

    def value(self, x: Array) -> Array:
        with np.errstate(over="ignore"):
            return self._value(x)

    def derivative(self, x: Array) -> Array:
        with np.errstate(over="ignore"):
            return self._derivative(x).astype(x.dtype, copy=False)


def where_between(low: float, high: float) -> Map:
    """1 between the two, and 0 elsewhere."""
    return lambda x: (x > low) & (x < high)


def selu(x: Array) -> Array:
    """An ELU whose two constants keep mean 0 and variance 1 from layer to layer."""
    return SELU_SCALE * (np.maximum(x, 0) + SELU_ALPHA * np.expm1(np.minimum(x, 0)))


def selu_slope(x: Array) -> Array:
    """Its derivative."""
    slope: Array = SELU_SCALE * np.where(x > 0, 1, SELU_ALPHA * np.exp(np.minimum(x, 0)))
    return slope


def softplus(x: Array) -> Array:
    """``log(1 + exp(x))``."""
    y: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return y


def softsign(x: Array) -> Array:
    """``x / (1 + |x|)``, which is 1 - 1 / (1 + |x|) with the sign of x, at infinity too."""
    y: Array = np.sign(x) * (1 - 1 / (1 + np.abs(x)))
    return np.where(np.abs(x) < 1, within(x) / (1 + np.abs(x)), y)


def mish(x: Array) -> Array:
    """``x * tanh(softplus(x))``; Misra, https://arxiv.org/abs/1908.08681."""
    return np.maximum(x, -2e4) * np.tanh(softplus(x))


def mish_slope(x: Array) -> Array:
    """Its derivative."""
    near = within(x)
    t = np.tanh(softplus(near))
    slope: Array = t + near * (1 - t * t) * logistic(near)
    return slope


def squareplus(x: Array) -> Array:
    """``(x + sqrt(x**2 + 4)) / 2``, without cancellation below 0."""
    root = np.hypot(x, 2)
    return np.where(x > 0, (np.maximum(x, 0) + root) / 2, 2 / (root - np.minimum(x, 0)))


def squareplus_slope(x: Array) -> Array:
    """Its derivative ``y**2 / (1 + y**2)``, from the value y."""
    y = squareplus(within(x))
    slope: Array = y * y / (1 + y * y)
    return slope


POINTWISE: dict[str, tuple[Map, Map]] = {
    "relu6": (lambda x: np.clip(x, 0, 6), where_between(0, 6)),
    "selu": (selu, selu_slope),
    "softsign": (softsign, lambda x: 1 / np.square(1 + np.abs(x))),
    "soft_shrink": (lambda x: x - np.clip(x, -0.5, 0.5), lambda x: np.abs(x) > 0.5),
    "hard_shrink": (lambda x: np.where(np.abs(x) > 0.5, x, 0), lambda x: np.abs(x) > 0.5),
    "tanh_shrink": (lambda x: x - np.tanh(x), lambda x: np.square(np.tanh(x))),
    "hard_tanh": (lambda x: np.clip(x, -1, 1), where_between(-1, 1)),
    "hard_silu": (
        lambda x: np.maximum(x, -3) * np.clip(x / 6 + 0.5, 0, 1),
        lambda x: np.where(x < 3, np.clip(x, -3, 3) / 3 + 0.5, 1) * (x > -3),
    ),
    "mish": (mish, mish_slope),
    "exponential": (np.exp, np.exp),
    "log_sigmoid": (lambda x: -softplus(-x), lambda x: logistic(-x)),
    "squareplus": (squareplus, squareplus_slope),
    "sparse_plus": (
        lambda x: np.where(x < 1, np.square(np.clip(x, -1, 1) + 1) / 4, x),
        lambda x: np.clip(x / 2 + 0.5, 0, 1),
    ),
    "sparse_sigmoid": (lambda x: np.clip(x / 2 + 0.5, 0, 1), lambda x: where_between(-1, 1)(x) / 2),
}


class LastAxis(Layer):
    """An activation over the last axis, whatever the data format, as Keras has it."""

    def forward(self, x: Array) -> Array:
        x, dtype = computable(x)
        return self.value(x).astype(dtype, copy=False)

    def gradient(self, dy: Array) -> Array:
        return self.back(wide(dy)).astype(dy.dtype, copy=False)

    def value(self, x: Array) -> Array:
        """Of an x in float32 or wider; keeps what `back` needs."""
        raise NotImplementedError

    def back(self, dy: Array) -> Array:
        """dx."""
        raise NotImplementedError


class LogSoftmax(LastAxis):
    """``x - log(sum(exp(x)))``."""

    def value(self, x: Array) -> Array:
        below = x - np.max(x, -1, keepdims=True)
        y: Array = below - np.log(np.sum(np.exp(below), -1, keepdims=True))
        self.share = np.exp(y)
        return y

    def back(self, dy: Array) -> Array:
        dx: Array = dy - self.share * np.sum(dy, -1, keepdims=True)
        return dx


class Sparsemax(LastAxis):
    """The nearest point whose coordinates are shares: none negative, with the sum 1.

    It is ``max(x - t, 0)`` for the t that makes the sum 1. Martins and Astudillo, "From softmax to
    sparsemax", ICML 2016, https://arxiv.org/abs/1602.02068.
    """

    def value(self, x: Array) -> Array:
        falling = -np.sort(-x, -1)
        counts = np.arange(1, x.shape[-1] + 1, dtype=x.dtype)
        cuts = (np.cumsum(falling, -1) - 1) / counts
        last = np.count_nonzero(falling > cuts, -1, keepdims=True) - 1
        y: Array = np.maximum(x - np.take_along_axis(cuts, last, -1), 0)
        self.kept = y > 0
        return y

    def back(self, dy: Array) -> Array:
        kept = dy * self.kept
        mean = np.sum(kept, -1, keepdims=True) / np.sum(self.kept, -1, keepdims=True)
        dx: Array = self.kept * (dy - mean)
        return dx


class GLU(LastAxis):
    """The first half of the last axis, each number times the sigmoid of one of the other half."""

    def value(self, x: Array) -> Array:
        if x.shape[-1] % 2:
            raise ShapeError(
                f"`x` (shape {x.shape}) has no two halves along its last axis", "make it even"
            )
        self.x = x
        half, gate = np.split(x, 2, -1)
        return half * logistic(gate)

    def back(self, dy: Array) -> Array:
        half, gate = np.split(self.x, 2, -1)
        return np.concatenate([dy * logistic(gate), dy * half * logistic_slope(gate)], -1)


class Plain(Layer):
    """A function of arrays as an activation: its derivative is not known, so it can't go back."""

    def __init__(self, function: Callable[[Array], Any]) -> None:
        super().__init__(getattr(function, "__name__", "function"))
        self.function = function

    def forward(self, x: Array) -> Array:
        return as_array("the value of the activation", self.function(x))

    def gradient(self, dy: Array) -> Array:
        raise WordError(
            "a function given as `activation` has no derivative here",
            "give its name, or a layer with a gradient",
        )


NAMED: dict[str, Callable[[], Layer]] = {
    "linear": Identity,
    "relu": ReLU,
    "leaky_relu": partial(LeakyReLU, 0.2),
    "elu": ELU,
    "celu": ELU,
    "gelu": GELU,
    "silu": SiLU,
    "swish": SiLU,
    "sigmoid": Sigmoid,
    "hard_sigmoid": HardSigmoid,
    "tanh": Tanh,
    "softplus": Softplus,
    "softmax": Softmax,
    "log_softmax": LogSoftmax,
    "sparsemax": Sparsemax,
    "glu": GLU,
    **{name: partial(Pointwise, name, *maps) for name, maps in POINTWISE.items()},
    "hard_swish": partial(Pointwise, "hard_silu", *POINTWISE["hard_silu"]),
}
"""As keras.activations has them, names being case-sensitive."""

AS_LAYERS: dict[str, tuple[Callable[..., Layer], str, str]] = {
    "LeakyReLU": (LeakyReLU, "negative_slope", "slope"),
    "ELU": (ELU, "alpha", "alpha"),
    "Softmax": (Softmax, "axis", "axis"),
}
"""Layers of Keras that serve as activations: what they are here, and the word of each for one."""


def activation(value: Any, word: str = "activation") -> Layer | None:
    """An activation from what Keras takes; raise WordError."""
    if value is None or isinstance(value, Layer):
        return value
    if getattr(value, "__module__", "").startswith("keras."):
        value = getattr(value, "__name__", value)  # a function of keras.activations
    if isinstance(value, str):
        if value not in NAMED:
            raise WordError(f"`{word}` (={shown(value)}) is unknown", nearest(value, NAMED))
        return NAMED[value]()
    if isinstance(value, Mapping) and value.get("class_name") in AS_LAYERS:
        make, theirs, ours = AS_LAYERS[value["class_name"]]
        config = value.get("config", {})
        return make(**{ours: config[theirs]} if theirs in config else {})
    if callable(value):
        return Plain(value)
    raise WordError(f"`{word}` (={shown(value)}) is not an activation", "write 'relu', for example")


def activation_word(layer: Layer | None) -> Any:
    """What `activation` makes this layer of; raise WordError."""
    if layer is None:
        return None
    for name, make in NAMED.items():
        if type(made := make()) is type(layer) and settled(made) == settled(layer):
            return name
    for name, (make, theirs, ours) in AS_LAYERS.items():
        if type(layer) is make:
            return {
                "module": "keras.layers",
                "class_name": name,
                "config": {theirs: getattr(layer, ours)},
                "registered_name": None,
            }
    raise WordError(
        f"Keras has no activation such as {type(layer).__name__}",
        f"use one of {', '.join(map(repr, NAMED))}",
    )


def settled(layer: Layer) -> dict[str, Any]:
    """What a layer was told when it was made, as against what it keeps of its last call."""
    told = ("slope", "alpha", "axis", "approximate", "_value")
    return {name: value for name, value in vars(layer).items() if name in told}
