"""Drives the real Neo4j Browser in headless Chromium: log in, paste, look at the graph, take a picture."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from playwright.sync_api import Locator, Page, Playwright, expect, sync_playwright

__all__ = ["Frame", "Neo4jBrowser", "chromium", "opened"]

_FLAGS = (
    "--no-sandbox",  # root, in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_MS = 90_000


def chromium(playwright: Playwright) -> str | None:
    """The Chromium that is installed, else Playwright's own, else ``None``."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = which(name)
        if found:
            return found
    own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@dataclass(frozen=True)
class Frame:
    """What Neo4j Browser shows for one pasted text."""

    panel: Locator

    def nodes(self) -> int:
        """How many nodes are drawn; waits for the first.

        Raises:
            AssertionError: no graph appears; the message holds what the frame says instead.
        """
        drawn = self.panel.locator("g.node")
        try:
            drawn.first.wait_for(state="visible", timeout=_PATIENCE_MS)
        except Exception as error:
            raise AssertionError(f"Neo4j Browser draws no graph: {self.panel.inner_text()[-600:]}") from error
        return drawn.count()

    def relationships(self) -> int:
        """How many relationships are drawn now."""
        return self.panel.locator("g.relationship").count()

    def fill_window(self) -> None:
        """Give the frame the whole window."""
        self.panel.get_by_title("Fullscreen").click()


@dataclass(frozen=True)
class Neo4jBrowser:
    """A page of Neo4j Browser that is logged in."""

    page: Page

    def paste(self, text: str) -> Frame:
        """Paste ``text`` into the editor as a person does, run it, and return the frame that appears."""
        frames = self.page.get_by_test_id("frame")
        before = frames.count()
        self.page.get_by_test_id("activeEditor").click()
        self.page.evaluate("text => navigator.clipboard.writeText(text)", text)
        self.page.keyboard.press("Control+V")
        self.page.get_by_test_id("editor-Run").click()
        expect(frames).to_have_count(before + 1, timeout=_PATIENCE_MS)
        return Frame(frames.first)

    def use_style(self, grass: str) -> None:
        """Load a style sheet (the text of a ``.grass`` file) with the command ``:style``."""
        blocks = re.findall(r"([\w.]+)\s*\{((?:[^{}]|\{\w+\})*)\}", grass)
        style = {name: dict(re.findall(r'([\w-]+):\s*"?([^;"]*)"?;', body)) for name, body in blocks}
        self.paste(f":style {json.dumps(style)}")


@contextmanager
def opened(
    address: str, uri: str, username: str, password: str, window: tuple[int, int] = (1400, 1000)
) -> Iterator[Neo4jBrowser]:
    """Neo4j Browser at ``address`` (``http://127.0.0.1:7474/browser/``), logged in to ``uri`` (``bolt://...``)."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        context = playwright.chromium.launch_persistent_context(
            folder,
            executable_path=chromium(playwright),
            headless=True,
            args=list(_FLAGS),
            viewport={"width": window[0], "height": window[1]},
        )
        try:
            context.grant_permissions(["clipboard-read", "clipboard-write"])
            context.set_default_timeout(_PATIENCE_MS)
            page = context.pages[0]
            page.goto(address)
            scheme, host = uri.split("://")
            page.get_by_test_id("bolt-scheme-select").select_option(f"{scheme}://")
            page.get_by_test_id("boltaddress").fill(host)
            page.get_by_test_id("username").fill(username)
            page.get_by_test_id("password").fill(password)
            page.get_by_test_id("connect").click()
            page.get_by_test_id("boltaddress").wait_for(state="detached")
            yield Neo4jBrowser(page)
        finally:
            context.close()
