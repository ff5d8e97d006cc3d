"""What the Python API takes about what goes: the commands' options, refused where they do not go together."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import cnngraph as cg
from cnngraph.api.options import Decision
from cnngraph.cli.plan_options import Limits
from cnngraph.errors import CnngraphError
from cnngraph.pruning.choice import BY_PERSON
from cnngraph.pruning.limits.limit import GENERAL
from cnngraph.pruning.registry import OPTIONS
from cnngraph.settings import Settings


def test_the_api_has_every_option_of_the_command() -> None:
    elsewhere = {"data", "data_root", "plan", "run"}  # parameters of their own
    named = {name for names in BY_PERSON for name in names}
    known = {*vars(Limits()), *GENERAL, *named} - elsewhere
    assert set(Decision.__annotations__) <= known
    # An option of a new method works without a line here, which is for type checkers alone.
    assert known - OPTIONS.keys() <= set(Decision.__annotations__)


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
