# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
# ///
"""Write ``pytorch.npz``: convolutions and gradients computed by PyTorch on a CPU.

On Linux the package index serves a CUDA build under this version; the CPU build is enough, and
pip finds it with ``PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu``.
"""

from typing import Any

import numpy as np
import torch
from corpus import Arrays, Corpus, Description, Layer, Pullback, call_text, convref_words, layer

# fmt: off
LAYERS = [
    # One axis.
    layer("conv1d", "pointwise", (2, 5, 9), (4, 5, 1), "f32 f64", bias=True),
    layer("conv1d", "stride-not-dividing", (2, 3, 17), (4, 3, 4), "f32 f64", stride=3),
    layer("conv1d", "stride-beyond-kernel", (2, 2, 19), (3, 2, 2), stride=5, padding=1),
    layer("conv1d", "dilation", (2, 3, 20), (2, 3, 3), bias=True, dilation=4, padding=3),
    layer("conv1d", "groups", (2, 6, 13), (9, 2, 3), "f32 f16 bf16", bias=True, groups=3),
    layer("conv1d", "same-even-kernel", (1, 2, 11), (3, 2, 4), "f32 f64", padding="same"),
    layer("conv1d", "same-even-dilated", (2, 2, 12), (3, 2, 2), padding="same", dilation=3),
    layer("conv1d", "kernel-fits-exactly", (2, 3, 7), (4, 3, 7), bias=True),
    layer("conv1d", "kernel-exceeds-input", (1, 2, 4), (3, 2, 9), padding=3),
    layer("conv1d", "wavenet-depthwise", (1, 4, 30), (4, 1, 2), dilation=8, groups=4),
    layer("conv1d", "deep-sum", (1, 64, 6), (2, 64, 5), bias=True, padding=2),
    # Two axes.
    layer("conv2d", "pointwise", (2, 6, 4, 5), (5, 6, 1, 1), "f32 f16 bf16", bias=True),
    layer("conv2d", "pointwise-stride2", (1, 4, 7, 6), (5, 4, 1, 1), bias=True, stride=2),
    layer("conv2d", "stride-2-1", (2, 3, 7, 6), (4, 3, 3, 2), "f32 f64", bias=True,
          stride=(2, 1), padding=1),
    layer("conv2d", "stride3-not-dividing", (3, 2, 9, 8), (4, 2, 2, 3), stride=3),
    layer("conv2d", "dilation-2-3", (1, 3, 8, 9), (4, 3, 3, 2), "f32 f64 bf16", bias=True,
          dilation=(2, 3), padding=(2, 1)),
    layer("conv2d", "stride-and-dilation", (2, 2, 9, 8), (3, 2, 3, 3), stride=2, dilation=2,
          padding=(3, 2)),
    layer("conv2d", "groups2", (2, 4, 6, 5), (6, 2, 3, 3), "f32 f16", bias=True, groups=2,
          padding=1),
    layer("conv2d", "same-even-kernel", (2, 2, 5, 6), (3, 2, 2, 4), "f32 f64 f16",
          padding="same"),
    layer("conv2d", "same-even-dilated", (1, 2, 7, 8), (3, 2, 2, 4), bias=True, padding="same",
          dilation=(3, 1)),
    layer("conv2d", "kernel-fits-exactly", (2, 3, 4, 5), (6, 3, 4, 5), "f32 bf16", bias=True),
    layer("conv2d", "kernel-exceeds-input", (1, 2, 3, 2), (3, 2, 5, 4), padding=(2, 1)),
    layer("conv2d", "channels-last-memory", (2, 4, 6, 5), (5, 4, 3, 3), "f32 bf16", bias=True,
          padding=1, memory_format=torch.channels_last),
    layer("conv2d", "channels-last-memory-stride2", (1, 3, 7, 8), (4, 3, 2, 3), stride=2,
          memory_format=torch.channels_last),
    layer("conv2d", "depthwise", (2, 3, 6, 7), (3, 1, 3, 3), "f32 f64 bf16", bias=True, groups=3,
          padding=1),
    layer("conv2d", "depthwise-multiplier3", (1, 2, 7, 6), (6, 1, 3, 2), stride=(2, 1), groups=2),
    layer("conv2d", "deep-sum", (1, 64, 3, 3), (2, 64, 3, 3), "f32 bf16", padding=1),
    layer("conv2d", "resnet-3x3", (1, 8, 6, 6), (8, 8, 3, 3), padding=1),
    layer("conv2d", "resnet-stem-7x7", (1, 3, 12, 12), (4, 3, 7, 7), stride=2, padding=3),
    layer("conv2d", "convnext-7x7", (1, 4, 9, 9), (4, 1, 7, 7), bias=True, groups=4, padding=3),
    layer("conv2d", "inception-7x1", (1, 6, 7, 7), (6, 6, 7, 1), bias=True, padding=(3, 0)),
    layer("conv2d", "resnext-groups", (1, 12, 5, 5), (12, 3, 3, 3), stride=2, padding=1, groups=4),
    # Three axes.
    layer("conv3d", "stride-1-2-2", (1, 2, 3, 5, 6), (3, 2, 2, 3, 3), "f32 f64", bias=True,
          stride=(1, 2, 2), padding=(0, 1, 1)),
    layer("conv3d", "dilation-and-groups", (1, 4, 4, 5, 5), (2, 2, 2, 2, 3), dilation=(1, 2, 2),
          groups=2, padding=1),
    layer("conv3d", "same-even-kernel", (1, 2, 3, 4, 4), (2, 2, 2, 2, 4), padding="same"),
    layer("conv3d", "depthwise", (1, 3, 4, 4, 5), (3, 1, 3, 3, 3), bias=True, groups=3, padding=1),
    layer("conv3d", "pointwise", (2, 4, 2, 3, 3), (3, 4, 1, 1, 1), "f32 bf16"),
    # Padding with the input's own values, which only the modules offer.
    layer("Conv1d", "reflect", (2, 3, 9), (4, 3, 5), "f32 f64", bias=True, padding=3,
          padding_mode="reflect"),
    layer("Conv1d", "circular-same-even", (1, 2, 10), (3, 2, 4), padding="same",
          padding_mode="circular"),
    layer("Conv2d", "reflect", (1, 2, 5, 6), (3, 2, 3, 4), bias=True, padding=(1, 3),
          padding_mode="reflect"),
    layer("Conv2d", "replicate-stride2", (2, 2, 5, 4), (3, 2, 3, 3), stride=2, padding=2,
          padding_mode="replicate"),
    layer("Conv2d", "circular", (1, 2, 4, 5), (3, 2, 3, 3), "f32 f64", padding=(2, 1),
          padding_mode="circular"),
    layer("Conv3d", "replicate", (1, 2, 3, 3, 4), (2, 2, 3, 2, 3), padding=1,
          padding_mode="replicate"),
    layer("Conv3d", "circular", (1, 2, 3, 4, 3), (2, 2, 2, 3, 3), padding=(1, 2, 1),
          padding_mode="circular"),
    # Transposed.
    layer("conv_transpose1d", "output-padding", (2, 3, 6), (3, 4, 4), "f32 f64", bias=True,
          stride=3, padding=1, output_padding=2),
    layer("conv_transpose1d", "dilation-groups", (1, 4, 7), (4, 3, 3), stride=2, padding=2,
          output_padding=1, groups=2, dilation=3),
    layer("conv_transpose2d", "output-padding-1-0", (2, 3, 3, 4), (3, 2, 3, 3), "f32 f64 f16 bf16",
          bias=True, stride=2, padding=1, output_padding=(1, 0)),
    layer("conv_transpose2d", "groups", (1, 4, 4, 3), (4, 3, 2, 3), "f32 f64", bias=True,
          stride=(1, 3), output_padding=(0, 2), groups=2),
    layer("conv_transpose2d", "dilation", (1, 2, 4, 4), (2, 3, 2, 3), stride=2, padding=(1, 2),
          output_padding=1, dilation=2),
    layer("conv_transpose2d", "depthwise", (1, 3, 4, 4), (3, 1, 4, 4), stride=2, padding=1,
          groups=3),
    layer("conv_transpose2d", "dcgan-4x4", (1, 6, 4, 4), (6, 4, 4, 4), stride=2, padding=1),
    layer("conv_transpose3d", "output-padding", (1, 2, 2, 3, 3), (2, 2, 3, 3, 2), bias=True,
          stride=2, padding=(1, 1, 0), output_padding=(0, 1, 1)),
    layer("conv_transpose3d", "dilation-groups", (1, 4, 2, 2, 3), (4, 1, 2, 2, 2), "f32 f64",
          stride=(1, 2, 2), output_padding=(0, 1, 0), groups=2, dilation=(1, 1, 2)),
]
# fmt: on


