"""Filter plans over hand-made couplings: numbers worked out by hand, and what holds of every plan."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnngraph import plan_filters
from cnngraph.errors import PlanError, UsageError
from cnngraph.plan import Plan

quick = settings(deadline=None, derandomize=True, max_examples=80)
Place = tuple[str, int]


@dataclass(frozen=True)
class Group:
    index: int
    filters: tuple[Place, ...]
    fixed: str = ""
    units: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Coupling:
    """As :class:`cnngraph.surgery.channels.coupling.Coupling`, as far as a plan looks at it."""

    layers: dict[str, int]
    groups: tuple[Group, ...]

    def closure(self, filters: Mapping[str, Iterable[int]]) -> dict[str, tuple[int, ...]]:
        asked = {(layer, channel) for layer, channels in filters.items() for channel in channels}
        gone = {place for group in self.groups if asked & set(group.filters) for place in group.filters}
        return {
            layer: tuple(sorted(channel for name, channel in gone if name == layer))
            for layer in self.layers
            if any(name == layer for name, _ in gone)
        }


def coupling(layers: dict[str, int], *together: list[Place], fixed: Mapping[Place, str] | None = None) -> Coupling:
    """Channels in ``together`` form a group, every other one a group of its own."""
    groups: list[list[Place]] = [list(group) for group in together]
    known = {place for group in groups for place in group}
    groups += [[(name, i)] for name, width in layers.items() for i in range(width) if (name, i) not in known]
    reasons = fixed or {}
    return Coupling(layers, tuple(Group(i, tuple(g), reasons.get(g[0], "")) for i, g in enumerate(groups)))


def plan(net: Coupling, scores: Mapping[str, list[float]], **options: object) -> Plan:
    return plan_filters(net, scores, **options)  # type: ignore[arg-type]


CHAIN = coupling({"a": 4, "b": 8})
RISING = {"a": [1.0, 2.0, 3.0, 4.0], "b": [80.0, 70.0, 60.0, 50.0, 40.0, 30.0, 20.0, 10.0]}


def test_the_lowest_of_every_layer_go() -> None:
    made = plan(CHAIN, RISING, ratio=0.5, score_name="bn", model="me/net", architecture="x", run="run-1")
    assert made.filters == {"a": (0, 1), "b": (4, 5, 6, 7)}
    assert (made.method, made.measure, made.model, made.run) == ("filters", "bn", "me/net", "run-1")
    assert made.settings == {
        "ratio": 0.5,
        "scope": "layer",
        "round_to": 1,
        "at_least": 1,
        "widths": {"a": 4, "b": 8},
    }
    first = made.removes[0]
    assert (first.scores, first.score, first.threshold) == ((0.4, 0.8), 0.8, 1.2)  # over the mean 2.5
    assert first.reason == "The 2 of 4 filters of lowest bn, over the layer's mean."
    assert made.notes == ()


def test_a_share_that_is_a_whole_number_loses_none_to_rounding() -> None:
    made = plan(coupling({"a": 100}), {"a": [float(i) for i in range(100)]}, ratio=0.29)
    assert made.filters == {"a": tuple(range(29))}


def test_globally_the_lowest_of_all_go() -> None:
    net = coupling({"a": 4, "b": 4})
    scores = {"a": [0.1, 1.3, 1.3, 1.3], "b": [0.9, 1.0, 1.05, 1.05]}
    assert plan(net, scores, ratio=0.25, scope="global").filters == {"a": (0,), "b": (0,)}
    assert plan(net, scores, ratio=0.5, scope="global").filters == {"a": (0,), "b": (0, 1, 2)}


def test_globally_no_layer_is_emptied() -> None:
    net = coupling({"a": 2, "b": 6})
    scores = {"a": [1.0, 1.0], "b": [0.5, 0.5, 0.5, 0.5, 2.0, 2.0]}
    made = plan(net, scores, ratio=0.99, scope="global", at_least=2)
    assert made.filters == {"b": (0, 1, 2, 3)}


def test_coupled_filters_share_one_score_and_go_together() -> None:
    net = coupling({"a": 2, "b": 2, "c": 2}, [("a", 0), ("c", 0)], [("a", 1), ("c", 1)])
    # a alone would lose 0 (0.5 < 1.5), c alone 1 (0.2 < 1.8): the means are 1.15 and 0.85
    made = plan(net, {"a": [1.0, 3.0], "b": [1.0, 1.0], "c": [9.0, 1.0]}, ratio=0.5)
    assert made.filters == {"a": (1,), "b": (0,), "c": (1,)}
    assert made.removes[0].scores == pytest.approx((0.85,))
    assert made.removes[0].reason.endswith("; the mean with what is coupled with them in c.")


def test_a_dense_layer_that_is_coupled_keeps_a_unit() -> None:
    groups = tuple(Group(i, (("a", i),), units=(("gate", i // 2),)) for i in range(4))
    made = plan(Coupling({"a": 4}, (*groups, Group(4, (), units=(("fc", 0),)))), {"a": [1.0, 2.0, 3.0, 4.0]}, ratio=0.8)
    assert made.filters == {"a": (0, 1, 2)}
    one_gate = tuple(Group(i, (("a", i),), units=(("gate", i),)) for i in range(2))
    assert plan(
        Coupling({"a": 4}, (*one_gate, Group(2, (("a", 2),)), Group(3, (("a", 3),)))),
        {"a": [1.0, 2.0, 3.0, 4.0]},
        ratio=0.8,
    ).filters == {"a": (0, 2, 3)}


def test_what_cannot_go_is_counted_a_line_a_reason() -> None:
    net = coupling({"a": 4, "b": 2, "c": 2}, fixed={("b", 0): "it is the output", ("b", 1): "it is the output"})
    made = plan(net, {"a": [1.0, math.nan, 3.0, 4.0]}, ratio=0.5)
    assert made.filters == {"a": (0, 2)}
    assert made.notes == (
        "3 filters could not be considered: they have no score magnitude.",
        "2 filters could not be considered: it is the output.",
    )
    with pytest.raises(PlanError, match="No filter") as refused:
        plan(net, {}, ratio=0.5)
    assert "they have no score magnitude" in refused.value.hint


def test_widths_are_rounded_to_the_nearest_multiple() -> None:
    net = coupling({"a": 16, "b": 20, "c": 4})
    scores = {layer: [float(i + 1) for i in range(width)] for layer, width in net.layers.items()}
    made = plan(net, scores, ratio=0.3, round_to=8)  # 11.2 and 14 would stay
    assert {layer: net.layers[layer] - len(gone) for layer, gone in made.filters.items()} == {"a": 8, "b": 16}
    assert made.notes == ("Narrower than 8 filters, so whole: c (4).",)
    globally = plan(net, scores, ratio=0.3, round_to=8, scope="global")
    assert all((net.layers[layer] - len(gone)) % 8 == 0 for layer, gone in globally.filters.items())


def test_where_coupling_prevents_a_multiple_it_is_said() -> None:
    pairs = [[("a", i), ("a", i + 1), ("a", i + 2)] for i in range(0, 12, 3)]
    made = plan(coupling({"a": 12}, *pairs), {"a": [1.0] * 12}, ratio=0.5, round_to=4)
    assert len(made.filters["a"]) == 3
    assert made.notes == ("Left with no multiple of 4, since channels are coupled or cannot go: a (9).",)


def test_rounding_wider_than_every_layer_is_refused() -> None:
    with pytest.raises(PlanError, match="No layer has 16 filters: the widest, b, has 8"):
        plan(CHAIN, RISING, ratio=0.5, round_to=16)
    with pytest.raises(PlanError, match="Every layer keeps 8 filters at least, and the widest, b, has 8"):
        plan(CHAIN, RISING, ratio=0.5, at_least=8)


def test_a_share_of_nothing_removes_nothing_and_says_so() -> None:
    made = plan(CHAIN, RISING, ratio=0.01)
    assert made.removes == ()
    assert "No filter goes" in made.notes[0]
    kept = plan(CHAIN, RISING, ratio=0.01, at_least=2)
    assert kept.removes == ()
    assert "beyond the 2 that each layer keeps" in kept.notes[0]
    with pytest.raises(PlanError, match="Every layer keeps 99 filters at least, and the widest, b, has 8") as caught:
        plan(CHAIN, RISING, ratio=0.5, at_least=99)
    assert "at_least" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ratio": 0.0}, "share between 0 and 1"),
        ({"ratio": 1.0}, "share between 0 and 1"),
        ({"ratio": math.nan}, "share between 0 and 1"),
        ({"ratio": 0.3, "scope": "gobal"}, "Did you mean global"),
        ({"ratio": 0.3, "round_to": 0}, "round_to=0"),
        ({"ratio": 0.3, "at_least": 0}, "at_least=0"),
    ],
)
def test_options_out_of_range_are_wrong_usage(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        plan(CHAIN, RISING, **options)
    assert said in str(refused.value)


@st.composite
def couplings(draw: st.DrawFn) -> tuple[Coupling, dict[str, list[float]]]:
    """Up to five layers; some share their channels, some bind two of their own, some cannot go."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layers = {f"conv{i}": int(rng.integers(1, 20)) for i in range(rng.integers(1, 6))}
    free = {(name, i) for name, width in layers.items() for i in range(width)}
    together: list[list[Place]] = []
    names = sorted(layers)
    if len(names) > 1 and rng.random() < 0.7:  # a residual stream
        chosen = names[: int(rng.integers(2, len(names) + 1))]
        together = [[(name, i) for name in chosen] for i in range(min(layers[name] for name in chosen))]
    if rng.random() < 0.5:  # a grouped convolution
        last = names[-1]
        own = sorted(free - {place for group in together for place in group})
        pairs = [place for place in own if place[0] == last]
        together += [[a, b] for a, b in zip(pairs[::2], pairs[1::2], strict=False)]
    fixed = {group[0]: "kept" for group in together if rng.random() < 0.1}
    ties = rng.random() < 0.5
    scores = {
        name: (rng.integers(0, 3, width) if ties else rng.random(width)).tolist() for name, width in layers.items()
    }
    return coupling(layers, *together, fixed=fixed), scores


