"""The torch dialect, without PyTorch: its documented examples, its messages, its translations."""

import inspect
import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from gradients import assert_affine
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from messages import refused
from strategies import problems

from convref import ConvrefError, ShapeError, WordError, conv, conv_transpose, layers
from convref.dialects import torch as nn
from convref.dialects.torch.refusals import (
    ArgumentError,
    ArrayError,
    MissingDtypeError,
    RuntimeDtypeError,
    RuntimeShapeError,
    RuntimeWordError,
)
from convref.regularisers import L2

Array = np.ndarray[Any, Any]
F = nn.functional


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


# The examples of PyTorch's documentation


def test_documented_layers() -> None:
    assert nn.Conv1d(16, 33, 3, stride=2)(ones(20, 16, 50)).shape == (20, 33, 24)
    image = ones(20, 16, 50, 100)
    assert nn.Conv2d(16, 33, 3, stride=2)(image).shape == (20, 33, 24, 49)
    layer = nn.Conv2d(16, 33, (3, 5), stride=(2, 1), padding=(4, 2))
    assert layer(image).shape == (20, 33, 28, 100)
    layer = nn.Conv2d(16, 33, (3, 5), stride=(2, 1), padding=(4, 2), dilation=(3, 1))
    assert layer(image).shape == (20, 33, 26, 100)
    layer = nn.Conv3d(16, 33, (3, 5, 2), stride=(2, 1, 1), padding=(4, 2, 0))
    assert layer.output_shape((20, 16, 10, 50, 100)) == (20, 33, 8, 50, 99)
    layer = nn.ConvTranspose2d(16, 33, (3, 5), stride=(2, 1), padding=(4, 2))
    assert layer.output_shape((20, 16, 50, 100)) == (20, 33, 93, 100)
    layer = nn.ConvTranspose3d(16, 33, (3, 5, 2), stride=(2, 1, 1), padding=(0, 4, 2))
    assert layer.output_shape((20, 16, 10, 50, 100)) == (20, 33, 21, 46, 97)


def test_documented_output_size() -> None:
    image = ones(1, 16, 12, 12)
    downsample = nn.Conv2d(16, 16, 3, stride=2, padding=1)
    upsample = nn.ConvTranspose2d(16, 16, 3, stride=2, padding=1)
    h = downsample(image)
    assert h.shape == (1, 16, 6, 6)
    assert upsample(h).shape == (1, 16, 11, 11)
    assert upsample(h, output_size=image.shape).shape == (1, 16, 12, 12)


def test_documented_functions() -> None:
    assert F.conv1d(ones(33, 16, 30), ones(20, 16, 5)).shape == (33, 20, 26)
    assert F.conv2d(ones(1, 4, 5, 5), ones(8, 4, 3, 3), padding=1).shape == (1, 8, 5, 5)
    assert F.conv3d(ones(20, 16, 5, 10, 20), ones(33, 16, 3, 3, 3)).shape == (20, 33, 3, 8, 18)
    assert F.conv_transpose1d(ones(20, 16, 50), ones(16, 33, 5)).shape == (20, 33, 54)
    found = F.conv_transpose2d(ones(1, 4, 5, 5), ones(4, 8, 3, 3), padding=1)
    assert found.shape == (1, 8, 5, 5)
    found = F.conv_transpose3d(ones(20, 16, 5, 10, 20), ones(16, 33, 3, 3, 3))
    assert found.shape == (20, 33, 7, 12, 22)


def test_documented_unfold_and_fold(rng: np.random.Generator) -> None:
    assert nn.Unfold(kernel_size=(2, 3))(ones(2, 5, 3, 4)).shape == (2, 30, 4)
    assert nn.Fold((4, 5), (2, 2))(ones(1, 3 * 2 * 2, 12)).shape == (1, 3, 4, 5)
    x = rng.integers(-4, 5, (1, 3, 10, 12)).astype(float)
    w = rng.integers(-4, 5, (2, 3, 4, 5)).astype(float)
    columns = F.unfold(x, (4, 5))
    product = (columns.swapaxes(1, 2) @ w.reshape(2, -1).T).swapaxes(1, 2)
    np.testing.assert_array_equal(F.fold(product, (7, 8), (1, 1)), F.conv2d(x, w))
    words = {"kernel_size": (2, 3), "dilation": (1, 2), "padding": 1, "stride": (2, 1)}
    fold, unfold = nn.Fold(x.shape[2:], **words), nn.Unfold(**words)
    np.testing.assert_array_equal(fold(unfold(x)), fold(unfold(np.ones_like(x))) * x)


