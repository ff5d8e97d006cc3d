"""The criterion of a person's eye, in a method that simplifies a net layer by layer: filters go that people dropped."""

from __future__ import annotations

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

__all__ = ["ByPeople"]


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

        Raises:
            PlanError: all filters of a layer would go.
        """
        found = dict(most)
        for layer, mine in groups.items():
            dropped = sum(count_filters(group, layer) for group in mine if self._goes(group.filters))
            if dropped >= coupling.layers[layer]:
                raise PlanError(
                    f"All {dropped} filters of {layer} are to go, and one must stay.",
                    f"Keep one: cnngraph review {self.name} --layer {layer}",
                )
            found[layer] = min(dropped, most[layer])
        return found

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
