"""The sentence of a report about the images that its figures are of."""

from __future__ import annotations

from typing import Any

import pytest

from cnngraph.cli.plan_tables import print_pruned
from cnngraph.datasets.images_from import ImagesFrom
from cnngraph.plan import Plan
from cnngraph.reporting.page import judged_on, remarks_on

VAL = ImagesFrom("test", 60, "val", "no").as_json()
SPLIT = ImagesFrom("test", 27, "split", "possibly").as_json()


def test_one_sentence_where_all_nets_were_judged_alike() -> None:
    result = {which: {"images_from": VAL} for which in ("before", "after", "control")}
    assert judged_on(result) == "Judged on 60 test images (val), none of which it was trained on."


def test_a_sentence_each_where_they_were_not() -> None:
    result: dict[str, Any] = {"before": {"images_from": VAL}, "after": {"images_from": SPLIT}, "control": None}
    assert judged_on(result) == (
        "The net before: judged on 60 test images (val), none of which it was trained on. "
        "The new net: judged on 27 test images (split off), "
        "on which it may have been trained."
    )


@pytest.mark.parametrize("stored", [None, "changed by hand", {}, {"part": "test"}, VAL | {"trained_on": "perhaps"}])
def test_what_was_not_kept_is_not_said(stored: object) -> None:
    result: dict[str, Any] = {"before": {}, "after": {"images_from": stored}, "control": None}
    assert judged_on(result) == ""
    assert remarks_on(result) == []


def test_a_prune_says_once_which_images_were_judged(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"accuracy": 0.9, "images": 60, "images_from": VAL}
    result = {"before": figures, "after": figures, "control": None, "new_model": "me/slim", "agreement": None}
    result["steps"] = []
    print_pruned(Plan(model="me/net"), result)
    assert " ".join(capsys.readouterr().out.split()).count("60 test images (val)") == 1


def test_a_stored_sentence_is_read_back() -> None:
    assert ImagesFrom.read(SPLIT | {"more": 1}) == ImagesFrom("test", 27, "split", "possibly")
