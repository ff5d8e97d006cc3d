"""Sixty ways to say what goes, from the command line and from Python: what is decided, what is refused, and how.

``decisions.json`` beside this file holds what came out; write it anew, and read the difference, with
``CNNGRAPH_GOLDEN=write python -m pytest tests/db/test_golden_decisions.py``.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database.connection import Database
from cnngraph.errors import CnngraphError

pytestmark = pytest.mark.db

GOLDEN = Path(__file__).with_name("decisions.json")
NAME = "golden-decisions"


@dataclass(frozen=True)
class Line:
    """One way: of the command line, and the same call of ``Graph.plan`` or ``Graph.prune``.

    ``python``: ``None`` where Python has no such option. ``prune`` changes nothing: each is a dry run.
    """

    typed: str
    python: dict[str, Any] | None = field(default_factory=dict)
    prune: bool = False
    model: str = NAME


def plan(typed: str, python: dict[str, Any] | None = None, **more: Any) -> Line:
    return Line(typed, python or {}, **more)


def prune(typed: str, python: dict[str, Any] | None = None, **more: Any) -> Line:
    return Line(typed, python, prune=True, **more)


LINES = [
    plan(""),
    plan("--threshold 0.5", {"threshold": 0.5}),
    plan(
        "--method multilayer --threshold 1.5 --init reset", {"method": "multilayer", "threshold": 1.5, "init": "reset"}
    ),
    plan("--remove 2", {"remove": 2}),
    plan("--measure entropy --remove 1", {"measure": "entropy", "remove": 1}),
    plan("-m strength --reference mean --remove 1", {"measure": "strength", "reference": "mean", "remove": 1}),
    plan("--aggregate sum --threshold 0.9", {"aggregate": "sum", "threshold": 0.9}),
    plan("--measure depth --aggregate sum", {"measure": "depth", "aggregate": "sum"}),
    plan("--engine local --remove 1", {"engine": "local", "remove": 1}),
    plan("--ratio 0.3", {"ratio": 0.3}),
    plan("--method filters --ratio 0.3 --scope global", {"method": "filters", "ratio": 0.3, "scope": "global"}),
    plan("--ratio 0.3 --score strength", {"ratio": 0.3, "score": "strength"}),
    plan("--ratio 0.25 --score taylor --device cpu", {"ratio": 0.25, "score": "taylor", "device": "cpu"}),
    plan("--ratio 0.3 --score random --seed 3", {"ratio": 0.3, "score": "random", "seed": 3}),
    plan("--ratio 0.5 --round-to 4 --at-least 4", {"ratio": 0.5, "round_to": 4, "at_least": 4}),
    plan("--target-macs 0.7", {"target_macs": 0.7}),
    plan("--target-parameters 0.7", {"target_parameters": 0.7}),
    plan("--method filters --target-macs 0.5", {"method": "filters", "target_macs": 0.5}),
    plan("--score bn --target-parameters 0.5", {"score": "bn", "target_parameters": 0.5}),
    plan("--target-speedup 1.2 --latency-table table.csv", {"target_speedup": 1.2, "latency_table": "table.csv"}),
    plan("--max-accuracy-drop 100", {"max_accuracy_drop": 100.0}),
    plan("--method filters --max-accuracy-drop 100", {"method": "filters", "max_accuracy_drop": 100.0}),
    # What is refused.
    plan("--method filters", {"method": "filters"}),
    plan("--method filters --threshold 0.3", {"method": "filters", "threshold": 0.3}),
    plan("--method multilayer --score taylor", {"method": "multilayer", "score": "taylor"}),
    plan("--ratio 0.3 --measure degree", {"ratio": 0.3, "measure": "degree"}),
    plan("--score taylor", {"score": "taylor"}),
    plan("--threshold 0.3 --remove 1", {"threshold": 0.3, "remove": 1}),
    plan("--ratio 0.3 --remove 1", {"ratio": 0.3, "remove": 1}),
    plan("--ratio 0.3 --target-macs 0.5", {"ratio": 0.3, "target_macs": 0.5}),
    plan("--target-macs 0.5 --target-parameters 0.5", {"target_macs": 0.5, "target_parameters": 0.5}),
    plan("--target-macs 0.00001", {"target_macs": 0.00001}),
    plan("--target-macs 1", {"target_macs": 1.0}),
    plan("--target-speedup 1", {"target_speedup": 1.0}),
    plan("--max-accuracy-drop 101", {"max_accuracy_drop": 101.0}),
    plan("--steps 2", {"steps": 2}),
    plan("--runtime eager", {"runtime": "eager"}),
    plan("--target-macs 0.5 --latency-table table.csv", {"target_macs": 0.5, "latency_table": "table.csv"}),
    plan("--ratio 1", {"ratio": 1.0}),
    plan("--ratio nan", {"ratio": float("nan")}),
    plan("--threshold -1", {"threshold": -1.0}),
    plan("--threshold nan", {"threshold": float("nan")}),
    plan("--remove 0", {"remove": 0}),
    plan("--remove 99", {"remove": 99}),
    plan("--method multilayr", {"method": "multilayr"}),
    plan("--measure degre", {"measure": "degre"}),
    plan("--ratio 0.3 --score tailor", {"ratio": 0.3, "score": "tailor"}),
    plan("--ratio 0.3 --scope all", {"ratio": 0.3, "scope": "all"}),
    plan("--remove 1 --init zero", {"remove": 1, "init": "zero"}),
    plan("--remove 1 --aggregate max", {"remove": 1, "aggregate": "max"}),
    plan("--data digits --threshold 0.3", {"data": "digits", "threshold": 0.3}),
    plan("--threshold 0.3", {"threshold": 0.3}, model="golden-decision"),
    # What prune has beside it.
    prune("", {}),
    prune("--remove 1", {"remove": 1}),
    prune("--method multilayer --remove 1", {"method": "multilayer", "remove": 1}),
    prune("--method multilayer", {"method": "multilayer"}),
    prune("--ratio 0.3", {"ratio": 0.3}),
    prune("--remove-layer layer1.0.conv1", {"remove_layers": ["layer1.0.conv1"]}),
    prune("--remove-block layer1.1 --init inherit", {"remove_blocks": ["layer1.1"], "init": "inherit"}),
    prune("--remove-layer layer1.0.conv", {"remove_layers": ["layer1.0.conv"]}),
    prune("--remove-layer layer1.0.conv1 --ratio 0.3", {"remove_layers": ["layer1.0.conv1"], "ratio": 0.3}),
    prune("--remove-layer layer1.0.conv1 --score bn", {"remove_layers": ["layer1.0.conv1"], "score": "bn"}),
    prune("--remove-layer layer1.0.conv1 --run abc", {"remove_layers": ["layer1.0.conv1"], "run": "abc"}),
    prune("--run abc", {"run": "abc"}),
    prune("--plan plan.json", {"plan": "plan.json"}),
    prune("--plan plan.json --init reset", {"plan": "plan.json", "init": "reset"}),
    prune("--plan nothing.json", {"plan": "nothing.json"}),
    prune("--plan plan.json --threshold 0.3", {"plan": "plan.json", "threshold": 0.3}),
    prune("--ratio 0.3 --no-retrain --trainer a:b", {"ratio": 0.3, "retrain": False, "trainer": "a:b"}),
    prune("--ratio 0.3 --latency-on cpu", {"ratio": 0.3, "latency_on": "cpu"}),
]


@dataclass(frozen=True)
class Outcome:
    """Exit code, what was decided (None where nothing was), the first line of the error."""

    code: int
    decided: dict[str, Any] | None
    error: str = ""


def run_inside(typed: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """The command in this process: exit code and both streams."""
    from cnngraph.cli.main import main

    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["cnngraph", *typed])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def shown(decided: dict[str, Any]) -> dict[str, Any]:
    """What a decision says, without keys of the database and measured times."""
    found = {name: decided.get(name) for name in ("method", "measure", "init", "removed", "filters")}
    if "schedule" in decided:
        found["schedule"] = [[step["threshold"], step["removed"]] for step in decided["schedule"]]
        found["layers"] = [[row["layer"], float(f"{row['theta']:.6g}")] for row in decided["layers"]][:3]
        found["settings"] = sorted(decided.get("settings", {}))
        found["threshold"] = decided.get("threshold")
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def typed_outcome(line: Line, capsys: pytest.CaptureFixture[str]) -> Outcome:
    verb = ["prune", line.model, "--dry-run", "--json"] if line.prune else ["plan", line.model, "--json"]
    code, out, err = run_inside([*verb, *shlex.split(line.typed)], capsys)
    if code == 0:
        return Outcome(code, shown(json.loads(out)))
    said = [row for row in err.splitlines() if row.lower().startswith("error")]
    return Outcome(code, None, said[-1] if said else err[-300:])


def called_outcome(line: Line, database: Database) -> Outcome:
    from cnngraph.api.graph import Graph
    from cnngraph.cli.plan_tables import as_json
    from cnngraph.settings import load_settings

    graph = Graph(database, load_settings())
    assert line.python is not None
    try:
        if line.prune:
            return Outcome(0, shown(graph.prune(line.model, dry_run=True, **line.python)))
        return Outcome(0, shown(as_json(graph.plan(line.model, costs=True, **line.python))))
    except CnngraphError as error:
        return Outcome(error.exit_code, None, f"error: {error.message}")


@pytest.fixture(scope="module")
def folder(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the lines are carried out: a plan and a table of latencies lie there; the model is in the database."""
    from cnngraph.database import catalogue
    from cnngraph.database.writer import WriteOptions
    from cnngraph.jobs.ingest import prepare, store
    from cnngraph.jobs.session import Session
    from cnngraph.network.trace_options import TraceOptions
    from cnngraph.plan import Plan, Removal, write_plan
    from cnngraph.settings import load_settings
    from cnngraph.sources.data_choice import DataChoice
    from cnngraph.sources.loaded import ModelChoice

    made = tmp_path_factory.mktemp("golden")
    choice = ModelChoice(name="cnngraph:resnet20", width=0.25, size=16, seed=1)
    prepared = prepare(choice, DataChoice(name="digits", images_per_class=4), TraceOptions(), yes=True)
    store(Session(load_settings(), connected=database), prepared, NAME, WriteOptions(yes=True))
    write_plan(Plan(removes=(Removal(layer="layer1.0", kind="block"),)), made / "plan.json")
    rows = database.read(
        "MATCH (l:Layer {model: $key}) RETURN l.name AS name ORDER BY l.index", key=f"{database.owner}/{NAME}"
    )
    (made / "table.csv").write_text("layer,milliseconds\n" + "".join(f"{row['name']},1.0\n" for row in rows))
    yield made
    catalogue.delete(database, f"{database.owner}/{NAME}")


def known() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.is_file() else {}


def key_of(line: Line) -> str:
    return " ".join(["prune" if line.prune else "plan", line.model, line.typed]).strip()


@pytest.mark.parametrize("line", LINES, ids=key_of)
def test_what_is_decided_and_refused_stays(
    line: Line, folder: Path, database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    typed, called = typed_outcome(line, capsys), called_outcome(line, database) if line.python is not None else None
    found = {"typed": vars(typed), "called": vars(called) if called else None}
    if os.environ.get("CNNGRAPH_GOLDEN") == "write":
        GOLDEN.write_text(
            json.dumps(known() | {key_of(line): found}, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
    assert json.loads(json.dumps(found)) == known()[key_of(line)]
