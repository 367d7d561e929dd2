"""Layers of convref against Keras's, weights copied: what the dialect is not needed for.

Convolutional LSTMs, depthwise and separable convolutions, activations, regularisers, constraints,
initialisers: convref's words on one side, Keras's on the other.
"""

import os
from functools import partial
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="Keras is not installed (extra: peers)")
jax = pytest.importorskip("jax", reason="JAX, on which Keras runs here, is not installed")
from convref import constraints, initialisers, layers, regularisers  # noqa: E402
from convref.activations import ACTIVATIONS, activation  # noqa: E402

pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras does not run on JAX"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
Array = Any


def of_keras(kernel: Array) -> Array:
    """(*kernel, C, K) as (K, C, *kernel)."""
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def of_depthwise(kernel: Array) -> Array:
    """(*kernel, C, M) as (C*M, 1, *kernel)."""
    split = np.moveaxis(kernel, (-2, -1), (0, 1))
    return split.reshape(-1, 1, *split.shape[2:])


def vjp(layer: Any, x: Array, dy: Any) -> tuple[Any, Array, list[Array]]:
    """y, dx and the gradients of the weights, by JAX."""
    variables = [variable.value for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]
    y, back = jax.vjp(lambda w, x: layer.stateless_call(w, others, x)[0], variables, x)
    dweights, dx = back(dy(y))
    return np.asarray(y), np.asarray(dx), [np.asarray(dw) for dw in dweights]


