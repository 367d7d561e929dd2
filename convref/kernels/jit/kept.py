"""Compiled functions, and the files that keep them from one process to the next.

Where the files go is Numba's choice: NUMBA_CACHE_DIR, else beside the source, else in the user's
cache. Each file begins with a seal: a hash of its contents, of what they were compiled for, and of
all that they were compiled from. So what is torn, damaged or of another version is compiled anew,
and two processes that compile at once can't take each other's work for their own, as they could
with an index of files. Nothing that is wrong with the files stops a computation: where none can be
written, one warning says so.
"""

import hashlib
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Any

import llvmlite
import numba
from numba import config, njit
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.core.serialize import dumps
from numba.core.sigutils import normalize_signature

SEAL = hashlib.sha256().digest_size


@cache
def origin() -> bytes:
    """What machine code depends on beside the function itself: compiler, and all of the folder."""
    versions = numba.__version__, llvmlite.__version__, sys.version
    parts = [repr(versions).encode()]
    parts += [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"\0".join(parts)).digest()


class Files:
    """One file for each signature of a function."""

    def __init__(self, folder: str, prefix: str) -> None:
        self.folder, self.prefix = folder, prefix

    def path(self, key: object) -> str:
        """The file of a signature, processor and function."""
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return os.path.join(self.folder, f"{self.prefix}.{name}.nbc")

    def load(self, key: object) -> Any:
        """What was kept; None where nothing is, or nothing whole."""
        with open(self.path(key), "rb") as file:
            stored = file.read()
        seal, data = stored[:SEAL], stored[SEAL:]
        return pickle.loads(data) if seal == sealed(key, data) else None

    def save(self, key: object, value: object) -> None:
        """Write a file: whole, or not at all."""
        data, path = dumps(value), self.path(key)
        temporary = f"{path}.{token_hex(8)}.tmp"
        try:
            with open(temporary, "xb") as file:
                file.write(sealed(key, data) + data)
            os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)


def sealed(key: object, data: bytes) -> bytes:
    """The hash that the file of a key begins with."""
    return hashlib.sha256(b"\0".join((origin(), repr(key).encode(), data))).digest()


class Kept(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, in our files."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = Files(self._cache_path, self._impl.filename_base)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled function; None where it must be compiled."""
        try:
            return super().load_overload(signature, target)
        except Exception:  # no such file, or none that this version can read
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep it, if that can be done."""
        try:
            super().save_overload(signature, compiled)
        except Exception as error:  # whatever the disk or its owner objects to
            tell(f"{self._cache_path}: {getattr(error, 'strerror', None) or type(error).__name__}")


@cache
def tell(reason: str) -> None:
    """Warn in one line, and of each reason once."""
    warnings.warn_explicit(
        f"compiled kernels can't be kept ({reason}), so each process compiles them anew; "
        "set NUMBA_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        filename="convref",
        lineno=0,
    )


def keep(made: Any, function: Callable[..., Any]) -> Any:
    """What Numba made of a function, with files to keep it in, if there is a place for them."""
    try:
        made._cache = Kept(function)
    except (RuntimeError, OSError):  # of Numba, which has looked for one
        tell("no folder can be written")
    return made


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function that is compiled, runs without Python, and is kept."""

    def decorate(function: Callable[..., Any]) -> Any:
        made = njit(nogil=True, **options)(function)
        return made if config.DISABLE_JIT else keep(made, function)

    return decorate


def named_after(function: Callable[..., Any], made: Callable[..., Any]) -> Callable[..., Any]:
    """One of several inner functions of one name, under a name of its own.

    Machine code is linked by qualified name, types, and a number that each process counts for
    itself. Files come from many processes: a name must tell all that the types don't.
    """
    made.__qualname__ += f".{function.__name__}"
    return made


def callback(signature: Any, function: Callable[..., Any]) -> Any:
    """The function as machine code that has an address, kept as well."""
    made = keep(CFunc(function, normalize_signature(signature), {}, {}), function)
    made.compile()
    return made
