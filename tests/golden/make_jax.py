# /// script
# requires-python = ">=3.11"
# dependencies = ["jax==0.10.2", "jaxlib==0.10.2", "ml_dtypes==0.6.0", "numpy==2.4.6"]
# ///
"""Write ``jax.npz``: convolutions and gradients computed by JAX on a CPU.

The shapes in the table are the stored ones (see `corpus`): weights ``(K, C/groups, *kernel)``, or
``(C, K, *kernel)`` where transposed. Lines with the argument ``dimension_numbers`` run in the
layout that it names, ``conv_transpose`` runs in its default one, channels last; the others run in
theirs, channels first.
"""

from typing import Any

import jax
import ml_dtypes
import numpy as np
from corpus import Arrays, Corpus, Description, Layer, Pullback, call_text, convref_words, layer

NWC = ("NWC", "WIO", "NWC")
NHWC = ("NHWC", "HWIO", "NHWC")
NDHWC = ("NDHWC", "DHWIO", "NDHWC")

GENERAL, TRANSPOSE = "conv_general_dilated", "conv_transpose"

# fmt: off
LAYERS = [
    # One axis.
    layer(GENERAL, "asymmetric", (2, 3, 11), (4, 3, 4), "f32 f64", window_strides=(2,),
          padding=[(0, 3)]),
    layer(GENERAL, "negative-padding", (2, 2, 12), (3, 2, 3), "f32 f64", window_strides=(1,),
          padding=[(-2, 1)]),
    layer(GENERAL, "causal-dilated", (1, 4, 20), (4, 4, 2), window_strides=(1,),
          padding=[(8, 0)], rhs_dilation=(8,)),
    layer(GENERAL, "input-dilation", (2, 3, 7), (2, 3, 4), "f32 f64", window_strides=(1,),
          padding=[(2, 3)], lhs_dilation=(3,)),
    layer(GENERAL, "input-dilation-stride", (2, 2, 9), (3, 2, 3), window_strides=(3,),
          padding=[(1, 2)], lhs_dilation=(2,), rhs_dilation=(2,)),
    layer(GENERAL, "same-lower-even-kernel", (2, 9, 3), (4, 3, 4), window_strides=(2,),
          padding="SAME_LOWER", dimension_numbers=NWC),
    layer(GENERAL, "depthwise", (2, 12, 3), (3, 1, 3), window_strides=(1,), padding="SAME",
          dimension_numbers=NWC, feature_group_count=3),
    # Two axes.
    layer(GENERAL, "same-even-kernel-stride", (2, 3, 6, 7), (4, 3, 4, 2), "f32 f64 f16 bf16",
          window_strides=(2, 3), padding="SAME"),
    layer(GENERAL, "same-lower-even-kernel", (2, 3, 6, 7), (4, 3, 4, 2), "f32 f64",
          window_strides=(2, 3), padding="SAME_LOWER"),
    layer(GENERAL, "same-dilated-even-kernel", (1, 2, 8, 7), (3, 2, 2, 4), window_strides=(1, 1),
          padding="SAME", rhs_dilation=(3, 2)),
    layer(GENERAL, "asymmetric", (2, 3, 5, 6), (3, 3, 3, 3), window_strides=(2, 1),
          padding=[(0, 2), (3, 1)]),
    layer(GENERAL, "negative-padding", (2, 3, 8, 7), (4, 3, 3, 2), "f32 f64",
          window_strides=(1, 2), padding=[(-1, -2), (1, -1)]),
    layer(GENERAL, "negative-padding-dilations", (1, 2, 6, 7), (3, 2, 2, 3),
          window_strides=(1, 2), padding=[(-1, 2), (2, -3)], lhs_dilation=(2, 3),
          rhs_dilation=(2, 1)),
    layer(GENERAL, "input-dilation", (1, 3, 4, 5), (2, 3, 3, 4), "f32 bf16",
          window_strides=(1, 1), padding=[(1, 1), (2, 1)], lhs_dilation=(2, 3)),
    layer(GENERAL, "groups", (2, 6, 5, 6), (4, 3, 3, 2), window_strides=(1, 2), padding="VALID",
          feature_group_count=2),
    layer(GENERAL, "groups-input-dilation", (1, 4, 4, 4), (6, 2, 3, 3), window_strides=(1, 1),
          padding=[(1, 2), (2, 1)], lhs_dilation=(2, 2), feature_group_count=2),
    layer(GENERAL, "pointwise", (2, 4, 3, 6), (5, 6, 1, 1), "f32 bf16", window_strides=(1, 1),
          padding="VALID", dimension_numbers=NHWC),
    layer(GENERAL, "same-channels-last", (2, 7, 6, 3), (4, 3, 3, 4), "f32 f64",
          window_strides=(2, 2), padding="SAME", dimension_numbers=NHWC),
    layer(GENERAL, "depthwise-multiplier2", (1, 7, 6, 3), (6, 1, 3, 3), "f32 f16",
          window_strides=(2, 2), padding="SAME", dimension_numbers=NHWC, feature_group_count=3),
    layer(GENERAL, "convnext-7x7", (1, 8, 8, 4), (4, 1, 7, 7), window_strides=(1, 1),
          padding="SAME", dimension_numbers=NHWC, feature_group_count=4),
    layer(GENERAL, "resnet-3x3", (1, 6, 6, 8), (8, 8, 3, 3), window_strides=(1, 1),
          padding="SAME", dimension_numbers=NHWC),
    layer(GENERAL, "inception-1x7", (1, 6, 5, 7), (6, 6, 1, 7), window_strides=(1, 1),
          padding="SAME"),
    layer(GENERAL, "kernel-exceeds-input", (1, 2, 2, 3), (3, 2, 5, 6), window_strides=(1, 1),
          padding=[(4, 0), (2, 3)]),
    layer(GENERAL, "kernel-fits-exactly", (3, 2, 4, 3), (4, 2, 4, 3), "f32 f64",
          window_strides=(1, 1), padding="VALID"),
    layer(GENERAL, "deep-sum", (1, 64, 3, 3), (2, 64, 3, 3), "f32 f16", window_strides=(1, 1),
          padding="SAME"),
    # Three axes.
    layer(GENERAL, "same-even-kernel-stride", (1, 2, 3, 5, 4), (3, 2, 2, 2, 4), "f32 f64",
          window_strides=(1, 2, 2), padding="SAME"),
    layer(GENERAL, "same-lower-channels-last", (1, 3, 4, 5, 2), (2, 2, 2, 4, 2),
          window_strides=(2, 1, 2), padding="SAME_LOWER", dimension_numbers=NDHWC),
    layer(GENERAL, "negative-padding-input-dilation", (1, 2, 3, 4, 4), (2, 2, 2, 2, 3),
          window_strides=(1, 1, 2), padding=[(1, 0), (-1, 2), (0, -2)], lhs_dilation=(1, 2, 2)),
    layer(GENERAL, "groups-dilation", (1, 4, 4, 4, 5), (4, 2, 2, 2, 2), window_strides=(1, 1, 1),
          padding=[(0, 1)] * 3, rhs_dilation=(2, 1, 3), feature_group_count=2),
    # Transposed. Explicit padding is that of the spread-out input: convref's is what it leaves of
    # the kernel's reach.
    layer(TRANSPOSE, "same-even-kernel", (2, 6, 3), (3, 2, 4), "f32 f64", strides=(3,),
          padding="SAME"),
    layer(TRANSPOSE, "valid-stride-beyond-kernel", (2, 5, 2), (2, 3, 2), strides=(4,),
          padding="VALID"),
    layer(TRANSPOSE, "same-even-kernel", (1, 4, 3, 3), (3, 2, 4, 2), "f32 f64 bf16",
          strides=(2, 3), padding="SAME"),
    layer(TRANSPOSE, "dcgan-4x4", (1, 4, 4, 6), (6, 4, 4, 4), strides=(2, 2), padding="SAME"),
    layer(TRANSPOSE, "dilation", (1, 3, 4, 2), (2, 3, 2, 3), strides=(2, 1), padding="VALID",
          rhs_dilation=(2, 2)),
    layer(TRANSPOSE, "explicit-asymmetric", (1, 3, 4, 3), (3, 2, 3, 4), strides=(2, 2),
          padding=[(1, 2), (3, 1)], words={"padding": [(1, 0), (0, 2)]}),
    layer(TRANSPOSE, "same", (1, 2, 3, 2, 2), (2, 3, 3, 2, 3), strides=(2, 2, 1), padding="SAME"),
]
# fmt: on


