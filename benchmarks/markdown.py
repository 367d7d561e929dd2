"""The README's tables: means by family and operator, then every layer, folded away.

``python -m benchmarks.markdown RUN.json [--threads N]`` prints them.
"""

import argparse
from collections.abc import Iterable, Sequence
from statistics import geometric_mean

from benchmarks.contention import BUSY
from benchmarks.options import positive, run_file
from benchmarks.results import LARGE_FLOPS, WANTED_SHARE, Results, Row
from benchmarks.suite import FAMILIES, OPERATORS
from benchmarks.text import OPERATOR_TITLES, TITLES, mean, ratio, speed

Pair = tuple[str, str]


def markdown(results: Results, threads: int | None = None) -> str:
    """All parts, for one number of threads: that given, or the most that were measured."""
    if threads is None:
        threads = max(results.threads)
    rows = [row for row in results.rows if row.threads == threads]
    pairs = compared(results, rows)
    parts = [
        place(results, threads),
        means(results, rows, pairs),
        share(results, threads),
        disturbed(rows),
        details(results, rows, pairs),
    ]
    return "\n\n".join(part for part in parts if part)


def compared(results: Results, rows: Sequence[Row]) -> list[Pair]:
    """Every operator and peer that some row compares."""
    return [
        (operator, peer)
        for operator in OPERATORS
        for peer in results.peers
        if results.ratios((row for row in rows if row.operator == operator), peer)
    ]


def place(results: Results, threads: int) -> str:
    """When, where and what, in a sentence or two."""
    machine, versions = results.machine, results.versions
    count = f"{threads} thread{'s' * (threads > 1)} on {machine['cpus']} CPUs"
    sentence = (
        f"Measured on {results.date.split()[0]}: {machine['cpu']}, "
        f"{machine['vector_bits']}-bit vectors, {count}, {results.options['dtype']}, "
        f"{results.options['layout']}, rounds: {results.options['rounds']}; "
        f"{', '.join(versions.values())}."
    )
    if results.peers:
        sentence += (
            f" Ratios say how many times as fast {TITLES[results.engine]} is: geometric means, "
            "**bold** where it is slower."
        )
    if not results.finished:
        sentence += f" The run was interrupted after {len(results.rows)} rows."
    return sentence


def means(results: Results, rows: Sequence[Row], pairs: Sequence[Pair]) -> str:
    """Geometric means of the ratios; a layer counts in every family it belongs to."""
    if not pairs:
        return ""
    head = ["layers", "number", *map(title, pairs)]
    families = {"all": list(rows)}
    families |= {family: [row for row in rows if family in row.families] for family in FAMILIES}
    body = []
    for family, members in families.items():
        if members:
            ratios = [found(results, members, pair) for pair in pairs]
            count = len({row.layer for row in members})
            body.append([family, str(count), *(marked(mean(values)) for values in ratios)])
    body.append(["slower in", "", *(lost(found(results, rows, pair)) for pair in pairs)])
    return table(head, body)


def share(results: Results, threads: int) -> str:
    """How near large dense layers come to the multiply-add rate."""
    pairs = results.large_dense(threads)
    if not pairs:
        return ""
    lowest, row = pairs[0]
    reached = sum(value >= WANTED_SHARE for value, _ in pairs)
    average = geometric_mean(value for value, _ in pairs)
    rates = [rate for _, row in pairs for rate in row.rates]
    spoiled = any(row.disturbed for _, row in pairs)
    doubt = " The rate was disturbed by other processes." if spoiled else ""
    return (
        f"Of the fused-multiply-add rate measured in the same round ({min(rates):.0f} to "
        f"{max(rates):.0f} GFLOP/s in the run), "
        f"dense layers above {LARGE_FLOPS / 1e6:.0f} MFLOP reach {average:.0%} forward "
        f"(geometric mean of {len(pairs)}), {lowest:.0%} at least ({row.layer}); "
        f"{WANTED_SHARE:.0%} is reached by {reached}.{doubt}"
    )


def disturbed(rows: Sequence[Row]) -> str:
    """How many rows were timed while other processes held CPUs."""
    count = sum(row.disturbed for row in rows)
    if not count:
        return ""
    return (
        f"{count} of {len(rows)} rows were timed while other processes held more than {BUSY} CPUs: "
        "don't trust them."
    )


def details(results: Results, rows: Sequence[Row], pairs: Sequence[Pair]) -> str:
    """A line per layer: the judged engine's GFLOP/s and the ratios, operator by operator."""
    operators = [name for name in OPERATORS if any(row.operator == name for row in rows)]
    by_layer: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_layer.setdefault(row.layer, {})[row.operator] = row
    head, body = ["layer", "MFLOP"], []
    for operator in operators:
        head += [f"{OPERATOR_TITLES[operator]}, GFLOP/s"]
        head += [f"/ {TITLES[peer]}" for name, peer in pairs if name == operator]
    for layer, members in by_layer.items():
        line = [layer.replace("|", "\\|"), mflop(next(iter(members.values())))]
        for operator in operators:
            member = members.get(operator)
            line.append(speed(member, results.engine) if member else "-")
            chosen = [peer for name, peer in pairs if name == operator]
            line += [
                marked(member.ratio(results.engine, peer) if member else None) for peer in chosen
            ]
        body.append(line)
    ratios = [value for pair in pairs for value in found(results, rows, pair)]
    summary = f"All {len(by_layer)} layers"
    if ratios:
        summary += f"; {TITLES[results.engine]} is slower in {lost(ratios)} comparisons"
    return f"<details>\n<summary>{summary}</summary>\n\n{table(head, body)}\n\n</details>"


def mflop(row: Row) -> str:
    """Millions of operations."""
    size = row.flops / 1e6
    return f"{size:.1f}" if size < 10 else f"{size:.0f}"


def title(pair: Pair) -> str:
    """The head of a column of means."""
    operator, peer = pair
    return f"{OPERATOR_TITLES[operator]} / {TITLES[peer]}"


def found(results: Results, rows: Iterable[Row], pair: Pair) -> list[float]:
    """The ratios of one operator to one peer."""
    return results.ratios((row for row in rows if row.operator == pair[0]), pair[1])


def lost(ratios: Sequence[float]) -> str:
    """How many ratios are below 1."""
    return f"{sum(value < 1 for value in ratios)} of {len(ratios)}"


def marked(value: float | None) -> str:
    """A ratio, in bold where the judged engine is slower."""
    return f"**{ratio(value)}**" if value is not None and value < 1 else ratio(value)


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table: words to the left, numbers to the right."""
    line = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, line, *body))


def main() -> None:
    """Print the tables of the run that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.markdown", description="Print the README's tables of a run."
    )
    parser.add_argument("run", type=run_file, metavar="RUN.json", help="what --json has written")
    parser.add_argument("--threads", type=positive, help="of several numbers, which (the most)")
    options = parser.parse_args()
    if options.threads not in (None, *options.run.threads):
        parser.error(f"the run has no rows with --threads {options.threads}")
    print(markdown(options.run, options.threads))


if __name__ == "__main__":
    main()
