"""A setting as code of each framework: one function a framework, which raises where it can't.

Layers are those that `convref.dialects` translates to, so what a framework can't say, and what its
words mean, is known there and nowhere else. In calls of functions the arrays are called x and w.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from convref import layers
from convref.dialects import babilim, brainpy, keras, torch
from convref.dialects.torch.arguments import check_reach
from convref.dialects.torch.translation import PADDING_LAYERS
from convref.errors import WordError, shown
from convref.explain.calls import Name, as_tuple, call, chosen, one, unless_ones
from convref.explain.setting import Setting
from convref.geometry import gathered, transposed_size
from convref.padding import Pair

AUTO_PADS = {"same": "SAME_UPPER", "same_lower": "SAME_LOWER"}
SPATIAL = {1: "H", 2: "HW", 3: "DHW"}
"""Letters of the spatial axes in JAX's dimension numbers."""


def layer_of(setting: Setting, **words: Any) -> Any:
    """The layer of convref, with one channel in a group: no framework's words depend on them."""
    spec, few = setting.spec, setting.geometry.groups
    named = ("stride", "padding", "dilation", "groups")
    given: dict[str, Any] = {word: getattr(spec, word) for word in named}
    given["weight_initialiser"] = "zeros"
    if setting.transposed:
        given["output_padding"] = setting.output_padding
        kind: Any = layers.ConvTranspose
    else:
        given |= {"input_dilation": spec.input_dilation, "padding_mode": spec.padding_mode}
        kind = layers.Conv
    return kind(few, few, setting.geometry.kernel_size, **given | words)


# The frameworks


def torch_code(setting: Setting) -> str:
    """A layer of torch.nn, with one that pads before it or crops after it where that is needed."""
    geometry = setting.geometry
    check_reach(setting.spec, geometry.input_size, geometry.kernel_size)
    try:
        return torch_layer(layer_of(setting), setting)
    except WordError:
        pairs = geometry.padding
        if setting.transposed:
            pairs = tuple((-before, -after) for before, after in cut_off(setting))
        if setting.word or not can_frame(setting, pairs):
            raise
        plain = {"output_padding": 0} if setting.transposed else {"padding_mode": "zeros"}
        valid = torch_layer(layer_of(setting, padding="valid", **plain), setting)
        frame = padding_layer(pairs, geometry.padding_mode)
        row = (valid, frame) if setting.transposed else (frame, valid)
        return f"nn.Sequential({', '.join(row)})"


def can_frame(setting: Setting, pairs: tuple[Pair, ...]) -> bool:
    """Whether a layer of PyTorch pads by these pairs as it should.

    What is added to an output would have no bias; no more can be cropped than there is; and what
    repeats does not crop: PyTorch 2.13 gives unwritten memory for CircularPad1d((1, -1)).
    """
    if setting.transposed:
        return max(map(max, pairs)) <= 0
    if setting.geometry.padding_mode != "zeros":
        return min(map(min, pairs)) >= 0
    sizes = zip(setting.input_size, pairs, strict=True)
    return all(size + min(lo, 0) + min(hi, 0) >= 0 for size, (lo, hi) in sizes)


def padding_layer(pairs: tuple[Pair, ...], mode: str) -> str:
    """A layer of PyTorch that pads, or crops."""
    last_axis_first = [amount for pair in reversed(pairs) for amount in pair]
    return call(f"nn.{PADDING_LAYERS[mode]}{len(pairs)}d", tuple(last_axis_first))


def torch_layer(layer: Any, setting: Setting) -> str:
    """A layer in PyTorch's words."""
    made = torch.get_config(torch.from_layer(layer))
    words = {word: as_tuple(value) for word, value in made["config"].items()}
    return call(
        f"nn.{made['class_name']}",
        setting.in_channels,
        setting.out_channels,
        one(setting.geometry.kernel_size),
        **chosen(words, "stride", "padding"),
        output_padding=one(words.get("output_padding")) or None,
        **chosen(words, "dilation", "groups", "padding_mode"),
    )


def cut_off(setting: Setting) -> tuple[Pair, ...]:
    """How far a transposed convolution's output ends within all that it reaches, on each side."""
    spec = replace(setting.spec, padding="valid")
    whole = transposed_size(spec, setting.input_size, setting.geometry.kernel_size)
    return tuple(
        (axis.lo, reached - axis.lo - axis.size)
        for axis, reached in zip(setting.geometry.axes, whole, strict=True)
    )


def keras_code(setting: Setting) -> str:
    """A layer of keras.layers, or a Sequential of it and layers that pad or crop."""
    found: Any = keras.from_layer(layer_of(setting, layout="channels_last", name="explained"))
    found.compute_output_shape((1, *setting.input_size, setting.geometry.groups))  # or refuses it
    lines = [keras_layer(each, setting) for each in getattr(found, "layers", [found])]
    return lines[0] if len(lines) == 1 else f"keras.Sequential([{', '.join(lines)}])"


def keras_layer(layer: Any, setting: Setting) -> str:
    """A layer in Keras's words."""
    name, words = f"keras.layers.{type(layer).__name__}", layer.get_config()
    for amounts in ("cropping", "padding"):
        if "filters" not in words and amounts in words:
            return call(name, words[amounts])
    named = ("strides", "padding", "output_padding", "dilation_rate", "groups")
    size = one(setting.geometry.kernel_size)
    return call(name, setting.out_channels, size, **chosen(words, *named))


