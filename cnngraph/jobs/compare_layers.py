"""The layers of two nets that are compared, the images that they are compared on, and the one pass over these."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cnngraph.console import Progress
from cnngraph.errors import DataError, ModelError
from cnngraph.sources.side import Side, came_of, find_kinship

if TYPE_CHECKING:
    from torch import Tensor

    from cnngraph.database.connection import Database
    from cnngraph.datasets.images import Images
    from cnngraph.jobs.compare import CompareJob
    from cnngraph.network.matched_layers import LayerPair
    from cnngraph.similarity.layers import ComparedLayer
    from cnngraph.similarity.measured import LayerSimilarity
    from cnngraph.sources.loaded import LoadedModel

__all__ = ["ComparedImages", "Matched", "match_sides", "measure_layers", "open_images", "require_points"]

_BATCH = 64
_HASHED = 8  # images whose content tells them from others of the same names


@dataclass(frozen=True)
class Matched:
    """Which layers are counterparts.

    Attributes:
        pairs: of all layers. spots: the layers of each net that are compared.
        made_of_a: whether the second net was made of the first.
    """

    pairs: Sequence[LayerPair]
    spots: tuple[Sequence[ComparedLayer], Sequence[ComparedLayer]]
    made_of_a: bool

    @cached_property
    def compared(self) -> list[LayerPair]:
        """The pairs whose layers are both compared."""
        mine, theirs = ({spot.layer for spot in side} for side in self.spots)
        return [pair for pair in self.pairs if pair.a in mine and pair.b in theirs]

    def wanted(self, *, all_pairs: bool) -> list[tuple[str, str]]:
        """The counterparts, in order; then, with ``all_pairs``, all other pairs."""
        found = [(pair.a, pair.b) for pair in self.compared]
        if not all_pairs:
            return found
        known = set(found)
        every = [(one.layer, other.layer) for one in self.spots[0] for other in self.spots[1]]
        return found + [pair for pair in every if pair not in known]

    @property
    def related(self) -> bool:
        """Whether names mean the same in both nets."""
        return any(pair.matched_by != "depth" for pair in self.compared)

    def as_json(self) -> list[dict[str, Any]]:
        """The compared pairs."""
        return [{"layer_a": pair.a, "layer_b": pair.b, "matched_by": pair.matched_by} for pair in self.compared]

    @property
    def left_over(self) -> dict[str, list[str]]:
        """The layers of each net that would be compared and have no counterpart."""
        met = {pair.a for pair in self.compared}, {pair.b for pair in self.compared}
        return {
            name: [spot.layer for spot in side if spot.layer not in known]
            for name, side, known in zip("ab", self.spots, met, strict=True)
        }


@dataclass(frozen=True)
class ComparedImages:
    """The images that both nets see.

    Attributes:
        loaded: the first net with its data. other: the second one with the same data, in the parts that it knows;
            ``None`` where it was trained on other data.
        a, b: the images that are compared on, as each net wants them, in the same random order.
        whole: how many the part has.
    """

    loaded: LoadedModel
    other: LoadedModel | None
    a: Images
    b: Images
    whole: int

    @property
    def count(self) -> int:
        """How many are compared on."""
        return len(self.a)

    @property
    def digest(self) -> str:
        """Of the data's name, the images' names and labels in order, and the content of the first: arrays have no names
        of their own.
        """
        found = hashlib.sha256(f"{self.loaded.data.name}\n".encode())
        found.update(self.a[range(min(_HASHED, self.count))][0].numpy().tobytes())
        for row, label in enumerate(self.a.labels.tolist()):
            found.update(f"{self.a.name(row)}:{label}\n".encode())
        return found.hexdigest()

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The same images for both nets, batch by batch."""
        for start in range(0, self.count, _BATCH):
            rows = range(start, min(start + _BATCH, self.count))
            first = self.a[rows][0]
            yield first, first if self.b is self.a else self.b[rows][0]


def match_sides(a: Side, b: Side, db: Database | None) -> Matched:
    """Match the layers of both nets.

    Raises:
        ModelError: no two layers could be compared. TraceError: a net cannot be followed.
    """
    from cnngraph.network.matched_layers import match_layers
    from cnngraph.similarity.layers import compared_layers

    spots = compared_layers(a.saved.followed), compared_layers(b.saved.followed)
    found = Matched(
        match_layers(a.graph, b.graph, spots, find_kinship(a, b, db)),
        spots,
        came_of(a, b, db),
    )
    if not found.compared:
        raise ModelError(
            f"No layer of {a.name} has a counterpart in {b.name}: none has the same name or stands as deep.",
            "Compare nets that have activations, pools or logits in common.",
        )
    return found


