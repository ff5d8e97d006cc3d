"""The section of the page about filters: order, markup, the curve."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnngraph.jobs.filter_pictures import count_selective
from cnngraph.plan import Plan, Removal
from cnngraph.reporting.filters import FilterPictures, LayerPictures, ShownFilter, filters_in_order
from cnngraph.reporting.page import PageContent, write_page
from cnngraph.reporting.plots import plot_curve, plot_trained_steps

FIGURES = {"accuracy": 0.9, "images": 100, "images_from": None}
RESULT: dict[str, Any] = {
    "before": FIGURES,
    "after": FIGURES,
    "control": None,
    "verified": {"train_forward": True, "save_load": True, "export": True, "max_abs_diff": 0.0},
}


def plan(**settings: Any) -> Plan:
    removes = (
        Removal(layer="a", kind="filters", filters=(0, 2, 5), scores=(0.1, 0.0, 0.1)),
        Removal(layer="<b>", kind="filters", filters=(1, 3)),
    )
    return Plan(method="car", removes=removes, settings=settings)


def steps(*rows: tuple[str, list[int], float]) -> list[dict[str, Any]]:
    return [{"layer": layer, "filters": filters, "car": 0.0, "accuracy": left} for layer, filters, left in rows]


def test_filters_stand_in_the_order_of_the_steps_then_of_their_scores() -> None:
    assert filters_in_order(plan()) == {"a": [2, 0, 5], "<b>": [1, 3]}
    known = plan(steps=steps(("a", [5], 0.9), ("a", [0], 0.8), ("a", [7], 0.8), ("<b>", [3], 0.7)))
    assert filters_in_order(known) == {"a": [5, 0, 2], "<b>": [3, 1]}  # 2 and 1 went along with others


def test_colours_are_counted_of_the_first_twenty() -> None:
    scores = np.zeros(40)
    scores[:10] = 0.9
    scores[39] = np.nan
    found = count_selective("a", "weights", scores, [39, *range(25)], 0.75)
    assert (found.filters, found.selective, found.first, found.selective_of_first) == (40, 10, 20, 10)
    assert "by chance it would be 5.0 of the first" in found.words


def test_the_curve_has_a_point_a_step_and_is_left_out_without_steps() -> None:
    assert plot_curve(plan()) == ""
    drawn = plot_curve(plan(baseline=0.9, steps=steps(("a", [5], 0.9), ("<b>", [3], 0.7), ("a", [0], 0.6))))
    assert drawn.startswith("<svg")
    assert "filters gone" in drawn
    assert "<b>" not in drawn
    assert drawn == plot_curve(plan(baseline=0.9, steps=steps(("a", [5], 0.9), ("<b>", [3], 0.7), ("a", [0], 0.6))))


def test_a_prune_that_trained_between_its_steps_has_a_table_and_a_curve_of_its_own(tmp_path: Path) -> None:
    removes = (
        Removal(layer="a", kind="filters", filters=(0, 2, 5), scores=(0.1, 0.0, 0.1), steps=(1, 2, 1)),
        Removal(layer="b", kind="filters", filters=(1, 3), scores=(0.5, 0.3), steps=(2, 2)),
    )
    before = {"accuracy": 0.9, "kappa": 0.8}
    known = [{"number": n, "layer": layer, "filters": 2} for n, layer in ((1, "a"), (2, "b"))]
    settings = {"before": before, "trained_steps": known, "widths": {"a": 8, "b": 4}, "ratio": 0.5}
    made = Plan(method="progressive", measure="l1", removes=removes, settings=settings)
    assert filters_in_order(made) == {"a": [0, 5, 2], "b": [3, 1]}
    assert filters_in_order(made.model_copy(update={"measure": "person"}))["b"] == [1, 3]
    assert plot_curve(made) == ""
    told = [one | {"accuracy": 0.85, "kappa": 0.8, "trained_parameters": 1234} for one in known]
    drawn = plot_trained_steps(made, told)
    assert "filters left" in drawn
    assert plot_trained_steps(made, ()) == ""  # of another model that the same decision made at once
    for mine in (told, []):
        content = PageContent("x", made, RESULT | {"steps": mine}, "fine")
        html = write_page(tmp_path / "page.html", content).read_text(encoding="utf-8")
        assert "ratio 0.5." in html
        assert ("1,234" in html, "filters left" in html) == (bool(mine), bool(mine))


@pytest.mark.parametrize("missing", ["", 'Not known yet: cnngraph report "x" --pictures'])
def test_the_page_is_one_file_of_safe_markup(tmp_path: Path, missing: str) -> None:
    shown = [ShownFilter(5, [b"png"]), ShownFilter(0, [])]
    layers = [LayerPictures("<b>", 2, 6, "" if missing else "their weights", shown, shown[:1], "<i>", missing)]
    content = PageContent("<x>", plan(), RESULT, "fine", filters=FilterPictures(layers, "a & b"))
    html = write_page(tmp_path / "page.html", content).read_text(encoding="utf-8")
    assert "<b>" not in html
    assert "<i>" not in html
    assert "&lt;b&gt;: 2 of 6 went" in html
    assert "a &amp; b" in html
    pictures = re.findall(r'<img src="([^"]*)"', html)
    assert pictures == ([] if missing else ["data:image/png;base64,cG5n"] * 2)
    assert ("nothing excites it" in html) != bool(missing)
    assert ("--pictures" in html) == bool(missing)
