"""convref's own layers against torch.nn with the same weights.

Where every intermediate number is a small dyadic fraction, results must be equal. Elsewhere they
may differ by the roundings that both sides make, in float64, which are counted beside each bound.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounding import gamma, unit_roundoff

from convref import layers, losses, optimisers
from convref.activations import HardSigmoid

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install convref[peers]")

Array = np.ndarray[Any, Any]
U = float(unit_roundoff(np.dtype(np.float64)))
RANKS = [1, 2, 3]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def integers(rng: np.random.Generator, *shape: int) -> Array:
    return rng.integers(-4, 5, shape).astype(np.float64)


def tensor(array: Array) -> Any:
    return torch.from_numpy(np.array(array))


def made(name: str, *args: Any, **words: Any) -> Any:
    return getattr(torch.nn, name)(*args, **words).double()


def share_weights(layer: Any, peer: Any, rng: np.random.Generator) -> None:
    """Small integers, of the shapes of the peer's."""
    for name, parameter in peer.named_parameters():
        value = integers(rng, *parameter.shape)
        ours = getattr(layer, name)
        assert ours.value.shape == value.shape
        ours.value = value
        parameter.data = tensor(value)


def assert_equal(
    layer: Any, peer: Any, x: Array, rng: np.random.Generator, scale: float = 1.0
) -> None:
    """Outputs and all gradients, for a dy of integers times the scale."""
    u = tensor(x).requires_grad_()
    y, z = layer(x), peer(u)
    np.testing.assert_array_equal(y, z.detach().numpy(), strict=True)
    assert layer.output_shape(x.shape) == y.shape
    dy = scale * integers(rng, *y.shape)
    z.backward(tensor(dy))
    np.testing.assert_array_equal(layer.backward(dy), u.grad.numpy(), strict=True)
    for name, parameter in peer.named_parameters():
        np.testing.assert_array_equal(getattr(layer, name).grad, parameter.grad.numpy())


# Weights: exact


CONV_WORDS: list[dict[str, Any]] = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": "same", "dilation": 2},
    {"stride": 3, "padding": 2, "dilation": 2, "groups": 2},
    {"bias": False, "groups": 4},
    *({"padding": 2, "padding_mode": mode} for mode in ("reflect", "replicate", "circular")),
]


@pytest.mark.parametrize("words", CONV_WORDS)
@pytest.mark.parametrize("rank", RANKS)
def test_conv(rank: int, words: dict[str, Any], rng: np.random.Generator) -> None:
    layer = getattr(layers, f"Conv{rank}d")(4, 8, 3, dtype="float64", **words)
    peer = made(f"Conv{rank}d", 4, 8, 3, **words)
    share_weights(layer, peer, rng)
    assert_equal(layer, peer, integers(rng, 2, 4, *(7,) * rank), rng)


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"stride": 3, "padding": 2, "dilation": 2, "groups": 2, "output_padding": 2},
        {"bias": False, "groups": 4},
    ],
)
@pytest.mark.parametrize("rank", RANKS)
def test_conv_transpose(rank: int, words: dict[str, Any], rng: np.random.Generator) -> None:
    layer = getattr(layers, f"ConvTranspose{rank}d")(4, 8, 3, dtype="float64", **words)
    peer = made(f"ConvTranspose{rank}d", 4, 8, 3, **words)
    share_weights(layer, peer, rng)
    assert_equal(layer, peer, integers(rng, 2, 4, *(4,) * rank), rng)


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("rank", RANKS)
def test_depthwise_is_grouped(rank: int, multiplier: int, rng: np.random.Generator) -> None:
    words: dict[str, Any] = {"stride": 2, "padding": 2, "dilation": 2}
    layer = getattr(layers, f"DepthwiseConv{rank}d")(
        4, 3, multiplier=multiplier, dtype="float64", **words
    )
    peer = made(f"Conv{rank}d", 4, 4 * multiplier, 3, groups=4, **words)
    share_weights(layer, peer, rng)
    assert_equal(layer, peer, integers(rng, 2, 4, *(7,) * rank), rng)


