"""What brainpy's layers are given beside numbers: initialisers and modes.

Each has a form that JSON can hold, ``{"class_name": "XavierNormal", "config": {"seed": 0}}``, which
a layer takes in its place.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from convref import initialisers
from convref.errors import ConvrefError, WordError, shown, verb
from convref.initialisers import Fans, Initialiser
from convref.integers import integer, is_sequence, members, per_axis
from convref.layer import generator
from convref.memory import check_fits
from convref.weighted import inexact

Array = NDArray[Any]


class AssertedError(WordError, AssertionError):
    """What brainpy asserts, and is not so."""


# Modes


@dataclass
class Mode:
    """What a model is computed for."""


@dataclass
class NonBatchingMode(Mode):
    """Without a batch axis; nothing is learned."""


@dataclass
class BatchingMode(Mode):
    """In batches; nothing is learned."""

    batch_size: int = 1


@dataclass
class TrainingMode(BatchingMode):
    """In batches, to learn."""


nonbatching_mode, batching_mode, training_mode = NonBatchingMode(), BatchingMode(), TrainingMode()


# Initialisers


@dataclass
class Initializer:
    """First values, drawn by a generator of the initialiser's own, which goes on where it was."""

    def __post_init__(self) -> None:
        try:
            self.rng = generator(getattr(self, "seed", None))
            self.canonical()  # a slip in the words shows now
        except ConvrefError as error:
            error.operation = type(self).__name__
            raise

    @verb
    def __call__(self, shape: int | Sequence[int], dtype: DTypeLike | None = None) -> Array:
        """Values of a shape (*kernel, C/groups, K), in float32 by default."""
        given = members("shape", shape) if is_sequence(shape) else (shape,)
        sizes = per_axis("shape", given, len(given), minimum=0)
        check_fits(8 * prod(sizes), f"an array of shape {sizes}")
        return self.draw(sizes).astype(np.float32 if dtype is None else inexact(dtype))

    def draw(self, shape: tuple[int, ...]) -> Array:
        """Values in float64."""
        return self.canonical()(shape, self.rng)

    def canonical(self) -> Initialiser:
        """What it is called in convref."""
        raise NotImplementedError


@dataclass
class ZeroInit(Initializer):
    """All 0."""

    def canonical(self) -> Initialiser:
        return initialisers.Zeros()


@dataclass
class Constant(Initializer):
    """All the same value."""

    value: float = 1.0

    def canonical(self) -> Initialiser:
        return initialisers.Constant(self.value)


@dataclass
class OneInit(Constant):
    """All 1, or another value."""


@dataclass
class Normal(Initializer):
    """Normal; scale is the standard deviation."""

    mean: float = 0.0
    scale: float = 1.0
    seed: int | None = None

    def canonical(self) -> Initialiser:
        return initialisers.Normal(self.mean, self.scale)


@dataclass
class Uniform(Initializer):
    """Uniform in [min_val, max_val)."""

    min_val: float = 0.0
    max_val: float = 1.0
    seed: int | None = None

    def canonical(self) -> Initialiser:
        return initialisers.Uniform(self.min_val, self.max_val)


@dataclass
class VarianceScaling(Initializer):
    """Mean 0 and variance scale / fan; in_axis and out_axis say which axes are the channels.

    Raises AssertedError for an unknown mode or distribution.
    """

    scale: float
    mode: str
    distribution: str
    in_axis: int = -2
    out_axis: int = -1
    seed: int | None = None

    def canonical(self) -> Initialiser:
        try:
            return initialisers.VarianceScaling(self.scale, self.mode, self.distribution)
        except WordError as error:
            raise AssertedError(error.rule, error.mend) from None

    def draw(self, shape: tuple[int, ...]) -> Array:
        if len(shape) < 2:
            fans = Fans(prod(shape), prod(shape))
        else:
            # All products but those of one output channel, or of one input channel.
            into, out = (
                prod(shape) // max(1, shape[axis_of(name, axis, shape)])
                for name, axis in (("out_axis", self.out_axis), ("in_axis", self.in_axis))
            )
            fans = Fans(into, out)
        return self.canonical()(shape, self.rng, fans)


@dataclass
class KaimingUniform(VarianceScaling):
    """Uniform, of variance 2 / fan_in."""

    scale: float = 2.0
    mode: str = "fan_in"
    distribution: str = "uniform"


@dataclass
class KaimingNormal(VarianceScaling):
    """Truncated normal, of variance 2 / fan_in."""

    scale: float = 2.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"


@dataclass
class XavierUniform(VarianceScaling):
    """Uniform, of variance 2 / (fan_in + fan_out)."""

    scale: float = 1.0
    mode: str = "fan_avg"
    distribution: str = "uniform"


@dataclass
class XavierNormal(VarianceScaling):
    """Truncated normal, of variance 2 / (fan_in + fan_out).

    >>> XavierNormal(seed=0)((3, 3, 2, 4)).shape
    (3, 3, 2, 4)
    """

    scale: float = 1.0
    mode: str = "fan_avg"
    distribution: str = "truncated_normal"


@dataclass
class LecunUniform(VarianceScaling):
    """Uniform, of variance 1 / fan_in."""

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "uniform"


@dataclass
class LecunNormal(VarianceScaling):
    """Truncated normal, of variance 1 / fan_in."""

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"


@dataclass
class Orthogonal(Initializer):
    """A random orthogonal matrix times scale, whose rows are what lies along an axis."""

    scale: float = 1.0
    axis: int = -1
    seed: int | None = None

    def canonical(self) -> Initialiser:
        return initialisers.Orthogonal(self.scale)

    def draw(self, shape: tuple[int, ...]) -> Array:
        axis = axis_of("axis", self.axis, shape)
        rows_first = (shape[axis], *shape[:axis], *shape[axis:][1:])
        return np.moveaxis(super().draw(rows_first), 0, axis)


def axis_of(name: str, axis: int, shape: tuple[int, ...]) -> int:
    """The number of an axis, which may count from the end; raise WordError."""
    if not -len(shape) <= integer(name, axis) < len(shape):
        raise WordError(
            f"`{name}` (={axis}) is no axis of the shape {shape}", "use -1 for the last"
        )
    return axis % len(shape)


# In JSON


KINDS: dict[str, type[Mode] | type[Initializer]] = {
    kind.__name__: kind
    for kind in (
        *(NonBatchingMode, BatchingMode, TrainingMode, ZeroInit, Constant, OneInit, Normal),
        *(Uniform, VarianceScaling, KaimingUniform, KaimingNormal, XavierUniform, XavierNormal),
        *(LecunUniform, LecunNormal, Orthogonal),
    )
}


def written(value: Mode | Initializer) -> dict[str, Any]:
    """The form that JSON can hold."""
    return {"class_name": type(value).__name__, "config": asdict(value)}


@verb
def read(value: object) -> Any:
    """The object of such a form; any other value as it is."""
    if not isinstance(value, dict):
        return value
    form = cast(dict[str, Any], value)
    name, words = form.get("class_name"), form.get("config", {})
    if not isinstance(name, str) or name not in KINDS or not isinstance(words, dict):
        raise WordError(
            f"{shown(value)} names no initialiser and no mode", f"use one of {', '.join(KINDS)}"
        )
    try:
        return KINDS[name](**words)
    except TypeError as error:  # of words that the class doesn't have
        raise WordError(f"there is no such {name}: {error}", "check `config`") from None
