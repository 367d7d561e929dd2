# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "tensorflow-cpu==2.21.0", "keras==3.15.1", "ml_dtypes==0.6.0", "numpy==2.4.6",
# ]
# ///
"""Write ``tensorflow.npz``: convolutions and gradients computed by TensorFlow and by Keras.

The shapes in the table are the stored ones (see `corpus`): weights ``(K, C/groups, *kernel)``, or
``(C, K/groups, *kernel)`` where transposed. The frameworks' own orders of the kernel's axes are
``(*kernel, C/groups, K)``, ``(*kernel, K, C)`` where transposed, and ``(*kernel, C, multiplier)``
for depthwise convolutions.
"""

from typing import Any

import keras
import ml_dtypes
import numpy as np
import tensorflow as tf
from corpus import Arrays, Corpus, Description, Layer, Pullback, call_text, convref_words, layer

# fmt: off
LAYERS = [
    # tf.nn: one, two and three axes.
    layer("conv1d", "same-even-kernel-stride2", (2, 9, 3), (4, 3, 4), "f32 f64", stride=2,
          padding="SAME"),
    layer("conv1d", "valid-stride3", (2, 16, 2), (3, 2, 4), stride=3, padding="VALID"),
    layer("conv2d", "same-stride-2-1-even-kernel", (2, 7, 6, 3), (4, 3, 2, 4), "f32 f64 f16",
          strides=(2, 1), padding="SAME"),
    layer("conv2d", "same-stride3-kernel2", (1, 8, 7, 2), (3, 2, 2, 2), strides=(3, 3),
          padding="SAME"),
    layer("conv2d", "same-dilated-even-kernel", (1, 7, 8, 2), (3, 2, 2, 4), strides=(1, 1),
          padding="SAME", dilations=(2, 3)),
    layer("conv2d", "explicit-asymmetric", (2, 5, 6, 3), (4, 3, 3, 3), "f32 f64", strides=(2, 2),
          padding=[[0, 0], [0, 2], [1, 0], [0, 0]]),
    layer("conv2d", "groups", (2, 5, 5, 6), (4, 3, 3, 3), strides=(1, 1), padding="SAME"),
    layer("conv2d", "pointwise", (2, 4, 3, 6), (5, 6, 1, 1), "f32 f64 bf16", strides=(1, 1),
          padding="VALID"),
    layer("conv2d", "deep-sum", (1, 3, 3, 64), (2, 64, 3, 3), "f32 bf16", strides=(1, 1),
          padding="SAME"),
    layer("conv3d", "same-stride-1-2-2-even-kernel", (1, 3, 5, 4, 2), (3, 2, 2, 2, 4), "f32 f64",
          strides=(1, 1, 2, 2, 1), padding="SAME"),
    layer("depthwise_conv2d", "same-stride2", (1, 7, 6, 3), (3, 1, 4, 4), "f32 f64",
          strides=(1, 2, 2, 1), padding="SAME"),
    layer("depthwise_conv2d", "multiplier2-dilated", (1, 7, 8, 3), (6, 1, 3, 2), "f32 f64",
          strides=(1, 1, 1, 1), padding="VALID", dilations=(2, 2)),
    layer("conv1d_transpose", "same-stride3", (2, 4, 3), (3, 2, 4), output_shape=(2, 11, 2),
          strides=3, padding="SAME"),
    layer("conv2d_transpose", "same-odd-output", (1, 4, 3, 3), (3, 2, 3, 4), "f32 f64",
          output_shape=(1, 7, 6, 2), strides=(2, 2), padding="SAME"),
    layer("conv2d_transpose", "valid-surplus", (1, 3, 4, 2), (2, 3, 3, 3), "f32 bf16",
          output_shape=(1, 8, 9, 3), strides=(2, 2), padding="VALID"),
    layer("conv3d_transpose", "same-odd-output", (1, 2, 3, 2, 2), (2, 3, 3, 2, 3), "f32 f64",
          output_shape=(1, 3, 6, 4, 3), strides=(2, 2, 2), padding="SAME"),
    # Keras.
    layer("Conv1D", "causal-wavenet", (1, 24, 4), (4, 4, 2), "f32 f64", bias=True,
          padding="causal", dilation_rate=4),
    layer("Conv1D", "causal-stride2", (2, 11, 3), (4, 3, 4), bias=True, padding="causal",
          strides=2),
    layer("Conv1D", "groups", (2, 9, 6), (4, 3, 3), bias=True, padding="same", groups=2),
    layer("Conv1D", "same-dilated-even", (2, 13, 2), (3, 2, 4), bias=True, padding="same",
          dilation_rate=3),
    layer("Conv1D", "channels-first", (2, 3, 9), (4, 3, 3), padding="same",
          data_format="channels_first"),
    layer("Conv2D", "resnet-3x3-stride2", (1, 8, 8, 6), (8, 6, 3, 3), bias=True, padding="same",
          strides=2),
    layer("Conv2D", "inception-7x1", (1, 6, 6, 5), (5, 5, 7, 1), "f32 f64", bias=True,
          padding="same"),
    layer("Conv2D", "kernel-exceeds-input", (1, 3, 2, 2), (3, 2, 5, 4), bias=True,
          padding="same"),
    layer("Conv2D", "kernel-fits-exactly", (2, 4, 3, 3), (5, 3, 4, 3), "f32 f16", bias=True),
    # The width must differ from the number of filters: where they are equal, Keras 3.15.1 takes the
    # width for the channels and adds the bias along it.
    layer("Conv2D", "channels-first-groups", (2, 4, 5, 7), (6, 2, 2, 3), bias=True,
          padding="same", groups=2, data_format="channels_first"),
    layer("Conv3D", "dilation", (1, 4, 4, 5, 2), (3, 2, 2, 2, 3), bias=True, padding="same",
          dilation_rate=(2, 1, 2)),
    layer("Conv3D", "groups", (1, 3, 4, 3, 4), (4, 2, 2, 3, 2), bias=True, groups=2),
    layer("DepthwiseConv1D", "multiplier2", (2, 9, 3), (6, 1, 4), bias=True, padding="same",
          strides=2),
    layer("DepthwiseConv2D", "convnext-7x7", (1, 8, 8, 4), (4, 1, 7, 7), bias=True,
          padding="same"),
    layer("DepthwiseConv2D", "multiplier3", (1, 5, 6, 2), (6, 1, 2, 3), "f32 f64 bf16",
          bias=True, padding="valid"),
    layer("Conv1DTranspose", "same-even-kernel", (2, 5, 3), (3, 4, 4), "f32 f64", bias=True,
          padding="same", strides=2),
    layer("Conv1DTranspose", "output-padding", (2, 5, 3), (3, 2, 5), bias=True, padding="same",
          strides=3, output_padding=2),
    layer("Conv2DTranspose", "dcgan-4x4", (1, 4, 4, 6), (6, 4, 4, 4), padding="same", strides=2),
    layer("Conv2DTranspose", "stride-beyond-kernel", (1, 3, 2, 3), (3, 4, 2, 2), "f32 f64 f16",
          bias=True, padding="valid", strides=3),
    layer("Conv2DTranspose", "output-padding-0", (1, 4, 3, 2), (2, 3, 3, 3), bias=True,
          padding="same", strides=2, output_padding=0),
    layer("Conv2DTranspose", "dilation", (1, 4, 5, 2), (2, 3, 3, 3), bias=True, padding="same",
          dilation_rate=2),
    layer("Conv3DTranspose", "same-stride2", (1, 2, 2, 3, 2), (2, 3, 2, 3, 3), bias=True,
          padding="same", strides=2),
]
# fmt: on


