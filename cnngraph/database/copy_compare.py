"""What one copy of a model has and another lacks, or has otherwise: nodes with their labels and values, and edges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["EdgeChanges", "Edges", "NodeChange", "Renaming", "compare_edges", "compare_nodes", "own_properties"]

# Of a Model: where it stands in its own database, and who writes it there now.
_OF_THE_PLACE = ("status", "leaseToken", "leaseHost", "leasePid", "leaseStarted", "leaseSeen", "leaseOwner")
# What tells relationships of one type between the same nodes apart, where there may be several.
_TOLD_APART: dict[str, tuple[str, ...]] = {
    "CURRENT": ("measure",),
    "FEEDS": ("port",),
    "JUDGED": ("id",),
    "MASKS": ("round",),
    "SIMILAR": ("comparison", "measure"),
}
_ONE_OF = "CURRENT"  # a model has one current run of each measure: which one that is is a value, so to say

Edges = list[dict[str, Any]]  # rows: source, type, properties, targets


@dataclass(frozen=True)
class Renaming:
    """A model's key on either side.

    Attributes:
        old, new: keys, ``OWNER/NAME``; the same where it keeps its name.
    """

    old: str
    new: str

    def of(self, value: Any) -> Any:
        """A value as the other side has it: the key itself, and what begins with it, as the keys of its runs do."""
        if self.old == self.new or not isinstance(value, str) or not value.startswith(self.old):
            return value
        rest = value[len(self.old) :]
        return self.new + rest if not rest or rest[0] in "/:" else value

    def of_all(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Properties as the other side has them."""
        if self.old == self.new:
            return dict(properties)
        return {name: self.of(value) for name, value in properties.items()}


def own_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """What a node says of itself, wherever it is."""
    return {name: value for name, value in properties.items() if name not in _OF_THE_PLACE}


@dataclass(frozen=True)
class NodeChange:
    """How a node that is there becomes as its original: what it lacks, and what it has otherwise.

    Attributes:
        labels, properties: that it lacks. other_labels: ``(to set, to take away)`` where both have some that the other
            has not. other: properties with another value there. more: properties that only the copy has.
    """

    labels: tuple[str, ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)
    other_labels: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    other: Mapping[str, Any] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    more_labels: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether the two contradict each other."""
        return bool(self.other or any(self.other_labels))

    def row(self, node: str, *, overwrite: bool, mirror: bool = False) -> dict[str, Any] | None:
        """What ``copy/set_nodes`` takes; ``None`` where nothing is to be done.

        Args:
            overwrite: also what the two have otherwise, and labels that only the copy has, since those come and go
                (Removed, Theta1). mirror: also take away properties that only the copy has.
        """
        properties, labels = dict(self.properties), list(self.labels)
        gone: list[str] = []
        if overwrite:
            properties |= self.other
            labels += self.other_labels[0]
            gone += [*self.other_labels[1], *self.more_labels]
        if mirror:
            properties |= dict.fromkeys(self.more)
        if not (properties or labels or gone):
            return None
        return {"id": node, "labels": labels, "gone": gone, "properties": properties}


def compare_nodes(original: Mapping[str, Any], copy: Mapping[str, Any]) -> NodeChange | None:
    """What the copy lacks or has otherwise; ``None`` where both are equal. Rows with ``labels`` and ``properties``."""
    wanted, found = own_properties(original["properties"]), own_properties(copy["properties"])
    missing, more = _without(original["labels"], copy["labels"]), _without(copy["labels"], original["labels"])
    if not missing and not more and is_same(wanted, found):
        return None
    contradict = bool(missing and more)
    return NodeChange(
        labels=() if contradict else missing,
        properties={name: value for name, value in wanted.items() if name not in found},
        other_labels=(missing, more) if contradict else ((), ()),
        other={name: value for name, value in wanted.items() if name in found and not is_same(value, found[name])},
        more=_without(found, wanted),
        more_labels=() if contradict else more,
    )


@dataclass
class EdgeChanges:
    """How the edges from some nodes become as those of the originals; all ends are those of the original.

    Attributes:
        lacks: edges that the copy lacks. other: that it has otherwise; instead: what stands in their place.
        more: that only the copy has.
    """

    lacks: Edges = field(default_factory=list)
    other: Edges = field(default_factory=list)
    instead: Edges = field(default_factory=list)
    more: Edges = field(default_factory=list)


def compare_edges(original: Edges, copy: Edges) -> EdgeChanges:
    """What the copy lacks or has otherwise, of what its ends, its type and :data:`_TOLD_APART` tell apart."""
    wanted, found = _groups(original), _groups(copy)
    changes = EdgeChanges()
    for group, edges in wanted.items():
        there = found.pop(group, [])
        missing, more = (edges, there) if not there else _left_over(edges, there)
        if missing and more:
            changes.other += _rows(group, missing)
            changes.instead += _rows(group, more)
        else:
            changes.lacks += _rows(group, missing)
            changes.more += _rows(group, more)
    for group, there in found.items():
        changes.more += _rows(group, there)
    return changes


def is_same(one: Any, other: Any) -> bool:
    """Whether two values of the graph are the same; a NaN is the same as a NaN."""
    return bool(one == other) or _written(one) == _written(other)


_Group = tuple[str, str, Any]
_Edge = tuple[str, Mapping[str, Any]]  # target, properties


def _groups(rows: Edges) -> dict[_Group, list[_Edge]]:
    found: dict[_Group, list[_Edge]] = {}
    for row in rows:
        source, kind, properties = row["source"], row["type"], row["properties"]
        apart = tuple(map(properties.get, _TOLD_APART.get(kind, ())))
        for target in row["targets"]:
            group = (source, kind, apart if kind == _ONE_OF else (target, *apart))
            found.setdefault(group, []).append((target, properties))
    return found


def _left_over(one: list[_Edge], other: list[_Edge]) -> tuple[list[_Edge], list[_Edge]]:
    """The edges of each that the other has not, one for one."""
    if one == other:
        return [], []
    left = Counter((target, _written(properties)) for target, properties in other)
    missing = []
    for edge in one:
        written = (edge[0], _written(edge[1]))
        if left[written]:
            left[written] -= 1
        else:
            missing.append(edge)
    more = []
    for edge in other:
        written = (edge[0], _written(edge[1]))
        if left[written]:
            left[written] -= 1
            more.append(edge)
    return missing, more


def _rows(group: _Group, edges: Iterable[_Edge]) -> Edges:
    source, kind, _ = group
    return [
        {"source": source, "type": kind, "properties": properties, "targets": [target]} for target, properties in edges
    ]


def _written(value: Any) -> str:
    """A value as text, the same for the same value; floats to their last bit."""
    if isinstance(value, Mapping):
        return repr(sorted((name, _written(one)) for name, one in value.items()))
    return repr(bytes(value)) if isinstance(value, bytearray) else repr(value)


def _without(names: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    left = set(known)
    return tuple(sorted(name for name in names if name not in left))