def describe(line: Layer, _dtype: str) -> Description:
    """Write the call as PyTorch code, and its meaning in convref's words."""
    operands = ["x", "w", "bias"] if line.bias else ["x", "w"]
    if line.is_module:
        sizes = [*channels_of(line), f"kernel_size={line.kernel}"]
        text = call_text(f"torch.nn.{line.function}", sizes, line.arguments | {"bias": line.bias})
        text += "(x)"
    else:
        operands[0] += memory_format_text(line)
        text = call_text(f"torch.nn.functional.{line.function}", operands, call_arguments(line))
    ignored = ("output_padding", "memory_format")
    given = {name: value for name, value in line.arguments.items() if name not in ignored}
    kind = "transpose" if "transpose" in line.function else "forward"
    version = torch.__version__.split("+")[0]
    return Description("PyTorch", version, text, kind, convref_words(line.rank, **given))


def channels_of(line: Layer) -> tuple[int, int]:
    """Return a module's ``in_channels`` and ``out_channels``."""
    return line.w[1] * line.arguments.get("groups", 1), line.w[0]


def call_arguments(line: Layer) -> dict[str, Any]:
    """Return the arguments of the function; the memory format belongs to the operand."""
    return {name: v for name, v in line.arguments.items() if name != "memory_format"}


