"""The best scheme of a block, and the part of a page about blocks."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cnngraph.reporting.criticality import NewFilters, find_best, make_section, write_blocks_page


def trial(
    block: str, scheme: str, *curve: float, seed: int = 0, epochs: int | None = None, **more: Any
) -> dict[str, Any]:
    budget = '{"epochs": 2, "judged_on": 100, "trained_on": 300}'
    known = {"block": block, "scheme": scheme, "seed": seed, "curve": list(curve), "accuracy": max(curve)}
    known |= {"value": 0.9 - max(curve), "parent_accuracy": 0.9, "parameters_saved": 1234, "macs_saved": 5678}
    known |= {"budget": budget, "created_at": datetime(2026, 1, 1, tzinfo=UTC), "kind": "residual"}
    return known | ({} if epochs is None else {"epochs_to_95": epochs}) | more


def test_of_several_seeds_the_mean_counts_and_the_slowest_says_how_soon() -> None:
    lucky = [trial("a", "tuned", 0.1, 0.9, epochs=1), trial("a", "tuned", 0.1, 0.5, seed=1)]
    steady = [trial("a", "fitted", 0.8, 0.86, epochs=1), trial("a", "fitted", 0.8, 0.8, 0.88, seed=1, epochs=2)]
    found = find_best([*lucky, *steady])
    assert (found["best_scheme"], found["epochs_to_95"]) == ("fitted", 2)
    assert found["criticality"] == pytest.approx(0.03)
    assert find_best(lucky)["epochs_to_95"] is None  # one of them never gets there
    assert set(find_best([]).values()) == {None}


def test_equal_schemes_go_by_name_and_what_failed_does_not_count() -> None:
    equal = [trial("a", "tuned", 0.8), trial("a", "join", 0.8)]
    assert find_best(equal)["best_scheme"] == find_best(equal[::-1])["best_scheme"] == "join"
    failed = trial("a", "fitted", 0.89, failed="the loss became NaN")
    assert find_best([*equal, failed])["best_scheme"] == "join"
    section = make_section("ada/net", [*equal, failed], {})
    assert section is not None
    assert section.blocks[0]["best_scheme"] == "join"
    assert section.note == "Trainings that failed and are left out: 1."


def test_other_temperatures_are_other_schemes() -> None:
    cold = trial("a", "distill", 0.1, 0.6, temperature=1.0, alpha=0.5)
    warm = trial("a", "distill", 0.1, 0.8, temperature=4.0, alpha=0.5)
    assert find_best([cold, warm])["accuracy"] == 0.8


def test_the_section_is_about_the_last_budget() -> None:
    old = trial("a", "join", 0.2, budget='{"epochs": 1, "judged_on": 1, "trained_on": 1}')
    old["created_at"] = datetime(2025, 1, 1, tzinfo=UTC)
    section = make_section(
        "ada/net", [old, trial("a", "tuned", 0.5, 0.8), trial("b", "tuned", 0.9, 0.91, epochs=0)], {}
    )
    assert section is not None
    assert [(block["block"], block["best_scheme"]) for block in section.blocks] == [("a", "tuned"), ("b", "tuned")]
    assert section.sentence == "a is missed most: +10.0 points of accuracy by the best scheme; b least: -1.0."
    assert "the accuracy of the net, 0.9000" in section.judged
    assert "100 validation images" in section.judged
    assert section.note == ""
    assert make_section("ada/net", [], {}) is None


def test_a_net_that_is_better_without_each_block_misses_none() -> None:
    trials = [trial("a", "tuned", 0.93), trial("b", "tuned", 0.91), trial("b", "join", 0.2)]
    section = make_section("ada/net", trials, {})
    assert section is not None
    assert section.sentence == (
        "No block is missed: without b the net gains least, 1.0 points of accuracy by the best scheme; "
        "without a most: 3.0."
    )
    assert section.note == "Not all blocks were tried by the same schemes: a block with more of them had more chances."


def test_the_page_stands_alone(tmp_path: Path) -> None:
    trials = [trial("<a>", "parent-local", 0.5, 0.8, epochs=1), trial("b", "join", 0.9, epochs=0)]
    filters = {"<a>": [NewFilters("parent-local", "layer1.conv1", 20, ["UE5H", "UE5H"])]}
    section = make_section("ada/net", trials, filters)
    assert section is not None
    html = write_blocks_page(tmp_path / "page.html", section).read_text(encoding="utf-8")
    assert html.count("<svg") == 3  # all blocks, and the curves of each
    assert html.count('src="data:image/png;base64,UE5H"') == 2
    assert "the first 2 of 20 filters of layer1.conv1" in html
    assert "<td>&lt;a&gt;</td>" in html
    assert '<td class="n">1,234</td>' in html
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)  # nothing from outside
    without = make_section("ada/net", trials, {})
    assert without is not None
    assert "Pictures of the learned filters are kept where the trials ran." in without.note
