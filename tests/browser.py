"""A real browser for tests, which are skipped where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's chromium, driven by Playwright."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, file: Path, address: str = "", **context: Any) -> Iterator[Any]:
    """A file in a tab of its own, in which nothing may go wrong and nothing may be fetched."""
    settings = {"viewport": {"width": 1280, "height": 800}, **context}
    tab = browser.new_context(**settings)
    page = tab.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    page.on("request", lambda request: wrong.append(f"request: {request.url}"))
    page.goto(f"{file.as_uri()}{address}")
    assert wrong.pop(0) == f"request: {file.as_uri()}"  # without the address's part after #
    yield page
    tab.close()
    assert not wrong, wrong
