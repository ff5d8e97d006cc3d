"""What a copy lacks, or has otherwise."""

from __future__ import annotations

from typing import Any

from cnngraph.database.copy_compare import Renaming, compare_edges, compare_nodes


def edge(kind: str, target: str = "b", **properties: Any) -> dict[str, Any]:
    return {"source": "a", "type": kind, "properties": properties, "targets": [target]}


def test_edges_that_are_told_apart_are_compared_one_by_one() -> None:
    changes = compare_edges([edge("JUDGED", id=1), edge("JUDGED", id=2)], [edge("JUDGED", id=1), edge("JUDGED", id=3)])
    assert changes.lacks == [edge("JUDGED", id=2)]
    assert changes.more == [edge("JUDGED", id=3)]
    assert (changes.other, changes.instead) == ([], [])


def test_one_current_run_a_measure() -> None:
    changes = compare_edges([edge("CURRENT", "new", measure="depth")], [edge("CURRENT", "old", measure="depth")])
    assert changes.other == [edge("CURRENT", "new", measure="depth")]
    assert changes.instead == [edge("CURRENT", "old", measure="depth")]


def test_as_many_edges_as_there_are() -> None:
    twice = [edge("KNOWS", x=1), edge("KNOWS", x=1)]
    assert compare_edges(twice, twice[:1]).lacks == [edge("KNOWS", x=1)]
    assert compare_edges(twice[:1], twice).more == [edge("KNOWS", x=1)]
    nan = float("nan")
    assert compare_edges([edge("ARC", weight=nan)], [edge("ARC", weight=float("nan"))]).lacks == []


def node(*labels: str, **properties: Any) -> dict[str, Any]:
    return {"labels": list(labels), "properties": properties}


def test_values_that_are_missing_and_others() -> None:
    assert compare_nodes(node("Model", status="loading"), node("Model", status="complete", leaseToken="x")) is None
    change = compare_nodes(node("Layer", "Removed", x=1, y=2), node("Layer", x=3, z=4))
    assert change is not None
    assert change.differs
    assert change.row("n", overwrite=False) == {"id": "n", "labels": ["Removed"], "gone": [], "properties": {"y": 2}}
    assert change.row("n", overwrite=True, mirror=True) == {
        "id": "n",
        "labels": ["Removed"],
        "gone": [],
        "properties": {"y": 2, "x": 1, "z": None},
    }
    other = compare_nodes(node("Layer", "Theta1"), node("Layer", "Theta2"))
    assert other is not None
    assert other.row("n", overwrite=False) is None
    assert other.row("n", overwrite=True) == {"id": "n", "labels": ["Theta1"], "gone": ["Theta2"], "properties": {}}


def test_what_begins_with_a_key_is_renamed() -> None:
    names = Renaming("ada/net", "ada/new")
    assert [names.of(text) for text in ("ada/net", "ada/net/lsf/1", "ada/net:2", "ada/net-2", 3)] == [
        *("ada/new", "ada/new/lsf/1", "ada/new:2", "ada/net-2"),
        3,
    ]
