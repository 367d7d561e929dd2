"""JUnit XML and the HTML page: complete, escaped, self-contained."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import typer

import convref
from convref.cli.verify import verify as judge_command
from convref.testing import peers
from convref.verify.cases import case_of, corpus, problems, reports
from convref.verify.html import MOST_DETAILS, as_html
from convref.verify.junit import as_junit
from convref.verify.maps import COLUMNS, ROWS, coarse, counts, fractions, planes, steps

NASTY = "<script>alert('x')</script> & \"more\""
VOID = {"meta", "br", "path"}


class Page(HTMLParser):
    """Checks that elements nest, and collects them with their attributes, and the text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    @property
    def all_text(self):
        return " ".join(self.text)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def judged(name="mine", change=None, framework="mine", configuration="", **words):
    """Reports on one case, of which one output may be changed."""
    random = np.random.default_rng(0)
    x, w = random.standard_normal((2, 3, 9, 70)), random.standard_normal((4, 3, 3, 2))
    y = convref.conv(x, w, **words)
    dx, dw, db = convref.conv_vjp(x, w, y, **words)
    arrays = {"x": x, "w": w, "y": y, "dy": y, "dx": dx, "dw": dw, "db": db}
    if change:
        arrays |= change(arrays)
    case = case_of(
        arrays, words=words, dtype="float64", name=name, framework=framework, version="1.0",
        configuration=configuration, operator="conv2d", kind="forward",
    )  # fmt: skip
    return [(case, output, report) for output, report in reports(case)]


def flipped(arrays):
    return {"y": convref.conv(arrays["x"], arrays["w"][..., ::-1])}


def last_rows(arrays):
    y = arrays["y"].copy()
    y[:, :, -2:] = 0
    return {"y": y}


@pytest.fixture(scope="module")
def all_of_the_corpus():
    return [(case, name, report) for case in corpus() for name, report in reports(case)]


# JUnit


def test_junit_has_a_testcase_for_each_output():
    found = judged() + judged("other", flipped, framework="their framework")
    root = ElementTree.fromstring(as_junit(found))
    assert root.attrib == {"name": "convref", "tests": "8", "failures": "1"}
    suites = [suite.attrib for suite in root]
    assert suites == [
        {"name": "mine", "tests": "4", "failures": "0"},
        {"name": "their framework", "tests": "4", "failures": "1"},
    ]
    first = next(root.iter("testcase"))
    assert first.attrib == {"classname": "mine.conv2d", "name": "mine y"}
    lines = first.find("system-out").text.splitlines()
    assert lines[1] == "verdict: within bound"
    assert lines[-1] == "formats: stored in float64, summed in float64"
    (failure,) = root.iter("failure")
    assert failure.attrib == {"type": "wrong", "message": "wrong: kernel-flipped"}
    assert failure.text.splitlines()[-1] == (
        "kernel-flipped: the kernel is flipped along spatial axis 1: it is convolved, and not "
        "cross-correlated"
    )


def test_junit_is_escaped_and_can_be_read_whatever_names_hold():
    nasty = f"{NASTY}\x00\x1b\ufffe ]]>"
    text = as_junit(judged(nasty, last_rows, framework=nasty, configuration=nasty))
    root = ElementTree.fromstring(text.encode())
    assert next(root.iter("testcase")).get("name") == f"{NASTY}\ufffd\ufffd\ufffd ]]> y"
    assert "<script" not in text


def test_junit_of_explained_outputs_has_no_failure():
    def narrow(arrays):
        x, w = (arrays[name].astype(np.float32).astype(np.float64) for name in ("x", "w"))
        return {"y": convref.conv(x, w)}

    root = ElementTree.fromstring(as_junit(judged(change=narrow)))
    assert root.get("failures") == "0"
    assert (
        "explanation: float32-inputs: the operands are rounded"
        in next(root.iter("system-out")).text
    )


# HTML


def test_the_page_of_the_corpus_is_small(all_of_the_corpus):
    page = as_html(all_of_the_corpus)
    assert len(page.encode()) < 300_000
    read = Page(page)
    assert "All 695 outputs are legitimate" in read.all_text
    assert read.all_text.count("within bound") > 600


def test_the_page_is_small_though_all_is_wrong():
    found = [one for number in range(30) for one in judged(f"case {number}", last_rows)]
    page = as_html(found)
    assert len(page.encode()) < 300_000
    read = Page(page)
    assert len(read.of("article")) == MOST_DETAILS
    assert f"{30 - MOST_DETAILS} more are in the table below." in read.all_text