def test_one_module_goes_by_every_name() -> None:
    assert nn.functional is nn.grad is nn
    assert all(hasattr(nn, name) for name in nn.__all__)


# Words and their meanings


def test_help_shows_pytorchs_signatures() -> None:
    assert str(inspect.signature(F.conv2d)).startswith("(input:")
    assert " ".join(inspect.signature(F.conv_transpose3d).parameters) == (
        "input weight bias stride padding output_padding groups dilation"
    )
    assert " ".join(inspect.signature(nn.LazyConvTranspose2d).parameters) == (
        "out_channels kernel_size stride padding output_padding groups bias dilation padding_mode "
        "device dtype"
    )
    assert F.conv_transpose3d.__name__ == "conv_transpose3d"


def test_every_word_has_an_effect(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 4, 9, 9)).astype(np.float32)
    for kind in (nn.Conv2d, nn.ConvTranspose2d):
        nn.manual_seed(1)
        plain = kind(4, 4, 3, 2)(x)
        changes: list[dict[str, Any]] = [
            {"stride": 1}, {"padding": 1}, {"dilation": 2}, {"groups": 2}, {"bias": False}
        ]  # fmt: skip
        if kind is nn.Conv2d:
            modes = ("reflect", "replicate", "circular")
            changes += [{"padding": 1, "padding_mode": mode} for mode in modes]
        else:
            changes += [{"output_padding": 1}]
        results = [plain]
        for words in changes:
            nn.manual_seed(1)
            results.append(kind(4, 4, 3, **{"stride": 2, **words})(x))
        assert len({(y.shape, y.tobytes()) for y in results}) == len(results)
    assert nn.Conv2d(4, 4, 3, dtype="float64")(x.astype(float)).dtype == np.float64
    assert repr(nn.Conv2d(4, 4, 3, device="cpu:0")) == repr(nn.Conv2d(4, 4, 3))


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # few paddings are PyTorch's
@given(
    problems(
        ranks=st.integers(1, 3), layouts=("channels_first",), modes=("zeros",), spread_out=False
    ),
    st.integers(0, 2**32 - 1),
)
def test_layers_are_convrefs(problem: Any, seed: int) -> None:
    """With words that both know: integers that pad, and "valid"."""
    padding = np.array(0 if problem.words["padding"] == "valid" else problem.words["padding"])
    assume(padding.dtype == int and padding.ndim < 2 and padding.min() >= 0)
    assume(len(problem.batch) < 2 and 0 not in problem.input_size)
    words = problem.without("layout", "input_dilation")
    kind = getattr(nn, f"Conv{problem.rank}d")
    layer = kind(problem.channels, len(problem.w), problem.kernel, dtype="float64", **words)
    assert isinstance(layer, getattr(layers, f"Conv{problem.rank}d"))
    x = problem.x.astype(float)
    assert_affine(layer, x, np.random.default_rng(seed))
    expected = conv(x, layer.weight.value, layer.bias.value, **words)
    np.testing.assert_array_equal(layer(x), expected)


def test_output_padding_of_a_stride_or_more(rng: np.random.Generator) -> None:
    """Which convref's own word does not know: more of what the padding cut off, then zeros."""
    x, w = rng.integers(-4, 5, (2, 3, 4)), rng.integers(-4, 5, (3, 5, 3))
    y = F.conv_transpose1d(x, w, padding=2, dilation=4, output_padding=3)
    whole = conv_transpose(x, w, dilation=4)
    expected = np.concatenate([whole[..., 2:], np.zeros((2, 5, 1), int)], axis=-1)
    np.testing.assert_array_equal(y, expected)
    layer = nn.ConvTranspose1d(3, 5, 3, padding=2, dilation=4, output_padding=3, dtype="float64")
    assert "output_padding=(3,)" in repr(layer)
    assert_affine(layer, x.astype(float), rng)
    assert layer(x.astype(float), (8,)).shape == (2, 5, 8)  # of one call, and not of the next
    assert layer(x.astype(float)).shape == y.shape


