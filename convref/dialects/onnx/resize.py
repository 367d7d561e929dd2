"""Resize: an array sampled at other places, along one axis after the other.

Along each axis it is a sparse matrix, as in `convref.layers.upsample`: an output position is the
weighted sum of the input positions near the place where it looks. Places are exact fractions.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import ceil, floor, prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convref.dialects.onnx.attributes import Ints, axes_of, choice, flag, listed, operator
from convref.dtypes import accumulator, as_array, divisible
from convref.errors import ShapeError, WordError
from convref.integers import real
from convref.layer import cast_to
from convref.layers.upsample import Table, apply
from convref.memory import check_fits

Array = NDArray[Any]
Places = Sequence[Fraction]
HALF = Fraction(1, 2)
WHOLE = Fraction(0), Fraction(1)


class Stretch(NamedTuple):
    """How one axis is resized."""

    size: int
    """Positions of the input."""
    length: int
    """Positions of the output."""
    scale: Fraction
    """Output positions for each of the input; ``length / size``, unless it was given."""
    start: Fraction
    """Where tf_crop_and_resize starts and ends, as parts of the input."""
    end: Fraction


def half_pixel(o: int, axis: Stretch) -> Fraction:
    """Cells of equal width cover the same extent."""
    return (o + HALF) / axis.scale - HALF


def half_pixel_symmetric(o: int, axis: Stretch) -> Fraction:
    """The same, with the centres in the same place where the extents differ by a fraction."""
    adjustment = axis.length / (axis.scale * axis.size)
    return Fraction(axis.size, 2) * (1 - adjustment) + half_pixel(o, axis)


def align_corners(o: int, axis: Stretch) -> Fraction:
    """The outermost positions are the same; the length is a fraction where scales were given."""
    last = axis.scale * axis.size - 1
    return o * (axis.size - 1) / last if last else Fraction(0)


def tf_crop_and_resize(o: int, axis: Stretch) -> Fraction:
    """The outermost positions are where the region starts and ends."""
    part = Fraction(o, axis.length - 1) if axis.length > 1 else HALF
    return (axis.size - 1) * (axis.start + part * (axis.end - axis.start))


PLACES: dict[str, Callable[[int, Stretch], Fraction]] = {
    "half_pixel": half_pixel,
    "half_pixel_symmetric": half_pixel_symmetric,
    "pytorch_half_pixel": lambda o, axis: half_pixel(o, axis) if axis.length > 1 else Fraction(0),
    "align_corners": align_corners,
    "asymmetric": lambda o, axis: o / axis.scale,
    "tf_crop_and_resize": tf_crop_and_resize,
}
"""Where in the input output position o looks, by coordinate_transformation_mode."""
NEAREST: dict[str, Callable[[Fraction], int]] = {
    "round_prefer_floor": lambda i: ceil(i - HALF),
    "round_prefer_ceil": lambda i: floor(i + HALF),
    "floor": floor,
    "ceil": ceil,
}
"""Which input position is taken for a place, by nearest_mode."""
POLICIES = {"stretch": None, "not_larger": min, "not_smaller": max}
"""Which of the axes' scales becomes that of all, by keep_aspect_ratio_policy."""
REACH = {"linear": 1, "cubic": 2}
"""From which distance on a position has no weight, by mode."""


