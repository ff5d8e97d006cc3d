"""A removal in steps leaves what the removal at once leaves."""

from __future__ import annotations

import pytest

from cnngraph.plan import Plan, Removal
from cnngraph.pruning.steps import in_one, in_steps, survivors


def filters(**layers: tuple[int, ...]) -> Plan:
    return Plan(removes=tuple(Removal(layer=name, kind="filters", filters=gone) for name, gone in layers.items()))


def test_layers_and_blocks_go_once() -> None:
    first = Plan(removes=(Removal(layer="a"),))
    second = Plan(removes=(Removal(layer="a"), Removal(layer="b", kind="block"), Removal(layer="c")))
    assert [step.removed for step in in_steps([first, second, second])] == [["a"], ["b", "c"]]


def test_filters_are_numbered_as_in_the_net_that_is_left() -> None:
    # Of 0..7, 2 and 5 go first; what was 1, 3, 6 and 7 is then 1, 2, 4 and 5.
    steps = list(in_steps([filters(conv=(2, 5)), filters(conv=(1, 2, 3, 5, 6, 7))]))
    assert [step.filters for step in steps] == [{"conv": (2, 5)}, {"conv": (1, 2, 4, 5)}]
    left = list(range(8))
    for step in steps:
        left = [channel for i, channel in enumerate(left) if i not in step.filters["conv"]]
    assert left == [0, 4]


def test_filters_that_the_last_plan_keeps_stay() -> None:
    steps = list(in_steps([filters(a=(0, 1), b=(3,)), filters(a=(1, 2))]))
    assert [step.filters for step in steps] == [{"a": (1,)}, {"a": (1,)}]  # 2 has become 1


def test_nothing_is_no_step() -> None:
    assert list(in_steps([])) == []
    assert list(in_steps([Plan(), filters(a=(1,)), filters(a=(1,))])) == [filters(a=(1,))]


def test_steps_that_go_on_are_told_in_the_numbers_of_the_first_net() -> None:
    first = Plan(removes=(removal("a", (1, 3), (0.5, 0.25)), removal("b", (0,), (0.5,))))
    second = Plan(removes=(removal("a", (0, 1), (0.1, 0.2)), removal("c", (2,), (0.3,))))
    third = Plan(removes=(removal("a", (1,), (9.0,)),))
    widths = {"c": 3, "a": 6, "b": 2}
    together = {one.layer: one for one in in_one(widths, [first, second, third])}
    assert list(together) == ["c", "a", "b"]
    # Of 0..5, 1 and 3 go; of 0, 2, 4, 5 the first two; of 4, 5 the second.
    assert together["a"].filters == (0, 1, 2, 3, 5)
    assert together["a"].steps == (2, 1, 2, 1, 3)
    assert together["a"].scores == (0.1, 0.5, 0.2, 0.25, 9.0)
    assert survivors(widths, [first, second, third]) == {"c": [0, 1], "a": [4], "b": [1]}
    assert in_one(widths, []) == ()


def removal(layer: str, gone: tuple[int, ...], scores: tuple[float, ...]) -> Removal:
    return Removal(layer=layer, kind="filters", filters=gone, scores=scores)


def test_what_went_at_once_is_written_as_ever() -> None:
    assert "steps" not in filters(a=(1,)).model_dump_json()
    stepped = Plan(removes=(Removal(layer="a", kind="filters", filters=(1, 2), steps=(1, 2)),))
    assert Plan.model_validate_json(stepped.model_dump_json()) == stepped
    with pytest.raises(ValueError, match="a has 1 steps, from 1, for 2 filters"):
        Removal(layer="a", kind="filters", filters=(1, 2), steps=(1,))
