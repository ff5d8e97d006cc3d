"""The saved models of what is pushed or pulled: from where they are into the storage of the other side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cnngraph.console import Progress
from cnngraph.errors import ModelError
from cnngraph.storage import Storage

__all__ = ["Weights", "copy_weights", "find_weights"]


@dataclass
class Weights:
    """Saved models, as they are to be copied, or were.

    Attributes:
        store: where they go, in words; ``None``: there is nothing that other machines reach.
        copied: those to be copied, the sha256 of their contents with their sizes in bytes. there: that are there
            already. missing: keys of the models whose saved model is not to be found here. without: that have none.
    """

    store: str | None
    copied: dict[str, int] = field(default_factory=dict)
    there: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the report of a command."""
        return {
            "store": self.store,
            "files": len(self.copied),
            "bytes": sum(self.copied.values()),
            "already_there": len(self.there),
            "missing": self.missing,
            "without": self.without,
        }


def find_weights(models: Mapping[str, Mapping[str, Any]], source: Storage, target: Storage, *, push: bool) -> Weights:
    """Which saved models are to be copied.

    Args:
        models: what their Model nodes say, by their keys. push: into what other machines reach; else onto this one.
    """
    found = Weights(target.team if push else str(target.root))
    for key, properties in models.items():
        content = properties.get("savedSha256")
        if content is None:
            found.without.append(key)
        elif (target.is_shared(content) if push else target.is_here(content)) or content in found.copied:
            found.there.append(key)
        elif content not in source:
            found.missing.append(key)
        elif found.store is not None:
            found.copied[content] = source.size(content)
    return found


def copy_weights(
    weights: Weights, models: Mapping[str, Mapping[str, Any]], source: Storage, target: Storage, progress: Progress
) -> None:
    """Copy them; each is hashed on the way.

    Raises:
        ModelError: what is found under a hash is something else. CnngraphError: the store cannot be written.
    """
    if not weights.copied:
        return
    target.require_writable()
    names = {properties.get("savedSha256"): key for key, properties in models.items()}
    progress.start("Copying the saved models", sum(weights.copied.values()))
    for content, size in weights.copied.items():
        folder = source.find(content, str(names[content]))
        if target.add(folder) != content:
            raise ModelError(
                f"The saved model of {names[content]} changed while it was copied.", "Run the same command again."
            )
        progress.advance(size)
