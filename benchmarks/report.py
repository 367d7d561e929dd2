"""The printed report: the table, geometric means, losses and failures."""

from collections.abc import Iterable, Sequence
from statistics import geometric_mean

from contention import BUSY
from measure import Row
from suite import FAMILIES

Rows = Sequence[Row]
Names = Sequence[str]


def report(rows: Rows, engines: Names) -> str:
    """All parts of the report; ratios say how many times as fast the first engine is."""
    parts = [speeds(rows, engines)]
    if len(engines) > 1:
        parts += [operator_means(rows, engines), family_means(rows, engines)]
        parts += [losses(rows, engines)]
    parts += [failures(rows), disturbed(rows)]
    return "\n\n".join(part for part in parts if part)


def speeds(rows: Rows, engines: Names) -> str:
    """A line per row: GFLOP/s of every engine, the ratios, the CPUs that others held."""
    first, *others = engines
    head = ["layer", "operator", "threads", *engines, *(f"/ {other}" for other in others)]
    head += ["others"]
    body = [
        [
            row.layer.label,
            row.operator,
            str(row.threads),
            *(speed(row, engine) for engine in engines),
            *(ratio(row.ratio(first, other)) for other in others),
            ratio(row.contention),
        ]
        for row in rows
    ]
    return f"GFLOP/s, and {first} / others\n" + table(head, body)


def operator_means(rows: Rows, engines: Names) -> str:
    """Geometric means by operator and number of threads."""
    lines = [
        [operator, str(threads), *means(chosen, engines)]
        for operator, threads in dict.fromkeys((row.operator, row.threads) for row in rows)
        if (chosen := [row for row in rows if (row.operator, row.threads) == (operator, threads)])
    ]
    first, *others = engines
    head = ["operator", "threads", *(f"/ {other}" for other in others)]
    return f"Geometric means of {first} / others (number of rows)\n" + table(head, lines)


def family_means(rows: Rows, engines: Names) -> str:
    """The same by family; a layer counts in every family it belongs to."""
    lines = []
    for family in FAMILIES:
        members = [row for row in rows if family in row.layer.families]
        for operator, threads in dict.fromkeys((row.operator, row.threads) for row in members):
            chosen = [r for r in members if (r.operator, r.threads) == (operator, threads)]
            lines.append([family, operator, str(threads), *means(chosen, engines)])
    first, *others = engines
    head = ["family", "operator", "threads", *(f"/ {other}" for other in others)]
    return f"By family: geometric means of {first} / others\n" + table(head, lines)


def losses(rows: Rows, engines: Names) -> str:
    """Every row where the first engine is slower than another, the worst first."""
    first, *others = engines
    compared = [(row.ratio(first, other), row, other) for row in rows for other in others]
    lost = [(value, row, other) for value, row, other in compared if value and value < 1]
    lost.sort(key=lambda entry: entry[0])
    if not lost:
        return f"{first} loses no row."
    head = ["layer", "operator", "threads", "against", "ratio", first, "theirs"]
    body = [
        [
            row.layer.label,
            row.operator,
            str(row.threads),
            other,
            ratio(value),
            speed(row, first),
            speed(row, other),
        ]
        for value, row, other in lost
    ]
    return f"Rows that {first} loses: {len(lost)}\n" + table(head, body)


def failures(rows: Rows) -> str:
    """Every engine that gave a wrong result, or none."""
    body = [
        [row.layer.label, row.operator, str(row.threads), engine, reason]
        for row in rows
        for engine, reason in row.failures.items()
    ]
    if not body:
        return ""
    return "Failed\n" + table(["layer", "operator", "threads", "engine", "reason"], body)


def disturbed(rows: Rows) -> str:
    """How many rows were timed while other processes held CPUs."""
    count = sum((row.contention or 0) > BUSY for row in rows)
    if not count:
        return ""
    return (
        f"{count} of {len(rows)} rows were timed while other processes held more than {BUSY} CPUs "
        "(see `others`): don't trust them, or means over them."
    )


def speed(row: Row, engine: str) -> str:
    """GFLOP/s, or why there are none."""
    if engine in row.seconds:
        return f"{row.gflops(engine):.1f}"
    return "failed" if engine in row.failures else "-"


def ratio(value: float | None) -> str:
    """A ratio, or a number of CPUs, as printed."""
    return "-" if value is None else f"{value:.2f}"


def means(rows: Rows, engines: Names) -> Iterable[str]:
    """For each engine after the first: the geometric mean of the ratios, and of how many."""
    first, *others = engines
    for other in others:
        found = [value for row in rows if (value := row.ratio(first, other)) is not None]
        mean = geometric_mean(found) if found else None
        yield f"{ratio(mean)} ({len(found)})"


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Aligned columns: words to the left, numbers to the right."""
    lines = [list(head), *map(list, body)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numeric = [
        all(cell[0].isdigit() or cell in ("-", "failed") for cell in column[1:])
        for column in zip(*lines, strict=True)
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )
