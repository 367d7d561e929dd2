"""Activations: elementwise functions as layers, each next to its derivative, and softmax.

They need no parameters, and any layer of weights takes one, by name or as it is:
``Conv2d(3, 8, 3, activation="relu")``.

Outputs have the dtype of the inputs: float16 and bfloat16 are computed in float32 and rounded once,
integers become float64. Nothing overflows on the way, results far out keep their digits
(``Sigmoid()(-40.0)`` is 4.2e-18), and at infinite inputs each function takes its limit.
"""

from collections.abc import Callable
from functools import cache
from math import exp, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.dtypes import wide
from convref.errors import DtypeError, ShapeError, WordError, shown, verb
from convref.integers import integer, real
from convref.layer import Layer
from convref.names import named

Array = NDArray[Any]

FAR = 2e4
"""The exponential of minus this is 0 in every format, and its cube is finite in float32."""


class Elementwise(Layer):
    """``y[i] = value(x[i])``; a subclass writes the value and, beside it, its derivative.

    Raises DtypeError for complex inputs.
    """

    def value(self, x: Array) -> Array:
        """Of an x in float32 or wider; x itself stays as it is."""
        raise NotImplementedError

    def derivative(self, x: Array) -> Array:
        """Of the value, at each element of the last x."""
        raise NotImplementedError

    def forward(self, x: Array) -> Array:
        self.x, dtype = computable(x)
        return self.value(self.x).astype(dtype, copy=False)

    def gradient(self, dy: Array) -> Array:
        return (dy * self.derivative(self.x)).astype(dy.dtype, copy=False)


class Identity(Elementwise):
    """``y = x``, itself and not a copy."""

    def forward(self, x: Array) -> Array:
        return x

    def gradient(self, dy: Array) -> Array:
        return dy


class ReLU(Elementwise):
    """``max(x, 0)``; the derivative at 0 is taken as 0.

    >>> ReLU()([-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    """

    # One pass there and two back, and x need not be kept: where y is not 0, it is x.

    def forward(self, x: Array) -> Array:
        x, dtype = computable(x)
        self.y: Array = np.maximum(x, 0).astype(dtype, copy=False)
        return self.y

    def gradient(self, dy: Array) -> Array:
        dx: Array = np.multiply(dy, self.y != 0)
        return dx


class LeakyReLU(Elementwise):
    """``x`` above 0, ``slope * x`` below; the derivative at 0 is the slope.

    Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models",
    ICML 2013. Raises WordError for a slope that is not positive.

    >>> LeakyReLU(0.25)([-1.0, 0.0, 2.0])
    array([-0.25,  0.  ,  2.  ])
    """

    @verb
    def __init__(self, slope: float = 0.01, name: str | None = None) -> None:
        super().__init__(name)
        self.slope = real("slope", slope, "above 0")

    def value(self, x: Array) -> Array:
        return np.maximum(x, 0) + self.slope * np.minimum(x, 0)

    def derivative(self, x: Array) -> Array:
        slope: Array = (x > 0) + (x <= 0) * x.dtype.type(self.slope)
        return slope


