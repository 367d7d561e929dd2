# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "convref",
#     "numpy==2.4.6",
#     "numba==0.68.1",
#     "torch==2.13.0",
#     "onnxruntime==1.31.1",
#     "onnx==1.23.2",
# ]
# ///
"""Compare convolution engines on layers of published networks: check first, then time.

``python benchmarks/layers.py --engines numba,torch --layers resnet --threads 1,2``

Each engine runs in a process of its own (worker.py). For every layer, operator and number of
threads, each engine's result on small integers has to equal a float64 reference, element for
element; only then are the engines timed, on normal data, taking turns for several rounds. A speed
is the median over the rounds; a ratio is the median of the rounds' ratios, so that what slows the
machine for a while slows both sides. Every call allocates its result, as users' calls do.

The column `others` says how many CPUs other processes held meanwhile. A row where that is not near
0 compares nothing, least of all on all CPUs; ``--patience`` waits for the machine to be quiet.

Engines whose package isn't installed are left out, and a line says so.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from engines import ENGINES
from measure import Problem, Row
from process import EngineProcess
from report import report
from suite import OPERATORS, select


def main() -> int:
    """Run the benchmark; 1 when an engine's result was wrong or missing."""
    options = parse()
    with ExitStack() as stack:
        processes, versions = start(options.engines, options.threads, stack)
        if not processes:
            sys.exit("none of the engines is installed")
        rows = list(run(options, processes))
    print(heading(options, versions), report(rows, list(versions)), sep="\n\n")
    if options.json:
        machine = {"system": platform.platform(), "cpu": cpu(), "cpus": os.cpu_count()}
        about = {"date": now(), "machine": machine, "versions": versions, "rounds": options.rounds}
        content = {**about, "rows": [row.to_json() for row in rows]}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(any(row.failures for row in rows))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--engines", type=words(ENGINES), default="numba,numpy", help="the first is the one judged")
    add("--operators", type=words(OPERATORS), default=",".join(OPERATORS))
    add("--threads", type=numbers, default="1", help="as in 1,2")
    add("--dtype", choices=("float32", "float64"), default="float32")
    add("--layers", default="", metavar="PATTERNS", help='parts of "model name", as in vgg,u-net')
    add("--min-mflop", type=float, default=0, help="leave out smaller layers")
    add("--rounds", type=int, default=5)
    add("--patience", type=float, default=0, help="seconds to wait for quiet before each round")
    add("--json", type=Path, metavar="FILE", help="write every round's times")
    return parser.parse_args()


def words(known: Sequence[str]) -> Callable[[str], list[str]]:
    """A parser of comma-separated names out of those known."""

    def names(text: str) -> list[str]:
        chosen = list(dict.fromkeys(text.split(",")))
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"{min(unknown)!r} is not one of {', '.join(known)}")
        return chosen

    return names


def numbers(text: str) -> list[int]:
    """Comma-separated numbers of threads."""
    counts = [int(word) for word in text.split(",")]
    if min(counts) < 1:
        raise argparse.ArgumentTypeError("threads count from 1")
    return counts


def start(
    engines: Sequence[str], threads: Sequence[int], stack: ExitStack
) -> tuple[dict[int, list[EngineProcess]], dict[str, str]]:
    """Processes by number of threads, and the version of every engine that is installed."""
    processes: dict[int, list[EngineProcess]] = {}
    versions = {}
    for engine in engines:
        for count in threads:
            process = EngineProcess(engine, count)
            stack.callback(process.close)
            answer = process.describe()
            if "error" in answer:
                print(f"{engine} is left out: {answer['error']}", file=sys.stderr)
                break
            versions[engine] = answer["version"]
            processes.setdefault(count, []).append(process)
    return processes, versions


def run(options: argparse.Namespace, processes: dict[int, list[EngineProcess]]) -> Iterator[Row]:
    """All rows, with progress on stderr."""
    layers = select(options.layers, options.min_mflop)
    total = len(layers) * len(options.operators) * len(processes)
    done = 0
    for layer in layers:
        for operator in options.operators:
            with tempfile.TemporaryDirectory() as folder:
                problem = Problem(layer, operator, options.dtype, Path(folder))
                for threads, group in processes.items():
                    done += 1
                    what = f"{layer.label}, {operator}, threads {threads}"
                    print(f"[{done}/{total}] {what}", file=sys.stderr, flush=True)
                    yield problem.measure(group, options.rounds, options.patience)


def heading(options: argparse.Namespace, versions: dict[str, str]) -> str:
    """What was measured, where and when."""
    return "\n".join(
        [
            f"{now()}, {cpu()}, {os.cpu_count()} CPUs, {options.dtype}, {options.rounds} rounds",
            *(f"{engine}: {version}" for engine, version in versions.items()),
        ]
    )


def now() -> str:
    """Date and time, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def cpu() -> str:
    """The processor, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


if __name__ == "__main__":
    sys.exit(main())
