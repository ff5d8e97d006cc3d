"""Rounds of pruning weights: in each the smallest of all that are left go, whatever layer they are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import nn

from cnngraph.errors import PlanError
from cnngraph.models.initial import get_initial
from cnngraph.models.masks import Flags, Masks, get_masks, keep_zeros, masks_of
from cnngraph.models.tensor_bytes import tensor_numbers
from cnngraph.models.weights import copy_state
from cnngraph.network.followed_net import FollowedNet
from cnngraph.origin import get_origin
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.context import Context
from cnngraph.pruning.greedy import Room, groups_of
from cnngraph.pruning.removals import scored_removals
from cnngraph.pruning.smallest_weights import count_share, keep_all_but
from cnngraph.pruning.steps import in_one
from cnngraph.pruning.stepwise import Stepwise, StepWords
from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.freezing import named_tensors
from cnngraph.surgery.layers.net_structure import NetStructure

__all__ = ["RoundOptions", "Rounds", "count_alive", "going_by_round", "prunable_tensors", "rounds_of"]

_FILTERS = "the filters without weights"


class RoundOptions(Protocol):
    """What a person said: see :class:`cnngraph.pruning.methods.imp.Options`."""

    @property
    def rounds(self) -> int: ...
    @property
    def rate(self) -> float: ...
    @property
    def rewind(self) -> str: ...
    @property
    def mask(self) -> str: ...
    @property
    def one_shot(self) -> bool: ...
    @property
    def prune_biases(self) -> bool: ...
    @property
    def structured(self) -> bool: ...


def rounds_of(context: Context, options: RoundOptions) -> Rounds:
    """The rounds for a net; raises PlanError as :func:`cnngraph.pruning.methods.imp.find_steps`."""
    net = context.saved.model
    names, notes = prunable_tensors(context, biases=options.prune_biases)
    if not names:
        raise PlanError("There are no weights to prune.", "Convs and dense layers have some, but for the last one.")
    if options.rewind == "weights" and get_initial(net) is None:
        raise PlanError(
            "The weights that its training began with were not kept, or the net was cut since: there is nothing to "
            "rewind to.",
            "Train it anew with cnngraph train ... --keep-initial, or use {rewind=lr}.",
        )
    going = going_by_round(_count(_alive(net, names)), options.rounds, options.rate)
    if options.one_shot:
        going = (sum(going),)
    base = context.empty_plan(
        "imp",
        **{name: getattr(options, name) for name in ("rounds", "rate", "rewind", "mask", "one_shot", "prune_biases")},
        structured=options.structured,
    )
    base = base.model_copy(update={"measure": options.mask, "notes": notes})
    targets = tuple(f"round {number}" for number, _ in enumerate(going, 1))
    return Rounds(
        _outline(net, names, going, base),
        (*targets, _FILTERS) if options.structured else targets,
        budget=context.budget,
        context=context,
        options=options,
        names=names,
        going=going,
    )


def count_alive(context: Context, *, biases: bool) -> int:
    """How many weights may go that have not gone."""
    names, _ = prunable_tensors(context, biases=biases)
    return _count(_alive(context.saved.model, names))


def going_by_round(alive: int, rounds: int, rate: float) -> tuple[int, ...]:
    """How many weights go in each round, of ``alive`` at first, if none are equal.

    Raises:
        PlanError: a round would find nothing to prune; the message says how many are possible.

    >>> going_by_round(100, 3, 0.2)
    (20, 16, 12)
    """
    found: list[int] = []
    left = alive
    for number in range(1, rounds + 1):
        going = count_share(rate, left)
        if going < 1 or going >= left:
            fewer = f"Use {{rounds={number - 1}}} at most" if number > 1 else "Prune a larger net"
            raise PlanError(
                f"Of {alive:,} weights {rate:g} a round leaves nothing to prune in round {number}: "
                f"{number - 1} rounds are possible.",
                f"{fewer}, or change {{rate}}.",
            )
        found.append(going)
        left -= going
    return tuple(found)


def prunable_tensors(context: Context, *, biases: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the parameters whose weights may go, in network order, and what is to be said of others.

    Convs and dense layers but for those that give the output and those to keep; a layer that computes its weights from
    others, or is no module, stays.
    """
    net, graph = context.saved.model, context.graph
    modules = dict(net.named_modules())
    output = {str(node.target) for node in NetStructure(graph.graph_module).output_layers}
    found: dict[int, list[str]] = {}
    strange: list[str] = []
    for layer in graph.layers:
        path = layer.shared_with or layer.layer
        if layer.kind not in ("Conv", "Linear") or path in output or {path, layer.layer} & set(context.keep):
            continue
        module = modules.get(path)
        own = dict(module.named_parameters(recurse=False)) if module is not None else {}
        if type(module) not in (nn.Conv2d, nn.Linear) or "weight" not in own:
            strange.append(path)
            continue
        names = ["weight", *(["bias"] if biases and "bias" in own else [])]
        for name in names:
            found.setdefault(id(own[name]), []).append(f"{path}.{name}")
    notes = tuple(
        f"{path} keeps its weights: zeros in them may be none where it uses them." for path in dict.fromkeys(strange)
    )
    return tuple(dict.fromkeys(names[0] for names in found.values())), notes


