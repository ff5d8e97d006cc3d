"""Plans: what a person or a program may write into one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnngraph.errors import PlanError
from cnngraph.plan import LayerScore, Plan, Removal, Replacement, Step, read_plan, write_plan

FLOATS: dict[str, Callable[[float], Any]] = {
    "theta": lambda number: LayerScore(layer="a", theta=number, value=1.0),
    "value": lambda number: LayerScore(layer="a", theta=1.0, value=number),
    "threshold": lambda number: Step(threshold=number, removed=()),
    "latency_ms": lambda number: Step(threshold=0.1, removed=(), latency_ms=number),
    "scores": lambda number: Removal(layer="a", kind="filters", filters=(1,), scores=(number,)),
    "score": lambda number: Removal(layer="a", score=number),
    "a removal's threshold": lambda number: Removal(layer="a", threshold=number),
    "reference": lambda number: Plan(reference=number),
    "a plan's threshold": lambda number: Plan(threshold=number),
    "correlations": lambda number: Plan(correlations={"depth": number}),
}


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(name: str, number: float) -> None:
    with pytest.raises(ValueError, match="finite number"):
        FLOATS[name](number)
    assert FLOATS[name](0.5)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made = Plan(
        layers=(LayerScore(layer="a", theta=1e308, value=-0.0),),
        schedule=(Step(threshold=0.05, removed=("a",), latency_ms=0.5),),
        removes=(Removal(layer="a", score=1e-308, threshold=0.05),),
        correlations={"depth": None},
    )
    write_plan(made, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == made


def test_a_file_with_such_a_number_names_it(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"removes": [{"layer": "a", "score": math.nan}]}))
    with pytest.raises(PlanError, match=r"removes\.0\.score: .*finite number"):
        read_plan(path)


def test_a_block_that_is_replaced_is_written_and_read(tmp_path: Path) -> None:
    made = Replacement(stride=(2, 2), norm="BatchNorm2d")
    plan = Plan(removes=(Removal(layer="stage2", kind="replace", replacement=made),), init="parent")
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    assert (plan.removed, plan.replaced, plan.in_words) == (["stage2"], ["stage2"], "stage2 (replaced by one 3x3 conv)")


def test_what_replaces_nothing_reads_as_it_did_and_has_the_identity_that_it_had() -> None:
    removal = Removal(layer="a", kind="block")
    assert "replacement" not in removal.model_dump() and removal.identity == ["block", "a", ()]
    by_default = Removal(layer="a", kind="replace")
    spelt_out = Removal(layer="a", kind="replace", replacement=Replacement(stride=(1, 1), activation="ReLU"))
    larger = Removal(layer="a", kind="replace", replacement=Replacement(kernel=5))
    assert by_default.identity == ["replace", "a", (), [3]]
    assert spelt_out.identity == ["replace", "a", (), [3, 1, 1]]
    assert larger.identity == ["replace", "a", (), [5]]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Replacement(kernel=4), "no middle"),
        (lambda: Removal(layer="a", replacement=Replacement()), "no field replacement"),
        (lambda: Removal(layer="a", kind="replace", filters=(1,)), "no field filters"),
        (lambda: Plan(removes=(Removal(layer="a", kind="replace"), Removal(layer="b"))), "two plans"),
        (lambda: Plan(removes=(Removal(layer="a", kind="replace"),), init="inherit"), "inherit is nothing for a layer"),
        (
            lambda: Plan(removes=(Removal(layer="a"),), init="parent"),
            "parent is nothing for layers where ends",
        ),
    ],
)
def test_replacements_that_make_no_sense_are_refused(make: Callable[[], Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make()
