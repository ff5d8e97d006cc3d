"""What a job works on: a net that was named, and data that was named, opened so that they fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from cnngraph.console import Progress, warn
from cnngraph.datasets.images_from import ImagesFrom
from cnngraph.errors import ModelError, UsageError
from cnngraph.origin import Preprocessing, get_origin

if TYPE_CHECKING:
    from torch import nn

    from cnngraph.datasets.registry import Data

__all__ = ["DataChoice", "ModelChoice", "Subject", "listed", "open_subject"]


class DataChoice(BaseModel):
    """A data set as it was named, with everything that decides which images are used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    root: str | None = None
    seed: int = 0
    images_per_class: int | None = None


class ModelChoice(BaseModel):
    """A model as it was named: an architecture, or a path to a saved model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    weights: str | None = None
    new_head: bool = False
    width: float = 1.0
    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: int | None = None
    value_range: tuple[float, float] | None = None
    seed: int = 0


@dataclass(frozen=True)
class Subject:
    """A net with its data, ready to be trained, mapped or pruned.

    Attributes:
        model: on the CPU, in eval mode. architecture: the name that was typed, or the one that the saved model carries.
        trained: whether the weights are more than an initialisation.
        training: the settings that the saved model was trained with ({} where unknown).
        folder: the saved model's folder, or None.
    """

    model: nn.Module
    architecture: str
    preprocessing: Preprocessing
    data: Data
    choice: DataChoice
    trained: bool
    training: dict[str, Any]
    folder: Path | None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one input."""
        return (self.preprocessing.channels, *self.preprocessing.size)

    @property
    def sha256(self) -> str:
        """Of the weights and buffers, names, types and shapes included."""
        from cnngraph.network.trace import weights_sha256

        return weights_sha256(self.model)

    def images_from(self, part: str, images: int | None = None) -> ImagesFrom:
        """What a figure on ``images`` (default: all) of a part of the data is said to be of."""
        count = len(getattr(self.data, part)) if images is None else images
        return ImagesFrom(part, count, "split", "no")


def open_subject(
    model: ModelChoice, data: DataChoice, progress: Progress | None = None, *, parts: tuple[str, ...] | None = None
) -> Subject:
    """Open ``data`` as ``model`` wants its images, and ``model`` with as many outputs as the data has classes.

    Images are decoded last, since that takes longest: a net or weights that will not do are refused before.

    Args:
        parts: of the data that are decoded here, so that a broken image is found before anything long begins; default:
            all.

    Raises:
        NotFoundError, ModelError: the model cannot be had. NotFoundError, DataError: the data cannot.
        ModelError: a saved model's classes are not the data's, or the weights do not fit it.
        UsageError: a saved model is to be of another width or size, or to have pretrained weights.
    """
    from cnngraph.models.weight_files import require_file

    if model.weights not in (None, "pretrained"):
        require_file(str(model.weights))  # before torch is imported
    from cnngraph.datasets.registry import PARTS
    from cnngraph.surgery.saved import is_saved

    subject = _of_saved(model, data) if is_saved(model.name) else _of_architecture(model, data)
    subject.data.preload(PARTS if parts is None else parts, progress)
    return subject


def _of_saved(model: ModelChoice, data: DataChoice) -> Subject:
    """The subject of a saved model; no image is decoded."""
    from cnngraph.models.weights import load_weights
    from cnngraph.surgery.saved import read_saved

    saved = read_saved(model.name)
    _require_own(model, saved.preprocessing)
    wanted = _with_range(saved.preprocessing, model)
    if model.weights is not None:
        load_weights(saved.model, model.weights, new_head=model.new_head)
    opened = listed(data, wanted)
    if saved.classes and list(saved.classes) != list(opened.classes):
        raise ModelError(
            f"The saved model {model.name} knows {len(saved.classes)} classes ({_few(saved.classes)}), "
            f"the data {data.name} has {len(opened.classes)} ({_few(opened.classes)}).",
            "Give the data that it was trained on.",
        )
    origin = get_origin(saved.model)
    return Subject(
        saved.model.eval(),
        origin.architecture if origin else model.name,
        wanted,
        opened,
        data,
        saved.trained if model.weights is None else not model.new_head,
        dict(saved.training) if model.weights is None else {},
        Path(model.name),
    )


def _of_architecture(model: ModelChoice, data: DataChoice) -> Subject:
    """The subject of a named architecture, with as many outputs as the data has classes; no image is decoded."""
    from cnngraph.models.registry import build, default_preprocessing

    wanted = default_preprocessing(model.name, weights=model.weights, size=model.size, in_channels=model.channels or 3)
    if model.channels not in (None, wanted.channels):
        raise UsageError(f"{model.name} reads {wanted.channels} channels, always.", "Leave out --channels.")
    if model.mean or model.std:
        wanted = wanted.model_copy(update={"mean": model.mean or wanted.mean, "std": model.std or wanted.std})
    wanted = _with_range(wanted, model)
    opened = listed(data, wanted)
    net = build(
        model.name,
        classes=len(opened.classes),
        in_channels=model.channels,
        size=wanted.size[0],
        width=model.width,
        seed=model.seed,
        weights=model.weights,
        new_head=model.new_head,
    )
    origin = get_origin(net)
    reads = origin.options["in_channels"] if origin else wanted.channels
    if reads != wanted.channels:  # a net of one's own says only when it is built what it reads
        wanted = wanted.model_copy(update={"channels": reads})
        opened = opened.prepared(wanted)
    return Subject(
        net.eval(), model.name, wanted, opened, data, model.weights is not None and not model.new_head, {}, None
    )


def _require_own(model: ModelChoice, preprocessing: Preprocessing) -> None:
    """A saved model is what it is: only its weights can be others."""
    if model.weights == "pretrained":
        raise UsageError(f"The saved model {model.name} has its own weights.", "Give a file, or name an architecture.")
    if model.width != 1.0:
        raise UsageError(f"The saved model {model.name} has its own width.", "Leave out --width.")
    if model.size not in (None, preprocessing.size[0]):
        raise UsageError(
            f"The saved model {model.name} reads images of {preprocessing.size[0]} px.", "Leave out --size."
        )

    if model.channels not in (None, preprocessing.channels):
        raise UsageError(
            f"The saved model {model.name} reads {preprocessing.channels} channels.", "Leave out --channels."
        )


def _with_range(preprocessing: Preprocessing, model: ModelChoice) -> Preprocessing:
    """What the stored numbers mean is a fact about the data, so that it may be said anew for a saved model."""
    if model.value_range is None:
        return preprocessing
    return preprocessing.model_copy(update={"value_range": model.value_range})


def listed(choice: DataChoice, preprocessing: Preprocessing) -> Data:
    """The data with its classes and labels; no image is decoded."""
    from cnngraph.datasets.registry import open_data

    data = open_data(
        choice.name,
        root=choice.root,
        preprocessing=preprocessing,
        seed=choice.seed,
        images_per_class=choice.images_per_class,
        parts=(),
    )
    for warning in data.warnings:
        warn(warning)
    return data


def _few(names: Sequence[str]) -> str:
    return ", ".join(list(names)[:3]) + (", ..." if len(names) > 3 else "")
