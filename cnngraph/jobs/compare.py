"""What two nets have in common, layer by layer, on the same images: measured, judged, stored, shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.errors import OptionError, nearest
from cnngraph.jobs.session import Session
from cnngraph.sources.saved import open_source
from cnngraph.sources.side import Side, named_twice, open_checkpoint, open_parent, open_side, require_two
from cnngraph.sources.stored import OtherData, other_data
from cnngraph.vocabulary import PARTS, SIMILARITIES

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["MOST_IMAGES", "CompareJob", "choose_compare", "compare"]

MOST_IMAGES = 5_000


@dataclass(frozen=True)
class CompareJob:
    """Two nets to compare, checked as far as it goes without looking them up.

    Attributes:
        a, b: as they were typed; without ``b``, ``a`` is compared with what it was made of.
        paths: whether each is a path. checkpoint: ``b`` is a file of weights for the net of ``a``.
        similarity: one of :data:`~cnngraph.vocabulary.SIMILARITIES`.
        keep: of svcca, the share of variance. estimator: of cka. by: of pwcca, whose neurons weigh: ``a`` or ``b``.
        all_pairs: all compared layers against all. images: at most so many. part: of the data.
        data: instead of the data that ``a`` was trained on. seed: which images, and in what order.
        at_least: what every pair of counterparts must reach.
    """

    a: str
    b: str | None = None
    paths: tuple[bool, bool] = (False, False)
    checkpoint: bool = False
    similarity: str = "svcca"
    keep: float = 0.99
    estimator: str = "unbiased"
    by: str = "a"
    all_pairs: bool = False
    images: int = MOST_IMAGES
    part: str = "train"
    data: OtherData = field(default_factory=OtherData)
    seed: int = 0
    device: str = "auto"
    at_least: float | None = None

    @property
    def needs_database(self) -> bool:
        """Whether a name has to be looked up."""
        return not (self.paths[0] and self.paths[1])


def choose_compare(a: str, b: str | None, said: Mapping[str, Any], *, saved: bool = False) -> CompareJob:
    """The comparison that a person asked for.

    Args:
        said: fields of :class:`CompareJob`, and ``data`` and ``data_root`` as they are typed.
        saved: both are paths, whatever they look like.

    Raises:
        OptionError: a word or number that cannot be. UsageError: a name that is none, or the same one twice.
        NotFoundError, ModelError: a path that is no saved model.
    """
    from cnngraph.surgery.saved import is_saved

    fields = dict(said)
    data = other_data(fields.pop("data", None), fields.pop("data_root", None))
    paths = (saved or _is_path(a), saved or (b is not None and _is_path(b)))
    checkpoint = b is not None and paths[1] and Path(b).is_file() and not is_saved(b)
    job = CompareJob(a, b, paths, checkpoint, **fields, data=data)
    if job.similarity not in SIMILARITIES:
        raise OptionError(f"There is no similarity {job.similarity!r}.", nearest(job.similarity, SIMILARITIES))
    if job.part not in PARTS:
        raise OptionError(f"There is no part {job.part!r} of the data.", nearest(job.part, PARTS))
    for option, value in (("at_least", job.at_least), ("keep", job.keep)):
        low = 0 if option == "at_least" else math.ulp(0)
        if value is not None and not low <= value <= 1:
            raise OptionError(f"{{{option}={value}}} is no share from 0 to 1.", "Give a number as 0.9.")
    if job.images < 2:
        raise OptionError(f"{{images={job.images}}} are too few to compare anything.", "Give 2 or more.")
    if job.b is None and job.paths[0]:
        raise OptionError(
            f"{a} is a saved model, which does not know where the net that it was made of is.",
            f"Name both: cnngraph compare OLD {a}",
        )
    _require_place(a, path=job.paths[0])
    if b is not None:
        _require_place(b, path=job.paths[1], checkpoint=checkpoint)
    if a == b:
        raise named_twice(a)
    return job


def _require_place(name: str, *, path: bool, checkpoint: bool = False) -> None:
    """Return if ``name`` is a saved model, a bundle or, as a checkpoint, a file of weights; or can be that of a model.

    Raises:
        UsageError: it cannot be a name. NotFoundError, ModelError: the path is none of these.
    """
    from cnngraph.models.misnamed import require_stored_name
    from cnngraph.models.weight_files import require_kind
    from cnngraph.network.bundle import is_bundle

    if not path:
        require_stored_name(name)
    elif checkpoint:
        require_kind(Path(name))
    elif not is_bundle(name):  # to read a whole one takes its time: later
        open_source(name)


def compare(job: CompareJob, session: Session, out: Path | None = None, *, dry_run: bool = False) -> dict[str, Any]:
    """Compare two nets; the JSON of ``cnngraph compare``. Stored where both are models of the database.

    Args:
        out: also write the page there. dry_run: say what would be compared and stored; run nothing, write nothing.

    Raises:
        NotFoundError: a model is not there, or was made of no other. ConflictError: one is not complete.
        UsageError: one is named twice. ModelError: it has no saved weights, or nothing that could be compared.
        DataError: the images cannot be had, or are too few for this similarity.
    """
    from cnngraph.jobs.compare_judged import cost_of, judge_both, measure_latencies
    from cnngraph.jobs.compare_layers import match_sides, measure_layers, open_images, require_points
    from cnngraph.jobs.compare_result import describe, describe_layers, judged_json, sentence_of
    from cnngraph.jobs.compare_store import preview, store

    progress, db = session.progress, session.connected
    progress.start("Opening the models")
    a, b = _open(job, db)
    require_two(a, b)
    matched = match_sides(a, b, db)
    images = open_images(a, b, job)
    require_points(job, matched, images.count)
    result = describe(job, a, b, matched, images)
    if dry_run:
        return result | {"layers": matched.as_json(), "would_write": preview(job, a, b, matched)}
    for note in result["notes"]:
        progress.note(note)
    found = measure_layers(job, a, b, matched, images, progress)
    judged = judge_both(a, b, images.loaded, images.other, job.device, progress)
    progress.start("Measuring latency")
    times = measure_latencies(a, b, job.device)
    for side, name, figures, took in zip((a, b), "ab", (judged.a, judged.b), times, strict=True):
        result[name] |= cost_of(side) | figures | {"latency_ms": took}
    result |= describe_layers(job, matched, found) | judged_json(judged)
    result["sentence"] = sentence_of(result)
    if db is not None and a.key is not None and b.key is not None:
        progress.start("Storing the comparison")
        result["key"] = store(db, job, (a, b), images, result)
    if out is not None:
        from cnngraph.jobs.compare_page import write

        progress.start("Writing the page")
        result["page"] = str(write(out, (a, b), matched, judged, result))
    return result


def _open(job: CompareJob, db: Database | None) -> tuple[Side, Side]:
    """Both nets; without a second name, what the first was made of stands before it."""
    first = open_side(job.a, None if job.paths[0] else db)
    if job.b is None:
        assert db is not None
        return open_parent(first, db), first
    if job.checkpoint:
        return first, open_checkpoint(job.b, first)
    return first, open_side(job.b, None if job.paths[1] else db)


def _is_path(name: str) -> bool:
    """Whether ``name`` is the path of a saved model or of a bundle."""
    from cnngraph.jobs.shipping import saved_path
    from cnngraph.network.bundle import is_bundle

    return saved_path(name) is not None or is_bundle(name)
