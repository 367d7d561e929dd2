"""The convolutions of babilim: ``from convref.dialects.babilim import Conv1D, Conv2D, Tensor``.

Channels come first, and their number is that of the first input. What babilim's words mean in
convref's:

| babilim            | convref                                                                   |
| ------------------ | ------------------------------------------------------------------------- |
| filters            | out_channels                                                              |
| padding            | None or "same": half of the window on each side, whatever the stride;     |
|                    | "none": "valid"                                                           |
| stride, strides    | stride; Conv2D is documented with the first and written with the second   |
| dilation_rate      | dilation                                                                  |
| kernel_initializer | weight_initialiser by name; or a function of an array of weights          |

Followed is babilim's documentation: without a stride the output has the size of the input, and a
stride takes the first, the third, ... of the same positions. babilim's PyTorch back end does that
for odd kernels without dilation only: it pads ``(kernel_size - 1) // 2`` on both sides. That is
what ``pytorch_compat=True`` gives, and it takes no other activation than "relu", as the back end.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref import layers
from convref.activations import ACTIVATIONS, Identity
from convref.dtypes import as_array
from convref.errors import ShapeError, WordError, shown, verb
from convref.geometry import bind, spread
from convref.initialisers import Fans, VarianceScaling, he_uniform
from convref.integers import flag, per_axis
from convref.layer import Layer, Parameter
from convref.padding import Padding, resolve
from convref.summary import Shape
from convref.weighted import Weighted, kernel_of

Array = NDArray[Any]
Sizes = int | Sequence[int]
FirstWeights = str | Callable[[Array], ArrayLike]

LONG = 10**6
"""Positions along an axis that no window is too long for."""
ABSENT = (
    *("mask", "weight_regulariser", "bias_regulariser", "activity_regulariser"),
    *("weight_constraint", "bias_constraint"),
)
"""Settings that babilim's layers have not."""
NAMED = ("relu", "sigmoid", "tanh", "softplus", "silu")
"""Activations that a name says all about."""


class UnknownError(WordError, NotImplementedError):
    """A word that babilim has not implemented."""


class Tensor:
    """An array as babilim has it: layers take it, and give one.

    Where it is trainable, the layer's ``backward`` leaves its gradient in ``grad``.

    >>> tensor = Tensor(data=np.zeros((10, 20, 30), dtype=np.float32), trainable=False)
    >>> tensor.shape, Conv1D(filters=10, kernel_size=1)(tensor).shape
    ((10, 20, 30), (10, 10, 30))
    """

    def __init__(self, *, data: ArrayLike, trainable: bool = False) -> None:
        self.native = as_array("data", data)
        self.trainable = trainable
        self.grad: Array | None = None

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        return self.native.shape

    def numpy(self) -> Array:
        """The array."""
        return self.native

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.native, dtype, copy=copy)

    def __repr__(self) -> str:
        return f"Tensor(data={self.native!r}, trainable={self.trainable})"


class Convolution(layers.Conv):
    """What Conv1D and Conv2D share."""

    def begin(
        self,
        filters: int,
        kernel_size: Sizes,
        padding: str | None,
        stride: Sizes,
        dilation_rate: Sizes,
        kernel_initializer: FirstWeights | None,
        activation: str | None,
        pytorch_compat: bool,
    ) -> None:
        """Make the layer, in convref's words."""
        implemented = ("relu",) if flag("pytorch_compat", pytorch_compat) else ACTIVATIONS
        if activation is not None and not (
            isinstance(activation, str) and activation in implemented
        ):
            raise UnknownError(
                f"`activation` (={shown(activation)}) is not implemented",
                f"use None or {', '.join(map(repr, implemented))}",
            )
        taps = kernel_of(kernel_size, self.rank)  # type: ignore[arg-type]
        steps = per_axis("stride", stride, len(taps), minimum=1)
        apart = per_axis("dilation_rate", dilation_rate, len(taps), minimum=1)
        self.padding, self.pytorch_compat = padding, pytorch_compat
        self.kernel_initializer, self.activation_name = kernel_initializer, activation
        super().__init__(
            None,
            filters,
            taps,
            stride=steps,
            padding=as_padding(padding, taps, steps, apart, pytorch_compat),
            dilation=apart,
            activation=activation,
            weight_initialiser=first_weights(kernel_initializer),
            bias_initialiser=VarianceScaling(1 / 3, "fan_in", "uniform"),
        )

    def make_weight(
        self, shape: Shape, which: str = "weight", fans: Fans | None = None
    ) -> Parameter:
        made = super().make_weight(shape, which, fans)
        if callable(self.kernel_initializer):
            values = as_array("kernel_initializer", self.kernel_initializer(made.value))
            if values.shape != shape:
                raise ShapeError(
                    f"`kernel_initializer` returns the shape {values.shape}",
                    f"return weights of the shape {shape} that it is called with",
                )
            made.value = np.array(values, self.dtype, order="C")
        return made

    def __call__(self, x: ArrayLike | Tensor) -> Any:
        """The output: a Tensor for a Tensor, an array for an array."""
        self.given = x if isinstance(x, Tensor) else None
        y = super().__call__(x)
        return y if self.given is None else Tensor(data=y)

    def backward(self, dy: ArrayLike | Tensor) -> Array:
        """The gradient of the last input, from that of its output."""
        dx = super().backward(dy)
        if self.given is not None and self.given.trainable:
            self.given.grad = dx
        return dx


