"""Cases drawn from the mathematics of a convolution: sizes follow from the words.

An axis is drawn by its output positions. The input gets the smallest size that gives so many, and a
few cells more, so that every drawn case has an output. The budget of multiply-adds is spent factor
by factor, so that next to no draw is thrown away.

Cases shrink to plain words, and to sizes of 2 and 3: a convolution of 1 by 1 is smaller, but one
number can be wrong in too many ways to tell what went wrong.
"""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import prod
from typing import Any

from convref.errors import DtypeError, MissingExtraError, ShapeError, WordError, shown, verb
from convref.geometry import bind, transposed_size
from convref.padding import WORDS, Pair, smallest_size
from convref.shapes import shape_of
from convref.spec import ConvSpec
from convref.testing.case import ConvCase, dtype_of, largest_sum
from convref.verify.reference import KINDS

try:
    import hypothesis
    from hypothesis import assume, reject
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise MissingExtraError(
        "the package hypothesis is not installed", "pip install 'convref[testing]'"
    ) from error

PADDING = (*WORDS, "ints", "pairs")
"""Words, an int for each axis, a pair for each; besides there is "crop", for negative ones."""
MODES = ("zeros", "reflect", "replicate", "circular")
LAYOUTS = ("channels_first", "channels_last")
MOST_SEEDS = 2**32 - 1
MORE = 8
"""About how many times as many multiply-adds a convolution has as one of its sums."""


@verb
def conv_cases(
    *,
    ranks: Sequence[int] = (1, 2, 3),
    kinds: Sequence[str] = KINDS,
    dtypes: Sequence[str] = ("float32",),
    max_macs: int = 10_000,
    kernel: int = 3,
    stride: int = 3,
    dilation: int = 2,
    input_dilation: int = 1,
    groups: int = 3,
    channels: int = 4,
    padding: Sequence[str] = PADDING,
    padding_modes: Sequence[str] = ("zeros",),
    layouts: Sequence[str] = ("channels_first",),
    batch_axes: Sequence[int] = (1,),
    bias: bool = True,
    integers: bool = True,
) -> st.SearchStrategy[ConvCase]:
    """A Hypothesis strategy of `ConvCase`: configurations and arrays, within these limits.

    - ``ranks``, ``kinds``, ``dtypes``: what to draw from; ``kinds`` are those of `verify`.
    - ``max_macs``: the most multiply-adds of a convolution.
    - ``kernel``, ``stride``, ``dilation``, ``input_dilation``, ``groups``: the largest; True is 3,
      and 1 or False says that the implementation has no such thing.
    - ``channels``: the most in a group, in and out.
    - ``padding``: some of "valid", "same", "same_lower", "causal", "ints" (as much before as
      after), "pairs" (before and after apart) and "crop" (pairs that may be negative).
    - ``padding_modes``, ``layouts``: those of `conv`.
    - ``batch_axes``: how many leading axes x may have.
    - ``bias``: whether a case may have one.
    - ``integers``: values that no order of summation rounds; else real numbers.

    ``words`` holds the stride and the padding, and those of the others that may vary.

    >>> from hypothesis import given
    >>> from convref import conv
    >>> @given(conv_cases(ranks=(2,), kinds=("forward",), groups=1, padding=("same", "pairs")))
    ... def test_conv(case):
    ...     y = conv(case.x, case.w, case.bias, **case.words)
    ...     assert case.check(y).verdict == "exact"
    >>> test_conv()

    Raises WordError for a limit that leaves nothing to draw.
    """
    most = {
        "kernel": kernel,
        "stride": stride,
        "dilation": dilation,
        "input_dilation": input_dilation,
        "groups": groups,
        "channels": channels,
    }
    for name, value in {**most, "max_macs": max_macs}.items():
        if value is not False and (not isinstance(value, int) or value < 1):
            raise WordError(
                f"`{name}` (={shown(value)}) is no limit", "use an integer of at least 1"
            )
    choices = {
        "kinds": chosen("kinds", kinds, KINDS),
        "padding": chosen("padding", padding, (*PADDING, "crop")),
        "padding_modes": chosen("padding_modes", padding_modes, MODES),
        "layouts": chosen("layouts", layouts, LAYOUTS),
        "ranks": counts("ranks", ranks, least=1),
        "batch_axes": counts("batch_axes", batch_axes, least=0),
        "dtypes": tuple(dtype_of(dtype).name for dtype in chosen("dtypes", dtypes, dtypes)),
    }
    limits = {name: 3 if value is True else max(1, int(value)) for name, value in most.items()}
    return drawn_cases(choices, limits, int(max_macs), bias, integers)