class Filter(NamedTuple):
    """How positions near a place are weighted."""

    mode: str
    nearest_mode: str
    a: float
    """ONNX's cubic_coeff_a."""
    exclude_outside: bool
    antialias: bool

    def weights(self, distance: Array) -> Array:
        """Of positions at these distances."""
        t = abs(distance)
        if self.mode == "linear":
            return (1 - t).clip(0)
        near = ((self.a + 2) * t - (self.a + 3)) * t**2 + 1
        far = self.a * (((t - 5) * t + 8) * t - 4)
        return np.where(t <= 1, near, np.where(t < 2, far, 0))

    def table(self, places: Places, axis: Stretch) -> Table:
        """The matrix of one axis."""
        if self.mode == "nearest":
            nearest = [NEAREST[self.nearest_mode](place) for place in places]
            return Table(np.array([nearest]).clip(0, axis.size - 1), None)
        squeeze = min(Fraction(1), axis.scale) if self.antialias else Fraction(1)
        reach = ceil(REACH[self.mode] / squeeze)
        beside = np.arange(1 - reach, reach + 1)[:, None]
        check_fits(48 * beside.size * len(places), "the table of all positions")
        below = [floor(place) for place in places]
        rest = np.array([float(place - low) for place, low in zip(places, below, strict=True)])
        weights = self.weights((beside - rest) * float(squeeze))
        columns = np.array(below) + beside
        if self.exclude_outside:
            weights[(columns < 0) | (columns >= axis.size)] = 0
        if self.exclude_outside or self.antialias:
            with np.errstate(all="ignore"):  # a place far outside has nothing to weigh
                weights /= weights.sum(axis=0)
        columns = columns.clip(0, axis.size - 1)
        # Zero times infinity is NaN: what has no weight shows a position that has.
        shown = np.take_along_axis(columns, weights.argmax(axis=0)[None], axis=0)
        return Table(np.where(weights == 0, shown, columns), weights)


@operator
def Resize(
    X: ArrayLike,
    roi: ArrayLike | None = None,
    scales: ArrayLike | None = None,
    sizes: ArrayLike | None = None,
    *,
    antialias: int = 0,
    axes: Ints | None = None,
    coordinate_transformation_mode: str | bytes = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str | bytes = "stretch",
    mode: str | bytes = "nearest",
    nearest_mode: str | bytes = "round_prefer_floor",
) -> Array:
    """X sampled at other places: `convref.layers.Upsample` for any axes, sizes and places.

    One of ``scales`` and ``sizes`` has an entry per axis of X, or of ``axes``; ``roi``, two (all
    starts, then all ends), is for "tf_crop_and_resize". ``mode`` is "nearest", "linear" or "cubic".
    What lies beyond an edge is as the edge. Integers are interpolated in float64 and rounded.

    >>> Resize([1.0, 3.0], None, [2.0], mode="linear")
    array([1. , 1.5, 2.5, 3. ])
    >>> Resize([1.0, 3.0], None, None, [3], coordinate_transformation_mode="asymmetric")
    array([1., 3., 3.])
    """
    x = as_array("X", X)
    word = choice("coordinate_transformation_mode", coordinate_transformation_mode, tuple(PLACES))
    filter = Filter(
        choice("mode", mode, ("nearest", *REACH)),
        choice("nearest_mode", nearest_mode, tuple(NEAREST)),
        real("cubic_coeff_a", cubic_coeff_a),
        flag("exclude_outside", exclude_outside),
        flag("antialias", antialias),
    )
    if filter.antialias and filter.mode == "nearest":
        raise WordError(
            "`antialias` (=1) is for interpolation, and `mode` is 'nearest'",
            "use mode='linear' or 'cubic', or leave it out",
        )
    policy = choice("keep_aspect_ratio_policy", keep_aspect_ratio_policy, tuple(POLICIES))
    beyond = real("extrapolation_value", extrapolation_value)
    chosen = axes_of(axes, x.ndim)
    cropping = word == "tf_crop_and_resize"
    stretches = stretched(x, chosen, roi if cropping else None, scales, sizes, policy)

    y = x if filter.mode == "nearest" else summable(x)
    outside = np.zeros((), bool)
    for axis, stretch in zip(chosen, stretches, strict=True):
        places = [PLACES[word](o, stretch) for o in range(stretch.length)]
        if places != list(range(stretch.size)):
            y = apply(filter.table(places, stretch), y, axis)
        if cropping:
            out = np.array([not 0 <= place <= stretch.size - 1 for place in places])
            outside = outside | out.reshape(-1, *[1] * (x.ndim - axis - 1))
    return rounded(np.where(outside, y.dtype.type(beyond), y), x.dtype)


