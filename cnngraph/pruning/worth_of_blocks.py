"""What the blocks of a model are worth, as the graph holds it: what a method reads that goes by criticality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from cnngraph.errors import PlanError
from cnngraph.pruning.context import Context

__all__ = ["BlockWorth", "Worth", "rank_blocks", "read_worth"]

_DIGITS = 12  # of a mean: beyond them it is rounding that would tell equal blocks apart


@dataclass(frozen=True)
class BlockWorth:
    """A block, and the accuracy that the best ``scheme`` loses without it, the mean over so many ``trials``."""

    block: str
    criticality: float
    scheme: str
    trials: int

    @property
    def words(self) -> str:
        """
        >>> BlockWorth("stage4", 0.021, "join", 1).words
        'Its criticality is 0.0210, by join.'
        """
        seeds = f", the mean of {self.trials} trials" if self.trials > 1 else ""
        return f"Its criticality is {self.criticality:.4f}, by {self.scheme}{seeds}."


@dataclass(frozen=True)
class Worth:
    """What is known of all blocks.

    Attributes:
        order: least criticality first; of equal ones the one that stands first in the net.
        settings: what a plan keeps of it: the schemes, how many trials, what they took in seconds, by block the figure.
        command: what finds out about more.
    """

    order: tuple[BlockWorth, ...]
    settings: Mapping[str, Any]
    command: str

    @property
    def note(self) -> str:
        """Which figures decide, for a person."""
        schemes = ", ".join(self.settings["schemes"])
        return f"By the criticality of {len(self.order)} blocks, from {self.settings['trials']} trials ({schemes})."


def read_worth(context: Context) -> Worth:
    """What the trials that are stored of this model say; they are of the weights that it has, since a model that is
    stored anew loses them.

    Raises:
        PlanError: there are none; the hint says what finds it out.
    """
    from cnngraph.database.criticality import read_criticality

    command = f"cnngraph criticality {context.model.split('/')[-1]} --schemes join"
    trials = read_criticality(context.database, context.model)
    if not rank_blocks(trials) and context.try_blocks is not None:
        context.try_blocks()
        trials = read_criticality(context.database, context.model)
    order = rank_blocks(trials)
    if not order:
        raise PlanError(
            f"The graph does not know what the blocks of {context.model} are worth.",
            f"Find it out: {command}; or name blocks: {{replace_block}}.",
        )
    used = [one for one in trials if not one.get("failed")]
    settings = {
        "schemes": sorted({str(one["scheme"]) for one in used}),
        "trials": len(used),
        "seconds": sum(float(one.get("seconds") or 0.0) for one in used),
        "blocks": {one.block: one.criticality for one in order},
    }
    return Worth(tuple(order), settings, command)


def rank_blocks(trials: Sequence[Mapping[str, Any]]) -> list[BlockWorth]:
    """The blocks by least criticality: the least mean of ``value`` over the seeds of one scheme and one budget.

    Args:
        trials: in network order of their blocks, as :func:`cnngraph.database.criticality.read_criticality` gives them.
            One whose training failed does not count.

    >>> one = {"block": "a", "scheme": "join", "value": 0.1}
    >>> [(b.block, b.criticality) for b in rank_blocks([one, one | {"block": "b", "value": -0.2}])]
    [('b', -0.2), ('a', 0.1)]
    """
    values: dict[str, dict[tuple[str, ...], list[float]]] = {}
    for one in trials:
        if not one.get("failed"):
            how = tuple(str(one.get(name)) for name in ("scheme", "temperature", "alpha", "budget"))
            values.setdefault(one["block"], {}).setdefault(how, []).append(one["value"])
    found = [_best(block, schemes) for block, schemes in values.items()]
    return sorted(found, key=lambda one: one.criticality)


def _best(block: str, schemes: Mapping[tuple[str, ...], Sequence[float]]) -> BlockWorth:
    how, values = min(schemes.items(), key=lambda item: (round(fmean(item[1]), _DIGITS), item[0]))
    return BlockWorth(block, round(fmean(values), _DIGITS), how[0], len(values))