@dataclass
class Rounds(Stepwise):
    """A step a round; then, where it was asked for, one about filters without weights.

    Attributes:
        context: the net before. names: of the parameters that are pruned. going: how many weights go in each round if
            none are equal; where more go in one, the next takes its share of what is left then.
    """

    words: ClassVar[StepWords] = StepWords(
        each="round", todo="of pruning", done="taken", going="weight", passed="come to nothing: there are none"
    )

    context: Context = field(kw_only=True)
    options: RoundOptions = field(kw_only=True)
    names: tuple[str, ...] = field(kw_only=True)
    going: tuple[int, ...] = field(kw_only=True)

    def plan(self, net: nn.Module, target: str, done: Sequence[Plan]) -> Plan:
        origin, number = get_origin(net), len(done) + 1
        settings: dict[str, Any] = {}
        if target == _FILTERS:
            removes = self._filters_without_weights(net)
        else:
            masks, before = self._masks(net, number), _count(_alive(net, self.names))
            left = _count({name: masks.alive[name] for name in self.names})
            if left in (0, before):
                why = "leaves no weight" if not left else "finds nothing to prune"
                fewer = f"Use {{rounds={number - 1}}} at most" if number > 1 else "Prune another net"
                raise PlanError(f"Round {number} {why}: too many are equal.", f"{fewer}, or change {{rate}}.")
            removes = _removals(masks)
            settings = {"round": number, "gone": before - left, "alive": left}
        recipe = origin.digest if origin else ""
        changes = {"recipe": recipe, "removes": removes, "notes": (), "settings": settings}
        return self.outline.model_copy(update=changes)

    def cut(self, net: nn.Module, plan: Plan, input_shape: tuple[int, int, int]) -> nn.Module:
        from cnngraph.surgery.apply import apply

        # The masks follow from the net, so that a prune that goes on after a kill finds the same; apply compares them
        # with the plan.
        masks = self._masks(net, int(plan.settings["round"])) if plan.weights else None
        slim = apply(net, plan, input_shape=input_shape, masks=masks)
        initial = get_initial(slim)
        if plan.weights and self.options.rewind == "weights" and initial is not None:
            copy_state(slim, initial.tensors)
            keep_zeros(slim)
        return slim

    def counts(self, plan: Plan, target: str) -> dict[str, Any]:  # noqa: ARG002
        if not plan.weights:
            return {"filters": sum(map(len, plan.filters.values()))}
        return {"weights": plan.settings["gone"], "alive": plan.settings["alive"]}

    @property
    def expected(self) -> dict[str, Any]:
        """The weights of each layer, and how many would be left if the weights that are there now decided."""
        sizes = self.outline.settings["weights"]
        return {
            "weights": {
                layer: {"weights": sizes[layer], "alive": removal.alive}
                for layer, removal in self.outline.weights.items()
            }
        }

    def explained(self, done: Sequence[Plan]) -> dict[str, Any]:
        """The masks of each round, by layer."""
        return {
            "masks": [
                {
                    "round": number,
                    "layers": {layer: {"alive": one.alive, "mask": one.mask} for layer, one in plan.weights.items()},
                }
                for number, plan in enumerate(done, 1)
                if plan.weights
            ]
        }

    def trained(self, net: FollowedNet, target: str) -> frozenset[str]:  # noqa: ARG002
        """All: what is pruned the masks hold."""
        return frozenset(named_tensors(net.model))

    def together(self, done: Sequence[Plan]) -> tuple[Removal, ...]:
        filters = any(plan.filters for plan in done)
        return in_one(self.context.coupling.layers if filters else {}, done)

    def _masks(self, net: nn.Module, number: int) -> Masks:
        """The masks after round ``number``, of the net before it."""
        alive = _alive(net, self.names)
        # What is left may be less than was expected, since equals of the cutoff went too.
        going = self.going[0] if self.options.one_shot else count_share(self.options.rate, _count(alive))
        chance = np.random.default_rng([self.context.seed, number])
        weights = [tensor_numbers(net.get_parameter(name)) for name in self.names]
        if self.options.mask == "random":
            weights = [chance.random(one.shape) for one in weights]
        kept = keep_all_but(weights, going, [alive[name] for name in self.names])
        known = get_masks(net)
        others = dict(known.alive) if known is not None else {}
        return masks_of(others | dict(zip(self.names, kept, strict=True)))

    def _filters_without_weights(self, net: nn.Module) -> tuple[Removal, ...]:
        """The filters whose incoming weights are all pruned, with all that is coupled; each layer keeps one."""
        coupling = coupled(net, self.context.saved.input_shape).keeping(self.context.keep)
        room, alive = Room.of(coupling, {}), _alive(net, self.names)
        chosen = []
        for groups in groups_of(coupling, tuple(coupling.layers)).values():
            for group in groups:
                if all(_is_dead(alive, *one) for one in group.filters) and room.fits(group):
                    room.take(group)
                    chosen.append(group)
        return tuple(scored_removals(coupling, ((one, 0.0) for one in chosen), lambda _: "have no weight left"))