compare = partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize(
    "words",
    [
        {}, {"padding": "same"}, {"strides": 2}, {"dilation_rate": 2, "padding": "same"},
        {"activation": "relu", "recurrent_activation": "hard_sigmoid"}, {"use_bias": False},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("rank", [1, 2])
def test_conv_lstm(
    rank: int, words: Any, sequences: bool, backwards: bool, rng: np.random.Generator
) -> None:
    spelled = {"strides": "stride", "dilation_rate": "dilation", "use_bias": "bias"}
    flow = {"return_sequences": sequences, "go_backwards": backwards}
    mine = getattr(layers, f"ConvLSTM{rank}d")(
        3, 2, 3, layout="channels_last", **flow,
        **{spelled.get(word, word): value for word, value in words.items()},
    )  # fmt: skip
    real = getattr(keras.layers, f"ConvLSTM{rank}D")(2, 3, **flow, **words)
    x = rng.standard_normal((2, 3, *[7] * rank, 3)).astype(np.float32)
    real.build(x.shape)
    weights = [rng.standard_normal(w.shape).astype(np.float32) for w in real.get_weights()]
    real.set_weights(weights)
    for name, weight in zip(("weight", "recurrent", "bias"), weights, strict=False):
        getattr(mine, name).value = of_keras(weight) if name != "bias" else weight
    y = mine(x)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    expected, dx, dweights = vjp(real, x, lambda _: dy)
    compare(y, expected)
    compare(mine.backward(dy), dx)
    for name, dweight in zip(("weight", "recurrent", "bias"), dweights, strict=False):
        grad = getattr(mine, name).grad
        compare(grad, of_keras(dweight) if name != "bias" else dweight)


GEOMETRIES = [
    {}, {"padding": "same"}, {"stride": 2}, {"stride": 2, "padding": "same"},
    {"dilation": 2}, {"dilation": 2, "padding": "same"}, {"stride": 2, "dilation": 3},
]  # fmt: skip


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("words", GEOMETRIES, ids=str)
@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("rank", [1, 2])
def test_depthwise_and_separable(
    rank: int, separable: bool, words: Any, layout: str, rng: np.random.Generator
) -> None:
    """Equal to the bit, on small integers."""
    spelled = {"stride": "strides", "dilation": "dilation_rate"}
    theirs = {spelled.get(word, word): value for word, value in words.items()}
    theirs |= {"depth_multiplier": 2, "data_format": layout}
    inner = (3, *[9] * rank) if layout == "channels_first" else (*[9] * rank, 3)
    x = rng.integers(-4, 5, (2, *inner)).astype(np.float32)
    if separable:
        mine = getattr(layers, f"SeparableConv{rank}d")(
            3, 4, 3, multiplier=2, layout=layout, **words
        )
        real = getattr(keras.layers, f"SeparableConv{rank}D")(4, 3, **theirs)
    else:
        mine = getattr(layers, f"DepthwiseConv{rank}d")(3, 3, multiplier=2, layout=layout, **words)
        real = getattr(keras.layers, f"DepthwiseConv{rank}D")(3, **theirs)
    real.build(x.shape)
    weights = [rng.integers(-4, 5, w.shape).astype(np.float32) for w in real.get_weights()]
    real.set_weights(weights)
    readings = [of_depthwise, *[of_keras] * separable, lambda bias: bias]
    names = ["depthwise", "weight", "bias"] if separable else ["weight", "bias"]
    for name, read, weight in zip(names, readings, weights, strict=True):
        getattr(mine, name).value = np.ascontiguousarray(read(weight))
    y = mine(x)
    dy = rng.integers(-4, 5, y.shape).astype(np.float32)
    expected, dx, dweights = vjp(real, x, lambda _: dy)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(mine.backward(dy), dx)
    for name, read, dweight in zip(names, readings, dweights, strict=True):
        np.testing.assert_array_equal(getattr(mine, name).grad, read(dweight))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, rng: np.random.Generator) -> None:
    """Values and derivatives; Keras's leaky_relu has a slope of its own."""
    mine = layers.LeakyReLU(0.2) if name == "leaky_relu" else activation(name)
    real = keras.activations.get(name)
    x = np.concatenate([6 * rng.standard_normal(200), [-90.0, 90.0]]).astype(np.float32)
    y, back = jax.vjp(real, x)
    compare(mine(x), np.asarray(y), atol=1e-7)
    dy = rng.standard_normal(x.shape).astype(np.float32)
    compare(mine.backward(dy), np.asarray(back(dy)[0]), atol=1e-6)


PENALTIES = [
    (regularisers.L1(0.3), keras.regularizers.L1(0.3)),
    (regularisers.L2(0.3), keras.regularizers.L2(0.3)),
    (regularisers.L1L2(0.1, 0.2), keras.regularizers.L1L2(0.1, 0.2)),
]


@pytest.mark.parametrize("case", range(len(PENALTIES)))
def test_regularisers(case: int, rng: np.random.Generator) -> None:
    mine, real = PENALTIES[case]
    w = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    assert mine(w) == pytest.approx(float(real(w)), rel=1e-5)
    compare(mine.gradient(w), np.asarray(jax.grad(real)(w)))


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_orthogonal_regulariser(mode: str, rng: np.random.Generator) -> None:
    """Keras's is of the transposed matrix, whose rows are these columns."""
    mine = regularisers.Orthogonal(0.3, mode)
    real = keras.regularizers.OrthogonalRegularizer(0.3, {"rows": "columns"}.get(mode, "rows"))
    w = rng.standard_normal((4, 6)).astype(np.float32)
    turned = keras.ops.convert_to_tensor(w.T)
    assert mine(w) == pytest.approx(float(real(turned)), rel=1e-5)
    compare(mine.gradient(w), np.asarray(jax.grad(real)(turned)).T)


NORMS = [
    (constraints.MaxNorm(0.5), keras.constraints.MaxNorm(0.5, axis=[0, 1, 2])),
    (constraints.UnitNorm(), keras.constraints.UnitNorm(axis=[0, 1, 2])),
    (constraints.UnitNorm((1,)), keras.constraints.UnitNorm(axis=2)),
    (constraints.NonNegative(), keras.constraints.NonNeg()),
    (
        constraints.MinMaxNorm(0.3, 0.6, 0.5),
        keras.constraints.MinMaxNorm(0.3, 0.6, 0.5, axis=[0, 1, 2]),
    ),
]


@pytest.mark.parametrize("case", range(len(NORMS)))
def test_constraints(case: int, rng: np.random.Generator) -> None:
    """Of the same weights in both layouts: K and C are the last axes there, the first here."""
    mine, real = NORMS[case]
    kernel = rng.standard_normal((3, 3, 4, 5)).astype(np.float32)
    compare(mine(of_keras(kernel)), of_keras(np.asarray(real(kernel))), rtol=1e-5)


NAMES = [
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
    "truncated_normal", "random_normal", "random_uniform", "zeros", "ones",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_first_weights(name: str) -> None:
    """Mean, spread and bounds, of a convolution and of a transposed one.

    Means of 57,600 weights each differ by 0.03 of their deviation at 5 standard errors.
    """
    for kind, theirs in ((layers.Conv2d, "Conv2D"), (layers.ConvTranspose2d, "Conv2DTranspose")):
        mine = kind(40, 160, 3, weight_initialiser=name, rng=0).weight.value
        real = getattr(keras.layers, theirs)(160, 3, kernel_initializer=name)
        real.build((None, 5, 5, 40))
        kernel = real.get_weights()[0]
        assert mine.shape == of_keras(kernel).shape
        assert mine.std() == pytest.approx(kernel.std(), rel=0.03)
        assert abs(mine.mean() - kernel.mean()) <= 0.03 * kernel.std() + 1e-9
        if name != "random_normal":
            assert abs(mine).max() == pytest.approx(abs(kernel).max(), rel=0.02)


def test_orthogonal_first_weights() -> None:
    """Of the recurrent weights, too, flattened alike."""
    mine = layers.ConvLSTM1d(3, 4, 3, rng=0).recurrent.value
    real = keras.layers.ConvLSTM1D(4, 3)
    real.build((None, 2, 5, 3))
    for matrix in (mine.reshape(16, 12), real.get_weights()[1].reshape(12, 16).T):
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(12), atol=1e-5)
    assert isinstance(initialisers.INITIALISERS["orthogonal"](), initialisers.Orthogonal)
