"""What the sections about the papers say follows from the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from benchmarks.reproduce import car, imp_page, progressive, triage_page

MACHINE = {"processor": "a processor", "threads": 1, "date": "2026-01-01", "load": 0.1}
LAYERS = ("relu1", "pool1", "logits")


def _imp(what: str, **found: Any) -> dict[str, Any]:
    row = {"title": "LeNet5 on MNIST", "scale": "x", "seed": 0, "what": what, "images_per_class": 3, "epochs": 1}
    return row | {"tested": 10, "machine": MACHINE} | found


def _alike(what: str, values: tuple[float, float, float]) -> dict[str, Any]:
    layers = [
        {"layer": layer, "svcca": value, "svcca null": 0.1, "cka": value, "cka null": 0.0}
        for layer, value in zip(LAYERS, values, strict=True)
    ]
    return _imp(what, layers=layers)


def _rows(between: float) -> list[dict[str, Any]]:
    rounds = [{"round": 1, "alive": 0.8, "accuracy": 0.8}, {"round": 2, "alive": 0.64, "accuracy": 0.7}]
    return [
        _imp("prune lr", rounds=rounds, before={"accuracy": 0.75}, control={"accuracy": 0.9}),
        _imp("prune weights", rounds=rounds, before={"accuracy": 0.75}),
        _alike("compare lr 1", (0.9, between, 0.8)),
        _alike("compare weights 2", (0.9, between, 0.8)),
        _alike("compare control", (0.9, 0.85, 0.8)),
    ]


@pytest.mark.parametrize(
    ("between", "said"),
    [
        pytest.param(0.5, "lower between, came out: in 2 of 2 comparisons", id="U"),
        pytest.param(0.85, "lower between, did not come out: in 0 of 2 comparisons", id="slope"),
        pytest.param(0.95, "lower between, did not come out: in 0 of 2 comparisons", id="hill"),
    ],
)
def test_similarity_is_a_u_where_both_ends_lie_above_what_is_between(between: float, said: str) -> None:
    text = imp_page.page(_rows(between))
    assert said in text
    assert "| relu1 | 0.900 (0.10) | 0.900 (0.10) | 0.900 (0.10) |" in text


def test_pruning_is_held_against_the_net_that_was_trained_for_as_long() -> None:
    text = imp_page.page(_rows(0.5))
    assert "64.0% of the weights come to -5.0 points beside the unpruned net" in text
    assert "trained for as long has +15.0 itself, beside which the first comes to -20.0" in text
    ((about, _, ours),) = imp_page.summarise(_rows(0.5))
    assert about == "LeNet5 on MNIST, one seed"
    assert "-20.0 beside the unpruned net trained as long" in ours


def _trial(block: str, scheme: str, accuracy: float, epochs_to_95: int | None = None) -> dict[str, Any]:
    row = {"title": "digits", "scale": "3x1+2b16-w0.25-s32-v10-t100", "seed": 0, "block": block, "scheme": scheme}
    row |= {"images_per_class": 3, "parent_epochs": 1, "epochs": 2, "judged": 10, "tested": 100, "machine": MACHINE}
    return row | {"accuracy": accuracy, "epochs_to_95": epochs_to_95}


def _claims(rows: list[dict[str, Any]]) -> Mapping[str, str]:
    """By claim, whether it came out."""
    lines = triage_page.page(rows).partition("### Beside the paper")[2].splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {cell[0]: cell[2] for cell in cells[1:]}


STAGES = ("stage1", "stage2", "stage3", "stage4", "stage5")
PAPER = (
    _trial("", "parent", 0.8),
    _trial("", "control", 0.82),
    *(_trial(stage, "random-global", 0.83, 2) for stage in STAGES),
    *(_trial(stage, "distill", 0.79, 1) for stage in STAGES),
)


def test_the_claims_of_triage_come_out_where_the_figures_say_so() -> None:
    assert set(_claims(list(PAPER)).values()) == {"yes"}


@pytest.mark.parametrize(
    ("changed", "claim", "word"),
    [
        pytest.param(_trial("stage2", "random-global", 0.3), "accuracy does not depend", "no", id="spread"),
        pytest.param(_trial("stage1", "random-global", 0.2), "fine-tuning the whole net", "no", id="not recovered"),
        pytest.param(_trial("stage1", "distill", 0.9, None), "distillation hastens", "yes", id="later once"),
        pytest.param(_trial("stage1", "distill", 0.9, 1), "distillation caps", "yes", id="above once"),
        pytest.param(_trial("", "parent", 0.5), "distillation caps", "no", id="all above"),
        pytest.param(_trial("", "parent", 0.95), "distillation caps", "cannot be told", id="none above"),
    ],
)
def test_a_claim_does_not_come_out_where_they_do_not(changed: dict[str, Any], claim: str, word: str) -> None:
    same = ("block", "scheme")
    rows = [changed if all(row[name] == changed[name] for name in same) else row for row in PAPER]
    found = {known: said for known, said in _claims(rows).items() if known.startswith(claim)}
    assert [said.startswith(word) for said in found.values()] == [True]


def test_a_scheme_counts_when_all_its_blocks_are_tried() -> None:
    unfinished = [row for row in PAPER if row["block"] in ("", "stage1", "stage2")]
    assert not {claim for claim in _claims(unfinished) if claim.startswith(("accuracy", "fine-tuning"))}
    assert "| random-global | 83.0% | 83.0% | - |" in triage_page.page(unfinished)


def _filters_gone(layer: str, method: str, accuracy: float, **found: Any) -> dict[str, Any]:
    row = {"setting": "x", "net": "alexnet", "seed": 0, "layer": layer, "method": method, "filters": 4}
    return row | {"accuracy": accuracy} | found


def test_car_is_held_against_the_best_baseline_in_the_table_and_in_the_summary() -> None:
    first, second = car.SETTINGS["alexnet"].layers
    colour = {"order": [0, 1], "selective": [True, False, True, False], "from": 0.75}
    rows = [
        _filters_gone(first, "car", 0.6, **colour),
        _filters_gone(first, "random", 0.3),
        _filters_gone(first, "apoz", 0.4),
        _filters_gone(second, "car", 0.4),
        _filters_gone(second, "random", 0.5),
    ]
    text = car.page(rows, judged=10)
    assert f"| alexnet {first} | +50.0 % | APoZ | +26 % | APoZ |" in text
    assert "What did not come out: the 20 % of AlexNet's layer 2 (-20.0 % here)." in text
    ours = [found for _, _, found in car.summarise(rows)]
    assert ours[:2] == ["+50.0 % beside the best baseline (APoZ)", "-20.0 % beside the best baseline (random)"]
    assert ours[2] == "50% in layer 1, where 50% of all filters are"


def test_progressive_is_summarised_a_net_a_row() -> None:
    ways = {"progressive": 0.8, "everything": 0.75, "unpruned, as long": 0.9}
    row = {"title": "LeNet-5"} | {way: {"accuracy": accuracy} for way, accuracy in ways.items()}
    ((about, _, ours),) = progressive.summarise([row])
    assert about == "LeNet-5, one seed"
    assert ours.startswith("+5.0 points of accuracy beside retraining everything, -10.0 beside the unpruned net")
