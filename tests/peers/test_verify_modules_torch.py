"""`verify_module` on PyTorch: what it computes is legitimate, planted mistakes are named."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from messages import refused

from convref import ConvrefError, WordError, verify_module
from convref.verify.modules import ModuleResult

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install convref[peers]")
nn, functional = torch.nn, torch.nn.functional

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning"),
]
RANDOM = np.random.default_rng(8)
SIZES = {1: (13,), 2: (9, 8), 3: (5, 6, 4)}
X = RANDOM.standard_normal((2, 4, 9, 8)).astype(np.float32)
ALL = ["y", "dx", "dw", "db"]
SUPPORTED = (
    "supported are torch.nn.Conv1d, 2d, 3d, ConvTranspose1d, 2d, 3d, and modules that contain them"
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def x_of(rank: int, *lead: int) -> Any:
    return RANDOM.standard_normal((*(lead or (2,)), 4, *SIZES[rank]))


def named(result: ModuleResult) -> dict[str, list[str]]:
    """The diagnosis of each wrong output."""
    return {name: [d.name for d in report.diagnosis] for name, report in result.wrong.items()}


FORWARD: tuple[dict[str, Any], ...] = (
    {},
    {"stride": 2, "padding": 1, "bias": False},
    {"padding": "same", "dilation": 2},
    {"kernel_size": 2, "padding": "same"},
    {"padding": 2, "groups": 2, "dilation": 2},
    {"groups": 4, "stride": 3},
    *({"padding": 2, "padding_mode": mode} for mode in ("reflect", "replicate", "circular")),
    {"padding": "same", "padding_mode": "circular"},
)
TRANSPOSED: tuple[dict[str, Any], ...] = (
    {},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"stride": 3, "groups": 2, "bias": False},
    {"dilation": 3, "output_padding": 2, "stride": 2},
    {"padding": 2, "stride": 1},
)


@pytest.mark.parametrize("words", FORWARD, ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions(rank: int, words: dict[str, Any]) -> None:
    if rank == 3 and words.get("padding_mode") == "reflect":
        words = {**words, "padding": 1}
    layer = getattr(nn, f"Conv{rank}d")(4, 8, **{"kernel_size": 3, **words})
    result = verify_module(layer, x_of(rank))
    assert result.ok, result
    assert list(result) == ALL[: 3 + (layer.bias is not None)]


@pytest.mark.parametrize("words", TRANSPOSED, ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_convolutions(rank: int, words: dict[str, Any]) -> None:
    layer = getattr(nn, f"ConvTranspose{rank}d")(4, 6, 3, **words)
    result = verify_module(layer, x_of(rank))
    assert result.ok, result
    assert list(result) == ALL[: 3 + (layer.bias is not None)]


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        *((getattr(torch, name), name) for name in ("float16", "bfloat16", "float64")),
        (torch.complex64, "complex64"),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda dtype: nn.Conv2d(4, 8, 3, padding=1, dtype=dtype),
        lambda dtype: nn.Conv2d(4, 4, 3, groups=4, dtype=dtype),
        lambda dtype: nn.ConvTranspose2d(4, 4, 3, stride=2, dtype=dtype),
    ],
    ids=["conv", "depthwise", "transposed"],
)
def test_dtypes(dtype: Any, name: str, make: Any) -> None:
    """Low precision is honest, for inputs of one sign, too."""
    x = X + 1j * X[::-1] if name == "complex64" else X
    for values in (x, abs(x)):
        result = verify_module(make(dtype), values)
        assert result.ok, result
        assert {report.dtype for report in result.values()} == {name}


def test_memory_formats_and_inputs() -> None:
    layer = nn.Conv2d(4, 8, 3)
    tensor = torch.from_numpy(X)
    assert verify_module(layer.to(memory_format=torch.channels_last), X).ok
    last = tensor.to(memory_format=torch.channels_last)
    for x in (X[0], X[:, :, ::-1], tensor, tensor[0], last, X.astype(np.float64)):
        assert verify_module(layer, x).ok
    assert verify_module(nn.Sequential(layer), X, gradients=False).keys() == {"0 / y"}


def test_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = verify_module(nn.Conv2d(4, 8, 3), X)
    assert result.ok
    assert result["y"].dtype == "bfloat16"


def test_seeds_and_accumulators() -> None:
    layer = nn.Conv2d(4, 8, 3)
    (first, again, other) = (verify_module(layer, X, seed=seed).judged for seed in (1, 1, 2))
    dy, same, another = (judged[0][0].arrays["dy"] for judged in (first, again, other))
    assert (dy == same).all()
    assert (dy != another).any()
    assert verify_module(layer, X, accumulate="float64")["y"].verdict != "within bound"


# Mistakes


class Flipped(nn.Conv2d):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return self._conv_forward(x, self.weight.flip(-1, -2), self.bias)


class Unbiased(nn.Conv2d):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return self._conv_forward(x, self.weight, None)


class Unpadded(nn.Conv2d):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return functional.conv2d(x, self.weight, self.bias)


class Forward(nn.ConvTranspose2d):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return functional.conv_transpose2d(
            x, self.weight, self.bias, self.stride, self.padding, 0, self.groups, self.dilation
        )


class Doubling(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return 2 * dy


class WrongBackward(nn.Conv2d):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return super().forward(Doubling.apply(x))


class Detached(nn.Conv2d):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return self._conv_forward(x, self.weight.detach(), self.bias)


class Inference(nn.Conv2d):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return super().forward(x).detach()


def test_planted_mistakes() -> None:
    layer = Flipped(4, 8, (3, 2), padding=1)
    flipped = ["kernel-flipped"]
    assert named(verify_module(layer, X)) == {"y": flipped, "dx": flipped, "dw": flipped}
    assert named(verify_module(Unbiased(4, 8, 3), X)).keys() == {"y", "db"}
    assert named(verify_module(Unbiased(4, 8, 3), X))["y"] == ["bias-missing"]
    assert named(verify_module(Unpadded(4, 8, 3, padding=1), X)) == {"y": ["shape", "padding"]}
    assert named(verify_module(Unpadded(4, 8, 3), X)) == {}
    transposed = Forward(4, 5, 3, stride=2, output_padding=1)
    assert named(verify_module(transposed, X)) == {"y": ["shape"]}
    assert named(verify_module(WrongBackward(4, 8, 3), X)) == {"dx": ["accumulated-twice"]}
    assert named(verify_module(Detached(4, 8, 3), X)).keys() == {"dw"}


def test_an_output_without_gradients() -> None:
    result = verify_module(Inference(4, 8, 3), X)
    assert (result.ok, list(result)) == (True, ["y"])
    assert "  not judged: it: the framework gives no gradients of it" in repr(result).splitlines()


class Block(nn.Module):  # type: ignore[misc]
    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Conv2d(inside, 4 * width, 1, stride, bias=False)

    def forward(self, x: Any) -> Any:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.conv3(self.relu(self.bn2(self.conv2(y))))
        y += self.downsample(x)
        return self.relu(y)


def residual_net() -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Sequential(Block(8, 4, 1), Block(16, 4, 2)),
        nn.Sequential(Block(16, 8, 2), Block(32, 8, 1)),
        nn.AdaptiveAvgPool2d(1),
    )


IMAGE = RANDOM.standard_normal((1, 3, 33, 35)).astype(np.float32)


def test_a_net() -> None:
    result = verify_module(residual_net(), IMAGE)
    assert result.ok, result
    names = list(dict.fromkeys(case.name for case, _, _ in result.judged))
    inside = ["conv1", "conv2", "conv3", "downsample"]
    blocks = [f"{stage}.{block}" for stage in (3, 4) for block in (0, 1)]
    assert names == ["0", *(f"{block}.{name}" for block in blocks for name in inside)]
    assert len(repr(result).splitlines()) == 2


def test_a_net_with_a_wrong_convolution_in_the_middle() -> None:
    """What comes after it is judged with what reached it, and is right."""
    net = residual_net()
    net[3][1].conv2.__class__ = Flipped
    result = verify_module(net, IMAGE)
    flipped = ["kernel-flipped"]
    assert named(result) == {f"3.1.conv2 / {name}": flipped for name in ("y", "dx", "dw")}
    assert result.first_wrong == "3.1.conv2 / y"
    head = repr(result).splitlines()[0]
    assert head.endswith(": 17 convolutions, 1 wrong, the first is 3.1.conv2")


# Ways of calling


class Calls(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 2, 3, stride=3)
        self.unused = nn.Conv2d(1, 1, 1)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def forward(self, x: Any, more: Any = None) -> Any:
        x = self.shared(input=functional.relu_(self.shared(x)))
        return self.up(x, output_size=(x.shape[-2] * 3, 3 * x.shape[-1] + more))


def test_ways_of_calling() -> None:
    result = verify_module(Calls(), X, 2)
    assert result.ok, result
    names = ["shared", "shared (call 2)", "up"]
    assert list(dict.fromkeys(case.name for case, _, _ in result.judged)) == names
    assert result.judged[-1][0].arrays["y"].shape == (2, 2, 27, 26)
    assert [(it.name, it.reason) for it in result.unjudged] == [
        ("unused", "the input does not reach it")
    ]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*spectral_norm.*is deprecated:FutureWarning")
def test_weights_that_are_computed() -> None:
    for make in (
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
    ):
        layer = make(nn.Conv2d(4, 8, 3))
        before = {name: value.clone() for name, value in layer.state_dict().items()}
        result = verify_module(layer, X)
        assert result.ok, result
        assert list(result) == ALL
        for name, value in layer.state_dict().items():
            assert torch.equal(value, before[name])


def test_compiled_layers() -> None:
    """The program is judged that the compiler made."""

    def wrong_compiler(program: Any, inputs: Any) -> Any:
        return lambda *values: tuple(1.01 * y for y in program(*values))

    layer = nn.Conv2d(4, 8, 3)
    assert verify_module(torch.compile(layer, backend="eager"), X).ok
    torch.compiler.reset()
    result = verify_module(torch.compile(layer, backend=wrong_compiler), X)
    assert named(result) == {name: ["scaled"] for name in ALL}
    torch.compiler.reset()
    whole = torch.compile(nn.Sequential(layer), backend="eager")
    text = (
        "verify_module: there is nothing to judge in `module` (OptimizedModule): it: Sequential is "
        f"compiled as a whole; pass the module that was compiled; {SUPPORTED}"
    )
    with refused(WordError, text):
        verify_module(whole, X)


class Counting(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("other", torch.zeros(1))

    def forward(self, x: Any) -> Any:
        self.count += 1
        self.other = self.other + 1
        return x + torch.rand(1)


def test_a_module_stays_as_it_is() -> None:
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.Dropout(), Counting(), nn.Conv2d(8, 2, 3)
    )
    net[4].requires_grad_(False)
    net[2].eval()
    net[0].weight.grad = torch.ones_like(net[0].weight)
    heard: list[Any] = []
    net[0].register_forward_hook(lambda *_: heard.append(1))
    x = torch.from_numpy(X.copy())

    def state() -> Any:
        return (
            {name: value.tolist() for name, value in net.state_dict().items()},
            [module.training for module in net.modules()],
            [(p.requires_grad, None if p.grad is None else p.grad.sum()) for p in net.parameters()],
            [
                (len(m._forward_hooks), len(m._forward_pre_hooks), sorted(vars(m)))
                for m in net.modules()
            ],
            [id(value) for value in (*net.parameters(), *net.buffers())],
            torch.get_rng_state().tolist(),
            (x.tolist(), x.requires_grad),
        )

    before = state()
    assert verify_module(net, x).ok
    assert state() == before
    assert heard
    net[4].__class__ = Flipped
    net[4].forward = lambda x: 1 / 0
    text = (
        "verify_module: Sequential can't be run on this input: ZeroDivisionError: division by "
        "zero; pass what a call of it takes"
    )
    with refused(ConvrefError, text):
        verify_module(net, x)
    del net[4].forward
    assert state() == before


def test_lazy_modules_stay_lazy() -> None:
    net = nn.Sequential(nn.LazyConv2d(8, 3), nn.ReLU(), nn.LazyConvTranspose2d(2, 3))
    assert verify_module(net, X).ok
    assert isinstance(net[0], nn.LazyConv2d)
    assert net[0].has_uninitialized_params()


# What is refused


def test_refusals() -> None:
    nothing = "verify_module: there is nothing to judge in `module`"
    with refused(WordError, f"{nothing} (Linear); {SUPPORTED}"):
        verify_module(nn.Linear(2, 2), X)
    reason = "it: its weights are on the device meta and have no numbers"
    with refused(WordError, f"{nothing} (Conv2d): {reason}; {SUPPORTED}"):
        verify_module(nn.Conv2d(4, 8, 3, device="meta"), X)
    text = (
        "verify_module: Conv2d can't be run on this input: RuntimeError: Given groups=1, weight of "
        "size [8, 4, 3, 3], expected input[1, 3, 5, 5] to have 4 channels, but got 3 channels "
        "instead; pass what a call of it takes"
    )
    with refused(ConvrefError, text):
        verify_module(nn.Conv2d(4, 8, 3), np.ones((1, 3, 5, 5)))
    with refused(WordError, "verify_module: `padding` is read off the module; leave it out"):
        verify_module(nn.Conv2d(4, 8, 3), X, padding=1)
    with refused(WordError, "verify_module: `seed` (=-1) is negative; use 0 or more"):
        verify_module(nn.Conv2d(4, 8, 3), X, seed=-1)


def test_quantised_layers() -> None:
    quantised = pytest.importorskip("torch.ao.nn.quantized").Conv2d(4, 8, 3)
    reason = "Conv2d of torch.ao.nn.quantized.modules.conv is quantised"
    text = f"verify_module: there is nothing to judge in `module` (Sequential): 1: {reason}; "
    with refused(WordError, text + SUPPORTED):
        verify_module(nn.Sequential(nn.ReLU(), quantised), X)
