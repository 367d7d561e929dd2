"""The ONNX dialect against the node tests that ship with onnx, and against ONNX Runtime.

Inputs are integers, so that sums are exact in float32 whatever their order; where ONNX Runtime's
arithmetic rounds, it is compared within a few units in the last place.
"""

from collections import Counter
from inspect import signature
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from convref import ConvrefError
from convref.dialects import onnx as dialect

REASON = "needs the extra `peers`"
onnx = pytest.importorskip("onnx", reason=REASON)
runtime = pytest.importorskip("onnxruntime", reason=REASON)

from shipped_nodes import as_array, shipped  # noqa: E402

Array = Any
Attributes = dict[str, Any]
FEWEST = {
    "Conv": 33,
    "ConvTranspose": 14,
    "ConvInteger": 2,
    "QLinearConv": 1,
    "DeformConv": 4,
    "CausalConvWithState": 13,
    "Col2Im": 5,
    "MaxPool": 28,
    "AveragePool": 25,
    "LpPool": 8,
    "GlobalAveragePool": 2,
    "GlobalMaxPool": 2,
    "Pad": 11,
    "Resize": 39,
}
"""How many tests of each operator onnx 1.23 ships, at least; data files of other exporters too."""


SHIPPED = shipped(dialect.__all__)


def call(operator: str, *inputs: Any, **attributes: Any) -> tuple[Array, ...]:
    found = getattr(dialect, operator)(*inputs, **attributes)
    return found if isinstance(found, tuple) else (found,)


def test_operators_all_have_node_tests() -> None:
    counts = Counter(model.graph.node[0].op_type for model, *_ in SHIPPED.values())
    assert set(counts) == set(dialect.__all__)
    assert {name: count for name, count in counts.items() if count < FEWEST[name]} == {}


@pytest.mark.parametrize("name", SHIPPED)
def test_node(name: str) -> None:
    model, data_sets, rtol, atol = SHIPPED[name]
    (node,) = model.graph.node
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    held = {tensor.name: as_array(tensor) for tensor in model.graph.initializer}
    free = [value.name for value in model.graph.input if value.name not in held]
    if node.op_type == "Pad" and "pads" in attributes:  # an attribute before operator set 11
        added = [np.array(attributes.pop("pads")), attributes.pop("value", 0.0)]
    else:
        added = []
    if node.op_type == "MaxPool":
        attributes["outputs"] = len(node.output)
    assert data_sets
    for given_inputs, expected in data_sets:
        values = held | dict(zip(free, map(as_array, given_inputs), strict=True))
        inputs = [values[key] if key else None for key in node.input]
        found = call(node.op_type, *inputs, *added, **attributes)
        for output, wanted in zip(found, map(as_array, expected), strict=True):
            assert (output.shape, output.dtype) == (wanted.shape, wanted.dtype)
            if wanted.dtype.kind in "iu":
                np.testing.assert_array_equal(output, wanted)
            elif node.op_type in ("Conv", "ConvTranspose"):
                assert np.all(abs(output - wanted) <= bound(node.op_type, inputs, attributes))
            else:
                np.testing.assert_allclose(output, wanted, rtol, atol)


@pytest.mark.parametrize("operator", dialect.__all__)
def test_signature(operator: str) -> None:
    """Inputs, attributes and defaults as the schema of the newest operator set has them."""
    schema = onnx.defs.get_schema(operator)
    parameters = signature(getattr(dialect, operator)).parameters
    inputs = [name for name, found in parameters.items() if found.kind != found.KEYWORD_ONLY]
    assert inputs == [entry.name for entry in schema.inputs]
    optional = onnx.defs.OpSchema.FormalParameterOption.Optional
    for entry in schema.inputs:
        assert (parameters[entry.name].default is None) == (entry.option == optional)
    attributes = set(parameters) - set(inputs) - {"outputs"}
    assert attributes == set(schema.attributes)
    for name, attribute in schema.attributes.items():
        default = parameters[name].default
        if attribute.required:
            assert default is signature(lambda: None).empty
        elif attribute.default_value.name:
            value = onnx.helper.get_attribute_value(attribute.default_value)
            assert default == (value.decode() if isinstance(value, bytes) else value)
        else:
            assert default is None


