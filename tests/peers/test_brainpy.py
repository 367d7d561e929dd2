"""The brainpy dialect against brainpy: outputs, gradients, first weights and refusals.

Values are small integers, so that sums are exact and any difference is a mistake.
"""

from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convref import ConvrefError
from convref.dialects import brainpy as ours

WHY = "brainpy is not installed: pip install 'convref[peers]'"
bp = pytest.importorskip("brainpy", reason=WHY)
jax = pytest.importorskip("jax", reason=WHY)

NAMES = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
MODES = {
    None: None,
    "training_mode": bp.math.training_mode,
    "batching_mode": bp.math.batching_mode,
    "nonbatching_mode": bp.math.nonbatching_mode,
}


def values(*shape: int, seed: int = 0) -> Any:
    rng = np.random.default_rng((seed, *shape))
    return rng.integers(-2, 3, shape).astype(np.float32)


def builtin(error: Exception) -> type[Exception]:
    """The class of Python's own that an error is of first."""
    return next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")


def called(layer: Any, w: Any, b: Any, x: Any) -> Any:
    """The output of a layer of brainpy with these parameters."""
    layer.w.value = w
    if layer.b is not None:
        layer.b.value = b
    return bp.math.as_jax(layer(x))


def compare(name: str, x: Any, *arguments: Any, mode: str | None = None, **words: Any) -> None:
    """The output and the gradients are brainpy's; or the error is."""
    own_mode = {} if mode is None else {"mode": getattr(ours, mode)}
    try:
        theirs = getattr(bp.dnn, name)(*arguments, **words, mode=MODES[mode])
        w = values(*theirs.w.shape)
        b = None if theirs.b is None else values(*theirs.b.shape)
        y, pull_back = jax.vjp(lambda *parts: called(theirs, *parts), w, b, x)
    except Exception as error:
        refusal = error
    else:
        refusal = None
    if refusal is not None:
        with pytest.raises(ConvrefError) as caught:
            getattr(ours, name)(*arguments, **words, **own_mode)(x)
        assert isinstance(caught.value, builtin(refusal)), repr(refusal)
        return
    layer = getattr(ours, name)(*arguments, **words, **own_mode)
    assert layer.w.shape == w.shape
    assert (layer.b is None) == (b is None)
    layer.w = w
    if b is not None:
        assert layer.b.shape == b.shape
        layer.b = b
    for word in ("stride", "kernel_size", "in_channels", "out_channels"):
        assert getattr(layer, word) == getattr(theirs, word)
    if not isinstance(theirs.padding, str):
        theirs.padding = tuple(map(tuple, theirs.padding))
    assert layer.padding == theirs.padding
    np.testing.assert_array_equal(layer(x), y, strict=True)
    dy = values(*y.shape, seed=1)
    dw, db, dx = pull_back(dy)
    np.testing.assert_array_equal(layer.backward(dy), dx, strict=True)
    if layer.trainable:
        np.testing.assert_array_equal(layer.own(layer.weight.grad), dw, strict=True)
        if b is not None:
            np.testing.assert_array_equal(layer.bias.grad, np.ravel(db), strict=True)
    assert isinstance(theirs.w, bp.math.TrainVar) == (mode == "training_mode")
    assert layer.trainable == (mode in (None, "training_mode"))


