"""Plans: of the golden toys, of the authors' own network, and at the edges."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from cnngraph.errors import PlanError, UsageError, for_command
from cnngraph.measures.measure import LayerTheta, MeasureResult
from cnngraph.network.cnn2multilayer import read_gexf
from cnngraph.network.tables import Network
from cnngraph.plan import Plan
from cnngraph.pruning.multilayer import Extent, Ranking, decide, plan_network
from tests.unit.measures.networks import toy_4x4

# The published figures, max / median of each layer in network order, and what each threshold adds.
LAST_FIVE = (1.0518, 0.3207, 0.2702, 0.3456, 0.0686)
GOLDEN = {
    "degree": (
        0.342350,
        (1130.3432, 1087.9515, 606.1157, 84.9759, 96.8071, 17.9203, 5.2695, 7.8913, *LAST_FIVE),
        {
            0.10: {"5_3"},
            0.30: {"5_1"},
            0.35: {"4_3", "5_2"},
            1.10: {"4_2"},
            5.30: {"3_3"},
            7.90: {"4_1"},
        },
    ),
    "entropy": (
        2.726149,
        None,
        {
            0.95: {"5_1", "5_2", "5_3"},
            1.05: {"4_3"},
            1.15: {"4_2"},
            1.20: {"3_1", "4_1"},
            1.25: {"2_1", "2_2", "3_2", "3_3"},
            1.45: {"1_1"},
            1.50: {"1_2"},
        },
    ),
}


def ranking(*values: float, measure: str = "degree") -> MeasureResult:
    rows = tuple(LayerTheta(f"conv{i}", 2 * value, value) for i, value in enumerate(values, 1))
    return MeasureResult("me/net:run", measure, 2.0, rows, model="me/net", parameters={"aggregate": "mean"})


def additions(plan: Plan) -> dict[float, set[str]]:
    """What each step of the schedule adds, with the authors' block5_conv3 as 5_3."""
    found, before = {}, set[str]()
    for step in plan.schedule:
        found[step.threshold] = {layer[5] + "_" + layer[-1] for layer in set(step.removed) - before}
        before = set(step.removed)
    return found


@pytest.fixture(scope="module")
def authors(shared: Path) -> Network:
    folder = shared / "golden" / "cnn2multilayer-cifar10"
    return read_gexf(folder / "graph.gexf.gz", [folder / f"class_{k}.csv" for k in range(10)])


@pytest.mark.parametrize("measure", ["degree", "entropy"])
def test_the_authors_cifar10_network_gives_its_published_schedule(authors: Network, measure: str) -> None:
    reference, thetas, schedule = GOLDEN[measure]
    plan = plan_network(authors, ranking=Ranking(measure=measure))
    assert plan.reference == pytest.approx(reference, abs=5e-7)
    if thetas:
        assert [row.theta for row in plan.layers] == pytest.approx(list(thetas), abs=5e-5)
    assert additions(plan) == schedule
    assert plan.removes == ()


def test_its_ranking_is_nearly_depth_and_says_so(authors: Network) -> None:
    plan = plan_network(authors)
    assert plan.correlations["depth"] == pytest.approx(0.97, abs=0.005)
    assert plan.correlations["activation"] == pytest.approx(0.97, abs=0.005)
    assert [note.split(" (")[0] for note in plan.notes] == [
        "The ranking by degree is nearly that by depth",
        "The ranking by degree is nearly that by activation",
    ]


def test_its_median_over_the_classes_is_refused(authors: Network) -> None:
    with pytest.raises(PlanError, match=r"-37\.8195") as refused:
        plan_network(authors, ranking=Ranking(aggregate="median"))
    assert "--reference mean|median-positive" in for_command(refused.value)[1]
    assert (
        plan_network(authors, ranking=Ranking(aggregate="median", reference="median-positive")).reference_rule
        == "median-positive"
    )


