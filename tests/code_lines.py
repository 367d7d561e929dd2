"""Settings with arrays of integers, and how the printed lines of code are run on them."""

from operator import sub
from typing import Any, NamedTuple

import numpy as np
import oracles
import strategies
from hypothesis import assume
from hypothesis import strategies as st

from convref import conv, conv_transpose
from convref.explain import Setting, setting

Array = np.ndarray[Any, Any]


class Drawn(NamedTuple):
    """A setting, and arrays (N, C, *input), weights in convref's shape, and a bias."""

    setting: Setting
    x: Array
    w: Array
    bias: Array

    def expected(self, bias: Array | None) -> Array:
        """What convref itself gives."""
        made, spec = self.setting, self.setting.spec
        words = {name: getattr(spec, name) for name in ("stride", "dilation", "groups", "padding")}
        if made.transposed:
            extra = made.output_padding
            return conv_transpose(self.x, self.w, bias, output_padding=extra, **words)
        others = {"input_dilation": spec.input_dilation, "padding_mode": spec.padding_mode}
        return conv(self.x, self.w, bias, **words, **others)

    def padded(self) -> Array:
        """The input, padded and then cropped by the setting's pairs."""
        geometry = self.setting.geometry
        return framed(self.x, geometry.padding, geometry.padding_mode)


def framed(x: Array, pairs: tuple[tuple[int, int], ...], mode: str) -> Array:
    """The last axes of an array padded by pairs, and cropped where they are negative."""
    more = [(max(0, lo), max(0, hi)) for lo, hi in pairs]
    lead = x.ndim - len(pairs)
    x = np.pad(x, [(0, 0)] * lead + more, mode=oracles.NUMPY_MODE[mode])
    sizes = zip(x.shape[lead:], pairs, strict=True)
    return x[..., *(slice(max(0, -lo), size - max(0, -hi)) for size, (lo, hi) in sizes)]


@st.composite
def drawn(draw: st.DrawFn, transposed: bool | None = None) -> Drawn:
    """Any setting of one to four axes."""
    reverse = draw(st.booleans()) if transposed is None else transposed
    options = {"modes": ("zeros",), "spread_out": False} if reverse else {}
    problem = draw(strategies.problems(layouts=("channels_first",), **options))
    words = problem.without("layout", *(("input_dilation", "padding_mode") if reverse else ()))
    size, filters = problem.input_size, len(problem.w)
    assume(min(size) > 0)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if reverse:
        into, out, size = filters, problem.channels, problem.plan.output
        words |= {"transposed": True, "in_channels": into, "out_channels": out}
        smallest = transposed_least(size, problem.kernel, words)
        words["output_padding"] = tuple(map(sub, problem.input_size, smallest))
    else:
        into, out = problem.channels, filters
        words |= {"in_channels": into, "out_channels": out}
    made = setting(size, problem.kernel, **words)
    x = rng.integers(-4, 5, (2, into, *size)).astype(np.float32)
    bias = rng.integers(-4, 5, out).astype(np.float32)
    return Drawn(made, x, problem.w.astype(np.float32), bias)


def transposed_least(
    size: tuple[int, ...], kernel: tuple[int, ...], words: dict[str, Any]
) -> tuple[int, ...]:
    """The smallest output of a transposed convolution, by definition: the smallest that maps back.

    It may be of no position, where a crop takes more than there is; none is less than that.
    """
    plain = {name: words[name] for name in ("stride", "dilation", "padding")}
    found = []
    for axis, (positions, taps) in enumerate(zip(size, kernel, strict=True)):
        one = {name: oracles.per_axis(value, len(size))[axis] for name, value in plain.items()}
        one = {name: (value,) for name, value in one.items()}
        sizes = (n for n in range(-50, 200) if counted(n, taps, one) == positions)
        found.append(next(sizes))
    return tuple(found)


def counted(size: int, taps: int, words: dict[str, Any]) -> int:
    """Output positions of one axis, also where the input has fewer than none."""
    (stride,), (dilation,), (padding,) = words["stride"], words["dilation"], words["padding"]
    window = (taps - 1) * dilation + 1
    lo, hi = oracles.resolve(padding, size, window, stride)
    return (lo + size + hi - window) // stride + 1
