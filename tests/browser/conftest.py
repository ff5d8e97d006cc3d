"""One Chromium for the tests of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def give_up(reason: str) -> NoReturn:
    """Skip, or fail where a browser was promised."""
    if os.environ.get("CNNGRAPH_REQUIRE_BROWSER") == "1":
        pytest.fail(f"CNNGRAPH_REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from tests.browser.neo4j_browser import chromium

    with playwright.sync_playwright() as found:
        path = chromium(found)
        if path is None:
            give_up("there is no Chromium: install one, or run: playwright install chromium")
        opened = found.chromium.launch(executable_path=path, headless=True)
        yield opened
        opened.close()
