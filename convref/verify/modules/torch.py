"""PyTorch: the convolutions of a torch.nn.Module, each with the input that reaches it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from convref.dialects.torch.arguments import geometry, in_own_words, transposed_geometry
from convref.geometry import transposed_size
from convref.spec import ConvSpec
from convref.verify.modules.live import (
    Array,
    Convolution,
    Found,
    Shape,
    Stored,
    Unjudged,
    numbered,
    running,
)

VERSION: str = torch.__version__
FORWARD = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
SUPPORTED = "torch.nn.Conv1d, 2d, 3d, ConvTranspose1d, 2d, 3d, and modules that contain them"


class Call(NamedTuple):
    """That a convolution was called, and with what."""

    name: str
    layer: Any
    args: tuple[Any, ...]
    words: Mapping[str, Any]


def convolutions(module: Any, inputs: tuple[Any, ...]) -> Iterator[Found]:
    """Every convolution in the order in which they are run; the module stays as it is."""
    if any(isinstance(p, nn.parameter.UninitializedTensorMixin) for p in module.parameters()):
        module = deepcopy(module)  # whose weights are made at the first call
    found = dict(layers_of(module))
    unfit = {name: reason for name, layer in found.items() if (reason := unfitness(layer))}
    yield from (Unjudged(name, reason) for name, reason in unfit.items())
    if len(unfit) == len(found):
        return
    fit = {name: layer for name, layer in found.items() if name not in unfit}
    calls = reached(module, fit, tuple(converted(value, module) for value in inputs))
    missed = fit.keys() - {call.name for call in calls}
    yield from (Unjudged(name, "the input does not reach it") for name in fit if name in missed)
    for name, call in zip(numbered([call.name for call in calls]), calls, strict=True):
        yield run_alone(call, name)


def layers_of(module: Any) -> Iterator[tuple[str, Any]]:
    """The convolutions in a module by their qualified names, itself perhaps."""
    inside: set[Any] = set()  # of what is compiled as one
    for name, layer in module.named_modules():
        if layer in inside:
            continue
        kind = type(written(layer))
        if layer is not written(layer):
            inside |= set(layer.modules())
            yield name, layer
        elif issubclass(kind, (*FORWARD, *TRANSPOSED)) or (
            kind.__module__.startswith("torch.ao.") and kind.__name__.startswith("Conv")
        ):
            yield name, layer


def written(layer: Any) -> Any:
    """The layer as it was written, of one that torch.compile made."""
    return getattr(layer, "_orig_mod", layer)


def unfitness(layer: Any) -> str:
    """Why a convolution can't be judged; empty where it can."""
    kind = type(written(layer))
    if kind.__module__.startswith("torch.ao."):
        return f"{kind.__name__} of {kind.__module__} is quantised"
    if not issubclass(kind, (*FORWARD, *TRANSPOSED)):
        return f"{kind.__name__} is compiled as a whole; pass the module that was compiled"
    if any(parameter.is_meta for parameter in layer.parameters()):
        return "its weights are on the device meta and have no numbers"
    return ""


def converted(value: Any, module: Any) -> Any:
    """Arrays as tensors, floats in the dtype of the module and on its device."""
    if isinstance(value, list | tuple) and any(hasattr(item, "__array__") for item in value):
        return type(value)(converted(item, module) for item in value)
    if isinstance(value, torch.Tensor) or not hasattr(value, "__array__"):
        return value
    like = next((p for p in module.parameters() if p.is_floating_point() or p.is_complex()), None)
    tensor = torch.from_numpy(np.array(value))
    if like is None:
        return tensor
    same_kind = tensor.is_floating_point() or tensor.is_complex()
    return tensor.to(like.device, like.dtype if same_kind else tensor.dtype)


def reached(module: Any, found: Mapping[str, Any], inputs: tuple[Any, ...]) -> list[Call]:
    """The calls of convolutions in one run of a module, with copies of what they were given."""
    calls: list[Call] = []

    def note(name: str, layer: Any, args: tuple[Any, ...], words: dict[str, Any]) -> None:
        calls.append(Call(name, layer, tuple(map(copied, args)), words))

    with undisturbed(module) as hooks, torch.no_grad(), running(type(module).__name__):
        for name, layer in found.items():
            # Before the user's own hooks, which a second run calls again.
            hook = partial(note, name)
            hooks.append(layer.register_forward_pre_hook(hook, prepend=True, with_kwargs=True))
        module(*inputs)
    return calls


def copied(value: Any) -> Any:
    """A tensor of its own, for later layers may write into it."""
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


@contextmanager
def undisturbed(module: Any) -> Iterator[list[Any]]:
    """In inference mode, as flags have it; afterwards all is as before, and hooks are removed.

    Flags are set one by one, for a module's own `train` may do more, such as to merge weights.
    """
    hooks: list[Any] = []
    flags = [(part, part.training) for part in module.modules()]
    buffers = [
        (part._buffers, name, buffer, copied(buffer))
        for part in module.modules()
        for name, buffer in part._buffers.items()
    ]
    with torch.random.fork_rng(devices=[]):
        try:
            for part, _ in flags:
                part.training = False
            yield hooks
        finally:
            for hook in hooks:
                hook.remove()
            for part, training in flags:
                part.training = training
            for owner, name, buffer, before in buffers:
                owner[name] = buffer
                if before is not None and not torch.equal(buffer, before):
                    with torch.no_grad():
                        buffer.copy_(before)


