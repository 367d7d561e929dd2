"""The dialect against Keras 3 on JAX: outputs, gradients, weights, sizes, names, refusals.

Convolutions are compared on small integers in float32, of which sums are exact, so that both must
give the same numbers.
"""

import inspect
import os
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

os.environ.setdefault("KERAS_BACKEND", "jax")
theirs = pytest.importorskip("keras", reason="Keras is not installed (extra: peers)")
jax = pytest.importorskip("jax", reason="JAX, on which Keras runs here, is not installed")
from convref.dialects import keras as ours  # noqa: E402

pytestmark = [
    pytest.mark.skipif(theirs.backend.backend() != "jax", reason="Keras does not run on JAX"),
    pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
Array = Any
LAYERS = [name for name in ours.__all__ if name[0].isupper() and name[-1] in "D1e"]
LAYERS = [name for name in LAYERS if hasattr(theirs.layers, name) and name != "Input"]


def integers(rng: np.random.Generator, *shape: int) -> Array:
    return rng.integers(-4, 5, shape).astype(np.float32)


def pair(name: str, /, **words: Any) -> tuple[Any, Any]:
    return getattr(ours, name)(**words), getattr(theirs.layers, name)(**words)


def reference(layer: Any, x: Array, dy_of: Any, **call: Any) -> tuple[Array, Array, list[Array]]:
    """y, dx and the gradients of the weights, as JAX differentiates Keras's layer."""
    variables = [variable.value for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]

    def run(weights: Any, x: Any) -> Any:
        return layer.stateless_call(weights, others, x, **call)[0]

    y, back = jax.vjp(run, variables, x)
    dweights, dx = back(dy_of(y))
    return y, np.asarray(dx), [np.asarray(dw) for dw in dweights]


def filled(mine: Any, real: Any, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """Build both for this shape, with the same small integers as weights."""
    mine.build(shape)
    real.build(shape)
    shapes = [w.shape for w in real.get_weights()]
    assert [w.shape for w in mine.get_weights()] == shapes
    weights = [integers(rng, *shape) for shape in shapes]
    mine.set_weights(weights)
    real.set_weights(weights)
    for left, right in zip(mine.get_weights(), real.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def assert_same(mine: Any, real: Any, x: Array, rng: np.random.Generator, close: float = 0) -> None:
    """Outputs, and gradients of x and of each weight, as near as a share of the largest number."""
    y = mine(x)
    dy = integers(rng, *y.shape)
    if not real.built:
        real.build(x.shape)
    expected, dx, dweights = reference(real, x, lambda _: dy)

    def compare(found: Array, wanted: Any) -> None:
        # Sums of many terms that cancel are as near as their terms are large.
        slack = close * np.abs(wanted).max(initial=0)
        np.testing.assert_allclose(found, np.asarray(wanted), rtol=0, atol=slack)

    assert y.dtype == expected.dtype
    compare(y, np.asarray(expected))
    compare(mine.backward(dy), dx)
    grads = [variable.grad for variable in mine.weights]
    for grad, dweight in zip(grads, dweights, strict=True):
        compare(grad, dweight)


# Signatures


@pytest.mark.parametrize("name", LAYERS)
def test_signatures(name: str) -> None:
    """Names and order of the words; defaults, but that one number stands for all axes."""

    def words(module: Any) -> dict[str, Any]:
        found = inspect.signature(getattr(module, name)).parameters.values()
        return {word.name: single(word.default) for word in found if word.kind != word.VAR_KEYWORD}

    def single(default: Any) -> Any:
        if isinstance(default, tuple) and len(set(default)) == 1:
            return single(default[0])
        return default

    assert words(ours) == words(theirs.layers)
    assert list(words(ours)) == list(words(theirs.layers))


def test_names() -> None:
    assert {name for name in dir(theirs.layers) if "onv" in name} <= {*ours.__all__}
    theirs.utils.clear_session()
    ours.clear_session()
    for _ in range(3):
        for name in LAYERS:
            need = {"filters": 2, "kernel_size": 3}
            given = inspect.signature(getattr(ours, name)).parameters
            mine, real = pair(name, **{word: need[word] for word in need if word in given})
            assert mine.name == real.name
    assert ours.Sequential().name == theirs.Sequential().name


# Convolutions


def per_axis(draw: st.DrawFn, rank: int, most: int, least: int = 1) -> Any:
    values = draw(st.tuples(*[st.integers(least, most)] * rank))
    ways = [values, list(values)] + [values[0]] * (len(set(values)) == 1)
    return draw(st.sampled_from(ways))


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[str, dict[str, Any], tuple[int, ...], Any]:
    """The name of a layer, words, the shape of an input, and a generator."""
    name = draw(st.sampled_from([n for n in LAYERS if "onv" in n and "LSTM" not in n]))
    rank = int(name[name.index("D") - 1] if name[0] != "D" else name[-2])
    last = draw(st.sampled_from(["channels_last", "channels_first", "Channels_Last", None]))
    padding = draw(st.sampled_from(["valid", "same", "SAME"] + ["causal"] * (rank == 1)))
    words = {
        "kernel_size": per_axis(draw, rank, {1: 5, 2: 4, 3: 3}[rank]),
        "strides": per_axis(draw, rank, draw(st.sampled_from([1, 1, 4]))),
        "dilation_rate": per_axis(draw, rank, draw(st.sampled_from([1, 1, 3]))),
        "padding": padding,
        "data_format": last,
        "use_bias": draw(st.booleans()),
        "activation": draw(st.sampled_from([None, "relu", "linear"])),
    }
    channels = draw(st.integers(1, 4))
    if "Depthwise" not in name:
        words["filters"] = draw(st.integers(1, 4))
    if "Depthwise" in name or "Separable" in name:
        words["depth_multiplier"] = draw(st.integers(1, 3))
    elif "Transpose" in name:
        if draw(st.booleans()):
            words["output_padding"] = per_axis(draw, rank, 3, least=0)
    else:
        words["groups"] = draw(st.integers(1, 2))
    size = draw(st.tuples(*[st.integers(1, {1: 9, 2: 6, 3: 4}[rank])] * rank))
    batch = draw(st.integers(1, 2))
    shape = (batch, channels, *size) if last == "channels_first" else (batch, *size, channels)
    return name, words, shape, np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


def outcome(make: Any) -> Any:
    """What was made, or the class of the error."""
    try:
        return make()
    except (ValueError, TypeError) as error:
        return ValueError if isinstance(error, ValueError) else TypeError


@given(convolutions())
def test_any_convolution(case: Any) -> None:
    name, words, shape, rng = case
    mine = outcome(lambda: getattr(ours, name)(**words))
    real = outcome(lambda: getattr(theirs.layers, name)(**words))
    if isinstance(mine, type) or isinstance(real, type):
        assert mine is real
        return
    x = integers(rng, *shape)
    built = outcome(lambda: filled(mine, real, shape, rng))
    if built is ValueError:
        assert outcome(lambda: mine(x)) is ValueError
        refused = outcome(lambda: getattr(theirs.layers, name)(**words)(x))
        # Keras gives an empty array where transposed kernels leave nothing of the output.
        assert refused is ValueError or ("Transpose" in name and not refused.size)
        return
    assert mine.compute_output_shape(shape) == tuple(real.compute_output_shape(shape))
    open_shape = (None, *shape[1:])
    assert mine.compute_output_shape(open_shape) == tuple(real.compute_output_shape(open_shape))
    assert_same(mine, real, x, rng)


@given(convolutions(), st.data())
def test_open_sizes(case: Any, data: st.DataObject) -> None:
    """Of a layer that is not built, where some spatial sizes are open."""
    name, words, shape, _ = case
    mine = outcome(lambda: getattr(ours, name)(**words))
    assume(not isinstance(mine, type))
    real = getattr(theirs.layers, name)(**words)
    last = words["data_format"] != "channels_first"
    spatial = range(1, len(shape) - 1) if last else range(2, len(shape))
    hidden = data.draw(st.sets(st.sampled_from(list(spatial))))
    sizes = tuple(None if axis in hidden else size for axis, size in enumerate(shape))
    expected = outcome(lambda: tuple(real.compute_output_shape(sizes)))
    if expected is not ValueError and 0 in expected:  # of transposed kernels; see above
        expected = ValueError
    assert outcome(lambda: mine.compute_output_shape(sizes)) == expected


# What Keras's own tests draw their parameters from

BASIC = [
    ("Conv1D", {"filters": 5, "kernel_size": 2}, (3, 5, 4)),
    (
        "Conv1D",
        {"filters": 6, "kernel_size": 2, "padding": "same", "dilation_rate": (2,), "groups": 2},
        (3, 4, 4),
    ),
    (
        "Conv1D",
        {"filters": 6, "kernel_size": 2, "padding": "causal", "dilation_rate": (2,), "groups": 2},
        (3, 4, 4),
    ),
    ("Conv1D", {"filters": 6, "kernel_size": 2, "strides": (2,), "groups": 2}, (3, 5, 4)),
    (
        "Conv1D",
        {
            "filters": 6,
            "kernel_size": (2,),
            "strides": (2,),
            "groups": 2,
            "data_format": "channels_first",
        },
        (2, 4, 8),
    ),
    ("Conv2D", {"filters": 6, "kernel_size": (2, 2), "strides": (2, 1), "groups": 2}, (3, 5, 5, 4)),
    ("Conv2D", {"filters": 6, "kernel_size": (4, 3), "strides": (2, 1), "groups": 2}, (2, 8, 8, 4)),
    (
        "Conv3D",
        {"filters": 6, "kernel_size": (2, 2, 3), "strides": (2, 1, 2), "groups": 2},
        (3, 5, 5, 5, 4),
    ),
    (
        "Conv3D",
        {
            "filters": 6,
            "kernel_size": 2,
            "padding": "same",
            "dilation_rate": (2, 2, 2),
            "groups": 2,
        },
        (3, 4, 4, 4, 4),
    ),
    ("Conv1DTranspose", {"filters": 5, "kernel_size": 2, "strides": 2}, (2, 8, 4)),
    (
        "Conv1DTranspose",
        {"filters": 6, "kernel_size": 2, "strides": 3, "padding": "same", "output_padding": 2},
        (2, 8, 4),
    ),
    (
        "Conv2DTranspose",
        {"filters": 6, "kernel_size": (2, 3), "strides": (2, 1), "data_format": "channels_first"},
        (2, 4, 8, 8),
    ),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": (7, 7), "strides": (16, 16)}, (1, 14, 14, 2)),
    (
        "Conv2DTranspose",
        {"filters": 6, "kernel_size": 7, "strides": 16, "padding": "same", "output_padding": 2},
        (2, 14, 14, 4),
    ),
    (
        "Conv3DTranspose",
        {"filters": 6, "kernel_size": (2, 2, 3), "strides": (2, 1, 2)},
        (2, 8, 8, 8, 4),
    ),
    (
        "Conv3DTranspose",
        {"filters": 6, "kernel_size": 2, "strides": 3, "padding": "same", "output_padding": 2},
        (2, 8, 8, 8, 4),
    ),
    (
        "DepthwiseConv1D",
        {
            "depth_multiplier": 6,
            "kernel_size": 2,
            "padding": "same",
            "data_format": "channels_first",
            "dilation_rate": (2,),
        },
        (3, 4, 10),
    ),
    (
        "DepthwiseConv2D",
        {"depth_multiplier": 6, "kernel_size": (2, 2), "strides": (2, 2)},
        (3, 5, 5, 4),
    ),
    (
        "SeparableConv1D",
        {"depth_multiplier": 6, "filters": 6, "kernel_size": 2, "strides": 2},
        (3, 5, 4),
    ),
    (
        "SeparableConv2D",
        {
            "depth_multiplier": 6,
            "filters": 6,
            "kernel_size": 2,
            "padding": "same",
            "dilation_rate": (2, 2),
        },
        (3, 4, 4, 4),
    ),
]


@pytest.mark.parametrize("case", range(len(BASIC)))
def test_parameters_of_keras_tests(case: int, rng: np.random.Generator) -> None:
    name, words, shape = BASIC[case]
    mine, real = pair(name, **words)
    filled(mine, real, shape, rng)
    assert_same(mine, real, integers(rng, *shape), rng)
    assert mine.count_params() == real.count_params()


# Layers without weights

RESHAPING = {
    "ZeroPadding1D": [{}, {"padding": 2}, {"padding": (1, 2)}, {"data_format": "channels_first"}],
    "ZeroPadding2D": [{}, {"padding": (2, 1)}, {"padding": ((1, 2), (0, 3))}],
    "ZeroPadding3D": [{}, {"padding": (2, 1, 0)}, {"padding": ((1, 2), (0, 3), (1, 1))}],
    "Cropping1D": [{}, {"cropping": 2}, {"cropping": (0, 2)}],
    "Cropping2D": [{}, {"cropping": 1}, {"cropping": ((1, 0), (0, 2))}],
    "Cropping3D": [{}, {"cropping": 0}, {"cropping": ((1, 0), (0, 2), (1, 1))}],
    "UpSampling1D": [{}, {"size": 3}],
    "UpSampling2D": [{}, {"size": 3}, {"size": (1, 2)}, {"size": [2, 1]}],
    "UpSampling3D": [{}, {"size": 1}, {"size": (1, 2, 3)}],
}


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("dtype", [None, "float16", "int32"])
@pytest.mark.parametrize("name", RESHAPING)
def test_reshaping(name: str, dtype: Any, last: bool, rng: np.random.Generator) -> None:
    for words in RESHAPING[name]:
        if dtype is not None:
            words = {**words, "dtype": dtype}
        if not last and "data_format" in inspect.signature(getattr(ours, name)).parameters:
            words = {**words, "data_format": "channels_first"}
        mine, real = pair(name, **words)
        for kind in (np.float32, np.float16, np.int32, np.uint8):
            x = rng.integers(0, 5, (2, *[5, 6, 3, 3][: mine.spec.rank], 3)).astype(kind)
            x = x if mine.spec.layout == "channels_last" else np.moveaxis(x, -1, 1)
            y, expected = mine(x), real(x)
            assert y.dtype == expected.dtype
            np.testing.assert_array_equal(y, np.asarray(expected))
            assert mine.compute_output_shape(x.shape) == tuple(real.compute_output_shape(x.shape))
        for word in set(real.get_config()) - {"name", "trainable", "dtype"}:
            assert mine.get_config()[word] == real.get_config()[word]


@pytest.mark.parametrize("name", [n for n in RESHAPING if "UpSampling" not in n])
def test_gradients_of_reshaping(name: str, rng: np.random.Generator) -> None:
    mine, real = pair(name, **RESHAPING[name][-1])
    assert_same(mine, real, integers(rng, 2, *[5] * mine.spec.rank, 3), rng)


@pytest.mark.parametrize("size", [(3, 2), (1, 5)])
@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    "interpolation", ["nearest", "bilinear", "bicubic", "lanczos3", "LANCZOS5"]
)
def test_interpolation(interpolation: str, form: str, size: Any, rng: np.random.Generator) -> None:
    mine, real = pair("UpSampling2D", size=size, data_format=form, interpolation=interpolation)
    for shape in ((2, 4, 5, 3), (1, 1, 7, 2), (1, 11, 12, 2)):
        assert_same(mine, real, rng.standard_normal(shape).astype(np.float32), rng, close=2e-5)
        x = rng.integers(-100, 100, shape)
        difference = abs(mine(x) - np.asarray(real(x)))
        assert difference.max() <= 1  # where halves are rounded that float32 has not as halves
        assert difference.mean() < 0.1
        assert mine(x.astype(np.int32)).dtype == real(x).dtype


# Recurrent layers


@st.composite
def recurrences(draw: st.DrawFn) -> tuple[str, dict[str, Any], tuple[int, ...], Any]:
    rank = draw(st.integers(1, 3))
    last = draw(st.booleans())
    words = {
        "filters": draw(st.integers(1, 3)),
        "kernel_size": per_axis(draw, rank, 3),
        "strides": per_axis(draw, rank, draw(st.sampled_from([1, 1, 2]))),
        "dilation_rate": per_axis(draw, rank, draw(st.sampled_from([1, 1, 2]))),
        "padding": draw(st.sampled_from(["valid", "same"])),
        "data_format": "channels_last" if last else "channels_first",
        "activation": draw(st.sampled_from(["tanh", "relu", None])),
        "recurrent_activation": draw(st.sampled_from(["sigmoid", "hard_sigmoid"])),
        "use_bias": draw(st.booleans()),
        "return_sequences": draw(st.booleans()),
        "return_state": draw(st.booleans()),
        "go_backwards": draw(st.booleans()),
        "stateful": draw(st.booleans()),
        "dropout": draw(st.sampled_from([0.0, 1.0, 3])),
    }
    channels, size = draw(st.integers(1, 2)), draw(st.tuples(*[st.integers(1, 4)] * rank))
    inner = (*size, channels) if last else (channels, *size)
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *inner)
    return f"ConvLSTM{rank}D", words, shape, np.random.default_rng(draw(st.integers(0, 9**9)))


@settings(max_examples=1 + settings.default.max_examples // 3)  # JAX is slow at these
@given(recurrences())
def test_any_recurrence(case: Any) -> None:
    name, words, shape, rng = case
    mine = outcome(lambda: getattr(ours, name)(**words))
    real = outcome(lambda: getattr(theirs.layers, name)(**words))
    if isinstance(mine, type) or isinstance(real, type):
        assert mine is real
        return
    if outcome(lambda: mine.build(shape)) is ValueError:
        assert outcome(lambda: real(np.zeros(shape, np.float32))) is ValueError
        return
    real.build(shape)
    weights = [rng.normal(0, 0.4, w.shape).astype(np.float32) for w in real.get_weights()]
    if words["stateful"]:
        weights = weights[: len(mine.weights)]
        real.set_weights([*weights, *real.get_weights()[len(weights) :]])
    else:
        real.set_weights(weights)
    mine.set_weights(weights)
    x = rng.standard_normal(shape).astype(np.float32)
    assert tree(mine.compute_output_shape(shape)) == tree(real.compute_output_shape(shape))

    def compare(found: Array, expected: Array) -> None:
        """To within a few roundings of the largest, which the sums may have cancelled."""
        slack = 1e-4 * max(1, abs(np.asarray(expected)).max(initial=0))
        np.testing.assert_allclose(found, np.asarray(expected), rtol=0, atol=slack)

    for _ in range(2 if words["stateful"] else 1):
        y = mine(x, training=True)
        outputs = y if words["return_state"] else (y,)
        dy = tuple(rng.standard_normal(output.shape).astype(np.float32) for output in outputs)
        given = dy if words["return_state"] else dy[0]
        expected, dx, dweights = reference(real, x, lambda _, given=given: given)
        real(x)
        for one, other in zip(outputs, expected if len(outputs) > 1 else (expected,), strict=True):
            compare(one, np.asarray(other))
        compare(mine.backward(given), dx)
        for variable, dweight in zip(mine.weights, dweights, strict=True):
            compare(variable.grad, dweight)
    h, _ = mine.last_state
    state = [rng.standard_normal(h.shape).astype(np.float32) for _ in range(2)]
    one, other = mine(x, initial_state=state), real(x, initial_state=state)
    compare(one[0] if words["return_state"] else one, other[0] if words["return_state"] else other)


def tree(shape: Any) -> Any:
    """A shape, or several, as tuples."""
    return tuple(tree(entry) if isinstance(entry, tuple | list) else entry for entry in shape)


@pytest.mark.parametrize("words", [{"dropout": 0.4}, {"recurrent_dropout": 0.4}])
def test_dropout(words: Any) -> None:
    """As many are dropped, of each gate apart, for all steps alike, in training alone."""
    x = np.ones((200, 3, 4, 5), np.float32)
    mine, real = pair("ConvLSTM1D", filters=3, kernel_size=1, activation=None, seed=1, **words)
    real.build(x.shape)
    mine.build(x.shape)
    mine.set_weights(real.get_weights())
    np.testing.assert_allclose(mine(x), np.asarray(real(x)), rtol=1e-4, atol=1e-5)
    one, other = mine(x, training=True), np.asarray(real(x, training=True))
    for moment in (np.mean, np.std):
        assert moment(one) == pytest.approx(moment(other), abs=0.05)
    again = ours.ConvLSTM1D(3, 1, activation=None, seed=1, weights=real.get_weights(), **words)
    np.testing.assert_array_equal(one, again(x, training=True))


# Settings

ACTIVATIONS = [
    "relu", "leaky_relu", "relu6", "softmax", "celu", "elu", "selu", "softplus", "softsign",
    "squareplus", "soft_shrink", "sparse_plus", "silu", "swish", "gelu", "glu", "tanh",
    "tanh_shrink", "sigmoid", "sparse_sigmoid", "exponential", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "hard_shrink", "linear", "mish", "log_softmax", "log_sigmoid",
]  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, rng: np.random.Generator) -> None:
    mine, real = pair("Conv1D", filters=4, kernel_size=1, activation=name)
    x = (3 * rng.standard_normal((3, 40, 2))).astype(np.float32)
    real.build(x.shape)
    mine.build(x.shape)
    mine.set_weights(real.get_weights())
    assert_same(mine, real, x, rng, close=3e-5)


def test_all_activations_are_there() -> None:
    """But for one that takes two arguments, and no name can give them."""
    listed = {name for name in dir(theirs.activations) if name[0] != "_"}
    functions = {"get", "serialize", "deserialize", "threshold"}
    assert listed - functions == {*ACTIVATIONS, "sparsemax"}


def test_sparsemax_of_keras_is_none() -> None:
    """Keras 3.15 adds up sums of sums, and its result has not the sum 1 of a sparsemax."""
    x = np.array([[1.0, 1.0, -3.0]], np.float32)
    layer = ours.Conv1D(3, 1, activation="sparsemax")
    np.testing.assert_allclose(layer.activation(x), [[0.5, 0.5, 0.0]])
    assert np.asarray(theirs.activations.sparsemax(x)).tolist() == [[0.0, 0.0, 0.0]]


INITIALISERS: list[Any] = [
    "zeros",
    "ones",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "HeNormal",
    "lecun_uniform",
    "LecunNormal",
    "variance_scaling",
    "orthogonal",
    "OrthogonalInitializer",
    "normal",
    "uniform",
    "zero",
    "one",
    None,
    {
        "class_name": "VarianceScaling",
        "config": {"scale": 3.0, "mode": "fan_out", "distribution": "uniform"},
    },
    {"class_name": "VarianceScaling", "config": {"distribution": "untruncated_normal"}},
    {"class_name": "VarianceScaling", "config": {"distribution": "normal"}},
    {"class_name": "GlorotUniform", "config": {"input_axes": [0], "output_axes": [1, 2]}},
    {"class_name": "Constant", "config": {"value": 0.25}},
    {"class_name": "Orthogonal", "config": {"gain": 2.0}},
    {"class_name": "RandomUniform", "config": {"minval": 0.0, "maxval": 1.0, "seed": 3}},
]
DRAWN = {
    "Conv2D": ({"filters": 40, "kernel_size": 3}, (1, 5, 5, 30), ["kernel", "bias"]),
    "Conv2DTranspose": ({"filters": 40, "kernel_size": 3}, (1, 5, 5, 30), ["kernel"]),
    "DepthwiseConv2D": ({"kernel_size": 5, "depth_multiplier": 9}, (1, 5, 5, 40), ["depthwise"]),
    "SeparableConv1D": (
        {"kernel_size": 50, "depth_multiplier": 9, "filters": 30},
        (1, 60, 30),
        ["depthwise", "pointwise"],
    ),
    "ConvLSTM1D": (
        {"filters": 30, "kernel_size": 5},
        (1, 1, 9, 20),
        ["kernel", "recurrent", "bias"],
    ),
}


@pytest.mark.parametrize("initialiser", INITIALISERS, ids=str)
@pytest.mark.parametrize("name", DRAWN)
def test_first_weights(name: str, initialiser: Any) -> None:
    """Bounds and moments of each parameter; the singular values of orthogonal ones."""
    words, shape, parameters = DRAWN[name]
    for parameter in parameters:
        if parameter == "bias" and (initialiser is None or "axes" in str(initialiser)):
            continue  # Keras has no defaults there, and a bias no such axes
        layers = pair(name, **words, **{f"{parameter}_initializer": initialiser})
        built = [outcome(lambda layer=layer: layer.build(shape)) for layer in layers]
        assert built[0] is built[1]
        if built[0] is ValueError:
            continue
        place = {"pointwise": 1, "recurrent": 1, "bias": -1}.get(parameter, 0)
        mine, real = (layer.get_weights()[place] for layer in layers)
        assert mine.shape == real.shape
        assert mine.dtype == real.dtype
        few, spread = 4 / np.sqrt(mine.size), real.std()
        assert abs(mine.mean() - real.mean()) <= 2 * few * spread + 1e-7
        assert abs(mine.std() - spread) <= few * spread + 1e-7
        if spread and abs(real).max() < 2.5 * spread:  # bounded
            assert abs(mine).max() == pytest.approx(abs(real).max(), rel=10 / mine.size**0.5)
        if "rthogonal" in str(initialiser):
            values = [np.linalg.svd(w.reshape(-1, w.shape[-1]))[1] for w in (mine, real)]
            np.testing.assert_allclose(*values, rtol=1e-3)


def quadratic(w: Any) -> Any:
    return 0.25 * (w * w).sum()


PENALTIES: list[Any] = [
    "l1", "l2", "L1", "L2", {"class_name": "L1L2", "config": {"l1": 0.1, "l2": 0.2}},
    {"class_name": "L2", "config": {"l2": 0.3}}, "L1L2", "l1l2",
]  # fmt: skip
FAMILIES = {
    "Conv2D": ({"filters": 4, "kernel_size": 3}, (2, 5, 5, 2), ("kernel", "bias")),
    "Conv2DTranspose": ({"filters": 4, "kernel_size": 3}, (2, 5, 5, 2), ("kernel", "bias")),
    "DepthwiseConv2D": (
        {"kernel_size": 3, "depth_multiplier": 2},
        (2, 5, 5, 2),
        ("depthwise", "bias"),
    ),
    "SeparableConv2D": (
        {"filters": 3, "kernel_size": 3, "depth_multiplier": 2},
        (2, 5, 5, 2),
        ("depthwise", "pointwise", "bias"),
    ),
    "ConvLSTM2D": (
        {"filters": 2, "kernel_size": 3},
        (2, 3, 5, 5, 2),
        ("kernel", "recurrent", "bias"),
    ),
}


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_regularisers(name: str, penalty: Any, rng: np.random.Generator) -> None:
    """Losses, and the gradients of them and of the output's sum."""
    words, shape, parameters = FAMILIES[name]
    words = words | {f"{parameter}_regularizer": penalty for parameter in parameters}
    mine, real = pair(name, **words, activity_regularizer=penalty)
    real.build(shape)
    mine.build(shape)
    # No zeros, at which JAX takes 1 as the derivative of |w|, and we 0.
    real.set_weights([rng.standard_normal(w.shape) for w in real.get_weights()])
    mine.set_weights(real.get_weights())
    x = rng.standard_normal(shape).astype(np.float32)
    y = mine(x)
    dx = mine.backward(np.ones_like(y))
    variables = [variable.value for variable in real.trainable_variables]

    def loss(weights: Any, x: Any) -> Any:
        others = [variable.value for variable in real.non_trainable_variables]
        y, _, losses = real.stateless_call(weights, others, x, return_losses=True)
        return y.sum() + sum(losses) + real.activity_regularizer(y) / len(y)

    dweights, expected = jax.grad(loss, (0, 1))(variables, x)
    compare = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    compare(dx, np.asarray(expected))
    for variable, dweight in zip(mine.weights, dweights, strict=True):
        compare(variable.grad, np.asarray(dweight))
    real(x)
    assert sorted(mine.losses) == pytest.approx(sorted(map(float, real.losses)), rel=1e-4)
    assert mine.penalty() == pytest.approx(float(sum(real.losses)), rel=1e-4)


CONSTRAINTS: list[Any] = [
    "max_norm",
    "MaxNorm",
    "non_neg",
    "unit_norm",
    "min_max_norm",
    {"class_name": "MaxNorm", "config": {"max_value": 0.5, "axis": [0, 1, 2]}},
    {"class_name": "MaxNorm", "config": {"max_value": 0.5, "axis": -1}},
    {
        "class_name": "MinMaxNorm",
        "config": {"min_value": 0.3, "max_value": 0.4, "rate": 0.5, "axis": 2},
    },
    {"class_name": "UnitNorm", "config": {"axis": None}},
]


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_constraints(name: str, constraint: Any) -> None:
    words, shape, parameters = FAMILIES[name]
    deep = isinstance(constraint, dict) and constraint["config"]["axis"] not in (-1, None)
    words = words | {f"{p}_constraint": constraint for p in parameters if p != "bias" or not deep}
    mine, real = pair(name, **words)
    real.build(shape)
    mine.build(shape)
    mine.set_weights(real.get_weights())
    for variable, expected in zip(mine.weights, real.trainable_variables, strict=True):
        if expected.constraint is None:
            assert variable.parameter.constraint is None
            continue
        met = variable.parameter.constraint(variable.parameter.value)
        np.testing.assert_allclose(
            variable.layout.theirs(met), np.asarray(expected.constraint(expected.value)), rtol=1e-5,
            atol=1e-7,
        )  # fmt: skip


def test_objects_and_functions_of_keras() -> None:
    """Where Keras is there, its own serve, with their gradients if they have a name here."""
    layer = ours.Conv1D(
        3, 2, activation=theirs.activations.mish,
        kernel_initializer=theirs.initializers.HeNormal(seed=1),
        kernel_regularizer=theirs.regularizers.L2(0.5),
        bias_initializer=lambda shape, dtype=None: np.ones(shape, dtype),
        kernel_constraint=theirs.constraints.MaxNorm(0.1, axis=1),
    )  # fmt: skip
    y = layer(np.ones((1, 5, 4)))
    layer.backward(np.ones_like(y))
    norms = np.sqrt(
        np.sum(
            np.square(layer.kernel.layout.theirs(layer.weight.constraint(layer.weight.value))), 1
        )
    )
    assert norms.max() <= 0.1
    assert layer.bias.value.tolist() == [1, 1, 1]
    assert layer.losses == [pytest.approx(0.5 * np.sum(np.square(layer.kernel)), rel=1e-6)]


# Refusals

X = np.ones((2, 6, 6, 4), np.float32)
REFUSED = {
    "filters": lambda L: L.Conv1D(filters=0, kernel_size=1),
    "negative filters": lambda L: L.Conv2D(-6, 3),
    "kernel of 0": lambda L: L.Conv2D(filters=2, kernel_size=(1, 0)),
    "kernel of three": lambda L: L.Conv2D(2, (1, 2, 3)),
    "kernel in words": lambda L: L.Conv2D(2, "a"),
    "strides of 0": lambda L: L.Conv2D(filters=2, kernel_size=(2, 2), strides=(1, 0)),
    "both": lambda L: L.Conv2D(filters=2, kernel_size=(2, 2), strides=2, dilation_rate=(2, 1)),
    "both, transposed": lambda L: L.Conv2DTranspose(2, (2, 2), strides=2, dilation_rate=(2, 1)),
    "both, recurrent": lambda L: L.ConvLSTM2D(1, 1, strides=2, padding="same", dilation_rate=3),
    "no groups": lambda L: L.Conv2D(filters=5, kernel_size=(2, 2), groups=0),
    "groups": lambda L: L.Conv2D(filters=5, kernel_size=(2, 2), groups=2),
    "groups of the input": lambda L: L.Conv2D(6, 3, groups=3)(X),
    "dilation": lambda L: L.Conv2D(5, 3, dilation_rate=0),
    "padding": lambda L: L.Conv2D(5, 3, padding="full"),
    "causal": lambda L: L.Conv2D(5, 3, padding="causal"),
    "causal, transposed": lambda L: L.Conv1DTranspose(5, 3, padding="causal"),
    "causal, depthwise": lambda L: L.DepthwiseConv1D(5, padding="causal"),
    "pairs": lambda L: L.Conv2D(5, 3, padding=((1, 1), (1, 1)))(X),
    "data format": lambda L: L.Conv2D(5, 3, data_format="NCHW"),
    "output padding": lambda L: L.Conv1DTranspose(2, 3, strides=2, output_padding=2),
    "output padding of one axis": lambda L: L.Conv2DTranspose(2, 3, (2, 3), output_padding=(1, 3)),
    "output padding without strides": lambda L: L.Conv3DTranspose(8, 3, output_padding=1),
    "negative output padding": lambda L: L.Conv3DTranspose(8, 3, output_padding=-1),
    "depth": lambda L: L.DepthwiseConv1D(depth_multiplier=0, kernel_size=1),
    "depth, separable": lambda L: L.SeparableConv1D(2, 1, depth_multiplier=0),
    "activation": lambda L: L.Conv2D(5, 3, activation="RELU"),
    "activation of a number": lambda L: L.Conv2D(5, 3, activation=3),
    "initialiser": lambda L: L.Conv2D(5, 3, kernel_initializer="Glorot_uniform"),
    "initialiser for matrices": lambda L: L.Conv2D(5, 3, kernel_initializer="identity")(X),
    "initial array": lambda L: L.Conv2D(5, 3, kernel_initializer=np.ones((3, 3)))(X),
    "orthogonal bias": lambda L: L.Conv2D(5, 3, bias_initializer="orthogonal")(X),
    "regulariser": lambda L: L.Conv2D(5, 3, kernel_regularizer="foo"),
    "regulariser of old": lambda L: L.Conv2D(5, 3, kernel_regularizer="l1_l2"),
    "constraint": lambda L: L.Conv2D(5, 3, kernel_constraint="maxnorm"),
    "name": lambda L: L.Conv2D(5, 3, name="a/b"),
    "name of a number": lambda L: L.Conv2D(5, 3, name=3),
    "trainable": lambda L: L.Conv2D(5, 3, trainable=1),
    "unknown word": lambda L: L.Conv2D(5, 3, colour=1),
    "missing word": lambda L: L.Conv2D(5),
    "too many words": lambda L: L.Cropping1D(1, "channels_last"),
    "axes": lambda L: L.Conv2D(5, 3)(X[0]),
    "axes of frames": lambda L: L.ZeroPadding1D(1)(X),
    "axes of steps": lambda L: L.ConvLSTM2D(5, 3)(X),
    "other channels": lambda L: (layer := L.Conv2D(5, 3), layer(X), layer(X[..., :2])),
    "too small": lambda L: L.Conv2D(5, 7)(X),
    "too small to build": lambda L: L.Conv2D(5, 7).build((None, 6, 6, 4)),
    "too small, later": lambda L: (layer := L.Conv2D(5, 3), layer(X), layer(X[:, :2])),
    "too small, depthwise": lambda L: L.DepthwiseConv2D(7)(X),
    "too small, separable": lambda L: L.SeparableConv2D(2, 7)(X),
    "integers": lambda L: L.Conv2D(5, 3, dtype="int32")(X),
    "weights of an unbuilt layer": lambda L: L.Conv2D(5, 3).set_weights([X]),
    "weights of another shape": lambda L: (
        layer := L.Conv2D(5, 3),
        layer(X),
        layer.set_weights([X, X]),
    ),
    "padding of three": lambda L: L.ZeroPadding1D((1, 2, 3)),
    "padding in words": lambda L: L.ZeroPadding2D("1"),
    "padding of one": lambda L: L.ZeroPadding2D((1,)),
    "negative padding": lambda L: L.ZeroPadding2D(((1, 2), (3, -4))),
    "padding, mixed": lambda L: L.ZeroPadding2D(((1, 2), "3")),
    "cropping": lambda L: L.Cropping1D(cropping="1"),
    "cropping of one": lambda L: L.Cropping1D(cropping=(1,)),
    "negative cropping": lambda L: L.Cropping2D(-1),
    "everything": lambda L: L.Cropping2D(3)(X),
    "size": lambda L: L.UpSampling1D((2,)),
    "size of a fraction": lambda L: L.UpSampling1D(2.0),
    "size of 0": lambda L: L.UpSampling1D(0),
    "size of three": lambda L: L.UpSampling2D((1, 2, 3)),
    "interpolation": lambda L: L.UpSampling2D(2, interpolation="spline")(X),
    "dropout": lambda L: L.ConvLSTM2D(5, 3, dropout="a"),
    "seed": lambda L: L.ConvLSTM2D(5, 3, seed="a"),
    "stateful": lambda L: L.ConvLSTM1D(5, 3, stateful=True).build((None, 2, 6, 4)),
    "stateful, later": lambda L: (
        layer := L.ConvLSTM1D(5, 3, stateful=True),
        layer(X),
        layer(X[:1]),
    ),
    "initial state": lambda L: L.ConvLSTM1D(5, 3)(X, initial_state=[X, X]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    """The same class of error; Keras's own are plain, ours belong to convref as well."""
    found = []
    for module in (ours, theirs.layers):
        with pytest.raises((ValueError, TypeError)) as caught:
            REFUSED[name](module)
        found.append(TypeError if isinstance(caught.value, TypeError) else ValueError)
    assert found[0] is found[1]


# Models and configurations


def model_of(module: Any, sequential: Any, **first: Any) -> Any:
    return sequential(
        [
            module.Conv2D(4, 3, activation="relu", **first),
            module.DepthwiseConv2D(3, padding="same"),
            module.UpSampling2D(2),
            module.Conv2DTranspose(3, 3, strides=2, padding="same"),
            module.ZeroPadding2D(((1, 0), (0, 1))),
            module.SeparableConv2D(2, 3),
            module.Cropping2D(1),
        ]
    )


def test_sequential(rng: np.random.Generator) -> None:
    mine = model_of(ours, ours.Sequential, input_shape=(9, 9, 3))
    real = model_of(theirs.layers, theirs.Sequential, input_shape=(9, 9, 3))
    assert mine.built
    weights = [integers(rng, *w.shape) for w in real.get_weights()]
    mine.set_weights(weights)
    real.set_weights(weights)
    assert_same(mine, real, integers(rng, 2, 9, 9, 3), rng, close=1e-5)
    assert mine.count_params() == real.count_params()
    assert mine.input_shape == real.input_shape
    assert mine.compute_output_shape((None, 9, 9, 3)) == real.output_shape
    assert [type(a).__name__ for a in mine.layers] == [type(b).__name__ for b in real.layers]


@pytest.mark.parametrize("first", [{}, {"input_shape": (None, None, 3)}])
def test_sequential_of_open_sizes(first: Any) -> None:
    mine = model_of(ours, ours.Sequential, **first)
    real = model_of(theirs.layers, theirs.Sequential, **first)
    if not first:
        assert not mine.get_weights()
        mine.build((None, None, 9, 3))
        real.build((None, None, 9, 3))
    assert mine.compute_output_shape(mine.input_shape) == real.output_shape
    assert [w.shape for w in mine.get_weights()] == [w.shape for w in real.get_weights()]


CONFIGURED = [
    (
        "Conv2D",
        {
            "filters": 4,
            "kernel_size": 3,
            "activation": "relu",
            "kernel_regularizer": "l2",
            "kernel_constraint": "max_norm",
            "name": "stem",
            "trainable": False,
        },
        (1, 5, 5, 3),
    ),
    (
        "Conv3DTranspose",
        {"filters": 4, "kernel_size": 3, "strides": 2, "output_padding": 1, "padding": "same"},
        (1, 3, 3, 3, 2),
    ),
    (
        "DepthwiseConv1D",
        {"kernel_size": 3, "depth_multiplier": 2, "activity_regularizer": "l1"},
        (1, 5, 3),
    ),
    (
        "SeparableConv2D",
        {"filters": 4, "kernel_size": 3, "pointwise_initializer": "he_normal"},
        (1, 5, 5, 3),
    ),
    (
        "ConvLSTM2D",
        {"filters": 4, "kernel_size": 3, "return_sequences": True, "dropout": 0.1, "seed": 3},
        (1, 2, 5, 5, 3),
    ),
    ("UpSampling2D", {"size": 3, "interpolation": "bilinear"}, (1, 5, 5, 3)),
    ("ZeroPadding3D", {"padding": (1, 2, 3)}, (1, 2, 2, 2, 3)),
    ("Cropping1D", {"cropping": (1, 2)}, (1, 5, 3)),
]


@pytest.mark.parametrize("case", range(len(CONFIGURED)))
def test_configurations(case: int) -> None:
    """Keras makes a layer of ours, and this dialect one of Keras's."""
    name, words, shape = CONFIGURED[case]
    mine, real = pair(name, **words)
    for made in (
        getattr(ours, name)(**real.get_config()),
        getattr(ours, name).from_config(mine.get_config()),
        getattr(theirs.layers, name).from_config(mine.get_config()),
        getattr(theirs.layers, name)(**ours.get_config(mine)["config"]),
    ):
        made.build(shape)
        mine.build(shape)
        made.set_weights(mine.get_weights())
        x = np.linspace(-1, 1, np.prod(shape), dtype=np.float32).reshape(shape)
        np.testing.assert_allclose(mine(x), np.asarray(made(x)), rtol=1e-4, atol=1e-5)
        assert made.trainable == words.get("trainable", True)
    shared = {*mine.get_config()} & {*real.get_config()}
    plain = {word for word in shared if not isinstance(real.get_config()[word], dict | str)}
    assert {word: mine.get_config()[word] for word in plain} == {
        word: real.get_config()[word] for word in plain
    }


def test_configurations_of_models() -> None:
    mine = model_of(ours, ours.Sequential, input_shape=(9, 9, 3))
    real = model_of(theirs.layers, theirs.Sequential, input_shape=(9, 9, 3))
    x = np.linspace(-1, 1, 2 * 9 * 9 * 3, dtype=np.float32).reshape(2, 9, 9, 3)
    expected = mine(x)
    for made in (
        ours.Sequential.from_config(real.get_config()),
        ours.Sequential(**ours.get_config(mine)["config"]),
        theirs.Sequential.from_config(ours.get_config(mine)["config"]),
    ):
        made.set_weights(mine.get_weights())
        np.testing.assert_allclose(expected, np.asarray(made(x)), rtol=1e-4, atol=1e-5)
