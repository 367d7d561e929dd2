"""How engines take sums of integers back to levels: multipliers, and ways to round.

The definition is ``saturate(round(sum * x_scale * w_scale / y_scale) + y_zero_point)`` with ties to
even and scales that are float32 numbers (ONNX, QLinearConv and QuantizeLinear). Engines differ:

- ONNX Runtime (`QLinearConv`, `MlasRequantizeOutput`), FBGEMM (`requantize_`), XNNPACK (the kernels
  `fp32`) and PyTorch's QNNPACK compute ``(x_scale * w_scale) / y_scale`` in float32, multiply in
  float32 and round ties to even; oneDNN adds the zero point before it rounds.
- gemmlowp (`fixedpoint.h`) has a multiplier of 31 bits and a shift, and rounds twice: the high half
  of the doubled product (`SaturatingRoundingDoublingHighMul`, ties up), then what is shifted out
  (`RoundingDivideByPOT`, ties away from zero). TensorFlow Lite (`MultiplyByQuantizedMultiplier`)
  does so, or, built with TFLITE_SINGLE_ROUNDING, rounds once, ties up. It computes the multiplier
  in float64 (`QuantizeMultiplier`), of a whole tensor from ``x_scale * w_scale`` in float32
  (`GetQuantizedConvolutionMultipler`). With 16-bit activations it cuts the multiplier to 16 bits.
- XNNPACK (the kernels `rndnu` and `rndna`) and QNNPACK take the float32 multiplier for an integer
  and a shift, and round once, ties up or away from zero.
- TOSA (`RESCALE`, `apply_scale_32`) rounds once, ties up, or twice by adding a quarter first.

Sums stand in rows, one for each multiplier.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Integers = NDArray[np.int64]
Ratio = tuple[int, int]
"""A numerator and a denominator."""

FAR = 2.0**40
"""Beyond every level: values so large are saturated, however they are rounded."""


class Scales(NamedTuple):
    """That of x, those of w (one, or one for each row), and that of y."""

    x: np.float32
    w: NDArray[np.float32]
    y: np.float32


class Requantisation(NamedTuple):
    """A way to requantise, and the levels, counted from the zero point, that it gives."""

    name: str
    text: str
    levels: Array


class Nearest(NamedTuple):
    """``floor(value + 1/2)``, whether the value is a tie, and whether it is below 0."""

    up: Integers
    tie: NDArray[np.bool_]
    negative: NDArray[np.bool_]


RULES: dict[str, Callable[[Nearest], Integers]] = {
    "to even": lambda n: n.up - (n.tie & (n.up % 2 == 1)),
    "away from zero": lambda n: n.up - (n.tie & n.negative),
    "up": lambda n: n.up,
    "down": lambda n: n.up - n.tie,
    "toward zero": lambda n: n.up - (n.tie & ~n.negative),
    "to odd": lambda n: n.up - (n.tie & (n.up % 2 == 0)),
}
"""Where ties go."""
NAMES = {"away from zero": "ties-away", "up": "ties-up", "down": "ties-down"}
NAMES |= {"toward zero": "ties-to-zero"}


def definition(sums: Integers, scales: Scales) -> Array:
    """The levels, counted from the zero point, before they are saturated."""
    return RULES["to even"](nearest(sums, exactly(scales)))


def requantisations(sums: Integers, scales: Scales, zero_point: int) -> Iterator[Requantisation]:
    """Other ways, the most plausible first."""
    found = nearest(sums, exactly(scales))
    for rule, name in NAMES.items():
        yield Requantisation(name, f"ties are rounded {rule}, not to even", RULES[rule](found))
    if zero_point % 2:
        text = "the zero point, which is odd, is added before rounding, so that ties go to odd"
        yield Requantisation("zero-point-first", text, RULES["to odd"](found))
    yield from in_float32(sums, scales, zero_point)
    yield from in_fixed_point(sums, scales)


def in_float32(sums: Integers, scales: Scales, zero_point: int) -> Iterator[Requantisation]:
    """Multipliers of float32, with products in float32 or, as an integer and a shift, exact."""
    for form, multiplier in multipliers(scales).items():
        what = f"the multiplier is {form} in float32"
        product = sums.astype(np.float32) * multiplier[:, None]
        for name, text, levels in by_rule(product, zero_point):
            yield Requantisation(name, f"{what}, and so is the product{text}", levels)
        found = nearest(sums, ratios(multiplier))
        for rule in ("up", "away from zero", "to even"):
            text = f"{what}, applied as an integer and a shift, ties {rule}"
            yield Requantisation("fixed-point-multiplier", text, RULES[rule](found))
    real = sums.astype(np.float32) * (scales.x * scales.w)[:, None]
    for form, value in (("divided by", real / scales.y), ("times 1 /", real * (1 / scales.y))):
        for name, text, levels in by_rule(value, zero_point):
            what = f"the sums are dequantised in float32, then {form} y_scale{text}"
            yield Requantisation(name, what, levels)


def by_rule(values: Array, zero_point: int) -> Iterator[Requantisation]:
    """float32 values rounded: to even, with the zero point added before, and away from zero."""
    name, whole = "float32-multiplier", values.astype(np.float64)
    yield Requantisation(name, "", np.rint(whole))
    shifted = np.rint((values + np.float32(zero_point)).astype(np.float64)) - zero_point
    yield Requantisation(name, ", with the zero point added before rounding", shifted)
    away = np.copysign(np.floor(abs(whole) + 0.5), whole)
    yield Requantisation(name, ", ties away from zero", away)


def in_fixed_point(sums: Integers, scales: Scales) -> Iterator[Requantisation]:
    """A multiplier of 31 bits, of float64, and a shift: rounded once, or twice."""
    x, y, w = float(scales.x), float(scales.y), scales.w.astype(np.float64)
    product = (scales.x * scales.w).astype(np.float64)
    for form, multiplier in (("", x * w / y), (", of a float32 product,", product / y)):
        found = nearest(sums, ratios(multiplier))
        for rule in ("away from zero", "up", "to even"):
            text = f"the multiplier{form} is in float64, ties {rule}"
            yield Requantisation("float64-multiplier", text, RULES[rule](found))
        whole, shifts = fixed_point(multiplier)
        what = f"the multiplier{form} has 31 bits and a shift"
        found = nearest(sums, shifted(whole, shifts))
        for rule in ("up", "away from zero", "to even"):
            text = f"{what}, and the product is rounded once, ties {rule}"
            yield Requantisation("fixed-point-multiplier", text, RULES[rule](found))
        for how, second in TWICE.items():
            text = f"{what}, and the product is rounded twice, {how}"
            levels = rounded_twice(sums, whole, shifts, second)
            yield Requantisation("fixed-point-double-rounding", text, levels)
        cut = np.where(whole < 0x7FFF0000, (whole + (1 << 15)) >> 16, 0x7FFF)
        found = nearest(sums, shifted(cut << 16, shifts))
        text = f"the multiplier{form} is cut to 16 bits, ties up"
        yield Requantisation("fixed-point-16-bit", text, RULES["up"](found))


def rounded_twice(
    sums: Integers, whole: Integers, shifts: Integers, second: Callable[..., Integers]
) -> Integers:
    """By the high half of the doubled product, as int32, and by the shift that is left."""
    left, right = shifts.clip(0, 31)[:, None], (-shifts).clip(0)[:, None]
    moved = (sums.clip(-(2**31), 2**31 - 1) << left).clip(-(2**31), 2**31 - 1)
    return second(moved * whole[:, None], right)


def half_away(product: Integers, shift: Integers) -> Integers:
    """gemmlowp: the high half, ties up, then the shift, ties away from zero."""
    high = (product + (1 << 30)) >> 31
    return (high + ((1 << shift) >> 1) - ((high < 0) & (shift > 0))) >> shift


def half_up(product: Integers, shift: Integers) -> Integers:
    """The high half, then the shift, both with ties up: as ARM's vqrdmulh and vrshl do."""
    high = (product + (1 << 30)) >> 31
    return (high + ((1 << shift) >> 1)) >> shift


