"""Method ``progressive``: layer by layer, filters go by a criterion, and the net up to the next layer is retrained.

Osaku, Gomes, Falcão, "Convolutional Neural Network Simplification with Progressive Retraining", arXiv 2101.04699, 2021.
When layer l is done, layers 1 to l + 1 are trained and everything after stays bit for bit
(:mod:`cnngraph.surgery.freezing`); there are as many trainings as layers that lost filters. The paper's formula for the
objective criterion is not known: those of :mod:`cnngraph.pruning.criteria` are our choice, as is that what goes is a
coupling group, which belongs to the first named layer in it, and that a share is never exceeded and a filter stays.
The subjective criterion, a person's eye, is what people decided on the page of ``cnngraph review``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.errors import OptionError
from cnngraph.pruning.method import ALL, Method, Need, agree_option, layer_option, option
from cnngraph.vocabulary import CRITERIA

if TYPE_CHECKING:
    from cnngraph.plan import Plan
    from cnngraph.pruning.budget import Allowance, Way
    from cnngraph.pruning.context import Context
    from cnngraph.pruning.stepwise import Stepwise

__all__ = ["METHOD", "Options"]


@dataclass(frozen=True)
class Options:
    """What chooses the filters, and of which layers."""

    criterion: str = option("accuracy", f"By which the filters of a layer go: {', '.join(CRITERIA)}.", words=CRITERIA)
    layer: tuple[str, ...] = layer_option()
    agree: str = agree_option()


def find_steps(context: Context, options: Options, bounds: Mapping[str, Any]) -> Stepwise:
    """A step for each layer that loses filters, in network order.

    Raises:
        OptionError: nothing says how much of a layer goes. NotFoundError: a layer is not there.
        PlanError: its filters cannot go, nobody judged them, or there are no validation images.
    """
    from cnngraph.pruning.by_people import ByPeople
    from cnngraph.pruning.criteria import CHOOSERS
    from cnngraph.pruning.greedy import groups_of
    from cnngraph.pruning.layer_by_layer import LayerByLayer, LayerShares, outline
    from cnngraph.pruning.layer_shares import named_layers, require_as_many, require_groups, share_of
    from cnngraph.pruning.stepwise import Allowed

    by_people = options.criterion == "person"
    if not bounds and not by_people:
        raise OptionError(
            "The method progressive needs {ratio} or {filters}: how much of each layer goes.",
            "For example {ratio=0.3}.",
        )
    if options.agree != "all" and not by_people:
        raise OptionError("{agree} belongs to {criterion=person}.", "Leave it out, or name that criterion.")
    context.require_feature_maps()
    coupling = context.coupling
    everything = not options.layer or ALL in options.layer
    named = tuple(named_layers(coupling, (ALL,) if everything else options.layer))
    people = ByPeople.read(context, options.agree) if by_people else None
    if people:
        named = people.judged_layers(named)
    groups = groups_of(coupling, named)
    told = not everything or not any(groups.values())  # of layers that nobody named only where nothing can go
    require_groups(context, coupling, groups, [layer for layer, mine in groups.items() if mine or told])
    if everything:
        require_as_many(coupling, groups, bounds)
    shares = {layer: share_of(coupling, layer, mine, bounds, strict=not everything) for layer, mine in groups.items()}
    if people:
        shares = people.shares(coupling, groups, shares)
    how = LayerShares(people or CHOOSERS[options.criterion], named, shares, coupling.layers)
    base = context.empty_plan("progressive", criterion=options.criterion, **bounds, widths=dict(coupling.layers))
    if people:
        base = base.model_copy(update={"settings": base.settings | people.settings})
    notes = (*coupling.notes, *(people.notes(coupling) if people else ()))
    base = base.model_copy(update={"measure": options.criterion, "notes": notes})
    targets, whole = outline(coupling, how, base)
    return LayerByLayer(
        whole,
        targets,
        Allowed(context.max_accuracy_drop, context.max_kappa_drop),
        context.budget,
        context=context,
        how=how,
        judged=context.open_judged("validation"),
    )


def find_way(context: Context, options: Options, allowance: Allowance) -> Way:
    """The smallest ratio whose cut reaches the target: how many filters of each layer go decides what the net costs,
    which ones does not, so that nothing has to be trained to find it.

    Raises:
        PlanError: no ratio does.
    """
    from cnngraph.pruning.budget import Way
    from cnngraph.pruning.path import RatioPath

    def outline_at(ratio: float) -> Plan:
        return find_steps(context, options, {"ratio": ratio}).outline

    plan = allowance.reach(RatioPath(context.empty_plan("progressive"), outline_at))
    return Way({"ratio": plan.settings["ratio"]})


METHOD = Method(
    name="progressive",
    removes="filters",
    summary="filters layer by layer, the net up to the next layer retrained between (prune alone)",
    options=Options,
    limits=("ratio", "filters", "max_accuracy_drop", "max_kappa_drop"),
    needs=lambda options: (
        frozenset({Need.WEIGHTS, Need.IMAGES, Need.LABELS, Need.TRAINING})
        | (frozenset({Need.GRAPH, Need.PERSON}) if options.criterion == "person" else frozenset())
    ),
    steps=find_steps,
    within=find_way,
    takes_long=True,
    paper="Osaku, Gomes & Falcão 2021",
)
