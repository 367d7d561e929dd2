"""Drawn cases, assert_conv and the sweep: what is right passes, what is wrong says why."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import oracles
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from messages import refused

import convref
from convref import ConvrefError, DtypeError, MissingExtraError, ShapeError, WordError, testing
from convref.testing import ConvCase, assert_conv, conv_cases, peers
from convref.testing.judging import Mismatch
from convref.testing.sweep import sweep

EVERYTHING = {
    "ranks": (1, 2, 3, 4),
    "dtypes": (
        "float16",
        "float32",
        "float64",
        "complex64",
        "complex128",
        "int8",
        "uint8",
        "int64",
    ),
    "input_dilation": 2,
    "padding": ("valid", "same", "same_lower", "causal", "ints", "pairs", "crop"),
    "padding_modes": ("zeros", "reflect", "replicate", "circular"),
    "layouts": ("channels_first", "channels_last"),
    "batch_axes": (0, 1, 2),
}


def computed(case, **other):
    """What convref's own operators make of a case."""
    words = {**case.words, **other}
    plain = {name: word for name, word in words.items() if name != "output_padding"}
    spatial = case.geometry.input_size
    if case.kind == "forward":
        return convref.conv(case.x, case.w, case.bias, backend="numpy", **words)
    if case.kind == "transpose":
        return convref.conv_transpose(case.x, case.w, case.bias, backend="numpy", **words)
    if case.kind == "input_grad":
        return convref.conv_input_grad(case.dy, case.w, spatial, backend="numpy", **plain)
    if case.kind == "weight_grad":
        kernel = case.w.shape[2:]
        return convref.conv_weight_grad(case.x, case.dy, kernel, backend="numpy", **plain)
    return convref.conv_vjp(case.x, case.w, case.dy, backend="numpy", **plain)[2]


@given(conv_cases(**EVERYTHING))
def test_integers_come_out_to_the_bit(case):
    output = computed(case)
    assert output.shape == case.shape
    assert output.dtype == case.dtype
    assert np.array_equal(output, case.expected())
    assert case.check(output).verdict == "exact"
    case.assert_matches(output)


@given(conv_cases(kinds=("forward",), dtypes=("int64",), padding_modes=EVERYTHING["padding_modes"]))
def test_what_is_expected_is_what_the_loops_say(case):
    words = {"input_dilation": 1, "layout": "channels_first", "groups": 1, "dilation": 1}
    y = oracles.forward(case.x, case.w, case.bias, **{**words, **case.words})
    assert np.array_equal(y, case.expected())


@given(conv_cases(dtypes=("float16", "float32", "complex64"), integers=False))
def test_real_numbers_are_within_their_bound(case):
    output = computed(case)
    assert case.check(output).ok
    with np.errstate(over="ignore"):
        spoilt = output + (1 + abs(output)).astype(output.dtype)
    with pytest.raises(Mismatch):
        case.assert_matches(spoilt)


@given(conv_cases(**EVERYTHING), st.data())
def test_one_bit_off_is_wrong(case, data):
    """In one place, and in exact mode alone: as a real number it may be within the bound."""
    if case.dtype.startswith(("int", "uint")):
        spoilt = case.expected().astype(np.int64)
        one = 1
    else:
        spoilt = case.expected()
        one = np.spacing(abs(spoilt).max(initial=1))
    place = data.draw(st.integers(0, spoilt.size - 1))
    spoilt.flat[place] += one
    with pytest.raises(Mismatch):
        case.assert_matches(spoilt)


@given(conv_cases(**EVERYTHING))
def test_a_case_is_what_it_is_shown_as(case):
    again = eval(repr(case), {"ConvCase": ConvCase})
    assert again == case
    assert all(np.array_equal(getattr(again, name), getattr(case, name)) for name in ("x", "dy"))
    assert not case.x.flags.writeable


@given(
    conv_cases(
        ranks=(2,),
        kinds=("forward", "weight_grad"),
        max_macs=500,
        kernel=2,
        stride=False,
        dilation=False,
        groups=False,
        channels=3,
        padding=("same", "ints"),
        bias=False,
    )
)
def test_limits_are_kept(case):
    assert case.rank == 2
    assert case.kind in ("forward", "weight_grad")
    assert set(case.words) == {"stride", "padding"}
    assert case.stride == case.dilation == (1, 1)
    assert case.words["padding"] == "same" or all(lo == hi for lo, hi in case.padding)
    assert case.bias is None
    assert max(case.w.shape[2:]) <= 2
    assert max(case.w.shape[:2]) <= 3
    assert len(case.x) * case.w.shape[0] * case.w.shape[1] * case.geometry.macs <= 500


