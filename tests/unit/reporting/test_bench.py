"""The page of a bench: every figure on it is the JSON's, and what does not meet a budget is never ranked."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cnngraph.errors import OptionError
from cnngraph.reporting.bench import POINT_HEADS, point_rows, write_bench, write_files
from cnngraph.reporting.bench_rows import FIGURES, budget_in_words, in_order, ranked, read_rows, sentences
from tests.benches import bench_result, full_result, point

EVIL = "<script>alert('a & \"b\"')</script>"
BUDGET = "macs=0.5"


class Tables(HTMLParser):
    """The tables of a page: rows of cells, by the class of the table."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self._table, self._cell = "", False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._table = dict(attrs)["class"] or ""
        elif tag == "tr":
            self.rows.setdefault(self._table, []).append([])
        elif tag in ("td", "th"):
            self.rows[self._table][-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[self._table][-1][-1] += data


def tables(html: str) -> dict[str, list[list[str]]]:
    parser = Tables()
    parser.feed(html)
    return parser.rows


def seeds(method: str, *accuracies: float, budget: str = BUDGET, **said: Any) -> list[dict[str, Any]]:
    """A point a seed."""
    return [point(method, budget, seed, accuracy=value, **said) for seed, value in enumerate(accuracies)]


def said_of(*points: list[dict[str, Any]], **changes: Any) -> list[str]:
    return sentences(bench_result([one for group in points for one in group], [BUDGET], **changes))[BUDGET]


def test_every_figure_in_the_tables_is_the_jsons(tmp_path: Path) -> None:
    result = full_result()
    rows = tables(write_bench(tmp_path / "page.html", result).read_text(encoding="utf-8"))["ranks"]
    shown: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row[0] == "rank":  # a table begins: they stand in the order of the budgets
            budget = result["budgets"][len({key[1] for key in shown})]
        else:
            shown[row[1], budget] = row
    assert rows[0][3:] == [heading for _, heading, _ in FIGURES]
    for said in result["table"]:
        for budget in result["budgets"] if said["budget"] is None else [said["budget"]]:
            cells = shown[said["method"], budget][3:]
            for (key, _, form), cell in zip(FIGURES, cells, strict=True):
                mean, sd = said[key]["mean"], said[key]["sd"]
                assert cell == ("-" if mean is None else form.format(mean)) + (
                    f"± {form.format(sd)}" if sd is not None else ""
                )
    for budget in result["budgets"]:
        parent = shown["parent", budget][3:]
        assert parent == ["0.9583", "0.9537", "3.200", "-", "270,896", "-", "40,550,000", "-", "-"]


def test_all_points_of_all_budgets_stand_on_the_page(tmp_path: Path) -> None:
    result = full_result()
    html = write_bench(tmp_path / "page.html", result).read_text(encoding="utf-8")
    heads, *rows = tables(html)["points"]
    assert tuple(heads) == POINT_HEADS
    assert rows == point_rows(result)
    assert len(rows) == len(result["points"])
    assert {row[1] for row in rows} == {"macs=0.5", "speedup=2", "macs=0.25", "-"}
    first, shown = result["points"][0], dict(zip(heads, rows[0], strict=True))
    assert shown["accuracy"] == f"{first['accuracy']:.4f}"
    assert shown["recall"] == f"{first['recall']:.4f}"
    assert shown["parameters"] == f"{first['parameters']:,}"
    assert shown["budget met"] == "yes"
    assert shown["net in the graph"] == first["new_model"]


def test_what_does_not_meet_the_budget_has_no_rank(tmp_path: Path) -> None:
    points = seeds("car", 0.90, 0.91) + seeds("filters", 0.80, 0.81)
    points += seeds("imp", 0.99, 0.99, meets=False, why="it leaves the layers as they are")
    points += [
        point("triage", BUDGET, 0, accuracy=0.98),
        point("triage", BUDGET, 1, meets=False, why="no block is left"),
    ]
    points += seeds("scratch", 0.97, 0.97)
    result = bench_result(points, [BUDGET])
    assert [row.method for row in ranked(read_rows(result), BUDGET)] == ["car", "filters"]
    assert [(rank, row.method) for rank, row in in_order(read_rows(result), BUDGET)] == [
        (1, "car"),
        (2, "filters"),
        (None, "imp"),
        (None, "triage"),
        (None, "scratch"),
    ]
    html = write_bench(tmp_path / "page.html", result).read_text(encoding="utf-8")
    met = {row[1]: (row[0], row[2]) for row in tables(html)["ranks"]}
    assert met["car"] == ("1", "yes, 2 seeds")
    assert met["imp"] == ("-", "no, 2 seeds: it leaves the layers as they are")
    assert met["triage"] == ("-", "1 of 2 seeds: seed 1: no block is left")
    nothing = dict.fromkeys(("accuracy", "latency_ms", "parameters"), None)
    points += [
        point("similarity", BUDGET, seed, meets=False, why="odd", **({} if seed else nothing)) for seed in range(2)
    ]
    (row,) = (one for one in read_rows(bench_result(points, [BUDGET])) if one.method == "similarity")
    assert row.met_in_words == "no, 2 seeds, 1 of them gave a net: odd"
    (row,) = read_rows(bench_result(seeds("triage", 0.9, 0.8, 0.7), [BUDGET], seed=1, seeds=2))
    assert row.nets == 2  # the seed that was made before and not asked for now does not count
    (row,) = read_rows(bench_result(seeds("triage", 0.9, 0.8, why="two blocks were spared"), [BUDGET]))
    assert row.met_in_words == "yes, 2 seeds: two blocks were spared"
    assert met["scratch"] == ("-", "2 seeds")
    said = sentences(result)[BUDGET]
    assert said[0] == "macs=0.5: car is best of the 2 methods that can be ranked (accuracy 0.9050 ± 0.0071, 2 seeds)."
    assert (
        "Not ranked: imp (it leaves the layers as they are); "
        "triage (1 of 2 seeds meets the budget, seed 1: no block is left)." in said
    )


def test_what_was_trained_for_longer_or_is_not_all_made_has_no_rank(tmp_path: Path) -> None:
    points = (
        seeds("progressive", 0.99, 0.99, epochs=1, why="a step takes one")
        + seeds("car", 0.90, 0.91)
        + seeds("filters", 0.95)
    )
    points[1]["epochs"] = 12  # a mean of 6.5, but one was trained for longer
    result = bench_result(points + seeds("scratch", 0.9, 0.9, epochs=20), [BUDGET])
    rows = {row.method: row for row in read_rows(result)}
    assert [row.method for row in ranked(read_rows(result), BUDGET)] == ["car"]
    assert rows["progressive"].met_in_words == "yes, 2 seeds, no rank: a step takes one"
    assert rows["filters"].met_in_words == "yes, 1 seed of the 2 so far"
    assert rows["scratch"].met_in_words == "2 seeds"
    said = sentences(result)[BUDGET]
    assert said[0].startswith("macs=0.5: only car can be ranked")
    assert (
        said[-1] == "Not ranked: progressive (trained for 12 epochs, the others for 5); filters (1 of 2 seeds so far)."
    )
    html = write_bench(tmp_path / "page.html", result).read_text(encoding="utf-8")
    assert {row[1]: row[0] for row in tables(html)["ranks"]} == {
        "method": "rank",
        "parent": "-",
        "car": "1",
        "progressive": "-",
        "filters": "-",
        "scratch": "-",
    }


def test_the_sentences_say_how_sure_the_order_is() -> None:
    wide = said_of(seeds("car", 0.90, 0.94, 0.98), seeds("filters", 0.89, 0.93, 0.97))
    assert (
        wide[1]
        == "Second is filters (0.9300 ± 0.0400): +1.00 points, within the spreads, so it is not sure which is better."
    )
    apart = said_of(seeds("car", 0.97, 0.97, 0.97), seeds("random", 0.50, 0.51, 0.52))
    assert apart[1] == "Second is random (0.5100 ± 0.0100): +46.00 points, beyond the spreads."
    few = said_of(seeds("car", 0.97, 0.97, 0.97), seeds("filters", 0.95, 0.95, 0.95))
    assert few[1].endswith(
        "+2.00 points, beyond the spreads, but within ±2.9 points, the uncertainty of 360 test images."
    )
    two = said_of(seeds("car", 0.97, 0.97), seeds("filters", 0.50, 0.50))
    assert two[1].endswith("beyond the spreads (of two seeds, which say little).")


def test_the_best_is_held_against_chance_the_net_from_scratch_and_the_control() -> None:
    points = seeds("car", 0.9, 0.9), seeds("filters", 0.8, 0.8), seeds("random", 0.7, 0.7), seeds("scratch", 0.6, 0.6)
    control = [point("control", None, seed, accuracy=0.9) for seed in range(2)]
    said = said_of(*points, control)
    assert (
        "Against random (0.7000 ± 0.0000): +20.00 points, beyond the spreads (of two seeds, which say little)." in said
    )
    assert any(one.startswith("Against a smaller net from scratch (0.6000 ± 0.0000): +30.00 points") for one in said)
    assert any(
        one.startswith("Against the control, unpruned and retrained for as long (0.9000 ± 0.0000): 0.00 points, within")
        for one in said
    )
    chance = said_of(seeds("random", 0.9, 0.9), seeds("car", 0.8, 0.8))
    assert chance[2] == "So no method is better than chance here."
    perhaps = said_of(seeds("random", 0.9, 0.8), seeds("car", 0.84, 0.84))
    assert perhaps[2] == "So it is not sure that any method is better than chance here."
    assert "chance here" not in " ".join(said_of(seeds("random", 0.9, 0.8)))


def test_of_one_seed_nothing_is_said_about_spread() -> None:
    said = said_of(seeds("car", 0.9), seeds("filters", 0.5))
    assert said[0] == "macs=0.5: car is best of the 2 methods that can be ranked (accuracy 0.9000, 1 seed)."
    assert said[1] == "Second is filters (0.5000): +40.00 points, of one seed, so it may be chance."
    assert said[2].startswith("Of one seed nothing can be said about spread")


def test_ties_one_method_and_none_are_said_as_what_they_are() -> None:
    assert said_of(seeds("car", 0.9), seeds("imp", 0.9))[0].startswith("macs=0.5: car and imp are equally good")
    assert said_of(seeds("car", 0.9))[0] == "macs=0.5: only car can be ranked (accuracy 0.9000, 1 seed)."
    none = said_of(
        seeds("car", 0.9, meets=False),
        seeds("imp", 0.9, meets=False, why="Zeros take nothing away: half are left. Or so."),
    )
    assert none == [
        "macs=0.5: no method can be ranked.",
        "Not ranked: car (does not meet the budget); imp (Zeros take nothing away).",
    ]


def test_without_figures_control_or_judged_images_it_is_still_a_page(tmp_path: Path) -> None:
    nothing: dict[str, Any] = dict.fromkeys(point("car", BUDGET, 0))
    failed = nothing | {"method": "car", "budget": BUDGET, "seed": 0, "meets": False, "why": "it ran out of memory"}
    result = bench_result(
        [failed],
        [BUDGET],
        judged_on={},
        parent={"accuracy": None},
        left=[{"method": "imp", "budget": BUDGET, "seed": 1, "why": "no memory"}],
    )
    html = write_bench(tmp_path / "page.html", result).read_text(encoding="utf-8")
    assert "no net has an accuracy yet" in html
    assert "Ended in an error: imp macs=0.5 seed 1 (no memory). The same command tries again." in html
    assert re.search(r"\bNone\b|\bnan\b|undefined", html) is None
    assert tables(html)["ranks"][2] == ["-", "car", "no, 1 seed: it ran out of memory", *["-"] * len(FIGURES)]


def test_the_page_says_how_it_was_measured(tmp_path: Path) -> None:
    html = write_bench(tmp_path / "page.html", full_result()).read_text(encoding="utf-8")
    assert "on 360 test images (split off), none of which it was trained on" in html
    assert "Every method and the control retrain for 5 epochs on 1,078 images" in html
    assert "(Intel Xeon, eager, batches of 1, x86_64, 2 cores, 2 threads)" in html
    assert "Each has 3 seeds, so figures are means ± standard deviations over the seeds." in html
    one = write_bench(tmp_path / "one.html", bench_result(seeds("car", 0.9), [BUDGET])).read_text(encoding="utf-8")
    assert "Each has 1 seed, so there is no spread." in one
    assert "The budget: 0.5 of the MACs of the whole net are to be left; up to 15 % more or less counts as met." in one


def test_hostile_names_are_text_and_nothing_comes_from_outside(tmp_path: Path) -> None:
    points = [point(EVIL, EVIL, 0), point(EVIL, EVIL, 1, meets=False, why=EVIL, new_model=EVIL)]
    html = write_bench(tmp_path / "page.html", bench_result(points, [EVIL], model=EVIL)).read_text(encoding="utf-8")
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert re.findall(r"""(?:src|href)=["']?[^"'> ]+""", html) == []
    assert "http" not in html


@pytest.mark.parametrize("folder", ["", "new/deeper"])
def test_a_page_takes_the_place_of_an_older_one(tmp_path: Path, folder: str) -> None:
    target = tmp_path / folder / "page.html"
    if not folder:
        target.write_text("older", encoding="utf-8")
    assert write_bench(target, full_result()) == target
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [path.name for path in target.parent.iterdir()] == ["page.html"]


def test_files_are_written_as_far_as_they_were_asked_for(tmp_path: Path) -> None:
    result = full_result()
    assert write_files(result) == {"page": None, "csv": None, "picture": None}
    names = {"out": tmp_path / "a.html", "csv": tmp_path / "a.csv", "picture": tmp_path / "a.SVG"}
    assert write_files(result, **names) == {
        "page": str(names["out"]),
        "csv": str(names["csv"]),
        "picture": str(names["picture"]),
    }
    assert all(path.stat().st_size > 1000 for path in names.values())
    with pytest.raises(OptionError, match=r"is no \.svg file"):
        write_files(result, out=tmp_path / "b.html", picture=tmp_path / "b.png")
    assert not (tmp_path / "b.html").exists()


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("macs=1000000", "1000000 MACs are to be left; up to 15 % more or less counts as met."),
        ("mb=0.5", "0.5 MB of weights are to be left; up to 15 % more or less counts as met."),
        ("macs=1e+12", "1e+12 MACs are to be left; up to 15 % more or less counts as met."),
        (
            "parameters=1e-05",
            "1e-05 of the parameters of the whole net are to be left; up to 15 % more or less counts as met.",
        ),
        ("odd=1", ""),
        ("macs=many", ""),
    ],
)
def test_a_budget_in_words(budget: str, said: str) -> None:
    assert budget_in_words(budget) == said
