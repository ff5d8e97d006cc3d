"""A target is reached by nets that are really built; their speed is told by a timer of the test's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from cnngraph import plan_filters
from cnngraph.console import Quiet
from cnngraph.errors import PlanError
from cnngraph.network.graph import follow
from cnngraph.plan import LayerScore, Plan, Removal
from cnngraph.pruning.candidates import candidates
from cnngraph.pruning.limits.cost_meter import CostMeter, Timing, megabytes
from cnngraph.pruning.limits.target import Target
from cnngraph.pruning.limits.target_search import reach
from cnngraph.pruning.limits.time_budget import TimeBudget
from cnngraph.pruning.path import LayerPath, RatioPath
from cnngraph.surgery.apply import cut
from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.channels.filter_scores import magnitude
from cnngraph.training.latency import Latency, Passes
from cnngraph.training.latency_table import LatencyTable, write_table

SHAPE = (4, 6, 6)
KEEP = {"0": "glued to the input"}


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """Twelve equal convs, named by the even numbers."""
    return nn.Sequential(*(layer for _ in range(12) for layer in (nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())))


def ranking(model: nn.Module) -> Plan:
    """Theta grows from the input to the output."""
    convs = follow(model, SHAPE).convs
    return Plan(layers=tuple(LayerScore(layer=conv.layer, theta=i / 10, value=1.0) for i, conv in enumerate(convs)))


class Notes(Quiet):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


class Timer:
    """Takes two milliseconds for each conv (it has a ReLU), and ``overhead`` that no layer can be blamed for."""

    def __init__(self, overhead: float = 0.0, spread: float = 0.0) -> None:
        self.overhead, self.spread = overhead, spread
        self.asked: list[dict[str, Any]] = []

    def __call__(
        self, models: Mapping[str, nn.Module], shape: tuple[int, int, int], passes: Passes, **options: Any
    ) -> Latency:
        self.asked.append(options | {"repeats": passes.repeats})
        taken = {name: 2 * len(follow(model, shape).convs) + self.overhead for name, model in models.items()}
        return Latency(taken, dict.fromkeys(taken, self.spread), "cpu", 1, options["batch_size"], 2, options["runtime"])


def reach_by_layers(meter: CostMeter, plan: Plan, keep: Mapping[str, str]) -> Plan:
    """Layers and blocks that can go, lowest first."""
    return reach(meter, LayerPath(plan, candidates(meter.graph, plan, keep), meter.graph, keep))


def reach_by_ratio(meter: CostMeter, plan_at: Callable[[float], Plan]) -> Plan:
    return reach(meter, RatioPath(Plan(), plan_at))


def bench(model: nn.Module, target: Target, timer: Timer | None = None, **timing: Any) -> CostMeter:
    """A meter whose latency table has a millisecond for every layer."""
    made = CostMeter(model, SHAPE, Timing(**timing), measure_latency=timer or Timer(), targets=(target,))
    if "table" not in timing:
        rows = {layer.layer: 1.0 for layer in made.graph.layers if layer.kind != "Input"}
        made.__dict__["table"] = LatencyTable(rows, whole_ms=len(rows) + 1.0)
    return made


@pytest.mark.parametrize(("kind", "value"), [("macs", 0.6), ("parameters", 0.5), ("macs", 30_000)])
def test_counts_land_by_what_the_built_net_has(net: nn.Module, kind: Any, value: float) -> None:
    found = reach_by_layers(bench(net, Target(kind, value)), ranking(net), KEEP)
    slim = cut(net, found, input_shape=SHAPE)
    if kind == "macs":
        before, after = (sum(layer.macs for layer in follow(model, SHAPE).layers) for model in (net, slim))
    else:
        before, after = (sum(parameter.numel() for parameter in model.parameters()) for model in (net, slim))
    share = value if value < 1 else value / before
    assert after / before == pytest.approx(share, rel=0.15)
    assert found.settings["target"]["reached"] == pytest.approx(after / before)
    assert found.settings["target"]["landed"]
    assert any(f"MACs {sum(layer.macs for layer in follow(net, SHAPE).layers):,}" in note for note in found.notes)


@pytest.mark.parametrize("overhead", [0.0, 20.0])
def test_a_speed_up_is_measured_twice_and_corrected(net: nn.Module, overhead: float) -> None:
    timer = Timer(overhead)
    found = reach_by_layers(
        bench(net, Target("speedup", 1.5), timer, runtime="onnxruntime", batch=4), ranking(net), KEEP
    )
    reached = found.settings["target"]
    assert reached["reached"] == pytest.approx(1.5, rel=0.15)
    assert len(reached["measured"]) >= 2
    assert len(timer.asked) == len(reached["measured"])  # and none beside
    assert {(asked["runtime"], asked["batch_size"]) for asked in timer.asked} == {("onnxruntime", 4)}
    assert found.settings["latency"]["table_error"] == pytest.approx(-1 / 25)
    assert "an error of" in found.notes[0]
    assert f"measured {len(reached['measured'])} times" in found.notes[1]


def test_a_busy_machine_is_said(net: nn.Module) -> None:
    found = reach_by_layers(bench(net, Target("speedup", 1.2), Timer(spread=20.0)), ranking(net), KEEP)
    assert any(note.startswith("BUSY: passes of one net scattered by 100%") for note in found.notes)
    assert found.settings["latency"]["scatter"] == pytest.approx(1.0)


def test_what_goes_is_the_lowest_in_network_order_with_its_reason(net: nn.Module) -> None:
    found = reach_by_layers(bench(net, Target("speedup", 1.2)), ranking(net), KEEP)
    graph = follow(net, SHAPE)
    assert found.removed == sorted(found.removed, key=lambda layer: graph.layer(layer).index)
    assert found.removes[0].layer == "2"  # 0 itself cannot go
    assert found.removes[0].score == 0.1
    assert "number 1 of" in found.removes[0].reason


def test_more_than_can_be_reached_says_what_is_the_most(net: nn.Module) -> None:
    with pytest.raises(PlanError, match=r"out of reach: the most is a speed-up of \d+\.\d\d, by removing") as caught:
        reach_by_layers(bench(net, Target("speedup", 500.0)), ranking(net), KEEP)
    assert "These stay: 0: glued" in caught.value.hint


def test_nothing_to_remove_is_refused(net: nn.Module) -> None:
    everything = {conv.layer: "glued" for conv in follow(net, SHAPE).convs}
    with pytest.raises(PlanError, match="No layer or block of this net can be removed") as caught:
        reach_by_layers(bench(net, Target("macs", 0.5)), Plan(layers=()), everything)
    assert "glued" in caught.value.hint


class Reads(nn.Module):
    """Four equal convs; of the third the forward reads a setting that nothing else has."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.c(self.b(self.a(x).relu()).relu()) / self.c.out_channels
        return self.d(x.relu()).relu()