@st.composite
def layers(draw: st.DrawFn) -> tuple[str, Any, tuple[Any, ...], dict[str, Any]]:
    """A layer's name, an input, and arguments, of which a few don't fit."""
    name = draw(st.sampled_from(NAMES))
    rank = int(name[-2])

    def spelled(most: int) -> Any:
        entry = st.integers(1, most)
        return draw(
            st.one_of(entry, entry.map(lambda one: (one,)), st.tuples(*[entry] * rank).map(list))
        )

    amount = st.integers(-1, 3)
    pair = st.tuples(amount, amount)
    padding = draw(
        st.one_of(
            st.sampled_from(("SAME", "VALID")), amount, pair, pair.map(lambda one: [one]),
            st.tuples(*[pair] * rank),
        )
    )  # fmt: skip
    inside, outside = draw(st.sampled_from(((1, 1), (2, 4), (3, 2), (4, 6))))
    size = draw(st.tuples(*[st.integers(0 if "T" not in name else 1, 6)] * rank))
    batch = draw(st.sampled_from(((), (2,), (0,))))
    words: dict[str, Any] = {"stride": spelled(3), "padding": padding}
    if "Transpose" not in name:
        if draw(st.booleans()):
            words["strides"] = words.pop("stride")
        words["lhs_dilation"] = draw(st.sampled_from((1, 1, 2)))
        words["rhs_dilation"] = spelled(2)
        words["groups"] = draw(st.sampled_from((1, 1, 2)))
    if draw(st.booleans()):
        words["b_initializer"] = None
    words["mode"] = draw(st.sampled_from(tuple(MODES)))
    return name, values(*batch, *size, inside), (inside, outside, spelled(3)), words


@given(layers())
@settings(max_examples=40)
def test_any_layer(layer: Any) -> None:
    name, x, arguments, words = layer
    compare(name, x, *arguments, **words)


PADDINGS = ("SAME", "VALID", 0, 2, (1, 2), [(0, 2)])


@pytest.mark.parametrize("name", NAMES)
def test_grid(name: str) -> None:
    rank = int(name[-2])
    grid = list(product(PADDINGS, (1, 2, 3), (1, 2, 3, 4), ((), (2,))))
    for padding, stride, kernel, batch in Random(0).sample(grid, 12):
        x = values(*batch, *[5] * rank, 4)
        compare(name, x, 4, 6, kernel, stride=stride, padding=padding)


def test_examples_of_brainpys_tests() -> None:
    image = values(2, 40, 38, 4)
    compare("Conv2d", image, 4, 32, (3, 3), strides=(2, 1), padding="VALID", groups=4)
    for rank, name in enumerate(NAMES[:3], start=1):
        compare(name, np.ones((2, *[5] * rank, 3), np.float32), 3, 32, (3,) * rank)
    for rank, name in enumerate(NAMES[3:], start=1):
        x = np.ones((1, *[8] * rank, 3), np.float32)
        for padding in ("VALID", "SAME", 1):
            compare(name, x, 3, 4, kernel_size=(3,) * rank, padding=padding)


@pytest.mark.parametrize("name", ["Conv1d", "ConvTranspose1d"])
@pytest.mark.parametrize("shape", [(3, 3, 4), (4,), (3, 1, 1), (9, 9, 9, 9), (5,)])
def test_masks(shape: tuple[int, ...], name: str) -> None:
    """Of another shape, they are refused when the layer is called."""
    mask = np.random.default_rng(0).integers(0, 3, shape).astype(np.float32)
    getattr(ours, name)(3, 4, 3, mask=mask)
    compare(name, values(2, 5, 3), 3, 4, 3, mask=mask)


X = values(2, 5, 3)
WORDS: tuple[dict[str, Any], ...] = (
    *({"padding": word} for word in ("same", "SAME_LOWER", "valid", 1.5, None, (2,), [(1, 1)] * 2)),
    *({"padding": word} for word in (np.array([1, 2]), -9, [[1, 2]], [1, 2])),
    *({"stride": word} for word in ((1, 2), 0, [2])),
    *({"kernel_size": word} for word in ((3, 3), (3,), 0)),
    {"padding": "VALID", "kernel_size": 7},
    *({"w_initializer": word} for word in (None, [1.0], "ones", np.ones((3, 4), np.float32))),
    *({"b_initializer": word} for word in (None, "ones", np.ones(4, np.float32))),
)
CONV_WORDS: tuple[dict[str, Any], ...] = (
    {"stride": 2, "strides": 2},
    *({"groups": word} for word in (2, 3)),
    *({"lhs_dilation": word} for word in (2, (1, 2))),
    {"lhs_dilation": 2, "padding": 1},
    *({"rhs_dilation": word} for word in (2, (1, 2))),
)
TRANSPOSE_WORDS = tuple({"precision": word} for word in ("highest", "foo", jax.lax.Precision.HIGH))
CASES = (
    *(("Conv1d", words) for words in (*WORDS, *CONV_WORDS)),
    *(("ConvTranspose1d", words) for words in (*WORDS, *TRANSPOSE_WORDS)),
)


