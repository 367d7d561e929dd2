"""The torch dialect against PyTorch itself: same arguments, same numbers, same refusals.

Numbers are small integers, so every sum is exact in every dtype, whatever its order.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod, sqrt
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from convref import ConvrefError, ShapeError
from convref.dialects import torch as nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install convref[peers]")

pytestmark = [
    # What PyTorch says about its own ways with even kernels, empty weights and lazy layers.
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
    pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning"),
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),
]

MODES = ("zeros", "reflect", "replicate", "circular")
MOST_PRODUCTS = 20_000
Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensor(array: Array, requires_grad: bool = False) -> Any:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(array.copy()).requires_grad_(requires_grad)


def array_of(value: Any) -> Array:
    if value.dtype == torch.bfloat16:
        return value.detach().to(torch.float32).numpy().astype(ml_dtypes.bfloat16)
    return value.detach().numpy()


def assert_same(ours: Array, theirs: Any) -> None:
    expected = array_of(theirs)
    assert ours.dtype == expected.dtype
    np.testing.assert_array_equal(ours, expected, strict=True)


def converted(value: Any) -> Any:
    """Arrays as tensors."""
    if isinstance(value, dict):
        return {name: converted(item) for name, item in value.items()}
    return tensor(value) if isinstance(value, np.ndarray) else value


def at(module: Any, name: str) -> Any:
    return getattr(module, name)


def integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float64) -> Array:
    values = rng.integers(-3, 4, shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.integers(-3, 4, shape)
    return values.astype(dtype)


# What is drawn


@dataclass
class Problem:
    """Arguments that a convolution takes, and the sizes of an input."""

    rank: int
    words: dict[str, Any]
    kernel: tuple[int, ...]
    size: tuple[int, ...]
    batch: tuple[int, ...]
    channels: int
    filters: int
    seed: int

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    @property
    def groups(self) -> int:
        return self.words["groups"]


def numbers(rank: int, least: int, most: int) -> st.SearchStrategy[Any]:
    """One number, or one for each axis."""
    one = st.integers(least, most)
    return one | st.tuples(*[one] * rank) | st.lists(one, min_size=rank, max_size=rank)


def each(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


@st.composite
def problems(draw: st.DrawFn, *, transposed: bool = False, modes: Any = ("zeros",)) -> Problem:
    rank = draw(st.integers(1, 3))
    kernel = draw(st.tuples(*[st.integers(1, 4 if rank < 3 else 3)] * rank))
    stride, dilation = draw(numbers(rank, 1, 3)), draw(numbers(rank, 1, 3))
    windows = [(k - 1) * d + 1 for k, d in zip(kernel, each(dilation, rank), strict=True)]
    mode = draw(st.sampled_from(modes))
    padding: Any = draw(numbers(rank, 0, 4) if transposed or mode != "zeros" else paddings(rank))
    if padding == "same":
        stride = draw(st.sampled_from((1, (1,) * rank)))
    pads = (0,) * rank if isinstance(padding, str) else each(padding, rank)
    surplus = draw(st.tuples(*[st.integers(0, 4)] * rank))
    size = tuple(
        max(1, (1 if transposed or padding == "same" else window - 2 * pad) + more)
        for window, pad, more in zip(windows, pads, surplus, strict=True)
    )
    groups, inside, multiplier = (draw(st.integers(1, 3)) for _ in range(3))
    words = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if mode != "zeros":
        words["padding_mode"] = mode
    if transposed:
        steps = map(max, each(stride, rank), each(dilation, rank))
        words["output_padding"] = draw(st.tuples(*(st.integers(0, step - 1) for step in steps)))
    batch = draw(st.sampled_from([(), (0,), (1,), (2,), (17,)]))
    products = prod(batch) * prod(size) * prod(kernel) * inside * multiplier * groups
    assume(products <= MOST_PRODUCTS)
    return Problem(
        rank, words, kernel, size, batch, groups * inside, groups * multiplier,
        draw(st.integers(0, 2**32 - 1)),
    )  # fmt: skip


def paddings(rank: int) -> st.SearchStrategy[Any]:
    return numbers(rank, 0, 4) | st.sampled_from(("same", "valid"))


def outcome(call: Callable[..., Any], *args: Any, **words: Any) -> Any:
    """The result, or the exception."""
    try:
        return call(*args, **words)
    except Exception as error:
        return error


def assert_alike(ours: Any, theirs: Any, about: object = "") -> None:
    """Equal arrays, or errors of one class, which is PyTorch's and convref's."""
    if isinstance(theirs, Exception):
        assert isinstance(ours, type(theirs)), f"{about}: {ours!r} is not {theirs!r}"
        assert isinstance(ours, ConvrefError), f"{about}: {ours!r}"
    elif not theirs.numel() and isinstance(ours, ShapeError):
        assert "would be empty" in str(ours)  # PyTorch allows this on some of its paths
    else:
        assert not isinstance(ours, Exception), f"{about}: {ours!r}"
        assert_same(ours, theirs)


# Functions


@given(problems(), st.sampled_from([np.float32, np.float64]))
def test_conv(problem: Problem, dtype: Any) -> None:
    rank, words, rng = problem.rank, problem.words, problem.rng
    x = integers(rng, (*problem.batch, problem.channels, *problem.size), dtype)
    w = integers(rng, (problem.filters, problem.channels // problem.groups, *problem.kernel), dtype)
    b = integers(rng, (problem.filters,), dtype)
    inputs = [tensor(array, requires_grad=True) for array in (x, w, b)]
    y = outcome(at(torch.nn.functional, f"conv{rank}d"), *inputs, **words)
    ours = outcome(at(nn, f"conv{rank}d"), x, w, b, **words)
    assert_alike(ours, y)
    if isinstance(ours, Exception) or not problem.batch or isinstance(words["padding"], str):
        return
    dy = integers(rng, ours.shape, dtype)
    y.backward(tensor(dy))
    dx = getattr(nn, f"conv{rank}d_input")(x.shape, w, dy, **words)
    dw = getattr(nn, f"conv{rank}d_weight")(x, w.shape, dy, **words)
    assert_same(dx, inputs[0].grad)
    assert_same(dw, inputs[1].grad)
    peers = torch.nn.grad
    named = getattr(peers, f"conv{rank}d_input")(x.shape, inputs[1], tensor(dy), **words)
    assert_same(dx, named)
    named = getattr(peers, f"conv{rank}d_weight")(inputs[0], w.shape, tensor(dy), **words)
    assert_same(dw, named)


@given(problems(transposed=True), st.sampled_from([np.float32, np.float64]))
def test_conv_transpose(problem: Problem, dtype: Any) -> None:
    rank, words, rng = problem.rank, problem.words, problem.rng
    x = integers(rng, (*problem.batch, problem.channels, *problem.size), dtype)
    w = integers(rng, (problem.channels, problem.filters // problem.groups, *problem.kernel), dtype)
    b = integers(rng, (problem.filters,), dtype)
    name = f"conv_transpose{rank}d"
    theirs = outcome(at(torch.nn.functional, name), *map(tensor, (x, w, b)), **words)
    ours = outcome(at(nn, name), x, w, b, **words)
    assert_alike(ours, theirs)


FLOATS = ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
def test_dtypes(dtype: str, rank: int, rng: np.random.Generator) -> None:
    x, w, dy = (
        integers(rng, shape, dtype)
        for shape in ((2, 4, *(5,) * rank), (4, 4, *(3,) * rank), (2, 4, *(3,) * rank))
    )
    for module, name, *args in (
        (torch.nn.functional, f"conv{rank}d", x, w),
        (torch.nn.functional, f"conv_transpose{rank}d", x, w),
        (torch.nn.grad, f"conv{rank}d_input", x.shape, w, dy),
        (torch.nn.grad, f"conv{rank}d_weight", x, w.shape, dy),
    ):
        theirs = outcome(at(module, name), *map(converted, args))
        assert_alike(outcome(at(nn, name), *args), theirs, name)


def test_integers_wrap_alike(rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (2, 40, 9, 9)).astype(np.uint8)
    w = rng.integers(0, 256, (5, 40, 3, 3)).astype(np.uint8)
    assert_same(nn.conv2d(x, w), torch.conv2d(tensor(x), tensor(w)))


@st.composite
def column_problems(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, ...], int]:
    words = {
        "kernel_size": draw(numbers(2, 1, 4)),
        "dilation": draw(numbers(2, 1, 3)),
        "padding": draw(numbers(2, 0, 3)),
        "stride": draw(numbers(2, 1, 3)),
    }
    batch = draw(st.sampled_from([(), (0,), (1,), (3,)]))
    shape = (*batch, draw(st.integers(1, 3)), *draw(st.tuples(*[st.integers(1, 9)] * 2)))
    return words, shape, draw(st.integers(0, 2**32 - 1))


@given(column_problems(), st.sampled_from(["float32", "float64", "float16", "complex64", "bool"]))
def test_unfold_and_fold(problem: Any, dtype: str) -> None:
    words, shape, seed = problem
    rng = np.random.default_rng(seed)
    x = integers(rng, shape, dtype)
    theirs = outcome(torch.nn.functional.unfold, tensor(x), **words)
    assert_alike(outcome(nn.unfold, x, **words), theirs)
    assert_alike(outcome(nn.Unfold(**words), x), theirs)
    if isinstance(theirs, Exception):
        return
    cols = integers(rng, tuple(theirs.shape), dtype)
    size = shape[-2:]
    theirs = torch.nn.functional.fold(tensor(cols), size, **words)
    assert_same(nn.fold(cols, size, **words), theirs)
    fold = nn.Fold(size, **words)
    assert_same(fold(cols), theirs)
    assert fold.output_shape(cols.shape) == theirs.shape
    assert nn.Unfold(**words).output_shape(x.shape) == cols.shape
    if dtype == "float64":
        v = tensor(cols, requires_grad=True)
        torch.nn.functional.fold(v, size, **words).backward(tensor(x))
        assert_same(fold.backward(x), v.grad)
        unfold, u = nn.Unfold(**words), tensor(x, requires_grad=True)
        unfold(x)
        torch.nn.functional.unfold(u, **words).backward(tensor(cols))
        assert_same(unfold.backward(cols), u.grad)


# Layers


def pair(name: str, *args: Any, dtype: str = "float64", **words: Any) -> tuple[Any, Any]:
    """A layer of each, with the same weights: small integers."""
    theirs = at(torch.nn, name)(*args, dtype=getattr(torch, dtype), **words)
    ours = at(nn, name)(*args, dtype=dtype, **words)
    assert repr(ours) == repr(theirs)
    give_same_weights(ours, theirs)
    return ours, theirs


def give_same_weights(ours: Any, theirs: Any) -> None:
    rng = np.random.default_rng(5)
    named = theirs.state_dict()
    assert {name: value.shape for name, value in named.items()} == {
        name: value.shape for name, value in ours.state_dict().items()
    }
    state = {name: integers(rng, tuple(value.shape), ours.dtype) for name, value in named.items()}
    assert ours.load_state_dict(state) == ([], [])
    theirs.load_state_dict({name: tensor(value) for name, value in state.items()})


def assert_layers_agree(ours: Any, theirs: Any, x: Array, **options: Any) -> None:
    """Outputs, and gradients of the input and of all parameters; or the refusal."""
    u = tensor(x, requires_grad=True)
    y = outcome(theirs, u, **options)
    found = outcome(ours, x, **options)
    assert_alike(found, y, theirs)
    if isinstance(found, Exception):
        return
    if not options and ours.in_channels:
        assert ours.output_shape(x.shape) == tuple(y.shape)
    dy = integers(np.random.default_rng(6), found.shape, found.dtype)
    theirs.zero_grad()
    y.backward(tensor(dy))
    assert_same(ours.backward(dy), u.grad)
    for name, parameter in theirs.named_parameters():
        assert_same(getattr(ours, name).grad, parameter.grad)


@given(problems(modes=MODES), st.booleans(), st.sampled_from(["float32", "float64"]))
def test_conv_layers(problem: Problem, bias: bool, dtype: str) -> None:
    name = f"Conv{problem.rank}d"
    args = problem.channels, problem.filters, problem.kernel
    ours, theirs = pair(name, *args, bias=bias, dtype=dtype, **problem.words)
    x = integers(problem.rng, (*problem.batch, problem.channels, *problem.size), dtype)
    assert_layers_agree(ours, theirs, x)
    made = getattr(nn, name)(**nn.get_config(ours)["config"])
    assert repr(made) == repr(theirs)


@given(problems(transposed=True), st.booleans(), st.sampled_from(["float32", "float64"]))
def test_conv_transpose_layers(problem: Problem, bias: bool, dtype: str) -> None:
    args = problem.channels, problem.filters, problem.kernel
    name = f"ConvTranspose{problem.rank}d"
    ours, theirs = pair(name, *args, bias=bias, dtype=dtype, **problem.words)
    x = integers(problem.rng, (*problem.batch, problem.channels, *problem.size), dtype)
    assert_layers_agree(ours, theirs, x)


@given(problems(transposed=True), st.integers(0, 7), st.data())
def test_output_size(problem: Problem, shift: int, data: st.DataObject) -> None:
    """Any size within two of those that are possible, with batch and channels or without."""
    rank, words = problem.rank, problem.words
    ours, theirs = pair(
        f"ConvTranspose{rank}d", problem.channels, problem.filters, problem.kernel, **words
    )
    x = integers(problem.rng, (*problem.batch, problem.channels, *problem.size))
    least = [
        (size - 1) * stride - 2 * pad + dilation * (kernel - 1) + 1
        for size, stride, pad, dilation, kernel in zip(
            problem.size, theirs.stride, theirs.padding, theirs.dilation, problem.kernel,
            strict=True,
        )
    ]  # fmt: skip
    size = [n + data.draw(st.integers(-1, s)) for n, s in zip(least, theirs.stride, strict=True)]
    before = data.draw(st.sampled_from([0, 1, 2]))
    assert_layers_agree(ours, theirs, x, output_size=[9] * before + size)
    assert_layers_agree(ours, theirs, x)  # the next call is as if that one had not been


@given(problems(modes=MODES), st.booleans())
def test_lazy_layers(problem: Problem, bias: bool) -> None:
    x = integers(problem.rng, (*problem.batch, problem.channels, *problem.size), np.float32)
    words = problem.words | {"bias": bias}
    lazies = [at(m, f"LazyConv{problem.rank}d")(problem.filters, problem.kernel, **words)
              for m in (nn, torch.nn)]  # fmt: skip
    ours, theirs = lazies
    assert repr(ours) == repr(theirs)
    first = outcome(theirs, tensor(x))
    found = outcome(ours, x)
    if isinstance(found, Exception):
        assert_alike(found, first)
        return
    assert repr(ours) == repr(theirs)
    assert type(ours) is at(nn, f"Conv{problem.rank}d")
    give_same_weights(ours, theirs)
    assert_layers_agree(ours, theirs, x)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_lazy_transposed_layers_and_their_states(rank: int, rng: np.random.Generator) -> None:
    x = integers(rng, (2, 4, *(3,) * rank), np.float32)
    name, words = f"LazyConvTranspose{rank}d", {"stride": 2, "groups": 2}
    ours, theirs = (at(module, name)(6, 3, **words) for module in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    assert tuple(ours(x, [8] * rank).shape) == tuple(theirs(tensor(x), [8] * rank).shape)
    give_same_weights(ours, theirs)
    assert_layers_agree(ours, theirs, x)
    fresh, peer = (at(module, name)(6, 3, **words) for module in (nn, torch.nn))
    fresh.load_state_dict(ours.state_dict())
    peer.load_state_dict(theirs.state_dict())
    assert_layers_agree(fresh, peer, x)


@pytest.mark.parametrize("mode", MODES)
def test_how_far_padding_reaches(mode: str) -> None:
    """Every padding from -3 to 9 of an axis of 1 to 5, beside one that is longer."""
    for rank, size, pad in product((1, 2, 3), range(6), range(-3, 10)):
        shape, pads = (1, 1, size, *(6,) * (rank - 1)), (pad, *(1,) * (rank - 1))
        name, words = f"Conv{rank}d", {"padding": pads, "padding_mode": mode}
        x = np.arange(float(prod(shape))).reshape(shape)
        if mode == "zeros" and pad < 0:  # refused when the layer is made, not when it is called
            theirs = outcome(called, torch.nn, name, (1, 1, 1), words, [tensor(x)])
            assert_alike(outcome(called, nn, name, (1, 1, 1), words, [x]), theirs)
        else:
            assert_layers_agree(*pair(name, 1, 1, 1, **words), x)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64", "complex128"])
@pytest.mark.parametrize("mode", MODES)
def test_other_dtypes_of_layers(mode: str, dtype: str, rng: np.random.Generator) -> None:
    ours, theirs = pair("Conv2d", 2, 3, 3, padding=1, padding_mode=mode, dtype=dtype)
    x = integers(rng, (2, 2, 5, 5), dtype)
    u = tensor(x).requires_grad_()
    y = theirs(u)
    assert_same(ours(x), y)
    dy = integers(rng, y.shape, dtype)
    y.backward(tensor(dy))
    # Of complex arrays convref's gradient is the transpose, PyTorch's the conjugate transpose.
    assert_same(ours.backward(dy.conj()).conj(), u.grad.resolve_conj())
    assert_same(ours.weight.grad.conj(), theirs.weight.grad.resolve_conj())


def test_words_may_be_changed(rng: np.random.Generator) -> None:
    x = integers(rng, (2, 4, 9, 9))
    ours, theirs = pair("Conv2d", 4, 4, 3, stride=2, groups=2)
    for word, value in {"stride": (1, 1), "dilation": (2, 2), "padding": (2, 2)}.items():
        for layer in (ours, theirs):
            setattr(layer, word, value)
        assert_layers_agree(ours, theirs, x)
    ours, theirs = pair("Conv2d", 4, 4, 3, padding=1)
    for layer in (ours, theirs):
        layer.padding_mode = "circular"  # as those who make pictures that tile do
    assert_layers_agree(ours, theirs, x)
    ours, theirs = pair("ConvTranspose2d", 4, 4, 3, stride=2)
    for layer in (ours, theirs):
        layer.padding = (1, 0)
    assert_layers_agree(ours, theirs, x)


def test_no_channels_and_no_samples() -> None:
    for rank in (1, 2, 3):
        ours, theirs = pair(f"Conv{rank}d", 0, 8, 2, stride=2)
        assert_layers_agree(ours, theirs, np.ones((2, 0, *(15,) * rank)))
        assert_layers_agree(ours, theirs, np.ones((2, 1, *(5,) * rank)))
        for name in ("Conv", "ConvTranspose"):
            ours, theirs = pair(f"{name}{rank}d", 4, 4, 3, stride=2, padding=1, groups=4)
            assert_layers_agree(ours, theirs, np.ones((0, 4, *(4,) * rank)))


# The parameter grids of PyTorch's own tests of modules: constructor, then the shape of an input.

GRID: dict[str, list[tuple[tuple[Any, ...], tuple[int, ...]]]] = {
    "Conv1d": [
        ((4, 5, 3), (2, 4, 10)),
        ((4, 5, 3, 2), (2, 4, 10)),
        ((4, 5, 3, 1, 1), (2, 4, 10)),
        ((4, 5, 5, 1, 2), (2, 4, 10)),
        ((4, 4, 3, 1, 1), (1, 4, 1)),
        ((4, 4, 5, 1, 2), (1, 4, 1)),
        ((4, 5, 3), (0, 4, 10)),
        ((4, 5, 3, 1, 0, 2), (2, 4, 10)),
        ((4, 6, 3, 1, 0, 1, 2), (2, 4, 6)),
        ((4, 5, 3, 1, "valid"), (2, 4, 10)),
        ((4, 5, 3, 1, "same"), (2, 4, 10)),
        ((4, 5, 4, 1, "same"), (2, 4, 10)),
        ((4, 5, 4, 1, "same", 3), (2, 4, 10)),
        *(((3, 4, 2, 2, (1,), 1, 1, True, mode), (2, 3, 5)) for mode in MODES),
    ],
    "Conv2d": [
        ((3, 4, (3, 2)), (2, 3, 7, 5)),
        ((3, 4, (3, 3), (2, 2)), (2, 3, 6, 6)),
        ((3, 4, (3, 3), (2, 2), (1, 1)), (2, 3, 6, 6)),
        ((3, 2, (3, 3), (2, 2), (1, 1), (2, 2)), (2, 3, 8, 8)),
        ((3, 4, (3, 2), 1, 0, 1, 1, False), (2, 3, 6, 5)),
        ((3, 4, (3, 2)), (0, 3, 7, 5)),
        ((4, 6, (3, 2), 1, 0, 1, 2), (2, 4, 6, 5)),
        ((3, 4, (3, 3), 1, "valid"), (2, 3, 6, 5)),
        ((3, 4, (3, 3), 1, "same"), (2, 3, 6, 5)),
        ((3, 4, (3, 3), 1, "same", 2), (2, 3, 6, 5)),
        ((4, 4, (3, 3), 1, 0, 1, 4), (2, 4, 6, 6)),
        ((4, 8, (3, 3), 1, 0, 1, 4), (2, 4, 6, 6)),
        ((4, 4, (3, 3), (2, 2), 0, 1, 4), (2, 4, 6, 6)),
        ((4, 4, (3, 3), (1, 1), (1, 1), 1, 4), (2, 4, 6, 6)),
        ((4, 4, (2, 2), (1, 1), 0, (2, 2), 4), (2, 4, 5, 5)),
        *(((3, 4, (3, 3), (2, 2), (1, 2), 1, 1, True, mode), (2, 3, 3, 4)) for mode in MODES),
    ],
    "Conv3d": [
        ((2, 3, (2, 3, 2)), (1, 2, 4, 5, 4)),
        ((2, 3, (2, 3, 4), 1, 0, 1, 1, False), (1, 2, 3, 4, 5)),
        ((2, 3, (1, 1, 1), 1, 0, 1, 1, False), (1, 2, 3, 4, 5)),
        ((3, 4, 2, 2), (2, 3, 5, 5, 5)),
        ((3, 4, 2, 2, 1), (2, 3, 5, 5, 5)),
        ((3, 4, (2, 3, 4)), (0, 3, 3, 4, 5)),
        ((2, 4, 3, 1, 0, 1, 2), (1, 2, 4, 5, 4)),
        ((3, 4, 2, 1, 0, 2), (2, 3, 5, 5, 5)),
        ((3, 4, 2, 2, 1, 2), (2, 3, 5, 5, 5)),
        ((2, 3, (2, 3, 2), 1, "valid"), (1, 2, 4, 5, 4)),
        ((2, 3, (2, 3, 2), 1, "same"), (1, 2, 4, 5, 4)),
        ((2, 3, (2, 3, 2), 1, "same", 2), (1, 2, 4, 5, 4)),
        *(((3, 4, 2, 2, (1, 2, 3), 1, 1, True, mode), (2, 3, 3, 4, 4)) for mode in MODES),
    ],
    "ConvTranspose1d": [
        ((3, 4, 3, (3,), 1, (1,)), (1, 3, 7)),
        ((3, 4, 3, 2, 1, 1, 1, False), (1, 3, 6)),
        ((3, 4, 3, 2, 1, 1, 1, True, 2), (1, 3, 6)),
        ((4, 6, 3, (3,), 1, 1, 2, True), (2, 4, 7)),
    ],
    "ConvTranspose2d": [
        ((3, 4, 3, (3, 2), 1, (1, 1)), (1, 3, 7, 6)),
        ((3, 4, 3, (2, 3), 1, (1, 1), 1, False, (2, 2)), (1, 3, 6, 7)),
        ((3, 4, 3, (2, 3), 1, (1, 1), 1, False), (1, 3, 6, 7)),
        ((2, 4, (2, 3), (2, 1), (1, 0), (1, 0), 2), (1, 2, 4, 5)),
    ],
    "ConvTranspose3d": [
        ((2, 3, (2, 3, 2)), (1, 2, 4, 5, 4)),
        ((2, 3, (2, 3, 2), 1, 0, 0, 1, True, (2, 2, 2)), (1, 2, 4, 5, 4)),
        ((2, 4, 3, 2, 1, 1, 2, False, 2), (1, 2, 3, 4, 3)),
    ],
}


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("name", GRID)
def test_grid_of_modules(name: str, batched: bool, rng: np.random.Generator) -> None:
    for args, shape in GRID[name]:
        ours, theirs = pair(name, *args)
        assert_layers_agree(ours, theirs, integers(rng, shape if batched else shape[1:]))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_grid_of_down_and_up(rank: int) -> None:
    """What a convolution takes away a transposed one gives back, told the size."""
    for size, k, d, s, p in product((13, 16, 21), (2, 4), (1, 3), (1, 3), (0, 2)):
        x = np.ones((2, 3, size, *(15,) * (rank - 1)))
        down, peer_down = pair(f"Conv{rank}d", 3, 2, k, stride=s, padding=p, dilation=d)
        up, peer_up = pair(f"ConvTranspose{rank}d", 2, 3, k, stride=s, padding=p, dilation=d)
        y, z = down(x), peer_down(tensor(x))
        assert_same(y, z)
        again = peer_up(z, output_size=x.shape)
        assert again.shape == x.shape
        assert_same(up(y, output_size=x.shape), again)


# Refusals


def ones(*shape: int, dtype: Any = np.float32) -> Array:
    return np.ones(shape, dtype)


X, W, V = ones(1, 2, 5), ones(3, 2, 3), ones(2, 3, 3)
"""An input, and weights that take it, of a convolution and of a transposed one."""
DY, IMAGE = ones(1, 3, 3), ones(1, 1, 5, 5)

REFUSED_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "two batch axes": ("conv1d", ones(1, 1, 2, 5), W),
    "one axis": ("conv1d", ones(5), W),
    "fewer weight axes": ("conv2d", IMAGE, W),
    "more weight axes": ("conv1d", X, ones(3, 2, 3, 3)),
    "channels": ("conv1d", ones(1, 3, 5), W),
    "filters that groups do not divide": ("conv1d", ones(1, 4, 5), W, None, 1, 0, 1, 2),
    "channels that groups do not divide": ("conv1d", X[:, :1], ones(4, 2, 3), None, 1, 0, 1, 2),
    "a kernel larger than the input": ("conv1d", ones(1, 2, 2), W),
    "no filters": ("conv1d", X, ones(0, 2, 3)),
    "no taps": ("conv1d", X, ones(3, 2, 0)),
    "no positions": ("conv1d", ones(1, 2, 0), W, None, 1, 2),
    "a bias of another size": ("conv1d", X, W, ones(4)),
    "a bias of two axes": ("conv1d", X, W, ones(3, 1)),
    "a bias of another dtype": ("conv1d", X, W, np.ones(3)),
    "weights of another dtype": ("conv1d", X, W.astype(np.float64)),
    "an input of integers": ("conv1d", X.astype(np.int64), W),
    "weights of complex numbers": ("conv1d", X, W.astype(np.complex64)),
    "a list": ("conv1d", [[1.0, 2.0]], ones(1, 1, 1)),
    "None": ("conv1d", None, W),
    "transposed, channels": ("conv_transpose1d", ones(1, 4, 2), ones(3, 1, 3)),
    "transposed, groups": ("conv_transpose1d", X, V, None, 1, 0, 0, 3),
    "transposed, bias": ("conv_transpose1d", X, V, ones(2)),
    "transposed, nothing left": ("conv_transpose1d", X, V, None, 1, 4),
    "transposed, same": ("conv_transpose1d", X, V, None, 1, "same"),
    "transposed, output padding": ("conv_transpose1d", X, V, None, 2, 0, 2),
    "unfold, five axes": ("unfold", ones(1, 2, 4, 4, 4), 2),
    "unfold, no channels": ("unfold", ones(1, 0, 4, 4), 2),
    "unfold, no positions": ("unfold", ones(1, 2, 0, 4), 2, 1, 1),
    "unfold, too small": ("unfold", ones(1, 2, 2, 2), (1, 3), (1, 2), (1, 1)),
    "unfold, smaller": ("unfold", ones(1, 2, 2, 3), (5, 3), 1, (1, 1)),
    "unfold, kernel of one axis": ("unfold", IMAGE, (2,)),
    "unfold, strides of three axes": ("unfold", IMAGE, 2, 1, 0, (1, 1, 1)),
    "unfold, dilation of 0": ("unfold", IMAGE, 2, 0),
    "unfold, negative padding": ("unfold", IMAGE, 2, 1, -1),
    "unfold, stride of 0": ("unfold", IMAGE, 2, 1, 0, 0),
    "unfold, kernel of 0": ("unfold", IMAGE, 0),
    "unfold, a word": ("unfold", IMAGE, 2, 1, "same"),
    "unfold, a float": ("unfold", IMAGE, 2.0),
    "unfold, a boolean": ("unfold", IMAGE, True),
    "unfold, integers": ("unfold", IMAGE.astype(np.int64), 2),
    "fold, integers": ("fold", ones(1, 4, 9, dtype=np.int64), 4, 2),
    "fold, four axes": ("fold", ones(1, 1, 4, 9), 4, 2),
    "fold, one axis": ("fold", ones(9), 4, 2),
    "fold, not divisible": ("fold", ones(1, 5, 9), (4, 5), (2, 3)),
    "fold, another length": ("fold", ones(1, 6, 10), (4, 5), (2, 3)),
    "fold, another length, strided": ("fold", ones(1, 6, 5), (4, 5), (2, 3), 1, 0, (2, 2)),
    "fold, no channels": ("fold", ones(1, 0, 9), 4, 2),
    "fold, no blocks": ("fold", ones(1, 4, 0), (1, 4), 2),
    "fold, size of one axis": ("fold", ones(1, 4, 9), (4,), 2),
    "fold, size of 0": ("fold", ones(1, 4, 1), (0, 0), 2, 1, 1),
}
REFUSED_GRADIENTS: dict[str, tuple[Any, ...]] = {
    "no batch": ("conv1d_input", (2, 5), W, DY[0]),
    "spatial sizes": ("conv1d_input", (5,), W, DY),
    "another size": ("conv1d_input", (1, 2, 6), W, DY),
    "another batch": ("conv1d_input", (2, 2, 5), W, DY),
    "other channels": ("conv1d_input", (1, 3, 5), W, DY),
    "other filters": ("conv1d_input", (1, 2, 5), W, ones(1, 4, 3)),
    "another dtype": ("conv1d_input", (1, 2, 5), W.astype(np.float64), DY),
    "negative padding": ("conv1d_input", (1, 2, 5), W, DY, 1, -1),
    "weights of another rank": ("conv2d_input", (1, 2, 5, 5), W, DY),
    "weight, no batch": ("conv1d_weight", X[0], (3, 2, 3), DY[0]),
    "weight, another size": ("conv1d_weight", X, (3, 2, 4), DY),
    "weight, other channels": ("conv1d_weight", X, (3, 1, 3), DY),
    "weight, other filters": ("conv1d_weight", X, (4, 2, 3), DY),
    "weight, another batch": ("conv1d_weight", ones(2, 2, 5), (3, 2, 3), DY),
    "weight, kernel alone": ("conv1d_weight", X, (3,), DY),
    "weight, another dtype": ("conv1d_weight", X.astype(np.float64), (3, 2, 3), DY),
}
REFUSED_LAYERS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], tuple[Any, ...]]] = {
    # The class, the arguments of its constructor, and those of the call.
    "input of another dtype": ("Conv2d", (1, 1, 3), {}, (IMAGE.astype(np.float64),)),
    "transposed, dtype": ("ConvTranspose2d", (1, 1, 3), {}, (IMAGE.astype(np.float64),)),
    "None": ("Conv2d", (1, 1, 3), {}, (None,)),
    "a list": ("Conv2d", (1, 1, 3), {}, ([[[1.0]]],)),
    "batch axes": ("Conv2d", (1, 1, 3), {}, (IMAGE[None],)),
    "mode": ("Conv2d", (1, 1, 3), {"padding_mode": "foo"}, (IMAGE,)),
    "mode in capitals": ("Conv2d", (1, 1, 3), {"padding_mode": "Zeros"}, (IMAGE,)),
    "padding word": ("Conv2d", (1, 1, 3), {"padding": "foo"}, (IMAGE,)),
    "padding in capitals": ("Conv2d", (1, 1, 3), {"padding": "Same"}, (IMAGE,)),
    "same and strided": ("Conv2d", (1, 1, 3, (1, 2), "same"), {}, (IMAGE,)),
    "same and strided, one tap": ("Conv2d", (1, 1, 1, 2, "same"), {}, (IMAGE,)),
    "groups of a float": ("Conv2d", (1, 1, 3), {"groups": 1.0}, (IMAGE,)),
    "groups, input": ("Conv2d", (3, 4, 3), {"groups": 2}, (IMAGE,)),
    "groups, output": ("Conv2d", (4, 3, 3), {"groups": 2}, (IMAGE,)),
    "groups, transposed": ("ConvTranspose2d", (4, 3, 3), {"groups": 2}, (IMAGE,)),
    "negative channels": ("Conv2d", (-1, 4, 3), {}, (IMAGE,)),
    "channels of a float": ("Conv2d", (3.0, 4, 3), {}, (IMAGE,)),
    "channels of a string": ("Conv2d", ("3", 4, 3), {}, (IMAGE,)),
    "channels of None": ("Conv2d", (None, 4, 3), {}, (IMAGE,)),
    "no filters": ("Conv2d", (1, 0, 3), {}, (IMAGE,)),
    "kernel of 0": ("Conv2d", (1, 1, 0), {}, (IMAGE,)),
    "kernel of -1": ("Conv2d", (1, 1, -1), {}, (IMAGE,)),
    "kernel of a float": ("Conv2d", (1, 1, 2.0), {}, (IMAGE,)),
    "kernel of one axis": ("Conv2d", (1, 1, (3,)), {}, (IMAGE,)),
    "kernel of three axes": ("Conv2d", (1, 1, (3, 3, 3)), {}, (IMAGE,)),
    "integer dtype": ("Conv2d", (1, 1, 3), {"dtype": torch.int64}, (IMAGE,)),
    "device": ("Conv2d", (1, 1, 3), {"device": "nowhere"}, (IMAGE,)),
    "transposed, mode": ("ConvTranspose2d", (1, 1, 3), {"padding_mode": "reflect"}, (IMAGE,)),
    "transposed, padding word": ("ConvTranspose2d", (1, 1, 3), {"padding": "same"}, (IMAGE,)),
    "transposed, output padding": ("ConvTranspose2d", (1, 1, 3, 1, 0, 1), {}, (IMAGE,)),
    "output size of an int": ("ConvTranspose2d", (1, 1, 3), {}, (IMAGE, 7)),
    "output size of floats": ("ConvTranspose2d", (1, 1, 3), {}, (IMAGE, (7.0, 7.0))),
    "output size of three": ("ConvTranspose2d", (1, 1, 3), {}, (IMAGE, (1, 7, 7))),
    "lazy, groups": ("LazyConv2d", (4, 3), {"groups": 2}, (IMAGE,)),
    "lazy, batch axes": ("LazyConv2d", (4, 3), {}, (IMAGE[None],)),
    "lazy, same and strided": ("LazyConv2d", (4, 3, 2, "same"), {}, (IMAGE,)),
    "lazy, mode": ("LazyConvTranspose2d", (4, 3), {"padding_mode": "reflect"}, (IMAGE,)),
    "unfold": ("Unfold", ("a",), {}, (IMAGE,)),
    "fold": ("Fold", ((4, 5), (2, 3)), {"stride": (2, 2)}, (ones(1, 6, 5),)),
}
STATES: dict[str, Any] = {
    "missing": {"weight": ones(2, 2, 3)},
    "unexpected": {"weight": ones(2, 2, 3), "bias": ones(2), "other": ones(1)},
    "another shape": {"weight": ones(2, 2, 4), "bias": ones(2)},
    "a list": [1],
}
BAD_WORDS = {
    "stride": (0, -1, 2.0, True, "2", (1, 1, 1, 1), None),
    "padding": (-1, 1.0, "foo", ((1, 1),), (1, 1, 1, 1)),
    "dilation": (0, -2, 1.5, (1, 1, 1, 1)),
    "groups": (0, -1),
}


def called(module: Any, name: str, args: Any, words: Any, inputs: Any) -> Any:
    """A layer, made and called."""
    return at(module, name)(*args, **words)(*inputs)


def assert_refused_alike(ours: Any, theirs: Any, about: object) -> None:
    assert isinstance(theirs, Exception), about
    assert_alike(ours, theirs, about)


@pytest.mark.parametrize("name", REFUSED_FUNCTIONS)
def test_refused_functions(name: str) -> None:
    function, *args = REFUSED_FUNCTIONS[name]
    theirs = outcome(at(torch.nn.functional, function), *map(converted, args))
    assert_refused_alike(outcome(at(nn, function), *args), theirs, name)


@pytest.mark.parametrize("name", REFUSED_GRADIENTS)
def test_refused_gradients(name: str) -> None:
    function, *args = REFUSED_GRADIENTS[name]
    theirs = outcome(at(torch.nn.grad, function), *map(converted, args))
    assert_refused_alike(outcome(at(nn.grad, function), *args), theirs, name)


@pytest.mark.parametrize("name", REFUSED_LAYERS)
def test_refused_layers(name: str) -> None:
    kind, args, words, inputs = REFUSED_LAYERS[name]
    theirs = outcome(called, torch.nn, kind, args, words, map(converted, inputs))
    assert_refused_alike(outcome(called, nn, kind, args, words, inputs), theirs, name)


@pytest.mark.parametrize("name", STATES)
def test_refused_states(name: str) -> None:
    ours, theirs = nn.Conv1d(2, 2, 3), torch.nn.Conv1d(2, 2, 3)
    refusal = outcome(theirs.load_state_dict, converted(STATES[name]))
    assert_refused_alike(outcome(ours.load_state_dict, STATES[name]), refusal, name)


@pytest.mark.parametrize("word", BAD_WORDS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_refused_words(word: str, rank: int) -> None:
    """Of functions and of layers, which PyTorch may refuse as late as at the call."""
    x, w = ones(1, 2, *(5,) * rank), ones(2, 2, *(2,) * rank)
    for value in BAD_WORDS[word]:
        words = {word: value}
        for name in (f"conv{rank}d", f"conv_transpose{rank}d"):
            theirs = outcome(at(torch.nn.functional, name), tensor(x), tensor(w), **words)
            assert_refused_alike(outcome(at(nn, name), x, w, **words), theirs, (name, words))
        for name in (f"Conv{rank}d", f"ConvTranspose{rank}d"):
            theirs = outcome(called, torch.nn, name, (2, 2, 2), words, [tensor(x)])
            ours = outcome(called, nn, name, (2, 2, 2), words, [x])
            assert_refused_alike(ours, theirs, (name, words))


# Names, defaults and first weights


@pytest.mark.parametrize("name", [name for name in nn.__all__ if name[0].isupper()])
def test_signatures_of_layers(name: str) -> None:
    ours, theirs = (inspect.signature(at(module, name)) for module in (nn, torch.nn))
    assert [(p.name, p.default, p.kind) for p in ours.parameters.values()] == [
        (p.name, p.default, p.kind) for p in theirs.parameters.values()
    ]


@pytest.mark.parametrize(
    "name", [name for name in nn.__all__ if name.endswith(("_input", "_weight", "fold"))]
)
def test_signatures_of_functions(name: str) -> None:
    module = torch.nn.functional if name.endswith("fold") else torch.nn.grad
    if name in ("Fold", "Unfold"):
        return
    ours, theirs = (inspect.signature(at(m, name)) for m in (nn, module))
    assert [(p.name, p.default) for p in ours.parameters.values()] == [
        (p.name, p.default) for p in theirs.parameters.values()
    ]


def test_signatures_of_convolutions() -> None:
    """Which PyTorch writes in C, and tells in the first line of the documentation."""
    for rank, name in product((1, 2, 3), ("conv{}d", "conv_transpose{}d")):
        name = name.format(rank)
        told = at(torch.nn.functional, name).__doc__.split(" ->")[0].split("(", 1)[1].rstrip(")")
        parameters = inspect.signature(at(nn, name)).parameters.values()
        found = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters]
        assert found == told.split(", ")


def moments(values: Array, bound: float) -> None:
    """Uniform within the bound: by its ends, its mean and its mean square, at five deviations."""
    count = values.size
    assert np.abs(values).max() <= bound * (1 + 1e-6)  # the bound itself is rounded to float32
    assert np.abs(values).max() > bound * (1 - 20 / count)
    assert abs(values.mean()) < 5 * bound / sqrt(3 * count)
    assert abs((values**2).mean() - bound**2 / 3) < 5 * bound**2 * sqrt(4 / 45 / count)


@pytest.mark.parametrize(
    ("name", "args", "words", "fan_in"),
    [
        ("Conv1d", (16, 512, 5), {}, 16 * 5),
        ("Conv2d", (32, 512, (3, 2)), {"groups": 4}, 8 * 6),
        ("Conv2d", (64, 512, 3), {"groups": 64}, 9),
        ("Conv3d", (8, 512, 3), {}, 8 * 27),
        ("ConvTranspose1d", (512, 512, 5), {"groups": 8}, 64 * 5),
        ("ConvTranspose2d", (32, 512, 3), {}, 512 * 9),
        ("ConvTranspose3d", (32, 512, 2), {"groups": 2}, 256 * 8),
        ("LazyConv2d", (512, 3), {}, 7 * 9),
    ],
)
def test_first_weights(name: str, args: Any, words: Any, fan_in: int) -> None:
    nn.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = at(nn, name)(*args, **words), at(torch.nn, name)(*args, **words)
    if name.startswith("Lazy"):
        x = ones(1, 7, 4, 4)
        ours(x), theirs(tensor(x))
    for layer in (ours.state_dict(), theirs.state_dict()):
        for parameter in ("weight", "bias"):
            moments(np.asarray(layer[parameter], np.float64), 1 / sqrt(fan_in))


def test_states_go_both_ways(rng: np.random.Generator) -> None:
    ours, theirs = nn.Conv2d(3, 4, 3), torch.nn.Conv2d(3, 4, 3)
    x = integers(rng, (1, 3, 5, 5), np.float32)
    ours.load_state_dict(theirs.state_dict())
    assert {name: value.tolist() for name, value in ours.state_dict().items()} == {
        name: value.tolist() for name, value in theirs.state_dict().items()
    }
    fresh = torch.nn.Conv2d(3, 4, 3)
    fresh.load_state_dict({name: tensor(value) for name, value in ours.state_dict().items()})
    with torch.no_grad():
        assert torch.equal(fresh(tensor(x)), theirs(tensor(x)))
    wide = {name: value.double() for name, value in theirs.state_dict().items()}
    ours.load_state_dict(wide)
    assert ours.weight.value.dtype == np.float32
    ours.load_state_dict(wide, assign=True)
    assert ours.weight.value.dtype == np.float64
    theirs.load_state_dict(theirs.double().state_dict(), assign=True)
    fine = rng.standard_normal((1, 3, 5, 5))
    assert ours(fine).dtype == np.float64
    assert np.abs(ours(fine) - array_of(theirs(tensor(fine)))).max() < 27 * 8 * 2.0**-52
    result = ours.load_state_dict({"other": x}, strict=False)
    assert tuple(result) == tuple(theirs.load_state_dict({"other": tensor(x)}, strict=False))
