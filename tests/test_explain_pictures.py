"""Pictures: what is drawn is what the geometry computes with, cell by cell."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.animation import FFMpegWriter, PillowWriter
from matplotlib.figure import Figure
from messages import refused
from PIL import Image
from strategies import Array, Problem, problems

from convref import (
    FileError,
    Geometry,
    MissingExtraError,
    ShapeError,
    WordError,
    conv,
    conv_matrix,
    conv_transpose,
    im2col,
    using_backend,
)
from convref.explain import pictures
from convref.explain.pictures import cells, parts, sheet
from convref.explain.setting import setting
from convref.geometry import gathered
from convref.layers import (
    Conv1d,
    Conv2d,
    ConvLSTM1d,
    ConvTranspose1d,
    Crop1d,
    Flatten,
    Linear,
    MaxPool1d,
    Residual,
    Sequential,
    Upsample1d,
    ZeroPad1d,
)

Index = tuple[int, ...]

drawn_problems = problems(ranks=st.integers(1, 3))
few = settings(max_examples=15)


def named(figure: Figure, name: str) -> dict[Index, Any]:
    """The patches and lines of a name, by their index."""
    (axes,) = figure.axes
    found = [a for a in (*axes.patches, *axes.lines) if str(a.get_gid()).startswith(f"{name}/")]
    by_index = {
        tuple(map(int, artist.get_gid().removeprefix(f"{name}/").split(","))): artist
        for artist in found
    }
    assert len(by_index) == len(found), "a cell is drawn twice"
    return by_index


def texts_over(figure: Figure, patches: dict[Index, Any]) -> dict[Index, str]:
    """What is written in the middle of each cell."""
    written = {tuple(np.round(t.get_position(), 3)): t.get_text() for t in figure.axes[0].texts}
    middles = {
        index: (patch.get_x() + patch.get_width() / 2, patch.get_y() + patch.get_height() / 2)
        for index, patch in patches.items()
    }
    return {index: written.get(tuple(np.round(at, 3)), "") for index, at in middles.items()}


def whole(geometry: Geometry) -> bool:
    """Whether no cell is left out of the picture."""
    rank = len(geometry.axes)
    most = parts.WHOLE[rank]
    extents = (axis.spread + max(axis.lo, 0) + max(axis.hi, 0) for axis in geometry.axes)
    return all(extent <= length for extent, length in zip(extents, most, strict=True))


def check_window(figure: Figure, geometry: Geometry, p: int, prefix: str = "") -> None:
    """The drawn canvas, window and position against origins, taps and sources."""
    canvas = named(figure, f"{prefix}canvas")
    framed = {
        np.ravel_multi_index(c, geometry.canvas_size) for c in named(figure, f"{prefix}window")
    }
    reads = set(map(int, geometry.origins[p] + geometry.taps))
    if not whole(geometry):
        assert framed <= reads
        return
    assert framed == reads
    on_canvas = {c: a for c, a in canvas.items() if a.get_label() not in ("cropped",)}
    assert set(on_canvas) == set(np.ndindex(geometry.canvas_size))
    for cell, artist in on_canvas.items():
        check_kind(geometry, cell, str(artist.get_label()))
    read = np.zeros(geometry.canvas_size, bool)
    read.ravel()[np.add.outer(geometry.taps, geometry.origins)] = True
    assert set(named(figure, "unread")) == set(map(tuple, np.argwhere(~read).tolist()))


def check_kind(geometry: Geometry, cell: Index, kind: str) -> None:
    source = geometry.sources[np.ravel_multi_index(cell, geometry.canvas_size)]
    beside = [
        not axis.lo <= c < axis.lo + axis.spread
        for axis, c in zip(geometry.axes, cell, strict=True)
    ]
    if any(beside):
        surplus = any(
            c < axis.lo - max(axis.hi, 0) or c >= axis.canvas - axis.hi + max(axis.lo, 0)
            for axis, c in zip(geometry.axes, cell, strict=True)
        )
        assert kind == ("surplus" if surplus else "padding")
        assert geometry.padding_mode != "zeros" or source < 0
    else:
        assert kind == ("input" if source >= 0 else "hole")


@few
@given(p=drawn_problems, data=st.data())
def test_window(p: Problem, data: st.DataObject) -> None:
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    position = data.draw(st.integers(0, len(geometry.origins) - 1))
    figure = pictures.window(geometry, position)
    check_window(figure, geometry, position)
    (chosen,) = named(figure, "position")
    assert np.ravel_multi_index(chosen, geometry.output_size) == position
    assert named(figure, "output")[chosen].get_label() == "chosen"


@few
@given(p=problems(ranks=st.integers(1, 3), modes=("zeros",)), data=st.data())
def test_readings(p: Problem, data: st.DataObject) -> None:
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    assume(min(p.input_size) > 0)
    back = gathered(geometry)
    position = data.draw(st.integers(0, len(back.origins) - 1))
    figure = pictures.readings(geometry, position)
    assume(whole(back) and whole(geometry))
    reads = {np.ravel_multi_index(c, back.canvas_size) for c in named(figure, "gather/window")}
    assert reads == set(map(int, back.origins[position] + back.taps))
    (scattered,) = named(figure, "scatter/position")
    written = {
        np.ravel_multi_index(c, geometry.canvas_size) for c in named(figure, "scatter/window")
    }
    flat = np.ravel_multi_index(scattered, geometry.output_size)
    assert written == set(map(int, geometry.origins[flat] + geometry.taps))
    reached = back.sources[sorted(reads)]
    if (reached >= 0).any():
        assert geometry.sources[sorted(written)].tolist().count(position) == 1
        assert flat in reached
    kept = [c for c, a in named(figure, "scatter/canvas").items() if a.get_label() == "output"]
    assert len(kept) == np.prod(p.input_size)


def test_numbers_of_a_window(rng: np.random.Generator) -> None:
    x, w = rng.integers(-9, 9, (6, 5)), rng.integers(-4, 4, (3, 2))
    words: Any = {"stride": (2, 1), "padding": ((1, 2), (2, 0)), "padding_mode": "replicate"}
    geometry = Geometry.of(x.shape, w.shape, **words)
    figure = pictures.window(geometry, (1, 2), x=x, w=w)
    canvas = oracles.padded(x, oracles.plan(x.shape, w.shape, words))
    y = conv(x[None], w[None, None], **words, backend="numpy")[0]
    for name, numbers in (("canvas", canvas), ("tap", w), ("output", y)):
        written = texts_over(figure, named(figure, name))
        assert written == {i: str(numbers[i]) for i in np.ndindex(numbers.shape)}
    ends = [text.get_text() for text in figure.axes[0].texts]
    assert any(text.endswith(f" = {y[1, 2]}") for text in ends)


def test_repeated_cells_show_what_they_repeat() -> None:
    geometry = Geometry.of(4, 3, padding=2, padding_mode="reflect")
    figure = pictures.window(geometry)
    written = texts_over(figure, named(figure, "canvas"))
    assert [written[(i,)] for i in range(8)] == ["2", "1", "0", "1", "2", "3", "2", "1"]


def test_numbers_of_readings(rng: np.random.Generator) -> None:
    x, w = rng.integers(-9, 9, (3, 3)), rng.integers(-4, 4, (3, 3))
    geometry = Geometry.of((6, 6), (3, 3), stride=2, padding=1)
    y = conv_transpose(
        x[None], w[None, None], stride=2, padding=1, output_padding=1, backend="numpy"
    )[0]
    figure = pictures.readings(geometry, (1, 2), x=x, w=w)
    written = texts_over(figure, named(figure, "gather/output"))
    assert written == {i: str(y[i]) for i in np.ndindex(y.shape)}
    window = named(figure, "scatter/window")
    added = texts_over(figure, {i: named(figure, "scatter/canvas")[i] for i in window})
    assert sorted(map(int, added.values())) == sorted((x[0, 1] * w).ravel())
    gathers = pictures.window(geometry, (1, 2), transposed=True, x=x, w=w)
    assert texts_over(gathers, named(gathers, "output")) == written


def test_cropped_cells_are_beside_the_canvas() -> None:
    geometry = Geometry.of((5, 5), 2, padding=((-1, 0), (0, -2)))
    cropped = {
        cell
        for cell, artist in named(pictures.window(geometry), "canvas").items()
        if artist.get_label() == "cropped"
    }
    everything = {(row, column) for row in range(-1, 4) for column in range(5)}
    assert cropped == everything - set(np.ndindex(geometry.canvas_size))


@few
@given(p=drawn_problems, data=st.data())
def test_columns(p: Problem, data: st.DataObject) -> None:
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    assume(min(p.input_size) > 0)
    position = data.draw(st.integers(0, len(geometry.origins) - 1))
    figure = pictures.columns(geometry, position)
    x = np.arange(1, np.prod(p.input_size) + 1).reshape(1, *p.input_size)
    words = p.without("groups", "layout")
    columns = im2col(x, p.kernel, **words)
    for (t, o), artist in named(figure, "columns").items():
        assert 0 <= t < len(columns)
        if artist.get_label() == "input":
            assert columns[t, o]
        elif p.words["padding_mode"] == "zeros":
            assert not columns[t, o]
    assert {o for _, o in named(figure, "column")} == {position}
    taps = {t for (t,) in named(figure, "row")}
    assert (
        taps == {t for t, _ in named(figure, "columns")} == {t for t, _ in named(figure, "column")}
    )


def test_numbers_of_columns(rng: np.random.Generator) -> None:
    x, w = rng.integers(-9, 9, (4, 4)), rng.integers(-4, 4, (3, 2))
    figure = pictures.columns(Geometry.of(x.shape, w.shape, padding=1, stride=2), x=x, w=w)
    columns = im2col(x[None], w.shape, padding=1, stride=2)
    written = texts_over(figure, named(figure, "columns"))
    assert written == {i: str(columns[i]) for i in np.ndindex(columns.shape)}
    y = conv(x[None], w[None, None], padding=1, stride=2, backend="numpy").ravel()
    assert list(texts_over(figure, named(figure, "output")).values()) == list(map(str, y))
    flat = texts_over(figure, named(figure, "kernel"))
    assert list(flat.values()) == list(map(str, w.ravel()))


def test_taps_have_their_colour_wherever_they_are() -> None:
    geometry = Geometry.of((4, 4), 3, padding=1)
    figure = pictures.columns(geometry, (1, 2))
    kernel, rows = named(figure, "kernel"), named(figure, "row")
    frames = named(figure, "window")
    for t, tap in enumerate(geometry.taps):
        cell = np.unravel_index(geometry.origins[6] + tap, geometry.canvas_size)
        colour = kernel[(t,)].get_facecolor()
        assert rows[(t,)].get_facecolor() == colour
        assert frames[tuple(map(int, cell))].get_edgecolor() == colour
    assert len({artist.get_facecolor() for artist in kernel.values()}) == 9


@few
@given(p=drawn_problems, transposed=st.booleans())
def test_matrix(p: Problem, transposed: bool) -> None:
    assume(min(p.input_size) > 0)
    words = p.without("groups", "layout")
    geometry = Geometry.of(p.input_size, p.kernel, **words)
    figure = pictures.matrix(geometry, transposed=transposed)
    taps = np.arange(1, np.prod(p.kernel) + 1).reshape(1, 1, *p.kernel)
    dense = conv_matrix(taps, p.input_size, **words).toarray()
    dense = dense.T if transposed else dense
    drawn = set(named(figure, "matrix"))
    assert drawn <= set(map(tuple, np.argwhere(dense).tolist()))
    if dense.shape[0] <= 50 and dense.shape[1] <= 100:
        assert len(drawn) == np.count_nonzero(dense)


def test_numbers_of_the_matrix(rng: np.random.Generator) -> None:
    w = rng.integers(1, 9, (3,))
    geometry = Geometry.of(5, 3, padding=2, padding_mode="reflect")
    figure = pictures.matrix(geometry, 1, w=w)
    dense = conv_matrix(w[None, None], 5, padding=2, padding_mode="reflect").toarray()
    written = texts_over(figure, named(figure, "matrix"))
    assert written == {tuple(i): str(dense[*i]) for i in np.argwhere(dense)}
    assert set(named(figure, "row")) == {(1, c) for c in np.flatnonzero(dense[1])}


@pytest.mark.parametrize(("into", "out", "groups"), [(4, 4, 2), (6, 12, 6), (3, 5, 1)])
def test_channels(into: int, out: int, groups: int) -> None:
    figure = pictures.channels(into, out, groups)
    joined = set(named(figure, "feeds"))
    w = np.ones((out, into // groups, 1))
    matrix = conv_matrix(w, 1, groups=groups).toarray()
    assert joined == {(c, k) for k, c in np.argwhere(matrix).tolist()}
    blocks = named(figure, "weight")
    assert {i for i, artist in blocks.items() if artist.get_label() == "tap"} == {
        (k, c) for c, k in joined
    }


def test_many_channels_are_cut() -> None:
    figure = pictures.channels(64, 100)
    shown = {c for (c,) in named(figure, "in")}
    assert shown == {*range(8), *range(56, 64)}
    assert len(named(figure, "feeds")) == 256


def test_contractions() -> None:
    figure = pictures.contractions(Geometry.of((5, 5), 3, groups=2), 4, 6)
    shapes = {
        str(patch.get_gid()) for patch in figure.axes[0].patches if "/" in str(patch.get_gid())
    }
    assert shapes == {
        "w/3,18", "cols/18,9", "y/3,9", "wᵀ/18,3", "dy/3,9", "dcols/18,9", "colsᵀ/9,18", "dw/3,18",
        "summed/left", "summed/right",
    }  # fmt: skip


def influence(net: Sequential, shape: Index, output: int) -> set[int]:
    """The inputs that change an output: by changing them."""
    x = np.ones((1, *shape))
    for parameter in net.parameters().values():
        parameter.value[...] = 1
    with using_backend("numpy"):
        return changing(net, x, output)


def changing(net: Sequential, x: Array, output: int) -> set[int]:
    before = net(x).reshape(-1)[output]
    found = set()
    for i in range(x.shape[-1]):
        changed = x.copy()
        changed[..., i] += 1000
        if net(changed).reshape(-1)[output] != before:
            found.add(i)
    return found


NETS = [
    Sequential(Conv1d(1, 1, 3, dilation=2, padding="causal"), Conv1d(1, 1, 3, stride=2)),
    Sequential(Conv1d(1, 1, 5, padding=2, padding_mode="circular"), MaxPool1d(2)),
    Sequential(ZeroPad1d(2), ConvTranspose1d(1, 1, 3, stride=2, padding=1), Crop1d(3)),
    Sequential(Conv1d(1, 1, 3, stride=3), Upsample1d(2, mode="linear")),
    Sequential(Residual(Conv1d(1, 1, 3, dilation=3, padding=3)), Conv1d(1, 1, 1, stride=2)),
    Sequential(Sequential(Conv1d(1, 1, 2, input_dilation=2)), Flatten(), Linear(26, 2)),
]


@pytest.mark.parametrize("net", NETS, ids=lambda net: "-".join(layer.name for layer in net.layers))
@pytest.mark.parametrize("position", [0, 1])
def test_receptive_fields(net: Sequential, position: int) -> None:
    flat = any(isinstance(layer, Flatten) for layer in net.layers)
    figure = pictures.receptive_field(net, (1, 14), 0 if flat else position)
    seen = {
        int(str(patch.get_gid()).removeprefix("seen/0/"))
        for patch in figure.axes[0].patches
        if str(patch.get_gid()).startswith("seen/0/")
    }
    assert seen == influence(net, (1, 14), position)


def test_long_rows_are_bars() -> None:
    net = Sequential(Conv2d(1, 1, 3, layout="channels_last"))
    figure = pictures.receptive_field(net, (300, 8, 1), 200, axis=0)
    names = {str(patch.get_gid()) for patch in figure.axes[0].patches}
    assert {"seen/0/200-202", "seen/1/200-200"} <= names


@pytest.mark.parametrize(
    ("size", "kernel", "words"),
    [
        (100, 3, {}),
        ((100, 100), 3, {"padding": 1}),
        ((224, 224), 7, {"stride": 2, "padding": 3}),
        ((40, 40), 31, {"padding": "same"}),
        ((30, 30, 30), 3, {"padding": 1}),
        ((6, 6), (5, 1), {"dilation": (1, 5)}),
        (60000, 3, {"dilation": 1000}),
    ],
)
def test_large_geometries_are_cropped(size: Any, kernel: Any, words: Any) -> None:
    geometry = Geometry.of(size, kernel, **words)
    middle = [length // 2 for length in geometry.output_size]
    for figure in (pictures.window(geometry, middle), pictures.columns(geometry, middle)):
        assert len(figure.axes[0].patches) < 3000
        assert min(text.get_fontsize() for text in figure.axes[0].texts) >= 12
        check_inside(figure)


@few
@given(p=drawn_problems)
def test_nothing_leaves_the_slide(p: Problem) -> None:
    geometry = Geometry.of(p.input_size, p.kernel, **p.words)
    check_inside(pictures.window(geometry))


def check_inside(figure: Figure) -> None:
    """All cells and words are on the slide; words are large enough."""
    (axes,) = figure.axes
    for patch in axes.patches:
        left, top = patch.get_xy()
        assert left >= 0
        assert top >= 0
        assert left + patch.get_width() <= sheet.WIDTH
        assert top + patch.get_height() <= sheet.HEIGHT
    for text in axes.texts:
        x, y = text.get_position()
        size = float(text.get_fontsize())
        assert size >= 12
        wide = sheet.pixels(text.get_text(), size, str(text.get_weight()))
        left = x - {"left": 0, "center": wide / 2, "right": wide}[text.get_ha()]
        assert left >= 0
        assert left + wide <= sheet.WIDTH
        assert size / 2 <= y <= sheet.HEIGHT - size / 2


def test_files_are_equal_each_time(tmp_path: Path) -> None:
    geometry = Geometry.of((5, 5), 3, padding="same", stride=2)
    for suffix in ("png", "SVG"):
        files = [tmp_path / f"{number}.{suffix}" for number in range(2)]
        for file in files:
            pictures.save(pictures.window(geometry, 4), file)
        assert files[0].read_bytes() == files[1].read_bytes()
    with Image.open(tmp_path / "0.png") as image:
        assert image.size == (1280, 720)
    svg = (tmp_path / "0.SVG").read_text("utf-8")
    assert all(f'id="{name}"' in svg for name in ("canvas/0,0", "tap/2,2", "output/2,2"))
    assert "date" not in svg


def test_notebooks_show_pictures() -> None:
    figure = pictures.channels(2, 2)
    assert getattr(figure, "_repr_png_")()[:4] == b"\x89PNG"  # noqa: B009


def test_pyplot_is_left_alone() -> None:
    script = (
        "import sys; from convref import explain; "
        "explain.picture(explain.setting(5, 3))._repr_png_(); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    root = Path(__file__).parent.parent
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root
    )
    assert run.stdout.split() == ["False"]


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (setting((4, 4), 3, padding=1, stride=2), "window"),
        (setting(4, 3, stride=2, padding=1, transposed=True), "gather/window"),
        (setting((3, 3, 3), 2), "window"),
    ],
)
def test_overview(made: Any, name: str) -> None:
    figure = pictures.picture(made)
    assert len(named(figure, name)) == np.prod(made.geometry.kernel_size)
    check_inside(figure)


WORDS = [
    ((5, 5), {"stride": 2, "padding": "same"}, "stride 2, padding: 1 before, 1 after on each axis"),
    ((6, 6), {"stride": 2, "padding": "same"},
     "stride 2, padding: 0 before, 1 after (1 surplus) on each axis"),
    ((6, 6), {"stride": 2, "padding": "same_lower"},
     "stride 2, padding: 1 before (1 surplus), 0 after on each axis"),
    ((9,), {"dilation": 2, "padding": "causal"},
     "stride 1, dilation 2, padding: 4 before (4 surplus), 0 after"),
    ((7, 8), {"stride": (1, 2), "padding": ((-1, 0), (2, 2)), "groups": 2},
     f"stride 1 {cells.TIMES} 2, 2 groups, padding: rows: 1 cropped before, 0 after; "
     "columns: 2 before, 2 after"),
    ((4,), {"padding": 1, "padding_mode": "circular"},
     "stride 1, padding (circular): 1 before, 1 after"),
    ((4, 4), {"input_dilation": 2}, "stride 1, input dilation 2, no padding"),
]  # fmt: skip


@pytest.mark.parametrize(("size", "words", "line"), WORDS, ids=lambda value: "")
def test_subtitles(size: Index, words: Any, line: str) -> None:
    figure = pictures.window(Geometry.of(size, 3, **words))
    assert figure.axes[0].texts[1].get_text() == line


def test_channels_of_the_overview() -> None:
    made = setting((4, 4), 3, in_channels=4, out_channels=6, groups=2)
    assert pictures.picture(made).axes[0].texts[2].get_text() == (
        "each of 6 output channels sums this over 2 of 4 input channels"
    )


def test_size_formula() -> None:
    made = setting((6, 7), 3, stride=2, padding=((1, 2), (0, -1)))
    lines = {text.get_text() for text in pictures.picture(made).figure.axes[0].texts}
    start = "(before + input + after - window) // stride + 1"
    assert {
        f"output (rows) = {start} = (1 + 6 + 2 - 3) // 2 + 1 = 4",
        f"output (columns) = {start} = (0 + 7 - 1 - 3) // 2 + 1 = 2",
    } <= lines


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Index]:
    """The position of each frame that is grabbed from now on."""
    frames: list[Index] = []
    grab = PillowWriter.grab_frame

    def grab_frame(self: Any, **settings: Any) -> None:
        frames.extend(named(self.fig, "position"))
        grab(self, **settings)

    monkeypatch.setattr(PillowWriter, "grab_frame", grab_frame)
    return frames


@pytest.mark.parametrize(
    "made",
    [setting((3, 4), 2, stride=(1, 2)), setting(2, 3, stride=2, transposed=True)],
    ids=["convolution", "transposed"],
)
def test_animation(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = recorded(monkeypatch)
    pictures.animation(made, tmp_path / "window.gif", frames_per_second=4)
    assert frames == list(np.ndindex(made.output_size))
    with Image.open(tmp_path / "window.gif") as image:
        assert image.n_frames == len(frames)
        assert image.info["duration"] == 250
        assert image.size == (1280, 720)


@pytest.mark.skipif(not FFMpegWriter.isAvailable(), reason="ffmpeg is not installed")
def test_film(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.mp4" for number in range(2)]
    for file in files:
        pictures.animation(setting(3, 2), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes()[4:8] == b"ftyp"


def test_film_without_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FFMpegWriter, "isAvailable", lambda: False)
    with refused(
        MissingExtraError,
        "animation: the program ffmpeg, which writes .mp4, is not installed; install it, or end "
        "`path` in .gif",
    ):
        pictures.animation(setting(3, 2), tmp_path / "window.mp4")


def test_film_when_ffmpeg_fails(tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nexit 3\n", "utf-8")
    program.chmod(0o700)
    path = tmp_path / "window.mp4"
    message = (
        f"animation: {path} can't be written: ffmpeg ended with 3; "
        "check that it writes H.264, or end `path` in .gif"
    )
    with rc_context({"animation.ffmpeg_path": str(program)}), refused(FileError, message):
        pictures.animation(setting(3, 2), path)
    assert not path.exists()


def test_without_matplotlib() -> None:
    script = (
        "import sys; sys.modules['matplotlib'] = None; from convref import MissingExtraError\n"
        "try: from convref.explain import picture\n"
        "except MissingExtraError as error: print(error)"
    )
    root = Path(__file__).parent.parent
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root
    )
    assert run.stdout == ("the package matplotlib is not installed; pip install 'convref[viz]'\n")


SQUARE = Geometry.of((4, 4), 3)
SAME = Geometry.of(4, 3, padding=1, padding_mode="reflect")
REFUSALS: list[tuple[Any, type[Any], str]] = [
    (
        lambda: pictures.window(SQUARE, 4),
        WordError,
        "window: `position` (=4) is none of the 4 positions; use 0 to 3, or (0, ...) to (1, 1)",
    ),
    (
        lambda: pictures.window(SQUARE, (0, 2)),
        WordError,
        "window: `position` (=(0, 2)) is none of the 4 positions; "
        "use 0 to 3, or (0, ...) to (1, 1)",
    ),
    (
        lambda: pictures.matrix(Geometry.of(4, 3), -1),
        WordError,
        "matrix: `position` (=-1) is none of the 2 positions; use 0 to 1",
    ),
    (
        lambda: pictures.window(Geometry.of((2, 2, 2, 2), 1)),
        WordError,
        "window: `geometry` has 4 spatial axes, and pictures show 1 to 3; look at fewer of them",
    ),
    (
        lambda: pictures.picture(setting((2, 2, 2, 2), 1)),
        WordError,
        "picture: `geometry` has 4 spatial axes, and pictures show 1 to 3; look at fewer of them",
    ),
    (
        lambda: pictures.columns(Geometry.of(10**9, 3)),
        ShapeError,
        "columns: `geometry` has an axis of 1000000000 cells, and pictures look at 65536 at most; "
        "use smaller sizes",
    ),
    (
        lambda: pictures.window(SQUARE, x=np.ones((1, 4, 4))),
        ShapeError,
        "window: `x` has shape (1, 4, 4), and the picture has (4, 4); "
        "pass one channel, without batch and channel axes",
    ),
    (
        lambda: pictures.readings(SAME),
        WordError,
        "readings: with `padding_mode` (='reflect') the transpose is no convolution; "
        "use padding_mode='zeros'",
    ),
    (
        lambda: pictures.matrix(Geometry.of((0, 2), 1, padding=1)),
        ShapeError,
        "matrix: `geometry` has an input of no positions (sizes (0, 2)); "
        "give it one or more along each axis",
    ),
    (
        lambda: pictures.readings(Geometry.of(0, 1, padding=1)),
        ShapeError,
        "readings: `geometry` has an input of no positions (sizes (0,)); "
        "give it one or more along each axis",
    ),
    (
        lambda: pictures.window(Geometry.of(0, 1, padding=1), transposed=True),
        ShapeError,
        "window: `geometry` has an input of no positions (sizes (0,)); "
        "give it one or more along each axis",
    ),
    (
        lambda: pictures.channels(4, 0),
        WordError,
        "channels: `out_channels` (=0) must be at least 1; use 1 or more",
    ),
    (
        lambda: pictures.contractions(Geometry.of(4, 3, groups=2), 3, 4),
        ShapeError,
        "contractions: `groups` (=2) must divide `in_channels` (=3); use a multiple of 2 channels",
    ),
    (
        lambda: pictures.save(pictures.channels(1, 1), "window.bmp"),
        WordError,
        "save: `path` (='window.bmp') is no picture's; end it in .png or .svg",
    ),
    (
        lambda: pictures.animation(setting(4, 3), "window.avi"),
        WordError,
        "animation: `path` (='window.avi') is no animation's; end it in .gif or .mp4",
    ),
    (
        lambda: pictures.animation(setting((30, 30), 3), "window.gif"),
        ShapeError,
        "animation: the animation would have 784 frames, one for each output position, and 400 are "
        "the most; use a smaller input or a larger stride",
    ),
    (
        lambda: pictures.animation(setting(4, 3), "window.gif", frames_per_second=0),
        WordError,
        "animation: `frames_per_second` (=0) must be at least 1; use 2",
    ),
    (
        lambda: pictures.receptive_field(len, (1, 4)),  # type: ignore[arg-type]
        WordError,
        "receptive_field: `net` (a builtin_function_or_method) is not a layer; pass a Sequential",
    ),
    (
        lambda: pictures.receptive_field(Sequential(), (1, 4)),
        ShapeError,
        "receptive_field: `net` has 0 layers, and the picture shows 1 to 20; "
        "pass a part, such as Sequential(*net.layers[:20])",
    ),
    (
        lambda: pictures.receptive_field(Conv1d(1, 1, 3), (1, 4), 2),
        WordError,
        "receptive_field: `position` (=2) is none of the 2 outputs along the axis; use 0 to 1",
    ),
    (
        lambda: pictures.receptive_field(Conv1d(1, 1, 3), (1, 4), axis=1),
        WordError,
        "receptive_field: `axis` (=1) is none of the 1 spatial axes of `input_size`; "
        "use -1 for the last",
    ),
    (
        lambda: pictures.receptive_field(Conv1d(1, 1, 3), (1, 10**5)),
        ShapeError,
        "receptive_field: `input_size` has 100000 positions along the axis, and the picture shows "
        "65536 at most; use a smaller size",
    ),
    (
        lambda: pictures.receptive_field(ConvLSTM1d(1, 1, 3), (2, 1, 4)),
        WordError,
        "receptive_field: ConvLSTM1d has no picture of its field; pass a net without it",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSALS, ids=lambda value: "")
def test_refusals(call: Any, kind: type[Any], message: str) -> None:
    with refused(kind, message):
        call()


def test_a_file_that_can_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "none" / "window.png"
    with pytest.raises(FileError, match="can't be written") as caught:
        pictures.save(pictures.channels(1, 1), path)
    assert str(caught.value).startswith(f"save: {path} can't be written: ")
    assert not list(tmp_path.iterdir())


def test_kinds_have_looks_of_their_own() -> None:
    """In colour, and in grey by their hatches."""
    looks = [sheet.STYLES[kind] for kind in cells.KINDS]
    assert len({style.face + style.hatch for style in looks}) == len(looks)
    light = [style for style in looks if style.face != sheet.BLUE]
    assert len({style.hatch for style in light}) == len(light)
