"""The README's examples: run in order, and what they print is what stands there."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)


def test_python_blocks_print_what_the_text_blocks_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names, printed, expected = {}, io.StringIO(), ""
    for language, block in BLOCKS:
        if language == "python":
            with contextlib.redirect_stdout(printed):
                exec(block, names)
        elif language == "text":
            expected += block
    assert printed.getvalue() == expected
    assert expected


def test_the_first_example_has_five_lines():
    first = next(block for language, block in BLOCKS if language == "python")
    assert sum(map(bool, first.splitlines())) == 5


def test_the_two_commands_are_shell_blocks_of_one_line():
    commands = [block for language, block in BLOCKS if language == "sh"]
    assert len(commands) == 2
    assert all(len(command.splitlines()) == 1 for command in commands)
    assert "convref verify" in commands[0]
    assert "pytest" in commands[1]


def test_links_lead_somewhere():
    text = README.read_text()
    targets = re.findall(r"\]\((?!https?:)([^)]+)\)", text)
    assert targets
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", title).replace(" ", "-").lower() for title in headings}
    for target in targets:
        assert target in anchors or (README.parent / target).exists(), target
