"""`verify_module` on Flax: modules of linen and of nnx."""

from typing import Any

import numpy as np
import pytest
from messages import refused

from convref import WordError, verify_module
from convref.verify.modules import ModuleResult

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install convref[peers]")
pytest.importorskip("flax", reason="Flax is not installed: pip install convref[peers]")
from flax import linen, nnx  # noqa: E402
from jax import lax  # noqa: E402

RANDOM = np.random.default_rng(10)
X = RANDOM.standard_normal((2, 7, 6, 4)).astype(np.float32)
ALL = ["y", "dx", "dw", "db"]
FLIPPED = {name: ["kernel-flipped"] for name in ALL[:3]}
SUPPORTED = (
    "supported are Conv and ConvTranspose of flax.linen and flax.nnx, and modules that contain them"
)


def filled(variables: Any) -> Any:
    """The variables with other numbers in the biases, which are 0 at first."""
    return jax.tree.map(lambda v: np.asarray(v) + RANDOM.standard_normal(v.shape) / 4, variables)


def of_linen(module: Any, x: Any = X, **words: Any) -> ModuleResult:
    variables = jax.tree.map(
        lambda v: v.astype(jax.numpy.float32), filled(module.init(jax.random.key(0), x))
    )
    return verify_module(module, x, params=variables, **words)


def named(result: ModuleResult) -> dict[str, list[str]]:
    return {name: [d.name for d in report.diagnosis] for name, report in result.wrong.items()}


FORWARD: tuple[dict[str, Any], ...] = (
    {},
    {"strides": (2, 1), "padding": "VALID", "use_bias": False},
    {"padding": "CIRCULAR", "kernel_dilation": (1, 2), "strides": 2},
    {"padding": "REFLECT", "feature_group_count": 2},
    {"padding": ((1, 2), (0, 1)), "input_dilation": 2},
    {"padding": 2, "strides": None},
    {"padding": (1, 0)},
)
TRANSPOSED: tuple[dict[str, Any], ...] = tuple(
    {"padding": padding, "strides": strides, "transpose_kernel": turned}
    for padding in ("SAME", "VALID", ((1, 2), (3, 0)), 1)
    for strides, turned in ((None, False), ((2, 3), False), ((2, 3), True))
)


@pytest.mark.parametrize("words", FORWARD, ids=str)
def test_convolutions(words: dict[str, Any]) -> None:
    result = of_linen(linen.Conv(6, (3, 2), **words))
    assert result.ok, result
    assert list(result) == ALL[: 3 + words.get("use_bias", True)]
    rngs = nnx.Rngs(0)
    assert verify_module(nnx.Conv(4, 6, (3, 2), **words, rngs=rngs), X).ok


@pytest.mark.parametrize("words", TRANSPOSED, ids=str)
def test_transposed_convolutions(words: dict[str, Any]) -> None:
    result = of_linen(linen.ConvTranspose(6, (3, 2), kernel_dilation=(1, 2), **words))
    assert result.ok, result
    assert list(result) == ALL
    assert verify_module(nnx.ConvTranspose(4, 6, (3, 2), **words, rngs=nnx.Rngs(0)), X).ok


def test_batch_axes_and_other_ranks() -> None:
    for x in (X[0], X[None], X[None, None]):
        assert of_linen(linen.Conv(6, (3, 3)), x).ok
    assert of_linen(linen.Conv(6, (3,), padding="CAUSAL", kernel_dilation=2), X).ok
    assert of_linen(linen.Conv(6, 3), X[0]).ok
    assert of_linen(linen.Conv(6, (2, 3, 2)), X[None]).ok
    assert of_linen(linen.ConvTranspose(6, (2, 3, 2), strides=(2, 1, 1)), X[None]).ok


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision(dtype: str) -> None:
    """With inputs of one sign, of which a sum is rounded by as much as may be."""
    for module in (linen.Conv(6, (3, 3), dtype=dtype), linen.ConvTranspose(6, (3, 3), dtype=dtype)):
        for x in (X, abs(X[..., :1])):
            result = of_linen(module, x)
            assert result.ok, result
            assert {report.dtype for report in result.values()} == {dtype}


class Net(linen.Module):  # type: ignore[misc]
    @linen.compact  # type: ignore[untyped-decorator]
    def __call__(self, x: Any, train: bool = False) -> Any:
        x = linen.relu(linen.BatchNorm(use_running_average=not train)(linen.Conv(4, (3, 3))(x)))
        shared = linen.Conv(4, (1, 1), name="shared")
        x = linen.jit(linen.Conv)(3, (2, 2))(shared(shared(x)))
        return linen.ConvTranspose(2, (2, 2), strides=(2, 2), name="up")(x)


