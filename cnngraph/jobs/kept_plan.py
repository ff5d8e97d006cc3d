"""A measured decision, kept until its prune has stored the new model.

Latency scatters: decided anew, an interrupted prune might choose other filters or layers, and train from the start what
it had half trained. What follows from the graph alone is decided again, and is the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cnngraph import __version__
from cnngraph.console import Progress
from cnngraph.errors import PlanError, VerificationError
from cnngraph.jobs.decide import Decision, decide
from cnngraph.jobs.stored import OtherData, Stored, stored
from cnngraph.plan import Plan, read_plan, write_plan
from cnngraph.settings import Settings

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["decided"]


@contextmanager
def decided(
    db: Database,
    settings: Settings,
    name: str,
    decision: Decision,
    *,
    data: OtherData,
    training: Mapping[str, object],
    dry_run: bool,
    progress: Progress,
) -> Iterator[Plan]:
    """The plan for the prune in the ``with`` block, without costs; as :func:`cnngraph.jobs.decide.decide` otherwise.

    A measured one is the plan of the interrupted prune that was decided in the same way, where there is one. It is
    forgotten when the block is through, or refuses it: then another may do.

    Args:
        training: how the new net will be trained, as it was typed: a prune that trains otherwise has a plan of its own,
            which the end of this one does not take away.
        dry_run: the block stores nothing, so nothing is kept or forgotten.
    """

    def anew() -> Plan:
        return decide(db, settings, name, decision, data=data, progress=progress, costs=False)

    if not _is_measured(decision):
        yield anew()
        return
    path = settings.home / "work" / f"plan-{_digest(stored(db, name), decision, data, training)}.json"
    plan = _kept(path, progress)
    if plan is None:
        plan = anew()
        if not dry_run:
            write_plan(plan, path)
    try:
        yield plan
    except (PlanError, VerificationError):
        path.unlink(missing_ok=True)
        raise
    if not dry_run:
        path.unlink(missing_ok=True)


def _is_measured(decision: Decision) -> bool:
    target = decision.target
    return target is not None and target.kind == "speedup" and decision.timing.table is None


def _kept(path: Path, progress: Progress) -> Plan | None:
    if not path.is_file():
        return None
    try:
        plan = read_plan(path)
    except PlanError:  # half a file of a crashed disk, or another program's: it is decided again
        return None
    progress.note(f"Going on with the plan of an interrupted prune, not measured again (delete {path} to measure).")
    return plan


def _digest(model: Stored, decision: Decision, data: OtherData, training: Mapping[str, object]) -> str:
    """Names the inputs: program, model, its weights and mapping, all that decides, the data and the training."""
    inputs = {
        "cnngraph": __version__,
        "model": model.key,
        "weights": model.properties.get("sha256"),
        "fingerprint": model.properties.get("fingerprint"),
        "decision": asdict(decision),
        "data": asdict(data),
        "training": dict(training),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:16]
