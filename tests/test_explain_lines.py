"""Every printed line of code computes its setting: run in convref's dialects on integers."""

import ast
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from code_lines import Array, Drawn, drawn, framed
from hypothesis import given
from messages import refused

from convref import WordError, conv, conv_transpose
from convref.dialects import babilim, brainpy, jax, keras, onnx, torch
from convref.explain import setting
from convref.explain.lines import Line, line, lines
from convref.explain.writers import WRITERS

MODES = {
    "Zero": "zeros",
    "Reflection": "reflect",
    "Replication": "replicate",
    "Circular": "circular",
}


def padding_layer(mode: str) -> Callable[[tuple[int, ...]], Callable[[Array], Array]]:
    """PyTorch's padding layers, which the dialect has not."""

    def made(amounts: tuple[int, ...]) -> Callable[[Array], Array]:
        last_axis_first = list(zip(amounts[::2], amounts[1::2], strict=True))
        return lambda x: framed(x, tuple(reversed(last_axis_first)), mode)

    return made


def row(*layers: Any) -> Any:
    """PyTorch's Sequential."""

    def run(x: Array) -> Array:
        for layer in layers:
            x = layer(x)
        return x

    run.layers = layers  # type: ignore[attr-defined]
    return run


def node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    """A node of ONNX, as a function of its inputs."""
    assert (inputs, outputs) == (["x", "w"], ["y"])
    return lambda x, w: getattr(onnx, kind)(x, w, **attributes)


NAMES = {
    "convref": {"conv": conv, "conv_transpose": conv_transpose},
    "torch": {
        "nn": SimpleNamespace(
            **{name: getattr(torch, name) for name in torch.__all__},
            **{
                f"{name}Pad{rank}d": padding_layer(mode)
                for name, mode in MODES.items()
                for rank in (1, 2, 3)
            },
            Sequential=row,
        )
    },
    "keras": {"keras": SimpleNamespace(layers=keras, Sequential=keras.Sequential)},
    "jax": {"lax": jax},
    "brainpy": {"dnn": brainpy},
    "babilim": {"Conv1D": babilim.Conv1D, "Conv2D": babilim.Conv2D},
    "onnx": {"helper": SimpleNamespace(make_node=node)},
}
"""What the imported names are, in convref's dialects."""


def run_arrays(line: Line, names: dict[str, Any], problem: Drawn, x: Array) -> tuple[Array, bool]:
    y = eval(line.code, {**names, "x": x, "w": problem.w})
    return y, False


def run_node(line: Line, names: dict[str, Any], problem: Drawn, x: Array) -> tuple[Array, bool]:
    return eval(line.code, names)(x, problem.w), False


def run_first(line: Line, names: dict[str, Any], problem: Drawn, x: Array) -> tuple[Array, bool]:
    """Layers with channels first and weights of convref's shape."""
    made = eval(line.code, names)
    (layer,) = (each for each in getattr(made, "layers", [made]) if hasattr(each, "kernel_size"))
    if not layer.built:
        layer(x)
    layer.weight.value, layer.bias.value = problem.w, problem.bias
    return made(x), True


def run_keras(line: Line, names: dict[str, Any], problem: Drawn, x: Array) -> tuple[Array, bool]:
    made = eval(line.code, names)
    x = np.moveaxis(x, 1, -1)
    made(x)
    made.set_weights([np.moveaxis(problem.w, (1, 0), (-2, -1)), problem.bias])
    return np.moveaxis(made(x), -1, 1), True


def run_brainpy(line: Line, names: dict[str, Any], problem: Drawn, x: Array) -> tuple[Array, bool]:
    layer, w = eval(line.code, names), problem.w
    if problem.setting.transposed:
        w = np.flip(w, tuple(range(2, w.ndim)))
        layer.w = np.moveaxis(w, (0, 1), (-2, -1))
    else:
        layer.w = np.moveaxis(w, (1, 0), (-2, -1))
    layer.b = problem.bias.reshape(layer.b.shape)
    return np.moveaxis(layer(np.moveaxis(x, 1, -1)), -1, 1), True