@pytest.mark.parametrize("target", [Target("macs", 0.5), Target("speedup", 2.0)])
def test_what_the_users_code_cannot_do_without_stays_and_others_go(target: Target) -> None:
    model = Reads()
    scores = {"c": 0.1, "b": 0.2, "a": 0.3, "d": 0.4}
    ranked = Plan(layers=tuple(LayerScore(layer=layer, theta=theta, value=1.0) for layer, theta in scores.items()))
    made = bench(model, target)
    made.progress = Notes()
    found = reach_by_layers(made, ranked, {})
    assert found.removed == ["a", "b"]
    assert any("c cannot go: in eval mode the net then fails at" in said for said in made.progress.said)


@pytest.mark.parametrize("target", [Target("macs", 0.95), Target("parameters", 0.97), Target("speedup", 1.02)])
def test_a_target_next_to_nothing_removes_something_or_is_refused(net: nn.Module, target: Target) -> None:
    found = reach_by_layers(bench(net, target), ranking(net), KEEP)
    assert found.removed == ["2"]
    wide = nn.Sequential(nn.Conv2d(4, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1))
    coupling = coupled(wide, SHAPE)
    scores = magnitude(wide, coupling)
    made = reach_by_ratio(bench(wide, target), lambda ratio: plan_filters(coupling, scores, ratio=ratio))
    assert made.filters
    two = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
    with pytest.raises(PlanError, match="Nothing goes: whatever could go first overshoots"):
        reach_by_layers(bench(two, target), ranking(two), {})


def test_a_miss_is_said_loudly() -> None:
    model = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 4, 3)
    )
    ranked = Plan(layers=(LayerScore(layer="2", theta=0.1, value=1.0),))
    found = reach_by_layers(bench(model, Target("macs", 0.073)), ranked, {})  # 6 % are left without it
    assert found.removed == ["2"]
    assert not found.settings["target"]["landed"]
    assert any(note.startswith("MISSED: 6.0% of the MACs") for note in found.notes)
    with pytest.raises(PlanError, match="Nothing goes: whatever could go first overshoots"):
        reach_by_layers(bench(model, Target("macs", 0.7)), ranked, {})


def test_a_table_of_another_device_is_reckoned_with(net: nn.Module, tmp_path: Path) -> None:
    rows = {layer.layer: 2.0 for layer in follow(net, SHAPE).layers if layer.kind == "Conv"}
    path = write_table(LatencyTable(rows, whole_ms=50.0), tmp_path / "table.csv")
    timer = Timer()
    found = reach_by_layers(bench(net, Target("speedup", 1.5), timer, table=path), ranking(net), KEEP)
    assert 12 / (12 - len(found.removed)) == pytest.approx(1.5, rel=0.15)
    assert len(timer.asked) == 1  # for the statement alone
    assert found.settings["latency"]["table"] == str(path)
    assert any("Reckoned from the table" in note for note in found.notes)
    assert "own device was not measured" in found.notes[-1]


@pytest.mark.parametrize("filters", [False, True])
def test_a_table_that_does_not_fit_is_refused_as_such(net: nn.Module, tmp_path: Path, filters: bool) -> None:
    path = write_table(LatencyTable({"conv9": 1.0}, whole_ms=None), tmp_path / "table.csv")
    made = bench(net, Target("speedup", 1.5), table=path)
    gone = Plan(removes=(Removal(layer="2", kind="filters", filters=(0,)),))
    with pytest.raises(PlanError, match="the net does not have: conv9"):
        reach_by_ratio(made, lambda ratio: gone) if filters else reach_by_layers(made, ranking(net), KEEP)


def test_layers_too_narrow_for_the_rounding_are_said_before_anything_is_measured(net: nn.Module) -> None:
    coupling = coupled(net, SHAPE)
    timer = Timer()
    with pytest.raises(PlanError, match=r"No filters can go: .*No filter goes") as caught:
        reach_by_ratio(
            bench(net, Target("speedup", 1.5), timer),
            lambda ratio: plan_filters(coupling, magnitude(net, coupling), ratio=ratio, round_to=4),
        )
    assert "round_to" in caught.value.hint
    assert timer.asked == []


def test_the_ratio_of_filters_lands_by_what_the_built_net_has(net: nn.Module) -> None:
    coupling = coupled(net, SHAPE)
    scores = magnitude(net, coupling)
    found = reach_by_ratio(
        bench(net, Target("parameters", 0.5)), lambda ratio: plan_filters(coupling, scores, ratio=ratio)
    )
    slim = cut(net, found, input_shape=SHAPE)
    before, after = (sum(parameter.numel() for parameter in model.parameters()) for model in (net, slim))
    assert found.filters
    assert found.settings["target"]["reached"] == pytest.approx(after / before)
    assert found.settings["target"]["landed"] == (abs(math.log(2 * after / before)) <= math.log(1.15))


def test_several_targets_hold_together(net: nn.Module) -> None:
    made = CostMeter(
        net,
        SHAPE,
        measure_latency=Timer(),
        targets=(Target("macs", 0.9), Target("parameters", 0.5), Target("mb", 2e-3)),
    )
    found = reach_by_layers(made, ranking(net), KEEP)
    slim = cut(net, found, input_shape=SHAPE)
    counts = [sum(parameter.numel() for parameter in model.parameters()) for model in (net, slim)]
    assert megabytes(slim) == pytest.approx(4 * counts[1] / 1e6)
    assert megabytes(slim) <= 2e-3 * 1.15
    assert counts[1] / counts[0] <= 0.5 * 1.15
    each = {one["kind"]: one["reached"] for one in found.settings["targets"]}
    assert each["parameters"] == pytest.approx(counts[1] / counts[0])
    assert each["mb"] == pytest.approx(megabytes(slim) / megabytes(net))
    assert "wanted were 90.0% of the MACs and 50.0% of the parameters" in " ".join(found.notes)


def test_milliseconds_are_those_of_the_net_that_is_built(net: nn.Module) -> None:
    timer = Timer()
    found = reach_by_layers(bench(net, Target("latency_ms", 16.0), timer), ranking(net), KEEP)
    assert len(found.removed) == 4  # two milliseconds a conv
    assert found.settings["target"]["reached"] == pytest.approx(16 / 24)
    with pytest.raises(PlanError, match="has 24 milliseconds already"):
        reach_by_layers(bench(net, Target("latency_ms", 30.0)), ranking(net), KEEP)


def test_what_is_reachable_is_said_before_the_search(net: nn.Module) -> None:
    made = bench(net, Target("macs", 0.5))
    made.progress = Notes()
    reach_by_layers(made, ranking(net), KEEP)
    assert made.progress.said[0].startswith("Predicted to be reachable: least ")
    assert "most " in made.progress.said[0]
    assert made.progress.said[0].endswith("wanted is 50.0% of the MACs.")


def test_a_search_out_of_time_takes_the_best_so_far(net: nn.Module) -> None:
    timer = Timer(overhead=20.0)
    graph = follow(net, SHAPE)
    path = LayerPath(ranking(net), candidates(graph, ranking(net), KEEP), graph, KEEP)
    found = reach(bench(net, Target("speedup", 1.5), timer), path, TimeBudget(0.0))
    assert len(timer.asked) == 1
    assert found.removed
