"""Files of compiled kernels: whatever is wrong with them, results are right; a line says it.

Files by themselves first. Then, for compiling takes seconds, one convolution with few kernels
stands for all, in processes whose folder of kernels is spoiled in one way after the other.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import convref
from convref.kernels.jit import kept as module
from convref.kernels.jit.kept import Files

SCRIPT = """
import sys
import numpy as np
import convref
x, w = np.arange(12, dtype=np.{dtype}).reshape(1, 1, 12), np.ones((1, 1, 3), np.{dtype})
y = convref.conv(x, w, backend="numba", threads=1)
assert (y.ravel() == 3 * np.arange(1, 11)).all(), y
from convref.kernels.jit import plans
hits = [kernel._cache_hits for each in (plans.thin.THIN,) for kernel in each.compiled.values()]
print(*hits)
"""
LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
"""
ONE_NUMBER = """
import itertools, sys
from numba.core.bytecode import FunctionIdentity
FunctionIdentity._unique_ids = itertools.repeat(1)
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""
LEFT = """
import atexit, os
from pathlib import Path
atexit.register(lambda: print(*Path(os.environ["NUMBA_CACHE_DIR"]).rglob("*.tmp")))
"""
SMALL_DISK = ("unshare", "--map-root-user", "--mount", "sh", "-c")
MOUNTED = 'mount -t tmpfs -o size=16k tmpfs "$0" && exec "$@"'


def start(
    folder: Path | None, dtype: str = "float64", before: str = "", within: Sequence[str] = (),
    **environment: str,
) -> subprocess.Popen[str]:  # fmt: skip
    """The convolution in a process of its own."""
    known = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    where = {} if folder is None else {"NUMBA_CACHE_DIR": str(folder)}
    path = os.pathsep.join([str(Path(convref.__file__).parents[1]), *sys.path])
    return subprocess.Popen(
        [*within, sys.executable, "-c", before + SCRIPT.format(dtype=dtype)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**known, "PYTHONPATH": path, **where, **environment},
        cwd=os.sep,  # where there is no other convref
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, list[str]]:
    """How often the kernel came from a file, and the lines that were said; results were right."""
    told, complaints = process.communicate(timeout=240)
    assert process.returncode == 0, complaints
    return told.strip(), complaints.splitlines()


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the kernels of that convolution."""
    folder = tmp_path_factory.mktemp("kernels")
    assert finish(start(folder)) == ("0", [])
    assert finish(start(folder)) == ("1", [])
    return folder


