"""Flax: the convolutions of modules of flax.linen and flax.nnx."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax
import jax
import numpy as np
from flax import linen, nnx

from convref.dialects.jax.call import as_forward
from convref.errors import WordError
from convref.geometry import spread
from convref.integers import per_axis
from convref.verify.modules.jax import vjp
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

VERSION: str = flax.__version__
TRANSPOSED = (linen.ConvTranspose, nnx.ConvTranspose)
CONVOLUTIONS = (linen.Conv, nnx.Conv, linen.ConvLocal, *TRANSPOSED)
SUPPORTED = "Conv and ConvTranspose of flax.linen and flax.nnx, and modules that contain them"
AROUND = {"CIRCULAR": "circular", "REFLECT": "reflect"}
"""Paddings that are modes in convref."""
SETTINGS = (
    *("features", "out_features", "kernel_size", "strides", "padding", "input_dilation"),
    *("kernel_dilation", "feature_group_count", "transpose_kernel"),
)


class Call(NamedTuple):
    """That a convolution was called: where, on what, with which weights."""

    name: str
    layer: Any
    x: Any
    weights: dict[str, Any]
    function: Callable[..., Any]
    """Runs the layer by itself on x and weights."""


def convolutions(module: Any, inputs: tuple[Any, ...], params: Any) -> Iterator[Found]:
    """Every convolution in the order in which they are run; the module stays as it is."""
    if isinstance(module, linen.Module):
        calls = of_linen(module, inputs, params)
    elif params is None:
        calls = of_nnx(module, inputs)
    else:
        raise WordError("`params` are for modules of flax.linen", "leave them out")
    for name, call in zip(numbered([call.name for call in calls]), calls, strict=True):
        reason = unfitness(call)
        yield Unjudged(name, reason) if reason else run(name, call)


def of_linen(module: Any, inputs: tuple[Any, ...], params: Any) -> list[Call]:
    """The calls in one run of a module of flax.linen."""
    if module.scope is not None:
        module, variables = module.unbind()
    elif params is None:
        raise WordError(
            "a module of flax.linen does not hold its weights",
            "pass params=variables, as `module.init` gave them, or module.bind(variables)",
        )
    if params is not None:
        variables = params if "params" in params else {"params": params}
    calls: list[Call] = []

    def note(call: Any, args: Any, words: Any, context: Any) -> Any:
        layer = context.module
        if context.method_name == "__call__" and isinstance(layer, CONVOLUTIONS):
            weights = dict(layer.variables["params"])
            x, alone = (*args, *words.values())[0], layer.clone(parent=None, name=None)
            function = partial(applied, alone)
            calls.append(Call("/".join(layer.path), alone, x, weights, function))
        return call(*args, **words)

    state = [collection for collection in variables if collection != "params"]
    with jax.disable_jit(), linen.intercept_methods(note), running(type(module).__name__):
        module.apply(linen.meta.unbox(variables), *inputs, mutable=state)
    return calls


def applied(layer: Any, x: Any, weights: Mapping[str, Any]) -> Any:
    """What a layer of flax.linen makes of x."""
    return layer.apply({"params": weights}, x)


def of_nnx(module: Any, inputs: tuple[Any, ...]) -> list[Call]:
    """The calls in one run of a copy of a module of flax.nnx."""
    copy, calls = nnx.clone(module), []
    copy.eval()

    def noting(name: str, layer: Any) -> Any:
        kind, original = type(layer), nnx.clone(layer)

        def note(self: Any, x: Any, *args: Any, **words: Any) -> Any:
            weights = {"kernel": layer.kernel[...]}
            if layer.bias is not None:
                weights["bias"] = layer.bias[...]
            calls.append(Call(name, original, x, weights, partial(called, original)))
            return kind.__call__(self, x, *args, **words)

        return type(kind.__name__, (kind,), {"__call__": note})

    for path, layer in list(nnx.iter_modules(copy)):
        if isinstance(layer, CONVOLUTIONS):
            kind = noting(".".join(map(str, path)), layer)
            object.__setattr__(layer, "__class__", kind)
    with jax.disable_jit(), running(type(module).__name__):
        copy(*inputs)
    return calls


def called(layer: Any, x: Any, weights: Mapping[str, Any]) -> Any:
    """What a layer of flax.nnx makes of x."""
    copy = nnx.clone(layer)
    for name, value in weights.items():
        setattr(copy, name, nnx.Param(value))
    return copy(x)


def unfitness(call: Call) -> str:
    """Why a convolution can't be judged; empty where it can."""
    layer = call.layer
    if isinstance(layer, linen.ConvLocal):
        return "ConvLocal is not supported"
    if layer.mask is not None:
        return "its weights are masked"
    if isinstance(layer, TRANSPOSED) and layer.padding == "CIRCULAR":
        return "a transposed convolution with padding='CIRCULAR' is not supported"
    return "it is run inside of a transformation, on no numbers" if is_traced(call.x) else ""


