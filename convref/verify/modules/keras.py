"""Keras 3, on any back end: the convolutions of a layer or a model, without their activations."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from convref.dialects.keras.conv import grown
from convref.dialects.keras.layouts import Kernel, Layout, PerChannel, Same
from convref.errors import WordError
from convref.verify.modules.live import (
    Array,
    Convolution,
    Found,
    Stored,
    Unjudged,
    is_traced,
    numbered,
    running,
    stored,
)

BACKEND: str = keras.backend.backend()
VERSION = f"{keras.__version__} on {BACKEND}"
FORWARD = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
RECURRENT = (layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)
SUPPORTED = (
    "keras.layers.Conv1D, 2D, 3D, Conv1DTranspose, 2D, 3D, DepthwiseConv1D, 2D, SeparableConv1D, "
    "2D, and models that contain them"
)
SETTINGS = (
    *("filters", "depth_multiplier", "kernel_size", "strides", "padding", "output_padding"),
    *("dilation_rate", "groups", "data_format"),
)
MISSING = object()


class Weight(NamedTuple):
    """A variable of a layer: what its gradient is called, and where its axes are."""

    gradient: str
    """Empty where it is not judged."""
    variable: Any
    layout: Layout


def convolutions(model: Any, inputs: tuple[Any, ...]) -> Iterator[Found]:
    """Every convolution in the order in which they are run; the model stays as it is."""
    if not built(model):
        model = built_copy(model, inputs)
    found = dict(layers_of(model))
    unfit = {name: reason for name, layer in found.items() if (reason := unfitness(layer))}
    yield from (Unjudged(name, reason) for name, reason in unfit.items())
    if len(unfit) == len(found):
        return
    fit = {name: layer for name, layer in found.items() if name not in unfit}
    calls = reached(model, fit, inputs)
    missed = fit.keys() - {name for name, _ in calls}
    yield from (Unjudged(name, "the input does not reach it") for name in fit if name in missed)
    for called, (name, x) in zip(numbered([name for name, _ in calls]), calls, strict=True):
        if is_traced(x):
            yield Unjudged(called, "it is run inside of a transformation, on no numbers")
        else:
            yield from judgeable(called, fit[name], x)


def built(model: Any) -> bool:
    """Whether all weights are there."""
    return bool(model.built) and all(layer.built for layer in model._flatten_layers())


def built_copy(model: Any, inputs: tuple[Any, ...]) -> Any:
    """A model of the same settings that has weights, for a first call would change the model."""
    try:
        copy = type(model).from_config(model.get_config())
    except Exception as error:  # of models without a configuration
        raise WordError(
            f"`module` ({type(model).__name__}) has no weights yet", "call it once"
        ) from error
    with running(type(model).__name__):
        copy(*inputs)
    return copy


def layers_of(layer: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The convolutions in a layer by their names, after those of the models that hold them."""
    if isinstance(layer, (*FORWARD, *TRANSPOSED, *DEPTHWISE, *SEPARABLE, *RECURRENT)):
        yield path, layer
        return
    for part in layer._flatten_layers(include_self=False, recursive=False):
        yield from layers_of(part, f"{path}/{part.name}" if path else part.name)


def unfitness(layer: Any) -> str:
    """Why a convolution can't be judged; empty where it can."""
    if isinstance(layer, RECURRENT):
        return f"{type(layer).__name__} is not supported"
    if layer.dtype_policy.quantization_mode is not None:
        return f"it is quantised ({layer.dtype_policy.quantization_mode})"
    if getattr(layer, "lora_enabled", False):
        return "its weights are a sum (LoRA)"
    return ""


def reached(model: Any, found: dict[str, Any], inputs: Any) -> list[tuple[str, Any]]:
    """The inputs of all convolutions in one run of a model, in order."""
    calls: list[tuple[str, Any]] = []

    def noting(name: str, layer: Any) -> Any:
        call = layer.call

        def note(x: Any, *args: Any, **words: Any) -> Any:
            calls.append((name, x))
            return call(x, *args, **words)

        return note

    with ExitStack() as stack:
        for name, layer in found.items():
            stack.enter_context(swapped(layer, call=noting(name, layer)))
        # Where variables, such as moving averages and the state of seeds, keep their values.
        stack.enter_context(keras.StatelessScope())
        with running(type(model).__name__):
            model(*inputs)
    return calls


@contextmanager
def swapped(layer: Any, **others: Any) -> Iterator[None]:
    """The layer with other attributes, past what Keras does as one is set."""
    own = vars(layer)
    before = {name: own.get(name, MISSING) for name in others}
    own.update(others)
    try:
        yield
    finally:
        own.update(before)
        for name in [name for name, value in before.items() if value is MISSING]:
            del own[name]


