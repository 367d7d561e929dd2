"""Settings as they are written on a command line."""

from typing import Any

import pytest
from messages import refused

from convref import ConvrefError, ShapeError, WordError
from convref.explain import setting, setting_in
from convref.explain.notation import padding, read_setting, sizes


def test_all_words() -> None:
    read = read_setting(
        "convref", "7X8", "3x2", "4x6", stride="2x1", padding="1,2x-1,0", dilation="1x2",
        input_dilation="2", groups=2, padding_mode="reflect", transposed=False, output_padding=None,
    )  # fmt: skip
    assert read == setting(
        (7, 8), (3, 2), in_channels=4, out_channels=6, stride=(2, 1), padding=((1, 2), (-1, 0)),
        dilation=(1, 2), input_dilation=2, groups=2, padding_mode="reflect",
    )  # fmt: skip


def test_words_that_are_left_out_are_the_dialects() -> None:
    read = read_setting("babilim", "7", "3", None, stride=None, padding=None)
    assert read == setting_in("babilim", (7,), 3)
    assert read.output_size == (7,)


@pytest.mark.parametrize(
    ("channels", "groups", "found"),
    [(None, None, (1, 1)), (None, 3, (3, 3)), ("6", 3, (6, 6)), ("6x9", 3, (6, 9))],
)
def test_channels(channels: str | None, groups: int | None, found: tuple[int, int]) -> None:
    read = read_setting("torch", "7", "3", channels, groups=groups)
    assert (read.in_channels, read.out_channels) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("same_lower", "same_lower"),
        ("Valid", "Valid"),
        ("1", 1),
        ("-1", -1),
        ("1x0", (1, 0)),
        ("1,2", ((1, 2),)),
        ("1,2X0,-3", ((1, 2), (0, -3))),
        ("1x0,2", (1, (0, 2))),
    ],
)
def test_padding(text: str, found: Any) -> None:
    assert padding(text) == found


@pytest.mark.parametrize(
    "text", ["", "1;2", "1,2,3", "1x", "x1", "1.5", "(1,2)", "same!", "٣", "1" * 201]
)
def test_no_padding(text: str) -> None:
    shown = repr(text) if len(text) < 200 else f"'{'1' * 59}... {'1' * 19}'"
    message = (
        f"`padding` (={shown}) is neither a word nor amounts; such as same, 1, 1x0 for two axes, "
        "or 1,2x0,0 for before and after on each"
    )
    with refused(WordError, message):
        padding(text)


@pytest.mark.parametrize("text", ["", "7by7", "7x", "-7", "7.0", "٣", "1" * 201])
def test_no_sizes(text: str) -> None:
    shown = repr(text) if len(text) < 200 else f"'{'1' * 59}... {'1' * 19}'"
    with refused(ShapeError, f"`size` (={shown}) is not made of sizes; such as 7x8"):
        sizes("size", text)


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (
            {"channels": "1x2x3"},
            WordError,
            "`channels` (='1x2x3') are not two numbers; such as 3x8",
        ),
        ({"stride": "-1"}, ShapeError, "`stride` (='-1') is not made of sizes; such as 7x8"),
        (
            {"groups": 0},
            WordError,
            "setting_in: `groups` (=0) must be at least 1; use 1 or more",
        ),
    ],
)
def test_refused(words: dict[str, Any], kind: type[ConvrefError], message: str) -> None:
    with refused(kind, message):
        read_setting("convref", "7", "3", **{"channels": None, **words})
