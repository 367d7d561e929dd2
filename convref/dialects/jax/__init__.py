"""The convolutions of jax.lax: ``from convref.dialects import jax as lax``.

Functions of arrays, with the words, the argument order, the casting rules and the empty outputs of
JAX 0.10, and next to `conv_general_dilated` and `conv_transpose` their gradients: what jax.vjp
gives. Where JAX's words differ from those of `convref.conv`:

| JAX                 | convref                                                                    |
| ------------------- | -------------------------------------------------------------------------- |
| lhs, rhs            | x, w                                                                       |
| window_strides      | stride; one integer per axis, never one for all                            |
| padding             | a word in any case, or pairs; never integers                               |
| lhs_dilation        | input_dilation; only with pairs                                            |
| rhs_dilation        | dilation                                                                   |
| feature_group_count | groups                                                                     |
| batch_group_count   | groups of samples, each convolved with its own filters; convref has none   |
| dimension_numbers   | where every axis is, of lhs, rhs and the output; convref knows two layouts |

Three things can't be as in JAX. Arrays keep their dtype, as JAX's do with jax_enable_x64. JAX's
``precision`` is how much an accelerator must keep of float32; all of it is kept here, so whatever
JAX takes as a precision is satisfied. And all arrays are on one device: ``out_sharding`` must be
None.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from convref.dialects.jax.call import (
    Array,
    arranged,
    as_forward,
    backward,
    forward,
    rounded,
    translated,
    turned,
)
from convref.dialects.jax.words import (
    ConvDimensionNumbers,
    LaxError,
    Numbers,
    PaddingError,
    Pads,
    Precision,
    RankError,
    check_precision,
    conv_dimension_numbers,
    entries,
)
from convref.dtypes import as_array, promoted
from convref.errors import verb
from convref.memory import check_fits

__all__ = [
    "ConvDimensionNumbers",
    "LaxError",
    "PaddingError",
    "Precision",
    "RankError",
    "conv",
    "conv_dimension_numbers",
    "conv_general_dilated",
    "conv_general_dilated_local",
    "conv_general_dilated_patches",
    "conv_general_dilated_vjp",
    "conv_transpose",
    "conv_transpose_vjp",
    "conv_with_general_padding",
]


@verb
def conv_general_dilated(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: Pads,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Numbers = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: None = None,
) -> Array:
    """`convref.conv`, with any order of axes, groups of samples and outputs that may be empty.

    ``lhs`` and ``rhs`` have one dtype, and ``preferred_element_type`` is one that is not narrower,
    to which both are converted first. See the table above for the other words.

    >>> import numpy as np
    >>> lhs, rhs = np.ones((2, 9, 9, 3)), np.ones((3, 3, 3, 8))
    >>> numbers = ("NHWC", "HWIO", "NCHW")
    >>> conv_general_dilated(lhs, rhs, (2, 2), "SAME", dimension_numbers=numbers).shape
    (2, 8, 5, 5)
    >>> conv_general_dilated(lhs, rhs, (1, 1), [(-4, -4)] * 2, dimension_numbers=numbers).shape
    (2, 8, 0, 0)

    Raises LaxError, PaddingError and other WordErrors, ShapeError and DtypeError, which are the
    ValueErrors, TypeErrors and RuntimeErrors of JAX.
    """
    return forward(
        translated(
            lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers,
            feature_group_count, batch_group_count, precision, preferred_element_type, out_sharding,
        )
    )  # fmt: skip


@verb
def conv_general_dilated_vjp(
    lhs: ArrayLike,
    rhs: ArrayLike,
    dy: ArrayLike,
    window_strides: Sequence[int],
    padding: Pads,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Numbers = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: None = None,
) -> tuple[Array, Array]:
    """What jax.vjp of `conv_general_dilated` makes of ``dy``: the gradients of lhs and of rhs.

    Each has the shape and the dtype of its array. Complex numbers are not conjugated, and integers
    have gradients too, which JAX refuses.

    >>> conv_general_dilated_vjp([[[1, 2, 3, 4]]], [[[1, 0, -1]]], [[[1, 1]]], (1,), "VALID")
    (array([[[ 1,  1, -1, -1]]]), array([[[3, 5, 7]]]))
    """
    call = translated(
        lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers,
        feature_group_count, batch_group_count, precision, preferred_element_type, out_sharding,
    )  # fmt: skip
    dx, dw = backward(call, as_array("dy", dy))
    lhs, rhs = as_array("lhs", lhs), as_array("rhs", rhs)
    dlhs = arranged(dx.reshape(np.take(lhs.shape, call.numbers.lhs_spec)), call.numbers.lhs_spec)
    drhs = arranged(dw.reshape(np.take(rhs.shape, call.numbers.rhs_spec)), call.numbers.rhs_spec)
    return rounded(dlhs, lhs.dtype), rounded(drhs, rhs.dtype)


@verb
def conv(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: Pads,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """`conv_general_dilated` of lhs (N, C, *input) and rhs (K, C, *kernel).

    >>> conv([[[1, 2, 3, 4]]], [[[1, 0, -1]]], (2,), "SAME")
    array([[[-2,  3]]])
    """
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, precision=precision,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip


@verb
def conv_with_general_padding(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: Pads,
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """`conv` with dilations.

    >>> conv_with_general_padding([[[1, 2, 3]]], [[[1, 10]]], (1,), [(0, 1)], (2,), None)
    array([[[ 1, 20,  2, 30,  3]]])
    """
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, precision=precision,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip


@verb
def conv_transpose(
    lhs: ArrayLike,
    rhs: ArrayLike,
    strides: Sequence[int],
    padding: Pads,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Numbers = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    use_consistent_padding: bool = False,
) -> Array:
    """A convolution of the input spread out by ``strides``, with channels last by default.

    It is `convref.conv_transpose` only with ``transpose_kernel=True``: by default the kernel is
    neither flipped nor are its input and output channels exchanged. "SAME" and "VALID" are those of
    the convolution that it transposes, whose input was the longest that has such an output; pairs
    are what is padded here, or with ``use_consistent_padding=True`` there.

    >>> conv_transpose([[[1], [2]]], [[[1]], [[10]], [[100]]], (2,), "VALID").ravel()
    array([100,  10, 201,  20,   2])
    >>> conv_transpose(
    ...     [[[1], [2]]], [[[1]], [[10]], [[100]]], (2,), "VALID", transpose_kernel=True
    ... ).ravel()
    array([  1,  10, 102,  20, 200])
    """
    rhs, words = as_forward(
        lhs, rhs, strides, padding, rhs_dilation, dimension_numbers, transpose_kernel,
        use_consistent_padding,
    )  # fmt: skip
    return conv_general_dilated(
        lhs, rhs, precision=precision, preferred_element_type=preferred_element_type, **words
    )


@verb
def conv_transpose_vjp(
    lhs: ArrayLike,
    rhs: ArrayLike,
    dy: ArrayLike,
    strides: Sequence[int],
    padding: Pads,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Numbers = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    use_consistent_padding: bool = False,
) -> tuple[Array, Array]:
    """What jax.vjp of `conv_transpose` makes of ``dy``: the gradients of lhs and of rhs.

    >>> dlhs, drhs = conv_transpose_vjp([[[3]]], [[[1]], [[10]]], [[[1], [2]]], (2,), "VALID")
    >>> dlhs.ravel(), drhs.ravel()
    (array([12]), array([6, 3]))
    """
    rhs, words = as_forward(
        lhs, rhs, strides, padding, rhs_dilation, dimension_numbers, transpose_kernel,
        use_consistent_padding,
    )  # fmt: skip
    dlhs, drhs = conv_general_dilated_vjp(
        lhs, rhs, dy, precision=precision, preferred_element_type=preferred_element_type, **words
    )
    if transpose_kernel:
        drhs = np.ascontiguousarray(turned(drhs, words["dimension_numbers"]))
    return dlhs, drhs


@verb
def conv_general_dilated_patches(
    lhs: ArrayLike,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Pads,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Numbers = None,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """What each tap sees, as channels: `convref.im2col` with the output's spatial axes.

    Output channel ``c*T + t`` is tap t of channel c, the taps in the order that the axes have in
    rhs. As in JAX it is a convolution with ones and zeros, so an infinite input gives NaN around.

    >>> conv_general_dilated_patches([[[1, 2, 3, 4]]], (3,), (1,), "VALID")
    array([[[1, 2],
            [2, 3],
            [3, 4]]])
    """
    lhs = as_array("lhs", lhs)
    taps = entries("filter_shape", filter_shape)
    if min(taps, default=1) < 1:
        raise LaxError(
            f"`filter_shape` (={taps}) must be at least 1 on every axis", "use 1 or more"
        )
    numbers = conv_dimension_numbers(lhs.shape, (1, 1, *taps), dimension_numbers)
    channels = lhs.shape[numbers.lhs_spec[1]]
    check_fits(channels * prod(taps) ** 2 * lhs.itemsize, "the weights, one tap each,")
    one_tap_each = np.tile(np.eye(prod(taps), dtype=lhs.dtype), (channels, 1))
    rhs = one_tap_each.reshape(channels * prod(taps), 1, *taps)
    return conv_general_dilated(
        lhs,
        np.moveaxis(rhs, (0, 1), numbers.rhs_spec[:2]),
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        numbers,
        feature_group_count=channels,
        precision=None if precision is None else (precision, Precision.DEFAULT),
        preferred_element_type=preferred_element_type,
    )


@verb
def conv_general_dilated_local(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: Pads,
    filter_shape: Sequence[int],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Numbers = None,
    precision: Any = None,
) -> Array:
    """A convolution with other weights at every output position; convref has none.

    The spatial axes of ``rhs`` are those of the output, and its input channels those of
    `conv_general_dilated_patches`. Unlike other functions here it takes two dtypes, of which the
    result is the common one in NumPy.

    >>> conv_general_dilated_local([[[1, 2, 3]]], [[[1, 10], [1, -10]]], (1,), "VALID", (2,))
    array([[[  3, -10]]])
    """
    check_precision(precision)
    patches = conv_general_dilated_patches(
        lhs, filter_shape, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers
    )
    rhs = as_array("rhs", rhs)
    numbers = conv_dimension_numbers(patches.shape, rhs.shape, dimension_numbers)
    x, w = patches.transpose(numbers.out_spec), rhs.transpose(numbers.rhs_spec)
    if x.shape[1:] != w.shape[1:]:
        raise LaxError(
            f"`rhs` (shape {rhs.shape}) must have {x.shape[1]} input channels, taps times channels "
            f"of `lhs`, and the {x.shape[2:]} positions of the output",
            "check its axes against `dimension_numbers`",
        )
    # Each position is a group of channels of its own, and there is no spatial axis left.
    samples, seen, *output = x.shape
    positions, filters, dtype = prod(output), len(w), promoted(lhs=patches.dtype, rhs=rhs.dtype)
    x = np.moveaxis(x.reshape(samples, seen, positions), 2, 1).astype(dtype)
    w = np.moveaxis(w.reshape(filters, seen, positions), 2, 0).astype(dtype)
    if not positions:
        return arranged(np.zeros((samples, filters, *output), dtype), numbers.out_spec)
    y = conv_general_dilated(
        x.reshape(samples, positions * seen),
        w.reshape(positions * filters, seen),
        (),
        "VALID",
        feature_group_count=positions,
    )
    y = np.moveaxis(y.reshape(samples, positions, filters), 1, 2)
    return arranged(y.reshape(samples, filters, *output), numbers.out_spec)