def describe(line: Layer, _dtype: str) -> Description:
    """Write the call as JAX code, and its meaning in convref's words."""
    text = call_text(f"jax.lax.{line.function}", ["x", "w"], call_arguments(line))
    arguments = line.arguments
    given = {
        "stride": arguments.get("window_strides", arguments.get("strides")),
        "padding": arguments["padding"],
        "dilation": arguments.get("rhs_dilation", 1),
        "input_dilation": arguments.get("lhs_dilation", 1),
        "groups": arguments.get("feature_group_count", 1),
        "layout": "channels_last" if channels_last(line) else "channels_first",
    } | line.words
    if isinstance(given["padding"], str):
        given["padding"] = given["padding"].lower()
    kind = "transpose" if line.function == TRANSPOSE else "forward"
    return Description("JAX", jax.__version__, text, kind, convref_words(line.rank, **given))


def call_arguments(line: Layer) -> dict[str, Any]:
    """Return the function's arguments; the transpose takes the kernel of what it transposes."""
    extra = {"transpose_kernel": True} if line.function == TRANSPOSE else {}
    return line.arguments | extra


def channels_last(line: Layer) -> bool:
    """Tell whether a line's arrays, and its kernel, have their channels last."""
    return line.function == TRANSPOSE or "dimension_numbers" in line.arguments