RUNNERS = {
    "convref": run_arrays,
    "torch": run_first,
    "keras": run_keras,
    "jax": run_arrays,
    "brainpy": run_brainpy,
    "babilim": run_first,
    "onnx": run_node,
}


@pytest.mark.parametrize("dialect", WRITERS)
@given(problem=drawn())
def test_lines_are_true(dialect: str, problem: Drawn) -> None:
    found = line(problem.setting, dialect)
    if not found.code:
        assert found.note
        return
    imported = [alias.name for each in ast.parse(found.imports).body for alias in each.names]
    names = {name: NAMES[dialect][name] for name in imported}
    x = problem.padded() if found.pad_first else problem.x
    y, has_bias = RUNNERS[dialect](found, names, problem, x)
    expected = problem.expected(problem.bias if has_bias else None)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dialect", ["torch", "keras", "jax", "brainpy", "onnx"])
@pytest.mark.parametrize("transposed", [False, True])
def test_plain_settings_have_code(dialect: str, transposed: bool) -> None:
    for stride in (1, 2, 3):
        made = setting((8, 7), (3, 4), stride=stride, padding=1, transposed=transposed)
        found = line(made, dialect)
        assert found.code
        assert not found.note


def test_each_way_to_say_it() -> None:
    made = setting((8, 8), (3, 3), stride=2, padding="same", in_channels=3, out_channels=8)
    assert [(found.code, found.note, found.pad_first) for found in lines(made)] == [
        ('conv(x, w, stride=2, padding="same")', "", False),
        (
            "nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, stride=2))",
            'for these sizes: with strides, "same" depends on them',
            False,
        ),
        ('keras.layers.Conv2D(8, 3, strides=2, padding="same")', "", False),
        ('lax.conv_general_dilated(x, w, (2, 2), "SAME")', "", False),
        ('dnn.Conv2d(3, 8, 3, stride=2, padding="SAME")', "", False),
        (
            'Conv2D(8, 3, padding="none", stride=2)',
            "babilim has no `padding` (=((0, 1), (0, 1))) for the kernel (3, 3); pad the input by "
            "((0, 1), (0, 1)) first",
            True,
        ),
        (
            'helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2])',
            "",
            False,
        ),
    ]


@pytest.mark.parametrize(
    ("dialect", "words", "note"),
    [
        (
            "torch",
            {"input_dilation": 2},
            "PyTorch's convolutions have no `input_dilation` (=(2, 2)); use a ConvTranspose of "
            "that stride with the taps in reverse",
        ),
        (
            "keras",
            {"stride": 2, "dilation": 2},
            "`stride` (=(2, 2)) and `dilation` (=(2, 2)) are both above 1, which Keras refuses; "
            "put zeros between the taps of a larger kernel",
        ),
        (
            "jax",
            {"transposed": True, "groups": 2, "in_channels": 2, "out_channels": 2},
            "JAX's `conv_transpose` has no groups (=2); call it for each group",
        ),
        (
            "brainpy",
            {"transposed": True, "dilation": 2},
            "brainpy's transposed convolutions have no `dilation` (=2); use a Conv with "
            "`lhs_dilation` for the stride",
        ),
        (
            "babilim",
            {"transposed": True},
            "babilim has no ConvTranspose; it has Conv1D and Conv2D",
        ),
        (
            "onnx",
            {"input_dilation": 2},
            "ONNX's Conv has no `input_dilation` (=2); a ConvTranspose spreads its input out",
        ),
    ],
)
def test_what_can_not_be_said(dialect: str, words: dict[str, Any], note: str) -> None:
    found = line(setting((9, 9), (3, 3), **words), dialect)
    assert (found.code, found.imports, found.note) == ("", "", note)


def test_unknown_dialect() -> None:
    message = "line: `dialect` (='pytorch') is unknown; did you mean 'torch'?"
    with refused(WordError, message):
        line(setting(5, 3), "pytorch")