def _is_dead(alive: Mapping[str, Flags], layer: str, channel: int) -> bool:
    """Whether no weight of a filter is alive; a layer that is not pruned has live ones."""
    flags = alive.get(f"{layer}.weight")
    return flags is not None and not flags[channel].any()


def _alive(net: nn.Module, names: Sequence[str]) -> dict[str, Flags]:
    """Which weights of these parameters are alive: all, where the net has no mask of one."""
    masks = get_masks(net)
    known = masks.alive if masks is not None else {}
    whole = {name: np.ones(tuple(net.get_parameter(name).shape), dtype=bool) for name in names if name not in known}
    return {name: known[name] if name in known else whole[name] for name in names}


def _count(alive: Mapping[str, Flags]) -> int:
    return sum(int(np.count_nonzero(flags)) for flags in alive.values())


def _removals(masks: Masks) -> tuple[Removal, ...]:
    return tuple(
        Removal(layer=layer, kind="weights", mask=masks.sha256_of(layer), alive=masks.count(layer))
        for layer in masks.layers
    )


def _outline(net: nn.Module, names: Sequence[str], going: Sequence[int], base: Plan) -> Plan:
    """As much as goes in all rounds, as if the weights that are there now decided."""
    alive = _alive(net, names)
    before = _count(alive)
    weights = [tensor_numbers(net.get_parameter(name)) for name in names]
    kept = keep_all_but(weights, sum(going), list(alive.values()))
    masks = masks_of(dict(zip(names, kept, strict=True)))
    left = [before - sum(going[:number]) for number in range(1, len(going) + 1)]
    steps = [
        {"number": number, "weights": gone, "alive": alive_then}
        for number, (gone, alive_then) in enumerate(zip(going, left, strict=True), 1)
    ]
    sizes = {layer: masks.size(layer) for layer in masks.layers}
    settings = base.settings | {"weights": sizes, "trained_steps": steps}
    return base.model_copy(update={"removes": _removals(masks), "settings": settings})