def jax_code(setting: Setting) -> str:
    """A call of jax.lax, with channels first."""
    spec, pairs = setting.spec, setting.geometry.padding
    if spec.padding_mode != "zeros":
        raise WordError(
            f"JAX has no `padding_mode` (={shown(spec.padding_mode)})", "pad with jax.numpy.pad"
        )
    if setting.transposed:
        return jax_transposed(setting)
    padding: Any = list(pairs)
    if setting.word in ("valid", "same", "same_lower"):
        if max(spec.input_dilation) > 1:
            raise WordError("JAX takes pairs where there is `lhs_dilation`", "give it pairs")
        padding = setting.word.upper()
    return call(
        "lax.conv_general_dilated",
        Name("x"),
        Name("w"),
        spec.stride,
        padding,
        lhs_dilation=unless_ones(spec.input_dilation),
        rhs_dilation=unless_ones(spec.dilation),
        feature_group_count=spec.groups,
    )


def jax_transposed(setting: Setting) -> str:
    """A transposed convolution, which JAX pads as the convolution that it is when gathered."""
    spec = setting.spec
    if spec.groups > 1:
        raise WordError(
            f"JAX's `conv_transpose` has no groups (={spec.groups})", "call it for each group"
        )
    if spec.rank not in SPATIAL:
        raise WordError(f"letters name no {spec.rank} axes", "use ConvDimensionNumbers")
    axes = SPATIAL[spec.rank]
    return call(
        "lax.conv_transpose",
        Name("x"),
        Name("w"),
        spec.stride,
        list(gathered(setting.geometry).padding),
        rhs_dilation=unless_ones(spec.dilation),
        dimension_numbers=(f"NC{axes}", f"OI{axes}", f"NC{axes}"),
        transpose_kernel=True,
    )


def brainpy_code(setting: Setting) -> str:
    """A layer of brainpy.dnn."""
    made = brainpy.get_config(brainpy.from_layer(layer_of(setting)))
    words = {word: as_tuple(value) for word, value in made["config"].items()}
    padding = words.pop("padding")  # whose default is "SAME"
    return call(
        f"dnn.{made['class_name']}",
        setting.in_channels,
        setting.out_channels,
        one(setting.geometry.kernel_size),
        **chosen(words, "stride"),
        padding=padding,
        **chosen(words, "lhs_dilation", "rhs_dilation", "groups"),
    )


def babilim_code(setting: Setting) -> str:
    """A layer of babilim."""
    made = babilim.get_config(babilim.from_layer(layer_of(setting)))
    words = {word: as_tuple(value) for word, value in made["config"].items()}
    if words.get("pytorch_compat"):
        raise WordError(
            f"babilim documents no padding such as {setting.geometry.padding}",
            "use padding='none', and pad before the layer",
        )
    named = ("padding", "stride", "dilation_rate")
    size = one(setting.geometry.kernel_size)
    return call(made["class_name"], setting.out_channels, size, **chosen(words, *named))


def onnx_code(setting: Setting) -> str:
    """A node of ONNX."""
    spec, pairs = setting.spec, setting.geometry.padding
    for word, value, plain, mend in (
        ("padding_mode", spec.padding_mode, "zeros", "use a Pad node before it"),
        ("input_dilation", max(spec.input_dilation), 1, "a ConvTranspose spreads its input out"),
    ):
        if value != plain:
            raise WordError(f"ONNX's Conv has no `{word}` (={shown(value)})", mend)
    words: dict[str, Any] = {}
    if not setting.transposed and setting.word in AUTO_PADS:
        if max(spec.dilation) > 1:
            raise WordError("ONNX Runtime has no `auto_pad` with `dilations`", "use `pads`")
        words["auto_pad"] = AUTO_PADS[setting.word]
    elif min(map(min, pairs)) < 0:
        raise WordError(f"ONNX's `pads` are not negative (={pairs})", "use a Pad or Slice node")
    elif any(map(any, pairs)):
        words["pads"] = [lo for lo, _ in pairs] + [hi for _, hi in pairs]
    extra = replace(setting, word="").output_padding  # which goes with pads
    if any(extra):
        words["output_padding"] = list(extra)
    lists = {"strides": spec.stride, "dilations": spec.dilation}
    words |= {word: list(sizes) for word, sizes in lists.items() if max(sizes) > 1}
    kind = "ConvTranspose" if setting.transposed else "Conv"
    return call("helper.make_node", kind, ["x", "w"], ["y"], **words, group=spec.groups)


def convref_code(setting: Setting) -> str:
    """A call of convref."""
    spec, name = setting.spec, "conv_transpose" if setting.transposed else "conv"
    padding: Any = setting.word or setting.geometry.padding
    if not setting.word and all(lo == hi for lo, hi in padding):
        padding = one(tuple(lo for lo, _ in padding))
    return call(
        name,
        Name("x"),
        Name("w"),
        stride=one(spec.stride),
        padding=padding,
        output_padding=one(setting.output_padding) or None,
        dilation=one(spec.dilation),
        input_dilation=one(spec.input_dilation),
        groups=spec.groups,
        padding_mode=spec.padding_mode,
    )


WRITERS: dict[str, tuple[str, Callable[[Setting], str]]] = {
    "convref": ("from convref import conv, conv_transpose", convref_code),
    "torch": ("from torch import nn", torch_code),
    "keras": ("import keras", keras_code),
    "jax": ("from jax import lax", jax_code),
    "brainpy": ("from brainpy import dnn", brainpy_code),
    "babilim": ("from babilim.model.layers.convolution import Conv1D, Conv2D", babilim_code),
    "onnx": ("from onnx import helper", onnx_code),
}
"""Of each dialect what to import, and how to write."""