@pytest.fixture
def folder(warm: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be spoiled."""
    return Path(shutil.copytree(warm, tmp_path / "kernels"))


def files(folder: Path) -> Iterator[Path]:
    found = list(folder.rglob("*.nbc"))
    assert len(found) > 3
    yield from found


def turn(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 0xFF
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "torn": lambda data: data[: len(data) // 2],
    "a byte in the middle": lambda data: turn(data, len(data) // 2),
    "the last byte": lambda data: turn(data, -1),
    "the seal": lambda data: turn(data, 0),
    "something else": lambda data: b"\x80\x04K\x01." * 100,
    "longer": lambda data: data + b"\0",
}


@pytest.fixture
def kept(tmp_path: Path) -> Files:
    made = Files(str(tmp_path), "function")
    made.save(("a", 1), "machine code")
    return made


@pytest.mark.parametrize("damage", DAMAGES)
def test_nothing_that_is_damaged_is_taken(kept: Files, damage: str) -> None:
    assert kept.load(("a", 1)) == "machine code"
    path = Path(kept.path(("a", 1)))
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert kept.load(("a", 1)) is None


def test_nothing_of_another_key_or_origin_is_taken(
    kept: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.replace(kept.path(("a", 1)), kept.path(("a", 2)))
    assert kept.load(("a", 2)) is None
    kept.save(("a", 2), "other code")
    monkeypatch.setattr(module, "origin", lambda: b"another version")
    assert kept.load(("a", 2)) is None


def test_what_can_not_be_written_leaves_nothing(
    kept: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        kept.save(("b", 1), "machine code")
    assert sorted(tmp_path.iterdir()) == before


def test_one_line_for_each_reason() -> None:
    module.tell.cache_clear()
    message = (
        "compiled kernels can't be kept (a test), so each process compiles them anew; "
        "set NUMBA_CACHE_DIR to a folder that can be written"
    )
    with pytest.warns(RuntimeWarning, match=re.escape(message)):
        module.tell("a test")
    module.tell("a test")  # a second warning would be an error


# With Numba, in processes of their own


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["torn", "a byte in the middle", "something else"])
def test_damaged_files_are_made_anew(folder: Path, damage: str) -> None:
    for file in files(folder):
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert finish(start(folder)) == ("0", [])
    assert finish(start(folder)) == ("1", [])


@pytest.mark.slow
def test_a_file_of_another_function_is_not_taken(folder: Path) -> None:
    """As an index that two processes write at once could say."""
    found = sorted(files(folder), key=lambda file: file.name)
    contents = [file.read_bytes() for file in found]
    for file, data in zip(found, contents[1:] + contents[:1], strict=True):
        file.write_bytes(data)
    assert finish(start(folder)) == ("0", [])


@pytest.mark.slow
def test_files_of_another_version_are_not_taken(folder: Path, tmp_path: Path) -> None:
    """One line of any file of the kernels differs, the date and the size of the others do not."""
    copied = tmp_path / "other"
    source = Path(convref.__file__).parent
    shutil.copytree(source, copied / "convref", ignore=shutil.ignore_patterns("__pycache__"))
    micro = copied / "convref" / "kernels" / "jit" / "micro.py"
    environment = {"PYTHONPATH": os.pathsep.join([str(copied), *sys.path])}
    # The folder is the same for both, as that of an installed package is for two versions.
    first = finish(start(folder, **environment))
    assert finish(start(folder, **environment)) == ("1", [])
    times = micro.stat()
    micro.write_text(micro.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    os.utime(micro, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (first, finish(start(folder, **environment))) == (("0", []), ("0", []))


@pytest.mark.slow
def test_no_folder_can_be_written(tmp_path: Path) -> None:
    """Neither that of the package nor the user's: one line, on every start."""
    installed, home = tmp_path / "site-packages", tmp_path / "home"
    source = Path(convref.__file__).parent
    shutil.copytree(source, installed / "convref", ignore=shutil.ignore_patterns("__pycache__"))
    home.write_text("not a folder")
    pycache = installed / "convref" / "kernels" / "jit" / "__pycache__"
    pycache.write_text("not a folder, nor can it become one")
    environment = {
        "PYTHONPATH": os.pathsep.join([str(installed), *sys.path]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
    }
    told, lines = finish(start(None, **environment))
    assert told == "0"
    assert lines == [
        "convref:0: RuntimeWarning: compiled kernels can't be kept (no folder can be written), so "
        "each process compiles them anew; set NUMBA_CACHE_DIR to a folder that can be written"
    ]


@pytest.mark.slow
def test_the_users_folder_serves_where_the_package_can_not_be_written(tmp_path: Path) -> None:
    installed, home = tmp_path / "site-packages", tmp_path / "home"
    source = Path(convref.__file__).parent
    shutil.copytree(source, installed / "convref", ignore=shutil.ignore_patterns("__pycache__"))
    (installed / "convref" / "kernels" / "jit" / "__pycache__").write_text("not a folder")
    home.mkdir()
    environment = {
        "PYTHONPATH": os.pathsep.join([str(installed), *sys.path]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
    }
    assert finish(start(None, **environment)) == ("0", [])
    assert finish(start(None, **environment)) == ("1", [])
    assert list(files(home))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits files as Linux does")
def test_files_may_not_grow(tmp_path: Path) -> None:
    """They end at 4 KiB: nothing torn is left, and one line says what to do."""
    told, lines = finish(start(tmp_path, before=LIMITED))
    assert told == "0"
    assert len(lines) == 1
    assert lines[0].startswith("convref:0: RuntimeWarning: compiled kernels can't be kept (")
    assert "File too large" in lines[0]
    assert not list(tmp_path.rglob("*.tmp"))
    assert finish(start(tmp_path)) == ("0", [])


def a_disk_can_be_mounted() -> bool:
    """As Linux lets any user do, in a namespace of their own, if it is so configured."""
    if not shutil.which("unshare"):
        return False
    with TemporaryDirectory() as folder:
        command = [*SMALL_DISK, MOUNTED, folder, "true"]
        return not subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.slow
@pytest.mark.skipif(not a_disk_can_be_mounted(), reason="mounts a small disk")
def test_a_full_disk(tmp_path: Path) -> None:
    """A disk of 16 KiB: nothing torn is left, and one line says what to do."""
    within = (*SMALL_DISK, MOUNTED, str(tmp_path))
    told, lines = finish(start(tmp_path, before=LEFT, within=within))
    assert told == "0"
    assert len(lines) == 1
    assert lines[0].startswith("convref:0: RuntimeWarning: compiled kernels can't be kept (")
    assert "No space left on device" in lines[0]


@pytest.mark.slow
def test_two_processes_compile_at_once(tmp_path: Path) -> None:
    """Two dtypes and twice the same, into an empty folder; then each finds its own."""
    dtypes = ("float32", "float64", "float64", "int64")
    together = [start(tmp_path, dtype) for dtype in dtypes]
    assert [finish(process) for process in together] == [("0", [])] * len(dtypes)
    for dtype in dtypes[1:]:
        assert finish(start(tmp_path, dtype)) == ("1", [])
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.slow
def test_names_tell_functions_apart(tmp_path: Path) -> None:
    """Numba counts the functions of a process, and links by name, types and that number.

    Two processes may give one number to two functions; here all have the same.
    """
    tests = [str(Path(__file__).with_name(f"test_{name}.py")) for name in ("jit", "jit_depthwise")]
    asked = ["-k", "every_dtype and (float32 or complex64)", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-c", ONE_NUMBER, *asked, *tests],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
