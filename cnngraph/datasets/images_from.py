"""Which images a figure was found on: said beside every figure, since accuracy on trained images says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

__all__ = ["ImagesFrom", "TrainedOn"]

TrainedOn = Literal["no", "possibly", "yes"]

_SENTENCES: dict[TrainedOn, str] = {
    "no": "none of which it was trained on",
    "possibly": "on which it may have been trained",
    "yes": "on which it was trained",
}
_SOURCES = {
    "split": "split off",  # by the rule of today, by the earlier one, or as the net remembers
    "own": "the set's own",
    "split file": "named by the split file",
}


@dataclass(frozen=True)
class ImagesFrom:
    """The images that a net was judged on.

    Attributes:
        part: train, validation or test.
        images: how many were judged.
        taken_from: where that part comes from: the name of a folder, ``split`` where it was split off, ``own`` where
            the set has it, ``split file``.
        trained_on: whether the net may have seen them in training.
    """

    part: str
    images: int
    taken_from: str
    trained_on: TrainedOn

    @classmethod
    def read(cls, stored: object) -> ImagesFrom | None:
        """What :meth:`as_json` gave; ``None`` of anything else: figures of earlier versions have none."""
        names = [each.name for each in fields(cls)]
        if not isinstance(stored, Mapping) or not all(name in stored for name in names):
            return None
        known = cls(**{name: stored[name] for name in names})
        return known if isinstance(known.images, int) and known.trained_on in _SENTENCES else None

    def as_json(self) -> dict[str, Any]:
        """All of it as one JSON object."""
        return asdict(self)

    @property
    def words(self) -> str:
        """
        >>> ImagesFrom("test", 12, "val", "no").words
        '12 test images (val), none of which it was trained on'
        """
        source = _SOURCES.get(self.taken_from, self.taken_from)
        return f"{self.images:,} {self.part} images ({source}), {_SENTENCES[self.trained_on]}"
