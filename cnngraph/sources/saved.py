"""A saved model, alone or in a bundle, that no database needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnngraph.errors import ModelError, NotFoundError
from cnngraph.network.trace_options import TraceOptions
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.stored import OtherData
from cnngraph.validation import parse_stored

__all__ = ["SavedSource", "open_source"]


@dataclass(frozen=True)
class SavedSource:
    """A saved model, alone or in a bundle.

    Attributes:
        typed: as it was named. folder: of the saved model.
        inputs: what decided how the net of the bundle was mapped ({} for a saved model alone).
    """

    typed: str
    folder: Path
    inputs: dict[str, Any]

    @property
    def mapping(self) -> TraceOptions:
        """How the net of the bundle was mapped, so that the new one compares; else the defaults of ``ingest``."""
        return TraceOptions.of(self.inputs, f"The mapping of {self.typed}")

    def data(self, other: OtherData) -> DataChoice:
        """What was typed, else the data that the bundle or the saved model names.

        Raises:
            ModelError: nothing names any, or what does was changed by hand.
        """
        from cnngraph.surgery.saved import read_description

        saved = read_description(self.folder)
        known = self.inputs.get("data") or saved.training.get("data")
        if known is None and (other.name or saved.dataset):
            known = {"name": other.name or saved.dataset}
        if known is None:
            raise ModelError(f"It is not known which data {self.typed} was trained on.", "Name it: --data D")
        return parse_stored(DataChoice, known, f"The data of {self.typed}").replaced(other.name, other.root)


def open_source(typed: str) -> SavedSource:
    """The saved model, or the bundle with one, of that path.

    Raises:
        NotFoundError: there is nothing. ModelError: it is neither. SpecError: the bundle is damaged.
    """
    from cnngraph.models.misnamed import not_a_model
    from cnngraph.network.bundle import is_bundle, model_folder, read_bundle
    from cnngraph.surgery.saved import is_saved

    path = Path(typed)
    if not path.exists():
        raise NotFoundError(f"There is no saved model {typed}.", "Give the folder of a saved model, or a bundle.")
    if path.is_file() and not is_saved(path):
        raise not_a_model(path)
    inside = model_folder(path) if is_bundle(path) else path
    if inside is None or not is_saved(inside):
        raise ModelError(f"{typed} is no saved model and no bundle with one.", "Write one: cnngraph train --out.")
    return SavedSource(typed, inside, dict(read_bundle(path).details.inputs) if is_bundle(path) else {})
