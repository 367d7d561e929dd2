"""`verify_module` on Keras, on the back end that is set, and on PyTorch in another process."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from messages import refused

from convref import ConvrefError, WordError, verify_module
from convref.verify.modules import ModuleResult

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="Keras is not installed (extra: peers)")
layers = keras.layers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RANDOM = np.random.default_rng(11)
X = {
    1: RANDOM.standard_normal((2, 9, 4)).astype(np.float32),
    2: RANDOM.standard_normal((2, 8, 7, 4)).astype(np.float32),
    3: RANDOM.standard_normal((1, 5, 4, 4, 4)).astype(np.float32),
}
ALL = ["y", "dx", "dw", "db"]
SUPPORTED = (
    "supported are keras.layers.Conv1D, 2D, 3D, Conv1DTranspose, 2D, 3D, DepthwiseConv1D, 2D, "
    "SeparableConv1D, 2D, and models that contain them"
)


def filled(layer: Any, x: Any) -> Any:
    """The layer, built, with other numbers in its biases than 0."""
    if not layer.built:
        layer.build(x.shape)
    for variable in layer.weights:
        if variable.name == "bias":
            variable.assign(RANDOM.standard_normal(variable.shape))
    return layer


def named(result: ModuleResult) -> dict[str, list[str]]:
    return {name: [d.name for d in report.diagnosis] for name, report in result.wrong.items()}


LAYERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Conv1D", {"padding": "causal", "dilation_rate": 2}),
    ("Conv1D", {"strides": 2, "padding": "same", "activation": "relu"}),
    ("Conv2D", {}),
    ("Conv2D", {"kernel_size": (3, 2), "strides": 2, "padding": "same", "groups": 2}),
    ("Conv2D", {"dilation_rate": (1, 2), "use_bias": False, "activation": "softmax"}),
    ("Conv2D", {"data_format": "channels_first"}),
    ("Conv3D", {"kernel_size": 2, "strides": 2, "padding": "same"}),
    ("Conv1DTranspose", {"strides": 2, "activation": "tanh"}),
    *(
        ("Conv2DTranspose", {"kernel_size": (3, 2), "strides": 2, "padding": padding, **extra})
        for padding in ("valid", "same")
        for extra in ({}, {"output_padding": 0}, {"output_padding": 1})
    ),
    ("Conv2DTranspose", {"padding": "same", "dilation_rate": 2}),
    ("Conv3DTranspose", {"strides": 2, "padding": "same"}),
    ("DepthwiseConv1D", {"depth_multiplier": 2, "padding": "same"}),
    ("DepthwiseConv2D", {"depth_multiplier": 2, "strides": 2, "activation": "relu"}),
)


@pytest.mark.parametrize(("name", "words"), LAYERS, ids=str)
def test_layers(name: str, words: dict[str, Any]) -> None:
    x = X[next(int(letter) for letter in name if letter.isdigit())]
    if words.get("data_format") == "channels_first":
        x = np.moveaxis(x, -1, 1)
    filters = () if name.startswith("Depthwise") else (6,)
    layer = filled(getattr(layers, name)(*filters, **{"kernel_size": 3, **words}), x)
    activation = layer.activation
    result = verify_module(layer, x)
    assert result.ok, result
    assert list(result) == ALL[: 3 + layer.use_bias]
    assert layer.activation is activation
    assert "call" not in vars(layer)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SeparableConv1D", {"dilation_rate": 2}),
        ("SeparableConv2D", {"strides": 2, "padding": "same", "activation": "relu"}),
        ("SeparableConv2D", {"use_bias": False}),
    ],
)
def test_both_steps_of_separable_convolutions(name: str, words: dict[str, Any]) -> None:
    x = X[int(name[-2])]
    layer = filled(getattr(layers, name)(5, 3, depth_multiplier=2, **words), x)
    result = verify_module(layer, x)
    assert result.ok, result
    first = [f"depthwise / {output}" for output in ("y", "dx", "dw")]
    second = [f"pointwise / {output}" for output in ("y", "dw", "db")]
    assert list(result) == [*first, *second[: 2 + layer.use_bias]]
    last = result.judged[-1][0].arrays["y"]
    activated = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_array_equal(np.maximum(last, 0) if "activation" in words else last, activated)


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_low_precision(policy: str) -> None:
    for x in (X[2], abs(X[2][..., :1])):
        for kind in (layers.Conv2D, layers.Conv2DTranspose):
            result = verify_module(filled(kind(6, 3, dtype=policy), x), x)
            assert result.ok, result
            # PyTorch has no gradient of a transposed convolution in float16 with such weights.
            given = not result.unjudged or keras.backend.backend() == "torch"
            assert given, result
            assert {report.dtype for report in result.values()} == {policy.removeprefix("mixed_")}


def model() -> Any:
    inner = keras.Sequential([layers.Conv2D(4, 1, name="one")], name="inner")
    start = layers.Input((8, 7, 4))
    shared = layers.Conv2D(4, 3, padding="same", activation="relu", name="shared")
    x = layers.Dropout(0.5)(layers.BatchNormalization()(shared(start)))
    x = layers.Add()([shared(x), layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)])
    return keras.Model(start, layers.SeparableConv2D(3, 2, name="separable")(inner(x)))


def test_models() -> None:
    net = model()
    before = [np.array(keras.ops.convert_to_numpy(value)) for value in net.variables]
    losses = len(net.losses)
    result = verify_module(net, X[2])
    assert result.ok, result
    names = ["shared", "shared (call 2)", "depthwise", "inner/one"]
    names += ["separable/depthwise", "separable/pointwise"]
    assert sorted(dict.fromkeys(case.name for case, _, _ in result.judged)) == sorted(names)
    assert len(net.losses) == losses
    for variable, value in zip(net.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)


def test_a_layer_without_weights_stays_without() -> None:
    layer = layers.Conv2D(6, 3)
    assert verify_module(layer, X[2]).ok
    assert not layer.built
    sequence = keras.Sequential([layers.Conv2D(6, 3), layers.ReLU(), layers.Conv2D(2, 1)])
    assert verify_module(sequence, X[2]).ok
    assert not sequence.built


class Flipped(layers.Conv2D):  # type: ignore[misc]
    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, keras.ops.flip(kernel, (0, 1)))


class Unbiased(layers.Conv2D):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return self.activation(self.convolution_op(inputs, self.kernel))


class Valid(layers.Conv2D):  # type: ignore[misc]
    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return keras.ops.conv(inputs, kernel, strides=self.strides, padding="valid")


class Turned(layers.SeparableConv2D):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        kernel = keras.ops.flip(self.depthwise_kernel, (0, 1))
        return keras.ops.separable_conv(
            inputs, kernel, self.pointwise_kernel, self.strides, self.padding
        )


def test_planted_mistakes() -> None:
    x = X[2]
    flipped = ["kernel-flipped"]
    layer = filled(Flipped(6, (3, 2), activation="relu"), x)
    assert named(verify_module(layer, x)) == {"y": flipped, "dx": flipped, "dw": flipped}
    layer = filled(Unbiased(6, 3, activation="relu"), x)
    assert named(verify_module(layer, x)).keys() == {"y", "db"}
    assert named(verify_module(layer, x))["y"] == ["bias-missing"]
    assert named(verify_module(filled(Valid(6, 3, padding="same"), x), x)) == {
        "y": ["shape", "padding"]
    }
    layer = filled(Turned(6, 3, use_bias=False), x)
    found = named(verify_module(layer, x))
    assert found == {f"depthwise / {output}": flipped for output in ("y", "dx", "dw")}


def test_a_wrong_layer_in_a_model() -> None:
    net = keras.Sequential(
        [
            layers.Input((8, 7, 4)),
            layers.Conv2D(6, 3, name="first"),
            Flipped(6, 3, name="second"),
            layers.Conv2D(6, 3, name="third"),
        ]
    )
    result = verify_module(net, X[2])
    flipped = ["kernel-flipped"]
    assert named(result) == {f"second / {output}": flipped for output in ("y", "dx", "dw")}
    assert result.first_wrong == "second / y"


def test_what_is_not_judged() -> None:
    nothing = "verify_module: there is nothing to judge in `module`"
    with refused(WordError, f"{nothing} (Dense); {SUPPORTED}"):
        verify_module(layers.Dense(3), X[1])
    net = keras.Sequential(
        [layers.Input((3, 8, 7, 4)), layers.ConvLSTM2D(3, 3, name="memory"), layers.Conv2D(2, 1)]
    )
    result = verify_module(net, RANDOM.standard_normal((1, 3, 8, 7, 4)))
    assert result.ok
    assert [(it.name, it.reason) for it in result.unjudged] == [
        ("memory", "ConvLSTM2D is not supported")
    ]
    layer = filled(layers.Conv2D(6, 3), X[2])
    layer.enable_lora(2)
    with refused(WordError, f"{nothing} (Conv2D): it: its weights are a sum (LoRA); {SUPPORTED}"):
        verify_module(layer, X[2])


class Subclassed(keras.Model):  # type: ignore[misc]
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside = layers.Conv2D(width, 3, name="inside")

    def call(self, x: Any) -> Any:
        return self.inside(x)


def test_refusals() -> None:
    net = Subclassed(3)
    text = "verify_module: `module` (Subclassed) has no weights yet; call it once"
    with refused(WordError, text):
        verify_module(net, X[2])
    net(X[2])
    assert list(verify_module(net, X[2])) == [f"inside / {output}" for output in ALL]
    with refused(WordError, "verify_module: `stride` is read off the module; leave it out"):
        verify_module(net, X[2], stride=2)
    layer = filled(layers.Conv2D(6, 3), X[2])
    with pytest.raises(ConvrefError, match=r"^verify_module: Conv2D can't be run on this input: "):
        verify_module(layer, X[2][..., :3])


SCRIPT = """
import test_verify_modules_keras as tests
for name, words in tests.LAYERS:
    tests.test_layers(name, words)
tests.test_both_steps_of_separable_convolutions("SeparableConv2D", {"strides": 2})
tests.test_low_precision("mixed_float16")
tests.test_models()
tests.test_planted_mistakes()
print(tests.keras.backend.backend())
"""


def test_on_pytorch() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (extra: peers)")
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), str(here.parent.parent)]
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert run.stdout.split() == ["torch"], run.stderr
