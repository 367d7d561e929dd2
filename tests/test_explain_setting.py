"""Settings: of convref's words, and of what a dialect's words mean."""

import subprocess
import sys
from typing import Any

import numpy as np
import oracles
import pytest
from code_lines import Drawn, drawn
from hypothesis import given
from messages import refused
from strategies import Problem, problems

from convref import ConvrefError, Geometry, ShapeError, WordError, conv_transpose, explain
from convref.dialects import babilim, brainpy, jax, keras, onnx, torch
from convref.explain import Setting, setting, setting_in


@given(problems(layouts=("channels_first",)))
def test_it_is_the_geometry_of_the_words(problem: Problem) -> None:
    words, kernel = problem.without("layout"), problem.kernel
    channels = {"in_channels": problem.channels, "out_channels": len(problem.w)}
    made = setting(problem.input_size, kernel, **words, **channels)
    assert made.geometry == Geometry.of(problem.input_size, kernel, **words)
    assert made.output_size == oracles.plan(problem.input_size, kernel, words).output
    assert made.output_padding == (0,) * problem.rank
    assert made.weight_shape == problem.w.shape
    assert made.parameters == problem.w.size + len(problem.w)
    assert made.macs == problem.w.size * np.prod(made.output_size)
    spec = {name: getattr(made.spec, name) for name in words}
    assert setting(problem.input_size, kernel, **spec, **channels) == made


@given(drawn(transposed=True))
def test_transposed_goes_back(problem: Drawn) -> None:
    made = problem.setting
    assert made.input_size == made.geometry.output_size
    assert made.output_size == made.geometry.input_size
    assert made.weight_shape == problem.w.shape
    assert made.macs == problem.w.size * np.prod(made.input_size)
    assert problem.expected(None).shape[2:] == made.output_size
    # The same by pairs, of which the output padding may be another.
    pairs = Setting(made.geometry, True, made.in_channels, made.out_channels)
    words = {"stride": made.spec.stride, "dilation": made.spec.dilation}
    y = conv_transpose(
        problem.x, problem.w, padding=made.geometry.padding, groups=made.spec.groups,
        output_padding=pairs.output_padding, **words,
    )  # fmt: skip
    np.testing.assert_array_equal(y, problem.expected(None))


def test_words_are_kept() -> None:
    assert setting(7, 3).word == "valid"
    assert setting(7, 3, padding="SAME").word == "same"
    assert setting(7, 3, padding=1).word == ""
    assert setting(7, 3, padding=1).spec.padding == ((1, 1),)


def test_one_size_for_all_axes() -> None:
    assert setting((7, 8), 3) == setting((7, 8), (3, 3))
    assert setting(7, (3, 2)) == setting((7, 7), (3, 2))
    assert setting(iter((7, 8)), np.array([3, 3])) == setting((7, 8), (3, 3))


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ({"stride": 0}, WordError, "`stride` (=0) must be at least 1 on every axis; use 1 or more"),
        (
            {"padding": "sane"},
            WordError,
            "`padding` (='sane') is not a padding word; use one of 'valid', 'same', 'same_lower', "
            "'causal', an int, or one int or pair per axis",
        ),
        (
            {"in_channels": 0},
            WordError,
            "`in_channels` (=0) must be at least 1; use 1 or more",
        ),
        (
            {"groups": 2, "in_channels": 4},
            ShapeError,
            "`groups` (=2) must divide `out_channels` (=1); use a multiple of 2 channels",
        ),
        (
            {"output_padding": 1},
            WordError,
            "`output_padding` (=1) is of transposed convolutions; use transposed=True, or leave "
            "it out",
        ),
        (
            {"transposed": True, "output_padding": 2, "stride": 2},
            WordError,
            "`output_padding` (=2) must be smaller than `stride` (=2); only `stride` output sizes "
            "share one input size",
        ),
        (
            {"transposed": True, "input_dilation": 2},
            WordError,
            "a transposed convolution has no `input_dilation` (=(2, 2)); leave it out",
        ),
        (
            {"transposed": True, "padding": 8},
            ShapeError,
            "the output would be empty along spatial axis 0 (size -8); use less padding or a "
            "larger kernel",
        ),
    ],
)
def test_refused(words: dict[str, Any], kind: type[ConvrefError], message: str) -> None:
    with refused(kind, f"setting: {message}"):
        setting((6, 6), 3, **words)


