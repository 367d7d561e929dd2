"""Keras 3: ``from convref.dialects import keras as layers``.

Layers take Keras's words in Keras's order and give what Keras gives: channels last at first,
kernels ``(*kernel, C, K)`` in get_weights and set_weights, its initialisers with its fans, its
output sizes, its automatic names, and a bare call is inference. They are layers of convref as well:
`spec`, `weight`, `parameters()` and `backward` are those of convref.layers, in its own layouts.

Where Keras 3 no longer takes what its documents tell of Keras 2 (batch_input_shape, batch_size,
weights, more than one batch axis), that works here. Of what Keras has, mixed dtypes and masks of
time steps are left out, and a plain Python function as activation or regularizer has no gradient.
"""

from convref.dialects.keras.conv import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    Convolution1D,
    Convolution1DTranspose,
    Convolution2D,
    Convolution2DTranspose,
    Convolution3D,
    Convolution3DTranspose,
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
    SeparableConvolution1D,
    SeparableConvolution2D,
)
from convref.dialects.keras.conv_lstm import ConvLSTM1D, ConvLSTM2D, ConvLSTM3D
from convref.dialects.keras.reshaping import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from convref.dialects.keras.sequential import Input, InputLayer, Sequential
from convref.dialects.keras.translation import from_layer, get_config
from convref.dialects.keras.words import clear_session, set_random_seed

__all__ = [
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "Convolution1D",
    "Convolution1DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Convolution3D",
    "Convolution3DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Input",
    "InputLayer",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "Sequential",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "clear_session",
    "from_layer",
    "get_config",
    "set_random_seed",
]
