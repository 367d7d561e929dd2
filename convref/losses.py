"""Losses: what training makes small, each with its gradient.

Both return ``(loss, gradient)``: a float, and the array to give to ``layer.backward``. Like all
gradients here those of complex arrays are transposes and not adjoints: a small change h of y
changes the loss by the real part of ``sum(gradient * h)``.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref.dtypes import as_array, wide
from convref.errors import DtypeError, ShapeError, WordError, verb
from convref.integers import integer
from convref.memory import check_fits

Array = NDArray[Any]


@verb
def softmax_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, axis: int = -1
) -> tuple[float, Array]:
    """Mean over the batch of ``-sum(p * log(softmax(logits)))``, and its gradient by the logits.

    The classes are along ``axis``, and all other axes are the batch: (N, classes), or (N, classes,
    H, W) with ``axis=1``. ``labels`` are integers, one class for each of the batch, or have the
    shape of the logits and hold the probabilities p (which aren't checked to sum to 1). The
    gradient is ``(softmax(logits) - p) / size of the batch``, in the dtype of the logits.

    Raises ShapeError for labels or an axis that do not fit, DtypeError for complex logits and for
    classes that aren't integers, WordError for classes that aren't there.

    >>> loss, gradient = softmax_cross_entropy([[0.0, 0.0], [5.0, 5.0]], [0, 1])
    >>> round(loss, 6), gradient
    (0.693147, array([[-0.25,  0.25],
           [ 0.25, -0.25]]))
    """
    x, dtype = real_floats("logits", as_array("logits", logits))
    axis = integer("axis", axis)
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(
            f"`axis` (={axis}) is not one of the {x.ndim} axes of `logits` (shape {x.shape})",
            "use -1 for the last",
        )
    if not x.shape[axis]:
        raise ShapeError(
            f"`logits` (shape {x.shape}) has no classes along `axis` (={axis})",
            "give it one or more",
        )
    given = as_array("labels", labels)
    batch = x.shape[: axis % x.ndim] + x.shape[axis % x.ndim + 1 :]
    count = max(int(np.prod(batch)), 1)
    with np.errstate(invalid="ignore", over="ignore"):  # as in softmax
        log = x - np.max(x, axis, keepdims=True, initial=-np.inf)
    powers = np.exp(log)
    total = np.sum(powers, axis, keepdims=True)
    log -= np.log(total)
    softmax = np.divide(powers, total, out=powers)

    if given.shape == batch:
        chosen = np.expand_dims(as_classes(given, x.shape[axis]), axis)
        loss = -np.sum(np.take_along_axis(log, chosen, axis), dtype=np.float64) / count
        correct = np.take_along_axis(softmax, chosen, axis) - 1
        np.put_along_axis(softmax, chosen, correct, axis)
        gradient = softmax
    elif given.shape == x.shape:
        p = real_floats("labels", given)[0].astype(x.dtype, copy=False)
        terms = np.multiply(p, log, where=p != 0, out=np.zeros_like(log))
        loss = -np.sum(terms, dtype=np.float64) / count
        gradient = softmax * np.sum(p, axis, keepdims=True) - p
    else:
        raise ShapeError(
            f"`labels` (shape {given.shape}) are neither one class for each of {batch} nor "
            f"probabilities of the shape of `logits`, {x.shape}",
            "check them, and `axis`",
        )
    gradient /= count
    return float(loss), gradient.astype(dtype, copy=False)


@verb
def mean_squared_error(y: ArrayLike, target: ArrayLike) -> tuple[float, Array]:
    """``mean(|y - target|**2)`` over all elements, and its gradient by y.

    Of real arrays that is ``2 * (y - target) / y.size``, of complex ones its complex conjugate; in
    the dtype of y, to which the target is brought. Raises ShapeError where the shapes differ (they
    are not broadcast), DtypeError for a complex target of a real y.

    >>> mean_squared_error([1.0, 2.0], [0.0, 4.0])
    (2.5, array([ 1., -2.]))
    """
    found, wanted = as_array("y", y), as_array("target", target)
    if found.shape != wanted.shape:
        raise ShapeError(
            f"`target` has shape {wanted.shape}, and `y` has {found.shape}", "make them equal"
        )
    if wanted.dtype.kind == "c" and found.dtype.kind != "c":
        raise DtypeError(
            f"`target` ({wanted.dtype}) is complex and `y` ({found.dtype}) is not",
            "compare with its real part, or convert y",
        )
    check_fits(8 * found.size, f"what follows from `y` (shape {found.shape})")
    dtype = np.dtype(np.float64) if found.dtype.kind in "biu" else found.dtype
    off = wide(found.astype(dtype, copy=False))
    off = off - wanted.astype(off.dtype, copy=False)
    count = max(off.size, 1)
    loss = np.sum(np.square(np.abs(off)), dtype=np.float64) / count
    return float(loss), (np.conjugate(off) * (2 / count)).astype(dtype, copy=False)


def real_floats(name: str, array: Array) -> tuple[Array, np.dtype[Any]]:
    """The array in a dtype to compute in, and its own; integers become float64."""
    if array.dtype.kind == "c":
        raise DtypeError(f"`{name}` ({array.dtype}) must be real", "pass real numbers")
    check_fits(8 * array.size, f"what follows from `{name}` (shape {array.shape})")
    dtype = np.dtype(np.float64) if array.dtype.kind in "biu" else array.dtype
    return wide(array.astype(dtype, copy=False)), dtype


def as_classes(labels: Array, classes: int) -> Array:
    """Labels as integers that are classes; raise DtypeError or WordError."""
    if labels.dtype.kind not in "iu":
        raise DtypeError(
            f"`labels` ({labels.dtype}) of shape {labels.shape} must be integers",
            "convert classes by .astype(int), or give a probability for each class",
        )
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        raise WordError(
            f"`labels` has a class {labels[outside][0]}, and there are {classes} classes",
            f"use 0 to {classes - 1}",
        )
    return labels.astype(np.intp, copy=False)
