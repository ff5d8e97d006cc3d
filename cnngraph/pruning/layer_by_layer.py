"""Filters go layer by layer, first to last; those of a layer are chosen on the net that the layers before it left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from cnngraph.network.followed_net import FollowedNet
from cnngraph.origin import get_origin
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.context import Context, Images
from cnngraph.pruning.criteria import Candidates, Choose, Chosen
from cnngraph.pruning.greedy import Room, count_filters, groups_of
from cnngraph.pruning.removals import scored_removals
from cnngraph.pruning.steps import in_one, survivors
from cnngraph.pruning.stepwise import Stepwise
from cnngraph.surgery.channels.coupling import Coupling, coupled
from cnngraph.surgery.freezing import depthwise_layers, trained_tensors

__all__ = ["LayerByLayer", "LayerShares", "outline"]


@dataclass(frozen=True)
class LayerShares:
    """How much may go, and what chooses it.

    Attributes:
        choose: see :data:`cnngraph.pruning.criteria.CHOOSERS`.
        named: the layers whose filters may go. shares: how many of each layer at most, coupled layers too.
        widths: how many filters each layer of the unpruned net has.
    """

    choose: Choose
    named: tuple[str, ...]
    shares: Mapping[str, int]
    widths: Mapping[str, int]

    def room_after(self, done: Sequence[Plan]) -> Room:
        """What the layers may still lose."""
        room = Room({layer: width - 1 for layer, width in self.widths.items()} | dict(self.shares))
        for plan in done:
            for layer, filters in plan.filters.items():
                room.left[layer] -= len(filters)
        return room


@dataclass
class LayerByLayer(Stepwise):
    """A step a layer.

    Attributes:
        context: what a criterion may look at. judged: validation images.
    """

    context: Context = field(kw_only=True)
    how: LayerShares = field(kw_only=True)
    judged: Images = field(kw_only=True)

    def plan(self, net: nn.Module, target: str, done: Sequence[Plan]) -> Plan:
        from cnngraph.training.execution import pick_device

        context, how = self.context, self.how
        shape = context.saved.input_shape
        coupling = coupled(net, shape).keeping(context.keep)
        candidates = Candidates(
            net=net,
            input_shape=shape,
            coupling=coupling,
            layer=target,
            groups=groups_of(coupling, how.named)[target],
            numbers=survivors(how.widths, done),
            training=context.open_images,
            judged=self.judged,
            device=pick_device(context.device),
            batch=context.batch,
        )
        room = how.room_after(done)
        possible = any(map(room.fits, candidates.groups))
        chosen = how.choose(candidates, room) if possible else []
        origin = get_origin(net)
        return self.outline.model_copy(
            update={
                "recipe": origin.digest if origin else "",
                "removes": tuple(_removals(coupling, chosen, target)),
                "notes": (),
                "settings": {"layer": target, "criterion": self.outline.settings["criterion"]},
            }
        )

    def trained(self, net: FollowedNet, target: str) -> frozenset[str]:
        return trained_tensors(net, target, depthwise_layers(self.context.graph))

    def together(self, done: Sequence[Plan]) -> tuple[Removal, ...]:
        return in_one(self.how.widths, done)


def outline(coupling: Coupling, how: LayerShares, base: Plan) -> tuple[tuple[str, ...], Plan]:
    """The layers that have filters of their own to lose, and as much of them as may go: the first, whichever it is."""
    room = how.room_after(())
    groups, found = groups_of(coupling, how.named), dict[str, dict[int, int]]()
    steps: list[dict[str, Any]] = []
    for layer, mine in groups.items():
        taken = []
        for group in mine:
            if room.fits(group):
                room.take(group)
                taken.append(group)
        if not taken:
            continue
        steps.append({"number": len(steps) + 1, "layer": layer, "filters": sum(count_filters(g, layer) for g in taken)})
        for name, channel in (pair for group in taken for pair in group.filters):
            found.setdefault(name, {})[channel] = len(steps)
    removes = tuple(
        Removal(
            layer=layer,
            kind="filters",
            filters=tuple(sorted(found[layer])),
            steps=tuple(step for _, step in sorted(found[layer].items())),
        )
        for layer in coupling.layers
        if layer in found
    )
    targets = tuple(layer for layer, mine in groups.items() if mine)
    return targets, base.model_copy(update={"removes": removes, "settings": base.settings | {"trained_steps": steps}})


def _removals(coupling: Coupling, chosen: Sequence[Chosen], layer: str) -> Iterator[Removal]:
    """What was chosen of one layer as removals."""

    def reason(name: str) -> str:
        if name != layer:
            return f"that are coupled with those of {layer}"
        (_, first) = min(
            (channel, one.reason) for one in chosen for owner, channel in one.group.filters if owner == name
        )
        return first

    return scored_removals(coupling, ((one.group, one.score) for one in chosen), reason)