def by_quarter(product: Integers, shift: Integers) -> Integers:
    """TOSA's double rounding: half of the high half's unit is added with the sign of the value."""
    nudge = np.sign(product) * (1 << 30) * (shift > 0)
    result: Integers = (product + nudge + (1 << (shift + 30))) >> (shift + 31)
    return result


TWICE = {"as gemmlowp does": half_away, "ties up": half_up, "as TOSA does": by_quarter}


def nearest(sums: Integers, multipliers: list[Ratio]) -> Nearest:
    """The sums times their multipliers, rounded without error.

    A float64 product is off by 2**-52 of its size, and adding 1/2 rounds once more. Only what may
    be a tie, or so near to one, is told by integers.
    """
    factors = np.array([numerator / denominator for numerator, denominator in multipliers])
    values = np.clip(sums * factors[:, None], -FAR, FAR)
    up = np.floor(values + 0.5)
    tie = np.zeros(values.shape, bool)
    gap = abs(values + 0.5 - np.rint(values + 0.5))
    doubtful = (gap <= 2.0**-50 * (abs(values) + 1)) & (abs(values) < FAR)
    up = up.astype(np.int64)
    row = np.nonzero(doubtful)[0] if len(multipliers) > 1 else 0
    above, below = (np.array(part, object)[row] for part in zip(*multipliers, strict=True))
    twice = 2 * sums[doubtful].astype(object) * above + below
    up[doubtful] = twice // (2 * below)
    tie[doubtful] = twice % (2 * below) == 0
    return Nearest(up, tie, sums < 0)


