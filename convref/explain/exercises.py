"""Exercises: an answer is looked at, and what is wrong with it is said.

Three dots, ``...``, stand for an answer that is still to be given.
"""

from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from convref.errors import ConvrefError
from convref.spec import Words
from convref.verify import verify

BLANK = "Your turn: put your answer in the place of the dots."
SHOWN = 8
"""The most elements of a wrong answer that are printed."""


def check(answer: Any, expected: Any) -> None:
    """Print whether an answer is the expected number, word, tuple or array, to the last digit.

    >>> check(..., 4)
    Your turn: put your answer in the place of the dots.
    >>> check((3, 4), (3, 3))
    Not yet: (3, 4) is not it.
    >>> check(3, np.int64(3))
    Right.
    """
    if answer is ...:
        print(BLANK)
        return
    try:
        given, wanted = np.asarray(answer), np.asarray(expected)
    except ValueError:  # of lists whose rows differ in length
        print("Not yet: the rows of the answer differ in length.")
        return
    if given.shape != wanted.shape:
        print(f"Not yet: the answer has the shape {given.shape}, not {wanted.shape}.")
    elif (given == wanted).all():
        print("Right.")
    elif given.size > SHOWN:
        wrong = np.count_nonzero(given != wanted)
        print(f"Not yet: {wrong} of {given.size} elements differ.")
    else:
        print(f"Not yet: {answer} is not it.")


def check_conv(
    answer: Any,
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    kind: str = "forward",
    **words: Unpack[Words],
) -> None:
    """Print what `verify`, given the same, makes of an answer.

    >>> x, w = np.arange(6.0).reshape(1, 1, 6), np.array([[[1.0, 2.0, 4.0]]])
    >>> check_conv([[[10, 17, 24, 31]]], x, w)
    Right: each element is correctly rounded.
    >>> check_conv([[[4, 11, 18, 25]]], x, w)
    Not yet: the kernel is flipped: it is convolved, and not cross-correlated.
    """
    if answer is ...:
        print(BLANK)
        return
    try:
        report = verify(answer, x, w, bias, kind=kind, **words)
    except ConvrefError as error:
        print(f"Not yet: {error}")
        return
    if report.verdict == "exact":
        print("Right: each element is correctly rounded.")
    elif report.ok:
        print(f"Right: {report.bound_used:.2g} of the rounding bound is used.")
    elif report.diagnosis:
        print(*(f"Not yet: {finding.text}." for finding in report.diagnosis), sep="\n")
    else:
        worst = list(report.worst)
        print(f"Not yet: element {worst} is off, by {report.bound_used:.2g} times the bound.")
