"""A removal in steps leaves what the removal at once leaves."""

from __future__ import annotations

from cnngraph.plan import Plan, Removal
from cnngraph.pruning.steps import in_steps


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