def run(name: str, call: Call) -> Convolution:
    """Run a convolution by itself."""
    layer, names = call.layer, list(call.weights)

    def function(x: Any, *weights: Any) -> Any:
        return call.function(x, dict(zip(names, weights, strict=True)))

    x = jax.numpy.asarray(call.x)
    with running(type(layer).__name__):
        y, pull_back = vjp(function, [x, *call.weights.values()])

    def gradients(dy: Array) -> dict[str, Stored]:
        dx, *others = map(np.asarray, pull_back(dy))
        found = dict(zip(names, others, strict=True))
        result = {"dx": stored(dx), "dw": stored(as_ours(layer, found["kernel"]))}
        return result | ({"db": stored(found["bias"])} if "bias" in found else {})

    # As the layer has them in its computations.
    dtype = layer.dtype or jax.numpy.result_type(x, *call.weights.values())
    kernel, bias = np.asarray(call.weights["kernel"]), call.weights.get("bias")
    return Convolution(
        name=name,
        operator=type(layer).__name__,
        configuration=described(layer),
        kind="forward",
        words=words_of(layer, np.asarray(x), kernel),
        x=stored(np.asarray(x).astype(dtype)).array,
        w=stored(as_ours(layer, kernel).astype(dtype)).array,
        bias=None if bias is None else stored(np.asarray(bias).astype(dtype)).array,
        y=stored(np.asarray(y)),
        pull_back=gradients,
    )


def as_ours(layer: Any, kernel: Array) -> Array:
    """A kernel (*kernel, C, K) as (K, C, *kernel); one that is transposed is also flipped."""
    if getattr(layer, "transpose_kernel", False):
        kernel = np.flip(kernel, tuple(range(kernel.ndim - 2))).swapaxes(-1, -2)
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def words_of(layer: Any, x: Array, kernel: Array) -> Any:
    """The settings in convref's words; a transposed layer convolves a spread-out input."""
    rank = kernel.ndim - 2

    def steps(name: str) -> tuple[int, ...]:
        value = getattr(layer, name)
        return per_axis(name, 1 if value is None else value, rank, minimum=1)

    words: Any = {"layout": "channels_last", "dilation": steps("kernel_dilation")}
    padding = layer.padding
    if not isinstance(padding, str):
        each = [padding] * rank if isinstance(padding, int) else padding
        padding = tuple((pad, pad) if isinstance(pad, int) else tuple(pad) for pad in each)
    if isinstance(layer, TRANSPOSED):
        single = x.reshape(-1, *x.shape[-rank - 1 :])
        _, forward = as_forward(
            single, kernel, steps("strides"), padding, words["dilation"], None,
            layer.transpose_kernel, False,
        )  # fmt: skip
        return {**words, "input_dilation": steps("strides"), "padding": forward["padding"]}
    if padding in AROUND:
        windows = map(spread, kernel.shape, words["dilation"])
        words["padding_mode"] = AROUND[padding]
        padding = tuple(((window - 1) // 2, window // 2) for window in windows)
    words |= {"stride": steps("strides"), "input_dilation": steps("input_dilation")}
    return {**words, "padding": padding, "groups": layer.feature_group_count}


def described(layer: Any) -> str:
    """A layer as it is written."""
    said = (f"{name}={getattr(layer, name)!r}" for name in SETTINGS if hasattr(layer, name))
    return f"{type(layer).__name__}({', '.join(said)})"