@pytest.mark.parametrize("rank", RANKS)
def test_separable_is_two(rank: int, rng: np.random.Generator) -> None:
    layer = getattr(layers, f"SeparableConv{rank}d")(
        4, 5, 3, multiplier=2, padding=1, dtype="float64"
    )
    depthwise = made(f"Conv{rank}d", 4, 8, 3, padding=1, groups=4, bias=False)
    pointwise = made(f"Conv{rank}d", 8, 5, 1)
    for name, (peer, which) in {
        "depthwise": (depthwise, "weight"),
        "weight": (pointwise, "weight"),
        "bias": (pointwise, "bias"),
    }.items():
        parameter = getattr(peer, which)
        value = integers(rng, *parameter.shape)
        getattr(layer, name).value = value
        parameter.data = tensor(value)
    x = integers(rng, 2, 4, *(5,) * rank)
    y, z = layer(x), pointwise(depthwise(tensor(x)))
    np.testing.assert_array_equal(y, z.detach().numpy())
    dy = integers(rng, *y.shape)
    z.backward(tensor(dy))
    layer.backward(dy)
    np.testing.assert_array_equal(layer.depthwise.grad, depthwise.weight.grad.numpy())
    np.testing.assert_array_equal(layer.weight.grad, pointwise.weight.grad.numpy())


@pytest.mark.parametrize("batch", [(), (5,), (2, 3), (0,)])
def test_linear(batch: tuple[int, ...], rng: np.random.Generator) -> None:
    layer, peer = layers.Linear(6, 4, dtype="float64"), made("Linear", 6, 4)
    share_weights(layer, peer, rng)
    assert_equal(layer, peer, integers(rng, *batch, 6), rng)


# Pooling: exact


@st.composite
def pools(draw: st.DrawFn, *, dilated: bool) -> tuple[int, dict[str, Any], tuple[int, ...]]:
    """Of kernels up to 3, padded by half of them at most, as PyTorch has it."""
    rank = draw(st.integers(1, 3))
    kernel = draw(st.tuples(*[st.integers(1, 3)] * rank))
    words: dict[str, Any] = {"kernel_size": kernel}
    words["padding"] = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    words["stride"] = draw(st.none() | st.tuples(*[st.integers(1, 3)] * rank))
    if dilated:
        words["dilation"] = draw(st.tuples(*[st.integers(1, 2)] * rank))
    return rank, words, draw(st.tuples(*[st.integers(5, 8)] * rank))


@given(pools(dilated=True), st.integers(0, 2**32 - 1))
def test_max_pool(drawn: Any, seed: int) -> None:
    """Of few values, so that many are equal: the first of them gets the gradient on both sides."""
    rank, words, size = drawn
    rng = np.random.default_rng(seed)
    layer = getattr(layers, f"MaxPool{rank}d")(**words)
    x = rng.integers(-1, 2, (2, 3, *size)).astype(np.float64)
    assert_equal(layer, getattr(torch.nn, f"MaxPool{rank}d")(**words), x, rng)


@given(pools(dilated=False), st.booleans(), st.integers(0, 2**32 - 1))
def test_avg_pool(drawn: Any, count_padding: bool, seed: int) -> None:
    """Sums are exact, and divided once; counts divide 36**rank, and so dy."""
    rank, words, size = drawn
    rng = np.random.default_rng(seed)
    layer = getattr(layers, f"AvgPool{rank}d")(**words, count_padding=count_padding)
    peer = getattr(torch.nn, f"AvgPool{rank}d")(**words, count_include_pad=count_padding)
    assert_equal(layer, peer, integers(rng, 2, 3, *size), rng, scale=36.0**rank)


@pytest.mark.parametrize("keep_axes", [True, False])
@pytest.mark.parametrize("rank", RANKS)
def test_global_avg_pool(rank: int, keep_axes: bool, rng: np.random.Generator) -> None:
    """Of values and a dy that the count divides."""
    count = 3 * 4 ** (rank - 1)
    adaptive = getattr(torch.nn, f"AdaptiveAvgPool{rank}d")(1)
    peer = adaptive if keep_axes else torch.nn.Sequential(adaptive, torch.nn.Flatten())
    x = count * integers(rng, 2, 5, 3, *(4,) * (rank - 1))
    assert_equal(layers.GlobalAvgPool(keep_axes=keep_axes), peer, x, rng, scale=count)


