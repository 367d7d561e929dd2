"""The mistakes that implementations make, as changes of the problem, the most plausible first.

Each function yields the problems that some family of mistakes would have solved instead, with a
stable name and a sentence. What they are applied to may already be changed, for mistakes in pairs.
"""

from collections.abc import Callable, Iterator
from itertools import permutations, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convref.errors import ConvrefError
from convref.geometry import Geometry, bind
from convref.verify.problem import Problem

Array = NDArray[Any]


class Mistake(NamedTuple):
    """What would make an output right."""

    name: str
    text: str
    problem: Problem


def mistakes(problem: Problem) -> Iterator[Mistake]:
    """Every mistake of this file, in order of plausibility."""
    families: tuple[Callable[[Problem], Iterator[Mistake]], ...] = (
        (result_scaled, batch_cut)
        if problem.kind == "bias_grad"
        else (
            kernel_flipped, same_side, paddings, strides_and_dilations, padding_modes,
            weight_layouts, signal_layouts, output_layouts, group_orders, transposed,
            biases, result_scaled, batch_cut,
        )
    )  # fmt: skip
    for family in families:
        yield from family(problem)


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
            problem.with_weights(lambda w, c=chosen: np.flip(w, [2 + axis for axis in c])),  # type: ignore[misc]
        )
    for order in permutations(range(rank)):
        if order == tuple(range(rank)):
            continue
        axes_of_w = (0, 1, *(2 + axis for axis in order))
        if tuple(problem.weight_shape[axis] for axis in axes_of_w) == problem.weight_shape:
            yield Mistake(
                "kernel-axes-swapped",
                f"the spatial axes of the kernel are in the order {order}",
                problem.with_weights(lambda w, a=axes_of_w: w.transpose(a)),  # type: ignore[misc]
            )


def resolved(problem: Problem) -> Geometry | None:
    """The geometry of the convolution, or of the one that is transposed; None if there is none."""
    spec, kernel = problem.spec, problem.weight_shape[2:]
    bigger = problem.shape if problem.kind in ("transpose", "input_grad") else problem.x.shape
    end = -1 if spec.layout == "channels_last" else None
    first = len(bigger) - spec.rank - (spec.layout == "channels_last")
    try:
        return bind(spec, tuple(bigger[first:end]), tuple(kernel))
    except ConvrefError:
        return None


def same_side(problem: Problem) -> Iterator[Mistake]:
    """The odd cell of padding on the other side."""
    geometry = resolved(problem)
    if geometry is None or all(lo == hi for lo, hi in geometry.padding):
        return
    swapped = tuple((hi, lo) for lo, hi in geometry.padding)
    word = problem.words.get("padding", "valid")
    if problem.kind == "transpose":
        name, what = "output-padding-side", "the surplus of the output is cut, or added,"
    elif isinstance(word, str) and word.lower().startswith("same"):
        name, what = "same-side", f'the surplus cell of "{word}" is padded'
    else:
        name, what = "padding-side", "the padding is put"
    yield Mistake(
        name,
        f"{what} on the other side: {swapped} instead of {geometry.padding}",
        problem.with_words(padding=swapped),
    )


def paddings(problem: Problem) -> Iterator[Mistake]:
    """Another word, an integer, and the same total shared otherwise between the sides."""
    geometry = resolved(problem)
    given = problem.words.get("padding", "valid")
    for word in ("valid", "same", "same_lower", "causal"):
        if word != given:
            yield Mistake(
                "padding", f'the padding is that of "{word}", not {given!r}',
                problem.with_words(padding=word),
            )  # fmt: skip
    if geometry is None:
        return
    windows = [axis.window for axis in geometry.axes]
    tried = {geometry.padding}
    for amount in range(max(windows) + 1):
        yield from other_padding(problem, ((amount, amount),) * len(windows), geometry, tried)
    totals = [lo + hi for lo, hi in geometry.padding]
    for shift in range(-max(windows), max(windows) + 1):
        moved = tuple((lo + shift, hi - shift) for lo, hi in geometry.padding)
        yield from other_padding(problem, moved, geometry, tried)
        for axis in range(len(windows)):
            one = list(geometry.padding)
            one[axis] = (one[axis][0] + shift, totals[axis] - one[axis][0] - shift)
            yield from other_padding(problem, tuple(one), geometry, tried)


def other_padding(
    problem: Problem, pairs: tuple[tuple[int, int], ...], geometry: Geometry,
    tried: set[tuple[tuple[int, int], ...]],
) -> Iterator[Mistake]:  # fmt: skip
    """A padding that has not been tried."""
    if pairs in tried:
        return
    tried.add(pairs)
    side = problem.kind == "transpose" and [sum(p) for p in pairs] == [
        sum(p) for p in geometry.padding
    ]
    yield Mistake(
        "output-padding-side" if side else "padding",
        f"the padding is {pairs}, not {geometry.padding}",
        problem.with_words(padding=pairs),
    )


