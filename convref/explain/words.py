"""A setting in words: sizes, padding, formula, windows, the code of each dialect, and the cost."""

from collections.abc import Sequence

from convref.errors import verb
from convref.explain.explanation import Explanation, Row, Section
from convref.explain.figures import Window, costs, unread, values_of, windows
from convref.explain.formulas import formula
from convref.explain.lines import Line, lines
from convref.explain.setting import Setting, Sizes
from convref.explain.writers import WRITERS
from convref.geometry import Axis, gathered
from convref.memory import readable
from convref.names import one_of

NAMES = {1: ("positions",), 2: ("rows", "columns"), 3: ("slices", "rows", "columns")}
"""What is counted along each axis."""
PLURALS = {"channel": "channels", "bias": "biases"}
MOST_TAPS = 8
"""Positions of a window that are listed; of more, the first and the last."""


@verb
def explain(setting: Setting, dialect: str = "convref") -> Explanation:
    """Explain a setting in words, which print, show in a notebook and have values for JSON.

    The dialect ("convref", "torch", "keras", "jax", "brainpy", "babilim" or "onnx") writes the
    formula and leads the code. Memory is that of one batch item in float32: of the im2col matrix
    (C*T, P), and of the canvas, which is all that an implicit convolution needs. Raises WordError
    for an unknown dialect.

    >>> from convref.explain.setting import setting
    >>> explained = explain(setting(6, 3, stride=2, padding="same"), "keras")
    >>> print("\\n".join(explained.text().splitlines()[8:14]))
    padding
      asked for  "same"
      positions  0 before, 1 after (1 surplus)
    <BLANKLINE>
    formula
      keras      ceil(n/s)
    """
    one_of("dialect", dialect, tuple(WRITERS))
    found = formula(setting, dialect)
    code = sorted(lines(setting), key=lambda line: line.dialect != dialect)
    sections = {
        "sizes": size_rows(setting),
        "padding": padding_rows(setting),
        "formula": [Row(dialect, found.symbols, True), *per_axis(found.axes, is_code=True)],
        "windows": window_rows(setting),
        "two readings": reading_rows(setting) if setting.transposed else [],
        "code": [row for line in code for row in line_rows(line)],
        "cost": cost_rows(setting),
    }
    shown = tuple(Section(heading, rows) for heading, rows in sections.items() if rows)
    return Explanation(title_of(setting), shown, values_of(setting, dialect, found, code))


def title_of(setting: Setting) -> str:
    """What goes in and what comes out."""
    kind = "transposed convolution" if setting.transposed else "convolution"
    kernel = by(setting.geometry.kernel_size)
    return f"{kind} of {by(setting.input_size)} by {kernel}: {by(setting.output_size)}"


def size_rows(setting: Setting) -> list[Row]:
    """Sizes and shapes, and the words that are not plain."""
    geometry, spec = setting.geometry, setting.spec
    words = [
        f"{word} {by(sizes) if len(set(sizes)) > 1 else sizes[0]}"
        for word, sizes, plain in (
            ("stride", spec.stride, 1),
            ("dilation", spec.dilation, 1),
            ("input dilation", spec.input_dilation, 1),
            ("groups", (spec.groups,), 1),
            ("output padding", setting.output_padding, 0),
        )
        if set(sizes) != {plain}
    ]
    spans = tuple(axis.window for axis in geometry.axes)
    spread = f", which spans {by(spans)}" if spans != geometry.kernel_size else ""
    return [
        Row("input", f"{by(setting.input_size)}, {counted(setting.in_channels, 'channel')}"),
        Row("kernel", f"{by(geometry.kernel_size)}{spread}; weights {setting.weight_shape}"),
        Row("output", f"{by(setting.output_size)}, {counted(setting.out_channels, 'channel')}"),
        *([Row("words", ", ".join(words))] if words else []),
    ]


