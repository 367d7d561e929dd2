"""The brainpy dialect on its own: words, defaults, shapes, refusals by full text, translation."""

import inspect
import json
from math import prod
from typing import Any

import numpy as np
import pytest
from gradients import assert_affine, assert_gradients, integers
from hypothesis import given
from hypothesis import strategies as st
from messages import refused
from strategies import problems

import convref
from convref import DtypeError, ShapeError, WordError, layers
from convref.dialects import brainpy as dnn
from convref.regularisers import L2

CONVOLUTIONS = (dnn.Conv1d, dnn.Conv2d, dnn.Conv3d)
TRANSPOSED = (dnn.ConvTranspose1d, dnn.ConvTranspose2d, dnn.ConvTranspose3d)
X = np.ones((2, 5, 3), np.float32)


def test_the_documented_signature() -> None:
    """In order, with the defaults; the initialisers' random state is no argument."""
    words = (
        "in_channels, out_channels, kernel_size, stride=None, strides=None, padding='SAME', "
        "lhs_dilation=1, rhs_dilation=1, groups=1, w_initializer=XavierNormal(scale=1.0, "
        "mode='fan_avg', distribution='truncated_normal', in_axis=-2, out_axis=-1, seed=None), "
        "b_initializer=ZeroInit(), mask=None, mode=None, name=None"
    )
    for kind in CONVOLUTIONS:
        found = inspect.signature(kind)
        bare = [word.replace(annotation="x") for word in found.parameters.values()]
        assert str(inspect.Signature(bare)).replace(": 'x'", "").replace(" = ", "=") == f"({words})"
    words = [
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "w_initializer",
        "b_initializer", "mask", "precision", "mode", "name",
    ]  # fmt: skip
    for kind in TRANSPOSED:
        assert list(inspect.signature(kind).parameters) == words


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_shapes_and_defaults(kind: Any) -> None:
    rank = CONVOLUTIONS.index(kind) + 1
    layer = kind(3, 32, 3)
    assert isinstance(layer, (layers.Conv1d, layers.Conv2d, layers.Conv3d)[rank - 1])
    assert layer.w.shape == (*[3] * rank, 3, 32)
    assert layer.b.shape == (*[1] * rank, 32)
    assert layer(np.ones((2, *[5] * rank, 3), np.float32)).shape == (2, *[5] * rank, 32)
    assert layer(np.ones((*[5] * rank, 3), np.float32)).shape == (*[5] * rank, 32)
    assert layer.trainable
    assert repr(kind(3, 32, 3, groups=1)) == (
        f"Conv{rank}d(in_channels=3, out_channels=32, kernel_size={(3,) * rank}, "
        f"stride={(1,) * rank}, padding=SAME)"
    )


def test_names_in_capitals() -> None:
    assert (dnn.Conv1D, dnn.Conv2D, dnn.Conv3D) == CONVOLUTIONS


@given(problems(ranks=st.integers(1, 3), modes=("zeros",), layouts=("channels_last",)))
def test_any_convolution(problem: Any) -> None:
    words, rank = problem.words, problem.rank
    geometry = convref.Geometry.of(problem.input_size, problem.kernel, **problem.without("layout"))
    x = problem.x.reshape(prod(problem.batch), *problem.x.shape[-rank - 1 :]).astype(np.float64)
    layer = CONVOLUTIONS[rank - 1](
        problem.channels, len(problem.w), problem.kernel, stride=words["stride"],
        padding=geometry.padding, lhs_dilation=words["input_dilation"],
        rhs_dilation=words["dilation"], groups=problem.groups,
        w_initializer=np.moveaxis(problem.w, (1, 0), (-2, -1)),
    )  # fmt: skip
    np.testing.assert_array_equal(layer.weight.value, problem.w)
    words = {**words, "padding": geometry.padding}
    np.testing.assert_array_equal(layer(x), convref.conv(x, problem.w, **words))


