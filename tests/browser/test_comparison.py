"""The page of ``cnngraph compare`` in Chromium: it loads nothing, folds, prints, and shows in red what was removed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cnngraph as cg
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import apply
from cnngraph.surgery.saved import SavedFacts, save

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser, Page, expect  # noqa: E402

pytestmark = pytest.mark.browser

RED = "rgb(192, 57, 43)"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page about a narrow LeNet and what is left of it without a layer."""
    folder = tmp_path_factory.mktemp("pages")
    net = build("cnngraph:lenet5", classes=10, in_channels=1, width=0.5, seed=0).eval()
    digits = tuple(str(digit) for digit in range(10))
    data = {"data": {"name": "digits", "images_per_class": 4}}
    facts = SavedFacts(Preprocessing(size=(32, 32), channels=1), digits, "digits", data)
    save(net, folder / "whole", facts)
    slim = apply(cg.load(folder / "whole"), Plan(removes=(Removal(layer="features.3"),)), input_shape=(1, 32, 32))
    save(slim, folder / "slim", facts)
    how = {"similarity": "cka", "all_pairs": True, "device": "cpu"}
    cg.compare(folder / "whole", folder / "slim", out=folder / "page.html", **how)
    return folder / "page.html"


def visit(browser: Browser, file: Path, *, scripts: bool = True, width: int = 1200) -> tuple[Page, list[str]]:
    """The open page, and every fault and request beside its own file."""
    context = browser.new_context(java_script_enabled=scripts, viewport={"width": width, "height": 900})
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith(("data:", file.as_uri())) else faults.append(one.url))
    page.goto(file.as_uri())
    return page, faults


def test_it_shows_in_red_what_was_removed_and_loads_nothing(browser: Browser, file: Path) -> None:
    page, faults = visit(browser, file)
    gone = page.locator(".line.gone .box.a")
    expect(gone).to_have_count(2)
    expect(gone.first).to_contain_text("features.3")
    assert gone.first.evaluate("one => getComputedStyle(one).borderTopColor") == RED
    expect(page.locator(".line.gone .box.none").first).to_have_text("removed")
    values = page.locator(".like[title]").all_inner_texts()
    assert values and all(re.match(r"0\.\d{3}|1\.000|-0\.\d{3}", value.strip()) for value in values)
    expect(page.locator("svg.heat rect").first).to_be_visible()
    expect(page.locator("svg.curve circle.value").first).to_be_visible()
    for picture in page.locator(".pictures img").all():
        assert picture.evaluate("one => one.naturalWidth") > 0
    folds = page.locator("#nets details")
    page.get_by_role("button", name="Fold all", exact=True).click()
    assert page.locator("#nets details[open]").count() == 0
    folds.first.locator("summary").click()
    assert page.locator("#nets details[open]").count() == 1
    page.get_by_role("button", name="Unfold all").click()
    assert page.locator("#nets details[open]").count() == folds.count()
    assert faults == []
    page.context.close()


def test_without_scripts_and_on_a_narrow_screen(browser: Browser, file: Path) -> None:
    page, faults = visit(browser, file, scripts=False, width=420)
    expect(page.get_by_role("button", name="Fold all", exact=True)).to_be_hidden()
    expect(page.locator(".line.gone .box.a").first).to_be_visible()
    first = page.locator("#nets details").first
    assert first.get_attribute("open") is not None
    first.locator("summary").click()
    assert first.get_attribute("open") is None
    assert faults == []
    page.context.close()


def test_nothing_is_wider_than_a_narrow_screen_and_print_unfolds(browser: Browser, file: Path) -> None:
    page, _ = visit(browser, file, width=420)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    page.get_by_role("button", name="Fold all", exact=True).click()
    page.pdf()
    assert page.locator("details:not([open])").count() == 0
    page.context.close()
