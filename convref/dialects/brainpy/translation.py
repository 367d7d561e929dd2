"""Any layer of convref as one of brainpy's, and a layer as the arguments that make it."""

from dataclasses import replace
from typing import Any

from convref import layers
from convref.activations import Identity
from convref.dialects.brainpy import convolutions
from convref.dialects.brainpy.convolutions import Brainpy, GeneralConv
from convref.dialects.brainpy.objects import Initializer, TrainingMode, nonbatching_mode, written
from convref.errors import WordError, shown, verb
from convref.geometry import bind
from convref.layer import Layer, Parameter
from convref.padding import Pair
from convref.summary import Shape

LONG = 10**6
"""Positions along an axis that no window is too long for."""
ABSENT = (
    *("weight_regulariser", "bias_regulariser", "activity_regulariser"),
    *("weight_constraint", "bias_constraint"),
)
"""Settings that brainpy's layers have not."""


@verb
def from_layer(layer: Layer) -> Brainpy:
    """The layer of brainpy that computes the same, with a copy of the weights.

    It takes channels last, whatever the layout was, and keeps the dtype, which in brainpy is that
    of the environment. Raises WordError where brainpy has no such layer, and says what would do.

    >>> from convref import layers
    >>> from_layer(layers.DepthwiseConv1d(3, 5, multiplier=2, stride=2, padding=2))
    Conv1d(in_channels=3, out_channels=6, kernel_size=(5,), stride=(2,), padding=((2, 2),))
    """
    if isinstance(layer, Brainpy):
        return filled(type(layer)(**get_config(layer)["config"]), layer)
    if isinstance(layer, layers.Conv | layers.DepthwiseConv):
        check_expressible(layer)
        spec = layer.spec
        filters, per_group, *_ = layer.weight.value.shape
        return made(
            layer,
            "Conv",
            in_channels=per_group * spec.groups,
            out_channels=filters,
            padding=as_padding(layer),
            lhs_dilation=spec.input_dilation,
            rhs_dilation=spec.dilation,
            groups=spec.groups,
        )
    if isinstance(layer, layers.ConvTranspose):
        check_expressible(layer)
        check_transposed(layer)
        channels = layer.weight.value.shape[:2]
        return made(
            layer,
            "ConvTranspose",
            in_channels=channels[0],
            out_channels=channels[1],
            padding=as_transposed_padding(layer),
        )
    if isinstance(layer, layers.SeparableConv):
        raise WordError(
            "brainpy has no separable convolution",
            "use two: a Conv with groups=in_channels, and a Conv with kernel_size=1",
        )
    raise WordError(
        f"there is no {type(layer).__name__} in this dialect",
        "it has convolutions and transposed convolutions",
    )


@verb
def get_config(layer: Layer) -> dict[str, Any]:
    """The class and the arguments that make such a layer, without its weights; JSON can hold them.

    Initialisers and modes are written as class and arguments, and the layers take them so. What a
    function or an array gave as first values is left out, for the weights are. Raises WordError for
    a layer of another dialect.

    >>> get_config(convolutions.Conv1d(2, 3, 5, b_initializer=None))["config"]["b_initializer"]
    """
    if not isinstance(layer, Brainpy):
        raise WordError(f"a {type(layer).__name__} is not a layer of brainpy", "use `from_layer`")
    words = ["in_channels", "out_channels", "kernel_size", "stride", "padding"]
    if isinstance(layer, GeneralConv):
        words += ["lhs_dilation", "rhs_dilation", "groups"]
    config = {word: as_lists(getattr(layer, word)) for word in words}
    for word in ("w_initializer", "b_initializer"):
        if isinstance(initializer := getattr(layer, word), Initializer):
            config[word] = written(initializer)
        elif initializer is None or isinstance(initializer, int | float):
            config[word] = initializer
    if layer.mask is not None:
        config["mask"] = layer.mask.tolist() if hasattr(layer.mask, "tolist") else layer.mask
    if not isinstance(layer.mode, TrainingMode):
        config["mode"] = written(layer.mode)
    if layer.name != type(layer).__name__:
        config["name"] = layer.name
    return {"class_name": type(layer).__name__, "config": config}


def as_lists(value: Any) -> Any:
    """Tuples as JSON has them."""
    return [as_lists(entry) for entry in value] if isinstance(value, tuple) else value


