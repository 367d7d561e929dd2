"""Mistakes in the order of numbers: flipped kernels, other layouts, channels in another order."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations, permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.verify.problem import Mistake, Problem

Array = NDArray[Any]

WEIGHT_LAYOUTS = {
    "TensorFlow's, Keras's and JAX's (*kernel, C/groups, K)": "*CK",
    "TensorFlow Lite's (K, *kernel, C/groups)": "K*C",
    "(C/groups, K, *kernel)": "CK*",
    "(*kernel, K, C/groups)": "*KC",
    "(C/groups, *kernel, K)": "C*K",
}


def kernel_flipped(problem: Problem) -> Iterator[Mistake]:
    """Convolution as mathematics has it, on all axes or on one; axes of the kernel swapped."""
    rank = problem.spec.rank
    axes = [axis for axis in range(rank) if problem.weight_shape[2 + axis] > 1]
    choices = [tuple(axes), *((axis,) for axis in axes if len(axes) > 1)]
    for chosen in choices if axes else []:
        along = "" if len(chosen) == len(axes) else f" along spatial axis {chosen[0]}"
        yield Mistake(
            "kernel-flipped",
            f"the kernel is flipped{along}: it is convolved, and not cross-correlated",
            problem.with_weights(partial(np.flip, axis=tuple(2 + axis for axis in chosen))),
        )
    for order in permutations(range(rank)):
        if order == tuple(range(rank)):
            continue
        axes_of_w = (0, 1, *(2 + axis for axis in order))
        if tuple(problem.weight_shape[axis] for axis in axes_of_w) == problem.weight_shape:
            yield Mistake(
                "kernel-axes-swapped",
                f"the spatial axes of the kernel are in the order {order}",
                problem.with_weights(partial(np.transpose, axes=axes_of_w)),
            )


def weight_layouts(problem: Problem) -> Iterator[Mistake]:
    """Channels swapped; the memory of the weights taken for that of another layout."""
    K, C, *kernel = problem.weight_shape
    if K == C:
        yield Mistake(
            "weight-axes-swapped", "the channel axes of the weights, in and out, are swapped",
            problem.with_weights(partial(np.swapaxes, axis1=0, axis2=1)),
        )  # fmt: skip
    for where, letters in WEIGHT_LAYOUTS.items():
        order: tuple[int, ...] = ()
        for letter in letters:
            order += {"K": (0,), "C": (1,), "*": tuple(range(2, 2 + len(kernel)))}[letter]
        for change, what in (
            (partial(taken_for, order=order), "the memory of the weights is read as if it were"),
            (
                partial(left_in, order=order),
                "the weights are read as (K, C/groups, *kernel) from memory that is",
            ),
        ):
            yield Mistake("weight-layout", f"{what} {where}", problem.with_weights(change))


def taken_for(w: Array, order: tuple[int, ...]) -> Array:
    """The memory of w, read as if its axes lay in this order."""
    shape = tuple(w.shape[axis] for axis in order)
    return np.ascontiguousarray(w).reshape(shape).transpose(np.argsort(order))


def left_in(w: Array, order: tuple[int, ...]) -> Array:
    """Memory in which the axes of w lie in this order, read as if they lay in their own."""
    return np.ascontiguousarray(w.transpose(order)).reshape(w.shape)


def relaid(array: Array, rank: int, last: bool, read: bool) -> Array:
    """An array whose memory was read, or written, as if the channels lay on the other side."""
    flat, lead = np.ascontiguousarray(array), array.ndim - rank - 1
    shape = array.shape[lead:]
    if last == read:  # memory that is taken to be (C, *spatial), or becomes it
        if read:
            return np.moveaxis(flat.reshape(*array.shape[:lead], shape[-1], *shape[:-1]), lead, -1)
        return np.moveaxis(flat, lead, -1).reshape(array.shape)
    if read:
        return np.moveaxis(flat.reshape(*array.shape[:lead], *shape[1:], shape[0]), -1, lead)
    return np.moveaxis(flat, -1, lead).reshape(array.shape)


def signal_layouts(problem: Problem) -> Iterator[Mistake]:
    """What is read has its channels, or its spatial axes, elsewhere."""
    what = "dy" if problem.kind in ("input_grad", "bias_grad") else "x"
    yield from layouts(problem, problem.x, what, "is read", problem.with_signal)


def output_layouts(problem: Problem) -> Iterator[Mistake]:
    """What is written has its channels, or its spatial axes, elsewhere."""
    if problem.kind != "weight_grad":
        example = np.empty(problem.shape, np.int8)
        yield from layouts(problem, example, "the output", "is written", problem.with_output)


def layouts(
    problem: Problem, array: Array, what: str, done: str, change: Callable[[Any], Problem]
) -> Iterator[Mistake]:
    """Channels first taken for last, or the reverse; spatial axes swapped."""
    rank, last = problem.spec.rank, problem.spec.layout == "channels_last"
    sides = ("last", "first") if last else ("first", "last")
    for read in (True, False):
        yield Mistake(
            "channels-mixed",
            f"{what}, which has its channels {sides[0]}, {done} as if they were {sides[1]}",
            change(partial(relaid, rank=rank, last=last, read=read)),
        )
    first = problem.first_axis(array.ndim)
    for one, other in combinations(range(first, first + rank), 2):
        if array.shape[one] == array.shape[other]:
            yield Mistake(
                "spatial-axes-swapped",
                f"spatial axes {one - first} and {other - first} of {what} are swapped",
                change(partial(np.swapaxes, axis1=one, axis2=other)),
            )


def interleaved(count: int, groups: int) -> Array:
    """The order in which channel ``q*groups + g`` stands where ``g*count/groups + q`` belongs."""
    return np.arange(count).reshape(groups, count // groups).T.ravel()


def group_orders(problem: Problem) -> Iterator[Mistake]:
    """Channels of groups in another order: interleaved, where they belong in blocks."""
    groups = problem.spec.groups
    signal, written = map(problem.channel_axis, (problem.x.ndim, len(problem.shape)))
    places = [
        ("what is read", problem.x.shape, signal, problem.with_signal),
        ("the filters", problem.weight_shape, 0, problem.with_weights),
    ]
    if problem.kind != "weight_grad":
        places.append(("the output", problem.shape, written, problem.with_output))
    for (what, shape, axis, change), inverse in product(places, (False, True)):
        if groups == 1 or shape[axis] % groups or shape[axis] == groups:
            continue
        order = interleaved(shape[axis], groups)
        first, second = ("q*G + g", "g*M + q") if inverse else ("g*M + q", "q*G + g")
        yield Mistake(
            "group-order",
            f"the channels of {what} are in another order of groups: where channel {first} "
            f"belongs stands {second}",
            change(partial(np.take, indices=np.argsort(order) if inverse else order, axis=axis)),
        )