def test_everything_is_drawn():
    seen = set()

    @settings(max_examples=300)
    @given(conv_cases(**EVERYTHING))
    def look(case):
        seen.update(
            (case.kind, case.dtype, case.rank, case.with_bias, len(case.x.shape) - case.rank)
        )
        seen.update((f"{case.words['padding']}"[:4], case.words.get("padding_mode"), case.groups))
        seen.add(("crop", any(lo < 0 for lo, _ in case.padding)))
        seen.add(("output_padding", any(case.output_padding)))

    look()
    assert {"forward", "transpose", "input_grad", "weight_grad", "bias_grad"} <= seen
    assert {*EVERYTHING["dtypes"], *EVERYTHING["padding_modes"], 1, 2, 3, 4} <= seen
    assert {"vali", "same", "caus", True, False, ("crop", True), ("output_padding", True)} <= seen


def test_bfloat16_is_drawn_once_it_is_known():
    pytest.importorskip("ml_dtypes")

    @settings(max_examples=20)
    @given(conv_cases(dtypes=("bfloat16",), max_macs=500))
    def look(case):
        assert case.x.dtype.name == "bfloat16"
        assert case.check(computed(case)).verdict == "exact"

    look()


def without_bias(case):
    return convref.conv(case.x, case.w, backend="numpy", **case.words)


def undilated(case):
    return computed(case, dilation=1) if case.words["padding"] == "same" else computed(case)


def flipped(case):
    return convref.conv(case.x, case.w[..., ::-1], case.bias, backend="numpy", **case.words)


MISTAKES = {"bias-missing": without_bias, "dilation": undilated, "kernel-flipped": flipped}


@pytest.mark.parametrize("name", MISTAKES)
def test_minimal_cases_are_plain_and_still_tell_what_is_wrong(name):
    def wrong(case):
        return not case.check(MISTAKES[name](case)).ok

    drawn = conv_cases(ranks=(1, 2), kinds=("forward",))
    minimal = find(drawn, wrong, settings=settings(database=None, max_examples=500))
    assert (minimal.rank, minimal.seed, minimal.groups, minimal.stride) == (1, 0, 1, (1,))
    assert minimal.x.size <= 8
    with pytest.raises(Mismatch, match=name) as caught:
        minimal.assert_matches(MISTAKES[name](minimal))
    assert [finding.name for finding in caught.value.report.diagnosis] == [name]


def test_the_text_of_a_mismatch():
    case = ConvCase("forward", (1, 2, 4), (2, 2, 2), {"padding": "valid"}, with_bias=True)
    with pytest.raises(Mismatch) as caught:
        case.assert_matches(case.expected() - case.bias.reshape(-1, 1))
    assert str(caught.value) == (
        "the output (6 elements of float32) is wrong\n"
        "  bound used  1.91e+13 (the limit is 1)\n"
        "  worst       [0, 0, 0] is 44.0, and should be 45.0\n"
        "  diagnosis   bias-missing: the bias is left out\n"
        "  summed in   float32, 5 terms at most\n"
        "  allclose    would pass from rtol=0.0108, atol=0.9 on\n"
        "  case        ConvCase(kind='forward', input_shape=(1, 2, 4), weight_shape=(2, 2, 2), "
        "words={'padding': 'valid'}, dtype='float32', with_bias=True, integers=True, seed=0)"
    )


def test_another_shape_is_wrong_though_words_could_give_it():
    """An input gradient, or a transposed output, of another size that has the same dy."""
    case = ConvCase("transpose", (1, 2, 3), (2, 2, 2), {"stride": 2, "output_padding": 1})
    shorter = convref.conv_transpose(case.x, case.w, stride=2, backend="numpy")
    assert convref.verify(shorter, case.x, case.w, kind="transpose", stride=2).ok
    assert [(finding.name, finding.text) for finding in case.check(shorter).diagnosis] == [
        ("shape", "the output has the shape (1, 2, 6); it should have (1, 2, 7)")
    ]
    forward = ConvCase("forward", (1, 2, 4), (2, 2, 2))
    assert forward.check(forward.expected()[..., 1:]).diagnosis[0].name == "shape"


def test_a_practice_explains_what_it_does_elsewhere():
    case = ConvCase("forward", (2, 4, 16), (4, 4, 3), integers=False, seed=1)
    x, w = ((a.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32) for a in (case.x, case.w))
    output = convref.conv(x, w, backend="numpy")
    assert case.check(output).explanation.name == "tf32-inputs"
    case.assert_matches(output)


