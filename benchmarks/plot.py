"""A picture of a run: for every layer and operator, how many times as fast as its peers it is.

``python -m benchmarks.plot RUN.json PICTURE.png [--threads N]`` draws it, as .png or .svg.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
except ImportError:
    sys.exit("the plot needs matplotlib: pip install matplotlib, or convref with its extra `viz`")

from benchmarks.options import picture, positive, run_file
from benchmarks.results import Results, Row
from benchmarks.suite import OPERATORS
from benchmarks.text import OPERATOR_TITLES, TITLES, mean, ratio

GROUPS = {
    "dense": "dense, 2-D",
    "1-D": "dense, 1-D",
    "3-D": "dense, 3-D",
    "transposed": "transposed",
    "depthwise": "depthwise",
    "grouped": "grouped",
}
"""Every layer has one place: in the last of these families that it belongs to."""

STYLES = {
    "torch": ("#0072B2", "o"),
    "onnxruntime": ("#D55E00", "D"),
    "numpy": ("#009E73", "s"),
    "jax": ("#CC79A7", "^"),
    "numba": ("#000000", "v"),
}
"""Colours of Okabe and Ito, which the colour-blind tell apart, each with a mark of its own."""

SLOWER = "#f4ebe4"
WIDTH, LINE, HEAD, FOOT = 9.0, 0.16, 1.25, 0.42
"""Inches: of the picture; of a line of it, of what is above the panels and of what is below."""
LEFT, RIGHT, GAP = 0.252, 0.985, 0.06
DPI = 200
LETTERS = 40
TICKS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
SPREAD = 0.3
"""How far apart the marks of several peers are within their line."""


def save(results: Results, path: Path, threads: int | None = None) -> None:
    """Draw one number of threads, that given or the most that were measured, to a file."""
    with matplotlib.rc_context({"font.size": 7.5, "svg.hashsalt": "convref"}):
        figure = draw(results, max(results.threads) if threads is None else threads)
        metadata = {"Date": None} if path.suffix == ".svg" else {}  # the same bytes every time
        figure.savefig(path, dpi=DPI, metadata=metadata)


def draw(results: Results, threads: int) -> Figure:
    """One panel for each operator, a line for each layer, grouped by family."""
    rows = [row for row in results.rows if row.threads == threads]
    groups = grouped(rows)
    lines = sum(map(len, groups.values())) + len(groups)
    head = HEAD + LINE * len(results.peers)
    height = head + FOOT + LINE * (lines + 1)
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    operators = [name for name in OPERATORS if any(row.operator == name for row in rows)]
    panels = figure.subplots(1, len(operators), sharex=True, sharey=True, squeeze=False)[0]
    figure.subplots_adjust(
        left=LEFT, right=RIGHT, wspace=GAP, top=1 - head / height, bottom=FOOT / height
    )
    places = scale(panels, groups, limits(results, rows))
    for panel, operator in zip(panels, operators, strict=True):
        chosen = [row for row in rows if row.operator == operator]
        background(panel)
        for row in chosen:
            marks(panel, results, row, places[row.layer])
        panel.set_title(summary(results, chosen, operator), fontsize=7.5, linespacing=1.45)
    write_head(figure, results, threads, height)
    figure.text(
        (LEFT + RIGHT) / 2,
        0.1 / height,
        "times as fast as the peer, on a logarithmic scale; above the panels geometric means",
        ha="center",
    )
    return figure


def grouped(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The layers of every group that has some, in the order of the rows."""
    groups: dict[str, list[str]] = {name: [] for name in GROUPS}
    for layer, families in dict.fromkeys((row.layer, tuple(row.families)) for row in rows):
        groups[[name for name in GROUPS if name in families][-1]].append(layer)
    return {name: layers for name, layers in groups.items() if layers}


def limits(results: Results, rows: Sequence[Row]) -> tuple[float, float]:
    """The least and the largest ratio, and a margin."""
    ratios = [value for peer in results.peers for value in results.ratios(rows, peer)]
    return min(0.4, *ratios, 0.4) / 1.3, max(2.5, *ratios, 2.5) * 1.3


def scale(
    panels: Sequence[Axes], groups: dict[str, list[str]], ends: tuple[float, float]
) -> dict[str, int]:
    """Prepare the axes, which all panels share; the place of every layer on the vertical one."""
    first, *_ = panels
    places: dict[str, int] = {}
    line = 0
    for name, layers in groups.items():
        for panel in panels:
            panel.axhline(line - 0.5, color="#bbbbbb", linewidth=0.6)
        first.text(
            -0.02, line, GROUPS[name], transform=first.get_yaxis_transform(), weight="bold",
            ha="right", va="center",
        )  # fmt: skip
        for layer in layers:
            line += 1
            places[layer] = line
        line += 1
    first.set_yticks(list(places.values()), list(map(shortened, places)))
    first.set_ylim(line - 0.4, -0.6)
    first.set_xscale("log")
    first.set_xlim(*ends)
    ticks = [tick for tick in TICKS if ends[0] <= tick <= ends[1]]
    first.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    first.set_xticks([], minor=True)
    return places


