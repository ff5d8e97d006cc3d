"""A model of the database, opened far enough to decide about it or to rebuild it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.database.saved_models import find_saved, is_saved
from cnngraph.errors import ModelError
from cnngraph.network.trace_options import TraceOptions
from cnngraph.sources.data_choice import DataChoice
from cnngraph.storage import Storage, default_storage
from cnngraph.validation import parse_stored

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.origin import Origin, Preprocessing

__all__ = ["OtherData", "StoredModel", "other_data", "stored"]


@dataclass(frozen=True)
class OtherData:
    """Data named on the command line instead of the data that the model was ingested with."""

    name: str | None = None
    root: str | None = None


def other_data(name: str | None, root: str | Path | None) -> OtherData:
    """What was typed as ``--data`` and ``--data-root``."""
    return OtherData(name, str(Path(root).resolve()) if root is not None else None)


@dataclass(frozen=True)
class StoredModel:
    """A model of the database, as far as a decision needs it."""

    key: str
    properties: dict[str, Any]
    storage: Storage = field(default_factory=default_storage)

    @property
    def is_saved(self) -> bool:
        """Whether the graph names a saved model of it, here or on another machine."""
        return is_saved(self.properties)

    @cached_property
    def folder(self) -> Path:
        """The folder of its saved model, whose content is the one that the graph names.

        Raises:
            ModelError: it has none (an import, a live net), or it is not in the storage, or was changed there.
        """
        return find_saved(self.storage, self.key, self.properties)

    @property
    def origin(self) -> Origin | None:
        """How it is built, by the recipe in the graph; ``None`` where it has none (an import).

        Raises:
            ModelError: the recipe was changed by hand, or a newer cnngraph wrote it. SpecError: it is no JSON object.
        """
        from cnngraph.database.fingerprint import details_of
        from cnngraph.origin import Origin

        recipe = details_of(self.properties).recipe
        return parse_stored(Origin, recipe, self._in_graph("recipe")) if recipe else None

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How it wants its images; ``None`` where that is not known. Raises as :attr:`origin`."""
        from cnngraph.database.fingerprint import details_of
        from cnngraph.origin import Preprocessing

        known = details_of(self.properties).preprocessing
        return parse_stored(Preprocessing, known, self._in_graph("preprocessing")) if known else None

    @property
    def recipe(self) -> str:
        """The digest of its origin: which structure a plan for it is for; "" where it has none. Raises as that."""
        origin = self.origin
        return origin.digest if origin else ""

    @property
    def mapping(self) -> TraceOptions:
        """How it was mapped: what is made of it is mapped the same way. Raises as :attr:`origin`."""
        return TraceOptions.of(self._inputs, self._in_graph("mapping"))

    def data(self, other: OtherData) -> DataChoice:
        """The data that it was ingested with, or what was typed instead.

        Raises:
            ModelError: neither is there, or what is known of them was changed by hand. SpecError: it is no JSON object.
        """
        known = self._inputs.get("data")
        if not known and other.name is None:
            raise ModelError(f"It is not known which data {self.key} was ingested with.", "Name it: --data D")
        choice = parse_stored(DataChoice, known or {"name": other.name}, self._in_graph("data"))
        return choice.replaced(other.name, other.root)

    @property
    def _inputs(self) -> dict[str, Any]:
        from cnngraph.database.fingerprint import json_property

        return json_property(self.properties, "inputs")

    def _in_graph(self, what: str) -> str:
        return f"The {what} of {self.key} in the graph"


def stored(db: Database, name: str) -> StoredModel:
    """The complete model of that name.

    Raises:
        NotFoundError: there is none. ConflictError: it is still loading.
    """
    from cnngraph.database import catalogue

    key = catalogue.resolve(db, name)
    catalogue.require_complete(db, key)
    return StoredModel(key, catalogue.properties(db, key), db.storage)
