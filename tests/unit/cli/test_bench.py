"""What ``bench`` prints is what its JSON holds."""

from __future__ import annotations

import pytest

from cnngraph.cli.bench import print_found, print_preview, require_no_error
from cnngraph.errors import CnngraphError
from tests.benches import bench_result, full_result, point


def test_a_table_a_budget_with_ranks_and_sentences(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    result = full_result() | {"page": "bench.html", "csv": "points.csv"}
    print_found(result)
    shown = capsys.readouterr()
    first = result["table"][0]
    lines = shown.out.splitlines()
    place = next(place for place, line in enumerate(lines) if line.split()[:3] == ["1", "multilayer", "3/3"])
    means, spreads = lines[place : place + 2]
    assert f"{first['accuracy']['mean']:.4f}" in means and f"{first['parameters']['mean'] / 1000:.4g}k" in means
    assert f"±{first['accuracy']['sd']:.4f}" in spreads and f"±{first['parameters']['sd'] / 1000:.4g}k" in spreads
    rows = [line.split()[:3] for line in lines]
    assert ["-", "imp", "0/3"] in rows and ["-", "car", "2/3"] in rows
    assert "epochs" not in shown.out  # all trained for as many
    said = " ".join(shown.out.split())
    assert "macs=0.5: multilayer is best of the 7 methods that can be ranked" in said
    assert "Not ranked: car (2 of 3 seeds meet the budget, seed 2: 1.93 times as fast at the most)" in said
    assert shown.err.splitlines() == ["Wrote bench.html", "Wrote points.csv"]


def test_epochs_that_differ_stand_in_the_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    points = [
        point("imp", "macs=0.5", 0, nonzero=70_123, macs=40_550_000),
        point("progressive", "macs=0.5", 0, epochs=19, seconds=1234.5),
        point("control", None, 0, parameters=138_357_544, macs=15_470_264_320),
    ]
    print_found(bench_result(points, ["macs=0.5"]))
    lines = capsys.readouterr().out.splitlines()
    cells = {line.split()[1]: line.split() for line in lines if line.startswith(("1", "-"))}
    assert (cells["progressive"][-2:], cells["imp"][-2:]) == (["19", "1,234"], ["5", "12.5"])
    assert "138.4M" in cells["control"] and "15.47G" in cells["control"]
    assert max(map(len, lines)) <= 100


def test_what_is_left_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    left = [{"method": "imp", "budget": "macs=0.5", "seed": 1}, {"method": "control", "budget": None, "seed": 1}]
    print_found(bench_result([point("car", "macs=0.5", 0)], ["macs=0.5"], left=left))
    shown = capsys.readouterr()
    assert "not zero" not in shown.out  # no net has a mask
    assert shown.err.splitlines()[:2] == ["Not made yet: imp macs=0.5 seed 1", "Not made yet: control seed 1"]
    assert "--out bench.html" in shown.err


def test_a_preview_counts(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"budgets": ["macs=0.5"], "methods": ["car", "imp"], "epochs": 1, "trainings": 3, "epochs_in_all": 7}
    print_preview(asked | {"seconds": 210.0, "would_write": {"models": 2}})
    said = "together, about 3.5 minutes and what decisions, proofs and storing take; 2 models in the graph."
    assert " ".join(capsys.readouterr().out.split()).endswith(said)
    print_preview(asked | {"trainings": 0, "epochs_in_all": 0, "seconds": 0.0, "would_write": {"models": 0}})
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing is left to train."


def test_a_net_that_ended_in_an_error_is_exit_1() -> None:
    require_no_error([{"method": "car", "budget": "macs=0.5", "seed": 0}])
    with pytest.raises(
        CnngraphError, match=r"1 net ended in an error, the first: imp macs=0.5 seed 2: no memory\."
    ) as end:
        require_no_error([{"method": "imp", "budget": "macs=0.5", "seed": 2, "why": "no memory"}])
    assert end.value.exit_code == 1
