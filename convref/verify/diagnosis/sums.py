"""Mistakes in the sums: the bias, the scale, the batch, one tap or one channel."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.shapes import sizes
from convref.verify.problem import Mistake, Problem

Array = NDArray[Any]
EXACTLY = 1e-4
"""How far, as a share of the output's norm, a factor may leave it off."""
ALIKE = 0.02
"""And, as a share of the error, how far the error of a channel may be from an offset."""


def biases(problem: Problem) -> Iterator[Mistake]:
    """The bias left out, or added twice."""
    if problem.bias is None:
        return
    for name, factor, what in (
        ("bias-missing", 0, "the bias is left out"),
        ("bias-doubled", 2, "the bias is added twice"),
        ("bias-sign", -1, "the bias is subtracted"),
    ):
        yield Mistake(name, what, replace(problem, bias=factor * problem.bias))


def scales(problem: Problem) -> Iterator[Mistake]:
    """Accumulated twice, or averaged where it should be summed."""
    yield Mistake(
        "accumulated-twice", "every element is twice what it should be: it is accumulated twice",
        problem.with_output(partial(np.multiply, 2)),
    )  # fmt: skip
    yield Mistake("negated", "every element has the other sign", problem.with_output(np.negative))
    if problem.kind not in ("weight_grad", "bias_grad"):
        return
    lead, _, _ = sizes("x", problem.x.shape, problem.spec)
    for count, what in ((prod(lead), "the batch"), (prod(problem.x.shape), "all elements")):
        if count > 1 and problem.x.dtype.kind in "fc":
            yield Mistake(
                "averaged", f"it is averaged over {what} ({count}), not summed",
                problem.with_output(partial(np.multiply, 1 / count)),
            )  # fmt: skip


def batches(problem: Problem) -> Iterator[Mistake]:
    """Sums over the batch that leave an item out, or take one only."""
    if problem.kind not in ("weight_grad", "bias_grad"):
        return
    lead, _, _ = sizes("x", problem.x.shape, problem.spec)
    if len(lead) != 1 or lead[0] < 2:
        return
    last = lead[0] - 1
    for name, what, kept in (
        ("batch-item-missing", "the last batch item is left out", slice(0, last)),
        ("batch-item-missing", "the first batch item is left out", slice(1, None)),
        ("batch-item-alone", "only the last batch item is summed", slice(last, None)),
        ("batch-item-alone", "only the first batch item is summed", slice(0, 1)),
    ):
        both = problem.kind == "weight_grad"
        w = problem.w[kept] if both else problem.w
        yield Mistake(name, what, replace(problem, x=problem.x[kept], w=w))


def factor(problem: Problem, output: Array, true: Array) -> tuple[str, str] | None:
    """A factor of all elements, or of the bias, or a bias unknown, told from the error."""
    if not np.isfinite(output).all():
        return None
    found, true = (a.astype(np.complex128) for a in (output, true))
    scale = np.vdot(true, found) / max(np.vdot(true, true).real, np.finfo(float).tiny)
    off = abs(scale - 1) > 10 * EXACTLY and scale != 0
    if off and np.linalg.norm(found - scale * true) <= EXACTLY * np.linalg.norm(found):
        return "scaled", f"every element is {readable(scale)} times what it should be"
    if problem.kind not in ("forward", "transpose"):
        return None
    axis = problem.channel_axis(len(problem.shape))
    error = np.moveaxis(found - true, axis, -1).reshape(-1, problem.shape[axis])
    offsets = error.mean(axis=0)
    if np.linalg.norm(error - offsets) > ALIKE * np.linalg.norm(error):
        return None
    if (np.abs(offsets) > EXACTLY * np.abs(offsets).max()).mean() <= 0.5:
        return None  # a few channels only: the place says more
    if problem.bias is None:
        return "bias-unknown", "a bias is added to each channel, and none was given"
    bias = problem.bias.astype(np.complex128)
    taken = 1 + np.vdot(bias, offsets) / max(np.vdot(bias, bias).real, np.finfo(float).tiny)
    if np.linalg.norm(offsets - (taken - 1) * bias) <= EXACTLY * np.linalg.norm(offsets) * 10:
        text = f"the bias enters {readable(taken)} times, as if it were scaled with the products"
        return "bias-scaled", text
    if close_as_sets(bias, bias + offsets):
        return "bias-order", "the bias is added to the channels in another order"
    return "bias-unknown", "another bias than the one given is added"


def readable(number: Any) -> str:
    """A factor, in as few digits as will do."""
    return f"{number.real:.4g}" if abs(number.imag) <= 1e-9 * abs(number) else f"{number:.4g}"


def close_as_sets(one: Array, other: Array) -> bool:
    """Whether two arrays hold about the same numbers in some order."""
    gap = np.abs(np.sort(one) - np.sort(other)).max(initial=0)
    return bool(gap <= EXACTLY * np.abs(one).max(initial=0) * 10)
