"""Numbers and tables as they are printed."""

from collections.abc import Iterable, Sequence
from statistics import geometric_mean

from benchmarks.results import Row

TITLES = {
    "numba": "convref",
    "numpy": "NumPy back end",
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "jax": "JAX",
}
"""Engines as readers know them."""

OPERATOR_TITLES = {
    "forward": "forward",
    "input_grad": "input gradient",
    "weight_grad": "weight gradient",
}


def speed(row: Row, engine: str) -> str:
    """GFLOP/s, or why there are none."""
    gflops = row.gflops(engine)
    if gflops is not None:
        return f"{gflops:.1f}"
    return "failed" if engine in row.failures else "-"


def ratio(value: float | None) -> str:
    """A ratio, or a number of CPUs."""
    return "-" if value is None else f"{value:.2f}"


def mean(values: Sequence[float]) -> float | None:
    """The geometric mean; None of nothing."""
    return geometric_mean(values) if values else None


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Aligned columns: words to the left, numbers to the right."""
    lines = [list(head), *map(list, body)]
    columns = list(zip(*lines, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [
        all(cell[0].isdigit() or cell in ("-", "failed") for cell in column[1:])
        for column in columns
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )
