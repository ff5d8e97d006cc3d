"""docs/compare.md as it stands; what the graph then holds, what the page shows, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database.writer import write_network
from tests.forge import Forge
from tests.pages import carry_out
from tests.synthetic import small_network

pytestmark = pytest.mark.db
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def page(command: Run, forge: Forge, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page was carried out."""
    folder = tmp_path_factory.mktemp("compare")
    carry_out("docs/compare.md", folder, command, forge)
    return folder


def comparisons(database: Any) -> list[dict[str, Any]]:
    return [
        row["c"]
        for row in database.read(
            "MATCH (c:Comparison) WHERE c.a = 'tester/compared' RETURN c {.*} AS c ORDER BY c.createdAt"
        )
    ]


def test_the_graph_holds_each_comparison_once(command: Run, page: Path, database: Any) -> None:
    known = comparisons(database)
    assert [(one["similarity"], one["allPairs"]) for one in known] == [("svcca", True), ("cka", False)]
    assert {(one["b"], one["owner"], one["part"], one["seed"]) for one in known} == {
        ("tester/compared-slim", "tester", "train", 0)
    }
    again = command("compare", "compared-slim", "--similarity", "cka", "--json", cwd=page)
    assert again.code == 0, again.err
    assert again.json["key"] == known[1]["key"]
    assert comparisons(database) == known
    similar = database.read(
        "MATCH (x:Layer)-[s:SIMILAR {comparison: $key}]->(y:Layer) WHERE x.model = 'tester/compared' "
        "RETURN x.layer AS layer_a, y.layer AS layer_b, s.value AS value, s.null AS null, s.matchedBy AS matched_by, "
        "s.points AS points, s.images AS images, s.estimator AS estimator ORDER BY x.index",
        key=known[1]["key"],
    )
    kept = ("layer_a", "layer_b", "matched_by", "points", "images", "estimator")
    rows = again.json["layers"]
    assert [{name: row[name] for name in kept} for row in similar] == [
        {name: row[name] for name in kept} for row in rows
    ]
    assert [row["value"] for row in similar] == pytest.approx([row["value"] for row in rows])
    assert {row["matched_by"] for row in rows} == {"survives_as"}
    assert again.json["made_of_a"]
    assert "features.4" in again.json["unmatched"]["a"]


def test_the_saved_queries_and_the_dry_run(command: Run, page: Path, database: Any) -> None:
    rows = command("query", "similar-layers", "--model", "compared-slim", "--json").json["rows"]
    assert {row["similarity"] for row in rows} == {"cka"}  # the last one
    assert [row["layer"] for row in rows] == [row["other_layer"] for row in rows]
    (worst,) = command("query", "least-similar", "--model", "compared", "--param", "top=1", "--json").json["rows"]
    assert worst["value"] == min(one["least"] for one in comparisons(database))
    dry = command("compare", "compared", "compared-slim", "--all-pairs", "--dry-run", "--json", cwd=page).json
    assert dry["would_write"]["comparisons"] == 1
    stored = database.read(
        "MATCH ()-[s:SIMILAR {comparison: $key}]->() RETURN count(s) AS n", key=comparisons(database)[0]["key"]
    )
    assert dry["would_write"]["similar"] == stored[0]["n"]
    assert len(comparisons(database)) == 2


def test_the_page_shows_what_was_removed(page: Path) -> None:
    html = (page / "changes.html").read_text(encoding="utf-8")
    gone = re.findall(r'class="line gone">\s*<div class="box a"><span class="name">([^<]*)', html)
    assert gone == ["features.3", "features.4"]
    assert 'class="heat"' in html
    assert 'class="curve"' in html
    assert html.count("data:image/png;base64,") > 0
    assert not re.search(r'(?:src|href)="(?!data:)', html)


def test_a_name_beside_a_folder_is_not_stored(command: Run, page: Path, database: Any) -> None:
    before = len(comparisons(database))
    done = command("compare", "compared", "second", "--similarity", "cka", "--json", cwd=page)
    assert done.code == 0, done.err
    assert (done.json["key"], done.json["a"]["model"], done.json["b"]["model"]) == (None, "tester/compared", None)
    assert {row["matched_by"] for row in done.json["layers"]} == {"name"}
    assert len(comparisons(database)) == before
    same = command("compare", "compared", "first", "--json", "--similarity", "cka", cwd=page)
    assert same.code == 0  # one model under two names
    assert any("same weights" in note for note in same.json["notes"])
    assert same.json["mean"] == pytest.approx(1)


def test_somebody_elses_model_is_compared_under_ones_own_key(command: Run, page: Path, database: Any) -> None:
    done = command("--owner", "grace", "compare", "tester/compared-slim", "--similarity", "cka", "--json", cwd=page)
    assert done.code == 0, done.err
    assert done.json["key"].startswith("grace/compare/")
    assert {one["owner"] for one in comparisons(database)} == {"tester", "grace"}
    database.write("MATCH (c:Comparison {owner: 'grace'}) DETACH DELETE c")
    database.write("MATCH ()-[s:SIMILAR]->() WHERE s.comparison STARTS WITH 'grace/' DELETE s")


def test_what_is_refused(command: Run, page: Path, database: Any) -> None:
    bare = write_network(database, small_network(0), "compared-bare")["model"].split("/")[-1]
    low = command("compare", "first", "second", "--similarity", "cka", "--at-least", 1, "--json", cwd=page)
    assert low.code == 5
    assert low.json["at_least"]["failed"]
    assert re.search(r"7 of 7 pairs of layers do not reach 1: features\.1 0\.\d+, .*--out", low.err, re.DOTALL)
    cases = [
        (("compare", "compared"), 3, "was not made of another model"),
        (("compare", "compared", "compare"), 3, "Did you mean compared"),
        (("compare", "compared", "./absent"), 3, "no saved model"),
        (("compare", "compared", "tester/compared"), 2, "named twice"),
        (("compare", "first", "./first"), 2, "named twice"),
        (("compare", "first"), 2, "Name both"),
        (("compare", "compared", bare), 1, "saved"),
        (("compare", "first", "second", "--images", 100), 1, "121 for classifier.1"),
    ]
    before = comparisons(database)
    for arguments, code, said in cases:
        done = command(*arguments, cwd=page)
        assert (done.code, said in done.err) == (code, True), (arguments, done.code, done.err)
    assert comparisons(database) == before
