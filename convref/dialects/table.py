"""Which word each dialect has for each idea, and where meanings differ: the README's table."""

from typing import NamedTuple


class Idea(NamedTuple):
    """One idea: the word for it in convref and in each dialect ("" for none), and what differs."""

    convref: str
    torch: str
    keras: str
    jax: str
    brainpy: str
    babilim: str
    onnx: str
    differs: str


DIALECTS = {
    "torch": "Conv2d",
    "keras": "Conv2D",
    "jax": "conv_general_dilated",
    "brainpy": "Conv2d",
    "babilim": "Conv2D",
    "onnx": "Conv",
}
"""Where in each dialect the words are those of."""

IDEAS = (
    Idea(
        "in_channels", "in_channels", "", "", "in_channels", "", "",
        "Keras and babilim take it from the first input; JAX and ONNX from the weights",
    ),
    Idea(
        "out_channels", "out_channels", "filters", "", "out_channels", "filters", "", "",
    ),
    Idea(
        "kernel_size", "kernel_size", "kernel_size", "", "kernel_size", "kernel_size",
        "kernel_shape", "",
    ),
    Idea(
        "stride", "stride", "strides", "window_strides", "stride", "stride", "strides",
        "brainpy has `strides` as well, and so has babilim's Conv2D",
    ),
    Idea(
        "padding", "padding", "padding", "padding", "padding", "padding", "pads",
        "an int pads both sides; pairs are (lo, hi) per axis in JAX and brainpy, and in ONNX all "
        "lo, then all hi; PyTorch refuses \"same\" with strides; None is \"same\" in babilim; ONNX "
        "says \"same\" with `auto_pad`",
    ),
    Idea(
        "dilation", "dilation", "dilation_rate", "rhs_dilation", "rhs_dilation", "dilation_rate",
        "dilations", "Keras refuses it together with strides",
    ),
    Idea(
        "input_dilation", "", "", "lhs_dilation", "lhs_dilation", "", "",
        "elsewhere that is a transposed convolution",
    ),
    Idea(
        "groups", "groups", "groups", "feature_group_count", "groups", "", "group", "",
    ),
    Idea(
        "padding_mode", "padding_mode", "", "", "", "", "",
        "\"reflect\" and \"circular\" reach as far as asked in convref, not in PyTorch",
    ),
    Idea(
        "layout", "", "data_format", "dimension_numbers", "", "", "",
        "channels are last by default in Keras, always in brainpy, and first elsewhere",
    ),
    Idea(
        "bias", "bias", "use_bias", "", "b_initializer", "", "B",
        "brainpy has none with `b_initializer=None`; ONNX takes the numbers",
    ),
    Idea(
        "activation", "", "activation", "", "", "activation", "", "",
    ),
    Idea(
        "weight_initialiser", "", "kernel_initializer", "", "w_initializer", "kernel_initializer",
        "",
        "Glorot uniform in Keras and here, Kaiming uniform with a = sqrt(5) in PyTorch, Xavier "
        "normal in brainpy, orthonormal in babilim",
    ),
    Idea("mask", "", "", "", "mask", "", "", ""),
)  # fmt: skip

SHAPES = Idea(
    "(K, C/G, *k)", "(K, C/G, *k)", "(*k, C/G, K)", "(K, C/G, *k)", "(*k, C/G, K)", "(K, C/G, *k)",
    "(K, C/G, *k)", "of the weights; in JAX `dimension_numbers` chooses",
)  # fmt: skip


def markdown() -> str:
    """The table, as it stands in the README."""
    heads = (*Idea._fields[:-1], "what differs")
    rows = [
        (*(f"`{word}`" if word else "-" for word in idea[:-1]), idea.differs)
        for idea in (*IDEAS, SHAPES)
    ]
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)
