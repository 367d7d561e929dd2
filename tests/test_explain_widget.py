"""The explorer in a notebook."""

import sys
from typing import Any

import pytest
from messages import refused

from convref import MissingExtraError, ShapeError, WordError
from convref.explain import setting
from convref.explain.explorer import START, script, style, words_of

widget = pytest.importorskip("convref.explain.widget", reason="anywidget is not installed")

NOTEBOOK = """
from convref import explain
from convref.explain.widget import Explorer
explorer = Explorer(explain.setting((6, 6), (3, 3), stride=2, padding="same"))
told = []
explorer.observe(lambda change: told.append(change["new"]["stride"]), "words")
explorer.words = explorer.words | {"stride": [1, 1]}
assert told == [[1, 1]] and explorer.setting.output_size == (6, 6)
explorer
"""


def test_shares_the_page_s_script_and_style() -> None:
    explorer = widget.Explorer()
    assert explorer._esm == script("notebook")
    assert explorer._css == style()
    assert "window.convref" not in explorer._esm


def test_words_and_setting_are_the_same() -> None:
    chosen = setting(
        (6, 5), (3, 2), stride=2, padding="same", in_channels=4, out_channels=2, groups=2
    )
    explorer = widget.Explorer(chosen)
    assert explorer.words == words_of(chosen)
    assert explorer.setting == chosen
    explorer.words = {**explorer.words, "stride": [1, 1], "dialect": "jax", "at": ["output", 0, 3]}
    assert explorer.setting.output_size == (6, 5)
    explorer.setting = setting(4, 3, stride=2, transposed=True, output_padding=1)
    assert explorer.words["dialect"] == "jax"
    assert explorer.setting.output_size == (10,)
    assert widget.Explorer().setting == START


def test_a_refused_setting_is_told_when_it_is_asked_for() -> None:
    explorer = widget.Explorer(setting(4, 3))
    explorer.words = {**explorer.words, "dilation": [2]}
    with refused(
        ShapeError,
        "setting: the output would be empty along spatial axis 0: the window of 5 (kernel 3, "
        "`dilation` 2) exceeds the 4 cells of the padded input (size 4, `padding` (0, 0)); "
        "use a larger input, a smaller kernel or more padding",
    ):
        _ = explorer.setting


def test_refuses_what_it_does_not_show() -> None:
    with refused(
        WordError,
        "Explorer: `setting` has 3 spatial axes, and the explorer shows 1 or 2; "
        "use convref.explain.picture",
    ):
        widget.Explorer(setting((5, 5, 5), 3))


def test_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "convref.explain.widget")
    with refused(
        MissingExtraError,
        "the package anywidget is not installed; pip install 'convref[widget]'",
    ):
        __import__("convref.explain.widget")


@pytest.mark.slow
def test_runs_in_a_notebook() -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    import nbformat

    notebook: Any = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)])
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    (shown,) = (output for output in notebook.cells[0].outputs if "data" in output)
    assert "application/vnd.jupyter.widget-view+json" in shown["data"]
