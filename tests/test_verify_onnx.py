"""What `verify_onnx` needs no other package for: refusals, files of arrays, words.

Models are read and run in tests/peers.
"""

import io
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from messages import refused

import convref
from convref import DtypeError, FileError, MissingExtraError, ShapeError, WordError
from convref.verify.onnx.data import beside, printable
from convref.verify.onnx.model import labelled, packages
from convref.verify.onnx.nodes import narrowed, words_of
from convref.verify.onnx.tensors import arrays_of

X, W = np.zeros((1, 4, 9, 9), np.float32), np.zeros((6, 2, 3, 3), np.float32)


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_without_the_extra_it_says_what_to_install(missing, monkeypatch):
    for name in ("onnx", "onnx.inliner", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    monkeypatch.setitem(sys.modules, missing, None)
    message = f"the package {missing} is not installed; pip install 'convref[onnx]'"
    with refused(MissingExtraError, message):
        packages()
    with refused(MissingExtraError, f"verify_onnx: {message}"):
        convref.verify_onnx("model.onnx")


def test_it_is_imported_when_it_is_asked_for():
    script = (
        "import sys, convref; assert 'convref.verify.onnx' not in sys.modules; "
        "convref.verify_onnx; assert 'convref.verify.onnx' in sys.modules; "
        "from convref.verify import verify_onnx; assert verify_onnx is convref.verify_onnx; "
        "assert not {'onnx', 'onnxruntime'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="module 'convref' has no attribute 'verify_onx'"):
        convref.verify_onx  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'verify_onx'"):
        from convref.verify import verify_onx  # noqa: F401


def test_a_model_that_is_no_path():
    message = (
        "verify_onnx: `path` (a bytes) is not the path of a file; save the model with onnx.save"
    )
    with refused(WordError, message):
        convref.verify_onnx(b"model")


# Files of arrays


def test_arrays_of_a_file(tmp_path):
    bits = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype(np.uint16).view("V2")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    path = tmp_path / "a.npz"
    np.savez(path, **{"conv/x:0": X, "half": bits})
    for source in (path, str(path)):
        found = arrays_of("inputs", source)
        assert list(found) == ["conv/x:0", "half"]
        assert found["half"].dtype == ml_dtypes.bfloat16
        assert found["half"].tolist() == [1.5, -2.0]


def test_arrays_that_can_not_be_used(tmp_path):
    path = tmp_path / "a.npz"
    with refused(FileError, f"there is no file {path}; check the path"):
        arrays_of("inputs", path)
    with refused(
        WordError,
        "`inputs` (a list) is neither a dict of arrays nor a file; give it arrays by the names of "
        "the model's tensors, or the path of an .npz file",
    ):
        arrays_of("inputs", [X])
    with refused(
        DtypeError,
        "`outputs['y']` has dtype <U1, which can't be convolved; use one of float16, bfloat16, "
        "float32, float64, complex64, complex128, integers and booleans",
    ):
        arrays_of("outputs", {"y": "z"})
    np.savez(path, x=np.array([{}], object))
    with refused(
        FileError,
        f"{path} is not an .npz file of plain arrays: Object arrays cannot be loaded when "
        "allow_pickle=False; write it with numpy.savez",
    ):
        arrays_of("inputs", path)


def test_an_array_that_claims_more_than_any_machine_has(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (2**50,)}
    )
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    with refused(
        FileError,
        f"{path} is not an .npz file of plain arrays: 'x', of shape (1125899906842624,) and dtype "
        "float64, should have 9007199254740992 bytes and has 0; write it with numpy.savez",
    ):
        arrays_of("inputs", path)


# Attributes


def test_words_of_a_convolution():
    words = words_of("Conv", {"auto_pad": b"SAME_LOWER", "strides": [2, 1], "group": 2}, X, W)
    assert words == {"stride": (2, 1), "padding": "same_lower", "dilation": (1, 1), "groups": 2}
    words = words_of("QLinearConv", {"pads": [0, 1, 2, 3], "group": 2}, X, W)
    assert words["padding"] == ((0, 2), (1, 3))


def test_words_of_a_transposed_one():
    attributes = {"pads": [1, 1, 1, 1], "strides": [2, 2], "output_padding": [1, 0]}
    w = W.reshape(4, 3, 3, 3)
    words = words_of("ConvTranspose", attributes, X, w)
    assert words == {
        "stride": (2, 2), "padding": [(1, 0), (1, 1)], "dilation": (1, 1), "groups": 1,
    }  # fmt: skip
    assert convref.conv_transpose(X, w, **words).shape == (1, 3, 18, 17)


@pytest.mark.parametrize(
    ("operator", "attributes", "kind", "message"),
    [
        (
            "Conv", {"output_padding": [1, 1]}, WordError,
            "there is no attribute `output_padding`; use one of auto_pad, dilations, pads, "
            "strides, group, kernel_shape",
        ),
        (
            "Conv", {"auto_pad": b"SAME"}, WordError,
            "`auto_pad` (=b'SAME') is unknown; use one of 'NOTSET', 'VALID', 'SAME_UPPER', "
            "'SAME_LOWER'",
        ),
        (
            "Conv", {}, ShapeError,
            "`w` (shape (6, 2, 3, 3)) takes 2 input channels in `group` (=1), and `x` (shape "
            "(1, 4, 9, 9)) has 4; weights have the shape (M, C/group, k1, ..., kn)",
        ),
    ],
)  # fmt: skip
def test_attributes_that_do_not_fit(operator, attributes, kind, message):
    with refused(kind, message):
        words_of(operator, attributes, X, W)


def test_arrays_in_a_wider_dtype_than_they_need():
    single, double = np.dtype(np.float32), np.dtype(np.float64)
    assert narrowed(np.array([0.5, np.nan, np.inf]), single).dtype == single
    assert narrowed(np.array([0.1]), single).dtype == double
    assert narrowed(np.array([1e300]), single).dtype == double
    assert narrowed(np.array([0.5], np.float16), single).dtype == np.float16
    assert narrowed(np.array([1], np.int64), single).dtype == np.int64


# Names


def test_names_are_made_fit_for_a_terminal():
    assert printable("a/b:0") == "a/b:0"
    assert printable("\x1b[31m\n") == "\ufffd[31m\ufffd"
    assert printable("n" * 1000) == "n" * 200 + "..."


def test_no_two_nodes_have_one_label():
    def node(name, *output):
        return SimpleNamespace(name=name, output=output)

    nodes = [node("conv", "a"), node("", "b"), node("conv", "c"), node("c", "d"), node("", "conv")]
    assert [label for label, _ in labelled(nodes)] == [
        "conv",
        "b",
        "conv -> c",
        "c",
        "conv -> conv",
    ]


@pytest.mark.parametrize(
    "location",
    [
        "", "/etc/hostname", "../w.bin", "below/../../w.bin", "..\\w.bin", "C:\\w.bin",
        "\\\\host\\w", "link.bin", "links/w.bin", "w\0.bin",
    ],
)  # fmt: skip
def test_data_is_read_beside_the_model_alone(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(b"1234")
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    (folder / "links").symlink_to(tmp_path, target_is_directory=True)
    with refused(
        FileError,
        f"model.onnx: the tensor `w` has its data in {location!r}, which is not in the folder of "
        "the model; copy the file there, and save the model with its name alone",
    ):
        beside(folder, location, "model.onnx: the tensor `w`")


def test_data_may_be_in_a_folder_below(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "w.bin").write_bytes(b"1234")
    (tmp_path / "link.bin").symlink_to("below/w.bin")
    file = tmp_path.resolve() / "below" / "w.bin"
    assert beside(tmp_path.resolve(), "below/w.bin", "") == file
    assert beside(tmp_path.resolve(), "link.bin", "") == file
    for location in ("below", "no.bin", "n" * 1000):
        with pytest.raises(FileError, match="there is no such file; copy it to the folder"):
            beside(tmp_path.resolve(), location, "w")
