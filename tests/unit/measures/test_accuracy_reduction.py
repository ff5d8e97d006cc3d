"""Which classes filters serve most and least. (The golden CAR and its identity: tests/unit/pruning/test_greedy.py.)"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cnngraph.measures.accuracy_reduction import find_served

values = st.lists(st.one_of(st.none(), st.sampled_from([-0.5, 0.0, 0.25, 1.0])), max_size=12)


@given(by_class=values)
def test_both_ends_of_the_order_of_classes(by_class: list[float | None]) -> None:
    known = [(index, value) for index, value in enumerate(by_class) if value is not None]
    served = find_served(by_class)
    assert len(served) == min(6, len(known))
    assert [(one.index, one.reduction) for one in served if (one.index, one.reduction) in known] == [
        (one.index, one.reduction) for one in served
    ]
    ranks = [one.rank for one in served]
    assert ranks == sorted(set(ranks))
    assert all(rank <= 3 or rank > len(known) - 3 for rank in ranks)
    for one in served:  # so many are served more, or as much and come first
        above = [
            value for index, value in known if value > one.reduction or (value == one.reduction and index < one.index)
        ]
        assert one.rank == 1 + len(above)


def test_nobody_is_served_where_nothing_was_judged() -> None:
    assert find_served([None, None]) == ()
    assert [(one.index, one.rank) for one in find_served([0.0])] == [(0, 1)]
