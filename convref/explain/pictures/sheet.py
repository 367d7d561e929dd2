"""A slide of 1280 x 720 pixels: what is written and drawn on it, and how it is saved.

Everything stands at pixels, counted from the left and from the top. A figure is made and saved
without pyplot, so no window system and no state of the user's session is touched.
"""

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import colormaps, rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.textpath import text_to_path

from convref.errors import FileError, WordError, shown, verb
from convref.weights import replacing

WIDTH, HEIGHT, DPI = 1280, 720, 100
MARGIN = 40
BODY, LARGE = 12.5, 19
"""Sizes of type in points, 1/72 inch; nothing is written smaller than BODY."""
FAMILY = "DejaVu Sans"
"""The typeface that comes with Matplotlib."""
INK, EDGE = "#222222", "#777777"
FIXED: dict[Any, Any] = {"svg.hashsalt": "convref", "hatch.linewidth": 0.8, "text.usetex": False}
"""Of Matplotlib's settings, those that change what a saved file looks like."""
WRITERS: dict[str, dict[str, Any]] = {
    ".png": {"metadata": {"Software": None}},
    ".svg": {"metadata": {"Date": None, "Creator": None}},
}


class Style(NamedTuple):
    """How a kind of cell looks: apart in colour, for the colour-blind, and in grey."""

    face: str
    hatch: str
    words: str
    """In the legend."""


# Colours: Okabe and Ito, "Color universal design", https://jfly.uni-koeln.de/color/, and tints.
ORANGE, GREEN, BLUE, PURPLE = "#E69F00", "#009E73", "#56B4E9", "#CC79A7"
STYLES = {
    "input": Style(BLUE, "", "input"),
    "hole": Style("#FFFFFF", "..", "hole: a zero between inputs"),
    "padding": Style("#E5E5E5", "//", "padding"),
    "surplus": Style("#F0E442", "\\\\", "surplus: padding on this side only"),
    "cropped": Style("#FFFFFF", "xx", "cropped: not on the canvas"),
    "tap": Style(ORANGE, "", "kernel"),
    "output": Style("#BFE7DC", "", "output"),
    "chosen": Style(GREEN, "", "this output"),
    "cut": Style("#E5E5E5", "//", "cut off afterwards"),
    "gradient": Style(PURPLE, "", "gradient"),
    "plain": Style("#FFFFFF", "", ""),
}


class Picture(Figure):
    """A Matplotlib figure that notebooks show wherever pyplot is not in use, too."""

    def __init__(self) -> None:
        super().__init__(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor="white")

    def _repr_png_(self) -> bytes:
        return rendered(self, ".png")


def blank(figure: Figure) -> Axes:
    """The whole figure as axes of pixels, with nothing on them."""
    figure.clear()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(HEIGHT, 0)
    return axes


def rendered(figure: Figure, suffix: str) -> bytes:
    """The file's bytes, the same each time."""
    stream = BytesIO()
    with rc_context(FIXED):
        figure.savefig(stream, format=suffix[1:], dpi=DPI, **WRITERS[suffix])
    return stream.getvalue()


