"""Mistakes in the words: another padding, stride or dilation, another direction.

Every function of the files of mistakes yields problems that an implementation may have solved
instead, with a stable name and a sentence, the most plausible first.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.geometry import Geometry, transposed_size
from convref.verify.problem import Mistake, Problem
from convref.verify.reference import spatial

Array = NDArray[Any]
Pairs = tuple[tuple[int, int], ...]
MOST_SHIFTS = 500
"""Ways to move the windows that are tried axis by axis."""


def same_side(problem: Problem) -> Iterator[Mistake]:
    """The odd cell of padding on the other side."""
    geometry = problem.geometry
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
    geometry = problem.geometry
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
    for shifts in all_shifts(windows):
        moved = tuple(
            (lo + shift, hi - shift)
            for (lo, hi), shift in zip(geometry.padding, shifts, strict=True)
        )
        yield from other_padding(problem, moved, geometry, tried)


def all_shifts(windows: list[int]) -> list[tuple[int, ...]]:
    """Ways to move the window along the axes, the nearest first; if too many, all axes alike."""
    ranges = [range(-window, window + 1) for window in windows]
    if prod(map(len, ranges)) > MOST_SHIFTS:
        reach = max(windows)
        return [(shift,) * len(windows) for shift in sorted(range(-reach, reach + 1), key=abs)]
    return sorted(product(*ranges), key=lambda shifts: sum(map(abs, shifts)))


def other_padding(
    problem: Problem, pairs: Pairs, geometry: Geometry, tried: set[Pairs]
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


def output_padding_sides(problem: Problem) -> Iterator[Mistake]:
    """What a transposed output has beyond its smallest size stands before it, not after."""
    if problem.kind != "transpose":
        return
    spec = problem.spec
    smallest = transposed_size(spec, spatial(problem.x.shape, spec), problem.weight_shape[2:])
    extra = [
        size - least for size, least in zip(spatial(problem.shape, spec), smallest, strict=True)
    ]
    geometry = problem.geometry
    if max(extra) <= 0 or geometry is None:
        return
    first = problem.first_axis(len(problem.shape))
    grown = tuple((lo - e, hi + e) for (lo, hi), e in zip(geometry.padding, extra, strict=True))
    for changed in (
        problem.with_words(padding=grown),  # as more of what the kernel reaches
        problem.with_output(partial(moved, first=first, extra=extra)),  # as zeros
    ):
        yield Mistake(
            "output-padding-side",
            f"the output padding {tuple(extra)} is put before the output, not after it",
            changed,
        )


def moved(y: Array, first: int, extra: list[int]) -> Array:
    """Moved on by so many positions along each spatial axis; zeros come in."""
    result = np.zeros_like(y)
    lead = (slice(None),) * first
    to = tuple(slice(step, None) for step in extra)
    taken = tuple(slice(None, y.shape[first + a] - step) for a, step in enumerate(extra))
    result[lead + to] = y[lead + taken]
    return result


def transposed(problem: Problem) -> Iterator[Mistake]:
    """The other direction: a transposed convolution for a convolution, and the reverse."""
    other = {"forward": "transpose", "transpose": "forward", "input_grad": "forward"}
    if problem.kind not in other:
        return
    known = {"stride", "padding", "dilation", "groups", "layout"}
    words: Any = {word: value for word, value in problem.words.items() if word in known}
    kind = other[problem.kind]
    named = {"transpose": "a transposed convolution", "forward": "a convolution"}[kind]
    for swapped in (False, True):
        changed = problem.with_weights(lambda w: w.swapaxes(0, 1)) if swapped else problem
        yield Mistake(
            "transposed",
            f"it is {named}" + (", with the channel axes of the weights swapped" * swapped),
            replace(changed, kind=kind, words=words),
        )
