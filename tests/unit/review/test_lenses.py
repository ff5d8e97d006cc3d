"""What the page is told of a filter can always be sent as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

from torch import Tensor, nn

from cnngraph.network.followed_net import FollowedNet
from cnngraph.review.costs import FilterCosts
from cnngraph.review.lenses import Lenses
from cnngraph.surgery.channels.coupling import coupled

FACTS: dict[str, Any] = {"classes": ["a", "b"], "input_shape": [3, 8, 8], "correlated": False}


def test_a_class_without_images_is_told_as_not_known() -> None:
    row = {"map": {"car": 0.25, "carByClass": [0.25, math.nan]}, "serves": [], "twins": []}
    told = Lenses("net", FACTS).look("conv1", 0, row, hidden=False)
    assert told["lenses"]["serves"]["by_class"] == [0.25, None]
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_what_was_not_measured_names_the_command() -> None:
    told = Lenses("net", FACTS).look("conv1", 0, {"map": {}, "serves": [], "twins": []}, hidden=False)
    assert told["lenses"]["serves"]["absent"]["command"] == "cnngraph measure net --measure car --layer conv1"


def test_numbers_that_json_does_not_have_are_told_as_not_known() -> None:
    """Somebody's own properties, and a correlation of a filter that never answers."""
    twin = {"layer": "conv1", "channel": 1, "correlation": math.nan, "scope": "within"}
    row = {
        "map": {"mine": math.inf, "other": math.nan, "l2": 0.5, "car": math.nan},
        "serves": [{"index": 0, "name": "a", "reduction": -math.inf, "rank": 1}],
        "twins": [twin],
    }
    told = Lenses("net", FACTS | {"correlated": True}).look("conv1", 0, row, hidden=False)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    expected = [{"name": "l2", "value": 0.5}, {"name": "mine", "value": None}, {"name": "other", "value": None}]
    assert told["lenses"]["scores"]["scores"] == expected
    assert told["lenses"]["twins"]["twins"] == [twin | {"correlation": None}]
    assert told["lenses"]["serves"]["served"][0]["reduction"] is None
    assert told["cost"]["car"] is None


class Summed(nn.Module):
    """A conv layer that is added to the image, so that none of its three filters can go; and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.added, self.free, self.head = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.free(x + self.added(x))
        return self.head(x.mean((2, 3)))


def test_a_filter_that_cannot_go_names_no_command_that_measures_nothing() -> None:
    net = Summed().eval()
    costs = FilterCosts(net, FollowedNet(net, (3, 4, 4)).view("coupling", coupled))
    lenses = Lenses("net", FACTS, costs=costs)
    row: dict[str, Any] = {"map": {}, "serves": [], "twins": []}
    told = lenses.look("added", 0, row, hidden=False)
    reason = told["cost"]["no_car"]
    assert reason
    assert told["cost"]["stays"] == reason
    assert told["lenses"]["serves"] == {
        "text": f"What each class loses without it cannot be measured, for it cannot go: {reason}."
    }
    told = lenses.look("free", 0, row, hidden=False)
    assert told["cost"]["no_car"] == ""
    assert "cnngraph measure net" in told["lenses"]["serves"]["absent"]["command"]