def test_first_weights_follow_the_seed() -> None:
    nn.manual_seed(3)
    lazy, first = nn.LazyConv1d(4, 3), np.asarray(nn.Conv1d(2, 4, 3).weight)
    nn.manual_seed(-(2**64) + 3)
    np.testing.assert_array_equal(np.asarray(nn.Conv1d(2, 4, 3).weight), first)
    nn.manual_seed(3)
    lazy(ones(2, 5))
    np.testing.assert_array_equal(np.asarray(lazy.weight), first)
    assert np.abs(first).max() <= 1 / np.sqrt(6)


def test_states() -> None:
    layer = nn.ConvTranspose2d(3, 4, 2)
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert list(nn.Conv2d(3, 4, 2, bias=False).state_dict()) == ["weight"]
    assert nn.Unfold(2).state_dict() == {}
    state = {"weight": np.ones((3, 4, 2, 2)), "bias": np.zeros(4)}
    assert layer.load_state_dict(state) == ([], [])
    assert layer.weight.value.dtype == np.float32
    lazy = nn.LazyConv2d(4, 2, groups=2)
    assert lazy.load_state_dict({"weight": np.ones((4, 3, 2, 2)), "bias": np.zeros(4)}) == ([], [])
    assert repr(lazy) == "Conv2d(6, 4, kernel_size=(2, 2), stride=(1, 1), groups=2)"
    assert layer.train(False).eval().training is False


def test_names_of_lazy_layers() -> None:
    lazy = nn.LazyConv2d(4, 3)
    lazy(ones(2, 5, 5))
    with refused(
        RuntimeShapeError,
        "Conv2d: `weight` (shape (4, 2, 3, 3)) takes 2 channels in `groups` (=1), and `input` "
        "(shape (3, 5, 5)) has 3; make them agree",
    ):
        lazy(ones(3, 5, 5))


# Refusals