@pytest.mark.parametrize("padding", ["SAME", "VALID", 0, 2, (1, 2), [(2, 0)]])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_transposes_convolve_the_spread_out_input(
    stride: int, padding: Any, rng: np.random.Generator
) -> None:
    """As a correlation with w itself, by the rules of jax.lax.conv_transpose."""
    x, w = integers(rng, 2, 6, 4), integers(rng, 3, 4, 5)
    layer = dnn.ConvTranspose1d(4, 5, 3, stride, padding, w)
    full = stride - 1 + max(3 - stride, 0)
    pair = {"VALID": (2, full), "SAME": (2, stride - 1) if stride > 2 else (stride // 2 + 1, 1)}
    if isinstance(padding, str):
        lo, hi = pair[padding]
        if padding == "SAME":
            hi = 3 + stride - 2 - lo
    else:
        lo, hi = (padding, padding) if isinstance(padding, int) else np.ravel(padding).tolist()
    expected = convref.conv(
        x, w.transpose(2, 1, 0), input_dilation=stride, padding=[(lo, hi)], layout="channels_last"
    )
    np.testing.assert_array_equal(layer(x), expected)
    np.testing.assert_array_equal(layer.w, w)


@pytest.mark.parametrize("kind", [*CONVOLUTIONS, *TRANSPOSED])
def test_gradients(kind: Any, rng: np.random.Generator) -> None:
    rank = kind.rank
    layer = dnn.from_layer(kind(4, 6, 3, stride=2))
    layer.dtype = np.dtype(np.float64)
    layer.weight.value = layer.weight.value.astype(np.float64)
    layer.bias.value = layer.bias.value.astype(np.float64)
    assert_gradients(layer, rng.standard_normal((2, *[4] * rank, 4)), rng)
    assert_affine(layer, integers(rng, 2, *[4] * rank, 4), rng)


def test_outputs_without_positions() -> None:
    layer = dnn.Conv1d(3, 4, 3, padding="VALID")
    for shape in ((2, 3), (7, 2, 3)):
        y = layer(np.ones(shape, np.float32))
        assert y.shape == (*shape[:-2], 0, 4)
        assert layer.backward(y).shape == shape
        assert not layer.weight.grad.any()
    transposed = dnn.ConvTranspose1d(3, 4, 3, padding=0)
    assert transposed(np.ones((2, 3), np.float32)).shape == (0, 4)
    assert transposed.backward(np.ones((0, 4), np.float32)).shape == (2, 3)


def test_words_that_say_the_same() -> None:
    assert dnn.Conv2d(3, 4, 3, stride=2).stride == dnn.Conv2d(3, 4, 3, strides=(2, 2)).stride
    for padding, found in (
        (2, ((2, 2), (2, 2))),
        ((1, 2), ((1, 2), (1, 2))),
        ([(1, 1)], ((1, 1), (1, 1))),
        ([(1, 1), (2, 2)], ((1, 1), (2, 2))),
    ):
        assert dnn.Conv2d(3, 4, (3,), padding=padding).padding == found


def test_first_values() -> None:
    w = np.arange(36.0).reshape(3, 3, 4)
    assert np.array_equal(dnn.Conv1d(3, 4, 3, w_initializer=w).w, w)
    assert np.array_equal(dnn.Conv1d(3, 4, 3, w_initializer=lambda shape: np.full(shape, 2.0)).w,
                          np.full((3, 3, 4), 2.0))  # fmt: skip
    assert dnn.Conv1d(3, 4, 3, b_initializer=None).b is None
    assert (dnn.Conv1d(3, 4, 3, b_initializer=0.5).b == 0.5).all()
    assert dnn.Conv1d(3, 4, 3, b_initializer=np.arange(4.0)[None]).b.tolist() == [[0, 1, 2, 3]]
    seeded = [dnn.Conv1d(3, 4, 3, w_initializer=dnn.XavierNormal(seed=s)).w for s in (1, 1, 2)]
    assert np.array_equal(seeded[0], seeded[1])
    assert not np.array_equal(seeded[0], seeded[2])
    shared = dnn.Normal(seed=0)  # goes on where it was
    assert not np.array_equal(shared((2, 2)), shared((2, 2)))


SHAPE = (3, 3, 40, 60)
INTO, OUT = 9 * 40, 9 * 60
SPREADS = {
    "Normal": (dnn.Normal(1.0, 2.0, seed=0), 1.0, 2.0),
    "Uniform": (dnn.Uniform(seed=0), 0.5, 12**-0.5),
    "KaimingUniform": (dnn.KaimingUniform(seed=0), 0.0, (2 / INTO) ** 0.5),
    "KaimingNormal": (dnn.KaimingNormal(seed=0), 0.0, (2 / INTO) ** 0.5),
    "XavierUniform": (dnn.XavierUniform(seed=0), 0.0, (2 / (INTO + OUT)) ** 0.5),
    "XavierNormal": (dnn.XavierNormal(seed=0), 0.0, (2 / (INTO + OUT)) ** 0.5),
    "LecunUniform": (dnn.LecunUniform(seed=0), 0.0, INTO**-0.5),
    "LecunNormal": (dnn.LecunNormal(seed=0), 0.0, INTO**-0.5),
    "the other axes": (dnn.LecunNormal(in_axis=-1, out_axis=-2, seed=0), 0.0, OUT**-0.5),
    "ZeroInit": (dnn.ZeroInit(), 0.0, 0.0),
    "OneInit": (dnn.OneInit(), 1.0, 0.0),
    "Constant": (dnn.Constant(3.0), 3.0, 0.0),
}


@pytest.mark.parametrize("name", SPREADS)
def test_initialisers(name: str) -> None:
    initializer, mean, deviation = SPREADS[name]
    w = initializer(SHAPE)
    assert w.dtype == np.float32
    assert w.mean() == pytest.approx(mean, abs=5 * deviation / w.size**0.5 + 1e-6)
    assert w.std() == pytest.approx(deviation, rel=0.02, abs=1e-6)


def test_orthogonal_weights() -> None:
    w = dnn.Orthogonal(scale=2.0)((3, 3, 4, 6)).reshape(36, 6)
    np.testing.assert_allclose(w.T @ w, 4 * np.eye(6), atol=1e-5)
    w = dnn.Orthogonal(axis=0)((3, 4, 6)).reshape(3, 24)
    np.testing.assert_allclose(w @ w.T, np.eye(3), atol=1e-6)


def test_masks_multiply_the_weights() -> None:
    layer = dnn.Conv1d(3, 4, 3, padding="VALID", w_initializer=dnn.OneInit(), mask=[2.5, 0, 1, 1])
    assert layer(X)[0, 0].tolist() == [22.5, 0, 9, 9]
    layer.backward(np.ones((2, 3, 4), np.float32))
    assert not layer.own(layer.weight.grad)[..., 1].any()
    transposed = dnn.ConvTranspose1d(
        3, 4, 3, padding="VALID", mask=np.tril(np.ones((3, 3, 4))), w_initializer=dnn.OneInit()
    )
    assert transposed(X)[0, 2].tolist() == [9, 6, 3, 0]


def test_modes() -> None:
    for mode, learns in ((dnn.training_mode, True), (dnn.batching_mode, False), (None, True)):
        layer = dnn.Conv1d(3, 4, 3, mode=mode)
        layer.backward(layer(X))
        assert (layer.weight.grad is not None) == learns == bool(layer.trained()) == layer.training
    assert dnn.Conv1d(3, 4, 3, mode=dnn.NonBatchingMode()).mode == dnn.nonbatching_mode


REFUSED = {
    "a word in small letters": (
        dnn.AssertedError,
        {"padding": "same"},
        "`padding` (='same') is not 'SAME' or 'VALID'; use 'SAME', 'VALID', an int, a pair (low, "
        "high), or one pair per axis",
    ),
    "three amounts": (
        WordError,
        {"padding": (1, 2, 3)},
        "`padding` (=(1, 2, 3)) is not one pair, or 1 of them; use 'SAME', 'VALID', an int, a pair "
        "(low, high), or one pair per axis",
    ),
    "half a cell": (
        WordError,
        {"padding": 1.5},
        "`padding` (=1.5) must be made of integers; such as padding=1",
    ),
    "both strides": (
        WordError,
        {"stride": 2, "strides": 2},
        "`stride` (=2) and `strides` (=2) are the same word; give one of them",
    ),
    "two strides for one axis": (
        dnn.CountError,
        {"stride": (1, 2)},
        "`stride` (=(1, 2)) has 2 entries, and there are 1 spatial axes; give one integer, or 1 of "
        "them",
    ),
    "no stride": (dnn.CountError, {"stride": 0}, "`stride` (=0) must be at least 1; use 1 or more"),
    "a word with a spread-out input": (
        WordError,
        {"lhs_dilation": 2},
        "`padding` (='SAME') must be pairs where `lhs_dilation` (=2) is not 1; such as padding=0 "
        "for 'VALID'",
    ),
    "groups": (
        dnn.AssertedError,
        {"groups": 2},
        "`groups` (=2) must divide `in_channels` (=3) and `out_channels` (=4); use 1",
    ),
    "no weights": (
        WordError,
        {"w_initializer": None},
        "`w_initializer` (=None) is not an initialiser; give a function of the shape, or an array",
    ),
    "an initialiser by name": (
        WordError,
        {"w_initializer": "ones"},
        "`w_initializer` (='ones') is not an initialiser; give a function of the shape, or an "
        "array",
    ),
    "weights of another shape": (
        ShapeError,
        {"w_initializer": np.ones((3, 4))},
        "`w_initializer` has the shape (3, 4); give it the shape (3, 3, 4)",
    ),
    "a bias of another shape": (
        ShapeError,
        {"b_initializer": np.ones(4)},
        "`b_initializer` has the shape (4,); give it the shape (1, 4)",
    ),
    "a mode by name": (
        WordError,
        {"mode": "training"},
        "`mode` (='training') is not a mode; use training_mode, batching_mode or another",
    ),
    "a form of nothing": (
        WordError,
        {"mode": {"class_name": "Sleeping"}},
        "{'class_name': 'Sleeping'} names no initialiser and no mode; use one of "
        "NonBatchingMode, BatchingMode, TrainingMode, ZeroInit, Constant, OneInit, Normal, "
        "Uniform, VarianceScaling, KaimingUniform, KaimingNormal, XavierUniform, XavierNormal, "
        "LecunUniform, LecunNormal, Orthogonal",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_are_refused(name: str) -> None:
    kind, words, text = REFUSED[name]
    with refused(kind, f"Conv1d: {text}"):
        dnn.Conv1d(3, 4, 3, **words)


CALLS = {
    "too many axes": (
        ShapeError,
        np.ones((2, 2, 5, 3)),
        {},
        "`x` (shape (2, 2, 5, 3)) must have 2 or 3 axes; give it the shape (*input, C) or (B, "
        "*input, C)",
    ),
    "other channels": (
        ShapeError,
        np.ones((5, 4)),
        {},
        "`x` (shape (5, 4)) has 4 channels, and `in_channels` is 3; the channels are its last axis",
    ),
    "integers": (
        DtypeError,
        np.ones((5, 3), int),
        {},
        "`x` (int64) must have the dtype of the weights (float32); convert it",
    ),
    "a mask of another shape": (
        ShapeError,
        X,
        {"mask": np.ones((9, 9, 9, 9))},
        "`mask` (shape (9, 9, 9, 9)) does not broadcast to the weights (shape (3, 3, 4)); give it "
        "the shape of the weights",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_that_are_refused(name: str) -> None:
    kind, x, words, text = CALLS[name]
    layer = dnn.Conv1d(3, 4, 3, **words)
    for _ in range(2):
        with refused(kind, f"Conv1d: {text}"):
            layer(x)


def test_other_refusals() -> None:
    with refused(WordError, "ConvTranspose1d: `precision` (='low') is unknown; leave it out: "
                 "everything is kept"):  # fmt: skip
        dnn.ConvTranspose1d(3, 4, 3, precision="low")
    with refused(dnn.AssertedError, "VarianceScaling: `mode` (='fan') is unknown; did you mean "
                 "'fan_in'?"):  # fmt: skip
        dnn.VarianceScaling(1.0, "fan", "normal")
    layer = dnn.Conv1d(3, 4, 3, b_initializer=None)
    with refused(WordError, "Conv1d: the layer has no bias; make it with a `b_initializer`"):
        layer.b = np.ones((1, 4))
    with refused(ShapeError, "Conv1d: `w` has the shape (3, 4); give it the shape (3, 3, 4)"):
        layer.w = np.ones((3, 4))


# Translation


def same_layer(first: Any, second: Any, x: Any) -> None:
    """The same output and the same gradients."""
    y = first(x)
    np.testing.assert_array_equal(second(x), y)
    np.testing.assert_array_equal(first.backward(y), second.backward(y))
    for name, parameter in first.trained().items():
        np.testing.assert_array_equal(parameter.grad, second.parameters()[name].grad)


LAST = {"layout": "channels_last", "rng": 0}
EXPRESSIBLE = {
    "valid": layers.Conv2d(4, 6, 3, stride=2, **LAST),
    "same": layers.Conv2d(4, 6, (3, 2), stride=2, padding="same", dilation=2, **LAST),
    "same below": layers.Conv2d(4, 6, (3, 2), padding="same_lower", **LAST),
    "causal": layers.Conv1d(4, 6, 3, stride=2, padding="causal", dilation=2, **LAST),
    "pairs": layers.Conv1d(4, 6, 3, padding=[(-1, 3)], groups=2, bias=False, **LAST),
    "spread out": layers.Conv1d(4, 6, 3, input_dilation=3, activation="linear", **LAST),
    "an N-d layer": layers.Conv(4, 6, (2, 2, 2), **LAST),
    "depthwise": layers.DepthwiseConv2d(4, 3, multiplier=2, **LAST),
    "masked": layers.Conv1d(4, 6, 3, mask=np.eye(6, 4)[..., None], **LAST),
    "in float64": layers.Conv1d(4, 6, 3, dtype="float64", **LAST),
    "frozen": layers.Conv1d(4, 6, 3, trainable=False, name="stem", **LAST),
    "transposed": layers.ConvTranspose2d(4, 6, 3, stride=2, **LAST),
    "transposed, longer steps": layers.ConvTranspose1d(4, 6, 2, stride=4, **LAST),
    "transposed, and full": layers.ConvTranspose1d(4, 6, 2, stride=4, output_padding=2, **LAST),
    "transposed, same": layers.ConvTranspose2d(
        4, 6, (4, 3), stride=2, padding="same", output_padding=1, **LAST
    ),
    "transposed, not quite the same": layers.ConvTranspose1d(
        4, 6, 4, stride=3, padding="same", output_padding=1, **LAST
    ),
    "transposed, causal": layers.ConvTranspose1d(4, 6, 3, stride=2, padding="causal", **LAST),
    "transposed, pairs": layers.ConvTranspose1d(
        4, 6, 5, stride=3, padding=[(1, 2)], output_padding=2, bias=False, **LAST
    ),
    "brainpy's": dnn.Conv2d(4, 6, 3, stride=2, padding=1, w_initializer=dnn.KaimingNormal()),
    "brainpy's transpose": dnn.ConvTranspose2d(4, 6, 3, 2, mode=dnn.BatchingMode(8)),
}


@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_layers_that_brainpy_has(name: str, rng: np.random.Generator) -> None:
    layer = EXPRESSIBLE[name]
    for parameter in layer.parameters().values():
        parameter.value = integers(rng, *parameter.value.shape).astype(parameter.value.dtype)
    x = integers(rng, 2, *[7] * layer.spec.rank, 4)
    found = dnn.from_layer(layer)
    assert type(found).__module__.startswith("convref.dialects.brainpy")
    same_layer(layer, found, x)
    assert found.trainable == layer.trainable
    assert not np.shares_memory(found.weight.value, layer.weight.value)

    written = dnn.get_config(found)
    assert json.loads(json.dumps(written)) == written
    again = getattr(dnn, written["class_name"])(**written["config"])
    assert dnn.get_config(again) == written
    again.w = found.w
    if found.b is not None:
        again.b = found.b
    np.testing.assert_array_equal(again(x), found(x))
    assert again.spec == found.spec
    assert again.name == found.name


def test_words_of_translated_layers() -> None:
    found = {name: dnn.from_layer(layer) for name, layer in EXPRESSIBLE.items()}
    words = {name: layer.padding for name, layer in found.items()}
    assert words["valid"] == words["transposed"] == words["transposed, and full"] == "VALID"
    assert words["same"] == words["transposed, same"] == "SAME"
    assert words["causal"] == ((4, 0),)
    assert words["transposed, longer steps"] == ((1, 1),)
    assert found["frozen"].name == "stem"
    assert found["in float64"](np.ones((7, 4))).dtype == np.float64


def test_channels_come_last_whatever_they_were(rng: np.random.Generator) -> None:
    x = integers(rng, 2, 4, 7, 7)
    layer = layers.Conv2d(4, 6, 3, stride=2, padding="same", rng=0)
    layer.weight.value = integers(rng, 6, 4, 3, 3).astype(np.float32)
    y = dnn.from_layer(layer)(x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(y.transpose(0, 3, 1, 2), layer(x))


def test_configuration() -> None:
    layer = dnn.Conv2d(
        3, 4, 3, strides=2, padding=(1, 2), w_initializer=dnn.KaimingNormal(seed=7),
        b_initializer=0.5, mask=np.ones(4), mode=dnn.nonbatching_mode, name="stem",
    )  # fmt: skip
    assert dnn.get_config(layer) == {
        "class_name": "Conv2d",
        "config": {
            "in_channels": 3,
            "out_channels": 4,
            "kernel_size": [3, 3],
            "stride": [2, 2],
            "padding": [[1, 2], [1, 2]],
            "lhs_dilation": [1, 1],
            "rhs_dilation": [1, 1],
            "groups": 1,
            "w_initializer": {
                "class_name": "KaimingNormal",
                "config": {
                    "scale": 2.0,
                    "mode": "fan_in",
                    "distribution": "truncated_normal",
                    "in_axis": -2,
                    "out_axis": -1,
                    "seed": 7,
                },
            },
            "b_initializer": 0.5,
            "mask": [1.0, 1.0, 1.0, 1.0],
            "mode": {"class_name": "NonBatchingMode", "config": {}},
            "name": "stem",
        },
    }


INEXPRESSIBLE = {
    "an activation": (
        layers.Conv1d(3, 4, 3, activation="relu"),
        "brainpy's convolutions have no `activation` (=ReLU); translate the layer without it, and "
        "put it after the layer",
    ),
    "a penalty": (
        layers.Conv1d(3, 4, 3, weight_regulariser=L2(0.1)),
        "brainpy's convolutions have no `weight_regulariser`; leave it to the loss and the "
        "training",
    ),
    "a padding mode": (
        layers.Conv1d(3, 4, 3, padding=1, padding_mode="reflect"),
        "brainpy has no `padding_mode` (='reflect'); use padding='VALID', and pad before the layer",
    ),
    "padding that depends on the size": (
        layers.Conv1d(3, 4, 3, stride=2, padding="same_lower"),
        "`padding` (='same_lower') with `stride` (=(2,)) depends on the size of the input, which "
        "pairs do not; for sizes that the strides divide use padding=((1, 0),)",
    ),
    "four axes": (
        layers.Conv(3, 4, (1, 1, 1, 1)),
        "brainpy has no convolution of 4 axes; it has those of 1 to 3",
    ),
    "no channels yet": (
        layers.Conv1d(None, 4, 3),
        "brainpy's layers need `in_channels`; call the layer once, or give them",
    ),
    "groups of a transpose": (
        layers.ConvTranspose1d(4, 4, 3, groups=2),
        "brainpy's transposed convolutions have no `groups` (=2); use a Conv with `lhs_dilation` "
        "for the stride",
    ),
    "a size": (
        layers.ConvTranspose1d(4, 4, 3, output_size=9),
        "brainpy's transposed convolutions have no `output_size` (=9); use the padding that gives "
        "that size",
    ),
    "a separable convolution": (
        layers.SeparableConv1d(4, 4, 3),
        "brainpy has no separable convolution; use two: a Conv with groups=in_channels, and a Conv "
        "with kernel_size=1",
    ),
    "another layer": (
        layers.Flatten(),
        "there is no Flatten in this dialect; it has convolutions and transposed convolutions",
    ),
}


@pytest.mark.parametrize("name", INEXPRESSIBLE)
def test_layers_that_brainpy_has_not(name: str) -> None:
    layer, text = INEXPRESSIBLE[name]
    with refused(WordError, f"from_layer: {text}"):
        dnn.from_layer(layer)


def test_configurations_of_other_dialects() -> None:
    with refused(WordError, "get_config: a Conv1d is not a layer of brainpy; use `from_layer`"):
        dnn.get_config(layers.Conv1d(1, 1, 1))
