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
    told = {(one.index, one.reduction) for one in served}
    assert told <= set(known)
    assert [(one.rank, one.index) for one in served] == sorted((one.rank, one.index) for one in served)
    for one in served:
        assert one.rank == 1 + sum(value > one.reduction for _, value in known)
        assert {pair for pair in known if pair[1] == one.reduction} <= told  # of equals all or none
    distinct = sorted({value for _, value in known})
    if len(distinct) < 2:
        assert not served
    for end in (distinct[:1], distinct[-1:]) if len(distinct) > 1 else ():
        assert ({pair for pair in known if pair[1] in end} <= told) == (sum(v in end for _, v in known) <= 3)
    assert len(served) <= 6


def test_nobody_is_served_where_nothing_was_judged() -> None:
    assert find_served([None, None]) == ()


def test_a_filter_that_nobody_needs_serves_nobody() -> None:
    assert find_served([0.0] * 10) == ()
    assert [(one.index, one.rank) for one in find_served([0.0, 0.0, 0.5, 0.0, 0.0])] == [(2, 1)]