X, W = ones(1, 2, 5), ones(3, 2, 3)
MESSAGES: dict[str, tuple[type[ConvrefError], Any, str]] = {
    "batch axes": (
        RuntimeShapeError,
        lambda: F.conv1d(X[None], W),
        "conv1d: `input` (shape (1, 1, 2, 5)) has 4 axes, not 2 or, in a batch, 3; reshape it to "
        "(N, C, *spatial)",
    ),
    "dtypes": (
        RuntimeDtypeError,
        lambda: nn.Conv1d(2, 3, 3)(np.ones((1, 2, 5))),
        "Conv1d: `input` (float64) and `weight` (float32) differ in dtype; convert one of them",
    ),
    "a dtype that is missing": (
        MissingDtypeError,
        lambda: F.conv_transpose1d(np.ones((1, 2, 5), np.int8), np.ones((2, 3, 3), np.int8)),
        "conv_transpose1d: `input` (int8) is of a dtype that PyTorch does not compute this in; use "
        "one of float16, bfloat16, float32, float64, complex64, complex128, int64",
    ),
    "no array": (
        ArrayError,
        lambda: nn.Conv1d(2, 3, 3)([1.0]),
        "Conv1d: `input` (a list) is not an array; use np.array",
    ),
    "no integer": (
        ArgumentError,
        lambda: F.conv1d(X, W, stride=2.0),
        "conv1d: `stride` (=2.0) must be made of integers; such as stride=1",
    ),
    "a stride of 0": (
        RuntimeWordError,
        lambda: nn.Conv1d(2, 3, 3, stride=0),
        "Conv1d: `stride` (=(0,)) must be at least 1 on every axis; use 1 or more",
    ),
    "same and strided": (
        WordError,
        lambda: nn.Conv2d(2, 3, 3, stride=2, padding="same"),
        "Conv2d: `padding` (='same') takes a `stride` of 1, not 2; give the padding as integers",
    ),
    "same and strided, as a function": (
        RuntimeWordError,
        lambda: F.conv1d(X, W, stride=2, padding="same"),
        "conv1d: `padding` (='same') takes a `stride` of 1, not 2; give the padding as integers",
    ),
    "a word": (
        WordError,
        lambda: nn.Conv2d(2, 3, 3, padding="SAME"),
        "Conv2d: `padding` (='SAME') is unknown; use 'same', 'valid' or integers",
    ),
    "a mode": (
        WordError,
        lambda: nn.LazyConv2d(3, 3, padding_mode="symmetric"),
        "LazyConv2d: `padding_mode` (='symmetric') is unknown; use one of 'zeros', 'reflect', "
        "'replicate', 'circular'",
    ),
    "a mode of transposed layers": (
        WordError,
        lambda: nn.ConvTranspose2d(3, 3, 3, padding_mode="circular"),
        "ConvTranspose2d: `padding_mode` (='circular') must be 'zeros'; leave it out",
    ),
    "a reflection": (
        RuntimeShapeError,
        lambda: nn.Conv1d(2, 3, 3, padding=5, padding_mode="reflect")(X),
        "Conv1d: `padding` (5, 5) in `padding_mode` 'reflect' is too much for the 5 positions of "
        "`input`; use 4 or less",
    ),
    "groups": (
        WordError,
        lambda: nn.Conv1d(3, 4, 3, groups=2),
        "Conv1d: `groups` (=2) must divide `in_channels` (=3); use 1 or 3",
    ),
    "output padding": (
        RuntimeWordError,
        lambda: nn.ConvTranspose1d(3, 4, 3, stride=2, output_padding=2),
        "ConvTranspose1d: `output_padding` (=2) must be smaller than `stride` (=2) or `dilation` "
        "(=1); use less",
    ),
    "output size": (
        WordError,
        lambda: nn.ConvTranspose1d(2, 4, 3, stride=2)(X, (13,)),
        "ConvTranspose1d: `output_size` (=(13,)) is not one that an input of the shape (1, 2, 5) "
        "gives; use (11,) to (12,)",
    ),
    "output sizes": (
        WordError,
        lambda: nn.ConvTranspose1d(2, 4, 3)(X, (4, 7)),
        "ConvTranspose1d: `output_size` (=(4, 7)) has 2 entries; give it 1, or 3 as the output has",
    ),
    "bias": (
        RuntimeShapeError,
        lambda: F.conv1d(X, W, ones(4)),
        "conv1d: `bias` has shape (4,), and there are 3 output channels; give it the shape (3,)",
    ),
    "a gradient": (
        RuntimeShapeError,
        lambda: F.conv1d_input((1, 2, 6), W, ones(1, 3, 3)),
        "conv1d_input: `grad_output` (shape (1, 3, 3)) must have 3 channels and the spatial sizes "
        "(4,), which an input of (6,) gives; check the sizes, `stride`, `padding` and `dilation`",
    ),
    "a state": (
        RuntimeWordError,
        lambda: nn.Conv1d(1, 1, 1).load_state_dict({"weights": ones(1)}),
        "`state_dict` has not the names of the layer: missing ['weight', 'bias'], unexpected "
        "['weights']; use strict=False to load what there is",
    ),
    "a device": (
        RuntimeWordError,
        lambda: nn.Conv1d(1, 1, 1, device="cuda"),
        "Conv1d: `device` (='cuda') is not there; use 'cpu'",
    ),
    "an integer dtype": (
        RuntimeDtypeError,
        lambda: nn.Conv1d(1, 1, 1, dtype="int32"),
        "Conv1d: `dtype` (='int32') is not one that weights can have; use float16, bfloat16, "
        "float32, float64, complex64 or complex128",
    ),
    "columns": (
        RuntimeShapeError,
        lambda: nn.Fold((4, 5), (2, 3))(ones(1, 6, 10)),
        "Fold > fold: `input` (shape (1, 6, 10)) must end in (6 taps times the channels, 9 "
        "positions); check `output_size`, `kernel_size` and the words",
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    kind, call, text = MESSAGES[name]
    with refused(kind, text):
        call()


def test_refusals_are_of_pytorchs_classes() -> None:
    for kinds in (
        (RuntimeWordError, WordError, ValueError, RuntimeError),
        (RuntimeShapeError, RuntimeError, ValueError),
        (RuntimeDtypeError, RuntimeError, TypeError),
        (MissingDtypeError, NotImplementedError, TypeError),
        (ArgumentError, TypeError, WordError),
        (ArrayError, TypeError),
    ):
        assert all(issubclass(kinds[0], kind) for kind in kinds)
    assert not issubclass(ArrayError, RuntimeError)


# Translations


def assert_computes_the_same(ours: Any, layer: Any, x: Array) -> None:
    """For an input of the layer, and one of PyTorch's layout."""
    last = layer.spec.layout == "channels_last"
    y, z = ours(np.moveaxis(x, -1, 1) if last else x), layer(x)
    np.testing.assert_array_equal(y, np.moveaxis(z, -1, 1) if last else z)


@pytest.mark.numba
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize(
    ("kind", "args", "words", "told"),
    [
        (
            layers.Conv1d,
            (4, 6, 3),
            {},
            "Conv1d(4, 6, kernel_size=(3,), stride=(1,), padding=valid)",
        ),
        (
            layers.Conv2d,
            (4, 6, (3, 2)),
            {"stride": 2, "padding": ((1, 1), (2, 2)), "groups": 2, "bias": False},
            "Conv2d(4, 6, kernel_size=(3, 2), stride=(2, 2), padding=(1, 2), groups=2, bias=False)",
        ),
        (
            layers.Conv2d,
            (4, 6, 4),
            {"padding": "same", "dilation": 2, "padding_mode": "circular"},
            "Conv2d(4, 6, kernel_size=(4, 4), stride=(1, 1), padding=same, dilation=(2, 2), "
            "padding_mode=circular)",
        ),
        (
            layers.Conv1d,
            (4, 6, 4),
            {"padding": [(1, 2)], "activation": "linear"},
            "Conv1d(4, 6, kernel_size=(4,), stride=(1,), padding=same)",
        ),
        (
            layers.Conv1d,
            (4, 6, 5),
            {"padding": "same_lower"},
            "Conv1d(4, 6, kernel_size=(5,), stride=(1,), padding=(2,))",
        ),
        (
            layers.Conv2d,
            (4, 6, 1),
            {"padding": "same", "stride": 2},
            "Conv2d(4, 6, kernel_size=(1, 1), stride=(2, 2))",
        ),
        (
            layers.DepthwiseConv2d,
            (4, 3),
            {"multiplier": 2, "padding": 1},
            "Conv2d(4, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), groups=4)",
        ),
        (
            layers.ConvTranspose2d,
            (4, 6, 3),
            {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2},
            "ConvTranspose2d(4, 6, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), "
            "output_padding=(1, 1), groups=2)",
        ),
        (
            layers.ConvTranspose1d,
            (4, 6, 4),
            {"stride": 2, "padding": "same", "output_padding": 1},
            "ConvTranspose1d(4, 6, kernel_size=(4,), stride=(2,), padding=(1,))",
        ),
        (
            layers.ConvTranspose1d,
            (4, 6, 2),
            {"stride": 3, "padding": "same", "output_padding": 2},
            "ConvTranspose1d(4, 6, kernel_size=(2,), stride=(3,), output_padding=(1,))",
        ),
        (
            layers.ConvTranspose1d,
            (4, 6, 3),
            {"stride": 2, "padding": [(1, 0)]},
            "ConvTranspose1d(4, 6, kernel_size=(3,), stride=(2,), padding=(1,), "
            "output_padding=(1,))",
        ),
    ],
)
def test_layers_as_pytorchs(
    kind: Any, args: Any, words: Any, told: str, layout: str, rng: np.random.Generator
) -> None:
    layer = kind(*args, **words, layout=layout, bias_initialiser="normal", dtype="float64")
    for parameter in filter(None, (layer.weight, layer.bias)):
        # Integers, for with channels last sums may be taken in another order.
        parameter.value[...] = rng.integers(-9, 10, parameter.value.shape)
    ours = nn.from_layer(layer)
    assert repr(ours) == told
    size = (9,) * layer.spec.rank
    shape = (2, *size, 4) if layout == "channels_last" else (2, 4, *size)
    x = rng.integers(-9, 10, shape).astype(float)
    assert_computes_the_same(ours, layer, x)
    ours.weight.value[...] = 0
    assert np.asarray(layer.weight).any()  # for the weights are copies

    config = nn.get_config(ours)
    assert json.loads(json.dumps(config)) == config
    again = getattr(nn, config["class_name"])(**config["config"])
    assert repr(again) == told
    assert again.weight.value.dtype == np.float64
    again.load_state_dict(nn.from_layer(layer).state_dict())
    assert_computes_the_same(again, layer, x)
    assert repr(nn.from_layer(again)) == told


@given(
    problems(ranks=st.integers(1, 3), layouts=("channels_first",)),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_any_convolution_as_pytorchs(problem: Any, before: int, after: int) -> None:
    """It computes the same, or there is a reason; with zeros around it too."""
    x, words = problem.x.astype(float), problem.words
    settings = {"dtype": "float64", "rng": problem.x.size, "bias_initialiser": "ones"}
    assume(len(problem.batch) < 2 and min(x.shape[len(problem.batch) :]))
    conv = layers.Conv(problem.channels, len(problem.w), problem.kernel, **words, **settings)
    pad = layers.ZeroPad([(before, after)] * problem.rank)
    for layer in (conv, layers.Sequential(pad, conv)):
        try:
            ours = nn.from_layer(layer)
        except WordError as error:
            event(error.rule.partition("=")[0])
            continue
        with suppress(RuntimeShapeError):  # PyTorch's padding modes reach less far
            np.testing.assert_array_equal(ours(x), layer(x))


@given(
    problems(
        ranks=st.integers(1, 3), layouts=("channels_first",), modes=("zeros",), spread_out=False
    ),
    st.data(),
)
def test_any_transposed_convolution_as_pytorchs(problem: Any, data: st.DataObject) -> None:
    """It computes the same, or there is a reason; with edges cut off too."""
    assume(len(problem.batch) < 2 and 0 not in problem.dy.shape)
    extra = [data.draw(st.integers(0, step - 1)) for step in problem.plan.stride]
    cut = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    conv = layers.ConvTranspose(
        len(problem.w), problem.channels, problem.kernel, output_padding=extra, dtype="float64",
        bias_initialiser="ones", **problem.without("input_dilation", "padding_mode"),
    )  # fmt: skip
    x = problem.dy.astype(float)
    crop = layers.Crop([cut] * problem.rank)
    for layer in (conv, layers.Sequential(conv, crop)):
        try:
            expected = layer(x)
            ours = nn.from_layer(layer)
        except (ShapeError, WordError) as error:
            event(error.rule.partition("=")[0])
            continue
        np.testing.assert_array_equal(ours(x), expected)


def test_layers_in_a_row_as_pytorchs() -> None:
    row = layers.Sequential(
        layers.ZeroPad2d([(0, 1), (1, 2)]), layers.ZeroPad2d([(1, 0), (1, 0)]),
        layers.Conv2d(3, 4, 3, stride=2),
    )  # fmt: skip
    assert "padding=(1, 2)" in repr(nn.from_layer(row))
    row = layers.Sequential(
        layers.ConvTranspose2d(3, 4, 3, stride=2), layers.Crop2d([(1, 0), (1, 1)])
    )
    assert "padding=(1, 1), output_padding=(1, 0)" in repr(nn.from_layer(row))
    assert isinstance(nn.from_layer(layers.Sequential(nn.Unfold(2))), nn.Unfold)


def test_layers_that_wait() -> None:
    layer = nn.from_layer(layers.Conv2d(None, 4, 3, trainable=False))
    assert repr(layer) == "LazyConv2d(0, 4, kernel_size=(3, 3), stride=(1, 1), padding=valid)"
    assert layer.trainable is False
    config = nn.get_config(layer)
    assert config["class_name"] == "LazyConv2d"
    assert repr(getattr(nn, config["class_name"])(**config["config"])) == repr(layer)
    layer = nn.from_layer(nn.LazyConvTranspose1d(4, 3, 2, output_padding=1, bias=False))
    assert repr(layer) == (
        "LazyConvTranspose1d(0, 4, kernel_size=(3,), stride=(2,), output_padding=(1,), bias=False)"
    )


def test_columns_as_pytorchs() -> None:
    for layer in (nn.Unfold((2, 3), padding=1), nn.Fold([4, 5], 2, stride=(1, 2))):
        config = nn.get_config(layer)
        assert json.loads(json.dumps(config)) == config
        assert nn.get_config(nn.from_layer(layer)) == config


UNTRANSLATED: dict[str, tuple[layers.Layer, str]] = {
    "same and strided": (
        layers.Conv2d(3, 4, 3, stride=2, padding="same"),
        "`padding` (='same') with `stride` (=(2, 2)) depends on the size of the input, which "
        "PyTorch's does not; for sizes that the strides divide it is ((0, 1), (0, 1)); for those "
        "use padding=0 after nn.ZeroPad2d((0, 1, 0, 1))",
    ),
    "same and strided, evenly": (
        layers.Conv2d(3, 4, 4, stride=2, padding="same"),
        "`padding` (='same') with `stride` (=(2, 2)) depends on the size of the input, which "
        "PyTorch's does not; for sizes that the strides divide it is ((1, 1), (1, 1)); for those "
        "use padding=(1, 1)",
    ),
    "causal": (
        layers.Conv1d(3, 4, 3, padding="causal", padding_mode="replicate"),
        "`padding` (=((2, 0),)) differs before and after, and PyTorch's does not; use padding=0 "
        "after nn.ReplicationPad1d((2, 0))",
    ),
    "a crop": (
        layers.Conv1d(3, 4, 3, padding=-1),
        "`padding` (=((-1, -1),)) crops, and PyTorch's does not; slice the input",
    ),
    "spread-out inputs": (
        layers.Conv1d(3, 4, 3, input_dilation=2),
        "PyTorch's convolutions have no `input_dilation` (=(2,)); use a ConvTranspose of that "
        "stride with the taps in reverse",
    ),
    "four axes": (
        layers.Conv(3, 4, (1, 1, 1, 1)),
        "PyTorch has no convolution of 4 axes; it has those of 1 to 3",
    ),
    "an activation": (
        layers.Conv1d(3, 4, 3, activation="relu"),
        "PyTorch's convolutions have no `activation` (=ReLU); translate the layer without it, and "
        "put it after the layer",
    ),
    "a penalty": (
        layers.Conv1d(3, 4, 3, weight_regulariser=L2(0.5)),
        "PyTorch's convolutions have no `weight_regulariser`; give the optimiser a weight_decay, "
        "or add the penalty to the loss",
    ),
    "a mask": (
        layers.Conv1d(3, 4, 3, mask=np.ones((4, 3, 3))),
        "PyTorch's convolutions have no `mask`; multiply the weights by the mask after each step",
    ),
    "depthwise, waiting": (
        layers.DepthwiseConv1d(None, 3),
        "the groups will be the channels of the first input, and PyTorch's are a number; call the "
        "layer once, or give it in_channels",
    ),
    "separable": (
        layers.SeparableConv1d(3, 4, 3),
        "PyTorch has no separable convolution; use two: a Conv2d with groups=in_channels, and a "
        "Conv2d of kernel_size=1",
    ),
    "transposed, asymmetric": (
        layers.ConvTranspose1d(3, 4, 3, stride=2, padding="same", output_padding=1),
        "`padding` (=((0, 1),)) cuts off amounts that PyTorch's `padding` and `output_padding` "
        "can't; use padding=0, and slice the output",
    ),
    "transposed, output size": (
        layers.ConvTranspose1d(3, 4, 3, stride=2, output_size=8),
        "PyTorch's layers have no `output_size` (=8); leave it out, and give it in each call",
    ),
    "two convolutions": (
        layers.Sequential(layers.Conv1d(3, 4, 3), layers.Conv1d(4, 4, 3)),
        "the dialect has no Sequential, and its layers are more than one convolution; translate "
        "them one by one",
    ),
    "none": (
        layers.Sequential(),
        "the dialect has no Sequential, and its layers are more than one convolution; translate "
        "them one by one",
    ),
    "zeros around reflections": (
        layers.Sequential(
            layers.ZeroPad1d(1), layers.Conv1d(3, 4, 3, padding=1, padding_mode="reflect")
        ),
        "`padding_mode` (='reflect') pads what has zeros around it; translate the layers one by "
        "one",
    ),
    "pooling": (
        layers.MaxPool2d(2),
        "there is no MaxPool2d in this dialect; it has convolutions, transposed convolutions, "
        "Unfold and Fold",
    ),
}


@pytest.mark.parametrize("name", UNTRANSLATED)
def test_layers_that_pytorch_has_not(name: str) -> None:
    layer, text = UNTRANSLATED[name]
    with refused(WordError, f"from_layer: {text}"):
        nn.from_layer(layer)


def test_configs_are_of_the_dialects_own_layers() -> None:
    with refused(WordError, "get_config: a Conv1d is not a layer of PyTorch; use `from_layer`"):
        nn.get_config(layers.Conv1d(1, 1, 1))
