"""One dialect's layer as another's: the same numbers, or a reason."""

import json
from typing import Any

import numpy as np
import pytest
from messages import refused
from typer.testing import CliRunner

from convref import FileError, WordError, layers
from convref.cli import app
from convref.dialects import WITH_LAYERS, translate, translate_config
from convref.layer import Layer

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(2)
LAST = {"keras", "brainpy"}
"""Dialects whose layers take channels last unless told otherwise."""

SOURCES = {
    "plain": lambda: layers.Conv2d(4, 6, 3),
    "padding": lambda: layers.Conv2d(4, 6, 3, padding=1),
    "groups": lambda: layers.Conv2d(4, 6, 3, groups=2, padding="same"),
    "dilation": lambda: layers.Conv2d(4, 6, (3, 2), dilation=2, padding="same", bias=False),
    "one axis": lambda: layers.Conv1d(4, 6, 5, padding="same"),
}

UNSAID = {("babilim", name) for name in ("groups", "dilation")}
"""What a dialect has no word for: groups, and no bias."""


def channels_last(layer: Layer) -> bool:
    inner: Any = layer.layers[-1] if isinstance(layer, layers.Sequential) else layer
    return bool(inner.spec.layout == "channels_last")


def called(layer: Layer, x: Array) -> Array:
    """y with channels first, of an x with channels first."""
    if channels_last(layer):
        return np.moveaxis(layer(np.moveaxis(x, 1, -1)), -1, 1)
    return layer(x)


@pytest.mark.parametrize("to", WITH_LAYERS)
@pytest.mark.parametrize("name", SOURCES)
def test_the_numbers_stay_the_same(name: str, to: str) -> None:
    layer = SOURCES[name]()
    for parameter in layer.parameters().values():
        parameter.value[...] = RANDOM.integers(-3, 4, parameter.value.shape)
    x = RANDOM.integers(-3, 4, (2, 4, *[8] * layer.rank)).astype(np.float32)
    expected = layer(x)
    if (to, name) in UNSAID:
        with pytest.raises(WordError):
            translate(layer, to)
        return
    other = translate(layer, to)
    np.testing.assert_array_equal(called(other, x), expected)
    for third in WITH_LAYERS:
        if (third, name) not in UNSAID:
            np.testing.assert_array_equal(called(translate(other, third), x), expected)


def test_a_strided_same_is_refused_with_the_padding_that_would_do() -> None:
    layer = layers.Conv2d(3, 8, 3, stride=2, padding="same")
    with pytest.raises(WordError, match="ZeroPad2d"):
        translate(layer, "torch")


def test_what_is_no_dialect() -> None:
    with refused(
        WordError, "translate: `to` (='tourch') is no dialect with layers; did you mean 'torch'?"
    ):
        translate(layers.Conv1d(1, 1, 1), "tourch")


CONFIG = {"class_name": "Conv2D", "config": {"filters": 8, "kernel_size": 3, "padding": "same"}}


def test_configurations() -> None:
    made = translate_config(CONFIG, "keras", "torch")
    assert made["class_name"] == "LazyConv2d"
    assert made["config"]["out_channels"] == 8
    assert made["config"]["padding"] == "same"
    assert json.loads(json.dumps(made))["config"]["kernel_size"] == [3, 3]


@pytest.mark.parametrize(
    ("config", "kind", "text"),
    [
        ([], FileError, "a configuration has a `class_name` and a `config`"),
        ({"class_name": "Conv2D"}, FileError, "a configuration has"),
        ({**CONFIG, "class_name": "Dense"}, WordError, "is no layer of keras"),
        ({**CONFIG, "class_name": ["Conv2D"]}, WordError, "is no layer of keras"),
        ({**CONFIG, "config": [1]}, FileError, "is not an object"),
        ({**CONFIG, "config": {"filters": 8}}, WordError, "can't make this Conv2D"),
    ],
)
def test_configurations_that_are_refused(config: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        translate_config(config, "keras", "torch")


def test_on_the_command_line(tmp_path: Any) -> None:
    path = tmp_path / "layer.json"
    path.write_text(json.dumps(CONFIG))
    result = CliRunner().invoke(app, ["translate", "--from", "keras", "--to", "torch", str(path)])
    assert result.exit_code == 0
    assert json.loads(result.output)["class_name"] == "LazyConv2d"
    path.write_text("{")
    result = CliRunner().invoke(app, ["translate", "--from", "keras", "--to", "torch", str(path)])
    assert result.exit_code == 2
    assert "is not JSON" in result.output
