"""Options declared once: what the command line says of them is what the packages below it know."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Annotated

import pytest
import typer

from cnngraph.cli import decide_options
from cnngraph.cli.decide_options import ByHand, Choice
from cnngraph.cli.option_groups import spread
from cnngraph.jobs.filters import SCORES
from cnngraph.measures.registry import MEASURES
from cnngraph.pruning.filters import SCOPES


def test_names_are_those_of_the_packages_below() -> None:
    assert set(decide_options.SCORES) == set(SCORES)
    assert decide_options.SCOPES == SCOPES
    assert all(name in decide_options.MEASURE_NAMES for name in MEASURES)


def test_every_option_of_a_method_is_a_field() -> None:
    for names in (*decide_options.LIMITS.values(), *decide_options.DETAILS.values()):
        assert all(getattr(Choice(), name) is None for name in names)


def test_a_ratio_implies_filters() -> None:
    choice = Choice(ratio=0.3, round_to=8)
    assert choice.resolved(limit_needed=True) == "filters"
    decision = choice.decision(seed=3)
    assert (decision.method, decision.ratio, decision.round_to, decision.seed) == ("filters", 0.3, 8, 3)
    assert (decision.score, decision.scope, decision.at_least) == ("magnitude", "layer", 1)


def test_nothing_typed_is_the_schedule_of_degree() -> None:
    assert Choice().resolved(limit_needed=False) == ""
    decision = Choice().decision()
    assert (decision.method, decision.measure, decision.init) == ("multilayer", "degree", "least-squares")
    with pytest.raises(typer.BadParameter, match="one of these is needed"):
        ByHand().chosen("")


@dataclass(frozen=True)
class Pair:
    first: Annotated[int, typer.Option(help="one")] = 1
    second: Annotated[str | None, typer.Option(callback=lambda v: typer and v)] = None


def test_a_group_stands_as_its_fields() -> None:
    seen = []

    def run(name: str, pair: Pair, last: bool = False) -> None:
        """Said in help."""
        seen.append((name, pair, last))

    shown = spread(run)
    assert list(signature(shown).parameters) == ["name", "first", "second", "last"]
    assert (shown.__name__, shown.__doc__) == ("run", "Said in help.")
    shown(name="x", first=2, second=None, last=True)
    assert seen == [("x", Pair(2), True)]


def test_a_field_without_a_default_is_refused() -> None:
    @dataclass(frozen=True)
    class Bare:
        first: int

    def run(bare: Bare) -> None: ...

    run.__annotations__ = {"bare": Bare}
    with pytest.raises(TypeError, match="first has no default"):
        spread(run)