def test_the_page_of_thousands_holds_the_wrong_ones():
    found = judged("right") * 400 + judged("last", last_rows)
    page = as_html(found)
    assert len(page.encode()) < 300_000
    text = re.sub(r"\s+", " ", Page(page).all_text)
    assert "1 of 1604 outputs are wrong" in text
    assert "1604 outputs Each output case output verdict bound used ULP last conv2d y wrong" in text
    assert "And 604 more." in text


def test_the_page_loads_nothing_and_runs_nothing():
    page = as_html(judged(change=flipped))
    read = Page(page)
    assert not {tag for tag, _ in read.elements} & {"script", "link", "img", "iframe", "canvas"}
    addresses = [v for _, a in read.elements for k, v in a.items() if k in ("src", "href")]
    assert addresses == []
    assert not re.search(r"url\(|@import|https?:", page)
    assert not any(key.startswith("on") for _, attributes in read.elements for key in attributes)
    policy = next(a["content"] for a in read.of("meta") if "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_names_show_as_text():
    page = as_html(judged(NASTY, last_rows, framework=NASTY, configuration=NASTY), {NASTY: NASTY})
    assert "<script" not in page
    read = Page(page)
    assert read.all_text.count(NASTY) >= 7


def test_the_page_tells_what_is_wrong():
    read = Page(as_html(judged("net.layer3", last_rows), {"seed": 12}))
    text = re.sub(r"\s+", " ", read.all_text)
    assert "1 of 4 outputs are wrong" in text
    assert "seed: 12" in text
    assert "last-tile" in text
    assert "they all hold 0.0, as if they were never written" in text
    assert "x (2, 3, 9, 70) float64" in text
    assert re.search(r"worst element \[\d, \d, \d, \d+\] is 0.0, and should be -?\d", text)
    assert len(read.of("article")) == 1


def test_explained_outputs_are_shown_after_the_wrong_ones():
    def narrow(arrays):
        x, w = (arrays[name].astype(np.float32).astype(np.float64) for name in ("x", "w"))
        return {"y": convref.conv(x, w)}

    text = Page(as_html(judged("first", narrow) + judged("second", last_rows))).all_text
    assert text.index("float32-inputs") > text.index("last-tile")


def test_the_page_can_be_read_by_all():
    """Headers of tables, names of pictures, a language, a width for phones, dark mode."""
    page = as_html(judged(change=last_rows))
    read = Page(page)
    assert read.of("html") == [{"lang": "en"}]
    assert any(a.get("name") == "viewport" for a in read.of("meta"))
    assert "prefers-color-scheme: dark" in page
    assert all(a.get("scope") in ("row", "col") for a in read.of("th"))
    assert len(read.of("caption")) == len(read.of("table"))
    assert all(a["role"] == "img" and a["aria-label"] for a in read.of("svg"))
    assert len(read.of("svg")) == 3
    assert all(a["aria-label"] for a in read.of("div") if a.get("class") == "wide")


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_contrast():
    """At least 4.5 to 1 (WCAG 2.2, 1.4.3), in both schemes, on both grounds."""
    style = Path(convref.__file__).with_name("verify").joinpath("html.css").read_text()
    for scheme in re.findall(r":root \{(.*?)\}", style, re.DOTALL):
        colours = dict(re.findall(r"--(\w+): (#\w{6})", scheme))
        for ink in ("ink", "soft", "good", "fair", "bad"):
            for ground in ("paper", "panel"):
                one, other = sorted(luminance(colours[name]) for name in (ink, ground))
                assert (other + 0.05) / (one + 0.05) >= 4.5, (ink, ground)


def test_a_shape_that_is_wrong_has_no_map():
    read = Page(as_html(judged(change=lambda arrays: {"y": arrays["y"][..., 1:]})))
    assert read.of("svg") == []
    assert "these words give (2, 4, 7, 69)" in read.all_text


# Maps


def test_maps_show_the_axes_in_pairs():
    found = judged(change=last_rows)
    case = found[0][0]
    problem = dict(problems(case))["y"]
    used = fractions(problem, case.arrays["y"], "float64", "float64")
    first, second = planes(problem, used)
    assert (first.rows, first.columns) == (
        "position along spatial axis 0", "position along spatial axis 1",
    )  # fmt: skip
    assert first.size == (7, 69)
    assert (steps(first.cells[:5]) <= 4).all()
    assert (steps(first.cells[5:]) >= 5).all()
    assert (second.rows, second.columns, second.size) == ("batch item", "channel", (2, 4))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_maps_of_every_rank_and_output(rank, layout):
    last = layout == "channels_last"
    shape = (2, *(5,) * rank, 3) if last else (2, 3, *(5,) * rank)
    x, w = np.ones(shape), np.ones((4, 3, *(2,) * rank))
    y = convref.conv(x, w, layout=layout)
    dx, dw, db = convref.conv_vjp(x, w, y, layout=layout)
    arrays = {"x": x, "w": w, "y": y, "dy": y, "dx": dx, "dw": dw, "db": db}
    case = case_of(
        arrays, words={"layout": layout}, dtype="float64", name="a", framework="f", version="",
        configuration="", operator="conv", kind="forward",
    )  # fmt: skip
    for name, problem in problems(case):
        used = fractions(problem, arrays[name], "float64", "float64")
        drawn = list(planes(problem, used))
        assert sum(bool(plane.rows) + 1 for plane in drawn) == used.ndim
        assert np.prod([size for plane in drawn for size in plane.size]) == used.size
        if name in ("y", "dx"):
            assert drawn[-1].columns == "channel"


def test_large_maps_are_coarse_and_lose_nothing():
    cells = np.zeros((1000, 3))
    cells[617, 1] = 5
    small = coarse(cells)
    assert small.shape[0] <= ROWS
    assert small.shape[1] <= COLUMNS
    assert small.max() == 5


def test_histograms():
    found = counts([0, 0.0005, 1.0, 1.5, 1e9, np.inf, np.nan])
    assert {label: count for label, _, count in found if count} == {
        "0": 1, "0 to 0.001": 1, "0.1 to 1": 1, "1 to 10": 1, "more than 1000": 3,
    }  # fmt: skip
    assert [legitimate for _, legitimate, _ in found] == [True] * 5 + [False] * 3


# The command line


def run(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "convref", "verify", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(convref.__file__).parents[1],
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def saved(tmp_path):
    x, w = np.ones((1, 2, 9), np.float32), np.ones((3, 2, 2), np.float32)
    y = np.full((1, 3, 8), 4, np.float32)
    np.savez(tmp_path / "right.npz", x=x, w=w, y=y)
    np.savez(tmp_path / "wrong.npz", x=x, w=w, y=y + 1)
    return tmp_path


@pytest.mark.parametrize(("name", "code", "failures"), [("right", 0, "0"), ("wrong", 1, "1")])
def test_reports_are_written_with_any_verdict(saved, name, code, failures):
    xml, html = saved / "out.xml", saved / "out.html"
    xml.write_text("old")
    assert run(saved / f"{name}.npz", "--junit", xml, "--html", html)[0] == code
    assert ElementTree.parse(xml).getroot().get("failures") == failures
    assert Page(html.read_text()).of("h1") == [{"class": "bad" if code else "good"}]
    assert sorted(path.name for path in saved.iterdir()) == [
        "out.html", "out.xml", "right.npz", "wrong.npz",
    ]  # fmt: skip


def test_a_folder_that_is_not_there(saved):
    code, output, messages = run(saved / "right.npz", "--html", saved / "no" / "out.html")
    assert (code, output) == (2, "")
    assert messages.startswith(f"convref: {saved}/no/out.html can't be written: ")
    assert messages.endswith("; check its folder\n")


def test_a_file_and_a_framework_are_too_much(saved):
    code, _, messages = run(saved / "right.npz", "--against", "torch")
    assert code == 2
    assert messages == "convref: a FILE and --against are two sources of outputs; give one\n"


def test_an_unknown_framework():
    code, _, messages = run("--against", "caffe")
    assert code == 2
    assert messages == (
        "convref: sweep: `against` (='caffe') is no framework that is known; use 'torch', 'jax', "
        "'keras', 'onnxruntime'\n"
    )


class Fake:
    """A framework that may be wrong."""

    LIMITS = ({"kinds": ("forward",), "ranks": (1,)},)
    off = 0

    @classmethod
    def outputs(cls, case):
        return {"y": case.expected() + cls.off}


@pytest.mark.parametrize("off", [0, 1])
def test_a_sweep_from_the_command_line(off, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(peers, "load", lambda name: (Fake, "1.0"))
    monkeypatch.setattr(Fake, "off", off)
    monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tmp_path))
    words = {"cases": 20, "seed": 4, "against": "fake", "html": tmp_path / "out.html"}
    if off:
        with pytest.raises(typer.Exit) as caught:
            judge_command(**words)
        assert caught.value.exit_code == 1
    else:
        judge_command(**words)
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("against: fake 1.0") + 1] == "seed: 4"
    assert any(line.startswith("minimal: ConvCase(kind='forward'") for line in lines) == bool(off)
    assert "seed: 4" in tmp_path.joinpath("out.html").read_text()
    if not off:
        judge_command(as_json=True, cases=3, against="fake")
        values = json.loads(capsys.readouterr().out)
        assert values["ok"] is True
        assert 0 <= values["seed"] < 2**32
        assert values["drawn"] == 3
