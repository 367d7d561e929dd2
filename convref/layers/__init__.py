"""Layers: small classes, forward and backward.

Every layer is called, ``y = layer(x)``, and goes back, ``dx = layer.backward(dy)``; then each of
``layer.parameters()`` has its gradient. `convref.layer` tells what they share.
"""

from convref.activations import ReLU
from convref.layer import Layer, Parameter
from convref.layers.containers import Residual, Sequential
from convref.layers.conv import Conv, Conv1d, Conv2d, Conv3d

__all__ = [
    "Conv",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "Layer",
    "Parameter",
    "ReLU",
    "Residual",
    "Sequential",
]
