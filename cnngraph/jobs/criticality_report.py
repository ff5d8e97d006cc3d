"""What the graph and the work folder know of how critical the blocks of a model are, for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnngraph.database.criticality import read_criticality
from cnngraph.jobs.criticality_trial import pictures_stage
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder
from cnngraph.reporting.criticality import CriticalitySection, NewFilters, make_section

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["describe_blocks"]


def describe_blocks(session: Session, key: str) -> CriticalitySection | None:
    """The section about the model ``key``, with the pictures that are on this machine; ``None``: nothing was tried."""
    trials = read_criticality(session.database, key)
    filters: dict[str, list[NewFilters]] = {}
    for one in _first_seeds(trials):
        stage = pictures_stage(JobFolder(session.workspace.root / one["work"]), one)
        if stage.is_done:
            known = stage.read()
            found = NewFilters(one["scheme"], known["layer"], known["filters"], known["pictures"])
            filters.setdefault(one["block"], []).append(found)
    return make_section(key, trials, filters)


def _first_seeds(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each block and scheme the trial that was stored last with the lowest seed."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in sorted(trials, key=lambda one: (one["created_at"], -one["seed"])):
        found[one["block"], one["scheme"]] = one
    return list(found.values())
