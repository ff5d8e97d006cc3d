"""What the Python API takes about what goes: the commands' options, refused where they do not go together."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import cnngraph as cg
from cnngraph.api.choice import Choice, decision, require_consistent
from cnngraph.cli.decide_options import Choice as Typed
from cnngraph.errors import CnngraphError, UsageError
from cnngraph.jobs.bench import Timing
from cnngraph.jobs.decide import Decision
from cnngraph.jobs.options import DETAILS, LIMITS
from cnngraph.pruning.target import Target
from cnngraph.settings import Settings


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"rato": 0.3}, "There is no option 'rato'"),
        ({"method": "best"}, "There is no method 'best'"),
        ({"ratio": 0.3, "threshold": 0.3}, "threshold belongs to the method multilayer"),
        ({"method": "multilayer", "ratio": 0.3}, "ratio belongs to the method filters"),
        ({"ratio": 0.3, "measure": "degree"}, "measure belongs to the method multilayer"),
        ({"threshold": 0.3, "remove": 2}, "threshold and remove exclude each other"),
        ({"ratio": 0.3, "target_macs": 0.5}, "ratio and target_macs exclude each other"),
        ({"target_macs": 0.5, "target_speedup": 2.0}, "exclude each other"),
        ({"remove_layers": ["a"], "remove": 1}, "remove_layers and remove exclude each other"),
        ({"steps": 2, "remove": 1}, "steps belongs to max_accuracy_drop"),
        ({"remove": 1, "runtime": "eager"}, "runtime belongs to a target"),
        ({"target_macs": 0.5, "latency_table": "t.csv"}, "latency_table belongs to target_speedup"),
    ],
)
def test_what_does_not_go_together_is_refused(choice: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        require_consistent(cast(Choice, choice))
    assert refused.value.hint


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({}, Decision()),
        ({"threshold": 0.3, "measure": None}, Decision(threshold=0.3)),
        ({"remove": 2, "keep": {"a": "mine"}}, Decision(remove=2, keep={"a": "mine"})),
        ({"ratio": 0.3, "score": "bn", "seed": 5}, Decision(method="filters", ratio=0.3, score="bn", seed=5)),
        (
            {"scope": "global", "target_macs": 0.5},
            Decision(method="filters", scope="global", target=Target("macs", 0.5)),
        ),
        (
            {"target_speedup": 2.0, "batch": 4, "latency_table": "t.csv"},
            Decision(round_to=8, target=Target("speedup", 2.0), timing=Timing(batch=4, table=Path("t.csv"))),
        ),
    ],
)
def test_the_decision_is_the_one_that_the_command_makes(choice: dict[str, Any], wanted: Decision) -> None:
    assert decision(require_consistent(cast(Choice, choice))) == wanted


@pytest.mark.parametrize("choice", [{"target_speedup": 1.0}, {"target_macs": float("nan")}, {"target_macs": 0.0}])
def test_a_target_that_asks_for_nothing_is_refused(choice: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        decision(require_consistent(cast(Choice, choice)))


def test_the_api_has_every_option_of_the_command() -> None:
    by_command = set(vars(Typed()))
    assert by_command <= set(Choice.__annotations__)
    assert {name for names in (*LIMITS.values(), *DETAILS.values()) for name in names} <= set(Choice.__annotations__)


@pytest.fixture
def graph(tmp_path: Path) -> cg.Graph:
    """A graph whose database nobody may ask."""
    settings = Settings(None, "neo4j", None, None, "ada", tmp_path, tmp_path)
    return cg.Graph(cast(Any, SimpleNamespace(owner="ada")), settings)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda graph: graph.plan("m", ratio=0.3, remove=1),
        lambda graph: graph.prune("m"),
        lambda graph: graph.prune("m", "plan.json", remove_layers=["a"]),
        lambda graph: graph.prune("m", run="r", ratio=0.3),
        lambda graph: graph.prune("m", "plan.json", retrain=False, trainer="m:f"),
        lambda graph: graph.prune("m", "plan.json", as_name="a b"),
        lambda graph: graph.adopt("m", "w.pt", as_name="a/b"),
    ],
)
def test_wrong_calls_are_refused_before_the_database_is_asked(wrong: Any, graph: cg.Graph) -> None:
    with pytest.raises(CnngraphError) as refused:
        wrong(graph)
    assert refused.value.exit_code == 2
    assert refused.value.hint
