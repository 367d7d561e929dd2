"""The words of a convolution, brought to one form."""

from typing import Any

import numpy as np
import pytest
from messages import refused

from convref import Geometry, WordError, conv, conv_input_grad
from convref.spec import ConvSpec


def test_defaults() -> None:
    assert ConvSpec.of(1) == ConvSpec(
        rank=1,
        stride=(1,),
        padding="valid",
        dilation=(1,),
        input_dilation=(1,),
        groups=1,
        padding_mode="zeros",
        layout="channels_first",
    )


def test_equal_words_give_equal_specs() -> None:
    one = ConvSpec.of(2, stride=2, padding="SAME", layout="Channels_Last", padding_mode="REFLECT")
    other = ConvSpec.of(
        2,
        stride=np.array([2, 2]),
        padding="same",
        layout="channels_last",
        padding_mode="reflect",
        groups=np.int64(1),
    )
    assert one == other
    assert hash(one) == hash(other)
    assert one != ConvSpec.of(2, stride=(2, 1), padding="same", layout="channels_last")


def test_case_of_strings_does_not_matter_to_conv() -> None:
    x, w = np.arange(12).reshape(6, 2), np.ones((1, 2, 3), int)
    upper = conv(x, w, padding="SAME", padding_mode="Circular", layout="CHANNELS_LAST")
    lower = conv(x, w, padding="same", padding_mode="circular", layout="channels_last")
    np.testing.assert_array_equal(upper, lower)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"groups": 0}, "`groups` (=0) must be at least 1; use 1 or more"),
        ({"groups": -2}, "`groups` (=-2) must be at least 1; use 1 or more"),
        (
            {"padding_mode": "mirror"},
            "`padding_mode` (='mirror') is unknown; "
            "use one of 'zeros', 'reflect', 'replicate', 'circular'",
        ),
        (
            {"layout": "NHWC"},
            "`layout` (='NHWC') is unknown; use one of 'channels_first', 'channels_last'",
        ),
        (
            {"layout": None},
            "`layout` (=None) is unknown; use one of 'channels_first', 'channels_last'",
        ),
    ],
)
def test_refused(words: dict[str, Any], message: str) -> None:
    with refused(WordError, f"conv: {message}"):
        conv(np.ones((1, 4)), np.ones((1, 1, 2)), **words)


@pytest.mark.parametrize(
    ("word", "mend"),
    [
        ("strides", "did you mean `stride`?"),
        ("dilations", "did you mean `dilation`?"),
        ("pading", "did you mean `padding`?"),
        (
            "zzz",
            "the words are stride, padding, dilation, input_dilation, groups, padding_mode, layout",
        ),
    ],
)
def test_unknown_words(word: str, mend: str) -> None:
    with refused(WordError, f"conv_input_grad: there is no word `{word}`; {mend}"):
        conv_input_grad(np.ones((1, 3)), np.ones((1, 1, 2)), 4, **{word: 1})
    with pytest.raises(WordError, match=f"there is no word `{word}`"):
        Geometry.of(4, 2, **{word: 1})
