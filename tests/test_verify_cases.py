"""The golden corpus: what it covers, that all of it holds, that mistakes in it would be seen."""

import json
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest
from messages import refused

import convref
from convref.errors import FileError
from convref.verify import verify
from convref.verify.cases import CODED, FRAMEWORKS, corpus, decode_bfloat16, read_case, reports
from convref.verify.summary import as_values, is_ok, summarise

CASES = {case.name: case for case in corpus()}
FORWARD = [name for name, case in CASES.items() if case.kind == "forward"]


def test_it_is_as_large_as_promised():
    assert len(CASES) >= 150
    folder = files("convref.verify").joinpath("golden")
    assert sum(len(entry.read_bytes()) for entry in folder.iterdir()) <= 1_500_000


def test_it_covers_what_frameworks_differ_in():
    seen = Counter()
    for case in CASES.values():
        words, kernel = case.words, case.arrays["w"].shape[2:]
        seen[case.framework] += 1
        seen[case.dtype] += 1
        seen[case.operator] += 1
        seen[f"rank {len(kernel)}"] += 1
        seen["gradients"] += "dx" in case.arrays
        seen["stride"] += max(words.get("stride", [1])) > 1
        seen["dilation"] += max(words.get("dilation", [1])) > 1
        seen["groups"] += words.get("groups", 1) > 1
        seen["channels_last"] += words.get("layout") == "channels_last"
        padding = words.get("padding", "valid")
        seen["causal"] += padding == "causal"
        seen["same_lower"] += padding == "same_lower"
        even = any(taps % 2 == 0 for taps in kernel)
        seen["same, even, strided"] += padding == "same" and even and "stride" in words
        pairs = [] if isinstance(padding, str) else padding
        seen["asymmetric"] += any(lo != hi for lo, hi in pairs)
        seen["negative"] += any(min(pair) < 0 for pair in pairs)
        seen["output padding"] += "output_padding" in case.configuration
    wanted = {
        *("PyTorch", "TensorFlow", "Keras", "JAX", "ONNX Runtime"),
        *("float16", "bfloat16", "float32", "float64"),
        *("conv", "depthwise", "transpose", "rank 1", "rank 2", "rank 3", "gradients"),
        *("stride", "dilation", "groups", "channels_last", "causal", "same_lower"),
        *("same, even, strided", "asymmetric", "negative", "output padding"),
    }
    assert {name for name in wanted if not seen[name]} == set()


@pytest.mark.parametrize("framework", sorted({case.framework for case in CASES.values()}))
def test_every_output_is_legitimate(framework):
    for case in CASES.values():
        if case.framework == framework:
            assert case.version
            assert case.configuration
            for name, report in reports(case):
                assert report.ok, (case.name, name, report)


@pytest.mark.slow
def test_a_mistake_in_any_output_is_seen():
    """A thousandth more in the largest element, or where 16 bits allow no such test, its double."""
    for case in CASES.values():
        step = 1.001 if case.dtype in ("float32", "float64") else 2
        for name in ("y", "dx", "dw", "db"):
            if name in case.arrays:
                spoilt = case.arrays[name].copy()
                spoilt.flat[abs(spoilt).argmax()] *= step
                all_reports = reports(replaced(case, name, spoilt))
                changed = next(report for each, report in all_reports if each == name)
                assert changed.verdict == "wrong", (case.name, name)


def replaced(case, name, array):
    return type(case)(**{**vars(case), "arrays": {**case.arrays, name: array}})


@pytest.mark.parametrize("name", FORWARD)
def test_convref_itself_stands_the_same_trial(name, backend):
    """Each back end, on the frameworks' operands, with the gradients."""
    case = CASES[name]
    x, w, words = case.arrays["x"], case.arrays["w"], case.words
    if case.dtype in ("float16",):
        x, w = x.astype(np.float16), w.astype(np.float16)
    if backend == "naive" and x.size * w.size > 30_000:
        pytest.skip("too many products for loops")
    y = convref.conv(x, w, case.arrays.get("bias"), backend=backend, **words)
    assert y.shape == case.arrays["y"].shape
    assert verify(y, x, w, case.arrays.get("bias"), **words).ok
    if "dy" in case.arrays:
        dy = case.arrays["dy"]
        dx, dw, db = convref.conv_vjp(x, w, dy, backend=backend, **words)
        assert verify(dx, dy, w, kind="input_grad", **words).ok
        assert verify(dw, x, dy, kind="weight_grad", **words).ok
        assert verify(db, dy, w, kind="bias_grad", **words).ok