@quick
@given(
    couplings(), st.floats(0.01, 0.99), st.sampled_from(["layer", "global"]), st.integers(1, 5), st.sampled_from([1, 4])
)
def test_every_plan_is_closed_leaves_enough_and_says_how_much_it_takes(
    net: tuple[Coupling, dict[str, list[float]]], ratio: float, scope: str, at_least: int, round_to: int
) -> None:
    made_of, scores = net
    try:
        made = plan(made_of, scores, ratio=ratio, scope=scope, at_least=at_least, round_to=round_to)
    except PlanError:  # everything is fixed, or nothing as wide as round_to
        return
    gone = {layer: set(filters) for layer, filters in made.filters.items()}
    assert made_of.closure(made.filters) == made.filters
    places = {(layer, channel) for layer, filters in gone.items() for channel in filters}
    groups = [group for group in made_of.groups if places & set(group.filters)]
    assert not any(group.fixed for group in groups)
    for layer, filters in gone.items():
        assert made_of.layers[layer] - len(filters) >= at_least
    if round_to == 1:
        _require_share(made_of, made, groups, ratio, scope, at_least)


def _require_share(net: Coupling, made: Plan, gone: list[Group], ratio: float, scope: str, at_least: int) -> None:
    """No more than the share, and no less than it by a whole group that would have fitted."""
    taken = Counter(place[0] for group in gone for place in group.filters)
    widths = made.settings["widths"]
    room = {layer: max(0, width - at_least) for layer, width in widths.items()}
    most = math.floor(ratio * sum(widths.values()) + 1e-9)
    if scope == "layer":
        room = {layer: min(room[layer], math.floor(ratio * width + 1e-9)) for layer, width in widths.items()}
        most = sum(widths.values())
    assert all(taken[layer] <= room[layer] for layer in taken)
    assert sum(taken.values()) <= most
    left = [group for group in net.groups if group not in gone and not group.fixed]
    fitting = [
        group
        for group in left
        if all(taken[layer] + n <= room[layer] for layer, n in Counter(p[0] for p in group.filters).items())
    ]
    largest = max((len(group.filters) for group in fitting), default=0)
    assert not fitting or sum(taken.values()) + largest > most


@quick
@given(couplings(), st.floats(0.05, 0.95))
def test_global_scope_takes_the_lowest(net: tuple[Coupling, dict[str, list[float]]], ratio: float) -> None:
    made_of, scores = net
    try:
        made = plan(made_of, scores, ratio=ratio, scope="global")
    except PlanError:
        return
    over_mean = {layer: np.array(values) / (np.mean(values) or 1) for layer, values in scores.items()}
    score = {g.index: np.mean([over_mean[layer][i] for layer, i in g.filters]) for g in made_of.groups if not g.fixed}
    gone = {g.index for g in made_of.groups if g.filters[0][1] in made.filters.get(g.filters[0][0], ())}
    highest = max((score[i] for i in gone), default=-math.inf)
    taken = Counter(layer for layer, filters in made.filters.items() for _ in filters)
    for group in made_of.groups:
        if group.index in score and group.index not in gone and score[group.index] < highest - 1e-12:
            full = Counter(layer for layer, _ in group.filters)
            assert any(made_of.layers[layer] - taken[layer] - n < 1 for layer, n in full.items())
