"""A model from one server into another: all of it, once, and again after a break."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database import catalogue
from cnngraph.database.comparisons import SimilarLayers, StoredComparison, store_comparison
from cnngraph.database.connection import Database
from cnngraph.database.criticality import CriticalityRecord, store_criticality
from cnngraph.database.lease import lease
from cnngraph.database.lineage import store_evaluation, store_produced, store_pruning_run, store_steps
from cnngraph.database.records import Evaluation, StepTaken
from cnngraph.database.reviews import Choice, append, bind
from cnngraph.database.saved_models import find_saved
from cnngraph.database.writer import write_network
from cnngraph.errors import ConflictError, NotFoundError, UsageError
from cnngraph.jobs.push import PushOptions, pull, push
from cnngraph.jobs.session import Session
from cnngraph.measures.registry import measure
from cnngraph.plan import Plan, Removal
from cnngraph.settings import load_settings
from cnngraph.storage import storage_of
from tests.forge import Forge
from tests.synthetic import small_network, with_car
from tests.two_servers import Address, everything, open_as, second_server, write_profile

pytestmark = pytest.mark.db

EDIT = {"module": "mul", "kind": "removed", "reason": "chosen", "removed": []}


@dataclass(frozen=True)
class Sides:
    """Ada's database and the team's, and how she pushes; ``home`` has the profiles ``team`` and ``mine``."""

    mine: Database
    team: Database
    home: Path
    server: Any

    def push(self, name: str, **how: Any) -> dict[str, Any]:
        return push(Session(load_settings(), connected=self.mine), name, "team", PushOptions(**how))

    def pull(self, name: str, **how: Any) -> dict[str, Any]:
        return pull(Session(load_settings(), connected=self.mine), name, "team", PushOptions(**how))


@pytest.fixture(scope="module")
def sides(database: Database, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    home = tmp_path_factory.mktemp("ada")
    with second_server(tmp_path_factory.mktemp("team")) as team, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNGRAPH_HOME", str(home))
        patch.setenv("CNNGRAPH_OWNER", "ada")
        write_profile(home, "team", team)
        mine = replace(database, owner="ada")
        with open_as(team, "ada", home) as other:
            write_profile(home, "mine", Address(database.uri, "neo4j", _password(server)))
            yield Sides(mine, other, home, server)


def _password(server: Any) -> str:
    return str(server.password) if server is not None else os.environ["NEO4J_TEST_PASSWORD"]


@pytest.fixture
def clean(sides: Sides) -> Iterator[Callable[[], None]]:
    """What a test has left of ada's and bob's goes, on both servers."""

    def remove() -> None:
        for db in (sides.mine, sides.team):
            for key in [row["key"] for row in db.read("MATCH (m:Model) RETURN m.key AS key")]:
                if key.startswith(("ada/", "Ada/", "bob/")):
                    catalogue.delete(replace(db, owner=key.partition("/")[0]), key, yes=True)

    yield remove
    remove()


def everything_of_a_kind(db: Database, name: str = "net", seed: int = 1) -> tuple[str, str]:
    """A net with a run of each kind, and one that was pruned from it; their keys."""
    whole = with_car(small_network(seed, kernels=True), ["conv1", "block.conv3"], unjudged=[1])
    parent = write_network(db, whole, name, sha256="aa")["model"]
    child = write_network(db, small_network(seed + 10), f"{name}-short", sha256="bb")["model"]
    for word in ("depth", "degree"):
        measure(db, parent, word, engine="local") if word == "degree" else measure(db, parent, word)
    run = store_pruning_run(
        db,
        Plan(model=parent, removes=(Removal(layer="mul"), Removal(layer="conv1", kind="filters", filters=(1, 2)))),
    )
    store_produced(db, run, child, parent, {"conv1": "conv1", "relu": "relu"}, [EDIT])
    store_steps(db, run, child, [StepTaken(1, "conv1", 2, 9, 1, 0.5, 0.4, 1.5)])
    store_evaluation(db, parent, Evaluation.of({"accuracy": 0.75}))
    store_evaluation(db, child, Evaluation.of({"accuracy": 0.5}, run=run, child=child))
    append(db, bind(db, parent), [Choice("1", "conv1", 0, "drop", "ann"), Choice("2", "conv1", 0, "keep", "ben")])
    layers = (SimilarLayers("conv1", "conv1", 0.75, 0.25, "unbiased", 64, 8, "name"),)
    store_comparison(db, StoredComparison(parent, child, "cka", {"x": 1}, {"images": 8}, layers, ("aa", "bb")))
    record = CriticalityRecord(
        *("block", "block.conv3", "join", 0, None, None, 0.25, 0.5, 0.4, 0.75, (0.1, 0.5), 1, 10, 20, 1.5, "{}", "/x")
    )
    store_criticality(db, parent, "aa", record)
    return parent, child


def test_all_of_a_model_and_its_lineage_is_there_element_for_element(sides: Sides, clean: Any) -> None:
    parent, child = everything_of_a_kind(sides.mine)
    counted = sides.push("net-short", dry_run=True)
    assert not everything(sides.team, parent, child)
    report = sides.push("net-short")
    assert [row["action"] for row in report["models"]] == ["new", "new"]
    assert everything(sides.team, parent, child) == everything(sides.mine, parent, child)
    assert {name: report[name] for name in ("nodes", "relationships")} == {
        name: counted[name] for name in ("nodes", "relationships")
    }
    again = sides.push("net-short")
    assert (again["action"], again["nodes"], again["relationships"], again["changed"]) == ("nothing", 0, 0, 0)


def test_what_came_meanwhile_is_brought_and_what_others_made_there_stays(sides: Sides, clean: Any) -> None:
    key = write_network(sides.mine, small_network(2), "grows", sha256="aa")["model"]
    measure(sides.mine, key, "depth")
    append(sides.mine, bind(sides.mine, key), [Choice("1", "conv1", 0, "drop", "ann")])
    assert sides.push("grows")["action"] == "new"
    bob = replace(sides.team, owner="bob")
    store_evaluation(bob, key, Evaluation.of({"accuracy": 0.25}, device="bobs"))
    append(sides.mine, bind(sides.mine, key), [Choice("2", "conv1", 1, "keep", "ann")])
    measure(sides.mine, key, "strength", engine="local")
    measure(sides.mine, key, "depth", reference="mean")  # another run of it is the current one
    report = sides.push("grows")
    assert (report["action"], report["differs"]) == ("update", 0)
    left = everything(sides.team, key) - everything(sides.mine, key)
    assert not everything(sides.mine, key) - everything(sides.team, key)
    assert sum("bobs" in text for text in left) == len(left) == 2  # his evaluation, and that it is OF the model
    assert sides.push("grows")["action"] == "nothing"


def test_other_content_is_refused_or_takes_another_name_or_its_place(sides: Sides, clean: Any) -> None:
    key = write_network(sides.mine, small_network(3), "taken")["model"]
    write_network(sides.team, small_network(4), "taken")
    before = everything(sides.team, key)
    for dry_run in (True, False):
        with pytest.raises(ConflictError, match="ada/taken is there with other content") as refused:
            sides.push("taken", dry_run=dry_run)
    assert "--as NAME" in refused.value.hint
    assert "--replace" in refused.value.hint
    measure(sides.mine, key, "depth")
    assert sides.push("taken", as_name="free")["model"] == "ada/free"
    assert _renamed(everything(sides.mine, key), "ada/taken", "ada/free") == everything(sides.team, "ada/free")
    assert everything(sides.team, key) == before
    assert sides.push("taken", replace=True)["action"] == "replace"
    assert everything(sides.team, key) == everything(sides.mine, key)
    assert sides.push("taken", as_name="free")["action"] == "nothing"


def _renamed(found: Any, old: str, new: str) -> Any:
    names = [old.partition("/")[2], new.partition("/")[2]]
    return type(found)(
        {
            text.replace(f"'{old}", f"'{new}").replace(
                f"('name', 'str', \"'{names[0]}'\")", f"('name', 'str', \"'{names[1]}'\")"
            ): n
            for text, n in found.items()
        }
    )


def test_another_owners_model_is_copied_and_never_replaced(sides: Sides, clean: Any) -> None:
    bob = replace(sides.team, owner="bob")
    key = write_network(bob, small_network(5), "his")["model"]
    assert sides.pull("bob/his")["action"] == "new"
    assert everything(sides.mine, key) == everything(sides.team, key)
    assert catalogue.properties(sides.mine, key)["owner"] == "bob"
    catalogue.delete(bob, key)
    write_network(bob, small_network(6), "his")
    with pytest.raises(UsageError, match="bob/his is bob's; you write as ada"):
        sides.push("bob/his", replace=True)
    with pytest.raises(ConflictError, match="other content"):
        sides.pull("bob/his")
    # What only differs in a value stays as it is there, and is said.
    catalogue.delete(replace(sides.mine, owner="bob"), key)
    assert sides.pull("bob/his")["action"] == "new"
    sides.mine.write("MATCH (l:Layer {model: $key, layer: 'conv1'}) SET l.note = 'mine'", key=key)
    sides.team.write("MATCH (l:Layer {model: $key, layer: 'conv1'}) SET l.note = 'his'", key=key)
    assert sides.push("bob/his")["differs"] == 1
    assert sides.pull("bob/his")["differs"] == 1
    assert sides.pull("bob/his", replace=True)["changed"] == 1
    assert everything(sides.mine, key) == everything(sides.team, key)


def test_a_child_alone_and_its_parent_later_are_joined(sides: Sides, clean: Any) -> None:
    parent, child = everything_of_a_kind(sides.mine, "late")
    report = sides.push("late-short", alone=True)
    assert [row["model"] for row in report["models"]] == [child]
    assert {"Comparison", "PRUNED_FROM", "PRODUCED", "SURVIVES_AS"} <= set(report["models"][0]["left_out"])
    assert sides.push("late")["models"][0]["left_out"] == {}
    assert everything(sides.team, parent, child) == everything(sides.mine, parent, child)


def test_a_lineage_with_a_hole_is_refused(sides: Sides, clean: Any) -> None:
    parent, _ = everything_of_a_kind(sides.mine, "holed")
    sides.mine.write("MATCH (m:Model {key: $key}) SET m.status = 'loading'", key=parent)
    with pytest.raises(
        ConflictError, match="The lineage of ada/holed-short has a hole: the model ada/holed is not"
    ) as no:
        sides.push("holed-short")
    assert "--alone" in no.value.hint
    with pytest.raises(ConflictError, match="ada/holed is not complete"):
        sides.push("holed")
    assert sides.push("holed-short", alone=True)["action"] == "new"


def test_an_ancestor_with_other_content_there_is_refused(sides: Sides, clean: Any) -> None:
    everything_of_a_kind(sides.mine, "other")
    write_network(sides.team, small_network(7), "other")
    with pytest.raises(ConflictError, match="The ancestor ada/other is there with other content"):
        sides.push("other-short")
    assert not catalogue.properties(sides.team, "ada/other-short")


@pytest.mark.parametrize("where", ["source", "target"])
def test_a_model_that_somebody_writes_is_left_alone_and_its_writer_named(sides: Sides, clean: Any, where: str) -> None:
    key = write_network(sides.mine, small_network(8), "busy")["model"]
    write_network(sides.team, small_network(8), "busy")
    db = replace(sides.mine if where == "source" else sides.team, owner="bob")
    measure(sides.mine, key, "depth")
    with lease(db, key), pytest.raises(ConflictError, match=r"writes ada/busy now \(bob's process \d+ on "):
        sides.push("busy")
    assert sides.push("busy")["action"] == "update"


def test_owners_are_told_apart_by_case_which_is_said(sides: Sides, clean: Any) -> None:
    write_network(replace(sides.team, owner="Ada"), small_network(9), "cased")
    write_network(sides.mine, small_network(9), "cased")
    report = sides.push("cased")
    assert report["action"] == "new"
    assert any("The owner Ada is there too" in note for note in report["notes"])
    assert catalogue.properties(sides.team, "Ada/cased")
    with pytest.raises(NotFoundError):
        sides.pull("ADA/cased")


def test_the_very_database_and_what_is_not_there(sides: Sides, clean: Any) -> None:
    write_network(sides.mine, small_network(9), "there")
    session = Session(load_settings(), connected=sides.mine)
    with pytest.raises(UsageError, match="The profile 'mine' is the database that you are on"):
        push(session, "there", "mine", PushOptions())
    with pytest.raises(NotFoundError, match="no profile 'nobody'"):
        push(session, "there", "nobody", PushOptions())
    with pytest.raises(NotFoundError, match="no model ada/their in"):
        push(session, "their", "team", PushOptions())


def test_weights_go_through_the_store_and_are_found_by_their_hash(
    sides: Sides, clean: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = sides.mine.storage.add(saved(tmp_path / "net", b"weights"))
    lost = "0" * 64
    write_network(sides.mine, small_network(1), "weighty", saved_sha256=content)
    write_network(sides.mine, small_network(2), "lost", saved_sha256=lost)
    assert any("names no store" in note for note in sides.push("weighty")["notes"])
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("CNNGRAPH_STORAGE", f"local://{tmp_path}/store")
    size = sum(path.stat().st_size for path in (tmp_path / "net").iterdir())
    assert (
        sides.push("weighty", dry_run=True)["weights"] | {"files": 1, "bytes": size} == sides.push("weighty")["weights"]
    )
    again = sides.push("weighty")["weights"]
    assert (again["files"], again["already_there"]) == (0, 1)
    report = sides.push("lost")
    assert report["weights"]["missing"] == ["ada/lost"]
    assert any("saved model of ada/lost is not to be found" in note for note in report["notes"])
    # Another machine: another home.
    monkeypatch.setenv("CNNGRAPH_HOME", str(tmp_path / "bob"))
    monkeypatch.setenv("CNNGRAPH_OWNER", "bob")
    shutil.copy(sides.home / "config.toml", _made(tmp_path / "bob") / "config.toml")
    bobs = replace(sides.mine, owner="bob", storage=storage_of(load_settings()))
    catalogue.delete(sides.mine, "ada/weighty")
    pulled = pull(Session(load_settings(), connected=bobs), "ada/weighty", "team", PushOptions())
    assert (pulled["weights"]["files"], pulled["action"]) == (1, "new")
    assert find_saved(bobs.storage, "ada/weighty", {"savedSha256": content}).is_relative_to(tmp_path / "bob")


def saved(folder: Path, weights: bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    (folder / "weights.safetensors").write_bytes(weights)
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


# A push in a process of its own, in small transactions, that ends itself at one of them: WORDS say which, and whether
# before it or when the server has it.
DYING = """
import os, signal, sys
from cnngraph.database import copy_sides, whole
from cnngraph.database.connection import Database, connect
from cnngraph.jobs import push as job
from cnngraph.jobs.session import Session
from cnngraph.settings import load_settings
from cnngraph.storage import storage_of
from tests.forge import Forge

