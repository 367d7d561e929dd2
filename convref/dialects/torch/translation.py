"""Any layer of convref as one of PyTorch's, and a layer as the arguments that make it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from convref import layers
from convref.activations import Identity
from convref.dialects.torch import convolutions, folds, lazy
from convref.dialects.torch.module import Module
from convref.errors import WordError, shown, verb
from convref.geometry import bind, transposed_size
from convref.layer import Layer, Parameter
from convref.padding import Pair
from convref.spec import ConvSpec
from convref.summary import Shape

Pairs = tuple[Pair, ...]

LONG = 10**6
"""Positions along an axis that no window is too long for."""
PADDING_LAYERS = {
    "zeros": "ZeroPad",
    "reflect": "ReflectionPad",
    "replicate": "ReplicationPad",
    "circular": "CircularPad",
}
"""What PyTorch has for each padding mode, to go before a convolution."""
ABSENT = {
    "weight_regulariser": "give the optimiser a weight_decay, or add the penalty to the loss",
    "bias_regulariser": "give the optimiser a weight_decay, or add the penalty to the loss",
    "activity_regulariser": "add the penalty to the loss",
    "weight_constraint": "bring the weights back after each step",
    "bias_constraint": "bring the bias back after each step",
    "mask": "multiply the weights by the mask after each step",
}
"""Settings that PyTorch's layers have not, and what to do there."""


@verb
def from_layer(layer: Layer) -> Module:
    """The layer of PyTorch that computes the same, with a copy of the weights.

    It takes channels first, whatever the layout was. A layer that waits for its first input becomes
    a lazy one, whose first weights will be PyTorch's. Of a Sequential, zeros around the input and
    edges cut off the output become words of the convolution between them. Raises WordError where
    PyTorch has no such layer, and says what would do.

    >>> from convref import layers
    >>> from_layer(layers.DepthwiseConv2d(3, 5, multiplier=2, stride=2, padding=2))
    Conv2d(3, 6, kernel_size=(5, 5), stride=(2, 2), padding=(2, 2), groups=3)
    """
    if isinstance(layer, folds.Unfold | folds.Fold):
        return type(layer)(**layer.config())
    if isinstance(layer, layers.Sequential):
        return as_one(layer)
    if isinstance(layer, layers.Conv | layers.DepthwiseConv):
        return as_convolution(layer)
    if isinstance(layer, layers.ConvTranspose):
        return as_transposed(layer)
    if isinstance(layer, layers.SeparableConv):
        raise WordError(
            "PyTorch has no separable convolution",
            "use two: a Conv2d with groups=in_channels, and a Conv2d of kernel_size=1",
        )
    raise WordError(
        f"there is no {type(layer).__name__} in this dialect",
        "it has convolutions, transposed convolutions, Unfold and Fold",
    )


@verb
def get_config(layer: Layer) -> dict[str, Any]:
    """The class and the arguments that make such a layer, without its weights; JSON can hold them.

    Raises WordError for a layer of another dialect.

    >>> get_config(lazy.LazyConv1d(4, 3))["class_name"]
    'LazyConv1d'
    """
    if not isinstance(layer, Module):
        raise WordError(f"a {type(layer).__name__} is not a layer of PyTorch", "use `from_layer`")
    return {"class_name": type(layer).__name__, "config": layer.config()}


def check_expressible(layer: Any) -> None:
    """Check that PyTorch has all that a layer of weights does beside the product."""
    if layer.spec.rank > 3:
        raise WordError(
            f"PyTorch has no convolution of {layer.spec.rank} axes", "it has those of 1 to 3"
        )
    if layer.activation is not None and not isinstance(layer.activation, Identity):
        raise WordError(
            f"PyTorch's convolutions have no `activation` (={type(layer.activation).__name__})",
            "translate the layer without it, and put it after the layer",
        )
    for setting, mend in ABSENT.items():
        if layer.settings.get(setting) is not None:
            raise WordError(f"PyTorch's convolutions have no `{setting}`", mend)


def as_one(layer: layers.Sequential) -> Module:
    """Layers in a row as one that does what they do together."""
    row: list[Any] = list(layer.layers)
    if len(row) == 1:
        return from_layer(row[0])
    if row and isinstance(row[-1], layers.Conv | layers.DepthwiseConv):
        *before, conv = row
        if all(frames(conv, one, layers.ZeroPad) for one in before):
            return as_convolution(conv, *(one.spec.padding for one in before))
    if row and isinstance(row[0], layers.ConvTranspose):
        conv, *after = row
        if all(frames(conv, one, layers.Crop) for one in after):
            return as_transposed(conv, *(one.amounts for one in after))
    raise WordError(
        f"the dialect has no {type(layer).__name__}, and its layers are more than one convolution",
        "translate them one by one",
    )


def frames(conv: Any, layer: Any, kind: type[layers.ZeroPad | layers.Crop]) -> bool:
    """Whether a layer is of a kind, and its axes are those of a convolution."""
    if not isinstance(layer, kind):
        return False
    spec: ConvSpec = layer.spec
    return (spec.rank, spec.layout) == (conv.spec.rank, conv.spec.layout)


