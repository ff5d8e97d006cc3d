"""A measured decision, kept until its prune has stored the new model.

Latency scatters: decided anew, an interrupted prune might choose other filters or layers, and train from the start what
it had half trained. What follows from the graph alone is decided again, and is the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cnngraph import __version__
from cnngraph.console import Progress
from cnngraph.errors import PlanError, VerificationError
from cnngraph.plan import Plan, read_plan, write_plan

__all__ = ["remembered"]


@contextmanager
def remembered(
    work: Path, inputs: Mapping[str, object] | None, decide: Callable[[], Plan], *, forget: bool, progress: Progress
) -> Iterator[Plan]:
    """The plan for the prune in the ``with`` block: that of an interrupted one with the same inputs, else a new one.

    It is forgotten when the block is through, or refuses it: then another may do.

    Args:
        work: folder of unfinished work.
        inputs: all that decides, and how the net will be trained: a prune that trains otherwise has a plan of its own,
            which the end of this one does not take away. ``None``: deciding anew comes out the same.
        forget: ``False`` for a dry run, which stores nothing: nothing is remembered or forgotten.
    """
    if inputs is None:
        yield decide()
        return
    path = work / f"plan-{_digest(inputs)}.json"
    plan = _kept(path, progress)
    if plan is None:
        plan = decide()
        if forget:
            write_plan(plan, path)
    try:
        yield plan
    except (PlanError, VerificationError):
        path.unlink(missing_ok=True)
        raise
    if forget:
        path.unlink(missing_ok=True)


def _kept(path: Path, progress: Progress) -> Plan | None:
    if not path.is_file():
        return None
    try:
        plan = read_plan(path)
    except PlanError:  # half a file of a crashed disk, or another program's: it is decided again
        return None
    progress.note(f"Going on with the plan of an interrupted prune, not measured again (delete {path} to measure).")
    return plan


def _digest(inputs: Mapping[str, object]) -> str:
    content = json.dumps({"cnngraph": __version__} | dict(inputs), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
