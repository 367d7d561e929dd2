"""How much of the bound the elements of an output use: as maps, and as a histogram."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convref.verify.bounds import Real
from convref.verify.diagnosis.places import named_axis
from convref.verify.problem import Problem
from convref.verify.report import errors

Array = NDArray[Any]

STEPS = (0.0, 0.001, 0.01, 0.1, 1.0, 10.0, 1000.0)
"""Of the fraction of the bound: up to the fifth an element is legitimate."""
WITHIN = 1.0
ROWS, COLUMNS = 32, 48
"""The most cells of a map; a cell that stands for several elements shows the largest."""


def fractions(problem: Problem, output: Array, dtype: str, accumulate: str) -> Real | None:
    """The fraction of the bound that each element uses; None where the shapes differ."""
    true = problem.reference()
    if output.shape != true.value.shape:
        return None
    with np.errstate(all="ignore"):
        bound = true.bound(accumulate, dtype)
        error = errors(output, true, bound, dtype, accumulate)
        used: Real = np.where(error > 0, error / bound, 0)
    return used


class Plane(NamedTuple):
    """A picture of one or two axes of an output, the largest over the others."""

    rows: str
    columns: str
    size: tuple[int, int]
    """In elements."""
    cells: Real


def planes(problem: Problem, used: Real) -> Iterator[Plane]:
    """The axes in pairs: the last two, the two before, and so on; single ones lie flat."""
    spatial = problem.spec.rank if problem.kind != "bias_grad" else 0
    last = problem.spec.layout == "channels_last" and problem.kind not in ("weight_grad",)
    axes = list(range(used.ndim))
    if last and spatial:
        axes = [*axes[: -spatial - 1], axes[-1], *axes[-spatial - 1 : -1]]
    for part in (axes[-spatial:] if spatial else [], axes[: len(axes) - spatial]):
        while part:
            part, shown = part[:-2], part[-2:]
            names = [named_axis(problem, used.shape, axis)[0] for axis in shown]
            others = tuple(axis for axis in range(used.ndim) if axis not in shown)
            seen = used.transpose(*others, *shown).max(axis=tuple(range(len(others))))
            seen = seen.reshape((1, *seen.shape)[-2:])
            size = (int(seen.shape[0]), int(seen.shape[1]))
            yield Plane(names[0] if len(names) > 1 else "", names[-1], size, coarse(seen))


def coarse(cells: Real) -> Real:
    """At most ROWS by COLUMNS cells, each the largest of a block."""
    for axis, most in enumerate((ROWS, COLUMNS)):
        step = -(-cells.shape[axis] // most)
        starts = np.arange(0, cells.shape[axis], step)
        cells = np.maximum.reduceat(cells, starts, axis=axis)
    return cells


def steps(used: Real) -> NDArray[np.intp]:
    """The number of the step that each fraction is in; NaN is beyond all."""
    number: NDArray[np.intp] = np.searchsorted(np.array(STEPS), used, side="left")
    return number


def counts(used: Sequence[float] | Real) -> list[tuple[str, bool, int]]:
    """A histogram: each step as people read it, whether it is legitimate, and how many are in it.

    >>> [(label, count) for label, _, count in counts([0.0, 0.5, 2.0]) if count]
    [('0', 1), ('0.1 to 1', 1), ('1 to 10', 1)]
    """
    numbers = np.bincount(steps(np.asarray(used, np.float64)).ravel(), minlength=len(STEPS) + 1)
    labels = ["0", *(f"{a:g} to {b:g}" for a, b in pairwise(STEPS))]
    labels.append(f"more than {STEPS[-1]:g}")
    legitimate = [step <= WITHIN for step in STEPS] + [False]
    return list(zip(labels, legitimate, map(int, numbers), strict=True))


def paths(cells: Real) -> dict[int, str]:
    """Each step's cells as one SVG path: runs of cells along the rows, one unit each."""
    drawn: dict[int, list[str]] = {}
    for y, row in enumerate(steps(cells)):
        ends = [*np.flatnonzero(np.diff(row)) + 1, len(row)]
        for start, end in zip([0, *ends], ends, strict=False):
            length = int(end) - int(start)
            drawn.setdefault(int(row[start]), []).append(f"M{start} {y}h{length}v1h-{length}z")
    return {step: "".join(runs) for step, runs in sorted(drawn.items())}
