"""The explorer as its users have it: pointed at, walked over, played, shared, on a phone."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import browser
import numpy as np
import pytest
from explorer_cases import DIALECTS

from convref import conv, conv_input_grad
from convref.explain import page, setting
from convref.explain.explorer import script, style, words_of
from convref.explain.lines import line

pytestmark = pytest.mark.slow
SAME = "#input_size=7x7&kernel_size=3x3&stride=2&padding=same"
SETTLED = 400
"""Milliseconds after which the address has been written."""


class Open(Protocol):
    def __call__(self, address: str = "", **context: Any) -> AbstractContextManager[Any]: ...


@pytest.fixture(scope="module")
def open_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    file = tmp_path_factory.mktemp("explorer") / "page.html"
    file.write_text(page(), "utf-8")
    with browser.chromium() as found:
        yield partial(browser.opened, found, file)


def cells(tab: Any, side: str, kind: str) -> list[int]:
    """The cells of a side that are of a kind, by their index in the grid."""
    found = tab.locator(f".{side} .cell.{kind}")
    indices: list[int] = found.evaluate_all("all => all.map(one => Number(one.dataset.index))")
    return indices


def point(tab: Any, side: str, index: int) -> None:
    tab.locator(f'.{side} [data-index="{index}"]').first.hover()


def grid(tab: Any, side: str) -> np.ndarray[Any, Any]:
    """The numbers that a side shows."""
    texts = tab.locator(f".{side} .value").all_text_contents()
    return np.array([int(text.replace("−", "-")) for text in texts])


def total(tab: Any) -> int:
    return int(tab.locator(".total").text_content().replace("−", "-"))


def test_pointing_at_an_output_shows_its_window_and_its_sum(open_page: Open) -> None:
    with open_page(SAME) as tab:
        x, w = grid(tab, "inputs").reshape(9, 9)[1:-1, 1:-1], grid(tab, "kernels").reshape(3, 3)
        y = conv(x[None], w[None, None], stride=2, padding="same")[0]
        assert np.array_equal(grid(tab, "outputs").reshape(4, 4), y)
        for index in (0, 6, 15):
            point(tab, "outputs", index)
            row, column = divmod(index, 4)
            window = [(2 * row + a) * 9 + 2 * column + b for a in range(3) for b in range(3)]
            assert cells(tab, "inputs", "tap") == window
            assert cells(tab, "outputs", "chosen") == [index]
            assert total(tab) == y[row, column]
            terms = tab.locator(".terms tr").nth(1).locator("td").all_text_contents()
            assert [int(term) for term in terms] == grid(tab, "inputs")[window].tolist()
            assert f"y[0, {row}, {column}] is {total(tab)}" in tab.inner_text(".unseen")
            assert tab.locator(".matrix .chosen").get_attribute("d").startswith(f"M0 {index}h1")


def test_pointing_at_an_input_shows_what_it_reaches_and_its_gradient(open_page: Open) -> None:
    with open_page(SAME) as tab:
        w = grid(tab, "kernels").reshape(3, 3)
        point(tab, "inputs", 3 * 9 + 4)  # input (2, 3), past one cell of padding
        dy = grid(tab, "outputs").reshape(4, 4)
        dx = conv_input_grad(dy[None], w[None, None], (7, 7), stride=2, padding="same")[0]
        assert cells(tab, "outputs", "tap") == [1 * 4 + 1, 1 * 4 + 2]
        assert tab.inner_text(".sum").startswith("dx[0, 2, 3] = ")
        assert total(tab) == dx[2, 3]
        point(tab, "inputs", 0)
        assert "no gradient" in tab.inner_text(".sums")
        assert cells(tab, "outputs", "tap") == [0]


def test_pointing_at_a_weight_shows_its_gradient(open_page: Open) -> None:
    with open_page("#input_size=5&kernel_size=2") as tab:
        x = grid(tab, "inputs")
        point(tab, "kernels", 1)
        dy = grid(tab, "outputs")
        assert total(tab) == x[1:] @ dy
        assert cells(tab, "inputs", "tap") == [1, 2, 3, 4]


def test_transposed_gathers_and_scatters(open_page: Open) -> None:
    with open_page("#input_size=3&kernel_size=3&stride=2&transposed=true") as tab:
        point(tab, "outputs", 2)  # of 7, between two inputs: taps 2 and 0 of them
        shown = grid(tab, "inputs")
        assert shown.tolist()[::2] == [0, *shown[2:8:2], 0]
        kernel = grid(tab, "kernels")[::-1]
        assert total(tab) == shown[2] * kernel[2] + shown[4] * kernel[0]
        point(tab, "inputs", 4)
        assert cells(tab, "outputs", "tap") == [2, 3, 4]


def test_groups_feed_their_own_outputs(open_page: Open) -> None:
    address = "#input_size=3x3&kernel_size=2x2&in_channels=4&out_channels=2&groups=2"
    with open_page(address) as tab:
        tab.locator(".outputs .grid").nth(1).locator('[data-index="3"]').hover()
        faded = [tab.locator(".inputs .grid").nth(c).locator(".dim").count() for c in range(4)]
        assert faded == [9, 9, 0, 0]
        assert tab.locator(".kernels figcaption").all_text_contents() == [
            "kernel w[1, 0]",
            "kernel w[1, 1]",
        ]


def test_keyboard_walks_over_the_grids(open_page: Open) -> None:
    with open_page(SAME) as tab:
        output = tab.locator(".outputs .grid")
        for _ in range(60):  # to the grid by the Tab key alone
            tab.keyboard.press("Tab")
            if output.evaluate("grid => grid === document.activeElement"):
                break
        assert output.evaluate("grid => getComputedStyle(grid).outlineStyle") == "solid"
        for key, index in (
            ("ArrowRight", 1), ("ArrowDown", 5), ("End", 7), ("ArrowRight", 7), ("Home", 4),
            ("ArrowUp", 0),
        ):  # fmt: skip
            tab.keyboard.press(key)
            assert cells(tab, "outputs", "chosen") == [index]
            active = tab.locator(f"#{output.get_attribute('aria-activedescendant')}")
            assert active.get_attribute("data-index") == str(index)
            assert active.get_attribute("aria-selected") == "true"
        assert tab.inner_text(".unseen").startswith("y[0, 0, 0] is")


def test_everything_that_is_focused_has_a_name(open_page: Open) -> None:
    with open_page("#input_size=4x5&kernel_size=3x2&padding=1,0x0,1") as tab:
        nameless = tab.evaluate(
            """() => [...document.querySelectorAll("input, select, button, [tabindex]")].filter(
              one => !(one.labels?.length || one.getAttribute("aria-label") || one.textContent))
              .map(one => one.outerHTML)"""
        )
        assert nameless == []


def test_play_pause_and_step(open_page: Open) -> None:
    with open_page(SAME) as tab:
        tab.clock.install()
        tab.get_by_role("button", name="step").click()
        assert cells(tab, "outputs", "chosen") == [1]
        tab.get_by_role("button", name="back").click()
        tab.get_by_role("button", name="back").click()
        assert cells(tab, "outputs", "chosen") == [15]  # round the corner
        tab.get_by_role("button", name="play").click()
        assert cells(tab, "outputs", "chosen") == [0]
        tab.clock.run_for(2000)
        assert cells(tab, "outputs", "chosen") == [2]
        tab.get_by_role("button", name="pause").click()
        tab.clock.run_for(5000)
        assert cells(tab, "outputs", "chosen") == [2]
        before = grid(tab, "inputs").tolist()
        tab.get_by_role("button", name="new numbers").click()
        assert grid(tab, "inputs").tolist() != before


def test_every_control_changes_the_setting(open_page: Open) -> None:
    with open_page() as tab:
        field = partial(tab.get_by_label, exact=True)
        assert tab.inner_text(".headline") == "7 × 7 → 5 × 5"
        field("input size").fill("9")
        field("stride, slider").fill("2")
        field("padding").select_option("same")
        assert tab.inner_text(".headline") == "9 × 9 → 5 × 5"
        field("same along both axes").uncheck()
        field("kernel size columns").fill("5")
        field("dilation rows").fill("2")
        field("padding").select_option("amounts")
        field("columns before").fill("0")
        field("padding mode").select_option("circular")
        field("input channels").fill("4")
        field("output channels").fill("6")
        field("groups").fill("2")
        tab.wait_for_timeout(SETTLED)
        words = tab.evaluate("convref.read(location.hash).words")
        assert {name: words[name] for name in words if name not in ("at", "numbers")} == {
            "transposed": False,
            "input_size": [9, 9],
            "kernel_size": [3, 5],
            "stride": [2, 2],
            "dilation": [2, 1],
            "input_dilation": [1, 1],
            "padding": [[2, 2], [0, 2]],
            "padding_mode": "circular",
            "in_channels": 4,
            "out_channels": 6,
            "groups": 2,
            "output_padding": [0, 0],
            "dialect": "torch",
        }
        tab.get_by_text("transposed", exact=True).click()
        assert field("padding mode").count() == 0
        field("output padding rows").fill("1")
        assert tab.inner_text(".headline") == "4 channels of 9 × 9 → 6 channels of 18 × 19"
        tab.get_by_text("1-D", exact=True).click()
        assert tab.inner_text(".headline") == "4 channels of 9 → 6 channels of 18"


def test_address_brings_back_what_was_seen(open_page: Open) -> None:
    with open_page(SAME) as tab:
        point(tab, "outputs", 9)
        tab.get_by_text("keras", exact=True).click()
        tab.wait_for_timeout(SETTLED)
        address = tab.evaluate("location.hash")
        assert address == f"{SAME}&dialect=keras&at=output:0,9"
        seen = tab.inner_text(".stage")
        with open_page(address) as other:
            assert other.inner_text(".stage") == seen
        tab.evaluate("location.hash = '#input_size=4&kernel_size=2'")
        tab.wait_for_timeout(100)
        assert tab.inner_text(".headline") == "4 → 3"


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("#%E0%A4%A&&&===&", "There is no setting “%E0%A4%A”: it is left out."),
        ("#input_size=abc", "“abc” can't be read as input_size"),
        ("#input_size=3x3x3", "This page shows one or two axes, not more."),
        ("#stride=1e9", "“1e9” can't be read as stride"),
        ("#input_size=7x7&padding=1,2,3", "“1,2,3” can't be read as padding"),
        ("#at=nowhere:1", "“nowhere:1” can't be read as at"),
        ("#dialect=<img src=x onerror=alert(1)>", "“<img src=x onerror=alert(1)>” can't be read"),
        ("#__proto__=1&constructor=2", "There is no setting “__proto__”"),
        (f"#{'x' * 5000}", f"There is no setting “{'x' * 40}…”"),
    ],
)
def test_garbage_in_the_address_is_told(open_page: Open, address: str, complaint: str) -> None:
    with open_page(address) as tab:
        assert complaint in tab.inner_text(".complaints")
        assert tab.locator(".outputs .cell").count() > 0


def test_a_place_that_is_not_there_is_the_nearest_that_is(open_page: Open) -> None:
    with open_page("#input_size=4&kernel_size=2&at=output:7,99") as tab:
        assert cells(tab, "outputs", "chosen") == [2]


def test_a_refused_setting_is_explained(open_page: Open) -> None:
    with open_page() as tab:
        tab.get_by_label("input size", exact=True).fill("2")
        assert tab.inner_text(".refusal p") == (
            "conv: the output would be empty along spatial axis 0: the window of 3 (kernel 3, "
            "dilation 1) exceeds the 2 cells of the padded input (size 2, padding (0, 0)); use a "
            "larger input, a smaller kernel or more padding"
        )
        assert not tab.locator(".planes").first.is_visible()
        tab.get_by_role("button", name="Back to what worked").click()
        assert tab.inner_text(".headline") == "7 × 7 → 5 × 5"
        tab.get_by_label("groups", exact=True).fill("2")
        assert "groups (=2) must divide in_channels (=1)" in tab.inner_text(".refusal")
        tab.get_by_label("stride", exact=True).fill("0")
        tab.get_by_label("groups", exact=True).fill("1")
        assert "stride (=(0, 0)) must be at least 1 on every axis" in tab.inner_text(".refusal")


def test_a_large_layer_has_its_sizes_and_code(open_page: Open) -> None:
    address = "#input_size=224x224&kernel_size=7x7&stride=2&padding=3&in_channels=3&out_channels=64"
    with open_page(address) as tab:
        assert tab.inner_text(".headline") == "3 channels of 224 × 224 → 64 channels of 112 × 112"
        assert "118,013,952 multiply-adds" in tab.inner_text(".size")
        assert "nn.Conv2d(3, 64, 7, stride=2, padding=3)" in tab.inner_text(".coded")
        assert "Too much to draw" in tab.inner_text(".note")


def test_dialect_chooser_shows_each_line(open_page: Open) -> None:
    chosen = setting((8, 7), (3, 2), stride=2, padding="same_lower", in_channels=4,
                     out_channels=2, groups=2)  # fmt: skip
    address = (
        "#input_size=8x7&kernel_size=3x2&stride=2&padding=same_lower&in_channels=4"
        "&out_channels=2&groups=2"
    )
    with open_page(address) as tab:
        for dialect in DIALECTS:
            tab.locator(".coded").get_by_text(dialect, exact=True).click()
            said = line(chosen, dialect)
            code = f"{said.imports}\n\n{said.code}" if said.code else "# there is no such line"
            assert tab.locator("pre").inner_text() == code
            note = tab.locator("pre + p").inner_text()
            assert note.lower().rstrip(".") == said.note.lower().replace("`", "")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "#input_size=16x16&kernel_size=7x7&padding=3",
        "#input_size=16&kernel_size=7&padding=causal&dilation=4",
        "#input_size=6x6&kernel_size=3x3&in_channels=6&out_channels=6&groups=2",
        "#input_size=9x9&kernel_size=5x5&stride=4&transposed=true",
        "#input_size=2x2&kernel_size=3x3",
        "#input_size=99999x99999&kernel_size=3x3&dialect=jax",
        f"#{'garbage' * 100}",
    ],
)
def test_fits_a_phone(open_page: Open, address: str) -> None:
    phone = {"width": 360, "height": 740}
    with open_page(address, viewport=phone, has_touch=True, is_mobile=True) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") == 360
        tab.locator("summary").click()
        assert tab.evaluate("document.documentElement.scrollWidth") == 360


def test_touch_chooses(open_page: Open) -> None:
    phone = {"width": 360, "height": 740}
    with open_page(SAME, viewport=phone, has_touch=True, is_mobile=True) as tab:
        tab.locator('.outputs [data-index="10"]').tap()
        assert cells(tab, "outputs", "chosen") == [10]


def test_colours_and_motion_are_as_preferred(open_page: Open) -> None:
    grounds = []
    for scheme, motion, lasting in (("light", "no-preference", 0.12), ("dark", "reduce", 0)):
        with open_page(color_scheme=scheme, reduced_motion=motion) as tab:
            of = "getComputedStyle(document.querySelector('{}'))"
            duration = tab.evaluate(f"{of.format('.cell rect')}.transitionDuration")
            assert float(re.split("s", duration)[0]) == lasting
            grounds.append(tab.evaluate(f"{of.format('.convref-explorer')}.backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(21, 23, 27)"]


# The widget

MODEL = """async ([code, style, words]) => {
  const module = await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
  document.head.append(Object.assign(document.createElement("style"), {textContent: style}));
  window.model = {
    words, saved: 0, listeners: [],
    get(name) { return this[name]; },
    set(name, value) { this[name] = value; },
    save_changes() { this.saved += 1; },
    on(event, listener) { this.listeners.push(listener); },
    off(event, listener) { this.listeners = this.listeners.filter(one => one !== listener); },
  };
  const els = [1, 2].map(() => document.body.appendChild(document.createElement("div")));
  window.ends = els.map(el => module.default.render({model: window.model, el}));
}"""


def test_widget_keeps_in_step_with_its_model(open_page: Open, tmp_path: Path) -> None:
    file = tmp_path / "notebook.html"
    file.write_text('<!doctype html><meta charset="utf-8"><title>notebook</title>', "utf-8")
    chosen = words_of(setting((5, 5), (3, 3), padding="same"))
    browser_of_pages = open_page.args[0]  # type: ignore[attr-defined]
    with browser_of_pages.new_context() as context:
        tab = context.new_page()
        wrong: list[str] = []
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto(file.as_uri())
        tab.evaluate(MODEL, [script("notebook"), style(), chosen])
        assert tab.locator(".headline").all_inner_texts() == ["5 × 5 → 5 × 5"] * 2
        ids = tab.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
        assert len(ids) == len(set(ids)) > 100
        tab.get_by_label("stride", exact=True).first.fill("2")
        assert tab.evaluate("model.words.stride") == [2, 2]
        assert tab.evaluate("model.saved") > 0
        tab.evaluate("model.words = {input_size: [9], kernel_size: [2]}")
        tab.evaluate("model.listeners.forEach(one => one())")
        assert tab.locator(".headline").all_inner_texts() == ["9 → 8"] * 2
        tab.evaluate("ends.forEach(end => end())")
        assert tab.evaluate("model.listeners.length") == 0
        assert not wrong
