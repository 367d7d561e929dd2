"""Quantised convolutions of ONNX Runtime and PyTorch are never judged wrong."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convref import verify_quantised

REASON = "needs the extra `peers`"
onnx = pytest.importorskip("onnx", reason=REASON)
runtime = pytest.importorskip("onnxruntime", reason=REASON)
torch = pytest.importorskip("torch", reason=REASON)

Array = Any

ENGINES = [engine for engine in torch.backends.quantized.supported_engines if engine != "none"]
HONEST = ("exact", "within bound", "explained")


def drawn(seed: int, top: int, signed: bool, of_channels: bool, ties: bool) -> dict[str, Any]:
    """Operands and scales: powers of two, of which many values are ties, or any."""
    random = np.random.default_rng(seed)
    groups = int(random.choice([1, 2]))
    channels, filters = groups * random.integers(1, 5, 2)
    size = tuple(random.integers(6, 24, 2))
    x = random.integers(0, top, (2, channels, *size))
    w = random.integers(-64, 65, (filters, channels // groups, 3, 3))
    count = filters if of_channels else 1
    if ties:
        scales = [
            2.0 ** -random.integers(low, high, count) for low, high in ((3, 7), (5, 8), (2, 4))
        ]
    else:
        scales = [random.uniform(low, high, count)
                  for low, high in ((0.01, 0.1), (0.001, 0.02), (0.05, 0.5))]  # fmt: skip
    x_scale, w_scale, y_scale = (np.float32(scale) for scale in scales)
    shift = 128 if signed else 0
    form = np.int8 if signed else np.uint8
    return {
        "x": (x - shift).astype(form),
        "w": w.astype(np.int8),
        "bias": random.integers(-5000, 5000, filters).astype(np.int32),
        "x_scale": x_scale[0],
        "x_zero_point": form(random.integers(0, top) - shift),
        "w_scale": w_scale if of_channels else w_scale[0],
        "y_scale": y_scale[0],
        "y_zero_point": form(random.integers(0, 256) - shift),
        "stride": int(random.integers(1, 3)),
        "dilation": int(random.integers(1, 3)),
        "groups": groups,
        "padding": ((1, 1), (2, 2)),
    }


def of_onnxruntime(q: dict[str, Any]) -> Array:
    """QLinearConv, with everything but x in the model."""
    inputs = {
        "x_scale": q["x_scale"],
        "x_zero_point": q["x_zero_point"],
        "w": q["w"],
        "w_scale": q["w_scale"],
        "w_zero_point": np.zeros_like(q["w_scale"], np.int8),
        "y_scale": q["y_scale"],
        "y_zero_point": q["y_zero_point"],
        "bias": q["bias"],
    }
    (top, bottom), (left, right) = q["padding"]
    node = onnx.helper.make_node(
        "QLinearConv", ["x", *inputs], ["y"], pads=[top, left, bottom, right],
        strides=[q["stride"]] * 2, dilations=[q["dilation"]] * 2, group=q["groups"],
    )  # fmt: skip
    kind = onnx.helper.np_dtype_to_tensor_dtype(q["x"].dtype)
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [onnx.helper.make_tensor_value_info("x", kind, q["x"].shape)],
        [onnx.helper.make_tensor_value_info("y", kind, None)],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in inputs.items()],
    )
    opset = onnx.helper.make_opsetid("", 21)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": q["x"]})[0]


def of_torch(q: dict[str, Any], engine: str, bias: Array) -> Array:
    """`torch.ops.quantized.conv2d`, with a real bias."""
    torch.backends.quantized.engine = engine
    scale, x, w = q["w_scale"].astype(np.float64), *map(torch.from_numpy, (q["x"], q["w"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what makes quantised tensors is to be replaced one day
        x = torch._make_per_tensor_quantized_tensor(x, float(q["x_scale"]), int(q["x_zero_point"]))
        if scale.ndim:
            centres = torch.zeros(len(scale), dtype=torch.int64)
            scales = torch.from_numpy(scale)
            w = torch._make_per_channel_quantized_tensor(w, scales, centres, 0)
        else:
            w = torch._make_per_tensor_quantized_tensor(w, float(scale), 0)
        real = (bias * np.float64(q["x_scale"]) * scale).astype(np.float32)
        padding = [q["padding"][0][0], q["padding"][1][0]]
        words = [[q["stride"]] * 2, padding, [q["dilation"]] * 2, q["groups"]]
        packed = torch.ops.quantized.conv2d_prepack(w, torch.from_numpy(real), *words)
        y = torch.ops.quantized.conv2d(x, packed, float(q["y_scale"]), int(q["y_zero_point"]))
    return y.int_repr().numpy()


@given(st.integers(0, 2**32), st.booleans(), st.booleans(), st.booleans())
def test_onnxruntime(seed: int, signed: bool, of_channels: bool, ties: bool) -> None:
    """It follows the definition but for the float32 multiplier."""
    asked = drawn(seed, 256, signed, of_channels, ties)
    report = verify_quantised(of_onnxruntime(asked), **asked)
    assert report.verdict in ("exact", "explained")


@pytest.mark.parametrize("engine", ENGINES)
@given(
    st.integers(0, 2**32), st.booleans(), st.booleans(), st.sampled_from(["whole", "real", "none"])
)
def test_torch(engine: str, seed: int, of_channels: bool, ties: bool, kind: str) -> None:
    """FBGEMM adds pairs of products in 16 bits, and has no more than 7 bits of x for that."""
    asked = drawn(seed, 128, False, of_channels, ties)
    if engine == "qnnpack":
        asked["dilation"] = 1
    bias = asked["bias"]
    if kind == "real":
        bias = bias + np.random.default_rng(seed).uniform(-0.5, 0.5, bias.shape)
    elif kind == "none":
        bias = asked["bias"] = np.zeros_like(bias)
    report = verify_quantised(of_torch(asked, engine, bias), **asked)
    assert report.verdict in HONEST, report.diagnosis