def bound(operator: str, inputs: list[Any], attributes: Attributes) -> Array:
    """How far two honest sums of the same products can be apart: each by as many roundings."""
    magnitudes = [None if array is None else abs(array.astype(np.float64)) for array in inputs]
    (magnitude,) = call(operator, *magnitudes, **attributes)
    return 2 * (inputs[1].size + 1) * 2.0**-24 * magnitude


def ort(
    operator: str, *inputs: Any, outputs: int = 1, opset: int = 22, **attributes: Any
) -> list[Array]:
    """What ONNX Runtime gives for one node."""
    names = ["" if array is None else f"input{number}" for number, array in enumerate(inputs)]
    results = [f"output{number}" for number in range(outputs)]
    node = onnx.helper.make_node(operator, names, results, **attributes)
    values = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in zip(names, inputs, strict=True)
        if name
    ]
    ends = [onnx.ValueInfoProto(name=name) for name in results]
    graph = onnx.helper.make_graph([node], "graph", values, ends)
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=10
    )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feeds = {name: array for name, array in zip(names, inputs, strict=True) if name}
    return list(session.run(None, feeds))


def compare(operator: str, *inputs: Any, ulps: float = 0, opset: int = 22, **words: Any) -> None:
    """The dialect gives what ONNX Runtime gives, to so many units of float32 in the last place."""
    outputs = words.get("outputs", 1)
    attributes = {key: value for key, value in words.items() if key != "outputs"}
    expected = ort(operator, *inputs, outputs=outputs, opset=opset, **attributes)
    found = call(operator, *inputs, **words)
    for output, wanted in zip(found, expected, strict=True):
        assert (output.shape, output.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(output, wanted, ulps * 2.0**-23, ulps * 2.0**-23)


def along(draw: st.DrawFn, rank: int, least: int, most: int) -> list[int]:
    return draw(st.lists(st.integers(least, most), min_size=rank, max_size=rank))


def generator(draw: st.DrawFn) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


def whole(rng: np.random.Generator, *shape: int, dtype: Any = np.float32) -> Array:
    """Small integers; of unsigned types, none below 0."""
    return rng.integers(-8 * (np.dtype(dtype).kind != "u"), 9, shape).astype(dtype)


def given_or_not(draw: st.DrawFn, attributes: Attributes) -> Attributes:
    """Attributes that are all 1, or 0, left out or not."""
    plain = {"strides": 1, "dilations": 1, "pads": 0, "group": 1, "output_padding": 0}
    return {
        key: value
        for key, value in attributes.items()
        if key not in plain or np.any(np.array(value) != plain[key]) or draw(st.booleans())
    }


@st.composite
def windows(
    draw: st.DrawFn, ranks: tuple[int, int] = (1, 3), automatic: bool = True, pooled: bool = False
) -> tuple[tuple[int, ...], list[int], Attributes]:
    """Sizes, a kernel and attributes that have an output, as far as ONNX Runtime goes.

    It refuses dilation with automatic padding, and pads that exceed a pool's kernel; with strides
    beyond the kernel its automatic padding crops.
    """
    rank = draw(st.integers(*ranks))
    kernel, strides = along(draw, rank, 1, 4 - (rank > 1)), along(draw, rank, 1, 3)
    words = ("NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")[: 5 if automatic else 1]
    word = draw(st.sampled_from(words))
    same = word.startswith("SAME")
    dilations = [1] * rank if same else along(draw, rank, 1, 3)
    pads = [0] * rank * 2
    if word == "NOTSET":
        most = min(kernel) - 1 if pooled else 3
        pads = along(draw, 2 * rank, 0, most)
    if same:
        strides = list(map(min, strides, kernel))
    size = along(draw, rank, 1, 7 - rank)
    reach = [(taps - 1) * step + 1 for taps, step in zip(kernel, dilations, strict=True)]
    if not same:
        ends = zip(size, pads[:rank], pads[rank:], reach, strict=True)
        size = [max(n, window - lo - hi) for n, lo, hi, window in ends]
    attributes = given_or_not(draw, {"strides": strides, "dilations": dilations, "pads": pads})
    if word != "NOTSET":
        attributes.pop("pads", None)
    if automatic and (word != "NOTSET" or draw(st.booleans())):
        attributes["auto_pad"] = word
    return tuple(size), kernel, attributes


@st.composite
def convolutions(
    draw: st.DrawFn, **kinds: Any
) -> tuple[tuple[int, ...], tuple[int, ...], Attributes]:
    """Shapes of x and w, and attributes."""
    size, kernel, attributes = draw(windows(**kinds))
    group, inside, outside = (draw(st.integers(1, 3)) for _ in range(3))
    attributes |= given_or_not(draw, {"group": group})
    if draw(st.booleans()):
        attributes["kernel_shape"] = kernel
    samples = draw(st.integers(1, 2))
    return (samples, group * inside, *size), (group * outside, inside, *kernel), attributes


@given(st.data())
def test_conv(data: st.DataObject) -> None:
    x, w, attributes = data.draw(convolutions())
    rng = generator(data.draw)
    bias = whole(rng, w[0]) if data.draw(st.booleans()) else None
    compare("Conv", whole(rng, *x), whole(rng, *w), bias, **attributes)


@given(st.data())
def test_conv_transpose(data: st.DataObject) -> None:
    (samples, channels, *size), (_, multiplier, *kernel), attributes = data.draw(convolutions())
    rank, group = len(size), attributes.get("group", 1)
    strides = attributes.get("strides", [1] * rank)
    dilations = attributes.get("dilations", [1] * rank)
    extra = [data.draw(st.integers(0, step - 1)) for step in strides]
    made = [
        (n - 1) * step + (taps - 1) * apart + 1
        for n, step, taps, apart in zip(size, strides, kernel, dilations, strict=True)
    ]
    attributes |= given_or_not(data.draw, {"output_padding": extra})
    if data.draw(st.booleans()):
        attributes["output_shape"] = [
            data.draw(st.integers(1, cells + step - 1))
            for cells, step in zip(made, strides, strict=True)
        ]
    elif pads := attributes.get("pads"):
        assume(all(n > pads[i] + pads[i + rank] for i, n in enumerate(made)))
    rng = generator(data.draw)
    x, w = whole(rng, samples, channels, *size), whole(rng, channels, multiplier, *kernel)
    bias = whole(rng, multiplier * group) if data.draw(st.booleans()) else None
    compare("ConvTranspose", x, w, bias, **attributes)


@given(st.data())
def test_conv_integer(data: st.DataObject) -> None:
    x, w, attributes = data.draw(convolutions())
    rng = generator(data.draw)
    types = [np.dtype(data.draw(st.sampled_from(("uint8", "int8")))) for _ in "xw"]
    arrays = [anything(rng, dtype, *shape) for dtype, shape in zip(types, (x, w), strict=True)]
    points = [anything(rng, dtype) if data.draw(st.booleans()) else None for dtype in types]
    compare("ConvInteger", *arrays, *points, opset=10, **attributes)


def anything(rng: np.random.Generator, dtype: Any, *shape: int) -> Array:
    """Any values of an integer type."""
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


@given(st.data())
def test_q_linear_conv(data: st.DataObject) -> None:
    x, w, attributes = data.draw(convolutions())
    rng = generator(data.draw)
    kinds = (("uint8", "uint8"), ("uint8", "int8"), ("int8", "int8"))
    levels, weights = data.draw(st.sampled_from(kinds))
    filters = data.draw(st.sampled_from(((), (1,), (w[0],))))
    scales = [np.float32(rng.uniform(0.01, 1)), rng.uniform(0.01, 1, filters).astype(np.float32)]
    y_scale = np.float32(rng.uniform(0.5, 4) * prod(w[1:]) ** 0.5 * 20)
    if data.draw(st.booleans()):  # halves occur
        scales, y_scale = [np.float32(0.5), np.full(filters, 0.25, np.float32)], np.float32(16)
    bias = rng.integers(-9999, 9999, w[0], np.int32) if data.draw(st.booleans()) else None
    compare(
        "QLinearConv",
        anything(rng, levels, *x),
        np.asarray(scales[0]),
        anything(rng, levels),
        anything(rng, weights, *w),
        np.asarray(scales[1]),
        anything(rng, weights, *filters),
        np.asarray(y_scale),
        anything(rng, levels),
        bias,
        opset=10,
        **attributes,
    )


@given(st.data())
def test_deform_conv(data: st.DataObject) -> None:
    """Offsets in quarters, so that weights of neighbours are exact."""
    x, w, attributes = data.draw(convolutions(ranks=(2, 2), automatic=False))
    rng = generator(data.draw)
    blocks = data.draw(st.sampled_from([n for n in range(1, x[1] + 1) if x[1] % n == 0]))
    bias = whole(rng, w[0]) if data.draw(st.booleans()) else None
    image, weights = whole(rng, *x), whole(rng, *w)
    output = call("Conv", image, weights, **attributes)[0].shape[2:]
    offset = rng.integers(-16, 17, (x[0], blocks * prod(w[2:]) * 2, *output)) / 4
    mask = whole(rng, x[0], blocks * prod(w[2:]), *output) if data.draw(st.booleans()) else None
    compare(
        "DeformConv",
        image,
        weights,
        offset.astype(np.float32),
        bias,
        mask,
        offset_group=blocks,
        **attributes,
    )


@given(st.data())
def test_max_pool(data: st.DataObject) -> None:
    size, kernel, attributes = data.draw(windows(pooled=True))
    if "auto_pad" not in attributes:
        attributes["ceil_mode"] = data.draw(st.integers(0, 1))
    dtype = data.draw(st.sampled_from(("float32", "float64", "uint8", "int8")))
    if data.draw(st.booleans()):
        attributes |= {"outputs": 2, "storage_order": data.draw(st.integers(0, 1))}
    x = whole(generator(data.draw), 2, 3, *size, dtype=dtype)
    # Where dilated taps all miss the input, ONNX Runtime has the smallest finite number.
    assume(
        np.isfinite(
            call("MaxPool", x.astype(np.float32), kernel_shape=kernel, **attributes)[0]
        ).all()
    )
    compare("MaxPool", x, kernel_shape=kernel, **attributes)


@given(st.data())
def test_average_pool(data: st.DataObject) -> None:
    size, kernel, attributes = data.draw(windows(pooled=True))
    if "auto_pad" not in attributes:
        attributes["ceil_mode"] = data.draw(st.integers(0, 1))
    attributes["count_include_pad"] = data.draw(st.integers(0, 1))
    x = whole(generator(data.draw), 2, 3, *size)
    compare("AveragePool", x, kernel_shape=kernel, ulps=8, **attributes)


@given(st.data())
def test_lp_pool(data: st.DataObject) -> None:
    size, kernel, attributes = data.draw(windows(pooled=True))
    attributes["p"] = data.draw(st.integers(1, 4))
    x = whole(generator(data.draw), 2, 3, *size)
    compare("LpPool", x, kernel_shape=kernel, ulps=16, **attributes)


@given(st.data())
def test_global_pools(data: st.DataObject) -> None:
    x = whole(generator(data.draw), 2, 3, *along(data.draw, data.draw(st.integers(1, 3)), 1, 6))
    compare("GlobalMaxPool", x)
    compare("GlobalAveragePool", x, ulps=8)


@given(st.data())
def test_pad(data: st.DataObject) -> None:
    """ONNX Runtime reflects once; numpy.pad, which the specification follows, again and again."""
    rank = data.draw(st.integers(1, 4))
    size = along(data.draw, rank, 2, 5)
    axes = data.draw(st.lists(st.integers(0, rank - 1), unique=True, min_size=1, max_size=rank))
    mode = data.draw(st.sampled_from(("constant", "reflect", "edge", "wrap")))
    pairs = []
    for axis in axes:
        cut = [-data.draw(st.integers(0, (size[axis] - 1) // 2)) for _ in range(2)]
        left = size[axis] + sum(cut)
        most = left - 1 if mode == "reflect" else 2 * left
        pairs.append([data.draw(st.sampled_from((n, n or most, n or min(1, most)))) for n in cut])
    pads = np.array([lo for lo, _ in pairs] + [hi for _, hi in pairs])
    dtype = data.draw(st.sampled_from(("float32", "float64", "int32", "uint8", "bool")))
    x = whole(generator(data.draw), *size, dtype=dtype)
    value = np.array(1, dtype) if mode == "constant" and data.draw(st.booleans()) else None
    negative = np.array([axis - rank * data.draw(st.integers(0, 1)) for axis in axes])
    compare("Pad", x, pads, value, negative, mode=mode)


@given(st.data())
def test_resize_nearest(data: st.DataObject) -> None:
    """By factors of powers of two, for which float32 finds the same places."""
    x = whole(generator(data.draw), 1, 2, *(2 * n for n in along(data.draw, 2, 1, 4)))
    factors = [data.draw(st.sampled_from((0.5, 1.0, 2.0, 4.0))) for _ in "hw"]
    attributes = {
        "coordinate_transformation_mode": data.draw(
            st.sampled_from(("half_pixel", "pytorch_half_pixel", "asymmetric"))
        ),
        "nearest_mode": data.draw(
            st.sampled_from(("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"))
        ),
    }
    scales = np.array([1, 1, *factors], np.float32)
    compare("Resize", x, None, scales, opset=19, mode="nearest", **attributes)


@given(st.data())
def test_resize_linear(data: st.DataObject) -> None:
    x = whole(generator(data.draw), 1, 2, *along(data.draw, 2, 1, 6))
    mode = data.draw(
        st.sampled_from(
            (
                "half_pixel",
                "half_pixel_symmetric",
                "pytorch_half_pixel",
                "asymmetric",
                "align_corners",
                "tf_crop_and_resize",
            )
        )
    )
    attributes: Attributes = {"coordinate_transformation_mode": mode}
    roi = None
    if mode == "tf_crop_and_resize":
        corners = [data.draw(st.sampled_from((-0.25, 0, 0.25, 0.5, 0.75, 1, 1.25))) for _ in "hwhw"]
        roi = np.array([0, 0, *corners[:2], 1, 1, *corners[2:]], np.float32)
        attributes["extrapolation_value"] = 7.0
    sizes = np.array([1, 2, *along(data.draw, 2, 1, 9)])
    if roi is not None:  # along an axis that keeps its size ONNX Runtime forgets the region
        sizes[2:] += sizes[2:] == x.shape[2:]
    kind = data.draw(st.sampled_from(("linear", "cubic")))
    compare("Resize", x, roi, None, sizes, opset=19, mode=kind, ulps=256, **attributes)


@given(st.data())
def test_col2im(data: st.DataObject) -> None:
    """Of images; with more axes ONNX Runtime mixes the channels up (the node tests have one)."""
    size, kernel, attributes = data.draw(windows(ranks=(2, 2), automatic=False))
    rng = generator(data.draw)
    image, taps = whole(rng, 1, 1, *size), whole(rng, 1, 1, *kernel)
    (output,) = call("Conv", image, taps, **attributes)
    cols = whole(rng, 2, 3 * taps.size, output.size)
    compare("Col2Im", cols, np.array(size), np.array(kernel), opset=18, **attributes)


X, W = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4), np.ones((2, 2, 3, 3), np.float32)
U, V = X.astype(np.uint8), W.astype(np.int8)
SCALE = np.array(1, np.float32)
POINT, ZERO = np.array(0, np.uint8), np.array(0, np.int8)


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes"),
    [
        ("Conv", (X.astype(np.int32), W.astype(np.int32)), {}),
        ("Conv", (X, W.astype(np.float64)), {}),
        ("Conv", (X[0], W), {}),
        ("Conv", (X, W[:, :1]), {}),
        ("Conv", (X, W), {"group": 3}),
        ("Conv", (X, W), {"kernel_shape": [2, 2]}),
        ("Conv", (X, W), {"strides": [1]}),
        ("Conv", (X, W), {"dilations": [1, 1, 1]}),
        ("Conv", (X, W), {"pads": [1, 1]}),
        ("Conv", (X, W), {"pads": [0, 0, -1, 0]}),
        ("Conv", (X, W), {"pads": [0] * 4, "auto_pad": "SAME_UPPER"}),
        ("Conv", (X, W), {"auto_pad": "same_upper"}),
        ("Conv", (X, np.ones((1, 2, 5, 5), np.float32)), {}),
        ("ConvTranspose", (X, W), {"output_padding": [1, 1]}),
        ("ConvTranspose", (X, W), {"output_shape": [7, 7]}),
        ("ConvTranspose", (X, W), {"output_shape": [1, 2, 6, 6]}),
        ("ConvTranspose", (X, W), {"pads": [1] * 4, "auto_pad": "VALID"}),
        ("ConvTranspose", (X, np.ones((3, 1, 3, 3), np.float32)), {}),
        ("ConvInteger", (X, V), {}),
        ("ConvInteger", (U, V, np.zeros(2, np.uint8)), {}),
        ("ConvInteger", (U, V, ZERO), {}),
        ("QLinearConv", (U, SCALE, ZERO, V, SCALE, ZERO, SCALE, POINT), {}),
        ("QLinearConv", (U, SCALE, POINT, V, np.ones(3, np.float32), ZERO, SCALE, POINT), {}),
        ("QLinearConv", (U, SCALE, POINT, V, SCALE, ZERO, np.ones(2, np.float32), POINT), {}),
        ("DeformConv", (X, W, np.zeros((1, 18, 3, 3), np.float32)), {}),
        ("DeformConv", (X, W, np.zeros((1, 18, 2, 2), np.float32)), {"offset_group": 3}),
        ("MaxPool", (X,), {}),
        ("MaxPool", (X,), {"kernel_shape": [2]}),
        ("MaxPool", (X,), {"kernel_shape": [2, 2], "pads": [-1, 0, 0, 0]}),
        ("MaxPool", (X.astype(np.int64),), {"kernel_shape": [2, 2]}),
        ("AveragePool", (U,), {"kernel_shape": [2, 2]}),
        ("AveragePool", (X,), {"kernel_shape": [2, 2], "strides": [1]}),
        ("Pad", (X, np.array([1, 1])), {}),
        ("Pad", (X, np.array([1, 1]), None, np.array([4])), {}),
        ("Pad", (X, np.array([1, 1]), np.array(1.0), np.array([3])), {}),
        ("Pad", (X, np.array([1, 1]), None, np.array([3])), {"mode": "symmetric"}),
        ("Pad", (X, np.array([-3, -2]), None, np.array([3])), {}),
        ("Resize", (X,), {}),
        ("Resize", (X, None, np.ones(2, np.float32)), {}),
        ("Resize", (X, None, np.ones(4, np.float32), np.array([1, 1, 2, 2])), {}),
        ("Resize", (X, None, np.zeros(4, np.float32)), {}),
        ("Resize", (X, None, np.ones(4, np.float32)), {"mode": "area"}),
        ("Resize", (X, None, np.ones(4, np.float32)), {"antialias": 1}),
        ("Col2Im", (X[0], np.array([4, 4]), np.array([2, 2])), {}),
    ],
)
def test_both_refuse(operator: str, inputs: Any, attributes: Attributes) -> None:
    """ONNX Runtime and onnx raise plain exceptions of their own; the dialect, convref's."""
    with pytest.raises(Exception, match=r"ONNXRuntimeError|[Ss]hape|valid"):
        ort(operator, *inputs, opset=onnx.defs.get_schema(operator).since_version, **attributes)
    with pytest.raises((ConvrefError, TypeError)) as caught:
        call(operator, *inputs, **attributes)
    assert operator in str(caught.value)
