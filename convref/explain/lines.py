"""The line of code that computes a setting, in convref and in each dialect."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from convref.errors import ConvrefError, verb
from convref.explain.setting import Setting
from convref.explain.writers import WRITERS
from convref.geometry import bind
from convref.names import one_of


class Line(NamedTuple):
    """One line of code, or why there is none."""

    dialect: str
    imports: str
    code: str
    """Empty where the dialect has no such convolution."""
    note: str = ""
    pad_first: bool = False
    """Whether the input must be padded, by the setting's pairs, before the code gets it."""


def lines(setting: Setting) -> tuple[Line, ...]:
    """Those of all dialects; see `line`.

    >>> from convref.explain.setting import setting
    >>> for found in lines(setting((7, 7), (3, 3), stride=2, padding="same"))[:3]:
    ...     print(found.code)
    conv(x, w, stride=2, padding="same")
    nn.Conv2d(1, 1, 3, stride=2, padding=1)
    keras.layers.Conv2D(1, 3, strides=2, padding="same")
    """
    return tuple(line(setting, dialect) for dialect in WRITERS)


@verb
def line(setting: Setting, dialect: str) -> Line:
    """The code of one dialect that computes the same, and what to know about it.

    Arrays have channels first, and weights convref's shape, where they are arguments; layers have
    their own. Where the dialect has not the padding, the code is that for an input padded before.
    Raises WordError for an unknown dialect.
    """
    one_of("dialect", dialect, tuple(WRITERS))
    imports, write = WRITERS[dialect]
    found = None
    for attempt, note, pad_first in attempts(setting):
        try:
            code = write(attempt)
        except ConvrefError as error:
            found = error
        else:
            why = f"{found.rule}; {note}" if found and pad_first else note
            return Line(dialect, imports, code, why, pad_first)
    return Line(dialect, "", "", f"{found.rule}; {found.mend}" if found else "")


def attempts(setting: Setting) -> Iterator[tuple[Setting, str, bool]]:
    """As it was asked for, by pairs, or with the padding done before; each with what to know."""
    yield setting, "", False
    geometry, spec = setting.geometry, setting.spec
    if setting.word:
        varies = setting.word.startswith("same") and max(spec.stride) > 1
        of_size = f'for these sizes: with strides, "{setting.word}" depends on them'
        yield replace(setting, word=""), of_size if varies and not setting.transposed else "", False
    framed = any(map(any, geometry.padding))
    if framed and not setting.transposed and max(spec.input_dilation) == 1:
        valid = replace(spec, padding="valid", padding_mode="zeros")
        inside = bind(valid, geometry.canvas_size, geometry.kernel_size)
        mode = "" if spec.padding_mode == "zeros" else f" in the mode {spec.padding_mode}"
        note = f"pad the input by {geometry.padding}{mode} first"
        yield replace(setting, geometry=inside, word="valid"), note, True
