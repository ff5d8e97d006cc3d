"""Takes the picture of docs/compare.md: the page of a comparison, in headless Chromium.

cnngraph compare A B --all-pairs --out changes.html; python -m scripts.compare_picture changes.html
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.neo4j_browser import chromium


def main() -> None:
    """Open the page at its diagram and save what the window shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images/compare.png"))
    chosen = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(playwright), headless=True)
        page = browser.new_page(viewport={"width": 1120, "height": 1180})
        page.goto(chosen.page.resolve().as_uri())
        page.get_by_role("heading", name="Layer by layer").evaluate("heading => heading.scrollIntoView()")
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=chosen.out)
        browser.close()


if __name__ == "__main__":
    main()
