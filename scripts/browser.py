"""Find a browser for the tests: one that is there, else Playwright's own; without either the tests skip and say why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from shutil import which


def main() -> None:
    """Install Playwright's Chromium (into the user's cache, no root) unless some Chromium is there."""
    if any(which(name) for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")):
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        if Path(playwright.chromium.executable_path).exists():
            return
    print("No Chromium found: fetching Playwright's (about 170 MB, into the user's cache).", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "playwright", "install", "chromium"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ,
    )
    if done.returncode:
        print("Playwright's Chromium cannot be fetched here: the browser tests will be skipped.", flush=True)


if __name__ == "__main__":
    main()
