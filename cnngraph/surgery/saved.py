"""Saved models: a folder with ``model.json`` (where the net comes from), ``weights.safetensors`` and, where its data
are known, ``split.safetensors`` (which images it was trained and judged on), where weights are pruned,
``masks.safetensors`` (which ones stay), and, where they were kept, ``initial.safetensors`` (the weights that its
training began with); or one file with all but the last (:mod:`cnngraph.surgery.single_file`). Never a pickle.

A saved net is its architecture's builder, called with the stored options, cut by the stored plans in order, with the
stored weights loaded strictly. The folder is written beside its place and moved there when it is whole; one that was
there before is moved aside for a moment, and back by the next look at it if the process is killed just then.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from cnngraph import __version__
from cnngraph.datasets.split_record import SplitRecord
from cnngraph.errors import CnngraphError, ModelError
from cnngraph.files import file_sha256, recover_folder, replace_folder
from cnngraph.models.initial import get_initial, set_initial
from cnngraph.models.masks import get_masks, require_zeros
from cnngraph.models.misnamed import not_a_model
from cnngraph.models.weights import require_finite, require_values
from cnngraph.models.wrappers import unwrapped
from cnngraph.network.followed_net import FollowedNet
from cnngraph.network.trace import weights_sha256
from cnngraph.origin import Origin, Preprocessing, get_preprocessing, set_preprocessing
from cnngraph.surgery import single_file
from cnngraph.surgery.calibration import input_shape_of
from cnngraph.surgery.description import JOINS_SINCE, MASKS_FILE, SPLIT_SINCE, Description, format_of, parse
from cnngraph.surgery.initial_file import INITIAL_FILE, read_initial, write_initial
from cnngraph.surgery.mask_files import attach_masks, read_masks, write_masks
from cnngraph.surgery.rebuilding import fill, origin_for, rebuild
from cnngraph.surgery.split_keys import SPLIT_FILE, read_keys, write_keys

__all__ = ["Saved", "describe", "is_saved", "load", "own_preprocessing", "read_description", "read_saved", "save"]

_DESCRIPTION = "model.json"
_WEIGHTS = "weights.safetensors"


class Saved(BaseModel):
    """A saved model, read back.

    Attributes:
        model: on the CPU, in eval mode, with its origin attached.
        classes: names of the outputs (empty where unknown). dataset: name of the data that it was trained on, or "".
        training: the settings that it was trained with ({} where unknown).
        trained: whether its weights are more than an initialisation.
        joins: what stands where plans removed layers and blocks, by path.
        split: which images it was trained and judged on; ``None`` where that is not known.
        format: version of the description that it was read from.
        sha256: of the weights file; of the tensors where the model is a single file.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    model: nn.Module
    origin: Origin
    input_shape: tuple[int, int, int]
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    dataset: str
    training: dict[str, Any]
    trained: bool
    joins: dict[str, str]
    split: SplitRecord | None
    format: int
    sha256: str

    @cached_property
    def followed(self) -> FollowedNet:
        """The net, followed once."""
        return FollowedNet(self.model, self.input_shape)

    @property
    def known_split(self) -> SplitRecord | Literal["former"] | None:
        """What to open its data with, so that what it was trained on stays apart (``open_data(split=)``)."""
        if self.split is None and self.trained and self.dataset and self.format < SPLIT_SINCE:
            return "former"
        return self.split


@dataclass(frozen=True)
class HowBuilt:
    """How a net is built again.

    Attributes:
        architecture: how the unpruned net is built, as on the command line (``python:package.module:factory``); by
            default the net's origin, else its own class if that, called with the number of classes or nothing, fits.
        options: of that architecture; by default the origin's, else the number of classes.
        input_shape: (channels, height, width); by default what its preprocessing or the origin says.
    """

    architecture: str | None = None
    options: Mapping[str, Any] | None = None
    input_shape: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class SavedFacts:
    """What is kept with a net.

    Attributes:
        preprocessing: how it wants its images; by default what a net that was loaded wants.
        classes: names by output. dataset: name of the data.
        training: the settings that it was trained with. trained: whether its weights are more than an initialisation.
        split: which images it was trained and judged on (``Data.record``), so that these stay apart.
    """

    preprocessing: Preprocessing | None = None
    classes: Sequence[str] = ()
    dataset: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    trained: bool = True
    split: SplitRecord | None = None


