"""For other people's test suites: is my convolution right, and if not, what did I get wrong?

`conv_cases` draws configurations and arrays (it needs Hypothesis: the extra `testing`); each is a
`ConvCase`, which knows what its output should be. `assert_conv` judges an output of one's own
arrays. With pytest it is a fixture, too, of the same name. Ten lines test a kernel of one's own,
which is here a transposed one, of one channel, in one dimension:

>>> import numpy as np
>>> from hypothesis import given
>>> from convref.testing import conv_cases
>>> def my_kernel(x, w, stride):
...     y = np.zeros(stride * (len(x) - 1) + len(w), x.dtype)
...     for i, value in enumerate(x):
...         y[i * stride : i * stride + len(w)] += value * w
...     return y
>>> lacking = {"dilation": 1, "groups": 1, "padding": ("valid",), "bias": False}
>>> @given(conv_cases(ranks=(1,), kinds=("transpose",), channels=1, batch_axes=(0,), **lacking))
... def test_my_kernel(case):
...     y = my_kernel(case.x[0], case.w[0, 0], *case.stride)
...     case.assert_matches(np.pad(y, (0, *case.output_padding))[None])
>>> test_my_kernel()

A wrong output raises AssertionError, with the verdict, how much of the bound is used, the worst
element, the diagnosis, and the smallest case that Hypothesis finds, to be pasted into a test.
"""

from typing import TYPE_CHECKING

from convref.testing.case import ConvCase
from convref.testing.judging import assert_conv

if TYPE_CHECKING:
    from convref.testing.strategies import conv_cases

__all__ = ["ConvCase", "assert_conv", "conv_cases"]


def __getattr__(name: str) -> object:
    """`conv_cases`, imported with Hypothesis when it is first asked for."""
    if name == "conv_cases":
        from convref.testing.strategies import conv_cases

        return conv_cases
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