def exactly(scales: Scales) -> list[Ratio]:
    """``x_scale * w_scale / y_scale``, without rounding."""
    (x, over_x), (y, over_y) = (float(scale).as_integer_ratio() for scale in (scales.x, scales.y))
    parts = (float(scale).as_integer_ratio() for scale in scales.w)
    return [(x * w * over_y, over_x * over_w * y) for w, over_w in parts]


def ratios(multipliers: Array) -> list[Ratio]:
    """Numbers of float32 or float64, as ratios."""
    return [float(number).as_integer_ratio() for number in multipliers]


def shifted(whole: Integers, shifts: Integers) -> list[Ratio]:
    """``whole * 2**(shift - 31)``, as ratios."""
    pairs = zip(whole.tolist(), shifts.tolist(), strict=True)
    return [(w << max(0, s - 31), 1 << max(0, 31 - s)) for w, s in pairs]


def multipliers(scales: Scales) -> dict[str, NDArray[np.float32]]:
    """``x_scale * w_scale / y_scale`` as float32 may have it, each value once."""
    x, w, y = scales
    wide = x.astype(np.float64) * w / y
    forms = {
        "x_scale * w_scale / y_scale": x * w / y,
        "x_scale * (w_scale / y_scale)": x * (w / y),
        "x_scale / y_scale * w_scale": x / y * w,
        "x_scale * w_scale * (1 / y_scale)": x * w * (1 / y),
        "x_scale * w_scale / y_scale, rounded once,": wide.astype(np.float32),
    }
    seen = {value.tobytes(): form for form, value in reversed(forms.items())}
    return {form: forms[form] for form in reversed(seen.values())}


def fixed_point(multipliers: Array) -> tuple[Integers, Integers]:
    """Multipliers ``whole * 2**(shift - 31)``, with whole from 2**30 to 2**31 - 1."""
    fractions, shifts = np.frexp(multipliers)
    whole = np.floor(fractions * 2.0**31 + 0.5).astype(np.int64)
    full = whole == 1 << 31
    whole, shifts = np.where(full, whole >> 1, whole), shifts + full
    tiny = shifts < -31  # TensorFlow Lite takes these for 0
    return np.where(tiny, 0, whole), np.where(tiny, 0, shifts).astype(np.int64)
