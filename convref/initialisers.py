"""Initialisers: the first values of parameters, drawn by a numpy.random.Generator.

Fan-in and fan-out count how many products make one output, and how many outputs one input takes
part in: for weights (K, C/groups, *kernel) of T taps, ``C/groups * T`` and ``K * T``, as PyTorch
and Keras count them, whatever the stride and the groups.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from convref.errors import ShapeError, WordError, verb
from convref.integers import real
from convref.names import one_of

Array = NDArray[Any]
Shape = tuple[int, ...]

KEPT = 0.8796256610342398
"""Standard deviation of a standard normal variable cut off at ±2.

``sqrt(1 - 4 * density(2) / P(|z| < 2))``; Keras and TensorFlow divide by the same number.
"""


class Fans(NamedTuple):
    """Fan-in and fan-out."""

    into: int
    out: int

    @classmethod
    def of(cls, shape: Shape) -> "Fans":
        """Those of weights (K, C/groups, *kernel); of a bias (K,), 1 and K."""
        if len(shape) < 2:
            return cls(1, prod(shape))
        taps = prod(shape[2:])
        return cls(shape[1] * taps, shape[0] * taps)


class Initialiser(Protocol):
    """The first value of a parameter."""

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        """Values in float64; fans, unless given, are those of the shape."""


@dataclass(frozen=True)
class Constant:
    """All the same value. Raises WordError where it is no finite number."""

    value: float = 0.0

    @verb
    def __post_init__(self) -> None:
        real("value", self.value)

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        return np.full(shape, float(self.value))


@dataclass(frozen=True)
class Zeros:
    """All 0."""

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        return np.zeros(shape)


@dataclass(frozen=True)
class Ones:
    """All 1."""

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        return np.ones(shape)


@dataclass(frozen=True)
class Uniform:
    """Uniform in [low, high). Raises WordError for limits in the wrong order."""

    low: float = -0.05
    high: float = 0.05

    @verb
    def __post_init__(self) -> None:
        low, high = real("low", self.low), real("high", self.high)
        if low > high:
            raise WordError(f"`low` (={low}) is above `high` (={high})", "exchange them")

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        return rng.uniform(self.low, self.high, shape)


@dataclass(frozen=True)
class Normal:
    """Normal. Raises WordError for a standard deviation that is negative."""

    mean: float = 0.0
    standard_deviation: float = 0.05

    @verb
    def __post_init__(self) -> None:
        real("mean", self.mean)
        real("standard_deviation", self.standard_deviation, "of 0 or more")

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        return rng.normal(self.mean, self.standard_deviation, shape)


@dataclass(frozen=True)
class TruncatedNormal:
    """Normal, with values further than two standard deviations from the mean drawn again.

    That leaves a standard deviation of 0.88 of the one given. Raises WordError for one that is
    negative.
    """

    mean: float = 0.0
    standard_deviation: float = 0.05

    @verb
    def __post_init__(self) -> None:
        real("mean", self.mean)
        real("standard_deviation", self.standard_deviation, "of 0 or more")

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        drawn = rng.standard_normal(shape)
        while (far := np.abs(drawn) > 2).any():
            drawn[far] = rng.standard_normal(np.count_nonzero(far))
        return self.mean + self.standard_deviation * drawn


@dataclass(frozen=True)
class VarianceScaling:
    """Mean 0 and variance ``scale / fan``, where fan is that of the mode.

    ``mode`` is "fan_in", "fan_out" or "fan_avg", their mean; ``distribution`` is "uniform",
    "normal" or "truncated_normal". The truncated one is cut off at two standard deviations of a
    normal distribution that is wider by 1/0.8796, so that what is left has the variance asked for.

    Raises WordError for a scale that is not positive, and an unknown mode or distribution.
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"

    @verb
    def __post_init__(self) -> None:
        real("scale", self.scale, "above 0")
        for word, value, known in (
            ("mode", self.mode, ("fan_in", "fan_out", "fan_avg")),
            ("distribution", self.distribution, ("uniform", "normal", "truncated_normal")),
        ):
            one_of(word, value, known)

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        into, out = fans or Fans.of(shape)
        # Where no product is summed there is nothing to draw, whatever the variance.
        fan = {"fan_in": into, "fan_out": out, "fan_avg": (into + out) / 2}[self.mode] or 1
        if self.distribution == "uniform":
            limit = sqrt(3 * self.scale / fan)  # the variance of which is limit**2 / 3
            return rng.uniform(-limit, limit, shape)
        deviation = sqrt(self.scale / fan)
        if self.distribution == "normal":
            return rng.normal(0.0, deviation, shape)
        return TruncatedNormal(0.0, deviation / KEPT)(shape, rng)


