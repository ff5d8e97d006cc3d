"""The criterion of a person's eye: which groups go, in the numbers of the net that earlier steps have cut already."""

from __future__ import annotations

import pytest
import torch

from cnngraph.database.reviews import Choice
from cnngraph.errors import PlanError
from cnngraph.models.registry import build
from cnngraph.pruning.by_people import ByPeople
from cnngraph.pruning.context import Images
from cnngraph.pruning.criteria import Candidates
from cnngraph.pruning.greedy import Room, groups_of
from cnngraph.review.agreement import dropped, standing
from cnngraph.review.carried_out import Judgement
from cnngraph.surgery.channels.coupling import Coupling, coupled
from tests.toynets import toy

LAYER, SHAPE = "features.3", (3, 32, 32)
Said = tuple[str, int, str, str]  # layer, channel, decision, by whom


def by_people(*said: Said, agree: str = "all") -> ByPeople:
    made = [Choice(str(i), layer, channel, decision, by) for i, (layer, channel, decision, by) in enumerate(said)]
    found = standing(made)
    return ByPeople(Judgement(found, agree, dropped(found, agree)), "net")


@pytest.fixture(scope="module")
def coupling() -> Coupling:
    return coupled(build("cnngraph:lenet5", classes=10, size=32, seed=0).eval(), SHAPE)


def chosen(people: ByPeople, coupling: Coupling, first: int, share: int = 5) -> dict[int, float]:
    """Filters that go, with their scores, of a net in which the numbers of the layer begin at ``first``."""
    candidates = Candidates(
        net=torch.nn.Identity(),
        input_shape=SHAPE,
        coupling=coupling,
        layer=LAYER,
        groups=groups_of(coupling, [LAYER])[LAYER],
        numbers={layer: range(first, first + width) for layer, width in coupling.layers.items()},
        training=lambda: Images(lambda: iter(()), 10),
        judged=Images(lambda: iter(()), 10),
        device=torch.device("cpu"),
        batch=16,
    )
    return {one.group.filters[0][1]: one.score for one in people(candidates, Room.of(coupling, {LAYER: share}))}


def test_those_go_that_people_dropped_by_the_numbers_of_the_unpruned_net(coupling: Coupling) -> None:
    said: tuple[Said, ...] = (
        (LAYER, 3, "drop", "ann"),
        (LAYER, 4, "drop", "ann"),
        (LAYER, 4, "drop", "ben"),
        (LAYER, 5, "drop", "ann"),
        (LAYER, 5, "unknown", "ben"),
        (LAYER, 6, "keep", "ann"),
        (LAYER, 1, "drop", "ann"),
    )
    assert chosen(by_people(*said), coupling, 2) == {1: 1.0, 2: 1.0}  # filters 3 and 4 of the unpruned net
    assert chosen(by_people(*said, agree="any"), coupling, 2) == {1: 1.0, 2: 1.0, 3: 0.5}
    assert chosen(by_people(*said), coupling, 2, share=1) == {1: 1.0}


def test_as_many_go_as_were_dropped_and_no_more_than_the_share(coupling: Coupling) -> None:
    people = by_people((LAYER, 0, "drop", "ann"), (LAYER, 1, "drop", "ann"))
    groups = groups_of(coupling, [LAYER])
    assert people.shares(coupling, groups, {LAYER: 15}) == {LAYER: 2}
    assert people.shares(coupling, groups, {LAYER: 1}) == {LAYER: 1}
    assert people.judged_layers(["features.0", LAYER]) == (LAYER,)
    with pytest.raises(PlanError, match="by what ann said"):
        people.judged_layers(["features.0"])


def test_filters_that_go_together_may_be_dropped_in_either_layer_or_both() -> None:
    summed = coupled(toy("residual").eval(), (3, 8, 8))
    layers = list(summed.layers)
    (group, *_) = (one for one in summed.groups if not one.fixed and len({layer for layer, _ in one.filters}) > 1)
    first, second, *_ = dict.fromkeys(layer for layer, _ in group.filters)
    channel = dict(group.filters)
    told = {
        (first,): by_people((first, channel[first], "drop", "ann")),
        (first, second): by_people((first, channel[first], "drop", "ann"), (second, channel[second], "drop", "ann")),
    }
    for named, people in told.items():
        groups = groups_of(summed, people.judged_layers(layers))
        shares = people.shares(summed, groups, {layer: summed.layers[layer] - 1 for layer in named})
        assert shares[first] == 1
        assert Room.of(summed, shares).fits(group)
    kept = by_people((first, channel[first], "drop", "ann"), (second, channel[second], "keep", "ann"))
    assert kept.notes(summed) == [
        f"Filter {channel[first]} of {first} stays: filter {channel[second]} of {second} goes with it, and is kept."
    ]


def test_a_layer_keeps_one(coupling: Coupling) -> None:
    people = by_people(*((LAYER, channel, "drop", "ann") for channel in range(16)))
    with pytest.raises(PlanError, match=r"All 16 filters of features\.3") as refused:
        people.shares(coupling, groups_of(coupling, [LAYER]), {LAYER: 15})
    assert refused.value.hint == "Keep one: cnngraph review net --layer features.3"
