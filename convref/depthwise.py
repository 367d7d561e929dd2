"""Depthwise and separable convolutions: one group for each channel.

Shapes and words are those of convref.functional, but for `groups`, which is no word here.
"""

from collections.abc import Container
from dataclasses import replace
from typing import Any, Unpack

from numpy.typing import ArrayLike, DTypeLike, NDArray

from convref import engine, shapes
from convref.checks import rank_of
from convref.dtypes import as_array, optional_array
from convref.engine import Options
from convref.errors import ShapeError, WordError, verb
from convref.spec import ConvSpec, Words

Array = NDArray[Any]


@verb
def depthwise_conv(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    accumulate: DTypeLike | None = None,
    out: Array | None = None,
    backend: str | None = None,
    threads: int | None = None,
    **words: Unpack[Words],
) -> Array:
    """Convolve each channel with kernels of its own: ``conv`` with one group per channel.

    ``w (C*M, 1, *kernel)``: output channel ``c*M + m`` is filter m of input channel c, M the depth
    multiplier.

    >>> depthwise_conv([[1, 2, 3], [10, 20, 30]], [[[1, 1]], [[1, -1]]])
    array([[  3,   5],
           [-10, -10]])
    """
    x, w = as_array("x", x), as_array("w", w)
    spec = depthwise_spec(x, w, words)
    options = Options(accumulate, out, backend, threads)
    return engine.forward(x, w, optional_array("bias", bias), spec, options)


@verb
def separable_conv(
    x: ArrayLike,
    depthwise: ArrayLike,
    pointwise: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    accumulate: DTypeLike | None = None,
    out: Array | None = None,
    backend: str | None = None,
    threads: int | None = None,
    **words: Unpack[Words],
) -> Array:
    """Depthwise convolution, then a pointwise one that mixes the channels.

    ``depthwise (C*M, 1, *kernel)``, ``pointwise (K, C*M, 1, ..., 1)``, ``bias (K,)``. The words go
    to the depthwise step; its output is rounded to the result's dtype in between.

    >>> separable_conv([[1, 2, 3], [10, 20, 30]], [[[1, 1]], [[1, -1]]], [[[1], [2]]])
    array([[-17, -15]])
    """
    x, w = as_array("x", x), as_array("depthwise", depthwise)
    mixing = as_array("pointwise", pointwise)
    spec = depthwise_spec(x, w, words, name="depthwise")
    if mixing.shape[1:] != (len(w), *[1] * spec.rank):
        raise ShapeError(
            f"`pointwise` has shape {mixing.shape}, and the depthwise step gives {len(w)} channels "
            f"with {spec.rank} spatial axes",
            f"give it the shape (K, {', '.join(map(str, (len(w), *[1] * spec.rank)))})",
        )
    middle = engine.forward(x, w, None, spec, Options(accumulate, None, backend, threads))
    mixer = ConvSpec.of(spec.rank, layout=spec.layout)
    options = Options(accumulate, out, backend, threads)
    return engine.forward(middle, mixing, optional_array("bias", bias), mixer, options)


def refuse_groups(words: Container[str]) -> None:
    """Check that the word `groups`, which has no choice here, is not given."""
    if "groups" in words:
        raise WordError("`groups` is always the number of channels here", "leave the word out")


def depthwise_spec(x: Array, w: Array, words: Words, name: str = "w") -> ConvSpec:
    """The spec with one group per channel of x."""
    refuse_groups(words)
    plain = ConvSpec.of(rank_of(name, w.shape), **words)
    channels = shapes.sizes("x", x.shape, plain)[1]
    if w.shape[1] != 1 or not channels or len(w) % channels:
        raise ShapeError(
            f"`{name}` (shape {w.shape}) does not give each of the {channels} channels of `x` "
            f"(shape {x.shape}) kernels of its own",
            f"give it the shape ({channels}*M, 1, *kernel) for M filters a channel",
        )
    return replace(plain, groups=channels)
