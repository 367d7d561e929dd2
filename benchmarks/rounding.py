"""How rounding errors grow with the number of terms in a sum, for every back end.

| command                                     | does                                             |
| ------------------------------------------- | ------------------------------------------------ |
| ``python -m benchmarks.rounding``           | measures, and prints a table                     |
| ``python -m benchmarks.rounding PICTURE``   | draws it as well, as .png or .svg                |

One output is a sum of n products of normal numbers; so many outputs are taken that all sums of a
back end see as many products. An error is told in the unit roundoff of the dtype, relative to the
sum of the products' moduli: the proven bound is then n, and errors that cancel like steps of a walk
grow like sqrt(n). Sums in vectors, tiles and blocks add fewer numbers one after the other, and
grow less. The reference is the exact sum, rounded once.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import convref

DEPTHS = (16, 64, 256, 1024, 4096, 16_384, 65_536)
PRODUCTS = 2**18
"""In all sums of one depth."""
LEAST = 16
"""Outputs of one depth."""
LOOPS = 4096
"""The depth up to which loops in Python are waited for."""
DTYPES = ("float32", "float64")
NAMES = ("naive", "exact", "numpy", "numba", "fft")
TAPS = 4
MARKS = {"naive": "s", "exact": "D", "numpy": "^", "numba": "o", "fft": "v"}


class Error(NamedTuple):
    """What a back end's outputs of one depth are off by, in ``u * sum of |products|``."""

    name: str
    dtype: str
    depth: int
    largest: float
    mean: float


def measured(name: str, dtype: str, depth: int) -> Error:
    """The errors of sums of so many products."""
    rng = np.random.default_rng(depth)
    positions = max(LEAST, PRODUCTS // depth) if name != "naive" else LEAST
    x = rng.standard_normal((depth // TAPS, positions + TAPS - 1)).astype(dtype)
    w = rng.standard_normal((1, depth // TAPS, TAPS)).astype(dtype)
    y = convref.conv(x, w, backend=name).astype(np.longdouble)
    wide = [array.astype(np.longdouble) for array in (x, w)]  # 11 bits more than float64
    exact = convref.conv(*wide, backend="numpy")
    moduli = convref.conv(*map(np.abs, wide), backend="numpy")
    off = np.abs(y - exact) / moduli / np.longdouble(np.finfo(dtype).eps / 2)
    return Error(name, dtype, depth, float(off.max()), float(off.mean()))


def measurements() -> Iterator[Error]:
    """Of every back end, dtype and depth."""
    for name in NAMES:
        for dtype in DTYPES:
            for depth in DEPTHS:
                if name != "naive" or depth <= LOOPS:
                    yield measured(name, dtype, depth)


def table(errors: Sequence[Error]) -> str:
    """The largest errors, in percent of the bound, with depths as columns."""
    lines = ["back end | dtype   | " + " | ".join(f"{depth:>6}" for depth in DEPTHS)]
    lines.append("-------- | ------- | " + " | ".join("-" * 6 for _ in DEPTHS))
    for name in NAMES:
        for dtype in DTYPES:
            found = {e.depth: e.largest for e in errors if (e.name, e.dtype) == (name, dtype)}
            cells = (f"{100 * found[n] / n:.2g} %" if n in found else "-" for n in DEPTHS)
            lines.append(f"{name:8} | {dtype:7} | " + " | ".join(f"{cell:>6}" for cell in cells))
    return "\n".join(lines)


def draw(errors: Sequence[Error], path: Path) -> None:
    """The largest errors over the depth, both on scales of powers, beside n and sqrt(n)."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        sys.exit("the picture needs matplotlib: pip install 'convref[viz]'")
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    panels = figure.subplots(1, len(DTYPES), sharey=True)
    for axes, dtype in zip(panels, DTYPES, strict=True):
        axes.loglog(DEPTHS, DEPTHS, "k-", linewidth=0.8, label="bound: n")
        axes.loglog(DEPTHS, np.sqrt(DEPTHS), "k:", linewidth=0.8, label="sqrt(n)")
        for name in NAMES:
            found = [e for e in errors if (e.name, e.dtype) == (name, dtype)]
            axes.loglog(
                [e.depth for e in found], [e.largest for e in found],
                marker=MARKS[name], markersize=4, linewidth=1, label=name,
            )  # fmt: skip
        axes.set(title=dtype, xlabel="n, products in a sum")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("largest error / (u * sum of |products|)")
    panels[-1].legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print, and draw where a picture is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rounding", description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path, help="a file to draw, .png or .svg")
    picture = parser.parse_args().picture
    errors = list(measurements())
    print(table(errors))
    if picture:
        draw(errors, picture)


if __name__ == "__main__":
    main()
