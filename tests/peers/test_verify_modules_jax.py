"""`verify_module` on functions of JAX: all convolutions of a function, or the function itself."""

from typing import Any

import numpy as np
import pytest
from messages import refused

from convref import ConvrefError, ShapeError, WordError, verify_module
from convref.verify.modules import ModuleResult

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install convref[peers]")
from jax import lax, numpy  # noqa: E402

RANDOM = np.random.default_rng(9)
X = RANDOM.standard_normal((2, 4, 7, 6)).astype(np.float32)
W = RANDOM.standard_normal((6, 4, 3, 3)).astype(np.float32)
BIAS = RANDOM.standard_normal(6).astype(np.float32)
LAST = X.transpose(0, 2, 3, 1), W.transpose(2, 3, 1, 0)
NUMBERS = ("NHWC", "HWIO", "NCHW")


def names_of(result: ModuleResult) -> list[str]:
    return list(dict.fromkeys(case.name for case, _, _ in result.judged))


def named(result: ModuleResult) -> dict[str, list[str]]:
    return {name: [d.name for d in report.diagnosis] for name, report in result.wrong.items()}


def strided(x: Any, w: Any) -> Any:
    return lax.conv_general_dilated(x, w, (2, 1), "SAME", dimension_numbers=NUMBERS)


# Every convolution of a function


WORDS: tuple[dict[str, Any], ...] = (
    {"padding": "VALID"},
    {"padding": ((1, 2), (-1, 0)), "lhs_dilation": (2, 1), "rhs_dilation": (1, 2)},
    {"padding": "SAME_LOWER", "feature_group_count": 2},
    {"padding": "SAME", "batch_group_count": 2},
)


