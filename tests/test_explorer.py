"""The explorer's script against the package, over thousands of settings in a real browser."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from html import unescape
from math import prod
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pytest
from explorer_cases import DIALECTS, Words, drawn, made
from messages import refused

from convref import ShapeError, WordError, conv, conv_input_grad, conv_transpose, conv_weight_grad
from convref.explain import Setting, page, setting
from convref.explain.explorer import MODULES, START, script, style, text, words_of
from convref.explain.lines import line
from convref.geometry import gathered

ADDRESSES = {"http://www.w3.org/2000/svg", "https://jfly.iam.u-tokyo.ac.jp/color/"}
"""That the page may name: SVG's name, and the source of its colours."""
COUNT = 3000
BATCH = 500

# The text of the page


def test_is_one_small_file_that_fetches_nothing() -> None:
    made_page = page()
    assert len(made_page.encode()) < 400_000
    assert set(re.findall(r"https?://[^\s\"'<>),]*[^\s\"'<>),.]", made_page)) <= ADDRESSES
    for word in ("eval(", "Function(", "innerHTML", "@import", "url(", "fetch(", " src=", "href="):
        assert word not in made_page


def test_policy_lets_its_own_script_and_style_pass_and_nothing_else() -> None:
    made_page = page()
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', made_page)
    assert found is not None
    inside = [
        re.search(rf"<{tag}[^>]*>(.*?)</{tag}>", made_page, re.DOTALL)
        for tag in ("script", "style")
    ]
    hashes = [
        b64encode(sha256(one[1].encode()).digest()).decode() for one in inside if one is not None
    ]
    assert found[1] == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_opens_at_a_setting() -> None:
    chosen = setting((6, 5), (3, 2), stride=2, padding="same", in_channels=4, groups=2,
                     out_channels=6)  # fmt: skip
    assert read_words(page(chosen)) == words_of(chosen)
    assert read_words(page()) == words_of(START)


def read_words(text: str) -> Any:
    found = re.search(r'data-words="([^"]*)"', text)
    assert found is not None
    return json.loads(unescape(found[1]))


def test_setting_is_escaped() -> None:
    geometry = replace(setting(5, 3).geometry, padding_mode='"><script>alert(1)</script>')
    made_page = page(Setting(geometry))
    assert "<script>alert" not in made_page
    assert read_words(made_page)["padding_mode"] == geometry.padding_mode


def test_words_make_the_setting_again() -> None:
    for words in drawn(seed=1, count=300):
        chosen = made(words)
        if isinstance(chosen, Setting):
            assert made(words_of(chosen)) == chosen


def test_refuses_what_it_does_not_show() -> None:
    with refused(
        WordError,
        "page: `setting` has 3 spatial axes, and the explorer shows 1 or 2; "
        "use convref.explain.picture",
    ):
        page(setting((5, 5, 5), 3))
    with refused(
        ShapeError,
        "page: `setting` has a size of 100000, and the explorer takes less than 100000; "
        "use smaller sizes",
    ):
        page(setting(100_000, 3))


def test_modules_follow_those_they_import() -> None:
    """They are put one behind the other, so their names must differ as well."""
    seen: set[str] = set()
    names: list[str] = []
    for module in (*MODULES, "page"):
        source = text(f"{module}.js")
        folder = Path(module).parent
        for found in re.findall(r'^import [^;]* from "(.*)\.js";', source, re.MULTILINE):
            parts: list[str] = []
            for part in (folder / found).parts:
                parts = parts[:-1] if part == ".." else [*parts, part]
            assert "/".join(parts) in seen
        names += re.findall(
            r"^(?:export )?(?:const|let|class|function) (\w+)", source, re.MULTILINE
        )
        seen.add(module)
    assert len(names) == len(set(names)) > 80
    for last in ("page", "notebook"):
        assert not re.search(r"^import |^export (?!default)|</script|<!--", script(last), re.M)
    assert "</style" not in style()


# Its numbers


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    file = tmp_path_factory.mktemp("explorer") / "page.html"
    file.write_text(page(), "utf-8")
    with browser.chromium() as found, browser.opened(found, file) as opened:
        yield opened