@verb
def save(figure: Figure, path: str | Path) -> None:
    """Write a picture as .png or .svg; equal pictures give equal files.

    Raises WordError for another suffix, FileError where the file can't be written.

    >>> import tempfile
    >>> from convref import Geometry
    >>> from convref.explain import pictures
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pictures.save(pictures.window(Geometry.of(5, 3)), f"{folder}/window.svg")
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise WordError(f"`path` (={shown(str(path))}) is no picture's", "end it in .png or .svg")
    write(path, rendered(figure, suffix))


def write(path: Path, data: bytes) -> None:
    """Write a file: whole or not at all."""
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise FileError(f"{path} can't be written: {error}", "check its folder") from error


def put(axes: Axes, artist: Artist, name: str = "") -> None:
    """Draw an artist; its name becomes an id in SVG."""
    if name:
        artist.set_gid(name)
    axes.add_artist(artist)


def write_text(
    axes: Axes, x: float, y: float, words: str, size: float = BODY, **looks: Any
) -> None:
    """Write words with their middle at a place, unless ``looks`` aligns them otherwise."""
    settled = {"ha": "center", "va": "center", "color": INK, "family": FAMILY, **looks}
    # A dollar sign would start a formula.
    axes.text(x, y, words, fontsize=size, parse_math=False, **settled)


@lru_cache(maxsize=4096)
def pixels(words: str, size: float = BODY, weight: str = "normal") -> float:
    """How wide words are."""
    looks = FontProperties(family=FAMILY, size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(words, looks, False)[0] * DPI / 72


def write_over(
    axes: Axes, x: float, y: float, words: str, size: float, kind: str, face: str | None = None
) -> None:
    """Write into a cell: light on a dark face; around the letters a hatch gives way."""
    style = STYLES[kind]
    halo = [withStroke(linewidth=4, foreground=style.face)] if style.hatch else None
    red, green, blue = to_rgb(face or style.face)
    dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.47
    write_text(axes, x, y, words, size, path_effects=halo, color="white" if dark else INK)


def tap_colour(tap: int, taps: int) -> str:
    """A colour for each tap: of cividis, which the colour-blind and grey prints see in order."""
    return to_hex(colormaps["cividis"](0.12 + 0.83 * tap / max(1, taps - 1)))


def headings(axes: Axes, title: str, *lines: str) -> None:
    """The title of a slide and what stands below it."""
    size = float(LARGE)
    while pixels(title, size, "bold") > WIDTH - 2 * MARGIN and size > BODY:
        size -= 0.5
    write_text(axes, MARGIN, 36, title, size, ha="left", weight="bold")
    for number, line in enumerate(lines):
        fits = pixels(line, 14) <= WIDTH - 2 * MARGIN
        write_text(axes, MARGIN, 72 + 26 * number, line, 14 if fits else BODY, ha="left")


def rectangle(
    axes: Axes, x: float, y: float, width: float, height: float, kind: str, name: str = "",
    face: str | None = None,
) -> None:  # fmt: skip
    """A cell, in the style of its kind, which is its label too, or with a face of its own."""
    style = STYLES[kind]
    patch = Rectangle(
        (x, y), width, height, facecolor=face or style.face, edgecolor=EDGE, hatch=style.hatch,
        linewidth=0.8, label=kind,
    )  # fmt: skip
    put(axes, patch, name)


def frame(
    axes: Axes, x: float, y: float, width: float, height: float, name: str, colour: str = ORANGE
) -> None:
    """A thick frame, inside the edges of what it marks, on a dark line that shows in grey."""
    thick = max(1.2, min(3.2, min(width, height) / 14))
    for line, behind in ((thick + 1.6, True), (thick, False)):
        inset = (thick + 1.6) * DPI / 72 / 2
        patch = Rectangle(
            (x + inset, y + inset), width - 2 * inset, height - 2 * inset, fill=False,
            edgecolor=INK if behind else colour, linewidth=line, joinstyle="miter", zorder=1.5,
        )  # fmt: skip
        put(axes, patch, "" if behind else name)


def line(axes: Axes, xs: Sequence[float], ys: Sequence[float], **looks: Any) -> None:
    """A line through places."""
    put(axes, Line2D(xs, ys, **{"color": EDGE, "linewidth": 1, "zorder": 0.5, **looks}))


def legend(axes: Axes, kinds: Sequence[tuple[str, str]], y: float = HEIGHT - 22) -> None:
    """Swatches of kinds (or of "window", a frame, or "unread", a stroke) with their words."""
    size, spacing = BODY, 24.0
    widths = [28 + pixels(words, size) + spacing for _, words in kinds]
    rows: list[list[int]] = [[]]
    for number, width in enumerate(widths):
        if rows[-1] and sum(widths[n] for n in rows[-1]) + width > WIDTH - 2 * MARGIN + spacing:
            rows.append([])
        rows[-1].append(number)
    y -= 26 * (len(rows) - 1)
    for row in rows:
        x = float(MARGIN)
        for number in row:
            kind, words = kinds[number]
            swatch(axes, x, y - 10, kind)
            write_text(axes, x + 28, y, words, size, ha="left")
            x += widths[number]
        y += 26


def swatch(axes: Axes, x: float, y: float, kind: str) -> None:
    """A small cell of a kind."""
    rectangle(axes, x, y, 20, 20, kind if kind in STYLES else "plain")
    if kind == "window":
        frame(axes, x, y, 20, 20, "")
    elif kind == "unread":
        stroke(axes, x, y, 20, 20, "")


def stroke(axes: Axes, x: float, y: float, width: float, height: float, name: str) -> None:
    """Strike a cell out."""
    mark = Line2D((x, x + width), (y + height, y), color=INK, linewidth=1.2, zorder=1.4)
    put(axes, mark, name)
