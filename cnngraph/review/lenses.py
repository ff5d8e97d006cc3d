"""What there is to say of one filter, a lens at a time: what it shows, or the command that makes what is missing."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from cnngraph.database import cypher

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from cnngraph.database.connection import Database
    from cnngraph.review.costs import FilterCosts, Savings

__all__ = ["Evidence", "Lenses", "finite"]

# Properties of a feature map that say who it is, or that stand elsewhere on the page.
_NOT_SCORES = {"model", "layer", "channel", "name", "car"}
_HIDDEN: dict[str, Any] = {"hidden": True}


class Shown(Protocol):
    """An image that excites a filter: its number, the largest response, the box that it looks at there, its class."""

    @property
    def image_index(self) -> int: ...
    @property
    def value(self) -> float: ...
    @property
    def box(self) -> tuple[int, int, int, int]: ...
    @property
    def label(self) -> str: ...


class Alike(Protocol):
    """A filter of the same layer that answers alike."""

    @property
    def layer(self) -> str: ...
    @property
    def channel(self) -> int: ...
    @property
    def correlation(self) -> float: ...


class Evidence(Protocol):
    """What images say of filters, as :mod:`cnngraph.jobs.evidence` gathers it.

    The name of ``folder`` is a digest of the net and the images.
    """

    folder: Path
    layers: tuple[str, ...]
    classes: tuple[str, ...]
    part: str
    images: int

    def top_images(self, layer: str, channel: int) -> Sequence[Shown]: ...
    def occurrence(self, layer: str, channel: int) -> npt.NDArray[np.floating[Any]]: ...
    def twins(self, layer: str, channel: int) -> Sequence[Alike]: ...
    def kernel_picture(self, layer: str, channel: int) -> bytes | None: ...
    def image(self, index: int) -> bytes: ...


@dataclass
class Lenses:
    """What is known of the filters of one model.

    Attributes:
        name: the model as a person types it. facts: its ``classes``, ``input_shape``, and whether it is ``correlated``.
        costs: ``None`` where the net is not here. evidence: ``None`` where no images were looked at.
        absent: why there are no ``costs`` or no ``evidence``: a ``text``, and the ``command`` that makes them.
    """

    name: str
    facts: Mapping[str, Any]
    costs: FilterCosts | None = None
    evidence: Evidence | None = None
    absent: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, repr=False)  # nets and files, not the graph

    @classmethod
    def of(cls, db: Database, model: str, name: str, **known: Any) -> Lenses:
        """With the facts of the graph; ``known`` are the other fields."""
        rows = db.read(cypher.load("review/model_facts"), model=model)
        return cls(name, rows[0] if rows else {"classes": [], "input_shape": None, "correlated": False}, **known)

    def look(self, layer: str, channel: int, row: Mapping[str, Any], *, hidden: bool) -> dict[str, Any]:
        """Cost and lenses of a filter.

        Args:
            row: what the graph says of it (``review/filter.cypher``). hidden: leave out what the machine thinks.
        """
        told = finite(row)
        with self._one_at_a_time:
            savings = self.costs.of(layer, channel) if self.costs is not None else None
            return {
                "cost": self._cost(savings, None if hidden else told["map"].get("car")),
                "lenses": {
                    "images": self._images(layer, channel),
                    "occurrence": self._occurrence(layer, channel),
                    "weights": self._weights(layer, channel),
                    "serves": _HIDDEN if hidden else self._serves(layer, told, savings.no_car if savings else ""),
                    "twins": self._twins(layer, channel, told["twins"]),
                    "scores": _HIDDEN if hidden else _scores(row["map"]),
                },
            }

    def face(self, layer: str, channel: int) -> bytes | None:
        """A picture that stands for a filter: its first image; in the first layer, and without any, its weights."""
        evidence = self._looked(layer)
        if evidence is None:
            return None
        with self._one_at_a_time:
            top = evidence.top_images(layer, channel) if layer != evidence.layers[0] else []
            return evidence.image(top[0].image_index) if top else evidence.kernel_picture(layer, channel)

    def image(self, index: int) -> bytes | None:
        """An image that was looked at, as PNG."""
        if self.evidence is None or not 0 <= index < self.evidence.images:
            return None
        with self._one_at_a_time:
            return self.evidence.image(index)

    def weights(self, layer: str, channel: int) -> bytes | None:
        """The weights of a filter as PNG; ``None`` where they are no image."""
        evidence = self._looked(layer)
        if evidence is None:
            return None
        with self._one_at_a_time:
            return evidence.kernel_picture(layer, channel)

    def _looked(self, layer: str) -> Evidence | None:
        """The evidence, where it is of the filters of this layer."""
        return self.evidence if self.evidence is not None and layer in self.evidence.layers else None

    def _no_evidence(self) -> dict[str, Any]:
        nothing = {"text": "This layer has no maps by rows and columns to look at.", "command": ""}
        return {"absent": self.absent.get("evidence") or nothing}

    def _cost(self, found: Savings | None, car: float | None) -> dict[str, Any]:
        if found is None:
            return {"car": car, "absent": self.absent.get("costs")}
        return {
            "car": car,
            "parameters": found.parameters,
            "milliseconds": found.milliseconds,
            "stays": found.stays,
            "no_car": found.no_car,
            "along": [list(one) for one in found.along[:20]],
            "along_count": len(found.along),
        }

    def _images(self, layer: str, channel: int) -> dict[str, Any]:
        evidence, shape = self._looked(layer), self.facts["input_shape"] or [1, 1, 1]
        if evidence is None:
            return self._no_evidence()
        return {
            "of": f"{evidence.images:,} {evidence.part} images",
            "height": shape[1],
            "width": shape[2],
            "images": [
                {"index": one.image_index, "value": finite(one.value), "box": list(one.box), "label": one.label}
                for one in evidence.top_images(layer, channel)
            ],
        }

    def _occurrence(self, layer: str, channel: int) -> dict[str, Any]:
        evidence = self._looked(layer)
        if evidence is None:
            return self._no_evidence()
        maps = [_rounded(one) for one in evidence.occurrence(layer, channel)]
        return {"classes": list(evidence.classes), "maps": maps}

    def _weights(self, layer: str, channel: int) -> dict[str, Any]:
        evidence = self._looked(layer)
        if evidence is None:
            return self._no_evidence()
        if evidence.kernel_picture(layer, channel) is None:
            return {"text": "This filter reads other filters, not an image: its weights are no picture."}
        return {"picture": True}

    def _serves(self, layer: str, row: Mapping[str, Any], no_car: str) -> dict[str, Any]:
        by_class = row["map"].get("carByClass")
        if not row["serves"] and by_class is None:
            if no_car:
                return {"text": f"What each class loses without it cannot be measured, for it cannot go: {no_car}."}
            command = f"cnngraph measure {self.name} --measure car --layer {layer}"
            return {"absent": {"text": "What each class loses without it was not measured.", "command": command}}
        return {"served": row["serves"], "classes": self.facts["classes"], "by_class": by_class or []}

    def _twins(self, layer: str, channel: int, twins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        evidence = self._looked(layer)
        if self.facts["correlated"]:
            return {"twins": [dict(one) for one in twins], "pictures": evidence is not None}
        if evidence is None:
            text = "Which filters resemble each other was left out when the model was ingested."
            return {
                "absent": {"text": text, "command": "cnngraph ingest MODEL --data D --correlations on --name OTHER"}
            }
        found = evidence.twins(layer, channel)
        return {
            "twins": [
                {"layer": one.layer, "channel": one.channel, "correlation": finite(one.correlation), "scope": "within"}
                for one in found
            ],
            "pictures": True,
        }


def finite(value: Any) -> Any:
    """The same as JSON has it: ``None`` for NaN and the infinities, in lists and mappings too.

    NaN stands in lists of the graph for what is not known; on its own it is a property that somebody else wrote.

    >>> finite({"carByClass": [0.5, math.nan], "mine": math.inf, "car": 0.25})
    {'carByClass': [0.5, None], 'mine': None, 'car': 0.25}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(one) for name, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, list | tuple) else value


def _rounded(occurrence: npt.NDArray[np.floating[Any]]) -> list[list[float | None]]:
    """A map as JSON holds it; ``None`` where there was no image to tell."""
    return [[None if cell != cell else round(cell, 3) for cell in line] for line in occurrence.tolist()]


def _scores(row: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {
        name: finite(float(value))
        for name, value in sorted(row.items())
        if name not in _NOT_SCORES and isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {"scores": [{"name": name, "value": value} for name, value in numbers.items()]}
