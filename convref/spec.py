"""ConvSpec: the words of a convolution, checked and brought to one form, free of sizes."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, Never, Self, TypedDict, get_args

from convref import padding as paddings
from convref.errors import WordError, shown
from convref.integers import integer, per_axis

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
Layout = Literal["channels_first", "channels_last"]
Axes = int | tuple[int, ...] | list[int]
"""One integer for all axes, or one per axis."""


class Words(TypedDict, total=False):
    """The geometry words that every operator takes."""

    stride: Axes
    padding: paddings.Padding
    dilation: Axes
    input_dilation: Axes
    groups: int
    padding_mode: str
    layout: str


_made: dict[tuple[object, ...], Any] = {}
"""Specs by the words they were made of, which are often the same."""
MOST_MADE = 1000


def _are_plain(values: Iterable[Any]) -> bool:
    """Whether words are all strings, integers, or tuples of plain words."""
    for value in values:
        kind = type(value)
        if kind is tuple:
            for item in value:
                if type(item) is not int and not _are_plain((item,)):
                    return False
        elif kind is not str and kind is not int:
            return False
    return True


@dataclass(frozen=True, slots=True)
class ConvSpec:
    """What a layer keeps: the user's words, normalised; equal words give equal specs.

    >>> ConvSpec.of(2, stride=2, padding="SAME")
    ConvSpec(rank=2, stride=(2, 2), padding='same', dilation=(1, 1), input_dilation=(1, 1), \
groups=1, padding_mode='zeros', layout='channels_first')
    """

    rank: int
    stride: tuple[int, ...]
    padding: paddings.Normal
    dilation: tuple[int, ...]
    input_dilation: tuple[int, ...]
    groups: int
    padding_mode: str
    layout: str

    @classmethod
    def of(
        cls,
        rank: int,
        stride: Axes = 1,
        padding: paddings.Padding = "valid",
        dilation: Axes = 1,
        input_dilation: Axes = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
        layout: str = "channels_first",
        **unknown: Never,
    ) -> Self:
        """Normalise and check the words for ``rank`` spatial axes; raise WordError."""
        words = stride, padding, dilation, input_dilation, groups, padding_mode, layout
        for name in unknown:
            raise _unknown_word(name)
        # 1, 1.0 and True are equal as keys, and only the first is an integer: plain words alone.
        plain = _are_plain(words)
        if plain and (rank, words) in _made:
            found: Self = _made[rank, words]
            return found
        spec = cls._of(rank, *words)
        if plain and len(_made) < MOST_MADE:
            _made[rank, words] = spec
        return spec

    @classmethod
    def _of(
        cls, rank: int, stride: Axes, padding: paddings.Padding, dilation: Axes,
        input_dilation: Axes, groups: int, padding_mode: str, layout: str,
    ) -> Self:  # fmt: skip
        groups = integer("groups", groups)
        if groups < 1:
            raise WordError(f"`groups` (={groups}) must be at least 1", "use 1 or more")
        return cls(
            rank,
            per_axis("stride", stride, rank, minimum=1),
            paddings.normalise(padding, rank),
            per_axis("dilation", dilation, rank, minimum=1),
            per_axis("input_dilation", input_dilation, rank, minimum=1),
            groups,
            one_of("padding_mode", padding_mode, PaddingMode),
            one_of("layout", layout, Layout),
        )


def one_of(name: str, value: object, choices: object) -> str:
    """The value in lower case, if it is among the choices of a Literal."""
    known = get_args(choices)
    if isinstance(value, str) and value.lower() in known:
        return value.lower()
    raise WordError(
        f"`{name}` (={shown(value)}) is unknown", f"use one of {', '.join(map(repr, known))}"
    )


def _unknown_word(name: str) -> WordError:
    known = tuple(Words.__annotations__)
    near = get_close_matches(name, known, n=1)
    mend = f"did you mean `{near[0]}`?" if near else f"the words are {', '.join(known)}"
    return WordError(f"there is no word `{name}`", mend)
