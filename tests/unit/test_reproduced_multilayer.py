"""The section about class networks in docs/results.md: each sentence follows from the figures, whatever they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from benchmarks.reproduce.multilayer_page import page

LAYERS = [f"features.{number}" for number in range(13)]
LAST, FIRST = LAYERS[-2:], LAYERS[:2]
WHOLE, BETTER, WORSE = 0.80, 0.84, 0.76


def rows(
    accuracies: Mapping[str, float], *, data: str = "caltech101", seed: int = 0, ratio: float = 0.5
) -> list[dict[str, Any]]:
    """Findings about one seed: ``multilayer`` and ``single`` take the last two layers, the others the first two."""
    common = {"data": data, "seed": seed}
    found: list[dict[str, Any]] = []
    for way in ("whole", *accuracies):
        figure = accuracies.get(way, WHOLE)
        scores = {"accuracy": figure, "precision": figure, "recall": figure, "untrained": 0.5, "images": 1600}
        parameters = 100 if way == "whole" else 60
        figures = common | {"way": way, "parameters": parameters} | scores
        found += [figures | {"protocol": protocol} for protocol in ("scratch", "inherited")]
        found.append(common | {"protocol": "time", "way": way, "ratio": 1.0 if way == "whole" else ratio})
        if way != "whole":
            removed = LAST if way in ("multilayer", "single") else FIRST
            theta = {layer: 13.0 - place for place, layer in enumerate(LAYERS)}
            found.append(
                common | {"protocol": "layers", "way": way, "removed": removed, "theta": theta, "threshold": 0.5}
            )
    return found


def test_says_that_it_came_out_where_it_did() -> None:
    text = page(rows({"multilayer": BETTER, "single": BETTER, "random 1": WORSE, "random 2": WHOLE}), "How.")
    assert text.startswith("How.\n\n### CALTECH-101, one seed\n\n")
    assert "time: an epoch takes 50 % less time, at least the paper's 47.22 %." in text
    assert "accuracy is 4.00 points above the control; that it is above it came out." in text
    assert "taken by: one network of all images: degree" in text
    assert "multilayer is 6.00 points above random layers." in text  # the mean of the draws
    assert "has the highest mean accuracy" in text
    assert "b5c2 b5c3, under 0.5 (seed 0)" in text
    assert "| accuracy | +11.09 | +5.00 | +5.00 |" in text
    assert "did not come out: accuracy +11.09 % (here +5.00 %)" in text
    assert "goes with depth: Spearman 1.00." in text
    assert "standard error of one such accuracy is 1.00 points, and one seed shows signs" in text


def test_says_what_did_not_come_out() -> None:
    text = page(rows({"multilayer": WORSE, "join": BETTER}, ratio=0.6), "How.")
    assert "an epoch takes 40 % less time, not the paper's 47.22 %." in text
    assert "accuracy is 4.00 points below the control; that it is above it did not come out." in text
    assert "multilayer is 8.00 points below error of the join." in text
    assert "chooses better did not come out against: error of the join." in text
    assert "highest" not in text


@pytest.mark.parametrize(("data", "came"), [("mnist", "that it is not below it came"), ("caltech101", "did not come")])
def test_equal_is_enough_on_mnist_alone(data: str, came: str) -> None:
    text = page(rows({"multilayer": WHOLE, "single": WHOLE}, data=data), "How.")
    assert f"accuracy is equal to the control; that it is {'not below' if data == 'mnist' else 'above'} it" in text
    assert came in text


def test_a_figure_says_how_many_seeds_it_has() -> None:
    both = {"multilayer": BETTER, "join": WORSE}
    text = page([*rows(both), *rows({"multilayer": WHOLE}, seed=1)], "How.")
    assert "### CALTECH-101, 2 seeds" in text
    assert "| **multilayer**: degree over class networks | 2 of 2 | 60 | 50.0 ± 0.0 | 82.0 ± 2.8 |" in text
    assert "| error of the join | 0 of 2 | 60 | 50.0 (n = 1) | 76.0 (n = 1) |" in text
    assert "accuracy is 2.00 ± 2.83 points above the control (with 1 of 2 seeds);" in text


def test_a_seed_that_is_not_through_gives_no_figures() -> None:
    unfinished = [row for row in rows({"multilayer": BETTER}) if row["protocol"] != "scratch"]
    assert "No seed is through yet." in page(unfinished, "How.")
