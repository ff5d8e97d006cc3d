"""What people said of filters, carried out: which groups go, all at once or layer by layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.errors import PlanError
from cnngraph.pruning.criteria import Candidates, Chosen
from cnngraph.pruning.greedy import Room, count_filters
from cnngraph.review.carried_out import Judgement, read_judgement

if TYPE_CHECKING:
    from cnngraph.pruning.context import Context
    from cnngraph.surgery.channels.coupling import Coupling, Group

__all__ = ["ByPeople", "groups_by_people"]


def groups_by_people(coupling: Coupling, judgement: Judgement) -> tuple[list[Group], list[str]]:
    """The groups that go; a sentence about each that was to go and stays."""
    gone: list[Group] = []
    notes: list[str] = []
    wanted = {(layer, channel) for layer, channels in judgement.drops.items() for channel in channels}
    for group in coupling.groups:
        asked, kept = judgement.verdict(group.filters)
        if asked is None:
            continue
        layer, channel = asked
        if group.fixed:
            notes.append(f"Filter {channel} of {layer} stays: {group.fixed}.")
        elif kept is not None:
            notes.append(f"Filter {channel} of {layer} stays: filter {kept[1]} of {kept[0]} goes with it, and is kept.")
        else:
            gone.append(group)
    seen = {one for group in coupling.groups for one in group.filters}
    strange = sorted(wanted - seen)
    if strange:
        layer, channel = strange[0]
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        notes.append(f"Filter {channel} of {layer}{more} cannot be cut: the net has no such filters of its own.")
    return gone, notes


@dataclass(frozen=True)
class ByPeople:
    """The groups go of which people dropped a filter and kept none; as many as there is room for, in network order.

    Attributes:
        judgement: of the filters of the unpruned net. name: of that net, as hints have it.
    """

    judgement: Judgement
    name: str

    @classmethod
    def read(cls, context: Context, agree: str) -> ByPeople:
        """What people said of the net; raises as :func:`cnngraph.review.carried_out.read_judgement`."""
        return cls(read_judgement(context.database, context.model, agree), context.model.split("/")[-1])

    @property
    def settings(self) -> dict[str, Any]:
        """What the plan says of it: people's names, the rule, and the filters that go by it, so that others that were
        judged since are another decision."""
        drops = {layer: list(channels) for layer, channels in self.judgement.drops.items()}
        return {"agree": self.judgement.agree, "people": list(self.judgement.people), "drops": drops}

    def notes(self, coupling: Coupling) -> list[str]:
        """A sentence about each filter that was to go and stays."""
        return groups_by_people(coupling, self.judgement)[1]

    def judged_layers(self, named: Sequence[str]) -> tuple[str, ...]:
        """Those of the layers of which a filter is to go.

        Raises:
            PlanError: there is none.
        """
        found = tuple(layer for layer in named if self.judgement.drops.get(layer))
        if not found:
            people = " and ".join(self.judgement.people)
            raise PlanError(
                f"No filter of these layers goes by what {people} said ({{agree={self.judgement.agree}}}).",
                f"Judge more: cnngraph review {self.name}; or ask for less agreement: {{agree=any}}.",
            )
        return found

    def shares(
        self, coupling: Coupling, groups: Mapping[str, Sequence[Group]], most: Mapping[str, int]
    ) -> dict[str, int]:
        """By layer, how many filters go: those that people dropped, and no more than ``most``.

        Args:
            groups: by layer, those that belong to it. most: by the same layers; it holds for coupled ones too.

        Raises:
            PlanError: all filters of a layer would go.
        """
        going = {layer: [one for one in mine if self._goes(one.filters)] for layer, mine in groups.items()}
        counts = Counter(layer for mine in going.values() for group in mine for layer, _ in group.filters)
        for layer, count in counts.items():
            if count >= coupling.layers[layer]:
                raise PlanError(
                    f"All {count} filters of {layer} are to go, and one must stay.",
                    f"Keep one: cnngraph review {self.name} --layer {layer}",
                )
        own = {layer: sum(count_filters(group, layer) for group in mine) for layer, mine in going.items()}
        return {layer: min(own[layer], most[layer]) if groups[layer] else most[layer] for layer in most}

    def __call__(self, candidates: Candidates, room: Room) -> list[Chosen]:
        """The groups of one layer that go; the score is the share of those who judged the filter that dropped it."""
        chosen = []
        for group in candidates.groups:
            before = [(layer, candidates.numbers[layer][channel]) for layer, channel in group.filters]
            if self._goes(before) and room.fits(group):
                room.take(group)
                chosen.append(Chosen(group, self._share(before), self._reason(before)))
        return chosen

    def _goes(self, filters: Sequence[tuple[str, int]]) -> bool:
        asked, kept = self.judgement.verdict(filters)
        return asked is not None and kept is None

    def _share(self, filters: Sequence[tuple[str, int]]) -> float:
        asked, _ = self.judgement.verdict(filters)
        assert asked is not None
        return len(self.judgement.who(*asked)) / len(self.judgement.found[asked])

    def _reason(self, filters: Sequence[tuple[str, int]]) -> str:
        asked, _ = self.judgement.verdict(filters)
        assert asked is not None
        return f"that people dropped ({', '.join(self.judgement.who(*asked))})"