def memory_format_text(line: Layer) -> str:
    """Write the conversion of the operand, where there is one."""
    if "memory_format" not in line.arguments:
        return ""
    return f".to(memory_format={line.arguments['memory_format']})"


def evaluate(line: Layer, inputs: Arrays, dtype: str) -> tuple[np.ndarray, Pullback]:
    """Run a layer; the operands are leaves, so that autograd gives their gradients."""
    operands = {part: to_torch(array, dtype) for part, array in inputs.items()}
    if "memory_format" in line.arguments:
        operands["x"] = operands["x"].to(memory_format=line.arguments["memory_format"])
    for tensor in operands.values():
        tensor.requires_grad_()
    x, w, bias = operands["x"], operands["w"], operands.get("bias")
    if line.is_module:
        module = getattr(torch.nn, line.function)(
            *channels_of(line), line.kernel, bias=line.bias, **line.arguments
        )
        weights = {"weight": w} | ({"bias": bias} if line.bias else {})
        y = torch.func.functional_call(module, weights, (x,))
    else:
        y = getattr(torch.nn.functional, line.function)(x, w, bias, **call_arguments(line))

    def pullback(dy: np.ndarray) -> Arrays:
        gradients = torch.autograd.grad(y, list(operands.values()), to_torch(dy, dtype))
        return dict(zip(("dx", "dw", "db"), map(to_numpy, gradients), strict=False))

    return to_numpy(y), pullback


def to_torch(array: np.ndarray, dtype: str) -> torch.Tensor:
    """Return a stored array as a tensor; bfloat16 is stored as its bits."""
    tensor = torch.from_numpy(array.copy())
    return tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor as a stored array."""
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def main() -> None:
    """Evaluate the table and write the file."""
    # One thread: the split of a sum over threads changes its order, and with it the last bits.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    corpus = Corpus()
    for line in LAYERS:
        prefix = "pytorch-" + line.function.lower().replace("_", "-")
        corpus.record(prefix, line, describe, evaluate)
    corpus.write("pytorch.npz")


if __name__ == "__main__":
    main()
