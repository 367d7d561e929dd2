"""Keras's layers that pad, crop and upsample: one batch axis, channels last at first.

Floating-point inputs become the layer's dtype, float32 at first; integers stay what they are.
"""

from typing import Any, Unpack, cast

import numpy as np

from convref import layers
from convref.dialects.keras.layer import KerasLayer
from convref.dialects.keras.layouts import Same
from convref.dialects.keras.settings import regulariser
from convref.dialects.keras.signatures import LayerWords, recorded
from convref.dialects.keras.words import (
    Array,
    KindError,
    dtype_name,
    integral,
    layout_word,
)
from convref.errors import WordError, shown
from convref.integers import per_axis
from convref.layer import cast_to
from convref.layers.shape import Edges
from convref.names import nearest
from convref.padding import Pair
from convref.spec import Axes, ConvSpec
from convref.weighted import Weighted, inexact


class ReshapingWords(LayerWords, total=False):
    """Keywords of the layers of this file."""

    activity_regularizer: Any
    """A penalty on the output, divided by the size of the batch (None)."""


class Reshaping(KerasLayer):
    """What the layers of this file share."""

    known = ReshapingWords
    dtype: np.dtype[Any]
    spec: ConvSpec

    def adopt(self, **normal: Any) -> None:
        name = dtype_name(self.words.get("dtype"))
        self.dtype = np.dtype(name) if integral(name) else inexact(name)
        if "data_format" in self.words:
            normal["data_format"] = self.spec.layout
        given = self.words.get("activity_regularizer")
        self.activity_regulariser = regulariser("activity_regularizer", given, Same())
        super().adopt(**normal)

    def forward(self, x: Array) -> Array:
        y = super().forward(x if x.dtype.kind in "biu" else cast_to(self.dtype, "inputs", x))
        return Weighted.penalised(cast(Any, self), y)

    def gradient(self, dy: Array) -> Array:
        return super().gradient(Weighted.penalised_gradient(cast(Any, self), dy))


class ZeroPadding1D(Reshaping, layers.ZeroPad1d):
    """``keras.layers.ZeroPadding1D``: an int for both ends, or (before, after).

    >>> ZeroPadding1D((1, 2))([[[5], [6]]]).ravel()
    array([0, 5, 6, 0, 0])
    """

    @recorded
    def __init__(
        self,
        padding: int | Pair = 1,
        data_format: str | None = None,
        **kwargs: Unpack[ReshapingWords],
    ) -> None:
        super().__init__([padding], layout=layout_word(data_format), **self.common())
        self.adopt(padding=self.spec.padding[0])


class ZeroPadding2D(Reshaping, layers.ZeroPad2d):
    """``keras.layers.ZeroPadding2D``: an int, or for each axis an int or (before, after)."""

    @recorded
    def __init__(
        self,
        padding: Edges = (1, 1),
        data_format: str | None = None,
        **kwargs: Unpack[ReshapingWords],
    ) -> None:
        super().__init__(padding, layout=layout_word(data_format), **self.common())
        self.adopt(padding=self.spec.padding)


class ZeroPadding3D(Reshaping, layers.ZeroPad3d):
    """``keras.layers.ZeroPadding3D``: an int, or for each axis an int or (before, after)."""

    @recorded
    def __init__(
        self,
        padding: Edges = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Unpack[ReshapingWords],
    ) -> None:
        super().__init__(padding, layout=layout_word(data_format), **self.common())
        self.adopt(padding=self.spec.padding)


class Cropping1D(Reshaping, layers.Crop1d):
    """``keras.layers.Cropping1D``: an int for both ends, or (before, after); channels last."""

    @recorded
    def __init__(self, cropping: int | Pair = (1, 1), **kwargs: Unpack[ReshapingWords]) -> None:
        super().__init__([cropping], layout="channels_last", **self.common())
        self.adopt(cropping=self.amounts[0])


class Cropping2D(Reshaping, layers.Crop2d):
    """``keras.layers.Cropping2D``: an int, or for each axis an int or (before, after)."""

    @recorded
    def __init__(
        self,
        cropping: Edges = ((0, 0), (0, 0)),
        data_format: str | None = None,
        **kwargs: Unpack[ReshapingWords],
    ) -> None:
        super().__init__(cropping, layout=layout_word(data_format), **self.common())
        self.adopt(cropping=self.amounts)


class Cropping3D(Reshaping, layers.Crop3d):
    """``keras.layers.Cropping3D``: an int, or for each axis an int or (before, after)."""

    @recorded
    def __init__(
        self,
        cropping: Edges = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Unpack[ReshapingWords],
    ) -> None:
        super().__init__(cropping, layout=layout_word(data_format), **self.common())
        self.adopt(cropping=self.amounts)


class UpSampling1D(Reshaping, layers.Upsample1d):
    """``keras.layers.UpSampling1D``: each step is repeated; channels last."""

    @recorded
    def __init__(self, size: int = 2, **kwargs: Unpack[ReshapingWords]) -> None:
        if not isinstance(size, int) or isinstance(size, bool):
            raise KindError(f"`size` (={shown(size)}) must be an integer", "such as size=2")
        super().__init__(size, layout="channels_last", **self.common())
        self.adopt()


INTERPOLATIONS = {
    "nearest": "nearest",
    "bilinear": "linear",
    "bicubic": "cubic",
    "lanczos3": "lanczos3",
    "lanczos5": "lanczos5",
}
"""Keras's words for convref's modes."""


class UpSampling2D(Reshaping, layers.Upsample2d):
    """``keras.layers.UpSampling2D``; convref's `scale_factor` is size, `mode` interpolation.

    Integers are interpolated in float64 and rounded, halves to even.

    >>> UpSampling2D((1, 2), interpolation="bilinear")([[[[0.0], [4.0]]]]).ravel()
    array([0., 1., 3., 4.], dtype=float32)
    """

    @recorded
    def __init__(
        self,
        size: Axes = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Unpack[ReshapingWords],
    ) -> None:
        if shown(interpolation, str).lower() not in INTERPOLATIONS:
            raise WordError(
                f"`interpolation` (={shown(interpolation)}) is unknown",
                nearest(interpolation, INTERPOLATIONS),
            )
        super().__init__(
            per_axis("size", size, 2, minimum=1),
            mode=INTERPOLATIONS[interpolation.lower()],
            layout=layout_word(data_format),
            **self.common(),
        )
        self.adopt(size=self.scale_factor, interpolation=interpolation.lower())

    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        if y.dtype == x.dtype or x.dtype.kind not in "iu":
            return y
        limits = np.iinfo(x.dtype)
        return np.clip(np.rint(y), limits.min, limits.max).astype(x.dtype)


class UpSampling3D(Reshaping, layers.Upsample3d):
    """``keras.layers.UpSampling3D``: each position is repeated along each axis."""

    @recorded
    def __init__(
        self,
        size: Axes = (2, 2, 2),
        data_format: str | None = None,
        **kwargs: Unpack[ReshapingWords],
    ) -> None:
        super().__init__(
            per_axis("size", size, 3, minimum=1), layout=layout_word(data_format), **self.common()
        )
        self.adopt(size=self.scale_factor)