def test_the_accumulator_can_be_declared():
    case = ConvCase("forward", (1, 4, 9), (2, 4, 3), dtype="float16", integers=False, seed=3)
    coarse = (case.expected().astype(np.float32) * 1.003).astype(np.float16)
    assert case.check(coarse).explanation.name == "bfloat16-sums"
    assert case.check(coarse, accumulate="float16").verdict == "within bound"
    case.assert_matches(coarse, accumulate="float16")


def test_assert_conv():
    x, w, bias = np.arange(8.0).reshape(1, 2, 4), np.ones((3, 2, 2)), np.array([1.0, 2.0, 3.0])
    y = convref.conv(x, w, bias, stride=2, backend="numpy")
    assert_conv(y, x, w, bias, stride=2)
    with pytest.raises(Mismatch) as caught:
        assert_conv(y + 1, x, w, bias, stride=2)
    assert isinstance(caught.value, AssertionError)
    assert caught.value.report.diagnosis[0].name == "bias-unknown"
    assert "diagnosis   bias-unknown: another bias than the one given is added" in str(caught.value)
    dw = convref.conv_weight_grad(x, y, (2,), stride=2, backend="numpy")
    assert_conv(dw, x, y, kind="weight_grad", stride=2)
    with pytest.raises(Mismatch, match="diagnosis   nothing known explains it"):
        assert_conv(np.random.default_rng(0).random(y.shape), x, w, bias, stride=2)
    with refused(WordError, "assert_conv: there is no word `strides`; did you mean `stride`?"):
        assert_conv(y, x, w, strides=2)
    case = ConvCase("forward", (1, 2, 4), (2, 2, 2))
    with refused(
        WordError,
        "ConvCase.assert_matches: `accumulate` (='float8') is not a dtype that sums are taken in; "
        "use one of float16, bfloat16, float32, float64, complex64, complex128, int32, int64",
    ):
        case.assert_matches(case.expected(), accumulate="float8")


def test_messages_of_cases():
    with refused(
        WordError,
        "ConvCase: `kind` (='backward') is unknown; use one of forward, transpose, input_grad, "
        "weight_grad, bias_grad",
    ):
        ConvCase("backward", (1, 2, 4), (2, 2, 2))
    with refused(
        DtypeError,
        "ConvCase: `dtype` (='int8') can't hold sums of 201 integers; use a wider dtype, or "
        "integers=False",
    ):
        ConvCase("forward", (1, 100, 4), (2, 100, 2), dtype="int8")
    with refused(
        DtypeError,
        "ConvCase: `dtype` (='float8') is not a dtype that NumPy knows; use a name such as "
        "'float32'",
    ):
        ConvCase("forward", (1, 2, 4), (2, 2, 2), dtype="float8")
    with refused(
        DtypeError, "ConvCase: `dtype` (='bool') is not a dtype that cases are made in; use one of "
        "float16, bfloat16, float32, float64, complex64, complex128, float8_e4m3fn, float8_e5m2, "
        "or integers",
    ):  # fmt: skip
        ConvCase("forward", (1, 2, 4), (2, 2, 2), dtype="bool")
    with pytest.raises(ShapeError, match="ConvCase: the output would be empty"):
        ConvCase("forward", (1, 2, 1), (2, 2, 2))


def test_messages_of_strategies():
    with refused(WordError, "conv_cases: `kernel` (=0) is no limit; use an integer of at least 1"):
        conv_cases(kernel=0)
    with refused(
        WordError,
        "conv_cases: `padding` (=('reflect',)) must be some of a few words; use ['valid', 'same', "
        "'same_lower', 'causal', 'ints', 'pairs', 'crop']",
    ):
        conv_cases(padding=("reflect",))
    with refused(
        WordError, "conv_cases: `ranks` (=(0,)) must be some integers; use integers of at least 1"
    ):
        conv_cases(ranks=(0,))


def test_without_hypothesis_it_says_what_to_install():
    script = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from convref.testing import assert_conv, ConvCase\n"
        "from convref import MissingExtraError\n"
        "try:\n    from convref.testing import conv_cases\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )
    root = Path(convref.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root
    )
    assert run.stdout == (
        "the package hypothesis is not installed; pip install 'convref[testing]'\n"
    )
    with pytest.raises(AttributeError, match=r"'convref\.testing' has no attribute 'convcases'"):
        _ = testing.convcases


# The sweep, against a framework that is convref itself.


