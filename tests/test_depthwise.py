"""Depthwise and separable convolutions equal the plain ones that they are made of."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import Problem, problems

from convref import conv, depthwise_conv, separable_conv


@given(p=problems(), multiplier=st.integers(1, 3))
def test_depthwise_convolves_each_channel_alone(p: Problem, multiplier: int) -> None:
    words = p.without("groups")
    w = np.resize(p.w, (p.channels * multiplier, 1, *p.kernel))
    y = p.channels_first(depthwise_conv(p.x, w, np.arange(len(w)), **words))
    x = p.channels_first(p.x)
    words.pop("layout")
    for k, filters in enumerate(w):
        c = k // multiplier
        channel = np.take(x, [c], -p.rank - 1)
        alone = conv(channel, filters[None], [k], **words)
        np.testing.assert_array_equal(np.take(y, [k], -p.rank - 1), alone, strict=True)


@given(p=problems(), filters=st.integers(1, 3))
def test_separable_is_two_convolutions(p: Problem, filters: int) -> None:
    words = p.without("groups")
    depthwise = np.resize(p.w, (2 * p.channels, 1, *p.kernel))
    pointwise = np.resize(p.w, (filters, len(depthwise), *[1] * p.rank))
    middle = conv(p.x, depthwise, groups=p.channels, **words)
    bias = np.arange(filters)
    expected = conv(middle, pointwise, bias, layout=p.words["layout"])
    np.testing.assert_array_equal(
        separable_conv(p.x, depthwise, pointwise, bias, **words), expected, strict=True
    )