def open_images(a: Side, b: Side, job: CompareJob) -> ComparedImages:
    """The images: of the data of ``a``, or else of ``b``, in the order that the seed gives.

    Raises:
        ModelError: it is not known which data. NotFoundError, DataError: they cannot be had, or the part is empty.
    """
    loaded, other = a.open_data(job.data), None
    if _same_data(b, loaded):
        other = b.open_data(replace(job.data, name=loaded.choice.name, root=loaded.choice.root))
    part: Images = getattr(loaded.data, job.part)
    if len(part) < 2:
        raise DataError(f"The data have {len(part)} {job.part} images.", "Name a part that has more: --part.")
    rows = np.random.default_rng(job.seed).permutation(len(part))[: job.images]
    first = part.take(rows)
    same = a.saved.preprocessing == b.saved.preprocessing
    return ComparedImages(loaded, other, first, first if same else first.prepared(b.saved.preprocessing), len(part))


def require_points(job: CompareJob, matched: Matched, images: int) -> None:
    """Return if there are enough images for every counterpart.

    Raises:
        DataError: there are not: the hint says how many it takes, and what else could be measured.
    """
    from cnngraph.similarity.measured import CANONICAL, least_points

    by_name = tuple({spot.layer: spot for spot in side} for side in matched.spots)
    needed: dict[LayerPair, int] = {}
    for pair in matched.compared:
        one, other = by_name[0][pair.a], by_name[1][pair.b]
        points = least_points(job.similarity, job.estimator, (one.channels, other.channels))
        needed[pair] = -(-points // (one.places if one.shares_places(other) else 1))
    worst = max(needed, key=lambda pair: needed[pair])
    if images < needed[worst]:
        instead = ", or --similarity cka" if job.similarity in CANONICAL else ""
        raise DataError(
            f"{images:,} images are too few for {job.similarity}, which needs more points than a layer has neurons: "
            f"{needed[worst]:,} for {worst.a} ~ {worst.b}."
            if job.similarity in CANONICAL
            else f"{images:,} images are too few for {job.similarity}: {needed[worst]:,} for {worst.a} ~ {worst.b}.",
            f"Give --images {needed[worst]} or more, of a part that has so many{instead}.",
        )


def measure_layers(
    job: CompareJob, a: Side, b: Side, matched: Matched, images: ComparedImages, progress: Progress
) -> list[LayerSimilarity]:
    """Run both nets over the images once; what was found of ``matched.wanted``, in that order.

    A distance is turned into a similarity, 1 - distance, so that more is more alike whatever is measured.

    Raises:
        DataError: images cannot be read. ModelError: activations are NaN or infinite.
    """
    from cnngraph.similarity.measured import SimilarityOptions
    from cnngraph.similarity.nets import compare_nets
    from cnngraph.training.execution import pick_device

    for side, mine in ((a, images.a), (b, images.b)):
        mine.preload(
            f"Reading {images.loaded.data.name} ({job.part}) for {side.name}", progress, images.loaded.data.name
        )
    how = SimilarityOptions((job.similarity,), keep=job.keep, estimator=job.estimator, by="x" if job.by == "a" else "y")
    place = pick_device(job.device)
    nets = [side.saved.followed for side in (a, b)]
    try:
        for net in nets:
            net.model.to(place)
        wanted = matched.wanted(all_pairs=job.all_pairs)
        found = compare_nets(nets[0], nets[1], images.batches(), wanted, how, images=images.count, progress=progress)
    finally:
        for net in nets:
            net.model.cpu()
    return [_as_similarity(one) for one in found]


def _as_similarity(found: LayerSimilarity) -> LayerSimilarity:
    if found.measure != "procrustes":
        return found
    value, null = (None if one is None else 1 - one for one in (found.value, found.null))
    return replace(found, value=value, null=null, estimator="1 - distance")


def _same_data(b: Side, loaded: LoadedModel) -> bool:
    """Whether the second net was trained on the data that both are compared on, so that it knows their parts."""
    known = b.saved.training.get("data")
    name = known.get("name") if isinstance(known, dict) else b.saved.dataset
    classes = list(b.saved.classes)
    return name == loaded.choice.name and (not classes or sorted(classes) == sorted(loaded.data.classes))