def test_bfloat16_is_the_upper_half_of_float32():
    values = np.array([0, -1.5, 3.140625, np.inf, 2.0**-133], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    np.testing.assert_array_equal(decode_bfloat16(bits), values)
    np.testing.assert_array_equal(decode_bfloat16(bits.view("V2")), values)


def test_summary_keeps_the_worst():
    judged = [(case, name, report) for case in CASES.values() for name, report in reports(case)]
    lines = summarise(judged)
    assert {line.framework for line in lines} == {case.framework for case in CASES.values()}
    assert sum(line.cases for line in lines) == len(CASES)
    assert sum(line.outputs for line in lines) == len(judged) == len(summarise(judged, each=True))
    assert max(line.bound_used for line in lines) == max(r.bound_used for _, _, r in judged)
    assert is_ok(lines)
    values = json.loads(json.dumps(as_values(judged), allow_nan=False))
    assert values["ok"] is True
    assert len(values["cases"]) == len(CASES)
    assert len(FRAMEWORKS) == 4


X, W = np.ones((1, 2, 9), np.float32), np.ones((3, 2, 2), np.float32)
Y = np.full((1, 3, 8), 4, np.float32)


def saved(tmp_path, **arrays):
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    return path


def test_a_users_file(tmp_path):
    dx = convref.conv_input_grad(Y, W, 9)
    path = saved(tmp_path, x=X, w=W, y=Y, dy=Y, dx=dx, words="{}")
    assert {name: report.verdict for name, report in reports(read_case(path))} == {
        "y": "exact",
        "dx": "exact",
    }


def test_a_users_file_of_a_transposed_convolution(tmp_path):
    words = {"kind": "transpose", "stride": 2, "layout": "channels_last", "accumulate": "float64"}
    x, dy = np.ones((1, 5, 3), np.float32), np.ones((1, 11, 2), np.float32)
    y = convref.conv_transpose(x, W, stride=2, output_size=11, layout="channels_last")
    dx = convref.conv(dy, W, stride=2, layout="channels_last")
    path = saved(tmp_path, x=x, w=W, y=y, dy=dy, dx=dx, words=json.dumps(words))
    case = read_case(path)
    assert case.accumulate == "float64"
    assert [report.verdict for _, report in reports(case)] == ["exact", "exact"]


def test_a_users_bfloat16(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x, w, y = (array.astype(ml_dtypes.bfloat16) for array in (X, W, Y))
    assert read_case(saved(tmp_path, x=x, w=w, y=y)).dtype == "bfloat16"
    bits = {name: array.view(np.uint16) for name, array in (("x", x), ("w", w), ("y", y))}
    case = read_case(saved(tmp_path, **bits, words='{"dtype": "bfloat16"}'))
    assert [report.verdict for _, report in reports(case)] == ["exact"]


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_all_numbers_of_float8(name):
    pytest.importorskip("ml_dtypes")
    bits = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(CODED[name](bits), bits.view(name).astype(np.float32))
    np.testing.assert_array_equal(CODED[name](bits.view("V1")), bits.view(name).astype(np.float32))


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_a_users_float8(tmp_path, name):
    """Its bits must be declared; a result in float32 is told from them."""
    pytest.importorskip("ml_dtypes")
    bits = {"x": X.astype(name).view(np.uint8), "w": W.astype(name).view(np.uint8)}
    words = json.dumps({"dtype": name})
    for y, dtype in ((Y.astype(name).view(np.uint8), name), (Y, "float32")):
        case = read_case(saved(tmp_path, **bits, y=y, words=words))
        ((_, report),) = reports(case)
        assert (report.verdict, report.dtype) == ("exact", dtype)


def test_raw_bytes_of_no_known_format(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x, w, y = (array.astype(ml_dtypes.float8_e4m3fn) for array in (X, W, Y))
    path = saved(tmp_path, x=x, w=w, y=y, words='{"dtype": "float8_e4m3fn"}')
    assert [report.verdict for _, report in reports(read_case(path))] == ["exact"]
    path = saved(tmp_path, x=x, w=w, y=Y)
    message = (
        f"`x` in {path} holds raw bytes, of no known format; "
        "add to `words` the `dtype` float8_e4m3fn or float8_e5m2"
    )
    with refused(FileError, message):
        read_case(path)


def test_each_output_has_a_format_of_its_own(tmp_path):
    """Mixed precision: y kept in float32, dx stored in float16."""
    dx = convref.conv_input_grad(Y, W, 9) / 3
    path = saved(tmp_path, x=X, w=W, y=Y, dy=Y / 3, dx=dx.astype(np.float16))
    judged = dict(reports(read_case(path)))
    assert {name: report.dtype for name, report in judged.items()} == {
        "y": "float32",
        "dx": "float16",
    }
    assert all(report.ok for report in judged.values())


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X, "y": Y}, "{} has no array `w`; save it by this name, among {names}"),
        ({"x": X, "w": W}, "{} has no array `y`; save it by this name, among {names}"),
        (
            {"x": X, "w": W, "dx": X},
            "{} has no array `dy`; save it by this name, among {names}",
        ),
        (
            {"x": X, "w": W, "y": Y, "z": X},
            "{} has an unknown array `z`; the names are {names}",
        ),
        (
            {"x": X, "w": W, "y": Y, "words": "[1]"},
            "`words` in {} is not a JSON object; write for example {example}",
        ),
        (
            {"x": X, "w": W, "y": Y, "words": "stride=2"},
            "`words` in {} is not JSON: Expecting value: line 1 column 1 (char 0); "
            "write for example {example}",
        ),
        (
            {"x": X, "w": W, "y": Y, "words": '{"kind": "backward"}'},
            "`kind` (='backward') in {} is unknown; use forward or transpose",
        ),
    ],
)
def test_messages_about_files(tmp_path, arrays, message):
    path = saved(tmp_path, **arrays)
    with pytest.raises(FileError) as error:
        read_case(path)
    names = "x, w, bias, y, dy, dx, dw, db, words"
    example = """'{"stride": 2, "padding": "same"}'"""
    assert str(error.value) == (
        message.replace("{names}", names).replace("{example}", example).replace("{}", str(path))
    )


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"])
def test_files_that_are_no_archives(tmp_path, content):
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"is not an \.npz file of plain arrays"):
        read_case(path)


def test_pickles_are_not_opened(tmp_path):
    path = saved(tmp_path, x=np.array([{}], object), w=W, y=Y)
    with pytest.raises(FileError, match="Object arrays cannot be loaded"):
        read_case(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileError) as error:
        read_case(tmp_path / "none.npz")
    assert str(error.value) == f"there is no file {tmp_path / 'none.npz'}; check the path"
