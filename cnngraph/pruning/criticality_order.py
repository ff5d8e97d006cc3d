"""The blocks of a model by least criticality, as trials found it: what a method goes by that replaces blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from cnngraph.errors import PlanError, listed
from cnngraph.pruning.context import Context
from cnngraph.vocabulary import REMOVING_SCHEMES

__all__ = ["BlockCriticality", "CriticalityOrder", "rank_blocks", "read_order"]

_DIGITS = 12  # of a mean: beyond them it is rounding that would tell equal blocks apart

Trials = Sequence[Mapping[str, Any]]
_Way = tuple[str, ...]  # scheme, temperature, alpha and budget: only what was tried in one way can be compared


@dataclass(frozen=True)
class BlockCriticality:
    """What ``scheme`` loses without a block, in accuracy, the mean over so many ``trials``."""

    block: str
    criticality: float
    scheme: str
    trials: int

    @property
    def words(self) -> str:
        """
        >>> BlockCriticality("stage4", 0.021, "join", 1).words
        'Its criticality is 0.0210, by join.'
        """
        seeds = f", the mean of {self.trials} trials" if self.trials > 1 else ""
        return f"Its criticality is {self.criticality:.4f}, by {self.scheme}{seeds}."


@dataclass(frozen=True)
class CriticalityOrder:
    """Blocks that were tried in one way.

    Attributes:
        blocks: least criticality first; of equal ones the one that stands first in the net.
        scheme: by which. seconds: that its trials took. command: what tries all blocks.
    """

    blocks: tuple[BlockCriticality, ...]
    scheme: str
    seconds: float
    command: str

    @property
    def settings(self) -> dict[str, Any]:
        """What a plan keeps of it."""
        figures = {one.block: one.criticality for one in self.blocks}
        trials = sum(one.trials for one in self.blocks)
        return {"scheme": self.scheme, "trials": trials, "seconds": self.seconds, "blocks": figures}

    @property
    def note(self) -> str:
        """Which figures decide, for a person."""
        how = "taken out, with nothing in its place" if self.scheme in REMOVING_SCHEMES else "replaced by one layer"
        return f"By the criticality of {len(self.blocks)} blocks, each {how}: scheme {self.scheme}."

    def missing(self, able: Sequence[str]) -> str | None:
        """A sentence about those of the blocks that ``able`` names which were not tried so; ``None``: all were."""
        known = {one.block for one in self.blocks}
        left = [name for name in able if name not in known]
        return (
            f"{listed(left)}: not tried by {self.scheme}, so not replaced. To try all: {self.command}" if left else None
        )


def read_order(context: Context) -> CriticalityOrder:
    """What the trials say, those in the graph where nobody has others: these are of the weights that the model has,
    since one that is stored anew loses them.

    Raises:
        PlanError: there are none; the hint says what makes them.
    """
    from cnngraph.database.criticality import read_criticality

    command = f"cnngraph criticality {context.model} --schemes join"
    trials = read_criticality(context.database, context.model) if context.read_trials is None else context.read_trials()
    blocks, seconds = rank_blocks(trials)
    if not blocks:
        raise PlanError(
            f"The graph does not know what the blocks of {context.model} are worth.",
            f"Find it out: {command}; or name blocks: {{replace_block}}.",
        )
    return CriticalityOrder(tuple(blocks), blocks[0].scheme, seconds, command)


def rank_blocks(trials: Trials) -> tuple[list[BlockCriticality], float]:
    """The blocks by least criticality, the mean over the seeds, and the seconds that these trials took.

    Trials are compared only where they were made in one way (scheme, distillation, epochs and data). Of several ways
    the one that tried the most blocks counts; of these one that puts a layer in the block's place, as is done here;
    then the one with the most trials.

    Args:
        trials: in network order of their blocks, as :func:`cnngraph.database.criticality.read_criticality` gives them.
            One whose training failed does not count.

    >>> one = {"block": "a", "scheme": "join", "value": 0.1}
    >>> [(b.block, b.criticality) for b in rank_blocks([one, one | {"block": "b", "value": -0.2}])[0]]
    [('b', -0.2), ('a', 0.1)]
    """
    ways: dict[_Way, list[Mapping[str, Any]]] = {}
    for one in trials:
        if not one.get("failed"):
            way = tuple(str(one.get(name)) for name in ("scheme", "temperature", "alpha", "budget"))
            ways.setdefault(way, []).append(one)
    if not ways:
        return [], 0.0
    (scheme, *_), mine = max(sorted(ways.items(), key=lambda item: item[0]), key=lambda item: _worth(*item))
    values: dict[str, list[float]] = {}
    for one in mine:
        values.setdefault(one["block"], []).append(one["value"])
    found = [
        BlockCriticality(block, round(fmean(losses), _DIGITS), scheme, len(losses)) for block, losses in values.items()
    ]
    seconds = sum(float(one.get("seconds") or 0.0) for one in mine)
    return sorted(found, key=lambda one: one.criticality), seconds


def _worth(way: _Way, trials: Trials) -> tuple[int, bool, int]:
    """What makes one way count rather than another."""
    return len({one["block"] for one in trials}), way[0] not in REMOVING_SCHEMES, len(trials)