verb, name, moment, after = WORDS[0], WORDS[1], WORDS[2], WORDS[3] == "after"
whole._AT_ONCE.update(FeatureMap=7, Position=20)
copy_sides._AT_ONCE = 60
plain, done = Database.transact, 0

def transact(self, work):
    global done
    done += 1
    if done == moment and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    found = plain(self, work)
    if done == moment:
        os.kill(os.getpid(), signal.SIGKILL)
    return found

Database.transact = transact
settings = load_settings()
with connect(settings) as db:
    getattr(job, verb)(Session(settings, connected=db), name, "team", job.PushOptions(replace="replace" in WORDS))
print(done)
"""


def _kills(numbers: range) -> list[Any]:
    marks = [() if number < 5 else (pytest.mark.slow,) for number in numbers]
    return [pytest.param(number, marks=mark) for number, mark in zip(numbers, marks, strict=True)]


@pytest.mark.parametrize("seed", _kills(range(30)))
def test_what_is_killed_is_finished_by_the_same_command(sides: Sides, clean: Any, forge: Forge, seed: int) -> None:
    draw = random.Random(seed)
    verb = draw.choice(["push", "pull"])
    name = "ada/killed-short"
    parent, child = everything_of_a_kind(sides.mine if verb == "push" else sides.team, "killed")
    source, target = (sides.mine, sides.team) if verb == "push" else (sides.team, sides.mine)
    replaced = draw.random() < 0.3
    if replaced:
        write_network(target, small_network(30), "killed-short")
    more = ["replace"] if replaced else []
    where = Address(sides.mine.uri, "neo4j", _password(sides.server))
    killed = 0
    while killed < 3:  # a break, and breaks of what goes on
        moment, after = draw.randint(1, 12 + 10 * killed), draw.choice(["before", "after"])
        line = ["python", "-c", f"WORDS = {[verb, name, moment, after, *more]}\n{DYING}"]
        code, _, err = forge.run(line, cwd=sides.home, env=dict(os.environ) | where.environment)
        assert code in (0, -9, 137), err
        if code == 0:
            break
        killed += 1
        status = catalogue.properties(target, child).get("status")
        if status == "complete" and not replaced:
            assert everything(target, child).keys() <= everything(source, child).keys()
    again = sides.push if verb == "push" else sides.pull
    again(name, replace=replaced)
    assert killed
    assert everything(target, parent, child) == everything(source, parent, child)
    assert again(name)["action"] == "nothing"
