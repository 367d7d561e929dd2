"""The printed report: the table, geometric means, share of the multiply-add rate, losses, failures.

``python -m benchmarks.report RUN.json`` prints it again for a run that was written.
"""

import argparse
from collections.abc import Sequence
from statistics import geometric_mean

from benchmarks.contention import BUSY
from benchmarks.options import run_file
from benchmarks.results import LARGE_FLOPS, WANTED_SHARE, Results, Row
from benchmarks.suite import FAMILIES
from benchmarks.text import mean, ratio, speed, table


def report(results: Results) -> str:
    """All parts of the report; ratios say how many times as fast the judged engine is."""
    parts = [heading(results), speeds(results)]
    if results.peers:
        parts += [operator_means(results), family_means(results)]
    parts += [shares(results)]
    if results.peers:
        parts += [losses(results)]
    parts += [failures(results), disturbed(results)]
    return "\n\n".join(part for part in parts if part)


def heading(results: Results) -> str:
    """What was measured, where and when."""
    machine, options = results.machine, results.options
    lines = [
        f"{results.date}, {machine['cpu']}, {machine['cpus']} CPUs, "
        f"{machine['vector_bits']}-bit vectors, {options['dtype']}, {options['layout']}, "
        f"rounds: {options['rounds']}",
        *(f"{name}: {version}" for name, version in results.versions.items()),
        *(
            f"threads {peak.threads}: {peak.gflops:.1f} GFLOP/s of fused multiply-adds, "
            f"copies at {peak.gbytes:.1f} GB/s (read and written), others {ratio(peak.others)}"
            for peak in results.peaks
        ),
    ]
    if not results.finished:
        lines.append(f"interrupted after {len(results.rows)} rows")
    return "\n".join(lines)


def speeds(results: Results) -> str:
    """A line per row: GFLOP/s of every engine, the ratios, the CPUs that others held."""
    head = ["layer", "operator", "threads", *results.engines]
    head += [*(f"/ {peer}" for peer in results.peers), "others"]
    body = [
        [
            row.layer,
            row.operator,
            str(row.threads),
            *(speed(row, engine) for engine in results.engines),
            *(ratio(row.ratio(results.engine, peer)) for peer in results.peers),
            ratio(row.contention),
        ]
        for row in results.rows
    ]
    return f"GFLOP/s, and {results.engine} / others\n" + table(head, body)


def operator_means(results: Results) -> str:
    """Geometric means by operator and number of threads."""
    head = ["operator", "threads", *(f"/ {peer}" for peer in results.peers)]
    body = means_by_operator(results, results.rows)
    return f"Geometric means of {results.engine} / others (number of rows)\n" + table(head, body)


def family_means(results: Results) -> str:
    """The same by family; a layer counts in every family it belongs to."""
    body = [
        [family, *line]
        for family in FAMILIES
        for line in means_by_operator(results, [r for r in results.rows if family in r.families])
    ]
    head = ["family", "operator", "threads", *(f"/ {peer}" for peer in results.peers)]
    return f"By family: geometric means of {results.engine} / others\n" + table(head, body)


def means_by_operator(results: Results, rows: Sequence[Row]) -> list[list[str]]:
    """A line of means per operator and number of threads."""
    lines = []
    for operator, threads in dict.fromkeys((row.operator, row.threads) for row in rows):
        chosen = [row for row in rows if (row.operator, row.threads) == (operator, threads)]
        found = [results.ratios(chosen, peer) for peer in results.peers]
        cells = [f"{ratio(mean(values))} ({len(values)})" for values in found]
        lines.append([operator, str(threads), *cells])
    return lines


def shares(results: Results) -> str:
    """How near large dense layers come to the multiply-add rate, forward."""
    lines = []
    for threads in results.threads:
        if found := results.large_dense(threads):
            lowest, row = found[0]
            reached = sum(share >= WANTED_SHARE for share, _ in found)
            doubt = "; but the rate was disturbed" if any(r.disturbed for _, r in found) else ""
            lines.append(
                f"threads {threads}: geometric mean {geometric_mean(s for s, _ in found):.0%}, "
                f"minimum {lowest:.0%} ({row.layer}), {WANTED_SHARE:.0%} or more in {reached} "
                f"of {len(found)} layers{doubt}"
            )
    about = (
        "Share of the multiply-add rate in the same round, dense layers above "
        f"{LARGE_FLOPS / 1e6:.0f} MFLOP"
    )
    return "\n".join([f"{about}, forward, {results.engine}", *lines]) if lines else ""


def losses(results: Results) -> str:
    """Every row where the judged engine is slower than a peer, the worst first."""
    first = results.engine
    compared = [
        (row.ratio(first, peer), row, peer) for row in results.rows for peer in results.peers
    ]
    lost = [(value, row, peer) for value, row, peer in compared if value and value < 1]
    lost.sort(key=lambda entry: entry[0])
    if not lost:
        return f"{first} loses no row."
    head = ["layer", "operator", "threads", "against", "ratio", first, "theirs"]
    body = [
        [
            row.layer,
            row.operator,
            str(row.threads),
            peer,
            ratio(value),
            speed(row, first),
            speed(row, peer),
        ]
        for value, row, peer in lost
    ]
    return f"Rows that {first} loses: {len(lost)}\n" + table(head, body)


def failures(results: Results) -> str:
    """Every engine that gave a wrong result, or none."""
    body = [
        [row.layer, row.operator, str(row.threads), engine, reason]
        for row in results.rows
        for engine, reason in row.failures.items()
    ]
    if not body:
        return ""
    return "Failed\n" + table(["layer", "operator", "threads", "engine", "reason"], body)


def disturbed(results: Results) -> str:
    """How many rows were timed while other processes held CPUs."""
    count = sum(row.disturbed for row in results.rows)
    if not count:
        return ""
    return (
        f"{count} of {len(results.rows)} rows were timed while other processes held more than "
        f"{BUSY} CPUs (see `others`): don't trust them, or means over them."
    )


def main() -> None:
    """Print the report of the run that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report", description="Print the report of a run."
    )
    parser.add_argument("run", type=run_file, metavar="RUN.json", help="what --json has written")
    print(report(parser.parse_args().run))


if __name__ == "__main__":
    main()
