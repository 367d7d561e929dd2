"""Archives of arrays: what NumPy writes is read, and what lies is refused by its own text."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from messages import refused
from test_trust_files import X, archive, bomb, npy, npz, shaped

from convref import TooLargeError, memory
from convref.npz import read_npz


def read(data: bytes) -> dict[str, Any]:
    return read_npz(io.BytesIO(data))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3)), np.array(3j),
        np.zeros((0, 4), np.float16), np.arange(4, dtype=">i2"), np.array("words"),
        np.ones(3, bool),
    ],
)  # fmt: skip
def test_what_numpy_writes(save: Any, array: Any) -> None:
    stream = io.BytesIO()
    save(stream, a=array, **{"b/c": X})
    found = read(stream.getvalue())
    assert list(found) == ["a", "b/c"]
    np.testing.assert_array_equal(found["a"], array, strict=True)
    assert found["a"].flags.writeable


REFUSED = {
    "one array": (npy(X), "it holds a single array"),
    "a text": (archive({"a.txt": b""}), "'a.txt' in it is not an array"),
    "twice": (archive({"a.npy": npy(X)}, twice=True), "it holds two arrays 'a'"),
    "a long name": (archive({"a" * 2000 + ".npy": b""}), "it holds a name of 2000 characters"),
    "a bomb": (bomb(2**28), "'x' unpacks to 256.0 MiB, as bombs do"),
    "a version": (
        archive({"a.npy": b"\x93NUMPY\x07\x00"}),
        "'a' is of version (7, 0), which arrays of numbers don't need",
    ),
    "a shape": (
        npz(x=shaped("(2**40,)")),
        "'x' has no header of an array: ",
    ),
    "a true shape": (
        npz(x=shaped("(True, 2)", data=bytes(8))),
        "'x' has the shape (True, 2), not one of integers",
    ),
    "too few": (
        npz(x=shaped("(1, 3)", data=bytes(8))),
        "'x', of shape (1, 3) and dtype float32, should have 12 bytes and has 8",
    ),
    "pickles": (
        npz(x=shaped("(1,)", "'|O'", data=bytes(8))),
        "Object arrays cannot be loaded when allow_pickle=False",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read(data)
    assert str(caught.value).startswith(message)
    assert message.endswith(": ") or str(caught.value) == message


def test_more_than_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_bytes", lambda: 1000)
    with refused(
        TooLargeError,
        "its arrays would need 1152 bytes (1.1 KiB), and this machine has 1000 bytes; "
        "use smaller sizes, or split the batch",
    ):
        read(archive({"a.npy": npy(np.zeros(128))}))


def test_an_archive_that_says_it_holds_more() -> None:
    """The directory at its end lies; the array in it is as the directory says."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("a.npy", shaped("(1000,)", data=bytes(8)))
        file.infolist()[0].file_size = len(shaped("(1000,)")) + 4000
    with pytest.raises((ValueError, zipfile.BadZipFile, EOFError)):
        read(stream.getvalue())
