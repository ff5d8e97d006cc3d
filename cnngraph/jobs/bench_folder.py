"""Where a bench leaves its points: a folder for each model, data and training, which says of what it is."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cnngraph.console import Progress
from cnngraph.jobs.one_step import many
from cnngraph.jobs.pruned import Retraining, inputs_of_training
from cnngraph.jobs.session import Session
from cnngraph.jobs.workspace import JobFolder, Stage
from cnngraph.sources.loaded import LoadedModel
from cnngraph.sources.stored import StoredModel

if TYPE_CHECKING:
    from cnngraph.datasets.images import Images

__all__ = ["BenchFolder", "collect_points", "hash_images", "processor_name"]

_READ_AT_ONCE = 256
# Of the inputs that name a folder: what says which images they are.
_IMAGES = ("data", "split")


@dataclass(frozen=True)
class BenchFolder:
    """The folder of the points on one model, its images and one training.

    It is named by the content of the images too (a file may be replaced by another of its name), and by the machine
    whose milliseconds stand side by side in it.

    Attributes:
        folder: it need not be there. about: what it is of, but for the images, the machine and the version.
    """

    folder: JobFolder
    about: Mapping[str, Any]

    @classmethod
    def of(cls, session: Session, model: StoredModel, subject: LoadedModel, training: Retraining) -> Self:
        """The folder of points that are trained so; all images are read for its name, where that was not done."""
        import torch

        from cnngraph.training.execution import pick_device
        from cnngraph.training.latency import device_name

        inputs = inputs_of_training(subject, training) | {"model": model.key}
        place = pick_device(training.device)
        machine: dict[str, Any] = {"processor": processor_name(), "device_name": device_name(place)}
        machine["threads"] = torch.get_num_threads()
        which = {"fingerprint": model.properties.get("fingerprint"), "images": hash_images(subject)} | machine
        known = {name: value for name, value in inputs.items() if name not in _IMAGES}
        about = json.loads(json.dumps(known, default=str))
        return cls(session.workspace.folder("bench", inputs | which), about)

    def open(self, progress: Progress) -> None:
        """Make the folder, and say how many points beside it are of no use: they were made on other images, say."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        for point in self.folder.path.glob("point-*"):  # a kill may have left what a finished point needs no more
            if self.folder.stage(f"points/{point.name.removeprefix('point-')}").is_done:
                shutil.rmtree(point, ignore_errors=True)
        self.folder.stage("about").once(lambda: self.about)
        others = [
            path.parent
            for path in self.folder.path.parent.glob("bench-*/about.json")
            if path.parent != self.folder.path and Stage(path).read() == self.about
        ]
        count = sum(len(list((other / "points").glob("*.json"))) for other in others)
        if count:
            progress.note(
                f"{many(count, 'net')} made earlier for this model and training {'are' if count > 1 else 'is'} not "
                "used: its images, the model in the graph, the machine (device, threads) or cnngraph changed since. "
                "What stands side by side here was trained and judged on the same images, and timed on one machine."
            )


def collect_points(folder: JobFolder) -> list[dict[str, Any]]:
    """All points that were ever made there, by budget, method and seed."""
    found = [Stage(path).read() for path in sorted((folder.path / "points").glob("*.json"))]
    return sorted(found, key=lambda point: (point["budget"] or "", point["method"], point["seed"]))


def processor_name() -> str:
    """The processor that computes here, as its maker calls it."""
    source = Path("/proc/cpuinfo")
    lines = source.read_text(encoding="utf-8").splitlines() if source.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def hash_images(subject: LoadedModel) -> str:
    """Of the content and the labels of all images, part by part, in their order."""
    digest = hashlib.sha256()
    for part in ("train", "validation", "test"):
        images: Images = getattr(subject.data, part)
        if images.digests is None:  # so many that they are not kept: they are read once for it
            for start in range(0, len(images), _READ_AT_ONCE):
                images[range(start, min(start + _READ_AT_ONCE, len(images)))]
        digest.update(f"{part} {len(images)} ".encode())
        if images.digests is not None:
            digest.update(images.digests.tobytes())
        digest.update(images.labels.tobytes())
    return digest.hexdigest()