def check_expressible(layer: Any) -> None:
    """Check that brainpy has all that a layer of weights does beside the product."""
    spec = layer.spec
    if spec.rank > 3:
        raise WordError(f"brainpy has no convolution of {spec.rank} axes", "it has those of 1 to 3")
    if not layer.built:
        raise WordError("brainpy's layers need `in_channels`", "call the layer once, or give them")
    if layer.activation is not None and not isinstance(layer.activation, Identity):
        raise WordError(
            f"brainpy's convolutions have no `activation` (={type(layer.activation).__name__})",
            "translate the layer without it, and put it after the layer",
        )
    if spec.padding_mode != "zeros":
        raise WordError(
            f"brainpy has no `padding_mode` (={shown(spec.padding_mode)})",
            "use padding='VALID', and pad before the layer",
        )
    for setting in ABSENT:
        if layer.settings.get(setting) is not None:
            raise WordError(
                f"brainpy's convolutions have no `{setting}`",
                "leave it to the loss and the training",
            )


def check_transposed(layer: layers.ConvTranspose) -> None:
    """Check that brainpy's transposed convolution has the words."""
    for word, value, plain in (
        ("groups", layer.spec.groups, 1),
        ("dilation", max(layer.spec.dilation), 1),
        ("output_size", layer.output_size, None),
    ):
        if value != plain:
            raise WordError(
                f"brainpy's transposed convolutions have no `{word}` (={value})",
                "use a Conv with `lhs_dilation` for the stride"
                if plain
                else "use the padding that gives that size",
            )


def as_padding(layer: layers.Conv | layers.DepthwiseConv) -> Any:
    """The padding of a convolution in brainpy's words; raise WordError."""
    spec, kernel = layer.spec, layer.kernel_size
    if spec.padding in ("same", "valid") and max(spec.input_dilation) == 1:
        return str(spec.padding).upper()
    lengths = range(LONG, LONG + max(spec.stride))
    found = {bind(spec, (length,) * spec.rank, kernel).padding for length in lengths}
    if len(found) > 1:
        whole = bind(spec, tuple(LONG * step for step in spec.stride), kernel).padding
        raise WordError(
            f"`padding` (={shown(spec.padding)}) with `stride` (={spec.stride}) depends on the "
            "size of "
            "the input, which pairs do not",
            f"for sizes that the strides divide use padding={whole}",
        )
    return found.pop()


def as_transposed_padding(layer: layers.ConvTranspose) -> Any:
    """The padding of a transposed convolution in brainpy's words."""
    spec, size, taps = layer.spec, (LONG,) * layer.spec.rank, layer.kernel_size
    output = layer.grown(size)
    for word in ("SAME", "VALID"):
        cut_off, extra = convolutions.transposed_padding(word, taps, spec.stride)
        if spec.padding == cut_off and output == alike(layer, extra).grown(size):
            return word
    # What is cut off does not depend on the size, for sizes follow from those of the input.
    pairs = bind(spec, output, taps).padding
    reached = alike(layer, 0, tuple((before, 0) for before, _ in pairs)).grown(size)
    return tuple(
        (tap - 1 - before, tap - 1 + wanted - most)
        for tap, (before, _), wanted, most in zip(taps, pairs, output, reached, strict=True)
    )


def alike(
    layer: layers.ConvTranspose, extra: int | Shape, pairs: tuple[Pair, ...] | None = None
) -> layers.ConvTranspose:
    """A layer of the same words but for what it adds to the output, and perhaps its padding."""
    spec = layer.spec if pairs is None else replace(layer.spec, padding=pairs)
    return layers.ConvTranspose(
        None, layer.out_channels, layer.kernel_size, stride=spec.stride, padding=spec.padding,
        dilation=spec.dilation, output_padding=extra,
    )  # fmt: skip


def made(layer: Any, name: str, **words: Any) -> Brainpy:
    """A layer of these words, with a copy of the parameters."""
    kind: Any = getattr(convolutions, f"{name}{layer.spec.rank}d")
    mask = layer.weight.mask
    result = kind(
        kernel_size=layer.kernel_size,
        stride=layer.spec.stride,
        b_initializer=None if layer.bias is None else convolutions.ZERO,
        mask=None if mask is None else kind.own(mask),
        mode=None if layer.trainable else nonbatching_mode,
        name=None if layer.name == type(layer).__name__ else layer.name,
        **words,
    )
    return filled(result, layer)


def filled(result: Brainpy, layer: Any) -> Brainpy:
    """The layer with a copy of the other's parameters."""
    result.dtype, result.weight = layer.dtype, copied(layer.weight)
    result.bias = None if layer.bias is None else copied(layer.bias)
    return result


def copied(parameter: Parameter) -> Parameter:
    """A parameter of the same values, without what brainpy's have not."""
    return Parameter(parameter.value.copy(), trainable=parameter.trainable, mask=parameter.mask)