@pytest.mark.filterwarnings("ignore:divide by zero encountered")
@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize(("name", "words"), CASES, ids=str)
def test_words(name: str, words: dict[str, Any]) -> None:
    compare(name, X, 3, 4, **{"kernel_size": 3, **words})


@pytest.mark.parametrize("name", ["Conv1d", "Conv2d", "ConvTranspose2d"])
def test_inputs(name: str) -> None:
    for shape in ((3,), (5, 3), (5, 5, 3), (2, 5, 5, 3), (2, 2, 5, 5, 3), (5, 5, 4), (0, 5, 5, 3)):
        compare(name, np.ones(shape, np.float32), 3, 4, 3)
    for dtype in (int, np.float16):
        compare(name, np.ones((5, 5, 3), dtype)[: 5 if "2" in name else 1], 3, 4, 3)


def test_first_values_that_are_arrays_or_numbers() -> None:
    w, b = values(3, 3, 4), values(1, 4)
    for bias in (b, 2.0, np.ones(1, np.float32)):
        theirs = bp.dnn.Conv1d(3, 4, 3, w_initializer=w, b_initializer=bias)
        layer = ours.Conv1d(3, 4, 3, w_initializer=w, b_initializer=bias)
        np.testing.assert_array_equal(layer(X), np.asarray(theirs(X)))


INITIALISERS = {
    "Normal": {"mean": 1.0, "scale": 2.0},
    "Uniform": {"min_val": -1.0, "max_val": 2.0},
    "VarianceScaling": {"scale": 3.0, "mode": "fan_out", "distribution": "normal"},
    "KaimingUniform": {},
    "KaimingNormal": {"in_axis": -1, "out_axis": -2},
    "XavierUniform": {"scale": 2.0},
    "XavierNormal": {},
    "LecunUniform": {"mode": "fan_avg"},
    "LecunNormal": {},
    "Orthogonal": {"scale": 3.0},
    "ZeroInit": {},
    "OneInit": {"value": 2.0},
    "Constant": {},
}


@pytest.mark.parametrize("name", INITIALISERS)
def test_initialisers(name: str) -> None:
    """The same moments, and the same limits of distributions that have some."""
    words, shape = INITIALISERS[name], (3, 3, 40, 60)
    theirs = np.asarray(getattr(bp.init, name)(**words)(shape))
    found = getattr(ours, name)(**words)(shape)
    assert found.dtype == theirs.dtype == np.float32
    spread = float(theirs.std())
    assert found.mean() == pytest.approx(float(theirs.mean()), abs=spread / 20 + 1e-6)
    assert found.std() == pytest.approx(spread, rel=0.03, abs=1e-6)
    if name not in ("Normal", "VarianceScaling", "Orthogonal"):
        limits = (float(theirs.min()), float(theirs.max()))
        assert (found.min(), found.max()) == pytest.approx(limits, abs=spread / 20 + 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_default_weights(name: str) -> None:
    theirs, layer = getattr(bp.dnn, name)(40, 20, 3), getattr(ours, name)(40, 20, 3)
    w = np.asarray(theirs.w)
    assert layer.w.std() == pytest.approx(w.std(), rel=0.08)
    assert np.abs(layer.w).max() == pytest.approx(np.abs(w).max(), rel=0.02)
    assert not layer.b.any()
    assert not np.asarray(theirs.b).any()
