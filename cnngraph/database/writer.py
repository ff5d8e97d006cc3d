"""A Network into Neo4j: idempotent, in batches, and finished by the same command after a break at any moment.

Every node is merged by our own key with all its properties in one transaction; all relationships that belong to one
node (the arcs from a position, the connections into a map) are created in one transaction and skipped where one is
there. So whatever a killed writer left is whole, and the next one adds what is missing. ``status`` becomes ``complete``
last, after everything was counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

from cnngraph.console import Progress, Quiet
from cnngraph.database import catalogue, cypher, rows
from cnngraph.database.batches import send
from cnngraph.database.connection import Database
from cnngraph.database.fingerprint import fingerprint, model_properties
from cnngraph.database.lease import Lease, lease
from cnngraph.database.limits import check_network_fits
from cnngraph.database.review_files import require_yes
from cnngraph.database.schema import require_current
from cnngraph.errors import ConflictError, UsageError
from cnngraph.network import sizes
from cnngraph.network.spec import check
from cnngraph.network.tables import Network
from cnngraph.settings import split_key

__all__ = ["write_network"]

Intent = Literal["new", "resume", "replace", "nothing"]

_Phases = tuple[tuple[str, str, Callable[[Network, str], rows.Rows], int], ...]

# phase, query, rows, elements (of tensors KiB) a batch; constraints exist, so the order is: ends before edges
_PHASES: _Phases = (
    ("layers", "write/classes", rows.class_rows, 5_000),
    ("layers", "write/layers", rows.layer_rows, 5_000),
    ("layers", "write/feeds", rows.feed_rows, 5_000),
    ("layers", "write/blocks", rows.block_rows, 500),
    ("feature_maps", "write/feature_maps", rows.feature_map_rows, 5_000),
    ("feature_maps", "write/coupling_groups", rows.coupling_group_rows, 5_000),
    ("positions", "write/positions", rows.position_rows, 20_000),
    ("arcs", "write/arcs", rows.arc_rows, 200_000),
    ("connections", "write/connects", rows.connect_rows, 100_000),
    ("resemblances", "write/resembles", rows.resemble_rows, 50_000),
    ("tensors", "write/tensors", rows.tensor_rows, 8_000),
)
# What was measured of the net elsewhere: the run last, which says that all of it is there.
_MEASURES: _Phases = (
    ("measures", "write/reductions", rows.reduction_rows, 5_000),
    ("measures", "write/car_runs", rows.car_run_rows, 1),
)


@dataclass(frozen=True)
class WriteOptions:
    """How a Network is written.

    Attributes:
        replace: delete what is under this name first, if its inputs were others.
        dry_run: write nothing, only say what would be written.
        yes: allow more than 2 GB, and to replace a model whose filters people have judged.
        force: with ``replace``, also a model of another owner, which stays that owner's.
    """

    replace: bool = False
    dry_run: bool = False
    yes: bool = False
    force: bool = False


def write_network(
    db: Database,
    network: Network,
    name: str,
    how: WriteOptions | None = None,
    *,
    saved_sha256: str | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write ``network`` as the model ``name``; the same call finishes what a break left, or finds nothing to do.

    Args:
        db: the database; the schema is brought up to date on the embedded server.
        network: checked against the spec first.
        name: of the model, without an owner or with one's own.
        saved_sha256: of the content of its saved model, by which the storage finds it. sha256: of its weights.
        progress: where the phases are shown.

    Returns:
        ``model``, the counts of what it has in the database (of what it would have, with ``dry_run``), ``action`` (new,
        resume, replace or nothing), ``seconds`` by phase and ``relationships_per_second`` over arcs and connections
        (``None`` where they were not all written by this call).

    Raises:
        SpecError: the network contradicts itself.
        ConflictError: the name is in use with other inputs, or somebody writes it now; or people have judged the model
            that would be replaced, without ``yes``.
        UsageError: the name is another owner's, or the store gets too large without ``yes``.
        CnngraphError: it would not fit into the database; nothing was written then.
        DatabaseError: the server refuses or is lost; the same call goes on.
    """
    how = how or WriteOptions()
    key = catalogue.require_own(split_key(name, db.owner), db.owner, force=how.force and how.replace)
    check(network)
    require_current(db)
    intent = _intent(db, key, network, how.replace)
    if intent != "nothing":
        check_network_fits(db, key, network)
    if how.dry_run:
        return {"model": key, **network.counts(), "action": intent, "dry_run": True, **_deleted(db, key, intent)}
    if intent == "nothing" and not _brings_measures(db, key, network):
        return _summary(db, key, "nothing", {}, None)
    if intent == "replace":
        require_yes(db, key, yes=how.yes)
    if not how.yes:
        _require_small(network)
    owner, _, short = key.partition("/")
    db.write(cypher.load("write/open_model"), key=key, owner=owner, name=short)
    with lease(db, key) as held:
        work = _Ingest(db, key, network, held, progress or Quiet())
        return work.run(how.replace, saved_sha256, sha256)