def chosen(name: str, given: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Some of the words that are known."""
    words = (given,) if isinstance(given, str) else tuple(given)
    if not words or not set(words) <= set(known):
        raise WordError(
            f"`{name}` (={shown(given)}) must be some of a few words", f"use {list(known)}"
        )
    return words


def counts(name: str, given: Sequence[int], least: int) -> tuple[int, ...]:
    """Some integers."""
    numbers = tuple(given)
    if not numbers or any(type(number) is not int or number < least for number in numbers):
        raise WordError(
            f"`{name}` (={shown(given)}) must be some integers", f"use integers of at least {least}"
        )
    return numbers


@st.composite
def drawn_cases(
    draw: st.DrawFn,
    choices: dict[str, tuple[Any, ...]],
    limits: dict[str, int],
    max_macs: int,
    bias: bool,
    integers: bool,
) -> ConvCase:
    """A case within limits that are sound."""
    kind = draw(st.sampled_from(choices["kinds"]))
    rank = draw(st.sampled_from(choices["ranks"]))
    dtype = draw(st.sampled_from(choices["dtypes"]))
    budget = min(max_macs, MORE * largest_sum(dtype)) if integers else max_macs

    def spend(most: int, plain: int = 2) -> int:
        """One factor of the number of multiply-adds, which shrinks to the plain one."""
        nonlocal budget
        most = max(1, min(most, budget))
        factor = (draw(st.integers(0, most - 1)) + min(plain, most) - 1) % most + 1
        budget //= factor
        return factor

    lead = tuple(spend(3, 1) for _ in range(draw(st.sampled_from(choices["batch_axes"]))))
    window_words, kernel = draw_windows(draw, rank, choices, limits, kind, spend)
    groups, inside, multiplier = (
        spend(limits[name], plain)
        for name, plain in (("groups", 1), ("channels", 2), ("channels", 2))
    )
    if limits["groups"] > 1:
        window_words["groups"] = groups
    spec = ConvSpec.of(rank, **window_words)
    size = draw_size(draw, spec, kernel, spend)
    try:
        geometry = bind(spec, size, kernel)
    except ShapeError:  # what is cropped leaves nothing
        reject()
    filters, channels = groups * multiplier, groups * inside
    macs = prod(lead) * filters * inside * geometry.macs
    assume(macs <= max_macs)  # more padding than window gives more positions
    shape = shape_of(lead, channels, size, spec)
    if kind == "transpose":
        window_words["output_padding"] = tuple(
            length - least
            for length, least in zip(
                size, transposed_size(spec, geometry.output_size, kernel), strict=True
            )
        )
        shape = shape_of(lead, filters, geometry.output_size, spec)
    try:
        return ConvCase(
            kind=kind,
            input_shape=shape,
            weight_shape=(filters, inside, *kernel),
            words=window_words,
            dtype=dtype,
            with_bias=bias and kind in ("forward", "transpose") and draw(st.booleans()),
            integers=integers,
            seed=draw(st.integers(0, MOST_SEEDS)),
        )
    except DtypeError:  # more terms than the dtype can count
        reject()


Spend = Callable[..., int]
"""Draw a factor of the number of multiply-adds, of at most so much, with a plain one."""


def draw_windows(
    draw: st.DrawFn,
    rank: int,
    choices: dict[str, tuple[Any, ...]],
    limits: dict[str, int],
    kind: str,
    spend: Spend,
) -> tuple[dict[str, Any], tuple[int, ...]]:
    """The words that say where windows lie, without those that can't vary; the kernel's sizes."""
    kernel = tuple(spend(limits["kernel"]) for _ in range(rank))
    words: dict[str, Any] = {}
    forward = kind != "transpose"
    for word in ("stride", "dilation", *(["input_dilation"] if forward else [])):
        if word == "stride" or limits[word] > 1:
            words[word] = tuple(draw(st.integers(1, limits[word])) for _ in range(rank))
    steps = words.get("dilation", (1,) * rank)
    windows = [(k - 1) * d + 1 for k, d in zip(kernel, steps, strict=True)]
    words["padding"] = draw_padding(draw, draw(st.sampled_from(choices["padding"])), windows)
    if forward and choices["padding_modes"] != ("zeros",):
        words["padding_mode"] = draw(st.sampled_from(choices["padding_modes"]))
    if choices["layouts"] != ("channels_first",):
        words["layout"] = draw(st.sampled_from(choices["layouts"]))
    return words, kernel


def draw_padding(draw: st.DrawFn, sort: str, windows: list[int]) -> str | tuple[int | Pair, ...]:
    """A padding of this sort: a word itself, or amounts up to the windows."""
    if sort in WORDS:
        return sort
    if sort == "ints":
        return tuple(draw(st.integers(0, window)) for window in windows)
    least = -2 if sort == "crop" else 0
    return tuple(
        (draw(st.integers(least, window)), draw(st.integers(least, window))) for window in windows
    )


def draw_size(
    draw: st.DrawFn, spec: ConvSpec, kernel: tuple[int, ...], spend: Spend
) -> tuple[int, ...]:
    """Input sizes for drawn output sizes, perhaps with cells at the end that no window reaches."""
    sizes = []
    for axis, (taps, stride) in enumerate(zip(kernel, spec.stride, strict=True)):
        window = (taps - 1) * spec.dilation[axis] + 1
        cells = smallest_size(spec.padding, axis, spend(8, 3), window, stride)
        cells = max(1, cells + draw(st.integers(0, stride - 1)))
        sizes.append(-(-(cells - 1) // spec.input_dilation[axis]) + 1)
    return tuple(sizes)


def search(
    examine: Callable[[ConvCase], None], cases: st.SearchStrategy[ConvCase], count: int, seed: int
) -> None:
    """Examine drawn cases one by one; where that raises, look for the smallest that does."""
    settings = hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
        report_multiple_bugs=False,
    )

    def examined(case: ConvCase) -> None:
        examine(case)

    # Flaky: what was raised once, and not again, stands. Deprecated: numbers from `random`, which
    # another thread may draw meanwhile, such as those of a cluster.
    with suppress(hypothesis.errors.Flaky), warnings.catch_warnings():
        warnings.simplefilter("ignore", hypothesis.errors.HypothesisDeprecationWarning)
        hypothesis.seed(seed)(settings(hypothesis.given(cases)(examined)))()
