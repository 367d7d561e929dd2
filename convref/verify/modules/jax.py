"""JAX: a function that is a convolution, or every convolution that a function computes.

Those are met where they are run: without compilation each operation is called on arrays, also
inside of jit, vmap, grad, scan or remat.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.extend.core.primitives import conv_general_dilated_p

from convref.dialects.jax.call import Call, by_channels, translated
from convref.errors import WordError
from convref.spec import Words
from convref.verify.modules.live import (
    Array,
    Convolution,
    Found,
    Stored,
    Unjudged,
    running,
    stored,
)

VERSION: str = jax.__version__
SUPPORTED = "functions that call jax.lax.conv_general_dilated, by whatever name"
NAMES = ("dx", "dw", "db")


def convolutions(
    function: Any, inputs: tuple[Any, ...], kind: str | None, words: Words
) -> Iterator[Found]:
    """The function itself where words are given; else all convolutions that it computes."""
    if kind is not None or words:
        yield whole(function, inputs, kind or "forward", words)
        return
    calls: list[tuple[Any, Any, dict[str, Any]]] = []
    compute = conv_general_dilated_p.impl

    def note(lhs: Any, rhs: Any, **settings: Any) -> Any:
        calls.append((lhs, rhs, settings))
        return compute(lhs, rhs, **settings)

    conv_general_dilated_p.impl = note
    try:
        with jax.disable_jit(), running(named(function)):
            function(*inputs)
    finally:
        conv_general_dilated_p.impl = compute
    for number, (lhs, rhs, settings) in enumerate(calls, 1):
        name = f"convolution {number}" if len(calls) > 1 else ""
        yield single(name, lhs, rhs, settings)


def named(function: Any) -> str:
    """What a function is called."""
    return getattr(function, "__name__", type(function).__name__)


def vjp(function: Callable[..., Any], operands: list[Any]) -> tuple[Any, Any]:
    """What a function gives, and what takes its dy to the gradients of the operands."""
    y, pull_back = jax.vjp(function, *operands)
    return y, lambda dy: pull_back(jax.numpy.asarray(dy, y.dtype))


def whole(function: Any, inputs: tuple[Any, ...], kind: str, words: Words) -> Convolution:
    """A function of x, w and perhaps a bias, with all three in convref's layout."""
    if len(inputs) not in (2, 3):
        raise WordError(
            f"a function that is judged by words takes x, w and perhaps a bias, not {len(inputs)} "
            "arrays",
            "close over the others",
        )
    with running(named(function)):
        operands = list(map(jax.numpy.asarray, inputs))
        y, pull_back = vjp(function, operands)

    def gradients(dy: Array) -> dict[str, Stored]:
        found = map(np.asarray, pull_back(dy))
        return dict(zip(NAMES, map(stored, found), strict=False))

    x, w, *bias = (stored(np.asarray(operand)).array for operand in operands)
    return Convolution(
        name="",
        operator="function",
        configuration=named(function),
        kind=kind,
        words=words,
        x=x,
        w=w,
        bias=bias[0] if bias else None,
        y=stored(np.asarray(y)),
        pull_back=gradients if differentiable(y, *operands) else None,
    )


def differentiable(*arrays: Any) -> bool:
    """Whether JAX has gradients for these arrays."""
    return all(jax.numpy.issubdtype(array.dtype, jax.numpy.inexact) for array in arrays)


def single(name: str, lhs: Any, rhs: Any, settings: dict[str, Any]) -> Found:
    """One convolution, by what JAX was told of it."""
    call = translated(
        np.asarray(lhs),
        np.asarray(rhs),
        settings["window_strides"],
        settings["padding"],
        settings["lhs_dilation"],
        settings["rhs_dilation"],
        settings["dimension_numbers"],
        settings["feature_group_count"],
        settings["batch_group_count"],
        None,  # the precision, which convref has all of
        settings["preferred_element_type"],
        None,
    )
    if call.sums_nothing:
        return Unjudged(name, "there is nothing that it sums")
    y, pull_back = vjp(partial(conv_general_dilated_p.bind, **settings), [lhs, rhs])
    return Convolution(
        name=name,
        operator="conv_general_dilated",
        configuration=f"conv_general_dilated({described(settings)})",
        kind="forward",
        words=words_of(call),
        x=stored(call.x).array,
        w=stored(call.w).array,
        bias=None,
        y=stored(ordered(y, call.numbers.out_spec)),
        pull_back=partial(gradients, call, pull_back) if differentiable(y, lhs, rhs) else None,
    )


def described(settings: dict[str, Any]) -> str:
    """The settings as they are written, without those that say nothing."""
    return ", ".join(f"{key}={value}" for key, value in settings.items() if value is not None)


def words_of(call: Call) -> Words:
    """The words of a spec."""
    spec = call.spec
    return {
        "stride": spec.stride,
        "padding": spec.padding,
        "dilation": spec.dilation,
        "input_dilation": spec.input_dilation,
        "groups": spec.groups,
    }


def ordered(array: Any, axes: Any) -> Array:
    """An array with its axes in convref's order, and at least one spatial axis."""
    turned = np.asarray(array).transpose(axes)
    return turned if turned.ndim > 2 else turned[..., None]


def gradients(call: Call, pull_back: Any, dy: Array) -> dict[str, Stored]:
    """What jax.vjp makes of dy, in convref's layout."""
    lhs_spec, rhs_spec, out_spec = call.numbers
    dy = dy if len(out_spec) > 2 else dy[..., 0]
    dlhs, drhs = pull_back(dy.transpose(np.argsort(out_spec)))
    dx = by_channels(ordered(dlhs, lhs_spec), call.batches)
    return {"dx": stored(dx), "dw": stored(ordered(drhs, rhs_spec))}
