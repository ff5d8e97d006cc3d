"""A data set as it was named, and its images as the net that they are opened for knows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from cnngraph.console import detail, say, warn
from cnngraph.origin import Preprocessing

if TYPE_CHECKING:
    from cnngraph.datasets.registry import Data
    from cnngraph.datasets.split_record import SplitRecord
    from cnngraph.surgery.saved import Saved

__all__ = ["DataChoice", "list_data", "list_data_of"]

_SPLIT_OPTIONS = ("layout", "split_file", "split_sha256", "group_by")


class DataChoice(BaseModel):
    """A data set as it was named, with everything that decides which images are used.

    Attributes:
        layout, split_file, group_by: as in :class:`cnngraph.datasets.registry.SplitOptions`; the file by its whole
            path.
        split_sha256: of the content of that file: another content is another choice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    root: str | None = None
    seed: int = 0
    images_per_class: int | None = None
    layout: str | None = None
    split_file: str | None = None
    split_sha256: str | None = None
    group_by: str | None = None

    @model_serializer(mode="wrap")
    def _without_what_was_not_known_once(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A choice without them reads as it did before there were any: fingerprints hold what is written."""
        content: dict[str, Any] = write(self)
        return {name: value for name, value in content.items() if value is not None or name not in _SPLIT_OPTIONS}

    def replaced(self, name: str | None, root: str | None) -> DataChoice:
        """The same with what was typed instead; a split file names the images of the folder that it was written for.

        A set of its own name has no folders and no paths, so that nothing of a layout or of groups is left for it.
        """
        changes: dict[str, Any] = {
            field: value for field, value in (("name", name), ("root", root)) if value is not None
        }
        if changes.get("name", self.name) != self.name:
            changes |= {"split_file": None, "split_sha256": None}
            if not changes["name"].startswith("folder:"):
                changes |= {"layout": None, "group_by": None}
        return self.model_copy(update=changes)


def list_data(
    choice: DataChoice, preprocessing: Preprocessing, split: SplitRecord | Literal["former"] | None = None
) -> Data:
    """The data with its classes and labels; no image is decoded.

    Args:
        split: of the net that they are opened for, as in :func:`cnngraph.datasets.registry.open_data`.
    """
    from cnngraph.datasets.registry import SplitOptions, Subset, open_data

    data = open_data(
        choice.name,
        root=choice.root,
        preprocessing=preprocessing,
        subset=Subset(choice.images_per_class, seed=choice.seed),
        split_by=SplitOptions(choice.layout, choice.split_file, choice.split_sha256, choice.group_by),
        split=split,
        parts=(),
    )
    for warning in data.warnings:
        warn(warning)
    for note in data.notes:
        say(note)
    for passed in data.details:
        detail(passed)
    return data


def list_data_of(
    saved: Saved, name: str, choice: DataChoice, preprocessing: Preprocessing | None = None
) -> tuple[DataChoice, Data, SplitRecord]:
    """The data for a saved model: its files stay in the parts that they had when it was trained.

    Args:
        preprocessing: instead of the saved model's own.

    Returns:
        the choice, with the options of the split that the model was trained with where none were typed; the data; the
        record that belongs to the net now.
    """
    choice = _with_own_options(choice, saved.training.get("data"))
    former = saved.known_split
    if former == "former":
        say(
            f"{name} was saved before a net kept its split: its parts are those of the earlier rule, as long as no "
            "file came or went since."
        )
    data = list_data(choice, preprocessing or saved.preprocessing, former)
    record, change = data.record, data.change
    assert record is not None
    if not saved.trained:
        return choice, data, record.model_copy(update={"proven": saved.split is None or saved.split.proven})
    if change is not None and any((*change.new.values(), *change.gone.values())):
        say(
            f"The data have changed since {name} was trained: {change.words}. Files that it knows stay in their "
            "part, new ones follow the rule."
        )
    return (
        choice,
        data,
        record.model_copy(update={"proven": record.proven and change is not None and not change.may_be_renamed}),
    )


def _with_own_options(choice: DataChoice, known: object) -> DataChoice:
    """The options of the split that a model was trained with, where the same data are named without any."""
    if any(getattr(choice, option) is not None for option in _SPLIT_OPTIONS) or not isinstance(known, dict):
        return choice
    if _place(known.get("name"), known.get("root")) != _place(choice.name, choice.root):
        return choice
    return choice.model_copy(update={option: known[option] for option in _SPLIT_OPTIONS if known.get(option)})


def _place(name: object, root: object) -> str:
    """The data set, or the whole path of its folder."""
    if not isinstance(name, str) or not name.startswith("folder:"):
        return str(name)
    return str((Path(str(root or "")) / Path(name.removeprefix("folder:")).expanduser()).resolve())