def save(model: nn.Module, folder: str | Path, facts: SavedFacts | None = None, built: HowBuilt | None = None) -> Path:
    """Write ``model`` to ``folder``, which must not be there or hold a saved model (that one is replaced).

    Whenever this ends, by a kill too, the folder holds the old model or the new one, whole, or :func:`read_saved`,
    :func:`is_saved` and this function put the old one back (:func:`cnngraph.files.replace_folder`).
    ``DataParallel`` and compiled nets are saved as the net inside. The net is built again and compared first, in one
    forward pass of two images on the CPU: what its architecture does not say is not lost in silence.

    Raises:
        ModelError: the net cannot be built again from its architecture or comes out as another one, its weights are
            NaN or infinite, or the folder holds something else or is the one that the process works in.
    """
    model, target = unwrapped(model), Path(folder).resolve()
    if Path.cwd().is_relative_to(target):
        raise ModelError(
            f"{target} is the folder that this process works in; a saved model replaces its folder as a whole.",
            f"Name a folder inside it: {Path(folder) / 'model'}",
        )
    recover_folder(target)
    if target.exists() and not (target / _DESCRIPTION).is_file() and not _is_empty(target):
        raise ModelError(f"{target} is there and is no saved model.", "Choose another folder.")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    facts = facts or SavedFacts()
    description = describe(model, facts, built)
    part.mkdir(parents=True)
    try:
        single_file.write_tensors(model, part / _WEIGHTS)
        if facts.split is not None:
            write_keys(facts.split, part / SPLIT_FILE)
        if (masks := get_masks(model)) is not None:
            write_masks(masks, part / MASKS_FILE)
        if (initial := get_initial(model)) is not None:
            write_initial(initial, part / INITIAL_FILE)
        description = description.model_copy(update={"sha256": file_sha256(part / _WEIGHTS)})
        (part / _DESCRIPTION).write_text(description.model_dump_json(indent=2) + "\n", encoding="utf-8")
        replace_folder(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Path(folder)


def describe(model: nn.Module, facts: SavedFacts | None = None, built: HowBuilt | None = None) -> Description:
    """What a saved model says of ``model``, with the sha256 of its tensors; arguments and errors as :func:`save`."""
    facts, built = facts or SavedFacts(), built or HowBuilt()
    model, input_shape = unwrapped(model), built.input_shape
    require_values(model)
    require_finite(model, "The net")
    preprocessing = facts.preprocessing or own_preprocessing(model, input_shape)
    if input_shape is None and preprocessing is not None:
        input_shape = (preprocessing.channels, *preprocessing.size)
    shape = input_shape or input_shape_of(model)
    require_zeros(model, "Something", "Put the masks on before it is saved: cnngraph.keep_zeros(model).")
    masks, initial = get_masks(model), get_initial(model)
    pruned, began = masks.sha256 if masks else None, initial.sha256 if initial else None
    sha256 = weights_sha256(model)
    origin, joins = origin_for(model, built.architecture, built.options, facts.classes, shape, sha256)
    return Description(
        format=format_of(masks=pruned, initial=began),
        cnngraph=__version__,
        origin=origin,
        input_shape=shape,
        preprocessing=preprocessing or Preprocessing(size=(shape[1], shape[2]), channels=shape[0]),
        classes=tuple(facts.classes),
        dataset=facts.dataset,
        training=dict(facts.training),
        trained=facts.trained,
        split=facts.split,
        joins=joins,
        sha256=sha256,
        masks=pruned,
        initial=began,
    )


def own_preprocessing(model: nn.Module, input_shape: tuple[int, int, int] | None) -> Preprocessing | None:
    """What the net was loaded with, unless it is for images of another shape."""
    known = get_preprocessing(model)
    if known is None or input_shape not in (None, (known.channels, *known.size)):
        return None
    return known


def read_description(path: str | Path) -> Description:
    """What a saved model says of itself; its weights are not read, nor looked at. Raises as :func:`read_saved`."""
    source = Path(path)
    recover_folder(source)
    if not source.exists() or not is_saved(source):
        raise not_a_model(source)
    return single_file.read_description(source) if source.is_file() else _described(source)


def load(path: str | Path) -> nn.Module:
    """The net of a saved model: on the CPU, in eval mode, an ordinary ``nn.Module``. Raises as :func:`read_saved`.

    :func:`cnngraph.origin.get_preprocessing` says how it wants its images.
    """
    return read_saved(path).model


def read_saved(path: str | Path) -> Saved:
    """Read a saved model, a folder or a single file, with everything that is known of it.

    Raises:
        NotFoundError: there is no such path.
        ModelError: it is no saved model, was written by a newer cnngraph, was changed since, cannot be built again, or
            its weights are broken or do not fit.
    """
    source = Path(path)
    recover_folder(source)
    if not source.exists():
        raise not_a_model(source)
    if source.is_file():
        return _read_file(source)
    return _read_folder(source)


def _read_folder(source: Path) -> Saved:
    if not is_saved(source):
        raise not_a_model(source)
    known = _described(source)
    weights = source / _WEIGHTS
    if not weights.is_file():
        raise ModelError(f"The saved model {source} has no {_WEIGHTS}.", "Save it again.")
    if file_sha256(weights) != known.sha256:
        raise ModelError(f"{weights} is not the file that was saved: its sha256 differs.", "Save or copy it again.")
    if known.split is not None:
        known = known.model_copy(update={"split": read_keys(known.split, source / SPLIT_FILE)})
    found = _filled(known, weights)
    if known.masks is not None:
        attach_masks(found.model, read_masks(source / MASKS_FILE, found.model), known.masks, str(source / MASKS_FILE))
    if known.initial is not None:
        set_initial(found.model, read_initial(source / INITIAL_FILE, known.initial))
    return found


def _described(folder: Path) -> Description:
    path = folder / _DESCRIPTION
    try:
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Copy it again.") from error


def _read_file(source: Path) -> Saved:
    if not single_file.describes_itself(source):
        raise not_a_model(source)
    known = single_file.read_description(source)
    found = _filled(known, source)
    if weights_sha256(found.model) != found.sha256:
        raise ModelError(
            f"{source} does not hold the weights that were saved: their sha256 differs.", "Export it again."
        )
    if known.masks is not None:
        attach_masks(found.model, single_file.read_masks(source, found.model), known.masks, str(source))
    return found


def _filled(known: Description, weights: Path) -> Saved:
    """The net that ``known`` describes with the tensors of the file ``weights``."""
    try:
        tensors = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{weights} is not a readable safetensors file: {error}.", "Save it again.") from error
    try:
        rebuilt = rebuild(known.origin, known.input_shape)
    except CnngraphError as error:
        raise ModelError(
            f"The net of {weights} cannot be built again: {error.message}", error.hint or "Save it again."
        ) from error
    _require_the_same_joins(known, rebuilt.joins, weights)
    fill(rebuilt.model, tensors, where=str(weights))
    set_preprocessing(rebuilt.model, known.preprocessing)
    return Saved(
        model=rebuilt.model.eval(),
        **{name: getattr(known, name) for name in Saved.model_fields if name != "model"},
    )


def _require_the_same_joins(known: Description, found: Mapping[str, str], weights: Path) -> None:
    """Plans are carried out anew: what this cnngraph puts in the place of a layer must be what was there."""
    if known.format < JOINS_SINCE:
        return
    paths = dict.fromkeys((*known.joins, *found))
    other = next((path for path in paths if found.get(path) != known.joins.get(path)), None)
    if other is not None:
        here, there = (joins.get(other, "the net's own module") or "nothing" for joins in (found, known.joins))
        raise ModelError(
            f"The net of {weights} cannot be built again: this cnngraph leaves {here} at {other}, "
            f"the one that saved it left {there}.",
            f"Install cnngraph {known.cnngraph}, which wrote it.",
        )


def is_saved(path: str | Path) -> bool:
    """Whether ``path`` is a saved model: its folder, or its single file."""
    recover_folder(path)
    return (Path(path) / _DESCRIPTION).is_file() or single_file.describes_itself(path)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and next(path.iterdir(), None) is None
