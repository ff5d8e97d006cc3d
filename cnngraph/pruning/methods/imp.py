"""Method ``imp``: round by round the smallest weights of the whole net go, and the net is trained again.

Iterative magnitude pruning as in Ansuini, Medvet, Pellegrino, Zullich, "On the Similarity between Hidden Layers of
Pruned and Unpruned CNNs", ICPRAM 2020, doi 10.5220/0008960300520059. Which weights go is
:func:`cnngraph.pruning.smallest_weights.keep_largest` over all layers together. After a round the net goes back to the
weights that its training began with (``--rewind weights``: Frankle, Carbin, ICLR 2019), or the learning rate alone to
the beginning of its schedule (``--rewind lr``: Renda, Frankle, Carbin, ICLR 2020). Our choices: ``lr`` unless it is
said; each round takes the whole rate (the authors' code takes less in the first, and biases, too); biases stay unless
``--prune-biases``; the layer that gives the output and norms always do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.errors import OptionError, PlanError
from cnngraph.pruning.method import Method, Need, option
from cnngraph.vocabulary import MASKS, REWINDS

if TYPE_CHECKING:
    from cnngraph.pruning.budget import Allowance, Way
    from cnngraph.pruning.context import Context
    from cnngraph.pruning.stepwise import Stepwise

__all__ = ["METHOD", "Options"]


@dataclass(frozen=True)
class Options:
    """How much goes in which round, and where each training begins."""

    rounds: int = option(10, "So many rounds, each followed by a training.", least=1)
    rate: float = option(0.2, "This share of the weights that are left goes in a round, between 0 and 1.")
    rewind: str = option(
        "lr",
        "Where each training begins: lr: its learning rate, at the weights that are there; weights: the weights that "
        "the net had at first (cnngraph train --keep-initial keeps them).",
        words=REWINDS,
    )
    mask: str = option("magnitude", f"Which weights go: {', '.join(MASKS)} (to compare with).", words=MASKS)
    one_shot: bool = option(False, "As much as all rounds together goes in one (to compare with).")
    prune_biases: bool = option(False, "Biases of these layers may go, too.")
    structured: bool = option(False, "At last filters go whose weights are all gone, and the net is trained once more.")

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise OptionError(f"{{rate={self.rate:g}}} is not a share between 0 and 1.", "Its default is 0.2.")


def find_steps(context: Context, options: Options, bounds: Mapping[str, Any]) -> Stepwise:  # noqa: ARG001
    """A step a round.

    Raises:
        PlanError: there is nothing to prune, or not for so many rounds; or the weights that the training began with are
            to come back, and were not kept.
    """
    from cnngraph.pruning.rounds import rounds_of

    if options.structured:
        context.require_feature_maps()
    return rounds_of(context, options)


def find_way(context: Context, options: Options, allowance: Allowance) -> Way:
    """As many rounds as there are epochs, by default 10 at most, each of the rate that leaves the wanted share of the
    net's parameters in the end; what is not pruned (norms, the output layer) counts among those that stay.

    A share of the operations is taken as one of the parameters, and the way says that no operation goes.

    Raises:
        PlanError: zeros save nothing of what the target counts, or what is not pruned is more than is wanted already.
    """
    from cnngraph.network.macs import count_parameters
    from cnngraph.pruning.budget import Way
    from cnngraph.pruning.rounds import count_alive

    target = allowance.target
    if target.kind not in ("parameters", "macs"):
        raise PlanError(
            f"Pruned weights stay in the net as zeros, which changes nothing of its {target.name}: nothing was trained."
        )
    whole = count_parameters(context.saved.model)
    cost = whole if target.kind == "parameters" else sum(layer.macs for layer in context.graph.layers)
    alive = count_alive(context, biases=options.prune_biases)
    left = alive - round((1 - target.share(cost)) * whole)
    if not 0 < left < alive:
        raise PlanError(
            f"Of {whole:,} parameters {alive:,} can be pruned, too few for {target.shown(target.share(cost))}."
        )
    rounds = min(options.rounds, allowance.epochs)
    why = None
    if target.kind == "macs":
        why = f"Zeros take no operations away: {target.share(cost):.1%} of its parameters are not zero."
    return Way({"rounds": rounds, "rate": round(1 - (left / alive) ** (1 / rounds), 6)}, why)


METHOD = Method(
    name="imp",
    removes="weights",
    summary="round by round the smallest weights of the whole net, trained again after each (prune alone)",
    options=Options,
    limits=(),
    needs=lambda _: frozenset({Need.WEIGHTS, Need.IMAGES, Need.LABELS, Need.TRAINING}),
    steps=find_steps,
    within=find_way,
    takes_long=True,
    paper="Ansuini, Medvet, Pellegrino & Zullich 2020",
)
