"""Quantised outputs: what is exact, what another engine's rounding explains, what is wrong."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from messages import refused
from strategies import Problem, problems

import convref
from convref import DtypeError, Report, ShapeError, WordError, conv, verify_quantised
from convref.verify.requantisations import (
    Scales,
    definition,
    fixed_point,
    half_away,
    half_up,
    nearest,
    requantisations,
    rounded_twice,
)

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(8)
WORDS: dict[str, Any] = {"stride": (2, 1), "padding": ((1, 1), (1, 2)), "groups": 2}
X_CENTRE, Y_CENTRE = 119, 71
X = RANDOM.integers(0, 256, (2, 8, 17, 11)).astype(np.uint8)
W = RANDOM.integers(-127, 128, (12, 4, 3, 3)).astype(np.int8)
BIAS = RANDOM.integers(-20_000, 20_000, 12).astype(np.int32)
X_SCALE, Y_SCALE = np.float32(0.0213), np.float32(0.12)
W_SCALE = RANDOM.uniform(0.002, 0.02, 12).astype(np.float32)
SCALES = {"x_scale": X_SCALE, "w_scale": W_SCALE, "y_scale": Y_SCALE}
CENTRES = {"x_zero_point": X_CENTRE, "y_zero_point": Y_CENTRE}
MULTIPLIER = X_SCALE.astype(float) * W_SCALE / Y_SCALE


def summed(
    x: Array = X, w: Array = W, bias: Array | None = BIAS, centre: int = X_CENTRE, **words: Any
) -> Array:
    """The sums that verify_quantised is asked about, or those of a mistake."""
    sums = oracles.forward(x.astype(np.int64) - centre, w.astype(np.int64), **{**WORDS, **words})
    return sums if bias is None else sums + bias.reshape(-1, 1, 1)


def stored(
    sums: Array, multiplier: Any = MULTIPLIER, rounded: Any = np.rint, centre: int = Y_CENTRE
) -> Array:
    values = rounded(sums * np.broadcast_to(multiplier, 12).reshape(-1, 1, 1))
    return (values + centre).clip(0, 255).astype(np.uint8)


def judged(output: Array) -> Report:
    return verify_quantised(output, X, W, BIAS, **SCALES, **CENTRES, **WORDS)


def test_the_definition():
    multipliers = [Fraction(float(X_SCALE)) * Fraction(float(w)) / Fraction(float(Y_SCALE))
                   for w in W_SCALE]  # fmt: skip
    rows = summed().swapaxes(0, 1).reshape(12, -1)
    output = oracles.levels(rows, multipliers, Y_CENTRE, (0, 255))
    output = output.reshape(12, 2, 9, 12).swapaxes(0, 1).astype(np.uint8)
    report = judged(output)
    assert report.verdict == "exact"
    assert (report.dtype, report.accumulate, report.terms) == ("uint8", "int32", 37)
    assert report.ulp <= 0.5
    assert 0.9 < report.bound_used <= 1
    assert abs(report.statistics.bias) < 0.1
    assert (output == 0).any()
    assert (output == 255).any()


def test_one_step_is_wrong():
    output = stored(summed())
    output[1, 3, 2, 2] += 1
    report = judged(output)
    assert report.verdict == "wrong"
    assert report.worst == (1, 3, 2, 2)
    assert [finding.name for finding in report.diagnosis] == ["element"]


@st.composite
def scales(draw: st.DrawFn, channels: int) -> tuple[np.float32, Array, np.float32]:
    """Scales of multipliers below 1/2: powers of two, of which many sums are ties, or any."""
    if draw(st.booleans()):
        numbers = st.integers(-6, -1).map(lambda power: 2.0**power)
    else:
        numbers = st.floats(2.0**-7, 0.5, exclude_min=True, width=32)
    count = draw(st.sampled_from((1, channels)))
    w = np.array(draw(st.lists(numbers, min_size=count, max_size=count)), np.float32)
    return np.float32(draw(numbers)), w, np.float32(draw(st.sampled_from((0.5, 0.9, 1.0))))


@given(
    problems(), st.data(), st.sampled_from(["int8", "uint8"]), st.sampled_from(["int8", "int16"])
)
def test_any_shape(problem: Problem, data: st.DataObject, signed: str, narrow: str):
    """Exact by the definition in fractions, and wrong where one level is moved by a step."""
    filters = len(problem.w)
    x_scale, w_scale, y_scale = data.draw(scales(filters))
    centres = {"x_zero_point": data.draw(st.integers(4, 99)),
               "y_zero_point": data.draw(st.integers(-100, 100))}  # fmt: skip
    w_centres = np.array(
        data.draw(st.lists(st.integers(-9, 9), min_size=filters, max_size=filters))
    )
    bias = np.array(data.draw(st.lists(st.integers(-99, 99), min_size=filters, max_size=filters)))
    sums = problem.channels_first(oracles.forward(problem.x, problem.w, **problem.words))
    sums = sums + bias.reshape(-1, *[1] * problem.rank)
    assume(sums.size)
    rows = np.moveaxis(sums, -problem.rank - 1, 0)
    factors = [Fraction(float(x_scale)) * Fraction(float(w)) / Fraction(float(y_scale))
               for w in np.broadcast_to(w_scale, filters)]  # fmt: skip
    form, centre = np.iinfo(narrow), centres["y_zero_point"]
    found = oracles.levels(rows.reshape(filters, -1), factors, centre, (form.min, form.max))
    output = problem.in_layout(np.moveaxis(found.reshape(rows.shape), 0, -problem.rank - 1))
    asked: Any = (
        (problem.x + centres["x_zero_point"]).astype(signed),
        (problem.w + w_centres.reshape(-1, 1, *[1] * problem.rank)).astype(np.int8),
        bias.astype(np.int32),
    )
    words = {"x_scale": x_scale, "w_scale": w_scale, "y_scale": y_scale, **centres,
             "w_zero_point": w_centres.astype(np.int8), **problem.words}  # fmt: skip
    assert verify_quantised(output.astype(narrow), *asked, **words).verdict == "exact"

    # Away from the value, so that it is off by at least one step, which no rounding is.
    place = data.draw(st.integers(0, found.size - 1))
    k, p = np.unravel_index(place, found.shape)
    value = int(rows.reshape(filters, -1)[k, p]) * factors[k] + centre
    moved = found[k, p] + (-1 if value >= found[k, p] else 1)
    assume(form.min < value < form.max and form.min <= moved <= form.max)
    found[k, p] = moved
    output = problem.in_layout(np.moveaxis(found.reshape(rows.shape), 0, -problem.rank - 1))
    assert verify_quantised(output.astype(narrow), *asked, **words).verdict == "wrong"


TIES = {"x_scale": 0.5, "w_scale": 0.25, "y_scale": 0.5, "x_zero_point": 8, "y_zero_point": 17}
FEW = RANDOM.integers(0, 16, (2, 3, 12, 12)).astype(np.uint8)
SMALL = RANDOM.integers(-3, 4, (5, 3, 3, 3)).astype(np.int8)
QUARTERS = oracles.forward(FEW.astype(int) - 8, SMALL.astype(int), padding=1) / 4
WAYS: dict[str, Callable[[Array], Array]] = {
    "ties-away": lambda v: np.copysign(np.floor(np.abs(v) + 0.5), v),
    "ties-up": lambda v: np.floor(v + 0.5),
    "ties-down": lambda v: np.ceil(v - 0.5),
    "ties-to-zero": lambda v: np.copysign(np.ceil(np.abs(v) - 0.5), v),
    "zero-point-first": lambda v: np.rint(v + 17) - 17,
}


@pytest.mark.parametrize("name", WAYS)
def test_ties(name: str):
    """A quarter of the values are ties."""
    assert 0.2 < (QUARTERS % 1 == 0.5).mean() < 0.3
    exact, other = np.rint(QUARTERS), WAYS[name](QUARTERS)
    for output, verdict in ((exact, "exact"), (other, "explained")):
        report = verify_quantised((output + 17).astype(np.int8), FEW, SMALL, padding=1, **TIES)
        assert report.verdict == verdict
        assert report.diagnosis == ()
    assert report.explanation is not None
    assert report.explanation.name == name
    count = int((exact != other).sum())
    assert report.explanation.text.startswith(f"{count} of 1440 levels are not those of the def")


def test_ties_both_ways_are_within_the_bound():
    """As when the real bias was rounded, or sums are a float32 short: each level may be either."""
    both = np.where(RANDOM.integers(0, 2, QUARTERS.shape), np.ceil(QUARTERS), np.floor(QUARTERS))
    output = np.where(QUARTERS % 1 == 0.5, both, np.rint(QUARTERS)) + 17
    report = verify_quantised(output.astype(np.int8), FEW, SMALL, padding=1, **TIES)
    assert (report.verdict, report.explanation) == ("within bound", None)


SIXTEEN = {"x_scale": np.float32(0.0021), "w_scale": np.float32(0.013), "y_scale": np.float32(0.07)}
WIDE = RANDOM.integers(-(2**15), 2**15, (1, 64, 30, 30)).astype(np.int16)
DEEP = RANDOM.integers(-127, 128, (12, 64, 3, 3)).astype(np.int8)


def in_float32(sums: Array) -> Array:
    x, w, y = SIXTEEN.values()
    return np.rint(sums.astype(np.float32) * (x * w / y))


def dequantised(_: Array) -> Array:
    x, w, y = SIXTEEN.values()
    return np.rint(conv(WIDE * x, DEEP * w) / y)


def cut_to_16_bits(sums: Array) -> Array:
    """As TensorFlow Lite does with 16-bit activations."""
    x, w, y = map(float, SIXTEEN.values())
    whole, shift = whole_and_shift(x * w / y)
    cut = (whole + (1 << 15)) >> 16
    return each(sums, lambda total: (total * cut + (1 << (14 - shift))) >> (15 - shift))


def each(sums: Array, step: Callable[[int], int]) -> Array:
    return np.array([step(int(total)) for total in sums.ravel()]).reshape(sums.shape)


def whole_and_shift(multiplier: float) -> tuple[int, int]:
    fraction, shift = np.frexp(multiplier)
    whole = int(np.floor(fraction * 2.0**31 + 0.5))
    return (whole >> 1, int(shift) + 1) if whole == 1 << 31 else (whole, int(shift))


HONEST = {
    "float32-multiplier": in_float32,
    "fixed-point-16-bit": cut_to_16_bits,
    "dequantised": dequantised,
}


@pytest.mark.parametrize("name", HONEST)
def test_other_requantisations(name: str):
    """16-bit levels, so many that some values are near enough to a tie for roundings to show."""
    sums = oracles.forward(WIDE.astype(int), DEEP.astype(int))
    output = HONEST[name](sums).clip(-(2**15), 2**15 - 1).astype(np.int16)
    report = verify_quantised(output, WIDE, DEEP, **SIXTEEN)
    assert report.verdict == "explained"
    assert report.explanation is not None
    assert report.explanation.name == name
    assert report.accumulate == "int64"


def test_gemmlowp():
    """With a multiplier from 1/8 to 1/4, so that the first rounding is to eighths."""
    whole, shift = whole_and_shift(float(np.float32(0.3)) * float(np.float32(0.7)))
    assert shift == -2

    def twice(total: int) -> int:
        high = round_half(Fraction(total * whole, 2**31), up=True)
        return round_half(Fraction(high, 4), up=high >= 0)

    sums = oracles.forward(FEW.astype(int) - 8, SMALL.astype(int), padding=1)
    output = (each(sums, twice) + 17).astype(np.int8)
    words = {"x_scale": 0.3, "w_scale": 0.7, "y_scale": 1, "x_zero_point": 8, "y_zero_point": 17}
    report = verify_quantised(output, FEW, SMALL, padding=1, **words)
    assert report.explanation is not None
    assert report.explanation.name == "fixed-point-double-rounding"
    output[1, 2, 3, 4] += 1 if output[1, 2, 3, 4] >= sums[1, 2, 3, 4] * 0.21 + 17 else -1
    assert verify_quantised(output, FEW, SMALL, padding=1, **words).verdict == "wrong"


def test_fixed_point_in_large_sums():
    """31 bits of a multiplier show in sums near 2**31, whatever the levels."""
    drawn = Scales(np.float32(0.02), np.array([0.013], np.float32), np.float32(0.1))
    sums = RANDOM.integers(-(2**31), 2**31, (1, 20_000))
    whole, shift = whole_and_shift(float(drawn.x) * float(drawn.w[0]) / float(drawn.y))
    total = 31 - shift
    wanted = {
        "rounded once, ties up": each(sums, lambda s: (s * whole + (1 << (total - 1))) >> total),
        "as TOSA does": each(
            sums,
            lambda s: (s * whole + (1 << (total - 1)) + (2**30 if s >= 0 else -(2**30))) >> total,
        ),
    }
    ways = list(requantisations(sums, drawn, 0))
    for text, levels in wanted.items():
        assert (levels != definition(sums, drawn)).any()
        (way,) = (way for way in ways if "multiplier has 31" in way.text and text in way.text)
        np.testing.assert_array_equal(way.levels, levels)


@given(st.integers(-(2**31), 2**31 - 1), st.floats(2.0**-31, 64))
def test_rounded_twice_as_gemmlowp(total: int, multiplier: float):
    """Written from the description in gemmlowp's fixedpoint.h, in unlimited integers."""
    (whole,), (shift,) = fixed_point(np.array([multiplier]))
    assert (int(whole), int(shift)) == whole_and_shift(multiplier)
    moved = min(max(total << max(0, int(shift)), -(2**31)), 2**31 - 1)
    high = round_half(Fraction(moved * int(whole), 2**31), up=True)
    divisor = 2 ** max(0, -int(shift))
    sums, one = np.array([[total]]), (np.array([whole]), np.array([shift]))
    away = round_half(Fraction(high, divisor), up=high >= 0)
    assert rounded_twice(sums, *one, half_away).item() == away
    above = round_half(Fraction(high, divisor), up=True)
    assert rounded_twice(sums, *one, half_up).item() == above


