"""What people decide on filters, in a real graph: appended, sent again, taken back, carried out, kept as a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cnngraph.api.graph import Graph
from cnngraph.database import catalogue
from cnngraph.database.connection import Database
from cnngraph.database.reviews import Binding, Choice, append, bind, read_log
from cnngraph.database.writer import WriteOptions, write_network
from cnngraph.errors import ConflictError, ModelError, NotFoundError, PlanError
from cnngraph.review.agreement import standing
from cnngraph.review.carried_out import dropped_filters
from cnngraph.settings import load_settings
from tests.synthetic import small_network

pytestmark = pytest.mark.db

Run = Callable[..., Any]


@pytest.fixture
def judged(database: Database) -> Iterator[Binding]:
    """A small net in the graph, without a saved model."""
    key = write_network(database, small_network(2), "judged", WriteOptions(yes=True), sha256="ab" * 32)["model"]
    yield bind(database, key)
    if catalogue.properties(database, key):
        catalogue.delete(database, key, yes=True)


@pytest.fixture(scope="module")
def lenet(command: Run, server: Any) -> str:
    """A narrow LeNet with its saved model, feature maps only."""
    arguments = ("--width", 0.5, "--data", "digits", "--view", "channels", "--images-per-class", 5)
    done = command("ingest", "cnngraph:lenet5", *arguments, "--name", "reviewed-lenet", "--json")
    assert done.code == 0, done.err
    return "reviewed-lenet"


def choice(number: int, decision: str = "drop", *, by: str = "ann", channel: int | None = None, **more: Any) -> Choice:
    """A choice on a filter of conv1."""
    return Choice(f"{by}-{number}", "conv1", number if channel is None else channel, decision, by, **more)


def take_back(undoes: str) -> Choice:
    return Choice("back", "conv1", 0, "undo", "ann", undoes=undoes)


def answers(database: Database, model: str) -> dict[tuple[int, str], str]:
    found = standing(read_log(database, model).choices)
    return {(channel, by): one.decision for (_, channel), people in found.items() for by, one in people.items()}


def test_a_choice_that_is_sent_again_is_stored_once(database: Database, judged: Binding) -> None:
    first, second = choice(0), choice(1, "keep", lens="weights")
    assert append(database, judged, [first, second]) == ["ann-0", "ann-1"]
    assert append(database, judged, [second, choice(2, "unknown")]) == ["ann-2"]
    log = read_log(database, judged.model)
    assert [(one.id, one.decision, one.lens, one.number) for one in log.choices] == [
        ("ann-0", "drop", "", 1),
        ("ann-1", "keep", "weights", 2),
        ("ann-2", "unknown", "", 3),
    ]
    assert all(one.at for one in log.choices)
    with pytest.raises(ConflictError, match="another content"):
        append(database, judged, [choice(3), choice(0, "keep")])
    assert len(read_log(database, judged.model).choices) == 3  # nothing of a batch that is refused


def test_the_last_choice_of_each_person_counts_and_undo_brings_the_one_before_back(
    database: Database, judged: Binding
) -> None:
    append(database, judged, [choice(0), replace(choice(0, "keep"), id="again"), choice(0, by="ben")])
    assert answers(database, judged.model) == {(0, "ann"): "keep", (0, "ben"): "drop"}
    undo = take_back("again")
    append(database, judged, [undo])
    assert answers(database, judged.model) == {(0, "ann"): "drop", (0, "ben"): "drop"}
    append(database, judged, [replace(undo, id="back 2", undoes="ann-0")])
    assert answers(database, judged.model) == {(0, "ben"): "drop"}
    assert len(read_log(database, judged.model).choices) == 5  # nothing is ever taken out
    with pytest.raises(NotFoundError, match="takes back"):  # another person's choice is not one's own to take back
        append(database, judged, [replace(undo, id="theft", undoes="ben-0")])


def test_what_is_no_filter_is_refused_and_nothing_stored(database: Database, judged: Binding) -> None:
    with pytest.raises(NotFoundError, match="no filter 999"):
        append(database, judged, [choice(0), choice(999)])
    with pytest.raises(NotFoundError, match="no conv layer 'conv9'") as refused:
        append(database, judged, [replace(choice(0), layer="conv9")])
    assert "Did you mean" in refused.value.hint
    assert read_log(database, judged.model).choices == ()


def test_two_writers_of_a_shared_database_have_a_log_each(database: Database, judged: Binding) -> None:
    append(database, judged, [choice(0)])
    other = replace(database, owner="colleague")
    append(other, judged, [choice(0, by="ben"), choice(1, by="ben")])
    assert append(other, judged, [choice(0)]) == []  # an id is one choice, whoever's log it is in
    rows = database.read(
        "MATCH (r:Review)-[:OF]->(:Model {key: $key}) RETURN r.owner AS owner, r.choices AS choices ORDER BY owner",
        key=judged.model,
    )
    assert rows == [{"owner": "colleague", "choices": 2}, {"owner": "tester", "choices": 1}]
    assert dropped_filters(database, judged.model) == {"conv1": (0, 1)}


def test_a_replaced_model_takes_no_more_choices(database: Database, judged: Binding) -> None:
    folder = load_settings().home / "reviews"
    before = set(folder.glob("*"))
    append(database, judged, [choice(0)])
    other = small_network(3)
    with pytest.raises(ConflictError, match=r"1 choices of ann .* would go") as refused:
        write_network(database, other, "judged", WriteOptions(replace=True), sha256="cd" * 32)
    assert "--yes" in refused.value.hint
    write_network(database, other, "judged", WriteOptions(replace=True, yes=True), sha256="cd" * 32)
    with pytest.raises(ConflictError, match="was replaced by another net"):
        append(database, judged, [choice(1)])
    assert read_log(database, judged.model).choices == ()
    (kept,) = set(folder.glob("tester-judged-abab*.json")) - before
    assert [one["id"] for one in json.loads(kept.read_text(encoding="utf-8"))["choices"]] == ["ann-0"]


def test_a_model_that_goes_leaves_its_log(command: Run, database: Database, judged: Binding) -> None:
    append(database, judged, [choice(0), choice(1, "keep")])
    refused = command("delete", "judged", stdin="y\n")
    assert refused.code == 1
    assert "2 choices of ann on the filters of tester/judged would go with it" in refused.err
    assert "Add --yes" in refused.err
    done = command("delete", "judged", "--yes", "--json").json
    kept = Path(done["review_log"])
    assert len(json.loads(kept.read_text(encoding="utf-8"))["choices"]) == 2
    with pytest.raises(ConflictError, match="no longer in the database"):
        append(database, judged, [choice(2)])
    write_network(database, small_network(2), "judged", WriteOptions(yes=True), sha256="ab" * 32)
    graph = Graph(database, load_settings())
    assert graph.replay_review("judged", kept)["new"] == 2  # the same net again: what was decided comes back


def test_the_log_goes_through_a_file_and_back(
    command: Run, database: Database, judged: Binding, tmp_path: Path
) -> None:
    append(database, judged, [choice(0, lens="images"), choice(1, "keep", by="=1+1"), choice(2, "unknown", blind=True)])
    append(database, judged, [take_back("ann-0")])
    before = read_log(database, judged.model)
    for name in ("log.json", "log.csv"):
        assert command("review", "judged", "--export", tmp_path / name, "--json").json["choices"] == 4
        done = command("review", "judged", "--replay", tmp_path / name, "--json")
        assert done.code == 0, done.err
        assert done.json["new"] == 0
        catalogue.delete(database, judged.model, yes=True)
        write_network(database, small_network(2), "judged", WriteOptions(yes=True), sha256="ab" * 32)
        done = command("review", "judged", "--replay", tmp_path / name, "--json")
        assert done.json["new"] == 4, done.err
        assert read_log(database, judged.model) == before  # times too


@pytest.mark.parametrize(
    ("change", "said", "code"),
    [
        (lambda log: log | {"sha256": "ef" * 32}, "is the review of another net than tester/judged", 1),
        (lambda log: log | {"recipe": "0123"}, "is the review of another net than tester/judged", 1),
        (lambda log: log | {"version": 7}, "is a review log of version 7; this cnngraph reads version 1", 1),
        (lambda log: log | {"choices": [log["choices"][0] | {"channel": 400}]}, "has no filter 400", 3),
        (lambda log: log | {"choices": [log["choices"][0] | {"decision": "maybe"}]}, "'maybe' is none of keep", 1),
        (lambda log: log | {"choices": log["choices"] * 2}, "a choice stands in it twice", 1),
        (lambda log: {"choices": log["choices"]}, "it has no version", 1),
    ],
)
def test_a_log_that_does_not_fit_is_refused_by_one_line(
    command: Run, database: Database, judged: Binding, tmp_path: Path, change: Any, said: str, code: int
) -> None:
    from cnngraph.database.review_files import _digest

    append(database, judged, [choice(0)])
    command("review", "judged", "--export", tmp_path / "log.json")
    catalogue.delete(database, judged.model, yes=True)
    write_network(database, small_network(2), "judged", WriteOptions(yes=True), sha256="ab" * 32)
    changed = change(json.loads((tmp_path / "log.json").read_text(encoding="utf-8")))
    if "digest" in changed:
        changed["digest"] = _digest(changed)  # as another program would have written it
    (tmp_path / "log.json").write_text(json.dumps(changed), encoding="utf-8")
    done = command("review", "judged", "--replay", tmp_path / "log.json")
    assert (done.code, said in done.err) == (code, True), done.err
    assert read_log(database, judged.model).choices == ()


def test_a_log_that_was_changed_by_hand_is_refused(
    command: Run, database: Database, judged: Binding, tmp_path: Path
) -> None:
    append(database, judged, [choice(0), choice(1)])
    for name, old, new in (("log.json", '"drop"', '"keep"'), ("log.csv", "drop", "keep")):
        command("review", "judged", "--export", tmp_path / name)
        text = (tmp_path / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace(old, new, 1), encoding="utf-8")
        done = command("review", "judged", "--replay", tmp_path / name)
        assert (done.code, "was changed since it was written" in done.err) == (1, True), done.err
    assert command("review", "judged", "--replay", tmp_path / "none.json").code == 3
    assert command("review", "judged", "--replay", tmp_path / "log.txt").code == 2


def test_a_review_in_the_graph_of_other_weights_is_refused(database: Database, judged: Binding) -> None:
    append(database, judged, [choice(0)])
    database.write("MATCH (r:Review)-[:OF]->(:Model {key: $key}) SET r.sha256 = 'other'", key=judged.model)
    with pytest.raises(ConflictError, match="is of other weights"):
        read_log(database, judged.model)
    database.write("MATCH (r:Review)-[:OF]->(:Model {key: $key}) SET r.sha256 = $sha", key=judged.model, sha="ab" * 32)
    database.write("MATCH (:Review)-[j:JUDGED {id: 'ann-0'}]->() SET j.decision = 'perhaps'")
    with pytest.raises(ModelError, match="'perhaps' is none of"):
        read_log(database, judged.model)


def test_what_people_agree_on_is_planned_and_pruned(command: Run, database: Database, lenet: str) -> None:
    key = f"tester/{lenet}"
    refused = command("plan", lenet, "--method", "review")
    assert (refused.code, f"Nobody has judged a filter of {key}" in refused.err) == (1, True), refused.err
    said = {
        "ann": {("features.0", 0): "drop", ("features.3", 1): "drop", ("features.3", 2): "drop"},
        "ben": {("features.0", 0): "drop", ("features.3", 1): "keep", ("features.3", 2): "unknown"},
        "cleo": {("features.3", 1): "drop"},
    }
    choices = [
        Choice(f"{by}-{layer}-{channel}", layer, channel, decision, by)
        for by, mine in said.items()
        for (layer, channel), decision in mine.items()
    ]
    append(database, bind(database, key), choices)
    expected = {
        "all": {"features.0": [0]},
        "majority": {"features.0": [0], "features.3": [1]},
        "any": {"features.0": [0], "features.3": [1, 2]},
    }
    for agree, filters in expected.items():
        done = command("plan", lenet, "--method", "review", "--agree", agree, "--json")
        assert done.code == 0, done.err
        assert {one["layer"]: one["filters"] for one in done.json["removes"]} == filters
    status = command("review", lenet, "--status", "--agree", "majority", "--json").json
    assert (status["judged"], status["choices"], status["drops"]) == (3, 7, expected["majority"])
    assert [(one["layer"], one["channel"]) for one in status["disagreements"]] == [("features.3", 1), ("features.3", 2)]
    (pair,) = [one for one in status["kappa"] if (one["first"], one["second"]) == ("ann", "ben")]
    assert (pair["filters"], pair["agreed"]) == (3, 1)
    done = command(
        "prune", lenet, "--method", "review", "--agree", "any", "--no-retrain", "--as", "reviewed-slim", "--json"
    )
    assert done.code == 0, done.err
    assert done.json["filters"] == {"features.0": [0], "features.3": [1, 2]}
    assert done.json["verified"]["max_abs_diff"] < 1e-9
    (row,) = database.read(
        "MATCH (run:PruningRun)-[:PRODUCED]->(:Model {key: 'tester/reviewed-slim'}) "
        "MATCH (run)-[r:REMOVES]->(f:FeatureMap {layer: 'features.3', channel: 2}) RETURN r.reason AS reason",
    )
    assert "ann drops 1, 2" in row["reason"] and "cleo drops 1" in row["reason"]


def test_what_people_dropped_goes_layer_by_layer_with_training_between(
    command: Run, database: Database, lenet: str
) -> None:
    by_people = ("prune", lenet, "--method", "progressive", "--criterion", "person", "--agree", "any", "--epochs", 1)
    dry = command(*by_people, "--dry-run", "--json")
    assert dry.code == 0, dry.err
    assert (dry.json["trainings"], dry.json["filter_counts"]) == (2, {"features.0": 1, "features.3": 2})
    done = command(*by_people, "--no-control", "--as", "reviewed-steps", "--json")
    assert done.code == 0, done.err
    assert done.json["filters"] == {"features.0": [0], "features.3": [1, 2]}
    assert [(step["layer"], step["filters"]) for step in done.json["steps"]] == [("features.0", 1), ("features.3", 2)]
    rows = database.read(
        "MATCH (run:PruningRun)-[:PRODUCED]->(:Model {key: 'tester/reviewed-steps'}) "
        "MATCH (run)-[r:REMOVES]->(f:FeatureMap) "
        "RETURN f.channel AS channel, r.step AS step, r.score AS score ORDER BY step, channel",
    )
    half = pytest.approx(0.5)
    assert [(row["channel"], row["step"]) for row in rows] == [(0, 1), (1, 2), (2, 2)]
    assert [row["score"] for row in rows] == [1.0, pytest.approx(2 / 3), half]
    bounded = command(*by_people, "--filters", 1, "--dry-run", "--json").json
    assert bounded["filter_counts"] == {"features.0": 1, "features.3": 1}
    stray = command("prune", lenet, "--method", "progressive", "--agree", "any", "--ratio", "0.3")
    assert (stray.code, "--agree belongs to --criterion person" in stray.err) == (2, True), stray.err


def test_all_filters_of_a_layer_cannot_go(command: Run, database: Database, lenet: str) -> None:
    key = f"tester/{lenet}"
    width = len(database.read("MATCH (f:FeatureMap {model: $key, layer: 'features.0'}) RETURN f", key=key))
    append(database, bind(database, key), [Choice(f"dan-{n}", "features.0", n, "drop", "dan") for n in range(width)])
    refused = command("plan", lenet, "--method", "review")
    assert (refused.code, f"removes all {width} filters of features.0" in refused.err) == (1, True), refused.err
    with pytest.raises(PlanError):
        Graph(database, load_settings()).plan(lenet, method="review")
    steps = command("prune", lenet, "--method", "progressive", "--criterion", "person", "--agree", "any")
    assert (steps.code, f"All {width} filters of features.0 are to go" in steps.err) == (1, True), steps.err
    together = command("plan", lenet, "--method", "review", "--ratio", "0.3")
    assert (together.code, "--ratio belongs to the methods" in together.err) == (2, True), together.err
    assert command("plan", lenet, "--method", "review", "--agree", "most").code == 2


def test_what_cannot_be_judged_is_said_before_a_page_is_opened(
    command: Run, database: Database, judged: Binding
) -> None:
    for arguments, code, said in (
        (("nobody",), 3, "There is no model tester/nobody"),
        (("judged", "--layer", "conv9"), 3, "There is no layer 'conv9'"),
        (("judged", "--layer", "fc"), 1, "is no conv layer of its own"),
        (("judged", "--by", ""), 2, "is no name of a person"),
        (("judged", "--status", "--layer", "conv1"), 2, "--layer belongs to the page"),
        (("judged", "--status", "--export", "x.json"), 2, "exclude each other"),
        (("judged", "--agree", "any"), 2, "--agree belongs to --status"),
    ):
        done = command("review", *arguments)
        assert (done.code, said in done.err) == (code, True), (arguments, done.err)
