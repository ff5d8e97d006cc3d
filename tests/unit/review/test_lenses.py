"""What the page is told of a filter can always be sent as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

from cnngraph.review.lenses import Lenses

FACTS: dict[str, Any] = {"classes": ["a", "b"], "input_shape": [3, 8, 8], "correlated": False}


def test_a_class_without_images_is_told_as_not_known() -> None:
    row = {"map": {"car": 0.25, "carByClass": [0.25, math.nan]}, "serves": [], "twins": []}
    told = Lenses("net", FACTS).look("conv1", 0, row, hidden=False)
    assert told["lenses"]["serves"]["by_class"] == [0.25, None]
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_what_was_not_measured_names_the_command() -> None:
    told = Lenses("net", FACTS).look("conv1", 0, {"map": {}, "serves": [], "twins": []}, hidden=False)
    assert told["lenses"]["serves"]["absent"]["command"] == "cnngraph measure net --measure car --layer conv1"
