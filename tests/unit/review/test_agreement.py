"""What follows from what people said of filters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnngraph.database.reviews import Choice
from cnngraph.errors import UsageError
from cnngraph.review.agreement import compare_people, concordance, disagreements, dropped, goes, standing
from cnngraph.vocabulary import AGREE, ANSWERS


def choices(*told: tuple[str, int, str]) -> list[Choice]:
    """Choices on filters of one layer: (by, channel, decision); an undo says what it takes back as ``undo:ID``."""
    made = []
    for number, (by, channel, said) in enumerate(told):
        decision, _, undoes = said.partition(":")
        made.append(Choice(f"{number}", "conv", channel, decision, by, undoes=undoes or None))
    return made


def counted(*told: tuple[str, int, str]) -> dict[int, dict[str, str]]:
    found = standing(choices(*told))
    return {channel: {by: one.decision for by, one in people.items()} for (_, channel), people in found.items()}


def test_the_last_choice_of_each_person_counts() -> None:
    assert counted(("ann", 0, "keep"), ("ben", 0, "keep"), ("ann", 0, "drop")) == {0: {"ann": "drop", "ben": "keep"}}


def test_an_undo_takes_back_the_choice_that_it_names() -> None:
    told = (("ann", 0, "keep"), ("ann", 0, "drop"), ("ann", 1, "drop"))
    assert counted(*told, ("ann", 0, "undo:1")) == {0: {"ann": "keep"}, 1: {"ann": "drop"}}
    assert counted(*told, ("ann", 0, "undo:0")) == {0: {"ann": "drop"}, 1: {"ann": "drop"}}
    assert counted(*told, ("ann", 0, "undo:1"), ("ann", 0, "undo:0")) == {1: {"ann": "drop"}}
    assert counted(*told, ("ann", 0, "undo:1"), ("ann", 0, "undo:1")) == counted(*told, ("ann", 0, "undo:1"))


@pytest.mark.parametrize(
    ("answers", "by_rule"),
    [
        ([], (False, False, False)),
        (["drop"], (True, True, True)),
        (["unknown"], (False, False, False)),
        (["drop", "keep"], (True, False, False)),
        (["drop", "unknown"], (True, False, False)),
        (["drop", "drop", "keep"], (True, True, False)),
        (["drop", "drop", "keep", "unknown"], (True, False, False)),
        (["drop", "drop"], (True, True, True)),
    ],
)
def test_who_does_not_know_has_not_said_that_it_goes(answers: list[str], by_rule: tuple[bool, ...]) -> None:
    assert tuple(goes(answers, rule) for rule in AGREE) == by_rule


@given(st.lists(st.sampled_from(ANSWERS), max_size=7))
def test_a_stricter_rule_never_takes_more(answers: list[str]) -> None:
    some, many, every = (goes(answers, rule) for rule in AGREE)
    assert some >= many >= every
    assert not goes([*answers, "keep"], "all")
    assert goes([*answers, "drop"], "any")


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UsageError, match="no rule of agreement 'most'"):
        goes(["drop"], "most")


def test_what_goes_and_where_people_disagree() -> None:
    found = standing(
        choices(("ann", 3, "drop"), ("ben", 3, "drop"), ("ann", 1, "drop"), ("ben", 1, "unknown"), ("ann", 2, "keep"))
    )
    assert dropped(found, "all") == {"conv": (3,)}
    assert dropped(found, "any") == {"conv": (1, 3)}
    assert disagreements(found) == [(("conv", 1), {"ann": "drop", "ben": "unknown"})]


def test_kappa_is_cohens_over_what_both_judged() -> None:
    """Agreement 0.7; by chance 0.5 x 0.6 + 0.5 x 0.4 = 0.5: kappa 0.4."""
    ann = ["drop"] * 5 + ["keep"] * 5
    ben = ["drop"] * 4 + ["keep"] + ["drop"] * 2 + ["keep"] * 3
    told = [(by, n, said) for by, answers in (("ann", ann), ("ben", ben)) for n, said in enumerate(answers)]
    (pair,) = compare_people(standing(choices(*told, ("ann", 99, "keep"))))
    assert (pair.first, pair.second, pair.filters, pair.agreed) == ("ann", "ben", 10, 7)
    assert pair.kappa == pytest.approx(0.4)


def test_kappa_where_chance_explains_everything_is_not_there() -> None:
    (pair,) = compare_people(standing(choices(("ann", 0, "keep"), ("ben", 0, "keep"))))
    assert (pair.agreed, pair.kappa) == (1, None)
    assert compare_people(standing(choices(("ann", 0, "keep"), ("ben", 1, "keep")))) == []


def test_concordance_of_person_and_machine() -> None:
    scores = {("a", 0): 0.1, ("a", 1): 0.2, ("a", 2): 0.2, ("b", 0): 9.0, ("b", 1): 1.0}
    said = {("a", 0): "drop", ("a", 1): "keep", ("a", 2): "drop", ("b", 0): "drop", ("b", 1): "keep"}
    assert concordance(said, scores) == pytest.approx(1.5 / 3)  # right, equal, wrong; never across layers
    assert concordance({("a", 0): "drop"}, scores) is None
    assert concordance(said | {("a", 3): "drop"}, scores) == pytest.approx(1.5 / 3)  # one without a score
