"""How Keras pads: by a word, or by a layer before or behind."""

from collections.abc import Callable
from typing import Any

from convref import layers as ours
from convref.dialects.keras import conv, reshaping
from convref.errors import WordError, shown
from convref.geometry import spread, transposed_size
from convref.layer import Layer
from convref.padding import Pair, resolve
from convref.spec import ConvSpec

Pairs = tuple[Pair, ...]


def kinds(module: Any, pattern: str, rank: int) -> Callable[..., Any]:
    """The class for so many axes; raise WordError."""
    name = pattern.format(rank)
    if not hasattr(module, name):
        raise WordError(f"Keras has no {name}", "use a layer of fewer axes")
    found: Callable[..., Any] = getattr(module, name)
    return found


def in_format(spec: ConvSpec) -> dict[str, str]:
    """The data format, for layers that have one; raise WordError."""
    if spec.rank > 1:
        return {"data_format": spec.layout}
    if spec.layout == "channels_first":
        raise WordError(
            "`layout` (='channels_first'): Keras's layer for one axis has channels last alone",
            "use layout='channels_last'",
        )
    return {}


def geometry(spec: ConvSpec) -> dict[str, Any]:
    """Keras's words for what all convolutions have, but for the padding."""
    return {"strides": spec.stride, "dilation_rate": spec.dilation, "data_format": spec.layout}


def padding(layer: Any, *, causal: bool) -> tuple[str, list[Layer]]:
    """Keras's padding word, and what goes before the layer; raise WordError."""
    spec: ConvSpec = layer.spec
    if spec.padding in ("valid", "same"):
        return str(spec.padding), []
    unit = set(spec.stride) == {1}
    if spec.padding == "same_lower" and not unit:
        raise WordError(
            f"`padding` (='same_lower') with `stride` (={spec.stride}) depends on the size of the "
            "input, and Keras has no word for it",
            "give the padding as pairs, or use 'same'",
        )
    windows = list(map(spread, layer.kernel_size, spec.dilation))
    amounts = pairs_of(spec.padding, windows)
    if causal and spec.rank == 1 and amounts == pairs_of("causal", windows):
        return "causal", []
    if unit and amounts == pairs_of("same", windows):
        return "same", []
    return "valid", framing(amounts, layer)


def pairs_of(word: Any, windows: list[int]) -> Pairs:
    """What a padding comes to, with strides of 1."""
    return tuple(resolve(word, axis, window, window, 1) for axis, window in enumerate(windows))


def framing(amounts: Pairs, layer: Any) -> list[Layer]:
    """Layers that pad by these amounts, and crop where they are negative."""
    spec, words = layer.spec, {"dtype": layer.dtype}
    less = tuple((max(-lo, 0), max(-hi, 0)) for lo, hi in amounts)
    more = tuple((max(lo, 0), max(hi, 0)) for lo, hi in amounts)
    cropped = [cropping(less, spec, **words)] if any(map(any, less)) else []
    padded = [zero_padding(more, spec, **words)] if any(map(any, more)) else []
    return [*cropped, *padded]


def zero_padding(amounts: Pairs, spec: ConvSpec, **words: Any) -> Layer:
    """A ZeroPadding; one for a single axis takes its pair alone."""
    kind = kinds(reshaping, "ZeroPadding{}D", spec.rank)
    made: Layer = kind(amounts if spec.rank > 1 else amounts[0], spec.layout, **words)
    return made


def cropping(amounts: Pairs, spec: ConvSpec, **words: Any) -> Layer:
    """A Cropping; one for a single axis takes its pair alone."""
    kind = kinds(reshaping, "Cropping{}D", spec.rank)
    made: Layer = kind(amounts if spec.rank > 1 else amounts[0], **in_format(spec), **words)
    return made


def transposed_padding(layer: ours.ConvTranspose) -> tuple[dict[str, Any], list[Layer]]:
    """Keras's padding and output padding, and what goes behind the layer; raise WordError."""
    spec, wanted = layer.spec, cut(layer)
    kind = kinds(conv, "Conv{}DTranspose", spec.rank)
    windows = map(spread, layer.kernel_size, spec.dilation)
    middle = tuple(w - w % 2 - lo - hi for w, (lo, hi) in zip(windows, wanted, strict=True))
    choices: list[dict[str, Any]] = [{"padding": "valid"}, {"padding": "same"}]
    if all(0 <= more < step for more, step in zip(middle, spec.stride, strict=True)):
        choices.append({"padding": "same", "output_padding": middle})
    for words in choices:
        if cut(kind(1, layer.kernel_size, name="choice", **words, **geometry(spec))) == wanted:
            return words, []
    added = tuple(max(-hi, 0) for _, hi in wanted)
    if any(more >= step for more, step in zip(added, spec.stride, strict=True)):
        raise WordError(
            f"`output_padding` (={layer.output_padding}) reaches further than Keras's can",
            "put a ZeroPadding behind the layer, which adds no bias",
        )
    rest = tuple((-lo, -max(hi, 0)) for lo, hi in wanted)
    if min(lo for lo, _ in wanted) < 0 and (layer.has_bias or layer.activation is not None):
        raise WordError(
            f"what `padding` (={shown(spec.padding)}) adds to the output has a bias, and Keras's "
            "ZeroPadding adds none",
            "use padding of 0 or more",
        )
    return {"padding": "valid", "output_padding": added}, framing(rest, layer)


def cut(layer: ours.ConvTranspose) -> Pairs:
    """What the padding cuts off the window that one position becomes; less than 0 adds to it."""
    spec, one = layer.spec, (1,) * layer.spec.rank
    sizes = layer.chosen(transposed_size(spec, one, layer.kernel_size))
    found = []
    for axis, size in enumerate(sizes):
        window = spread(layer.kernel_size[axis], spec.dilation[axis])
        lo = resolve(spec.padding, axis, size, window, spec.stride[axis])[0]
        found.append((lo, window - lo - size))
    return tuple(found)
