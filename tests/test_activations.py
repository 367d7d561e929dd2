"""Activations: their formulas, derivatives, limits far out, dtypes, names."""

from collections.abc import Callable
from math import erfc, exp
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gradients import assert_gradients
from messages import refused

from convref import DtypeError, ShapeError, WordError
from convref.activations import (
    ACTIVATIONS,
    ELU,
    GELU,
    HardSigmoid,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    activation,
    normal,
)
from convref.layer import Layer
from convref.layers import Conv1d

Array = np.ndarray[Any, Any]

ALL: dict[str, Callable[[], Layer]] = {
    **ACTIVATIONS,
    "gelu by tanh": lambda: GELU(approximate=True),
    "steep": lambda: LeakyReLU(1.5),
    "elu of another alpha": lambda: ELU(0.75),
}
"""By every name, and with settings."""
ELEMENTWISE = [name for name in ALL if name != "softmax"]


def upper(x: Array) -> Array:
    """Phi by the standard library."""
    return np.array([erfc(-value / 2**0.5) / 2 for value in x.tolist()])


FORMULAS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.where(x > 0, x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "steep": lambda x: np.where(x > 0, x, 1.5 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "elu of another alpha": lambda x: np.where(x > 0, x, 0.75 * np.expm1(x)),
    "gelu": lambda x: x * upper(x),
    "gelu by tanh": lambda x: (
        x / (1 + np.exp(-2 * np.sqrt(2 / np.longdouble(np.pi)) * (x + 0.044715 * x**3)))
    ),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "hard_sigmoid": lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6,
    "tanh": np.tanh,
    "softplus": lambda x: np.log1p(np.exp(x)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORMULAS)
def test_formulas(name: str, dtype: str) -> None:
    """To the last digits, for small results too: the error is relative to each.

    An exponential whose argument is off by one rounding is off by as many as the argument is large:
    x**2/2 for GELU, 0.08 * |x|**3 for its approximation, |x| for the others. Beside that there are
    few operations, of functions that NumPy computes to within 4 roundings.
    """
    x = np.linspace(-8, 8, 1001).astype(dtype)
    expected = FORMULAS[name](x.astype(np.longdouble))
    found = ALL[name]()(x)
    assert found.dtype == dtype
    condition = {"gelu": x**2, "gelu by tanh": np.abs(x) ** 3}.get(name, np.abs(x))
    error = np.abs(found - expected)
    if name == "hard_sigmoid":  # (x + 3) / 6 cancels towards -3
        expected = np.maximum(expected, 0.5)
    assert np.all(error <= 16 * (1 + condition) * np.finfo(dtype).eps / 2 * np.abs(expected))


def test_every_formula_is_checked() -> None:
    assert {*FORMULAS, "softmax"} == {*ALL}


@pytest.mark.parametrize(("dtype", "reach"), [("float64", 37), ("float32", 12.5)])
def test_the_normal_distribution_keeps_its_digits(dtype: str, reach: float) -> None:
    """Down to the smallest normal numbers, within the error that its docstring states."""
    a = np.concatenate([np.linspace(0, reach, 4001), np.logspace(-20, 0, 200)]).astype(dtype)
    expected = np.array([erfc(value / 2**0.5) / 2 for value in a.tolist()])
    u = np.finfo(dtype).eps / 2
    # The standard library's own error: of an argument rounded in float64, and of erfc.
    slack = 8 * (1 + a.astype(float) ** 2 / 2) * (u + np.finfo(float).eps / 2)
    below, above = normal(-a), normal(a)
    assert below.dtype == above.dtype == dtype
    shown = expected > np.finfo(dtype).tiny
    assert np.all(np.abs(below - expected)[shown] <= (slack * expected)[shown])
    assert np.all(np.abs(above - (1 - expected)) <= slack * expected + 2 * u)


@pytest.mark.parametrize("name", ALL)
def test_gradients(name: str, rng: np.random.Generator) -> None:
    corners = np.array([[-3.0, 0.0, 3.0]]).T  # of one or the other
    x = rng.uniform(-5, 5, 100)
    x = x[np.all(np.abs(x - corners) > 0.05, axis=0)]
    assert_gradients(ALL[name](), x[:80].reshape(2, 4, 10), rng)


@pytest.mark.parametrize(
    ("name", "low", "high", "slope_low", "slope_high"),
    [
        ("linear", -np.inf, np.inf, 1, 1),
        ("relu", 0, np.inf, 0, 1),
        ("leaky_relu", -np.inf, np.inf, 0.01, 1),
        ("elu", -1, np.inf, 0, 1),
        ("gelu", 0, np.inf, 0, 1),
        ("gelu by tanh", 0, np.inf, 0, 1),
        ("silu", 0, np.inf, 0, 1),
        ("sigmoid", 0, 1, 0, 0),
        ("hard_sigmoid", 0, 1, 0, 0),
        ("tanh", -1, 1, 0, 0),
        ("softplus", 0, np.inf, 0, 1),
    ],
)
@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16, "float32", "float64"])
def test_limits(
    name: str, low: float, high: float, slope_low: float, slope_high: float, dtype: Any
) -> None:
    """At infinity; and nothing overflows on the way, for warnings are errors here."""
    layer = ALL[name]()
    x = np.array([-np.inf, np.inf, np.nan], dtype)
    y = layer(x)
    dx = layer.backward(np.ones_like(y))
    assert y.dtype == dx.dtype == dtype
    wanted = np.array([low, high, np.nan], dtype)
    np.testing.assert_array_equal(y.astype(float), wanted.astype(float))
    np.testing.assert_array_equal(dx[:2], np.array([slope_low, slope_high], dtype))
    largest = ml_dtypes.finfo(dtype).max
    far = np.array([-largest, -3e4, 3e4, largest], dtype)
    y = layer(far)
    dx = layer.backward(np.ones_like(y))
    assert np.all(np.isfinite(y))
    wanted = np.array([slope_low, slope_low, slope_high, slope_high], dtype)
    np.testing.assert_array_equal(dx, wanted)
    if np.isfinite(high):
        np.testing.assert_array_equal(y[2:], np.array([high, high], dtype))
    else:
        np.testing.assert_array_equal(y[2:], far[2:])
    if np.isfinite(low):
        np.testing.assert_array_equal(y[:2], np.array([low, low], dtype))


