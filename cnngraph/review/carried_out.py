"""The filters that people's choices take out: what ``--method review`` and ``--criterion person`` carry out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnngraph.database.reviews import read_log
from cnngraph.errors import PlanError
from cnngraph.review.agreement import Standing, dropped, standing

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["Judgement", "dropped_filters", "read_judgement"]


@dataclass(frozen=True)
class Judgement:
    """What people said of a model's filters, and what goes by it.

    Attributes:
        found: each person's answer that counts, by filter. agree: the rule. drops: by layer, the filters that go.
    """

    found: Standing
    agree: str
    drops: dict[str, tuple[int, ...]]

    @property
    def people(self) -> tuple[str, ...]:
        """Everybody who judged a filter."""
        return tuple(sorted({by for answers in self.found.values() for by in answers}))

    def is_kept(self, layer: str, channel: int) -> bool:
        """Whether somebody judged the filter and it does not go."""
        return (layer, channel) in self.found and channel not in self.drops.get(layer, ())

    def verdict(self, filters: Iterable[tuple[str, int]]) -> tuple[tuple[str, int] | None, tuple[str, int] | None]:
        """Of filters (layer, channel) that only go together, the first that is to go and the first that is to stay."""
        members = tuple(filters)
        asked = next((one for one in members if one[1] in self.drops.get(one[0], ())), None)
        return asked, next((one for one in members if self.is_kept(*one)), None)

    def who(self, layer: str, channel: int) -> tuple[str, ...]:
        """The people who said that the filter goes."""
        answers = self.found.get((layer, channel), {})
        return tuple(sorted(by for by, one in answers.items() if one.decision == "drop"))


def read_judgement(database: Database, model: str, agree: str = "all") -> Judgement:
    """What people said of the filters of ``model`` (its key), by the rule ``agree``: any, majority or all.

    Raises:
        PlanError: nobody judged any. ConflictError, ModelError: see :func:`cnngraph.database.reviews.read_log`.
    """
    found = standing(read_log(database, model).choices)
    if not found:
        name = model.split("/")[-1]
        raise PlanError(f"Nobody has judged a filter of {model}.", f"Judge some: cnngraph review {name}")
    return Judgement(found, agree, dropped(found, agree))


def dropped_filters(database: Database, model: str, agree: str = "all") -> dict[str, tuple[int, ...]]:
    """By layer, the filters of ``model`` that go by what people said; raises as :func:`read_judgement`."""
    return read_judgement(database, model, agree).drops
