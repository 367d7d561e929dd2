"""Layers of convref, which those of every dialect are, as Keras's."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeVar

from convref import layers as ours
from convref.constraints import CONSTRAINTS
from convref.dialects.keras import conv, conv_lstm, reshaping
from convref.dialects.keras.layer import KerasLayer
from convref.dialects.keras.paddings import (
    cropping,
    geometry,
    in_format,
    kinds,
    padding,
    pairs_of,
    transposed_padding,
    zero_padding,
)
from convref.dialects.keras.sequential import Sequential
from convref.errors import WordError, shown, verb
from convref.initialisers import INITIALISERS
from convref.layer import Layer
from convref.names import named
from convref.regularisers import REGULARISERS
from convref.spec import ConvSpec
from convref.weighted import Weighted

L = TypeVar("L", bound=Layer)


@verb
def from_layer(layer: Layer) -> Layer:
    """The layer of Keras's that computes the same as this one, with a copy of its weights.

    Where Keras's layer has no word for a padding, it is a `Sequential` of a ZeroPadding or Cropping
    and the layer. Raises WordError for what Keras can't express.

    >>> from convref.layers import Conv2d
    >>> model = from_layer(Conv2d(3, 8, 3, stride=2, padding=1))
    >>> [type(layer).__name__ for layer in model.layers]
    ['ZeroPadding2D', 'Conv2D']
    """
    if isinstance(layer, KerasLayer):
        return deepcopy(layer)
    for kind, make in MAKERS.items():
        if isinstance(layer, kind):
            return make(layer)
    raise WordError(
        f"Keras's dialect has no layer such as {type(layer).__name__}",
        f"it has {', '.join(kind.__name__ for kind in MAKERS)}",
    )


@verb
def get_config(layer: Layer) -> dict[str, Any]:
    """``{"class_name": ..., "config": {...}}``, of which JSON can be made, without the weights.

    >>> from convref.dialects import keras
    >>> made = get_config(keras.UpSampling1D(3, name="up"))
    >>> made["class_name"], made["config"]["size"]
    ('UpSampling1D', 3)
    >>> getattr(keras, made["class_name"])(**made["config"]).size
    3
    """
    theirs = layer if isinstance(layer, KerasLayer) else from_layer(layer)
    return {"class_name": type(theirs).__name__, "config": theirs.get_config()}  # type: ignore[attr-defined]


# Layers of weights


def of_conv(layer: ours.Conv) -> Layer:
    """Conv1D, Conv2D or Conv3D."""
    check_expressible(layer)
    refuse_both(layer.spec)
    word, before = padding(layer, causal=True)
    made = kinds(conv, "Conv{}D", layer.spec.rank)(
        layer.out_channels, layer.kernel_size, groups=layer.spec.groups, padding=word,
        **geometry(layer.spec), **settings(layer, weight="kernel"),
    )  # fmt: skip
    if layer.built:
        made.make_parameters(layer.weight.value.shape[1] * layer.spec.groups)
    return in_a_row([*before, filled(made, layer)])


def of_conv_transpose(layer: ours.ConvTranspose) -> Layer:
    """Conv1DTranspose, Conv2DTranspose or Conv3DTranspose."""
    check_expressible(layer)
    refuse_both(layer.spec)
    if layer.spec.groups > 1:
        raise WordError(
            f"`groups` (={layer.spec.groups}): Keras's transposed convolutions have none",
            "use one layer per group, and concatenate",
        )
    if layer.output_size is not None:
        raise WordError(
            f"`output_size` (={layer.output_size}): Keras's follows from that of the input",
            "give `output_padding` instead",
        )
    words, after = transposed_padding(layer)
    made = kinds(conv, "Conv{}DTranspose", layer.spec.rank)(
        layer.out_channels, layer.kernel_size, **words, **geometry(layer.spec),
        **settings(layer, weight="kernel"),
    )  # fmt: skip
    if layer.built:
        made.make_parameters(len(layer.weight.value))
    return in_a_row([filled(made, layer), *after])


def of_depthwise(layer: ours.DepthwiseConv) -> Layer:
    """DepthwiseConv1D or DepthwiseConv2D."""
    check_expressible(layer)
    if layer.spec.rank == 3 and layer.built:
        return of_grouped(layer)
    word, before = padding(layer, causal=False)
    made = kinds(conv, "DepthwiseConv{}D", layer.spec.rank)(
        layer.kernel_size, depth_multiplier=layer.multiplier, padding=word,
        **geometry(layer.spec), **settings(layer, weight="depthwise"),
    )  # fmt: skip
    if layer.built:
        made.make_for(layer.spec.groups)
    return in_a_row([*before, filled(made, layer)])


def of_grouped(layer: ours.DepthwiseConv) -> Layer:
    """Three axes: a convolution of as many groups as channels has the same weights."""
    grouped = ours.Conv(
        layer.spec.groups, len(layer.weight.value), layer.kernel_size, stride=layer.spec.stride,
        padding=layer.spec.padding, dilation=layer.spec.dilation, groups=layer.spec.groups,
        layout=layer.spec.layout, **layer.settings,
    )  # fmt: skip
    return of_conv(filled(grouped, layer))


def of_separable(layer: ours.SeparableConv) -> Layer:
    """SeparableConv1D or SeparableConv2D."""
    check_expressible(layer)
    word, before = padding(layer, causal=False)
    made = kinds(conv, "SeparableConv{}D", layer.spec.rank)(
        layer.out_channels, layer.kernel_size, depth_multiplier=layer.multiplier, padding=word,
        **geometry(layer.spec), **settings(layer, depthwise="depthwise", weight="pointwise"),
    )  # fmt: skip
    if layer.built:
        made.make_for(layer.spec.groups)
    return in_a_row([*before, filled(made, layer)])


def of_conv_lstm(layer: ours.ConvLSTM) -> Layer:
    """ConvLSTM1D, ConvLSTM2D or ConvLSTM3D."""
    check_expressible(layer)
    refuse_both(layer.spec)
    word, before = padding(layer, causal=False)
    if before:
        raise WordError(
            f"`padding` (={shown(layer.spec.padding)}): Keras's recurrent layers have 'valid' and "
            "'same'",
            "pad each step before the layer",
        )
    made = kinds(conv_lstm, "ConvLSTM{}D", layer.spec.rank)(
        layer.out_channels, layer.kernel_size, padding=word, **geometry(layer.spec),
        recurrent_activation=deepcopy(layer.recurrent_activation),
        unit_forget_bias=layer.settings.get("unit_forget_bias", True),
        dropout=layer.dropout, recurrent_dropout=layer.recurrent_dropout,
        return_sequences=layer.return_sequences, go_backwards=layer.go_backwards,
        stateful=layer.stateful,
        **settings(layer, weight="kernel", recurrent="recurrent"),
    )  # fmt: skip
    if layer.built:
        made.make_parameters(layer.weight.value.shape[1])
    filled(made, layer)
    made.state = deepcopy(layer.state)
    return in_a_row([made])


# Layers without


def of_zero_pad(layer: ours.ZeroPad) -> Layer:
    """ZeroPadding1D, ZeroPadding2D or ZeroPadding3D, which make float32 of other floats."""
    return zero_padding(pairs_of(layer.spec.padding, [1] * layer.spec.rank), layer.spec)


def of_crop(layer: ours.Crop) -> Layer:
    """Cropping1D, Cropping2D or Cropping3D, which make float32 of other floats."""
    return cropping(layer.amounts, layer.spec)


def of_upsample(layer: ours.Upsample) -> Layer:
    """UpSampling1D, UpSampling2D or UpSampling3D, which make float32 of other floats."""
    rank = layer.spec.rank
    words: dict[str, Any] = {"size": layer.scale_factor}
    if layer.align_corners:
        raise WordError(
            "`align_corners` (=True): Keras's corners are those of the outermost cells",
            "leave it out",
        )
    theirs = {mode: word for word, mode in reshaping.INTERPOLATIONS.items()}[layer.mode]
    if rank == 2:
        words |= {"interpolation": theirs}
    elif layer.mode != "nearest":
        raise WordError(
            f"`mode` (={shown(layer.mode)}): Keras interpolates along two axes alone",
            "use mode='nearest'",
        )
    if rank == 1:
        words = {"size": layer.scale_factor[0]}
    return in_a_row([kinds(reshaping, "UpSampling{}D", rank)(**words, **in_format(layer.spec))])


def of_sequential(layer: ours.Sequential) -> Layer:
    """A Sequential of the layers, one by one."""
    return Sequential([from_layer(inner) for inner in layer.layers], trainable=layer.trainable)


MAKERS: dict[type, Callable[[Any], Layer]] = {
    ours.Conv: of_conv,
    ours.ConvTranspose: of_conv_transpose,
    ours.DepthwiseConv: of_depthwise,
    ours.SeparableConv: of_separable,
    ours.ConvLSTM: of_conv_lstm,
    ours.ZeroPad: of_zero_pad,
    ours.Crop: of_crop,
    ours.Upsample: of_upsample,
    ours.Sequential: of_sequential,
}


# Words


def check_expressible(layer: Any) -> None:
    """Check what no layer of Keras has; raise WordError."""
    spec: ConvSpec = layer.spec
    if spec.padding_mode != "zeros":
        raise WordError(
            f"`padding_mode` (={shown(spec.padding_mode)}): Keras pads with zeros",
            "pad before the layer, with numpy.pad or keras.ops.pad",
        )
    if any(step > 1 for step in spec.input_dilation):
        raise WordError(
            f"`input_dilation` (={spec.input_dilation}): Keras's convolutions have none",
            "use a transposed convolution, whose strides spread out the input",
        )
    if layer.settings.get("mask") is not None:
        raise WordError("`mask`: Keras's layers have none", "use a constraint instead")
    if layer.dtype.kind == "c":
        raise WordError(f"`dtype` (={layer.dtype}): Keras's layers are real", "use a real one")


def refuse_both(spec: ConvSpec) -> None:
    """Check that not both strides and dilation are above 1; raise WordError."""
    if max(spec.stride) > 1 and max(spec.dilation) > 1:
        raise WordError(
            f"`stride` (={spec.stride}) and `dilation` (={spec.dilation}) are both above 1, "
            "which Keras refuses",
            "put zeros between the taps of a larger kernel",
        )


def settings(layer: Weighted, **prefixes: str) -> dict[str, Any]:
    """Keras's words for the settings; prefixes are Keras's by convref's."""
    given: dict[str, Any] = dict(layer.settings)
    has_bias = layer.bias is not None if layer.built else given.get("bias", True)
    words: dict[str, Any] = {
        "activation": deepcopy(layer.activation),
        "use_bias": bool(has_bias),
        "activity_regularizer": layer.activity_regulariser,
        "dtype": layer.dtype,
        "trainable": layer.trainable,
    }
    if layer.name != type(layer).__name__ and "/" not in layer.name:
        words["name"] = layer.name
    for prefix, theirs in (*prefixes.items(), ("bias", "bias")):
        for kind, spelled, known in (
            ("initialiser", "initializer", INITIALISERS),
            ("regulariser", "regularizer", REGULARISERS),
            ("constraint", "constraint", CONSTRAINTS),
        ):
            value = given.get(f"{prefix}_{kind}")
            if value is not None:
                words[f"{theirs}_{spelled}"] = named(kind, value, known)
    return words


def filled(made: L, layer: Layer) -> L:
    """The layer made, with copies of the other's parameters, which have the same names here."""
    for name, parameter in layer.parameters().items():
        made.parameters()[name].value = parameter.value.copy()
    return made


def in_a_row(found: list[Layer]) -> Layer:
    """The one layer, or a Sequential of several."""
    return found[0] if len(found) == 1 else Sequential(found)
