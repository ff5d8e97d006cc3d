"""The page of ``cnngraph bench`` in Chromium: it loads nothing, names cover nothing, and it prints whole."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from cnngraph.reporting.bench import write_bench
from tests.benches import bench_result, full_result, point
from tests.browser.test_comparison import visit

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser, Locator, expect  # noqa: E402

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight methods, three seeds, two budgets, and a third one from before."""
    return write_bench(tmp_path_factory.mktemp("pages") / "full.html", full_result())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One method, one seed, no control."""
    result = bench_result([point("car", "macs=0.5", 0)], ["macs=0.5"])
    return write_bench(tmp_path_factory.mktemp("pages") / "small.html", result)


def boxes(found: Locator) -> list[Any]:
    """Where the elements stand on the screen."""
    return [box for each in found.all() if (box := each.bounding_box()) is not None]


def meet(a: Any, b: Any) -> bool:
    """Whether two boxes share more than the white edge of a name."""
    across = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
    down = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
    return bool(across > 4 and down > 6)


def test_names_are_large_enough_and_cover_neither_each_other_nor_marks(browser: Browser, full: Path) -> None:
    page, faults = visit(browser, full)
    plots = page.locator("svg.bench")
    expect(plots).to_have_count(4)
    for plot in plots.all():
        names = boxes(plot.locator("text.name"))
        assert len(names) >= 6
        assert not [pair for pair in combinations(names, 2) if meet(*pair)]
        means = boxes(plot.locator("polygon", has=page.locator("title", has_text="mean of")))
        assert not [(name, mark) for name in names for mark in means if meet(name, mark)]
        frame = plot.bounding_box()
        assert frame is not None
        for text in boxes(plot.locator("text")):
            assert text["height"] >= 11
            assert frame["x"] <= text["x"]
            assert text["x"] + text["width"] <= frame["x"] + frame["width"]
    assert faults == []
    page.context.close()


def test_what_meets_its_budget_is_ranked_and_the_rest_is_marked(browser: Browser, full: Path) -> None:
    page, _ = visit(browser, full)
    first = page.locator("table.ranks").first
    assert first.locator("tr.met td:first-child").all_inner_texts() == [str(rank) for rank in range(1, 8)]
    expect(first.locator("tr.unmet")).to_have_count(1)
    expect(first.locator("tr.unmet")).to_contain_text("imp")
    expect(page.locator(".verdict").first).to_contain_text("Not ranked: imp")
    expect(page.locator("svg.bench circle.nonzero")).to_have_count(2)
    for table in page.locator("div.wide:has(table.ranks)").all():  # nothing is hidden at the usual width
        assert table.evaluate("one => one.scrollWidth <= one.clientWidth")
    page.context.close()


def test_a_print_shows_all_points(browser: Browser, full: Path) -> None:
    page, _ = visit(browser, full)
    expect(page.locator("table.points")).to_be_hidden()
    page.pdf()
    expect(page.locator("table.points tr")).to_have_count(1 + len(full_result()["points"]))
    expect(page.locator("table.points")).to_be_visible()
    page.context.close()


def test_without_scripts_and_on_a_narrow_screen(browser: Browser, full: Path, small: Path) -> None:
    for file in (full, small):
        page, faults = visit(browser, file, scripts=False, width=420)
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        expect(page.locator("svg.bench").first).to_be_visible()
        page.locator("summary").click()
        assert faults == []
        page.context.close()


def test_the_smallest_bench_is_a_page_too(browser: Browser, small: Path) -> None:
    page, faults = visit(browser, small)
    expect(page.locator("svg.bench")).to_have_count(2)
    expect(page.locator("text.name")).to_have_text(["car", "car"])
    expect(page.locator(".verdict")).to_contain_text("Of one seed nothing can be said about spread")
    expect(page.locator("table.points")).to_be_visible()
    assert page.locator("svg.bench .spread, svg.bench .band").count() == 0
    assert faults == []
    page.context.close()