def test_an_empty_output() -> None:
    message = (
        "setting: the output would be empty along spatial axis 0: the window of 3 (kernel 3, "
        "`dilation` 1) exceeds the 2 cells of the padded input (size 2, `padding` (0, 0)); use a "
        "larger input, a smaller kernel or more padding"
    )
    with refused(ShapeError, message):
        setting(2, 3)


# What dialects mean


X, W = np.ones((1, 1, 9, 8), np.float32), np.ones((1, 1, 3, 4), np.float32)


def last(array: Any) -> Any:
    return np.moveaxis(array, 1, -1)


def by_torch(**words: Any) -> Any:
    return torch.Conv2d(1, 1, (3, 4), **words)(X).shape[2:]


def by_keras(**words: Any) -> Any:
    return keras.Conv2D(1, (3, 4), **words)(last(X)).shape[1:3]


def by_jax(window_strides: Any = (1, 1), padding: Any = "VALID", **words: Any) -> Any:
    return jax.conv_general_dilated(X, W, window_strides, padding, **words).shape[2:]


def by_brainpy(**words: Any) -> Any:
    return brainpy.Conv2d(1, 1, (3, 4), **words)(last(X)).shape[1:3]


def by_babilim(**words: Any) -> Any:
    return babilim.Conv2D(1, (3, 4), **words)(X).shape[2:]


def by_onnx(**words: Any) -> Any:
    return onnx.Conv(X, W, **words).shape[2:]


