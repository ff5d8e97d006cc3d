"""Pictures of the filters that a plan takes, for the page about a pruned model, and how many are about colour.

Filters that read the image are shown as they are; of deeper ones, the patches of the images that excite them most. The
latter, and the colours of their answers, need the evidence about the parent's filters, which is one pass over its
training images: it is read where it is there, and made where that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from cnngraph.console import warn
from cnngraph.errors import CnngraphError
from cnngraph.jobs.evidence import Gathering, gathering_of
from cnngraph.jobs.session import Session
from cnngraph.plan import Plan
from cnngraph.reporting.filters import (
    FIRST,
    ColourCount,
    FilterPictures,
    LayerPictures,
    ShownFilter,
    filters_in_order,
)
from cnngraph.sources.stored import stored

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cnngraph.evidence.record import Evidence

__all__ = ["count_colours", "count_selective", "patches", "show_filters"]

LAYERS_SHOWN, FILTERS_SHOWN, PATCHES_SHOWN = 6, 20, 4


def show_filters(session: Session, plan: Plan, command: str, *, look: bool) -> FilterPictures | None:
    """The pictures for a plan that was carried out; ``None`` where it took no filters.

    Args:
        command: what makes the evidence that is missing, to be said. look: make it now.

    Raises:
        As :func:`cnngraph.jobs.evidence.collect_evidence`, with ``look``.
    """
    order = filters_in_order(plan)
    if not order:
        return None
    shown = dict(list(order.items())[:LAYERS_SHOWN])
    left_out = len(order) - len(shown)
    note = f"The first {len(shown)} of {len(order)} layers that lost filters." if left_out else ""
    try:
        source = _Source(gathering_of(session, stored(session.database, plan.model)), command, look=look)
        return FilterPictures([source.layer(layer, gone) for layer, gone in shown.items()], note)
    except CnngraphError as error:
        if look:
            raise
        return FilterPictures([], f"The filters cannot be shown: {error.message} {error.hint}".strip())


def count_colours(session: Session, plan: Plan, *, look: bool = False) -> list[ColourCount] | None:
    """How many of the filters that a plan takes are colour-selective, of the layers that the page shows; only where
    that is defined and known. ``None``, which is said, where the net before or its images are not here.

    Raises:
        As :func:`cnngraph.jobs.evidence.collect_evidence`, with ``look``.
    """
    order = filters_in_order(plan)
    if not order:
        return []
    try:
        source = _Source(gathering_of(session, stored(session.database, plan.model)), "", look=look)
        found = [source.colours(layer, gone) for layer, gone in list(order.items())[:LAYERS_SHOWN]]
    except CnngraphError as error:
        if look:
            raise
        warn(f"How many of the filters are about colour is not known: {error.message} {error.hint}".rstrip())
        return None
    return [one for one in found if isinstance(one, ColourCount)]


@dataclass(frozen=True)
class _Source:
    """The parent's net and what is known of its filters."""

    gathering: Gathering
    command: str
    look: bool

    @cached_property
    def evidence(self) -> Evidence | None:
        """Of all layers; ``None`` where it would have to be made."""
        return self.gathering.collect() if self.look else self.gathering.find(None)

    @cached_property
    def in_colour(self) -> bool:
        """Whether the net sees any colour."""
        if self.gathering.loaded.preprocessing.channels != 3:
            return False
        return self.evidence.in_colour if self.evidence is not None else self.gathering.has_colour()

    def layer(self, layer: str, gone: Sequence[int]) -> LayerPictures:
        """Its pictures: as many of either side as the page shows."""
        from cnngraph.evidence.kernels import kernels_of

        kernels = kernels_of(self.gathering.loaded.model, layer)
        count = 0 if kernels is None else len(kernels)
        if kernels is None or not count:
            return LayerPictures(layer, len(gone), len(gone), missing="It is no conv layer of two dimensions.")
        known, colours = self.evidence, self.colours(layer, gone)
        words = colours.words if isinstance(colours, ColourCount) else colours
        stay = [channel for channel in range(count) if channel not in set(gone)]
        as_weights = self.gathering.reads_image(layer)
        if not as_weights and (known is None or layer not in known.layers):
            why = f"Which images excite these filters is not known yet: {self.command}"
            return LayerPictures(layer, len(gone), count, colour=words, missing=why)
        shows = "their weights" if as_weights else f"the {PATCHES_SHOWN} patches that excite each most"
        sides = [
            [ShownFilter(channel, list(self._pictures(layer, channel, as_weights))) for channel in side[:FILTERS_SHOWN]]
            for side in (gone, stay)
        ]
        return LayerPictures(layer, len(gone), count, shows, sides[0], sides[1], colour=words)

    def colours(self, layer: str, gone: Sequence[int]) -> ColourCount | str:
        """How many are colour-selective, or why that says nothing."""
        from cnngraph.evidence.colour import SELECTIVE_ANSWERS, SELECTIVE_WEIGHTS, weights_on_colour
        from cnngraph.evidence.kernels import kernels_of

        if not self.in_colour:
            return "Colour is undefined here: the images are grey."
        kernels = kernels_of(self.gathering.loaded.model, layer)
        if kernels is not None and kernels.shape[1] == 3 and self.gathering.reads_image(layer):
            shares = weights_on_colour(kernels, self.gathering.loaded.preprocessing.std)
            return count_selective(layer, "weights", shares, gone, SELECTIVE_WEIGHTS)
        if self.evidence is None or layer not in self.evidence.layers:
            return ""
        return count_selective(layer, "answers", self.evidence.answers_to_colour(layer), gone, SELECTIVE_ANSWERS)

    def _pictures(self, layer: str, channel: int, as_weights: bool) -> Iterator[bytes]:
        if as_weights:
            from cnngraph.evidence.kernels import kernels_of
            from cnngraph.evidence.pictures import kernel_picture

            kernels = kernels_of(self.gathering.loaded.model, layer)
            picture = None if kernels is None else kernel_picture(kernels[channel], reads_image=True)
            yield from [picture] if picture is not None else []
            return
        assert self.evidence is not None
        yield from patches(self.evidence, layer, channel)


def patches(evidence: Evidence, layer: str, channel: int) -> Iterator[bytes]:
    """What excites a filter most, as PNG; nothing for a place that sees padding alone."""
    from cnngraph.evidence.fields import is_empty

    for top in evidence.top_images(layer, channel)[:PATCHES_SHOWN]:
        if not is_empty(top.box):
            yield evidence.image(top.image_index, top.box)


def count_selective(
    layer: str, by: str, scores: npt.NDArray[np.float64], gone: Sequence[int], at_least: float
) -> ColourCount:
    """How many filters, and how many of the first that went, have a score that counts; NaN does not."""
    selective, first = scores >= at_least, list(gone[:FIRST])
    return ColourCount(
        layer,
        "weights" if by == "weights" else "answers",
        at_least,
        len(selective),
        int(selective.sum()),
        len(first),
        int(selective[first].sum()),
    )
