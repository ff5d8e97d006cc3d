"""What people said of filters, as a plan: channels that only go together, and those that cannot go."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from cnngraph.database.reviews import Choice
from cnngraph.errors import OptionError
from cnngraph.models.registry import build
from cnngraph.pruning.by_people import groups_by_people
from cnngraph.pruning.choice import choose
from cnngraph.pruning.methods.review import _removals
from cnngraph.review.agreement import dropped, standing
from cnngraph.review.carried_out import Judgement
from cnngraph.surgery.channels.coupling import Coupling, coupled


@pytest.fixture(scope="module")
def coupling() -> Coupling:
    """Of a residual net: the channels of a stage's sums go together."""
    return coupled(build("cnngraph:resnet20", classes=10, in_channels=1, width=0.25).eval(), (1, 32, 32))


def judged(*told: tuple[str, str, int, str], agree: str = "all") -> Judgement:
    """(by, layer, channel, answer), one after the other."""
    choices = [Choice(str(n), layer, channel, said, by) for n, (by, layer, channel, said) in enumerate(told)]
    found = standing(choices)
    return Judgement(found, agree, dropped(found, agree))


def planned(coupling: Coupling, judgement: Judgement) -> tuple[dict[str, Any], list[str]]:
    groups, notes = groups_by_people(coupling, judgement)
    return {one.layer: (one.filters, one.reason) for one in _removals(coupling, judgement, groups)}, notes


def test_a_filter_of_its_own_goes_alone(coupling: Coupling) -> None:
    gone, notes = planned(coupling, judged(("ann", "layer1.0.conv1", 2, "drop")))
    assert gone == {"layer1.0.conv1": ((2,), "1 of 4 filters: ann drops 2.")}
    assert notes == []


def test_what_nobody_judged_goes_along_and_is_said(coupling: Coupling) -> None:
    gone, notes = planned(coupling, judged(("ann", "layer2.0.conv2", 3, "drop"), ("ben", "layer2.0.conv2", 3, "drop")))
    together = ("layer2.0.conv2", "layer2.0.downsample.0", "layer2.1.conv2", "layer2.2.conv2")
    assert {layer: filters for layer, (filters, _) in gone.items()} == dict.fromkeys(together, (3,))
    assert gone["layer2.0.conv2"][1] == "1 of 8 filters: ann drops 3; ben drops 3."
    assert gone["layer2.1.conv2"][1] == "1 of 8 filters: coupled with filters that go: 3."
    assert notes == []


@pytest.mark.parametrize("other", ["keep", "unknown"])
def test_an_answer_that_keeps_a_coupled_filter_keeps_all_of_them(coupling: Coupling, other: str) -> None:
    gone, notes = planned(
        coupling, judged(("ann", "layer2.0.conv2", 3, "drop"), ("ben", "layer2.2.conv2", 3, other), agree="any")
    )
    assert gone == {}
    assert notes == ["Filter 3 of layer2.0.conv2 stays: filter 3 of layer2.2.conv2 goes with it, and is kept."]


def test_what_cannot_go_stays_and_is_said() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3), nn.Flatten(), nn.Linear(16, 3)).eval()
    gone, notes = planned(
        coupled(net, (1, 8, 8)), judged(("ann", "2", 0, "drop"), ("ann", "0", 1, "drop"), ("ann", "gone", 0, "drop"))
    )
    assert gone == {"0": ((1,), "1 of 4 filters: ann drops 1.")}
    assert len(notes) == 2
    assert notes[0].startswith("Filter 0 of 2 stays: they are all that 2 ")
    assert "Filter 0 of gone" in notes[1]


def test_it_says_by_itself_how_much_goes() -> None:
    choice = choose({"method": "review", "agree": "majority"}, needed=True)
    assert choice.method is not None
    assert (choice.method.name, choice.options.agree, choice.limits) == ("review", "majority", {})
    with pytest.raises(OptionError, match="ratio belongs to the methods"):
        choose({"method": "review", "ratio": 0.3})
    with pytest.raises(OptionError, match="no agree 'most'"):
        choose({"method": "review", "agree": "most"})
    with pytest.raises(OptionError, match="data"):
        choose({"method": "review", "data": "digits"})