@pytest.mark.parametrize(
    ("dialect", "words", "made", "theirs"),
    [
        ("torch", {}, by_torch, {}),
        ("torch", {"padding": (2, 1), "stride": 2}, by_torch, {"padding": (2, 1), "stride": 2}),
        ("torch", {"padding": "same"}, by_torch, {"padding": "same"}),
        ("keras", {"stride": 3}, by_keras, {"strides": 3}),
        ("keras", {"padding": "same", "dilation": 2}, by_keras,
            {"padding": "same", "dilation_rate": 2}),
        ("jax", {"stride": 2, "padding": "same"}, by_jax,
            {"window_strides": (2, 2), "padding": "SAME"}),
        ("jax", {"input_dilation": 2, "padding": ((1, 2), (0, -1))}, by_jax,
            {"lhs_dilation": (2, 2), "padding": ((1, 2), (0, -1))}),
        ("brainpy", {"stride": 2}, by_brainpy, {"stride": 2}),
        ("brainpy", {"padding": "valid"}, by_brainpy, {"padding": "VALID"}),
        ("brainpy", {"padding": ((1, 2), (0, 1))}, by_brainpy, {"padding": ((1, 2), (0, 1))}),
        ("babilim", {"stride": 2}, by_babilim, {"stride": 2}),
        ("babilim", {"padding": "none"}, by_babilim, {"padding": "none"}),
        ("onnx", {"padding": "same_lower", "stride": 2}, by_onnx,
            {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
        ("onnx", {"padding": ((1, 2), (0, 3))}, by_onnx, {"pads": [1, 0, 2, 3]}),
    ],
)  # fmt: skip
def test_dialects_mean_what_they_compute(
    dialect: str, words: dict[str, Any], made: Any, theirs: dict[str, Any]
) -> None:
    assert setting_in(dialect, (9, 8), (3, 4), **words).output_size == made(**theirs)


@pytest.mark.parametrize(
    ("dialect", "words", "y"),
    [
        ("torch", {"padding": 1, "output_padding": 1},
            lambda x, w: torch.conv_transpose2d(x, w, None, 2, 1, 1)),
        ("onnx", {"padding": "same_upper"},
            lambda x, w: onnx.ConvTranspose(x, w, strides=[2, 2], auto_pad="SAME_UPPER")),
        ("onnx", {"padding": 1, "output_padding": 1}, lambda x, w: onnx.ConvTranspose(
            x, w, strides=[2, 2], pads=[1] * 4, output_padding=[1, 1])),
        ("jax", {"padding": "same"}, lambda x, w: jax.conv_transpose(
            x, w, (2, 2), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"),
            transpose_kernel=True)),
        ("jax", {}, lambda x, w: jax.conv_transpose(
            x, w, (2, 2), "VALID", dimension_numbers=("NCHW", "OIHW", "NCHW"),
            transpose_kernel=True)),
        ("jax", {"padding": ((1, 2), (3, 0))}, lambda x, w: jax.conv_transpose(
            x, w, (2, 2), ((1, 2), (3, 0)), dimension_numbers=("NCHW", "OIHW", "NCHW"),
            transpose_kernel=True)),
    ],
)  # fmt: skip
def test_transposed_dialects_mean_what_they_compute(
    dialect: str, words: dict[str, Any], y: Any, rng: np.random.Generator
) -> None:
    made = setting_in(dialect, (4, 5), (3, 3), transposed=True, stride=2, **words)
    x, w = (rng.integers(-4, 5, (1, 1, *size)).astype(np.float32) for size in ((4, 5), (3, 3)))
    problem = Drawn(made, x, w, np.zeros(1, np.float32))
    np.testing.assert_array_equal(problem.expected(None), y(x, w))


@pytest.mark.parametrize(("dialect", "size"), [("keras", (8, 10)), ("brainpy", (8, 10))])
def test_same_transposed_grows_by_the_stride(dialect: str, size: tuple[int, int]) -> None:
    made = setting_in(dialect, (4, 5), 3, transposed=True, stride=2, padding="same")
    assert made.output_size == size


def test_convref_is_a_dialect() -> None:
    assert setting_in("convref", 7, 3, padding="causal") == setting(7, 3, padding="causal")


def test_groups_and_channels() -> None:
    made = setting_in("torch", 7, 3, groups=2, in_channels=4, out_channels=6)
    assert (made.in_channels, made.out_channels, made.spec.groups) == (4, 6, 2)


@pytest.mark.parametrize(
    ("dialect", "words", "message"),
    [
        (
            "torch",
            {"stride": 2, "padding": "same"},
            "`padding` (='same') takes a `stride` of 1, not 2; give the padding as integers",
        ),
        (
            "keras",
            {"stride": 2, "dilation": 2},
            "`strides` (=(2, 2)) and `dilation_rate` (=(2, 2)) are both above 1, which Keras does "
            "not do; set one of them to 1",
        ),
        ("keras", {"padding_mode": "reflect"}, "keras has no `padding_mode`; leave it out"),
        (
            "babilim",
            {"padding": "valid"},
            "`padding` (='valid') is not implemented; use 'same' or 'none'",
        ),
        ("babilim", {"transposed": True}, "babilim has no Conv2DTranspose; use another dialect"),
        (
            "onnx",
            {"padding": "same"},
            "`auto_pad` (='SAME') is unknown; use one of 'NOTSET', 'VALID', 'SAME_UPPER', "
            "'SAME_LOWER'",
        ),
        (
            "jax",
            {"transposed": True, "groups": 2},
            "JAX's `conv_transpose` has no `groups`; leave it out",
        ),
        (
            "jax",
            {"padding": 1},
            "`padding` (=1) must be a word or pairs of integers; such as [(1, 1), (1, 1)]",
        ),
        (
            "brainpy",
            {"transposed": True, "output_padding": 1},
            "brainpy can't make this ConvTranspose2d: GeneralConvTranspose.__init__() got an "
            "unexpected keyword argument 'output_padding'; leave it out",
        ),
        ("tensorflow", {}, None),
    ],
)
def test_dialects_refuse_what_they_refuse(
    dialect: str, words: dict[str, Any], message: str | None
) -> None:
    with pytest.raises(WordError) as caught:
        setting_in(dialect, (9, 9), 3, **words)
    unknown = (
        "`dialect` (='tensorflow') is unknown; use one of 'convref', 'torch', 'keras', 'jax', "
        "'brainpy', 'babilim', 'onnx'"
    )
    assert str(caught.value) == f"setting_in: {message or unknown}"


def test_pytorch_reflects_no_further_than_the_input() -> None:
    message = (
        "setting_in: `padding` (6, 6) in `padding_mode` 'reflect' is too much for the 6 positions "
        "of `input`; use 5 or less"
    )
    with refused(ShapeError, message):
        setting_in("torch", 6, 3, padding=6, padding_mode="reflect")


def test_nothing_is_allocated_for_large_sizes() -> None:
    made = setting_in("onnx", (10**7, 10**7), 3, padding=1)
    assert made.output_size == (10**7, 10**7)
    assert setting_in("jax", (10**7, 10**7), 3).output_size == (10**7 - 2,) * 2


def test_names_of_the_package() -> None:
    """Whichever is imported first, `explain.setting` is the function, and not its module."""
    script = (
        "import sys\n"
        "import convref.explain.setting\n"
        "from convref import explain\n"
        "print(explain.setting(7, 3).output_size, 'matplotlib' in sys.modules, "
        "'convref.dialects' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "(5,) False False"
    with pytest.raises(
        AttributeError, match=r"^module 'convref.explain' has no attribute 'nothing'$"
    ):
        explain.nothing  # noqa: B018
