"""A dialect's words, with its own defaults and refusals, as a setting."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from convref.dialects.jax.call import as_forward, translated
from convref.dialects.onnx.attributes import Attributes
from convref.dialects.onnx.convolution import conv_words, transposed_words
from convref.dialects.table import IDEAS
from convref.dialects.torch.arguments import check_reach
from convref.errors import ConvrefError, WordError, verb
from convref.explain.setting import Setting, Sizes, setting, sizes_of
from convref.geometry import bind, gathered
from convref.integers import per_axis
from convref.names import one_of
from convref.padding import pairs
from convref.spec import Axes, ConvSpec

Words = dict[str, Any]

KINDS = {
    "torch": ("Conv{}d", "ConvTranspose{}d"),
    "keras": ("Conv{}D", "Conv{}DTranspose"),
    "brainpy": ("Conv{}d", "ConvTranspose{}d"),
    "babilim": ("Conv{}D", "Conv{}DTranspose"),
}
"""Layers of one to three axes, and transposed ones, by the names that they have or would have."""
WITH_INPUT_CHANNELS = ("torch", "brainpy")
CAPITALS = ("jax", "brainpy", "onnx")
"""Whose padding words are in capitals; here they may be in small letters, as everywhere."""


@verb
def setting_in(
    dialect: str,
    input_size: Axes,
    kernel_size: Axes,
    *,
    transposed: bool = False,
    in_channels: int = 1,
    out_channels: int = 1,
    **words: Any,
) -> Setting:
    """The setting that words of a dialect mean, given under convref's names.

    Words that are left out have the dialect's defaults; what it refuses is refused. The dialects
    are convref (as `setting`), torch, keras, jax, brainpy, babilim and onnx, where a padding word
    is `auto_pad`'s and any other padding is written as `pads`. Transposed convolutions of JAX and
    brainpy don't flip the kernel, as those of a setting do: the sizes are the same.

    >>> setting_in("babilim", 7, 3, stride=2).geometry.padding
    ((1, 1),)
    >>> setting_in("torch", 7, 3, stride=2).geometry.padding
    ((0, 0),)
    """
    one_of("dialect", dialect, ("convref", *READERS))
    if dialect != "convref":
        size, kernel = sizes_of(input_size, kernel_size)
        if dialect in CAPITALS and isinstance(words.get("padding"), str):
            words["padding"] = words["padding"].upper()
        words = READERS[dialect](dialect, size, kernel, transposed, words)
    return setting(
        input_size,
        kernel_size,
        transposed=transposed,
        in_channels=in_channels,
        out_channels=out_channels,
        **words,
    )


def of_layer(dialect: str, size: Sizes, kernel: Sizes, transposed: bool, words: Words) -> Words:
    """What a layer means by the words."""
    module = import_module(f"convref.dialects.{dialect}")
    name = KINDS[dialect][transposed].format(len(kernel))
    if not hasattr(module, name):
        raise WordError(f"{dialect} has no {name}", "use another dialect")
    groups = max(1, words.get("groups", 1))
    channels = (groups,) * (2 if dialect in WITH_INPUT_CHANNELS else 1)
    try:
        layer = getattr(module, name)(*channels, kernel, **in_dialect(dialect, words))
    except ConvrefError:
        raise
    except TypeError as error:  # of words that the class doesn't have
        raise WordError(f"{dialect} can't make this {name}: {error}", "leave it out") from None
    if dialect == "torch":
        check_reach(layer.spec, size, kernel)
    found = of_spec(layer.spec)
    return found | {"output_padding": layer.output_padding} if transposed else found


def in_dialect(dialect: str, words: Words) -> Words:
    """Words by the dialect's names; raise WordError for one that it has not."""
    names = {idea.convref: getattr(idea, dialect) for idea in IDEAS}
    names["output_padding"] = "output_padding"
    for word in words:
        if not names.get(word):
            raise WordError(f"{dialect} has no `{word}`", "leave it out")
    return {names[word]: value for word, value in words.items()}


def of_spec(spec: ConvSpec) -> Words:
    """The words of a spec that are not plain."""
    named = ("stride", "padding", "dilation", "input_dilation", "groups", "padding_mode")
    return {word: getattr(spec, word) for word in named}


def of_jax(dialect: str, size: Sizes, kernel: Sizes, transposed: bool, words: Words) -> Words:
    """What `conv_general_dilated`, or `conv_transpose`, means by the words."""
    in_dialect(dialect, {word: 0 for word in words if word != "output_padding"})
    rank, groups = len(kernel), words.get("groups", 1)
    steps = {
        word: per_axis(word, words.get(word, 1), rank, minimum=1)
        for word in ("stride", "dilation", "input_dilation")
    }
    padding = words.get("padding", "VALID")
    if not transposed:
        lhs, rhs = blank(1, groups, *size), blank(groups, 1, *kernel)
        call = translated(
            lhs, rhs, steps["stride"], padding, steps["input_dilation"], steps["dilation"],
            None, groups, 1, None, None, None,
        )  # fmt: skip
        return of_spec(call.spec)
    for word in ("groups", "output_padding", "input_dilation"):
        if word in words:
            raise WordError(f"JAX's `conv_transpose` has no `{word}`", "leave it out")
    lhs, rhs = blank(1, *size, 1), blank(*kernel, 1, 1)
    rhs, told = as_forward(
        lhs, rhs, steps["stride"], padding, steps["dilation"], None, False, False
    )
    spec = translated(lhs, rhs, **told, feature_group_count=1, batch_group_count=1, precision=None,
        preferred_element_type=None, out_sharding=None).spec  # fmt: skip
    geometry = gathered(bind(spec, size, kernel))
    return {"stride": steps["stride"], "padding": geometry.padding, "dilation": steps["dilation"]}


def of_onnx(dialect: str, size: Sizes, kernel: Sizes, transposed: bool, words: Words) -> Words:
    """What Conv, or ConvTranspose, means by the words."""
    theirs = in_dialect(dialect, words)
    rank, group = len(kernel), theirs.get("group", 1)
    padding = theirs.get("pads")
    auto_pad, pads = "NOTSET", None
    if isinstance(padding, str):
        auto_pad = padding
    elif padding is not None:
        both = pairs("padding", padding, rank)
        pads = [before for before, _ in both] + [after for _, after in both]
    lists = {
        word: list(per_axis(word, theirs[word], rank, minimum=1))
        for word in ("strides", "dilations")
        if word in theirs
    }
    attributes = Attributes(auto_pad, lists.get("dilations"), pads, lists.get("strides"), group)
    x, w = blank(1, group, *size), blank(group, 1, *kernel)
    if not transposed:
        return {**conv_words(x, w, attributes, None)}
    extra = theirs.get("output_padding", 0)
    extra = list(per_axis("output_padding", extra, rank, minimum=0))
    return {**transposed_words(x, w, attributes, None, extra, None)}


def blank(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """An array that takes no memory."""
    return np.broadcast_to(np.float32(0), shape)


READERS: dict[str, Callable[[str, Sizes, Sizes, bool, Words], Words]] = {
    "torch": of_layer,
    "keras": of_layer,
    "jax": of_jax,
    "brainpy": of_layer,
    "babilim": of_layer,
    "onnx": of_onnx,
}
"""How each dialect's words are read."""