class Conv1D(Convolution, layers.Conv1d):
    """A convolution with one spatial axis, x (N, C, *input) to y (N, filters, *output).

    The weights are orthonormal, unless ``kernel_initializer`` names one of convref's initialisers
    or is a function: it gets PyTorch's first weights (filters, C, *kernel) and returns those to
    begin with. The bias, of which the documentation says nothing, begins as PyTorch's does, within
    ``1 / sqrt(C * taps)``. ``activation`` is a name. Other words are explained above.

    Raises WordErrors, which are NotImplementedErrors for words that babilim has not.

    >>> Conv1D(10, 5, stride=2, activation="relu")(np.zeros((10, 20, 30))).shape
    (10, 10, 15)
    """

    @verb
    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        padding: str | None = None,
        stride: Sizes = 1,
        dilation_rate: Sizes = 1,
        kernel_initializer: FirstWeights | None = None,
        activation: str | None = None,
        *,
        pytorch_compat: bool = False,
    ) -> None:
        self.begin(
            filters, kernel_size, padding, stride, dilation_rate, kernel_initializer, activation,
            pytorch_compat,
        )  # fmt: skip


class Conv2D(Convolution, layers.Conv2d):
    """`Conv1D` with two spatial axes; the stride is ``stride`` or ``strides``, (1, 1) if neither.

    >>> Conv2D(10, (3, 3), strides=(2, 1))(np.zeros((10, 20, 5, 5))).shape
    (10, 10, 3, 5)
    """

    @verb
    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        padding: str | None = None,
        stride: Sizes | None = None,
        dilation_rate: Sizes = (1, 1),
        kernel_initializer: FirstWeights | None = None,
        activation: str | None = None,
        *,
        strides: Sizes | None = None,
        pytorch_compat: bool = False,
    ) -> None:
        if stride is not None and strides is not None:
            raise WordError(
                f"`stride` (={shown(stride)}) and `strides` (={shown(strides)}) are the same word",
                "give one of them",
            )
        given = strides if stride is None else stride
        self.begin(
            filters, kernel_size, padding, (1, 1) if given is None else given, dilation_rate,
            kernel_initializer, activation, pytorch_compat,
        )  # fmt: skip


def first_weights(kernel_initializer: FirstWeights | None) -> Any:
    """An initialiser in convref's words; for a function, of the weights that it is called with."""
    if callable(kernel_initializer):
        return he_uniform(a=5**0.5)
    return "orthogonal" if kernel_initializer is None else kernel_initializer


