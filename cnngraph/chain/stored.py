"""A model of the database, opened far enough to decide about it or to rebuild it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from cnngraph.chain.ingest import Mapping
from cnngraph.chain.subject import DataChoice
from cnngraph.errors import ModelError

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.origin import Origin, Preprocessing

_Known = TypeVar("_Known", bound=BaseModel)

__all__ = ["OtherData", "Stored", "other_data", "stored"]


@dataclass(frozen=True)
class OtherData:
    """Data named on the command line instead of the data that the model was ingested with."""

    name: str | None = None
    root: str | None = None


def other_data(name: str | None, root: Path | None) -> OtherData:
    """What was typed as ``--data`` and ``--data-root``."""
    return OtherData(name, str(root.resolve()) if root else None)


@dataclass(frozen=True)
class Stored:
    """A model of the database, as far as a decision needs it."""

    key: str
    properties: dict[str, Any]

    @property
    def folder(self) -> Path:
        """The folder of its saved model.

        Raises:
            ModelError: it has none (an import, a live net), or the folder is gone.
        """
        artifact = self.properties.get("artifact")
        if not artifact:
            raise ModelError(
                f"{self.key} has no saved model: it can be planned, not rebuilt.",
                "Ingest it from a saved model (cnngraph ingest DIR), or rebuild in Python: cg.apply(model, plan).",
            )
        if not (Path(artifact) / "model.json").is_file():
            raise ModelError(
                f"The saved model of {self.key} is not at {artifact}.",
                "Run this where it was ingested, or ingest it again.",
            )
        return Path(artifact)

    @property
    def origin(self) -> Origin | None:
        """How it is built, by the recipe in the graph; ``None`` where it has none (an import).

        Raises:
            ModelError: the recipe was changed by hand, or a newer cnngraph wrote it. SpecError: it is no JSON object.
        """
        from cnngraph.database.fingerprint import details_of
        from cnngraph.origin import Origin

        recipe = details_of(self.properties).recipe
        return self._understood(Origin, "recipe", recipe) if recipe else None

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How it wants its images; ``None`` where that is not known. Raises as :attr:`origin`."""
        from cnngraph.database.fingerprint import details_of
        from cnngraph.origin import Preprocessing

        known = details_of(self.properties).preprocessing
        return self._understood(Preprocessing, "preprocessing", known) if known else None

    @property
    def recipe(self) -> str:
        """The digest of its origin: which structure a plan for it is for; "" where it has none. Raises as that."""
        origin = self.origin
        return origin.digest if origin else ""

    def _understood(self, kind: type[_Known], name: str, value: object) -> _Known:
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            why = first["msg"].removeprefix("Value error, ")
            raise ModelError(
                f"The {name} of {self.key} in the graph cannot be read: {where}: {why}.",
                "It was changed by hand, or a newer cnngraph wrote it: install that one, or ingest the model again.",
            ) from error

    @property
    def mapping(self) -> Mapping:
        """How it was mapped: what is made of it is mapped the same way."""
        return Mapping.of(json.loads(self.properties.get("inputs") or "{}"))

    def data(self, other: OtherData) -> DataChoice:
        """The data that it was ingested with, or what was typed instead."""
        inputs = json.loads(self.properties.get("inputs") or "{}")
        known = inputs.get("data") or {}
        if not known and other.name is None:
            raise ModelError(f"It is not known which data {self.key} was ingested with.", "Name it: --data D")
        choice = DataChoice.model_validate(known) if known else DataChoice(name=other.name or "")
        changes = {field: value for field, value in vars(other).items() if value is not None}
        return choice.model_copy(update=changes)


def stored(db: Database, name: str) -> Stored:
    """The complete model of that name.

    Raises:
        NotFoundError: there is none. ConflictError: it is still loading.
    """
    from cnngraph.database import catalogue

    key = catalogue.resolve(db, name)
    catalogue.require_complete(db, key)
    return Stored(key, catalogue.properties(db, key))
