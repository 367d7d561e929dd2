"""R's interface to Keras: ``from convref.dialects import keras_r``.

The functions layer_conv_2d and so on, over the layers of the dialect `keras`. The first argument,
`object`, says what is asked for: with None the layer is returned, with a Sequential the model that
it was added to, with an array the output. Words, their order and their defaults are those of the R
package keras 2.13, and those that it lacks follow; None is NULL, lists and tuples are c(...).

Its recurrent layers begin with the recurrent activation "hard_sigmoid", which here is that of
Keras 3, ``min(max(x / 6 + 1/2, 0), 1)``; Keras 2 had a slope of 0.2.

>>> model = keras_model_sequential()
>>> model = layer_conv_2d(model, 32, (3, 3), input_shape=(128, 128, 3))
>>> model = layer_upsampling_2d(model, size=(2, 2))
>>> model.compute_output_shape((None, 128, 128, 3))
(None, 252, 252, 32)
>>> layer_cropping_1d([[[1], [2], [3]]], cropping=1).tolist()
[[[2]]]
"""

import inspect
from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Any

from convref.dialects import keras
from convref.errors import WordError, verb
from convref.layer import Layer

EVERY = ("input_shape", "batch_input_shape", "batch_size", "dtype", "name", "trainable", "weights")
"""The words of every layer, which R leaves out where they are NULL."""
FRAMED = ("batch_size", "name", "trainable", "weights")
"""Those that layers without weights take first."""
RECURRENT = (
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "dropout",
    "recurrent_dropout",
    *FRAMED,
    "input_shape",
)
"""What follows in R after the constraints of a recurrent layer."""


class Required:
    """What has no default, though `object`, which comes before it, may be missing."""

    def __repr__(self) -> str:
        return "required"


REQUIRED = Required()


def composed(
    name: str,
    kind: Callable[..., Any],
    tail: Sequence[str] = EVERY,
    like: Callable[..., Any] | None = None,
    **defaults: Any,
) -> Callable[..., Any]:
    """R's function for a class of layers.

    Its words are those of the class, or of another that it is ``like``, but for the ``tail``, which
    follows, and for whatever R does not list.
    """
    own = {
        word: REQUIRED if parameter.default is Parameter.empty else parameter.default
        for word, parameter in inspect.signature(like or kind).parameters.items()
        if word != "kwargs"
    }
    known = {"object": None, **own, **dict.fromkeys(EVERY), **defaults}
    last = [*tail, *(word for word in (*EVERY, *UNLISTED.get(name, ())) if word not in tail)]
    order = [word for word in known if word not in last] + last
    for word in tail:
        known[word] = own.get(word)
    signature = inspect.Signature(
        [Parameter(word, Parameter.POSITIONAL_OR_KEYWORD, default=known[word]) for word in order]
    )

    def function(*args: Any, **words: Any) -> Any:
        given = defaults | signature.bind(*args, **words).arguments
        target = given.pop("object", None)
        layer = kind(**{w: v for w, v in given.items() if v is not None or w not in EVERY})
        if target is None:
            return layer
        if isinstance(target, keras.Sequential):
            target.add(layer)
            return target
        if isinstance(target, Layer):
            raise WordError(
                f"`object` (a {type(target).__name__}) is a layer, not a model",
                "give a model, an array or None",
            )
        return layer(target)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"R's function for `{kind.__name__}` of the dialect `keras`."
    function.__signature__ = signature  # type: ignore[attr-defined]
    return verb(function)


UNLISTED = {
    "layer_zero_padding_1d": ("data_format",),
    "layer_conv_lstm_1d": ("seed",),
    "layer_conv_lstm_2d": ("seed",),
    "layer_conv_lstm_3d": ("seed",),
}
"""Words of Keras 3 that the R package does not list."""


def keras_model_sequential(
    layers: Sequence[Layer] | None = None,
    name: str | None = None,
    input_shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
) -> keras.Sequential:
    """An empty model, or one of these layers, told the shape of its input if there is one."""
    model = keras.Sequential(name=name)
    if input_shape is not None:
        model.add(keras.Input(input_shape, batch_size))
    for layer in layers or ():
        model.add(layer)
    return model


layer_conv_1d = composed("layer_conv_1d", keras.Conv1D, data_format="channels_last")
layer_conv_2d = composed("layer_conv_2d", keras.Conv2D)
layer_conv_3d = composed("layer_conv_3d", keras.Conv3D)
layer_conv_1d_transpose = composed("layer_conv_1d_transpose", keras.Conv1DTranspose)
layer_conv_2d_transpose = composed("layer_conv_2d_transpose", keras.Conv2DTranspose)
layer_conv_3d_transpose = composed(
    "layer_conv_3d_transpose", keras.Conv3DTranspose, like=keras.Conv2DTranspose
)
layer_conv_lstm_1d, layer_conv_lstm_2d, layer_conv_lstm_3d = (
    composed(name, kind, RECURRENT, recurrent_activation="hard_sigmoid")
    for name, kind in (
        ("layer_conv_lstm_1d", keras.ConvLSTM1D),
        ("layer_conv_lstm_2d", keras.ConvLSTM2D),
        ("layer_conv_lstm_3d", keras.ConvLSTM3D),
    )
)
layer_depthwise_conv_1d = composed("layer_depthwise_conv_1d", keras.DepthwiseConv1D)
layer_depthwise_conv_2d = composed("layer_depthwise_conv_2d", keras.DepthwiseConv2D)
layer_separable_conv_1d = composed(
    "layer_separable_conv_1d", keras.SeparableConv1D, data_format="channels_last"
)
layer_separable_conv_2d = composed("layer_separable_conv_2d", keras.SeparableConv2D)
layer_cropping_1d = composed("layer_cropping_1d", keras.Cropping1D, FRAMED)
layer_cropping_2d = composed("layer_cropping_2d", keras.Cropping2D, FRAMED)
layer_cropping_3d = composed("layer_cropping_3d", keras.Cropping3D, FRAMED)
layer_upsampling_1d = composed("layer_upsampling_1d", keras.UpSampling1D, FRAMED)
layer_upsampling_2d = composed("layer_upsampling_2d", keras.UpSampling2D, FRAMED)
layer_upsampling_3d = composed("layer_upsampling_3d", keras.UpSampling3D, FRAMED)
layer_zero_padding_1d = composed("layer_zero_padding_1d", keras.ZeroPadding1D, FRAMED)
layer_zero_padding_2d = composed("layer_zero_padding_2d", keras.ZeroPadding2D, FRAMED)
layer_zero_padding_3d = composed("layer_zero_padding_3d", keras.ZeroPadding3D, FRAMED)
