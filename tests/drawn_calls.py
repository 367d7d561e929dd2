"""Calls drawn over the whole public surface, most of them nearly right, some of them nonsense.

A scene is a convolution in miniature. Arguments are found by their names: what fits the scene, or,
for one argument in a few, anything at all. So calls get past the first check, and go wrong later.
"""

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib import import_module
from random import Random
from typing import Any

import ml_dtypes
import numpy as np

from convref import Geometry
from convref.layer import Layer

Array = np.ndarray[Any, Any]

NOT_CALLED = {
    "backends", "warmup", "clear_session",  # take nothing
    "Report", "Parameter", "Layer", "Mode", "Geometry", "ConvCase",  # records and bases
    "Precision", "functional", "grad", "Initializer",
    "assert_conv", "conv_cases",  # raise AssertionError; draw by Hypothesis
}  # fmt: skip
LISTED = {
    "convref.losses": ("softmax_cross_entropy", "mean_squared_error"),
    "convref.optimisers": ("SGD", "Adam", "AdamW"),
    "convref.initialisers": (
        "Constant", "Uniform", "Normal", "TruncatedNormal", "VarianceScaling", "Orthogonal",
        "he_uniform",
    ),
    "convref.regularisers": ("L1L2", "L1", "L2", "Orthogonal"),
    "convref.constraints": ("MaxNorm", "UnitNorm", "MinMaxNorm", "NonNegative"),
    "convref.weights": ("load", "state", "set_state"),
    "convref.verify.integers": ("integer_problem",),
    "convref.dialects": ("translate", "translate_config"),
    "convref.dialects.babilim": ("Conv1D", "Conv2D", "Tensor", "from_layer", "get_config"),
    "convref.dialects.keras_r": None,
}  # fmt: skip
"""The public names of modules without `__all__`; None for all functions that begin as layers do."""
WITH_ALL = (
    "convref", "convref.layers", "convref.dialects.torch", "convref.dialects.keras",
    "convref.dialects.jax", "convref.dialects.brainpy", "convref.dialects.onnx",
)  # fmt: skip


def surface() -> dict[str, Callable[..., Any]]:
    """Everything that is called, by dotted name."""
    found: dict[str, Callable[..., Any]] = {"convref.Geometry.of": Geometry.of}
    for path in (*WITH_ALL, *LISTED):
        module = import_module(path)
        names = LISTED.get(path) or getattr(module, "__all__", None)
        for name in names or [name for name in vars(module) if name.startswith("layer_")]:
            value = getattr(module, name)
            is_error = inspect.isclass(value) and issubclass(value, Exception)
            if name not in NOT_CALLED and callable(value) and not is_error:
                found[f"{path}.{name}"] = value
    return found


class Unwilling:
    """Raises whatever it is asked for as a number, an array or a list."""

    def refuse(self, *_: object, **__: object) -> Any:
        raise ValueError("no")

    __array__ = __iter__ = __len__ = __index__ = __float__ = __int__ = refuse


class Whole:
    """Only an integer by its `__index__`."""

    def __index__(self) -> int:
        return 2


class Sizes(tuple[int, ...]):
    """A subclass of a sequence."""


class Text(str):
    """A subclass of a string."""


class Marked(np.ndarray[Any, Any]):
    """A subclass of an array."""


def looped() -> list[Any]:
    """A list that holds itself."""
    endless: list[Any] = []
    endless.append(endless)
    return endless


def nested(depth: int) -> list[Any]:
    deep: list[Any] = [1]
    for _ in range(depth):
        deep = [deep]
    return deep