def test_the_4x4_toy() -> None:
    plan = plan_network(toy_4x4(), extent=Extent(threshold=2.05))
    assert (plan.reference, plan.removed, plan.architecture) == (2.0, ["conv2"], "tests:random")
    assert [(step.threshold, step.removed) for step in plan.schedule] == [
        (2.05, ("conv2",)),
        (4.55, ("conv1", "conv2")),
    ]
    assert plan_network(toy_4x4(), extent=Extent(threshold=2.0)).removed == []


def test_a_removal_says_why() -> None:
    (removal,) = decide(ranking(0.5, 1.0), extent=Extent(threshold=0.7)).removes
    assert (removal.layer, removal.score, removal.threshold) == ("conv1", 0.5, 0.7)
    assert removal.reason == "No position of it reaches 0.7 x the median degree 2: its largest is 1, theta 0.5."
    (removal,) = decide(ranking(0.5, 1.0), extent=Extent(remove=1)).removes
    assert removal.threshold == 0.55
    assert removal.reason == "Its largest degree is 1, theta 0.5 of the median degree 2: number 1 of 2 from the lowest."
    (removal,) = decide(ranking(0.5, 1.0, measure="depth"), extent=Extent(threshold=0.7)).removes
    assert removal.reason.startswith("It does not reach 0.7 x the median depth 2")


def test_the_schedule_may_name_all_but_a_plan_keeps_one() -> None:
    plan = decide(ranking(0.1, 0.4, 0.4, 0.2), extent=Extent(threshold=1.0))
    assert plan.schedule[-1].removed == ("conv1", "conv2", "conv3", "conv4")
    assert plan.removed == ["conv1", "conv2", "conv4"]
    assert plan.notes[0] == (
        "Every convolution is under the threshold 1; conv3, the deepest of those with the highest theta, stays."
    )


def test_layers_that_cannot_go_stay_and_are_named() -> None:
    keep = {"conv2": "its output is added to others", "fc": "no convolution"}
    plan = decide(ranking(0.1, 0.2, 0.3), extent=Extent(threshold=1.0, keep=keep))
    assert plan.removed == ["conv1", "conv3"]
    assert plan.notes[0] == "conv2 is under the threshold but stays: its output is added to others"
    assert decide(ranking(0.1, 0.2, 0.3), extent=Extent(remove=2, keep=keep)).removed == ["conv1", "conv3"]


def test_a_stored_ranking_is_named_in_the_plan() -> None:
    plan = decide(
        ranking(0.5, 1.0), extent=Extent(init="inherit"), architecture="cnngraph:vgg16", activation={"conv2": 1.0}
    )
    assert (plan.model, plan.run, plan.method, plan.init) == ("me/net", "me/net:run", "multilayer", "inherit")
    assert (plan.measure, plan.aggregate, plan.architecture) == ("degree", "mean", "cnngraph:vgg16")
    assert plan.correlations == {"depth": -1.0, "activation": None}


def test_a_stored_ranking_that_somebody_changed_is_refused() -> None:
    with pytest.raises(PlanError, match="value of layer conv2 is no finite number"):
        decide(ranking(0.5, math.inf), extent=Extent(remove=1))
    with pytest.raises(PlanError, match="the reference is no finite number"):
        decide(replace(ranking(0.5, 1.0), reference=math.nan), extent=Extent(remove=1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": math.nan},
        {"threshold": -0.1},
        {"threshold": math.inf},
        {"remove": 0},
        {"remove": 2},
    ],
)
def test_wrong_choices_are_wrong_usage(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        plan_network(toy_4x4(), extent=Extent(**wrong))  # type: ignore[arg-type]


def test_a_threshold_and_a_count_go_as_far_as_both_allow() -> None:
    rows = ranking(0.5, 0.2, 0.1, 2.0)
    below = decide(rows, extent=Extent(threshold=1.0))
    both = decide(rows, extent=Extent(threshold=1.0, remove=2))
    assert len(below.removes) == 3
    assert both.removed == decide(rows, extent=Extent(remove=2)).removed
    assert "3 layers are under the threshold; 2 of them go" in " ".join(both.notes)
    assert decide(rows, extent=Extent(threshold=1.0, remove=3)).removed == below.removed