def round_half(value: Fraction, up: bool) -> int:
    """To nearest; a tie to the greater integer, or to the lesser."""
    half = Fraction(1, 2)
    return (value + half).__floor__() if up else (value - half).__ceil__()


@given(
    st.lists(st.integers(-(2**31), 2**31), min_size=1, max_size=4),
    st.integers(1, 2**48),
    st.one_of(st.integers(0, 60).map(lambda power: 2**power), st.integers(1, 2**48)),
)
def test_nearest_is_exact(totals: list[int], numerator: int, denominator: int):
    assume(max(map(abs, totals)) * numerator < denominator << 39)
    found = nearest(np.array([totals]), [(numerator, denominator)])
    for total, up, tie in zip(totals, found.up[0], found.tie[0], strict=True):
        value = Fraction(total * numerator, denominator)
        assert up == round_half(value, up=True)
        assert tie == ((2 * value).denominator == 1 and value.denominator == 2)


def test_every_way_differs_from_the_definition_by_a_step_at_most():
    """And where they differ, the value is near a tie: within 1/64 for multipliers below 2**-6."""
    sums = RANDOM.integers(-(2**17), 2**17, (3, 4000))
    drawn = Scales(np.float32(0.02), np.array([0.013, 0.007, 2.0**-8], np.float32), np.float32(0.1))
    with np.errstate(over="ignore"):
        ways = list(requantisations(sums, drawn, 7))
    right = definition(sums, drawn)
    value = sums * (float(drawn.x) * drawn.w.astype(float) / float(drawn.y))[:, None]
    near = np.abs(np.abs(value - np.rint(value)) - 0.5) <= 1 / 64
    names = {way.name for way in ways}
    assert names >= {"ties-away", "float32-multiplier", "fixed-point-double-rounding"}
    for way in ways:
        off = np.abs(way.levels - right)
        assert off.max() <= 1
        assert not (off[~near] > 0).any()


