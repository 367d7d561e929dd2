"""`verify_onnx` on models made here, on those that ship with onnx, and on models that lie."""

import json
import os
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from messages import refused

import convref
from convref import DtypeError, FileError, ShapeError, TooLargeError, WordError, verify_onnx
from convref.verify.html import as_html
from convref.verify.junit import as_junit

REASON = "needs the extra `onnx`"
onnx = pytest.importorskip("onnx", reason=REASON)
runtime = pytest.importorskip("onnxruntime", reason=REASON)
pytest.importorskip("onnx.inliner", reason=REASON)

from onnx.helper import make_node as node  # noqa: E402
from shipped_nodes import as_array, shipped  # noqa: E402

Array = Any
FLOAT = onnx.TensorProto.FLOAT
RANDOM = np.random.default_rng(6)
JUDGED = "judged are Conv, ConvTranspose, ConvInteger, QLinearConv"


def normal(*shape: int) -> Array:
    return RANDOM.standard_normal(shape, np.float32)


def model(
    nodes: list[Any],
    inputs: dict[str, Any],
    outputs: list[str],
    constants: dict[str, Array],
    functions: tuple[Any, ...] = (),
    kind: int = FLOAT,
) -> Any:
    """A model; of inputs the shapes, or pairs of a type and a shape."""
    typed = {name: v if isinstance(v, tuple) else (kind, v) for name, v in inputs.items()}
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [onnx.helper.make_tensor_value_info(name, *value) for name, value in typed.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [
        onnx.helper.make_opsetid(domain, version)
        for domain, version in (("", 22), ("mine", 1), ("com.microsoft", 1))
    ]
    return onnx.helper.make_model(
        graph, opset_imports=opsets, ir_version=10, functions=list(functions)
    )


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    """Saves a model, and returns its path."""

    def save(*arguments: Any, **words: Any) -> Path:
        path = tmp_path / "model.onnx"
        path.write_bytes(model(*arguments, **words).SerializeToString())
        return path

    return save


# A chain of convolutions, and an engine that computes it, perhaps with a mistake


class Chain:
    """Five convolutions of 8 x 8 pixels with batch norm and ReLU between, the third with stride 2.

    ``engine`` computes them with convref, as another engine would, and dumps every tensor.
    """

    def __init__(self, auto_pad: str = "SAME_UPPER") -> None:
        channels = [4, 6, 6, 6, 4, 4]
        self.constants: dict[str, Array] = {}
        self.nodes = []
        self.x = normal(2, 4, 8, 8)
        last = "x"
        for i, (before, after) in enumerate(pairwise(channels)):
            weights = {
                f"w{i}": normal(after, before // self.group(i), 3, 3),
                f"b{i}": normal(after),
            }
            scaling = {f"{name}{i}": abs(normal(after)) + 0.5 for name in "smtv"}
            self.constants |= weights | scaling
            words = {"strides": [2, 2]} if i == 2 else {}
            self.nodes += [
                node(
                    "Conv", [last, *weights], [f"y{i}"], f"conv{i}",
                    auto_pad=auto_pad, group=self.group(i), **words,
                ),
                node("BatchNormalization", [f"y{i}", *scaling], [f"n{i}"]),
                node("Relu", [f"n{i}"], [f"r{i}"]),
            ]  # fmt: skip
            last = f"r{i}"
        self.inputs, self.outputs = {"x": ["N", 4, 8, 8]}, [last]

    @staticmethod
    def group(number: int) -> int:
        return 2 if number in (1, 2) else 1

    @property
    def parts(self) -> Any:
        return self.nodes, self.inputs, self.outputs, self.constants

    def engine(self, mistake: str = "") -> dict[str, Array]:
        """All tensors between; the third convolution with a mistake."""
        x, dumped = self.x, {}
        for i in range(5):
            w, b = self.constants[f"w{i}"], self.constants[f"b{i}"]
            padding, slips = "same", mistake if i == 2 else ""
            if slips == "kernel-flipped":
                w = w[..., ::-1, ::-1]
            if slips == "same-side":
                padding = "same_lower"
            if slips == "group-order":
                w = w.reshape(2, 3, 3, 3, 3).swapaxes(0, 1).reshape(w.shape)
            y = convref.conv(
                x, w, None if slips == "bias-missing" else b,
                padding=padding, groups=self.group(i), stride=2 if i == 2 else 1,
            )  # fmt: skip
            if slips == "channel-block":
                y[:, 2:4] = 0
            s, m, t, v = (self.constants[f"{name}{i}"][:, None, None] for name in "smtv")
            n = s * (y - t) / np.sqrt(v + np.float32(1e-5)) + m
            x = np.maximum(n, 0)
            dumped |= {f"y{i}": y, f"n{i}": n, f"r{i}": x}
        return dumped


def verdicts(result: Any) -> list[str]:
    return [found.report.verdict if found.report else "" for found in result.nodes]


@pytest.mark.parametrize("optimised", [False, True])
@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
def test_what_onnx_runtime_computes_is_legitimate(
    saved: Any, auto_pad: str, optimised: bool
) -> None:
    chain = Chain(auto_pad)
    chain.x = normal(2, 4, 21, 20)
    chain.inputs["x"] = ["N", 4, "height", 20]
    count = []
    result = verify_onnx(
        saved(*chain.parts), {"x": chain.x}, optimised=optimised, advance=lambda: count.append(1)
    )
    assert result.ok
    assert result.first_wrong is None
    assert [found.name for found in result.nodes] == [f"conv{i}" for i in range(5)]
    assert set(verdicts(result)) <= {"exact", "within bound"}
    assert [found.case.words["groups"] for found in result.nodes] == [1, 2, 2, 1, 1]
    assert result.nodes[0].case.framework == "ONNX Runtime"
    assert result.nodes[0].case.version == runtime.__version__
    assert result.notes == ()
    assert len(count) == 15


def test_inputs_are_drawn_where_none_are_given(saved: Any) -> None:
    path = saved(*Chain().parts)
    first, again, other = (verify_onnx(path, seed=seed) for seed in (1, 1, 2))
    assert first.ok
    assert first.notes == (
        "inputs were drawn with the seed 1",
        "the first axis of `x` (N) was given the size 1",
    )
    x, same, different = (found.nodes[0].case.arrays["x"] for found in (first, again, other))
    assert x.shape == (1, 4, 8, 8)
    assert np.array_equal(x, same)
    assert not np.array_equal(x, different)


MISTAKES = ["kernel-flipped", "bias-missing", "same-side", "group-order", "channel-block"]


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("dumps", ["all", "in and out of each", "convolutions alone"])
def test_the_first_wrong_node_is_named_and_the_ones_after_it_are_right(
    saved: Any, mistake: str, dumps: str
) -> None:
    chain = Chain()
    dumped = chain.engine(mistake)
    letters = {"all": "ynr", "in and out of each": "yr", "convolutions alone": "y"}[dumps]
    dumped = {name: array for name, array in dumped.items() if name[0] in letters}
    result = verify_onnx(saved(*chain.parts), {"x": chain.x}, dumped)
    assert verdicts(result)[2] == "wrong"
    assert [found.name for found in result.nodes if not found.report.ok] == ["conv2"]
    assert not result.ok
    first = result.first_wrong
    assert first.name == "conv2"
    assert mistake in [finding.name for finding in first.report.diagnosis]
    assert first.case.framework == "dumped"
    assert first.computed == (() if "r" in letters else ("r1",))
    assert ("not_dumped" in result.facts) == ("r" not in letters)
    assert result.facts["first_wrong"].startswith(f"conv2 (Conv): {mistake}: ")


def test_without_a_mistake_all_is_right(saved: Any) -> None:
    chain = Chain()
    assert verify_onnx(saved(*chain.parts), {"x": chain.x}, chain.engine()).ok


def test_inputs_are_not_needed_where_all_is_dumped(saved: Any) -> None:
    chain = Chain()
    dumped = chain.engine("bias-missing") | {"x": chain.x}
    result = verify_onnx(saved(*chain.parts), None, dumped)
    assert result.first_wrong.name == "conv2"
    message = "verify_onnx: `inputs` has no `x`, which the model reads; its inputs are x"
    with refused(WordError, message):
        verify_onnx(saved(*chain.parts), None, chain.engine())


def test_what_was_not_dumped_is_not_judged_and_what_is_not_of_the_model_is_said(saved: Any) -> None:
    chain = Chain()
    dumped = {name: chain.engine()[name] for name in ("y1", "r0", "y3", "r2")}
    result = verify_onnx(saved(*chain.parts), None, dumped | {"engine/tensor": chain.x})
    assert [found.name for found in result.nodes if found.report] == ["conv1", "conv3"]
    assert result.nodes[0].reason == "its output `y0` was not dumped"
    assert result.notes == ("of `outputs`, not in the model: `engine/tensor`",)
    assert result.facts["not_judged"] == "; ".join(
        f"conv{i} (Conv): its output `y{i}` was not dumped" for i in (0, 2, 4)
    )


def test_dumped_weights_are_those_that_the_engine_used(saved: Any) -> None:
    path = saved(
        [node("Conv", ["x", "w"], ["y"], "c")], {"x": [1, 2, 9]}, ["y"], {"w": normal(2, 2, 3)}
    )
    x, w = normal(1, 2, 9), normal(2, 2, 3)
    y = convref.conv(x, w)
    assert verify_onnx(path, {"x": x}, {"y": y, "w": w}).ok
    assert not verify_onnx(path, {"x": x}, {"y": y}).ok


@pytest.mark.parametrize("letters", ["yr", "y"])
@pytest.mark.parametrize("mistake", ["", "kernel-flipped"])
def test_dumps_saved_in_a_wider_dtype(saved: Any, mistake: str, letters: str) -> None:
    chain = Chain()
    dumped = {
        name: array.astype(">f8")
        for name, array in chain.engine(mistake).items()
        if name[0] in letters
    }
    result = verify_onnx(saved(*chain.parts), {"x": chain.x}, dumped)
    assert result.ok == (not mistake)
    assert {found.report.dtype for found in result.nodes} == {"float32"}


def test_an_output_of_another_shape(saved: Any) -> None:
    w = normal(2, 3, 3)
    nodes = [node("ConvTranspose", ["x", "w"], ["y"], "up", strides=[2], output_padding=[1])]
    path = saved(nodes, {"x": [1, 2, 9]}, ["y"], {"w": w})
    x = normal(1, 2, 9)
    right = convref.conv_transpose(x, w, stride=2, output_padding=1)
    assert verify_onnx(path, {"x": x}, {"y": right}).ok
    result = verify_onnx(path, {"x": x}, {"y": right[..., :-1]})
    assert result.facts["first_wrong"] == (
        "up (ConvTranspose): shape: the output has the shape (1, 3, 19); these words give "
        "(1, 3, 20)"
    )


def test_sums_in_another_dtype(saved: Any) -> None:
    nodes = [node("Conv", ["x", "w"], ["y"], "c")]
    w = abs(normal(1, 512, 3)).astype(np.float16)
    path = saved(nodes, {"x": [1, 512, 9]}, ["y"], {"w": w}, kind=onnx.TensorProto.FLOAT16)
    x = abs(normal(1, 512, 9)).astype(np.float16)
    y = np.zeros((1, 1, 7), np.float16)
    for t in range(3):
        for c in range(512):
            y += w[0, c, t] * x[:, c : c + 1, t : t + 7]
    declared = verify_onnx(path, {"x": x}, {"y": y}, accumulate="float16")
    assert verdicts(declared) == ["within bound"]
    assert verdicts(verify_onnx(path, {"x": x}, {"y": y}))[0] in ("explained", "wrong")


# Operators, types, and what is inside of nodes


def test_quantised_convolutions_and_transposed_ones(saved: Any, tmp_path: Path) -> None:
    nodes = [
        node("ConvInteger", ["x", "w", "xz"], ["i"], "integer", pads=[1, 1, 1, 1]),
        node(
            "QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["q"], "linear",
            auto_pad="SAME_UPPER",
        ),
        node("DequantizeLinear", ["q", "ys", "yz"], ["real"]),
        node(
            "ConvTranspose", ["real", "t"], ["y"], "transposed",
            strides=[2, 2], auto_pad="SAME_LOWER", group=2,
        ),
    ]  # fmt: skip
    constants = {
        "w": RANDOM.integers(-128, 127, (4, 3, 3, 3)).astype(np.int8),
        "b": np.array([100, -200, 300, 0], np.int32),
        "xs": np.float32(0.02),
        "xz": np.uint8(120),
        "ws": np.array([0.01, 0.02, 0.03, 0.04], np.float32),
        "wz": np.zeros(4, np.int8),
        "ys": np.float32(0.5),
        "yz": np.uint8(100),
        "t": normal(4, 3, 3, 3),
    }
    x = RANDOM.integers(0, 255, (2, 3, 7, 7)).astype(np.uint8)
    path = saved(nodes, {"x": (onnx.TensorProto.UINT8, ["N", 3, 7, 7])}, ["y", "i"], constants)
    result = verify_onnx(path, {"x": x})
    assert result.ok
    assert verify_onnx(path).ok
    assert verdicts(result)[0] == "exact"
    names = [found.operator for found in result.nodes]
    assert names == ["ConvInteger", "QLinearConv", "ConvTranspose"]

    dumped = dict(zip("iqy", (found.case.arrays["y"] for found in result.nodes), strict=True))
    real = {"real": (dumped["q"] - np.float32(100)) * np.float32(0.5)}
    assert verify_onnx(path, {"x": x}, dumped | real).ok
    wrong = {
        "i": convref.conv(x.astype(np.int32), constants["w"], padding=1).astype(np.int32),
        "q": dumped["q"] + (dumped["q"] < 255).astype(np.uint8),
        "y": -dumped["y"],
    }
    result = verify_onnx(path, {"x": x}, wrong | real)
    assert [finding.name for finding in result.first_wrong.report.diagnosis] != []
    assert verdicts(result) == ["wrong", "wrong", "wrong"]
    assert "integer" in as_html(result.judged)
    assert 'failures="3"' in as_junit(result.judged)
    assert json.loads(result.to_json())["ok"] is False


def test_constants_and_computed_weights(saved: Any) -> None:
    nodes = [
        node(
            "Constant", [], ["w"], "constant", value=onnx.numpy_helper.from_array(normal(2, 3, 2))
        ),
        node("Transpose", ["w"], ["turned"], "turn", perm=[1, 0, 2]),
        node("Conv", ["x", "turned"], ["y"], "c"),
    ]
    path = saved(nodes, {"x": [1, 2, 9]}, ["y"], {})
    result = verify_onnx(path)
    assert result.ok
    case = result.nodes[0].case
    assert case.arrays["w"].shape == (3, 2, 2)
    dumped = verify_onnx(path, {"x": case.arrays["x"]}, {"y": case.arrays["y"]})
    assert dumped.ok
    assert dumped.nodes[0].computed == ()


def test_an_input_with_a_default_may_be_given(saved: Any) -> None:
    w, x = normal(2, 2, 3), normal(1, 2, 9)
    path = saved(
        [node("Conv", ["x", "w"], ["y"])], {"x": [1, 2, 9], "w": [2, 2, 3]}, ["y"], {"w": w}
    )
    assert np.array_equal(verify_onnx(path, {"x": x}).nodes[0].case.arrays["w"], w)
    given = verify_onnx(path, {"x": x, "w": 2 * w})
    assert given.ok
    assert np.array_equal(given.nodes[0].case.arrays["w"], 2 * w)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes(saved: Any, name: str) -> None:
    """ONNX Runtime has no Conv of bfloat16 and float64 on the CPU."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    w, x = normal(2, 2, 3).astype(dtype), normal(1, 2, 9).astype(dtype)
    nodes = [node("Conv", ["x", "w"], ["y"], "a"), node("Conv", ["y", "w"], ["z"], "b")]
    kind = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    path = saved(nodes, {"x": [1, 2, 9]}, ["z"], {"w": w}, kind=kind)
    y = convref.conv(x, w)
    dumped = {"y": y, "z": convref.conv(y, w)}
    result = verify_onnx(path, {"x": x}, dumped)
    assert result.ok
    assert [found.report.dtype for found in result.nodes] == [name, name]
    bad = verify_onnx(path, {"x": x}, dumped | {"z": dumped["z"][..., ::-1].copy()})
    assert bad.first_wrong.name == "b"
    if name in ("float16", "float32"):
        assert verify_onnx(path, {"x": x}).ok
    else:
        with refused(
            FileError,
            f"verify_onnx: {path}: nothing can be judged: `a` (Conv): ONNX Runtime can't run it: "
            f"Could not find an implementation for Conv(22) node with name 'a'; {JUDGED}",
        ):
            verify_onnx(path, {"x": x})


def test_bfloat16_comes_back_from_files(saved: Any, tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    w, x = (normal(*shape).astype(ml_dtypes.bfloat16) for shape in ((2, 2, 3), (1, 2, 9)))
    path = saved(
        [node("Conv", ["x", "w"], ["y"])], {"x": [1, 2, 9]}, ["y"], {"w": w},
        kind=onnx.TensorProto.BFLOAT16,
    )  # fmt: skip
    np.savez(tmp_path / "x.npz", x=x)
    np.savez(tmp_path / "y.npz", y=convref.conv(x, w))
    result = verify_onnx(path, tmp_path / "x.npz", tmp_path / "y.npz")
    assert [found.report.verdict for found in result.nodes] == ["exact"]
    assert result.nodes[0].report.dtype == "bfloat16"


def test_a_node_that_can_not_be_run_is_named_and_so_are_those_after_it(saved: Any) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"], "first"),
        node("Mystery", ["a"], ["b"], "strange", domain="mine"),
        node("Conv", ["b", "w"], ["c"], "second"),
        node("Conv", ["a", "w"], ["d"], "third"),
    ]
    path = saved(nodes, {"x": [1, 2, 9]}, ["c", "d"], {"w": normal(2, 2, 1)})
    result = verify_onnx(path)
    assert result.ok
    assert [found.report is None for found in result.nodes] == [False, True, False]
    assert result.nodes[1].reason == (
        "`strange` (Mystery): ONNX Runtime can't run it: Fatal error: mine:Mystery(-1) is not a "
        "registered function/op"
    )
    arrays = result.nodes[0].case.arrays
    dumped = {"b": arrays["y"], "c": convref.conv(arrays["y"], arrays["w"])}
    assert verify_onnx(path, None, dumped).nodes[1].report.ok


def test_dumps_that_the_runtime_does_not_take(saved: Any) -> None:
    nodes = [node("Relu", ["x"], ["r"], "relu"), node("Conv", ["r", "w"], ["y"], "c")]
    path = saved(
        [*nodes, node("Conv", ["x", "w"], ["z"], "d")],
        {"x": [1, 2, 9]},
        ["y", "z"],
        {"w": normal(2, 2, 3)},
    )
    x = normal(1, 2, 9)
    found = verify_onnx(path, {"x": x}).nodes
    dumped = dict(zip("yz", (report.case.arrays["y"] for report in found), strict=True))
    result = verify_onnx(path, None, dumped | {"x": x.astype(np.complex64)})
    assert result.nodes[0].reason == "`relu` (Relu): ONNX Runtime does not take complex64"
    assert result.nodes[1].report.ok


def test_functions_are_judged_where_they_are_called(saved: Any) -> None:
    def function(version: int) -> Any:
        return onnx.helper.make_function(
            "mine", "Block", ["a", "w"], ["b"],
            [node("Conv", ["a", "w"], ["c"], "inner"), node("Relu", ["c"], ["b"])],
            [onnx.helper.make_opsetid("", version)],
        )  # fmt: skip

    nodes = [
        node("Block", ["x", "w"], ["y"], "one", domain="mine"),
        node("Block", ["y", "w"], ["z"], "two", domain="mine"),
        node("Conv", ["z", "w"], ["q"], "last"),
    ]
    shapes, constants = {"x": [1, 2, 9]}, {"w": normal(2, 2, 1)}
    result = verify_onnx(saved(nodes, shapes, ["q"], constants, (function(22),)))
    assert [found.report.ok for found in result.nodes] == [True] * 3
    # Of another operator set they can't be put in their places; they are run as they are.
    result = verify_onnx(saved(nodes, shapes, ["q"], constants, (function(13),)))
    assert [found.name for found in result.nodes] == ["one/inner", "two/inner", "last"]
    assert result.nodes[0].reason == "it is inside of `one` (Block)"
    assert result.nodes[2].report.ok


def test_what_is_in_subgraphs_and_what_is_fused_is_listed(saved: Any) -> None:
    def branch(*nodes: Any, name: str) -> Any:
        return onnx.helper.make_graph(list(nodes), name, [], [onnx.ValueInfoProto(name=name)])

    choice = node(
        "If", ["yes"], ["y"], "choice",
        then_branch=branch(node("Conv", ["x", "w"], ["t"], "inner"), name="t"),
        else_branch=branch(node("Relu", ["x"], ["e"]), name="e"),
    )  # fmt: skip
    nodes = [
        choice,
        node("FusedConv", ["y", "w"], ["f"], "fused", domain="com.microsoft", activation="Relu"),
        node("Conv", ["f", "w"], ["z"], "last"),
    ]
    inputs = {"x": [1, 2, 5, 5], "yes": (onnx.TensorProto.BOOL, [])}
    result = verify_onnx(saved(nodes, inputs, ["z"], {"w": normal(2, 2, 1, 1)}))
    assert [(found.name, found.reason) for found in result.nodes] == [
        ("choice/inner", "it is inside of `choice` (If)"),
        ("fused", "FusedConv (com.microsoft) is not judged"),
        ("last", ""),
    ]
    assert result.nodes[2].report.ok


# How it reads


def test_it_is_printed_as_a_table(saved: Any) -> None:
    chain = Chain()
    path = saved(*chain.parts)
    lines = str(verify_onnx(path, {"x": chain.x}, chain.engine("bias-missing"))).splitlines()
    assert lines[0].split() == ["node", "operator", "x", "w", "y", "bound", "used", "verdict"]
    assert lines[3].split()[:5] == ["conv2", "Conv", "2x6x8x8", "6x3x3x3", "2x6x4x4"]
    assert lines[3].endswith("  wrong")
    assert lines[4].endswith("  within bound")
    assert lines[-2:] == [
        f"model: {path}",
        "first_wrong: conv2 (Conv): bias-missing: the bias is left out",
    ]


def command(folder: Path, *arguments: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "convref", "verify", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={
            **os.environ, "PYTHONPATH": str(Path(convref.__file__).parents[1]), "COLUMNS": "100",
            "NO_COLOR": "1",
        },
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_the_command_line(saved: Any, tmp_path: Path) -> None:
    pytest.importorskip("typer")
    chain = Chain()
    saved(*chain.parts)
    np.savez(tmp_path / "inputs.npz", x=chain.x)
    np.savez(tmp_path / "right.npz", **chain.engine())
    np.savez(tmp_path / "wrong.npz", **chain.engine("kernel-flipped"))

    code, output, messages = command(tmp_path, "model.onnx", "--seed", 7)
    assert (code, messages) == (0, "")
    assert output.splitlines()[6:] == [
        "all 5 outputs are legitimate: within the rounding bound, element by element",
        "model: model.onnx",
        "notes: inputs were drawn with the seed 7; the first axis of `x` (N) was given the size 1",
    ]
    given = ("model.onnx", "--inputs", "inputs.npz", "--outputs")
    assert command(tmp_path, *given, "right.npz")[0] == 0
    code, output, messages = command(
        tmp_path, *given, "wrong.npz", "--html", "page.html", "--junit", "results.xml"
    )
    sentence = "the kernel is flipped: it is convolved, and not cross-correlated"
    assert (code, messages) == (1, "")
    assert output.splitlines()[-4:] == [
        "wrong: conv2, Conv y",
        f"conv2 y: {sentence}",
        "model: model.onnx",
        f"first_wrong: conv2 (Conv): kernel-flipped: {sentence}",
    ]
    assert "1 of 5 outputs are wrong" in (tmp_path / "page.html").read_text()
    assert 'failures="1"' in (tmp_path / "results.xml").read_text()
    code, output, _ = command(tmp_path, *given, "wrong.npz", "--json")
    assert code == 1
    values = json.loads(output)
    assert values["first_wrong"].startswith("conv2 (Conv): kernel-flipped")
    assert [case["name"] for case in values["cases"]] == [f"conv{i}" for i in range(5)]
    code, output, messages = command(tmp_path, *given, "no.npz")
    assert (code, output) == (2, "")
    assert messages == "convref: verify_onnx: there is no file no.npz; check the path\n"


def test_names_out_of_a_model_do_no_harm(saved: Any, tmp_path: Path) -> None:
    pytest.importorskip("typer")
    names = ["[red]a[/]", "\x1b[2Jb", "<script>"]
    tensors = ["x", "[/y]", "z\n", "<b>"]
    nodes = [
        node("Conv", [before, "w"], [after], name)
        for before, after, name in zip(tensors, tensors[1:], names, strict=False)
    ]
    saved(nodes, {"x": [1, 2, 9]}, ["<b>"], {"w": normal(2, 2, 1)})
    code, output, messages = command(tmp_path, "model.onnx", "--html", "page.html")
    assert (code, messages) == (0, "")
    assert [line.split()[0] for line in output.splitlines()[1:4]] == [
        "[red]a[/]", "\ufffd[2Jb", "<script>",
    ]  # fmt: skip
    assert "<script" not in (tmp_path / "page.html").read_text()


# What is refused


def one(saved: Any, **words: Any) -> Path:
    """A model of one convolution, of ``(N, 2, 9)``."""
    nodes = [node("Conv", ["x", "w"], ["y"], "c")]
    path: Path = saved(nodes, {"x": ["N", 2, 9]}, ["y"], {"w": normal(2, 2, 3)}, **words)
    return path


@pytest.mark.parametrize(
    ("inputs", "kind", "message"),
    [
        ({}, WordError, "`inputs` has no `x`, which the model reads; its inputs are x"),
        (
            {"X": normal(1, 2, 9)}, WordError,
            "`inputs` has `X`, which is not an input of the model; its inputs are x",
        ),
        (
            {"x": np.zeros((1, 2, 9))}, DtypeError,
            "`inputs['x']` has dtype float64, and the model takes float32; convert it",
        ),
        (
            {"x": normal(1, 3, 9)}, ShapeError,
            "`inputs['x']` has shape (1, 3, 9), and the model takes (N, 2, 9); give it that shape",
        ),
        (
            {"x": normal(2, 9)}, ShapeError,
            "`inputs['x']` has shape (2, 9), and the model takes (N, 2, 9); give it that shape",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_inputs_that_are_not_the_models(saved: Any, inputs: Any, kind: Any, message: str) -> None:
    with refused(kind, f"verify_onnx: {message}"):
        verify_onnx(one(saved), inputs)


def test_dumps_without_the_output_of_a_convolution(saved: Any) -> None:
    path = one(saved)
    with refused(
        FileError,
        f"verify_onnx: {path}: nothing can be judged: `c` (Conv): its output `y` was not dumped; "
        f"{JUDGED}",
    ):
        verify_onnx(path, {"x": normal(1, 2, 9)}, {"z": normal(1, 2, 7)})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            ["N", 2, "length"],
            "the input `x` has no fixed size along axis 2 (`length`); give `inputs` of the size "
            "that you want",
        ),
        (None, "the input `x` has no declared shape; give `inputs`"),
    ],
)
def test_sizes_that_are_not_drawn(saved: Any, shape: Any, message: str) -> None:
    nodes = [node("Conv", ["x", "w"], ["y"])]
    path = saved(nodes, {"x": shape}, ["y"], {"w": normal(2, 2, 3)})
    with refused(ShapeError, f"verify_onnx: {message}"):
        verify_onnx(path)
    assert verify_onnx(path, {"x": normal(1, 2, 9)}).ok


def test_inputs_that_no_machine_holds(saved: Any) -> None:
    path = saved(
        [node("Conv", ["x", "w"], ["y"])], {"x": [2**50, 2, 9]}, ["y"], {"w": normal(2, 2, 3)}
    )
    with pytest.raises(TooLargeError, match=r"verify_onnx: the input `x` would need \d+ bytes"):
        verify_onnx(path)


def test_a_seed_below_0(saved: Any) -> None:
    with refused(WordError, "verify_onnx: `seed` (=-1) must be at least 0; use 0 or more"):
        verify_onnx(one(saved), seed=-1)


def test_a_model_without_convolutions(saved: Any) -> None:
    path = saved([node("Relu", ["x"], ["y"])], {"x": [1]}, ["y"], {})
    message = f"verify_onnx: {path}: nothing can be judged: it has no convolution; {JUDGED}"
    with refused(FileError, message):
        verify_onnx(path)


def test_files_that_are_no_models(saved: Any, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    with refused(FileError, f"verify_onnx: there is no file {path}; check the path"):
        verify_onnx(path)
    with refused(FileError, f"verify_onnx: there is no file {tmp_path}; check the path"):
        verify_onnx(tmp_path)
    path.write_bytes(b"")
    none = f"verify_onnx: {path} is not an ONNX model: it has no nodes; check the file"
    with refused(FileError, none):
        verify_onnx(path)
    whole = one(saved).read_bytes()
    for data in (b"PK\x03\x04 and more", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(data)
        with pytest.raises(FileError, match=r"other\.onnx is not an ONNX model: Error parsing"):
            verify_onnx(path)


def test_strings_that_are_not_utf8(saved: Any) -> None:
    path = one(saved)
    path.write_bytes(path.read_bytes().replace(b"Conv", b"Co\xffv"))
    with refused(
        FileError,
        f"verify_onnx: {path} is not an ONNX model: `op_type` is not UTF-8; check the file",
    ):
        verify_onnx(path)


def test_nodes_in_another_order_and_names_given_twice(saved: Any) -> None:
    nodes = [node("Conv", ["y", "w"], ["z"], "b"), node("Conv", ["x", "w"], ["y"], "a")]
    path = saved(nodes, {"x": [1, 2, 9]}, ["z"], {"w": normal(2, 2, 3)})
    with refused(
        FileError,
        f"verify_onnx: {path}: the node `b` reads the tensor `y`, which is not there yet; sort the "
        "nodes: each after those that it depends on",
    ):
        verify_onnx(path)
    nodes = [node("Conv", ["x", "w"], ["x"], "a")]
    path = saved(nodes, {"x": [1, 2, 9]}, ["x"], {"w": normal(2, 2, 3)})
    with refused(
        FileError,
        f"verify_onnx: {path}: there are two tensors `x`; give each tensor a name of its own",
    ):
        verify_onnx(path)


# Data beside the model


class Outside:
    """A model whose weights, 48 bytes, are said to be elsewhere."""

    def __init__(self, folder: Path, dims: tuple[int, ...] = (2, 2, 3), **entries: object) -> None:
        folder.mkdir()
        self.path = folder / "model.onnx"
        found = model([node("Conv", ["x", "w"], ["y"], "c")], {"x": [1, 2, 9]}, ["y"], {})
        tensor = onnx.TensorProto(
            name="w", data_type=FLOAT, dims=dims, data_location=onnx.TensorProto.EXTERNAL
        )
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
        found.graph.initializer.append(tensor)
        self.path.write_bytes(found.SerializeToString())
        self.weights = normal(2, 2, 3)

    def refused(self, message: str, kind: Any = FileError) -> None:
        whose = f"verify_onnx: {self.path}: the tensor `w`"
        with refused(kind, f"{whose} {message}"):
            verify_onnx(self.path)


def test_data_beside_the_model_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = Outside(tmp_path / "m", location="below/w.bin", offset=16, length=48)
    (tmp_path / "m" / "below").mkdir()
    data = bytes(16) + outside.weights.tobytes() + b"more"
    (tmp_path / "m" / "below" / "w.bin").write_bytes(data)
    case = verify_onnx(outside.path).nodes[0].case
    assert np.array_equal(case.arrays["w"], outside.weights)
    monkeypatch.chdir(tmp_path)  # what is beside the model is so from wherever it is read
    assert verify_onnx("m/model.onnx").ok


FAR = "which is not in the folder of the model; copy the file there, and save the model with its "


@pytest.mark.parametrize("way", ["absolute", "up", "link", "linked folder"])
def test_data_elsewhere_is_not_read(tmp_path: Path, way: str) -> None:
    secret = tmp_path / "secret.bin"
    location = {
        "absolute": str(secret), "up": "../secret.bin", "link": "link.bin",
        "linked folder": "folder/secret.bin",
    }[way]  # fmt: skip
    outside = Outside(tmp_path / "m", location=location)
    secret.write_bytes(outside.weights.tobytes())
    (tmp_path / "m" / "link.bin").symlink_to(secret)
    (tmp_path / "m" / "folder").symlink_to(tmp_path, target_is_directory=True)
    outside.refused(f"has its data in {location!r}, {FAR}name alone")


@pytest.mark.parametrize(
    ("dims", "entries", "message"),
    [
        (
            (2, 2, 3), {"length": 48},
            "needs the bytes from 0 to 48 of w.bin, which has 47; copy the whole file",
        ),
        (
            (2, 2, 3), {"offset": 1000},
            "needs the bytes from 1000 to 1048 of w.bin, which has 47; copy the whole file",
        ),
        (
            (2, 2, 3), {"length": 2**60},
            "of shape (2, 2, 3) needs 48 bytes, and its length is 1152921504606846976; save the "
            "model anew with onnx.save",
        ),
        (
            (2**30, 2**30, 3), {},
            "needs the bytes from 0 to 13835058055282163712 of w.bin, which has 47; copy the whole "
            "file",
        ),
        (
            (2, 2, -3), {},
            "can't have the type 1 and the shape (2, 2, -3); save the model anew with onnx.save",
        ),
        (
            (2, 2, 3), {"offset": -4},
            "has offset and length ['-4', '48'], which are not numbers of bytes; save the model "
            "anew with onnx.save",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_data_that_is_not_there(tmp_path: Path, dims: Any, entries: Any, message: str) -> None:
    outside = Outside(tmp_path / "m", dims, location="w.bin", **entries)
    (tmp_path / "m" / "w.bin").write_bytes(outside.weights.tobytes()[:47])
    outside.refused(message)


def test_data_in_no_file(tmp_path: Path) -> None:
    copy = "and there is no such file; copy it to the folder of the model"
    Outside(tmp_path / "m", location="w.bin").refused(f"has its data in 'w.bin', {copy}")
    folder = Outside(tmp_path / "n", location="folder")
    (tmp_path / "n" / "folder").mkdir()
    folder.refused(f"has its data in 'folder', {copy}")
    if hasattr(os, "mkfifo"):  # which would wait for a writer
        pipe = Outside(tmp_path / "o", location="pipe")
        os.mkfifo(tmp_path / "o" / "pipe")
        pipe.refused(f"has its data in 'pipe', {copy}")


def test_data_that_adds_up_to_more_than_a_machine_has(tmp_path: Path) -> None:
    """A thousand tensors that claim the same file, of which a disk need hold nothing."""
    outside = Outside(tmp_path / "m", location="w.bin")
    with (tmp_path / "m" / "w.bin").open("wb") as file:
        file.truncate(2**40)
    found = onnx.ModelProto.FromString(outside.path.read_bytes())
    for number in range(1000):
        tensor = found.graph.initializer.add(name=f"w{number}", dims=[2**38], data_type=FLOAT)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="w.bin")
    outside.path.write_bytes(found.SerializeToString())
    with pytest.raises(
        TooLargeError, match=r"the external data of .*model\.onnx would need \d+ bytes"
    ):
        verify_onnx(outside.path)


def test_data_that_hides_in_an_attribute(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(normal(2, 2, 3).tobytes())
    outside = Outside(tmp_path / "m", location="../secret.bin")
    found = onnx.ModelProto.FromString(outside.path.read_bytes())
    tensor = found.graph.initializer.pop()
    constant = node("Constant", [], ["w"], value=tensor)
    found.graph.node.insert(0, constant)
    outside.path.write_bytes(found.SerializeToString())
    outside.refused(f"has its data in '../secret.bin', {FAR}name alone")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dims": [2**40]}, "of shape (1099511627776,) needs 4398046511104 bytes, and has 48"),
        ({"raw_data": b"", "float_data": [1.0]}, "of shape (2, 2, 3) needs 48 bytes, and has 0"),
        ({"data_type": 11}, "of shape (2, 2, 3) needs 96 bytes, and has 48"),
        ({"data_type": 1000}, "can't have the type 1000 and the shape (2, 2, 3)"),
    ],
    ids=str,
)
def test_data_that_is_not_what_the_shape_says(saved: Any, change: Any, message: str) -> None:
    path = one(saved)
    found = onnx.ModelProto.FromString(path.read_bytes())
    tensor = found.graph.initializer[0]
    for name, value in change.items():
        if isinstance(value, list):
            del getattr(tensor, name)[:]
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    path.write_bytes(found.SerializeToString())
    with refused(
        FileError,
        f"verify_onnx: {path}: the tensor `w` {message}; save the model anew with onnx.save",
    ):
        verify_onnx(path)


@pytest.mark.parametrize("kind", ["INT4", "UINT4", "FLOAT8E4M3FN", "COMPLEX64", "BOOL", "BFLOAT16"])
def test_data_of_all_types_is_understood(saved: Any, kind: str) -> None:
    """A constant that nothing reads, of packed types and others, as numbers and as bytes."""
    number = getattr(onnx.TensorProto, kind)
    path = one(saved)
    found = onnx.ModelProto.FromString(path.read_bytes())
    zeros = np.zeros(3, onnx.helper.tensor_dtype_to_np_dtype(number))
    found.graph.initializer.extend(
        [
            onnx.helper.make_tensor("numbers", number, [3], zeros),
            onnx.numpy_helper.from_array(zeros, "bytes"),
        ]
    )
    path.write_bytes(found.SerializeToString())
    assert verify_onnx(path).ok


def test_a_model_is_not_broken_by_what_bytes_are_changed(saved: Any) -> None:
    """Whatever one byte of a model becomes, there is a verdict or a refusal of one line."""
    whole = one(saved).read_bytes()
    path = saved(*Chain().parts).with_name("changed.onnx")
    refusals = []
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + struct.pack("B", whole[place] ^ 0xA5) + whole[place + 1 :])
        try:
            verify_onnx(path, {"x": np.ones((1, 2, 9), np.float32)})
        except convref.ConvrefError as error:
            refusals.append(str(error))
    assert len(refusals) > 20
    assert not any("\n" in text for text in refusals)


# Models that ship with onnx


SHIPPED = shipped({"Conv", "ConvTranspose", "ConvInteger", "QLinearConv"})


def test_enough_is_shipped() -> None:
    counts = [model.graph.node[0].op_type for model, *_ in SHIPPED.values()]
    fewest = {"Conv": 33, "ConvTranspose": 14, "ConvInteger": 2, "QLinearConv": 1}
    assert {name: counts.count(name) for name in fewest if counts.count(name) < fewest[name]} == {}


@pytest.mark.parametrize("name", SHIPPED)
def test_stored_outputs_are_legitimate(name: str, tmp_path: Path) -> None:
    """What the authors of ONNX, and PyTorch, computed; and what ONNX Runtime does."""
    found, sets, *_ = SHIPPED[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(found.SerializeToString())
    held = {tensor.name for tensor in found.graph.initializer}
    names = [value.name for value in found.graph.input if value.name not in held]
    assert sets
    for inputs, outputs in sets:
        given = dict(zip(names, map(as_array, inputs), strict=True))
        dumped = {found.graph.output[0].name: as_array(outputs[0])}
        assert verify_onnx(path, given, dumped).ok
        if name != "test_convinteger_with_padding":  # zero points per channel are not in it
            assert verify_onnx(path, given).ok


LIGHT = {"resnet50": 53, "squeezenet": 26, "shufflenet": 49, "inception_v1": 57}


@pytest.mark.parametrize("name", LIGHT)
def test_published_networks(name: str) -> None:
    """With other weights than the published ones, which onnx leaves out."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    path = folder / f"light_{name}.onnx"
    if not path.is_file():
        pytest.skip("this version of onnx does not ship it")
    result = verify_onnx(path)
    assert result.ok
    assert len(result.judged) == len(result.nodes) == LIGHT[name]