def summable(X: Array) -> Array:
    """X in the dtype that its weighted sums are taken in."""
    X = divisible(X)
    return X.astype(accumulator(X.dtype, None), copy=False)


def rounded(y: Array, dtype: np.dtype[Any]) -> Array:
    """Sums in the dtype of X; integers are rounded, and brought into its range."""
    if dtype.kind in "iu" and y.dtype != dtype:
        limits = np.iinfo(dtype)
        y = np.rint(y).clip(limits.min, limits.max)
    with np.errstate(all="ignore"):
        return y.astype(dtype, copy=False)


def stretched(
    X: Array,
    axes: list[int],
    roi: ArrayLike | None,
    scales: ArrayLike | None,
    sizes: ArrayLike | None,
    policy: str,
) -> list[Stretch]:
    """How each of these axes is resized; raise WordError or ShapeError."""
    given = {
        name: value
        for name, value in (("scales", scales), ("sizes", sizes))
        if value is not None and as_array(name, value).size  # an empty list stands for one left out
    }
    if len(given) != 1:
        raise WordError(
            f"{len(given)} of `scales` and `sizes` are given",
            "give one of them, and None for the other",
        )
    old = [X.shape[axis] for axis in axes]
    if not prod(X.shape):
        raise ShapeError(f"`X` (shape {X.shape}) is empty", "give each axis one position or more")
    regions = regions_of(roi, len(axes))
    if "scales" in given:
        factors = floats("scales", given["scales"], len(axes))
        if not (factors > 0).all():
            raise WordError(f"`scales` (={factors}) must be above 0", "use positive numbers")
        ratios = [Fraction(float(factor)) for factor in factors]
        # In float32, in which 10 * 0.7 is 7, as scales are.
        new = [
            floor(np.float32(size) * np.float32(end - start) * factor)
            for size, (start, end), factor in zip(old, regions, factors, strict=True)
        ]
    else:
        new = listed("sizes", given["sizes"])
        check_count("sizes", len(new), len(axes))
        ratios = [Fraction(length, size) for length, size in zip(new, old, strict=True)]
        if (best := POLICIES[policy]) is not None:
            ratios = [best(ratios)] * len(axes)
            new = [floor(ratio * size + HALF) for ratio, size in zip(ratios, old, strict=True)]
    if min(new, default=1) < 1:
        raise ShapeError(f"the output would be empty, of sizes {new}", "use larger ones")
    check_fits(prod(X.shape) * X.itemsize // prod(old) * prod(new), "the output")
    return [
        Stretch(size, length, ratio, *region)
        for size, length, ratio, region in zip(old, new, ratios, regions, strict=True)
    ]


def regions_of(roi: ArrayLike | None, count: int) -> list[tuple[Fraction, Fraction]]:
    """Start and end along each axis, as parts of the input; of all of it where there is no roi."""
    if roi is None or not as_array("roi", roi).size:
        return [WHOLE] * count
    entries = [Fraction(float(entry)) for entry in floats("roi", roi, 2 * count)]
    return list(zip(entries[:count], entries[count:], strict=True))


def floats(name: str, value: ArrayLike, count: int) -> NDArray[np.float32]:
    """An input of so many finite numbers, as float32; raise WordError."""
    array = cast_to(np.dtype(np.float32), name, np.atleast_1d(as_array(name, value)))
    check_count(name, array.size, count)
    if not np.isfinite(array).all():
        raise WordError(f"`{name}` (={array}) must be finite", "use numbers")
    return array


def check_count(name: str, found: int, count: int) -> None:
    """Check that an input has an entry, or two, for each axis."""
    if found != count:
        raise WordError(f"`{name}` has {found} entries, and needs {count}", f"give it {count}")
