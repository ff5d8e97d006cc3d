"""What a page is opened on, and what it says of one filter and of a layer: of each lens what it shows, or the command
that makes it.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from cnngraph.database import cypher
from cnngraph.database.reviews import UNDO, Binding, Choice, append, read_log
from cnngraph.errors import ConflictError, NotFoundError
from cnngraph.review.agreement import standing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cnngraph.database.connection import Database
    from cnngraph.review.costs import FilterCosts

__all__ = ["Evidence", "Judging", "Shown"]

# Properties of a feature map that say who it is, or that a lens of their own shows.
_NOT_SCORES = {"model", "layer", "channel", "name", "car"}


class Shown(Protocol):
    """An image that a filter responds to: its number, the largest response, and the box that this place looks at."""

    @property
    def image_index(self) -> int: ...
    @property
    def value(self) -> float: ...
    @property
    def box(self) -> tuple[int, int, int, int]: ...
    @property
    def label(self) -> Any: ...


class Evidence(Protocol):
    """What images say of filters, gathered before (:mod:`cnngraph.jobs.evidence`)."""

    def top_images(self, layer: str, channel: int) -> Sequence[Shown]: ...
    def occurrence(self, layer: str, channel: int) -> npt.NDArray[np.floating[Any]]: ...
    def kernel_picture(self, layer: str, channel: int) -> bytes | None: ...
    def image(self, index: int) -> bytes: ...


@dataclass
class Judging:
    """One person's look at the filters of one model.

    Attributes:
        layers: those to judge, in network order, and how many filters each has.
        by: who judges. shuffle: in random order. hide_scores: what the machine thinks is hidden until the person has
            decided.
        costs: ``None`` where the net is not here. evidence: ``None`` where no images were looked at.
        absent: why there are no costs or no evidence, and the command that makes them, by ``costs`` and ``evidence``.
    """

    database: Database
    binding: Binding
    layers: Mapping[str, int]
    by: str
    shuffle: bool = False
    hide_scores: bool = False
    costs: FilterCosts | None = None
    evidence: Evidence | None = None
    absent: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def name(self) -> str:
        """The model as a person types it."""
        owner, _, name = self.binding.model.partition("/")
        return name if owner == self.database.owner else self.binding.model

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Classes and input shape."""
        rows = self.database.read(cypher.load("review/model_facts"), model=self.binding.model)
        return rows[0] if rows else {"classes": [], "input_shape": None, "correlated": False}

    @cached_property
    def order(self) -> list[tuple[str, int]]:
        """The filters as they come; shuffled they come in the same order whenever this person opens the page."""
        filters = [(layer, channel) for layer, width in self.layers.items() for channel in range(width)]
        if self.shuffle:
            seed = hashlib.sha256(f"{self.by}/{self.binding.sha256}".encode()).digest()
            random.Random(seed).shuffle(filters)
        return filters

    def start(self) -> dict[str, Any]:
        """What a page begins with: the filters in their order, and this person's choices that stand.

        Raises:
            ConflictError: the model was replaced since.
        """
        log = read_log(self.database, self.binding.model)
        if log.binding != self.binding:
            raise _replaced(self.binding.model)
        taken_back = {one.undoes for one in log.choices if one.decision == UNDO}
        mine = [one for one in log.choices if one.by == self.by and one.decision != UNDO and one.id not in taken_back]
        names = list(self.layers)
        return {
            "model": self.binding.model,
            "name": self.name,
            "binding": f"{self.binding.sha256[:16]}-{self.binding.recipe}",
            "by": self.by,
            "shuffle": self.shuffle,
            "hide_scores": self.hide_scores,
            "layers": [{"layer": layer, "filters": width} for layer, width in self.layers.items()],
            "order": [[names.index(layer), channel] for layer, channel in self.order],
            "choices": [[one.id, one.layer, one.channel, one.decision, one.at] for one in mine if one.layer in names],
            "judged_by_others": len(standing([one for one in log.choices if one.by != self.by])),
        }

    def store(self, told: Sequence[Mapping[str, Any]]) -> list[str]:
        """Store the choices that the page sends, in their order; the ids that were new.

        Raises:
            ValueError: one is no choice. Otherwise as :func:`cnngraph.database.reviews.append`.
        """
        known = self._seen(told) if self.hide_scores else set()
        choices = []
        for one in told:
            where = one["layer"], one["channel"]
            blind = self.hide_scores and one["decision"] != UNDO and where not in known
            known.add(where)
            choices.append(Choice(**one, by=self.by, blind=blind))
        return append(self.database, self.binding, choices)

    def filter(self, layer: str, channel: int) -> dict[str, Any]:
        """All lenses on one filter.

        Raises:
            NotFoundError: there is none. ConflictError: the model was replaced since.
        """
        self.require(layer, channel)
        names = {"model": self.binding.model, "sha256": self.binding.sha256, "by": self.by}
        rows = self.database.read(cypher.load("review/filter"), layer=layer, channel=channel, **names)
        if not rows:
            raise _replaced(self.binding.model)
        row = rows[0]
        hidden = self.hide_scores and not row["judged"]
        return {
            "layer": layer,
            "channel": channel,
            "filters": self.layers[layer],
            "hidden": hidden,
            "cost": self._cost(layer, channel, None if hidden else row["map"].get("car")),
            "lenses": {
                "images": self._images(layer, channel),
                "occurrence": self._occurrence(layer, channel),
                "weights": self._weights(layer, channel),
                "serves": _HIDDEN if hidden else self._serves(row),
                "twins": self._twins(row["twins"]),
                "scores": _HIDDEN if hidden else _scores(row["map"]),
            },
        }

    def grid(self, layer: str) -> dict[str, Any]:
        """The filters of a layer as a grid shows them; raises NotFoundError."""
        self.require(layer, 0)
        rows = self.database.read(cypher.load("review/grid"), model=self.binding.model, layer=layer)
        groups = _groups({row["channel"]: row["twins"] for row in rows})
        hidden = ("magnitude", "apoz", "car") if self.hide_scores else ()
        left_out = ("twins", *hidden)
        shown = [
            {name: value for name, value in row.items() if name not in left_out} | {"group": groups[row["channel"]]}
            for row in rows
        ]
        return {"layer": layer, "filters": shown, "pictures": self.evidence is not None}

    def require(self, layer: str, channel: int) -> None:
        """Return if that filter is to be judged here; raises NotFoundError."""
        if layer not in self.layers:
            raise NotFoundError(f"The layer {layer!r} is not judged here.", f"These are: {', '.join(self.layers)}.")
        if not 0 <= channel < self.layers[layer]:
            raise NotFoundError(f"{layer} has no filter {channel}: they go from 0 to {self.layers[layer] - 1}.")

    def face(self, layer: str, channel: int) -> bytes | None:
        """A picture that stands for a filter: its weights where they are an image, else its first image."""
        if self.evidence is None:
            return None
        with self._one_at_a_time:
            made = self.evidence.kernel_picture(layer, channel)
            top = [] if made is not None else self.evidence.top_images(layer, channel)
            return made if made is not None else self.evidence.image(top[0].image_index) if top else None

    def image(self, index: int) -> bytes | None:
        """An image that was looked at, as PNG."""
        if self.evidence is None:
            return None
        with self._one_at_a_time:
            return self.evidence.image(index)

    def weights(self, layer: str, channel: int) -> bytes | None:
        """The weights of a filter as PNG; ``None`` where they are no image."""
        if self.evidence is None:
            return None
        with self._one_at_a_time:
            return self.evidence.kernel_picture(layer, channel)

    def _seen(self, told: Sequence[Mapping[str, Any]]) -> set[tuple[str, int]]:
        """Which of these filters the person has judged before, and seen what the machine thinks."""
        rows = [{"layer": one["layer"], "channel": one["channel"]} for one in told]
        found = self.database.read(cypher.load("review/judged"), model=self.binding.model, rows=rows, by=self.by)
        return {(row["layer"], row["channel"]) for row in found}

    def _cost(self, layer: str, channel: int, car: float | None) -> dict[str, Any]:
        if self.costs is None:
            return {"car": car, "absent": self.absent.get("costs")}
        with self._one_at_a_time:
            found = self.costs.of(layer, channel)
        return {
            "car": car,
            "parameters": found.parameters,
            "milliseconds": found.milliseconds,
            "stays": found.stays,
            "along": [list(one) for one in found.along[:20]],
            "along_count": len(found.along),
        }

    def _images(self, layer: str, channel: int) -> dict[str, Any]:
        if self.evidence is None:
            return self._no_evidence()
        with self._one_at_a_time:
            top = self.evidence.top_images(layer, channel)
        classes, shape = self.facts["classes"], self.facts["input_shape"] or [1, 1, 1]
        return {
            "height": shape[1],
            "width": shape[2],
            "images": [
                {
                    "index": one.image_index,
                    "value": one.value,
                    "box": list(one.box),
                    "label": _label(one.label, classes),
                }
                for one in top
            ],
        }

    def _occurrence(self, layer: str, channel: int) -> dict[str, Any]:
        if self.evidence is None:
            return self._no_evidence()
        with self._one_at_a_time:
            found = self.evidence.occurrence(layer, channel)
        return {"classes": self.facts["classes"], "maps": [_rounded(one) for one in found]}

    def _weights(self, layer: str, channel: int) -> dict[str, Any]:
        if self.evidence is None:
            return self._no_evidence()
        if self.weights(layer, channel) is None:
            return {"text": "This filter reads other filters, not an image: its weights are no picture."}
        return {"picture": True}

    def _no_evidence(self) -> dict[str, Any]:
        return {"absent": self.absent.get("evidence") or {"text": "No images were looked at.", "command": ""}}

    def _serves(self, row: Mapping[str, Any]) -> dict[str, Any]:
        by_class = row["map"].get("carByClass")
        if not row["serves"] and by_class is None:
            command = f"cnngraph measure {self.name} --measure car --layer {row['map']['layer']}"
            return {"absent": {"text": "What its classes lose without it was not measured.", "command": command}}
        return {"served": row["serves"], "classes": self.facts["classes"], "by_class": by_class or []}

    def _twins(self, twins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        if not self.facts["correlated"]:
            return {
                "absent": {
                    "text": "Which filters resemble each other was left out when the model was ingested.",
                    "command": "cnngraph ingest MODEL --data D --correlations on --name OTHER",
                }
            }
        return {"twins": [dict(one) for one in twins], "pictures": self.evidence is not None}


_HIDDEN: dict[str, Any] = {"hidden": True}


def _replaced(model: str) -> ConflictError:
    return ConflictError(
        f"The model {model} was replaced or deleted since this page was opened.",
        "What was decided is in the file that --replace or delete wrote. Begin again: cnngraph review NAME",
    )


def _label(label: Any, classes: Sequence[str]) -> str:
    return classes[label] if isinstance(label, int) and 0 <= label < len(classes) else str(label)


def _rounded(occurrence: npt.NDArray[np.floating[Any]]) -> list[list[float | None]]:
    """A map as JSON holds it; ``None`` where there was no image to tell."""
    return [[None if cell != cell else round(cell, 3) for cell in line] for line in occurrence.tolist()]


def _scores(row: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {
        name: float(value)
        for name, value in sorted(row.items())
        if name not in _NOT_SCORES and isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {"scores": [{"name": name, "value": value} for name, value in numbers.items()]}


def _groups(twins: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """By filter the group of twins that it is in, named by its first filter: twins of twins are twins."""
    group = {channel: channel for channel in twins}

    def first(channel: int) -> int:
        while group[channel] != channel:
            channel = group[channel]
        return channel

    for channel, others in twins.items():
        for other in others:
            if other in group:
                low, high = sorted((first(channel), first(other)))
                group[high] = low
    return {channel: first(channel) for channel in twins}