class ELU(Elementwise):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below; the derivative at 0 is alpha.

    Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential
    linear units", ICLR 2016, https://arxiv.org/abs/1511.07289. Raises WordError for an alpha that
    is not positive.
    """

    @verb
    def __init__(self, alpha: float = 1.0, name: str | None = None) -> None:
        super().__init__(name)
        self.alpha = real("alpha", alpha, "above 0")

    def value(self, x: Array) -> Array:
        return np.maximum(x, 0) + self.alpha * np.expm1(np.minimum(x, 0))

    def derivative(self, x: Array) -> Array:
        return (x > 0) + (x <= 0) * (self.alpha * np.exp(np.minimum(x, 0)))


class Sigmoid(Elementwise):
    """``1 / (1 + exp(-x))``.

    >>> Sigmoid()([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """

    def value(self, x: Array) -> Array:
        return logistic(x)

    def derivative(self, x: Array) -> Array:
        return logistic_slope(x)


class HardSigmoid(Elementwise):
    """``min(max(x / 6 + 1/2, 0), 1)``, as PyTorch and Keras 3; the derivative is 0 at the corners.

    Keras 2 and ONNX have a slope of 0.2 by default.
    """

    def value(self, x: Array) -> Array:
        return np.clip(x / 6 + 0.5, 0, 1)

    def derivative(self, x: Array) -> Array:
        slope: Array = (np.abs(x) < 3) * x.dtype.type(1 / 6)
        return slope


class Tanh(Elementwise):
    """``tanh(x)``.

    Its derivative ``1 - y**2`` would lose its digits far out; it is 4 times that of the logistic
    function at 2x.
    """

    def value(self, x: Array) -> Array:
        return np.tanh(x)

    def derivative(self, x: Array) -> Array:
        return 4 * logistic_slope(2 * within(x))


class Softplus(Elementwise):
    """``log(1 + exp(x))``, whose derivative is the logistic function.

    >>> Softplus()([-1000.0, 0.0, 1000.0])
    array([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])
    """

    def value(self, x: Array) -> Array:
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def derivative(self, x: Array) -> Array:
        return logistic(x)


class SiLU(Elementwise):
    """``x * sigmoid(x)``, called swish as well.

    Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning", Neural Networks 107, 2018,
    https://arxiv.org/abs/1702.03118.
    """

    def value(self, x: Array) -> Array:
        return np.maximum(x, -FAR) * logistic(x)

    def derivative(self, x: Array) -> Array:
        slope: Array = logistic(x) + within(x) * logistic_slope(x)
        return slope


class GELU(Elementwise):
    """``x * Phi(x)`` for the distribution function Phi of the standard normal distribution.

    With ``approximate=True`` Phi is replaced by ``(1 + tanh(sqrt(2/pi) * (x + 0.044715*x**3))) /
    2``, as GPT-2 has it. That is the default of jax.nn.gelu; torch.nn.GELU and
    keras.activations.gelu are exact by default.

    Hendrycks and Gimpel, "Gaussian error linear units", 2016, https://arxiv.org/abs/1606.08415.

    Raises WordError where ``approximate`` is not a boolean.

    >>> GELU()([-10.0, 0.0, 1.0])
    array([-7.61985302e-23,  0.00000000e+00,  8.41344746e-01])
    """

    @verb
    def __init__(self, approximate: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        if not isinstance(approximate, bool):  # "none" is true, and PyTorch's word for False
            raise WordError(
                f"`approximate` (={shown(approximate)}) must be True or False",
                "use True for the tanh",
            )
        self.approximate = approximate

    def value(self, x: Array) -> Array:
        self.phi = logistic(cubic(x)) if self.approximate else normal(x)
        return np.maximum(x, -FAR) * self.phi

    def derivative(self, x: Array) -> Array:
        near = within(x)
        if self.approximate:
            inner = sqrt(8 / pi) * (1 + 3 * 0.044715 * near**2)
            density = logistic_slope(cubic(x)) * inner
        else:
            density = np.exp(-(near**2) / 2) / sqrt(2 * pi)
        return self.phi + near * density


class Softmax(Layer):
    """``exp(x) / sum(exp(x))`` along an axis.

    Where the largest entry is infinite the result is NaN, as in other frameworks; entries of minus
    infinity beside a finite one get 0. Raises DtypeError for complex inputs, ShapeError for an axis
    that x has not.

    >>> Softmax()([0.0, 0.0, -1000.0])
    array([0.5, 0.5, 0. ])
    """

    @verb
    def __init__(self, axis: int = -1, name: str | None = None) -> None:
        super().__init__(name)
        self.axis = integer("axis", axis)

    def forward(self, x: Array) -> Array:
        x, dtype = computable(x)
        if not -x.ndim <= self.axis < x.ndim:
            raise ShapeError(
                f"`axis` (={self.axis}) is not one of the {x.ndim} axes of `x` (shape {x.shape})",
                "use -1 for the last",
            )
        self.y = softmax(x, self.axis)
        return self.y.astype(dtype, copy=False)

    def gradient(self, dy: Array) -> Array:
        mean = np.sum(wide(dy) * self.y, self.axis, keepdims=True)
        dx: Array = self.y * (wide(dy) - mean)
        return dx.astype(dy.dtype, copy=False)


def computable(x: Array) -> tuple[Array, np.dtype[Any]]:
    """x in a dtype that functions are computed in, and the dtype of the result."""
    kind = x.dtype.kind
    if kind == "c":
        raise DtypeError(
            f"`x` ({x.dtype}) is complex, and this is a function of real numbers",
            "pass its real part, its imaginary part or its modulus",
        )
    dtype = np.dtype(np.float64) if kind in "biu" else x.dtype.newbyteorder("=")
    return wide(x.astype(dtype, copy=False)), dtype


def within(x: Array) -> Array:
    """x brought to where products with what vanishes far out are 0, not NaN."""
    return np.clip(x, -FAR, FAR)


def logistic(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, by exponentials that can't overflow."""
    y: Array = np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))
    return y