def nonsense() -> list[Any]:
    """Values of every kind, made anew so that no call can spoil another."""
    return [
        *(None, True, False, 0, 1, 2, 3, -1, -2, 7, 2**31, 2**32 + 1, 2**63, -(2**63), 2**64),
        *(10**30, 0.0, 1.0, 1.5, -0.5, 1e308, np.nan, np.inf, -np.inf, 1j, Fraction(3, 2)),
        *(Decimal("2"), "", "2", "same", "SAME", "nonsense", "\0", "\ud800", "x" * 5000, b"2"),
        *((), [], {}, set(), (1,), [2, 2], (1, 2, 3), ((1, 2), (0, 1)), [[1], [2, 3]], [None]),
        *([1, "a"], (0.5, 2), {"a": 1}, {1, 2}, range(2), range(3, 0, -1), (1, 2**40), [-1, 3]),
        *(iter([2]), (n for n in (1, 2)), slice(2), Ellipsis, object(), int, np, Random),
        *(Unwilling(), Whole(), Sizes((2, 1)), Text("same"), looped(), nested(100), nested(3000)),
        *map(np.int8, (2, -1)), np.uint8(3), np.uint64(2**64 - 1), np.bool_(True), np.float16(2),
        np.float32(np.nan), np.longdouble(2), np.complex64(1), np.str_("same"),
        np.datetime64("2020"),
        np.array(2), np.array(True), np.array(1.5), np.array("same"), np.array(None), np.array([]),
        np.array([2, 1]), np.array([1.5, 2]), np.array([[1, 1], [0, 2]]), np.array([object()]),
        np.array(["a"]), np.array([(1, 2.0)], "i4,f8"), np.array(["2020"], "M8[D]"),
        np.ones((1,) * 40), np.zeros((0, 3, 0)), np.ones((2, 3, 5)).view(Marked),
        np.ma.masked_array([1.0, 2], [0, 1]), np.ma.masked,
        np.broadcast_to(1.0, (2**20, 2**20)), np.broadcast_to(np.int8(1), (2**40, 1, 2**20)),
        np.broadcast_to(1.0, (2, 0, 2**40)), np.full((2, 2, 4), np.nan), np.full((2, 2, 4), np.inf),
        np.ones(3, ml_dtypes.bfloat16), np.ones(3, ml_dtypes.float8_e4m3fn),
        np.ones(3, np.longdouble),
        np.ones((2, 2, 4), ">f4"), np.arange(16.0)[::-1], memoryview(b"abcd"), bytearray(b"ab"),
        np.dtype("f4"), "float32", "float99", ">f8", np.float32, "V3", "O",
        np.random.default_rng(0),
    ]  # fmt: skip


@dataclass
class Scene:
    """A convolution of a few cells, for which arguments are found by name."""

    random: Random
    last: bool = False
    rank: int = 2
    transposed: bool = False
    words: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        pick = self.random.choice
        self.groups = pick((1, 1, 1, 2))
        self.inside, self.multiplier, self.size = pick((1, 2, 3)), pick((1, 2)), pick((4, 5, 7))
        self.kernel, self.dtype = pick((1, 2, 3)), pick(("f4", "f4", "f4", "f8", "i8", "c8", "f2"))

    @property
    def channels(self) -> int:
        return self.inside * self.groups

    @property
    def filters(self) -> int:
        return self.multiplier * self.groups

    def array(self, *shape: int) -> Array:
        count = int(np.prod(shape))
        return (np.arange(count) % 7 - 3).astype(self.dtype).reshape(shape)

    def x(self, channels: int | None = None, size: int | None = None) -> Array:
        spatial = (self.size if size is None else size,) * self.rank
        channels = self.channels if channels is None else channels
        last = self.last and self.random.random() < 0.9
        return self.array(2, *spatial, channels) if last else self.array(2, channels, *spatial)

    def w(self) -> Array:
        if self.transposed:
            return self.array(self.channels, self.multiplier, *(self.kernel,) * self.rank)
        return self.array(self.filters, self.inside, *(self.kernel,) * self.rank)

    def per_axis(self, *choices: int) -> Any:
        value = self.random.choice(choices)
        return self.random.choice((value, (value,) * self.rank, [value] * self.rank))

    def pairs(self) -> Any:
        return [(self.random.randint(-1, 2), self.random.randint(-1, 2)) for _ in range(self.rank)]

    def layer(self) -> Layer:
        """Any layer of the package or of a dialect, made with next to no words."""
        made = self.random.choice(LAYERS)()
        if self.random.random() < 0.5:
            made = import_module("convref.layers").Sequential(made)
        return made