# Normalisation


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rank", RANKS)
def test_batch_norm(rank: int, training: bool, affine: bool, rng: np.random.Generator) -> None:
    """With numbers that make it exact, but for the running variance.

    Of 32 values a channel half are 3 above the mean and half below it, and the running variances
    are 9, 57 and 249: with an epsilon of 7 the roots are 4, 8 and 16.
    """
    words = {"momentum": 0.5, "affine": affine}
    layer = layers.BatchNorm(3, epsilon=7.0, dtype="float64", **words)
    peer = made(f"BatchNorm{rank}d", 3, eps=7.0, **words).train(training)
    share_weights(layer, peer, rng)
    layer.training = training
    if not training:
        mean, variance = integers(rng, 3), np.array([9.0, 57.0, 249.0])
        layer.running_mean.value, layer.running_variance.value = mean, variance
        peer.running_mean.copy_(tensor(mean))
        peer.running_var.copy_(tensor(variance))
    rows = rng.permuted([[3.0] * 16 + [-3.0] * 16] * 3, axis=1) + integers(rng, 3, 1)
    size = {1: (16,), 2: (4, 4), 3: (4, 2, 2)}[rank]
    x = np.moveaxis(rows.reshape(3, 2, *size), 0, 1)
    assert_equal(layer, peer, x, rng)
    np.testing.assert_array_equal(layer.running_mean.value, peer.running_mean.numpy())
    # The variance of a batch times m / (m - 1), or the sum divided by m - 1: a rounding or two.
    error = np.abs(layer.running_variance.value - peer.running_var.numpy())
    assert np.all(error <= (4 * U * peer.running_var.numpy() if training else 0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_norm_of_any_numbers(dtype: str, rng: np.random.Generator) -> None:
    """The bound that tests/test_layers_norm.py derives, for each side."""
    layer = layers.BatchNorm(3, dtype=dtype)
    peer = torch.nn.BatchNorm2d(3).to(getattr(torch, dtype))
    x = rng.normal(2, 3, (4, 3, 5, 6)).astype(dtype)
    y, z = layer(x), peer(tensor(x)).detach().numpy()
    wide = x.astype(np.longdouble)
    deviation = np.abs(wide - wide.mean((0, 2, 3), keepdims=True))
    slope = 1 / np.sqrt(wide.var((0, 2, 3), keepdims=True) + np.longdouble(1e-5))
    slack = gamma(np.array(2 * 120 + 16), unit_roundoff(np.dtype(dtype)))
    bound = slack * slope * (np.abs(wide).max() * (1 + deviation * slope) + deviation)
    assert np.all(np.abs(y - z) <= 2 * bound)
    means = np.abs(layer.running_mean.value - peer.running_mean.numpy())
    assert np.all(means <= 2 * slack * np.abs(wide).max())


# Upsampling


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("rank", RANKS)
def test_upsample(rank: int, mode: str, scale: int, rng: np.random.Generator) -> None:
    """By powers of two, where weights are dyadic fractions."""
    layer = getattr(layers, f"Upsample{rank}d")(scale, mode=mode)
    theirs = {"linear": ("linear", "bilinear", "trilinear")[rank - 1]}.get(mode, mode)
    corners = None if mode == "nearest" else False
    peer = torch.nn.Upsample(scale_factor=scale, mode=theirs, align_corners=corners)
    assert_equal(layer, peer, integers(rng, 2, 3, *(5, 3, 4)[:rank]), rng)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("scale", [2, 3, 5])
@pytest.mark.parametrize("rank", RANKS)
def test_upsample_by_thirds(
    rank: int, scale: int, align_corners: bool, rng: np.random.Generator
) -> None:
    """Weights that PyTorch finds as differences of positions, each up to the size of the input.

    A position below n, found by three roundings, is off by 3nu at most, and so are both weights of
    each axis; products of ``rank`` of them and their sums are rounded twice an axis on each side.
    """
    layer = getattr(layers, f"Upsample{rank}d")(scale, mode="linear", align_corners=align_corners)
    mode = ("linear", "bilinear", "trilinear")[rank - 1]
    peer = torch.nn.Upsample(scale_factor=scale, mode=mode, align_corners=align_corners)
    n = 5
    x = rng.uniform(-1, 1, (2, 3, *(n, 3, 4)[:rank]))
    u = tensor(x).requires_grad_()
    y, z = layer(x), peer(u)
    roundings = rank * (2 * 3 * n + 8) * U
    assert np.all(np.abs(y - z.detach().numpy()) <= roundings)
    dy = rng.uniform(-1, 1, y.shape)
    z.backward(tensor(dy))
    difference = np.abs(layer.backward(dy) - u.grad.numpy())
    seen = (2 * scale + 1) ** rank  # outputs that an input takes part in, and at most 2 at an edge
    assert np.all(difference <= 2 * seen * (roundings + seen * U))


# Activations


X = np.linspace(-15, 15, 1201)
EXACT = {
    "ReLU": (layers.ReLU(), torch.nn.ReLU()),
    "LeakyReLU": (layers.LeakyReLU(), torch.nn.LeakyReLU()),
    "LeakyReLU of 1/3": (layers.LeakyReLU(1 / 3), torch.nn.LeakyReLU(1 / 3)),
}
SMOOTH = {
    "ELU": (layers.ELU(), torch.nn.ELU()),
    "ELU of 2": (layers.ELU(2.0), torch.nn.ELU(2.0)),
    "GELU": (layers.GELU(), torch.nn.GELU()),
    "GELU by tanh": (layers.GELU(approximate=True), torch.nn.GELU(approximate="tanh")),
    "HardSigmoid": (HardSigmoid(), torch.nn.Hardsigmoid()),
    "Sigmoid": (layers.Sigmoid(), torch.nn.Sigmoid()),
    "SiLU": (layers.SiLU(), torch.nn.SiLU()),
    "Softplus": (layers.Softplus(), torch.nn.Softplus()),
    "Tanh": (layers.Tanh(), torch.nn.Tanh()),
}


def values_and_slopes(layer: Any, peer: Any, x: Array, dy: Array) -> tuple[Array, ...]:
    u = tensor(x).requires_grad_()
    z = peer(u)
    z.backward(tensor(dy))
    return layer(x), z.detach().numpy(), layer.backward(dy), u.grad.numpy()


@pytest.mark.parametrize("name", EXACT)
def test_activations_of_straight_lines(name: str) -> None:
    """Corners included, where both take the slope below."""
    y, z, dx, du = values_and_slopes(*EXACT[name], X, np.ones_like(X))
    np.testing.assert_array_equal(y, z)
    np.testing.assert_array_equal(dx, du)


@pytest.mark.parametrize("name", SMOOTH)
def test_activations(name: str) -> None:
    """An exponential is off by as many roundings as its argument is large; the rest are few.

    PyTorch subtracts from 1 what is nearly 1, so its error is one of 1, and of x where that is
    multiplied by x.
    """
    x = X if name != "HardSigmoid" else X[np.abs(np.abs(X) - 3) > 1e-3]  # it has corners
    y, z, dx, du = values_and_slopes(*SMOOTH[name], x, np.ones_like(x))
    argument = np.minimum(np.abs(x), 6) ** 3 if "GELU" in name else np.abs(x)
    bound = 16 * U * (1 + argument) * np.maximum(1, np.abs(z))
    assert np.all(np.abs(y - z) <= bound)
    if name == "HardSigmoid":  # PyTorch's slope is 1/6 in float32, whatever the dtype
        bound = bound + abs(float(np.float32(1 / 6)) - 1 / 6)
    assert np.all(np.abs(dx - du) <= bound)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax(axis: int, rng: np.random.Generator) -> None:
    """Exponentials of at most 10, sums of 7, a quotient."""
    x, dy = rng.uniform(-5, 5, (2, 5, 7, 7))
    y, z, dx, du = values_and_slopes(
        layers.Softmax(axis), torch.nn.Softmax(axis), x, rng.uniform(-1, 1, dy.shape)
    )
    assert np.all(np.abs(y - z) <= 2 * (10 + 7 + 8) * U * z)
    assert np.all(np.abs(dx - du) <= 2 * (10 + 7 + 16) * U * 2 * z)


# Losses


@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 5), (2, 4, 3, 2)])
@pytest.mark.parametrize("labels", ["classes", "probabilities"])
def test_cross_entropy(labels: str, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """Logarithms of at most 12, each of some 24 roundings; the mean of up to 15 of them."""
    x = rng.uniform(-5, 5, shape)
    if labels == "classes":
        given: Array = rng.integers(0, 4, shape[:1] + shape[2:])
    else:
        given = np.moveaxis(rng.dirichlet(np.ones(4), shape[:1] + shape[2:]), -1, 1)
    u = tensor(x).requires_grad_()
    loss = torch.nn.functional.cross_entropy(u, tensor(given))
    loss.backward()
    ours, gradient = losses.softmax_cross_entropy(x, given, axis=1)
    count = prod(shape) // 4
    assert abs(ours - loss.item()) <= 2 * 12 * (24 + count) * U
    assert np.all(np.abs(gradient - u.grad.numpy()) <= 2 * 32 * U / count)


def test_mean_squared_error(rng: np.random.Generator) -> None:
    """Exact, for 16 integers."""
    y, target = integers(rng, 2, 4, 4)
    u = tensor(y).requires_grad_()
    loss = torch.nn.functional.mse_loss(u, tensor(target))
    loss.backward()
    ours, gradient = losses.mean_squared_error(y, target)
    assert ours == loss.item()
    np.testing.assert_array_equal(gradient, u.grad.numpy())


# Optimisers


OPTIMISERS: dict[str, tuple[Any, dict[str, Any], Any, dict[str, Any]]] = {
    "sgd": (optimisers.SGD, {}, torch.optim.SGD, {}),
    "momentum": (optimisers.SGD, {"momentum": 0.5}, torch.optim.SGD, {"momentum": 0.5}),
    "nesterov": (
        optimisers.SGD,
        {"momentum": 0.5, "nesterov": True},
        torch.optim.SGD,
        {"momentum": 0.5, "nesterov": True},
    ),
    "weight decay": (
        optimisers.SGD,
        {"momentum": 0.9, "weight_decay": 0.1},
        torch.optim.SGD,
        {"momentum": 0.9, "weight_decay": 0.1},
    ),
    "adam": (
        optimisers.Adam,
        {"betas": (0.8, 0.99), "epsilon": 1e-6},
        torch.optim.Adam,
        {"betas": (0.8, 0.99), "eps": 1e-6},
    ),
    "adamw": (optimisers.AdamW, {}, torch.optim.AdamW, {}),
}
RATE, STEPS = 0.125, 20


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers(name: str, rng: np.random.Generator) -> None:
    """Twenty steps of a convolution, whose gradients, of integers, don't depend on its weights.

    The first three, with powers of two, are exact: each step adds a bit. Of the others a step is
    the rate times a quotient of moments (up to 8) or a momentum (up to 10 gradients), found on each
    side by some 16 roundings, which the factors below 1 of the recursions do not make larger; and
    the weight is rounded thrice.
    """
    kind, words, peer_kind, peer_words = OPTIMISERS[name]
    layer, peer = layers.Conv2d(2, 3, 3, dtype="float64"), made("Conv2d", 2, 3, 3)
    share_weights(layer, peer, rng)
    ours = kind(layer, RATE, **words)
    theirs = peer_kind(peer.parameters(), lr=RATE, **peer_words)
    largest = 0.0
    for step in range(1, STEPS + 1):
        x = integers(rng, 2, 2, 5, 5)
        y, z = layer(x), peer(tensor(x))
        dy = integers(rng, *y.shape)
        layer.backward(dy)
        theirs.zero_grad()
        z.backward(tensor(dy))
        ours.step()
        theirs.step()
        for which, peers in peer.named_parameters():
            value, parameter = peers.detach().numpy(), getattr(layer, which)
            largest = max(largest, np.abs(value).max(), np.abs(parameter.grad).max())
            exact = name in ("sgd", "momentum", "nesterov")
            slack = 0 if exact else step * 2 * (16 * 10 * RATE + 3) * largest * U
            assert np.all(np.abs(parameter.value - value) <= slack), step
