"""Takes the pictures of docs/compare.md and docs/bench.md: the page that a command wrote, in headless Chromium.

cnngraph compare A B --all-pairs --out changes.html
python -m scripts.page_picture changes.html --heading "Layer by layer" --out docs/images/compare.png

cnngraph bench N --budget macs=0.5 --seeds 3 --out bench.html
python -m scripts.page_picture bench.html --heading macs=0.5 --out docs/images/bench.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.neo4j_browser import chromium


def main() -> None:
    """Open the page at a heading and save what the window shows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--heading", required=True)
    parser.add_argument("--height", type=int, default=1180)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(playwright), headless=True)
        page = browser.new_page(viewport={"width": 1120, "height": chosen.height})
        page.goto(chosen.page.resolve().as_uri())
        page.get_by_role("heading", name=chosen.heading, exact=True).evaluate("heading => heading.scrollIntoView()")
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=chosen.out)
        browser.close()


if __name__ == "__main__":
    main()