@pytest.mark.parametrize("kind", [Sigmoid, Softplus])
def test_small_results(kind: type[Layer]) -> None:
    """exp(x) to the last digits, where 1 + exp(x) is 1."""
    y = kind()(np.array([-40.0, -700.0, -1000.0]))
    wanted = np.array([exp(-40), exp(-700), 0])
    assert np.all(np.abs(y - wanted) <= 4 * np.finfo(float).eps * wanted)


@pytest.mark.parametrize("kind", [Sigmoid, Tanh])
def test_small_derivatives(kind: type[Layer]) -> None:
    """Where y is 1 to the last digit, 1 - y is nothing and the derivative is something."""
    layer = kind()
    x = np.array([-40.0, 40.0])
    dx = layer.backward(layer(x) * 0 + 1)
    wanted = exp(-40) if kind is Sigmoid else 4 * exp(-80)
    assert np.all(np.abs(dx - wanted) <= 8 * np.finfo(float).eps * wanted)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16])
def test_narrow_dtypes_round_once(name: str, dtype: Any, rng: np.random.Generator) -> None:
    x, dy = rng.standard_normal((2, 3, 50)).astype(dtype)
    layer, wide = ALL[name](), ALL[name]()
    y, dx = layer(x), layer.backward(dy)
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_array_equal(y, wide(x.astype(np.float32)).astype(dtype))
    np.testing.assert_array_equal(dx, wide.backward(dy.astype(np.float32)).astype(dtype))


@pytest.mark.parametrize("name", [name for name in ALL if name != "linear"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int64"])
def test_integers_become_float64(name: str, dtype: str) -> None:
    x = np.array([0, 1, 1]).astype(dtype)
    y = ALL[name]()(x)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, ALL[name]()(x.astype(np.float64)))


@pytest.mark.parametrize("name", ALL)
def test_arguments_stay_as_they_are(name: str, rng: np.random.Generator) -> None:
    x, dy = rng.standard_normal((2, 4, 5))
    for array in (x, dy):
        array.flags.writeable = False
    layer = ALL[name]()
    y = layer(x)
    kept = y.copy()
    y.flags.writeable = False
    layer.backward(dy)
    np.testing.assert_array_equal(y, kept)
    assert layer.output_shape((4, 5)) == y.shape
    assert layer.parameters() == {}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 0)])
def test_any_shape(name: str, shape: tuple[int, ...]) -> None:
    if name == "softmax" and not shape:
        pytest.skip("a number has no axis")
    layer = ALL[name]()
    y = layer(np.zeros(shape))
    assert y.shape == layer.backward(y).shape == shape