def judgeable(name: str, layer: Any, x: Any) -> Iterator[Convolution]:
    """What a layer computes: one convolution, or two."""
    bias = [Weight("db", layer.bias, Same())] if layer.use_bias else []
    words: Any = {
        "stride": layer.strides,
        "padding": layer.padding,
        "dilation": layer.dilation_rate,
        "layout": layer.data_format,
    }
    if isinstance(layer, SEPARABLE):
        yield from separable(name, layer, x, bias, words)
    elif isinstance(layer, DEPTHWISE):
        channels, multiplier = layer.kernel.shape[-2:]
        kernel = Weight("dw", layer.kernel, PerChannel(layer.rank, multiplier))
        yield run(name, layer, x, [kernel, *bias], {**words, "groups": channels})
    elif isinstance(layer, TRANSPOSED):
        steps = {"stride": layer.strides, "dilation": layer.dilation_rate}
        words |= grown(layer.padding, layer.output_padding, layer.kernel_size, **steps)
        extra = words.pop("output_padding", (0,) * layer.rank)
        kernel = Weight("dw", layer.kernel, Kernel(layer.rank))
        found = run(name, layer, x, [kernel, *bias], words)
        yield found._replace(kind="transpose", output_padding=extra)
    else:
        kernel = Weight("dw", layer.kernel, Kernel(layer.rank))
        yield run(name, layer, x, [kernel, *bias], {**words, "groups": layer.groups})


def separable(
    name: str, layer: Any, x: Any, bias: list[Weight], words: Any
) -> Iterator[Convolution]:
    """The two steps of a separable convolution, both computed by the layer itself.

    With the unit matrix as its pointwise kernel it gives the result of the first step, which the
    second one takes; products with 0 and 1 are exact. The gradient of what is between the two is
    not seen.
    """
    channels, multiplier = layer.depthwise_kernel.shape[-2:]
    unit = np.eye(channels * multiplier).reshape(*[1] * layer.rank, channels * multiplier, -1)
    depthwise = Weight("dw", layer.depthwise_kernel, PerChannel(layer.rank, multiplier))
    pointwise = Weight("dw", layer.pointwise_kernel, Kernel(layer.rank))
    exposed = {"pointwise_kernel": keras.Variable(unit, dtype=layer.dtype), "use_bias": False}
    path = f"{name}/" if name else ""
    words = {**words, "groups": channels}
    first = run(f"{path}depthwise", layer, x, [depthwise], words, **exposed)
    yield first
    weights = [depthwise._replace(gradient=""), pointwise, *bias]
    second = run(f"{path}pointwise", layer, x, weights, {"layout": layer.data_format})
    yield second._replace(x=first.y.array)


def run(
    name: str, layer: Any, x: Any, weights: list[Weight], words: Any, **others: Any
) -> Convolution:
    """Run a layer without its activation, and with other attributes, on x and its weights."""
    variables = [weight.variable for weight in weights]

    def function(x: Any, *values: Any) -> Any:
        scope = keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True)))
        with swapped(layer, activation=keras.activations.linear, **others), scope:
            return layer(x)

    vjp = import_module(f"convref.verify.modules.{BACKEND}").vjp
    with running(type(layer).__name__):
        y, pull_back = vjp(function, [x, *(keras.ops.copy(v.value) for v in variables)])
    # What comes before a weight that is not judged is not, either.
    names = ["dx" if all(weight.gradient for weight in weights) else ""]
    names += [weight.gradient for weight in weights]
    layouts = [Same(), *(weight.layout for weight in weights)]

    def gradients(dy: Array) -> dict[str, Stored]:
        found = zip(names, layouts, map(read, pull_back(dy)), strict=True)
        return {name: Stored(to.ours(g.array), g.dtype) for name, to, g in found if name}

    operands = {
        # As the layer has them in its computations.
        weight.gradient: weight.layout.ours(
            read(keras.ops.cast(weight.variable, layer.compute_dtype)).array
        )
        for weight in weights
    }
    return Convolution(
        name=name,
        operator=type(layer).__name__,
        configuration=described(layer),
        kind="forward",
        words=words,
        x=read(x).array,
        w=operands["dw"],
        bias=operands.get("db"),
        y=read(y),
        pull_back=gradients,
    )


def read(tensor: Any) -> Stored:
    """A tensor as an array."""
    return stored(np.asarray(keras.ops.convert_to_numpy(tensor)))


def described(layer: Any) -> str:
    """A layer as it is written."""
    config = layer.get_config()
    said = (f"{name}={config[name]!r}" for name in SETTINGS if config.get(name) is not None)
    return f"{type(layer).__name__}({', '.join(said)})"