def logistic_slope(x: Array) -> Array:
    """Derivative of the logistic function: ``s * (1 - s)`` without the cancellation."""
    small = np.exp(-np.abs(x))
    slope: Array = small / np.square(1 + small)
    return slope


def cubic(x: Array) -> Array:
    """Where the approximate GELU takes the logistic function: (1 + tanh u)/2 is that of 2u."""
    near = within(x)
    return sqrt(8 / pi) * near * (1 + 0.044715 * near**2)


def softmax(x: Array, axis: int) -> Array:
    """Shifted by the largest entry, so that no exponential overflows."""
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is NaN, the lowest - max is -inf
        powers = np.exp(x - np.max(x, axis, keepdims=True, initial=-np.inf))
    y: Array = powers / np.sum(powers, axis, keepdims=True)
    return y


def normal(x: Array) -> Array:
    """Phi(x), the distribution function of the standard normal distribution.

    For a = |x|, Phi(-a) is exp(-a**2/2) times an integral over the whole line, to which the
    midpoint rule of step h converges like exp(-(pi/h)**2):

        Phi(-a) = sqrt(2) h a exp(-a**2/2) / pi * sum over n of exp(-s**2) / (a**2 + 2 s**2)
                  + 1 / (1 + exp(sqrt(2) pi a / h)),         s = (n + 1/2) h,  n = 0, 1, ...

    where the last term, from the pole of the integrand, is left out for a > sqrt(2) pi / h. Every
    term is positive, so there is no cancellation: the relative error of Phi(-a) is below
    ``8 * (1 + a**2/2) * u`` for the unit roundoff u, the factor being what one rounding of the
    argument of the exponential costs. (Matta and Reichel, "Uniform computation of the error
    function and other related functions", Mathematics of Computation 25, 1971.)
    """
    step, nodes = midpoints(x.dtype)
    a = np.minimum(np.abs(x), FAR)
    square = a * a
    total, term = np.zeros_like(a), np.empty_like(a)
    for node, weight in nodes:
        np.add(square, node, out=term)
        np.divide(weight, term, out=term)
        total += term
    total *= np.exp(-square / 2)
    total *= (sqrt(2) * step / pi) * a
    pole = sqrt(2) * pi / step
    total += (a < pole) * logistic(-pole * a)
    both: Array = total + (x >= 0) * (1 - 2 * total)
    return both


@cache
def midpoints(dtype: np.dtype[Any]) -> tuple[float, tuple[tuple[float, float], ...]]:
    """A step, and for each midpoint s twice its square and exp(-s**2).

    Of float32, exp(-(pi/h)**2) and the first weight left out are below 2**-28; else below 2**-56.
    """
    step, count = (0.7, 6) if dtype == np.float32 else (0.5, 12)
    midpoints = [(n + 0.5) * step for n in range(count)]
    return step, tuple((2 * s * s, exp(-s * s)) for s in midpoints)


ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    "linear": Identity,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "gelu": GELU,
    "silu": SiLU,
    "swish": SiLU,
    "sigmoid": Sigmoid,
    "hard_sigmoid": HardSigmoid,
    "tanh": Tanh,
    "softmax": Softmax,
    "softplus": Softplus,
}
"""What may be given by name."""


def activation(value: str | Layer | None, word: str = "activation") -> Layer | None:
    """An activation from what a user wrote; raise WordError."""
    if not isinstance(value, str | Layer | None):
        raise WordError(
            f"`{word}` (={shown(value)}) is not a layer", 'write "relu" or ReLU(), for example'
        )
    return named(word, value, ACTIVATIONS)
