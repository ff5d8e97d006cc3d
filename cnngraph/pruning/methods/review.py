"""Method ``review``: the filters go that people said go, on the page of ``cnngraph review``.

Our choices: channels that only go together go if one of them is to go and nobody's answer keeps another of them; those
that nobody judged go along. What cannot go stays, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.errors import PlanError
from cnngraph.pruning.method import Method, Need, agree_option

if TYPE_CHECKING:
    from cnngraph.plan import Removal
    from cnngraph.pruning.context import Context
    from cnngraph.pruning.path import PruningPath
    from cnngraph.review.carried_out import Judgement
    from cnngraph.surgery.channels.coupling import Coupling, Group

__all__ = ["METHOD", "Options"]


@dataclass(frozen=True)
class Options:
    """When a filter goes that several people judged."""

    agree: str = agree_option()


def find_path(context: Context, options: Options, bounds: Mapping[str, Any]) -> PruningPath:  # noqa: ARG001
    """What people agreed on, as one plan.

    Raises:
        PlanError: nobody judged a filter, nothing of it can go, or all filters of a layer would.
    """
    from cnngraph.pruning.by_people import groups_by_people
    from cnngraph.pruning.path import LayerPath
    from cnngraph.review.carried_out import read_judgement

    context.require_feature_maps()
    judgement = read_judgement(context.database, context.model, options.agree)
    coupling = context.coupling
    gone, notes = groups_by_people(coupling, judgement)
    removes = tuple(_removals(coupling, judgement, gone))
    if not removes:
        people = " and ".join(judgement.people)
        raise PlanError(
            f"No filter goes by what {people} said ({{agree={options.agree}}}). {' '.join(notes)}".rstrip(),
            "Judge more filters, or ask for less agreement: {agree=any}.",
        )
    coupling.closure({one.layer: one.filters for one in removes})  # refuses all filters of a layer
    base = context.empty_plan("review", agree=options.agree, people=list(judgement.people), widths=coupling.layers)
    return LayerPath(base.model_copy(update={"notes": (*coupling.notes, *notes)}), removes)


def _removals(coupling: Coupling, judgement: Judgement, groups: list[Group]) -> Iterator[Removal]:
    """One removal a layer, in the order of the net; its reason says who said of which filter that it goes."""
    from cnngraph.plan import Removal

    gone: dict[str, set[int]] = {}
    for group in groups:
        for layer, channel in group.filters:
            gone.setdefault(layer, set()).add(channel)
    for layer, width in coupling.layers.items():
        channels = tuple(sorted(gone.get(layer, ())))
        if channels:
            reason = f"{len(channels)} of {width} filters: {_who(judgement, layer, channels)}."
            yield Removal(layer=layer, kind="filters", filters=channels, reason=reason)


def _who(judgement: Judgement, layer: str, channels: tuple[int, ...]) -> str:
    said: dict[str, list[str]] = {}
    for channel in channels:
        for by in judgement.who(layer, channel) or ("",):
            said.setdefault(by, []).append(str(channel))
    along = said.pop("", None)
    parts = [f"{by} drops {', '.join(numbers)}" for by, numbers in said.items()]
    parts += [f"coupled with filters that go: {', '.join(along)}"] if along else []
    return "; ".join(parts)


METHOD = Method(
    name="review",
    removes="filters",
    summary="the filters that people dropped on the page of cnngraph review",
    options=Options,
    limits=(),
    needs=lambda _: frozenset({Need.GRAPH, Need.WEIGHTS, Need.PERSON}),
    path=find_path,
)