def strides_and_dilations(problem: Problem) -> Iterator[Mistake]:
    """One more or less, 1, or the axes swapped; a stride's and a dilation's places exchanged."""
    spec = problem.spec
    for word, given in (("dilation", spec.dilation), ("stride", spec.stride)):
        found = {
            tuple(value + 1 for value in given): f"each {word} is one too large",
            tuple(max(1, value - 1) for value in given): f"each {word} is one too small",
            (1,) * spec.rank: f"the {word} is left out",
            given[::-1]: f"the {word}s of the axes are swapped",
        }
        for value, what in found.items():
            if value != given:
                off = word == "dilation" and value != given[::-1] and value != (1,) * spec.rank
                counted = ", as if dilation were counted from 0" if off else ""
                yield Mistake(
                    word, f"{what}{counted}: {value} instead of {given}",
                    problem.with_words(**{word: value}),
                )  # fmt: skip
    if spec.stride != spec.dilation:
        yield Mistake(
            "stride-dilation", "stride and dilation have changed places",
            problem.with_words(stride=spec.dilation, dilation=spec.stride),
        )  # fmt: skip


def padding_modes(problem: Problem) -> Iterator[Mistake]:
    """Another way to fill the padding."""
    if problem.kind == "transpose":
        return
    given = problem.words.get("padding_mode", "zeros")
    for mode in ("zeros", "replicate", "reflect", "circular"):
        if mode != given:
            yield Mistake(
                "padding-mode", f"the padding is filled by {mode!r}, not {given!r}",
                problem.with_words(padding_mode=mode),
            )  # fmt: skip


WEIGHT_LAYOUTS = {
    "TensorFlow's, Keras's and JAX's (*kernel, C/groups, K)": "*CK",
    "TensorFlow Lite's (K, *kernel, C/groups)": "K*C",
    "(C/groups, K, *kernel)": "CK*",
    "(*kernel, K, C/groups)": "*KC",
    "(C/groups, *kernel, K)": "C*K",
}


def weight_layouts(problem: Problem) -> Iterator[Mistake]:
    """Channels swapped; the memory of the weights taken for that of another layout."""
    K, C, *kernel = problem.weight_shape
    if K == C:
        yield Mistake(
            "weight-axes-swapped", "the channel axes of the weights, in and out, are swapped",
            problem.with_weights(lambda w: w.swapaxes(0, 1)),
        )  # fmt: skip
    for where, letters in WEIGHT_LAYOUTS.items():
        order: tuple[int, ...] = ()
        for letter in letters:
            order += {"K": (0,), "C": (1,), "*": tuple(range(2, 2 + len(kernel)))}[letter]
        shape = tuple(problem.weight_shape[axis] for axis in order)
        inverse = tuple(np.argsort(order))

        def taken_for(w: Array, shape: Any = shape, inverse: Any = inverse) -> Array:
            return np.ascontiguousarray(w).reshape(shape).transpose(inverse)

        def left_in(w: Array, order: Any = order) -> Array:
            return np.ascontiguousarray(w.transpose(order)).reshape(w.shape)

        for change, what in (
            (taken_for, "the memory of the weights is read as if it were"),
            (left_in, "the weights are read as (K, C/groups, *kernel) from memory that is"),
        ):
            yield Mistake("weight-layout", f"{what} {where}", problem.with_weights(change))


def reread(array: Array, channel: int, to_last: bool) -> Array:
    """Memory with channels first taken for memory with channels last, or the other way round."""
    first = array.ndim - 1 if not to_last else channel
    lead, rest = array.shape[: min(channel, first)], array.shape[min(channel, first) :]
    if to_last:  # memory is (C, *spatial), read as (*spatial, C)
        return np.ascontiguousarray(array).reshape(*lead, *rest[1:], rest[0])
    return np.ascontiguousarray(array).reshape(*lead, rest[-1], *rest[:-1])


def mixed(array: Array, problem: Problem) -> Iterator[tuple[str, Array]]:
    """An array whose channels were taken to lie elsewhere, in the shape that it should have."""
    rank, last = problem.spec.rank, problem.spec.layout == "channels_last"
    lead = array.shape[: array.ndim - rank - 1]
    *spatial, C = array.shape[len(lead) :] if last else (*array.shape[len(lead) + 1 :], array.shape[len(lead)])
    flat = np.ascontiguousarray(array)
    n = len(lead)
    if last:
        other = np.moveaxis(flat.reshape(*lead, C, *spatial), n, -1)
        yield "read as if channels were first", other
        yield "written with channels first", np.moveaxis(flat, -1, n).reshape(flat.shape)
    else:
        other = np.moveaxis(flat.reshape(*lead, *spatial, C), -1, n)
        yield "read as if channels were last", other
        yield "written with channels last", np.moveaxis(flat, n, -1).reshape(flat.shape)
