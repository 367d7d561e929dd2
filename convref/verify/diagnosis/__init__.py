"""What went wrong: the mistake that would make a wrong output right, or the place it is wrong in.

Mistakes are tried in order of plausibility: first each one alone, then parts of the sums, then
places where the output is wrong while the rest is right, and last two mistakes at once. A mistake
is named only where every element of the output is within the rounding bound of the problem that the
mistake would have solved. Nothing found is an answer too.

| name | what it says |
| --- | --- |
| `kernel-flipped`, `kernel-axes-swapped` | the kernel is taken in another order |
| `same-side`, `padding-side`, `output-padding-side` | padding on the other side |
| `padding`, `padding-mode` | another padding |
| `stride`, `dilation`, `stride-dilation` | other steps |
| `weight-layout`, `weight-axes-swapped` | weights read in another layout |
| `channels-mixed`, `spatial-axes-swapped` | x, dy or the output in another layout |
| `group-order` | channels of groups interleaved where they should be in blocks |
| `transposed` | a transposed convolution for a convolution, or the reverse |
| `bias-missing`, `bias-doubled`, `bias-sign`, `bias-scaled`, `bias-unknown` | the bias |
| `accumulated-twice`, `averaged`, `negated`, `scaled` | all elements by one factor |
| `batch-item-missing`, `batch-item-doubled`, `batch-item-alone` | gradients summed over less |
| `tap-missing`, `tap-doubled`, `channel-missing`, `channel-doubled`, `channel-tail-missing`, \
`position-missing`, `position-doubled` | one part of each sum |
| `element`, `border`, `interior`, `batch-item`, `channel-block`, `tile`, `last-tile`, \
`vector-lane`, `tap`, `block` | the place that is wrong |
| `unwritten`, `stale` | what stands there instead |
| `shape` | the output has another shape |

Of quantised outputs, in the steps between integers and what they stand for:

| name | what it says |
| --- | --- |
| `x-zero-point-missing`, `w-zero-point-missing`, `y-zero-point-missing` | one is left out |
| `x-zero-point-added`, `w-zero-point-added`, `y-zero-point-added` | one is added, or added twice |
| `padding-zero-point` | padding is 0, and not the zero point of x |
| `w-zero-point-per-tensor`, `scale-per-tensor` | one for all channels, where each has its own |
| `scale-order`, `scale-unknown` | scales of w in another order, or others |
| `x-signedness`, `w-signedness` | signed integers read as unsigned, or the reverse |
| `accumulator-overflow` | sums wrap round, or are saturated, in 16 bits |
| `truncated` | values are truncated, where they are to be rounded |
| `relu-fused`, `clamped` | an activation is fused |
| `saturation-missing`, `saturated-early` | what is out of range is not brought to its end |
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.verify.diagnosis import levels, orders, sums, words
from convref.verify.diagnosis.parts import parts
from convref.verify.diagnosis.places import Mask, place, standing
from convref.verify.problem import Mistake, Problem, one_item, solved
from convref.verify.quantised_problem import QuantisedProblem

Array = NDArray[Any]
Family = Callable[[Problem], Iterator[Mistake]]
Judge = Callable[[Problem], bool]
"""Whether the output is legitimate for a problem."""

FAMILIES: tuple[Family, ...] = (
    levels.zero_points,
    levels.stores,
    levels.scales,
    levels.biases,
    levels.signs,
    levels.accumulators,
    orders.kernel_flipped,
    words.same_side,
    words.output_padding_sides,
    words.paddings,
    words.strides_and_dilations,
    words.padding_modes,
    orders.weight_layouts,
    orders.signal_layouts,
    orders.output_layouts,
    orders.group_orders,
    words.transposed,
    sums.biases,
    sums.scales,
    sums.batches,
)
"""In order of plausibility."""
NEAR = 0.02
"""How far, as a share of its norm, an output may be from one that is worth judging; in a coarse
format as far as rounding takes it."""
MOST_WORK = 2 * 10**9
"""Multiply-adds that may be spent on pairs of mistakes."""
CALL = 3 * 10**5
"""Multiply-adds that a try takes at least, for its calls."""
LOCAL = 0.75
"""Above this share of wrong elements a mistake is looked for everywhere."""


Finding = tuple[str, str]
"""A stable name, and a sentence."""


def mistaken(
    problem: Problem, output: Array, true: Array, fits: Judge, coarse: float = 0.0
) -> tuple[Finding, ...]:
    """The mistake that explains every element alone, or the factor that does; or nothing.

    ``true`` is the problem's result, from which a part and a factor can be told if it has the shape
    of the output. ``coarse`` is the unit roundoff of its format.
    """
    alike = output.shape == true.shape
    for mistake in chain(
        singles(problem, output, coarse), parts(problem, output, true) if alike else ()
    ):
        if fits(mistake.problem):
            return ((mistake.name, mistake.text),)
    if not alike:
        return ()
    if isinstance(problem, QuantisedProblem) and problem.roundings:
        factor = levels.factor(problem, output, true)
    else:
        factor = sums.factor(problem, output, true)
    return () if factor is None else (factor,)


def misplaced(
    problem: Problem,
    output: Array,
    true: Array,
    wrong: Mask,
    fits: Judge,
    coarse: float = 0.0,
) -> tuple[Finding, ...]:
    """Where an output is wrong, or two mistakes at once."""
    if local := in_places(problem, output, true, wrong):
        return local
    for first, second in pairs(problem, output, coarse):
        if fits(second.problem):
            return ((first.name, f"two at once: {first.text}"), (second.name, f"and {second.text}"))
    return ()


def families(problem: Problem) -> tuple[Family, ...]:
    """The families that concern an operator: of a bias gradient, a plain sum, the last two."""
    return FAMILIES[-2:] if problem.kind == "bias_grad" else FAMILIES


def singles(problem: Problem, output: Array, coarse: float) -> Iterator[Mistake]:
    """Single mistakes whose results are near the output."""
    part, seen = one_item(problem, output)
    for family in families(problem):
        for whole, small in zip(family(problem), family(part), strict=False):
            if near(small.problem, seen, coarse):
                yield whole


def pairs(problem: Problem, output: Array, coarse: float) -> Iterator[tuple[Mistake, Mistake]]:
    """Two mistakes of different families whose result is near the output."""
    part, seen = one_item(problem, output)
    work = part.macs
    chosen = families(problem)
    for number, family in enumerate(chosen):
        for whole, small in zip(family(problem), family(part), strict=False):
            for other in chosen[number + 1 :]:
                for second, less in zip(other(whole.problem), other(small.problem), strict=False):
                    work += part.macs + CALL
                    if work > MOST_WORK:
                        return
                    if near(less.problem, seen, coarse):
                        yield whole, second


def near(problem: Problem, output: Array, coarse: float) -> bool:
    """Whether an output is so near a problem's result that it is worth judging."""
    result = solved(problem)
    if result is None or result.shape != output.shape:
        return False
    with np.errstate(all="ignore"):
        finite = np.isfinite(output) & np.isfinite(result)
        gap = np.linalg.norm((output[finite] - result[finite]).astype(complex).ravel())
        size = np.linalg.norm(output[finite].astype(complex).ravel())
    return bool(gap <= max(NEAR, coarse) * size)


def in_places(problem: Problem, output: Array, true: Array, wrong: Mask) -> tuple[Finding, ...]:
    """Where an output is wrong, and what stands there, if it is wrong in places only."""
    if not wrong.any():
        return ()
    where, what = place(problem, wrong), standing(output, true, wrong)
    if wrong.mean() > LOCAL:
        where = None
        what = what if what and what[0] == "unwritten" else None
    findings = []
    if where is not None:
        findings.append((where.name, where.text))
    if what is not None:
        count = f"{int(wrong.sum())} of {wrong.size} elements are wrong"
        findings.append((what[0], f"{count}: {what[1]}"))
    return tuple(findings)
