"""Convolutions and their gradients as functions of arrays.

Shapes: ``x`` is ``(..., C, *spatial)``, or ``(..., *spatial, C)`` with layout="channels_last",
after any number of batch axes; ``w`` is ``(K, C/groups, *kernel)`` in either layout. The rank, the
number of spatial axes, is ``w.ndim - 2``. Every function cross-correlates, as deep-learning
frameworks do: the kernel is not flipped.

The geometry words, which every function takes by keyword:

| word             | meaning                                                                      |
| ---------------- | ---------------------------------------------------------------------------- |
| `stride`         | steps between output positions                                               |
| `padding`        | "valid", "same", "same_lower", "causal", an int, an int or (lo, hi) per axis |
| `dilation`       | steps between kernel taps                                                    |
| `input_dilation` | steps between input positions, with zeros in between                         |
| `groups`         | blocks of channels that are convolved apart                                  |
| `padding_mode`   | "zeros", "reflect", "replicate" or "circular"                                |
| `layout`         | "channels_first" or "channels_last"                                          |

and the words that say how to compute: ``accumulate`` the dtype that products are summed in (floats
of 16 and 8 bits: float32; integers: int64; others: their own), ``out`` an array for the result,
``backend`` one of `backends()`, or "fft" for large kernels, or "winograd" for 3 x 3, ``threads``
for the back ends `numba` and `winograd`.

The result has the promoted dtype of the two arrays, and integers wrap in it as NumPy's do. Complex
arrays are never conjugated: the gradients are transposes, not adjoints. All raise WordError,
ShapeError, DtypeError or TooLargeError, which are ValueErrors, TypeErrors and MemoryErrors.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, Unpack, cast

from numpy.typing import ArrayLike, DTypeLike, NDArray

from convref import engine, shapes
from convref.checks import check_channels, check_transposed_channels, check_transposed_size, rank_of
from convref.dtypes import as_array, optional_array
from convref.engine import Options
from convref.errors import ShapeError, WordError, shown, verb
from convref.geometry import transposed_size
from convref.integers import kernel_sizes, per_axis
from convref.padding import Padding
from convref.spec import Axes, ConvSpec, Words

Array = NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])


@verb
def conv(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: Axes = 1,
    padding: Padding = "valid",
    dilation: Axes = 1,
    input_dilation: Axes = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    layout: str = "channels_first",
    accumulate: DTypeLike | None = None,
    out: Array | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Array:
    """Convolve: ``y[n, k, o] = bias[k] + sum over c, t of w[k, c, t] * x[n, c, o*s + t*d - lo]``.

    ``x (..., C, *input)``, ``w (K, C/groups, *kernel)``, ``bias (K,)`` give
    ``(..., K, *output)`` with ``output = (lo + input + hi - (kernel - 1)*d - 1) // s + 1``.
    Zero padding is literal, so an infinite weight over padding gives NaN.

    >>> conv([[1, 2, 3, 4]], [[[1, 0, -1]]])
    array([[-2, -2]])
    >>> conv([[1, 2, 3, 4]], [[[1, 0, -1]]], stride=2, padding="same")
    array([[-2,  3]])

    The arithmetic: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning",
    https://arxiv.org/abs/1603.07285.
    """
    x, w = as_array("x", x), as_array("w", w)
    spec = ConvSpec.of(
        rank_of("w", w.shape),
        stride=stride,
        padding=padding,
        dilation=dilation,
        input_dilation=input_dilation,
        groups=groups,
        padding_mode=padding_mode,
        layout=layout,
    )
    return engine.forward(
        x, w, optional_array("bias", bias), spec, Options(accumulate, out, backend, threads)
    )


@verb
def conv_transpose(
    x: ArrayLike,
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
    accumulate: DTypeLike | None = None,
    out: Array | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Array:
    """Transpose of ``conv`` with the same words: its input gradient, used forward.

    ``x (..., C_in, *size)``, ``w (C_in, C_out/groups, *kernel)``, ``bias (C_out,)`` give
    ``(..., C_out, *output)``. ``stride`` output sizes share one input size; ``output_padding``
    counts up from the smallest, ``output_size`` names one.

    >>> conv_transpose([[1, 2]], [[[1, 10, 100]]], stride=2)
    array([[  1,  10, 102,  20, 200]])
    >>> conv_transpose([[1, 2]], [[[1, 10, 100]]], stride=2, output_size=6)
    array([[  1,  10, 102,  20, 200,   0]])
    """
    x, w = as_array("x", x), as_array("w", w)
    spec = ConvSpec.of(
        rank_of("w", w.shape),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        layout=layout,
    )
    _, channels, size = shapes.sizes("x", x.shape, spec)
    check_transposed_channels(channels, x.shape, w.shape)
    chosen = grown_size(size, w.shape[2:], output_padding, output_size, spec, stride)
    return engine.input_grad(
        x,
        w,
        optional_array("bias", bias),
        chosen,
        spec,
        Options(accumulate, out, backend, threads),
        name="x",
    )


def grown_size(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    output_padding: Axes,
    output_size: Axes | None,
    spec: ConvSpec,
    stride: Axes,
) -> tuple[int, ...]:
    """The output sizes of a transposed convolution of inputs of these sizes, checked.

    ``stride`` is what the user wrote, for the message.
    """
    smallest = transposed_size(spec, size, kernel)
    chosen = chosen_size(smallest, output_padding, output_size, spec, stride)
    check_transposed_size(chosen, smallest, size, spec)
    return chosen


def chosen_size(
    smallest: tuple[int, ...],
    output_padding: Axes,
    output_size: Axes | None,
    spec: ConvSpec,
    stride: Axes,
) -> tuple[int, ...]:
    """The sizes that a user picks among those that share one input size, by either word."""
    extra = per_axis("output_padding", output_padding, spec.rank, minimum=0)
    if output_size is not None:
        if any(extra):
            raise WordError(
                f"`output_padding` (={shown(output_padding)}) and `output_size` "
                f"(={shown(output_size)}) "
                "both choose the output size",
                "give one of them",
            )
        return per_axis("output_size", output_size, spec.rank, minimum=0)
    if any(more >= step for more, step in zip(extra, spec.stride, strict=True)):
        raise WordError(
            f"`output_padding` (={shown(output_padding)}) must be smaller than `stride` "
            f"(={shown(stride)})",
            "only `stride` output sizes share one input size",
        )
    return tuple(length + more for length, more in zip(smallest, extra, strict=True))


@verb
def conv_input_grad(
    dy: ArrayLike,
    w: ArrayLike,
    input_size: Axes,
    *,
    accumulate: DTypeLike | None = None,
    out: Array | None = None,
    backend: str | None = None,
    threads: int | None = None,
    **words: Unpack[Words],
) -> Array:
    """Gradient of ``conv`` with respect to x: ``dx (..., C, *input_size)``.

    ``dx[n, c, i] = sum over k and all (o, t) with o*s + t*d - lo = i of w[k, c, t] * dy[n, k, o]``,
    for ``dy (..., K, *output)``, ``w (K, C/groups, *kernel)`` and the spatial ``input_size``.

    >>> conv_input_grad([[1, 1]], [[[1, 0, -1]]], 4)
    array([[ 1,  1, -1, -1]])
    """
    dy, w = as_array("dy", dy), as_array("w", w)
    spec = ConvSpec.of(rank_of("w", w.shape), **words)
    size = per_axis("input_size", input_size, spec.rank, minimum=0)
    options = Options(accumulate, out, backend, threads)
    return engine.input_grad(dy, w, None, size, spec, options)


@verb
def conv_weight_grad(
    x: ArrayLike,
    dy: ArrayLike,
    kernel_size: Sequence[int],
    *,
    accumulate: DTypeLike | None = None,
    out: Array | None = None,
    backend: str | None = None,
    threads: int | None = None,
    **words: Unpack[Words],
) -> Array:
    """Gradient of ``conv`` with respect to w: ``dw (K, C/groups, *kernel_size)``.

    ``dw[k, c, t] = sum over n, o of dy[n, k, o] * x[n, c, o*s + t*d - lo]``, for
    ``x (..., C, *input)`` and ``dy (..., K, *output)``. ``kernel_size`` has one size per axis.

    >>> conv_weight_grad([[1, 2, 3, 4]], [[1, 1]], (3,))
    array([[[3, 5, 7]]])
    """
    x, dy = as_array("x", x), as_array("dy", dy)
    size = kernel_sizes(kernel_size)
    spec = ConvSpec.of(len(size), **words)
    return engine.weight_grad(x, dy, size, spec, Options(accumulate, out, backend, threads))


@verb
def conv_vjp(
    x: ArrayLike,
    w: ArrayLike,
    dy: ArrayLike,
    *,
    accumulate: DTypeLike | None = None,
    backend: str | None = None,
    threads: int | None = None,
    **words: Unpack[Words],
) -> tuple[Array, Array, Array]:
    """All three gradients of ``conv``: ``(dx, dw, db)``, with ``db[k]`` the sum of ``dy[:, k]``.

    >>> dx, dw, db = conv_vjp([[1, 2, 3, 4]], [[[1, 0, -1]]], [[1, 1]])
    >>> dx, dw, db
    (array([[ 1,  1, -1, -1]]), array([[[3, 5, 7]]]), array([2]))
    """
    x, w, dy = as_array("x", x), as_array("w", w), as_array("dy", dy)
    spec = ConvSpec.of(rank_of("w", w.shape), **words)
    options = Options(accumulate, None, backend, threads)
    _, channels, size = shapes.sizes("x", x.shape, spec)
    check_channels(channels, x.shape, w.shape, spec)
    dw = engine.weight_grad(x, dy, w.shape[2:], spec, options)
    dx = engine.input_grad(dy, w, None, size, spec, options)
    return dx, dw, engine.bias_grad(dy, spec, options)


def ranked(function: F, name: str, rank: int) -> F:
    """The function under a name that says the rank, and checks it."""

    @wraps(function)
    def checked(x: ArrayLike, w: ArrayLike, *args: Any, **words: Any) -> Array:
        weights = as_array("w", w)
        if weights.ndim != rank + 2:
            raise ShapeError(
                f"`w` (shape {weights.shape}) has {weights.ndim - 2} kernel axes, not {rank}",
                f"give weights of {rank + 2} axes, or use `{function.__name__}` for any rank",
            )
        result: Array = function(x, weights, *args, **words)
        return result

    checked.__name__ = checked.__qualname__ = name
    checked.__doc__ = f"`{function.__name__}` with {rank} spatial axes; other ranks are refused."
    return cast(F, verb(checked))


conv1d, conv2d, conv3d = (ranked(conv, f"conv{rank}d", rank) for rank in (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = (
    ranked(conv_transpose, f"conv_transpose{rank}d", rank) for rank in (1, 2, 3)
)