def describe(line: Layer, dtype: str) -> Description:
    """Write the call as TensorFlow or Keras code, and its meaning in convref's words."""
    kind = "transpose" if transposed(line) else "forward"
    words = words_of(line)
    if line.bias and dtype in ("float16", "bfloat16"):
        # Keras rounds the sum to the layer's dtype and then adds the bias in that dtype.
        words["accumulate"] = dtype
    if line.is_module:
        sizes = [line.kernel] if "Depthwise" in line.function else [filters(line), line.kernel]
        arguments = keras_arguments(line) | {"use_bias": line.bias}
        text = call_text(f"keras.layers.{line.function}", sizes, arguments) + "(x)"
        version = f"{keras.__version__} on TensorFlow {tf.__version__}"
        return Description("Keras", version, text, kind, words)
    text = call_text(f"tf.nn.{line.function}", ["x", "w"], line.arguments)
    return Description("TensorFlow", tf.__version__, text, kind, words)


def words_of(line: Layer) -> dict[str, Any]:
    """Translate the arguments; TensorFlow may give batch and channels a stride and a padding."""
    arguments, rank = line.arguments, line.rank

    def spatial(value: Any) -> Any:
        return value if isinstance(value, int) or len(value) == rank else value[1:-1]

    padding = arguments.get("padding", "valid")
    layout = arguments.get("data_format", "channels_last")
    channels = line.x[1 if layout == "channels_first" else -1]
    return convref_words(
        rank,
        stride=spatial(arguments.get("strides", arguments.get("stride", 1))),
        padding=padding.lower() if isinstance(padding, str) else spatial(padding),
        dilation=arguments.get("dilations", arguments.get("dilation_rate", 1)),
        groups=1 if transposed(line) else channels // line.w[1],
        layout=layout,
    )


