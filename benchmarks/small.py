"""What a small job pays: the smallest call, the import, and the first convolution of a process.

``python -m benchmarks.small [--repeats 7]``

Everything is measured in fresh interpreters, and printed as the median of several. For the first
convolutions, NUMBA_CACHE_DIR is a temporary folder, so nothing of the user's cache is read or
lost: each starts from an empty folder, and is then repeated with what the first left there.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks.text import table

IMPORT = """
import sys
import time
import numpy
start = time.perf_counter()
import convref
seconds = time.perf_counter() - start
answer = {"seconds": seconds, "numba": "numba" in sys.modules}
"""

FIRST = """
import time
import numpy
import convref
x, w = numpy.ones(<x>, "float32"), numpy.ones(<w>, "float32")
start = time.perf_counter()
convref.conv(x, w, backend="numba")
answer = {"seconds": time.perf_counter() - start}
"""

SMALLEST = """
import statistics
import timeit
import numpy
import convref
x, w = numpy.ones((1, 1, 8, 8), "float32"), numpy.ones((1, 1, 3, 3), "float32")
call = lambda: convref.conv(x, w, backend="<backend>")
call()
calls = 1000
answer = {"seconds": statistics.median(timeit.repeat(call, number=calls, repeat=10)) / calls}
"""

SHAPES = {
    "1x1x8x8 by 3x3": ("(1, 1, 8, 8)", "(1, 1, 3, 3)"),
    "1x64x56x56 by 64x3x3": ("(1, 64, 56, 56)", "(64, 64, 3, 3)"),
}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=7, help="fresh interpreters per line (7)")
    repeats = parser.parse_args().repeats
    lines = [import_line(repeats), *(smallest_line(name, repeats) for name in ("numba", "numpy"))]
    for shapes in SHAPES:
        lines += first_lines(shapes, repeats)
    print(table(["what", "median", "fastest", "slowest"], lines))


def import_line(repeats: int) -> list[str]:
    """The import of convref, after that of NumPy."""
    answers = [fresh(IMPORT) for _ in range(repeats)]
    loaded = "with" if any(answer["numba"] for answer in answers) else "without"
    return line(f"import convref ({loaded} numba) after numpy", answers, milliseconds)


def smallest_line(backend: str, repeats: int) -> list[str]:
    """The smallest call of one back end, with everything warm."""
    code = SMALLEST.replace("<backend>", backend)
    answers = [fresh(code) for _ in range(repeats)]
    return line(f"1x1x8x8 by 3x3, warm, {backend}", answers, microseconds)


def first_lines(shapes: str, repeats: int) -> list[list[str]]:
    """The first convolution of a process: with an empty cache of kernels, and with a full one."""
    x, w = SHAPES[shapes]
    code = FIRST.replace("<x>", x).replace("<w>", w)
    empty, cached = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            empty.append(fresh(code, NUMBA_CACHE_DIR=folder))
            cached.append(fresh(code, NUMBA_CACHE_DIR=folder))
    return [
        line(f"first convolution, {shapes}, kernels on disk", cached, milliseconds),
        line(f"first convolution, {shapes}, nothing on disk", empty, milliseconds),
    ]


def fresh(code: str, **environment: str) -> dict[str, Any]:
    """The ``answer`` of a program that runs in an interpreter of its own."""
    program = f"{code}\nimport json\nprint(json.dumps(answer))"
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def line(what: str, answers: list[dict[str, Any]], unit: Callable[[float], str]) -> list[str]:
    """A line of the table."""
    seconds = [answer["seconds"] for answer in answers]
    return [what, *map(unit, (statistics.median(seconds), min(seconds), max(seconds)))]


def milliseconds(seconds: float) -> str:
    """As printed."""
    return f"{seconds * 1e3:.0f} ms"


def microseconds(seconds: float) -> str:
    """As printed."""
    return f"{seconds * 1e6:.1f} us"


if __name__ == "__main__":
    main()