def makers() -> list[Callable[[], Layer]]:
    layers, torch, keras, brainpy, babilim = map(
        import_module,
        ("convref.layers", *(f"convref.dialects.{d}" for d in ("torch", "keras", "brainpy",
        "babilim"))),
    )  # fmt: skip
    return [
        lambda: layers.Conv2d(2, 2, 3, rng=0),
        lambda: layers.ConvTranspose1d(2, 3, 2, stride=2, rng=0),
        lambda: layers.DepthwiseConv2d(None, 3, rng=0),
        lambda: layers.BatchNorm(2),
        lambda: layers.Linear(4, 2, rng=0),
        lambda: layers.MaxPool2d(2),
        lambda: torch.Conv2d(2, 4, 3, padding=1, padding_mode="circular"),
        lambda: torch.LazyConv1d(2, 3),
        lambda: keras.Conv2D(3, 2, activation="relu"),
        lambda: keras.SeparableConv1D(3, 2),
        lambda: brainpy.Conv2d(2, 3, 3),
        lambda: babilim.Conv1D(3, 2),
    ]


LAYERS = makers()
BY_NAME: dict[str, Callable[[Scene], Any]] = {
    **dict.fromkeys(("x", "X", "input", "lhs", "data", "y", "target", "logits", "object", "image"),
                    lambda s: s.x()),
    **dict.fromkeys(("w", "W", "weight", "rhs"), lambda s: s.w()),
    **dict.fromkeys(("dy", "grad_output", "output", "cotangent"),
                    lambda s: s.x(s.filters, s.size - s.kernel + 1)),
    **dict.fromkeys(("bias", "B"), lambda s: s.random.choice((None, s.array(s.filters), True))),
    **dict.fromkeys(("in_channels", "channels", "in_features"),
                    lambda s: s.random.choice((s.channels, s.channels, None))),
    **dict.fromkeys(("out_channels", "filters", "out_features"), lambda s: s.filters),
    **dict.fromkeys(("kernel_size", "kernel_shape", "filter_shape"),
                    lambda s: s.random.choice((s.kernel, (s.kernel,) * s.rank,
                    [s.kernel] * s.rank))),
    **dict.fromkeys(("input_size", "size"), lambda s: (s.size,) * s.rank),
    **dict.fromkeys(("stride", "strides", "window_strides", "scale_factor"),
                    lambda s: s.per_axis(1, 1, 2, 3)),
    **dict.fromkeys(("dilation", "dilations", "dilation_rate", "rhs_dilation", "lhs_dilation",
                     "input_dilation"), lambda s: s.per_axis(1, 1, 2)),
    **dict.fromkeys(("groups", "group", "feature_group_count"), lambda s: s.groups),
    **dict.fromkeys(("padding", "pads", "cropping"), lambda s: s.random.choice(
        (0, 1, "valid", "same", "SAME", "causal", s.pairs(), (1,) * s.rank))),
    **dict.fromkeys(("use_bias", "trainable", "align_corners", "approximate", "affine", "keep_axes",
                     "return_sequences", "return_state", "go_backwards", "stateful", "nesterov",
                     "with_bias", "unit_forget_bias", "ceil_mode", "pytorch_compat"),
                    lambda s: s.random.random() < 0.5),
    **dict.fromkeys(("activation", "recurrent_activation"),
                    lambda s: s.random.choice((None, "relu", "gelu", "tanh", "linear"))),
    **dict.fromkeys(("weight_initialiser", "kernel_initializer", "bias_initialiser",
                     "bias_initializer", "depthwise_initializer"),
                    lambda s: s.random.choice(("zeros", "ones", "he_normal", "glorot_uniform"))),
    **dict.fromkeys(("weight_regulariser", "kernel_regularizer", "bias_regularizer"),
                    lambda s: s.random.choice((None, "l2", "l1"))),
    **dict.fromkeys(("weight_constraint", "kernel_constraint"),
                    lambda s: s.random.choice((None, "max_norm", "non_neg"))),
    **dict.fromkeys(("rng", "seed"), lambda s: s.random.choice((None, 0, 7))),
    **dict.fromkeys(("rate", "alpha", "slope", "momentum", "dropout", "factor", "learning_rate",
                     "epsilon", "value", "scale", "mean", "standard_deviation", "weight_decay"),
                    lambda s: s.random.choice((0.0, 0.1, 0.5, 1.0))),
    **dict.fromkeys(("layer", "body", "shortcut", "layers"), lambda s: s.layer()),
    **dict.fromkeys(("to", "source"), lambda s: s.random.choice(("torch", "keras", "brainpy"))),
    "accumulate": lambda s: s.random.choice((None, "float32", "float64", "int64")),
    "axis": lambda s: s.random.choice((-1, 0, 1)),
    "backend": lambda s: s.random.choice((None, "naive", "numpy", "numba", "exact", "fft",
                                          "winograd")),
    "cols": lambda s: s.array(2, s.channels * s.kernel**s.rank, (s.size - s.kernel + 1) ** s.rank),
    "config": lambda s: {"class_name": s.random.choice(("Conv2d", "Conv2D", "Conv1d")),
                         "config": {"kernel_size": 3, "filters": 2}},
    "count": lambda s: s.random.choice((1, 2)),
    "data_format": lambda s: s.random.choice((None, "channels_first", "channels_last")),
    "depthwise": lambda s: s.array(s.channels * 2, 1, *(s.kernel,) * s.rank),
    "dimension_numbers": lambda s: s.random.choice((None, ("NCHW", "OIHW", "NCHW"))),
    "dtype": lambda s: s.random.choice(("float32", "float64", np.float16, ml_dtypes.bfloat16)),
    "kind": lambda s: s.random.choice(("forward", "transpose", "input_grad", "weight_grad")),
    "labels": lambda s: np.zeros((2, s.channels), int),
    "layout": lambda s: "channels_last" if s.last else "channels_first",
    "mask": lambda s: None,
    "mode": lambda s: s.random.choice(("nearest", "linear", "bilinear", "constant", "fan_in")),
    "output_padding": lambda s: s.per_axis(0, 0, 1),
    "padding_mode": lambda s: s.random.choice(("zeros", "reflect", "replicate", "circular")),
    "path": lambda s: s.random.choice(("no-such.npz", "no/such.safetensors", "no-suffix",
    __file__)),
    "pointwise": lambda s: s.array(s.filters, s.channels * 2, *(1,) * s.rank),
    "threads": lambda s: s.random.choice((None, 1, 2)),
    "w_shape": lambda s: s.w().shape,
    "weight_size": lambda s: s.w().shape,
    "x_shape": lambda s: s.x().shape,
}  # fmt: skip


