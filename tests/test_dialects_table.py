"""The README's table of words: generated, and true of the signatures."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from convref import layers
from convref.dialects.table import DIALECTS, IDEAS, Idea, markdown
from convref.spec import Words
from convref.weighted import Settings


def test_it_stands_in_the_readme() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert markdown() in readme


@pytest.mark.parametrize("name", DIALECTS)
def test_words_are_those_of_the_signatures(name: str) -> None:
    called = getattr(import_module(f"convref.dialects.{name}"), DIALECTS[name])
    known = inspect.signature(called).parameters
    assert [
        idea.convref for idea in IDEAS if (word := getattr(idea, name)) and word not in known
    ] == []


def test_words_of_convref() -> None:
    known = {
        *inspect.signature(layers.Conv2d).parameters, *Words.__annotations__,
        *Settings.__annotations__,
    }  # fmt: skip
    assert {idea.convref for idea in IDEAS} <= known


def test_every_dialect_has_a_column() -> None:
    assert Idea._fields[1:-1] == tuple(DIALECTS)