def spoilt(w: Array, *at: Any) -> Array:
    copy = w.copy()
    copy[at] = 0
    return copy


RAW = np.pad(X.astype(int) - X_CENTRE, ((0, 0), (0, 0), (1, 1), (1, 2)), constant_values=-X_CENTRE)
FLIPPED = W[..., ::-1, ::-1]
MISTAKES: dict[str, tuple[Callable[[], Array], str]] = {
    "no zero point of x": (lambda: stored(summed(centre=0)), "x-zero-point-missing"),
    "zero point of x added": (lambda: stored(summed(centre=-X_CENTRE)), "x-zero-point-added"),
    "no zero point of y": (lambda: stored(summed(), centre=0), "y-zero-point-missing"),
    "two zero points of y": (lambda: stored(summed(), centre=2 * Y_CENTRE), "y-zero-point-added"),
    "padding of 0": (
        lambda: stored(oracles.forward(RAW, W.astype(int), stride=(2, 1), groups=2)
                       + BIAS.reshape(-1, 1, 1)),
        "padding-zero-point",
    ),
    "x read as signed": (lambda: stored(summed(X.view(np.int8))), "x-signedness"),
    "w read as unsigned": (lambda: stored(summed(w=W.view(np.uint8))), "w-signedness"),
    "the first scale": (lambda: stored(summed(), MULTIPLIER[0]), "scale-per-tensor"),
    "the largest scale": (lambda: stored(summed(), MULTIPLIER.max()), "scale-per-tensor"),
    "the mean scale": (lambda: stored(summed(), MULTIPLIER.mean()), "scale-unknown"),
    "scales one too late": (lambda: stored(summed(), np.roll(MULTIPLIER, -1)), "scale-order"),
    "scales reversed": (lambda: stored(summed(), MULTIPLIER[::-1]), "scale-order"),
    "half a scale": (lambda: stored(summed(), MULTIPLIER / 2), "scaled"),
    "no bias": (lambda: stored(summed(bias=None)), "bias-missing"),
    "two biases": (lambda: stored(summed(bias=2 * BIAS)), "bias-doubled"),
    "bias of another scale": (lambda: stored(summed(bias=BIAS * 0.3)), "bias-scaled"),
    "bias of y's scale": (lambda: stored(summed(bias=BIAS / 100 / MULTIPLIER)), "bias-unknown"),
    "bias after scaling": (lambda: stored(summed(bias=BIAS / MULTIPLIER)), "bias-scaled"),
    "another bias": (lambda: stored(summed(bias=BIAS[::-1])), "bias-unknown"),
    "truncated": (lambda: stored(summed(), rounded=np.trunc), "truncated"),
    "rounded down": (lambda: stored(summed(), rounded=np.floor), "truncated"),
    "a ReLU": (lambda: np.maximum(stored(summed()), np.uint8(Y_CENTRE)), "relu-fused"),
    "a ReLU6": (lambda: stored(summed()).clip(Y_CENTRE, 190).astype(np.uint8), "clamped"),
    "wrap-around": (
        lambda: (np.rint(summed() * MULTIPLIER.reshape(-1, 1, 1)) + Y_CENTRE).astype(int)
        .astype(np.uint8),
        "saturation-missing",
    ),
    "16 bits that wrap round": (
        lambda: stored(summed().astype(np.int16)), "accumulator-overflow",
    ),
    "16 bits that saturate": (
        lambda: stored(summed().clip(-(2**15), 2**15 - 1)), "accumulator-overflow",
    ),
    "flipped": (lambda: stored(summed(w=FLIPPED)), "kernel-flipped"),
    "padding on the other side": (
        lambda: stored(summed(padding=((1, 1), (2, 1)))), "padding-side",
    ),
    "groups interleaved": (
        lambda: stored(summed(X.reshape(2, 4, 2, 17, 11).swapaxes(1, 2).reshape(X.shape))),
        "group-order",
    ),
    "no last tap": (lambda: stored(summed(w=spoilt(W, ..., 2, 2))), "tap-missing"),
    "no last channel": (
        lambda: stored(summed(w=spoilt(W, slice(None), 3))), "channel-missing",
    ),
    "twice": (lambda: stored(2 * summed()), "accumulated-twice"),
    "one channel": (lambda: spoilt(stored(summed()), slice(None), 5), "channel-block"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_one_mistake(name: str):
    output, expected = MISTAKES[name]
    report = judged(output())
    assert report.verdict == "wrong"
    assert report.explanation is None
    assert report.diagnosis[0].name == expected, report.diagnosis
    assert report.diagnosis[0].text


def test_a_mistake_of_an_engine_that_rounds_otherwise():
    """Flipped, with a float32 multiplier and ties away from zero."""
    sums = summed(w=FLIPPED).astype(np.float32)
    multiplier = (X_SCALE * W_SCALE / Y_SCALE).reshape(-1, 1, 1)
    output = stored((sums * multiplier).astype(float), 1, WAYS["ties-away"])
    assert [finding.name for finding in judged(output).diagnosis] == ["kernel-flipped"]


@pytest.mark.parametrize(
    ("output", "names"),
    [
        (
            np.maximum(stored(summed(w=FLIPPED)), np.uint8(Y_CENTRE)),
            ("relu-fused", "kernel-flipped"),
        ),
        (stored(summed(centre=0, bias=None)), ("x-zero-point-missing", "bias-missing")),
    ],
)  # fmt: skip
def test_two_mistakes(output: Array, names: tuple[str, str]):
    assert tuple(finding.name for finding in judged(output).diagnosis) == names


def test_random_levels_have_no_diagnosis():
    output = RANDOM.integers(0, 256, (2, 12, 9, 12)).astype(np.uint8)
    report = judged(output)
    assert (report.verdict, report.diagnosis) == ("wrong", ())


def test_truncation_shows_as_a_bias():
    assert judged(stored(summed(), rounded=np.floor)).statistics.bias < -0.5


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_zero_points_of_w(layout: str):
    """One for each filter; left out, and that of the first filter for all."""
    centres = np.arange(12, dtype=np.int8) - 3
    w = W // 2
    words = {**WORDS, "layout": layout}
    x = X if layout == "channels_first" else np.moveaxis(X, 1, -1)

    def output(used: Array) -> Array:
        y = stored(summed(w=w.astype(int) - used.reshape(-1, 1, 1, 1)))
        return y if layout == "channels_first" else np.moveaxis(y, 1, -1)

    for used, expected in (
        (centres, None),
        (0 * centres, "w-zero-point-missing"),
        (-centres, "w-zero-point-added"),
        (np.full_like(centres, -3), "w-zero-point-per-tensor"),
    ):
        report = verify_quantised(
            output(used.astype(int)), x, w, BIAS, w_zero_point=centres, **SCALES, **CENTRES, **words
        )
        assert [finding.name for finding in report.diagnosis] == ([expected] if expected else [])
        assert report.verdict == ("wrong" if expected else "exact")


def test_transposed():
    """Weights (C_in, C_out/groups, *kernel), with a scale and a zero point for each of C_out."""
    x, w = X[:, :4, :5, :5], W[:4, :3]
    centres, scale = np.arange(6) - 2, W_SCALE[:6]
    spread = np.repeat(centres.reshape(2, 3), 2, axis=0)[..., None, None]
    words: dict[str, Any] = {"stride": 2, "groups": 2}
    sums = oracles.input_grad(x.astype(int) - 9, w.astype(int) - spread, (12, 11), **words)
    multiplier = X_SCALE.astype(float) * scale / Y_SCALE
    y = (np.rint((sums + 5) * multiplier.reshape(-1, 1, 1)) + 3).clip(-128, 127).astype(np.int8)

    def verdict(y: Array) -> str:
        return verify_quantised(
            y, x, w, np.full(6, 5), kind="transpose", x_scale=X_SCALE, x_zero_point=9,
            w_scale=scale, w_zero_point=centres, y_scale=Y_SCALE, y_zero_point=3, **words,
        ).verdict  # fmt: skip

    assert verdict(y) == "exact"
    assert verdict(y[..., ::-1, :]) == "wrong"


def test_sums_alone():
    """As ConvInteger gives them, compared without any tolerance."""

    def ask(output: Array) -> Report:
        return verify_quantised(output, X, W, x_zero_point=X_CENTRE, **WORDS)

    sums = summed(bias=None)
    report = ask(sums.astype(np.int32))
    assert (report.verdict, report.dtype, report.bound_used) == ("exact", "int32", 0)
    for output, name in (
        (summed(w=FLIPPED, bias=None), "kernel-flipped"),
        (summed(bias=None, centre=0), "x-zero-point-missing"),
        (sums + (np.arange(sums.size) == 77).reshape(sums.shape), "element"),
        (3 * sums, "scaled"),
    ):
        report = ask(output.astype(np.int32))
        assert report.verdict == "wrong"
        assert report.diagnosis[0].name == name


def test_sums_beyond_int32():
    x, w = np.full((1, 40_000, 2), 255, np.uint8), np.full((2, 40_000, 1), 255, np.uint8)
    w[1] = 3
    sums = oracles.forward(x.astype(int), w.astype(int))
    assert sums.max() > 2**31
    assert verify_quantised(sums, x, w).verdict == "exact"
    for output, words in (
        (sums.astype(np.int32), {}),
        (np.rint(sums.astype(np.int32) / 2**24).astype(np.int8),
         {"x_scale": 1.0, "w_scale": 2.0**-24, "y_scale": 1.0}),
    ):  # fmt: skip
        report = verify_quantised(output, x, w, **words)  # type: ignore[arg-type]
        assert report.verdict == "explained"
        assert report.explanation is not None
        assert report.explanation.name == "int32-overflow"


def test_a_real_bias():
    """PyTorch keeps it in float32: the sums are off by what rounding it to an integer changed."""
    x = RANDOM.integers(0, 256, (4, 8, 40, 40)).astype(np.uint8)
    w, bias = W[:, :, :1, :1], BIAS[:12] + RANDOM.uniform(-0.5, 0.5, 12)
    sums = oracles.forward(x.astype(int), w.astype(int), groups=2)
    output = stored(sums + bias.reshape(-1, 1, 1), centre=0)
    rounded = np.rint(bias).astype(np.int32)
    report = verify_quantised(output, x, w, rounded, groups=2, **SCALES)
    assert report.explanation is not None
    assert (report.verdict, report.explanation.name) == ("explained", "bias-unrounded")


def test_no_output():
    x, w = np.zeros((0, 3, 4), np.int8), np.zeros((2, 3, 2), np.int8)
    assert verify_quantised(np.zeros((0, 2, 3), np.int32), x, w).verdict == "exact"
    words = {"x_scale": 1, "w_scale": 1, "y_scale": 1}
    assert verify_quantised(np.zeros((0, 2, 3), np.int8), x, w, **words).verdict == "exact"


def test_another_shape():
    report = judged(stored(summed())[..., :-1])
    assert report.verdict == "wrong"
    assert report.diagnosis[0].name == "shape"
    assert "(2, 12, 9, 11)" in report.diagnosis[0].text


LEVELS = "int8, uint8, int16, uint16"


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"x": X / 2}, DtypeError,
         f"`x` has dtype float64, and is to hold quantised numbers; use one of {LEVELS}"),
        ({"w": W.astype(int)}, DtypeError,
         f"`w` has dtype int64, and is to hold quantised numbers; use one of {LEVELS}"),
        ({"output": np.zeros((2, 12, 9, 12), np.int32)}, DtypeError,
         f"`output` has dtype int32, and is to hold quantised numbers; use one of {LEVELS}"),
        ({"y_scale": None}, WordError,
         f"`x_scale` (={X_SCALE!r}) needs `y_scale`, without which the output is the sums; "
         "give both, or neither"),
        ({"output": np.zeros((2, 12, 9, 12)), "y_scale": None}, DtypeError,
         "`output` has dtype float64, and is to hold quantised numbers; "
         f"use one of {LEVELS}, int32, int64"),
        ({"bias": BIAS / 2}, DtypeError,
         "`bias` has dtype float64, and is to hold quantised numbers; "
         f"use one of {LEVELS}, int32, int64"),
        ({"bias": BIAS[:5]}, ShapeError,
         "`bias` has shape (5,), and there are 12 output channels; give it the shape (12,)"),
        ({"x_scale": None}, WordError,
         "`y_scale` needs `x_scale`, which is missing; give the scale of each"),
        ({"w_scale": -1.0}, WordError,
         "`w_scale` (=-1.0) is not above 0 in float32; such as w_scale=0.1"),
        ({"x_scale": 1j}, WordError,
         "`x_scale` (=1j) is not above 0 in float32; such as x_scale=0.1"),
        ({"y_scale": 1e-60}, WordError,
         "`y_scale` (=1e-60) is not above 0 in float32; such as y_scale=0.1"),
        ({"w_scale": W_SCALE[:3]}, ShapeError,
         "`w_scale` (shape (3,)) holds 3 numbers; give it one, or 12: one a channel"),
        ({"x_scale": W_SCALE}, ShapeError,
         "`x_scale` (shape (12,)) holds 12 numbers; give it one"),
        ({"x_zero_point": 256}, WordError,
         "`x_zero_point` (=256) is not a number of uint8, as its levels are; use 0 to 255"),
        ({"w_zero_point": 0.5}, DtypeError,
         "`w_zero_point` has dtype float64; use int8, as its levels have"),
        ({"kind": "input_grad", "bias": None}, WordError,
         "`kind` (='input_grad') is not quantised; use forward or transpose"),
        ({"strides": 2}, WordError, "there is no word `strides`; did you mean `stride`?"),
    ],
)  # fmt: skip
def test_refusals(changed: dict[str, Any], kind: Any, message: str):
    arguments: dict[str, Any] = {"output": stored(summed()), "x": X, "w": W, "bias": BIAS}
    arguments |= SCALES | CENTRES | WORDS | changed
    with refused(kind, f"verify_quantised: {message}"):
        verify_quantised(**arguments)


def test_saturated_early():
    """To int8 before the zero point is added: no level below it less 128."""
    values = np.rint(summed() * MULTIPLIER.reshape(-1, 1, 1)).clip(-128, 127)
    early = (values + 20).clip(-128, 127).astype(np.int8)
    words = {**WORDS, "x_zero_point": X_CENTRE, "y_zero_point": 20}
    report = verify_quantised(early, X, W, BIAS, **SCALES, **words)
    assert [finding.name for finding in report.diagnosis] == ["saturated-early"]


def test_the_public_name():
    assert convref.verify_quantised is verify_quantised
    assert "verify_quantised" in convref.__all__
