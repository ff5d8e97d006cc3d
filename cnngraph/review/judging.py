"""One person's look at the filters of a model: what the page begins with, what it shows, what is stored."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cnngraph.database import cypher
from cnngraph.database.reviews import UNDO, Binding, Choice, append, read_log
from cnngraph.errors import ConflictError, NotFoundError, UsageError
from cnngraph.review.agreement import standing
from cnngraph.review.lenses import finite

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.review.lenses import Lenses

__all__ = ["Judging"]


@dataclass
class Judging:
    """One person's look at the filters of one model.

    Attributes:
        layers: those to judge, in network order, and how many filters each has.
        by: who judges. shuffle: in random order. hide_scores: what the machine thinks is hidden until the person has
            decided.
        lenses: what is known of the filters.
        reopen: gives a database that answers at another address than this one does no more; ``None`` where there is
            none.
    """

    database: Database
    binding: Binding
    layers: Mapping[str, int]
    by: str
    lenses: Lenses
    shuffle: bool = False
    hide_scores: bool = False
    reopen: Callable[[str], Database | None] | None = None

    def look_again(self) -> None:
        """Take the database where it is now: a server that was stopped and started again may have another port."""
        found = self.reopen(self.database.uri) if self.reopen is not None else None
        if found is not None:
            self.database = found

    @cached_property
    def order(self) -> list[tuple[str, int]]:
        """The filters as they come; shuffled they come in the same order whenever this person opens the page."""
        filters = [(layer, channel) for layer, width in self.layers.items() for channel in range(width)]
        if self.shuffle:
            seed = hashlib.sha256(f"{self.by}/{self.binding.sha256}".encode()).digest()
            random.Random(seed).shuffle(filters)
        return filters

    @cached_property
    def pictures(self) -> str:
        """What stands in the addresses of pictures, another one for another net or other images: the browser keeps
        pictures, and the page of another model may have had this port.
        """
        evidence = self.lenses.evidence
        said = [*astuple(self.binding), evidence.folder.name if evidence is not None else ""]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

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
            "name": self.lenses.name,
            "binding": f"{self.binding.sha256[:16]}-{self.binding.recipe}",
            "pictures": self.pictures,
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
            UsageError: one is no choice. Otherwise as :func:`cnngraph.database.reviews.append`.
        """
        known = self._seen(told) if self.hide_scores else set()
        choices = []
        for one in told:
            where = one["layer"], one["channel"]
            blind = self.hide_scores and one["decision"] != UNDO and where not in known
            known.add(where)
            try:
                choices.append(Choice(**one, by=self.by, blind=blind))
            except ValueError as error:
                raise UsageError(f"This is no choice: {error}.") from error
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
            **self.lenses.look(layer, channel, row, hidden=hidden),
        }

    def grid(self, layer: str) -> dict[str, Any]:
        """The filters of a layer as a grid shows them; raises NotFoundError."""
        self.require(layer, 0)
        rows = finite(self.database.read(cypher.load("review/grid"), model=self.binding.model, layer=layer))
        groups = _groups({row["channel"]: row["twins"] for row in rows})
        hidden = ("magnitude", "apoz", "car") if self.hide_scores else ()
        left_out = ("twins", *hidden)
        shown = [
            {name: value for name, value in row.items() if name not in left_out} | {"group": groups[row["channel"]]}
            for row in rows
        ]
        return {"layer": layer, "filters": shown, "pictures": self.lenses.evidence is not None}

    def require(self, layer: str, channel: int) -> None:
        """Return if that filter is to be judged here; raises NotFoundError."""
        if layer not in self.layers:
            raise NotFoundError(f"The layer {layer!r} is not judged here.", f"These are: {', '.join(self.layers)}.")
        if not 0 <= channel < self.layers[layer]:
            raise NotFoundError(f"{layer} has no filter {channel}: they go from 0 to {self.layers[layer] - 1}.")

    def _seen(self, told: Sequence[Mapping[str, Any]]) -> set[tuple[str, int]]:
        """Which of these filters the person has judged before, and seen what the machine thinks."""
        rows = [{"layer": one["layer"], "channel": one["channel"]} for one in told]
        found = self.database.read(cypher.load("review/judged"), model=self.binding.model, rows=rows, by=self.by)
        return {(row["layer"], row["channel"]) for row in found}


def _replaced(model: str) -> ConflictError:
    return ConflictError(
        f"The model {model} was replaced or deleted since this page was opened.",
        f"What was decided is in the file that --replace or delete wrote. Begin again: cnngraph review {model}",
    )


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
