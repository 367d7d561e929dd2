"""PyTorch's convolutions: ``from convref.dialects import torch as nn``, or ``as F``.

Names, argument order, defaults, weight shapes, first weights and errors are those of PyTorch 2.13,
on NumPy arrays: the layers ``Conv2d``, ``ConvTranspose2d``, ``LazyConv2d`` and so on, ``Unfold``
and ``Fold``; the functions of torch.nn.functional, ``conv2d`` and so on; those of torch.nn.grad,
``conv2d_input`` and ``conv2d_weight``; and ``manual_seed``. ``nn.functional`` and ``nn.grad`` are
this module as well.

What differs from convref's own words:

- channels are first, after one batch axis or none;
- nothing is converted: input, weights and bias have one dtype. A layer is of float32 unless told
  otherwise, while np.ones and the like make float64;
- padding is the same before and after; "same" is for strides of 1;
- "reflect" reaches less far than the input is long, "circular" just as far;
- what PyTorch refuses with a RuntimeError, ValueError, TypeError or NotImplementedError is refused
  with an error that is of that class and of convref's. Words that no call could pass are refused
  when a layer is made.

What differs from PyTorch: numbers are drawn by NumPy, so a seed gives other bits. Layers go back by
``layer.backward(dy)``; where they are complex, that is the transpose, which PyTorch conjugates.
``parameters()`` is a dictionary by name, and ``state_dict()`` holds copies.

>>> import numpy as np
>>> from convref.dialects import torch as nn
>>> layer = nn.Conv2d(16, 33, (3, 5), stride=(2, 1), padding=(4, 2), dilation=(3, 1))
>>> layer(np.ones((20, 16, 50, 10), np.float32)).shape
(20, 33, 26, 10)
"""

import sys

from convref.dialects.torch.convolutions import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from convref.dialects.torch.folds import Fold, Unfold
from convref.dialects.torch.functions import (
    conv1d,
    conv1d_input,
    conv1d_weight,
    conv2d,
    conv2d_input,
    conv2d_weight,
    conv3d,
    conv3d_input,
    conv3d_weight,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    fold,
    unfold,
)
from convref.dialects.torch.lazy import (
    LazyConv1d,
    LazyConv2d,
    LazyConv3d,
    LazyConvTranspose1d,
    LazyConvTranspose2d,
    LazyConvTranspose3d,
)
from convref.dialects.torch.settings import manual_seed
from convref.dialects.torch.translation import from_layer, get_config

functional = grad = sys.modules[__name__]

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Fold",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "Unfold",
    "conv1d",
    "conv1d_input",
    "conv1d_weight",
    "conv2d",
    "conv2d_input",
    "conv2d_weight",
    "conv3d",
    "conv3d_input",
    "conv3d_weight",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "fold",
    "from_layer",
    "functional",
    "get_config",
    "grad",
    "manual_seed",
    "unfold",
]