def shortened(layer: str) -> str:
    """The name of a layer, without remarks in brackets."""
    name = layer.split(" (")[0]
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"


def background(panel: Axes) -> None:
    """The side of losses, the line of equal speed, the grid."""
    panel.axvspan(panel.get_xlim()[0], 1, color=SLOWER, linewidth=0, zorder=0)
    panel.axvline(1, color="black", linewidth=1.0, zorder=2)
    panel.grid(axis="x", color="#d8d2cd", linewidth=0.6, zorder=1)
    panel.grid(axis="y", color="#dddddd", linewidth=0.4, zorder=1)
    panel.set_axisbelow(True)
    panel.tick_params(length=0)
    panel.text(
        0.97, 0, "slower", transform=panel.transData, ha="right", va="center", style="italic"
    )
    panel.text(1.08, 0, "faster", transform=panel.transData, ha="left", va="center", style="italic")
    for side in panel.spines.values():
        side.set_visible(False)


def marks(panel: Axes, results: Results, row: Row, place: int) -> None:
    """A stem and a mark for each peer: filled where it is faster, a cross where one failed."""
    peers = [peer for peer in results.peers if peer not in row.unsupported]
    for number, peer in enumerate(peers):
        colour, shape = STYLES[peer]
        y = place + SPREAD * (number - (len(peers) - 1) / 2)
        value = row.ratio(results.engine, peer)
        if value is not None:
            panel.plot([1, value], [y, y], color=colour, linewidth=0.9, zorder=3)
            inside = colour if value < 1 else "white"
            panel.plot(
                value, y, shape, color=colour, markerfacecolor=inside, markersize=3.6,
                markeredgewidth=0.9, zorder=4,
            )  # fmt: skip
        elif {peer, results.engine} & row.failures.keys():
            panel.plot(1, y, "x", color=colour, markersize=5, zorder=4)


def summary(results: Results, rows: Sequence[Row], operator: str) -> str:
    """The head of a panel: for every peer the geometric mean, and how many rows are lost."""
    lines = [rf"$\bf{{{OPERATOR_TITLES[operator].replace(' ', '~')}}}$"]
    for peer in results.peers:
        if ratios := results.ratios(rows, peer):
            lost = sum(value < 1 for value in ratios)
            lines.append(
                f"{TITLES[peer]}: {ratio(mean(ratios))}, slower in {lost} of {len(ratios)}"
            )
    return "\n".join(lines)


def write_head(figure: Figure, results: Results, threads: int, height: float) -> None:
    """The title, what was measured where and when, and what the marks mean."""
    machine = results.machine
    judged = TITLES[results.engine]
    about = (
        f"{results.date.split()[0]}, {machine['cpu']}, {machine['cpus']} CPUs, "
        f"{machine['vector_bits']}-bit vectors, {threads} thread{'s' * (threads > 1)}, "
        f"{results.options['dtype']}, {results.options['layout']}"
    )
    versions = ", ".join(results.versions[name] for name in results.engines)
    if not results.finished:
        versions += f"; interrupted after {len(results.rows)} rows"
    if disturbed := sum(row.disturbed for row in results.rows if row.threads == threads):
        versions += f"; rows disturbed by other processes: {disturbed}"
    texts = (
        (0.12, f"How many times as fast {judged} is, layer by layer", 10, "bold"),
        (0.34, about, 7.5, "normal"),
        (0.50, versions, 7.5, "normal"),
    )
    for down, text, size, weight in texts:
        figure.text(0.012, 1 - down / height, text, va="top", fontsize=size, weight=weight)
    handles = [
        Line2D([], [], color=colour, marker=shape, markersize=4.5, label=f"to {TITLES[peer]}")
        for peer in results.peers
        for colour, shape in [STYLES[peer]]
    ]
    empty = Line2D([], [], color="#444444", marker="o", markerfacecolor="white", linestyle="")
    full = Line2D([], [], color="#444444", marker="o", linestyle="")
    empty.set_label(f"{judged} is faster")
    full.set_label(f"{judged} is slower")
    figure.legend(
        handles=[*handles, full, empty], loc="upper left", bbox_to_anchor=(0.0, 1 - 0.66 / height),
        ncols=len(handles) + 2, frameon=False, fontsize=7.5, borderpad=0.3,
    )  # fmt: skip


def main() -> None:
    """Draw the run that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.plot", description="Draw the ratios of a run."
    )
    add = parser.add_argument
    add("run", type=run_file, metavar="RUN.json", help="what --json has written")
    add("picture", type=picture, metavar="PICTURE", help="the file to draw, .png or .svg")
    add("--threads", type=positive, help="of several numbers, which (the most)")
    options = parser.parse_args()
    if options.threads not in (None, *options.run.threads):
        parser.error(f"the run has no rows with --threads {options.threads}")
    save(options.run, options.picture, options.threads)


if __name__ == "__main__":
    main()