def glorot_uniform() -> VarianceScaling:
    """Uniform in ±sqrt(6 / (fan_in + fan_out)); "xavier_uniform" as well.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010.
    """
    return VarianceScaling(1.0, "fan_avg", "uniform")


def glorot_normal() -> VarianceScaling:
    """Truncated normal of variance 2 / (fan_in + fan_out), as Keras; "xavier_normal" as well.

    PyTorch's is not truncated: ``VarianceScaling(1.0, "fan_avg", "normal")``. Glorot and Bengio,
    as `glorot_uniform`.
    """
    return VarianceScaling(1.0, "fan_avg", "truncated_normal")


@verb
def he_uniform(a: float = 0.0) -> VarianceScaling:
    """Uniform in ±sqrt(6 / ((1 + a**2) * fan_in)); "kaiming_uniform" as well.

    ``a`` is the slope below 0 of the leaky ReLU that follows. What PyTorch's convolutions begin
    with is ``he_uniform(a=5**0.5)``: ±1 / sqrt(fan_in).

    He, Zhang, Ren and Sun, "Delving deep into rectifiers: surpassing human-level performance on
    ImageNet classification", ICCV 2015, https://arxiv.org/abs/1502.01852. Raises WordError where a
    is no number.
    """
    return VarianceScaling(2 / (1 + real("a", a) * real("a", a)), "fan_in", "uniform")


@verb
def he_normal(a: float = 0.0) -> VarianceScaling:
    """Truncated normal of variance 2 / ((1 + a**2) * fan_in), as Keras; "kaiming_normal" as well.

    PyTorch's is not truncated: ``VarianceScaling(2.0, "fan_in", "normal")``. He et al. and a, as
    `he_uniform`.
    """
    return VarianceScaling(2 / (1 + real("a", a) * real("a", a)), "fan_in", "truncated_normal")


def lecun_uniform() -> VarianceScaling:
    """Uniform in ±sqrt(3 / fan_in).

    LeCun, Bottou, Orr and Müller, "Efficient backprop", in Neural Networks: Tricks of the Trade,
    1998.
    """
    return VarianceScaling(1.0, "fan_in", "uniform")


def lecun_normal() -> VarianceScaling:
    """Truncated normal of variance 1 / fan_in, as Keras. LeCun et al., as `lecun_uniform`."""
    return VarianceScaling(1.0, "fan_in", "truncated_normal")


@dataclass(frozen=True)
class Orthogonal:
    """A random orthogonal matrix times ``gain``, of weights flattened to (K, the rest).

    Its rows are orthogonal where there are no more of them than columns; else its columns are. It
    is the Q of the QR decomposition of a normal matrix, with the signs that make the diagonal of R
    positive, which spread it evenly over all such matrices.

    Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks", ICLR 2014, https://arxiv.org/abs/1312.6120. Raises WordError for a gain
    that is no number, ShapeError for parameters of one axis.

    >>> w = Orthogonal()((4, 2, 3, 3), np.random.default_rng(0)).reshape(4, 18)
    >>> np.allclose(w @ w.T, np.eye(4))
    True
    """

    gain: float = 1.0

    @verb
    def __post_init__(self) -> None:
        real("gain", self.gain)

    def __call__(self, shape: Shape, rng: np.random.Generator, fans: Fans | None = None) -> Array:
        if len(shape) < 2:
            raise ShapeError(
                f"an orthogonal matrix has two axes or more, not the shape {shape}",
                'use "zeros" for a bias',
            )
        rows, columns = shape[0], prod(shape[1:])
        tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(tall)
        q *= np.where(np.diag(r) < 0, -self.gain, self.gain)
        return np.ascontiguousarray(q if rows >= columns else q.T).reshape(shape)


INITIALISERS: dict[str, Callable[[], Initialiser]] = {
    "constant": Constant,
    "zeros": Zeros,
    "ones": Ones,
    "uniform": Uniform,
    "random_uniform": Uniform,
    "normal": Normal,
    "random_normal": Normal,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "glorot_uniform": glorot_uniform,
    "xavier_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
    "xavier_normal": glorot_normal,
    "he_uniform": he_uniform,
    "kaiming_uniform": he_uniform,
    "he_normal": he_normal,
    "kaiming_normal": he_normal,
    "lecun_uniform": lecun_uniform,
    "lecun_normal": lecun_normal,
    "orthogonal": Orthogonal,
}
"""What may be given by name."""
