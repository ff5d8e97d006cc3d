"""The edits that taking filters out of a net comes to."""

from __future__ import annotations

from collections.abc import Iterator

from cnngraph.plan import Plan
from cnngraph.surgery.channels.filters import SlicedNet
from cnngraph.surgery.edits import Edit, Kind

__all__ = ["list_edits"]

_READ: tuple[tuple[Kind, str, str], ...] = (
    ("inputs", "that it reads", "inputs"),
    ("norm channels", "that it scales", "norms"),
)


def list_edits(sliced: SlicedNet, plan: Plan) -> tuple[Edit, ...]:
    """Every layer and norm that lost channels with the filters of ``plan``, by kind, each in network order."""
    return tuple(_edits(sliced, plan)) if sliced.coupling is not None else ()


def _edits(sliced: SlicedNet, plan: Plan) -> Iterator[Edit]:
    assert sliced.coupling is not None
    gone, dependencies, asked = sliced.coupling.gone(sliced.filters), sliced.coupling.dependencies, tuple(plan.filters)
    for path, row in dependencies.outputs.items():
        lost = int(gone[row].sum())
        named = len(set(plan.filters.get(path, ())))
        if lost:
            along = f", {lost - named} of them coupled with filters that do" if lost > named > 0 else ""
            reason = f"the plan removes {lost} of {len(row)} filters{along}"
            if not named:
                reason = f"{lost} of {len(row)} filters are coupled with filters that go"
            yield Edit("filters", path, reason, (path,) if named else asked)
    for kind, what, held in _READ:
        for path, row in getattr(dependencies, held).items():
            lost = int(gone[row].sum())
            if lost:
                yield Edit(kind, path, f"{lost} of {len(row)} channels {what} are gone", asked)
