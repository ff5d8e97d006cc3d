"""Which classes are meant: numbers, names that are numbers, names with commas."""

from __future__ import annotations

import pytest

from cnngraph.errors import NotFoundError, UsageError
from cnngraph.sources.class_choice import choose_classes

NAMES = ["-x", "3", "Blast, no lineage spec", 'O\'Reef "big"', "R&D <b>", "mean", "a", "a,b"]


@pytest.mark.parametrize(
    ("typed", "chosen"),
    [
        (["0,2"], ("-x", "Blast, no lineage spec")),
        (["3"], ("3",)),
        (["1"], ("3",)),
        (["Blast, no lineage spec"], ("Blast, no lineage spec",)),
        (["Blast, no lineage spec", "3"], ("Blast, no lineage spec", "3")),
        (["mean,Blast, no lineage spec,-x"], ("mean", "Blast, no lineage spec", "-x")),
        (["a,b"], ("a,b",)),
        (["a, mean"], ("a", "mean")),
        ([' R&D <b> , O\'Reef "big"'], ("R&D <b>", 'O\'Reef "big"')),
        (["-x", "4"], ("-x", "R&D <b>")),
    ],
)
def test_names_and_numbers(typed: list[str], chosen: tuple[str, ...]) -> None:
    assert choose_classes(typed, NAMES) == chosen


@pytest.mark.parametrize(
    ("typed", "kind", "said"),
    [
        (["8"], NotFoundError, "There is no class 8: the data has 8, numbered from 0 to 7"),
        (["9" * 5000], NotFoundError, "There is no class 9"),
        (["-1"], NotFoundError, "no class '-1'"),
        (["1.0"], NotFoundError, "no class '1.0'"),
        (["²"], NotFoundError, "no class"),
        (["meen"], NotFoundError, "Did you mean mean?"),
        (["Blast"], NotFoundError, "Did you mean Blast, no lineage spec?"),
        (["0,0"], UsageError, "'-x' is chosen twice"),
        (["0", "-x"], UsageError, "'-x' is chosen twice"),
        (["0,,2"], UsageError, "names nothing at one place"),
        (["0,"], UsageError, "names nothing at one place"),
        (["mean,"], UsageError, "names nothing at one place"),
    ],
)
def test_what_is_refused(typed: list[str], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as refused:
        choose_classes(typed, NAMES)
    assert "\n" not in str(refused.value)
