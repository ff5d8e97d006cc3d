"""Takes the README's picture: a saved query of one model in the real Neo4j Browser.

python -m scripts.browser_picture MODEL [--query overview] [--out docs/images/browser.png]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from cnngraph.database import cypher, queries
from cnngraph.database.embedded import server
from cnngraph.settings import load_settings, split_key
from tests.browser.neo4j_browser import opened

SETTLE_SECONDS = 12  # until the layout of the graph stands still


def main() -> None:
    """Log in to the embedded server's Browser, style it, paste the query, and save what the window shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--query", default="overview")
    parser.add_argument("--out", type=Path, default=Path("docs/images/browser.png"))
    chosen = parser.parse_args()
    settings = load_settings()
    running = server.up(settings)
    text = queries.query_text(chosen.query, split_key(chosen.model, settings.owner), {})
    login = (f"{running.http}/browser/", running.uri, running.username, running.password)
    with opened(*login, window=(1400, 900)) as browser:
        browser.use_style((cypher.folder() / "style.grass").read_text(encoding="utf-8"))
        frame = browser.paste(text)
        frame.fill_window()
        print(f"{frame.nodes()} nodes, {frame.relationships()} relationships")
        time.sleep(SETTLE_SECONDS)
        browser.page.get_by_label("zoom-to-fit").click()
        time.sleep(2)
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        browser.page.screenshot(path=chosen.out)


if __name__ == "__main__":
    main()