def evaluate(line: Layer, inputs: Arrays, dtype: str) -> tuple[np.ndarray, Pullback]:
    """Run a layer and keep its vector-Jacobian product."""

    def call(x: jax.Array, w: jax.Array) -> jax.Array:
        return getattr(jax.lax, line.function)(x, w, **call_arguments(line))

    w = np.moveaxis(inputs["w"], (0, 1), (-1, -2)) if channels_last(line) else inputs["w"]
    y, vjp = jax.vjp(call, to_jax(inputs["x"], dtype), to_jax(w, dtype))

    def pullback(dy: np.ndarray) -> Arrays:
        dx, dw = map(to_numpy, vjp(to_jax(dy, dtype)))
        return {"dx": dx, "dw": np.moveaxis(dw, (-1, -2), (0, 1)) if channels_last(line) else dw}

    return to_numpy(y), pullback


def to_jax(array: np.ndarray, dtype: str) -> jax.Array:
    """Return a stored array as JAX's; bfloat16 is stored as its bits."""
    return jax.numpy.asarray(array.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else array)


def to_numpy(array: jax.Array) -> np.ndarray:
    """Return JAX's array as a stored one."""
    stored = np.asarray(array)
    return stored.view(np.uint16) if stored.dtype == ml_dtypes.bfloat16 else stored


def main() -> None:
    """Evaluate the table and write the file."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)  # Else float64 operands become float32, silently.
    jax.config.update("jax_default_matmul_precision", "highest")  # float32 in full, on any backend.
    corpus = Corpus()
    for line in LAYERS:
        name = "conv-transpose" if line.function == TRANSPOSE else "conv"
        corpus.record(f"jax-{name}{line.rank}d", line, describe, evaluate)
    corpus.write("jax.npz")


if __name__ == "__main__":
    main()
