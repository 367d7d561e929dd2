"""The convolutions of brainpy.dnn: ``from convref.dialects import brainpy as dnn``.

Layers with channels last, with the words, defaults, weight shapes, initialisers and errors of
brainpy 2.8. The initialisers of brainpy.init and the modes of brainpy.math are here too. What
brainpy's words mean in convref's:

| brainpy                      | convref                                                           |
| ---------------------------- | ----------------------------------------------------------------- |
| stride, strides              | stride                                                            |
| padding                      | padding, "SAME" unless given; another of transposed convolutions  |
| lhs_dilation, rhs_dilation   | input_dilation, dilation                                          |
| w_initializer, b_initializer | weight_initialiser, bias_initialiser; arrays as well              |
| b_initializer=None           | bias=False                                                        |
| mode                         | trainable                                                         |
"""

from convref.dialects.brainpy.convolutions import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    CountError,
    GeneralConv,
    GeneralConvTranspose,
)
from convref.dialects.brainpy.objects import (
    AssertedError,
    BatchingMode,
    Constant,
    Initializer,
    KaimingNormal,
    KaimingUniform,
    LecunNormal,
    LecunUniform,
    Mode,
    NonBatchingMode,
    Normal,
    OneInit,
    Orthogonal,
    TrainingMode,
    Uniform,
    VarianceScaling,
    XavierNormal,
    XavierUniform,
    ZeroInit,
    batching_mode,
    nonbatching_mode,
    training_mode,
)
from convref.dialects.brainpy.translation import from_layer, get_config

Conv1D, Conv2D, Conv3D = Conv1d, Conv2d, Conv3d

__all__ = [
    "AssertedError",
    "BatchingMode",
    "Constant",
    "Conv1D",
    "Conv1d",
    "Conv2D",
    "Conv2d",
    "Conv3D",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CountError",
    "GeneralConv",
    "GeneralConvTranspose",
    "Initializer",
    "KaimingNormal",
    "KaimingUniform",
    "LecunNormal",
    "LecunUniform",
    "Mode",
    "NonBatchingMode",
    "Normal",
    "OneInit",
    "Orthogonal",
    "TrainingMode",
    "Uniform",
    "VarianceScaling",
    "XavierNormal",
    "XavierUniform",
    "ZeroInit",
    "batching_mode",
    "from_layer",
    "get_config",
    "nonbatching_mode",
    "training_mode",
]
