"""Options declared once: what the command line says of them is what the packages below it know."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Annotated

import pytest
import typer

from cnngraph.cli.option_groups import spread
from cnngraph.cli.plan_options import Limits
from cnngraph.pruning.limits.limit import COMPANIONS, LIMITS
from cnngraph.pruning.registry import OPTIONS


def test_every_limit_and_every_option_of_a_method_is_an_option_that_was_not_typed() -> None:
    assert {*LIMITS, *COMPANIONS, *OPTIONS, "method", "limits", "keep", "init"} == set(vars(Limits()))
    assert set(vars(Limits()).values()) == {None}


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