@dataclass
class _Ingest:
    """One run of the writer, under its lease."""

    db: Database
    key: str
    network: Network
    held: Lease
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    edges: int = 0

    def run(self, replace: bool, saved_sha256: str | None, sha256: str | None) -> dict[str, Any]:
        # What was seen before the lease may have changed until it was ours.
        intent = _intent(self.db, self.key, self.network, replace)
        if intent == "nothing":
            if _brings_measures(self.db, self.key, self.network):
                self._send_all(_MEASURES)
            return _summary(self.db, self.key, intent, self.seconds, None)
        if intent == "replace":
            with self._timed("delete"):
                catalogue.clear(self.db, self.key, self.progress)
        if intent != "resume":
            properties = model_properties(self.network, saved_sha256=saved_sha256, sha256=sha256)
            self.db.write(cypher.load("write/begin_model"), key=self.key, properties=properties)
        self._send_all(_PHASES + _MEASURES)
        with self._timed("check"):
            self._verify()
            self.held.check()
            self.db.write(cypher.load("write/finish_model"), key=self.key)
        spent = sum(self.seconds.get(phase, 0.0) for phase in ("arcs", "connections"))
        # A resumed run skips what is there: its pace says nothing.
        rate = self.edges / spent if spent and intent != "resume" else None
        return _summary(self.db, self.key, intent, self.seconds, rate)

    def _send_all(self, phases: _Phases) -> None:
        parts = [(phase, query, make(self.network, self.key), size) for phase, query, make, size in phases]
        for phase, group in groupby(parts, key=lambda part: part[0]):
            self._send(phase, [(query, what, size) for _, query, what, size in group])

    def _send(self, phase: str, parts: list[tuple[str, rows.Rows, int]]) -> None:
        """Write what belongs to one phase: (query, rows, elements a batch) of each part; the phase is said once."""
        parts = [part for part in parts if part[1].count]
        elements = sum(what.elements for _, what, _ in parts)
        if not elements:
            return
        self.progress.start(f"Writing {phase.replace('_', ' ')}", elements)
        with self._timed(phase):
            for query, what, size in parts:
                send(
                    self.db,
                    query,
                    what,
                    model=self.key,
                    size=size,
                    progress=self.progress,
                    before_each=self.held.check,
                )
        if phase in ("arcs", "connections"):
            self.edges += elements

    def _verify(self) -> None:
        expected = _expected(self.network)
        found = catalogue.counts(self.db, self.key)
        wrong = [f"{found[what]} {what} instead of {count}" for what, count in expected.items() if found[what] != count]
        if wrong:
            raise ConflictError(
                f"The model {self.key} has {', '.join(wrong)}: somebody changed it while it was written.",
                "Write it again with --replace.",
            )

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - begun


def _intent(db: Database, key: str, network: Network, replace: bool) -> Intent:
    """What has to be done, given what stands under the name."""
    found = db.read(cypher.load("write/state"), key=key)
    if not found or (found[0]["status"] == "loading" and found[0]["fingerprint"] is None):
        return "new"
    status = found[0]["status"]
    if status == "deleting":
        return "replace"
    if found[0]["fingerprint"] == fingerprint(network):
        return "nothing" if status == "complete" else "resume"
    if replace:
        return "replace"
    if status == "complete":
        raise ConflictError(
            f"The model {key} is there with other inputs.", "Choose another name, or add --replace to write it anew."
        )
    raise ConflictError(
        f"The model {key} is still loading from other inputs.",
        "Finish it with the command that began it, or add --replace to write it anew.",
    )


def _brings_measures(db: Database, key: str, network: Network) -> bool:
    """Whether the network has a CAR that the graph lacks; what was measured there stays."""
    return network.car_runs.num_rows > 0 and not db.read(cypher.load("read/car_run"), key=key)


def _expected(network: Network) -> dict[str, int]:
    more = {
        "feeds": network.feeds,
        "resemblances": network.resembles,
        "blocks": network.blocks,
        "coupling_groups": network.coupling_groups,
        "tensors": network.tensors,
    }
    return network.counts() | {name: table.num_rows for name, table in more.items()}


def _deleted(db: Database, key: str, intent: Intent) -> dict[str, Any]:
    return {"deletes": catalogue.delete(db, key, dry_run=True)} if intent == "replace" else {}


def _require_small(network: Network) -> None:
    size = float(sizes.estimate(network)["gigabytes"])
    if size > sizes.LARGE_GB:
        raise UsageError(
            f"The model would take about {size:.1f} GB in the database.",
            "Add --yes to write it; --only-classes, --view or --connections make it smaller.",
        )


def _summary(db: Database, key: str, action: Intent, seconds: dict[str, float], rate: float | None) -> dict[str, Any]:
    rounded = {phase: round(value, 3) for phase, value in seconds.items()}
    return {
        "model": key,
        **catalogue.counts(db, key),
        "action": action,
        "seconds": rounded,
        "relationships_per_second": None if rate is None else round(rate, 1),
    }
