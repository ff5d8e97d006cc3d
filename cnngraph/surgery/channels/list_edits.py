"""The edits that taking filters out of a net comes to, found before anything is changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
from torch import nn

from cnngraph.errors import PlanError
from cnngraph.surgery.channels.channel_dependencies import Axis, ChannelDependencies, Size
from cnngraph.surgery.channels.coupling import Coupling
from cnngraph.surgery.channels.slices import NumberEdit, SliceEdit, TensorSlice
from cnngraph.surgery.channels.tracked_ints import Labels, StoredSize
from cnngraph.surgery.edits import Edit, Kind

__all__ = ["list_edits"]

Gone = npt.NDArray[np.bool_]
_ROWS: tuple[tuple[Kind, str], ...] = (("filters", "outputs"), ("inputs", "inputs"), ("norm channels", "norms"))


def list_edits(model: nn.Module, coupling: Coupling, filters: Mapping[str, Iterable[int]]) -> tuple[Edit, ...]:
    """List what changes in ``model`` when ``filters``, and what is coupled with them, go.

    By kind (filters, inputs, norm channels, values, numbers), each in network order.

    Args:
        coupling: of this net. filters: output channels by layer, as a plan names them.

    Raises:
        PlanError: a filter cannot go, or no value of a number that a module stores fits what is left.
    """
    return _Edits(model, coupling, {layer: set(numbers) for layer, numbers in filters.items()}).all()


class _Edits:
    """The edits of one list, while they are collected."""

    def __init__(self, model: nn.Module, coupling: Coupling, filters: dict[str, set[int]]) -> None:
        self.model, self.filters = model, filters
        self.dependencies: ChannelDependencies = coupling.dependencies
        self.gone: Gone = coupling.gone(filters)
        self.classes = coupling.classes
        self.asked = tuple(filters)
        self.details: dict[tuple[Kind, str], SliceEdit] = {}
        self.reasons: dict[tuple[Kind, str], str] = {}

    def all(self) -> tuple[Edit, ...]:
        """Collect them."""
        for kind, rows in _ROWS:
            for path, row in getattr(self.dependencies, rows).items():
                if self.gone[row].any():
                    self._new(kind, path, "")
        self._give_reasons()
        for axis in self.dependencies.axes.values():
            kept = np.flatnonzero(~self.gone[axis.labels])
            if len(kept) < len(axis.labels):
                home = self._home_of(axis)
                if home not in self.details:
                    lost = len(axis.labels) - len(kept)
                    self._new(
                        *home, f"{_of(lost, len(axis.labels), 'channels')} that it has values for {_are(lost)} gone"
                    )
                self.details[home].tensors.append(TensorSlice(axis.owner, axis.name, axis.axis, kept))
        for where, uses in self.dependencies.sizes.items():
            value = _new_size(self.model, where, uses, self.gone)
            if value is not None:
                self._add_number(NumberEdit(where.owner, where.attribute, where.index, value), uses[0].labels)
        for index, labels in self.dependencies.described:
            if self.gone[labels].any():
                left = int((~self.gone[labels]).sum())
                self._add_number(NumberEdit("", "feature_info", index, left), labels)
        return tuple(
            Edit(kind, path, self.reasons[kind, path], self._asked_for(kind, path), detail)
            for (kind, path), detail in self.details.items()
        )

    def _new(self, kind: Kind, path: str, reason: str) -> None:
        self.details[kind, path] = SliceEdit()
        self.reasons[kind, path] = reason

    def _asked_for(self, kind: Kind, path: str) -> tuple[str, ...]:
        """The layers of the plan whose filters, or what is coupled with them, are what this edit is about."""
        rows = dict(_ROWS).get(kind)
        if rows is None:
            return self.asked
        row = getattr(self.dependencies, rows)[path]
        here = set(self.classes[row[self.gone[row]]].tolist())
        outputs = self.dependencies.outputs
        return tuple(
            layer
            for layer, numbers in self.filters.items()
            if not here.isdisjoint(self.classes[outputs[layer][sorted(numbers)]].tolist())
        )

    def _give_reasons(self) -> None:
        """Say of each layer and norm how much of it goes, and of filters that no plan names with what they go."""
        origins = self._origins()
        for kind, path in self.details:
            row = getattr(self.dependencies, dict(_ROWS)[kind])[path]
            lost = int(self.gone[row].sum())
            if kind == "filters":
                reason = self._why_filters(path, lost, len(row), origins.get(path))
            else:
                what = "that it reads" if kind == "inputs" else "that it scales"
                reason = f"{_of(lost, len(row), 'channels')} {what} {_are(lost)} gone"
            self.reasons[kind, path] = reason

    def _why_filters(self, path: str, lost: int, width: int, origin: tuple[str, str] | None) -> str:
        named, part = len(self.filters.get(path, ())), _of(lost, width, "filters")
        if named:
            along = f", {lost - named} of them coupled with filters that do" if lost > named else ""
            return f"the plan removes {part}{along}"
        if origin is None:
            return f"{part} {_are(lost)} coupled with filters that go"
        other, at = origin
        how = f" by {at}"
        if at.endswith(f" {path}"):
            how = ", which it reads group by group"
        elif at.endswith(f" {other}"):
            how = ", which reads them group by group"
        return f"{part} {_are(lost)} coupled with those of {other}{how}"

    def _origins(self) -> dict[str, tuple[str, str]]:
        """By layer that no plan names: the layer with which its filters go, and the operation that couples the two.

        Found from the plan's own layers outwards, so that each layer names one that is nearer to them.
        """
        if len([key for key in self.details if key[0] == "filters"]) <= len(self.filters):
            return {}
        beside: dict[str, list[tuple[str, str]]] = {}
        for (here, there), at in self.dependencies.links(self.gone).items():
            beside.setdefault(here, []).append((there, at))
        found: dict[str, tuple[str, str]] = {}
        waiting = deque(self.filters)
        while waiting:
            here = waiting.popleft()
            for there, at in beside.get(here, ()):
                if there not in found and there not in self.filters:
                    found[there] = (here, at)
                    waiting.append(there)
        return found

    def _home_of(self, axis: Axis) -> tuple[Kind, str]:
        """The edit that a tensor belongs to: that of its layer's filters or inputs, of its norm, or one of its own."""
        layer = next((path for path in _around(axis.owner) if path in self.dependencies.outputs), None)
        if layer is not None:
            same = [kind for kind, rows in _ROWS[:2] if axis.labels is getattr(self.dependencies, rows).get(layer)]
            kind: Kind = "inputs" if axis.reads else same[0] if same else "filters"
            return kind, layer
        return ("norm channels" if axis.owner in self.dependencies.norms else "values"), axis.owner

    def _add_number(self, number: NumberEdit, labels: Labels) -> None:
        """Add a number to an edit of its module, of the channels that it counts if there is one."""
        kinds = [
            kind
            for kind, rows in _ROWS
            if (kind, number.owner) in self.details and getattr(self.dependencies, rows)[number.owner] is labels
        ]
        kinds += [kind for kind, path in self.details if path == number.owner]
        home: tuple[Kind, str] = (kinds[0] if kinds else "number", number.owner)
        if home not in self.details:
            self._new(*home, f"it stores a number of channels: {number.attribute} is {number.value} now")
        self.details[home].numbers.append(number)


def _of(lost: int, width: int, what: str) -> str:
    return f"{lost} of {width} {what}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _around(path: str) -> Iterator[str]:
    """``path`` and the paths of the modules around it, innermost first."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def _new_size(model: nn.Module, where: StoredSize, uses: list[Size], gone: Gone) -> int | None:
    """Find the new value of a stored size so that every use of it fits; ``None`` if it need not change.

    Raises:
        PlanError: no value fits all of its uses.
    """
    wanted = [(use.function, int((~gone[use.labels]).sum()), len(use.labels)) for use in uses]
    if all(left == before for _, left, before in wanted):
        return None
    held = getattr(model.get_submodule(where.owner), where.attribute)
    before = int(held if where.index is None else held[where.index])
    for value in range(before, -1, -1):
        if all(function(value) == left for function, left, _ in wanted):
            return value
    name = ".".join(part for part in (where.owner, where.attribute) if part)
    raise PlanError(
        f"These filters cannot go: no value of {name} gives the sizes that they leave.",
        "Remove other filters.",
    )
