"""Layers: small classes, forward and backward.

Every layer is called, ``y = layer(x)``, and goes back, ``dx = layer.backward(dy)``; then each of
``layer.parameters()`` has its gradient. `convref.layer` tells what they share.
"""

from convref.activations import (
    ELU,
    GELU,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)  # fmt: skip
from convref.layer import Layer, Parameter
from convref.layers.containers import Residual, Sequential
from convref.layers.conv import Conv, Conv1d, Conv2d, Conv3d
from convref.layers.conv_lstm import ConvLSTM, ConvLSTM1d, ConvLSTM2d, ConvLSTM3d
from convref.layers.conv_transpose import (
    ConvTranspose,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)  # fmt: skip
from convref.layers.depthwise import (
    DepthwiseConv,
    DepthwiseConv1d,
    DepthwiseConv2d,
    DepthwiseConv3d,
    SeparableConv,
    SeparableConv1d,
    SeparableConv2d,
    SeparableConv3d,
)  # fmt: skip
from convref.layers.dropout import Dropout
from convref.layers.linear import Linear
from convref.layers.norm import BatchNorm
from convref.layers.pooling import (
    AvgPool,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    GlobalAvgPool,
    MaxPool,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)  # fmt: skip
from convref.layers.shape import (
    Crop,
    Crop1d,
    Crop2d,
    Crop3d,
    Flatten,
    ZeroPad,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)  # fmt: skip
from convref.layers.upsample import Upsample, Upsample1d, Upsample2d, Upsample3d

__all__ = [
    "ELU",
    "GELU",
    "AvgPool",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm",
    "Conv",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvLSTM",
    "ConvLSTM1d",
    "ConvLSTM2d",
    "ConvLSTM3d",
    "ConvTranspose",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Crop",
    "Crop1d",
    "Crop2d",
    "Crop3d",
    "DepthwiseConv",
    "DepthwiseConv1d",
    "DepthwiseConv2d",
    "DepthwiseConv3d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "Layer",
    "LeakyReLU",
    "Linear",
    "MaxPool",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Parameter",
    "ReLU",
    "Residual",
    "SeparableConv",
    "SeparableConv1d",
    "SeparableConv2d",
    "SeparableConv3d",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "Upsample",
    "Upsample1d",
    "Upsample2d",
    "Upsample3d",
    "ZeroPad",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]
