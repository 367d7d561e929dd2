"""The course: what is stored is small, says nothing of the machine, and is what running prints.

Exercises have a blank, one statement of a cell: ``name = ...``, or a function with ``return ...``.
The solution, in a markdown cell that follows, takes the place of the whole statement.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convref.explain.exercises import BLANK

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NAMES = (
    "01-one-equation",
    "02-padding",
    "03-stride-and-dilation",
    "04-im2col",
    "05-gradients",
    "06-transposed",
    "07-groups",
    "08-making-it-fast",
    "09-verifying",
    "10-training",
)
LARGEST = 600_000
"""Bytes: what code hosts still show."""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
VARIES = "varies"
"""The tag of cells whose output differs from run to run: timings."""
HERE = re.compile(r"(?<![\w.])/(home|root|tmp|usr|var|work|Users)/|[A-Z]:\\\\")
"""A path of somebody's machine."""
SOLUTION = re.compile(
    r"<details><summary>Solution</summary>\n\n```python solution\n(.+?)\n```\n.*</details>",
    re.DOTALL,
)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")

Cell = dict[str, Any]

each_notebook = pytest.mark.parametrize("name", NAMES)


def cells_of(name: str) -> list[Cell]:
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell | {"source": "".join(cell["source"])} for cell in notebook["cells"]]


def code_of(name: str) -> list[Cell]:
    return [cell for cell in cells_of(name) if cell["cell_type"] == "code"]


def varies(cell: Cell) -> bool:
    return VARIES in cell["metadata"].get("tags", ())


def shown(cell: Cell) -> list[dict[str, str]]:
    """What a cell prints and shows: text as it is, pictures as the fact that there is one."""
    found = []
    for output in cell["outputs"]:
        kinds = output["data"] if "data" in output else {output["name"]: output["text"]}
        found.append(
            {kind: "" if "image" in kind else "".join(text) for kind, text in kinds.items()}
        )
    return found


def printed(cell: Cell) -> str:
    return "".join(text for output in shown(cell) for text in output.values())


def waits(statement: ast.stmt) -> bool:
    """Whether a statement has the three dots that an answer is to take the place of."""
    return any(
        isinstance(node, ast.Assign | ast.Return)
        and isinstance(node.value, ast.Constant)
        and node.value.value is ...
        for node in ast.walk(statement)
    )


def blanks(cell: Cell) -> list[ast.stmt]:
    if cell["cell_type"] != "code":
        return []
    return [statement for statement in ast.parse(cell["source"]).body if waits(statement)]


def checks(source: str) -> bool:
    called = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return any(isinstance(f, ast.Name) and f.id in ("check", "check_conv") for f in called)


def solutions(cell: Cell) -> list[str]:
    return SOLUTION.findall(cell["source"]) if cell["cell_type"] == "markdown" else []


def after(cell: Cell, statement: ast.stmt) -> str:
    return "\n".join(cell["source"].splitlines()[statement.end_lineno :])


def answered(name: str) -> Iterator[tuple[str, str]]:
    """The id of each exercise's cell, and its source with the solution in it."""
    waiting: Cell = {}
    for cell in cells_of(name):
        for solution in solutions(cell):
            (statement,) = blanks(waiting)
            before = waiting["source"].splitlines()[: statement.lineno - 1]
            yield waiting["id"], "\n".join([*before, solution, after(waiting, statement)])
        waiting = cell if blanks(cell) else waiting


def test_the_course_is_complete() -> None:
    assert {file.name for file in FOLDER.glob("*.ipynb")} == {f"{name}.ipynb" for name in NAMES}


@each_notebook
def test_what_is_stored(name: str) -> None:
    file = FOLDER / f"{name}.ipynb"
    assert file.stat().st_size < LARGEST
    notebook = json.loads(file.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"] == METADATA
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one) for one in ids)
    assert not [one for one in ids if re.fullmatch(r"[0-9a-f]{8}", one)], "ids are words"
    metadata = [cell["metadata"] for cell in notebook["cells"]]
    assert all(one in ({}, {"tags": [VARIES]}) for one in metadata)


@each_notebook
def test_ran_from_top_to_bottom_without_a_word_of_the_machine(name: str) -> None:
    code = code_of(name)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = {output["output_type"] for cell in code for output in cell["outputs"]}
    assert kinds <= {"stream", "display_data", "execute_result"}, "errors are stored"
    assert not [cell["id"] for cell in code if any("stderr" in output for output in shown(cell))]
    assert not [cell["id"] for cell in cells_of(name) if HERE.search(cell["source"])]
    assert not [cell["id"] for cell in code if HERE.search(printed(cell))]


@each_notebook
def test_links_lead_somewhere(name: str) -> None:
    words = (cell["source"] for cell in cells_of(name) if cell["cell_type"] == "markdown")
    targets = [target for text in words for target in LINK.findall(text)]
    assert not [target for target in targets if not (FOLDER / target).exists()]


@each_notebook
def test_exercises_are_checked_and_solved(name: str) -> None:
    """Each cell with a blank has one, a check of it follows at once, and then the solution."""
    cells, code = cells_of(name), code_of(name)
    exercises = [cell for cell in cells if blanks(cell)]
    assert 3 <= len(exercises) <= 5
    for cell in exercises:
        (blank,) = blanks(cell)
        following = next(iter(code[code.index(cell) + 1 :]), cell)
        checking = cell if checks(after(cell, blank)) else following
        assert checks(checking["source"]), f"{cell['id']} is not checked"
        assert checking is cell or not blanks(checking), f"{cell['id']} is checked by none"
        assert BLANK in printed(checking), f"{cell['id']} is not stored as it waits"
    asked = [bool(blanks(cell)) for cell in cells if blanks(cell) or solutions(cell)]
    assert asked == [True, False] * len(exercises)


def executed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: dict[str, str]
) -> list[Cell]:
    """The code cells after running them in a fresh kernel, some with other sources."""
    nbclient = pytest.importorskip("nbclient", reason="the extra notebooks is not installed")
    nbformat = pytest.importorskip("nbformat", reason="the extra notebooks is not installed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    place = tmp_path / "place"
    place.mkdir()
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = sources.get(cell.id, cell.source)
    nbclient.NotebookClient(
        notebook, timeout=300, coalesce_streams=True, resources={"metadata": {"path": str(place)}}
    ).execute()
    assert not list(place.iterdir()), "files are left behind"
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.slow
@each_notebook
def test_running_it_prints_what_is_stored(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for new, stored in zip(executed(name, tmp_path, monkeypatch, {}), code_of(name), strict=True):
        assert varies(stored) or shown(new) == shown(stored), stored["id"]


def verdicts(cell: Cell) -> list[str]:
    """How each line begins that a check prints."""
    return re.findall(r"^(Right|Not yet|Your turn)\b", printed(cell), re.MULTILINE)


@pytest.mark.slow
@each_notebook
def test_solutions_are_right(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each exercise that waited for an answer is answered, and nothing else is judged otherwise."""
    cells = executed(name, tmp_path, monkeypatch, dict(answered(name)))
    for new, stored in zip(cells, code_of(name), strict=True):
        expected = ["Right" if one == "Your turn" else one for one in verdicts(stored)]
        assert verdicts(new) == expected, f"{stored['id']}: {printed(new)}"
