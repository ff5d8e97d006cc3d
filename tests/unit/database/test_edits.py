"""What a prune changed, into one property and back."""

from __future__ import annotations

import json

import pytest

from cnngraph.database import edits as stored
from cnngraph.database.edits import pack_edits, unpack_edits
from cnngraph.errors import SpecError

EDITS = [
    {"module": "a", "kind": "filters", "reason": "the plan removes 2 of 6 filters", "removed": ["a"]},
    {"module": "", "kind": "values", "reason": "2 of 6 channels that it scales are gone", "removed": ["a", "b"]},
]


def test_what_is_packed_comes_out_again() -> None:
    text = pack_edits(EDITS)
    assert unpack_edits(text, "ada/slim") == (EDITS, 0)
    assert text.count('"a"') == 2  # as a module and as a name: not once a change


def test_what_is_too_much_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LIMIT", len(json.dumps(["a", "filters", EDITS[0]["reason"], [0]])))
    assert unpack_edits(pack_edits(EDITS), "ada/slim") == (EDITS[:1], 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"removed": [], "edits": [["a", "filters"]], "left_out": 0}',
        '{"removed": [], "edits": [["a", "filters", "why", [3]]], "left_out": 0}',
        '{"removed": [], "edits": [], "left_out": "many"}',
    ],
)
def test_what_somebody_changed_is_named_with_what_to_do(text: str) -> None:
    with pytest.raises(SpecError, match="The edits of ada/slim in the graph are damaged") as refused:
        unpack_edits(text, "ada/slim")
    assert "PRODUCED" in refused.value.hint