def run_alone(call: Call, name: str) -> Convolution:
    """Run a convolution by itself, on leaves: tensors of which there will be gradients."""
    layer, seen = written(call.layer), {}

    def enter(_: Any, args: tuple[Any, ...], words: dict[str, Any]) -> Any:
        x = words.pop("input") if "input" in words else args[0]
        # A copy of what was made in inference mode may have gradients.
        seen["x"] = (x.clone() if x.is_inference() else x).detach().requires_grad_()
        return (seen["x"], *args[1:]), words

    def leave(_: Any, args: tuple[Any, ...], y: Any) -> None:
        # Here a weight is what the layer computes with, whatever it is computed from.
        seen.update(y=y, w=layer.weight, bias=layer.bias)

    run = call.layer
    leaves = {key: value.detach().requires_grad_() for key, value in run.named_parameters()}
    with undisturbed(run) as hooks, torch.enable_grad(), parametrize.cached():
        hooks.append(run.register_forward_pre_hook(enter, with_kwargs=True))
        hooks.append(run.register_forward_hook(leave, prepend=True))
        with running(f"{layer}"):
            torch.func.functional_call(run, leaves, call.args, dict(call.words))
    y, sources = seen["y"], {"dx": seen["x"], "dw": seen["w"], "db": seen["bias"]}
    kind, words, extra = settings(layer, seen["x"].shape, seen["w"].shape[2:], call)
    return Convolution(
        name=name,
        operator=type(layer).__name__,
        configuration=str(layer),
        kind=kind,
        words=words,
        x=read(seen["x"]).array,
        w=read(seen["w"]).array,
        bias=None if seen["bias"] is None else read(seen["bias"]).array,
        y=read(y),
        pull_back=partial(gradients, y, sources) if y.requires_grad else None,
        output_padding=extra,
    )


def settings(layer: Any, shape: Shape, kernel: Shape, call: Call) -> tuple[str, Any, Shape | None]:
    """The kind, convref's words, and the output padding, of a layer for this input."""
    rank = len(kernel)
    if not isinstance(layer, TRANSPOSED):
        steps = (layer.stride, layer.padding, layer.dilation)
        return "forward", geometry(rank, *steps, layer.groups, layer.padding_mode), None
    plain: Any = {
        "stride": layer.stride,
        "padding": layer.padding,
        "output_padding": layer.output_padding,
        "groups": layer.groups,
        "dilation": layer.dilation,
    }
    size = call.words.get("output_size", call.args[1] if len(call.args) > 1 else None)
    if size is not None:  # the last axes of it; they say which output padding
        spec = ConvSpec.of(
            rank, stride=layer.stride, padding=layer.padding, dilation=layer.dilation
        )
        smallest = transposed_size(spec, shape[-rank:], kernel)
        plain["output_padding"] = tuple(
            int(length) - least for length, least in zip(size[-rank:], smallest, strict=True)
        )
    words = in_own_words(transposed_geometry(rank, **plain))
    extra = words.pop("output_padding")
    return "transpose", words, extra if isinstance(extra, tuple) else (extra,) * rank


def gradients(y: Any, sources: Mapping[str, Any], dy: Array) -> dict[str, Stored]:
    """What autograd makes of dy, by name."""
    there = {name: source for name, source in sources.items() if source is not None}
    # PyTorch conjugates where numbers are complex: dx is conj(w) times dy.
    found = pulled_back(y, list(there.values()), torch.from_numpy(dy).conj())
    return {name: read(gradient.conj()) for name, gradient in zip(there, found, strict=True)}


def pulled_back(y: Any, sources: list[Any], dy: Any) -> list[Any]:
    """The gradients of the sources; one that has no part in y has a gradient of 0."""
    dy = torch.as_tensor(dy).to(y.device, y.dtype)
    found = torch.autograd.grad(y, sources, dy, allow_unused=True)
    pairs = zip(sources, found, strict=True)
    return [torch.zeros_like(source) if found is None else found for source, found in pairs]


def vjp(function: Callable[..., Any], operands: list[Any]) -> tuple[Any, Any]:
    """What a function gives, and what takes its dy to the gradients of the operands."""
    leaves = [operand.detach().requires_grad_() for operand in operands]
    with torch.enable_grad():
        y = function(*leaves)
    return y, partial(pulled_back, y, leaves)


def read(tensor: Any) -> Stored:
    """A tensor as an array."""
    tensor = tensor.detach().cpu().resolve_conj()
    dtype = str(tensor.dtype).removeprefix("torch.")
    return Stored((tensor.float() if dtype == "bfloat16" else tensor).numpy(), dtype)
