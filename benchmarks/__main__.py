"""Compare convref with other engines on layers of published networks: check first, then time.

``python -m benchmarks --peers torch,onnxruntime --layers resnet --threads 1,2 --json run.json``

Each engine runs in a process of its own (worker.py). For every layer, operator and number of
threads, each engine's result on small integers has to equal a float64 reference, element for
element; only then are the engines timed, on normal data, taking turns for several rounds. A speed
is the median over the rounds; a ratio is the median of the rounds' ratios, so that what slows the
machine for a while slows both sides. Every call allocates its result, as users' calls do. Before
the rows and after them the machine's own rates are measured (peak.py), for a roofline; that of its
multiply-adds also in each round of a large dense layer, which then has a share of it.

The column `others` says how many CPUs other processes held meanwhile. A row where that is not near
0 compares nothing, least of all on all CPUs; ``--patience`` waits for the machine to be quiet.

Peers whose package isn't installed are left out, and a line says so. Ctrl-C ends the run with what
was measured so far.
"""

import argparse
import platform
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.contention import wait_for_quiet
from benchmarks.machine import cpus, machine, now
from benchmarks.markdown import markdown
from benchmarks.measure import Problem
from benchmarks.options import parse
from benchmarks.process import EngineProcess, measured_rates
from benchmarks.report import report
from benchmarks.results import Peak, Results
from benchmarks.suite import select

FILES = ("json", "markdown", "plot")
"""Options that say where results go, not what is measured."""

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C has ended."""

QUIET_SECONDS = 5
"""How long to wait for a quiet machine before its rates are measured."""

Processes = dict[int, list[EngineProcess]]


def main() -> int:
    """Run the benchmark; 1 when an engine's result was wrong or missing."""
    options = parse(__doc__ or "")
    chosen = {name: value for name, value in vars(options).items() if name not in FILES}
    results = Results(date=now(), engine=options.engine, machine=machine(), options=chosen)
    try:
        measure(options, results)
        results.finished = True
    except KeyboardInterrupt:
        progress(f"\ninterrupted; rows measured: {len(results.rows)}")
        if not results.rows:
            return INTERRUPTED
    print(report(results))
    write(options, results)
    failed = any(row.failures for row in results.rows)
    return int(failed) if results.finished else INTERRUPTED


def measure(options: argparse.Namespace, results: Results) -> None:
    """Fill in versions, rows, and the rates before and after them."""
    with ExitStack() as stack:
        processes = start(options, results, stack)
        rates(options, results)
        run(options, processes, results)
        rates(options, results)


def rates(options: argparse.Namespace, results: Results) -> None:
    """Measure the machine on one thread, on all CPUs, and on the numbers of threads asked for."""
    for threads in sorted({1, cpus(), *options.threads}):
        progress(f"rates of the machine, threads {threads}")
        wait_for_quiet(max(options.patience, QUIET_SECONDS))
        answer = measured_rates(threads, options.dtype)
        if "error" in answer:
            progress(f"no rates of the machine: {answer['error']}")
            return
        results.peaks.append(Peak(**answer))


def start(options: argparse.Namespace, results: Results, stack: ExitStack) -> Processes:
    """Processes by number of threads; engines that don't start are left out."""
    processes: Processes = {}
    results.versions["python"] = f"Python {platform.python_version()}"
    for engine in (options.engine, *options.peers):
        for threads in options.threads:
            process = EngineProcess(engine, threads)
            stack.callback(process.close)
            answer = process.describe()
            if "error" in answer:
                if engine == options.engine:
                    sys.exit(f"{engine} doesn't start: {answer['error']}")
                progress(f"{engine} is left out: {answer['error']}")
                break
            results.versions[engine] = answer["version"]
            processes.setdefault(threads, []).append(process)
    results.peers = [peer for peer in options.peers if peer in results.versions]
    return processes


def run(options: argparse.Namespace, processes: Processes, results: Results) -> None:
    """All rows."""
    layers = select(options.layers, options.min_mflop)
    total = len(layers) * len(options.operators) * len(processes)
    for layer in layers:
        for operator in options.operators:
            with tempfile.TemporaryDirectory() as folder:
                problem = Problem(layer, operator, options.dtype, options.layout, Path(folder))
                for threads, group in processes.items():
                    place = f"[{len(results.rows) + 1}/{total}]"
                    progress(f"{place} {layer.label}, {operator}, threads {threads}")
                    row = problem.measure(group, options.rounds, options.patience)
                    results.rows.append(row)


def write(options: argparse.Namespace, results: Results) -> None:
    """The files that were asked for."""
    if options.json:
        results.save(options.json)
    if options.markdown:
        options.markdown.write_text(markdown(results) + "\n", encoding="utf-8")
    if options.plot:
        from benchmarks.plot import save  # the only part that needs matplotlib

        save(results, options.plot)


def progress(text: str) -> None:
    """Say what goes on, apart from the report."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
