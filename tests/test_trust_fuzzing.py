"""Drawn calls over the whole public surface: each is right, or refused by one of convref's errors.

CONVREF_FUZZ_CALLS says how many calls there are in all (2,000), CONVREF_FUZZ_SEED which (0). A call
that fails is named by its number, so that it can be drawn again.
"""

import contextlib
import faulthandler
import io
import os
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import oracles
import pytest
from drawn_calls import (
    Call,
    backward,
    consequences,
    drawn_call,
    nonsense,
    position,
    surface,
    value_of,
)
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from strategies import Problem, problems
from test_engine import GUISES

import convref
from convref import ConvrefError, layers, memory, threads
from convref.dialects import jax as lax
from convref.dialects import onnx
from convref.dialects import torch as nn
from convref.layer import Layer

CALLS = int(os.environ.get("CONVREF_FUZZ_CALLS", "2000"))
SEED = int(os.environ.get("CONVREF_FUZZ_SEED", "0"))
SECONDS = 60
"""Of the processor, that no call takes, compiling included."""
SMALL_MACHINE = 2**26
"""Bytes that the machine is said to have: what needs more is refused."""
LONGEST = 10_000
"""Characters of a message, which begins with the name that a layer was given."""
GROWTH = 2**30
"""Bytes by which the process may grow meanwhile."""


class Hang(BaseException):
    """A call took too long."""


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_bytes", lambda: SMALL_MACHINE)
    monkeypatch.setattr(threads, "_default", threads._default)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """No warning, no output, no hang."""

    def hang(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, hang)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(20 * SECONDS, exit=True)  # where no signal gets through
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("error")
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGPROF, before)


def attempt(call: Call, told: Counter[str]) -> Any:
    """What the call returns; None where it is refused as it may be."""
    refusal = None
    try:
        with watched():
            result = call()
    except ConvrefError as error:
        refusal = str(error)
    except (Exception, Hang) as error:
        if isinstance(error, Exception) and call.is_pythons(error):
            told["refused by Python"] += 1
            return None
        text = f"{call}: {type(error).__name__}: {error}, {position(error)}"
        raise AssertionError(text) from error
    if refusal is not None:
        assert 0 < len(refusal) < LONGEST, call
        told["refused"] += 1
        return None
    told["answered"] += 1
    return result