@pytest.mark.parametrize("words", WORDS, ids=str)
def test_settings(words: dict[str, Any]) -> None:
    groups = words.get("feature_group_count", 1)
    w = LAST[1][:, :, : 4 // groups]
    settings = {"dimension_numbers": NUMBERS, "window_strides": (2, 1), **words}
    result = verify_module(lambda x, w: lax.conv_general_dilated(x, w, **settings), LAST[0], w)
    assert result.ok, result
    assert list(result) == ["y", "dx", "dw"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("preferred", [None, "float32"])
def test_low_precision(dtype: str, preferred: str | None) -> None:
    x, w = (numpy.asarray(abs(array), dtype) for array in (X, W))
    result = verify_module(
        lambda x, w: lax.conv(x, w, (1, 1), "SAME", preferred_element_type=preferred), x, w
    )
    assert result.ok, result
    assert result["y"].dtype == preferred or dtype
    assert result["dx"].dtype == dtype


def test_integers_have_no_gradients() -> None:
    x, w = (np.rint(4 * array).astype(np.int32) for array in (X, W))
    result = verify_module(lambda x, w: lax.conv(x, w, (1, 1), "VALID"), x, w)
    assert (result.ok, list(result), result["y"].verdict) == (True, ["y"], "exact")
    assert [it.reason for it in result.unjudged] == ["the framework gives no gradients of it"]


def test_complex_numbers() -> None:
    x, w = X + 1j * X[::-1], W - 1j * W[::-1]
    result = verify_module(lambda x, w: lax.conv(x, w, (1, 1), "VALID"), x, w)
    assert result.ok, result
    assert result["dw"].dtype == "complex64"


def test_no_spatial_axis() -> None:
    result = verify_module(lambda x, w: lax.conv(x, w, (), "VALID"), X[:, :, 0, 0], W[:, :, 0, 0])
    assert result.ok, result
    assert list(result) == ["y", "dx", "dw"]


def test_inside_of_transformations() -> None:
    """jit, remat, scan, cond, vmap and grad: of all of them each convolution is seen."""

    def net(x: Any, w: Any) -> Any:
        x = jax.jit(lambda x: lax.conv(x, w, (1, 1), "SAME"))(x)
        x = jax.checkpoint(lambda x: jax.nn.relu(lax.conv(x, w, (1, 1), "SAME")))(x)
        x, _ = lax.scan(lambda x, _: (lax.conv(x, w, (1, 1), "SAME"), None), x, None, length=2)
        x = lax.cond(True, lambda: lax.conv(x, w, (1, 1), "SAME"), lambda: x)
        return jax.vmap(lambda x: lax.conv(x[None], w, (1, 1), "SAME"))(x).sum()

    w = W[:4, :, :2, :2]
    result = verify_module(jax.jit(net), X, w)
    assert result.ok, result
    assert names_of(result) == [f"convolution {number}" for number in range(1, 7)]
    assert len(names_of(verify_module(jax.grad(net), X, w, gradients=False))) > 12
    assert jax.jit(net)(X, w).shape == ()  # nothing of this is left behind


def test_a_function_stays_as_it_is_where_it_fails() -> None:
    primitive = jax.extend.core.primitives.conv_general_dilated_p
    before = primitive.impl

    def failing(x: Any) -> Any:
        raise KeyError("one")

    text = "verify_module: failing can't be run on this input: KeyError: 'one'; pass what a call"
    with refused(ConvrefError, f"{text} of it takes"):
        verify_module(failing, X)
    assert primitive.impl is before


def test_functions_without_convolutions() -> None:
    text = "verify_module: there is nothing to judge in `module` (tanh); supported are functions "
    with refused(WordError, f"{text}that call jax.lax.conv_general_dilated, by whatever name"):
        verify_module(numpy.tanh, X)


def test_empty_outputs() -> None:
    text = (
        "verify_module: there is nothing to judge in `module` (empty): it: there is nothing that "
        "it sums; supported are functions that call jax.lax.conv_general_dilated, by whatever name"
    )

    def empty(x: Any, w: Any) -> Any:
        return lax.conv(x, w, (1, 1), "VALID")

    with refused(WordError, text):
        verify_module(empty, X[:, :, :2], W)


# A function by words


def test_a_function_of_x_and_w() -> None:
    def convolve(x: Any, w: Any, bias: Any) -> Any:
        y = strided(x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0))
        return y + bias[:, None, None]

    for function in (convolve, jax.jit(convolve)):
        result = verify_module(function, X, W, BIAS, stride=(2, 1), padding="same")
        assert result.ok, result
        assert list(result) == ["y", "dx", "dw", "db"]
    result = verify_module(lambda x, w: lax.conv(x, w, (1, 1), "VALID"), X, W, kind="forward")
    assert (result.ok, list(result)) == (True, ["y", "dx", "dw"])


def test_a_transposed_function() -> None:
    def transpose(x: Any, w: Any) -> Any:
        return lax.conv_transpose(
            x, w, (2, 2), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"), transpose_kernel=True
        )

    w = W.transpose(1, 0, 2, 3).copy()
    words = {"kind": "transpose", "stride": 2, "padding": "same"}
    assert verify_module(transpose, X, w, **words).ok
    wrong = verify_module(lambda x, w: transpose(x, w[..., ::-1]), X, w, **words)
    assert set(named(wrong)) == {"y", "dx", "dw"}


def test_planted_mistakes() -> None:
    def same(x: Any, w: Any, bias: Any) -> Any:
        return lax.conv(x, w, (1, 1), "SAME") + bias[:, None, None]

    words = {"padding": "same"}
    flipped = ["kernel-flipped"]
    assert verify_module(same, X, W, BIAS, **words).ok
    result = verify_module(lambda x, w, b: same(x, w[..., ::-1, ::-1], b), X, W, BIAS, **words)
    assert named(result) == {"y": flipped, "dx": flipped, "dw": flipped}
    result = verify_module(lambda x, w, b: same(x, w, 0 * b), X, W, BIAS, **words)
    assert named(result).keys() == {"y", "db"}
    assert named(result)["y"] == ["bias-missing"]
    result = verify_module(lambda x, w, b: same(x, w, b), X, W, BIAS, padding="valid")
    assert list(named(result)) == ["y"]
    assert named(result)["y"][0] == "shape"


def test_a_gradient_of_ones_own() -> None:
    @jax.custom_vjp  # type: ignore[untyped-decorator]
    def convolve(x: Any, w: Any) -> Any:
        return lax.conv(x, w, (1, 1), "SAME")

    def forward(x: Any, w: Any) -> Any:
        return jax.vjp(lambda x, w: lax.conv(x, w, (1, 1), "SAME"), x, w)

    convolve.defvjp(forward, lambda back, dy: (back(dy)[0], 2 * back(dy)[1]))
    assert named(verify_module(convolve, X, W, padding="same")) == {"dw": ["accumulated-twice"]}


def test_refusals() -> None:
    def convolve(x: Any, w: Any) -> Any:
        return lax.conv(x, w, (1, 1), "SAME")

    text = (
        "verify_module: a function that is judged by words takes x, w and perhaps a bias, not 1 "
        "arrays; close over the others"
    )
    with refused(WordError, text):
        verify_module(convolve, X, stride=1)
    with refused(WordError, "verify_module: there is no word `strides`; did you mean `stride`?"):
        verify_module(convolve, X, W, strides=1)  # type: ignore[call-arg]
    with refused(
        WordError, "verify_module: `params` are for modules of flax.linen; leave them out"
    ):
        verify_module(convolve, X, W, params={})
    with pytest.raises(ShapeError):
        verify_module(convolve, X, W, stride=1, groups=3)