@cache
def parameters(function: Callable[..., Any]) -> tuple[tuple[str, bool, bool], ...]:
    """Of a function its arguments: their names, which must be given, which by keyword."""
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            found.append((name, True, False))
        elif parameter.kind is parameter.VAR_KEYWORD:
            for words in typing.get_args(parameter.annotation):
                hints = typing.get_type_hints(words)
                found += [(word, False, True) for word in hints]
        else:
            required = parameter.default is parameter.empty
            found.append((name, required, parameter.kind is parameter.KEYWORD_ONLY))
    return tuple(found)


@dataclass
class Call:
    """A function and what it is called with."""

    name: str
    function: Callable[..., Any]
    args: list[Any]
    words: dict[str, Any]

    def __call__(self) -> Any:
        return self.function(*self.args, **self.words)

    def __str__(self) -> str:
        given = [short(value) for value in self.args]
        given += [f"{name}={short(value)}" for name, value in self.words.items()]
        return f"{self.name}({', '.join(given)})"

    def is_pythons(self, error: Exception) -> bool:
        """Whether Python itself refuses to pass these arguments; R's functions have it do so."""
        if type(error) is not TypeError:
            return False
        try:
            inspect.signature(self.function).bind(*self.args, **self.words)
        except TypeError:
            return True
        return position(error).startswith(inspect.__file__)


