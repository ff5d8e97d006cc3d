"""Under which name a new model is stored, so that the same command finds what it stored before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.errors import ConflictError, SpecError

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["Place", "place"]


@dataclass(frozen=True)
class Place:
    """A name of one's own.

    Attributes:
        key: owner/name. whole: the very model that is to be stored stands there, written to its end.
    """

    name: str
    key: str
    whole: bool


def place(
    db: Database,
    base: str,
    as_name: str | None,
    *,
    sha256: str,
    data: Mapping[str, Any] | None,
    fingerprint: str | None = None,
) -> Place:
    """``as_name``, else the first of ``base``, ``base-2`` ... that is free or holds these very weights and data.

    Args:
        sha256: of the weights; "" where they are not made yet.
        data: a DataChoice as JSON; ``None`` where it is not known.
        fingerprint: of the mapped net (:func:`cnngraph.database.fingerprint.fingerprint`), where it is known already:
            the same weights that came about in another way, or were mapped otherwise, are another model then.

    Raises:
        ConflictError: ``as_name`` is another model.
    """
    from cnngraph.database import catalogue

    names = [as_name] if as_name else [base, *(f"{base}-{number}" for number in range(2, 10_000))]
    for name in names:
        key = f"{db.owner}/{name}"
        found = catalogue.properties(db, key)
        empty = found.get("status") in (None, "loading") and "fingerprint" not in found  # not even begun, or just so
        same = found.get("sha256") == sha256 and _data_of(found) == data
        if empty or (same and fingerprint in (None, found.get("fingerprint"))):
            return Place(name, key, found.get("status") == "complete")
    otherwise = "" if fingerprint is None else ", or made or mapped otherwise"
    raise ConflictError(
        f"There is a model {names[0]} already, with other weights or data{otherwise}.",
        f"Choose another name, or delete it: cnngraph delete {names[0]}",
    )


def _data_of(found: Mapping[str, Any]) -> Any:
    """The data that a model was ingested with; ``None`` also where somebody damaged that: then it is another model."""
    from cnngraph.database.fingerprint import json_property

    try:
        return json_property(found, "inputs").get("data")
    except SpecError:
        return None