def padding_rows(setting: Setting) -> list[Row]:
    """What is added or cropped on each side of each axis."""
    mode = setting.geometry.padding_mode
    rows = [Row("asked for", f'"{setting.word}"')] if setting.word else []
    if setting.transposed:
        rows.append(Row("meaning", "cut off the output, as if that had been padded"))
    rows += per_axis([sides(axis) for axis in setting.geometry.axes])
    if mode != "zeros" and any(map(any, setting.geometry.padding)):
        rows.append(Row("filled by", f'"{mode}"'))
    return rows


def sides(axis: Axis) -> str:
    """The padding of one axis, which part of it is surplus, and what no window reads."""
    text = ", ".join(
        side(amount, other, where)
        for amount, other, where in ((axis.lo, axis.hi, "before"), (axis.hi, axis.lo, "after"))
    )
    left = unread(axis)
    return f"{text}; behind the last window: {left}" if left else text


def side(amount: int, other: int, where: str) -> str:
    """One side of one axis."""
    if amount < 0:
        return f"{-amount} cropped {where}"
    surplus = max(0, amount - max(0, other))
    return f"{amount} {where}" + (f" ({surplus} surplus)" if surplus else "")


def window_rows(setting: Setting) -> list[Row]:
    """What the first and the last window read or, transposed, what inputs reach."""
    what = "first input reaches" if setting.transposed else "first reads"
    ends = windows(setting)
    rows = per_axis([f"{what} {listed(first)}; last {listed(last)}" for first, last in ends])
    if any(None in window for pair in ends for window in pair):
        meaning = "what is cut off" if setting.transposed else "a zero, which is no input"
        rows.append(Row("-", meaning))
    return rows


def listed(window: Window) -> str:
    """Positions one by one, and a dash for a zero."""
    found = ["-" if position is None else str(position) for position in window]
    if len(found) > MOST_TAPS:
        found = [*found[:3], "...", *found[-3:]]
    return ", ".join(found)


def reading_rows(setting: Setting) -> list[Row]:
    """The two ways to see a transposed convolution."""
    whole = gathered(setting.geometry)
    holes = by(tuple(axis.input_dilation - 1 for axis in whole.axes))
    return [
        Row(
            "scatter",
            "each input, times the kernel, is added to the output, where neighbours are "
            f"{by(setting.spec.stride)} apart",
        ),
        Row(
            "gather",
            f"a convolution of stride 1, its kernel flipped, over the input with {holes} zeros "
            f"between neighbours, padded by {whole.padding}",
        ),
    ]


def line_rows(line: Line) -> list[Row]:
    """What to import and to write, and what to know."""
    code = [Row(line.dialect, line.imports, True), Row("", line.code, True)] if line.code else []
    note = [Row("" if code else line.dialect, line.note)] if line.note else []
    return code + note


def cost_rows(setting: Setting) -> list[Row]:
    """Work and memory."""
    found, geometry = costs(setting), setting.geometry
    filters, inside = setting.weight_shape[:2]
    taps, positions = by(geometry.kernel_size), by(geometry.output_size)
    factors = f"{filters}x{inside} channels, {taps} taps, {positions} positions"
    weights = f"{by(setting.weight_shape)} weights, {counted(setting.out_channels, 'bias')}"
    which = "output" if setting.transposed else "input"
    held = f"the {which} itself" if geometry.canvas_is_input else f"the padded {which}"
    return [
        Row("work", f"{found.macs:,} multiply-adds: {factors}"),
        Row("learned", f"{found.parameters:,} parameters: {weights}"),
        Row("im2col", f"{readable(found.im2col_bytes)}: a matrix of {by(found.im2col_shape)}"),
        Row("implicit", f"{readable(found.implicit_bytes)}: {held}, {by(found.canvas_shape)}"),
    ]


def per_axis(texts: Sequence[str], is_code: bool = False) -> list[Row]:
    """One row for each axis."""
    names = NAMES.get(len(texts), tuple(f"axis {number}" for number in range(len(texts))))
    return [Row(name, text, is_code) for name, text in zip(names, texts, strict=True)]


def by(sizes: Sizes) -> str:
    """Sizes as text: ``7x7``."""
    return "x".join(map(str, sizes))


def counted(count: int, what: str) -> str:
    """A number of things."""
    return f"{count} {what}" if count == 1 else f"{count} {PLURALS[what]}"