def resident() -> int:
    """Bytes of memory that the process has had at most."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="watches over calls as Linux does")
def test_any_call_is_answered_or_refused() -> None:
    """Every public name, with arguments of every kind."""
    names, told, before = list(surface().items()), Counter[str](), resident()
    assert len(names) > 200
    wrong = []
    for number in range(CALLS // 2):
        random = Random(f"{SEED}-{number}")
        call = drawn_call(random, *random.choice(names))
        try:
            result = attempt(call, told)
            for following in consequences(random, call, result):
                y = attempt(following, told)
                if isinstance(result, Layer) and isinstance(y, np.ndarray):
                    attempt(backward(random, result, y), told)
        except AssertionError as error:
            wrong.append(f"call {number} of seed {SEED}: {error}")
    print(dict(told))
    assert not wrong, "\n".join([f"{len(wrong)} calls, such as", *wrong[:20]])
    assert resident() - before < GROWTH
    assert min(told.values()) > CALLS // 100


# Of what is answered, what is right?

WRONG_WORDS = (
    "stride",
    "padding",
    "dilation",
    "input_dilation",
    "groups",
    "padding_mode",
    "layout",
)


def equal(found: Any, wanted: Any) -> None:
    np.testing.assert_array_equal(np.asarray(found), wanted)


def bare(p: Problem) -> bool:
    """Whether it pads with zeros and spreads nothing out, as transposed ones do."""
    return p.words["padding_mode"] == "zeros" and p.plan.input_dilation == (1,) * p.rank


def by_functions(p: Problem, dress: Callable[[Any], Any], how: dict[str, Any]) -> None:
    x, w, dy = map(dress, (p.x, p.w, p.dy))
    words, bias = {**p.words, **how}, p.bias()
    y = oracles.forward(p.x, p.w, bias, **p.words)
    equal(convref.conv(x, w, bias, **words), y)
    dx = oracles.input_grad(p.dy, p.w, p.input_size, **p.words)
    dw = oracles.weight_grad(p.x, p.dy, p.kernel, **p.words)
    equal(convref.conv_input_grad(dy, w, p.input_size, **words), dx)
    equal(convref.conv_weight_grad(x, dy, p.kernel, **words), dw)
    for found, wanted in zip(convref.conv_vjp(x, w, dy, **words), (dx, dw), strict=False):
        equal(found, wanted)
    if bare(p) and min(p.input_size) > 0:
        words = {**p.without("padding_mode", "input_dilation"), **how}
        equal(convref.conv_transpose(dy, w, output_size=p.input_size, **words), dx)


def by_matrices(p: Problem, dress: Callable[[Any], Any], how: dict[str, Any]) -> None:
    words = p.without("groups")
    if 0 in p.batch or 0 in p.input_size:  # whose shapes can't be told from the others
        return
    cols = convref.im2col(dress(p.x), p.kernel, **words)
    grouped = cols.reshape(*p.batch, p.groups, -1, cols.shape[-1])
    rows = p.w.reshape(p.groups, len(p.w) // p.groups, -1)
    y = oracles.channels_first(oracles.forward(p.x, p.w, **p.words), p.rank, p.words)
    equal((rows @ grouped).reshape(y.shape), y)
    dy = oracles.rows(p.channels_first(p.dy), p.plan)
    back = np.swapaxes(rows, -1, -2) @ dy
    dx = convref.col2im(back.reshape(*p.batch, -1, back.shape[-1]), p.input_size, p.kernel, **words)
    equal(dx, oracles.input_grad(p.dy, p.w, p.input_size, **p.words))
    matrix = convref.conv_matrix(dress(p.w), p.input_size, **p.words)
    if not p.batch:
        equal(matrix @ p.x.ravel(), oracles.forward(p.x, p.w, **p.words).ravel())
    geometry = convref.Geometry.of(p.input_size, p.kernel, **words)
    assert (geometry.output_size, geometry.padding) == (p.plan.output, p.plan.pads)


def by_layers(p: Problem, dress: Callable[[Any], Any], how: dict[str, Any]) -> None:
    layer = layers.Conv(p.channels, len(p.w), p.kernel, dtype="float64", **p.words)
    layer.weight.value[...], layer.bias.value[...] = p.w, p.bias()
    if not p.batch:
        return
    with convref.using_backend(how["backend"]):
        equal(layer(dress(p.x)), oracles.forward(p.x, p.w, p.bias(), **p.words))
        equal(layer.backward(p.dy), oracles.input_grad(p.dy, p.w, p.input_size, **p.words))
    equal(layer.weight.grad, oracles.weight_grad(p.x, p.dy, p.kernel, **p.words))


def by_dialects(p: Problem, dress: Callable[[Any], Any], how: dict[str, Any]) -> None:
    if p.words["padding_mode"] != "zeros" or p.rank > 3:
        return
    words, plan = {"padding_mode": "zeros", "groups": p.groups}, p.plan
    words |= {word: getattr(plan, word) for word in ("stride", "dilation", "input_dilation")}
    x, lead = p.channels_first(p.x), (int(np.prod(p.batch)),)
    x = np.ascontiguousarray(x).reshape(*lead, *x.shape[len(p.batch) :]).astype(np.float32)
    w = p.w.astype(np.float32)
    y = oracles.forward(x, w, **words, padding=plan.pads)
    with convref.using_backend(how["backend"]):
        equal(
            lax.conv_general_dilated(
                dress(x), dress(w), plan.stride, plan.pads, lhs_dilation=plan.input_dilation,
                rhs_dilation=plan.dilation, feature_group_count=p.groups,
            ),
            y,
        )  # fmt: skip
        if max(plan.input_dilation) > 1 or min(map(min, plan.pads)) < 0:
            return
        los, his = zip(*plan.pads, strict=True)
        strides, dilations = list(plan.stride), list(plan.dilation)
        equal(onnx.Conv(x, w, pads=[*los, *his], strides=strides, dilations=dilations,
                        group=p.groups), y)  # fmt: skip
        if los == his and 0 not in p.input_size:  # which PyTorch refuses
            conv = getattr(nn, f"conv{p.rank}d")
            equal(conv(x, w, None, plan.stride, los, plan.dilation, p.groups), y)


def by_verify(p: Problem, dress: Callable[[Any], Any], how: dict[str, Any]) -> None:
    y = oracles.forward(p.x, p.w, **p.words)
    if y.size:
        assert convref.verify(dress(y), p.x, p.w, **p.words).verdict == "exact"
        wrong = y.copy()
        wrong.flat[-1] += 1
        assert convref.verify(wrong, p.x, p.w, **p.words).verdict == "wrong"


WAYS = (by_functions, by_matrices, by_layers, by_dialects, by_verify)
PLAIN = {name: guise for name, guise in GUISES.items() if not name.startswith("__")}


def respelled(random: Random, words: dict[str, Any]) -> dict[str, Any]:
    """The same words, written otherwise."""
    spelled = {}
    for name, value in words.items():
        if type(value) is int:
            value = random.choice((value, np.int64(value), np.array(value), np.int8(value)))
        elif isinstance(value, str):
            value = random.choice((value, value.upper(), np.str_(value)))
        elif isinstance(value, tuple) and all(type(entry) is int for entry in value):
            value = random.choice((value, list(value), np.array(value), iter(value)))
        spelled[name] = value
    return spelled


@seed(SEED)
@settings(
    max_examples=max(50, CALLS // 8),
    derandomize=SEED == 0,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(p=problems(), way=st.sampled_from(WAYS), guise=st.sampled_from(sorted(PLAIN)),
       backend=st.sampled_from(convref.backends()))  # fmt: skip
def test_what_is_answered_is_right(p: Problem, way: Any, guise: str, backend: str) -> None:
    """In exact integers, by every door of the package: four calls on average."""
    with watched():
        way(p, PLAIN[guise], {"backend": backend})


@seed(SEED)
@settings(
    max_examples=max(50, CALLS // 16),
    derandomize=SEED == 0,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(p=problems(), number=st.integers(0, 2**32))
def test_back_ends_answer_alike_whatever_the_words(p: Problem, number: int) -> None:
    """Equal results, or the same refusal; words that only look different change nothing."""
    random = Random(number)
    respelling = respelled(random, p.words)
    equal(convref.conv(p.x, p.w, **respelling), oracles.forward(p.x, p.w, **p.words))
    words = {**p.words, random.choice(WRONG_WORDS): value_of(random, random.choice(nonsense()))}
    answers = []
    for backend in convref.backends():
        try:
            with watched():
                answers.append(convref.conv(p.x, p.w, **words, backend=backend).tolist())
        except ConvrefError as error:
            answers.append(str(error))
    assert answers == [answers[0]] * len(answers)