def as_padding(
    padding: str | None, taps: Shape, steps: Shape, apart: Shape, pytorch_compat: bool
) -> Padding:
    """The padding in convref's words."""
    if not isinstance(padding, str | None) or padding not in (None, "same", "none"):
        raise UnknownError(
            f"`padding` (={shown(padding)}) is not implemented", "use 'same' or 'none'"
        )
    if padding == "none":
        return "valid"
    if pytorch_compat:
        return tuple((tap - 1) // 2 for tap in taps)
    if max(steps) == 1:
        return "same"
    windows = map(spread, taps, apart)
    return tuple(resolve("same", 0, window, window, stride=1) for window in windows)


# Translation


@verb
def from_layer(layer: Layer) -> Convolution:
    """The layer of babilim that computes the same, with a copy of the weights.

    It takes channels first, whatever the layout was, and keeps the dtype and whether it learns. A
    layer that waits for its first input becomes one whose first weights will be babilim's. Raises
    WordError where babilim has no such layer, and says what would do.

    >>> found = from_layer(layers.Conv2d(3, 8, 3, stride=2, padding=1))
    >>> found.padding, found.pytorch_compat
    (None, False)
    """
    if not isinstance(layer, layers.Conv):
        raise WordError(f"babilim has no {type(layer).__name__}", "it has Conv1D and Conv2D")
    if isinstance(layer, Convolution):
        words = {**get_config(layer)["config"], "kernel_initializer": layer.kernel_initializer}
        return filled(type(layer)(**words), layer)
    check_expressible(layer)
    for padding, pytorch_compat in ((None, False), ("none", False), (None, True)):
        if pytorch_compat and activation_name(layer) not in (None, "relu"):
            continue
        found = alike(layer, padding, pytorch_compat)
        if paddings(found) == paddings(layer):
            return filled(found, layer)
    raise WordError(
        f"babilim has no `padding` (={shown(layer.spec.padding)}) for the kernel "
        f"{layer.kernel_size}",
        "use padding='none', and pad before the layer",
    )


@verb
def get_config(layer: Layer) -> dict[str, Any]:
    """The class and the arguments that make such a layer, without its weights; JSON can hold them.

    A kernel_initializer that is a function is left out, for its weights are. Raises WordError for a
    layer of another dialect.

    >>> get_config(Conv1D(10, 3, activation="relu"))["config"]["activation"]
    'relu'
    """
    if not isinstance(layer, Convolution):
        raise WordError(f"a {type(layer).__name__} is not a layer of babilim", "use `from_layer`")
    sizes = {
        "kernel_size": layer.kernel_size,
        "stride": layer.spec.stride,
        "dilation_rate": layer.spec.dilation,
    }
    config: dict[str, Any] = {
        "filters": layer.out_channels,
        **{word: size[0] if len(size) == 1 else list(size) for word, size in sizes.items()},
        "padding": layer.padding,
        "activation": layer.activation_name,
    }
    if isinstance(layer.kernel_initializer, str):
        config["kernel_initializer"] = layer.kernel_initializer
    if layer.pytorch_compat:
        config["pytorch_compat"] = True
    return {"class_name": type(layer).__name__, "config": config}


def check_expressible(layer: layers.Conv) -> None:
    """Check that babilim has all the words but the padding."""
    spec = layer.spec
    for word, value, plain in (
        ("groups", spec.groups, 1),
        ("input_dilation", max(spec.input_dilation), 1),
        ("padding_mode", spec.padding_mode, "zeros"),
        ("bias", layer.settings.get("bias", True), True),
    ):
        if value != plain:
            raise WordError(
                f"babilim's convolutions have no `{word}` (={shown(value)}), always {plain!r}",
                "use convref's own layer",
            )
    for setting in ABSENT:
        if layer.settings.get(setting) is not None:
            raise WordError(
                f"babilim's convolutions have no `{setting}`",
                "leave it to the loss and the training",
            )
    if spec.rank > 2:
        raise WordError(f"babilim has no convolution of {spec.rank} axes", "it has those of 1 or 2")


def activation_name(layer: layers.Conv) -> str | None:
    """The activation by name; raise WordError."""
    if layer.activation is None or isinstance(layer.activation, Identity):
        return None
    for name in NAMED:
        if type(layer.activation) is ACTIVATIONS[name]:
            return name
    raise WordError(
        f"babilim has no `activation` (={type(layer.activation).__name__})",
        "translate the layer without it, and put it after the layer",
    )


def alike(layer: layers.Conv, padding: str | None, pytorch_compat: bool) -> Convolution:
    """A layer of the same words, with a padding of babilim's."""
    spec = layer.spec
    kind: type[Conv1D] | type[Conv2D] = Conv1D if spec.rank == 1 else Conv2D
    return kind(
        layer.out_channels, layer.kernel_size, padding, spec.stride, spec.dilation,
        activation=activation_name(layer), pytorch_compat=pytorch_compat,
    )  # fmt: skip


def paddings(layer: layers.Conv) -> set[tuple[tuple[int, int], ...]]:
    """What the layer pads, which may depend on how much of the input a stride leaves over."""
    lengths = range(LONG, LONG + max(layer.spec.stride))
    rank = layer.spec.rank
    return {bind(layer.spec, (n,) * rank, layer.kernel_size).padding for n in lengths}


def filled(result: Convolution, layer: Weighted) -> Convolution:
    """The layer with a copy of the other's parameters, if there are any yet."""
    result.dtype, result.trainable = layer.dtype, layer.trainable
    result.name = result.name if layer.name == type(layer).__name__ else layer.name
    if layer.built and layer.bias is not None:
        result.weight = Parameter(layer.weight.value.copy())
        result.bias = Parameter(layer.bias.value.copy())
        result.built = True
    return result
