"""Verdicts on live modules, without a framework: dispatch, refusals, the judging, the table.

What needs a framework is in tests/peers/test_verify_modules_*.py.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from messages import refused

import convref
from convref import ConvrefError, ShapeError, WordError, conv, conv_transpose, conv_vjp
from convref.verify.bounds import FORMATS
from convref.verify.html import as_html
from convref.verify.junit import as_junit
from convref.verify.modules import ModuleResult, framework_of, options_of, verify_module
from convref.verify.modules.live import (
    Convolution,
    Settings,
    Stored,
    Unjudged,
    drawn,
    examined,
    narrower,
    output_shape,
    running,
    stored,
)

UNKNOWN = (
    "pass a torch.nn.Module, a layer of Keras 3, a module of flax, or, with jax imported, a "
    "function of JAX; use `verify` for arrays"
)
SETTINGS = Settings("none", "1.0", gradients=True, accumulate=None, seed=0)
RANDOM = np.random.default_rng(5)
X = RANDOM.standard_normal((2, 4, 7, 7)).astype(np.float32)
W = RANDOM.standard_normal((6, 2, 3, 3)).astype(np.float32)
BIAS = RANDOM.standard_normal(6).astype(np.float32)
WORDS = {"stride": 2, "padding": "same", "groups": 2}


def test_names_of_the_package():
    assert convref.verify_module is verify_module
    from convref.verify import verify_module as other

    assert other is verify_module


def test_it_is_imported_when_it_is_asked_for():
    script = (
        "import sys, convref; before = 'convref.verify.modules' in sys.modules; "
        "convref.verify_module; print(before, 'convref.verify.modules' in sys.modules, "
        "*{'torch', 'jax', 'keras', 'flax', 'tensorflow'} & {*sys.modules})"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    assert run.stdout.split() == ["False", "True"]


# Dispatch


def made(package, name):
    """An object whose class is derived from one of this name, of this package."""
    base = type(name, (), {"__module__": f"{package}.somewhere"})
    return type("Own", (base,), {"__module__": "__main__"})()


@pytest.mark.parametrize(
    ("package", "name", "framework"),
    [
        ("torch", "Module", "torch"),
        ("keras", "Layer", "keras"),
        ("flax", "Module", "flax"),
    ],
)
def test_dispatch_by_base_classes(package, name, framework):
    assert framework_of(made(package, name)) == framework


def test_a_layer_of_keras_is_a_module_of_torch_too():
    torch = type("Module", (), {"__module__": "torch.nn"})
    layer = type("Layer", (torch,), {"__module__": "keras.src"})
    assert framework_of(layer()) == "keras"


def test_functions_are_those_of_jax(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", sys)
    assert framework_of(lambda x: x) == "jax"
    with refused(WordError, f"`module` (type) is not of a framework that is known; {UNKNOWN}"):
        framework_of(int)


@pytest.mark.parametrize("module", [3, "Conv2d", None, X, made("tf_keras", "Layer")])
def test_no_module(module):
    name = type(module).__name__
    text = f"verify_module: `module` ({name}) is not of a framework that is known; {UNKNOWN}"
    with refused(WordError, text):
        verify_module(module, X)


def test_functions_without_jax(monkeypatch):
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    with refused(WordError, f"`module` (function) is not of a framework that is known; {UNKNOWN}"):
        framework_of(test_no_module)


@pytest.mark.parametrize("framework", ["torch", "keras", "jax"])
def test_params_are_for_flax(framework):
    with refused(WordError, "`params` are for modules of flax.linen; leave them out"):
        options_of(framework, {}, None, {})


@pytest.mark.parametrize("framework", ["torch", "keras", "flax"])
def test_words_are_read_off_modules(framework):
    with refused(WordError, "`stride` is read off the module; leave it out"):
        options_of(framework, None, None, {"stride": 2})
    with refused(WordError, "`kind` is read off the module; leave it out"):
        options_of(framework, None, "transpose", {})


def test_kinds_of_functions():
    with refused(WordError, "`kind` (='dx') is unknown; use 'forward' or 'transpose'"):
        options_of("jax", None, "dx", {})
    assert options_of("jax", None, "forward", {}) == {"kind": "forward", "words": {}}


def test_what_a_framework_raises():
    text = "Layer can't be run on this input: KeyError: 'a b'; pass what a call of it takes"
    with refused(ConvrefError, text), running("Layer"):
        raise KeyError("a b")
    with refused(ShapeError, "no; yes"), running("Layer"):
        raise ShapeError("no", "yes")


# The judging


def found(**other):
    """A grouped convolution, as convref itself computes it."""

    def pull_back(dy):
        return dict(zip(("dx", "dw", "db"), map(stored, conv_vjp(X, W, dy, **WORDS)), strict=True))

    fields = {
        "name": "",
        "operator": "conv",
        "configuration": "conv(...)",
        "kind": "forward",
        "words": WORDS,
        "x": X,
        "w": W,
        "bias": BIAS,
        "y": stored(conv(X, W, BIAS, **WORDS)),
        "pull_back": pull_back,
    }
    return Convolution(**{**fields, **other})


def verdicts(convolution, **settings):
    entries = list(examined(convolution, 0, SETTINGS._replace(**settings)))
    assert not [entry for entry in entries if isinstance(entry, Unjudged)]
    return {name: report.verdict for _, name, report in entries}


def test_right_outputs():
    assert set(verdicts(found())) == {"y", "dx", "dw", "db"}
    assert "wrong" not in verdicts(found()).values()
    assert set(verdicts(found(), gradients=False)) == {"y"}


def test_each_wrong_output():
    assert verdicts(found(bias=BIAS + 1))["y"] == "wrong"
    right = found().pull_back
    for name in ("dx", "dw", "db"):

        def wrong(dy, name=name):
            gradients = right(dy)
            return {**gradients, name: stored(1.01 * gradients[name].array)}

        judged = verdicts(found(pull_back=wrong))
        assert [key for key, verdict in judged.items() if verdict == "wrong"] == [name]


def test_gradients_that_there_are_not():
    entries = list(examined(found(name="a", pull_back=None), 0, SETTINGS))
    assert entries[0] == Unjudged("a", "the framework gives no gradients of it")
    assert [name for _, name, _ in entries[1:]] == ["y"]


def test_gradients_are_not_asked_of_an_output_of_another_shape():
    y = stored(conv(X, W, BIAS, stride=2, groups=2))
    (entry,) = examined(found(y=y, pull_back=lambda dy: 1 / 0), 0, SETTINGS)
    assert [reason.name for reason in entry[2].diagnosis] == ["shape", "padding"]


def test_what_the_backward_pass_raises():
    first, *others = examined(found(pull_back=lambda dy: 1 / 0), 0, SETTINGS)
    assert first == Unjudged("", "its backward pass fails: ZeroDivisionError: division by zero")
    assert [name for _, name, _ in others] == ["y"]


def transposed(size, **other):
    y = conv_transpose(X, W[:4], None, stride=3, output_size=size)
    words = {"kind": "transpose", "words": {"stride": 3}, "w": W[:4], "bias": None}
    return found(y=stored(y), **words, **other)


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_sizes_of_transposed_outputs(extra):
    """Which `verify` takes from the output, a module says."""
    size = (21 + extra, 21 + extra)
    reports = {}
    for padding in (None, (1, 1), (extra, extra)):
        convolution = transposed(size, output_padding=padding)
        (entry,) = examined(convolution, 0, SETTINGS._replace(gradients=False))
        reports[padding] = entry[2]
    assert reports[None].ok
    assert reports[extra, extra].ok
    assert reports[1, 1].ok == (extra == 1)
    if extra != 1:
        (reason,) = reports[1, 1].diagnosis
        text = f"the output has the shape (2, 2, {21 + extra}, {21 + extra}); it should have "
        assert (reason.name, reason.text) == ("shape", f"{text}(2, 2, 22, 22)")


def test_sizes_that_no_transposed_output_has():
    convolution = transposed((21, 21))
    y = stored(np.zeros((2, 2, 9, 30), np.float32))
    assert output_shape(convolution._replace(y=y)) == (2, 2, 21, 23)
    assert verdicts(convolution._replace(y=y)) == {"y": "wrong"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64"])
def test_dy_is_exact_in_the_dtype(dtype):
    held = {"bfloat16": np.float32}.get(dtype, dtype)
    dy = drawn(Stored(np.empty((50, 20), held), dtype), (3, 0))
    assert dy.dtype == held
    bits = FORMATS[dtype].precision
    for part in (dy.real, dy.imag) if dy.dtype.kind == "c" else (dy,):
        significands = np.frexp(part.astype(np.float64))[0] * 2.0**bits
        assert (significands == np.rint(significands)).all()
        assert (significands % 2 == 1).any()  # and it has no fewer digits
        assert 0.9 < part.std() < 1.1
    again = drawn(Stored(np.empty((50, 20), held), dtype), (3, 0))
    other = drawn(Stored(np.empty((50, 20), held), dtype), (3, 1))
    assert (dy == again).all()
    assert (dy != other).mean() > 0.9


def test_the_narrower_format():
    assert narrower("float32", "bfloat16") == "bfloat16"
    assert narrower("float16", "float32") == "float16"
    assert narrower("int8", "float32") == "int8"


# The result


def result(*convolutions, unjudged=()):
    judged = [
        entry
        for number, convolution in enumerate(convolutions)
        for entry in examined(convolution, number, SETTINGS._replace(gradients=False))
    ]
    return ModuleResult("Net", "none 1.0", tuple(judged), unjudged)


def test_a_result_is_a_mapping():
    one = result(found())
    assert (list(one), len(one), one.ok, one.first_wrong) == (["y"], 1, True, None)
    assert one["y"].verdict in ("exact", "within bound")
    with pytest.raises(KeyError):
        one["dx"]
    several = result(found(name="a.0"), found(name="b", bias=BIAS + 1), found(name="c"))
    assert list(several) == ["a.0 / y", "b / y", "c / y"]
    assert (several.ok, several.first_wrong, list(several.wrong)) == (False, "b / y", ["b / y"])


def test_how_a_result_reads():
    y = found().y.array
    one = result(found(y=stored(y + BIAS[:, None, None])), unjudged=(Unjudged("", "why"),))
    assert repr(one).splitlines()[0] == "Net (none 1.0): 1 convolution, 1 wrong"
    assert repr(one).splitlines()[1].startswith("  y  wrong         bound used ")
    assert repr(one).splitlines()[2:] == [
        "    bias-doubled: the bias is added twice",
        "  not judged: it: why",
    ]


def test_how_a_long_result_reads():
    wrong = found(name="wrong", y=stored(RANDOM.standard_normal(found().y.array.shape)))
    lines = repr(result(*(found(name=f"c{i}") for i in range(9)), wrong)).splitlines()
    assert lines[0] == "Net (none 1.0): 10 convolutions, 1 wrong, the first is wrong"
    assert lines[1].startswith("  wrong / y  wrong         bound used ")
    assert lines[-1].startswith("  the other 9 outputs: within bound at worst, bound used 0.")
    lines = repr(result(*(found(name=f"c{i}") for i in range(9)))).splitlines()
    assert lines[0] == "Net (none 1.0): 9 convolutions, legitimate"
    assert lines[1].startswith("  all 9 outputs: within bound at worst, bound used 0.")


def test_an_explained_output_says_why():
    x, w, bias = (
        abs(array[..., :1, :1]).astype(np.float16) for array in (X, W, BIAS[:, None, None])
    )
    y = conv(x, w, groups=2) + bias  # which rounds twice
    lines = repr(result(found(x=x, w=w, bias=bias.ravel(), y=stored(y), words={"groups": 2})))
    assert lines.splitlines()[0] == "Net (none 1.0): 1 convolution, legitimate"
    assert lines.splitlines()[1].startswith("  y  explained     bound used 1.")
    reason = "the sum of products is rounded to float16 before the bias is added"
    assert lines.splitlines()[2:] == [f"    rounded-before-bias: {reason}"]


def test_other_forms_of_a_result():
    several = result(found(name="a"), found(name="b", bias=BIAS + 1))
    values = json.loads(several.to_json())
    assert (values["module"], values["not judged"], values["ok"]) == ("Net", {}, False)
    assert [case["name"] for case in values["cases"]] == ["a", "b"]
    assert 'failures="1"' in as_junit(several.judged)
    assert "conv(...)" in as_html(several.judged, {})
    assert replace(several, judged=several.judged[:1]).ok
