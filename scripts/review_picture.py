"""Takes the picture of docs/review.md: the page on which a person judges filters, in headless Chromium.

python -m scripts.review_picture MODEL [--layer features.3] [--out docs/images/review.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

from cnngraph.api.graph import Graph
from cnngraph.settings import load_settings
from tests.browser.neo4j_browser import chromium
from tests.browser.review_page import served, visit


def main() -> None:
    """Open the page on one filter and save what the window shows; nothing is decided."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--layer", default="features.3")
    parser.add_argument("--out", type=Path, default=Path("docs/images/review.png"))
    chosen = parser.parse_args()
    with Graph.open(load_settings()) as graph, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(playwright), headless=True)
        context = browser.new_context(viewport={"width": 1200, "height": 860})
        with served(graph.session(), chosen.model, by="picture") as site:
            page = visit(context, site)
            page.goto(f"{site.origin}/layer/{chosen.layer}/filter/1")
            page.locator("#lens img").first.wait_for()
            page.wait_for_load_state("networkidle")
            chosen.out.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=chosen.out)
        browser.close()


if __name__ == "__main__":
    main()
