"""The filters that went beside those that stay: their pictures, and how many are about colour."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cnngraph.plan import Plan

__all__ = ["FIRST", "ColourCount", "FilterPictures", "LayerPictures", "ShownFilter", "filters_in_order"]

FIRST = 20  # filters to go whose colour is counted, as in the paper of CAR


@dataclass(frozen=True)
class ColourCount:
    """How many filters of a layer are colour-selective: see :mod:`cnngraph.evidence.colour`.

    Attributes:
        by: what was looked at: the weights of filters that read the image, else the answers to the images that excite
            them most. at_least: the score from which on a filter counts.
        filters, selective: of the layer. first, selective_of_first: of the first that went, in their order.
    """

    layer: str
    by: Literal["weights", "answers"]
    at_least: float
    filters: int
    selective: int
    first: int
    selective_of_first: int

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)

    @property
    def words(self) -> str:
        """As a sentence, with what chance alone would give."""
        what = "energy of the weights off the grey axis" if self.by == "weights" else "response that goes with colour"
        by_chance = self.first * self.selective / self.filters
        return (
            f"Of the first {self.first} to go {self.selective_of_first} are colour-selective (a share of "
            f"{self.at_least:g} or more of the {what}), of all {self.filters} filters {self.selective}: by chance it "
            f"would be {by_chance:.1f} of the first."
        )


@dataclass(frozen=True)
class ShownFilter:
    """A filter and its pictures, each a PNG; none where nothing excites it."""

    channel: int
    pictures: Sequence[bytes]

    @property
    def sources(self) -> list[str]:
        """The pictures as addresses that hold them."""
        return [f"data:image/png;base64,{base64.b64encode(one).decode('ascii')}" for one in self.pictures]


@dataclass(frozen=True)
class LayerPictures:
    """One layer that lost filters.

    Attributes:
        gone: how many of its ``filters`` went. shows: what the pictures are, in words; "" where there are none.
        went: in the order in which they went. stay: by number. Both may be the first of more.
        colour: a sentence, or why colour says nothing here. missing: why there are no pictures.
    """

    layer: str
    gone: int
    filters: int
    shows: str = ""
    went: Sequence[ShownFilter] = ()
    stay: Sequence[ShownFilter] = ()
    colour: str = ""
    missing: str = ""


@dataclass(frozen=True)
class FilterPictures:
    """All layers that the page shows, and a sentence about what it leaves out."""

    layers: Sequence[LayerPictures]
    note: str = ""


def filters_in_order(plan: Plan) -> dict[str, list[int]]:
    """By layer, the filters that went, in the order in which they did: by step, then by score, then by number.

    The score of what people dropped is no order: it says how many of them did.

    >>> from cnngraph.plan import Removal
    >>> removal = Removal(layer="a", kind="filters", filters=(1, 4), scores=(0.9, 0.2))
    >>> filters_in_order(Plan(removes=(removal,)))
    {'a': [4, 1]}
    """
    steps: Sequence[Mapping[str, Any]] = plan.settings.get("steps") or ()
    found: dict[str, list[int]] = {}
    for removal in plan.removes:
        if removal.kind != "filters":
            continue
        mine = [channel for step in steps if step["layer"] == removal.layer for channel in step["filters"]]
        scores = dict(zip(removal.filters, removal.scores, strict=False))
        if plan.measure == "person":
            scores = {}
        trainings = dict(zip(removal.filters, removal.steps, strict=False))
        rest = sorted(
            removal.filters, key=lambda channel: (trainings.get(channel, 0), scores.get(channel, 0.0), channel)
        )
        wanted = set(removal.filters)
        found[removal.layer] = list(dict.fromkeys([*(one for one in mine if one in wanted), *rest]))
    return found