def transposed(line: Layer) -> bool:
    """Tell whether the function is a transposed convolution."""
    return "transpose" in line.function.lower()


def filters(line: Layer) -> int:
    """Return the number of output channels that a Keras layer asks for."""
    return line.w[1] if transposed(line) else line.w[0]


def keras_arguments(line: Layer) -> dict[str, Any]:
    """Return a layer's arguments; the stored weight implies the depth multiplier."""
    if "Depthwise" in line.function:
        return {"depth_multiplier": line.w[0] // line.x[-1]} | line.arguments
    return line.arguments


def evaluate(line: Layer, inputs: Arrays, dtype: str) -> tuple[np.ndarray, Pullback]:
    """Run a layer under a tape."""
    x = to_tensorflow(inputs["x"], dtype)
    w = to_tensorflow(to_own_order(line, inputs["w"]), dtype)
    with tf.GradientTape() as tape:
        if line.is_module:
            sizes = [] if "Depthwise" in line.function else [filters(line)]
            module = getattr(keras.layers, line.function)(
                *sizes, line.kernel, use_bias=line.bias, dtype=dtype, **keras_arguments(line)
            )
            module.build(x.shape)
            bias = [to_tensorflow(inputs["bias"], dtype)] if line.bias else []
            for variable, value in zip(module.trainable_variables, [w, *bias], strict=True):
                variable.assign(value)
            operands = [x, *(variable.value for variable in module.trainable_variables)]
            tape.watch(x)
            y = module(x)
        else:
            operands = [x, w]
            tape.watch(operands)
            y = getattr(tf.nn, line.function)(x, w, **line.arguments)

    def pullback(dy: np.ndarray) -> Arrays:
        gradients = tape.gradient(y, operands, to_tensorflow(dy, dtype))
        dx, dw, *db = map(to_numpy, gradients)
        return {"dx": dx, "dw": to_stored_order(line, dw)} | ({"db": db[0]} if db else {})

    return to_numpy(y), pullback


def to_own_order(line: Layer, w: np.ndarray) -> np.ndarray:
    """Return a stored weight with its axes in the framework's order."""
    if "depthwise" in line.function.lower():
        channels = words_of(line)["groups"]
        w = w.reshape(channels, -1, *line.kernel)
        return np.moveaxis(w, (0, 1), (-2, -1))
    return np.moveaxis(w, (0, 1), (-1, -2))


def to_stored_order(line: Layer, w: np.ndarray) -> np.ndarray:
    """Undo `to_own_order`."""
    if "depthwise" in line.function.lower():
        return np.moveaxis(w, (-2, -1), (0, 1)).reshape(line.w)
    return np.moveaxis(w, (-1, -2), (0, 1))


def to_tensorflow(array: np.ndarray, dtype: str) -> tf.Tensor:
    """Return a stored array as a tensor; bfloat16 is stored as its bits."""
    return tf.constant(array.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else array)


def to_numpy(tensor: tf.Tensor) -> np.ndarray:
    """Return a tensor as a stored array."""
    array = tensor.numpy()
    return array.view(np.uint16) if array.dtype == ml_dtypes.bfloat16 else array


def main() -> None:
    """Evaluate the table and write the file."""
    # One thread: the split of a sum over threads changes its order, and with it the last bits.
    # oneDNN stays on, as by default, though it picks its kernels by CPU model: without it the CPU
    # has no gradients of dilated or grouped convolutions.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    corpus = Corpus()
    for line in LAYERS:
        framework = "keras" if line.is_module else "tf"
        prefix = f"{framework}-{line.function.lower().replace('_', '-')}"
        corpus.record(prefix, line, describe, evaluate)
    corpus.write("tensorflow.npz")


if __name__ == "__main__":
    main()
