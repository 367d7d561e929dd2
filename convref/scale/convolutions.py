"""Convolutions of Dask arrays and their gradients: the functions of `convref`, with chunks."""

from collections.abc import Sequence
from typing import Any, Unpack

import dask.array as da
from numpy.typing import ArrayLike, DTypeLike

from convref import shapes
from convref.checks import check_transposed_channels, rank_of
from convref.engine import Options
from convref.errors import verb
from convref.functional import grown_size
from convref.integers import kernel_sizes, per_axis
from convref.padding import Padding
from convref.scale.graph import as_dask, check_array
from convref.scale.operators import forward, input_grad, weight_grad
from convref.spec import Axes, ConvSpec, Words


@verb
def conv(
    x: da.Array,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    chunks: Any = None,
    accumulate: DTypeLike | None = None,
    backend: str | None = None,
    threads: int = 1,
    **words: Unpack[Words],
) -> da.Array:
    """`convref.conv` of a Dask array: ``y[n, k, o] = sum of w[k, c, t] * x[n, c, o*s + t*d - lo]``.

    ``x (..., C, *input)``, ``w (K, C/groups, *kernel)``, ``bias (K,)`` give the Dask array
    ``(..., K, *output)``. Its ``chunks`` are what `dask.array.rechunk` takes; unless given, they
    end where those of x do, with all K channels, and are halved where a task would need more than
    Dask's setting `array.chunk-size`. ``threads`` are those of one task. The geometry words and
    ``accumulate`` are those of `convref.conv`, ``backend`` the one that is chosen now.

    >>> x = da.ones((2, 100), chunks=(1, 30))
    >>> y = conv(x, [[[1, 2, 3], [4, 5, 6]]], stride=2, chunks={1: 20})
    >>> y.chunks, y.compute()[0, :3]
    (((1,), (20, 20, 9)), array([21., 21., 21.]))

    Raises DtypeError where x is no Dask array, ShapeError where its sizes are unknown, WordError
    for chunks that don't fit, and the errors of `convref.conv`.
    """
    check_array("x", x)
    weights, added = as_dask("w", w), None if bias is None else as_dask("bias", bias)
    spec = ConvSpec.of(rank_of("w", weights.shape), **words)
    return forward(x, weights, added, spec, Options(accumulate, None, backend, threads), chunks)


@verb
def conv_transpose(
    x: da.Array,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: Axes = 1,
    padding: Padding = "valid",
    output_padding: Axes = 0,
    output_size: Axes | None = None,
    dilation: Axes = 1,
    groups: int = 1,
    layout: str = "channels_first",
    chunks: Any = None,
    accumulate: DTypeLike | None = None,
    backend: str | None = None,
    threads: int = 1,
) -> da.Array:
    """`convref.conv_transpose` of a Dask array: the input gradient of `conv`, used forward.

    ``x (..., C_in, *size)``, ``w (C_in, C_out/groups, *kernel)``, ``bias (C_out,)`` give the Dask
    array ``(..., C_out, *output)``; ``chunks``, ``backend`` and ``threads`` are as in `conv`.

    >>> x = da.arange(4, chunks=3)[None]
    >>> y = conv_transpose(x, [[[1, 10, 100]]], stride=2)
    >>> y.chunks, y.compute()
    (((1,), (6, 3)), array([[  0,   0,   1,  10, 102,  20, 203,  30, 300]]))

    Raises the errors of `conv` and of `convref.conv_transpose`.
    """
    check_array("x", x)
    weights, added = as_dask("w", w), None if bias is None else as_dask("bias", bias)
    spec = ConvSpec.of(
        rank_of("w", weights.shape),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        layout=layout,
    )
    _, channels, size = shapes.sizes("x", x.shape, spec)
    check_transposed_channels(channels, x.shape, weights.shape)
    chosen = grown_size(size, weights.shape[2:], output_padding, output_size, spec, stride)
    options = Options(accumulate, None, backend, threads)
    return input_grad(x, weights, added, chosen, spec, options, chunks, name="x")


@verb
def conv_input_grad(
    dy: da.Array,
    w: ArrayLike,
    input_size: Axes,
    *,
    chunks: Any = None,
    accumulate: DTypeLike | None = None,
    backend: str | None = None,
    threads: int = 1,
    **words: Unpack[Words],
) -> da.Array:
    """`convref.conv_input_grad` of a Dask array: ``dx (..., C, *input_size)``.

    ``dx[n, c, i] = sum over k and all (o, t) with o*s + t*d - lo = i of w[k, c, t] * dy[n, k, o]``,
    for ``dy (..., K, *output)``, ``w (K, C/groups, *kernel)`` and the spatial ``input_size``;
    ``chunks``, ``backend`` and ``threads`` are as in `conv`.

    >>> conv_input_grad(da.ones((1, 2), chunks=1), [[[1, 0, -1]]], 4).compute()
    array([[ 1.,  1., -1., -1.]])

    Raises the errors of `conv` and of `convref.conv_input_grad`; WordError for the back end
    "exact" with padding that is not zeros, for that takes sums of rounded blocks.
    """
    check_array("dy", dy)
    weights = as_dask("w", w)
    spec = ConvSpec.of(rank_of("w", weights.shape), **words)
    size = per_axis("input_size", input_size, spec.rank, minimum=0)
    options = Options(accumulate, None, backend, threads)
    return input_grad(dy, weights, None, size, spec, options, chunks)


@verb
def conv_weight_grad(
    x: da.Array,
    dy: da.Array,
    kernel_size: Sequence[int],
    *,
    chunks: Any = None,
    accumulate: DTypeLike | None = None,
    backend: str | None = None,
    threads: int = 1,
    **words: Unpack[Words],
) -> da.Array:
    """`convref.conv_weight_grad` of Dask arrays: ``dw (K, C/groups, *kernel_size)``.

    ``dw[k, c, t] = sum over n, o of dy[n, k, o] * x[n, c, o*s + t*d - lo]``, for
    ``x (..., C, *input)`` and ``dy (..., K, *output)``: for each chunk of dy first, and then over
    chunks in a tree that depends on nothing but their number. Sums are rounded once, at its root.
    ``chunks`` are those of dw, by default of K as in dy; ``backend`` and ``threads`` are as in
    `conv`.

    >>> x, dy = da.arange(1, 5, chunks=3)[None], da.ones((1, 2), dtype=int, chunks=1)
    >>> conv_weight_grad(x, dy, (3,)).compute()
    array([[[3, 5, 7]]])

    Raises the errors of `conv` and of `convref.conv_weight_grad`; WordError for the back end
    "exact" where dy has several chunks, for it would add up rounded sums.
    """
    check_array("x", x)
    check_array("dy", dy)
    size = kernel_sizes(kernel_size)
    spec = ConvSpec.of(len(size), **words)
    return weight_grad(x, dy, size, spec, Options(accumulate, None, backend, threads), chunks)