def as_convolution(layer: layers.Conv | layers.DepthwiseConv, *around: Pairs) -> Module:
    """A convolution as PyTorch's, with padding around the input before its own."""
    check_expressible(layer)
    spec = layer.spec
    if max(spec.input_dilation) > 1:
        raise WordError(
            f"PyTorch's convolutions have no `input_dilation` (={spec.input_dilation})",
            "use a ConvTranspose of that stride with the taps in reverse",
        )
    if around and spec.padding_mode != "zeros":
        if any(map(any, constant_padding(spec, layer.kernel_size))):
            raise WordError(
                f"`padding_mode` (={shown(spec.padding_mode)}) pads what has zeros around it",
                "translate the layers one by one",
            )
        spec = replace(spec, padding_mode="zeros")  # for the zeros are all that there is
    if isinstance(layer, layers.DepthwiseConv):
        if not layer.built:
            raise WordError(
                "the groups will be the channels of the first input, and PyTorch's are a number",
                "call the layer once, or give it in_channels",
            )
        filters = len(layer.weight.value)
    else:
        filters = layer.out_channels
    return made(
        layer,
        "Conv",
        out_channels=filters,
        padding=as_padding(spec, layer.kernel_size, around),
        padding_mode=spec.padding_mode,
    )


def as_padding(spec: ConvSpec, kernel_size: Shape, around: Sequence[Pairs]) -> str | Shape:
    """The padding of a convolution in PyTorch's words; raise WordError."""
    if not around and (spec.padding == "valid" or is_same(spec)):
        return str(spec.padding)
    pairs = total([constant_padding(spec, kernel_size), *around])
    if all(before == after for before, after in pairs):
        if min(map(min, pairs)) < 0 and spec.padding_mode == "zeros":
            raise WordError(
                f"`padding` (={pairs}) crops, and PyTorch's does not", "slice the input"
            )
        return tuple(before for before, _ in pairs)
    same = replace(spec, padding="same")
    if is_same(same) and constant_padding(same, kernel_size) == pairs:
        return "same"
    raise WordError(
        f"`padding` (={pairs}) differs before and after, and PyTorch's does not",
        f"use {explicitly(pairs, spec)}",
    )


def is_same(spec: ConvSpec) -> bool:
    """Whether the padding is what PyTorch calls "same"."""
    return spec.padding == "same" and max(spec.stride) == 1


def constant_padding(spec: ConvSpec, kernel_size: Shape) -> Pairs:
    """The padding, if it is one for all sizes; raise WordError."""
    lengths = range(LONG, LONG + max(spec.stride))
    found = {bind(spec, (length,) * spec.rank, kernel_size).padding for length in lengths}
    if len(found) > 1:
        whole = bind(spec, tuple(LONG * step for step in spec.stride), kernel_size).padding
        raise WordError(
            f"`padding` (={shown(spec.padding)}) with `stride` (={spec.stride}) depends on the "
            "size of "
            "the input, which PyTorch's does not; for sizes that the strides divide it is "
            f"{whole}",
            f"for those use {explicitly(whole, spec)}",
        )
    return found.pop()


def total(amounts: Sequence[Pairs]) -> Pairs:
    """What paddings of one input after another come to."""
    return tuple(
        (sum(lo for lo, _ in pairs), sum(hi for _, hi in pairs))
        for pairs in zip(*amounts, strict=True)
    )


def explicitly(pairs: Pairs, spec: ConvSpec) -> str:
    """How to pad by these pairs in PyTorch."""
    if all(before == after for before, after in pairs):
        return f"padding={tuple(before for before, _ in pairs)}"
    last_axis_first = tuple(amount for pair in reversed(pairs) for amount in pair)
    kind = PADDING_LAYERS[spec.padding_mode]
    return f"padding=0 after nn.{kind}{spec.rank}d({last_axis_first})"


def as_transposed(layer: layers.ConvTranspose, *cut: Pairs) -> Module:
    """A transposed convolution as PyTorch's, with edges cut off the output after its own."""
    check_expressible(layer)
    if layer.output_size is not None:
        raise WordError(
            f"PyTorch's layers have no `output_size` (={layer.output_size})",
            "leave it out, and give it in each call",
        )
    spec, size = layer.spec, (LONG,) * layer.spec.rank
    # What is cut off is the same for all sizes, for it is the output's that follow.
    grown = layer.grown(size)
    pairs = total([bind(spec, grown, layer.kernel_size).padding, *cut])
    padding = tuple(before for before, _ in pairs)
    alike = replace(spec, padding=tuple((before, before) for before in padding))
    smallest = transposed_size(alike, size, layer.kernel_size)
    lost = map(sum, total(cut)) if cut else (0,) * spec.rank
    extra = tuple(
        length - less - least for length, less, least in zip(grown, lost, smallest, strict=True)
    )
    fits = all(
        before >= 0 and 0 <= more < max(steps)
        for before, more, *steps in zip(padding, extra, spec.stride, spec.dilation, strict=True)
    )
    if not fits:
        raise WordError(
            f"`padding` (={pairs}) cuts off amounts that PyTorch's `padding` and `output_padding` "
            "can't",
            "use padding=0, and slice the output",
        )
    return made(
        layer, "ConvTranspose", out_channels=layer.out_channels, padding=padding,
        output_padding=extra,
    )  # fmt: skip


def made(layer: Any, name: str, **words: Any) -> Module:
    """A layer of these words, with a copy of the parameters, if there are any yet."""
    spec = layer.spec
    words |= {"kernel_size": layer.kernel_size, "stride": spec.stride, "dilation": spec.dilation}
    words |= {"groups": spec.groups, "bias": layer.settings.get("bias", True), "dtype": layer.dtype}
    name = f"{name}{spec.rank}d"
    if not layer.built:
        result: convolutions.Convolutional = getattr(lazy, f"Lazy{name}")(**words)
    else:
        kind = getattr(convolutions, name)
        taken, per_group = layer.weight.value.shape[:2]
        result = kind(taken if kind.transposed else per_group * spec.groups, **words)
        result.weight = copied(layer.weight)
        result.bias = None if layer.bias is None else copied(layer.bias)
    result.trainable = layer.trainable
    return result


def copied(parameter: Parameter) -> Parameter:
    """A parameter of the same values, without what PyTorch's have not."""
    return Parameter(parameter.value.copy(), trainable=parameter.trainable)
