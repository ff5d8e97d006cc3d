"""Who takes part in ``two_times.py``: each gives a list of cuts of one trained net, every one deeper than the last."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.baselines import SHAPE, accuracy, new_net
from cnngraph import plan_filters, trace
from cnngraph.datasets.registry import Data, loader
from cnngraph.errors import PlanError
from cnngraph.measures.registry import measure_network
from cnngraph.network.graph import follow
from cnngraph.network.tables import Network
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import apply, cut
from cnngraph.surgery.channels.coupling import Coupling, coupled
from cnngraph.surgery.channels.filter_scores import FilterScores, magnitude, seeded_order, taylor
from cnngraph.surgery.check import check

__all__ = ["CHOICES", "CONTENDERS", "Cut", "Subject", "layer_cuts"]

Cut = Callable[[], nn.Module]

_GRAPH_MEASURES = ("degree", "entropy", "pagerank", "leiden", "betweenness", "strength", "redundancy")
# Whose measure validation images tell; as many random orders as graph measures.
CHOICES = {
    "layers: best": _GRAPH_MEASURES,
    "layers: best random": tuple(f"random {draw}" for draw in range(len(_GRAPH_MEASURES))),
}
CLASSES = 10
_TRACED = 20  # images a class that the graph's weights are averaged over
_RATIOS = tuple(percent / 100 for percent in range(4, 96, 2))
_ROUND_TO = 4  # the nets are narrow; half of what is usual
_WIDTHS = tuple(eighth / 16 for eighth in range(16, 1, -1))


@dataclass
class Subject:
    """A trained net with what contenders look at. ``width``: the factor that it was built with."""

    net: str
    model: nn.Module
    data: Data
    seed: int
    width: float

    @cached_property
    def accuracy(self) -> float:
        """Of the net as it is, on the test images."""
        return accuracy(self.model, self.data.test)

    @cached_property
    def network(self) -> Network:
        """The graph of the net, traced with training images."""
        return trace(self.model, loader(self.data.train), images_per_class=_TRACED, connections="all")

    @cached_property
    def coupling(self) -> Coupling:
        """Which filters go together."""
        return coupled(self.model, SHAPE)

    def batches(self) -> Any:
        """Training images in an order of the seed's."""
        return loader(self.data.train, batch_size=64, shuffle=True, seed=self.seed)


def layer_cuts(subject: Subject, measure: str) -> list[Cut]:
    """The layers of the lowest theta, one more each time; joins are fitted. Layers that cannot go are passed over.

    ``measure``: its name, of "random" also with the number of the draw ("random 3").
    """
    name, _, draw = measure.partition(" ")
    ranked = measure_network(subject.network, name, seed=100 * int(draw or 0) + subject.seed).layers
    order = [row.layer for row in sorted(ranked, key=lambda row: row.theta)]
    graph = follow(subject.model, SHAPE)
    plans: list[Plan] = []
    taken: list[str] = []
    for layer in order:
        plan = Plan(removes=tuple(Removal(layer=name) for name in [*taken, layer]), measure=measure)
        try:
            check(graph, plan)
        except PlanError:
            continue
        taken.append(layer)
        plans.append(plan)
    if not plans:
        raise PlanError(f"No layer of {subject.net} can go by {measure}.")
    return [
        lambda plan=plan: apply(subject.model, plan, loader=subject.batches(), seed=subject.seed, input_shape=SHAPE)
        for plan in plans
    ]


def _filter_cuts(subject: Subject, scores: FilterScores, round_to: int = _ROUND_TO) -> list[Cut]:
    plans = []
    for ratio in _RATIOS:
        try:
            plan = plan_filters(subject.coupling, scores, ratio=ratio, round_to=round_to)
        except PlanError:
            continue
        if plan.removes and (not plans or plan.removes != plans[-1].removes):
            plans.append(plan)
    return [lambda plan=plan: cut(subject.model, plan, input_shape=SHAPE) for plan in plans]


def _torch_pruning(subject: Subject, importance: str) -> list[Cut]:
    """Torch-Pruning, as its own examples use it: a group's mean importance, the same ratio for every layer."""
    return [lambda ratio=ratio: _pruned_by_torch_pruning(subject, importance, ratio) for ratio in _RATIOS]


def _pruned_by_torch_pruning(subject: Subject, importance: str, ratio: float) -> nn.Module:
    import torch_pruning as tp

    net = copy.deepcopy(subject.model)
    kinds = {"magnitude": tp.importance.MagnitudeImportance(p=2), "taylor": tp.importance.TaylorImportance()}
    heads = [module for module in net.modules() if getattr(module, "out_features", None) == CLASSES]
    pruner = tp.pruner.BasePruner(
        net,
        torch.randn(1, *SHAPE),
        importance=kinds[importance],
        pruning_ratio=ratio,
        round_to=_ROUND_TO,
        ignored_layers=heads,
        num_heads={},
    )
    if importance == "taylor":
        images, labels = _some_images(subject)
        nn.functional.cross_entropy(net.eval()(images), labels).backward()
    pruner.step()
    net.zero_grad(set_to_none=True)
    return net


def _some_images(subject: Subject) -> tuple[Tensor, Tensor]:
    chosen = torch.randperm(len(subject.data.train), generator=torch.Generator().manual_seed(subject.seed))[:256]
    return subject.data.train[chosen.tolist()]


def _from_scratch(subject: Subject) -> list[Cut]:
    """New nets of the same architecture, narrower and narrower."""
    return [lambda w=width: new_net(subject.net, w * subject.width, subject.seed) for width in _WIDTHS]


# In the order of the table. Those of CHOICES are told by validation images which measure they are; what is called
# "reconstructed" has its layers refitted once it is as fast as is wanted.
CONTENDERS: dict[str, Callable[[Subject], list[Cut]]] = {
    "unpruned": lambda subject: [lambda: copy.deepcopy(subject.model)],
    "layers: best": lambda _: [],
    "layers: best random": lambda _: [],
    "layers: depth": lambda subject: layer_cuts(subject, "depth"),
    "layers: magnitude": lambda subject: layer_cuts(subject, "magnitude"),
    "layers: random": lambda subject: layer_cuts(subject, "random"),
    "filters: magnitude": lambda subject: _filter_cuts(subject, magnitude(subject.model, subject.coupling)),
    "filters: magnitude, reconstructed": lambda subject: CONTENDERS["filters: magnitude"](subject),
    "filters: taylor": lambda subject: _filter_cuts(
        subject, taylor(subject.model, subject.coupling, subject.batches())
    ),
    "filters: taylor, reconstructed": lambda subject: CONTENDERS["filters: taylor"](subject),
    "filters: random": lambda subject: _filter_cuts(subject, seeded_order(subject.coupling, subject.seed)),
    "Torch-Pruning: magnitude": lambda subject: _torch_pruning(subject, "magnitude"),
    "Torch-Pruning: taylor": lambda subject: _torch_pruning(subject, "taylor"),
    "uniform width": lambda subject: _filter_cuts(subject, _by_number(subject.coupling)),
    "from scratch": _from_scratch,
}


def _by_number(coupling: Coupling) -> FilterScores:
    """The last filters of every layer go first: a uniformly narrower net that keeps its first channels."""
    return {layer: tuple(float(width - place) for place in range(width)) for layer, width in coupling.layers.items()}