class Honest:
    """Computes everything right."""

    LIMITS = ({"kinds": ("forward", "transpose"), "layouts": EVERYTHING["layouts"]},)

    @staticmethod
    def outputs(case):
        transposed = case.kind == "transpose"
        words, y = case.geometry_words, computed(case)
        if transposed:
            dx = convref.conv(case.dy, case.w, backend="numpy", **words)
            dw, db = convref.conv_vjp(case.dy, case.w, case.x, backend="numpy", **words)[1], None
        else:
            dx, dw, db = convref.conv_vjp(case.x, case.w, case.dy, backend="numpy", **words)
        return {"y": y, "dx": dx, "dw": dw, **({} if db is None else {"db": db})}


class Flipped(Honest):
    """Takes the kernel of grouped convolutions the other way round, where it has a gradient."""

    @staticmethod
    def outputs(case):
        outputs = Honest.outputs(case)
        if case.groups > 1:
            outputs["dw"] = outputs["dw"][..., ::-1]
        return outputs


class Picky(Honest):
    """Refuses strides."""

    @staticmethod
    def outputs(case):
        if max(case.stride) > 1:
            raise NotImplementedError("no strides")
        return Honest.outputs(case)


class Short(Honest):
    """Gives outputs that are too short, which then have no gradients."""

    @staticmethod
    def outputs(case):
        return {"y": computed(case)[..., :-1]}


@pytest.fixture
def against(monkeypatch):
    def run(peer, **words):
        monkeypatch.setattr(peers, "load", lambda name: (peer, "1.0"))
        return sweep("fake", **words)

    return run


def test_a_sweep_of_an_honest_framework(against):
    calls = []
    found = against(Honest, cases=60, seed=5, advance=lambda: calls.append(1))
    assert found.as_dict() == {"against": "fake 1.0", "seed": 5, "drawn": 60}
    assert len(calls) == 60
    assert all(report.ok for _, _, report in found.judged)
    assert {name for _, name, _ in found.judged} == {"y", "dx", "dw", "db"}
    verdicts = {report.verdict for _, _, report in found.judged}
    assert verdicts == {"exact", "within bound"}


def test_a_sweep_finds_the_smallest_wrong_case(against):
    found, again = (against(Flipped, cases=200, seed=7) for _ in range(2))
    assert found.minimal == again.minimal
    assert (found.minimal.kind, found.minimal.groups, found.minimal.seed) == ("forward", 2, 0)
    wrong = [(case.name, name, report) for case, name, report in found.judged if not report.ok]
    assert [(name, output) for name, output, _ in wrong] == [("fake-minimal", "dw")]
    assert wrong[0][2].diagnosis[0].name == "kernel-flipped"
    assert found.as_dict()["minimal"] == repr(found.minimal)


def test_a_sweep_judges_shapes(against):
    found = against(Short, cases=20, seed=1)
    assert found.minimal is not None
    assert found.judged[-1][2].diagnosis[0].name == "shape"


def test_a_sweep_counts_what_is_refused(against):
    found = against(Picky, cases=60, seed=5)
    assert found.refused > 5
    assert found.cases > 5
    assert found.as_dict()["refusal"] == "NotImplementedError: no strides"
    assert found.as_dict()["drawn"] == 60


class Flaky(Honest):
    """Wrong the first time, and right when it is asked again."""

    asked = 0

    @classmethod
    def outputs(cls, case):
        cls.asked += 1
        outputs = Honest.outputs(case)
        return {"y": outputs["y"] + 1} if cls.asked == 20 else outputs


def test_a_failure_that_does_not_come_again_is_kept(against):
    found = against(Flaky, cases=60, seed=5)
    assert found.minimal is not None
    assert not found.judged[-1][2].ok


def test_messages_of_the_sweep(against, monkeypatch):
    class Refuses(Honest):
        @staticmethod
        def outputs(case):
            raise TypeError("no")

    with refused(WordError, "sweep: `cases` (=0) must be at least 1; draw one or more"):
        sweep("torch", 0)
    with refused(
        WordError,
        "sweep: `against` (='caffe') is no framework that is known; use 'torch', 'jax', "
        "'keras', 'onnxruntime'",
    ):
        sweep("caffe")
    with monkeypatch.context() as patch:
        patch.setattr(peers, "find_spec", lambda package: None)
        with refused(
            MissingExtraError,
            "sweep: `against` (='onnxruntime') needs onnxruntime and onnx, not installed here; "
            "pip install onnxruntime onnx",
        ):
            sweep("onnxruntime")
    with refused(ConvrefError, "sweep: fake refused all 3 cases: TypeError: no"):
        against(Refuses, cases=3)
