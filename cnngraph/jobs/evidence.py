"""Evidence about the filters of a stored model: gathered in one pass, kept in the workspace, read from then on.

It is named by what it depends on: the saved model, the data and which files they are now, the part, the layers, and
the version of this program. Evidence of all layers serves for some of them.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.datasets.survey import sample_rows
from cnngraph.errors import DataError, UsageError, listed, nearest
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.sources.saved import SavedSource
from cnngraph.sources.stored import OtherData, StoredModel, stored

if TYPE_CHECKING:
    from torch import Tensor

    from cnngraph.datasets.images import Images
    from cnngraph.evidence.record import Evidence
    from cnngraph.origin import Preprocessing

__all__ = ["PARTS", "Gathering", "collect_evidence", "evidence_of_source", "find_evidence", "gathering_of"]

PARTS = ("train", "validation", "test")

_VERSION = 1
_BATCH = 64


def collect_evidence(
    session: Session,
    name: str,
    layers: Sequence[str] | None = None,
    *,
    part: str = "train",
    data: OtherData | None = None,
    device: str = "auto",
) -> Evidence:
    """Evidence about the filters of a model of the database: what an earlier call kept, else one pass over the images.

    Args:
        layers: whose filters; default: all conv layers.
        part: of the data: ``train``, ``validation`` or ``test``.
        data: instead of the data that the model was ingested with. device: where the net runs.

    Raises:
        NotFoundError: there is no such model or layer. ModelError: it has no saved model here.
        DataError: the images cannot be read, or the part has none. ConflictError: another process gathers it now.
    """
    return gathering_of(session, stored(session.database, name), part, data).collect(layers, device)


def find_evidence(
    session: Session, name: str, layers: Sequence[str] | None = None, *, part: str = "train"
) -> Evidence | None:
    """What :func:`collect_evidence` has kept; ``None`` where it would have to look at the images."""
    return gathering_of(session, stored(session.database, name), part, None).find(layers)


def evidence_of_source(session: Session, source: SavedSource, *, part: str = "train") -> Evidence:
    """Evidence about a saved model that no database needs to know; raises as :func:`collect_evidence`."""
    return gathering_of(session, source, part, None).collect(None, "auto")


def gathering_of(
    session: Session, source: StoredModel | SavedSource, part: str = "train", data: OtherData | None = None
) -> Gathering:
    """The evidence of a model by a part of its data, whether it is there yet or not.

    Raises:
        UsageError: there is no such part.
    """
    if part not in PARTS:
        raise UsageError(f"There is no part {part!r}.", nearest(part, PARTS))
    return Gathering(session, source, part, data or OtherData())


@dataclass(frozen=True)
class Gathering:
    """One model and the images that it is shown."""

    session: Session
    source: StoredModel | SavedSource
    part: str
    data: OtherData

    @cached_property
    def loaded(self) -> LoadedModel:
        """The net with its data; no image is decoded yet."""
        return open_model(ModelChoice(name=str(self.source.folder)), self.source.data(self.data), parts=())

    @property
    def images(self) -> Images:
        """Of the part."""
        images: Images = getattr(self.loaded.data, self.part)
        return images

    def find(self, layers: Sequence[str] | None) -> Evidence | None:
        """What was kept of all layers, or of just these."""
        wanted = self._layers(layers)
        for kept in (self._folder(self._able), self._folder(wanted)):
            found = self._read(kept)
            if found is not None:
                return found
        return None

    def collect(self, layers: Sequence[str] | None = None, device: str = "auto") -> Evidence:
        """What was kept, else what one pass finds; raises as :func:`collect_evidence`."""
        wanted = self._layers(layers)
        found = self.find(layers)
        if found is not None:
            return found
        if not len(self.images):
            raise DataError(f"The data have no {self.part} images.", f"Name a part that has: {listed(PARTS)}.")
        folder = self._folder(wanted)
        with folder.locked():
            if self._read(folder) is None:
                self._make(folder, wanted, device)
        made = self._read(folder)
        assert made is not None
        return made

    def reads_image(self, layer: str) -> bool:
        """Whether all that a layer reads is the image as it is."""
        return [before.kind for before in self.loaded.followed.graph.predecessors(layer)] == ["Input"]

    def has_colour(self) -> bool:
        """Whether any image is more than grey, as far as a few of them tell."""
        rows = sample_rows(len(self.images))
        return bool(rows) and not _are_grey(self.images[rows][0], preprocessing=self.loaded.preprocessing)

    def _make(self, folder: JobFolder, layers: list[str], device: str) -> None:
        from cnngraph.datasets.registry import loader
        from cnngraph.evidence.collect import collect
        from cnngraph.evidence.record import About, write_evidence
        from cnngraph.training.execution import pick_device

        loaded, progress = self.loaded, self.session.progress
        if folder.path.exists():
            shutil.rmtree(folder.path)  # half of a pass that was killed
        loaded.data.preload((self.part,), progress)
        model = loaded.model.to(pick_device(device))
        try:
            found = collect(
                loaded.followed,
                loader(self.images, batch_size=_BATCH),
                loaded.data.classes,
                layers,
                grey=partial(_are_grey, preprocessing=loaded.preprocessing),
                progress=progress,
            )
        finally:
            model.cpu()
        reading = [layer for layer in layers if self.reads_image(layer)]
        write_evidence(found, folder.path, About(loaded.data.classes, self.part, self.images.labels, reading))

    def _read(self, folder: JobFolder) -> Evidence | None:
        from cnngraph.evidence.record import DESCRIPTION, Evidence, Looked

        if not (folder.path / DESCRIPTION).is_file():
            return None
        return Evidence(folder.path, lambda: Looked(self.loaded.model, self.images))

    def _layers(self, layers: Sequence[str] | None) -> list[str]:
        from cnngraph.evidence.collect import choose_layers

        return choose_layers(self._able, layers)

    @cached_property
    def _able(self) -> list[str]:
        from cnngraph.evidence.collect import layers_with_filters

        return layers_with_filters(self.loaded.followed)

    def _folder(self, layers: list[str]) -> JobFolder:
        return self.session.workspace.folder("evidence", self._inputs | {"layers": layers})

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        loaded, images, digest = self.loaded, self.images, hashlib.sha256()
        for row, label in enumerate(images.labels.tolist()):
            name = images.name(row)
            digest.update(f"{name}:{label}:{_state_of(name) if images.in_files else ''}\n".encode())
        return {
            "evidence": _VERSION,
            "weights": loaded.sha256,
            "data": loaded.choice.model_dump(mode="json"),
            "preprocessing": loaded.preprocessing.model_dump(mode="json"),
            "part": self.part,
            "images": digest.hexdigest(),
        }


def _state_of(path: str) -> str:
    """Size and time of change of a file, by which one that was replaced is told; "" where it is not there."""
    try:
        found = Path(path).stat()
    except OSError:
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}"


def _are_grey(images: Tensor, *, preprocessing: Preprocessing) -> bool:
    """Whether no pixel of any image has a colour, up to the rounding of normalisation."""
    from cnngraph.evidence.pictures import as_seen

    if images.shape[1] != 3:
        return True
    seen = as_seen(images, preprocessing)
    return bool((seen.amax(1) - seen.amin(1) < 0.5 / 255).all())
