"""What a job works on: a net that was named, and data that was named, opened so that they fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from pydantic import BaseModel, ConfigDict

from cnngraph.console import Progress, say_all, warn
from cnngraph.datasets.images_from import ImagesFrom, TrainedOn
from cnngraph.errors import ModelError, UsageError
from cnngraph.origin import Preprocessing, get_origin
from cnngraph.sources.classifier import Examination, examine
from cnngraph.sources.data_choice import DataChoice, list_data, list_data_of

if TYPE_CHECKING:
    from torch import nn

    from cnngraph.datasets.registry import Data
    from cnngraph.datasets.split_record import SplitRecord
    from cnngraph.network.followed_net import FollowedNet

__all__ = ["LoadedModel", "ModelChoice", "open_model"]


class ModelChoice(BaseModel):
    """A model as it was named: an architecture, or a path to a saved model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    weights: str | None = None
    weights_key: str | None = None
    new_head: bool = False
    width: float = 1.0
    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: int | None = None
    value_range: tuple[float, float] | None = None
    seed: int = 0


@dataclass(frozen=True)
class LoadedModel:
    """A net with its data, ready to be trained, mapped or pruned.

    Attributes:
        model: on the CPU, in eval mode. architecture: the name that was typed, or the one that the saved model carries.
        trained: whether the weights are more than an initialisation.
        training: the settings that the saved model was trained with ({} where unknown).
        folder: the saved model's folder, or None.
        split: which images are in which part, to be kept with the net, and whether it is proven that it has been
            trained on no others than those of its train part.
    """

    model: nn.Module
    architecture: str
    preprocessing: Preprocessing
    data: Data
    choice: DataChoice
    trained: bool
    training: dict[str, Any]
    folder: Path | None
    split: SplitRecord | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one input."""
        return (self.preprocessing.channels, *self.preprocessing.size)

    @cached_property
    def followed(self) -> FollowedNet:
        """The net, followed once."""
        from cnngraph.network.followed_net import FollowedNet

        return FollowedNet(self.model, self.input_shape)

    @property
    def sha256(self) -> str:
        """Of the weights and buffers, names, types and shapes included."""
        from cnngraph.network.trace import weights_sha256

        return weights_sha256(self.model)

    def images_from(self, part: str, images: int | None = None) -> ImagesFrom:
        """What a figure on ``images`` (default: all) of a part of the data is said to be of."""
        count = len(getattr(self.data, part)) if images is None else images
        return ImagesFrom(part, count, self.data.taken_from.get(part, "split"), self._trained_on(part))

    def _trained_on(self, part: str) -> TrainedOn:
        """Whether the net may have seen images of ``part`` in training."""
        proven = self.split is not None and self.split.proven
        if part == "train":
            return "possibly" if not proven or self._trained_on_fewer else "yes" if self.trained else "no"
        # Weights from elsewhere: what a folder or a set calls its test images is taken to be kept apart.
        own = part == "test" and self.data.taken_from.get(part, "split") != "split"
        if self.data.change is not None and self.data.change.may_be_renamed:
            own = False  # moved there, perhaps
        return "no" if proven or own else "possibly"

    @property
    def _trained_on_fewer(self) -> bool:
        """Whether the net was trained on some images of each class, and these may be others."""
        trained = self.training.get("data")
        fewer = trained.get("images_per_class") if isinstance(trained, dict) else None
        return fewer is not None and fewer != self.choice.images_per_class


def open_model(
    model: ModelChoice,
    data: DataChoice,
    progress: Progress | None = None,
    *,
    parts: tuple[str, ...] | None = None,
    required: Examination = "classifier",
) -> LoadedModel:
    """Open ``data`` as ``model`` wants its images, and ``model`` with as many outputs as the data has classes.

    Images are decoded last, since that takes longest: a net or weights that will not do are refused before.

    Args:
        parts: of the data that are decoded here, so that a broken image is found before anything long begins; default:
            all.
        required: what the net must be, see :func:`cnngraph.sources.classifier.examine`.

    Raises:
        NotFoundError, ModelError: the model cannot be had, or is not what it must be.
        NotFoundError, DataError: the data cannot be had.
        ModelError: a saved model's classes are not the data's, or the weights do not fit it.
        UsageError: a saved model is to be of another width or size, or to have pretrained weights.
    """
    from cnngraph.models.misnamed import is_path, not_a_model
    from cnngraph.models.weight_files import require_file, require_kind

    # Before torch is imported.
    if model.weights not in (None, "pretrained"):
        require_kind(require_file(str(model.weights)))
    from cnngraph.datasets.registry import PARTS
    from cnngraph.surgery.saved import is_saved

    saved = is_saved(model.name)
    if not saved and is_path(model.name):
        raise not_a_model(model.name)
    subject = _of_saved(model, data) if saved else _of_architecture(model, data)
    _say_whether_trained_on(subject)
    examine(subject.model, subject.input_shape, len(subject.data.classes), required)
    subject.data.preload(PARTS if parts is None else parts, progress)
    return subject


def _of_saved(model: ModelChoice, data: DataChoice) -> LoadedModel:
    """The subject of a saved model; no image is decoded."""
    from cnngraph.models.weights import load_weights
    from cnngraph.surgery.saved import read_saved

    saved = read_saved(model.name)
    _require_own(model, saved.preprocessing)
    wanted = _with_range(saved.preprocessing, model)
    if model.weights is not None:
        say_all(load_weights(saved.model, model.weights, new_head=model.new_head, key=model.weights_key))
    data, opened, split = list_data_of(saved, model.name, data, wanted)
    if saved.classes and [normalize("NFC", name) for name in saved.classes] != list(opened.classes):
        raise ModelError(
            f"The saved model {model.name} knows {len(saved.classes)} classes ({_few(saved.classes)}), "
            f"the data {data.name} has {len(opened.classes)} ({_few(opened.classes)}).",
            "Give the data that it was trained on.",
        )
    origin = get_origin(saved.model)
    return LoadedModel(
        saved.model.eval(),
        origin.architecture if origin else model.name,
        wanted,
        opened,
        data,
        saved.trained if model.weights is None else not model.new_head,
        dict(saved.training) if model.weights is None else {},
        Path(model.name),
        split if model.weights is None else split.model_copy(update={"proven": False}),
    )


def _of_architecture(model: ModelChoice, data: DataChoice) -> LoadedModel:
    """The subject of a named architecture, with as many outputs as the data has classes; no image is decoded."""
    from cnngraph.models.registry import WeightsChoice, build, default_preprocessing

    wanted = default_preprocessing(model.name, weights=model.weights, size=model.size, in_channels=model.channels or 3)
    if model.channels not in (None, wanted.channels):
        raise UsageError(f"{model.name} reads {wanted.channels} channels, always.", "Leave out --channels.")
    if model.mean or model.std:
        wanted = wanted.model_copy(update={"mean": model.mean or wanted.mean, "std": model.std or wanted.std})
    wanted = _with_range(wanted, model)
    opened = list_data(data, wanted)
    net = build(
        model.name,
        classes=len(opened.classes),
        in_channels=model.channels,
        size=wanted.size[0],
        width=model.width,
        seed=model.seed,
        weights=None if model.weights is None else WeightsChoice(model.weights, model.weights_key, model.new_head),
    )
    origin = get_origin(net)
    reads = origin.options["in_channels"] if origin else wanted.channels
    if reads != wanted.channels:  # a net of one's own says only when it is built what it reads
        wanted = wanted.model_copy(update={"channels": reads})
        opened = opened.prepared(wanted)
    assert opened.record is not None
    proven = _is_new(model, net, len(opened.classes), wanted)
    return LoadedModel(
        net.eval(),
        model.name,
        wanted,
        opened,
        data,
        model.weights is not None and not model.new_head,
        {},
        None,
        opened.record.model_copy(update={"proven": proven}),
    )


def _is_new(model: ModelChoice, net: nn.Module, classes: int, wanted: Preprocessing) -> bool:
    """Whether the net has surely not been trained for these classes.

    Weights of another task know nothing of them; a file may hold anything. The user's own code may load weights itself:
    then another seed changes nothing.
    """
    if model.weights is not None:
        return model.weights == "pretrained" and model.new_head
    if not model.name.startswith("python:"):
        return True
    import torch

    from cnngraph.models.registry import build

    other = build(model.name, classes=classes, in_channels=wanted.channels, size=wanted.size[0], seed=model.seed + 1)
    theirs = dict(other.named_parameters())
    random = [(name, mine) for name, mine in net.named_parameters() if mine.ndim > 1 and mine.numel() > 1]
    return not any(
        name in theirs and mine.detach().std() > 0 and torch.equal(mine, theirs[name]) for name, mine in random
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


def _say_whether_trained_on(subject: LoadedModel) -> None:
    """Loudly, where the net may know the images that it will be judged on."""
    judged = subject.images_from("test")
    if judged.trained_on == "possibly":
        warn(
            f"it cannot be known whether the net was trained on the images that it is judged on: {judged.words}. "
            "Give test images of their own: a folder test beside train, or --split-file."
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(list(names)[:3]) + (", ..." if len(names) > 3 else "")
