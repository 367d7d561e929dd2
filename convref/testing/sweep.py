"""A sweep: drawn cases run in a framework, each output and gradient judged, failures minimised."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.dtypes import promoted
from convref.errors import ConvrefError, WordError, shown, verb
from convref.testing import peers
from convref.testing.case import ConvCase
from convref.testing.judging import is_right, judged
from convref.verify import sums_in
from convref.verify.cases import Case, problems
from convref.verify.summary import Judged

Array = NDArray[Any]
Advance = Callable[[], object]


@dataclass(frozen=True)
class Sweep:
    """What came of it; ``judged`` ends with the minimal case, if one is wrong."""

    against: str
    version: str
    seed: int
    cases: int
    """How many were judged."""
    refused: int
    """How many the framework refused."""
    refusal: str
    """What it said of the first of them."""
    judged: tuple[Judged, ...]
    minimal: ConvCase | None
    """The smallest case with a wrong output."""

    def as_dict(self) -> dict[str, Any]:
        """All but the reports, as plain values for JSON."""
        facts: dict[str, Any] = {
            "against": f"{self.against} {self.version}",
            "seed": self.seed,
            "drawn": self.cases + self.refused,
        }
        if self.refused:
            facts |= {"refused": self.refused, "refusal": self.refusal}
        return facts if self.minimal is None else {**facts, "minimal": repr(self.minimal)}


class WrongOutputError(Exception):
    """Tells the search that a case is what it looks for."""


@verb
def sweep(against: str, cases: int = 500, seed: int = 0, advance: Advance = lambda: None) -> Sweep:
    """Draw cases, run them in a framework, and judge all that it computes, until one is wrong.

    Half of the cases hold integers, which must come out exact; half real numbers. ``advance`` is
    called once for each. Equal seeds draw equal cases.

    Raises WordError for an unknown framework or a number of cases below 1, MissingExtraError where
    the framework or Hypothesis is not installed, ConvrefError where it refuses all cases.
    """
    check_count(cases)
    return accepted(examined(against, cases, seed, advance))


def check_count(cases: int) -> None:
    """Check that there is something to draw."""
    if cases < 1:
        raise WordError(f"`cases` (={shown(cases)}) must be at least 1", "draw one or more")


def accepted(found: Sweep) -> Sweep:
    """The sweep, unless the framework refused all cases."""
    if not found.judged:
        raise ConvrefError(f"{found.against} refused all {found.refused} cases: {found.refusal}")
    return found


def examined(against: str, cases: int, seed: int, advance: Advance) -> Sweep:
    """The sweep, of which a framework may have refused all cases."""
    peer, version = peers.load(against)
    from convref.testing import strategies

    drawn = [
        strategies.conv_cases(**limits, integers=integers)
        for limits in peer.LIMITS
        for integers in (True, False)
    ]
    found = Search(peer, against, version, advance)
    with suppress(WrongOutputError):
        strategies.search(found.examine, reduce(or_, drawn), cases, seed)
    found.diagnose()
    return Sweep(
        against,
        version,
        seed,
        found.count,
        found.refused,
        found.refusal,
        tuple(found.judged),
        found.minimal[0] if found.minimal else None,
    )


class Search:
    """Examines cases one by one, and remembers what came of them."""

    def __init__(self, peer: peers.Peer, name: str, version: str, advance: Advance) -> None:
        self.peer, self.name, self.version, self.advance = peer, name, version, advance
        self.judged: list[Judged] = []
        self.count = self.refused = 0
        self.refusal = ""
        self.minimal: tuple[ConvCase, Mapping[str, Array]] | None = None

    def examine(self, case: ConvCase) -> None:
        """Run a case, and judge it; raise WrongOutputError if an output is wrong."""
        if self.minimal is None:
            self.advance()
        try:
            outputs = self.peer.outputs(case)
        except Exception as error:  # whatever a framework raises for what it has not
            self.refused += 1
            self.refusal = self.refusal or f"{type(error).__name__}: {error}"
            return
        stored = stored_case(case, outputs, f"{self.name}-{self.count}", self.name, self.version)
        questions = dict(asked(case, stored))
        if not all(is_right(*question) for question in questions.values()):
            self.minimal = case, outputs
            raise WrongOutputError
        if self.minimal is None:  # what is met on the way to a minimal case does not count
            self.count += 1
            self.judged += [(stored, name, judged(*it)) for name, it in questions.items()]

    def diagnose(self) -> None:
        """Judge the outputs of the minimal case, with all that can be said of them."""
        if self.minimal:
            self.count += 1
            stored = stored_case(*self.minimal, f"{self.name}-minimal", self.name, self.version)
            questions = asked(self.minimal[0], stored)
            self.judged += [(stored, name, judged(*it)) for name, it in questions]


def asked(case: ConvCase, stored: Case) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """For each output, its name and what `judged` takes."""
    shapes = {"y": case.y_shape, "dx": case.input_shape, "dw": case.weight_shape}
    for name, problem in problems(stored):
        output, dtype = stored.arrays[name], stored.formats[name]
        right = replace(problem, shape=shapes.get(name, problem.shape))
        yield name, (right, output, dtype, stored.accumulate, case.exact)


def stored_case(
    case: ConvCase, outputs: Mapping[str, Array], name: str, framework: str, version: str
) -> Case:
    """A drawn case, and what a framework made of it, as a case like those of files."""
    operands = {"x": case.x, "w": case.w, "dy": case.dy}
    if case.bias is not None:
        operands["bias"] = case.bias
    arrays = {**operands, **{key: np.asarray(array) for key, array in outputs.items()}}
    return Case(
        name=name,
        framework=framework,
        version=version,
        configuration=repr(case),
        operator=f"{'transpose' if case.kind == 'transpose' else 'conv'} {case.rank}d",
        kind=case.kind,
        dtype=case.dtype,
        accumulate=sums_in(promoted(x=case.x.dtype, w=case.w.dtype), None),
        formats={key: array.dtype.name for key, array in arrays.items()},
        words=case.geometry_words,
        arrays=arrays,
    )