def test_modules_of_linen() -> None:
    net = Net()
    variables = net.init(jax.random.key(0), X)
    names = ["Conv_0", "shared", "shared (call 2)", "JitConv_0", "up"]
    for result in (
        verify_module(net, X, params=variables),
        verify_module(net, X, True, params=variables),
        verify_module(net.bind(variables), X),
    ):
        assert result.ok, result
        assert list(dict.fromkeys(case.name for case, _, _ in result.judged)) == names
    conv = linen.Conv(6, (3, 3))
    weights = conv.init(jax.random.key(0), X)["params"]
    assert verify_module(conv, X, params=weights).ok
    assert conv.scope is None


class Deep(nnx.Module):  # type: ignore[misc]
    def __init__(self, rngs: Any) -> None:
        self.first = nnx.Conv(4, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.rest = nnx.List([nnx.Conv(8, 8, (1, 1), rngs=rngs), Flipped(8, 8, (3, 3), rngs=rngs)])

    def __call__(self, x: Any) -> Any:
        x = self.dropout(self.norm(self.first(x)))
        for layer in self.rest:
            x = layer(x)
        return x


class Flipped(nnx.Conv):  # type: ignore[misc]
    def __call__(self, x: Any) -> Any:
        kernel = self.kernel[...][::-1, ::-1]
        numbers = ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
        return y + self.bias[...]


def test_modules_of_nnx() -> None:
    net = Deep(nnx.Rngs(0))
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(net, nnx.Not(nnx.RngKey))))
    result = verify_module(net, X)
    assert named(result) == {f"rest.1 / {name}": found for name, found in FLIPPED.items()}
    assert list(dict.fromkeys(case.name for case, _, _ in result.judged)) == [
        "first",
        "rest.0",
        "rest.1",
    ]
    after = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(net, nnx.Not(nnx.RngKey))))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), before, after))
    assert type(net.first) is nnx.Conv
    assert not net.dropout.deterministic


class Linen(linen.Conv):  # type: ignore[misc]
    """A convolution with a flipped kernel, whose bias is left out."""

    @linen.compact  # type: ignore[untyped-decorator]
    def __call__(self, x: Any) -> Any:
        kernel = self.param("kernel", self.kernel_init, (3, 3, 4, self.features))
        self.param("bias", self.bias_init, (self.features,))
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel[::-1, ::-1], (1, 1), "SAME", dimension_numbers=numbers
        )


def test_mistakes_in_linen() -> None:
    result = of_linen(Linen(6, (3, 3)))
    assert named(result).keys() == {*ALL}
    assert set(named(result)["y"]) == {"kernel-flipped", "bias-missing"}
    assert named(result)["dx"] == ["kernel-flipped"]


def test_what_is_not_judged() -> None:
    nothing = "verify_module: there is nothing to judge in `module`"
    mask = np.ones((3, 3, 4, 6), np.float32)
    for module, name, reason in (
        (linen.Conv(6, (3, 3), mask=mask), "Conv", "its weights are masked"),
        (linen.ConvLocal(6, (3, 3)), "ConvLocal", "ConvLocal is not supported"),
        (
            linen.ConvTranspose(6, (3, 3), padding="CIRCULAR"),
            "ConvTranspose",
            "a transposed convolution with padding='CIRCULAR' is not supported",
        ),
    ):
        with refused(WordError, f"{nothing} ({name}): it: {reason}; {SUPPORTED}"):
            of_linen(module)
    mapped = linen.vmap(linen.Conv, variable_axes={"params": None}, split_rngs={"params": False})
    reason = "it is run inside of a transformation, on no numbers"
    with refused(WordError, f"{nothing} (VmapConv): it: {reason}; {SUPPORTED}"):
        of_linen(mapped(6, (3,)))
    with refused(WordError, f"{nothing} (Dense); {SUPPORTED}"):
        of_linen(linen.Dense(3))


def test_refusals() -> None:
    text = (
        "verify_module: a module of flax.linen does not hold its weights; pass params=variables, "
        "as `module.init` gave them, or module.bind(variables)"
    )
    with refused(WordError, text):
        verify_module(linen.Conv(6, (3, 3)), X)
    with refused(
        WordError, "verify_module: `params` are for modules of flax.linen; leave them out"
    ):
        verify_module(nnx.Conv(4, 6, (3, 3), rngs=nnx.Rngs(0)), X, params={})
    with refused(WordError, "verify_module: `stride` is read off the module; leave it out"):
        verify_module(nnx.Conv(4, 6, (3, 3), rngs=nnx.Rngs(0)), X, stride=2)