def short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"<{type(value).__name__} {value.shape} {value.dtype}>"
    try:
        return repr(value)[:80]
    except (RecursionError, ValueError) as error:
        return f"<{type(value).__name__}: {error}>"


def drawn_call(random: Random, name: str, function: Callable[..., Any]) -> Call:
    """One call of the function."""
    last = ".keras" in name or ".brainpy" in name or random.random() < 0.2
    digits = [int(letter) for letter in name[-12:] if letter in "123"]
    scene = Scene(random, last, digits[0] if digits else random.choice((1, 2, 2, 3)))
    scene.transposed = "ranspose" in name
    call = Call(name, function, [], {})
    spoiled = random.random() < 0.6
    for word, required, by_keyword in parameters(function):
        if not required and random.random() < 0.75:
            continue
        fits = BY_NAME.get(word)
        wrong = fits is None or (spoiled and random.random() < 0.3)
        value = random.choice(nonsense()) if wrong or fits is None else fits(scene)
        if by_keyword or not required:
            call.words[word] = value
        else:
            call.args.append(value)
    if random.random() < 0.02:
        call.words[random.choice(("strid", "nonsense", "Padding"))] = 1
    if random.random() < 0.01 and call.args:
        call.args.pop()
    return call


def consequences(random: Random, call: Call, result: Any) -> Iterator[Call]:
    """What a user does next with what a call has returned."""
    scene = Scene(random, ".keras" in call.name or ".brainpy" in call.name)
    digits = [int(letter) for letter in call.name[-12:] if letter in "123"]
    scene.rank = digits[0] if digits else random.choice((1, 2, 3))
    channels = call.words.get("in_channels", call.args[0] if call.args else None)
    fitting = channels if type(channels) is int and 0 < channels < 9 else scene.channels
    odd = random.random() < 0.3
    if isinstance(result, Layer):
        x = random.choice(nonsense()) if odd else scene.x(fitting)
        yield Call(f"{call.name}()", result, [x], {})
        if type(result).__module__ != "convref.dialects.keras.sequential":  # takes a function
            yield Call(f"{call.name}().summary", result.summary, [x if odd else x.shape[1:]], {})
    elif isinstance(result, Mapping | str | int | float | np.ndarray | tuple | None):
        return
    elif callable(result):
        arguments = [random.choice(nonsense()) if odd else scene.w()]
        yield Call(f"{call.name}()", result, arguments, {})
    elif hasattr(result, "step"):
        yield Call(f"{call.name}().step", result.step, [], {})
    elif hasattr(result, "to_json"):
        yield Call(f"{call.name}().to_json", result.to_json, [], {})


def backward(random: Random, layer: Layer, y: Any) -> Call:
    """The way back through a layer that has been called."""
    dy = random.choice(nonsense()) if random.random() < 0.3 else np.ones_like(np.asarray(y))
    return Call(f"{type(layer).__name__}.backward", layer.backward, [dy], {})


def value_of(random: Random, value: Any) -> Any:
    """The value, if it can be used more than once."""
    return random.choice((1, 2, -1)) if isinstance(value, Iterator) else value


def position(error: BaseException) -> str:
    """Where an error comes from."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "nowhere"