def test_derivatives_at_corners() -> None:
    corners = {"relu": 0.0, "leaky_relu": 0.01, "elu": 1.0, "hard_sigmoid": 1 / 6}
    for name, wanted in corners.items():
        layer = ALL[name]()
        layer(np.zeros(1))
        assert layer.backward(np.ones(1)) == wanted
    hard = HardSigmoid()
    hard(np.array([-3.0, 3.0]))
    np.testing.assert_array_equal(hard.backward(np.ones(2)), [0, 0])


def test_linear_is_the_array_itself() -> None:
    x = np.ones((2, 3))
    assert Identity()(x) is x


def test_softmax(rng: np.random.Generator) -> None:
    x = rng.integers(-9, 9, (3, 4, 5)).astype(float)
    for axis in (0, 1, 2, -1, -2):
        y = Softmax(axis)(x)
        powers = np.exp(x.astype(np.longdouble))
        expected = powers / np.sum(powers, axis, keepdims=True)
        assert np.all(np.abs(y - expected) <= 32 * np.finfo(float).eps * expected)
        np.testing.assert_array_equal(Softmax(axis)(x + 1000), y)


def test_softmax_of_large_and_infinite_entries() -> None:
    layer = Softmax()
    np.testing.assert_array_equal(layer([[1e308, -1e308, 0.0]]), [[1, 0, 0]])
    np.testing.assert_array_equal(layer([[-np.inf, 2.0, 2.0]]), [[0, 0.5, 0.5]])
    assert np.all(np.isnan(layer([[np.inf, np.inf]])))


def test_names() -> None:
    kinds = {
        "linear": Identity, "relu": ReLU, "leaky_relu": LeakyReLU, "elu": ELU, "gelu": GELU,
        "silu": SiLU, "swish": SiLU, "sigmoid": Sigmoid, "hard_sigmoid": HardSigmoid, "tanh": Tanh,
        "softmax": Softmax, "softplus": Softplus,
    }  # fmt: skip
    assert {name: type(activation(name)) for name in ACTIVATIONS} == kinds
    assert isinstance(activation("ReLU"), ReLU)
    assert activation(None) is None
    layer = ReLU()
    assert activation(layer) is layer
    assert ReLU("first").name == GELU(name="first").name == "first"


REFUSED: dict[str, tuple[Any, Callable[[], Any], str]] = {
    "a slope": (
        WordError,
        lambda: LeakyReLU(0),
        "LeakyReLU: `slope` (=0) must be a number above 0; such as slope=0.1",
    ),
    "alpha": (
        WordError,
        lambda: ELU("1"),
        "ELU: `alpha` (='1') must be a number above 0; such as alpha=0.1",
    ),
    "an approximation": (
        WordError,
        lambda: GELU("none"),
        "GELU: `approximate` (='none') must be True or False; use True for the tanh",
    ),
    "an axis": (
        WordError,
        lambda: Softmax(1.5),
        "Softmax: `axis` (=1.5) must be made of integers; such as axis=1",
    ),
    "an axis that x has not": (
        ShapeError,
        lambda: Softmax(2)(np.ones((2, 3))),
        "Softmax: `axis` (=2) is not one of the 2 axes of `x` (shape (2, 3)); use -1 for the last",
    ),
    "complex numbers": (
        DtypeError,
        lambda: Conv1d(1, 1, 1, dtype="complex64", activation="tanh")(np.ones((1, 1, 1))),
        "Conv1d > Tanh: `x` (complex64) is complex, and this is a function of real numbers; pass "
        "its real part, its imaginary part or its modulus",
    ),
    "a name": (
        WordError,
        lambda: activation("sigmoidal"),
        "`activation` (='sigmoidal') is unknown; did you mean 'sigmoid'?",
    ),
    "a class": (
        WordError,
        lambda: Conv1d(1, 1, 1, activation=float),
        "Conv1d: `activation` (=<class 'float'>) is not a layer; write \"relu\" or ReLU(), for "
        "example",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    kind, call, text = REFUSED[name]
    with refused(kind, text):
        call()


@pytest.mark.parametrize("name", [name for name in ALL if name != "linear"])
def test_complex_numbers_are_refused(name: str) -> None:
    with pytest.raises(DtypeError, match="is complex"):
        ALL[name]()(np.ones(3, complex))