COMPUTE = """batch => batch.map(({words, x, w, dy}) => {
  try {
    const setting = convref.makeSetting(words);
    const reading = convref.makeReading(setting);
    const frame = convref.makeFrame(reading.shown);
    const {geometry} = setting;
    const facts = {
      input: setting.inputSize, output: setting.outputSize, padding: geometry.padding,
      canvas: geometry.canvasSize, outputPadding: setting.outputPadding, macs: setting.macs,
      weights: setting.weightShape, taps: geometry.taps(), origins: geometry.origins(),
      sources: geometry.sources(), seen: reading.columns, shown: reading.shown.padding,
      kinds: frame.cells.map(cell => cell.kind), unread: frame.cells.map(cell => cell.unread),
      shows: frame.cells.map(cell => cell.source),
    };
    const numbers = {x, w, dy};
    return {...facts, y: convref.outputs(reading, numbers), ...convref.gradients(reading, numbers)};
  } catch (error) {
    if (!(error instanceof convref.SettingError)) throw error;
    return error.message;
  }
})"""
LINES = """([batch, dialects]) => batch.map(words => {
  const setting = convref.makeSetting(words);
  return dialects.map(dialect => Object.values(convref.lineOf(setting, words, dialect)));
})"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(COUNT // BATCH))
def test_script_is_equal_to_the_package(tab: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = drawn(seed, BATCH)
    settings = [made(words) for words in batch]
    arrays = [integers(rng, one) for one in settings]
    sent = [
        {"words": words, **{name: array.ravel().tolist() for name, array in numbers.items()}}
        for words, numbers in zip(batch, arrays, strict=True)
    ]
    refusals = 0
    for one, words, numbers, found in zip(
        settings, batch, arrays, tab.evaluate(COMPUTE, sent), strict=True
    ):
        if isinstance(one, str):
            refusals += 1
            assert found == one, words
            continue
        assert found == {**facts(one), **values(one, **numbers)}, words
    assert 10 < refusals < BATCH // 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(COUNT // BATCH))
def test_lines_of_code_are_those_of_the_package(tab: Any, seed: int) -> None:
    pairs = [(words, made(words)) for words in drawn(seed, BATCH)]
    right = [(words, one) for words, one in pairs if isinstance(one, Setting)]
    found = tab.evaluate(LINES, [[words for words, _ in right], DIALECTS])
    for (words, one), codes in zip(right, found, strict=True):
        for dialect, code in zip(DIALECTS, codes, strict=True):
            said = line(one, dialect)
            imports = said.imports if said.code else ""
            assert code == [imports, said.code, said.note, said.pad_first], (words, dialect)


def integers(rng: np.random.Generator, one: Setting | str) -> dict[str, Any]:
    if isinstance(one, str):
        return {}
    shapes = {
        "x": (one.in_channels, *one.input_size),
        "w": one.weight_shape,
        "dy": (one.out_channels, *one.output_size),
    }
    return {name: rng.integers(-9, 9, shape, endpoint=True) for name, shape in shapes.items()}


def facts(one: Setting) -> dict[str, Any]:
    """What the package says of a setting, as the page's script returns it."""
    cells = pytest.importorskip("convref.explain.pictures.cells", reason="no matplotlib")
    geometry = one.geometry
    shown = gathered(geometry) if one.transposed else geometry
    lines = cells.lines_of(shown)
    size = shown.input_size
    shows = [
        -1 if place is None else int(np.ravel_multi_index(place, size))
        for place in cells.sources_of(lines).ravel()
    ]
    kinds = cells.kinds_of(lines).ravel()
    unread = cells.crossed(np.logical_or, [line.unread for line in lines]).ravel()
    return {
        "input": [*one.input_size],
        "output": [*one.output_size],
        "padding": [[*pair] for pair in geometry.padding],
        "canvas": [*geometry.canvas_size],
        "outputPadding": [*one.output_padding],
        "macs": one.macs,
        "weights": [*one.weight_shape],
        "taps": geometry.taps.tolist(),
        "origins": geometry.origins.tolist(),
        "sources": geometry.sources.tolist(),
        "seen": shown.sources[np.add.outer(shown.taps, shown.origins)].tolist(),
        "shown": [[*pair] for pair in shown.padding],
        "kinds": kinds.tolist(),
        "unread": [
            bool(one) and kind != "cropped" for one, kind in zip(unread, kinds, strict=True)
        ],
        "shows": shows,
    }


def values(one: Setting, x: Any, w: Any, dy: Any) -> dict[str, Any]:
    """The output and both gradients, exactly."""
    spec = one.spec
    words: Words = {
        word: getattr(spec, word) for word in ("stride", "padding", "dilation", "groups")
    }
    words["backend"] = "numpy"
    kernel = one.geometry.kernel_size
    if one.transposed:
        y = conv_transpose(x, w, output_size=one.output_size, **words)
        dx = conv(dy, w, **words)
        dw = conv_weight_grad(dy, x, kernel, **words)
    else:
        words |= {"input_dilation": spec.input_dilation, "padding_mode": spec.padding_mode}
        y = conv(x, w, **words)
        dx = conv_input_grad(dy, w, one.input_size, **words)
        dw = conv_weight_grad(x, dy, kernel, **words)
    assert y.shape == (one.out_channels, *one.output_size)
    assert prod(dx.shape) == x.size
    return {name: array.ravel().tolist() for name, array in (("y", y), ("dx", dx), ("dw", dw))}
